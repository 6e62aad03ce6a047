/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Message bodies as a stream (RFC 9112 6, 7): where the content lies in bytes that come in any pieces.
 * Content is never looked at, only pointed to; the framing around it goes byte by byte through one state
 * machine.
 *
 *      1a;x=y\r\n  <26 bytes>  \r\n   ...   0\r\n  [name: value\r\n ...]  \r\n
 *      SIZE..EXT.. DATA        DATA_CR      ...LAST TRAILER_..            END_LF
 */
#include "proto/http1.h"

#include "base/check.h"
#include "proto/http_syntax.h"

enum state {
    STATE_SIZE_FIRST,  /* at the first digit of a chunk-size line; the boundary between chunks */
    STATE_SIZE,        /* after at least one digit */
    STATE_EXT_NAME,    /* after ';': at the first byte of an extension's name */
    STATE_EXT_NAME_IN, /* in the name */
    STATE_EXT_VALUE,   /* after '=' */
    STATE_EXT_TOKEN,   /* in a value that is a token */
    STATE_EXT_QUOTED,  /* in a value between quotes */
    STATE_EXT_PAIR,    /* after the backslash of a quoted pair */
    STATE_EXT_END,     /* after the closing quote */
    STATE_SIZE_LF,     /* after the CR of a size line */
    STATE_DATA,        /* `left` bytes of content to come */
    STATE_DATA_CR,     /* after the content: CR */
    STATE_DATA_LF,
    STATE_LAST,    /* after the last size line: CR, or the first trailer field's name */
    STATE_END_LF,  /* after that CR, or the one after the last trailer field */
    STATE_TRAILER, /* at the first byte of a line of the trailer section; `left` counts its bytes down from
                      here */
    STATE_TRAILER_NAME, /* in a name */
    STATE_TRAILER_VALUE,
    STATE_TRAILER_LF,
    STATE_TRAILER_END_LF, /* after the CR that ends the section */
    STATE_ENDED,
    STATE_BAD,
};

enum { SIZE_LINE_MAX = 255, SIZE_DIGITS_MAX = 16 };

void
http1_body_init(struct http1_body *body, enum http1_framing framing, uint64_t length)
{
    *body = (struct http1_body){
        .left = framing == FRAMING_LENGTH ? length : 0,
        .framing = (uint8_t)framing,
        .state = framing == FRAMING_CHUNKED ? STATE_SIZE_FIRST : STATE_DATA,
        .plain = true,
    };
}

bool
http1_body_at_boundary(const struct http1_body *body)
{
    return body->framing != FRAMING_CHUNKED || body->state == STATE_SIZE_FIRST || body->state == STATE_ENDED;
}

static enum state
step_digit(struct http1_body *body, char c)
{
    if (!http_is(c, CLASS_HEX) || body->line_len > SIZE_DIGITS_MAX || body->left > INT64_MAX >> 4)
        return STATE_BAD;
    if (body->line_len > 1 && body->left == 0)
        body->plain = false; /* a leading zero: some read it as octal */
    body->left = body->left << 4 | http_hex(c);
    return STATE_SIZE;
}

/* What may follow a complete size, extension name or value. */
static enum state
step_after(struct http1_body *body, char c)
{
    if (c == '\r')
        return STATE_SIZE_LF;
    if (c != ';')
        return STATE_BAD;
    body->plain = false;
    return STATE_EXT_NAME;
}

/* The next state after `c` of a chunk-size line (RFC 9112 7.1). The white space that its grammar calls "bad"
 * is bad: servers are known to differ about it. */
static enum state
step_size_line(struct http1_body *body, char c)
{
    if (body->line_len == SIZE_LINE_MAX)
        return STATE_BAD;
    body->line_len++;
    switch (body->state) {
    case STATE_SIZE_FIRST:
        return step_digit(body, c);
    case STATE_SIZE:
        return http_is(c, CLASS_HEX) ? step_digit(body, c) : step_after(body, c);
    case STATE_EXT_NAME:
        return http_is(c, CLASS_TOKEN) ? STATE_EXT_NAME_IN : STATE_BAD;
    case STATE_EXT_NAME_IN:
        if (c == '=')
            return STATE_EXT_VALUE;
        return http_is(c, CLASS_TOKEN) ? STATE_EXT_NAME_IN : step_after(body, c);
    case STATE_EXT_VALUE:
        if (c == '"')
            return STATE_EXT_QUOTED;
        return http_is(c, CLASS_TOKEN) ? STATE_EXT_TOKEN : STATE_BAD;
    case STATE_EXT_TOKEN:
        return http_is(c, CLASS_TOKEN) ? STATE_EXT_TOKEN : step_after(body, c);
    case STATE_EXT_QUOTED:
        if (c == '"')
            return STATE_EXT_END;
        if (http_is_control(c))
            return STATE_BAD;
        return c == '\\' ? STATE_EXT_PAIR : STATE_EXT_QUOTED;
    case STATE_EXT_PAIR:
        return http_is_control(c) ? STATE_BAD : STATE_EXT_QUOTED;
    case STATE_EXT_END:
        return step_after(body, c);
    case STATE_SIZE_LF:
        body->line_len = 0;
        if (c != '\n')
            return STATE_BAD;
        return body->left ? STATE_DATA : STATE_LAST;
    default:
        UNREACHABLE();
    }
}

/* The next state after `c` of the trailer section (RFC 9112 7.1.2): whole field lines, so that what is passed
 * on is well-formed. */
static enum state
step_trailer(struct http1_body *body, char c)
{
    if (body->left == 0)
        return STATE_BAD;
    body->left--;
    switch (body->state) {
    case STATE_TRAILER:
        if (c == '\r')
            return STATE_TRAILER_END_LF;
        return http_is(c, CLASS_TOKEN) ? STATE_TRAILER_NAME : STATE_BAD;
    case STATE_TRAILER_NAME:
        if (c == ':')
            return STATE_TRAILER_VALUE;
        return http_is(c, CLASS_TOKEN) ? STATE_TRAILER_NAME : STATE_BAD;
    case STATE_TRAILER_VALUE:
        if (c == '\r')
            return STATE_TRAILER_LF;
        return http_is_control(c) ? STATE_BAD : STATE_TRAILER_VALUE;
    case STATE_TRAILER_LF:
        return c == '\n' ? STATE_TRAILER : STATE_BAD;
    case STATE_TRAILER_END_LF:
        return c == '\n' ? STATE_ENDED : STATE_BAD;
    default:
        UNREACHABLE();
    }
}

/* The next state after one byte that is neither content nor trailer. */
static enum state
step(struct http1_body *body, char c)
{
    switch (body->state) {
    case STATE_DATA_CR:
        return c == '\r' ? STATE_DATA_LF : STATE_BAD;
    case STATE_DATA_LF:
        return c == '\n' ? STATE_SIZE_FIRST : STATE_BAD;
    case STATE_END_LF:
        return c == '\n' ? STATE_ENDED : STATE_BAD;
    default:
        return step_size_line(body, c);
    }
}

static enum http1_body_event
next_data(struct http1_body *body, uint32_t off, uint32_t len, struct http1_piece *ret)
{
    const uint32_t n = body->left < len - off ? (uint32_t)body->left : len - off;

    body->left -= n;
    ret->data.off = off;
    ret->data.len = n;
    ret->used = off + n;
    return BODY_DATA;
}

static enum http1_body_event
next_trailer(struct http1_body *body, const char *at, uint32_t off, uint32_t len, struct http1_piece *ret)
{
    uint32_t i = off;

    while (i < len && body->state != STATE_ENDED && body->state != STATE_BAD)
        body->state = (uint8_t)step_trailer(body, at[i++]);
    ret->used = i;
    if (body->state == STATE_BAD)
        return BODY_BAD;
    ret->data.off = off;
    ret->data.len = i - off;
    return BODY_TRAILER;
}

static enum http1_body_event
next_chunked(struct http1_body *body, const char *at, uint32_t len, struct http1_piece *ret)
{
    for (uint32_t i = 0;; i++) {
        ret->used = i;
        if (body->state == STATE_ENDED)
            return BODY_END;
        if (body->state == STATE_BAD)
            return BODY_BAD;
        if (i == len)
            return BODY_MORE;
        if (body->state == STATE_DATA) {
            next_data(body, i, len, ret);
            if (body->left == 0)
                body->state = STATE_DATA_CR;
            return BODY_DATA;
        }
        if (body->state == STATE_LAST && at[i] == '\r') {
            body->state = STATE_END_LF;
            continue;
        }
        if (body->state == STATE_LAST) {
            body->state = STATE_TRAILER;
            body->left = HTTP1_TRAILERS_MAX;
            body->plain = false;
        }
        if (body->state >= STATE_TRAILER)
            return next_trailer(body, at, i, len, ret);
        body->state = (uint8_t)step(body, at[i]);
    }
}

enum http1_body_event
http1_body_next(struct http1_body *body, const char *at, uint32_t len, struct http1_piece *ret)
{
    *ret = (struct http1_piece){0};
    switch (body->framing) {
    case FRAMING_CHUNKED:
        return next_chunked(body, at, len, ret);
    case FRAMING_CLOSE:
    case FRAMING_TUNNEL:
        body->left = len;
        break;
    default:
        if (body->left == 0)
            return BODY_END;
    }
    return len ? next_data(body, 0, len, ret) : BODY_MORE;
}

uint32_t
http1_chunk_header(uint32_t n, char out[16])
{
    static const char digits[16] = "0123456789abcdef";
    uint32_t len = 0, shift = 28;

    while (shift > 0 && n >> shift == 0)
        shift -= 4;
    for (;; shift -= 4) {
        out[len++] = digits[n >> shift & 15];
        if (shift == 0)
            break;
    }
    out[len++] = '\r';
    out[len++] = '\n';
    return len;
}
