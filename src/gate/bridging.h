/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bridge plan: a request whose messages are translated on their way, because client and upstream speak
 * revisions of different eras. What a message becomes is mcp/bridge.h's; here it is read whole, sent, and its
 * answers are put into the form that the client takes.
 *
 * Where both sides are of one era nothing is translated in path mode: the request is spliced. Only while it
 * is not known yet which era the upstream is of, requests are held until it is, and then relayed; so is an
 * initialize until it is known that the server settles on the client's revision, else both are bridged.
 */
#ifndef GATE_BRIDGING_H
#define GATE_BRIDGING_H

#include "gate/bond.h"

/* Whether this request goes by this plan; else it is spliced. */
bool bridging_wanted(struct exchange *ex, const struct http1_head *head, struct upstream *up);

/* Starts the plan with ex->upstream. May finish. */
void bridging_start(struct exchange *ex, const struct http1_head *head);

/* HTTP+SSE of 2024-11-05 (bridging_sse.c): GET opens a stream, and with it a session, with ex->upstream or,
 * at NULL, with the merged server. What is posted to its endpoint belongs to that session, whose hold passes
 * to the plan. Both may finish. */
void bridging_open_sse(struct exchange *ex, const struct http1_head *head);
void bridging_take_posted(struct exchange *ex, const struct http1_head *head, struct session *session);

/* WebSocket (bridging_ws.c): upgrades, with ex->upstream or, at NULL, the merged server behind it. May
 * finish. */
void bridging_open_ws(struct exchange *ex, const struct http1_head *head);

/* What a bond's upstream says unasked. */
void bridging_heard(struct bond *bond, struct text message, const struct jsonrpc_envelope *env);

/* The gateway's own subscriptions/listen at a modern upstream: for lists, and for the resources that those
 * whose bond it is have subscribed to. *ret is valid until the next message is made. False: there is nothing
 * to listen for, or no memory. */
bool bridging_listen_request(struct bond *bond, uint64_t number, struct text *ret);

/* A shared bond's upstream has been greeted (again): subscribes to what its clients listen for. */
void bridging_subscribe_again(struct bond *bond);

int bridging_init(struct worker *w); /* 0 or -ENOMEM */
void bridging_done(struct worker *w);

#endif
