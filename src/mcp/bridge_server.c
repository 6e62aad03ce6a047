/* SPDX-License-Identifier: Apache-2.0 */
/* What an upstream says of itself, and how a client is told. */
#include "mcp/bridge_server.h"

#include "mcp/bridge_edit.h"
#include "mcp/merge_caps.h"

/* --- reading --- */

static struct text
if_kind(struct text raw, enum json_kind kind)
{
    return json_kind_of(raw) == kind ? raw : (struct text){NULL, 0};
}

enum mcp_revision
bridge_revision_of(struct text raw)
{
    char name[16];
    int n = json_string_decode(raw, name, sizeof name);

    return n < 0 ? MCP_NO_REVISION : mcp_revision_of((struct text){name, (uint32_t)n});
}

enum mcp_revision
bridge_newest_of(struct text array, bool modern)
{
    enum mcp_revision newest = MCP_NO_REVISION;
    struct text element;

    if (json_kind_of(array) != JSON_IS_ARRAY)
        return MCP_NO_REVISION;
    while (json_next_element(&array, &element)) {
        enum mcp_revision r = bridge_revision_of(element);

        if (r != MCP_NO_REVISION && mcp_revision_is_modern(r) == modern &&
            (newest == MCP_NO_REVISION || r > newest))
            newest = r;
    }
    return newest;
}

static void
read_common(struct text result, struct text info, struct bridge_server *ret)
{
    struct text caps = json_find(result, TEXT("capabilities"));

    ret->caps = merge_caps(caps);
    ret->tasks = if_kind(json_find(caps, TEXT("tasks")), JSON_IS_OBJECT);
    ret->extensions = if_kind(json_find(caps, TEXT("extensions")), JSON_IS_OBJECT);
    ret->info = if_kind(info, JSON_IS_OBJECT);
    ret->instructions = if_kind(json_find(result, TEXT("instructions")), JSON_IS_STRING);
}

bool
bridge_read_initialize(struct text result, struct bridge_server *ret)
{
    struct text version = json_find(result, TEXT("protocolVersion"));

    *ret = (struct bridge_server){.revision = bridge_revision_of(version)};
    if (ret->revision > MCP_LATEST_LEGACY) { /* initialize cannot agree on a revision that has none */
        ret->revision = MCP_NO_REVISION;
        return false;
    }
    read_common(result, json_find(result, TEXT("serverInfo")), ret);
    return true;
}

bool
bridge_read_discover(struct text result, struct bridge_server *ret)
{
    struct text versions = json_find(result, TEXT("supportedVersions"));

    *ret = (struct bridge_server){.revision = bridge_newest_of(versions, true)};
    if (ret->revision == MCP_NO_REVISION)
        return false;
    read_common(result, json_find(json_find(result, TEXT("_meta")), TEXT(META_SERVER_INFO)), ret);
    return true;
}

/* --- telling --- */

static const struct {
    struct text key, flag; /* of ServerCapabilities, and a member of that; empty: the key itself */
    uint32_t bit;
    enum mcp_revision since;
} caps[] = {
    {ROW_TEXT("tools"), ROW_TEXT(""), MERGE_CAP_TOOLS, MCP_2024_11_05},
    {ROW_TEXT("tools"), ROW_TEXT("listChanged"), MERGE_CAP_TOOLS_CHANGED, MCP_2024_11_05},
    {ROW_TEXT("prompts"), ROW_TEXT(""), MERGE_CAP_PROMPTS, MCP_2024_11_05},
    {ROW_TEXT("prompts"), ROW_TEXT("listChanged"), MERGE_CAP_PROMPTS_CHANGED, MCP_2024_11_05},
    {ROW_TEXT("resources"), ROW_TEXT(""), MERGE_CAP_RESOURCES, MCP_2024_11_05},
    {ROW_TEXT("resources"), ROW_TEXT("subscribe"), MERGE_CAP_SUBSCRIBE, MCP_2024_11_05},
    {ROW_TEXT("resources"), ROW_TEXT("listChanged"), MERGE_CAP_RESOURCES_CHANGED, MCP_2024_11_05},
    {ROW_TEXT("completions"), ROW_TEXT(""), MERGE_CAP_COMPLETIONS, MCP_2025_03_26},
    {ROW_TEXT("logging"), ROW_TEXT(""), MERGE_CAP_LOGGING, MCP_2024_11_05},
};

enum { CAPS = sizeof caps / sizeof *caps };

static void
put_flags(struct json_writer *w, unsigned row, uint32_t bits)
{
    bool first = true;

    json_put(w, TEXT("{"));
    for (unsigned i = row + 1; i < CAPS && caps[i].flag.len; i++) {
        if (!(bits & caps[i].bit))
            continue;
        bridge_put_key(w, &first, caps[i].flag);
        json_put(w, TEXT("true"));
    }
    json_put(w, TEXT("}"));
}

static void
put_capabilities(struct json_writer *w, const struct bridge *b, const struct bridge_server *server)
{
    uint32_t bits = server->caps;
    bool first = true;

    /* A modern server logs whenever a request asks for it, and may have stopped to announce that. */
    if (!bridge_modern_client(b) && bridge_modern_upstream(b))
        bits |= MERGE_CAP_LOGGING;
    json_put(w, TEXT("\"capabilities\":{"));
    for (unsigned i = 0; i < CAPS; i++) {
        if (caps[i].flag.len || !(bits & caps[i].bit) || b->client < caps[i].since)
            continue;
        bridge_put_key(w, &first, caps[i].key);
        put_flags(w, i, bits);
    }
    if (bridge_has_tasks(b) && server->tasks.at) {
        bridge_put_key(w, &first, TEXT("tasks"));
        json_put(w, server->tasks);
    }
    bridge_put_extensions(w, server->extensions, bridge_modern_client(b) && bridge_modern_upstream(b),
                          &first);
    json_put(w, TEXT("}"));
}

enum mcp_revision
bridge_negotiate(struct text raw)
{
    enum mcp_revision revision = bridge_revision_of(raw);

    return revision <= MCP_LATEST_LEGACY ? revision : MCP_LATEST_LEGACY;
}

static void
put_instructions(struct json_writer *w, const struct bridge_server *server)
{
    if (!server->instructions.at)
        return;
    json_put(w, TEXT(",\"instructions\":"));
    json_put(w, server->instructions);
}

void
bridge_put_initialize(struct json_writer *w, const struct bridge *b, struct text id,
                      const struct bridge_server *server, struct text info)
{
    bridge_put_reply_begin(w, id);
    json_put(w, TEXT("\"result\":{\"protocolVersion\":"));
    json_put_string(w, mcp_revision_name(b->client));
    json_put(w, TEXT(","));
    put_capabilities(w, b, server);
    json_put(w, TEXT(",\"serverInfo\":"));
    json_put(w, server->info.at ? server->info : info);
    put_instructions(w, server);
    json_put(w, TEXT("}}"));
}

void
bridge_put_discover(struct json_writer *w, const struct bridge *b, struct text id,
                    const struct bridge_server *server, struct text info, uint64_t ttl_ms, bool is_private)
{
    bridge_put_reply_begin(w, id);
    json_put(w, TEXT("\"result\":{\"resultType\":\"complete\",\"supportedVersions\":["));
    for (unsigned i = MCP_2026_07_28; i < MCP_REVISIONS; i++) {
        if (i > MCP_2026_07_28)
            json_put(w, TEXT(","));
        json_put_string(w, mcp_revision_name((enum mcp_revision)i));
    }
    json_put(w, TEXT("],"));
    put_capabilities(w, b, server);
    put_instructions(w, server);
    json_put(w, TEXT(",\"ttlMs\":"));
    bridge_put_number(w, ttl_ms);
    json_put(w, is_private ? TEXT(",\"cacheScope\":\"private\"") : TEXT(",\"cacheScope\":\"public\""));
    json_put(w, TEXT(",\"_meta\":{\"" META_SERVER_INFO "\":"));
    json_put(w, server->info.at ? server->info : info);
    json_put(w, TEXT("}}}"));
}
