/* SPDX-License-Identifier: Apache-2.0 */
/* The demo server's way in: what kind of message this is, and whether it may be served (mcp/headers.h). */
#include "mcp/demo.h"

#include "base/check.h"
#include "mcp/demo_turn.h"

#include <assert.h>

static_assert(sizeof(struct demo_call) <= 256, "a call is embedded in each request");

/* Room that is kept for an error in the place of each message of a batch that is still to be answered. */
enum { ERROR_ROOM = 1024 };
static_assert(DEMO_ROOM_MIN >= (JSONRPC_BATCH_MAX + 1) * ERROR_ROOM,
              "a whole batch can be refused one by one");

/* What mcp_check() refused. */
static void
refuse(struct demo_turn *t, const struct mcp_verdict *v)
{
    bool has_id = t->env.id_kind == JSON_IS_STRING || t->env.id_kind == JSON_IS_NUMBER;

    if (has_id && t->env.id.len <= DEMO_ID_MAX && t->env.kind != JSONRPC_RESPONSE &&
        t->env.kind != JSONRPC_ERROR)
        t->id = t->env.id;
    demo_error_begin(t, v->code, "%s", v->text);
    if (v->data[0])
        demo_put(t, TEXT("data"), text_of(v->data));
    demo_error_end(t, v->status);
}

static void
request(struct demo_turn *t)
{
    if (t->env.id.len > DEMO_ID_MAX) {
        demo_error(t, 400, MCP_ERROR_INVALID_REQUEST, "Invalid Request: the id is longer than %d bytes",
                   DEMO_ID_MAX);
        return;
    }
    t->id = t->env.id;
    demo_method(t);
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
batch(struct demo_turn *t, const struct demo_input *in, const struct mcp_head *head)
{
    unsigned left = t->env.count;
    struct text rest = in->message, message;

    t->in_batch = true;
    json_put(&t->w, TEXT("["));
    while (jsonrpc_next_message(&rest, &message)) {
        enum jsonrpc_fault fault = jsonrpc_scan(message, JSON_SCAN_STRICT, &t->env);
        struct mcp_verdict v;
        bool fine = mcp_check(head, fault, &t->env, true, &v);

        t->w.size = t->out->room_size - 1 - --left * ERROR_ROOM;
        t->begin = t->w.len;
        t->id = (struct text){NULL, 0};
        if (!fine || t->env.kind == JSONRPC_REQUEST) {
            if (t->begin > 1)
                json_put(&t->w, TEXT(","));
            t->begin = t->w.len;
        }
        if (!fine)
            refuse(t, &v);
        else if (t->env.kind == JSONRPC_REQUEST)
            request(t);
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

bool
demo_begin(struct demo_call *call, const struct demo_input *in, struct demo_effects *out)
{
    struct mcp_head head = {in->http, in->version, in->method, in->name, in->session};
    struct demo_turn t;
    struct mcp_verdict v;
    enum jsonrpc_fault fault;

    memset(call, 0, sizeof *call);
    turn_init(&t, call, out);
    t.now_ms = in->now_ms;
    fault = jsonrpc_scan(in->message, JSON_SCAN_STRICT, &t.env);
    mcp_check(&head, fault, &t.env, false, &v);
    t.revision = v.revision;
    if (!v.fine)
        refuse(&t, &v);
    else if (t.env.kind == JSONRPC_BATCH)
        batch(&t, in, &head);
    else if (t.env.kind == JSONRPC_REQUEST)
        request(&t);
    else if (t.env.kind == JSONRPC_NOTIFICATION)
        notification(&t, in);
    else
        out->status = 202;
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
