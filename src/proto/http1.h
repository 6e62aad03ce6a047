/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/1.1 messages (RFC 9110, 9112), both roles, strict: what two parsers could read differently is PARSE_BAD.
 *
 * A head is parsed from contiguous bytes that start with its first byte:
 *
 *      POST /mcp HTTP/1.1\r\n  Host: a\r\n ...  \r\n  body...
 *      |<------------ head: *ret_used bytes ---------->|
 *
 * What is bad (each has a vector in tests/unit/http1): bare CR or LF, obs-fold, white space before ':', empty or
 * non-token field names, NUL and other control bytes in values, Content-Length together with Transfer-Encoding,
 * Content-Length lists or differing repeats, a Transfer-Encoding that is not exactly "chunked", any
 * Transfer-Encoding in HTTP/1.0, a second Host or none in HTTP/1.1, a repeated ONCE field, a target that is not
 * origin-form (or "*" for OPTIONS), bytes outside 0x21..0x7e in it.
 */
#ifndef PROTO_HTTP1_H
#define PROTO_HTTP1_H

#include "base/close_reason.h"
#include "base/text.h"
#include "proto/parse.h"

enum http_field {
    HTTP_OTHER,
#define HTTP_FIELD(id, name, flags) HTTP_##id,
#include "proto/http_field.def"
#undef HTTP_FIELD
    HTTP_FIELDS
};

enum http_method {
    METHOD_GET,
    METHOD_HEAD,
    METHOD_POST,
    METHOD_PUT,
    METHOD_DELETE,
    METHOD_OPTIONS,
    METHOD_PATCH,
    METHOD_OTHER, /* any other token; CONNECT is bad */
    METHODS
};

enum http1_framing {
    FRAMING_NONE,    /* no body */
    FRAMING_LENGTH,  /* Content-Length */
    FRAMING_CHUNKED,
    FRAMING_CLOSE,   /* reply only: until the connection ends */
    FRAMING_TUNNEL,  /* after 101: both directions until they end */
};

struct http_header {
    const char *name, *value; /* value without surrounding white space */
    uint32_t value_len;
    uint16_t name_len;
    uint8_t id;   /* enum http_field */
    bool drop;    /* hop-by-hop: a HOP field, or named by Connection; never forwarded */
};

enum { HTTP1_HEADERS_MAX = 128 };

struct http1_limits {
    uint32_t line;    /* bytes of the first line: URI_TOO_LONG above */
    uint32_t head;    /* bytes of the whole head: HEAD_TOO_LARGE above */
    uint32_t headers; /* fields, at most HTTP1_HEADERS_MAX: HEAD_TOO_LARGE above */
};

struct http1_head {
    bool is_reply;
    uint8_t minor;       /* HTTP/1.minor: 0 or 1 */
    uint8_t method;      /* request: enum http_method */
    uint8_t framing;     /* of this message's body, decided: enum http1_framing */
    uint16_t status;     /* reply: 100..599 */
    uint16_t count;      /* of headers[] */
    uint64_t length;     /* FRAMING_LENGTH */
    struct text method_text, target, reason;
    bool keep_alive;      /* the sender lets the connection stand after this message */
    bool expect_continue; /* Expect: 100-continue (any other expectation is EXPECTATION) */
    bool upgrade;         /* Connection: upgrade with an Upgrade field */
    uint8_t first[HTTP_FIELDS];   /* 1 + index in headers[] of the first with that id; 0: absent */
    struct http_header headers[HTTP1_HEADERS_MAX];
};

/* Parses a request head. `scanned` says how many leading bytes an earlier call on the same bytes has seen without
 * finding the end (0 at first), so that a slow head costs no quadratic time. Leading CRLFs are not skipped here.
 * PARSE_OK: *ret_head and *ret_used are set. PARSE_BAD: *ret_why. PARSE_MORE: a limit is reported as soon as it is
 * certain, not only at the end. */
enum parse_result http1_parse_request(const char *at, uint32_t len, uint32_t scanned, const struct http1_limits *limits,
                                      struct http1_head *ret_head, uint32_t *ret_used, enum close_reason *ret_why);

/* Parses a reply head to a request of `method` (HEAD, and 1xx, 204 and 304 have no body). *ret_why is
 * CLOSE_BAD_REPLY. A 101 gets FRAMING_TUNNEL. */
enum parse_result http1_parse_reply(const char *at, uint32_t len, uint32_t scanned, enum http_method method,
                                    const struct http1_limits *limits, struct http1_head *ret_head,
                                    uint32_t *ret_used, enum close_reason *ret_why);

/* Parses the fields of a trailer section: `at` holds "name: value\r\n"... and the final CRLF. Fields that may not
 * be trailers (framing, routing, authentication: RFC 9110 6.5.1) get drop = true. */
enum parse_result http1_parse_trailers(const char *at, uint32_t len, struct http1_head *ret_head);

static inline struct text
http_name(const struct http_header *h)
{
    return (struct text){h->name, h->name_len};
}

static inline struct text
http_value(const struct http_header *h)
{
    return (struct text){h->value, h->value_len};
}

/* The first field with this id, or NULL. */
static inline const struct http_header *
http1_find(const struct http1_head *head, enum http_field id)
{
    return head->first[id] ? &head->headers[head->first[id] - 1] : NULL;
}

/* The value of the first field with this id; len 0 and at NULL when there is none. */
static inline struct text
http1_value(const struct http1_head *head, enum http_field id)
{
    const struct http_header *h = http1_find(head, id);

    return h ? http_value(h) : (struct text){NULL, 0};
}

enum http_field http_field_id(struct text name); /* HTTP_OTHER when unknown; case is ignored */
const char *http_reason_phrase(int status);      /* "Not Found"; "Unknown" for what it does not know */

/* --- bodies --- */

/* Decodes one body. Start with http1_body_init(); hand over the bytes in order, in any pieces. */
struct http1_body {
    uint64_t left;      /* bytes of the length or of the current chunk still to come */
    uint8_t framing;
    uint8_t state;      /* private */
    uint8_t line_len;   /* private: bytes of the current chunk-size line; bounded */
    bool plain;         /* chunked: no chunk so far had an extension or an unusual size line, no trailers */
};

enum http1_body_event {
    BODY_MORE,    /* all bytes are used */
    BODY_DATA,    /* ret->data is a piece of the content */
    BODY_TRAILER, /* ret->data is a piece of the trailer section, its final CRLF included */
    BODY_END,     /* the body is whole; ret->used may be less than len: the next message follows */
    BODY_BAD,
};

struct http1_piece {
    uint32_t used;      /* bytes of the input taken by this call, framing included */
    struct {
        uint32_t off, len;
    } data;             /* relative to the input of this call */
};

void http1_body_init(struct http1_body *body, enum http1_framing framing, uint64_t length);

/* One event of the input; call again with the rest. FRAMING_NONE and a length of 0 answer BODY_END at once.
 * FRAMING_CLOSE and FRAMING_TUNNEL never end: the caller knows. */
enum http1_body_event http1_body_next(struct http1_body *body, const char *at, uint32_t len, struct http1_piece *ret);

/* Between chunks (or not chunked at all): bytes from one such point to another may be passed on as they are when
 * body->plain holds. */
bool http1_body_at_boundary(const struct http1_body *body);

/* Writes the chunk header of `n` bytes ("1a\r\n") to out[16]; returns its length. The chunk ends with CRLF. */
uint32_t http1_chunk_header(uint32_t n, char out[16]);

#endif
