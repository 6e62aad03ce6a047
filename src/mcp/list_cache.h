/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a worker remembers of lists (and, if asked to, of resources that were read): upstreams' pages as they
 * came, and finished merged lists. Pure: the caller brings the time, asks the upstreams and wakes who waits.
 * One thread only. It aborts when the system has no memory; what it holds is bounded.
 *
 *     list_cache_get()
 *       LIST_READY   the value is fresh
 *       LIST_ASK     you are the first: ask, then list_cache_page() until it says MERGE_WHOLE,
 * list_cache_done() (or list_cache_merge(), list_cache_body()); or list_cache_fail() LIST_WAIT    somebody is
 * asking: your node is queued, and comes out of the asker's done() or fail() LIST_STALE   its upstream failed
 * a moment ago, or is late; the value is an older one, still good enough LIST_FAILED  the same, and there is
 * no older one
 *
 * A merged list is two steps of that: a value of LIST_MERGED, whose asker gets one of each upstream.
 *
 * A value lives by the ttlMs that its upstream gave, however long its readers hold it. list_changed and
 * updated end it at once: list_cache_purge() before the notification is passed on. What is being asked for
 * meanwhile is given to those who wait for it, and not kept.
 */
#ifndef MCP_LIST_CACHE_H
#define MCP_LIST_CACHE_H

#include "base/buf.h"
#include "base/list.h"
#include "base/pool.h"
#include "mcp/merge_list.h"

enum {
    LIST_MERGED = 0xffff,    /* as the upstream of a key: all of them */
    LIST_READ = MERGE_KINDS, /* as the kind: a resource that was read; `param` is its uri */
    LIST_DISCOVER,           /* what a server says of itself */
    LIST_KINDS,
    LIST_RETRY_MS = 2000,       /* how long a failure, and a list without all its upstreams, is kept */
    LIST_STALE_MS = 600 * 1000, /* how long a list may be used beyond its ttl while its upstream fails */
    LIST_TTL_MAX_MS = 24 * 3600 * 1000,
    LIST_MERGED_BYTES_MAX = 64 << 20, /* of a merged list */
};

struct list_key {
    uint16_t upstream;
    uint8_t kind;                             /* enum merge_kind, or one of the above */
    uint8_t revision;                         /* of the client, as far as it changes the bytes */
    uint32_t caps;                            /* the client's capability bits, likewise */
    uint8_t principal[MERGE_PRINCIPAL_BYTES]; /* who asks, hashed; zero: nobody known. What turns out to be
                                                 public is found by all */
    struct text param;                        /* often empty; copied */
};

/* What was answered. Immutable; counted: whoever gets one gives it back with list_value_unref(). */
struct list_value {
    uint32_t refs; /* private, and the next three */
    struct list_cache *cache;
    uint64_t bytes, generation;
    struct merge_page *pages; /* an upstream's list; only the entries are held */
    uint32_t pages_count;
    struct merge_list list; /* a merged list; its text is all of `buf` */
    struct buf *buf;        /* that, or a body: send spans of it, each with a reference of its own */
    uint64_t expires_ms;    /* 0: it was not to be kept */
    bool is_private;
    bool is_partial; /* merged: an upstream is missing, or its part is stale */
};

struct list_entry; /* what is asked for; the asker's from LIST_ASK until done() or fail() */

enum list_state { LIST_READY, LIST_ASK, LIST_WAIT, LIST_STALE, LIST_FAILED };

struct list_cache {
    uint64_t max_bytes;
    uint64_t bytes; /* of all that is held, and of values that only readers hold */
    uint32_t entries;
    /* ever; a refusal: a value too large to be kept */
    uint64_t hits, misses, waits, stales, failures, evictions, purges, refusals;
    /* private */
    uint64_t seed;
    struct buf_home home;
    struct pool pool;
    struct list_node *buckets;
    struct list_node recent;
    uint32_t buckets_count, upstreams;
    uint32_t *generations;
    uint64_t merged_generations[LIST_KINDS], partial_generations[LIST_KINDS];
};

/* `upstreams`: their indexes are below it. `seed` is random: param comes from clients. */
void list_cache_init(struct list_cache *cache, uint32_t upstreams, uint64_t max_bytes, uint64_t seed);
/* Asserts that nobody asks, waits or reads. */
void list_cache_free(struct list_cache *cache);

/* Looks up. READY, STALE: *ret_value. ASK, WAIT: *ret_entry; on WAIT, `waiter` is queued (NULL: is not). To
 * stop waiting, list_del() it. What is not set is NULL. */
enum list_state list_cache_get(struct list_cache *cache, const struct list_key *key, uint64_t now_ms,
                               struct list_node *waiter, struct list_entry **ret_entry,
                               struct list_value **ret_value);

/* Queues a waiter of an entry that is being asked for, the asker's own too. */
void list_entry_wait(struct list_entry *entry, struct list_node *waiter);

/* --- by the asker --- */

/* Takes a page's raw result; what is kept is copied. MERGE_MORE: *ret_cursor, within `result`, is the raw
 * cursor to ask with next. *ret_ok false: it is no such list; end with fail(), or with done() if what came
 * before is to be used. */
enum merge_step list_cache_page(struct list_cache *cache, struct list_entry *entry, struct text result,
                                bool *ret_ok, struct text *ret_cursor);

/* Ends asking with the pages that were taken. `policy_ttl_ms` is the ttl of upstreams that say none. The
 * nodes that wait are moved to *ret_waiters, a head that need not be initialised. Returns the value, for the
 * asker and, by list_value_ref(), for each waiter. The entry is not the asker's any more. */
struct list_value *list_cache_done(struct list_cache *cache, struct list_entry *entry, uint64_t now_ms,
                                   uint64_t policy_ttl_ms, struct list_node *ret_waiters);

/* What an upstream gives to a merged list. */
struct list_part {
    uint16_t upstream;
    bool is_stale;                     /* LIST_STALE */
    bool is_http;                      /* as in struct merge_source */
    const struct merge_filter *filter; /* or NULL */
    const struct list_value *value;    /* NULL: none in time */
};

/* The same with a merged list, of parts in the order of the configuration. Of `build`, names, kind, adapt,
 * dropped and context are set; it says afterwards what was dropped. Without some upstream, or
 * with a stale one, the value is partial and kept for LIST_RETRY_MS at most. Nothing of parts is taken. */
struct list_value *list_cache_merge(struct list_cache *cache, struct list_entry *entry,
                                    struct merge_build *build, const struct list_part *parts, unsigned count,
                                    uint64_t now_ms, struct list_node *ret_waiters);

/* The same with any bytes, which are copied. */
struct list_value *list_cache_body(struct list_cache *cache, struct list_entry *entry, struct text body,
                                   uint64_t ttl_ms, bool is_private, uint64_t now_ms,
                                   struct list_node *ret_waiters);

/* Ends asking in vain. Returns the older value, if there is one that will do, or NULL. */
struct list_value *list_cache_fail(struct list_cache *cache, struct list_entry *entry, uint64_t now_ms,
                                   struct list_node *ret_waiters);

/* It takes longer than anybody should wait: who asks from now on is not queued, but gets STALE or FAILED, and
 * those who wait come out as with fail(). The entry stays the asker's, until done() or fail(). */
struct list_value *list_cache_late(struct list_cache *cache, struct list_entry *entry, uint64_t now_ms,
                                   struct list_node *ret_waiters);

/* --- by anybody --- */

struct list_value *list_value_ref(struct list_value *value);
void list_value_unref(struct list_value *value); /* NULL is allowed */

/* What a client may still be told as ttlMs. */
uint64_t list_value_ttl_ms(const struct list_value *value, uint64_t now_ms);

/* An upstream's list has changed, and with it every merged one of the kind. Costs the same however much is
 * held. For LIST_READ: the resource `param`, or with an empty one all of them. */
void list_cache_purge(struct list_cache *cache, uint16_t upstream, uint8_t kind, struct text param);

#endif
