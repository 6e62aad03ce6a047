/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The simulator itself: its time, faults, kills and checks, most of them on a small echo server that uses the
 * ring as the gateway does (buffers sent from where they lie, short sends, half-close, idle timers).
 */
#include "ring/ring_sim.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/un.h>

enum { SPANS_MAX = 8, IDLE_MS = 5000, PEERS_MAX = 16, TEXT_MAX = 6000 };

/* --- an echo server --- */

struct conn {
    struct op recv, send;
    struct timer idle;
    struct list_node node;
    int fd;
    struct span queue[SPANS_MAX];
    unsigned queued;
    bool eof, failed, paused;
};

static struct op accept_op;
static struct list_node conns;
static struct ring *ring;
static unsigned conns_open;

static void conn_go_on(struct conn *c);

static void
conn_on_idle(struct ring *r, struct timer *timer)
{
    struct conn *c = container_of(timer, struct conn, idle);

    (void)r;
    c->failed = true;
    conn_go_on(c);
}

static void
conn_on_recv(struct op *op, int result, struct buf *buf, bool more)
{
    struct conn *c = container_of(op, struct conn, recv);

    timer_set(ring, &c->idle, IDLE_MS, conn_on_idle);
    if (buf && c->queued < SPANS_MAX)
        c->queue[c->queued++] = span_of(buf, 0, (uint32_t)result);
    else
        buf_unref(buf);
    if (c->queued == SPANS_MAX)
        c->failed = true; /* it had 2 to spare when it paused */
    if (c->queued >= SPANS_MAX - 2 && more && !c->paused) {
        c->paused = true;
        ring_cancel(ring, op);
    }
    if (!more && result == 0)
        c->eof = true;
    else if (!more && result != -ECANCELED)
        c->failed = true;
    conn_go_on(c);
}

static void
conn_on_send(struct op *op, int result, struct buf *buf, bool more)
{
    struct conn *c = container_of(op, struct conn, send);
    uint32_t n = result > 0 ? (uint32_t)result : 0;
    unsigned gone = 0;

    (void)buf;
    (void)more;
    c->failed |= result < 0 && result != -EAGAIN;
    while (gone < c->queued && n >= c->queue[gone].len) {
        n -= c->queue[gone].len;
        span_unref(c->queue[gone++]);
    }
    c->queued -= gone;
    memmove(c->queue, c->queue + gone, c->queued * sizeof *c->queue);
    if (n)
        c->queue[0] = span_skip(c->queue[0], n);
    conn_go_on(c);
}

static void
conn_send(struct conn *c)
{
    struct iovec *iov = ring_arena(ring, c->queued * sizeof *iov);

    for (unsigned i = 0; i < c->queued; i++)
        iov[i] = (struct iovec){span_data(c->queue[i]), c->queue[i].len};
    ring_send(ring, &c->send, c->fd, iov, c->queued, 0, conn_on_send);
}

static void
conn_free(struct conn *c)
{
    for (unsigned i = 0; i < c->queued; i++)
        span_unref(c->queue[i]);
    timer_stop(&c->idle);
    list_del(&c->node);
    ring_close(ring, c->fd);
    conns_open--;
    free(c);
}

/* The one place that decides what comes next. */
static void
conn_go_on(struct conn *c)
{
    bool over = c->failed || (c->eof && !c->queued);

    if (over) {
        ring_cancel(ring, &c->recv);
        ring_cancel(ring, &c->send);
        if (!op_busy(&c->recv) && !op_busy(&c->send))
            conn_free(c);
        return;
    }
    if (c->queued && !op_busy(&c->send))
        conn_send(c);
    if (!op_busy(&c->recv) && !c->eof && c->queued < SPANS_MAX / 2) {
        c->paused = false;
        ring_recv(ring, &c->recv, c->fd, RING_SMALL, conn_on_recv);
    }
}

static void
on_accept(struct op *op, int result, struct buf *buf, bool more)
{
    struct conn *c;

    (void)op;
    (void)buf;
    (void)more;
    if (result < 0)
        return;
    c = calloc(1, sizeof *c);
    c->fd = result;
    list_add_tail(&conns, &c->node);
    conns_open++;
    timer_set(ring, &c->idle, IDLE_MS, conn_on_idle);
    conn_go_on(c);
}

static void
server_start(struct sim *sim, int listener)
{
    ring = sim_ring(sim);
    accept_op = (struct op){0};
    list_init(&conns);
    conns_open = 0;
    ring_accept(ring, &accept_op, listener, on_accept);
}

static void
server_stop(struct sim *sim)
{
    ring_cancel(ring, &accept_op);
    sim_settle(sim);
    while (conns_open) {
        list_for_each_safe (node, &conns) {
            struct conn *c = container_of(node, struct conn, node);

            c->failed = true;
            conn_go_on(c);
        }
        sim_settle(sim);
    }
}

/* What a kernel does with the memory of a process that was killed. */
static void
free_the_dead(void)
{
    struct list_node *node;

    while ((node = list_pop(&conns)))
        free(container_of(node, struct conn, node));
}

/* --- worlds --- */

static const struct ring_config small = {.buf_count = {4, 2, 1}, .buf_size = {64, 256, 512}, .cq_entries = 64};

static struct sim *
open_world(uint64_t seed, int *ret_listener)
{
    struct sim *sim = sim_open(seed, &small);

    *ret_listener = sim_listen(sim, "127.0.0.1:80");
    server_start(sim, *ret_listener);
    return sim;
}

static void
close_world(struct sim *sim)
{
    server_stop(sim);
    sim_close(&sim);
}

/* --- clients --- */

struct client {
    struct sim_peer *peer;
    char sent[TEXT_MAX], echoed[TEXT_MAX];
    size_t sent_count, echoed_count, size;
};

static struct client clients[PEERS_MAX];

static void
client_step(struct sim *sim, struct client *c)
{
    size_t n = 1 + sim_random(sim, 200);

    n = n < c->size - c->sent_count ? n : c->size - c->sent_count;
    for (size_t i = c->sent_count; i < c->sent_count + n; i++)
        c->sent[i] = (char)(i * 13 + (size_t)(c - clients));
    if (n) {
        c->sent_count += sim_peer_send(c->peer, c->sent + c->sent_count, n);
        if (c->sent_count == c->size)
            sim_peer_half_close(c->peer);
    }
    c->echoed_count += sim_peer_read(c->peer, c->echoed + c->echoed_count, sim_random(sim, 300));
}

static void
clients_start(struct sim *sim, int listener, unsigned count, size_t size)
{
    for (unsigned i = 0; i < count; i++) {
        clients[i] = (struct client){.peer = sim_connect_to(sim, listener, NULL), .size = size};
        sim_peer_set_window(clients[i].peer, 50 + sim_random(sim, 500));
    }
}

static bool
client_is_done(const struct client *c)
{
    return sim_peer_eof(c->peer) || sim_peer_was_reset(c->peer);
}

/* --- tests --- */

static void
echo_under_random_faults(uint64_t seed)
{
    enum { COUNT = 6, SIZE = 1500 };
    int listener;
    struct sim *sim = open_world(seed, &listener);
    unsigned done = 0;

    sim_faults_random(sim);
    clients_start(sim, listener, COUNT, SIZE);
    for (unsigned turns = 0; done < COUNT; turns++) {
        cr_assert_lt(turns, 20000, "seed %lu: never ends", seed);
        done = 0;
        for (unsigned i = 0; i < COUNT; i++) {
            if (!client_is_done(&clients[i]))
                client_step(sim, &clients[i]);
            done += client_is_done(&clients[i]);
        }
        sim_advance(sim, 1);
    }
    for (unsigned i = 0; i < COUNT; i++) {
        cr_assert_not(sim_peer_was_reset(clients[i].peer));
        cr_assert_eq(clients[i].echoed_count, SIZE, "seed %lu", seed);
        cr_assert_eq(memcmp(clients[i].echoed, clients[i].sent, SIZE), 0, "seed %lu", seed);
    }
    close_world(sim);
}

Test(sim, a_correct_program_does_not_notice_the_random_faults)
{
    sim_for_seeds(1, 300, echo_under_random_faults);
}

/* What a run looks like from outside: when each byte came back. */
static uint64_t
trace_of(uint64_t seed)
{
    int listener;
    struct sim *sim = open_world(seed, &listener);
    uint64_t hash = 0;

    sim_faults_random(sim);
    clients_start(sim, listener, 4, 800);
    for (unsigned turns = 0; turns < 400; turns++) {
        for (unsigned i = 0; i < 4; i++) {
            client_step(sim, &clients[i]);
            hash = hash * 1000003 + clients[i].echoed_count;
        }
        sim_advance(sim, 1);
    }
    hash = hash * 1000003 + sim_steps(sim);
    close_world(sim);
    return hash;
}

Test(sim, a_seed_gives_the_same_run_each_time)
{
    unsigned different = 0;

    for (uint64_t seed = 1; seed < 10; seed++) {
        uint64_t trace = trace_of(seed);

        cr_assert_eq(trace_of(seed), trace);
        different += trace != trace_of(seed + 1);
    }
    cr_assert(different || getenv("SIM_SEED"));
}

/* One client, one exchange, with a fault or a kill at a step. Returns the steps of the run. */
static uint64_t
one_exchange(uint64_t step, enum sim_fault fault)
{
    int listener;
    struct sim *sim = open_world(3, &listener);
    uint64_t steps;

    if (step)
        sim_fault_at(sim, step, fault);
    clients_start(sim, listener, 2, 300);
    for (unsigned turns = 0; turns < 200; turns++) {
        for (unsigned i = 0; i < 2; i++)
            if (!client_is_done(&clients[i]))
                client_step(sim, &clients[i]);
        sim_settle(sim);
    }
    steps = sim_steps(sim);
    for (unsigned i = 0; i < 2; i++) {
        cr_assert(client_is_done(&clients[i]), "step %lu", step);
        if (!sim_peer_was_reset(clients[i].peer)) {
            cr_assert_eq(clients[i].echoed_count, 300, "step %lu", step);
            cr_assert_eq(memcmp(clients[i].echoed, clients[i].sent, 300), 0, "step %lu", step);
        }
    }
    cr_assert_eq(conns_open, 0, "step %lu: an ended connection is freed", step);
    close_world(sim);
    return steps;
}

Test(sim, a_reset_at_any_step_is_survived)
{
    uint64_t steps = one_exchange(0, SIM_RESET);

    cr_assert_gt(steps, 20);
    for (uint64_t step = 1; step <= steps; step++)
        one_exchange(step, SIM_RESET);
}

Test(sim, each_harmless_fault_at_any_step_is_not_noticed)
{
    uint64_t steps = one_exchange(0, SIM_SHORT_SEND);

    for (unsigned fault = SIM_SHORT_SEND; fault <= SIM_LATE_CANCEL; fault++)
        for (uint64_t step = 1; step <= steps; step += 3)
            one_exchange(step, fault);
}

Test(sim, a_killed_process_leaves_ends_for_its_peers_and_its_listener_to_the_next)
{
    uint64_t steps = one_exchange(0, SIM_RESET);
    char why[100];

    for (uint64_t step = 1; step <= steps; step++) {
        int listener;
        struct sim *sim = open_world(3, &listener);
        enum sim_stop stop = SIM_REACHED;

        sim_kill_at(sim, step);
        clients_start(sim, listener, 2, 300);
        for (unsigned turns = 0; turns < 200 && stop != SIM_KILLED; turns++) {
            for (unsigned i = 0; i < 2; i++)
                if (!client_is_done(&clients[i]))
                    client_step(sim, &clients[i]);
            stop = sim_settle(sim);
        }
        if (stop != SIM_KILLED) {
            close_world(sim);
            continue;
        }
        cr_assert_null(sim_ring(sim));
        free_the_dead();
        cr_assert_eq(ring_new(&small, &ring, why, sizeof why), 0);
        server_start(sim, listener);
        for (unsigned turns = 0; turns < 200; turns++) {
            for (unsigned i = 0; i < 2; i++)
                if (!client_is_done(&clients[i]))
                    client_step(sim, &clients[i]);
            sim_settle(sim);
        }
        for (unsigned i = 0; i < 2; i++)
            cr_assert(client_is_done(&clients[i]), "step %lu: a client waits for the dead", step);
        close_world(sim);
    }
}

Test(sim, time_jumps_to_what_is_due_and_never_beyond_the_limit)
{
    int listener;
    struct sim *sim = open_world(1, &listener);
    struct sim_peer *peer = sim_connect_to(sim, listener, NULL);
    uint64_t start_ms;

    sim_settle(sim);
    start_ms = sim_now_ms(sim);
    cr_assert_eq(conns_open, 1);
    cr_assert_eq(sim_advance(sim, IDLE_MS - 1), SIM_TIME_UP);
    cr_assert_eq(sim_now_ms(sim) - start_ms, IDLE_MS - 1);
    cr_assert_eq(conns_open, 1);
    sim_advance(sim, 2);
    sim_settle(sim);
    cr_assert_eq(conns_open, 0, "the idle timer has run");
    cr_assert(sim_peer_eof(peer));
    cr_assert_lt(ring_stats(ring)->waits, 20);
    close_world(sim);
}

static unsigned order[8], order_count;

static void
note(void *arg)
{
    order[order_count++] = *(unsigned *)arg;
}

static bool
two_noted(void *arg)
{
    (void)arg;
    return order_count == 2;
}

Test(sim, events_run_in_order_and_a_run_stops_when_its_condition_holds)
{
    static unsigned numbers[] = {0, 1, 2, 3};
    static const unsigned want[] = {2, 0, 3, 1};
    int listener;
    struct sim *sim = open_world(1, &listener);

    sim_after(sim, 20, note, &numbers[0]);
    sim_after(sim, 90000, note, &numbers[1]);
    sim_after(sim, 10, note, &numbers[2]);
    sim_after(sim, 20, note, &numbers[3]);
    cr_assert_eq(sim_settle(sim), SIM_REACHED);
    cr_assert_eq(order_count, 0, "settling waits for no event");
    cr_assert_eq(sim_run(sim, two_noted, NULL, 5), SIM_TIME_UP);
    sim_advance(sim, 100000);
    cr_assert_arr_eq(order, want, sizeof want);
    cr_assert_eq(sim_run(sim, two_noted, NULL, 5), SIM_TIME_UP);
    close_world(sim);
}

Test(sim, a_peer_that_does_not_read_stops_the_echo_and_then_its_own_sending)
{
    char bytes[1000] = {0};
    int listener;
    struct sim *sim = open_world(1, &listener);
    struct sim_peer *peer = sim_connect_to(sim, listener, NULL);
    size_t sent = 0;

    sim_peer_set_window(peer, 100);
    sim_peer_set_send_window(peer, 200);
    for (int i = 0; i < 100; i++) {
        sent += sim_peer_send(peer, bytes, sizeof bytes);
        sim_settle(sim);
    }
    cr_assert_eq(sim_peer_received(peer), 100);
    cr_assert_leq(sent, 100 + 200 + 4 * 64 + 64);
    cr_assert_eq(sim_peer_sent(peer), sent);
    cr_assert_eq(sim_peer_send(peer, bytes, 1), 0);
    for (int i = 0; i < 100; i++) {
        sim_peer_discard(peer);
        sim_settle(sim);
    }
    cr_assert_eq(sim_peer_received(peer), sent);
    close_world(sim);
}

static unsigned peer_events;

static void
answer(struct sim_peer *peer, void *arg)
{
    size_t count;
    const char *text = sim_peer_peek(peer, &count);

    peer_events++;
    if (strcmp(text, "ping") == 0) {
        sim_peer_discard(peer);
        sim_peer_puts(peer, arg);
    }
}

static int connect_result;

static void
on_connect(struct op *op, int result, struct buf *buf, bool more)
{
    (void)op;
    (void)buf;
    cr_assert_not(more);
    connect_result = result;
}

static int
connect_to(const char *ip, uint16_t port, struct op *op)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};
    int fd;

    cr_assert_eq(inet_pton(AF_INET, ip, &in.sin_addr), 1);
    connect_result = 1;
    fd = ring_connect(ring, op, (struct sockaddr *)&in, sizeof in, on_connect);
    cr_assert_geq(fd, 0);
    return fd;
}

Test(sim, a_served_address_is_played_by_the_test)
{
    int listener, fd;
    struct sim *sim = open_world(1, &listener);
    struct op op = {0};
    struct sim_peer *peer;

    sim_serve(sim, "10.0.0.7:9000", SIM_ACCEPT);
    fd = connect_to("10.0.0.7", 9000, &op);
    sim_settle(sim);
    cr_assert_eq(connect_result, 0);
    peer = sim_next_peer(sim);
    cr_assert_not_null(peer);
    cr_assert_null(sim_next_peer(sim));
    cr_assert_str_eq(sim_peer_address(peer), "10.0.0.7:9000");
    sim_peer_watch(peer, answer, (void *)(uintptr_t) "ping");
    on_accept(NULL, fd, NULL, true); /* the server sends back what it gets */
    sim_peer_puts(peer, "ping");
    sim_advance(sim, 1); /* they play for a while: each answer is a new question */
    cr_assert_gt(peer_events, 2);
    sim_peer_watch(peer, NULL, NULL);
    close_world(sim);
}

Test(sim, addresses_refuse_hang_or_lead_to_an_own_listener)
{
    int listener, fd;
    struct sim *sim = open_world(1, &listener);
    struct ring_peer far;
    struct op op = {0};

    fd = connect_to("10.0.0.1", 1, &op);
    sim_settle(sim);
    cr_assert_eq(connect_result, -ECONNREFUSED, "nobody serves");
    ring_close(ring, fd);

    sim_serve(sim, "10.0.0.1:1", SIM_HANG);
    fd = connect_to("10.0.0.1", 1, &op);
    sim_advance(sim, 100000);
    cr_assert_eq(connect_result, 1);
    ring_cancel(ring, &op);
    sim_settle(sim);
    cr_assert_eq(connect_result, -ECANCELED);
    ring_close(ring, fd);

    fd = connect_to("127.0.0.1", 80, &op);
    sim_settle(sim);
    cr_assert_eq(connect_result, 0);
    cr_assert_eq(conns_open, 1);
    cr_assert_eq(ring_peer(ring, fd, &far), 0);
    cr_assert_eq(far.port, 80);
    ring_close(ring, fd);
    sim_settle(sim);
    cr_assert_eq(conns_open, 0, "the own server saw the end");
    close_world(sim);
}

Test(sim, peers_have_the_addresses_that_they_come_from)
{
    static const uint8_t v6[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = 9};
    struct sim *sim = sim_open(1, &small);
    int tcp = sim_listen(sim, "[::1]:80"), unix_socket = sim_listen(sim, "unix:/run/x");
    struct ring_peer far;

    server_start(sim, tcp);
    sim_connect_to(sim, tcp, "[2001:db8::9]:1234");
    sim_settle(sim);
    cr_assert_eq(ring_peer(ring, container_of(list_first(&conns), struct conn, node)->fd, &far), 0);
    cr_assert_arr_eq(far.ip, v6, 16);
    cr_assert_eq(far.port, 1234);
    server_stop(sim);

    server_start(sim, unix_socket);
    sim_connect_to(sim, unix_socket, "unix:1000");
    sim_settle(sim);
    cr_assert_eq(ring_peer(ring, container_of(list_first(&conns), struct conn, node)->fd, &far), 0);
    cr_assert(far.is_unix);
    cr_assert_eq(far.uid, 1000);
    close_world(sim);
}

Test(sim, closing_with_bytes_unread_is_a_reset_that_loses_what_was_sent)
{
    int listener;
    struct sim *sim = open_world(1, &listener);
    struct sim_peer *peer = sim_connect_to(sim, listener, NULL);
    struct conn *c;

    sim_settle(sim);
    sim_peer_puts(peer, "echo");
    sim_settle(sim);
    cr_assert_str_eq(sim_peer_peek(peer, NULL), "echo");
    c = container_of(list_first(&conns), struct conn, node);
    ring_cancel(ring, &c->recv);
    c->paused = c->failed = true;
    sim_peer_puts(peer, "nobody reads this");
    sim_settle(sim);
    cr_assert_eq(conns_open, 0);
    cr_assert(sim_peer_was_reset(peer));
    cr_assert_not(sim_peer_eof(peer));
    cr_assert_str_eq(sim_peer_peek(peer, NULL), "");
    close_world(sim);
}

Test(sim, ring_new_fails_when_it_is_told_to)
{
    struct sim *sim = sim_open(1, NULL);
    char why[100] = "";

    sim_fault_at(sim, 0, SIM_ENOMEM);
    cr_assert_eq(ring_new(&small, &ring, why, sizeof why), -ENOMEM);
    cr_assert_neq(why[0], '\0');
    cr_assert_eq(ring_new(&small, &ring, why, sizeof why), 0);
    cr_assert_eq(sim_ring(sim), ring);
    ring_free(&ring);
    cr_assert_null(sim_ring(sim));
    sim_close(&sim);
}

Test(sim, late_completions_of_different_operations_change_places)
{
    unsigned swapped = 0;

    for (uint64_t seed = 1; seed < 30; seed++) {
        int listener;
        struct sim *sim = open_world(seed, &listener);
        struct sim_peer *a = sim_connect_to(sim, listener, NULL), *b = sim_connect_to(sim, listener, NULL);

        sim_settle(sim);
        sim_set_fault(sim, SIM_LATE_COMPLETION, 1000);
        sim_peer_puts(a, "a");
        sim_peer_puts(b, "b");
        while (!sim_peer_received(a) && !sim_peer_received(b))
            sim_advance(sim, 1);
        swapped += !sim_peer_received(a);
        sim_set_fault(sim, SIM_LATE_COMPLETION, 0);
        close_world(sim);
    }
    cr_assert(swapped > 3 || getenv("SIM_SEED"));
}

Test(sim, lost_multishots_are_armed_again)
{
    int listener;
    struct sim *sim = open_world(1, &listener);
    struct sim_peer *peer;

    sim_set_fault(sim, SIM_LOST_MULTISHOT, 1000);
    peer = sim_connect_to(sim, listener, NULL);
    for (unsigned i = 1; i <= 10; i++) {
        sim_peer_puts(peer, "x");
        sim_settle(sim);
        cr_assert_eq(sim_peer_received(peer), i);
    }
    cr_assert_geq(ring_stats(ring)->rearms, 11);
    close_world(sim);
}

Test(sim, a_completion_queue_that_runs_over_loses_nothing)
{
    const struct ring_config tiny = {.buf_count = {64, 2, 1}, .buf_size = {64, 256, 512}, .cq_entries = 4};
    struct sim *sim = sim_open(1, &tiny);
    int listener = sim_listen(sim, "127.0.0.1:80");

    server_start(sim, listener);
    clients_start(sim, listener, PEERS_MAX, 200);
    for (unsigned turns = 0; turns < 200; turns++) {
        for (unsigned i = 0; i < PEERS_MAX; i++)
            if (!client_is_done(&clients[i]))
                client_step(sim, &clients[i]);
        sim_settle(sim);
    }
    for (unsigned i = 0; i < PEERS_MAX; i++)
        cr_assert_eq(clients[i].echoed_count, 200);
    cr_assert_gt(ring_stats(ring)->cq_overflows, 0);
    close_world(sim);
}

/* --- what it asserts --- */

static void
ignore_done(struct op *op, int result, struct buf *buf, bool more)
{
    (void)op;
    (void)result;
    (void)buf; /* keeps it */
    (void)more;
}

/* A connection whose operations nobody looks after. */
static int
bare_connection(struct sim *sim)
{
    struct op op = {0};
    int fd;

    sim_serve(sim, "10.0.0.1:1", SIM_ACCEPT);
    fd = connect_to("10.0.0.1", 1, &op);
    sim_settle(sim);
    cr_assert_eq(connect_result, 0);
    return fd;
}

static struct sim *bare_sim;
static struct op bare_ops[2];
static struct timer bare_timer;

static void
open_bare(void)
{
    bare_sim = sim_open(1, &small);
    ring = sim_ring(bare_sim);
}

static void
send_x(struct op *op, int fd)
{
    struct iovec *iov = ring_arena(ring, sizeof *iov);

    *iov = (struct iovec){(char *)(uintptr_t) "x", 1};
    ring_send(ring, op, fd, iov, 1, 0, ignore_done);
}

Test(sim_asserts, that_a_clean_world_closes, .init = open_bare)
{
    int fd = bare_connection(bare_sim);

    send_x(&bare_ops[0], fd);
    sim_settle(bare_sim);
    ring_close(ring, fd);
    sim_close(&bare_sim);
    cr_assert_null(bare_sim);
}

Test(sim_asserts, one_send_in_flight, .init = open_bare, .signal = SIGABRT)
{
    int fd = bare_connection(bare_sim);

    send_x(&bare_ops[0], fd);
    send_x(&bare_ops[1], fd);
}

Test(sim_asserts, one_receive_in_flight, .init = open_bare, .signal = SIGABRT)
{
    int fd = bare_connection(bare_sim);

    ring_recv(ring, &bare_ops[0], fd, RING_SMALL, ignore_done);
    ring_recv(ring, &bare_ops[1], fd, RING_SMALL, ignore_done);
}

Test(sim_asserts, no_start_of_a_busy_op, .init = open_bare, .signal = SIGABRT)
{
    int fd = bare_connection(bare_sim);

    ring_recv(ring, &bare_ops[0], fd, RING_SMALL, ignore_done);
    send_x(&bare_ops[0], fd);
}

Test(sim_asserts, no_close_with_an_op_in_flight, .init = open_bare, .signal = SIGABRT)
{
    int fd = bare_connection(bare_sim);

    ring_recv(ring, &bare_ops[0], fd, RING_SMALL, ignore_done);
    sim_settle(bare_sim);
    ring_cancel(ring, &bare_ops[0]);
    ring_close(ring, fd);
}

Test(sim_asserts, no_use_after_close, .init = open_bare, .signal = SIGABRT)
{
    int fd = bare_connection(bare_sim);

    ring_close(ring, fd);
    send_x(&bare_ops[0], fd);
}

Test(sim_asserts, no_half_close_over_a_queued_send, .init = open_bare, .signal = SIGABRT)
{
    int fd = bare_connection(bare_sim);

    send_x(&bare_ops[0], fd);
    ring_shutdown(ring, fd, SHUT_WR);
}

Test(sim_asserts, every_connection_closed, .init = open_bare, .signal = SIGABRT)
{
    bare_connection(bare_sim);
    sim_close(&bare_sim);
}

Test(sim_asserts, every_buffer_home, .init = open_bare, .signal = SIGABRT)
{
    int fd = bare_connection(bare_sim);
    struct sim_peer *peer = sim_next_peer(bare_sim);

    ring_recv(ring, &bare_ops[0], fd, RING_SMALL, ignore_done);
    sim_peer_puts(peer, "x");
    sim_settle(bare_sim);
    ring_cancel(ring, &bare_ops[0]);
    sim_settle(bare_sim);
    ring_close(ring, fd);
    sim_close(&bare_sim);
}

Test(sim_asserts, every_operation_ended, .init = open_bare, .signal = SIGABRT)
{
    ring_accept(ring, &bare_ops[0], sim_listen(bare_sim, "127.0.0.1:80"), ignore_done);
    sim_close(&bare_sim);
}

static void
ignore_fire(struct ring *r, struct timer *timer)
{
    (void)r;
    (void)timer;
}

Test(sim_asserts, every_timer_stopped, .init = open_bare, .signal = SIGABRT)
{
    timer_set(ring, &bare_timer, 1000, ignore_fire);
    sim_close(&bare_sim);
}

Test(sim_asserts, no_spinning, .init = open_bare, .signal = SIGABRT)
{
    for (unsigned i = 0; i < 1000000; i++) {
        ring_wait(ring, 0);
        ring_reap(ring);
    }
}
