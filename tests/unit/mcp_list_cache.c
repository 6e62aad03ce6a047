/* SPDX-License-Identifier: Apache-2.0 */
#include "mcp/list_gather.h"
#include "merge_helper.h"

#include <stdio.h>

static struct list_cache cache;
static struct list_entry *entry;
static struct list_value *value;
static struct list_node waiting;

static void
set_up(void)
{
    merge_set_up();
    list_cache_init(&cache, 3, 1 << 20, 42);
}

/* Every test gives back what it got: free() asserts that nothing is left. */
static void
tear_down(void)
{
    list_cache_free(&cache);
}

TestSuite(list_cache, .init = set_up, .fini = tear_down);
TestSuite(list_gather, .init = set_up, .fini = tear_down);

#define PUBLIC(ttl)  "{\"tools\":[{\"name\":\"t\"}],\"cacheScope\":\"public\",\"ttlMs\":" ttl "}"
#define PRIVATE(ttl) "{\"tools\":[{\"name\":\"t\"}],\"cacheScope\":\"private\",\"ttlMs\":" ttl "}"
#define SILENT       "{\"tools\":[{\"name\":\"t\"}]}"

static struct list_key
key_of(uint16_t upstream, uint8_t principal)
{
    return (struct list_key){.upstream = upstream, .kind = MERGE_TOOLS, .principal = {principal}};
}

static enum list_state
get(const struct list_key *key, uint64_t now_ms)
{
    return list_cache_get(&cache, key, now_ms, NULL, &entry, &value);
}

/* Looks up and gives back what was found. */
static enum list_state
look(const struct list_key *key, uint64_t now_ms)
{
    enum list_state state = get(key, now_ms);

    list_value_unref(value);
    if (state == LIST_ASK)
        list_value_unref(list_cache_fail(&cache, entry, now_ms, &waiting));
    return state;
}

/* Asks and gets this result; the value is kept only in the cache. */
static void
ask(const struct list_key *key, const char *result, uint64_t now_ms)
{
    struct text cursor;
    bool ok;

    cr_assert_eq(get(key, now_ms), LIST_ASK);
    cr_assert_eq(list_cache_page(&cache, entry, text_of(result), &ok, &cursor), MERGE_WHOLE);
    cr_assert(ok);
    list_value_unref(list_cache_done(&cache, entry, now_ms, 0, &waiting));
    cr_assert(list_empty(&waiting));
}

Test(list_cache, gives_a_list_until_its_ttl_ends)
{
    struct list_key key = key_of(0, 0);

    ask(&key, PUBLIC("1000"), 5000);
    cr_assert_eq(get(&key, 5999), LIST_READY);
    cr_assert_eq(value->pages_count, 1);
    merge_expect(value->pages[0].entries, "[{\"name\":\"t\"}]");
    cr_assert_eq(list_value_ttl_ms(value, 5999), 1);
    list_value_unref(value);
    cr_assert_eq(look(&key, 6000), LIST_ASK);
    cr_assert_eq(cache.hits, 1);
    cr_assert_eq(cache.misses, 2);
}

Test(list_cache, keeps_what_differs_apart)
{
    struct list_key key = key_of(0, 0), other;

    ask(&key, PUBLIC("1000"), 0);
    for (unsigned i = 0; i < 5; i++) {
        other = key;
        if (i == 0)
            other.upstream = 1;
        else if (i == 1)
            other.kind = MERGE_PROMPTS;
        else if (i == 2)
            other.revision = MCP_2026_07_28;
        else if (i == 3)
            other.caps = 1;
        else
            other.param = TEXT("a:b");
        cr_assert_eq(look(&other, 0), LIST_ASK, "%u", i);
    }
    cr_assert_eq(look(&key, 0), LIST_READY);
}

Test(list_cache, shares_what_is_public_and_nothing_else)
{
    struct list_key a = key_of(0, 1), b = key_of(0, 2), nobody = key_of(0, 0);
    struct list_key c = key_of(1, 1), d = key_of(1, 2), none = key_of(1, 0);

    ask(&a, PUBLIC("1000"), 0);
    cr_assert_eq(look(&a, 0), LIST_READY);
    cr_assert_eq(look(&b, 0), LIST_READY);
    cr_assert_eq(look(&nobody, 0), LIST_READY);
    ask(&c, PRIVATE("1000"), 0);
    cr_assert_eq(look(&c, 0), LIST_READY);
    cr_assert_eq(look(&d, 0), LIST_ASK);
    ask(&none, PRIVATE("1000"), 0);
    cr_assert_eq(look(&none, 0), LIST_READY);
    cr_assert_eq(look(&c, 0), LIST_READY);
    cr_assert_eq(look(&d, 1), LIST_FAILED);
}

Test(list_cache, goes_by_the_policy_when_the_upstream_says_no_ttl)
{
    struct list_key key = key_of(0, 0);
    struct text cursor;
    bool ok;

    cr_assert_eq(get(&key, 0), LIST_ASK);
    list_cache_page(&cache, entry, TEXT(SILENT), &ok, &cursor);
    value = list_cache_done(&cache, entry, 0, 700, &waiting);
    cr_assert_eq(list_value_ttl_ms(value, 0), 700);
    cr_assert(value->is_private);
    list_value_unref(value);
    key = key_of(1, 0);
    cr_assert_eq(get(&key, 0), LIST_ASK);
    list_cache_page(&cache, entry, TEXT(PUBLIC("99999999999")), &ok, &cursor);
    value = list_cache_done(&cache, entry, 0, 700, &waiting);
    cr_assert_eq(list_value_ttl_ms(value, 0), LIST_TTL_MAX_MS);
    list_value_unref(value);
}

Test(list_cache, asks_once_for_all_who_wait)
{
    struct list_key key = key_of(0, 0);
    struct list_node nodes[3] = {0};
    struct list_entry *asked;
    struct text cursor;
    bool ok;

    cr_assert_eq(get(&key, 0), LIST_ASK);
    asked = entry;
    for (unsigned i = 0; i < 3; i++) {
        cr_assert_eq(list_cache_get(&cache, &key, 0, &nodes[i], &entry, &value), LIST_WAIT);
        cr_assert_eq(entry, asked);
    }
    list_del(&nodes[1]); /* does not want it any more */
    list_cache_page(&cache, asked, TEXT(PUBLIC("0")), &ok, &cursor);
    value = list_cache_done(&cache, asked, 0, 0, &waiting);
    cr_assert_eq(list_pop(&waiting), &nodes[0]);
    cr_assert_eq(list_pop(&waiting), &nodes[2]);
    cr_assert(list_empty(&waiting));
    list_value_unref(value);
    cr_assert_eq(cache.waits, 3);
    cr_assert_eq(look(&key, 0), LIST_ASK); /* ttl 0: the next one asks again */
}

Test(list_cache, takes_pages_until_there_is_no_cursor)
{
    struct list_key key = key_of(0, 0);
    struct text cursor;
    bool ok;

    cr_assert_eq(get(&key, 0), LIST_ASK);
    cr_assert_eq(list_cache_page(&cache, entry, TEXT("{\"tools\":[1],\"nextCursor\":\"c\",\"ttlMs\":50}"),
                                 &ok, &cursor),
                 MERGE_MORE);
    merge_expect(cursor, "\"c\"");
    cr_assert_eq(list_cache_page(&cache, entry, TEXT("{\"tools\":[2],\"ttlMs\":20}"), &ok, &cursor),
                 MERGE_WHOLE);
    value = list_cache_done(&cache, entry, 0, 0, &waiting);
    cr_assert_eq(value->pages_count, 2);
    cr_assert_eq(list_value_ttl_ms(value, 0), 20);
    list_value_unref(value);
}

Test(list_cache, refuses_a_page_that_is_no_list_and_can_do_with_what_came_before)
{
    struct list_key key = key_of(0, 0);
    struct text cursor;
    bool ok;

    cr_assert_eq(get(&key, 0), LIST_ASK);
    list_cache_page(&cache, entry, TEXT("{\"tools\":[1],\"nextCursor\":\"c\"}"), &ok, &cursor);
    cr_assert(ok);
    list_cache_page(&cache, entry, TEXT("{\"prompts\":[]}"), &ok, &cursor);
    cr_assert(!ok);
    value = list_cache_done(&cache, entry, 0, 0, &waiting);
    cr_assert_eq(value->pages_count, 1);
    list_value_unref(value);
}

Test(list_cache, uses_an_older_list_while_its_upstream_fails)
{
    struct list_key key = key_of(0, 0);
    uint64_t late_ms = 1000 + LIST_STALE_MS - 1;

    ask(&key, PUBLIC("1000"), 0);
    cr_assert_eq(get(&key, 1000), LIST_ASK);
    value = list_cache_fail(&cache, entry, 1000, &waiting);
    cr_assert_not_null(value);
    list_value_unref(value);
    cr_assert_eq(look(&key, 1000 + LIST_RETRY_MS - 1), LIST_STALE);
    cr_assert_eq(get(&key, late_ms), LIST_ASK);
    list_value_unref(list_cache_fail(&cache, entry, late_ms, &waiting));
    cr_assert_eq(look(&key, late_ms), LIST_STALE);
    cr_assert_eq(look(&key, late_ms + 1), LIST_FAILED); /* it was good for LIST_STALE_MS */
    cr_assert_eq(look(&key, late_ms + LIST_RETRY_MS), LIST_ASK);
    cr_assert_eq(cache.stales, 2);
}

Test(list_cache, remembers_a_failure_for_a_moment)
{
    struct list_key key = key_of(0, 0), read = {.upstream = 0, .kind = LIST_READ, .param = TEXT("a:b")};

    cr_assert_eq(look(&key, 0), LIST_ASK);
    cr_assert_eq(look(&key, LIST_RETRY_MS - 1), LIST_FAILED);
    cr_assert_eq(look(&key, LIST_RETRY_MS), LIST_ASK);
    cr_assert_eq(look(&read, 0), LIST_ASK);
    cr_assert_eq(look(&read, 0), LIST_ASK); /* but not that of a resource: its reader has the error */
}

Test(list_cache, lets_nobody_wait_for_who_is_late)
{
    struct list_key key = key_of(0, 0);
    struct list_node node = {0};
    struct list_entry *asked;
    struct text cursor;
    bool ok;

    cr_assert_eq(get(&key, 0), LIST_ASK);
    asked = entry;
    list_cache_get(&cache, &key, 0, &node, &entry, &value);
    cr_assert_null(list_cache_late(&cache, asked, 100, &waiting));
    cr_assert_eq(list_pop(&waiting), &node);
    cr_assert_eq(look(&key, 100), LIST_FAILED);
    cr_assert_eq(look(&key, 100 + LIST_RETRY_MS), LIST_FAILED); /* it is still being asked */
    list_cache_page(&cache, asked, TEXT(PUBLIC("1000")), &ok, &cursor);
    list_value_unref(list_cache_done(&cache, asked, 200, 0, &waiting));
    cr_assert_eq(look(&key, 200), LIST_READY);
}

Test(list_cache, forgets_at_once_what_has_changed)
{
    struct list_key key = key_of(0, 0), other = key_of(1, 0);

    ask(&key, PUBLIC("1000"), 0);
    ask(&other, PUBLIC("1000"), 0);
    list_cache_purge(&cache, 0, MERGE_PROMPTS, (struct text){NULL, 0});
    cr_assert_eq(look(&key, 1), LIST_READY);
    list_cache_purge(&cache, 0, MERGE_TOOLS, (struct text){NULL, 0});
    cr_assert_eq(look(&other, 1), LIST_READY);
    cr_assert_eq(look(&key, 1), LIST_ASK);
    cr_assert_eq(look(&key, 2), LIST_FAILED); /* nor is it good enough as an older one */
}

Test(list_cache, does_not_keep_what_changed_while_it_was_asked_for)
{
    struct list_key key = key_of(0, 0);
    struct text cursor;
    bool ok;

    cr_assert_eq(get(&key, 0), LIST_ASK);
    list_cache_purge(&cache, 0, MERGE_TOOLS, (struct text){NULL, 0});
    list_cache_page(&cache, entry, TEXT(PUBLIC("1000")), &ok, &cursor);
    value = list_cache_done(&cache, entry, 0, 0, &waiting);
    cr_assert_eq(value->pages_count, 1);
    cr_assert_eq(list_value_ttl_ms(value, 0), 0);
    list_value_unref(value);
    cr_assert_eq(look(&key, 1), LIST_ASK);
}

/* ---- merged lists ---- */

static struct list_value *
raw_value(uint16_t upstream, const char *result, uint64_t now_ms)
{
    struct list_key key = key_of(upstream, 0);

    ask(&key, result, now_ms);
    cr_assert_eq(get(&key, now_ms), LIST_READY);
    return value;
}

static struct list_value *
merge_parts(struct list_part *parts, unsigned count, uint64_t now_ms)
{
    struct list_key key = key_of(LIST_MERGED, 0);
    struct merge_build build = {.names = &merged_three, .kind = MERGE_TOOLS};
    struct list_entry *asked;

    cr_assert_eq(list_cache_get(&cache, &key, now_ms, NULL, &asked, &value), LIST_ASK);
    return list_cache_merge(&cache, asked, &build, parts, count, now_ms, &waiting);
}

Test(list_cache, holds_a_merged_list_as_long_as_the_first_of_its_parts)
{
    struct list_value *a = raw_value(0, PUBLIC("1000"), 0), *b = raw_value(2, PRIVATE("500"), 0), *merged;
    struct list_part parts[] = {{.upstream = 0, .value = a}, {.upstream = 2, .value = b}};
    struct list_key key = key_of(LIST_MERGED, 0);
    struct buf *buf;

    merged = merge_parts(parts, 2, 100);
    merge_expect(merged->list.text, "{\"name\":\"fs__t\"},{\"name\":\"a_b__t\"}]}}");
    cr_assert_eq(merged->list.entries, 2);
    cr_assert(!merged->is_partial);
    cr_assert(merged->is_private);
    cr_assert_eq(list_value_ttl_ms(merged, 100), 400);
    cr_assert_eq(look(&key, 499), LIST_READY);
    list_cache_purge(&cache, 2, MERGE_TOOLS, (struct text){NULL, 0});
    cr_assert_eq(look(&key, 499), LIST_ASK);
    buf = buf_ref(merged->buf); /* a slow reader's */
    list_value_unref(merged);
    list_value_unref(a);
    list_value_unref(b);
    cr_assert_eq(buf->data[0], '{');
    buf_unref(buf);
}

Test(list_cache, keeps_a_list_without_some_upstream_for_a_moment_only)
{
    struct list_value *a = raw_value(0, PUBLIC("100000"), 0), *merged;
    struct list_part parts[] = {{.upstream = 0, .value = a}, {.upstream = 1}};
    struct list_key key = key_of(LIST_MERGED, 0), slow = key_of(1, 0);

    merged = merge_parts(parts, 2, 0);
    cr_assert(merged->is_partial);
    cr_assert_eq(list_value_ttl_ms(merged, 0), LIST_RETRY_MS);
    list_value_unref(merged);
    cr_assert_eq(look(&key, 1), LIST_READY);
    ask(&slow, PUBLIC("1000"), 2); /* here it comes */
    cr_assert_eq(look(&key, 3), LIST_ASK);
    parts[1] = (struct list_part){.upstream = 1, .value = a, .is_stale = true};
    merged = merge_parts(parts, 2, 3 + LIST_RETRY_MS);
    cr_assert(merged->is_partial);
    list_value_unref(merged);
    list_value_unref(a);
}

Test(list_cache, makes_an_empty_list_of_no_upstreams)
{
    struct list_value *merged = merge_parts(NULL, 0, 0);

    merge_expect(merged->list.text, "]}}");
    cr_assert_eq(list_value_ttl_ms(merged, 0), LIST_RETRY_MS);
    list_value_unref(merged);
}

/* ---- gathering ---- */

static struct list_slot slots[3];
static struct list_gather gather;
static struct list_node ready;

static void
begin(uint64_t now_ms)
{
    struct list_key merged = key_of(LIST_MERGED, 0), raw = key_of(0, 0);
    struct list_entry *asked;

    cr_assert_eq(list_cache_get(&cache, &merged, now_ms, NULL, &asked, &value), LIST_ASK);
    for (uint16_t i = 0; i < 3; i++)
        slots[i] = (struct list_slot){.part = {.upstream = i}};
    list_gather_begin(&gather, &cache, asked, &raw, slots, 3, now_ms);
    list_init(&ready);
}

static void
answer(struct list_entry *asked, uint64_t now_ms)
{
    struct text cursor;
    bool ok;

    list_cache_page(&cache, asked, TEXT(PUBLIC("9000")), &ok, &cursor);
    value = list_cache_done(&cache, asked, now_ms, 0, &waiting);
    list_slots_give(&waiting, value, false, &ready);
    list_value_unref(value);
}

/* Finishes the gather and gives the text of its list back. */
static void
expect_finished(const char *want, bool is_partial, uint64_t now_ms)
{
    struct merge_build build = {.names = &merged_three, .kind = MERGE_TOOLS};
    struct list_value *merged = list_gather_finish(&gather, &build, now_ms, &waiting);

    merge_expect(merged->list.text, want);
    cr_assert_eq(merged->is_partial, is_partial);
    list_value_unref(merged);
}

Test(list_gather, is_complete_when_the_last_upstream_has_answered)
{
    struct list_key first = key_of(0, 0);

    ask(&first, PUBLIC("9000"), 0);
    begin(0);
    cr_assert_eq(gather.pending, 2);
    cr_assert_null(slots[0].ask);
    answer(slots[2].ask, 0);
    cr_assert(list_empty(&ready));
    answer(slots[1].ask, 0);
    cr_assert_eq(list_pop(&ready), &gather.ready);
    expect_finished("{\"name\":\"fs__t\"},{\"name\":\"db-1__t\"},{\"name\":\"a_b__t\"}]}}", false, 0);
    begin(9000);
    cr_assert_eq(gather.pending, 3); /* all are too old */
    for (unsigned i = 0; i < 3; i++)
        answer(slots[i].ask, 9000);
    expect_finished("{\"name\":\"fs__t\"},{\"name\":\"db-1__t\"},{\"name\":\"a_b__t\"}]}}", false, 9000);
}

Test(list_gather, goes_without_the_late_and_the_failed)
{
    struct list_entry *late;

    begin(0);
    late = slots[1].ask;
    answer(slots[0].ask, 0);
    cr_assert_null(list_cache_fail(&cache, slots[2].ask, 0, &waiting));
    list_slots_give(&waiting, NULL, false, &ready);
    cr_assert(list_empty(&ready));
    list_gather_late(&gather, 5000, &ready);
    cr_assert_eq(list_pop(&ready), &gather.ready);
    expect_finished("{\"name\":\"fs__t\"}]}}", true, 5000);
    begin(5000 + LIST_RETRY_MS);
    cr_assert_eq(gather.pending, 1); /* the failed one is asked again; nobody waits for the late one */
    cr_assert_not_null(slots[2].ask);
    cr_assert_null(slots[1].ask);
    answer(slots[2].ask, 7000);
    cr_assert_eq(list_pop(&ready), &gather.ready);
    expect_finished("{\"name\":\"fs__t\"},{\"name\":\"a_b__t\"}]}}", true, 7000);
    answer(late, 7500);
    cr_assert(list_empty(&ready));
    begin(7500);
    cr_assert_eq(gather.pending, 0);
    expect_finished("{\"name\":\"fs__t\"},{\"name\":\"db-1__t\"},{\"name\":\"a_b__t\"}]}}", false, 7500);
}

/* ---- resources ---- */

static void
read_body(const char *uri, uint64_t ttl_ms)
{
    struct list_key key = {.upstream = 1, .kind = LIST_READ, .param = text_of(uri)};

    cr_assert_eq(get(&key, 0), LIST_ASK);
    value = list_cache_body(&cache, entry, text_of(uri), ttl_ms, false, 0, &waiting);
    cr_assert(text_eq((struct text){(const char *)value->buf->data, value->buf->size}, text_of(uri)));
    list_value_unref(value);
}

Test(list_cache, forgets_the_resource_that_was_updated)
{
    struct list_key a = {.upstream = 1, .kind = LIST_READ, .param = TEXT("a:1")}, b = a;
    char uri[16];
    unsigned left = 0;

    read_body("a:1", 1000);
    cr_assert_eq(look(&a, 0), LIST_READY);
    list_cache_purge(&cache, 1, LIST_READ, TEXT("a:1"));
    cr_assert_eq(look(&a, 0), LIST_ASK);
    for (unsigned i = 0; i < 64; i++) {
        snprintf(uri, sizeof uri, "b:%u", i);
        read_body(uri, 1000);
    }
    list_cache_purge(&cache, 1, LIST_READ, TEXT("b:0"));
    for (unsigned i = 0; i < 64; i++) {
        snprintf(uri, sizeof uri, "b:%u", i);
        b.param = text_of(uri);
        left += look(&b, 0) == LIST_READY;
    }
    cr_assert_geq(left, 48); /* a few share its generation */
    cr_assert_leq(left, 63);
    list_cache_purge(&cache, 1, LIST_READ, (struct text){NULL, 0});
    for (unsigned i = 0; i < 64; i++) {
        snprintf(uri, sizeof uri, "b:%u", i);
        b.param = text_of(uri);
        cr_assert_eq(look(&b, 0), LIST_ASK);
    }
}

Test(list_cache, keeps_no_resource_without_a_ttl)
{
    struct list_key key = {.upstream = 1, .kind = LIST_READ, .param = TEXT("a:1")};

    read_body("a:1", 0);
    cr_assert_eq(cache.entries, 0);
    cr_assert_eq(look(&key, 0), LIST_ASK);
}

/* ---- bounds ---- */

Test(list_cache, stays_below_its_size_and_drops_what_was_not_used)
{
    static char uri[1000];
    struct list_key key = {.upstream = 1, .kind = LIST_READ, .param = {uri, sizeof uri}};

    memset(uri, 'x', sizeof uri);
    for (unsigned i = 0; i < 5000; i++) {
        snprintf(uri, 8, "%07u", i);
        uri[7] = 'x';
        cr_assert_eq(get(&key, 0), LIST_ASK);
        list_value_unref(list_cache_body(&cache, entry, key.param, 1000, false, 0, &waiting));
        cr_assert_leq(cache.bytes, cache.max_bytes);
        if (i == 0)
            continue;
        snprintf(uri, 8, "%07u", 0);
        uri[7] = 'x';
        cr_assert_eq(look(&key, 0), LIST_READY, "%u", i); /* used all the time */
    }
    cr_assert_gt(cache.evictions, 3000);
    snprintf(uri, 8, "%07u", 1);
    uri[7] = 'x';
    cr_assert_eq(look(&key, 0), LIST_ASK);
}

Test(list_cache, keeps_nothing_that_takes_half_of_it)
{
    static char body[600 << 10];
    struct list_key key = {.upstream = 1, .kind = LIST_READ, .param = TEXT("a:1")};

    cr_assert_eq(get(&key, 0), LIST_ASK);
    value = list_cache_body(&cache, entry, (struct text){body, sizeof body}, 1000, false, 0, &waiting);
    cr_assert_eq(cache.refusals, 1);
    cr_assert_eq(cache.entries, 0);
    list_value_unref(value);
    cr_assert_eq(cache.bytes, 0);
}
