/* SPDX-License-Identifier: Apache-2.0 */
#include "base/slab.h"

#include <stdlib.h>

/* Free buffers of the large classes beyond this many bytes per class go back to the system, so that a burst of
 * bodies does not stay resident for good. */
enum { SLAB_KEEP_BYTES = 1 << 20, POOL_CHUNK = 32 << 10 };

static unsigned
class_of(size_t size)
{
    if (size <= SLAB_SMALLEST)
        return 0;
    return (unsigned)(64 - __builtin_clzll((size - 1) / SLAB_SMALLEST));
}

static void
slab_release(struct buf_home *home, struct buf *b)
{
    struct slab *slab = (struct slab *)home;
    unsigned c = b->klass;

    slab->used_bytes -= b->size;
    slab->returned++;
    if ((uint64_t)slab->free_count[c] * b->size >= SLAB_KEEP_BYTES) {
        free(b);
        return;
    }
    *(struct buf **)(void *)b->data = slab->free[c];
    slab->free[c] = b;
    slab->free_count[c]++;
}

void
slab_init(struct slab *slab, uint64_t limit_bytes)
{
    *slab = (struct slab){.home = {.release = slab_release}, .limit_bytes = limit_bytes};
}

void
slab_done(struct slab *slab)
{
    ASSERT(slab->taken == slab->returned);
    for (unsigned c = 0; c < SLAB_CLASSES; c++) {
        while (slab->free[c]) {
            struct buf *b = slab->free[c];
            slab->free[c] = *(struct buf **)(void *)b->data;
            free(b);
        }
        slab->free_count[c] = 0;
    }
}

struct buf *
slab_get(struct slab *slab, size_t size)
{
    unsigned c = class_of(size);
    uint32_t bytes = (uint32_t)SLAB_SMALLEST << c;
    struct buf *b;

    if (c >= SLAB_CLASSES || (slab->limit_bytes && slab->used_bytes + bytes > slab->limit_bytes))
        return NULL;
    b = slab->free[c];
    if (b) {
        slab->free[c] = *(struct buf **)(void *)b->data;
        slab->free_count[c]--;
    } else {
        b = malloc(sizeof *b + bytes);
        if (!b)
            return NULL;
        *b = (struct buf){.data = (uint8_t *)(b + 1),
                          .home = &slab->home,
                          .size = bytes,
                          .kind = BUF_SLAB,
                          .klass = (uint8_t)c};
    }
    b->refs = 1;
    slab->taken++;
    slab->used_bytes += bytes;
    if (slab->used_bytes > slab->used_bytes_max)
        slab->used_bytes_max = slab->used_bytes;
    return b;
}

void
pool_init(struct pool *pool, size_t object_size)
{
    *pool = (struct pool){.object_size = (object_size + 15) & ~(size_t)15};
}

void
pool_done(struct pool *pool)
{
    ASSERT(pool->used == 0);
    while (pool->chunks) {
        void *next = *(void **)pool->chunks;
        free(pool->chunks);
        pool->chunks = next;
    }
    pool->free = NULL;
    pool->fresh = pool->fresh_end = NULL;
}

static void
pool_grow(struct pool *pool)
{
    size_t header = 16;
    size_t bytes = pool->object_size * 4 + header > POOL_CHUNK ? pool->object_size * 4 + header : POOL_CHUNK;
    char *chunk = aligned_alloc(16, (bytes + 15) & ~(size_t)15);

    ASSERT(chunk);
    *(void **)(void *)chunk = pool->chunks;
    pool->chunks = chunk;
    pool->fresh = chunk + header;
    pool->fresh_end = pool->fresh + (bytes - header) / pool->object_size * pool->object_size;
}

void *
pool_get(struct pool *pool)
{
    void *object = pool->free;

    if (object) {
        pool->free = *(void **)object;
    } else {
        if (pool->fresh == pool->fresh_end)
            pool_grow(pool);
        object = pool->fresh;
        pool->fresh += pool->object_size;
    }
    if (++pool->used > pool->used_max)
        pool->used_max = pool->used;
    memset(object, 0, pool->object_size);
    return object;
}

void
pool_put(struct pool *pool, void *object)
{
    ASSERT(pool->used > 0);
    pool->used--;
    *(void **)object = pool->free;
    pool->free = object;
}
