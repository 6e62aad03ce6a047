/* SPDX-License-Identifier: Apache-2.0 */
/* The splice plan: see splice.c. */
#ifndef GATE_SPLICE_H
#define GATE_SPLICE_H

#include "gate/exchange.h"

/* Starts the plan with ex->upstream. May finish. */
void splice_start(struct exchange *ex, const struct http1_head *head);
/* The same with the endpoint given; NULL: there is none (CLOSE_NO_ENDPOINT). */
void splice_start_at(struct exchange *ex, const struct http1_head *head, struct endpoint *ep);

/* The client has half-closed, or is gone: something harmless is sent that a client which is gone answers with
 * a reset, so that its request does not run on for nobody. May finish. */
void splice_probe_client(struct exchange *ex);

#endif
