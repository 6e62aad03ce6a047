/* SPDX-License-Identifier: Apache-2.0 */
/* Writes events, as sse.h says. */
#include "proto/sse.h"
#include "proto/sse_line.h"

#include <stdio.h>

struct out {
    char *at;
    uint32_t size, len;
    bool bad;
};

static void
put(struct out *out, struct text text)
{
    if (out->bad || text.len > out->size - out->len) {
        out->bad = true;
        return;
    }
    if (text.len)
        memcpy(out->at + out->len, text.at, text.len);
    out->len += text.len;
}

/* A field of one line. A value that would break out of it is refused. */
static void
put_field(struct out *out, struct text name, struct text value)
{
    const char *end = value.at + value.len;

    if (sse_line_end(value.at, end) != end || memchr(value.at, 0, value.len))
        out->bad = true;
    put(out, name);
    put(out, value);
    put(out, TEXT("\n"));
}

static void
put_head(struct out *out, const struct sse_event *event)
{
    if (event->event.at && event->event.len)
        put_field(out, TEXT("event: "), event->event);
    if (event->id.at)
        put_field(out, TEXT("id: "), event->id);
    if (event->retry_ms >= 0) {
        char digits[24];
        int n = snprintf(digits, sizeof digits, "%lld", (long long)event->retry_ms);

        put_field(out, TEXT("retry: "), (struct text){digits, (uint32_t)n});
    }
    put(out, TEXT("data: "));
}

uint32_t
sse_write_head(char *at, uint32_t size, const struct sse_event *event)
{
    struct out out = {at, size, 0, false};

    put_head(&out, event);
    return out.bad ? 0 : out.len;
}

uint32_t
sse_write_event(char *at, uint32_t size, const struct sse_event *event)
{
    struct out out = {at, size, 0, false};
    const char *line = event->data.at, *end = event->data.len ? line + event->data.len : line;

    put_head(&out, event);
    for (;;) {
        const char *stop = sse_line_end(line, end);

        put(&out, (struct text){line, (uint32_t)(stop - line)});
        if (stop == end)
            break;
        line = stop + (*stop == '\r' && stop + 1 < end && stop[1] == '\n' ? 2 : 1);
        put(&out, TEXT("\ndata: "));
    }
    put(&out, TEXT(SSE_EVENT_END));
    return out.bad ? 0 : out.len;
}
