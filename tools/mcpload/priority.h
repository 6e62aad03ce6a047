/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The classes that requests may ask for: over HTTP with the field Priority (RFC 9218), over WebSocket with
 * params._meta["mcpgate/priority"]. Pure.
 */
#ifndef MCPLOAD_PRIORITY_H
#define MCPLOAD_PRIORITY_H

#include <stdint.h>

/* PRIORITY(ID, "name", urgency): one of the urgencies that mean the class. */
#define PRIORITY_LIST                                                                                        \
    PRIORITY(HIGH, "high", 1)                                                                                \
    PRIORITY(NORMAL, "normal", 3)                                                                            \
    PRIORITY(LOW, "low", 6)

enum priority {
    PRIORITY_NONE, /* nothing is asked for */
#define PRIORITY(id, name, urgency) PRIORITY_##id,
    PRIORITY_LIST
#undef PRIORITY
        PRIORITIES
};

extern const char *const priority_names[PRIORITIES];
extern const uint8_t priority_urgencies[PRIORITIES];

/* How many requests of each class there are in a round. Zeroed: none asks for anything. */
struct priority_mix {
    uint32_t share[PRIORITIES], sum;
    int64_t credit[PRIORITIES]; /* private */
};

/* "low", or shares as in "high=1,normal=8,low=1". 0, or -EINVAL; *ret untouched then. */
int priority_parse(const char *text, struct priority_mix *ret);
/* The class of the next request: each as often as its share says, as evenly as can be. */
enum priority priority_next(struct priority_mix *mix);

#endif
