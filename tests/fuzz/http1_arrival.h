/* SPDX-License-Identifier: Apache-2.0 */
/* The property of both head parsers: a head that arrives in two pieces, or byte by byte, is judged as the
 * whole is. */
#ifndef TESTS_HTTP1_ARRIVAL_H
#define TESTS_HTTP1_ARRIVAL_H

#include "base/check.h"
#include "proto/http1.h"

#include <stdlib.h>

struct outcome {
    enum parse_result result;
    enum close_reason why;
    uint32_t used;
    struct http1_head head;
};

typedef void parse_fn(const char *at, uint32_t len, uint32_t scanned, const struct http1_limits *limits,
                      struct outcome *ret);

static inline bool
same_text(struct text a, const char *a_base, struct text b, const char *b_base)
{
    if (a.len == 0 || b.len == 0)
        return a.len == b.len;
    return text_eq(a, b) &&
           (a.at - a_base == b.at - b_base || a.len == 1); /* path may be a constant of one byte */
}

/* Both heads say the same of their copies of the bytes. */
static inline void
check_same_head(const struct http1_head *a, const char *a_base, const struct http1_head *b,
                const char *b_base)
{
    ASSERT(a->is_reply == b->is_reply && a->minor == b->minor && a->method == b->method);
    ASSERT(a->framing == b->framing && a->length == b->length && a->status == b->status);
    ASSERT(a->keep_alive == b->keep_alive && a->upgrade == b->upgrade &&
           a->expect_continue == b->expect_continue);
    ASSERT(same_text(a->target, a_base, b->target, b_base) && same_text(a->path, a_base, b->path, b_base));
    ASSERT(same_text(a->reason, a_base, b->reason, b_base));
    ASSERT(a->count == b->count && memcmp(a->first, b->first, sizeof a->first) == 0);
    for (unsigned i = 0; i < a->count; i++) {
        ASSERT(same_text(http_name(&a->headers[i]), a_base, http_name(&b->headers[i]), b_base));
        ASSERT(same_text(http_value(&a->headers[i]), a_base, http_value(&b->headers[i]), b_base));
        ASSERT(a->headers[i].id == b->headers[i].id && a->headers[i].drop == b->headers[i].drop);
    }
}

/* Parses a copy of the first n bytes, so that a sanitizer sees each byte read beyond them; the caller frees
 * it. */
static inline char *
parse_prefix(parse_fn *parse, const char *at, uint32_t n, uint32_t scanned, const struct http1_limits *limits,
             struct outcome *ret)
{
    char *copy = malloc(n ? n : 1);

    ASSERT(copy);
    memcpy(copy, at, n);
    parse(copy, n, scanned, limits, ret);
    return copy;
}

/* `parts` is what the pieces came to; without a fault it must be what the whole came to. A fault may come
 * with another reason or, while the head has no end, not yet. */
static inline void
check_parts(const struct outcome *whole, const char *at, uint32_t len, const struct outcome *parts,
            const char *copy)
{
    if (whole->result == PARSE_BAD) {
        ASSERT(parts->result != PARSE_OK);
        ASSERT(parts->result == PARSE_BAD || !memmem(at, len, "\r\n\r\n", 4));
        return;
    }
    ASSERT(parts->result == whole->result);
    if (whole->result == PARSE_OK) {
        ASSERT(parts->used == whole->used);
        check_same_head(&whole->head, at, &parts->head, copy);
    }
}

/* What holds of every head that was accepted. */
static inline void
check_accepted(const struct outcome *o, const char *at, const struct http1_limits *limits)
{
    const struct http1_head *h = &o->head;

    ASSERT(o->used >= 4 && o->used <= limits->head && h->count <= limits->headers);
    ASSERT(memcmp(at + o->used - 4, "\r\n\r\n", 4) == 0);
    for (uint32_t i = 0; i < o->used; i++) {
        const unsigned char c = (unsigned char)at[i];

        ASSERT(c >= 0x20 || c == '\t' || c == '\r' || c == '\n');
        ASSERT(c != '\n' || (i > 0 && at[i - 1] == '\r'));
        ASSERT(c != '\r' || at[i + 1] == '\n');
    }
    for (unsigned i = 0; i < h->count; i++) {
        const struct text value = http_value(&h->headers[i]);

        ASSERT(http_token(http_name(&h->headers[i])));
        ASSERT(text_eq(text_trim(value), value));
        ASSERT(h->headers[i].id == http_field_id(http_name(&h->headers[i])));
        ASSERT(h->first[h->headers[i].id] >= 1 && h->first[h->headers[i].id] <= i + 1);
    }
    ASSERT(!(h->first[HTTP_CONTENT_LENGTH] && h->first[HTTP_TRANSFER_ENCODING]));
    (void)http1_accepts(h, TEXT("text/event-stream"));
}

/* The first byte of the input picks where the rest is split. */
static inline void
check_arrival(parse_fn *parse, const uint8_t *data, size_t size)
{
    static const struct http1_limits limits = {.line = 200, .head = 1000, .headers = 12};
    static struct outcome whole, parts;
    const char *at = (const char *)data + 1;
    uint32_t len, split, n;
    char *copy;

    if (size == 0 || size > 4096)
        return;
    len = (uint32_t)size - 1;
    parse(at, len, 0, &limits, &whole);
    if (whole.result == PARSE_OK)
        check_accepted(&whole, at, &limits);

    split = len ? data[0] * len / 255 : 0;
    copy = parse_prefix(parse, at, split, 0, &limits, &parts);
    if (parts.result == PARSE_MORE) {
        free(copy);
        copy = parse_prefix(parse, at, len, split, &limits, &parts);
    }
    check_parts(&whole, at, len, &parts, copy);

    for (n = 0; n < len; n++) {
        free(copy);
        copy = parse_prefix(parse, at, n + 1, n, &limits, &parts);
        if (parts.result != PARSE_MORE)
            break;
    }
    if (len)
        check_parts(&whole, at, len, &parts, copy);
    free(copy);
}

#endif
