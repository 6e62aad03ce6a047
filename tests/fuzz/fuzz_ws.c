/* SPDX-License-Identifier: Apache-2.0 */
/* The first byte says who sends and what was agreed upon, the second where the rest is split: the frames say
 * the same whole, in two pieces and in single bytes. */
#include "../unit/ws_summary.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct ws_summary whole, parts, bytes;
    const char *at = (const char *)data + 2;
    uint32_t len, split;

    if (size < 2 || size > WS_SUMMARY_MAX / 4)
        return 0;
    len = (uint32_t)size - 2;
    split = len ? data[1] % (len + 1) : 0;
    ws_summary_init(&whole, data[0] & 1, data[0] & 2, data[0] & 4 ? 1000 : 0);
    ws_summary_init(&parts, data[0] & 1, data[0] & 2, data[0] & 4 ? 1000 : 0);
    ws_summary_init(&bytes, data[0] & 1, data[0] & 2, data[0] & 4 ? 1000 : 0);
    ws_summary_feed(&whole, at, len);
    ws_summary_feed(&parts, at, split);
    ws_summary_feed(&parts, at + split, len - split);
    for (uint32_t i = 0; i < len; i++)
        ws_summary_feed(&bytes, at + i, 1);
    ASSERT(whole.len == parts.len && memcmp(whole.text, parts.text, whole.len) == 0);
    ASSERT(whole.len == bytes.len && memcmp(whole.text, bytes.text, whole.len) == 0);
    return 0;
}
