/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The admin listener's paths, which read the segment and so answer while workers are wedged:
 *
 *      /healthz, /readyz           for load balancers, whatever Host they send
 *      /metrics, /stats.json       the statistics, for Prometheus and as one object
 *      /ui/                        the page (admin_files.h), and for it
 *      /addresses.json             where the gateway listens
 */
#ifndef GATE_ADMIN_H
#define GATE_ADMIN_H

#include "gate/exchange.h"

/* Finishes. */
void admin_request(struct exchange *ex, const struct http1_head *head, struct text path);

#endif
