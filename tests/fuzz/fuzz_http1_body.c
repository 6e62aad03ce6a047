/* SPDX-License-Identifier: Apache-2.0 */
/* The first byte picks the size of the pieces in which the rest, a chunked body, arrives. Content, trailers,
 * end and bytes used must be those of the whole; trailers that were accepted must parse; a body that was
 * plain is what comes out when its content is framed anew. */
#include "base/check.h"
#include "proto/http1.h"

#include <stdlib.h>

enum { ROOM = 65536 };

struct seen {
    struct http1_body body;
    enum http1_body_event last;
    uint32_t used, content_len, trailer_len;
    char content[ROOM], trailer[ROOM];
};

/* Decodes one piece from a copy of its own, so that a sanitizer sees each byte read beyond it. */
static void
feed(struct seen *seen, const char *at, uint32_t len)
{
    char *copy = malloc(len ? len : 1);
    struct http1_piece piece;

    ASSERT(copy);
    memcpy(copy, at, len);
    for (uint32_t off = 0;; off += piece.used) {
        seen->last = http1_body_next(&seen->body, copy + off, len - off, &piece);
        ASSERT(piece.used <= len - off && piece.data.off + piece.data.len <= piece.used);
        seen->used += piece.used;
        if (seen->last == BODY_DATA) {
            ASSERT(piece.data.len > 0);
            memcpy(seen->content + seen->content_len, copy + off + piece.data.off, piece.data.len);
            seen->content_len += piece.data.len;
        } else if (seen->last == BODY_TRAILER) {
            memcpy(seen->trailer + seen->trailer_len, copy + off + piece.data.off, piece.data.len);
            seen->trailer_len += piece.data.len;
        } else {
            break;
        }
    }
    free(copy);
}

static void
decode(struct seen *seen, const char *at, uint32_t len, uint32_t piece)
{
    uint32_t off = 0;

    http1_body_init(&seen->body, FRAMING_CHUNKED, 0);
    seen->used = seen->content_len = seen->trailer_len = 0;
    do {
        const uint32_t n = len - off < piece ? len - off : piece;

        feed(seen, at + off, n);
        off += n;
    } while (off < len && seen->last == BODY_MORE);
}

/* Frames the content as one chunk and decodes that. */
static void
check_framed_anew(const struct seen *whole)
{
    static struct seen again;
    static char bytes[ROOM];
    uint32_t n = 0;

    if (whole->content_len) {
        n = http1_chunk_header(whole->content_len, bytes);
        memcpy(bytes + n, whole->content, whole->content_len);
        n += whole->content_len;
        memcpy(bytes + n, "\r\n", 2);
        n += 2;
    }
    memcpy(bytes + n, "0\r\n\r\n", 5);
    n += 5;
    decode(&again, bytes, n, n);
    ASSERT(again.last == BODY_END && again.used == n && again.body.plain && again.trailer_len == 0);
    ASSERT(again.content_len == whole->content_len);
    ASSERT(memcmp(again.content, whole->content, whole->content_len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct seen whole, parts;
    static struct http1_head head;

    if (size == 0 || size > ROOM / 2)
        return 0;
    decode(&whole, (const char *)data + 1, (uint32_t)size - 1, ROOM);
    decode(&parts, (const char *)data + 1, (uint32_t)size - 1, data[0] % 32u + 1);
    ASSERT(parts.last == whole.last && parts.content_len == whole.content_len);
    ASSERT(memcmp(parts.content, whole.content, whole.content_len) == 0);
    if (whole.last == BODY_BAD)
        return 0;
    ASSERT(parts.used == whole.used && parts.body.plain == whole.body.plain &&
           parts.body.left == whole.body.left);
    ASSERT(parts.trailer_len == whole.trailer_len);
    ASSERT(memcmp(parts.trailer, whole.trailer, whole.trailer_len) == 0);
    if (whole.last != BODY_END)
        return 0;
    check_framed_anew(&whole);
    ASSERT(!(whole.trailer_len && whole.body.plain));
    if (whole.trailer_len) { /* well-formed, so only too many of them are refused */
        const enum parse_result r = http1_parse_trailers(whole.trailer, whole.trailer_len, &head);

        ASSERT(r == PARSE_OK || head.count == HTTP1_HEADERS_MAX);
    }
    return 0;
}
