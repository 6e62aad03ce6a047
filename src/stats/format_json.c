/* SPDX-License-Identifier: Apache-2.0 */
/* One JSON object for a snapshot. */
#include "stats/format.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

/* The reader left nothing but printable ASCII. */
static void
put_string(const struct writer *w, const char *text)
{
    w->put(w->ctx, "\"", 1);
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            w->put(w->ctx, "\\", 1);
        w->put(w->ctx, text, 1);
    }
    w->put(w->ctx, "\"", 1);
}

static void
put_key(const struct writer *w, const char *separator, const char *key)
{
    writer_text(w, separator);
    put_string(w, key);
    writer_text(w, ": ");
}

static void
put_time(const struct writer *w, uint64_t real_ns)
{
    time_t t = (time_t)(real_ns / 1000000000u);
    struct tm tm;
    char text[40];

    if (gmtime_r(&t, &tm) && strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm))
        writer_printf(w, "\"%s.%03uZ\"", text, (unsigned)(real_ns / 1000000u % 1000u));
    else
        writer_text(w, "null");
}

static void
put_histogram(const struct writer *w, const struct stats_metric *m, const uint64_t *values)
{
    static const struct {
        const char *key;
        double p;
    } shares[] = {{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p999", 0.999}, {"p9999", 0.9999}};
    const uint64_t *h = values + m->first;

    writer_printf(w, "{\"count\": %llu, \"sum\": %.9f, \"mean\": %.9f",
                  (unsigned long long)h[HISTOGRAM_COUNT], (double)h[HISTOGRAM_SUM] / 1e9,
                  stats_mean(m, values) / 1e9);
    for (unsigned i = 0; i < sizeof shares / sizeof *shares; i++)
        writer_printf(w, ", \"%s\": %.9f", shares[i].key,
                      (double)stats_percentile(m, values, shares[i].p) / 1e9);
    writer_printf(w, ", \"max\": %.9f}", (double)h[HISTOGRAM_MAX] / 1e9);
}

static void
put_cell(const struct writer *w, const struct stats_metric *m, const uint64_t *values)
{
    if (m->kind == SEGMENT_HISTOGRAM)
        put_histogram(w, m, values);
    else
        writer_printf(w, "%llu", (unsigned long long)values[m->first]);
}

/* The non-zero values for one of the first label, by the second. */
static void
put_second_dim(const struct writer *w, const struct stats_metric *m, const uint64_t *values, uint32_t first)
{
    const char *separator = "{";

    for (uint32_t j = 0; j < m->dim[1].count; j++) {
        if (!stats_cell_counts(m, values, first + j))
            continue;
        put_key(w, separator, m->dim[1].values[j].text);
        put_cell(w, m, stats_cell(m, values, first + j));
        separator = ", ";
    }
    writer_text(w, "}");
}

static bool
any(const struct stats_metric *m, const uint64_t *values, uint32_t first)
{
    for (uint32_t j = 0; j < m->dim[1].count; j++) {
        if (stats_cell_counts(m, values, first + j))
            return true;
    }
    return false;
}

static void
put_family(const struct writer *w, const struct stats_metric *m, const uint64_t *values)
{
    const char *separator = "";

    writer_text(w, "{");
    for (uint32_t i = 0; i < m->dim[0].count; i++) {
        uint32_t first = i * m->dim[1].count;

        if (!any(m, values, first))
            continue;
        put_key(w, separator, m->dim[0].values[i].text);
        if (m->dim[1].values)
            put_second_dim(w, m, values, first);
        else
            put_cell(w, m, stats_cell(m, values, first));
        separator = ", ";
    }
    writer_text(w, "}");
}

static void
put_values(const struct writer *w, const struct stats_schema *schema, enum segment_scope scope,
           const uint64_t *values, const char *indent)
{
    const char *separator = "{";

    for (uint32_t i = 0; i < schema->metric_count; i++) {
        const struct stats_metric *m = &schema->metrics[i];

        if (m->scope != scope)
            continue;
        writer_printf(w, "%s\n%s  ", separator, indent);
        put_key(w, "", m->name);
        if (stats_is_family(m))
            put_family(w, m, values);
        else
            put_cell(w, m, values);
        separator = ",";
    }
    if (*separator == '{')
        writer_text(w, "{");
    writer_printf(w, "\n%s}", indent);
}

static void
put_gateway(const struct writer *w, const struct snapshot *s)
{
    writer_text(w, "  \"gateway\": {\"version\": ");
    put_string(w, s->version);
    writer_printf(w,
                  ", \"running\": %s, \"generation\": %u, \"node\": %u, \"supervisor_pid\": %d, \"start\": ",
                  s->running ? "true" : "false", s->generation, s->node, s->supervisor_pid);
    put_time(w, s->start_real_ns);
    writer_text(w, ", \"time\": ");
    put_time(w, s->real_ns);
    writer_printf(w, ", \"seconds\": %.3f},\n", s->seconds);
}

static void
put_slot(const struct writer *w, const struct snapshot *s, const struct snapshot_slot *slot)
{
    writer_printf(w, "    {\"slot\": %u, \"role\": ", slot->index);
    put_string(w, slot->role);
    writer_printf(w, ", \"state\": \"%s\", \"alive\": %s, \"pid\": %d, \"epoch\": %u, \"deaths\": %u, ",
                  stats_state_name(slot->state), s->running && slot->alive ? "true" : "false", slot->pid,
                  slot->epoch, slot->deaths);
    writer_printf(
        w, "\"generation\": %u, \"age\": %.3f, \"last_turn\": %.3f, \"failed_check\": ", slot->generation,
        snapshot_seconds_since(s, slot->start_ns), snapshot_seconds_since(s, slot->turn_ns));
    put_string(w, slot->check);
    writer_text(w, ", \"metrics\": ");
    put_values(w, s->schema, SEGMENT_PER_SLOT, slot->values, "    ");
    writer_text(w, "}");
}

static void
put_stream(const struct writer *w, const struct snapshot *s, const struct snapshot_stream *stream)
{
    writer_printf(w, "    {\"id\": \"%u.%u.%llu\", \"slot\": %u, \"upstream\": ", stream->slot, stream->row,
                  (unsigned long long)(stream->open_ns / 1000), stream->slot);
    put_string(w, snapshot_stream_upstream(s, stream));
    writer_text(w, ", \"method\": ");
    put_string(w, snapshot_stream_method(s, stream));
    writer_printf(w, ", \"age\": %.3f, \"quiet\": %.3f, ", snapshot_seconds_since(s, stream->open_ns),
                  snapshot_seconds_since(s, stream->update_ns));
    writer_printf(w, "\"events\": %llu, \"bytes\": %llu, \"queued_bytes\": %llu}",
                  (unsigned long long)stream->events, (unsigned long long)stream->bytes,
                  (unsigned long long)stream->queued_bytes);
}

void
stats_format_json(const struct snapshot *s, const struct writer *w)
{
    writer_text(w, "{\n");
    put_gateway(w, s);
    writer_text(w, "  \"totals\": ");
    put_values(w, s->schema, SEGMENT_PER_SLOT, s->total, "  ");
    writer_text(w, ",\n  \"workers\": [\n");
    for (uint32_t i = 0; i < s->slot_count; i++) {
        put_slot(w, s, &s->slots[i]);
        writer_text(w, i + 1 < s->slot_count ? ",\n" : "\n");
    }
    writer_text(w, "  ],\n  \"upstreams\": {");
    for (uint32_t u = 0; u < s->upstream_count; u++) {
        put_key(w, u ? ",\n    " : "\n    ", s->upstreams[u].name);
        put_values(w, s->schema, SEGMENT_PER_UPSTREAM, s->upstreams[u].values, "    ");
    }
    writer_text(w, "\n  },\n  \"streams\": [\n");
    for (uint32_t i = 0; i < s->stream_count; i++) {
        put_stream(w, s, &s->streams[i]);
        writer_text(w, i + 1 < s->stream_count ? ",\n" : "\n");
    }
    writer_text(w, "  ]\n}\n");
}
