/* SPDX-License-Identifier: Apache-2.0 */
#include "gate/bond_stream.h"

#include "gate/bridging.h"
#include "gate/upstream.h"

enum { WAIT_MIN_MS = 500, WAIT_MAX_MS = 30000 };

/* --- calls --- */

/* One that is on its way, or whose answer is awaited. */
static struct bond_call *
first_sent(const struct bond *bond)
{
    list_for_each(node, &bond->calls) {
        struct bond_call *call = container_of(node, struct bond_call, node);

        if (call->is_sent)
            return call;
    }
    return NULL;
}

static bool
is_awaited(const struct bond_call *call)
{
    return call->is_sent && !call->is_standing;
}

/* A drain ends the stream when nothing is awaited on it. */
static void
note_open_calls(struct bond *bond)
{
    if (!bond->stream)
        return;
    bond->stream->is_standing = true;
    list_for_each(node, &bond->calls)
        if (is_awaited(container_of(node, struct bond_call, node)))
            bond->stream->is_standing = false;
    if (bond->stream->is_standing && bond->worker->draining)
        exchange_wake_in(bond->stream->ex, 1);
}

void
bond_stream_sent(struct bond_call *call)
{
    call->is_sent = true;
    note_open_calls(call->bond);
}

bool
bond_stream_forget(struct bond_call *call)
{
    bool was_sent = call->is_sent;

    bond_stream_resume(call);
    call->is_sent = false;
    note_open_calls(call->bond);
    return was_sent;
}

void
bond_stream_fail_sent(struct bond *bond)
{
    for (struct bond_call *call; (call = first_sent(bond));) {
        call->is_sent = false;
        bond_came_to_end(call, CLOSE_UPSTREAM_GONE, 0, false);
    }
}

void
bond_stream_resume(struct bond_call *call)
{
    struct bond *bond = call->bond;

    if (!call->is_paused)
        return;
    call->is_paused = false;
    list_for_each(node, &bond->calls)
        if (container_of(node, struct bond_call, node)->is_paused)
            return;
    if (bond->stream)
        leg_resume(bond->stream);
}

/* One client that does not read stops the stream for all calls of the bond, but only while it is there. */
void
bond_stream_pause(struct bond_call *call)
{
    if (!call->is_sent || !call->bond->stream)
        return;
    call->is_paused = true;
    leg_pause(call->bond->stream);
}

uint64_t
bond_stream_mint(struct bond *bond)
{
    return ++bond->last_number;
}

void
bond_stream_listen(struct bond *bond)
{
    (void)bond; /* it says what it says */
}

/* --- what the stream brings --- */

static struct bond_call *
find_call(struct bond *bond, uint64_t number)
{
    list_for_each(node, &bond->calls) {
        struct bond_call *call = container_of(node, struct bond_call, node);

        if (call->is_sent && call->number == number)
            return call;
    }
    return NULL;
}

/* The call that a notification names: of progress, or of a subscription that has just begun. */
static struct bond_call *
call_named(struct bond *bond, struct text message, const struct jsonrpc_envelope *env)
{
    struct text meta, id;

    if (mcp_method_of(env->method) == MCP_PROGRESS)
        return find_call(bond, bridge_number(env->progress_token));
    if (!text_eq(env->method, TEXT("notifications/subscriptions/acknowledged")))
        return NULL;
    meta = json_find(json_find(message, TEXT("params")), TEXT("_meta"));
    id = json_find(meta, TEXT("io.modelcontextprotocol/subscriptionId"));
    return id.len ? find_call(bond, bridge_number(id)) : NULL;
}

/* The only call that is awaited: a question that comes meanwhile is about it, and a log line of a server that
 * logs within calls only. */
static struct bond_call *
only_call(struct bond *bond)
{
    struct bond_call *only = NULL;

    list_for_each(node, &bond->calls) {
        struct bond_call *call = container_of(node, struct bond_call, node);

        if (!is_awaited(call))
            continue;
        if (only)
            return NULL;
        only = call;
    }
    return only;
}

static bool
is_log_within_calls(const struct bond *bond, const struct jsonrpc_envelope *env)
{
    return mcp_revision_is_modern(bond->bridge.upstream) &&
           text_eq(env->method, TEXT("notifications/message"));
}

void
bond_stream_on_message(struct leg *leg, struct text message)
{
    struct bond *bond = leg->owner;

    bond->stream_wait_ms = 0;
    bond_stream_heard(bond, message);
}

void
bond_stream_heard(struct bond *bond, struct text message)
{
    struct bond_call *call = NULL;
    struct jsonrpc_envelope env;

    if (jsonrpc_scan(message, JSON_SCAN_STRICT, &env) != JSONRPC_FAULT_FINE)
        return; /* what is no message says nothing */
    if (env.kind == JSONRPC_RESPONSE || env.kind == JSONRPC_ERROR) {
        call = find_call(bond, bridge_number(env.id));
        if (call) { /* else it comes too late */
            bond->port->let_go(call);
            bond_came(call, message, &env);
        }
        return;
    }
    call = env.kind == JSONRPC_NOTIFICATION ? call_named(bond, message, &env) : NULL;
    if (!call && mcp_method_of(env.method) == MCP_PROGRESS)
        return; /* of none that is open */
    if (!call && (env.kind == JSONRPC_REQUEST || is_log_within_calls(bond, &env)))
        call = only_call(bond);
    if (call)
        bond_came(call, message, &env);
    else
        bridging_heard(bond, message, &env);
}

void
bond_stream_on_head(struct leg *leg, const struct http1_head *head)
{
    struct bond *bond = leg->owner;

    bond->endpoint = leg_endpoint(leg);
    if (head->status == 401 && bond->hello.bond && !bond->hello.challenge.buf)
        bond->hello.challenge = exchange_keep(leg->ex, http1_value(head, HTTP_WWW_AUTHENTICATE));
}

/* --- its beginning and its end --- */

/* A stream holds its connection for as long as the session lasts. Some are kept for what is posted, or nobody
 * would get on any more. */
static bool
has_room(const struct bond *bond)
{
    uint64_t max = bond->worker->config->upstream_max, kept = max / 8 ? max / 8 : 1;

    return bond->up->standing + kept < max;
}

enum close_reason
bond_stream_open(struct bond *bond, const struct leg_up *up)
{
    enum close_reason reason = CLOSE_NONE;

    bond->endpoint = NULL;
    if (!has_room(bond))
        return CLOSE_POOL_FULL;
    bond->stream = leg_open(
        bond->worker,
        &(struct leg_request){.upstream = bond->up, .method = METHOD_GET, .fields = held_text(&bond->fields)},
        up, bond, &reason);
    if (!bond->stream)
        return reason;
    bond->up->standing++;
    bond->endpoint = leg_endpoint(bond->stream);
    note_open_calls(bond);
    return CLOSE_NONE;
}

void
bond_stream_close(struct bond *bond)
{
    timer_stop(&bond->stream_timer);
    if (bond->stream) {
        bond->up->standing--;
        leg_close(bond->stream);
    }
    bond->stream = NULL;
}

static void
on_due(struct ring *ring, struct timer *timer)
{
    struct bond *bond = container_of(timer, struct bond, stream_timer);

    (void)ring;
    if (!bond->over && !bond->worker->draining)
        bond_greet(bond);
}

/* Who wants to hear what is said unasked needs the stream, also when nobody calls. */
static void
come_again(struct bond *bond)
{
    if (!bond->wants_stream || bond->over || bond->worker->draining)
        return;
    bond->stream_wait_ms = bond->stream_wait_ms ? 2 * bond->stream_wait_ms : WAIT_MIN_MS;
    if (bond->stream_wait_ms > WAIT_MAX_MS)
        bond->stream_wait_ms = WAIT_MAX_MS;
    timer_set(bond->worker->ring, &bond->stream_timer, bond->stream_wait_ms, on_due);
}

void
bond_stream_ended(struct bond *bond, enum close_reason reason, bool is_refused, unsigned status)
{
    if (reason == CLOSE_DONE)
        reason = is_refused ? CLOSE_NOT_INITIALIZED : CLOSE_UPSTREAM_GONE;
    if (!is_refused)
        come_again(bond);
    if (is_refused && bond->hello.bond)
        bond_came_to_end(&bond->hello, reason, status, false);
    else
        bond_lost(bond, reason);
}
