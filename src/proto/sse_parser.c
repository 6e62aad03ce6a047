/* SPDX-License-Identifier: Apache-2.0 */
/* The event parser of sse.h: a line is a key, gathered in key[], and a value, which goes to the data buffer
 * as it comes or is gathered in value[] until its line ends. */
#include "proto/sse.h"
#include "proto/sse_line.h"

/* Where in a line the next byte stands. */
enum {
    PART_START, /* first byte of a line */
    PART_KEY,
    PART_SPACE, /* after the colon: one space is skipped */
    PART_DATA,  /* the value of a data field */
    PART_VALUE, /* the value of another known field */
    PART_SKIP,  /* a comment, or a field nobody knows */
};

void
sse_parser_init(struct sse_parser *parser, struct sse_buffer *buffer)
{
    memset(parser, 0, sizeof *parser);
    parser->buffer = buffer;
    parser->retry_ms = -1;
}

const char *
sse_fault_text(enum sse_fault fault)
{
    static const char *const texts[] = {
        [SSE_FINE] = "no fault",
        [SSE_DATA_TOO_LONG] = "the data of an event is longer than the buffer for it",
        [SSE_NAME_TOO_LONG] = "the name of an event is too long",
        [SSE_ID_TOO_LONG] = "the id of an event is too long",
    };

    return texts[fault];
}

static bool
key_is(const struct sse_parser *p, struct text name)
{
    return text_eq((struct text){p->key, p->key_len}, name);
}

static enum sse_fault
data_append(struct sse_parser *p, const char *at, uint32_t len)
{
    struct sse_buffer *b = p->buffer;

    if (len > UINT32_MAX - p->data_len)
        return SSE_DATA_TOO_LONG;
    if (p->data_len + len > b->size && (!b->grow || !b->grow(b, p->data_len, p->data_len + len)))
        return SSE_DATA_TOO_LONG;
    if (len)
        memcpy(b->at + p->data_len, at, len);
    p->data_len += len;
    return SSE_FINE;
}

/* The key is whole: decides what becomes of the value. */
static enum sse_fault
key_end(struct sse_parser *p)
{
    p->value_len = 0;
    if (key_is(p, TEXT("data"))) {
        p->part = PART_DATA;
        /* Each field adds its value and an LF, of which the last is taken away again: an LF between fields.
         */
        if (p->has_data)
            return data_append(p, "\n", 1);
        p->has_data = true;
    } else if (key_is(p, TEXT("event")) || key_is(p, TEXT("id")) || key_is(p, TEXT("retry"))) {
        p->part = PART_VALUE;
    } else {
        p->part = PART_SKIP;
    }
    return SSE_FINE;
}

static enum sse_fault
value_append(struct sse_parser *p, const char *at, uint32_t len)
{
    bool is_event = key_is(p, TEXT("event"));
    uint32_t limit = is_event ? SSE_NAME_MAX : SSE_LAST_ID_MAX;

    if (len > limit - p->value_len) {
        if (key_is(p, TEXT("retry"))) {
            p->part = PART_SKIP;
            return SSE_FINE;
        }
        return is_event ? SSE_NAME_TOO_LONG : SSE_ID_TOO_LONG;
    }
    memcpy(p->value + p->value_len, at, len);
    p->value_len = (uint16_t)(p->value_len + len);
    return SSE_FINE;
}

static void
set_retry(struct sse_parser *p)
{
    int64_t ms = 0;

    if (!p->value_len)
        return;
    for (uint16_t i = 0; i < p->value_len; i++) {
        if (p->value[i] < '0' || p->value[i] > '9')
            return;
        if (ms < INT32_MAX)
            ms = ms * 10 + (p->value[i] - '0');
    }
    p->retry_ms = ms < INT32_MAX ? ms : INT32_MAX;
}

/* A line has ended whose value went to value[]. */
static void
value_end(struct sse_parser *p)
{
    if (key_is(p, TEXT("event"))) {
        p->event_len = (uint8_t)p->value_len;
        memcpy(p->event, p->value, p->value_len);
    } else if (key_is(p, TEXT("retry"))) {
        set_retry(p);
    } else if (!memchr(p->value, 0, p->value_len)) {
        p->id_len = p->value_len;
        memcpy(p->id, p->value, p->value_len);
    }
}

static enum sse_fault
line_end(struct sse_parser *p)
{
    enum sse_fault fault = SSE_FINE;

    /* A line without a colon is a field whose value is empty. */
    if (p->part == PART_KEY)
        fault = key_end(p);
    else if (p->part == PART_SPACE)
        p->part = key_is(p, TEXT("data")) ? PART_DATA : PART_VALUE;
    if (p->part == PART_VALUE)
        value_end(p);
    p->part = PART_START;
    return fault;
}

/* Takes the piece at..end, which lies within one line. */
static enum sse_fault
line_feed(struct sse_parser *p, const char *at, const char *end)
{
    enum sse_fault fault;

    if (p->part == PART_START) {
        p->key_len = 0;
        p->part = *at == ':' ? PART_SKIP : PART_KEY;
    }
    for (; p->part == PART_KEY && at < end; at++) {
        if (*at == ':') {
            fault = key_end(p);
            if (fault != SSE_FINE)
                return fault;
            if (p->part != PART_SKIP)
                p->part = PART_SPACE;
        } else if (p->key_len == sizeof p->key) {
            p->part = PART_SKIP;
        } else {
            p->key[p->key_len++] = *at;
        }
    }
    if (p->part == PART_SPACE && at < end) {
        if (*at == ' ')
            at++;
        p->part = key_is(p, TEXT("data")) ? PART_DATA : PART_VALUE;
    }
    if (at == end)
        return SSE_FINE;
    if (p->part == PART_DATA)
        return data_append(p, at, (uint32_t)(end - at));
    return p->part == PART_VALUE ? value_append(p, at, (uint32_t)(end - at)) : SSE_FINE;
}

/* A blank line: true when it ends an event. */
static bool
block_end(struct sse_parser *p, struct sse_event *ret_event)
{
    bool is_event = p->has_data;

    *ret_event = (struct sse_event){
        .event = {p->event, p->event_len},
        .data = {p->buffer->at, p->data_len},
        .id = {p->id, p->id_len},
        .retry_ms = p->retry_ms,
    };
    p->data_len = 0;
    p->event_len = 0;
    p->has_data = false;
    return is_event;
}

enum parse_result
sse_parser_next(struct sse_parser *p, const char *at, uint32_t len, uint32_t *ret_used,
                struct sse_event *ret_event)
{
    const char *begin = at, *end = at + len;
    enum sse_fault fault = SSE_FINE;

    if (p->fault)
        return PARSE_BAD;
    while (at < end && fault == SSE_FINE) {
        const char *piece;

        if (p->part == PART_START) {
            bool was_cr = p->cr;

            p->cr = false;
            if (was_cr && *at == '\n') {
                at++;
                continue;
            }
            switch (sse_bom_step(&p->bom, *at)) {
            case SSE_BOM_TAKEN:
                at++;
                continue;
            case SSE_BOM_BROKEN:
                p->part = PART_SKIP; /* no known field begins with these bytes */
                break;
            case SSE_BOM_NONE:
                if (*at != '\n' && *at != '\r')
                    break;
                p->cr = *at++ == '\r';
                if (!block_end(p, ret_event))
                    continue;
                *ret_used = (uint32_t)(at - begin);
                return PARSE_OK;
            }
        }
        piece = at;
        at = sse_line_end(at, end);
        fault = line_feed(p, piece, at);
        if (fault == SSE_FINE && at < end) {
            p->cr = *at++ == '\r';
            fault = line_end(p);
        }
    }
    p->fault = (uint8_t)fault;
    *ret_used = (uint32_t)(at - begin);
    return fault == SSE_FINE ? PARSE_MORE : PARSE_BAD;
}
