/* SPDX-License-Identifier: Apache-2.0 */
/* Getting acquainted, and subscriptions. */
#include "mcp/bridge_server.h"

#include "mcp/bridge_listen.h"
#include "mcp/merge_caps.h"
#include "mcp_bridge.h"

static char room[4096];

static struct json_writer
fresh(void)
{
    return (struct json_writer){.at = room, .size = sizeof room};
}

/* --- the era --- */

#define ERROR(code, more) "{`jsonrpc`:`2.0`,`id`:1,`error`:{`code`:" code ",`message`:`m`" more "}}"
#define RESULT(inside)    "{`jsonrpc`:`2.0`,`id`:1,`result`:{" inside "}}"

static const struct {
    unsigned status;
    const char *body;
    enum bridge_era era;
    enum mcp_revision revision;
} probes[] = {
    {200, RESULT("`supportedVersions`:[`2026-07-28`]"), BRIDGE_ERA_MODERN, R26},
    {BRIDGE_PROBE_STDIO, RESULT("`supportedVersions`:[`2027-01-01`,`2026-07-28`,`2025-11-25`]"),
     BRIDGE_ERA_MODERN, R26},
    {200, RESULT("`supportedVersions`:[`2027-01-01`]"), BRIDGE_ERA_MODERN, MCP_NO_REVISION},
    {200, RESULT("`supportedVersions`:[`2025-03-26`,`2025-06-18`]"), BRIDGE_ERA_LEGACY, R06},
    {200, RESULT("`x`:1"), BRIDGE_ERA_LEGACY, R11},
    {400, ERROR("-32022", ",`data`:{`supported`:[`2026-07-28`],`requested`:`x`}"), BRIDGE_ERA_MODERN, R26},
    {400, ERROR("-32022", ",`data`:{`supported`:[`2025-06-18`]}"), BRIDGE_ERA_LEGACY, R06},
    {400, ERROR("-32022", ""), BRIDGE_ERA_MODERN, MCP_NO_REVISION},
    {400, ERROR("-32020", ""), BRIDGE_ERA_MODERN, R26},
    {400, ERROR("-32021", ""), BRIDGE_ERA_MODERN, R26},
    {BRIDGE_PROBE_STDIO, ERROR("-32021", ""), BRIDGE_ERA_MODERN, R26},
    {500, ERROR("-32021", ""), BRIDGE_ERA_MODERN, R26},
    {404, ERROR("-32601", ""), BRIDGE_ERA_LEGACY, R11},
    {200, ERROR("-32601", ""), BRIDGE_ERA_LEGACY, R11},
    {500, ERROR("-32601", ""), BRIDGE_ERA_LEGACY, R11},
    {400, ERROR("-32000", ""), BRIDGE_ERA_LEGACY, R11},
    {404, ERROR("-32001", ""), BRIDGE_ERA_LEGACY, R11},
    {BRIDGE_PROBE_STDIO, ERROR("-32602", ""), BRIDGE_ERA_LEGACY, R11},
    {BRIDGE_PROBE_STDIO, ERROR("-32600", ""), BRIDGE_ERA_LEGACY, R11},
    {BRIDGE_PROBE_TIMEOUT, "", BRIDGE_ERA_LEGACY, R11},
    {BRIDGE_PROBE_EXIT, "", BRIDGE_ERA_LEGACY, R11},
    {400, "", BRIDGE_ERA_LEGACY, R11},
    {404, "not found", BRIDGE_ERA_LEGACY, R11},
    {405, "", BRIDGE_ERA_LEGACY, R11},
    {406, "<html>", BRIDGE_ERA_LEGACY, R11},
    {401, "", BRIDGE_ERA_UNKNOWN, MCP_NO_REVISION},
    {401, ERROR("-32601", ""), BRIDGE_ERA_UNKNOWN, MCP_NO_REVISION},
    {403, ERROR("-32021", ""), BRIDGE_ERA_UNKNOWN, MCP_NO_REVISION},
    {429, "", BRIDGE_ERA_UNKNOWN, MCP_NO_REVISION},
    {302, "", BRIDGE_ERA_UNKNOWN, MCP_NO_REVISION},
    {500, ERROR("-32603", ""), BRIDGE_ERA_UNKNOWN, MCP_NO_REVISION},
    {502, "<html>", BRIDGE_ERA_UNKNOWN, MCP_NO_REVISION},
    {503, "", BRIDGE_ERA_UNKNOWN, MCP_NO_REVISION},
    {BRIDGE_PROBE_HTTP_TIMEOUT, "", BRIDGE_ERA_UNKNOWN, MCP_NO_REVISION},
};

Test(bridge_era, is_what_the_body_says_and_else_what_the_status_allows)
{
    for (size_t i = 0; i < sizeof probes / sizeof *probes; i++) {
        struct bridge_probe got;

        bridge_era_of(probes[i].status, quoted(probes[i].body), &got);
        cr_assert_eq(got.era, probes[i].era, "%u %s: era %d", probes[i].status, probes[i].body, got.era);
        cr_assert_eq(got.revision, probes[i].revision, "%u %s: %d", probes[i].status, probes[i].body,
                     got.revision);
        cr_assert_eq(got.result.at != NULL, got.era == BRIDGE_ERA_MODERN && strstr(probes[i].body, "result"));
    }
}

Test(bridge_era, goes_on_to_the_oldest_transport_only_where_the_newer_is_not)
{
    cr_assert(bridge_may_be_sse(400) && bridge_may_be_sse(404) && bridge_may_be_sse(405));
    cr_assert(!bridge_may_be_sse(200) && !bridge_may_be_sse(401) && !bridge_may_be_sse(500));
}

/* --- what a server says, and a client is told --- */

#define CAPS                                                                                                 \
    "`capabilities`:{`tools`:{`listChanged`:true},`resources`:{`subscribe`:true},`completions`:{},`logging`" \
    ":{},`tasks`:{`list`"                                                                                    \
    ":{}},`experimental`:{`x`:{}},`extensions`:{`a/b`:{`c`:1},`io.modelcontextprotocol/tasks`:{}}}"
#define INITIALIZED(version)                                                                                 \
    "{`protocolVersion`:" version "," CAPS ",`serverInfo`:{`name`:`s`,`version`:`2`},`instructions`:`Do\\n`" \
                                           "}"
#define DISCOVERED(versions)                                                                                 \
    "{`supportedVersions`:" versions "," CAPS                                                                \
    ",`_meta`:{`io.modelcontextprotocol/serverInfo`:{`name`:`s`,`version`:`2`}}}"

Test(bridge_server, is_read_from_the_results_of_both_eras)
{
    struct bridge_server s;

    cr_assert(bridge_read_initialize(quoted(INITIALIZED("`2025-03-26`")), &s));
    cr_assert_eq(s.revision, R03);
    cr_assert_eq(s.caps & 0x1ff, MERGE_CAP_TOOLS | MERGE_CAP_TOOLS_CHANGED | MERGE_CAP_RESOURCES |
                                     MERGE_CAP_SUBSCRIBE | MERGE_CAP_COMPLETIONS | MERGE_CAP_LOGGING);
    expect_text(s.info, "{`name`:`s`,`version`:`2`}", "info");
    expect_text(s.instructions, "`Do\\n`", "instructions");
    expect_text(s.tasks, "{`list`:{}}", "tasks");
    cr_assert(bridge_read_discover(quoted(DISCOVERED("[`2099-01-01`,`2026-07-28`]")), &s));
    cr_assert_eq(s.revision, R26);
    expect_text(s.info, "{`name`:`s`,`version`:`2`}", "info");
    cr_assert_null(s.instructions.at);
}

Test(bridge_server, is_refused_without_a_revision_in_common)
{
    static const char *const bad[] = {INITIALIZED("`2026-07-28`"), INITIALIZED("`2024-10-07`"),
                                      INITIALIZED("7"), "{}", "[]"};
    struct bridge_server s;

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        cr_assert(!bridge_read_initialize(quoted(bad[i]), &s), "%s", bad[i]);
        cr_assert_eq(s.revision, MCP_NO_REVISION);
    }
    cr_assert(!bridge_read_discover(quoted(DISCOVERED("[`2025-11-25`]")), &s));
    cr_assert(!bridge_read_discover(quoted(DISCOVERED("`2026-07-28`")), &s));
}

static struct text
told(enum mcp_revision client, enum mcp_revision upstream, bool discover)
{
    struct bridge b = {.client = client, .upstream = upstream};
    struct json_writer w = fresh();
    struct bridge_server s;

    cr_assert(bridge_read_initialize(quoted(INITIALIZED("`2025-11-25`")), &s));
    s.revision = upstream;
    if (discover)
        bridge_put_discover(&w, &b, TEXT("1"), &s, TEXT("{}"), 60, true);
    else
        bridge_put_initialize(&w, &b, TEXT("1"), &s, TEXT("{}"));
    cr_assert_eq(json_check(json_written(&w), JSON_SCAN_STRICT), JSON_FINE);
    return json_written(&w);
}

#define TOLD(version, caps)                                                                                  \
    RESULT("`protocolVersion`:`" version                                                                     \
           "`,`capabilities`:{`tools`:{`listChanged`:true},`resources`:{`subscribe`:true}," caps             \
           ",`extensions`:{`a/b`:{`c`:1}}},`serverInfo`:{`name`:`s`,`version`:`2`},`instructions`:`Do\\n`")

Test(bridge_server, is_told_to_legacy_clients_as_far_as_it_is_relayed)
{
    expect_text(told(R24, R11, false), TOLD("2024-11-05", "`logging`:{}"), "2024-11-05 has no completions");
    expect_text(told(R06, R26, false), TOLD("2025-06-18", "`completions`:{},`logging`:{}"), "");
    expect_text(told(R11, R11, false),
                TOLD("2025-11-25", "`completions`:{},`logging`:{},`tasks`:{`list`:{}}"), "tasks");
}

Test(bridge_server, is_told_to_modern_clients_with_versions_and_how_long_it_holds)
{
    expect_text(
        told(R26, R11, true),
        RESULT("`resultType`:`complete`,`supportedVersions`:[`2026-07-28`],`capabilities`:{`tools`:{`"
               "listChanged`:true},"
               "`resources`:{`subscribe`:true},`completions`:{},`logging`:{},`extensions`:{`a/b`:{`c`:1}}},"
               "`instructions`:`Do\\n`,`ttlMs`:60,`cacheScope`:`private`,`_meta`:{`io.modelcontextprotocol/"
               "serverInfo`:{"
               "`name`:`s`,`version`:`2`}}"),
        "");
    cr_assert(memmem(told(R26, R26, true).at, sizeof room, "\"io.modelcontextprotocol/tasks\":{}", 34),
              "tasks pass between two modern ones");
}

Test(bridge_server, negotiates_legacy_revisions_only)
{
    cr_assert_eq(bridge_negotiate(quoted("`2024-11-05`")), R24);
    cr_assert_eq(bridge_negotiate(quoted("`2025-11-25`")), R11);
    cr_assert_eq(bridge_negotiate(quoted("`2026-07-28`")), R11);
    cr_assert_eq(bridge_negotiate(quoted("`1.0`")), R11);
    cr_assert_eq(bridge_negotiate(quoted("7")), R11);
}

Test(bridge_server, is_offered_what_its_revision_can_ask_for)
{
    struct bridge b = {.client = R26,
                       .upstream = R06,
                       .client_info = CLIENT_INFO,
                       .client_caps = MCP_CLIENT_ELICIT_FORM | MCP_CLIENT_ELICIT_URL | MCP_CLIENT_ROOTS |
                                      MCP_CLIENT_ROOTS_CHANGED};
    struct json_writer w = fresh();

    bridge_put_initialize_request(&w, &b, 7);
    expect_text(json_written(&w),
                "{`jsonrpc`:`2.0`,`id`:7,`method`:`initialize`,`params`:{`protocolVersion`:`2025-06-18`,`"
                "capabilities`:{`roots`:{},"
                "`elicitation`:{}},`clientInfo`:{`name`:`c`,`version`:`1`}}}",
                "modern client, 2025-06-18");
    w = fresh();
    b = (struct bridge){
        .client = R11, .upstream = R11, .client_info = CLIENT_INFO, .client_caps = b.client_caps};
    b.client_extensions = quoted("{`io.modelcontextprotocol/tasks`:{},`a/b`:{}}");
    bridge_put_initialize_request(&w, &b, 7);
    expect_text(json_written(&w),
                "{`jsonrpc`:`2.0`,`id`:7,`method`:`initialize`,`params`:{`protocolVersion`:`2025-11-25`,`"
                "capabilities`:{`roots`:{"
                "`listChanged`:true},`elicitation`:{`form`:{},`url`:{}},`extensions`:{`a/"
                "b`:{}}},`clientInfo`:{`name`:`c`,"
                "`version`:`1`}}}",
                "legacy");
    w = fresh();
    b = (struct bridge){.client = R24, .upstream = R26, .client_info = CLIENT_INFO};
    bridge_put_discover_request(&w, &b, 7);
    expect_text(
        json_written(&w),
        "{`jsonrpc`:`2.0`,`id`:7,`method`:`server/discover`,`params`:{`_meta`:{" BRIDGED_META("", "") "}}}",
        "discover");
}

Test(bridge_server, is_asked_by_the_gateway_itself)
{
    struct json_writer w = fresh();

    bridge_put_set_level(&w, 7, BRIDGE_DEBUG);
    expect_text(json_written(&w),
                "{`jsonrpc`:`2.0`,`id`:7,`method`:`logging/setLevel`,`params`:{`level`:`debug`}}", "");
    w = fresh();
    bridge_put_subscribe(&w, 7, quoted("`u`"), false);
    expect_text(json_written(&w),
                "{`jsonrpc`:`2.0`,`id`:7,`method`:`resources/unsubscribe`,`params`:{`uri`:`u`}}", "");
}

/* --- subscriptions --- */

Test(bridge_listen, reads_a_filter_and_honours_what_the_server_has)
{
    struct bridge_filter f;
    struct json_writer w = fresh();

    cr_assert(bridge_filter_read(quoted("{`toolsListChanged`:true,`promptsListChanged`:false,`"
                                        "resourcesListChanged`:true,`resourceSubscriptions`:[`u`]}"),
                                 &f));
    cr_assert_eq(f.lists, BRIDGE_LISTEN_TOOLS | BRIDGE_LISTEN_RESOURCES);
    cr_assert(bridge_filter_wants(&f, BRIDGE_ACT_TOOLS_CHANGED, (struct text){NULL, 0}));
    cr_assert(!bridge_filter_wants(&f, BRIDGE_ACT_PROMPTS_CHANGED, (struct text){NULL, 0}));
    cr_assert(bridge_filter_wants(&f, BRIDGE_ACT_UPDATED, quoted("`\\u0075`")), "however it is spelled");
    cr_assert(!bridge_filter_wants(&f, BRIDGE_ACT_UPDATED, quoted("`v`")));
    cr_assert(!bridge_filter_wants(&f, BRIDGE_ACT_LOG, quoted("`u`")));
    bridge_filter_limit(&f, MERGE_CAP_RESOURCES_CHANGED | MERGE_CAP_SUBSCRIBE);
    bridge_put_filter(&w, &f);
    expect_text(json_written(&w), "{`resourcesListChanged`:true,`resourceSubscriptions`:[`u`]}", "limited");
    bridge_filter_limit(&f, MERGE_CAP_TOOLS_CHANGED);
    w = fresh();
    bridge_put_filter(&w, &f);
    expect_text(json_written(&w), "{}", "nothing is left");
}

Test(bridge_listen, refuses_a_filter_of_the_wrong_form)
{
    static const char *const bad[] = {"[]", "{`toolsListChanged`:1}", "{`resourceSubscriptions`:`u`}",
                                      "{`resourceSubscriptions`:[1]}"};
    struct bridge_filter f;

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        cr_assert(!bridge_filter_read(quoted(bad[i]), &f), "%s", bad[i]);
    cr_assert(bridge_filter_read(quoted("{`taskIds`:[`a`]}"), &f), "extensions are ignored");
    cr_assert(!f.lists && !f.uris.at);
}

Test(bridge_listen, is_acknowledged_first_and_ended_with_a_result)
{
    struct bridge_filter f = {BRIDGE_LISTEN_PROMPTS, {NULL, 0}};
    struct json_writer w = fresh();

    bridge_put_acknowledged(&w, quoted("`l`"), &f);
    expect_text(json_written(&w),
                "{`jsonrpc`:`2.0`,`method`:`notifications/subscriptions/acknowledged`,`params`:{`_meta`:{"
                "`io.modelcontextprotocol/subscriptionId`:`l`},`notifications`:{`promptsListChanged`:true}}}",
                "acknowledged");
    w = fresh();
    bridge_put_listen_end(&w, TEXT("3"));
    expect_text(json_written(&w),
                "{`jsonrpc`:`2.0`,`id`:3,`result`:{`resultType`:`complete`,`_meta`:{`io.modelcontextprotocol/"
                "subscriptionId`:3}}}",
                "end");
}

Test(bridge_listen, tells_of_changes_that_may_have_been_missed)
{
    struct json_writer w = fresh();

    bridge_put_changed(&w, BRIDGE_ACT_TOOLS_CHANGED, (struct text){NULL, 0});
    expect_text(json_written(&w), "{`jsonrpc`:`2.0`,`method`:`notifications/tools/list_changed`}", "legacy");
    w = fresh();
    bridge_put_changed(&w, BRIDGE_ACT_RESOURCES_CHANGED, TEXT("3"));
    expect_text(json_written(&w),
                "{`jsonrpc`:`2.0`,`method`:`notifications/resources/list_changed`,`params`:{`_meta`:{"
                "`io.modelcontextprotocol/subscriptionId`:3}}}",
                "modern");
}

Test(bridge_listen, is_opened_at_a_modern_server_for_legacy_clients)
{
    struct bridge b = {.client = R06, .upstream = R26, .client_info = CLIENT_INFO};
    struct bridge_filter f = {bridge_listen_lists(MERGE_CAP_TOOLS_CHANGED), quoted("[`u`]")};
    struct json_writer w = fresh();

    bridge_put_listen(&w, &b, 7, &f);
    expect_text(json_written(&w),
                "{`jsonrpc`:`2.0`,`id`:7,`method`:`subscriptions/listen`,`params`:{`_meta`:{" BRIDGED_META(
                    "", "") "},`notifications`:{`toolsListChanged`:true,`resourceSubscriptions`:[`u`]}}}",
                "");
}
