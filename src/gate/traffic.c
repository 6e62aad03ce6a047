/* SPDX-License-Identifier: Apache-2.0 */
#include "gate/traffic.h"

enum transport
traffic_of_reply(const struct http1_head *head)
{
    struct text type = http1_value(head, HTTP_CONTENT_TYPE), sse = TEXT("text/event-stream");

    if (head->status == 101 && http_list_has(http1_value(head, HTTP_UPGRADE), TEXT("websocket")))
        return TRANSPORT_WS;
    if (head->status == 200 && type.len >= sse.len && text_eq_nocase((struct text){type.at, sse.len}, sse))
        return TRANSPORT_SSE;
    return TRANSPORT_HTTP;
}

enum transport
traffic_of_client(const struct exchange *ex)
{
    if (ex->client)
        return (enum transport)ex->client->link.transport;
    return ex->is_ws ? TRANSPORT_WS : ex->is_stream ? TRANSPORT_SSE : TRANSPORT_HTTP;
}

/* ex->server may be gone by now. */
enum transport
traffic_of_upstream(const struct exchange *ex)
{
    if (ex->upstream->cfg->is_ws || ex->is_tunnel)
        return TRANSPORT_WS;
    return ex->is_stream || ex->leg_stream ? TRANSPORT_SSE : TRANSPORT_HTTP;
}

void
traffic_passes(struct upstream *up)
{
    struct worker *w = up->worker;

    if (up->passed++)
        return;
    up->next_passed = w->passed;
    w->passed = up;
}

/* --- once a turn --- */

static void
count_flow(struct slot *s, struct net_flow *flow, enum link_side side, enum transport t)
{
    bool is_client = side == LINK_CLIENT;

    stats_transport_set(s, side, t, TRSTAT_transport_queued, flow->queued_bytes);
    if (!flow->received_bytes && !flow->sent_bytes)
        return;
    stats_transport_add(s, side, t, TRSTAT_transport_received, flow->received_bytes);
    stats_transport_add(s, side, t, TRSTAT_transport_sent, flow->sent_bytes);
    stats_add(s, is_client ? STAT_client_received : STAT_upstream_received, flow->received_bytes);
    stats_add(s, is_client ? STAT_client_sent : STAT_upstream_sent, flow->sent_bytes);
    flow->received_bytes = flow->sent_bytes = 0;
}

void
traffic_count_bytes(struct worker *w)
{
    for (unsigned side = 0; side < LINK_SIDES; side++)
        for (unsigned t = 0; t < TRANSPORTS; t++)
            count_flow(w->stats, &w->net.stats.flows[side][t], (enum link_side)side, (enum transport)t);
}

/* What waited for others in the gateway. */
static void
count_late(struct worker *w, uint64_t turn_ns)
{
    struct net_stats *n = &w->net.stats;

    for (unsigned i = 0; i < n->late_count; i++) {
        const struct net_late *late = &n->late[i];

        stats_transport_observe(w->stats, (enum link_side)late->side, (enum transport)late->transport,
                                TRHIST_transport_in_gateway, turn_ns + late->waited_ns, late->messages);
        stats_observe_many(w->stats, HIST_in_gateway, turn_ns + late->waited_ns, late->messages);
    }
    n->late_count = 0;
}

void
traffic_count_times(struct worker *w)
{
    uint64_t ns = ring_submitted(w->ring) - ring_now(w->ring), all = 0;

    for (unsigned side = 0; side < LINK_SIDES; side++) {
        for (unsigned t = 0; t < TRANSPORTS; t++) {
            struct net_flow *flow = &w->net.stats.flows[side][t];

            if (flow->messages)
                stats_transport_observe(w->stats, (enum link_side)side, (enum transport)t,
                                        TRHIST_transport_in_gateway, ns, flow->messages);
            all += flow->messages;
            flow->messages = 0;
        }
    }
    if (all)
        stats_observe_many(w->stats, HIST_in_gateway, ns, all);
    count_late(w, ns);
    for (struct upstream *up; (up = w->passed);) {
        w->passed = up->next_passed;
        stats_up_observe_many(w->stats, up->index, UPHIST_up_in_gateway, ns, up->passed);
        up->passed = 0;
    }
}
