/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages that come again word for word but for their id, as lists do: what was found when one of them was
 * scanned and checked holds for the next. A worker remembers a few.
 *
 *      {"jsonrpc":"2.0","id":|7|,"method":"tools/list","params":{...}}
 *      '------ the same -----'  '--------------- the same -----------'
 */
#ifndef MCP_RECALL_H
#define MCP_RECALL_H

#include "mcp/headers.h"
#include "proto/jsonrpc.h"

enum { RECALL_SLOTS = 8, RECALL_BYTES = 1024, RECALL_HEAD = 256 };

struct recall_slot {
    uint32_t len, id_at, id_len;
    struct mcp_head head;        /* points into fields */
    struct jsonrpc_envelope env; /* points into text */
    char text[RECALL_BYTES], fields[RECALL_HEAD];
};

struct recall { /* zero: nothing */
    unsigned next;
    struct recall_slot slots[RECALL_SLOTS];
};

/* True: such a message under such a head is fine, and *ret is its envelope. An id that is not plain (escapes,
 * other than ASCII, more than 18 digits) is not recalled. */
bool recall_find(const struct recall *recall, struct text message, const struct mcp_head *head,
                 struct jsonrpc_envelope *ret);

/* A message was scanned strictly and found fine by mcp_check() outside of a batch. Those that say something
 * of their own (a name, arguments, a cursor) are not worth it, nor are long ones. */
void recall_note(struct recall *recall, struct text message, const struct mcp_head *head,
                 const struct jsonrpc_envelope *env);

#endif
