/* SPDX-License-Identifier: Apache-2.0 */
#include "mcpload/finder.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

/* What is found for a server that sustains exactly `truth`. */
static struct finder
search(double first, double truth)
{
    struct finder finder;

    finder_begin(&finder, first);
    while (finder_next(&finder, finder.rate <= truth))
        cr_assert_leq(finder.runs, FINDER_RUNS_MAX);
    return finder;
}

Test(mcpload_finder, the_rate_is_known_to_a_twentieth_from_wherever_it_begins)
{
    static const double firsts[] = {1, 70, 1000, 1e6}, truths[] = {2.5, 999, 1000, 1001, 123456, 3e7};

    for (unsigned i = 0; i < sizeof firsts / sizeof *firsts; i++)
        for (unsigned j = 0; j < sizeof truths / sizeof *truths; j++) {
            struct finder f = search(firsts[i], truths[j]);

            cr_assert_leq(f.good, truths[j]);
            cr_assert_gt(f.good * 1.05 + 1e-6, truths[j], "%g from %g on: %g", truths[j], firsts[i], f.good);
        }
}

Test(mcpload_finder, a_run_that_fails_by_chance_changes_nothing_but_its_number)
{
    struct finder calm = search(1000, 50000), f;
    unsigned hiccups = 0;
    bool good;

    finder_begin(&f, 1000);
    do {
        good = f.rate <= 50000 && f.is_repeated; /* each good rate fails at its first run */
        hiccups += !good && f.rate <= 50000;
    } while (finder_next(&f, good));
    cr_assert_gt(hiccups, 5);
    cr_assert_eq(f.good, calm.good);
    cr_assert_eq(f.bad, calm.bad);
}

Test(mcpload_finder, where_no_rate_is_good_the_search_ends)
{
    cr_assert_eq(search(1000, 0).good, 0);
}

Test(mcpload_finder, where_every_rate_is_good_the_search_ends)
{
    cr_assert_gt(search(1000, 1e30).good, 1e8);
}

static struct tally *
run_of(uint64_t done, uint64_t late, uint64_t late_ns)
{
    struct tally *tally = calloc(1, sizeof *tally);

    tally->seconds = 1;
    tally->requests = done;
    for (uint64_t i = 0; i < done; i++)
        histogram_add(&tally->measures[MEASURE_LATENCY], i < late ? late_ns : 1000);
    return tally;
}

Test(mcpload_finder, a_run_is_good_when_nothing_fails_all_comes_and_p99_is_in_time)
{
    enum { MS = 1000000 };
    struct tally *good = run_of(1000, 5, 50 * MS), *late = run_of(1000, 20, 50 * MS),
                 *few = run_of(980, 0, 0);

    cr_assert_null(finder_fault(good, 1000, 1, 10 * MS));
    cr_assert_str_eq(finder_fault(late, 1000, 1, 10 * MS), "too late");
    cr_assert_str_eq(finder_fault(few, 1000, 1, 10 * MS), "not all came");
    cr_assert_null(finder_fault(few, 1000, 50, 10 * MS), "a burst may be cut off by the window");
    good->errors[ERROR_TIMEOUT] = 1;
    cr_assert_str_eq(finder_fault(good, 1000, 1, 10 * MS), "something failed");
    free(good);
    free(late);
    free(few);
}

Test(mcpload_finder, without_requests_events_and_their_delay_count)
{
    struct tally *tally = calloc(1, sizeof *tally);

    tally->seconds = 1;
    tally->events = 500;
    histogram_add(&tally->measures[MEASURE_EVENT_DELAY], 2000000);
    cr_assert_eq(finder_figures(tally).done, 500);
    cr_assert_null(finder_fault(tally, 500, 1, 10000000));
    cr_assert_str_eq(finder_fault(tally, 500, 1, 1000000), "too late");
    free(tally);
}
