/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The link on the simulator. Most tests run a relay of two links, the smallest program that uses all of one:
 *
 *      near peer <--> near.link --push--> far.link <--> far peer
 */
#include "net/link.h"
#include "ring/ring_sim.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>

enum { HIGH = 8192, LOW = 2048, BUF_BYTES = 1024, STREAM_MAX = 200000 };

struct side {
    struct link link;
    struct side *other;
    bool opened, echo_end;
    unsigned ends, closed, broken, writable, connected;
    uint64_t delivered;
    int connect_error;
    enum close_reason reason, broken_reason;
};

static struct sim *sim;
static struct slab slab;
static struct net net;
static struct side near, far;
static struct sim_peer *near_peer, *far_peer;
static int listener;
static unsigned moments, abort_at; /* the relay is aborted at this call of moment(); 0: never */

static void
abort_both(void)
{
    if (near.opened)
        link_abort(&near.link, CLOSE_DRAIN, false);
    if (far.opened)
        link_abort(&far.link, CLOSE_DRAIN, true);
}

/* Each place from which an owner may abort a link. */
static void
moment(void)
{
    if (++moments == abort_at)
        abort_both();
}

static struct side *
side_of(struct link *link)
{
    return container_of(link, struct side, link);
}

static void
on_bytes(struct link *link, struct span bytes)
{
    struct side *s = side_of(link);

    s->delivered += bytes.len;
    link_push(&s->other->link, LANE_NORMAL, bytes);
    if (link_congested(&s->other->link))
        link_pause(link);
    moment();
}

static void
on_end(struct link *link)
{
    struct side *s = side_of(link);

    s->ends++;
    if (s->echo_end)
        link_finish(&s->other->link, CLOSE_DONE);
    moment();
}

static void
on_connected(struct link *link, int error)
{
    struct side *s = side_of(link);

    s->connected++;
    s->connect_error = error;
    moment();
}

static void
on_writable(struct link *link)
{
    struct side *s = side_of(link);

    s->writable++;
    link_resume(&s->other->link);
    moment();
}

static void
on_broken(struct link *link, enum close_reason reason)
{
    side_of(link)->broken++;
    side_of(link)->broken_reason = reason;
    moment();
}

static void
on_closed(struct link *link, enum close_reason reason)
{
    struct side *s = side_of(link);

    cr_assert_eq(link->fd, -1);
    cr_assert_not(op_busy(&link->rx) || op_busy(&link->tx));
    s->closed++;
    s->reason = reason;
}

static const struct link_up up = {
    .on_bytes = on_bytes,
    .on_end = on_end,
    .on_connected = on_connected,
    .on_writable = on_writable,
    .on_broken = on_broken,
    .on_closed = on_closed,
};

static void
turn(void *arg)
{
    (void)arg;
    ring_reap(net.ring);
    moment();
    net_flush(&net);
    ring_wait(net.ring, 1000);
}

static void
world_open(uint64_t seed)
{
    struct ring_config config = {.buf_count = {8, 4}, .buf_size = {BUF_BYTES, 4 * BUF_BYTES}};

    sim = sim_open(seed, &config);
    sim_on_turn(sim, turn, NULL);
    listener = sim_listen(sim, "10.0.0.1:80");
    slab_init(&slab, 0);
    net_init(&net, sim_ring(sim), &slab, HIGH, LOW);
    near = (struct side){.other = &far};
    far = (struct side){.other = &near};
    moments = abort_at = 0;
}

static struct sim_peer *
side_open(struct side *s)
{
    struct sim_peer *peer = sim_connect_to(sim, listener, NULL);

    link_init(&s->link, &net, &up, LINK_CLIENT);
    link_open(&s->link, ring_accept_now(net.ring, listener));
    s->opened = true;
    return peer;
}

static void
relay_open(uint64_t seed)
{
    world_open(seed);
    near_peer = side_open(&near);
    far_peer = side_open(&far);
}

/* Ends what is still there and makes the checks of every test: one on_closed for each link, nothing out. */
static void
world_close(void)
{
    for (unsigned f = 0; f < SIM_FAULTS; f++)
        sim_set_fault(sim, f, 0);
    abort_both();
    sim_settle(sim);
    cr_assert_eq(near.closed, near.opened);
    cr_assert_eq(far.closed, far.opened);
    cr_assert_eq(net.stats.queued_bytes, 0);
    net_done(&net);
    slab_done(&slab);
    sim_close(&sim);
}

static void
put_number_text(char *out, size_t count)
{
    for (size_t i = 0; i < count; i++)
        out[i] = (char)('a' + (i * 31 + i / 251) % 26);
}

static void
assert_reads(struct sim_peer *peer, const void *want, size_t count)
{
    static char got[STREAM_MAX];

    cr_assert_eq(sim_peer_read(peer, got, sizeof got), count);
    cr_assert_arr_eq(got, want, count);
}

static void
assert_pool_is_whole(void)
{
    const struct ring_stats *s = ring_stats(net.ring);

    cr_assert_eq(s->bufs_taken[RING_SMALL], s->bufs_returned[RING_SMALL]);
    cr_assert_eq(s->bufs_taken[RING_BULK], s->bufs_returned[RING_BULK]);
}

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
        link_push(&far.link, LANE_NORMAL, span_of(&words, i, 1));
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
        link_push(&far.link, LANE_NORMAL, span_of(&all, i, 1));
    sim_settle(sim);
    assert_reads(far_peer, digits, sizeof digits);
    world_close();
}

Test(link, sends_lanes_in_the_order_of_their_importance)
{
    static struct buf words = {.data = (uint8_t *)(uintptr_t) "CHNL", .size = 4, .kind = BUF_STATIC};

    relay_open(1);
    for (int lane = LANE_LOW; lane >= LANE_CRITICAL; lane--)
        link_push(&far.link, (enum lane)lane, span_of(&words, (uint32_t)lane, 1));
    sim_settle(sim);
    assert_reads(far_peer, "CHNL", 4);
    world_close();
}

Test(link, copies_the_rest_of_a_short_send_once_and_gives_the_receive_buffers_back)
{
    char text[3000];

    put_number_text(text, sizeof text);
    relay_open(1);
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
    link_push(&far.link, LANE_NORMAL, span_all(&word));
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

Test(link, breaks_with_no_memory_when_the_slab_is_used_up)
{
    static char text[50000];

    put_number_text(text, sizeof text);
    relay_open(1);
    slab.limit_bytes = 4096;
    sim_peer_set_window(far_peer, 10);
    sim_peer_send(near_peer, text, sizeof text);
    sim_settle(sim);
    cr_assert_eq(far.broken, 1);
    cr_assert_eq(far.reason, CLOSE_NO_MEMORY);
    cr_assert_eq(far.closed, 1);
    assert_pool_is_whole();
    world_close();
}

/* --- connecting --- */

static int
connect_to(struct side *s, unsigned host)
{
    struct sockaddr_in in = {
        .sin_family = AF_INET, .sin_port = htons(80), .sin_addr.s_addr = htonl(0x0a000000 + host)};

    return link_connect(&s->link, (struct sockaddr *)&in, sizeof in);
}

/* The near side is open, the far one new; 10.0.0.2 serves, .3 refuses, .4 hangs. */
static void
connect_world_open(uint64_t seed)
{
    world_open(seed);
    near_peer = side_open(&near);
    link_init(&far.link, &net, &up, LINK_UPSTREAM);
    far.opened = true;
    sim_serve(sim, "10.0.0.2:80", SIM_ACCEPT);
    sim_serve(sim, "10.0.0.3:80", SIM_REFUSE);
    sim_serve(sim, "10.0.0.4:80", SIM_HANG);
}

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
    link_init(&third.link, &net, &up, LINK_UPSTREAM);
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
    link_push(&third.link, LANE_NORMAL, span_all(&word));
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
    link_init(&rescue.link, &net, &up, LINK_UPSTREAM);
    link_move_queue(link, &rescue.link);
}

Test(link, moves_the_queue_of_a_link_that_broke)
{
    static struct link_up rescuing;

    rescuing = up;
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

/* --- filters --- */

static unsigned filters_freed;

static void
null_in(struct filter *filter, struct link *link, struct span bytes)
{
    (void)filter;
    link_deliver(link, bytes);
}

static void
null_out(struct filter *filter, struct link *link, enum lane lane, struct span bytes)
{
    (void)filter;
    link_enqueue(link, lane, bytes);
}

static void
byte_in(struct filter *filter, struct link *link, struct span bytes)
{
    (void)filter;
    for (uint32_t i = 0; i < bytes.len; i++)
        link_deliver(link, span_head(span_skip(bytes, i), 1));
}

static void
byte_out(struct filter *filter, struct link *link, enum lane lane, struct span bytes)
{
    (void)filter;
    for (uint32_t i = 0; i < bytes.len; i++)
        link_enqueue(link, lane, span_head(span_skip(bytes, i), 1));
}

static void
filter_free(struct filter *filter)
{
    filters_freed++;
    free(filter);
}

static const struct filter_ops null_ops = {null_in, null_out, filter_free};
static const struct filter_ops byte_ops = {byte_in, byte_out, filter_free};

static void
add_filter(struct side *s, const struct filter_ops *ops)
{
    struct filter *filter = malloc(sizeof *filter);

    filter->ops = ops;
    link_set_filter(&s->link, filter);
}

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
    link_init(&far.link, &net, &up, LINK_UPSTREAM);
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
    world_close();
    steps = 400;
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
    while ((taken[0] < size[0] || taken[1] < size[1]) && turns++ < 40000) {
        for (unsigned i = 0; i < 2; i++) {
            size_t n = sim_random(sim, 4000);

            sent[i] += sim_peer_send(peers[i], text + sent[i], n < size[i] - sent[i] ? n : size[i] - sent[i]);
            taken[i] += sim_peer_read(peers[!i], got[i] + taken[i], sim_random(sim, 4000));
        }
        if (sim_random(sim, 20) == 0)
            link_set_bulk(sim_random(sim, 2) ? &near.link : &far.link, sim_random(sim, 2));
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
