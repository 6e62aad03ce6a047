/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which plan serves a request: the Origin is checked before anything else, then the path decides.
 *
 *      /mcp, /mcp/NAME   an MCP upstream in path mode
 *      /PREFIX...        a plain route, the longest one that matches whole segments
 */
#include "gate/admin.h"
#include "gate/bridging.h"
#include "gate/demo.h"
#include "gate/home.h"
#include "gate/local.h"
#include "gate/splice.h"
#include "mcp/headers.h"

#include <stdio.h>

/* --- Origin and CORS --- */

static bool
origin_is_host(struct text origin, struct text host)
{
    struct text schemes[] = {TEXT("http://"), TEXT("https://")};

    for (unsigned i = 0; i < 2; i++)
        if (text_starts(origin, schemes[i]) &&
            text_eq_nocase((struct text){origin.at + schemes[i].len, origin.len - schemes[i].len}, host))
            return true;
    return false;
}

static bool
origin_allowed(const struct worker *w, const struct http1_head *head)
{
    const struct config *c = w->config;
    const struct cfg_text *list = cfg_items(c, c->allow_origin);
    struct text origin = http1_value(head, HTTP_ORIGIN);

    if (!http1_find(head, HTTP_ORIGIN) || origin_is_host(origin, http1_value(head, HTTP_HOST)) ||
        (w->admin_origin.len && text_eq_nocase(origin, w->admin_origin)))
        return true;
    for (uint32_t i = 0; i < c->allow_origin.count; i++) {
        struct text allowed = cfg_text(c, list[i]);

        if (text_eq(allowed, TEXT("*")) || text_eq_nocase(allowed, origin))
            return true;
    }
    return false;
}

/* Fields that a browser's script may send (RFC 9110 names ignore case). */
static bool
cors_field_allowed(struct text name)
{
    static const char *const names[] = {"mcp-protocol-version", "last-event-id", "authorization",
                                        "content-type"};

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

/* The upstream that /mcp or /mcp/NAME names; *ret_is_mcp tells whether the path is an MCP one at all. */
static struct upstream *
find_mcp(struct worker *w, struct text path, bool *ret_is_mcp)
{
    struct upstream *only = NULL;
    unsigned count = 0;
    struct text name;

    *ret_is_mcp = false;
    if (!text_starts(path, TEXT("/mcp")) || (path.len > 4 && path.at[4] != '/'))
        return NULL;
    *ret_is_mcp = true;
    name = path.len > 5 ? (struct text){path.at + 5, path.len - 5} : (struct text){0};
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

static void
route_mcp(struct exchange *ex, const struct http1_head *head, struct upstream *up, struct text path)
{
    const struct config *c = ex->worker->config;
    bool is_merged = ex->worker->merging && path.len <= 5; /* "/mcp" or "/mcp/" */

    read_mcp_fields(ex, head);
    if (head->method == METHOD_OPTIONS) {
        answer_preflight(ex, head);
    } else if (!up && !is_merged) {
        local_error(ex, CLOSE_NOT_FOUND, (struct text){0});
    } else if (head->method != METHOD_POST && head->method != METHOD_GET && head->method != METHOD_DELETE) {
        local_error(ex, CLOSE_METHOD, TEXT("Allow: GET, POST, DELETE, OPTIONS\r\n"));
    } else if (!mcp_verb_allowed(head->method == METHOD_POST, (enum mcp_revision)ex->revision,
                                 http1_find(head, HTTP_MCP_SESSION_ID) != NULL)) {
        local_error(ex, CLOSE_METHOD, TEXT("Allow: POST\r\n"));
    } else if (c->max_body && head->framing == FRAMING_LENGTH && head->length > c->max_body) {
        local_error(ex, CLOSE_BODY_TOO_LARGE, (struct text){0});
    } else if (is_merged) {
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

void
route_request(struct exchange *ex, const struct http1_head *head)
{
    struct worker *w = ex->worker;
    struct text path = without_query(head->path);
    struct upstream *up;
    bool is_mcp;

    ex->plan = &local_plan;
    if (!origin_allowed(w, head)) {
        find_mcp(w, path, &is_mcp);
        ex->is_mcp = is_mcp;
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
    up = find_mcp(w, path, &is_mcp);
    if (is_mcp) {
        route_mcp(ex, head, up, path);
        return;
    }
    up = find_route(w, path);
    if (!up) {
        local_error(ex, CLOSE_NOT_FOUND, (struct text){0});
    } else if (has_dot_segment(path)) {
        local_error(ex, CLOSE_BAD_REQUEST, (struct text){0});
    } else {
        ex->upstream = up;
        splice_start(ex, head);
    }
}
