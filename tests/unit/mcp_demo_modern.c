/* SPDX-License-Identifier: Apache-2.0 */
/* The demo server for clients of 2026-07-28. */
#include "mcp_demo.h"

#define VERSION      "\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\""
#define CAPABILITIES "\"io.modelcontextprotocol/clientCapabilities\":{}"
#define META         "\"_meta\":{" VERSION "," CAPABILITIES "}"
#define REQUEST(method, params)                                                                              \
    "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"" method "\",\"params\":{" params META "}}"

static struct driver *
modern(const char *method, const char *name, const char *message)
{
    return post(MCP_NO_REVISION, "2026-07-28", method, name, message);
}

/* What every complete result of this revision has. */
static const char *
expect_complete(const struct driver *d, bool cacheable)
{
    const char *m = expect_result(d);
    struct text info;

    cr_assert_at(m, "result.resultType", "\"complete\"");
    info = json_find(at(m, "result._meta"), TEXT("io.modelcontextprotocol/serverInfo"));
    cr_assert(text_eq(json_find(info, TEXT("name")), TEXT("\"mcpgate-demo\"")), "%s", m);
    cr_assert_eq(at(m, "result.ttlMs").len > 0, cacheable, "%s", m);
    if (cacheable)
        cr_assert_at(m, "result.cacheScope", "\"public\"");
    cr_assert_eq(d->out.initialized, MCP_NO_REVISION);
    return m;
}

Test(demo_modern, discover_tells_versions_capabilities_and_how_long_that_holds)
{
    const char *m = expect_complete(modern("server/discover", NULL, REQUEST("server/discover", "")), true);

    cr_assert_at(m, "result.supportedVersions", "[\"2026-07-28\"]");
    cr_assert_at(m, "result.capabilities.tools.listChanged", "true");
    cr_assert_at(m, "result.capabilities.resources.subscribe", "true");
    cr_assert_absent(m, "result.capabilities.logging");
    cr_assert_gt(at(m, "result.instructions").len, 20);
}

Test(demo_modern, lists_and_reads_are_cacheable_and_calls_are_not)
{
    const char *m = expect_complete(modern("tools/list", NULL, REQUEST("tools/list", "")), true);

    cr_assert_at(m, "result.tools.1.outputSchema.required", "[\"sum\"]");
    m = expect_complete(modern("prompts/list", NULL, REQUEST("prompts/list", "")), true);
    cr_assert_at(m, "result.prompts.0.name", "\"explain\"");
    m = expect_complete(modern("resources/list", NULL, REQUEST("resources/list", "")), true);
    cr_assert_at(m, "result.resources.0.name", "\"greeting\"");
    m = expect_complete(modern("resources/templates/list", NULL, REQUEST("resources/templates/list", "")),
                        true);
    cr_assert_at(m, "result.resourceTemplates", "[]");
    m = expect_complete(modern("resources/read", "demo://greeting",
                               REQUEST("resources/read", "\"uri\":\"demo://greeting\",")),
                        true);
    cr_assert_at(m, "result.contents.0.mimeType", "\"text/plain\"");
    m = expect_complete(modern("tools/call", "add",
                               REQUEST("tools/call", "\"name\":\"add\",\"arguments\":{\"a\":2,\"b\":3},")),
                        false);
    cr_assert_at(m, "result.structuredContent", "{\"sum\":5}");
    m = expect_complete(
        modern("prompts/get", "explain",
               REQUEST("prompts/get", "\"name\":\"explain\",\"arguments\":{\"topic\":\"t\"},")),
        false);
    cr_assert_at(m, "result.messages.0.role", "\"user\"");
    m = expect_complete(
        modern("completion/complete", NULL,
               REQUEST("completion/complete",
                       "\"ref\":{\"type\":\"ref/"
                       "prompt\",\"name\":\"explain\"},\"argument\":{\"name\":\"topic\",\"value\":\"\"},")),
        false);
    cr_assert_at(m, "result.completion.total", "0");
}

Test(demo_modern, methods_that_the_revision_removed_are_404)
{
    static const char *const methods[] = {
        "ping", "initialize", "logging/setLevel", "resources/subscribe", "resources/unsubscribe", "nope"};

    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
        char message[300];

        snprintf(message, sizeof message,
                 "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"%s\",\"params\":{" META "}}", methods[i]);
        expect_error(modern(methods[i], NULL, message), "-32601", 404);
    }
}

Test(demo_modern, missing_header_fields_are_a_mismatch)
{
    static const char list[] = REQUEST("tools/list", ""),
                      call[] = REQUEST("tools/call", "\"name\":\"echo\",\"arguments\":{\"text\":\"a\"},");

    expect_error(post(MCP_NO_REVISION, NULL, "tools/list", NULL, list), "-32020", 400);
    expect_error(post(MCP_NO_REVISION, "2026-07-28", NULL, NULL, list), "-32020", 400);
    expect_error(modern("tools/call", NULL, call), "-32020", 400);
    expect_error(modern("resources/read", NULL, REQUEST("resources/read", "\"uri\":\"demo://greeting\",")),
                 "-32020", 400);
    expect_error(modern("prompts/get", NULL, REQUEST("prompts/get", "\"name\":\"explain\",")), "-32020", 400);
    expect_error(modern("tasks/get", NULL, REQUEST("tasks/get", "\"taskId\":\"1\",")), "-32020", 400);
}

Test(demo_modern, header_fields_that_differ_from_the_body_are_a_mismatch)
{
    static const char call[] = REQUEST("tools/call", "\"name\":\"echo\",\"arguments\":{\"text\":\"a\"},");

    expect_error(post(MCP_NO_REVISION, "2025-11-25", "tools/call", "echo", call), "-32020", 400);
    expect_error(modern("tools/list", "echo", call), "-32020", 400);
    expect_error(modern("Tools/call", "echo", call), "-32020", 400);
    expect_error(modern("tools/call", "Echo", call), "-32020", 400);
    expect_error(modern("tools/call", "=?base64?ZWNobw?=", call), "-32020", 400);
    expect_error(modern("tools/call", "ech\xc3\xb6", call), "-32020", 400);
    expect_complete(modern("tools/call", "echo", call), false);
    expect_complete(modern("tools/call", "=?base64?ZWNobw==?=", call), false);
}

Test(demo_modern, header_fields_do_not_matter_where_the_transport_has_none)
{
    expect_complete(
        say(MCP_NO_REVISION, REQUEST("tools/call", "\"name\":\"echo\",\"arguments\":{\"text\":\"a\"},")),
        false);
}

Test(demo_modern, a_missing_key_of_the_envelope_is_named)
{
    struct driver *d = modern(
        "tools/list", NULL,
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\",\"params\":{\"_meta\":{" VERSION "}}}");

    expect_error(d, "-32602", 400);
    cr_assert(strstr(d->said[0], "clientCapabilities"));
    d = modern("tools/list", NULL,
               "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\",\"params\":{\"_meta\":{" CAPABILITIES
               "}}}");
    expect_error(d, "-32602", 400);
    cr_assert(strstr(d->said[0], "protocolVersion"));
    expect_error(modern("tools/list", NULL, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\"}"),
                 "-32602", 400);
    expect_error(say(MCP_NO_REVISION,
                     "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\",\"params\":{\"_meta\":"
                     "{\"io.modelcontextprotocol/protocolVersion\":7," CAPABILITIES "}}}"),
                 "-32602", 400);
}

Test(demo_modern, an_unsupported_version_is_answered_with_what_is_supported)
{
    static const char message[] =
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\",\"params\":{\"_meta\":{"
        "\"io.modelcontextprotocol/protocolVersion\":\"2027-01-01\"," CAPABILITIES "}}}";
    struct driver *d = post(MCP_NO_REVISION, "2027-01-01", "tools/list", NULL, message);

    expect_error(d, "-32022", 400);
    cr_assert_at(d->said[0], "error.data.supported", "[\"2026-07-28\"]");
    cr_assert_at(d->said[0], "error.data.requested", "\"2027-01-01\"");
    expect_error(say(MCP_NO_REVISION, message), "-32022", 400);
}

Test(demo_modern, initialize_is_legacy_unless_its_envelope_is_modern)
{
    struct driver *d =
        say(MCP_NO_REVISION, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"initialize\",\"params\":{"
                             "\"protocolVersion\":\"2025-06-18\","
                             "\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2025-06-18\"}}}");

    expect_result(d);
    cr_assert_eq(d->out.initialized, MCP_2025_06_18);
}

Test(demo_modern, a_session_of_older_days_does_not_change_how_a_modern_request_is_served)
{
    const char *m = expect_complete(
        post(MCP_2025_03_26, "2026-07-28", "tools/list", NULL, REQUEST("tools/list", "")), true);

    cr_assert_gt(at(m, "result.tools.0.title").len, 2);
}

Test(demo_modern, errors_of_methods_ride_on_200_and_use_no_legacy_codes)
{
    struct driver *d =
        modern("resources/read", "demo://x", REQUEST("resources/read", "\"uri\":\"demo://x\","));

    expect_error(d, "-32602", 200);
    cr_assert_at(d->said[0], "error.data.uri", "\"demo://x\"");
    expect_error(modern("tools/call", "nope", REQUEST("tools/call", "\"name\":\"nope\",")), "-32602", 200);
    expect_error(modern("prompts/get", "nope", REQUEST("prompts/get", "\"name\":\"nope\",")), "-32602", 200);
    expect_error(modern("tools/list", NULL, REQUEST("tools/list", "\"cursor\":\"x\",")), "-32602", 200);
    expect_error(modern("tools/call", "x", REQUEST("tools/call", "")), "-32602", 200);
}

Test(demo_modern, wrong_arguments_are_a_result_that_the_model_can_read)
{
    const char *m = expect_complete(
        modern("tools/call", "add", REQUEST("tools/call", "\"name\":\"add\",\"arguments\":{\"a\":1},")),
        false);

    cr_assert_at(m, "result.isError", "true");
    cr_assert(strstr(m, "\\\"b\\\" must be a number, and is missing"), "%s", m);
}

Test(demo_modern, notifications_are_taken_in_silence_and_cancel_nothing_over_http)
{
    static const char cancelled[] =
        "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":1}}";
    struct driver *d = post(MCP_NO_REVISION, "2026-07-28", NULL, NULL, cancelled);

    cr_assert_eq(d->out.status, 202);
    cr_assert_null(d->out.cancel_id.at);
    d = say(MCP_NO_REVISION, cancelled);
    cr_assert_eq(d->out.status, 202);
    cr_assert(text_eq(d->out.cancel_id, TEXT("1")));
    expect_error(
        post(MCP_NO_REVISION, "2026-07-28", NULL, NULL, "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}"),
        "-32600", 400);
}

Test(demo_modern, progress_rides_on_the_stream_of_its_request)
{
    struct driver *d =
        modern("tools/call", "slow_count",
               "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"slow_count\","
               "\"arguments\":{\"to\":2,\"interval_ms\":10},\"_meta\":{\"progressToken\":\"p\"," VERSION
               "," CAPABILITIES "}}}");

    cr_assert(d->open && d->out.wants_stream);
    wake(d, 1010);
    wake(d, 1020);
    cr_assert(!d->open && d->count == 3 && d->final);
    cr_assert_at(d->said[1], "params.progress", "2");
    cr_assert_at(d->said[2], "result.resultType", "\"complete\"");
}

/* --- subscriptions --- */

#define LISTEN(filter)                                                                                       \
    "{\"jsonrpc\":\"2.0\",\"id\":\"s\",\"method\":\"subscriptions/"                                          \
    "listen\",\"params\":{\"notifications\":" filter "," META "}}"

static void
expect_acknowledged(const struct driver *d, const char *honoured)
{
    struct text meta = at(d->said[0], "params._meta");

    cr_assert_at(d->said[0], "method", "\"notifications/subscriptions/acknowledged\"");
    cr_assert_at(d->said[0], "params.notifications", honoured);
    cr_assert(text_eq(json_find(meta, TEXT("io.modelcontextprotocol/subscriptionId")), TEXT("\"s\"")));
    cr_assert(d->out.wants_stream);
}

Test(demo_listen, is_acknowledged_first_and_stays_open)
{
    struct driver *d =
        modern("subscriptions/listen", NULL,
               LISTEN("{\"toolsListChanged\":true,\"promptsListChanged\":false,\"resourceSubscriptions\":["
                      "\"demo://x\",\"demo://greeting\"],\"other\":true}"));
    struct text meta;

    cr_assert(d->open && d->count == 1 && !d->final);
    cr_assert_eq(d->out.wake_ms, 0);
    expect_acknowledged(d, "{\"toolsListChanged\":true,\"resourceSubscriptions\":[\"demo://greeting\"]}");
    wake(d, 100000);
    cr_assert(d->open && d->count == 1);
    demo_finish(&d->call, &d->out);
    cr_assert(d->final && d->count == 2);
    cr_assert_at(d->said[1], "id", "\"s\"");
    cr_assert_at(d->said[1], "result.resultType", "\"complete\"");
    meta = at(d->said[1], "result._meta");
    cr_assert(text_eq(json_find(meta, TEXT("io.modelcontextprotocol/subscriptionId")), TEXT("\"s\"")));
}

Test(demo_listen, honours_every_list)
{
    struct driver *d = modern(
        "subscriptions/listen", NULL,
        LISTEN("{\"toolsListChanged\":true,\"promptsListChanged\":true,\"resourcesListChanged\":true}"));

    cr_assert(d->open);
    expect_acknowledged(
        d, "{\"toolsListChanged\":true,\"promptsListChanged\":true,\"resourcesListChanged\":true}");
    demo_cancel(&d->call);
}

Test(demo_listen, ends_at_once_when_nothing_can_be_honoured)
{
    struct driver *d =
        modern("subscriptions/listen", NULL, LISTEN("{\"resourceSubscriptions\":[\"demo://x\"]}"));

    cr_assert(!d->open && d->final && d->count == 2);
    expect_acknowledged(d, "{}");
    cr_assert_at(d->said[1], "result.resultType", "\"complete\"");
}

Test(demo_listen, needs_a_filter)
{
    expect_error(modern("subscriptions/listen", NULL, REQUEST("subscriptions/listen", "")), "-32602", 200);
    expect_error(
        modern("subscriptions/listen", NULL, REQUEST("subscriptions/listen", "\"notifications\":[],")),
        "-32602", 200);
}
