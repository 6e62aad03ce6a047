/* SPDX-License-Identifier: Apache-2.0 */
/* When the things of an open loop are due; see schedule.h. */
#include "schedule.h"

#include "base/check.h"

uint64_t
schedule_due_ns(uint64_t begin_ns, double rate, uint64_t burst, uint64_t number)
{
    ASSERT(rate > 0 && burst > 0);
    return begin_ns + (uint64_t)((double)(number - number % burst) * 1e9 / rate);
}
