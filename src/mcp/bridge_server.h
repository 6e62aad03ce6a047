/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Getting acquainted, on both sides: which era an upstream is of, by what it answers to a probe; what it says
 * of itself in either era's form; and what the client is told of it.
 */
#ifndef MCP_BRIDGE_SERVER_H
#define MCP_BRIDGE_SERVER_H

#include "mcp/bridge.h"

/* --- the era of an upstream --- */

enum bridge_era {
    BRIDGE_ERA_UNKNOWN, /* no evidence: 401, 403, 5xx, a timeout on HTTP. Try later */
    BRIDGE_ERA_MODERN,  /* speaks ret->revision, or, if that is MCP_NO_REVISION, none that we do */
    BRIDGE_ERA_LEGACY,  /* send initialize */
};

enum {
    BRIDGE_PROBE_TIMEOUT = 0, /* in the place of an HTTP status: nothing came in time */
    BRIDGE_PROBE_STDIO = 1,   /* a line came */
    BRIDGE_PROBE_EXIT = 2,    /* the child ended, or closed its output */
    BRIDGE_PROBE_HTTP_TIMEOUT = 3,
};

struct bridge_probe {
    enum bridge_era era;
    enum mcp_revision revision; /* MODERN: the newest that both speak; LEGACY: the one to offer */
    struct text result;         /* MODERN by its result: the raw discover result */
};

/* What the outcome of a server/discover that was sent as 2026-07-28 says. `status` is HTTP's, or one of the
 * above; `body` is one JSON message (of an SSE reply: the response), or whatever else came. The body decides.
 */
void bridge_era_of(unsigned status, struct text body, struct bridge_probe *ret);

/* Whether initialize was answered by an HTTP status after which a GET looks for the endpoint event of
 * 2024-11-05: 400, 404 or 405 without a JSON-RPC result. */
bool bridge_may_be_sse(unsigned status);

/* --- what an upstream says of itself --- */

struct bridge_server {
    enum mcp_revision revision;
    uint32_t caps;            /* MERGE_CAP_ bits (mcp/merge_caps.h) */
    struct text tasks;        /* raw object, the capability of 2025-11-25; at NULL: none */
    struct text extensions;   /* raw object, of a modern one; at NULL: none */
    struct text info;         /* raw object; at NULL: none was given */
    struct text instructions; /* raw string; at NULL: none */
};

/* Reads the raw result of initialize or of server/discover; *ret points into it. For initialize the revision
 * is what the upstream chose, for discover the newest one that both speak. False: it is no such result, or
 * there is no common revision (ret->revision is then MCP_NO_REVISION). */
bool bridge_read_initialize(struct text result, struct bridge_server *ret);
bool bridge_read_discover(struct text result, struct bridge_server *ret);

/* --- what is sent --- */

/* The revision for a client's initialize (raw params.protocolVersion): its own when it is a legacy one that
 * we know, else the newest legacy one. */
enum mcp_revision bridge_negotiate(struct text raw);

/* The whole reply to a client's initialize (`id` raw), limited to what is relayed to b->client. `info` is
 * used where the server gave none; `instructions` and caps are the server's. */
void bridge_put_initialize(struct json_writer *w, const struct bridge *b, struct text id,
                           const struct bridge_server *server, struct text info);

/* The whole reply to server/discover. */
void bridge_put_discover(struct json_writer *w, const struct bridge *b, struct text id,
                         const struct bridge_server *server, struct text info, uint64_t ttl_ms,
                         bool is_private);

/* The requests of the gateway to an upstream: initialize in b->upstream, what the client can do limited to
 * what that revision has (a modern client's capabilities are offered too: they are asked by input_required);
 * and server/discover. */
void bridge_put_initialize_request(struct json_writer *w, const struct bridge *b, uint64_t number);
void bridge_put_discover_request(struct json_writer *w, const struct bridge *b, uint64_t number);
#define BRIDGE_INITIALIZED TEXT("{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}")

/* logging/setLevel and resources/subscribe or unsubscribe, as the gateway sends them (`uri` is raw). */
void bridge_put_set_level(struct json_writer *w, uint64_t number, enum bridge_level level);
void bridge_put_subscribe(struct json_writer *w, uint64_t number, struct text uri, bool is_on);

/* A ClientCapabilities object of these bits in the form of a revision: what it does not know is left out. */
void bridge_put_client_caps(struct json_writer *w, uint32_t caps, enum mcp_revision revision);

/* The members of params._meta that a modern request has, with commas between them: what bridge_request()
 * adds. */
void bridge_put_modern_meta(struct json_writer *w, const struct bridge *b);

#endif
