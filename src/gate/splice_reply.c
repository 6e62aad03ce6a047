/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The splice plan's other half: what comes from the upstream, and what becomes of its connection. The
 * request, the timer and the ends that come from the client are in splice.c.
 */
#include "gate/splice_sides.h"

#include "gate/heads.h"

BUF_STATIC_TEXT(event_head_text, "event: message\ndata: ");
BUF_STATIC_TEXT(event_line_text, "\ndata: ");
BUF_STATIC_TEXT(event_end_text, "\n\n");

enum { INTERIMS_MAX = 16 };

/* --- the reply --- */

/* One event, or a part of one, has passed. */
static void
note_events(struct exchange *ex, uint32_t events)
{
    struct worker *w = ex->worker;
    uint64_t now = ring_now(w->ring);

    if (!events)
        return;
    ex->events += events;
    stats_add(w->stats, STAT_events, events);
    stats_up_add(w->stats, ex->upstream->index, UPSTAT_up_events, events);
    if (ex->event_ns) {
        uint64_t gap_us = (now - ex->event_ns) / 1000;

        if (ex->has_gap) {
            uint64_t jitter = gap_us > ex->gap_us ? gap_us - ex->gap_us : ex->gap_us - gap_us;

            stats_observe(w->stats, HIST_event_jitter, jitter * 1000);
            stats_up_observe(w->stats, ex->upstream->index, UPHIST_up_jitter, jitter * 1000);
        }
        ex->gap_us = gap_us < UINT32_MAX ? (uint32_t)gap_us : UINT32_MAX;
        ex->has_gap = true;
    }
    ex->event_ns = now;
}

static void
note_first_byte(struct exchange *ex)
{
    struct worker *w = ex->worker;

    ex->first_ns = ring_now(w->ring);
    stats_up_observe(w->stats, ex->upstream->index, UPHIST_up_first_byte, ex->first_ns - ex->phase_ns);
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
        ex->interims++ == INTERIMS_MAX) /* nothing would stop a flood of them */
        return;
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

static void
on_reply_head(struct h1 *server, const struct http1_head *head)
{
    struct exchange *ex = server->user;
    enum http1_framing framing;
    struct span out;

    ex->active_ns = ring_now(ex->worker->ring);
    if (head->status < 200 && head->status != 101) {
        pass_interim(ex, head);
        return;
    }
    upstream_note_reply(server->owner, head);
    note_first_byte(ex);
    exchange_set_phase(ex, PHASE_BODY);
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
        server->tx = FRAMING_TUNNEL; /* whatever framed the request's body */
        stats_add(ex->worker->stats, STAT_tunnels_open, 1);
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

static void
on_reply_body(struct h1 *server, const struct h1_body *body)
{
    struct exchange *ex = server->user;
    struct h1 *client = ex->client;

    ex->active_ns = ring_now(ex->worker->ring);
    ex->reply_bytes += body->bytes;
    if (ex->is_stream && !ex->early)
        for (uint32_t i = 0; i < body->count; i++)
            note_events(ex, sse_scan(&ex->scan, (const char *)span_data(body->data[i]), body->data[i].len));
    if (!client)
        return;
    ex->client_ns = ex->active_ns;
    splice_list_stream(ex);
    if (ex->early)
        pass_early_body(ex, body);
    else
        h1_send_body(client, body);
    if (link_congested(&client->link) && !ex->server_paused) {
        ex->server_paused = true;
        h1_pause(server);
    }
}

static void
on_reply_trailers(struct h1 *server, struct text section)
{
    struct exchange *ex = server->user;

    if (ex->client && !ex->early)
        splice_send_trailers(ex->client, section, ex);
}

/* The reply is whole. h1 tells in on_idle, right after this, whether the connection may be used again. */
static void
on_reply_end(struct h1 *server)
{
    struct exchange *ex = server->user;

    if (!ex->client)
        return;
    if (ex->early)
        h1_send_piece(ex->client, span_all(&event_end_text));
}

static void
on_server_idle(struct h1 *server, bool reusable)
{
    struct exchange *ex = server->user;

    if (!ex)
        return;
    upstream_give(ex, reusable, false); /* first: a pipelined request may want it */
    if (ex->client && ex->client->user == ex && !ex->client->tx_done)
        h1_send_end(ex->client, NULL);
    exchange_finish(ex, ex->orphan ? CLOSE_CLIENT_GONE : CLOSE_DONE);
}

/* --- the upstream's connection --- */

static enum close_reason
reason_here(const struct exchange *ex, enum close_reason reason)
{
    return ex->upstream->is_home ? CLOSE_HOME_GONE : reason;
}

static void
on_server_connected(struct h1 *server, int error)
{
    struct exchange *ex = server->user;
    struct worker *w;

    if (!ex) {
        h1_abort(server, CLOSE_DONE);
        return;
    }
    w = ex->worker;
    if (!error) {
        exchange_set_phase(ex, PHASE_REPLY);
        return;
    }
    stats_up_add(w->stats, ex->upstream->index, UPSTAT_up_connect_errors, 1);
    if (upstream_retry(ex))
        return;
    upstream_give(ex, false, true);
    exchange_fail(ex, reason_here(ex, CLOSE_CONNECT_FAILED));
}

static void
server_failed(struct exchange *ex, enum close_reason reason)
{
    if (ex->is_tunnel) {
        if (ex->client)
            h1_close(ex->client, CLOSE_DONE);
        exchange_finish(ex, CLOSE_DONE);
        return;
    }
    if (ex->phase == PHASE_REPLY && upstream_retry(ex))
        return;
    upstream_give(ex, false, ex->phase != PHASE_BODY);
    exchange_fail(ex, reason_here(ex, reason));
}

static void
on_server_bad(struct h1 *server, enum close_reason reason)
{
    struct exchange *ex = server->user;

    if (!ex) {
        h1_abort(server, reason);
        return;
    }
    server_failed(ex, reason == CLOSE_UPSTREAM_GONE ? reason : CLOSE_BAD_REPLY);
}

static void
on_server_broken(struct h1 *server, enum close_reason reason)
{
    if (server->user)
        server_failed(server->user, reason);
}

static void
on_server_writable(struct h1 *server)
{
    struct exchange *ex = server->user;

    if (ex && ex->client_paused && ex->client) {
        ex->client_paused = false;
        ex->client_ns = ring_now(ex->worker->ring);
        h1_resume(ex->client);
    }
}

/* Only a tunnel comes here. */
static void
on_server_peer_end(struct h1 *server)
{
    struct exchange *ex = server->user;

    if (ex && ex->is_tunnel && ex->client)
        splice_end_tunnel_side(ex, ex->client);
    else if (ex)
        server_failed(ex, CLOSE_UPSTREAM_GONE);
}

static void
on_server_closed(struct h1 *server, enum close_reason reason)
{
    if (server->user) /* aborted for lack of memory, which breaks no connection */
        server_failed(server->user, reason);
    upstream_closed(server);
}

const struct h1_up server_up = {
    .on_head = on_reply_head,
    .on_body = on_reply_body,
    .on_trailers = on_reply_trailers,
    .on_end = on_reply_end,
    .on_bad = on_server_bad,
    .on_writable = on_server_writable,
    .on_connected = on_server_connected,
    .on_peer_end = on_server_peer_end,
    .on_broken = on_server_broken,
    .on_closed = on_server_closed,
    .on_idle = on_server_idle,
};
