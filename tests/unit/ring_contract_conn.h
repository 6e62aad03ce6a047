/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests of ring.h share: the ring under test, an accept that collects what comes, connections that
 * count their events, and turns. The same tests run on the kernel's io_uring, with every optional feature and
 * with each one forced off, and on the simulator: what the simulator promises to the tests above it is what
 * the kernel does.
 */
#ifndef RING_CONTRACT_CONN_H
#define RING_CONTRACT_CONN_H

#include "ring_contract.h"

#include <criterion/criterion.h>

enum { CONNS_MAX = 64, GOT_MAX = 4096, TURN_MS = 10, TURNS_MAX = 2000 };

struct conn {
    struct op recv, send;
    int fd;
    struct far *far;
    char got[GOT_MAX]; /* what was received, cut off at the end */
    size_t got_count;
    unsigned recv_ends, recv_events; /* calls of done() with and without `more` */
    int recv_result;                 /* of the end */
    bool keep_buffers, cancel_in_done;
    struct buf *kept[16];
    unsigned kept_count;
    unsigned send_ends;
    int send_result;
};

extern struct ring *ring;
extern struct op accept_op;
extern int accepted[CONNS_MAX]; /* descriptors */
extern unsigned accepted_count, accept_ends, accept_errors;
extern int accept_result; /* of the end, or the last error */
extern bool in_reap;      /* done() may only be called then */

void turn(void);
void run_for_ms(unsigned ms);

#define RUN_UNTIL(cond)                                                                                      \
    do {                                                                                                     \
        for (unsigned turns_ = 0; !(cond); turns_++) {                                                       \
            cr_assert_lt(turns_, TURNS_MAX, "never: %s", #cond);                                             \
            turn();                                                                                          \
        }                                                                                                    \
    } while (0)

void on_recv(struct op *op, int result, struct buf *buf, bool more);
void on_send(struct op *op, int result, struct buf *buf, bool more);
/* A world whose ring has small buffers as said, and an accept on its listener; close_world() also asserts
 * that every buffer came home. */
void open_world(unsigned buf_count, unsigned buf_size);
void close_world(void);
/* Connects `far` and waits for the near end. */
void open_conn(struct conn *c);
void release_kept(struct conn *c);
/* Ends what is in flight, and both ends. */
void close_conn(struct conn *c);
void close_many(struct conn *conns, unsigned count);
void receive(struct conn *c);
/* The far end sends the text. */
void tell(struct conn *c, const char *text);
/* The near end has received exactly the text. */
bool got(const struct conn *c, const char *text);
/* Turns until the far end has read that many bytes; true when they are the text. */
bool far_gets(struct conn *c, const char *text);
/* `bytes` stay in place until on_send(). */
void send_bytes(struct conn *c, const void *bytes, size_t count, unsigned flags);

#endif
