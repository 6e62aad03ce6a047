/* SPDX-License-Identifier: Apache-2.0 */
/* Connections that read slowly; see slow_reader.h. */
#include "slow_reader.h"

enum { STEP_MS = 50, STEPS_PER_S = 1000 / STEP_MS };

/* A receive brings what the socket holds, so the budget goes below zero and is waited for. It never grows
 * beyond one step's: who could not read for a while does not catch up. */
static void
on_step(struct ring *ring, struct timer *timer)
{
    struct slow_reader *reader = container_of(timer, struct slow_reader, timer);
    int64_t step = (int64_t)(reader->bytes_per_s / STEPS_PER_S) + 1;

    reader->budget += step;
    if (reader->budget > step)
        reader->budget = step;
    if (reader->budget > 0 && !op_busy(reader->recv))
        ring_recv(ring, reader->recv, reader->fd, RING_SMALL, reader->done);
    timer_set(ring, timer, STEP_MS - 1, on_step); /* the wheel adds the millisecond that has begun */
}

void
slow_reader_begin(struct slow_reader *reader, struct ring *ring, struct op *recv, int fd,
                  uint64_t bytes_per_s, op_done *done)
{
    reader->ring = ring;
    reader->recv = recv;
    reader->done = done;
    reader->fd = fd;
    reader->bytes_per_s = bytes_per_s;
    reader->budget = 0;
    ring_cancel(ring, recv);
    if (bytes_per_s)
        timer_set(ring, &reader->timer, STEP_MS - 1, on_step);
}

void
slow_reader_took(struct slow_reader *reader, uint64_t bytes)
{
    reader->budget -= (int64_t)bytes;
    if (reader->budget <= 0)
        ring_cancel(reader->ring, reader->recv);
}

void
slow_reader_end(struct slow_reader *reader)
{
    timer_stop(&reader->timer);
}
