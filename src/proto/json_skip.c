/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Past JSON values, in portable form (16 bytes at a time where SSE2 is there). The hot part of every scan: a
 * faster twin replaces this file behind the functions of json.h.
 *
 * The kinds of the open brackets are the bits of one word, the innermost lowest, so that nothing recurses.
 */
#include "proto/json.h"
#include "proto/json_escape.h"
#include "proto/utf8.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

static const char *
fault(enum json_fault *ret, enum json_fault why)
{
    *ret = why;
    return NULL;
}

static inline bool
is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

const char *
json_skip_space(const char *at, const char *end)
{
    while (at < end && is_space(*at))
        at++;
    return at;
}

/* The first quote, backslash, control character or (strict) byte over 0x7f; or end. */
static inline const char *
string_special(const char *at, const char *end, enum json_mode mode)
{
#ifdef __SSE2__
    const __m128i quote = _mm_set1_epi8('"'), backslash = _mm_set1_epi8('\\'), control = _mm_set1_epi8(0x1f);

    for (; end - at >= 16; at += 16) {
        __m128i v = _mm_loadu_si128((const __m128i *)(const void *)at);
        __m128i hit = _mm_or_si128(_mm_cmpeq_epi8(v, quote), _mm_cmpeq_epi8(v, backslash));
        unsigned hits;

        hit = _mm_or_si128(hit, _mm_cmpeq_epi8(_mm_min_epu8(v, control), v));
        if (mode == JSON_SCAN_STRICT)
            hit = _mm_or_si128(hit, v); /* the sign bit is all that movemask looks at */
        hits = (unsigned)_mm_movemask_epi8(hit);
        if (hits)
            return at + __builtin_ctz(hits);
    }
#endif
    for (; at < end; at++) {
        uint8_t c = (uint8_t)*at;

        if (c == '"' || c == '\\' || c < 0x20 || (c >= 0x80 && mode == JSON_SCAN_STRICT))
            break;
    }
    return at;
}

const char *
json_skip_string(const char *at, const char *end, enum json_mode mode, bool *ret_escaped,
                 enum json_fault *ret_fault)
{
    *ret_escaped = false;
    for (;;) {
        unsigned n;

        at = string_special(at, end, mode);
        if (at == end)
            return fault(ret_fault, JSON_TRUNCATED);
        if (*at == '"')
            return at + 1;
        if (*at == '\\') {
            *ret_escaped = true;
            if (end - at < 2)
                return fault(ret_fault, JSON_TRUNCATED);
            n = mode == JSON_SCAN_STRICT ? json_escape(at, end, NULL) : (uint8_t)at[1] < 0x20 ? 0 : 2;
        } else {
            n = (uint8_t)*at < 0x20 ? 0 : utf8_length(at, end);
        }
        if (!n)
            return fault(ret_fault, JSON_SYNTAX);
        at += n;
    }
}

static const char *
skip_digits(const char *at, const char *end)
{
    while (at < end && *at >= '0' && *at <= '9')
        at++;
    return at;
}

static const char *
skip_number(const char *at, const char *end, enum json_fault *ret_fault)
{
    const char *digits;

    at += *at == '-';
    digits = at;
    at = skip_digits(at, end);
    if (at == digits || (*digits == '0' && at - digits > 1))
        return fault(ret_fault, JSON_SYNTAX);
    if (at < end && *at == '.') {
        digits = ++at;
        at = skip_digits(at, end);
        if (at == digits)
            return fault(ret_fault, JSON_SYNTAX);
    }
    if (at < end && (*at == 'e' || *at == 'E')) {
        at++;
        if (at < end && (*at == '+' || *at == '-'))
            at++;
        digits = at;
        at = skip_digits(at, end);
        if (at == digits)
            return fault(ret_fault, JSON_SYNTAX);
    }
    return at;
}

static const char *
skip_literal(const char *at, const char *end, struct text literal, enum json_fault *ret_fault)
{
    if (end - at < (long)literal.len || memcmp(at, literal.at, literal.len) != 0)
        return fault(ret_fault, JSON_SYNTAX);
    return at + literal.len;
}

/* A number or a literal. */
static const char *
skip_scalar(const char *at, const char *end, enum json_fault *ret_fault)
{
    switch (*at) {
    case 't':
        return skip_literal(at, end, TEXT("true"), ret_fault);
    case 'f':
        return skip_literal(at, end, TEXT("false"), ret_fault);
    case 'n':
        return skip_literal(at, end, TEXT("null"), ret_fault);
    default:
        return skip_number(at, end, ret_fault);
    }
}

/* A key and its colon. */
static const char *
skip_key(const char *at, const char *end, enum json_fault *ret_fault)
{
    bool escaped;

    if (at == end || *at != '"')
        return fault(ret_fault, at == end ? JSON_TRUNCATED : JSON_SYNTAX);
    at = json_skip_string(at + 1, end, JSON_SCAN_STRICT, &escaped, ret_fault);
    if (!at)
        return NULL;
    at = json_skip_space(at, end);
    if (at == end || *at != ':')
        return fault(ret_fault, at == end ? JSON_TRUNCATED : JSON_SYNTAX);
    return json_skip_space(at + 1, end);
}

/* Closes brackets and takes a comma behind a value: returns where the next value begins, or, with *depth back
 * at `floor`, the place behind the outermost bracket. */
static const char *
skip_after_value(const char *at, const char *end, uint64_t *objects, unsigned *depth, unsigned floor,
                 enum json_fault *ret_fault)
{
    while (*depth > floor) {
        bool in_object = *objects & 1;

        at = json_skip_space(at, end);
        if (at == end)
            return fault(ret_fault, JSON_TRUNCATED);
        if (*at == ',') {
            at = json_skip_space(at + 1, end);
            return in_object ? skip_key(at, end, ret_fault) : at;
        }
        if (*at != (in_object ? '}' : ']'))
            return fault(ret_fault, JSON_SYNTAX);
        at++;
        *objects >>= 1;
        --*depth;
    }
    return at;
}

/* Opens a bracket: returns where its first value begins, or the place of its closing bracket when it is
 * empty. */
static const char *
skip_open(const char *at, const char *end, bool *ret_empty, enum json_fault *ret_fault)
{
    bool is_object = *at == '{';

    at = json_skip_space(at + 1, end);
    *ret_empty = at < end && *at == (is_object ? '}' : ']');
    return is_object && !*ret_empty ? skip_key(at, end, ret_fault) : at;
}

static const char *
skip_strict(const char *at, const char *end, unsigned floor, enum json_fault *ret_fault)
{
    uint64_t objects = 0; /* a bit per open bracket: 1 for an object */
    unsigned depth = floor;
    bool more;

    do {
        if (at == end)
            return fault(ret_fault, JSON_TRUNCATED);
        more = false;
        if (*at == '{' || *at == '[') {
            bool empty;

            if (depth++ == JSON_DEPTH_MAX)
                return fault(ret_fault, JSON_DEEP);
            objects = objects << 1 | (*at == '{');
            at = skip_open(at, end, &empty, ret_fault);
            more = !empty;
        } else if (*at == '"') {
            bool escaped;

            at = json_skip_string(at + 1, end, JSON_SCAN_STRICT, &escaped, ret_fault);
        } else {
            at = skip_scalar(at, end, ret_fault);
        }
        if (at && !more)
            at = skip_after_value(at, end, &objects, &depth, floor, ret_fault);
        if (!at)
            return NULL;
    } while (depth > floor);
    return at;
}

/* The first quote or bracket, or end. */
static inline const char *
find_structure(const char *at, const char *end)
{
#ifdef __SSE2__
    const __m128i quote = _mm_set1_epi8('"'), open = _mm_set1_epi8('{'), close = _mm_set1_epi8('}');
    const __m128i bit = _mm_set1_epi8(0x20); /* '[' and '{', ']' and '}' differ in this bit only */

    for (; end - at >= 16; at += 16) {
        __m128i v = _mm_loadu_si128((const __m128i *)(const void *)at), folded = _mm_or_si128(v, bit);
        __m128i hit = _mm_or_si128(_mm_cmpeq_epi8(folded, open), _mm_cmpeq_epi8(folded, close));
        unsigned hits = (unsigned)_mm_movemask_epi8(_mm_or_si128(hit, _mm_cmpeq_epi8(v, quote)));

        if (hits)
            return at + __builtin_ctz(hits);
    }
#endif
    while (at < end && *at != '"' && (*at | 0x20) != '{' && (*at | 0x20) != '}')
        at++;
    return at;
}

/* From an opening bracket to behind the one that closes it. */
static const char *
skip_brackets(const char *at, const char *end, unsigned floor, enum json_fault *ret_fault)
{
    uint64_t objects = 0;
    unsigned depth = floor;
    bool escaped;

    do {
        at = find_structure(at, end);
        if (at == end)
            return fault(ret_fault, JSON_TRUNCATED);
        switch (*at++) {
        case '"':
            at = json_skip_string(at, end, JSON_SCAN_FAST, &escaped, ret_fault);
            if (!at)
                return NULL;
            break;
        case '{':
        case '[':
            if (depth++ == JSON_DEPTH_MAX)
                return fault(ret_fault, JSON_DEEP);
            objects = objects << 1 | (at[-1] == '{');
            break;
        default:
            if ((at[-1] == '}') != (objects & 1))
                return fault(ret_fault, JSON_SYNTAX);
            objects >>= 1;
            depth--;
        }
    } while (depth > floor);
    return at;
}

static const char *
skip_fast(const char *at, const char *end, unsigned depth, enum json_fault *ret_fault)
{
    bool escaped;

    if (*at == '"')
        return json_skip_string(at + 1, end, JSON_SCAN_FAST, &escaped, ret_fault);
    if (*at == '{' || *at == '[')
        return skip_brackets(at, end, depth, ret_fault);
    if (*at != '-' && (*at < '0' || *at > '9') && *at != 't' && *at != 'f' && *at != 'n')
        return fault(ret_fault, JSON_SYNTAX);
    while (at < end && *at != ',' && *at != '}' && *at != ']' && *at != '"' && !is_space(*at))
        at++;
    return at;
}

const char *
json_skip_value(const char *at, const char *end, enum json_mode mode, unsigned depth,
                enum json_fault *ret_fault)
{
    if (at == end)
        return fault(ret_fault, JSON_TRUNCATED);
    if (mode == JSON_SCAN_STRICT)
        return skip_strict(at, end, depth, ret_fault);
    return skip_fast(at, end, depth, ret_fault);
}

enum json_fault
json_check(struct text text, enum json_mode mode)
{
    const char *at = text.at, *end = text.at + text.len;
    enum json_fault why = JSON_FINE;

    at = json_skip_value(json_skip_space(at, end), end, mode, 0, &why);
    if (!at)
        return why;
    return json_skip_space(at, end) == end ? JSON_FINE : JSON_SYNTAX;
}
