/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An exchange: one request and its answer. It belongs to the worker and to neither connection: either side
 * may be NULL, when the client left or when the upstream is not there (yet, or any more).
 *
 *      client h1  <-- head, body, end -->  exchange + plan  <-- head, body, end -->  server h1
 *
 * A plan says what is done with the request:
 *      splice   one upstream, bytes pass as they are       (splice.c, splice_reply.c)
 *      bridge   messages are translated, or made one of many (bridging*.c, merging*.c)
 *      local    the gateway answers itself                 (local.c, demo.c, admin.c)
 *      owner    another worker holds the session's state   (home.c; a splice to that worker's unix listener)
 *
 * exchange_finish() is the one end: it takes the exchange off both connections, counts, logs and frees.
 * Functions that may lead there say so; their caller does not touch the exchange afterwards.
 */
#ifndef GATE_EXCHANGE_H
#define GATE_EXCHANGE_H

#include "base/close_reason.h"
#include "gate/worker.h"
#include "proto/content_coding.h"
#include "proto/mcp_names.h"
#include "proto/priority.h"
#include "proto/sse.h"

struct plan {
    const char *name;
    /* What the client's side brings. Each may finish the exchange. */
    void (*body)(struct exchange *ex, const struct h1_body *body);
    void (*trailers)(struct exchange *ex, struct text section);
    void (*end)(struct exchange *ex);
    void (*congested)(struct exchange *ex); /* the client takes no more bytes; NULL: the plan looks itself */
    void (*writable)(struct exchange *ex);  /* it takes them again */
    void (*client_gone)(struct exchange *ex, enum close_reason reason); /* ex->client is NULL already */
    /* The client has half-closed, or is gone without a word. NULL: splice_probe_client(). */
    void (*peer_end)(struct exchange *ex);
    void (*tick)(struct exchange *ex); /* the timer */
    /* The gateway drains: a stream that would stand for good ends in good order now (its client comes back
     * elsewhere). at_once: the time is over, everything ends. */
    void (*stop)(struct exchange *ex, bool at_once);
    /* The error event that ends a stream, in the plan's own form; NULL, or false: exchange_fail() makes it.
     */
    bool (*fail_stream)(struct exchange *ex, enum close_reason reason);
    /* The end: frees ex->state. NULL: there is none. */
    void (*release)(struct exchange *ex, enum close_reason reason);
    /* What the upstream's side brings; NULL in plans that ask no upstream. Each may finish. The head of each
     * 1xx comes too. At the end ex->server is back in its pool. When the connection fails, exchange_fail().
     */
    void (*reply_head)(struct exchange *ex, const struct http1_head *head);
    void (*reply_body)(struct exchange *ex, const struct h1_body *body);
    void (*reply_trailers)(struct exchange *ex, struct text section);
    void (*reply_end)(struct exchange *ex);
};

enum phase {
    PHASE_LOCAL,   /* no upstream has a part in it */
    PHASE_QUEUED,  /* waits for a connection of a full pool, or for an address */
    PHASE_CONNECT, /* its connection is being opened */
    PHASE_REPLY,   /* the request is on its way; no reply head yet */
    PHASE_BODY,    /* the reply's body passes */
    PHASES
};

/* What the reply's head says of its content's coding (compress.h). */
enum coded {
    CODED_NOT,
    CODED_COULD,  /* as it is, for this client or now: Vary */
    CODED_WHOLE,  /* packed before it was sent */
    CODED_STREAM, /* as it passes */
};

enum { EXCHANGE_ID_MAX = 40, REQUEST_ID_BYTES = 20, REQUEST_ID_SHOWN = 64 };

struct exchange {
    struct list_node node, waiting;
    struct worker *worker;
    struct h1 *client, *server;
    const struct plan *plan;
    struct upstream *upstream; /* NULL: local */
    void *state;               /* the plan's own */
    struct span path;   /* copies: the request's target, kept with --access-log (behind it lie given_id_len
                           bytes of its X-Request-Id); the Origin, kept on MCP */
    struct span origin; /* fronts for the fields of CORS; buf NULL: none */
    struct sse_id *last_id; /* of a spliced stream, from its first id on; NULL: it has none */
    struct buf
        *fields; /* envelope.c: values of the request's MCP fields until its body is read; NULL: none */
    struct timer timer;
    uint64_t begun_ns;          /* the head was whole */
    uint64_t phase_ns;          /* the phase began */
    uint64_t first_ns;          /* the reply's head came or was made; 0: not yet */
    uint64_t active_ns;         /* the upstream's last byte */
    uint64_t asked_ns;          /* the client's last byte; of an orphan: when the client left */
    uint64_t client_ns;         /* the last byte queued for the client */
    uint64_t event_ns;          /* pace.c: when the last message of the stream came */
    uint64_t sent_bytes_before; /* of ex->server's link when the request began: nothing sent while it stands
                                   there */
    uint64_t reply_bytes;       /* of content */
    uint64_t body_bytes;        /* of the request's content */
    uint32_t delay_ns;          /* pace.c: how long the last that left was here */
    uint32_t events;
    uint32_t number;       /* of the worker's requests: makes its id */
    uint16_t interims : 5; /* 1xx replies passed on */
    uint16_t asked : 11; /* forwarded to a session's home: 1 + the upstream that is asked there; 0: unknown */
    struct sse_scan scan;
    uint8_t failed;  /* enum close_reason: no connection is to be had; the error waits for the request's id */
    uint16_t paced;  /* pace.c: 1 + its place among the worker's; 0: nothing waits to leave */
    uint16_t status; /* of the reply; 0: none yet */
    int16_t stream_row; /* in the statistics; -1: none */
    uint8_t phase : 6, tries : 2;
    uint8_t method, mcp, revision; /* these and phase: enums */
    uint8_t id_len, given_id_len;
    bool is_mcp : 1;     /* an MCP front: errors are JSON-RPC */
    bool has_delay : 1;  /* pace.c: delay_ns says something */
    bool is_leaving : 1; /* pace.c: what came was submitted; the next turn knows whether the kernel took it */
    bool is_held : 1;    /* pace.c: what came waits for its client, who has fallen behind */
    bool accepts_sse : 1, is_stream : 1, is_tunnel : 1;
    bool request_whole : 1; /* the client has sent all of it */
    bool reply_begun : 1;   /* a final head went to the client */
    bool early : 1;         /* that head is the one of --early-stream */
    bool orphan : 1;        /* the client left; kept to its end all the same */
    bool client_minor_0 : 1;
    bool expects_100 : 1;
    bool client_paused : 1, server_paused : 1;
    bool asks_upgrade : 1;      /* the upstream may answer 101 */
    bool listed : 1;            /* on the upstream's waiting list */
    bool is_leg : 1;            /* the gateway's own request (leg.h): there never was a client */
    bool is_part : 1;           /* of these: a message of a batch (bridging_batch.c), or of a WebSocket */
    bool is_ws : 1;             /* upgraded: events leave as WebSocket messages */
    bool leg_stream : 1;        /* whose reply is a stream of events */
    bool by_legs : 1;           /* the upstream is asked by legs, which count what they send and receive */
    bool compresses : 1;        /* --compress, towards this client */
    uint8_t coding : 2;         /* enum content_coding: what the client takes */
    uint8_t coded : 2;          /* enum coded */
    uint8_t asked_priority : 2; /* enum priority: of the client's Priority field */
    uint8_t priority : 2;       /* and what it came to */
    char id[EXCHANGE_ID_MAX];   /* the JSON-RPC id as it was written; id_len 0: none, not seen, or too long */
    uint32_t held_ns;           /* pace.c: from the first that waits to leave to the last */
};

_Static_assert(CFG_UPSTREAMS_MAX < 1 << 11, "`asked` names each, or none");
_Static_assert(sizeof(struct exchange) <= 320, "an idle stream has one exchange");

/* --max-exchanges is the caller's to hold. */
struct exchange *exchange_new(struct worker *w, struct h1 *client, const struct http1_head *head);

/* The same for a request of the gateway's own. */
struct exchange *exchange_new_leg(struct worker *w, struct upstream *up, enum http_method method);
/* The same for one message of a client's batch or WebSocket. */
struct exchange *exchange_new_part(struct worker *w, struct upstream *up);

/* The id that a request without X-Request-Id gets, unique among the gateway's workers and their incarnations.
 */
void exchange_request_id(const struct exchange *ex, char out[REQUEST_ID_BYTES]);

/* A copy in slab memory; the span holds its one reference. buf NULL: no memory, or nothing to keep. */
struct span exchange_keep(struct exchange *ex, struct text bytes);

/* The end. `reason` is CLOSE_DONE or why not. ex->server, if any, is closed; the client connection is not
 * touched: the caller has ended its reply (h1_send_end) or closes it. */
void exchange_finish(struct exchange *ex, enum close_reason reason);

/* The end of a reply that is whole. The connection goes on, unless the reply's head said "close": the client
 * may send its next request at once, and closing would lose that. Finishes. */
void exchange_end_reply(struct exchange *ex, enum close_reason reason);

/* The upstream that its client has asked, also through a session's home; len 0: none, or nobody knows here.
 */
struct text exchange_asked(const struct exchange *ex);

/* The end of an exchange that cannot go on: the client gets an error in the form that is still possible, or
 * its connection is aborted. Finishes. */
void exchange_fail(struct exchange *ex, enum close_reason reason);

/* A side is not read while the other one takes nothing. Any number of times, also when the side is not there.
 */
void exchange_pause_client(struct exchange *ex);
void exchange_resume_client(struct exchange *ex);
void exchange_pause_server(struct exchange *ex);
void exchange_resume_server(struct exchange *ex);

/* How urgent it is, by what its message says (NULL: there is none, or it is not here yet), by what its client
 * or its upstream's configuration asks for, or else by its kind. To be said again when more is known. */
void exchange_prioritize(struct exchange *ex, const struct jsonrpc_envelope *env);

/* --batch-window: so many messages of a stream or a WebSocket have just been queued for the client, and may
 * wait for others; */
void exchange_may_wait(struct exchange *ex, unsigned messages);
/* or have just come from ex->server to be passed on, and the next ones may wait for one another. */
void exchange_may_rest(struct exchange *ex, unsigned messages);

/* The timer runs when the phase has lasted as long as it may. */
void exchange_set_phase(struct exchange *ex, enum phase phase);

/* The limits of the phase: finishes with the reason of one that has passed (true), else sets the timer for
 * the next. Plans call it from tick. */
bool exchange_check_limits(struct exchange *ex);
/* Only sets the timer: for the start, and when what is limited has changed (a stream has limits of its own).
 */
void exchange_watch_limits(struct exchange *ex);

/* From now on the reply is a stream of events: counted, listed, given heartbeats. */
void exchange_open_stream(struct exchange *ex);

/* Brings its row in the table of open streams up to date, if it has one. */
void exchange_list_stream(struct exchange *ex);

/* Scans bytes of the spliced stream: how many events ended in them. Keeps the last event id; a stream without
 * ids costs nothing for that. */
uint32_t exchange_scan_events(struct exchange *ex, struct span bytes);
/* The id of the last event that has passed whole, as a client would send it in Last-Event-ID; len 0: there is
 * none, or it is longer than SSE_ID_MAX. Valid until more is scanned. */
struct text exchange_last_event_id(const struct exchange *ex);

/* Makes the timer run in at most `ms`. */
void exchange_wake_in(struct exchange *ex, uint64_t ms);

/* Nothing of an event has been sent that is not whole: a comment or an event of our own may follow. */
static inline bool
exchange_between_events(const struct exchange *ex)
{
    return sse_scan_at_boundary(&ex->scan) && !(ex->early && ex->phase == PHASE_BODY);
}

static inline uint64_t
exchange_age_ms(const struct exchange *ex, uint64_t since_ns)
{
    return (ring_now(ex->worker->ring) - since_ns) / 1000000;
}

/* The client side's events for h1 (front.c). */
extern const struct h1_up client_up;
/* The upstream side's (server.c). */
extern const struct h1_up server_up;

/* server.c: one end of a tunnel is through: `other` hears of it when all that came before has left, and may
 * go on. Finishes when both are. */
void server_end_tunnel(struct exchange *ex, struct h1 *other);

/* front.c */
void front_accepted(struct listener *listener, int fd);
/* route.c: sets the plan and starts it. May finish. */
void route_request(struct exchange *ex, const struct http1_head *head);

#endif
