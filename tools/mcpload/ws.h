/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `mcpload ws`: messages over WebSocket to a server that sends each one back (`mcpload serve`), straight or
 * through a gateway; a part of a run (stage.h). A message tells when it was sent, so that what comes back
 * needs no table:
 *
 *     {"ns":"01234567890123456","pad":"xxx..."}
 *
 * Closed loop: --pipeline of them are under way on each connection. Open loop: they leave at --rate, whatever
 * comes back, in turn over the connections; one that finds its connection's --pipeline used up waits, and its
 * latency runs. Three files:
 *
 *     ws_main.c   flags, the plan
 *     ws.c        who sends when
 *     ws_conn.c   one connection: upgrade, messages out, messages in
 */
#ifndef MCPLOAD_WS_H
#define MCPLOAD_WS_H

#include "address.h"
#include "bytes.h"
#include "proto/ws.h"
#include "proto/ws_key.h"
#include "slow_reader.h"
#include "stage.h"
#include "stamp.h"

enum { WS_MESSAGE_MIN = 64, WS_MESSAGE_MAX = 16 << 20, WS_STAMP_AT = 7 };

struct ws_load;

struct ws_conn {
    struct ws_load *load;
    struct op recv, send;
    int fd;
    bool is_open, is_upgraded, is_over; /* the socket stands; the 101 came; nothing more is wanted */
    bool is_slow; /* sends without end, reads slowly or not at all, and is not measured */
    uint32_t under_way;
    uint64_t last_ns,
        delay_ns; /* of what came back last: its arrival (0: nothing did), its time on the way */
    struct slow_reader slow;
    struct ws_parser parser;
    struct bytes head;         /* the reply to the upgrade, as far as it is here */
    struct bytes out, sending; /* frames: waiting, and with the kernel */
    struct iovec iov;
    char stamp[WS_STAMP_AT + STAMP_DIGITS];
    uint32_t stamp_len; /* of the message that comes back in pieces */
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
    uint32_t upgraded, lost; /* connections: those that are or were upgraded, and those that failed before */
    struct bytes message;    /* unmasked, the stamp's digits zero */
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
