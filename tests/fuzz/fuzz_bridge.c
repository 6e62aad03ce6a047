/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any message between any two revisions: what is sent on is JSON whenever what came was, as jansson reads it.
 * The first byte picks the revisions, the second the call and what the client can do.
 */
#include "base/check.h"
#include "mcp/bridge_ask.h"
#include "mcp/bridge_batch.h"
#include "mcp/bridge_listen.h"

#include <jansson.h>
#include <stdlib.h>

static char *room;
static uint32_t room_size;
static struct jsonrpc_edit edits[4096];
static bool came_as_json; /* jansson refuses numbers that do not fit its types, and keys with a NUL */

static void
check_json(struct text text)
{
    enum json_fault fault = json_check(text, JSON_SCAN_STRICT);
    json_error_t error;
    json_t *root;

    /* Wrapped content stands deeper than what came. */
    ASSERT(fault == JSON_FINE || fault == JSON_DEEP);
    if (!came_as_json)
        return;
    root = json_loadb(text.at, text.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
    ASSERT(root);
    json_decref(root);
}

static struct bridge_out
fresh_out(void)
{
    return (struct bridge_out){.room = {.at = room, .size = room_size},
                               .edits = {.at = edits, .room = sizeof edits / sizeof *edits}};
}

static void
check_out(const struct bridge_out *out)
{
    uint32_t size = jsonrpc_edited_size(out->text, out->edits.at, out->edits.count), n;
    char *text = malloc(size + 1);

    for (uint32_t i = 1; i < out->edits.count; i++)
        ASSERT(out->edits.at[i].old.at >= out->edits.at[i - 1].old.at + out->edits.at[i - 1].old.len);
    n = jsonrpc_edit_write(out->text, out->edits.at, out->edits.count, text, size);
    ASSERT(n == size);
    check_json((struct text){text, n});
    free(text);
}

static void
check_writer(const struct json_writer *w)
{
    if (!w->full && w->len)
        check_json(json_written(w));
}

static struct json_writer
fresh(void)
{
    return (struct json_writer){.at = room, .size = room_size};
}

static void
filter(struct text raw)
{
    struct bridge_filter f;
    struct json_writer w = fresh();

    if (!bridge_filter_read(raw, &f))
        return;
    bridge_put_acknowledged(&w, TEXT("1"), &f);
    check_writer(&w);
    bridge_filter_wants(&f, BRIDGE_ACT_UPDATED, TEXT("\"a:b\""));
}

static void
from_client(const struct bridge *b, struct text message, const struct jsonrpc_envelope *env)
{
    struct bridge_out out = fresh_out();
    enum bridge_verdict verdict = bridge_request(b, message, env, 7, false, &out);

    if (verdict == BRIDGE_PASS || verdict == BRIDGE_REPLY)
        check_out(&out);
    if (out.act == BRIDGE_ACT_LISTEN)
        filter(out.subject);
    if (env->kind != JSONRPC_REQUEST)
        return;
    out = fresh_out();
    if (bridge_retry(b, message, env, 8, TEXT("{\"k\":{}}"), TEXT("\"s\""), &out) == BRIDGE_PASS)
        check_out(&out);
}

static void
questions(const struct bridge *b, struct text result)
{
    struct bridge_question q[BRIDGE_ASKS_MAX];
    struct text state;
    int n = bridge_questions(result, q, &state);

    for (int i = 0; i < n; i++) {
        struct json_writer w = fresh();
        const char *why;

        if (bridge_put_question(b, &q[i], 9, &w, &why))
            check_writer(&w);
        w = fresh();
        bridge_put_response(&w, q[i].key, TEXT("{}"), true);
        json_put(&w, TEXT("}"));
        check_writer(&w);
    }
}

static void
from_upstream(const struct bridge *b, const struct bridge_call *call, struct text message,
              const struct jsonrpc_envelope *env)
{
    struct bridge_out out = fresh_out();
    enum bridge_verdict verdict = bridge_result(b, call, message, env, &out);

    if (verdict == BRIDGE_PASS)
        check_out(&out);
    if (verdict == BRIDGE_NOTHING && out.act == BRIDGE_ACT_ASK)
        questions(b, out.subject);
    if (verdict == BRIDGE_NOTHING && out.act == BRIDGE_ACT_VISIT) {
        struct json_writer w = fresh();

        bridge_put_visits(&w, call->id, out.subject, TEXT("state"));
        check_writer(&w);
    }
}

static void
noticed(const struct bridge *b, const struct bridge_call *call, struct text message,
        const struct jsonrpc_envelope *env)
{
    struct bridge_out out = fresh_out();

    if (bridge_notice(b, call, message, env, &out) == BRIDGE_PASS)
        check_out(&out);
    out = fresh_out();
    if (bridge_changed(b->client, message, env, TEXT("\"l\""), &out) == BRIDGE_PASS)
        check_out(&out);
}

static void
asked(const struct bridge *b, struct text message, const struct jsonrpc_envelope *env)
{
    struct bridge_out out = fresh_out();
    struct json_writer w;

    switch (bridge_ask(b, message, env, true, 7, &out)) {
    case BRIDGE_ASK_FORWARD:
    case BRIDGE_ASK_REPLY:
        check_out(&out);
        break;
    case BRIDGE_ASK_COLLECT:
        w = fresh();
        bridge_put_input_required(&w, TEXT("1"), &message, 1, TEXT("state"));
        check_writer(&w);
        break;
    case BRIDGE_ASK_FULL:
        break;
    }
}

static void
each_way(const struct bridge *b, const struct bridge_call *call, struct text message,
         const struct jsonrpc_envelope *env)
{
    from_client(b, message, env);
    switch ((enum jsonrpc_kind)env->kind) {
    case JSONRPC_RESPONSE:
    case JSONRPC_ERROR:
        from_upstream(b, call, message, env);
        break;
    case JSONRPC_NOTIFICATION:
        noticed(b, call, message, env);
        break;
    case JSONRPC_REQUEST:
        asked(b, message, env);
        break;
    case JSONRPC_NONE:
    case JSONRPC_BATCH:
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const enum mcp_method methods[] = {MCP_TOOLS_CALL, MCP_TOOLS_LIST, MCP_RESOURCES_READ,
                                              MCP_COMPLETE};
    struct jsonrpc_envelope env;
    struct bridge_call call;
    struct text message;
    struct bridge b;
    const char *why;
    json_t *root;

    if (size < 3 || size > 1 << 16)
        return 0;
    b = (struct bridge){.client = (enum mcp_revision)(data[0] % 5),
                        .upstream = (enum mcp_revision)(data[0] / 5 % 5),
                        .client_caps = data[1] & 0x7f,
                        .server_info = data[0] >= 125 ? TEXT("{}") : (struct text){NULL, 0}};
    call = (struct bridge_call){.method = methods[data[1] & 3], .id = TEXT("\"c\""), .token = TEXT("1")};
    message = (struct text){(const char *)data + 2, (uint32_t)size - 2};
    if (jsonrpc_scan(message, JSON_SCAN_STRICT, &env) != JSONRPC_FAULT_FINE)
        return 0;
    root = json_loadb(message.at, message.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    came_as_json = root != NULL;
    json_decref(root);
    room_size = BRIDGE_ROOM(message.len);
    room = malloc(room_size);
    if (env.kind == JSONRPC_BATCH)
        ASSERT(bridge_batch_requests(message, &why) <= env.count);
    each_way(&b, &call, message, &env);
    free(room);
    return 0;
}
