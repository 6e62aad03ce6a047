/* SPDX-License-Identifier: Apache-2.0 */
/* Lanes: which of what is queued on a link leaves first, and which link of a turn. */
#include "net/outbound.h"
#include "net_relay.h"

#include <criterion/criterion.h>

enum { MANY = 100, FLIGHT = 4 * OUTBOUND_CHUNK_SPANS /* what one send takes of many small spans */ };

static struct buf letters = {.data = (uint8_t *)(uintptr_t) "chnl!", .size = 5, .kind = BUF_STATIC};

static void
push(enum priority lane, bool ends)
{
    link_push(&far.link, lane, span_of(&letters, (uint32_t)lane, 1));
    if (ends)
        link_end_message(&far.link, lane);
}

/* What the far peer has read when all has left, in `text`. */
static void
read_all(char *text, uint32_t len)
{
    sim_peer_set_window(far_peer, 1 << 20);
    sim_settle(sim);
    cr_assert_eq(sim_peer_read(far_peer, text, len), len);
}

static void
open_blocked(void)
{
    relay_open(1);
    sim_settle(sim);
    sim_peer_set_window(far_peer, 0);
}

Test(lanes, a_message_that_has_begun_to_leave_is_finished_first)
{
    char text[MANY + 1];

    open_blocked();
    for (unsigned i = 0; i < MANY; i++)
        push(PRIORITY_NORMAL, i == MANY - 1);
    sim_settle(sim);
    push(PRIORITY_CRITICAL, true);
    read_all(text, sizeof text);
    cr_assert_eq(text[MANY], 'c');
    world_close();
}

Test(lanes, an_urgent_message_overtakes_those_that_wait_behind_the_one_that_leaves)
{
    char text[MANY + 1];

    open_blocked();
    for (unsigned i = 0; i < MANY; i++)
        push(PRIORITY_NORMAL, true);
    sim_settle(sim);
    push(PRIORITY_CRITICAL, true);
    read_all(text, sizeof text);
    cr_assert_eq(text[FLIGHT], 'c', "what the kernel was given stays before it");
    world_close();
}

Test(lanes, what_is_least_urgent_leaves_before_long)
{
    enum { ALL = 40 * OUTBOUND_CHUNK_SPANS + 1 };
    static char text[ALL];
    const char *low;

    open_blocked();
    push(PRIORITY_LOW, true);
    for (unsigned i = 1; i < ALL; i++)
        push(PRIORITY_HIGH, true);
    read_all(text, ALL);
    low = memchr(text, 'l', ALL);
    cr_assert_not_null(low);
    cr_assert_leq(low - text, 8 * OUTBOUND_CHUNK_SPANS);
    cr_assert_geq(low - text, OUTBOUND_CHUNK_SPANS, "but not first");
    world_close();
}

Test(lanes, a_last_word_leaves_behind_all_lanes)
{
    char text[5];

    open_blocked();
    push(PRIORITY_LOW, true);
    push(PRIORITY_NORMAL, true);
    push(PRIORITY_CRITICAL, true);
    push(PRIORITY_HIGH, true);
    link_join_lanes(&far.link);
    link_push(&far.link, PRIORITY_LOW, span_of(&letters, 4, 1));
    read_all(text, sizeof text);
    cr_assert_arr_eq(text, "chnl!", 5);
    world_close();
}

Test(lanes, a_message_in_the_middle_stays_first_when_the_lanes_are_joined)
{
    char text[MANY + 2];

    open_blocked();
    for (unsigned i = 0; i < MANY; i++)
        push(PRIORITY_NORMAL, i == MANY - 1);
    sim_settle(sim);
    push(PRIORITY_HIGH, true);
    link_join_lanes(&far.link);
    link_push(&far.link, PRIORITY_LOW, span_of(&letters, 4, 1));
    read_all(text, sizeof text);
    cr_assert_arr_eq(text + MANY - 1, "nh!", 3);
    world_close();
}

/* The ends of messages, when what lay in the receive pool is copied together. */
Test(lanes, messages_stay_apart_when_they_are_copied)
{
    static struct buf received = {
        .data = (uint8_t *)(uintptr_t) "abc", .size = 3, .kind = BUF_PROVIDED, .refs = 1000};
    struct outbound *out;
    struct iovec *iov;
    unsigned n;

    relay_open(1);
    out = outbound_new(&net);
    out->flow = &net.stats.flows[LINK_CLIENT][TRANSPORT_HTTP];
    outbound_push(&net, out, PRIORITY_NORMAL, span_of(&received, 0, 1), false);
    outbound_push(&net, out, PRIORITY_NORMAL, span_of(&received, 1, 1), false);
    outbound_end_message(out, PRIORITY_NORMAL);
    cr_assert(outbound_spill(&net, out));
    outbound_push(&net, out, PRIORITY_CRITICAL, span_of(&letters, 0, 1), false);
    iov = ring_arena(net.ring, sizeof *iov * OUTBOUND_SEND_MAX);
    n = outbound_gather(out, iov);
    cr_assert_eq(n, 2);
    cr_assert_arr_eq(iov[0].iov_base, "c", 1);
    cr_assert_arr_eq(iov[1].iov_base, "ab", 2);
    cr_assert_eq(out->begun, PRIORITIES, "the message has left whole");
    outbound_push(&net, out, PRIORITY_NORMAL, span_of(&received, 2, 1), true);
    outbound_sent(&net, out, 3);
    outbound_gather(out, iov);
    cr_assert_eq(out->begun, PRIORITY_NORMAL, "and this one has not ended");
    outbound_free(&net, &out);
    cr_assert_eq(slab.used_bytes, 0);
    world_close();
}

Test(lanes, the_link_with_the_most_urgent_message_is_served_first)
{
    relay_open(1);
    sim_settle(sim);
    link_push(&near.link, PRIORITY_NORMAL, span_of(&letters, PRIORITY_NORMAL, 1));
    cr_assert_eq(list_first(&net.dirty[PRIORITY_NORMAL]), &near.link.node);
    push(PRIORITY_CRITICAL, true);
    cr_assert_eq(list_first(&net.dirty[PRIORITY_CRITICAL]), &far.link.node);
    sim_settle(sim);
    near.link.urgency = PRIORITY_LOW;
    link_push(&near.link, PRIORITY_NORMAL, span_of(&letters, PRIORITY_NORMAL, 1));
    cr_assert_eq(list_first(&net.dirty[PRIORITY_LOW]), &near.link.node,
                 "of one lane its owner says how urgent it is");
    sim_settle(sim);
    assert_reads(near_peer, "nn", 2);
    assert_reads(far_peer, "c", 1);
    world_close();
}
