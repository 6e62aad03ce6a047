/* SPDX-License-Identifier: Apache-2.0 */
/* Stamps in events; see stamp.h. */
#include "stamp.h"

enum { STAMP_WITHIN = 160 }; /* of a notification's frame */

void
stamp_digits(char *at, unsigned digits, uint64_t value)
{
    while (digits--) {
        at[digits] = (char)('0' + value % 10);
        value /= 10;
    }
}

bool
stamp_digits_read(struct text text, unsigned digits, uint64_t *ret)
{
    uint64_t value = 0;

    if (text.len < digits)
        return false;
    for (unsigned i = 0; i < digits; i++) {
        if (text.at[i] < '0' || text.at[i] > '9')
            return false;
        value = value * 10 + (uint64_t)(text.at[i] - '0');
    }
    *ret = value;
    return true;
}

bool
stamp_read(struct text data, struct stamp *ret)
{
    static const struct text begin = TEXT("\"ns\":\""), between = TEXT("\",\"n\":\"");
    size_t within = data.len < STAMP_WITHIN ? data.len : STAMP_WITHIN;
    const char *at = memmem(data.at, within, begin.at, begin.len);
    struct stamp stamp;

    if (!at)
        return false;
    data.len -= (uint32_t)(at - data.at) + begin.len;
    data.at = at + begin.len;
    if (!stamp_digits_read(data, STAMP_DIGITS, &stamp.ns))
        return false;
    data = (struct text){data.at + STAMP_DIGITS, data.len - STAMP_DIGITS};
    if (!text_starts(data, between))
        return false;
    data = (struct text){data.at + between.len, data.len - between.len};
    if (!stamp_digits_read(data, STAMP_NUMBER_DIGITS, &stamp.number))
        return false;
    *ret = stamp;
    return true;
}
