/* SPDX-License-Identifier: Apache-2.0 */
#include "mcp/merge_caps.h"
#include "merge_helper.h"

#include <stdlib.h>

TestSuite(merge_caps, .init = merge_set_up);

#define INFO TEXT("{\"name\":\"gate\",\"version\":\"1\"}")

Test(merge_caps, are_read_as_far_as_they_are_relayed)
{
    static const struct {
        const char *text;
        uint32_t caps;
    } cases[] = {
        {"{}", 0},
        {"", 0},
        {"[]", 0},
        {"{\"tools\":{}}", MERGE_CAP_TOOLS},
        {"{\"tools\":null,\"prompts\":true}", 0},
        {"{\"tools\":{\"listChanged\":true},\"prompts\":{\"listChanged\":false}}",
         MERGE_CAP_TOOLS | MERGE_CAP_TOOLS_CHANGED | MERGE_CAP_PROMPTS},
        {"{\"resources\":{\"subscribe\":true,\"listChanged\":true},\"completions\":{},\"logging\":{}}",
         MERGE_CAP_RESOURCES | MERGE_CAP_SUBSCRIBE | MERGE_CAP_RESOURCES_CHANGED | MERGE_CAP_COMPLETIONS |
             MERGE_CAP_LOGGING},
        {"{\"tasks\":{},\"experimental\":{},\"extensions\":{\"io.modelcontextprotocol/ui\":{},\"x/y\":{}}}",
         MERGE_CAP_UI},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        cr_expect_eq(merge_caps(text_of(cases[i].text)), cases[i].caps, "%s", cases[i].text);
}

static struct text
written(enum mcp_revision revision, const struct merge_server *server)
{
    static char out[80 << 10];
    struct json_writer w = {.at = out, .size = sizeof out};

    if (mcp_revision_is_modern(revision))
        merge_write_discover(&w, server, 60000, true);
    else
        merge_write_initialize(&w, server, revision);
    cr_assert(!w.full);
    cr_assert_eq(json_check(json_written(&w), JSON_SCAN_STRICT), JSON_FINE, "%.*s", (int)w.len, w.at);
    return json_written(&w);
}

Test(merge_caps, of_all_upstreams_are_the_gateways)
{
    static const struct merge_about parts[] = {
        {0, MERGE_CAP_TOOLS | MERGE_CAP_LOGGING, {"\"Read \\\"only\\\".\"", 16}, {NULL, 0}, {NULL, 0}},
        {1, MERGE_CAP_TOOLS | MERGE_CAP_TOOLS_CHANGED | MERGE_CAP_UI, {NULL, 0}, {"{\"a\":1}", 7}, {NULL, 0}},
        {2,
         MERGE_CAP_RESOURCES | MERGE_CAP_SUBSCRIBE | MERGE_CAP_RESOURCES_CHANGED,
         {"\"x\"", 3},
         {NULL, 0},
         {NULL, 0}},
    };
    struct merge_server server = {&merged_three, parts, 3, INFO};

    merge_expect(
        written(MCP_2025_06_18, &server),
        "{\"protocolVersion\":\"2025-06-18\",\"capabilities\":{\"tools\":{\"listChanged\":true},"
        "\"resources\":{\"listChanged\":true,\"subscribe\":true},\"logging\":{},\"extensions\":{"
        "\"io.modelcontextprotocol/ui\":{\"a\":1}}},\"serverInfo\":{\"name\":\"gate\",\"version\":\"1\"},"
        "\"instructions\":\"# fs\\nRead \\\"only\\\".\\n\\n# a_b\\nx\"}");
    merge_expect(
        written(MCP_2026_07_28, &server),
        "{\"resultType\":\"complete\",\"supportedVersions\":[\"2026-07-28\"],\"capabilities\":{\"tools\":{"
        "\"listChanged\":true},\"resources\":{\"listChanged\":true,\"subscribe\":true},\"logging\":{},"
        "\"extensions\":{\"io.modelcontextprotocol/ui\":{\"a\":1}}},\"instructions\":\"# fs\\nRead "
        "\\\"only\\\".\\n\\n# a_b\\nx\",\"ttlMs\":60000,\"cacheScope\":\"private\",\"_meta\":{"
        "\"io.modelcontextprotocol/serverInfo\":{\"name\":\"gate\",\"version\":\"1\"}}}");
    server.count = 0;
    merge_expect(written(MCP_2024_11_05, &server),
                 "{\"protocolVersion\":\"2024-11-05\",\"capabilities\":{},\"serverInfo\":{\"name\":\"gate\","
                 "\"version\":\"1\"}}");
}

Test(merge_caps, leave_one_upstreams_instructions_as_they_are)
{
    static const struct merge_about part = {0, 0, {"\"Be brief.\"", 11}, {NULL, 0}, {NULL, 0}};
    struct merge_server server = {&plain_one, &part, 1, INFO};

    merge_expect(json_find(written(MCP_2025_11_25, &server), TEXT("instructions")), "\"Be brief.\"");
}

Test(merge_caps, leave_one_upstreams_extensions_as_they_are)
{
    static const struct merge_about part = {
        .caps = MERGE_CAP_UI, .extensions = {"{\"x/y\":{\"a\":[1]},\"io.modelcontextprotocol/ui\":{}}", 49}};
    struct merge_server server = {&plain_one, &part, 1, INFO};

    merge_expect(json_find(written(MCP_2026_07_28, &server), TEXT("capabilities")),
                 "{\"extensions\":{\"x/y\":{\"a\":[1]},\"io.modelcontextprotocol/ui\":{}}}");
}

Test(merge_caps, cut_long_instructions_between_characters)
{
    static const char *const units[] = {
        "a", "\xc3\xa9", "\\n", "\\u00e9", "\xf0\x9f\x98\x80", "\\ud83d\\ude00", "\\\\"};
    char *raw = malloc(80 << 10);

    for (size_t u = 0; u < sizeof units / sizeof *units; u++) {
        for (unsigned shift = 0; shift < 13; shift++) {
            struct merge_about parts[2] = {{.upstream = 0},
                                           {.upstream = 1, .instructions = TEXT("\"last\"")}};
            struct merge_server server = {&merged_three, parts, 2, INFO};
            uint32_t n = 0, unit = (uint32_t)strlen(units[u]);
            struct text got;

            raw[n++] = '"';
            for (unsigned i = 0; i < shift; i++)
                raw[n++] = 'x';
            while (n < 40 << 10) {
                memcpy(raw + n, units[u], unit);
                n += unit;
            }
            raw[n++] = '"';
            parts[0].instructions = (struct text){raw, n};
            got = json_find(written(MCP_2025_11_25, &server), TEXT("instructions"));
            cr_assert_leq(got.len, MERGE_INSTRUCTIONS_MAX);
            cr_assert_geq(got.len, MERGE_INSTRUCTIONS_MAX / 2);
            cr_assert_eq(memcmp(got.at + got.len - 5, "last\"", 5), 0);
        }
    }
    free(raw);
}

Test(merge_caps, decide_who_is_asked)
{
    cr_assert_eq(merge_cap_for(MCP_TOOLS_LIST), MERGE_CAP_TOOLS);
    cr_assert_eq(merge_cap_for(MCP_RESOURCES_TEMPLATES_LIST), MERGE_CAP_RESOURCES);
    cr_assert_eq(merge_cap_for(MCP_RESOURCES_SUBSCRIBE), MERGE_CAP_SUBSCRIBE);
    cr_assert_eq(merge_cap_for(MCP_COMPLETE), 0);
    cr_assert_eq(merge_cap_for(MCP_PING), 0);
}
