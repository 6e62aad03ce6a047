/* SPDX-License-Identifier: Apache-2.0 */
#include "gate/events.h"

#include "gate/heads.h"
#include "gate/local.h"
#include "gate/pace.h"
#include "gate/traffic.h"
#include "proto/lines.h"

#include <stdio.h>

#define EVENT_HEAD "event: message\ndata: "

enum { PIECE_BYTES = 16 << 10, LINE_BYTES = 128 };

BUF_STATIC_TEXT(heartbeat_text, SSE_HEARTBEAT);

bool
events_open(struct exchange *ex, struct text extra)
{
    struct worker *w = ex->worker;
    enum http1_framing framing;
    struct span head = heads_local(ex, 200, TEXT("text/event-stream"), -1, extra, &framing);

    if (!head.buf)
        return false;
    ex->status = 200;
    ex->first_ns = ex->client_ns = ring_now(w->ring);
    ex->reply_begun = true;
    exchange_set_phase(ex, PHASE_LOCAL);
    h1_send_head(ex->client, head, framing, 0, METHOD_GET);
    span_unref(head);
    stats_add(w->stats, STAT_local_replies, 1);
    exchange_open_stream(ex);
    return true;
}

/* An event on its way to the client, as one piece where it is not too long for that: each is a chunk. */
struct event_writer {
    struct exchange *ex;
    struct span piece; /* of `size` bytes when it is full; buf NULL: none is begun */
    uint32_t size;
    uint32_t left; /* of the event, those in the piece not counted */
};

static bool
begin_piece(struct event_writer *w)
{
    struct buf *b;

    w->size = w->left < PIECE_BYTES ? w->left : PIECE_BYTES;
    b = slab_get(&w->ex->worker->slab, w->size);
    w->piece = (struct span){.buf = b};
    return b != NULL;
}

/* Returns where the n bytes stand that were put, or NULL without memory; *text goes on behind them. */
static char *
put_some(struct event_writer *w, struct text *text, uint32_t *ret_n)
{
    uint32_t n;
    char *at;

    if (!w->piece.buf && !begin_piece(w))
        return NULL;
    n = w->size - w->piece.len;
    if (n > text->len)
        n = text->len;
    at = (char *)span_data(w->piece) + w->piece.len;
    memcpy(at, text->at, n);
    w->piece.len += n;
    w->left -= n;
    *text = (struct text){text->at + n, text->len - n};
    *ret_n = n;
    return at;
}

static void
send_full(struct event_writer *w)
{
    if (w->piece.len < w->size)
        return;
    h1_send_piece(w->ex->client, w->piece);
    span_unref(w->piece);
    w->piece = (struct span){0};
}

static bool
put(struct event_writer *w, struct text text, bool is_json)
{
    uint32_t n;

    while (text.len) {
        char *at = put_some(w, &text, &n);

        if (!at)
            return false;
        if (is_json) /* a line end would begin a line that is none of the event's data */
            lines_flatten(at, n);
        send_full(w);
    }
    return true;
}

static void
send_sse(struct exchange *ex, struct text id, const struct text *pieces, unsigned count)
{
    struct event_writer w = {.ex = ex};
    char line[LINE_BYTES];
    struct text head = TEXT(EVENT_HEAD), end = TEXT(SSE_EVENT_END);
    bool ok;

    if (id.len)
        head = (struct text){
            line, (uint32_t)snprintf(line, sizeof line, "id: %.*s\n" EVENT_HEAD, (int)id.len, id.at)};
    w.left = head.len + end.len;
    for (unsigned i = 0; i < count; i++) {
        w.left += pieces[i].len;
        ex->reply_bytes += pieces[i].len;
    }
    ok = put(&w, head, false);
    for (unsigned i = 0; i < count && ok; i++)
        ok = put(&w, pieces[i], true);
    if (!ok || !put(&w, end, false))
        h1_abort(ex->client, CLOSE_NO_MEMORY);
}

void
events_note(struct exchange *ex)
{
    stats_add(ex->worker->stats, STAT_events, 1);
    traffic_sent(ex->worker, LINK_CLIENT, traffic_of_client(ex), 1);
    pace_came(ex, 1);
    exchange_list_stream(ex);
}

static void
send_event(struct exchange *ex, struct text id, const struct text *pieces, unsigned count)
{
    send_sse(ex, id, pieces, count);
    if (ex->events++) /* the first one is waited for */
        exchange_may_wait(ex, 1);
    ex->client_ns = ring_now(ex->worker->ring);
    events_note(ex);
}

void
events_send_pieces(struct exchange *ex, const struct text *pieces, unsigned count)
{
    send_event(ex, (struct text){0}, pieces, count);
}

void
events_send(struct exchange *ex, struct text json)
{
    send_event(ex, (struct text){0}, &json, 1);
}

void
events_send_id(struct exchange *ex, struct text id, struct text json)
{
    send_event(ex, id, &json, 1);
}

void
events_give_id(struct exchange *ex, struct text id)
{
    struct buf *b = slab_get(&ex->worker->slab, id.len + 8);

    if (!b)
        return; /* what follows is whole without it */
    h1_send_piece(
        ex->client,
        span_of(b, 0, (uint32_t)snprintf((char *)b->data, b->size, "id: %.*s\n", (int)id.len, id.at)));
    buf_unref(b);
}

void
events_send_named(struct exchange *ex, struct text name, struct text data)
{
    struct buf *b = slab_get(&ex->worker->slab, name.len + data.len + 32);
    int n;

    if (!b) {
        h1_abort(ex->client, CLOSE_NO_MEMORY);
        return;
    }
    n = snprintf((char *)b->data, b->size, "event: %.*s\ndata: %.*s" SSE_EVENT_END, (int)name.len, name.at,
                 (int)data.len, data.at);
    h1_send_piece(ex->client, span_of(b, 0, (uint32_t)n));
    buf_unref(b);
    ex->events++;
    events_note(ex);
}

/* Without memory the connection is aborted. */
static void
send_made(struct exchange *ex, const char *text, int len)
{
    if (local_send_copy(ex->client, &ex->worker->slab, text, (uint32_t)len))
        ex->client_ns = ring_now(ex->worker->ring);
    else
        h1_abort(ex->client, CLOSE_NO_MEMORY);
}

void
events_prime(struct exchange *ex, struct text id, unsigned retry_ms)
{
    char text[LINE_BYTES];

    send_made(ex, text,
              snprintf(text, sizeof text, "id: %.*s\nretry: %u\ndata: " SSE_EVENT_END, (int)id.len, id.at,
                       retry_ms));
    events_note(ex);
}

void
events_comment(struct exchange *ex, struct text line)
{
    char text[LINE_BYTES];

    send_made(ex, text, snprintf(text, sizeof text, ": %.*s" SSE_EVENT_END, (int)line.len, line.at));
}

void
events_tick(struct exchange *ex)
{
    uint64_t beat_ms = ex->worker->config->heartbeat, quiet_ms = exchange_age_ms(ex, ex->client_ns);

    if (!ex->is_stream || !ex->client || !beat_ms)
        return;
    if (quiet_ms >= beat_ms && !link_blocked(&ex->client->link)) {
        h1_send_piece(ex->client, span_all(&heartbeat_text));
        ex->client_ns = ring_now(ex->worker->ring);
        stats_add(ex->worker->stats, STAT_heartbeats, 1);
        quiet_ms = 0;
    }
    exchange_wake_in(ex, quiet_ms < beat_ms ? beat_ms - quiet_ms : beat_ms);
}
