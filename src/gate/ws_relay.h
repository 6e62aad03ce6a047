/* SPDX-License-Identifier: Apache-2.0 */
/*
 * WebSockets on plain routes: a tunnel of the splice plan whose frames are watched on their way. The
 * handshake, its extensions and every byte of a frame are the peers' own and pass as they are; between two
 * frames there is room for frames of ours, as between the events of a stream:
 *
 *      client  --frames-->  parser of the client's  --the same bytes-->  upstream
 *              <--------    parser of the upstream's     <--------
 *
 * So each side that is quiet is pinged (--ws-ping), what breaks RFC 6455 or is larger than --ws-max-message
 * ends with the right close code, and so do the loss of the other side and the end of a drain.
 *
 * For splice*.c and server.c.
 */
#ifndef GATE_WS_RELAY_H
#define GATE_WS_RELAY_H

#include "gate/exchange.h"

/* The upstream's 101 is there: ex->state is the relay's from now on, when it is a WebSocket's. False: no
 * memory. */
bool ws_relay_begin(struct exchange *ex, const struct http1_head *head);
void ws_relay_free(struct exchange *ex);
/* Whether a 101 switches to WebSocket. */
bool ws_relay_is_ws(const struct http1_head *head);

static inline bool
is_ws_relay(const struct exchange *ex)
{
    return ex->is_tunnel && ex->state;
}

/* Looks at bytes that are about to pass. False: the exchange has ended; what was in order of them has passed.
 */
bool ws_relay_look(struct exchange *ex, bool from_client, const struct h1_body *body);

/* Pings, or gives up. False: the exchange has ended. */
bool ws_relay_tick(struct exchange *ex);

/* The other side has gone, half or whole; or neither, and the gateway ends it. All finish. */
void ws_relay_client_gone(struct exchange *ex, enum close_reason reason);
void ws_relay_server_gone(struct exchange *ex);
void ws_relay_stop(struct exchange *ex);
/* A limit has passed. */
void ws_relay_fail(struct exchange *ex, enum close_reason reason);

#endif
