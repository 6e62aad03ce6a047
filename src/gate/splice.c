/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The splice plan: one upstream, and bytes pass as they are. Of a stream only the chunk framing and the
 * comments between events are ours; event boundaries are tracked all the same, for heartbeats, the count and
 * the jitter.
 *
 * While the head of the reply is awaited, --early-stream may commit 200 and SSE; a JSON reply or an error
 * that comes after that leaves as one event.
 */
#include "gate/splice.h"

#include "gate/heads.h"
#include "gate/local.h"
#include "proto/jsonrpc.h"

BUF_STATIC_TEXT(heartbeat_text, SSE_HEARTBEAT);
BUF_STATIC_TEXT(processing_text, "HTTP/1.1 102 Processing\r\n\r\n");
BUF_STATIC_TEXT(event_head_text, "event: message\ndata: ");
BUF_STATIC_TEXT(event_line_text, "\ndata: ");
BUF_STATIC_TEXT(event_end_text, "\n\n");

enum { INTERIMS_MAX = 16 };

/* --- the request --- */

/* What is worth knowing of a body that is here whole: the id for errors, the method and revision. */
static void
scan_body(struct exchange *ex, const struct h1_body *body)
{
    struct jsonrpc_envelope env;
    enum jsonrpc_fault fault;
    struct text json;
    bool is_request;

    json = (struct text){(const char *)span_data(body->data[0]), body->data[0].len};
    fault = jsonrpc_scan(json, JSON_SCAN_FAST, &env);
    if (fault == JSONRPC_FAULT_FINE && env.method.len)
        ex->mcp = (uint8_t)mcp_method_of(env.method);
    is_request = fault == JSONRPC_FAULT_FINE ? env.kind == JSONRPC_REQUEST : fault == JSONRPC_FAULT_TRUNCATED;
    /* Of a piece the id counts only when it does not end with the piece. */
    if (is_request && env.id.len && env.id.len <= EXCHANGE_ID_MAX &&
        env.id.at + env.id.len < json.at + json.len) {
        memcpy(ex->id, env.id.at, env.id.len);
        ex->id_len = (uint8_t)env.id.len;
    }
}

static void
splice_body(struct exchange *ex, const struct h1_body *body)
{
    bool first = ex->body_bytes == 0;
    const struct config *c = ex->worker->config;

    ex->client_ns = ring_now(ex->worker->ring);
    ex->body_bytes += body->bytes;
    if (ex->is_mcp && c->max_body && ex->body_bytes > c->max_body) {
        exchange_fail(ex, CLOSE_BODY_TOO_LARGE);
        return;
    }
    if (first && ex->is_mcp)
        scan_body(ex, body);
    if (ex->failed) {
        exchange_fail(ex, (enum close_reason)ex->failed);
        return;
    }
    if (!ex->server)
        return;
    h1_send_body(ex->server, body);
    if (link_congested(&ex->server->link) && !ex->client_paused) {
        ex->client_paused = true;
        h1_pause(ex->client);
    }
}

static void
send_trailers(struct h1 *to, struct text section, struct exchange *ex)
{
    struct http1_head *fields = &ex->worker->h1.head;
    struct buf *b;
    struct span lines;

    if (to->tx != FRAMING_CHUNKED || http1_parse_trailers(section.at, section.len, fields) != PARSE_OK ||
        !(b = slab_get(&ex->worker->slab, section.len)))
        return;
    lines = span_of(b, 0, 0);
    for (unsigned i = 0; i < fields->count; i++) {
        const struct http_header *h = &fields->headers[i];
        uint32_t n = (uint32_t)(h->value + h->value_len - h->name);

        if (h->drop)
            continue;
        memcpy(b->data + lines.len, h->name, n);
        memcpy(b->data + lines.len + n, "\r\n", 2);
        lines.len += n + 2;
    }
    h1_send_end(to, &lines);
    buf_unref(b);
}

static void
splice_trailers(struct exchange *ex, struct text section)
{
    if (ex->server)
        send_trailers(ex->server, section, ex);
}

static void
splice_end(struct exchange *ex)
{
    ex->request_whole = true;
    ex->client_ns = ring_now(ex->worker->ring);
    if (ex->failed) {
        exchange_fail(ex, (enum close_reason)ex->failed);
        return;
    }
    if (ex->server && !ex->server->tx_done && !ex->is_tunnel)
        h1_send_end(ex->server, NULL);
}

static void
splice_writable(struct exchange *ex)
{
    if (ex->server_paused && ex->server) {
        ex->server_paused = false;
        ex->active_ns = ring_now(ex->worker->ring);
        h1_resume(ex->server);
    }
}

/* A call of an older revision goes on without its client (mcp-wire 5, behaviour 16); everything else ends
 * with it. */
static bool
outlives_client(const struct exchange *ex)
{
    return ex->is_mcp && ex->method == METHOD_POST &&
           !mcp_revision_is_modern((enum mcp_revision)ex->revision) && ex->request_whole && ex->server &&
           ex->worker->config->orphan_timeout;
}

static void
splice_client_gone(struct exchange *ex, enum close_reason reason)
{
    if (!outlives_client(ex)) {
        exchange_finish(ex, reason);
        return;
    }
    ex->orphan = true;
    ex->client_ns = ring_now(ex->worker->ring);
    if (ex->server_paused)
        splice_writable(ex);
    exchange_wake_in(ex, ex->worker->config->orphan_timeout);
}

/* --- the timer --- */

static bool
heartbeat_allowed(const struct exchange *ex)
{
    return ex->client && ex->is_stream && exchange_between_events(ex) && ex->client->tx == FRAMING_CHUNKED &&
           !link_blocked(&ex->client->link);
}

static void
send_heartbeat(struct exchange *ex)
{
    h1_send_piece(ex->client, span_all(&heartbeat_text));
    ex->client_ns = ring_now(ex->worker->ring);
    stats_add(ex->worker->stats, STAT_heartbeats, 1);
}

static void
commit_early(struct exchange *ex)
{
    enum http1_framing framing;
    struct span head = heads_local(ex, 200, TEXT("text/event-stream"), -1, (struct text){0}, &framing);

    if (!head.buf)
        return;
    ex->early = ex->reply_begun = true;
    ex->status = 200;
    h1_send_head(ex->client, head, framing, 0, METHOD_GET);
    span_unref(head);
    exchange_open_stream(ex);
}

static void
list_stream(struct exchange *ex)
{
    if (ex->stream_row >= 0 && ex->client)
        stats_stream_update(ex->worker->stats, ex->stream_row, ex->events, ex->reply_bytes,
                            link_queued(&ex->client->link), ring_now(ex->worker->ring));
}

/* A GET stream stands until one side ends it: in order, between two events. Finishes when it can. */
static bool
end_standing_stream(struct exchange *ex)
{
    if (!ex->client || !ex->is_stream || ex->method != METHOD_GET || !sse_scan_at_boundary(&ex->scan) ||
        ex->client->tx != FRAMING_CHUNKED)
        return false;
    ex->client->keep_alive = false;
    h1_send_end(ex->client, NULL);
    exchange_finish(ex, CLOSE_DRAIN);
    return true;
}

static void
splice_tick(struct exchange *ex)
{
    const struct config *c = ex->worker->config;
    uint64_t quiet_ms;

    if (exchange_check_limits(ex) || (ex->worker->draining && end_standing_stream(ex)))
        return;
    if (c->early_stream && !ex->reply_begun && ex->is_mcp && ex->accepts_sse && ex->client &&
        !ex->client_minor_0) {
        uint64_t age_ms = exchange_age_ms(ex, ex->begun_ns);

        if (age_ms >= c->early_stream)
            commit_early(ex);
        else
            exchange_wake_in(ex, c->early_stream - age_ms);
    }
    if (!c->heartbeat || !ex->is_stream || !ex->client)
        return;
    quiet_ms = exchange_age_ms(ex, ex->client_ns);
    if (quiet_ms >= c->heartbeat && heartbeat_allowed(ex)) {
        send_heartbeat(ex);
        quiet_ms = 0;
    }
    exchange_wake_in(ex, quiet_ms < c->heartbeat ? c->heartbeat - quiet_ms : c->heartbeat);
    list_stream(ex);
}

static void
splice_stop(struct exchange *ex, bool at_once)
{
    if (!end_standing_stream(ex) && at_once)
        exchange_fail(ex, CLOSE_DRAIN);
}

static const struct plan splice_plan = {
    .name = "splice",
    .body = splice_body,
    .trailers = splice_trailers,
    .end = splice_end,
    .writable = splice_writable,
    .client_gone = splice_client_gone,
    .tick = splice_tick,
    .stop = splice_stop,
};

/* --- the start --- */

static void
on_timer(struct ring *ring, struct timer *timer)
{
    struct exchange *ex = container_of(timer, struct exchange, timer);

    (void)ring;
    ex->plan->tick(ex);
}

void
splice_start(struct exchange *ex, const struct http1_head *head)
{
    splice_start_at(ex, head, upstream_choose(ex->upstream));
}

/* No connection is to be had. An MCP client wants the error with its id, so the body's first bytes are
 * awaited; they are most likely here already. */
static void
refuse(struct exchange *ex, const struct http1_head *head, enum close_reason reason)
{
    if (!ex->is_mcp || head->framing == FRAMING_NONE || head->expect_continue) {
        exchange_fail(ex, reason);
        return;
    }
    ex->failed = (uint8_t)reason;
    exchange_watch_limits(ex);
}

void
splice_start_at(struct exchange *ex, const struct http1_head *head, struct endpoint *ep)
{
    const struct config *c = ex->worker->config;
    enum close_reason reason;
    struct span out;

    ex->plan = &splice_plan;
    ex->timer.fire = on_timer;
    reason = ep ? upstream_take(ex, ep) : CLOSE_NO_ENDPOINT;
    if (reason != CLOSE_NONE) {
        refuse(ex, head, reason);
        return;
    }
    out = heads_request(ex, head, ep);
    if (!out.buf) {
        exchange_fail(ex, CLOSE_NO_MEMORY);
        return;
    }
    h1_send_head(ex->server, out, (enum http1_framing)head->framing, head->length,
                 (enum http_method)head->method);
    span_unref(out);
    if (head->expect_continue)
        h1_send_continue(ex->client);
    ex->expects_100 = false;
    ex->asks_upgrade = head->upgrade && ex->upstream->cfg->is_route;
    exchange_watch_limits(ex);
    if (c->early_stream && ex->is_mcp)
        exchange_wake_in(ex, c->early_stream);
}

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
    list_stream(ex);
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
        send_trailers(ex->client, section, ex);
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

/* One end of a tunnel is through: the other hears of it when all that came before has left, and may go on. */
static void
end_tunnel_side(struct exchange *ex, struct h1 *other)
{
    if (!ex->client->peer_ended || !ex->server->peer_ended) {
        link_end_sending(&other->link);
        return;
    }
    h1_close(ex->client, CLOSE_DONE);
    h1_close(ex->server, CLOSE_DONE);
    exchange_finish(ex, CLOSE_DONE);
}

/* Only a tunnel comes here. */
static void
on_server_peer_end(struct h1 *server)
{
    struct exchange *ex = server->user;

    if (ex && ex->is_tunnel && ex->client)
        end_tunnel_side(ex, ex->client);
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

void
splice_probe_client(struct exchange *ex)
{
    if (ex->is_tunnel) {
        end_tunnel_side(ex, ex->server);
    } else if (heartbeat_allowed(ex)) {
        send_heartbeat(ex);
    } else if (!ex->reply_begun && !ex->client_minor_0) {
        h1_send_interim(ex->client, span_all(&processing_text));
    }
}
