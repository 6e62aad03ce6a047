/* SPDX-License-Identifier: Apache-2.0 */
/* A message of a client, whole: whether it may be served, whose it is, and who is to answer it. */
#include "gate/bridged.h"
#include "gate/local.h"
#include "gate/merging.h"
#include "mcp/headers.h"

enum { TOOL_NAME_MAX = 512 };

static void
on_cancelled(struct session_call *listed)
{
    struct bridged *b = container_of(listed, struct bridged, listed);
    struct exchange *ex = b->ex;
    struct h1 *client = ex->client;

    list_del(&listed->node);
    if (client && b->session && b->session->over) { /* nobody called it off: its client waits */
        bond_call_done(&b->ask, true);
        exchange_fail(ex, CLOSE_SESSION_UNKNOWN);
        return;
    }
    b->call.is_done = true;
    bond_call_done(&b->ask, true);
    if (b->is_accepted && !bridged_hearer(b)) {
        exchange_finish(ex, CLOSE_STREAM_GONE);
    } else if (!client) {
        exchange_finish(ex, CLOSE_CANCELLED);
    } else if (ex->reply_begun) {
        exchange_end_reply(ex, CLOSE_CANCELLED);
    } else { /* a cancelled request is never answered; its connection has nothing else to say */
        exchange_finish(ex, CLOSE_CANCELLED);
        h1_close(client, CLOSE_DONE);
    }
}

/* Revision and capabilities are the session's, or the request's own. */
static void
read_client(struct bridged *b)
{
    const struct jsonrpc_envelope *env = b->env;

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
    exchange_prioritize(b->ex, env);
    b->ask.priority = b->ex->asked_priority;
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
    struct session_ask *ask = b->session ? session_find_ask(b->session, bridge_number(b->env->id)) : NULL;

    if (ask)
        ask->answered(ask, bridged_message(b), b->env);
    bridged_accept(b);
}

static void
take_notification(struct bridged *b)
{
    struct session_call *listed = NULL;

    if (b->call.method == MCP_CANCELLED && bridged_calls(b))
        listed = session_find_call(bridged_calls(b), b->env->request_id);
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
    b->listed = (struct session_call){.id = b->env->id, .cancel = on_cancelled};
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
        /* With a state it is the answer to a question, and not a call of its own. */
        b->ask.may_be_asked =
            bridge_may_ask(b->call.method) && !json_find(b->env->params, TEXT("requestState")).at;
        bond = b->ask.may_be_asked ? bond_for_call(b->worker, up, b->bridge.client_caps, b->credentials)
                                   : bond_shared(b->worker, up, b->bridge.client_caps, b->credentials);
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

bool
bridged_session_is_over(struct bridged *b)
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
    n = json_string_decode(b->env->name, name, sizeof name);
    return n < 0 || !tool_filter_allows(b->ex->upstream, (struct text){name, (uint32_t)n});
}

static void
on_era_known(struct era_wait *wait)
{
    struct bridged *b = container_of(wait, struct bridged, era);
    struct upstream *up = b->ex->upstream;
    enum mcp_revision client = b->bridge.client;
    bool as_it_is = !b->session && !bridged_is_detached(b) && !tool_filter_is_set(up) &&
                    upstream_takes_posts(up) && same_era(b);

    if (bridged_session_is_over(b))
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
    else if (b->env->kind == JSONRPC_BATCH)
        bridged_take_batch(b);
    else if (b->env->kind == JSONRPC_NOTIFICATION)
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

/* Reads the message: whether it, and the fields that repeat parts of it, may be served (mcp/headers.h). */
static bool
is_fine(struct bridged *b)
{
    struct recall *recall = &b->worker->bridge_room->recall;
    struct text message = bridged_message(b);
    struct mcp_head head = {.http = !bridged_is_of_ws(b),
                            .version = bridged_field(b, TEXT("mcp-protocol-version")),
                            .method = bridged_field(b, TEXT("mcp-method")),
                            .name = bridged_field(b, TEXT("mcp-name")),
                            .session = has_greeted(b) ? b->session->token.revision : MCP_NO_REVISION};
    struct mcp_verdict verdict;
    enum jsonrpc_fault fault;
    struct bridge_out out;

    if (!b->in_batch && recall_find(recall, message, &head, b->env))
        return true;
    fault = jsonrpc_scan(message, JSON_SCAN_STRICT, b->env);
    if (mcp_check(&head, fault, b->env, b->in_batch, &verdict)) {
        if (!b->in_batch)
            recall_note(recall, message, &head, b->env);
        return true;
    }
    if (!bridged_out(b->worker, b->env->id.len, &out)) {
        exchange_fail(b->ex, CLOSE_NO_MEMORY);
        return false;
    }
    bridge_put_error(&out.room, verdict.revision, b->env->id, verdict.code, text_of(verdict.text),
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
        listed = session_find_call(bridged_calls(b), b->env->request_id);
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
    if (b->env->kind == JSONRPC_NOTIFICATION)
        take_merged_notification(b);
    else if (!b->session && !mcp_revision_is_modern(b->bridge.client) && b->call.method != MCP_INITIALIZE)
        local_error(b->ex, CLOSE_SESSION_MISSING, (struct text){0});
    else if (b->env->kind == JSONRPC_BATCH)
        bridged_take_batch(b);
    else
        merging_take(b);
}

void
bridged_take_message(struct bridged *b)
{
    if (!is_fine(b) || (b->is_posted && !bridged_sse_accept(b)) ||
        (bridged_is_of_ws(b) && !bridged_ws_accept(b)))
        return;
    read_client(b);
    if (b->env->kind == JSONRPC_RESPONSE || b->env->kind == JSONRPC_ERROR) {
        take_answer(b);
        return;
    }
    if (b->env->kind == JSONRPC_BATCH && b->in_batch) {
        bridged_error(b, -32600, 400, "Invalid Request: a batch has no batches in it");
        return;
    }
    if (b->env->kind == JSONRPC_REQUEST)
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
