/* SPDX-License-Identifier: Apache-2.0 */
#include "gate/stdio_pool.h"

#include "base/log.h"
#include "gate/worker.h"
#include "ipc/channel.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    TICK_MS = 250,
    SHORT_LIFE_MS = 2000, /* a life this short, or without a message, counts for the pause before the next */
    PAUSE_FIRST_MS = 100,
    PAUSE_MAX_MS = 10000,
    JUNK_MAX = 10000, /* lines in a row */
};

static const struct stdio_up wire_events;

static uint64_t
now_ms(const struct worker *w)
{
    return ring_now(w->ring) / 1000000;
}

static struct stdio_child *
child_of(struct stdio *wire)
{
    return (struct stdio_child *)(void *)wire;
}

static void
count(const struct stdio_pool *pool, enum upstat id)
{
    stats_up_add(pool->worker->stats, pool->upstream->index, id, 1);
}

const uint8_t *
stdio_shared_key(bool modern)
{
    static const uint8_t keys[2][STDIO_KEY_BYTES] = {"legacy", "modern"};

    return keys[modern];
}

/* --- what spawn is asked --- */

/* False: not now; the tick asks again. */
static bool
ask(struct worker *w, const struct spawn_request *request)
{
    return w->stdio.fd >= 0 && channel_send(w->stdio.fd, request, sizeof *request, NULL, 0) == 0;
}

static void
ask_start(struct stdio_child *child)
{
    struct worker *w = child->pool->worker;
    const struct spawn_request request = {.kind = SPAWN_START,
                                          .epoch = w->child->h.epoch,
                                          .upstream = child->pool->upstream->index,
                                          .sequence = child->sequence};

    child->asked = ask(w, &request);
}

static void
ask_stop(struct stdio_child *child)
{
    struct worker *w = child->pool->worker;
    const struct spawn_request request = {
        .kind = SPAWN_STOP, .epoch = w->child->h.epoch, .server = child->server};

    child->asked = !child->server || child->gone || ask(w, &request);
}

static void
ask_label(struct stdio_child *child)
{
    struct worker *w = child->pool->worker;
    struct spawn_request request = {.kind = SPAWN_LABEL, .epoch = w->child->h.epoch, .server = child->server};

    if (!child->server)
        return; /* STARTED brings it up again */
    memcpy(request.label, child->key, STDIO_KEY_BYTES);
    memcpy(request.label + STDIO_KEY_BYTES, child->note, STDIO_NOTE_BYTES);
    child->is_labelled = ask(w, &request);
}

/* --- children come and go --- */

static struct stdio_child *
child_new(struct stdio_pool *pool, const struct stdio_user *user)
{
    struct worker *w = pool->worker;
    struct stdio_child *child = pool_get(&w->stdio.children);

    stdio_init(&child->wire, &w->stdio.wire, &wire_events);
    list_init(&child->calls);
    list_init(&child->bonds);
    child->pool = pool;
    child->user = user;
    child->begun_ms = child->active_ms = now_ms(w);
    /* The slot's incarnations count on: none uses an id of the one before. */
    child->next_id = (uint64_t)(w->child->h.epoch & 0x1fffff) << 32 | 1;
    list_add_tail(&pool->children, &child->node);
    pool->count++;
    pool->reserve++;
    stats_up_set(w->stats, pool->upstream->index, UPSTAT_up_servers, pool->count);
    return child;
}

static struct stdio_child *
child_start(struct stdio_pool *pool, const struct stdio_user *user)
{
    struct worker *w = pool->worker;
    struct stdio_child *child = child_new(pool, user);

    child->sequence = ++w->stdio.sequence ? w->stdio.sequence : ++w->stdio.sequence;
    count(pool, UPSTAT_up_servers_started);
    if (pool->died) {
        pool->died--;
        count(pool, UPSTAT_up_servers_restarted);
    }
    ask_start(child);
    return child;
}

static void
set_key(struct stdio_child *child, const uint8_t *key)
{
    if (!child->has_key && child->state != CHILD_ENDING)
        child->pool->reserve--;
    child->has_key = true;
    memcpy(child->key, key, STDIO_KEY_BYTES);
}

/* One that has died early makes the next one wait, longer each time. */
static void
note_end(struct stdio_child *child)
{
    struct stdio_pool *pool = child->pool;
    uint64_t now = now_ms(pool->worker), pause_ms;

    if (child->reason != CLOSE_STDIO_EXITED && child->reason != CLOSE_STDIO_FAILED &&
        child->reason != CLOSE_STDIO_JUNK)
        return;
    pool->died++;
    if (child->has_spoken && now - child->begun_ms >= SHORT_LIFE_MS) {
        pool->short_lives = 0;
        return;
    }
    if (++pool->short_lives < 2)
        return;
    pause_ms = pool->short_lives > 8 ? PAUSE_MAX_MS : (uint64_t)PAUSE_FIRST_MS << (pool->short_lives - 2);
    pool->start_again_ms = now + (pause_ms < PAUSE_MAX_MS ? pause_ms : PAUSE_MAX_MS);
}

void
stdio_child_end(struct stdio_child *child, enum close_reason reason)
{
    if (child->state == CHILD_ENDING)
        return;
    if (!child->has_key)
        child->pool->reserve--;
    child->state = CHILD_ENDING;
    child->reason = (uint8_t)reason;
    ask_stop(child);
    note_end(child);
    stdio_abort(&child->wire, reason); /* on_closed() follows */
}

/* Its socket is closed, and spawn knows. */
static void
child_free(struct stdio_child *child)
{
    struct stdio_pool *pool = child->pool;
    struct worker *w = pool->worker;

    list_del(&child->node);
    pool->count--;
    stats_up_set(w->stats, pool->upstream->index, UPSTAT_up_servers, pool->count);
    pool_put(&w->stdio.children, child);
}

/* on_closed() has come, but the order to stop had not left yet. */
static bool
is_closed(const struct stdio_child *child)
{
    return child->wire.link.state == LINK_CLOSED && !list_linked(&child->wire.link.node);
}

/* --- what the children say --- */

static void
on_line(struct stdio *wire, struct span line)
{
    struct stdio_child *child = child_of(wire);

    child->has_spoken = true;
    child->junk = 0;
    child->active_ms = now_ms(child->pool->worker);
    child->pool->short_lives = 0;
    if (child->user)
        child->user->on_line(child, line);
}

void
stdio_child_junk(struct stdio_child *child, struct text line)
{
    struct stdio_pool *pool = child->pool;
    char start[80];
    uint32_t n = line.len < sizeof start ? line.len : sizeof start;

    count(pool, UPSTAT_up_junk_lines);
    for (uint32_t i = 0; i < n; i++)
        start[i] = (unsigned char)line.at[i] < 0x20 || line.at[i] == 0x7f ? ' ' : line.at[i];
    if (child->junk++ == 0)
        log_warning("upstream %.*s: a line on stdout that is no message: %.*s%s",
                    (int)pool->upstream->name.len, pool->upstream->name.at, (int)n, start,
                    line.len > n ? "..." : "");
    if (child->junk >= JUNK_MAX)
        stdio_child_end(child, CLOSE_STDIO_JUNK);
}

static void
on_bad(struct stdio *wire, enum stdio_bad bad, struct text start)
{
    struct stdio_child *child = child_of(wire);
    enum close_reason reason = bad == STDIO_LONG ? CLOSE_STDIO_LINE : CLOSE_NO_MEMORY;

    if (bad == STDIO_JUNK) {
        stdio_child_junk(child, start);
        return;
    }
    log_warning("upstream %.*s: a line was lost: %s", (int)child->pool->upstream->name.len,
                child->pool->upstream->name.at, close_reason_info(reason)->text);
    count(child->pool, UPSTAT_up_lost_lines);
    if (child->user)
        child->user->on_lost(child, reason);
}

static void
on_writable(struct stdio *wire)
{
    struct stdio_child *child = child_of(wire);

    if (child->user)
        child->user->on_writable(child);
}

static void
on_end(struct stdio *wire)
{
    stdio_child_end(child_of(wire), CLOSE_STDIO_EXITED);
}

static void
on_closed(struct stdio *wire, enum close_reason reason)
{
    struct stdio_child *child = child_of(wire);

    if (child->state != CHILD_ENDING) { /* the link found no memory */
        if (!child->has_key)
            child->pool->reserve--;
        child->state = CHILD_ENDING;
        child->reason = (uint8_t)reason;
        ask_stop(child);
    }
    count(child->pool, UPSTAT_up_servers_ended);
    stats_close(child->pool->worker->stats, (enum close_reason)child->reason);
    if (child->user)
        child->user->on_gone(child, (enum close_reason)child->reason);
    child->user = NULL;
    if (child->asked)
        child_free(child);
}

static const struct stdio_up wire_events = {.on_line = on_line,
                                            .on_bad = on_bad,
                                            .on_writable = on_writable,
                                            .on_end = on_end,
                                            .on_closed = on_closed};

/* --- taking --- */

struct stdio_child *
stdio_find(struct upstream *up, const uint8_t key[STDIO_KEY_BYTES])
{
    list_for_each(node, &up->stdio->children) {
        struct stdio_child *child = container_of(node, struct stdio_child, node);

        if (child->has_key && child->state != CHILD_ENDING && memcmp(child->key, key, STDIO_KEY_BYTES) == 0)
            return child;
    }
    return NULL;
}

static struct stdio_child *
find_reserve(struct stdio_pool *pool)
{
    list_for_each(node, &pool->children) {
        struct stdio_child *child = container_of(node, struct stdio_child, node);

        if (!child->has_key && child->state != CHILD_ENDING)
            return child;
    }
    return NULL;
}

static bool
may_start(const struct stdio_pool *pool)
{
    return !pool->worker->draining && pool->count < pool->cfg->max &&
           pool->start_again_ms <= now_ms(pool->worker);
}

static void
fill_reserve(struct stdio_pool *pool)
{
    while (pool->reserve < pool->cfg->reserve && may_start(pool))
        child_start(pool, NULL);
}

enum close_reason
stdio_take(struct upstream *up, const uint8_t key[STDIO_KEY_BYTES], const struct stdio_user *user,
           struct stdio_child **ret)
{
    struct stdio_pool *pool = up->stdio;
    struct stdio_child *child = find_reserve(pool);

    if (pool->worker->draining)
        return CLOSE_DRAIN;
    if (!child && pool->count >= pool->cfg->max)
        return CLOSE_STDIO_FULL;
    if (!child && !may_start(pool))
        return CLOSE_STDIO_FAILED;
    if (!child)
        child = child_start(pool, user);
    child->user = user;
    child->active_ms = now_ms(pool->worker);
    set_key(child, key);
    ask_label(child);
    fill_reserve(pool);
    *ret = child;
    return CLOSE_NONE;
}

void
stdio_child_label(struct stdio_child *child, const uint8_t key[STDIO_KEY_BYTES],
                  const uint8_t note[STDIO_NOTE_BYTES])
{
    set_key(child, key);
    memcpy(child->note, note, STDIO_NOTE_BYTES);
    ask_label(child);
}

void
stdio_child_hold(struct stdio_child *child)
{
    child->busy++;
}

void
stdio_child_release(struct stdio_child *child)
{
    ASSERT(child->busy > 0);
    child->busy--;
    child->active_ms = now_ms(child->pool->worker);
}

void
stdio_child_send(struct stdio_child *child, const struct span *pieces, unsigned n)
{
    if (child->state == CHILD_ENDING)
        return;
    child->active_ms = now_ms(child->pool->worker);
    stdio_send(&child->wire, pieces, n);
}

bool
stdio_child_congested(struct stdio_child *child)
{
    return stdio_congested(&child->wire);
}

void
stdio_child_pause(struct stdio_child *child)
{
    if (child->state == CHILD_OPEN)
        link_pause(&child->wire.link);
}

void
stdio_child_resume(struct stdio_child *child)
{
    if (child->state == CHILD_OPEN)
        link_resume(&child->wire.link);
}

uint64_t
stdio_child_mint_id(struct stdio_child *child)
{
    return child->next_id++;
}

/* --- what spawn says --- */

static struct stdio_child *
find_started(struct stdio_pool *pool, const struct spawn_event *event)
{
    list_for_each(node, &pool->children) {
        struct stdio_child *child = container_of(node, struct stdio_child, node);

        if (event->kind == SPAWN_EXITED ? child->server == event->server
                                        : !child->server && child->sequence == event->sequence)
            return child;
    }
    return NULL;
}

/* A process that was started for nobody any more, or for a worker that is about to end. */
static void
refuse_server(struct worker *w, const struct spawn_event *event, int fd)
{
    const struct spawn_request request = {
        .kind = SPAWN_STOP, .epoch = w->child->h.epoch, .server = event->server};

    (void)ask(w, &request);
    ring_close(w->ring, fd);
}

static void
open_child(struct stdio_child *child, const struct spawn_event *event, int fd, bool again)
{
    child->server = event->server;
    child->state = CHILD_OPEN;
    child->is_labelled = child->is_left = again;
    child->active_ms = now_ms(child->pool->worker);
    stdio_open(&child->wire, fd, again);
    if (child->has_key && !again)
        ask_label(child);
}

static void
take_started(struct stdio_pool *pool, const struct spawn_event *event, int fd)
{
    struct stdio_child *child = find_started(pool, event);

    if (child && child->state == CHILD_STARTING)
        open_child(child, event, fd, false);
    else
        refuse_server(pool->worker, event, fd);
    /* It was given up while it was being started; now it can be stopped. */
    if (child && child->state == CHILD_ENDING)
        child->server = event->server;
}

/* The one before us in this slot has left it. */
static void
take_owned(struct stdio_pool *pool, const struct spawn_event *event, int fd)
{
    struct worker *w = pool->worker;
    struct stdio_child *child;
    static const uint8_t no_key[STDIO_KEY_BYTES];

    if (w->draining) {
        refuse_server(w, event, fd);
        return;
    }
    child = child_new(pool, pool->user);
    child->has_spoken = true;
    if (memcmp(event->label, no_key, STDIO_KEY_BYTES) != 0) {
        set_key(child, event->label);
        memcpy(child->note, event->label + STDIO_KEY_BYTES, STDIO_NOTE_BYTES);
    } else {
        child->user = NULL;
    }
    open_child(child, event, fd, true);
}

/* Its process is gone, but somebody it has left behind holds the other end of its socket. */
static void
on_last_words_over(struct ring *ring, struct timer *timer)
{
    struct stdio_child *child = child_of(stdio_of(container_of(timer, struct link, timer)));

    (void)ring;
    stdio_child_end(child, CLOSE_STDIO_EXITED);
}

static void
take_failure(struct stdio_child *child, const struct spawn_event *event)
{
    if (event->kind == SPAWN_FAILED) {
        log_warning("upstream %.*s: its program cannot be started: %s", (int)child->pool->upstream->name.len,
                    child->pool->upstream->name.at, strerror(event->error));
        stdio_child_end(child, CLOSE_STDIO_FAILED);
    } else { /* what it said last may still be on its way, and the end of the stream behind it */
        child->gone = true;
        timer_set(child->pool->worker->ring, &child->wire.link.timer, TICK_MS, on_last_words_over);
    }
}

static void
take_sync(struct worker *w)
{
    w->stdio.synced = true;
    for (unsigned i = 0; i < w->upstreams.count; i++)
        if (w->upstreams.items[i].stdio)
            era_synced(&w->upstreams.items[i]);
}

void
stdio_take_event(struct worker *w, const struct spawn_event *event, int fd)
{
    struct stdio_pool *pool =
        event->upstream < w->upstreams.count ? w->upstreams.items[event->upstream].stdio : NULL;
    struct stdio_child *child;

    if ((!pool && event->kind != SPAWN_SYNC) || event->epoch != w->child->h.epoch) {
        if (fd >= 0)
            ring_close(w->ring, fd);
        return;
    }
    if (event->kind == SPAWN_SYNC) {
        take_sync(w);
    } else if (event->kind == SPAWN_STARTED && fd >= 0) {
        take_started(pool, event, fd);
    } else if (event->kind == SPAWN_OWNED && fd >= 0) {
        take_owned(pool, event, fd);
    } else if ((child = find_started(pool, event)) && child->state != CHILD_ENDING) {
        take_failure(child, event);
    } else if (child) {
        child->gone = true;
    }
}

/* --- the channel --- */

static void
on_events(struct op *op, int result, struct buf *buf, bool more)
{
    struct stdio_worker *s = container_of(op, struct stdio_worker, op);
    struct worker *w = container_of(s, struct worker, stdio);
    struct spawn_event event;
    unsigned fd_count = 1;
    int n, fd;

    (void)buf, (void)result;
    if (!more) { /* cancelled; a fresh channel may be here already */
        if (s->old_fd >= 0)
            close(s->old_fd);
        s->old_fd = -1;
        if (s->fd >= 0)
            ring_poll(w->ring, op, s->fd, POLLIN, on_events);
        return;
    }
    while (s->fd >= 0 && (n = channel_receive(s->fd, &event, sizeof event, &fd, &fd_count)) != -EAGAIN) {
        if (n != (int)sizeof event) { /* spawn died; the supervisor sends a fresh channel */
            stdio_set_channel(w, -1);
            return;
        }
        stdio_take_event(w, &event, fd_count ? fd : -1);
        fd_count = 1;
    }
}

static void
ask_again(struct stdio_pool *pool, bool all)
{
    list_for_each_safe(node, &pool->children) {
        struct stdio_child *child = container_of(node, struct stdio_child, node);

        if (child->state == CHILD_STARTING && (all || !child->asked))
            ask_start(child);
        else if (child->state == CHILD_OPEN && child->has_key && !child->is_labelled)
            ask_label(child);
        else if (child->state == CHILD_ENDING && !child->asked)
            ask_stop(child);
        if (child->asked && is_closed(child))
            child_free(child);
    }
}

void
stdio_set_channel(struct worker *w, int fd)
{
    struct stdio_worker *s = &w->stdio;

    if (s->fd >= 0 && s->old_fd < 0 && op_busy(&s->op)) {
        s->old_fd = s->fd; /* closed when its poll has come back */
        ring_cancel(w->ring, &s->op);
    } else if (s->fd >= 0) {
        close(s->fd);
    }
    s->fd = fd;
    if (fd < 0)
        return;
    if (!op_busy(&s->op))
        ring_poll(w->ring, &s->op, fd, POLLIN, on_events);
    for (unsigned i = 0; i < w->upstreams.count; i++)
        if (w->upstreams.items[i].stdio)
            ask_again(w->upstreams.items[i].stdio, true);
}

/* --- the worker --- */

static void
end_idle(struct stdio_pool *pool, bool all)
{
    struct worker *w = pool->worker;
    uint64_t now = now_ms(w);

    list_for_each_safe(node, &pool->children) {
        struct stdio_child *child = container_of(node, struct stdio_child, node);
        bool old = pool->cfg->idle_ms && now - child->active_ms >= pool->cfg->idle_ms;

        if (child->busy == 0 && child->state != CHILD_ENDING && (all || (child->has_key && old)))
            stdio_child_end(child, all ? CLOSE_DRAIN : CLOSE_STDIO_IDLE);
    }
}

static void
on_tick(struct ring *ring, struct timer *timer)
{
    struct stdio_worker *s = container_of(timer, struct stdio_worker, timer);
    struct worker *w = container_of(s, struct worker, stdio);

    for (unsigned i = 0; i < w->upstreams.count; i++) {
        struct stdio_pool *pool = w->upstreams.items[i].stdio;

        if (!pool)
            continue;
        end_idle(pool, w->draining);
        ask_again(pool, false);
        fill_reserve(pool);
    }
    timer_set(ring, timer, TICK_MS, on_tick);
}

int
stdio_workers_init(struct worker *w)
{
    struct stdio_worker *s = &w->stdio;

    s->fd = s->old_fd = -1;
    stdio_shared_init(&s->wire, &w->net, (uint32_t)w->config->stdio_line);
    pool_init(&s->children, sizeof(struct stdio_child));
    for (unsigned i = 0; i < w->upstreams.count && !w->is_admin; i++) {
        struct upstream *up = &w->upstreams.items[i];

        if (!cfg_is_stdio(up->cfg))
            continue;
        if (!(up->stdio = calloc(1, sizeof *up->stdio)))
            return -ENOMEM;
        *up->stdio = (struct stdio_pool){.worker = w, .upstream = up, .cfg = &up->cfg->stdio};
        list_init(&up->stdio->children);
        s->pools++;
    }
    if (s->pools)
        timer_set(w->ring, &s->timer, 1, on_tick);
    return 0;
}

void
stdio_workers_done(struct worker *w)
{
    for (unsigned i = 0; i < w->upstreams.count; i++) {
        if (w->upstreams.items[i].stdio)
            free(w->upstreams.items[i].stdio->state);
        free(w->upstreams.items[i].stdio);
    }
    stdio_shared_done(&w->stdio.wire);
    pool_done(&w->stdio.children);
}

void
stdio_set_user(struct upstream *up, const struct stdio_user *user)
{
    up->stdio->user = user;
}

void
stdio_drain(struct worker *w)
{
    for (unsigned i = 0; i < w->upstreams.count; i++)
        if (w->upstreams.items[i].stdio)
            end_idle(w->upstreams.items[i].stdio, true);
}

/* The order to stop is on its way, or spawn ends them when it hears that nobody is left of this worker. */
void
stdio_end_all(struct worker *w)
{
    timer_stop(&w->stdio.timer);
    for (unsigned i = 0; i < w->upstreams.count; i++) {
        struct stdio_pool *pool = w->upstreams.items[i].stdio;

        if (!pool)
            continue;
        list_for_each_safe(node, &pool->children) {
            struct stdio_child *child = container_of(node, struct stdio_child, node);

            stdio_child_end(child, CLOSE_DRAIN);
            child->asked = true;
            if (is_closed(child))
                child_free(child);
        }
    }
}
