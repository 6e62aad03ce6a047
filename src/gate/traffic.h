/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a turn has moved, counted by side and transport (base/transport.def) and by upstream: bytes, what is
 * queued, messages, the time that they were in the gateway. Bytes and times come from the links, once a turn;
 * messages are noted where they are told apart.
 */
#ifndef GATE_TRAFFIC_H
#define GATE_TRAFFIC_H

#include "gate/exchange.h"

/* `n` messages came from there, or are on their way there. */
static inline void
traffic_received(struct worker *w, enum link_side side, enum transport t, uint64_t n)
{
    stats_transport_add(w->stats, side, t, TRSTAT_transport_messages_received, n);
}

static inline void
traffic_sent(struct worker *w, enum link_side side, enum transport t, uint64_t n)
{
    stats_transport_add(w->stats, side, t, TRSTAT_transport_messages_sent, n);
}

/* One has failed. */
static inline void
traffic_failed(struct worker *w, enum link_side side, enum transport t)
{
    stats_transport_add(w->stats, side, t, TRSTAT_transport_errors, 1);
}

/* The first byte of a reply is here, so long after its request. */
static inline void
traffic_first_byte(struct worker *w, enum link_side side, enum transport t, uint64_t ns)
{
    stats_transport_observe(w->stats, side, t, TRHIST_transport_first_byte, ns, 1);
}

/* How messages of this exchange travel now, on either side. */
enum transport traffic_of_client(const struct exchange *ex);
enum transport traffic_of_upstream(const struct exchange *ex);
/* How a reply with this head does. */
enum transport traffic_of_reply(const struct http1_head *head);

/* Something of this upstream's has come and is passed on in this turn. */
void traffic_passes(struct upstream *up);

/* Around the turn's submit. */
void traffic_count_bytes(struct worker *w);
void traffic_count_times(struct worker *w);

#endif
