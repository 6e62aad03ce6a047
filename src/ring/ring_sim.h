/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The simulator behind ring.h, as tests see it: a world with virtual descriptors, virtual time and seeded
 * faults. The code under test uses ring.h and nothing else; the test plays every remote peer. Nothing here
 * makes a system call, sleeps or depends on an address, so a seed gives the same run each time.
 *
 *     struct sim *sim = sim_open(seed, &config);         the world and its ring
 *     int listener = sim_listen(sim, "10.0.0.1:80");
 *     sim_serve(sim, "10.0.0.2:80", SIM_ACCEPT);         what ring_connect() finds there
 *     sim_faults_random(sim);
 *     ...start the code under test on sim_ring(sim)...
 *     struct sim_peer *client = sim_connect_to(sim, listener, NULL);
 *     sim_peer_send(client, "GET / HTTP/1.1\r\n\r\n", 18);
 *     sim_settle(sim);
 *     ...look at sim_peer_peek(client)...
 *     sim_close(&sim);
 *
 * What the simulator asserts, always: one send and one receive in flight on a descriptor; no close while an
 * operation is in flight; no use of a closed descriptor; and in sim_close(), that every buffer came home,
 * every descriptor but the listeners was closed, no operation is in flight and no timer runs. A failed check
 * prints the seed; SIM_SEED=n in the environment replaces the seeds of a test.
 *
 * One world at a time. Memory of ring_arena() and of closed connections is freed for real, and buffers that
 * came home are overwritten, so that AddressSanitizer and comparisons find late uses.
 */
#ifndef RING_RING_SIM_H
#define RING_RING_SIM_H

#include "ring/ring.h"

struct sim;
struct sim_peer;

/* --- the world --- */

/* Without a config there is no ring yet: the code under test calls ring_new(), which joins the open world. */
struct sim *sim_open(uint64_t seed, const struct ring_config *config);
/* Makes the checks named above and frees everything, the peers and the ring too. */
void sim_close(struct sim **sim);
struct ring *sim_ring(struct sim *sim); /* NULL before ring_new() and after ring_free() */

/* Calls body once per seed first, first + 1, ...; or once with SIM_SEED. */
void sim_for_seeds(uint64_t first, unsigned count, void (*body)(uint64_t seed));
uint64_t sim_seed(const struct sim *sim);
/* A number below n from the world's generator, for tests that make random choices of their own. */
uint64_t sim_random(struct sim *sim, uint64_t n);

/* --- time --- */

/* The clock stands still while a turn runs, takes a microsecond for a turn in which something happened, and
 * jumps to what is due when a ring_wait() finds nothing to do. */

/* A turn of the code under test; it calls ring_wait() and ring_reap(). Without it a turn is just these two.
 */
void sim_on_turn(struct sim *sim, void (*turn)(void *arg), void *arg);
/* Runs fn from a ring_wait(), once, after `ms` of virtual time. */
void sim_after(struct sim *sim, unsigned ms, void (*fn)(void *arg), void *arg);

enum sim_stop {
    SIM_REACHED, /* what was waited for holds */
    SIM_TIME_UP,
    SIM_KILLED, /* by sim_kill_at(): the ring is gone, all descriptors but the listeners are closed */
};
/* Turns until `until` holds (asked before each turn) or `limit_ms` of virtual time passed. */
enum sim_stop sim_run(struct sim *sim, bool (*until)(void *arg), void *arg, unsigned limit_ms);
/* Turns until all that was begun is done: nothing is queued, no completion is on its way. Timers that become
 * due meanwhile run, but none is waited for. */
enum sim_stop sim_settle(struct sim *sim);
/* Turns for `ms` of virtual time. */
enum sim_stop sim_advance(struct sim *sim, unsigned ms);
uint64_t sim_now_ms(const struct sim *sim);

/* --- faults --- */

enum sim_fault {
    SIM_SHORT_SEND,      /* a send takes some of the bytes for which there was room */
    SIM_FULL_SEND,       /* a RING_SEND_NOWAIT send finds no room */
    SIM_SHORT_RECV,      /* a receive brings one byte */
    SIM_NO_BUFFERS,      /* a receive finds its group empty: it is parked */
    SIM_LOST_MULTISHOT,  /* a multishot ends by itself: the ring arms it again with the next submit */
    SIM_LONG_RUN,        /* small buffers go on behind RING_RUN, as before Linux 6.17 */
    SIM_LATE_COMPLETION, /* up to 20 ms late; the order within one operation stays, between operations it does
                            not */
    SIM_LATE_CANCEL,     /* the cancel reaches its operation up to 20 ms late */
    SIM_RESET,           /* the connection of the operation at hand is reset */
    SIM_EMFILE,          /* an accept or connect gets no descriptor */
    SIM_ENOMEM,          /* ring_new() fails */
    SIM_FAULTS
};
/* How often, of 1000 opportunities; 0 at the start. */
void sim_set_fault(struct sim *sim, enum sim_fault fault, unsigned per_mille);
/* Each seed has its own mixture of SIM_SHORT_SEND to SIM_LATE_CANCEL: what no correct program may notice. */
void sim_faults_random(struct sim *sim);
/* Once, at the first opportunity at or after this step. To try all places: count a run's steps, then run it
 * once with the fault at each of them. */
void sim_fault_at(struct sim *sim, uint64_t step, enum sim_fault fault);
/* The process of the code under test dies at that step, which must lie in a sim_run(), _settle or _advance.
 * Its memory is not touched any more; a new ring may be made in the same world. */
void sim_kill_at(struct sim *sim, uint64_t step);
/* Steps so far: one for each submission entry and each call of done(). */
uint64_t sim_steps(const struct sim *sim);
/* Calls of ring_delay_acks() so far, which changes nothing that could be seen here. */
uint64_t sim_ack_delays(const struct sim *sim);
/* So much of the time that passes the workers are busy, as ring_busy_ns() says it; at first none of it. */
void sim_set_busy(struct sim *sim, unsigned percent);
/* Sockets above this number cannot be opened (EMFILE); 0: no limit. */
void sim_set_fd_limit(struct sim *sim, unsigned count);
unsigned sim_fd_count(const struct sim *sim); /* open ones, listeners too */

/* --- descriptors --- */

/* Addresses are text: "10.0.0.1:80", "[::1]:80", "unix:/path". */

/* A listener to give to ring_accept(); ring_connect() to its address reaches it too. */
int sim_listen(struct sim *sim, const char *address);

enum sim_serve {
    SIM_REFUSE, /* done(-ECONNREFUSED); also where nothing serves */
    SIM_ACCEPT, /* done(0) and a peer for sim_next_peer() */
    SIM_HANG,   /* never completes */
};
void sim_serve(struct sim *sim, const char *address, enum sim_serve behaviour);
/* The next connection that ring_connect() made to an address that serves SIM_ACCEPT, or NULL. */
struct sim_peer *sim_next_peer(struct sim *sim);
/* Called from ring_wait() for each of them instead of queueing it. */
void sim_on_peer(struct sim *sim, void (*on_peer)(struct sim_peer *peer, void *arg), void *arg);

/* A connected descriptor as another process would hand it over, and its far end. */
int sim_pair(struct sim *sim, struct sim_peer **ret);

/* A descriptor for ring_poll(), and what makes it ready. sim_signal also works for descriptors of the real
 * system that the code under test polls. */
int sim_pollable(struct sim *sim);
void sim_signal(struct sim *sim, int fd, unsigned revents);

/* --- peers: the far ends of the connections of the code under test --- */

/* A client connects to our listener; `from` is its address (NULL: one of its own). */
struct sim_peer *sim_connect_to(struct sim *sim, int listener, const char *from);
const char *sim_peer_address(const struct sim_peer *peer); /* where it is, or serves */

/* Sends as much as our side's receive window has room for and returns how much. */
size_t sim_peer_send(struct sim_peer *peer, const void *bytes, size_t count);
size_t sim_peer_puts(struct sim_peer *peer, const char *text);
/* Takes what our side has sent; making room lets waiting sends go on. */
size_t sim_peer_read(struct sim_peer *peer, void *ret_bytes, size_t size);
/* All that arrived and was not read, NUL-terminated, valid until the next call for this peer. */
const char *sim_peer_peek(struct sim_peer *peer, size_t *ret_count);
void sim_peer_discard(struct sim_peer *peer); /* reads it all */

void sim_peer_half_close(struct sim_peer *peer); /* FIN: sends no more, still reads */
/* FIN; with unread bytes, or when our side still sends later, a reset. */
void sim_peer_close(struct sim_peer *peer);
void sim_peer_reset(struct sim_peer *peer);

bool sim_peer_ended(const struct sim_peer *peer);        /* our side has sent FIN */
bool sim_peer_eof(const struct sim_peer *peer);          /* and all bytes were read */
bool sim_peer_was_reset(const struct sim_peer *peer);    /* by our side: it closed with bytes unread */
uint64_t sim_peer_sent(const struct sim_peer *peer);     /* bytes, ever */
uint64_t sim_peer_received(const struct sim_peer *peer); /* bytes that our side has sent, read or not */

/* How many unread bytes fit: of ours at the peer (a peer that does not read fills up, and sends become short,
 * -EAGAIN or wait), and of the peer's at our side. 256 KiB each at the start. */
void sim_peer_set_window(struct sim_peer *peer, size_t bytes);
void sim_peer_set_send_window(struct sim_peer *peer, size_t bytes);

/* Called from ring_wait() when bytes, an end or a reset arrived, or when room to send came back. */
void sim_peer_watch(struct sim_peer *peer, void (*on_event)(struct sim_peer *peer, void *arg), void *arg);

#endif
