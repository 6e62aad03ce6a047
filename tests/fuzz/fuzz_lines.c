/* SPDX-License-Identifier: Apache-2.0 */
/* The first byte says how long a line may be, the second where the rest is split: whole and in two pieces it
 * holds the same lines. */
#include "base/check.h"
#include "proto/lines.h"

struct seen {
    struct lines lines;
    char kept[512];
    uint64_t hash;
    uint32_t count;
};

static void
mix(struct seen *seen, const char *at, uint32_t len)
{
    for (uint32_t i = 0; i < len; i++)
        seen->hash = (seen->hash ^ (uint8_t)at[i]) * 0x100000001b3u;
}

static void
feed(struct seen *seen, struct text rest)
{
    while (rest.len) {
        struct lines_part found;
        enum lines_result r = lines_next(&seen->lines, &rest, &found);

        if (r == LINES_MORE) {
            ASSERT(rest.len == 0 && seen->lines.kept <= seen->lines.max + 1);
            if (found.part.len)
                memcpy(seen->kept + seen->lines.kept - found.part.len, found.part.at, found.part.len);
            continue;
        }
        seen->count++;
        mix(seen, r == LINES_LONG ? "!" : "=", 1);
        if (r == LINES_LINE) {
            ASSERT(found.kept + found.part.len <= seen->lines.max);
            mix(seen, seen->kept, found.kept);
            mix(seen, found.part.at, found.part.len);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct seen whole, parts;
    const char *at = (const char *)data + 2;
    uint32_t len, split;

    if (size < 3 || size > 1 << 16)
        return 0;
    len = (uint32_t)size - 2;
    split = (uint32_t)(data[1] * (uint64_t)len / 255);
    whole = parts = (struct seen){.lines = {.max = data[0]}};
    feed(&whole, (struct text){at, len});
    feed(&parts, (struct text){at, split});
    feed(&parts, (struct text){at + split, len - split});
    ASSERT(whole.count == parts.count && whole.hash == parts.hash);
    return 0;
}
