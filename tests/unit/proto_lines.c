/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/lines.h"
#include "vectors.h"

#include <criterion/criterion.h>
#include <stdio.h>

enum { MAX = 8, KEPT_MAX = MAX + 1 };

/* What a reader sees: lines in brackets, "!" for one that was too long. */
struct seen {
    struct lines lines;
    char kept[KEPT_MAX];
    char text[256];
};

static void
feed(struct seen *seen, struct text rest)
{
    struct lines_part found;

    do {
        enum lines_result r = lines_next(&seen->lines, &rest, &found);
        size_t n = strlen(seen->text);

        if (r == LINES_LONG) {
            strcat(seen->text, "!");
        } else if (r == LINES_LINE) {
            snprintf(seen->text + n, sizeof seen->text - n, "[%.*s%.*s]", (int)found.kept, seen->kept,
                     (int)found.part.len, found.part.at);
        } else if (found.part.len) {
            cr_assert_leq(seen->lines.kept, KEPT_MAX);
            memcpy(seen->kept + seen->lines.kept - found.part.len, found.part.at, found.part.len);
        }
        cr_assert(r != LINES_MORE || rest.len == 0, "MORE takes all");
    } while (rest.len);
}

static const struct {
    const char *bytes, *want;
} vectors[] = {
    {"", ""},
    {"abc", ""},
    {"abc\n", "[abc]"},
    {"abc\r\n", "[abc]"},
    {"a\nb\n\nc", "[a][b][]"},
    {"\r\n\r\n", "[][]"},
    {"a\rb\n", "[a\rb]"},
    {"a\r\r\n", "[a\r]"},
    {"12345678\n", "[12345678]"},
    {"12345678\r\n", "[12345678]"},
    {"123456789\nok\n", "![ok]"},
    {"123456789\r\nok\n", "![ok]"},
    {"12345678\r\r\nok\n", "![ok]"},
    {"1234567890123456789012345\nok\n", "![ok]"},
    {"123456789\n123456789\nx\n", "!![x]"},
    {"123456789", ""},
    {"\n", "[]"},
};

static void
check(const char *bytes, size_t len, const size_t *cuts, unsigned count, const char *want)
{
    struct seen seen = {.lines = {.max = MAX}};
    size_t at = 0;

    for (unsigned i = 0; i <= count; i++) {
        size_t end = i < count ? cuts[i] : len;

        feed(&seen, (struct text){vector_at_guard(bytes + at, end - at), (uint32_t)(end - at)});
        at = end;
    }
    cr_assert_str_eq(seen.text, want, "%s: %s instead of %s", bytes, seen.text, want);
}

Test(lines, are_found_whole_and_at_every_split)
{
    for (unsigned v = 0; v < sizeof vectors / sizeof *vectors; v++) {
        size_t len = strlen(vectors[v].bytes);

        for (size_t a = 0; a <= len; a++)
            for (size_t b = a; b <= len; b++)
                check(vectors[v].bytes, len, (size_t[]){a, b}, 2, vectors[v].want);
    }
}

Test(lines, are_found_byte_by_byte)
{
    for (unsigned v = 0; v < sizeof vectors / sizeof *vectors; v++) {
        size_t len = strlen(vectors[v].bytes), cuts[64];

        for (size_t i = 0; i < len; i++)
            cuts[i] = i;
        check(vectors[v].bytes, len, cuts, (unsigned)len, vectors[v].want);
    }
}

Test(lines, a_message_begins_with_a_bracket)
{
    static const struct {
        const char *line;
        enum lines_kind kind;
    } rows[] = {
        {"{\"a\":1}", LINES_MESSAGE}, {"  [1]", LINES_MESSAGE}, {"", LINES_BLANK}, {" \t\r", LINES_BLANK},
        {"hello", LINES_JUNK},        {"\"x\"", LINES_JUNK},    {" 1", LINES_JUNK}};

    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++)
        cr_assert_eq(lines_kind_of(text_of(rows[i].line)), rows[i].kind, "%s", rows[i].line);
}

Test(lines, line_ends_between_tokens_become_spaces)
{
    char json[] = "{\n  \"a\": \"\\n\",\r\n \"b\": 1\n}";

    lines_flatten(json, (uint32_t)strlen(json));
    cr_assert_str_eq(json, "{   \"a\": \"\\n\",   \"b\": 1 }");
}
