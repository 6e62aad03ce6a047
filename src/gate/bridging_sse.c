/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP+SSE of 2024-11-05 towards clients: a GET opens a stream, whose first event names the endpoint that
 * messages are posted to. Each POST is answered with 202; what becomes of its message is said on the stream.
 *
 *      GET /sse/NAME               --> event: endpoint, data: /messages?sessionId=TOKEN
 *      POST /messages?sessionId=.. --> 202       ... event: message on the stream
 *
 * The session is the stream's: it begins with the one and ends with it, and all that is open in it. Clients
 * of this kind open a stream that broke again by themselves (EventSource) and go on as if nothing had been,
 * so what they had agreed on comes back to us as the id of the last event. What was open is lost. To the rest
 * of the plan an accepted message is an exchange whose client has gone, and whose hearer is the stream.
 */
#include "gate/bridged.h"
#include "gate/events.h"
#include "gate/local.h"
#include "gate/sse_front.h"
#include "gate/traffic.h"

enum { HELLO_MS = 1000 }; /* clients wait for the reply to a POST, some for five seconds only */

/* --- the stream --- */

void
bridging_open_sse(struct exchange *ex, const struct http1_head *head)
{
    enum close_reason reason;
    struct session *s = sse_front_begin(ex, head, &reason);
    struct bridged *b;

    if (!s) {
        local_error(ex, reason, (struct text){0});
        return;
    }
    b = bridged_begin(ex, head, s);
    if (!b)
        return;
    b->is_standing = true;
    b->bridge.client = MCP_2024_11_05;
    ex->accepts_sse = true; /* of this transport nothing else can be meant */
    s->stream = ex;
}

/* Of the merged server's: from initialize on. */
static void
hear_changes(struct bridged *stream)
{
    if (stream->is_merged && !list_linked(&stream->listener))
        list_add_tail(&stream->worker->listeners_of_changes, &stream->listener);
}

void
bridged_sse_open(struct bridged *b)
{
    if (sse_front_open(b->ex, b->session) && b->session->is_greeted)
        hear_changes(b);
}

/* The calls of a session of this kind are all of this plan. */
static struct bridged *
call_at(struct list_node *node)
{
    return container_of(container_of(node, struct session_call, node), struct bridged, listed);
}

void
bridged_sse_writable(struct bridged *b)
{
    list_for_each_safe(node, &b->session->calls)
        bridged_resume(call_at(node));
}

void
bridged_sse_closed(struct bridged *b)
{
    session_end_with_stream(b->session);
}

void
bridged_sse_stop(struct bridged *b, bool at_once)
{
    struct exchange *ex = b->ex;
    struct list_node *node;

    if (!ex->client || !ex->reply_begun) {
        exchange_fail(ex, CLOSE_DRAIN);
        return;
    }
    if (!at_once && !list_empty(&b->session->calls))
        return; /* bridged_sse_ends() of the last one comes back to this */
    while ((node = list_first(&b->session->calls)))
        exchange_fail(call_at(node)->ex, CLOSE_DRAIN);
    if (b->ws) {
        bridged_ws_stop(b);
        return;
    }
    exchange_end_reply(ex, CLOSE_DRAIN);
}

/* --- what is posted --- */

/* Revision and capabilities come with initialize. A client whose stream broke and came again may think that
 * it has said them: it gets on as one that can nothing, with the revision that its messages name. */
void
bridged_learn_client(struct bridged *b)
{
    struct session *s = b->session;
    enum mcp_revision named = mcp_revision_of(bridged_field(b, TEXT("mcp-protocol-version")));

    if (mcp_method_of(b->env->method) == MCP_INITIALIZE) {
        if (!list_empty(&s->bonds)) /* of what it was taken for */
            session_drop_bonds(s);
        s->is_greeted = true;
        s->token.revision = bridge_negotiate(b->env->protocol_version);
        s->token.client_capabilities = mcp_client_caps(json_find(b->env->params, TEXT("capabilities")));
        hear_changes(s->stream->state);
    } else if (!s->is_greeted && named < MCP_REVISIONS && !mcp_revision_is_modern(named)) {
        s->token.revision = named;
    }
}

bool
bridged_sse_accept(struct bridged *b)
{
    if (mcp_method_of(b->env->method) == MCP_INITIALIZE && b->env->kind == JSONRPC_REQUEST && !b->is_merged) {
        /* A client looks for a 401 at its POST, not on the stream: an upstream that wants credentials has a
         * moment to say so. */
        if (!sse_front_takes(b->ex, b->session, true))
            return false;
        b->is_hello = true;
        b->ex->accepts_sse = false;
        exchange_wake_in(b->ex, HELLO_MS);
        bridged_learn_client(b);
        return true;
    }
    if (!sse_front_accept(b->ex, b->session, b->env->kind == JSONRPC_REQUEST))
        return false;
    b->is_accepted = true;
    bridged_learn_client(b);
    return true;
}

bool
bridged_sse_accept_hello(struct bridged *b)
{
    if (b->ex->client && !sse_front_accept(b->ex, b->session, false))
        return false;
    b->is_accepted = true;
    return true;
}

bool
bridged_sse_hello_tick(struct bridged *b)
{
    uint64_t age_ms = exchange_age_ms(b->ex, b->ex->begun_ns);

    if (age_ms >= HELLO_MS)
        return bridged_sse_accept_hello(b);
    exchange_wake_in(b->ex, HELLO_MS - age_ms);
    return true;
}

void
bridged_sse_hello_failed(struct bridged *b)
{
    b->session->is_greeted = false; /* it may try again */
}

/* --- what becomes of it --- */

void
bridged_sse_reply(struct bridged *b, const struct text *pieces, unsigned count)
{
    struct exchange *stream = bridged_hearer(b);

    if (!stream) {
        exchange_finish(b->ex, CLOSE_STREAM_GONE);
        return;
    }
    if (b->call.method == MCP_INITIALIZE && !stream->is_ws)
        sse_front_give_id(b->session);
    bridged_note_first(b, stream);
    bridged_say(b, stream, pieces, count);
    if (b->worker->config->backpressure == BACKPRESSURE_THROTTLE &&
        link_congested(&stream->client->link)) /* what is on its way for others waits at its source */
        list_for_each_safe(node, &bridged_calls(b)->calls)
            bond_pause(&call_at(node)->ask);
    exchange_finish(b->ex, CLOSE_DONE);
}

static void
put_error(struct bridged *b, struct exchange *stream, enum close_reason reason)
{
    struct text error = bridged_failure(b, reason);

    bridged_note_first(b, stream);
    if (stream->is_ws) /* of others the exchange says so, which had a client */
        traffic_failed(b->worker, LINK_CLIENT, TRANSPORT_WS);
    if (error.at)
        bridged_say(b, stream, &error, 1);
    else
        h1_abort(stream->client, CLOSE_NO_MEMORY); /* better no stream than one that lacks an answer */
}

void
bridged_sse_ends(struct bridged *b, enum close_reason reason)
{
    struct session *s = bridged_calls(b);
    struct exchange *stream = bridged_hearer(b);

    if (!stream)
        return;
    if (bridged_owes_reply(b, reason))
        put_error(b, stream, reason);
    b->call.is_done = true;
    list_del(&b->listed.node);
    if (b->worker->draining && list_empty(&s->calls))
        exchange_wake_in(stream, 1); /* bridge_tick() ends it */
}
