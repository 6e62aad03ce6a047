/* SPDX-License-Identifier: Apache-2.0 */
/* The contract of ring.h: sending. */
#include "ring_contract_conn.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

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

static size_t
drain(struct far *far, uint8_t *ret_bytes, size_t size)
{
    size_t count = 0, n;

    while (count < size && (n = far_read(far, ret_bytes + count, size - count)) > 0)
        count += n;
    return count;
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
