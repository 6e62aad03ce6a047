/* SPDX-License-Identifier: Apache-2.0 */
/* The contract of ring.h: receiving, and what a cancel leaves. */
#include "ring_contract_conn.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/utsname.h>

/* --- receiving --- */

Test(ring, recv_brings_bytes_in_order_until_the_end_of_file)
{
    struct conn c;

    open_world(16, 256);
    open_conn(&c);
    receive(&c);
    tell(&c, "one ");
    RUN_UNTIL(got(&c, "one "));
    tell(&c, "two ");
    RUN_UNTIL(got(&c, "one two "));
    tell(&c, "three");
    far_half_close(c.far);
    RUN_UNTIL(c.recv_ends);
    cr_assert(got(&c, "one two three"));
    cr_assert_eq(c.recv_result, 0);
    close_conn(&c);
    close_world();
}

Test(ring, recv_does_not_call_back_before_it_returns)
{
    struct conn c;

    open_world(16, 256);
    open_conn(&c);
    tell(&c, "early");
    run_for_ms(20);
    receive(&c);
    cr_assert_eq(c.got_count, 0);
    RUN_UNTIL(got(&c, "early"));
    close_conn(&c);
    close_world();
}

Test(ring, recv_splits_what_exceeds_a_buffer)
{
    char bytes[1000];
    struct conn c;

    open_world(16, 128);
    open_conn(&c);
    for (unsigned i = 0; i < sizeof bytes; i++)
        bytes[i] = (char)(i * 7);
    cr_assert_eq(far_send(c.far, bytes, sizeof bytes), sizeof bytes);
    receive(&c);
    RUN_UNTIL(c.got_count == sizeof bytes);
    cr_assert_arr_eq(c.got, bytes, sizeof bytes);
    cr_assert_geq(c.recv_events, 8);
    close_conn(&c);
    close_world();
}

Test(ring, recv_takes_its_buffers_from_the_group_it_names)
{
    struct conn c;

    open_world(16, 128);
    open_conn(&c);
    ring_recv(ring, &c.recv, c.fd, RING_BULK, on_recv);
    tell(&c, "bulk");
    RUN_UNTIL(got(&c, "bulk"));
    cr_assert_eq(ring_stats(ring)->bufs_taken[RING_SMALL], 0);
    cr_assert_eq(ring_stats(ring)->bufs_taken[RING_BULK], 1);
    close_conn(&c);
    close_world();
}

Test(ring, bulk_can_be_stopped_after_each_buffer)
{
    static const char bytes[3 * 4096];
    struct conn c;

    open_world(16, 128);
    open_conn(&c);
    cr_assert_eq(far_send(c.far, bytes, sizeof bytes), sizeof bytes);
    run_for_ms(20);
    c.cancel_in_done = true;
    ring_recv(ring, &c.recv, c.fd, RING_BULK, on_recv);
    RUN_UNTIL(c.recv_ends);
    cr_assert_eq(c.recv_events, 1);
    cr_assert_leq(c.got_count, 4096);
    c.cancel_in_done = false;
    ring_recv(ring, &c.recv, c.fd, RING_BULK, on_recv);
    RUN_UNTIL(c.got_count == sizeof bytes);
    close_conn(&c);
    close_world();
}

Test(ring, large_goes_on_when_its_buffer_has_come_home)
{
    static const char bytes[3 * 8192];
    struct conn c;

    open_world(16, 128);
    open_conn(&c);
    cr_assert_eq(far_send(c.far, bytes, sizeof bytes), sizeof bytes);
    c.keep_buffers = true;
    ring_recv(ring, &c.recv, c.fd, RING_LARGE, on_recv);
    while (c.got_count < sizeof bytes) {
        RUN_UNTIL(c.kept_count == 1);
        cr_assert(ring_is_large(c.kept[0]));
        run_for_ms(20);
        cr_assert_eq(c.kept_count, 1, "it holds one at most");
        release_kept(&c);
    }
    cr_assert_eq(c.recv_ends, 0, "the owner does not notice");
    close_conn(&c);
    close_world();
}

Test(ring, large_that_waits_for_its_buffer_can_be_cancelled_and_started_again)
{
    static const char bytes[2 * 8192];
    struct conn c;

    open_world(16, 128);
    open_conn(&c);
    cr_assert_eq(far_send(c.far, bytes, sizeof bytes), sizeof bytes);
    run_for_ms(20);
    c.keep_buffers = true;
    ring_recv(ring, &c.recv, c.fd, RING_LARGE, on_recv);
    RUN_UNTIL(c.kept_count == 1);
    run_for_ms(20);
    ring_cancel(ring, &c.recv);
    RUN_UNTIL(c.recv_ends == 1);
    cr_assert_eq(c.recv_result, -ECANCELED);
    ring_recv(ring, &c.recv, c.fd, RING_LARGE, on_recv);
    RUN_UNTIL(c.kept_count == 2);
    release_kept(&c);
    c.keep_buffers = false;
    RUN_UNTIL(c.got_count == sizeof bytes);
    close_conn(&c);
    close_world();
}

/* There are two. */
Test(ring, large_takes_a_bulk_buffer_where_none_is_left)
{
    static const char bytes[8192];
    struct conn conns[3];

    open_world(16, 128);
    for (unsigned i = 0; i < 3; i++) {
        open_conn(&conns[i]);
        conns[i].keep_buffers = true;
        ring_recv(ring, &conns[i].recv, conns[i].fd, RING_LARGE, on_recv);
    }
    run_for_ms(20); /* they have all been started while there were some */
    for (unsigned i = 0; i < 3; i++) {
        cr_assert_eq(far_send(conns[i].far, bytes, sizeof bytes), sizeof bytes);
        RUN_UNTIL(conns[i].kept_count);
        cr_assert_eq(ring_is_large(conns[i].kept[0]), i < 2);
    }
    conns[2].keep_buffers = false;
    release_kept(&conns[2]);
    release_kept(&conns[0]);
    RUN_UNTIL(conns[2].got_count == sizeof bytes);
    close_many(conns, 3);
    close_world();
}

Test(ring, recv_one_ends_with_what_it_brings)
{
    struct conn c;

    open_world(16, 4);
    open_conn(&c);
    ring_recv_one(ring, &c.recv, c.fd, RING_SMALL, on_recv);
    run_for_ms(20);
    cr_assert_eq(c.recv_ends, 0, "it waits for bytes");
    tell(&c, "one by one");
    RUN_UNTIL(c.recv_ends == 1);
    cr_assert(ring_has_more(&c.recv));
    cr_assert_not(op_busy(&c.recv));
    cr_assert(got(&c, "one "));
    run_for_ms(20);
    cr_assert(got(&c, "one "), "the rest stays where it is");
    while (c.got_count < strlen("one by one")) {
        unsigned ends = c.recv_ends;

        ring_recv_one(ring, &c.recv, c.fd, RING_SMALL, on_recv);
        RUN_UNTIL(c.recv_ends > ends);
    }
    cr_assert(got(&c, "one by one"));
    cr_assert_eq(c.recv_ends, 3);
    cr_assert_not(ring_has_more(&c.recv));
    tell(&c, "two");
    far_half_close(c.far);
    run_for_ms(20);
    ring_recv_one(ring, &c.recv, c.fd, RING_SMALL, on_recv);
    RUN_UNTIL(c.recv_ends == 4);
    cr_assert(ring_has_more(&c.recv), "the end");
    ring_recv_one(ring, &c.recv, c.fd, RING_SMALL, on_recv);
    RUN_UNTIL(c.recv_ends == 5);
    cr_assert_eq(c.recv_result, 0);
    close_conn(&c);
    close_world();
}

Test(ring, recv_one_waits_for_a_buffer)
{
    struct conn c, other;

    open_world(1, 16);
    open_conn(&c);
    open_conn(&other);
    c.keep_buffers = true;
    receive(&c);
    tell(&c, "kept");
    RUN_UNTIL(c.kept_count == 1);
    tell(&other, "later");
    ring_recv_one(ring, &other.recv, other.fd, RING_SMALL, on_recv);
    run_for_ms(20);
    cr_assert_eq(other.recv_ends, 0);
    release_kept(&c);
    RUN_UNTIL(other.recv_ends == 1);
    cr_assert(got(&other, "later"));
    close_conn(&other);
    close_conn(&c);
    close_world();
}

Test(ring, recv_one_can_be_cancelled)
{
    struct conn c;

    open_world(16, 256);
    open_conn(&c);
    ring_recv_one(ring, &c.recv, c.fd, RING_SMALL, on_recv);
    run_for_ms(20);
    ring_cancel(ring, &c.recv);
    RUN_UNTIL(c.recv_ends == 1);
    cr_assert_eq(c.recv_result, -ECANCELED);
    close_conn(&c);
    close_world();
}

static bool
runs_are_limited(void)
{
    const char *disabled = getenv("MCPGATE_RING_DISABLE");
    struct utsname kernel;
    unsigned major = 0, minor = 0;

    cr_assert(uname(&kernel) == 0 && sscanf(kernel.release, "%u.%u", &major, &minor) == 2);
    return major * 100 + minor >= 617 && !(disabled && strstr(disabled, "recv_limit"));
}

Test(ring, small_buffers_can_be_stopped_after_a_run_of_them)
{
    enum { BUFFER = 128, RUN = RING_RUN * BUFFER };
    static const char bytes[5 * RUN];
    struct conn c;

    open_world(64, BUFFER);
    open_conn(&c);
    cr_assert_eq(far_send(c.far, bytes, sizeof bytes), sizeof bytes);
    run_for_ms(20);
    c.cancel_in_done = true;
    receive(&c);
    RUN_UNTIL(c.recv_ends);
    cr_assert_leq(c.got_count, runs_are_limited() ? RUN : sizeof bytes, "%zu", c.got_count);
    c.cancel_in_done = false;
    receive(&c);
    RUN_UNTIL(c.got_count == sizeof bytes);
    close_conn(&c);
    close_world();
}

Test(ring, a_half_closed_peer_still_reads)
{
    struct conn c;

    open_world(16, 256);
    open_conn(&c);
    receive(&c);
    far_half_close(c.far);
    RUN_UNTIL(c.recv_ends);
    cr_assert_eq(c.recv_result, 0);
    ring_send(ring, &c.send, c.fd, &(struct iovec){(char *)(uintptr_t) "answer", 6}, 1, RING_SEND_ALL,
              on_send);
    cr_assert(far_gets(&c, "answer"));
    close_conn(&c);
    close_world();
}

Test(ring, after_our_half_close_the_peer_still_sends)
{
    struct conn c;

    open_world(16, 256);
    open_conn(&c);
    receive(&c);
    turn();
    ring_shutdown(ring, c.fd, SHUT_WR);
    RUN_UNTIL(far_eof(c.far));
    tell(&c, "late words");
    RUN_UNTIL(got(&c, "late words"));
    cr_assert_eq(c.recv_ends, 0);
    close_conn(&c);
    close_world();
}

Test(ring, shutdown_of_both_directions_ends_a_receive_with_0)
{
    struct conn c;

    open_world(16, 256);
    open_conn(&c);
    receive(&c);
    run_for_ms(10);
    ring_shutdown(ring, c.fd, SHUT_RDWR);
    RUN_UNTIL(c.recv_ends);
    cr_assert_eq(c.recv_result, 0);
    cr_assert(far_eof(c.far));
    close_conn(&c);
    close_world();
}

Test(ring, a_reset_ends_a_receive_with_the_error_once)
{
    struct conn c;

    open_world(16, 256);
    open_conn(&c);
    receive(&c);
    run_for_ms(10);
    far_reset(c.far);
    c.far = NULL;
    RUN_UNTIL(c.recv_ends);
    cr_assert_eq(c.recv_result, -ECONNRESET);
    run_for_ms(20);
    cr_assert_eq(c.recv_ends, 1);
    close_conn(&c);
    close_world();
}

Test(ring, close_sends_the_end_to_the_peer)
{
    struct conn c;

    open_world(16, 256);
    open_conn(&c);
    receive(&c);
    run_for_ms(10);
    ring_cancel(ring, &c.recv);
    RUN_UNTIL(c.recv_ends);
    ring_close(ring, c.fd);
    RUN_UNTIL(far_eof(c.far));
    far_close(c.far);
    close_world();
}

/* --- cancelling --- */

Test(ring, cancel_of_an_idle_op_does_nothing)
{
    struct conn c;

    open_world(16, 256);
    open_conn(&c);
    ring_cancel(ring, &c.recv);
    run_for_ms(20);
    cr_assert_eq(c.recv_ends, 0);
    close_conn(&c);
    close_world();
}

Test(ring, a_cancelled_receive_leaves_unread_bytes_for_the_next)
{
    struct conn c;

    open_world(16, 256);
    open_conn(&c);
    receive(&c);
    run_for_ms(10);
    ring_cancel(ring, &c.recv);
    RUN_UNTIL(c.recv_ends);
    cr_assert_eq(c.recv_result, -ECANCELED);
    tell(&c, "later");
    run_for_ms(20);
    cr_assert_eq(c.got_count, 0);
    receive(&c);
    RUN_UNTIL(got(&c, "later"));
    close_conn(&c);
    close_world();
}

Test(ring, an_op_cancelled_in_the_turn_that_started_it_ends_once)
{
    struct conn c;

    open_world(16, 256);
    open_conn(&c);
    receive(&c);
    ring_cancel(ring, &c.recv);
    ring_cancel(ring, &c.recv);
    RUN_UNTIL(c.recv_ends);
    run_for_ms(20);
    cr_assert_eq(c.recv_ends, 1);
    cr_assert_eq(c.recv_result, -ECANCELED);
    close_conn(&c);
    close_world();
}

Test(ring, an_op_may_be_cancelled_in_its_own_done)
{
    struct conn c;

    open_world(16, 256);
    open_conn(&c);
    c.cancel_in_done = true;
    receive(&c);
    tell(&c, "first");
    RUN_UNTIL(c.recv_ends);
    cr_assert_eq(c.recv_result, -ECANCELED);
    cr_assert(got(&c, "first"));
    run_for_ms(20);
    cr_assert_eq(c.recv_ends, 1);
    close_conn(&c);
    close_world();
}

Test(ring, no_byte_is_lost_or_doubled_by_cancelling_at_any_moment)
{
    enum { ROUNDS = 200 };
    struct conn c;
    char next = 0;
    size_t sent = 0;

    open_world(16, 64);
    open_conn(&c);
    for (unsigned round = 0; round < ROUNDS; round++) {
        char bytes[GOT_MAX / ROUNDS];
        size_t n = 1 + round % sizeof bytes;

        for (size_t i = 0; i < n; i++)
            bytes[i] = next++;
        if (!op_busy(&c.recv))
            receive(&c);
        if (round % 3 == 0)
            ring_wait(ring, 0);
        sent += far_send(c.far, bytes, n);
        if (round % 2)
            ring_cancel(ring, &c.recv);
        turn();
    }
    RUN_UNTIL(!op_busy(&c.recv));
    receive(&c);
    RUN_UNTIL(c.got_count == sent);
    for (size_t i = 0; i < sent; i++)
        cr_assert_eq(c.got[i], (char)i, "byte %zu", i);
    cr_assert_leq(sent, GOT_MAX);
    close_conn(&c);
    close_world();
}

Test(ring, an_op_may_be_started_again_in_the_turn_of_its_cancel)
{
    struct conn c;

    open_world(16, 256);
    open_conn(&c);
    for (int i = 0; i < 20; i++) {
        unsigned ends = c.recv_ends;

        receive(&c);
        turn();
        ring_cancel(ring, &c.recv);
        RUN_UNTIL(c.recv_ends > ends);
    }
    receive(&c);
    tell(&c, "still here");
    RUN_UNTIL(got(&c, "still here"));
    cr_assert_eq(c.recv_ends, 20);
    close_conn(&c);
    close_world();
}
