/* SPDX-License-Identifier: Apache-2.0 */
#include "net/batch.h"
#include "net/link_private.h"
#include "net/outbound.h"

#include <errno.h>
#include <poll.h>

enum { SMALL_BYTES = 2048, GROUP_RUN = 4 };

static void on_sent(struct op *op, int result, struct buf *buf, bool more);
static void on_received(struct op *op, int result, struct buf *buf, bool more);
static void sent_all(struct link *link);
static void after_send(struct link *link);
static void end_sending(struct link *link);
static void check_closed(struct link *link);

/* The one setter. */
static void
link_set_state(struct link *link, enum link_state state)
{
    static const uint8_t allowed[LINK_STATES] = {
        [LINK_NEW] = 1 << LINK_CONNECTING | 1 << LINK_STARTING | 1 << LINK_OPEN | 1 << LINK_ABORTED,
        [LINK_CONNECTING] = 1 << LINK_NEW | 1 << LINK_STARTING | 1 << LINK_OPEN | 1 << LINK_ABORTED,
        [LINK_STARTING] = 1 << LINK_OPEN | 1 << LINK_FINISHING | 1 << LINK_ABORTED,
        [LINK_OPEN] = 1 << LINK_FINISHING | 1 << LINK_ABORTED,
        [LINK_FINISHING] = 1 << LINK_LINGERING | 1 << LINK_ABORTED,
        [LINK_LINGERING] = 1 << LINK_ABORTED,
        [LINK_ABORTED] = 1 << LINK_CLOSED,
        [LINK_CLOSED] = 0,
    };

    ASSERT(allowed[link->state] & (1u << state));
    link->state = (uint8_t)state;
}

/* --- net --- */

void
net_init(struct net *net, struct ring *ring, struct slab *slab, uint32_t high_mark, uint32_t low_mark)
{
    *net =
        (struct net){.ring = ring,
                     .slab = slab,
                     .high_mark = high_mark,
                     .stop_mark = high_mark > 2 * RING_BULK_BYTES ? high_mark - RING_BULK_BYTES : high_mark,
                     .low_mark = low_mark,
                     .send_timeout_ms = 60000,
                     .linger_ms = 2000};
    for (unsigned i = 0; i < PRIORITIES; i++)
        list_init(&net->dirty[i]);
    list_init(&net->closing);
    list_init(&net->wakes);
    list_init(&net->blocked);
    for (unsigned t = 0; t < TRANSPORTS; t++)
        list_init(&net->batches[t].held);
    pool_init(&net->outbounds, sizeof(struct outbound));
    pool_init(&net->chunks, sizeof(struct chunk));
}

void
net_done(struct net *net)
{
    for (unsigned i = 0; i < PRIORITIES; i++)
        ASSERT(list_empty(&net->dirty[i]));
    ASSERT(list_empty(&net->closing) && list_empty(&net->blocked));
    timer_stop(&net->stall_timer);
    batch_done(net);
    pool_done(&net->outbounds);
    pool_done(&net->chunks);
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

/* The filter's last words are due. */
static bool
says_end(const struct link *link)
{
    return link->filter && link->filter->ops->end && !link->end_said &&
           (link->state == LINK_FINISHING || link->end_due);
}

/* Passes as much as one send takes through the filter. It may break the link. */
static void
filter_flush(struct link *link)
{
    const struct filter_ops *ops = link->filter->ops;
    struct span spans[OUTBOUND_SEND_MAX];
    unsigned n = 0;

    if (link->state == LINK_STARTING)
        return;
    if (link->out && link->out->wire_bytes < OUTBOUND_FILTER_BYTES)
        n = outbound_take(link->net, link->out, spans);
    for (unsigned i = 0; i < n; i++)
        link->sent_bytes += spans[i].len;
    if (n)
        ops->out(link->filter, link, spans, n);
    for (unsigned i = 0; i < n; i++)
        span_unref(spans[i]);
    if (says_end(link) && link->state < LINK_ABORTED && (!link->out || outbound_lanes_empty(link->out))) {
        link->end_said = true;
        ops->end(link->filter, link);
    }
}

static void
link_flush(struct link *link)
{
    struct iovec *iov;
    unsigned n;

    link->waiting = 0;
    if (link->out)
        link->out->pushes = 0;
    if (op_busy(&link->tx) || link->state < LINK_STARTING || link->state > LINK_FINISHING)
        return;
    if (link->filter)
        filter_flush(link);
    if (link->state >= LINK_ABORTED)
        return;
    if (!link->out) {
        end_sending(link);
        return;
    }
    ASSERT(link->out->flight_bytes == 0);
    iov = ring_arena(link->net->ring, sizeof *iov * OUTBOUND_SEND_MAX);
    n = link->filter ? outbound_gather_wire(link->out, iov) : outbound_gather(link->out, iov);
    ASSERT(n > 0 || link->filter);
    if (n)
        send_flight(link, iov, n);
    else if (link->state != LINK_STARTING) { /* the filter has made nothing of it */
        sent_all(link);
        after_send(link);
    }
}

static void
report_closed(struct link *link)
{
    outbound_free(link->net, &link->out);
    if (link->filter)
        link->filter->ops->free(link->filter);
    link->filter = NULL;
    link->up->on_closed(link, (enum close_reason)link->reason);
}

/* The most urgent. */
static struct list_node *
pop_dirty(struct net *net)
{
    struct list_node *node = NULL;

    for (unsigned i = 0; i < PRIORITIES && !node; i++)
        node = list_pop(&net->dirty[i]);
    return node;
}

static bool
is_dirty(const struct net *net)
{
    bool any = false;

    for (unsigned i = 0; i < PRIORITIES; i++)
        any |= !list_empty(&net->dirty[i]);
    return any;
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
        while ((node = pop_dirty(net)))
            link_flush(container_of(node, struct link, node));
        while ((node = list_pop(&net->closing)))
            report_closed(container_of(node, struct link, node));
        /* What the owners of closed links have sent to others; who has woken himself may wait for the next
         * turn. */
    } while (is_dirty(net));
}

/* --- the link --- */

void
link_init(struct link *link, struct net *net, const struct link_up *up, enum link_side side)
{
    link->net = net;
    link->up = up;
    link->side = (uint8_t)side;
    link->urgency = PRIORITY_NORMAL;
    link->fd = -1;
}

static struct net_flow *
flow_of(const struct link *link)
{
    return &link->net->stats.flows[link->side][link->transport];
}

static void
need_outbound(struct link *link)
{
    if (link->out)
        return;
    link->out = outbound_new(link->net);
    link->out->flow = flow_of(link);
}

void
link_set_transport(struct link *link, enum transport transport)
{
    uint64_t queued = link_queued(link);

    flow_of(link)->queued_bytes -= queued;
    link->transport = (uint8_t)transport;
    flow_of(link)->queued_bytes += queued;
    if (link->out)
        link->out->flow = flow_of(link);
}

void
link_receive(struct link *link)
{
    bool may = (!link->paused && !link->rests) || link->state == LINK_STARTING;
    enum ring_group group = !link->bulk ? RING_SMALL : link->large ? RING_LARGE : RING_BULK;

    if (op_busy(&link->rx) || !may || link->ended)
        return;
    if (link->rested && !link->bulk) /* bulk comes one at a time, behind the turn's sends */
        ring_recv_one(link->net->ring, &link->rx, link->fd, group, on_received);
    else
        ring_recv(link->net->ring, &link->rx, link->fd, group, on_received);
}

void
link_set_filter(struct link *link, struct filter *filter)
{
    ASSERT(!link->filter && (link->state == LINK_NEW || !filter->ops->start));
    ASSERT(link->received_bytes == 0 && link->sent_bytes == 0);
    link->filter = filter;
}

void
link_mark_dirty(struct link *link)
{
    enum priority most = link->out ? outbound_most_urgent(link->out) : PRIORITY_NORMAL;

    if (op_busy(&link->tx) || list_linked(&link->node))
        return;
    list_add_tail(&link->net->dirty[most == PRIORITY_NORMAL ? link->urgency : most], &link->node);
}

/* What is pushed may leave. */
static void
open_sending(struct link *link)
{
    link_set_state(link, LINK_OPEN);
    if (link->out && !op_busy(&link->tx)) {
        link->out->blocked = false;
        link_mark_dirty(link);
    }
}

/* The descriptor stands; true: there is nothing to wait for before on_connected(). */
static bool
start(struct link *link)
{
    bool at_once = !link->filter || !link->filter->ops->start;

    if (at_once)
        open_sending(link);
    else
        link_set_state(link, LINK_STARTING);
    link_receive(link);
    if (!at_once)
        link->filter->ops->start(link->filter, link);
    return at_once;
}

void
link_ready(struct link *link)
{
    ASSERT(link->state == LINK_STARTING);
    open_sending(link);
    if (link->paused)
        ring_cancel(link->net->ring, &link->rx);
    if (link->up->on_connected)
        link->up->on_connected(link, 0);
}

void
link_open(struct link *link, int fd)
{
    link->fd = fd;
    start(link);
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
    } else if (!start(link)) {
        return;
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
    bool is_told = link->farewell;

    if (link->state >= LINK_ABORTED)
        return;
    link_abort(link, reason, false);
    if (link->up->on_broken && !is_told)
        link->up->on_broken(link, reason);
}

/* What is left to send are the filter's last words; the owner hears no more than on_closed(). */
static void
say_farewell(struct link *link, enum close_reason reason)
{
    link->reason = (uint8_t)reason;
    link->farewell = true;
    link_set_state(link, LINK_FINISHING);
    batch_rouse(link);
    timer_stop(&link->timer);
    batch_hurry(link);
    list_del(&link->woken);
}

void
link_fail(struct link *link, enum close_reason reason)
{
    bool has_words = (link->state == LINK_STARTING || link->state == LINK_OPEN) && !op_busy(&link->tx) &&
                     link->out && link->out->wire_bytes;

    if (!has_words) {
        fail(link, reason);
        return;
    }
    say_farewell(link, reason);
    link->end_said = true; /* by an alert */
    if (link->up->on_broken)
        link->up->on_broken(link, reason);
    if (link->state != LINK_FINISHING)
        return;
    outbound_clear_lanes(link->net, link->out);
    link_mark_dirty(link);
}

void
link_push(struct link *link, enum priority lane, struct span bytes)
{
    struct net *net = link->net;
    bool copy;

    if (link->state >= LINK_FINISHING || bytes.len == 0)
        return;
    need_outbound(link);
    copy =
        outbound_must_copy(net, bytes) && (link->out->blocked || link->is_held || link->state != LINK_OPEN);
    if (!outbound_push(net, link->out, lane, bytes, copy)) {
        link_abort(link, CLOSE_NO_MEMORY, false);
        return;
    }
    link->out->pushes++;
    flow_of(link)->messages += !link->is_held;
    if (lane == PRIORITY_CRITICAL)
        batch_hurry(link);
    link_mark_dirty(link);
}

void
link_end_message(struct link *link, enum priority lane)
{
    if (link->state < LINK_FINISHING && link->out)
        outbound_end_message(link->out, lane);
}

void
link_join_lanes(struct link *link)
{
    if (link->out)
        outbound_join(link->out, PRIORITY_LOW);
}

bool
link_transmit(struct link *link, const void *bytes, size_t len)
{
    if (link->state < LINK_STARTING || link->state > LINK_FINISHING || len == 0)
        return true; /* nobody listens */
    need_outbound(link);
    if (link->out->wire_bytes + len > LINK_WIRE_MAX ||
        !outbound_transmit(link->net, link->out, bytes, (uint32_t)len))
        return false;
    link_mark_dirty(link);
    return true;
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
link_is_flushed(const struct link *link)
{
    return !link->out || (!link->out->blocked && !link->out->queued_bytes);
}

static void
set_congested(struct link *link)
{
    link->congested = true;
    link->net->stats.pauses++;
}

bool
link_congested(struct link *link)
{
    if (!link->congested && (link_blocked(link) || link_queued(link) >= link->net->stop_mark))
        set_congested(link);
    return link->congested;
}

bool
link_stops(struct link *sink, const struct link *source)
{
    if (source->rx.group == RING_LARGE && !link_blocked(sink))
        return sink->congested;
    return link_congested(sink);
}

/* --- sending --- */

/* All that was in flight has left. */
static void
sent_all(struct link *link)
{
    if (link->out->queued_bytes) {
        link->out->blocked = false;
        link->out->pushes = 0; /* of earlier turns */
        link_mark_dirty(link);
    } else {
        outbound_free(link->net, &link->out);
    }
}

/* The kernel took only a part: free the receive pool of what is left, then wait for room. */
static void
block(struct link *link)
{
    struct net *net = link->net;
    struct iovec *iov;
    unsigned n;

    if (link->farewell) { /* they had their chance */
        link_abort(link, (enum close_reason)link->reason, false);
        return;
    }
    if (!outbound_spill(net, link->out)) { /* on_closed() tells: what is left must not go to another link */
        link_abort(link, CLOSE_NO_MEMORY, false);
        return;
    }
    net->stats.spills++;
    link->out->blocked = true;
    iov = outbound_flight(net, link->out, &n);
    send_flight(link, iov, n);
    watch_stall(link);
    if (link->congested || link->state != LINK_OPEN || !link->up->on_congested)
        return;
    set_congested(link);
    link->up->on_congested(link);
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

/* Nothing is queued: what the owner has asked for to come after that. */
static void
end_sending(struct link *link)
{
    if (says_end(link)) {
        link_mark_dirty(link);
    } else if (link->farewell) {
        link_abort(link, (enum close_reason)link->reason, false);
    } else if (link->state == LINK_FINISHING) {
        start_lingering(link);
    } else if (link->end_due && link->state == LINK_OPEN) {
        link->end_due = false;
        ring_shutdown(link->net->ring, link->fd, SHUT_WR);
    }
}

static void
after_send(struct link *link)
{
    if (!link->out)
        end_sending(link);
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
        if (!link->filter)
            link->sent_bytes += (uint64_t)result;
        flow_of(link)->sent_bytes += (uint64_t)result;
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
    outbound_sent(link->net, link->out, (uint32_t)result);
    if (link->out->flight_bytes)
        block(link);
    else
        sent_all(link);
    after_send(link);
}

/* --- receiving --- */

void
link_deliver(struct link *link, struct span bytes)
{
    if (link->state == LINK_OPEN && !link->end_told)
        link->up->on_bytes(link, bytes);
}

void
link_deliver_end(struct link *link)
{
    if (link->state != LINK_OPEN || link->end_told)
        return;
    link->end_told = true;
    link->up->on_end(link);
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
    case LINK_STARTING:
        link->filter->ops->in(link->filter, link, (struct span){0});
        fail(link, CLOSE_TLS_FAILED);
        break;
    case LINK_OPEN:
        if (result < 0) {
            fail(link, CLOSE_NONE);
            break;
        }
        if (!link->end_told)
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
 * cancel has come back; what the old one brings until then, up to 32 buffers that were filled at once, says
 * nothing about the new one. */
static void
choose_group(struct link *link, enum ring_group from, uint32_t bytes, uint32_t buffer_bytes)
{
    bool other = link->bulk ? bytes <= SMALL_BYTES : bytes == buffer_bytes;

    if (link->bulk != (from != RING_SMALL))
        return;
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
        choose_group(link, (enum ring_group)op->group, (uint32_t)result, buf->size);
        link->has_more = (uint32_t)result == buf->size || ring_has_more(op);
        link->received_bytes += (uint64_t)result;
        flow_of(link)->received_bytes += (uint64_t)result;
        if (link->state == LINK_OPEN || link->state == LINK_STARTING) {
            struct span bytes = span_of(buf, 0, (uint32_t)result);

            if (link->filter)
                link->filter->ops->in(link->filter, link, bytes);
            else
                link->up->on_bytes(link, bytes);
        }
        buf_unref(buf);
    }
    if (more)
        return;
    if ((result > 0 || result == -ECANCELED) && link->state < LINK_ABORTED)
        link_receive(link); /* the next one; or resumed, or moved to the other group, since the cancel */
    else
        received_end(link, result);
}

void
link_pause(struct link *link)
{
    link->paused = true;
    link->bulk = true;
    link->run = 0;
    if (!link->ended && link->state != LINK_STARTING) /* else it only watches for a reset */
        ring_cancel(link->net->ring, &link->rx);
}

void
link_resume(struct link *link)
{
    if (link->state < LINK_STARTING || link->state > LINK_LINGERING)
        return;
    link->paused = false;
    link_receive(link);
}

void
link_delay_acks(struct link *link)
{
    if (link->state == LINK_OPEN)
        ring_delay_acks(link->net->ring, link->fd);
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

void
link_set_large(struct link *link, bool large)
{
    if (link->large == large)
        return;
    link->large = large;
    if (link->bulk && !link->paused && !link->ended)
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
    batch_rouse(link);
    timer_stop(&link->timer);
    batch_hurry(link);
    if (!link->out)
        end_sending(link);
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
    if (link->filter && link->filter->ops->end && link->state == LINK_OPEN && !reset && !link->end_said &&
        !link->out && (reason == CLOSE_DONE || reason == CLOSE_DRAIN)) {
        say_farewell(link, reason);
        link_mark_dirty(link);
        return;
    }
    if (link->state < LINK_FINISHING)
        link->reason = (uint8_t)reason;
    link->reset = reset;
    link_set_state(link, LINK_ABORTED);
    timer_stop(&link->timer);
    list_del(&link->node);
    link->is_held = false;
    list_del(&link->woken);
    ring_cancel(link->net->ring, &link->rx);
    ring_cancel(link->net->ring, &link->tx);
    check_closed(link);
}

struct span
link_first(const struct link *link)
{
    const struct span *first = link->out ? outbound_first(link->out) : NULL;

    return first ? *first : (struct span){0};
}

void
link_replace_first(struct link *link, struct span bytes)
{
    struct span *first = outbound_first(link->out);

    outbound_count(link->net, link->out, (int64_t)bytes.len - first->len);
    link->out->queued_bytes += bytes.len - first->len;
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
    link->end_due = true;
    batch_hurry(link);
    if (!link->out)
        end_sending(link);
}

bool
link_is_unsent(const struct link *link, uint64_t sent_bytes)
{
    if (!link->out || link->sent_bytes != sent_bytes)
        return false;
    if (link->filter)
        return outbound_first(link->out) != NULL;
    return !op_busy(&link->tx) || link->state == LINK_CONNECTING;
}

bool
link_withdraw(struct link *link, uint64_t sent_bytes)
{
    if (link->state != LINK_OPEN || !link_is_unsent(link, sent_bytes))
        return false;
    outbound_clear_lanes(link->net, link->out);
    link->congested = false;
    if (!op_busy(&link->tx) && !link->out->queued_bytes) {
        outbound_free(link->net, &link->out);
        link_unhold(link);
        list_del(&link->node);
    }
    return true;
}

void
link_move_queue(struct link *from, struct link *to)
{
    bool ok;

    ASSERT(from->filter || !op_busy(&from->tx) || from->state == LINK_CONNECTING);
    if (!from->out)
        return;
    need_outbound(to);
    ok =
        outbound_move(to->net, from->out, to->out, to->state != LINK_OPEN || link_blocked(to), !from->filter);
    if (!from->filter || (!op_busy(&from->tx) && !from->out->queued_bytes))
        outbound_free(from->net, &from->out);
    to->congested |= from->congested; /* whoever was told to wait hears from `to` */
    from->congested = false;
    if (from->state != LINK_CLOSED && !from->out) {
        link_unhold(from);
        list_del(&from->node);
    }
    if (!ok)
        link_abort(to, CLOSE_NO_MEMORY, false);
    else if (to->state == LINK_OPEN)
        link_mark_dirty(to);
}
