/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sessions of the gateway's own making (the demo server's; merged and bridged ones will join). Mcp-Session-Id
 * can never be issued again, so the token holds only what never changes, sealed (mcp/seal.h): any worker
 * reads it, and it names the slot, its home, where the session's open streams lie.
 */
#ifndef GATE_SESSION_H
#define GATE_SESSION_H

#include "gate/worker.h"
#include "mcp/token.h"
#include "proto/mcp_names.h"

enum { SESSION_FIELD_MAX = MCP_TOKEN_SIZE + 20, SESSION_LIFE_S = 24 * 3600, TOMBSTONES_MAX = 4096 };

struct session {
    uint8_t id[MCP_TOKEN_ID_BYTES];
    uint32_t node, slot, epoch;
    enum mcp_revision revision; /* MCP_NO_REVISION: no session */
};

/* Writes "Mcp-Session-Id: TOKEN\r\n" for a new session whose home is this worker; returns its length. */
uint32_t session_mint_field(struct worker *w, enum mcp_revision revision, uint32_t client_capabilities,
                            char out[SESSION_FIELD_MAX]);

/* Reads the request's Mcp-Session-Id. No such field: *ret has MCP_NO_REVISION. False: it is none of ours, or
 * it has expired. */
bool session_read(struct worker *w, const struct http1_head *head, struct session *ret);

bool session_equal(const struct session *a, const struct session *b);

/* Deleted sessions are remembered by their home, the latest TOMBSTONES_MAX of them. */
void session_delete(struct worker *w, const struct session *s);
bool session_is_deleted(const struct worker *w, const struct session *s);

#endif
