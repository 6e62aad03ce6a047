/* SPDX-License-Identifier: Apache-2.0 */
/* The requests of a load run; see request.h. */
#include "request.h"

#include "proto/mcp_names.h"

static const char client_info[] = "{\"name\":\"mcpload\",\"version\":\"" MCPGATE_VERSION "\"}";

/* Those of the plan, and the priority; returns where its urgency stands. */
static size_t
add_fields(const struct plan *plan, enum message message, struct bytes *out)
{
    size_t urgency_at = 0;

    for (unsigned i = 0; plan->headers && i < plan->headers->count; i++)
        bytes_print(out, "%s\r\n", plan->headers->items[i]);
    if (plan->has_priority && (message == MESSAGE_WORK || message == MESSAGE_STREAM)) {
        urgency_at = out->len + sizeof("Priority: u=") - 1;
        bytes_print(out, "Priority: u=3\r\n");
    }
    return urgency_at;
}

/* --- JSON-RPC --- */

static void
add_id(struct bytes *body, size_t *ret_id_at)
{
    bytes_print(body, "{\"jsonrpc\":\"2.0\",\"id\":");
    *ret_id_at = body->len;
    bytes_print(body, "%u,", (unsigned)REQUEST_FIRST_ID);
}

/* The members of params that every request of 2026-07-28 carries. */
static void
add_meta(const struct plan *plan, struct bytes *body)
{
    if (plan->kind == KIND_MCP_2026)
        bytes_print(
            body,
            "\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\","
            "\"io.modelcontextprotocol/clientCapabilities\":{},\"io.modelcontextprotocol/clientInfo\":%s}",
            client_info);
}

static void
add_work(const struct plan *plan, struct bytes *body, size_t *ret_id_at)
{
    bool modern = plan->kind == KIND_MCP_2026;

    add_id(body, ret_id_at);
    if (plan->list)
        bytes_print(body, "\"method\":\"tools/list\",\"params\":{");
    else
        bytes_print(body, "\"method\":\"tools/call\",\"params\":{\"name\":\"%s\",\"arguments\":%s%s",
                    plan->tool, plan->args, modern ? "," : "");
    add_meta(plan, body);
    bytes_print(body, "}}");
}

/* The stream of 2026-07-28, which has no GET. */
static void
add_listen(const struct plan *plan, struct bytes *body, size_t *ret_id_at)
{
    add_id(body, ret_id_at);
    bytes_print(
        body,
        "\"method\":\"subscriptions/listen\",\"params\":{\"notifications\":{\"toolsListChanged\":true},");
    add_meta(plan, body);
    bytes_print(body, "}}");
}

static void
add_body(const struct plan *plan, enum message message, struct bytes *body, size_t *ret_id_at)
{
    switch (message) {
    case MESSAGE_INITIALIZE:
        add_id(body, ret_id_at);
        bytes_print(
            body,
            "\"method\":\"initialize\",\"params\":{\"protocolVersion\":\"2025-11-25\",\"capabilities\":{},"
            "\"clientInfo\":%s}}",
            client_info);
        break;
    case MESSAGE_INITIALIZED:
        bytes_print(body, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}");
        break;
    case MESSAGE_WORK:
        add_work(plan, body, ret_id_at);
        break;
    case MESSAGE_STREAM:
        if (plan->kind == KIND_MCP_2026)
            add_listen(plan, body, ret_id_at);
        break;
    case MESSAGE_DELETE:
        break;
    }
}

/* The fields that a revision wants (streamable HTTP): session and version after initialize; method and name
 * in 2026-07-28. */
static void
add_mcp_fields(const struct plan *plan, enum message message, struct text session, struct text version,
               struct bytes *out)
{
    bool is_list = message == MESSAGE_WORK && plan->list, is_call = message == MESSAGE_WORK && !plan->list;
    char name[512];
    int len;

    if (session.len)
        bytes_print(out, "Mcp-Session-Id: %.*s\r\n", (int)session.len, session.at);
    if (plan->kind == KIND_MCP_2026)
        version = TEXT("2026-07-28");
    if (version.len)
        bytes_print(out, "MCP-Protocol-Version: %.*s\r\n", (int)version.len, version.at);
    if (plan->kind != KIND_MCP_2026)
        return;
    bytes_print(out, "Mcp-Method: %s\r\n",
                is_call   ? "tools/call"
                : is_list ? "tools/list"
                          : "subscriptions/listen");
    len = is_call ? mcp_header_encode(text_of(plan->tool), name, sizeof(name)) : -1;
    if (len >= 0)
        bytes_print(out, "Mcp-Name: %.*s\r\n", len, name);
}

static struct request_marks
build_mcp(const struct plan *plan, enum message message, const char *path, struct text session,
          struct text version, struct bytes *out)
{
    bool is_get = message == MESSAGE_STREAM && plan->kind != KIND_MCP_2026;
    const char *method = is_get ? "GET" : message == MESSAGE_DELETE ? "DELETE" : "POST";
    struct bytes body = {0};
    struct request_marks marks = {0};

    add_body(plan, message, &body, &marks.id_at);
    bytes_print(out, "%s %s HTTP/1.1\r\nHost: %s\r\n", method, path, plan->url.authority);
    if (is_get)
        bytes_print(out, "Accept: text/event-stream\r\n");
    else if (message != MESSAGE_DELETE)
        bytes_print(out,
                    "Content-Type: application/json\r\nAccept: application/json, text/event-stream\r\n"
                    "Content-Length: %zu\r\n",
                    body.len);
    add_mcp_fields(plan, message, session, version, out);
    marks.urgency_at = add_fields(plan, message, out);
    bytes_print(out, "\r\n");
    if (marks.id_at)
        marks.id_at += out->len;
    bytes_add(out, body.at, body.len);
    bytes_done(&body);
    return marks;
}

/* --- plain --- */

static struct request_marks
build_http(const struct plan *plan, enum message message, const char *path, struct bytes *out)
{
    bool stream = message == MESSAGE_STREAM;
    struct request_marks marks = {0};

    bytes_print(out, "%s %s HTTP/1.1\r\nHost: %s\r\n", stream ? "GET" : plan->method, path,
                plan->url.authority);
    if (stream)
        bytes_print(out, "Accept: text/event-stream\r\n");
    else if (plan->body_bytes)
        bytes_print(out, "Content-Type: application/json\r\nContent-Length: %llu\r\n",
                    (unsigned long long)plan->body_bytes);
    marks.urgency_at = add_fields(plan, message, out);
    bytes_print(out, "\r\n");
    if (!stream && plan->body_bytes && !plan->filler.len)
        bytes_fill(out, 'x', plan->body_bytes);
    return marks;
}

struct request_marks
request_build(const struct plan *plan, enum message message, const char *path, struct text session,
              struct text version, struct bytes *out)
{
    if (plan->kind != KIND_HTTP)
        return build_mcp(plan, message, path, session, version, out);
    return build_http(plan, message, path, out);
}

void
request_set_id(struct bytes *request, size_t id_at, uint32_t id)
{
    char *digit = request->at + id_at + REQUEST_ID_DIGITS;

    ASSERT(id >= REQUEST_FIRST_ID);
    for (int i = 0; i < REQUEST_ID_DIGITS; i++) {
        *--digit = (char)('0' + id % 10);
        id /= 10;
    }
}

void
request_set_priority(struct bytes *request, size_t urgency_at, enum priority priority)
{
    request->at[urgency_at] = (char)('0' + priority_urgencies[priority]);
}
