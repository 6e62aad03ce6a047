/* SPDX-License-Identifier: Apache-2.0 */
/* The JSON-RPC methods of MCP as an enum, from mcp_method.def: used by the parsers, by the gateway and as an
 * index of counters in the shared segment. */
#ifndef MCPGATE_MCP_METHOD_H
#define MCPGATE_MCP_METHOD_H

enum mcp_method {
    MCP_OTHER, /* any method that the table does not name */
#define MCP_METHOD(id, method, name_key, priority) MCP_##id,
#include <mcpgate/mcp_method.def>
#undef MCP_METHOD
    MCP_METHODS
};

#endif
