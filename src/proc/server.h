/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One server on stdin and stdout, as the spawn process sees it: from fork to the end of its process group.
 * What goes over its socket is between it and a worker; here only the copy is held that keeps it open.
 *
 *      RUNS --server_stop()--> CLOSED --grace--> TERMINATED --grace--> KILLED      each ends with the process
 */
#ifndef PROC_SERVER_H
#define PROC_SERVER_H

#include "cfg/config.h"
#include "ipc/spawn.h"

#include <stdbool.h>
#include <stdint.h>

enum server_state {
    SERVER_RUNS,
    SERVER_CLOSED,     /* its stdin has ended */
    SERVER_TERMINATED, /* its group got SIGTERM */
    SERVER_KILLED,     /* SIGKILL */
    SERVER_ENDED,      /* reaped; the supervisor is still to hear of it */
};

enum { SERVER_LINE_MAX = 512, SERVER_LINES_A_SECOND = 100 };

/* What its stderr says, cut into lines for the log. */
struct server_errors {
    char line[SERVER_LINE_MAX];
    unsigned len;
    bool cut;        /* the line is longer: its rest is passed over */
    uint64_t second; /* that `lines` counts */
    unsigned lines, dropped;
};

struct server {
    struct spawn_server who;
    const char *name;   /* the upstream's, in the configuration */
    int fds[SPAWN_FDS]; /* -1: closed */
    enum server_state state;
    uint64_t due_ms;  /* of the next step; RUNS: never */
    bool is_ours;     /* our own child; else an earlier spawn process started it */
    bool is_kept;     /* the supervisor knows of it, as it is now */
    uint32_t to_tell; /* enum spawn_event_kind that its worker is still to hear; 0: none */
    struct server_errors errors;
};

/* Starts the program of who->upstream; who->pid is set. *ret_fd is the worker's end, which the caller closes
 * when it was passed on. 0 or a negated errno. A program that cannot be executed says so on its stderr, and
 * ends with status 127. */
int server_start(struct server *server, const struct config *config, const struct spawn_server *who);
/* Takes one over (and its descriptors) that an earlier spawn process has started. */
void server_adopt(struct server *server, const struct config *config, const struct spawn_server *who,
                  const int fds[SPAWN_FDS]);

/* Asks it to end; nothing when that was done before. */
void server_stop(struct server *server, uint64_t now_ms, uint32_t grace_ms);
/* The next step when it is due. */
void server_tick(struct server *server, uint64_t now_ms, uint32_t grace_ms);
/* At once, the whole group. */
void server_kill(struct server *server);

/* Reads what its stderr has to say, into the log. */
void server_read_errors(struct server *server, uint64_t now_ms);

/* Its pidfd is readable: logs how it ended, ends what is left of its group, closes everything. False: it has
 * not ended. */
bool server_reap(struct server *server, uint64_t now_ms);

#endif
