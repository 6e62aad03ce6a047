/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The listening sockets. They belong to the supervisor, outlive every child and are shared by the
 * generations: a reload keeps the sockets of every address that it keeps, so that no connection in their
 * queues is lost.
 *
 *     address            socket 0      socket 1      socket 2          (SO_REUSEPORT, one a worker)
 *     127.0.0.1:8080     -> worker 0   -> worker 1   -> worker 2
 *     unix:/run/x        -> all workers
 *     admin              -> admin
 *
 * The kernel spreads new connections over the sockets of an address, so each of them must have somebody who
 * accepts: the worker of the same index in the newest generation, or a sibling when that cannot start.
 * Sockets go away by closing all copies, never by shutdown(2), which ends them for every holder.
 */
#ifndef PROC_LISTENERS_H
#define PROC_LISTENERS_H

#include "cfg/config.h"
#include "ipc/handover.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/types.h>

enum { LISTENER_WORKERS_MAX = 128, LISTENER_BACKLOG = 4096 };

struct listener {
    char text[128]; /* as configured: the key by which a reload finds it again; "" when the entry is free */
    char url[160];  /* for people: http://127.0.0.1:8080 with the port that was picked, or unix:/path */
    bool is_admin;  /* the other half of the key: both may ask for port 0 of one address */
    bool is_unix;
    union {
        struct sockaddr any;
        struct sockaddr_storage storage;
    } addr; /* with the port that was picked */
    socklen_t addr_len;
    dev_t dev; /* unix: the socket file, which is removed at the end if it still is the one we made */
    ino_t ino;
    unsigned fd_count;
    int fds[LISTENER_WORKERS_MAX];
};

struct listeners {
    struct listener
        items[2 * (CFG_LISTENERS_MAX + 1)]; /* of two configurations, while one replaces the other */
};

/* Opens what `config` wants for so many workers and is not open yet. 0, or a negated errno and in why[] one
 * line with the way out; what was open before stays, and what was opened in vain goes with listeners_keep().
 */
int listeners_open(struct listeners *set, const struct config *config, unsigned workers, char *why,
                   size_t why_size);

/* Closes every socket that `config` does not want for so many workers (NULL: all). */
void listeners_keep(struct listeners *set, const struct config *config, unsigned workers);

/* For people: where `config`'s i-th listener, or its admin listener, can be reached. They are open. */
const char *listeners_url(struct listeners *set, const struct config *config, unsigned i);
const char *listeners_admin_url(struct listeners *set, const struct config *config);

/* "http://ADDR:PORT" of each TCP listener of clients, with spaces between; as many as fit into text[]. */
void listeners_client_urls(struct listeners *set, const struct config *config, char *text, size_t size);

/* The descriptors that worker `index` accepts on, in the configuration's order. Returns how many. */
unsigned listeners_of_worker(struct listeners *set, const struct config *config, unsigned index,
                             int ret_fds[HANDOVER_LISTENERS_MAX]);
/* Of these, the ones that no other worker accepts on: what it can lend. */
unsigned listeners_own_sockets(struct listeners *set, const struct config *config, unsigned index,
                               int ret_fds[HANDOVER_LISTENERS_MAX]);
/* The admin's: 0 or 1. */
unsigned listeners_of_admin(struct listeners *set, const struct config *config,
                            int ret_fds[HANDOVER_LISTENERS_MAX]);

/* A slot's own unix listener (HOME_PATH_FORMAT), 0600, for `uid` when that is not (uid_t)-1. Returns the
 * descriptor or a negated errno. */
int listeners_open_home(const char *run_dir, unsigned slot, uid_t uid, gid_t gid);
void listeners_remove_home(const char *run_dir, unsigned slot);

#endif
