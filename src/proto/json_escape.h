/* SPDX-License-Identifier: Apache-2.0 */
/* Escapes in JSON strings (RFC 8259 section 7), for the files of proto that look into strings. */
#ifndef PROTO_JSON_ESCAPE_H
#define PROTO_JSON_ESCAPE_H

#include <stdint.h>
#include <string.h>

/* Four hexadecimal digits as a number, or -1. */
static inline int32_t
json_hex4(const char *at)
{
    int32_t n = 0;

    for (int i = 0; i < 4; i++) {
        char c = at[i], folded = (char)(c | 0x20);

        if (c >= '0' && c <= '9')
            n = n << 4 | (c - '0');
        else if (folded >= 'a' && folded <= 'f')
            n = n << 4 | (folded - 'a' + 10);
        else
            return -1;
    }
    return n;
}

/* The length of the escape at `at` (a backslash), a surrogate pair taken as one; 0 when it is malformed or a
 * lone surrogate. *ret_char, when asked for, is the character it stands for. */
static inline unsigned
json_escape(const char *at, const char *end, uint32_t *ret_char)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    const char *simple;
    int32_t high, low;

    if (end - at < 2 || !at[1])
        return 0;
    simple = strchr(from, at[1]);
    if (simple) {
        if (ret_char)
            *ret_char = (uint8_t)to[simple - from];
        return 2;
    }
    if (at[1] != 'u' || end - at < 6 || (high = json_hex4(at + 2)) < 0 || (high & 0xfc00) == 0xdc00)
        return 0;
    if ((high & 0xfc00) != 0xd800) {
        if (ret_char)
            *ret_char = (uint32_t)high;
        return 6;
    }
    if (end - at < 12 || at[6] != '\\' || at[7] != 'u' || (low = json_hex4(at + 8)) < 0 ||
        (low & 0xfc00) != 0xdc00)
        return 0;
    if (ret_char)
        *ret_char = 0x10000 + ((uint32_t)(high & 0x3ff) << 10 | (uint32_t)(low & 0x3ff));
    return 12;
}

#endif
