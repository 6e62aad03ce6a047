/* SPDX-License-Identifier: Apache-2.0 */
#include "base/pool.h"

#include "base/check.h"

#include <string.h>
#include <sys/mman.h>

/* Under the address sanitizer an object that was given back may not be touched, but for the link in it. */
#if defined __SANITIZE_ADDRESS__
#define WITH_ASAN 1
#elif defined __has_feature
#if __has_feature(address_sanitizer)
#define WITH_ASAN 1
#endif
#endif
#ifdef WITH_ASAN
#include <sanitizer/asan_interface.h>
#define FORBID(at, n) ASAN_POISON_MEMORY_REGION(at, n)
#define ALLOW(at, n)  ASAN_UNPOISON_MEMORY_REGION(at, n)
#else
#define FORBID(at, n) ((void)(at), (void)(n))
#define ALLOW(at, n)  ((void)(at), (void)(n))
#endif

struct chunk {
    struct list_node node; /* on pool->partial while it has room */
    void *free;            /* objects given back, linked through their first word */
    uint32_t used, fresh;  /* objects out; objects never taken start at this index */
};

enum { HEADER_BYTES = (sizeof(struct chunk) + 15) & ~15u };

void
pool_init(struct pool *pool, size_t object_size)
{
    *pool = (struct pool){.object_size = (object_size + 15) & ~(size_t)15};
    ASSERT(pool->object_size <= POOL_OBJECT_MAX);
    pool->per_chunk = (uint32_t)((POOL_CHUNK_BYTES - HEADER_BYTES) / pool->object_size);
    list_init(&pool->partial);
}

/* Maps twice the size and cuts off what is not aligned. */
static struct chunk *
chunk_map(struct pool *pool)
{
    char *at = mmap(NULL, 2 * POOL_CHUNK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    size_t before;

    ASSERT(at != MAP_FAILED);
    before = -(uintptr_t)at & (POOL_CHUNK_BYTES - 1);
    if (before)
        munmap(at, before);
    if (before < POOL_CHUNK_BYTES)
        munmap(at + before + POOL_CHUNK_BYTES, POOL_CHUNK_BYTES - before);
    pool->chunks++;
    pool->empty++;
    return (struct chunk *)(void *)(at + before);
}

static void
chunk_unmap(struct pool *pool, struct chunk *chunk)
{
    list_del(&chunk->node);
    pool->chunks--;
    pool->empty--;
    ALLOW(chunk, POOL_CHUNK_BYTES);
    munmap(chunk, POOL_CHUNK_BYTES);
}

void
pool_done(struct pool *pool)
{
    struct list_node *node;

    ASSERT(pool->used == 0);
    while ((node = list_first(&pool->partial)))
        chunk_unmap(pool, container_of(node, struct chunk, node));
    ASSERT(pool->chunks == 0);
}

void *
pool_take(struct pool *pool)
{
    struct list_node *node = list_first(&pool->partial);
    struct chunk *chunk;
    void *object;

    if (node) {
        chunk = container_of(node, struct chunk, node);
    } else {
        chunk = chunk_map(pool);
        list_add_head(&pool->partial, &chunk->node);
    }
    object = chunk->free;
    if (object)
        chunk->free = *(void **)object;
    else
        object = (char *)chunk + HEADER_BYTES + pool->object_size * chunk->fresh++;
    if (chunk->used++ == 0 && --pool->empty < pool->empty_low)
        pool->empty_low = pool->empty;
    if (chunk->used == pool->per_chunk)
        list_del(&chunk->node);
    if (++pool->used > pool->used_max)
        pool->used_max = pool->used;
    ALLOW(object, pool->object_size);
    return object;
}

void *
pool_get(struct pool *pool)
{
    return memset(pool_take(pool), 0, pool->object_size);
}

void
pool_put(struct pool *pool, void *object)
{
    struct chunk *chunk = (struct chunk *)((uintptr_t)object & ~(uintptr_t)(POOL_CHUNK_BYTES - 1));

    ASSERT(chunk->used > 0);
    *(void **)object = chunk->free;
    chunk->free = object;
    FORBID((char *)object + sizeof(void *), pool->object_size - sizeof(void *));
    pool->used--;
    if (chunk->used == pool->per_chunk)
        list_add_head(&pool->partial, &chunk->node);
    if (--chunk->used > 0)
        return;
    pool->empty++;
    list_del(&chunk->node);
    list_add_tail(&pool->partial, &chunk->node);
}

void
pool_trim(struct pool *pool)
{
    while (pool->empty_low > 1) {
        chunk_unmap(pool, container_of(pool->partial.prev, struct chunk, node));
        pool->empty_low--;
    }
    pool->empty_low = pool->empty;
}
