/* SPDX-License-Identifier: Apache-2.0 */
#include "net/link.h"

#include <errno.h>
#include <poll.h>

enum {
    CHUNK_SPANS = 14,
    SEND_SPANS_MAX = 64,
    SPILL_BYTES = 16 << 10,
    MERGE_BYTES = 1024,
    SMALL_BYTES = 2048,
    GROUP_RUN = 4
};

/* A lane is a list of these. */
struct chunk {
    struct chunk *next;
    uint32_t first, end; /* spans [first, end) are queued */
    struct span spans[CHUNK_SPANS];
};

struct lane_queue {
    struct chunk *head, *tail;
};

/*
 * What waits on one link.
 *
 *      lanes[c]  ->  chunk -> chunk          queued_bytes
 *      flight    ->  chunk -> chunk          flight_bytes: given to the kernel, kept until it answers
 */
struct outbound {
    struct lane_queue lanes[LANES];
    struct lane_queue flight;
    uint32_t queued_bytes, flight_bytes;
    bool blocked; /* the kernel's buffer is full: what is pushed is copied */
};

static void on_sent(struct op *op, int result, struct buf *buf, bool more);
static void on_received(struct op *op, int result, struct buf *buf, bool more);
static void check_closed(struct link *link);

/* The one setter. */
static void
link_set_state(struct link *link, enum link_state state)
{
    static const uint8_t allowed[LINK_STATES] = {
        [LINK_NEW] = 1 << LINK_CONNECTING | 1 << LINK_OPEN | 1 << LINK_ABORTED,
        [LINK_CONNECTING] = 1 << LINK_NEW | 1 << LINK_OPEN | 1 << LINK_ABORTED,
        [LINK_OPEN] = 1 << LINK_FINISHING | 1 << LINK_ABORTED,
        [LINK_FINISHING] = 1 << LINK_LINGERING | 1 << LINK_ABORTED,
        [LINK_LINGERING] = 1 << LINK_ABORTED,
        [LINK_ABORTED] = 1 << LINK_CLOSED,
        [LINK_CLOSED] = 0,
    };

    ASSERT(allowed[link->state] & (1u << state));
    link->state = (uint8_t)state;
}

/* --- lanes --- */

static void
queue_append(struct net *net, struct lane_queue *q, struct span bytes)
{
    struct chunk *chunk = q->tail;

    if (!chunk || chunk->end == CHUNK_SPANS) {
        chunk = pool_get(&net->chunks);
        if (q->tail)
            q->tail->next = chunk;
        else
            q->head = chunk;
        q->tail = chunk;
    }
    chunk->spans[chunk->end++] = bytes;
}

static void
queue_drop_head(struct net *net, struct lane_queue *q)
{
    struct chunk *chunk = q->head;

    q->head = chunk->next;
    if (!q->head)
        q->tail = NULL;
    pool_put(&net->chunks, chunk);
}

static void
queue_clear(struct net *net, struct lane_queue *q)
{
    while (q->head) {
        for (uint32_t i = q->head->first; i < q->head->end; i++)
            span_unref(q->head->spans[i]);
        queue_drop_head(net, q);
    }
}

static struct outbound *
link_outbound(struct link *link)
{
    if (!link->out)
        link->out = pool_get(&link->net->outbounds);
    return link->out;
}

static void
outbound_free(struct link *link)
{
    struct outbound *out = link->out;

    if (!out)
        return;
    link->net->stats.queued_bytes -= out->queued_bytes + out->flight_bytes;
    for (unsigned i = 0; i < LANES; i++)
        queue_clear(link->net, &out->lanes[i]);
    queue_clear(link->net, &out->flight);
    pool_put(&link->net->outbounds, out);
    link->out = NULL;
}

/* Copies as much of `bytes` as fits behind the queue's last span, when that buffer is ours alone. Returns how
 * much. */
static uint32_t
queue_fill_last(struct lane_queue *q, struct span bytes)
{
    struct chunk *tail = q->tail;
    struct span *last;
    uint32_t room, n;

    if (!tail || tail->end == tail->first)
        return 0;
    last = &tail->spans[tail->end - 1];
    if (last->buf->kind != BUF_SLAB || last->buf->refs != 1)
        return 0;
    room = last->buf->size - last->off - last->len;
    n = room < bytes.len ? room : bytes.len;
    memcpy(span_data(*last) + last->len, span_data(bytes), n);
    last->len += n;
    return n;
}

static bool
queue_has_room(const struct lane_queue *q, uint32_t n)
{
    const struct chunk *tail = q->tail;
    const struct span *last;

    if (!tail || tail->end == tail->first)
        return false;
    last = &tail->spans[tail->end - 1];
    return last->buf->kind == BUF_SLAB && last->buf->refs == 1 &&
           last->buf->size - last->off - last->len >= n;
}

/* Appends a copy of `bytes` in slab memory. */
static bool
queue_append_copy(struct net *net, struct lane_queue *q, struct span bytes)
{
    bytes = span_skip(bytes, queue_fill_last(q, bytes));
    while (bytes.len) {
        uint32_t n = bytes.len < SPILL_BYTES ? bytes.len : SPILL_BYTES;
        struct buf *copy = slab_get(net->slab, n < 2048 ? 2048 : n);

        if (!copy)
            return false;
        memcpy(copy->data, span_data(bytes), n);
        queue_append(net, q, span_of(copy, 0, n));
        bytes = span_skip(bytes, n);
    }
    return true;
}

/* --- net --- */

void
net_init(struct net *net, struct ring *ring, struct slab *slab, uint32_t high_mark, uint32_t low_mark)
{
    *net = (struct net){.ring = ring,
                        .slab = slab,
                        .high_mark = high_mark,
                        .low_mark = low_mark,
                        .send_timeout_ms = 60000,
                        .linger_ms = 2000};
    list_init(&net->dirty);
    list_init(&net->closing);
    list_init(&net->wakes);
    list_init(&net->blocked);
    pool_init(&net->outbounds, sizeof(struct outbound));
    pool_init(&net->chunks, sizeof(struct chunk));
}

void
net_done(struct net *net)
{
    ASSERT(list_empty(&net->dirty) && list_empty(&net->closing) && list_empty(&net->blocked));
    timer_stop(&net->stall_timer);
    pool_done(&net->outbounds);
    pool_done(&net->chunks);
}

/* Moves spans from the lanes, in order, into flight, up to one send's worth. Whole chunks move without a
 * copy. */
static unsigned
gather(struct link *link, struct iovec *iov)
{
    struct outbound *out = link->out;
    unsigned n = 0;

    for (unsigned i = 0; i < LANES; i++) {
        struct lane_queue *q = &out->lanes[i];

        while (q->head && n + (q->head->end - q->head->first) <= SEND_SPANS_MAX) {
            struct chunk *chunk = q->head;

            q->head = chunk->next;
            if (!q->head)
                q->tail = NULL;
            chunk->next = NULL;
            if (out->flight.tail)
                out->flight.tail->next = chunk;
            else
                out->flight.head = chunk;
            out->flight.tail = chunk;
            for (uint32_t k = chunk->first; k < chunk->end; k++, n++) {
                iov[n] = (struct iovec){span_data(chunk->spans[k]), chunk->spans[k].len};
                out->flight_bytes += chunk->spans[k].len;
            }
        }
        if (q->head)
            break;
    }
    out->queued_bytes -= out->flight_bytes;
    return n;
}

/* Asks the sends that have waited too long how far they came: cancelling one yields the bytes that the peer
 * took meanwhile. None: it is stalled. */
static void
on_stall_timer(struct ring *ring, struct timer *timer)
{
    struct net *net = container_of(timer, struct net, stall_timer);
    uint32_t now_ms = (uint32_t)(ring_now(ring) / 1000000);
    struct list_node *node;

    while ((node = list_first(&net->blocked))) {
        struct link *link = container_of(node, struct link, node);
        uint32_t waited_ms = now_ms - link->blocked_ms;

        if (waited_ms < net->send_timeout_ms) {
            timer_set(ring, timer, net->send_timeout_ms - waited_ms, on_stall_timer);
            return;
        }
        list_del(node);
        link->stalled = true;
        ring_cancel(ring, &link->tx);
    }
}

static void
watch_stall(struct link *link)
{
    struct net *net = link->net;

    link->blocked_ms = (uint32_t)(ring_now(net->ring) / 1000000);
    list_add_tail(&net->blocked, &link->node);
    if (!timer_running(&net->stall_timer))
        timer_set(net->ring, &net->stall_timer, net->send_timeout_ms, on_stall_timer);
}

static void
send_flight(struct link *link, const struct iovec *iov, unsigned n)
{
    unsigned flags = link->out->blocked ? RING_SEND_ALL : RING_SEND_NOWAIT;

    ring_send(link->net->ring, &link->tx, link->fd, iov, n, flags, on_sent);
}

static void
link_flush(struct link *link)
{
    struct outbound *out = link->out;
    struct iovec *iov;
    unsigned n;

    if (!out || op_busy(&link->tx) || (link->state != LINK_OPEN && link->state != LINK_FINISHING))
        return;
    ASSERT(out->flight_bytes == 0);
    iov = ring_arena(link->net->ring, sizeof *iov * SEND_SPANS_MAX);
    n = gather(link, iov);
    ASSERT(n > 0);
    send_flight(link, iov, n);
}

static void
report_closed(struct link *link)
{
    outbound_free(link);
    if (link->filter)
        link->filter->ops->free(link->filter);
    link->filter = NULL;
    link->up->on_closed(link, (enum close_reason)link->reason);
}

void
net_flush(struct net *net)
{
    struct list_node *node;

    do {
        while ((node = list_pop(&net->wakes))) {
            struct link *link = container_of(node, struct link, woken);

            link->up->on_woken(link);
        }
        while ((node = list_pop(&net->dirty)))
            link_flush(container_of(node, struct link, node));
        while ((node = list_pop(&net->closing)))
            report_closed(container_of(node, struct link, node));
        /* What the owners of closed links have sent to others; who has woken himself may wait for the next
         * turn. */
    } while (!list_empty(&net->dirty));
}

/* --- the link --- */

void
link_init(struct link *link, struct net *net, const struct link_up *up, enum link_side side)
{
    link->net = net;
    link->up = up;
    link->side = (uint8_t)side;
    link->fd = -1;
}

static void
arm_receive(struct link *link)
{
    if (!op_busy(&link->rx) && !link->paused && !link->ended)
        ring_recv(link->net->ring, &link->rx, link->fd, link->bulk ? RING_BULK : RING_SMALL, on_received);
}

void
link_open(struct link *link, int fd)
{
    link->fd = fd;
    link_set_state(link, LINK_OPEN);
    arm_receive(link);
}

void
link_set_filter(struct link *link, struct filter *filter)
{
    ASSERT(!link->filter && link->received_bytes == 0 && !link->out);
    link->filter = filter;
}

static void
mark_dirty(struct link *link)
{
    if (!op_busy(&link->tx) && !list_linked(&link->node))
        list_add_tail(&link->net->dirty, &link->node);
}

static void
on_connect_done(struct op *op, int result, struct buf *buf, bool more)
{
    struct link *link = container_of(op, struct link, tx);

    (void)buf, (void)more;
    if (link->state != LINK_CONNECTING) {
        check_closed(link);
        return;
    }
    if (result < 0) {
        ring_close(link->net->ring, link->fd);
        link->fd = -1;
        link_set_state(link, LINK_NEW);
    } else {
        link_set_state(link, LINK_OPEN);
        arm_receive(link);
        if (link->out) {
            link->out->blocked = false;
            mark_dirty(link);
        }
    }
    link->up->on_connected(link, result);
}

int
link_connect(struct link *link, const struct sockaddr *addr, socklen_t addr_len)
{
    int fd = ring_connect(link->net->ring, &link->tx, addr, addr_len, on_connect_done);

    if (fd < 0)
        return fd;
    link->fd = fd;
    link_set_state(link, LINK_CONNECTING);
    return 0;
}

static void
fail(struct link *link, enum close_reason reason)
{
    if (link->state >= LINK_ABORTED)
        return;
    link_abort(link, reason, false);
    if (link->up->on_broken)
        link->up->on_broken(link, reason);
}

void
link_enqueue(struct link *link, enum lane lane, struct span bytes)
{
    struct net *net = link->net;
    struct outbound *out;
    bool copy;

    if (link->state >= LINK_FINISHING || bytes.len == 0)
        return;
    out = link_outbound(link);
    copy = bytes.buf->kind == BUF_PROVIDED && (out->blocked || link->state != LINK_OPEN);
    if (!copy && bytes.len <= MERGE_BYTES && queue_has_room(&out->lanes[lane], bytes.len)) {
        queue_fill_last(&out->lanes[lane],
                        bytes); /* cheaper than one more element for the kernel to import */
    } else if (!copy) {
        queue_append(net, &out->lanes[lane], span_ref(bytes));
    } else if (!queue_append_copy(net, &out->lanes[lane], bytes)) {
        link_abort(link, CLOSE_NO_MEMORY, false);
        return;
    }
    out->queued_bytes += bytes.len;
    net->stats.queued_bytes += bytes.len;
    net->stats.messages++;
    mark_dirty(link);
}

void
link_push(struct link *link, enum lane lane, struct span bytes)
{
    if (link->filter)
        link->filter->ops->out(link->filter, link, lane, bytes);
    else
        link_enqueue(link, lane, bytes);
}

uint32_t
link_queued(const struct link *link)
{
    return link->out ? link->out->queued_bytes + link->out->flight_bytes : 0;
}

bool
link_blocked(const struct link *link)
{
    return link->out && link->out->blocked;
}

bool
link_congested(struct link *link)
{
    if (!link->congested && (link_blocked(link) || link_queued(link) >= link->net->high_mark)) {
        link->congested = true;
        link->net->stats.pauses++;
    }
    return link->congested;
}

/* --- sending --- */

static void
sent_all(struct link *link)
{
    struct outbound *out = link->out;

    link->net->stats.queued_bytes -= out->flight_bytes;
    out->flight_bytes = 0;
    queue_clear(link->net, &out->flight);
    if (out->queued_bytes) {
        out->blocked = false;
        mark_dirty(link);
        return;
    }
    outbound_free(link);
}

/* Drops the first n bytes of flight. */
static void
flight_skip(struct link *link, uint32_t n)
{
    struct outbound *out = link->out;

    out->flight_bytes -= n;
    link->net->stats.queued_bytes -= n;
    while (n) {
        struct chunk *chunk = out->flight.head;
        struct span *span = &chunk->spans[chunk->first];
        uint32_t step = n < span->len ? n : span->len;

        *span = span_skip(*span, step);
        n -= step;
        if (span->len == 0) {
            span_unref(*span);
            if (++chunk->first == chunk->end)
                queue_drop_head(link->net, &out->flight);
        }
    }
}

/* Copies what of `q` lies in the receive pool into slab memory. */
static bool
spill(struct net *net, struct lane_queue *q)
{
    struct lane_queue copied = {0};
    bool ok = true;

    for (struct chunk *c = q->head; c && ok; c = c->next)
        for (uint32_t i = c->first; i < c->end && ok; i++) {
            if (c->spans[i].buf->kind == BUF_PROVIDED)
                ok = queue_append_copy(net, &copied, c->spans[i]);
            else
                queue_append(net, &copied, span_ref(c->spans[i]));
        }
    queue_clear(net, q);
    *q = copied;
    return ok;
}

/* The kernel took only a part: free the receive pool of what is left, then wait for room. */
static void
block(struct link *link)
{
    struct outbound *out = link->out;
    struct net *net = link->net;
    struct iovec *iov;
    bool ok = spill(net, &out->flight);
    unsigned n = 0;

    for (unsigned i = 0; i < LANES && ok; i++)
        ok = spill(net, &out->lanes[i]);
    if (!ok) { /* on_closed() tells: what is queued is no longer whole and must not go to another link */
        link_abort(link, CLOSE_NO_MEMORY, false);
        return;
    }
    net->stats.spills++;
    out->blocked = true;
    for (struct chunk *c = out->flight.head; c; c = c->next)
        n += c->end - c->first;
    iov = ring_arena(net->ring, sizeof *iov * n);
    n = 0;
    for (struct chunk *c = out->flight.head; c; c = c->next)
        for (uint32_t i = c->first; i < c->end; i++)
            iov[n++] = (struct iovec){span_data(c->spans[i]), c->spans[i].len};
    send_flight(link, iov, n);
    watch_stall(link);
}

static void
on_linger_over(struct ring *ring, struct timer *timer)
{
    struct link *link = container_of(timer, struct link, timer);

    (void)ring;
    link_abort(link, (enum close_reason)link->reason, false);
}

static void
start_lingering(struct link *link)
{
    ring_shutdown(link->net->ring, link->fd, SHUT_WR);
    link_set_state(link, LINK_LINGERING);
    if (link->ended) { /* the peer's end came before: nothing to wait for */
        link_abort(link, (enum close_reason)link->reason, false);
        return;
    }
    timer_set(link->net->ring, &link->timer, link->net->linger_ms, on_linger_over);
    link_resume(link);
}

static void
after_send(struct link *link)
{
    if (link->state == LINK_FINISHING && !link->out)
        start_lingering(link);
    if (link->end_due && !link->out && link->state == LINK_OPEN) {
        link->end_due = false;
        ring_shutdown(link->net->ring, link->fd, SHUT_WR);
    }
    if (link->congested && link->state == LINK_OPEN && link_queued(link) <= link->net->low_mark) {
        link->congested = false;
        link->net->stats.resumes++;
        link->up->on_writable(link);
    }
}

static void
on_sent(struct op *op, int result, struct buf *buf, bool more)
{
    struct link *link = container_of(op, struct link, tx);

    (void)buf, (void)more;
    list_del(&link->node);
    if (result > 0) {
        link->sent_bytes += (uint64_t)result;
        link->net->stats.sent_bytes[link->side] += (uint64_t)result;
    }
    if (link->state >= LINK_ABORTED) {
        check_closed(link);
        return;
    }
    ASSERT(link->out);
    if (result == -ECANCELED && link->stalled) {
        fail(link, CLOSE_SEND_STALLED);
        return;
    }
    link->stalled = false;
    if (result == -EAGAIN || result == -ENOBUFS)
        result = 0;
    if (result < 0) {
        fail(link, CLOSE_SEND_FAILED);
        return;
    }
    if ((uint32_t)result == link->out->flight_bytes) {
        sent_all(link);
    } else {
        flight_skip(link, (uint32_t)result);
        block(link);
    }
    after_send(link);
}

/* --- receiving --- */

void
link_deliver(struct link *link, struct span bytes)
{
    if (link->state == LINK_OPEN)
        link->up->on_bytes(link, bytes);
}

/* After the peer's end of file only its reset can still come. */
static void
on_reset(struct op *op, int result, struct buf *buf, bool more)
{
    struct link *link = container_of(op, struct link, rx);

    (void)buf;
    if (more) { /* the kernel reports the half-close too */
        if (result & (POLLERR | POLLHUP))
            ring_cancel(link->net->ring, op);
        return;
    }
    if (link->state == LINK_OPEN && result >= 0 && !(result & (POLLERR | POLLHUP)))
        ring_poll(link->net->ring, op, link->fd, 0, on_reset);
    else if (link->state == LINK_OPEN)
        fail(link, CLOSE_NONE);
    else
        check_closed(link);
}

static void
received_end(struct link *link, int result)
{
    link->ended = true;
    switch (link->state) {
    case LINK_OPEN:
        if (result < 0) {
            fail(link, CLOSE_NONE);
            break;
        }
        link->up->on_end(link);
        if (link->state == LINK_OPEN)
            ring_poll(link->net->ring, &link->rx, link->fd, 0, on_reset);
        break;
    case LINK_FINISHING:
        if (result < 0)
            link_abort(link, (enum close_reason)link->reason, false);
        break;
    case LINK_LINGERING:
        link_abort(link, (enum close_reason)link->reason, false);
        break;
    default:
        check_closed(link);
    }
}

/* Large pieces in a row: larger buffers, fewer of them. The receive starts anew with the other group when its
 * cancel has come back. */
static void
choose_group(struct link *link, uint32_t bytes, uint32_t buffer_bytes)
{
    bool other = link->bulk ? bytes <= SMALL_BYTES : bytes == buffer_bytes;

    link->run = other ? (uint8_t)(link->run + 1) : 0;
    if (link->run < GROUP_RUN)
        return;
    link_set_bulk(link, !link->bulk);
}

static void
on_received(struct op *op, int result, struct buf *buf, bool more)
{
    struct link *link = container_of(op, struct link, rx);

    if (result > 0) {
        choose_group(link, (uint32_t)result, buf->size);
        link->received_bytes += (uint64_t)result;
        link->net->stats.received_bytes[link->side] += (uint64_t)result;
        if (link->state == LINK_OPEN) {
            struct span bytes = span_of(buf, 0, (uint32_t)result);

            if (link->filter)
                link->filter->ops->in(link->filter, link, bytes);
            else
                link->up->on_bytes(link, bytes);
        }
        buf_unref(buf);
        return;
    }
    if (more)
        return;
    if (result == -ECANCELED && link->state < LINK_ABORTED)
        arm_receive(link); /* resumed, or moved to the other group, since the cancel */
    else
        received_end(link, result);
}

void
link_pause(struct link *link)
{
    link->paused = true;
    if (!link->ended) /* else it only watches for a reset */
        ring_cancel(link->net->ring, &link->rx);
}

void
link_resume(struct link *link)
{
    if (link->state < LINK_OPEN || link->state > LINK_LINGERING)
        return;
    link->paused = false;
    arm_receive(link);
}

void
link_set_bulk(struct link *link, bool bulk)
{
    link->run = 0;
    if (link->bulk == bulk)
        return;
    link->bulk = bulk;
    if (!link->paused && !link->ended)
        ring_cancel(link->net->ring, &link->rx);
}

/* --- ends --- */

void
link_finish(struct link *link, enum close_reason reason)
{
    if (link->state >= LINK_FINISHING)
        return;
    if (link->state != LINK_OPEN) {
        link_abort(link, reason, false);
        return;
    }
    link->reason = (uint8_t)reason;
    link_set_state(link, LINK_FINISHING);
    timer_stop(&link->timer);
    if (!link->out)
        start_lingering(link);
}

static void
check_closed(struct link *link)
{
    if (link->state != LINK_ABORTED || op_busy(&link->rx) || op_busy(&link->tx))
        return;
    link_set_state(link, LINK_CLOSED);
    if (link->fd >= 0) {
        if (link->reset)
            ring_reset_on_close(link->net->ring, link->fd);
        ring_close(link->net->ring, link->fd);
        link->fd = -1;
    }
    list_add_tail(&link->net->closing, &link->node);
}

void
link_abort(struct link *link, enum close_reason reason, bool reset)
{
    if (link->state >= LINK_ABORTED)
        return;
    if (link->state < LINK_FINISHING)
        link->reason = (uint8_t)reason;
    link->reset = reset;
    link_set_state(link, LINK_ABORTED);
    timer_stop(&link->timer);
    list_del(&link->node);
    list_del(&link->woken);
    ring_cancel(link->net->ring, &link->rx);
    ring_cancel(link->net->ring, &link->tx);
    check_closed(link);
}

static void
lane_append(struct lane_queue *to, struct lane_queue *from)
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

/* Nothing of the flight was sent: it goes back to the front of the lanes. */
static void
unsend(struct outbound *out)
{
    struct lane_queue *lane = &out->lanes[LANE_NORMAL];

    lane_append(&out->flight, lane);
    *lane = out->flight;
    out->flight = (struct lane_queue){0};
    out->queued_bytes += out->flight_bytes;
    out->flight_bytes = 0;
}

struct span
link_first(const struct link *link)
{
    const struct chunk *head = link->out ? link->out->lanes[LANE_NORMAL].head : NULL;

    return head ? head->spans[head->first] : (struct span){0};
}

void
link_replace_first(struct link *link, struct span bytes)
{
    struct chunk *head = link->out->lanes[LANE_NORMAL].head;
    struct span *first = &head->spans[head->first];

    link->out->queued_bytes += bytes.len - first->len;
    link->net->stats.queued_bytes += bytes.len - first->len;
    span_unref(*first);
    *first = bytes;
}

void
link_wake(struct link *link)
{
    if (link->state < LINK_FINISHING && !list_linked(&link->woken))
        list_add_tail(&link->net->wakes, &link->woken);
}

void
link_end_sending(struct link *link)
{
    if (link->state != LINK_OPEN)
        return;
    if (link->out)
        link->end_due = true;
    else
        ring_shutdown(link->net->ring, link->fd, SHUT_WR);
}

void
link_move_queue(struct link *from, struct link *to)
{
    struct outbound *out = from->out;
    bool ok = true;

    ASSERT(!op_busy(&from->tx) || from->state == LINK_CONNECTING);
    if (!out)
        return;
    unsend(out);
    for (unsigned i = 0; i < LANES && ok; i++) {
        if (to->state != LINK_OPEN || link_blocked(to))
            ok = spill(to->net, &out->lanes[i]);
        lane_append(&link_outbound(to)->lanes[i], &out->lanes[i]);
    }
    to->out->queued_bytes += out->queued_bytes;
    out->queued_bytes = 0;
    to->congested |= from->congested; /* whoever was told to wait hears from `to` */
    from->congested = false;
    if (from->state != LINK_CLOSED)
        list_del(&from->node);
    outbound_free(from);
    if (!ok)
        link_abort(to, CLOSE_NO_MEMORY, false);
    else if (to->state == LINK_OPEN)
        mark_dirty(to);
}
