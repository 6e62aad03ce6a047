/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the merged server says of itself: the capabilities of its upstreams together, as far as the gateway
 * relays them, their instructions one after the other, and the gateway's own name.
 */
#ifndef MCP_MERGE_CAPS_H
#define MCP_MERGE_CAPS_H

#include "mcp/merge_names.h"
#include "proto/mcp_names.h"

enum {
    MERGE_CAP_TOOLS = 1 << 0,
    MERGE_CAP_TOOLS_CHANGED = 1 << 1, /* tools.listChanged */
    MERGE_CAP_PROMPTS = 1 << 2,
    MERGE_CAP_PROMPTS_CHANGED = 1 << 3,
    MERGE_CAP_RESOURCES = 1 << 4,
    MERGE_CAP_RESOURCES_CHANGED = 1 << 5,
    MERGE_CAP_SUBSCRIBE = 1 << 6, /* resources.subscribe */
    MERGE_CAP_COMPLETIONS = 1 << 7,
    MERGE_CAP_LOGGING = 1 << 8,
    MERGE_CAP_UI = 1 << 9, /* extensions["io.modelcontextprotocol/ui"] */
};

enum { MERGE_INSTRUCTIONS_MAX = 32 << 10 /* bytes of all upstreams' instructions together */ };

/* The bits of a ServerCapabilities object (raw JSON); 0 for anything else. What the gateway does not relay in
 * merged mode (tasks, experimental, other extensions) has none. */
uint32_t merge_caps(struct text capabilities);

/* The capability without which an upstream is not asked for this method; 0: always. */
uint32_t merge_cap_for(enum mcp_method method);

/* One upstream's part. */
struct merge_about {
    unsigned upstream;
    uint32_t caps;
    struct text instructions; /* raw string; at NULL: none */
    struct text ui;           /* raw value of its ui extension; at NULL: {} */
    struct text extensions;   /* raw object: all of them, of the only upstream, which serves them as it is */
};

/* What is common to both forms. */
struct merge_server {
    const struct merge_names *names;
    const struct merge_about *parts; /* of the upstreams that answered, in the order of the configuration */
    unsigned count;
    struct text info; /* serverInfo: the gateway's own, a raw object */
};

/* The result of initialize for `revision`: a raw object. */
void merge_write_initialize(struct json_writer *w, const struct merge_server *server,
                            enum mcp_revision revision);
/* The result of server/discover. */
void merge_write_discover(struct json_writer *w, const struct merge_server *server, uint64_t ttl_ms,
                          bool is_private);

/* All bits of the parts. */
uint32_t merge_caps_of(const struct merge_server *server);

#endif
