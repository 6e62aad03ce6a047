/* SPDX-License-Identifier: Apache-2.0 */
/* Who starts a request when, and the load as a part of a run. */
#include "load.h"

#include "schedule.h"

#include <stdlib.h>

enum { BACKLOG_LOOK_NS = 1000000 };

static void on_start_due(struct pacer_item *item, uint64_t now_ns);

void
load_error(struct load *load, enum error_kind kind)
{
    load->part.tally.errors[kind]++;
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
    return schedule_due_ns(load->part.stage->begin_ns, load->config.rate, load->config.burst, number);
}

static void
count_due(struct load *load, uint64_t now_ns)
{
    while (intended_ns(load, load->due) <= now_ns)
        load->due++;
}

/* Open loop: requests that are due start in order on the connections that are free. Those that find none
 * wait, and their latency runs; no timer need ring for each of them then, since the connections that become
 * free come here. */
static void
start_due(struct load *load, uint64_t now_ns)
{
    struct pacer *pacer = &load->part.stage->pacer;
    struct list_node *node;

    count_due(load, now_ns);
    while (load->started < load->due && (node = list_pop(&load->ready)))
        load_conn_begin(container_of(node, struct load_conn, node), intended_ns(load, load->started++));
    if (load->part.stage->phase == PHASE_MEASURE && load->due - load->started > load->part.tally.queued_max)
        load->part.tally.queued_max = load->due - load->started;
    if (load->started == load->due)
        pacer_set(pacer, &load->start_due, intended_ns(load, load->due), on_start_due);
    else if (!load->start_due.place)
        pacer_set(pacer, &load->start_due, now_ns + BACKLOG_LOOK_NS, on_start_due);
}

static void
on_start_due(struct pacer_item *item, uint64_t now_ns)
{
    start_due(container_of(item, struct load, start_due), now_ns);
}

static void
on_thought(struct ring *ring, struct timer *timer)
{
    struct load_conn *conn = container_of(timer, struct load_conn, timer);

    if (conn->load->part.stage->phase < PHASE_DRAIN)
        load_conn_begin(conn, 0);
}

void
load_conn_is_ready(struct load *load, struct load_conn *conn)
{
    if (conn->role != ROLE_WORK || load->part.stage->phase >= PHASE_DRAIN)
        return;
    if (load->config.rate > 0) {
        list_add_tail(&load->ready, &conn->node);
        start_due(load, ring_now(load->ring));
    } else if (load->config.think_ns && load->part.requests_all) {
        timer_set(load->ring, &conn->timer, load->config.think_ns / 1000000, on_thought);
    } else {
        load_conn_begin(conn, 0);
    }
}

/* A connection that is lost comes back: for the next request, or to hold what it is there to hold. */
void
load_conn_is_closed(struct load *load, struct load_conn *conn)
{
    if (load->part.stage->phase >= PHASE_DRAIN)
        return;
    if (conn->role == ROLE_WORK)
        load_conn_is_ready(load, conn);
    else
        load_conn_begin(conn, 0);
}

/* --- the part on its stage --- */

static struct load *
load_of(struct part *part)
{
    return container_of(part, struct load, part);
}

static bool
is_settled(const struct part *part)
{
    const struct load *load = container_of(part, const struct load, part);

    return load->settled >= load->to_settle;
}

static bool
is_busy(const struct part *part)
{
    return container_of(part, const struct load, part)->busy > 0;
}

static void
begin(struct part *part)
{
    struct load *load = load_of(part);

    load->ring = part->stage->ring;
    for (uint32_t i = 0; i < load->conn_count; i++)
        load_conn_is_closed(load, &load->conns[i]);
    if (load->config.rate > 0 && load->config.connections)
        on_start_due(&load->start_due, part->stage->begin_ns);
}

static void
submitted(struct part *part)
{
    struct load *load = load_of(part);

    for (uint32_t i = 0; i < load->fresh_count; i++) {
        struct load_conn *conn = load->fresh[i];

        if (conn->stamp_wanted)
            conn->start_ns = conn->began_ns = ring_submitted(load->ring);
        conn->stamp_wanted = false;
    }
    load->fresh_count = 0;
}

static void
end_window(struct part *part)
{
    struct load *load = load_of(part);

    if (load->config.rate > 0 && load->config.connections)
        count_due(load, ring_now(load->ring));
    part->tally.not_started = load->due - load->started;
    pacer_stop(&part->stage->pacer, &load->start_due);
}

static void
leave(struct part *part)
{
    struct load *load = load_of(part);

    for (uint32_t i = 0; i < load->conn_count; i++)
        load_conn_end_session(&load->conns[i]);
}

static void
close_all(struct part *part)
{
    struct load *load = load_of(part);

    for (uint32_t i = 0; i < load->conn_count; i++)
        load_conn_close(&load->conns[i]);
}

static bool
was_good(const struct part *part)
{
    return part->tally.requests || part->tally.events || container_of(part, const struct load, part)->settled;
}

static void
load_free(struct part *part)
{
    struct load *load = load_of(part);

    for (uint32_t i = 0; i < load->conn_count; i++)
        load_conn_done(&load->conns[i]);
    free(load->conns);
    free(load->fresh);
    for (unsigned i = 0; i < load->stream_path_count; i++)
        free(load->stream_paths[i]);
    free(load->stream_paths);
    bytes_done(&load->echo_text);
    bytes_done(&load->plan.filler);
    free(load);
}

const struct part_type load_part = {
    .begin = begin,
    .is_settled = is_settled,
    .submitted = submitted,
    .end_window = end_window,
    .is_busy = is_busy,
    .leave = leave,
    .close = close_all,
    .plan = load_plan_json,
    .print_plan = load_print_plan,
    .was_good = was_good,
    .free = load_free,
};

/* The path, with the stream's share of --rate where that is of the events: words of the query of `mcpload
 * serve`. */
static char *
make_stream_path(const struct load_config *c, const char *path)
{
    struct bytes text = {0};

    bytes_print(&text, "%s", path);
    if (c->rate > 0 && !c->connections)
        bytes_print(&text, "%crate=%.9g&burst=%llu", strchr(path, '?') ? '&' : '?',
                    c->rate / (double)c->streams, (unsigned long long)c->burst);
    bytes_add(&text, "", 1);
    return text.at;
}

static void
make_stream_paths(struct load *load)
{
    const struct flag_list *paths = &load->config.stream_paths;

    load->stream_path_count = paths->count ? paths->count : 1;
    load->stream_paths = calloc(load->stream_path_count, sizeof(char *));
    ASSERT(load->stream_paths);
    for (unsigned i = 0; i < load->stream_path_count; i++)
        load->stream_paths[i] =
            make_stream_path(&load->config, paths->count ? paths->items[i] : load->plan.url.path);
}

static const char *
path_of(const struct load *load, enum load_role role, uint64_t number)
{
    if (role == ROLE_STREAM)
        return load->stream_paths[number % load->stream_path_count];
    return role == ROLE_SLOW && load->config.slow_path ? load->config.slow_path : load->plan.url.path;
}

void
load_open(struct load *load)
{
    const struct load_config *c = &load->config;
    uint64_t counts[] = {c->connections, c->streams, c->slow_readers, c->idle};
    uint32_t n = 0;

    load->part.type = &load_part;
    load->conn_count = (uint32_t)(counts[0] + counts[1] + counts[2] + counts[3]);
    load->to_settle = load->conn_count - (uint32_t)counts[0];
    load->conns = calloc(load->conn_count, sizeof(*load->conns));
    load->fresh = calloc(load->conn_count, sizeof(struct load_conn *));
    ASSERT(load->conns && load->fresh);
    make_stream_paths(load);
    for (unsigned role = 0; role < 4; role++)
        for (uint64_t i = 0; i < counts[role]; i++)
            load_conn_init(load, &load->conns[n++], (enum load_role)role,
                           path_of(load, (enum load_role)role, i));
    list_init(&load->ready);
    list_init(&load->queued);
    load->next_id = REQUEST_FIRST_ID;
}
