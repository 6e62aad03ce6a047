/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A batch of a client of 2025-03-26 or before, where messages are translated: each of its messages is taken
 * as if it had come alone, by an exchange without a client (a part). What is said while they are open goes to
 * the stream of the whole; the replies are gathered and leave in one array when the last part has ended.
 *
 *      whole (POST)  --  batch  --  part, part, ...   --> upstreams
 *
 * A batch that is posted to a stream of HTTP+SSE has no whole: each reply is a message of that stream.
 */
#include "gate/bridged.h"
#include "gate/local.h"
#include "mcp/bridge_batch.h"

#include <stdlib.h>

struct bridged_batch {
    struct list_node parts;
    struct held replies; /* "[...": so far, and then there are `count` */
    unsigned count;
    bool is_busy; /* parts begin or end in a row: not the time to ask whether that was all */
    bool no_memory;
};

/* --- the end --- */

static void
finish_if_done(struct bridged *whole)
{
    struct bridged_batch *batch = whole->batch;

    if (batch->is_busy || !list_empty(&batch->parts))
        return;
    if (batch->count && !held_append(whole->worker, &batch->replies, "]", 1))
        batch->no_memory = true;
    if (batch->no_memory)
        exchange_fail(whole->ex, CLOSE_NO_MEMORY);
    else if (batch->count)
        bridged_reply(whole, 200, held_text(&batch->replies), (struct text){0});
    else
        bridged_accept(whole);
}

static void
gather(struct bridged *whole, const struct text *pieces, unsigned count)
{
    struct bridged_batch *batch = whole->batch;
    bool ok = held_append(whole->worker, &batch->replies, batch->count++ ? "," : "[", 1);

    for (unsigned i = 0; i < count && ok; i++)
        ok = held_append(whole->worker, &batch->replies, pieces[i].at, pieces[i].len);
    batch->no_memory |= !ok;
}

void
bridged_batch_reply(struct bridged *part, const struct text *pieces, unsigned count)
{
    gather(part->whole, pieces, count);
    exchange_finish(part->ex, CLOSE_DONE);
}

void
bridged_batch_ends(struct bridged *part, enum close_reason reason)
{
    struct bridged *whole = part->whole;
    struct text error;

    if (bridged_owes_reply(part, reason)) {
        error = bridged_failure(part, reason);
        if (error.at)
            gather(whole, &error, 1);
        else
            whole->batch->no_memory = true;
    }
    part->whole = NULL;
    list_del(&part->part);
    finish_if_done(whole);
}

void
bridged_batch_writable(struct bridged *whole)
{
    list_for_each_safe(node, &whole->batch->parts)
        bond_resume(&container_of(node, struct bridged, part)->ask);
}

void
bridged_batch_free(struct bridged *whole)
{
    struct bridged_batch *batch = whole->batch;
    struct list_node *node;

    while ((node = list_pop(&batch->parts))) {
        struct bridged *part = container_of(node, struct bridged, part);

        part->whole = NULL; /* nobody is there for its reply */
        exchange_finish(part->ex, CLOSE_CLIENT_GONE);
    }
    held_free(whole->worker, &batch->replies);
    free(batch);
    whole->batch = NULL;
}

/* --- the beginning --- */

/* False: there is no memory for it. */
static bool
take_part(struct bridged *b, struct text message)
{
    struct bridged *part = bridged_part(b, message);

    if (!part)
        return false;
    stats_add(b->worker->stats, STAT_batch_messages, 1);
    part->is_accepted = b->is_accepted;
    part->in_batch = true;
    if (b->batch) {
        part->whole = b;
        list_add_tail(&b->batch->parts, &part->part);
    } else if (b->whole) { /* a WebSocket: where the batch came from, each reply goes by itself */
        bridged_ws_adopt(b->whole, part);
    }
    bridged_take_message(part);
    return true;
}

static enum close_reason
begin(struct bridged *b)
{
    const struct worker *w = b->worker;

    if (w->exchange_count + b->env->count > w->config->max_exchanges)
        return CLOSE_TOO_MANY_EXCHANGES;
    if (bridged_is_detached(b))
        return CLOSE_NONE;
    b->batch = calloc(1, sizeof *b->batch);
    if (!b->batch)
        return CLOSE_NO_MEMORY;
    list_init(&b->batch->parts);
    b->batch->is_busy = true;
    return CLOSE_NONE;
}

void
bridged_take_batch(struct bridged *b)
{
    struct text rest = bridged_message(b), message;
    enum close_reason reason;
    const char *why;
    bool ok = true;

    if (bridge_batch_requests(rest, &why) < 0) {
        bridged_error(b, -32600, 400, why);
        return;
    }
    reason = begin(b);
    if (reason != CLOSE_NONE) {
        exchange_fail(b->ex, reason);
        return;
    }
    while (ok && jsonrpc_next_message(&rest, &message))
        ok = take_part(b, message);
    if (bridged_is_detached(b)) {
        exchange_finish(b->ex, ok ? CLOSE_DONE : CLOSE_NO_MEMORY);
        return;
    }
    b->batch->is_busy = false;
    b->batch->no_memory |= !ok;
    finish_if_done(b);
}
