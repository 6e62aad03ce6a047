/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The statistics segment: the file "stats" in the run directory, in which every process of one generation of
 * the gateway counts. It describes itself, so that a reader needs none of the gateway's tables and reads
 * older, newer and dead gateways: this page is the whole contract between them.
 *
 *      0        +--------------------------------+
 *               | struct segment_header          |
 *      metrics  | struct segment_metric []       | what is counted, and where in a slot or upstream row it
 * lies labels   | struct segment_label []        | the values of the families' labels upstreams| struct
 * segment_upstream []     | names of the rows slots    | slot 0 | slot 1 | ...          | one per process,
 * each written by that process alone logs     | ring 0 | ring 1 | ...          | log lines on their way to
 * the supervisor; not for readers
 *               +--------------------------------+
 *
 *      slot     | struct segment_slot | counters ... | streams | histograms | upstream row 0 | row 1 | ...
 *
 * ABI 2 has families of gauges and histograms, which readers of ABI 1 do not know; else they are the same.
 *
 * All numbers are in the machine's byte order; every offset and stride stands in the header. A file with the
 * same `abi` keeps the structs below as they are; fields may be added where a size field says how long a
 * struct is. Readers should use pread(2) and not mmap(2): reading a hole through a mapping makes the page
 * resident, and a file that shrinks kills its reader. While a gateway runs, some process of it holds flock(2)
 * LOCK_EX on the file.
 */
#ifndef MCPGATE_SEGMENT_H
#define MCPGATE_SEGMENT_H

#include <mcpgate/mcp_method.h>
#include <stdint.h>

#define SEGMENT_MAGIC     "mcpgstat"
#define SEGMENT_FILE_NAME "stats"

enum {
    SEGMENT_ABI_FIRST = 1,
    SEGMENT_ABI = 2,
    SEGMENT_NAME_MAX = 48,
    SEGMENT_HELP_MAX = 160,
    SEGMENT_CHECK_MAX = 256
};

struct segment_header {
    char magic[8];
    uint32_t abi;
    uint32_t header_size;
    uint64_t file_size;
    uint32_t generation;
    uint32_t node;
    uint64_t start_real_ns; /* one moment by both clocks: the stamps below are monotonic */
    uint64_t start_mono_ns;
    uint64_t end_real_ns; /* 0, or when the gateway ended in good order */
    int32_t supervisor_pid;
    uint32_t upstreams_named; /* rows [0, this) have a name */
    char version[32];

    uint64_t metrics_offset, labels_offset, upstreams_offset, slots_offset, logs_offset;
    uint32_t metric_count, metric_size;
    uint32_t label_count, label_size;
    uint32_t upstream_count, upstream_size;
    uint32_t slot_count, slot_head_size;
    uint64_t slot_size, log_size; /* strides */

    /* inside a slot */
    uint32_t upstream_row_offset,
        upstream_row_size; /* row u lies at offset + u * size; upstream_count rows */
    uint32_t stream_offset, stream_size, stream_count;
    uint32_t reserved;
};

enum segment_kind {
    SEGMENT_COUNTER,   /* only grows; it survives a restart of its process */
    SEGMENT_GAUGE,     /* now */
    SEGMENT_HISTOGRAM, /* struct segment_histogram, of nanoseconds */
};

enum segment_unit { SEGMENT_NONE, SEGMENT_BYTES, SEGMENT_SECONDS };
enum segment_scope { SEGMENT_PER_SLOT, SEGMENT_PER_UPSTREAM };

struct segment_metric {
    char name[SEGMENT_NAME_MAX];
    char help[SEGMENT_HELP_MAX];
    uint32_t kind, unit, scope;
    uint32_t offset; /* from the start of the slot, or of the upstream row */
    /* A histogram has 2^sub_bits buckets per power of two and `buckets` in all; 0 for others. */
    uint32_t sub_bits, buckets;
    /* A family is an array of values of its kind, one after another, with one or two labels: the value for
     * the i-th of the first label and the j-th of the second is number i * dim[1].count + j. No labels: both
     * counts are 0. With one: dim[1].count is 1. */
    struct {
        char name[16];
        uint32_t first; /* index into the labels */
        uint32_t count;
    } dim[2];
};

struct segment_label {
    char text[SEGMENT_NAME_MAX];
};

struct segment_upstream {
    char name[64];
};

enum segment_slot_state {
    SLOT_FREE,     /* never used: all of the slot is zero */
    SLOT_STARTING, /* the process exists */
    SLOT_READY,    /* it serves */
    SLOT_DRAINING, /* it takes nothing new */
    SLOT_ENDED,    /* it ended as it should */
    SLOT_DIED,     /* it did not; its open requests are closed as worker_died */
};

/* The head of a slot. Stamps are monotonic. */
struct segment_slot {
    char role[16]; /* "worker", "admin", "resolve" */
    uint32_t state;
    int32_t pid;
    uint32_t alive;                /* 1 while `pid` is that of a living process */
    uint32_t epoch;                /* incarnations so far */
    uint32_t deaths;               /* of them, how many died */
    uint32_t generation;           /* of the configuration */
    uint64_t start_ns;             /* of this incarnation */
    char check[SEGMENT_CHECK_MAX]; /* the last failed check, "" when there was none */
    /* written in each turn, so in a cache line of its own */
    uint64_t turn __attribute__((aligned(64))); /* turns of the loop: stands still when the process hangs */
    uint64_t turn_ns;                           /* when the last one was */
};

/* A stream that is open. */
struct segment_stream {
    uint32_t used; /* 0: the row is free */
    uint16_t upstream;
    uint16_t method; /* index among the label values of the family "mcp_requests" */
    uint64_t open_ns, update_ns;
    uint64_t events, bytes, queued_bytes;
    uint64_t reserved[2];
};

enum {
    SEGMENT_SUB_BITS = 4,  /* 16 buckets per power of two: a bucket is at most 1/16 of its lower bound wide */
    SEGMENT_MAX_BITS = 40, /* values from 2^40 ns (18 minutes) on count in the last bucket */
    SEGMENT_BUCKETS = (SEGMENT_MAX_BITS - SEGMENT_SUB_BITS + 1) << SEGMENT_SUB_BITS,
};

struct segment_histogram {
    uint64_t count, sum, max, reserved[5];
    uint64_t buckets[SEGMENT_BUCKETS];
};

/* Buckets of the log-linear histogram: values below 2^sub_bits have one each, then every power of two is cut
 * into 2^sub_bits equal parts. */
static inline uint32_t
segment_bucket_of(uint64_t value)
{
    uint32_t exponent;

    if (value < 1u << SEGMENT_SUB_BITS)
        return (uint32_t)value;
    if (value >> SEGMENT_MAX_BITS)
        return SEGMENT_BUCKETS - 1;
    exponent = 63 - (uint32_t)__builtin_clzll(value);
    return ((exponent - SEGMENT_SUB_BITS) << SEGMENT_SUB_BITS) +
           (uint32_t)(value >> (exponent - SEGMENT_SUB_BITS));
}

/* The smallest value of a bucket; the one after its largest is the next bucket's. */
static inline uint64_t
segment_bucket_floor(uint32_t sub_bits, uint32_t bucket)
{
    uint32_t power = bucket >> sub_bits;

    if (power == 0)
        return bucket;
    return ((uint64_t)(bucket & ((1u << sub_bits) - 1)) + (1ull << sub_bits)) << (power - 1);
}

/* The rows of metrics.def as indices. For programs that write a segment; readers use the descriptors. */
#define SEGMENT_SCALAR_COUNTER(...) __VA_ARGS__
#define SEGMENT_SCALAR_GAUGE(...)   __VA_ARGS__
#define SEGMENT_SCALAR_HISTOGRAM(...)
#define SEGMENT_HISTOGRAM_COUNTER(...)
#define SEGMENT_HISTOGRAM_GAUGE(...)
#define SEGMENT_HISTOGRAM_HISTOGRAM(...) __VA_ARGS__

enum stat_id {
#define METRIC(KIND, id, UNIT, help) SEGMENT_SCALAR_##KIND(STAT_##id, )
#include <mcpgate/metrics.def>
    STATS
};

enum hist {
#define METRIC(KIND, id, UNIT, help) SEGMENT_HISTOGRAM_##KIND(HIST_##id, )
#include <mcpgate/metrics.def>
    HISTS
};

enum trstat {
#define METRIC_TRANSPORT(KIND, id, UNIT, help) SEGMENT_SCALAR_##KIND(TRSTAT_##id, )
#include <mcpgate/metrics.def>
    TRSTATS
};

enum trhist {
#define METRIC_TRANSPORT(KIND, id, UNIT, help) SEGMENT_HISTOGRAM_##KIND(TRHIST_##id, )
#include <mcpgate/metrics.def>
    TRHISTS
};

enum upstat {
#define METRIC_UPSTREAM(KIND, id, UNIT, help) SEGMENT_SCALAR_##KIND(UPSTAT_##id, )
#include <mcpgate/metrics.def>
    UPSTATS
};

enum uphist {
#define METRIC_UPSTREAM(KIND, id, UNIT, help) SEGMENT_HISTOGRAM_##KIND(UPHIST_##id, )
#include <mcpgate/metrics.def>
    UPHISTS
};

#endif
