/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside the simulator: the structs that its four files share.
 *
 *     ring_sim.c        ring.h: starting operations, the turn, timers
 *     ring_sim_kernel.c submission, what operations do, completions, buffers
 *     ring_sim_net.c    what the kernel and the network are in a real run: descriptors, connections, peers
 *     ring_sim_world.c  the world: seeds, faults, steps, virtual time, running and closing
 *
 * A connection is two ends, each with the bytes that arrived there. An end belongs to a descriptor of the
 * code under test, or it lies in a peer that the test plays.
 */
#ifndef RING_RING_SIM_IMPL_H
#define RING_RING_SIM_IMPL_H

#include "ring/ring_sim.h"
#include "ring/timer.h"

#include <setjmp.h>

enum {
    SIM_FD_BASE = 1000,
    SIM_ADDRESS_MAX = 120,
    SIM_WINDOW = 256 << 10,
    SIM_LATE_MAX_MS = 20,
    MS_NS = 1000000
};

struct sim_bytes { /* first in, first out */
    uint8_t *at;
    size_t start, count, size;
};

struct sim_end {
    struct sim_end *other; /* NULL: that end was closed and freed */
    struct sim_file *file; /* whose it is; NULL: a peer's, or it waits in a backlog */
    struct sim_peer *peer;
    struct list_node dirty;   /* in sim.dirty: something happened here */
    struct list_node backlog; /* in a listener's, or a peer in sim.new_peers */
    struct sim_bytes arrived;
    size_t window; /* limit of arrived */
    uint64_t sent; /* bytes, ever */
    uint64_t received;
    int error;                  /* told once, then reads give 0 and sends EPIPE */
    bool fin_arrived;           /* the other end sends no more */
    bool read_shut, write_shut; /* by its own side */
    bool gone;                  /* reset, or it has sent to an end that was closed: no use sending */
    char address[SIM_ADDRESS_MAX];
};

struct sim_peer {
    struct sim *sim;
    struct sim_end end;
    struct list_node node; /* in sim.peers */
    void (*on_event)(struct sim_peer *peer, void *arg);
    void *on_event_arg;
};

enum sim_file_kind { SIM_FILE_LISTENER, SIM_FILE_STREAM, SIM_FILE_POLLABLE };

struct sim_file {
    int fd;
    enum sim_file_kind kind;
    bool closing;                       /* ring_close() was called; the number is free after the submit */
    bool reset;                         /* ring_reset_on_close() was called */
    struct sim_end *end;                /* stream: NULL until connected */
    struct list_node backlog;           /* listener: sim_end.backlog */
    char address[SIM_ADDRESS_MAX];      /* listener's own, or where a stream connects to */
    struct sim_op *reader;              /* accept, receive or poll in flight */
    struct sim_op *writer;              /* connect or send in flight */
    unsigned ready;                     /* pollable: events that no poll has told yet */
    size_t receive_window, send_window; /* stream: as they were set when it was opened */
};

enum sim_op_kind { SIM_OP_IDLE, SIM_OP_ACCEPT, SIM_OP_CONNECT, SIM_OP_RECV, SIM_OP_SEND, SIM_OP_POLL };

enum sim_op_state {
    SIM_QUEUED,   /* waits for the submit */
    SIM_ACTIVE,   /* the kernel has it */
    SIM_PARKED,   /* a receive without buffers, in ring.parked */
    SIM_WAITING,  /* a receive whose large buffer has not come home, in its group's waiting */
    SIM_BACKOFF,  /* an accept without descriptors, until at_ns */
    SIM_FINISHED, /* its last completion is on its way */
};

enum sim_entry_kind { SIM_ENTRY_START, SIM_ENTRY_CANCEL, SIM_ENTRY_CLOSE };

struct sim_entry { /* of the submission queue */
    struct list_node node;
    enum sim_entry_kind kind;
    uint64_t round;        /* it was queued after this many submits */
    uint64_t serial;       /* cancel: which operation; it may have ended before the submit */
    struct sim_file *file; /* close */
};

/* An operation in flight: the kernel's side of a `struct op`, which is not looked at before its next done().
 */
struct sim_op {
    uint64_t serial; /* an op that is started again has another one */
    struct op *op;
    enum sim_op_kind kind;
    enum sim_op_state state;
    int fd;
    struct sim_file *file;   /* NULL: poll of a descriptor of the real system */
    struct list_node all;    /* in ring.ops */
    struct list_node parked; /* in its group's parked or waiting */
    struct list_node timed;  /* in ring.timed: something is due at at_ns */
    struct sim_entry start;
    uint64_t at_ns;
    uint64_t last_ns; /* when its latest completion is seen */
    bool one;         /* ring_recv_one() */
    bool cancel_late; /* what is due at at_ns is a cancel */
    bool large;       /* into RING_LARGE; `group` says what there was */
    uint8_t group;
    uint32_t run_bytes; /* received since it was armed */
    struct buf *last;   /* waiting: for this */
    unsigned iov_count, send_flags, poll_events, poll_ready;
    const struct iovec *iov; /* the caller's until the submit, then a copy, as the kernel makes one */
    struct iovec *iov_copy;
    size_t sent, total;
};

struct sim_completion {
    struct list_node node;
    struct sim_op *op;
    uint64_t at_ns;
    int result;
    struct buf *buf;
    bool more;
    bool has_more; /* ring_has_more() */
};

struct sim_group {
    struct buf_home home;
    struct ring *ring;
    struct buf *bufs;
    struct buf **free; /* first in, first out, as the kernel's ring of buffers cycles */
    unsigned count, size, free_first, free_count;
    struct list_node parked, waiting;
};

struct sim_chunk {
    struct sim_chunk *next;
    uint8_t bytes[] __attribute__((aligned(16)));
};

struct ring {
    struct sim *sim;
    struct ring_config config;
    struct ring_stats stats;
    struct sim_group groups[RING_GROUPS];
    struct wheel wheel;
    uint64_t reaped_ns, submitted_ns;
    struct list_node entries;     /* queued for the submit */
    struct list_node completions; /* in the order in which they are seen */
    unsigned completion_count;
    struct list_node ops, timed;
    uint64_t serial, rounds, busy_ns;
    struct sim_chunk *arena; /* one allocation each, freed when a ring_wait() returns */
    unsigned idle_waits;     /* in a row that did not sleep and found nothing */
};

struct sim_event {
    struct list_node node;
    uint64_t at_ns;
    void (*fn)(void *arg);
    void *arg;
};

struct sim_route {
    struct list_node node;
    enum sim_serve behaviour;
    char address[SIM_ADDRESS_MAX];
};

struct sim_script {
    struct list_node node;
    uint64_t step;
    enum sim_fault fault;
};

struct sim {
    uint64_t seed, random, now_ns, steps;
    struct ring *ring;
    struct sim_file **files; /* by fd - SIM_FD_BASE; NULL: free */
    unsigned file_slots, file_count, fd_limit;
    struct list_node dirty, peers, new_peers, routes, events;
    void (*on_peer)(struct sim_peer *peer, void *arg);
    void *on_peer_arg;
    unsigned next_port;
    size_t connect_receive_window, connect_send_window;

    unsigned per_mille[SIM_FAULTS];
    struct list_node scripts;
    uint64_t kill_step; /* 0: none */
    jmp_buf *killed;
    unsigned busy_percent;
    uint64_t limit_ns; /* where the run ends: no ring_wait() sleeps beyond it */
    uint64_t settle_steps, ack_delays;
    unsigned quiet_turns, settle_turns;
    void (*turn)(void *arg);
    void *turn_arg;
};

/* --- ring_sim_world.c --- */

extern struct sim *sim_current; /* the open world */

/* Is it this fault's turn? Asked once per opportunity. */
bool sim_hits(struct sim *sim, enum sim_fault fault);
/* One step more; does not return when the process dies at it. */
void sim_step(struct sim *sim);
void sim_run_events(struct sim *sim); /* those that are due */
uint64_t sim_next_event_ns(const struct sim *sim);

/* --- ring_sim_net.c --- */

struct sim_file *sim_file_find(const struct sim *sim, int fd); /* NULL when it is not open */
/* NULL when no descriptor is left. */
struct sim_file *sim_file_new(struct sim *sim, enum sim_file_kind kind);
/* What the kernel does when the last reference goes: the other end sees FIN, or a reset if bytes were unread
 * or one was asked for. */
void sim_file_free(struct sim *sim, struct sim_file *file);
void sim_file_shutdown(struct sim *sim, struct sim_file *file, int how);
/* The next descriptor off a listener's backlog, -EAGAIN when none waits, or another negated errno. */
int sim_file_accept(struct sim *sim, struct sim_file *listener);
/* 0, -EINPROGRESS when the answer never comes, or another negated errno. */
int sim_file_connect(struct sim *sim, struct sim_file *file);

void sim_address_of(const struct sockaddr *addr, char ret_text[SIM_ADDRESS_MAX]);
void sim_address_peer(const char *text, struct ring_peer *ret_peer);

size_t sim_end_room(const struct sim_end *end);                                           /* for sending */
void sim_end_push(struct sim *sim, struct sim_end *end, const void *bytes, size_t count); /* there is room */
size_t sim_end_pull(struct sim *sim, struct sim_end *end, void *ret_bytes, size_t size);
void sim_end_reset(struct sim *sim, struct sim_end *end); /* a reset arrives here */
/* Lets those know to whom something happened: operations are tried again, peers' watchers called. */
void sim_net_deliver(struct sim *sim);
void sim_net_done(struct sim *sim);

/* --- ring_sim_kernel.c --- */

void ring_sim_group_open(struct ring *ring, unsigned id, unsigned count, unsigned size);
void ring_sim_group_close(struct sim_group *g);
void ring_sim_queue(struct ring *ring, struct sim_entry *entry);
void ring_sim_submit(struct ring *ring);
void ring_sim_wake(struct ring *ring, struct sim_file *file); /* tries its operations again */
void ring_sim_signal(struct ring *ring, int fd, unsigned revents);
void ring_sim_restart_parked(struct ring *ring);
bool ring_sim_parked_can_start(const struct ring *ring);
/* Accepts that will be tried again and late cancels: when the first is due, and doing those that are. */
uint64_t ring_sim_timed_ns(const struct ring *ring, bool cancels_only);
void ring_sim_run_timed(struct ring *ring);

/* --- ring_sim.c --- */

/* When what was begun goes on: now, later, or UINT64_MAX when nothing is on its way. */
uint64_t ring_sim_pending_ns(const struct ring *ring);
void ring_sim_check_idle(struct ring *ring);
/* Frees the ring with all that is in flight; no done() is called. */
void ring_sim_abandon(struct ring *ring);

#endif
