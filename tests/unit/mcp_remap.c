/* SPDX-License-Identifier: Apache-2.0 */
#include "mcp/remap.h"

#include <criterion/criterion.h>

static void
scan(const char *json, struct jsonrpc_envelope *env)
{
    cr_assert_eq(jsonrpc_scan(text_of(json), JSON_SCAN_STRICT, env), JSONRPC_FAULT_FINE, "%s", json);
}

static void
check_request(const char *json, const char *want)
{
    struct jsonrpc_envelope env;
    struct jsonrpc_edit edits[REMAP_EDITS_MAX];
    char out[256];
    unsigned n;

    scan(json, &env);
    n = remap_request(&env, TEXT("42"), edits);
    uint32_t len = jsonrpc_edit_write(text_of(json), edits, n, out, sizeof out);
    cr_assert(text_eq((struct text){out, len}, text_of(want)), "%.*s instead of %s", (int)len, out, want);
}

Test(remap, id_and_progress_token_of_a_request_become_the_number)
{
    check_request("{\"jsonrpc\":\"2.0\",\"id\":\"a\",\"method\":\"m\"}",
                  "{\"jsonrpc\":\"2.0\",\"id\":42,\"method\":\"m\"}");
    check_request(
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"m\",\"params\":{\"_meta\":{\"progressToken\":\"t\"}}}",
        "{\"jsonrpc\":\"2.0\",\"id\":42,\"method\":\"m\",\"params\":{\"_meta\":{\"progressToken\":42}}}");
    check_request(
        "{\"params\":{\"_meta\":{\"progressToken\":7}},\"method\":\"m\",\"id\":-3,\"jsonrpc\":\"2.0\"}",
        "{\"params\":{\"_meta\":{\"progressToken\":42}},\"method\":\"m\",\"id\":42,\"jsonrpc\":\"2.0\"}");
}

Test(remap, a_cancellation_names_the_number)
{
    const char *json =
        "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":\"a\"}}";
    struct jsonrpc_envelope env;
    char out[256];

    scan(json, &env);
    struct jsonrpc_edit edit = remap_cancelled(&env, TEXT("42"));
    uint32_t len = jsonrpc_edit_write(text_of(json), &edit, 1, out, sizeof out);
    cr_assert(text_eq(
        (struct text){out, len},
        TEXT("{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":42}}")));
}

Test(remap, what_comes_back_names_its_request)
{
    static const struct {
        const char *json;
        uint64_t number; /* 0: none of ours */
    } rows[] = {
        {"{\"jsonrpc\":\"2.0\",\"id\":42,\"result\":{}}", 42},
        {"{\"jsonrpc\":\"2.0\",\"id\":42,\"error\":{\"code\":1,\"message\":\"\"}}", 42},
        {"{\"jsonrpc\":\"2.0\",\"id\":\"42\",\"result\":{}}", 0},
        {"{\"jsonrpc\":\"2.0\",\"id\":-42,\"result\":{}}", 0},
        {"{\"jsonrpc\":\"2.0\",\"id\":90071992547409930,\"result\":{}}", 0},
        {"{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":1,\"message\":\"\"}}", 0},
        {"{\"jsonrpc\":\"2.0\",\"id\":42,\"method\":\"ping\"}", 0},
        {"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/"
         "progress\",\"params\":{\"progressToken\":42,\"progress\":1}}",
         42},
        {"{\"jsonrpc\":\"2.0\",\"method\":\"x\",\"params\":{\"_meta\":{\"io.modelcontextprotocol/"
         "subscriptionId\":42}}}",
         42},
        {"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":{\"data\":42}}", 0},
    };

    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct jsonrpc_envelope env;
        struct text place = {0};
        uint64_t number = 0;

        scan(rows[i].json, &env);
        cr_assert_eq(remap_find(&env, &number, &place), rows[i].number != 0, "%s", rows[i].json);
        cr_assert_eq(number, rows[i].number, "%s", rows[i].json);
        cr_assert(!rows[i].number || (place.at[0] == '4' && place.at[1] == '2'));
    }
}
