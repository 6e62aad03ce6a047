/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `mcpload serve`: a fast mock upstream on one ring. Five files:
 *
 *     serve.c         the listener, the counters, start and end
 *     serve_conn.c    one connection: requests in, replies out, piece by piece
 *     serve_reply.c   composes the reply to one request
 *     serve_mcp.c     the same for JSON-RPC
 *     serve_ws.c      WebSockets: each message comes back, or is answered as MCP
 *
 * One request at a time on a connection; pipelined ones wait in the connection's input.
 */
#ifndef MCPLOAD_SERVE_H
#define MCPLOAD_SERVE_H

#include "base/list.h"
#include "base/slab.h"
#include "behaviour.h"
#include "bytes.h"
#include "config.h"
#include "pacer.h"
#include "proto/http1.h"
#include "proto/sse.h"
#include "ring/ring.h"

#include <jansson.h>

/* Replies and their bytes are counted apart for each of these. */
enum serve_kind {
    SERVE_PLAIN,  /* plain HTTP */
    SERVE_MCP,    /* POSTs to /mcp... */
    SERVE_STREAM, /* endless or counted SSE streams */
    SERVE_TUNNEL, /* upgraded connections */
    SERVE_WS,     /* WebSockets: upgrades, and each message */
    SERVE_STATS,  /* looks at these counters */
    SERVE_KINDS
};

extern const char *const serve_kind_names[SERVE_KINDS];

struct serve_count {
    uint64_t requests, bytes; /* replies begun; bytes that the kernel took, heads included */
};

struct serve {
    struct serve_config config;
    struct behaviour defaults;
    struct ring *ring;
    struct pacer pacer;
    struct op accept, signals;
    int listener, signal_fd;
    bool ending;
    struct pool conns;
    struct list_node open, dead; /* struct serve_conn; dead: freed at the end of the turn */
    struct bytes canned;         /* a plain reply, whole */
    uint64_t accepted, open_count, bad_requests, body_bytes, events, sessions, streams;
    uint64_t paced; /* streams with a rate whose first event was set */
    struct serve_count counts[SERVE_KINDS];
};

/* What the connection reads. */
enum serve_input {
    INPUT_HEAD,
    INPUT_BODY,
    INPUT_HELD,   /* the reply is under way; bytes of the next request wait in conn->in */
    INPUT_TUNNEL, /* bytes are echoed */
    INPUT_OVER,   /* nothing more is wanted, or nothing more comes */
};

/* What it sends. Each state says how to compose the next piece when
 * the one before has gone. */
enum serve_output {
    OUTPUT_NONE,
    OUTPUT_HANG,    /* nothing, ever */
    OUTPUT_CONTENT, /* generated body */
    OUTPUT_STREAM,  /* events */
    OUTPUT_LAST,    /* the piece under way is the reply's last */
    OUTPUT_TUNNEL,
};

enum { SERVE_IOV_MAX = 8 };

/* The member of _meta that says which request a notice belongs to. */
#define SERVE_SUBSCRIPTION "\"io.modelcontextprotocol/subscriptionId\""

struct serve_conn {
    struct list_node node;
    struct serve *serve;
    struct op recv, send;
    struct pacer_item pace; /* ?delay, the next event, the end of lingering */
    int fd;
    uint8_t input, output, kind;
    bool keep_alive;   /* after the reply */
    bool closing;      /* only waits for its operations */
    bool peer_done;    /* end of file was read */
    bool no_body;      /* the reply is to a HEAD request */
    uint32_t scanned;  /* of the head at the start of in */
    struct bytes in;   /* input that waits: a head in pieces, pipelined requests */
    struct bytes memo; /* the head of a request whose body came in pieces */
    struct bytes body; /* and, for MCP, that body */
    struct http1_body decoder;
    struct behaviour how;
    struct bytes text; /* composed bytes of the piece under way */
    struct iovec iov[SERVE_IOV_MAX];
    unsigned iov_count, iov_at;
    uint64_t content_at, content_end, content_bytes; /* OUTPUT_CONTENT: sent, where to stop, in all */
    uint64_t event_number;                           /* OUTPUT_STREAM: of the next one */
    uint32_t stamp_at, number_at; /* where an event's digits stand in text; 0: no event is composed yet */
    bool rpc_events;              /* events are JSON-RPC notifications */
    struct bytes progress_token;  /* events are progress for it; empty: they are not */
    struct bytes subscription;    /* events are change notices for the request with this id; likewise */
    struct serve_ws *ws;          /* NULL: it is none */
    struct bytes last_event; /* leaves after the other events: a tool's result; empty for plain streams */
    uint64_t sent_bytes, progress_ns; /* for /stats: what the kernel took, and when last */
};

/* serve_conn.c */
void serve_conn_new(struct serve *serve, int fd);
void serve_conn_close(struct serve_conn *conn);
void serve_conn_free_dead(struct serve *serve);

/* serve_reply.c: composes the first piece of the reply into conn->text (or points conn->iov at constant
 * bytes) and sets output, keep_alive and kind. `body` is the whole body of an MCP request. */
void serve_reply(struct serve_conn *conn, const struct http1_head *head, struct text path, struct text body);
/* A short reply with this text as its body, after which the connection closes: for bad requests. */
void serve_reply_refuse(struct serve_conn *conn, int status, const char *text);
/* The next piece of a generated body, and the next event; both set output to OUTPUT_LAST with the last one.
 */
void serve_reply_content(struct serve_conn *conn);
void serve_reply_event(struct serve_conn *conn);
/* For serve_mcp.c: a whole reply with this body, framed as conn->how says; `fields` are more header lines. */
void serve_reply_whole(struct serve_conn *conn, int status, const char *type, const char *fields,
                       struct text body);
/* The head of an event stream. */
void serve_reply_stream(struct serve_conn *conn, const char *fields);
/* After that: an event that leaves with the head. */
void serve_reply_first_event(struct serve_conn *conn, struct text event);
/* What `mcpload serve` answers to a plain request that has no query. */
void serve_reply_canned(struct serve *serve);

/* True when requests to this path carry JSON-RPC. */
bool serve_path_is_mcp(struct text path);

/* serve_mcp.c: the reply to a JSON-RPC message. */
void serve_mcp_reply(struct serve_conn *conn, const struct http1_head *head, struct text body);
/* The same over WebSocket: appends the response to *out, or nothing when none is due. */
void serve_mcp_answer(struct serve_conn *conn, struct text message, struct bytes *out);

/* serve_ws.c */
bool serve_ws_wanted(const struct http1_head *head);
/* The reply to the upgrade. */
void serve_ws_reply(struct serve_conn *conn, const struct http1_head *head);
/* Frames in; what answers them is appended to conn->in. Writes to at[]. */
void serve_ws_input(struct serve_conn *conn, char *at, uint32_t len);
void serve_ws_done(struct serve_conn *conn);

/* serve.c: a new object. */
json_t *serve_stats(struct serve *serve);

int serve_main(int argc, char **argv);

#endif
