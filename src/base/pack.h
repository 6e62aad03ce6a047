/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fixed records as bytes, numbers big endian: what is sealed and what a file keeps. A writer and its reader name
 * the same fields in the same order; the caller has the room, and asserts at the end that all of it was used.
 */
#ifndef BASE_PACK_H
#define BASE_PACK_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Each returns where the next field goes. */
static inline uint8_t *
pack_bytes(uint8_t *to, const void *bytes, size_t n)
{
    memcpy(to, bytes, n);
    return to + n;
}

static inline uint8_t *
pack_number(uint8_t *to, uint64_t number, unsigned bytes)
{
    while (bytes--)
        *to++ = (uint8_t)(number >> 8 * bytes);
    return to;
}

/* Each moves *at behind what it took. */
static inline void
unpack_bytes(const uint8_t **at, void *to, size_t n)
{
    memcpy(to, *at, n);
    *at += n;
}

static inline uint64_t
unpack_number(const uint8_t **at, unsigned bytes)
{
    uint64_t n = 0;

    while (bytes--)
        n = n << 8 | *(*at)++;
    return n;
}

#endif
