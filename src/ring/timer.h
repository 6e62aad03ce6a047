/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hierarchical timer wheel behind ring.h's `struct timer`, shared by both implementations of the ring. It
 * knows no clock: the ring says what time it is.
 *
 * Four levels of 64 slots; a slot of level n spans 64^n ms:
 *
 *     level 0   1 ms a slot      timers in the same 64 ms as now
 *     level 1   64 ms            ... in the same 4.1 s
 *     level 2   4.1 s            ... in the same 4.4 min
 *     level 3   4.4 min          rotates: up to 4.6 h ahead; what is due later waits in its last slot
 *
 * When the clock reaches a slot's first millisecond, each timer in it runs if it is due, or is filed again at
 * a lower level. So a timer's slot never lies later than its due time, but may lie earlier: setting a running
 * timer later only stores the new time (idle limits are set on every byte), and the slot sorts it out.
 */
#ifndef RING_TIMER_H
#define RING_TIMER_H

#include "ring/ring.h"

enum { WHEEL_LEVELS = 4, WHEEL_BITS = 6, WHEEL_SLOTS = 1 << WHEEL_BITS };

struct wheel {
    uint64_t now_ms;               /* every slot that starts at or before it has been looked at */
    uint64_t filled[WHEEL_LEVELS]; /* a bit per slot; set too long after timer_stop, never too short */
    struct list_node slots[WHEEL_LEVELS][WHEEL_SLOTS];
};

void wheel_init(struct wheel *wheel, uint64_t now_ms);

/* Makes `timer` run at the first advance to `due_ms` or later; a time that has passed means the next
 * millisecond. The caller has set timer->fire. */
void wheel_set(struct wheel *wheel, struct timer *timer, uint64_t due_ms);
void wheel_stop(struct timer *timer);

/* Runs what is due, in the order of the due times, and returns how many ran. A timer is stopped when its
 * fire() is called, which may set and stop any timer. A time before the last one is ignored. */
unsigned wheel_advance(struct wheel *wheel, struct ring *ring, uint64_t now_ms);

/* When to advance next: UINT64_MAX when no timer runs. May be early (a timer was set later since), never
 * late. */
uint64_t wheel_next_ms(struct wheel *wheel);

#endif
