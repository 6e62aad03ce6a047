/* SPDX-License-Identifier: Apache-2.0 */
/* What the bridge plan says to the client, in whichever form the client takes it. */
#include "gate/bridged.h"
#include "gate/events.h"
#include "gate/local.h"
#include "gate/secure.h"
#include "gate/traffic.h"

#include <stdio.h>

struct exchange *
bridged_hearer(const struct bridged *b)
{
    struct exchange *ex = b->is_accepted ? b->session->stream : b->whole ? b->whole->ex : b->ex;

    return ex && ex->client ? ex : NULL;
}

bool
bridged_is_congested(const struct bridged *b)
{
    const struct exchange *ex = bridged_hearer(b);

    return ex && link_congested(&ex->client->link);
}

void
bridged_resume(struct bridged *b)
{
    bridged_catch_up(b);
    bond_resume(&b->ask);
    if (b->relay)
        leg_resume(b->relay);
}

void
bridged_note_first(struct bridged *b, const struct exchange *hearer)
{
    uint64_t now = ring_now(b->worker->ring);

    if (!hearer->is_ws || b->ex->first_ns)
        return;
    b->ex->first_ns = now;
    traffic_first_byte(b->worker, LINK_CLIENT, TRANSPORT_WS, now - b->ex->begun_ns);
}

/* Whose stream it is that a message goes to; NULL: one of HTTP+SSE, or a WebSocket. */
static struct bridged *
stream_of(struct bridged *b)
{
    return b->is_accepted || b->ws || bridged_is_of_ws(b) ? NULL : b->whole ? b->whole : b;
}

void
bridged_say(struct bridged *b, struct exchange *stream, const struct text *pieces, unsigned count)
{
    if (stream->is_ws)
        bridged_ws_say(stream->state, (enum priority)b->ex->priority, pieces, count);
    else
        events_send_pieces(stream, pieces, count);
}

bool
bridged_event(struct bridged *b, struct text json, struct text extra)
{
    struct bridged *stream = stream_of(b);
    bool is_kept = stream && journaled_is_kept(stream);
    struct exchange *ex = is_kept ? stream->ex : bridged_hearer(b);

    if (!ex || !ex->accepts_sse)
        return false;
    /* Who takes nothing misses what he would have heard; --send-timeout ends it. A call's source is paused.
     */
    if (b->is_standing && !is_kept && link_congested(&ex->client->link))
        return false;
    b->ex->leg_stream |= bridged_is_detached(b); /* its limits are those of a stream */
    if (!stream) {
        bridged_note_first(b, ex);
        if (ex->reply_begun)
            bridged_say(b, ex, &json, 1);
        return ex->reply_begun;
    }
    if (!ex->reply_begun && !journaled_open(stream, extra))
        return false;
    journaled_send(stream, json, false);
    return true;
}

void
bridged_reply(struct bridged *b, unsigned status, struct text json, struct text extra)
{
    struct exchange *ex = b->ex;

    bridged_catch_up(b);
    b->call.is_done = true;
    if (b->is_hello && !b->is_accepted && !bridged_sse_accept_hello(b))
        return;
    if (bridged_is_detached(b)) {
        bridged_detached_reply(b, &json, 1);
        return;
    }
    if (!ex->client) {
        if (journaled_is_kept(b))
            journaled_send(b, json, true);
        exchange_finish(ex, CLOSE_CLIENT_GONE);
        return;
    }
    if (!ex->reply_begun) {
        ex->reply_bytes += json.len;
        local_reply(ex, (int)status, TEXT("application/json"), extra, json.at, json.len, CLOSE_DONE);
        return;
    }
    journaled_send(b, json, true);
    if (b->journaled.is_behind) { /* ends when the client has had all of it */
        bond_call_done(&b->ask, false);
        exchange_set_phase(ex, PHASE_LOCAL);
        return;
    }
    exchange_end_reply(ex, CLOSE_DONE);
}

void
bridged_detached_reply(struct bridged *b, const struct text *pieces, unsigned count)
{
    b->call.is_done = true;
    if (b->whole && b->whole->batch)
        bridged_batch_reply(b, pieces, count);
    else
        bridged_sse_reply(b, pieces, count);
}

bool
bridged_owes_reply(const struct bridged *b, enum close_reason reason)
{
    return b->env->kind == JSONRPC_REQUEST && !b->call.is_done && reason != CLOSE_CANCELLED;
}

struct text
bridged_failure(struct bridged *b, enum close_reason reason)
{
    const struct close_reason_info *info = close_reason_info(reason);
    struct text up = exchange_asked(b->ex);
    char text[BRIDGED_ERROR_BYTES / 2];
    struct bridge_out out;

    snprintf(text, sizeof text, "%s%.*s%s%s", up.len ? "upstream " : "", (int)up.len, up.len ? up.at : "",
             up.len ? ": " : "", secure_reason_text(b->ex->upstream, reason));
    if (!bridged_out(b->worker, b->env->id.len, &out))
        return (struct text){0};
    bridge_put_error(&out.room, b->bridge.client, b->env->id,
                     info->jsonrpc_code ? info->jsonrpc_code : -32603, text_of(text), (struct text){0});
    return json_written(&out.room);
}

void
bridged_error(struct bridged *b, int code, unsigned status, const char *text)
{
    char body[BRIDGED_ERROR_BYTES];
    struct json_writer w = {.at = body, .size = sizeof body};

    bridge_put_error(&w, b->bridge.client, b->env->id_kind == JSON_IS_ABSENT ? (struct text){0} : b->env->id,
                     code, text_of(text), (struct text){0});
    bridged_reply(b, status, json_written(&w), (struct text){0});
}

void
bridged_refuse(struct bridged *b, enum close_reason reason)
{
    if (b->ex->client)
        local_error(b->ex, reason, (struct text){0});
    else
        exchange_finish(b->ex, reason);
}

void
bridged_accept(struct bridged *b)
{
    if (bridged_is_detached(b))
        exchange_finish(b->ex, CLOSE_DONE);
    else if (b->ex->client)
        local_reply(b->ex, 202, (struct text){0}, (struct text){0}, "", 0, CLOSE_DONE);
    else /* it waited for the upstream to be initialised */
        exchange_finish(b->ex, CLOSE_CLIENT_GONE);
}
