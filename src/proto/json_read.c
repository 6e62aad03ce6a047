/* SPDX-License-Identifier: Apache-2.0 */
/* Reading values, as json.h says. */
#include "proto/json.h"
#include "proto/json_escape.h"
#include "proto/utf8.h"

#include <math.h>
#include <stdlib.h>

enum json_kind
json_kind_of(struct text value)
{
    if (!value.len)
        return JSON_IS_ABSENT;
    switch (*value.at) {
    case '"':
        return JSON_IS_STRING;
    case '{':
        return JSON_IS_OBJECT;
    case '[':
        return JSON_IS_ARRAY;
    case 't':
        return JSON_IS_TRUE;
    case 'f':
        return JSON_IS_FALSE;
    case 'n':
        return JSON_IS_NULL;
    default:
        return JSON_IS_NUMBER;
    }
}

/* Steps over the bracket or comma in front of the next thing in a container. NULL at its end. */
static const char *
next_begin(const char *at, const char *end, char open)
{
    at = json_skip_space(at, end);
    if (at == end || (*at != open && *at != ','))
        return NULL;
    at = json_skip_space(at + 1, end);
    return at == end || *at == '}' || *at == ']' ? NULL : at;
}

static bool
take_value(const char *at, const char *end, struct text *rest, struct text *ret_value)
{
    enum json_fault why;
    const char *stop = json_skip_value(at, end, JSON_SCAN_FAST, 0, &why);

    if (!stop)
        return false;
    *ret_value = (struct text){at, (uint32_t)(stop - at)};
    *rest = (struct text){stop, (uint32_t)(end - stop)};
    return true;
}

bool
json_next_member(struct text *rest, struct json_member *ret)
{
    const char *end = rest->at + rest->len, *at = next_begin(rest->at, end, '{'), *stop;
    enum json_fault why;
    bool escaped;

    if (!at || *at != '"' || !(stop = json_skip_string(at + 1, end, JSON_SCAN_FAST, &escaped, &why)))
        return false;
    ret->key = (struct text){at, (uint32_t)(stop - at)};
    at = json_skip_space(stop, end);
    if (at == end || *at != ':')
        return false;
    return take_value(json_skip_space(at + 1, end), end, rest, &ret->value);
}

bool
json_next_element(struct text *rest, struct text *ret_value)
{
    const char *end = rest->at + rest->len, *at = next_begin(rest->at, end, '[');

    return at && take_value(at, end, rest, ret_value);
}

/* Takes one character off the inside of a raw string; false when it is malformed. */
static bool
next_char(const char **at, const char *end, char out[4], unsigned *ret_len)
{
    uint32_t c;
    unsigned n;

    if (**at == '\\') {
        n = json_escape(*at, end, &c);
        *ret_len = n ? utf8_put(c, out) : 0;
    } else {
        n = (uint8_t) * *at < 0x20 || **at == '"' ? 0 : utf8_length(*at, end);
        memcpy(out, *at, n);
        *ret_len = n;
    }
    *at += n;
    return n != 0;
}

static bool
is_string(struct text raw)
{
    return raw.len >= 2 && raw.at[0] == '"' && raw.at[raw.len - 1] == '"';
}

bool
json_string_is(struct text raw, struct text plain)
{
    const char *at, *end;
    uint32_t seen = 0;

    if (!is_string(raw))
        return false;
    at = raw.at + 1;
    end = raw.at + raw.len - 1;
    while (at < end) {
        char c[4];
        unsigned n;

        if (!next_char(&at, end, c, &n) || n > plain.len - seen || memcmp(c, plain.at + seen, n) != 0)
            return false;
        seen += n;
    }
    return seen == plain.len;
}

struct text
json_find(struct text object, struct text key)
{
    struct text found = {NULL, 0};
    struct json_member m;

    if (json_kind_of(object) == JSON_IS_OBJECT)
        while (json_next_member(&object, &m))
            if (json_string_is(m.key, key))
                found = m.value;
    return found;
}

int
json_string_decode(struct text raw, char *out, uint32_t size)
{
    const char *at, *end;
    uint32_t len = 0;

    if (!is_string(raw))
        return -1;
    at = raw.at + 1;
    end = raw.at + raw.len - 1;
    while (at < end) {
        char c[4];
        unsigned n;

        if (!next_char(&at, end, c, &n) || n > size - len)
            return -1;
        memcpy(out + len, c, n);
        len += n;
    }
    return (int)len;
}

bool
json_read_double(struct text raw, double *ret)
{
    char digits[400], *stop;
    double n;

    if (json_kind_of(raw) != JSON_IS_NUMBER || raw.len >= sizeof digits ||
        json_check(raw, JSON_SCAN_STRICT) != JSON_FINE)
        return false;
    memcpy(digits, raw.at, raw.len);
    digits[raw.len] = '\0';
    n = strtod(digits, &stop);
    if (*stop || !isfinite(n))
        return false;
    *ret = n;
    return true;
}

bool
json_read_integer(struct text raw, int64_t *ret)
{
    const double limit = 9007199254740992.0; /* 2^53: where doubles stop being exact */
    double n;

    if (!json_read_double(raw, &n) || n > limit || n < -limit || n != (double)(int64_t)n)
        return false;
    *ret = (int64_t)n;
    return true;
}
