/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/json.h"
#include "vectors.h"

#include <criterion/criterion.h>
#include <float.h>
#include <math.h>
#include <stdio.h>

static const struct {
    const char *text;
    enum json_fault strict, fast;
} check_cases[] = {
    {"null", JSON_FINE, JSON_FINE},
    {" true ", JSON_FINE, JSON_FINE},
    {"\t\r\n false\n", JSON_FINE, JSON_FINE},
    {"\"\"", JSON_FINE, JSON_FINE},
    {"0", JSON_FINE, JSON_FINE},
    {"-0", JSON_FINE, JSON_FINE},
    {"-12.50e+7", JSON_FINE, JSON_FINE},
    {"1E5", JSON_FINE, JSON_FINE},
    {"1e-2", JSON_FINE, JSON_FINE},
    {"[]", JSON_FINE, JSON_FINE},
    {"{}", JSON_FINE, JSON_FINE},
    {"[ ]", JSON_FINE, JSON_FINE},
    {"{ }", JSON_FINE, JSON_FINE},
    {"[1,2,[3,{\"a\":[]}],{}]", JSON_FINE, JSON_FINE},
    {"{\"a\":1,\"b\":{\"c\":[true,false,null]}}", JSON_FINE, JSON_FINE},
    {"{ \"a\" : 1 , \"b\" : [ 1 , 2 ] }", JSON_FINE, JSON_FINE},
    {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\uD83D\\ude00\"", JSON_FINE, JSON_FINE},
    {"\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\xf4\x8f\xbf\xbf\"", JSON_FINE, JSON_FINE},
    {"\"0123456789abcdef0123456789abcdef\\u0041\xc3\xa9 tail of the string here\"", JSON_FINE, JSON_FINE},
    {"[\"a]b\",\"c}d\",\"\\\"]\"]", JSON_FINE, JSON_FINE},
    {"", JSON_TRUNCATED, JSON_TRUNCATED},
    {"  ", JSON_TRUNCATED, JSON_TRUNCATED},
    {"\"abc", JSON_TRUNCATED, JSON_TRUNCATED},
    {"\"abc\\", JSON_TRUNCATED, JSON_TRUNCATED},
    {"[", JSON_TRUNCATED, JSON_TRUNCATED},
    {"[1", JSON_TRUNCATED, JSON_TRUNCATED},
    {"[1,", JSON_TRUNCATED, JSON_TRUNCATED},
    {"{", JSON_TRUNCATED, JSON_TRUNCATED},
    {"{\"a\"", JSON_TRUNCATED, JSON_TRUNCATED},
    {"{\"a\":", JSON_TRUNCATED, JSON_TRUNCATED},
    {"{\"a\":1", JSON_TRUNCATED, JSON_TRUNCATED},
    {"{\"a\":1,", JSON_TRUNCATED, JSON_TRUNCATED},
    {"[1]]", JSON_SYNTAX, JSON_SYNTAX},
    {"[1] 2", JSON_SYNTAX, JSON_SYNTAX},
    {"[1}", JSON_SYNTAX, JSON_SYNTAX},
    {"{\"a\":[1}]", JSON_SYNTAX, JSON_SYNTAX},
    {"\"a\tb\"", JSON_SYNTAX, JSON_SYNTAX},
    {"\"a\x01\"", JSON_SYNTAX, JSON_SYNTAX},
    {"\"a\\\n\"", JSON_SYNTAX, JSON_SYNTAX},
    {"x", JSON_SYNTAX, JSON_SYNTAX},
    {"]", JSON_SYNTAX, JSON_SYNTAX},
    {",", JSON_SYNTAX, JSON_SYNTAX},
    {"+1", JSON_SYNTAX, JSON_SYNTAX},
    {".5", JSON_SYNTAX, JSON_SYNTAX},
    {"\xef\xbb\xbf{}", JSON_SYNTAX, JSON_SYNTAX},
    /* what only the strict mode looks at */
    {"01", JSON_SYNTAX, JSON_FINE},
    {"-", JSON_SYNTAX, JSON_FINE},
    {"1.", JSON_SYNTAX, JSON_FINE},
    {"1e", JSON_SYNTAX, JSON_FINE},
    {"1e+", JSON_SYNTAX, JSON_FINE},
    {"0x10", JSON_SYNTAX, JSON_FINE},
    {"nul", JSON_SYNTAX, JSON_FINE},
    {"nulls", JSON_SYNTAX, JSON_FINE},
    {"[1,]", JSON_SYNTAX, JSON_FINE},
    {"[,1]", JSON_SYNTAX, JSON_FINE},
    {"[1 2]", JSON_SYNTAX, JSON_FINE},
    {"{\"a\":1,}", JSON_SYNTAX, JSON_FINE},
    {"{a:1}", JSON_SYNTAX, JSON_FINE},
    {"{\"a\" 1}", JSON_SYNTAX, JSON_FINE},
    {"{1:1}", JSON_SYNTAX, JSON_FINE},
    {"{\"a\":}", JSON_SYNTAX, JSON_FINE},
    {"\"\\x\"", JSON_SYNTAX, JSON_FINE},
    {"\"\\u12g4\"", JSON_SYNTAX, JSON_FINE},
    {"\"\\u123\"", JSON_SYNTAX, JSON_FINE},
    {"\"\\ud800\"", JSON_SYNTAX, JSON_FINE},
    {"\"\\udc00\"", JSON_SYNTAX, JSON_FINE},
    {"\"\\ud800\\u0041\"", JSON_SYNTAX, JSON_FINE},
    {"\"\xc0\xaf\"", JSON_SYNTAX, JSON_FINE},         /* overlong */
    {"\"\xe0\x80\x80\"", JSON_SYNTAX, JSON_FINE},     /* overlong */
    {"\"\xed\xa0\x80\"", JSON_SYNTAX, JSON_FINE},     /* a surrogate */
    {"\"\xf4\x90\x80\x80\"", JSON_SYNTAX, JSON_FINE}, /* over U+10FFFF */
    {"\"\xc3\"", JSON_SYNTAX, JSON_FINE},
    {"\"\xff\"", JSON_SYNTAX, JSON_FINE},
};

Test(json_check, accepts_what_each_mode_should_and_reads_no_byte_behind_its_input)
{
    for (size_t i = 0; i < sizeof check_cases / sizeof *check_cases; i++) {
        uint32_t len = (uint32_t)strlen(check_cases[i].text);
        struct text text = {vector_at_guard(check_cases[i].text, len), len};

        cr_assert_eq(json_check(text, JSON_SCAN_STRICT), check_cases[i].strict, "strict: %s",
                     check_cases[i].text);
        cr_assert_eq(json_check(text, JSON_SCAN_FAST), check_cases[i].fast, "fast: %s", check_cases[i].text);
    }
}

Test(json_check, calls_every_beginning_of_a_container_truncated)
{
    static const char whole[] = "{\"a\": [1, {\"b\": \"c\"}, null, -1.5e3 ], \"d\": {}}";

    for (uint32_t len = 0; len < sizeof whole - 1; len++) {
        struct text text = {vector_at_guard(whole, len), len};

        cr_assert_neq(json_check(text, JSON_SCAN_STRICT), JSON_FINE, "%u", len);
        cr_assert_eq(json_check(text, JSON_SCAN_FAST), JSON_TRUNCATED, "%u", len);
    }
}

Test(json_check, ends_at_64_levels_of_either_bracket)
{
    char text[512];

    for (int depth = 63; depth <= 66; depth++) {
        enum json_fault want = depth <= JSON_DEPTH_MAX ? JSON_FINE : JSON_DEEP;
        struct text t = {text, (uint32_t)(2 * depth)};

        memset(text, '[', (size_t)depth);
        memset(text + depth, ']', (size_t)depth);
        cr_assert_eq(json_check(t, JSON_SCAN_STRICT), want, "%d", depth);
        cr_assert_eq(json_check(t, JSON_SCAN_FAST), want, "%d", depth);
        t.len = 0;
        for (int i = 0; i < depth; i++, t.len += i < depth ? 5 : 1)
            memcpy(text + t.len, "{\"a\":", 5);
        memset(text + t.len, '}', (size_t)depth);
        t.len += (uint32_t)depth;
        cr_assert_eq(json_check(t, JSON_SCAN_STRICT), want, "%d: %.*s", depth, (int)t.len, text);
        cr_assert_eq(json_check(t, JSON_SCAN_FAST), want, "%d", depth);
    }
}

Test(json, iterates_over_members_and_elements)
{
    struct text object = TEXT(" { \"a\" : 1,\"b\":[2, {\"x\":\"]\"} , \"s\" ] , \"\\u0061\":null}"),
                rest = object, e;
    struct json_member m;
    int n = 0;

    cr_assert(json_next_member(&rest, &m));
    cr_assert(text_eq(m.key, TEXT("\"a\"")) && text_eq(m.value, TEXT("1")));
    cr_assert(json_next_member(&rest, &m));
    cr_assert(text_eq(m.key, TEXT("\"b\"")));
    while (json_next_element(&m.value, &e))
        n++;
    cr_assert_eq(n, 3);
    cr_assert(text_eq(e, TEXT("\"s\"")));
    cr_assert(json_next_member(&rest, &m));
    cr_assert(json_string_is(m.key, TEXT("a")));
    cr_assert(!json_next_member(&rest, &m));
    cr_assert(!json_next_member(&rest, &m));

    cr_assert(text_eq(json_find(TEXT("{\"k\":1,\"k\":2}"), TEXT("k")), TEXT("2")),
              "the last one, as in JavaScript");
    cr_assert_null(json_find(TEXT("{\"k\":1}"), TEXT("l")).at);
    cr_assert_null(json_find(TEXT("[\"k\",1]"), TEXT("k")).at);
    cr_assert_null(json_find(TEXT(""), TEXT("k")).at);
}

Test(json, iterates_safely_over_malformed_text)
{
    static const char *const texts[] = {"{",  "{\"a", "{\"a\"", "{\"a\":", "{\"a\":[", "{a",
                                        "{,", "[",    "[\"",    "x",       "",         "{\"a\":1 \"b\":2}"};

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        uint32_t len = (uint32_t)strlen(texts[i]);
        struct text rest = {vector_at_guard(texts[i], len), len}, e;
        struct json_member m;
        int n = 0;

        while (json_next_member(&rest, &m))
            n++;
        cr_assert_leq(n, 1, "%s", texts[i]);
        rest = (struct text){vector_at_guard(texts[i], len), len};
        cr_assert(!json_next_element(&rest, &e), "%s", texts[i]);
    }
}

Test(json, decodes_strings)
{
    static const struct {
        const char *raw, *want;
    } cases[] = {
        {"\"\"", ""},
        {"\"abc\"", "abc"},
        {"\"a\\\"b\\\\c\\/\\b\\f\\n\\r\\t\"", "a\"b\\c/\b\f\n\r\t"},
        {"\"\\u0041\\u00e9\\u20ac\\ud83d\\ude00\"", "A\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"},
        {"\"\xc3\xa9\"", "\xc3\xa9"},
        {"\"\\ud83d\"", NULL},
        {"\"a", NULL},
        {"\"", NULL},
        {"", NULL},
        {"12", NULL},
        {"\"\\q\"", NULL},
        {"\"\xff\"", NULL},
        {"\"a\"b\"", NULL},
    };
    char out[64];

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct text raw = text_of(cases[i].raw);
        int n = json_string_decode(raw, out, sizeof out);

        if (!cases[i].want) {
            cr_assert_eq(n, -1, "%s", cases[i].raw);
            continue;
        }
        cr_assert_eq(n, (int)strlen(cases[i].want), "%s", cases[i].raw);
        cr_assert_eq(memcmp(out, cases[i].want, (size_t)n), 0, "%s", cases[i].raw);
        cr_assert(json_string_is(raw, text_of(cases[i].want)));
        cr_assert(!json_string_is(raw, TEXT("abcd")));
        if (n)
            cr_assert_eq(json_string_decode(raw, out, (uint32_t)n - 1), -1);
    }
    cr_assert_eq(json_string_decode(TEXT("\"\\u0000\""), out, 1), 1);
    cr_assert_eq(out[0], 0);
}

Test(json, writes_strings_that_read_back_the_same)
{
    static const char bytes[] = "a\"b\\c\x01\x1f\n\t\r\b\f/\x7f\xc3\xa9\xf0\x9f\x98\x80\0z";
    char out[128], back[128];
    uint32_t n = json_write_string(out, sizeof out, (struct text){bytes, sizeof bytes - 1});

    cr_assert(n > 0);
    cr_assert_eq(json_check((struct text){out, n}, JSON_SCAN_STRICT), JSON_FINE);
    cr_assert_eq(json_string_decode((struct text){out, n}, back, sizeof back), (int)sizeof bytes - 1);
    cr_assert_eq(memcmp(back, bytes, sizeof bytes - 1), 0);
    cr_assert_eq(json_write_string(out, n, (struct text){bytes, sizeof bytes - 1}), n);
    cr_assert_eq(json_write_string(out, n - 1, (struct text){bytes, sizeof bytes - 1}), 0);
    n = json_write_string(out, sizeof out,
                          TEXT("a\xff"
                               "b\xc3"));
    cr_assert(text_eq((struct text){out, n}, TEXT("\"a\xef\xbf\xbd"
                                                  "b\xef\xbf\xbd\"")));
}

Test(json, reads_integers_however_they_are_spelled)
{
    static const struct {
        const char *raw;
        bool ok;
        int64_t want;
    } cases[] = {
        {"0", true, 0},
        {"-7", true, -7},
        {"1.0", true, 1},
        {"1e2", true, 100},
        {"9007199254740992", true, 9007199254740992},
        {"9007199254740994", false, 0},
        {"1.5", false, 0},
        {"1e400", false, 0},
        {"\"1\"", false, 0},
        {"true", false, 0},
        {"", false, 0},
        {"01", false, 0},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t n = -1;

        cr_assert_eq(json_read_integer(text_of(cases[i].raw), &n), cases[i].ok, "%s", cases[i].raw);
        cr_assert_eq(n, cases[i].ok ? cases[i].want : -1, "%s", cases[i].raw);
    }
}

Test(json, writes_the_shortest_number_that_reads_back_the_same)
{
    static const struct {
        double n;
        const char *want;
    } cases[] = {
        {0.1, "0.1"}, {1.0 / 3, "0.3333333333333333"},    {1e300, "1e+300"}, {-2.5, "-2.5"},
        {3, "3"},     {0.1 + 0.2, "0.30000000000000004"},
    };
    static const double more[] = {DBL_MAX, DBL_MIN, 5e-324, 123456789012345680.0, -0.0};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char out[32];
        struct json_writer w = {.at = out, .size = sizeof out};

        json_put_double(&w, cases[i].n);
        cr_assert(text_eq(json_written(&w), text_of(cases[i].want)), "%.*s", (int)w.len, out);
    }
    for (size_t i = 0; i < sizeof more / sizeof *more; i++) {
        char out[32];
        struct json_writer w = {.at = out, .size = sizeof out};
        double back;

        json_put_double(&w, more[i]);
        cr_assert(json_read_double(json_written(&w), &back) && back == more[i]);
    }
}

Test(json, marks_a_writer_that_ran_full_and_writes_no_more)
{
    char out[8];
    struct json_writer w = {.at = out, .size = sizeof out};

    json_put(&w, TEXT("1234567"));
    json_put_integer(&w, -22);
    cr_assert(w.full);
    json_put(&w, TEXT("8"));
    cr_assert(text_eq(json_written(&w), TEXT("1234567")));
}
