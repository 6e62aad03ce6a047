/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Batching: on a busy worker messages may wait a little for others of their stream, so that one send takes
 * them all. What is ready in one turn leaves in one send anyway; this is about the turns after it.
 *
 * What the gateway says itself is held in the link that it leaves by:
 *
 *      link_push ... batch_wait(link, 1)   --> held --(window, count or bytes reached, batch_hurry)--> dirty
 *
 * What it passes on leaves at once, and then the link that it came by rests: what follows waits in the
 * kernel, and one receive takes it all, too.
 *
 *      on_bytes ... batch_rest(source, 1)  --> rests --(window, or what count or bytes take)--> receives
 *
 * How long at most is the window_ms of the link's transport, which follows the worker's load: none up to
 * half of its time, all of --batch-window from nine tenths on. A message waits only where the one before
 * it came less than a window ago (and a source rests where two may come meanwhile), so the first of a
 * burst and those of a stream that is slow leave at once; so does what is critical. What is held leaves as
 * soon as the worker would sleep: it waits for work that is there, never for what may come. A source that
 * brings as much as one send should take within a millisecond, the timers' tick, does not rest. What a
 * source has nobody knows before it is received: its end, too, is seen after the rest.
 */
#ifndef NET_BATCH_H
#define NET_BATCH_H

#include "net/link.h"

/* Links of a transport for which this is not called never wait. */
void batch_init(struct net *net, enum transport t, const struct batch_limits *limits);
void batch_done(struct net *net);

/* How much of its time the worker works. Some times a second. */
void batch_set_load(struct net *net, unsigned percent);

/* So many messages have just been pushed whole, which may wait for others. */
void batch_wait(struct link *link, unsigned messages);
/* What was pushed leaves with this turn: the end of a stream, say. */
void batch_hurry(struct link *link);

/* From within on_bytes(): so many messages have come whole from this link, and were passed on; those that
 * follow may wait for one another. Takes the link's timer while it rests. A link that is also sent to with
 * batch_wait() does not rest. */
void batch_rest(struct link *source, unsigned messages);
/* It is received from as ever: the reply is whole, say, and the next must not wait. */
void batch_rouse(struct link *source);

/* Whether anything waits: then the worker looks once more, without sleeping, before it sleeps; */
bool batch_waits(const struct net *net);
/* and when it has found nothing to do, all of it leaves. */
void batch_hurry_all(struct net *net);

#endif
