/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel's part of the simulated ring: it takes the queued entries in order, tries each operation at once
 * and again whenever something happens to its descriptor, and posts completions, sorted by the time at which
 * they are seen. Here lie the opportunities for most faults.
 */
#include "base/check.h"
#include "ring/ring_sim_impl.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>

enum { ACCEPT_RETRY_MS = 100 };

/* --- buffers --- */

static void
group_put(struct sim_group *g, struct buf *b)
{
    memset(b->data, 0xdb, b->size);
    g->free[(g->free_first + g->free_count++) & (g->count - 1)] = b;
}

static void
rearm(struct ring *ring, struct sim_op *sop)
{
    sop->state = SIM_QUEUED;
    sop->run_bytes = 0;
    ring_sim_queue(ring, &sop->start);
}

static void
group_release(struct buf_home *home, struct buf *b)
{
    struct sim_group *g = container_of(home, struct sim_group, home);

    ASSERT(g->free_count < g->count);
    group_put(g, b);
    g->ring->stats.bufs_returned[b->klass]++;
    list_for_each_safe(node, &g->waiting) {
        struct sim_op *sop = container_of(node, struct sim_op, parked);

        if (sop->last != b)
            continue;
        list_del(node);
        rearm(g->ring, sop);
    }
}

static struct buf *
group_take(struct sim_group *g)
{
    struct buf *b = g->free[g->free_first];

    g->free_first = (g->free_first + 1) & (g->count - 1);
    g->free_count--;
    ASSERT(b->refs == 0);
    b->refs = 1;
    g->ring->stats.bufs_taken[b->klass]++;
    return b;
}

void
ring_sim_group_open(struct ring *ring, unsigned id, unsigned count, unsigned size)
{
    struct sim_group *g = &ring->groups[id];

    ASSERT(count && (count & (count - 1)) == 0 && size);
    *g = (struct sim_group){.home = {.release = group_release}, .ring = ring, .count = count, .size = size};
    list_init(&g->parked);
    list_init(&g->waiting);
    g->bufs = calloc(count, sizeof *g->bufs);
    g->free = calloc(count, sizeof(*g->free));
    ASSERT(g->bufs && g->free);
    for (unsigned i = 0; i < count; i++) {
        struct buf *b = &g->bufs[i];

        *b = (struct buf){.data = malloc(size), /* each its own: AddressSanitizer sees the ends */
                          .home = &g->home,
                          .size = size,
                          .id = (uint16_t)i,
                          .kind = BUF_PROVIDED,
                          .klass = (uint8_t)id};
        ASSERT(b->data);
        group_put(g, b);
    }
}

void
ring_sim_group_close(struct sim_group *g)
{
    for (unsigned i = 0; i < g->count; i++)
        free(g->bufs[i].data);
    free(g->bufs);
    free(g->free);
}

/* --- completions --- */

static bool
has_more(const struct sim_end *end)
{
    return end->arrived.count || end->fin_arrived;
}

/* Sorted by time; what is equally late stays in the order of posting. Returns false when the completion queue
 * was full: then a multishot ends, as with the kernel. */
static bool
post(struct ring *ring, struct sim_op *sop, int result, struct buf *buf, bool more)
{
    struct sim *sim = ring->sim;
    struct sim_completion *c = calloc(1, sizeof *c);
    struct list_node *after = ring->completions.prev;

    ASSERT(c && sop->state != SIM_FINISHED);
    *c = (struct sim_completion){.op = sop, .at_ns = sim->now_ns, .result = result, .buf = buf, .more = more};
    c->has_more = sop->kind == SIM_OP_RECV && buf && has_more(sop->file->end);
    if (sim_hits(sim, SIM_LATE_COMPLETION))
        c->at_ns += sim_random(sim, SIM_LATE_MAX_MS * MS_NS);
    if (c->at_ns < sop->last_ns)
        c->at_ns = sop->last_ns;
    sop->last_ns = c->at_ns;
    if (!more) {
        sop->state = SIM_FINISHED;
        list_del(&sop->parked);
        list_del(&sop->timed);
    }
    while (after != &ring->completions && container_of(after, struct sim_completion, node)->at_ns > c->at_ns)
        after = after->prev;
    list_add_head(after, &c->node);
    if (++ring->completion_count <= ring->config.cq_entries)
        return true;
    ring->stats.cq_overflows++;
    return false;
}

/* Bulk is received one buffer at a time, small ones RING_RUN at a time, so that the owner can stop it. */
static bool
is_run_over(struct sim *sim, struct sim_op *sop, int result, const struct buf *buf)
{
    if (sop->kind != SIM_OP_RECV || !buf)
        return false;
    sop->run_bytes += (uint32_t)result;
    return sop->group != RING_SMALL ||
           (sop->run_bytes >= RING_RUN * buf->size && !sim_hits(sim, SIM_LONG_RUN));
}

/* It goes on when its buffer has come home. */
static void
wait_for(struct ring *ring, struct sim_op *sop, struct buf *buf)
{
    sop->state = SIM_WAITING;
    sop->last = buf;
    list_add_tail(&ring->groups[RING_LARGE].waiting, &sop->parked);
}

/* A completion of a multishot, after which it may have ended by itself; then the ring arms it again. */
static void
post_more(struct ring *ring, struct sim_op *sop, int result, struct buf *buf)
{
    bool goes_on = post(ring, sop, result, buf, true);

    if (buf && ring_is_large(buf)) {
        wait_for(ring, sop, buf);
    } else if (!goes_on || sim_hits(ring->sim, SIM_LOST_MULTISHOT)) {
        ring->stats.rearms++;
        rearm(ring, sop);
    } else if (is_run_over(ring->sim, sop, result, buf)) {
        rearm(ring, sop);
    }
}

static void
run_at(struct ring *ring, struct sim_op *sop, uint64_t at_ns)
{
    sop->at_ns = at_ns;
    list_del(&sop->timed);
    list_add_tail(&ring->timed, &sop->timed);
}

/* --- what the kernel does for an operation whenever something happened to its descriptor --- */

static void
try_accept(struct ring *ring, struct sim_op *sop)
{
    while (sop->state == SIM_ACTIVE) {
        int fd = sim_file_accept(ring->sim, sop->file);

        if (fd == -EAGAIN)
            return;
        if (fd >= 0) {
            post_more(ring, sop, fd, NULL);
            continue;
        }
        post(ring, sop, fd, NULL, true);
        sop->state = SIM_BACKOFF;
        if (!sop->cancel_late)
            run_at(ring, sop, ring->sim->now_ns + (uint64_t)ACCEPT_RETRY_MS * MS_NS);
    }
}

static void
try_connect(struct ring *ring, struct sim_op *sop)
{
    int err = sim_file_connect(ring->sim, sop->file);

    if (err != -EINPROGRESS)
        post(ring, sop, err, NULL, false);
}

/* Those that want a large buffer get a bulk one, or wait for that, where none is left. */
static struct sim_group *
choose_group(struct ring *ring, struct sim_op *sop)
{
    if (sop->large)
        sop->group = ring->groups[RING_LARGE].free_count ? RING_LARGE : RING_BULK;
    return &ring->groups[sop->group];
}

static void
park(struct ring *ring, struct sim_op *sop)
{
    ring->stats.parked++;
    if (sop->large)
        sop->group = RING_BULK;
    sop->state = SIM_PARKED;
    list_add_tail(&ring->groups[sop->group].parked, &sop->parked);
}

static void
recv_bytes(struct ring *ring, struct sim_op *sop, struct sim_end *end)
{
    struct buf *b = group_take(&ring->groups[sop->group]);
    size_t size = sim_hits(ring->sim, SIM_SHORT_RECV) ? 1 : b->size;
    size_t n = sim_end_pull(ring->sim, end, b->data, size);

    if (sop->one)
        post(ring, sop, (int)n, b, false);
    else
        post_more(ring, sop, (int)n, b);
}

/* Linux gives what arrived before an error or an end first. A receive that finds no buffer ends, even when it
 * would have told an end. */
static void
try_recv(struct ring *ring, struct sim_op *sop)
{
    struct sim_end *end = sop->file->end;

    if (!end) {
        post(ring, sop, -ENOTCONN, NULL, false);
        return;
    }
    while (sop->state == SIM_ACTIVE &&
           (end->arrived.count || end->error || end->fin_arrived || end->read_shut)) {
        if (!choose_group(ring, sop)->free_count || sim_hits(ring->sim, SIM_NO_BUFFERS)) {
            park(ring, sop);
        } else if (end->arrived.count) {
            recv_bytes(ring, sop, end);
        } else {
            int error = end->error;

            end->error = 0;
            post(ring, sop, -error, NULL, false);
        }
    }
}

static void
send_bytes(struct ring *ring, struct sim_op *sop, struct sim_end *end, size_t count)
{
    size_t skip = sop->sent;

    sop->sent += count;
    for (unsigned i = 0; count; i++) {
        const struct iovec *v = &sop->iov_copy[i];

        if (skip >= v->iov_len) {
            skip -= v->iov_len;
        } else {
            size_t n = v->iov_len - skip < count ? v->iov_len - skip : count;

            sim_end_push(ring->sim, end, (const char *)v->iov_base + skip, n);
            count -= n;
            skip = 0;
        }
    }
}

/* How much goes out now: all, or less for lack of room or by a fault. */
static size_t
send_share(struct ring *ring, struct sim_op *sop, struct sim_end *end)
{
    size_t n = sop->total - sop->sent, room = sim_end_room(end);

    if (n > room)
        n = room;
    if (n && (sop->send_flags & RING_SEND_NOWAIT) && sim_hits(ring->sim, SIM_FULL_SEND))
        n = 0;
    if (n > 1 && sim_hits(ring->sim, SIM_SHORT_SEND))
        n = 1 + sim_random(ring->sim, n - 1);
    return n;
}

static int
send_error(struct sim_end *end)
{
    int error = end->error;

    end->error = 0;
    if (error)
        return -error;
    return end->gone || end->write_shut ? -EPIPE : 0;
}

/* A send that was cut off by an error after some bytes tells the bytes. */
static void
try_send(struct ring *ring, struct sim_op *sop)
{
    struct sim_end *end = sop->file->end;
    int error = end ? send_error(end) : -ENOTCONN;
    size_t n;

    if (error) {
        post(ring, sop, sop->sent ? (int)sop->sent : error, NULL, false);
        return;
    }
    while ((n = send_share(ring, sop, end)) > 0) {
        send_bytes(ring, sop, end, n);
        if (!(sop->send_flags & RING_SEND_ALL))
            break;
    }
    if (sop->sent == sop->total || (sop->sent && !(sop->send_flags & RING_SEND_ALL)))
        post(ring, sop, (int)sop->sent, NULL, false);
    else if (sop->send_flags & RING_SEND_NOWAIT)
        post(ring, sop, sop->sent ? (int)sop->sent : -EAGAIN, NULL, false);
}

/* Of a stream only what poll() tells unasked: an error, and that both directions have ended. */
static unsigned
stream_ready(const struct sim_end *end)
{
    if (end->error)
        return POLLERR | POLLHUP;
    return end->gone || (end->fin_arrived && end->write_shut) ? POLLHUP : 0;
}

static void
try_poll(struct ring *ring, struct sim_op *sop)
{
    unsigned ready = sop->poll_ready | (sop->file ? sop->file->ready : 0);

    if (sop->file && sop->file->end)
        ready |= stream_ready(sop->file->end);
    ready &= sop->poll_events | POLLERR | POLLHUP;
    if (!ready)
        return;
    sop->poll_ready = 0;
    if (sop->file)
        sop->file->ready &= ~ready;
    post_more(ring, sop, (int)ready, NULL);
}

static void
try_op(struct ring *ring, struct sim_op *sop)
{
    bool stream = sop->kind == SIM_OP_RECV || sop->kind == SIM_OP_SEND;

    if (stream && sop->file->end && sim_hits(ring->sim, SIM_RESET))
        sim_end_reset(ring->sim, sop->file->end);
    switch (sop->kind) {
    case SIM_OP_ACCEPT:
        try_accept(ring, sop);
        break;
    case SIM_OP_CONNECT:
        try_connect(ring, sop);
        break;
    case SIM_OP_RECV:
        try_recv(ring, sop);
        break;
    case SIM_OP_SEND:
        try_send(ring, sop);
        break;
    case SIM_OP_POLL:
        try_poll(ring, sop);
        break;
    case SIM_OP_IDLE:
        UNREACHABLE();
    }
}

void
ring_sim_wake(struct ring *ring, struct sim_file *file)
{
    if (file->reader && file->reader->state == SIM_ACTIVE)
        try_op(ring, file->reader);
    if (file->writer && file->writer->state == SIM_ACTIVE && file->writer->kind == SIM_OP_SEND)
        try_op(ring, file->writer);
}

void
ring_sim_signal(struct ring *ring, int fd, unsigned revents)
{
    list_for_each(node, &ring->ops) {
        struct sim_op *sop = container_of(node, struct sim_op, all);

        if (sop->kind != SIM_OP_POLL || sop->fd != fd)
            continue;
        if (!sop->file)
            sop->poll_ready |= revents;
        if (sop->state == SIM_ACTIVE)
            try_poll(ring, sop);
    }
}

/* --- submission --- */

static void
copy_iov(struct sim_op *sop)
{
    if (sop->iov_copy)
        return;
    sop->iov_copy = calloc(sop->iov_count, sizeof *sop->iov_copy);
    ASSERT(sop->iov_copy);
    memcpy(sop->iov_copy, sop->iov, sop->iov_count * sizeof *sop->iov);
    for (unsigned i = 0; i < sop->iov_count; i++)
        sop->total += sop->iov_copy[i].iov_len;
}

static void
start(struct ring *ring, struct sim_op *sop)
{
    const struct sim_group *g = choose_group(ring, sop);

    sop->state = SIM_ACTIVE;
    if (sop->kind == SIM_OP_SEND)
        copy_iov(sop);
    /* Arming on an empty group fails at once; who comes later waits behind those who wait already. */
    if (sop->kind == SIM_OP_RECV && (!g->free_count || !list_empty(&g->parked)))
        park(ring, sop);
    else
        try_op(ring, sop);
}

static void
cancel(struct ring *ring, struct sim_op *sop)
{
    if (sop->state == SIM_FINISHED)
        return;
    list_del(&sop->start.node);
    post(ring, sop, sop->sent ? (int)sop->sent : -ECANCELED, NULL, false);
}

static void
cancel_or_late(struct ring *ring, struct sim_op *sop)
{
    if (sop->state == SIM_ACTIVE && !sop->cancel_late && sim_hits(ring->sim, SIM_LATE_CANCEL)) {
        sop->cancel_late = true;
        run_at(ring, sop, ring->sim->now_ns + sim_random(ring->sim, SIM_LATE_MAX_MS * MS_NS));
    } else if (!sop->cancel_late) {
        cancel(ring, sop);
    }
}

static void
cancel_serial(struct ring *ring, uint64_t serial)
{
    list_for_each(node, &ring->ops) {
        struct sim_op *sop = container_of(node, struct sim_op, all);

        if (sop->serial == serial) {
            cancel_or_late(ring, sop);
            return;
        }
    }
}

static void
submit_entry(struct ring *ring, struct sim_entry *entry)
{
    switch (entry->kind) {
    case SIM_ENTRY_START:
        start(ring, container_of(entry, struct sim_op, start));
        return; /* the entry is the operation's */
    case SIM_ENTRY_CANCEL:
        cancel_serial(ring, entry->serial);
        break;
    case SIM_ENTRY_CLOSE:
        sim_file_free(ring->sim, entry->file);
        break;
    }
    free(entry);
}

void
ring_sim_queue(struct ring *ring, struct sim_entry *entry)
{
    entry->round = ring->rounds;
    list_add_tail(&ring->entries, &entry->node);
}

/* Only the entries that are there now: an operation that ends by itself is armed again by the next submit. */
void
ring_sim_submit(struct ring *ring)
{
    struct list_node *node;

    ring->rounds++;
    while ((node = list_first(&ring->entries))) {
        struct sim_entry *entry = container_of(node, struct sim_entry, node);

        if (entry->round == ring->rounds)
            return;
        sim_step(ring->sim);
        list_del(node);
        submit_entry(ring, entry);
    }
}

bool
ring_sim_parked_can_start(const struct ring *ring)
{
    for (unsigned i = 0; i < RING_GROUPS; i++)
        if (ring->groups[i].free_count && !list_empty(&ring->groups[i].parked))
            return true;
    return false;
}

void
ring_sim_restart_parked(struct ring *ring)
{
    for (unsigned i = 0; i < RING_GROUPS; i++) {
        struct sim_group *g = &ring->groups[i];
        struct list_node parked, *node;

        list_take(&parked, &g->parked);
        while (g->free_count && (node = list_pop(&parked))) {
            struct sim_op *sop = container_of(node, struct sim_op, parked);

            sop->state = SIM_ACTIVE;
            try_op(ring, sop);
        }
        /* Those who found no buffer again stand behind those who did not get so far. */
        while ((node = parked.prev) != &parked) {
            list_del(node);
            list_add_head(&g->parked, node);
        }
    }
}

/* --- what is due at a time --- */

uint64_t
ring_sim_timed_ns(const struct ring *ring, bool cancels_only)
{
    uint64_t next_ns = UINT64_MAX;

    list_for_each(node, &ring->timed) {
        const struct sim_op *sop = container_of(node, struct sim_op, timed);

        if (sop->at_ns < next_ns && (sop->cancel_late || !cancels_only))
            next_ns = sop->at_ns;
    }
    return next_ns;
}

void
ring_sim_run_timed(struct ring *ring)
{
    list_for_each_safe(node, &ring->timed) {
        struct sim_op *sop = container_of(node, struct sim_op, timed);

        if (sop->at_ns > ring->sim->now_ns)
            continue;
        list_del(node);
        if (sop->cancel_late) {
            cancel(ring, sop);
        } else {
            sop->state = SIM_ACTIVE;
            try_op(ring, sop);
        }
    }
}
