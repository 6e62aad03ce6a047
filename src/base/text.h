/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `struct text`: bytes that somebody else owns, valid as long as what they point into. Used by the parsers for
 * names and values. Not NUL-terminated.
 */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

struct text {
    const char *at;
    uint32_t len;
};

#define TEXT(literal) ((struct text){(literal), sizeof(literal) - 1})

static inline struct text
text_of(const char *s)
{
    return (struct text){s, (uint32_t)strlen(s)};
}

/* An empty text may be at NULL, which memcmp() must not be given. */
static inline bool
text_eq(struct text a, struct text b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.at, b.at, a.len) == 0);
}

/* ASCII case is ignored. */
static inline bool
text_eq_nocase(struct text a, struct text b)
{
    return a.len == b.len && strncasecmp(a.at, b.at, a.len) == 0;
}

static inline bool
text_starts(struct text a, struct text prefix)
{
    return a.len >= prefix.len && memcmp(a.at, prefix.at, prefix.len) == 0;
}

/* Without leading and trailing spaces and tabs (OWS of RFC 9110 5.6.3). */
static inline struct text
text_trim(struct text a)
{
    while (a.len && (*a.at == ' ' || *a.at == '\t'))
        a.at++, a.len--;
    while (a.len && (a.at[a.len - 1] == ' ' || a.at[a.len - 1] == '\t'))
        a.len--;
    return a;
}

/* Takes the next element of a comma-separated list off *rest, trimmed; false when *rest is used up. Empty
 * elements are skipped (RFC 9110 5.6.1.2). */
static inline bool
text_next_element(struct text *rest, struct text *ret_element)
{
    while (rest->len) {
        const char *comma = memchr(rest->at, ',', rest->len);
        uint32_t n = comma ? (uint32_t)(comma - rest->at) : rest->len;
        struct text element = text_trim((struct text){rest->at, n});
        uint32_t used = comma ? n + 1 : n;

        rest->at += used;
        rest->len -= used;
        if (element.len) {
            *ret_element = element;
            return true;
        }
    }
    return false;
}

#endif
