/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Notices to a client that does not keep up, by --backpressure:
 *
 *      throttle   what a call's upstream says is no longer read until the client has caught up
 *      drop       log lines are left out; of all else as above
 *      combine    of progress, and of notices that a list has changed, the latest is kept and said when the
 *                 client has caught up, or before the response; of all else as above
 *
 * Unasked notices have no call whose source could be stopped: what is not combined is left out, unless the
 * client can ask for it again (journaled.c). Responses and requests always pass. So what waits for one client
 * is bounded whatever the upstream says: by the marks, one kept notice of each kind, and one response.
 */
#include "gate/bridged.h"

static const struct text merge_keys[BRIDGED_LATE] = {
    TEXT("notifications/progress"),
    TEXT("notifications/tools/list_changed"),
    TEXT("notifications/prompts/list_changed"),
    TEXT("notifications/resources/list_changed"),
};

static enum cfg_backpressure
policy_of(const struct bridged *b)
{
    return (enum cfg_backpressure)b->worker->config->backpressure;
}

/* Where the latest of its kind waits; NULL: such are not combined. */
static struct held *
late_of(struct bridged *b, struct text method)
{
    /* What is said unasked may be about the progress of several calls. */
    for (unsigned i = b->is_standing; i < BRIDGED_LATE && policy_of(b) == BACKPRESSURE_COMBINE; i++)
        if (text_eq(method, merge_keys[i]))
            return &b->late[i];
    return NULL;
}

static bool
is_left_out(const struct bridged *b, struct text method)
{
    return b->is_standing ||
           (policy_of(b) == BACKPRESSURE_DROP && text_eq(method, TEXT("notifications/message")));
}

/* A newer one takes its place. */
static void
supersede(struct bridged *b, struct held *late)
{
    if (late && late->len)
        stats_add(b->worker->stats, STAT_notices_merged, 1);
    if (late)
        late->len = 0;
}

bool
bridged_notice(struct bridged *b, struct text method, struct text message)
{
    struct held *late = late_of(b, method);

    if (!message.at) /* no memory to make it in */
        return false;
    supersede(b, late);
    if (!bridged_is_congested(b) || (b->is_standing && journaled_is_kept(b))) {
        bridged_event(b, message, (struct text){0});
        return bridged_is_congested(b) && policy_of(b) == BACKPRESSURE_THROTTLE;
    }
    if (late && held_append(b->worker, late, message.at, message.len))
        return false;
    if (is_left_out(b, method)) {
        stats_add(b->worker->stats, STAT_notices_dropped, 1);
        return false;
    }
    bridged_event(b, message, (struct text){0});
    return true;
}

void
bridged_catch_up(struct bridged *b)
{
    for (unsigned i = 0; i < BRIDGED_LATE; i++) {
        if (!b->late[i].len)
            continue;
        if (b->ex && bridged_hearer(b))
            bridged_event(b, held_text(&b->late[i]), (struct text){0});
        held_free(b->worker, &b->late[i]);
    }
}

void
bridged_late_free(struct bridged *b)
{
    for (unsigned i = 0; i < BRIDGED_LATE; i++)
        held_free(b->worker, &b->late[i]);
}
