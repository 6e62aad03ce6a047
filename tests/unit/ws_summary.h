/* SPDX-License-Identifier: Apache-2.0 */
/* What a stream of WebSocket frames says, as text: the same however the bytes were divided. */
#ifndef TESTS_WS_SUMMARY_H
#define TESTS_WS_SUMMARY_H

#include "base/check.h"
#include "proto/ws.h"

#include <stdio.h>
#include <stdlib.h>

enum { WS_SUMMARY_MAX = 1 << 17 };

struct ws_summary {
    struct ws_parser parser;
    char message[WS_SUMMARY_MAX], text[2 * WS_SUMMARY_MAX];
    size_t message_len, len;
    uint64_t frame_left;
    bool bad;
};

static inline void
ws_summary_put(struct ws_summary *s, const char *name, struct text bytes)
{
    ASSERT(s->len + bytes.len + 64 < sizeof s->text);
    s->len += (size_t)sprintf(s->text + s->len, "%s:", name);
    if (bytes.len)
        memcpy(s->text + s->len, bytes.at, bytes.len);
    s->len += bytes.len;
    s->text[s->len++] = ';';
    s->text[s->len] = '\0';
}

static inline void
ws_summary_event(struct ws_summary *s, const struct ws_event *e)
{
    char close[32];

    if (e->opcode == WS_CLOSE) {
        snprintf(close, sizeof close, "close %u", e->code);
        ws_summary_put(s, close, e->payload);
    } else if (e->opcode >= WS_CLOSE) {
        ws_summary_put(s, e->opcode == WS_PING ? "ping" : "pong", e->payload);
    } else {
        ASSERT(e->begins == (s->message_len == 0 && e->begins));
        if (e->begins)
            s->message_len = 0;
        if (e->frame_begins)
            s->frame_left = e->frame_len;
        ASSERT(e->payload.len <= s->frame_left && s->message_len + e->payload.len <= sizeof s->message);
        s->frame_left -= e->payload.len;
        if (e->payload.len)
            memcpy(s->message + s->message_len, e->payload.at, e->payload.len);
        s->message_len += e->payload.len;
        if (!e->ends)
            return;
        ASSERT(!s->frame_left);
        ws_summary_put(s,
                       e->is_compressed       ? "compressed"
                       : e->opcode == WS_TEXT ? "text"
                                              : "binary",
                       (struct text){s->message, (uint32_t)s->message_len});
        s->message_len = 0;
    }
}

static inline void
ws_summary_feed(struct ws_summary *s, const char *bytes, uint32_t len)
{
    char *copy = malloc(len ? len : 1), *at = copy; /* so that reading past the end is seen */
    enum parse_result r = PARSE_MORE;
    struct ws_event e;
    uint32_t used;

    if (len)
        memcpy(copy, bytes, len);
    while (!s->bad && (r = ws_parser_next(&s->parser, at, len, &used, &e)) == PARSE_OK) {
        ASSERT(used <= len);
        at += used;
        len -= used;
        ws_summary_event(s, &e);
    }
    if (r == PARSE_BAD && !s->bad) {
        s->bad = true;
        ws_summary_put(s, "bad", text_of(ws_fault_text((enum ws_fault)s->parser.fault)));
    }
    free(copy);
}

static inline void
ws_summary_init(struct ws_summary *s, bool from_client, bool may_compress, uint64_t max_bytes)
{
    ws_parser_init(&s->parser, from_client, may_compress, max_bytes);
    s->message_len = s->len = 0;
    s->frame_left = 0;
    s->bad = false;
    s->text[0] = '\0';
}

#endif
