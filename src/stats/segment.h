/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The segment from the gateway's side: the supervisor creates it, its children map the descriptor they are
 * given. Readers use stats/read.h.
 */
#ifndef STATS_SEGMENT_H
#define STATS_SEGMENT_H

#include "base/log.h"
#include "stats/stats.h"

#include <stddef.h>
#include <stdint.h>

enum { SEGMENT_SLOTS_MAX = 1024, SEGMENT_UPSTREAMS_MAX = 4096 };

struct segment; /* a mapping */

struct segment_config {
    uint32_t generation, node;
    uint32_t slots;     /* 1..SEGMENT_SLOTS_MAX */
    uint32_t upstreams; /* rows in each slot, 0..SEGMENT_UPSTREAMS_MAX; routes have one too */
    int32_t supervisor_pid;
    const char *version;
};

/* Makes the segment as a sparse file in `run_dir` and renames it to "stats" there, over the one before. The
 * descriptor (CLOEXEC, locked with flock) goes to the children; the gateway counts as running as long as any
 * of them holds it. 0 or a negative errno, which leaves no file behind. */
int segment_create(const char *run_dir, const struct segment_config *config, struct segment **ret,
                   int *ret_fd);

/* Maps the segment of the same program's supervisor. -EPROTO: another layout. The descriptor stays the
 * caller's. */
int segment_map(int fd, struct segment **ret);
/* NULL is allowed. */
void segment_unmap(struct segment **segment);

uint32_t segment_slots(const struct segment *segment);
uint32_t segment_upstreams(const struct segment *segment);
struct slot *segment_slot(const struct segment *segment, uint32_t i);
struct log_ring *segment_log_ring(const struct segment *segment, uint32_t i);

/* The label of an upstream row; cut to 63 bytes. Name the rows in order, from 0, before slots are assigned.
 * -ERANGE: there is no such row, or the ones before it have no name. */
int segment_name_upstream(struct segment *segment, uint32_t i, const char *name);

/* "" when the row has no name. */
const char *segment_upstream_name(const struct segment *segment, uint32_t i);
/* The row of that name, or -1. */
int32_t segment_find_upstream(const struct segment *segment, const char *name);

/* Takes a slot into use: what it is for ("worker", "admin", "resolve"), and the rows named so far. Comes
 * before the slot's first stats_slot_begin(); a slot that was in use keeps its figures. */
struct slot *segment_assign_slot(struct segment *segment, uint32_t i, const char *role);

/* Sets slot `i`, which has no process, to the sums of all that the workers of `from` have counted, so that totals go on
 * when a new generation takes over. Upstreams are matched by name; what has none here is left out of their rows, and
 * gauges stay zero. May be repeated while `from` counts on. 0 or -ENOMEM. */
int segment_carry(struct segment *segment, uint32_t i, const struct segment *from);

/* Notes the time of an end in good order, for those who read the file afterwards. */
void segment_finish(struct segment *segment);

#endif
