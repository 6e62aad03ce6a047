/* SPDX-License-Identifier: Apache-2.0 */
/* When the things of an open loop are due. Pure. */
#ifndef MCPLOAD_SCHEDULE_H
#define MCPLOAD_SCHEDULE_H

#include <stdint.h>

/* The time of thing `number` (from 0) at `rate` a second from begin_ns on: `burst` of them at once, then a
 * pause that keeps the mean rate. burst 1 spreads them evenly. */
uint64_t schedule_due_ns(uint64_t begin_ns, double rate, uint64_t burst, uint64_t number);

#endif
