/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Upstreams of one worker: endpoints, their addresses, the pool of connections, health.
 *
 *      upstream "fs"
 *        endpoint http://a:80/mcp     idle: h1 h1 h1    in use: 12
 *        endpoint http://b:80/mcp     idle: h1          in use: 11
 *        waiting: exchanges that found --upstream-max connections in use, or no address yet; first come first
 * served
 *
 * An exchange asks with upstream_take() and holds from then on a client-side h1 to which it may push at once:
 * an idle connection, one that is being opened, or, while it waits, a placeholder without descriptor whose
 * queue moves to a real one. upstream_give() ends the hold.
 *
 * A request is tried once more, at another endpoint or on a fresh connection, only when not a byte of it was
 * sent.
 */
#ifndef GATE_UPSTREAM_H
#define GATE_UPSTREAM_H

#include "cfg/config.h"
#include "gate/era.h"
#include "gate/tool_filter.h"
#include "gate/tool_params.h"
#include "ipc/resolve.h"
#include "net/tls.h"
#include "wire/h1.h"

struct worker;
struct exchange;
struct stdio_pool;

struct address {
    struct sockaddr_storage ss;
    socklen_t len;
};

struct endpoint {
    struct upstream *upstream;
    const struct cfg_endpoint *cfg;
    struct text authority, path; /* in the configuration's mapping */
    struct address addresses[RESOLVE_ADDRESSES_MAX];
    uint32_t address_count, next_address;
    struct list_node idle; /* h1 by node, the most recently used first */
    struct list_node open; /* h1 by node: connecting or in use */
    uint32_t in_use, idle_count;
    uint32_t failures; /* in a row */
    uint64_t ejected_until_ms;
    uint32_t keep_alive_ms; /* what the server's Keep-Alive field allows, less a margin; 0: said nothing */
    bool check_failed;      /* the active health check's last word */
    struct h1 *check;       /* the health check in progress */
    struct timer resolve_timer, check_timer;
    int resolve_error;   /* of the last answer, while there is no address */
    struct tls_peer tls; /* context NULL: plain */
    uint64_t tls_logged_ms;
    uint32_t life; /* home.c: the incarnation of the sibling that its connections lead to */
};

struct upstream {
    struct worker *worker;
    const struct cfg_upstream *cfg;
    struct text name;
    unsigned index; /* row in the statistics */
    struct endpoint *endpoints;
    unsigned endpoint_count, next_endpoint;
    uint32_t connections; /* open and opening, idle ones too */
    uint32_t idle_count;  /* of all endpoints */
    uint32_t warming;     /* connections that are being opened for the pool (prewarm.c) */
    struct era_wait prewarm;
    uint32_t standing;        /* connections that streams and WebSockets hold for good (bond_stream.c) */
    struct list_node waiting; /* struct exchange, by waiting */
    uint32_t waiting_count;
    struct merge_filter tools; /* which of its tools are offered (tool_filter.h) */
    const char *tls_why;       /* the last fault of TLS in words; NULL: there was none */
    bool ejected;              /* an endpoint was left out, and its time may not be over */
    struct era era;
    struct tool_params params;
    struct stdio_pool *stdio; /* a server on stdin and stdout (stdio_pool.h); NULL: it has endpoints */
    uint32_t passed;          /* receives from it in this turn (traffic.c) */
    struct upstream *next_passed;
    bool is_home; /* the sibling workers (home.c): an endpoint per slot, chosen by the session */
};

struct upstreams {
    struct upstream *items; /* in the configuration's order */
    unsigned count;
    struct op resolve_op;           /* the channel to the resolve process */
    int resolve_fd, old_resolve_fd; /* -1: none */
};

int upstreams_init(struct worker *w); /* 0 or a negated errno */
void upstreams_done(struct worker *w);
/* A fresh channel to the resolve process; all open questions are asked again. */
void upstreams_set_resolver(struct worker *w, int fd);
/* Closes every idle connection (drain). */
void upstreams_close_idle(struct worker *w);
/* No connection is left, not even one that ends in order (a WebSocket waits for its peer's end). */
bool upstreams_are_closed(const struct worker *w);
/* The ends that are waited for are waited for no longer. */
void upstreams_abort(struct worker *w);
/* Closes the idle ones of one endpoint: nobody is there any more. */
void upstream_close_idle_of(struct endpoint *ep);

/* Messages are posted to its URL, so that a request can be passed on as it is. */
static inline bool
upstream_takes_posts(const struct upstream *up)
{
    return !up->stdio && !up->cfg->is_ws && !up->cfg->is_demo && !up->era.is_sse;
}

/* Chooses the endpoint for a request: the least loaded healthy one. NULL: none has an address, and the last
 * answer was that there is none. */
struct endpoint *upstream_choose(struct upstream *up);

/* Gives ex->server. `method` is the request's: it decides nothing but the reply's framing. CLOSE_NONE, or why
 * there is no connection to be had. */
enum close_reason upstream_take(struct exchange *ex, struct endpoint *ep);

/* The exchange is through with ex->server (which becomes NULL): `reusable` puts it back to the pool, else it
 * is closed. `failed`: counts against the endpoint's health. */
void upstream_give(struct exchange *ex, bool reusable, bool failed);

/* Opens a connection for the pool. False: it cannot be now. */
bool upstream_warm(struct endpoint *ep);
/* It stands, or not (a negated errno). */
void upstream_warmed(struct h1 *h1, int error);

/* How many endpoints are neither ejected nor failed in their check, for the statistics. */
void upstream_count_healthy(struct upstream *up);

/* The one other try for an exchange whose connection failed before a byte of its request was sent; false when
 * there was one already or there is nowhere to go. Either way there is an ex->server afterwards. `failed`:
 * counts against the health of the endpoint that was tried so far, whatever comes of it; one whose other try
 * did not begin is not blamed. */
bool upstream_retry(struct exchange *ex, bool failed);

/* Whether a connection failed for what this machine lacks, which says nothing about the endpoint: memory,
 * descriptors, local ports. */
bool upstream_error_is_ours(int error);

/* The exchange no longer waits for a connection (its client left, it timed out). */
void upstream_leave_queue(struct exchange *ex);

/* A connection of this side is gone for good: h1's on_closed. */
void upstream_closed(struct h1 *h1);

/* The endpoint got its addresses, or the answer that there is none. */
void upstream_addresses_changed(struct endpoint *ep);

/* A reply came: the endpoint is well; notes its Keep-Alive field. */
void upstream_note_reply(struct endpoint *ep, const struct http1_head *head);

#endif
