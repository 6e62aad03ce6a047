/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Notices to a client that does not keep up, by --backpressure (late.h).
 *
 * Unasked notices have no call whose source could be stopped: what is not combined is left out, unless the
 * client can ask for it again (journaled.c). Responses and requests always pass. So what waits for one client
 * is bounded whatever the upstream says: by the marks, one kept notice of each kind, and one response.
 */
#include "gate/bridged.h"

bool
bridged_notice(struct bridged *b, struct text method, struct text message)
{
    struct worker *w = b->worker;
    struct held *latest = late_of(w, &b->late, method, b->is_standing);

    if (!message.at) /* no memory to make it in */
        return false;
    late_supersede(w, latest);
    if (!bridged_is_congested(b) || (b->is_standing && journaled_is_kept(b))) {
        bridged_event(b, message, (struct text){0});
        return bridged_is_congested(b) && w->config->backpressure == BACKPRESSURE_THROTTLE;
    }
    if (latest && held_append(w, latest, message.at, message.len))
        return false;
    if (b->is_standing || late_is_dropped(w, method)) {
        stats_add(w->stats, STAT_notices_dropped, 1);
        return false;
    }
    bridged_event(b, message, (struct text){0});
    return true;
}

void
bridged_catch_up(struct bridged *b)
{
    for (unsigned i = 0; i < LATE_KINDS; i++) {
        struct held *latest = &b->late.kinds[i];

        if (!latest->len)
            continue;
        if (b->ex && bridged_hearer(b))
            bridged_event(b, held_text(latest), (struct text){0});
        held_free(b->worker, latest);
    }
}
