/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/base64.h"
#include "proto/mcp_names.h"

#include <criterion/criterion.h>

Test(mcp_names, finds_every_method_of_the_table_and_nothing_else)
{
    for (unsigned i = MCP_OTHER + 1; i < MCP_METHODS; i++) {
        struct text name = mcp_method_name((enum mcp_method)i);

        cr_assert_eq(mcp_method_of(name), i, "%.*s", (int)name.len, name.at);
        name.len--;
        cr_assert_eq(mcp_method_of(name), MCP_OTHER);
    }
    cr_assert_eq(mcp_method_of(TEXT("other")), MCP_OTHER);
    cr_assert_eq(mcp_method_of(TEXT("Tools/Call")), MCP_OTHER);
    cr_assert(text_eq(mcp_method_name_key(MCP_TOOLS_CALL), TEXT("name")));
    cr_assert(text_eq(mcp_method_name_key(MCP_RESOURCES_READ), TEXT("uri")));
    cr_assert_eq(mcp_method_name_key(MCP_TOOLS_LIST).len, 0);
}

Test(mcp_names, orders_revisions_by_age)
{
    cr_assert_eq(mcp_revision_of(TEXT("2024-11-05")), MCP_2024_11_05);
    cr_assert_eq(mcp_revision_of(TEXT("2026-07-28")), MCP_2026_07_28);
    cr_assert_eq(mcp_revision_of(TEXT("2026-07-29")), MCP_NO_REVISION);
    cr_assert_eq(mcp_revision_of(TEXT("")), MCP_NO_REVISION);
    for (unsigned i = 0; i < MCP_REVISIONS; i++) {
        cr_assert_eq(mcp_revision_of(mcp_revision_name((enum mcp_revision)i)), i);
        cr_assert_eq(mcp_revision_is_modern((enum mcp_revision)i), i == MCP_2026_07_28);
    }
    cr_assert(!mcp_revision_is_modern(MCP_NO_REVISION));
}

Test(mcp_names, decodes_header_values_plain_and_base64)
{
    static const struct {
        const char *value, *want; /* want NULL: refused */
    } cases[] = {
        {"echo", "echo"},
        {"with space", "with space"},
        {"", ""},
        {"=?base64?aGVsbG8=?=", "hello"},
        {"=?base64?"
         "?=",
         ""},
        {"=?base64?w6nDqA==?=", "\xc3\xa9\xc3\xa8"},
        {"=?BASE64?aGVsbG8=?=", "=?BASE64?aGVsbG8=?="}, /* the markers are lower case */
        {"=?base64?aGVsbG8=", "=?base64?aGVsbG8="},
        {"=?base64?aGVsbG8?=", NULL},  /* no padding */
        {"=?base64?aGVsbG9=?=", NULL}, /* bits left over */
        {"=?base64?aGVs bG8=?=", NULL},
        {"=?base64?-_==?=", NULL}, /* the other alphabet */
        {"\xc3\xa9", NULL},
        {"a\x01", NULL},
        {"a\x7f", NULL},
    };
    char out[64];

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int n = mcp_header_decode(text_of(cases[i].value), out, sizeof out);

        if (!cases[i].want) {
            cr_assert_eq(n, -1, "%s", cases[i].value);
            continue;
        }
        cr_assert_eq(n, (int)strlen(cases[i].want), "%s", cases[i].value);
        cr_assert_eq(memcmp(out, cases[i].want, (size_t)n), 0, "%s", cases[i].value);
    }
    cr_assert_eq(mcp_header_decode(TEXT("echo"), out, 3), -1);
}

Test(mcp_names, encodes_header_values_so_that_they_decode_to_the_same)
{
    static const struct {
        const char *utf8, *want;
    } cases[] = {
        {"echo", "echo"},
        {" leading", "=?base64?IGxlYWRpbmc=?="},
        {"", "=?base64?"
             "?="},
        {"\xc3\xa9", "=?base64?w6k=?="},
        {"=?base64?x?=", "=?base64?PT9iYXNlNjQ/eD89?="},
    };
    char out[64], back[64];

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int n = mcp_header_encode(text_of(cases[i].utf8), out, sizeof out), m;

        cr_assert_eq(n, (int)strlen(cases[i].want), "%s", cases[i].utf8);
        cr_assert_eq(memcmp(out, cases[i].want, (size_t)n), 0, "%s", cases[i].utf8);
        m = mcp_header_decode((struct text){out, (uint32_t)n}, back, sizeof back);
        cr_assert(text_eq((struct text){back, (uint32_t)m}, text_of(cases[i].utf8)));
        cr_assert_eq(mcp_header_encode(text_of(cases[i].utf8), out, (uint32_t)n - 1), -1);
    }
}

Test(base64, follows_the_vectors_of_rfc_4648_section_10)
{
    static const struct {
        const char *bytes, *standard, *url;
    } cases[] = {
        {"", "", ""},
        {"f", "Zg==", "Zg"},
        {"fo", "Zm8=", "Zm8"},
        {"foo", "Zm9v", "Zm9v"},
        {"foob", "Zm9vYg==", "Zm9vYg"},
        {"fooba", "Zm9vYmE=", "Zm9vYmE"},
        {"foobar", "Zm9vYmFy", "Zm9vYmFy"},
        {"\xfb\xff", "+/8=", "-_8"},
    };
    char text[16], bytes[16];

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint32_t n = (uint32_t)strlen(cases[i].bytes);

        for (int form = BASE64_STANDARD; form <= BASE64_URL; form++) {
            const char *want = form == BASE64_URL ? cases[i].url : cases[i].standard;
            uint32_t len = base64_encode((enum base64_form)form, cases[i].bytes, n, text);

            cr_assert(text_eq((struct text){text, len}, text_of(want)), "%s", want);
            cr_assert_eq(BASE64_SIZE((enum base64_form)form, n), len);
            cr_assert_eq(base64_decode((enum base64_form)form, text_of(want), bytes, sizeof bytes), (int)n);
            cr_assert_eq(memcmp(bytes, cases[i].bytes, n), 0);
            if (n)
                cr_assert_eq(base64_decode((enum base64_form)form, text_of(want), bytes, n - 1), -1);
        }
    }
    cr_assert_eq(base64_decode(BASE64_URL, TEXT("Zg=="), bytes, sizeof bytes), -1);
    cr_assert_eq(base64_decode(BASE64_URL, TEXT("Z"), bytes, sizeof bytes), -1);
    cr_assert_eq(base64_decode(BASE64_STANDARD, TEXT("===="), bytes, sizeof bytes), -1);
    cr_assert_eq(base64_decode(BASE64_STANDARD, TEXT("Zg=a"), bytes, sizeof bytes), -1);
}
