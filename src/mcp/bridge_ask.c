/* SPDX-License-Identifier: Apache-2.0 */
/* A legacy upstream's questions, on their way to clients of either era and back. */
#include "mcp/bridge_ask.h"

#include "base/check.h"
#include "mcp/bridge_edit.h"

#define NO_TEXT ((struct text){NULL, 0})

static bool
is_true_value(struct text raw)
{
    return raw.at && json_kind_of(raw) != JSON_IS_NULL && json_kind_of(raw) != JSON_IS_FALSE;
}

/* --- what a question needs --- */

static uint32_t
elicitation_needs(struct text params)
{
    struct text mode = json_find(params, TEXT("mode"));

    if (!mode.at || json_string_is(mode, TEXT("form")))
        return MCP_CLIENT_ELICIT_FORM;
    return json_string_is(mode, TEXT("url")) ? MCP_CLIENT_ELICIT_URL : UINT32_MAX;
}

static uint32_t
sampling_needs(struct text params)
{
    bool tools = is_true_value(json_find(params, TEXT("tools"))) ||
                 is_true_value(json_find(params, TEXT("toolChoice")));

    return MCP_CLIENT_SAMPLING | (tools ? MCP_CLIENT_SAMPLING_TOOLS : 0);
}

uint32_t
bridge_question_needs(struct text method, struct text params)
{
    if (text_eq(method, TEXT("elicitation/create")))
        return elicitation_needs(params);
    if (text_eq(method, TEXT("sampling/createMessage")))
        return sampling_needs(params);
    if (text_eq(method, TEXT("roots/list")))
        return MCP_CLIENT_ROOTS;
    return UINT32_MAX;
}

static const char *
lacking(uint32_t needs)
{
    if (needs & MCP_CLIENT_ELICIT_URL)
        return "The client does not visit pages (elicitation, mode url)";
    if (needs & MCP_CLIENT_ELICIT_FORM)
        return "The client does not fill in forms (elicitation)";
    if (needs & MCP_CLIENT_SAMPLING)
        return "The client does not sample (sampling)";
    if (needs & MCP_CLIENT_SAMPLING_TOOLS)
        return "The client does not sample with tools (sampling.tools)";
    return "The client has no roots (roots)";
}

/* --- a legacy upstream's request --- */

/* An error for the upstream, which is always a legacy one. */
static enum bridge_ask
refuse(const struct jsonrpc_envelope *env, int code, const char *why, struct bridge_out *out)
{
    enum bridge_verdict verdict =
        bridge_refuse(out, BRIDGE_REPLY, MCP_LATEST_LEGACY, env->id, code, NO_TEXT, "%s", why);

    return verdict == BRIDGE_FULL ? BRIDGE_ASK_FULL : BRIDGE_ASK_REPLY;
}

static enum bridge_ask
answer_ping(const struct jsonrpc_envelope *env, struct bridge_out *out)
{
    uint32_t begin = out->room.len;

    bridge_put_reply_begin(&out->room, env->id);
    json_put(&out->room, TEXT("\"result\":{}}"));
    out->text = bridge_room_since(out, begin);
    return out->room.full ? BRIDGE_ASK_FULL : BRIDGE_ASK_REPLY;
}

static enum bridge_ask
forward(const struct bridge *b, struct text message, const struct jsonrpc_envelope *env, uint64_t number,
        struct bridge_out *out)
{
    static const struct text task[] = {ROW_TEXT("task")}, token[] = {ROW_TEXT("progressToken")};
    struct params_change change = {.params = {task, !bridge_has_tasks(b), NO_TEXT}};

    change.meta = OBJECT_CHANGE(token, NO_TEXT); /* the answer's progress would have nowhere to go */
    ASSERT(number);
    bridge_edit_id(out, message, env, bridge_room_number(out, number));
    params_change(env, &change, out);
    return bridge_finish(out, BRIDGE_PASS) == BRIDGE_FULL ? BRIDGE_ASK_FULL : BRIDGE_ASK_FORWARD;
}

enum bridge_ask
bridge_ask(const struct bridge *b, struct text message, const struct jsonrpc_envelope *env, bool in_call,
           uint64_t number, struct bridge_out *out)
{
    uint32_t needs;

    bridge_start(out, message);
    ASSERT(env->kind == JSONRPC_REQUEST);
    if (text_eq(env->method, TEXT("ping")))
        return answer_ping(env, out);
    if (text_starts(env->method, TEXT("tasks/")) && bridge_has_tasks(b))
        return forward(b, message, env, number, out);
    needs = bridge_question_needs(env->method, env->params);
    if (needs == UINT32_MAX && !text_eq(env->method, TEXT("elicitation/create")))
        return refuse(env, -32601, "Method not found: the client answers no such request", out);
    if (needs == UINT32_MAX)
        return refuse(env, -32602, "Invalid params: mode is neither form nor url", out);
    needs &= ~bridge_caps_of(b);
    if (needs) {
        /* A method that it has, but not in this form, is no unknown method. */
        bool partly = bridge_question_needs(env->method, env->params) != needs ||
                      (needs == MCP_CLIENT_ELICIT_URL && bridge_caps_of(b) & MCP_CLIENT_ELICIT_FORM) ||
                      (needs == MCP_CLIENT_ELICIT_FORM && bridge_caps_of(b) & MCP_CLIENT_ELICIT_URL);

        return refuse(env, partly ? -32602 : -32601, lacking(needs), out);
    }
    if (!bridge_modern_client(b))
        return forward(b, message, env, number, out);
    if (!in_call)
        return refuse(env, -32601, "The client can only be asked while it waits for a call of its own", out);
    out->subject = env->params;
    return BRIDGE_ASK_COLLECT;
}

enum bridge_verdict
bridge_answer(struct text message, const struct jsonrpc_envelope *env, struct text id, struct bridge_out *out)
{
    bridge_start(out, message);
    bridge_edit_id(out, message, env, id);
    return bridge_finish(out, BRIDGE_PASS);
}

/* --- as input_required, for a modern client --- */

static const struct text legacy_members[] = {ROW_TEXT("elicitationId"), ROW_TEXT("task")};

/* Params of a legacy question without what 2026-07-28 has no more. */
static void
put_params(struct json_writer *w, struct text params)
{
    struct json_member m;
    bool first = true;

    json_put(w, TEXT("{"));
    while (json_next_member(&params, &m)) {
        if (key_is_one_of(m.key, legacy_members, 2) || json_string_is(m.key, TEXT("_meta")))
            continue;
        if (!first)
            json_put(w, TEXT(","));
        first = false;
        json_put(w, m.key);
        json_put(w, TEXT(":"));
        json_put(w, m.value);
    }
    json_put(w, TEXT("}"));
}

static void
put_entry_begin(struct json_writer *w, unsigned key, struct text method)
{
    json_put(w, key > 1 ? TEXT(",\"") : TEXT("\""));
    bridge_put_number(w, key);
    json_put(w, TEXT("\":{\"method\":"));
    json_put_string(w, method);
}

static void
put_input_begin(struct json_writer *w, struct text id)
{
    bridge_put_reply_begin(w, id);
    json_put(w, TEXT("\"result\":{\"resultType\":\"input_required\",\"inputRequests\":{"));
}

static void
put_input_end(struct json_writer *w, struct text state)
{
    json_put(w, TEXT("},\"requestState\":"));
    json_put_string(w, state);
    json_put(w, TEXT("}}"));
}

void
bridge_put_input_required(struct json_writer *w, struct text id, const struct text *asks, unsigned count,
                          struct text state)
{
    put_input_begin(w, id);
    for (unsigned i = 0; i < count; i++) {
        struct jsonrpc_envelope env;

        jsonrpc_scan(asks[i], JSON_SCAN_FAST, &env);
        ASSERT(env.kind == JSONRPC_REQUEST);
        put_entry_begin(w, i + 1, env.method);
        if (env.params.at) {
            json_put(w, TEXT(",\"params\":"));
            put_params(w, env.params);
        }
        json_put(w, TEXT("}"));
    }
    put_input_end(w, state);
}

bool
bridge_put_input_answer(struct json_writer *w, struct text responses, unsigned key, struct text id)
{
    char name[12];
    struct json_writer n = {.at = name, .size = sizeof name};
    struct text answer;

    bridge_put_number(&n, key);
    answer = json_find(responses, json_written(&n));
    if (json_kind_of(answer) != JSON_IS_OBJECT)
        return false;
    bridge_put_reply_begin(w, id);
    json_put(w, TEXT("\"result\":"));
    json_put(w, answer);
    json_put(w, TEXT("}"));
    return true;
}

/* The URL-mode elicitation of one page of -32042; false: it is none. */
static bool
put_visit(struct json_writer *w, unsigned key, struct text page)
{
    struct text url = json_find(page, TEXT("url"));
    struct text why = json_find(page, TEXT("message"));

    if (json_kind_of(url) != JSON_IS_STRING)
        return false;
    put_entry_begin(w, key, TEXT("elicitation/create"));
    json_put(w, TEXT(",\"params\":{\"mode\":\"url\",\"url\":"));
    json_put(w, url);
    json_put(w, TEXT(",\"message\":"));
    json_put(w, json_kind_of(why) == JSON_IS_STRING ? why : TEXT("\"The server asks to visit this page\""));
    json_put(w, TEXT("}}"));
    return true;
}

bool
bridge_put_visits(struct json_writer *w, struct text id, struct text elicitations, struct text state)
{
    uint32_t begin = w->len;
    unsigned count = 0;
    struct text page;

    put_input_begin(w, id);
    while (count < BRIDGE_ASKS_MAX && json_next_element(&elicitations, &page))
        count += put_visit(w, count + 1, page);
    if (!count) {
        w->len = begin;
        return false;
    }
    put_input_end(w, state);
    return true;
}

/* --- a modern upstream's questions, for a legacy client --- */

int
bridge_questions(struct text result, struct bridge_question questions[BRIDGE_ASKS_MAX],
                 struct text *ret_state)
{
    struct text requests = json_find(result, TEXT("inputRequests"));
    struct text state = json_find(result, TEXT("requestState"));
    struct json_member m;
    int count = 0;

    if ((requests.at && json_kind_of(requests) != JSON_IS_OBJECT) ||
        (state.at && json_kind_of(state) != JSON_IS_STRING) || (!requests.at && !state.at))
        return -1;
    *ret_state = state;
    while (requests.at && json_next_member(&requests, &m)) {
        struct text method = json_find(m.value, TEXT("method"));
        struct text params = json_find(m.value, TEXT("params"));

        if (count == BRIDGE_ASKS_MAX || json_kind_of(method) != JSON_IS_STRING ||
            memchr(method.at, '\\', method.len) || (params.at && json_kind_of(params) != JSON_IS_OBJECT))
            return -1;
        questions[count++] = (struct bridge_question){m.key, {method.at + 1, method.len - 2}, params};
    }
    return count;
}

/* Params of a question; a page to visit needs an id until 2025-11-25. */
static void
put_question_params(struct json_writer *w, const struct bridge_question *q, uint64_t number)
{
    bool is_visit = json_string_is(json_find(q->params, TEXT("mode")), TEXT("url"));
    bool has_id = json_find(q->params, TEXT("elicitationId")).at != NULL;

    if (!is_visit || has_id) {
        json_put(w, q->params);
        return;
    }
    json_put(w, TEXT("{\"elicitationId\":\"mcpgate-"));
    bridge_put_number(w, number);
    json_put(w, TEXT("\","));
    json_put(w, (struct text){q->params.at + 1, q->params.len - 1}); /* it has the member "mode" at least */
}

bool
bridge_put_question(const struct bridge *b, const struct bridge_question *question, uint64_t number,
                    struct json_writer *w, const char **ret_why)
{
    uint32_t needs = bridge_question_needs(question->method, question->params);

    if (needs == UINT32_MAX) {
        *ret_why = "The server asks for something that no client answers";
        return false;
    }
    if (needs & ~bridge_caps_of(b)) {
        *ret_why = lacking(needs & ~bridge_caps_of(b));
        return false;
    }
    bridge_put_request_begin(w, number, question->method);
    if (question->params.at) {
        json_put(w, TEXT(",\"params\":"));
        put_question_params(w, question, number);
    }
    json_put(w, TEXT("}"));
    return true;
}

void
bridge_put_response(struct json_writer *w, struct text key, struct text result, bool first)
{
    json_put(w, first ? TEXT("{") : TEXT(","));
    json_put(w, key);
    json_put(w, TEXT(":"));
    json_put(w, result);
}
