/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages on a worker's channel to the spawn process, which starts and ends the servers on stdin and stdout: one
 * struct a packet in either direction.
 *
 * A server is known by its id, which is never used again in the gateway's life. It belongs to a slot: when the
 * slot's worker dies, its servers live on, and the next incarnation hears OWNED for each of them on its channel.
 * When the channel ends (spawn died), a fresh one follows (CONTROL_SPAWN) and servers go on as if nothing had
 * happened: starts without an answer are to be asked again with the same sequence, which starts nothing twice.
 */
#ifndef IPC_SPAWN_H
#define IPC_SPAWN_H

#include <stdint.h>

enum { SPAWN_SERVERS_MAX = 4096, SPAWN_LABEL_BYTES = 32 };

enum spawn_request_kind {
    SPAWN_START = 1, /* start a server of `upstream`: STARTED or FAILED with the same sequence follows */
    SPAWN_STOP,      /* end `server`: its stdin is closed, then SIGTERM, then SIGKILL, --stdio-grace apart */
    SPAWN_LABEL,     /* keep `label` with `server`, for the slot's next incarnation */
};

struct spawn_request {
    uint32_t kind;
    uint32_t epoch;    /* of the asking worker */
    uint32_t upstream; /* START: index in the configuration */
    uint32_t sequence; /* START: the worker's number for it, not 0 */
    uint64_t server;   /* STOP, LABEL */
    uint8_t label[SPAWN_LABEL_BYTES];
};

enum spawn_event_kind {
    SPAWN_STARTED = 1, /* with one descriptor: the server's stdin and stdout (a blocking stream socket) */
    SPAWN_OWNED,       /* the same for a server that an earlier incarnation of the slot left behind */
    SPAWN_FAILED,      /* there is no server: error */
    SPAWN_SYNC,        /* every OWNED has been said: what the slot has now is what it has */
    SPAWN_EXITED,      /* the server has ended; its socket may still hold what it said last */
};

struct spawn_event {
    uint32_t kind;
    uint32_t epoch; /* of the worker that is told */
    uint32_t upstream, sequence;
    uint64_t server;
    int32_t pid;
    int32_t error; /* FAILED: an errno, positive */
    uint8_t label[SPAWN_LABEL_BYTES];
};

/* What spawn tells the supervisor of each server (CONTROL_SERVER), and hears from it when the spawn process before
 * it has died. The descriptors with it, in this order: */
enum spawn_fd {
    SPAWN_FD_PROCESS, /* pidfd */
    SPAWN_FD_STREAM,  /* the worker's end of its stdin and stdout */
    SPAWN_FD_ERRORS,  /* the reading end of its stderr */
    SPAWN_FDS
};

struct spawn_server {
    uint64_t server;
    uint32_t upstream;
    uint32_t slot, epoch; /* whose it is */
    uint32_t sequence;    /* that it was started with */
    int32_t pid;          /* also its process group */
    uint8_t label[SPAWN_LABEL_BYTES];
};

#endif
