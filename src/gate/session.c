/* SPDX-License-Identifier: Apache-2.0 */
#include "gate/session_impl.h"

#include "gate/exchange.h"
#include "gate/home.h"
#include "stats/segment.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

enum {
    SWEEP_CELLS = 16384, /* a tick's worth: half a megabyte of heads */
    TICK_BUCKETS = SESSION_BUCKETS / 16,
};

uint32_t
session_now_s(void)
{
    return (uint32_t)time(NULL);
}

static struct list_node *
bucket_of(struct sessions *all, const uint8_t id[SESSION_ID_BYTES])
{
    return &all->buckets[(id[0] | (uint32_t)id[1] << 8) % SESSION_BUCKETS];
}

struct session *
session_find(struct sessions *all, const uint8_t id[SESSION_ID_BYTES])
{
    list_for_each(node, bucket_of(all, id)) {
        struct session *s = container_of(node, struct session, node);

        if (memcmp(s->token.id, id, SESSION_ID_BYTES) == 0)
            return s;
    }
    return NULL;
}

/* --- records --- */

static void
count_live(struct worker *w, uint32_t place, int change)
{
    struct sessions *all = w->sessions;

    all->gained += change;
    if (change > 0 || all->live_in[place]) { /* a death may have left the count behind what there is */
        all->live_in[place] += (uint32_t)change;
        all->live += (uint32_t)change;
    }
    stats_set(w->stats, STAT_sessions_live, all->live);
}

static void
count_evicted(struct session *s)
{
    stats_add(s->worker->stats, STAT_sessions_evicted, 1);
    count_live(s->worker, s->place, -1);
}

static struct session_record
fresh_record(const struct worker *w, const struct mcp_token *token)
{
    struct session_record r = {.expires_s = token->expires_s,
                               .client_capabilities = token->client_capabilities,
                               .generation = w->child->h.generation,
                               .revision = (uint8_t)token->revision};

    memcpy(r.id, token->id, sizeof r.id);
    return r;
}

/* Makes the record of a session, if need be in the place of the one that was unused for longest. */
static bool
make_record(struct session *s)
{
    struct worker *w = s->worker;
    struct sessions *all = w->sessions;
    struct session_record r = fresh_record(w, &s->token);
    uint32_t now_s = session_now_s();

    if (all->live_in[s->place] >= w->config->max_sessions) {
        if (!session_table_evict(all->table, s->place, all->me))
            return false;
        count_evicted(s);
    }
    if (!session_table_insert(all->table, s->place, all->me, &r, now_s, &s->cell)) {
        if (!session_table_evict_near(all->table, s->place, r.id, all->me))
            return false;
        count_evicted(s);
        if (!session_table_insert(all->table, s->place, all->me, &r, now_s, &s->cell))
            return false;
    }
    count_live(w, s->place, 1);
    return true;
}

bool
session_record_get(struct session *s, struct session_record *ret)
{
    if (!s->over && session_table_read(s->worker->sessions->table, s->cell, s->token.id, ret))
        return true;
    *ret = fresh_record(s->worker, &s->token);
    return false;
}

void
session_record_put(struct session *s, const struct session_record *record)
{
    ASSERT(s->holds || s->over);
    if (!s->over)
        session_table_write(s->worker->sessions->table, s->cell, record);
}

/* --- coming and going --- */

static struct session *
new_session(struct worker *w, const struct mcp_token *token)
{
    struct session *s = calloc(1, sizeof *s);

    if (!s)
        return NULL;
    s->worker = w;
    s->token = *token;
    s->place = session_place(w->sessions, token);
    list_init(&s->calls);
    list_init(&s->bonds);
    list_init(&s->asked);
    list_init(&s->streams);
    list_add_head(bucket_of(w->sessions, s->token.id), &s->node);
    return s;
}

static void
free_session(struct session *s)
{
    ASSERT(s->holds == 0 && list_empty(&s->calls) && list_empty(&s->bonds) && list_empty(&s->asked) &&
           list_empty(&s->streams) && !s->stream);
    list_del(&s->node);
    free(s);
}

/* Nothing is left that could take the answer. */
static void
drop_asked(struct session *s)
{
    struct list_node *node;

    while ((node = list_first(&s->asked))) {
        struct session_ask *ask = container_of(node, struct session_ask, node);

        ask->drop(ask);
        ASSERT(list_first(&s->asked) != node);
    }
}

static void
drop_bonds(struct session *s, bool ended)
{
    struct list_node *node;

    drop_asked(s);
    while ((node = list_first(&s->bonds))) {
        struct session_bond *bond = container_of(node, struct session_bond, node);

        bond->drop(bond, ended);
        ASSERT(list_first(&s->bonds) != node);
    }
}

/* The record is as if nobody had used the session for too long. */
static bool
is_idle(const struct session *s)
{
    const struct worker *w = s->worker;
    uint32_t idle_s = (uint32_t)(w->config->session_idle / 1000), now_s = session_now_s(),
             used_s = session_table_used_s(w->sessions->table, s->cell);

    return w->config->session_idle && now_s > used_s && now_s - used_s > idle_s;
}

/* Takes the record of a session that nothing here holds yet. */
static enum session_found
take(struct session *s)
{
    struct sessions *all = s->worker->sessions;
    bool is_there = session_table_find(all->table, s->place, s->token.id, &s->cell);

    if ((!is_there || session_table_is_ending(all->table, s->cell)) &&
        session_table_is_buried(all->table, s->place, s->token.id))
        return SESSION_OVER;
    if (!is_there) {
        if (!make_record(s))
            return SESSION_NO_ROOM;
        stats_add(s->worker->stats, STAT_sessions_rebuilt, 1);
        return SESSION_HERE;
    }
    return session_table_take(all->table, s->cell, s->token.id, all->me) ? SESSION_HERE : SESSION_ELSEWHERE;
}

/* The end of a session: whatever it has open ends with it. */
static void
end(struct session *s, enum stat_id counter)
{
    struct worker *w = s->worker;
    struct sessions *all = w->sessions;
    struct list_node *node;

    ASSERT(s->holds);
    if (s->over)
        return;
    if (s->is_of_stream) /* without its stream it is over anyhow */
        session_table_remove(all->table, s->cell, all->me);
    else if (!session_table_end(all->table, s->cell, s->token.id, all->me, s->token.expires_s,
                                session_now_s()))
        stats_add(w->stats, STAT_tombstones_dropped, 1);
    count_live(w, s->place, -1);
    stats_add(w->stats, counter, 1);
    s->over = true;
    while ((node = list_first(&s->calls))) {
        struct session_call *call = container_of(node, struct session_call, node);

        call->cancel(call);
        ASSERT(list_first(&s->calls) != node);
    }
    drop_asked(s);
    if (s->stream)
        s->stream->plan->stop(s->stream, true);
    drop_bonds(s, true);
}

enum session_found
session_enter(struct worker *w, const struct mcp_token *token, struct session **ret)
{
    struct session *s = session_find(w->sessions, token->id);
    enum session_found found;

    if (!s && !(s = new_session(w, token)))
        return SESSION_NO_MEMORY;
    found = s->over ? SESSION_OVER : s->holds ? SESSION_HERE : take(s);
    if (found == SESSION_HERE) {
        s->holds++;
        if (s->holds == 1 && is_idle(s)) {
            end(s, STAT_sessions_expired);
            session_release(s);
            return SESSION_OVER;
        }
        session_table_touch(w->sessions->table, s->cell, session_now_s());
        *ret = s;
    } else if (!s->holds) {
        drop_bonds(s, found == SESSION_OVER);
        free_session(s);
    }
    return found;
}

struct session *
session_create(struct worker *w, enum mcp_revision revision, uint32_t client_capabilities,
               const uint8_t principal[MCP_TOKEN_PRINCIPAL_BYTES], enum close_reason *ret_reason)
{
    struct mcp_token token = {.node = w->child->h.node,
                              .slot = w->child->h.place,
                              .epoch = w->child->h.epoch,
                              .revision = revision,
                              .client_capabilities = client_capabilities,
                              .expires_s = (uint64_t)time(NULL) + w->config->session_ttl / 1000};
    struct session *s;

    *ret_reason = CLOSE_NO_MEMORY;
    memcpy(token.principal, principal, sizeof token.principal);
    if (getrandom(token.id, sizeof token.id, 0) != sizeof token.id || !(s = new_session(w, &token)))
        return NULL;
    if (!make_record(s)) {
        *ret_reason = CLOSE_SESSIONS_FULL;
        free_session(s);
        return NULL;
    }
    s->holds = 1;
    s->is_of_stream = client_capabilities & MCP_TOKEN_OF_STREAM;
    stats_add(w->stats, STAT_sessions_opened, 1);
    return s;
}

uint32_t
session_stream_token(struct session *s, char *out, uint32_t size)
{
    struct mcp_token token = s->token;

    token.client_capabilities |= MCP_TOKEN_OF_STREAM;
    return mcp_token_seal(&token, &s->worker->keys, out, size);
}

uint32_t
session_field(struct session *s, char out[SESSION_FIELD_MAX])
{
    static const char name[] = "Mcp-Session-Id: ";
    uint32_t n = sizeof name - 1, len = mcp_token_seal(&s->token, &s->worker->keys, out + n, MCP_TOKEN_SIZE);

    if (!len)
        return 0;
    memcpy(out, name, n);
    memcpy(out + n + len, "\r\n", 2);
    return n + len + 2;
}

void
session_hold(struct session *s)
{
    ASSERT(s->holds); /* session_enter() takes the record with the first */
    s->holds++;
}

void
session_release(struct session *s)
{
    struct sessions *all;

    if (!s || --s->holds)
        return;
    all = s->worker->sessions;
    if (!s->over)
        session_table_touch(all->table, s->cell, session_now_s());
    if (s->worker->draining)
        drop_bonds(s, false);
    if (!s->over)
        session_table_leave(all->table, s->cell, all->me);
    if (s->over || list_empty(&s->bonds))
        free_session(s);
}

void
session_delete(struct session *s)
{
    end(s, STAT_sessions_deleted);
}

void
session_drop_bonds(struct session *s)
{
    struct session_record record;

    session_record_get(s, &record);
    list_for_each(node, &s->bonds) {
        uint32_t index = container_of(node, struct session_bond, node)->upstream;

        session_record_drop_upstream(&record, session_upstream_hash(s->worker->upstreams.items[index].name));
    }
    session_record_put(s, &record);
    drop_bonds(s, true);
}

void
session_end_with_stream(struct session *s)
{
    end(s, STAT_sessions_ended);
}

uint64_t
session_mint_id(struct session *s)
{
    return ++s->worker->sessions->next_id;
}

/* --- what is open --- */

struct session_call *
session_find_call(struct session *s, struct text id)
{
    list_for_each(node, &s->calls) {
        struct session_call *call = container_of(node, struct session_call, node);

        if (text_eq(call->id, id))
            return call;
    }
    return NULL;
}

struct session_bond *
session_find_bond(struct session *s, uint32_t upstream)
{
    list_for_each(node, &s->bonds) {
        struct session_bond *bond = container_of(node, struct session_bond, node);

        if (bond->upstream == upstream)
            return bond;
    }
    return NULL;
}

struct session_ask *
session_find_ask(struct session *s, uint64_t id)
{
    list_for_each(node, &s->asked) {
        struct session_ask *ask = container_of(node, struct session_ask, node);

        if (ask->id == id)
            return ask;
    }
    return NULL;
}

/* --- the worker --- */

int
sessions_init(struct worker *w)
{
    struct sessions *all;
    int err;

    if (w->child->fds[FD_SESSIONS] < 0) /* the admin has none */
        return 0;
    all = calloc(1, sizeof *all);
    if (!all)
        return -ENOMEM;
    for (unsigned i = 0; i < SESSION_BUCKETS; i++)
        list_init(&all->buckets[i]);
    all->me = (struct session_writer){w->child->h.slot, w->child->h.epoch};
    /* Below 2^52, so that every client keeps it whole; no two incarnations begin with the same. */
    all->next_id = (uint64_t)((session_now_s() + w->child->h.epoch) & 0xfffff) << 32;
    w->sessions = all;
    err = session_table_map(w->child->fds[FD_SESSIONS], &all->table);
    return err < 0 ? err : home_init(w);
}

void
sessions_done(struct worker *w)
{
    struct sessions *all = w->sessions;

    if (!all)
        return;
    for (unsigned i = 0; i < SESSION_BUCKETS; i++)
        list_for_each_safe(node, &all->buckets[i]) {
            struct session *s = container_of(node, struct session, node);

            drop_bonds(s, false);
            free_session(s);
        }
    home_done(w);
    session_table_close(&all->table);
    free(all);
    w->sessions = NULL;
}

void
sessions_drain(struct worker *w)
{
    if (!w->sessions)
        return;
    for (unsigned i = 0; i < SESSION_BUCKETS; i++)
        list_for_each_safe(node, &w->sessions->buckets[i]) {
            struct session *s = container_of(node, struct session, node);

            if (s->holds)
                continue;
            drop_bonds(s, false);
            free_session(s);
        }
}

/* A session whose bonds keep it in memory while nobody uses it: its record may have gone (evicted, idle for
 * too long), or its time is over. */
static void
look_after(struct session *s, uint64_t now_s)
{
    struct sessions *all = s->worker->sessions;
    struct session_cell cell;

    if (s->holds) {
        s->holds++;
        if (now_s >= s->token.expires_s)
            end(s, STAT_sessions_expired);
        session_release(s);
    } else if (now_s >= s->token.expires_s || !session_table_find(all->table, s->place, s->token.id, &cell)) {
        drop_bonds(s, true); /* the sweep frees the record */
        free_session(s);
    }
}

/* All places have been looked at. */
static void
finish_sweep(struct worker *w)
{
    struct sessions *all = w->sessions;
    bool serves = false;

    all->live = 0;
    for (uint32_t i = 0; i < SESSION_PLACES_MAX; i++) {
        all->live += all->live_in[i];
        serves |= session_table_server(all->table, i) == all->me.slot;
    }
    stats_set(w->stats, STAT_sessions_live, all->live);
    if (all->was_swept || !serves)
        return;
    /* What an earlier run of the gateway left: said once, by those who come first. */
    if (w->child->h.generation == 1 && w->child->h.epoch == 1 && all->live > all->gained)
        stats_add(w->stats, STAT_sessions_found, (uint64_t)(all->live - all->gained));
    all->was_swept = true;
}

/* A tick's worth of one place; true when that place is done. */
static bool
sweep_place(struct worker *w, uint32_t place)
{
    struct sessions *all = w->sessions;
    struct session_sweep *sum = &all->swept;
    uint32_t before = sum->expired + sum->idle, removed;

    if (session_table_server(all->table, place) == all->me.slot)
        session_table_sweep(all->table, place, all->me, session_now_s(),
                            (uint32_t)(w->config->session_idle / 1000), &all->sweep_at, SWEEP_CELLS, sum);
    else
        all->sweep_at = 0;
    removed = sum->expired + sum->idle - before;
    stats_add(w->stats, STAT_sessions_expired, removed);
    all->gained -= removed;
    if (all->sweep_at)
        return false;
    all->live_in[place] = sum->live;
    *sum = (struct session_sweep){0};
    return true;
}

static void
sweep(struct worker *w)
{
    struct sessions *all = w->sessions;

    while (sweep_place(w, all->sweep_place)) {
        if (++all->sweep_place < session_table_mapped(all->table))
            continue;
        all->sweep_place = 0;
        finish_sweep(w);
        return;
    }
}

void
sessions_tick(struct worker *w)
{
    struct sessions *all = w->sessions;
    uint32_t now_s = session_now_s();

    if (!all)
        return;
    for (unsigned i = 0; i < TICK_BUCKETS; i++) {
        struct list_node *bucket = &all->buckets[all->next_bucket++ % SESSION_BUCKETS];

        list_for_each_safe(node, bucket)
            look_after(container_of(node, struct session, node), now_s);
    }
    sweep(w);
}
