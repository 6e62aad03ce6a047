/* SPDX-License-Identifier: Apache-2.0 */
/* Building the merged list, and cutting replies out of it. */
#include "mcp/merge_list.h"

#include "base/check.h"
#include "mcp/merge_hash.h"
#include "mcp/merge_map.h"
#include "mcp/params.h"

enum {
    MAP_EDITS = 8, /* of names and URIs in one entry: more of them is no honest entry */
    EDITS = MAP_EDITS + MERGE_ADAPT_EDITS,
    ENTRY_BYTES = 1 + MAP_EDITS * (MERGE_NAME_MAX + 10) + MERGE_ADAPT_BYTES,
    PROBES_MAX = 64, /* in the table of names; colliding ones on purpose gain duplicates in their own list */
    NAME_BYTES = 1024,
};

static const struct text list_end = {"]}}", 3};

const char *
merge_drop_text(enum merge_drop why)
{
    static const char *const texts[MERGE_DROPS] = {
        [MERGE_DROP_MALFORMED] = "it has no name or URI",
        [MERGE_DROP_DUPLICATE] = "its name or URI is listed twice",
        [MERGE_DROP_DENIED] = "it is not allowed",
        [MERGE_DROP_HEADER] = "its x-mcp-header annotations are not valid",
        [MERGE_DROP_FULL] = "the merged list is full",
    };

    ASSERT(why < MERGE_DROPS);
    return texts[why];
}

/* ---- room ---- */

static uint32_t
source_entries(const struct merge_source *source)
{
    uint64_t n = 0;

    for (unsigned i = 0; i < source->count; i++)
        n += source->pages[i].count;
    return n < MERGE_LIST_MAX ? (uint32_t)n : MERGE_LIST_MAX;
}

uint32_t
merge_build_entries(const struct merge_build *b)
{
    uint64_t n = 0;

    for (unsigned i = 0; i < b->count; i++)
        n += source_entries(&b->sources[i]);
    return n < MERGE_LIST_MAX ? (uint32_t)n : MERGE_LIST_MAX;
}

uint64_t
merge_build_bytes(const struct merge_build *b)
{
    uint64_t n = list_end.len + (uint64_t)merge_build_entries(b) * ENTRY_BYTES;

    for (unsigned i = 0; i < b->count; i++)
        for (unsigned k = 0; k < b->sources[i].count; k++)
            n += b->sources[i].pages[k].entries.len;
    return n;
}

/* A power of two, at least twice as many as there are entries. */
static uint32_t
table_size(uint32_t entries)
{
    uint32_t size = 16;

    while (size < 2 * entries)
        size *= 2;
    return size;
}

uint32_t
merge_build_table(const struct merge_build *b)
{
    uint32_t most = 0;

    for (unsigned i = 0; i < b->count; i++) {
        uint32_t n = source_entries(&b->sources[i]);

        most = n > most ? n : most;
    }
    return table_size(most);
}

/* ---- one entry ---- */

struct entry {
    struct text raw, key; /* the name or uri, raw */
    struct jsonrpc_edit edits[EDITS];
    unsigned edits_count;
    char name[NAME_BYTES]; /* decoded, when it fits */
    struct text own;       /* that, or the raw key */
};

static void
map_key(const struct merge_build *b, unsigned upstream, struct text raw, struct merge_edits *out)
{
    struct jsonrpc_edit edit;
    bool any;

    if (b->kind == MERGE_TEMPLATES)
        any = merge_template_down(b->names, upstream, raw, &edit);
    else if (b->kind == MERGE_RESOURCES)
        any = merge_uri_down(b->names, upstream, raw, &edit);
    else
        any = merge_name_down(b->names, upstream, raw, &edit);
    if (any && out->count < out->room)
        out->at[out->count++] = edit;
    else if (any)
        out->full = true;
}

/* Finds the key and maps what is to be mapped; false: the entry is none. */
static bool
map_entry(const struct merge_build *b, unsigned upstream, struct entry *e)
{
    static const struct text keys[MERGE_KINDS] = {
        [MERGE_TOOLS] = {"name", 4},
        [MERGE_PROMPTS] = {"name", 4},
        [MERGE_RESOURCES] = {"uri", 3},
        [MERGE_TEMPLATES] = {"uriTemplate", 11},
    };
    struct merge_edits out = {e->edits, 0, MAP_EDITS, false};
    struct text rest = e->raw;
    struct json_member m;
    int n;

    e->key = (struct text){NULL, 0};
    if (json_kind_of(rest) != JSON_IS_OBJECT)
        return false;
    while (json_next_member(&rest, &m)) {
        if (json_string_is(m.key, keys[b->kind])) {
            e->key = m.value;
            map_key(b, upstream, m.value, &out);
        } else if (json_string_is(m.key, TEXT("_meta"))) {
            merge_map_meta(b->names, upstream, m.value, &out);
        }
    }
    e->edits_count = out.count;
    n = json_string_decode(e->key, e->name, sizeof e->name);
    e->own = n >= 0 ? (struct text){e->name, (uint32_t)n} : e->key;
    return json_kind_of(e->key) == JSON_IS_STRING && e->own.len > 0 && !out.full;
}

/* Adds the edits of the client's revision; both lists are in the order of their places. */
static void
adapt_entry(const struct merge_build *b, unsigned upstream, struct entry *e)
{
    struct jsonrpc_edit more[MERGE_ADAPT_EDITS];
    unsigned count, at;

    if (!b->adapt)
        return;
    count = b->adapt(b->context, b->kind, upstream, e->raw, more, MERGE_ADAPT_EDITS);
    ASSERT(count <= MERGE_ADAPT_EDITS);
    for (unsigned i = 0; i < count; i++) {
        for (at = e->edits_count++; at && e->edits[at - 1].old.at > more[i].old.at; at--)
            e->edits[at] = e->edits[at - 1];
        e->edits[at] = more[i];
    }
}

/* ---- the list ---- */

/* The place of a name in the table of its upstream's: *ret_known if it has been listed before. NULL: the
 * table is too crowded there to tell. */
static uint32_t *
find_name(const struct merge_build *b, uint32_t mask, uint64_t hash, bool *ret_known)
{
    uint32_t at = (uint32_t)(hash ^ hash >> 32) & mask;

    *ret_known = false;
    for (unsigned i = 0; i < PROBES_MAX; i++, at = (at + 1) & mask) {
        if (!b->table[at])
            return &b->table[at];
        if (b->marks[b->table[at] - 1].name == hash) {
            *ret_known = true;
            return &b->table[at];
        }
    }
    return NULL;
}

static void
drop(struct merge_build *b, unsigned upstream, enum merge_drop why, const char *reason, struct text name)
{
    b->drops[why]++;
    if (b->dropped)
        b->dropped(b->context, upstream, why, reason ? reason : merge_drop_text(why), name);
}

/* Why an HTTP client must not offer a tool; NULL: it may. */
static const char *
header_fault(struct text tool)
{
    struct text schema = json_find(tool, TEXT("inputSchema"));
    struct mcp_param params[MCP_PARAMS_MAX];
    const char *why = NULL;

    return mcp_params_of(schema, params, &why) < 0 ? why : NULL;
}

/* Appends an entry; false: no room. Leaves room for the list's end. */
static bool
put_entry(struct merge_build *b, const struct entry *e, uint64_t hash)
{
    uint32_t begin = b->text_len + (b->entries > 0), n;

    if (b->entries >= b->marks_size || begin + list_end.len > b->text_size)
        return false;
    n = jsonrpc_edit_write(e->raw, e->edits, e->edits_count, b->text + begin,
                           b->text_size - begin - list_end.len);
    if (!n)
        return false;
    if (b->entries)
        b->text[b->text_len] = ',';
    b->marks[b->entries++] = (struct merge_mark){hash, begin};
    b->text_len = begin + n;
    return true;
}

/* Why an entry that is mapped is not shown; MERGE_DROPS: it is. */
static enum merge_drop
entry_fault(const struct merge_build *b, const struct merge_source *source, const struct entry *e,
            const char **ret_reason)
{
    if (b->kind != MERGE_TOOLS)
        return MERGE_DROPS;
    if (source->filter && !merge_filter_allows(source->filter, e->own))
        return MERGE_DROP_DENIED;
    *ret_reason = source->is_http ? header_fault(e->raw) : NULL;
    return *ret_reason ? MERGE_DROP_HEADER : MERGE_DROPS;
}

static void
build_entry(struct merge_build *b, const struct merge_source *source, uint32_t mask, struct text raw)
{
    const char *reason = NULL;
    enum merge_drop why;
    struct entry e;
    uint32_t *place;
    uint64_t hash;
    bool known;

    e.raw = raw;
    why = map_entry(b, source->upstream, &e) ? entry_fault(b, source, &e, &reason) : MERGE_DROP_MALFORMED;
    if (why != MERGE_DROPS) {
        drop(b, source->upstream, why, reason, e.key);
        return;
    }
    hash = merge_hash(MERGE_HASH_START, merge_name_text(&b->names->at[source->upstream]));
    hash = merge_hash(merge_hash(hash, TEXT("/")), e.own);
    place = find_name(b, mask, hash, &known);
    if (known) {
        drop(b, source->upstream, MERGE_DROP_DUPLICATE, NULL, e.key);
        return;
    }
    adapt_entry(b, source->upstream, &e);
    if (!put_entry(b, &e, hash))
        drop(b, source->upstream, MERGE_DROP_FULL, NULL, e.key);
    else if (place)
        *place = b->entries;
}

void
merge_build(struct merge_build *b)
{
    ASSERT(b->text_size >= list_end.len);
    b->text_len = b->entries = 0;
    memset(b->drops, 0, sizeof b->drops);
    for (unsigned i = 0; i < b->count; i++) {
        const struct merge_source *source = &b->sources[i];
        uint32_t size = table_size(source_entries(source));

        ASSERT(source->upstream < b->names->count);
        memset(b->table, 0, size * sizeof *b->table);
        for (unsigned k = 0; k < source->count; k++) {
            struct text rest = source->pages[k].entries, raw;

            while (json_next_element(&rest, &raw))
                build_entry(b, source, size - 1, raw);
        }
    }
    memcpy(b->text + b->text_len, list_end.at, list_end.len);
    b->text_len += list_end.len;
    b->epoch = merge_hash(MERGE_HASH_START, (struct text){b->text, b->text_len});
}

/* ---- replies ---- */

/* How many entries the holder of a cursor has seen; false: nobody knows any more. */
static bool
entries_seen(const struct merge_list *list, const struct merge_cursor *cursor, uint32_t *ret)
{
    if (cursor->epoch == list->epoch) {
        *ret = cursor->offset;
        return cursor->offset <= list->entries;
    }
    for (uint32_t i = 0; i < list->entries; i++) {
        if (list->marks[i].name == cursor->last) {
            *ret = i + 1;
            return true;
        }
    }
    return false;
}

bool
merge_slice(const struct merge_list *list, const struct merge_cursor *cursor, uint32_t page_entries,
            struct merge_slice *ret)
{
    uint32_t first = 0, left, begin, end = list->text.len;

    if (cursor && !entries_seen(list, cursor, &first))
        return false;
    left = list->entries - first;
    *ret = (struct merge_slice){.first = first, .count = left};
    begin = left ? list->marks[first].begin : list->text.len - list_end.len;
    if (page_entries && left > page_entries) {
        ret->count = page_entries;
        ret->tail = list_end;
        end = list->marks[first + page_entries].begin - 1;
    }
    ret->list = (struct text){list->text.at + begin, end - begin};
    return true;
}

static bool
put_next_cursor(struct json_writer *w, const struct merge_reply *reply, const struct merge_list *list,
                const struct merge_slice *slice, struct seal_keys *keys)
{
    uint32_t seen = slice->first + slice->count;
    struct merge_cursor next = {
        .kind = (uint8_t)list->kind,
        .offset = seen,
        .epoch = list->epoch,
        .last = list->marks[seen - 1].name,
    };
    char out[MERGE_CURSOR_SIZE];

    if (reply->principal)
        memcpy(next.principal, reply->principal, sizeof next.principal);
    if (!merge_cursor_seal(&next, keys, out))
        return false;
    json_put(w, TEXT("\"nextCursor\":\""));
    json_put(w, (struct text){out, sizeof out});
    json_put(w, TEXT("\","));
    return true;
}

static void
put_modern(struct json_writer *w, const struct merge_reply *reply)
{
    json_put(w, TEXT("\"resultType\":\"complete\",\"ttlMs\":"));
    json_put_integer(w, (int64_t)reply->ttl_ms);
    json_put(w,
             reply->is_private ? TEXT(",\"cacheScope\":\"private\",") : TEXT(",\"cacheScope\":\"public\","));
    if (!reply->info.len)
        return;
    json_put(w, TEXT("\"_meta\":{\"io.modelcontextprotocol/serverInfo\":"));
    json_put(w, reply->info);
    json_put(w, TEXT("},"));
}

bool
merge_reply_head(struct json_writer *w, const struct merge_reply *reply, const struct merge_list *list,
                 const struct merge_slice *slice, struct seal_keys *keys)
{
    json_put(w, TEXT("{\"jsonrpc\":\"2.0\",\"id\":"));
    json_put(w, reply->id);
    json_put(w, TEXT(",\"result\":{"));
    if (mcp_revision_is_modern(reply->revision))
        put_modern(w, reply);
    if (slice->tail.len && !put_next_cursor(w, reply, list, slice, keys))
        return false;
    json_put(w, TEXT("\""));
    json_put(w, merge_kind_member(list->kind));
    json_put(w, TEXT("\":["));
    return true;
}
