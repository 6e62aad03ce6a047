/* SPDX-License-Identifier: Apache-2.0 */
/*
 * --prewarm: what the first client would have to wait for is there before it comes. Each MCP upstream over
 * HTTP or WebSocket is asked for its era when the worker starts, and a few of its connections are kept open,
 * handshake of TLS and all, in the pool. The lists of the merged server are asked for as well,
 * and again when they have aged. Programs have a reserve of their own (--stdio-reserve).
 */
#ifndef GATE_PREWARM_H
#define GATE_PREWARM_H

#include "gate/worker.h"

void prewarm_start(struct worker *w);
void prewarm_stop(struct worker *w);

#endif
