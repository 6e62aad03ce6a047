/* SPDX-License-Identifier: Apache-2.0 */
/* What the client can do and who it is, as upstreams of each revision want to read it. */
#include "mcp/bridge_edit.h"
#include "mcp/bridge_server.h"

#define TASKS_EXTENSION TEXT("io.modelcontextprotocol/tasks")

uint32_t
bridge_caps_of(const struct bridge *b)
{
    uint32_t caps = b->client_caps;

    /* Capabilities that a revision does not have are worth nothing, whatever was declared. */
    if (b->client < MCP_2025_06_18)
        caps &= ~(uint32_t)(MCP_CLIENT_ELICIT_FORM | MCP_CLIENT_ELICIT_URL);
    if (b->client < MCP_2025_11_25)
        caps &= ~(uint32_t)(MCP_CLIENT_ELICIT_URL | MCP_CLIENT_SAMPLING_TOOLS | MCP_CLIENT_SAMPLING_CONTEXT);
    if (bridge_modern_client(b))
        caps &= ~(uint32_t)MCP_CLIENT_ROOTS_CHANGED;
    return caps;
}

/* --- capabilities --- */

void
bridge_put_key(struct json_writer *w, bool *first, struct text key)
{
    if (!*first)
        json_put(w, TEXT(","));
    *first = false;
    json_put_string(w, key);
    json_put(w, TEXT(":"));
}

/* {"a":{},"b":{}} of those whose bit is set. */
static void
put_parts(struct json_writer *w, uint32_t caps, uint32_t a_bit, struct text a, uint32_t b_bit, struct text b)
{
    bool first = true;

    json_put(w, TEXT("{"));
    if (caps & a_bit) {
        bridge_put_key(w, &first, a);
        json_put(w, TEXT("{}"));
    }
    if (caps & b_bit) {
        bridge_put_key(w, &first, b);
        json_put(w, TEXT("{}"));
    }
    json_put(w, TEXT("}"));
}

/* An empty object means forms only, in each revision that has elicitation. */
static void
put_elicitation(struct json_writer *w, uint32_t caps)
{
    if (caps & MCP_CLIENT_ELICIT_URL)
        put_parts(w, caps, MCP_CLIENT_ELICIT_FORM, TEXT("form"), MCP_CLIENT_ELICIT_URL, TEXT("url"));
    else
        json_put(w, TEXT("{}"));
}

/* The members of a ClientCapabilities object; *first: there is none yet. */
static void
put_caps(struct json_writer *w, uint32_t caps, enum mcp_revision revision, bool *first)
{
    uint32_t sampling = MCP_CLIENT_SAMPLING | MCP_CLIENT_SAMPLING_TOOLS | MCP_CLIENT_SAMPLING_CONTEXT;
    uint32_t elicitation = MCP_CLIENT_ELICIT_FORM;

    if (revision >= MCP_2025_11_25)
        elicitation |= MCP_CLIENT_ELICIT_URL;
    if (revision < MCP_2025_11_25)
        caps &= ~(uint32_t)(MCP_CLIENT_ELICIT_URL | MCP_CLIENT_SAMPLING_TOOLS | MCP_CLIENT_SAMPLING_CONTEXT);
    if (caps & MCP_CLIENT_ROOTS) {
        bridge_put_key(w, first, TEXT("roots"));
        json_put(w, caps & MCP_CLIENT_ROOTS_CHANGED && !mcp_revision_is_modern(revision)
                        ? TEXT("{\"listChanged\":true}")
                        : TEXT("{}"));
    }
    if (caps & sampling) {
        bridge_put_key(w, first, TEXT("sampling"));
        put_parts(w, caps, MCP_CLIENT_SAMPLING_TOOLS, TEXT("tools"), MCP_CLIENT_SAMPLING_CONTEXT,
                  TEXT("context"));
    }
    if (caps & elicitation && revision >= MCP_2025_06_18) {
        bridge_put_key(w, first, TEXT("elicitation"));
        put_elicitation(w, caps);
    }
}

void
bridge_put_client_caps(struct json_writer *w, uint32_t caps, enum mcp_revision revision)
{
    bool first = true;

    json_put(w, TEXT("{"));
    put_caps(w, caps, revision, &first);
    json_put(w, TEXT("}"));
}

void
bridge_put_extensions(struct json_writer *w, struct text extensions, bool with_tasks, bool *first)
{
    struct json_member m;
    bool first_member = true;

    if (json_kind_of(extensions) != JSON_IS_OBJECT)
        return;
    bridge_put_key(w, first, TEXT("extensions"));
    json_put(w, TEXT("{"));
    while (json_next_member(&extensions, &m)) {
        if (!with_tasks && json_string_is(m.key, TASKS_EXTENSION))
            continue;
        if (!first_member)
            json_put(w, TEXT(","));
        first_member = false;
        json_put(w, m.key);
        json_put(w, TEXT(":"));
        json_put(w, m.value);
    }
    json_put(w, TEXT("}"));
}

/* All that is offered to an upstream for this client. */
static void
put_offer(struct json_writer *w, const struct bridge *b)
{
    bool first = true;

    json_put(w, TEXT("{"));
    put_caps(w, bridge_caps_of(b), b->upstream, &first);
    bridge_put_extensions(w, b->client_extensions, bridge_modern_client(b) && bridge_modern_upstream(b),
                          &first);
    json_put(w, TEXT("}"));
}

static void
put_client_info(struct json_writer *w, const struct bridge *b)
{
    json_put(w, json_kind_of(b->client_info) == JSON_IS_OBJECT
                    ? b->client_info
                    : TEXT("{\"name\":\"mcpgate\",\"version\":\"" MCPGATE_VERSION "\"}"));
}

/* --- requests of the gateway --- */

void
bridge_put_modern_meta(struct json_writer *w, const struct bridge *b)
{
    json_put(w, TEXT("\"" META_VERSION "\":"));
    json_put_string(w, mcp_revision_name(b->upstream));
    json_put(w, TEXT(",\"" META_CAPABILITIES "\":"));
    put_offer(w, b);
    json_put(w, TEXT(",\"" META_CLIENT_INFO "\":"));
    put_client_info(w, b);
    if (b->log_level != BRIDGE_LEVEL_NONE) {
        json_put(w, TEXT(",\"" META_LOG_LEVEL "\":"));
        json_put_string(w, bridge_level_name(b->log_level));
    }
}

void
bridge_put_initialize_request(struct json_writer *w, const struct bridge *b, uint64_t number)
{
    bridge_put_request_begin(w, number, TEXT("initialize"));
    json_put(w, TEXT(",\"params\":{\"protocolVersion\":"));
    json_put_string(w, mcp_revision_name(b->upstream));
    json_put(w, TEXT(",\"capabilities\":"));
    put_offer(w, b);
    json_put(w, TEXT(",\"clientInfo\":"));
    put_client_info(w, b);
    json_put(w, TEXT("}}"));
}

void
bridge_put_discover_request(struct json_writer *w, const struct bridge *b, uint64_t number)
{
    bridge_put_request_begin(w, number, TEXT("server/discover"));
    json_put(w, TEXT(",\"params\":{\"_meta\":{"));
    bridge_put_modern_meta(w, b);
    json_put(w, TEXT("}}}"));
}

void
bridge_put_set_level(struct json_writer *w, uint64_t number, enum bridge_level level)
{
    bridge_put_request_begin(w, number, TEXT("logging/setLevel"));
    json_put(w, TEXT(",\"params\":{\"level\":"));
    json_put_string(w, bridge_level_name(level));
    json_put(w, TEXT("}}"));
}

void
bridge_put_subscribe(struct json_writer *w, uint64_t number, struct text uri, bool is_on)
{
    bridge_put_request_begin(w, number, is_on ? TEXT("resources/subscribe") : TEXT("resources/unsubscribe"));
    json_put(w, TEXT(",\"params\":{\"uri\":"));
    json_put(w, uri);
    json_put(w, TEXT("}}"));
}
