/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entries hang in buckets by a hash of their key, and in the order of their last use. A purge touches none of
 * them: it counts a generation on, and a value of an older one is not used any more.
 */
#include "mcp/list_cache.h"

#include "base/check.h"
#include "mcp/list_value.h"
#include "mcp/merge_hash.h"

#include <stdlib.h>

enum {
    BUCKETS_MIN = 64,
    BUCKETS_MAX = 16384,
    BYTES_A_BUCKET = 4096,
    READ_SLOTS = 32, /* generations of an upstream's resources: those of one slot are purged together */
    SLOTS = LIST_KINDS + READ_SLOTS,
};

struct list_entry {
    struct list_node bucket, recent;
    struct list_key key;
    struct list_value *value;  /* the last one that was kept, fresh or not */
    struct list_value *next;   /* pages that are being taken */
    struct merge_walk walk;    /* through them */
    struct list_node waiters;  /* for it */
    uint64_t asked_generation; /* when asking began */
    uint64_t retry_ms;         /* failed: asked again from then on */
    bool asking, late, failed;
};

void
list_cache_init(struct list_cache *cache, uint32_t upstreams, uint64_t max_bytes, uint64_t seed)
{
    *cache = (struct list_cache){.max_bytes = max_bytes, .upstreams = upstreams, .seed = seed};
    cache->buckets_count = BUCKETS_MIN;
    while (cache->buckets_count < BUCKETS_MAX && cache->buckets_count < max_bytes / BYTES_A_BUCKET)
        cache->buckets_count *= 2;
    cache->buckets = list_memory(cache->buckets_count * sizeof *cache->buckets);
    for (uint32_t i = 0; i < cache->buckets_count; i++)
        list_init(&cache->buckets[i]);
    cache->generations = list_memory(upstreams * SLOTS * sizeof *cache->generations);
    list_init(&cache->recent);
    pool_init(&cache->pool, sizeof(struct list_entry));
    list_value_home_init(cache);
}

/* ---- generations ---- */

_Static_assert(offsetof(struct list_key, param) == 2 + 1 + 1 + 4 + MERGE_PRINCIPAL_BYTES, "no holes to hash");

static uint64_t
key_hash(const struct list_cache *cache, const struct list_key *key)
{
    uint64_t hash = MERGE_HASH_START ^ cache->seed;

    hash = merge_hash(hash, (struct text){(const char *)key, offsetof(struct list_key, param)});
    hash = merge_hash(hash, key->param);
    return hash ^ hash >> 32;
}

static unsigned
read_slot(const struct list_cache *cache, struct text param)
{
    uint64_t hash = merge_hash(MERGE_HASH_START ^ cache->seed, param);

    return LIST_KINDS + (unsigned)((hash ^ hash >> 32) % READ_SLOTS);
}

/* A number that a purge makes larger. */
static uint64_t
generation(const struct list_cache *cache, const struct list_key *key, bool is_partial)
{
    const uint32_t *slots;

    if (key->upstream == LIST_MERGED)
        return cache->merged_generations[key->kind] +
               (is_partial ? cache->partial_generations[key->kind] : 0);
    slots = cache->generations + (size_t)key->upstream * SLOTS;
    if (key->kind == LIST_READ)
        return (uint64_t)slots[LIST_READ] + slots[read_slot(cache, key->param)];
    return slots[key->kind];
}

void
list_cache_purge(struct list_cache *cache, uint16_t upstream, uint8_t kind, struct text param)
{
    uint32_t *slots = cache->generations + (size_t)upstream * SLOTS;

    ASSERT(upstream < cache->upstreams && kind < LIST_KINDS);
    slots[kind == LIST_READ && param.len ? read_slot(cache, param) : kind]++;
    cache->merged_generations[kind]++;
    cache->purges++;
}

/* ---- entries ---- */

static bool
is_same_key(const struct list_key *a, const struct list_key *b)
{
    return a->upstream == b->upstream && a->kind == b->kind && a->revision == b->revision &&
           a->caps == b->caps && memcmp(a->principal, b->principal, sizeof a->principal) == 0 &&
           text_eq(a->param, b->param);
}

static struct list_node *
bucket_of(struct list_cache *cache, const struct list_key *key)
{
    return &cache->buckets[key_hash(cache, key) & (cache->buckets_count - 1)];
}

static struct list_entry *
find(struct list_cache *cache, const struct list_key *key)
{
    list_for_each(node, bucket_of(cache, key)) {
        struct list_entry *entry = container_of(node, struct list_entry, bucket);

        if (is_same_key(&entry->key, key))
            return entry;
    }
    return NULL;
}

static uint64_t
entry_bytes(const struct list_entry *entry)
{
    return sizeof *entry + entry->key.param.len;
}

static struct list_entry *
find_or_add(struct list_cache *cache, const struct list_key *key)
{
    struct list_entry *entry = find(cache, key);
    char *param;

    if (entry)
        return entry;
    entry = pool_get(&cache->pool);
    entry->key = *key;
    param = list_memory(key->param.len + 1);
    if (key->param.len)
        memcpy(param, key->param.at, key->param.len);
    entry->key.param.at = param;
    list_init(&entry->waiters);
    list_add_tail(bucket_of(cache, key), &entry->bucket);
    list_add_head(&cache->recent, &entry->recent);
    cache->entries++;
    cache->bytes += entry_bytes(entry);
    return entry;
}

static void
drop_value(struct list_entry *entry)
{
    list_value_unref(entry->value);
    entry->value = NULL;
}

static void
entry_remove(struct list_cache *cache, struct list_entry *entry)
{
    ASSERT(!entry->asking && list_empty(&entry->waiters));
    drop_value(entry);
    list_del(&entry->bucket);
    list_del(&entry->recent);
    cache->entries--;
    cache->bytes -= entry_bytes(entry);
    free((void *)(uintptr_t)entry->key.param.at);
    pool_put(&cache->pool, entry);
}

static void
touch(struct list_cache *cache, struct list_entry *entry)
{
    list_del(&entry->recent);
    list_add_head(&cache->recent, &entry->recent);
}

/* Makes room by what was not used for the longest time. */
static void
evict(struct list_cache *cache)
{
    struct list_node *node = cache->recent.prev, *before;

    for (; node != &cache->recent && cache->bytes > cache->max_bytes; node = before) {
        struct list_entry *entry = container_of(node, struct list_entry, recent);

        before = node->prev;
        if (entry->asking)
            continue;
        cache->evictions += entry->value != NULL;
        entry_remove(cache, entry);
    }
}

void
list_cache_free(struct list_cache *cache)
{
    while (!list_empty(&cache->recent))
        entry_remove(cache, container_of(list_first(&cache->recent), struct list_entry, recent));
    ASSERT(cache->bytes == 0);
    pool_done(&cache->pool);
    free(cache->buckets);
    free(cache->generations);
}

/* ---- looking up ---- */

/* Drops a value that a purge has ended. */
static void
check_generation(struct list_cache *cache, struct list_entry *entry)
{
    if (entry->value && entry->value->generation != generation(cache, &entry->key, entry->value->is_partial))
        drop_value(entry);
}

static bool
is_fresh(struct list_cache *cache, struct list_entry *entry, uint64_t now_ms)
{
    check_generation(cache, entry);
    return entry->value && now_ms < entry->value->expires_ms;
}

/* The value of an entry whose upstream fails, if it will still do. */
static struct list_value *
stale_value(struct list_cache *cache, struct list_entry *entry, uint64_t now_ms)
{
    check_generation(cache, entry);
    if (!entry->value)
        return NULL;
    if (now_ms - entry->value->expires_ms < LIST_STALE_MS || now_ms < entry->value->expires_ms)
        return list_value_ref(entry->value);
    drop_value(entry);
    return NULL;
}

static bool
is_anonymous(const struct list_key *key)
{
    static const uint8_t nobody[MERGE_PRINCIPAL_BYTES];

    return memcmp(key->principal, nobody, sizeof nobody) == 0;
}

static struct list_key
public_key(const struct list_key *key)
{
    struct list_key common = *key;

    memset(common.principal, 0, sizeof common.principal);
    return common;
}

static struct list_entry *
find_public(struct list_cache *cache, const struct list_key *key, uint64_t now_ms)
{
    struct list_key common = public_key(key);
    struct list_entry *entry = is_anonymous(key) ? NULL : find(cache, &common);

    return entry && is_fresh(cache, entry, now_ms) && !entry->value->is_private ? entry : NULL;
}

static enum list_state
give(struct list_cache *cache, struct list_entry *entry, struct list_value **ret_value)
{
    touch(cache, entry);
    cache->hits++;
    *ret_value = list_value_ref(entry->value);
    return LIST_READY;
}

static enum list_state
give_stale(struct list_cache *cache, struct list_entry *entry, uint64_t now_ms, struct list_value **ret_value)
{
    *ret_value = stale_value(cache, entry, now_ms);
    if (*ret_value)
        cache->stales++;
    return *ret_value ? LIST_STALE : LIST_FAILED;
}

enum list_state
list_cache_get(struct list_cache *cache, const struct list_key *key, uint64_t now_ms,
               struct list_node *waiter, struct list_entry **ret_entry, struct list_value **ret_value)
{
    struct list_entry *entry = find_public(cache, key, now_ms);

    ASSERT(key->kind < LIST_KINDS && (key->upstream == LIST_MERGED || key->upstream < cache->upstreams));
    *ret_entry = NULL;
    *ret_value = NULL;
    if (entry)
        return give(cache, entry, ret_value);
    entry = find_or_add(cache, key);
    if (is_fresh(cache, entry, now_ms))
        return give(cache, entry, ret_value);
    touch(cache, entry);
    if (entry->late || (entry->failed && !entry->asking && now_ms < entry->retry_ms))
        return give_stale(cache, entry, now_ms, ret_value);
    *ret_entry = entry;
    if (entry->asking) {
        cache->waits++;
        if (waiter)
            list_add_tail(&entry->waiters, waiter);
        return LIST_WAIT;
    }
    cache->misses++;
    entry->asking = true;
    entry->asked_generation = generation(cache, key, false);
    entry->walk = (struct merge_walk){0};
    return LIST_ASK;
}

void
list_entry_wait(struct list_entry *entry, struct list_node *waiter)
{
    ASSERT(entry->asking);
    list_add_tail(&entry->waiters, waiter);
}

/* ---- asking ---- */

enum merge_step
list_cache_page(struct list_cache *cache, struct list_entry *entry, struct text result, bool *ret_ok,
                struct text *ret_cursor)
{
    struct merge_page page;

    ASSERT(entry->asking && entry->key.kind < MERGE_KINDS);
    *ret_cursor = (struct text){NULL, 0};
    *ret_ok = merge_page_read((enum merge_kind)entry->key.kind, result, &page);
    if (!*ret_ok)
        return MERGE_CUT;
    if (!entry->next)
        entry->next = list_value_new(cache);
    *ret_cursor = page.next_cursor;
    list_value_add_page(entry->next, &page);
    return merge_walk_page(&entry->walk, &page, result.len);
}

static void
stop_asking(struct list_entry *entry, struct list_node *ret_waiters)
{
    ASSERT(entry->asking);
    list_take(ret_waiters, &entry->waiters);
    list_init(&entry->waiters);
    entry->asking = entry->late = entry->failed = false;
}

/* Keeps a value that nobody has changed meanwhile: a public one where everybody looks. */
static void
keep(struct list_cache *cache, struct list_entry *entry, struct list_value *value)
{
    struct list_key common = public_key(&entry->key);
    struct list_entry *holder = entry;

    if (!value->is_private && !is_anonymous(&entry->key))
        holder = find_or_add(cache, &common);
    drop_value(holder);
    holder->value = list_value_ref(value);
}

/* Ends asking with a value, which has its ttl. */
static struct list_value *
finish(struct list_cache *cache, struct list_entry *entry, struct list_value *value, uint64_t ttl_ms,
       uint64_t now_ms, struct list_node *ret_waiters)
{
    bool is_purged = generation(cache, &entry->key, false) != entry->asked_generation;
    /* A list without a ttl may still be wanted when its upstream fails. */
    bool is_useful = ttl_ms || (entry->key.upstream != LIST_MERGED && entry->key.kind < MERGE_KINDS);

    stop_asking(entry, ret_waiters);
    value->expires_ms = is_purged ? 0 : now_ms + (ttl_ms < LIST_TTL_MAX_MS ? ttl_ms : LIST_TTL_MAX_MS);
    if (entry->key.upstream != LIST_MERGED)
        cache->partial_generations[entry->key.kind]++;
    value->generation = generation(cache, &entry->key, value->is_partial);
    if (value->bytes > cache->max_bytes / 2)
        cache->refusals++;
    else if (!is_purged && is_useful)
        keep(cache, entry, value);
    if (entry->value != value)
        drop_value(entry);
    if (!entry->value)
        entry_remove(cache, entry);
    evict(cache);
    return value;
}

struct list_value *
list_cache_done(struct list_cache *cache, struct list_entry *entry, uint64_t now_ms, uint64_t policy_ttl_ms,
                struct list_node *ret_waiters)
{
    struct list_value *value = entry->next ? entry->next : list_value_new(cache);

    entry->next = NULL;
    value->is_private = entry->walk.is_private;
    return finish(cache, entry, value, entry->walk.has_ttl ? entry->walk.ttl_ms : policy_ttl_ms, now_ms,
                  ret_waiters);
}

/* How long a merged list may live: as long as the first of its parts. */
static uint64_t
parts_ttl_ms(const struct list_part *parts, unsigned count, bool is_partial, uint64_t now_ms)
{
    uint64_t ttl_ms = is_partial || !count ? LIST_RETRY_MS : LIST_TTL_MAX_MS;

    for (unsigned i = 0; i < count; i++) {
        uint64_t left_ms =
            parts[i].value && !parts[i].is_stale ? list_value_ttl_ms(parts[i].value, now_ms) : LIST_RETRY_MS;

        ttl_ms = left_ms < ttl_ms ? left_ms : ttl_ms;
    }
    return ttl_ms;
}

struct list_value *
list_cache_merge(struct list_cache *cache, struct list_entry *entry, struct merge_build *build,
                 const struct list_part *parts, unsigned count, uint64_t now_ms,
                 struct list_node *ret_waiters)
{
    struct list_value *value = list_value_new(cache);

    for (unsigned i = 0; i < count; i++) {
        value->is_partial = value->is_partial || !parts[i].value || parts[i].is_stale;
        value->is_private = value->is_private || (parts[i].value && parts[i].value->is_private);
    }
    list_value_merge(value, build, parts, count);
    return finish(cache, entry, value, parts_ttl_ms(parts, count, value->is_partial, now_ms), now_ms,
                  ret_waiters);
}

struct list_value *
list_cache_body(struct list_cache *cache, struct list_entry *entry, struct text body, uint64_t ttl_ms,
                bool is_private, uint64_t now_ms, struct list_node *ret_waiters)
{
    struct list_value *value = list_value_new(cache);

    value->is_private = is_private;
    list_value_set_body(value, body);
    return finish(cache, entry, value, ttl_ms, now_ms, ret_waiters);
}

struct list_value *
list_cache_fail(struct list_cache *cache, struct list_entry *entry, uint64_t now_ms,
                struct list_node *ret_waiters)
{
    struct list_value *older;

    stop_asking(entry, ret_waiters);
    list_value_unref(entry->next);
    entry->next = NULL;
    cache->failures++;
    older = stale_value(cache, entry, now_ms);
    if (entry->key.kind == LIST_READ && !older) { /* an error to its reader, and nothing to remember */
        entry_remove(cache, entry);
        return NULL;
    }
    entry->failed = true;
    entry->retry_ms = now_ms + LIST_RETRY_MS;
    evict(cache);
    return older;
}

struct list_value *
list_cache_late(struct list_cache *cache, struct list_entry *entry, uint64_t now_ms,
                struct list_node *ret_waiters)
{
    ASSERT(entry->asking);
    list_take(ret_waiters, &entry->waiters);
    list_init(&entry->waiters);
    entry->late = true;
    return stale_value(cache, entry, now_ms);
}
