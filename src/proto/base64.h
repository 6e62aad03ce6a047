/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Base64 (RFC 4648), both alphabets, strict: what the encoder would not write is refused (wrong padding, bits
 * left over in the last character, white space), so that each value has one spelling.
 */
#ifndef PROTO_BASE64_H
#define PROTO_BASE64_H

#include "base/text.h"

enum base64_form {
    BASE64_STANDARD, /* section 4: '+' and '/', padded with '=' */
    BASE64_URL,      /* section 5: '-' and '_', not padded */
};

/* Characters that `n` bytes need. */
#define BASE64_SIZE(form, n) ((form) == BASE64_STANDARD ? ((n) + 2) / 3 * 4 : ((n)*4 + 2) / 3)

/* Bytes that `n` characters can stand for at most. */
#define BASE64_BYTES(n) ((n) / 4 * 3 + 2)

/* Writes `n` bytes as text to out[BASE64_SIZE(form, n)]; no NUL is added. Returns the number of characters.
 */
uint32_t base64_encode(enum base64_form form, const void *bytes, uint32_t n, char *out);

/* Returns the number of bytes written to out[size], or -1 when the text is malformed or does not fit. */
int base64_decode(enum base64_form form, struct text text, void *out, uint32_t size);

#endif
