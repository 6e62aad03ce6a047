/* SPDX-License-Identifier: Apache-2.0 */
/* The search for the highest rate; see finder.h. */
#include "finder.h"

static const double close_enough = 1.05, least_rate = 1, most_rate = 1e9, least_share = 0.99;

void
finder_begin(struct finder *finder, double rate)
{
    *finder = (struct finder){.rate = rate};
}

bool
finder_next(struct finder *finder, bool was_good)
{
    bool has_both;

    finder->runs++;
    finder->is_repeated = !was_good && !finder->is_repeated;
    if (finder->is_repeated && finder->runs < FINDER_RUNS_MAX)
        return true;
    if (was_good)
        finder->good = finder->rate;
    else
        finder->bad = finder->rate;
    has_both = finder->good > 0 && finder->bad > 0;
    if (has_both)
        finder->rate = (finder->good + finder->bad) / 2;
    else
        finder->rate *= was_good ? 2 : 0.5;
    if (finder->runs == FINDER_RUNS_MAX || finder->rate < least_rate || finder->rate > most_rate)
        return false;
    return !has_both || finder->bad / finder->good > close_enough;
}

struct finder_figures
finder_figures(const struct tally *tally)
{
    bool requests = tally->measures[MEASURE_LATENCY].values[HISTOGRAM_COUNT] > 0;
    const struct histogram *h = &tally->measures[requests ? MEASURE_LATENCY : MEASURE_EVENT_DELAY];

    return (struct finder_figures){requests ? tally->requests : tally->events, histogram_percentile(h, 0.99)};
}

const char *
finder_fault(const struct tally *tally, double rate, uint64_t burst, uint64_t p99_max_ns)
{
    struct finder_figures figures = finder_figures(tally);

    if (tally_errors(tally))
        return "something failed";
    if ((double)(figures.done + (burst > 1 ? burst : 0)) < least_share * rate * tally->seconds)
        return "not all came";
    if (figures.p99_ns > p99_max_ns)
        return "too late";
    return NULL;
}
