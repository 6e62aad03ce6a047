/* SPDX-License-Identifier: Apache-2.0 */
/* The admin listener's paths: /healthz, /readyz, /metrics. They read the segment, so they answer while
 * workers are wedged. */
#ifndef GATE_ADMIN_H
#define GATE_ADMIN_H

#include "gate/exchange.h"

/* Finishes. */
void admin_request(struct exchange *ex, const struct http1_head *head, struct text path);

#endif
