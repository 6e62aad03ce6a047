/* SPDX-License-Identifier: Apache-2.0 */
/* One line that says what the codec made of a message: what the vectors of http1_vectors.h are compared with.
 */
#ifndef TESTS_HTTP1_SUMMARY_H
#define TESTS_HTTP1_SUMMARY_H

#include "proto/http1.h"

#include <stdarg.h>
#include <stdio.h>

struct summary {
    char text[1024];
    size_t len;
};

__attribute__((format(printf, 2, 3))) static inline void
summary_add(struct summary *s, const char *format, ...)
{
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(s->text + s->len, sizeof s->text - s->len, format, args);
    va_end(args);
    s->len += (size_t)n < sizeof s->text - s->len ? (size_t)n : sizeof s->text - 1 - s->len;
}

static inline void
summary_add_bytes(struct summary *s, const char *at, uint32_t len)
{
    if (len > sizeof s->text - 1 - s->len)
        len = (uint32_t)(sizeof s->text - 1 - s->len);
    memcpy(s->text + s->len, at, len);
    s->len += len;
    s->text[s->len] = 0;
}

static inline void
summary_add_text(struct summary *s, struct text t)
{
    summary_add_bytes(s, t.at, t.len);
}

/* "POST /mcp 1.1 length:5 keep expect upgrade -Dropped +unread", or "200 OK 1.1 ..."; "more"; or the reason.
 */
static inline void
summarize_head(struct summary *s, enum parse_result r, const struct http1_head *h, enum close_reason why,
               uint32_t unread)
{
    static const char *const framings[] = {[FRAMING_NONE] = "none",
                                           [FRAMING_LENGTH] = "length",
                                           [FRAMING_CHUNKED] = "chunked",
                                           [FRAMING_CLOSE] = "until-close",
                                           [FRAMING_TUNNEL] = "tunnel"};

    *s = (struct summary){.len = 0};
    if (r != PARSE_OK) {
        summary_add(s, "%s", r == PARSE_MORE ? "more" : close_reason_info(why)->name);
        return;
    }
    if (h->is_reply)
        summary_add(s, "%d ", h->status);
    summary_add_text(s, h->is_reply ? h->reason : h->method_text);
    if (!h->is_reply) {
        summary_add(s, " ");
        summary_add_text(s, h->path);
    }
    summary_add(s, " 1.%d %s", h->minor, framings[h->framing]);
    if (h->framing == FRAMING_LENGTH)
        summary_add(s, ":%llu", (unsigned long long)h->length);
    summary_add(s, " %s%s%s", h->keep_alive ? "keep" : "close", h->expect_continue ? " expect" : "",
                h->upgrade ? " upgrade" : "");
    for (unsigned i = 0; i < h->count; i++)
        if (h->headers[i].drop)
            summary_add(s, " -%.*s", h->headers[i].name_len, h->headers[i].name);
    if (unread)
        summary_add(s, " +%u", unread);
}

/* What a body gave so far. */
struct body_summary {
    struct summary content, trailer;
    uint64_t used;
    enum http1_body_event last;
};

/* Feeds one piece of a body and adds what comes out; stops for good at the end or the first fault. */
static inline void
summarize_piece(struct body_summary *s, struct http1_body *body, const char *at, uint32_t len)
{
    struct http1_piece piece;

    for (uint32_t off = 0;; off += piece.used) {
        s->last = http1_body_next(body, at + off, len - off, &piece);
        s->used += piece.used;
        if (s->last == BODY_DATA)
            summary_add_bytes(&s->content, at + off + piece.data.off, piece.data.len);
        else if (s->last == BODY_TRAILER)
            summary_add_bytes(&s->trailer, at + off + piece.data.off, piece.data.len);
        else
            return;
    }
}

/* "[content]{trailers} end plain +unread", or "more", or "bad" (what came of the trailers before is left
 * out). */
static inline void
summarize_body(struct summary *s, const struct body_summary *b, const struct http1_body *body, uint32_t len)
{
    *s = (struct summary){.len = 0};
    summary_add(s, "[");
    summary_add_bytes(s, b->content.text, (uint32_t)b->content.len);
    summary_add(s, "]");
    if (b->last == BODY_BAD) {
        summary_add(s, " bad");
        return;
    }
    if (b->trailer.len)
        summary_add(s, "{%s}", b->trailer.text);
    summary_add(s, " %s%s", b->last == BODY_END ? "end" : "more", body->plain ? " plain" : "");
    if (b->used < len)
        summary_add(s, " +%u", (unsigned)(len - b->used));
}

#endif
