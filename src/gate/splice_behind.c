/* SPDX-License-Identifier: Apache-2.0 */
#include "gate/splice_behind.h"

#include "gate/late.h"
#include "gate/splice_sides.h"

#include <stdlib.h>

struct behind {
    struct held event; /* what has come of the next one */
    struct held data;  /* scratch of the one that is judged */
    struct late late;
    uint32_t passed; /* bytes of the event that passes, since the client takes nothing */
    bool passes; /* what comes of the next event goes on as it comes: it had begun to, or cannot be held */
};

/* What is to be known of an event that may wait. */
struct notice {
    struct text method; /* len 0: it must pass */
    struct text token;  /* of progress */
};

bool
behind_may_choose(const struct exchange *ex)
{
    return ex->worker->config->backpressure != BACKPRESSURE_THROTTLE && ex->is_stream && !ex->is_tunnel &&
           !ex->early && ex->is_mcp && !ex->upstream->is_home;
}

void
behind_free(struct exchange *ex)
{
    struct behind *b = behind_of(ex);

    if (!b)
        return;
    held_free(ex->worker, &b->event);
    held_free(ex->worker, &b->data);
    late_free(ex->worker, &b->late);
    free(b);
    ex->state = NULL;
}

/* --- what is sent --- */

static void
pause_behind(struct exchange *ex)
{
    if (link_congested(&ex->client->link))
        exchange_pause_server(ex);
}

static void
pass_held(struct exchange *ex, struct held *held)
{
    struct span copy;

    if (!held->len)
        return;
    copy = exchange_keep(ex, held_text(held));
    if (copy.buf)
        h1_send_piece(ex->client, copy);
    else
        h1_abort(ex->client, CLOSE_NO_MEMORY);
    span_unref(copy);
    held->len = 0;
    pause_behind(ex);
}

static void
pass_late(struct exchange *ex, struct behind *b)
{
    for (unsigned i = 0; i < LATE_KINDS; i++)
        if (b->late.kinds[i].len) {
            pass_held(ex, &b->late.kinds[i]);
            splice_events_passed(ex, 1);
        }
}

void
behind_catch_up(struct exchange *ex)
{
    struct behind *b = behind_of(ex);

    if (!b)
        return;
    if (ex->client) {
        pass_late(ex, b);
        pass_held(ex, &b->event);
    }
    behind_free(ex);
}

void
behind_cut(struct exchange *ex)
{
    struct behind *b = behind_of(ex);

    if (!b || b->passes)
        return;
    b->event.len = 0;
    ex->scan = (struct sse_scan){0};
    behind_catch_up(ex);
}

/* --- what is kept --- */

/* One event, whole, of which nothing but its message is lost with it. *ret points into it, or into
 * b->data. */
static void
look_at(struct worker *w, struct behind *b, const struct held *held, struct notice *ret)
{
    struct sse_buffer room;
    struct sse_parser parser;
    struct sse_event e;
    struct jsonrpc_envelope env;
    uint32_t used;

    *ret = (struct notice){0};
    if (!held_reserve(w, &b->data, held->len))
        return;
    room = (struct sse_buffer){b->data.at, b->data.size, NULL};
    sse_parser_init(&parser, &room);
    if (sse_parser_next(&parser, held->at, held->len, &used, &e) != PARSE_OK || e.retry_ms >= 0 ||
        (e.event.len && !text_eq(e.event, TEXT("message"))) ||
        jsonrpc_scan(e.data, JSON_SCAN_STRICT, &env) != JSONRPC_FAULT_FINE ||
        env.kind != JSONRPC_NOTIFICATION)
        return;
    ret->method = env.method;
    ret->token = env.progress_token;
}

/* A reply to a batch may tell of several calls: what is kept then gives way to the progress of another. */
static bool
is_of_another(struct worker *w, struct behind *b, const struct held *latest, struct text token)
{
    struct notice kept;
    char of[REQUEST_ID_SHOWN]; /* look_at() will use the scratch again */

    if (!latest->len || !token.len)
        return false;
    if (token.len > sizeof of)
        return true;
    memcpy(of, token.at, token.len);
    look_at(w, b, latest, &kept);
    return !text_eq(kept.token, (struct text){of, token.len});
}

/* Whether the event that is held whole need not be sent now. */
static bool
is_put_off(struct exchange *ex, struct behind *b)
{
    struct worker *w = ex->worker;
    struct notice notice;
    struct held *latest, swap;

    look_at(w, b, &b->event, &notice);
    if (!notice.method.len)
        return false;
    if (late_is_dropped(w, notice.method)) {
        stats_add(w->stats, STAT_notices_dropped, 1);
        b->event.len = 0;
        return true;
    }
    latest = late_of(w, &b->late, notice.method, ex->method == METHOD_GET);
    if (!latest || is_of_another(w, b, latest, notice.token))
        return false;
    late_supersede(w, latest);
    swap = *latest;
    *latest = b->event;
    b->event = swap;
    return true;
}

/* --- what comes --- */

static struct behind *
begin(struct exchange *ex)
{
    struct behind *b = calloc(1, sizeof *b);

    if (b)
        b->passes = !sse_scan_at_boundary(&ex->scan);
    ex->state = b;
    return b;
}

static void
hold(struct exchange *ex, struct behind *b, struct span piece)
{
    if (!b->passes && (b->event.len + piece.len > BEHIND_EVENT_BYTES ||
                       !held_append(ex->worker, &b->event, span_data(piece), piece.len))) {
        pass_late(ex, b);
        b->passed = BEHIND_EVENT_BYTES;
        pass_held(ex, &b->event);
        b->passes = true;
    }
    if (!b->passes)
        return;
    h1_send_piece(ex->client, piece);
    b->passed += piece.len;
    if (b->passed > BEHIND_EVENT_BYTES)
        pause_behind(ex);
}

/* Takes what there is of one event; returns its length. */
static uint32_t
take_some(struct exchange *ex, struct behind *b, struct span bytes)
{
    struct sse_scan ahead = ex->scan;
    uint32_t n, ended = sse_scan_event(&ahead, (const char *)span_data(bytes), bytes.len, &n);

    hold(ex, b, span_head(bytes, n));
    exchange_scan_events(ex, span_head(bytes, n));
    if (!ended)
        return n;
    splice_events_came(ex, 1);
    if (b->passes || !link_congested(&ex->client->link) || !is_put_off(ex, b)) {
        pass_late(ex, b);
        pass_held(ex, &b->event);
        splice_events_passed(ex, 1);
    }
    b->passes = false;
    b->passed = 0;
    return n;
}

bool
behind_take(struct exchange *ex, const struct h1_body *body)
{
    struct behind *b = behind_of(ex);

    if (!b && (!behind_may_choose(ex) || !link_congested(&ex->client->link)))
        return false;
    if (!b && !(b = begin(ex)))
        return false;
    for (uint32_t i = 0; i < body->count; i++)
        for (struct span rest = body->data[i]; rest.len;)
            rest = span_skip(rest, take_some(ex, b, rest));
    ex->client_ns = ex->active_ns;
    exchange_list_stream(ex);
    if (!link_congested(&ex->client->link))
        behind_catch_up(ex);
    return true;
}
