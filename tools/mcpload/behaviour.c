/* SPDX-License-Identifier: Apache-2.0 */
/* The query of a request to `mcpload serve`; see behaviour.h. */
#include "behaviour.h"

#include "flags.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>

enum word_kind { WORD_BOOL, WORD_COUNT, WORD_MS, WORD_RATE, WORD_BURST, WORD_STATUS, WORD_CLOSE };

static const struct word {
    const char *name;
    enum word_kind kind;
    size_t offset;
    const char *argument, *help;
} words[] = {
#define WORD(name, kind, field, argument, help)                                                              \
    {                                                                                                        \
        name, kind, offsetof(struct behaviour, field), argument, help                                        \
    }
    WORD("delay", WORD_MS, delay_ns, "MS", "waits before it answers"),
    WORD("status", WORD_STATUS, status, "CODE", "answers with this status"),
    WORD("bytes", WORD_COUNT, bytes, "N", "body of a plain reply"),
    WORD("chunked", WORD_BOOL, chunked, "1", "chunked instead of with a length"),
    WORD("chunk-bytes", WORD_COUNT, chunk_bytes, "N", "size of a chunk"),
    WORD("close-delimited", WORD_BOOL, close_delimited, "1", "the end of the connection ends the body"),
    WORD("trailers", WORD_BOOL, trailers, "1", "chunked, with a trailer field"),
    WORD("informational", WORD_BOOL, informational, "1", "a 103 before the reply"),
    WORD("early", WORD_BOOL, early, "1", "answers when the head was read, then reads the body"),
    WORD("close", WORD_CLOSE, close, "POINT", "closes too early: before-head, after-head or mid-body"),
    WORD("garbage", WORD_BOOL, garbage, "1", "answers with bytes that are not HTTP"),
    WORD("hang", WORD_BOOL, hang, "1", "never answers"),
    WORD("upgrade", WORD_BOOL, upgrade, "1", "101 to a request with Upgrade, then echoes every byte"),
    WORD("sse", WORD_BOOL, sse, "1", "answers as SSE"),
    WORD("events", WORD_COUNT, events, "N", "events of a stream; 0: endless"),
    WORD("event-bytes", WORD_COUNT, event_bytes, "N", "size of an event"),
    WORD("rate", WORD_RATE, rate, "R", "events per second; 0: as fast as they are taken"),
    WORD("burst", WORD_BURST, burst, "N", "so many events back to back, then a pause, at the same rate"),
    WORD("progress", WORD_COUNT, progress, "N", "progress notifications before a tool's result, with SSE"),
    WORD("list-bytes", WORD_COUNT, list_bytes, "N", "least size of the result of tools/list"),
    WORD("changes", WORD_RATE, changes, "R", "change notices per second to a subscription; 0: it is refused"),
#undef WORD
};

enum { WORDS = sizeof(words) / sizeof(words[0]) };

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
    case WORD_BURST:
        *(uint64_t *)field = number;
        return number ? 0 : -EINVAL;
    default:
        *(uint64_t *)field = number;
        return 0;
    }
}

static int
apply(struct text name, struct text value, struct behaviour *b)
{
    for (size_t i = 0; i < WORDS; i++)
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

void
behaviour_print(void (*line)(const char *word, const char *help, FILE *out), FILE *out)
{
    for (size_t i = 0; i < WORDS; i++) {
        char word[64];

        snprintf(word, sizeof(word), "?%s=%s", words[i].name, words[i].argument);
        line(word, words[i].help, out);
    }
}

void
behaviour_help_line(const char *word, const char *help, FILE *out)
{
    fprintf(out, "  %-24s %s\n", word, help);
}
