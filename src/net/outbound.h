/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What waits on one link: its lanes, and what of them the kernel has been given. Memory only; link.c sends.
 * Private to this layer.
 *
 *      lanes[c]  ->  chunk -> chunk          queued_bytes
 *      wire      ->  chunk -> chunk          wire_bytes, a part of queued_bytes: what a filter has made of
 * them flight    ->  chunk -> chunk          flight_bytes: given to the kernel, kept until it answers
 *
 * Without a filter spans go from the lanes into flight; with one, as their turn comes, through the filter
 * into wire and from there into flight. So what waits is as it was pushed, whatever the stream is wrapped in.
 *
 * The functions keep queued_bytes of net->stats and of the flow right. Those that copy return false when the
 * worker's memory is used up; what is queued is then no longer whole.
 */
#ifndef NET_OUTBOUND_H
#define NET_OUTBOUND_H

#include "net/link.h"

enum {
    OUTBOUND_CHUNK_SPANS = 14,
    OUTBOUND_SEND_MAX = 64,
    OUTBOUND_FILTER_BYTES = 64 << 10,
    OUTBOUND_TURNS = 8,
};

/* Pushes of one turn that wait for others. */
struct outbound_turn {
    uint32_t at_us; /* wraps */
    uint16_t pushes;
};

struct chunk {
    struct chunk *next;
    uint16_t first, end; /* spans [first, end) are queued */
    uint16_t last;       /* bit i: span i ends a message */
    struct span spans[OUTBOUND_CHUNK_SPANS];
};

struct lane_queue {
    struct chunk *head, *tail;
};

struct outbound {
    struct net_flow *flow; /* that the bytes count to */
    struct lane_queue lanes[PRIORITIES];
    struct lane_queue wire, flight;
    uint32_t queued_bytes, wire_bytes, flight_bytes;
    uint8_t begun;  /* the lane that a part of a message has left; PRIORITIES: none */
    uint8_t waited; /* takes in a row that passed another lane over */
    bool blocked;   /* the kernel's buffer is full: what is pushed is copied */
    uint8_t turn_count;
    uint16_t pushes; /* of this turn; while the link is held: that are none of these */
    struct outbound_turn turns[OUTBOUND_TURNS]; /* batch.c: what waits, and since when; the last: and later */
};

struct outbound *outbound_new(struct net *net); /* the caller sets its flow */
/* Gives back all that is queued. Takes NULL and leaves it. */
void outbound_free(struct net *net, struct outbound **out);

/* So many bytes more (or less) wait. */
static inline void
outbound_count(struct net *net, struct outbound *out, int64_t bytes)
{
    net->stats.queued_bytes += (uint64_t)bytes;
    out->flow->queued_bytes += (uint64_t)bytes;
}

/* Queues `bytes` with a reference of its own; or as a copy in slab memory (`copy`, and always when they are
 * few and fit behind the span before them: cheaper than one more element for the kernel to import). */
bool outbound_push(struct net *net, struct outbound *out, enum priority lane, struct span bytes, bool copy);
/* What was pushed last in that lane ends a message. */
void outbound_end_message(struct outbound *out, enum priority lane);
/* All that the lanes hold, in the order in which it would leave now, becomes that lane's. */
void outbound_join(struct outbound *out, enum priority lane);
/* The first lane that holds something; PRIORITY_NORMAL: none does. */
enum priority outbound_most_urgent(const struct outbound *out);

/* Moves spans from the lanes, in order, into flight, up to one send's worth, and writes them to
 * iov[OUTBOUND_SEND_MAX]; returns how many. */
unsigned outbound_gather(struct outbound *out, struct iovec *iov);

/* For filters. Takes spans out of the lanes, in order, up to OUTBOUND_SEND_MAX and about
 * OUTBOUND_FILTER_BYTES; returns how many. The references are the caller's. */
unsigned outbound_take(struct net *net, struct outbound *out, struct span *spans);
/* Queues a copy for the wire. */
bool outbound_transmit(struct net *net, struct outbound *out, const uint8_t *bytes, uint32_t len);
/* As outbound_gather(), from wire. */
unsigned outbound_gather_wire(struct outbound *out, struct iovec *iov);
/* Gives back what the lanes hold; what is on the wire stays. */
void outbound_clear_lanes(struct net *net, struct outbound *out);
static inline bool
outbound_lanes_empty(const struct outbound *out)
{
    return out->queued_bytes == out->wire_bytes;
}

/* What is in flight, once more; *ret_count elements in the ring's arena. */
struct iovec *outbound_flight(struct net *net, const struct outbound *out, unsigned *ret_count);
/* The kernel took the first n bytes of the flight. */
void outbound_sent(struct net *net, struct outbound *out, uint32_t n);
/* What waits must not lie in the receive pool, unless it is more than may be copied for one reader: that is
 * in one of the few large buffers. */
static inline bool
outbound_must_copy(const struct net *net, struct span bytes)
{
    return bytes.buf->kind == BUF_PROVIDED && (!ring_is_large(bytes.buf) || bytes.len <= net->high_mark);
}
/* Copies all of that, everywhere, into slab memory. */
bool outbound_spill(struct net *net, struct outbound *out);

/* All that `from` holds in its lanes, and in flight (of which nothing was sent) unless it has a filter, goes
 * behind what `to` has queued; `copy` as in push. */
bool outbound_move(struct net *net, struct outbound *from, struct outbound *to, bool copy, bool with_flight);
/* The first span of the lane that requests leave on; NULL: there is none. */
struct span *outbound_first(struct outbound *out);

#endif
