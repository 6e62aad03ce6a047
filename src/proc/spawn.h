/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starting one child: vfork, and at once exec of this same program, so that the child has a fresh address
 * space and exactly the descriptors that it is given.
 */
#ifndef PROC_SPAWN_H
#define PROC_SPAWN_H

#include <stdbool.h>
#include <sys/types.h>

struct spawned {
    pid_t pid;
    int pidfd;      /* readable when the process has ended */
    int control_fd; /* SEQPACKET to its descriptor 3, non-blocking */
};

/* `title` becomes argv[0]. The child begins with: stdin and stdout on /dev/null, our stderr, the control
 * socket as CONTROL_FD and nothing else; no blocked signals; SIGINT, SIGTERM, SIGHUP and SIGPIPE ignored (a
 * terminal's ^C and a service manager's SIGTERM reach the whole group, but only the supervisor decides);
 * SIGKILL when we die. Returns 0 or a negated errno. A failed exec shows as a child that ends with status
 * 127. */
int spawn(const char *title, struct spawned *ret);

/* Takes the end of a child off the system: true when it has ended, with what waitid said. */
struct spawn_end {
    int code;   /* CLD_EXITED, CLD_KILLED, CLD_DUMPED */
    int status; /* exit status or signal */
};
bool spawn_reap(const struct spawned *child, struct spawn_end *ret);

#endif
