/* SPDX-License-Identifier: Apache-2.0 */
#include "page.h"

#include "stats/format_text.h"

#include <stdlib.h>
#include <string.h>

static const char *const stream_sorts[] = {"slot", "age", "quiet", "events", "bytes", "queued"};
enum { STREAM_SORTS = sizeof stream_sorts / sizeof *stream_sorts };

const char *
view_name(enum view view)
{
    static const char *const names[VIEWS] = {"overview", "workers", "upstreams", "streams", "transports"};

    return names[view];
}

static void
columns_of(enum view view, const struct stats_schema *schema, struct column_set *set)
{
    set->count = 0;
    if (view == VIEW_WORKERS)
        column_set_make(set, schema, SEGMENT_PER_SLOT, worker_columns, worker_column_count);
    else if (view == VIEW_UPSTREAMS)
        column_set_make(set, schema, SEGMENT_PER_UPSTREAM, upstream_columns, upstream_column_count);
}

unsigned
view_sorts(enum view view, const struct stats_schema *schema)
{
    struct column_set set;

    if (view == VIEW_STREAMS)
        return STREAM_SORTS;
    columns_of(view, schema, &set);
    return set.count ? 1 + set.count : 0;
}

const char *
view_sort_name(enum view view, const struct stats_schema *schema, unsigned column)
{
    struct column_set set;

    if (view == VIEW_STREAMS)
        return stream_sorts[column % STREAM_SORTS];
    columns_of(view, schema, &set);
    return column > 0 && column <= set.count ? set.columns[column - 1].heading : "number";
}

/* What rows are sorted by; rows with equal keys stay in the file's order. */
struct key {
    uint32_t row;
    double number;
};

static double
stream_number(const struct snapshot *s, const struct snapshot_stream *stream, unsigned column)
{
    switch (column % STREAM_SORTS) {
    case 1:
        return snapshot_seconds_since(s, stream->open_ns);
    case 2:
        return snapshot_seconds_since(s, stream->update_ns);
    case 3:
        return (double)stream->events;
    case 4:
        return (double)stream->bytes;
    case 5:
        return (double)stream->queued_bytes;
    default:
        return 0;
    }
}

static double
number_of(enum view view, const struct snapshot *now, const struct snapshot *change,
          const struct column_set *set, uint32_t row, unsigned column)
{
    const uint64_t *values, *changes;

    if (view == VIEW_STREAMS)
        return stream_number(now, &now->streams[row], column);
    if (column == 0 || column > set->count)
        return 0;
    if (view == VIEW_WORKERS) {
        values = now->slots[row].values;
        changes = text_change_of_slot(change, now->slots[row].index);
    } else {
        values = now->upstreams[row].values;
        changes = row < change->upstream_count ? change->upstreams[row].values : NULL;
    }
    return column_number(set, column - 1, values, changes ? changes : values, change->seconds);
}

/* The largest first. */
static int
compare(const void *a, const void *b)
{
    const struct key *x = a, *y = b;

    if (x->number != y->number)
        return x->number > y->number ? -1 : 1;
    return x->row < y->row ? -1 : x->row > y->row;
}

static uint32_t
rows_of(enum view view, const struct snapshot *s)
{
    return view == VIEW_WORKERS     ? s->slot_count
           : view == VIEW_UPSTREAMS ? s->upstream_count
                                    : s->stream_count;
}

/* The order of a view's rows, for the caller to free; NULL when memory is short: the file's order then. */
static uint32_t *
order_of(enum view view, const struct snapshot *now, const struct snapshot *change, const struct sort *sort)
{
    uint32_t n = rows_of(view, now);
    struct key *keys = calloc(n + 1u, sizeof *keys);
    uint32_t *order = calloc(n + 1u, sizeof *order);
    struct column_set set;

    columns_of(view, now->schema, &set);
    for (uint32_t i = 0; keys && i < n; i++)
        keys[i] = (struct key){i, number_of(view, now, change, &set, i, sort->column)};
    if (keys && order) {
        qsort(keys, n, sizeof *keys, compare);
        for (uint32_t i = 0; i < n; i++)
            order[i] = keys[sort->reverse ? n - 1 - i : i].row;
    }
    free(keys);
    return order;
}

static void
put(void *ctx, const char *bytes, size_t len)
{
    struct page *page = ctx;

    if (page->room - page->size < len + 1) {
        size_t room = 2 * page->room + len + 4096;
        char *text = realloc(page->text, room);

        if (!text)
            return;
        page->text = text;
        page->room = room;
    }
    memcpy(page->text + page->size, bytes, len);
    page->size += len;
    page->text[page->size] = '\0';
}

static void
put_overview(const struct snapshot *now, const struct snapshot *change, const struct writer *w)
{
    writer_text(w, "\nWorkers together\n");
    text_summary(now, change, "  ", w);
    writer_text(w, "\nTimes\n");
    text_latencies(change, "  ", w);
    text_families(now, change, "  ", w);
    writer_text(w, "\nTotals\n");
    text_totals(now, change, "  ", w);
}

static void
put_view(enum view view, const struct snapshot *now, const struct snapshot *change, const struct sort *sort,
         const struct writer *w)
{
    uint32_t *order;

    text_headline(now, w);
    if (view == VIEW_OVERVIEW) {
        put_overview(now, change, w);
        return;
    }
    if (view == VIEW_TRANSPORTS) {
        writer_text(w, "\nTransports\n");
        text_transports(now, change, "  ", w);
        return;
    }
    order = order_of(view, now, change, sort);
    if (view == VIEW_STREAMS)
        writer_printf(w, "\nOpen streams: %u\n", now->stream_count);
    else
        writer_text(w, view == VIEW_WORKERS ? "\nProcesses\n" : "\nUpstreams\n");
    if (view == VIEW_WORKERS)
        text_workers(now, change, order, "  ", w);
    else if (view == VIEW_UPSTREAMS)
        text_upstreams(now, change, order, "  ", w);
    else
        text_streams(now, order, now->stream_count, "  ", w);
    free(order);
}

static void
split(struct page *page)
{
    page->line_count = 0;
    for (size_t at = 0; at < page->size;) {
        char *end = memchr(page->text + at, '\n', page->size - at);

        if (page->line_count == page->start_room) {
            unsigned room = 2 * page->start_room + 64;
            unsigned *starts = realloc(page->starts, room * sizeof *starts);

            if (!starts)
                return;
            page->starts = starts;
            page->start_room = room;
        }
        page->starts[page->line_count++] = (unsigned)at;
        if (!end)
            return;
        *end = '\0';
        at = (size_t)(end - page->text) + 1;
    }
}

void
page_make(struct page *page, enum view view, const struct snapshot *now, const struct snapshot *change,
          const struct sort *sort)
{
    struct writer w = {put, page};

    page->size = 0;
    put_view(view, now, change, sort, &w);
    split(page);
}

void
page_done(struct page *page)
{
    free(page->text);
    free(page->starts);
    memset(page, 0, sizeof *page);
}

const char *
page_line(const struct page *page, unsigned i)
{
    return page->text + page->starts[i];
}

int
page_width(const struct page *page)
{
    size_t width = 0;

    for (unsigned i = 0; i < page->line_count; i++) {
        size_t len = strlen(page_line(page, i));

        width = len > width ? len : width;
    }
    return (int)width;
}
