/* SPDX-License-Identifier: Apache-2.0 */
#include "base/busy.h"

#include <criterion/criterion.h>
#include <time.h>
#include <unistd.h>

static uint64_t
now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void
work_for_ms(unsigned ms)
{
    uint64_t end = now_ns() + ms * 1000000ull;

    while (now_ns() < end)
        ;
}

/* Of a stretch of work and one of sleep only the first counts, whoever else wants the core. */
static void
measure(const struct busy *busy)
{
    uint64_t before = busy_ns(busy), worked, slept;

    work_for_ms(50);
    worked = busy_ns(busy) - before;
    usleep(200000);
    slept = busy_ns(busy) - before - worked;
    cr_assert_gt(worked, 0);
    cr_assert_lt(slept, 150000000);
}

Test(busy, is_who_works_and_not_who_sleeps)
{
    struct busy busy;

    busy_open(&busy);
    measure(&busy);
    cr_assert_geq(busy_ns(&busy), 40000000, "what it waited for a core counts, too");
    busy_close(&busy);
}

Test(busy, is_known_without_the_file)
{
    struct busy busy = {.fd = -1};

    measure(&busy);
}
