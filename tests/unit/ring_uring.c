/* SPDX-License-Identifier: Apache-2.0 */
/* What only the kernel's ring can show: queues that run over, socket options, credentials, refusals at start.
 */
#include "ring_contract.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MANY = 64, TURNS_MAX = 2000 };

struct conn {
    struct op recv;
    struct far *far;
    int fd;
    unsigned count, ends;
    int result;
};

static struct ring *ring;
static struct conn conns[MANY];
static struct op accept_op;
static unsigned accepted;

static void
turn(void)
{
    ring_wait(ring, 10);
    ring_reap(ring);
}

#define RUN_UNTIL(cond)                                                                                      \
    do {                                                                                                     \
        for (unsigned turns_ = 0; !(cond); turns_++) {                                                       \
            cr_assert_lt(turns_, TURNS_MAX, "never: %s", #cond);                                             \
            turn();                                                                                          \
        }                                                                                                    \
    } while (0)

static void
on_accept(struct op *op, int result, struct buf *buf, bool more)
{
    (void)op;
    (void)buf;
    if (more && result >= 0)
        conns[accepted++].fd = result;
}

static void
on_bytes(struct op *op, int result, struct buf *buf, bool more)
{
    struct conn *c = container_of(op, struct conn, recv);

    if (result > 0)
        c->count += (unsigned)result;
    buf_unref(buf);
    if (!more) {
        c->ends++;
        c->result = result;
    }
}

static void
on_readable(struct op *op, int result, struct buf *buf, bool more)
{
    struct conn *c = container_of(op, struct conn, recv);

    (void)buf;
    if (more && result > 0)
        c->count++;
    if (!more) {
        c->ends++;
        c->result = result;
    }
}

static void
open_tiny_queues(void)
{
    const struct ring_config tiny = {
        .sq_entries = 8, .cq_entries = 8, .buf_count = {256, 4}, .buf_size = {64, 256}};

    world_open(&tiny);
    ring = world_ring();
}

static void
cancel_all(void)
{
    for (unsigned i = 0; i < MANY; i++)
        ring_cancel(ring, &conns[i].recv);
    for (unsigned i = 0; i < MANY; i++)
        RUN_UNTIL(!op_busy(&conns[i].recv));
    for (unsigned i = 0; i < MANY; i++)
        ring_close(ring, conns[i].fd);
    ring_cancel(ring, &accept_op);
    RUN_UNTIL(!op_busy(&accept_op));
    turn();
    world_close();
}

Test(uring, receives_survive_a_completion_queue_that_runs_over)
{
    open_tiny_queues();
    ring_accept(ring, &accept_op, world_listener(), on_accept);
    for (unsigned i = 0; i < MANY; i++)
        conns[i].far = far_connect();
    RUN_UNTIL(accepted == MANY);
    for (unsigned i = 0; i < MANY; i++)
        ring_recv(ring, &conns[i].recv, conns[i].fd, RING_SMALL, on_bytes);
    turn();
    for (unsigned round = 1; round <= 5; round++) {
        for (unsigned i = 0; i < MANY; i++)
            far_send(conns[i].far, "x", 1);
        for (unsigned i = 0; i < MANY; i++)
            RUN_UNTIL(conns[i].count >= round);
    }
    for (unsigned i = 0; i < MANY; i++) {
        cr_assert_eq(conns[i].ends, 0);
        cr_assert_eq(conns[i].count, 5);
        far_close(conns[i].far);
    }
    for (unsigned i = 0; i < MANY; i++) {
        RUN_UNTIL(conns[i].ends);
        cr_assert_eq(conns[i].result, 0);
    }
    cr_assert_gt(ring_stats(ring)->rearms, 0, "the queue did run over");
    cr_assert_eq(ring_stats(ring)->bufs_taken[0], ring_stats(ring)->bufs_returned[0]);
    cancel_all();
}

Test(uring, polls_survive_a_completion_queue_that_runs_over)
{
    open_tiny_queues();
    for (unsigned i = 0; i < MANY; i++) {
        conns[i].fd = world_pollable();
        ring_poll(ring, &conns[i].recv, conns[i].fd, POLLIN, on_readable);
    }
    turn();
    for (unsigned round = 1; round <= 5; round++) {
        for (unsigned i = 0; i < MANY; i++)
            world_signal(conns[i].fd);
        for (unsigned i = 0; i < MANY; i++)
            RUN_UNTIL(conns[i].count >= round);
    }
    for (unsigned i = 0; i < MANY; i++)
        cr_assert_eq(conns[i].ends, 0);
    cancel_all();
    for (unsigned i = 0; i < MANY; i++)
        cr_assert_eq(conns[i].result, -ECANCELED);
}

static int
option(int fd, int level, int name)
{
    int value = -1;
    socklen_t len = sizeof value;

    cr_assert_eq(getsockopt(fd, level, name, &value, &len), 0);
    return value;
}

static int connect_result;

static void
on_connect(struct op *op, int result, struct buf *buf, bool more)
{
    (void)op;
    (void)buf;
    (void)more;
    connect_result = result;
}

static void
on_first_bytes(struct op *op, int result, struct buf *buf, bool more)
{
    on_bytes(op, result, buf, more);
    ring_cancel(ring, op);
}

/* Whoever stops its receive at the first bytes must not have taken the whole group: the others live on it,
 * and what is taken is queued above every mark. Without deferred task work a multishot took it all. */
static void
stop_a_receive_at_once(const char *disabled)
{
    enum { BUFS = 1024, SIZE = 16 };
    static const char bytes[BUFS * SIZE];
    const struct ring_config config = {.buf_count = {BUFS, 4}, .buf_size = {SIZE, 256}};
    struct conn *c = &conns[0];

    setenv("MCPGATE_RING_DISABLE", disabled, 1);
    world_open(&config);
    ring = world_ring();
    ring_accept(ring, &accept_op, world_listener(), on_accept);
    c->far = far_connect();
    RUN_UNTIL(accepted == 1);
    cr_assert_eq(far_send(c->far, bytes, sizeof bytes), sizeof bytes);
    poll(NULL, 0, 50); /* it has all arrived */
    ring_recv(ring, &c->recv, c->fd, RING_SMALL, on_first_bytes);
    RUN_UNTIL(c->ends);
    cr_assert_gt(c->count, 0);
    cr_assert_leq(c->count, sizeof bytes / 4, "%u buffers", c->count / SIZE);
    ring_close(ring, c->fd);
    far_close(c->far);
    ring_cancel(ring, &accept_op);
    RUN_UNTIL(!op_busy(&accept_op));
    turn();
    world_close();
}

Test(uring, a_receive_that_is_stopped_at_once_leaves_most_of_its_group_to_others)
{
    stop_a_receive_at_once("");
}

Test(uring, a_receive_without_deferred_task_work_is_bounded_too)
{
    stop_a_receive_at_once("defer_taskrun");
}

Test(uring, connected_sockets_have_the_options_that_were_set)
{
    struct sockaddr_storage addr;
    struct op op = {0};
    int fd;

    open_tiny_queues();
    ring_set_connect_buffers(ring, 20000, 30000);
    fd = ring_connect(ring, &op, (struct sockaddr *)&addr, world_address(PLACE_SERVED, &addr), on_connect);
    RUN_UNTIL(!op_busy(&op));
    cr_assert_eq(connect_result, 0);
    cr_assert_eq(option(fd, IPPROTO_TCP, TCP_NODELAY), 1);
    cr_assert_eq(option(fd, SOL_SOCKET, SO_RCVBUF), 40000);
    cr_assert_eq(option(fd, SOL_SOCKET, SO_SNDBUF), 60000);
    ring_set_notsent_lowat(ring, fd, 16384);
    cr_assert_eq(option(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT), 16384);
    cr_assert_eq(option(fd, IPPROTO_TCP, TCP_QUICKACK), 1);
    ring_delay_acks(ring, fd);
    cr_assert_eq(option(fd, IPPROTO_TCP, TCP_QUICKACK), 0);
    ring_close(ring, fd);
    turn();
    world_close();
}

Test(uring, a_unix_peer_has_a_uid)
{
    int pair[2];
    struct ring_peer peer;

    open_tiny_queues();
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    cr_assert_eq(ring_peer(ring, pair[0], &peer), 0);
    cr_assert(peer.is_unix);
    cr_assert_eq(peer.uid, getuid());
    ring_close(ring, pair[0]);
    ring_close(ring, pair[1]);
    turn();
    world_close();
}

Test(uring, closes_that_were_queued_are_done_before_the_ring_goes)
{
    int pair[2];
    char byte;

    open_tiny_queues();
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    ring_close(ring, pair[0]);
    world_close();
    cr_assert_eq(recv(pair[1], &byte, 1, MSG_DONTWAIT), 0);
    close(pair[1]);
}

Test(uring, each_feature_can_be_named)
{
    for (unsigned i = 0; ring_feature_names[i]; i++) {
        cr_assert_null(strchr(ring_feature_names[i], ','));
        setenv("MCPGATE_RING_DISABLE", ring_feature_names[i], 1);
        open_tiny_queues();
        turn();
        world_close();
    }
}

Test(uring, polling_in_vain_is_not_work)
{
    const struct ring_config config = {.spin_us = 1000000};
    uint64_t busy_ns;

    world_open(&config);
    ring = world_ring();
    turn();
    busy_ns = ring_busy_ns(ring);
    for (unsigned i = 0; i < 20; i++)
        turn();
    cr_assert_lt((int64_t)(ring_busy_ns(ring) - busy_ns), 100000000, "of 200 ms");
    world_close();
}

/* As an unprivileged user without locked memory; the reason must name the cause and the way out. */
Test(uring, too_little_locked_memory_is_said_in_one_line)
{
    const struct ring_config config = {.sq_entries = 32768, .cq_entries = 65536};
    int status;
    pid_t child = fork();

    if (child == 0) {
        struct rlimit none = {0};
        struct ring *refused;
        char why[200] = "";
        int err;

        if (setrlimit(RLIMIT_MEMLOCK, &none) < 0 || (getuid() == 0 && setuid(65534) < 0))
            _exit(9);
        err = ring_new(&config, &refused, why, sizeof why);
        /* A kernel that does not charge rings to the limit gives one. */
        if (err == 0)
            _exit(0);
        _exit(err == -ENOMEM && strstr(why, "ulimit -l") && !strchr(why, '\n') ? 0 : 1);
    }
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert_eq(status, 0, "%d", WEXITSTATUS(status));
}
