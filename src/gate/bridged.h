/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of the bridge plan share; for bridging*.c only. */
#ifndef GATE_BRIDGED_H
#define GATE_BRIDGED_H

#include "gate/bridging.h"
#include "gate/journaled.h"
#include "gate/late.h"
#include "mcp/bridge_ask.h"
#include "mcp/bridge_listen.h"
#include "mcp/recall.h"

enum { BRIDGED_EDITS = 4096, BRIDGED_MORE = 2, BRIDGED_URI = 4096, BRIDGED_ERROR_BYTES = 1024 };

/* Scratch of one worker: a message is made at a time. */
struct bridge_room {
    struct held text;   /* what bridge_*() write */
    struct held made;   /* a message with its edits */
    struct held fields; /* of a call of a tool */
    struct http1_head head;
    struct jsonrpc_envelope nothing;
    char uri[BRIDGED_URI]; /* merging_bond_of() */
    struct h1_body body;
    struct jsonrpc_edit edits[BRIDGED_EDITS];
    struct recall recall;
};

/* A question to a legacy client, of a modern upstream's input_required. */
struct bridged_question {
    struct session_ask ask; /* linked while its answer is awaited */
    struct bridged *of;
    struct text key; /* in the upstream's reply, which is kept */
};

/* Questions of one round, and their answers so far. */
struct bridged_round {
    struct bridged_question questions[BRIDGE_ASKS_MAX];
    struct held reply;   /* the upstream's, which the questions and the state point into */
    struct held answers; /* "{...": inputResponses so far */
    struct text state;   /* raw requestState; at NULL: none */
    unsigned open, answered, rounds;
    bool is_closed; /* the answers are whole */
};

/* What the plan keeps per request: ex->state. */
struct bridged {
    struct exchange *ex;
    struct worker *worker;
    struct session *session; /* held; NULL: none */
    struct session_call listed;
    struct bond_call ask; /* to the upstream */
    struct leg *relay;    /* the request as it is, where nothing is translated */
    struct era_wait era;
    struct bridge bridge;
    struct bridge_call call;        /* points into body */
    struct held head, body, fields; /* the head: only while it is not known what becomes of the request */
    struct jsonrpc_envelope *env;   /* of the body, once it is whole; what has no body shares an empty one */
    struct span relayed_session;    /* Mcp-Session-Id of a relayed reply */
    struct bridged_round *round;    /* NULL: the client was not asked anything */
    struct relist *relist;          /* bridging_params.c: the upstream is asked for its tools; NULL: not */
    struct list_node listener;      /* of the worker's: a subscription of a modern client */
    struct bridge_filter filter;    /* that it honours; points into body */
    struct bond *listens_to;
    struct journaled journaled; /* its stream, as far as the client may come back for it */
    struct text credentials;    /* the Authorization line, within fields */
    uint32_t plain_fields;      /* length of fields without those about the message */
    uint8_t principal[MCP_TOKEN_PRINCIPAL_BYTES];
    struct upstream *upstream;              /* of the call, also while there is no exchange */
    struct parked *parked;                  /* bridging_parked.c: what a server asked of a modern client */
    struct about *about;                    /* merging.c: waits for what upstreams say of themselves */
    struct list_node list_waiter;           /* for a merged list */
    struct jsonrpc_edit more[BRIDGED_MORE]; /* of the request: names and URIs */
    uint32_t more_count;
    bool was_relisted, was_doubted; /* bridging_params.c: what is tried once */
    bool is_resent;                 /* the client has visited the pages that it was sent to */
    bool is_leaving;                /* parked: it outlives its exchange */
    bool is_merged;                 /* a client of the merged server */
    bool is_standing;               /* a stream that has no end of its own: GET, or a subscription */
    bool is_posted;   /* came to the session of an HTTP+SSE stream: that is where its replies go */
    bool is_accepted; /* of that: its POST has been answered with 202, and there is no client any more */
    bool is_hello;    /* of that: initialize, whose POST waits until it is known that there is an answer */
    bool in_batch;    /* one message of a batch */
    struct bridged_batch *batch; /* NULL: none */
    struct bridged *whole;       /* of a part: its batch, or its WebSocket; NULL: it is none */
    struct list_node part;       /* of its batch's, or WebSocket's */
    struct bridged_ws *ws;       /* bridging_ws.c; NULL: it is none */
    struct late late;            /* bridging_behind.c */
};

/* Its reply is none of HTTP: it belongs to the stream of HTTP+SSE or to a WebSocket, or into a batch's. */
static inline bool
bridged_is_detached(const struct bridged *b)
{
    return b->is_accepted || b->whole;
}

static inline bool
bridged_is_of_ws(const struct bridged *b)
{
    return b->whole && b->whole->ws;
}

/* Where its client's open calls are listed, so that a notification can cancel them; NULL: nowhere. */
static inline struct session *
bridged_calls(const struct bridged *b)
{
    return b->session ? b->session : bridged_is_of_ws(b) ? b->whole->session : NULL;
}

/* Lists it there. */
void bridged_list(struct bridged *b);

struct text bridged_message(const struct bridged *b);
/* The value of one of the request's Mcp-* fields, by its name in small letters; at NULL: it was not sent. */
struct text bridged_field(const struct bridged *b, struct text name);

/* A fresh output with room for anything that becomes of a message of `n` bytes. False: no memory. */
bool bridged_out(struct worker *w, uint32_t n, struct bridge_out *ret);
/* The message that out says, whole; valid until the next. at NULL: no memory. */
struct text bridged_made(struct worker *w, const struct bridge_out *out);

/* The state of an exchange that becomes one of this plan, and with it the session, which is held. NULL: it
 * failed. */
struct bridged *bridged_begin(struct exchange *ex, const struct http1_head *head, struct session *session);

/* Whose client hears of this: the exchange's own, or the one of the HTTP+SSE stream; NULL: it has gone. */
struct exchange *bridged_hearer(const struct bridged *b);
/* Something is about to be said of it to that client: the first on a WebSocket is timed. */
void bridged_note_first(struct bridged *b, const struct exchange *hearer);
/* That client takes no more for now. */
bool bridged_is_congested(const struct bridged *b);
/* And takes messages again: so does what they come from. */
void bridged_resume(struct bridged *b);

/* What is about b, to the HTTP+SSE stream or the WebSocket that it is heard on. */
void bridged_say(struct bridged *b, struct exchange *stream, const struct text *pieces, unsigned count);
/* Towards the client. The last three finish. */
bool bridged_event(struct bridged *b, struct text json, struct text extra);
/* A notice (bridging_behind.c). True: its source is to be stopped, since the client does not keep up. */
bool bridged_notice(struct bridged *b, struct text method, struct text message);
/* Says what the client has not heard. */
void bridged_catch_up(struct bridged *b);
void bridged_reply(struct bridged *b, unsigned status, struct text json, struct text extra);
void bridged_error(struct bridged *b, int code, unsigned status, const char *text);
/* The error of a close reason, in the form that is still possible. */
void bridged_refuse(struct bridged *b, enum close_reason reason);
/* 202, nothing more. Finishes. */
void bridged_accept(struct bridged *b);
/* The reply of one that is detached, in pieces. Finishes. */
void bridged_detached_reply(struct bridged *b, const struct text *pieces, unsigned count);

/* One that ends for this reason is owed an error, and which; valid until the next message is made. at NULL:
 * no memory. */
bool bridged_owes_reply(const struct bridged *b, enum close_reason reason);
struct text bridged_failure(struct bridged *b, enum close_reason reason);

extern const struct plan bridged_plan;

/* The session ended since the head came: nothing new begins in it. Answers then. */
bool bridged_session_is_over(struct bridged *b);

/* The message that is held, whole. May finish. */
void bridged_take_message(struct bridged *b);

/* Batches (bridging_batch.c). Takes each message by itself; the reply has theirs. May finish. */
void bridged_take_batch(struct bridged *b);
/* A message of it, in the same session, with the same fields. NULL: no memory. */
struct bridged *bridged_part(struct bridged *whole, struct text message);
void bridged_batch_reply(struct bridged *part, const struct text *pieces, unsigned count);
void bridged_batch_ends(struct bridged *part, enum close_reason reason);
void bridged_batch_writable(struct bridged *whole);
void bridged_batch_free(struct bridged *whole);
/* A legacy client's stream of what comes unasked. A newer one takes the place of an older, whose client may
 * have gone without a word. False: no memory; the exchange has ended. */
bool bridged_stand(struct bridged *b);

/* HTTP+SSE of 2024-11-05 towards clients (bridging_sse.c). The stream's GET is whole: opens it. May finish.
 */
void bridged_sse_open(struct bridged *b);
/* The stream has ended, and the session with it. */
void bridged_sse_closed(struct bridged *b);
/* The stream's client takes bytes again. */
void bridged_sse_writable(struct bridged *b);
/* A drain: the stream ends when nothing is open in its session; `at_once`: what is open fails. May finish. */
void bridged_sse_stop(struct bridged *b, bool at_once);
/* A message that may be served: its POST is answered with 202, and goes on without its client. False: it was
 * turned away, and is finished. */
bool bridged_sse_accept(struct bridged *b);
/* An initialize has its answer: now its POST is. False: as above. */
bool bridged_sse_accept_hello(struct bridged *b);
/* It has none. */
void bridged_sse_hello_failed(struct bridged *b);
/* It has none yet: its POST does not wait for ever. False: it is finished. */
bool bridged_sse_hello_tick(struct bridged *b);
/* The response, to the stream. Finishes. */
void bridged_sse_reply(struct bridged *b, const struct text *pieces, unsigned count);
/* The accepted exchange ends for this reason: a request that was not answered is, if it can be. */
void bridged_sse_ends(struct bridged *b, enum close_reason reason);

/* MCP over WebSocket (bridging_ws.c). The GET is whole: upgrades. */
void bridged_ws_open(struct bridged *b);
void bridged_ws_input(struct bridged *b, const struct h1_body *body); /* may finish */
/* One message to its client, in pieces, behind the others of that priority. */
void bridged_ws_say(struct bridged *ws, enum priority priority, const struct text *pieces, unsigned count);
void bridged_ws_writable(struct bridged *b);
void bridged_ws_peer_end(struct bridged *b); /* finishes */
void bridged_ws_tick(struct bridged *b);     /* may finish */
/* A drain: says goodbye. Finishes. */
void bridged_ws_stop(struct bridged *b);
/* Makes it a part. */
void bridged_ws_adopt(struct bridged *ws, struct bridged *part);
/* A message that may be served: learns whose it is. False: it was turned away, and is finished. */
bool bridged_ws_accept(struct bridged *part);
void bridged_ws_free(struct bridged *b);

/* What initialize says of the client, for a session that is its stream's (bridging_sse.c). */
void bridged_learn_client(struct bridged *b);

/* Puts the request to ex->upstream, over the session's bond with it or a shared one. May finish. */
void bridged_ask_upstream(struct bridged *b);

/* Towards the upstream (bridging_call.c). */
extern const struct bond_call_up bridged_call_up;
void bridged_round_free(struct bridged *b);
/* Sends the request, once more where it was sent before, under a number of its own. May finish. */
void bridged_send(struct bridged *b);
/* Asks for a list, whose page behind `cursor` (raw, or empty) it is, for the bond's revision. False: it was
 * not sent. */
bool bridged_ask_list(struct worker *w, struct bond_call *call, enum mcp_method method, struct text cursor,
                      struct text fields);

/* Mcp-Param-* (bridging_params.c): the fields that go with the message that is about to be sent. False: it is
 * not sent now; the request is answered, or waits for a list of the upstream's tools. */
bool bridged_params(struct bridged *b, struct text made, struct text *ret_fields);
/* Whether the upstream refused what the gateway can mend: then the call is made once more. */
bool bridged_try_again(struct bridged *b, struct text message, const struct jsonrpc_envelope *env);
void bridged_relist_free(struct bridged *b);

/* The response to the call, translated. Finishes. */
void bridged_take_result(struct bridged *b, struct text message, const struct jsonrpc_envelope *env);
/* Subscriptions of modern clients (bridging_listen.c): b->filter is what they hear of from now on. */
void bridged_listen(struct bridged *b);
void bridged_unlisten(struct bridged *b);
/* Ends one that has no exchange (any more): its call, and all that it holds. */
void bridged_free(struct bridged *b);
/* Its memory alone (bridging_start.c). */
void bridged_put(struct bridged *b);

/* As it is (bridging_relay.c): by the splice plan, which takes the exchange over; or to the worker of another
 * slot. May finish. */
void bridged_splice(struct bridged *b);
void bridged_forward(struct bridged *b, uint32_t slot);

/* Questions of a legacy server to a modern client (bridging_parked.c). False: it cannot be parked; nothing
 * was done. */
bool bridged_park(struct bridged *b, struct text ask);
/* -32042: pages to visit (raw data.elicitations). Finishes. */
void bridged_visit(struct bridged *b, struct text elicitations);
/* The retry, by its raw requestState. May finish. */
void bridged_retry(struct bridged *b, struct text raw_state);
void bridged_parked_result(struct bridged *b, struct text message);
void bridged_parked_failed(struct bridged *b, enum close_reason reason);
void bridged_parked_free(struct bridged *b);
void bridged_parked_end_all(struct worker *w);

#endif
