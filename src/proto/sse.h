/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Server-sent events (WHATWG HTML 9.2), three parts:
 *
 *   sse_scan     finds where events end in bytes that are passed on untouched; 8 bytes of state, for each
 * stream sse_parser   takes events apart; for programs that read them sse_write_*  makes them
 *
 * All take the bytes in any pieces and answer the same for every division. Lines end with LF, CRLF or CR; one
 * BOM at the start is no part of the first line.
 */
#ifndef PROTO_SSE_H
#define PROTO_SSE_H

#include "base/text.h"
#include "proto/parse.h"

/* --- boundaries of a spliced stream --- */

struct sse_scan { /* zero: the start of a stream */
    uint8_t line; /* private: what the current line is */
    uint8_t bom;  /* private: bytes of a BOM seen, or that there is none */
    uint8_t id;   /* private: how much of an id field was matched */
    bool cr;      /* private: the last byte was a CR, and an LF still belongs to it */
    bool event;   /* private: the current block has a field line */
};

enum { SSE_ID_MAX = 120 };

/* The last event id of a stream, as a client would send it in Last-Event-ID. The caller gives one, zeroed,
 * for streams whose id matters. */
struct sse_id {
    uint8_t len;
    bool overflow; /* the last id is longer than SSE_ID_MAX: len is 0 and the stream can't be resumed */
    bool next_set; /* private, as all next_: the id of an event that has not ended yet */
    bool next_overflow;
    bool line_bad; /* private: the id holds a NUL, so its line counts for nothing */
    uint8_t next_len, line_len;
    bool line_overflow;
    char id[SSE_ID_MAX];
    char next[SSE_ID_MAX];
    char line[SSE_ID_MAX];
};

/* Returns how many events ended in these bytes. An event is a block of lines with at least one that is no
 * comment; it ends with the blank line. */
uint32_t sse_scan(struct sse_scan *scan, const char *at, uint32_t len);

/* The same, and keeps the last event id in *keep (NULL: sse_scan()). One stream uses one of the two
 * throughout. */
uint32_t sse_scan_ids(struct sse_scan *scan, struct sse_id *keep, const char *at, uint32_t len);

/* As sse_scan(), but stops in front of the first line that may be an id: *ret_used < len then, and what
 * follows is for sse_scan_ids() with a zeroed sse_id. So a stream without ids needs none. */
uint32_t sse_scan_until_id(struct sse_scan *scan, const char *at, uint32_t len, uint32_t *ret_used);

/* As sse_scan(), but stops behind the first event that ends: *ret_used < len then, unless nothing follows,
 * and 1 is returned. Of a CR LF that ends it the LF is left to what follows. */
uint32_t sse_scan_event(struct sse_scan *scan, const char *at, uint32_t len, uint32_t *ret_used);

/* Whether SSE_HEARTBEAT may be inserted here: at the start, after a blank line, and after a comment line that
 * is not inside an event. When it is inserted before the first byte, a BOM that comes later is no longer at
 * the start: sse_scan_bom() says how much to leave out. */
bool sse_scan_at_boundary(const struct sse_scan *scan);

/* How many of the first bytes at `at` belong to a BOM; asked before sse_scan() of the same bytes. */
uint32_t sse_scan_bom(const struct sse_scan *scan, const char *at, uint32_t len);

/* --- events taken apart --- */

enum { SSE_NAME_MAX = 64, SSE_LAST_ID_MAX = 256 };

struct sse_event {
    struct text event; /* its name; len 0: "message" */
    struct text data;  /* the data lines joined by LF */
    struct text id;    /* the last event id of the stream, perhaps of an earlier event */
    int64_t retry_ms;  /* the reconnection time as far as the stream has set one, else -1 */
};

enum sse_fault {
    SSE_FINE,
    SSE_DATA_TOO_LONG, /* does not fit the buffer, and it did not grow */
    SSE_NAME_TOO_LONG, /* an event name over SSE_NAME_MAX bytes */
    SSE_ID_TOO_LONG,   /* an id over SSE_LAST_ID_MAX bytes */
};

/* Where the data of one event is gathered. */
struct sse_buffer {
    char *at;
    uint32_t size;
    /* Makes room for at least `need` bytes, keeping the first `used`: sets at and size and returns true.
     * NULL: the buffer stays as it is. */
    bool (*grow)(struct sse_buffer *buffer, uint32_t used, uint32_t need);
};

struct sse_parser {
    struct sse_buffer *buffer; /* the caller's; stays his */
    int64_t retry_ms;          /* -1: not set yet */
    uint8_t fault;             /* enum sse_fault, after PARSE_BAD */
    uint8_t part, bom;         /* private from here */
    bool cr, has_data;
    uint8_t key_len, event_len;
    uint16_t id_len, value_len;
    uint32_t data_len;
    char key[8];
    char event[SSE_NAME_MAX];
    char id[SSE_LAST_ID_MAX];
    char value[SSE_LAST_ID_MAX];
};

void sse_parser_init(struct sse_parser *parser, struct sse_buffer *buffer);

/* Parses up to the end of one event. PARSE_OK: *ret_event is filled in and points into the parser and its
 * buffer until the next call; call again with what follows *ret_used. PARSE_MORE: all bytes are used.
 * PARSE_BAD: the event is over a limit (parser->fault, sse_fault_text()); the stream can't be parsed further.
 * Blocks without data set id and retry but give no event (WHATWG 9.2.6). What follows the last blank line at
 * the end of the stream is void. */
enum parse_result sse_parser_next(struct sse_parser *parser, const char *at, uint32_t len, uint32_t *ret_used,
                                  struct sse_event *ret_event);

const char *sse_fault_text(enum sse_fault fault);

/* --- writing --- */

/* A comment and a blank line: no event for any client, wherever sse_scan_at_boundary() holds. */
#define SSE_HEARTBEAT ":\n\n"

/* Ends what sse_write_head() began. */
#define SSE_EVENT_END "\n\n"

/* Writes what stands before the data of a one-line event: "event: ..", "id: ..", "retry: .." as far as they
 * are set (event.at, id.at not NULL; retry_ms >= 0), then "data: ". The data (without CR or LF: JSON has
 * none) and SSE_EVENT_END follow from elsewhere. Returns the length, or 0 when it does not fit out[size] or a
 * name holds a CR, LF or NUL. */
uint32_t sse_write_head(char *out, uint32_t size, const struct sse_event *event);

/* Writes a whole event; data of several lines (LF, CRLF or CR) becomes several data fields. Returns as above.
 */
uint32_t sse_write_event(char *out, uint32_t size, const struct sse_event *event);

#endif
