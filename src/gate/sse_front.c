/* SPDX-License-Identifier: Apache-2.0 */
#include "gate/sse_front.h"

#include "gate/events.h"
#include "gate/heads.h"
#include "gate/local.h"

enum { CALLS_MAX = 256 /* open in one session */ };

#define ENDPOINT "/messages?sessionId="

/* EventSource waits for 3 s, if nobody says otherwise. */
BUF_STATIC_TEXT(retry_text, "retry: 1000\n");

struct session *
sse_front_begin(struct exchange *ex, const struct http1_head *head, enum close_reason *ret_reason)
{
    uint8_t principal[MCP_TOKEN_PRINCIPAL_BYTES];
    struct mcp_token before = {.revision = MCP_2024_11_05};
    struct text last = http1_value(head, HTTP_LAST_EVENT_ID);
    bool is_back = last.len && session_was_of_stream(ex->worker, head, last, &before);
    struct session *s;

    session_principal(ex->worker, head, principal);
    s = session_create(ex->worker, before.revision, before.client_capabilities | MCP_TOKEN_OF_STREAM,
                       principal, ret_reason);
    if (!s)
        return NULL;
    s->is_greeted = is_back;
    s->token.client_capabilities &= ~MCP_TOKEN_OF_STREAM;
    return s;
}

bool
sse_front_open(struct exchange *ex, struct session *s)
{
    char endpoint[sizeof ENDPOINT + MCP_TOKEN_SIZE] = ENDPOINT;
    uint32_t n = sizeof ENDPOINT - 1, token = session_stream_token(s, endpoint + n, MCP_TOKEN_SIZE);

    if (!token || !events_open(ex, (struct text){0})) {
        exchange_fail(ex, token ? CLOSE_NO_MEMORY : CLOSE_INTERNAL);
        return false;
    }
    h1_send_piece(ex->client, span_all(&retry_text));
    if (s->is_greeted)
        events_give_id(ex, (struct text){endpoint + n, token});
    events_send_named(ex, TEXT("endpoint"), (struct text){endpoint, n + token});
    return true;
}

static unsigned
open_calls(const struct session *s)
{
    unsigned n = 0;

    list_for_each(node, &s->calls)
        n++;
    return n;
}

/* Who does not read what was said is not asked for more: replies are never dropped, so their number is
 * bounded here. */
static bool
is_busy(const struct session *s)
{
    return link_congested(&s->stream->client->link) || open_calls(s) >= CALLS_MAX;
}

static bool
turn_away(struct exchange *ex, enum close_reason reason)
{
    local_error(ex, reason, (struct text){0});
    return false;
}

bool
sse_front_takes(struct exchange *ex, struct session *s, bool is_request)
{
    if (!s->stream || !s->stream->client)
        return turn_away(ex, CLOSE_SESSION_UNKNOWN);
    if (is_request && is_busy(s))
        return turn_away(ex, CLOSE_SESSION_BUSY);
    return true;
}

bool
sse_front_accept(struct exchange *ex, struct session *s, bool is_request)
{
    static const struct text accepted = TEXT("Accepted");
    struct worker *w = ex->worker;
    struct h1 *client = ex->client;
    enum http1_framing framing;
    struct span head;

    if (!sse_front_takes(ex, s, is_request))
        return false;
    head = heads_local(ex, 202, TEXT("text/plain; charset=utf-8"), accepted.len, (struct text){0}, &framing);
    if (!head.buf)
        return turn_away(ex, CLOSE_NO_MEMORY);
    ex->status = 202;
    ex->first_ns = ring_now(w->ring);
    ex->reply_begun = true;
    stats_add(w->stats, STAT_local_replies, 1);
    h1_send_head(client, head, framing, accepted.len, METHOD_GET);
    span_unref(head);
    if (!local_send_copy(client, &w->slab, accepted.at, accepted.len)) {
        h1_abort(client, CLOSE_NO_MEMORY);
        exchange_finish(ex, CLOSE_NO_MEMORY);
        return false;
    }
    h1_send_end(client, NULL);
    client->user = NULL; /* the next message may come on it */
    ex->client = NULL;
    return true;
}

void
sse_front_give_id(struct session *s)
{
    char id[MCP_TOKEN_SIZE];
    uint32_t n = session_stream_token(s, id, sizeof id);

    if (n)
        events_give_id(s->stream, (struct text){id, n});
}
