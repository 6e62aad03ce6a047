/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Batching: on a busy worker a message may wait a little for others of its link, so that one send takes them
 * all. What is ready in one turn leaves in one send anyway; this is about the turns after it.
 *
 *      link_push ... batch_wait(link, 1)   --> held --(window, count or bytes reached, batch_hurry)--> dirty
 *
 * How long at most is net->batch.window_ms, which follows the worker's load: none while it sleeps in every
 * other turn, all of --batch-window when it does in less than one of ten. A message waits only where the one
 * before it came less than a window ago, so the first of a burst and those of a stream that is slow leave at
 * once; so does what is critical. And what waits leaves as soon as the worker would sleep: it waits for work
 * that is there, never for what may come.
 */
#ifndef NET_BATCH_H
#define NET_BATCH_H

#include "net/link.h"

void batch_init(struct net *net, const struct batch_limits *limits);
void batch_done(struct net *net);

/* How busy the worker is: of 100 turns, how many found something to do without sleeping. Some times a second.
 */
void batch_set_load(struct net *net, unsigned percent);

/* So many messages have just been pushed whole, which may wait for others. */
void batch_wait(struct link *link, unsigned messages);
/* What was pushed leaves with this turn: the end of a stream, say. */
void batch_hurry(struct link *link);

/* Whether anything waits: then the worker looks once more, without sleeping, before it sleeps; */
bool batch_waits(const struct net *net);
/* and when it has found nothing to do, all of it leaves. */
void batch_hurry_all(struct net *net);

#endif
