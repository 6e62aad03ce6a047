/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which plan serves a request: the Origin is checked before anything else, then the path decides.
 *
 *      /mcp, /mcp/NAME             an MCP upstream in path mode, or the merged server
 *      /sse, /sse/NAME, /messages  the same for clients of 2024-11-05 (bridging_sse.c)
 *      /ws, /ws/NAME               the same over WebSocket (bridging_ws.c)
 *      /PREFIX...                  a plain route, the longest one that matches whole segments
 */
#include "gate/admin.h"
#include "gate/bridging.h"
#include "gate/demo.h"
#include "gate/home.h"
#include "gate/local.h"
#include "gate/origin.h"
#include "gate/splice.h"
#include "mcp/headers.h"

#include <stdio.h>

/* --- CORS --- */

/* Fields that a browser's script may send (RFC 9110 names ignore case). */
static bool
cors_field_allowed(struct text name)
{
    static const char *const names[] = {"mcp-protocol-version", "last-event-id", "authorization",
                                        "content-type", "priority"};

    if (name.len > 4 && strncasecmp(name.at, "mcp-", 4) == 0)
        return http_token(name);
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
        if (text_eq_nocase(name, text_of(names[i])))
            return true;
    return false;
}

static void
answer_preflight(struct exchange *ex, const struct http1_head *head)
{
    struct text wanted = http1_value(head, HTTP_ACCESS_CONTROL_REQUEST_HEADERS), name;
    char extra[1024];
    size_t n = (size_t)snprintf(extra, sizeof extra,
                                "Allow: GET, POST, DELETE, OPTIONS\r\n"
                                "Access-Control-Allow-Methods: GET, POST, DELETE, OPTIONS\r\n"
                                "Access-Control-Max-Age: 600\r\n");
    const char *separator = "Access-Control-Allow-Headers: ";
    bool any = false;

    while (wanted.len && text_next_element(&wanted, &name)) {
        if (!cors_field_allowed(name) || n + name.len + 40 > sizeof extra)
            continue;
        n += (size_t)snprintf(extra + n, sizeof extra - n, "%s%.*s", separator, (int)name.len, name.at);
        separator = ", ";
        any = true;
    }
    if (any)
        n += (size_t)snprintf(extra + n, sizeof extra - n, "\r\n");
    local_reply(ex, 204, (struct text){0}, (struct text){extra, (uint32_t)n}, "", 0, CLOSE_DONE);
}

/* --- paths --- */

static struct text
without_query(struct text path)
{
    const char *query = memchr(path.at, '?', path.len);

    return query ? (struct text){path.at, (uint32_t)(query - path.at)} : path;
}

/* "/a/../b" and its spellings would leave the prefix that was checked. */
static bool
has_dot_segment(struct text path)
{
    uint32_t i = 0;

    while (i < path.len) {
        unsigned dots = 0;
        bool other = false;

        for (i++; i < path.len && path.at[i] != '/' && path.at[i] != '\\'; i++) {
            if (path.at[i] == '.')
                dots++;
            else if (path.len - i >= 3 && strncasecmp(path.at + i, "%2e", 3) == 0)
                dots++, i += 2;
            else
                other = true;
        }
        if (!other && (dots == 1 || dots == 2))
            return true;
    }
    return false;
}

static struct upstream *
find_route(struct worker *w, struct text path)
{
    struct upstream *best = NULL;

    for (unsigned i = 0; i < w->upstreams.count; i++) {
        struct upstream *up = &w->upstreams.items[i];
        uint32_t n = up->name.len;

        if (!up->cfg->is_route || !text_starts(path, up->name))
            continue;
        if (n > 1 && path.len > n && path.at[n] != '/')
            continue;
        if (!best || n > best->name.len)
            best = up;
    }
    return best;
}

/* "/mcp", or something below it. */
static bool
is_below(struct text path, struct text front)
{
    return text_starts(path, front) && (path.len == front.len || path.at[front.len] == '/');
}

/* The upstream that /mcp or /mcp/NAME names, or those of another front; `front` is its length. */
static struct upstream *
find_mcp(struct worker *w, struct text path, uint32_t front)
{
    struct upstream *only = NULL;
    unsigned count = 0;
    struct text name;

    name = path.len > front + 1 ? (struct text){path.at + front + 1, path.len - front - 1} : (struct text){0};
    for (unsigned i = 0; i < w->upstreams.count; i++) {
        struct upstream *up = &w->upstreams.items[i];

        if (up->cfg->is_route)
            continue;
        if (name.len && text_eq(name, up->name))
            return up;
        only = up;
        count++;
    }
    return !name.len && count == 1 ? only : NULL;
}

/* Method and revision of 2026-07-28 stand in the fields; before it only the revision does. */
static void
read_mcp_fields(struct exchange *ex, const struct http1_head *head)
{
    struct text version = http1_value(head, HTTP_MCP_PROTOCOL_VERSION),
                method = http1_value(head, HTTP_MCP_METHOD);

    ex->is_mcp = true;
    ex->accepts_sse = http1_accepts(head, TEXT("text/event-stream")) == ACCEPT_NAMED;
    ex->origin = exchange_keep(ex, http1_value(head, HTTP_ORIGIN));
    if (version.len)
        ex->revision = (uint8_t)mcp_revision_of(version);
    if (method.len)
        ex->mcp = (uint8_t)mcp_method_of(method);
}

static bool
is_merged(const struct worker *w, struct text path)
{
    return w->merging &&
           (path.len <= 4 || (path.len == 5 && path.at[4] == '/')); /* "/mcp" or "/mcp/", "/sse", "/ws/" */
}

static void
route_mcp(struct exchange *ex, const struct http1_head *head, struct upstream *up, struct text path)
{
    const struct config *c = ex->worker->config;
    bool merged = is_merged(ex->worker, path);

    read_mcp_fields(ex, head);
    if (head->method == METHOD_OPTIONS) {
        answer_preflight(ex, head);
    } else if (!up && !merged) {
        local_error(ex, CLOSE_NOT_FOUND, (struct text){0});
    } else if (head->method != METHOD_POST && head->method != METHOD_GET && head->method != METHOD_DELETE) {
        local_error(ex, CLOSE_METHOD, TEXT("Allow: GET, POST, DELETE, OPTIONS\r\n"));
    } else if (!mcp_verb_allowed(head->method == METHOD_POST, (enum mcp_revision)ex->revision,
                                 http1_find(head, HTTP_MCP_SESSION_ID) != NULL)) {
        local_error(ex, CLOSE_METHOD, TEXT("Allow: POST\r\n"));
    } else if (c->max_body && head->framing == FRAMING_LENGTH && head->length > c->max_body) {
        local_error(ex, CLOSE_BODY_TOO_LARGE, (struct text){0});
    } else if (merged) {
        bridging_start(ex, head);
    } else if (up->cfg->is_demo) {
        ex->upstream = up;
        demo_start(ex, head);
    } else {
        ex->upstream = up;
        if (bridging_wanted(ex, head, up))
            bridging_start(ex, head);
        else
            splice_start(ex, head);
    }
}

/* What a client's connection stands for: the stream of HTTP+SSE of 2024-11-05, or a WebSocket. */
static void
route_stream(struct exchange *ex, const struct http1_head *head, struct text path)
{
    struct worker *w = ex->worker;
    bool is_ws = is_below(path, TEXT("/ws"));
    struct upstream *up = find_mcp(w, path, is_ws ? 3 : 4);

    read_mcp_fields(ex, head);
    ex->revision = MCP_NO_REVISION; /* initialize says it */
    if (head->method == METHOD_OPTIONS) {
        answer_preflight(ex, head);
    } else if (!is_merged(w, path) && !up) {
        local_error(ex, CLOSE_NOT_FOUND, (struct text){0});
    } else if (head->method != METHOD_GET) { /* of POST: a client that tries newer transports first goes on */
        local_error(ex, CLOSE_METHOD, TEXT("Allow: GET, OPTIONS\r\n"));
    } else {
        ex->upstream = is_merged(w, path) ? NULL : up;
        if (is_ws)
            bridging_open_ws(ex, head);
        else if (ex->upstream && up->cfg->is_demo)
            demo_open_sse(ex, head);
        else
            bridging_open_sse(ex, head);
    }
}

/* ...?sessionId=VALUE&...; at NULL: there is none. */
static struct text
session_in_query(struct text target)
{
    static const struct text key = TEXT("sessionId=");
    const char *at = memchr(target.at, '?', target.len), *end = target.at + target.len;

    while (at && ++at < end) {
        const char *next = memchr(at, '&', (size_t)(end - at));
        struct text pair = {at, (uint32_t)((next ? next : end) - at)};

        if (text_starts(pair, key))
            return (struct text){pair.at + key.len, pair.len - key.len};
        at = next;
    }
    return (struct text){0};
}

static void
take_posted(struct exchange *ex, const struct http1_head *head)
{
    struct session *s;

    if (!session_at_stream(ex, head, session_in_query(head->target), &s))
        return;
    ex->upstream = s->stream->upstream;
    if (ex->upstream && ex->upstream->cfg->is_demo)
        demo_take_posted(ex, head, s);
    else
        bridging_take_posted(ex, head, s);
}

/* The same: what is posted to the endpoint of a stream. */
static void
route_messages(struct exchange *ex, const struct http1_head *head)
{
    const struct config *c = ex->worker->config;

    read_mcp_fields(ex, head);
    ex->revision = MCP_NO_REVISION;
    if (head->method == METHOD_OPTIONS)
        answer_preflight(ex, head);
    else if (head->method != METHOD_POST)
        local_error(ex, CLOSE_METHOD, TEXT("Allow: POST, OPTIONS\r\n"));
    else if (c->max_body && head->framing == FRAMING_LENGTH && head->length > c->max_body)
        local_error(ex, CLOSE_BODY_TOO_LARGE, (struct text){0});
    else
        take_posted(ex, head);
}

enum front { FRONT_NONE, FRONT_MCP, FRONT_STREAM, FRONT_MESSAGES };

static bool
has_mcp(const struct worker *w)
{
    for (unsigned i = 0; i < w->upstreams.count; i++)
        if (!w->upstreams.items[i].cfg->is_route)
            return true;
    return false;
}

/* A plain route for just these paths is older than the fronts of HTTP+SSE, and meant. */
static enum front
front_of(struct worker *w, struct text path)
{
    enum front front = is_below(path, TEXT("/mcp"))       ? FRONT_MCP
                       : is_below(path, TEXT("/sse"))     ? FRONT_STREAM
                       : is_below(path, TEXT("/ws"))      ? FRONT_STREAM
                       : text_eq(path, TEXT("/messages")) ? FRONT_MESSAGES
                                                          : FRONT_NONE;
    struct upstream *route;

    if (front == FRONT_NONE || front == FRONT_MCP)
        return front;
    route = find_route(w, path);
    return !has_mcp(w) || (route && route->name.len > 1) ? FRONT_NONE : front;
}

void
route_request(struct exchange *ex, const struct http1_head *head)
{
    struct worker *w = ex->worker;
    struct text path = without_query(head->path);
    enum front front = front_of(w, path);
    struct upstream *up;

    ex->plan = &local_plan;
    if (!origin_allowed(client_of(ex->client), head)) {
        ex->is_mcp = front != FRONT_NONE;
        local_error(ex, CLOSE_ORIGIN, (struct text){0});
        return;
    }
    if (w->draining)
        ex->client->keep_alive = false;
    if (client_of(ex->client)->via == VIA_ADMIN) {
        admin_request(ex, head, path);
        return;
    }
    if (client_of(ex->client)->via == VIA_HOME && !home_open_request(ex, head)) {
        local_error(ex, CLOSE_PROXY_PROTOCOL, (struct text){0});
        return;
    }
    switch (front) {
    case FRONT_MCP:
        route_mcp(ex, head, find_mcp(w, path, 4), path);
        return;
    case FRONT_STREAM:
        route_stream(ex, head, path);
        return;
    case FRONT_MESSAGES:
        route_messages(ex, head);
        return;
    default:
        break;
    }
    up = find_route(w, path);
    if (!up) {
        local_error(ex, CLOSE_NOT_FOUND, (struct text){0});
    } else if (has_dot_segment(path)) {
        local_error(ex, CLOSE_BAD_REQUEST, (struct text){0});
    } else if (up->cfg->is_ws &&
               (!head->upgrade || !http_list_has(http1_value(head, HTTP_UPGRADE), TEXT("websocket")))) {
        local_error(ex, CLOSE_UPGRADE_REQUIRED, TEXT("Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"));
    } else {
        ex->upstream = up;
        exchange_prioritize(ex, NULL);
        splice_start(ex, head);
    }
}
