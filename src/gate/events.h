/* SPDX-License-Identifier: Apache-2.0 */
/* A stream of events that the gateway makes itself: its head, messages as events, heartbeats between them. */
#ifndef GATE_EVENTS_H
#define GATE_EVENTS_H

#include "gate/exchange.h"

/* Sends the head: 200 and text/event-stream. `extra`: whole field lines, or len 0. False: no memory. */
bool events_open(struct exchange *ex, struct text extra);

/* Sends one JSON-RPC message as an event; line ends between its tokens become spaces. Without memory the
 * client's connection is aborted. */
void events_send(struct exchange *ex, struct text json);
/* The same for a message that lies in pieces, in that order. */
void events_send_pieces(struct exchange *ex, const struct text *pieces, unsigned count);
/* The event that is sent next has this id, which holds no line end. */
void events_give_id(struct exchange *ex, struct text id);
/* An event of another name; neither holds a line end. */
void events_send_named(struct exchange *ex, struct text name, struct text data);

/* As events_send(), with the id that the client may come back with. */
void events_send_id(struct exchange *ex, struct text id, struct text json);
/* An event without a message: an id to come back with, and how long to wait before. */
void events_prime(struct exchange *ex, struct text id, unsigned retry_ms);
/* A line that clients ignore and people may read. */
void events_comment(struct exchange *ex, struct text line);

/* One more is on its way to the client, in whatever form. */
void events_note(struct exchange *ex);

/* From the plan's tick: a heartbeat when one is due, and the timer for the next. */
void events_tick(struct exchange *ex);

#endif
