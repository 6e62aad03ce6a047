/* SPDX-License-Identifier: Apache-2.0 */
#include "gate/prewarm.h"

#include "gate/merging_lists.h"

enum { LOOK_MS = 250, LISTS_EVERY = 4 /* looks */ };

static bool
is_warmed(const struct upstream *up)
{
    return !up->cfg->is_route && !up->cfg->is_demo && !up->stdio;
}

static void
warm(struct upstream *up)
{
    const struct config *c = up->worker->config;

    while (up->idle_count + up->warming < c->prewarm) {
        struct endpoint *ep = upstream_choose(up);

        if (!ep || !ep->address_count || !upstream_warm(ep))
            return;
    }
}

/* What was taken or has aged is made good. */
static void
on_look(struct ring *ring, struct timer *timer)
{
    struct worker *w = container_of(timer, struct worker, prewarm_timer);

    for (unsigned i = 0; i < w->upstreams.count; i++)
        if (is_warmed(&w->upstreams.items[i]))
            warm(&w->upstreams.items[i]);
    if (w->prewarm_looks++ % LISTS_EVERY == 0)
        merging_load(w);
    timer_set(ring, timer, LOOK_MS, on_look);
}

static void
on_era_known(struct era_wait *wait)
{
    (void)wait; /* it is there when somebody asks */
}

void
prewarm_start(struct worker *w)
{
    if (!w->config->prewarm)
        return;
    for (unsigned i = 0; i < w->upstreams.count; i++) {
        struct upstream *up = &w->upstreams.items[i];

        up->prewarm.known = on_era_known;
        if (is_warmed(up))
            era_ask(up, (struct text){0}, &up->prewarm);
    }
    timer_set(w->ring, &w->prewarm_timer, 0, on_look);
}

static void
stop_warming(struct endpoint *ep)
{
    list_for_each_safe(node, &ep->open) {
        struct h1 *h1 = container_of(node, struct h1, node);

        if (h1->warming)
            h1_abort(h1, CLOSE_DRAIN);
    }
}

void
prewarm_stop(struct worker *w)
{
    timer_stop(&w->prewarm_timer);
    for (unsigned i = 0; i < w->upstreams.count; i++) {
        struct upstream *up = &w->upstreams.items[i];

        era_forget(&up->prewarm);
        for (unsigned k = 0; k < up->endpoint_count; k++)
            stop_warming(&up->endpoints[k]);
    }
}
