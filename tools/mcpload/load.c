/* SPDX-License-Identifier: Apache-2.0 */
/* The run: windows of time, and who starts a request when. */
#include "load.h"

#include "cpu.h"
#include "mcpload.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <unistd.h>

enum { SETTLE_STEP_MS = 20, SETTLE_MAX_NS = 30 };

static const uint64_t settle_max_ns = (uint64_t)SETTLE_MAX_NS * 1000000000;

bool
load_in_window(const struct load *load)
{
    return load->phase == PHASE_MEASURE;
}

void
load_error(struct load *load, enum error_kind kind)
{
    load->tally.errors[kind]++;
}

void
load_settled(struct load *load, struct load_conn *conn)
{
    if (!conn->settled && conn->role != ROLE_WORK)
        load->settled++;
    conn->settled = true;
}

/* --- who starts when --- */

static uint64_t
intended_ns(const struct load *load, uint64_t number)
{
    return load->begin_ns + (uint64_t)((double)number * 1e9 / load->config.rate);
}

/* Open loop: requests that are due start in order on the connections that are free. Those that find none
 * wait, and their latency runs. */
static void
start_due(struct load *load)
{
    struct list_node *node;

    while (load->started < load->due && (node = list_pop(&load->ready)))
        load_conn_begin(container_of(node, struct load_conn, node), intended_ns(load, load->started++));
    if (load->phase == PHASE_MEASURE && load->due - load->started > load->tally.queued_max)
        load->tally.queued_max = load->due - load->started;
}

static void
on_start_due(struct pacer_item *item, uint64_t now_ns)
{
    struct load *load = container_of(item, struct load, start_due);

    while (intended_ns(load, load->due) <= now_ns)
        load->due++;
    start_due(load);
    pacer_set(&load->pacer, item, intended_ns(load, load->due), on_start_due);
}

static void
on_thought(struct ring *ring, struct timer *timer)
{
    struct load_conn *conn = container_of(timer, struct load_conn, timer);

    if (conn->load->phase < PHASE_DRAIN)
        load_conn_begin(conn, 0);
}

void
load_conn_is_ready(struct load *load, struct load_conn *conn)
{
    if (conn->role != ROLE_WORK || load->phase >= PHASE_DRAIN)
        return;
    if (load->config.rate > 0) {
        list_add_tail(&load->ready, &conn->node);
        start_due(load);
    } else if (load->config.think_ns && load->requests_all) {
        timer_set(load->ring, &conn->timer, load->config.think_ns / 1000000, on_thought);
    } else {
        load_conn_begin(conn, 0);
    }
}

/* A connection that is lost comes back: for the next request, or to hold what it is there to hold. */
void
load_conn_is_closed(struct load *load, struct load_conn *conn)
{
    if (load->phase >= PHASE_DRAIN)
        return;
    if (conn->role == ROLE_WORK)
        load_conn_is_ready(load, conn);
    else
        load_conn_begin(conn, 0);
}

/* --- windows --- */

static void
end_window(struct load *load)
{
    if (load->phase >= PHASE_DRAIN)
        return;
    load->window_end_ns = ring_now(load->ring);
    if (load->phase == PHASE_MEASURE && load->config.cpu_of)
        load->tally.cpu_ns = cpu_of_tree_ns((pid_t)load->config.cpu_of) - load->cpu_begin_ns;
    if (load->phase == PHASE_MEASURE)
        load->tally.seconds = (double)(load->window_end_ns - load->window_begin_ns) / 1e9;
    load->phase = PHASE_DRAIN;
    load->tally.not_started = load->due - load->started;
    pacer_stop(&load->pacer, &load->start_due);
}

static void
on_window_end(struct ring *ring, struct timer *timer)
{
    end_window(container_of(timer, struct load, phase_timer));
}

static void
on_window_begin(struct ring *ring, struct timer *timer)
{
    struct load *load = container_of(timer, struct load, phase_timer);
    uint64_t now = ring_now(ring);

    if (load->settled < load->to_settle && now - load->begin_ns < load->config.warmup_ns + settle_max_ns) {
        timer_set(ring, timer, SETTLE_STEP_MS, on_window_begin);
        return;
    }
    if (load->config.cpu_of)
        load->cpu_begin_ns = cpu_of_tree_ns((pid_t)load->config.cpu_of);
    load->phase = PHASE_MEASURE;
    load->window_begin_ns = now;
    timer_set(ring, timer, load->config.duration_ns / 1000000, on_window_end);
}

static void
on_signal(struct op *op, int result, struct buf *buf, bool more)
{
    end_window(container_of(op, struct load, signals));
}

static void
on_progress(struct ring *ring, struct timer *timer)
{
    static const char *const phases[] = {"warm-up", "measuring", "draining", "closing"};
    struct load *load = container_of(timer, struct load, progress_timer);

    fprintf(stderr,
            "\r%4.0f s  %-9s %9" PRIu64 " req/s %9" PRIu64 " events/s  %u open  %" PRIu64 " errors   ",
            (double)(ring_now(ring) - load->begin_ns) / 1e9, phases[load->phase],
            load->requests_all - load->progress_requests, load->events_all - load->progress_events,
            load->open_count, tally_errors(&load->tally));
    load->progress_requests = load->requests_all;
    load->progress_events = load->events_all;
    timer_set(ring, timer, 999, on_progress); /* the wheel adds the millisecond that has begun */
}

/* --- the loop --- */

static void
turn(struct load *load)
{
    pacer_arm(&load->pacer);
    ring_wait(load->ring, 1000);
    for (uint32_t i = 0; i < load->fresh_count; i++) {
        struct load_conn *conn = load->fresh[i];

        if (conn->stamp_wanted)
            conn->start_ns = conn->began_ns = ring_submitted(load->ring);
        conn->stamp_wanted = false;
    }
    load->fresh_count = 0;
    ring_reap(load->ring);
    pacer_run(&load->pacer, ring_now(load->ring));
}

static int
open_run(struct load *load, char *why, size_t why_size)
{
    const struct load_config *c = &load->config;
    uint64_t counts[] = {c->connections, c->streams, c->slow_readers, c->idle};
    struct ring_config rings = {.buf_count = {2048, 16}, .cq_entries = 32768};
    uint32_t n = 0;
    int err;

    load->conn_count = (uint32_t)(counts[0] + counts[1] + counts[2] + counts[3]);
    load->to_settle = load->conn_count - (uint32_t)counts[0];
    load->conns = calloc(load->conn_count, sizeof(*load->conns));
    load->fresh = calloc(load->conn_count, sizeof(struct load_conn *));
    ASSERT(load->conns && load->fresh);
    for (unsigned role = 0; role < 4; role++)
        for (uint64_t i = 0; i < counts[role]; i++)
            load_conn_init(load, &load->conns[n++], (enum load_role)role);
    list_init(&load->ready);
    list_init(&load->queued);
    load->next_id = REQUEST_FIRST_ID;
    err = ring_new(&rings, &load->ring, why, why_size);
    if (err < 0)
        return err;
    err = pacer_init(&load->pacer, load->ring);
    if (err < 0)
        snprintf(why, why_size, "timerfd: %s", strerror(-err));
    return err;
}

static void
close_run(struct load *load)
{
    load->phase = PHASE_CLOSE;
    timer_stop(&load->phase_timer);
    timer_stop(&load->progress_timer);
    for (uint32_t i = 0; i < load->conn_count; i++)
        load_conn_close(&load->conns[i]);
    ring_cancel(load->ring, &load->signals);
    while (load->open_count || op_busy(&load->signals))
        turn(load);
    pacer_done(&load->pacer);
    ring_free(&load->ring);
    for (uint32_t i = 0; i < load->conn_count; i++)
        load_conn_done(&load->conns[i]);
    free(load->conns);
    free(load->fresh);
    close(load->signal_fd);
}

int
load_run(struct load *load, char *why, size_t why_size)
{
    bool progress = !load->config.quiet && isatty(STDERR_FILENO);
    int err = open_run(load, why, why_size);

    if (err < 0)
        return err;
    load->signal_fd = mcpload_signals();
    ring_poll(load->ring, &load->signals, load->signal_fd, POLLIN, on_signal);
    ring_reap(load->ring); /* reads the clock */
    load->begin_ns = ring_now(load->ring);
    if (load->config.warmup_ns)
        timer_set(load->ring, &load->phase_timer, load->config.warmup_ns / 1000000, on_window_begin);
    else
        on_window_begin(load->ring, &load->phase_timer);
    if (progress)
        timer_set(load->ring, &load->progress_timer, 999, on_progress);
    for (uint32_t i = 0; i < load->conn_count; i++)
        load_conn_is_closed(load, &load->conns[i]);
    if (load->config.rate > 0)
        on_start_due(&load->start_due, load->begin_ns);
    while (load->phase < PHASE_DRAIN || load->busy)
        turn(load);
    for (uint32_t i = 0; i < load->conn_count; i++)
        load_conn_end_session(&load->conns[i]);
    while (load->busy)
        turn(load);
    close_run(load);
    if (progress)
        fprintf(stderr, "\r%80s\r", "");
    return 0;
}
