/* SPDX-License-Identifier: Apache-2.0 */
/* What the two halves of the splice plan share; for splice.c and splice_reply.c only. */
#ifndef GATE_SPLICE_SIDES_H
#define GATE_SPLICE_SIDES_H

#include "gate/splice.h"

/* Passes trailers on to `to`, and with them the end; nothing when `to` is not sent in chunks. */
void splice_send_trailers(struct h1 *to, struct text section, struct exchange *ex);

/* Brings the stream's row in the statistics up to date. */
void splice_list_stream(struct exchange *ex);

/* One end of a tunnel is through: `other` hears of it when all that came before has left, and may go on.
 * Finishes when both are. */
void splice_end_tunnel_side(struct exchange *ex, struct h1 *other);

#endif
