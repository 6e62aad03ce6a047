/* SPDX-License-Identifier: Apache-2.0 */
/* The worker's side of name resolution: asks the resolve process, again every --resolve-interval, and keeps
 * the last good answer. */
#ifndef GATE_RESOLVER_H
#define GATE_RESOLVER_H

#include "gate/upstream.h"

/* Sets the address of an endpoint that needs no question: an IP address or a unix socket. */
void endpoint_set_fixed_address(struct endpoint *ep);

#endif
