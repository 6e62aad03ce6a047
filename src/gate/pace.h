/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the gateway does to the rhythm of a stream. A sample is by how much the gap between a message and the
 * one before it differs at leaving from that at coming; which is by how much longer or shorter this one was
 * in the gateway.
 *
 *      came     ring_now() of the turn in which it was received
 *      left     ring_submitted() of the turn in which the kernel was given, and took, all that was queued for
 *               the client; or, when it took a part only, when the queue is short again
 *
 * Messages that come while others wait are taken to leave with these. No clock is read, and a stream costs
 * nothing while it is quiet.
 */
#ifndef GATE_PACE_H
#define GATE_PACE_H

#include "gate/exchange.h"

/* `n` messages of the stream have come in this turn and are queued for its client. */
void pace_came(struct exchange *ex, uint32_t n);
/* What waits for its client need wait no longer. */
void pace_went_on(struct exchange *ex);
/* All that this turn has sent was flushed, and is about to be submitted. */
void pace_turn(struct worker *w);
/* The exchange ends. */
void pace_end(struct exchange *ex);

#endif
