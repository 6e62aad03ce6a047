/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP front of the built-in demo server (mcp/demo.h): a plan of its own. */
#ifndef GATE_DEMO_H
#define GATE_DEMO_H

#include "gate/exchange.h"

/* Starts the plan for a request to the demo upstream. May finish. */
void demo_start(struct exchange *ex, const struct http1_head *head);

/* The same for HTTP+SSE of 2024-11-05: its stream, and what is posted to the stream's session, whose hold
 * passes to the plan. */
struct session;
void demo_open_sse(struct exchange *ex, const struct http1_head *head);
void demo_take_posted(struct exchange *ex, const struct http1_head *head, struct session *session);

#endif
