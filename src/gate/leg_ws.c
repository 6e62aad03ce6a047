/* SPDX-License-Identifier: Apache-2.0 */
#include "gate/leg_ws.h"

#include "gate/local.h"
#include "gate/traffic.h"
#include "gate/ws_coding.h"
#include "proto/utf8.h"
#include "proto/ws.h"
#include "proto/ws_key.h"

#include <stdlib.h>
#include <sys/random.h>

enum { MASK_BYTES = 4, RANDOM_BYTES = 256, PIECE_BYTES = 4096 };

struct leg_ws {
    struct ws_parser parser;
    struct held early; /* frames that wait for the 101 */
    struct held plain; /* a message that came compressed, while it is given */
    char key[WS_KEY_CHARS];
    uint8_t random[RANDOM_BYTES]; /* for masks, which nobody may foresee (section 5.3) */
    uint32_t random_at;
    bool is_open, is_pinged, is_closing;
    bool deflates; /* permessage-deflate was agreed upon */
};

bool
leg_ws_begin(struct leg *leg)
{
    uint8_t nonce[WS_NONCE_BYTES];

    leg->ws = calloc(1, sizeof *leg->ws);
    if (!leg->ws || getrandom(nonce, sizeof nonce, 0) != sizeof nonce)
        return false;
    leg->ws->random_at = RANDOM_BYTES;
    ws_parser_init(&leg->ws->parser, false, false, leg->ex->worker->config->max_message);
    ws_key_make(nonce, leg->ws->key);
    return true;
}

void
leg_ws_free(struct leg *leg, struct worker *w)
{
    if (!leg->ws)
        return;
    held_free(w, &leg->ws->early);
    held_free(w, &leg->ws->plain);
    free(leg->ws);
    leg->ws = NULL;
}

struct text
leg_ws_key(const struct leg *leg)
{
    return leg->ws ? (struct text){leg->ws->key, WS_KEY_CHARS} : (struct text){0};
}

/* --- what is sent --- */

static bool
new_mask(struct leg_ws *ws, uint8_t mask[MASK_BYTES])
{
    if (ws->random_at == RANDOM_BYTES) {
        if (getrandom(ws->random, RANDOM_BYTES, 0) != RANDOM_BYTES)
            return false;
        ws->random_at = 0;
    }
    memcpy(mask, ws->random + ws->random_at, MASK_BYTES);
    ws->random_at += MASK_BYTES;
    return true;
}

static bool
put(struct leg *leg, const void *bytes, uint32_t len)
{
    struct worker *w = leg->ex->worker;

    return leg->ws->is_open ? local_send_copy(leg->ex->server, &w->slab, bytes, len)
                            : held_append(w, &leg->ws->early, bytes, len);
}

static bool
put_frame(struct leg *leg, enum ws_opcode opcode, bool is_deflated, struct text payload)
{
    uint8_t head[WS_HEAD_MAX], mask[MASK_BYTES];
    char piece[PIECE_BYTES];

    if (!new_mask(leg->ws, mask) ||
        !put(leg, head, ws_write_head(head, opcode, true, is_deflated, payload.len, mask)))
        return false;
    for (uint32_t at = 0; at < payload.len; at += PIECE_BYTES) {
        uint32_t n = payload.len - at < PIECE_BYTES ? payload.len - at : PIECE_BYTES;

        memcpy(piece, payload.at + at, n);
        ws_mask(piece, n, mask, at);
        if (!put(leg, piece, n))
            return false;
    }
    return true;
}

/* False: no memory, or no random bytes. Half a frame would make void what follows it: then the connection
 * ends. */
static bool
send_frame(struct leg *leg, enum priority lane, enum ws_opcode opcode, struct text payload)
{
    uint32_t early = leg->ws->early.len;
    struct h1 *server = leg->ex->server;
    struct text small = {0};
    bool is_sent;

    if (leg->ws->is_open)
        server->lane = (uint8_t)lane;
    if (leg->ws->deflates && opcode == WS_TEXT)
        small = ws_deflate_alone(leg->ex->worker, payload);
    is_sent = put_frame(leg, opcode, small.at != NULL, small.at ? small : payload);
    if (leg->ws->is_open)
        link_end_message(&server->link, lane);
    if (is_sent)
        return true;
    if (leg->ws->is_open)
        h1_abort(leg->ex->server, CLOSE_NO_MEMORY); /* its end is told later */
    else
        leg->ws->early.len = early;
    return false;
}

/* An upstream that does not read is sent no more than a message behind what waits already. */
static bool
is_full(const struct leg *leg)
{
    uint64_t waiting = leg->ws->is_open ? link_queued(&leg->ex->server->link) : leg->ws->early.len;

    return waiting > leg->ex->worker->config->max_message;
}

bool
leg_send(struct leg *leg, enum priority priority, struct text message)
{
    if (!leg->ex || !leg->ws || leg->ws->is_closing || (leg->ws->is_open && !leg->ex->server) || is_full(leg))
        return false;
    stats_up_add(leg->ex->worker->stats, leg->ex->upstream->index, UPSTAT_up_sent, message.len);
    traffic_sent(leg->ex->worker, LINK_UPSTREAM, TRANSPORT_WS, 1);
    return send_frame(leg, priority, WS_TEXT, message);
}

/* An answer comes when the connection ends, or none (section 7.1.2). */
static void
send_close(struct leg *leg, unsigned code)
{
    const char bytes[2] = {(char)(code >> 8), (char)code};

    if (leg->ws->is_closing)
        return;
    leg->ws->is_closing = true;
    if (leg->ws->is_open)
        link_join_lanes(&leg->ex->server->link);
    send_frame(leg, PRIORITY_LOW, WS_CLOSE,
               (struct text){bytes, code == WS_CLOSE_NO_STATUS ? 0 : sizeof bytes});
}

void
leg_ws_goodbye(struct leg *leg)
{
    struct exchange *ex = leg->ex;

    if (!leg->ws || !leg->ws->is_open || !ex->server)
        return;
    send_close(leg, ex->worker->draining ? WS_CLOSE_GOING_AWAY : WS_CLOSE_NORMAL);
    h1_close(ex->server, CLOSE_DONE);
}

/* --- what comes --- */

/* Section 4.1, what the client checks. No extension was offered but that one, if any, and no protocol but
 * this. */
static bool
is_agreed(struct leg *leg, const struct http1_head *head)
{
    char accept[WS_ACCEPT_CHARS];
    struct text protocol = http1_value(head, HTTP_SEC_WEBSOCKET_PROTOCOL);

    return head->upgrade && http_list_has(http1_value(head, HTTP_UPGRADE), TEXT("websocket")) &&
           ws_key_accept(leg_ws_key(leg), accept) &&
           text_eq(http1_value(head, HTTP_SEC_WEBSOCKET_ACCEPT), (struct text){accept, WS_ACCEPT_CHARS}) &&
           ws_deflate_agree(http1_value(head, HTTP_SEC_WEBSOCKET_EXTENSIONS), &leg->ws->deflates) &&
           (!leg->ws->deflates || leg->ex->worker->config->ws_deflate) &&
           (!protocol.len || text_eq(protocol, TEXT("mcp")));
}

void
leg_ws_head(struct leg *leg, const struct http1_head *head)
{
    struct exchange *ex = leg->ex;
    struct worker *w = ex->worker;
    struct leg_ws *ws = leg->ws;
    struct held early = ws->early;

    if (head->status != 101) /* it has another body than messages */
        return;
    if (!is_agreed(leg, head)) {
        leg->status = 0; /* says nothing */
        exchange_fail(ex, CLOSE_WS_HANDSHAKE);
        return;
    }
    if (ws->deflates)
        ws_parser_init(&ws->parser, false, true, w->config->max_message);
    ex->server->tx = FRAMING_TUNNEL;
    leg->is_stream = ex->leg_stream = ws->is_open = true;
    ws->early = (struct held){0};
    exchange_watch_limits(ex);
    if (w->config->ws_ping)
        exchange_wake_in(ex, w->config->ws_ping);
    if (!local_send_copy(ex->server, &w->slab, early.at, early.len))
        exchange_fail(ex, CLOSE_NO_MEMORY);
    held_free(w, &early);
}

static void
give_up(struct leg *leg, unsigned code, enum close_reason reason)
{
    send_close(leg, code);
    exchange_fail(leg->ex, reason);
}

static void
give_inflated(struct leg *leg, struct text payload, bool is_text)
{
    struct worker *w = leg->ex->worker;
    struct held *plain = &leg->ws->plain;

    switch (ws_inflate(w, payload, w->config->max_message, plain)) {
    case WS_DEFLATE_FINE:
        if (is_text && !utf8_is_text(held_text(plain).at, plain->len))
            give_up(leg, WS_CLOSE_INVALID, CLOSE_BAD_REPLY);
        else if (leg_give(leg, held_text(plain)))
            held_free(w, plain);
        break;
    case WS_DEFLATE_BAD:
        give_up(leg, WS_CLOSE_INVALID, CLOSE_BAD_REPLY);
        break;
    case WS_DEFLATE_TOO_LARGE:
        give_up(leg, WS_CLOSE_TOO_BIG, CLOSE_MESSAGE_TOO_LARGE);
        break;
    case WS_DEFLATE_NO_ROOM:
        exchange_fail(leg->ex, CLOSE_NO_MEMORY);
    }
}

static void
give_whole(struct leg *leg, const struct ws_event *e, struct text payload)
{
    if (e->is_compressed)
        give_inflated(leg, payload, e->opcode == WS_TEXT);
    else
        leg_give(leg, payload);
}

static void
take_piece(struct leg *leg, const struct ws_event *e)
{
    struct exchange *ex = leg->ex;
    struct worker *w = ex->worker;

    if (e->begins && e->ends) {
        give_whole(leg, e, e->payload);
        return;
    }
    if (e->begins)
        leg->held.len = 0;
    if (e->payload.len && !held_append(w, &leg->held, e->payload.at, e->payload.len)) {
        exchange_fail(ex, CLOSE_NO_MEMORY);
    } else if (e->ends) {
        give_whole(leg, e, held_text(&leg->held));
        held_free(w, &leg->held);
    }
}

static void
take_event(struct leg *leg, const struct ws_event *e)
{
    struct exchange *ex = leg->ex;

    switch ((enum ws_opcode)e->opcode) {
    case WS_PING: /* section 5.5.3: who does not read need not hear of each */
        if (!link_congested(&ex->server->link))
            send_frame(leg, PRIORITY_CRITICAL, WS_PONG, e->payload);
        break;
    case WS_PONG:
        break;
    case WS_CLOSE: /* section 5.5.1: the same code back */
        send_close(leg, e->code);
        exchange_finish(ex, CLOSE_UPSTREAM_GONE);
        break;
    default:
        stats_up_add(ex->worker->stats, ex->upstream->index, UPSTAT_up_events, e->begins);
        traffic_received(ex->worker, LINK_UPSTREAM, TRANSPORT_WS, e->begins);
        ex->events += e->begins;
        take_piece(leg, e);
    }
}

void
leg_ws_input(struct leg *leg, struct span bytes)
{
    char *at = (char *)span_data(bytes);
    uint32_t len = bytes.len, used;
    struct ws_event e;

    if (!leg->ws->is_open) /* the body of a refusal */
        return;
    leg->ws->is_pinged = false;
    while (leg->ex && len) {
        enum parse_result result = ws_parser_next(&leg->ws->parser, at, len, &used, &e);

        if (result == PARSE_MORE)
            return;
        if (result == PARSE_BAD) {
            enum ws_fault fault = (enum ws_fault)leg->ws->parser.fault;

            give_up(leg, ws_fault_code(fault),
                    fault == WS_FAULT_TOO_BIG ? CLOSE_MESSAGE_TOO_LARGE : CLOSE_BAD_REPLY);
            return;
        }
        at += used;
        len -= used;
        take_event(leg, &e);
    }
}

/* --- is anybody there? --- */

bool
leg_ws_tick(struct leg *leg)
{
    struct exchange *ex = leg->ex;
    uint64_t every_ms = ex->worker->config->ws_ping, quiet_ms = exchange_age_ms(ex, ex->active_ns);

    if (!every_ms || !leg->ws->is_open)
        return true;
    if (ex->server_paused || link_blocked(&ex->server->link)) { /* is not heard, or hears nothing */
        ex->active_ns = ring_now(ex->worker->ring);
        exchange_wake_in(ex, every_ms);
        return true;
    }
    if (leg->ws->is_pinged && quiet_ms >= 2 * every_ms) {
        exchange_fail(ex, CLOSE_WS_SILENT);
        return false;
    }
    if (quiet_ms >= every_ms && !leg->ws->is_pinged) {
        leg->ws->is_pinged = send_frame(leg, PRIORITY_CRITICAL, WS_PING, (struct text){0});
        stats_add(ex->worker->stats, STAT_heartbeats, 1);
    }
    if (leg->ws->is_pinged)
        every_ms *= 2;
    exchange_wake_in(ex, quiet_ms < every_ms ? every_ms - quiet_ms : 1);
    return true;
}
