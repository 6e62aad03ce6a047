/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a child process gets from the supervisor: all that crosses exec() is here. The supervisor re-executes
 * /proc/self/exe with argv {"mcpgate: <role> <slot>", "--child"} and the control socket (SEQPACKET) as descriptor
 * 3; the first message on it is struct handover with the descriptors of `fds` as SCM_RIGHTS, in the order of
 * enum handover_fd, followed by the listeners.
 */
#ifndef IPC_HANDOVER_H
#define IPC_HANDOVER_H

#include <stdint.h>

enum role {
    ROLE_SUPERVISOR,
    ROLE_WORKER,
    ROLE_ADMIN,   /* a worker slot with the admin listener instead of client listeners */
    ROLE_RESOLVE,
    ROLE_SPAWN,   /* only where there are stdio servers */
    ROLES
};

/* A generation takes a block of fresh slot numbers; SLOTS_MAX leaves room for three of the largest. */
enum { HANDOVER_MAGIC = 0x6d637067, CONTROL_FD = 3, HANDOVER_LISTENERS_MAX = 32, HANDOVER_URLS_MAX = 2048, SLOTS_MAX = 512 };

enum handover_fd {
    FD_CONFIG,  /* sealed memfd: struct config and its strings (cfg/config.h) */
    FD_SEGMENT, /* the stats segment of this generation (stats/segment.h), with the log rings */
    FD_KEYS,    /* sealed memfd: struct key_ring */
    FD_RESOLVE, /* worker: SEQPACKET to the resolve process; fresh in each incarnation */
    FD_SPAWN,   /* worker: SEQPACKET to the spawn process (ipc/spawn.h); fresh in each incarnation */
    FD_HOME,    /* worker: its slot's unix listener, to which other slots forward */
    FD_SESSIONS, /* worker: the session tables (journal/session_table.h) */
    FD_JOURNAL, /* worker: the journal of streams (journal/journal.h) */
    HANDOVER_FDS
};

struct handover {
    uint32_t magic, size;
    uint32_t role;       /* enum role */
    uint32_t slot;       /* index into the segment; worker slots count through the generations */
    uint32_t generation; /* of the configuration, from 1 */
    uint32_t epoch;      /* of this slot: how many incarnations it has had, from 1 */
    uint32_t node;       /* for session tokens: the random number that the state directory got at its making */
    uint32_t place;      /* worker: its own among the session tables */
    uint32_t lane;       /* worker: its own of the journal */
    uint32_t listeners;  /* descriptors after HANDOVER_FDS; what they listen on stands in the configuration */
    uint32_t has_fd;     /* bit (1 << enum handover_fd): that descriptor was sent */
    int32_t supervisor_pid;
    uint32_t change_user; /* 1: the child becomes uid and gid before it does anything else */
    uint32_t uid, gid;
    char admin_origin[64]; /* "http://ADDR:PORT" of the admin listener; empty: off, or a unix socket */
    char client_urls[HANDOVER_URLS_MAX]; /* admin: "http://ADDR:PORT" of each of the clients' TCP listeners, spaces between */
    char run_dir[256];   /* where home_path() finds the other slots' listeners */
};

/* What a child keeps of it. Owned by the child's main; descriptors are non-blocking and CLOEXEC. */
struct child {
    struct handover h;
    int control_fd;
    int fds[HANDOVER_FDS];                 /* -1: not sent */
    int listeners[HANDOVER_LISTENERS_MAX]; /* h.listeners of them, in the configuration's order; the admin's: one */
    const struct config *config;           /* mapped from FD_CONFIG */
    struct segment *segment;               /* mapped from FD_SEGMENT */
    struct slot *slot;                     /* the process's own in the segment; its log ring is open already */
    const struct key_ring *keys;           /* mapped from FD_KEYS; NULL: not sent */
};

enum { KEY_BYTES = 32, KEYS = 3 };

/* The gateway's sealing keys: a key stays valid for opening while it is here; `current` seals. */
struct key_ring {
    uint32_t current;                       /* index */
    struct {
        uint32_t id;                        /* 0: absent */
        uint8_t key[KEY_BYTES];
    } keys[KEYS];                           /* previous, current, next */
};

/* "<run_dir>/home-<slot>.sock" */
#define HOME_PATH_FORMAT "%s/home-%u.sock"

#endif
