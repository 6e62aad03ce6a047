/* SPDX-License-Identifier: Apache-2.0 */
#include "ring_contract_conn.h"

#include <string.h>

struct ring *ring;
struct op accept_op;
int accepted[CONNS_MAX];
unsigned accepted_count, accept_ends, accept_errors;
int accept_result;
bool in_reap;

void
turn(void)
{
    ring_wait(ring, TURN_MS);
    in_reap = true;
    ring_reap(ring);
    in_reap = false;
}

void
run_for_ms(unsigned ms)
{
    uint64_t end_ns;

    turn();
    end_ns = ring_now(ring) + ms * 1000000ull;
    while (ring_now(ring) < end_ns)
        turn();
}

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

void
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

void
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

void
open_world(unsigned buf_count, unsigned buf_size)
{
    struct ring_config config = {.sq_entries = 64,
                                 .cq_entries = 256,
                                 .buf_count = {buf_count, 4, 2},
                                 .buf_size = {buf_size, 4096, 8192}};

    world_open(&config);
    ring = world_ring();
    ring_accept(ring, &accept_op, world_listener(), on_accept);
}

void
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

void
open_conn(struct conn *c)
{
    unsigned before = accepted_count;

    *c = (struct conn){0};
    c->far = far_connect();
    RUN_UNTIL(accepted_count > before);
    c->fd = accepted[before];
}

void
release_kept(struct conn *c)
{
    while (c->kept_count)
        buf_unref(c->kept[--c->kept_count]);
}

void
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

void
close_many(struct conn *conns, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        release_kept(&conns[i]);
    for (unsigned i = 0; i < count; i++)
        close_conn(&conns[i]);
}

void
receive(struct conn *c)
{
    ring_recv(ring, &c->recv, c->fd, RING_SMALL, on_recv);
}

void
tell(struct conn *c, const char *text)
{
    cr_assert_eq(far_send(c->far, text, strlen(text)), strlen(text));
}

bool
got(const struct conn *c, const char *text)
{
    return c->got_count == strlen(text) && memcmp(c->got, text, c->got_count) == 0;
}

bool
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
void
send_bytes(struct conn *c, const void *bytes, size_t count, unsigned flags)
{
    struct iovec *iov = ring_arena(ring, sizeof *iov);

    *iov = (struct iovec){(void *)(uintptr_t)bytes, count};
    c->send_ends = 0;
    ring_send(ring, &c->send, c->fd, iov, 1, flags, on_send);
}
