/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the supervisor keeps of the servers that a generation's spawn process has started: if that process
 * dies, the next one gets all of it and goes on. Also the last means: whatever is left when the generation is
 * freed is killed.
 */
#ifndef PROC_KEPT_H
#define PROC_KEPT_H

#include "ipc/spawn.h"

#include <stdbool.h>
#include <sys/types.h>

struct kept_server {
    struct spawn_server who;
    int fds[SPAWN_FDS];
};

struct kept_servers {
    struct kept_server *at;
    unsigned count, room;
    unsigned handed; /* how many the present spawn process was told of, while `handing` */
    bool handing;
};

/* Takes over the descriptors; false when there is no room or no memory. */
bool kept_add(struct kept_servers *kept, const struct spawn_server *who, const int fds[SPAWN_FDS]);
void kept_update(struct kept_servers *kept, const struct spawn_server *who);
void kept_remove(struct kept_servers *kept, uint64_t server);
bool kept_has(const struct kept_servers *kept, pid_t pid);

/* A new spawn process has started: it is to hear of every server. */
void kept_begin(struct kept_servers *kept);
/* Tells as many as the socket takes; true when all were told. */
bool kept_hand_over(struct kept_servers *kept, int control_fd, uint32_t epoch);

/* SIGKILL to every process group that is left, and forgets them. */
void kept_kill_all(struct kept_servers *kept);

#endif
