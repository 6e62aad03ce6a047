/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/stdio_conn.h"

#include <stdlib.h>

enum { HELD_FIRST = 8 << 10 };

BUF_STATIC_TEXT(line_end, "\n");

/* --- memory of lines --- */

struct line_buf {
    struct buf buf; /* first */
    struct stdio_shared *shared;
};

static void
release(struct buf_home *home, struct buf *buf)
{
    struct line_buf *b = (struct line_buf *)(void *)buf;

    (void)home;
    b->shared->held_bytes -= buf->size;
    free(buf->data);
    free(b);
}

void
stdio_shared_init(struct stdio_shared *shared, struct net *net, uint32_t line_max)
{
    *shared = (struct stdio_shared){.net = net, .home = {release}, .line_max = line_max};
}

void
stdio_shared_done(struct stdio_shared *shared)
{
    ASSERT(shared->held_bytes == 0);
}

static bool
has_room(const struct stdio_shared *shared, uint32_t more)
{
    const struct slab *slab = shared->net->slab;

    return !slab->limit_bytes || slab->used_bytes + shared->held_bytes + more <= slab->limit_bytes;
}

struct buf *
stdio_buf(struct stdio_shared *shared, uint32_t size)
{
    struct line_buf *b = has_room(shared, size) ? calloc(1, sizeof *b) : NULL;

    if (!b)
        return NULL;
    b->buf = (struct buf){
        .data = malloc(size ? size : 1), .home = &shared->home, .size = size, .refs = 1, .kind = BUF_SLAB};
    b->shared = shared;
    if (!b->buf.data) {
        free(b);
        return NULL;
    }
    shared->held_bytes += size;
    return &b->buf;
}

/* Only for a buffer that nobody else holds. */
static bool
grow(struct stdio_shared *shared, struct buf *buf, uint32_t size)
{
    uint8_t *larger;

    ASSERT(buf->refs == 1);
    if (!has_room(shared, size - buf->size) || !(larger = realloc(buf->data, size)))
        return false;
    shared->held_bytes += size - buf->size;
    buf->data = larger;
    buf->size = size;
    return true;
}

/* --- receiving --- */

static void
drop_held(struct stdio *stdio)
{
    buf_unref(stdio->held);
    stdio->held = NULL;
}

/* Room for `need` bytes of a line, of which `used` are there. */
static bool
make_room(struct stdio *stdio, uint32_t need)
{
    uint64_t size = stdio->held ? stdio->held->size : HELD_FIRST;

    while (size < need)
        size *= 2;
    if (size > (uint64_t)stdio->lines.max + 1)
        size = (uint64_t)stdio->lines.max + 1;
    if (!stdio->held)
        return (stdio->held = stdio_buf(stdio->shared, (uint32_t)size)) != NULL;
    return size == stdio->held->size || grow(stdio->shared, stdio->held, (uint32_t)size);
}

/* False: there is no memory, and the line is lost. */
static bool
keep(struct stdio *stdio, struct text part, uint32_t kept)
{
    if (!part.len)
        return true;
    if (!make_room(stdio, kept + part.len)) {
        drop_held(stdio);
        return false;
    }
    memcpy(stdio->held->data + kept, part.at, part.len);
    return true;
}

static void
deliver(struct stdio *stdio, struct span line)
{
    struct text text = {(const char *)span_data(line), line.len};
    enum lines_kind kind = lines_kind_of(text);
    bool may_be_cut = stdio->may_be_cut;

    stdio->may_be_cut = false;
    if (kind == LINES_MESSAGE)
        stdio->up->on_line(stdio, line);
    else if (kind == LINES_JUNK && !may_be_cut)
        stdio->up->on_bad(stdio, STDIO_JUNK, text);
}

/* `found` lies in `bytes`, or, when a part was kept, behind it. */
static void
take_line(struct stdio *stdio, struct span bytes, struct lines_part found)
{
    uint32_t off = (uint32_t)((const uint8_t *)found.part.at - bytes.buf->data);
    struct buf *held = stdio->held;

    if (!found.kept) {
        drop_held(stdio); /* a lone CR may have been kept */
        deliver(stdio, span_of(bytes.buf, off, found.part.len));
        return;
    }
    if (!held || !keep(stdio, found.part, found.kept)) {
        stdio->up->on_bad(stdio, STDIO_NO_MEMORY, (struct text){0});
        return;
    }
    held = stdio->held;
    stdio->held = NULL; /* the reader's from here on */
    deliver(stdio, span_of(held, 0, found.kept + found.part.len));
    buf_unref(held);
}

/* The part of a line that goes on. Without memory it is lost, which is told at the line's end. */
static void
keep_part(struct stdio *stdio, struct text part)
{
    uint32_t before = stdio->lines.kept - part.len;

    if (part.len && (before == 0 || stdio->held))
        keep(stdio, part, before);
}

static void
on_bytes(struct link *link, struct span bytes)
{
    struct stdio *stdio = stdio_of(link);
    struct text rest = {(const char *)span_data(bytes), bytes.len};

    while (rest.len && link->state == LINK_OPEN) {
        struct lines_part found;

        switch (lines_next(&stdio->lines, &rest, &found)) {
        case LINES_LINE:
            take_line(stdio, bytes, found);
            break;
        case LINES_LONG:
            drop_held(stdio);
            stdio->up->on_bad(stdio, STDIO_LONG, (struct text){0});
            break;
        case LINES_MORE:
            keep_part(stdio, found.part);
            break;
        }
    }
}

static void
on_end(struct link *link)
{
    struct stdio *stdio = stdio_of(link);

    stdio->up->on_end(stdio);
    link_abort(link, CLOSE_UPSTREAM_GONE, false);
}

static void
on_connected(struct link *link, int error)
{
    (void)link, (void)error;
}

static void
on_writable(struct link *link)
{
    struct stdio *stdio = stdio_of(link);

    stdio->up->on_writable(stdio);
}

static void
on_broken(struct link *link, enum close_reason reason)
{
    struct stdio *stdio = stdio_of(link);

    (void)reason;
    stdio->up->on_end(stdio);
}

static void
on_closed(struct link *link, enum close_reason reason)
{
    struct stdio *stdio = stdio_of(link);

    drop_held(stdio);
    stdio->up->on_closed(stdio, reason);
}

static const struct link_up link_events = {
    .on_bytes = on_bytes,
    .on_end = on_end,
    .on_connected = on_connected,
    .on_writable = on_writable,
    .on_broken = on_broken,
    .on_closed = on_closed,
};

/* --- sending --- */

void
stdio_init(struct stdio *stdio, struct stdio_shared *shared, const struct stdio_up *up)
{
    stdio->shared = shared;
    stdio->up = up;
    stdio->lines.max = shared->line_max;
    link_init(&stdio->link, shared->net, &link_events, LINK_UPSTREAM);
    link_set_transport(&stdio->link, TRANSPORT_STDIO);
}

void
stdio_open(struct stdio *stdio, int fd, bool again)
{
    stdio->may_be_cut = again;
    link_open(&stdio->link, fd);
    if (again) /* ends what the other worker may have begun */
        link_push(&stdio->link, PRIORITY_NORMAL, span_all(&line_end));
}

void
stdio_send(struct stdio *stdio, const struct span *pieces, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        ASSERT(!memchr(span_data(pieces[i]), '\n', pieces[i].len));
        link_push(&stdio->link, PRIORITY_NORMAL, pieces[i]);
    }
    link_push(&stdio->link, PRIORITY_NORMAL, span_all(&line_end));
}

void
stdio_abort(struct stdio *stdio, enum close_reason reason)
{
    link_abort(&stdio->link, reason, false);
}
