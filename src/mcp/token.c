/* SPDX-License-Identifier: Apache-2.0 */
#include "mcp/token.h"

#include "base/check.h"
#include "base/pack.h"

#include <openssl/sha.h>

#define LABEL TEXT("session")

uint32_t
mcp_token_seal(const struct mcp_token *t, struct seal_keys *keys, char *out, uint32_t size)
{
    uint8_t bytes[MCP_TOKEN_BYTES], *to = bytes;

    to = pack_bytes(to, t->id, sizeof t->id);
    to = pack_number(to, t->node, 4);
    to = pack_number(to, t->slot, 4);
    to = pack_number(to, t->epoch, 4);
    to = pack_bytes(to, t->principal, sizeof t->principal);
    to = pack_number(to, t->revision, 1);
    to = pack_number(to, t->client_capabilities, 4);
    to = pack_number(to, t->expires_s, 8);
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
    unpack_bytes(&at, t.id, sizeof t.id);
    t.node = (uint32_t)unpack_number(&at, 4);
    t.slot = (uint32_t)unpack_number(&at, 4);
    t.epoch = (uint32_t)unpack_number(&at, 4);
    unpack_bytes(&at, t.principal, sizeof t.principal);
    t.revision = (enum mcp_revision)unpack_number(&at, 1);
    t.client_capabilities = (uint32_t)unpack_number(&at, 4);
    t.expires_s = unpack_number(&at, 8);
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
