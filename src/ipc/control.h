/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages on the control socket between the supervisor and a child: one struct control a packet. End of file on it
 * means that the other side is dead: a child then ends at once.
 */
#ifndef IPC_CONTROL_H
#define IPC_CONTROL_H

#include <stdint.h>

enum control_kind {
    /* child to supervisor */
    CONTROL_READY = 1, /* set up; accepts */
    CONTROL_DRAINED,   /* no open request is left; the child ends next */
    CONTROL_FAILED,    /* could not start; text says why and the way out; a fault of the set-up, not worth a retry */
    /* supervisor to child */
    CONTROL_DRAIN,     /* accept what is queued, close the listeners, finish within ms, then end */
    CONTROL_STOP,      /* end now: open streams are closed properly but not waited for */
    CONTROL_ADOPT,     /* accept on these listeners too (SCM_RIGHTS): the slot they belong to can't start */
    CONTROL_RESOLVE,   /* a fresh channel to a restarted resolve process (SCM_RIGHTS) */
    CONTROL_LOG_LEVEL, /* arg: enum log_level */
};

struct control {
    uint32_t kind;
    uint32_t epoch; /* the sender's */
    uint32_t arg;
    uint32_t ms;
    char text[240];
};

#endif
