/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a load run measures: histograms and counters, and their summary as a table for a person and as JSON.
 * The histograms are those of the gateway's statistics, so both round alike.
 */
#ifndef MCPLOAD_TALLY_H
#define MCPLOAD_TALLY_H

#include "priority.h"
#include "stats/read.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum error_kind {
    ERROR_NONE,
#define ERROR_KIND(id, name, text) ERROR_##id,
#include "error_kind.def"
#undef ERROR_KIND
    ERROR_KINDS
};

extern const char *const error_names[ERROR_KINDS], *const error_texts[ERROR_KINDS];

enum measure {
    MEASURE_LATENCY,     /* start (open loop: the intended one) to the end of the reply */
    MEASURE_FIRST_BYTE,  /* start to the first byte of the reply */
    MEASURE_FIRST_EVENT, /* start to the first SSE event */
    MEASURE_EVENT_GAP,   /* between two events of a stream */
    MEASURE_JITTER,      /* |gap - previous gap| */
    MEASURE_EVENT_DELAY, /* from the stamp that `mcpload serve` put into an event to its arrival */
    MEASURES
};

extern const char *const measure_names[MEASURES];

/* As stats/read.h keeps them: HISTOGRAM_COUNT, _SUM, _MAX, then the buckets. */
struct histogram {
    uint64_t values[HISTOGRAM_BUCKETS + SEGMENT_BUCKETS];
};

struct tally {
    struct histogram measures[MEASURES];
    struct histogram by_class[PRIORITIES][MEASURES]; /* the same again; PRIORITY_NONE is not used */
    uint64_t requests;                   /* answered as they should be, started inside the window */
    uint64_t finished;                   /* requests that ended inside the window, whenever they started */
    uint64_t events;                     /* SSE events inside the window */
    uint64_t received_bytes, sent_bytes; /* inside the window */
    uint64_t connects;                   /* connections opened, ever */
    uint64_t queued_max;  /* open loop: requests that waited for a connection, at most at once */
    uint64_t not_started; /* open loop: still waiting when the run ended */
    uint64_t errors[ERROR_KINDS];
    uint64_t statuses[6]; /* replies by class, of the whole run */
    uint64_t cpu_ns;      /* --cpu-of, inside the window; 0: not asked for */
    double seconds;       /* of the window */
};

void histogram_add(struct histogram *h, uint64_t ns);
/* Of a request or a stream that asked for this class. */
void tally_add(struct tally *tally, enum measure measure, enum priority priority, uint64_t ns);
/* Nanoseconds; 0 when it is empty. `share`: 0..1. */
uint64_t histogram_percentile(const struct histogram *h, double share);
double histogram_mean(const struct histogram *h);

/* Per finished request, or per event when there was no request; 0 when neither is known. */
double tally_cpu_us(const struct tally *tally);
uint64_t tally_errors(const struct tally *tally);
void tally_print(const struct tally *tally, FILE *out);
/* A new object; NULL when memory is short. */
json_t *tally_json(const struct tally *tally);

#endif
