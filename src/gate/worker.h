/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A worker: one process, one ring, its connections and exchanges, its own pool of upstream connections. The
 * admin process is the same machine with the admin listener in place of the clients'.
 *
 * Everything hangs off struct worker, which is passed down; there are no other writable globals.
 */
#ifndef GATE_WORKER_H
#define GATE_WORKER_H

#include "cfg/config.h"
#include "gate/stdio_pool.h"
#include "gate/upstream.h"
#include "ipc/handover.h"
#include "mcp/seal.h"
#include "stats/stats.h"
#include "wire/h1.h"

enum {
    WORKER_LISTENERS_MAX = 2 * HANDOVER_LISTENERS_MAX + 1,
    PACED_MAX = 1024,     /* streams whose rhythm is watched at a time (pace.h) */
    DRAIN_IDLE_MS = 1000, /* in a drain, how long a connection waits for a request that may be on its way */
};

/* Where a client connection came in. */
enum client_via { VIA_TCP, VIA_UNIX, VIA_HOME, VIA_ADMIN };

struct listener {
    struct op op;
    struct worker *worker;
    int fd; /* -1: closed */
    uint8_t via;
    bool is_loopback; /* only programs of this machine reach it, browsers among them */
};

/* A client's connection. */
struct client {
    struct h1 h1; /* first */
    struct worker *worker;
    struct ring_peer peer;
    uint8_t via;     /* enum client_via */
    uint8_t hops;    /* siblings that the request has passed; VIA_HOME */
    bool is_trusted; /* its peer is one of --trusted-proxy */
    bool is_local;   /* it came in on a loopback address */
    bool is_idle;    /* counted as idle: kept alive between two requests */
    bool has_asked;  /* a request has come on it */
};

struct worker {
    struct child *child;
    const struct config *config;
    struct slot *stats;
    struct ring *ring;
    struct slab slab;
    struct net net;
    struct h1_shared h1;
    struct pool client_pool, conn_pool, exchange_pool, event_id_pool, leg_pool, bond_pool, bridged_pool,
        envelope_pool, held_pool;
    struct list_node clients;     /* struct client, by h1.node */
    struct list_node exchanges;   /* struct exchange, by node */
    struct list_node stop_marker; /* among them while all are told to stop: how far that has come */
    uint32_t client_count, exchange_count, listener_count;
    struct listener listeners[WORKER_LISTENERS_MAX];
    struct op control;
    struct timer drain_timer, prewarm_timer;
    unsigned prewarm_looks;
    struct upstreams upstreams;
    struct tls_context **tls;              /* as config.tls */
    struct upstream home;                  /* the sibling workers */
    struct list_node bonds;                /* struct bond: those of no session */
    struct list_node listeners_of_changes; /* struct bridged, by listener */
    struct list_node parked;               /* calls that wait for their clients (bridging_parked.c) */
    uint32_t parked_count, bond_count;     /* of shared bonds */
    struct merging *merging;               /* NULL: /mcp is not the merged server */
    struct compress *compress;             /* compress.c */
    struct ws_coding *ws;                  /* NULL: nothing was compressed on a WebSocket yet */
    struct bridge_room *bridge_room;       /* scratch of bridging (bridged.h) */
    struct stdio_worker stdio;
    struct seal_keys keys;
    struct sessions *sessions;        /* NULL: the admin's */
    struct journal *journal;          /* NULL: no stream is kept */
    struct list_node streams_waiting; /* struct journaled, by waiting; oldest first */
    uint32_t streams_waiting_count;
    struct text admin_origin;          /* "http://ADDR:PORT" of the admin listener; empty: none */
    struct exchange *paced[PACED_MAX]; /* whose messages have not left; NULL: it has ended since */
    uint32_t paced_count;
    struct upstream *passed; /* by next_passed: those of which something came in this turn (traffic.c) */
    uint64_t held_bytes;     /* of request bodies that are held whole beside the slab */
    uint64_t request_count;
    struct {
        uint64_t at_ns, busy_ns;
        unsigned percent; /* of the time since the time before */
    } load;               /* when it was last measured */
    uint64_t trim_period; /* the quarter of a second in which memory was last given back */
    uint64_t date_s;      /* what date[] says */
    char date[32];        /* IMF-fixdate (RFC 9110 5.6.7) */
    bool is_admin, draining, ended;
    bool stopping;  /* the drain's time is over: nothing new begins, not even to tell an upstream */
    bool not_ready; /* admin: the gateway is about to end */
};

/* The life of a worker, turn by turn; the role entries below and the tests on the simulator run it.
 * worker_open: 0, or a negated errno and one line in why[]. A child without control socket (control_fd < 0)
 * has no supervisor. worker_turn sleeps at most `max_ms` and is false when the worker is drained.
 * worker_close asserts that everything came home. */
int worker_open(struct worker *w, struct child *child, bool is_admin, char *why, size_t why_size);
bool worker_turn(struct worker *w, unsigned max_ms);
void worker_close(struct worker *w);
/* As CONTROL_DRAIN: no new connections, open requests have `ms`. */
void worker_drain(struct worker *w, uint32_t ms);

/* Role entries for proc: run until the supervisor says so; return the exit status. */
int worker_main(struct child *child);
int admin_main(struct child *child);

/* The Date of now; cached for a second. */
struct text worker_date(struct worker *w);

static inline struct client *
client_of(struct h1 *h1)
{
    return (struct client *)(void *)h1;
}

#endif
