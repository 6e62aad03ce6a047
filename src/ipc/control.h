/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages on the control socket between the supervisor and a child: one struct control a packet, sent and received
 * with ipc/channel.h.
 *
 * What a child owes the supervisor:
 * - READY once it serves, within 10 s of its start; FAILED instead, and exit, when it cannot.
 * - It calls stats_turn() for its slot at least once a second, also when it has nothing to do (so no wait is longer
 *   than that). A counter that stands still for --watchdog is taken for a wedged process: SIGABRT.
 * - It sets its slot's state: SLOT_READY with READY, SLOT_DRAINING with DRAIN.
 * - It reads the control socket in every turn. End of file there means that the supervisor is dead: it ends at once.
 * - It exits with status 0 after DRAIN or STOP. Any other end is a fault: logged and restarted.
 */
#ifndef IPC_CONTROL_H
#define IPC_CONTROL_H

#include "ipc/spawn.h"

#include <stdint.h>

enum control_kind {
    /* child to supervisor */
    CONTROL_READY = 1, /* set up; accepts */
    CONTROL_DRAINED,   /* no open request is left; the child ends next */
    CONTROL_FAILED,    /* could not start. arg: the errno, positive; text: one line, why and the way out. At the first
                          start of a generation that ends it (ENOMEM: the third time); later the slot is tried again
                          once a second */
    /* supervisor to child */
    CONTROL_DRAIN,     /* worker: accept what is queued until EAGAIN, close its listeners, the adopted ones too, finish
                          the open requests within ms, say DRAINED, exit(0). It serves its home listener to the end:
                          siblings forward to the streams that are still open. Never shutdown() a listener: other
                          processes hold it. SIGKILL follows two seconds after ms.
                          admin: answer /readyz with 503 from now on, but serve until STOP */
    CONTROL_STOP,      /* end now: open streams are closed properly but not waited for; exit(0). SIGKILL follows after
                          a second */
    CONTROL_ADOPT,     /* worker: accept on these listeners too (SCM_RIGHTS, at most HANDOVER_LISTENERS_MAX): the slot
                          `arg` that they belong to cannot start. They are closed when this worker drains */
    CONTROL_RESOLVE,   /* worker: a fresh channel to the resolve process (SCM_RIGHTS, one) in place of FD_RESOLVE;
                          questions without an answer are to be asked again. End of file on the channel means that a
                          fresh one will follow. resolve: one more channel, of slot `arg` */
    CONTROL_LOG_LEVEL, /* arg: enum log_level */
    CONTROL_SPAWN,     /* worker: a fresh channel to the spawn process (SCM_RIGHTS, one) in place of FD_SPAWN. spawn:
                          one more channel, of slot `arg` in its incarnation `ms`. The servers that are left of an
                          earlier spawn process come before the first channel */
    /* spawn to supervisor, and back to the next spawn process */
    CONTROL_SERVER,      /* `server` runs; the first time with the descriptors of enum spawn_fd (SCM_RIGHTS), later
                            without, to replace what was said before */
    CONTROL_SERVER_GONE, /* `server` has ended and its process group with it */
};

struct control {
    uint32_t kind;
    uint32_t epoch; /* the child's, in both directions */
    uint32_t arg;
    uint32_t ms;
    char text[240];
    struct spawn_server server;
};

#endif
