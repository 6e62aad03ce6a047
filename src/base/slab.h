/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A worker's buffer memory: reference-counted buffers of a few size classes, the small ones from pools, the
 * large ones from the system with a few kept at hand. One thread only.
 */
#ifndef BASE_SLAB_H
#define BASE_SLAB_H

#include "base/buf.h"
#include "base/pool.h"

#include <stddef.h>

enum {
    SLAB_CLASSES = 10,
    SLAB_SMALLEST = 128,
    SLAB_LARGEST = SLAB_SMALLEST << (SLAB_CLASSES - 1),
    SLAB_POOLED = 6, /* classes below this one, up to 4 KiB, come from pools */
};

struct slab {
    struct buf_home home;
    struct pool pools[SLAB_POOLED];
    struct buf *kept[SLAB_CLASSES]; /* of the large classes, linked through their data */
    uint32_t kept_count[SLAB_CLASSES];
    uint64_t used_bytes, used_bytes_max; /* capacity of the buffers that are out */
    uint64_t limit_bytes;                /* slab_get fails above it; 0: no limit */
    uint64_t taken, returned;            /* buffers, ever; equal when nothing is out */
};

void slab_init(struct slab *slab, uint64_t limit_bytes);
/* Frees what is at hand; asserts that nothing is out. */
void slab_done(struct slab *slab);

/* Gives memory that was not needed since the last call back to the system. */
void slab_trim(struct slab *slab);

/* A buffer of at least `size` bytes with one reference, or NULL when the limit is reached or `size` exceeds
 * SLAB_LARGEST. The data is not cleared. */
struct buf *slab_get(struct slab *slab, size_t size);

#endif
