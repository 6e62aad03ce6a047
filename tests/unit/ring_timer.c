/* SPDX-License-Identifier: Apache-2.0 */
/* The timer wheel alone; the ring pointer that it passes on is never looked at here. */
#include "ring/timer.h"

#include <criterion/criterion.h>
#include <stdlib.h>

enum { LOG_MAX = 4096 };

static struct wheel wheel;
static struct timer *fired_log[LOG_MAX];
static unsigned fired_count;

static void
log_fire(struct ring *ring, struct timer *timer)
{
    (void)ring;
    cr_assert_not(timer_running(timer));
    cr_assert_lt(fired_count, LOG_MAX);
    fired_log[fired_count++] = timer;
}

static void
set(struct timer *timer, uint64_t due_ms)
{
    timer->fire = log_fire;
    wheel_set(&wheel, timer, due_ms);
}

static unsigned
advance(uint64_t now_ms)
{
    return wheel_advance(&wheel, NULL, now_ms);
}

Test(timer, an_empty_wheel_has_no_next_time)
{
    wheel_init(&wheel, 12345);
    cr_assert_eq(wheel_next_ms(&wheel), UINT64_MAX);
    cr_assert_eq(advance(1u << 30), 0);
    cr_assert_eq(wheel_next_ms(&wheel), UINT64_MAX);
}

Test(timer, runs_at_its_millisecond_and_not_before)
{
    static const uint64_t distances[] = {1,        2,     63,      64,       65,       127,       4095,
                                         4096,     4097,  262143,  262144,   262145,   16777215,  16777216,
                                         16777217, 99999, 7654321, 86400000, 31536000, 1ull << 36};
    static const uint64_t starts[] = {0, 1, 63, 64, 4095, 262143, 16777215, 16777216, 1234567890123};

    for (size_t s = 0; s < sizeof starts / sizeof *starts; s++)
        for (size_t d = 0; d < sizeof distances / sizeof *distances; d++) {
            struct timer timer = {0};
            uint64_t due_ms = starts[s] + distances[d];

            wheel_init(&wheel, starts[s]);
            set(&timer, due_ms);
            cr_assert_leq(wheel_next_ms(&wheel), due_ms);
            cr_assert_eq(advance(due_ms - 1), 0, "start %lu distance %lu", starts[s], distances[d]);
            cr_assert_eq(wheel_next_ms(&wheel), due_ms, "the last look before a timer is exact");
            cr_assert_eq(advance(due_ms), 1);
            cr_assert_not(timer_running(&timer));
            cr_assert_eq(wheel_next_ms(&wheel), UINT64_MAX);
            fired_count = 0;
        }
}

Test(timer, next_times_lead_to_a_far_timer_in_a_bounded_number_of_looks)
{
    struct timer timer = {0};
    uint64_t day_ms = 86400000, now_ms = 777;
    unsigned looks = 0;

    wheel_init(&wheel, now_ms);
    set(&timer, now_ms + 30 * day_ms);
    while (timer_running(&timer)) {
        uint64_t next_ms = wheel_next_ms(&wheel);

        cr_assert_gt(next_ms, now_ms);
        now_ms = next_ms;
        advance(now_ms);
        cr_assert_lt(looks++, 200);
    }
    cr_assert_eq(now_ms, 777 + 30 * day_ms);
}

Test(timer, a_time_that_has_passed_means_the_next_millisecond)
{
    struct timer timer = {0};

    wheel_init(&wheel, 1000);
    set(&timer, 3);
    cr_assert_eq(wheel_next_ms(&wheel), 1001);
    cr_assert_eq(advance(1000), 0);
    cr_assert_eq(advance(1001), 1);
}

Test(timer, a_running_timer_set_later_keeps_its_place_until_the_slot_comes_up)
{
    struct timer timer = {0};
    struct list_node *place;

    wheel_init(&wheel, 0);
    set(&timer, 50);
    place = timer.node.prev;
    for (uint64_t due_ms = 51; due_ms < 500; due_ms++) {
        set(&timer, due_ms);
        cr_assert_eq(timer.node.prev, place);
    }
    cr_assert_eq(wheel_next_ms(&wheel), 50);
    cr_assert_eq(advance(50), 0);
    cr_assert_neq(timer.node.prev, place);
    cr_assert_eq(advance(498), 0);
    cr_assert_eq(advance(499), 1);
}

Test(timer, a_running_timer_set_earlier_moves)
{
    struct timer timer = {0};

    wheel_init(&wheel, 0);
    set(&timer, 100000);
    set(&timer, 10);
    cr_assert_eq(wheel_next_ms(&wheel), 10);
    cr_assert_eq(advance(10), 1);
    cr_assert_eq(advance(200000), 0);
}

Test(timer, a_stopped_timer_neither_runs_nor_wakes)
{
    struct timer a = {0}, b = {0};

    wheel_init(&wheel, 0);
    wheel_stop(&a);
    set(&a, 10);
    set(&b, 5000);
    wheel_stop(&a);
    wheel_stop(&a);
    cr_assert_not(timer_running(&a));
    cr_assert_gt(wheel_next_ms(&wheel), 10);
    cr_assert_eq(advance(6000), 1);
    cr_assert_eq(fired_log[0], &b);
}

Test(timer, one_long_jump_runs_all_in_the_order_of_their_times)
{
    struct timer timers[6] = {0};
    static const uint64_t due_ms[] = {5000, 1, 70, 300000, 64, 20000000};
    static const unsigned order[] = {1, 4, 2, 0, 3, 5};

    wheel_init(&wheel, 0);
    for (unsigned i = 0; i < 6; i++)
        set(&timers[i], due_ms[i]);
    cr_assert_eq(advance(1ull << 40), 6);
    for (unsigned i = 0; i < 6; i++)
        cr_assert_eq(fired_log[i], &timers[order[i]]);
}

static struct timer pair[2];

static void
fire_again_in_10(struct ring *ring, struct timer *timer)
{
    log_fire(ring, timer);
    wheel_set(&wheel, timer, timer->due_ms + 10);
}

Test(timer, fire_may_set_its_own_timer_again)
{
    struct timer timer = {.fire = fire_again_in_10};

    wheel_init(&wheel, 0);
    wheel_set(&wheel, &timer, 10);
    cr_assert_eq(advance(100), 10);
    cr_assert_eq(timer.due_ms, 110);
    wheel_stop(&timer);
}

static void
fire_at_once_again(struct ring *ring, struct timer *timer)
{
    log_fire(ring, timer);
    wheel_set(&wheel, timer, 0);
}

Test(timer, a_timer_that_sets_itself_to_now_runs_once_a_millisecond)
{
    struct timer timer = {.fire = fire_at_once_again};

    wheel_init(&wheel, 100);
    wheel_set(&wheel, &timer, 0);
    cr_assert_eq(advance(101), 1);
    cr_assert_eq(advance(101), 0);
    cr_assert_eq(advance(104), 3);
}

static void
fire_stops_the_other(struct ring *ring, struct timer *timer)
{
    log_fire(ring, timer);
    wheel_stop(timer == &pair[0] ? &pair[1] : &pair[0]);
}

Test(timer, fire_may_stop_a_timer_of_the_same_slot)
{
    wheel_init(&wheel, 0);
    for (unsigned i = 0; i < 2; i++) {
        pair[i].fire = fire_stops_the_other;
        wheel_set(&wheel, &pair[i], 7);
    }
    cr_assert_eq(advance(7), 1);
    cr_assert_eq(advance(1000), 0);
}

static void
fire_delays_the_other(struct ring *ring, struct timer *timer)
{
    log_fire(ring, timer);
    wheel_set(&wheel, &pair[1], 99);
}

Test(timer, fire_may_set_a_timer_of_the_same_slot_later)
{
    wheel_init(&wheel, 0);
    pair[0].fire = fire_delays_the_other;
    wheel_set(&wheel, &pair[0], 7);
    set(&pair[1], 7);
    cr_assert_eq(advance(98), 1);
    cr_assert_eq(advance(99), 1);
    cr_assert_eq(fired_log[1], &pair[1]);
}

/* --- against a plain array --- */

enum { MODEL_TIMERS = 200, MODEL_STEPS = 20000 };

/* Criterion reports each assertion to its runner; here are too many for that. */
#define CHECK(cond)                                                                                          \
    do {                                                                                                     \
        if (!(cond))                                                                                         \
            cr_assert_fail("%s", #cond);                                                                     \
    } while (0)

static struct timer model_timers[MODEL_TIMERS];
static uint64_t model_due_ms[MODEL_TIMERS]; /* 0: stopped */
static uint64_t model_last_ms, model_until_ms;

static void
fire_checked(struct ring *ring, struct timer *timer)
{
    size_t i = (size_t)(timer - model_timers);

    (void)ring;
    CHECK(model_due_ms[i] != 0);
    CHECK(model_due_ms[i] >= model_last_ms);  /* in order */
    CHECK(model_due_ms[i] <= model_until_ms); /* not early */
    CHECK(model_due_ms[i] == wheel.now_ms);   /* in the very millisecond */
    model_last_ms = model_due_ms[i];
    model_due_ms[i] = 0;
}

static uint64_t
random_below(uint64_t n)
{
    return (((uint64_t)(unsigned)rand() << 31) ^ (unsigned)rand()) % n;
}

static void
model_step(uint64_t now_ms)
{
    size_t i = random_below(MODEL_TIMERS);

    if (random_below(8) == 0) {
        wheel_stop(&model_timers[i]);
        model_due_ms[i] = 0;
        return;
    }
    model_due_ms[i] = now_ms + 1 + random_below(1ull << random_below(31));
    model_timers[i].fire = fire_checked;
    wheel_set(&wheel, &model_timers[i], model_due_ms[i]);
}

static uint64_t
model_first_ms(void)
{
    uint64_t first_ms = UINT64_MAX;

    for (size_t i = 0; i < MODEL_TIMERS; i++) {
        CHECK(timer_running(&model_timers[i]) == (model_due_ms[i] != 0));
        if (model_due_ms[i] && model_due_ms[i] < first_ms)
            first_ms = model_due_ms[i];
    }
    return first_ms;
}

Test(timer, behaves_like_a_sorted_list_under_random_use)
{
    uint64_t now_ms = 1700000000123;

    srand(20260101);
    wheel_init(&wheel, now_ms);
    for (unsigned step = 0; step < MODEL_STEPS; step++) {
        uint64_t first_ms;

        for (uint64_t n = random_below(4); n > 0; n--)
            model_step(now_ms);
        first_ms = model_first_ms();
        CHECK(wheel_next_ms(&wheel) <= first_ms); /* never late */
        if (first_ms == UINT64_MAX)
            continue;
        now_ms = random_below(2) ? wheel_next_ms(&wheel) : now_ms + random_below(1ull << random_below(26));
        model_until_ms = now_ms;
        wheel_advance(&wheel, NULL, now_ms);
        CHECK(model_first_ms() > now_ms); /* none is left behind */
    }
}
