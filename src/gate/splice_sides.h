/* SPDX-License-Identifier: Apache-2.0 */
/* What the two halves of the splice plan share; for splice.c and splice_reply.c only. */
#ifndef GATE_SPLICE_SIDES_H
#define GATE_SPLICE_SIDES_H

#include "gate/splice.h"

/* Passes trailers on to `to`, and with them the end; nothing when `to` is not sent in chunks. */
void splice_send_trailers(struct h1 *to, struct text section, struct exchange *ex);

/* So many events of the stream have come whole; so many are on their way to the client. */
void splice_events_came(struct exchange *ex, uint32_t events);
void splice_events_passed(struct exchange *ex, uint32_t events);

/* The reply half of the plan. */
void splice_reply_head(struct exchange *ex, const struct http1_head *head);
void splice_reply_body(struct exchange *ex, const struct h1_body *body);
void splice_reply_trailers(struct exchange *ex, struct text section);
void splice_reply_end(struct exchange *ex);

#endif
