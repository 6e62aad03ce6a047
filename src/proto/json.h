/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON (RFC 8259) without a tree: values are spans of raw text in the caller's bytes, which are contiguous.
 *
 *      {"name": "echo", "arguments": {"text": "h\u0069"}}
 *               |<-->| value of name, quotes included
 *
 * Two ways to get past a value:
 *
 *   JSON_SCAN_FAST    strings are followed to their end and brackets must match in kind; what stands between
 *                     is not looked at. For text that somebody else will parse.
 *   JSON_SCAN_STRICT  everything RFC 8259 says: numbers, literals, commas, escapes, UTF-8; and surrogates
 *                     come in pairs.
 *
 * Neither recurses; nesting ends at JSON_DEPTH_MAX. No name here is one of jansson's: both may be in one
 * program.
 */
#ifndef PROTO_JSON_H
#define PROTO_JSON_H

#include "base/text.h"

enum { JSON_DEPTH_MAX = 64 };

enum json_mode { JSON_SCAN_FAST, JSON_SCAN_STRICT };

enum json_kind {
    JSON_IS_ABSENT, /* no value: an empty span */
    JSON_IS_STRING,
    JSON_IS_NUMBER,
    JSON_IS_OBJECT,
    JSON_IS_ARRAY,
    JSON_IS_TRUE,
    JSON_IS_FALSE,
    JSON_IS_NULL,
};

enum json_fault {
    JSON_FINE,
    JSON_SYNTAX,    /* not JSON, as far as the mode looks */
    JSON_TRUNCATED, /* the text ends inside a value */
    JSON_DEEP,      /* nested deeper than JSON_DEPTH_MAX */
};

/* --- past values (json_skip.c: the file that a faster twin replaces) --- */

/* The first byte at or after `at` that is no white space, or end. */
const char *json_skip_space(const char *at, const char *end);

/* `at` is behind the opening quote of a string. Returns the place behind its closing quote, or NULL and
 * *ret_fault. Control characters are refused in both modes. *ret_escaped: the string holds a backslash. */
const char *json_skip_string(const char *at, const char *end, enum json_mode mode, bool *ret_escaped,
                             enum json_fault *ret_fault);

/* `at` is the first byte of a value that stands `depth` levels deep (0: the top). Returns the place behind
 * it, or NULL and *ret_fault. */
const char *json_skip_value(const char *at, const char *end, enum json_mode mode, unsigned depth,
                            enum json_fault *ret_fault);

/* Whether `text` is one JSON value and nothing else but white space. */
enum json_fault json_check(struct text text, enum json_mode mode);

/* --- reading; memory-safe on any bytes, right on those that passed JSON_SCAN_STRICT --- */

/* What a value's first byte says it is. */
enum json_kind json_kind_of(struct text value);

struct json_member {
    struct text key;   /* raw, quotes included */
    struct text value; /* raw */
};

/* Takes the next member off *rest, which starts as an object's raw text; false at its end (or where it is
 * malformed).
 *
 *     struct text rest = object;
 *     while (json_next_member(&rest, &member)) ...
 */
bool json_next_member(struct text *rest, struct json_member *ret_member);

/* The same for the elements of an array. */
bool json_next_element(struct text *rest, struct text *ret_value);

/* Whether a raw string (quotes included) means `plain`, however it is spelled. */
bool json_string_is(struct text raw, struct text plain);

/* The value of the last member with this key (as JavaScript takes it); at NULL when there is none or `object`
 * is no object. */
struct text json_find(struct text object, struct text key);

/* Decodes a raw string (quotes included) to UTF-8. Returns the length written to out[size], or -1 when it is
 * no string, malformed, or does not fit. raw.len bytes are always enough. */
int json_string_decode(struct text raw, char *out, uint32_t size);

/* A number without a fraction, however it is spelled (1.0 and 1e2 are integers), within +-2^53; else false.
 */
bool json_read_integer(struct text raw, int64_t *ret);

/* A number that a double can hold; false for 1e999 and for spellings over 400 bytes. Expects the C locale. */
bool json_read_double(struct text raw, double *ret);

/* --- writing --- */

/* Text that grows in a buffer of the caller. When it is full, `full` is set and nothing more is written; the
 * caller checks once, at the end. */
struct json_writer {
    char *at;
    uint32_t size, len;
    bool full;
};

static inline struct text
json_written(const struct json_writer *w)
{
    return (struct text){w->at, w->len};
}

void json_put(struct json_writer *w, struct text raw);         /* as it is */
void json_put_string(struct json_writer *w, struct text utf8); /* quoted, escaped; bad UTF-8 becomes U+FFFD */
void json_put_integer(struct json_writer *w, int64_t n);
void json_put_double(struct json_writer *w,
                     double n); /* the shortest text that reads back the same; finite only */

/* Writes `utf8` as a JSON string, quotes included. Returns its length, or 0 when it does not fit out[size].
 */
uint32_t json_write_string(char *out, uint32_t size, struct text utf8);

#endif
