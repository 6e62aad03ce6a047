/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The session token: what the gateway sends as Mcp-Session-Id. A client keeps it as long as it lives, and it
 * can never be issued again, so it holds only what never changes; what does is in the session's record at its
 * home.
 */
#ifndef MCP_TOKEN_H
#define MCP_TOKEN_H

#include "mcp/seal.h"
#include "proto/mcp_names.h"

enum {
    MCP_TOKEN_ID_BYTES = 16,
    MCP_TOKEN_PRINCIPAL_BYTES = 16,
    MCP_TOKEN_BYTES = MCP_TOKEN_ID_BYTES + 3 * 4 + MCP_TOKEN_PRINCIPAL_BYTES + 1 + 4 + 8,
    MCP_TOKEN_SIZE = SEAL_TEXT_SIZE(MCP_TOKEN_BYTES), /* characters of a sealed token: visible ASCII */
};

/* Among client_capabilities: the session is that of an HTTP+SSE stream and ends with it. Its revision and
 * capabilities were not known yet when the token was made. */
#define MCP_TOKEN_OF_STREAM (1u << 31)

struct mcp_token {
    uint8_t id[MCP_TOKEN_ID_BYTES];               /* random; names the session's record */
    uint32_t node, slot, epoch;                   /* its home: where the record was made */
    uint8_t principal[MCP_TOKEN_PRINCIPAL_BYTES]; /* a hash of who opened it; zero: anonymous */
    enum mcp_revision revision;                   /* a legacy one: later ones have no sessions */
    uint32_t client_capabilities;                 /* MCP_CLIENT_ bits (mcp/client_caps.h) */
    uint64_t expires_s;                           /* seconds since 1970; from then on it is not valid */
};

/* Writes the sealed token to out[size], at least MCP_TOKEN_SIZE. Returns its length, or 0 as seal_write()
 * does. */
uint32_t mcp_token_seal(const struct mcp_token *token, struct seal_keys *keys, char *out, uint32_t size);

/* Opens one. False: it is none of ours, its key is gone, or it has expired; *ret is then untouched. */
bool mcp_token_open(struct text sealed, struct seal_keys *keys, uint64_t now_s, struct mcp_token *ret);

/* Who a token is for: a hash of the field value that says who asks (empty: nobody in particular, all zero).
 */
void mcp_token_principal(struct text credentials, uint8_t ret[MCP_TOKEN_PRINCIPAL_BYTES]);

#endif
