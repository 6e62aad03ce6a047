/* SPDX-License-Identifier: Apache-2.0 */
#include "mcpload/flags.h"

#include <criterion/criterion.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct words {
    const char *name;
    uint64_t count, bytes, time_ns;
    double rate;
    bool on;
    struct flag_list list;
};

static const struct flag flags[] = {
    {"name", FLAG_TEXT, offsetof(struct words, name), "x", "NAME", "a text"},
    {"count", FLAG_COUNT, offsetof(struct words, count), "7", "N", "a count"},
    {"bytes", FLAG_BYTES, offsetof(struct words, bytes), "64k", "N", "bytes"},
    {"time", FLAG_TIME, offsetof(struct words, time_ns), "10s", "TIME", "a time"},
    {"rate", FLAG_RATE, offsetof(struct words, rate), "0.5", "R", "a rate"},
    {"on", FLAG_SWITCH, offsetof(struct words, on), NULL, NULL, "a switch"},
    {"list", FLAG_LIST, offsetof(struct words, list), NULL, "X", "several"},
    {0},
};

static int
parse(struct words *w, struct flag_list *rest, char *why, int argc, const char **argv)
{
    memset(w, 0, sizeof *w);
    return flags_parse((struct flag_set[]){{flags, w}, {0}}, argc, (char **)(uintptr_t)argv, rest, why, 128);
}

Test(mcpload_flags, defaults_stand_in_the_table)
{
    struct words w;
    char why[128];

    cr_assert_eq(parse(&w, NULL, why, 0, NULL), 0);
    cr_assert_str_eq(w.name, "x");
    cr_assert_eq(w.count, 7);
    cr_assert_eq(w.bytes, 65536);
    cr_assert_eq(w.time_ns, 10000000000ull);
    cr_assert_eq(w.rate, 0.5);
    cr_assert(!w.on);
    cr_assert_eq(w.list.count, 0);
}

Test(mcpload_flags, takes_values_after_a_space_or_an_equals_sign)
{
    const char *argv[] = {"--count", "12",     "--bytes=2m", "--time",     "1500us",
                          "--on",    "--list", "a",          "--list=b=c", "word"};
    struct flag_list rest = {0};
    struct words w;
    char why[128];

    cr_assert_eq(parse(&w, &rest, why, 10, argv), 0);
    cr_assert_eq(w.count, 12);
    cr_assert_eq(w.bytes, 2 << 20);
    cr_assert_eq(w.time_ns, 1500000);
    cr_assert(w.on);
    cr_assert_eq(w.list.count, 2);
    cr_assert_str_eq(w.list.items[1], "b=c");
    cr_assert_eq(rest.count, 1);
    cr_assert_str_eq(rest.items[0], "word");
}

Test(mcpload_flags, refuses_what_it_cannot_read_and_says_which)
{
    static const struct {
        const char *words[2];
        const char *said;
    } cases[] = {
        {{"--count", "-1"}, "--count"},      {{"--count", "1x"}, "--count"}, {{"--bytes", "k"}, "--bytes"},
        {{"--time", "5 parsecs"}, "--time"}, {{"--rate", "nan"}, "--rate"},  {{"--rate", "-2"}, "--rate"},
        {{"--nothing", "1"}, "--nothing"},   {{"--on=1", "--on"}, "--on"},   {{"--on", "--name"}, "--name"},
        {{"word", "--on"}, "word"},
    };
    struct words w;
    char why[128];

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *argv[] = {cases[i].words[0], cases[i].words[1]};

        why[0] = '\0';
        cr_assert(parse(&w, NULL, why, 2, argv) < 0, "%s %s was taken", argv[0], argv[1]);
        cr_assert(strstr(why, cases[i].said), "%s %s: '%s' does not name %s", argv[0], argv[1], why,
                  cases[i].said);
    }
}

Test(mcpload_flags, help_has_each_word_in_lines_of_a_screen)
{
    static const struct flag long_one[] = {
        {"long", FLAG_TEXT, offsetof(struct words, name), "fallback", "NAME",
         "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
         "seventeen eighteen nineteen twenty"},
        {0},
    };
    char *text, *line, *next;
    size_t len;
    FILE *out = open_memstream(&text, &len);

    flags_help(long_one, out);
    fclose(out);
    cr_assert(strstr(text, "  --long NAME                one two"), "%s", text);
    cr_assert(strstr(text, "twenty [fallback]\n"), "%s", text);
    for (line = text; *line; line = next) {
        next = strchr(line, '\n') + 1;
        cr_assert_leq(next - line, 101, "%s", text);
    }
    for (char *c = text; *c; c++)
        *c = *c == '\n' ? ' ' : *c;
    cr_assert(strstr(text, "twelve") && strstr(text, "thirteen") && strstr(text, "fourteen"), "%s", text);
    free(text);
}
