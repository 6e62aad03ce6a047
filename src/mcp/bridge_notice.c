/* SPDX-License-Identifier: Apache-2.0 */
/* From the upstream to the client: notifications. */
#include "mcp/bridge_edit.h"

#define NO_TEXT ((struct text){NULL, 0})

enum kind {
    KIND_OTHER,
    KIND_PROGRESS,
    KIND_LOG,
    KIND_CHANGED, /* of interest to whoever subscribed */
    KIND_UPDATED,
    KIND_ACKNOWLEDGED,
    KIND_WITHDRAWN,
    KIND_VISITED,
    KIND_TASK,
};

static const struct {
    struct text method;
    enum kind kind;
    enum bridge_act act;
} kinds[] = {
    {ROW_TEXT("notifications/progress"), KIND_PROGRESS, BRIDGE_ACT_PROGRESS},
    {ROW_TEXT("notifications/message"), KIND_LOG, BRIDGE_ACT_LOG},
    {ROW_TEXT("notifications/tools/list_changed"), KIND_CHANGED, BRIDGE_ACT_TOOLS_CHANGED},
    {ROW_TEXT("notifications/prompts/list_changed"), KIND_CHANGED, BRIDGE_ACT_PROMPTS_CHANGED},
    {ROW_TEXT("notifications/resources/list_changed"), KIND_CHANGED, BRIDGE_ACT_RESOURCES_CHANGED},
    {ROW_TEXT("notifications/resources/updated"), KIND_UPDATED, BRIDGE_ACT_UPDATED},
    {ROW_TEXT("notifications/subscriptions/acknowledged"), KIND_ACKNOWLEDGED, BRIDGE_ACT_ACKNOWLEDGED},
    {ROW_TEXT("notifications/cancelled"), KIND_WITHDRAWN, BRIDGE_ACT_WITHDRAWN},
    {ROW_TEXT("notifications/elicitation/complete"), KIND_VISITED, BRIDGE_ACT_NONE},
    {ROW_TEXT("notifications/tasks/status"), KIND_TASK, BRIDGE_ACT_NONE},
    {ROW_TEXT("notifications/tasks"), KIND_TASK, BRIDGE_ACT_NONE},
};

static bool
is_open(const struct bridge_call *call)
{
    return call && !call->is_done;
}

static enum bridge_verdict
progress(const struct bridge_call *call, const struct jsonrpc_envelope *env, struct bridge_out *out)
{
    if (!is_open(call) || !call->token.len || !env->progress_token.at)
        return BRIDGE_NOTHING;
    bridge_edit(out, env->progress_token, call->token);
    return bridge_finish(out, BRIDGE_PASS);
}

/* 2026-07-28 wants none without a request that asked for them; older revisions send as they like until a
 * level was set. */
static bool
log_passes(const struct bridge *b, const struct bridge_call *call, enum bridge_level level)
{
    if (bridge_modern_client(b))
        return is_open(call) && call->level != BRIDGE_LEVEL_NONE && level >= call->level;
    if (bridge_modern_upstream(b))
        return is_open(call) && b->log_level != BRIDGE_LEVEL_NONE && level >= b->log_level;
    return level >= b->log_level;
}

static enum bridge_verdict
other(const struct bridge *b, const struct bridge_call *call)
{
    if (bridge_modern_client(b) != bridge_modern_upstream(b))
        return BRIDGE_NOTHING;
    return !bridge_modern_client(b) || is_open(call) ? BRIDGE_PASS : BRIDGE_NOTHING;
}

enum bridge_verdict
bridge_notice(const struct bridge *b, const struct bridge_call *call, struct text message,
              const struct jsonrpc_envelope *env, struct bridge_out *out)
{
    enum kind kind = KIND_OTHER;

    bridge_start(out, message);
    for (unsigned i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (text_eq(env->method, kinds[i].method)) {
            kind = kinds[i].kind;
            out->act = kinds[i].act;
        }
    }
    switch (kind) {
    case KIND_PROGRESS:
        return progress(call, env, out);
    case KIND_LOG:
        return log_passes(b, call, bridge_level_of(json_find(env->params, TEXT("level")))) ? BRIDGE_PASS
                                                                                           : BRIDGE_NOTHING;
    case KIND_UPDATED:
        out->subject = env->uri;
        return BRIDGE_NOTHING;
    case KIND_ACKNOWLEDGED:
        out->subject = json_find(env->params, TEXT("notifications"));
        return BRIDGE_NOTHING;
    case KIND_WITHDRAWN:
        out->subject = env->request_id;
        return BRIDGE_NOTHING;
    case KIND_CHANGED:
        return BRIDGE_NOTHING;
    case KIND_VISITED: /* gone in 2026-07-28, and not there before 2025-11-25 */
        return b->client == MCP_2025_11_25 && !bridge_modern_upstream(b) ? BRIDGE_PASS : BRIDGE_NOTHING;
    case KIND_TASK:
        return bridge_has_tasks(b) ? BRIDGE_PASS : BRIDGE_NOTHING;
    case KIND_OTHER:
        break;
    }
    return other(b, call);
}

enum bridge_verdict
bridge_changed(enum mcp_revision client, struct text message, const struct jsonrpc_envelope *env,
               struct text listen_id, struct bridge_out *out)
{
    static const struct text subscription[] = {ROW_TEXT(META_SUBSCRIPTION)};
    struct params_change change = {.token = NO_TEXT};
    uint32_t begin;

    bridge_start(out, message);
    begin = out->room.len;
    if (mcp_revision_is_modern(client)) {
        json_put(&out->room, TEXT("\"" META_SUBSCRIPTION "\":"));
        json_put(&out->room, listen_id);
    }
    change.meta = OBJECT_CHANGE(subscription, bridge_room_since(out, begin));
    params_change(env, &change, out);
    return bridge_finish(out, BRIDGE_PASS);
}
