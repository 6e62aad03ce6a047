/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A generation: one configuration, one segment, one set of child processes. A reload makes a new one beside
 * the old, which is drained once the new one serves; they share only the listeners and what stands in struct
 * gateway.
 */
#ifndef PROC_GENERATION_H
#define PROC_GENERATION_H

#include "base/list.h"
#include "cfg/cfg.h"
#include "journal/journal.h"
#include "journal/session_table.h"
#include "proc/kept.h"
#include "proc/listeners.h"
#include "proc/rights.h"
#include "proc/run_dir.h"
#include "proc/seat.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What the generations share. */
struct gateway {
    int32_t pid;
    uint32_t node;
    struct run_dir dir;
    struct rights_user user;
    struct listeners listeners;
    struct session_table *sessions;    /* of all generations */
    struct journal *journal;           /* likewise; NULL: off */
    uint32_t epochs[SLOTS_MAX];        /* incarnations of each slot number, ever */
    bool slot_used[SLOTS_MAX];         /* by a generation that exists */
    bool lane_used[JOURNAL_LANES_MAX]; /* likewise, of the journal */
    unsigned next_slot;                /* where the next generation looks for fresh numbers first */
    uint32_t generations;              /* ever */
};

enum generation_state {
    GENERATION_STARTING, /* not every seat has been ready yet */
    GENERATION_SERVING,
    GENERATION_ENDING, /* drained or stopped: seats end one by one */
};

struct generation {
    struct list_node node; /* among those that end */
    struct gateway *gateway;
    enum generation_state state;
    uint32_t number;
    struct cfg_result cfg;
    const struct config *config; /* cfg's */
    struct segment *segment;
    unsigned
        carry_slot; /* what the generations before counted: a slot without a process, behind the seats' */
    struct generation *before; /* the one it took over from, while that exists: it may count still */
    int segment_fd, keys_fd;
    unsigned workers, seat_count;
    uint64_t others_due_ms;   /* for the children that no client waits for; 0: a worker was not ready yet */
    bool has_lanes;           /* the workers' seats have lanes of the journal */
    struct kept_servers kept; /* what spawn has started */
    struct seat seats[];      /* workers by index, then admin (unless it is off), spawn (where there are stdio
                                 servers),      resolve */
};

/* --workers, or what auto means on this machine. */
unsigned generation_workers(const struct config *config);

/* Takes over `cfg` and makes everything that its children need; starts none. 0, or a negated errno and in
 * why[] one line with the way out; `cfg` is released then too. -EBUSY: no block of slot numbers is free until
 * an older generation has ended. */
int generation_new(struct gateway *gateway, struct cfg_result *cfg, unsigned workers, struct generation **ret,
                   char *why, size_t why_size);
/* Every seat is IDLE or ENDED. Removes the home listeners; the segment file stays for readers. */
void generation_free(struct generation **generation);

/* Starts the children that clients wait for; the others follow when the workers are ready. */
void generation_start(struct generation *generation, uint64_t now_ms);
/* Every seat serves. */
bool generation_is_ready(const struct generation *generation);
/* A generation that has not served yet: why it never will, as one line, or NULL. */
const char *generation_failure(const struct generation *generation, char *line, size_t size);
/* From now on the statistics file is this one's (until then a file is kept to go back to), and holds what
 * `before` (NULL: there is none) has counted. */
void generation_serve(struct generation *generation, struct generation *before);
/* Tells who serves which place of the session tables: place i the worker i, places of workers that are no
 * more the others in turn, and those of a worker that is down the sibling that accepts for it. */
void generation_assign_sessions(struct generation *generation);
/* Fetches once more what `before` has counted. */
void generation_carry(struct generation *generation);
/* It will not serve: the statistics file is again that of the one before. */
void generation_give_up(struct generation *generation);

/* The admin says from now on that the gateway is not ready. */
void generation_set_unready(struct generation *generation, uint64_t now_ms);
/* Workers finish within `ms`; the others go on until the last worker has ended. */
void generation_drain(struct generation *generation, uint64_t now_ms, uint32_t ms);
/* All end at once. */
void generation_stop(struct generation *generation, uint64_t now_ms);

/* Runs what is due in every seat, starts what is left of a starting generation, and stops the helpers of an
 * ending one when its workers have ended. */
void generation_tick(struct generation *generation, uint64_t now_ms, uint64_t elapsed_ms);
bool generation_has_ended(const struct generation *generation);
/* Moves the seats' log lines to stderr; returns how many. */
unsigned generation_drain_logs(struct generation *generation);

/* The journal for this seat; -1: it has no part in it, or there is none. */
int generation_journal_fd(const struct generation *generation, const struct seat *seat);

struct seat *generation_seat(struct generation *generation, enum role role);

/* A fresh channel between a worker and the resolve process: returns the worker's end, or a negated errno. If
 * resolve is down, the end reads end-of-file, and a fresh one follows when it is up. */
int generation_connect_resolve(struct generation *generation, const struct seat *worker, uint64_t now_ms);
/* After a (re)start of resolve: one for every worker that is up. */
void generation_reconnect_resolve(struct generation *generation, uint64_t now_ms);

/* The same for spawn; -1 without stdio servers, and while a new spawn process is still told of those that an
 * earlier one left: the channels follow. */
int generation_connect_spawn(struct generation *generation, const struct seat *worker, uint64_t now_ms);
void generation_reconnect_spawn(struct generation *generation, uint64_t now_ms);

#endif
