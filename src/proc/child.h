/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The child's side of its birth: from a bare exec to a struct child with everything mapped, rights dropped,
 * log lines and failed checks on their way to the supervisor. Then the role's own main takes over.
 */
#ifndef PROC_CHILD_H
#define PROC_CHILD_H

#include "ipc/handover.h"

#include <stdbool.h>

/* "worker", "admin", ...: as in ps, logs and the segment. */
extern const char *const role_names[ROLES];

/* What a program gives the children that it re-executes itself as. A role's main returns the exit status; 0
 * only after CONTROL_DRAIN or CONTROL_STOP (ipc/control.h says what it owes). */
struct child_role {
    enum role role;
    int (*main)(struct child *child);
};

/* Whether this process is a child: its main() then does nothing but return child_run(). */
bool child_is(int argc, char **argv);

/* `roles` ends with a row whose main is NULL. Returns the exit status. */
int child_run(char **argv, const struct child_role *roles);

/* Marks descriptors from `first` on close-on-exec. */
void child_cloexec_from(unsigned first);

#endif
