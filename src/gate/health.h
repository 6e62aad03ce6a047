/* SPDX-License-Identifier: Apache-2.0 */
/* The active health check: every --health-interval each endpoint is connected to and, with --health-path,
 * asked with GET; any 2xx is healthy.
 * A check for which this machine lacks memory or descriptors says nothing. */
#ifndef GATE_HEALTH_H
#define GATE_HEALTH_H

#include "gate/upstream.h"

void health_start(struct worker *w);

#endif
