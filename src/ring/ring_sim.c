/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ring.h on virtual descriptors: what runs in the process. As with the kernel, a start function only queues
 * an entry; ring_wait() hands the entries over and moves the clock, ring_reap() calls back.
 */
#include "base/check.h"
#include "ring/ring_sim_impl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { IDLE_WAITS_MAX = 100000, TURN_NS = 1000 };

const char *const ring_feature_names[] = {NULL};

/* --- set-up --- */

int
ring_new(const struct ring_config *config, struct ring **ret_ring, char *why, size_t why_size)
{
    static const unsigned counts[RING_GROUPS] = {1024, 64, RING_LARGE_COUNT},
                          sizes[RING_GROUPS] = {RING_SMALL_BYTES, RING_BULK_BYTES, RING_LARGE_BYTES};
    struct sim *sim = sim_current;
    struct ring *ring;

    ASSERT(sim && !sim->ring);
    if (sim_hits(sim, SIM_ENOMEM)) {
        snprintf(why, why_size, "not enough locked memory for the rings (simulated)");
        return -ENOMEM;
    }
    ring = calloc(1, sizeof *ring);
    ASSERT(ring);
    ring->sim = sim;
    ring->config = *config;
    if (!ring->config.cq_entries)
        ring->config.cq_entries = 16384;
    for (unsigned i = 0; i < RING_GROUPS; i++)
        ring_sim_group_open(ring, i, config->buf_count[i] ? config->buf_count[i] : counts[i],
                            config->buf_size[i] ? config->buf_size[i] : sizes[i]);
    list_init(&ring->entries);
    list_init(&ring->completions);
    list_init(&ring->ops);
    list_init(&ring->timed);
    wheel_init(&ring->wheel, sim->now_ns / MS_NS);
    ring->reaped_ns = ring->submitted_ns = sim->now_ns;
    sim->ring = ring;
    *ret_ring = ring;
    return 0;
}

static void
arena_reset(struct ring *ring)
{
    while (ring->arena) {
        struct sim_chunk *next = ring->arena->next;
        free(ring->arena);
        ring->arena = next;
    }
}

void *
ring_arena(struct ring *ring, size_t size)
{
    struct sim_chunk *chunk = malloc(sizeof *chunk + size);

    ASSERT(chunk);
    chunk->next = ring->arena;
    ring->arena = chunk;
    return chunk->bytes;
}

static void
op_free(struct sim_op *sop)
{
    list_del(&sop->all);
    list_del(&sop->parked);
    list_del(&sop->timed);
    list_del(&sop->start.node);
    if (sop->file && sop->file->reader == sop)
        sop->file->reader = NULL;
    if (sop->file && sop->file->writer == sop)
        sop->file->writer = NULL;
    free(sop->iov_copy);
    free(sop);
}

void
ring_sim_abandon(struct ring *ring)
{
    struct list_node *node;

    while ((node = list_pop(&ring->completions)))
        free(container_of(node, struct sim_completion, node));
    while ((node = list_first(&ring->ops)))
        op_free(container_of(node, struct sim_op, all));
    while ((node = list_pop(&ring->entries)))
        free(container_of(node, struct sim_entry, node));
    for (unsigned i = 0; i < RING_GROUPS; i++)
        ring_sim_group_close(&ring->groups[i]);
    arena_reset(ring);
    ring->sim->ring = NULL;
    free(ring);
}

void
ring_sim_check_idle(struct ring *ring)
{
    ASSERT(list_empty(&ring->ops));
    for (unsigned i = 0; i < RING_GROUPS; i++)
        ASSERT(ring->stats.bufs_taken[i] == ring->stats.bufs_returned[i]);
    ASSERT(wheel_next_ms(&ring->wheel) == UINT64_MAX);
}

void
ring_free(struct ring **ring_at)
{
    struct ring *ring = *ring_at;

    *ring_at = NULL;
    if (!ring)
        return;
    ring_sim_submit(ring);
    ring_sim_check_idle(ring);
    ring_sim_abandon(ring);
}

uint64_t
ring_now(const struct ring *ring)
{
    return ring->reaped_ns;
}

uint64_t
ring_submitted(const struct ring *ring)
{
    return ring->submitted_ns;
}

const struct ring_stats *
ring_stats(const struct ring *ring)
{
    return &ring->stats;
}

uint64_t
ring_busy_ns(const struct ring *ring)
{
    return ring->busy_ns;
}

/* --- operations --- */

static struct sim_op *
op_start(struct ring *ring, struct op *op, enum sim_op_kind kind, int fd, op_done *done)
{
    struct sim_op *sop = calloc(1, sizeof *sop);

    ASSERT(sop && !op_busy(op));
    *sop = (struct sim_op){.serial = ++ring->serial, .op = op, .kind = kind, .fd = fd};
    sop->start = (struct sim_entry){.kind = SIM_ENTRY_START, .serial = sop->serial};
    sop->file = sim_file_find(ring->sim, fd);
    ASSERT(sop->file || (kind == SIM_OP_POLL && fd < SIM_FD_BASE));
    ASSERT(!sop->file || !sop->file->closing);
    op->done = done;
    op->fd = fd;
    op->kind = (uint8_t)kind;
    list_add_tail(&ring->ops, &sop->all);
    ring_sim_queue(ring, &sop->start);
    return sop;
}

static void
claim(struct sim_op **place, struct sim_op *sop)
{
    ASSERT(!*place); /* one of its direction in flight per descriptor */
    *place = sop;
}

void
ring_accept(struct ring *ring, struct op *op, int fd, op_done *done)
{
    struct sim_op *sop = op_start(ring, op, SIM_OP_ACCEPT, fd, done);

    ASSERT(sop->file->kind == SIM_FILE_LISTENER);
    claim(&sop->file->reader, sop);
}

int
ring_accept_now(struct ring *ring, int fd)
{
    struct sim_file *listener = sim_file_find(ring->sim, fd);

    ASSERT(listener && !listener->closing && listener->kind == SIM_FILE_LISTENER);
    return sim_file_accept(ring->sim, listener);
}

int
ring_connect(struct ring *ring, struct op *op, const struct sockaddr *addr, socklen_t addr_len, op_done *done)
{
    struct sim_file *file = sim_file_new(ring->sim, SIM_FILE_STREAM);
    struct sim_op *sop;

    ASSERT(addr_len >= sizeof addr->sa_family);
    if (!file)
        return -EMFILE;
    sim_address_of(addr, file->address);
    file->receive_window = ring->sim->connect_receive_window;
    file->send_window = ring->sim->connect_send_window;
    sop = op_start(ring, op, SIM_OP_CONNECT, file->fd, done);
    claim(&file->writer, sop);
    return file->fd;
}

void
ring_recv(struct ring *ring, struct op *op, int fd, enum ring_group group, op_done *done)
{
    struct sim_op *sop = op_start(ring, op, SIM_OP_RECV, fd, done);

    ASSERT(sop->file->kind == SIM_FILE_STREAM && group < RING_GROUPS);
    sop->group = op->group = (uint8_t)group;
    sop->large = group == RING_LARGE;
    claim(&sop->file->reader, sop);
}

void
ring_recv_one(struct ring *ring, struct op *op, int fd, enum ring_group group, op_done *done)
{
    ring_recv(ring, op, fd, group, done);
    sim_file_find(ring->sim, fd)->reader->one = true;
}

void
ring_send(struct ring *ring, struct op *op, int fd, const struct iovec *iov, unsigned iov_count,
          unsigned flags, op_done *done)
{
    struct sim_op *sop = op_start(ring, op, SIM_OP_SEND, fd, done);

    ASSERT(sop->file->kind == SIM_FILE_STREAM && iov_count);
    sop->iov = iov;
    sop->iov_count = iov_count;
    sop->send_flags = flags;
    claim(&sop->file->writer, sop);
}

void
ring_poll(struct ring *ring, struct op *op, int fd, unsigned events, op_done *done)
{
    struct sim_op *sop = op_start(ring, op, SIM_OP_POLL, fd, done);

    ASSERT(!sop->file || sop->file->kind != SIM_FILE_LISTENER);
    sop->poll_events = events;
    if (sop->file)
        claim(&sop->file->reader, sop);
}

static struct sim_entry *
entry_new(struct ring *ring, enum sim_entry_kind kind)
{
    struct sim_entry *entry = calloc(1, sizeof *entry);

    ASSERT(entry);
    entry->kind = kind;
    ring_sim_queue(ring, entry);
    return entry;
}

/* An operation that the ring is about to arm again is taken back; it overtakes nothing by that. */
static void
cancel_op(struct ring *ring, struct sim_op *sop)
{
    struct sim_entry *entry = entry_new(ring, SIM_ENTRY_CANCEL);

    entry->serial = sop->serial;
    if (sop->state == SIM_QUEUED && sop->last_ns) {
        list_del(&entry->node);
        list_add_head(&ring->entries, &entry->node);
    }
}

void
ring_cancel(struct ring *ring, struct op *op)
{
    if (!op_busy(op))
        return;
    list_for_each(node, &ring->ops) {
        struct sim_op *sop = container_of(node, struct sim_op, all);

        if (sop->op == op)
            cancel_op(ring, sop);
    }
}

void
ring_shutdown(struct ring *ring, int fd, int how)
{
    struct sim_file *file = sim_file_find(ring->sim, fd);

    ASSERT(file && !file->closing && file->kind == SIM_FILE_STREAM);
    ASSERT(how != SHUT_WR || !file->writer ||
           file->writer->state != SIM_QUEUED); /* it would overtake the send */
    sim_file_shutdown(ring->sim, file, how);
}

void
ring_close(struct ring *ring, int fd)
{
    struct sim_file *file = sim_file_find(ring->sim, fd);

    ASSERT(file && !file->closing);
    ASSERT(!file->reader && !file->writer); /* nothing in flight */
    file->closing = true;
    entry_new(ring, SIM_ENTRY_CLOSE)->file = file;
}

int
ring_peer(struct ring *ring, int fd, struct ring_peer *ret_peer)
{
    struct sim_file *file = sim_file_find(ring->sim, fd);

    ASSERT(file && !file->closing);
    if (!file->end || !file->end->other)
        return -ENOTCONN;
    sim_address_peer(file->end->other->address, ret_peer);
    return 0;
}

void
ring_reset_on_close(struct ring *ring, int fd)
{
    struct sim_file *file = sim_file_find(ring->sim, fd);

    ASSERT(file && !file->closing && file->kind == SIM_FILE_STREAM);
    file->reset = true;
}

void
ring_set_notsent_lowat(struct ring *ring, int fd, unsigned bytes)
{
    struct sim_file *file = sim_file_find(ring->sim, fd);

    (void)bytes; /* the simulated kernel has no queue behind the peer's window */
    ASSERT(file && !file->closing && file->kind == SIM_FILE_STREAM);
}

void
ring_delay_acks(struct ring *ring, int fd)
{
    struct sim_file *file = sim_file_find(ring->sim, fd);

    ASSERT(file && !file->closing && file->kind == SIM_FILE_STREAM);
    ring->sim->ack_delays++;
}

void
ring_set_connect_buffers(struct ring *ring, unsigned receive_bytes, unsigned send_bytes)
{
    ring->sim->connect_receive_window = receive_bytes;
    ring->sim->connect_send_window = send_bytes;
}

/* --- the turn --- */

static uint64_t
next_completion_ns(const struct ring *ring)
{
    struct list_node *first = list_first(&ring->completions);

    return first ? container_of(first, struct sim_completion, node)->at_ns : UINT64_MAX;
}

static uint64_t
earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t
next_timer_ns(struct ring *ring)
{
    uint64_t next_ms = wheel_next_ms(&ring->wheel);

    return next_ms == UINT64_MAX ? UINT64_MAX : next_ms * MS_NS;
}

uint64_t
ring_sim_pending_ns(const struct ring *ring)
{
    if (!list_empty(&ring->entries) || !list_empty(&ring->sim->dirty) || ring_sim_parked_can_start(ring))
        return ring->sim->now_ns;
    return earlier(next_completion_ns(ring), ring_sim_timed_ns(ring, true));
}

static bool
work_is_due(struct ring *ring)
{
    uint64_t now_ns = ring->sim->now_ns;

    return next_completion_ns(ring) <= now_ns || next_timer_ns(ring) <= now_ns ||
           ring_sim_parked_can_start(ring);
}

void
ring_wait(struct ring *ring, unsigned max_ms)
{
    struct sim *sim = ring->sim;
    uint64_t until_ns = earlier(sim->now_ns + (uint64_t)max_ms * MS_NS, sim->limit_ns);
    uint64_t before_ns = sim->now_ns;

    ring->stats.waits++;
    ring_sim_restart_parked(ring);
    ring_sim_submit(ring);
    ring->submitted_ns = sim->now_ns;
    for (;;) {
        uint64_t next_ns;

        sim_run_events(sim);
        ring_sim_run_timed(ring);
        sim_net_deliver(sim);
        if (work_is_due(ring) || sim->now_ns >= until_ns)
            break;
        next_ns = earlier(next_completion_ns(ring), next_timer_ns(ring));
        next_ns = earlier(next_ns, earlier(sim_next_event_ns(sim), ring_sim_timed_ns(ring, false)));
        sim->now_ns = earlier(next_ns, until_ns);
    }
    ring->busy_ns += (sim->now_ns - before_ns) * sim->busy_percent / 100;
    ring->idle_waits = work_is_due(ring) || sim->now_ns > before_ns ? 0 : ring->idle_waits + 1;
    ASSERT(ring->idle_waits < IDLE_WAITS_MAX); /* else the caller spins */
    arena_reset(ring);
}

static void
complete(struct ring *ring, struct sim_completion *c)
{
    struct sim_op *sop = c->op;
    struct op *op = sop->op;
    int result = c->result;
    struct buf *buf = c->buf;
    bool more = c->more, has_more = c->has_more;

    free(c);
    if (!more) {
        op_free(sop);
        op->kind = SIM_OP_IDLE;
    }
    ring->stats.completions++;
    op->flags = has_more ? RING_HAS_MORE : 0;
    if (buf)
        op->group = buf->klass;
    op->done(op, result, buf, more);
}

unsigned
ring_reap(struct ring *ring)
{
    struct sim *sim = ring->sim;
    unsigned n = 0;

    ring->reaped_ns = sim->now_ns;
    while (next_completion_ns(ring) <= sim->now_ns) {
        struct list_node *node;

        sim_step(sim);
        node = list_pop(&ring->completions);
        ring->completion_count--;
        complete(ring, container_of(node, struct sim_completion, node));
        n++;
    }
    n += wheel_advance(&ring->wheel, ring, ring->reaped_ns / MS_NS);
    if (n)
        sim->now_ns +=
            TURN_NS; /* else a program and a peer that answer each other at once would stop the clock */
    return n;
}

void
timer_set(struct ring *ring, struct timer *timer, uint64_t ms, void (*fire)(struct ring *, struct timer *))
{
    timer->fire = fire;
    wheel_set(&ring->wheel, timer, (ring->reaped_ns + MS_NS - 1) / MS_NS + ms);
}

void
timer_stop(struct timer *timer)
{
    wheel_stop(timer);
}
