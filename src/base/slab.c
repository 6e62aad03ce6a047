/* SPDX-License-Identifier: Apache-2.0 */
#include "base/slab.h"

#include <stdlib.h>

/* Large buffers beyond this many bytes per class go back to the system. */
enum { KEPT_BYTES = 256 << 10 };

static unsigned
class_of(size_t size)
{
    if (size <= SLAB_SMALLEST)
        return 0;
    return (unsigned)(64 - __builtin_clzll((size - 1) / SLAB_SMALLEST));
}

static uint32_t
class_bytes(unsigned c)
{
    return (uint32_t)SLAB_SMALLEST << c;
}

static void
slab_release(struct buf_home *home, struct buf *b)
{
    struct slab *slab = (struct slab *)home;
    unsigned c = b->klass;

    slab->used_bytes -= b->size;
    slab->returned++;
    if (c < SLAB_POOLED) {
        pool_put(&slab->pools[c], b);
    } else if ((uint64_t)slab->kept_count[c] * b->size >= KEPT_BYTES) {
        free(b);
    } else {
        *(struct buf **)(void *)b->data = slab->kept[c];
        slab->kept[c] = b;
        slab->kept_count[c]++;
    }
}

void
slab_init(struct slab *slab, uint64_t limit_bytes)
{
    *slab = (struct slab){.home = {.release = slab_release}, .limit_bytes = limit_bytes};
    for (unsigned c = 0; c < SLAB_POOLED; c++)
        pool_init(&slab->pools[c], sizeof(struct buf) + class_bytes(c));
}

void
slab_trim(struct slab *slab)
{
    for (unsigned c = 0; c < SLAB_POOLED; c++)
        pool_trim(&slab->pools[c]);
}

static struct buf *
take_kept(struct slab *slab, unsigned c)
{
    struct buf *b = slab->kept[c];

    if (b) {
        slab->kept[c] = *(struct buf **)(void *)b->data;
        slab->kept_count[c]--;
    }
    return b;
}

void
slab_done(struct slab *slab)
{
    ASSERT(slab->taken == slab->returned);
    for (unsigned c = 0; c < SLAB_POOLED; c++)
        pool_done(&slab->pools[c]);
    for (unsigned c = SLAB_POOLED; c < SLAB_CLASSES; c++)
        for (struct buf *b; (b = take_kept(slab, c));)
            free(b);
}

struct buf *
slab_get(struct slab *slab, size_t size)
{
    unsigned c = class_of(size);
    uint32_t bytes = class_bytes(c);
    struct buf *b;

    if (c >= SLAB_CLASSES || (slab->limit_bytes && slab->used_bytes + bytes > slab->limit_bytes))
        return NULL;
    if (c < SLAB_POOLED) {
        b = pool_take(&slab->pools[c]);
    } else {
        b = take_kept(slab, c);
        if (!b)
            b = malloc(sizeof *b + bytes);
        if (!b)
            return NULL;
    }
    *b = (struct buf){.data = (uint8_t *)(b + 1),
                      .home = &slab->home,
                      .size = bytes,
                      .refs = 1,
                      .kind = BUF_SLAB,
                      .klass = (uint8_t)c};
    slab->taken++;
    slab->used_bytes += bytes;
    if (slab->used_bytes > slab->used_bytes_max)
        slab->used_bytes_max = slab->used_bytes;
    return b;
}
