/* SPDX-License-Identifier: Apache-2.0 */
#include "mcp/merge_list.h"
#include "merge_helper.h"
#include "vectors.h"

#include <stdio.h>

static const uint8_t key_bytes[SEAL_KEY_BYTES] = {1};
static const struct seal_key seal_key = {7, key_bytes};
static struct seal_keys keys;

static void
set_up(void)
{
    merge_set_up();
    seal_keys_init(&keys, &seal_key, 1, 0);
}

static void
tear_down(void)
{
    seal_keys_done(&keys);
}

TestSuite(merge_list, .init = set_up, .fini = tear_down);
TestSuite(merge_page);

/* ---- pages ---- */

Test(merge_page, knows_the_four_lists)
{
    for (unsigned i = 0; i < MERGE_KINDS; i++)
        cr_assert_eq(merge_kind_of(merge_kind_method((enum merge_kind)i)), i);
    cr_assert_eq(merge_kind_of(MCP_TOOLS_CALL), MERGE_KINDS);
    cr_assert(text_eq(merge_kind_member(MERGE_TEMPLATES), TEXT("resourceTemplates")));
}

static const struct {
    const char *result;
    int entries; /* -1: refused */
    const char *cursor;
    uint64_t ttl_ms;
    bool has_ttl, is_private;
} page_cases[] = {
    {"{\"tools\":[]}", 0, NULL, 0, false, true},
    {"{\"tools\":[{},{\"a\":[1,2]}],\"nextCursor\":\"\"}", 2, "\"\"", 0, false, true},
    {"{\"nextCursor\":\"x\",\"ttlMs\":1500,\"cacheScope\":\"public\",\"tools\":[1]}", 1, "\"x\"", 1500, true,
     false},
    {"{\"tools\":[],\"ttlMs\":-1,\"cacheScope\":\"private\"}", 0, NULL, 0, true, true},
    {"{\"tools\":[],\"ttlMs\":1.5,\"cacheScope\":\"what\",\"nextCursor\":null}", 0, NULL, 0, true, true},
    {"{\"tools\":{}}", -1, NULL, 0, false, false},
    {"{\"prompts\":[]}", -1, NULL, 0, false, false},
    {"[]", -1, NULL, 0, false, false},
    {"", -1, NULL, 0, false, false},
    {"{\"tools\":[{]}", -1, NULL, 0, false, false},
    {"{\"tools\":[tru]}", -1, NULL, 0, false, false},
    {"{\"tools\":[\"\\x\"]}", -1, NULL, 0, false, false},
    {"{\"tools\":[\"\xff\"]}", -1, NULL, 0, false, false},
    {"{\"tools\":[]} ", -1, NULL, 0, false, false},
};

Test(merge_page, is_read_strictly)
{
    for (size_t i = 0; i < sizeof page_cases / sizeof *page_cases; i++) {
        uint32_t len = (uint32_t)strlen(page_cases[i].result);
        struct text result = {vector_at_guard(page_cases[i].result, len), len};
        struct merge_page page;

        cr_assert_eq(merge_page_read(MERGE_TOOLS, result, &page), page_cases[i].entries >= 0, "%s",
                     page_cases[i].result);
        if (page_cases[i].entries < 0)
            continue;
        cr_expect_eq(page.count, (uint32_t)page_cases[i].entries);
        cr_expect_eq(page.ttl_ms, page_cases[i].ttl_ms, "%s", page_cases[i].result);
        cr_expect_eq(page.has_ttl, page_cases[i].has_ttl);
        cr_expect_eq(page.is_private, page_cases[i].is_private);
        if (page_cases[i].cursor)
            merge_expect(page.next_cursor, page_cases[i].cursor);
        else
            cr_expect_null(page.next_cursor.at);
    }
}

Test(merge_page, walk_takes_the_least_ttl_and_the_narrowest_scope)
{
    struct merge_page first = {.next_cursor = TEXT("\"a\""), .ttl_ms = 9, .has_ttl = true};
    struct merge_page last = {.ttl_ms = 5, .has_ttl = true, .is_private = true};
    struct merge_walk walk = {0};

    cr_assert_eq(merge_walk_page(&walk, &first, 10), MERGE_MORE);
    cr_assert_eq(walk.ttl_ms, 9);
    cr_assert(!walk.is_private);
    cr_assert_eq(merge_walk_page(&walk, &last, 10), MERGE_WHOLE);
    cr_assert_eq(walk.ttl_ms, 5);
    cr_assert(walk.is_private);
}

/* Walks pages with this cursor, or with ever new ones, until there is no more. */
static unsigned
pages_until_cut(uint32_t entries, uint32_t bytes, bool same_cursor)
{
    struct merge_walk walk = {0};
    char cursor[16];

    for (unsigned i = 1;; i++) {
        int n = snprintf(cursor, sizeof cursor, "\"%u\"", same_cursor ? 0 : i);
        struct merge_page page = {.count = entries, .next_cursor = {cursor, (uint32_t)n}};
        enum merge_step step = merge_walk_page(&walk, &page, bytes);

        cr_assert_neq(step, MERGE_WHOLE);
        if (step == MERGE_CUT)
            return i;
    }
}

Test(merge_page, walk_ends_at_each_limit_and_at_a_cursor_that_comes_again)
{
    cr_expect_eq(pages_until_cut(1, 1, false), MERGE_PAGES_MAX);
    cr_expect_eq(pages_until_cut(MERGE_ENTRIES_MAX / 4, 1, false), 4);
    cr_expect_eq(pages_until_cut(1, MERGE_BYTES_MAX / 8, false), 8);
    cr_expect_eq(pages_until_cut(1, 1, true), 2);
}

Test(merge_page, filter_denies_before_it_allows)
{
    static const struct text allow[] = {{"read*", 5}, {"?ist", 4}}, deny[] = {{"*_all", 5}, {"", 0}};
    static const struct merge_filter all = {0}, allowing = {allow, NULL, 2, 0}, denying = {NULL, deny, 0, 2},
                                     both = {allow, deny, 2, 2};
    static const struct {
        const char *name;
        bool allowing, denying, both;
    } cases[] = {
        {"read", true, true, true},      {"read_file", true, true, true}, {"read_all", true, false, false},
        {"write", false, true, false},   {"list", true, true, true},      {"listing", false, true, false},
        {"blist", false, true, false},   {"_all", false, false, false},   {"a_all_all", false, false, false},
        {"a_all_b", false, true, false}, {"", false, false, false},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct text name = text_of(cases[i].name);

        cr_expect(merge_filter_allows(&all, name));
        cr_expect_eq(merge_filter_allows(&allowing, name), cases[i].allowing, "%s", cases[i].name);
        cr_expect_eq(merge_filter_allows(&denying, name), cases[i].denying, "%s", cases[i].name);
        cr_expect_eq(merge_filter_allows(&both, name), cases[i].both, "%s", cases[i].name);
    }
}

Test(merge_page, filter_of_many_stars_ends_soon)
{
    static char name[4096], pattern[64];
    struct text patterns = {pattern, 63};
    struct merge_filter filter = {&patterns, NULL, 1, 0};

    memset(name, 'a', sizeof name);
    for (unsigned i = 0; i < 62; i++)
        pattern[i] = i % 2 ? 'a' : '*';
    pattern[62] = 'b';
    cr_assert(!merge_filter_allows(&filter, (struct text){name, sizeof name}));
}

Test(merge_page, filter_takes_its_upstreams_patterns)
{
    static const struct text rules[] = {{"fs=a,b*", 7}, {"f=c", 3}, {"fs=d", 4}, {"fsx=e", 5}};
    struct text out[3];

    cr_assert_eq(merge_filter_patterns(rules, 4, TEXT("fs"), out, 3), 3);
    merge_expect(out[0], "a");
    merge_expect(out[1], "b*");
    merge_expect(out[2], "d");
    cr_assert_eq(merge_filter_patterns(rules, 4, TEXT("fs"), out, 1), 3);
    cr_assert_eq(merge_filter_patterns(rules, 4, TEXT("x"), out, 3), 0);
}

/* ---- building ---- */

static struct {
    char text[64 << 10];
    struct merge_mark marks[256];
    uint32_t table[1024];
    char dropped[512];
} room;

static void
note_drop(void *context, unsigned upstream, enum merge_drop why, const char *reason, struct text name)
{
    size_t len = strlen(room.dropped);

    snprintf(room.dropped + len, sizeof room.dropped - len, "%u:%d:%.*s ", upstream, (int)why, (int)name.len,
             name.len ? name.at : "");
    cr_assert(*reason);
    cr_assert_eq(why == MERGE_DROP_HEADER, strcmp(reason, merge_drop_text(why)) != 0);
}

/* Cuts "cut" out of an entry. */
static unsigned
cut_member(void *context, enum merge_kind kind, unsigned upstream, struct text entry,
           struct jsonrpc_edit *edits, unsigned edits_room)
{
    const char *at = memmem(entry.at, entry.len, ",\"cut\":1", 8);

    cr_assert_geq(edits_room, 1);
    if (!at)
        return 0;
    *edits = (struct jsonrpc_edit){{at, 8}, {"", 0}};
    return 1;
}

enum { SOURCES = 3 };

static struct merge_build
build_of(enum merge_kind kind, const struct merge_names *names, const char *const results[SOURCES],
         const struct merge_filter *filter)
{
    static struct merge_page pages[SOURCES];
    static struct merge_source sources[SOURCES];
    struct merge_build b = {
        .names = names,
        .kind = kind,
        .sources = sources,
        .adapt = cut_member,
        .dropped = note_drop,
        .text = room.text,
        .text_size = sizeof room.text,
        .marks = room.marks,
        .marks_size = sizeof room.marks / sizeof *room.marks,
        .table = room.table,
    };

    for (unsigned i = 0; i < SOURCES && results[i]; i++) {
        cr_assert(merge_page_read(kind, text_of(results[i]), &pages[i]), "%s", results[i]);
        sources[i] = (struct merge_source){i, &pages[i], 1, filter, i != 1};
        b.count++;
    }
    room.dropped[0] = '\0';
    cr_assert_leq(merge_build_table(&b), sizeof room.table / sizeof *room.table);
    return b;
}

static struct merge_list
list_of(const struct merge_build *b)
{
    return (struct merge_list){b->kind, {b->text, b->text_len}, b->marks, b->entries, b->epoch};
}

Test(merge_list, keeps_the_order_of_the_configuration_and_maps_names)
{
    const char *results[SOURCES] = {"{\"tools\":[{\"name\":\"b\",\"x\":1}, {\"name\":\"a\"}]}",
                                    "{\"tools\":[]}", "{\"tools\":[ {\"name\" : \"b\"} ]}"};
    struct merge_build b = build_of(MERGE_TOOLS, &merged_three, results, NULL);

    merge_build(&b);
    merge_expect((struct text){b.text, b.text_len},
                 "{\"name\":\"fs__b\",\"x\":1},{\"name\":\"fs__a\"},{\"name\" : \"a_b__b\"}]}}");
    cr_assert_eq(b.entries, 3);
    cr_assert_leq(b.text_len, merge_build_bytes(&b));
    cr_assert_eq(merge_build_entries(&b), 3);
    for (unsigned i = 0; i < 3; i++)
        cr_assert_eq(b.text[b.marks[i].begin], '{');
}

Test(merge_list, maps_uris_templates_and_pages_of_tools)
{
    static const struct {
        enum merge_kind kind;
        const char *result, *list;
    } cases[] = {
        {MERGE_PROMPTS, "{\"prompts\":[{\"name\":\"p\",\"uri\":\"a:b\"}]}",
         "{\"name\":\"fs__p\",\"uri\":\"a:b\"}]}}"},
        {MERGE_RESOURCES, "{\"resources\":[{\"name\":\"p\",\"uri\":\"https://h/#x\"}]}",
         "{\"name\":\"p\",\"uri\":\"https://h/#x&mcpgate=fs\"}]}}"},
        {MERGE_TEMPLATES, "{\"resourceTemplates\":[{\"uriTemplate\":\"a:{b}\",\"name\":\"p\"}]}",
         "{\"uriTemplate\":\"a:{b}#mcpgate=fs\",\"name\":\"p\"}]}}"},
        {MERGE_TOOLS,
         "{\"tools\":[{\"_meta\":{\"ui\":{\"resourceUri\":\"ui://x\"}},\"cut\":1,\"name\":\"t\"}]}",
         "{\"_meta\":{\"ui\":{\"resourceUri\":\"ui://x#mcpgate=fs\"}},\"name\":\"fs__t\"}]}}"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *results[SOURCES] = {cases[i].result};
        struct merge_build b = build_of(cases[i].kind, &merged_three, results, NULL);

        merge_build(&b);
        merge_expect((struct text){b.text, b.text_len}, cases[i].list);
    }
}

Test(merge_list, leaves_names_alone_with_one_upstream)
{
    const char *results[SOURCES] = {"{\"tools\":[{\"name\":\"b\"}]}"};
    struct merge_build b = build_of(MERGE_TOOLS, &plain_one, results, NULL);

    merge_build(&b);
    merge_expect((struct text){b.text, b.text_len}, "{\"name\":\"b\"}]}}");
}

Test(merge_list, tells_what_it_leaves_out_and_why)
{
    static const struct text deny = {"s*", 2};
    static const struct merge_filter filter = {NULL, &deny, 0, 1};
    const char *results[SOURCES] = {
        "{\"tools\":[{\"name\":\"a\"},7,{},{\"name\":\"\"},{\"name\":3},{"
        "\"name\":\"\\u0061\"},{\"name\":\"sec\"},"
        "{\"name\":\"h\",\"inputSchema\":{\"type\":\"object\",\"properties\":{\"n\":{\"type\":\"number\",\"x-"
        "mcp-header\":\"N\"}}}}]}",
        "{\"tools\":[{\"name\":\"a\"},{\"name\":\"h\",\"inputSchema\":{\"type\":\"object\",\"properties\":{"
        "\"n\":{\"type\":\"number\",\"x-mcp-header\":\"N\"}}}}]}"};
    struct merge_build b = build_of(MERGE_TOOLS, &merged_three, results, &filter);

    merge_build(&b);
    merge_expect(
        (struct text){b.text, b.text_len},
        "{\"name\":\"fs__a\"},{\"name\":\"db-1__a\"},{\"name\":\"db-1__h\",\"inputSchema\":{\"type\":"
        "\"object\",\"properties\":{\"n\":{\"type\":\"number\",\"x-mcp-header\":\"N\"}}}}]}}");
    cr_assert_str_eq(room.dropped, "0:0: 0:0: 0:0:\"\" 0:0:3 0:1:\"\\u0061\" 0:2:\"sec\" 0:3:\"h\" ");
    cr_assert_eq(b.drops[MERGE_DROP_MALFORMED], 4);
    cr_assert_eq(b.drops[MERGE_DROP_DUPLICATE], 1);
    cr_assert_eq(b.drops[MERGE_DROP_DENIED], 1);
    cr_assert_eq(b.drops[MERGE_DROP_HEADER], 1);
}

Test(merge_list, refuses_an_entry_with_a_crowd_of_names)
{
    const char *results[SOURCES] = {
        "{\"tools\":[{\"name\":\"a\",\"name\":\"a\",\"name\":\"a\",\"name\":\"a\","
        "\"name\":\"a\",\"name\":\"a\",\"name\":\"a\",\"name\":\"a\",\"name\":\"a\"}]}"};
    struct merge_build b = build_of(MERGE_TOOLS, &merged_three, results, NULL);

    merge_build(&b);
    cr_assert_eq(b.drops[MERGE_DROP_MALFORMED], 1);
    merge_expect((struct text){b.text, b.text_len}, "]}}");
}

Test(merge_list, drops_what_does_not_fit_and_goes_on)
{
    const char *results[SOURCES] = {"{\"tools\":[{\"name\":\"a\"},{\"name\":\"b\",\"long\":"
                                    "\"xxxxxxxxxxxxxxxxxxxxxxxx\"},{\"name\":\"b\"}]}"};
    struct merge_build b = build_of(MERGE_TOOLS, &merged_three, results, NULL);

    b.text_size = 40;
    merge_build(&b);
    merge_expect((struct text){b.text, b.text_len}, "{\"name\":\"fs__a\"},{\"name\":\"fs__b\"}]}}");
    cr_assert_eq(b.drops[MERGE_DROP_FULL], 1);
    cr_assert_eq(b.drops[MERGE_DROP_DUPLICATE], 0);
    b.marks_size = 1;
    merge_build(&b);
    merge_expect((struct text){b.text, b.text_len}, "{\"name\":\"fs__a\"}]}}");
    cr_assert_eq(b.drops[MERGE_DROP_FULL], 2);
}

/* ---- paging ---- */

static struct merge_build
numbers(unsigned from, unsigned to)
{
    static char result[4096];
    const char *results[SOURCES] = {result};
    int n = snprintf(result, sizeof result, "{\"tools\":[");
    struct merge_build b;

    for (unsigned i = from; i < to; i++)
        n += snprintf(result + n, sizeof result - (size_t)n, "%s{\"name\":\"%u\"}", i > from ? "," : "", i);
    snprintf(result + n, sizeof result - (size_t)n, "]}");
    b = build_of(MERGE_TOOLS, &plain_one, results, NULL);
    merge_build(&b);
    return b;
}

/* The reply at a cursor, with its next one in `next` (len 0: none). */
static struct text
reply_at(const struct merge_list *list, const struct merge_cursor *cursor, uint32_t page, struct text *next)
{
    static char out[8192];
    struct json_writer w = {.at = out, .size = sizeof out};
    struct merge_reply reply = {.id = TEXT("7"), .revision = MCP_2025_11_25};
    struct merge_slice slice;

    cr_assert(merge_slice(list, cursor, page, &slice));
    cr_assert(merge_reply_head(&w, &reply, list, &slice, &keys));
    json_put(&w, slice.list);
    json_put(&w, slice.tail);
    cr_assert(!w.full);
    cr_assert_eq(json_check(json_written(&w), JSON_SCAN_STRICT), JSON_FINE);
    *next = json_find(json_find(json_written(&w), TEXT("result")), TEXT("nextCursor"));
    return json_find(json_find(json_written(&w), TEXT("result")), TEXT("tools"));
}

static const uint8_t nobody[MERGE_PRINCIPAL_BYTES], somebody[MERGE_PRINCIPAL_BYTES] = {9};

Test(merge_list, pages_of_any_size_put_together_are_the_list)
{
    struct merge_build b = numbers(0, 10);
    struct merge_list list = list_of(&b);

    for (uint32_t page = 1; page <= 11; page++) {
        struct merge_cursor cursor, *at = NULL;
        struct text next, entries, entry;
        unsigned seen = 0, pages = 0;

        do {
            entries = reply_at(&list, at, page, &next);
            while (json_next_element(&entries, &entry)) {
                char name[16];
                int n = snprintf(name, sizeof name, "\"%u\"", seen++);

                cr_assert(text_eq(json_find(entry, TEXT("name")), (struct text){name, (uint32_t)n}));
            }
            pages++;
            at = &cursor;
            if (next.len)
                cr_assert(merge_cursor_open(next, &keys, MERGE_TOOLS, nobody, &cursor));
        } while (next.len);
        cr_assert_eq(seen, 10);
        cr_assert_eq(pages, (10 + page - 1) / page);
    }
}

Test(merge_list, cursor_is_of_one_kind_one_principal_and_one_key)
{
    struct merge_cursor cursor = {.kind = MERGE_TOOLS, .offset = 3, .epoch = 4, .last = 5}, got;
    char out[MERGE_CURSOR_SIZE + 2] = "\"";
    struct text raw = {out, sizeof out};

    cr_assert_eq(merge_cursor_seal(&cursor, &keys, out + 1), MERGE_CURSOR_SIZE);
    out[sizeof out - 1] = '"';
    cr_assert(merge_cursor_open(raw, &keys, MERGE_TOOLS, nobody, &got));
    cr_assert_eq(got.offset, 3);
    cr_assert_eq(got.epoch, 4);
    cr_assert_eq(got.last, 5);
    cr_assert(!merge_cursor_open(raw, &keys, MERGE_PROMPTS, nobody, &got));
    cr_assert(!merge_cursor_open(raw, &keys, MERGE_TOOLS, somebody, &got));
    cr_assert(!merge_cursor_open(TEXT("\"\""), &keys, MERGE_TOOLS, nobody, &got));
    cr_assert(!merge_cursor_open(TEXT("7"), &keys, MERGE_TOOLS, nobody, &got));
    cr_assert(!merge_cursor_open((struct text){NULL, 0}, &keys, MERGE_TOOLS, nobody, &got));
    out[20] = out[20] == 'A' ? 'B' : 'A';
    cr_assert(!merge_cursor_open(raw, &keys, MERGE_TOOLS, nobody, &got));
}

Test(merge_list, cursor_goes_on_behind_its_entry_when_the_list_has_changed)
{
    struct merge_build b = numbers(0, 10);
    struct merge_list list = list_of(&b);
    struct merge_cursor cursor;
    struct merge_slice slice;
    struct text next;

    reply_at(&list, NULL, 4, &next);
    cr_assert(merge_cursor_open(next, &keys, MERGE_TOOLS, nobody, &cursor));
    b = numbers(2, 9); /* the last one seen was 3 */
    list = list_of(&b);
    cr_assert_neq(cursor.epoch, list.epoch);
    cr_assert(merge_slice(&list, &cursor, 4, &slice));
    cr_assert_eq(slice.first, 2);
    b = numbers(3, 4); /* nothing behind it */
    list = list_of(&b);
    cr_assert(merge_slice(&list, &cursor, 4, &slice));
    cr_assert_eq(slice.count, 0);
    merge_expect(slice.list, "]}}");
    b = numbers(4, 9); /* it is gone */
    list = list_of(&b);
    cr_assert(!merge_slice(&list, &cursor, 4, &slice));
}

Test(merge_list, replies_say_what_the_revision_asks_for)
{
    struct merge_build b = numbers(0, 1);
    struct merge_list list = list_of(&b);
    struct merge_reply reply = {
        .id = TEXT("\"x\""), .revision = MCP_2026_07_28, .ttl_ms = 1500, .info = TEXT("{\"name\":\"g\"}")};
    char out[1024];
    struct json_writer w = {.at = out, .size = sizeof out};
    struct merge_slice slice;

    cr_assert(merge_slice(&list, NULL, 0, &slice));
    cr_assert(merge_reply_head(&w, &reply, &list, &slice, NULL));
    merge_expect(
        json_written(&w),
        "{\"jsonrpc\":\"2.0\",\"id\":\"x\",\"result\":{\"resultType\":\"complete\",\"ttlMs\":1500,"
        "\"cacheScope\":"
        "\"public\",\"_meta\":{\"io.modelcontextprotocol/serverInfo\":{\"name\":\"g\"}},\"tools\":[");
    w.len = 0;
    reply.revision = MCP_2025_06_18;
    cr_assert(merge_reply_head(&w, &reply, &list, &slice, NULL));
    merge_expect(json_written(&w), "{\"jsonrpc\":\"2.0\",\"id\":\"x\",\"result\":{\"tools\":[");
    merge_expect(slice.list, "{\"name\":\"0\"}]}}");
    cr_assert_eq(slice.tail.len, 0);
}
