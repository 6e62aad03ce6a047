/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Load on an HTTP, SSE or MCP server: a part of a run (stage.h). Three files:
 *
 *     load_main.c   flags, the plan
 *     load.c        who starts a request when (closed loop, open loop)
 *     load_conn.c   one connection: connect, session, request, reply
 */
#ifndef MCPLOAD_LOAD_H
#define MCPLOAD_LOAD_H

#include "base/list.h"
#include "reply.h"
#include "request.h"
#include "slow_reader.h"
#include "stage.h"

/* What a connection is for. */
enum load_role {
    ROLE_WORK,   /* does requests */
    ROLE_STREAM, /* holds an event stream open */
    ROLE_SLOW,   /* stops to read after a reply's head */
    ROLE_IDLE,   /* does one request and stays open */
};

enum conn_state {
    CONN_CLOSED, /* no socket */
    CONN_QUEUED, /* wants to connect, but enough others do */
    CONN_CONNECTING,
    CONN_READY,   /* open, no request; a ROLE_WORK one is on load->ready, thinks, or starts at once */
    CONN_BUSY,    /* a request is under way */
    CONN_HELD,    /* ROLE_SLOW: no longer reads */
    CONN_CLOSING, /* waits for its operations */
};

struct load;

struct load_conn {
    struct load *load;
    struct list_node node; /* load->ready, or load->queued */
    struct op recv, send;
    struct timer timer; /* the request's limit, thinking, waiting to try again */
    int fd;
    uint8_t state, role, message; /* enum conn_state, load_role, message (under way or next) */
    bool wanted;                  /* a request waits for the connection or the session to be there */
    bool measured;                /* it started inside the window */
    bool replied;                 /* all of the reply was read; the send may still be under way */
    bool answered;                /* SSE: the event with the response was seen */
    bool settled;                 /* counted in load->settled */
    bool stamp_wanted;            /* start_ns becomes the time of the submit */
    uint8_t priority;             /* enum priority of the request under way */
    uint8_t outcome;              /* enum error_kind of the reply under way */
    uint32_t id;
    uint64_t start_ns, began_ns; /* start_ns: the intended one in open loop */
    uint64_t event_ns, gap_ns;   /* of the last event; 0: none yet */
    uint64_t delay_ns;           /* of the last stamped event */
    uint64_t event_next;         /* the number that the next stamped event has; 0: there was none */
    struct slow_reader slow;
    const char *path;
    struct reply reply;
    struct bytes request;
    struct request_marks marks;
    struct iovec iov[2];
    unsigned iov_at, iov_count;
    char session[REPLY_SESSION_MAX];
    uint32_t session_len;
    char version[16];
};

struct load {
    struct part part;
    struct load_config config;
    struct plan plan;
    struct text echo;       /* the text that tools/call echo must bring back; len 0: not checked */
    struct bytes echo_text; /* where it stands */
    char **stream_paths;    /* what streams ask for, in turn */
    unsigned stream_path_count;
    struct ring *ring;           /* the stage's */
    struct pacer_item start_due; /* open loop */
    struct load_conn *conns;
    uint32_t conn_count, connecting, busy;
    uint32_t to_settle, settled; /* connections beside the work that have to stand before the window begins */
    struct list_node ready, queued;
    struct load_conn **fresh; /* began a request in this turn */
    uint32_t fresh_count;
    uint32_t next_id;
    struct priority_mix priorities;
    uint64_t due, started; /* open loop: requests due so far, and started */
};

/* load_conn.c */
void load_conn_init(struct load *load, struct load_conn *conn, enum load_role role, const char *path);
/* Starts a request, connecting first if need be. `intended_ns` 0: it starts when it is submitted. The
 * connection is CONN_READY (and on no list) or CONN_CLOSED. */
void load_conn_begin(struct load_conn *conn, uint64_t intended_ns);
/* At the end of the run: says so to the server if the connection has a session and nothing else to do. */
void load_conn_end_session(struct load_conn *conn);
void load_conn_close(struct load_conn *conn);
void load_conn_done(struct load_conn *conn);

/* load.c; called by the connections */
void load_conn_is_ready(struct load *load, struct load_conn *conn);
void load_conn_is_closed(struct load *load, struct load_conn *conn);
void load_settled(struct load *load, struct load_conn *conn);
void load_error(struct load *load, enum error_kind kind);
/* The part's type, and its connections; load->config and load->plan are set. */
extern const struct part_type load_part;
void load_open(struct load *load);

/* load_main.c: the plan, for the report and for a person. */
json_t *load_plan_json(const struct part *part);
void load_print_plan(const struct part *part, FILE *out);
/* A part that does what `config` says; NULL with one line in why[] when that makes no sense. */
struct part *load_make(const void *config, char *why, size_t why_size);

/* check.c: whether `json` is the right response to the request with this id. ERROR_NONE, or what is wrong.
 * *ret_notification: it is a notification or a request, not a response. */
enum error_kind check_reply(struct text json, uint32_t id, struct text echo, bool *ret_notification);
/* The revision in the result of initialize; left as it is when there is none. */
void check_version(struct text json, char *ret_version, size_t size);
/* The text that tools/call `tool` with these arguments is expected to bring back, decoded; false when none
 * is. */
bool check_expected_echo(const char *tool, struct text args, struct bytes *ret_text);

#endif
