/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel's io_uring behind ring.h: operations and the turn. No other layer knows SQEs and CQEs.
 *
 * user_data is the address of the operation, or TAG_NONE for what nobody waits for (cancels, closes). An op's
 * flags say where it is:
 *
 *      armed      the kernel has it
 *      parked     a receive that found its group empty waits in group->parked for a buffer to come home, one
 *                 whose large buffer is out in waiting[] of that buffer; an accept that failed waits in
 *                 accept_retry for its timer
 *      deferred   its last done() is due in the next reap (a cancel that found it parked, or ended by itself)
 */
#include "base/list.h"
#include "ring/ring_uring_impl.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

enum op_kind { OP_IDLE, OP_ACCEPT, OP_CONNECT, OP_RECV, OP_SEND, OP_POLL };

enum op_flag {
    OPF_ARMED = 1,
    OPF_PARKED = 2,
    OPF_DEFERRED = 4,
    OPF_CANCEL = 8, /* ring_cancel was called */
    OPF_ONE = 16,   /* ring_recv_one() */
    OPF_LARGE = 32, /* ring_recv() into RING_LARGE; op->group says what there was */
};

enum { ACCEPT_RETRY_MS = 100 };

/* --- submission --- */

static void
arm(struct op *op, struct io_uring_sqe *sqe)
{
    io_uring_sqe_set_data(sqe, op);
    op->flags = (uint8_t)((op->flags & (OPF_CANCEL | OPF_ONE | OPF_LARGE)) | OPF_ARMED);
}

static void
forget(struct ring *ring, struct io_uring_sqe *sqe)
{
    io_uring_sqe_set_data64(sqe, TAG_NONE);
    if (has(ring, FEATURE_SKIP_SUCCESS))
        sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
}

static void
op_start(struct op *op, enum op_kind kind, int fd, op_done *done)
{
    ASSERT(op->kind == OP_IDLE);
    op->kind = (uint8_t)kind;
    op->fd = fd;
    op->flags = 0;
    op->done = done;
}

uint64_t
ring_now(const struct ring *ring)
{
    return ring->now_ns;
}

uint64_t
ring_submitted(const struct ring *ring)
{
    return ring->submitted_ns;
}

const struct ring_stats *
ring_stats(const struct ring *ring)
{
    return &ring->stats;
}

uint64_t
ring_busy_ns(const struct ring *ring)
{
    return busy_ns(&ring->busy) - ring->spun_ns;
}

/* --- the arena --- */

void *
ring_arena(struct ring *ring, size_t size)
{
    struct arena_chunk *chunk = ring->arena;
    void *at;

    size = (size + 15) & ~(size_t)15;
    if (ring->arena_used + size > chunk->size) {
        size_t bytes = size > ARENA_BYTES ? size : ARENA_BYTES;

        chunk = malloc(sizeof *chunk + bytes);
        ASSERT(chunk);
        chunk->next = ring->arena;
        chunk->size = bytes;
        ring->arena = chunk;
        ring->arena_used = 0;
    }
    at = chunk->bytes + ring->arena_used;
    ring->arena_used += size;
    return at;
}

static void
arena_reset(struct ring *ring)
{
    while (ring->arena->next) {
        struct arena_chunk *next = ring->arena->next;
        free(ring->arena);
        ring->arena = next;
    }
    ring->arena_used = 0;
}

/* --- operations --- */

static void
arm_accept(struct ring *ring, struct op *op)
{
    struct io_uring_sqe *sqe = get_sqe(ring);

    if (has(ring, FEATURE_MULTISHOT_ACCEPT))
        io_uring_prep_multishot_accept(sqe, op->fd, NULL, NULL, SOCK_CLOEXEC);
    else
        io_uring_prep_accept(sqe, op->fd, NULL, NULL, SOCK_CLOEXEC);
    arm(op, sqe);
}

static void
arm_recv_into(struct ring *ring, struct op *op, enum ring_group group)
{
    struct io_uring_sqe *sqe = get_sqe(ring);

    op->group = (uint8_t)group;
    /* A multishot without a limit takes all that the socket holds before its owner can stop it; bulk is
     * received one buffer at a time. */
    if (has(ring, FEATURE_MULTISHOT_RECV) && op->group == RING_SMALL && !(op->flags & OPF_ONE)) {
        io_uring_prep_recv_multishot(sqe, op->fd, NULL, 0, 0);
        if (has(ring, FEATURE_RECV_LIMIT))
            set_recv_limit(sqe, RING_RUN * ring->groups[op->group].size);
    } else {
        io_uring_prep_recv(sqe, op->fd, NULL, 0, 0);
    }
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = op->group;
    arm(op, sqe);
}

/* Where it waits for a buffer; bulk ones stand in for large ones. */
static enum ring_group
waits_in(const struct op *op)
{
    return op->flags & OPF_LARGE ? RING_BULK : (enum ring_group)op->group;
}

static void
arm_recv(struct ring *ring, struct op *op)
{
    const struct group *large = &ring->groups[RING_LARGE];
    bool takes_large = op->flags & OPF_LARGE && large->out < large->count;

    arm_recv_into(ring, op, takes_large ? RING_LARGE : waits_in(op));
}

static void
arm_poll(struct ring *ring, struct op *op)
{
    struct io_uring_sqe *sqe = get_sqe(ring);

    io_uring_prep_poll_multishot(sqe, op->fd, op->group);
    arm(op, sqe);
}

static void
park_recv(struct ring *ring, struct op *op)
{
    op->flags |= OPF_PARKED;
    park(&ring->groups[waits_in(op)], op);
}

/* It found its group empty. */
static void
starve(struct ring *ring, struct op *op)
{
    if (op->group == RING_LARGE) {
        arm_recv_into(ring, op, RING_BULK);
        return;
    }
    ring->stats.parked++;
    park_recv(ring, op);
}

static void
defer(struct ring *ring, struct op *op)
{
    op->flags |= OPF_DEFERRED;
    op->next = NULL;
    *ring->deferred_end = op;
    ring->deferred_end = &op->next;
}

void
ring_accept(struct ring *ring, struct op *op, int fd, op_done *done)
{
    op_start(op, OP_ACCEPT, fd, done);
    arm_accept(ring, op);
}

int
ring_accept_now(struct ring *ring, int fd)
{
    struct pollfd ready = {.fd = fd, .events = POLLIN};

    (void)ring;
    if (poll(&ready, 1, 0) <= 0) /* the listener may be a blocking one */
        return -EAGAIN;
    fd = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

int
ring_connect(struct ring *ring, struct op *op, const struct sockaddr *addr, socklen_t addr_len, op_done *done)
{
    /* Blocking on purpose: on O_NONBLOCK descriptors the kernel would answer -EAGAIN instead of waiting. */
    int fd = socket(addr->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct io_uring_sqe *sqe;
    void *copy;
    int on = 1;

    if (fd < 0)
        return -errno;
    if (addr->sa_family != AF_UNIX)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (ring->receive_buffer)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &ring->receive_buffer, sizeof ring->receive_buffer);
    if (ring->send_buffer)
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &ring->send_buffer, sizeof ring->send_buffer);
    op_start(op, OP_CONNECT, fd, done);
    copy = ring_arena(ring, addr_len);
    memcpy(copy, addr, addr_len);
    sqe = get_sqe(ring);
    io_uring_prep_connect(sqe, fd, copy, addr_len);
    arm(op, sqe);
    return fd;
}

static void
start_recv(struct ring *ring, struct op *op, int fd, enum ring_group group, enum op_flag flag, op_done *done)
{
    op_start(op, OP_RECV, fd, done);
    op->flags = (uint8_t)(flag | (group == RING_LARGE ? OPF_LARGE : 0));
    op->group = (uint8_t)(group == RING_LARGE ? RING_BULK : group);
    if (ring->groups[op->group].parked)
        park_recv(ring, op); /* behind those who wait already */
    else
        arm_recv(ring, op);
}

void
ring_recv(struct ring *ring, struct op *op, int fd, enum ring_group group, op_done *done)
{
    start_recv(ring, op, fd, group, 0, done);
}

void
ring_recv_one(struct ring *ring, struct op *op, int fd, enum ring_group group, op_done *done)
{
    start_recv(ring, op, fd, group, OPF_ONE, done);
}

void
ring_send(struct ring *ring, struct op *op, int fd, const struct iovec *iov, unsigned iov_count,
          unsigned flags, op_done *done)
{
    int msg_flags = MSG_NOSIGNAL | (flags & RING_SEND_NOWAIT ? MSG_DONTWAIT : 0) |
                    (flags & RING_SEND_ALL ? MSG_WAITALL : 0) | (flags & RING_SEND_MORE ? MSG_MORE : 0);
    struct io_uring_sqe *sqe = get_sqe(ring);

    op_start(op, OP_SEND, fd, done);
    if (iov_count == 1) {
        io_uring_prep_send(sqe, fd, iov->iov_base, iov->iov_len, msg_flags);
    } else {
        struct msghdr *msg = ring_arena(ring, sizeof *msg);

        *msg = (struct msghdr){.msg_iov = (struct iovec *)(uintptr_t)iov, .msg_iovlen = iov_count};
        io_uring_prep_sendmsg(sqe, fd, msg, (unsigned)msg_flags);
    }
    arm(op, sqe);
}

void
ring_poll(struct ring *ring, struct op *op, int fd, unsigned events, op_done *done)
{
    op_start(op, OP_POLL, fd, done);
    ASSERT(events <= UINT8_MAX);
    op->group = (uint8_t)events; /* kept for arming it again */
    arm_poll(ring, op);
}

static void
unlink_op(struct op **head, struct op ***end, struct op *op)
{
    for (struct op **at = head; *at; at = &(*at)->next) {
        if (*at != op)
            continue;
        *at = op->next;
        if (end && *end == &op->next)
            *end = at;
        return;
    }
}

/* A receive that waits leaves the place where it does. */
static void
unpark(struct ring *ring, struct op *op)
{
    const struct group *large = &ring->groups[RING_LARGE];
    struct group *g = &ring->groups[waits_in(op)];

    for (unsigned i = 0; i < large->count; i++)
        if (large->waiting[i] == op)
            large->waiting[i] = NULL;
    unlink_op(&g->parked, &g->parked_end, op);
}

void
ring_cancel(struct ring *ring, struct op *op)
{
    if (!op_busy(op) || (op->flags & (OPF_CANCEL | OPF_DEFERRED)))
        return;
    op->flags |= OPF_CANCEL;
    if (op->flags & OPF_ARMED) {
        struct io_uring_sqe *sqe = get_sqe(ring);

        io_uring_prep_cancel64(sqe, (uint64_t)(uintptr_t)op, 0);
        forget(ring, sqe);
    } else if (op->flags & OPF_PARKED) {
        op->flags &= (uint8_t)~OPF_PARKED;
        if (op->kind == OP_RECV)
            unpark(ring, op);
        else
            unlink_op(&ring->accept_retry, NULL, op);
        defer(ring, op);
    }
    /* Otherwise it is called from the op's own done(): complete() looks at OPF_CANCEL afterwards. */
}

void
ring_shutdown(struct ring *ring, int fd, int how)
{
    (void)ring;
    shutdown(fd, how); /* a call of its own: IORING_OP_SHUTDOWN always goes through a kernel thread */
}

void
ring_close(struct ring *ring, int fd)
{
    struct io_uring_sqe *sqe = get_sqe(ring);

    io_uring_prep_close(sqe, fd);
    forget(ring, sqe);
}

int
ring_peer(struct ring *ring, int fd, struct ring_peer *ret_peer)
{
    struct sockaddr_storage ss = {0};
    socklen_t len = sizeof ss;
    struct ring_peer peer = {0};

    (void)ring;
    if (getpeername(fd, (struct sockaddr *)&ss, &len) < 0)
        return -errno;
    if (ss.ss_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&ss;
        memcpy(peer.ip, &in6->sin6_addr, 16);
        peer.port = ntohs(in6->sin6_port);
    } else if (ss.ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)&ss;
        peer.ip[10] = peer.ip[11] = 0xff;
        memcpy(peer.ip + 12, &in->sin_addr, 4);
        peer.port = ntohs(in->sin_port);
    } else {
        struct ucred cred;
        socklen_t cred_len = sizeof cred;

        peer.is_unix = true;
        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &cred_len) < 0)
            return -errno;
        peer.uid = cred.uid;
    }
    *ret_peer = peer;
    return 0;
}

void
ring_reset_on_close(struct ring *ring, int fd)
{
    struct linger linger = {.l_onoff = 1, .l_linger = 0};

    (void)ring;
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
}

void
ring_set_notsent_lowat(struct ring *ring, int fd, unsigned bytes)
{
    (void)ring;
    setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &bytes, sizeof bytes);
}

void
ring_delay_acks(struct ring *ring, int fd)
{
    int off = 0;

    (void)ring;
    setsockopt(fd, IPPROTO_TCP, TCP_QUICKACK, &off, sizeof off);
}

void
ring_set_connect_buffers(struct ring *ring, unsigned receive_bytes, unsigned send_bytes)
{
    ring->receive_buffer = (int)receive_bytes;
    ring->send_buffer = (int)send_bytes;
}

/* --- the turn --- */

/* As many as there are buffers. True when some must wait for the next turn although buffers may be left:
 * those who went first may have nothing to receive, so the ring must not sleep before the others had their
 * turn. */
static bool
restart_parked(struct ring *ring)
{
    bool again = false;

    for (unsigned i = 0; i < RING_GROUPS; i++) {
        struct group *g = &ring->groups[i];
        unsigned home = g->count - g->out;

        for (unsigned n = 0; g->parked && n < home; n++) {
            struct op *op = g->parked;

            unlink_op(&g->parked, &g->parked_end, op);
            arm_recv(ring, op);
        }
        again |= g->parked && home;
    }
    return again;
}

static void
submit_and_sleep(struct ring *ring, uint64_t sleep_ms)
{
    struct __kernel_timespec ts = {.tv_sec = (int64_t)(sleep_ms / 1000),
                                   .tv_nsec = (int64_t)(sleep_ms % 1000) * 1000000};
    struct io_uring_cqe *cqe;
    int err = sleep_ms ? io_uring_submit_and_wait_timeout(&ring->io, &cqe, 1, &ts, NULL)
                       : io_uring_submit_and_get_events(&ring->io);

    ASSERT(err >= 0 || err == -ETIME || err == -EINTR || err == -EAGAIN || err == -EBUSY);
}

/* Polls for spin_us at most; true when a completion came, or the time to sleep is over. */
static bool
spin(struct ring *ring, uint64_t sleep_ms)
{
    uint64_t sleep_us = sleep_ms * 1000, spin_us = ring->spin_us < sleep_us ? ring->spin_us : sleep_us;
    uint64_t start_ns, now_ns;

    if (!spin_us)
        return false;
    submit_and_sleep(ring, 0);
    if (io_uring_cq_ready(&ring->io))
        return true;
    start_ns = now_ns = clock_ns();
    while (!io_uring_cq_ready(&ring->io) && now_ns < ring->submitted_ns + spin_us * 1000) {
        submit_and_sleep(ring, 0);
        now_ns = clock_ns();
    }
    ring->spun_ns += now_ns - start_ns;
    return io_uring_cq_ready(&ring->io) || spin_us == sleep_us;
}

void
ring_wait(struct ring *ring, unsigned max_ms)
{
    uint64_t now_ms, next_ms, sleep_ms = max_ms;
    bool again;

    again = restart_parked(ring);
    ring->submitted_ns = clock_ns();
    now_ms = ring->submitted_ns / 1000000; /* not the reap's: the turn has taken its time */
    next_ms = wheel_next_ms(&ring->wheel);
    if (again || ring->deferred || next_ms <= now_ms)
        sleep_ms = 0;
    else if (next_ms - now_ms < sleep_ms)
        sleep_ms = next_ms - now_ms;
    ring->stats.waits++;
    if (!sleep_ms || !spin(ring, sleep_ms))
        submit_and_sleep(ring, sleep_ms);
    if (!io_uring_sq_ready(&ring->io)) /* what the kernel would not take yet still points into it */
        arena_reset(ring);
    if (ring->populate_at_ns && ring->submitted_ns >= ring->populate_at_ns)
        ring_populate(ring);
}

/* The last done() of an op; the owner may free it. */
static void
finish(struct op *op, int result, struct buf *buf)
{
    op->kind = OP_IDLE;
    op->flags &= RING_HAS_MORE;
    op->done(op, result, buf, false);
}

static void
accept_again(struct ring *ring, struct timer *timer)
{
    struct op *op = ring->accept_retry;

    (void)timer;
    ring->accept_retry = NULL;
    while (op) {
        struct op *next = op->next;

        arm_accept(ring, op);
        op = next;
    }
}

/* io_uring tells POLLRDHUP unasked; a half-close is no event that ring_poll() promises. */
static int
poll_events(const struct op *op, int result)
{
    return result > 0 ? result & (op->group | POLLERR | POLLHUP | POLLNVAL) : result;
}

static bool
poll_is_idle(const struct op *op, int result)
{
    return op->kind == OP_POLL && result == 0;
}

/* Behind this turn's sends: its owner hears of a short one first, and may pause it. A large buffer is waited
 * for. */
static void
rearm_recv(struct ring *ring, struct op *op, const struct buf *last)
{
    ring->stats.rearms += op->group == RING_SMALL && !has(ring, FEATURE_RECV_LIMIT);
    if (op->group == RING_LARGE && last->refs) {
        op->flags |= OPF_PARKED;
        ring->groups[RING_LARGE].waiting[last->id] = op;
    } else {
        park_recv(ring, op);
    }
}

static void
rearm(struct ring *ring, struct op *op)
{
    ring->stats.rearms++;
    if (op->kind == OP_POLL)
        arm_poll(ring, op);
    else
        arm_accept(ring, op);
}

static void
accept_later(struct ring *ring, struct op *op)
{
    op->flags |= OPF_PARKED;
    op->next = ring->accept_retry;
    ring->accept_retry = op;
    timer_set(ring, &ring->accept_timer, ACCEPT_RETRY_MS, accept_again);
}

/* A multishot that the kernel ended, or a one-shot stand-in, but whose work goes on: the owner sees no
 * difference. A negative result but -ENOBUFS is an accept's: EMFILE, ENFILE, ENOMEM, or the peer was gone
 * already. */
static void
go_on(struct ring *ring, struct op *op, int result, struct buf *buf)
{
    bool starved = op->kind == OP_RECV && result == -ENOBUFS;

    op->flags &= (uint8_t)~OPF_ARMED;
    if (!starved && !poll_is_idle(op, result))
        op->done(op, result, buf, true);
    if (op->flags & OPF_CANCEL)
        defer(ring, op);
    else if (starved)
        starve(ring, op);
    else if (result < 0)
        accept_later(ring, op);
    else if (op->kind == OP_RECV)
        rearm_recv(ring, op, buf);
    else
        rearm(ring, op);
}

static struct buf *
take_buf(struct ring *ring, struct op *op, unsigned cqe_flags)
{
    struct group *g;
    struct buf *b;

    if (!(cqe_flags & IORING_CQE_F_BUFFER))
        return NULL;
    g = &ring->groups[op->group];
    b = &g->bufs[cqe_flags >> IORING_CQE_BUFFER_SHIFT];
    ASSERT(b->refs == 0);
    b->refs = 1;
    g->out++;
    ring->stats.bufs_taken[op->group]++;
    return b;
}

static void
complete(struct ring *ring, struct op *op, int result, unsigned cqe_flags)
{
    struct buf *buf = take_buf(ring, op, cqe_flags);
    bool goes_on;

    if (buf && result <= 0) { /* end of file may carry a buffer */
        buf_unref(buf);
        buf = NULL;
    }
    if (op->kind == OP_POLL)
        result = poll_events(op, result);
    op->flags &= (uint8_t)~RING_HAS_MORE;
    if (op->kind == OP_RECV && cqe_flags & IORING_CQE_F_SOCK_NONEMPTY)
        op->flags |= RING_HAS_MORE;
    if (cqe_flags & IORING_CQE_F_MORE) {
        if (!poll_is_idle(op, result))
            op->done(op, result, buf, true);
        return;
    }
    switch (op->kind) {
    case OP_RECV:
        goes_on = (result > 0 && !(op->flags & OPF_ONE)) || result == -ENOBUFS;
        break;
    case OP_ACCEPT:
        goes_on = result != -ECANCELED && result != -EBADF && result != -EINVAL && result != -ENOTSOCK;
        break;
    case OP_POLL:
        goes_on = result >= 0;
        break;
    default:
        goes_on = false;
    }
    if (goes_on)
        go_on(ring, op, result, buf);
    else
        finish(op, result, buf);
}

static unsigned
run_deferred(struct ring *ring)
{
    struct op *op = ring->deferred;
    unsigned n = 0;

    ring->deferred = NULL;
    ring->deferred_end = &ring->deferred;
    while (op) {
        struct op *next = op->next;

        finish(op, -ECANCELED, NULL);
        op = next;
        n++;
    }
    return n;
}

unsigned
ring_reap(struct ring *ring)
{
    struct io_uring_cqe *cqe;
    unsigned head, n = 0;

    ring->now_ns = clock_ns();
    io_uring_for_each_cqe(&ring->io, head, cqe)
    {
        uint64_t data = io_uring_cqe_get_data64(cqe);

        if (n && n % RING_TURN_STEP == 0 && clock_ns() - ring->now_ns > RING_TURN_NS)
            break;
        n++;
        if (data != TAG_NONE)
            complete(ring, (struct op *)(uintptr_t)data, cqe->res, cqe->flags);
    }
    io_uring_cq_advance(&ring->io, n);
    ring->stats.completions += n;
    ring->stats.cq_overflows = *ring->io.cq.koverflow;
    n += run_deferred(ring);
    return n + wheel_advance(&ring->wheel, ring, ring->now_ns / 1000000);
}

void
timer_set(struct ring *ring, struct timer *timer, uint64_t ms, void (*fire)(struct ring *, struct timer *))
{
    timer->fire = fire;
    /* One tick more: the current millisecond has partly passed. */
    wheel_set(&ring->wheel, timer, ring->now_ns / 1000000 + ms + 1);
}

void
timer_stop(struct timer *timer)
{
    wheel_stop(timer);
}
