/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bridging: what one message becomes between a client of one revision and an upstream of another. Pure: a
 * message that lies whole in one piece comes in, and edits of it, or a new message, come out; who sends it,
 * when, and what is remembered is the caller's.
 *
 *      client                                                        upstream
 *        | -- request, notification, reply ---> bridge_request() ---> |
 *        | <-- result, error ------------------ bridge_result() <---- |
 *        | <-- notification ------------------- bridge_notice() <---- |
 *        | <-- a server's request ------------- mcp/bridge_ask.h <--- |
 *
 * Beside it: mcp/bridge_server.h (era, initialize, discover), mcp/bridge_listen.h (subscriptions),
 * mcp/bridge_state.h (sealed requestState), mcp/bridge_ids.h (minted ids), mcp/bridge_batch.h.
 *
 * Same revisions on both sides are allowed everywhere: then ids, progress tokens and what one side lacks are
 * all that is changed. Tasks of 2025-11-25 are relayed between two sides of that revision and dropped
 * otherwise; those of 2026-07-28 between two of that. "Modern" is 2026-07-28 and later, "legacy" all before.
 */
#ifndef MCP_BRIDGE_H
#define MCP_BRIDGE_H

#include "mcp/client_caps.h"
#include "proto/json.h"
#include "proto/jsonrpc.h"
#include "proto/mcp_names.h"

enum {
    BRIDGE_ERROR_CAPABILITY = -32021,  /* modern: the client lacks a capability */
    BRIDGE_ERROR_ELICITATION = -32042, /* 2025-11-25: a page must be visited first */
    BRIDGE_ROUNDS_MAX = 8,             /* input_required replies to one call */
};

/* Of log messages, as RFC 5424 orders them, but upwards. */
enum bridge_level {
    BRIDGE_LEVEL_NONE, /* none are wanted */
    BRIDGE_DEBUG,
    BRIDGE_INFO,
    BRIDGE_NOTICE,
    BRIDGE_WARNING,
    BRIDGE_ERROR,
    BRIDGE_CRITICAL,
    BRIDGE_ALERT,
    BRIDGE_EMERGENCY,
    BRIDGE_LEVELS,
};

enum bridge_level bridge_level_of(struct text raw);     /* a raw string; NONE when it is no level */
struct text bridge_level_name(enum bridge_level level); /* "debug"; empty for NONE */

struct merge_filter;

/* The two ends of a bridge. */
struct bridge {
    enum mcp_revision client, upstream;
    const struct merge_filter *tools; /* which are offered (mcp/merge_list.h); NULL: all */
    bool upstream_by_http; /* a modern upstream's tools with invalid x-mcp-header are left out of lists */
    uint32_t client_caps;  /* MCP_CLIENT_ bits that the client declared: to its session, or in this request */
    struct text client_info;       /* raw object, for modern upstreams; at NULL: the gateway's own name */
    struct text client_extensions; /* raw object of its capabilities, as it declared them; at NULL: none */
    struct text server_info;       /* raw object, stamped on results for modern clients; at NULL: none */
    enum bridge_level log_level;   /* what a legacy client set */
};

/* One request of a client, while it is answered. */
struct bridge_call {
    enum mcp_method method;
    struct text id;          /* the client's, raw */
    struct text token;       /* its progress token, raw; len 0: none */
    enum bridge_level level; /* a modern request's logLevel */
    uint32_t lacking;        /* MCP_CLIENT_ bits: what a legacy server's questions wanted of a modern client */
    bool is_done;            /* its reply has been sent, or it was cancelled: nothing may follow */
};

/* What is to be done with a message. */
enum bridge_verdict {
    BRIDGE_PASS,    /* send out->text with out->edits made to the other side */
    BRIDGE_REPLY,   /* send it back to where the message came from: it is answered here */
    BRIDGE_NOTHING, /* send nothing (yet) */
    BRIDGE_FULL,    /* out->room or out->edits were too small; nothing else is set */
};

/* What the caller has to do or to note besides. `subject` is raw JSON within the message. */
enum bridge_act {
    BRIDGE_ACT_NONE,
    /* from the client */
    BRIDGE_ACT_INITIALIZE,  /* NOTHING: answer it with bridge_put_initialize() */
    BRIDGE_ACT_INITIALIZED, /* NOTHING: the session is open */
    BRIDGE_ACT_DISCOVER,    /* NOTHING: answer it with bridge_put_discover() */
    BRIDGE_ACT_LISTEN,    /* NOTHING: open the subscription of `subject`, its filter (mcp/bridge_listen.h) */
    BRIDGE_ACT_SUBSCRIBE, /* PASS or REPLY; note the URI `subject` */
    BRIDGE_ACT_UNSUBSCRIBE, /* the same */
    BRIDGE_ACT_SET_LEVEL,   /* PASS or REPLY; note the level `subject` */
    BRIDGE_ACT_CANCEL,      /* NOTHING: cancel the request whose id is `subject`, as its upstream wants it:
                               bridge_put_cancelled(), or its stream is closed */
    BRIDGE_ACT_ANSWER,      /* NOTHING: it answers a request that was put to the client (mcp/bridge_ask.h) */
    BRIDGE_ACT_RETRY, /* NOTHING: `subject` is a requestState that the gateway made (mcp/bridge_state.h) */
    BRIDGE_ACT_ROOTS_CHANGED, /* PASS, or NOTHING where the upstream has no such notification */
    /* from the upstream */
    BRIDGE_ACT_ASK,      /* NOTHING: the result is input_required, for a legacy client: bridge_ask_next() */
    BRIDGE_ACT_VISIT,    /* NOTHING: -32042, for a modern client: bridge_put_visits() of `subject` */
    BRIDGE_ACT_HEADERS,  /* PASS, once the call was repeated with the headers of a fresh tools/list */
    BRIDGE_ACT_VERSION,  /* PASS, once the upstream was probed again: it does not speak the version */
    BRIDGE_ACT_PROGRESS, /* PASS or NOTHING */
    BRIDGE_ACT_LOG,      /* PASS or NOTHING */
    BRIDGE_ACT_TOOLS_CHANGED, /* NOTHING, as the next three: bridge_changed() for each client concerned */
    BRIDGE_ACT_PROMPTS_CHANGED,
    BRIDGE_ACT_RESOURCES_CHANGED,
    BRIDGE_ACT_UPDATED,      /* `subject` is the URI */
    BRIDGE_ACT_ACKNOWLEDGED, /* NOTHING: of the gateway's own listen; `subject` is the honoured filter */
    BRIDGE_ACT_WITHDRAWN,    /* NOTHING: the upstream cancels its request, or ends the listen, `subject` */
};

/* Edits in the order of their places (jsonrpc_edit_write()). */
struct bridge_edits {
    struct jsonrpc_edit *at;
    uint32_t count, room;
    bool full; /* there were more: the message cannot be sent */
};

struct bridge_out {
    /* Set by the caller. What the functions return points into the message, into room and into constants. */
    struct json_writer room;   /* for new text; what it holds already stays where it is */
    struct bridge_edits edits; /* count is set to 0 by each function */
    /* Set by the functions. */
    struct text text; /* to be sent, with the edits made */
    enum bridge_act act;
    struct text subject;
    int32_t code;    /* not 0: the message is this JSON-RPC error */
    uint16_t status; /* HTTP, of what goes to the client as one body: 200, 400 or 404 */
};

/* Enough room for any one message of n bytes; more edits than this are in no message but a list of tools,
 * which has up to BRIDGE_TOOL_EDITS for each. */
#define BRIDGE_ROOM(n) (2u * (n) + 8192u)
enum { BRIDGE_EDITS = 64, BRIDGE_TOOL_EDITS = 8, BRIDGE_TOOL_BYTES = 256 };

/* Whether a call of this method may be answered with input_required. */
static inline bool
bridge_may_ask(enum mcp_method method)
{
    return method == MCP_TOOLS_CALL || method == MCP_PROMPTS_GET || method == MCP_RESOURCES_READ;
}

/* A message of a client, scanned strictly, not a batch. `number` is the minted id for the upstream, also put
 * in the place of the progress token; 0: both stay. `is_resent`: a call whose requestState was opened and
 * allowed to go on to a legacy upstream, which must not see that it is a second one. */
enum bridge_verdict bridge_request(const struct bridge *b, struct text message,
                                   const struct jsonrpc_envelope *env, uint64_t number, bool is_resent,
                                   struct bridge_out *out);

/* The result or the error that answers `call`. */
enum bridge_verdict bridge_result(const struct bridge *b, const struct bridge_call *call, struct text message,
                                  const struct jsonrpc_envelope *env, struct bridge_out *out);

/* An upstream's notification. `call` is the one that it belongs to: for progress the one with the minted
 * progressToken (env->progress_token, bridge_ids.h), for others the one on whose stream it came; NULL: none.
 */
enum bridge_verdict bridge_notice(const struct bridge *b, const struct bridge_call *call, struct text message,
                                  const struct jsonrpc_envelope *env, struct bridge_out *out);

/* A list_changed or updated notification for one client: for a legacy one without subscriptionId, for a
 * modern one with that of its listen request (raw id). */
enum bridge_verdict bridge_changed(enum mcp_revision client, struct text message,
                                   const struct jsonrpc_envelope *env, struct text listen_id,
                                   struct bridge_out *out);

/* What one entry of tools/list becomes for the client: up to `room` <= BRIDGE_TOOL_EDITS edits, which add up
 * to BRIDGE_TOOL_BYTES. Returns their number. */
unsigned bridge_tool_edits(const struct bridge *b, struct text tool, struct jsonrpc_edit *edits,
                           unsigned room);

/* Puts the edits `more` (of the same message, none overlapping) among those of out, as of mcp/merge_map.h. */
void bridge_add_edits(struct bridge_out *out, const struct jsonrpc_edit *more, unsigned count);

/* notifications/cancelled for a request of ours, in w. `reason` is a raw string, or empty. */
void bridge_put_cancelled(struct json_writer *w, uint64_t number, struct text reason);

/* An error in w. `id` is raw; empty: left out for a modern client, null for a legacy one. `data` is raw or
 * empty. */
void bridge_put_error(struct json_writer *w, enum mcp_revision client, struct text id, int code,
                      struct text text, struct text data);

/* The HTTP status of an error for a client. */
uint16_t bridge_error_status(enum mcp_revision client, int code);

/* A raw id or token as a number that the gateway may have minted; 0: it is none. */
uint64_t bridge_number(struct text raw);

#endif
