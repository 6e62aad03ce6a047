/* SPDX-License-Identifier: Apache-2.0 */
#include "merge_helper.h"
#include "vectors.h"

#include <stdio.h>

TestSuite(merge_names, .init = merge_set_up);

Test(merge_names, clash_when_one_could_begin_the_others_tools)
{
    static const struct {
        const char *a, *b;
        bool clash;
    } cases[] = {
        {"a", "b", false},    {"a", "ab", false},      {"a", "a_b", false}, {"a", "a", true},
        {"a", "a__b", true},  {"a", "a_", true},       {"a_", "a__", true}, {"a", "a-", false},
        {"a_", "a_b", false}, {"a__b", "a__c", false},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct text a = text_of(cases[i].a), b = text_of(cases[i].b);

        cr_expect_eq(merge_names_clash(a, b), cases[i].clash, "%s %s", cases[i].a, cases[i].b);
        cr_expect_eq(merge_names_clash(b, a), cases[i].clash, "%s %s", cases[i].b, cases[i].a);
    }
}

Test(merge_names, takes_names_as_long_as_the_configuration_does)
{
    char name[MERGE_NAME_MAX];
    struct merge_name n;
    struct merge_names names = {&n, 1, false};
    struct jsonrpc_edit edit;

    memset(name, 'n', sizeof name);
    merge_name_init(&n, (struct text){name, sizeof name});
    cr_assert(merge_uri_down(&names, 0, TEXT("\"x:y\""), &edit));
    cr_assert_eq(edit.with.len, strlen(n.mark));
    cr_assert(merge_name_down(&names, 0, TEXT("\"t\""), &edit));
    cr_assert_eq(edit.with.len, strlen(n.front));
    cr_assert_eq(strlen(n.front), MERGE_NAME_MAX + 2);
}

static const struct {
    const char *seen, *own;
    int upstream;
} name_cases[] = {
    {"fs__read", "read", 0},
    {"db-1__read__all", "read__all", 1},
    {"a_b___x", "_x", 2},
    {"fs____init__", "__init__", 0},
    {"fs__", "", 0},
    {"fs_read", NULL, MERGE_NOBODY},
    {"read", NULL, MERGE_NOBODY},
    {"", NULL, MERGE_NOBODY},
    {"FS__read", NULL, MERGE_NOBODY},
};

Test(merge_names, of_tools_split_in_one_way)
{
    for (size_t i = 0; i < sizeof name_cases / sizeof *name_cases; i++) {
        uint32_t len = (uint32_t)strlen(name_cases[i].seen);
        struct text seen = {vector_at_guard(name_cases[i].seen, len), len}, own;

        cr_assert_eq(merge_split_name(&merged_three, seen, &own), name_cases[i].upstream, "%s",
                     name_cases[i].seen);
        if (name_cases[i].own)
            merge_expect(own, name_cases[i].own);
    }
}

static const struct {
    const char *seen, *own;
    int upstream;
} uri_cases[] = {
    {"file:///a#mcpgate=fs", "file:///a", 0},
    {"file:///a#part&mcpgate=fs", "file:///a#part", 0},
    {"file:///a#&mcpgate=fs", "file:///a#", 0},
    {"https://h/p?q=1&r=2#mcpgate=db-1", "https://h/p?q=1&r=2", 1},
    {"x#mcpgate=db-1&mcpgate=fs", "x#mcpgate=db-1", 0},
    {"x#sec#mcpgate=a_b", "x#sec", 2}, /* a template's {#sec}, expanded */
    {"#mcpgate=fs", "", 0},
    {"x?a&mcpgate=fs", NULL, MERGE_NOBODY},
    {"x#mcpgate=", NULL, MERGE_NOBODY},
    {"x#mcpgate=fsx", NULL, MERGE_NOBODY},
    {"x#mcpgate=f", NULL, MERGE_NOBODY},
    {"x#fs", NULL, MERGE_NOBODY},
    {"mcpgate=fs", NULL, MERGE_NOBODY},
    {"file:///a", NULL, MERGE_NOBODY},
    {"", NULL, MERGE_NOBODY},
};

Test(merge_names, of_uris_stand_in_the_fragment)
{
    for (size_t i = 0; i < sizeof uri_cases / sizeof *uri_cases; i++) {
        uint32_t len = (uint32_t)strlen(uri_cases[i].seen);
        struct text seen = {vector_at_guard(uri_cases[i].seen, len), len}, own;

        cr_assert_eq(merge_split_uri(&merged_three, seen, &own), uri_cases[i].upstream, "%s",
                     uri_cases[i].seen);
        if (uri_cases[i].own)
            merge_expect(own, uri_cases[i].own);
    }
}

/* `plain` as a raw string, spelled in three ways: as it is, with each character escaped, with every second.
 */
static struct text
spelled(const char *plain, unsigned way)
{
    static char out[2048];
    int n = 0;

    out[n++] = '"';
    for (size_t i = 0; plain[i]; i++)
        n += snprintf(out + n, sizeof out - (size_t)n, way && (way == 1 || i % 2) ? "\\u%04x" : "%c",
                      (unsigned char)plain[i]);
    out[n++] = '"';
    return (struct text){vector_at_guard(out, (size_t)n), (uint32_t)n};
}

static void
expect_decoded(struct text raw, const char *want)
{
    char out[2048];
    int n = json_string_decode(raw, out, sizeof out);

    cr_assert_geq(n, 0, "%.*s", (int)raw.len, raw.at);
    merge_expect((struct text){out, (uint32_t)n}, want);
}

Test(merge_names, are_found_in_strings_however_they_are_spelled)
{
    struct jsonrpc_edit edit;

    for (unsigned way = 0; way < 3; way++) {
        for (size_t i = 0; i < sizeof name_cases / sizeof *name_cases; i++) {
            struct text raw = spelled(name_cases[i].seen, way);

            cr_assert_eq(merge_name_up(&merged_three, raw, &edit), name_cases[i].upstream, "%.*s",
                         (int)raw.len, raw.at);
            if (name_cases[i].own)
                expect_decoded(merge_edited(raw, &edit, 1), name_cases[i].own);
        }
        for (size_t i = 0; i < sizeof uri_cases / sizeof *uri_cases; i++) {
            struct text raw = spelled(uri_cases[i].seen, way);

            cr_assert_eq(merge_uri_up(&merged_three, raw, &edit), uri_cases[i].upstream, "%.*s", (int)raw.len,
                         raw.at);
            if (uri_cases[i].own)
                expect_decoded(merge_edited(raw, &edit, 1), uri_cases[i].own);
        }
    }
}

Test(merge_names, of_no_string_are_nobodys)
{
    static const char *const raws[] = {"", "1", "null", "{\"a\":1}", "\""};
    struct jsonrpc_edit edit;

    for (size_t i = 0; i < sizeof raws / sizeof *raws; i++) {
        cr_expect_eq(merge_name_up(&merged_three, text_of(raws[i]), &edit), MERGE_NOBODY);
        cr_expect_eq(merge_uri_up(&plain_one, text_of(raws[i]), &edit), MERGE_NOBODY);
        cr_expect(!merge_name_down(&merged_three, 0, text_of(raws[i]), &edit));
        cr_expect(!merge_uri_down(&merged_three, 0, text_of(raws[i]), &edit));
    }
}

static const char *const owns[] = {
    "file:///a", "file:///a#x", "https://h/?a=b&c", "x#mcpgate=fs",       "x#&mcpgate=fs",
    "#",         "a#b#c",       "urn:x:\xc3\xa9",   "test://static-text", "a&b#",
    "",
};

Test(merge_names, come_back_as_they_went)
{
    for (unsigned upstream = 0; upstream < 3; upstream++) {
        for (size_t i = 0; i < sizeof owns / sizeof *owns; i++) {
            for (unsigned way = 0; way < 1 + 2u * !strstr(owns[i], "\xc3"); way++) {
                struct text raw = spelled(owns[i], way), seen;
                struct jsonrpc_edit edit;
                char copy[4096];

                cr_assert(merge_uri_down(&merged_three, upstream, raw, &edit));
                seen = merge_edited(raw, &edit, 1);
                memcpy(copy, seen.at, seen.len);
                seen.at = copy;
                cr_assert_eq(merge_uri_up(&merged_three, seen, &edit), (int)upstream, "%.*s", (int)seen.len,
                             seen.at);
                cr_assert(text_eq(merge_edited(seen, &edit, 1), raw));
                cr_assert(merge_name_down(&merged_three, upstream, raw, &edit));
                seen = merge_edited(raw, &edit, 1);
                memcpy(copy, seen.at, seen.len);
                seen.at = copy;
                cr_assert_eq(merge_name_up(&merged_three, seen, &edit), (int)upstream);
                cr_assert(text_eq(merge_edited(seen, &edit, 1), raw));
            }
        }
    }
}

Test(merge_names, of_templates_stand_behind_their_expressions)
{
    static const struct {
        const char *own, *seen;
    } cases[] = {
        {"\"db:///{table}\"", "\"db:///{table}#mcpgate=fs\""},
        {"\"db:///{t}{?q,r}\"", "\"db:///{t}{?q,r}#mcpgate=fs\""},
        {"\"db:///{t}{#section}\"", "\"db:///{t}{#section}#mcpgate=fs\""},
        {"\"db:///{t}#all\"", "\"db:///{t}#all&mcpgate=fs\""},
        {"\"{\\u0023s}\"", "\"{\\u0023s}#mcpgate=fs\""},
        {"\"{+uri}\\u0023\"", "\"{+uri}\\u0023&mcpgate=fs\""},
    };
    struct jsonrpc_edit edit;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cr_assert(merge_template_down(&merged_three, 0, text_of(cases[i].own), &edit));
        merge_expect(merge_edited(text_of(cases[i].own), &edit, 1), cases[i].seen);
    }
}

Test(merge_names, are_left_alone_with_one_upstream)
{
    struct jsonrpc_edit edit;
    struct text own;

    cr_expect(!merge_name_down(&plain_one, 0, TEXT("\"read\""), &edit));
    cr_expect(!merge_uri_down(&plain_one, 0, TEXT("\"file:///a\""), &edit));
    cr_expect(!merge_template_down(&plain_one, 0, TEXT("\"{a}\""), &edit));
    cr_expect_eq(merge_name_up(&plain_one, TEXT("\"read\""), &edit), 0);
    merge_expect(merge_edited(TEXT("\"read\""), &edit, 1), "\"read\"");
    cr_expect_eq(merge_uri_up(&plain_one, TEXT("\"x#mcpgate=fs\""), &edit), 0);
    merge_expect(merge_edited(TEXT("\"x#mcpgate=fs\""), &edit, 1), "\"x#mcpgate=fs\"");
    cr_expect_eq(merge_split_name(&plain_one, TEXT("fs__read"), &own), 0);
    merge_expect(own, "fs__read");
    cr_expect_eq(merge_split_uri(&plain_one, TEXT("x"), &own), 0);
    merge_expect(own, "x");
}
