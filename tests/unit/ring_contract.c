/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The contract of ring.h. The same tests run on the kernel's io_uring, with every optional feature and with
 * each one forced off, and on the simulator: what the simulator promises to the tests above it is what the
 * kernel does.
 */
#include "ring_contract.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>

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

static struct ring *ring;
static struct op accept_op;
static int accepted[CONNS_MAX];
static unsigned accepted_count, accept_ends, accept_errors;
static int accept_result;
static bool in_reap;

static void
turn(void)
{
    ring_wait(ring, TURN_MS);
    in_reap = true;
    ring_reap(ring);
    in_reap = false;
}

#define RUN_UNTIL(cond)                                                                                      \
    do {                                                                                                     \
        for (unsigned turns_ = 0; !(cond); turns_++) {                                                       \
            cr_assert_lt(turns_, TURNS_MAX, "never: %s", #cond);                                             \
            turn();                                                                                          \
        }                                                                                                    \
    } while (0)

static void
run_for_ms(unsigned ms)
{
    uint64_t end_ns;

    turn();
    end_ns = ring_now(ring) + ms * 1000000ull;
    while (ring_now(ring) < end_ns)
        turn();
}

/* --- connections --- */

static void
on_accept(struct op *op, int result, struct buf *buf, bool more)
{
    cr_assert(in_reap);
    cr_assert_null(buf);
    if (!more) {
        accept_ends++;
        accept_result = result;
        cr_assert_not(op_busy(op));
    } else if (result < 0) {
        accept_errors++;
        accept_result = result;
    } else {
        accepted[accepted_count++] = result;
    }
}

static void
on_recv(struct op *op, int result, struct buf *buf, bool more)
{
    struct conn *c = container_of(op, struct conn, recv);

    cr_assert(in_reap);
    cr_assert_eq(op_busy(op), more);
    cr_assert_eq(buf != NULL, result > 0);
    if (!more) {
        c->recv_ends++;
        c->recv_result = result;
    }
    if (!buf)
        return;
    cr_assert_eq(buf->kind, BUF_PROVIDED);
    cr_assert_leq((uint32_t)result, buf->size);
    c->recv_events++;
    if (c->got_count + (size_t)result <= GOT_MAX)
        memcpy(c->got + c->got_count, buf->data, (size_t)result);
    c->got_count += (size_t)result;
    if (c->keep_buffers)
        c->kept[c->kept_count++] = buf;
    else
        buf_unref(buf);
    if (c->cancel_in_done)
        ring_cancel(ring, op);
}

static void
on_send(struct op *op, int result, struct buf *buf, bool more)
{
    struct conn *c = container_of(op, struct conn, send);

    cr_assert(in_reap);
    cr_assert_null(buf);
    cr_assert_not(more);
    cr_assert_not(op_busy(op));
    c->send_ends++;
    c->send_result = result;
}

static void
open_world(unsigned buf_count, unsigned buf_size)
{
    struct ring_config config = {
        .sq_entries = 64, .cq_entries = 256, .buf_count = {buf_count, 4}, .buf_size = {buf_size, 4096}};

    world_open(&config);
    ring = world_ring();
    ring_accept(ring, &accept_op, world_listener(), on_accept);
}

static void
close_world(void)
{
    const struct ring_stats *stats = ring_stats(ring);

    ring_cancel(ring, &accept_op);
    RUN_UNTIL(!op_busy(&accept_op));
    turn(); /* closes that were queued */
    for (unsigned i = 0; i < RING_GROUPS; i++)
        cr_assert_eq(stats->bufs_taken[i], stats->bufs_returned[i]);
    world_close();
}

static void
open_conn(struct conn *c)
{
    unsigned before = accepted_count;

    *c = (struct conn){0};
    c->far = far_connect();
    RUN_UNTIL(accepted_count > before);
    c->fd = accepted[before];
}

static void
release_kept(struct conn *c)
{
    while (c->kept_count)
        buf_unref(c->kept[--c->kept_count]);
}

static void
close_conn(struct conn *c)
{
    release_kept(c);
    c->keep_buffers = false;
    ring_cancel(ring, &c->recv);
    ring_cancel(ring, &c->send);
    RUN_UNTIL(!op_busy(&c->recv) && !op_busy(&c->send));
    ring_close(ring, c->fd);
    if (c->far)
        far_close(c->far);
}

static void
receive(struct conn *c)
{
    ring_recv(ring, &c->recv, c->fd, RING_SMALL, on_recv);
}

static void
tell(struct conn *c, const char *text)
{
    cr_assert_eq(far_send(c->far, text, strlen(text)), strlen(text));
}

static bool
got(const struct conn *c, const char *text)
{
    return c->got_count == strlen(text) && memcmp(c->got, text, c->got_count) == 0;
}

static size_t
drain(struct far *far, uint8_t *ret_bytes, size_t size)
{
    size_t count = 0, n;

    while (count < size && (n = far_read(far, ret_bytes + count, size - count)) > 0)
        count += n;
    return count;
}

static bool
far_gets(struct conn *c, const char *text)
{
    static char bytes[GOT_MAX];
    size_t count = 0;

    for (unsigned i = 0; i < TURNS_MAX && count < strlen(text); i++) {
        turn();
        count += far_read(c->far, bytes + count, sizeof bytes - count);
    }
    return count == strlen(text) && memcmp(bytes, text, count) == 0;
}

/* The array lies in the arena, as the contract wants it. */
static void
send_bytes(struct conn *c, const void *bytes, size_t count, unsigned flags)
{
    struct iovec *iov = ring_arena(ring, sizeof *iov);

    *iov = (struct iovec){(void *)(uintptr_t)bytes, count};
    c->send_ends = 0;
    ring_send(ring, &c->send, c->fd, iov, 1, flags, on_send);
}

/* --- accept and connect --- */

Test(ring, accept_brings_each_connection_until_it_is_cancelled)
{
    struct conn c[3];

    open_world(16, 256);
    for (int i = 0; i < 3; i++)
        open_conn(&c[i]);
    cr_assert_eq(accepted_count, 3);
    cr_assert_eq(accept_ends, 0);
    cr_assert(op_busy(&accept_op));
    ring_cancel(ring, &accept_op);
    ring_cancel(ring, &accept_op);
    RUN_UNTIL(!op_busy(&accept_op));
    run_for_ms(20);
    cr_assert_eq(accept_ends, 1);
    cr_assert_eq(accept_result, -ECANCELED);
    for (int i = 0; i < 3; i++)
        close_conn(&c[i]);
    close_world();
}

/* The kernel reads the limit when the accept is armed: the limit comes first. */
Test(ring, accept_tells_that_no_descriptor_is_left_and_tries_again_by_itself)
{
    uint64_t waits;

    open_world(16, 256);
    struct far *late = far_connect();
    world_limit_descriptors(true);
    RUN_UNTIL(accept_errors > 0);
    cr_assert_eq(accept_result, -EMFILE);
    cr_assert_eq(accept_ends, 0);
    waits = ring_stats(ring)->waits;
    run_for_ms(250);
    cr_assert_leq(accept_errors, 4);
    cr_assert_leq(ring_stats(ring)->waits - waits, 40, "does not spin");
    world_limit_descriptors(false);
    RUN_UNTIL(accepted_count == 1);
    ring_close(ring, accepted[0]);
    far_close(late);
    close_world();
}

Test(ring, accept_can_be_cancelled_while_no_descriptor_is_left)
{
    open_world(16, 256);
    struct far *late = far_connect();
    world_limit_descriptors(true);
    RUN_UNTIL(accept_errors > 0);
    ring_cancel(ring, &accept_op);
    RUN_UNTIL(!op_busy(&accept_op));
    cr_assert_eq(accept_result, -ECANCELED);
    run_for_ms(150);
    cr_assert_eq(accept_ends, 1);
    world_limit_descriptors(false);
    far_close(late);
    close_world();
}

Test(ring, what_a_cancelled_accept_left_can_be_taken_at_once)
{
    int fd;

    open_world(16, 256);
    turn();
    ring_cancel(ring, &accept_op);
    RUN_UNTIL(!op_busy(&accept_op));
    cr_assert_eq(ring_accept_now(ring, world_listener()), -EAGAIN);
    struct far *late = far_connect();
    fd = ring_accept_now(ring, world_listener());
    cr_assert_geq(fd, 0);
    cr_assert_eq(ring_accept_now(ring, world_listener()), -EAGAIN);
    ring_close(ring, fd);
    RUN_UNTIL(far_eof(late));
    far_close(late);
    close_world();
}

Test(ring, peer_is_the_far_address)
{
    static const uint8_t loopback[16] = {[10] = 0xff, 0xff, 127, 0, 0, 1};
    struct ring_peer peer;
    struct conn c;

    open_world(16, 256);
    open_conn(&c);
    cr_assert_eq(ring_peer(ring, c.fd, &peer), 0);
    cr_assert_arr_eq(peer.ip, loopback, 16);
    cr_assert_neq(peer.port, 0);
    cr_assert_not(peer.is_unix);
    close_conn(&c);
    close_world();
}

static int
start_connect(struct conn *c, enum world_place place)
{
    struct sockaddr_storage addr;
    socklen_t len = world_address(place, &addr);
    int fd;

    *c = (struct conn){0};
    fd = ring_connect(ring, &c->send, (struct sockaddr *)&addr, len, on_send);
    memset(&addr, 0xff, sizeof addr); /* it was copied */
    cr_assert_geq(fd, 0);
    cr_assert_eq(c->send_ends, 0);
    return c->fd = fd;
}

Test(ring, connect_reaches_a_server_and_carries_bytes_both_ways)
{
    struct conn c;

    open_world(16, 256);
    start_connect(&c, PLACE_SERVED);
    RUN_UNTIL(c.send_ends);
    cr_assert_eq(c.send_result, 0);
    c.far = far_accepted();
    receive(&c);
    tell(&c, "hello");
    RUN_UNTIL(got(&c, "hello"));
    ring_send(ring, &c.send, c.fd, &(struct iovec){(char *)(uintptr_t) "world", 5}, 1, 0, on_send);
    cr_assert(far_gets(&c, "world"));
    close_conn(&c);
    close_world();
}

Test(ring, connect_tells_a_refusal_and_leaves_the_descriptor_to_the_caller)
{
    struct conn c;

    open_world(16, 256);
    start_connect(&c, PLACE_REFUSED);
    RUN_UNTIL(c.send_ends);
    cr_assert_eq(c.send_result, -ECONNREFUSED);
    close_conn(&c);
    close_world();
}

Test(ring, connect_that_nobody_answers_ends_when_it_is_cancelled)
{
    struct conn c;

    open_world(16, 256);
    start_connect(&c, PLACE_SILENT);
    run_for_ms(50);
    cr_assert_eq(c.send_ends, 0);
    ring_cancel(ring, &c.send);
    RUN_UNTIL(c.send_ends);
    cr_assert_eq(c.send_result, -ECANCELED);
    close_conn(&c);
    close_world();
}

Test(ring, connect_without_a_descriptor_starts_nothing)
{
    struct sockaddr_storage addr;
    socklen_t len;
    struct op op = {0};

    open_world(16, 256);
    len = world_address(PLACE_SERVED, &addr);
    world_limit_descriptors(true);
    cr_assert_eq(ring_connect(ring, &op, (struct sockaddr *)&addr, len, on_send), -EMFILE);
    cr_assert_not(op_busy(&op));
    world_limit_descriptors(false);
    close_world();
}

/* --- receiving --- */

Test(ring, recv_brings_bytes_in_order_until_the_end_of_file)
{
    struct conn c;

    open_world(16, 256);
    open_conn(&c);
    receive(&c);
    tell(&c, "one ");
    RUN_UNTIL(got(&c, "one "));
    tell(&c, "two ");
    RUN_UNTIL(got(&c, "one two "));
    tell(&c, "three");
    far_half_close(c.far);
    RUN_UNTIL(c.recv_ends);
    cr_assert(got(&c, "one two three"));
    cr_assert_eq(c.recv_result, 0);
    close_conn(&c);
    close_world();
}

Test(ring, recv_does_not_call_back_before_it_returns)
{
    struct conn c;

    open_world(16, 256);
    open_conn(&c);
    tell(&c, "early");
    run_for_ms(20);
    receive(&c);
    cr_assert_eq(c.got_count, 0);
    RUN_UNTIL(got(&c, "early"));
    close_conn(&c);
    close_world();
}

Test(ring, recv_splits_what_exceeds_a_buffer)
{
    char bytes[1000];
    struct conn c;

    open_world(16, 128);
    open_conn(&c);
    for (unsigned i = 0; i < sizeof bytes; i++)
        bytes[i] = (char)(i * 7);
    cr_assert_eq(far_send(c.far, bytes, sizeof bytes), sizeof bytes);
    receive(&c);
    RUN_UNTIL(c.got_count == sizeof bytes);
    cr_assert_arr_eq(c.got, bytes, sizeof bytes);
    cr_assert_geq(c.recv_events, 8);
    close_conn(&c);
    close_world();
}

Test(ring, recv_takes_its_buffers_from_the_group_it_names)
{
    struct conn c;

    open_world(16, 128);
    open_conn(&c);
    ring_recv(ring, &c.recv, c.fd, RING_BULK, on_recv);
    tell(&c, "bulk");
    RUN_UNTIL(got(&c, "bulk"));
    cr_assert_eq(ring_stats(ring)->bufs_taken[RING_SMALL], 0);
    cr_assert_eq(ring_stats(ring)->bufs_taken[RING_BULK], 1);
    close_conn(&c);
    close_world();
}

Test(ring, bulk_can_be_stopped_after_each_buffer)
{
    static const char bytes[3 * 4096];
    struct conn c;

    open_world(16, 128);
    open_conn(&c);
    cr_assert_eq(far_send(c.far, bytes, sizeof bytes), sizeof bytes);
    run_for_ms(20);
    c.cancel_in_done = true;
    ring_recv(ring, &c.recv, c.fd, RING_BULK, on_recv);
    RUN_UNTIL(c.recv_ends);
    cr_assert_eq(c.recv_events, 1);
    cr_assert_leq(c.got_count, 4096);
    c.cancel_in_done = false;
    ring_recv(ring, &c.recv, c.fd, RING_BULK, on_recv);
    RUN_UNTIL(c.got_count == sizeof bytes);
    close_conn(&c);
    close_world();
}

Test(ring, a_half_closed_peer_still_reads)
{
    struct conn c;

    open_world(16, 256);
    open_conn(&c);
    receive(&c);
    far_half_close(c.far);
    RUN_UNTIL(c.recv_ends);
    cr_assert_eq(c.recv_result, 0);
    ring_send(ring, &c.send, c.fd, &(struct iovec){(char *)(uintptr_t) "answer", 6}, 1, RING_SEND_ALL,
              on_send);
    cr_assert(far_gets(&c, "answer"));
    close_conn(&c);
    close_world();
}

Test(ring, after_our_half_close_the_peer_still_sends)
{
    struct conn c;

    open_world(16, 256);
    open_conn(&c);
    receive(&c);
    turn();
    ring_shutdown(ring, c.fd, SHUT_WR);
    RUN_UNTIL(far_eof(c.far));
    tell(&c, "late words");
    RUN_UNTIL(got(&c, "late words"));
    cr_assert_eq(c.recv_ends, 0);
    close_conn(&c);
    close_world();
}

Test(ring, shutdown_of_both_directions_ends_a_receive_with_0)
{
    struct conn c;

    open_world(16, 256);
    open_conn(&c);
    receive(&c);
    run_for_ms(10);
    ring_shutdown(ring, c.fd, SHUT_RDWR);
    RUN_UNTIL(c.recv_ends);
    cr_assert_eq(c.recv_result, 0);
    cr_assert(far_eof(c.far));
    close_conn(&c);
    close_world();
}

Test(ring, a_reset_ends_a_receive_with_the_error_once)
{
    struct conn c;

    open_world(16, 256);
    open_conn(&c);
    receive(&c);
    run_for_ms(10);
    far_reset(c.far);
    c.far = NULL;
    RUN_UNTIL(c.recv_ends);
    cr_assert_eq(c.recv_result, -ECONNRESET);
    run_for_ms(20);
    cr_assert_eq(c.recv_ends, 1);
    close_conn(&c);
    close_world();
}

Test(ring, close_sends_the_end_to_the_peer)
{
    struct conn c;

    open_world(16, 256);
    open_conn(&c);
    receive(&c);
    run_for_ms(10);
    ring_cancel(ring, &c.recv);
    RUN_UNTIL(c.recv_ends);
    ring_close(ring, c.fd);
    RUN_UNTIL(far_eof(c.far));
    far_close(c.far);
    close_world();
}

/* --- cancelling --- */

Test(ring, cancel_of_an_idle_op_does_nothing)
{
    struct conn c;

    open_world(16, 256);
    open_conn(&c);
    ring_cancel(ring, &c.recv);
    run_for_ms(20);
    cr_assert_eq(c.recv_ends, 0);
    close_conn(&c);
    close_world();
}

Test(ring, a_cancelled_receive_leaves_unread_bytes_for_the_next)
{
    struct conn c;

    open_world(16, 256);
    open_conn(&c);
    receive(&c);
    run_for_ms(10);
    ring_cancel(ring, &c.recv);
    RUN_UNTIL(c.recv_ends);
    cr_assert_eq(c.recv_result, -ECANCELED);
    tell(&c, "later");
    run_for_ms(20);
    cr_assert_eq(c.got_count, 0);
    receive(&c);
    RUN_UNTIL(got(&c, "later"));
    close_conn(&c);
    close_world();
}

Test(ring, an_op_cancelled_in_the_turn_that_started_it_ends_once)
{
    struct conn c;

    open_world(16, 256);
    open_conn(&c);
    receive(&c);
    ring_cancel(ring, &c.recv);
    ring_cancel(ring, &c.recv);
    RUN_UNTIL(c.recv_ends);
    run_for_ms(20);
    cr_assert_eq(c.recv_ends, 1);
    cr_assert_eq(c.recv_result, -ECANCELED);
    close_conn(&c);
    close_world();
}

Test(ring, an_op_may_be_cancelled_in_its_own_done)
{
    struct conn c;

    open_world(16, 256);
    open_conn(&c);
    c.cancel_in_done = true;
    receive(&c);
    tell(&c, "first");
    RUN_UNTIL(c.recv_ends);
    cr_assert_eq(c.recv_result, -ECANCELED);
    cr_assert(got(&c, "first"));
    run_for_ms(20);
    cr_assert_eq(c.recv_ends, 1);
    close_conn(&c);
    close_world();
}

Test(ring, no_byte_is_lost_or_doubled_by_cancelling_at_any_moment)
{
    enum { ROUNDS = 200 };
    struct conn c;
    char next = 0;
    size_t sent = 0;

    open_world(16, 64);
    open_conn(&c);
    for (unsigned round = 0; round < ROUNDS; round++) {
        char bytes[GOT_MAX / ROUNDS];
        size_t n = 1 + round % sizeof bytes;

        for (size_t i = 0; i < n; i++)
            bytes[i] = next++;
        if (!op_busy(&c.recv))
            receive(&c);
        if (round % 3 == 0)
            ring_wait(ring, 0);
        sent += far_send(c.far, bytes, n);
        if (round % 2)
            ring_cancel(ring, &c.recv);
        turn();
    }
    RUN_UNTIL(!op_busy(&c.recv));
    receive(&c);
    RUN_UNTIL(c.got_count == sent);
    for (size_t i = 0; i < sent; i++)
        cr_assert_eq(c.got[i], (char)i, "byte %zu", i);
    cr_assert_leq(sent, GOT_MAX);
    close_conn(&c);
    close_world();
}

Test(ring, an_op_may_be_started_again_in_the_turn_of_its_cancel)
{
    struct conn c;

    open_world(16, 256);
    open_conn(&c);
    for (int i = 0; i < 20; i++) {
        unsigned ends = c.recv_ends;

        receive(&c);
        turn();
        ring_cancel(ring, &c.recv);
        RUN_UNTIL(c.recv_ends > ends);
    }
    receive(&c);
    tell(&c, "still here");
    RUN_UNTIL(got(&c, "still here"));
    cr_assert_eq(c.recv_ends, 20);
    close_conn(&c);
    close_world();
}

/* --- a group that runs out of buffers --- */

static void
open_many(struct conn *conns, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        open_conn(&conns[i]);
        conns[i].keep_buffers = true;
    }
    for (unsigned i = 0; i < count; i++)
        receive(&conns[i]);
    run_for_ms(20);
}

static size_t
got_total(const struct conn *conns, unsigned count)
{
    size_t total = 0;

    for (unsigned i = 0; i < count; i++)
        total += conns[i].got_count;
    return total;
}

static void
close_many(struct conn *conns, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        release_kept(&conns[i]);
    for (unsigned i = 0; i < count; i++)
        close_conn(&conns[i]);
}

Test(ring, receives_wait_without_spinning_until_buffers_come_home)
{
    enum { CONNS = 12, BUFS = 4 };
    static struct conn conns[CONNS];
    uint64_t waits;

    open_world(BUFS, 64);
    open_many(conns, CONNS);
    for (unsigned i = 0; i < CONNS; i++)
        tell(&conns[i], "four");
    RUN_UNTIL(got_total(conns, CONNS) == 4 * BUFS);
    run_for_ms(20);
    waits = ring_stats(ring)->waits;
    run_for_ms(300);
    cr_assert_eq(got_total(conns, CONNS), 4 * BUFS);
    cr_assert_leq(ring_stats(ring)->waits - waits, 300 / TURN_MS + 5, "every wait sleeps");
    cr_assert_geq(ring_stats(ring)->parked, CONNS - BUFS);
    cr_assert_leq(ring_stats(ring)->parked, 3 * CONNS);
    for (unsigned i = 0; i < CONNS; i++)
        conns[i].keep_buffers = false;
    for (unsigned i = 0; i < CONNS; i++)
        release_kept(&conns[i]);
    RUN_UNTIL(got_total(conns, CONNS) == 4 * CONNS);
    cr_assert_leq(ring_stats(ring)->parked, 6 * CONNS);
    for (unsigned i = 0; i < CONNS; i++)
        cr_assert_eq(conns[i].recv_ends, 0, "the owner does not notice");
    close_many(conns, CONNS);
    close_world();
}

Test(ring, waiting_receives_without_bytes_do_not_hold_up_those_behind_them)
{
    enum { CONNS = 12, BUFS = 2 };
    static struct conn conns[CONNS], hog;
    uint64_t before_ns;

    open_world(BUFS, 64);
    open_conn(&hog);
    hog.keep_buffers = true;
    receive(&hog);
    tell(&hog, "hog");
    RUN_UNTIL(hog.kept_count == 1);
    tell(&hog, "hog");
    RUN_UNTIL(hog.kept_count == 2);
    open_many(conns, CONNS);
    for (unsigned i = 0; i < CONNS; i++)
        conns[i].keep_buffers = false;
    tell(&conns[CONNS - 1], "patience");
    run_for_ms(20);
    cr_assert_eq(conns[CONNS - 1].got_count, 0);
    before_ns = ring_now(ring);
    hog.keep_buffers = false;
    release_kept(&hog);
    for (unsigned i = 0; i < 2 * CONNS && !conns[CONNS - 1].got_count; i++) {
        ring_wait(ring, 2000);
        in_reap = true;
        ring_reap(ring);
        in_reap = false;
    }
    cr_assert(got(&conns[CONNS - 1], "patience"));
    cr_assert_lt(ring_now(ring) - before_ns, 1000000000ull, "no wait slept meanwhile");
    close_many(conns, CONNS);
    close_conn(&hog);
    close_world();
}

Test(ring, a_waiting_receive_can_be_cancelled)
{
    enum { CONNS = 6, BUFS = 2 };
    static struct conn conns[CONNS];

    open_world(BUFS, 64);
    open_many(conns, CONNS);
    for (unsigned i = 0; i < CONNS; i++)
        tell(&conns[i], "x");
    RUN_UNTIL(got_total(conns, CONNS) == BUFS);
    run_for_ms(20);
    for (unsigned i = 0; i < CONNS; i++)
        ring_cancel(ring, &conns[i].recv);
    for (unsigned i = 0; i < CONNS; i++) {
        RUN_UNTIL(conns[i].recv_ends);
        cr_assert_eq(conns[i].recv_result, -ECANCELED);
    }
    close_many(conns, CONNS);
    for (unsigned i = 0; i < CONNS; i++)
        cr_assert_eq(conns[i].recv_ends, 1);
    close_world();
}

Test(ring, a_waiting_receive_learns_of_the_end_when_buffers_come_home)
{
    static struct conn hog, c;

    open_world(1, 64);
    open_conn(&hog);
    hog.keep_buffers = true;
    receive(&hog);
    tell(&hog, "hog");
    RUN_UNTIL(hog.kept_count == 1);
    open_conn(&c);
    receive(&c);
    tell(&c, "last words");
    far_half_close(c.far);
    run_for_ms(30);
    cr_assert_eq(c.got_count, 0);
    release_kept(&hog);
    RUN_UNTIL(c.recv_ends);
    cr_assert(got(&c, "last words"));
    cr_assert_eq(c.recv_result, 0);
    close_conn(&c);
    close_conn(&hog);
    close_world();
}

/* --- sending --- */

enum { LOT = 4 << 20 };

static uint8_t *
lot_of_bytes(void)
{
    uint8_t *bytes = malloc(LOT);

    cr_assert_not_null(bytes);
    for (size_t i = 0; i < LOT; i++)
        bytes[i] = (uint8_t)(i * 31 + (i >> 8));
    return bytes;
}

static void
send_lot(struct conn *c, const uint8_t *bytes, unsigned flags)
{
    send_bytes(c, bytes, LOT, flags);
}

Test(ring, send_gathers_its_pieces_in_order)
{
    struct conn c;
    struct iovec *iov;

    open_world(16, 256);
    open_conn(&c);
    iov = ring_arena(ring, 3 * sizeof *iov);
    iov[0] = (struct iovec){(char *)(uintptr_t) "head ", 5};
    iov[1] = (struct iovec){(char *)(uintptr_t) "", 0};
    iov[2] = (struct iovec){(char *)(uintptr_t) "rest", 4};
    ring_send(ring, &c.send, c.fd, iov, 3, RING_SEND_ALL | RING_SEND_MORE, on_send);
    cr_assert_eq(c.send_ends, 0);
    RUN_UNTIL(c.send_ends);
    cr_assert_eq(c.send_result, 9);
    ring_send(ring, &c.send, c.fd, &(struct iovec){(char *)(uintptr_t) "!", 1}, 1, RING_SEND_ALL, on_send);
    cr_assert(far_gets(&c, "head rest!"));
    close_conn(&c);
    close_world();
}

Test(ring, send_may_be_short)
{
    uint8_t *bytes = lot_of_bytes(), *copy = malloc(LOT);
    size_t count = 0;
    struct conn c;

    open_world(16, 256);
    open_conn(&c);
    send_lot(&c, bytes, 0);
    RUN_UNTIL(c.send_ends);
    cr_assert_gt(c.send_result, 0);
    cr_assert_lt(c.send_result, LOT);
    RUN_UNTIL((count += drain(c.far, copy + count, LOT - count)) >= (size_t)c.send_result);
    cr_assert_eq(count, (size_t)c.send_result);
    cr_assert_eq(memcmp(bytes, copy, count), 0);
    close_conn(&c);
    close_world();
    free(bytes);
    free(copy);
}

/* Until the peer's and our buffers are full: two refusals with a pause between them. */
static size_t
fill(struct conn *c, uint8_t *bytes)
{
    size_t taken = 0;

    for (unsigned refusals = 0; refusals < 2;) {
        send_lot(c, bytes, RING_SEND_NOWAIT);
        RUN_UNTIL(c->send_ends);
        if (c->send_result == -EAGAIN) {
            refusals++;
            run_for_ms(50);
            continue;
        }
        cr_assert_gt(c->send_result, 0);
        cr_assert_lt(c->send_result, LOT);
        taken += (size_t)c->send_result;
        refusals = 0;
    }
    return taken;
}

Test(ring, nowait_never_waits_for_room)
{
    uint8_t *bytes = lot_of_bytes(), *copy = malloc(LOT);
    size_t taken, count = 0;
    struct conn c;

    open_world(16, 256);
    open_conn(&c);
    taken = fill(&c, bytes);
    cr_assert_gt(taken, 0);
    RUN_UNTIL((count += drain(c.far, copy, LOT)) >= taken);
    cr_assert_eq(count, taken);
    send_lot(&c, bytes, RING_SEND_NOWAIT);
    RUN_UNTIL(c.send_ends);
    cr_assert_gt(c.send_result, 0, "there is room again");
    close_conn(&c);
    close_world();
    free(bytes);
    free(copy);
}

Test(ring, send_all_waits_until_the_peer_has_made_room_for_all)
{
    uint8_t *bytes = lot_of_bytes(), *copy = malloc(LOT);
    size_t count = 0;
    struct conn c;

    open_world(16, 256);
    open_conn(&c);
    send_lot(&c, bytes, RING_SEND_ALL);
    run_for_ms(50);
    cr_assert_eq(c.send_ends, 0);
    RUN_UNTIL((count += drain(c.far, copy + count, LOT - count)) == LOT);
    RUN_UNTIL(c.send_ends);
    cr_assert_eq(c.send_result, LOT);
    cr_assert_eq(memcmp(bytes, copy, LOT), 0);
    close_conn(&c);
    close_world();
    free(bytes);
    free(copy);
}

Test(ring, a_cancelled_send_all_tells_how_much_went_out)
{
    uint8_t *bytes = lot_of_bytes(), *copy = malloc(LOT);
    size_t count = 0;
    struct conn c;

    open_world(16, 256);
    open_conn(&c);
    send_lot(&c, bytes, RING_SEND_ALL);
    run_for_ms(50);
    ring_cancel(ring, &c.send);
    RUN_UNTIL(c.send_ends);
    cr_assert_gt(c.send_result, 0);
    cr_assert_lt(c.send_result, LOT);
    RUN_UNTIL((count += drain(c.far, copy + count, LOT - count)) >= (size_t)c.send_result);
    run_for_ms(50);
    count += drain(c.far, copy + count, LOT - count);
    cr_assert_eq(count, (size_t)c.send_result);
    cr_assert_eq(memcmp(bytes, copy, count), 0);
    close_conn(&c);
    close_world();
    free(bytes);
    free(copy);
}

Test(ring, a_send_that_waits_for_room_ends_when_cancelled)
{
    uint8_t *bytes = lot_of_bytes();
    struct conn c;

    open_world(16, 256);
    open_conn(&c);
    fill(&c, bytes);
    send_lot(&c, bytes, 0);
    run_for_ms(20);
    cr_assert_eq(c.send_ends, 0);
    ring_cancel(ring, &c.send);
    RUN_UNTIL(c.send_ends);
    cr_assert_eq(c.send_result, -ECANCELED);
    close_conn(&c);
    close_world();
    free(bytes);
}

Test(ring, a_waiting_send_ends_when_the_peer_resets)
{
    uint8_t *bytes = lot_of_bytes();
    struct conn c;

    open_world(16, 256);
    open_conn(&c);
    fill(&c, bytes);
    send_lot(&c, bytes, RING_SEND_ALL);
    run_for_ms(20);
    far_reset(c.far);
    c.far = NULL;
    RUN_UNTIL(c.send_ends);
    cr_assert(c.send_result == -ECONNRESET || c.send_result == -EPIPE, "%d", c.send_result);
    send_lot(&c, bytes, 0);
    RUN_UNTIL(c.send_ends);
    cr_assert_eq(c.send_result, -EPIPE, "and no SIGPIPE");
    close_conn(&c);
    close_world();
    free(bytes);
}

Test(ring, sending_after_our_half_close_is_a_broken_pipe)
{
    struct conn c;

    open_world(16, 256);
    open_conn(&c);
    ring_shutdown(ring, c.fd, SHUT_WR);
    ring_send(ring, &c.send, c.fd, &(struct iovec){(char *)(uintptr_t) "x", 1}, 1, 0, on_send);
    RUN_UNTIL(c.send_ends);
    cr_assert_eq(c.send_result, -EPIPE);
    close_conn(&c);
    close_world();
}

Test(ring, a_receive_goes_on_while_a_send_waits)
{
    uint8_t *bytes = lot_of_bytes();
    struct conn c;

    open_world(16, 256);
    open_conn(&c);
    receive(&c);
    send_lot(&c, bytes, RING_SEND_ALL);
    run_for_ms(20);
    tell(&c, "meanwhile");
    RUN_UNTIL(got(&c, "meanwhile"));
    cr_assert_eq(c.send_ends, 0);
    close_conn(&c);
    close_world();
    free(bytes);
}

Test(ring, more_sends_than_the_submission_queue_holds_go_out_in_one_turn)
{
    enum { CONNS = CONNS_MAX, PIECES = 3 };
    static struct conn conns[CONNS];

    open_world(16, 256);
    for (unsigned i = 0; i < CONNS; i++) {
        open_conn(&conns[i]);
        conns[i].recv_ends = 0;
        receive(&conns[i]);
    }
    for (unsigned i = 0; i < CONNS; i++) {
        struct iovec *iov = ring_arena(ring, PIECES * sizeof *iov);
        char *text = ring_arena(ring, 4000);

        memset(text, 'a', 4000);
        for (unsigned n = 0; n < PIECES; n++)
            iov[n] = (struct iovec){(char *)(uintptr_t) "abc" + n, 1};
        ring_send(ring, &conns[i].send, conns[i].fd, iov, PIECES, RING_SEND_ALL, on_send);
    }
    for (unsigned i = 0; i < CONNS; i++) {
        RUN_UNTIL(conns[i].send_ends);
        cr_assert_eq(conns[i].send_result, PIECES);
        cr_assert(far_gets(&conns[i], "abc"));
    }
    close_many(conns, CONNS);
    close_world();
}

/* --- poll --- */

static struct op poll_op;
static unsigned poll_events, poll_ends;
static int poll_result;

static void
on_poll(struct op *op, int result, struct buf *buf, bool more)
{
    cr_assert(in_reap);
    cr_assert_null(buf);
    cr_assert_eq(op_busy(op), more);
    poll_result = result;
    if (more)
        poll_events++;
    else
        poll_ends++;
}

Test(ring, poll_tells_each_readiness_until_it_is_cancelled)
{
    int fd;

    open_world(16, 256);
    fd = world_pollable();
    ring_poll(ring, &poll_op, fd, POLLIN, on_poll);
    run_for_ms(20);
    cr_assert_eq(poll_events, 0);
    for (unsigned i = 1; i <= 5; i++) {
        world_signal(fd);
        RUN_UNTIL(poll_events == i);
        cr_assert(poll_result & POLLIN);
    }
    ring_cancel(ring, &poll_op);
    RUN_UNTIL(poll_ends);
    cr_assert_eq(poll_result, -ECANCELED);
    ring_close(ring, fd);
    close_world();
}

Test(ring, a_poll_without_events_tells_the_reset_of_a_stream_that_has_ended)
{
    struct conn c;

    open_world(16, 256);
    open_conn(&c);
    receive(&c);
    far_half_close(c.far);
    RUN_UNTIL(c.recv_ends);
    ring_poll(ring, &poll_op, c.fd, 0, on_poll);
    run_for_ms(30);
    cr_assert_eq(poll_events, 0, "a half-close alone is none: %#x", (unsigned)poll_result);
    far_reset(c.far);
    c.far = NULL;
    RUN_UNTIL(poll_events);
    cr_assert(poll_result & (POLLERR | POLLHUP));
    ring_cancel(ring, &poll_op);
    RUN_UNTIL(poll_ends);
    close_conn(&c);
    close_world();
}

Test(ring, reset_on_close_sends_a_reset_and_no_end)
{
    struct conn c;
    char byte;

    open_world(16, 256);
    open_conn(&c);
    ring_reset_on_close(ring, c.fd);
    ring_close(ring, c.fd);
    run_for_ms(30);
    cr_assert_eq(far_read(c.far, &byte, 1), 0);
    cr_assert_not(far_eof(c.far));
    far_close(c.far);
    close_world();
}

/* --- the clock and timers --- */

static struct timer timers[4];
static unsigned timer_runs[4];
static uint64_t timer_at_ns[4];
static unsigned timer_order[8], timer_order_count;

static void
on_timer(struct ring *r, struct timer *timer)
{
    unsigned i = (unsigned)(timer - timers);

    cr_assert(in_reap);
    cr_assert_eq(r, ring);
    timer_runs[i]++;
    timer_at_ns[i] = ring_now(r);
    timer_order[timer_order_count++] = i;
}

Test(ring, timers_run_in_order_and_not_before_their_time)
{
    static const unsigned ms[] = {120, 5, 70, 20}, order[] = {1, 3, 2, 0};
    uint64_t start_ns;

    open_world(16, 256);
    run_for_ms(3);
    start_ns = ring_now(ring);
    for (unsigned i = 0; i < 4; i++)
        timer_set(ring, &timers[i], ms[i], on_timer);
    RUN_UNTIL(timer_order_count == 4);
    cr_assert_arr_eq(timer_order, order, sizeof order);
    for (unsigned i = 0; i < 4; i++)
        cr_assert_geq(timer_at_ns[i] - start_ns, ms[i] * 1000000ull);
    close_world();
}

Test(ring, wait_sleeps_until_a_timer_is_due)
{
    uint64_t start_ns, waits;

    open_world(16, 256);
    turn();
    start_ns = ring_now(ring);
    waits = ring_stats(ring)->waits;
    timer_set(ring, &timers[0], 100, on_timer);
    while (!timer_runs[0]) {
        ring_wait(ring, 10000);
        in_reap = true;
        ring_reap(ring);
        in_reap = false;
    }
    cr_assert_leq(ring_stats(ring)->waits - waits, 3);
    cr_assert_lt(ring_now(ring) - start_ns, 1000000000ull);
    close_world();
}

Test(ring, a_timer_that_is_set_later_each_time_runs_once_after_the_last)
{
    uint64_t last_ns = 0;

    open_world(16, 256);
    for (unsigned i = 0; i < 20; i++) {
        timer_set(ring, &timers[0], 80, on_timer);
        last_ns = ring_now(ring);
        run_for_ms(10);
        /* A machine that stood still may have let it run. */
        cr_assert(!timer_runs[0] || timer_at_ns[0] - last_ns >= 80 * 1000000ull);
        timer_runs[0] = timer_order_count = 0;
    }
    RUN_UNTIL(timer_runs[0] || !timer_running(&timers[0]));
    cr_assert_geq(timer_at_ns[0] - last_ns, 80 * 1000000ull);
    timer_runs[0] = 0;
    run_for_ms(200);
    cr_assert_eq(timer_runs[0], 0);
    close_world();
}

Test(ring, a_stopped_timer_does_not_run)
{
    open_world(16, 256);
    timer_set(ring, &timers[0], 10, on_timer);
    timer_set(ring, &timers[1], 20, on_timer);
    timer_stop(&timers[0]);
    cr_assert_not(timer_running(&timers[0]));
    RUN_UNTIL(timer_runs[1]);
    cr_assert_eq(timer_runs[0], 0);
    close_world();
}

Test(ring, all_of_a_reap_shares_one_stamp_and_stamps_grow)
{
    uint64_t now_ns;

    open_world(16, 256);
    turn();
    now_ns = ring_now(ring);
    run_for_ms(5);
    cr_assert_gt(ring_now(ring), now_ns);
    now_ns = ring_now(ring);
    ring_wait(ring, 5);
    cr_assert_eq(ring_now(ring), now_ns, "only a reap reads it");
    cr_assert_geq(ring_submitted(ring), now_ns);
    in_reap = true;
    ring_reap(ring);
    cr_assert_geq(ring_now(ring), ring_submitted(ring));
    close_world();
}

/* The build runs these tests once without each feature; its list must be the ring's. */
Test(ring, every_optional_feature_is_known_to_the_build)
{
    const char *list = getenv("RING_FEATURES");
    char names[256] = "";

    for (unsigned i = 0; ring_feature_names[i]; i++) {
        strcat(names, i ? "," : "");
        strcat(names, ring_feature_names[i]);
    }
    cr_assert(!list || !names[0] || strcmp(list, names) == 0, "%s is not %s", list, names);
}

/* --- all together --- */

Test(ring, bytes_echoed_over_many_connections_arrive_whole)
{
    enum { CONNS = 24, ROUNDS = 60, PIECE = 60 };
    static struct conn conns[CONNS];
    static char expected[CONNS][ROUNDS * PIECE];
    static char echoed[CONNS][ROUNDS * PIECE];
    size_t sent[CONNS] = {0}, forwarded[CONNS] = {0}, back[CONNS] = {0};
    unsigned done = 0;

    srand(7);
    open_world(8, 32);
    for (unsigned i = 0; i < CONNS; i++) {
        open_conn(&conns[i]);
        receive(&conns[i]);
    }
    for (unsigned round = 0; done < CONNS; round++) {
        cr_assert_lt(round, 20 * TURNS_MAX);
        for (unsigned i = 0; i < CONNS; i++) {
            struct conn *c = &conns[i];
            size_t n = (size_t)rand() % PIECE, left = sizeof expected[i] - sent[i];

            n = n < left ? n : left;
            for (size_t k = 0; k < n; k++)
                expected[i][sent[i] + k] = (char)rand();
            sent[i] += far_send(c->far, expected[i] + sent[i], n);
            if (c->send_ends) {
                cr_assert_gt(c->send_result, 0);
                forwarded[i] += (size_t)c->send_result;
                c->send_ends = 0;
            }
            if (!op_busy(&c->send) && c->got_count > forwarded[i])
                send_bytes(c, c->got + forwarded[i], c->got_count - forwarded[i], 0);
            left = sizeof echoed[i] - back[i];
            n = left ? far_read(c->far, echoed[i] + back[i], left) : 0;
            back[i] += n;
            done += n && back[i] == sizeof echoed[i];
        }
        turn();
    }
    for (unsigned i = 0; i < CONNS; i++)
        cr_assert_arr_eq(echoed[i], expected[i], sizeof expected[i]);
    RUN_UNTIL(!op_busy(&conns[0].send));
    close_many(conns, CONNS);
    close_world();
}
