/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the HTTP codecs of this layer share: byte classes, the flags of the known fields, and scans over text
 * in steps of 16 bytes. SSE2 is part of x86-64; elsewhere the same functions go byte by byte. No scan reads
 * at or beyond `end`. Private to proto.
 */
#ifndef PROTO_HTTP_SYNTAX_H
#define PROTO_HTTP_SYNTAX_H

#include "proto/http1.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

enum { HOP = 1, ONCE = 2 };

extern const uint8_t http_field_flags[HTTP_FIELDS];

enum { CLASS_TOKEN = 1, CLASS_HEX = 2, CLASS_HOST = 4 };

extern const uint8_t http_class[256];

static inline bool
http_is(char c, uint8_t class)
{
    return http_class[(unsigned char)c] & class;
}

/* The bytes that end a field value or a reason phrase: controls but not TAB (RFC 9110 5.5). */
static inline bool
http_is_control(char c)
{
    return ((unsigned char)c < 0x20 && c != '\t') || c == 0x7f;
}

/* The value of a hexadecimal digit. */
static inline unsigned
http_hex(char c)
{
    return c <= '9' ? (unsigned)(c - '0') : (unsigned)((c | 0x20) - 'a' + 10);
}

/* The first byte of p..end that http_is_control() holds for, or end. */
static inline const char *
http_scan_text(const char *p, const char *end)
{
#ifdef __SSE2__
    for (; end - p >= 16; p += 16) {
        const __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
        const __m128i low = _mm_cmpeq_epi8(_mm_min_epu8(v, _mm_set1_epi8(0x1f)), v);
        const __m128i tab = _mm_cmpeq_epi8(v, _mm_set1_epi8('\t'));
        const __m128i del = _mm_cmpeq_epi8(v, _mm_set1_epi8(0x7f));
        const int hits = _mm_movemask_epi8(_mm_or_si128(_mm_andnot_si128(tab, low), del));

        if (hits)
            return p + __builtin_ctz((unsigned)hits);
    }
#endif
    while (p < end && !http_is_control(*p))
        p++;
    return p;
}

/* The first byte of p..end that cannot stand in a request target (outside 0x21..0x7e, or '#'), or end.
 * *ret_percent is set when a '%' may be among those before it. */
static inline const char *
http_scan_target(const char *p, const char *end, bool *ret_percent)
{
#ifdef __SSE2__
    for (; end - p >= 16; p += 16) {
        const __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
        const __m128i low = _mm_cmplt_epi8(v, _mm_set1_epi8(0x21)); /* signed: 0x80 and above too */
        const __m128i del = _mm_cmpeq_epi8(v, _mm_set1_epi8(0x7f));
        const __m128i hash = _mm_cmpeq_epi8(v, _mm_set1_epi8('#'));
        const int hits = _mm_movemask_epi8(_mm_or_si128(low, _mm_or_si128(del, hash)));

        if (_mm_movemask_epi8(_mm_cmpeq_epi8(v, _mm_set1_epi8('%'))))
            *ret_percent = true;
        if (hits)
            return p + __builtin_ctz((unsigned)hits);
    }
#endif
    for (; p < end && *p >= 0x21 && *p < 0x7f && *p != '#'; p++)
        if (*p == '%')
            *ret_percent = true;
    return p;
}

/* The first ':' of p..end, or end. */
static inline const char *
http_scan_colon(const char *p, const char *end)
{
#ifdef __SSE2__
    for (; end - p >= 16; p += 16) {
        const __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
        const int hits = _mm_movemask_epi8(_mm_cmpeq_epi8(v, _mm_set1_epi8(':')));

        if (hits)
            return p + __builtin_ctz((unsigned)hits);
    }
#endif
    while (p < end && *p != ':')
        p++;
    return p;
}

#endif
