/* SPDX-License-Identifier: Apache-2.0 */
#include "gate/lines.h"

#include "gate/heads.h"
#include "gate/held.h"
#include "gate/home.h"
#include "gate/local.h"
#include "gate/session.h"
#include "gate/stdio_pool.h"
#include "mcp/client_caps.h"
#include "mcp/remap.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

BUF_STATIC_TEXT(heartbeat_text, SSE_HEARTBEAT);
BUF_STATIC_TEXT(event_head_text, "event: message\ndata: ");
BUF_STATIC_TEXT(event_end_text, "\n\n");

enum { ID_MAX = 80, NOTE_INITIALIZED = 1 };

/* What the plan keeps per request: ex->state. */
struct call {
    struct list_node node; /* of child->calls, while `child` */
    struct exchange *ex;
    struct stdio_child *child; /* NULL: nothing was sent */
    struct held body;
    struct session *session; /* held; NULL: none */
    uint8_t principal[MCP_TOKEN_PRINCIPAL_BYTES];
    uint64_t number;       /* that stands for it at the server; 0: none, it waits for another's initialize */
    uint32_t capabilities; /* initialize: the client's */
    uint8_t id_len, token_len;
    bool is_initialize, no_cancel;
    bool has_paused; /* the child, as this client does not read */
    char id[ID_MAX], token[ID_MAX];
};

/* The answer to initialize of a child that is shared by older revisions: others get it too. pool->state. */
struct welcome {
    enum mcp_revision revision;
    uint32_t len;
    char result[];
};

static const struct plan lines_plan;
static const struct stdio_user child_events;

static const struct text nothing = {0};

static bool
is_shared(const struct stdio_child *child)
{
    return memcmp(child->key, stdio_shared_key(false), STDIO_KEY_BYTES) == 0 ||
           memcmp(child->key, stdio_shared_key(true), STDIO_KEY_BYTES) == 0;
}

static void answer_waiting(struct stdio_child *child);

/* --- the end of a call --- */

/* The server may stop working on it. */
static void
send_cancelled(struct call *call)
{
    struct buf *b;
    int n;

    if (call->no_cancel || call->is_initialize || !call->number)
        return;
    if (!(b = slab_get(&call->ex->worker->slab, 160)))
        return;
    n = snprintf(
        (char *)b->data, b->size,
        "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":%llu}}",
        (unsigned long long)call->number);
    stdio_child_send(call->child, &(struct span){b, 0, (uint32_t)n}, 1);
    buf_unref(b);
}

/* Takes the call off its child. */
static void
detach(struct call *call, bool answered)
{
    struct stdio_child *child = call->child;
    bool begins = call->is_initialize && call->number && !answered;

    if (!child)
        return;
    if (!answered)
        send_cancelled(call);
    if (call->has_paused)
        stdio_child_resume(child);
    call->has_paused = false;
    list_del(&call->node);
    call->child = NULL;
    stdio_child_release(child);
    if (begins && !is_shared(child))
        stdio_child_end(child, CLOSE_CLIENT_GONE); /* nobody knows its session */
    else if (begins)
        answer_waiting(child); /* whoever is left asks anew */
}

static void
drop(struct exchange *ex)
{
    struct call *call = ex->state;

    if (!call)
        return;
    ex->state = NULL;
    detach(call, false);
    held_free(ex->worker, &call->body);
    session_release(call->session);
    free(call);
}

static void
lines_release(struct exchange *ex, enum close_reason reason)
{
    (void)reason;
    drop(ex);
}

static void
refuse(struct exchange *ex, enum close_reason reason, struct text extra)
{
    drop(ex);
    local_error(ex, reason, extra);
}

/* --- replies --- */

static void
refuse_message(struct exchange *ex, enum jsonrpc_fault fault)
{
    char body[320], escaped[160];
    uint32_t len = json_write_string(escaped, sizeof escaped, text_of(jsonrpc_fault_text(fault)));
    int n =
        snprintf(body, sizeof body, "{\"jsonrpc\":\"2.0\",%s%.*s%s\"error\":{\"code\":%d,\"message\":%.*s}}",
                 ex->id_len ? "\"id\":" : "", ex->id_len, ex->id, ex->id_len ? "," : "",
                 jsonrpc_fault_code(fault), (int)len, escaped);
    drop(ex);
    local_reply(ex, 400, TEXT("application/json"), nothing, body, (uint32_t)n, CLOSE_BAD_REQUEST);
}

/* Notifications and responses: accepted, nothing to say. */
static void
accept_message(struct exchange *ex)
{
    drop(ex);
    local_reply(ex, 202, nothing, nothing, "", 0, CLOSE_DONE);
}

static bool
open_stream(struct exchange *ex, struct text extra)
{
    struct worker *w = ex->worker;
    enum http1_framing framing;
    struct span head = heads_local(ex, 200, TEXT("text/event-stream"), -1, extra, &framing);

    if (!head.buf)
        return false;
    ex->status = 200;
    ex->first_ns = ex->client_ns = ring_now(w->ring);
    ex->reply_begun = true;
    exchange_set_phase(ex, PHASE_BODY);
    h1_send_head(ex->client, head, framing, 0, METHOD_GET);
    span_unref(head);
    exchange_open_stream(ex);
    return true;
}

/* A message with `with` in the place of `old`, without a copy of the rest. */
struct spliced {
    struct span pieces[3];
    unsigned count;
    uint32_t len;
};

static bool
splice(struct worker *w, struct span line, struct text old, struct text with, struct spliced *ret)
{
    uint32_t at = (uint32_t)(old.at - (const char *)span_data(line));
    struct buf *b = slab_get(&w->slab, with.len);

    if (!b)
        return false;
    memcpy(b->data, with.at, with.len);
    *ret = (struct spliced){
        .pieces = {span_head(line, at), span_of(b, 0, with.len), span_skip(line, at + old.len)},
        .count = 3,
        .len = line.len - old.len + with.len};
    return true;
}

static void
send_pieces(struct h1 *client, const struct spliced *s)
{
    for (unsigned i = 0; i < s->count; i++)
        if (s->pieces[i].len)
            h1_send_piece(client, s->pieces[i]);
}

static void
send_event(struct exchange *ex, const struct spliced *s)
{
    h1_send_piece(ex->client, span_all(&event_head_text));
    send_pieces(ex->client, s);
    h1_send_piece(ex->client, span_all(&event_end_text));
    ex->events++;
    ex->client_ns = ex->active_ns = ring_now(ex->worker->ring);
    stats_add(ex->worker->stats, STAT_events, 1);
    stats_up_add(ex->worker->stats, ex->upstream->index, UPSTAT_up_events, 1);
}

/* 2026-07-28 gives some errors a status of their own. */
static int
status_of(const struct exchange *ex, const struct jsonrpc_envelope *env)
{
    if (env->kind != JSONRPC_ERROR || !mcp_revision_is_modern((enum mcp_revision)ex->revision))
        return 200;
    if (env->error_code == -32601)
        return 404;
    return env->error_code <= -32020 && env->error_code >= -32022 ? 400 : 200;
}

static void
send_json(struct exchange *ex, int status, const struct spliced *s, struct text extra)
{
    enum http1_framing framing;
    struct span head = heads_local(ex, status, TEXT("application/json"), s->len, extra, &framing);

    if (!head.buf) {
        h1_abort(ex->client, CLOSE_NO_MEMORY);
        exchange_finish(ex, CLOSE_NO_MEMORY);
        return;
    }
    ex->status = (uint16_t)status;
    ex->first_ns = ring_now(ex->worker->ring);
    ex->reply_begun = true;
    exchange_set_phase(ex, PHASE_BODY);
    h1_send_head(ex->client, head, framing, s->len, METHOD_GET);
    span_unref(head);
    send_pieces(ex->client, s);
    h1_send_end(ex->client, NULL);
    exchange_finish(ex, CLOSE_DONE);
}

/* The final message. Finishes. */
static void
answer(struct exchange *ex, const struct jsonrpc_envelope *env, const struct spliced *s, struct text extra)
{
    ex->reply_bytes += s->len;
    if (!ex->reply_begun) {
        send_json(ex, status_of(ex, env), s, extra);
        return;
    }
    send_event(ex, s);
    h1_send_end(ex->client, NULL);
    exchange_finish(ex, CLOSE_DONE);
}

/* --- initialize --- */

static enum mcp_revision
revision_of_result(struct text result)
{
    struct text version = json_find(result, TEXT("protocolVersion"));
    char name[32];
    int n = json_string_decode(version, name, sizeof name);
    enum mcp_revision r = n < 0 ? MCP_NO_REVISION : mcp_revision_of((struct text){name, (uint32_t)n});

    /* What is older than the oldest that we know is like it. */
    return r < MCP_2026_07_28 ? r : MCP_2024_11_05;
}

/* The session that an initialize begins: held by the call, with the field for the reply. CLOSE_NONE, or why
 * there is none. */
static enum close_reason
mint(struct call *call, enum mcp_revision revision, char field[SESSION_FIELD_MAX], struct text *ret_field)
{
    enum close_reason reason;
    struct session *s =
        session_create(call->ex->worker, revision, call->capabilities, call->principal, &reason);

    if (!s)
        return reason;
    session_release(call->session);
    call->session = s;
    *ret_field = (struct text){field, session_field(s, field)};
    return ret_field->len ? CLOSE_NONE : CLOSE_INTERNAL;
}

static void
keep_welcome(struct stdio_pool *pool, enum mcp_revision revision, struct text result)
{
    struct welcome *welcome = malloc(sizeof *welcome + result.len);

    if (!welcome)
        return;
    welcome->revision = revision;
    welcome->len = result.len;
    memcpy(welcome->result, result.at, result.len);
    free(pool->state);
    pool->state = welcome;
}

/* Another client's answer for this one. Finishes. */
static void
answer_welcome(struct call *call, const struct welcome *welcome)
{
    static const struct text before = {"{\"jsonrpc\":\"2.0\",\"id\":", 22}, between = {",\"result\":", 10};
    struct exchange *ex = call->ex;
    char field[SESSION_FIELD_MAX];
    struct text extra = nothing;
    enum close_reason reason = mint(call, welcome->revision, field, &extra);
    struct held json = {0};

    call->no_cancel = true;
    if (reason != CLOSE_NONE) {
        refuse(ex, reason, nothing);
        return;
    }
    if (!held_append(ex->worker, &json, before.at, before.len) ||
        !held_append(ex->worker, &json, call->id, call->id_len) ||
        !held_append(ex->worker, &json, between.at, between.len) ||
        !held_append(ex->worker, &json, welcome->result, welcome->len) ||
        !held_append(ex->worker, &json, "}", 1)) {
        held_free(ex->worker, &json);
        refuse(ex, CLOSE_NO_MEMORY, nothing);
        return;
    }
    detach(call, true);
    struct worker *w = ex->worker;
    local_reply(ex, 200, TEXT("application/json"), extra, json.at, json.len, CLOSE_DONE);
    held_free(w, &json);
}

/* The others that wait for the same, which has come or never will. */
static void
answer_waiting(struct stdio_child *child)
{
    list_for_each_safe(node, &child->calls) {
        struct call *call = container_of(node, struct call, node);

        if (call->number)
            continue;
        if (child->pool->state)
            answer_welcome(call, child->pool->state);
        else
            exchange_fail(call->ex, CLOSE_BAD_REPLY);
    }
}

/* The reply to an initialize that this call has sent: the session begins, unless the server refuses.
 * CLOSE_NONE, or why there is no session. */
static enum close_reason
begin_session(struct call *call, const struct jsonrpc_envelope *env, char field[SESSION_FIELD_MAX],
              struct text *ret_field)
{
    static const uint8_t note[STDIO_NOTE_BYTES] = {NOTE_INITIALIZED};
    struct stdio_child *child = call->child;
    bool shared = is_shared(child);
    enum mcp_revision revision = revision_of_result(env->result);
    enum close_reason reason = CLOSE_NONE;

    if (env->kind == JSONRPC_RESPONSE)
        reason = mint(call, revision, field, ret_field);
    if (env->kind != JSONRPC_RESPONSE || (reason != CLOSE_NONE && !shared)) {
        if (!shared)
            stdio_child_end(child, CLOSE_DONE);
        return reason;
    }
    stdio_child_label(child, shared ? child->key : call->session->token.id, note);
    if (shared)
        keep_welcome(child->pool, revision, env->result);
    return reason;
}

/* --- what the server says --- */

static struct call *
find_call(struct stdio_child *child, uint64_t number)
{
    list_for_each(node, &child->calls) {
        struct call *call = container_of(node, struct call, node);

        if (call->number == number)
            return call;
    }
    return NULL;
}

static void
take_answer(struct stdio_child *child, struct span line, const struct jsonrpc_envelope *env)
{
    char field[SESSION_FIELD_MAX];
    enum close_reason reason = CLOSE_NONE;
    struct text place, extra = nothing;
    struct spliced s;
    struct call *call;
    uint64_t number;

    /* Late, or of the worker before us: nobody waits for it. */
    if (!remap_find(env, &number, &place) || !(call = find_call(child, number)))
        return;
    struct exchange *ex = call->ex;
    if (call->is_initialize)
        reason = begin_session(call, env, field, &extra);
    bool initialized = call->is_initialize;
    detach(call, true);
    if (reason != CLOSE_NONE) {
        exchange_fail(ex, reason);
        if (initialized)
            answer_waiting(child);
        return;
    }
    if (!splice(ex->worker, line, place, (struct text){call->id, call->id_len}, &s)) {
        exchange_fail(ex, CLOSE_NO_MEMORY);
        return;
    }
    answer(ex, env, &s, extra);
    span_unref(s.pieces[1]);
    if (initialized)
        answer_waiting(child);
}

/* Whose stream takes it. A child of one session has one client; what belongs to no call of his goes where one
 * is open. */
static struct call *
call_of_notification(struct stdio_child *child, const struct jsonrpc_envelope *env, struct text *ret_place)
{
    struct call *first;
    uint64_t number;

    *ret_place = nothing;
    if (remap_find(env, &number, ret_place))
        return find_call(child, number);
    if (list_empty(&child->calls) || is_shared(child))
        return NULL;
    first = container_of(list_first(&child->calls), struct call, node);
    return first->is_initialize ? NULL : first;
}

/* A client that does not read: what only he hears stops, what others hear too goes on without him. */
static bool
may_take_event(struct stdio_child *child, struct call *call)
{
    if (!call->ex->reply_begun || !link_congested(&call->ex->client->link))
        return true;
    if (is_shared(child))
        return false;
    call->has_paused = true;
    stdio_child_pause(child);
    return true;
}

static void
take_notification(struct stdio_child *child, struct span line, const struct jsonrpc_envelope *env)
{
    struct text place, with;
    struct call *call = call_of_notification(child, env, &place);
    struct exchange *ex = call ? call->ex : NULL;
    struct spliced s = {.pieces = {line}, .count = 1, .len = line.len};

    if (!ex || !ex->client || !ex->accepts_sse || !may_take_event(child, call))
        return;
    with = env->progress_token.len ? (struct text){call->token, call->token_len}
                                   : (struct text){call->id, call->id_len};
    if (place.len && (!with.len || !splice(ex->worker, line, place, with, &s)))
        return;
    ex->reply_bytes += s.len;
    if (ex->reply_begun || open_stream(ex, nothing))
        send_event(ex, &s);
    if (s.count > 1)
        span_unref(s.pieces[1]);
}

/* A request of the server's: nobody here can answer for the client. */
static void
refuse_request(struct stdio_child *child, const struct jsonrpc_envelope *env)
{
    static const char error[] = "\"error\":{\"code\":-32601,\"message\":\"requests from this server are not "
                                "carried to its client\"}}";
    bool is_ping = mcp_method_of(env->method) == MCP_PING;
    struct buf *b =
        env->id.len <= ID_MAX ? slab_get(&child->pool->worker->slab, sizeof error + ID_MAX + 40) : NULL;
    int n;

    if (!b)
        return;
    n = snprintf((char *)b->data, b->size, "{\"jsonrpc\":\"2.0\",\"id\":%.*s,%s", (int)env->id.len,
                 env->id.at, is_ping ? "\"result\":{}}" : error);
    stdio_child_send(child, &(struct span){b, 0, (uint32_t)n}, 1);
    buf_unref(b);
}

static void take_message(struct stdio_child *child, struct span line);

/* 2025-03-26: several messages in one line. */
static void
take_batch(struct stdio_child *child, struct span line)
{
    struct text rest = {(const char *)span_data(line), line.len}, message;

    while (jsonrpc_next_message(&rest, &message) && child->state == CHILD_OPEN)
        take_message(
            child, span_of(line.buf, (uint32_t)((const uint8_t *)message.at - line.buf->data), message.len));
}

static void
take_message(struct stdio_child *child, struct span line)
{
    struct text text = {(const char *)span_data(line), line.len};
    struct jsonrpc_envelope env;

    if (jsonrpc_scan(text, JSON_SCAN_FAST, &env) != JSONRPC_FAULT_FINE) {
        stdio_child_junk(child, text);
        return;
    }
    switch ((enum jsonrpc_kind)env.kind) {
    case JSONRPC_RESPONSE:
    case JSONRPC_ERROR:
        take_answer(child, line, &env);
        break;
    case JSONRPC_NOTIFICATION:
        take_notification(child, line, &env);
        break;
    case JSONRPC_REQUEST:
        refuse_request(child, &env);
        break;
    case JSONRPC_BATCH:
        take_batch(child, line);
        break;
    case JSONRPC_NONE:
        break;
    }
}

static void
on_line(struct stdio_child *child, struct span line)
{
    struct worker *w = child->pool->worker;
    struct buf *flat;

    /* A CR between two tokens would end the line of an event. */
    if (!memchr(span_data(line), '\r', line.len)) {
        take_message(child, line);
    } else if ((flat = stdio_buf(&w->stdio.wire, line.len))) {
        memcpy(flat->data, span_data(line), line.len);
        lines_flatten((char *)flat->data, line.len);
        take_message(child, span_of(flat, 0, line.len));
        buf_unref(flat);
    }
}

static void
fail_all(struct stdio_child *child, enum close_reason reason)
{
    struct list_node *node;

    while ((node = list_first(&child->calls))) {
        struct call *call = container_of(node, struct call, node);
        struct exchange *ex = call->ex;

        detach(call, reason != CLOSE_STDIO_LINE && reason != CLOSE_NO_MEMORY);
        exchange_fail(ex, reason);
    }
}

/* Which call's answer it was cannot be told: none of them is to wait for good. */
static void
on_lost(struct stdio_child *child, enum close_reason reason)
{
    fail_all(child, reason);
}

static void
on_child_writable(struct stdio_child *child)
{
    (void)child;
}

static void
on_gone(struct stdio_child *child, enum close_reason reason)
{
    if (memcmp(child->key, stdio_shared_key(false), STDIO_KEY_BYTES) == 0) {
        free(child->pool->state);
        child->pool->state = NULL;
    }
    fail_all(child, reason == CLOSE_DONE || reason == CLOSE_CLIENT_GONE ? CLOSE_STDIO_EXITED : reason);
}

static const struct stdio_user child_events = {
    .on_line = on_line, .on_lost = on_lost, .on_writable = on_child_writable, .on_gone = on_gone};

void
lines_init(struct worker *w)
{
    for (unsigned i = 0; i < w->upstreams.count; i++)
        if (w->upstreams.items[i].stdio)
            stdio_set_user(&w->upstreams.items[i], &child_events);
}

/* --- what the client says --- */

static bool
copy_text(char out[ID_MAX], uint8_t *ret_len, struct text raw)
{
    if (raw.len > ID_MAX)
        return false;
    if (raw.len)
        memcpy(out, raw.at, raw.len);
    *ret_len = (uint8_t)raw.len;
    return true;
}

/* Sends the call's message with these edits. */
static bool
send_edited(struct call *call, struct stdio_child *child, const struct jsonrpc_edit *edits, unsigned count)
{
    struct exchange *ex = call->ex;
    struct text message = held_text(&call->body);
    uint32_t size = jsonrpc_edited_size(message, edits, count);
    struct buf *b = stdio_buf(&ex->worker->stdio.wire, size);

    if (!b)
        return false;
    jsonrpc_edit_write(message, edits, count, (char *)b->data, size);
    lines_flatten((char *)b->data, size);
    stdio_child_send(child, &(struct span){b, 0, size}, 1);
    buf_unref(b);
    held_free(ex->worker, &call->body);
    return true;
}

static void
attach(struct call *call, struct stdio_child *child)
{
    call->child = child;
    list_add_tail(&child->calls, &call->node);
    stdio_child_hold(child);
}

static struct text
print_number(uint64_t number, char out[REMAP_NUMBER_MAX + 1])
{
    int n = snprintf(out, REMAP_NUMBER_MAX + 1, "%llu", (unsigned long long)number);

    return (struct text){out, (uint32_t)n};
}

static void
send_request(struct call *call, const struct jsonrpc_envelope *env, struct stdio_child *child)
{
    struct exchange *ex = call->ex;
    struct jsonrpc_edit edits[REMAP_EDITS_MAX];
    char number[REMAP_NUMBER_MAX + 1];
    unsigned count;

    if (!copy_text(call->id, &call->id_len, env->id) ||
        !copy_text(call->token, &call->token_len, env->meta_progress_token)) {
        refuse_message(ex, JSONRPC_FAULT_ID);
        return;
    }
    attach(call, child);
    call->number = stdio_child_mint_id(child);
    count = remap_request(env, print_number(call->number, number), edits);
    exchange_set_phase(ex, PHASE_REPLY);
    exchange_watch_limits(ex);
    if (!send_edited(call, child, edits, count))
        refuse(ex, CLOSE_NO_MEMORY, nothing);
}

static bool
is_initializing(struct stdio_child *child)
{
    list_for_each(node, &child->calls)
        if (container_of(node, struct call, node)->is_initialize)
            return true;
    return false;
}

/* The first initialize of a shared child goes to it, the others wait for its answer or have it. */
static bool
shares_welcome(struct call *call, const struct jsonrpc_envelope *env, struct stdio_child *child)
{
    if (!child->pool->state && !is_initializing(child))
        return false;
    if (!copy_text(call->id, &call->id_len, env->id)) {
        refuse_message(call->ex, JSONRPC_FAULT_ID);
        return true;
    }
    attach(call, child);
    exchange_set_phase(call->ex, PHASE_REPLY);
    if (child->pool->state)
        answer_welcome(call, child->pool->state);
    return true;
}

static void
initialize(struct call *call, const struct jsonrpc_envelope *env)
{
    struct exchange *ex = call->ex;
    struct upstream *up = ex->upstream;
    bool shared = up->stdio->cfg->share == SHARE_ALL;
    uint8_t key[STDIO_KEY_BYTES];
    struct stdio_child *child = NULL;
    enum close_reason reason = CLOSE_NONE;

    call->is_initialize = true;
    call->capabilities = mcp_client_caps(json_find(env->params, TEXT("capabilities")));
    memcpy(key, stdio_shared_key(false), sizeof key);
    if (shared)
        child = stdio_find(up, key);
    else if (getrandom(key, sizeof key, 0) != sizeof key)
        reason = CLOSE_INTERNAL;
    if (!child && reason == CLOSE_NONE)
        reason = stdio_take(up, key, &child_events, &child);
    if (reason != CLOSE_NONE)
        refuse(ex, reason, nothing);
    else if (!shared || !shares_welcome(call, env, child))
        send_request(call, env, child);
}

/* The child that the message is for. NULL: the request was refused. */
static struct stdio_child *
find_child(struct call *call, bool modern)
{
    struct exchange *ex = call->ex;
    struct upstream *up = ex->upstream;
    const uint8_t *key = modern || up->stdio->cfg->share == SHARE_ALL ? stdio_shared_key(modern) : NULL;
    struct stdio_child *child;
    enum close_reason reason;

    if (!modern && !call->session) {
        refuse(ex, CLOSE_SESSION_MISSING, nothing);
        return NULL;
    }
    if (!key)
        key = call->session->token.id;
    if ((child = stdio_find(up, key)))
        return child;
    if (!modern) /* its process has ended: a new one would know nothing of the session */
        reason = ex->worker->stdio.synced ? CLOSE_SESSION_UNKNOWN : CLOSE_HOME_GONE;
    else
        reason = stdio_take(up, key, &child_events, &child);
    if (reason == CLOSE_NONE)
        return child;
    refuse(ex, reason, nothing);
    return NULL;
}

/* notifications/cancelled: for the call of the same session. Its client waits for no answer any more. */
static void
cancel(struct call *by, const struct jsonrpc_envelope *env, struct stdio_child *child)
{
    struct exchange *own = by->ex;
    char number[REMAP_NUMBER_MAX + 1];

    list_for_each_safe(node, &child->calls) {
        struct call *call = container_of(node, struct call, node);
        struct exchange *ex = call->ex;

        if (call->is_initialize || !by->session || call->session != by->session ||
            !text_eq((struct text){call->id, call->id_len}, env->request_id))
            continue;
        struct jsonrpc_edit edit = remap_cancelled(env, print_number(call->number, number));
        send_edited(by, child, &edit, 1);
        detach(call, true);
        if (ex->reply_begun) {
            h1_send_end(ex->client, NULL);
            exchange_finish(ex, CLOSE_DONE);
        } else {
            struct h1 *client = ex->client;

            exchange_finish(ex, CLOSE_DONE);
            h1_close(client, CLOSE_DONE);
        }
        break;
    }
    accept_message(own);
}

static void
pass_notification(struct call *call, const struct jsonrpc_envelope *env, struct stdio_child *child)
{
    struct exchange *ex = call->ex;

    if (ex->mcp == MCP_CANCELLED) {
        cancel(call, env, child);
        return;
    }
    /* Of those who share a child only the first says that he is ready; what else they say is about
     * themselves. */
    if (!is_shared(child) || (ex->mcp == MCP_INITIALIZED && child->note[1] == 0)) {
        uint8_t note[STDIO_NOTE_BYTES];

        memcpy(note, child->note, sizeof note);
        note[1] = 1;
        stdio_child_label(child, child->key, note);
        send_edited(call, child, NULL, 0);
    }
    accept_message(ex);
}

static void
lines_end(struct exchange *ex)
{
    struct call *call = ex->state;
    struct jsonrpc_envelope env;
    enum jsonrpc_fault fault = jsonrpc_scan(held_text(&call->body), JSON_SCAN_STRICT, &env);
    bool modern = mcp_revision_is_modern((enum mcp_revision)ex->revision) || env.meta_version.len;
    struct stdio_child *child;

    ex->request_whole = true;
    if (env.id.len && env.id.len <= EXCHANGE_ID_MAX) {
        memcpy(ex->id, env.id.at, env.id.len);
        ex->id_len = (uint8_t)env.id.len;
    }
    if (fault != JSONRPC_FAULT_FINE || env.kind == JSONRPC_BATCH) {
        refuse_message(ex, fault != JSONRPC_FAULT_FINE ? fault : JSONRPC_FAULT_TOP_LEVEL);
        return;
    }
    ex->mcp = (uint8_t)mcp_method_of(env.method);
    if (env.kind == JSONRPC_RESPONSE || env.kind == JSONRPC_ERROR) {
        accept_message(ex);
    } else if (!modern && env.kind == JSONRPC_REQUEST && ex->mcp == MCP_INITIALIZE) {
        initialize(call, &env);
    } else if ((child = find_child(call, modern))) {
        if (env.kind == JSONRPC_REQUEST)
            send_request(call, &env, child);
        else
            pass_notification(call, &env, child);
    }
}

static void
lines_body(struct exchange *ex, const struct h1_body *body)
{
    struct call *call = ex->state;
    uint64_t most = ex->worker->config->max_body;

    ex->body_bytes += body->bytes;
    ex->client_ns = ring_now(ex->worker->ring);
    if (most && ex->body_bytes > most) {
        refuse(ex, CLOSE_BODY_TOO_LARGE, nothing);
        return;
    }
    for (uint32_t i = 0; i < body->count; i++) {
        if (held_append(ex->worker, &call->body, span_data(body->data[i]), body->data[i].len))
            continue;
        refuse(ex, CLOSE_NO_MEMORY, nothing);
        return;
    }
}

static void
lines_trailers(struct exchange *ex, struct text section)
{
    (void)ex, (void)section;
}

static void
lines_writable(struct exchange *ex)
{
    struct call *call = ex->state;

    if (call && call->has_paused && call->child) {
        call->has_paused = false;
        stdio_child_resume(call->child);
    }
}

/* Before 2026-07-28 a client that leaves has not cancelled anything: its answer is dropped when it comes. */
static void
lines_client_gone(struct exchange *ex, enum close_reason reason)
{
    struct call *call = ex->state;

    call->no_cancel = !mcp_revision_is_modern((enum mcp_revision)ex->revision);
    exchange_finish(ex, reason);
}

static void
lines_tick(struct exchange *ex)
{
    uint64_t beat_ms = ex->worker->config->heartbeat, quiet_ms = exchange_age_ms(ex, ex->client_ns);

    if (exchange_check_limits(ex) || !ex->is_stream || !beat_ms)
        return;
    if (quiet_ms >= beat_ms && !link_blocked(&ex->client->link)) {
        h1_send_piece(ex->client, span_all(&heartbeat_text));
        ex->client_ns = ring_now(ex->worker->ring);
        stats_add(ex->worker->stats, STAT_heartbeats, 1);
        quiet_ms = 0;
    }
    exchange_wake_in(ex, quiet_ms < beat_ms ? beat_ms - quiet_ms : beat_ms);
}

static void
lines_stop(struct exchange *ex, bool at_once)
{
    if (at_once || ex->mcp == MCP_LISTEN)
        exchange_fail(ex, CLOSE_DRAIN);
}

static const struct plan lines_plan = {
    .name = "lines",
    .body = lines_body,
    .trailers = lines_trailers,
    .end = lines_end,
    .writable = lines_writable,
    .client_gone = lines_client_gone,
    .tick = lines_tick,
    .stop = lines_stop,
    .release = lines_release,
};

/* --- the start --- */

static bool
is_json(const struct http1_head *head)
{
    struct text type = http1_value(head, HTTP_CONTENT_TYPE);
    const char *end = memchr(type.at ? type.at : "", ';', type.len);

    if (end)
        type.len = (uint32_t)(end - type.at);
    return text_eq_nocase(text_trim(type), TEXT("application/json"));
}

static void
on_timer(struct ring *ring, struct timer *timer)
{
    struct exchange *ex = container_of(timer, struct exchange, timer);

    (void)ring;
    ex->plan->tick(ex);
}

static void
end_session(struct exchange *ex, struct call *call)
{
    struct stdio_child *child = stdio_find(ex->upstream, call->session->token.id);

    session_delete(call->session);
    drop(ex);
    if (child)
        stdio_child_end(child, CLOSE_DONE);
    local_reply(ex, 200, nothing, nothing, "", 0, CLOSE_DONE);
}

void
lines_start(struct exchange *ex, const struct http1_head *head)
{
    struct worker *w = ex->worker;
    bool modern = mcp_revision_is_modern((enum mcp_revision)ex->revision);
    struct session *session = NULL;
    struct call *call;

    /* Processes stay with the slot when its worker dies, as its sessions do. */
    if (!modern && !session_at_home(ex, head, &session))
        return;
    stats_up_add(w->stats, ex->upstream->index, UPSTAT_up_requests, 1);
    ex->plan = &lines_plan;
    ex->timer.fire = on_timer;
    if (!(call = calloc(1, sizeof *call))) {
        session_release(session);
        local_error(ex, CLOSE_NO_MEMORY, nothing);
        return;
    }
    ex->state = call;
    call->ex = ex;
    call->session = session;
    session_principal(w, head, call->principal);
    if (head->method == METHOD_GET || (modern && head->method != METHOD_POST)) {
        refuse(ex, CLOSE_METHOD, modern ? TEXT("Allow: POST\r\n") : TEXT("Allow: POST, DELETE\r\n"));
    } else if (head->method == METHOD_DELETE && !call->session) {
        refuse(ex, CLOSE_SESSION_MISSING, nothing);
    } else if (head->method == METHOD_DELETE) {
        end_session(ex, call);
    } else if (!is_json(head)) {
        refuse(ex, CLOSE_MEDIA_TYPE, nothing);
    } else {
        if (head->expect_continue)
            h1_send_continue(ex->client);
        ex->expects_100 = false;
        exchange_wake_in(ex, w->config->body_timeout);
    }
}
