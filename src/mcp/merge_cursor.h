/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cursor of a merged list: where a client is in it, sealed, so that clients cannot make one up or use
 * another's. Lists are the same in every worker, and so are cursors. When the list has changed in between,
 * the client goes on behind the entry that it saw last; only if that one is gone it has to begin anew, which
 * the error says (-32602, as for any cursor that is not good).
 */
#ifndef MCP_MERGE_CURSOR_H
#define MCP_MERGE_CURSOR_H

#include "mcp/seal.h"

enum {
    MERGE_PRINCIPAL_BYTES = 16,
    MERGE_CURSOR_BYTES = 1 + 4 + 8 + 8 + MERGE_PRINCIPAL_BYTES,
    MERGE_CURSOR_SIZE = SEAL_TEXT_SIZE(MERGE_CURSOR_BYTES),
};

struct merge_cursor {
    uint8_t kind;                             /* enum merge_kind */
    uint32_t offset;                          /* entries that were sent */
    uint64_t epoch;                           /* of the list that they were of */
    uint64_t last;                            /* the mark of the last one */
    uint8_t principal[MERGE_PRINCIPAL_BYTES]; /* whose the list was; zero: everybody's */
};

/* Writes the sealed cursor to out[MERGE_CURSOR_SIZE]. Returns its length, or 0 as seal_write() does. */
uint32_t merge_cursor_seal(const struct merge_cursor *cursor, struct seal_keys *keys, char *out);

/* Opens a raw JSON string. False: it is none of ours, or of another kind of list or of somebody else. */
bool merge_cursor_open(struct text raw, struct seal_keys *keys, uint8_t kind,
                       const uint8_t principal[MERGE_PRINCIPAL_BYTES], struct merge_cursor *ret);

#endif
