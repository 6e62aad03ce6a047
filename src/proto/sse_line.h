/* SPDX-License-Identifier: Apache-2.0 */
/* What the SSE scanner and the SSE parser share: the search for a line end, and the BOM at the start of a
 * stream. */
#ifndef PROTO_SSE_LINE_H
#define PROTO_SSE_LINE_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* The first CR or LF in at..end, or end. */
static inline const char *
sse_line_end(const char *at, const char *end)
{
#ifdef __SSE2__
    const __m128i lf = _mm_set1_epi8('\n'), cr = _mm_set1_epi8('\r');

    for (; end - at >= 16; at += 16) {
        __m128i v = _mm_loadu_si128((const __m128i *)(const void *)at);
        unsigned hits =
            (unsigned)_mm_movemask_epi8(_mm_or_si128(_mm_cmpeq_epi8(v, lf), _mm_cmpeq_epi8(v, cr)));

        if (hits)
            return at + __builtin_ctz(hits);
    }
#endif
    while (at < end && *at != '\n' && *at != '\r')
        at++;
    return at;
}

enum sse_bom {
    SSE_BOM_NONE,   /* the byte is an ordinary one */
    SSE_BOM_TAKEN,  /* it belongs to the BOM */
    SSE_BOM_BROKEN, /* it is ordinary, but bytes before it were taken that are no BOM: a line has begun */
};

enum { SSE_BOM_PAST = 4 }; /* state: the start of the stream is over */

static inline enum sse_bom
sse_bom_step(uint8_t *state, char c)
{
    static const char bom[3] = {'\xef', '\xbb', '\xbf'};
    uint8_t was = *state;

    if (was == SSE_BOM_PAST)
        return SSE_BOM_NONE;
    if (was < 3 && c == bom[was]) {
        *state = (uint8_t)(was + 1);
        return SSE_BOM_TAKEN;
    }
    *state = SSE_BOM_PAST;
    return was == 1 || was == 2 ? SSE_BOM_BROKEN : SSE_BOM_NONE;
}

/* Between the first and the last byte of a BOM. */
static inline bool
sse_bom_inside(uint8_t state)
{
    return state == 1 || state == 2;
}

#endif
