/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/1.1 connections on the simulator, in both roles. What a connection tells its owner becomes a line of
 * text, body bytes that follow each other joined, so that a log does not depend on the pieces in which bytes
 * came.
 */
#ifndef WIRE_WORLD_H
#define WIRE_WORLD_H

#include "ring/ring_sim.h"
#include "wire/h1.h"

#include <criterion/criterion.h>

enum { LOG_MAX = 400000 };

struct conn {
    struct h1 h1; /* first */
    char log[LOG_MAX];
    size_t log_len;
    bool in_body, closed, auto_reply;
    unsigned partial, heads;
    struct h1 *relay; /* gets the body */
};

extern struct sim *sim;
extern struct slab slab;
extern struct net net;
extern struct h1_shared shared;
extern struct conn conn, out;
extern struct sim_peer *peer;
extern int listener;

/* A connection in either role, its far end `peer`; a client's has asked already. world_close() checks that
 * all came home. */
void world_open(void);
void server_open(void);
void client_open(enum http_method method);
void world_close(void);
/* One more to an upstream, whose far end is `peer` from then on; what it asks. */
void connect_client(struct conn *c);
void ask(struct h1 *h1, enum http_method method);

/* What a connection is told to send. */
struct span slab_text(const char *text);
void send_head(struct h1 *h1, const char *head, enum http1_framing framing, uint64_t length);
void send_piece(struct h1 *h1, const char *text);
void reply(struct h1 *h1, const char *body);

/* What the peer says, and what that told the connection's owner. */
void say(const char *text, size_t len);
const char *told(struct conn *c);
/* Whatever the pieces, the same is told. */
void in_any_pieces(void (*open)(void), const char *bytes, const char *want);

#define ASSERT_TOLD(want) cr_assert_str_eq(told(&conn), want, "told:\n%s", told(&conn))

#endif
