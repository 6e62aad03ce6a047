/* SPDX-License-Identifier: Apache-2.0 */
/* The table of known fields (http_field.def): a name's id, a field's flags; and the byte classes. */
#include "proto/http_syntax.h"

#include "base/check.h"

const uint8_t http_field_flags[HTTP_FIELDS] = {
#define HTTP_FIELD(id, name, flags) [HTTP_##id] = flags,
#include "proto/http_field.def"
#undef HTTP_FIELD
};

/* token (RFC 9110 5.6.2), HEXDIG, and what a host may hold outside its brackets: unreserved, "%" and
 * sub-delims (RFC 3986 3.2.2) without the comma, which would make one Host look like a list of two. */
#define T CLASS_TOKEN
#define H CLASS_HOST
#define A (CLASS_TOKEN | CLASS_HOST)
#define X (CLASS_TOKEN | CLASS_HOST | CLASS_HEX)
const uint8_t http_class[256] = {
    ['!'] = A, ['#'] = T,         ['$'] = A,         ['%'] = A,         ['&'] = A,         ['\''] = A,
    ['('] = H, [')'] = H,         ['*'] = A,         ['+'] = A,         ['-'] = A,         ['.'] = A,
    [';'] = H, ['='] = H,         ['^'] = T,         ['_'] = A,         ['`'] = T,         ['|'] = T,
    ['~'] = A, ['0' ... '9'] = X, ['A' ... 'F'] = X, ['G' ... 'Z'] = A, ['a' ... 'f'] = X, ['g' ... 'z'] = A,
};
#undef T
#undef H
#undef A
#undef X

/* The bytes of a word in lower case, A to Z only: every other byte keeps its value, so that equal words mean
 * equal names. */
static inline uint64_t
word_lower(uint64_t w)
{
    const uint64_t ones = 0x0101010101010101u;
    const uint64_t low = w & (0x7f * ones);
    const uint64_t above_z = low + (0x7f - 'Z') * ones;
    const uint64_t from_a = low + (0x80 - 'A') * ones;
    const uint64_t upper = ~w & (from_a ^ above_z) & (0x80 * ones);

    return w | upper >> 2;
}

static inline uint64_t
word_load(const char *at, const uint32_t n)
{
    uint64_t w = 0;

    memcpy(&w, at, n);
    return w;
}

/* Whether the n bytes of `name` are `field` (in lower case) but for case. */
static inline __attribute__((always_inline)) bool
name_is(const char *name, const char *field, const uint32_t n)
{
    uint64_t differ = 0;
    uint32_t i = 0;

    for (; i + 8 <= n; i += 8)
        differ |= word_lower(word_load(name + i, 8)) ^ word_load(field + i, 8);
    if (i < n && n >= 8)
        differ |= word_lower(word_load(name + n - 8, 8)) ^ word_load(field + n - 8, 8);
    else if (i < n)
        differ |= word_lower(word_load(name, n)) ^ word_load(field, n);
    return differ == 0;
}

/* The field among those with names of n bytes. n is a constant of the caller, so the rows of other lengths
 * and all loops fold away. */
static inline __attribute__((always_inline)) enum http_field
field_among(const char *at, const uint32_t n)
{
#define HTTP_FIELD(id, name, flags)                                                                          \
    if (n == sizeof(name) - 1 && name_is(at, name, n))                                                       \
        return HTTP_##id;
#include "proto/http_field.def"
#undef HTTP_FIELD
    return HTTP_OTHER;
}

#define HTTP_FIELD(id, name, flags)                                                                          \
    _Static_assert(sizeof(name) > 2 && sizeof(name) <= 31, "not in http_field_id");
#include "proto/http_field.def"
#undef HTTP_FIELD

enum http_field
http_field_id(struct text name)
{
    switch (name.len) {
/* clang-format off */
#define LENGTH(n) case n: return field_among(name.at, n);
    LENGTH(2)  LENGTH(3)  LENGTH(4)  LENGTH(5)  LENGTH(6)  LENGTH(7)  LENGTH(8)  LENGTH(9)  LENGTH(10) LENGTH(11)
    LENGTH(12) LENGTH(13) LENGTH(14) LENGTH(15) LENGTH(16) LENGTH(17) LENGTH(18) LENGTH(19) LENGTH(20) LENGTH(21)
    LENGTH(22) LENGTH(23) LENGTH(24) LENGTH(25) LENGTH(26) LENGTH(27) LENGTH(28) LENGTH(29) LENGTH(30)
#undef LENGTH
    default: return HTTP_OTHER;
        /* clang-format on */
    }
}
