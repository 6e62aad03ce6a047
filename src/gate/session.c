/* SPDX-License-Identifier: Apache-2.0 */
#include "gate/session.h"

#include <sys/random.h>
#include <time.h>

bool
session_equal(const struct session_claim *a, const struct session_claim *b)
{
    return a->revision == b->revision && memcmp(a->id, b->id, sizeof a->id) == 0;
}

uint32_t
session_mint_field(struct worker *w, enum mcp_revision revision, uint32_t client_capabilities,
                   char out[SESSION_FIELD_MAX])
{
    static const char name[] = "Mcp-Session-Id: ";
    const struct handover *h = &w->child->h;
    uint32_t n = sizeof name - 1, len;
    struct mcp_token token = {.node = h->node,
                              .slot = h->slot,
                              .epoch = h->epoch,
                              .revision = revision,
                              .client_capabilities = client_capabilities,
                              .expires_s = (uint64_t)time(NULL) + SESSION_LIFE_S};

    if (getrandom(token.id, sizeof token.id, 0) != sizeof token.id)
        return 0;
    memcpy(out, name, n);
    len = mcp_token_seal(&token, &w->keys, out + n, MCP_TOKEN_SIZE);
    if (!len)
        return 0;
    memcpy(out + n + len, "\r\n", 2);
    return n + len + 2;
}

bool
session_read(struct worker *w, const struct http1_head *head, struct session_claim *ret)
{
    struct mcp_token token;

    *ret = (struct session_claim){.revision = MCP_NO_REVISION};
    if (!http1_find(head, HTTP_MCP_SESSION_ID))
        return true;
    if (!mcp_token_open(http1_value(head, HTTP_MCP_SESSION_ID), &w->keys, (uint64_t)time(NULL), &token))
        return false;
    memcpy(ret->id, token.id, sizeof ret->id);
    ret->node = token.node;
    ret->slot = token.slot;
    ret->epoch = token.epoch;
    ret->revision = token.revision;
    return true;
}

void
session_forget(struct worker *w, const struct session_claim *s)
{
    memcpy(w->tombstones[w->tombstone_count++ % TOMBSTONES_MAX], s->id, sizeof s->id);
}

bool
session_is_deleted(const struct worker *w, const struct session_claim *s)
{
    uint64_t n = w->tombstone_count < TOMBSTONES_MAX ? w->tombstone_count : TOMBSTONES_MAX;

    for (uint64_t i = 0; i < n; i++)
        if (memcmp(w->tombstones[i], s->id, sizeof s->id) == 0)
            return true;
    return false;
}
