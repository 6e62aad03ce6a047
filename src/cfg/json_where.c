/* SPDX-License-Identifier: Apache-2.0 */
#include "cfg/json_where.h"

struct scan {
    const char *at, *end;
};

static void
skip_space(struct scan *s)
{
    while (s->at < s->end && (*s->at == ' ' || *s->at == '\t' || *s->at == '\n' || *s->at == '\r'))
        s->at++;
}

/* At the opening quote; ends behind the closing one. */
static void
skip_string(struct scan *s)
{
    for (s->at++; s->at < s->end && *s->at != '"'; s->at++) {
        if (*s->at == '\\')
            s->at++;
    }
    s->at = s->at < s->end ? s->at + 1 : s->end;
}

/* A string, number or word, or everything up to the bracket that closes the first one. */
static void
skip_value(struct scan *s)
{
    unsigned depth = 0;

    while (s->at < s->end) {
        char c = *s->at;

        if (depth == 0 && (c == ',' || c == '}' || c == ']'))
            return;
        if (c == '"') {
            skip_string(s);
            if (depth == 0)
                return;
            continue;
        }
        s->at++;
        if (c == '{' || c == '[')
            depth++;
        if ((c == '}' || c == ']') && --depth == 0)
            return;
    }
}

/* From a key to its value. */
static void
skip_key(struct scan *s)
{
    skip_string(s);
    skip_space(s);
    if (s->at < s->end && *s->at == ':')
        s->at++;
    skip_space(s);
}

/* From the opening bracket to member `index`: to its key in an object. False when there are fewer. */
static bool
enter_member(struct scan *s, uint32_t index, bool is_object)
{
    s->at++;
    for (uint32_t i = 0;; i++) {
        skip_space(s);
        if (s->at >= s->end || *s->at == '}' || *s->at == ']')
            return false;
        if (i == index)
            return true;
        if (is_object)
            skip_key(s);
        skip_value(s);
        skip_space(s);
        if (s->at < s->end && *s->at == ',')
            s->at++;
    }
}

static void
count_lines(const char *from, const char *to, unsigned *ret_line, unsigned *ret_column)
{
    unsigned line = 1, column = 1;

    for (; from < to; from++) {
        if (*from == '\n') {
            line++;
            column = 1;
        } else if (((unsigned char)*from & 0xc0) != 0x80) { /* not the rest of a UTF-8 character */
            column++;
        }
    }
    *ret_line = line;
    *ret_column = column;
}

void
json_where(struct text json, const struct json_path *path, unsigned *ret_line, unsigned *ret_column)
{
    struct scan s = {json.at, json.at + json.len};
    const char *found;

    skip_space(&s);
    found = s.at;
    for (unsigned i = 0; i < path->depth && s.at < s.end && (*s.at == '{' || *s.at == '['); i++) {
        bool is_object = *s.at == '{';

        if (!enter_member(&s, path->at[i], is_object))
            break;
        found = s.at;
        if (is_object && path->of_key && i + 1u == path->depth)
            break;
        if (is_object)
            skip_key(&s);
        found = s.at;
    }
    count_lines(json.at, found < s.end ? found : s.end, ret_line, ret_column);
}
