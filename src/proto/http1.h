/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/1.1 messages (RFC 9110, 9112), both roles, strict: what two parsers could read differently is
 * PARSE_BAD.
 *
 * A head is parsed from contiguous bytes that start with its first byte:
 *
 *      POST /mcp HTTP/1.1\r\n  Host: a\r\n ...  \r\n  body...
 *      |<------------ head: *ret_used bytes ---------->|
 *
 * What is bad (each has a vector in tests/unit/http1_vectors.h): bare CR or LF, obs-fold, white space before
 * ':', empty or non-token field names, NUL and other control bytes in values, Content-Length together with
 * Transfer-Encoding, a Content-Length that is not one plain decimal number (no list, sign, leading zero; at
 * most 18 digits), a Transfer-Encoding that is not exactly "chunked", any Transfer-Encoding in HTTP/1.0, a
 * second Host or none in HTTP/1.1, a Host that is empty or holds anything but one host and port, a repeated
 * ONCE field, CONNECT, a known method in the wrong case, a target that is not origin-form, absolute-form or
 * "*" (OPTIONS only), bytes outside 0x21..0x7e, '#', "%00" or an incomplete %XX in it, more than 32 elements
 * in Connection. Dot segments, "//" and other %XX are left to the router.
 *
 * An absolute-form target (RFC 9112 3.2.2) is accepted for http and https when its authority is the Host's
 * value and its path is not empty in front of a query.
 *
 * Connection drops the fields it names, except those that the gateway knows as end-to-end (rows without HOP)
 * and Mcp-*: a client that could name Host, Content-Length, Authorization or Mcp-Session-Id there would have
 * the gateway and the upstream act on different requests. Such an option is ignored and the field is
 * forwarded (RFC 9110 7.6.1 forbids senders to name fields that are meant for all recipients).
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
    FRAMING_NONE,   /* no body */
    FRAMING_LENGTH, /* Content-Length */
    FRAMING_CHUNKED,
    FRAMING_CLOSE,  /* reply only: until the connection ends */
    FRAMING_TUNNEL, /* after 101: both directions until they end */
};

struct http_header {
    const char *name, *value; /* value without surrounding white space */
    uint32_t value_len;
    uint16_t name_len;
    uint8_t id; /* enum http_field */
    bool drop;  /* hop-by-hop: a HOP field, or named by Connection; never forwarded */
};

enum { HTTP1_HEADERS_MAX = 128 };

struct http1_limits {
    uint32_t line;    /* bytes of the first line: URI_TOO_LONG above */
    uint32_t head;    /* bytes of the whole head: HEAD_TOO_LARGE above */
    uint32_t headers; /* fields, at most HTTP1_HEADERS_MAX: HEAD_TOO_LARGE above */
};

struct http1_head {
    bool is_reply;
    uint8_t minor;   /* HTTP/1.minor: 0 or 1 */
    uint8_t method;  /* request: enum http_method */
    uint8_t framing; /* of this message's body, decided: enum http1_framing */
    uint16_t status; /* reply: 100..599 */
    uint16_t count;  /* of headers[] */
    uint64_t length; /* FRAMING_LENGTH */
    struct text method_text, target, reason;
    struct text path;     /* request: target in origin-form ("/a?b") or "*": what absolute-form leaves */
    bool keep_alive;      /* the sender lets the connection stand after this message */
    bool expect_continue; /* Expect: 100-continue from an HTTP/1.1 client whose body is not empty */
    bool upgrade;         /* HTTP/1.1, Connection: upgrade, and an Upgrade field */
    uint8_t first[HTTP_FIELDS]; /* 1 + index in headers[] of the first with that id; 0: absent */
    struct http_header headers[HTTP1_HEADERS_MAX];
};

/* Parses a request head. `scanned` says how many leading bytes an earlier call on the same bytes has seen
 * without finding the end (0 at first), so that a slow head costs no quadratic time. Leading CRLFs are not
 * skipped here. limits: head is at most 64 KiB, headers at most HTTP1_HEADERS_MAX.
 *   PARSE_OK    *ret_head and *ret_used are set; headers[] beyond count is not
 *   PARSE_BAD   *ret_why is BAD_REQUEST, VERSION, EXPECTATION, URI_TOO_LONG or HEAD_TOO_LARGE
 *   PARSE_MORE  not whole. A limit is reported as soon as it is certain. With scanned > 0 a fault that is not
 *               a control byte, a bare line end or a folded line may wait for the head's end.
 * Without PARSE_OK, *ret_head is undefined. */
enum parse_result http1_parse_request(const char *at, uint32_t len, uint32_t scanned,
                                      const struct http1_limits *limits, struct http1_head *ret_head,
                                      uint32_t *ret_used, enum close_reason *ret_why);

/* Parses a reply head to a request of `method`; like http1_parse_request but *ret_why is always
 * CLOSE_BAD_REPLY. HEAD replies, 1xx, 204 and 304 have no body whatever their fields say (a Content-Length in
 * 1xx and 204 gets drop = true); a 101 gets FRAMING_TUNNEL. Without Content-Length and chunked the body ends
 * with the connection: FRAMING_CLOSE and keep_alive = false. The reason phrase and the space before it may be
 * missing. */
enum parse_result http1_parse_reply(const char *at, uint32_t len, uint32_t scanned, enum http_method method,
                                    const struct http1_limits *limits, struct http1_head *ret_head,
                                    uint32_t *ret_used, enum close_reason *ret_why);

enum { HTTP1_TRAILERS_MAX = 8192 }; /* bytes of a trailer section, its final CRLF included */

/* Parses the fields of a trailer section: `at` holds "name: value\r\n"... and the final CRLF, as BODY_TRAILER
 * gave them; len is at most HTTP1_TRAILERS_MAX, else PARSE_BAD. Only count, headers[] and first[] of
 * *ret_head are set. Fields that may not be trailers (framing, routing, authentication, content: RFC
 * 9110 6.5.1; every field the gateway knows is one) get drop = true. */
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

bool http_token(struct text s);                            /* RFC 9110 5.6.2: one or more tchar */
bool http_list_has(struct text list, struct text element); /* of a comma-separated list; case is ignored */

enum http_accept {
    ACCEPT_NOT,   /* excluded by q=0, or not mentioned */
    ACCEPT_RANGE, /* by a wildcard for the subtype or for both, or because there is no Accept field */
    ACCEPT_NAMED, /* the type itself is listed */
};

/* What the Accept fields say about `media_type` ("text/event-stream"): the most specific range that matches
 * decides (RFC 9110 12.5.1). Usable as a boolean. */
enum http_accept http1_accepts(const struct http1_head *head, struct text media_type);

/* Whether the Content-Type is this media type, whatever its parameters. */
bool http1_content_is(const struct http1_head *head, struct text media_type);

/* --- bodies --- */

/* Decodes one body. Start with http1_body_init(); hand over the bytes in order, in any pieces. */
struct http1_body {
    uint64_t left; /* bytes of the length or of the current chunk still to come */
    uint8_t framing;
    uint8_t state;    /* private */
    uint8_t line_len; /* private: bytes of the current chunk-size line; bounded */
    bool plain;       /* chunked: no chunk so far had an extension or leading zeros, no trailers */
};

enum http1_body_event {
    BODY_MORE,    /* all bytes are used */
    BODY_DATA,    /* ret->data is a piece of the content */
    BODY_TRAILER, /* ret->data is a piece of the trailer section, its final CRLF included */
    BODY_END,     /* the body is whole; ret->used may be less than len: the next message follows */
    BODY_BAD,
};

struct http1_piece {
    uint32_t used; /* bytes of the input taken by this call, framing included */
    struct {
        uint32_t off, len;
    } data; /* relative to the input of this call */
};

void http1_body_init(struct http1_body *body, enum http1_framing framing, uint64_t length);

/* One event of the input; call again with the rest, also when that is empty, until it answers BODY_MORE,
 * BODY_END or BODY_BAD (the end of a length shows only in the call after its last BODY_DATA). BODY_END and
 * BODY_BAD repeat. FRAMING_NONE and a length of 0 answer BODY_END at once. FRAMING_CLOSE and FRAMING_TUNNEL
 * never end: the caller knows. A chunked body without trailer fields gives no BODY_TRAILER; with them the
 * pieces together are what http1_parse_trailers takes.
 * Bad: a size line that does not start with 1..16
 * hexadecimal digits, a size of 2^63 or more, a size line longer than 255 bytes, white space or control bytes
 * in extensions, a line end that is not CRLF, chunk data not followed by CRLF, trailers that are not
 * well-formed fields or longer than HTTP1_TRAILERS_MAX. */
enum http1_body_event http1_body_next(struct http1_body *body, const char *at, uint32_t len,
                                      struct http1_piece *ret);

/* Between chunks (or not chunked at all): bytes from one such point to another may be passed on as they are
 * when body->plain holds. */
bool http1_body_at_boundary(const struct http1_body *body);

/* Writes the chunk header of `n` bytes ("1a\r\n") to out[16]; returns its length. Its data ends with CRLF. */
uint32_t http1_chunk_header(uint32_t n, char out[16]);

#endif
