/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stream of events that pass as they came, to a client that does not keep up, where --backpressure says
 * drop or combine (late.h). From its first congestion until it has caught up each event is held until it is
 * whole, and looked at:
 *
 *      upstream  --events-->  held, judged  --what must pass-->  client
 *                                  |
 *                            left out, or kept as the latest of its kind
 *
 * The source is read on until something that must pass has come while the client takes nothing; the rest of
 * an event that had begun to pass is not counted as such. Otherwise, and for all other clients, no byte is
 * copied. What waits for one client is bounded: by the marks, one event
 * and one kept notice of each kind, none of them longer than BEHIND_EVENT_BYTES; a longer one passes as it
 * comes.
 *
 * For splice*.c. ex->state is this part's while the reply is a stream.
 */
#ifndef GATE_SPLICE_BEHIND_H
#define GATE_SPLICE_BEHIND_H

#include "gate/exchange.h"

enum { BEHIND_EVENT_BYTES = 16 << 10 };

struct behind;

static inline struct behind *
behind_of(const struct exchange *ex)
{
    return ex->is_stream && !ex->is_tunnel ? ex->state : NULL;
}

/* Its notices may be left out or combined: the source is not to be paused only because the client takes
 * nothing. */
bool behind_may_choose(const struct exchange *ex);

/* Bytes of the stream; true: they are taken care of. */
bool behind_take(struct exchange *ex, const struct h1_body *body);

/* Sends all that waits: the client takes bytes again, or the stream ends. */
void behind_catch_up(struct exchange *ex);
/* The stream breaks: what is kept is said; an event that is held and not whole is not, so that there is room
 * for one that says why. */
void behind_cut(struct exchange *ex);
void behind_free(struct exchange *ex);

#endif
