/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whatever upstreams answer, the merged list is one that jansson reads, with each entry under its upstream's
 * name, in order and without repetition; pages of any size put together are the same list; every name and URI
 * in it leads back to where it came from. Whatever a result holds, its edits keep it JSON, and a URI that
 * went out comes back the same.
 *
 * Input: a byte of flags (kind, plain), then results separated by zero bytes, of one upstream each.
 */
#include "base/check.h"
#include "mcp/list_cache.h"
#include "mcp/merge_map.h"

#include <jansson.h>
#include <stdlib.h>

enum { UPSTREAMS = 3, EDITS = 64, ROOM = 4 << 20 };

static struct merge_name name_texts[UPSTREAMS];
static const uint8_t key_bytes[SEAL_KEY_BYTES] = {1}, nobody[MERGE_PRINCIPAL_BYTES];
static const struct seal_key seal_key = {7, key_bytes};
static struct seal_keys keys;
static char *room;

static void
start(void)
{
    static const char *const names[UPSTREAMS] = {"fs", "db-1", "a_b"};

    if (room)
        return;
    for (unsigned i = 0; i < UPSTREAMS; i++)
        merge_name_init(&name_texts[i], text_of(names[i]));
    seal_keys_init(&keys, &seal_key, 1, 0);
    room = malloc(ROOM);
    ASSERT(room);
}

/* jansson's limits are not ours: numbers that do not fit, NUL in keys. */
static json_t *
load(struct text text)
{
    json_error_t error;
    json_t *root = json_loadb(text.at, text.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);

    ASSERT(root || json_error_code(&error) == json_error_numeric_overflow ||
           json_error_code(&error) == json_error_null_byte_in_key);
    return root;
}

static void
check_result(const struct merge_names *names, unsigned upstream, struct text result)
{
    static const enum mcp_method methods[] = {MCP_TOOLS_CALL, MCP_PROMPTS_GET, MCP_RESOURCES_READ};
    struct jsonrpc_edit edits[EDITS];

    for (unsigned i = 0; i < sizeof methods / sizeof *methods; i++) {
        struct merge_edits out = {edits, 0, EDITS, false};
        uint32_t n;

        merge_map_result(names, upstream, methods[i], result, &out);
        merge_map_error(names, upstream, result, &(struct merge_edits){edits, 0, 0, false});
        ASSERT(!names->plain || !out.count);
        n = jsonrpc_edit_write(result, edits, out.count, room, ROOM);
        ASSERT(n && json_check((struct text){room, n}, JSON_SCAN_STRICT) == JSON_FINE);
    }
}

/* A raw URI or name goes out and comes back. */
static void
check_way_back(const struct merge_names *names, unsigned upstream, struct text raw, bool is_uri)
{
    struct jsonrpc_edit edit;
    char *seen;
    uint32_t n;

    if (!(is_uri ? merge_uri_down(names, upstream, raw, &edit)
                 : merge_name_down(names, upstream, raw, &edit)))
        return;
    n = jsonrpc_edited_size(raw, &edit, 1);
    seen = malloc(n);
    ASSERT(jsonrpc_edit_write(raw, &edit, 1, seen, n) == n);
    raw = (struct text){seen, n};
    ASSERT((is_uri ? merge_uri_up(names, raw, &edit) : merge_name_up(names, raw, &edit)) == (int)upstream);
    ASSERT(jsonrpc_edited_size(raw, &edit, 1) < n);
    free(seen);
}

/* Whose an entry of the merged list is. */
static unsigned
owner_of(const struct merge_names *names, enum merge_kind kind, struct text entry)
{
    bool is_uri = kind == MERGE_RESOURCES || kind == MERGE_TEMPLATES;
    struct text raw = json_find(entry, kind == MERGE_TEMPLATES   ? TEXT("uriTemplate")
                                       : kind == MERGE_RESOURCES ? TEXT("uri")
                                                                 : TEXT("name"));
    struct jsonrpc_edit edit;
    int upstream = is_uri ? merge_uri_up(names, raw, &edit) : merge_name_up(names, raw, &edit);

    ASSERT(upstream >= 0);
    return (unsigned)upstream;
}

static void
check_list(const struct merge_names *names, const struct merge_list *list)
{
    struct text rest, entry;
    unsigned last = 0, n = 0;

    room[0] = '[';
    memcpy(room + 1, list->text.at, list->text.len - 2); /* with its "]" */
    rest = (struct text){room, list->text.len - 1};
    json_decref(load(rest));
    while (json_next_element(&rest, &entry)) {
        unsigned owner = owner_of(names, list->kind, entry);

        ASSERT(owner >= last);
        ASSERT((uint32_t)(entry.at - room) == list->marks[n].begin + 1);
        last = owner;
        n++;
    }
    ASSERT(n == list->entries);
}

static void
check_pages(const struct merge_list *list, uint32_t page)
{
    struct merge_cursor cursor, *at = NULL;
    struct text next;
    uint32_t seen = 0;

    do {
        struct json_writer w = {.at = room, .size = ROOM};
        struct merge_reply reply = {.id = TEXT("1"), .revision = MCP_2026_07_28};
        struct merge_slice slice;
        json_t *root;

        ASSERT(merge_slice(list, at, page, &slice) && slice.first == seen);
        ASSERT(merge_reply_head(&w, &reply, list, &slice, &keys));
        json_put(&w, slice.list);
        json_put(&w, slice.tail);
        ASSERT(!w.full);
        seen += slice.count;
        root = load(json_written(&w));
        json_decref(root);
        next = json_find(json_find(json_written(&w), TEXT("result")), TEXT("nextCursor"));
        at = &cursor;
    } while (next.len && merge_cursor_open(next, &keys, (uint8_t)list->kind, nobody, &cursor));
    ASSERT(!next.len && seen == list->entries);
}

static void
check_entries(const struct merge_names *names, unsigned upstream, const struct list_value *value)
{
    struct text rest, entry;

    rest = value->pages_count ? value->pages[0].entries : (struct text){NULL, 0};
    while (rest.len && json_next_element(&rest, &entry)) {
        check_way_back(names, upstream, json_find(entry, TEXT("name")), false);
        check_way_back(names, upstream, json_find(entry, TEXT("uri")), true);
    }
}

/* One upstream's answer, through the cache. */
static struct list_value *
answer(struct list_cache *cache, enum merge_kind kind, uint16_t upstream, struct text result)
{
    struct list_key key = {.upstream = upstream, .kind = (uint8_t)kind};
    struct list_entry *entry;
    struct list_value *value;
    struct list_node waiters;
    struct text cursor;
    bool ok;

    ASSERT(list_cache_get(cache, &key, 0, NULL, &entry, &value) == LIST_ASK);
    list_cache_page(cache, entry, result, &ok, &cursor);
    return ok ? list_cache_done(cache, entry, 0, 1, &waiters) : list_cache_fail(cache, entry, 0, &waiters);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct merge_names names = {name_texts, UPSTREAMS, false};
    struct list_part parts[UPSTREAMS] = {0};
    struct list_key key = {.upstream = LIST_MERGED};
    struct merge_build build = {.names = &names};
    struct list_value *merged;
    struct list_cache cache;
    struct list_entry *entry;
    struct list_node waiters;
    const char *at = (const char *)data + 1, *end = (const char *)data + size;

    start();
    if (size < 2 || size > 1 << 15)
        return 0;
    build.kind = data[0] & 3;
    key.kind = (uint8_t)build.kind;
    if (data[0] & 4)
        names = (struct merge_names){name_texts, 1, true};
    list_cache_init(&cache, UPSTREAMS, 8 << 20, 1);
    for (unsigned i = 0; i < names.count; i++) {
        const char *stop = at < end ? memchr(at, 0, (size_t)(end - at)) : NULL;
        struct text result = {at, (uint32_t)((stop ? stop : end) - at)};
        struct list_value *value = answer(&cache, build.kind, (uint16_t)i, result);

        if (value) {
            check_result(&names, i, result);
            check_entries(&names, i, value);
        }
        parts[i] = (struct list_part){.upstream = (uint16_t)i, .value = value};
        at = stop ? stop + 1 : end;
    }
    ASSERT(list_cache_get(&cache, &key, 0, NULL, &entry, &merged) == LIST_ASK);
    merged = list_cache_merge(&cache, entry, &build, parts, names.count, 0, &waiters);
    check_list(&names, &merged->list);
    check_pages(&merged->list, 1 + (data[0] >> 4));
    list_value_unref(merged);
    for (unsigned i = 0; i < names.count; i++)
        list_value_unref((struct list_value *)(uintptr_t)parts[i].value);
    list_cache_free(&cache);
    return 0;
}
