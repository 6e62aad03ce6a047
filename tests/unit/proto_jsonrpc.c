/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/jsonrpc.h"
#include "vectors.h"

#include <criterion/criterion.h>
#include <stdio.h>

#define V "\"jsonrpc\":\"2.0\""

static const struct {
    const char *message;
    enum jsonrpc_kind kind;
    const char *method, *id;
} fine_cases[] = {
    {"{" V ",\"id\":1,\"method\":\"ping\"}", JSONRPC_REQUEST, "ping", "1"},
    {"{" V ",\"id\":\"a\",\"method\":\"tools/list\",\"params\":{}}", JSONRPC_REQUEST, "tools/list", "\"a\""},
    {" { \"method\" : \"ping\" , \"id\" : -3 , \"jsonrpc\" : \"2.0\" } \n", JSONRPC_REQUEST, "ping", "-3"},
    {"{" V ",\"id\":9223372036854775807,\"method\":\"m\"}", JSONRPC_REQUEST, "m", "9223372036854775807"},
    {"{" V ",\"id\":-9223372036854775808,\"method\":\"m\"}", JSONRPC_REQUEST, "m", "-9223372036854775808"},
    {"{" V ",\"id\":\"\\u00e9\\n\",\"method\":\"m\"}", JSONRPC_REQUEST, "m", "\"\\u00e9\\n\""},
    {"{" V ",\"id\":0,\"method\":\"m\",\"other\":[1,{\"method\":\"x\"}],\"other\":2}", JSONRPC_REQUEST, "m",
     "0"},
    {"{" V ",\"method\":\"notifications/initialized\"}", JSONRPC_NOTIFICATION, "notifications/initialized",
     NULL},
    {"{" V ",\"id\":1,\"result\":{}}", JSONRPC_RESPONSE, NULL, "1"},
    {"{" V ",\"id\":1,\"result\":null}", JSONRPC_RESPONSE, NULL, "1"},
    {"{" V ",\"id\":1,\"error\":{\"code\":-32601,\"message\":\"x\"}}", JSONRPC_ERROR, NULL, "1"},
    {"{" V ",\"id\":null,\"error\":{\"code\":-32601,\"message\":\"x\"}}", JSONRPC_ERROR, NULL, "null"},
    {"{" V ",\"error\":{\"message\":\"x\",\"code\":-32601}}", JSONRPC_ERROR, NULL, NULL},
};

Test(jsonrpc_scan, classifies_messages_in_both_modes)
{
    for (size_t i = 0; i < sizeof fine_cases / sizeof *fine_cases; i++) {
        uint32_t len = (uint32_t)strlen(fine_cases[i].message);
        struct text message = {vector_at_guard(fine_cases[i].message, len), len};

        for (int mode = JSON_SCAN_FAST; mode <= JSON_SCAN_STRICT; mode++) {
            struct jsonrpc_envelope env;

            cr_assert_eq(jsonrpc_scan(message, (enum json_mode)mode, &env), JSONRPC_FAULT_FINE, "%s",
                         fine_cases[i].message);
            cr_assert_eq(env.kind, fine_cases[i].kind, "%s", fine_cases[i].message);
            if (fine_cases[i].method)
                cr_assert(text_eq(env.method, text_of(fine_cases[i].method)));
            else
                cr_assert_null(env.method.at);
            if (fine_cases[i].id)
                cr_assert(text_eq(env.id, text_of(fine_cases[i].id)), "%.*s", (int)env.id.len, env.id.at);
            else
                cr_assert_eq(env.id_kind, JSON_IS_ABSENT);
        }
    }
}

static const struct {
    const char *message;
    enum jsonrpc_fault strict, fast;
} bad_cases[] = {
#define BOTH(fault) JSONRPC_FAULT_##fault, JSONRPC_FAULT_##fault
    {"", BOTH(TRUNCATED)},
    {"{", BOTH(TRUNCATED)},
    {"[", BOTH(TRUNCATED)},
    {"[1", BOTH(TRUNCATED)},
    {"{" V, BOTH(TRUNCATED)},
    {"{" V ",\"method\":\"m", BOTH(TRUNCATED)},
    {"1", BOTH(TOP_LEVEL)},
    {"\"{}\"", BOTH(TOP_LEVEL)},
    {"x", BOTH(SYNTAX)},
    {"{x", BOTH(SYNTAX)},
    {"{" V ",}", BOTH(SYNTAX)},
    {"{" V " \"method\":\"m\"}", BOTH(SYNTAX)},
    {"{" V ",\"method\" \"m\"}", BOTH(SYNTAX)},
    {"{" V ",\"method\":\"m\"}{}", BOTH(TRAILING)},
    {"{" V ",\"method\":\"m\"} x", BOTH(TRAILING)},
    {"[{" V ",\"method\":\"m\"}],", BOTH(TRAILING)},
    {"{}", BOTH(VERSION)},
    {"{\"method\":\"m\"}", BOTH(VERSION)},
    {"{\"jsonrpc\":\"1.0\",\"method\":\"m\"}", BOTH(VERSION)},
    {"{\"jsonrpc\":2.0,\"method\":\"m\"}", BOTH(VERSION)},
    {"{\"jsonrpc\":\"2\\u002e0\",\"method\":\"m\"}", BOTH(VERSION)},
    {"{" V "}", BOTH(SHAPE)},
    {"{" V ",\"id\":1}", BOTH(SHAPE)},
    {"{" V ",\"id\":1,\"result\":1,\"error\":{\"code\":1}}", BOTH(SHAPE)},
    {"{" V ",\"id\":1,\"method\":\"m\",\"result\":1}", BOTH(SHAPE)},
    {"{" V ",\"method\":1}", BOTH(METHOD)},
    {"{" V ",\"method\":null}", BOTH(METHOD)},
    {"{" V ",\"method\":\"pi\\u006eg\"}", BOTH(METHOD)},
    {"{" V ",\"method\":\"m\",\"id\":null}", BOTH(ID)},
    {"{" V ",\"method\":\"m\",\"id\":1.0}", BOTH(ID)},
    {"{" V ",\"method\":\"m\",\"id\":1e3}", BOTH(ID)},
    {"{" V ",\"method\":\"m\",\"id\":true}", BOTH(ID)},
    {"{" V ",\"method\":\"m\",\"id\":{}}", BOTH(ID)},
    {"{" V ",\"method\":\"m\",\"id\":[1]}", BOTH(ID)},
    {"{" V ",\"method\":\"m\",\"id\":9223372036854775808}", BOTH(ID)},
    {"{" V ",\"method\":\"m\",\"id\":-9223372036854775809}", BOTH(ID)},
    {"{" V ",\"method\":\"m\",\"id\":01}", JSONRPC_FAULT_SYNTAX, JSONRPC_FAULT_ID},
    {"{" V ",\"method\":\"m\",\"id\":\"\\x\"}", JSONRPC_FAULT_SYNTAX, JSONRPC_FAULT_ID},
    {"{" V ",\"method\":\"m\",\"id\":nul}", JSONRPC_FAULT_SYNTAX, JSONRPC_FAULT_ID},
    {"{" V ",\"result\":1}", BOTH(ID)},
    {"{" V ",\"id\":null,\"result\":1}", BOTH(ID)},
    {"{" V ",\"method\":\"m\",\"params\":[]}", BOTH(PARAMS)},
    {"{" V ",\"method\":\"m\",\"params\":null}", BOTH(PARAMS)},
    {"{" V ",\"method\":\"m\",\"params\":{\"_meta\":1}}", BOTH(META)},
    {"{" V ",\"error\":1}", BOTH(ERROR_OBJECT)},
    {"{" V ",\"error\":{}}", BOTH(ERROR_OBJECT)},
    {"{" V ",\"error\":{\"code\":\"1\"}}", BOTH(ERROR_OBJECT)},
    {"{" V ",\"error\":{\"code\":1.5}}", BOTH(ERROR_OBJECT)},
    {"[]", BOTH(BATCH_EMPTY)},
    {"[ ]", BOTH(BATCH_EMPTY)},
    {"[1 2]", BOTH(SYNTAX)},
    {"[1,]", BOTH(SYNTAX)},
    {"[1}", BOTH(SYNTAX)},
    {"{" V "," V ",\"method\":\"m\"}", BOTH(DUPLICATE)},
    {"{" V ",\"method\":\"m\",\"method\":\"m\"}", BOTH(DUPLICATE)},
    {"{" V ",\"method\":\"m\",\"id\":1,\"id\":1}", BOTH(DUPLICATE)},
    {"{" V ",\"method\":\"m\",\"params\":{},\"params\":{}}", BOTH(DUPLICATE)},
    {"{" V ",\"method\":\"m\",\"params\":{\"name\":\"a\",\"name\":\"b\"}}", BOTH(DUPLICATE)},
    {"{" V ",\"method\":\"m\",\"params\":{\"uri\":\"a\",\"x\":1,\"uri\":\"b\"}}", BOTH(DUPLICATE)},
    {"{" V ",\"method\":\"m\",\"params\":{\"arguments\":{},\"arguments\":{}}}", BOTH(DUPLICATE)},
    {"{" V ",\"method\":\"m\",\"params\":{\"_meta\":{},\"_meta\":{}}}", BOTH(DUPLICATE)},
    {"{" V ",\"method\":\"m\",\"params\":{\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"a\","
     "\"io.modelcontextprotocol/protocolVersion\":\"b\"}}}",
     BOTH(DUPLICATE)},
    {"{" V ",\"id\":1,\"error\":{\"code\":1,\"code\":2}}", BOTH(DUPLICATE)},
    {"{" V ",\"m\\u0065thod\":\"m\"}", BOTH(ESCAPED_KEY)},
    {"{" V ",\"method\":\"m\",\"\\u0069d\":1}", BOTH(ESCAPED_KEY)},
    {"{" V ",\"method\":\"m\",\"params\":{\"n\\u0061me\":1}}", BOTH(ESCAPED_KEY)},
    {"{" V ",\"method\":\"m\",\"params\":{\"_meta\":{\"io.modelcontextprotocol\\/protocolVersion\":1}}}",
     BOTH(ESCAPED_KEY)},
    /* what only the strict mode looks at */
    {"{" V ",\"method\":\"m\",\"params\":{\"x\":01}}", JSONRPC_FAULT_SYNTAX, JSONRPC_FAULT_FINE},
    {"{" V ",\"method\":\"m\",\"params\":{\"x\":[1,]}}", JSONRPC_FAULT_SYNTAX, JSONRPC_FAULT_FINE},
    {"{" V ",\"method\":\"m\",\"params\":{\"x\":\"\xff\"}}", JSONRPC_FAULT_SYNTAX, JSONRPC_FAULT_FINE},
    {"{" V ",\"method\":\"m\",\"\\q\":1}", JSONRPC_FAULT_SYNTAX, JSONRPC_FAULT_FINE},
    {"{" V ",\"method\":\"m\",\"x\":nul}", JSONRPC_FAULT_SYNTAX, JSONRPC_FAULT_FINE},
#undef BOTH
};

Test(jsonrpc_scan, refuses_what_two_parsers_could_read_differently)
{
    for (size_t i = 0; i < sizeof bad_cases / sizeof *bad_cases; i++) {
        uint32_t len = (uint32_t)strlen(bad_cases[i].message);
        struct text message = {vector_at_guard(bad_cases[i].message, len), len};
        struct jsonrpc_envelope env;
        enum jsonrpc_fault fault = jsonrpc_scan(message, JSON_SCAN_STRICT, &env);

        cr_assert_eq(fault, bad_cases[i].strict, "strict: %s: %s", bad_cases[i].message,
                     jsonrpc_fault_text(fault));
        cr_assert_eq(env.kind, JSONRPC_NONE);
        fault = jsonrpc_scan(message, JSON_SCAN_FAST, &env);
        cr_assert_eq(fault, bad_cases[i].fast, "fast: %s: %s", bad_cases[i].message,
                     jsonrpc_fault_text(fault));
    }
}

Test(jsonrpc_scan, refuses_every_proper_beginning_of_a_message)
{
    static const char whole[] =
        "{" V ",\"id\":\"x\",\"method\":\"tools/call\",\"params\":{\"name\":\"a\",\"arguments\":"
        "{\"b\":[1,true]},\"_meta\":{\"progressToken\":3}}}";

    for (uint32_t len = 0; len < sizeof whole - 1; len++) {
        struct text message = {vector_at_guard(whole, len), len};
        struct jsonrpc_envelope env;

        cr_assert_eq(jsonrpc_scan(message, JSON_SCAN_FAST, &env), JSONRPC_FAULT_TRUNCATED, "%u", len);
        cr_assert_neq(jsonrpc_scan(message, JSON_SCAN_STRICT, &env), JSONRPC_FAULT_FINE, "%u", len);
    }
}

Test(jsonrpc_scan, finds_the_members_that_routing_looks_at)
{
    struct text message =
        TEXT("{" V ",\"id\":7,\"method\":\"tools/"
             "call\",\"params\":{\"x\":{\"name\":\"no\"},\"name\":\"ec\\u0068o\",\"uri\":\"u:/\","
             "\"taskId\":\"t1\",\"arguments\":{\"a\":[1]},\"protocolVersion\":\"2025-11-25\",\"requestId\":"
             "\"r\",\"progressToken\":4,"
             "\"_meta\":{\"progressToken\":\"p\",\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\","
             "\"io.modelcontextprotocol/clientCapabilities\":{\"roots\":{}},\"io.modelcontextprotocol/"
             "logLevel\":\"info\"}}}");

    for (int mode = JSON_SCAN_FAST; mode <= JSON_SCAN_STRICT; mode++) {
        struct jsonrpc_envelope e;

        cr_assert_eq(jsonrpc_scan(message, (enum json_mode)mode, &e), JSONRPC_FAULT_FINE);
        cr_assert(text_eq(e.name, TEXT("\"ec\\u0068o\"")));
        cr_assert(text_eq(e.uri, TEXT("\"u:/\"")));
        cr_assert(text_eq(e.task_id, TEXT("\"t1\"")));
        cr_assert(text_eq(e.arguments, TEXT("{\"a\":[1]}")));
        cr_assert(text_eq(e.protocol_version, TEXT("\"2025-11-25\"")));
        cr_assert(text_eq(e.request_id, TEXT("\"r\"")));
        cr_assert(text_eq(e.progress_token, TEXT("4")));
        cr_assert(text_eq(e.meta_progress_token, TEXT("\"p\"")));
        cr_assert(text_eq(e.meta_version, TEXT("\"2026-07-28\"")));
        cr_assert(text_eq(e.meta_capabilities, TEXT("{\"roots\":{}}")));
        cr_assert(text_eq(e.meta_log_level, TEXT("\"info\"")));
        cr_assert(*e.meta.at == '{' && e.meta.at[e.meta.len - 1] == '}');
        cr_assert(*e.params.at == '{' && e.params.at + e.params.len == message.at + message.len - 1);
    }
}

Test(jsonrpc_scan, reports_results_and_error_codes)
{
    struct jsonrpc_envelope e;

    cr_assert_eq(jsonrpc_scan(TEXT("{" V ",\"id\":1,\"result\":{\"a\":[]} }"), JSON_SCAN_STRICT, &e),
                 JSONRPC_FAULT_FINE);
    cr_assert(text_eq(e.result, TEXT("{\"a\":[]}")));
    cr_assert_eq(
        jsonrpc_scan(TEXT("{" V ",\"id\":1,\"error\":{\"data\":[1],\"code\":-32022,\"message\":\"m\"}}"),
                     JSON_SCAN_FAST, &e),
        JSONRPC_FAULT_FINE);
    cr_assert_eq(e.error_code, -32022);
    cr_assert(text_eq(e.error, TEXT("{\"data\":[1],\"code\":-32022,\"message\":\"m\"}")));
    cr_assert_eq(jsonrpc_scan(TEXT("{" V ",\"error\":{\"code\":-99999999999}}"), JSON_SCAN_FAST, &e),
                 JSONRPC_FAULT_FINE);
    cr_assert_eq(e.error_code, -INT32_MAX);
}

Test(jsonrpc_scan, keeps_the_id_it_saw_before_a_fault)
{
    struct jsonrpc_envelope e;

    cr_assert_eq(jsonrpc_scan(TEXT("{" V ",\"id\":\"q\",\"method\":7}"), JSON_SCAN_STRICT, &e),
                 JSONRPC_FAULT_METHOD);
    cr_assert_eq(e.id_kind, JSON_IS_STRING);
    cr_assert(text_eq(e.id, TEXT("\"q\"")));
    cr_assert_eq(jsonrpc_scan(TEXT("{" V ",\"id\":[],\"method\":7}"), JSON_SCAN_STRICT, &e),
                 JSONRPC_FAULT_ID);
    cr_assert_null(e.id.at);
}

Test(jsonrpc_scan, ends_at_64_levels_whichever_way_they_nest)
{
    static const char *const shells[][2] = {
        {"{" V ",\"method\":\"m\",\"params\":{\"_meta\":{\"a\":", "}}}"},
        {"{" V ",\"method\":\"m\",\"params\":{\"arguments\":{\"a\":", "}}}"},
        {"[[{\"a\":", "}]]"},
    };

    for (size_t i = 0; i < sizeof shells / sizeof *shells; i++) {
        for (int depth = 61; depth <= 62; depth++) {
            char message[256];
            uint32_t len = (uint32_t)snprintf(
                message, sizeof message, "%s%.*s%.*s%s", shells[i][0], depth,
                "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[", depth,
                "]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]", shells[i][1]);
            struct jsonrpc_envelope e;
            enum jsonrpc_fault want = depth == 61 ? JSONRPC_FAULT_FINE : JSONRPC_FAULT_DEEP;

            cr_assert_eq(jsonrpc_scan((struct text){message, len}, JSON_SCAN_STRICT, &e), want, "%s",
                         message);
            cr_assert_eq(jsonrpc_scan((struct text){message, len}, JSON_SCAN_FAST, &e), want, "%s", message);
        }
    }
}

Test(jsonrpc_scan, gives_the_messages_of_a_batch_one_by_one)
{
    struct text batch = TEXT(" [ {" V ",\"id\":1,\"method\":\"ping\"} ,{" V ",\"method\":\"n\"}, 5 ] "),
                rest = batch, m;
    struct jsonrpc_envelope e;

    cr_assert_eq(jsonrpc_scan(batch, JSON_SCAN_STRICT, &e), JSONRPC_FAULT_FINE);
    cr_assert_eq(e.kind, JSONRPC_BATCH);
    cr_assert_eq(e.count, 3);
    cr_assert(jsonrpc_next_message(&rest, &m));
    cr_assert_eq(jsonrpc_scan(m, JSON_SCAN_STRICT, &e), JSONRPC_FAULT_FINE);
    cr_assert_eq(e.kind, JSONRPC_REQUEST);
    cr_assert(jsonrpc_next_message(&rest, &m));
    cr_assert_eq(jsonrpc_scan(m, JSON_SCAN_STRICT, &e), JSONRPC_FAULT_FINE);
    cr_assert_eq(e.kind, JSONRPC_NOTIFICATION);
    cr_assert(jsonrpc_next_message(&rest, &m));
    cr_assert_eq(jsonrpc_scan(m, JSON_SCAN_STRICT, &e), JSONRPC_FAULT_TOP_LEVEL);
    cr_assert(!jsonrpc_next_message(&rest, &m));
}

Test(jsonrpc_scan, takes_batches_of_up_to_100_messages)
{
    for (int count = JSONRPC_BATCH_MAX; count <= JSONRPC_BATCH_MAX + 1; count++) {
        char batch[256] = "[1";
        struct jsonrpc_envelope e;

        for (int i = 1; i < count; i++)
            strcat(batch, ",1");
        strcat(batch, "]");
        cr_assert_eq(jsonrpc_scan(text_of(batch), JSON_SCAN_STRICT, &e),
                     count == JSONRPC_BATCH_MAX ? JSONRPC_FAULT_FINE : JSONRPC_FAULT_BATCH_SIZE);
    }
}

Test(jsonrpc_fault, has_a_code_and_a_text_for_every_fault)
{
    for (int i = JSONRPC_FAULT_FINE + 1; i <= JSONRPC_FAULT_SHAPE; i++) {
        int code = jsonrpc_fault_code((enum jsonrpc_fault)i);

        cr_assert(code == -32700 || code == -32600);
        cr_assert(strlen(jsonrpc_fault_text((enum jsonrpc_fault)i)) > 10);
    }
}

Test(jsonrpc_edit, replaces_and_inserts_spans_in_one_pass)
{
    struct text m = TEXT("{\"id\":7,\"method\":\"x\",\"params\":{}}");
    struct jsonrpc_edit edits[] = {
        {.old = {m.at + 6, 1}, .with = TEXT("\"gw-12\"")},
        {.old = {m.at + 18, 1}, .with = TEXT("tools/list")},
        {.old = {m.at + 31, 0}, .with = TEXT("\"a\":1")},
        {.old = {m.at + 31, 2}, .with = TEXT("")},
    };
    char out[128];
    uint32_t want = jsonrpc_edited_size(m, edits, 3), n = jsonrpc_edit_write(m, edits, 3, out, sizeof out);

    cr_assert_eq(n, want);
    cr_assert(text_eq((struct text){out, n},
                      TEXT("{\"id\":\"gw-12\",\"method\":\"tools/list\",\"params\":{\"a\":1}}")),
              "%.*s", (int)n, out);
    cr_assert_eq(jsonrpc_edit_write(m, edits, 3, out, n - 1), 0);
    n = jsonrpc_edit_write(m, edits + 3, 1, out, sizeof out);
    cr_assert_eq(n, m.len - 2);
    n = jsonrpc_edit_write(m, NULL, 0, out, sizeof out);
    cr_assert(text_eq((struct text){out, n}, m));
}

Test(scan, takes_a_number_that_begins_anywhere_in_a_block)
{
    for (unsigned pad = 0; pad < 130; pad++) {
        struct jsonrpc_envelope env;
        char message[300];
        int n = snprintf(message, sizeof message, "{\"jsonrpc\":\"2.0\",\"method\":\"m\",%*s\"id\":12}",
                         (int)pad, "");

        for (unsigned mode = JSON_SCAN_FAST; mode <= JSON_SCAN_STRICT; mode++) {
            cr_assert_eq(jsonrpc_scan((struct text){message, (uint32_t)n}, (enum json_mode)mode, &env),
                         JSONRPC_FAULT_FINE);
            cr_assert(text_eq(env.id, TEXT("12")), "%u: %.*s", pad, (int)env.id.len, env.id.at);
        }
    }
}
