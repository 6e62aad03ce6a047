/* SPDX-License-Identifier: Apache-2.0 */
#include "gate/worker.h"

#include "base/log.h"
#include "gate/bond.h"
#include "gate/bridging.h"
#include "gate/compress.h"
#include "gate/exchange.h"
#include "gate/health.h"
#include "gate/held.h"
#include "gate/home.h"
#include "gate/journaled.h"
#include "gate/leg.h"
#include "gate/local.h"
#include "gate/pace.h"
#include "gate/prewarm.h"
#include "gate/secure.h"
#include "gate/session.h"
#include "gate/traffic.h"
#include "ipc/channel.h"
#include "net/batch.h"
#include "stats/segment.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* The longest sleep: the watchdog wants a sign of life (stats_turn). */
enum {
    TURN_MAX_MS = 500,
    CLOSE_TURNS_MAX = 100,
    SPIN_AUTO_US = 100,
    SPIN_ON_US = 1000000,
    LAST_WORDS_MS = 250,
    LOAD_PERIOD_NS = 100000000
};

struct text
worker_date(struct worker *w)
{
    time_t now = time(NULL);
    struct tm tm;

    if ((uint64_t)now != w->date_s) {
        gmtime_r(&now, &tm);
        strftime(w->date, sizeof w->date, "%a, %d %b %Y %H:%M:%S GMT", &tm);
        w->date_s = (uint64_t)now;
    }
    return text_of(w->date);
}

/* --- listeners --- */

static void
on_accept(struct op *op, int result, struct buf *buf, bool more)
{
    struct listener *l = container_of(op, struct listener, op);

    (void)buf;
    if (result >= 0)
        front_accepted(l, result);
    else if (more)
        stats_add(l->worker->stats, STAT_accept_errors, 1);
    if (more || l->fd < 0)
        return;
    /* Cancelled by a drain: nobody who is in the queue is left behind. */
    while ((result = ring_accept_now(l->worker->ring, l->fd)) >= 0)
        front_accepted(l, result);
    close(l->fd);
    l->fd = -1;
}

static bool
is_loopback(int fd)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } addr = {.any.sa_family = AF_UNSPEC};
    socklen_t len = sizeof addr;

    if (getsockname(fd, &addr.any, &len) < 0)
        return false;
    return addr.any.sa_family == AF_INET
               ? ntohl(addr.v4.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET
               : addr.any.sa_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&addr.v6.sin6_addr);
}

static void
add_listener(struct worker *w, int fd, enum client_via via)
{
    struct listener *l;

    if (w->listener_count == WORKER_LISTENERS_MAX) {
        close(fd);
        return;
    }
    l = &w->listeners[w->listener_count++];
    l->worker = w;
    l->fd = fd;
    l->via = (uint8_t)via;
    l->is_loopback = (via == VIA_TCP || via == VIA_ADMIN) && is_loopback(fd);
    ring_accept(w->ring, &l->op, fd, on_accept);
}

static void
open_listeners(struct worker *w)
{
    const struct child *child = w->child;
    const struct cfg_listener *listen = cfg_listeners(w->config);

    for (uint32_t i = 0; i < child->h.listeners; i++) {
        enum client_via via = w->is_admin ? VIA_ADMIN : listen[i].is_unix ? VIA_UNIX : VIA_TCP;

        add_listener(w, child->listeners[i], via);
    }
    if (child->fds[FD_HOME] >= 0)
        add_listener(w, child->fds[FD_HOME], VIA_HOME);
}

/* --- drain --- */

static void
stop_exchanges(struct worker *w, bool at_once)
{
    struct list_node *here = &w->stop_marker;

    /* The end of one may be the end of others: those it had begun. */
    list_insert_between(here, &w->exchanges, w->exchanges.next);
    while (here->next != &w->exchanges) {
        struct list_node *node = here->next;
        struct exchange *ex = container_of(node, struct exchange, node);

        list_del(here);
        list_insert_between(here, node, node->next);
        ex->plan->stop(ex, at_once);
    }
    list_del(here);
}

static void
on_last_words_over(struct ring *ring, struct timer *timer)
{
    struct worker *w = container_of(timer, struct worker, drain_timer);

    (void)ring;
    list_for_each_safe(node, &w->clients)
        h1_abort(container_of(node, struct h1, node), CLOSE_DRAIN);
    upstreams_abort(w);
}

/* What is still open ends now, with an error that gets a moment to leave. */
static void
on_drain_over(struct ring *ring, struct timer *timer)
{
    struct worker *w = container_of(timer, struct worker, drain_timer);

    w->stopping = true;
    stop_exchanges(w, true);
    list_for_each_safe(node, &w->clients)
        h1_close(container_of(node, struct h1, node), CLOSE_DRAIN);
    timer_set(ring, timer, LAST_WORDS_MS, on_last_words_over);
}

/* Siblings may still ask for what is at home here until the end. */
static void
close_listeners(struct worker *w, bool home)
{
    for (uint32_t i = 0; i < w->listener_count; i++)
        if ((w->listeners[i].via == VIA_HOME) == home)
            ring_cancel(w->ring, &w->listeners[i].op);
}

void
worker_drain(struct worker *w, uint32_t ms)
{
    bool first = !w->draining;

    w->draining = true;
    if (first) {
        stats_slot_set_state(w->stats, SLOT_DRAINING);
        close_listeners(w, false);
        prewarm_stop(w);
        upstreams_close_idle(w);
        list_for_each(node, &w->clients) {
            struct h1 *h1 = container_of(node, struct h1, node);

            /* Closed at once it might cost the request that is on its way. */
            if (!h1->user && h1->state == H1_IDLE)
                timer_set(w->ring, &h1->link.timer, DRAIN_IDLE_MS, h1->link.timer.fire);
        }
        stop_exchanges(w, false);
        sessions_drain(w);
        stdio_drain(w);
    }
    timer_stop(&w->drain_timer);
    timer_set(w->ring, &w->drain_timer, ms, on_drain_over);
}

static bool
is_drained(const struct worker *w)
{
    for (uint32_t i = 0; i < w->listener_count; i++)
        if (w->listeners[i].via != VIA_HOME && op_busy(&w->listeners[i].op))
            return false;
    return w->draining && w->exchange_count == 0 && w->client_count == 0 && upstreams_are_closed(w);
}

/* --- the supervisor --- */

static void
take_control(struct worker *w, const struct control *msg, int *fds, unsigned fd_count)
{
    switch ((enum control_kind)msg->kind) {
    case CONTROL_DRAIN:
        if (w->is_admin)
            w->not_ready = true;
        else
            worker_drain(w, msg->ms);
        break;
    case CONTROL_STOP:
        worker_drain(w, 0);
        break;
    case CONTROL_ADOPT:
        while (fd_count && !w->draining)
            add_listener(w, fds[--fd_count], VIA_TCP);
        break;
    case CONTROL_RESOLVE:
        if (fd_count)
            upstreams_set_resolver(w, fds[--fd_count]);
        break;
    case CONTROL_SPAWN:
        if (fd_count)
            stdio_set_channel(w, fds[--fd_count]);
        break;
    case CONTROL_LOG_LEVEL:
        log_set_level((enum log_level)msg->arg);
        break;
    default:
        break;
    }
    while (fd_count)
        close(fds[--fd_count]);
}

static void
on_control(struct op *op, int result, struct buf *buf, bool more)
{
    struct worker *w = container_of(op, struct worker, control);
    struct control msg;
    int fds[HANDOVER_LISTENERS_MAX], n;
    unsigned fd_count = HANDOVER_LISTENERS_MAX;

    (void)result, (void)buf;
    while ((n = control_receive(w->child->control_fd, &msg, fds, &fd_count)) == 1) {
        take_control(w, &msg, fds, fd_count);
        fd_count = HANDOVER_LISTENERS_MAX;
    }
    if (n == 0)
        _exit(1); /* the supervisor is dead */
    if (!more && !w->ended)
        ring_poll(w->ring, op, w->child->control_fd, POLLIN, on_control);
}

/* --- the turn --- */

static uint64_t
all_groups(const uint64_t count[RING_GROUPS])
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < RING_GROUPS; i++)
        sum += count[i];
    return sum;
}

static void
mirror_counters(struct worker *w)
{
    const struct ring_stats *r = ring_stats(w->ring);
    const struct net_stats *n = &w->net.stats;
    struct slot *s = w->stats;

    stats_set(s, STAT_buffers_taken, all_groups(r->bufs_taken));
    stats_set(s, STAT_buffers_returned, all_groups(r->bufs_returned));
    stats_set(s, STAT_buffers_exhausted, r->parked);
    stats_set(s, STAT_ring_overflows, r->cq_overflows);
    stats_set(s, STAT_ring_rearms, r->rearms);
    stats_set(s, STAT_completions, r->completions);
    stats_set(s, STAT_slab_taken, w->slab.taken);
    stats_set(s, STAT_slab_returned, w->slab.returned);
    stats_set(s, STAT_slab_bytes, w->slab.used_bytes);
    stats_set(s, STAT_queued_bytes, n->queued_bytes);
    stats_set(s, STAT_spills, n->spills);
    stats_set(s, STAT_pauses, n->pauses);
    stats_set(s, STAT_resumes, n->resumes);
    stats_set(s, STAT_batches, n->batches);
    stats_set(s, STAT_batched, n->batched);
    traffic_count_bytes(w);
}

/* The cipher is got with the first session, since clients would wait for it here. Whether it can be had at
 * all is found out before the gateway says that it is ready, by the admin process, or by the workers where
 * there is none. */
static int
keys_init(struct worker *w, char *why, size_t why_size)
{
    const struct key_ring *ring = w->child->keys;
    struct seal_key keys[KEYS];

    for (unsigned i = 0; i < KEYS; i++)
        keys[i] = (struct seal_key){ring->keys[i].id, ring->keys[i].key};
    seal_keys_init(&w->keys, keys, KEYS, ring->current);
    if ((!w->is_admin && !w->config->admin_off) || seal_keys_ready(&w->keys))
        return 0;
    snprintf(why, why_size,
             "OpenSSL has no AES-256-GCM for the sessions: activate a provider that has it in openssl.cnf");
    return -ENOTSUP;
}

/* How long the ring is polled before the worker sleeps. `auto` does it for a moment, and only where a core is
 * left for the others. */
static uint32_t
spin_us(const struct config *c)
{
    switch ((enum cfg_spin)c->spin) {
    case SPIN_ON:
        return SPIN_ON_US;
    case SPIN_AUTO:
        /* --workers auto (0) leaves no core */
        return c->workers && (uint64_t)sysconf(_SC_NPROCESSORS_ONLN) > c->workers + 1 ? SPIN_AUTO_US : 0;
    default:
        return 0;
    }
}

static void
init_batches(struct worker *w)
{
    static const enum transport transports[CFG_STREAMS] = {
        [CFG_SSE] = TRANSPORT_SSE, [CFG_WS] = TRANSPORT_WS};
    const struct config *c = w->config;

    for (unsigned i = 0; i < CFG_STREAMS; i++) {
        enum cfg_stream stream = (enum cfg_stream)i;

        batch_init(&w->net, transports[i],
                   &(struct batch_limits){cfg_of_stream(c->batch_window, stream),
                                          cfg_of_stream(c->batch_messages, stream),
                                          cfg_of_stream(c->batch_bytes, stream)});
    }
}

int
worker_open(struct worker *w, struct child *child, bool is_admin, char *why, size_t why_size)
{
    const struct config *c = child->config;
    /* Few ask the admin listener, and nobody sends it much. */
    struct ring_config small = {.sq_entries = 256, .cq_entries = 1024, .buf_count = {64, 4}};
    struct ring_config rc = is_admin ? small : (struct ring_config){.spin_us = spin_us(c)};
    int err;

    *w = (struct worker){.child = child,
                         .config = c,
                         .stats = segment_slot(child->segment, child->h.slot),
                         .is_admin = is_admin};
    err = ring_new(&rc, &w->ring, why, why_size);
    if (err < 0)
        return err;
    slab_init(&w->slab, c->max_memory);
    net_init(&w->net, w->ring, &w->slab, (uint32_t)c->high_mark, (uint32_t)c->low_mark);
    w->net.send_timeout_ms = (uint32_t)c->send_timeout;
    init_batches(w);
    ring_set_connect_buffers(w->ring, (unsigned)c->upstream_buffer, (unsigned)c->upstream_buffer);
    w->h1.net = &w->net;
    w->h1.limits = (struct http1_limits){
        .line = (uint32_t)c->max_line, .head = (uint32_t)c->max_head, .headers = (uint32_t)c->max_headers};
    pool_init(&w->client_pool, sizeof(struct client));
    pool_init(&w->conn_pool, sizeof(struct h1));
    pool_init(&w->exchange_pool, sizeof(struct exchange));
    pool_init(&w->event_id_pool, sizeof(struct sse_id));
    pool_init(&w->leg_pool, sizeof(struct leg));
    pool_init(&w->held_pool, HELD_MIN);
    list_init(&w->clients);
    list_init(&w->exchanges);
    err = secure_init(w, why, why_size);
    if (err < 0)
        return err;
    err = compress_init(w) ? upstreams_init(w) : -ENOMEM;
    if (err >= 0)
        err = stdio_workers_init(w);
    if (err >= 0)
        err = bridging_init(w);
    if (err >= 0)
        err = sessions_init(w);
    if (err >= 0)
        err = journaled_init(w);
    if (err < 0) {
        snprintf(why, why_size, "cannot make the tables of upstreams and sessions");
        return err;
    }
    err = keys_init(w, why, why_size);
    if (err < 0)
        return err;
    if (child->control_fd >= 0)
        ring_poll(w->ring, &w->control, child->control_fd, POLLIN, on_control);
    w->admin_origin = text_of(child->h.admin_origin);
    open_listeners(w);
    if (!is_admin) {
        upstreams_set_resolver(w, child->fds[FD_RESOLVE]);
        bond_stdio_init(w);
        stdio_set_channel(w, child->fds[FD_SPAWN]);
        health_start(w);
        prewarm_start(w);
    }
    return 0;
}

/* Four times a second. */
static void
trim(struct worker *w)
{
    uint64_t period = ring_now(w->ring) / 250000000;

    if (period == w->trim_period)
        return;
    w->trim_period = period;
    slab_trim(&w->slab);
    pool_trim(&w->net.outbounds);
    pool_trim(&w->net.chunks);
    pool_trim(&w->client_pool);
    pool_trim(&w->conn_pool);
    pool_trim(&w->exchange_pool);
    pool_trim(&w->event_id_pool);
    pool_trim(&w->leg_pool);
    pool_trim(&w->held_pool);
    pool_trim(&w->bond_pool);
    pool_trim(&w->bridged_pool);
    pool_trim(&w->envelope_pool);
    compress_trim(w);
    sessions_tick(w);
    bonds_tick(w);
}

/* How much of its time it works, ten times a second. */
static void
measure_load(struct worker *w)
{
    uint64_t now_ns = ring_now(w->ring), passed_ns = now_ns - w->load.at_ns, busy_ns;

    if (passed_ns < LOAD_PERIOD_NS)
        return;
    busy_ns = ring_busy_ns(w->ring);
    w->load.percent = (unsigned)((busy_ns - w->load.busy_ns) * 100 / passed_ns);
    batch_set_load(&w->net, w->load.percent);
    w->load.at_ns = now_ns;
    w->load.busy_ns = busy_ns;
}

bool
worker_turn(struct worker *w, unsigned max_ms)
{
    if (!ring_reap(w->ring))
        batch_hurry_all(&w->net);
    compress_turn(w);
    net_flush(&w->net);
    mirror_counters(w);
    trim(w);
    measure_load(w);
    stats_turn(w->stats, ring_now(w->ring));
    if (is_drained(w) && !w->ended) {
        w->ended = true;
        close_listeners(w, true);
        upstreams_close_idle(w);
        stdio_end_all(w);
        return false;
    }
    pace_turn(w);
    ring_wait(w->ring, compress_is_pending(w) || batch_waits(&w->net) ? 0 : max_ms);
    traffic_count_times(w);
    return true;
}

static bool
is_busy(const struct worker *w)
{
    bool busy =
        w->conn_pool.used || w->client_pool.used || op_busy(&w->control) || op_busy(&w->upstreams.resolve_op);

    for (uint32_t i = 0; i < w->listener_count; i++)
        busy |= op_busy(&w->listeners[i].op);
    busy |= stdio_is_busy(&w->stdio);
    return busy;
}

void
worker_close(struct worker *w)
{
    unsigned turns = 0;

    /* What is still in flight comes home within a few turns: the upstreams' connections and our own polls. */
    if (w->child->control_fd >= 0)
        ring_cancel(w->ring, &w->control);
    upstreams_set_resolver(w, -1);
    stdio_end_all(w);
    stdio_set_channel(w, -1);
    timer_stop(&w->drain_timer);
    while (is_busy(w) && turns++ < CLOSE_TURNS_MAX)
        worker_turn(w, 1);
    compress_done(w);
    journaled_done(w);
    sessions_done(w);
    bridging_done(w);
    stdio_workers_done(w);
    upstreams_done(w);
    secure_done(w);
    seal_keys_done(&w->keys);
    net_done(&w->net);
    pool_done(&w->client_pool);
    pool_done(&w->conn_pool);
    pool_done(&w->exchange_pool);
    pool_done(&w->event_id_pool);
    pool_done(&w->leg_pool);
    pool_done(&w->held_pool);
    slab_done(&w->slab);
    ring_free(&w->ring);
}

static int
run(struct child *child, bool is_admin)
{
    static struct worker worker; /* too large for a stack; one per process */
    struct worker *w = &worker;
    char why[240] = "";
    int err = worker_open(w, child, is_admin, why, sizeof why);

    if (err < 0) {
        control_send(child->control_fd, CONTROL_FAILED, child->h.epoch, (uint32_t)-err, 0, why, NULL, 0);
        return 1;
    }
    stats_slot_set_state(w->stats, SLOT_READY);
    control_send(child->control_fd, CONTROL_READY, child->h.epoch, 0, 0, NULL, NULL, 0);
    while (worker_turn(w, TURN_MAX_MS))
        ;
    control_send(child->control_fd, CONTROL_DRAINED, child->h.epoch, 0, 0, NULL, NULL, 0);
    worker_close(w);
    return 0;
}

int
worker_main(struct child *child)
{
    return run(child, false);
}

int
admin_main(struct child *child)
{
    return run(child, true);
}
