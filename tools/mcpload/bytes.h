/* SPDX-License-Identifier: Apache-2.0 */
/* A growing run of bytes that its owner composes text in or keeps input in. Zeroed is empty. Aborts when the
 * system has no memory. */
#ifndef MCPLOAD_BYTES_H
#define MCPLOAD_BYTES_H

#include "base/check.h"
#include "base/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

struct bytes {
    char *at;
    size_t len, size;
};

static inline char *
bytes_room(struct bytes *b, size_t n)
{
    if (b->size - b->len < n) {
        b->size = (b->len + n + 63) / 64 * 64 + b->size;
        b->at = realloc(b->at, b->size);
        ASSERT(b->at);
    }
    return b->at + b->len;
}

static inline void
bytes_add(struct bytes *b, const void *from, size_t n)
{
    if (n) {
        memcpy(bytes_room(b, n), from, n);
        b->len += n;
    }
}

static inline void
bytes_text(struct bytes *b, struct text t)
{
    bytes_add(b, t.at, t.len);
}

static inline void
bytes_fill(struct bytes *b, char c, size_t n)
{
    memset(bytes_room(b, n), c, n);
    b->len += n;
}

__attribute__((format(printf, 2, 3))) static inline void
bytes_print(struct bytes *b, const char *format, ...)
{
    va_list args, again;
    int n;

    va_start(args, format);
    va_copy(again, args);
    n = vsnprintf(NULL, 0, format, args);
    ASSERT(n >= 0);
    vsnprintf(bytes_room(b, (size_t)n + 1), (size_t)n + 1, format, again);
    b->len += (size_t)n;
    va_end(again);
    va_end(args);
}

/* Drops the first n bytes. */
static inline void
bytes_skip(struct bytes *b, size_t n)
{
    ASSERT(n <= b->len);
    b->len -= n;
    if (b->len)
        memmove(b->at, b->at + n, b->len);
}

static inline void
bytes_done(struct bytes *b)
{
    free(b->at);
    *b = (struct bytes){0};
}

#endif
