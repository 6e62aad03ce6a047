/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One HTTP/1.1 connection as a machine, in either role. A server connection reads requests and writes
 * replies, a client connection the reverse; both decode the body they read and frame the body they write. It
 * knows no routes and no MCP: an exchange (in gate) sits behind `up`.
 *
 *      what arrives     on_head  (on_body)*  on_end            in that order, for each message
 *      what leaves      h1_send_head  (h1_send_body)*  h1_send_end
 *
 * A server connection reads the next request when the reply to the last one has been queued whole and is not
 * stuck behind a slow reader; bytes that arrive before that wait in `stash`, and beyond a limit reading stops
 * (pipelining is answered in order, one at a time).
 *
 * The embedded link and this machine are one allocation, made by the worker and freed after on_closed().
 */
#ifndef WIRE_H1_H
#define WIRE_H1_H

#include "net/link.h"
#include "proto/http1.h"

struct h1;

/* A run of body bytes that arrived together. `data` are the pieces of content. Of a chunked body, `raw` is
 * the part of the run that holds whole plain chunks, framing included, so that a chunked receiver may be sent
 * it as it is; it stands for the pieces [raw_first, raw_end). raw_last: and it holds the last chunk as well.
 * Borrowed.
 *
 *      run     ...DATA CRLF | 1a CRLF DATA CRLF | 1a CRLF DATA CRLF | 1a CRLF DAT...
 *      data      [0]              [1]                  [2]                [3]
 *      raw                  |<------------------------------------->|        raw_first 1, raw_end 3
 */
enum { H1_PIECES_MAX = 64 };
struct h1_body {
    struct span raw; /* len 0: none */
    uint32_t raw_first, raw_end;
    bool raw_last;
    bool ends;      /* nothing of the body is still to come (a length whose last byte is here ends with it) */
    uint32_t bytes; /* of content: the sum of data[].len */
    uint32_t count;
    struct span data[H1_PIECES_MAX];
};

struct h1_up {
    /* Server: a request has begun whose head is not whole, or the rest of one that was answered early is
     * awaited. */
    void (*on_partial)(struct h1 *h1);
    /* A head; `head` and what it points at are valid until the call returns. For a client connection also
     * each 1xx. */
    void (*on_head)(struct h1 *h1, const struct http1_head *head);
    void (*on_body)(struct h1 *h1, const struct h1_body *body);
    /* The trailer section as it came, final CRLF included, before on_end. */
    void (*on_trailers)(struct h1 *h1, struct text section);
    void (*on_end)(struct h1 *h1);
    /* Bytes that are no well-formed message, a limit, or end of file in the wrong place. The owner ends the
     * connection: a server connection with h1_send_head() of an error and h1_close(). */
    void (*on_bad)(struct h1 *h1, enum close_reason reason);
    /* As the link's, while there is a user: its source is to be paused. May be NULL. */
    void (*on_congested)(struct h1 *h1);
    /* The queue has fallen to the low mark after link_congested() was true, and there is a user. May be NULL.
     */
    void (*on_writable)(struct h1 *h1);
    /* Client role: connected (0) or not (a negated errno; everything queued is kept for another try). */
    void (*on_connected)(struct h1 *h1, int error);
    /* Server: the client has half-closed or is gone: the two look the same until it answers what is sent to
     * it (on_broken). A reply in progress goes on. Idle connections close themselves. */
    void (*on_peer_end)(struct h1 *h1);
    /* The connection broke (reset, failed or stalled send); on_closed follows. One that found no memory for
     * what was sent on it comes straight to on_closed. */
    void (*on_broken)(struct h1 *h1, enum close_reason reason);
    void (*on_closed)(struct h1 *h1, enum close_reason reason);
    /* Server: the reply is queued and the request was read whole; the connection reads on or is closing.
     * Client: the reply was read whole; reusable tells whether the connection may carry another request. */
    void (*on_idle)(struct h1 *h1, bool reusable);
};

/* Turns the content of one reply into another form on its way out (a content coding). Set with h1_set_coder()
 * before the body begins, and owned by the connection from then on: done() is called when the reply is whole,
 * or when the connection is closed before that. */
struct h1_coder {
    const struct h1_coder_ops *ops;
};

struct h1_coder_ops {
    /* Takes content; what it becomes is sent by h1_send_coded(), now or later. */
    void (*write)(struct h1_coder *coder, const struct span *pieces, uint32_t count);
    /* Sends what was written and is held back. */
    void (*flush)(struct h1_coder *coder);
    /* No more content comes: sends what is left. */
    void (*end)(struct h1_coder *coder);
    void (*done)(struct h1_coder *coder);
};

enum h1_role { H1_SERVER, H1_CLIENT };

enum h1_state {
    H1_IDLE,   /* between messages */
    H1_HEAD,   /* the first bytes of a head are here */
    H1_BODY,   /* reading the body */
    H1_WAIT,   /* server: the request is whole, its reply is not */
    H1_TUNNEL, /* after 101: bytes both ways */
    H1_ENDED,  /* nothing more is read: bad input, or the connection is to close */
    H1_STATES
};

/* What the connections of one worker share. */
struct h1_shared {
    struct net *net;
    struct http1_limits limits;
    struct http1_head head; /* scratch: one head is parsed at a time */
    struct h1_body body;    /* scratch */
};

struct h1 {
    struct link link; /* first */
    struct h1_shared *shared;
    const struct h1_up *up;
    void *user;            /* the exchange; NULL between two (a server connection then discards body bytes) */
    struct list_node node; /* the owner's: the worker's connections, or a pool's idle ones */
    void *owner;           /* the owner's: the endpoint of a client connection */
    struct h1_coder *coder; /* server: of the reply in progress; NULL: content leaves as it is */
    struct buf *stash;      /* bytes of a partial head, a trailer section, or of the next request */
    uint32_t stash_len, stash_scanned;
    struct http1_body rx;
    uint64_t tx_left;        /* FRAMING_LENGTH */
    uint8_t role, state, tx; /* enum h1_role, h1_state, http1_framing of the message being written */
    uint8_t request_method;  /* client: of the request in progress, for the reply's framing */
    uint8_t lane;            /* of a tunnel: enum priority of what is sent next; the owner's to set */
    uint8_t minor;           /* server: HTTP/1.minor of the request */
    bool keep_alive : 1;     /* the peer and we let the connection stand */
    bool head_sent : 1, tx_done : 1, rx_done : 1;
    bool in_input : 1;   /* h1_input is on the stack */
    bool reading_on : 1; /* waits for the queue before the next request */
    bool held : 1;       /* h1_pause() was called */
    bool peer_ended : 1;
    bool pooled : 1;  /* the owner's: idle in a pool */
    bool warming : 1; /* the owner's: opened for the pool */
};

_Static_assert(sizeof(struct h1) - sizeof(struct link) <= 128, "an idle stream has two wires");

/* `h1` is zeroed memory. */
void h1_init(struct h1 *h1, struct h1_shared *shared, enum h1_role role, const struct h1_up *up,
             enum link_side side);

static inline struct h1 *
h1_of(struct link *link)
{
    return (struct h1 *)(void *)link;
}

/* Queues a head that the caller has built ("HTTP/1.1 200 OK\r\n...\r\n\r\n"); its Content-Length or
 * Transfer-Encoding field agrees with `framing` and `length`. Client: `method` of the request. A head of an
 * interim reply (1xx but 101) goes through h1_send_interim. */
void h1_send_head(struct h1 *h1, struct span head, enum http1_framing framing, uint64_t length,
                  enum http_method method);
void h1_send_interim(struct h1 *h1, struct span head);
/* "100 Continue". */
void h1_send_continue(struct h1 *h1);
/* Queues body bytes under the framing given with the head. Bytes beyond the length are the caller's bug. */
void h1_send_body(struct h1 *h1, const struct h1_body *body);
/* The body that `from` reads is sent on to `to` as it is: with large buffers where its length says that they
 * will be filled. For who asks link_stops(). */
void h1_read_large(struct h1 *from, const struct h1 *to);
/* One piece, framed by itself. */
void h1_send_piece(struct h1 *h1, struct span piece);
/* The content that follows passes through `coder`; the framing given with the head has no length. */
void h1_set_coder(struct h1 *h1, struct h1_coder *coder);
/* For coders: one piece as it leaves, framed by itself. */
void h1_send_coded(struct h1 *h1, struct span piece);
/* `trailers`: lines for the trailer section ("a: b\r\n"), may be NULL. */
void h1_send_end(struct h1 *h1, struct span *trailers);

/* Flow control of what is read. */
void h1_pause(struct h1 *h1);
void h1_resume(struct h1 *h1);

/* Makes `to`, a fresh or idle client connection, carry the request that was written to `from`, of which
 * nothing was sent. */
void h1_move_request(struct h1 *from, struct h1 *to);

/* Client role: the request that was written, of which nothing was sent (link_is_unsent), is not to be sent:
 * the connection is idle again. False, and nothing is changed: some of it has left. */
bool h1_withdraw_request(struct h1 *h1, uint64_t sent_bytes);

/* Ends the connection in order once the queue is empty; nothing more is read from it. */
void h1_close(struct h1 *h1, enum close_reason reason);
/* Ends it at once. A reply that the peer would take for whole (close-delimited) ends with a reset. */
void h1_abort(struct h1 *h1, enum close_reason reason);
/* Ends it in the middle of a message, whose head was sent: what is queued of it leaves first, and that its
 * end is missing the peer sees by its length or its chunks. One without these ends as with h1_abort(). */
void h1_cut(struct h1 *h1, enum close_reason reason);

/* A reply may still be sent with a keep-alive connection: the client stays, or has pipelined more before it
 * half-closed. */
static inline bool
h1_will_keep_alive(const struct h1 *h1)
{
    return h1->keep_alive && (!h1->peer_ended || h1->stash);
}

#endif
