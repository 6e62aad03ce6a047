/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Subscriptions: the filter of subscriptions/listen, the request and its acknowledgement. A modern client's
 * filter is served by a legacy upstream's GET stream and resources/subscribe; a legacy client's stream and
 * subscriptions by a listen of the gateway.
 */
#ifndef MCP_BRIDGE_LISTEN_H
#define MCP_BRIDGE_LISTEN_H

#include "mcp/bridge.h"

enum {
    BRIDGE_LISTEN_TOOLS = 1 << 0,
    BRIDGE_LISTEN_PROMPTS = 1 << 1,
    BRIDGE_LISTEN_RESOURCES = 1 << 2,
};

struct bridge_filter {
    uint32_t lists;   /* BRIDGE_LISTEN_ bits */
    struct text uris; /* raw array; at NULL: none */
};

/* Reads a raw filter. False: it is no object, or a member is of the wrong kind. */
bool bridge_filter_read(struct text raw, struct bridge_filter *ret);

/* Leaves of a filter what an upstream with these MERGE_CAP_ bits (mcp/merge_caps.h) can honour. */
void bridge_filter_limit(struct bridge_filter *filter, uint32_t server_caps);

/* Whether a notification is asked for: by its act (bridge.h) and, for UPDATED, its raw URI. */
bool bridge_filter_wants(const struct bridge_filter *filter, enum bridge_act act, struct text uri);

/* What a legacy client gets without asking, and what it has subscribed to. */
uint32_t bridge_listen_lists(uint32_t server_caps);

/* The filter as a raw object. */
void bridge_put_filter(struct json_writer *w, const struct bridge_filter *filter);

/* The gateway's own subscriptions/listen for a modern upstream. */
void bridge_put_listen(struct json_writer *w, const struct bridge *b, uint64_t number,
                       const struct bridge_filter *filter);

/* The first message on a client's subscription, and its last. `id` is its listen request's, raw. */
void bridge_put_acknowledged(struct json_writer *w, struct text id, const struct bridge_filter *honoured);
void bridge_put_listen_end(struct json_writer *w, struct text id);

/* list_changed for a client when something may have been missed (an upstream's stream broke): one of
 * BRIDGE_ACT_TOOLS_CHANGED to RESOURCES_CHANGED. `id` as for bridge_changed(). */
void bridge_put_changed(struct json_writer *w, enum bridge_act what, struct text id);

#endif
