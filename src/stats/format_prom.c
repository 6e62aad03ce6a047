/* SPDX-License-Identifier: Apache-2.0 */
/* Prometheus text exposition format 0.0.4. */
#include "stats/format.h"

#include <stdio.h>
#include <string.h>

/* Bounds of the buckets that are shown, 2^12 ns (4 us) to 2^36 ns (69 s): powers of two are bounds of every
 * log-linear histogram, so the counts are exact. */
enum { LE_BITS_FIRST = 12, LE_BITS_LAST = 36, LABELS_MAX = 192, PROM_NAME_MAX = 96 };

static bool
ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), m = strlen(end);

    return n >= m && strcmp(s + n - m, end) == 0;
}

static void
prom_name(const struct stats_metric *m, char out[PROM_NAME_MAX])
{
    static const char *const units[] = {"", "_bytes", "_seconds"};
    const char *unit = ends_with(m->name, units[m->unit]) ? "" : units[m->unit];

    snprintf(out, PROM_NAME_MAX, "mcpgate_%s%s%s", m->name, unit, m->kind == SEGMENT_COUNTER ? "_total" : "");
}

/* Label values: backslash, quote and line feed are escaped; the reader left nothing but printable ASCII. */
static void
append_label(char *labels, const char *name, const char *value)
{
    size_t at = strlen(labels);
    int n = snprintf(labels + at, LABELS_MAX - at, "%s%s=\"", at ? "," : "", name);

    at += n > 0 ? (size_t)n : 0;
    for (; *value && at + 4 < LABELS_MAX; value++) {
        if (*value == '"' || *value == '\\')
            labels[at++] = '\\';
        labels[at++] = *value;
    }
    if (at + 2 <= LABELS_MAX) {
        labels[at++] = '"';
        labels[at] = '\0';
    }
}

static void
put_help(const struct writer *w, const char *name, const char *type, const char *help)
{
    writer_printf(w, "# HELP %s ", name);
    for (; *help; help++) {
        if (*help == '\\')
            w->put(w->ctx, "\\", 1);
        w->put(w->ctx, help, 1);
    }
    writer_printf(w, "\n# TYPE %s %s\n", name, type);
}

static void
put_histogram(const struct writer *w, const struct stats_metric *m, const char *name, const char *labels,
              const uint64_t *values)
{
    uint64_t all = stats_count_below(m, values, UINT64_MAX);

    for (int bits = LE_BITS_FIRST; bits <= LE_BITS_LAST; bits++) {
        uint64_t bound = 1ull << bits;

        writer_printf(w, "%s_bucket{%s,le=\"%.9g\"} %llu\n", name, labels, (double)bound / 1e9,
                      (unsigned long long)stats_count_below(m, values, bound));
    }
    writer_printf(w, "%s_bucket{%s,le=\"+Inf\"} %llu\n", name, labels, (unsigned long long)all);
    writer_printf(w, "%s_sum{%s} %.9f\n", name, labels, (double)values[m->first + HISTOGRAM_SUM] / 1e9);
    writer_printf(w, "%s_count{%s} %llu\n", name, labels, (unsigned long long)all);
}

static void
put_one(const struct writer *w, const struct stats_metric *m, const char *name, const char *labels,
        const uint64_t *values)
{
    if (m->kind == SEGMENT_HISTOGRAM)
        put_histogram(w, m, name, labels, values);
    else
        writer_printf(w, "%s{%s} %llu\n", name, labels, (unsigned long long)values[m->first]);
}

/* Families are summed over the slots. A family with one label shows all its rows, so that a rate has a start,
 * and so does one of gauges; one with two only those that ever counted. */
static void
put_family(const struct writer *w, const struct stats_metric *m, const char *name, const struct snapshot *s)
{
    for (uint32_t i = 0; i < stats_cells(m); i++) {
        char labels[LABELS_MAX] = "";

        if (m->dim[1].values && m->kind != SEGMENT_GAUGE && !stats_cell_counts(m, s->total, i))
            continue;
        append_label(labels, m->dim[0].name, m->dim[0].values[i / m->dim[1].count].text);
        if (m->dim[1].values)
            append_label(labels, m->dim[1].name, m->dim[1].values[i % m->dim[1].count].text);
        put_one(w, m, name, labels, stats_cell(m, s->total, i));
    }
}

static void
slot_label(const struct snapshot_slot *slot, char labels[LABELS_MAX])
{
    char number[16];

    labels[0] = '\0';
    snprintf(number, sizeof number, "%u", slot->index);
    append_label(labels, "worker", strcmp(slot->role, "worker") == 0 ? number : slot->role);
}

/* Two slots of one role other than "worker" would give the same line twice: the later incarnation is shown.
 */
static bool
is_shadowed(const struct snapshot *s, uint32_t i)
{
    if (strcmp(s->slots[i].role, "worker") == 0)
        return false;
    for (uint32_t k = i + 1; k < s->slot_count; k++) {
        if (strcmp(s->slots[k].role, s->slots[i].role) == 0)
            return true;
    }
    return false;
}

static void
put_metric(const struct writer *w, const struct stats_metric *m, const struct snapshot *s)
{
    static const char *const types[] = {"counter", "gauge", "histogram"};
    char name[PROM_NAME_MAX], labels[LABELS_MAX];

    prom_name(m, name);
    put_help(w, name, types[m->kind], m->help);
    if (stats_is_family(m)) {
        if (m->scope == SEGMENT_PER_SLOT)
            put_family(w, m, name, s);
        return;
    }
    for (uint32_t i = 0; m->scope == SEGMENT_PER_SLOT && i < s->slot_count; i++) {
        if (is_shadowed(s, i))
            continue;
        slot_label(&s->slots[i], labels);
        put_one(w, m, name, labels, s->slots[i].values);
    }
    for (uint32_t u = 0; m->scope == SEGMENT_PER_UPSTREAM && u < s->upstream_count; u++) {
        labels[0] = '\0';
        append_label(labels, "upstream", s->upstreams[u].name);
        put_one(w, m, name, labels, s->upstreams[u].values);
    }
}

static void
put_process(const struct writer *w, const char *name, const struct snapshot *s, uint32_t i, uint32_t value)
{
    char labels[LABELS_MAX];

    if (is_shadowed(s, i))
        return;
    slot_label(&s->slots[i], labels);
    append_label(labels, "role", s->slots[i].role);
    writer_printf(w, "%s{%s} %u\n", name, labels, value);
}

/* What the heads of file and slots say. */
static void
put_processes(const struct writer *w, const struct snapshot *s)
{
    char labels[LABELS_MAX] = "";

    append_label(labels, "version", s->version);
    put_help(w, "mcpgate_info", "gauge", "the gateway's version");
    writer_printf(w, "mcpgate_info{%s} 1\n", labels);
    put_help(w, "mcpgate_running", "gauge", "1 while the gateway runs");
    writer_printf(w, "mcpgate_running %d\n", s->running);
    put_help(w, "mcpgate_generation", "gauge", "how many configurations the gateway has had");
    writer_printf(w, "mcpgate_generation %u\n", s->generation);
    put_help(w, "mcpgate_start_time_seconds", "gauge", "when this generation started, since the epoch");
    writer_printf(w, "mcpgate_start_time_seconds %.3f\n", (double)s->start_real_ns / 1e9);
    put_help(w, "mcpgate_process_up", "gauge", "1 while the slot's process lives");
    for (uint32_t i = 0; i < s->slot_count; i++)
        put_process(w, "mcpgate_process_up", s, i, s->running && s->slots[i].alive);
    put_help(w, "mcpgate_process_deaths_total", "counter",
             "times the slot's process died and not in good order");
    for (uint32_t i = 0; i < s->slot_count; i++)
        put_process(w, "mcpgate_process_deaths_total", s, i, s->slots[i].deaths);
}

void
stats_format_prom(const struct snapshot *s, const struct writer *w)
{
    put_processes(w, s);
    for (uint32_t i = 0; i < s->schema->metric_count; i++)
        put_metric(w, &s->schema->metrics[i], s);
}
