/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names and URIs in whole messages between a client of the merged server and one upstream, as edits of the
 * raw text: one pass, in the order of their places, nothing copied. What a string means decides, not what it
 * looks like: arguments, structured content and texts are never touched; neither are the client's own URIs
 * (roots) nor addresses that a person opens (elicitation).
 *
 *      down  results of tools/call, prompts/get, resources/read, completion; input_required; errors
 * (data.uri); resources/updated, subscriptions/acknowledged; sampling/createMessage up    tools/call,
 * prompts/get, resources/read, subscribe, unsubscribe, completion/complete
 *
 * Lists go another way (merge_list.h), because they are put together from several upstreams.
 */
#ifndef MCP_MERGE_MAP_H
#define MCP_MERGE_MAP_H

#include "mcp/merge_names.h"
#include "proto/mcp_names.h"

/* Where edits go. */
struct merge_edits {
    struct jsonrpc_edit *at;
    uint32_t count, room;
    bool full; /* there were more: the message cannot be passed on */
};

/* --- from an upstream to a client --- */

/* The raw result of a request of this method; other methods have nothing to map. */
void merge_map_result(const struct merge_names *names, unsigned upstream, enum mcp_method method,
                      struct text result, struct merge_edits *out);

/* The raw error object of any request. */
void merge_map_error(const struct merge_names *names, unsigned upstream, struct text error,
                     struct merge_edits *out);

/* The raw params of a notification, or of a server's request, by its method's name. */
void merge_map_params(const struct merge_names *names, unsigned upstream, struct text method,
                      struct text params, struct merge_edits *out);

/* The raw _meta of a tool: the page of its user interface (MCP Apps). */
void merge_map_meta(const struct merge_names *names, unsigned upstream, struct text meta,
                    struct merge_edits *out);

/* --- from a client to an upstream --- */

enum { MERGE_BAD_PARAMS = -2 /* the name, uri or ref is missing, or is no string */ };

/* A request that is for one upstream (merge_is_for_one()), as it was scanned: the upstream's index, with one
 * edit at most in *out; MERGE_NOBODY, or MERGE_BAD_PARAMS. *ret_key, when asked for, is the raw name or uri,
 * as the client wrote it, for the error's text (at NULL when missing). */
int merge_map_request(const struct merge_names *names, enum mcp_method method,
                      const struct jsonrpc_envelope *env, struct merge_edits *out, struct text *ret_key);

/* Whether requests of this method name one upstream's tool, prompt or resource. */
bool merge_is_for_one(enum mcp_method method);

/* The part of a subscriptions/listen filter (raw params.notifications) that concerns one upstream: writes the
 * object that it is sent. The changes of lists concern all; `can` says which of them this one announces, and
 * whether it takes subscriptions (MERGE_CAP_ bits of merge_caps.h). False: nothing does, and nothing was
 * written. */
bool merge_listen_part(const struct merge_names *names, unsigned upstream, uint32_t can, struct text filter,
                       struct json_writer *w);

#endif
