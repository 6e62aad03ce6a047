/* SPDX-License-Identifier: Apache-2.0 */
/* One reply, step by step; see reply.h. */
#include "reply.h"

enum { STATE_HEAD, STATE_BODY, STATE_END };

static const struct http1_limits limits = {.line = 16 << 10, .head = 64 << 10, .headers = HTTP1_HEADERS_MAX};

static bool
grow_event(struct sse_buffer *buffer, uint32_t used, uint32_t need)
{
    struct reply *reply = (struct reply *)((char *)buffer - offsetof(struct reply, event_buffer));

    if (need > REPLY_BODY_MAX)
        return false;
    reply->event_data.len = used;
    bytes_room(&reply->event_data, need - used);
    buffer->at = reply->event_data.at;
    buffer->size = (uint32_t)reply->event_data.size;
    return true;
}

void
reply_start(struct reply *reply, enum http_method method, bool keep)
{
    reply->keep = keep;
    reply->state = STATE_HEAD;
    reply->method = (uint8_t)method;
    reply->scanned = 0;
    reply->stash.len = 0;
    reply->data = reply->pending = reply->text = (struct text){NULL, 0};
}

void
reply_done(struct reply *reply)
{
    bytes_done(&reply->stash);
    bytes_done(&reply->event_data);
    free(reply->parser);
    reply->parser = NULL;
}

static void
start_events(struct reply *reply)
{
    if (!reply->parser)
        reply->parser = malloc(sizeof(*reply->parser));
    ASSERT(reply->parser);
    reply->event_buffer =
        (struct sse_buffer){reply->event_data.at, (uint32_t)reply->event_data.size, grow_event};
    sse_parser_init(reply->parser, &reply->event_buffer);
}

static bool
is_event_stream(const struct http1_head *head)
{
    struct text type = http1_value(head, HTTP_CONTENT_TYPE), name = TEXT("text/event-stream");

    return type.len >= name.len && text_eq_nocase((struct text){type.at, name.len}, name) &&
           (type.len == name.len || type.at[name.len] == ';' || type.at[name.len] == ' ');
}

/* A head in pieces is gathered in the stash. 1xx replies are passed over. */
static enum reply_step
next_head(struct reply *reply, const char *at, uint32_t len, uint32_t *ret_used)
{
    uint32_t before = (uint32_t)reply->stash.len, used;
    struct http1_head head;
    enum close_reason why;

    *ret_used = len;
    if (before) {
        bytes_add(&reply->stash, at, len);
        at = reply->stash.at;
        len += before;
    }
    switch (http1_parse_reply(at, len, reply->scanned, reply->method, &limits, &head, &used, &why)) {
    case PARSE_MORE:
        reply->scanned = len;
        if (!before)
            bytes_add(&reply->stash, at, len);
        return REPLY_MORE;
    case PARSE_BAD:
        return REPLY_BAD;
    case PARSE_OK:
        break;
    }
    *ret_used = used - before;
    reply->stash.len = 0;
    reply->scanned = 0;
    if (head.status < 200 && head.status != 101)
        return REPLY_HEAD; /* an interim reply: state stays STATE_HEAD */
    reply->status = head.status;
    reply->keep_alive = head.keep_alive;
    reply->until_close = head.framing == FRAMING_CLOSE || head.framing == FRAMING_TUNNEL;
    reply->session = http1_value(&head, HTTP_MCP_SESSION_ID);
    reply->sse = is_event_stream(&head);
    http1_body_init(&reply->decoder, head.framing, head.length);
    if (reply->sse)
        start_events(reply);
    reply->state = STATE_BODY;
    return REPLY_HEAD;
}

static bool
next_event(struct reply *reply, enum reply_step *ret_step)
{
    uint32_t used = 0;
    enum parse_result result;

    if (!reply->data.len)
        return false;
    result = sse_parser_next(reply->parser, reply->data.at, reply->data.len, &used, &reply->event);
    reply->data = result == PARSE_OK ? (struct text){reply->data.at + used, reply->data.len - used}
                                     : (struct text){NULL, 0};
    *ret_step = result == PARSE_BAD ? REPLY_BAD : REPLY_EVENT;
    return result != PARSE_MORE;
}

/* The body stays where it came as long as it lies in one piece of the input. */
static void
keep_pending(struct reply *reply)
{
    bytes_text(&reply->stash, reply->pending);
    reply->pending = (struct text){NULL, 0};
}

static enum reply_step
end_body(struct reply *reply)
{
    reply->state = STATE_END;
    if (!reply->stash.len) {
        reply->text = reply->pending;
    } else {
        keep_pending(reply);
        reply->text = (struct text){reply->stash.at, (uint32_t)reply->stash.len};
    }
    reply->pending = (struct text){NULL, 0};
    return REPLY_END;
}

static enum reply_step
next_body(struct reply *reply, const char *at, uint32_t len, uint32_t *ret_used)
{
    struct http1_piece piece;
    enum reply_step step;

    *ret_used = 0;
    if (reply->sse && next_event(reply, &step))
        return step;
    for (;;) {
        const char *from = at + *ret_used;
        enum http1_body_event event = http1_body_next(&reply->decoder, from, len - *ret_used, &piece);

        *ret_used += piece.used;
        switch (event) {
        case BODY_DATA:
            if (reply->sse) {
                reply->data = (struct text){from + piece.data.off, piece.data.len};
                if (next_event(reply, &step))
                    return step;
            } else if (reply->keep) {
                keep_pending(reply);
                reply->pending = (struct text){from + piece.data.off, piece.data.len};
                if (reply->stash.len + piece.data.len > REPLY_BODY_MAX)
                    return REPLY_BAD;
            }
            break;
        case BODY_TRAILER:
            break;
        case BODY_MORE:
            keep_pending(reply);
            return REPLY_MORE;
        case BODY_END:
            return end_body(reply);
        case BODY_BAD:
            return REPLY_BAD;
        }
    }
}

enum reply_step
reply_next(struct reply *reply, const char *at, uint32_t len, uint32_t *ret_used)
{
    uint32_t used = 0, part;

    if (reply->state == STATE_BODY)
        return next_body(reply, at, len, ret_used);
    while (reply->state == STATE_HEAD && used < len) {
        enum reply_step step = next_head(reply, at + used, len - used, &part);

        used += part;
        *ret_used = used;
        if (step != REPLY_HEAD || reply->state == STATE_BODY)
            return step;
    }
    *ret_used = used;
    return used == len ? REPLY_MORE : REPLY_BAD; /* bytes after the end that nobody asked for */
}

bool
reply_end_of_file(struct reply *reply)
{
    if (reply->state != STATE_BODY || !reply->until_close)
        return false;
    end_body(reply);
    return true;
}
