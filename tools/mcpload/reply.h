/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One reply read from a connection: head, body, and the events in it when it is an SSE stream. Pure: bytes
 * in, steps out; the caller loops until REPLY_MORE.
 */
#ifndef MCPLOAD_REPLY_H
#define MCPLOAD_REPLY_H

#include "bytes.h"
#include "proto/http1.h"
#include "proto/sse.h"

enum reply_step {
    REPLY_MORE,  /* all bytes are used */
    REPLY_HEAD,  /* the head is whole: reply->status, sse, session... are set */
    REPLY_EVENT, /* reply->event, until the next call */
    REPLY_END,   /* the reply is whole; reply->text is its body if keep was set and it is no SSE */
    REPLY_BAD,   /* it is not valid */
};

enum { REPLY_SESSION_MAX = 1024 };

struct reply {
    bool keep; /* the caller's: gather the body */
    bool sse;  /* Content-Type is text/event-stream */
    bool keep_alive;
    bool until_close; /* the end of the connection ends the body */
    uint16_t status;
    struct text session; /* Mcp-Session-Id; valid until the call after REPLY_HEAD */
    struct sse_event event;
    struct text text;
    /* private */
    uint8_t state, method;
    uint32_t scanned;
    struct http1_body decoder;
    struct text data, pending; /* pieces of the input of the call under way */
    struct bytes stash;        /* a head or a body in pieces */
    struct sse_parser *parser; /* allocated with the first stream */
    struct bytes event_data;
    struct sse_buffer event_buffer;
};

enum { REPLY_BODY_MAX = 64 << 20 };

/* Ready for the reply to a request of `method`. Keeps the memory of the one before. */
void reply_start(struct reply *reply, enum http_method method, bool keep);
/* One step. *ret_used says how many bytes it took. */
enum reply_step reply_next(struct reply *reply, const char *at, uint32_t len, uint32_t *ret_used);
/* At the end of the connection: true when that is the proper end of the reply (reply->text is then set). */
bool reply_end_of_file(struct reply *reply);
void reply_done(struct reply *reply);

#endif
