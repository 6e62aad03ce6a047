/* SPDX-License-Identifier: Apache-2.0 */
/* UTF-8 (RFC 3629), strict: no overlong forms, no surrogates, nothing over U+10FFFF. */
#ifndef PROTO_UTF8_H
#define PROTO_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* The length (1 to 4) of the well-formed character at `at` < end, or 0. */
static inline unsigned
utf8_length(const char *at, const char *end)
{
    const uint8_t *s = (const uint8_t *)at;
    uint8_t low = 0x80, high = 0xbf; /* what the second byte may be */
    unsigned n;

    if (s[0] < 0x80)
        return 1;
    if (s[0] < 0xc2 || s[0] > 0xf4)
        return 0;
    n = s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
    if (end - at < (long)n)
        return 0;
    if (s[0] == 0xe0)
        low = 0xa0;
    else if (s[0] == 0xed)
        high = 0x9f;
    else if (s[0] == 0xf0)
        low = 0x90;
    else if (s[0] == 0xf4)
        high = 0x8f;
    if (s[1] < low || s[1] > high)
        return 0;
    for (unsigned i = 2; i < n; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    return n;
}

/* Text that comes in pieces. Zero: the start, and whenever all characters so far are whole. */
struct utf8_check {
    uint8_t left, low, high; /* bytes that the character still has, and what the next may be */
};

/* False: this is no UTF-8, whatever follows. */
static inline bool
utf8_check_piece(struct utf8_check *check, const char *at, size_t len)
{
    const uint8_t *s = (const uint8_t *)at, *end = s + len;

    for (; s < end; s++) {
        uint64_t eight;

        if (check->left) {
            if (*s < check->low || *s > check->high)
                return false;
            *check = (struct utf8_check){(uint8_t)(check->left - 1), 0x80, 0xbf};
            continue;
        }
        for (; end - s > 8 && (memcpy(&eight, s, 8), !(eight & 0x8080808080808080)); s += 8)
            ;
        if (*s < 0x80)
            continue;
        if (*s < 0xc2 || *s > 0xf4)
            return false;
        check->left = *s < 0xe0 ? 1 : *s < 0xf0 ? 2 : 3;
        check->low = *s == 0xe0 ? 0xa0 : *s == 0xf0 ? 0x90 : 0x80;
        check->high = *s == 0xed ? 0x9f : *s == 0xf4 ? 0x8f : 0xbf;
    }
    return true;
}

static inline bool
utf8_check_is_whole(const struct utf8_check *check)
{
    return !check->left;
}

static inline bool
utf8_is_text(const char *at, size_t len)
{
    struct utf8_check check = {0};

    return utf8_check_piece(&check, at, len) && utf8_check_is_whole(&check);
}

/* Writes the character c (no surrogate) to out[4]; returns its length. */
static inline unsigned
utf8_put(uint32_t c, char *out)
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (char)(0xc0 | c >> 6);
        out[1] = (char)(0x80 | (c & 63));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (char)(0xe0 | c >> 12);
        out[1] = (char)(0x80 | (c >> 6 & 63));
        out[2] = (char)(0x80 | (c & 63));
        return 3;
    }
    out[0] = (char)(0xf0 | c >> 18);
    out[1] = (char)(0x80 | (c >> 12 & 63));
    out[2] = (char)(0x80 | (c >> 6 & 63));
    out[3] = (char)(0x80 | (c & 63));
    return 4;
}

#endif
