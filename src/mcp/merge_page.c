/* SPDX-License-Identifier: Apache-2.0 */
/* The pages of one upstream's list, and which of its tools are shown. */
#include "base/check.h"
#include "mcp/merge_hash.h"
#include "mcp/merge_list.h"

static const struct {
    enum mcp_method method;
    struct text member;
} kinds[MERGE_KINDS] = {
    [MERGE_TOOLS] = {MCP_TOOLS_LIST, {"tools", 5}},
    [MERGE_PROMPTS] = {MCP_PROMPTS_LIST, {"prompts", 7}},
    [MERGE_RESOURCES] = {MCP_RESOURCES_LIST, {"resources", 9}},
    [MERGE_TEMPLATES] = {MCP_RESOURCES_TEMPLATES_LIST, {"resourceTemplates", 17}},
};

enum merge_kind
merge_kind_of(enum mcp_method method)
{
    for (unsigned i = 0; i < MERGE_KINDS; i++)
        if (kinds[i].method == method)
            return (enum merge_kind)i;
    return MERGE_KINDS;
}

enum mcp_method
merge_kind_method(enum merge_kind kind)
{
    ASSERT(kind < MERGE_KINDS);
    return kinds[kind].method;
}

struct text
merge_kind_member(enum merge_kind kind)
{
    ASSERT(kind < MERGE_KINDS);
    return kinds[kind].member;
}

/* ---- pages ---- */

static uint64_t
read_ttl(struct text raw)
{
    int64_t n;

    return json_read_integer(raw, &n) && n > 0 ? (uint64_t)n : 0;
}

bool
merge_page_read(enum merge_kind kind, struct text result, struct merge_page *ret)
{
    const char *end = result.at + result.len;
    enum json_fault why = JSON_FINE;
    struct merge_page page = {0};
    struct text rest, entry, ttl, cursor;

    if (json_kind_of(result) != JSON_IS_OBJECT ||
        json_skip_value(result.at, end, JSON_SCAN_STRICT, 1, &why) != end)
        return false;
    rest = page.entries = json_find(result, merge_kind_member(kind));
    if (json_kind_of(rest) != JSON_IS_ARRAY)
        return false;
    while (json_next_element(&rest, &entry))
        page.count++;
    cursor = json_find(result, TEXT("nextCursor"));
    if (json_kind_of(cursor) == JSON_IS_STRING)
        page.next_cursor = cursor;
    ttl = json_find(result, TEXT("ttlMs"));
    page.has_ttl = ttl.len > 0;
    page.ttl_ms = read_ttl(ttl);
    page.is_private = !json_string_is(json_find(result, TEXT("cacheScope")), TEXT("public"));
    *ret = page;
    return true;
}

enum merge_step
merge_walk_page(struct merge_walk *walk, const struct merge_page *page, uint32_t bytes)
{
    uint64_t cursor = merge_hash(MERGE_HASH_START, page->next_cursor);

    walk->ttl_ms = !walk->pages || page->ttl_ms < walk->ttl_ms ? page->ttl_ms : walk->ttl_ms;
    walk->has_ttl = walk->has_ttl || page->has_ttl;
    walk->is_private = walk->is_private || page->is_private;
    walk->pages++;
    walk->entries += page->count;
    walk->bytes += bytes;
    if (!page->next_cursor.at)
        return MERGE_WHOLE;
    if (walk->pages >= MERGE_PAGES_MAX || walk->entries >= MERGE_ENTRIES_MAX ||
        walk->bytes >= MERGE_BYTES_MAX || (walk->pages > 1 && cursor == walk->last_cursor))
        return MERGE_CUT;
    walk->last_cursor = cursor;
    return MERGE_MORE;
}

/* ---- filters ---- */

/* '*' takes as little as it can, and more when what follows does not match. */
static bool
glob_matches(struct text pattern, struct text name)
{
    uint32_t p = 0, n = 0, star = UINT32_MAX, retry = 0;

    while (n < name.len) {
        if (p < pattern.len && pattern.at[p] == '*') {
            star = p++;
            retry = n;
        } else if (p < pattern.len && (pattern.at[p] == '?' || pattern.at[p] == name.at[n])) {
            p++;
            n++;
        } else if (star != UINT32_MAX) {
            p = star + 1;
            n = ++retry;
        } else {
            return false;
        }
    }
    while (p < pattern.len && pattern.at[p] == '*')
        p++;
    return p == pattern.len;
}

static bool
any_matches(const struct text *patterns, uint32_t count, struct text name)
{
    for (uint32_t i = 0; i < count; i++)
        if (glob_matches(patterns[i], name))
            return true;
    return false;
}

bool
merge_filter_allows(const struct merge_filter *filter, struct text name)
{
    if (any_matches(filter->deny, filter->deny_count, name))
        return false;
    return !filter->allow_count || any_matches(filter->allow, filter->allow_count, name);
}

uint32_t
merge_filter_patterns(const struct text *rules, uint32_t count, struct text name, struct text *out,
                      uint32_t room)
{
    uint32_t found = 0;

    for (uint32_t i = 0; i < count; i++) {
        struct text rest = rules[i], pattern;

        if (!text_starts(rest, name) || rest.len == name.len || rest.at[name.len] != '=')
            continue;
        rest.at += name.len + 1;
        rest.len -= name.len + 1;
        while (text_next_element(&rest, &pattern)) {
            if (found < room)
                out[found] = pattern;
            found++;
        }
    }
    return found;
}
