/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/lines.h"

static struct text
take(struct text *rest, uint32_t n)
{
    struct text taken = {rest->at, n};

    rest->at += n;
    rest->len -= n;
    return taken;
}

static void
start_line(struct lines *lines)
{
    lines->kept = 0;
    lines->cr = false;
    lines->passing_over = false;
}

/* `part` is what the piece holds of the line, its LF left out. */
static enum lines_result
end_line(struct lines *lines, struct text part, struct lines_part *ret)
{
    bool was_passed_over = lines->passing_over;
    uint32_t kept = lines->kept;

    if (part.len && part.at[part.len - 1] == '\r')
        part.len--;
    else if (!part.len && lines->cr)
        kept--;
    start_line(lines);
    *ret = (struct lines_part){part, kept};
    if (was_passed_over)
        return LINES_MORE;
    return (uint64_t)kept + part.len > lines->max ? LINES_LONG : LINES_LINE;
}

/* The piece ends within the line. */
static enum lines_result
keep(struct lines *lines, struct text part, struct lines_part *ret)
{
    *ret = (struct lines_part){{part.at, 0}, 0};
    if (lines->passing_over || !part.len)
        return LINES_MORE;
    /* One more than the maximum may be a CR. */
    if ((uint64_t)lines->kept + part.len > (uint64_t)lines->max + 1) {
        lines->passing_over = true;
        return LINES_LONG;
    }
    lines->kept += part.len;
    lines->cr = part.at[part.len - 1] == '\r';
    ret->part = part;
    return LINES_MORE;
}

enum lines_result
lines_next(struct lines *lines, struct text *rest, struct lines_part *ret)
{
    while (rest->len) {
        const char *end = memchr(rest->at, '\n', rest->len);
        enum lines_result result;
        struct text part;

        if (!end)
            return keep(lines, take(rest, rest->len), ret);
        part = take(rest, (uint32_t)(end - rest->at));
        take(rest, 1);
        result = end_line(lines, part, ret);
        if (result != LINES_MORE)
            return result;
    }
    *ret = (struct lines_part){{rest->at, 0}, 0};
    return LINES_MORE;
}

enum lines_kind
lines_kind_of(struct text line)
{
    for (uint32_t i = 0; i < line.len; i++) {
        char c = line.at[i];

        if (c == '{' || c == '[')
            return LINES_MESSAGE;
        if (c != ' ' && c != '\t' && c != '\r')
            return LINES_JUNK;
    }
    return LINES_BLANK;
}

void
lines_flatten(char *json, uint32_t len)
{
    for (uint32_t i = 0; i < len; i++)
        if (json[i] == '\n' || json[i] == '\r')
            json[i] = ' ';
}
