/* SPDX-License-Identifier: Apache-2.0 */
/* A binary heap of due times on one timerfd; see pacer.h. */
#include "pacer.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/timerfd.h>
#include <unistd.h>

/* Setting the timerfd anew clears its count, so nobody has to read it. */
static void
on_tick(struct op *op, int result, struct buf *buf, bool more)
{
    struct pacer *pacer = container_of(op, struct pacer, op);

    pacer->armed_ns = 0;
    if (!more && result != -ECANCELED)
        ring_poll(pacer->ring, op, pacer->fd, POLLIN, on_tick);
}

int
pacer_init(struct pacer *pacer, struct ring *ring)
{
    *pacer = (struct pacer){.ring = ring, .fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK)};
    if (pacer->fd < 0)
        return -errno;
    ring_poll(ring, &pacer->op, pacer->fd, POLLIN, on_tick);
    return 0;
}

void
pacer_done(struct pacer *pacer)
{
    ring_cancel(pacer->ring, &pacer->op);
    while (op_busy(&pacer->op)) {
        ring_wait(pacer->ring, 100);
        ring_reap(pacer->ring);
    }
    close(pacer->fd);
    free(pacer->heap);
}

static void
place(struct pacer *pacer, struct pacer_item *item, uint32_t at)
{
    pacer->heap[at] = item;
    item->place = at + 1;
}

static void
sift_up(struct pacer *pacer, struct pacer_item *item, uint32_t at)
{
    while (at > 0 && pacer->heap[(at - 1) / 2]->due_ns > item->due_ns) {
        place(pacer, pacer->heap[(at - 1) / 2], at);
        at = (at - 1) / 2;
    }
    place(pacer, item, at);
}

static void
sift_down(struct pacer *pacer, struct pacer_item *item, uint32_t at)
{
    for (;;) {
        uint32_t child = 2 * at + 1;

        if (child + 1 < pacer->count && pacer->heap[child + 1]->due_ns < pacer->heap[child]->due_ns)
            child++;
        if (child >= pacer->count || pacer->heap[child]->due_ns >= item->due_ns)
            break;
        place(pacer, pacer->heap[child], at);
        at = child;
    }
    place(pacer, item, at);
}

void
pacer_stop(struct pacer *pacer, struct pacer_item *item)
{
    uint32_t at = item->place - 1;
    struct pacer_item *last;

    if (!item->place)
        return;
    item->place = 0;
    last = pacer->heap[--pacer->count];
    if (last == item)
        return;
    if (at > 0 && pacer->heap[(at - 1) / 2]->due_ns > last->due_ns)
        sift_up(pacer, last, at);
    else
        sift_down(pacer, last, at);
}

void
pacer_set(struct pacer *pacer, struct pacer_item *item, uint64_t due_ns,
          void (*fire)(struct pacer_item *, uint64_t now_ns))
{
    pacer_stop(pacer, item);
    if (pacer->count == pacer->capacity) {
        pacer->capacity = pacer->capacity ? 2 * pacer->capacity : 64;
        pacer->heap = reallocarray(pacer->heap, pacer->capacity, sizeof(struct pacer_item *));
        ASSERT(pacer->heap);
    }
    item->due_ns = due_ns;
    item->fire = fire;
    sift_up(pacer, item, pacer->count++);
}

void
pacer_arm(struct pacer *pacer)
{
    uint64_t due = pacer->count ? pacer->heap[0]->due_ns : 0;
    struct itimerspec spec = {.it_value = {(time_t)(due / 1000000000), (long)(due % 1000000000)}};

    if (due == pacer->armed_ns)
        return;
    timerfd_settime(pacer->fd, TFD_TIMER_ABSTIME, &spec, NULL);
    pacer->armed_ns = due;
}

void
pacer_run(struct pacer *pacer, uint64_t now_ns)
{
    while (pacer->count && pacer->heap[0]->due_ns <= now_ns) {
        struct pacer_item *item = pacer->heap[0];

        pacer_stop(pacer, item);
        item->fire(item, now_ns);
    }
}
