/* SPDX-License-Identifier: Apache-2.0 */
/* The splice plan's other half: the reply. The request, the timer and the ends that come from the client are
 * in splice.c. */
#include "gate/splice_sides.h"

#include "gate/heads.h"
#include "gate/pace.h"
#include "gate/splice_behind.h"
#include "gate/traffic.h"
#include "gate/ws_relay.h"

BUF_STATIC_TEXT(event_head_text, "event: message\ndata: ");
BUF_STATIC_TEXT(event_line_text, "\ndata: ");
BUF_STATIC_TEXT(event_end_text, "\n\n");

enum { INTERIMS_MAX = 16 };
enum { FAST_EVENTS = 256, FAST_EVENTS_PER_MS = 1, BUSY = 50 /* percent */ };

/* --- the reply --- */

/* How many events end in the run. */
static uint32_t
scan_events(struct exchange *ex, const struct h1_body *body)
{
    uint32_t events = 0;

    for (uint32_t i = 0; i < body->count; i++)
        events += exchange_scan_events(ex, body->data[i]);
    return events;
}

/* To acknowledge an event costs the kernel about as much as to receive it. But an upstream that leaves
 * Nagle's algorithm on (RFC 9293 3.7.4) may wait for that, 40 ms, until the kernel acknowledges each again.
 * So only a busy worker delays it, where events come fast, and when there are twice as many as the last time.
 * Where streams rest at their source (net/batch.h), a receive takes several anyway. */
static void
delay_acks(struct exchange *ex, uint32_t before)
{
    const struct worker *w = ex->worker;
    bool has_doubled = (ex->events ^ before) > before;

    if (has_doubled && w->load.percent > BUSY && !cfg_of_stream(w->config->batch_window, CFG_SSE) &&
        ex->events >= FAST_EVENTS && ex->events >= FAST_EVENTS_PER_MS * exchange_age_ms(ex, ex->first_ns))
        link_delay_acks(&ex->server->link);
}

void
splice_events_came(struct exchange *ex, uint32_t events)
{
    struct worker *w = ex->worker;
    uint32_t before = ex->events;

    ex->events += events;
    delay_acks(ex, before);
    stats_add(w->stats, STAT_events, events);
    stats_up_add(w->stats, ex->upstream->index, UPSTAT_up_events, events);
    traffic_received(w, LINK_UPSTREAM, TRANSPORT_SSE, events);
}

void
splice_events_passed(struct exchange *ex, uint32_t events)
{
    traffic_sent(ex->worker, LINK_CLIENT, TRANSPORT_SSE, events);
    pace_came(ex, events);
}

/* So many events have passed whole. */
static void
note_events(struct exchange *ex, uint32_t events)
{
    bool had_some = ex->events;

    if (!events)
        return;
    splice_events_came(ex, events);
    if (!ex->client)
        return;
    splice_events_passed(ex, events);
    if (had_some) /* else the first, which is waited for, and what is said with it */
        exchange_may_rest(ex, events);
}

/* `any_framing`: the head that went to the client promised no length (--early-stream). */
static bool
is_event_stream(const struct http1_head *head, bool any_framing)
{
    struct text type = http1_value(head, HTTP_CONTENT_TYPE), plain = TEXT("text/event-stream");

    if (type.len > plain.len && (type.at[plain.len] == ';' || type.at[plain.len] == ' '))
        type.len = plain.len;
    /* No heartbeat goes into a reply with an encoding or a length, so that is no stream of ours. */
    return text_eq_nocase(type, plain) && head->status == 200 && !http1_find(head, HTTP_CONTENT_ENCODING) &&
           (any_framing || head->framing == FRAMING_CHUNKED || head->framing == FRAMING_CLOSE);
}

static void
pass_interim(struct exchange *ex, const struct http1_head *head)
{
    enum http1_framing framing;
    struct span out;

    if (head->status == 100 || !ex->client || ex->client_minor_0 || ex->reply_begun)
        return;
    if (link_congested(&ex->client->link) ||
        ex->interims == INTERIMS_MAX) /* nothing would stop a flood of them */
        return;
    ex->interims++;
    out = heads_reply(ex, head, &framing);
    if (!out.buf)
        return;
    h1_send_interim(ex->client, out);
    span_unref(out);
}

/* The reply's head after --early-stream: its content becomes one event, a stream goes on as it is. */
static void
pass_head_early(struct exchange *ex, const struct http1_head *head)
{
    bool is_empty = head->framing == FRAMING_NONE || (head->framing == FRAMING_LENGTH && !head->length);
    struct text type = http1_value(head, HTTP_CONTENT_TYPE), json = TEXT("application/json");

    if (is_event_stream(head, true)) {
        ex->early = false;
    } else if (type.len >= json.len && text_eq_nocase((struct text){type.at, json.len}, json) &&
               !http1_find(head, HTTP_CONTENT_ENCODING)) {
        h1_send_piece(ex->client, span_all(&event_head_text));
    } else if (!is_empty) { /* an error page, say: no client could read it as an event */
        exchange_set_phase(ex, PHASE_REPLY);
        exchange_fail(ex, CLOSE_BAD_REPLY);
    }
}

void
splice_reply_head(struct exchange *ex, const struct http1_head *head)
{
    enum http1_framing framing;
    struct span out;

    if (head->status < 200 && head->status != 101) {
        pass_interim(ex, head);
        return;
    }
    ex->first_ns = ex->active_ns;
    if (!ex->client) {
        ex->status = head->status;
        return;
    }
    if (ex->early) {
        pass_head_early(ex, head);
        return;
    }
    if (head->status == 101 && (!ex->asks_upgrade || ex->client->state != H1_WAIT)) {
        exchange_fail(ex, CLOSE_UPGRADE_REFUSED);
        return;
    }
    if (head->status == 101 && ex->upstream->cfg->is_ws && !ws_relay_is_ws(head)) {
        exchange_fail(ex, CLOSE_WS_HANDSHAKE);
        return;
    }
    ex->status = head->status;
    if (is_event_stream(head, false))
        exchange_open_stream(ex);
    out = heads_reply(ex, head, &framing);
    if (!out.buf) {
        exchange_fail(ex, CLOSE_NO_MEMORY);
        return;
    }
    ex->reply_begun = true;
    if (framing == FRAMING_TUNNEL) {
        ex->is_tunnel = true;
        ex->server->tx = FRAMING_TUNNEL; /* whatever framed the request's body */
        stats_add(ex->worker->stats, STAT_tunnels_open, 1);
        if (!ws_relay_begin(ex, head)) {
            span_unref(out);
            exchange_fail(ex, CLOSE_NO_MEMORY);
            return;
        }
        exchange_watch_limits(ex);
    }
    h1_send_head(ex->client, out, framing, head->length, METHOD_GET);
    span_unref(out);
}

/* JSON after --early-stream: every line of it is a data line of the one event. */
static void
pass_early_body(struct exchange *ex, const struct h1_body *body)
{
    for (uint32_t i = 0; i < body->count; i++) {
        struct span rest = body->data[i];

        while (rest.len) {
            const char *at = (const char *)span_data(rest), *lf = memchr(at, '\n', rest.len);
            uint32_t n = lf ? (uint32_t)(lf - at) : rest.len;

            h1_send_piece(ex->client, span_head(rest, n));
            if (lf)
                h1_send_piece(ex->client, span_all(&event_line_text));
            rest = span_skip(rest, lf ? n + 1 : n);
        }
    }
}

void
splice_reply_body(struct exchange *ex, const struct h1_body *body)
{
    struct h1 *client = ex->client;

    if (client && behind_take(ex, body))
        return;
    if (ex->is_stream && !ex->early)
        note_events(ex, scan_events(ex, body));
    if (!client)
        return;
    ex->client_ns = ex->active_ns;
    exchange_list_stream(ex);
    if (is_ws_relay(ex) && !ws_relay_look(ex, false, body))
        return;
    if (ex->early)
        pass_early_body(ex, body);
    else
        h1_send_body(client, body);
    h1_read_large(ex->server, client);
    if (link_stops(&client->link, &ex->server->link) && !behind_may_choose(ex))
        exchange_pause_server(ex);
}

void
splice_reply_trailers(struct exchange *ex, struct text section)
{
    behind_catch_up(ex);
    if (ex->client && !ex->early)
        splice_send_trailers(ex->client, section, ex);
}

void
splice_reply_end(struct exchange *ex)
{
    if (ex->client && ex->client->user == ex && !ex->client->tx_done) {
        behind_catch_up(ex);
        if (ex->early)
            h1_send_piece(ex->client, span_all(&event_end_text));
        h1_send_end(ex->client, NULL);
    }
    exchange_finish(ex, ex->orphan ? CLOSE_CLIENT_GONE : CLOSE_DONE);
}
