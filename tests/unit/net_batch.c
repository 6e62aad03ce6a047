/* SPDX-License-Identifier: Apache-2.0 */
/* Batching: what waits for others of its link, how long, and what does not. */
#include "net/batch.h"
#include "net_relay.h"

#include <criterion/criterion.h>

enum { WINDOW_MS = 8, MESSAGES = 4, BYTES = 1000 };

/* In steps: links see the time of the last turn. */
static void
pass(unsigned ms)
{
    while (ms--)
        sim_advance(sim, 1);
}

static void
open_busy(unsigned load)
{
    relay_open(1);
    batch_init(&net, TRANSPORT_HTTP, &(struct batch_limits){WINDOW_MS, MESSAGES, BYTES});
    batch_set_load(&net, load);
    pass(100);
}

static void
put(enum priority lane, uint32_t bytes)
{
    static char text[BYTES] = {[0 ... BYTES - 1] = 'm'};
    static struct buf all = {.data = (uint8_t *)text, .size = BYTES, .kind = BUF_STATIC};

    link_push(&far.link, lane, span_of(&all, 0, bytes));
    link_end_message(&far.link, lane);
    batch_wait(&far.link, 1);
}

static void
say(enum priority lane, uint32_t bytes)
{
    put(lane, bytes);
    sim_settle(sim);
}

static size_t
heard(void)
{
    char text[4 * BYTES];

    return sim_peer_read(far_peer, text, sizeof text);
}

Test(batch, a_worker_that_is_not_busy_sends_at_once)
{
    static const unsigned loads[] = {0, 30, 50};

    for (size_t i = 0; i < sizeof loads / sizeof *loads; i++) {
        open_busy(loads[i]);
        for (unsigned k = 0; k < 5; k++) {
            say(PRIORITY_NORMAL, 1);
            cr_assert_eq(heard(), 1);
        }
        cr_assert_eq(net.stats.batches, 0);
        world_close();
    }
}

Test(batch, the_first_leaves_at_once_and_the_next_ones_together_after_the_window)
{
    open_busy(100);
    say(PRIORITY_NORMAL, 1);
    cr_assert_eq(heard(), 1, "nothing came before it");
    say(PRIORITY_NORMAL, 1);
    say(PRIORITY_NORMAL, 1);
    cr_assert_eq(heard(), 0);
    cr_assert_eq(net.stats.batches, 1);
    cr_assert_eq(net.stats.batched, 1);
    pass(WINDOW_MS - 2);
    cr_assert_eq(heard(), 0);
    pass(4);
    cr_assert_eq(heard(), 2);
    pass(2 * WINDOW_MS);
    say(PRIORITY_NORMAL, 1);
    cr_assert_eq(heard(), 1, "a message that comes alone does not wait");
    world_close();
}

Test(batch, the_window_grows_with_the_load)
{
    open_busy(70);
    cr_assert_eq(net.batches[TRANSPORT_HTTP].window_ms, WINDOW_MS / 2);
    say(PRIORITY_NORMAL, 1);
    say(PRIORITY_NORMAL, 1);
    cr_assert_eq(heard(), 1);
    pass(WINDOW_MS / 2 + 2);
    cr_assert_eq(heard(), 1);
    world_close();
}

Test(batch, enough_messages_or_bytes_leave_at_once)
{
    open_busy(100);
    say(PRIORITY_NORMAL, 1);
    for (unsigned i = 1; i < MESSAGES; i++)
        say(PRIORITY_NORMAL, 1);
    cr_assert_eq(heard(), 1);
    say(PRIORITY_NORMAL, 1);
    cr_assert_eq(heard(), MESSAGES);
    say(PRIORITY_NORMAL, BYTES);
    cr_assert_eq(heard(), BYTES);
    world_close();
}

Test(batch, what_is_critical_takes_along_what_waits)
{
    open_busy(100);
    say(PRIORITY_NORMAL, 1);
    say(PRIORITY_NORMAL, 2);
    cr_assert_eq(heard(), 1);
    say(PRIORITY_CRITICAL, 4);
    cr_assert_eq(heard(), 6);
    world_close();
}

Test(batch, the_end_of_a_stream_takes_along_what_waits)
{
    for (int finish = 0; finish < 2; finish++) {
        open_busy(100);
        say(PRIORITY_NORMAL, 1);
        say(PRIORITY_NORMAL, 2);
        cr_assert_eq(heard(), 1);
        if (finish)
            link_finish(&far.link, CLOSE_DONE);
        else
            batch_hurry(&far.link);
        sim_settle(sim);
        cr_assert_eq(heard(), 2);
        world_close();
    }
}

Test(batch, what_waited_is_counted_with_the_time_that_it_waited)
{
    const struct net_flow *flow;
    uint64_t at_once;

    open_busy(100);
    flow = &net.stats.flows[far.link.side][far.link.transport];
    say(PRIORITY_NORMAL, 10);
    at_once = flow->messages;
    cr_assert_gt(at_once, 0);
    pass(1);
    say(PRIORITY_NORMAL, 10);
    pass(3);
    say(PRIORITY_NORMAL, 10);
    cr_assert_eq(flow->messages, at_once, "they have not left");
    cr_assert_eq(net.stats.late_count, 0);
    pass(WINDOW_MS);
    cr_assert_eq(heard(), 30);
    cr_assert_eq(flow->messages, at_once);
    cr_assert_eq(net.stats.late_count, 2);
    cr_assert_geq(net.stats.late[0].waited_ns, WINDOW_MS * 1000000ull);
    cr_assert_eq(net.stats.late[0].waited_ns - net.stats.late[1].waited_ns, 3000000);
    cr_assert_eq(net.stats.late[0].messages, 1);
    cr_assert_eq(net.stats.late[1].messages, 1);
    world_close();
}

Test(batch, what_waited_and_is_dropped_is_not_counted)
{
    open_busy(100);
    say(PRIORITY_NORMAL, 10);
    pass(1);
    say(PRIORITY_NORMAL, 10);
    link_abort(&far.link, CLOSE_DONE, false);
    sim_settle(sim);
    cr_assert_eq(net.stats.late_count, 0);
    world_close();
}

Test(batch, nothing_waits_when_there_is_nothing_else_to_do)
{
    open_busy(100);
    say(PRIORITY_NORMAL, 1);
    cr_assert_not(batch_waits(&net));
    say(PRIORITY_NORMAL, 1);
    cr_assert(batch_waits(&net));
    cr_assert_eq(heard(), 1);
    batch_hurry_all(&net);
    cr_assert_not(batch_waits(&net));
    sim_settle(sim);
    cr_assert_eq(heard(), 1);
    world_close();
}

Test(batch, an_aborted_link_waits_for_nothing)
{
    open_busy(100);
    say(PRIORITY_NORMAL, 1);
    say(PRIORITY_NORMAL, 1);
    link_abort(&far.link, CLOSE_DONE, false);
    sim_settle(sim);
    cr_assert(list_empty(&net.batches[TRANSPORT_HTTP].held));
    pass(2 * WINDOW_MS);
    world_close();
}

Test(batch, what_waits_keeps_no_receive_buffer)
{
    open_busy(100);
    far.waits = true;
    say(PRIORITY_NORMAL, 1);
    heard();
    sim_peer_puts(near_peer, "from the pool");
    sim_settle(sim);
    cr_assert(far.link.is_held);
    assert_pool_is_whole();
    sim_peer_puts(near_peer, ", again");
    sim_settle(sim);
    assert_pool_is_whole();
    pass(2 * WINDOW_MS);
    assert_reads(far_peer, "from the pool, again", 20);
    world_close();
}

/* --- sources that rest --- */

enum { MESSAGE = 1 /* byte */ };

static void
open_source(unsigned load)
{
    open_busy(load);
    near.message_bytes = MESSAGE;
}

static void
tell(unsigned messages)
{
    while (messages--)
        sim_peer_puts(near_peer, "m");
    sim_settle(sim);
}

/* One a millisecond, until it rests. */
static void
tire(void)
{
    for (unsigned i = 0; i < 2; i++) {
        tell(1);
        cr_assert_eq(heard(), 1, "what begins a rest does not wait itself");
        pass(1 - i);
    }
    cr_assert(near.link.rests);
}

static uint64_t
receives(void)
{
    return ring_stats(net.ring)->bufs_taken[RING_SMALL];
}

Test(batch, a_source_that_is_fast_rests_and_what_follows_comes_in_one_receive)
{
    uint64_t before;

    open_source(100);
    tire();
    before = receives();
    for (unsigned i = 1; i < MESSAGES; i++) {
        pass(1);
        tell(1);
        cr_assert_eq(heard(), 0);
    }
    pass(1);
    cr_assert_eq(heard(), MESSAGES - 1, "as many as are enough should be there by now");
    cr_assert_eq(receives(), before + 1);
    cr_assert_eq(net.stats.batches, 1);
    cr_assert_eq(net.stats.batched, MESSAGES - 2);
    assert_pool_is_whole();
    world_close();
}

Test(batch, nothing_waits_at_a_source_for_longer_than_the_window)
{
    open_source(100);
    for (unsigned gap_ms = 1; gap_ms <= WINDOW_MS; gap_ms++) {
        for (unsigned i = 0; i < 20; i++) {
            unsigned waited_ms = 0;

            tell(1);
            while (!heard()) {
                pass(1);
                cr_assert_leq(++waited_ms, WINDOW_MS, "one every %u ms", gap_ms);
            }
            pass(gap_ms > waited_ms ? gap_ms - waited_ms : 0);
        }
        pass(100);
    }
    world_close();
}

Test(batch, a_source_that_is_slow_never_rests)
{
    open_source(100);
    for (unsigned i = 0; i < 20; i++) {
        tell(1);
        cr_assert_eq(heard(), 1);
        cr_assert_not(near.link.rests);
        pass(WINDOW_MS / 2 + 1);
    }
    cr_assert_eq(net.stats.batches, 0);
    world_close();
}

Test(batch, the_source_of_a_worker_that_is_not_busy_never_rests)
{
    open_source(50);
    for (unsigned i = 0; i < 20; i++) {
        tell(1);
        cr_assert_eq(heard(), 1);
        cr_assert_not(near.link.rests);
        pass(1);
    }
    world_close();
}

Test(batch, a_source_rests_until_enough_bytes_should_be_there)
{
    static char large[BYTES / 2];

    memset(large, 'm', sizeof large);
    open_source(100);
    near.message_bytes = sizeof large;
    for (unsigned i = 0; i < 2; i++) {
        sim_peer_send(near_peer, large, sizeof large);
        sim_settle(sim);
        cr_assert_eq(heard(), sizeof large);
        pass(1 - i);
    }
    cr_assert(near.link.rests);
    pass(1);
    sim_peer_send(near_peer, large, sizeof large);
    sim_settle(sim);
    cr_assert_eq(heard(), 0);
    pass(1);
    cr_assert_eq(heard(), sizeof large, "BYTES a time, at this pace");
    world_close();
}

Test(batch, more_than_a_buffer_holds_comes_after_one_rest)
{
    static char much[3 * BUF_BYTES];

    memset(much, 'm', sizeof much);
    open_source(100);
    tire();
    sim_peer_send(near_peer, much, sizeof much);
    pass(MESSAGES - 1);
    cr_assert_eq(heard(), 0);
    pass(1);
    cr_assert_eq(sim_peer_received(far_peer), 2 + sizeof much);
    world_close();
}

Test(batch, the_end_of_a_source_is_heard_after_its_rest)
{
    open_source(100);
    tire();
    tell(1);
    sim_peer_half_close(near_peer);
    pass(MESSAGES - 1);
    cr_assert_eq(near.ends, 0);
    pass(1);
    cr_assert_eq(heard(), 1);
    cr_assert_eq(near.ends, 1);
    world_close();
}

Test(batch, a_source_that_breaks_while_it_rests_tells_it_after_that)
{
    open_source(100);
    tire();
    sim_peer_reset(near_peer);
    near_peer = NULL;
    pass(MESSAGES);
    cr_assert_eq(near.broken, 1);
    world_close();
}

Test(batch, a_source_that_was_paused_while_it_rests_stays_so)
{
    open_source(100);
    tire();
    link_pause(&near.link);
    tell(1);
    pass(2 * WINDOW_MS);
    cr_assert_not(near.link.rests);
    cr_assert_eq(heard(), 0);
    link_resume(&near.link);
    sim_settle(sim);
    cr_assert_eq(heard(), 1);
    world_close();
}

Test(batch, a_source_that_is_resumed_while_it_rests_rests_on)
{
    open_source(100);
    tire();
    link_pause(&near.link);
    link_resume(&near.link);
    tell(1);
    cr_assert_eq(heard(), 0);
    pass(MESSAGES);
    cr_assert_eq(heard(), 1);
    world_close();
}

Test(batch, a_source_that_is_roused_brings_what_it_has)
{
    open_source(100);
    tire();
    tell(1);
    cr_assert_eq(heard(), 0);
    batch_rouse(&near.link);
    sim_settle(sim);
    cr_assert_eq(heard(), 1);
    world_close();
}

Test(batch, a_source_that_is_finished_while_it_rests_hears_the_peers_end)
{
    open_source(100);
    tire();
    link_finish(&near.link, CLOSE_DONE);
    sim_settle(sim);
    sim_peer_half_close(near_peer);
    pass(net.linger_ms / 2);
    cr_assert_eq(near.closed, 1, "it does not have to linger until its time is over");
    world_close();
}

Test(batch, a_source_may_be_aborted_while_it_rests)
{
    open_source(100);
    tire();
    link_abort(&near.link, CLOSE_DONE, false);
    sim_settle(sim);
    cr_assert_eq(near.closed, 1);
    pass(2 * WINDOW_MS);
    world_close();
}

Test(batch, what_comes_in_bulk_rests_too)
{
    open_source(100);
    link_set_bulk(&near.link, true);
    sim_settle(sim);
    tire();
    for (unsigned i = 1; i < MESSAGES; i++) {
        pass(1);
        tell(1);
        cr_assert_eq(heard(), 0);
    }
    pass(1);
    cr_assert_eq(heard(), MESSAGES - 1);
    world_close();
}
