/* SPDX-License-Identifier: Apache-2.0 */
/* The demo server's way in: what kind of message this is, which revision it follows, and whether its envelope
 * and header fields are as that revision wants them. */
#include "mcp/demo.h"

#include "base/check.h"
#include "mcp/demo_turn.h"

#include <assert.h>

static_assert(sizeof(struct demo_call) <= 256, "a call is embedded in each request");

/* Room that is kept for an error in the place of each message of a batch that is still to be answered. */
enum { ERROR_ROOM = 1024 };
static_assert(DEMO_ROOM_MIN >= (JSONRPC_BATCH_MAX + 1) * ERROR_ROOM,
              "a whole batch can be refused one by one");

/* Whether a raw string is this header value. */
static bool
mirrors(struct text raw, struct text value)
{
    return value.at && json_string_is(raw, value);
}

static enum mcp_revision
revision_of_raw(struct text raw)
{
    char name[16];
    int n = json_string_decode(raw, name, sizeof name);

    return n < 0 ? MCP_NO_REVISION : mcp_revision_of((struct text){name, (uint32_t)n});
}

/* --- 2026-07-28: each request says what it is --- */

static bool
refuse_header(struct demo_turn *t, const char *field, const char *why)
{
    demo_error(t, 400, MCP_ERROR_HEADER, "HeaderMismatch: %s %s", field, why);
    return false;
}

static bool
check_name_header(struct demo_turn *t, const struct demo_input *in)
{
    struct text key = mcp_method_name_key(mcp_method_of(t->env.method));
    struct text raw = text_eq(key, TEXT("uri"))      ? t->env.uri
                      : text_eq(key, TEXT("taskId")) ? t->env.task_id
                                                     : t->env.name;
    char name[1024];
    int n;

    if (!key.len)
        return true;
    if (!in->name.at)
        return refuse_header(t, "Mcp-Name", "is missing");
    n = mcp_header_decode(in->name, name, sizeof name);
    if (n < 0)
        return refuse_header(t, "Mcp-Name", "is not a valid header value");
    /* Without a name in the body there is nothing to compare: the method will miss it. */
    if (raw.len && !json_string_is(raw, (struct text){name, (uint32_t)n}))
        return refuse_header(t, "Mcp-Name", "differs from the name in the body");
    return true;
}

static bool
check_modern_headers(struct demo_turn *t, const struct demo_input *in)
{
    if (!in->version.at)
        return refuse_header(t, "MCP-Protocol-Version", "is missing");
    if (!in->method.at)
        return refuse_header(t, "Mcp-Method", "is missing");
    return check_name_header(t, in);
}

static void
refuse_version(struct demo_turn *t)
{
    char clip[64];
    const char *requested = demo_clip(t->env.meta_version, clip);

    demo_error_begin(t, MCP_ERROR_VERSION, "Unsupported protocol version: %s", requested);
    demo_key(t, TEXT("data"));
    json_put(&t->w, TEXT("{\"supported\":["));
    json_put_string(&t->w, mcp_revision_name(MCP_2026_07_28));
    json_put(&t->w, TEXT("]"));
    demo_put_string(t, TEXT("requested"), text_of(requested));
    json_put(&t->w, TEXT("}"));
    demo_error_end(t, 400);
}

/* In the order of the reference server: contradictions, envelope, version, presence of header fields, method.
 */
static void
modern_request(struct demo_turn *t, const struct demo_input *in)
{
    t->revision = MCP_2026_07_28;
    if (json_kind_of(t->env.meta_version) != JSON_IS_STRING) {
        demo_error(t, 400, MCP_ERROR_PARAMS,
                   "_meta lacks the string \"io.modelcontextprotocol/protocolVersion\"");
        return;
    }
    if (in->http && in->version.at && !mirrors(t->env.meta_version, in->version)) {
        refuse_header(t, "MCP-Protocol-Version", "differs from _meta of the body");
        return;
    }
    if (in->http && in->method.at && !text_eq(t->env.method, in->method)) {
        refuse_header(t, "Mcp-Method", "differs from the method in the body");
        return;
    }
    if (json_kind_of(t->env.meta_capabilities) != JSON_IS_OBJECT) {
        demo_error(t, 400, MCP_ERROR_PARAMS,
                   "_meta lacks the object \"io.modelcontextprotocol/clientCapabilities\"");
        return;
    }
    if (!mcp_revision_is_modern(revision_of_raw(t->env.meta_version))) {
        refuse_version(t);
        return;
    }
    if (in->http && !check_modern_headers(t, in))
        return;
    demo_method(t);
}

/* --- legacy: the session says it --- */

static void
legacy_request(struct demo_turn *t, const struct demo_input *in)
{
    if (mcp_method_of(t->env.method) == MCP_INITIALIZE && (t->in_batch || in->session != MCP_NO_REVISION))
        demo_error(t, 400, MCP_ERROR_INVALID_REQUEST,
                   t->in_batch ? "Invalid Request: initialize must not be part of a batch"
                               : "Invalid Request: the session is initialized already");
    else
        demo_method(t);
}

/* The revision of a message without a claim in its _meta; false when the header names none that is served. */
static bool
legacy_revision(const struct demo_input *in, enum mcp_revision *ret)
{
    enum mcp_revision header = in->version.at ? mcp_revision_of(in->version) : MCP_NO_REVISION;

    if (in->version.at && header == MCP_NO_REVISION)
        return false;
    *ret = in->session != MCP_NO_REVISION ? in->session : header;
    if (*ret == MCP_NO_REVISION)
        *ret = MCP_2025_03_26; /* what the transport says when nothing is known */
    return true;
}

/* --- either --- */

/* 2026-07-28 claims itself in _meta; but initialize is the legacy method whatever else _meta may hold. */
static bool
claims_modern(const struct demo_turn *t)
{
    if (!t->env.meta_version.at)
        return false;
    return mcp_method_of(t->env.method) != MCP_INITIALIZE ||
           mcp_revision_is_modern(revision_of_raw(t->env.meta_version));
}

static void
request(struct demo_turn *t, const struct demo_input *in)
{
    bool header_modern = in->version.at && mcp_revision_is_modern(mcp_revision_of(in->version));

    if (t->env.id.len > DEMO_ID_MAX) {
        demo_error(t, 400, MCP_ERROR_INVALID_REQUEST, "Invalid Request: the id is longer than %d bytes",
                   DEMO_ID_MAX);
        return;
    }
    t->id = t->env.id;
    if (!t->in_batch && (claims_modern(t) || header_modern)) {
        if (mcp_method_of(t->env.method) == MCP_INITIALIZE && !claims_modern(t)) {
            t->revision = MCP_2026_07_28;
            refuse_header(t, "MCP-Protocol-Version", "names a revision that has no initialize");
            return;
        }
        modern_request(t, in);
    } else {
        legacy_request(t, in);
    }
}

/* Notifications and replies: nothing is answered. */
static void
notification(struct demo_turn *t, const struct demo_input *in)
{
    bool is_id = json_kind_of(t->env.request_id) == JSON_IS_STRING ||
                 json_kind_of(t->env.request_id) == JSON_IS_NUMBER;

    t->out->status = 202;
    /* Over 2026-07-28's HTTP a request is cancelled by closing its stream, and ids of two senders may be
     * equal. */
    if (mcp_method_of(t->env.method) == MCP_CANCELLED && is_id && !(in->http && demo_is_modern(t)))
        t->out->cancel_id = t->env.request_id;
}

static void
refuse_fault(struct demo_turn *t, enum jsonrpc_fault fault)
{
    if (t->env.id_kind != JSON_IS_ABSENT && t->env.id_kind != JSON_IS_NULL && t->env.id.len <= DEMO_ID_MAX)
        t->id = t->env.id;
    demo_error(t, 400, jsonrpc_fault_code(fault), "%s: %s",
               jsonrpc_fault_code(fault) == -32700 ? "Parse error" : "Invalid Request",
               jsonrpc_fault_text(fault));
}

static void
batch(struct demo_turn *t, const struct demo_input *in)
{
    unsigned left = t->env.count;
    struct text rest = in->message, message;

    t->in_batch = true;
    json_put(&t->w, TEXT("["));
    while (jsonrpc_next_message(&rest, &message)) {
        enum jsonrpc_fault fault = jsonrpc_scan(message, JSON_SCAN_STRICT, &t->env);

        t->w.size = t->out->room_size - 1 - --left * ERROR_ROOM;
        t->begin = t->w.len;
        t->id = (struct text){NULL, 0};
        if (fault != JSONRPC_FAULT_FINE || t->env.kind == JSONRPC_REQUEST) {
            if (t->begin > 1)
                json_put(&t->w, TEXT(","));
            t->begin = t->w.len;
        }
        if (fault != JSONRPC_FAULT_FINE)
            refuse_fault(t, fault);
        else if (t->env.kind == JSONRPC_REQUEST)
            request(t, in);
        else if (t->env.kind == JSONRPC_NOTIFICATION)
            notification(t, in);
    }
    t->in_batch = false;
    t->w.size = t->out->room_size;
    json_put(&t->w, TEXT("]"));
    t->out->status = t->w.len > 2 ? 200 : 202;
    if (t->w.len > 2)
        demo_emit(t, true);
}

static void
turn_init(struct demo_turn *t, struct demo_call *call, struct demo_effects *out)
{
    ASSERT(out->room_size >= DEMO_ROOM_MIN);
    memset(t, 0, sizeof *t);
    t->call = call;
    t->out = out;
    t->w = (struct json_writer){.at = out->room, .size = out->room_size};
    out->status = 200;
    out->wants_stream = false;
    out->wake_ms = 0;
    out->initialized = MCP_NO_REVISION;
    out->client_capabilities = 0;
    out->cancel_id = (struct text){NULL, 0};
}

static void
single(struct demo_turn *t, const struct demo_input *in)
{
    bool modern_header = in->version.at && mcp_revision_is_modern(mcp_revision_of(in->version));
    bool knows = legacy_revision(in, &t->revision);

    if (t->env.kind == JSONRPC_REQUEST && !knows && !claims_modern(t)) {
        t->id = t->env.id.len <= DEMO_ID_MAX ? t->env.id : t->id;
        demo_error(t, 400, MCP_ERROR_GENERIC,
                   "Bad Request: unsupported protocol version in MCP-Protocol-Version");
    } else if (t->env.kind == JSONRPC_REQUEST) {
        request(t, in);
    } else if (t->env.kind == JSONRPC_NOTIFICATION) {
        t->revision = modern_header ? MCP_2026_07_28 : t->revision;
        notification(t, in);
    } else if (modern_header) {
        t->revision = MCP_2026_07_28;
        demo_error(t, 400, MCP_ERROR_INVALID_REQUEST, "Invalid Request: replies are not sent to servers");
    } else {
        t->out->status = 202;
    }
}

bool
demo_begin(struct demo_call *call, const struct demo_input *in, struct demo_effects *out)
{
    struct demo_turn t;
    enum jsonrpc_fault fault;
    bool knows;

    memset(call, 0, sizeof *call);
    turn_init(&t, call, out);
    t.now_ms = in->now_ms;
    knows = legacy_revision(in, &t.revision);
    fault = jsonrpc_scan(in->message, JSON_SCAN_STRICT, &t.env);
    if (fault != JSONRPC_FAULT_FINE)
        refuse_fault(&t, fault);
    else if (t.env.kind != JSONRPC_BATCH)
        single(&t, in);
    else if (knows && t.revision <= MCP_2025_03_26)
        batch(&t, in);
    else
        demo_error(&t, 400, MCP_ERROR_INVALID_REQUEST, "Invalid Request: this revision has no batches");
    if (!t.open)
        call->kind = DEMO_IDLE;
    return t.open;
}

static void
turn_resume(struct demo_turn *t, struct demo_call *call, struct demo_effects *out)
{
    ASSERT(call->kind != DEMO_IDLE);
    turn_init(t, call, out);
    t->revision = (enum mcp_revision)call->revision;
    t->id = demo_call_id(call);
    t->open = true;
    out->wants_stream = call->token_len || call->kind == DEMO_LISTEN;
}

bool
demo_wake(struct demo_call *call, uint64_t now_ms, struct demo_effects *out)
{
    struct demo_turn t;

    turn_resume(&t, call, out);
    t.now_ms = now_ms;
    if (call->kind != DEMO_LISTEN)
        demo_tools_step(&t);
    if (!t.open)
        call->kind = DEMO_IDLE;
    return t.open;
}

void
demo_cancel(struct demo_call *call)
{
    call->kind = DEMO_IDLE;
}

void
demo_finish(struct demo_call *call, struct demo_effects *out)
{
    struct demo_turn t;

    turn_resume(&t, call, out);
    if (call->kind == DEMO_LISTEN) {
        demo_result_begin(&t);
        demo_result_end(&t);
    } else {
        demo_error(&t, 200, MCP_ERROR_GENERIC, "The server is stopping");
    }
    call->kind = DEMO_IDLE;
}

struct text
demo_call_id(const struct demo_call *call)
{
    return (struct text){call->id, call->id_len};
}
