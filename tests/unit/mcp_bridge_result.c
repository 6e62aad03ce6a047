/* SPDX-License-Identifier: Apache-2.0 */
/* Bridging, from the upstream to the client: results, errors and notifications. */
#include "mcp_bridge.h"

#define NONE 0u
#define ALL                                                                                                  \
    (MCP_CLIENT_ELICIT_FORM | MCP_CLIENT_ELICIT_URL | MCP_CLIENT_SAMPLING | MCP_CLIENT_SAMPLING_TOOLS |      \
     MCP_CLIENT_ROOTS)

struct row {
    const char *name;
    enum mcp_revision client, upstream;
    enum mcp_method method;
    uint32_t caps;
    const char *message;
    enum bridge_verdict verdict;
    enum bridge_act act;
    int code;
    const char *want; /* behind `{"jsonrpc":"2.0","id":"c",`; NULL: nothing is sent */
};

#define HEAD                            "{`jsonrpc`:`2.0`,`id`:7,"
#define RESULT(inside)                  HEAD "`result`:{" inside "}}"
#define WANT(inside)                    "`result`:{" inside "}}"
#define ERROR(code, message, more)      HEAD "`error`:{`code`:" code ",`message`:`" message "`" more "}}"
#define WANT_ERROR(code, message, more) "`error`:{`code`:" code ",`message`:`" message "`" more "}}"
#define COMPLETE                        "`resultType`:`complete`"
#define CACHE                           "`ttlMs`:0,`cacheScope`:`private`"
#define PUBLIC                          "`ttlMs`:500,`cacheScope`:`public`"
#define ASKS(method, params)                                                                                 \
    "`resultType`:`input_required`,`inputRequests`:{`k`:{`method`:`" method "`,`params`:" params "}}"
#define PAGES "{`elicitations`:[{`mode`:`url`,`elicitationId`:`e`,`url`:`https://a.b`,`message`:`m`}]}"

static const struct row results[] = {
    {"between legacy revisions", R24, R11, MCP_TOOLS_LIST, NONE, RESULT("`tools`:[{`name`:`t`}],`ttlMs`:3"),
     BRIDGE_PASS, 0, 0, WANT("`tools`:[{`name`:`t`}],`ttlMs`:3")},
    {"execution is of 2025-11-25 only", R06, R11, MCP_TOOLS_LIST, NONE,
     RESULT("`tools`:[{`execution`:{},`name`:`t`},{`name`:`u`,`execution`:{}},{`execution`:{}}]"),
     BRIDGE_PASS, 0, 0, WANT("`tools`:[{`name`:`t`},{`name`:`u`},{}]")},
    {"execution between two of 2025-11-25", R11, R11, MCP_TOOLS_LIST, NONE,
     RESULT("`tools`:[{`execution`:{}}]"), BRIDGE_PASS, 0, 0, WANT("`tools`:[{`execution`:{}}]")},
    {"a legacy list for a modern client", R26, R11, MCP_TOOLS_LIST, NONE,
     RESULT("`tools`:[{`name`:`t`,`execution`:{}}]"), BRIDGE_PASS, 0, 0,
     WANT("`tools`:[{`name`:`t`}]," COMPLETE "," CACHE)},
    {"a legacy call for a modern client", R26, R06, MCP_TOOLS_CALL, NONE,
     RESULT("`content`:[],`resultType`:`mine`,`isError`:true"), BRIDGE_PASS, 0, 0,
     WANT("`content`:[],`isError`:true," COMPLETE)},
    {"an empty legacy result for a modern client", R26, R06, MCP_RESOURCES_READ, NONE, RESULT(" "),
     BRIDGE_PASS, 0, 0, WANT(" " COMPLETE "," CACHE)},
    {"a legacy result made of what a modern client would misread", R26, R06, MCP_TOOLS_LIST, NONE,
     RESULT(" `ttlMs`:-1 , `cacheScope`:`public` , `resultType`:`task` "), BRIDGE_PASS, 0, 0,
     WANT(" " COMPLETE "," CACHE)},
    {"a modern list for a legacy client", R11, R26, MCP_TOOLS_LIST, NONE,
     RESULT(COMPLETE ",`tools`:[]," PUBLIC
                     ",`nextCursor`:`n`,`_meta`:{`io.modelcontextprotocol/serverInfo`:{},`x`:1}"),
     BRIDGE_PASS, 0, 0, WANT("`tools`:[],`nextCursor`:`n`,`_meta`:{`x`:1}")},
    {"structured content that is no object", R06, R26, MCP_TOOLS_CALL, NONE,
     RESULT("`structuredContent`:[1,2]," COMPLETE), BRIDGE_PASS, 0, 0,
     WANT("`structuredContent`:{`result`:[1,2]}")},
    {"structured content that is null", R24, R26, MCP_TOOLS_CALL, NONE, RESULT("`structuredContent`:null"),
     BRIDGE_PASS, 0, 0, WANT("`structuredContent`:{`result`:null}")},
    {"structured content that is an object", R06, R26, MCP_TOOLS_CALL, NONE,
     RESULT("`structuredContent`:{`a`:1}"), BRIDGE_PASS, 0, 0, WANT("`structuredContent`:{`a`:1}")},
    {"structured content for a modern client", R26, R26, MCP_TOOLS_CALL, NONE,
     RESULT("`structuredContent`:[1]," COMPLETE), BRIDGE_PASS, 0, 0,
     WANT("`structuredContent`:[1]," COMPLETE)},
    {"a schema of no object", R06, R26, MCP_TOOLS_LIST, NONE,
     RESULT("`tools`:[{`outputSchema`:{`type`:`array`,`items`:{`$ref`:`#/$defs/"
            "x`},`$defs`:{`x`:{`$ref`:`#`}}}}]"),
     BRIDGE_PASS, 0, 0,
     WANT("`tools`:[{`outputSchema`:{`type`:`object`,`properties`:{`result`:{`type`:`array`,`items`:{`$ref`:`"
          "#/properties/"
          "result/$defs/x`},`$defs`:{`x`:{`$ref`:`#/properties/result`}}}},`required`:[`result`]}}]")},
    {"a schema with an id is its own document", R06, R26, MCP_TOOLS_LIST, NONE,
     RESULT("`tools`:[{`outputSchema`:{`$id`:`urn:x`,`type`:`array`,`items`:{`$ref`:`#/$defs/x`}}}]"),
     BRIDGE_PASS, 0, 0,
     WANT("`tools`:[{`outputSchema`:{`type`:`object`,`properties`:{`result`:{`$id`:`urn:x`,`type`:`array`,`"
          "items`:{`$ref`:`#/"
          "$defs/x`}}},`required`:[`result`]}}]")},
    {"a schema of who knows what", R06, R26, MCP_TOOLS_LIST, NONE,
     RESULT("`tools`:[{`name`:`t`,`outputSchema`:{`anyOf`:[]}},{`outputSchema`:{`type`:[`object`,`null`]},`"
            "name`:`u`}]"),
     BRIDGE_PASS, 0, 0, WANT("`tools`:[{`name`:`t`},{`name`:`u`}]")},
    {"a schema with many references", R06, R26, MCP_TOOLS_LIST, NONE,
     RESULT("`tools`:[{`outputSchema`:{`type`:`array`,`x`:[{`$ref`:`#/1`},{`$ref`:`#/2`},{`$ref`:`#/"
            "3`},{`$ref`:`#/4`},{`$ref`"
            ":`#/5`}]}}]"),
     BRIDGE_PASS, 0, 0, WANT("`tools`:[{}]")},
    {"a schema of an object", R06, R26, MCP_TOOLS_LIST, NONE,
     RESULT("`tools`:[{`outputSchema`:{`type`:`object`}}]"), BRIDGE_PASS, 0, 0,
     WANT("`tools`:[{`outputSchema`:{`type`:`object`}}]")},
    {"between modern ones", R26, R26, MCP_TOOLS_LIST, NONE,
     RESULT(COMPLETE ",`tools`:[{`execution`:{}}]," PUBLIC), BRIDGE_PASS, 0, 0,
     WANT(COMPLETE ",`tools`:[{`execution`:{}}]," PUBLIC)},
    {"between modern ones, with what it lacks", R26, R26, MCP_TOOLS_LIST, NONE,
     RESULT("`tools`:[],`ttlMs`:-1"), BRIDGE_PASS, 0, 0, WANT("`tools`:[]," COMPLETE "," CACHE)},
    {"a result that is no object", R11, R11, MCP_TOOLS_LIST, NONE, HEAD "`result`:[]}", BRIDGE_PASS, 0,
     -32603, WANT_ERROR("-32603", "The server's result is no object", "")},
    {"a task for a modern client", R26, R26, MCP_TOOLS_CALL, NONE, RESULT("`resultType`:`task`,`taskId`:`a`"),
     BRIDGE_PASS, 0, 0, WANT("`resultType`:`task`,`taskId`:`a`")},
    {"(e) a task for a legacy client", R11, R26, MCP_TOOLS_CALL, NONE,
     RESULT("`resultType`:`task`,`taskId`:`a`"), BRIDGE_PASS, 0, -32603,
     WANT_ERROR("-32603", "The server's reply has a form that the client's revision does not know", "")},
    /* questions */
    {"questions for a legacy client", R11, R26, MCP_TOOLS_CALL, ALL, RESULT(ASKS("roots/list", "{}")),
     BRIDGE_NOTHING, BRIDGE_ACT_ASK, 0, NULL},
    {"questions where none are allowed", R11, R26, MCP_TOOLS_LIST, ALL, RESULT(ASKS("roots/list", "{}")),
     BRIDGE_PASS, 0, -32603,
     WANT_ERROR("-32603", "The server asks for input where no call may be asked for it", "")},
    {"questions for a modern client", R26, R26, MCP_TOOLS_CALL, ALL,
     RESULT(ASKS("elicitation/create", "{`mode`:`url`}") ",`requestState`:`\\u0041`"), BRIDGE_PASS, 0, 0,
     WANT(ASKS("elicitation/create", "{`mode`:`url`}") ",`requestState`:`\\u0041`")},
    {"(c) questions that a modern client cannot answer", R26, R26, MCP_TOOLS_CALL, MCP_CLIENT_ELICIT_FORM,
     RESULT(ASKS("elicitation/create", "{`mode`:`url`}")), BRIDGE_PASS, 0, -32021,
     WANT_ERROR("-32021", "The server asks for something that the client did not declare in its capabilities",
                ",`data`:{`requiredCapabilities`:{`elicitation`:{`url`:{}}}}")},
    {"(c) sampling with tools for one without", R26, R26, MCP_TOOLS_CALL, MCP_CLIENT_SAMPLING,
     RESULT(ASKS("sampling/createMessage", "{`tools`:[{}]}")), BRIDGE_PASS, 0, -32021,
     WANT_ERROR("-32021", "The server asks for something that the client did not declare in its capabilities",
                ",`data`:{`requiredCapabilities`:{`sampling`:{`tools`:{}}}}")},
    {"questions of no kind", R26, R26, MCP_TOOLS_CALL, ALL, RESULT(ASKS("tools/list", "{}")), BRIDGE_PASS, 0,
     -32603, WANT_ERROR("-32603", "The server asks for something that no client answers", "")},
    {"input_required with neither requests nor state", R26, R26, MCP_TOOLS_CALL, ALL,
     RESULT("`resultType`:`input_required`"), BRIDGE_PASS, 0, -32603,
     WANT_ERROR("-32603", "The server asks for input in a form that is not valid", "")},
    /* errors */
    {"a missing resource for a modern client", R26, R06, MCP_RESOURCES_READ, NONE,
     ERROR("-32002", "none", ",`data`:{`uri`:`u`}"), BRIDGE_PASS, 0, -32602,
     WANT_ERROR("-32602", "none", ",`data`:{`uri`:`u`}")},
    {"a missing resource for a legacy client", R06, R26, MCP_RESOURCES_READ, NONE,
     ERROR("-32602", "none", ",`data`:{`uri`:`u`}"), BRIDGE_PASS, 0, -32002,
     WANT_ERROR("-32002", "none", ",`data`:{`uri`:`u`}")},
    {"bad parameters for a legacy client", R06, R26, MCP_TOOLS_CALL, NONE,
     ERROR("-32602", "none", ",`data`:{`uri`:`u`}"), BRIDGE_PASS, 0, -32602,
     WANT_ERROR("-32602", "none", ",`data`:{`uri`:`u`}")},
    {"an error of legacy make", R26, R06, MCP_TOOLS_CALL, NONE, ERROR("-32001", "x", ""), BRIDGE_PASS, 0,
     -32001, WANT_ERROR("-32001", "x", "")},
    {"codes that 2026-07-28 keeps for itself", R26, R06, MCP_TOOLS_CALL, NONE, ERROR("-32021", "x", ""),
     BRIDGE_PASS, 0, -32603, WANT_ERROR("-32603", "x", "")},
    {"the gateway's headers are not the client's fault", R26, R26, MCP_TOOLS_CALL, NONE,
     ERROR("-32020", "x", ",`data`:{}"), BRIDGE_PASS, BRIDGE_ACT_HEADERS, -32603,
     WANT_ERROR("-32603", "The server refused the gateway's request: x", "")},
    {"nor is its version", R06, R26, MCP_TOOLS_CALL, NONE, ERROR("-32022", "x", ",`data`:{`supported`:[]}"),
     BRIDGE_PASS, BRIDGE_ACT_VERSION, -32603,
     WANT_ERROR("-32603", "The server refused the gateway's request: x", "")},
    {"(c) a capability that a modern client lacks", R26, R26, MCP_TOOLS_CALL, NONE,
     ERROR("-32021", "x", ",`data`:{}"), BRIDGE_PASS, 0, -32021, WANT_ERROR("-32021", "x", ",`data`:{}")},
    {"(c) a capability that a legacy client lacks, in a tool", R03, R26, MCP_TOOLS_CALL, NONE,
     ERROR("-32021", "x", ",`data`:{}"), BRIDGE_PASS, 0, 0,
     WANT("`content`:[{`type`:`text`,`text`:`x`}],`isError`:true")},
    {"(c) a capability that a legacy client lacks, in a prompt", R03, R26, MCP_PROMPTS_GET, NONE,
     ERROR("-32021", "x", ""), BRIDGE_PASS, 0, -32603, WANT_ERROR("-32603", "x", "")},
    {"an unknown method", R26, R06, MCP_COMPLETE, NONE, ERROR("-32601", "x", ""), BRIDGE_PASS, 0, -32601,
     WANT_ERROR("-32601", "x", "")},
    {"an error without an id", R26, R26, MCP_COMPLETE, NONE,
     "{`jsonrpc`:`2.0`,`error`:{`code`:-1,`message`:`x`}}", BRIDGE_PASS, 0, -1, NULL},
    /* pages to visit */
    {"pages for a modern client", R26, R11, MCP_TOOLS_CALL, ALL, ERROR("-32042", "x", ",`data`:" PAGES),
     BRIDGE_NOTHING, BRIDGE_ACT_VISIT, 0, NULL},
    {"(c) pages for a modern client without", R26, R11, MCP_TOOLS_CALL, MCP_CLIENT_ELICIT_FORM,
     ERROR("-32042", "x", ",`data`:" PAGES), BRIDGE_PASS, 0, -32021,
     WANT_ERROR("-32021",
                "The server asks to visit a page, which the client did not declare (elicitation.url)",
                ",`data`:{`requiredCapabilities`:{`elicitation`:{`url`:{}}}}")},
    {"no pages for a modern client", R26, R11, MCP_TOOLS_CALL, ALL, ERROR("-32042", "x", ""), BRIDGE_PASS, 0,
     -32603, WANT_ERROR("-32603", "x", "")},
    {"pages between two of 2025-11-25", R11, R11, MCP_TOOLS_CALL, ALL, ERROR("-32042", "x", ",`data`:" PAGES),
     BRIDGE_PASS, 0, -32042, WANT_ERROR("-32042", "x", ",`data`:" PAGES)},
    {"(d) pages for an older client", R06, R11, MCP_TOOLS_CALL, ALL, ERROR("-32042", "x", ",`data`:" PAGES),
     BRIDGE_PASS, 0, 0, WANT("`content`:[{`type`:`text`,`text`:`x`}],`isError`:true")},
};

static enum bridge_verdict
answer(const struct row *r, struct bridge_out *out)
{
    struct bridge b = {.client = r->client, .upstream = r->upstream, .client_caps = r->caps};
    struct bridge_call call = {.method = r->method, .id = TEXT("\"c\"")};
    struct text message = quoted(r->message);
    struct jsonrpc_envelope env = scanned(message);

    *out = fresh_out();
    return bridge_result(&b, &call, message, &env, out);
}

Test(bridge_result, has_the_clients_id_and_the_form_of_its_revision)
{
    static const char head[] = "{\"jsonrpc\":\"2.0\",\"id\":\"c\",";

    for (size_t i = 0; i < sizeof results / sizeof *results; i++) {
        const struct row *r = &results[i];
        struct bridge_out out;
        enum bridge_verdict verdict = answer(r, &out);

        cr_assert_eq(verdict, r->verdict, "%s: verdict %d", r->name, verdict);
        cr_assert_eq(out.act, r->act, "%s: act %d", r->name, out.act);
        cr_assert_eq(out.code, r->code, "%s: code %d", r->name, out.code);
        if (r->want) {
            struct text got = sent(&out);

            cr_assert(text_starts(got, TEXT(head)), "%s: %.*s", r->name, (int)got.len, got.at);
            expect_text((struct text){got.at + sizeof head - 1, got.len - (uint32_t)sizeof head + 1}, r->want,
                        r->name);
        }
    }
}

Test(bridge_result, of_a_server_that_could_not_do_without_says_what_the_client_lacks)
{
    struct bridge b = {.client = MCP_2026_07_28, .upstream = MCP_2025_11_25};
    struct bridge_call call = {.method = MCP_TOOLS_CALL, .id = TEXT("\"c\""), .lacking = MCP_CLIENT_SAMPLING};
    struct text failed = quoted(ERROR("-32601", "no", "")), served = quoted(RESULT("`content`:[]"));
    struct jsonrpc_envelope env = scanned(failed);
    struct bridge_out out = fresh_out();
    struct text got;

    cr_assert_eq(bridge_result(&b, &call, failed, &env, &out), BRIDGE_PASS);
    cr_assert_eq(out.code, -32021);
    cr_assert_eq(out.status, 400);
    got = sent(&out);
    cr_assert_not_null(memmem(got.at, got.len, "\"requiredCapabilities\":{\"sampling\":{}}", 38));
    env = scanned(served);
    out = fresh_out();
    bridge_result(&b, &call, served, &env, &out);
    cr_assert_eq(out.code, 0, "it made do");
}

Test(bridge_result, gives_an_error_without_id_the_clients)
{
    static const struct row none = {
        "",          R26, R26, MCP_COMPLETE, 0, "{`error`:{`code`:-1,`message`:`x`},`jsonrpc`:`2.0`}",
        BRIDGE_PASS, 0,   0,   NULL};
    static const struct row null = {
        "",           R06, R26,
        MCP_COMPLETE, 0,   "{`id`:null,`error`:{`code`:-1,`message`:`x`},`jsonrpc`:`2.0`}",
        BRIDGE_PASS,  0,   0,
        NULL};
    struct bridge_out out;

    cr_assert_eq(answer(&none, &out), BRIDGE_PASS);
    expect_text(sent(&out), "{`id`:`c`,`error`:{`code`:-1,`message`:`x`},`jsonrpc`:`2.0`}", "absent");
    cr_assert_eq(answer(&null, &out), BRIDGE_PASS);
    expect_text(sent(&out), "{`id`:`c`,`error`:{`code`:-1,`message`:`x`},`jsonrpc`:`2.0`}", "null");
}

Test(bridge_result, stamps_the_servers_name_where_2026_07_28_has_it)
{
    struct bridge b = {.client = R26, .upstream = R06, .server_info = TEXT("{\"name\":\"s\"}")};
    struct bridge_call call = {.method = MCP_TOOLS_CALL, .id = TEXT("1")};
    struct text with = quoted("{`jsonrpc`:`2.0`,`id`:7,`result`:{`_meta`:{`a`:1}}}");
    struct text without = quoted("{`jsonrpc`:`2.0`,`id`:7,`result`:{}}");
    struct jsonrpc_envelope env = scanned(with);
    struct bridge_out out = fresh_out();

    cr_assert_eq(bridge_result(&b, &call, with, &env, &out), BRIDGE_PASS);
    expect_text(
        sent(&out),
        "{`jsonrpc`:`2.0`,`id`:1,`result`:{`_meta`:{`a`:1,`io.modelcontextprotocol/serverInfo`:{`name`:`s`}},"
        "`resultType`:`complete`}}",
        "added");
    env = scanned(without);
    cr_assert_eq(bridge_result(&b, &call, without, &env, &out), BRIDGE_PASS);
    expect_text(sent(&out),
                "{`jsonrpc`:`2.0`,`id`:1,`result`:{`resultType`:`complete`,`_meta`:{`io.modelcontextprotocol/"
                "serverInfo`:{"
                "`name`:`s`}}}}",
                "made");
}

Test(bridge_result, says_full_for_more_tools_than_there_are_edits)
{
    struct bridge b = {.client = R06, .upstream = R11};
    struct bridge_call call = {.method = MCP_TOOLS_LIST, .id = TEXT("1")};
    struct text message =
        quoted("{`jsonrpc`:`2.0`,`id`:7,`result`:{`tools`:[{`execution`:1},{`execution`:1}]}}");
    struct jsonrpc_envelope env = scanned(message);
    struct bridge_out out = fresh_out();

    out.edits.room = 2;
    cr_assert_eq(bridge_result(&b, &call, message, &env, &out), BRIDGE_FULL);
    out.edits.room = 3;
    cr_assert_eq(bridge_result(&b, &call, message, &env, &out), BRIDGE_PASS);
}

Test(bridge_result, has_the_http_status_that_modern_clients_read)
{
    static const struct {
        int code;
        uint16_t modern;
    } statuses[] = {{-32601, 404}, {-32700, 400}, {-32600, 400}, {-32020, 400}, {-32021, 400},
                    {-32022, 400}, {-32602, 200}, {-32603, 200}, {-1, 200}};

    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++) {
        cr_assert_eq(bridge_error_status(R26, statuses[i].code), statuses[i].modern, "%d", statuses[i].code);
        cr_assert_eq(bridge_error_status(R11, statuses[i].code), 200);
    }
}

/* --- notifications --- */

#define NOTICE(method, params) "{`jsonrpc`:`2.0`,`method`:`notifications/" method "`,`params`:" params "}"

struct notice {
    const char *name;
    enum mcp_revision client, upstream;
    enum { NO_CALL, OPEN, DONE, NO_TOKEN } call;
    enum bridge_level level; /* of the modern call, or of the legacy session */
    const char *message;
    enum bridge_verdict verdict;
    enum bridge_act act;
    const char *want; /* NULL: as it came */
};

static const struct notice notices[] = {
    {"progress", R24, R26, OPEN, 0, NOTICE("progress", "{`progressToken`:7,`progress`:1}"), BRIDGE_PASS,
     BRIDGE_ACT_PROGRESS, NOTICE("progress", "{`progressToken`:`tok`,`progress`:1}")},
    {"progress of nobody", R24, R26, NO_CALL, 0, NOTICE("progress", "{`progressToken`:9,`progress`:1}"),
     BRIDGE_NOTHING, BRIDGE_ACT_PROGRESS, NULL},
    {"progress after the end", R26, R06, DONE, 0, NOTICE("progress", "{`progressToken`:7,`progress`:1}"),
     BRIDGE_NOTHING, BRIDGE_ACT_PROGRESS, NULL},
    {"progress that nobody asked for", R26, R06, NO_TOKEN, 0,
     NOTICE("progress", "{`progressToken`:7,`progress`:1}"), BRIDGE_NOTHING, BRIDGE_ACT_PROGRESS, NULL},
    {"(h) a log message outside of a call", R26, R06, NO_CALL, BRIDGE_DEBUG,
     NOTICE("message", "{`level`:`error`}"), BRIDGE_NOTHING, BRIDGE_ACT_LOG, NULL},
    {"a log message that was not asked for", R26, R06, OPEN, BRIDGE_LEVEL_NONE,
     NOTICE("message", "{`level`:`error`}"), BRIDGE_NOTHING, BRIDGE_ACT_LOG, NULL},
    {"a log message below the level", R26, R06, OPEN, BRIDGE_WARNING, NOTICE("message", "{`level`:`notice`}"),
     BRIDGE_NOTHING, BRIDGE_ACT_LOG, NULL},
    {"a log message at the level", R26, R06, OPEN, BRIDGE_WARNING, NOTICE("message", "{`level`:`warning`}"),
     BRIDGE_PASS, BRIDGE_ACT_LOG, NULL},
    {"a log message after the end", R26, R06, DONE, BRIDGE_DEBUG, NOTICE("message", "{`level`:`error`}"),
     BRIDGE_NOTHING, BRIDGE_ACT_LOG, NULL},
    {"a modern log message for a legacy client", R06, R26, OPEN, BRIDGE_INFO,
     NOTICE("message", "{`level`:`info`}"), BRIDGE_PASS, BRIDGE_ACT_LOG, NULL},
    {"a modern log message that nobody wants", R06, R26, OPEN, BRIDGE_LEVEL_NONE,
     NOTICE("message", "{`level`:`info`}"), BRIDGE_NOTHING, BRIDGE_ACT_LOG, NULL},
    {"a legacy log message for a legacy client", R06, R24, NO_CALL, BRIDGE_LEVEL_NONE,
     NOTICE("message", "{`level`:`debug`}"), BRIDGE_PASS, BRIDGE_ACT_LOG, NULL},
    {"tools changed", R26, R06, NO_CALL, 0, NOTICE("tools/list_changed", "{}"), BRIDGE_NOTHING,
     BRIDGE_ACT_TOOLS_CHANGED, NULL},
    {"prompts changed", R06, R26, NO_CALL, 0, NOTICE("prompts/list_changed", "{}"), BRIDGE_NOTHING,
     BRIDGE_ACT_PROMPTS_CHANGED, NULL},
    {"resources changed", R06, R06, NO_CALL, 0, NOTICE("resources/list_changed", "{}"), BRIDGE_NOTHING,
     BRIDGE_ACT_RESOURCES_CHANGED, NULL},
    {"a resource updated", R26, R06, NO_CALL, 0, NOTICE("resources/updated", "{`uri`:`u`}"), BRIDGE_NOTHING,
     BRIDGE_ACT_UPDATED, NULL},
    {"the server withdraws a question", R06, R06, NO_CALL, 0, NOTICE("cancelled", "{`requestId`:`q`}"),
     BRIDGE_NOTHING, BRIDGE_ACT_WITHDRAWN, NULL},
    {"the gateway's listen is acknowledged", R06, R26, NO_CALL, 0,
     NOTICE("subscriptions/acknowledged", "{`notifications`:{}}"), BRIDGE_NOTHING, BRIDGE_ACT_ACKNOWLEDGED,
     NULL},
    {"a page was visited", R11, R11, NO_CALL, 0, NOTICE("elicitation/complete", "{`elicitationId`:`e`}"),
     BRIDGE_PASS, 0, NULL},
    {"(d) a page was visited, for an older client", R06, R11, NO_CALL, 0,
     NOTICE("elicitation/complete", "{}"), BRIDGE_NOTHING, 0, NULL},
    {"(f) a page was visited, for a modern client", R26, R11, OPEN, 0, NOTICE("elicitation/complete", "{}"),
     BRIDGE_NOTHING, 0, NULL},
    {"a task between two of 2025-11-25", R11, R11, NO_CALL, 0, NOTICE("tasks/status", "{}"), BRIDGE_PASS, 0,
     NULL},
    {"(e) a task for a modern client", R26, R11, OPEN, 0, NOTICE("tasks/status", "{}"), BRIDGE_NOTHING, 0,
     NULL},
    {"something unknown within an era", R24, R11, NO_CALL, 0, NOTICE("x", "{}"), BRIDGE_PASS, 0, NULL},
    {"something unknown across", R26, R11, OPEN, 0, NOTICE("x", "{}"), BRIDGE_NOTHING, 0, NULL},
    {"something unknown outside of a modern call", R26, R26, NO_CALL, 0, NOTICE("x", "{}"), BRIDGE_NOTHING, 0,
     NULL},
    {"something unknown within a modern call", R26, R26, OPEN, 0, NOTICE("x", "{}"), BRIDGE_PASS, 0, NULL},
};

Test(bridge_notice, reaches_whom_it_concerns_and_nobody_after_the_end)
{
    for (size_t i = 0; i < sizeof notices / sizeof *notices; i++) {
        const struct notice *n = &notices[i];
        struct bridge b = {.client = n->client, .upstream = n->upstream, .log_level = n->level};
        struct bridge_call call = {.method = MCP_TOOLS_CALL,
                                   .id = TEXT("1"),
                                   .token = n->call == NO_TOKEN ? (struct text){NULL, 0} : TEXT("\"tok\""),
                                   .level = n->level,
                                   .is_done = n->call == DONE};
        struct text message = quoted(n->message);
        struct jsonrpc_envelope env = scanned(message);
        struct bridge_out out = fresh_out();
        enum bridge_verdict verdict =
            bridge_notice(&b, n->call == NO_CALL ? NULL : &call, message, &env, &out);

        cr_assert_eq(verdict, n->verdict, "%s: verdict %d", n->name, verdict);
        cr_assert_eq(out.act, n->act, "%s: act %d", n->name, out.act);
        if (verdict == BRIDGE_PASS)
            expect_text(sent(&out), n->want ? n->want : n->message, n->name);
    }
}

Test(bridge_notice, says_which_resource_question_or_filter_it_is_about)
{
    static const struct {
        const char *message, *subject;
    } rows[] = {{NOTICE("resources/updated", "{`uri`:`u`}"), "`u`"},
                {NOTICE("cancelled", "{`requestId`:3}"), "3"},
                {NOTICE("subscriptions/acknowledged", "{`notifications`:{`a`:1}}"), "{`a`:1}"}};

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct text message = quoted(rows[i].message);
        struct jsonrpc_envelope env = scanned(message);
        struct bridge b = {.client = R06, .upstream = R26};
        struct bridge_out out = fresh_out();

        cr_assert_eq(bridge_notice(&b, NULL, message, &env, &out), BRIDGE_NOTHING);
        expect_text(out.subject, rows[i].subject, rows[i].message);
    }
}

static struct text
changed(enum mcp_revision client, const char *message, const char *listen_id)
{
    struct text text = quoted(message);
    struct jsonrpc_envelope env = scanned(text);
    struct bridge_out out = fresh_out();

    cr_assert_eq(bridge_changed(client, text, &env, quoted(listen_id), &out), BRIDGE_PASS);
    return sent(&out);
}

Test(bridge_notice, of_a_change_carries_the_id_of_each_modern_clients_own_listen)
{
    static const char bare[] = "{`jsonrpc`:`2.0`,`method`:`notifications/tools/list_changed`}";
    static const char stamped[] = NOTICE(
        "resources/updated", "{`uri`:`u`,`_meta`:{`io.modelcontextprotocol/subscriptionId`:`up`,`x`:1}}");

    expect_text(changed(R06, bare, ""), bare, "legacy to legacy");
    expect_text(changed(R26, bare, "3"),
                NOTICE("tools/list_changed", "{`_meta`:{`io.modelcontextprotocol/subscriptionId`:3}}"),
                "legacy to modern");
    expect_text(changed(R06, stamped, ""), NOTICE("resources/updated", "{`uri`:`u`,`_meta`:{`x`:1}}"),
                "modern to legacy");
    expect_text(changed(R26, stamped, "`3`"),
                NOTICE("resources/updated",
                       "{`uri`:`u`,`_meta`:{`x`:1,`io.modelcontextprotocol/subscriptionId`:`3`}}"),
                "modern to modern");
}
