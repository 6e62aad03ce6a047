/* SPDX-License-Identifier: Apache-2.0 */
#include "mcp/list_value.h"

#include "base/check.h"

#include <stdlib.h>

void *
list_memory(size_t size)
{
    void *memory = calloc(1, size ? size : 1);

    ASSERT(memory);
    return memory;
}

/* Smaller, most often in its place. */
static void *
shrink(void *memory, size_t size)
{
    void *smaller = realloc(memory, size ? size : 1);

    return smaller ? smaller : memory;
}

static void
count(struct list_value *value, uint64_t bytes)
{
    value->bytes += bytes;
    value->cache->bytes += bytes;
}

/* ---- buffers: they may outlive their value, in a slow reader's queue ---- */

static void
release_buf(struct buf_home *home, struct buf *buf)
{
    struct list_cache *cache = container_of(home, struct list_cache, home);

    cache->bytes -= sizeof *buf + buf->size;
    free(buf);
}

void
list_value_home_init(struct list_cache *cache)
{
    cache->home.release = release_buf;
}

/* Takes malloc()ed memory that begins with room for the buf. */
static void
adopt_buf(struct list_value *value, void *memory, uint32_t size)
{
    struct buf *buf = memory;

    *buf = (struct buf){
        .data = (uint8_t *)(buf + 1), .home = &value->cache->home, .size = size, .refs = 1, .kind = BUF_SLAB};
    value->buf = buf;
    value->cache->bytes += sizeof *buf + size;
    value->bytes += sizeof *buf + size;
}

/* ---- values ---- */

struct list_value *
list_value_new(struct list_cache *cache)
{
    struct list_value *value = list_memory(sizeof *value);

    value->refs = 1;
    value->cache = cache;
    count(value, sizeof *value);
    return value;
}

struct list_value *
list_value_ref(struct list_value *value)
{
    value->refs++;
    return value;
}

void
list_value_unref(struct list_value *value)
{
    if (!value)
        return;
    ASSERT(value->refs > 0);
    if (--value->refs)
        return;
    value->cache->bytes -= value->bytes;
    if (value->buf) { /* its bytes go with its own last reader */
        value->cache->bytes += sizeof *value->buf + value->buf->size;
        buf_unref(value->buf);
    }
    for (uint32_t i = 0; i < value->pages_count; i++)
        free((void *)(uintptr_t)value->pages[i].entries.at);
    free(value->pages);
    free((void *)(uintptr_t)value->list.marks);
    free(value);
}

uint64_t
list_value_ttl_ms(const struct list_value *value, uint64_t now_ms)
{
    return now_ms < value->expires_ms ? value->expires_ms - now_ms : 0;
}

void
list_value_add_page(struct list_value *value, const struct merge_page *page)
{
    struct merge_page *kept;
    char *entries = list_memory(page->entries.len);

    if (!value->pages)
        value->pages = list_memory(MERGE_PAGES_MAX * sizeof *value->pages);
    ASSERT(value->pages_count < MERGE_PAGES_MAX);
    memcpy(entries, page->entries.at, page->entries.len);
    kept = &value->pages[value->pages_count++];
    *kept = *page;
    kept->entries.at = entries;
    kept->next_cursor = (struct text){NULL, 0};
    count(value, page->entries.len + (value->pages_count == 1 ? MERGE_PAGES_MAX * sizeof *kept : 0));
}

void
list_value_set_body(struct list_value *value, struct text body)
{
    char *memory = malloc(sizeof(struct buf) + body.len);

    ASSERT(memory);
    if (body.len)
        memcpy(memory + sizeof(struct buf), body.at, body.len);
    adopt_buf(value, memory, body.len);
}

static struct merge_source *
sources_of(const struct list_part *parts, unsigned parts_count, unsigned *ret_count)
{
    struct merge_source *sources = list_memory(parts_count * sizeof *sources);
    unsigned n = 0;

    for (unsigned i = 0; i < parts_count; i++) {
        if (!parts[i].value)
            continue;
        sources[n++] = (struct merge_source){
            .upstream = parts[i].upstream,
            .pages = parts[i].value->pages,
            .count = parts[i].value->pages_count,
            .filter = parts[i].filter,
            .is_http = parts[i].is_http,
        };
    }
    *ret_count = n;
    return sources;
}

void
list_value_merge(struct list_value *value, struct merge_build *build, const struct list_part *parts,
                 unsigned parts_count)
{
    struct merge_source *sources = sources_of(parts, parts_count, &build->count);
    uint64_t bytes;
    char *memory;

    build->sources = sources;
    bytes = merge_build_bytes(build);
    build->text_size = (uint32_t)(bytes < LIST_MERGED_BYTES_MAX ? bytes : LIST_MERGED_BYTES_MAX);
    memory = malloc(sizeof(struct buf) + build->text_size);
    ASSERT(memory);
    build->text = memory + sizeof(struct buf);
    build->marks_size = merge_build_entries(build);
    build->marks = list_memory(build->marks_size * sizeof *build->marks);
    build->table = list_memory(merge_build_table(build) * sizeof *build->table);
    merge_build(build);
    free(build->table);
    free(sources);
    adopt_buf(value, shrink(memory, sizeof(struct buf) + build->text_len), build->text_len);
    value->list = (struct merge_list){
        .kind = build->kind,
        .text = {(const char *)value->buf->data, build->text_len},
        .marks = shrink(build->marks, build->entries * sizeof *build->marks),
        .entries = build->entries,
        .epoch = build->epoch,
    };
    count(value, build->entries * sizeof *build->marks);
    build->text = NULL;
    build->marks = NULL;
    build->table = NULL;
    build->sources = NULL;
}
