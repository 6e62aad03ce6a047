/* SPDX-License-Identifier: Apache-2.0 */
/* The link: sending, slow readers, flow control, filters. */
#include "net_relay.h"

#include <criterion/criterion.h>

Test(link, passes_bytes_both_ways)
{
    relay_open(1);
    sim_peer_puts(near_peer, "ping");
    sim_settle(sim);
    assert_reads(far_peer, "ping", 4);
    sim_peer_puts(far_peer, "pong");
    sim_settle(sim);
    assert_reads(near_peer, "pong", 4);
    cr_assert_eq(far.link.sent_bytes, 4);
    cr_assert_eq(near.link.received_bytes, 4);
    cr_assert_null(far.link.out, "lanes exist only while something is queued");
    cr_assert_eq(slab.taken, 0, "nothing is copied on the way");
    world_close();
}

Test(link, sends_what_was_queued_in_one_turn_with_one_send)
{
    static struct buf words = {.data = (uint8_t *)(uintptr_t) "abcdefgh", .size = 8, .kind = BUF_STATIC};
    uint64_t before;

    relay_open(1);
    sim_settle(sim);
    before = ring_stats(net.ring)->completions;
    for (unsigned i = 0; i < 8; i++)
        link_push(&far.link, PRIORITY_NORMAL, span_of(&words, i, 1));
    sim_settle(sim);
    assert_reads(far_peer, "abcdefgh", 8);
    cr_assert_eq(ring_stats(net.ring)->completions, before + 1);
    world_close();
}

Test(link, sends_more_spans_than_one_send_takes_in_order)
{
    static char digits[1000];
    struct buf all = {.data = (uint8_t *)digits, .size = sizeof digits, .kind = BUF_STATIC};

    put_number_text(digits, sizeof digits);
    relay_open(1);
    for (uint32_t i = 0; i < sizeof digits; i++)
        link_push(&far.link, PRIORITY_NORMAL, span_of(&all, i, 1));
    sim_settle(sim);
    assert_reads(far_peer, digits, sizeof digits);
    world_close();
}

Test(link, sends_lanes_in_the_order_of_their_importance)
{
    static struct buf words = {.data = (uint8_t *)(uintptr_t) "CHNL", .size = 4, .kind = BUF_STATIC};

    relay_open(1);
    for (int lane = PRIORITY_LOW; lane >= PRIORITY_CRITICAL; lane--)
        link_push(&far.link, (enum priority)lane, span_of(&words, (uint32_t)lane, 1));
    sim_settle(sim);
    assert_reads(far_peer, "CHNL", 4);
    world_close();
}

Test(link, copies_the_rest_of_a_short_send_once_and_gives_the_receive_buffers_back)
{
    char text[3000];

    put_number_text(text, sizeof text);
    relay_open(1);
    far.deaf = true;
    sim_peer_set_window(far_peer, 100);
    sim_peer_send(near_peer, text, 1500);
    sim_settle(sim);
    cr_assert(link_blocked(&far.link));
    cr_assert_eq(net.stats.spills, 1);
    cr_assert_eq(link_queued(&far.link), 1400);
    cr_assert_gt(slab.used_bytes, 0);
    assert_pool_is_whole();

    sim_peer_send(near_peer, text + 1500, 1500);
    sim_settle(sim);
    cr_assert_eq(net.stats.spills, 1, "what is pushed while blocked is copied on its way in");
    cr_assert_eq(link_queued(&far.link), 2900);
    assert_pool_is_whole();

    sim_peer_set_window(far_peer, 1 << 20);
    sim_settle(sim);
    assert_reads(far_peer, text, sizeof text);
    cr_assert_not(link_blocked(&far.link));
    cr_assert_eq(slab.used_bytes, 0);
    world_close();
}

Test(link, gives_the_receive_buffers_back_when_the_first_send_finds_no_room_at_all)
{
    relay_open(1);
    sim_peer_set_window(far_peer, 0);
    sim_peer_puts(near_peer, "held");
    sim_settle(sim);
    cr_assert(link_blocked(&far.link));
    assert_pool_is_whole();
    sim_peer_set_window(far_peer, 100);
    sim_settle(sim);
    assert_reads(far_peer, "held", 4);
    world_close();
}

Test(link, tells_at_once_that_the_kernel_takes_no_more)
{
    enum { FIRST = 4000 }; /* above the low mark */
    static char text[60000];

    put_number_text(text, sizeof text);
    relay_open(1);
    sim_peer_set_window(far_peer, 100);
    sim_peer_send(near_peer, text, FIRST);
    sim_settle(sim);
    cr_assert_eq(far.congested, 1);
    cr_assert_eq(net.stats.pauses, 1);
    cr_assert(near.link.paused);
    sim_peer_send(near_peer, text + FIRST, sizeof text - FIRST);
    sim_settle(sim);
    cr_assert_eq(link_queued(&far.link), FIRST - 100, "nothing more is read");
    cr_assert_eq(far.congested, 1);
    sim_peer_set_window(far_peer, 1 << 20);
    sim_settle(sim);
    assert_reads(far_peer, text, sizeof text);
    cr_assert_eq(net.stats.resumes, net.stats.pauses);
    world_close();
}

Test(link, receives_one_buffer_at_a_time_from_a_source_that_was_paused)
{
    relay_open(1);
    link_pause(&near.link);
    sim_settle(sim);
    link_resume(&near.link);
    sim_peer_puts(near_peer, "behind a pause");
    sim_settle(sim);
    assert_reads(far_peer, "behind a pause", 14);
    cr_assert_eq(ring_stats(net.ring)->bufs_taken[RING_BULK], 1);
    world_close();
}

Test(link, stops_its_source_at_the_high_mark_and_says_once_when_it_may_go_on)
{
    static char text[60000];

    put_number_text(text, sizeof text);
    relay_open(1);
    sim_peer_set_window(far_peer, 0);
    sim_peer_send(near_peer, text, sizeof text);
    sim_settle(sim);
    cr_assert_eq(net.stats.pauses, 1);
    cr_assert_geq(link_queued(&far.link), HIGH);
    cr_assert_leq(link_queued(&far.link), HIGH * 4 + 8 * BUF_BYTES, "no more than a turn above the mark");
    cr_assert_eq(far.writable, 0);
    assert_pool_is_whole();

    uint32_t queued = link_queued(&far.link);
    sim_peer_set_window(far_peer, queued - LOW - 1);
    sim_settle(sim);
    cr_assert_eq(far.writable, 0, "one byte above the low mark");

    sim_peer_set_window(far_peer, 1 << 20);
    sim_settle(sim);
    cr_assert_geq(far.writable, 1);
    cr_assert_eq(net.stats.resumes, net.stats.pauses);
    assert_reads(far_peer, text, sizeof text);
    world_close();
}

Test(link, drops_a_peer_that_takes_no_byte_for_the_send_timeout)
{
    relay_open(1);
    net.send_timeout_ms = 1000;
    sim_peer_set_window(far_peer, 2);
    sim_peer_puts(near_peer, "too much");
    sim_settle(sim);
    sim_advance(sim, 999);
    cr_assert_eq(far.broken, 0);
    sim_advance(sim, 10);
    cr_assert_eq(far.broken, 1);
    cr_assert_eq(far.broken_reason, CLOSE_SEND_STALLED);
    cr_assert_eq(far.closed, 1);
    cr_assert_eq(far.reason, CLOSE_SEND_STALLED);
    cr_assert_eq(near.broken, 0);
    world_close();
}

Test(link, bears_a_reader_that_is_slow_but_alive)
{
    char text[200], byte;

    put_number_text(text, sizeof text);
    relay_open(1);
    net.send_timeout_ms = 1000;
    sim_peer_set_window(far_peer, 1);
    sim_peer_send(near_peer, text, sizeof text);
    for (unsigned i = 0; i < sizeof text; i++) {
        sim_advance(sim, 900);
        cr_assert_eq(sim_peer_read(far_peer, &byte, 1), 1, "byte %u", i);
        cr_assert_eq(byte, text[i]);
    }
    cr_assert_eq(far.broken, 0);
    world_close();
}

Test(link, watches_every_blocked_peer_and_not_only_the_first)
{
    relay_open(1);
    net.send_timeout_ms = 1000;
    sim_peer_set_window(far_peer, 1);
    sim_peer_set_window(near_peer, 1);
    sim_peer_puts(near_peer, "first");
    sim_settle(sim);
    sim_advance(sim, 500);
    sim_peer_puts(far_peer, "second");
    sim_settle(sim);
    sim_advance(sim, 600);
    cr_assert_eq(far.closed, 1);
    cr_assert_eq(near.closed, 0);
    sim_advance(sim, 500);
    cr_assert_eq(near.closed, 1);
    cr_assert_eq(near.reason, CLOSE_SEND_STALLED);
    world_close();
}

/* --- flow control and groups --- */

Test(link, delivers_nothing_while_paused)
{
    relay_open(1);
    link_pause(&near.link);
    sim_settle(sim);
    sim_peer_puts(near_peer, "wait");
    sim_settle(sim);
    cr_assert_eq(near.delivered, 0);
    link_resume(&near.link);
    link_resume(&near.link);
    sim_settle(sim);
    assert_reads(far_peer, "wait", 4);
    world_close();
}

Test(link, pauses_and_resumes_within_one_turn)
{
    relay_open(1);
    sim_settle(sim);
    for (unsigned i = 0; i < 5; i++) {
        link_pause(&near.link);
        link_resume(&near.link);
    }
    link_pause(&near.link);
    sim_settle(sim);
    sim_peer_puts(near_peer, "wait");
    sim_settle(sim);
    cr_assert_eq(near.delivered, 0);
    link_resume(&near.link);
    link_pause(&near.link);
    link_resume(&near.link);
    sim_settle(sim);
    assert_reads(far_peer, "wait", 4);
    world_close();
}

Test(link, tells_the_peers_end_after_a_resume)
{
    relay_open(1);
    link_pause(&near.link);
    sim_settle(sim);
    sim_peer_puts(near_peer, "last");
    sim_peer_half_close(near_peer);
    sim_settle(sim);
    cr_assert_eq(near.ends, 0);
    link_resume(&near.link);
    sim_settle(sim);
    cr_assert_eq(near.ends, 1);
    assert_reads(far_peer, "last", 4);
    world_close();
}

Test(link, may_be_paused_and_moved_to_large_buffers_after_the_peers_end)
{
    relay_open(1);
    sim_peer_half_close(near_peer);
    sim_settle(sim);
    link_pause(&near.link);
    sim_settle(sim);
    link_set_bulk(&near.link, true);
    sim_settle(sim);
    link_resume(&near.link);
    link_set_bulk(&near.link, false);
    sim_settle(sim);
    cr_assert_eq(near.broken, 0);
    cr_assert_eq(near.ends, 1);
    sim_peer_puts(far_peer, "still open");
    sim_settle(sim);
    assert_reads(near_peer, "still open", 10);
    world_close();
}

Test(link, moves_to_the_group_of_large_buffers_and_back)
{
    static char text[20000];

    put_number_text(text, sizeof text);
    relay_open(1);
    sim_peer_send(near_peer, text, 5000);
    sim_settle(sim);
    link_set_bulk(&near.link, true);
    sim_peer_send(near_peer, text + 5000, 10000);
    sim_settle(sim);
    cr_assert_gt(ring_stats(net.ring)->bufs_taken[RING_BULK], 0);
    link_set_bulk(&near.link, false);
    sim_settle(sim);
    sim_peer_send(near_peer, text + 15000, 5000);
    sim_settle(sim);
    assert_reads(far_peer, text, sizeof text);
    world_close();
}

static void
read_large(void)
{
    relay_open(1);
    link_set_bulk(&near.link, true);
    link_set_large(&near.link, true);
    sim_settle(sim);
}

Test(link, with_large_buffers_its_source_stops_by_itself)
{
    static char text[5 * LARGE / 2];

    put_number_text(text, sizeof text);
    read_large();
    sim_peer_send(near_peer, text, sizeof text);
    sim_settle(sim);
    assert_reads(far_peer, text, sizeof text);
    cr_assert_geq(ring_stats(net.ring)->bufs_taken[RING_LARGE], 3);
    cr_assert_eq(ring_stats(net.ring)->bufs_taken[RING_BULK], 0);
    cr_assert_eq(net.stats.pauses, 0);
    cr_assert_eq(slab.taken, 0, "nothing is copied on the way");
    world_close();
}

Test(link, a_reader_that_stops_keeps_a_large_buffer_with_more_than_the_high_mark)
{
    static char text[5 * LARGE / 2];

    put_number_text(text, sizeof text);
    read_large();
    sim_peer_set_window(far_peer, 100);
    sim_peer_send(near_peer, text, sizeof text);
    sim_settle(sim);
    cr_assert(link_blocked(&far.link));
    cr_assert(near.link.paused);
    cr_assert_eq(link_queued(&far.link), LARGE - 100);
    cr_assert_eq(slab.taken, 0);
    cr_assert_eq(ring_stats(net.ring)->bufs_taken[RING_LARGE], 1);
    sim_peer_set_window(far_peer, sizeof text);
    sim_settle(sim);
    assert_reads(far_peer, text, sizeof text);
    assert_pool_is_whole();
    world_close();
}

Test(link, a_reader_that_stops_gives_a_large_buffer_back_with_less_than_that)
{
    static char text[5 * LARGE / 2];

    put_number_text(text, sizeof text);
    read_large();
    sim_peer_set_window(far_peer, LARGE - HIGH);
    sim_peer_send(near_peer, text, sizeof text);
    sim_settle(sim);
    cr_assert_eq(link_queued(&far.link), HIGH);
    assert_pool_is_whole();
    sim_peer_set_window(far_peer, sizeof text);
    sim_settle(sim);
    assert_reads(far_peer, text, sizeof text);
    world_close();
}

/* The kernel fills dozens of small buffers before the cancel of their receive comes. */
Test(link, keeps_to_large_buffers_whatever_small_ones_were_filled_before)
{
    static char text[8 * BUF_BYTES]; /* all small ones that there are */

    put_number_text(text, sizeof text);
    relay_open(1);
    sim_peer_send(near_peer, text, sizeof text);
    sim_settle(sim);
    assert_reads(far_peer, text, sizeof text);
    cr_assert_eq(ring_stats(net.ring)->bufs_taken[RING_SMALL], 8);
    cr_assert(near.link.bulk);
    world_close();
}

Test(link, moves_to_the_other_group_while_paused)
{
    relay_open(1);
    link_pause(&near.link);
    link_set_bulk(&near.link, true);
    sim_settle(sim);
    sim_peer_puts(near_peer, "big");
    sim_settle(sim);
    cr_assert_eq(near.delivered, 0);
    link_resume(&near.link);
    sim_settle(sim);
    assert_reads(far_peer, "big", 3);
    cr_assert_eq(ring_stats(net.ring)->bufs_taken[RING_BULK], 1);
    world_close();
}

Test(link, closes_without_a_call_from_within_when_the_slab_is_used_up)
{
    static char text[50000];

    put_number_text(text, sizeof text);
    relay_open(1);
    slab.limit_bytes = 4096;
    sim_peer_set_window(far_peer, 10);
    sim_peer_send(near_peer, text, sizeof text);
    sim_settle(sim);
    cr_assert_eq(far.broken, 0);
    cr_assert_eq(far.reason, CLOSE_NO_MEMORY);
    cr_assert_eq(far.closed, 1);
    assert_pool_is_whole();
    world_close();
}

/* --- filters --- */

/* What arrives is what was sent, whatever stands in the slot, with a slow reader and a small pool. */
static void
pass_through_filters(const struct filter_ops *near_ops, const struct filter_ops *far_ops)
{
    static char text[30000], got[sizeof text];
    size_t sent = 0, taken = 0;

    put_number_text(text, sizeof text);
    relay_open(7);
    filters_freed = 0;
    if (near_ops)
        add_filter(&near, near_ops);
    if (far_ops)
        add_filter(&far, far_ops);
    sim_peer_set_window(far_peer, 700);
    while (taken < sizeof text) {
        sent += sim_peer_send(near_peer, text + sent, sizeof text - sent);
        sim_settle(sim);
        taken += sim_peer_read(far_peer, got + taken, sizeof got - taken);
    }
    cr_assert_arr_eq(got, text, sizeof text);
    sim_peer_puts(far_peer, "answer");
    sim_settle(sim);
    assert_reads(near_peer, "answer", 6);
    world_close();
    cr_assert_eq(filters_freed, (near_ops != NULL) + (far_ops != NULL));
}

Test(link, passes_the_same_stream_through_any_filter)
{
    const struct filter_ops *ops[] = {NULL, &null_ops, &byte_ops};

    for (unsigned i = 0; i < 9; i++)
        pass_through_filters(ops[i / 3], ops[i % 3]);
}

Test(link, stops_a_filter_whose_owner_aborts_in_the_middle)
{
    relay_open(1);
    add_filter(&near, &byte_ops);
    abort_at = 4;
    moments = 0;
    sim_peer_puts(near_peer, "0123456789");
    sim_settle(sim);
    cr_assert_leq(near.delivered, 4);
    cr_assert_eq(near.closed, 1);
    world_close();
}
