/* SPDX-License-Identifier: Apache-2.0 */
#include "net_relay.h"

#include "net/batch.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <stdlib.h>

struct sim *sim;
struct slab slab;
struct net net;
struct side near, far;
struct sim_peer *near_peer, *far_peer;
static int listener;
unsigned moments, abort_at;

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
    link_push(&s->other->link, PRIORITY_NORMAL, bytes);
    if (s->other->waits)
        batch_wait(&s->other->link, 1);
    if (s->message_bytes && bytes.len >= s->message_bytes)
        batch_rest(link, bytes.len / s->message_bytes);
    if (link_stops(&s->other->link, link))
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
on_congested(struct link *link)
{
    struct side *s = side_of(link);

    s->congested++;
    if (!s->deaf)
        link_pause(&s->other->link);
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

void
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

const struct link_up relay_up = {
    .on_bytes = on_bytes,
    .on_end = on_end,
    .on_connected = on_connected,
    .on_congested = on_congested,
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

void
world_open(uint64_t seed)
{
    struct ring_config config = {.buf_count = {8, 4, 2}, .buf_size = {BUF_BYTES, 4 * BUF_BYTES, LARGE}};

    sim = sim_open(seed, &config);
    sim_on_turn(sim, turn, NULL);
    listener = sim_listen(sim, "10.0.0.1:80");
    slab_init(&slab, 0);
    net_init(&net, sim_ring(sim), &slab, HIGH, LOW);
    near = (struct side){.other = &far};
    far = (struct side){.other = &near};
    moments = abort_at = 0;
}

struct sim_peer *
side_open(struct side *s)
{
    struct sim_peer *peer = sim_connect_to(sim, listener, NULL);

    link_init(&s->link, &net, &relay_up, LINK_CLIENT);
    link_open(&s->link, ring_accept_now(net.ring, listener));
    s->opened = true;
    return peer;
}

void
relay_open(uint64_t seed)
{
    world_open(seed);
    near_peer = side_open(&near);
    far_peer = side_open(&far);
}

/* Ends what is still there and makes the checks of every test: one on_closed for each link, nothing out. */
void
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

void
put_number_text(char *out, size_t count)
{
    for (size_t i = 0; i < count; i++)
        out[i] = (char)('a' + (i * 31 + i / 251) % 26);
}

void
assert_reads(struct sim_peer *peer, const void *want, size_t count)
{
    static char got[STREAM_MAX];

    cr_assert_eq(sim_peer_read(peer, got, sizeof got), count);
    cr_assert_arr_eq(got, want, count);
}

void
assert_pool_is_whole(void)
{
    const struct ring_stats *s = ring_stats(net.ring);

    cr_assert_eq(s->bufs_taken[RING_SMALL], s->bufs_returned[RING_SMALL]);
    cr_assert_eq(s->bufs_taken[RING_BULK], s->bufs_returned[RING_BULK]);
    cr_assert_eq(s->bufs_taken[RING_LARGE], s->bufs_returned[RING_LARGE]);
}

/* --- connecting --- */

int
connect_to(struct side *s, unsigned host)
{
    struct sockaddr_in in = {
        .sin_family = AF_INET, .sin_port = htons(80), .sin_addr.s_addr = htonl(0x0a000000 + host)};

    return link_connect(&s->link, (struct sockaddr *)&in, sizeof in);
}

/* The near side is open, the far one new; 10.0.0.2 serves, .3 refuses, .4 hangs. */
void
connect_world_open(uint64_t seed)
{
    world_open(seed);
    near_peer = side_open(&near);
    link_init(&far.link, &net, &relay_up, LINK_UPSTREAM);
    far.opened = true;
    sim_serve(sim, "10.0.0.2:80", SIM_ACCEPT);
    sim_serve(sim, "10.0.0.3:80", SIM_REFUSE);
    sim_serve(sim, "10.0.0.4:80", SIM_HANG);
}

/* --- filters --- */

unsigned filters_freed;

static void
null_in(struct filter *filter, struct link *link, struct span bytes)
{
    (void)filter;
    link_deliver(link, bytes);
}

static void
null_out(struct filter *filter, struct link *link, const struct span *spans, unsigned count)
{
    (void)filter;
    for (unsigned i = 0; i < count; i++)
        link_transmit(link, span_data(spans[i]), spans[i].len);
}

static void
byte_in(struct filter *filter, struct link *link, struct span bytes)
{
    (void)filter;
    for (uint32_t i = 0; i < bytes.len; i++)
        link_deliver(link, span_head(span_skip(bytes, i), 1));
}

static void
byte_out(struct filter *filter, struct link *link, const struct span *spans, unsigned count)
{
    (void)filter;
    for (unsigned i = 0; i < count; i++)
        for (uint32_t k = 0; k < spans[i].len; k++)
            link_transmit(link, span_data(spans[i]) + k, 1);
}

static void
filter_free(struct filter *filter)
{
    filters_freed++;
    free(filter);
}

const struct filter_ops null_ops = {.in = null_in, .out = null_out, .free = filter_free};
const struct filter_ops byte_ops = {.in = byte_in, .out = byte_out, .free = filter_free};

void
add_filter(struct side *s, const struct filter_ops *ops)
{
    struct filter *filter = malloc(sizeof *filter);

    filter->ops = ops;
    link_set_filter(&s->link, filter);
}
