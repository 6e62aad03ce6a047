/* SPDX-License-Identifier: Apache-2.0 */
#include "gate/leg.h"

#include "gate/heads.h"
#include "gate/leg_ws.h"
#include "gate/local.h"
#include "gate/traffic.h"

/* --- the end --- */

static void
free_leg(struct leg *leg, struct worker *w)
{
    leg_ws_free(leg, w);
    held_free(w, &leg->held);
    pool_put(&w->leg_pool, leg);
}

/* The exchange ends, for whatever reason: the owner hears of it, unless it was the owner. */
static void
leg_release(struct exchange *ex, enum close_reason reason)
{
    struct leg *leg = ex->state;
    const struct leg_up *up = leg->up;
    bool was_busy = leg->busy;

    leg_ws_goodbye(leg);
    leg->ex = NULL;
    ex->state = NULL;
    leg->busy = true;
    if (up)
        up->on_end(leg, reason);
    leg->busy = was_busy;
    if (!was_busy)
        free_leg(leg, ex->worker);
}

void
leg_close(struct leg *leg)
{
    leg->up = NULL;
    if (leg->ex)
        exchange_finish(leg->ex, CLOSE_DONE);
}

/* --- messages --- */

bool
leg_give(struct leg *leg, struct text message)
{
    leg->up->on_message(leg, message);
    return leg->ex != NULL;
}

static bool
give_event(struct leg *leg, const struct sse_event *event)
{
    if (!event->event.len || text_eq(event->event, TEXT("message")))
        return !event->data.len || leg_give(leg, event->data);
    if (leg->up->on_event)
        leg->up->on_event(leg, event->event, event->data);
    return leg->ex != NULL;
}

static bool
grow(struct sse_buffer *buffer, uint32_t used, uint32_t need)
{
    struct leg *leg = container_of(buffer, struct leg, buffer);
    struct worker *w = leg->ex->worker;

    (void)used; /* held_reserve keeps all */
    if (need > w->config->max_message)
        return false;
    leg->found_no_memory = !held_reserve(w, &leg->held, need);
    if (leg->found_no_memory)
        return false;
    buffer->at = leg->held.at;
    buffer->size = leg->held.size;
    return true;
}

static void
read_events(struct leg *leg, struct span bytes)
{
    const char *at = (const char *)span_data(bytes);
    uint32_t len = bytes.len, used;
    struct sse_event event;

    while (len) {
        enum parse_result result = sse_parser_next(&leg->parser, at, len, &used, &event);

        if (result == PARSE_BAD) {
            exchange_fail(leg->ex, leg->found_no_memory ? CLOSE_NO_MEMORY : CLOSE_MESSAGE_TOO_LARGE);
            return;
        }
        if (result == PARSE_MORE)
            return;
        at += used;
        len -= used;
        leg->ex->events++;
        stats_up_add(leg->ex->worker->stats, leg->ex->upstream->index, UPSTAT_up_events, 1);
        traffic_received(leg->ex->worker, LINK_UPSTREAM, TRANSPORT_SSE, 1);
        if (!give_event(leg, &event))
            return;
    }
}

static void
read_json(struct leg *leg, struct span bytes)
{
    struct worker *w = leg->ex->worker;

    if (leg->held.len + bytes.len > w->config->max_message)
        exchange_fail(leg->ex, CLOSE_MESSAGE_TOO_LARGE);
    else if (!held_append(w, &leg->held, span_data(bytes), bytes.len))
        exchange_fail(leg->ex, CLOSE_NO_MEMORY);
}

/* --- the plan --- */

/* Around a step in which the owner may close the leg; what is left of it is freed when the outermost one
 * ends.
 */
static bool
enter(struct leg *leg)
{
    bool was_busy = leg->busy;

    leg->busy = true;
    return was_busy;
}

static void
leave(struct leg *leg, struct worker *w, bool was_busy)
{
    leg->busy = was_busy;
    if (!leg->ex && !was_busy)
        free_leg(leg, w);
}

static void
begin_events(struct leg *leg)
{
    leg->is_stream = leg->ex->leg_stream = true;
    leg->buffer = (struct sse_buffer){.grow = grow};
    sse_parser_init(&leg->parser, &leg->buffer);
    exchange_watch_limits(leg->ex);
}

static void
leg_reply_head(struct exchange *ex, const struct http1_head *head)
{
    struct text type = http1_value(head, HTTP_CONTENT_TYPE), sse = TEXT("text/event-stream");
    struct worker *w = ex->worker;
    struct leg *leg = ex->state;
    bool was_busy;

    if (head->status < 200 && head->status != 101)
        return;
    if (head->status == 101 && !leg->ws) {
        exchange_fail(ex, CLOSE_UPGRADE_REFUSED);
        return;
    }
    was_busy = enter(leg);
    leg->status = ex->status = head->status;
    if (leg->ws)
        leg_ws_head(leg, head);
    else if (type.len >= sse.len && text_eq_nocase((struct text){type.at, sse.len}, sse))
        begin_events(leg);
    if (leg->ex && leg->up->on_head)
        leg->up->on_head(leg, head);
    leave(leg, w, was_busy);
}

static void
leg_reply_body(struct exchange *ex, const struct h1_body *body)
{
    struct worker *w = ex->worker;
    struct leg *leg = ex->state;
    bool was_busy = enter(leg);

    for (uint32_t i = 0; i < body->count && leg->ex; i++)
        if (leg->ws)
            leg_ws_input(leg, body->data[i]);
        else if (leg->is_stream)
            read_events(leg, body->data[i]);
        else
            read_json(leg, body->data[i]);
    leave(leg, w, was_busy);
}

static void
leg_reply_trailers(struct exchange *ex, struct text section)
{
    (void)ex, (void)section;
}

static void
give_json(struct leg *leg)
{
    if (!leg->is_stream && leg->held.len && !leg_give(leg, held_text(&leg->held)))
        return;
    exchange_finish(leg->ex, CLOSE_DONE);
}

static void
leg_reply_end(struct exchange *ex)
{
    struct worker *w = ex->worker;
    struct leg *leg = ex->state;
    bool was_busy = enter(leg);

    give_json(leg);
    leave(leg, w, was_busy);
}

static void
leg_stop(struct exchange *ex, bool at_once)
{
    if (at_once || ((const struct leg *)ex->state)->is_standing)
        exchange_fail(ex, CLOSE_DRAIN);
}

static void
leg_tick(struct exchange *ex)
{
    struct leg *leg = ex->state;

    if (ex->worker->draining && leg->is_standing) /* it became so only now */
        leg_stop(ex, false);
    else if (!leg->ws || leg_ws_tick(leg))
        exchange_check_limits(ex);
}

/* There is no client. */
static const struct plan leg_plan = {
    .name = "leg",
    .tick = leg_tick,
    .stop = leg_stop,
    .release = leg_release,
    .reply_head = leg_reply_head,
    .reply_body = leg_reply_body,
    .reply_trailers = leg_reply_trailers,
    .reply_end = leg_reply_end,
};

/* --- the start --- */

static enum close_reason
send_request(struct exchange *ex, const struct leg_request *r, struct endpoint *ep)
{
    enum close_reason reason = ep ? upstream_take(ex, ep) : CLOSE_NO_ENDPOINT;
    struct leg *leg = ex->state;
    enum http_method method = leg->ws ? METHOD_GET : r->method;
    bool has_body = method == METHOD_POST;
    struct span head;

    if (reason != CLOSE_NONE)
        return reason;
    head = heads_leg(ex, r, ep, leg_ws_key(leg));
    if (!head.buf)
        return CLOSE_NO_MEMORY;
    h1_send_head(ex->server, head, has_body ? FRAMING_LENGTH : FRAMING_NONE, has_body ? r->body.len : 0,
                 method);
    span_unref(head);
    if (has_body && !local_send_copy(ex->server, &ex->worker->slab, r->body.at, r->body.len))
        return CLOSE_NO_MEMORY;
    h1_send_end(ex->server, NULL);
    if (leg->ws && r->body.len && !leg_send(leg, r->priority, r->body))
        return CLOSE_NO_MEMORY;
    return CLOSE_NONE;
}

struct leg *
leg_open(struct worker *w, const struct leg_request *r, const struct leg_up *up, void *owner,
         enum close_reason *ret_reason)
{
    bool is_ws = r->upstream->cfg->is_ws;
    struct exchange *ex;
    struct leg *leg;

    if (w->stopping) {
        *ret_reason = CLOSE_DRAIN;
        return NULL;
    }
    if (w->exchange_count >= w->config->max_exchanges) {
        *ret_reason = CLOSE_TOO_MANY_EXCHANGES;
        return NULL;
    }
    leg = pool_get(&w->leg_pool);
    ex = exchange_new_leg(w, r->upstream, is_ws ? METHOD_GET : r->method);
    *leg = (struct leg){.ex = ex, .owner = owner};
    ex->plan = &leg_plan;
    ex->state = leg;
    ex->body_bytes = is_ws ? 0 : r->body.len;
    ex->priority = (unsigned)r->priority & 3u;
    *ret_reason = is_ws && !leg_ws_begin(leg)
                      ? CLOSE_NO_MEMORY
                      : send_request(ex, r, r->endpoint ? r->endpoint : upstream_choose(r->upstream));
    if (*ret_reason != CLOSE_NONE) {
        leg_close(leg);
        return NULL;
    }
    leg->up = up;
    exchange_watch_limits(ex);
    return leg;
}

void
leg_pause(struct leg *leg)
{
    if (leg->ex)
        exchange_pause_server(leg->ex);
}

void
leg_resume(struct leg *leg)
{
    if (leg->ex)
        exchange_resume_server(leg->ex);
}

struct endpoint *
leg_endpoint(const struct leg *leg)
{
    return leg->ex && leg->ex->server ? leg->ex->server->owner : NULL;
}
