/* SPDX-License-Identifier: Apache-2.0 */
/* Batching: what waits for others of its link, how long, and what does not. */
#include "net/batch.h"
#include "net_relay.h"

#include <criterion/criterion.h>

enum { WINDOW_MS = 8, MESSAGES = 4, BYTES = 1000 };

/* In steps: links see the time of the last turn. */
static void
pass(unsigned ms)
{
    while (ms--)
        sim_advance(sim, 1);
}

static void
open_busy(unsigned load)
{
    relay_open(1);
    batch_init(&net, &(struct batch_limits){WINDOW_MS, MESSAGES, BYTES});
    batch_set_load(&net, load);
    pass(100);
}

static void
put(enum priority lane, uint32_t bytes)
{
    static char text[BYTES] = {[0 ... BYTES - 1] = 'm'};
    static struct buf all = {.data = (uint8_t *)text, .size = BYTES, .kind = BUF_STATIC};

    link_push(&far.link, lane, span_of(&all, 0, bytes));
    link_end_message(&far.link, lane);
    batch_wait(&far.link, 1);
}

static void
say(enum priority lane, uint32_t bytes)
{
    put(lane, bytes);
    sim_settle(sim);
}

static size_t
heard(void)
{
    char text[4 * BYTES];

    return sim_peer_read(far_peer, text, sizeof text);
}

Test(batch, a_worker_that_is_not_busy_sends_at_once)
{
    static const unsigned loads[] = {0, 30, 50};

    for (size_t i = 0; i < sizeof loads / sizeof *loads; i++) {
        open_busy(loads[i]);
        for (unsigned k = 0; k < 5; k++) {
            say(PRIORITY_NORMAL, 1);
            cr_assert_eq(heard(), 1);
        }
        cr_assert_eq(net.stats.batches, 0);
        world_close();
    }
}

Test(batch, the_first_leaves_at_once_and_the_next_ones_together_after_the_window)
{
    open_busy(100);
    say(PRIORITY_NORMAL, 1);
    cr_assert_eq(heard(), 1, "nothing came before it");
    say(PRIORITY_NORMAL, 1);
    say(PRIORITY_NORMAL, 1);
    cr_assert_eq(heard(), 0);
    cr_assert_eq(net.stats.batches, 1);
    cr_assert_eq(net.stats.batched, 1);
    pass(WINDOW_MS - 2);
    cr_assert_eq(heard(), 0);
    pass(4);
    cr_assert_eq(heard(), 2);
    pass(2 * WINDOW_MS);
    say(PRIORITY_NORMAL, 1);
    cr_assert_eq(heard(), 1, "a message that comes alone does not wait");
    world_close();
}

Test(batch, the_window_grows_with_the_load)
{
    open_busy(70);
    cr_assert_eq(net.batch.window_ms, WINDOW_MS / 2);
    say(PRIORITY_NORMAL, 1);
    say(PRIORITY_NORMAL, 1);
    cr_assert_eq(heard(), 1);
    pass(WINDOW_MS / 2 + 2);
    cr_assert_eq(heard(), 1);
    world_close();
}

Test(batch, enough_messages_or_bytes_leave_at_once)
{
    open_busy(100);
    say(PRIORITY_NORMAL, 1);
    for (unsigned i = 1; i < MESSAGES; i++)
        say(PRIORITY_NORMAL, 1);
    cr_assert_eq(heard(), 1);
    say(PRIORITY_NORMAL, 1);
    cr_assert_eq(heard(), MESSAGES);
    say(PRIORITY_NORMAL, BYTES);
    cr_assert_eq(heard(), BYTES);
    world_close();
}

Test(batch, what_is_critical_takes_along_what_waits)
{
    open_busy(100);
    say(PRIORITY_NORMAL, 1);
    say(PRIORITY_NORMAL, 2);
    cr_assert_eq(heard(), 1);
    say(PRIORITY_CRITICAL, 4);
    cr_assert_eq(heard(), 6);
    world_close();
}

Test(batch, the_end_of_a_stream_takes_along_what_waits)
{
    for (int finish = 0; finish < 2; finish++) {
        open_busy(100);
        say(PRIORITY_NORMAL, 1);
        say(PRIORITY_NORMAL, 2);
        cr_assert_eq(heard(), 1);
        if (finish)
            link_finish(&far.link, CLOSE_DONE);
        else
            batch_hurry(&far.link);
        sim_settle(sim);
        cr_assert_eq(heard(), 2);
        world_close();
    }
}

Test(batch, nothing_waits_when_there_is_nothing_else_to_do)
{
    open_busy(100);
    say(PRIORITY_NORMAL, 1);
    cr_assert_not(batch_waits(&net));
    say(PRIORITY_NORMAL, 1);
    cr_assert(batch_waits(&net));
    cr_assert_eq(heard(), 1);
    batch_hurry_all(&net);
    cr_assert_not(batch_waits(&net));
    sim_settle(sim);
    cr_assert_eq(heard(), 1);
    world_close();
}

Test(batch, an_aborted_link_waits_for_nothing)
{
    open_busy(100);
    say(PRIORITY_NORMAL, 1);
    say(PRIORITY_NORMAL, 1);
    link_abort(&far.link, CLOSE_DONE, false);
    sim_settle(sim);
    cr_assert(list_empty(&net.batch.held));
    pass(2 * WINDOW_MS);
    world_close();
}

Test(batch, what_waits_keeps_no_receive_buffer)
{
    open_busy(100);
    far.waits = true;
    say(PRIORITY_NORMAL, 1);
    heard();
    sim_peer_puts(near_peer, "from the pool");
    sim_settle(sim);
    cr_assert(far.link.is_held);
    assert_pool_is_whole();
    sim_peer_puts(near_peer, ", again");
    sim_settle(sim);
    assert_pool_is_whole();
    pass(2 * WINDOW_MS);
    assert_reads(far_peer, "from the pool, again", 20);
    world_close();
}
