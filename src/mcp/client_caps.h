/* SPDX-License-Identifier: Apache-2.0 */
/* What a client says it can do, as bits: they travel in the session token and decide what may be asked of it.
 */
#ifndef MCP_CLIENT_CAPS_H
#define MCP_CLIENT_CAPS_H

#include "base/text.h"

enum {
    MCP_CLIENT_ROOTS = 1 << 0,
    MCP_CLIENT_ROOTS_CHANGED = 1 << 1, /* roots.listChanged */
    MCP_CLIENT_SAMPLING = 1 << 2,
    MCP_CLIENT_SAMPLING_TOOLS = 1 << 3,
    MCP_CLIENT_SAMPLING_CONTEXT = 1 << 4,
    MCP_CLIENT_ELICIT_FORM = 1 << 5, /* also what "elicitation": {} means */
    MCP_CLIENT_ELICIT_URL = 1 << 6,
};

/* The bits of a ClientCapabilities object (raw JSON); 0 for anything else. */
uint32_t mcp_client_caps(struct text capabilities);

#endif
