/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which tools of an upstream want arguments repeated in header fields (mcp/params.h), as far as a list of its
 * tools has passed by in this worker: of one that is not known nothing is asked, and the upstream says itself
 * what it misses (bridging_params.c). Tools without such arguments are not kept.
 */
#ifndef GATE_TOOL_PARAMS_H
#define GATE_TOOL_PARAMS_H

#include "base/text.h"

#include <stdint.h>

struct upstream;
struct tool_schema;

enum { TOOL_SCHEMAS_MAX = 512, TOOL_SCHEMAS_BYTES = 1 << 20 /* of one upstream; more are not known */ };

struct tool_params { /* zero: nothing is known */
    struct tool_schema *at;
    uint32_t count, room, bytes;
    uint64_t learned_ms; /* when a list passed by last; 0: none did */
};

/* A page of tools/list: a raw result that passed the strict scan. What it says of a tool takes the place of
 * what was known. `say`: a tool with annotations that are invalid is named in the log, once. */
void tool_params_learn(struct upstream *up, struct text result, bool say);

/* The inputSchema of the tool with this raw name, whose annotations are valid; at NULL: it has none, or is
 * not known. Valid until the next tool_params_learn(). */
struct text tool_params_find(const struct upstream *up, struct text raw_name);

void tool_params_free(struct upstream *up);

#endif
