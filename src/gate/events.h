/* SPDX-License-Identifier: Apache-2.0 */
/* A stream of events that the gateway makes itself: its head, messages as events, heartbeats between them. */
#ifndef GATE_EVENTS_H
#define GATE_EVENTS_H

#include "gate/exchange.h"

/* Sends the head: 200 and text/event-stream. `extra`: whole field lines, or len 0. False: no memory. */
bool events_open(struct exchange *ex, struct text extra);

/* Sends one JSON-RPC message as an event. Without memory the client's connection is aborted. */
void events_send(struct exchange *ex, struct text json);

/* From the plan's tick: a heartbeat when one is due, and the timer for the next. */
void events_tick(struct exchange *ex);

#endif
