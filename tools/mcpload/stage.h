/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every run of load has: one ring and one pacer, windows of time, signals, progress, processor time. The
 * loads themselves are parts on this stage, one or several at once (`mcpload mix`); load.h and ws.h are the
 * two kinds.
 *
 * Time:   begin ......... window_begin_ns ................ window_end_ns ....... nobody is busy
 *         warm-up         what is measured                 drain: nothing new starts
 */
#ifndef MCPLOAD_STAGE_H
#define MCPLOAD_STAGE_H

#include "config.h"
#include "pacer.h"
#include "ring/ring.h"
#include "tally.h"

enum phase { PHASE_WARMUP, PHASE_MEASURE, PHASE_DRAIN, PHASE_CLOSE };

enum { STAGE_PARTS_MAX = 16 };

struct part;

struct part_type {
    void (*begin)(struct part *part); /* the ring stands: connects, and starts what is due */
    /* The window may begin: what has to stand beside the work does. */
    bool (*is_settled)(const struct part *part);
    /* NULL: never. Nothing can come any more, so that there is nothing to wait for. */
    bool (*is_over)(const struct part *part);
    void (*submitted)(struct part *part);     /* NULL, or in each turn when ring_submitted() is new */
    void (*end_window)(struct part *part);    /* the phase is PHASE_DRAIN now: nothing new starts */
    bool (*is_busy)(const struct part *part); /* what was started is not over */
    void (*leave)(struct part *part);         /* NULL, or says good-bye: the part may be busy once more */
    void (*close)(struct part *part); /* closes all connections; the loop goes on until part->open is 0 */
    json_t *(*plan)(const struct part *part);
    void (*print_plan)(const struct part *part, FILE *out);
    bool (*was_good)(const struct part *part); /* something was measured; what failed stands in the tally */
    void (*free)(struct part *part);
};

struct part {
    const struct part_type *type;
    struct stage *stage;               /* set by stage_run() */
    const char *name;                  /* in the report of a mix; else NULL */
    uint32_t open;                     /* connections */
    uint64_t requests_all, events_all; /* of the whole run, for the progress */
    struct tally tally;
};

struct stage {
    const struct stage_config *config;
    struct ring *ring;
    struct pacer pacer;
    struct timer phase_timer, progress_timer;
    struct op signals;
    int signal_fd;
    enum phase phase;
    bool interrupted; /* by a signal: what was measured so far is reported, and nothing more is begun */
    struct part **parts;
    unsigned part_count;
    uint64_t begin_ns, window_begin_ns, window_end_ns; /* 0: not yet */
    uint64_t cpu_begin_ns, cpu_ns;                     /* --cpu-of: at the window's begin, and inside it */
    uint64_t progress_requests, progress_events;
};

/* Runs the parts until all that they started is over and all is closed. The parts stay the caller's. 0 or a
 * negated errno with one line in why[]. */
int stage_run(struct stage *stage, const struct stage_config *config, struct part **parts, unsigned count,
              char *why, size_t why_size);

/* True while what happens now is to be measured. */
static inline bool
stage_in_window(const struct stage *stage)
{
    return stage->phase == PHASE_MEASURE;
}

/* True when a thing that was due or began at `ns` belongs to the window, whenever it ends. */
static inline bool
stage_is_within(const struct stage *stage, uint64_t ns)
{
    return stage->window_begin_ns && ns >= stage->window_begin_ns &&
           (!stage->window_end_ns || ns < stage->window_end_ns);
}

#endif
