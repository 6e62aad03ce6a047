/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `mcpload ws`: messages over WebSocket to a server that sends each one back (`mcpload serve`), or MCP to one
 * that answers; straight or through a gateway. A part of a run (stage.h).
 *
 * Closed loop: --pipeline of them are under way on each connection. Open loop: they leave at --rate, whatever
 * comes back, in turn over the connections; one that finds its connection's --pipeline used up waits, and its
 * latency runs. Four files:
 *
 *     ws_main.c      flags, the plan
 *     ws.c           who sends when
 *     ws_conn.c      one connection: upgrade, session, messages out, messages in
 *     ws_message.c   the messages
 */
#ifndef MCPLOAD_WS_H
#define MCPLOAD_WS_H

#include "address.h"
#include "bytes.h"
#include "proto/ws.h"
#include "proto/ws_key.h"
#include "slow_reader.h"
#include "stage.h"
#include "ws_message.h"

enum { WS_MESSAGE_MAX = 16 << 20 };

struct ws_load;

struct ws_conn {
    struct ws_load *load;
    struct op recv, send;
    int fd;
    bool is_open, is_upgraded; /* the socket stands; the 101 came */
    bool is_ready, was_ready;  /* the session too: it can take messages; and once it could */
    bool is_leaving, is_over;  /* our close was sent; nothing more is wanted */
    bool comes_back;           /* after --messages: connects again */
    bool is_slow;              /* sends without end, reads slowly or not at all, and is not measured */
    uint32_t under_way;
    uint64_t last_ns,
        delay_ns; /* of what came back last: its arrival (0: nothing did), its time on the way */
    struct slow_reader slow;
    struct ws_parser parser;
    struct bytes head;         /* the reply to the upgrade, as far as it is here */
    struct bytes out, sending; /* frames: waiting, and with the kernel */
    struct iovec iov;
    struct bytes message;    /* what comes in pieces, as far as it is looked at */
    uint64_t begin_ns, sent; /* of the connecting; messages since */
    char key[WS_KEY_CHARS];
};

struct ws_load {
    struct part part;
    struct ws_config config;
    struct url url;
    struct ring *ring; /* the stage's */
    struct pacer_item due_item;
    struct ws_conn *conns; /* the slow readers are the last */
    uint64_t conn_count;
    uint32_t ready, lost; /* connections: those that could take messages once, and those that never could */
    bool is_mcp;          /* each connection is a session */
    enum ws_form form;
    struct ws_message messages[PRIORITIES];
    struct priority_mix priorities;
    uint32_t next_number;
    uint64_t drain_end_ns;
    uint64_t due, started; /* open loop */
    uint64_t mask_state;
};

/* ws_conn.c */
void ws_conn_connect(struct ws_conn *conn);
/* True while one more message may be under way. */
bool ws_conn_has_room(const struct ws_conn *conn);
void ws_conn_send(struct ws_conn *conn, uint64_t stamp_ns);
/* Hands what was sent to the kernel. */
void ws_conn_flush(struct ws_conn *conn);
void ws_conn_close(struct ws_conn *conn);
void ws_conn_done(struct ws_conn *conn);

/* ws.c; called by the connections: the connection can take messages. */
void ws_fill(struct ws_conn *conn);
/* The part's type, its connections and its message; load->config and load->url are set. */
extern const struct part_type ws_part;
void ws_open(struct ws_load *load);

/* ws_main.c: the plan, for the report and for a person. */
json_t *ws_plan_json(const struct part *part);
void ws_print_plan(const struct part *part, FILE *out);
/* A part that does what `config` says; NULL with one line in why[] when that makes no sense. */
struct part *ws_make(const void *config, char *why, size_t why_size);

#endif
