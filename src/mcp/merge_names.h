/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many servers as one: whose a name or a URI is. Nothing is remembered; what a client sees says by itself
 * where it belongs, in every worker and after every restart.
 *
 *      tools, prompts   read            <->   fs__read
 *      resources        file:///a       <->   file:///a#mcpgate=fs
 *                       ui://x#frag     <->   ui://x#frag&mcpgate=fs
 *      templates        db:///{table}   <->   db:///{table}#mcpgate=fs
 *
 * The name in front is the upstream's in the configuration, which makes sure that no NAME__ begins another
 * upstream's NAME__ (merge_names_clash()); so a name splits in one way only, whatever the tool is called.
 *
 * A URI is marked in its fragment: its scheme stays, which clients look at (file:, ui:, https:, which they
 * may fetch themselves: a fragment is not sent), the braces of a template and its expansion stay, and so does
 * what a template expands to. The mark is at the end, so that putting it on is one insertion into the raw
 * JSON string, and taking it off one removal: no string is decoded or written anew.
 *
 * With one upstream nothing need be told apart: with `plain` everything is as the upstream says it.
 */
#ifndef MCP_MERGE_NAMES_H
#define MCP_MERGE_NAMES_H

#include "proto/jsonrpc.h"

enum {
    MERGE_NAME_MAX = 64, /* bytes of an upstream's name: letters, digits, '_' and '-' */
    MERGE_NOBODY = -1,   /* no upstream: the name or URI is none of ours */
};

/* An upstream; the texts that edits insert, so it lives as long as they do. */
struct merge_name {
    char mark[sizeof("#mcpgate=") + MERGE_NAME_MAX]; /* "#mcpgate=NAME" */
    char more[sizeof("&mcpgate=") + MERGE_NAME_MAX]; /* "&mcpgate=NAME" */
    char front[MERGE_NAME_MAX + sizeof("__")];       /* "NAME__" */
    uint8_t len;                                     /* of NAME */
};

struct merge_names {
    const struct merge_name *at; /* by the upstream's index */
    unsigned count;
    bool plain; /* there is one, and its names and URIs are left as they are */
};

/* `name` is valid as the configuration has it. */
void merge_name_init(struct merge_name *ret, struct text name);
struct text merge_name_text(const struct merge_name *name);

/* Whether two upstreams' names cannot both be used: "a" and "a__b", "a" and "a_". */
bool merge_names_clash(struct text a, struct text b);

/* --- text: a decoded Mcp-Name, a flag --- */

/* The upstream that a client's name or URI belongs to, and what the upstream calls it (within the given
 * text); or MERGE_NOBODY. */
int merge_split_name(const struct merge_names *names, struct text name, struct text *ret_own);
int merge_split_uri(const struct merge_names *names, struct text uri, struct text *ret_own);

/* --- raw JSON strings, quotes included, however they are escaped --- */

/* From a client to an upstream: the same, with the edit that makes the one the other. With `plain` the edit
 * has nothing to do: both its texts are empty. */
int merge_name_up(const struct merge_names *names, struct text raw, struct jsonrpc_edit *ret);
int merge_uri_up(const struct merge_names *names, struct text raw, struct jsonrpc_edit *ret);

/* From an upstream to a client. False: `raw` is no string, or there is nothing to do. */
bool merge_name_down(const struct merge_names *names, unsigned upstream, struct text raw,
                     struct jsonrpc_edit *ret);
bool merge_uri_down(const struct merge_names *names, unsigned upstream, struct text raw,
                    struct jsonrpc_edit *ret);
/* The same for a template (RFC 6570), whose {#expressions} are no fragment yet. */
bool merge_template_down(const struct merge_names *names, unsigned upstream, struct text raw,
                         struct jsonrpc_edit *ret);

#endif
