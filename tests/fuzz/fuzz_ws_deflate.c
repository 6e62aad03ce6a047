/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as an offer, as a packed message (bounded), and as a message that must come back. */
#include "base/check.h"
#include "proto/ws_deflate.h"

enum { MAX = 1 << 16 };

struct sink {
    struct ws_deflate_out out; /* first */
    uint32_t len;
    char bytes[2 * MAX];
};

static bool
put(struct ws_deflate_out *out, const void *bytes, uint32_t len)
{
    struct sink *s = (struct sink *)(void *)out;

    if (len > sizeof s->bytes - s->len)
        return false;
    memcpy(s->bytes + s->len, bytes, len);
    s->len += len;
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct sink packed = {{put}, 0, {0}}, unpacked = {{put}, 0, {0}};
    struct text message = {(const char *)data, (uint32_t)size};
    struct ws_deflate_params params = {.window_bits = 12};
    char reply[WS_DEFLATE_REPLY_MAX];
    bool deflates;
    struct ws_inflater *i;
    struct ws_deflater *d;

    if (size > MAX)
        return 0;
    if (ws_deflate_negotiate(message, &params))
        ASSERT(ws_deflate_reply(&params, reply) < sizeof reply && params.window_bits >= 9 &&
               params.window_bits <= 12);
    ASSERT(ws_deflate_agree(message, &deflates) || deflates);
    i = ws_inflater_new();
    d = ws_deflater_new(&params);
    ASSERT(i && d);
    unpacked.len = 0;
    if (ws_inflater_message(i, message, MAX, &unpacked.out) == WS_DEFLATE_FINE)
        ASSERT(unpacked.len <= MAX);
    for (unsigned k = 0; k < 2;
         k++) { /* the second with a context, which the first of no other message needs */
        packed.len = unpacked.len = 0;
        ASSERT(ws_deflater_message(d, &message, 1, &packed.out) == WS_DEFLATE_FINE);
        if (k && !params.no_takeover)
            break;
        ASSERT(ws_inflater_message(i, (struct text){packed.bytes, packed.len}, MAX, &unpacked.out) ==
               WS_DEFLATE_FINE);
        ASSERT(unpacked.len == size && (!size || memcmp(unpacked.bytes, data, size) == 0));
    }
    ws_inflater_free(i);
    ws_deflater_free(d);
    return 0;
}
