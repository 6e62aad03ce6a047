/* SPDX-License-Identifier: Apache-2.0 */
#include "net/batch.h"

#include "net/link_private.h"
#include "net/outbound.h"

enum { LOAD_NONE = 50, LOAD_FULL = 90 /* percent */ };

static uint32_t
now_us(const struct link *link)
{
    return (uint32_t)(ring_now(link->net->ring) / 1000);
}

static struct batch *
batch_of(const struct link *link)
{
    return &link->net->batches[link->transport];
}

static struct link *
first_held(const struct batch *batch)
{
    return list_empty(&batch->held) ? NULL : container_of(list_first(&batch->held), struct link, node);
}

static void
on_window(struct ring *ring, struct timer *timer)
{
    struct batch *batch = container_of(timer, struct batch, timer);
    uint32_t now = (uint32_t)(ring_now(ring) / 1000);
    struct link *link;

    while ((link = first_held(batch))) {
        int32_t left_us = (int32_t)(link->due_us - now);

        if (left_us > 0) {
            timer_set(ring, timer, (uint32_t)left_us / 1000, on_window);
            return;
        }
        batch_hurry(link);
    }
}

void
batch_init(struct net *net, enum transport t, const struct batch_limits *limits)
{
    net->batches[t].limits = *limits;
    net->batches[t].timer.fire = on_window;
}

void
batch_done(struct net *net)
{
    for (unsigned t = 0; t < TRANSPORTS; t++) {
        ASSERT(list_empty(&net->batches[t].held));
        timer_stop(&net->batches[t].timer);
    }
}

void
batch_set_load(struct net *net, unsigned percent)
{
    unsigned above = percent > LOAD_NONE ? percent - LOAD_NONE : 0, range = LOAD_FULL - LOAD_NONE;

    for (unsigned t = 0; t < TRANSPORTS; t++)
        net->batches[t].window_ms =
            net->batches[t].limits.window_ms * (above < range ? above : range) / range;
}

bool
batch_waits(const struct net *net)
{
    for (unsigned t = 0; t < TRANSPORTS; t++)
        if (!list_empty(&net->batches[t].held))
            return true;
    return false;
}

void
batch_hurry_all(struct net *net)
{
    struct link *link;

    for (unsigned t = 0; t < TRANSPORTS; t++)
        while ((link = first_held(&net->batches[t])))
            batch_hurry(link);
}

/* --- how long they waited --- */

/* What was pushed since the last time waits from now on. */
static void
note_waiting(struct outbound *out, uint32_t now)
{
    struct outbound_turn *last = out->turn_count ? &out->turns[out->turn_count - 1] : NULL;

    if (!out->pushes)
        return;
    if (!last || (last->at_us != now && out->turn_count < OUTBOUND_TURNS)) {
        last = &out->turns[out->turn_count++];
        *last = (struct outbound_turn){.at_us = now};
    }
    last->pushes = (uint16_t)(last->pushes + out->pushes);
    out->pushes = 0;
}

static void
note_late(const struct link *link, uint32_t waited_us, unsigned pushes)
{
    struct net_stats *stats = &link->net->stats;
    struct net_late late = {(uint64_t)waited_us * 1000, 0, link->side, link->transport};
    unsigned i = 0;

    while (i < stats->late_count &&
           (stats->late[i].waited_ns != late.waited_ns || stats->late[i].side != late.side ||
            stats->late[i].transport != late.transport))
        i++;
    if (i == NET_LATE_MAX)
        i--;
    else if (i == stats->late_count)
        stats->late[stats->late_count++] = late;
    stats->late[i].messages += pushes;
}

/* All of it leaves with this turn. */
static void
note_leaving(struct link *link)
{
    struct outbound *out = link->out;
    uint32_t now = now_us(link);

    note_waiting(out, now); /* what nobody said to wait */
    for (unsigned i = 0; i < out->turn_count; i++)
        note_late(link, now - out->turns[i].at_us, out->turns[i].pushes);
    out->turn_count = 0;
}

/* What waits is copied, and gives the receive buffers back: thousands of links may wait. */
static void
hold(struct link *link, uint32_t now)
{
    struct batch *batch = batch_of(link);
    struct net *net = link->net;

    if (!outbound_spill(net, link->out)) {
        link_abort(link, CLOSE_NO_MEMORY, false);
        return;
    }
    list_del(&link->node);
    list_add_tail(&batch->held, &link->node);
    net->stats.flows[link->side][link->transport].messages -= link->out->pushes; /* all of this turn */
    link->is_held = true;
    link->due_us = now + batch->window_ms * 1000;
    net->stats.batches++;
    if (!timer_running(&batch->timer))
        timer_set(net->ring, &batch->timer, batch->window_ms, on_window);
}

/* Whether there is as much as one send should take, or something that cannot wait. */
static bool
is_enough(const struct link *link)
{
    const struct batch_limits *limits = &batch_of(link)->limits;

    return link->waiting >= limits->messages || link_queued(link) >= limits->bytes ||
           outbound_most_urgent(link->out) == PRIORITY_CRITICAL;
}

void
batch_wait(struct link *link, unsigned messages)
{
    uint32_t window_us = batch_of(link)->window_ms * 1000, now = now_us(link), gap_us = now - link->said_us;

    link->said_us = now;
    /* What waits for the kernel gathers there. */
    if (!window_us || link->state != LINK_OPEN || !link->out || op_busy(&link->tx) ||
        !list_linked(&link->node))
        return;
    link->waiting = (uint16_t)(link->waiting + messages);
    link->net->stats.batched += link->is_held ? messages : 0;
    if (is_enough(link))
        batch_hurry(link);
    else if (!link->is_held && gap_us < window_us)
        hold(link, now);
    if (link->is_held)
        note_waiting(link->out, now);
}

void
batch_hurry(struct link *link)
{
    if (!link->is_held)
        return;
    note_leaving(link);
    link_unhold(link);
    link_mark_dirty(link);
}

/* --- sources --- */

static void
on_rested(struct ring *ring, struct timer *timer)
{
    struct link *source = container_of(timer, struct link, timer);

    (void)ring;
    source->rests = false;
    link_receive(source);
}

/* How long until as much is there as one send should take, at the pace of what took so long to come. 0: too
 * short to be worth it, or so long that hardly two would meet. */
static uint32_t
rest_ms(const struct link *source, uint64_t took_us)
{
    const struct batch *batch = batch_of(source);
    uint32_t bytes = (uint32_t)source->received_bytes - source->had_bytes;
    uint64_t rest_us = (uint64_t)batch->window_ms * 1000;

    if (2 * took_us > rest_us * source->waiting)
        return 0;
    if (rest_us > took_us * batch->limits.messages / source->waiting)
        rest_us = took_us * batch->limits.messages / source->waiting;
    if (bytes && rest_us > took_us * batch->limits.bytes / bytes)
        rest_us = took_us * batch->limits.bytes / bytes;
    return (uint32_t)(rest_us / 1000);
}

static void
count_batch(const struct link *source)
{
    if (!source->rested || source->waiting < 2)
        return;
    source->net->stats.batches++;
    source->net->stats.batched += source->waiting - 1u;
}

/* What a multishot receive brings until its cancel has come back counts for the next time. */
static void
rest(struct link *source, uint32_t ms)
{
    source->rested = ms > 0;
    if (!ms)
        return;
    source->rests = true;
    ring_cancel(source->net->ring, &source->rx);
    timer_set(source->net->ring, &source->timer, ms - 1, on_rested); /* takes a tick more, see timer_set() */
}

void
batch_rest(struct link *source, unsigned messages)
{
    uint32_t now = now_us(source), ms;

    if (!batch_of(source)->limits.window_ms || source->state != LINK_OPEN)
        return;
    messages += source->waiting;
    source->waiting = (uint16_t)(messages < UINT16_MAX ? messages : UINT16_MAX);
    if (source->rests || source->has_more) /* which belongs to this */
        return;
    count_batch(source);
    ms = rest_ms(source, now - source->said_us);
    source->said_us = now;
    source->had_bytes = (uint32_t)source->received_bytes;
    source->waiting = 0;
    rest(source, ms);
}

void
batch_rouse(struct link *source)
{
    source->rested = false;
    if (!source->rests)
        return;
    source->rests = false;
    timer_stop(&source->timer);
    link_receive(source);
}
