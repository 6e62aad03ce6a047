/* SPDX-License-Identifier: Apache-2.0 */
/* Masking, eight bytes at a time, and where the processor has AVX2 thirty-two. */
#include "proto/ws.h"

#ifdef __x86_64__
#include <immintrin.h>
#include <sys/platform/x86.h>

/* Returns how many bytes it did: all but the last few. */
static __attribute__((target("avx2"))) size_t
mask_blocks(char *at, size_t len, uint32_t word)
{
    const __m256i mask = _mm256_set1_epi32((int)word);
    size_t i = 0;

    for (; i + 64 <= len; i += 64) {
        __m256i *a = (__m256i *)(void *)(at + i), *b = a + 1;
        __m256i first = _mm256_xor_si256(_mm256_loadu_si256(a), mask);
        __m256i second = _mm256_xor_si256(_mm256_loadu_si256(b), mask);

        _mm256_storeu_si256(a, first);
        _mm256_storeu_si256(b, second);
    }
    return i;
}

static bool
has_blocks(void)
{
    return CPU_FEATURE_ACTIVE(AVX2);
}
#else
static size_t
mask_blocks(char *at, size_t len, uint32_t word)
{
    (void)at, (void)len, (void)word;
    return 0;
}

static bool
has_blocks(void)
{
    return false;
}
#endif

void
ws_mask(char *at, size_t len, const uint8_t mask[4], uint32_t from)
{
    uint8_t turned[8];
    uint64_t eight, pair;
    uint32_t word;
    size_t i = 0;

    for (unsigned k = 0; k < sizeof turned; k++)
        turned[k] = mask[(from + k) & 3];
    memcpy(&word, turned, sizeof word);
    memcpy(&pair, turned, sizeof pair);
    if (len >= 64 && has_blocks())
        i = mask_blocks(at, len, word);
    for (; i + 8 <= len; i += 8) {
        memcpy(&eight, at + i, 8);
        eight ^= pair;
        memcpy(at + i, &eight, 8);
    }
    for (; i < len; i++)
        at[i] = (char)(at[i] ^ turned[i & 3]);
}
