/* SPDX-License-Identifier: Apache-2.0 */
#include "mcp/token.h"

#include "base/check.h"

#include <openssl/sha.h>

#define LABEL TEXT("session")

static uint8_t *
put(uint8_t *to, const void *bytes, size_t n)
{
    memcpy(to, bytes, n);
    return to + n;
}

static uint8_t *
put_number(uint8_t *to, uint64_t n, unsigned bytes)
{
    while (bytes--)
        *to++ = (uint8_t)(n >> 8 * bytes);
    return to;
}

static uint64_t
take_number(const uint8_t **at, unsigned bytes)
{
    uint64_t n = 0;

    while (bytes--)
        n = n << 8 | *(*at)++;
    return n;
}

static void
take(const uint8_t **at, void *to, size_t n)
{
    memcpy(to, *at, n);
    *at += n;
}

uint32_t
mcp_token_seal(const struct mcp_token *t, struct seal_keys *keys, char *out, uint32_t size)
{
    uint8_t bytes[MCP_TOKEN_BYTES], *to = bytes;

    to = put(to, t->id, sizeof t->id);
    to = put_number(to, t->node, 4);
    to = put_number(to, t->slot, 4);
    to = put_number(to, t->epoch, 4);
    to = put(to, t->principal, sizeof t->principal);
    to = put_number(to, t->revision, 1);
    to = put_number(to, t->client_capabilities, 4);
    to = put_number(to, t->expires_s, 8);
    ASSERT(to == bytes + sizeof bytes);
    return seal_write(keys, LABEL, bytes, sizeof bytes, out, size);
}

bool
mcp_token_open(struct text sealed, struct seal_keys *keys, uint64_t now_s, struct mcp_token *ret)
{
    uint8_t bytes[MCP_TOKEN_BYTES];
    const uint8_t *at = bytes;
    struct mcp_token t;

    if (sealed.len != MCP_TOKEN_SIZE || seal_open(keys, LABEL, sealed, bytes, sizeof bytes) != sizeof bytes)
        return false;
    take(&at, t.id, sizeof t.id);
    t.node = (uint32_t)take_number(&at, 4);
    t.slot = (uint32_t)take_number(&at, 4);
    t.epoch = (uint32_t)take_number(&at, 4);
    take(&at, t.principal, sizeof t.principal);
    t.revision = (enum mcp_revision)take_number(&at, 1);
    t.client_capabilities = (uint32_t)take_number(&at, 4);
    t.expires_s = take_number(&at, 8);
    /* A gateway of another version may know revisions that this one does not. */
    if (t.revision > MCP_LATEST_LEGACY || now_s >= t.expires_s)
        return false;
    *ret = t;
    return true;
}

void
mcp_token_principal(struct text credentials, uint8_t ret[MCP_TOKEN_PRINCIPAL_BYTES])
{
    uint8_t hash[SHA256_DIGEST_LENGTH];

    memset(ret, 0, MCP_TOKEN_PRINCIPAL_BYTES);
    if (!credentials.len)
        return;
    SHA256((const uint8_t *)credentials.at, credentials.len, hash);
    memcpy(ret, hash, MCP_TOKEN_PRINCIPAL_BYTES);
}
