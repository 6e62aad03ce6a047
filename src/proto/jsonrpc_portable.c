/* SPDX-License-Identifier: Apache-2.0 */
/* The scanner's twin for every processor: SSE2 where the compiler may count on it, else a table. */
#include "proto/jsonrpc_walk.h"

#define BLOCK_TARGET
#define BLOCK_WALK jsonrpc_walk_portable

#ifdef __SSE2__
#include <emmintrin.h>

static inline uint64_t
bits_of(__m128i hit, unsigned shift)
{
    return (uint64_t)(unsigned)_mm_movemask_epi8(hit) << shift;
}

static inline __m128i
is(__m128i v, char c)
{
    return _mm_cmpeq_epi8(v, _mm_set1_epi8(c));
}

static inline void
block_masks(const char *at, struct jsonrpc_masks *ret)
{
    *ret = (struct jsonrpc_masks){0};
    for (unsigned i = 0; i < JSONRPC_BLOCK; i += 16) {
        __m128i v = _mm_loadu_si128((const __m128i *)(const void *)(at + i));
        /* '[' and '{', ']' and '}' differ in this bit only */
        __m128i folded = _mm_or_si128(v, _mm_set1_epi8(0x20));
        __m128i control = _mm_cmpeq_epi8(_mm_min_epu8(v, _mm_set1_epi8(0x1f)), v);

        ret->quote |= bits_of(is(v, '"'), i);
        ret->backslash |= bits_of(is(v, '\\'), i);
        ret->bracket |= bits_of(_mm_or_si128(is(folded, '{'), is(folded, '}')), i);
        ret->separator |= bits_of(_mm_or_si128(is(v, ','), is(v, ':')), i);
        ret->space |= bits_of(
            _mm_or_si128(_mm_or_si128(is(v, ' '), is(v, '\n')), _mm_or_si128(is(v, '\t'), is(v, '\r'))), i);
        ret->control |= bits_of(control, i);
        ret->high |= bits_of(v, i);
    }
}

#else

enum {
    T_QUOTE = 1,
    T_BACKSLASH = 2,
    T_BRACKET = 4,
    T_SEPARATOR = 8,
    T_SPACE = 16,
    T_CONTROL = 32,
    T_HIGH = 64
};

static const uint8_t sorts[256] = {
    [0 ... 8] = T_CONTROL,
    ['\t' ... '\n'] = T_CONTROL | T_SPACE,
    [0x0b ... 0x0c] = T_CONTROL,
    ['\r'] = T_CONTROL | T_SPACE,
    [0x0e ... 0x1f] = T_CONTROL,
    [' '] = T_SPACE,
    ['"'] = T_QUOTE,
    ['\\'] = T_BACKSLASH,
    ['{'] = T_BRACKET,
    ['}'] = T_BRACKET,
    ['['] = T_BRACKET,
    [']'] = T_BRACKET,
    [','] = T_SEPARATOR,
    [':'] = T_SEPARATOR,
    [0x80 ... 0xff] = T_HIGH,
};

/* Bit `sort` of each of eight bytes, gathered into one byte. */
static inline uint64_t
gather(uint64_t eight, unsigned sort)
{
    return ((eight >> __builtin_ctz(sort)) & 0x0101010101010101u) * 0x0102040810204080u >> 56;
}

static inline void
block_masks(const char *at, struct jsonrpc_masks *ret)
{
    *ret = (struct jsonrpc_masks){0};
    for (unsigned i = 0; i < JSONRPC_BLOCK; i += 8) {
        uint64_t eight = 0;

        for (unsigned k = 0; k < 8; k++)
            eight |= (uint64_t)sorts[(uint8_t)at[i + k]] << 8 * k;
        ret->quote |= gather(eight, T_QUOTE) << i;
        ret->backslash |= gather(eight, T_BACKSLASH) << i;
        ret->bracket |= gather(eight, T_BRACKET) << i;
        ret->separator |= gather(eight, T_SEPARATOR) << i;
        ret->space |= gather(eight, T_SPACE) << i;
        ret->control |= gather(eight, T_CONTROL) << i;
        ret->high |= gather(eight, T_HIGH) << i;
    }
}

#endif

static inline uint64_t
block_fill(uint64_t bits)
{
    for (unsigned shift = 1; shift < 64; shift *= 2)
        bits ^= bits << shift;
    return bits;
}

#include "proto/jsonrpc_blocks.h"
