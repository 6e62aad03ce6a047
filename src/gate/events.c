/* SPDX-License-Identifier: Apache-2.0 */
#include "gate/events.h"

#include "gate/heads.h"
#include "gate/local.h"

BUF_STATIC_TEXT(heartbeat_text, SSE_HEARTBEAT);
BUF_STATIC_TEXT(event_head_text, "event: message\ndata: ");
BUF_STATIC_TEXT(event_end_text, SSE_EVENT_END);

bool
events_open(struct exchange *ex, struct text extra)
{
    struct worker *w = ex->worker;
    enum http1_framing framing;
    struct span head = heads_local(ex, 200, TEXT("text/event-stream"), -1, extra, &framing);

    if (!head.buf)
        return false;
    ex->status = 200;
    ex->first_ns = ex->client_ns = ring_now(w->ring);
    ex->reply_begun = true;
    exchange_set_phase(ex, PHASE_LOCAL);
    h1_send_head(ex->client, head, framing, 0, METHOD_GET);
    span_unref(head);
    stats_add(w->stats, STAT_local_replies, 1);
    exchange_open_stream(ex);
    return true;
}

void
events_send(struct exchange *ex, struct text json)
{
    h1_send_piece(ex->client, span_all(&event_head_text));
    if (!local_send_copy(ex->client, &ex->worker->slab, json.at, json.len)) {
        h1_abort(ex->client, CLOSE_NO_MEMORY);
        return;
    }
    h1_send_piece(ex->client, span_all(&event_end_text));
    ex->events++;
    ex->reply_bytes += json.len;
    ex->client_ns = ring_now(ex->worker->ring);
    stats_add(ex->worker->stats, STAT_events, 1);
}

void
events_tick(struct exchange *ex)
{
    uint64_t beat_ms = ex->worker->config->heartbeat, quiet_ms = exchange_age_ms(ex, ex->client_ns);

    if (!ex->is_stream || !ex->client || !beat_ms)
        return;
    if (quiet_ms >= beat_ms && !link_blocked(&ex->client->link)) {
        h1_send_piece(ex->client, span_all(&heartbeat_text));
        ex->client_ns = ring_now(ex->worker->ring);
        stats_add(ex->worker->stats, STAT_heartbeats, 1);
        quiet_ms = 0;
    }
    exchange_wake_in(ex, quiet_ms < beat_ms ? beat_ms - quiet_ms : beat_ms);
}
