/* SPDX-License-Identifier: Apache-2.0 */
/* Bridging, from the client to the upstream. */
#include "mcp_bridge.h"

struct row {
    const char *name;
    enum mcp_revision client, upstream;
    const char *message;
    enum bridge_verdict verdict;
    enum bridge_act act;
    const char *want;    /* what is sent; NULL: nothing */
    const char *subject; /* NULL: not looked at */
};

#define CALL_HEAD "{`jsonrpc`:`2.0`,`id`:"
#define MODERN_CALL(id, more)                                                                                \
    CALL_HEAD id ",`method`:`tools/call`,`params`:{`name`:`t`,`arguments`:{`a`:1},`_meta`:{" BRIDGED_META(   \
        "", "") "}" more "}}"
#define ERROR(id, code, text) CALL_HEAD id ",`error`:{`code`:" code ",`message`:`" text "`}}"

static const struct row rows[] = {
    /* 4.9: each kind of pair, as a plain call */
    {"a call between legacy revisions", R24, R11,
     CALL_HEAD "`x`,`method`:`tools/call`,`params`:{`name`:`t`}}", BRIDGE_PASS, 0,
     CALL_HEAD "7,`method`:`tools/call`,`params`:{`name`:`t`}}", NULL},
    {"a call to a modern server", R11, R26,
     CALL_HEAD
     "`x`,`method`:`tools/call`,`params`:{`name`:`t`,`_meta`:{`progressToken`:`x`,`traceparent`:`00-1`}}}",
     BRIDGE_PASS, 0,
     CALL_HEAD
     "7,`method`:`tools/"
     "call`,`params`:{`name`:`t`,`_meta`:{`progressToken`:7,`traceparent`:`00-1`," BRIDGED_META("", "") "}}}",
     NULL},
    {"a call without params to a modern server", R24, R26, "{`method`:`tools/list`,`id`:1,`jsonrpc`:`2.0`}",
     BRIDGE_PASS, 0,
     "{`method`:`tools/list`,`params`:{`_meta`:{" BRIDGED_META("", "") "}},`id`:7,`jsonrpc`:`2.0`}", NULL},
    {"a call with empty params to a modern server", R03, R26,
     CALL_HEAD "1,`method`:`tools/list`,`params`:{ }}", BRIDGE_PASS, 0,
     CALL_HEAD "7,`method`:`tools/list`,`params`:{ `_meta`:{" BRIDGED_META("", "") "}}}", NULL},
    {"a modern call to a legacy server", R26, R06, MODERN_CALL("`x`", ""), BRIDGE_PASS, 0,
     CALL_HEAD "7,`method`:`tools/call`,`params`:{`name`:`t`,`arguments`:{`a`:1},`_meta`:{}}}", NULL},
    {"modern keys between others", R26, R24,
     "{ `params` : { `_meta` : { `io.modelcontextprotocol/logLevel` : `info` , `progressToken` : 3 , "
     "`io.modelcontextprotocol/protocolVersion` : `2026-07-28` , `mine` : 1 , "
     "`io.modelcontextprotocol/clientCapabilities` : {} } } , `method` : `tools/list` , `id` : 3 , `jsonrpc` "
     ": `2.0` }",
     BRIDGE_PASS, 0,
     "{ `params` : { `_meta` : { `progressToken` : 7,`mine` : 1} } , `method` : `tools/list` , `id` : 7 , "
     "`jsonrpc` : "
     "`2.0` }",
     NULL},
    {"a modern call to a modern server", R26, R26,
     MODERN_CALL("`x`", ",`requestState`:`s`,`inputResponses`:{}"), BRIDGE_PASS, 0,
     MODERN_CALL("7", ",`requestState`:`s`,`inputResponses`:{}"), NULL},
    {"an unknown method", R06, R11, CALL_HEAD "1,`method`:`x/y`}", BRIDGE_PASS, 0,
     CALL_HEAD "7,`method`:`x/y`}", NULL},
    {"a legacy client's forged modern keys are replaced", R11, R26,
     CALL_HEAD "1,`method`:`tools/list`,`params`:{`_meta`:{`io.modelcontextprotocol/"
               "clientCapabilities`:{`sampling`:{}}}}}",
     BRIDGE_PASS, 0, CALL_HEAD "7,`method`:`tools/list`,`params`:{`_meta`:{" BRIDGED_META("", "") "}}}",
     NULL},
    {"a legacy client's forged retry loses its members", R11, R26,
     CALL_HEAD "1,`method`:`tools/call`,`params`:{`requestState`:`s`,`name`:`t`,`inputResponses`:{}}}",
     BRIDGE_PASS, 0,
     CALL_HEAD "7,`method`:`tools/call`,`params`:{`name`:`t`,`_meta`:{" BRIDGED_META("", "") "}}}", NULL},
    /* answered here */
    {"ping", R24, R26, CALL_HEAD "`p`,`method`:`ping`}", BRIDGE_REPLY, 0, CALL_HEAD "`p`,`result`:{}}", NULL},
    {"ping to a legacy server", R11, R06, CALL_HEAD "0,`method`:`ping`}", BRIDGE_REPLY, 0,
     CALL_HEAD "0,`result`:{}}", NULL},
    {"a modern ping", R26, R06, CALL_HEAD "1,`method`:`ping`}", BRIDGE_REPLY, 0,
     ERROR("1", "-32601", "Method not found: ping"), NULL},
    {"initialize", R06, R26, CALL_HEAD "1,`method`:`initialize`,`params`:{}}", BRIDGE_NOTHING,
     BRIDGE_ACT_INITIALIZE, NULL, "{}"},
    {"a modern initialize", R26, R06, CALL_HEAD "1,`method`:`initialize`,`params`:{}}", BRIDGE_REPLY, 0,
     ERROR("1", "-32601", "Method not found: initialize"), NULL},
    {"discover", R26, R03, CALL_HEAD "1,`method`:`server/discover`,`params`:{}}", BRIDGE_NOTHING,
     BRIDGE_ACT_DISCOVER, NULL, "{}"},
    {"a legacy discover", R11, R26, CALL_HEAD "1,`method`:`server/discover`,`params`:{}}", BRIDGE_REPLY, 0,
     ERROR("1", "-32601", "Method not found: server/discover"), NULL},
    {"the log level for a legacy server", R06, R06,
     CALL_HEAD "1,`method`:`logging/setLevel`,`params`:{`level`:`info`}}", BRIDGE_PASS, BRIDGE_ACT_SET_LEVEL,
     CALL_HEAD "7,`method`:`logging/setLevel`,`params`:{`level`:`info`}}", "`info`"},
    {"the log level for a modern server", R06, R26,
     CALL_HEAD "1,`method`:`logging/setLevel`,`params`:{`level`:`info`}}", BRIDGE_REPLY, BRIDGE_ACT_SET_LEVEL,
     CALL_HEAD "1,`result`:{}}", "`info`"},
    {"a log level that is none", R06, R26,
     CALL_HEAD "1,`method`:`logging/setLevel`,`params`:{`level`:`loud`}}", BRIDGE_REPLY, 0,
     ERROR("1", "-32602", "Invalid params: level must be a log level (debug to emergency)"), NULL},
    {"a subscription to a legacy server", R06, R11,
     CALL_HEAD "1,`method`:`resources/subscribe`,`params`:{`uri`:`a:b`}}", BRIDGE_PASS, BRIDGE_ACT_SUBSCRIBE,
     CALL_HEAD "7,`method`:`resources/subscribe`,`params`:{`uri`:`a:b`}}", "`a:b`"},
    {"a subscription to a modern server", R06, R26,
     CALL_HEAD "1,`method`:`resources/subscribe`,`params`:{`uri`:`a:b`}}", BRIDGE_REPLY, BRIDGE_ACT_SUBSCRIBE,
     CALL_HEAD "1,`result`:{}}", "`a:b`"},
    {"its end", R06, R26, CALL_HEAD "1,`method`:`resources/unsubscribe`,`params`:{`uri`:`a:b`}}",
     BRIDGE_REPLY, BRIDGE_ACT_UNSUBSCRIBE, CALL_HEAD "1,`result`:{}}", "`a:b`"},
    {"a subscription without a URI", R06, R26, CALL_HEAD "1,`method`:`resources/subscribe`,`params`:{}}",
     BRIDGE_REPLY, 0, ERROR("1", "-32602", "Invalid params: uri must be a string"), NULL},
    {"a modern client's subscribe", R26, R06,
     CALL_HEAD "1,`method`:`resources/subscribe`,`params`:{`uri`:`a:b`}}", BRIDGE_REPLY, 0,
     ERROR("1", "-32601", "Method not found: resources/subscribe"), NULL},
    {"listen", R26, R06,
     CALL_HEAD "1,`method`:`subscriptions/listen`,`params`:{`notifications`:{`toolsListChanged`:true}}}",
     BRIDGE_NOTHING, BRIDGE_ACT_LISTEN, NULL, "{`toolsListChanged`:true}"},
    {"listen without a filter", R26, R06, CALL_HEAD "1,`method`:`subscriptions/listen`,`params`:{}}",
     BRIDGE_REPLY, 0, ERROR("1", "-32602", "Invalid params: notifications must be an object"), NULL},
    {"a legacy listen", R11, R26,
     CALL_HEAD "1,`method`:`subscriptions/listen`,`params`:{`notifications`:{}}}", BRIDGE_REPLY, 0,
     ERROR("1", "-32601", "Method not found: subscriptions/listen"), NULL},
    {"a progress token of no kind", R26, R06,
     CALL_HEAD "1,`method`:`tools/call`,`params`:{`_meta`:{`progressToken`:{}}}}", BRIDGE_REPLY, 0,
     ERROR("1", "-32602", "Invalid params: progressToken is neither a string nor an integer"), NULL},
    /* retries of a modern client, of which a legacy server knows nothing */
    {"a retry", R26, R06, MODERN_CALL("1", ",`requestState`:`s`,`inputResponses`:{}"), BRIDGE_NOTHING,
     BRIDGE_ACT_RETRY, NULL, "`s`"},
    {"answers without a state", R26, R06, MODERN_CALL("1", ",`inputResponses`:{}"), BRIDGE_PASS, 0,
     CALL_HEAD "7,`method`:`tools/call`,`params`:{`name`:`t`,`arguments`:{`a`:1},`_meta`:{}}}", NULL},
    {"a state of another kind", R26, R06, MODERN_CALL("1", ",`requestState`:1"), BRIDGE_REPLY, 0,
     ERROR("1", "-32602", "Invalid params: requestState is no string"), NULL},
    /* what cannot be bridged: (e) tasks of two kinds */
    {"(e) a task is forgotten", R11, R06,
     CALL_HEAD "1,`method`:`tools/call`,`params`:{`name`:`t`,`task`:{`ttl`:1}}}", BRIDGE_PASS, 0,
     CALL_HEAD "7,`method`:`tools/call`,`params`:{`name`:`t`}}", NULL},
    {"(e) a task for a modern server is forgotten", R11, R26,
     CALL_HEAD "1,`method`:`tools/call`,`params`:{`task`:{`ttl`:1},`name`:`t`}}", BRIDGE_PASS, 0,
     CALL_HEAD "7,`method`:`tools/call`,`params`:{`name`:`t`,`_meta`:{" BRIDGED_META("", "") "}}}", NULL},
    {"(e) a task between two of 2025-11-25", R11, R11,
     CALL_HEAD "1,`method`:`tools/call`,`params`:{`task`:{`ttl`:1}}}", BRIDGE_PASS, 0,
     CALL_HEAD "7,`method`:`tools/call`,`params`:{`task`:{`ttl`:1}}}", NULL},
    {"(e) tasks/result at a modern server", R11, R26,
     CALL_HEAD "1,`method`:`tasks/result`,`params`:{`taskId`:`a`}}", BRIDGE_REPLY, 0,
     ERROR("1", "-32601", "Method not found: tasks/result"), NULL},
    {"(e) tasks/get at a legacy server", R26, R11,
     CALL_HEAD "1,`method`:`tasks/get`,`params`:{`taskId`:`a`}}", BRIDGE_REPLY, 0,
     ERROR("1", "-32601", "Method not found: tasks/get"), NULL},
    /* notifications */
    {"initialized", R06, R26, "{`jsonrpc`:`2.0`,`method`:`notifications/initialized`}", BRIDGE_NOTHING,
     BRIDGE_ACT_INITIALIZED, NULL, NULL},
    {"cancelled", R06, R26, "{`jsonrpc`:`2.0`,`method`:`notifications/cancelled`,`params`:{`requestId`:`7`}}",
     BRIDGE_NOTHING, BRIDGE_ACT_CANCEL, NULL, "`7`"},
    {"cancelled without an id", R06, R26,
     "{`jsonrpc`:`2.0`,`method`:`notifications/cancelled`,`params`:{`requestId`:{}}}", BRIDGE_NOTHING, 0,
     NULL, NULL},
    {"roots changed", R06, R11, "{`jsonrpc`:`2.0`,`method`:`notifications/roots/list_changed`}", BRIDGE_PASS,
     BRIDGE_ACT_ROOTS_CHANGED, "{`jsonrpc`:`2.0`,`method`:`notifications/roots/list_changed`}", NULL},
    {"roots changed for a modern server", R06, R26,
     "{`jsonrpc`:`2.0`,`method`:`notifications/roots/list_changed`}", BRIDGE_NOTHING,
     BRIDGE_ACT_ROOTS_CHANGED, NULL, NULL},
    {"an unknown notification within an era", R06, R11, "{`jsonrpc`:`2.0`,`method`:`notifications/x`}",
     BRIDGE_PASS, 0, "{`jsonrpc`:`2.0`,`method`:`notifications/x`}", NULL},
    {"an unknown notification across", R06, R26, "{`jsonrpc`:`2.0`,`method`:`notifications/x`}",
     BRIDGE_NOTHING, 0, NULL, NULL},
    /* answers to what the server asked */
    {"an answer", R06, R11, CALL_HEAD "3,`result`:{}}", BRIDGE_NOTHING, BRIDGE_ACT_ANSWER, NULL, "3"},
    {"an answer that is an error", R06, R26, ERROR("3", "-1", "no"), BRIDGE_NOTHING, BRIDGE_ACT_ANSWER, NULL,
     "3"},
};

Test(bridge, turns_what_a_client_sends_into_what_its_server_understands)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct row *r = &rows[i];
        struct bridge b = {.client = r->client, .upstream = r->upstream, .client_info = CLIENT_INFO};
        struct text message = quoted(r->message);
        struct jsonrpc_envelope env = scanned(message);
        struct bridge_out out = fresh_out();
        enum bridge_verdict verdict = bridge_request(&b, message, &env, 7, false, &out);

        cr_assert_eq(verdict, r->verdict, "%s: verdict %d", r->name, verdict);
        cr_assert_eq(out.act, r->act, "%s: act %d", r->name, out.act);
        cr_assert_eq(verdict == BRIDGE_PASS || verdict == BRIDGE_REPLY, r->want != NULL, "%s", r->name);
        if (r->want)
            expect_text(sent(&out), r->want, r->name);
        if (r->subject)
            expect_text(out.subject, r->subject, r->name);
    }
}

static struct text
passed(const struct bridge *b, const char *message, uint64_t number, bool is_resent)
{
    struct text text = quoted(message);
    struct jsonrpc_envelope env = scanned(text);
    struct bridge_out out = fresh_out();

    cr_assert_eq(bridge_request(b, text, &env, number, is_resent, &out), BRIDGE_PASS);
    return sent(&out);
}

Test(bridge, offers_modern_servers_what_the_client_declared_and_its_revision_has)
{
    struct bridge b = {.client = R11,
                       .upstream = R26,
                       .client_info = CLIENT_INFO,
                       .client_caps = MCP_CLIENT_ELICIT_FORM | MCP_CLIENT_ELICIT_URL | MCP_CLIENT_SAMPLING |
                                      MCP_CLIENT_SAMPLING_TOOLS | MCP_CLIENT_ROOTS | MCP_CLIENT_ROOTS_CHANGED,
                       .log_level = BRIDGE_WARNING};
    static const char call[] = CALL_HEAD "1,`method`:`tools/list`}";

    expect_text(passed(&b, call, 7, false),
                CALL_HEAD "7,`method`:`tools/list`,`params`:{`_meta`:{" BRIDGED_META(
                    "`roots`:{},`sampling`:{`tools`:{}},`elicitation`:{`form`:{},`url`:{}}",
                    ",`io.modelcontextprotocol/logLevel`:`warning`") "}}}",
                "2025-11-25");
    b.client = R06;
    expect_text(passed(&b, call, 7, false),
                CALL_HEAD "7,`method`:`tools/list`,`params`:{`_meta`:{" BRIDGED_META(
                    "`roots`:{},`sampling`:{},`elicitation`:{}",
                    ",`io.modelcontextprotocol/logLevel`:`warning`") "}}}",
                "2025-06-18 has no pages to visit");
    b.client = R03;
    expect_text(passed(&b, call, 7, false),
                CALL_HEAD "7,`method`:`tools/list`,`params`:{`_meta`:{" BRIDGED_META(
                    "`roots`:{},`sampling`:{}", ",`io.modelcontextprotocol/logLevel`:`warning`") "}}}",
                "2025-03-26 has no elicitation");
    b.log_level = BRIDGE_LEVEL_NONE;
    b.client_info = (struct text){NULL, 0};
    cr_assert(memmem(passed(&b, call, 7, false).at, 400, "\"name\":\"mcpgate\"", 16),
              "the gateway's own name");
}

Test(bridge, keeps_ids_and_tokens_of_a_request_that_has_its_upstream_to_itself)
{
    struct bridge b = {.client = R26, .upstream = R26};

    expect_text(
        passed(&b, CALL_HEAD "`a\\u0041`,`method`:`tools/list`,`params`:{`_meta`:{`progressToken`:1}}}", 0,
               false),
        CALL_HEAD "`a\\u0041`,`method`:`tools/list`,`params`:{`_meta`:{`progressToken`:1}}}", "number 0");
}

Test(bridge, sends_a_call_once_more_without_what_its_server_never_asked_for)
{
    struct bridge b = {.client = R26, .upstream = R11};

    expect_text(passed(&b, MODERN_CALL("1", ",`requestState`:`s`,`inputResponses`:{`1`:{}}"), 9, true),
                CALL_HEAD "9,`method`:`tools/call`,`params`:{`name`:`t`,`arguments`:{`a`:1},`_meta`:{}}}",
                "resent");
}

Test(bridge, refuses_unknown_methods_of_modern_clients_with_404_and_of_others_within_200)
{
    struct text text = quoted(CALL_HEAD "1,`method`:`ping`}"),
                discover = quoted(CALL_HEAD "1,`method`:`server/discover`}");
    struct jsonrpc_envelope env = scanned(text);
    struct bridge b = {.client = R26, .upstream = R26};
    struct bridge_out out = fresh_out();

    cr_assert_eq(bridge_request(&b, text, &env, 7, false, &out), BRIDGE_REPLY);
    cr_assert_eq(out.status, 404);
    cr_assert_eq(out.code, -32601);
    b.client = R11;
    env = scanned(discover);
    cr_assert_eq(bridge_request(&b, discover, &env, 7, false, &out), BRIDGE_REPLY);
    cr_assert_eq(out.status, 200);
}

Test(bridge, says_full_when_the_room_or_the_edits_do_not_do)
{
    struct text text = quoted(CALL_HEAD "1,`method`:`tools/list`,`params`:{`_meta`:{`progressToken`:1}}}");
    struct jsonrpc_envelope env = scanned(text);
    struct bridge b = {.client = R11, .upstream = R26};

    for (uint32_t size = 0; size < 300; size++) {
        char room[300];
        struct jsonrpc_edit edits[8];
        struct bridge_out out = {.room = {.at = room, .size = size}, .edits = {.at = edits, .room = 8}};
        enum bridge_verdict verdict = bridge_request(&b, text, &env, 7, false, &out);

        cr_assert(verdict == BRIDGE_FULL || verdict == BRIDGE_PASS);
        cr_assert(size > 100 || verdict == BRIDGE_FULL);
        cr_assert(size < 299 || verdict == BRIDGE_PASS);
        out.room = (struct json_writer){.at = room, .size = sizeof room};
        out.edits.room = size % 5;
        verdict = bridge_request(&b, text, &env, 7, false, &out);
        cr_assert_eq(verdict, out.edits.room < 4 ? BRIDGE_FULL : BRIDGE_PASS, "%u edits", out.edits.room);
    }
}

Test(bridge, adds_the_edits_of_others_in_their_places)
{
    struct text text =
        quoted(CALL_HEAD "1,`method`:`tools/call`,`params`:{`name`:`up__t`,`_meta`:{`progressToken`:1}}}");
    struct jsonrpc_envelope env = scanned(text);
    struct jsonrpc_edit name = {env.name, TEXT("\"t\"")};
    struct bridge b = {.client = R11, .upstream = R06};
    struct bridge_out out = fresh_out();

    cr_assert_eq(bridge_request(&b, text, &env, 7, false, &out), BRIDGE_PASS);
    bridge_add_edits(&out, &name, 1);
    expect_text(sent(&out),
                CALL_HEAD "7,`method`:`tools/call`,`params`:{`name`:`t`,`_meta`:{`progressToken`:7}}}",
                "name");
}

Test(bridge, cancels_with_a_number_of_its_own_and_the_clients_reason)
{
    char room[256];
    struct json_writer w = {.at = room, .size = sizeof room};

    bridge_put_cancelled(&w, 12, quoted("`enough`"));
    expect_text(
        json_written(&w),
        "{`jsonrpc`:`2.0`,`method`:`notifications/cancelled`,`params`:{`requestId`:12,`reason`:`enough`}}",
        "");
    w.len = 0;
    bridge_put_cancelled(&w, 12, (struct text){NULL, 0});
    expect_text(json_written(&w),
                "{`jsonrpc`:`2.0`,`method`:`notifications/cancelled`,`params`:{`requestId`:12}}", "");
}

Test(bridge, reads_as_its_numbers_only_those_that_it_may_have_written)
{
    static const struct {
        const char *raw;
        uint64_t want;
    } numbers[] = {{"1", 1},   {"9007199254740991", 9007199254740991u},
                   {"0", 0},   {"01", 0},
                   {"1.0", 0}, {"1e1", 0},
                   {"-1", 0},  {"\"1\"", 0},
                   {"", 0},    {"99999999999999999", 0},
                   {"1 ", 0}};

    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        cr_assert_eq(bridge_number(text_of(numbers[i].raw)), numbers[i].want, "%s", numbers[i].raw);
}
