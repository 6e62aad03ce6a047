/* SPDX-License-Identifier: Apache-2.0 */
#include "net/outbound.h"

enum { COPY_BYTES = 16 << 10, COPY_BYTES_MIN = 2048, MERGE_BYTES = 1024 };

/* Of so many chunks, one is of the least urgent lane that waits. */
enum { FAIR_SHARE = 8 };

/* --- one queue --- */

static void
queue_append(struct net *net, struct lane_queue *q, struct span bytes)
{
    struct chunk *chunk = q->tail;

    if (!chunk || chunk->end == OUTBOUND_CHUNK_SPANS) {
        chunk = pool_get(&net->chunks);
        if (q->tail)
            q->tail->next = chunk;
        else
            q->head = chunk;
        q->tail = chunk;
    }
    chunk->spans[chunk->end++] = bytes;
}

static struct chunk *
queue_take_head(struct lane_queue *q)
{
    struct chunk *chunk = q->head;

    q->head = chunk->next;
    if (!q->head)
        q->tail = NULL;
    chunk->next = NULL;
    return chunk;
}

static void
queue_clear(struct net *net, struct lane_queue *q)
{
    while (q->head) {
        struct chunk *chunk = queue_take_head(q);

        for (uint32_t i = chunk->first; i < chunk->end; i++)
            span_unref(chunk->spans[i]);
        pool_put(&net->chunks, chunk);
    }
}

/* Hangs all of `from` behind `to`. */
static void
queue_join(struct lane_queue *to, struct lane_queue *from)
{
    if (!from->head)
        return;
    if (to->tail)
        to->tail->next = from->head;
    else
        to->head = from->head;
    to->tail = from->tail;
    *from = (struct lane_queue){0};
}

/* Bytes that can be written behind the queue's last span: its buffer is of the slab and ours alone. */
static uint32_t
queue_room(const struct lane_queue *q)
{
    const struct chunk *tail = q->tail;
    const struct span *last;

    if (!tail || tail->end == tail->first)
        return 0;
    last = &tail->spans[tail->end - 1];
    if (last->buf->kind != BUF_SLAB || last->buf->refs != 1)
        return 0;
    return last->buf->size - last->off - last->len;
}

static void
queue_mark_end(struct lane_queue *q, bool ends)
{
    struct chunk *tail = q->tail;
    uint16_t bit = (uint16_t)(1u << (tail->end - 1u));

    tail->last = (uint16_t)(ends ? tail->last | bit : tail->last & ~bit);
}

/* `n` is at most queue_room(). */
static void
queue_fill(struct lane_queue *q, const uint8_t *bytes, uint32_t n)
{
    struct span *last = &q->tail->spans[q->tail->end - 1];

    memcpy(span_data(*last) + last->len, bytes, n);
    last->len += n;
    queue_mark_end(q, false);
}

static bool
queue_copy(struct net *net, struct lane_queue *q, const uint8_t *bytes, uint32_t len)
{
    uint32_t room = queue_room(q), n = room < len ? room : len;

    if (n)
        queue_fill(q, bytes, n);
    for (bytes += n, len -= n; len; bytes += n, len -= n) {
        struct buf *copy;

        n = len < COPY_BYTES ? len : COPY_BYTES;
        copy = slab_get(net->slab, n < COPY_BYTES_MIN ? COPY_BYTES_MIN : n);
        if (!copy)
            return false;
        memcpy(copy->data, bytes, n);
        queue_append(net, q, span_of(copy, 0, n));
    }
    return true;
}

static bool
queue_spill(struct net *net, struct lane_queue *q)
{
    struct lane_queue copied = {0};
    bool ok = true;

    for (struct chunk *c = q->head; c && ok; c = c->next)
        for (uint32_t i = c->first; i < c->end && ok; i++) {
            if (outbound_must_copy(net, c->spans[i]))
                ok = queue_copy(net, &copied, span_data(c->spans[i]), c->spans[i].len);
            else
                queue_append(net, &copied, span_ref(c->spans[i]));
            if (ok && c->last & 1u << i)
                queue_mark_end(&copied, true);
        }
    queue_clear(net, q);
    *q = copied;
    return ok;
}

/* --- the outbound --- */

struct outbound *
outbound_new(struct net *net)
{
    struct outbound *out = pool_get(&net->outbounds);

    out->begun = PRIORITIES;
    return out;
}

void
outbound_free(struct net *net, struct outbound **out_at)
{
    struct outbound *out = *out_at;

    *out_at = NULL;
    if (!out)
        return;
    outbound_count(net, out, -(int64_t)out->queued_bytes - out->flight_bytes);
    for (unsigned i = 0; i < PRIORITIES; i++)
        queue_clear(net, &out->lanes[i]);
    queue_clear(net, &out->wire);
    queue_clear(net, &out->flight);
    pool_put(&net->outbounds, out);
}

bool
outbound_push(struct net *net, struct outbound *out, enum priority lane, struct span bytes, bool copy)
{
    struct lane_queue *q = &out->lanes[lane];

    if (bytes.len <= MERGE_BYTES && queue_room(q) >= bytes.len)
        queue_fill(q, span_data(bytes), bytes.len);
    else if (!copy)
        queue_append(net, q, span_ref(bytes));
    else if (!queue_copy(net, q, span_data(bytes), bytes.len))
        return false;
    out->queued_bytes += bytes.len;
    outbound_count(net, out, bytes.len);
    return true;
}

void
outbound_end_message(struct outbound *out, enum priority lane)
{
    if (out->lanes[lane].tail && out->lanes[lane].tail->end > out->lanes[lane].tail->first)
        queue_mark_end(&out->lanes[lane], true);
}

enum priority
outbound_most_urgent(const struct outbound *out)
{
    for (unsigned i = 0; i < PRIORITIES; i++)
        if (out->lanes[i].head)
            return (enum priority)i;
    return PRIORITY_NORMAL;
}

static enum priority
least_urgent(const struct outbound *out)
{
    unsigned i = PRIORITIES - 1;

    while (i && !out->lanes[i].head)
        i--;
    return (enum priority)i;
}

/* The lane whose turn it is: one in the middle of a message before all others. */
static struct lane_queue *
next_lane(struct outbound *out)
{
    enum priority most, least;

    if (out->begun < PRIORITIES && out->lanes[out->begun].head)
        return &out->lanes[out->begun];
    most = outbound_most_urgent(out);
    least = least_urgent(out);
    if (least <= most)
        return &out->lanes[most];
    if (++out->waited < FAIR_SHARE)
        return &out->lanes[most];
    out->waited = 0;
    return &out->lanes[least];
}

/* Of `q` something has left, the last of it ended a message or not. */
static void
note_left(struct outbound *out, const struct lane_queue *q, bool ends)
{
    out->begun = ends ? PRIORITIES : (uint8_t)(q - out->lanes);
}

static bool
chunk_ends(const struct chunk *chunk, uint32_t span)
{
    return chunk->last & 1u << span;
}

void
outbound_join(struct outbound *out, enum priority lane)
{
    struct lane_queue all = {0};

    if (out->begun < PRIORITIES)
        queue_join(&all, &out->lanes[out->begun]);
    for (unsigned i = 0; i < PRIORITIES; i++)
        queue_join(&all, &out->lanes[i]);
    out->lanes[lane] = all;
    if (out->begun < PRIORITIES)
        out->begun = (uint8_t)lane;
}

/* Moves a whole chunk (no span is copied) into flight, and lists its spans in iov; returns how many. */
static unsigned
fly(struct outbound *out, struct lane_queue *q, struct iovec *iov)
{
    struct chunk *chunk = queue_take_head(q);
    unsigned n = 0;

    queue_join(&out->flight, &(struct lane_queue){chunk, chunk});
    for (uint32_t k = chunk->first; k < chunk->end; k++) {
        iov[n++] = (struct iovec){span_data(chunk->spans[k]), chunk->spans[k].len};
        out->flight_bytes += chunk->spans[k].len;
    }
    return n;
}

/* Its first chunk fits behind the n elements that one send has so far. */
static bool
fits(const struct lane_queue *q, unsigned n)
{
    return q->head && n + (q->head->end - q->head->first) <= OUTBOUND_SEND_MAX;
}

unsigned
outbound_gather(struct outbound *out, struct iovec *iov)
{
    struct lane_queue *q;
    unsigned n = 0;

    while (fits(q = next_lane(out), n)) {
        n += fly(out, q, iov + n);
        note_left(out, q, chunk_ends(out->flight.tail, out->flight.tail->end - 1u));
    }
    out->queued_bytes -= out->flight_bytes;
    return n;
}

unsigned
outbound_gather_wire(struct outbound *out, struct iovec *iov)
{
    unsigned n = 0;

    while (fits(&out->wire, n))
        n += fly(out, &out->wire, iov + n);
    out->wire_bytes -= out->flight_bytes;
    out->queued_bytes -= out->flight_bytes;
    return n;
}

unsigned
outbound_take(struct net *net, struct outbound *out, struct span *spans)
{
    struct lane_queue *q;
    uint32_t bytes = 0;
    unsigned n = 0;

    while (n < OUTBOUND_SEND_MAX && bytes < OUTBOUND_FILTER_BYTES && (q = next_lane(out))->head) {
        struct chunk *chunk = q->head;

        spans[n] = chunk->spans[chunk->first];
        bytes += spans[n++].len;
        note_left(out, q, chunk_ends(chunk, chunk->first));
        if (++chunk->first == chunk->end)
            pool_put(&net->chunks, queue_take_head(q));
    }
    out->queued_bytes -= bytes;
    outbound_count(net, out, -(int64_t)bytes);
    return n;
}

bool
outbound_transmit(struct net *net, struct outbound *out, const uint8_t *bytes, uint32_t len)
{
    if (!queue_copy(net, &out->wire, bytes, len))
        return false;
    out->wire_bytes += len;
    out->queued_bytes += len;
    outbound_count(net, out, len);
    return true;
}

void
outbound_clear_lanes(struct net *net, struct outbound *out)
{
    outbound_count(net, out, (int64_t)out->wire_bytes - out->queued_bytes);
    out->queued_bytes = out->wire_bytes;
    for (unsigned i = 0; i < PRIORITIES; i++)
        queue_clear(net, &out->lanes[i]);
}

struct iovec *
outbound_flight(struct net *net, const struct outbound *out, unsigned *ret_count)
{
    struct iovec *iov;
    unsigned n = 0;

    for (const struct chunk *c = out->flight.head; c; c = c->next)
        n += c->end - c->first;
    iov = ring_arena(net->ring, sizeof *iov * n);
    n = 0;
    for (const struct chunk *c = out->flight.head; c; c = c->next)
        for (uint32_t i = c->first; i < c->end; i++)
            iov[n++] = (struct iovec){span_data(c->spans[i]), c->spans[i].len};
    *ret_count = n;
    return iov;
}

void
outbound_sent(struct net *net, struct outbound *out, uint32_t n)
{
    outbound_count(net, out, -(int64_t)n);
    if (n == out->flight_bytes) {
        out->flight_bytes = 0;
        queue_clear(net, &out->flight);
        return;
    }
    out->flight_bytes -= n;
    while (n) {
        struct chunk *chunk = out->flight.head;
        struct span *span = &chunk->spans[chunk->first];
        uint32_t step = n < span->len ? n : span->len;

        *span = span_skip(*span, step);
        n -= step;
        if (span->len)
            continue;
        span_unref(*span);
        if (++chunk->first == chunk->end)
            pool_put(&net->chunks, queue_take_head(&out->flight));
    }
}

bool
outbound_spill(struct net *net, struct outbound *out)
{
    bool ok = queue_spill(net, &out->flight);

    for (unsigned i = 0; i < PRIORITIES && ok; i++)
        ok = queue_spill(net, &out->lanes[i]);
    return ok;
}

bool
outbound_move(struct net *net, struct outbound *from, struct outbound *to, bool copy, bool with_flight)
{
    struct lane_queue *first = &from->lanes[PRIORITY_NORMAL];
    uint32_t bytes = from->queued_bytes - from->wire_bytes;
    bool ok = true;

    if (with_flight) {
        queue_join(&from->flight, first);
        *first = from->flight;
        from->flight = (struct lane_queue){0};
        bytes += from->flight_bytes;
        from->flight_bytes = 0;
    }
    for (unsigned i = 0; i < PRIORITIES && ok; i++) {
        if (copy)
            ok = queue_spill(net, &from->lanes[i]);
        queue_join(&to->lanes[i], &from->lanes[i]);
    }
    to->queued_bytes += bytes;
    to->flow->queued_bytes += bytes;
    from->flow->queued_bytes -= bytes;
    from->queued_bytes = from->wire_bytes;
    return ok;
}

struct span *
outbound_first(struct outbound *out)
{
    struct chunk *head = out->lanes[PRIORITY_NORMAL].head;

    return head ? &head->spans[head->first] : NULL;
}
