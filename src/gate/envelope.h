/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What path mode reads of a body before it goes on: the method and id, and, when the body arrives whole in
 * one run, whether a request of 2026-07-28 is what its header fields say (mcp/headers.h). A body that arrives
 * in several runs is forwarded unread: its server judges it.
 */
#ifndef GATE_ENVELOPE_H
#define GATE_ENVELOPE_H

#include "gate/exchange.h"

/* With the head of a POST to an MCP front: keeps what the body will be compared with. False: no memory. */
bool envelope_keep_fields(struct exchange *ex, const struct http1_head *head);

/* With the first run of the body. False: the message was refused, and the exchange is finished. */
bool envelope_check(struct exchange *ex, const struct h1_body *body);

#endif
