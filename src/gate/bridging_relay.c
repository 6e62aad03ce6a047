/* SPDX-License-Identifier: Apache-2.0 */
/* Requests that pass as they are after all: to the worker where their call is parked, or, when it turns out
 * that both sides are of one era, to the upstream by the splice plan. */
#include "gate/bridged.h"
#include "gate/events.h"
#include "gate/heads.h"
#include "gate/home.h"
#include "gate/local.h"
#include "gate/splice.h"
#include "mcp/headers.h"

#include <stdio.h>

enum { EXTRA_BYTES = 1024, PIECE_BYTES = 16 << 10, FIELDS_BYTES = 12 << 10 };

/* Fields of the reply that are the client's. */
static struct text
reply_fields(const struct bridged *b, char out[EXTRA_BYTES])
{
    uint32_t n = 0;

    if (b->relayed_session.buf && b->relayed_session.len < EXTRA_BYTES / 2)
        n += (uint32_t)snprintf(out, EXTRA_BYTES, "Mcp-Session-Id: %.*s\r\n", (int)b->relayed_session.len,
                                (const char *)span_data(b->relayed_session));
    if (b->ask.challenge.buf && b->ask.challenge.len < EXTRA_BYTES / 2)
        n += (uint32_t)snprintf(out + n, EXTRA_BYTES - n, "WWW-Authenticate: %.*s\r\n",
                                (int)b->ask.challenge.len, (const char *)span_data(b->ask.challenge));
    return (struct text){out, n};
}

static void
on_head(struct leg *leg, const struct http1_head *head)
{
    struct bridged *b = leg->owner;

    b->relayed_session = exchange_keep(leg->ex, http1_value(head, HTTP_MCP_SESSION_ID));
    b->ask.challenge = exchange_keep(leg->ex, http1_value(head, HTTP_WWW_AUTHENTICATE));
}

/* Ends the exchange and, by its release, the leg. */
static void
on_message(struct leg *leg, struct text message)
{
    struct bridged *b = leg->owner;
    struct jsonrpc_envelope env;
    char extra[EXTRA_BYTES];

    jsonrpc_scan(message, JSON_SCAN_FAST, &env);
    if (leg->is_stream && (env.kind == JSONRPC_NOTIFICATION || env.kind == JSONRPC_REQUEST)) {
        bridged_event(b, message, reply_fields(b, extra));
        if (bridged_is_congested(b))
            leg_pause(leg);
        return;
    }
    bridged_reply(b, leg->status, message, reply_fields(b, extra));
}

/* No response came; the status says why. */
static void
on_end(struct leg *leg, enum close_reason reason)
{
    struct bridged *b = leg->owner;
    struct exchange *ex = b->ex;
    char extra[EXTRA_BYTES];

    b->relay = NULL;
    if (!leg->status || ex->reply_begun || !ex->client) {
        exchange_fail(ex, reason == CLOSE_DONE ? CLOSE_UPSTREAM_GONE : reason);
        return;
    }
    local_reply(ex, leg->status, (struct text){0}, reply_fields(b, extra), "", 0, CLOSE_DONE);
}

static const struct leg_up relay_up = {.on_head = on_head, .on_message = on_message, .on_end = on_end};

/* What a request needs on its way to a sibling: who its client is and, of a WebSocket's message, the fields
 * that it had no need of. False: no memory, or the client has gone. */
static bool
add_fields(struct bridged *b)
{
    struct worker *w = b->worker;
    struct exchange *hearer = bridged_hearer(b);
    char line[1024], fields[FIELDS_BYTES];
    int n = snprintf(line, sizeof line, "Mcpgate-Forward: "), own = 0;

    if (!hearer)
        return false;
    n += (int)home_seal_peer(hearer, line + n, (uint32_t)sizeof line - (uint32_t)n - 2);
    memcpy(line + n, "\r\n", 2);
    if (bridged_is_of_ws(b)) { /* what its upgrade said about messages is not about this one */
        b->fields.len = b->plain_fields;
        own = mcp_write_fields(b->env, fields, sizeof fields);
    }
    return own >= 0 && held_append(w, &b->fields, fields, (uint32_t)own) &&
           held_append(w, &b->fields, line, (uint32_t)n + 2);
}

void
bridged_forward(struct bridged *b, uint32_t slot)
{
    struct worker *w = b->worker;
    enum close_reason reason;
    struct endpoint *ep = home_endpoint(w, slot);
    struct upstream *up = b->is_merged ? NULL : b->ex->upstream;
    char path[128];
    int path_len;

    path_len = up ? snprintf(path, sizeof path, "/mcp/%.*s", (int)up->name.len, up->name.at)
                  : snprintf(path, sizeof path, "/mcp");
    bond_call_done(&b->ask, false);
    if (!ep || !add_fields(b)) {
        exchange_fail(b->ex, ep ? CLOSE_NO_MEMORY : CLOSE_HOME_GONE);
        return;
    }
    stats_add(w->stats, STAT_requests_forwarded_home, 1);
    b->relay = leg_open(w,
                        &(struct leg_request){.upstream = &w->home,
                                              .endpoint = ep,
                                              .method = METHOD_POST,
                                              .path = {path, (uint32_t)path_len},
                                              .body = bridged_message(b),
                                              .fields = held_text(&b->fields)},
                        &relay_up, b, &reason);
    if (!b->relay)
        exchange_fail(b->ex, reason);
}

/* --- to the upstream, after all --- */

/* The body that was held, in spans; false: the exchange has ended meanwhile. */
static bool
give_body(struct exchange *ex, struct h1 *client, struct text rest)
{
    struct worker *w = ex->worker;

    while (rest.len) {
        struct h1_body *body = &w->bridge_room->body;
        uint32_t n = rest.len < PIECE_BYTES ? rest.len : PIECE_BYTES;
        struct buf *b = slab_get(&w->slab, n);

        if (!b) {
            exchange_fail(ex, CLOSE_NO_MEMORY);
            return false;
        }
        memcpy(b->data, rest.at, n);
        *body = (struct h1_body){.bytes = n, .count = 1, .ends = n == rest.len};
        body->data[0] = span_of(b, 0, n);
        ex->plan->body(ex, body);
        buf_unref(b);
        if (client->user != ex)
            return false;
        rest = (struct text){rest.at + n, rest.len - n};
    }
    return true;
}

void
bridged_splice(struct bridged *b)
{
    struct worker *w = b->worker;
    struct exchange *ex = b->ex;
    struct h1 *client = ex->client;
    struct http1_head *head = &w->bridge_room->head;
    struct held head_text = b->head, body = b->body;
    enum parse_result result;
    enum close_reason why;
    uint32_t used;

    if (!client) {
        exchange_finish(ex, CLOSE_CLIENT_GONE);
        return;
    }
    b->head = b->body = (struct held){0};
    b->ex = NULL;
    ex->state = NULL;
    ex->by_legs = false;
    ex->body_bytes = 0;
    bridged_free(b);
    result = http1_parse_request(head_text.at, head_text.len, 0, &w->h1.limits, head, &used, &why);
    ASSERT(result == PARSE_OK);    /* it was when it came */
    head->expect_continue = false; /* it was told to go on */
    splice_start(ex, head);
    if (client->user == ex && give_body(ex, client, held_text(&body)))
        ex->plan->end(ex);
    held_free(w, &head_text);
    held_free(w, &body);
}
