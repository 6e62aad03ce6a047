/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP front of the built-in demo server (mcp/demo.h): a plan of its own. */
#ifndef GATE_DEMO_H
#define GATE_DEMO_H

#include "gate/exchange.h"

/* Starts the plan for a request to the demo upstream. May finish. */
void demo_start(struct exchange *ex, const struct http1_head *head);

#endif
