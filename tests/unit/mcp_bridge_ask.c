/* SPDX-License-Identifier: Apache-2.0 */
/* Bridging what servers ask of clients, in all four pairs of eras. */
#include "mcp/bridge_ask.h"

#include "mcp_bridge.h"

#include <stdio.h>

#define FORM                  MCP_CLIENT_ELICIT_FORM
#define URL                   MCP_CLIENT_ELICIT_URL
#define ASK(method, params)   "{`jsonrpc`:`2.0`,`id`:`s`,`method`:`" method "`,`params`:" params "}"
#define ASKED(method, params) "{`jsonrpc`:`2.0`,`id`:7,`method`:`" method "`,`params`:" params "}"
#define REFUSED(code, why)    "{`jsonrpc`:`2.0`,`id`:`s`,`error`:{`code`:" code ",`message`:`" why "`}}"

struct row {
    const char *name;
    enum mcp_revision client, upstream;
    uint32_t caps;
    bool in_call;
    const char *message;
    enum bridge_ask want;
    const char *text; /* NULL: nothing is sent */
};

static const struct row rows[] = {
    {"ping is answered here", R26, R06, 0, false, ASK("ping", "{}"), BRIDGE_ASK_REPLY,
     "{`jsonrpc`:`2.0`,`id`:`s`,`result`:{}}"},
    {"a form for a legacy client", R06, R11, FORM, true,
     ASK("elicitation/create", "{`message`:`m`,`_meta`:{`progressToken`:1}}"), BRIDGE_ASK_FORWARD,
     ASKED("elicitation/create", "{`message`:`m`,`_meta`:{}}")},
    {"outside of a call too", R06, R06, FORM, false, ASK("elicitation/create", "{}"), BRIDGE_ASK_FORWARD,
     ASKED("elicitation/create", "{}")},
    {"(e) its task is forgotten", R06, R11, FORM, true,
     ASK("elicitation/create", "{`task`:{},`message`:`m`}"), BRIDGE_ASK_FORWARD,
     ASKED("elicitation/create", "{`message`:`m`}")},
    {"a page for a client of 2025-11-25", R11, R11, URL, true,
     ASK("elicitation/create", "{`mode`:`url`,`elicitationId`:`e`}"), BRIDGE_ASK_FORWARD,
     ASKED("elicitation/create", "{`mode`:`url`,`elicitationId`:`e`}")},
    {"(d) a page for an older client", R06, R11, FORM | URL, true,
     ASK("elicitation/create", "{`mode`:`url`}"), BRIDGE_ASK_REPLY,
     REFUSED("-32602", "The client does not visit pages (elicitation, mode url)")},
    {"(c) a form for a client of pages", R11, R11, URL, true, ASK("elicitation/create", "{`mode`:`form`}"),
     BRIDGE_ASK_REPLY, REFUSED("-32602", "The client does not fill in forms (elicitation)")},
    {"a mode that nobody knows", R11, R11, FORM, true, ASK("elicitation/create", "{`mode`:`x`}"),
     BRIDGE_ASK_REPLY, REFUSED("-32602", "Invalid params: mode is neither form nor url")},
    {"(c) a form for a client without", R11, R06, 0, true, ASK("elicitation/create", "{}"), BRIDGE_ASK_REPLY,
     REFUSED("-32601", "The client does not fill in forms (elicitation)")},
    {"(c) a form for a revision without", R03, R06, FORM, true, ASK("elicitation/create", "{}"),
     BRIDGE_ASK_REPLY, REFUSED("-32601", "The client does not fill in forms (elicitation)")},
    {"sampling", R24, R06, MCP_CLIENT_SAMPLING, true, ASK("sampling/createMessage", "{`messages`:[]}"),
     BRIDGE_ASK_FORWARD, ASKED("sampling/createMessage", "{`messages`:[]}")},
    {"(c) sampling for a client without", R24, R06, 0, true, ASK("sampling/createMessage", "{}"),
     BRIDGE_ASK_REPLY, REFUSED("-32601", "The client does not sample (sampling)")},
    {"(c) sampling with tools for one without", R11, R11, MCP_CLIENT_SAMPLING, true,
     ASK("sampling/createMessage", "{`tools`:[]}"), BRIDGE_ASK_REPLY,
     REFUSED("-32602", "The client does not sample with tools (sampling.tools)")},
    {"roots", R24, R11, MCP_CLIENT_ROOTS, false, "{`jsonrpc`:`2.0`,`method`:`roots/list`,`id`:0}",
     BRIDGE_ASK_FORWARD, "{`jsonrpc`:`2.0`,`method`:`roots/list`,`id`:7}"},
    {"(c) roots for a client without", R24, R11, 0, false, ASK("roots/list", "{}"), BRIDGE_ASK_REPLY,
     REFUSED("-32601", "The client has no roots (roots)")},
    {"anything else", R24, R11, ~0u, false, ASK("tools/list", "{}"), BRIDGE_ASK_REPLY,
     REFUSED("-32601", "Method not found: the client answers no such request")},
    {"a form for a modern client", R26, R06, FORM, true, ASK("elicitation/create", "{`message`:`m`}"),
     BRIDGE_ASK_COLLECT, NULL},
    {"a page for a modern client", R26, R11, URL, true, ASK("elicitation/create", "{`mode`:`url`}"),
     BRIDGE_ASK_COLLECT, NULL},
    {"(a) a modern client outside of its calls", R26, R06, FORM, false, ASK("elicitation/create", "{}"),
     BRIDGE_ASK_REPLY,
     REFUSED("-32601", "The client can only be asked while it waits for a call of its own")},
    {"(c) a modern client without", R26, R06, 0, true, ASK("elicitation/create", "{}"), BRIDGE_ASK_REPLY,
     REFUSED("-32601", "The client does not fill in forms (elicitation)")},
};

Test(bridge_ask, puts_a_legacy_servers_question_to_whom_can_answer_it)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct row *r = &rows[i];
        struct bridge b = {.client = r->client, .upstream = r->upstream, .client_caps = r->caps};
        struct text message = quoted(r->message);
        struct jsonrpc_envelope env = scanned(message);
        struct bridge_out out = fresh_out();
        enum bridge_ask ask = bridge_ask(&b, message, &env, r->in_call, 7, &out);

        cr_assert_eq(ask, r->want, "%s: %d", r->name, ask);
        if (r->text)
            expect_text(sent(&out), r->text, r->name);
    }
}

Test(bridge_ask, returns_the_answer_under_the_servers_own_id)
{
    struct text message = quoted("{`id`:7,`jsonrpc`:`2.0`,`result`:{`action`:`accept`}}");
    struct jsonrpc_envelope env = scanned(message);
    struct bridge_out out = fresh_out();

    cr_assert_eq(bridge_answer(message, &env, quoted("`s`"), &out), BRIDGE_PASS);
    expect_text(sent(&out), "{`id`:`s`,`jsonrpc`:`2.0`,`result`:{`action`:`accept`}}", "");
}

/* --- legacy server, modern client --- */

static char room[4096];

static struct json_writer
fresh(void)
{
    return (struct json_writer){.at = room, .size = sizeof room};
}

Test(bridge_ask, gathers_questions_of_a_parked_call_in_one_input_required)
{
    struct json_writer w = fresh();
    struct text asks[2];

    asks[0] = quoted(
        ASK("elicitation/create", "{`mode`:`url`,`elicitationId`:`e`,`url`:`https://a.b`,`_meta`:{}}"));
    asks[1] = quoted("{`jsonrpc`:`2.0`,`method`:`roots/list`,`id`:0}");
    bridge_put_input_required(&w, quoted("`c`"), asks, 2, TEXT("st"));
    expect_text(
        json_written(&w),
        "{`jsonrpc`:`2.0`,`id`:`c`,`result`:{`resultType`:`input_required`,`inputRequests`:{`1`:{`method`:"
        "`elicitation/create`,`params`:{`mode`:`url`,`url`:`https://a.b`}},`2`:{`method`:`roots/list`}},"
        "`requestState`:`st`}}",
        "two");
}

Test(bridge_ask, takes_each_answer_out_of_the_retry)
{
    struct text responses = quoted("{`2`:{`roots`:[]},`1`:{`action`:`accept`},`3`:7}");
    struct json_writer w = fresh();

    cr_assert(bridge_put_input_answer(&w, responses, 2, quoted("`s`")));
    expect_text(json_written(&w), "{`jsonrpc`:`2.0`,`id`:`s`,`result`:{`roots`:[]}}", "second");
    w = fresh();
    cr_assert(bridge_put_input_answer(&w, responses, 1, TEXT("0")));
    expect_text(json_written(&w), "{`jsonrpc`:`2.0`,`id`:0,`result`:{`action`:`accept`}}", "first");
    w = fresh();
    cr_assert(!bridge_put_input_answer(&w, responses, 3, TEXT("0")), "no object");
    cr_assert(!bridge_put_input_answer(&w, responses, 4, TEXT("0")), "not there");
    cr_assert(!bridge_put_input_answer(&w, (struct text){NULL, 0}, 1, TEXT("0")), "no answers at all");
    cr_assert_eq(w.len, 0);
}

Test(bridge_ask, makes_pages_to_visit_of_an_error_that_names_them)
{
    struct json_writer w = fresh();

    cr_assert(bridge_put_visits(
        &w, TEXT("1"),
        quoted("[{`elicitationId`:`e`,`url`:`https://a.b`,`message`:`m`},{`url`:7},{`url`:`https://c.d`}]"),
        TEXT("st")));
    expect_text(
        json_written(&w),
        "{`jsonrpc`:`2.0`,`id`:1,`result`:{`resultType`:`input_required`,`inputRequests`:{`1`:{`method`:"
        "`elicitation/create`,`params`:{`mode`:`url`,`url`:`https://a.b`,`message`:`m`}},`2`:{`method`:"
        "`elicitation/create`,`params`:{`mode`:`url`,`url`:`https://c.d`,`message`:`The server asks to visit "
        "this "
        "page`}}},`requestState`:`st`}}",
        "two of three");
    w = fresh();
    cr_assert(!bridge_put_visits(&w, TEXT("1"), quoted("[{`url`:7}]"), TEXT("st")));
    cr_assert_eq(w.len, 0);
}

/* --- modern server, legacy client --- */

Test(bridge_ask, reads_what_a_modern_server_wants_to_know)
{
    static const struct {
        const char *result;
        int want;
    } results[] = {
        {"{`inputRequests`:{`a`:{`method`:`roots/list`},`b`:{`method`:`elicitation/"
         "create`,`params`:{}}},`requestState`:`s`}",
         2},
        {"{`requestState`:`s`}", 0},
        {"{`inputRequests`:{}}", 0},
        {"{}", -1},
        {"{`inputRequests`:[]}", -1},
        {"{`inputRequests`:{},`requestState`:1}", -1},
        {"{`inputRequests`:{`a`:{}}}", -1},
        {"{`inputRequests`:{`a`:1}}", -1},
        {"{`inputRequests`:{`a`:{`method`:`roots\\/list`}}}", -1},
        {"{`inputRequests`:{`a`:{`method`:`roots/list`,`params`:[]}}}", -1},
    };
    struct bridge_question q[BRIDGE_ASKS_MAX];
    struct text state;
    char many[2048] = "{`inputRequests`:{";

    for (size_t i = 0; i < sizeof results / sizeof *results; i++)
        cr_assert_eq(bridge_questions(quoted(results[i].result), q, &state), results[i].want, "%s",
                     results[i].result);
    cr_assert_eq(bridge_questions(quoted(results[0].result), q, &state), 2);
    expect_text(q[0].key, "`a`", "key");
    expect_text(q[1].method, "elicitation/create", "method");
    expect_text(state, "`s`", "state");
    for (int i = 0; i <= BRIDGE_ASKS_MAX; i++)
        sprintf(many + strlen(many), "%s`%d`:{`method`:`roots/list`}", i ? "," : "", i);
    cr_assert_eq(bridge_questions(quoted(strcat(many, "}}")), q, &state), -1, "too many");
}

static bool
put_question(enum mcp_revision client, uint32_t caps, const char *method, const char *params,
             struct json_writer *w, const char **why)
{
    struct bridge b = {.client = client, .upstream = R26, .client_caps = caps};
    struct bridge_question q = {TEXT("\"k\""), text_of(method),
                                params ? quoted(params) : (struct text){NULL, 0}};

    *w = fresh();
    return bridge_put_question(&b, &q, 7, w, why);
}

Test(bridge_ask, puts_a_modern_servers_question_as_a_request_of_its_own)
{
    const char *why = NULL;
    struct json_writer w;

    cr_assert(put_question(R06, FORM, "elicitation/create", "{`message`:`m`}", &w, &why));
    expect_text(json_written(&w), ASKED("elicitation/create", "{`message`:`m`}"), "form");
    cr_assert(put_question(R11, URL, "elicitation/create", "{`mode`:`url`}", &w, &why));
    expect_text(json_written(&w), ASKED("elicitation/create", "{`elicitationId`:`mcpgate-7`,`mode`:`url`}"),
                "a page gets an id");
    cr_assert(put_question(R24, MCP_CLIENT_ROOTS, "roots/list", NULL, &w, &why));
    expect_text(json_written(&w), "{`jsonrpc`:`2.0`,`id`:7,`method`:`roots/list`}", "roots");
    cr_assert(!put_question(R06, FORM | URL, "elicitation/create", "{`mode`:`url`}", &w, &why));
    cr_assert_str_eq(why, "The client does not visit pages (elicitation, mode url)");
    cr_assert(!put_question(R03, FORM, "elicitation/create", "{}", &w, &why));
    cr_assert_str_eq(why, "The client does not fill in forms (elicitation)");
    cr_assert(!put_question(R11, ~0u, "tools/list", "{}", &w, &why));
    cr_assert_str_eq(why, "The server asks for something that no client answers");
    cr_assert_eq(w.len, 0);
}

Test(bridge_ask, sends_the_call_again_with_the_answers_and_the_state_as_it_was)
{
    struct bridge b = {.client = R06, .upstream = R26, .client_info = CLIENT_INFO};
    struct text message = quoted(
        "{`jsonrpc`:`2.0`,`id`:`c`,`method`:`tools/call`,`params`:{`name`:`t`,`_meta`:{`progressToken`:1}}}");
    struct jsonrpc_envelope env = scanned(message);
    struct bridge_out out = fresh_out();
    struct json_writer w = fresh();

    bridge_put_response(&w, quoted("`a`"), quoted("{`roots`:[]}"), true);
    bridge_put_response(&w, quoted("`b`"), quoted("{`action`:`accept`}"), false);
    json_put(&w, TEXT("}"));
    cr_assert_eq(bridge_retry(&b, message, &env, 8, json_written(&w), quoted("`\\u0041`"), &out),
                 BRIDGE_PASS);
    expect_text(
        sent(&out),
        "{`jsonrpc`:`2.0`,`id`:8,`method`:`tools/"
        "call`,`params`:{`name`:`t`,`_meta`:{`progressToken`:8," BRIDGED_META(
            "",
            "") "},`inputResponses`:{`a`:{`roots`:[]},`b`:{`action`:`accept`}},`requestState`:`\\u0041`}}",
        "with answers");
    cr_assert_eq(bridge_retry(&b, message, &env, 8, (struct text){NULL, 0}, quoted("`s`"), &out),
                 BRIDGE_PASS);
    expect_text(sent(&out),
                "{`jsonrpc`:`2.0`,`id`:8,`method`:`tools/"
                "call`,`params`:{`name`:`t`,`_meta`:{`progressToken`:8," BRIDGED_META(
                    "", "") "},`requestState`:`s`}}",
                "with the state alone");
    message = quoted("{`jsonrpc`:`2.0`,`id`:`c`,`method`:`prompts/get`}");
    env = scanned(message);
    cr_assert_eq(bridge_retry(&b, message, &env, 8, TEXT("{}"), (struct text){NULL, 0}, &out), BRIDGE_PASS);
    expect_text(sent(&out),
                "{`jsonrpc`:`2.0`,`id`:8,`method`:`prompts/get`,`params`:{`_meta`:{" BRIDGED_META(
                    "", "") "},`inputResponses`:{}}}",
                "without params");
}

Test(bridge_ask, ends_a_call_that_nobody_can_answer_so_that_the_model_reads_why)
{
    struct bridge b = {.client = R06, .upstream = R26};
    struct bridge_call call = {.method = MCP_TOOLS_CALL, .id = TEXT("1")};
    struct json_writer w = fresh();

    bridge_put_failure(&w, &b, &call, TEXT("no \"x\""));
    expect_text(
        json_written(&w),
        "{`jsonrpc`:`2.0`,`id`:1,`result`:{`content`:[{`type`:`text`,`text`:`no \\`x\\``}],`isError`:true}}",
        "tool");
    b.client = R26;
    w = fresh();
    bridge_put_failure(&w, &b, &call, TEXT("no"));
    expect_text(json_written(&w),
                "{`jsonrpc`:`2.0`,`id`:1,`result`:{`resultType`:`complete`,`content`:[{`type`:`text`,`text`:`"
                "no`}],`isError`:true}}",
                "modern");
    call.method = MCP_PROMPTS_GET;
    w = fresh();
    bridge_put_failure(&w, &b, &call, TEXT("no"));
    expect_text(json_written(&w), "{`jsonrpc`:`2.0`,`id`:1,`error`:{`code`:-32603,`message`:`no`}}",
                "prompt");
}
