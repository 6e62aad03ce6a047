/* SPDX-License-Identifier: Apache-2.0 */
/* Which rows of a slot are gauges, of metrics.def. */
#ifndef STATS_GAUGES_H
#define STATS_GAUGES_H

#include "stats/stats.h"

extern const bool stat_is_gauge[STATS];
extern const bool trstat_is_gauge[TRSTATS];
extern const bool upstat_is_gauge[UPSTATS];

#endif
