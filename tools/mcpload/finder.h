/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The search for the highest rate that a server sustains: each run is at a fixed rate, and good or not.
 * Doubles or halves until there is one of each, then halves what is between them. A run that is not good is
 * done once more, since one hiccup of the machine would end the search far below the truth. Pure.
 *
 *     finder_begin(&f, 1000);
 *     do
 *         fault = finder_fault(tally of a run at f.rate, ...);
 *     while (finder_next(&f, !fault));
 *     f.good is the rate, 0 when none was good
 */
#ifndef MCPLOAD_FINDER_H
#define MCPLOAD_FINDER_H

#include "tally.h"

struct finder {
    double rate;      /* of the next run */
    double good, bad; /* the highest good one and the lowest bad one; 0: there was none */
    unsigned runs;
    bool is_repeated; /* the next run is the second one at its rate */
};

enum { FINDER_RUNS_MAX = 80 };

void finder_begin(struct finder *finder, double rate);
/* False: that was the last one. */
bool finder_next(struct finder *finder, bool was_good);

/* What of requests or of events counts: the number that came of those that were due, and their p99. */
struct finder_figures {
    uint64_t done, p99_ns;
};

struct finder_figures finder_figures(const struct tally *tally);
/* Why a run at `rate` was not good; NULL: it was. One burst may be missing, since the window cuts bursts. */
const char *finder_fault(const struct tally *tally, double rate, uint64_t burst, uint64_t p99_max_ns);

#endif
