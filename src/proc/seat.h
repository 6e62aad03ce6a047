/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A seat: one slot number of a generation and the process that sits there, incarnation after incarnation.
 * This is the only place that starts, signals and reaps children. Nothing here decides when the gateway
 * reloads or ends; that is supervisor.c, which looks at the seats' states after every event.
 *
 *                     spawn              READY              DRAIN              end
 *        IDLE ----> STARTING ---------> SERVING ---------> DRAINING ---------> ENDED
 *                    ^    | death          | death            | STOP, time       ^
 *                    |    v                v                  v                  |
 *                    WAITING <-------------+   STOP  ----> STOPPING -------------+
 */
#ifndef PROC_SEAT_H
#define PROC_SEAT_H

#include "ipc/control.h"
#include "ipc/handover.h"
#include "proc/spawn.h"

#include <stdbool.h>
#include <stdint.h>

enum seat_state {
    SEAT_IDLE,     /* nothing has been started yet */
    SEAT_STARTING, /* the process exists; READY, FAILED or its death comes next, within START_LIMIT_MS */
    SEAT_SERVING,  /* it is ready */
    SEAT_DRAINING, /* it was told to finish; killed at due_ms (admin: never) */
    SEAT_STOPPING, /* it was told to end at once; killed at due_ms */
    SEAT_WAITING,  /* it died; the next incarnation starts at due_ms */
    SEAT_ENDED,    /* nobody sits here any more */
    SEAT_STATES
};

enum {
    START_LIMIT_MS = 10000, /* from spawn to READY */
    SHORT_LIFE_MS = 500,    /* only lives shorter than this count for the back-off */
    BACKOFF_MAX_MS = 1000,
    STOP_GRACE_MS = 1000,     /* from STOP, or SIGABRT, to SIGKILL */
    DRAIN_GRACE_MS = 2000,    /* from the end of the drain time to SIGKILL */
    RING_LIMIT_MS = 3000,     /* from the death of a process to that of its ring */
    LEND_AFTER_MS = 1000,     /* a worker that is down for longer lends its listeners to a sibling */
    WATCHDOG_LEAST_MS = 2000, /* an idle child counts its turns once a second, so no --watchdog is shorter */
    MEMORY_STARTS_MAX = 3, /* deaths before the first READY for want of locked memory after which a generation
                              is given up; that of a dead process comes back with delay */
    FIRST_STARTS_MAX = 5,  /* deaths before the first READY of a generation after which it is given up */
};

struct generation;

struct seat {
    struct generation *generation;
    enum role role;
    unsigned number; /* of the slot: index into the segment */
    unsigned index;  /* among the seats of its role: worker i accepts on socket i of each address */
    unsigned lane;   /* worker: its own of the journal */
    enum seat_state state;
    struct slot *slot;
    struct log_ring *log;
    int home_fd; /* worker: its own unix listener, or -1 */

    /* pid 0: there is no process; control_fd -1: nobody has its end, neither the process nor, after its
     * death, its ring */
    struct spawned child;
    uint32_t epoch;
    uint64_t born_ms, due_ms;
    bool was_ready; /* some incarnation was */
    bool shot;      /* this one is being killed; due_ms says when for good */
    const char *shot_why;
    unsigned short_lives, first_deaths;
    uint64_t down_since_ms; /* 0: it serves */

    uint64_t turn, still_ms; /* watchdog: the counter, and for how long it has stood still */

    const struct seat *lent_to; /* who accepts for it while it is down, in its incarnation `lent_epoch` */
    uint32_t lent_epoch;

    uint32_t failed_errno; /* FAILED of the last incarnation; 0: it said nothing */
    char failed[sizeof((struct control *)0)->text];
};

extern const char *const seat_state_names[SEAT_STATES];

/* IDLE or WAITING: starts the next incarnation. When even fork fails the seat waits and tries again. */
void seat_start(struct seat *seat, uint64_t now_ms);

/* Reads what the child said. */
void seat_read_control(struct seat *seat, uint64_t now_ms);
/* Reaps the child if it has ended: logs why, settles its slot's books, moves to WAITING or ENDED. */
void seat_reap(struct seat *seat, uint64_t now_ms);

/* Whatever is due: the next start, SIGKILL, the watchdog. `elapsed_ms` is what passed since the last call. */
void seat_tick(struct seat *seat, uint64_t now_ms, uint64_t elapsed_ms);

/* Tells the child to finish within `ms` (the admin: to say that it is not ready). Without a process that
 * serves it is the same as seat_stop(). */
void seat_drain(struct seat *seat, uint64_t now_ms, uint32_t ms);
/* Tells the child to end; the seat is ENDED now if there is none. */
void seat_stop(struct seat *seat, uint64_t now_ms);
/* SIGKILL, for a second SIGTERM's patience. */
void seat_kill(struct seat *seat);

/* Sends a message with descriptors; a child that does not take it is killed, since it would miss it for good.
 */
void seat_tell(struct seat *seat, enum control_kind kind, uint32_t arg, uint32_t ms, const int *fds,
               unsigned fd_count, uint64_t now_ms);

/* A worker that is down for long: gives duplicates of its TCP listeners to a sibling that serves. */
void seat_lend_listeners(struct seat *seat, uint64_t now_ms);

#endif
