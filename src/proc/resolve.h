/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The resolve process: getaddrinfo(3) for the workers, in a few threads, because it blocks for as long as a
 * name server cares to. One SEQPACKET channel a worker; struct resolve_question in, struct resolve_answer out
 * (ipc/resolve.h).
 *
 * Both addresses of a name come back in the order of RFC 6724 and up to RESOLVE_ADDRESSES_MAX; the asker
 * tries them in turn. Questions beyond RESOLVE_QUEUE_MAX are answered with EAI_AGAIN at once. An answer that
 * the worker does not take is dropped: workers ask again. Nothing is cached here.
 */
#ifndef PROC_RESOLVE_H
#define PROC_RESOLVE_H

#include "ipc/handover.h"

enum { RESOLVE_THREADS = 4, RESOLVE_QUEUE_MAX = 256 };

/* The role's main (proc/child.h). */
int resolve_main(struct child *child);

#endif
