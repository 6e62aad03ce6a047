/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A leg over WebSocket (RFC 6455, the client's side): its request is the upgrade, and from the 101 on each
 * WebSocket message is one of its messages, both ways, until one side closes. What is sent before the 101
 * waits for it. For leg.c only; owners send with leg_send().
 *
 *      leg_open() --GET, Upgrade-->  101  --leg_send()/on_message-->  close
 *
 * Compression is offered with --ws-deflate. Pings of the upstream are answered; one that is quiet for --ws-ping is pinged,
 * and for twice as long given up.
 */
#ifndef GATE_LEG_WS_H
#define GATE_LEG_WS_H

#include "gate/leg.h"

struct leg_ws;

/* Before the request; its head has the key. False: no memory, or no random bytes. */
bool leg_ws_begin(struct leg *leg);
void leg_ws_free(struct leg *leg, struct worker *w);
struct text leg_ws_key(const struct leg *leg);

/* The reply's head. May fail the exchange. */
void leg_ws_head(struct leg *leg, const struct http1_head *head);
/* Bytes behind it. May finish the exchange. */
void leg_ws_input(struct leg *leg, struct span bytes);
/* False: the exchange has failed. */
bool leg_ws_tick(struct leg *leg);
/* The exchange ends: says goodbye, when there is somebody to say it to. */
void leg_ws_goodbye(struct leg *leg);

/* leg.c: gives a message up; false: the leg has ended meanwhile. */
bool leg_give(struct leg *leg, struct text message);

#endif
