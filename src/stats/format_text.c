/* SPDX-License-Identifier: Apache-2.0 */
/* A snapshot for people, as plain lines. The sections are public so that the live view shows the same tables.
 */
#include "stats/format_text.h"

#include "stats/grid.h"

#include <stdio.h>
#include <string.h>

void
text_headline(const struct snapshot *s, const struct writer *w)
{
    char date[HUMAN_MAX], age[HUMAN_MAX];
    uint32_t alive = 0;

    for (uint32_t i = 0; i < s->slot_count; i++)
        alive += s->slots[i].alive && strcmp(s->slots[i].role, "worker") == 0;
    if (s->running) {
        human_date(date, s->start_real_ns);
        human_age(age, s->real_ns > s->start_real_ns ? (double)(s->real_ns - s->start_real_ns) / 1e9 : 0);
        writer_printf(w, "mcpgate %s, generation %u, up %s (since %s), %u worker%s, supervisor %d\n",
                      s->version, s->generation, age, date, alive, alive == 1 ? "" : "s", s->supervisor_pid);
    } else {
        human_date(date, s->real_ns);
        writer_printf(w, "gateway is not running; last figures of %s (mcpgate %s, generation %u%s)\n", date,
                      s->version, s->generation, s->ended_well ? ", ended in good order" : "");
    }
}

static void
cell_number(struct grid *g, unsigned column, uint64_t n)
{
    char text[HUMAN_MAX];

    human_count(text, n);
    grid_cell(g, column, text);
}

static void
cell_ns(struct grid *g, unsigned column, double ns)
{
    char text[HUMAN_MAX];

    human_ns(text, ns);
    grid_cell(g, column, text);
}

static void
cell_age(struct grid *g, unsigned column, double seconds)
{
    char text[HUMAN_MAX];

    human_age(text, seconds);
    grid_cell(g, column, text);
}

static void
cell_bytes(struct grid *g, unsigned column, double bytes)
{
    char text[HUMAN_MAX];

    human_bytes(text, bytes);
    grid_cell(g, column, text);
}

static void
cell_rate(struct grid *g, unsigned column, const struct stats_metric *m, double per_second)
{
    char text[HUMAN_MAX];

    if (m->unit == SEGMENT_BYTES)
        human_bytes(text, per_second);
    else
        human_rate(text, per_second);
    grid_cell(g, column, text);
}

static void
headings(struct grid *g, const char *const *names, unsigned count)
{
    grid_row(g);
    for (unsigned i = 0; i < count; i++)
        grid_cell(g, i, names[i]);
}

#define HEADINGS(g, ...)                                                                                     \
    headings(g, (const char *const[]){__VA_ARGS__}, sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *))

void
text_totals(const struct snapshot *s, const struct snapshot *change, const char *indent,
            const struct writer *w)
{
    struct grid g = {.left = {true, false, false, true}};

    HEADINGS(&g, "metric", "value", "per second", "");
    for (uint32_t i = 0; i < s->schema->metric_count; i++) {
        const struct stats_metric *m = &s->schema->metrics[i];

        if (m->scope != SEGMENT_PER_SLOT || m->kind == SEGMENT_HISTOGRAM || stats_is_family(m))
            continue;
        grid_row(&g);
        grid_cell(&g, 0, m->name);
        if (m->unit == SEGMENT_BYTES)
            cell_bytes(&g, 1, (double)s->total[m->first]);
        else
            cell_number(&g, 1, s->total[m->first]);
        if (m->kind == SEGMENT_COUNTER)
            cell_rate(&g, 2, m, change->seconds > 0 ? (double)change->total[m->first] / change->seconds : 0);
        grid_cell(&g, 3, m->help);
    }
    grid_write(&g, indent, w);
    grid_done(&g);
}

void
text_latencies(const struct snapshot *change, const char *indent, const struct writer *w)
{
    static const double shares[] = {0.5, 0.9, 0.99, 0.999, 0.9999};
    struct grid g = {.left = {true}};

    HEADINGS(&g, "", "count", "mean", "p50", "p90", "p99", "p99.9", "p99.99", "max");
    for (uint32_t i = 0; i < change->schema->metric_count; i++) {
        const struct stats_metric *m = &change->schema->metrics[i];

        if (m->scope != SEGMENT_PER_SLOT || m->kind != SEGMENT_HISTOGRAM || stats_is_family(m))
            continue;
        bool empty = change->total[m->first + HISTOGRAM_COUNT] == 0;
        grid_row(&g);
        grid_cell(&g, 0, m->name);
        cell_number(&g, 1, change->total[m->first + HISTOGRAM_COUNT]);
        cell_ns(&g, 2, empty ? -1 : stats_mean(m, change->total));
        for (unsigned k = 0; k < sizeof shares / sizeof *shares; k++)
            cell_ns(&g, 3 + k, empty ? -1 : (double)stats_percentile(m, change->total, shares[k]));
        cell_ns(&g, 8, empty ? -1 : (double)change->total[m->first + HISTOGRAM_MAX]);
    }
    grid_write(&g, indent, w);
    grid_done(&g);
}

static void
text_family(const struct stats_metric *m, const struct snapshot *s, const struct snapshot *change,
            const char *indent, const struct writer *w)
{
    struct grid g = {.left = {true, true}};
    unsigned labels = m->dim[1].values ? 2 : 1;

    g.left[1] = labels == 2;
    grid_row(&g);
    for (unsigned d = 0; d < labels; d++)
        grid_cell(&g, d, m->dim[d].name);
    grid_cell(&g, labels, "count");
    grid_cell(&g, labels + 1, "per second");
    for (uint32_t i = 0; i < m->count; i++) {
        uint64_t n = s->total[m->first + i];

        if (n == 0)
            continue;
        grid_row(&g);
        grid_cell(&g, 0, m->dim[0].values[i / m->dim[1].count].text);
        if (labels == 2)
            grid_cell(&g, 1, m->dim[1].values[i % m->dim[1].count].text);
        cell_number(&g, labels, n);
        cell_rate(&g, labels + 1, m,
                  change->seconds > 0 ? (double)change->total[m->first + i] / change->seconds : 0);
    }
    if (g.rows > 1)
        grid_write(&g, indent, w);
    else
        writer_printf(w, "%snone yet\n", indent);
    grid_done(&g);
}

void
text_families(const struct snapshot *s, const struct snapshot *change, const char *indent,
              const struct writer *w)
{
    for (uint32_t i = 0; i < s->schema->metric_count; i++) {
        const struct stats_metric *m = &s->schema->metrics[i];

        /* those by side and transport have a table of their own */
        if (!stats_is_family(m) || m->scope != SEGMENT_PER_SLOT || m->kind != SEGMENT_COUNTER ||
            column_is_of_transports(m))
            continue;
        writer_printf(w, "\n%s: %s\n", m->name, m->help);
        text_family(m, s, change, indent, w);
    }
}

const uint64_t *
text_change_of_slot(const struct snapshot *change, uint32_t index)
{
    for (uint32_t i = 0; i < change->slot_count; i++) {
        if (change->slots[i].index == index)
            return change->slots[i].values;
    }
    return NULL;
}

static void
cells_of_set(struct grid *g, unsigned column, const struct column_set *set, const uint64_t *now,
             const uint64_t *change, double seconds)
{
    char text[HUMAN_MAX];

    for (unsigned i = 0; i < set->count; i++) {
        column_text(set, i, column_number(set, i, now, change, seconds), text);
        grid_cell(g, column + i, text);
    }
}

void
text_summary(const struct snapshot *s, const struct snapshot *change, const char *indent,
             const struct writer *w)
{
    struct grid g = {0};
    struct column_set set;

    column_set_make(&set, s->schema, SEGMENT_PER_SLOT, watch_columns, watch_column_count);
    grid_row(&g);
    for (unsigned i = 0; i < set.count; i++)
        grid_cell(&g, i, set.columns[i].heading);
    grid_row(&g);
    cells_of_set(&g, 0, &set, s->total, change->total, change->seconds);
    grid_write(&g, indent, w);
    grid_done(&g);
}

void
text_workers(const struct snapshot *s, const struct snapshot *change, const uint32_t *order,
             const char *indent, const struct writer *w)
{
    struct grid g = {.left = {false, true, true}};
    struct column_set set;

    column_set_make(&set, s->schema, SEGMENT_PER_SLOT, worker_columns, worker_column_count);
    HEADINGS(&g, "slot", "role", "state", "pid", "deaths", "up", "last turn");
    for (unsigned i = 0; i < set.count; i++)
        grid_cell(&g, 7 + i, set.columns[i].heading);
    for (uint32_t i = 0; i < s->slot_count; i++) {
        const struct snapshot_slot *slot = &s->slots[order ? order[i] : i];
        const uint64_t *values = text_change_of_slot(change, slot->index);
        char pid[16];

        grid_row(&g);
        cell_number(&g, 0, slot->index);
        grid_cell(&g, 1, slot->role);
        grid_cell(&g, 2, !s->running && slot->alive ? "gone" : stats_state_name(slot->state));
        snprintf(pid, sizeof pid, "%d", slot->pid);
        grid_cell(&g, 3, pid);
        cell_number(&g, 4, slot->deaths);
        cell_age(&g, 5, snapshot_seconds_since(s, slot->start_ns));
        cell_age(&g, 6, snapshot_seconds_since(s, slot->turn_ns));
        cells_of_set(&g, 7, &set, slot->values, values ? values : slot->values, change->seconds);
    }
    grid_write(&g, indent, w);
    grid_done(&g);
    for (uint32_t i = 0; i < s->slot_count; i++) {
        if (s->slots[i].check[0])
            writer_printf(w, "%slast failed check of slot %u: %s\n", indent, s->slots[i].index,
                          s->slots[i].check);
    }
}

void
text_upstreams(const struct snapshot *s, const struct snapshot *change, const uint32_t *order,
               const char *indent, const struct writer *w)
{
    struct grid g = {.left = {true}};
    struct column_set set;

    column_set_make(&set, s->schema, SEGMENT_PER_UPSTREAM, upstream_columns, upstream_column_count);
    HEADINGS(&g, "upstream");
    for (unsigned i = 0; i < set.count; i++)
        grid_cell(&g, 1 + i, set.columns[i].heading);
    for (uint32_t i = 0; i < s->upstream_count; i++) {
        uint32_t u = order ? order[i] : i;
        const uint64_t *now = s->upstreams[u].values;

        grid_row(&g);
        grid_cell(&g, 0, s->upstreams[u].name);
        cells_of_set(&g, 1, &set, now, u < change->upstream_count ? change->upstreams[u].values : now,
                     change->seconds);
    }
    grid_write(&g, indent, w);
    grid_done(&g);
}

/* Whether any column has something to show in that row. */
static bool
row_counts(const struct column_set *set, const uint64_t *values)
{
    for (unsigned i = 0; i < set->count; i++)
        if (stats_cell_counts(set->metrics[i], values, set->cell))
            return true;
    return false;
}

void
text_transports(const struct snapshot *s, const struct snapshot *change, const char *indent,
                const struct writer *w)
{
    struct grid g = {.left = {true, true}};
    struct column_set set;

    column_set_of_transports(&set, s->schema);
    HEADINGS(&g, "side", "transport");
    for (unsigned i = 0; i < set.count; i++)
        grid_cell(&g, 2 + i, set.columns[i].heading);
    for (; set.count && set.cell < stats_cells(set.metrics[0]); set.cell++) {
        const struct stats_metric *m = set.metrics[0];

        if (!row_counts(&set, s->total))
            continue;
        grid_row(&g);
        grid_cell(&g, 0, m->dim[0].values[set.cell / m->dim[1].count].text);
        grid_cell(&g, 1, m->dim[1].values[set.cell % m->dim[1].count].text);
        cells_of_set(&g, 2, &set, s->total, change->total, change->seconds);
    }
    if (g.rows > 1)
        grid_write(&g, indent, w);
    else
        writer_printf(w, "%snone yet\n", indent);
    grid_done(&g);
}

void
text_streams(const struct snapshot *s, const uint32_t *order, uint32_t limit, const char *indent,
             const struct writer *w)
{
    struct grid g = {.left = {false, true, true}};

    HEADINGS(&g, "slot", "upstream", "method", "age", "quiet", "events", "bytes", "queued");
    for (uint32_t i = 0; i < s->stream_count && i < limit; i++) {
        const struct snapshot_stream *stream = &s->streams[order ? order[i] : i];

        grid_row(&g);
        cell_number(&g, 0, stream->slot);
        grid_cell(&g, 1, snapshot_stream_upstream(s, stream));
        grid_cell(&g, 2, snapshot_stream_method(s, stream));
        cell_age(&g, 3, snapshot_seconds_since(s, stream->open_ns));
        cell_age(&g, 4, snapshot_seconds_since(s, stream->update_ns));
        cell_number(&g, 5, stream->events);
        cell_bytes(&g, 6, (double)stream->bytes);
        cell_bytes(&g, 7, (double)stream->queued_bytes);
    }
    grid_write(&g, indent, w);
    grid_done(&g);
    if (s->stream_count > limit)
        writer_printf(w, "%s... and %u more\n", indent, s->stream_count - limit);
}

void
stats_format_text(const struct snapshot *s, const struct snapshot *change, const struct writer *w)
{
    enum { STREAMS_SHOWN = 20 };

    text_headline(s, w);
    writer_text(w, s == change ? "\nWorkers together (averages since the start)\n" : "\nWorkers together\n");
    text_summary(s, change, "  ", w);
    writer_text(w, "\nProcesses\n");
    text_workers(s, change, NULL, "  ", w);
    writer_text(w, "\nTotals of the workers\n");
    text_totals(s, change, "  ", w);
    writer_text(w, "\nTimes\n");
    text_latencies(change, "  ", w);
    text_families(s, change, "  ", w);
    if (column_has_transports(s->schema)) {
        writer_text(w, "\nTransports\n");
        text_transports(s, change, "  ", w);
    }
    writer_printf(w, "\nUpstreams\n");
    text_upstreams(s, change, NULL, "  ", w);
    writer_printf(w, "\nOpen streams: %u\n", s->stream_count);
    if (s->stream_count)
        text_streams(s, NULL, STREAMS_SHOWN, "  ", w);
}

void
stats_format_list(const struct stats_schema *schema, const struct writer *w)
{
    static const char *const kinds[] = {"counter", "gauge", "histogram"};
    static const char *const units[] = {"-", "bytes", "seconds"};
    struct grid g = {.left = {true, true, true, true, true}};

    HEADINGS(&g, "metric", "kind", "unit", "labels", "help");
    for (uint32_t i = 0; i < schema->metric_count; i++) {
        const struct stats_metric *m = &schema->metrics[i];
        char labels[2 * sizeof m->dim[0].name + 2];

        snprintf(labels, sizeof labels, "%s%s%s", m->dim[0].name, m->dim[1].name[0] ? "," : "",
                 m->dim[1].name);
        grid_row(&g);
        grid_cell(&g, 0, m->name);
        grid_cell(&g, 1, kinds[m->kind]);
        grid_cell(&g, 2, units[m->unit]);
        grid_cell(&g, 3,
                  stats_is_family(m)                 ? labels
                  : m->scope == SEGMENT_PER_UPSTREAM ? "upstream"
                                                     : "worker");
        grid_cell(&g, 4, m->help);
    }
    grid_write(&g, "", w);
    grid_done(&g);
}
