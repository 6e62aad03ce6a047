/* SPDX-License-Identifier: Apache-2.0 */
#include "gate/ws_relay.h"

#include "gate/local.h"
#include "gate/pace.h"
#include "gate/traffic.h"
#include "proto/ws.h"

#include <stdlib.h>
#include <sys/random.h>

enum { MASK_BYTES = 4, CLOSED_MS = 2000 /* for the peers to end what both have closed */ };

/* What comes from one of the two. */
struct side {
    struct ws_parser parser;
    uint64_t heard_ns, pinged_ns;
    bool is_pinged, has_closed;
};

struct ws_relay {
    struct side client, server;
};

bool
ws_relay_is_ws(const struct http1_head *head)
{
    return http_list_has(http1_value(head, HTTP_UPGRADE), TEXT("websocket"));
}

bool
ws_relay_begin(struct exchange *ex, const struct http1_head *head)
{
    bool compresses = http1_value(head, HTTP_SEC_WEBSOCKET_EXTENSIONS).len != 0;
    uint64_t every_ms = ex->worker->config->ws_ping;
    struct ws_relay *relay;

    if (!ws_relay_is_ws(head))
        return true;
    ex->state = relay = calloc(1, sizeof *relay);
    if (!relay)
        return false;
    ws_parser_init(&relay->client.parser, true, compresses, ex->worker->config->ws_max_message);
    ws_parser_init(&relay->server.parser, false, compresses, 0);
    relay->client.parser.only_looks = relay->server.parser.only_looks = true;
    relay->client.heard_ns = relay->server.heard_ns = ring_now(ex->worker->ring);
    link_set_transport(&ex->client->link, TRANSPORT_WS);
    traffic_first_byte(ex->worker, LINK_CLIENT, TRANSPORT_WS, ex->first_ns - ex->begun_ns);
    if (every_ms)
        exchange_wake_in(ex, every_ms);
    return true;
}

void
ws_relay_free(struct exchange *ex)
{
    free(ex->state);
    ex->state = NULL;
}

/* --- frames of ours --- */

/* What goes to the client comes from the server, and stands between two frames or not. */
static struct side *
source_of(struct ws_relay *relay, bool to_client)
{
    return to_client ? &relay->server : &relay->client;
}

/* False: it cannot be said now. */
static bool
say(struct exchange *ex, bool to_client, enum ws_opcode opcode, unsigned code)
{
    struct h1 *to = to_client ? ex->client : ex->server;
    const struct side *source = source_of(ex->state, to_client);
    uint8_t frame[WS_HEAD_MAX + 2], mask[MASK_BYTES];
    char payload[2] = {(char)(code >> 8), (char)code};
    uint32_t len = code ? sizeof payload : 0, n; /* 0: without */

    if (!to || source->has_closed || !ws_parser_is_between(&source->parser))
        return false;
    if (!to_client && getrandom(mask, sizeof mask, 0) != sizeof mask)
        return false;
    n = ws_write_head(frame, opcode, true, false, len, to_client ? NULL : mask);
    if (!to_client)
        ws_mask(payload, len, mask, 0);
    memcpy(frame + n, payload, len);
    return local_send_copy(to, &ex->worker->slab, (const char *)frame, n + len);
}

/* Ends both in order, behind what is queued, each with a code where there is room for one: in the middle of a
 * frame there is not, and without a close frame every end is an abnormal one (section 7.1.5). Finishes. */
static void
end(struct exchange *ex, unsigned to_client, unsigned to_server, enum close_reason reason)
{
    if (ex->client) {
        say(ex, true, WS_CLOSE, to_client);
        h1_close(ex->client, reason);
    }
    if (ex->server) {
        say(ex, false, WS_CLOSE, to_server);
        h1_close(ex->server, CLOSE_DONE);
    }
    exchange_finish(ex, reason);
}

void
ws_relay_client_gone(struct exchange *ex, enum close_reason reason)
{
    const struct ws_relay *relay = ex->state;

    end(ex, 0, WS_CLOSE_GOING_AWAY, relay->client.has_closed ? CLOSE_DONE : reason);
}

void
ws_relay_server_gone(struct exchange *ex)
{
    const struct ws_relay *relay = ex->state;

    end(ex, WS_CLOSE_BAD_GATEWAY, 0, relay->server.has_closed ? CLOSE_DONE : CLOSE_UPSTREAM_GONE);
}

void
ws_relay_stop(struct exchange *ex)
{
    end(ex, WS_CLOSE_RESTART, WS_CLOSE_GOING_AWAY, CLOSE_DRAIN);
}

void
ws_relay_fail(struct exchange *ex, enum close_reason reason)
{
    end(ex, WS_CLOSE_GOING_AWAY, WS_CLOSE_GOING_AWAY, reason);
}

/* --- what passes --- */

static bool
end_for_fault(struct exchange *ex, bool from_client, enum ws_fault fault)
{
    unsigned code = ws_fault_code(fault);

    if (!from_client)
        end(ex, WS_CLOSE_BAD_GATEWAY, code, CLOSE_BAD_REPLY);
    else
        end(ex, code, WS_CLOSE_GOING_AWAY, fault == WS_FAULT_TOO_BIG ? CLOSE_WS_TOO_BIG : CLOSE_WS_PROTOCOL);
    return false;
}

/* So many messages have passed whole. */
static void
note_messages(struct exchange *ex, bool from_client, uint32_t n)
{
    struct worker *w = ex->worker;

    traffic_received(w, from_client ? LINK_CLIENT : LINK_UPSTREAM, TRANSPORT_WS, n);
    traffic_sent(w, from_client ? LINK_UPSTREAM : LINK_CLIENT, TRANSPORT_WS, n);
    if (from_client) {
        stats_add(w->stats, STAT_ws_messages, n);
        return;
    }
    stats_up_add(w->stats, ex->upstream->index, UPSTAT_up_events, n);
    pace_came(ex, n);
    exchange_may_rest(ex, n);
}

/* How many bytes of a piece are whole frames, or part of one that goes on; *messages: and how many messages
 * end there. False: what follows breaks the rules. */
static bool
look(struct exchange *ex, bool from_client, struct span piece, uint32_t *ret_whole, uint32_t *messages)
{
    struct side *side = source_of(ex->state, !from_client);
    char *at = (char *)span_data(piece);
    uint32_t seen = 0, used;
    struct ws_event e;

    *ret_whole = 0;
    while (seen < piece.len) {
        enum parse_result result = ws_parser_next(&side->parser, at + seen, piece.len - seen, &used, &e);

        if (result == PARSE_MORE)
            break;
        if (result == PARSE_BAD)
            return false;
        seen += used;
        if (ws_parser_is_between(&side->parser))
            *ret_whole = seen;
        if (e.opcode == WS_CLOSE) {
            side->has_closed = true;
            exchange_wake_in(ex, CLOSED_MS);
        } else if (e.opcode < WS_CLOSE && e.ends) {
            ++*messages;
        }
    }
    return true;
}

/* What lies before the frame that breaks the rules has come in order and passes, with nothing begun behind
 * it; `before` is the parser as it was. */
static void
pass_whole(struct exchange *ex, bool from_client, const struct ws_parser *before, struct span piece,
           uint32_t whole)
{
    struct side *side = source_of(ex->state, !from_client);
    struct h1 *to = from_client ? ex->server : ex->client;
    uint32_t messages = 0, used;

    side->parser = *before;
    if (!whole || !to)
        return;
    look(ex, from_client, span_head(piece, whole), &used, &messages);
    h1_send_piece(to, span_head(piece, whole));
    if (messages)
        note_messages(ex, from_client, messages);
}

bool
ws_relay_look(struct exchange *ex, bool from_client, const struct h1_body *body)
{
    struct side *side = source_of(ex->state, !from_client);
    struct ws_parser before = side->parser;
    uint32_t messages = 0, whole;

    ASSERT(body->count == 1); /* of a tunnel what comes is not cut up */
    side->heard_ns = ring_now(ex->worker->ring);
    side->is_pinged = false;
    if (!look(ex, from_client, body->data[0], &whole, &messages)) {
        enum ws_fault fault = (enum ws_fault)side->parser.fault;

        pass_whole(ex, from_client, &before, body->data[0], whole);
        return end_for_fault(ex, from_client, fault);
    }
    if (messages)
        note_messages(ex, from_client, messages);
    return true;
}

/* --- is anybody there? --- */

/* False: nobody, for too long. */
static bool
check_quiet(struct exchange *ex, bool client)
{
    struct ws_relay *relay = ex->state;
    struct side *side = client ? &relay->client : &relay->server;
    uint64_t every_ms = ex->worker->config->ws_ping, quiet_ms = exchange_age_ms(ex, side->heard_ns);

    if ((client ? ex->client_paused : ex->server_paused) ||
        link_blocked(client ? &ex->client->link : &ex->server->link)) /* is not heard, or hears nothing */
        side->heard_ns = ring_now(ex->worker->ring);
    else if (side->is_pinged && exchange_age_ms(ex, side->pinged_ns) >= every_ms)
        return false;
    else if (quiet_ms >= every_ms && !side->is_pinged && say(ex, client, WS_PING, 0)) {
        side->is_pinged = true;
        side->pinged_ns = ring_now(ex->worker->ring);
        stats_add(ex->worker->stats, STAT_heartbeats, 1);
    }
    exchange_wake_in(ex, quiet_ms < every_ms ? every_ms - quiet_ms : every_ms);
    return true;
}

bool
ws_relay_tick(struct exchange *ex)
{
    const struct ws_relay *relay = ex->state;

    if (relay->client.has_closed && relay->server.has_closed) { /* nothing follows (section 5.5.1) */
        end(ex, 0, 0, CLOSE_DONE);
        return false;
    }
    if (!ex->worker->config->ws_ping)
        return true;
    if (!check_quiet(ex, true))
        end(ex, 0, WS_CLOSE_GOING_AWAY, CLOSE_WS_SILENT);
    else if (!check_quiet(ex, false))
        end(ex, WS_CLOSE_BAD_GATEWAY, 0, CLOSE_WS_SILENT);
    else
        return true;
    return false;
}
