/* SPDX-License-Identifier: Apache-2.0 */
#include "gate/tool_params.h"

#include "base/log.h"
#include "gate/worker.h"
#include "mcp/params.h"
#include "proto/json.h"

#include <stdlib.h>

enum { TOOL_NAME_MAX = 512 };

struct tool_schema {
    char *bytes;                   /* the name, then the schema */
    uint32_t name_len, schema_len; /* schema_len 0: its annotations are invalid */
};

static bool
decode_name(struct text raw, char plain[TOOL_NAME_MAX], struct text *ret)
{
    int n = json_string_decode(raw, plain, TOOL_NAME_MAX);

    *ret = (struct text){plain, n < 0 ? 0 : (uint32_t)n};
    return n > 0;
}

static struct tool_schema *
find(const struct tool_params *t, struct text name)
{
    for (uint32_t i = 0; i < t->count; i++)
        if (text_eq((struct text){t->at[i].bytes, t->at[i].name_len}, name))
            return &t->at[i];
    return NULL;
}

static void
forget(struct tool_params *t, struct tool_schema *tool)
{
    t->bytes -= tool->name_len + tool->schema_len;
    free(tool->bytes);
    *tool = t->at[--t->count];
}

static bool
make_room(struct tool_params *t)
{
    uint32_t room = t->room ? 2 * t->room : 8;
    struct tool_schema *more;

    if (t->count < t->room)
        return true;
    more = realloc(t->at, room * sizeof *more);
    if (!more)
        return false;
    t->at = more;
    t->room = room;
    return true;
}

static void
keep(struct tool_params *t, struct text name, struct text schema)
{
    struct tool_schema *known = find(t, name);
    uint32_t size = name.len + schema.len;
    char *bytes;

    if (known && text_eq((struct text){known->bytes + name.len, known->schema_len}, schema))
        return;
    if (known)
        forget(t, known);
    if (t->count == TOOL_SCHEMAS_MAX || size > TOOL_SCHEMAS_BYTES - t->bytes || !make_room(t))
        return;
    bytes = malloc(size);
    if (!bytes)
        return;
    memcpy(bytes, name.at, name.len);
    memcpy(bytes + name.len, schema.len ? schema.at : "", schema.len);
    t->at[t->count++] = (struct tool_schema){bytes, name.len, schema.len};
    t->bytes += size;
}

static void
learn_tool(struct upstream *up, struct text tool, bool say)
{
    struct tool_params *t = &up->params;
    struct text schema = json_find(tool, TEXT("inputSchema")), name;
    struct mcp_param params[MCP_PARAMS_MAX];
    struct tool_schema *known;
    char plain[TOOL_NAME_MAX];
    const char *why;
    int n;

    if (!decode_name(json_find(tool, TEXT("name")), plain, &name))
        return;
    n = mcp_params_of(schema, params, &why);
    known = find(t, name);
    if (n < 0 && say && (!known || known->schema_len))
        log_warning("upstream %.*s: the tool %.*s is left out: %s", (int)up->name.len, up->name.at,
                    name.len > 100 ? 100 : (int)name.len, name.at, why);
    if (n)
        keep(t, name, n > 0 ? schema : (struct text){NULL, 0});
    else if (known)
        forget(t, known);
}

void
tool_params_learn(struct upstream *up, struct text result, bool say)
{
    struct text tools = json_find(result, TEXT("tools")), tool;

    if (json_kind_of(tools) != JSON_IS_ARRAY)
        return;
    up->params.learned_ms = ring_now(up->worker->ring) / 1000000;
    if (!up->params.count && !memmem(tools.at, tools.len, "header", 6))
        return;
    while (json_next_element(&tools, &tool))
        learn_tool(up, tool, say);
}

struct text
tool_params_find(const struct upstream *up, struct text raw_name)
{
    const struct tool_schema *tool;
    char plain[TOOL_NAME_MAX];
    struct text name;

    if (!up->params.count || !decode_name(raw_name, plain, &name))
        return (struct text){NULL, 0};
    tool = find(&up->params, name);
    return tool && tool->schema_len ? (struct text){tool->bytes + tool->name_len, tool->schema_len}
                                    : (struct text){NULL, 0};
}

void
tool_params_free(struct upstream *up)
{
    while (up->params.count)
        forget(&up->params, &up->params.at[0]);
    free(up->params.at);
    up->params = (struct tool_params){.at = NULL};
}
