/* SPDX-License-Identifier: Apache-2.0 */
#include "mcp/merge_caps.h"

#include "base/check.h"
#include "proto/json_escape.h"
#include "proto/utf8.h"

static const struct {
    const char *key;  /* of ServerCapabilities */
    const char *flag; /* a member that must be true for the bit; NULL: the key is enough */
    uint32_t bit;
} bits[] = {
    {"tools", NULL, MERGE_CAP_TOOLS},
    {"tools", "listChanged", MERGE_CAP_TOOLS_CHANGED},
    {"prompts", NULL, MERGE_CAP_PROMPTS},
    {"prompts", "listChanged", MERGE_CAP_PROMPTS_CHANGED},
    {"resources", NULL, MERGE_CAP_RESOURCES},
    {"resources", "listChanged", MERGE_CAP_RESOURCES_CHANGED},
    {"resources", "subscribe", MERGE_CAP_SUBSCRIBE},
    {"completions", NULL, MERGE_CAP_COMPLETIONS},
    {"logging", NULL, MERGE_CAP_LOGGING},
};

enum { BITS = sizeof bits / sizeof *bits };

#define UI_EXTENSION "io.modelcontextprotocol/ui"

uint32_t
merge_caps(struct text capabilities)
{
    struct text extensions = json_find(capabilities, TEXT("extensions"));
    uint32_t caps = 0;

    for (unsigned i = 0; i < BITS; i++) {
        struct text value = json_find(capabilities, text_of(bits[i].key));

        if (json_kind_of(value) == JSON_IS_OBJECT &&
            (!bits[i].flag || json_kind_of(json_find(value, text_of(bits[i].flag))) == JSON_IS_TRUE))
            caps |= bits[i].bit;
    }
    if (json_kind_of(json_find(extensions, TEXT(UI_EXTENSION))) == JSON_IS_OBJECT)
        caps |= MERGE_CAP_UI;
    return caps;
}

uint32_t
merge_cap_for(enum mcp_method method)
{
    switch (method) {
    case MCP_TOOLS_LIST:
    case MCP_TOOLS_CALL:
        return MERGE_CAP_TOOLS;
    case MCP_PROMPTS_LIST:
    case MCP_PROMPTS_GET:
        return MERGE_CAP_PROMPTS;
    case MCP_RESOURCES_LIST:
    case MCP_RESOURCES_TEMPLATES_LIST:
    case MCP_RESOURCES_READ:
        return MERGE_CAP_RESOURCES;
    case MCP_RESOURCES_SUBSCRIBE:
    case MCP_RESOURCES_UNSUBSCRIBE:
        return MERGE_CAP_SUBSCRIBE;
    case MCP_SET_LEVEL:
        return MERGE_CAP_LOGGING;
    default: /* servers of 2024-11-05 complete without saying so */
        return 0;
    }
}

uint32_t
merge_caps_of(const struct merge_server *server)
{
    uint32_t caps = 0;

    for (unsigned i = 0; i < server->count; i++)
        caps |= server->parts[i].caps;
    return caps;
}

/* `"key":`, after a comma where one is due. */
static void
put_key(struct json_writer *w, bool *first, const char *name)
{
    if (!*first)
        json_put(w, TEXT(","));
    *first = false;
    json_put_string(w, text_of(name));
    json_put(w, TEXT(":"));
}

/* The first upstream's that says more than {}. */
static struct text
ui_value(const struct merge_server *server)
{
    for (unsigned i = 0; i < server->count; i++)
        if (server->parts[i].caps & MERGE_CAP_UI && server->parts[i].ui.at)
            return server->parts[i].ui;
    return TEXT("{}");
}

/* "tools":{"listChanged":true},... */
static void
put_caps(struct json_writer *w, uint32_t caps, bool *first)
{
    for (unsigned i = 0; i < BITS; i++) {
        bool first_flag = true;

        if (bits[i].flag || !(caps & bits[i].bit))
            continue;
        put_key(w, first, bits[i].key);
        json_put(w, TEXT("{"));
        for (unsigned k = i + 1; k < BITS && bits[k].flag; k++) {
            if (!(caps & bits[k].bit))
                continue;
            put_key(w, &first_flag, bits[k].flag);
            json_put(w, TEXT("true"));
        }
        json_put(w, TEXT("}"));
    }
}

static void
put_capabilities(struct json_writer *w, const struct merge_server *server)
{
    uint32_t caps = merge_caps_of(server);
    bool first = true;

    json_put(w, TEXT("\"capabilities\":{"));
    put_caps(w, caps, &first);
    if (server->count == 1 && server->parts[0].extensions.len) {
        put_key(w, &first, "extensions");
        json_put(w, server->parts[0].extensions);
    } else if (caps & MERGE_CAP_UI) {
        put_key(w, &first, "extensions");
        json_put(w, TEXT("{\"" UI_EXTENSION "\":"));
        json_put(w, ui_value(server));
        json_put(w, TEXT("}"));
    }
    json_put(w, TEXT("}"));
}

/* ---- instructions ---- */

/* The length of what stands for one character at `at`: bytes of UTF-8, an escape, or a pair of them; where
 * that is malformed, what must not be cut either. */
static uint32_t
character_length(const char *at, const char *end)
{
    unsigned n = *at == '\\' ? json_escape(at, end, NULL) : utf8_length(at, end);

    if (n)
        return n;
    if (*at != '\\' || end - at < 2)
        return 1;
    return at[1] == 'u' && end - at >= 6 ? 6 : 2;
}

/* The inside of a raw string, cut to `most` bytes between two characters. */
static struct text
cut_string(struct text raw, uint32_t most)
{
    const char *at = raw.at + 1, *end = raw.at + raw.len - 1, *to = at;

    if ((uint32_t)(end - at) <= most)
        return (struct text){at, (uint32_t)(end - at)};
    while (to < end) {
        uint32_t n = character_length(to, end);

        if ((uint32_t)(to - at) + n > most)
            break;
        to += n;
    }
    return (struct text){at, (uint32_t)(to - at)};
}

static bool
has_instructions(const struct merge_about *part)
{
    return json_kind_of(part->instructions) == JSON_IS_STRING && part->instructions.len > 2;
}

/* Raw strings without their quotes may be put side by side in one. Each upstream has an equal share of the
 * room, which none is denied by a wordy neighbour. */
static void
put_instructions(struct json_writer *w, const struct merge_server *server)
{
    unsigned talkers = 0;
    bool first = true;

    for (unsigned i = 0; i < server->count; i++)
        talkers += has_instructions(&server->parts[i]);
    if (!talkers)
        return;
    json_put(w, TEXT(",\"instructions\":\""));
    for (unsigned i = 0; i < server->count; i++) {
        const struct merge_about *part = &server->parts[i];

        if (!has_instructions(part))
            continue;
        ASSERT(part->upstream < server->names->count);
        if (!server->names->plain) {
            json_put(w, first ? TEXT("# ") : TEXT("\\n\\n# "));
            json_put(w, merge_name_text(&server->names->at[part->upstream]));
            json_put(w, TEXT("\\n"));
        }
        json_put(w, cut_string(part->instructions, MERGE_INSTRUCTIONS_MAX / talkers));
        first = false;
    }
    json_put(w, TEXT("\""));
}

/* ---- results ---- */

void
merge_write_initialize(struct json_writer *w, const struct merge_server *server, enum mcp_revision revision)
{
    json_put(w, TEXT("{\"protocolVersion\":"));
    json_put_string(w, mcp_revision_name(revision));
    json_put(w, TEXT(","));
    put_capabilities(w, server);
    json_put(w, TEXT(",\"serverInfo\":"));
    json_put(w, server->info);
    put_instructions(w, server);
    json_put(w, TEXT("}"));
}

void
merge_write_discover(struct json_writer *w, const struct merge_server *server, uint64_t ttl_ms,
                     bool is_private)
{
    bool first = true;

    json_put(w, TEXT("{\"resultType\":\"complete\",\"supportedVersions\":["));
    for (unsigned i = 0; i < MCP_REVISIONS; i++) {
        if (!mcp_revision_is_modern((enum mcp_revision)i))
            continue;
        if (!first)
            json_put(w, TEXT(","));
        json_put_string(w, mcp_revision_name((enum mcp_revision)i));
        first = false;
    }
    json_put(w, TEXT("],"));
    put_capabilities(w, server);
    put_instructions(w, server);
    json_put(w, TEXT(",\"ttlMs\":"));
    json_put_integer(w, (int64_t)ttl_ms);
    json_put(w, is_private ? TEXT(",\"cacheScope\":\"private\"") : TEXT(",\"cacheScope\":\"public\""));
    json_put(w, TEXT(",\"_meta\":{\"io.modelcontextprotocol/serverInfo\":"));
    json_put(w, server->info);
    json_put(w, TEXT("}}"));
}
