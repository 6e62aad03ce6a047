/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rules that say whether a message may be served at all: those of its envelope, and of the header fields
 * that since 2026-07-28 repeat parts of it (MCP-Protocol-Version, Mcp-Method, Mcp-Name). Whoever acts as a
 * server asks here: the demo server, bridging and merging for every message, path mode for what it sees
 * whole.
 *
 * Mcp-Param-* fields need a tool's schema: mcp/params.h. Repeated fields never come this far
 * (http_field.def).
 */
#ifndef MCP_HEADERS_H
#define MCP_HEADERS_H

#include "proto/jsonrpc.h"
#include "proto/mcp_names.h"

enum {
    MCP_ERROR_GENERIC = -32000,
    MCP_ERROR_RESOURCE = -32002, /* legacy revisions only */
    MCP_ERROR_HEADER = -32020,
    MCP_ERROR_VERSION = -32022,
    MCP_ERROR_INVALID_REQUEST = -32600,
    MCP_ERROR_METHOD = -32601,
    MCP_ERROR_PARAMS = -32602,
    MCP_ERROR_INTERNAL = -32603,
};

struct mcp_head {
    bool http;           /* the message came with header fields: the rules for them hold */
    struct text version; /* MCP-Protocol-Version, trimmed; this and the next two: at NULL when not sent */
    struct text method;  /* Mcp-Method */
    struct text name;    /* Mcp-Name, as sent */
    enum mcp_revision session; /* of the legacy session it belongs to; MCP_NO_REVISION: none */
};

struct mcp_verdict {
    bool fine;
    enum mcp_revision revision; /* whose rules hold for the message, and for the error that refuses it */
    uint16_t status;            /* HTTP, of the refusal */
    int code;                   /* JSON-RPC */
    char text[192];             /* one line, UTF-8; not JSON: quote it */
    char data[160];             /* raw JSON of error.data; "": none */
};

/* Whether the message that jsonrpc_scan() read (its outcome and envelope) may be served, in the order of the
 * reference server: JSON and envelope, revision, what contradicts, required members of _meta, supported
 * revisions, required header fields. `in_batch`: the message is an element of a batch, and head->version has
 * been judged with the batch. Methods are not looked at (mcp_method_is_removed()). */
bool mcp_check(const struct mcp_head *head, enum jsonrpc_fault fault, const struct jsonrpc_envelope *env,
               bool in_batch, struct mcp_verdict *ret);

/* GET and DELETE belong to sessions, which 2026-07-28 does not have: false: 405 with "Allow: POST". */
bool mcp_verb_allowed(bool is_post, enum mcp_revision header, bool has_session);

/* The message says of itself that it is of 2026-07-28 or later, whatever its header fields say. */
bool mcp_claims_modern(const struct jsonrpc_envelope *env);

/* A request or notification that older revisions have and this one does not: 404 and -32601 since 2026-07-28.
 */
bool mcp_method_is_removed(enum mcp_method method, enum mcp_revision revision);

/* The raw value in a request that Mcp-Name repeats; at NULL: its method has none, or it is missing. */
struct text mcp_name_of(const struct jsonrpc_envelope *env);

/* Writes the field lines ("Mcp-Method: tools/call\r\n"...) that a request of 2026-07-28 needs to out[size],
 * made from its body. Returns their length; -1: they do not fit, or a value is no string. */
int mcp_write_fields(const struct jsonrpc_envelope *env, char *out, uint32_t size);

#endif
