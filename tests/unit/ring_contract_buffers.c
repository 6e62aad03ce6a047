/* SPDX-License-Identifier: Apache-2.0 */
/* The contract of ring.h: a group that runs out of buffers, and all together. */
#include "ring_contract_conn.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>

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
