/* SPDX-License-Identifier: Apache-2.0 */
/* The link: its ends in every order and at every step, connecting, queues that move, random faults. */
#include "net/batch.h"
#include "net_relay.h"

#include <criterion/criterion.h>
#include <errno.h>

/* --- ends --- */

Test(link, finishes_in_order_with_the_rest_then_fin_then_the_peers_end)
{
    char text[3000];

    put_number_text(text, sizeof text);
    relay_open(1);
    sim_peer_set_window(far_peer, 1000);
    sim_peer_send(near_peer, text, sizeof text);
    sim_settle(sim);
    link_finish(&far.link, CLOSE_DONE);
    sim_settle(sim);
    cr_assert_eq(far.closed, 0);
    sim_peer_set_window(far_peer, 1 << 20);
    sim_settle(sim);
    assert_reads(far_peer, text, sizeof text);
    cr_assert(sim_peer_eof(far_peer));
    cr_assert_eq(far.closed, 0, "the peer may still be sending");

    sim_peer_puts(far_peer, "late bytes");
    sim_settle(sim);
    cr_assert_eq(far.delivered, 0, "and they are discarded");
    sim_peer_half_close(far_peer);
    sim_settle(sim);
    cr_assert_eq(far.closed, 1);
    cr_assert_eq(far.reason, CLOSE_DONE);
    cr_assert_not(sim_peer_was_reset(far_peer));
    world_close();
}

Test(link, waits_for_the_peers_end_no_longer_than_it_lingers)
{
    relay_open(1);
    link_finish(&far.link, CLOSE_CLIENT_IDLE);
    sim_settle(sim);
    cr_assert(sim_peer_eof(far_peer));
    sim_advance(sim, net.linger_ms - 1);
    cr_assert_eq(far.closed, 0);
    sim_advance(sim, 10);
    cr_assert_eq(far.closed, 1);
    cr_assert_eq(far.reason, CLOSE_CLIENT_IDLE);
    world_close();
}

Test(link, finishes_at_once_when_the_peer_has_ended_before)
{
    relay_open(1);
    sim_peer_half_close(far_peer);
    sim_settle(sim);
    cr_assert_eq(far.ends, 1);
    sim_peer_puts(near_peer, "still reaches you");
    sim_settle(sim);
    link_finish(&far.link, CLOSE_DONE);
    sim_settle(sim);
    assert_reads(far_peer, "still reaches you", 17);
    cr_assert_eq(far.closed, 1);
    world_close();
}

Test(link, gives_up_finishing_when_the_peer_resets)
{
    relay_open(1);
    sim_peer_set_window(far_peer, 1);
    sim_peer_puts(near_peer, "never taken");
    sim_settle(sim);
    link_finish(&far.link, CLOSE_DONE);
    sim_settle(sim);
    sim_peer_reset(far_peer);
    sim_settle(sim);
    cr_assert_eq(far.closed, 1);
    world_close();
}

Test(link, gives_up_finishing_when_the_peer_takes_nothing)
{
    relay_open(1);
    net.send_timeout_ms = 1000;
    sim_peer_set_window(far_peer, 1);
    sim_peer_puts(near_peer, "never taken");
    sim_settle(sim);
    link_finish(&far.link, CLOSE_DONE);
    sim_settle(sim);
    sim_advance(sim, 1010);
    cr_assert_eq(far.closed, 1);
    world_close();
}

Test(link, sends_both_ways_after_a_half_close_and_notices_a_reset_behind_it)
{
    relay_open(1);
    sim_peer_puts(far_peer, "last words");
    sim_peer_half_close(far_peer);
    sim_settle(sim);
    cr_assert_eq(far.ends, 1);
    assert_reads(near_peer, "last words", 10);
    sim_peer_puts(near_peer, "one");
    sim_settle(sim);
    sim_peer_puts(near_peer, "two");
    sim_settle(sim);
    assert_reads(far_peer, "onetwo", 6);
    cr_assert_eq(far.closed, 0);
    sim_peer_reset(far_peer);
    sim_settle(sim);
    cr_assert_eq(far.ends, 1);
    cr_assert_eq(far.broken, 1);
    cr_assert_eq(far.closed, 1);
    world_close();
}

Test(link, notices_that_a_peer_is_gone_when_it_sends_to_it)
{
    relay_open(1);
    sim_peer_close(far_peer);
    sim_settle(sim);
    cr_assert_eq(far.ends, 1, "as far as can be seen it has only half-closed");
    cr_assert_eq(far.closed, 0);
    sim_peer_puts(near_peer, "anybody?");
    sim_settle(sim);
    cr_assert_eq(far.broken, 1);
    cr_assert_eq(far.closed, 1);
    world_close();
}

Test(link, tells_a_reset_once)
{
    relay_open(1);
    sim_peer_reset(far_peer);
    sim_settle(sim);
    cr_assert_eq(far.broken, 1);
    cr_assert_eq(far.ends, 0);
    cr_assert_eq(far.closed, 1);
    world_close();
}

Test(link, resets_only_when_asked_to)
{
    relay_open(1);
    link_abort(&near.link, CLOSE_DONE, false);
    link_abort(&far.link, CLOSE_DONE, true);
    sim_settle(sim);
    cr_assert(sim_peer_eof(near_peer));
    cr_assert(sim_peer_was_reset(far_peer));
    world_close();
}

Test(link, takes_calls_between_abort_and_closed_without_doing_anything)
{
    static struct buf word = {.data = (uint8_t *)(uintptr_t) "word", .size = 4, .kind = BUF_STATIC};

    relay_open(1);
    link_abort(&far.link, CLOSE_DONE, false);
    link_push(&far.link, PRIORITY_NORMAL, span_all(&word));
    link_pause(&far.link);
    link_resume(&far.link);
    link_set_bulk(&far.link, true);
    link_finish(&far.link, CLOSE_DRAIN);
    link_abort(&far.link, CLOSE_DRAIN, true);
    sim_settle(sim);
    cr_assert_eq(far.closed, 1);
    cr_assert_eq(far.reason, CLOSE_DONE);
    cr_assert_eq(sim_peer_received(far_peer), 0);
    world_close();
}

/* --- connecting --- */

Test(link, sends_what_was_pushed_while_it_connected)
{
    connect_world_open(1);
    sim_peer_puts(near_peer, "before ");
    sim_settle(sim);
    cr_assert_eq(connect_to(&far, 2), 0);
    cr_assert_eq(far.connected, 0, "never from within");
    sim_peer_puts(near_peer, "during");
    sim_settle(sim);
    cr_assert_eq(far.connected, 1);
    cr_assert_eq(far.connect_error, 0);
    far_peer = sim_next_peer(sim);
    assert_reads(far_peer, "before during", 13);
    sim_peer_puts(far_peer, "answer");
    sim_settle(sim);
    assert_reads(near_peer, "answer", 6);
    world_close();
}

Test(link, keeps_its_queue_when_refused_and_sends_it_at_the_next_try)
{
    connect_world_open(1);
    sim_peer_puts(near_peer, "kept");
    sim_settle(sim);
    assert_pool_is_whole();
    for (unsigned i = 1; i < 4; i++) {
        cr_assert_eq(connect_to(&far, 3), 0);
        sim_settle(sim);
        cr_assert_eq(far.connected, i);
        cr_assert_eq(far.connect_error, -ECONNREFUSED);
        cr_assert_eq(link_queued(&far.link), 4);
    }
    cr_assert_eq(connect_to(&far, 2), 0);
    sim_settle(sim);
    assert_reads(sim_next_peer(sim), "kept", 4);
    world_close();
}

Test(link, aborts_a_connect_that_hangs)
{
    connect_world_open(1);
    cr_assert_eq(connect_to(&far, 4), 0);
    sim_peer_puts(near_peer, "lost");
    sim_settle(sim);
    cr_assert_eq(far.connected, 0);
    link_finish(&far.link, CLOSE_CONNECT_TIMEOUT);
    sim_settle(sim);
    cr_assert_eq(far.closed, 1);
    cr_assert_eq(far.reason, CLOSE_CONNECT_TIMEOUT);
    world_close();
}

Test(link, aborts_before_it_ever_had_a_descriptor)
{
    connect_world_open(1);
    sim_peer_puts(near_peer, "lost");
    sim_settle(sim);
    link_abort(&far.link, CLOSE_DONE, false);
    sim_settle(sim);
    cr_assert_eq(far.closed, 1);
    world_close();
}

Test(link, starts_no_connect_without_a_descriptor)
{
    connect_world_open(1);
    sim_set_fd_limit(sim, sim_fd_count(sim));
    cr_assert_eq(connect_to(&far, 2), -EMFILE);
    sim_set_fd_limit(sim, 0);
    cr_assert_eq(connect_to(&far, 2), 0);
    sim_settle(sim);
    cr_assert_eq(far.connect_error, 0);
    world_close();
}

Test(link, moves_its_queue_to_a_link_that_opens_later)
{
    struct side third = {.other = &near};

    connect_world_open(1);
    sim_peer_puts(near_peer, "from one ");
    sim_settle(sim);
    link_init(&third.link, &net, &relay_up, LINK_UPSTREAM);
    link_move_queue(&far.link, &third.link);
    cr_assert_eq(link_queued(&far.link), 0);
    cr_assert_eq(link_queued(&third.link), 9);
    near.other = &third;
    sim_peer_puts(near_peer, "to another");
    sim_settle(sim);
    connect_to(&third, 2);
    sim_settle(sim);
    assert_reads(sim_next_peer(sim), "from one to another", 19);
    link_abort(&third.link, CLOSE_DONE, false);
    sim_settle(sim);
    cr_assert_eq(third.closed, 1);
    world_close();
}

Test(link, moves_its_queue_to_an_open_link_at_once)
{
    struct side third = {.other = &near, .opened = true};
    struct sim_peer *third_peer;

    connect_world_open(1);
    third_peer = side_open(&third);
    sim_peer_puts(near_peer, "from one");
    sim_settle(sim);
    link_move_queue(&far.link, &third.link);
    sim_settle(sim);
    assert_reads(third_peer, "from one", 8);
    link_abort(&third.link, CLOSE_DONE, false);
    sim_settle(sim);
    cr_assert_eq(third.closed, 1);
    world_close();
}

Test(link, moves_its_queue_behind_what_is_queued_already)
{
    struct side third = {.other = &near, .opened = true};
    struct sim_peer *third_peer;
    static struct buf word = {.data = (uint8_t *)(uintptr_t) "before ", .size = 7, .kind = BUF_STATIC};

    connect_world_open(1);
    third_peer = side_open(&third);
    sim_peer_set_window(third_peer, 1);
    link_push(&third.link, PRIORITY_NORMAL, span_all(&word));
    sim_settle(sim);
    cr_assert(link_blocked(&third.link));
    sim_peer_puts(near_peer, "behind");
    sim_settle(sim);
    link_move_queue(&far.link, &third.link);
    cr_assert_null(far.link.out);
    cr_assert_eq(link_queued(&third.link), 12);
    sim_peer_set_window(third_peer, 100);
    sim_settle(sim);
    assert_reads(third_peer, "before behind", 13);
    link_abort(&third.link, CLOSE_DONE, false);
    sim_settle(sim);
    cr_assert_eq(third.closed, 1);
    world_close();
}

Test(link, tells_the_source_of_a_queue_that_moved_when_it_may_go_on)
{
    struct side third = {.other = &near, .opened = true};
    struct sim_peer *third_peer;
    static char text[3 * HIGH];

    put_number_text(text, sizeof text);
    connect_world_open(1);
    third_peer = side_open(&third);
    sim_peer_send(near_peer, text, sizeof text);
    sim_settle(sim);
    cr_assert_eq(net.stats.pauses, 1);
    near.other = &third;
    link_move_queue(&far.link, &third.link);
    sim_settle(sim);
    cr_assert_geq(third.writable, 1);
    assert_reads(third_peer, text, sizeof text);
    link_abort(&third.link, CLOSE_DONE, false);
    sim_settle(sim);
    cr_assert_eq(third.closed, 1);
    world_close();
}

/* A link that broke before any of its bytes were taken: the send is back, the bytes are not lost. */
static struct side rescue;

static void
rescue_queue(struct link *link, enum close_reason reason)
{
    on_broken(link, reason);
    link_init(&rescue.link, &net, &relay_up, LINK_UPSTREAM);
    link_move_queue(link, &rescue.link);
}

Test(link, moves_the_queue_of_a_link_that_broke)
{
    static struct link_up rescuing;

    rescuing = relay_up;
    rescuing.on_broken = rescue_queue;
    rescue = (struct side){.other = &near};
    relay_open(1);
    far.link.up = &rescuing;
    sim_serve(sim, "10.0.0.2:80", SIM_ACCEPT);
    sim_settle(sim);
    sim_peer_reset(far_peer);
    sim_peer_puts(near_peer, "saved");
    sim_settle(sim);
    cr_assert_eq(far.broken, 1);
    cr_assert_eq(far.closed, 1);
    near.other = &rescue;
    if (!link_queued(&rescue.link)) { /* the reset was seen first */
        link_abort(&rescue.link, CLOSE_DONE, false);
    } else {
        connect_to(&rescue, 2);
        sim_settle(sim);
        assert_reads(sim_next_peer(sim), "saved", 5);
        link_abort(&rescue.link, CLOSE_DONE, false);
    }
    sim_settle(sim);
    cr_assert_eq(rescue.closed, 1);
    world_close();
}

/* --- at every step --- */

/* The life of a relay: connect, both directions, a slow reader, a half close, a finish. Ends early when a
 * link broke or was aborted. */
static void
run_life(void)
{
    static char text[20000];
    size_t sent = 0;

    put_number_text(text, sizeof text);
    sim_serve(sim, "10.0.0.2:80", SIM_ACCEPT);
    near_peer = side_open(&near);
    link_init(&far.link, &net, &relay_up, LINK_UPSTREAM);
    far.opened = true;
    far.echo_end = true;
    connect_to(&far, 2);
    sim_peer_send(near_peer, text, 500);
    sim_settle(sim);
    far_peer = sim_next_peer(sim);
    if (!far_peer)
        return;
    sim_peer_set_window(far_peer, 600);
    sim_peer_send(far_peer, text, 5000);
    link_set_bulk(&near.link, true);
    for (unsigned i = 0; i < 30 && sent < sizeof text; i++) {
        sent += sim_peer_send(near_peer, text + sent, sizeof text - sent);
        sim_advance(sim, 5);
        sim_peer_discard(far_peer);
    }
    sim_peer_half_close(far_peer);
    sim_settle(sim);
    sim_peer_discard(near_peer);
    sim_advance(sim, net.linger_ms + 100);
}

static void
abort_at_every_moment(uint64_t seed)
{
    unsigned n = 0;
    bool hit;

    do {
        world_open(seed);
        sim_faults_random(sim);
        abort_at = ++n;
        run_life();
        hit = moments >= abort_at;
        world_close();
    } while (hit && n < 2000);
    cr_assert_gt(n, 20);
    cr_assert_lt(n, 2000);
}

Test(link, may_be_aborted_at_every_moment)
{
    sim_for_seeds(1, 5, abort_at_every_moment);
}

static void
reset_at_every_step(uint64_t seed)
{
    uint64_t steps;

    world_open(seed);
    run_life();
    steps = sim_steps(sim);
    world_close();
    for (uint64_t n = 1; n <= steps; n++) {
        world_open(seed);
        sim_fault_at(sim, n, SIM_RESET);
        run_life();
        world_close();
    }
}

Test(link, bears_a_reset_at_every_step)
{
    sim_for_seeds(1, 2, reset_at_every_step);
}

/* --- anything --- */

static void
relay_with_faults(uint64_t seed)
{
    static char text[STREAM_MAX], got[2][STREAM_MAX];
    struct sim_peer *peers[2];
    size_t sent[2] = {0}, taken[2] = {0}, size[2];
    unsigned turns = 0;

    put_number_text(text, sizeof text);
    relay_open(seed);
    peers[0] = near_peer;
    peers[1] = far_peer;
    sim_faults_random(sim);
    for (unsigned i = 0; i < 2; i++) {
        size[i] = 1 + sim_random(sim, 30000);
        sim_peer_set_window(peers[i], 1 + sim_random(sim, 5000));
        if (sim_random(sim, 3) == 0)
            add_filter(i ? &far : &near, sim_random(sim, 2) ? &byte_ops : &null_ops);
    }
    batch_init(&net, TRANSPORT_HTTP,
               &(struct batch_limits){(uint32_t)sim_random(sim, 30), 2 + (uint32_t)sim_random(sim, 500),
                                      1000 + (uint32_t)sim_random(sim, 50000)});
    batch_set_load(&net, 100);
    near.message_bytes = (unsigned)sim_random(sim, 100);
    far.message_bytes = (unsigned)sim_random(sim, 100);
    while ((taken[0] < size[0] || taken[1] < size[1]) && turns++ < 40000) {
        for (unsigned i = 0; i < 2; i++) {
            size_t n = sim_random(sim, 4000);

            sent[i] += sim_peer_send(peers[i], text + sent[i], n < size[i] - sent[i] ? n : size[i] - sent[i]);
            taken[i] += sim_peer_read(peers[!i], got[i] + taken[i], sim_random(sim, 4000));
        }
        if (sim_random(sim, 20) == 0)
            link_set_bulk(sim_random(sim, 2) ? &near.link : &far.link, sim_random(sim, 2));
        if (sim_random(sim, 20) == 0)
            link_set_large(sim_random(sim, 2) ? &near.link : &far.link, sim_random(sim, 2));
        sim_advance(sim, (unsigned)sim_random(sim, 30));
    }
    for (unsigned i = 0; i < 2; i++) {
        cr_assert_eq(taken[i], size[i], "direction %u: %zu of %zu bytes", i, taken[i], size[i]);
        cr_assert_arr_eq(got[i], text, size[i]);
    }
    cr_assert_eq(near.broken + far.broken, 0);
    world_close();
}

Test(link, loses_nothing_whatever_the_kernel_does)
{
    sim_for_seeds(1, 60, relay_with_faults);
}
