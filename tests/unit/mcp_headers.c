/* SPDX-License-Identifier: Apache-2.0 */
/* Every rule of mcp/headers.h: what is sent, and what it is answered with. */
#include "mcp/headers.h"

#include <criterion/criterion.h>
#include <stdio.h>

#define NEW     "2026-07-28"
#define VERSION "\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\""
#define CAPS    "\"io.modelcontextprotocol/clientCapabilities\":{}"
#define META    "\"_meta\":{" VERSION "," CAPS "}"
#define ASK(method, params)                                                                                  \
    "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"" method "\",\"params\":{" params META "}}"
#define OLD(method) "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"" method "\"}"
#define CALL        ASK("tools/call", "\"name\":\"echo\",")
#define READ        ASK("resources/read", "\"uri\":\"demo://\\u00e9\",")
#define NONE        MCP_NO_REVISION
#define FINE        0, 0, NULL

static const struct {
    const char *version, *method, *name; /* NULL: not sent */
    enum mcp_revision session;
    const char *body;
    int status, code;
    const char *says; /* in the error's text; NULL: the message is fine */
} cases[] = {
    /* 2: what must be there */
    {NEW, "tools/list", NULL, NONE, ASK("tools/list", ""), FINE},
    {NULL, "tools/list", NULL, NONE, ASK("tools/list", ""), 400, -32020, "MCP-Protocol-Version is missing"},
    {NEW, NULL, NULL, NONE, ASK("tools/list", ""), 400, -32020, "Mcp-Method is missing"},
    {NEW, "tools/call", NULL, NONE, CALL, 400, -32020, "Mcp-Name is missing"},
    {NEW, "resources/read", NULL, NONE, READ, 400, -32020, "Mcp-Name is missing"},
    {NEW, "prompts/get", NULL, NONE, ASK("prompts/get", "\"name\":\"p\","), 400, -32020,
     "Mcp-Name is missing"},
    {NEW, "tasks/get", NULL, NONE, ASK("tasks/get", "\"taskId\":\"t\","), 400, -32020, "Mcp-Name is missing"},
    {NEW, "tasks/get", "t", NONE, ASK("tasks/get", "\"taskId\":\"t\","), FINE},
    /* 3: header and body */
    {NEW, "tools/call", "echo", NONE, CALL, FINE},
    {NEW, "tools/call", "=?base64?ZWNobw==?=", NONE, CALL, FINE},
    {NEW, "tools/call", "Echo", NONE, CALL, 400, -32020, "Mcp-Name differs"},
    {NEW, "tools/Call", "echo", NONE, CALL, 400, -32020, "Mcp-Method differs"},
    {"2025-11-25", "tools/call", "echo", NONE, CALL, 400, -32020, "MCP-Protocol-Version differs"},
    {"2027-01-01", "tools/call", "echo", NONE, CALL, 400, -32020, "MCP-Protocol-Version differs"},
    {NEW, "resources/read", "=?base64?ZGVtbzovL8OpIA==?=", NONE, READ, 400, -32020, "Mcp-Name differs"},
    {NEW, "resources/read", "=?base64?ZGVtbzovL8Op?=", NONE, READ, FINE},
    {NEW, "tools/list", "echo", NONE, ASK("tools/list", ""), FINE}, /* an orphan: ignored */
    {NEW, "tools/call", "", NONE, CALL, 400, -32020, "Mcp-Name differs"},
    /* 4: malformed values */
    {NEW, "tools/call", "=?base64?ZWNobw?=", NONE, CALL, 400, -32020, "not a valid header value"},
    {NEW, "tools/call", "=?base64?ZWN*bw==?=", NONE, CALL, 400, -32020, "not a valid header value"},
    {NEW, "tools/call", "ech\xc3\xb6", NONE, CALL, 400, -32020, "not a valid header value"},
    {NEW, "tools/call", "ech\x7fo", NONE, CALL, 400, -32020, "not a valid header value"},
    {NEW, "tools/call", "=?BASE64?ZWNobw==?=", NONE, CALL, 400, -32020, "Mcp-Name differs"},
    /* 6: what two parsers could read differently */
    {NEW, "tools/call", "echo", NONE, ASK("tools/call", "\"name\":\"echo\",\"name\":\"rm\","), 400, -32600,
     "occurs twice: name"},
    {NEW, "tools/call", "echo", NONE, ASK("tools/call", "\"name\":\"echo\",\"n\\u0061me\":\"rm\","), 400,
     -32600, "escapes: name"},
    {NEW, "tools/list", NULL, NONE, ASK("tools/list", META ","), 400, -32600, "occurs twice: _meta"},
    {NEW, "tools/list", NULL, NONE, ASK("tools/list", "\"x\":tru,"), 400, -32700, "not JSON"},
    {NEW, "tools/list", NULL, NONE, "{", 400, -32700, "ends inside"},
    /* 7: members of _meta */
    {NEW, "tools/list", NULL, NONE, OLD("tools/list"), 400, -32602, "protocolVersion"},
    {NEW, "tools/list", NULL, NONE,
     "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\",\"params\":{\"_meta\":{" CAPS "}}}", 400,
     -32602, "protocolVersion"},
    {NEW, "tools/list", NULL, NONE,
     "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\",\"params\":{\"_meta\":{" VERSION "}}}", 400,
     -32602, "clientCapabilities"},
    {NEW, "tools/list", NULL, NONE,
     "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\",\"params\":{\"_meta\":{" VERSION
     ",\"io.modelcontextprotocol/clientCapabilities\":[]}}}",
     400, -32602, "clientCapabilities"},
    /* 8: versions */
    {"2027-01-01", "tools/list", NULL, NONE,
     "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\",\"params\":{\"_meta\":{"
     "\"io.modelcontextprotocol/protocolVersion\":\"2027-01-01\"," CAPS "}}}",
     400, -32022, "2027-01-01"},
    {NULL, NULL, NULL, NONE,
     "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\",\"params\":{\"_meta\":{"
     "\"io.modelcontextprotocol/protocolVersion\":\"2025-11-25\"," CAPS "}}}",
     400, -32022, "2025-11-25"},
    /* 11: batches */
    {NULL, NULL, NULL, MCP_2025_03_26, "[" OLD("ping") "]", FINE},
    {NULL, NULL, NULL, MCP_2024_11_05, "[" OLD("ping") "]", FINE},
    {NULL, NULL, NULL, NONE, "[" OLD("ping") "]", FINE},
    {NULL, NULL, NULL, MCP_2025_06_18, "[" OLD("ping") "]", 400, -32600, "no batches"},
    {"2025-11-25", NULL, NULL, NONE, "[" OLD("ping") "]", 400, -32600, "no batches"},
    {NEW, NULL, NULL, NONE, "[" OLD("ping") "]", 400, -32600, "no batches"},
    {NEW, NULL, NULL, MCP_2025_03_26, "[" OLD("ping") "]", 400, -32600, "no batches"},
    /* initialize is legacy */
    {NULL, NULL, NULL, NONE, OLD("initialize"), FINE},
    {NEW, "initialize", NULL, NONE, OLD("initialize"), 400, -32020, "no initialize"},
    {NULL, NULL, NULL, MCP_2025_11_25, OLD("initialize"), 400, -32600, "initialized already"},
    /* 31: the version field of older revisions */
    {"2031-01-01", NULL, NULL, MCP_2025_06_18, OLD("ping"), 400, -32000, "MCP-Protocol-Version"},
    {"2025-06-18", NULL, NULL, MCP_2025_06_18, OLD("ping"), FINE},
    {NULL, NULL, NULL, MCP_2025_06_18, OLD("ping"), FINE},
    {"nonsense", NULL, NULL, NONE, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}", 400,
     -32000, "MCP-Protocol-Version"},
    /* notifications need no fields; replies are not sent to servers of 2026 */
    {NEW, NULL, NULL, NONE, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\"}", FINE},
    {NEW, NULL, NULL, NONE, "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}", 400, -32600, "replies"},
    {NULL, NULL, NULL, MCP_2025_11_25, "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}", FINE},
    /* what comes first: JSON, contradiction, envelope, version, presence */
    {"2025-11-25", NULL, NULL, NONE,
     "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\",\"params\":{\"_meta\":{" VERSION "}}}", 400,
     -32020, "differs"},
    {NEW, "tools/call", NULL, NONE,
     "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"_meta\":{" VERSION "}}}", 400,
     -32602, "clientCapabilities"},
};

static struct text
sent(const char *value)
{
    return value ? text_of(value) : (struct text){NULL, 0};
}

static struct mcp_verdict
check(size_t i, bool http)
{
    struct mcp_head head = {http, sent(cases[i].version), sent(cases[i].method), sent(cases[i].name),
                            cases[i].session};
    struct jsonrpc_envelope env;
    enum jsonrpc_fault fault = jsonrpc_scan(text_of(cases[i].body), JSON_SCAN_STRICT, &env);
    struct mcp_verdict v;

    cr_assert_eq(mcp_check(&head, fault, &env, false, &v), v.fine);
    return v;
}

Test(mcp_headers, each_rule_has_its_status_code_and_text)
{
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct mcp_verdict v = check(i, true);

        cr_assert_eq(v.fine, !cases[i].says, "%zu: %s: %s", i, cases[i].body, v.text);
        if (v.fine)
            continue;
        cr_assert_eq(v.status, cases[i].status, "%zu: %d", i, v.status);
        cr_assert_eq(v.code, cases[i].code, "%zu: %d: %s", i, v.code, v.text);
        cr_assert_not_null(strstr(v.text, cases[i].says), "%zu: \"%s\" lacks \"%s\"", i, v.text,
                           cases[i].says);
        cr_assert_eq(v.data[0] != '\0', v.code == -32022);
    }
}

Test(mcp_headers, do_not_matter_where_the_transport_has_none)
{
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct mcp_verdict v = check(i, false);

        if (cases[i].code == -32020 && !strstr(cases[i].says, "no initialize") && cases[i].version &&
            strcmp(cases[i].version, NEW) == 0)
            cr_assert(v.fine, "%zu: %s", i, v.text);
    }
}

Test(mcp_headers, an_unsupported_version_says_what_is_supported_and_what_was_asked_for)
{
    struct mcp_head head = {.session = MCP_NO_REVISION};
    struct jsonrpc_envelope env;
    struct mcp_verdict v;
    char body[400];

    snprintf(body, sizeof body,
             "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\",\"params\":{\"_meta\":{"
             "\"io.modelcontextprotocol/protocolVersion\":\"%s%0*d\"," CAPS "}}}",
             "\\n\\\"\\u00e9", 90, 0);
    cr_assert_eq(jsonrpc_scan(text_of(body), JSON_SCAN_STRICT, &env), JSONRPC_FAULT_FINE);
    cr_assert(!mcp_check(&head, JSONRPC_FAULT_FINE, &env, false, &v));
    cr_assert_eq(v.code, -32022);
    cr_assert_eq(json_check(text_of(v.data), JSON_SCAN_STRICT), JSON_FINE, "%s", v.data);
    cr_assert(text_eq(json_find(text_of(v.data), TEXT("supported")), TEXT("[\"2026-07-28\"]")));
    cr_assert_not_null(strstr(v.data, "\"requested\":\"?\\\"\xc3\xa9"
                                      "000"));
    cr_assert_null(strchr(v.text, '\n'));
}

Test(mcp_headers, elements_of_a_batch_are_legacy_and_never_initialize)
{
    struct mcp_head head = {.session = MCP_2025_03_26};
    struct jsonrpc_envelope env;
    struct mcp_verdict v;

    cr_assert_eq(jsonrpc_scan(TEXT(OLD("initialize")), JSON_SCAN_STRICT, &env), JSONRPC_FAULT_FINE);
    cr_assert(!mcp_check(&head, JSONRPC_FAULT_FINE, &env, true, &v));
    cr_assert_eq(v.code, -32600);
    cr_assert_eq(jsonrpc_scan(TEXT(CALL), JSON_SCAN_STRICT, &env), JSONRPC_FAULT_FINE);
    cr_assert(mcp_check(&head, JSONRPC_FAULT_FINE, &env, true, &v));
    cr_assert_eq(v.revision, MCP_2025_03_26);
}

Test(mcp_headers, get_and_delete_of_2026_need_a_session_of_older_days)
{
    cr_assert(mcp_verb_allowed(true, MCP_2026_07_28, false));
    cr_assert(!mcp_verb_allowed(false, MCP_2026_07_28, false));
    cr_assert(mcp_verb_allowed(false, MCP_2026_07_28, true));
    cr_assert(mcp_verb_allowed(false, MCP_2025_11_25, false));
    cr_assert(mcp_verb_allowed(false, MCP_NO_REVISION, false));
}

Test(mcp_headers, name_the_methods_that_2026_removed)
{
    static const char *const removed[] = {"initialize",
                                          "ping",
                                          "logging/setLevel",
                                          "resources/subscribe",
                                          "resources/unsubscribe",
                                          "notifications/initialized"};

    for (size_t i = 0; i < sizeof removed / sizeof *removed; i++) {
        cr_assert(mcp_method_is_removed(mcp_method_of(text_of(removed[i])), MCP_2026_07_28), "%s",
                  removed[i]);
        cr_assert(!mcp_method_is_removed(mcp_method_of(text_of(removed[i])), MCP_2025_11_25));
    }
    cr_assert(!mcp_method_is_removed(MCP_TOOLS_CALL, MCP_2026_07_28));
    cr_assert(!mcp_method_is_removed(MCP_OTHER, MCP_2026_07_28));
}

static const char *
written(const char *body)
{
    static char out[2048];
    struct jsonrpc_envelope env;
    int n;

    cr_assert_eq(jsonrpc_scan(text_of(body), JSON_SCAN_STRICT, &env), JSONRPC_FAULT_FINE);
    n = mcp_write_fields(&env, out, sizeof out - 1);
    if (n < 0)
        return NULL;
    cr_assert_eq(mcp_write_fields(&env, out, (uint32_t)n), n);
    cr_assert_eq(mcp_write_fields(&env, out, (uint32_t)n - 1), -1);
    out[n] = '\0';
    return out;
}

Test(mcp_headers, are_written_from_a_body_plain_or_encoded)
{
    cr_assert_str_eq(written(CALL),
                     "MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\nMcp-Name: echo\r\n");
    cr_assert_str_eq(written(READ), "MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: resources/read\r\n"
                                    "Mcp-Name: =?base64?ZGVtbzovL8Op?=\r\n");
    cr_assert_str_eq(written(ASK("tools/list", "")),
                     "MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/list\r\n");
    cr_assert_str_eq(written(ASK("tools/call", "\"name\":\"a\\r\\nEvil: 1\",")),
                     "MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\n"
                     "Mcp-Name: =?base64?YQ0KRXZpbDogMQ==?=\r\n");
    cr_assert_null(written(OLD("tools/list")));
    cr_assert_null(written("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"m\",\"params\":{\"_meta\":{"
                           "\"io.modelcontextprotocol/protocolVersion\":\"a\\r\\nEvil: 1\"}}}"));
    cr_assert_null(written(ASK("tools list", "")));
}
