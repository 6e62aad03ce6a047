/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counting. Each process writes its own slot of the segment (mcpgate/segment.h describes the layout) with
 * relaxed atomics: one writer, any number of readers, no lock, no system call.
 *
 *     stats_add(slot, STAT_requests_begun, 1);
 *     stats_up_observe(slot, upstream, UPHIST_up_latency, ns);
 *
 * The books: a worker that dies leaves requests open. stats_slot_died() closes them in its place, so that
 * exchanges_finished + exchanges_open == requests_begun holds whenever nobody is between two of its counts.
 */
#ifndef STATS_STATS_H
#define STATS_STATS_H

#include "base/check.h"
#include "base/close_reason.h"
#include "base/priority.h"
#include "base/transport.h"

#include <mcpgate/segment.h>
#include <stdbool.h>
#include <stdint.h>

/* STAT_<id>: counters and gauges of a slot; HIST_<id>: its histograms; UPSTAT_<id>, UPHIST_<id>: of an
 * upstream in a slot; TRSTAT_<id>, TRHIST_<id>: of a side and transport; all from metrics.def. enum
 * mcp_method (MCP_<ID>, MCP_METHODS; unknown ones count as MCP_OTHER) comes from mcp_method.def. These enums
 * live in <mcpgate/segment.h>. */

enum {
    STATS_HTTP_METHODS = 8, /* rows for enum http_method */
    STATS_STREAMS = 512,    /* rows in a slot's table of open streams */
    STATS_UPSTREAM_ALIGN = 4096,
};

enum stats_status { /* HTTP statuses counted one by one, then the classes of the others */
#define HTTP_STATUS(code) STATUS_##code,
#include <mcpgate/http_status.def>
#undef HTTP_STATUS
                    STATUS_1XX,
                    STATUS_2XX,
                    STATUS_3XX,
                    STATUS_4XX,
                    STATUS_5XX,
                    STATUS_NONE,
                    STATUSES
};

struct slot_upstream { /* page-aligned: the row of an upstream that is never used costs no memory */
    uint64_t stats[UPSTATS];
    struct segment_histogram hists[UPHISTS];
} __attribute__((aligned(STATS_UPSTREAM_ALIGN)));

/* One process's block. Fields after `head` are found by readers through the descriptors alone. */
struct slot {
    struct segment_slot head;
    uint64_t stats[STATS] __attribute__((aligned(64)));
    uint64_t closed[CLOSE_REASONS];
    uint64_t mcp_requests[MCP_METHODS];
    uint64_t urgency[PRIORITIES];
    uint64_t requests[STATS_HTTP_METHODS][STATUSES];
    uint64_t base[STATS]; /* what stats_set() adds: the counters at the start of this incarnation */
    uint32_t upstreams;   /* rows that may be used: those with a name when the slot was assigned */
    uint16_t stream_free_count, stream_free[STATS_STREAMS]; /* free rows, the next one last */
    struct segment_stream streams[STATS_STREAMS] __attribute__((aligned(64)));
    uint64_t transports[TRSTATS][LINK_SIDES][TRANSPORTS] __attribute__((aligned(64)));
    struct segment_histogram hists[HISTS] __attribute__((aligned(64)));
    struct segment_histogram transport_hists[TRHISTS][LINK_SIDES][TRANSPORTS];
    struct slot_upstream rows[];
} __attribute__((aligned(STATS_UPSTREAM_ALIGN)));

static inline void
stats_store(uint64_t *at, uint64_t value)
{
    __atomic_store_n(at, value, __ATOMIC_RELAXED);
}

static inline uint64_t
stats_load(const uint64_t *at)
{
    return __atomic_load_n(at, __ATOMIC_RELAXED);
}

static inline void
stats_bump(uint64_t *at, uint64_t n)
{
    stats_store(at, *at + n);
}

static inline void
stats_add(struct slot *slot, enum stat_id id, uint64_t n)
{
    stats_bump(&slot->stats[id], n);
}

/* Gauges only. */
static inline void
stats_sub(struct slot *slot, enum stat_id id, uint64_t n)
{
    stats_store(&slot->stats[id], slot->stats[id] - n);
}

/* Gauges, and counters mirrored from elsewhere: those count from zero in each incarnation, and what the
 * earlier ones had is added here. A counter is either set or added to, never both. */
static inline void
stats_set(struct slot *slot, enum stat_id id, uint64_t n)
{
    stats_store(&slot->stats[id], slot->base[id] + n);
}

static inline uint64_t
stats_get(const struct slot *slot, enum stat_id id)
{
    return stats_load(&slot->stats[id]);
}

/* `n` values that are the same. */
static inline void
stats_record_many(struct segment_histogram *h, uint64_t ns, uint64_t n)
{
    stats_bump(&h->buckets[segment_bucket_of(ns)], n);
    stats_bump(&h->sum, ns * n);
    if (ns > h->max)
        stats_store(&h->max, ns);
    stats_bump(&h->count, n);
}

static inline void
stats_record(struct segment_histogram *h, uint64_t ns)
{
    stats_record_many(h, ns, 1);
}

static inline void
stats_observe(struct slot *slot, enum hist id, uint64_t ns)
{
    stats_record(&slot->hists[id], ns);
}

static inline struct slot_upstream *
stats_row(struct slot *slot, unsigned upstream)
{
    ASSERT(upstream < slot->upstreams);
    return &slot->rows[upstream];
}

/* `n` values that are the same. */
static inline void
stats_observe_many(struct slot *slot, enum hist id, uint64_t ns, uint64_t n)
{
    stats_record_many(&slot->hists[id], ns, n);
}

static inline void
stats_transport_add(struct slot *slot, enum link_side side, enum transport t, enum trstat id, uint64_t n)
{
    stats_bump(&slot->transports[id][side][t], n);
}

/* Gauges only. */
static inline void
stats_transport_set(struct slot *slot, enum link_side side, enum transport t, enum trstat id, uint64_t n)
{
    stats_store(&slot->transports[id][side][t], n);
}

static inline void
stats_transport_observe(struct slot *slot, enum link_side side, enum transport t, enum trhist id, uint64_t ns,
                        uint64_t n)
{
    stats_record_many(&slot->transport_hists[id][side][t], ns, n);
}

static inline void
stats_up_add(struct slot *slot, unsigned upstream, enum upstat id, uint64_t n)
{
    stats_bump(&stats_row(slot, upstream)->stats[id], n);
}

/* Gauges only. */
static inline void
stats_up_sub(struct slot *slot, unsigned upstream, enum upstat id, uint64_t n)
{
    uint64_t *at = &stats_row(slot, upstream)->stats[id];

    stats_store(at, *at - n);
}

/* Gauges only. */
static inline void
stats_up_set(struct slot *slot, unsigned upstream, enum upstat id, uint64_t n)
{
    stats_store(&stats_row(slot, upstream)->stats[id], n);
}

static inline void
stats_up_observe(struct slot *slot, unsigned upstream, enum uphist id, uint64_t ns)
{
    stats_record(&stats_row(slot, upstream)->hists[id], ns);
}

static inline void
stats_up_observe_many(struct slot *slot, unsigned upstream, enum uphist id, uint64_t ns, uint64_t n)
{
    stats_record_many(&stats_row(slot, upstream)->hists[id], ns, n);
}

static inline enum stats_status
stats_status_of(unsigned status)
{
    switch (status) {
#define HTTP_STATUS(code)                                                                                    \
    case code:                                                                                               \
        return STATUS_##code;
#include <mcpgate/http_status.def>
#undef HTTP_STATUS
    default:
        return status >= 100 && status < 600 ? (enum stats_status)(STATUS_1XX + status / 100 - 1)
                                             : STATUS_NONE;
    }
}

/* One finished request: by HTTP method (enum http_method's order) and by status (exact, else its class; 0: no
 * reply was sent). */
static inline void
stats_request(struct slot *slot, unsigned http_method, unsigned status)
{
    ASSERT(http_method < STATS_HTTP_METHODS);
    stats_bump(&slot->requests[http_method][stats_status_of(status)], 1);
}

/* One connection or request that ended, by the reason. */
static inline void
stats_close(struct slot *slot, enum close_reason reason)
{
    ASSERT((unsigned)reason < CLOSE_REASONS);
    stats_bump(&slot->closed[reason], 1);
}

static inline void
stats_mcp(struct slot *slot, enum mcp_method method)
{
    ASSERT((unsigned)method < MCP_METHODS);
    stats_bump(&slot->mcp_requests[method], 1);
}

static inline void
stats_urgency(struct slot *slot, enum priority priority)
{
    ASSERT((unsigned)priority < PRIORITIES);
    stats_bump(&slot->urgency[priority], 1);
}

/* Once a turn of the process's loop, at least every quarter of --watchdog; counts STAT_turns too. */
static inline void
stats_turn(struct slot *slot, uint64_t now_ns)
{
    stats_add(slot, STAT_turns, 1);
    stats_bump(&slot->head.turn, 1);
    stats_store(&slot->head.turn_ns, now_ns);
}

/* For the watchdog: what stands still while the process hangs. */
static inline uint64_t
stats_turns(const struct slot *slot)
{
    return stats_load(&slot->head.turn);
}

/* The slot's table of open streams, for mcpstat: a row is claimed, updated by its owner and given back. -1:
 * the table is full (counted as streams_unlisted); the other two then do nothing. `stamp_ns` is monotonic. */
int stats_stream_open(struct slot *slot, unsigned upstream, enum mcp_method method, uint64_t stamp_ns);
void stats_stream_update(struct slot *slot, int row, uint64_t events, uint64_t bytes, uint64_t queued,
                         uint64_t stamp_ns);
void stats_stream_close(struct slot *slot, int row);

/* A slot's life. The supervisor assigns it (segment_assign_slot), calls begin before the process exists or
 * the process itself as its first act (pid), died and ended when it has been reaped; the process sets READY
 * and DRAINING. */

/* A new incarnation: counters go on, gauges and the table of streams start empty; the state is SLOT_STARTING.
 */
void stats_slot_begin(struct slot *slot, uint32_t epoch, int32_t pid);
void stats_slot_set_state(struct slot *slot, enum segment_slot_state state);
/* The process was reaped after a death: its open requests and connections are counted as ended (worker_died),
 * the buffers that it held as returned, its gauges become zero. Returns how many requests were open. */
uint64_t stats_slot_died(struct slot *slot);
/* The process was reaped after an end in good order. */
void stats_slot_ended(struct slot *slot);
/* Keeps the text of a failed check; async-signal-safe. */
void stats_slot_set_check(struct slot *slot, const char *text);

#endif
