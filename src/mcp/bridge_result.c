/* SPDX-License-Identifier: Apache-2.0 */
/* From the upstream to the client: results and errors. */
#include "base/check.h"
#include "mcp/bridge_ask.h"
#include "mcp/bridge_edit.h"
#include "mcp/merge_list.h"
#include "mcp/params.h"

#define NO_TEXT ((struct text){NULL, 0})

enum { TOOL_NAME_MAX = 512 /* longer ones match no rule */ };

/* What 2026-07-28 adds to results. */
static const struct text complete_members[] = {ROW_TEXT("resultType"), ROW_TEXT("ttlMs"),
                                               ROW_TEXT("cacheScope")};
enum { AT_TYPE, AT_TTL, AT_SCOPE };
static const struct text result_meta[] = {
    ROW_TEXT(META_SERVER_INFO),
    ROW_TEXT(META_SUBSCRIPTION),
};

static bool
is_cacheable(enum mcp_method method)
{
    switch (method) {
    case MCP_DISCOVER:
    case MCP_TOOLS_LIST:
    case MCP_PROMPTS_LIST:
    case MCP_RESOURCES_LIST:
    case MCP_RESOURCES_TEMPLATES_LIST:
    case MCP_RESOURCES_READ:
        return true;
    default:
        return false;
    }
}

static enum bridge_verdict
fail(const struct bridge *b, const struct bridge_call *call, int code, struct text data, const char *why,
     struct bridge_out *out)
{
    return bridge_refuse(out, BRIDGE_PASS, b->client, call->id, code, data, "%s", why);
}

/* --- results --- */

static bool
is_allowed(const struct merge_filter *filter, struct text raw_name)
{
    char name[TOOL_NAME_MAX];
    int n = json_string_decode(raw_name, name, sizeof name);

    return n >= 0 && merge_filter_allows(filter, (struct text){name, (uint32_t)n});
}

/* mcp-wire 2.3: who calls over HTTP does not offer tools whose annotations he cannot follow. */
static bool
is_offered(const struct bridge *b, struct text tool)
{
    struct mcp_param params[MCP_PARAMS_MAX];
    const char *why;

    if (b->tools && !is_allowed(b->tools, json_find(tool, TEXT("name"))))
        return false;
    return !bridge_modern_upstream(b) || !b->upstream_by_http ||
           mcp_params_of(json_find(tool, TEXT("inputSchema")), params, &why) >= 0;
}

/* What is taken out of the array takes the comma before it with it; where nothing was kept yet, the one
 * behind it. */
static void
edit_tools(const struct bridge *b, struct text tools, struct bridge_out *out)
{
    struct jsonrpc_edit edits[BRIDGE_TOOL_EDITS];
    const char *first_dropped = NULL, *end = NULL; /* end: of the element before; NULL: none was kept */
    struct text tool, last = NO_TEXT;

    if (json_kind_of(tools) != JSON_IS_ARRAY)
        return;
    while (json_next_element(&tools, &tool)) {
        bool keeps = is_offered(b, tool);
        unsigned n = keeps ? bridge_tool_edits(b, tool, edits, BRIDGE_TOOL_EDITS) : 0;

        if (keeps && first_dropped)
            bridge_edit(out, (struct text){first_dropped, (uint32_t)(tool.at - first_dropped)}, NO_TEXT);
        if (keeps)
            first_dropped = NULL;
        else if (end)
            bridge_edit(out, (struct text){end, (uint32_t)(tool.at + tool.len - end)}, NO_TEXT);
        else if (!first_dropped)
            first_dropped = tool.at;
        for (unsigned i = 0; i < n; i++)
            bridge_edit(out, edits[i].old, edits[i].with);
        if (keeps || end)
            end = tool.at + tool.len;
        last = tool;
    }
    if (first_dropped) /* all of them */
        bridge_edit(out, (struct text){first_dropped, (uint32_t)(last.at + last.len - first_dropped)},
                    NO_TEXT);
}

/* Until 2025-11-25 structured content is an object. */
static void
edit_structured(const struct bridge *b, struct text content, struct bridge_out *out)
{
    if (bridge_modern_client(b) || !bridge_modern_upstream(b) || json_kind_of(content) == JSON_IS_OBJECT)
        return;
    bridge_insert(out, content.at, TEXT("{\"result\":"));
    bridge_insert(out, content.at + content.len, TEXT("}"));
}

/* `"<prefix>serverInfo":{...}` for a modern client, in the room. */
static struct text
added_meta(const struct bridge *b, bool is_outer, struct bridge_out *out)
{
    uint32_t begin = out->room.len;

    if (!bridge_modern_client(b) || bridge_modern_upstream(b) || !b->server_info.len)
        return NO_TEXT;
    json_put(&out->room,
             is_outer ? TEXT(",\"_meta\":{\"" META_SERVER_INFO "\":") : TEXT("\"" META_SERVER_INFO "\":"));
    json_put(&out->room, b->server_info);
    if (is_outer)
        json_put(&out->room, TEXT("}"));
    return bridge_room_since(out, begin);
}

static void
put_member(struct json_writer *w, uint32_t begin, struct text member)
{
    if (w->len > begin)
        json_put(w, TEXT(","));
    json_put(w, member);
}

/* What a modern client must find in a result and what it does not have yet. */
static struct text
added_members(const struct bridge *b, const struct bridge_call *call, const bool has[3], bool has_meta,
              struct bridge_out *out)
{
    struct text meta = has_meta ? NO_TEXT : added_meta(b, true, out);
    uint32_t begin = out->room.len;

    if (!bridge_modern_client(b))
        return NO_TEXT;
    if (!has[AT_TYPE])
        put_member(&out->room, begin, TEXT("\"resultType\":\"complete\""));
    if (is_cacheable(call->method) && !has[AT_TTL])
        put_member(&out->room, begin, TEXT("\"ttlMs\":0"));
    if (is_cacheable(call->method) && !has[AT_SCOPE])
        put_member(&out->room, begin, TEXT("\"cacheScope\":\"private\""));
    json_put(&out->room, meta); /* begins with a comma: a legacy result lacks its type for certain */
    return bridge_room_since(out, begin);
}

/* The members that a modern upstream's complete result has in the right form; those of a legacy one mean
 * something else. */
static bool
is_good_member(const struct bridge *b, unsigned which, struct text value)
{
    int64_t n;

    if (!bridge_modern_client(b) || !bridge_modern_upstream(b))
        return false;
    if (which == AT_TTL)
        return json_kind_of(value) == JSON_IS_NUMBER && json_read_integer(value, &n) && n >= 0;
    if (which == AT_SCOPE)
        return json_string_is(value, TEXT("public")) || json_string_is(value, TEXT("private"));
    return json_kind_of(value) == JSON_IS_STRING;
}

static void
edit_kept_member(const struct bridge *b, const struct bridge_call *call, const struct json_member *m,
                 struct bridge_out *out)
{
    if (call->method == MCP_TOOLS_LIST && json_string_is(m->key, TEXT("tools")))
        edit_tools(b, m->value, out);
    else if (call->method == MCP_TOOLS_CALL && json_string_is(m->key, TEXT("structuredContent")))
        edit_structured(b, m->value, out);
}

static void
edit_meta(const struct bridge *b, struct text meta, struct bridge_out *out)
{
    struct object_change change = OBJECT_CHANGE(result_meta, added_meta(b, false, out));

    if (bridge_modern_client(b) != bridge_modern_upstream(b))
        object_change(meta, &change, out);
}

static enum bridge_verdict
complete(const struct bridge *b, const struct bridge_call *call, struct text result, struct bridge_out *out)
{
    bool same_legacy = !bridge_modern_client(b) && !bridge_modern_upstream(b), has[3] = {false},
         has_meta = false;
    struct object_walk walk;
    struct json_member m;

    object_begin(&walk, result);
    while (object_next(&walk, &m)) {
        unsigned which = AT_TYPE;

        while (which <= AT_SCOPE && !json_string_is(m.key, complete_members[which]))
            which++;
        if (which <= AT_SCOPE && !same_legacy) {
            if (has[which] || !is_good_member(b, which, m.value)) {
                object_drop(&walk, &m);
                continue;
            }
            has[which] = true;
        }
        object_keep(&walk, &m, out);
        if (json_string_is(m.key, TEXT("_meta")) && json_kind_of(m.value) == JSON_IS_OBJECT) {
            has_meta = true;
            edit_meta(b, m.value, out);
        } else {
            edit_kept_member(b, call, &m, out);
        }
    }
    object_end(&walk, added_members(b, call, has, has_meta, out), out);
    return bridge_finish(out, BRIDGE_PASS);
}

/* A modern upstream's questions to a modern client pass, if it has declared all that they need. */
static enum bridge_verdict
questions_for_modern(const struct bridge *b, const struct bridge_call *call, struct text result,
                     struct bridge_out *out)
{
    struct bridge_question questions[BRIDGE_ASKS_MAX];
    struct text state;
    int n = bridge_questions(result, questions, &state);
    uint32_t needs = 0;

    if (n < 0)
        return fail(b, call, -32603, NO_TEXT, "The server asks for input in a form that is not valid", out);
    for (int i = 0; i < n; i++) {
        uint32_t bits = bridge_question_needs(questions[i].method, questions[i].params);

        if (bits == UINT32_MAX)
            return fail(b, call, -32603, NO_TEXT, "The server asks for something that no client answers",
                        out);
        needs |= bits;
    }
    if (needs & ~b->client_caps)
        return fail(b, call, BRIDGE_ERROR_CAPABILITY, bridge_room_required(out, needs & ~b->client_caps),
                    "The server asks for something that the client did not declare in its capabilities", out);
    return bridge_finish(out, BRIDGE_PASS);
}

static enum bridge_verdict
result(const struct bridge *b, const struct bridge_call *call, struct text message,
       const struct jsonrpc_envelope *env, struct bridge_out *out)
{
    struct text type = bridge_modern_upstream(b) ? json_find(env->result, TEXT("resultType")) : NO_TEXT;

    if (json_kind_of(env->result) != JSON_IS_OBJECT)
        return fail(b, call, -32603, NO_TEXT, "The server's result is no object", out);
    bridge_edit_id(out, message, env, call->id);
    if (!type.at || json_string_is(type, TEXT("complete")))
        return complete(b, call, env->result, out);
    if (json_string_is(type, TEXT("input_required"))) {
        if (!bridge_may_ask(call->method))
            return fail(b, call, -32603, NO_TEXT,
                        "The server asks for input where no call may be asked for it", out);
        if (bridge_modern_client(b))
            return questions_for_modern(b, call, env->result, out);
        out->edits.count = 0;
        out->act = BRIDGE_ACT_ASK;
        out->subject = env->result;
        return BRIDGE_NOTHING;
    }
    if (bridge_modern_client(b))
        return bridge_finish(out, BRIDGE_PASS); /* an extension's, which the client has agreed to */
    return fail(b, call, -32603, NO_TEXT,
                "The server's reply has a form that the client's revision does not know", out);
}

/* --- errors --- */

struct error_parts {
    struct text code, message, data; /* raw */
};

static struct error_parts
error_parts(struct text error)
{
    return (struct error_parts){json_find(error, TEXT("code")), json_find(error, TEXT("message")),
                                json_find(error, TEXT("data"))};
}

static bool
is_reserved(int code)
{
    return code <= -32020 && code >= -32099;
}

/* Of a modern upstream: what is about the gateway's own request. */
static bool
is_our_fault(int code)
{
    return code == -32020 || code == -32022;
}

static int
code_for_modern(const struct bridge *b, int code)
{
    if (code == -32002) /* not emitted by this revision; resources that are missing are bad parameters */
        return -32602;
    if (bridge_modern_upstream(b) && code == BRIDGE_ERROR_CAPABILITY)
        return code;
    return is_reserved(code) ? -32603 : code;
}

static int
code_for_legacy(const struct bridge *b, const struct bridge_call *call, int code, struct text data)
{
    if (!bridge_modern_upstream(b))
        return code;
    if (code == -32602 && call->method == MCP_RESOURCES_READ && json_find(data, TEXT("uri")).at)
        return -32002;
    return is_reserved(code) ? -32603 : code;
}

/* Replaces the code; what is the gateway's own fault loses its data and says whose it is. */
static enum bridge_verdict
edit_error(const struct bridge *b, const struct bridge_call *call, struct text message,
           const struct jsonrpc_envelope *env, const struct error_parts *parts, int code,
           struct bridge_out *out)
{
    bool ours = bridge_modern_upstream(b) && is_our_fault(env->error_code);
    static const struct text data[] = {ROW_TEXT("data")};
    struct object_change change = {data, ours, NO_TEXT};
    uint32_t begin = out->room.len;

    bridge_edit_id(out, message, env, call->id);
    if (ours)
        object_change(env->error, &change, out);
    if (ours && json_kind_of(parts->message) == JSON_IS_STRING)
        bridge_insert(out, parts->message.at + 1, TEXT("The server refused the gateway's request: "));
    if (code != env->error_code) {
        json_put_integer(&out->room, code);
        bridge_edit(out, parts->code, bridge_room_since(out, begin));
    }
    if (ours)
        out->act = env->error_code == -32020 ? BRIDGE_ACT_HEADERS : BRIDGE_ACT_VERSION;
    out->code = code;
    out->status = bridge_error_status(b->client, code);
    return bridge_finish(out, BRIDGE_PASS);
}

/* What the upstream said, as the end of the call. */
static enum bridge_verdict
put_failure(const struct bridge *b, const struct bridge_call *call, const struct error_parts *parts,
            struct bridge_out *out)
{
    char why[512];
    int n = json_string_decode(parts->message, why, sizeof why);
    uint32_t begin = out->room.len;

    bridge_put_failure(&out->room, b, call,
                       n > 0 ? (struct text){why, (uint32_t)n}
                             : TEXT("The server needs something that the client cannot do"));
    out->edits.count = 0;
    out->text = bridge_room_since(out, begin);
    out->code = call->method == MCP_TOOLS_CALL ? 0 : -32603;
    return bridge_finish(out, BRIDGE_PASS);
}

static bool
may_visit(const struct bridge *b)
{
    return b->client >= MCP_2025_11_25 && b->client_caps & MCP_CLIENT_ELICIT_URL;
}

/* -32042 of a legacy upstream. */
static enum bridge_verdict
visit(const struct bridge *b, const struct bridge_call *call, struct text message,
      const struct jsonrpc_envelope *env, const struct error_parts *parts, struct bridge_out *out)
{
    struct text pages = json_find(parts->data, TEXT("elicitations"));

    if (!bridge_modern_client(b))
        return may_visit(b) ? edit_error(b, call, message, env, parts, env->error_code, out)
                            : put_failure(b, call, parts, out);
    if (!may_visit(b))
        return fail(b, call, BRIDGE_ERROR_CAPABILITY, bridge_room_required(out, MCP_CLIENT_ELICIT_URL),
                    "The server asks to visit a page, which the client did not declare (elicitation.url)",
                    out);
    if (json_kind_of(pages) != JSON_IS_ARRAY || !bridge_may_ask(call->method))
        return edit_error(b, call, message, env, parts, -32603, out);
    out->act = BRIDGE_ACT_VISIT;
    out->subject = pages;
    return BRIDGE_NOTHING;
}

static enum bridge_verdict
error(const struct bridge *b, const struct bridge_call *call, struct text message,
      const struct jsonrpc_envelope *env, struct bridge_out *out)
{
    struct error_parts parts = error_parts(env->error);
    int code = env->error_code;

    if (code == BRIDGE_ERROR_ELICITATION && !bridge_modern_upstream(b))
        return visit(b, call, message, env, &parts, out);
    if (code == BRIDGE_ERROR_CAPABILITY && bridge_modern_upstream(b) && !bridge_modern_client(b))
        return put_failure(b, call, &parts, out);
    if (call->lacking && bridge_modern_client(b) && !bridge_modern_upstream(b))
        return fail(b, call, BRIDGE_ERROR_CAPABILITY, bridge_room_required(out, call->lacking),
                    "The server cannot do without what the client did not declare", out);
    code = bridge_modern_client(b) ? code_for_modern(b, code) : code_for_legacy(b, call, code, parts.data);
    return edit_error(b, call, message, env, &parts, code, out);
}

enum bridge_verdict
bridge_result(const struct bridge *b, const struct bridge_call *call, struct text message,
              const struct jsonrpc_envelope *env, struct bridge_out *out)
{
    bridge_start(out, message);
    ASSERT(env->kind == JSONRPC_RESPONSE || env->kind == JSONRPC_ERROR);
    return env->kind == JSONRPC_RESPONSE ? result(b, call, message, env, out)
                                         : error(b, call, message, env, out);
}

void
bridge_put_failure(struct json_writer *w, const struct bridge *b, const struct bridge_call *call,
                   struct text text)
{
    if (call->method != MCP_TOOLS_CALL) {
        bridge_put_error(w, b->client, call->id, -32603, text, NO_TEXT);
        return;
    }
    bridge_put_reply_begin(w, call->id);
    json_put(w, bridge_modern_client(b) ? TEXT("\"result\":{\"resultType\":\"complete\",")
                                        : TEXT("\"result\":{"));
    json_put(w, TEXT("\"content\":[{\"type\":\"text\",\"text\":"));
    json_put_string(w, text);
    json_put(w, TEXT("}],\"isError\":true}}"));
}
