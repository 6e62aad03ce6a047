/* SPDX-License-Identifier: Apache-2.0 */
/* Accept-Encoding. */
#include "proto/content_coding.h"

enum { UNLISTED = -1, WEIGHT_MAX = 1000, CODINGS = CODING_DEFLATE + 1 };

struct text
content_coding_name(enum content_coding coding)
{
    return coding == CODING_GZIP      ? TEXT("gzip")
           : coding == CODING_DEFLATE ? TEXT("deflate")
                                      : TEXT("identity");
}

/* "0.5" in thousandths (RFC 9110 12.4.2); 0 for what is no weight. */
static int
weight_of(struct text value)
{
    int weight = 0, place = WEIGHT_MAX;

    if (!value.len || value.len > 5 || (value.len > 1 && value.at[1] != '.'))
        return 0;
    for (uint32_t i = 0; i < value.len; i++) {
        if (i == 1)
            continue;
        if (value.at[i] < '0' || value.at[i] > '9')
            return 0;
        weight += (value.at[i] - '0') * place;
        place /= 10;
    }
    return weight <= WEIGHT_MAX ? weight : 0;
}

/* What stands behind the coding's name: its weight, 1000 when it has none. Other parameters do not exist. */
static int
weight_in(struct text parameters)
{
    parameters = text_trim(parameters);
    if (!parameters.len)
        return WEIGHT_MAX;
    if (parameters.len < 2 || (parameters.at[0] | 0x20) != 'q' || parameters.at[1] != '=')
        return 0;
    return weight_of((struct text){parameters.at + 2, parameters.len - 2});
}

struct weights {
    int of[CODINGS], any; /* of CODING_NONE: the content as it is */
};

/* One element; of a coding that is listed twice the larger weight counts. */
static void
note(struct weights *w, struct text element)
{
    const char *semicolon = memchr(element.at, ';', element.len);
    uint32_t n = semicolon ? (uint32_t)(semicolon - element.at) : element.len;
    struct text name = text_trim((struct text){element.at, n});
    int weight = semicolon ? weight_in((struct text){semicolon + 1, element.len - n - 1}) : WEIGHT_MAX;
    int *slot = NULL;

    if (text_eq(name, TEXT("*")))
        slot = &w->any;
    else if (text_eq_nocase(name, TEXT("x-gzip"))) /* RFC 9110 8.4.1.3: the same */
        slot = &w->of[CODING_GZIP];
    for (unsigned i = 0; i < CODINGS && !slot; i++)
        if (text_eq_nocase(name, content_coding_name((enum content_coding)i)))
            slot = &w->of[i];
    if (slot && weight > *slot)
        *slot = weight;
}

enum content_coding
content_coding_accepted(const struct http1_head *head)
{
    struct weights w = {{UNLISTED, UNLISTED, UNLISTED}, UNLISTED};
    enum content_coding best;

    if (!head->first[HTTP_ACCEPT_ENCODING])
        return CODING_NONE;
    for (unsigned i = head->first[HTTP_ACCEPT_ENCODING] - 1u; i < head->count; i++) {
        struct text list = http_value(&head->headers[i]), element;

        while (head->headers[i].id == HTTP_ACCEPT_ENCODING && text_next_element(&list, &element))
            note(&w, element);
    }
    for (unsigned i = 0; i < CODINGS; i++) /* "*" stands for each that is not listed */
        if (w.of[i] == UNLISTED)
            w.of[i] = w.any;
    best = w.of[CODING_GZIP] >= w.of[CODING_DEFLATE] ? CODING_GZIP : CODING_DEFLATE;
    return w.of[best] > 0 && w.of[best] >= w.of[CODING_NONE] ? best : CODING_NONE;
}
