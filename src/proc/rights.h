/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a process may do. Limits are raised once, by the supervisor, before it starts anything (children
 * inherit them); every child then drops its rights in rights_drop() before it touches a byte from outside.
 * The supervisor keeps its own: a reload may have to bind a privileged port, and it must be able to signal
 * children of another uid.
 *
 *     started as                    children run as
 *     root, user `mcpgate` exists   that user, its primary group, no other groups, no capabilities
 *     root, no such user            root without capabilities
 *     anybody else                  the same user, no capabilities
 */
#ifndef PROC_RIGHTS_H
#define PROC_RIGHTS_H

#include "ipc/handover.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The user that children become. */
struct rights_user {
    bool change;
    uint32_t uid, gid;
};

/* Looks the user up (only when started as root). */
struct rights_user rights_child_user(void);

/* Descriptors: soft limit to the hard one. Locked memory: to no limit when the process may, else to the hard
 * limit; from kernel 6.14 on the rings of all processes of a uid count against it. Never fails: what was not
 * granted shows in the start-up checks. */
void rights_raise_limits(void);

/* The spawn process outlives the supervisor by the moment that it takes to end its servers. */
enum rights_end { RIGHTS_DIE_WITH_PARENT, RIGHTS_OUTLIVE_PARENT };

/* In a child: no new privileges, the user, capabilities, the parent's death. In this order. Returns 0 or a
 * negated errno (-ESRCH: the parent is dead already) and then, in *ret_step, the step that failed. */
int rights_drop(const struct rights_user *user, int32_t parent_pid, enum rights_end end,
                const char **ret_step);

/* Between fork and exec of a server: what a program expects of where it starts. All signals as by default and
 * unblocked, a session and process group of its own, no descriptor but the standard ones, and 1024 of them (or
 * fewer) until it asks for more, as programs that use select() need. Rights were dropped already. */
void rights_become_server(void);

#endif
