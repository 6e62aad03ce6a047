/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a key file: what is accepted has a current key and no id twice, and says the same when it is
 * written out again; what is refused names one of its lines and leaves the ring alone. */
#include "base/check.h"
#include "proc/keys.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static size_t
write_out(const struct key_ring *ring, char *out, size_t size)
{
    static const char *const names[KEYS] = {"previous", "current", "next"};
    size_t n = 0;

    for (unsigned i = KEYS; i-- > 0;) {
        if (!ring->keys[i].id)
            continue;
        n += (size_t)snprintf(out + n, size - n, "%s %08X ", names[i], ring->keys[i].id);
        for (unsigned k = 0; k < KEY_BYTES; k++)
            n += (size_t)snprintf(out + n, size - n, "%02x", ring->keys[i].key[k]);
        n += (size_t)snprintf(out + n, size - n, "\n");
    }
    return n;
}

static bool
same(const struct key_ring *a, const struct key_ring *b)
{
    for (unsigned i = 0; i < KEYS; i++)
        if (a->keys[i].id != b->keys[i].id || memcmp(a->keys[i].key, b->keys[i].key, KEY_BYTES) != 0)
            return false;
    return a->current == b->current;
}

static unsigned
lines_of(const char *text, size_t len)
{
    unsigned lines = 1;

    for (size_t i = 0; i < len; i++)
        lines += text[i] == '\n';
    return lines;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct key_ring ring, again, untouched;
    char *copy = malloc(size ? size : 1), text[512]; /* the copy: so that a sanitizer sees the end */
    unsigned line = UINT32_MAX;

    ASSERT(copy);
    memcpy(copy, data, size);
    memset(&ring, 0x5a, sizeof ring);
    untouched = ring;
    if (keys_parse(copy, size, &ring, &line) == 0) {
        ASSERT(ring.current == KEY_CURRENT && ring.keys[KEY_CURRENT].id);
        for (unsigned i = 0; i < KEYS; i++)
            for (unsigned k = 0; k < i; k++)
                ASSERT(!ring.keys[i].id || ring.keys[i].id != ring.keys[k].id);
        ASSERT(keys_parse(text, write_out(&ring, text, sizeof text), &again, &line) == 0);
        ASSERT(same(&ring, &again));
    } else {
        ASSERT(line <= lines_of(copy, size));
        ASSERT(memcmp(&ring, &untouched, sizeof ring) == 0);
    }
    free(copy);
    return 0;
}
