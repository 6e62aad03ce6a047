/* SPDX-License-Identifier: Apache-2.0 */
#include "ring/timer.h"

enum { TOP = WHEEL_LEVELS - 1, SLOT_MASK = WHEEL_SLOTS - 1 };

/* Farther away than this waits in the top level's last slot, which is never the current one. */
#define HORIZON_MS ((uint64_t)SLOT_MASK << (WHEEL_BITS * TOP))

void
wheel_init(struct wheel *wheel, uint64_t now_ms)
{
    wheel->now_ms = now_ms;
    for (unsigned level = 0; level < WHEEL_LEVELS; level++) {
        wheel->filled[level] = 0;
        for (unsigned slot = 0; slot < WHEEL_SLOTS; slot++)
            list_init(&wheel->slots[level][slot]);
    }
}

/* The level is that of the highest digit (base 64) in which `at_ms` differs from now: below it both lie in
 * the same slot of the level above, so the slots of a level are reached in index order and before any slot of
 * a higher level. Only the top level wraps. */
static unsigned
level_of(uint64_t now_ms, uint64_t at_ms)
{
    unsigned highest_bit = 63 - (unsigned)__builtin_clzll(now_ms ^ at_ms);
    unsigned level = highest_bit / WHEEL_BITS;

    return level > TOP ? TOP : level;
}

static void
wheel_file(struct wheel *wheel, struct timer *timer)
{
    uint64_t at_ms = timer->due_ms;
    unsigned level, slot;

    if (at_ms <= wheel->now_ms)
        at_ms = wheel->now_ms + 1;
    if (at_ms - wheel->now_ms > HORIZON_MS)
        at_ms = wheel->now_ms + HORIZON_MS;
    level = level_of(wheel->now_ms, at_ms);
    slot = (unsigned)(at_ms >> (WHEEL_BITS * level)) & SLOT_MASK;
    list_add_tail(&wheel->slots[level][slot], &timer->node);
    wheel->filled[level] |= 1ull << slot;
}

void
wheel_set(struct wheel *wheel, struct timer *timer, uint64_t due_ms)
{
    bool stays = timer_running(timer) && due_ms >= timer->due_ms;

    timer->due_ms = due_ms;
    if (stays)
        return;
    list_del(&timer->node);
    wheel_file(wheel, timer);
}

void
wheel_stop(struct timer *timer)
{
    list_del(&timer->node);
}

/* How many slots ahead of the current one `slot` comes up, 1..63. Below the top level nothing wraps. */
static unsigned
slots_ahead(const struct wheel *wheel, unsigned level, unsigned slot)
{
    return (slot - (unsigned)(wheel->now_ms >> (WHEEL_BITS * level))) & SLOT_MASK;
}

/* The filled slot that comes up first at `level`, or -1. Slots that timer_stop has emptied are forgotten. */
static int
next_slot(struct wheel *wheel, unsigned level)
{
    unsigned now_slot = (unsigned)(wheel->now_ms >> (WHEEL_BITS * level)) & SLOT_MASK;

    while (wheel->filled[level]) {
        uint64_t filled = wheel->filled[level];
        uint64_t turned = now_slot ? filled >> now_slot | filled << (WHEEL_SLOTS - now_slot) : filled;
        unsigned slot = (now_slot + (unsigned)__builtin_ctzll(turned)) & SLOT_MASK;

        if (!list_empty(&wheel->slots[level][slot]))
            return (int)slot;
        wheel->filled[level] &= ~(1ull << slot);
    }
    return -1;
}

static uint64_t
slot_start_ms(const struct wheel *wheel, unsigned level, unsigned slot)
{
    unsigned shift = WHEEL_BITS * level;

    return ((wheel->now_ms >> shift) + slots_ahead(wheel, level, slot)) << shift;
}

/* The first slot to come up, or UINT64_MAX; a lower level always comes before a higher one. */
static uint64_t
wheel_next(struct wheel *wheel, struct list_node **ret_timers)
{
    for (unsigned level = 0; level < WHEEL_LEVELS; level++) {
        int slot = next_slot(wheel, level);

        if (slot >= 0) {
            *ret_timers = &wheel->slots[level][slot];
            return slot_start_ms(wheel, level, (unsigned)slot);
        }
    }
    return UINT64_MAX;
}

uint64_t
wheel_next_ms(struct wheel *wheel)
{
    struct list_node *timers;

    return wheel_next(wheel, &timers);
}

/* fire() may stop or move timers that still stand in `timers`: each round takes the head anew. */
static unsigned
run_slot(struct wheel *wheel, struct ring *ring, struct list_node *timers)
{
    unsigned fired = 0;
    struct list_node *node;

    while ((node = list_pop(timers))) {
        struct timer *timer = container_of(node, struct timer, node);

        if (timer->due_ms > wheel->now_ms) {
            wheel_file(wheel, timer);
            continue;
        }
        fired++;
        timer->fire(ring, timer);
    }
    return fired;
}

unsigned
wheel_advance(struct wheel *wheel, struct ring *ring, uint64_t now_ms)
{
    unsigned fired = 0;
    struct list_node *slot, timers;
    uint64_t at_ms;

    while ((at_ms = wheel_next(wheel, &slot)) <= now_ms && at_ms != UINT64_MAX) {
        list_take(&timers, slot);
        wheel->now_ms = at_ms;
        fired += run_slot(wheel, ring, &timers);
    }
    if (now_ms > wheel->now_ms)
        wheel->now_ms = now_ms;
    return fired;
}
