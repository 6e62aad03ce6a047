/* SPDX-License-Identifier: Apache-2.0 */
#include "gate/pace.h"

#include "gate/traffic.h"

static uint32_t
saturated(uint64_t ns)
{
    return ns < UINT32_MAX ? (uint32_t)ns : UINT32_MAX;
}

static void
sample(struct exchange *ex, uint64_t ns, uint32_t n)
{
    struct slot *s = ex->worker->stats;

    stats_observe_many(s, HIST_event_jitter, ns, n);
    stats_transport_observe(s, LINK_CLIENT, traffic_of_client(ex), TRHIST_transport_jitter, ns, n);
    if (ex->upstream)
        stats_up_observe_many(s, ex->upstream->index, UPHIST_up_jitter, ns, n);
}

/* All that has come has left by now. */
static void
left(struct exchange *ex, uint64_t now)
{
    uint64_t last = now - ex->event_ns, first = last + ex->held_ns;

    if (ex->delay_ns) {
        uint64_t before = ex->delay_ns - 1;

        sample(ex, first > before ? first - before : before - first, 1);
    }
    ex->delay_ns = saturated(last + 1);
}

/* Off the list of those that have something to send; it may have waited on its own. */
static void
forget(struct exchange *ex)
{
    if (ex->paced)
        ex->worker->paced[ex->paced - 1] = NULL;
    ex->paced = 0;
    ex->is_leaving = ex->is_held = false;
}

/* The kernel takes no more of its client's. To ask for congestion is to be told of its end (on_writable). */
static bool
is_stuck(const struct exchange *ex)
{
    return link_blocked(&ex->client->link) && link_congested(&ex->client->link);
}

/* What was submitted in the turn before: the kernel has taken it, or what is left waits for room. */
static void
settle(struct exchange *ex)
{
    ex->is_leaving = false;
    if (is_stuck(ex))
        ex->is_held = true;
    else
        left(ex, ring_submitted(ex->worker->ring));
}

/* Into the list, unless it is there. False: that is full. */
static bool
watch(struct exchange *ex)
{
    struct worker *w = ex->worker;

    ex->held_ns = 0;
    if (ex->paced)
        return true;
    if (w->paced_count == PACED_MAX)
        return false;
    w->paced[w->paced_count++] = ex;
    ex->paced = (uint16_t)w->paced_count;
    return true;
}

void
pace_came(struct exchange *ex, uint32_t n)
{
    uint64_t now = ring_now(ex->worker->ring);
    bool waits = ex->is_held || (ex->paced && !ex->is_leaving);

    if (!ex->client || !n)
        return;
    if (ex->is_leaving) {
        settle(ex);
        waits = ex->is_held;
    }
    if (waits) {
        uint64_t gap = now - ex->event_ns;

        sample(ex, gap, 1);
        ex->held_ns = saturated(ex->held_ns + gap);
    } else if (!watch(ex)) {
        return;
    }
    ex->event_ns = now;
    if (n > 1) /* they leave as they came: at once */
        sample(ex, 0, n - 1);
}

void
pace_went_on(struct exchange *ex)
{
    if (!ex->is_held)
        return;
    forget(ex);
    left(ex, ring_now(ex->worker->ring));
}

/* Whether it stays on the list. A send is answered in the turn after it as a rule, since it does not wait. */
static bool
stays(struct exchange *ex)
{
    const struct link *link;

    if (!ex || !ex->client)
        return false;
    link = &ex->client->link;
    if (ex->is_leaving && link_is_flushed(link) && link_queued(link))
        return true;
    if (ex->is_leaving) {
        settle(ex);
        return false;
    }
    ex->is_held |= is_stuck(ex);
    ex->is_leaving = link_is_flushed(link);
    return !ex->is_held;
}

void
pace_turn(struct worker *w)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < w->paced_count; i++) {
        struct exchange *ex = w->paced[i];

        if (!stays(ex)) {
            if (ex)
                ex->paced = 0;
            continue;
        }
        w->paced[kept++] = ex;
        ex->paced = (uint16_t)kept;
    }
    w->paced_count = kept;
}

void
pace_end(struct exchange *ex)
{
    if (ex->is_leaving && ex->client)
        settle(ex);
    forget(ex);
}
