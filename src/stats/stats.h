/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counting. Each process writes its own slot of the segment (mcpgate/segment.h describes the layout) with relaxed
 * atomics: one writer, any number of readers, no lock, no system call.
 *
 *     stats_add(slot, STAT_requests, 1);
 *     stats_up_observe(slot, upstream, UPHIST_up_latency, ns);
 */
#ifndef STATS_STATS_H
#define STATS_STATS_H

#include "base/close_reason.h"

#include <mcpgate/segment.h>
#include <stdbool.h>
#include <stdint.h>

/* STAT_<id>: counters and gauges of a slot; HIST_<id>: its histograms; UPSTAT_<id>, UPHIST_<id>: of an upstream in a
 * slot; all from metrics.def. enum mcp_method (MCP_<ID>, MCP_METHODS; unknown ones count as MCP_OTHER) comes from
 * mcp_method.def. These enums live in <mcpgate/segment.h>. */

struct slot; /* one process's block */

static inline void stats_add(struct slot *slot, enum stat id, uint64_t n);
static inline void stats_sub(struct slot *slot, enum stat id, uint64_t n); /* gauges */
static inline void stats_set(struct slot *slot, enum stat id, uint64_t n); /* gauges, and counters mirrored from elsewhere */
static inline void stats_observe(struct slot *slot, enum hist id, uint64_t ns);
static inline void stats_up_add(struct slot *slot, unsigned upstream, enum upstat id, uint64_t n);
static inline void stats_up_sub(struct slot *slot, unsigned upstream, enum upstat id, uint64_t n);
static inline void stats_up_set(struct slot *slot, unsigned upstream, enum upstat id, uint64_t n);
static inline void stats_up_observe(struct slot *slot, unsigned upstream, enum uphist id, uint64_t ns);
/* One finished request: by HTTP method (enum http_method's order), by status (class and exact), by reason. */
static inline void stats_request(struct slot *slot, unsigned http_method, unsigned status);
static inline void stats_close(struct slot *slot, enum close_reason reason);
static inline void stats_mcp(struct slot *slot, enum mcp_method method);

/* The slot's table of open streams, for mcpstat: a row is claimed, updated by its owner and given back. -1: the table
 * is full (counted); the other two then do nothing. `stamp_ns` is monotonic. */
int stats_stream_open(struct slot *slot, unsigned upstream, enum mcp_method method, uint64_t stamp_ns);
void stats_stream_update(struct slot *slot, int row, uint64_t events, uint64_t bytes, uint64_t queued, uint64_t stamp_ns);
void stats_stream_close(struct slot *slot, int row);

#endif
