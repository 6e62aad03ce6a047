/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which figures a person wants side by side, for workers, transports, upstreams and the whole, as columns
 * that name metrics of the file. A file without that metric has no such column; every other metric is in
 * --list, --json and --prom.
 */
#ifndef STATS_TABLE_H
#define STATS_TABLE_H

#include "stats/human.h"
#include "stats/read.h"

enum column_kind {
    COLUMN_VALUE, /* counter or gauge as it is */
    COLUMN_RATE,  /* per second */
    COLUMN_P50,   /* of a histogram, in the interval */
    COLUMN_P99,
};

struct column {
    const char *heading;
    const char *metric;
    enum column_kind kind;
};

enum { COLUMNS_MAX = 20 };

extern const struct column worker_columns[], upstream_columns[], watch_columns[];
extern const unsigned worker_column_count, upstream_column_count, watch_column_count;

/* The columns of `from` that this file can fill, with their metrics. */
struct column_set {
    unsigned count;
    uint32_t cell; /* of families: for which of their labels; 0 at first */
    struct column columns[COLUMNS_MAX];
    const struct stats_metric *metrics[COLUMNS_MAX];
};

void column_set_make(struct column_set *set, const struct stats_schema *schema, enum segment_scope scope,
                     const struct column *from, unsigned count);

/* The columns by side and transport; their metrics all have these two labels, with the same values. */
void column_set_of_transports(struct column_set *set, const struct stats_schema *schema);
bool column_is_of_transports(const struct stats_metric *m);
bool column_has_transports(const struct stats_schema *schema);

/* A cell: `now` and `change` are the values arrays of the same row, the second of a snapshot that covers
 * `seconds` (both may be the same, for averages since the start). A
 * percentile of an empty histogram is -1. */
double column_number(const struct column_set *set, unsigned column, const uint64_t *now,
                     const uint64_t *change, double seconds);
void column_text(const struct column_set *set, unsigned column, double number, char out[HUMAN_MAX]);

#endif
