/* SPDX-License-Identifier: Apache-2.0 */
/* From the client to the upstream: requests and notifications. */
#include "base/check.h"
#include "mcp/bridge_ask.h"
#include "mcp/bridge_edit.h"
#include "mcp/bridge_server.h"

enum rule {
    RULE_PASS,
    RULE_NONE,       /* the client's revision does not have it */
    RULE_INITIALIZE, /* the gateway's own: */
    RULE_DISCOVER,
    RULE_PING,
    RULE_LISTEN,
    RULE_SUBSCRIBE, /* passed or answered here, and noted */
    RULE_UNSUBSCRIBE,
    RULE_SET_LEVEL,
    RULE_TASKS,
};

/* What is not named is passed on, also methods that nobody here knows. [0]: a legacy client, [1]: a modern.
 */
static const uint8_t rules[MCP_METHODS][2] = {
    [MCP_INITIALIZE] = {RULE_INITIALIZE, RULE_NONE},
    [MCP_DISCOVER] = {RULE_NONE, RULE_DISCOVER},
    [MCP_PING] = {RULE_PING, RULE_NONE},
    [MCP_LISTEN] = {RULE_NONE, RULE_LISTEN},
    [MCP_RESOURCES_SUBSCRIBE] = {RULE_SUBSCRIBE, RULE_NONE},
    [MCP_RESOURCES_UNSUBSCRIBE] = {RULE_UNSUBSCRIBE, RULE_NONE},
    [MCP_SET_LEVEL] = {RULE_SET_LEVEL, RULE_NONE},
    [MCP_TASKS_GET] = {RULE_TASKS, RULE_TASKS},
    [MCP_TASKS_UPDATE] = {RULE_TASKS, RULE_TASKS},
    [MCP_TASKS_CANCEL] = {RULE_TASKS, RULE_TASKS},
    /* with an id they are nobody's methods */
    [MCP_INITIALIZED] = {RULE_NONE, RULE_NONE},
    [MCP_CANCELLED] = {RULE_NONE, RULE_NONE},
    [MCP_PROGRESS] = {RULE_NONE, RULE_NONE},
    [MCP_ROOTS_CHANGED] = {RULE_NONE, RULE_NONE},
};

/* What only one era knows, or what the gateway puts there itself. */
static const struct text modern_meta[] = {
    ROW_TEXT(META_VERSION),
    ROW_TEXT(META_CAPABILITIES),
    ROW_TEXT(META_CLIENT_INFO),
    ROW_TEXT(META_LOG_LEVEL),
};
static const struct text retry_members[] = {ROW_TEXT("inputResponses"), ROW_TEXT("requestState"),
                                            ROW_TEXT("task")};
enum { RETRY_MEMBERS = 2, RETRY_MEMBERS_AND_TASK = 3 };

static enum bridge_verdict
refuse(const struct bridge *b, const struct jsonrpc_envelope *env, int code, const char *why,
       struct bridge_out *out)
{
    return bridge_refuse(out, BRIDGE_REPLY, b->client, env->id, code, (struct text){NULL, 0}, "%s", why);
}

static enum bridge_verdict
refuse_method(const struct bridge *b, const struct jsonrpc_envelope *env, struct bridge_out *out)
{
    int n = env->method.len < 64 ? (int)env->method.len : 64;

    while (n && ((uint8_t)env->method.at[n] & 0xc0) == 0x80) /* not in the middle of a character */
        n--;
    return bridge_refuse(out, BRIDGE_REPLY, b->client, env->id, -32601, (struct text){NULL, 0},
                         "Method not found: %.*s", n, env->method.at);
}

static enum bridge_verdict
act(struct bridge_out *out, enum bridge_act what, struct text subject)
{
    out->act = what;
    out->subject = subject;
    return BRIDGE_NOTHING;
}

static bool
is_id(struct text raw)
{
    return json_kind_of(raw) == JSON_IS_STRING || json_kind_of(raw) == JSON_IS_NUMBER;
}

/* Which members of params go: those of a retry unless both ends are modern, and the task of a legacy client
 * unless its like are relayed. A modern client's "task" is none of ours. */
static struct object_change
drop_params(const struct bridge *b, struct text added)
{
    bool both_modern = bridge_modern_client(b) && bridge_modern_upstream(b);
    bool both_legacy = !bridge_modern_client(b) && !bridge_modern_upstream(b);
    bool task = !bridge_modern_client(b) && !bridge_has_tasks(b);

    if (both_modern && !added.len)
        return (struct object_change){NULL, 0, added};
    if (both_legacy)
        return (struct object_change){retry_members + RETRY_MEMBERS, task, added};
    return (struct object_change){retry_members, task ? RETRY_MEMBERS_AND_TASK : RETRY_MEMBERS, added};
}

/* `added`: members of a retry. */
static enum bridge_verdict
pass(const struct bridge *b, struct text message, const struct jsonrpc_envelope *env, uint64_t number,
     struct text added, struct bridge_out *out)
{
    struct params_change change = {.params = drop_params(b, added)};
    uint32_t begin = out->room.len;

    if (bridge_modern_client(b) != bridge_modern_upstream(b)) {
        if (bridge_modern_upstream(b))
            bridge_put_modern_meta(&out->room, b);
        change.meta = OBJECT_CHANGE(modern_meta, bridge_room_since(out, begin));
    }
    if (number) {
        change.token = bridge_room_number(out, number);
        bridge_edit_id(out, message, env, change.token);
    }
    params_change(env, &change, out);
    return bridge_finish(out, BRIDGE_PASS);
}

static enum bridge_verdict
reply_empty(const struct jsonrpc_envelope *env, struct bridge_out *out)
{
    uint32_t begin = out->room.len;

    bridge_put_reply_begin(&out->room, env->id);
    json_put(&out->room, TEXT("\"result\":{}}"));
    out->text = bridge_room_since(out, begin);
    return bridge_finish(out, BRIDGE_REPLY);
}

/* What a modern upstream has no method for is kept by the gateway. */
static enum bridge_verdict
pass_and_note(const struct bridge *b, struct text message, const struct jsonrpc_envelope *env,
              uint64_t number, enum bridge_act what, const char *member, struct bridge_out *out)
{
    struct text subject = json_find(env->params, text_of(member));
    bool good = what == BRIDGE_ACT_SET_LEVEL ? bridge_level_of(subject) != BRIDGE_LEVEL_NONE
                                             : json_kind_of(subject) == JSON_IS_STRING;

    if (!good && what == BRIDGE_ACT_SET_LEVEL)
        return refuse(b, env, -32602, "Invalid params: level must be a log level (debug to emergency)", out);
    if (!good)
        return refuse(b, env, -32602, "Invalid params: uri must be a string", out);
    act(out, what, subject);
    return bridge_modern_upstream(b) ? reply_empty(env, out)
                                     : pass(b, message, env, number, (struct text){NULL, 0}, out);
}

/* A modern client's retry, which a legacy upstream cannot know: its state is the gateway's. */
static enum bridge_verdict
retry_for_legacy(const struct bridge *b, const struct jsonrpc_envelope *env, struct text state,
                 struct bridge_out *out)
{
    if (json_kind_of(state) == JSON_IS_STRING)
        return act(out, BRIDGE_ACT_RETRY, state);
    return refuse(b, env, -32602, "Invalid params: requestState is no string", out);
}

static bool
is_task_method(struct text method)
{
    return text_starts(method, TEXT("tasks/"));
}

static enum bridge_verdict
request(const struct bridge *b, struct text message, const struct jsonrpc_envelope *env, uint64_t number,
        bool is_resent, struct bridge_out *out)
{
    enum mcp_method method = mcp_method_of(env->method);
    enum rule rule = (enum rule)rules[method][bridge_modern_client(b)];
    struct text state = json_find(env->params, TEXT("requestState"));

    if (env->meta_progress_token.at && !is_id(env->meta_progress_token))
        return refuse(b, env, -32602, "Invalid params: progressToken is neither a string nor an integer",
                      out);
    if (is_task_method(env->method))
        rule = RULE_TASKS;
    switch (rule) {
    case RULE_NONE:
        return refuse_method(b, env, out);
    case RULE_INITIALIZE:
        return act(out, BRIDGE_ACT_INITIALIZE, env->params);
    case RULE_DISCOVER:
        return act(out, BRIDGE_ACT_DISCOVER, env->params);
    case RULE_PING:
        return reply_empty(env, out);
    case RULE_LISTEN:
        if (json_kind_of(json_find(env->params, TEXT("notifications"))) != JSON_IS_OBJECT)
            return refuse(b, env, -32602, "Invalid params: notifications must be an object", out);
        return act(out, BRIDGE_ACT_LISTEN, json_find(env->params, TEXT("notifications")));
    case RULE_SUBSCRIBE:
        return pass_and_note(b, message, env, number, BRIDGE_ACT_SUBSCRIBE, "uri", out);
    case RULE_UNSUBSCRIBE:
        return pass_and_note(b, message, env, number, BRIDGE_ACT_UNSUBSCRIBE, "uri", out);
    case RULE_SET_LEVEL:
        return pass_and_note(b, message, env, number, BRIDGE_ACT_SET_LEVEL, "level", out);
    case RULE_TASKS:
        /* 2025-11-25's tasks and those of the 2026 extension have nothing in common but the name. */
        if (!bridge_has_tasks(b) && !(bridge_modern_client(b) && bridge_modern_upstream(b)))
            return refuse_method(b, env, out);
        break;
    case RULE_PASS:
        break;
    }
    /* Answers without a state are to nothing that was asked: the server asks (again). */
    if (bridge_may_ask(method) && bridge_modern_client(b) && !bridge_modern_upstream(b) && !is_resent &&
        state.at)
        return retry_for_legacy(b, env, state, out);
    return pass(b, message, env, number, (struct text){NULL, 0}, out);
}

static enum bridge_verdict
notification(const struct bridge *b, const struct jsonrpc_envelope *env, struct bridge_out *out)
{
    bool same_era = bridge_modern_client(b) == bridge_modern_upstream(b);

    switch (mcp_method_of(env->method)) {
    case MCP_INITIALIZED:
        return act(out, bridge_modern_client(b) ? BRIDGE_ACT_NONE : BRIDGE_ACT_INITIALIZED,
                   (struct text){NULL, 0});
    case MCP_CANCELLED:
        return is_id(env->request_id) ? act(out, BRIDGE_ACT_CANCEL, env->request_id) : BRIDGE_NOTHING;
    case MCP_PROGRESS: /* questions are put without a progress token */
        return BRIDGE_NOTHING;
    case MCP_ROOTS_CHANGED:
        /* A modern server asks for roots whenever it wants them. */
        act(out, BRIDGE_ACT_ROOTS_CHANGED, (struct text){NULL, 0});
        return bridge_modern_client(b) || bridge_modern_upstream(b) ? BRIDGE_NOTHING : BRIDGE_PASS;
    default:
        if (text_starts(env->method, TEXT("notifications/tasks")) && !bridge_has_tasks(b))
            return BRIDGE_NOTHING;
        return same_era ? BRIDGE_PASS : BRIDGE_NOTHING;
    }
}

enum bridge_verdict
bridge_request(const struct bridge *b, struct text message, const struct jsonrpc_envelope *env,
               uint64_t number, bool is_resent, struct bridge_out *out)
{
    bridge_start(out, message);
    switch ((enum jsonrpc_kind)env->kind) {
    case JSONRPC_REQUEST:
        return request(b, message, env, number, is_resent, out);
    case JSONRPC_NOTIFICATION:
        return notification(b, env, out);
    case JSONRPC_RESPONSE:
    case JSONRPC_ERROR:
        return act(out, BRIDGE_ACT_ANSWER, env->id);
    case JSONRPC_NONE:
    case JSONRPC_BATCH:
        break;
    }
    return refuse(b, env, -32600, "Invalid Request: this revision has no batches", out);
}

/* --- the call once more --- */

enum bridge_verdict
bridge_retry(const struct bridge *b, struct text message, const struct jsonrpc_envelope *env, uint64_t number,
             struct text responses, struct text state, struct bridge_out *out)
{
    uint32_t begin = out->room.len;

    ASSERT(env->kind == JSONRPC_REQUEST && number);
    bridge_start(out, message);
    if (responses.len) {
        json_put(&out->room, TEXT("\"inputResponses\":"));
        json_put(&out->room, responses);
    }
    if (state.len) {
        json_put(&out->room, responses.len ? TEXT(",\"requestState\":") : TEXT("\"requestState\":"));
        json_put(&out->room, state);
    }
    return pass(b, message, env, number, bridge_room_since(out, begin), out);
}
