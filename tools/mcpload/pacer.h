/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Due times finer than the ring's 1 ms wheel, for open-loop starts and paced events: a heap of items on one
 * timerfd.
 *
 *     for (;;) {
 *         pacer_arm(&pacer);            sets the timerfd to the earliest item, when that changed
 *         ring_wait(ring, max_ms);
 *         ring_reap(ring);
 *         pacer_run(&pacer, ring_now(ring));
 *     }
 */
#ifndef MCPLOAD_PACER_H
#define MCPLOAD_PACER_H

#include "ring/ring.h"

struct pacer_item {
    uint64_t due_ns; /* monotonic */
    uint32_t place;  /* 1 + index in the heap; 0: not set */
    void (*fire)(struct pacer_item *item, uint64_t now_ns);
};

struct pacer {
    struct ring *ring;
    struct op op;
    struct pacer_item **heap;
    uint32_t count, capacity;
    int fd;
    uint64_t armed_ns; /* what the timerfd is set to; 0: nothing */
};

/* 0 or a negated errno. */
int pacer_init(struct pacer *pacer, struct ring *ring);
void pacer_done(struct pacer *pacer);

/* Runs fire() once from pacer_run() at or after `due_ns`; a set item is moved. */
void pacer_set(struct pacer *pacer, struct pacer_item *item, uint64_t due_ns,
               void (*fire)(struct pacer_item *, uint64_t now_ns));
void pacer_stop(struct pacer *pacer, struct pacer_item *item);
void pacer_arm(struct pacer *pacer);
void pacer_run(struct pacer *pacer, uint64_t now_ns);

#endif
