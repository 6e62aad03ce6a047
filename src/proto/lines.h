/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lines of the stdio transport: one JSON-RPC message a line, ended by LF; a CR before it is no part of the
 * line. Bytes come in any pieces, and every division gives the same lines. Nothing is copied here: what a
 * piece holds of a line that has not ended is the caller's to keep.
 *
 *      piece 1    ...}\n{"jsonrpc":"2.0",            LINES_MORE   part = {"jsonrpc":"2.0",   kept by the
 * caller piece 2    "id":1}\r\n{"json...               LINES_LINE   kept bytes, then part = "id":1}
 */
#ifndef PROTO_LINES_H
#define PROTO_LINES_H

#include "base/text.h"

enum lines_result {
    LINES_MORE, /* the piece is used up; `part` belongs to the line that goes on: keep it */
    LINES_LINE, /* a line has ended: the first `kept` of the kept bytes, then `part` */
    LINES_LONG, /* the line is longer than `max`: what was kept of it is of no use; its rest is passed over */
};

struct lines {         /* zero but for max: the start of a stream */
    uint32_t max;      /* bytes of a line without its end */
    uint32_t kept;     /* private: bytes of the line that the caller keeps */
    bool cr;           /* private: the last of them is a CR, which may belong to the line's end */
    bool passing_over; /* private: until the next line end */
};

struct lines_part {
    struct text part; /* in the piece */
    uint32_t kept;    /* LINES_LINE: bytes of the line that were kept before */
};

/* Takes one step through a piece: *rest moves on, and is empty after LINES_MORE. Call again after the other
 * two. */
enum lines_result lines_next(struct lines *lines, struct text *rest, struct lines_part *ret);

/* What a line is, by its first byte that is no blank. */
enum lines_kind {
    LINES_MESSAGE, /* may be a JSON object or array */
    LINES_BLANK,
    LINES_JUNK,
};
enum lines_kind lines_kind_of(struct text line);

/* Makes one line of a JSON text, in place: line ends between its tokens become spaces. Strings hold none that
 * are not escaped (RFC 8259 7), so the text means the same. */
void lines_flatten(char *json, uint32_t len);

#endif
