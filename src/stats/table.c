/* SPDX-License-Identifier: Apache-2.0 */
#include "stats/table.h"

#include <string.h>

const struct column worker_columns[] = {
    {"req/s", "exchanges_finished", COLUMN_RATE},
    {"open", "exchanges_open", COLUMN_VALUE},
    {"clients", "connections_open", COLUMN_VALUE},
    {"streams", "streams_open", COLUMN_VALUE},
    {"events/s", "events", COLUMN_RATE},
    {"in/s", "client_received", COLUMN_RATE},
    {"out/s", "client_sent", COLUMN_RATE},
    {"queued", "queued_bytes", COLUMN_VALUE},
    {"turns/s", "turns", COLUMN_RATE},
    {"p50", "request_latency", COLUMN_P50},
    {"p99", "request_latency", COLUMN_P99},
    {"in gw p99", "in_gateway", COLUMN_P99},
};
const unsigned worker_column_count = sizeof worker_columns / sizeof *worker_columns;

const struct column upstream_columns[] = {
    {"req/s", "up_requests", COLUMN_RATE},
    {"requests", "up_requests", COLUMN_VALUE},
    {"failed", "up_failures", COLUMN_VALUE},
    {"events/s", "up_events", COLUMN_RATE},
    {"conns", "up_connections", COLUMN_VALUE},
    {"idle", "up_idle", COLUMN_VALUE},
    {"waiting", "up_waiting", COLUMN_VALUE},
    {"streams", "up_streams", COLUMN_VALUE},
    {"healthy", "up_endpoints_healthy", COLUMN_VALUE},
    {"of", "up_endpoints", COLUMN_VALUE},
    {"in/s", "up_received", COLUMN_RATE},
    {"ttfb p50", "up_first_byte", COLUMN_P50},
    {"ttfb p99", "up_first_byte", COLUMN_P99},
    {"p50", "up_latency", COLUMN_P50},
    {"p99", "up_latency", COLUMN_P99},
    {"in gw p99", "up_in_gateway", COLUMN_P99},
    {"jitter p99", "up_jitter", COLUMN_P99},
};
const unsigned upstream_column_count = sizeof upstream_columns / sizeof *upstream_columns;

const struct column watch_columns[] = {
    {"req/s", "exchanges_finished", COLUMN_RATE},
    {"open", "exchanges_open", COLUMN_VALUE},
    {"accept/s", "connections_accepted", COLUMN_RATE},
    {"clients", "connections_open", COLUMN_VALUE},
    {"streams", "streams_open", COLUMN_VALUE},
    {"events/s", "events", COLUMN_RATE},
    {"in/s", "client_received", COLUMN_RATE},
    {"out/s", "client_sent", COLUMN_RATE},
    {"queued", "queued_bytes", COLUMN_VALUE},
    {"p50", "request_latency", COLUMN_P50},
    {"p99", "request_latency", COLUMN_P99},
    {"in gw p99", "in_gateway", COLUMN_P99},
};
const unsigned watch_column_count = sizeof watch_columns / sizeof *watch_columns;

/* Rows are by side and transport. */
static const struct column transport_columns[] = {
    {"msgs in/s", "transport_messages_received", COLUMN_RATE},
    {"msgs out/s", "transport_messages_sent", COLUMN_RATE},
    {"in/s", "transport_received", COLUMN_RATE},
    {"out/s", "transport_sent", COLUMN_RATE},
    {"queued", "transport_queued", COLUMN_VALUE},
    {"errors", "transport_errors", COLUMN_VALUE},
    {"ttfb p50", "transport_first_byte", COLUMN_P50},
    {"ttfb p99", "transport_first_byte", COLUMN_P99},
    {"in gw p50", "transport_in_gateway", COLUMN_P50},
    {"in gw p99", "transport_in_gateway", COLUMN_P99},
    {"jitter p50", "transport_jitter", COLUMN_P50},
    {"jitter p99", "transport_jitter", COLUMN_P99},
};

static bool
suits(enum column_kind kind, const struct stats_metric *m)
{
    bool histogram = m->kind == SEGMENT_HISTOGRAM;

    return kind == COLUMN_P50 || kind == COLUMN_P99 ? histogram : !histogram;
}

static void
add_column(struct column_set *set, const struct column *column, const struct stats_metric *m)
{
    if (set->count == COLUMNS_MAX || !suits(column->kind, m))
        return;
    set->columns[set->count] = *column;
    set->metrics[set->count++] = m;
}

void
column_set_make(struct column_set *set, const struct stats_schema *schema, enum segment_scope scope,
                const struct column *from, unsigned count)
{
    *set = (struct column_set){0};
    for (unsigned i = 0; i < count; i++) {
        const struct stats_metric *m = stats_find(schema, scope, from[i].metric);

        if (m && !stats_is_family(m))
            add_column(set, &from[i], m);
    }
}

bool
column_is_of_transports(const struct stats_metric *m)
{
    return m->scope == SEGMENT_PER_SLOT && stats_is_family(m) && strcmp(m->dim[0].name, "side") == 0 &&
           strcmp(m->dim[1].name, "transport") == 0;
}

void
column_set_of_transports(struct column_set *set, const struct stats_schema *schema)
{
    *set = (struct column_set){0};
    for (unsigned i = 0; i < sizeof transport_columns / sizeof *transport_columns; i++) {
        const struct stats_metric *m = stats_find(schema, SEGMENT_PER_SLOT, transport_columns[i].metric);

        if (m && column_is_of_transports(m) &&
            (!set->count || stats_cells(m) == stats_cells(set->metrics[0])))
            add_column(set, &transport_columns[i], m);
    }
}

bool
column_has_transports(const struct stats_schema *schema)
{
    struct column_set set;

    column_set_of_transports(&set, schema);
    return set.count > 0;
}

static double
percentile(const struct stats_metric *m, const uint64_t *values, double p)
{
    return values[m->first + HISTOGRAM_COUNT] ? (double)stats_percentile(m, values, p) : -1;
}

double
column_number(const struct column_set *set, unsigned column, const uint64_t *now, const uint64_t *change,
              double seconds)
{
    const struct stats_metric *m = set->metrics[column];

    now = stats_cell(m, now, set->cell);
    change = stats_cell(m, change, set->cell);
    switch (set->columns[column].kind) {
    case COLUMN_VALUE:
        return (double)now[m->first];
    case COLUMN_RATE:
        return seconds > 0 ? (double)change[m->first] / seconds : 0;
    case COLUMN_P50:
        return percentile(m, change, 0.5);
    case COLUMN_P99:
        return percentile(m, change, 0.99);
    }
    return 0;
}

void
column_text(const struct column_set *set, unsigned column, double number, char out[HUMAN_MAX])
{
    enum column_kind kind = set->columns[column].kind;

    if (kind == COLUMN_P50 || kind == COLUMN_P99)
        human_ns(out, number);
    else if (set->metrics[column]->unit == SEGMENT_BYTES)
        human_bytes(out, number);
    else if (kind == COLUMN_RATE)
        human_rate(out, number);
    else
        human_count(out, (uint64_t)number);
}
