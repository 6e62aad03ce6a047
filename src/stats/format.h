/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A snapshot as text, JSON or Prometheus text 0.0.4. Used by mcpstat and by the admin process; the bytes go
 * to the caller piece by piece.
 */
#ifndef STATS_FORMAT_H
#define STATS_FORMAT_H

#include "stats/read.h"

struct writer {
    void (*put)(void *ctx, const char *bytes, size_t len);
    void *ctx;
};

/* For people: what runs, the totals with their rates, latencies, workers, upstreams, streams. `change` is the
 * snapshot that rates and percentiles come from: a snapshot_difference(), or `s` itself for those since the
 * start. */
void stats_format_text(const struct snapshot *s, const struct snapshot *change, const struct writer *w);

/* One object, ended by a line break. Durations in seconds; families hold their non-zero values. */
void stats_format_json(const struct snapshot *s, const struct writer *w);

/* Metrics are named mcpgate_<name>[_bytes|_seconds][_total]. Those of a slot have the label worker (the
 * slot's number, or the role when it is none), those of an upstream the label upstream, families their own
 * labels. */
void stats_format_prom(const struct snapshot *s, const struct writer *w);

/* Every metric with kind, unit, labels and help, a line each. */
void stats_format_list(const struct stats_schema *schema, const struct writer *w);

void writer_text(const struct writer *w, const char *text);
/* Up to 1 KiB. */
void writer_printf(const struct writer *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A writer into a stdio stream. */
struct writer writer_of_file(void *file);

#endif
