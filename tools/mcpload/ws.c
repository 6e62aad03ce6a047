/* SPDX-License-Identifier: Apache-2.0 */
/* `mcpload ws`: who sends a message when, and the load as a part of a run; see ws.h. */
#include "ws.h"

#include "schedule.h"

#include <stdlib.h>

static uint64_t
intended_ns(const struct ws_load *load, uint64_t number)
{
    return schedule_due_ns(load->part.stage->begin_ns, load->config.rate, load->config.burst, number);
}

/* Whose turn the next message is; connections that are lost have none. NULL: all are. */
static struct ws_conn *
next_conn(const struct ws_load *load)
{
    for (uint64_t i = 0; i < load->config.connections; i++) {
        struct ws_conn *conn = &load->conns[(load->started + i) % load->config.connections];

        if (!conn->is_over)
            return conn;
    }
    return NULL;
}

/* Open loop: what is due leaves in order. */
static void
start_due(struct ws_load *load)
{
    while (load->started < load->due) {
        struct ws_conn *conn = next_conn(load);

        if (!conn || !ws_conn_has_room(conn))
            break;
        ws_conn_send(conn, intended_ns(load, load->started++));
        ws_conn_flush(conn);
    }
    if (load->part.stage->phase == PHASE_MEASURE && load->due - load->started > load->part.tally.queued_max)
        load->part.tally.queued_max = load->due - load->started;
}

static void
on_due(struct pacer_item *item, uint64_t now_ns)
{
    struct ws_load *load = container_of(item, struct ws_load, due_item);

    while (intended_ns(load, load->due) <= now_ns)
        load->due++;
    start_due(load);
    pacer_set(&load->part.stage->pacer, item, intended_ns(load, load->due), on_due);
}

void
ws_fill(struct ws_conn *conn)
{
    struct ws_load *load = conn->load;

    if (load->part.stage->phase >= PHASE_DRAIN || conn->is_slow)
        return;
    if (load->config.rate > 0) {
        start_due(load);
        return;
    }
    while (ws_conn_has_room(conn))
        ws_conn_send(conn, ring_now(load->ring));
    ws_conn_flush(conn);
}

/* --- the part on its stage --- */

static struct ws_load *
load_of(struct part *part)
{
    return container_of(part, struct ws_load, part);
}

static bool
is_settled(const struct part *part)
{
    const struct ws_load *load = container_of(part, const struct ws_load, part);

    return load->ready + load->lost >= load->conn_count;
}

static bool
is_over(const struct part *part)
{
    return part->open == 0;
}

static uint64_t
sum_under_way(const struct ws_load *load)
{
    uint64_t n = 0;

    for (uint64_t i = 0; i < load->config.connections; i++)
        n += load->conns[i].under_way;
    return n;
}

/* Until all that was sent is back, or --timeout is over. */
static bool
is_busy(const struct part *part)
{
    const struct ws_load *load = container_of(part, const struct ws_load, part);

    return ring_now(load->ring) < load->drain_end_ns && sum_under_way(load);
}

static void
begin(struct part *part)
{
    struct ws_load *load = load_of(part);

    load->ring = part->stage->ring;
    load->mask_state = part->stage->begin_ns | 1;
    for (uint64_t i = 0; i < load->conn_count; i++)
        ws_conn_connect(&load->conns[i]);
    if (load->config.rate > 0)
        on_due(&load->due_item, part->stage->begin_ns);
}

static void
end_window(struct part *part)
{
    struct ws_load *load = load_of(part);

    load->drain_end_ns = part->stage->window_end_ns + load->config.timeout_ns;
    part->tally.not_started = load->due - load->started;
    pacer_stop(&part->stage->pacer, &load->due_item);
}

/* What is not back by now is lost. */
static void
close_all(struct part *part)
{
    struct ws_load *load = load_of(part);

    part->tally.errors[ERROR_TIMEOUT] += sum_under_way(load);
    for (uint64_t i = 0; i < load->conn_count; i++)
        ws_conn_close(&load->conns[i]);
}

static bool
was_good(const struct part *part)
{
    return part->tally.requests > 0;
}

static void
ws_free(struct part *part)
{
    struct ws_load *load = load_of(part);

    for (uint64_t i = 0; i < load->conn_count; i++)
        ws_conn_done(&load->conns[i]);
    free(load->conns);
    for (unsigned p = 0; p < PRIORITIES; p++)
        bytes_done(&load->messages[p].text);
    free(load);
}

const struct part_type ws_part = {
    .begin = begin,
    .is_settled = is_settled,
    .is_over = is_over,
    .end_window = end_window,
    .is_busy = is_busy,
    .close = close_all,
    .plan = ws_plan_json,
    .print_plan = ws_print_plan,
    .was_good = was_good,
    .free = ws_free,
};

void
ws_open(struct ws_load *load)
{
    load->conn_count = load->config.connections + load->config.slow_readers;
    load->conns = calloc(load->conn_count, sizeof *load->conns);
    ASSERT(load->conns);
    for (uint64_t i = 0; i < load->conn_count; i++)
        load->conns[i] = (struct ws_conn){.load = load, .fd = -1, .is_slow = i >= load->config.connections};
}
