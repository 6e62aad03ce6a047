/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A worker's memory: `slab` gives reference-counted buffers of a few size classes, `pool` gives objects of one
 * size. Both keep what is given back on free lists, last in first out, so that in the steady state nothing is
 * allocated and the memory used is warm. One thread only.
 */
#ifndef BASE_SLAB_H
#define BASE_SLAB_H

#include "base/buf.h"

#include <stddef.h>

enum { SLAB_CLASSES = 10, SLAB_SMALLEST = 128, SLAB_LARGEST = SLAB_SMALLEST << (SLAB_CLASSES - 1) };

struct slab {
    struct buf_home home;
    struct buf *free[SLAB_CLASSES];
    uint32_t free_count[SLAB_CLASSES];
    uint64_t used_bytes, used_bytes_max; /* capacity of the buffers that are out */
    uint64_t limit_bytes;                /* slab_get fails above it; 0: no limit */
    uint64_t taken, returned;            /* buffers, ever; equal when nothing is out */
};

void slab_init(struct slab *slab, uint64_t limit_bytes);
/* Frees what is on the free lists; asserts that nothing is out. */
void slab_done(struct slab *slab);

/* A buffer of at least `size` bytes with one reference, or NULL when the limit is reached or `size` exceeds
 * SLAB_LARGEST. The data is not cleared. */
struct buf *slab_get(struct slab *slab, size_t size);

struct pool {
    size_t object_size;
    void *free;
    void *chunks;       /* linked through the first word */
    char *fresh, *fresh_end;
    uint64_t used, used_max;
};

void pool_init(struct pool *pool, size_t object_size);
/* Frees all chunks; asserts that nothing is out. */
void pool_done(struct pool *pool);
/* A zeroed object; never NULL (aborts when the system has no memory: caps are the caller's). */
void *pool_get(struct pool *pool);
void pool_put(struct pool *pool, void *object);

#endif
