/* SPDX-License-Identifier: Apache-2.0 */
/* MCP's names on the wire: methods, revisions, and the value form of the Mcp-Name and Mcp-Param-* fields. */
#ifndef PROTO_MCP_NAMES_H
#define PROTO_MCP_NAMES_H

#include "base/text.h"

#include <mcpgate/mcp_method.h>

/* The revisions of the protocol, oldest first, so that they compare. Those before MCP_2026_07_28 are
 * "legacy": they begin with initialize; from it on each request says its version in _meta. */
enum mcp_revision {
    MCP_2024_11_05,
    MCP_2025_03_26,
    MCP_2025_06_18,
    MCP_2025_11_25,
    MCP_2026_07_28,
    MCP_REVISIONS,
    MCP_NO_REVISION = MCP_REVISIONS, /* not known or not supported */
    MCP_LATEST_LEGACY = MCP_2025_11_25,
};

enum mcp_method mcp_method_of(struct text name);     /* MCP_OTHER when unknown */
struct text mcp_method_name(enum mcp_method method); /* "other" for MCP_OTHER */
struct text
mcp_method_name_key(enum mcp_method method); /* the member of params that Mcp-Name mirrors; may be empty */
enum mcp_revision mcp_revision_of(struct text name);       /* MCP_NO_REVISION when unknown */
struct text mcp_revision_name(enum mcp_revision revision); /* "2025-11-25"; not for MCP_NO_REVISION */

static inline bool
mcp_revision_is_modern(enum mcp_revision revision)
{
    return revision >= MCP_2026_07_28 && revision < MCP_REVISIONS;
}

/* Decodes the value of Mcp-Name or Mcp-Param-* (2026-07-28): plain text of 0x20..0x7e and tabs, or base64 of
 * UTF-8 in
 * "=?base64?" and "?=". Surrounding white space must be gone already. Returns the number of bytes written to
 * out[size], or -1 when the value has other bytes, bad base64, or does not fit. */
int mcp_header_decode(struct text value, char *out, uint32_t size);

/* The reverse: plain where that is allowed. Returns the number of characters written to out[size], or -1 when
 * they do not fit. */
int mcp_header_encode(struct text utf8, char *out, uint32_t size);

#endif
