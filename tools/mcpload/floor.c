/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `mcpload floor`: the least a proxy on this ring can do, as a bound for bench/. It forwards each received
 * buffer as it is. Of a request it reads nothing; of a reply the end of the head and Content-Length, so that
 * it knows when the upstream connection is free again. Those are pooled, last in first out. A reply without
 * Content-Length (chunked, a stream) keeps its upstream connection until one side closes. No limits, no
 * retries, no statistics: not a proxy to use.
 *
 *     client --> half --peer--> half --> upstream
 *            <--       <------
 */
#include "address.h"
#include "config.h"
#include "mcpload.h"

#include "base/list.h"
#include "base/slab.h"
#include "base/text.h"
#include "ring/ring.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { FLIGHT_MAX = 8, QUEUE_HIGH = 32, QUEUE_LOW = 8 };

struct floor {
    struct floor_config config;
    struct ring *ring;
    struct address upstream;
    struct op accept, signals;
    struct pool halves;
    struct list_node all, idle, dead;
    uint32_t open_count;
    bool ending;
};

enum reply_state { REPLY_HEAD_DUE, REPLY_BODY, REPLY_UNTIL_CLOSE };

struct half {
    struct floor *floor;
    struct list_node all;  /* floor->all */
    struct list_node node; /* floor->idle, floor->dead */
    struct op recv, send;
    struct half *peer;
    int fd;
    bool is_upstream, connecting, closing;
    bool held;                              /* its receive is stopped, because the peer's queue is long */
    bool ending;                            /* its peer has closed */
    uint8_t reply;                          /* upstream: enum reply_state */
    uint8_t eoh;                            /* upstream: how much of CR LF CR LF was seen */
    uint64_t left;                          /* upstream: bytes of the body still to come */
    struct span flight[FLIGHT_MAX], *queue; /* being sent; waiting */
    uint32_t flight_count, queue_count, queue_size;
};

static void on_recv(struct op *op, int result, struct buf *buf, bool more);

/* --- the end --- */

static void
half_release(struct half *half)
{
    if (op_busy(&half->recv) || op_busy(&half->send))
        return;
    list_del(&half->node);
    list_add_tail(&half->floor->dead, &half->node);
}

static void
half_close(struct half *half)
{
    struct half *peer = half->peer;

    if (half->closing)
        return;
    half->closing = true;
    list_del(&half->node);
    ring_shutdown(half->floor->ring, half->fd, SHUT_RDWR);
    ring_cancel(half->floor->ring, &half->recv);
    ring_cancel(half->floor->ring, &half->send);
    half_release(half);
    if (peer) {
        half->peer = peer->peer = NULL;
        peer->ending = true; /* it closes when what it has is sent */
        if (!peer->flight_count)
            half_close(peer);
    }
}

static void
free_dead(struct floor *floor)
{
    struct list_node *node;

    while ((node = list_pop(&floor->dead))) {
        struct half *half = container_of(node, struct half, node);

        for (uint32_t i = 0; i < half->flight_count; i++)
            span_unref(half->flight[i]);
        for (uint32_t i = 0; i < half->queue_count; i++)
            span_unref(half->queue[i]);
        free(half->queue);
        list_del(&half->all);
        ring_close(floor->ring, half->fd);
        floor->open_count--;
        pool_put(&floor->halves, half);
    }
}

/* --- out --- */

static void on_send(struct op *op, int result, struct buf *buf, bool more);

static void
start_send(struct half *half)
{
    uint32_t n = half->queue_count < FLIGHT_MAX ? half->queue_count : FLIGHT_MAX;
    struct iovec *iov;

    if (n) {
        memcpy(half->flight, half->queue, n * sizeof(struct span));
        half->queue_count -= n;
        memmove(half->queue, half->queue + n, half->queue_count * sizeof(struct span));
        half->flight_count = n;
    }
    iov = ring_arena(half->floor->ring, half->flight_count * sizeof(*iov));
    for (uint32_t i = 0; i < half->flight_count; i++)
        iov[i] = (struct iovec){span_data(half->flight[i]), half->flight[i].len};
    ring_send(half->floor->ring, &half->send, half->fd, iov, half->flight_count, RING_SEND_ALL, on_send);
}

static void
on_send(struct op *op, int result, struct buf *buf, bool more)
{
    struct half *half = container_of(op, struct half, send), *peer = half->peer;

    for (uint32_t i = 0; i < half->flight_count; i++)
        span_unref(half->flight[i]);
    half->flight_count = 0;
    if (half->closing)
        half_release(half);
    else if (result < 0)
        half_close(half);
    else if (half->queue_count)
        start_send(half);
    else if (half->ending)
        half_close(half);
    if (peer && peer->held && half->queue_count <= QUEUE_LOW && !half->closing && !op_busy(&peer->recv)) {
        peer->held = false;
        ring_recv(half->floor->ring, &peer->recv, peer->fd, RING_SMALL, on_recv);
    }
}

/* Takes over the reference to `buf`. */
static void
half_push(struct half *half, struct half *from, struct buf *buf, uint32_t len)
{
    if (!half->flight_count && !half->queue_count && !half->connecting) {
        half->flight[0] = span_of(buf, 0, len);
        half->flight_count = 1;
        start_send(half);
        return;
    }
    if (half->queue_count == half->queue_size) {
        half->queue_size = half->queue_size ? 2 * half->queue_size : 8;
        half->queue = reallocarray(half->queue, half->queue_size, sizeof(struct span));
        ASSERT(half->queue);
    }
    half->queue[half->queue_count++] = span_of(buf, 0, len);
    if (half->queue_count >= QUEUE_HIGH && !from->held) {
        from->held = true;
        ring_cancel(half->floor->ring, &from->recv);
    }
}

/* --- the upstream side --- */

static void
on_connect(struct op *op, int result, struct buf *buf, bool more)
{
    struct half *half = container_of(op, struct half, send);

    half->connecting = false;
    if (half->closing) {
        half_release(half);
    } else if (result < 0) {
        half_close(half);
    } else {
        ring_recv(half->floor->ring, &half->recv, half->fd, RING_SMALL, on_recv);
        if (half->queue_count)
            start_send(half);
    }
}

static struct half *
half_new(struct floor *floor)
{
    struct half *half = pool_get(&floor->halves);

    half->floor = floor;
    list_add_tail(&floor->all, &half->all);
    floor->open_count++;
    return half;
}

static bool
bind_upstream(struct half *client)
{
    struct floor *floor = client->floor;
    struct list_node *node = list_pop(&floor->idle);
    struct half *half;

    if (node) {
        half = container_of(node, struct half, node);
    } else {
        half = half_new(floor);
        half->is_upstream = half->connecting = true;
        half->fd = ring_connect(floor->ring, &half->send, (struct sockaddr *)&floor->upstream.sa,
                                floor->upstream.len, on_connect);
        if (half->fd < 0) {
            list_del(&half->all);
            floor->open_count--;
            pool_put(&floor->halves, half);
            return false;
        }
    }
    half->reply = REPLY_HEAD_DUE;
    half->eoh = 0;
    half->peer = client;
    client->peer = half;
    return true;
}

static uint64_t
content_length(const char *at, uint32_t len)
{
    static const char name[] = "\ncontent-length:";

    for (const char *line = at; (line = memchr(line, '\n', len - (uint32_t)(line - at))); line++)
        if (len - (uint32_t)(line - at) > sizeof(name) && strncasecmp(line, name, sizeof(name) - 1) == 0)
            return strtoull(line + sizeof(name) - 1, NULL, 10);
    return UINT64_MAX;
}

/* Follows the reply to its end. The Content-Length line must not be split between buffers, which holds for
 * heads up to the size of one. Returns true when the reply has ended. */
static bool
follow_reply(struct half *half, const char *at, uint32_t len)
{
    static const char eoh[] = "\r\n\r\n";
    const char *end;

    if (half->reply == REPLY_UNTIL_CLOSE)
        return false;
    if (half->reply == REPLY_HEAD_DUE) {
        end = memmem(at, len, eoh, 4);
        if (!end)
            return false;
        half->left = content_length(at, (uint32_t)(end + 2 - at));
        half->reply = half->left == UINT64_MAX ? REPLY_UNTIL_CLOSE : REPLY_BODY;
        len -= (uint32_t)(end + 4 - at);
    }
    half->left -= len < half->left ? len : half->left;
    return half->reply == REPLY_BODY && half->left == 0;
}

/* --- in --- */

static void
on_bytes(struct half *half, struct buf *buf, uint32_t len)
{
    struct half *peer = half->peer;
    bool ended = half->is_upstream && follow_reply(half, (const char *)buf->data, len);

    if (!peer && (half->is_upstream || !bind_upstream(half))) {
        buf_unref(buf); /* nobody asked for it, or no upstream */
        half_close(half);
        return;
    }
    peer = half->peer;
    half_push(peer, half, buf, len);
    if (ended) {
        half->peer = peer->peer = NULL;
        if (half->held)
            half_close(half); /* its receive is being stopped */
        else
            list_add_head(&half->floor->idle, &half->node);
    }
}

static void
on_recv(struct op *op, int result, struct buf *buf, bool more)
{
    struct half *half = container_of(op, struct half, recv);

    if (buf && !half->closing)
        on_bytes(half, buf, (uint32_t)result);
    else if (buf)
        buf_unref(buf);
    else if (half->closing)
        half_release(half);
    else if (result != -ECANCELED)
        half_close(half);
    else if (half->held && half->peer && half->peer->queue_count <= QUEUE_LOW) {
        half->held = false;
        ring_recv(half->floor->ring, &half->recv, half->fd, RING_SMALL, on_recv);
    }
}

static void
on_accept(struct op *op, int result, struct buf *buf, bool more)
{
    struct floor *floor = container_of(op, struct floor, accept);
    struct half *half;

    if (result < 0)
        return;
    half = half_new(floor);
    half->fd = result;
    ring_recv(floor->ring, &half->recv, result, RING_SMALL, on_recv);
}

static void
on_signal(struct op *op, int result, struct buf *buf, bool more)
{
    container_of(op, struct floor, signals)->ending = true;
}

static void
turn(struct floor *floor)
{
    ring_wait(floor->ring, 1000);
    ring_reap(floor->ring);
    free_dead(floor);
}

static void
floor_close(struct floor *floor)
{
    ring_cancel(floor->ring, &floor->accept);
    ring_cancel(floor->ring, &floor->signals);
    list_for_each(node, &floor->all)
        half_close(container_of(node, struct half, all));
    while (op_busy(&floor->accept) || op_busy(&floor->signals) || floor->open_count)
        turn(floor);
    ring_free(&floor->ring);
    pool_done(&floor->halves);
}

int
floor_main(int argc, char **argv)
{
    static const struct ring_config rings = {.buf_count = {1024, 16}};
    struct floor floor = {0};
    char why[256], address[128];
    int listener, signal_fd;

    if (mcpload_wants_help(argc, argv)) {
        printf("usage: mcpload floor [flags]\n\nA proxy that does next to nothing, to measure real ones "
               "against.\n\n");
        flags_help(floor_flags, stdout);
        return 0;
    }
    list_init(&floor.all);
    list_init(&floor.idle);
    list_init(&floor.dead);
    pool_init(&floor.halves, sizeof(struct half));
    if (flags_parse((struct flag_set[]){{floor_flags, &floor.config}, {0}}, argc, argv, NULL, why,
                    sizeof(why)) < 0 ||
        address_parse(floor.config.upstream, &floor.upstream, why, sizeof(why)) < 0 ||
        (listener = address_listen(floor.config.listen, 0, 0, address, why, sizeof(why))) < 0 ||
        ring_new(&rings, &floor.ring, why, sizeof(why)) < 0) {
        fprintf(stderr, "mcpload: %s\n", why);
        return 2;
    }
    signal_fd = mcpload_signals();
    ring_poll(floor.ring, &floor.signals, signal_fd, POLLIN, on_signal);
    ring_accept(floor.ring, &floor.accept, listener, on_accept);
    printf("mcpload: floor on http://%s\n", address);
    fflush(stdout);
    while (!floor.ending)
        turn(&floor);
    floor_close(&floor);
    close(listener);
    close(signal_fd);
    return 0;
}
