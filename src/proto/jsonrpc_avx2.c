/* SPDX-License-Identifier: Apache-2.0 */
/* The scanner's twin for processors with AVX2 and carry-less multiplication; jsonrpc_scan.c asks the
 * processor. */
#include "proto/jsonrpc_walk.h"

#ifdef __x86_64__
#include <immintrin.h>

#define BLOCK_TARGET __attribute__((target("avx2,bmi,pclmul")))
#define BLOCK_WALK   jsonrpc_walk_avx2

static inline BLOCK_TARGET uint64_t
bits_of(__m256i first, __m256i second)
{
    return (uint32_t)_mm256_movemask_epi8(first) | (uint64_t)(uint32_t)_mm256_movemask_epi8(second) << 32;
}

static inline BLOCK_TARGET __m256i
is(__m256i v, char c)
{
    return _mm256_cmpeq_epi8(v, _mm256_set1_epi8(c));
}

/* '[' and '{', ']' and '}' differ in bit 0x20 only. */
static inline BLOCK_TARGET __m256i
is_bracket(__m256i v)
{
    __m256i folded = _mm256_or_si256(v, _mm256_set1_epi8(0x20));

    return _mm256_or_si256(is(folded, '{'), is(folded, '}'));
}

/* Each of the four has a low half-byte of its own, under which it stands in the table. */
static inline BLOCK_TARGET __m256i
is_space(__m256i v)
{
    const __m256i table = _mm256_setr_epi8(' ', 0, 0, 0, 0, 0, 0, 0, 0, '\t', '\n', 0, 0, '\r', 0, 0, ' ', 0,
                                           0, 0, 0, 0, 0, 0, 0, '\t', '\n', 0, 0, '\r', 0, 0);

    return _mm256_cmpeq_epi8(_mm256_shuffle_epi8(table, v), v);
}

static inline BLOCK_TARGET __m256i
is_control(__m256i v)
{
    return _mm256_cmpeq_epi8(_mm256_min_epu8(v, _mm256_set1_epi8(0x1f)), v);
}

static inline BLOCK_TARGET void
block_masks(const char *at, struct jsonrpc_masks *ret)
{
    __m256i a = _mm256_loadu_si256((const __m256i *)(const void *)at);
    __m256i b = _mm256_loadu_si256((const __m256i *)(const void *)(at + 32));

    ret->quote = bits_of(is(a, '"'), is(b, '"'));
    ret->backslash = bits_of(is(a, '\\'), is(b, '\\'));
    ret->bracket = bits_of(is_bracket(a), is_bracket(b));
    ret->separator =
        bits_of(_mm256_or_si256(is(a, ','), is(a, ':')), _mm256_or_si256(is(b, ','), is(b, ':')));
    ret->space = bits_of(is_space(a), is_space(b));
    ret->control = bits_of(is_control(a), is_control(b));
    ret->high = bits_of(a, b);
}

static inline BLOCK_TARGET uint64_t
block_fill(uint64_t bits)
{
    __m128i filled = _mm_clmulepi64_si128(_mm_cvtsi64_si128((long long)bits), _mm_set1_epi8(-1), 0);

    return (uint64_t)_mm_cvtsi128_si64(filled);
}

#include "proto/jsonrpc_blocks.h"

#endif
