/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A relay of two links on the simulator, the smallest program that uses all of one:
 *
 *      near peer <--> near.link --push--> far.link <--> far peer
 *
 * Each test opens a world and closes it; closing aborts what is still there and checks that each link told
 * its end once and that nothing is out. One world per process.
 */
#ifndef NET_RELAY_H
#define NET_RELAY_H

#include "net/link.h"
#include "ring/ring_sim.h"

enum { HIGH = 8192, LOW = 2048, BUF_BYTES = 1024, LARGE = 16 * BUF_BYTES, STREAM_MAX = 200000 };

struct side {
    struct link link;
    struct side *other;
    bool opened, echo_end;
    bool waits;             /* what is relayed to it may wait (net/batch.h) */
    unsigned message_bytes; /* of what comes from it, which may rest between messages; 0: it does not */
    bool deaf;              /* does not pause the source when it becomes blocked */
    unsigned ends, closed, broken, congested, writable, connected;
    uint64_t delivered;
    int connect_error;
    enum close_reason reason, broken_reason;
};

extern struct sim *sim;
extern struct slab slab;
extern struct net net;
extern struct side near, far;
extern struct sim_peer *near_peer, *far_peer;
/* The places from which an owner may abort a link are counted; both links are aborted at this one. 0: never.
 */
extern unsigned moments, abort_at;
extern const struct link_up relay_up;

void world_open(uint64_t seed);
void relay_open(uint64_t seed); /* the same, with both sides open */
/* The near side is open, the far one new; 10.0.0.2 serves, .3 refuses, .4 hangs. */
void connect_world_open(uint64_t seed);
void world_close(void);

struct sim_peer *side_open(struct side *s);
int connect_to(struct side *s, unsigned host); /* 10.0.0.<host> */
void on_broken(struct link *link, enum close_reason reason);

void put_number_text(char *out, size_t count); /* bytes that tell where they belong */
void assert_reads(struct sim_peer *peer, const void *want, size_t count); /* just these */
void assert_pool_is_whole(void);                                          /* no receive buffer is out */

/* Filters: one does nothing, one hands on byte by byte. */
extern const struct filter_ops null_ops, byte_ops;
extern unsigned filters_freed;
void add_filter(struct side *s, const struct filter_ops *ops);

#endif
