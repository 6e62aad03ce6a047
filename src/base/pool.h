/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `pool`: objects of one size, from chunks of 32 KiB that are mapped as needed and given back to the system
 * when they are empty again, all but one: what a burst took does not stay resident. In the steady state
 * nothing is mapped, and the object given back last is the next one taken, so it is warm. One thread only.
 *
 *      chunk, aligned to its size        | header | object | object | ... |
 *      partial: chunks with room, the one to take from first
 */
#ifndef BASE_POOL_H
#define BASE_POOL_H

#include "base/list.h"

#include <stddef.h>
#include <stdint.h>

enum { POOL_CHUNK_BYTES = 32 << 10, POOL_OBJECT_MAX = 8 << 10 };

struct pool {
    size_t object_size; /* rounded up to 16 */
    uint32_t per_chunk;
    uint32_t empty;     /* chunks without an object that is out; they stand last in partial */
    uint32_t empty_low; /* the fewest since the last pool_trim() */
    struct list_node partial;
    uint64_t used, used_max, chunks;
};

void pool_init(struct pool *pool, size_t object_size);
/* Unmaps what is left; asserts that nothing is out. */
void pool_done(struct pool *pool);
/* A zeroed object; never NULL (aborts when the system has no memory: caps are the caller's). */
void *pool_get(struct pool *pool);
/* The same without zeroing. */
void *pool_take(struct pool *pool);
void pool_put(struct pool *pool, void *object);
/* Unmaps the chunks, but one, that have been empty ever since the last call: now and then, so that what a
 * busy pool takes and gives back all the time is not mapped anew each time. */
void pool_trim(struct pool *pool);

#endif
