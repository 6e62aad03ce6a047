/* SPDX-License-Identifier: Apache-2.0 */
#include "mcp/demo_lines.h"

#include <criterion/criterion.h>
#include <stdio.h>

static struct demo_lines demo;
static char said[64 << 10];

static void
say(void *context, struct text json)
{
    (void)context;
    cr_assert(!memchr(json.at, '\n', json.len), "one message is one line");
    snprintf(said + strlen(said), sizeof said - strlen(said), "%.*s\n", (int)json.len, json.at);
}

static const char *
take(const char *line, uint64_t now_ms)
{
    said[0] = '\0';
    demo_lines_take(&demo, text_of(line), now_ms);
    return said;
}

static void
begin(enum mcp_revision only, const char *version)
{
    char line[256];

    demo_lines_init(&demo, only, say, NULL);
    snprintf(line, sizeof line,
             "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"initialize\",\"params\":{\"protocolVersion\":\"%s\","
             "\"capabilities\":{},\"clientInfo\":{\"name\":\"t\",\"version\":\"1\"}}}",
             version);
    take(line, 0);
}

Test(demo_lines, a_server_of_one_legacy_revision_offers_that_one)
{
    for (enum mcp_revision r = MCP_2024_11_05; r <= MCP_LATEST_LEGACY; r++) {
        char want[64];

        begin(r, "2025-11-25");
        snprintf(want, sizeof want, "\"protocolVersion\":\"%.*s\"", (int)mcp_revision_name(r).len,
                 mcp_revision_name(r).at);
        cr_assert(strstr(said, want), "%s", said);
        cr_assert_eq(demo.session, r);
        take("{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"tools/list\"}", 0);
        cr_assert(strstr(said, "\"id\":2") && strstr(said, "\"tools\":["), "%s", said);
    }
}

Test(demo_lines, a_server_of_one_revision_does_not_know_the_other_era)
{
    begin(MCP_2026_07_28, "2025-11-25");
    cr_assert(strstr(said, "-32601"), "%s", said);
    begin(MCP_2025_06_18, "2025-06-18");
    take("{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"server/discover\",\"params\":{\"_meta\":{"
         "\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\",\"io.modelcontextprotocol/"
         "clientCapabilities\":{}}}}",
         0);
    cr_assert(strstr(said, "\"id\":3") && strstr(said, "-32601"), "%s", said);
}

Test(demo_lines, a_later_revision_needs_no_beginning)
{
    demo_lines_init(&demo, MCP_2026_07_28, say, NULL);
    take("{\"jsonrpc\":\"2.0\",\"id\":\"d\",\"method\":\"server/discover\",\"params\":{\"_meta\":{"
         "\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\",\"io.modelcontextprotocol/"
         "clientCapabilities\":{}}}}",
         0);
    cr_assert(strstr(said, "\"id\":\"d\"") && strstr(said, "\"supportedVersions\""), "%s", said);
}

Test(demo_lines, batches_belong_to_2025_03_26)
{
    static const char batch[] = "[{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"},{\"jsonrpc\":\"2.0\","
                                "\"id\":2,\"method\":\"ping\"}]";

    begin(MCP_2025_03_26, "2025-03-26");
    take(batch, 0);
    cr_assert(said[0] == '[' && strstr(said, "\"id\":1") && strstr(said, "\"id\":2"), "%s", said);
    begin(MCP_2025_06_18, "2025-06-18");
    take(batch, 0);
    cr_assert(strstr(said, "-32600"), "%s", said);
}

Test(demo_lines, slow_calls_go_on_side_by_side_until_they_are_done_or_cancelled)
{
    static const char slow[] =
        "{\"jsonrpc\":\"2.0\",\"id\":%d,\"method\":\"tools/call\",\"params\":{\"name\":\"slow_count\","
        "\"arguments\":{\"to\":2,\"interval_ms\":10},\"_meta\":{\"progressToken\":%d}}}";
    char line[256];
    uint64_t now_ms = 0;
    int wait_ms;

    begin(MCP_2025_11_25, "2025-11-25");
    for (int id = 5; id < 8; id++) {
        snprintf(line, sizeof line, slow, id, id);
        take(line, now_ms);
    }
    take("{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":6}}", now_ms);
    while ((wait_ms = demo_lines_wake(&demo, now_ms)) >= 0)
        now_ms += (uint64_t)wait_ms;
    cr_assert(strstr(said, "\"id\":5") && strstr(said, "\"id\":7"), "%s", said);
    cr_assert(!strstr(said, "\"id\":6") && !strstr(said, "\"progressToken\":6"), "%s", said);
    cr_assert(now_ms >= 10 && now_ms < 1000, "took %d", (int)now_ms);
}
