/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What bonds have in common whose upstream says all that it says on one stream, which is their session: the
 * one of HTTP+SSE (bond_sse.c) or a WebSocket (bond_ws.c). What answers a request is found by its id. For
 * these two only.
 */
#ifndef GATE_BOND_STREAM_H
#define GATE_BOND_STREAM_H

#include "gate/bond_port.h"

/* Opens bond->stream. CLOSE_NONE, or why it cannot be. */
enum close_reason bond_stream_open(struct bond *bond, const struct leg_up *up);
/* Closes it, if it is open, or is done with it from leg_up.on_end; nothing of it is heard any more. */
void bond_stream_close(struct bond *bond);
/* From leg_up.on_end, with the stream closed: `is_refused` instead of opened, with this status. */
void bond_stream_ended(struct bond *bond, enum close_reason reason, bool is_refused, unsigned status);
/* Nothing that was sent will be answered. */
void bond_stream_fail_sent(struct bond *bond);

/* The call is on its way, its answer awaited; and no longer: true, it was. */
void bond_stream_sent(struct bond_call *call);
bool bond_stream_forget(struct bond_call *call);

/* leg_up's of the stream. */
void bond_stream_on_head(struct leg *leg, const struct http1_head *head);
void bond_stream_on_message(struct leg *leg, struct text message);

/* A message has come: to the call that it answers or is about, or unasked. */
void bond_stream_heard(struct bond *bond, struct text message);

/* bond_port's. */
uint64_t bond_stream_mint(struct bond *bond);
void bond_stream_listen(struct bond *bond);
void bond_stream_pause(struct bond_call *call);
void bond_stream_resume(struct bond_call *call);

#endif
