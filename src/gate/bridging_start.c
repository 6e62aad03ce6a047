/* SPDX-License-Identifier: Apache-2.0 */
/* The head of a request: whether it goes by the bridge plan, and how it begins. */
#include "gate/bridged.h"
#include "gate/heads.h"
#include "gate/local.h"
#include "mcp/token.h"

#include <time.h>

enum { INITIALIZE_BYTES = 16 << 10 };

static bool
names_our_session(const struct worker *w, const struct http1_head *head)
{
    struct mcp_token token;

    return mcp_token_open(http1_value(head, HTTP_MCP_SESSION_ID), (struct seal_keys *)&w->keys,
                          (uint64_t)time(NULL), &token);
}

/* A client that has agreed on a revision says which, but for those of 2025-03-26. */
static bool
may_be_initialize(const struct http1_head *head)
{
    return head->framing == FRAMING_LENGTH && head->length <= INITIALIZE_BYTES &&
           http1_content_is(head, TEXT("application/json")) && !http1_find(head, HTTP_MCP_PROTOCOL_VERSION);
}

bool
bridging_wanted(struct exchange *ex, const struct http1_head *head, struct upstream *up)
{
    const struct worker *w = ex->worker;
    enum mcp_revision revision = (enum mcp_revision)ex->revision;
    enum bridge_era era = (enum bridge_era)up->era.era;

    if (!upstream_takes_posts(up) || tool_filter_is_set(up))
        return true;
    if (!w->config->era_ttl)
        return false;
    if (mcp_revision_is_modern(revision))
        return head->method == METHOD_POST && (!up->era.until_ms || era == BRIDGE_ERA_LEGACY);
    if (http1_find(head, HTTP_MCP_SESSION_ID))
        return names_our_session(w, head);
    return head->method == METHOD_POST &&
           (!up->era.until_ms || (era == BRIDGE_ERA_MODERN && !up->era.speaks_both) ||
            (era != BRIDGE_ERA_UNKNOWN && !era_speaks_all(up) && may_be_initialize(head)));
}

/* The bytes of the head, for bridged_splice(). */
static bool
keep_head(struct bridged *b, const struct http1_head *head)
{
    const char *begin = head->method_text.at, *end = head->target.at;

    if (b->session || b->is_merged || b->ex->upstream->stdio)
        return true;
    if (head->count)
        end = head->headers[head->count - 1].value;
    while (memcmp(end, "\r\n\r\n", 4) != 0) /* it was found before, and only once */
        end++;
    return held_append(b->worker, &b->head, begin, (uint32_t)(end + 4 - begin));
}

static struct bridged *
bridged_get(struct worker *w, bool has_body)
{
    struct bridged *b = pool_get(&w->bridged_pool);

    b->worker = w;
    b->env = has_body ? pool_get(&w->envelope_pool) : &w->bridge_room->nothing;
    return b;
}

void
bridged_put(struct bridged *b)
{
    struct worker *w = b->worker;

    if (b->env != &w->bridge_room->nothing)
        pool_put(&w->envelope_pool, b->env);
    pool_put(&w->bridged_pool, b);
}

struct bridged *
bridged_begin(struct exchange *ex, const struct http1_head *head, struct session *session)
{
    struct worker *w = ex->worker;
    struct bridged *b = bridged_get(w, ex->method == METHOD_POST);

    b->ex = ex;
    b->session = session;
    b->is_merged = !ex->upstream;
    ex->plan = &bridged_plan;
    ex->state = b;
    ex->by_legs = true;
    session_principal(w, head, b->principal);
    if (heads_keep(ex, head, &b->fields, &b->plain_fields, &b->credentials) && keep_head(b, head))
        return b;
    exchange_fail(ex, CLOSE_NO_MEMORY);
    return NULL;
}

struct bridged *
bridged_part(struct bridged *whole, struct text message)
{
    struct worker *w = whole->worker;
    struct bridged *b = bridged_get(w, true);
    struct text fields = held_text(&whole->fields);

    b->session = whole->session;
    b->plain_fields = whole->plain_fields;
    b->credentials = whole->credentials;
    b->is_merged = whole->is_merged;
    memcpy(b->principal, whole->principal, sizeof b->principal);
    if (!held_append(w, &b->body, message.at, message.len) ||
        (fields.len && !held_append(w, &b->fields, fields.at, fields.len))) {
        held_free(w, &b->body);
        bridged_put(b);
        return NULL;
    }
    if (b->credentials.len)
        b->credentials.at = b->fields.at + (whole->credentials.at - fields.at);
    if (b->session)
        session_hold(b->session);
    b->ex = exchange_new_part(w, whole->ex->upstream);
    b->ex->plan = &bridged_plan;
    b->ex->state = b;
    b->ex->by_legs = true;
    exchange_watch_limits(b->ex);
    return b;
}

/* The head of a POST. False: it is refused. */
static bool
await_body(struct exchange *ex, const struct http1_head *head)
{
    struct bridged *b = ex->state;

    if (!http1_content_is(head, TEXT("application/json"))) {
        local_error(ex, CLOSE_MEDIA_TYPE, (struct text){0});
        return false;
    }
    if (head->framing == FRAMING_NONE) {
        bridged_error(b, -32700, 400, "the request has no body");
        return false;
    }
    if (head->expect_continue)
        h1_send_continue(ex->client);
    ex->expects_100 = false;
    exchange_watch_limits(ex);
    return true;
}

void
bridging_start(struct exchange *ex, const struct http1_head *head)
{
    struct session *s = NULL;

    if (!mcp_revision_is_modern((enum mcp_revision)ex->revision) && !session_at_home(ex, head, &s))
        return;
    if (!bridged_begin(ex, head, s))
        return;
    if (ex->method != METHOD_POST && !s) {
        if (mcp_revision_is_modern((enum mcp_revision)ex->revision))
            local_error(ex, CLOSE_METHOD, TEXT("Allow: POST\r\n"));
        else
            local_error(ex, CLOSE_SESSION_MISSING, (struct text){0});
        return;
    }
    if (ex->method == METHOD_POST)
        await_body(ex, head);
    else
        exchange_watch_limits(ex);
}

void
bridging_take_posted(struct exchange *ex, const struct http1_head *head, struct session *session)
{
    struct bridged *b = bridged_begin(ex, head, session);

    if (!b)
        return;
    b->is_posted = true;
    await_body(ex, head);
}
