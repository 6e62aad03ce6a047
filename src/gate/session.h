/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sessions of the gateway's own making, for clients of revisions before 2026-07-28. Mcp-Session-Id can never
 * be issued again, so the token holds only what never changes, sealed (mcp/token.h): any worker opens it.
 * What changes is the session's record (journal/session_table.h), which outlives the worker. What is open,
 * its calls, its GET stream, its bonds to upstreams, is a struct session in one worker, its home: requests
 * that reach another one are forwarded there (home.h).
 *
 * A plan's way with a request, before it makes any state of its own:
 *
 *      if (!session_at_home(ex, head, &s))     answered or forwarded; ex may be gone
 *          return;
 *      ...                                      s is held, or NULL: the request names no session
 *      session_release(s)                       in the plan's release()
 *
 * and with an initialize: session_create(), then session_field() for the reply's head.
 */
#ifndef GATE_SESSION_H
#define GATE_SESSION_H

#include "base/close_reason.h"
#include "base/list.h"
#include "gate/worker.h"
#include "journal/session_table.h"
#include "mcp/token.h"
#include "proto/jsonrpc.h"

struct exchange;

enum { SESSION_FIELD_MAX = MCP_TOKEN_SIZE + 20 };

/* A call of the session that is open; embedded in the state of who answers it. */
struct session_call {
    struct list_node node;
    struct text id; /* as the client wrote it; valid as long as the call is listed */
    /* The client cancelled it, or the session is over. On return it is off the list. */
    void (*cancel)(struct session_call *call);
};

/* What ties the session to an upstream; embedded in the state of who keeps it. */
struct session_bond {
    struct list_node node;
    uint32_t upstream; /* index */
    /* The session is over (`ended`: its upstream's session should be ended too), or this worker lets it go
     * and another will go on from its record. On return it is off the list. */
    void (*drop)(struct session_bond *bond, bool ended);
};

/* A request of the gateway's to the client that waits for the client's response. */
struct session_ask {
    struct list_node node;
    uint64_t id; /* session_mint_id() */
    /* The client's response. On return it is off the list. */
    void (*answered)(struct session_ask *ask, struct text message, const struct jsonrpc_envelope *env);
    /* The session is over, or goes elsewhere: no response will come. On return it is off the list. */
    void (*drop)(struct session_ask *ask);
};

struct session {
    struct list_node node; /* of a bucket of the worker's */
    struct worker *worker;
    struct mcp_token token;
    uint32_t place; /* its home */
    struct session_cell cell;
    uint32_t holds;           /* who needs it to stay; the record is ours while there are any */
    bool over;                /* deleted or expired: nothing new begins; freed with the last hold */
    bool is_of_stream;        /* of HTTP+SSE: it lasts as long as its stream, and no token brings it back */
    bool is_greeted;          /* of that: initialize has come, token.revision and client_capabilities hold */
    struct exchange *stream;  /* its GET; NULL: none is open */
    struct list_node calls;   /* struct session_call */
    struct list_node bonds;   /* struct session_bond */
    struct list_node asked;   /* struct session_ask */
    struct list_node streams; /* struct journaled */
};

/* Finds the session that the request names and sees to it that it is served at its home.
 * True: go on here; *ret is held, or NULL when the request has no Mcp-Session-Id.
 * False: the request has been answered (unknown, deleted, expired, not this principal's: 404) or forwarded.
 */
bool session_at_home(struct exchange *ex, const struct http1_head *head, struct session **ret);

/* The same for a message to the session of an HTTP+SSE stream, named by its token. True: *ret is held, and
 * has its stream. */
bool session_at_stream(struct exchange *ex, const struct http1_head *head, struct text sealed,
                       struct session **ret);

/* Whether `sealed` is such a token of the one who asks: *ret is what its session had agreed on. */
bool session_was_of_stream(struct worker *w, const struct http1_head *head, struct text sealed,
                           struct mcp_token *ret);

/* Makes a session whose home is this worker, held. With MCP_TOKEN_OF_STREAM it is one of HTTP+SSE.
 * `principal` is from session_principal(). NULL with *ret_reason: CLOSE_SESSIONS_FULL when every session of
 * --max-sessions is in use, else the one that was unused for longest has given way. */
struct session *session_create(struct worker *w, enum mcp_revision revision, uint32_t client_capabilities,
                               const uint8_t principal[MCP_TOKEN_PRINCIPAL_BYTES],
                               enum close_reason *ret_reason);

/* Who asks, as --session-binding wants it: a hash of the Authorization, or zero. */
void session_principal(struct worker *w, const struct http1_head *head,
                       uint8_t ret[MCP_TOKEN_PRINCIPAL_BYTES]);

/* TOKEN alone, MCP_TOKEN_SIZE characters, of the session of an HTTP+SSE stream; 0: there are no random
 * numbers. */
uint32_t session_stream_token(struct session *s, char *out, uint32_t size);

/* "Mcp-Session-Id: TOKEN\r\n"; returns its length, 0 when there are no random numbers. */
uint32_t session_field(struct session *s, char out[SESSION_FIELD_MAX]);

/* While anything holds a session its record is ours, and requests for it come here. session_release() of the
 * last hold frees a session that has no bonds. NULL is allowed. */
void session_hold(struct session *s);
void session_release(struct session *s);

/* The record: read into *ret (false: it was lost; *ret is a fresh one), changed, written. A session that is
 * over is not written. */
bool session_record_get(struct session *s, struct session_record *ret);
void session_record_put(struct session *s, const struct session_record *record);

/* The client's open call of this id, or NULL. */
struct session_call *session_find_call(struct session *s, struct text id);
struct session_bond *session_find_bond(struct session *s, uint32_t upstream);
struct session_ask *session_find_ask(struct session *s, uint64_t id);

/* Ids of the gateway's own requests to the client: never the same twice in a session, whichever worker it is
 * at. */
uint64_t session_mint_id(struct session *s);

/* Ends what ties it to upstreams, in the record, too: it begins anew. */
void session_drop_bonds(struct session *s);

/* The client's DELETE: a tombstone, and the end of all that is open. The caller holds the session. */
void session_delete(struct session *s);
/* The end of its stream, which is the end of a session of HTTP+SSE. The caller holds the session. */
void session_end_with_stream(struct session *s);

/* --- the worker --- */

int sessions_init(struct worker *w);
void sessions_done(struct worker *w);
/* Some times a second: expiry, idleness, the count of what lives. */
void sessions_tick(struct worker *w);
/* The worker drains: what has nothing open is let go. */
void sessions_drain(struct worker *w);

#endif
