/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the plans that serve HTTP+SSE of 2024-11-05 to clients have in common (bridging_sse.c, demo.c): the
 * stream's session, its first event, and the 202 for what is posted.
 */
#ifndef GATE_SSE_FRONT_H
#define GATE_SSE_FRONT_H

#include "gate/exchange.h"
#include "gate/session.h"

/* The session of the stream that a GET opens, held; it becomes s->stream when the plan says so. A stream that
 * comes again with the id of its last event gets what it had agreed on (s->is_greeted). NULL: *ret_reason. */
struct session *sse_front_begin(struct exchange *ex, const struct http1_head *head,
                                enum close_reason *ret_reason);

/* Sends the head of the stream and the event that says where to post to. False: the exchange has failed. */
bool sse_front_open(struct exchange *ex, struct session *s);

/* Whether a message may be taken. False: it was turned away, because the stream is gone, or because the
 * message is a request and there are too many, or the stream's reader has fallen behind; the exchange has
 * finished. */
bool sse_front_takes(struct exchange *ex, struct session *s, bool is_request);

/* The same, and then answers the POST with 202 and takes the client off the exchange. */
bool sse_front_accept(struct exchange *ex, struct session *s, bool is_request);

/* Says the initialized session's token as the id of the event that is next on its stream. */
void sse_front_give_id(struct session *s);

#endif
