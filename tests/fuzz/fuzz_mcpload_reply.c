/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mcpload's reply parser. The first byte says whether the body is kept and what the request was, the second
 * where the rest is split. The whole, two pieces, and single bytes must come to the same: heads, events, text
 * and end. A fault may be told of earlier or later, but never becomes an end.
 */
#include "base/check.h"
#include "mcpload/reply.h"

#include <stdlib.h>

struct seen {
    struct reply reply;
    uint64_t hash; /* of heads, events and text, in order */
    unsigned heads, events;
    bool ended, bad;
};

static uint64_t
mix(uint64_t hash, struct text text)
{
    for (uint32_t i = 0; i < text.len; i++)
        hash = (hash ^ (uint8_t)text.at[i]) * 0x100000001b3u;
    return (hash ^ text.len) * 0x100000001b3u;
}

static void
see_head(struct seen *seen)
{
    const struct reply *r = &seen->reply;

    ASSERT(r->status >= 101 && r->status <= 999);
    seen->heads++;
    seen->hash =
        mix(seen->hash, r->session) + r->status * 8u + r->sse * 4u + r->keep_alive * 2u + r->until_close;
}

static void
see_event(struct seen *seen)
{
    const struct sse_event *e = &seen->reply.event;

    ASSERT(seen->reply.sse);
    seen->events++;
    seen->hash = mix(mix(mix(seen->hash, e->event), e->data), e->id) ^ (uint64_t)e->retry_ms;
}

static void
see_end(struct seen *seen)
{
    seen->ended = true;
    if (seen->reply.keep && !seen->reply.sse)
        seen->hash = mix(seen->hash, seen->reply.text);
}

/* A copy of the bytes, so that a sanitizer sees what is read beyond them, or after the call. */
static void
feed(struct seen *seen, const char *bytes, uint32_t len)
{
    char *copy = malloc(len ? len : 1);
    uint32_t at = 0, used;

    ASSERT(copy);
    memcpy(copy, bytes, len);
    while (!seen->bad && at < len) {
        enum reply_step step = seen->ended ? REPLY_BAD : reply_next(&seen->reply, copy + at, len - at, &used);

        if (step == REPLY_BAD) {
            seen->bad = true;
            break;
        }
        ASSERT(used <= len - at);
        at += used;
        if (step == REPLY_MORE)
            ASSERT(at == len);
        else if (step == REPLY_HEAD)
            see_head(seen);
        else if (step == REPLY_EVENT)
            see_event(seen);
        else
            see_end(seen);
    }
    /* Steps that need no more bytes: a body of length 0, a last event. */
    while (!seen->bad && !seen->ended && seen->heads) {
        enum reply_step step = reply_next(&seen->reply, copy + at, 0, &used);

        ASSERT(used == 0);
        if (step == REPLY_MORE)
            break;
        seen->bad = step == REPLY_BAD;
        if (step == REPLY_EVENT)
            see_event(seen);
        else if (step == REPLY_END)
            see_end(seen);
    }
    free(copy);
}

static void
start(struct seen *seen, uint8_t how)
{
    *seen = (struct seen){0};
    reply_start(&seen->reply, how & 2 ? METHOD_HEAD : METHOD_POST, how & 1);
}

static void
finish(struct seen *seen)
{
    if (!seen->bad && !seen->ended && reply_end_of_file(&seen->reply))
        see_end(seen);
    reply_done(&seen->reply);
}

static void
check_same(const struct seen *whole, const struct seen *parts)
{
    ASSERT(whole->ended == parts->ended || whole->bad || parts->bad);
    if (whole->bad || parts->bad) {
        ASSERT(!(whole->bad && !parts->bad && parts->ended));
        ASSERT(!(parts->bad && !whole->bad && whole->ended));
        return;
    }
    ASSERT(whole->heads == parts->heads && whole->events == parts->events && whole->hash == parts->hash);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct seen whole, parts;
    const char *at = (const char *)data + 2;
    uint32_t len, split;

    if (size < 2 || size > 8192)
        return 0;
    len = (uint32_t)size - 2;
    split = data[1] * len / 255;

    start(&whole, data[0]);
    feed(&whole, at, len);
    finish(&whole);

    start(&parts, data[0]);
    feed(&parts, at, split);
    feed(&parts, at + split, len - split);
    finish(&parts);
    check_same(&whole, &parts);

    start(&parts, data[0]);
    for (uint32_t i = 0; i < len; i++)
        feed(&parts, at + i, 1);
    finish(&parts);
    check_same(&whole, &parts);
    return 0;
}
