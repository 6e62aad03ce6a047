/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The worker's ring: operations, provided buffers, timers and the clock. Nothing above this header knows
 * io_uring; two libraries implement it, `ring` (ring_uring.c, the kernel's io_uring) and `ring_sim`
 * (ring_sim.c, a deterministic simulator with virtual descriptors, virtual time and seeded faults; see
 * ring_sim.h for what tests may do to it).
 *
 * A turn:   ring_wait()   submits all that was queued and sleeps until a completion or a timer is due
 *           ring_reap()   reads the clock once, calls done() of every completion, then runs due timers
 *           ...           the caller does its work and queues operations
 *
 * Operations. A `struct op` is embedded in its owner; done() finds the owner with container_of(). start
 * functions never call done() before they return. Each start is followed by exactly one done() with more ==
 * false; multishot ones (accept, recv) may bring any number with more == true before it. The owner must stay in
 * place until then: op_busy() tells. A result below zero is a negated errno.
 *
 * Cancelling only asks: done() comes with -ECANCELED, or with a result that was on its way already.
 *
 * Buffers. A completion of recv that holds bytes hands over one reference to `buf` (its first `result` bytes);
 * the callee gives it back with buf_unref() when it has finished with the bytes. When a group runs out, the
 * ring parks the receiving operations itself (first in, first out, without spinning) and restarts as many as
 * buffers came home; the owner does not notice. So it does with a receive whose large buffer is out.
 */
#ifndef RING_RING_H
#define RING_RING_H

#include "base/buf.h"
#include "base/list.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/uio.h>

struct ring;
struct op;

typedef void op_done(struct op *op, int result, struct buf *buf, bool more);

struct op {
    op_done *done;
    struct op *next; /* ring's: parked or deferred completions */
    int fd;          /* ring's */
    uint8_t kind;    /* ring's; 0: idle */
    uint8_t group;   /* ring's: recv's buffer group; who receives may read it */
    uint8_t flags;   /* ring's, but for RING_HAS_MORE */
};

enum { RING_HAS_MORE = 128 };

/* In done() of a receive that brings bytes: the socket holds more, or the peer's end is there already. An end, and
 * what a unix socket holds, only some kernels tell. */
static inline bool
ring_has_more(const struct op *op)
{
    return op->flags & RING_HAS_MORE;
}

static inline bool
op_busy(const struct op *op)
{
    return op->kind != 0;
}

enum ring_group {
    RING_SMALL, /* 2 KiB: heads, events, JSON-RPC */
    RING_BULK,  /* 24 KiB, one at a time: streams that proved to be large */
    RING_LARGE, /* 256 KiB, the next when the last has come home: bodies that are passed on as they are */
    RING_GROUPS
};

enum { RING_SMALL_BYTES = 2048, RING_BULK_BYTES = 24 << 10, RING_LARGE_BYTES = 256 << 10 };

/* Of the large ones there are few: where none is left, a receive takes a bulk one instead. */
enum { RING_LARGE_COUNT = 8 };
static inline bool
ring_is_large(const struct buf *buf)
{
    return buf->kind == BUF_PROVIDED && buf->klass == RING_LARGE;
}

/* So many full small buffers of one connection in a turn, then its owner may stop it. Before Linux 6.17 there is
 * no such limit: a turn brings what the socket holds. */
enum { RING_RUN = 8 };

struct ring_config {
    unsigned sq_entries;                /* 0: 4096 */
    unsigned cq_entries;                /* 0: 16384 */
    unsigned buf_count[RING_GROUPS];    /* powers of two; 0: 1024, 64, RING_LARGE_COUNT */
    unsigned buf_size[RING_GROUPS];     /* bytes; 0: as above */
    uint32_t spin_us; /* how long ring_wait() polls before it sleeps */
};

/* What the ring counts for the metrics. */
struct ring_stats {
    uint64_t bufs_taken[RING_GROUPS], bufs_returned[RING_GROUPS]; /* equal when nothing is out */
    uint64_t parked;       /* receives that found their group empty */
    uint64_t cq_overflows; /* completions the kernel had to keep aside */
    uint64_t rearms;       /* multishots that ended before their time and were started again */
    uint64_t waits, completions;
};

/* 0 and *ret_ring, or a negated errno and, in why[], one line for a person that names the cause and the way
 * out (ENOMEM: locked memory; EPERM: seccomp or sysctl; ENOSYS: kernel). Optional kernel features named in the
 * environment variable MCPGATE_RING_DISABLE (comma-separated, see ring_feature_names) are not used. */
int ring_new(const struct ring_config *config, struct ring **ret_ring, char *why, size_t why_size);
/* Needs no operation in flight but those the ring started for itself; closes the ring and frees the buffers. */
void ring_free(struct ring **ring);

extern const char *const ring_feature_names[]; /* NULL-terminated */

/* Monotonic nanoseconds, read once by ring_reap() and once at the end of ring_wait()'s submit: all events of one
 * turn share the stamps. */
uint64_t ring_now(const struct ring *ring);        /* at the last reap */
uint64_t ring_submitted(const struct ring *ring);  /* at the last submit */
const struct ring_stats *ring_stats(const struct ring *ring);
/* Nanoseconds that this thread has worked, or wanted to, so far (base/busy.h), without ring_wait()'s polling. A
 * system call: for who looks now and then. */
uint64_t ring_busy_ns(const struct ring *ring);

/* Submits and sleeps until something completes, a timer is due, or `max_ms` passed (0: do not sleep). */
void ring_wait(struct ring *ring, unsigned max_ms);
/* Returns how many completions and timers ran. Completions that are still there after RING_TURN_NS are left for
 * the next turn, so that what these have made leaves first. */
enum { RING_TURN_NS = 250000, RING_TURN_STEP = 32 };
unsigned ring_reap(struct ring *ring);

/* --- operations --- */

/* done(result = descriptor). Accepted sockets inherit the listener's options. On EMFILE and the like the ring
 * tells done(-errno, more = true) and tries again by itself after 100 ms. */
void ring_accept(struct ring *ring, struct op *op, int fd, op_done *done);

/* Takes one connection that waits on `fd`, for what is left when an accept was cancelled: a descriptor, or -EAGAIN
 * when there is none. A direct call. */
int ring_accept_now(struct ring *ring, int fd);

/* Opens a socket for `addr` (CLOEXEC, TCP_NODELAY for TCP) and connects it. Returns the
 * descriptor (done(0) when connected, done(-errno) when not; the caller closes it either way) or a negated errno
 * and starts nothing. `addr` is copied. */
int ring_connect(struct ring *ring, struct op *op, const struct sockaddr *addr, socklen_t addr_len, op_done *done);

/* Receives until end of file (done(0)), an error, or cancel. */
void ring_recv(struct ring *ring, struct op *op, int fd, enum ring_group group, op_done *done);
/* The same, but only once: one done(), with bytes or as above. For who decides each time when to receive next. */
void ring_recv_one(struct ring *ring, struct op *op, int fd, enum ring_group group, op_done *done);

/* One send at a time per socket is the caller's duty. `iov` and what it points at stay in place until done():
 * ring_arena() memory does for the array. done(n) may be short unless RING_SEND_ALL. */
enum ring_send_flags {
    RING_SEND_NOWAIT = 1, /* done(-EAGAIN) or a short count instead of waiting for room */
    RING_SEND_ALL = 2,    /* waits until all is sent, an error, or cancel (then done() may be short) */
    RING_SEND_MORE = 4,   /* more follows at once: MSG_MORE */
};
void ring_send(struct ring *ring, struct op *op, int fd, const struct iovec *iov, unsigned iov_count, unsigned flags,
               op_done *done);

/* done(poll revents) once for each readiness of `events` (POLLIN, POLLOUT), multishot. For descriptors that are not
 * streams (control sockets, eventfds), and with `events` 0 for a stream whose end was received: done() tells its
 * reset (POLLERR, POLLHUP). */
void ring_poll(struct ring *ring, struct op *op, int fd, unsigned events, op_done *done);

/* Nothing happens when the op is idle. */
void ring_cancel(struct ring *ring, struct op *op);

/* No completion is reported for these two. A descriptor must have no op in flight when it is closed. Shutdown acts
 * at once, so SHUT_WR is for when no send is queued. */
void ring_shutdown(struct ring *ring, int fd, int how); /* SHUT_RD, SHUT_WR, SHUT_RDWR */
void ring_close(struct ring *ring, int fd);

/* Direct calls on a descriptor, once per connection or hardly more often. */
struct ring_peer {
    uint8_t ip[16];  /* IPv4 as v4-mapped; zero for unix */
    uint16_t port;   /* host order */
    bool is_unix;
    uint32_t uid;    /* unix: the peer's uid */
};
int ring_peer(struct ring *ring, int fd, struct ring_peer *ret_peer); /* 0 or a negated errno */
/* ring_close() will send a reset instead of FIN. */
void ring_reset_on_close(struct ring *ring, int fd);
void ring_set_notsent_lowat(struct ring *ring, int fd, unsigned bytes);
/* For a TCP connection that brings small pieces in quick succession: Linux acknowledges a piece when it is received,
 * from now on only every other one, or one that nothing has followed for 40 ms. With that it goes back to the first. */
void ring_delay_acks(struct ring *ring, int fd);
/* Bytes of socket buffer, 0: the system's. Applies to sockets that ring_connect opens afterwards. */
void ring_set_connect_buffers(struct ring *ring, unsigned receive_bytes, unsigned send_bytes);

/* Memory for what a queued operation points at; valid until the next ring_wait() returns. Never NULL. */
void *ring_arena(struct ring *ring, size_t size);

/* --- timers: a hierarchical wheel with a tick of 1 ms --- */

struct timer {
    struct list_node node;
    uint64_t due_ms;   /* when it runs; may lie later than where it stands in the wheel */
    void (*fire)(struct ring *ring, struct timer *timer);
};

/* Runs fire() once, from ring_reap(), not before `ms` have passed. Setting a running timer later is one store;
 * setting it earlier moves it. `timer` starts zeroed. */
void timer_set(struct ring *ring, struct timer *timer, uint64_t ms, void (*fire)(struct ring *, struct timer *));
void timer_stop(struct timer *timer);
static inline bool
timer_running(const struct timer *timer)
{
    return list_linked(&timer->node);
}

#endif
