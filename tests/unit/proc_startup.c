/* SPDX-License-Identifier: Apache-2.0 */
/* What a start-up failure says when locked memory is short. */
#include "proc/startup_checks.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <sys/resource.h>

static const char *
explain(unsigned workers, unsigned rings, uint32_t error)
{
    static char line[400];
    struct rlimit limit;

    cr_assert_eq(getrlimit(RLIMIT_MEMLOCK, &limit), 0);
    limit.rlim_cur = 64 << 10;
    cr_assert_eq(setrlimit(RLIMIT_MEMLOCK, &limit), 0);
    startup_explain_failure(workers, rings, error, "memory", line, sizeof line);
    return line;
}

Test(startup, names_fewer_workers_as_a_way_out_when_there_are_several)
{
    cr_assert_str_eq(
        explain(3, 4, ENOMEM),
        "memory (4 io_urings lock about 2240 KiB together; the limit is 64 KiB: raise `ulimit -l`, or "
        "LimitMEMLOCK= in the unit, or use fewer --workers than 3)");
}

Test(startup, does_not_ask_for_fewer_workers_than_one)
{
    cr_assert_str_eq(
        explain(1, 2, ENOMEM),
        "memory (2 io_urings lock about 1120 KiB together; the limit is 64 KiB: raise `ulimit -l`, or "
        "LimitMEMLOCK= in the unit, or use --admin off)");
    cr_assert_str_eq(
        explain(1, 1, ENOMEM),
        "memory (1 io_urings lock about 560 KiB together; the limit is 64 KiB: raise `ulimit -l`, or "
        "LimitMEMLOCK= in the unit)");
}

Test(startup, passes_on_any_other_failure_as_it_is)
{
    cr_assert_str_eq(explain(3, 4, EPERM), "memory");
}
