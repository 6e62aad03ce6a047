/* SPDX-License-Identifier: Apache-2.0 */
/* The contract of ring.h: accept and connect. */
#include "ring_contract_conn.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

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
