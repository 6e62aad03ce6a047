/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reference-counted buffers and the spans that point into them: everything above `ring` sees only these.
 *
 *      struct buf          data
 *     +-----------+      +---------------------------------------------+
 *     | data  ----+----> |          |<---- span: off, len ---->|        |
 *     | size, refs|      +---------------------------------------------+
 *     | home      |      0          off                    off+len    size
 *     +-----------+
 *
 * A span does not own its reference by itself: who keeps a span beyond the call that handed it over takes a
 * reference (span_ref) and gives it back (span_unref). A function says in its header when it is otherwise.
 * Counts are plain integers: a buf never leaves its worker.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include "base/check.h"

#include <stdint.h>
#include <string.h>

enum buf_kind {
    BUF_PROVIDED, /* from a provided buffer ring: scarce, the kernel receives into it */
    BUF_SLAB,     /* from the worker's slab: may wait for a slow reader */
    BUF_SHM,      /* in a shared segment (a slot's journal) */
    BUF_STATIC,   /* constant bytes of the program; never counted, never freed */
};

struct buf;

struct buf_home {
    void (*release)(struct buf_home *home, struct buf *buf); /* takes a buf whose count fell to zero */
};

struct buf {
    uint8_t *data;
    struct buf_home *home; /* NULL for BUF_STATIC */
    uint32_t size;         /* bytes at data */
    uint32_t refs;
    uint16_t id;   /* BUF_PROVIDED: index in its group */
    uint8_t kind;  /* enum buf_kind */
    uint8_t klass; /* BUF_PROVIDED: group; BUF_SLAB: size class; private to the home */
};

struct span {
    struct buf *buf;
    uint32_t off, len;
};

/* Defines a buf over a string literal, for spans of constant text. */
#define BUF_STATIC_TEXT(name, text)                                                                           \
    static struct buf name = {.data = (uint8_t *)(uintptr_t)(text), .size = sizeof(text) - 1, .kind = BUF_STATIC}

static inline struct buf *
buf_ref(struct buf *b)
{
    if (b->kind != BUF_STATIC)
        b->refs++;
    return b;
}

/* Gives one reference back; the last one sends the buf home. NULL is allowed. */
static inline void
buf_unref(struct buf *b)
{
    if (!b || b->kind == BUF_STATIC)
        return;
    ASSERT(b->refs > 0);
    if (--b->refs == 0)
        b->home->release(b->home, b);
}

static inline struct span
span_of(struct buf *b, uint32_t off, uint32_t len)
{
    ASSERT(off <= b->size && len <= b->size - off);
    return (struct span){b, off, len};
}

static inline struct span
span_all(struct buf *b)
{
    return (struct span){b, 0, b->size};
}

static inline uint8_t *
span_data(struct span s)
{
    return s.buf->data + s.off;
}

static inline struct span
span_skip(struct span s, uint32_t n)
{
    ASSERT(n <= s.len);
    return (struct span){s.buf, s.off + n, s.len - n};
}

static inline struct span
span_head(struct span s, uint32_t n)
{
    ASSERT(n <= s.len);
    return (struct span){s.buf, s.off, n};
}

static inline struct span
span_ref(struct span s)
{
    buf_ref(s.buf);
    return s;
}

static inline void
span_unref(struct span s)
{
    buf_unref(s.buf);
}

#endif
