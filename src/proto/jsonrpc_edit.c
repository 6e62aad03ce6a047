/* SPDX-License-Identifier: Apache-2.0 */
#include "base/check.h"
#include "proto/jsonrpc.h"

uint32_t
jsonrpc_edited_size(struct text message, const struct jsonrpc_edit *edits, unsigned count)
{
    uint32_t size = message.len;

    for (unsigned i = 0; i < count; i++)
        size = size - edits[i].old.len + edits[i].with.len;
    return size;
}

static char *
append(char *to, const char *from, size_t n)
{
    if (n)
        memcpy(to, from, n);
    return to + n;
}

uint32_t
jsonrpc_edit_write(struct text message, const struct jsonrpc_edit *edits, unsigned count, char *out,
                   uint32_t size)
{
    const char *at = message.at, *end = message.at + message.len;
    char *to = out;

    if (jsonrpc_edited_size(message, edits, count) > size)
        return 0;
    for (unsigned i = 0; i < count; i++) {
        struct text old = edits[i].old;

        ASSERT(old.at >= at && old.at + old.len <= end);
        to = append(to, at, (size_t)(old.at - at));
        to = append(to, edits[i].with.at, edits[i].with.len);
        at = old.at + old.len;
    }
    to = append(to, at, (size_t)(end - at));
    return (uint32_t)(to - out);
}

static unsigned
add_piece(struct text *out, unsigned max, unsigned n, const char *at, size_t len)
{
    if (!len)
        return n;
    if (n < max)
        out[n] = (struct text){at, (uint32_t)len};
    return n + 1;
}

unsigned
jsonrpc_edit_pieces(struct text message, const struct jsonrpc_edit *edits, unsigned count, struct text *out,
                    unsigned max)
{
    const char *at = message.at, *end = message.at + message.len;
    unsigned n = 0;

    for (unsigned i = 0; i < count; i++) {
        struct text old = edits[i].old;

        ASSERT(old.at >= at && old.at + old.len <= end);
        n = add_piece(out, max, n, at, (size_t)(old.at - at));
        n = add_piece(out, max, n, edits[i].with.at, edits[i].with.len);
        at = old.at + old.len;
    }
    n = add_piece(out, max, n, at, (size_t)(end - at));
    return n <= max ? n : 0;
}
