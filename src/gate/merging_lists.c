/* SPDX-License-Identifier: Apache-2.0 */
#include "gate/merging_lists.h"

#include "base/log.h"
#include "gate/compress.h"
#include "gate/heads.h"
#include "gate/local.h"
#include "mcp/merge_caps.h"

#include <stdlib.h>

/* The gateway asks one upstream for one list, page by page. */
struct asker {
    struct bond_call call;
    struct merging *m;
    struct list_entry *entry; /* its value's, until done or failed */
    enum merge_kind kind;
    struct held cursor; /* raw, of the next page; or nothing */
    struct timer timer; /* for the page */
};

/* One merged list in the making. */
struct gathering {
    struct list_gather gather; /* first: comes back from lists of `ready` */
    struct list_node node;     /* of m->gathering */
    struct merging *m;
    enum merge_kind kind;
    enum mcp_revision revision; /* of the clients it is for */
    struct timer timer;
    struct list_slot slots[];
};

static uint64_t
now_ms(const struct merging *m)
{
    return ring_now(m->worker->ring) / 1000000;
}

void
merging_lists_init(struct merging *m)
{
    pool_init(&m->askers, sizeof(struct asker));
    list_init(&m->gathering);
}

/* --- the reply --- */

static bool
slice_of(struct bridged *b, const struct list_value *value, struct merge_slice *ret)
{
    static const uint8_t everybody[MERGE_PRINCIPAL_BYTES];
    struct merge_cursor cursor;
    bool has_cursor = b->env->cursor.len != 0;

    if (has_cursor &&
        !merge_cursor_open(b->env->cursor, &b->worker->keys, (uint8_t)value->list.kind, everybody, &cursor))
        return false;
    return merge_slice(&value->list, has_cursor ? &cursor : NULL, (uint32_t)b->worker->config->merge_page,
                       ret);
}

static void
join(struct span *head, struct text piece)
{
    memcpy(span_data(*head) + head->len, piece.len ? piece.at : "", piece.len);
    head->len += piece.len;
}

static void
reply_packed(struct bridged *b, const struct text *pieces, unsigned count, uint32_t length)
{
    b->call.is_done = true;
    b->ex->reply_bytes += length;
    local_reply_pieces(b->ex, 200, TEXT("application/json"), (struct text){0}, pieces, count, CLOSE_DONE);
}

/* The bytes of a list are sent from where they lie, but for a short one. */
static void
send_list(struct bridged *b, const struct list_value *value, struct text before,
          const struct merge_slice *slice)
{
    struct exchange *ex = b->ex;
    struct worker *w = b->worker;
    uint32_t length = before.len + slice->list.len + slice->tail.len;
    enum http1_framing framing;
    struct span head, list;

    head = heads_local(ex, 200, TEXT("application/json"), length, (struct text){0}, &framing);
    if (!head.buf) {
        exchange_fail(ex, CLOSE_NO_MEMORY);
        return;
    }
    ex->status = 200;
    ex->first_ns = ring_now(w->ring);
    ex->reply_begun = b->call.is_done = true;
    ex->reply_bytes += length;
    stats_add(w->stats, STAT_local_replies, 1);
    if (length <= HEADS_JOIN_MAX) {
        join(&head, before);
        join(&head, slice->list);
        join(&head, slice->tail);
        h1_send_head(ex->client, head, framing, 0, METHOD_GET);
        span_unref(head);
        exchange_end_reply(ex, CLOSE_DONE);
        return;
    }
    h1_send_head(ex->client, head, framing, length, METHOD_GET);
    span_unref(head);
    list = span_of(value->buf, (uint32_t)(slice->list.at - (const char *)value->buf->data), slice->list.len);
    if (!local_send_copy(ex->client, &w->slab, before.at, before.len)) {
        h1_abort(ex->client, CLOSE_NO_MEMORY);
        exchange_finish(ex, CLOSE_NO_MEMORY);
        return;
    }
    if (list.len)
        h1_send_piece(ex->client, list);
    if (slice->tail.len && !local_send_copy(ex->client, &w->slab, slice->tail.at, slice->tail.len))
        h1_abort(ex->client, CLOSE_NO_MEMORY);
    exchange_end_reply(ex, CLOSE_DONE);
}

static void
reply_list(struct bridged *b, struct list_value *value)
{
    struct exchange *ex = b->ex;
    struct worker *w = b->worker;
    const struct merge_reply reply = {.id = b->call.id,
                                      .revision = b->bridge.client,
                                      .ttl_ms = list_value_ttl_ms(value, now_ms(w->merging)),
                                      .is_private = value->is_private};
    struct merge_slice slice;
    struct bridge_out out;
    uint32_t length;

    if (!slice_of(b, value, &slice)) {
        bridged_error(b, -32602, 200, "the cursor leads nowhere: begin with the first page");
        return;
    }
    if (!bridged_out(w, MERGE_HEAD_ROOM + b->call.id.len, &out) ||
        !merge_reply_head(&out.room, &reply, &value->list, &slice, &w->keys)) {
        exchange_fail(ex, CLOSE_NO_MEMORY);
        return;
    }
    length = out.room.len + slice.list.len + slice.tail.len;
    if (bridged_is_detached(b)) {
        bridged_detached_reply(b, (struct text[]){json_written(&out.room), slice.list, slice.tail}, 3);
        return;
    }
    if (compress_wants(ex, TEXT("application/json"), length)) {
        reply_packed(b, (struct text[]){json_written(&out.room), slice.list, slice.tail}, 3, length);
        return;
    }
    send_list(b, value, json_written(&out.room), &slice);
}

static void
answer_waiters(struct list_node *waiters, struct list_value *value)
{
    for (struct list_node *node; (node = list_first(waiters));) {
        struct bridged *b = container_of(node, struct bridged, list_waiter);

        list_del(node);
        if (!bridged_hearer(b))
            exchange_finish(b->ex, b->is_accepted ? CLOSE_STREAM_GONE : CLOSE_CLIENT_GONE);
        else if (value)
            reply_list(b, value);
        else
            exchange_fail(b->ex, CLOSE_NO_ENDPOINT);
    }
}

/* --- making the list --- */

static unsigned
adapt_entry(void *context, enum merge_kind kind, unsigned upstream, struct text entry,
            struct jsonrpc_edit *edits, unsigned room)
{
    const struct gathering *g = context;
    struct worker *w = g->m->worker;
    struct bridge b = {.client = g->revision,
                       .upstream = merging_bond(w, &w->upstreams.items[upstream])->bridge.upstream};

    return kind == MERGE_TOOLS ? bridge_tool_edits(&b, entry, edits, room) : 0;
}

static void
on_dropped(void *context, unsigned upstream, enum merge_drop why, const char *reason, struct text name)
{
    const struct gathering *g = context;
    struct text up = g->m->worker->upstreams.items[upstream].name;

    if (why != MERGE_DROP_DENIED)
        log_warning("upstream %.*s: %.*s is left out of the merged list: %s", (int)up.len, up.at,
                    name.len > 100 ? 100 : (int)name.len, name.len ? name.at : "", reason);
}

static void
finish(struct gathering *g)
{
    struct merging *m = g->m;
    struct merge_build build = {
        .names = &m->names, .kind = g->kind, .adapt = adapt_entry, .dropped = on_dropped, .context = g};
    struct list_node waiters;
    struct list_value *value;

    timer_stop(&g->timer);
    list_del(&g->node);
    value = list_gather_finish(&g->gather, &build, now_ms(m), &waiters);
    answer_waiters(&waiters, value);
    list_value_unref(value);
    free(g);
}

/* Those that need nothing more. */
static void
finish_ready(struct list_node *ready)
{
    for (struct list_node *node; (node = list_first(ready));) {
        list_del(node);
        finish(container_of(container_of(node, struct list_gather, ready), struct gathering, gather));
    }
}

static void
on_late(struct ring *ring, struct timer *timer)
{
    struct gathering *g = container_of(timer, struct gathering, timer);
    struct list_node ready;

    (void)ring;
    list_init(&ready);
    stats_add(g->m->worker->stats, STAT_merges_late, 1);
    list_gather_late(&g->gather, now_ms(g->m), &ready);
    finish_ready(&ready);
}

/* --- asking an upstream --- */

/* The list is here (`value`, whose reference is the caller's), or there is none. */
static void
end_asker(struct asker *a, struct list_node *waiters, struct list_value *value, bool failed)
{
    struct merging *m = a->m;
    struct list_node ready;

    list_init(&ready);
    timer_stop(&a->timer);
    bond_call_done(&a->call, true);
    held_free(m->worker, &a->cursor);
    pool_put(&m->askers, a);
    list_slots_give(waiters, value, failed, &ready);
    list_value_unref(value);
    finish_ready(&ready);
}

static void
fail_asker(struct asker *a)
{
    struct list_node waiters;
    struct list_value *value = list_cache_fail(&a->m->cache, a->entry, now_ms(a->m), &waiters);

    stats_add(a->m->worker->stats, STAT_lists_failed, 1);
    end_asker(a, &waiters, value, true);
}

static void
end_with_pages(struct asker *a)
{
    struct list_node waiters;
    struct list_value *value =
        list_cache_done(&a->m->cache, a->entry, now_ms(a->m), a->m->worker->config->list_ttl, &waiters);

    end_asker(a, &waiters, value, false);
}

static void
on_page_late(struct ring *ring, struct timer *timer)
{
    (void)ring;
    fail_asker(container_of(timer, struct asker, timer));
}

static bool
send_page(struct asker *a)
{
    timer_set(a->m->worker->ring, &a->timer, bond_answer_limit_ms(a->call.bond), on_page_late);
    return bridged_ask_list(a->m->worker, &a->call, merge_kind_method(a->kind), held_text(&a->cursor),
                            (struct text){0});
}

static void
on_ready(struct bond_call *call)
{
    struct asker *a = container_of(call, struct asker, call);
    const struct bond *bond = call->bond;
    uint32_t needed = merge_cap_for(merge_kind_method(a->kind));

    if (bond->about.len && (bond->server.caps & needed) != needed)
        end_with_pages(a); /* it has no such list */
    else if (!send_page(a))
        fail_asker(a);
}

static void
on_message(struct bond_call *call, struct text message, const struct jsonrpc_envelope *env)
{
    struct asker *a = container_of(call, struct asker, call);
    struct text cursor;
    enum merge_step step;
    bool ok;

    if (env->kind == JSONRPC_ERROR) {
        fail_asker(a);
        return;
    }
    if (env->kind != JSONRPC_RESPONSE) {
        bridging_heard(call->bond, message, env);
        return;
    }
    if (a->kind == MERGE_TOOLS)
        tool_params_learn(call->bond->up, env->result, false);
    step = list_cache_page(&a->m->cache, a->entry, env->result, &ok, &cursor);
    if (!ok) {
        fail_asker(a);
    } else if (step != MERGE_MORE) {
        end_with_pages(a);
    } else {
        a->cursor.len = 0;
        if (!held_append(a->m->worker, &a->cursor, cursor.at, cursor.len) || !send_page(a))
            fail_asker(a);
    }
}

static void
on_end(struct bond_call *call, enum close_reason reason, unsigned status)
{
    (void)reason, (void)status;
    fail_asker(container_of(call, struct asker, call));
}

static const struct bond_call_up asker_up = {
    .on_ready = on_ready, .on_message = on_message, .on_end = on_end};

static void
ask(struct merging *m, unsigned upstream, enum merge_kind kind, struct list_entry *entry)
{
    struct asker *a = pool_get(&m->askers);

    a->m = m;
    a->entry = entry;
    a->kind = kind;
    bond_ask(merging_bond(m->worker, &m->worker->upstreams.items[upstream]), &a->call, &asker_up);
}

/* --- the request --- */

static void
gather(struct merging *m, const struct list_key *key, struct list_entry *entry)
{
    unsigned count = 0, all = m->worker->upstreams.count;
    struct gathering *g = calloc(1, sizeof *g + all * sizeof g->slots[0]);
    struct list_key raw = *key;
    unsigned asks = 0;
    struct {
        unsigned upstream;
        struct list_entry *entry;
    } to_ask[CFG_UPSTREAMS_MAX];

    if (!g)
        abort(); /* as pools do: caps are held elsewhere */
    for (unsigned i = 0; i < all; i++)
        if (!m->worker->upstreams.items[i].cfg->is_route)
            g->slots[count++].part = (struct list_part){
                .upstream = (uint16_t)i, .is_http = true, .filter = &m->worker->upstreams.items[i].tools};
    g->m = m;
    g->kind = (enum merge_kind)key->kind;
    g->revision = (enum mcp_revision)key->revision;
    list_add_tail(&m->gathering, &g->node);
    timer_set(m->worker->ring, &g->timer, m->worker->config->merge_deadline, on_late);
    raw.revision = 0; /* what upstreams say is kept as they say it */
    list_gather_begin(&g->gather, &m->cache, entry, &raw, g->slots, count, now_ms(m));
    for (unsigned i = 0; i < count; i++)
        if (g->slots[i].ask) {
            to_ask[asks].upstream = g->slots[i].part.upstream;
            to_ask[asks++].entry = g->slots[i].ask;
        }
    if (!g->gather.pending) {
        finish(g);
        return;
    }
    for (unsigned i = 0; i < asks; i++) /* the last answer may come at once, and then g is gone */
        ask(m, to_ask[i].upstream, (enum merge_kind)key->kind, to_ask[i].entry);
}

void
merging_list(struct bridged *b)
{
    struct merging *m = b->worker->merging;
    struct list_key key = {.upstream = LIST_MERGED,
                           .kind = (uint8_t)merge_kind_of(b->call.method),
                           .revision = (uint8_t)b->bridge.client};
    struct list_entry *entry, *same;
    struct list_value *value;

    switch (list_cache_get(&m->cache, &key, now_ms(m), &b->list_waiter, &entry, &value)) {
    case LIST_READY:
    case LIST_STALE:
        reply_list(b, value);
        list_value_unref(value);
        break;
    case LIST_FAILED:
        exchange_fail(b->ex, CLOSE_NO_ENDPOINT);
        break;
    case LIST_WAIT:
        break;
    case LIST_ASK:
        /* Who asks first waits with all others. */
        list_cache_get(&m->cache, &key, now_ms(m), &b->list_waiter, &same, &value);
        gather(m, &key, entry);
    }
}

/* Whatever the revision of who asks then, what upstreams say is here. */
void
merging_load(struct worker *w)
{
    struct merging *m = w->merging;

    for (unsigned kind = 0; m && kind < MERGE_KINDS; kind++) {
        struct list_key key = {.upstream = LIST_MERGED, .kind = (uint8_t)kind, .revision = MCP_2026_07_28};
        struct list_entry *entry;
        struct list_value *value;
        enum list_state state = list_cache_get(&m->cache, &key, now_ms(m), NULL, &entry, &value);

        if (state == LIST_ASK)
            gather(m, &key, entry);
        else if (state == LIST_READY || state == LIST_STALE)
            list_value_unref(value);
    }
}

/* --- changes --- */

void
merging_changed(struct bond *bond, enum bridge_act what, struct text uri)
{
    struct list_cache *cache = &bond->worker->merging->cache;
    uint16_t upstream = (uint16_t)bond->up->index;

    switch (what) {
    case BRIDGE_ACT_TOOLS_CHANGED:
        list_cache_purge(cache, upstream, MERGE_TOOLS, (struct text){0});
        break;
    case BRIDGE_ACT_PROMPTS_CHANGED:
        list_cache_purge(cache, upstream, MERGE_PROMPTS, (struct text){0});
        break;
    case BRIDGE_ACT_RESOURCES_CHANGED:
        list_cache_purge(cache, upstream, MERGE_RESOURCES, (struct text){0});
        list_cache_purge(cache, upstream, MERGE_TEMPLATES, (struct text){0});
        break;
    case BRIDGE_ACT_UPDATED:
        list_cache_purge(cache, upstream, LIST_READ, uri);
        break;
    default:
        break;
    }
}

void
merging_lists_done(struct merging *m)
{
    while (!list_empty(&m->gathering)) {
        struct gathering *g = container_of(list_first(&m->gathering), struct gathering, node);
        struct list_node ready;

        list_init(&ready);
        list_gather_late(&g->gather, now_ms(m), &ready);
        finish_ready(&ready);
    }
    pool_done(&m->askers);
}
