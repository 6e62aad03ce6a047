/* SPDX-License-Identifier: Apache-2.0 */
/* What the two halves of the real ring share; for ring_uring.c and ring_uring_open.c only. */
#ifndef RING_URING_IMPL_H
#define RING_URING_IMPL_H

#include "base/busy.h"
#include "base/check.h"
#include "ring/ring.h"
#include "ring/timer.h"

#include <liburing.h>
#include <time.h>

enum { TAG_NONE = 1, ARENA_BYTES = 64 << 10 };

/* Optional features: each has a path without it and may be switched off by name. */
enum feature {
    FEATURE_DEFER_TASKRUN,
    FEATURE_REGISTERED_RING,
    FEATURE_MULTISHOT_ACCEPT,
    FEATURE_MULTISHOT_RECV,
    FEATURE_RECV_LIMIT,
    FEATURE_SKIP_SUCCESS,
    FEATURES
};

struct group {
    struct buf_home home; /* first: what a buf's home pointer leads to */
    struct ring *ring;
    struct io_uring_buf_ring *kernel;
    size_t kernel_bytes;
    uint8_t *memory;
    struct buf *bufs;
    unsigned count, size, out; /* out: taken by completions and not yet home */
    struct op *parked, **parked_end;
    struct op *
        *waiting; /* large, else NULL: by the buffer's id, the receive that goes on when it comes home */
};

struct arena_chunk {
    struct arena_chunk *next;
    size_t size;
    uint8_t bytes[] __attribute__((aligned(16)));
};

struct ring {
    struct io_uring io;
    struct group groups[RING_GROUPS];
    struct wheel wheel;
    uint64_t now_ns, submitted_ns;
    struct op *deferred, **deferred_end;
    struct op *accept_retry; /* accepts waiting for accept_timer */
    struct timer accept_timer;
    uint64_t populate_at_ns;   /* 0: done */
    struct arena_chunk *arena; /* newest first; the last one is the permanent chunk */
    size_t arena_used;
    unsigned disabled; /* bits of enum feature */
    uint32_t spin_us;
    uint64_t spun_ns; /* polled in vain */
    struct busy busy;
    int receive_buffer, send_buffer;
    struct ring_stats stats;
};

static inline uint64_t
clock_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static inline bool
has(const struct ring *ring, enum feature f)
{
    return !(ring->disabled & (1u << f));
}

/* Of those that ring_wait() starts anew, when their group has a buffer, it is the last. */
static inline void
park(struct group *g, struct op *op)
{
    op->next = NULL;
    *g->parked_end = op;
    g->parked_end = &op->next;
}

static inline void
submit(struct ring *ring)
{
    int n = io_uring_submit(&ring->io);

    ASSERT(n >= 0 || n == -EBUSY || n == -EAGAIN || n == -EINTR);
}

static inline struct io_uring_sqe *
get_sqe(struct ring *ring)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&ring->io);

    if (!sqe) {
        submit(ring);
        sqe = io_uring_get_sqe(&ring->io);
        ASSERT(sqe);
    }
    return sqe;
}

/* Ends a multishot receive when it has brought so many bytes. Since Linux 6.17, whose headers call the field
 * optlen. */
static inline void
set_recv_limit(struct io_uring_sqe *sqe, uint32_t bytes)
{
    sqe->file_index = bytes;
}

/* Faults the small buffers in, which are all in use within the first thousand receives. It takes 0.7 ms, so
 * not while the first clients wait for the start. */
void ring_populate(struct ring *ring);

#endif
