/* SPDX-License-Identifier: Apache-2.0 */
#include "gate/journaled.h"

#include "gate/bridged.h"
#include "gate/events.h"
#include "gate/local.h"

#include <errno.h>
#include <time.h>

enum {
    RETRY_MS = 1000,
    PRIME_MS = 1000, /* a call that has not been answered for so long becomes a stream */
    ERROR_BYTES = 1024,
};

static uint32_t
now_s(void)
{
    return (uint32_t)time(NULL);
}

static uint32_t
age_s(const struct worker *w)
{
    return (uint32_t)(w->config->journal_age / 1000);
}

int
journaled_init(struct worker *w)
{
    int fd = w->child->fds[FD_JOURNAL];
    int err = fd < 0 ? 0 : journal_map(fd, &w->journal);

    list_init(&w->streams_waiting);
    if (err < 0 || fd < 0)
        return err;
    return journal_take(w->journal, w->child->h.lane, age_s(w), now_s()) ? 0 : -EPROTO;
}

void
journaled_done(struct worker *w)
{
    journal_close(&w->journal);
}

/* --- writing --- */

static bool
is_wanted(const struct bridged *b)
{
    const struct session *s = b->session;

    return b->worker->journal && s && !s->is_of_stream && s->token.revision >= MCP_2025_03_26 &&
           s->token.revision <= MCP_2025_11_25;
}

bool
journaled_is_kept(const struct bridged *b)
{
    return list_linked(&b->journaled.node);
}

/* Writes an event; returns its id, in id[]. */
static struct text
keep(struct bridged *b, enum journal_kind kind, struct text message, bool is_final, char id[JOURNAL_ID_SIZE])
{
    struct worker *w = b->worker;
    struct journaled *j = &b->journaled;
    struct journal_sums before = *journal_sums(w->journal);
    const struct journal_sums *sums = journal_sums(w->journal);
    struct journal_event event = {.kind = kind,
                                  .is_final = is_final,
                                  .is_standing = b->is_standing,
                                  .request = b->is_standing ? (struct text){0} : b->call.id,
                                  .message = message};

    memcpy(event.session, b->session->token.id, sizeof event.session);
    journal_write(w->journal, &j->stream, &event, now_s());
    stats_add(w->stats, STAT_journal_events, sums->events - before.events);
    stats_add(w->stats, STAT_journal_bytes, sums->bytes - before.bytes);
    stats_add(w->stats, STAT_journal_overruns, sums->overruns - before.overruns);
    stats_add(w->stats, STAT_journal_gaps, sums->gaps - before.gaps);
    if (!list_linked(&j->node))
        list_add_tail(&b->session->streams, &j->node);
    j->is_over |= is_final;
    return (struct text){id, journal_id_write(id, w->child->h.lane, j->stream.last, j->stream.first)};
}

_Static_assert((int)JOURNAL_SESSION_BYTES == (int)MCP_TOKEN_ID_BYTES, "events are a session's");
_Static_assert((int)JOURNAL_ID_SIZE <= (int)SSE_ID_MAX, "the access log has room for our ids");

/* Older clients take an event without data for a broken message. */
static bool
is_primed(const struct bridged *b)
{
    return is_wanted(b) && b->session->token.revision == MCP_2025_11_25;
}

bool
journaled_open(struct bridged *b, struct text extra)
{
    char id[JOURNAL_ID_SIZE];

    if (!events_open(b->ex, extra))
        return false;
    if (is_primed(b)) {
        struct text text = keep(b, JOURNAL_PRIMER, (struct text){0}, false, id);

        if (!b->journaled.is_behind)
            events_prime(b->ex, text, RETRY_MS);
    }
    return true;
}

void
journaled_prime_later(struct bridged *b)
{
    if (is_primed(b) && b->ex->accepts_sse && b->call.method != MCP_INITIALIZE)
        exchange_wake_in(b->ex, PRIME_MS);
}

void
journaled_tick(struct bridged *b)
{
    struct exchange *ex = b->ex;
    uint64_t age_ms = exchange_age_ms(ex, ex->begun_ns), since_ns = ex->phase_ns;
    uint8_t phase = ex->phase;

    if (ex->reply_begun || !ex->client || !ex->accepts_sse || !b->ask.bond || !is_primed(b) ||
        b->env->kind != JSONRPC_REQUEST || b->call.method == MCP_INITIALIZE)
        return;
    if (age_ms < PRIME_MS) {
        exchange_wake_in(ex, PRIME_MS - age_ms);
        return;
    }
    journaled_open(b, (struct text){0}); /* without memory the answer comes by itself, as it would have */
    ex->phase = phase & 63u;             /* what its upstream is given goes on */
    ex->phase_ns = since_ns;
    exchange_watch_limits(ex);
}

void
journaled_send(struct bridged *b, struct text json, bool is_final)
{
    struct worker *w = b->worker;
    struct journaled *j = &b->journaled;
    struct h1 *client = b->ex->client;
    char room[JOURNAL_ID_SIZE];
    struct text id;

    if (!is_wanted(b)) {
        events_send(b->ex, json);
        return;
    }
    /* The source of a call is paused when its client takes no more; a standing stream has none. */
    if (client && !j->is_behind && b->is_standing && link_congested(&client->link))
        j->is_behind = journal_find(w->journal, w->child->h.lane, j->stream.last, &j->behind);
    id = keep(b, JOURNAL_MESSAGE, json, is_final, room);
    if (client && !j->is_behind)
        events_send_id(b->ex, id, json);
}

/* --- waiting --- */

static void
wait_no_more(struct bridged *b)
{
    if (!list_linked(&b->journaled.waiting))
        return;
    list_del(&b->journaled.waiting);
    b->worker->streams_waiting_count--;
    stats_sub(b->worker->stats, STAT_streams_waiting, 1);
}

bool
journaled_wait(struct bridged *b)
{
    struct worker *w = b->worker;
    struct list_node *first = list_first(&w->streams_waiting);
    uint32_t max = (uint32_t)w->config->max_sessions / 4;

    if (!max || !journaled_is_kept(b) || w->draining)
        return false;
    if (w->streams_waiting_count >= max)
        exchange_finish(
            container_of(container_of(first, struct journaled, waiting), struct bridged, journaled)->ex,
            CLOSE_CLIENT_GONE);
    span_unref(b->ex->origin); /* its head has been sent */
    b->ex->origin = (struct span){0};
    list_add_tail(&w->streams_waiting, &b->journaled.waiting);
    w->streams_waiting_count++;
    stats_add(w->stats, STAT_streams_waiting, 1);
    return true;
}

bool
journaled_fail(struct bridged *b, enum close_reason reason)
{
    const struct journaled *j = &b->journaled;
    char error[ERROR_BYTES];

    if (!journaled_is_kept(b) || j->is_over || j->is_behind || b->is_standing)
        return false;
    journaled_send(b, (struct text){error, local_error_json(b->ex, reason, error, sizeof error)}, true);
    return true;
}

/* For the line of the access log, which is written when all of this is gone. */
static void
note_last_id(struct bridged *b)
{
    const struct journal_stream *stream = &b->journaled.stream;
    struct worker *w = b->worker;
    char id[JOURNAL_ID_SIZE];

    if (!w->config->access_log || b->ex->last_id)
        return;
    b->ex->last_id = pool_get(&w->event_id_pool);
    b->ex->last_id->len = (uint8_t)journal_id_write(id, w->child->h.lane, stream->last, stream->first);
    memcpy(b->ex->last_id->id, id, b->ex->last_id->len);
}

void
journaled_end(struct bridged *b, enum close_reason reason)
{
    struct journaled *j = &b->journaled;
    char id[JOURNAL_ID_SIZE], error[ERROR_BYTES];

    wait_no_more(b);
    if (!list_linked(&j->node))
        return;
    if (!j->is_over && !b->is_standing) {
        if (reason == CLOSE_CANCELLED || reason == CLOSE_DONE)
            keep(b, JOURNAL_END, (struct text){0}, true, id);
        else
            keep(b, JOURNAL_MESSAGE,
                 (struct text){error, local_error_json(b->ex, reason, error, sizeof error)}, true, id);
    }
    note_last_id(b);
    list_del(&j->node);
}

/* --- what a client missed --- */

static bool
is_own_event(const struct bridged *b, const struct journal_event *event)
{
    return b->journaled.stream.count && event->lane == b->worker->child->h.lane &&
           event->stream == b->journaled.stream.first;
}

static void
end_stream(struct bridged *b)
{
    exchange_end_reply(b->ex, CLOSE_DONE);
}

/* The end of a stream whose request nobody will answer. */
static void
send_error(struct bridged *b, struct text request, enum close_reason reason)
{
    const struct close_reason_info *info = close_reason_info(reason);
    char body[ERROR_BYTES];
    struct json_writer w = {.at = body, .size = sizeof body};

    bridge_put_error(&w, b->session->token.revision, request, info->jsonrpc_code, text_of(info->text),
                     (struct text){0});
    journaled_send(b, json_written(&w), true);
}

/* What stands in for the reply, under its id. */
static void
send_lost_reply(struct bridged *b, const struct journal_event *event)
{
    char body[ERROR_BYTES], id[JOURNAL_ID_SIZE];
    struct json_writer w = {.at = body, .size = sizeof body};
    uint32_t n = journal_id_write(id, event->lane, event->position, event->stream);

    bridge_put_error(&w, b->session->token.revision, event->request, -32603,
                     TEXT("the reply was too large to be kept for a client that comes back"),
                     (struct text){0});
    events_send_id(b->ex, (struct text){id, n}, json_written(&w));
}

/* The event's texts, valid until the next message is made. CLOSE_NONE, or why not. */
static enum close_reason
fetch(struct bridged *b, struct journal_event *event)
{
    struct held *room = &b->worker->bridge_room->text;

    if (!held_reserve(b->worker, room, event->size + 1))
        return CLOSE_NO_MEMORY;
    return journal_copy(b->worker->journal, event, room->at) ? CLOSE_NONE : CLOSE_EVENT_UNKNOWN;
}

static void
deliver(struct bridged *b, const struct journal_event *event)
{
    char id[JOURNAL_ID_SIZE];
    uint32_t n;

    switch (event->kind) {
    case JOURNAL_MESSAGE:
        n = journal_id_write(id, event->lane, event->position, event->stream);
        events_send_id(b->ex, (struct text){id, n}, event->message);
        stats_add(b->worker->stats, STAT_events_replayed, 1);
        break;
    case JOURNAL_GAP:
        if (event->is_final)
            send_lost_reply(b, event);
        else
            events_comment(b->ex, TEXT("an event is missing here: it was too large to be kept"));
        break;
    default:
        break;
    }
}

enum next {
    NEXT_EVENT,
    NEXT_LIVE, /* the client has had everything */
    NEXT_NONE, /* nothing more will come: the stream's worker died */
    NEXT_LOST, /* it gave way before the client took it */
};

static enum next
find_next(const struct bridged *b, struct journal_event *ret)
{
    const struct journaled *j = &b->journaled;
    const struct journal *journal = b->worker->journal;
    bool is_own = is_own_event(b, &j->behind);
    struct journal_event again;

    if (is_own && j->behind.position == j->stream.last)
        return NEXT_LIVE;
    if (journal_next(journal, &j->behind, ret))
        return NEXT_EVENT;
    if (is_own || !journal_find(journal, j->behind.lane, j->behind.position, &again))
        return NEXT_LOST;
    if (!b->is_standing)
        return NEXT_NONE;
    if (!j->stream.count) /* what was left of the old stream; this one goes on in its place */
        return NEXT_LIVE;
    return journal_find(journal, b->worker->child->h.lane, j->stream.first, ret) ? NEXT_EVENT : NEXT_LOST;
}

/* Goes on without what is lost, where something still can come. */
static void
skip_lost(struct bridged *b)
{
    struct journaled *j = &b->journaled;
    struct journal_event last;

    if (!j->stream.count ||
        !journal_find(b->worker->journal, b->worker->child->h.lane, j->stream.last, &last) ||
        fetch(b, &last) != CLOSE_NONE) {
        exchange_fail(b->ex, CLOSE_EVENT_UNKNOWN);
        return;
    }
    j->is_behind = false;
    events_comment(b->ex, TEXT("events are missing here: there was no room to keep them"));
    if (j->is_over) {
        deliver(b, &last);
        end_stream(b);
    }
}

/* The error has an id too: who comes back with that is told that nothing follows. */
static void
end_left(struct bridged *b)
{
    struct journal_event *last = &b->journaled.behind;

    b->journaled.is_behind = false;
    if (fetch(b, last) == CLOSE_NONE && last->request.len)
        send_error(b, last->request, CLOSE_WORKER_DIED);
    end_stream(b);
}

void
journaled_catch_up(struct bridged *b)
{
    struct journaled *j = &b->journaled;
    struct journal_event next;

    while (j->is_behind && b->ex->client && !link_congested(&b->ex->client->link))
        switch (find_next(b, &next)) {
        case NEXT_EVENT:
            if (fetch(b, &next) != CLOSE_NONE) {
                skip_lost(b);
                return;
            }
            deliver(b, &next);
            j->behind = next;
            if (next.is_final) {
                end_stream(b);
                return;
            }
            break;
        case NEXT_LIVE:
            j->is_behind = false;
            break;
        case NEXT_NONE:
            end_left(b);
            return;
        case NEXT_LOST:
            skip_lost(b);
            return;
        }
}

/* --- a client comes back --- */

static void
refuse(struct bridged *b)
{
    local_error(b->ex, CLOSE_EVENT_UNKNOWN, (struct text){0});
}

/* The client's connection goes over to the exchange whose stream it wants; `from` ends. */
static void
give_client(struct bridged *to, struct bridged *from)
{
    struct exchange *ex = to->ex, *got = from->ex;
    struct h1 *client = got->client;

    if (ex->client) { /* it left without a word */
        h1_send_end(ex->client, NULL);
        ex->client->user = NULL;
    }
    got->client = NULL;
    ex->client = client;
    client->user = ex;
    ex->client_minor_0 = got->client_minor_0;
    ex->orphan = false;
    wait_no_more(to);
    ex->client_ns = ring_now(ex->worker->ring);
    exchange_finish(got, CLOSE_DONE);
    exchange_watch_limits(ex);
    events_tick(ex);
}

/* The stream, while it is open here. */
static struct bridged *
find_open(struct session *s, uint64_t stream)
{
    list_for_each(node, &s->streams) {
        struct journaled *j = container_of(node, struct journaled, node);

        if (j->stream.first == stream)
            return container_of(j, struct bridged, journaled);
    }
    return NULL;
}

/* `event`: the last that the client has had; NULL: it has given way. */
static void
go_on(struct bridged *b, struct bridged *open, const struct journal_event *event)
{
    if (!events_open(b->ex, (struct text){0})) {
        exchange_fail(b->ex, CLOSE_NO_MEMORY);
        return;
    }
    give_client(open, b);
    if (!event) {
        skip_lost(open);
        return;
    }
    open->journaled.behind = *event;
    open->journaled.is_behind = true;
    journaled_catch_up(open);
}

/* Whether anything comes behind this event of a stream that is not open any more. */
static bool
has_more(struct bridged *b, struct journal_event *event)
{
    struct journal_event next;

    if (event->is_final || event->is_standing)
        return event->is_standing;
    if (journal_next(b->worker->journal, event, &next))
        return next.kind != JOURNAL_END;
    return fetch(b, event) == CLOSE_NONE && event->request.len; /* an error is owed */
}

/* What a stream left that is not open any more. To clients that come back again and again, as EventSource
 * does, 204 says that they should not. */
static void
replay(struct bridged *b, struct journal_event *event)
{
    if (!has_more(b, event)) {
        local_reply(b->ex, 204, (struct text){0}, (struct text){0}, "", 0, CLOSE_DONE);
        return;
    }
    b->journaled.behind = *event;
    b->journaled.is_behind = true;
    if (event->is_standing) {
        if (bridged_stand(b))
            journaled_catch_up(b);
    } else if (!events_open(b->ex, (struct text){0})) {
        exchange_fail(b->ex, CLOSE_NO_MEMORY);
    } else {
        journaled_catch_up(b);
    }
}

static bool
is_sessions(const struct bridged *b, const struct journal_event *event, uint64_t stream)
{
    return event->stream == stream &&
           memcmp(event->session, b->session->token.id, sizeof event->session) == 0;
}

static bool
is_too_old(const struct worker *w, const struct journal_event *event)
{
    uint32_t now = now_s();

    return now > event->time_s && now - event->time_s > age_s(w);
}

void
journaled_resume(struct bridged *b, struct text id)
{
    struct worker *w = b->worker;
    struct bridged *open = NULL;
    struct journal_event event;
    uint64_t position, stream;
    bool is_there;
    uint32_t lane;

    if (!journal_id_read(id, &lane, &position, &stream)) {
        refuse(b);
        return;
    }
    if (lane == w->child->h.lane)
        open = find_open(b->session, stream);
    is_there = journal_find(w->journal, lane, position, &event) && is_sessions(b, &event, stream);
    if (open ? position > open->journaled.stream.last : !is_there || is_too_old(w, &event)) {
        refuse(b);
        return;
    }
    stats_add(w->stats, STAT_streams_resumed, 1);
    if (open)
        go_on(b, open, is_there ? &event : NULL);
    else
        replay(b, &event);
}
