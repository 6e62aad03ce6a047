/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/base64.h"

static const char alphabets[2][65] = {
    [BASE64_STANDARD] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
    [BASE64_URL] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_",
};

uint32_t
base64_encode(enum base64_form form, const void *bytes, uint32_t n, char *out)
{
    const char *alphabet = alphabets[form];
    const uint8_t *in = bytes;
    char *to = out;

    for (; n >= 3; n -= 3, in += 3) {
        uint32_t v = (uint32_t)in[0] << 16 | (uint32_t)in[1] << 8 | in[2];

        *to++ = alphabet[v >> 18];
        *to++ = alphabet[v >> 12 & 63];
        *to++ = alphabet[v >> 6 & 63];
        *to++ = alphabet[v & 63];
    }
    if (n) {
        uint32_t v = (uint32_t)in[0] << 16 | (n == 2 ? (uint32_t)in[1] << 8 : 0);

        *to++ = alphabet[v >> 18];
        *to++ = alphabet[v >> 12 & 63];
        if (n == 2)
            *to++ = alphabet[v >> 6 & 63];
        for (uint32_t pad = n; form == BASE64_STANDARD && pad < 3; pad++)
            *to++ = '=';
    }
    return (uint32_t)(to - out);
}

/* The six bits that a character stands for, or -1. */
static int
sextet(enum base64_form form, char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == alphabets[form][62])
        return 62;
    return c == alphabets[form][63] ? 63 : -1;
}

int
base64_decode(enum base64_form form, struct text text, void *out, uint32_t size)
{
    uint8_t *to = out;
    uint32_t bits = 0, held = 0, written = 0;

    if (form == BASE64_STANDARD) {
        if (text.len % 4)
            return -1;
        for (int pad = 0; pad < 2 && text.len && text.at[text.len - 1] == '='; pad++)
            text.len--;
    }
    if (text.len % 4 == 1)
        return -1;
    for (uint32_t i = 0; i < text.len; i++) {
        int six = sextet(form, text.at[i]);

        if (six < 0)
            return -1;
        bits = bits << 6 | (uint32_t)six;
        held += 6;
        if (held < 8)
            continue;
        held -= 8;
        if (written == size)
            return -1;
        to[written++] = (uint8_t)(bits >> held);
    }
    /* What is left over must be zero, or one value would have several spellings. */
    return bits & ((1u << held) - 1) ? -1 : (int)written;
}
