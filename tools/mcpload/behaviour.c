/* SPDX-License-Identifier: Apache-2.0 */
/* The query of a request to `mcpload serve`; see behaviour.h. */
#include "behaviour.h"

#include "flags.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>

const char behaviour_help[] =
    "  ?delay=MS              waits before it answers\n"
    "  ?status=CODE           answers with this status\n"
    "  ?bytes=N               body of a plain reply\n"
    "  ?chunked=1             chunked; ?chunk-bytes=N sets the size of a chunk\n"
    "  ?close-delimited=1     neither length nor chunks: the end of the connection ends the body\n"
    "  ?trailers=1            chunked, with a trailer field\n"
    "  ?informational=1       a 103 before the reply\n"
    "  ?early=1               answers when the head was read and reads the body afterwards\n"
    "  ?close=before-head     reads the request and closes\n"
    "  ?close=after-head      closes after the reply's head\n"
    "  ?close=mid-body        closes after half of the reply's body\n"
    "  ?garbage=1             answers with bytes that are not HTTP\n"
    "  ?hang=1                never answers\n"
    "  ?upgrade=1             101 for a request with Upgrade, then echoes every byte\n"
    "  ?sse=1                 answers as an SSE stream\n"
    "  ?events=N              events of a stream, 0: endless; ?event-bytes=N, ?rate=PER-SECOND\n"
    "  ?progress=N            progress notifications before a tool's result (with SSE)\n"
    "  ?list-bytes=N          least size of the result of tools/list\n";

enum word_kind { WORD_BOOL, WORD_COUNT, WORD_MS, WORD_RATE, WORD_STATUS, WORD_CLOSE };

static const struct word {
    const char *name;
    enum word_kind kind;
    size_t offset;
} words[] = {
#define WORD(name, kind, field)                                                                              \
    {                                                                                                        \
        name, kind, offsetof(struct behaviour, field)                                                        \
    }
    WORD("delay", WORD_MS, delay_ns),
    WORD("status", WORD_STATUS, status),
    WORD("bytes", WORD_COUNT, bytes),
    WORD("chunked", WORD_BOOL, chunked),
    WORD("chunk-bytes", WORD_COUNT, chunk_bytes),
    WORD("close-delimited", WORD_BOOL, close_delimited),
    WORD("trailers", WORD_BOOL, trailers),
    WORD("informational", WORD_BOOL, informational),
    WORD("early", WORD_BOOL, early),
    WORD("close", WORD_CLOSE, close),
    WORD("garbage", WORD_BOOL, garbage),
    WORD("hang", WORD_BOOL, hang),
    WORD("upgrade", WORD_BOOL, upgrade),
    WORD("sse", WORD_BOOL, sse),
    WORD("events", WORD_COUNT, events),
    WORD("event-bytes", WORD_COUNT, event_bytes),
    WORD("rate", WORD_RATE, rate),
    WORD("progress", WORD_COUNT, progress),
    WORD("list-bytes", WORD_COUNT, list_bytes),
#undef WORD
};

static int
store_close(struct text value, uint8_t *ret)
{
    static const struct text points[] = {TEXT("none"), TEXT("before-head"), TEXT("after-head"),
                                         TEXT("mid-body")};

    for (uint8_t i = 0; i < sizeof(points) / sizeof(points[0]); i++)
        if (text_eq(value, points[i])) {
            *ret = i;
            return 0;
        }
    return -EINVAL;
}

static int
store_status(uint64_t status, uint16_t *ret)
{
    if (status < 200 || status > 599)
        return -EINVAL;
    *ret = (uint16_t)status;
    return 0;
}

static int
store(const struct word *word, struct text value, struct behaviour *b)
{
    void *field = (char *)b + word->offset;
    char copy[32], *end;
    uint64_t number;

    if (word->kind == WORD_CLOSE)
        return store_close(value, field);
    if (word->kind == WORD_BOOL && value.len == 0) { /* "?hang" is "?hang=1" */
        *(bool *)field = true;
        return 0;
    }
    if (value.len >= sizeof(copy))
        return -EINVAL;
    memcpy(copy, value.at, value.len);
    copy[value.len] = '\0';
    if (word->kind == WORD_RATE) {
        double rate = strtod(copy, &end);

        if (end == copy || *end || !(rate >= 0 && rate <= 1e9))
            return -EINVAL;
        *(double *)field = rate;
        return 0;
    }
    if (flags_bytes(copy, &number) < 0)
        return -EINVAL;
    switch (word->kind) {
    case WORD_BOOL:
        *(bool *)field = number != 0;
        return 0;
    case WORD_MS:
        *(uint64_t *)field = number * 1000000;
        return 0;
    case WORD_STATUS:
        return store_status(number, field);
    default:
        *(uint64_t *)field = number;
        return 0;
    }
}

static int
apply(struct text name, struct text value, struct behaviour *b)
{
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (text_eq(name, text_of(words[i].name)))
            return store(&words[i], value, b);
    return -EINVAL;
}

int
behaviour_parse(struct text target, const struct behaviour *defaults, struct behaviour *ret,
                struct text *ret_path, struct text *ret_bad)
{
    const char *question = memchr(target.at, '?', target.len);
    struct text query = {NULL, 0};

    *ret = *defaults;
    *ret_path = target;
    if (question) {
        ret_path->len = (uint32_t)(question - target.at);
        query = (struct text){question + 1, target.len - ret_path->len - 1};
    }
    while (query.len) {
        const char *ampersand = memchr(query.at, '&', query.len);
        struct text element = {query.at, ampersand ? (uint32_t)(ampersand - query.at) : query.len};
        const char *equals = memchr(element.at, '=', element.len);
        struct text name = {element.at, equals ? (uint32_t)(equals - element.at) : element.len};
        struct text value = {element.at + name.len + (equals != NULL),
                             element.len - name.len - (equals != NULL)};

        if (element.len && apply(name, value, ret) < 0) {
            *ret_bad = element;
            return -EINVAL;
        }
        query.at += element.len + (ampersand != NULL);
        query.len -= element.len + (ampersand != NULL);
    }
    return 0;
}
