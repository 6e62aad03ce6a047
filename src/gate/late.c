/* SPDX-License-Identifier: Apache-2.0 */
#include "gate/late.h"

static const struct text merge_keys[LATE_KINDS] = {
    TEXT("notifications/progress"),
    TEXT("notifications/tools/list_changed"),
    TEXT("notifications/prompts/list_changed"),
    TEXT("notifications/resources/list_changed"),
};

struct held *
late_of(const struct worker *w, struct late *late, struct text method, bool is_standing)
{
    for (unsigned i = is_standing; i < LATE_KINDS && w->config->backpressure == BACKPRESSURE_COMBINE; i++)
        if (text_eq(method, merge_keys[i]))
            return &late->kinds[i];
    return NULL;
}

void
late_supersede(struct worker *w, struct held *latest)
{
    if (!latest)
        return;
    if (latest->len)
        stats_add(w->stats, STAT_notices_merged, 1);
    latest->len = 0;
}

bool
late_is_dropped(const struct worker *w, struct text method)
{
    return w->config->backpressure == BACKPRESSURE_DROP && text_eq(method, TEXT("notifications/message"));
}

void
late_free(struct worker *w, struct late *late)
{
    for (unsigned i = 0; i < LATE_KINDS; i++)
        held_free(w, &late->kinds[i]);
}
