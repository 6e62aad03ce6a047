/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel's io_uring behind ring.h, set up and given back: its queues, its buffer groups, and which of the
 * optional features this kernel has. ring_uring.c works with it. */
#include "ring/ring_uring_impl.h"

#include "base/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { SQ_ENTRIES = 4096, CQ_ENTRIES = 16384, SMALLER_PART = 8 };
enum { NOMEM_TRIES = 50, NOMEM_WAIT_US = 20000 };
enum { POPULATE_AFTER_NS = 20000000 };

const char *const ring_feature_names[] = {"defer_taskrun",
                                          "registered_ring",
                                          "multishot_accept",
                                          "multishot_recv",
                                          "recv_limit",
                                          "skip_success",
                                          NULL};

static unsigned
disabled_features(void)
{
    const char *list = getenv("MCPGATE_RING_DISABLE");
    unsigned bits = 0;

    for (unsigned f = 0; list && f < FEATURES; f++) {
        const char *at = strstr(list, ring_feature_names[f]);
        size_t len = strlen(ring_feature_names[f]);

        if (at && (at == list || at[-1] == ',') && (at[len] == '\0' || at[len] == ','))
            bits |= 1u << f;
    }
    return bits;
}

/* --- provided buffers --- */

static void
group_put(struct group *g, struct buf *b)
{
    io_uring_buf_ring_add(g->kernel, b->data, g->size, b->id, io_uring_buf_ring_mask(g->count), 0);
    io_uring_buf_ring_advance(g->kernel, 1);
}

static void
group_release(struct buf_home *home, struct buf *b)
{
    struct group *g = (struct group *)(void *)home;

    group_put(g, b);
    g->out--;
    if (g->waiting && g->waiting[b->id]) {
        park(&g->ring->groups[RING_BULK], g->waiting[b->id]);
        g->waiting[b->id] = NULL;
    }
    g->ring->stats.bufs_returned[b->klass]++;
}

static void
describe_enomem(char *why, size_t why_size)
{
    snprintf(why, why_size,
             "not enough locked memory for the rings: raise `ulimit -l` (LimitMEMLOCK= in systemd)");
}

static int
group_open(struct ring *ring, unsigned id, unsigned count, unsigned size)
{
    struct group *g = &ring->groups[id];
    struct io_uring_buf_reg reg = {.ring_entries = count, .bgid = (uint16_t)id};
    int err = -ENOMEM;

    ASSERT((count & (count - 1)) == 0 && count <= 32768);
    *g = (struct group){.home = {.release = group_release}, .ring = ring, .count = count, .size = size};
    g->parked_end = &g->parked;
    g->kernel_bytes = count * sizeof(struct io_uring_buf);
    g->kernel = mmap(NULL, g->kernel_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    g->memory = mmap(NULL, (size_t)count * size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    g->bufs = calloc(count, sizeof *g->bufs);
    g->waiting = id == RING_LARGE ? calloc(count, sizeof(*g->waiting)) : NULL;
    if ((void *)g->kernel == MAP_FAILED || (void *)g->memory == MAP_FAILED || !g->bufs ||
        (id == RING_LARGE && !g->waiting))
        return -ENOMEM;
    reg.ring_addr = (uintptr_t)g->kernel;
    for (unsigned n = 0; n < NOMEM_TRIES; n++) { /* as in queue_init() */
        err = io_uring_register_buf_ring(&ring->io, &reg, 0);
        if (err != -ENOMEM)
            break;
        usleep(NOMEM_WAIT_US);
    }
    if (err < 0)
        return err;
    io_uring_buf_ring_init(g->kernel);
    for (unsigned i = 0; i < count; i++) {
        g->bufs[i] = (struct buf){.data = g->memory + (size_t)i * size,
                                  .home = &g->home,
                                  .size = size,
                                  .id = (uint16_t)i,
                                  .kind = BUF_PROVIDED,
                                  .klass = (uint8_t)id};
        group_put(g, &g->bufs[i]);
    }
    return 0;
}

void
ring_populate(struct ring *ring)
{
    struct group *g = &ring->groups[RING_SMALL];

    (void)madvise(g->memory, (size_t)g->count * g->size, MADV_POPULATE_WRITE);
    ring->populate_at_ns = 0;
}

static void
group_close(struct group *g)
{
    if (g->kernel && (void *)g->kernel != MAP_FAILED)
        munmap(g->kernel, g->kernel_bytes);
    if (g->memory && (void *)g->memory != MAP_FAILED)
        munmap(g->memory, (size_t)g->count * g->size);
    free(g->bufs);
    free(g->waiting);
}

/* --- the ring --- */

/* An older kernel says that it knows no such field before it looks at the descriptor. */
static bool
knows_recv_limit(struct ring *ring)
{
    struct io_uring_sqe *sqe = get_sqe(ring);
    struct io_uring_cqe *cqe;
    int result;

    io_uring_prep_recv_multishot(sqe, -1, NULL, 0, 0);
    set_recv_limit(sqe, 1);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    io_uring_sqe_set_data64(sqe, TAG_NONE);
    if (io_uring_submit_and_wait(&ring->io, 1) < 0 || io_uring_peek_cqe(&ring->io, &cqe) < 0)
        return false;
    result = cqe->res;
    io_uring_cqe_seen(&ring->io, cqe);
    return result == -EBADF;
}

/* Where the rings of many processes come to more than the user may lock, smaller ones do: submissions are
 * only sent off more often, and what does not fit the completion queue the kernel keeps aside. */
static int
queue_try(struct ring *ring, const struct ring_config *config, unsigned flags)
{
    unsigned sq = config->sq_entries ? config->sq_entries : SQ_ENTRIES;
    unsigned cq = config->cq_entries ? config->cq_entries : CQ_ENTRIES;
    struct io_uring_params params = {.flags = flags, .cq_entries = cq};
    int err = io_uring_queue_init_params(sq, &ring->io, &params);

    if (err != -ENOMEM || config->sq_entries)
        return err;
    params = (struct io_uring_params){.flags = flags, .cq_entries = cq / SMALLER_PART};
    err = io_uring_queue_init_params(sq / SMALLER_PART, &ring->io, &params);
    if (!err)
        log_warning("the locked memory of this user is used up: a ring of %u entries instead of %u; raise "
                    "`ulimit -l`, "
                    "or LimitMEMLOCK= in the unit",
                    sq / SMALLER_PART, sq);
    return err;
}

/* Strips what an older kernel does not know, step by step; the floor is 6.1 but a forced-off feature takes
 * the same way. */
static int
queue_init(struct ring *ring, const struct ring_config *config)
{
    unsigned common = IORING_SETUP_CQSIZE | IORING_SETUP_SUBMIT_ALL;
    unsigned tries[] = {common | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
                        common | IORING_SETUP_COOP_TASKRUN, IORING_SETUP_CQSIZE};
    int err = -EINVAL;

    for (unsigned i = has(ring, FEATURE_DEFER_TASKRUN) ? 0 : 1; err == -EINVAL && i < 3; i++) {
        /* The memory of a process that has just died is given back late (memlock is counted per user). */
        for (unsigned n = 0; n < NOMEM_TRIES; n++) {
            err = queue_try(ring, config, tries[i]);
            if (err != -ENOMEM)
                break;
            usleep(NOMEM_WAIT_US);
        }
        /* Without deferred task work the kernel goes on with a multishot whenever it returns to us: one
         * connection took all 1024 buffers before its owner could stop it. */
        if (i > 0)
            ring->disabled |= 1u << FEATURE_MULTISHOT_RECV;
    }
    return err;
}

static void
describe(int err, char *why, size_t why_size)
{
    int sysctl = -1;
    FILE *f = fopen("/proc/sys/kernel/io_uring_disabled", "re");

    if (f) {
        if (fscanf(f, "%d", &sysctl) != 1)
            sysctl = -1;
        fclose(f);
    }
    if (err == -ENOMEM)
        describe_enomem(why, why_size);
    else if (err == -EPERM && sysctl > 0)
        snprintf(why, why_size,
                 "io_uring is switched off on this machine: set it with `sysctl kernel.io_uring_disabled=0` "
                 "(it is %d)",
                 sysctl);
    else if (err == -EPERM)
        snprintf(why, why_size,
                 "io_uring is forbidden by a seccomp filter (containers do that by default): allow "
                 "io_uring_setup, "
                 "io_uring_enter and io_uring_register in the profile");
    else if (err == -ENOSYS)
        snprintf(why, why_size, "this kernel has no io_uring: Linux 6.1 or newer is needed");
    else
        snprintf(why, why_size, "io_uring cannot be set up: %s (Linux 6.1 or newer is needed)",
                 strerror(-err));
}

int
ring_new(const struct ring_config *config, struct ring **ret_ring, char *why, size_t why_size)
{
    static const unsigned counts[RING_GROUPS] = {1024, 64, RING_LARGE_COUNT},
                          sizes[RING_GROUPS] = {RING_SMALL_BYTES, RING_BULK_BYTES, RING_LARGE_BYTES};
    struct ring *ring = calloc(1, sizeof *ring);
    int err;

    if (!ring)
        return -ENOMEM;
    ring->disabled = disabled_features();
    busy_open(&ring->busy);
    ring->spin_us = config->spin_us;
    ring->deferred_end = &ring->deferred;
    err = queue_init(ring, config);
    if (err < 0) {
        describe(err, why, why_size);
        busy_close(&ring->busy);
        free(ring);
        return err;
    }
    for (unsigned i = 0; err >= 0 && i < RING_GROUPS; i++)
        err = group_open(ring, i, config->buf_count[i] ? config->buf_count[i] : counts[i],
                         config->buf_size[i] ? config->buf_size[i] : sizes[i]);
    ring->arena = calloc(1, sizeof *ring->arena + ARENA_BYTES);
    if (err < 0 || !ring->arena) {
        describe(err < 0 ? err : -ENOMEM, why, why_size);
        ring_free(&ring);
        return err < 0 ? err : -ENOMEM;
    }
    ring->arena->size = ARENA_BYTES;
    if (has(ring, FEATURE_REGISTERED_RING))
        io_uring_register_ring_fd(&ring->io);
    if (has(ring, FEATURE_RECV_LIMIT) && !knows_recv_limit(ring))
        ring->disabled |= 1u << FEATURE_RECV_LIMIT;
    ring->now_ns = ring->submitted_ns = clock_ns();
    wheel_init(&ring->wheel, ring->now_ns / 1000000);
    ring->populate_at_ns = ring->now_ns + POPULATE_AFTER_NS;
    *ret_ring = ring;
    return 0;
}

void
ring_free(struct ring **ring_at)
{
    struct ring *ring = *ring_at;

    *ring_at = NULL;
    if (!ring)
        return;
    submit(ring); /* closes that are still queued */
    io_uring_queue_exit(&ring->io);
    busy_close(&ring->busy);
    for (unsigned i = 0; i < RING_GROUPS; i++)
        group_close(&ring->groups[i]);
    while (ring->arena) {
        struct arena_chunk *next = ring->arena->next;
        free(ring->arena);
        ring->arena = next;
    }
    free(ring);
}
