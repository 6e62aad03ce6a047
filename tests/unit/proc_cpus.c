/* SPDX-License-Identifier: Apache-2.0 */
/* --workers auto. */
#include "proc/cpus.h"

#include <criterion/criterion.h>
#include <sched.h>

Test(cpus, reads_a_cgroups_quota_rounded_up)
{
    static const struct {
        const char *text;
        unsigned cpus;
    } rows[] = {
        {"max 100000\n", 0},    {"100000 100000\n", 1}, {"200000 100000\n", 2},
        {"150000 100000\n", 2}, {"1000 100000\n", 1},   {"", 0},
        {"rubbish", 0},         {"100000 0\n", 0},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        cr_assert_eq(cpus_parse_quota(rows[i].text), rows[i].cpus, "%s", rows[i].text);
}

Test(cpus, respects_the_affinity)
{
    cpu_set_t all, one;
    size_t cpu = 0;

    cr_assert(sched_getaffinity(0, sizeof all, &all) == 0);
    while (!CPU_ISSET(cpu, &all))
        cpu++;
    cr_assert(cpus_available() >= 1 && cpus_available() <= (unsigned)CPU_COUNT(&all));
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    cr_assert(sched_setaffinity(0, sizeof one, &one) == 0);
    cr_assert_eq(cpus_available(), 1u);
}
