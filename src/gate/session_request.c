/* SPDX-License-Identifier: Apache-2.0 */
/* From a request to its session: the token, whose it is, and where it is served. */
#include "gate/exchange.h"
#include "gate/home.h"
#include "gate/local.h"
#include "gate/session_impl.h"

#include <time.h>

uint32_t
session_place(const struct sessions *all, const struct mcp_token *token)
{
    uint32_t places = session_table_places(all->table), n;

    if (token->node == session_table_node(all->table) && token->slot < places)
        return token->slot;
    memcpy(&n, token->id, sizeof n);
    return n % places;
}

/* The memo of a sealed token's place. */
static struct session_memo *
memo_of(struct sessions *all, struct text sealed)
{
    uint16_t *at;
    uint32_t hash;

    memcpy(&hash, sealed.at + sealed.len - 8, sizeof hash);
    at = &all->memo_at[hash * 0x9e3779b1u >> 22];
    if (!*at)
        *at = ++all->memos_used;
    return &all->memos[*at - 1];
}

_Static_assert(SESSION_MEMOS == 1 << (32 - 22), "the hash names one of them");

/* Opens a token, which costs a decryption only when it was not the last one at its place of the memos. Its
 * last characters are of the seal's tag, and as good as random. */
static bool
open_token(struct worker *w, struct text sealed, struct mcp_token *ret)
{
    uint64_t now_s = (uint64_t)time(NULL);
    struct session_memo *memo;

    if (sealed.len != MCP_TOKEN_SIZE)
        return false;
    memo = memo_of(w->sessions, sealed);
    if (memo->token.expires_s <= now_s || memcmp(memo->text, sealed.at, sealed.len) != 0) {
        if (!mcp_token_open(sealed, &w->keys, now_s, &memo->token)) /* leaves what is there */
            return false;
        memcpy(memo->text, sealed.at, sealed.len);
    }
    *ret = memo->token;
    return true;
}

void
session_principal(struct worker *w, const struct http1_head *head, uint8_t ret[MCP_TOKEN_PRINCIPAL_BYTES])
{
    memset(ret, 0, MCP_TOKEN_PRINCIPAL_BYTES);
    if (w->config->session_binding == BINDING_AUTHORIZATION)
        mcp_token_principal(http1_value(head, HTTP_AUTHORIZATION), ret);
}

/* With --session-binding, a stranger's token is as good as none. */
static bool
is_principals(struct worker *w, const struct http1_head *head, const struct mcp_token *token)
{
    uint8_t principal[MCP_TOKEN_PRINCIPAL_BYTES];

    if (w->config->session_binding == BINDING_NONE)
        return true;
    session_principal(w, head, principal);
    return memcmp(principal, token->principal, sizeof principal) == 0;
}

static enum close_reason
reason_of(enum session_found found)
{
    switch (found) {
    case SESSION_NO_ROOM:
        return CLOSE_SESSIONS_FULL;
    case SESSION_NO_MEMORY:
        return CLOSE_NO_MEMORY;
    case SESSION_ELSEWHERE:
        return CLOSE_HOME_GONE;
    default:
        return CLOSE_SESSION_UNKNOWN;
    }
}

bool
session_at_home(struct exchange *ex, const struct http1_head *head, struct session **ret)
{
    struct worker *w = ex->worker;
    struct client *client = client_of(ex->client);
    enum session_found found = SESSION_ELSEWHERE;
    struct mcp_token token;
    uint32_t home;

    *ret = NULL;
    if (!http1_find(head, HTTP_MCP_SESSION_ID))
        return true;
    if (!open_token(w, http1_value(head, HTTP_MCP_SESSION_ID), &token) || !is_principals(w, head, &token) ||
        token.client_capabilities & MCP_TOKEN_OF_STREAM) {
        local_error(ex, CLOSE_SESSION_UNKNOWN, (struct text){0});
        return false;
    }
    home = session_table_home(w->sessions->table, session_place(w->sessions, &token), token.id);
    /* What a sibling sent here is served here, if nobody else has taken the session in between: as it may be
     * in the moment in which a draining worker lets it go. */
    if (home == SESSION_NO_SLOT || home == w->child->h.slot || client->hops)
        found = session_enter(w, &token, ret);
    if (found == SESSION_HERE)
        return true;
    if (found == SESSION_ELSEWHERE) {
        home = session_table_home(w->sessions->table, session_place(w->sessions, &token), token.id);
        if (home != w->child->h.slot && home != SESSION_NO_SLOT && client->hops < HOME_HOPS_MAX) {
            home_forward(ex, head, home);
            return false;
        }
    }
    local_error(ex, reason_of(found), (struct text){0});
    return false;
}

bool
session_was_of_stream(struct worker *w, const struct http1_head *head, struct text sealed,
                      struct mcp_token *ret)
{
    return open_token(w, sealed, ret) && is_principals(w, head, ret) &&
           ret->client_capabilities & MCP_TOKEN_OF_STREAM;
}

bool
session_at_stream(struct exchange *ex, const struct http1_head *head, struct text sealed,
                  struct session **ret)
{
    struct worker *w = ex->worker;
    struct client *client = client_of(ex->client);
    struct mcp_token token;
    struct session *s;
    uint32_t home;

    *ret = NULL;
    if (!session_was_of_stream(w, head, sealed, &token)) {
        local_error(ex, CLOSE_SESSION_UNKNOWN, (struct text){0});
        return false;
    }
    s = session_find(w->sessions, token.id);
    if (s && s->stream && !s->over) {
        session_hold(s);
        *ret = s;
        return true;
    }
    home = session_table_home(w->sessions->table, session_place(w->sessions, &token), token.id);
    if (home != w->child->h.slot && home != SESSION_NO_SLOT && client->hops < HOME_HOPS_MAX)
        home_forward(ex, head, home);
    else
        local_error(ex, CLOSE_SESSION_UNKNOWN, (struct text){0});
    return false;
}
