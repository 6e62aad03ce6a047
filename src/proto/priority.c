/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/priority.h"

#include "base/check.h"
#include "proto/mcp_names.h"

static const uint8_t kinds[MCP_METHODS] = {
    [MCP_OTHER] = PRIORITY_NORMAL,
#define MCP_METHOD(id, method, key, priority) [MCP_##id] = PRIORITY_##priority,
#include <mcpgate/mcp_method.def>
#undef MCP_METHOD
};

static enum priority
of_urgency(char digit)
{
    if (digit < '0' || digit > '7')
        return PRIORITY_UNSAID;
    return digit < '2' ? PRIORITY_HIGH : digit < '5' ? PRIORITY_NORMAL : PRIORITY_LOW;
}

/* One member, "u=3" with or without parameters behind a semicolon. */
static enum priority
of_member(struct text member)
{
    bool is_one = member.len >= 3 && member.at[0] == 'u' && member.at[1] == '=' &&
                  (member.len == 3 || member.at[3] == ';' || member.at[3] == ' ');

    return is_one ? of_urgency(member.at[2]) : PRIORITY_UNSAID;
}

enum priority
priority_of_field(struct text value)
{
    enum priority said = PRIORITY_UNSAID;
    struct text member;

    while (text_next_element(&value, &member))
        if (of_member(member) != PRIORITY_UNSAID)
            said = of_member(member);
    return said;
}

/* A raw JSON value. */
static enum priority
of_meta(struct text raw)
{
    if (raw.len == 1)
        return of_urgency(*raw.at);
    if (raw.len < 2 || *raw.at != '"')
        return PRIORITY_UNSAID;
    return priority_of_name((struct text){raw.at + 1, raw.len - 2});
}

static enum priority
decide(enum priority kind, enum priority given)
{
    return kind == PRIORITY_CRITICAL || given == PRIORITY_UNSAID ? kind : given;
}

enum priority
priority_of_method(enum mcp_method method, enum priority given)
{
    ASSERT(method < MCP_METHODS);
    return decide((enum priority)kinds[method], given);
}

enum priority
priority_of_message(const struct jsonrpc_envelope *env, enum priority given)
{
    enum priority kind = (enum priority)kinds[mcp_method_of(env->method)], said = of_meta(env->meta_priority);

    /* Somebody watches how it gets on. */
    if (kind == PRIORITY_NORMAL && env->meta_progress_token.len)
        kind = PRIORITY_HIGH;
    return decide(kind, said != PRIORITY_UNSAID ? said : given);
}
