/* SPDX-License-Identifier: Apache-2.0 */
/* Writing JSON text, as json.h says. */
#include "base/check.h"
#include "proto/json.h"
#include "proto/utf8.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

void
json_put(struct json_writer *w, struct text raw)
{
    if (w->full || raw.len > w->size - w->len) {
        w->full = true;
        return;
    }
    if (raw.len)
        memcpy(w->at + w->len, raw.at, raw.len);
    w->len += raw.len;
}

/* How many bytes from `at` on need no escape. */
static uint32_t
plain_run(const char *at, const char *end)
{
    const char *begin = at;
    unsigned n;

    while (at < end && (uint8_t)*at >= 0x20 && *at != '"' && *at != '\\' && (n = utf8_length(at, end)) > 0)
        at += n;
    return (uint32_t)(at - begin);
}

static void
put_escape(struct json_writer *w, char c)
{
    static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";
    const char *simple = c ? strchr(from, c) : NULL;
    char out[8] = "\\";

    if (simple) {
        out[1] = to[simple - from];
        json_put(w, (struct text){out, 2});
    } else if ((uint8_t)c >= 0x80) {
        json_put(w, TEXT("\xef\xbf\xbd"));
    } else {
        json_put(w, (struct text){out, (uint32_t)snprintf(out, sizeof out, "\\u%04x", (unsigned)c)});
    }
}

void
json_put_string(struct json_writer *w, struct text utf8)
{
    const char *at = utf8.at, *end = utf8.len ? at + utf8.len : at;

    json_put(w, TEXT("\""));
    while (at < end) {
        uint32_t run = plain_run(at, end);

        json_put(w, (struct text){at, run});
        at += run;
        if (at < end)
            put_escape(w, *at++);
    }
    json_put(w, TEXT("\""));
}

void
json_put_integer(struct json_writer *w, int64_t n)
{
    uint64_t left = n < 0 ? -(uint64_t)n : (uint64_t)n;
    char out[24], *at = out + sizeof out;

    do
        *--at = (char)('0' + left % 10);
    while (left /= 10);
    if (n < 0)
        *--at = '-';
    json_put(w, (struct text){at, (uint32_t)(out + sizeof out - at)});
}

void
json_put_double(struct json_writer *w, double n)
{
    char out[32];
    int len = 0;

    ASSERT(isfinite(n));
    for (int digits = 15; digits <= 17; digits++) {
        len = snprintf(out, sizeof out, "%.*g", digits, n);
        if (strtod(out, NULL) == n)
            break;
    }
    json_put(w, (struct text){out, (uint32_t)len});
}

uint32_t
json_write_string(char *out, uint32_t size, struct text utf8)
{
    struct json_writer w = {.at = out, .size = size};

    json_put_string(&w, utf8);
    return w.full ? 0 : w.len;
}
