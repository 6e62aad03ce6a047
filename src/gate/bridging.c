/* SPDX-License-Identifier: Apache-2.0 */
/* The client's side of the bridge plan. */
#include "gate/bridging.h"

#include "gate/bridged.h"
#include "gate/events.h"
#include "gate/heads.h"
#include "gate/local.h"
#include "gate/merging.h"
#include "gate/secure.h"
#include "gate/splice.h"
#include "mcp/headers.h"
#include "proto/jsonrpc.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { ERROR_BYTES = 1024, INITIALIZE_BYTES = 16 << 10, TOOL_NAME_MAX = 512 };

static const struct plan bridge_plan;

int
bridging_init(struct worker *w)
{
    bonds_init(w);
    list_init(&w->listeners_of_changes);
    list_init(&w->parked);
    pool_init(&w->bridged_pool, sizeof(struct bridged));
    w->bridge_room = calloc(1, sizeof *w->bridge_room);
    return w->bridge_room ? merging_init(w) : -ENOMEM;
}

void
bridging_done(struct worker *w)
{
    bridged_parked_end_all(w);
    merging_done(w);
    bonds_done(w);
    bridged_ws_done(w);
    pool_done(&w->bridged_pool);
    held_free(w, &w->bridge_room->text);
    held_free(w, &w->bridge_room->made);
    held_free(w, &w->bridge_room->fields);
    free(w->bridge_room);
}

/* --- making messages --- */

struct text
bridged_message(const struct bridged *b)
{
    return held_text(&b->body);
}

bool
bridged_out(struct worker *w, uint32_t n, struct bridge_out *ret)
{
    struct bridge_room *room = w->bridge_room;

    if (n > UINT32_MAX / 4 || !held_reserve(w, &room->text, BRIDGE_ROOM(n)))
        return false;
    *ret = (struct bridge_out){.room = {.at = room->text.at, .size = room->text.size},
                               .edits = {.at = room->edits, .room = BRIDGED_EDITS}};
    return true;
}

struct text
bridged_made(struct worker *w, const struct bridge_out *out)
{
    struct held *made = &w->bridge_room->made;
    uint32_t n = jsonrpc_edited_size(out->text, out->edits.at, out->edits.count);

    if (!out->edits.count)
        return out->text;
    if (!held_reserve(w, made, n))
        return (struct text){0};
    jsonrpc_edit_write(out->text, out->edits.at, out->edits.count, made->at, made->size);
    return (struct text){made->at, n};
}

/* --- towards the client --- */

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

/* Whose stream it is that a message goes to; NULL: one of HTTP+SSE, or a WebSocket. */
static struct bridged *
stream_of(struct bridged *b)
{
    return b->is_accepted || b->ws || bridged_is_of_ws(b) ? NULL : b->whole ? b->whole : b;
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
        if (ex->reply_begun)
            events_send(ex, json);
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

    b->call.is_done = true;
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
    h1_send_end(ex->client, NULL);
    exchange_finish(ex, CLOSE_DONE);
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
    return b->env.kind == JSONRPC_REQUEST && !b->call.is_done && reason != CLOSE_CANCELLED;
}

struct text
bridged_failure(struct bridged *b, enum close_reason reason)
{
    const struct close_reason_info *info = close_reason_info(reason);
    struct text up = b->ex->upstream ? b->ex->upstream->name : (struct text){0};
    char text[ERROR_BYTES / 2];
    struct bridge_out out;

    snprintf(text, sizeof text, "%s%.*s%s%s", up.len ? "upstream " : "", (int)up.len, up.len ? up.at : "",
             up.len ? ": " : "", secure_reason_text(b->ex->upstream, reason));
    if (!bridged_out(b->worker, b->env.id.len, &out))
        return (struct text){0};
    bridge_put_error(&out.room, b->bridge.client, b->env.id, info->jsonrpc_code ? info->jsonrpc_code : -32603,
                     text_of(text), (struct text){0});
    return json_written(&out.room);
}

void
bridged_error(struct bridged *b, int code, unsigned status, const char *text)
{
    char body[ERROR_BYTES];
    struct json_writer w = {.at = body, .size = sizeof body};

    bridge_put_error(&w, b->bridge.client, b->env.id_kind == JSON_IS_ABSENT ? (struct text){0} : b->env.id,
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

/* --- the request, whole --- */

static void
on_cancelled(struct session_call *listed)
{
    struct bridged *b = container_of(listed, struct bridged, listed);
    struct exchange *ex = b->ex;
    struct h1 *client = ex->client;

    list_del(&listed->node);
    b->call.is_done = true;
    bond_call_done(&b->ask, true);
    if (b->is_accepted && !bridged_hearer(b)) {
        exchange_finish(ex, CLOSE_STREAM_GONE);
    } else if (!client) {
        exchange_finish(ex, CLOSE_CANCELLED);
    } else if (ex->reply_begun) {
        h1_send_end(client, NULL);
        exchange_finish(ex, CLOSE_CANCELLED);
    } else { /* a cancelled request is never answered; its connection has nothing else to say */
        exchange_finish(ex, CLOSE_CANCELLED);
        h1_close(client, CLOSE_DONE);
    }
}

/* Revision and capabilities are the session's, or the request's own. */
static void
read_client(struct bridged *b)
{
    const struct jsonrpc_envelope *env = &b->env;

    if (b->session) {
        struct session_record record;

        b->bridge.client = b->session->token.revision;
        b->bridge.client_caps = b->session->token.client_capabilities;
        if (session_record_get(b->session, &record))
            b->bridge.log_level = (enum bridge_level)record.log_level;
    } else if (env->meta_version.len) {
        b->bridge.client = MCP_2026_07_28;
        b->bridge.client_caps = mcp_client_caps(env->meta_capabilities);
    } else {
        b->bridge.client = mcp_method_of(env->method) == MCP_INITIALIZE
                               ? bridge_negotiate(env->protocol_version)
                               : MCP_2025_03_26;
        b->bridge.client_caps = mcp_client_caps(json_find(env->params, TEXT("capabilities")));
    }
    b->ex->revision = (uint8_t)b->bridge.client;
    b->ex->mcp = (uint8_t)mcp_method_of(env->method);
    b->call = (struct bridge_call){.method = mcp_method_of(env->method),
                                   .id = env->id,
                                   .token = env->meta_progress_token,
                                   .level = bridge_level_of(env->meta_log_level)};
    if (env->id.len && env->id.len <= EXCHANGE_ID_MAX) {
        memcpy(b->ex->id, env->id.at, env->id.len);
        b->ex->id_len = (uint8_t)env->id.len;
    }
}

/* A response to a question that was put to the client. */
static void
take_answer(struct bridged *b)
{
    struct session_ask *ask = b->session ? session_find_ask(b->session, bridge_number(b->env.id)) : NULL;

    if (ask)
        ask->answered(ask, bridged_message(b), &b->env);
    bridged_accept(b);
}

static void
take_notification(struct bridged *b)
{
    struct session_call *listed = NULL;

    if (b->call.method == MCP_CANCELLED && bridged_calls(b))
        listed = session_find_call(bridged_calls(b), b->env.request_id);
    if (listed) {
        listed->cancel(listed);
        bridged_accept(b);
        return;
    }
    if (b->call.method == MCP_CANCELLED || !b->session) {
        bridged_accept(b);
        return;
    }
    bond_ask(bond_of_session(b->session, b->ex->upstream, b->credentials), &b->ask, &bridged_call_up);
}

/* initialize of a client whose upstream is of the other era: the gateway's own session begins. */
static bool
open_session(struct bridged *b)
{
    enum close_reason reason;

    b->session = session_create(b->worker, b->bridge.client, b->bridge.client_caps, b->principal, &reason);
    if (b->session)
        return true;
    bridged_refuse(b, reason);
    return false;
}

void
bridged_list(struct bridged *b)
{
    struct session *s = bridged_calls(b);

    if (!s || list_linked(&b->listed.node))
        return;
    b->listed = (struct session_call){.id = b->env.id, .cancel = on_cancelled};
    list_add_tail(&s->calls, &b->listed.node);
}

void
bridged_ask_upstream(struct bridged *b)
{
    struct upstream *up = b->upstream = b->ex->upstream;
    struct bond *bond;

    if (!b->session && b->call.method == MCP_INITIALIZE && !open_session(b))
        return;
    bridged_list(b);
    if (b->session) {
        journaled_prime_later(b);
        bond = bond_of_session(b->session, up, b->credentials);
    } else {
        bond = bond_shared(b->worker, up, b->bridge.client_caps, b->credentials);
        if (!bond) {
            exchange_fail(b->ex, CLOSE_BONDS_FULL);
            return;
        }
    }
    bond_ask(bond, &b->ask, &bridged_call_up);
}

static bool
same_era(const struct bridged *b)
{
    enum bridge_era era = (enum bridge_era)b->ex->upstream->era.era;
    bool modern = mcp_revision_is_modern(b->bridge.client);

    return era == BRIDGE_ERA_UNKNOWN || modern == (era == BRIDGE_ERA_MODERN) ||
           (!modern && b->ex->upstream->era.speaks_both);
}

/* The session ended since the head came: nothing new begins in it. Answers then. */
static bool
session_is_over(struct bridged *b)
{
    if (!b->session || !b->session->over)
        return false;
    bridged_refuse(b, CLOSE_SESSION_UNKNOWN);
    return true;
}

static bool
tool_is_denied(const struct bridged *b)
{
    char name[TOOL_NAME_MAX];
    int n;

    if (b->call.method != MCP_TOOLS_CALL || !tool_filter_is_set(b->ex->upstream))
        return false;
    n = json_string_decode(b->env.name, name, sizeof name);
    return n < 0 || !tool_filter_allows(b->ex->upstream, (struct text){name, (uint32_t)n});
}

static void
on_era_known(struct era_wait *wait)
{
    struct bridged *b = container_of(wait, struct bridged, era);
    struct upstream *up = b->ex->upstream;
    enum mcp_revision client = b->bridge.client;
    bool as_it_is = !b->session && !bridged_is_detached(b) && !tool_filter_is_set(up) && !up->stdio &&
                    !up->era.is_sse && same_era(b);

    if (session_is_over(b))
        return;
    /* Of one era, and yet it may be that neither knows the other's revision. */
    if (as_it_is && b->call.method == MCP_INITIALIZE && !mcp_revision_is_modern(client) &&
        up->era.era != BRIDGE_ERA_UNKNOWN) {
        if (!era_ask_spoken(up, client, b->credentials, &b->era))
            return; /* on_era_known() comes again */
        as_it_is = up->era.spoken & 1u << client;
    }
    if (as_it_is)
        bridged_splice(b);
    else if (tool_is_denied(b))
        bridged_error(b, -32602, 200, "the tool is not known here");
    else if (!b->session && !mcp_revision_is_modern(b->bridge.client) && b->call.method != MCP_INITIALIZE)
        local_error(b->ex, CLOSE_SESSION_MISSING, (struct text){0});
    else if (b->env.kind == JSONRPC_BATCH)
        bridged_take_batch(b);
    else if (b->env.kind == JSONRPC_NOTIFICATION)
        take_notification(b);
    else
        bridged_ask_upstream(b);
}

struct text
bridged_field(const struct bridged *b, struct text name)
{
    const char *at = b->fields.at + b->plain_fields, *end = b->fields.at + b->fields.len;

    while (b->fields.at && at < end) {
        const char *line_end = memchr(at, '\r', (size_t)(end - at));
        uint32_t len = (uint32_t)(line_end - at);

        if (len > name.len && at[name.len] == ':' && text_eq_nocase((struct text){at, name.len}, name))
            return text_trim((struct text){at + name.len + 1, len - name.len - 1});
        at = line_end + 2;
    }
    return (struct text){0};
}

/* What begins with an initialize has begun. */
static bool
has_greeted(const struct bridged *b)
{
    return b->session && (!b->session->is_of_stream || b->session->is_greeted);
}

/* Whether the message, and the fields that repeat parts of it, may be served (mcp/headers.h). */
static bool
is_fine(struct bridged *b, enum jsonrpc_fault fault)
{
    struct mcp_head head = {.http = !bridged_is_of_ws(b),
                            .version = bridged_field(b, TEXT("mcp-protocol-version")),
                            .method = bridged_field(b, TEXT("mcp-method")),
                            .name = bridged_field(b, TEXT("mcp-name")),
                            .session = has_greeted(b) ? b->session->token.revision : MCP_NO_REVISION};
    struct mcp_verdict verdict;
    struct bridge_out out;

    if (mcp_check(&head, fault, &b->env, b->in_batch, &verdict))
        return true;
    if (!bridged_out(b->worker, b->env.id.len, &out)) {
        exchange_fail(b->ex, CLOSE_NO_MEMORY);
        return false;
    }
    bridge_put_error(&out.room, verdict.revision, b->env.id, verdict.code, text_of(verdict.text),
                     text_of(verdict.data));
    bridged_reply(b, verdict.status, json_written(&out.room), (struct text){0});
    return false;
}

/* Notifications of a client of the merged server: what concerns a call is found by its id, the rest concerns
 * every upstream that the session talks to. */
static void
take_merged_notification(struct bridged *b)
{
    struct session_call *listed = NULL;

    if (b->call.method == MCP_CANCELLED && bridged_calls(b))
        listed = session_find_call(bridged_calls(b), b->env.request_id);
    if (listed)
        listed->cancel(listed);
    if (b->call.method == MCP_ROOTS_CHANGED && b->session)
        list_for_each(node, &b->session->bonds) {
            struct bond *bond = container_of(container_of(node, struct session_bond, node), struct bond, tie);

            if (!mcp_revision_is_modern(bond->bridge.upstream))
                bond_post(bond, bridged_message(b));
        }
    bridged_accept(b);
}

static void
take_merged(struct bridged *b)
{
    if (b->env.kind == JSONRPC_NOTIFICATION)
        take_merged_notification(b);
    else if (!b->session && !mcp_revision_is_modern(b->bridge.client) && b->call.method != MCP_INITIALIZE)
        local_error(b->ex, CLOSE_SESSION_MISSING, (struct text){0});
    else if (b->env.kind == JSONRPC_BATCH)
        bridged_take_batch(b);
    else
        merging_take(b);
}

void
bridged_take_message(struct bridged *b)
{
    enum jsonrpc_fault fault = jsonrpc_scan(bridged_message(b), JSON_SCAN_STRICT, &b->env);

    if (!is_fine(b, fault) || (b->is_posted && !bridged_sse_accept(b)) ||
        (bridged_is_of_ws(b) && !bridged_ws_accept(b)))
        return;
    read_client(b);
    if (b->env.kind == JSONRPC_RESPONSE || b->env.kind == JSONRPC_ERROR) {
        take_answer(b);
        return;
    }
    if (b->env.kind == JSONRPC_BATCH && b->in_batch) {
        bridged_error(b, -32600, 400, "Invalid Request: a batch has no batches in it");
        return;
    }
    if (b->env.kind == JSONRPC_REQUEST)
        bridged_list(b); /* it may have to wait before it has an upstream */
    if (b->is_merged) {
        take_merged(b);
        return;
    }
    if (bridged_calls(b) && b->call.method == MCP_CANCELLED) { /* what it cancels may wait for the era */
        take_notification(b);
        return;
    }
    b->era.known = on_era_known;
    if (era_ask(b->ex->upstream, b->credentials, &b->era))
        on_era_known(&b->era);
}

/* --- the plan --- */

static void
bridge_body(struct exchange *ex, const struct h1_body *body)
{
    struct bridged *b = ex->state;
    uint64_t max = ex->worker->config->max_body;

    ex->body_bytes += body->bytes;
    ex->asked_ns = ring_now(ex->worker->ring);
    if (b->ws) {
        bridged_ws_input(b, body);
        return;
    }
    if (max && ex->body_bytes > max) {
        exchange_fail(ex, CLOSE_BODY_TOO_LARGE);
        return;
    }
    for (uint32_t i = 0; i < body->count; i++)
        if (!held_append(ex->worker, &b->body, span_data(body->data[i]), body->data[i].len)) {
            exchange_fail(ex, CLOSE_NO_MEMORY);
            return;
        }
}

static void
bridge_trailers(struct exchange *ex, struct text section)
{
    (void)ex, (void)section;
}

bool
bridged_stand(struct bridged *b)
{
    struct session *s = b->session;

    if (s->stream) {
        if (s->stream->client)
            h1_send_end(s->stream->client, NULL);
        exchange_finish(s->stream, CLOSE_DONE);
    }
    b->is_standing = true;
    s->stream = b->ex;
    if (b->is_merged)
        list_add_tail(&b->worker->listeners_of_changes, &b->listener);
    if (!journaled_open(b, (struct text){0})) {
        exchange_fail(b->ex, CLOSE_NO_MEMORY);
        return false;
    }
    list_for_each(node, &s->bonds)
        bond_listen(container_of(container_of(node, struct session_bond, node), struct bond, tie));
    return true;
}

static void
open_stream(struct bridged *b)
{
    struct text id = bridged_field(b, TEXT("last-event-id"));

    if (!b->ex->accepts_sse)
        local_error(b->ex, CLOSE_NOT_ACCEPTABLE, (struct text){0});
    else if (id.len && b->worker->journal)
        journaled_resume(b, id);
    else
        bridged_stand(b);
}

static void
bridge_end(struct exchange *ex)
{
    struct bridged *b = ex->state;

    ex->request_whole = true;
    ex->asked_ns = ring_now(ex->worker->ring);
    if (session_is_over(b))
        return;
    switch ((enum http_method)ex->method) {
    case METHOD_POST:
        bridged_take_message(b);
        break;
    case METHOD_GET:
        if (b->ws)
            bridged_ws_open(b);
        else if (b->session->is_of_stream)
            bridged_sse_open(b);
        else
            open_stream(b);
        break;
    default:
        session_delete(b->session);
        local_reply(ex, 200, (struct text){0}, (struct text){0}, "", 0, CLOSE_DONE);
    }
}

static void
bridge_writable(struct exchange *ex)
{
    struct bridged *b = ex->state;

    if (b->is_standing && b->session && b->session->is_of_stream) {
        bridged_sse_writable(b);
        if (b->ws)
            bridged_ws_writable(b);
        return;
    }
    if (b->batch)
        bridged_batch_writable(b);
    else
        bond_resume(&b->ask);
    journaled_catch_up(b);
}

/* A call of an older revision goes on without its client (mcp-wire 5, behaviour 16), a modern one is
 * cancelled (15). What a client may come back for goes on, too. */
static void
bridge_client_gone(struct exchange *ex, enum close_reason reason)
{
    struct bridged *b = ex->state;
    uint64_t keep_ms = ex->worker->config->orphan_timeout;
    bool goes_on = keep_ms && !mcp_revision_is_modern(b->bridge.client) &&
                   (b->is_standing ? journaled_wait(b) : b->ask.bond || b->batch);

    if (!goes_on) {
        bond_call_done(&b->ask, true);
        exchange_finish(ex, reason);
        return;
    }
    if (b->batch)
        bridged_batch_writable(b);
    else
        bond_resume(&b->ask); /* others may come by the same stream or process */
    ex->orphan = true;
    ex->asked_ns = ring_now(ex->worker->ring);
    b->journaled.is_behind = false; /* it says itself what it has had */
    exchange_wake_in(ex, keep_ms);
}

static void
end_in_order(struct exchange *ex)
{
    struct bridged *b = ex->state;
    char body[ERROR_BYTES];
    struct json_writer w = {.at = body, .size = sizeof body};

    if (b->listener.next && ex->method == METHOD_POST) {
        bridge_put_listen_end(&w, b->call.id);
        events_send(ex, json_written(&w));
    }
    ex->client->keep_alive = false;
    h1_send_end(ex->client, NULL);
    exchange_finish(ex, CLOSE_DRAIN);
}

/* A subscription on a WebSocket. */
static void
end_listen(struct bridged *b)
{
    char body[ERROR_BYTES];
    struct json_writer w = {.at = body, .size = sizeof body};

    bridge_put_listen_end(&w, b->call.id);
    bridged_reply(b, 200, json_written(&w), (struct text){0});
}

static void
bridge_stop(struct exchange *ex, bool at_once)
{
    struct bridged *b = ex->state;

    if (b->is_standing && b->session && b->session->is_of_stream)
        bridged_sse_stop(b, at_once);
    else if (b->is_standing && ex->client && ex->reply_begun)
        end_in_order(ex);
    else if (b->is_standing && bridged_is_detached(b))
        end_listen(b);
    else if (b->is_standing && ex->orphan)
        exchange_finish(ex, CLOSE_DRAIN);
    else if (at_once)
        exchange_fail(ex, CLOSE_DRAIN);
}

static void
bridge_tick(struct exchange *ex)
{
    struct bridged *b = ex->state;

    if (exchange_check_limits(ex))
        return;
    if (ex->worker->draining && b->is_standing) { /* it came too late to stand for long */
        bridge_stop(ex, false);
        return;
    }
    journaled_tick(b);
    if (b->ws)
        bridged_ws_tick(b);
    else
        events_tick(ex);
}

static bool
bridge_fail_stream(struct exchange *ex, enum close_reason reason)
{
    return journaled_fail(ex->state, reason);
}

void
bridged_free(struct bridged *b)
{
    struct worker *w = b->worker;

    if (b->batch)
        bridged_batch_free(b);
    if (b->ws)
        bridged_ws_free(b);
    bond_call_done(&b->ask, true);
    if (b->relay)
        leg_close(b->relay);
    era_forget(&b->era);
    list_del(&b->listed.node);
    bridged_unlisten(b);
    if (b->listens_to)
        b->listens_to->listeners--;
    bridged_relist_free(b);
    bridged_round_free(b);
    bridged_parked_free(b);
    merging_leave(b);
    session_release(b->session);
    span_unref(b->relayed_session);
    held_free(w, &b->head);
    held_free(w, &b->body);
    held_free(w, &b->fields);
    pool_put(&w->bridged_pool, b);
}

static void
bridge_release(struct exchange *ex, enum close_reason reason)
{
    struct bridged *b = ex->state;

    journaled_end(b, reason);
    if (b->is_accepted || bridged_is_of_ws(b))
        bridged_sse_ends(b, reason);
    if (b->whole && b->whole->batch)
        bridged_batch_ends(b, reason);
    list_del(&b->part);
    b->whole = NULL;
    if (b->session && b->session->stream == ex) {
        b->session->stream = NULL;
        if (b->session->is_of_stream)
            bridged_sse_closed(b);
    }
    ex->state = NULL;
    b->ex = NULL;
    if (!b->is_leaving)
        bridged_free(b);
}

static void
bridge_peer_end(struct exchange *ex)
{
    struct bridged *b = ex->state;

    if (b->ws && ex->is_ws)
        bridged_ws_peer_end(b);
    else
        splice_probe_client(ex);
}

static const struct plan bridge_plan = {
    .name = "bridge",
    .peer_end = bridge_peer_end,
    .body = bridge_body,
    .trailers = bridge_trailers,
    .end = bridge_end,
    .writable = bridge_writable,
    .client_gone = bridge_client_gone,
    .tick = bridge_tick,
    .stop = bridge_stop,
    .fail_stream = bridge_fail_stream,
    .release = bridge_release,
};

/* --- the start --- */

static bool
names_our_session(const struct worker *w, const struct http1_head *head)
{
    struct mcp_token token;

    return mcp_token_open(http1_value(head, HTTP_MCP_SESSION_ID), (struct seal_keys *)&w->keys,
                          (uint64_t)time(NULL), &token);
}

static bool
is_json(const struct http1_head *head)
{
    struct text type = http1_value(head, HTTP_CONTENT_TYPE);
    const char *end = memchr(type.at ? type.at : "", ';', type.len);

    if (end)
        type.len = (uint32_t)(end - type.at);
    return text_eq_nocase(text_trim(type), TEXT("application/json"));
}

/* A client that has agreed on a revision says which, but for those of 2025-03-26. */
static bool
may_be_initialize(const struct http1_head *head)
{
    return head->framing == FRAMING_LENGTH && head->length <= INITIALIZE_BYTES && is_json(head) &&
           !http1_find(head, HTTP_MCP_PROTOCOL_VERSION);
}

bool
bridging_wanted(struct exchange *ex, const struct http1_head *head, struct upstream *up)
{
    const struct worker *w = ex->worker;
    enum mcp_revision revision = (enum mcp_revision)ex->revision;
    enum bridge_era era = (enum bridge_era)up->era.era;

    if (up->stdio || up->era.is_sse || tool_filter_is_set(up))
        return true;
    if (!w->config->era_ttl)
        return false;
    if (mcp_revision_is_modern(revision))
        return head->method == METHOD_POST && (!up->era.until_ms || era == BRIDGE_ERA_LEGACY);
    if (http1_find(head, HTTP_MCP_SESSION_ID))
        return names_our_session(w, head);
    return head->method == METHOD_POST &&
           (!up->era.until_ms || (era == BRIDGE_ERA_MODERN && !up->era.speaks_both) ||
            (era != BRIDGE_ERA_UNKNOWN && !era_speaks_all(up) && may_be_initialize(head)));
}

/* The bytes of the head, for bridged_splice(). */
static bool
keep_head(struct bridged *b, const struct http1_head *head)
{
    const char *begin = head->method_text.at, *end = head->target.at;

    if (b->session || b->is_merged || b->ex->upstream->stdio)
        return true;
    if (head->count)
        end = head->headers[head->count - 1].value;
    while (memcmp(end, "\r\n\r\n", 4) != 0) /* it was found before, and only once */
        end++;
    return held_append(b->worker, &b->head, begin, (uint32_t)(end + 4 - begin));
}

struct bridged *
bridged_begin(struct exchange *ex, const struct http1_head *head, struct session *session)
{
    struct worker *w = ex->worker;
    struct bridged *b = pool_get(&w->bridged_pool);

    *b = (struct bridged){.ex = ex, .worker = w, .session = session, .is_merged = !ex->upstream};
    ex->plan = &bridge_plan;
    ex->state = b;
    ex->by_legs = true;
    session_principal(w, head, b->principal);
    if (heads_keep(ex, head, &b->fields, &b->plain_fields, &b->credentials) && keep_head(b, head))
        return b;
    exchange_fail(ex, CLOSE_NO_MEMORY);
    return NULL;
}

struct bridged *
bridged_part(struct bridged *whole, struct text message)
{
    struct worker *w = whole->worker;
    struct bridged *b = pool_get(&w->bridged_pool);
    struct text fields = held_text(&whole->fields);

    *b = (struct bridged){.worker = w,
                          .session = whole->session,
                          .plain_fields = whole->plain_fields,
                          .credentials = whole->credentials,
                          .is_merged = whole->is_merged};
    memcpy(b->principal, whole->principal, sizeof b->principal);
    if (!held_append(w, &b->body, message.at, message.len) ||
        (fields.len && !held_append(w, &b->fields, fields.at, fields.len))) {
        held_free(w, &b->body);
        pool_put(&w->bridged_pool, b);
        return NULL;
    }
    if (b->credentials.len)
        b->credentials.at = b->fields.at + (whole->credentials.at - fields.at);
    if (b->session)
        session_hold(b->session);
    b->ex = exchange_new_part(w, whole->ex->upstream);
    b->ex->plan = &bridge_plan;
    b->ex->state = b;
    b->ex->by_legs = true;
    exchange_watch_limits(b->ex);
    return b;
}

/* The head of a POST. False: it is refused. */
static bool
await_body(struct exchange *ex, const struct http1_head *head)
{
    struct bridged *b = ex->state;

    if (!is_json(head)) {
        local_error(ex, CLOSE_MEDIA_TYPE, (struct text){0});
        return false;
    }
    if (head->framing == FRAMING_NONE) {
        bridged_error(b, -32700, 400, "the request has no body");
        return false;
    }
    if (head->expect_continue)
        h1_send_continue(ex->client);
    ex->expects_100 = false;
    exchange_watch_limits(ex);
    return true;
}

void
bridging_start(struct exchange *ex, const struct http1_head *head)
{
    struct session *s = NULL;

    if (!mcp_revision_is_modern((enum mcp_revision)ex->revision) && !session_at_home(ex, head, &s))
        return;
    if (!bridged_begin(ex, head, s))
        return;
    if (ex->method != METHOD_POST && !s) {
        if (mcp_revision_is_modern((enum mcp_revision)ex->revision))
            local_error(ex, CLOSE_METHOD, TEXT("Allow: POST\r\n"));
        else
            local_error(ex, CLOSE_SESSION_MISSING, (struct text){0});
        return;
    }
    if (ex->method == METHOD_POST)
        await_body(ex, head);
    else
        exchange_watch_limits(ex);
}

void
bridging_take_posted(struct exchange *ex, const struct http1_head *head, struct session *session)
{
    struct bridged *b = bridged_begin(ex, head, session);

    if (!b)
        return;
    b->is_posted = true;
    await_body(ex, head);
}
