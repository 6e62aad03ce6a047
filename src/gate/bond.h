/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A bond: an initialised relationship with one MCP upstream, on behalf of one client session, or, in a
 * worker, of all clients of 2026-07-28 that declare the same capabilities. It knows how messages reach the
 * upstream and come back, and nothing of what they become on the way (bridging.c).
 *
 *      NEW --> PROBING --> INITIALIZING --> READY --> (lost: its upstream forgot the session) NEW
 *                  '------------'------------'--> FAILED --> NEW with the next call
 *
 * Calls wait for READY. When the upstream has forgotten its session, the bond initialises anew, says the
 * session's log level and subscriptions again, and the call that was turned away is sent once more; the
 * client notices nothing. When the worker dies, the next one finds the upstream's session in the record of
 * the client's (bond_http.c) or with the process (bond_stdio.c), and initialises nothing.
 */
#ifndef GATE_BOND_H
#define GATE_BOND_H

#include "gate/era.h"
#include "gate/leg.h"
#include "gate/session.h"
#include "mcp/bridge.h"
#include "mcp/bridge_server.h"

enum bond_state { BOND_NEW, BOND_PROBING, BOND_INITIALIZING, BOND_READY, BOND_FAILED };

enum { BOND_SESSION_ID_MAX = 256, BONDS_SHARED_MAX = 1024 /* of a worker */, BOND_LANES_MAX = 16 };

struct bond_port;
struct stdio_child;
struct bond_demo;
struct bond_call;

struct bond_call_up {
    /* The bond is ready: bond_send(), or bond_call_done(). Comes again when the call has to be made anew. */
    void (*on_ready)(struct bond_call *call);
    /* A message that came back for it: notifications and requests, then the response. */
    void (*on_message)(struct bond_call *call, struct text message, const struct jsonrpc_envelope *env);
    /* No response will come: `status` is HTTP's or 0. The call is off the bond. */
    void (*on_end)(struct bond_call *call, enum close_reason reason, unsigned status);
};

/* A request to the upstream; embedded in the state of who asks. */
struct bond_call {
    struct list_node node;
    struct bond *bond; /* NULL: it is on none */
    const struct bond_call_up *up;
    uint64_t number;           /* its id at the upstream: bond_mint() */
    uint64_t sent_ns;          /* by bond_send() */
    struct leg *leg;           /* bond_http.c, bond_sse.c */
    struct comeback *comeback; /* bond_http.c: its reply's stream broke off; NULL: it did not */
    struct list_node of_child; /* bond_stdio.c: of its child's */
    struct stdio_child *child; /* likewise: the one that has it */
    bool is_paused;            /* likewise, and bond_sse.c: its client takes no more */
    bool is_sent;              /* bond_sse.c: on its way, or its answer is awaited */
    bool has_come;             /* something came for it since it was sent */
    bool is_resent;            /* after the upstream forgot its session */
    bool is_answered;          /* its response came */
    bool is_standing;          /* has no end of its own */
    bool may_be_asked;         /* the upstream may ask something before it answers */
    uint32_t life;             /* of the bond, when it was sent */
    uint16_t status;           /* of the reply that came last */
    uint8_t priority;          /* enum priority: what its client asked for; else its message tells */
    struct span challenge;     /* WWW-Authenticate of that reply; buf NULL: none */
};

struct bond {
    struct session_bond tie; /* to its session */
    struct list_node node;   /* of the worker's shared ones */
    struct worker *worker;
    struct upstream *up;
    struct session *session; /* NULL: shared */
    const struct bond_port *port;
    struct bridge bridge;        /* `upstream` is right from READY on */
    struct bridge_server server; /* what the upstream says of itself; points into about */
    struct held about;
    struct held fields;            /* field lines of the client that go with what the bond sends by itself */
    struct list_node waiting;      /* struct bond_call: for READY */
    struct list_node calls;        /* those that may send, or have */
    struct bond_call hello;        /* initialize */
    struct bond_call listening[2]; /* bond_listen.c: subscriptions/listen, of a modern upstream */
    struct timer listening_timer;  /* until it is asked again */
    struct timer hello_timer;      /* for the answer to initialize */
    struct era_wait era;
    uint32_t posts;       /* notifications and answers on their way */
    uint32_t listeners;   /* streams of clients that hear what it hears */
    uint64_t used_ms;     /* shared: when it was last wanted */
    uint32_t holds;       /* steps on the stack that go on with it: it is not freed under them */
    uint32_t life;        /* how often it was greeted */
    uint8_t lane;         /* shared: bond_for_call() */
    uint8_t state;        /* enum bond_state */
    bool over;            /* nobody may have it any more; freed when nothing is in progress */
    bool is_begun;        /* the port has something to end */
    bool stays;           /* shared: used by the gateway itself (merging.c), not let go */
    bool wants_stream;    /* of what the upstream says unasked */
    bool listen_is_stale; /* what is listened for has changed */
    uint8_t listening_at; /* which of the two is the newer */
    bool is_resumed;      /* the upstream was greeted in another worker's life, and knows its session still */
    uint32_t replayed; /* of what the session has set, how much the upstream was told since it was greeted */
    /* bond_http.c, bond_sse.c */
    struct endpoint *endpoint; /* where its session is; NULL: anywhere */
    bool is_noted;             /* the session's record says where that is */
    uint32_t session_id_len;
    char session_id[BOND_SESSION_ID_MAX]; /* the upstream's */
    uint64_t last_number;
    struct leg *stream;        /* GET */
    struct timer stream_timer; /* until it is opened again; of HTTP+SSE also until a ping is due */
    uint64_t stream_wait_ms;
    /* bond_sse.c */
    struct held post_path;  /* where the stream says that messages are posted to; len 0: it has not said so */
    struct held unposted;   /* initialize, until it has */
    struct leg *greeting;   /* "initialized", until it is taken */
    struct bond_demo *demo; /* bond_demo.c */
    /* bond_stdio.c */
    struct stdio_child *child;
    struct list_node of_child; /* of its child's */
};

/* What a session and an upstream have, made when there is none. NULL: no memory. */
struct bond *bond_of_session(struct session *s, struct upstream *up, struct text fields);
/* The same for clients of 2026-07-28 with these capabilities and credentials. One that nobody has used for
 * five minutes is let go, as is the one that was unused for longest when there are BONDS_SHARED_MAX. NULL:
 * all of those are in use. */
struct bond *bond_shared(struct worker *w, struct upstream *up, uint32_t client_caps, struct text fields);
/* The same for a call in which the upstream may ask something. A process of an older revision does not say
 * which call its question is about: it has one such call at a time, and there are up to BOND_LANES_MAX of
 * them; where those are not enough, calls share one, and what cannot be told apart is not asked. */
struct bond *bond_for_call(struct worker *w, struct upstream *up, uint32_t client_caps, struct text fields);

/* Puts the call on the bond; on_ready or on_end follow, perhaps at once. */
void bond_ask(struct bond *bond, struct bond_call *call, const struct bond_call_up *up);
/* Sends the request, whose id is call->number; `fields` are lines of the client's that pass. CLOSE_NONE, or
 * why not: the call stays on the bond. */
enum close_reason bond_send(struct bond_call *call, struct text message, struct text fields);
/* How long an answer to what the gateway asks by itself is waited for, from bond_send() on. Legs have limits
 * of their own, but a stream of events may go on for ever. */
uint64_t bond_answer_limit_ms(const struct bond *bond);
/* Whether nothing but the caller limits how long an answer to bond_send() is waited for. */
bool bond_waits_for_ever(const struct bond *bond);
/* A fresh id for a request. */
uint64_t bond_mint(struct bond *bond);
/* Flow control of what comes back. */
void bond_pause(struct bond_call *call);
void bond_resume(struct bond_call *call);
/* The upstream does not know the revision any more: which era it is of is asked anew, and the call is ready
 * once more. */
void bond_doubt(struct bond_call *call);
/* Takes the call off: answered, or nobody wants it any more. `cancel`: the upstream is told, in its own way.
 * Every call that was asked ends with this, also after on_end. */
void bond_call_done(struct bond_call *call, bool cancel);

/* A notification, or the answer to a request of the upstream's; what comes back is of no interest. */
void bond_post(struct bond *bond, struct text message);

/* Wants to hear what the upstream says unasked: bridging_heard() is told. */
void bond_listen(struct bond *bond);

/* What it wants to hear of resources has changed. */
void bond_listen_anew(struct bond *bond);

/* Says who speaks with the processes that a dead worker has left (bond_stdio.c). */
void bond_stdio_init(struct worker *w);
/* One of them answered initialize. */
bool bond_stdio_was_greeted(const struct upstream *up);

/* The session is about to be deleted: ends what earlier workers have left of it at upstreams with which it
 * has no bond here. `fields` are the client's credentials. */
void bonds_end_left(struct session *s, struct text fields);

/* Of all bonds of a worker. */
void bonds_init(struct worker *w);
/* Some times a second: shared ones that nobody uses are let go. */
void bonds_tick(struct worker *w);
void bonds_done(struct worker *w);

#endif
