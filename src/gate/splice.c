/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The splice plan: one upstream, and bytes pass as they are. The request's half: start, timer, and the
 * client's end; splice_reply.c has the upstream's. Of a stream only the chunk framing and the comments
 * between events are ours; event boundaries are tracked all the same, for heartbeats, the count and the
 * jitter.
 *
 * While the head of the reply is awaited, --early-stream may commit 200 and SSE; a JSON reply or an error
 * that comes after that leaves as one event.
 */
#include "gate/splice_sides.h"

#include "gate/envelope.h"
#include "gate/heads.h"
#include "gate/local.h"
#include "gate/splice_behind.h"
#include "gate/ws_relay.h"

BUF_STATIC_TEXT(heartbeat_text, SSE_HEARTBEAT);
BUF_STATIC_TEXT(processing_text, "HTTP/1.1 102 Processing\r\n\r\n");

/* --- the request --- */

static void
splice_body(struct exchange *ex, const struct h1_body *body)
{
    bool first = ex->body_bytes == 0;
    const struct config *c = ex->worker->config;

    ex->asked_ns = ring_now(ex->worker->ring);
    ex->body_bytes += body->bytes;
    if (ex->is_mcp && c->max_body && ex->body_bytes > c->max_body) {
        exchange_fail(ex, CLOSE_BODY_TOO_LARGE);
        return;
    }
    if (first && ex->is_mcp && !envelope_check(ex, body))
        return;
    if (ex->failed) {
        exchange_fail(ex, (enum close_reason)ex->failed);
        return;
    }
    if (!ex->server || (is_ws_relay(ex) && !ws_relay_look(ex, true, body)))
        return;
    h1_send_body(ex->server, body);
    h1_read_large(ex->client, ex->server);
    if (link_stops(&ex->server->link, &ex->client->link))
        exchange_pause_client(ex);
}

void
splice_send_trailers(struct h1 *to, struct text section, struct exchange *ex)
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
        splice_send_trailers(ex->server, section, ex);
}

static void
splice_end(struct exchange *ex)
{
    ex->request_whole = true;
    ex->asked_ns = ring_now(ex->worker->ring);
    if (ex->failed) {
        exchange_fail(ex, (enum close_reason)ex->failed);
        return;
    }
    if (ex->server && !ex->server->tx_done && !ex->is_tunnel)
        h1_send_end(ex->server, NULL);
}

/* Before its reply begins an upstream is not stopped: what is stuck is the reply before. */
static void
splice_congested(struct exchange *ex)
{
    if (ex->phase == PHASE_BODY && !behind_may_choose(ex))
        exchange_pause_server(ex);
}

static void
splice_writable(struct exchange *ex)
{
    behind_catch_up(ex);
    exchange_resume_server(ex);
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
    if (is_ws_relay(ex)) {
        ws_relay_client_gone(ex, reason);
        return;
    }
    if (!outlives_client(ex)) {
        exchange_finish(ex, reason);
        return;
    }
    ex->orphan = true;
    behind_free(ex);
    ex->asked_ns = ring_now(ex->worker->ring);
    if (ex->server_paused)
        exchange_resume_server(ex);
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

/* A GET stream stands until one side ends it: in order, between two events. Finishes when it can. */
static bool
end_standing_stream(struct exchange *ex)
{
    if (!ex->client || !ex->is_stream || ex->method != METHOD_GET || !sse_scan_at_boundary(&ex->scan) ||
        ex->client->tx != FRAMING_CHUNKED)
        return false;
    behind_catch_up(ex);
    exchange_end_reply(ex, CLOSE_DRAIN);
    return true;
}

static void
splice_tick(struct exchange *ex)
{
    const struct config *c = ex->worker->config;
    uint64_t quiet_ms;

    if (exchange_check_limits(ex) || (ex->worker->draining && end_standing_stream(ex)) ||
        (is_ws_relay(ex) && !ws_relay_tick(ex)))
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
    exchange_list_stream(ex);
}

static void
splice_stop(struct exchange *ex, bool at_once)
{
    if (end_standing_stream(ex) || !at_once)
        return;
    if (is_ws_relay(ex))
        ws_relay_stop(ex);
    else
        exchange_fail(ex, CLOSE_DRAIN);
}

void
splice_probe_client(struct exchange *ex)
{
    if (is_ws_relay(ex)) { /* half a WebSocket is none */
        ws_relay_client_gone(ex, CLOSE_CLIENT_GONE);
    } else if (ex->is_tunnel) {
        server_end_tunnel(ex, ex->server);
    } else if (heartbeat_allowed(ex)) {
        send_heartbeat(ex);
    } else if (!ex->reply_begun && !ex->client_minor_0) {
        h1_send_interim(ex->client, span_all(&processing_text));
    }
}

static bool
splice_fail_stream(struct exchange *ex, enum close_reason reason)
{
    (void)reason;
    behind_cut(ex);
    return false;
}

static void
splice_release(struct exchange *ex, enum close_reason reason)
{
    (void)reason;
    behind_free(ex);
    ws_relay_free(ex);
}

static const struct plan splice_plan = {
    .name = "splice",
    .body = splice_body,
    .trailers = splice_trailers,
    .end = splice_end,
    .congested = splice_congested,
    .writable = splice_writable,
    .client_gone = splice_client_gone,
    .tick = splice_tick,
    .stop = splice_stop,
    .fail_stream = splice_fail_stream,
    .release = splice_release,
    .reply_head = splice_reply_head,
    .reply_body = splice_reply_body,
    .reply_trailers = splice_reply_trailers,
    .reply_end = splice_reply_end,
};

/* --- the start --- */

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
    if (ex->is_mcp && !ex->fields && ex->method == METHOD_POST && !envelope_keep_fields(ex, head)) {
        exchange_fail(ex, CLOSE_NO_MEMORY);
        return;
    }
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
