/* SPDX-License-Identifier: Apache-2.0 */
/* Merged lists, asked for and waited for; the other half of merging.c. */
#ifndef GATE_MERGING_LISTS_H
#define GATE_MERGING_LISTS_H

#include "gate/merging.h"

void merging_lists_init(struct merging *m);
void merging_lists_done(struct merging *m);

/* Answers a list request, now or when the list is made. May finish. */
void merging_list(struct bridged *b);

/* Asks for what is not known, or not any more, of all lists of the merged server. */
void merging_load(struct worker *w);

#endif
