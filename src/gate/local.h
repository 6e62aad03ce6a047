/* SPDX-License-Identifier: Apache-2.0 */
/* Replies that the gateway makes itself. All of them finish the exchange. */
#ifndef GATE_LOCAL_H
#define GATE_LOCAL_H

#include "gate/exchange.h"

/* One reply with a body that is here, compressed where it may be. `extra`: whole field lines or len 0. */
void local_reply(struct exchange *ex, int status, struct text content_type, struct text extra,
                 const void *body, uint32_t body_len, enum close_reason reason);

/* The same for a body that lies in pieces, in that order. */
void local_reply_pieces(struct exchange *ex, int status, struct text content_type, struct text extra,
                        const struct text *pieces, unsigned count, enum close_reason reason);

/* The error of a close reason: JSON-RPC on MCP fronts (with the request's id where it was seen), a line of
 * text elsewhere. */
void local_error(struct exchange *ex, enum close_reason reason, struct text extra);

/* A copy of bytes as a message's body, in pieces; false: the worker's memory is used up. */
bool local_send_copy(struct h1 *to, struct slab *slab, const char *body, uint32_t len);

/* The JSON-RPC error of `reason` for this exchange, into out[]; returns its length. */
uint32_t local_error_json(const struct exchange *ex, enum close_reason reason, char *out, uint32_t size);

/* A plan for requests whose reply was made at once: nothing of them matters any more. */
extern const struct plan local_plan;

#endif
