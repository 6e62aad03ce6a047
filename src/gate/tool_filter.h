/* SPDX-License-Identifier: Apache-2.0 */
/* --allow-tool and --deny-tool: which tools of an upstream are shown and may be called, in every mode. */
#ifndef GATE_TOOL_FILTER_H
#define GATE_TOOL_FILTER_H

#include "mcp/merge_list.h"

struct upstream;

/* 0 or -ENOMEM. */
int tool_filter_init(struct upstream *up);
void tool_filter_done(struct upstream *up);

/* There are rules for this upstream: its lists of tools are not passed on as they are. */
bool tool_filter_is_set(const struct upstream *up);

/* By the upstream's own name for the tool. */
bool tool_filter_allows(const struct upstream *up, struct text name);

#endif
