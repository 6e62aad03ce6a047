/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mcp-Param-* (2026-07-28): arguments of a tool that its inputSchema wants repeated in header fields.
 *
 *      "properties": {"region": {"type": "string", "x-mcp-header": "Region"}}     in the schema
 *      Mcp-Param-Region: eu-west-1                                                in the request
 *
 * An annotation is valid when it is an RFC 9110 token, unique in the schema whatever its case, on a string,
 * an integer or a boolean, and reached through "properties" only. A tool with an invalid one is not offered
 * by an HTTP client. References are never followed, and the work is bounded.
 */
#ifndef MCP_PARAMS_H
#define MCP_PARAMS_H

#include "base/text.h"

enum {
    MCP_PARAMS_MAX = 32,        /* annotations of one tool; more are invalid */
    MCP_PARAM_DEPTH_MAX = 6,    /* of nested properties */
    MCP_SCHEMA_NODES_MAX = 4096 /* members of a schema that are looked at; more are invalid */
};

struct mcp_param {
    struct text header;                    /* the name behind "Mcp-Param-"; in the schema's text */
    struct text path[MCP_PARAM_DEPTH_MAX]; /* raw keys from the arguments down */
    uint8_t depth;
    bool is_integer, is_boolean; /* neither: a string */
};

/* Finds the annotations of an inputSchema that passed the strict scan. Returns their number, or -1 and why in
 * one line (static) when one of them is invalid. */
int mcp_params_of(struct text schema, struct mcp_param out[MCP_PARAMS_MAX], const char **ret_why);

/* The argument that the field repeats; at NULL: absent or null, so that no field is sent. */
struct text mcp_param_argument(const struct mcp_param *param, struct text arguments);

/* Writes the field lines for these arguments to out[size]; returns their length, or -1: they do not fit. An
 * argument of the wrong type has no field: the server will refuse it for itself. */
int mcp_params_write(const struct mcp_param *params, unsigned count, struct text arguments, char *out,
                     uint32_t size);

/* Whether the request's field (at NULL: not sent) says what the argument says: integers as numbers, all else
 * to the byte. A field without an argument is ignored. */
bool mcp_param_matches(const struct mcp_param *param, struct text arguments, struct text field);

#endif
