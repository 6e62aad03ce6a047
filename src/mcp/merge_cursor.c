/* SPDX-License-Identifier: Apache-2.0 */
#include "mcp/merge_cursor.h"

#include "base/check.h"
#include "base/pack.h"
#include "proto/json.h"

#define LABEL TEXT("cursor")

uint32_t
merge_cursor_seal(const struct merge_cursor *cursor, struct seal_keys *keys, char *out)
{
    uint8_t bytes[MERGE_CURSOR_BYTES], *to = bytes;

    to = pack_number(to, cursor->kind, 1);
    to = pack_number(to, cursor->offset, 4);
    to = pack_number(to, cursor->epoch, 8);
    to = pack_number(to, cursor->last, 8);
    to = pack_bytes(to, cursor->principal, MERGE_PRINCIPAL_BYTES);
    ASSERT(to == bytes + sizeof bytes);
    return seal_write(keys, LABEL, bytes, sizeof bytes, out, MERGE_CURSOR_SIZE);
}

bool
merge_cursor_open(struct text raw, struct seal_keys *keys, uint8_t kind,
                  const uint8_t principal[MERGE_PRINCIPAL_BYTES], struct merge_cursor *ret)
{
    uint8_t bytes[MERGE_CURSOR_BYTES];
    const uint8_t *at = bytes;
    char text[MERGE_CURSOR_SIZE];
    struct merge_cursor c;

    if (json_string_decode(raw, text, sizeof text) != MERGE_CURSOR_SIZE ||
        seal_open(keys, LABEL, (struct text){text, sizeof text}, bytes, sizeof bytes) != sizeof bytes)
        return false;
    c.kind = (uint8_t)unpack_number(&at, 1);
    c.offset = (uint32_t)unpack_number(&at, 4);
    c.epoch = unpack_number(&at, 8);
    c.last = unpack_number(&at, 8);
    unpack_bytes(&at, c.principal, MERGE_PRINCIPAL_BYTES);
    if (c.kind != kind || memcmp(c.principal, principal, MERGE_PRINCIPAL_BYTES) != 0)
        return false;
    *ret = c;
    return true;
}
