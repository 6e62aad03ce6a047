/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MCP over WebSocket towards clients: a GET of /ws or /ws/NAME is upgraded (RFC 6455 section 4.2), and from
 * then on each WebSocket message is one JSON-RPC message, with the rules of stdio: any number of requests are
 * open at a time, cancellation is a notification, a client of 2026-07-28 needs no header fields.
 *
 *      client  --frames-->  parser  --message-->  part: an exchange without a client  --> upstreams
 *              <--frames--  bridged_ws_say()  <--  its reply, and what is said before it
 *
 * The connection is the session of a client before 2026-07-28 (session->is_of_stream): it begins and ends
 * with it, and so does all that is open on it, for clients of every revision.
 */
#include "gate/bridged.h"
#include "gate/compress.h"
#include "gate/events.h"
#include "gate/heads.h"
#include "gate/local.h"
#include "gate/traffic.h"
#include "gate/ws_coding.h"
#include "proto/ws.h"
#include "proto/ws_key.h"

#include <stdio.h>
#include <stdlib.h>

enum { HEAD_BYTES = 512, PARTS_MAX = 256 /* open on one connection */ };

/* A message shorter than that is not worth a context, and one kept for so long without use is given back. */
enum { DEFLATE_MIN = 128, DEFLATER_IDLE_MS = 5000 };

struct bridged_ws {
    struct ws_parser parser;
    struct held incoming;   /* a message that is not whole yet */
    struct held rest;       /* frames that were here already when the client was found not to read */
    struct list_node parts; /* struct bridged: the messages that are open */
    uint64_t heard_ns;      /* the client's last byte */
    char accept[WS_ACCEPT_CHARS];
    bool wants_mcp; /* the client offers the subprotocol */
    bool deflates;  /* permessage-deflate was agreed upon */
    struct ws_deflate_params deflate;
    struct ws_deflater *deflater; /* NULL: none now */
    uint64_t deflated_ns;         /* when it was used last */
    bool is_pinged, is_closing;
};

/* --- the handshake --- */

/* Why the handshake is refused; NULL: it is not. */
static const char *
fault_of(const struct http1_head *head, char accept[WS_ACCEPT_CHARS])
{
    if (!head->upgrade || !http_list_has(http1_value(head, HTTP_UPGRADE), TEXT("websocket")))
        return "this path wants an upgrade to WebSocket (RFC 6455)";
    if (!text_eq(http1_value(head, HTTP_SEC_WEBSOCKET_VERSION), TEXT("13")))
        return "Sec-WebSocket-Version must be 13";
    if (!ws_key_accept(http1_value(head, HTTP_SEC_WEBSOCKET_KEY), accept))
        return "Sec-WebSocket-Key must be 16 bytes in base64";
    return NULL;
}

static void
refuse(struct exchange *ex, const char *why)
{
    local_reply(ex, 426, TEXT("text/plain; charset=utf-8"),
                TEXT("Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"), why, (uint32_t)strlen(why),
                CLOSE_BAD_REQUEST);
}

void
bridging_open_ws(struct exchange *ex, const struct http1_head *head)
{
    uint8_t principal[MCP_TOKEN_PRINCIPAL_BYTES];
    char accept[WS_ACCEPT_CHARS];
    const char *why = fault_of(head, accept);
    enum close_reason reason;
    struct session *s;
    struct bridged *b;

    if (why) {
        refuse(ex, why);
        return;
    }
    session_principal(ex->worker, head, principal);
    s = session_create(ex->worker, MCP_2025_03_26, MCP_TOKEN_OF_STREAM, principal, &reason);
    if (!s) {
        local_error(ex, reason, (struct text){0});
        return;
    }
    b = bridged_begin(ex, head, s);
    if (!b)
        return;
    b->ws = calloc(1, sizeof *b->ws);
    if (!b->ws) {
        exchange_fail(ex, CLOSE_NO_MEMORY);
        return;
    }
    b->ws->deflates = ex->worker->config->ws_deflate &&
                      ws_deflate_negotiate(http1_value(head, HTTP_SEC_WEBSOCKET_EXTENSIONS), &b->ws->deflate);
    ws_parser_init(&b->ws->parser, true, b->ws->deflates, ex->worker->config->ws_max_message);
    list_init(&b->ws->parts);
    memcpy(b->ws->accept, accept, WS_ACCEPT_CHARS);
    b->ws->wants_mcp = http_list_has(http1_value(head, HTTP_SEC_WEBSOCKET_PROTOCOL), TEXT("mcp"));
    b->is_standing = true;
    b->bridge.client = MCP_2025_03_26;
    ex->accepts_sse = true;
    ex->priority = PRIORITY_LOW; /* of what is said unasked */
    s->stream = ex;
}

void
bridged_ws_open(struct bridged *b)
{
    struct exchange *ex = b->ex;
    struct buf *head = slab_get(&ex->worker->slab, HEAD_BYTES);
    char extension[WS_DEFLATE_REPLY_MAX];
    uint32_t named = b->ws->deflates ? ws_deflate_reply(&b->ws->deflate, extension) : 0;
    int n;

    if (!head) {
        exchange_fail(ex, CLOSE_NO_MEMORY);
        return;
    }
    n = snprintf((char *)head->data, head->size,
                 "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                 "Sec-WebSocket-Accept: %.*s\r\n%s%s%.*s%s\r\n",
                 WS_ACCEPT_CHARS, b->ws->accept, b->ws->wants_mcp ? "Sec-WebSocket-Protocol: mcp\r\n" : "",
                 named ? "Sec-WebSocket-Extensions: " : "", (int)named, extension, named ? "\r\n" : "");
    ex->status = 101;
    ex->first_ns = ex->client_ns = b->ws->heard_ns = ring_now(ex->worker->ring);
    ex->reply_begun = ex->is_ws = true;
    exchange_set_phase(ex, PHASE_LOCAL);
    exchange_open_stream(ex);
    h1_send_head(ex->client, span_of(head, 0, (uint32_t)n), FRAMING_TUNNEL, 0, METHOD_GET);
    /* What the kernel has been given nothing can overtake. */
    ring_set_notsent_lowat(ex->worker->ring, ex->client->link.fd, ex->worker->net.high_mark);
    buf_unref(head);
    exchange_wake_in(ex, ex->worker->config->ws_ping ? ex->worker->config->ws_ping : UINT32_MAX);
}

/* --- what is compressed --- */

static void
drop_deflater(struct bridged *b)
{
    if (!b->ws->deflater)
        return;
    ws_deflater_free(b->ws->deflater);
    b->ws->deflater = NULL;
    compress_give_context(b->worker);
    stats_sub(b->worker->stats, STAT_ws_deflaters, 1);
}

static struct ws_deflater *
deflater_of(struct bridged *b)
{
    if (b->ws->deflater || !ws_coding_of(b->worker) || !compress_take_context(b->worker))
        return b->ws->deflater;
    b->ws->deflater = ws_deflater_new(&b->ws->deflate);
    if (b->ws->deflater)
        stats_add(b->worker->stats, STAT_ws_deflaters, 1);
    else
        compress_give_context(b->worker);
    return b->ws->deflater;
}

/* The message made small, in the scratch; at NULL: it leaves as it is. */
static struct text
deflated(struct bridged *b, const struct text *pieces, unsigned count, uint64_t bytes)
{
    struct ws_to_held to;
    struct ws_deflater *d;
    struct held *left;

    if (!b->ws->deflates || bytes < DEFLATE_MIN || !(d = deflater_of(b)))
        return (struct text){NULL, 0};
    left = &b->worker->ws->left;
    to = ws_to_held(b->worker, left);
    b->ws->deflated_ns = ring_now(b->worker->ring);
    exchange_wake_in(b->ex, DEFLATER_IDLE_MS);
    if (ws_deflater_message(d, pieces, count, &to.out) == WS_DEFLATE_FINE) {
        stats_add(b->worker->stats, STAT_compress_in, bytes);
        stats_add(b->worker->stats, STAT_compress_out, left->len);
        return held_text(left);
    }
    drop_deflater(b);
    return (struct text){NULL, 0};
}

/* What is compressed with what came before it as a context has to leave in the order in which it was
 * compressed. So then there are two lanes: one of what is urgent enough to leave as it is, and one of all
 * else. */
static bool
has_one_order(const struct bridged *b)
{
    return b->ws->deflates && !b->ws->deflate.no_takeover;
}

static void
put_frame(struct exchange *ex, bool is_deflated, const struct text *pieces, unsigned count, uint64_t bytes)
{
    struct slab *slab = &ex->worker->slab;
    uint8_t head[WS_HEAD_MAX];
    bool ok = local_send_copy(ex->client, slab, (const char *)head,
                              ws_write_head(head, WS_TEXT, true, is_deflated, bytes, NULL));

    for (unsigned i = 0; i < count && ok; i++)
        ok = !pieces[i].len || local_send_copy(ex->client, slab, pieces[i].at, pieces[i].len);
    if (!ok)
        h1_abort(ex->client, CLOSE_NO_MEMORY);
}

void
bridged_ws_say(struct bridged *b, enum priority priority, const struct text *pieces, unsigned count)
{
    struct exchange *ex = b->ex;
    struct text small = {0};
    uint64_t bytes = 0;

    for (unsigned i = 0; i < count; i++)
        bytes += pieces[i].len;
    if (has_one_order(b) && priority != PRIORITY_CRITICAL)
        priority = PRIORITY_NORMAL;
    if (!has_one_order(b) || priority != PRIORITY_CRITICAL)
        small = deflated(b, pieces, count, bytes);
    ex->client->lane = (uint8_t)priority;
    if (small.at)
        put_frame(ex, true, &small, 1, bytes = small.len);
    else
        put_frame(ex, false, pieces, count, bytes);
    link_end_message(&ex->client->link, priority);
    exchange_may_wait(ex, 1);
    ex->reply_bytes += bytes;
    ex->events++;
    ex->client_ns = ring_now(ex->worker->ring);
    events_note(ex);
}

/* --- the end --- */

static void
send_control(struct exchange *ex, enum priority lane, const uint8_t *frame, uint32_t n)
{
    ex->client->lane = (uint8_t)lane;
    if (!local_send_copy(ex->client, &ex->worker->slab, (const char *)frame, n))
        h1_abort(ex->client, CLOSE_NO_MEMORY);
    link_end_message(&ex->client->link, lane);
}

/* Says goodbye and ends the connection in order: what was queued leaves first. Finishes. */
static void
end(struct bridged *b, unsigned code, struct text why, enum close_reason reason)
{
    struct exchange *ex = b->ex;
    uint8_t frame[2 + WS_CONTROL_MAX];

    if (!b->ws->is_closing) {
        link_join_lanes(&ex->client->link);
        send_control(ex, PRIORITY_LOW, frame, ws_write_close(frame, code, why));
    }
    b->ws->is_closing = true;
    h1_close(ex->client, reason);
    exchange_finish(ex, reason);
}

void
bridged_ws_stop(struct bridged *b)
{
    end(b, WS_CLOSE_GOING_AWAY, TEXT("the gateway is shutting down or reloading: connect again"),
        CLOSE_DRAIN);
}

void
bridged_ws_free(struct bridged *b)
{
    struct list_node *node;

    while ((node = list_pop(&b->ws->parts))) {
        struct bridged *part = container_of(node, struct bridged, part);

        part->whole = NULL;
        exchange_finish(part->ex, CLOSE_STREAM_GONE);
    }
    drop_deflater(b);
    held_free(b->worker, &b->ws->incoming);
    held_free(b->worker, &b->ws->rest);
    free(b->ws);
    b->ws = NULL;
}

/* --- what comes --- */

static bool
is_congested(const struct bridged *b)
{
    return link_congested(&b->ex->client->link);
}

static bool
is_full(const struct bridged *ws)
{
    unsigned n = 0;

    list_for_each(node, &ws->ws->parts)
        n++;
    return n > PARTS_MAX;
}

void
bridged_ws_adopt(struct bridged *ws, struct bridged *part)
{
    part->whole = ws;
    list_add_tail(&ws->ws->parts, &part->part);
}

/* A request of 2026-07-28 says itself who its client is, and is no part of a session. */
bool
bridged_ws_accept(struct bridged *part)
{
    if (part->env->kind == JSONRPC_REQUEST && is_full(part->whole)) {
        bridged_refuse(part, CLOSE_SESSION_BUSY);
        return false;
    }
    if (part->env->meta_version.len) {
        session_release(part->session);
        part->session = NULL;
    } else {
        bridged_learn_client(part);
    }
    return true;
}

static bool
end_for_memory(struct bridged *b)
{
    end(b, WS_CLOSE_LATER, TEXT("the gateway's buffer memory is used up"), CLOSE_NO_MEMORY);
    return false;
}

/* A message of its own. False: the connection has ended. */
static bool
take(struct bridged *b, struct text message)
{
    struct bridged *part;

    if (b->worker->exchange_count >= b->worker->config->max_exchanges) {
        end(b, WS_CLOSE_LATER, TEXT("the gateway has no room for another message"), CLOSE_TOO_MANY_EXCHANGES);
        return false;
    }
    part = bridged_part(b, message);
    if (!part)
        return end_for_memory(b);
    stats_add(b->worker->stats, STAT_ws_messages, 1);
    traffic_received(b->worker, LINK_CLIENT, TRANSPORT_WS, 1);
    bridged_ws_adopt(b, part);
    bridged_take_message(part);
    return true;
}

/* A message that came compressed. */
static bool
take_deflated(struct bridged *b, struct text payload, bool is_text)
{
    struct ws_coding *c = ws_coding_of(b->worker);

    if (!c)
        return end_for_memory(b);
    switch (ws_inflate(b->worker, payload, b->worker->config->ws_max_message, &c->came)) {
    case WS_DEFLATE_FINE:
        break;
    case WS_DEFLATE_BAD:
        end(b, WS_CLOSE_INVALID, TEXT("the message is not what RFC 7692 deflates to"), CLOSE_WS_PROTOCOL);
        return false;
    case WS_DEFLATE_TOO_LARGE:
        end(b, WS_CLOSE_TOO_BIG, text_of(ws_fault_text(WS_FAULT_TOO_BIG)), CLOSE_WS_TOO_BIG);
        return false;
    case WS_DEFLATE_NO_ROOM:
        return end_for_memory(b);
    }
    if (is_text && !utf8_is_text(c->came.at, c->came.len)) {
        end(b, WS_CLOSE_INVALID, text_of(ws_fault_text(WS_FAULT_TEXT)), CLOSE_WS_PROTOCOL);
        return false;
    }
    return take(b, held_text(&c->came));
}

static bool
take_piece(struct bridged *b, const struct ws_event *e)
{
    struct held *incoming = &b->ws->incoming;
    bool goes_on;

    if (e->begins && e->ends)
        return e->is_compressed ? take_deflated(b, e->payload, e->opcode == WS_TEXT) : take(b, e->payload);
    if (e->begins)
        incoming->len = 0;
    if (e->payload.len && !held_append(b->worker, incoming, e->payload.at, e->payload.len))
        return end_for_memory(b);
    if (!e->ends)
        return true;
    goes_on = e->is_compressed ? take_deflated(b, held_text(incoming), e->opcode == WS_TEXT)
                               : take(b, held_text(incoming));
    if (goes_on)
        held_free(b->worker, incoming);
    return goes_on;
}

/* False: the connection has ended. */
static bool
take_event(struct bridged *b, const struct ws_event *e)
{
    uint8_t frame[2 + WS_CONTROL_MAX];

    switch ((enum ws_opcode)e->opcode) {
    case WS_PING:
        send_control(b->ex, PRIORITY_CRITICAL, frame, ws_write_control(frame, WS_PONG, e->payload));
        return true;
    case WS_PONG:
        return true;
    case WS_CLOSE: /* section 5.5.1: the same code back */
        end(b, e->code, (struct text){0}, CLOSE_DONE);
        return false;
    default:
        return take_piece(b, e);
    }
}

/* Takes frames until the client is found not to read what is said to it: returns how many bytes they had, or
 * UINT32_MAX: the connection has ended. */
static uint32_t
input(struct bridged *b, char *at, uint32_t len)
{
    enum parse_result result = PARSE_OK;
    uint32_t all = 0, used = 0;
    struct ws_event e;

    while (!is_congested(b) &&
           (result = ws_parser_next(&b->ws->parser, at + all, len - all, &used, &e)) == PARSE_OK) {
        all += used;
        if (!take_event(b, &e))
            return UINT32_MAX;
    }
    if (result == PARSE_BAD) {
        enum ws_fault fault = (enum ws_fault)b->ws->parser.fault;

        end(b, ws_fault_code(fault), text_of(ws_fault_text(fault)),
            fault == WS_FAULT_TOO_BIG ? CLOSE_WS_TOO_BIG : CLOSE_WS_PROTOCOL);
        return UINT32_MAX;
    }
    return result == PARSE_MORE ? len : all;
}

/* What must wait. False: the connection has ended. */
static bool
keep_rest(struct bridged *b, const char *at, uint32_t len)
{
    return !len || held_append(b->worker, &b->ws->rest, at, len) || end_for_memory(b);
}

void
bridged_ws_input(struct bridged *b, const struct h1_body *body)
{
    b->ws->heard_ns = ring_now(b->worker->ring);
    b->ws->is_pinged = false;
    for (uint32_t i = 0; i < body->count; i++) {
        char *at = (char *)span_data(body->data[i]);
        uint32_t len = body->data[i].len, used = b->ws->rest.len ? 0 : input(b, at, len);

        if (used == UINT32_MAX || !keep_rest(b, at + used, len - used))
            return;
    }
    if (b->ws->rest.len)
        exchange_pause_client(b->ex);
}

void
bridged_ws_writable(struct bridged *b)
{
    struct held *rest = &b->ws->rest;
    uint32_t used = rest->len ? input(b, rest->at, rest->len) : 0;

    if (used == UINT32_MAX)
        return;
    if (used < rest->len) { /* it is called again */
        memmove(rest->at, rest->at + used, rest->len -= used);
        return;
    }
    held_free(b->worker, rest);
    exchange_resume_client(b->ex);
}

/* Half a WebSocket is none. */
void
bridged_ws_peer_end(struct bridged *b)
{
    end(b, WS_CLOSE_NO_STATUS, (struct text){0}, CLOSE_CLIENT_GONE);
}

/* --- is anybody there? --- */

void
bridged_ws_tick(struct bridged *b)
{
    struct exchange *ex = b->ex;
    uint64_t every_ms = ex->worker->config->ws_ping, quiet_ms = exchange_age_ms(ex, b->ws->heard_ns);
    uint8_t frame[2 + WS_CONTROL_MAX];

    if (b->ws->deflater) {
        uint64_t unused_ms = exchange_age_ms(ex, b->ws->deflated_ns);

        if (unused_ms >= DEFLATER_IDLE_MS)
            drop_deflater(b);
        else
            exchange_wake_in(ex, DEFLATER_IDLE_MS - unused_ms);
    }
    if (!every_ms || !ex->is_ws)
        return;
    if (ex->client_paused || link_blocked(&ex->client->link)) { /* is not heard, or hears nothing */
        b->ws->heard_ns = ring_now(ex->worker->ring);
        exchange_wake_in(ex, every_ms);
        return;
    }
    if (b->ws->is_pinged && quiet_ms >= 2 * every_ms) {
        h1_abort(ex->client, CLOSE_WS_SILENT);
        exchange_finish(ex, CLOSE_WS_SILENT);
        return;
    }
    if (quiet_ms >= every_ms && !b->ws->is_pinged) {
        send_control(ex, PRIORITY_CRITICAL, frame, ws_write_control(frame, WS_PING, (struct text){0}));
        stats_add(ex->worker->stats, STAT_heartbeats, 1);
        b->ws->is_pinged = true;
    }
    if (b->ws->is_pinged)
        every_ms *= 2;
    exchange_wake_in(ex, quiet_ms < every_ms ? every_ms - quiet_ms : 1);
}
