/* SPDX-License-Identifier: Apache-2.0 */
/* The bridge plan: what a worker has of it, and what becomes of a request while it is open. How it begins,
 * what its message asks for, and what its client is told are in bridging_start.c, bridging_take.c and
 * bridging_client.c. */
#include "gate/bridging.h"

#include "gate/bridged.h"
#include "gate/events.h"
#include "gate/local.h"
#include "gate/merging.h"
#include "gate/splice.h"
#include "gate/ws_coding.h"
#include "proto/jsonrpc.h"

#include <errno.h>
#include <stdlib.h>

int
bridging_init(struct worker *w)
{
    bonds_init(w);
    list_init(&w->listeners_of_changes);
    list_init(&w->parked);
    pool_init(&w->bridged_pool, sizeof(struct bridged));
    pool_init(&w->envelope_pool, sizeof(struct jsonrpc_envelope));
    w->bridge_room = calloc(1, sizeof *w->bridge_room);
    return w->bridge_room ? merging_init(w) : -ENOMEM;
}

void
bridging_done(struct worker *w)
{
    bridged_parked_end_all(w);
    merging_done(w);
    bonds_done(w);
    ws_coding_done(w);
    pool_done(&w->bridged_pool);
    pool_done(&w->envelope_pool);
    held_free(w, &w->bridge_room->text);
    held_free(w, &w->bridge_room->made);
    held_free(w, &w->bridge_room->fields);
    free(w->bridge_room);
}

/* --- making messages --- */

struct text
bridged_message(const struct bridged *b)
{
    return held_text(&b->body);
}

bool
bridged_out(struct worker *w, uint32_t n, struct bridge_out *ret)
{
    struct bridge_room *room = w->bridge_room;

    if (n > UINT32_MAX / 4 || !held_reserve(w, &room->text, BRIDGE_ROOM(n)))
        return false;
    *ret = (struct bridge_out){.room = {.at = room->text.at, .size = room->text.size},
                               .edits = {.at = room->edits, .room = BRIDGED_EDITS}};
    return true;
}

struct text
bridged_made(struct worker *w, const struct bridge_out *out)
{
    struct held *made = &w->bridge_room->made;
    uint32_t n = jsonrpc_edited_size(out->text, out->edits.at, out->edits.count);

    if (!out->edits.count)
        return out->text;
    if (!held_reserve(w, made, n))
        return (struct text){0};
    jsonrpc_edit_write(out->text, out->edits.at, out->edits.count, made->at, made->size);
    return (struct text){made->at, n};
}

/* --- the plan --- */

static void
bridge_body(struct exchange *ex, const struct h1_body *body)
{
    struct bridged *b = ex->state;
    uint64_t max = ex->worker->config->max_body;

    ex->body_bytes += body->bytes;
    ex->asked_ns = ring_now(ex->worker->ring);
    if (b->ws) {
        bridged_ws_input(b, body);
        return;
    }
    if (max && ex->body_bytes > max) {
        exchange_fail(ex, CLOSE_BODY_TOO_LARGE);
        return;
    }
    for (uint32_t i = 0; i < body->count; i++)
        if (!held_append(ex->worker, &b->body, span_data(body->data[i]), body->data[i].len)) {
            exchange_fail(ex, CLOSE_NO_MEMORY);
            return;
        }
}

static void
bridge_trailers(struct exchange *ex, struct text section)
{
    (void)ex, (void)section;
}

bool
bridged_stand(struct bridged *b)
{
    struct session *s = b->session;

    if (s->stream) {
        if (s->stream->client)
            h1_send_end(s->stream->client, NULL);
        exchange_finish(s->stream, CLOSE_DONE);
    }
    b->is_standing = true;
    s->stream = b->ex;
    if (b->is_merged)
        list_add_tail(&b->worker->listeners_of_changes, &b->listener);
    if (!journaled_open(b, (struct text){0})) {
        exchange_fail(b->ex, CLOSE_NO_MEMORY);
        return false;
    }
    list_for_each(node, &s->bonds)
        bond_listen(container_of(container_of(node, struct session_bond, node), struct bond, tie));
    held_free(b->worker, &b->fields); /* it asks for nothing more, and stands for long */
    b->credentials = (struct text){0};
    b->plain_fields = 0;
    return true;
}

static void
open_stream(struct bridged *b)
{
    struct text id = bridged_field(b, TEXT("last-event-id"));

    if (!b->ex->accepts_sse)
        local_error(b->ex, CLOSE_NOT_ACCEPTABLE, (struct text){0});
    else if (id.len && b->worker->journal)
        journaled_resume(b, id);
    else
        bridged_stand(b);
}

static void
bridge_end(struct exchange *ex)
{
    struct bridged *b = ex->state;

    ex->request_whole = true;
    ex->asked_ns = ring_now(ex->worker->ring);
    if (bridged_session_is_over(b))
        return;
    switch ((enum http_method)ex->method) {
    case METHOD_POST:
        bridged_take_message(b);
        break;
    case METHOD_GET:
        if (b->ws)
            bridged_ws_open(b);
        else if (b->session->is_of_stream)
            bridged_sse_open(b);
        else
            open_stream(b);
        break;
    default:
        bonds_end_left(b->session, b->credentials);
        session_delete(b->session);
        local_reply(ex, 200, (struct text){0}, (struct text){0}, "", 0, CLOSE_DONE);
    }
}

static void
bridge_writable(struct exchange *ex)
{
    struct bridged *b = ex->state;

    if (b->is_standing && b->session && b->session->is_of_stream) {
        bridged_catch_up(b);
        bridged_sse_writable(b);
        if (b->ws)
            bridged_ws_writable(b);
        return;
    }
    if (b->batch)
        bridged_batch_writable(b);
    else
        bridged_resume(b);
    journaled_catch_up(b);
}

/* A call of an older revision goes on without its client (mcp-wire 5, behaviour 16), a modern one is
 * cancelled (15). What a client may come back for goes on, too. */
static void
bridge_client_gone(struct exchange *ex, enum close_reason reason)
{
    struct bridged *b = ex->state;
    uint64_t keep_ms = ex->worker->config->orphan_timeout;
    bool goes_on = keep_ms && !mcp_revision_is_modern(b->bridge.client) &&
                   (b->is_standing ? journaled_wait(b) : b->ask.bond || b->batch);

    if (!goes_on) {
        bond_call_done(&b->ask, true);
        exchange_finish(ex, reason);
        return;
    }
    if (b->batch)
        bridged_batch_writable(b);
    else
        bond_resume(&b->ask); /* others may come by the same stream or process */
    ex->orphan = true;
    ex->asked_ns = ring_now(ex->worker->ring);
    b->journaled.is_behind = false; /* it says itself what it has had */
    exchange_wake_in(ex, keep_ms);
}

static void
end_in_order(struct exchange *ex)
{
    struct bridged *b = ex->state;
    char body[BRIDGED_ERROR_BYTES];
    struct json_writer w = {.at = body, .size = sizeof body};

    if (b->listener.next && ex->method == METHOD_POST) {
        bridge_put_listen_end(&w, b->call.id);
        events_send(ex, json_written(&w));
    }
    exchange_end_reply(ex, CLOSE_DRAIN);
}

/* A subscription on a WebSocket. */
static void
end_listen(struct bridged *b)
{
    char body[BRIDGED_ERROR_BYTES];
    struct json_writer w = {.at = body, .size = sizeof body};

    bridge_put_listen_end(&w, b->call.id);
    bridged_reply(b, 200, json_written(&w), (struct text){0});
}

static void
bridge_stop(struct exchange *ex, bool at_once)
{
    struct bridged *b = ex->state;

    if (b->is_standing && b->session && b->session->is_of_stream)
        bridged_sse_stop(b, at_once);
    else if (b->is_standing && ex->client && ex->reply_begun)
        end_in_order(ex);
    else if (b->is_standing && bridged_is_detached(b))
        end_listen(b);
    else if (b->is_standing && ex->orphan)
        exchange_finish(ex, CLOSE_DRAIN);
    else if (at_once)
        exchange_fail(ex, CLOSE_DRAIN);
}

static void
bridge_tick(struct exchange *ex)
{
    struct bridged *b = ex->state;

    if (exchange_check_limits(ex))
        return;
    if (ex->worker->draining && b->is_standing) { /* it came too late to stand for long */
        bridge_stop(ex, false);
        return;
    }
    if (b->is_hello && !b->is_accepted && !bridged_sse_hello_tick(b))
        return;
    journaled_tick(b);
    if (b->ws)
        bridged_ws_tick(b);
    else
        events_tick(ex);
}

static bool
bridge_fail_stream(struct exchange *ex, enum close_reason reason)
{
    return journaled_fail(ex->state, reason);
}

void
bridged_free(struct bridged *b)
{
    struct worker *w = b->worker;

    if (b->batch)
        bridged_batch_free(b);
    if (b->ws)
        bridged_ws_free(b);
    bond_call_done(&b->ask, true);
    if (b->relay)
        leg_close(b->relay);
    era_forget(&b->era);
    list_del(&b->listed.node);
    bridged_unlisten(b);
    if (b->listens_to)
        b->listens_to->listeners--;
    bridged_relist_free(b);
    bridged_round_free(b);
    bridged_parked_free(b);
    late_free(w, &b->late);
    merging_leave(b);
    session_release(b->session);
    span_unref(b->relayed_session);
    held_free(w, &b->head);
    held_free(w, &b->body);
    held_free(w, &b->fields);
    bridged_put(b);
}

static void
bridge_release(struct exchange *ex, enum close_reason reason)
{
    struct bridged *b = ex->state;

    journaled_end(b, reason);
    if (b->is_hello && !b->is_accepted)
        bridged_sse_hello_failed(b);
    if (b->is_accepted || bridged_is_of_ws(b))
        bridged_sse_ends(b, reason);
    if (b->whole && b->whole->batch)
        bridged_batch_ends(b, reason);
    list_del(&b->part);
    b->whole = NULL;
    if (b->session && b->session->stream == ex) {
        b->session->stream = NULL;
        if (b->session->is_of_stream)
            bridged_sse_closed(b);
    }
    ex->state = NULL;
    b->ex = NULL;
    if (!b->is_leaving)
        bridged_free(b);
}

static void
bridge_peer_end(struct exchange *ex)
{
    struct bridged *b = ex->state;

    if (b->ws && ex->is_ws)
        bridged_ws_peer_end(b);
    else
        splice_probe_client(ex);
}

const struct plan bridged_plan = {
    .name = "bridge",
    .peer_end = bridge_peer_end,
    .body = bridge_body,
    .trailers = bridge_trailers,
    .end = bridge_end,
    .writable = bridge_writable,
    .client_gone = bridge_client_gone,
    .tick = bridge_tick,
    .stop = bridge_stop,
    .fail_stream = bridge_fail_stream,
    .release = bridge_release,
};
