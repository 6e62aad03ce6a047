/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The mock upstream's MCP: enough of every revision that clients and gateways work against it. tools/call of
 * any tool brings back the argument "text" (or "message").
 */
#include "serve.h"

#include "proto/jsonrpc.h"
#include "proto/mcp_names.h"

#define SERVER_INFO "{\"name\":\"mcpload serve\",\"version\":\"" MCPGATE_VERSION "\"}"
/* Of the tools, what it says about changes: "" or CHANGES. */
#define CAPABILITIES "{\"tools\":{%s},\"logging\":{}}"
#define CHANGES      "\"listChanged\":true"

static bool
is_modern(const struct http1_head *head)
{
    return mcp_revision_is_modern(mcp_revision_of(http1_value(head, HTTP_MCP_PROTOCOL_VERSION)));
}

/* What 2026-07-28 adds to every result. */
static void
add_modern(struct bytes *out, bool modern)
{
    if (modern)
        bytes_print(
            out, ",\"resultType\":\"complete\",\"_meta\":{\"io.modelcontextprotocol/serverInfo\":" SERVER_INFO
                 "}");
}

/* --- results --- */

static void
add_initialize(struct bytes *out, const struct jsonrpc_envelope *call)
{
    struct text raw = call->protocol_version;
    char version[32];
    int len = json_string_decode(raw, version, sizeof(version));
    struct text asked = {version, len > 0 ? (uint32_t)len : 0};
    enum mcp_revision revision = mcp_revision_of(asked);

    if (revision == MCP_NO_REVISION || mcp_revision_is_modern(revision))
        asked = mcp_revision_name(MCP_LATEST_LEGACY);
    bytes_print(out,
                "{\"protocolVersion\":\"%.*s\",\"capabilities\":" CAPABILITIES ",\"serverInfo\":" SERVER_INFO
                "}",
                (int)asked.len, asked.at, ""); /* what changes is said to subscriptions only */
}

static void
add_discover(struct bytes *out, const struct behaviour *how)
{
    bytes_print(out,
                "{\"supportedVersions\":[\"2026-07-28\"],\"capabilities\":" CAPABILITIES
                ",\"ttlMs\":60000,\"cacheScope\":\"public\"",
                how->changes > 0 ? CHANGES : "");
    add_modern(out, true);
    bytes_print(out, "}");
}

static void
add_tool(struct bytes *out, const char *name, const char *more)
{
    bytes_print(
        out,
        "{\"name\":\"%s\",\"description\":\"brings the text back%s\",\"inputSchema\":{\"type\":\"object\","
        "\"properties\":{\"text\":{\"type\":\"string\"}},\"required\":[\"text\"]}}",
        name, more);
}

static void
add_list(struct bytes *out, uint64_t least, bool modern)
{
    size_t begin = out->len;

    bytes_print(out, "{\"tools\":[");
    add_tool(out, "echo", "");
    for (unsigned i = 1; out->len - begin < least; i++) {
        char name[32];

        snprintf(name, sizeof(name), "echo_%u", i);
        bytes_print(out, ",");
        add_tool(out, name, ", and is here only to make the list as long as it was asked to be");
    }
    bytes_print(out, "]%s", modern ? ",\"ttlMs\":60000,\"cacheScope\":\"public\"" : "");
    add_modern(out, modern);
    bytes_print(out, "}");
}

static void
add_call(struct bytes *out, const struct jsonrpc_envelope *call, bool modern)
{
    struct text text = json_find(call->arguments, TEXT("text"));

    if (json_kind_of(text) != JSON_IS_STRING)
        text = json_find(call->arguments, TEXT("message"));
    if (json_kind_of(text) != JSON_IS_STRING)
        text = TEXT("\"\"");
    bytes_print(out, "{\"content\":[{\"type\":\"text\",\"text\":");
    bytes_text(out, text);
    bytes_print(out, "}]");
    add_modern(out, modern);
    bytes_print(out, "}");
}

/* The response to a request, without a line end. */
static void
add_response(struct bytes *out, const struct jsonrpc_envelope *call, const struct behaviour *how, bool modern)
{
    enum mcp_method method = mcp_method_of(call->method);

    bytes_print(out, "{\"jsonrpc\":\"2.0\",\"id\":%.*s,", (int)call->id.len, call->id.at);
    if (method == MCP_INITIALIZE || method == MCP_DISCOVER || method == MCP_TOOLS_LIST ||
        method == MCP_TOOLS_CALL || method == MCP_PING || method == MCP_SET_LEVEL)
        bytes_print(out, "\"result\":");
    switch (method) {
    case MCP_INITIALIZE:
        add_initialize(out, call);
        break;
    case MCP_DISCOVER:
        add_discover(out, how);
        break;
    case MCP_TOOLS_LIST:
        add_list(out, how->list_bytes, modern);
        break;
    case MCP_TOOLS_CALL:
        add_call(out, call, modern);
        break;
    case MCP_PING:
    case MCP_SET_LEVEL:
        bytes_print(out, "{}");
        break;
    default:
        bytes_print(out, "\"error\":{\"code\":-32601,\"message\":\"mcpload serve does not know %.*s\"}",
                    (int)call->method.len, call->method.at);
    }
    bytes_print(out, "}");
}

/* --- replies --- */

static bool
accepts_events(const struct http1_head *head)
{
    struct text accept = http1_value(head, HTTP_ACCEPT);

    return accept.len && memmem(accept.at, accept.len, "text/event-stream", 17);
}

/* Progress at the pace of --rate, then the response. */
static void
reply_with_progress(struct serve_conn *conn, const struct jsonrpc_envelope *call, struct text response)
{
    serve_reply_stream(conn, NULL);
    bytes_text(&conn->progress_token, call->meta_progress_token.len ? call->meta_progress_token : call->id);
    bytes_print(&conn->last_event, "event: message\ndata: %.*s\n\n", (int)response.len, response.at);
    conn->how.events = conn->how.progress;
}

/* The acknowledgement, then notices at the pace of --changes for as long as the connection lasts. */
static void
reply_subscription(struct serve_conn *conn, const struct jsonrpc_envelope *call)
{
    struct bytes event = {0};

    bytes_print(
        &event,
        "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/subscriptions/acknowledged\",\"params\":"
        "{\"_meta\":{" SERVE_SUBSCRIPTION ":%.*s},\"notifications\":{\"toolsListChanged\":true}}}\n\n",
        (int)call->id.len, call->id.at);
    serve_reply_stream(conn, NULL);
    serve_reply_first_event(conn, (struct text){event.at, (uint32_t)event.len});
    bytes_text(&conn->subscription, call->id);
    conn->how.rate = conn->how.changes;
    bytes_done(&event);
}

static void
reply_event(struct serve_conn *conn, const char *fields, struct text response)
{
    struct bytes event = {0};

    bytes_print(&event, "event: message\ndata: %.*s\n\n", (int)response.len, response.at);
    conn->serve->events++;
    conn->how.chunked = !conn->how.close_delimited;
    serve_reply_whole(conn, 200, "text/event-stream", fields, (struct text){event.at, (uint32_t)event.len});
    bytes_done(&event);
}

void
serve_mcp_reply(struct serve_conn *conn, const struct http1_head *head, struct text body)
{
    struct jsonrpc_envelope call;
    struct bytes response = {0};
    struct text text;
    char fields[64] = "";

    if (jsonrpc_scan(body, JSON_SCAN_FAST, &call) != JSONRPC_FAULT_FINE) {
        conn->serve->bad_requests++;
        serve_reply_whole(
            conn, 400, "application/json", NULL,
            TEXT("{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32700,\"message\":\"no JSON-RPC message\"}}"));
        return;
    }
    if (call.kind != JSONRPC_REQUEST) {
        serve_reply_whole(conn, 202, NULL, NULL, (struct text){NULL, 0});
        return;
    }
    if (mcp_method_of(call.method) == MCP_LISTEN && conn->how.changes > 0) {
        reply_subscription(conn, &call);
        return;
    }
    if (mcp_method_of(call.method) == MCP_INITIALIZE)
        snprintf(fields, sizeof(fields), "Mcp-Session-Id: mock-%llu\r\n",
                 (unsigned long long)++conn->serve->sessions);
    add_response(&response, &call, &conn->how, is_modern(head));
    text = (struct text){response.at, (uint32_t)response.len};
    if (!conn->how.sse || !accepts_events(head))
        serve_reply_whole(conn, 200, "application/json", fields, text);
    else if (conn->how.progress && mcp_method_of(call.method) == MCP_TOOLS_CALL)
        reply_with_progress(conn, &call, text);
    else
        reply_event(conn, fields, text);
    bytes_done(&response);
}

void
serve_mcp_answer(struct serve_conn *conn, struct text message, struct bytes *out)
{
    struct jsonrpc_envelope call;

    if (jsonrpc_scan(message, JSON_SCAN_FAST, &call) != JSONRPC_FAULT_FINE)
        conn->serve->bad_requests++;
    else if (call.kind == JSONRPC_REQUEST)
        add_response(out, &call, &conn->how, call.meta_version.len > 0);
}
