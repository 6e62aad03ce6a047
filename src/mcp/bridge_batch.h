/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Batches of 2025-03-26 (and of 2024-11-05, whose transport is silent): their messages go to the upstream one
 * by one (jsonrpc_next_message()), the replies come back in one array, in any order (JSON-RPC 2.0 section 6).
 */
#ifndef MCP_BRIDGE_BATCH_H
#define MCP_BRIDGE_BATCH_H

#include "proto/json.h"
#include "proto/jsonrpc.h"
#include "proto/mcp_names.h"

/* Counts the requests of a batch: each is owed a reply. Returns -1 and *ret_why for one that is refused as a
 * whole: initialize in it, or requests mixed with replies. Messages that are refused one by one count: they
 * are owed an error. */
int bridge_batch_requests(struct text message, const char **ret_why);

#endif
