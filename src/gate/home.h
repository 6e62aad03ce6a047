/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Forwarding to the worker where a session is at home: over that slot's unix listener, with a sealed field
 * (Mcpgate-Forward) that says who the client is and that this was the one hop that is allowed. To the sending
 * worker it is a splice to an upstream of its own kind, with one endpoint per slot. A slot whose process is
 * being replaced keeps its listener, so that a request waits there for the next one. A request that was sent,
 * and whose worker died, fails with CLOSE_HOME_GONE and is not sent again.
 */
#ifndef GATE_HOME_H
#define GATE_HOME_H

#include "gate/exchange.h"
#include "gate/session.h"

enum { HOME_HOPS_MAX = 2 }; /* the second: when a draining worker has let the session go in between */

/* Sends the request to the worker of this slot. May finish. */
void home_forward(struct exchange *ex, const struct http1_head *head, uint32_t slot);

/* Where that worker listens; NULL: there is no such slot. */
struct endpoint *home_endpoint(struct worker *w, uint32_t slot);

/* The receiving side: only our own uid may connect, and each request carries the field; its client takes the
 * place of the connection's peer. */
bool home_peer_allowed(const struct ring_peer *peer);
bool home_open_request(struct exchange *ex, const struct http1_head *head);

/* The field's value for a request that is forwarded; returns its length, 0 when it does not fit. */
uint32_t home_seal_peer(struct exchange *ex, char *out, uint32_t size);

int home_init(struct worker *w);
void home_done(struct worker *w);

#endif
