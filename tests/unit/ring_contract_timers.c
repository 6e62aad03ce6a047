/* SPDX-License-Identifier: Apache-2.0 */
/* The contract of ring.h: poll, the clock and timers. */
#include "ring_contract_conn.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>

/* --- poll --- */

static struct op poll_op;
static unsigned poll_events, poll_ends;
static int poll_result;

static void
on_poll(struct op *op, int result, struct buf *buf, bool more)
{
    cr_assert(in_reap);
    cr_assert_null(buf);
    cr_assert_eq(op_busy(op), more);
    poll_result = result;
    if (more)
        poll_events++;
    else
        poll_ends++;
}

Test(ring, poll_tells_each_readiness_until_it_is_cancelled)
{
    int fd;

    open_world(16, 256);
    fd = world_pollable();
    ring_poll(ring, &poll_op, fd, POLLIN, on_poll);
    run_for_ms(20);
    cr_assert_eq(poll_events, 0);
    for (unsigned i = 1; i <= 5; i++) {
        world_signal(fd);
        RUN_UNTIL(poll_events == i);
        cr_assert(poll_result & POLLIN);
    }
    ring_cancel(ring, &poll_op);
    RUN_UNTIL(poll_ends);
    cr_assert_eq(poll_result, -ECANCELED);
    ring_close(ring, fd);
    close_world();
}

Test(ring, a_poll_without_events_tells_the_reset_of_a_stream_that_has_ended)
{
    struct conn c;

    open_world(16, 256);
    open_conn(&c);
    receive(&c);
    far_half_close(c.far);
    RUN_UNTIL(c.recv_ends);
    ring_poll(ring, &poll_op, c.fd, 0, on_poll);
    run_for_ms(30);
    cr_assert_eq(poll_events, 0, "a half-close alone is none: %#x", (unsigned)poll_result);
    far_reset(c.far);
    c.far = NULL;
    RUN_UNTIL(poll_events);
    cr_assert(poll_result & (POLLERR | POLLHUP));
    ring_cancel(ring, &poll_op);
    RUN_UNTIL(poll_ends);
    close_conn(&c);
    close_world();
}

Test(ring, reset_on_close_sends_a_reset_and_no_end)
{
    struct conn c;
    char byte;

    open_world(16, 256);
    open_conn(&c);
    ring_reset_on_close(ring, c.fd);
    ring_close(ring, c.fd);
    run_for_ms(30);
    cr_assert_eq(far_read(c.far, &byte, 1), 0);
    cr_assert_not(far_eof(c.far));
    far_close(c.far);
    close_world();
}

/* --- the clock and timers --- */

static struct timer timers[4];
static unsigned timer_runs[4];
static uint64_t timer_at_ns[4];
static unsigned timer_order[8], timer_order_count;

static void
on_timer(struct ring *r, struct timer *timer)
{
    unsigned i = (unsigned)(timer - timers);

    cr_assert(in_reap);
    cr_assert_eq(r, ring);
    timer_runs[i]++;
    timer_at_ns[i] = ring_now(r);
    timer_order[timer_order_count++] = i;
}

Test(ring, timers_run_in_order_and_not_before_their_time)
{
    static const unsigned ms[] = {120, 5, 70, 20}, order[] = {1, 3, 2, 0};
    uint64_t start_ns;

    open_world(16, 256);
    run_for_ms(3);
    start_ns = ring_now(ring);
    for (unsigned i = 0; i < 4; i++)
        timer_set(ring, &timers[i], ms[i], on_timer);
    RUN_UNTIL(timer_order_count == 4);
    cr_assert_arr_eq(timer_order, order, sizeof order);
    for (unsigned i = 0; i < 4; i++)
        cr_assert_geq(timer_at_ns[i] - start_ns, ms[i] * 1000000ull);
    close_world();
}

Test(ring, wait_sleeps_until_a_timer_is_due)
{
    uint64_t start_ns, waits;

    open_world(16, 256);
    turn();
    start_ns = ring_now(ring);
    waits = ring_stats(ring)->waits;
    timer_set(ring, &timers[0], 100, on_timer);
    while (!timer_runs[0]) {
        ring_wait(ring, 10000);
        in_reap = true;
        ring_reap(ring);
        in_reap = false;
    }
    cr_assert_leq(ring_stats(ring)->waits - waits, 3);
    cr_assert_lt(ring_now(ring) - start_ns, 1000000000ull);
    close_world();
}

Test(ring, a_wait_with_nothing_to_do_is_not_work)
{
    uint64_t busy_ns;

    open_world(16, 256);
    turn();
    busy_ns = ring_busy_ns(ring);
    for (unsigned i = 0; i < 4; i++) {
        timer_set(ring, &timers[i], 50, on_timer);
        RUN_UNTIL(timer_runs[i]);
    }
    cr_assert_lt(ring_busy_ns(ring) - busy_ns, 150000000);
    close_world();
}

Test(ring, a_timer_that_is_set_later_each_time_runs_once_after_the_last)
{
    uint64_t last_ns = 0;

    open_world(16, 256);
    for (unsigned i = 0; i < 20; i++) {
        timer_set(ring, &timers[0], 80, on_timer);
        last_ns = ring_now(ring);
        run_for_ms(10);
        /* A machine that stood still may have let it run. */
        cr_assert(!timer_runs[0] || timer_at_ns[0] - last_ns >= 80 * 1000000ull);
        timer_runs[0] = timer_order_count = 0;
    }
    RUN_UNTIL(timer_runs[0] || !timer_running(&timers[0]));
    cr_assert_geq(timer_at_ns[0] - last_ns, 80 * 1000000ull);
    timer_runs[0] = 0;
    run_for_ms(200);
    cr_assert_eq(timer_runs[0], 0);
    close_world();
}

Test(ring, a_stopped_timer_does_not_run)
{
    open_world(16, 256);
    timer_set(ring, &timers[0], 10, on_timer);
    timer_set(ring, &timers[1], 20, on_timer);
    timer_stop(&timers[0]);
    cr_assert_not(timer_running(&timers[0]));
    RUN_UNTIL(timer_runs[1]);
    cr_assert_eq(timer_runs[0], 0);
    close_world();
}

Test(ring, all_of_a_reap_shares_one_stamp_and_stamps_grow)
{
    uint64_t now_ns;

    open_world(16, 256);
    turn();
    now_ns = ring_now(ring);
    run_for_ms(5);
    cr_assert_gt(ring_now(ring), now_ns);
    now_ns = ring_now(ring);
    ring_wait(ring, 5);
    cr_assert_eq(ring_now(ring), now_ns, "only a reap reads it");
    cr_assert_geq(ring_submitted(ring), now_ns);
    in_reap = true;
    ring_reap(ring);
    cr_assert_geq(ring_now(ring), ring_submitted(ring));
    close_world();
}

/* The build runs these tests once without each feature; its list must be the ring's. */
Test(ring, every_optional_feature_is_known_to_the_build)
{
    const char *list = getenv("RING_FEATURES");
    char names[256] = "";

    for (unsigned i = 0; ring_feature_names[i]; i++) {
        strcat(names, i ? "," : "");
        strcat(names, ring_feature_names[i]);
    }
    cr_assert(!list || !names[0] || strcmp(list, names) == 0, "%s is not %s", list, names);
}
