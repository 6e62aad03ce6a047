/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A worker's servers on stdin and stdout, which the spawn process starts for it (ipc/spawn.h). Here is who
 * has which: started on demand or ahead, capped, ended when idle, started anew with a growing pause when they
 * keep dying. What is said over them is a plan's affair (struct stdio_user).
 *
 *      upstream "fs"    child 17   key: session a3f...      busy: 2 calls
 *                       child 18   key: stdio_shared_key()  busy: 0
 *                       child 19   no key: reserve
 *
 * A child may be sent to at once: what is queued leaves when its process runs. A process that a dead worker
 * of this slot left behind comes back with its key (stdio_find() has it).
 */
#ifndef GATE_STDIO_POOL_H
#define GATE_STDIO_POOL_H

#include "base/close_reason.h"
#include "gate/upstream.h"
#include "ipc/spawn.h"
#include "wire/stdio_conn.h"

enum { STDIO_KEY_BYTES = 16, STDIO_NOTE_BYTES = SPAWN_LABEL_BYTES - STDIO_KEY_BYTES };

struct stdio_child;

/* Who speaks with the children of an upstream. All calls come from ring_reap() or net_flush(), never from
 * within a call of the functions below. */
struct stdio_user {
    /* A message of the child's; contiguous, borrowed. */
    void (*on_line)(struct stdio_child *child, struct span line);
    /* A line was lost: too long, or there was no memory for it. What waits for an answer of this child may
     * wait in vain. */
    void (*on_lost)(struct stdio_child *child, enum close_reason reason);
    /* stdio_child_congested() was true, and no longer is. */
    void (*on_writable)(struct stdio_child *child);
    /* The last call: the process has ended, could not be started, or was ended for `reason`. No answer will
     * come. The child is freed afterwards. */
    void (*on_gone)(struct stdio_child *child, enum close_reason reason);
};

enum stdio_child_state {
    CHILD_STARTING, /* spawn was asked */
    CHILD_OPEN,
    CHILD_ENDING, /* its link is closing; spawn is told to stop it */
};

struct stdio_child {
    struct stdio wire; /* first */
    struct list_node node;
    struct stdio_pool *pool;
    const struct stdio_user *user; /* NULL: nobody yet (reserve) */
    struct list_node calls, bonds; /* the user's */
    uint64_t next_id;              /* stdio_child_mint_id() */
    uint64_t server;               /* spawn's id; 0: not started yet */
    uint64_t begun_ms, active_ms;
    uint32_t sequence;
    uint32_t busy;  /* stdio_child_hold() */
    uint32_t junk;  /* lines in a row that were no messages */
    uint8_t state;  /* enum stdio_child_state */
    uint8_t reason; /* enum close_reason; CHILD_ENDING: why */
    bool has_key, has_spoken;
    bool asked;       /* spawn has been sent the start (CHILD_STARTING) or the stop (CHILD_ENDING) */
    bool gone;        /* its process has ended: no stop is needed */
    bool is_left;     /* by a dead worker */
    bool is_labelled; /* spawn knows key and note */
    uint8_t key[STDIO_KEY_BYTES];
    uint8_t note[STDIO_NOTE_BYTES]; /* the user's: survives the worker with the key */
};

/* The children of one upstream. */
struct stdio_pool {
    struct worker *worker;
    struct upstream *upstream;
    const struct cfg_stdio *cfg;
    const struct stdio_user *user; /* of children that a dead worker left, until somebody takes them */
    struct list_node children;     /* struct stdio_child */
    uint32_t count, reserve;       /* of all; of those without a key */
    uint32_t short_lives;          /* deaths in a row without a message */
    uint32_t died;                 /* since the last start: that is a restart */
    uint64_t start_again_ms;       /* 0: now */
    void *state;                   /* the user's, freed by stdio_done() with free() */
};

/* What the worker has of it. */
struct stdio_worker {
    struct stdio_shared wire;
    struct pool children;
    struct op op;   /* the channel to spawn */
    int fd, old_fd; /* -1: none */
    uint32_t sequence;
    uint32_t pools;
    bool synced; /* spawn has said which children the slot owns */
    struct timer timer;
};

/* The key that stands for all clients of an upstream: of revisions before 2026-07-28, and of later ones. */
const uint8_t *stdio_shared_key(bool modern);

/* The child with this key, or NULL. */
struct stdio_child *stdio_find(struct upstream *up, const uint8_t key[STDIO_KEY_BYTES]);
/* Another one with this key: out of the reserve, or started. CLOSE_NONE and *ret, or why there is none:
 * CLOSE_STDIO_FULL, CLOSE_STDIO_FAILED (it keeps dying), CLOSE_NO_MEMORY, CLOSE_DRAIN. */
enum close_reason stdio_take(struct upstream *up, const uint8_t key[STDIO_KEY_BYTES],
                             const struct stdio_user *user, struct stdio_child **ret);
/* Another key, or other notes. */
void stdio_child_label(struct stdio_child *child, const uint8_t key[STDIO_KEY_BYTES],
                       const uint8_t note[STDIO_NOTE_BYTES]);

/* While it is held it is not idle. */
void stdio_child_hold(struct stdio_child *child);
void stdio_child_release(struct stdio_child *child);

/* One message; takes references of its own. */
void stdio_child_send(struct stdio_child *child, const struct span *pieces, unsigned count);
bool stdio_child_congested(struct stdio_child *child);
/* Flow control of what the child says. */
void stdio_child_pause(struct stdio_child *child);
void stdio_child_resume(struct stdio_child *child);

/* An integer for a request's id that no other request to this child has had, whichever worker sent it; at
 * most 2^53. */
uint64_t stdio_child_mint_id(struct stdio_child *child);

/* Ends it: on_gone() follows. Any number of times. */
void stdio_child_end(struct stdio_child *child, enum close_reason reason);

/* A line that passed for a message but is none. */
void stdio_child_junk(struct stdio_child *child, struct text line);

/* --- the worker --- */

int stdio_workers_init(struct worker *w);
void stdio_workers_done(struct worker *w);
/* Who speaks with those children of `up` that nobody has taken in this worker's life. */
void stdio_set_user(struct upstream *up, const struct stdio_user *user);
/* A fresh channel to spawn (-1: none). */
void stdio_set_channel(struct worker *w, int fd);
/* What comes over it; `fd` is taken over. Apart for tests without a spawn process. */
void stdio_take_event(struct worker *w, const struct spawn_event *event, int fd);
/* The worker drains: what is idle ends now, the rest when it is released. */
void stdio_drain(struct worker *w);
/* All end. */
void stdio_end_all(struct worker *w);
static inline bool
stdio_is_busy(const struct stdio_worker *s)
{
    return s->children.used || op_busy(&s->op);
}

#endif
