/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading a segment: open the file, learn from its descriptors what is in it (the schema), take snapshots,
 * subtract them, ask for percentiles. Nothing here knows the gateway's tables. The file is not trusted: a
 * truncated or hostile one is refused or gives odd figures, and nothing worse. It is read with pread() and
 * never mapped.
 *
 *     err = stats_open("/run/mcpgate", &reader, &why);
 *     s = stats_snapshot(reader);
 *     requests = s->total[stats_find(s->schema, SEGMENT_PER_SLOT, "requests_begun")->first];
 */
#ifndef STATS_READ_H
#define STATS_READ_H

#include <mcpgate/segment.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A metric and where its values lie in a values array of its scope. */
struct stats_metric {
    char name[SEGMENT_NAME_MAX + 1];
    char help[SEGMENT_HELP_MAX + 1];
    enum segment_kind kind;
    enum segment_unit unit;
    enum segment_scope scope;
    uint32_t offset;            /* in the file, from the start of slot or row */
    uint32_t sub_bits, buckets; /* histogram */
    uint32_t first, count;      /* values [first, first + count) */
    struct {
        char name[17];
        uint32_t count;
        const struct stats_label *values; /* count of them */
    } dim[2];                             /* a family's labels; dim[1].name is "" when there is one */
};

struct stats_label {
    char text[SEGMENT_NAME_MAX + 1];
};

/* A histogram's values: these three, then its buckets. */
enum { HISTOGRAM_COUNT, HISTOGRAM_SUM, HISTOGRAM_MAX, HISTOGRAM_BUCKETS };

struct stats_schema {
    uint32_t metric_count, label_count;
    uint32_t slot_values, upstream_values; /* lengths of the values arrays */
    struct stats_metric *metrics;          /* in the file's order */
    struct stats_label *labels;
};

/* NULL when the file has no such metric. */
const struct stats_metric *stats_find(const struct stats_schema *schema, enum segment_scope scope,
                                      const char *name);
static inline bool
stats_is_family(const struct stats_metric *m)
{
    return m->dim[0].count > 0;
}

/* How many values a metric has, by its labels: 1 without. */
static inline uint32_t
stats_cells(const struct stats_metric *m)
{
    return stats_is_family(m) ? m->dim[0].count * m->dim[1].count : 1;
}

/* Of how many numbers each of them consists. */
static inline uint32_t
stats_cell_values(const struct stats_metric *m)
{
    return m->kind == SEGMENT_HISTOGRAM ? HISTOGRAM_BUCKETS + m->buckets : 1;
}

/* Whether the i-th of all these numbers is the maximum of a histogram: it is neither summed nor subtracted.
 */
static inline bool
stats_is_max(const struct stats_metric *m, uint32_t i)
{
    return m->kind == SEGMENT_HISTOGRAM && i % stats_cell_values(m) == HISTOGRAM_MAX;
}

/* A values array for the i-th of them: m->first leads to it there, as it does for a metric without labels. */
static inline const uint64_t *
stats_cell(const struct stats_metric *m, const uint64_t *values, uint32_t i)
{
    return values + (size_t)i * stats_cell_values(m);
}

/* Whether it has counted anything. */
static inline bool
stats_cell_counts(const struct stats_metric *m, const uint64_t *values, uint32_t i)
{
    return stats_cell(m, values, i)[m->first + HISTOGRAM_COUNT] != 0;
}

struct snapshot_slot {
    uint32_t index; /* of the slot */
    char role[17];
    uint32_t state; /* enum segment_slot_state, or what a newer gateway has */
    int32_t pid;
    bool alive;
    uint32_t epoch, deaths, generation;
    uint64_t start_ns, turn_ns;
    char check[SEGMENT_CHECK_MAX + 1];
    uint64_t *values;
};

struct snapshot_upstream {
    char name[65];
    uint64_t *values; /* summed over the slots */
};

struct snapshot_stream {
    uint32_t slot, row; /* with open_ns they name one stream for good */
    uint32_t upstream, method;
    uint64_t open_ns, update_ns, events, bytes, queued_bytes;
};

/* Valid as long as its reader. */
struct snapshot {
    const struct stats_schema *schema;
    char version[33];
    uint32_t generation, node;
    int32_t supervisor_pid;
    bool running; /* false: the figures are the last ones of a gateway that ended */
    bool ended_well;
    uint64_t mono_ns;       /* the moment of the figures by the gateway's monotonic clock ... */
    uint64_t real_ns;       /* ... and by the calendar */
    uint64_t start_real_ns; /* of the generation */
    double seconds;         /* what the counters cover: since the start, or the interval of a difference */

    struct snapshot_slot *slots; /* those in use, by index */
    uint32_t slot_count;
    struct snapshot_upstream *upstreams;
    uint32_t upstream_count;
    struct snapshot_stream *streams; /* the slots' tables one after another */
    uint32_t stream_count;
    uint64_t *total; /* per-slot metrics summed over the slots of role "worker" */
    uint64_t *block; /* all values */
};

struct stats_reader;

/* 0, or a negative errno with *ret_why a text for a person: -ENOENT when there is no segment, -EPROTO when
 * the file is none or of an ABI that this reader does not know, -EBADMSG when it is damaged. */
int stats_open(const char *run_dir, struct stats_reader **ret, const char **ret_why);
/* The segment of the calling process's own gateway (it counts as running); the descriptor is duplicated. */
int stats_open_fd(int fd, struct stats_reader **ret, const char **ret_why);
/* NULL is allowed. Snapshots of the reader are dead after this, except for snapshot_free(). */
void stats_close_reader(struct stats_reader **reader);
const struct stats_schema *stats_schema(const struct stats_reader *reader);

/* Whether another file is there by now: a new generation or a new gateway. Open again then. */
bool stats_was_replaced(const struct stats_reader *reader);
/* Whether a process of the gateway still holds the file. */
bool stats_is_running(const struct stats_reader *reader);

/* NULL: the file shrank or memory is short. */
struct snapshot *stats_snapshot(struct stats_reader *reader);
/* What was counted between two snapshots of one reader; gauges, slots and streams are those of `now`. A
 * histogram's max stays that of its whole life. */
struct snapshot *snapshot_difference(const struct snapshot *now, const struct snapshot *before);
void snapshot_free(struct snapshot **s);

/* Names of what a stream's row refers to; "?" when the file has none. */
const char *snapshot_stream_upstream(const struct snapshot *s, const struct snapshot_stream *stream);
const char *snapshot_stream_method(const struct snapshot *s, const struct snapshot_stream *stream);
/* From a stamp of the gateway to the moment of the figures. */
double snapshot_seconds_since(const struct snapshot *s, uint64_t stamp_ns);

/* The value (nanoseconds) below which the share `p` (0..1) of the histogram's values lies, as if those of a
 * bucket lay evenly in it; 0 when it is empty. `values` is the array that m->first indexes. */
uint64_t stats_percentile(const struct stats_metric *m, const uint64_t *values, double p);
/* How many of its values are below `bound`, which should be a power of two. */
uint64_t stats_count_below(const struct stats_metric *m, const uint64_t *values, uint64_t bound);
double stats_mean(const struct stats_metric *m, const uint64_t *values);

/* "ready"; "?" for a state that a newer gateway has. */
const char *stats_state_name(uint32_t state);

#endif
