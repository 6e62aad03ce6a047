/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many clients' messages over one connection to a server: what names a request (its id, its progress token,
 * its subscription) is replaced by a number of the gateway's own on the way there, and put back on the way
 * back. Pure: these say which edits to make (proto/jsonrpc.h).
 *
 *      client   {"id":"a","method":"tools/call","params":{"_meta":{"progressToken":1}}}     number 42
 *      server   {"id":42,"method":"tools/call","params":{"_meta":{"progressToken":42}}}
 */
#ifndef MCP_REMAP_H
#define MCP_REMAP_H

#include "proto/jsonrpc.h"

enum { REMAP_EDITS_MAX = 2, REMAP_NUMBER_MAX = 20 };

/* A request: its id, and its progress token when it has one, become `number`. Returns how many edits[] are
 * set, in the order of their places. */
unsigned remap_request(const struct jsonrpc_envelope *env, struct text number,
                       struct jsonrpc_edit edits[REMAP_EDITS_MAX]);

/* notifications/cancelled: the request that it names becomes `number`. */
struct jsonrpc_edit remap_cancelled(const struct jsonrpc_envelope *env, struct text number);

/* From the server. The number of the request that a response answers, or that a notification belongs to, and
 * where in the message it stands; false: it names none of ours. */
bool remap_find(const struct jsonrpc_envelope *env, uint64_t *ret_number, struct text *ret_place);

#endif
