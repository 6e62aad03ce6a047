/* SPDX-License-Identifier: Apache-2.0 */
/* The spawn process: starts, ends and reaps the servers on stdin and stdout, and keeps a copy of each one's
 * socket so that it outlives a worker. One thread: it forks. Answers workers over their channels
 * (ipc/spawn.h). */
#ifndef PROC_SPAWNER_H
#define PROC_SPAWNER_H

#include "ipc/handover.h"

/* Role entry: runs until CONTROL_STOP, or until the supervisor is gone, and then until every server has
 * ended; returns the exit status. */
int spawner_main(struct child *child);

#endif
