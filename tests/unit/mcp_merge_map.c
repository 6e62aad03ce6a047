/* SPDX-License-Identifier: Apache-2.0 */
#include "mcp/merge_caps.h"
#include "merge_helper.h"
#include "vectors.h"

#include <stdio.h>

TestSuite(merge_map, .init = merge_set_up);

static struct jsonrpc_edit edits[16];

static struct text
at_guard(const char *s)
{
    uint32_t len = (uint32_t)strlen(s);

    return (struct text){vector_at_guard(s, len), len};
}

static const struct {
    enum mcp_method method;
    const char *own, *seen;
} result_cases[] = {
    {MCP_TOOLS_CALL, "{\"content\":[]}", "{\"content\":[]}"},
    {MCP_TOOLS_CALL, "{\"content\":[{\"type\":\"resource_link\",\"uri\":\"a:b\",\"name\":\"n\"}]}",
     "{\"content\":[{\"type\":\"resource_link\",\"uri\":\"a:b#mcpgate=fs\",\"name\":\"n\"}]}"},
    {MCP_TOOLS_CALL, "{\"content\":[{\"uri\":\"a:b\",\"type\":\"resource_link\"}]}",
     "{\"content\":[{\"uri\":\"a:b#mcpgate=fs\",\"type\":\"resource_link\"}]}"},
    {MCP_TOOLS_CALL,
     "{\"content\":[{\"type\":\"resource\",\"resource\":{\"text\":\"t\",\"uri\":\"a:b#c\"}}]}",
     "{\"content\":[{\"type\":\"resource\",\"resource\":{\"text\":\"t\",\"uri\":\"a:b#c&mcpgate=fs\"}}]}"},
    {MCP_TOOLS_CALL, "{\"content\":[{\"type\":\"text\",\"text\":\"uri\",\"uri\":\"a:b\"},7,null]}", NULL},
    {MCP_TOOLS_CALL, "{\"structuredContent\":{\"type\":\"resource_link\",\"uri\":\"a:b\"},\"content\":7}",
     NULL},
    {MCP_TOOLS_CALL, "{\"contents\":[{\"uri\":\"a:b\"}]}", NULL},
    {MCP_TOOLS_CALL, "{\"_meta\":{\"ui\":{\"resourceUri\":\"ui://x\"},\"ui/resourceUri\":\"ui://y\"}}",
     "{\"_meta\":{\"ui\":{\"resourceUri\":\"ui://x#mcpgate=fs\"},\"ui/resourceUri\":\"ui://y#mcpgate=fs\"}}"},
    {MCP_RESOURCES_READ, " {\"contents\": [ {\"uri\" : \"a:b\"} , {\"uri\":\"c:d\",\"text\":\"\"} ] }",
     " {\"contents\": [ {\"uri\" : \"a:b#mcpgate=fs\"} , {\"uri\":\"c:d#mcpgate=fs\",\"text\":\"\"} ] }"},
    {MCP_RESOURCES_READ, "{\"contents\":[{\"uri\":\"a:b\",\"\\u0075ri\":\"c:d\"}]}",
     "{\"contents\":[{\"uri\":\"a:b#mcpgate=fs\",\"\\u0075ri\":\"c:d#mcpgate=fs\"}]}"},
    {MCP_RESOURCES_READ, "{\"contents\":[{\"uri\":7},[\"uri\"]]}", NULL},
    {MCP_PROMPTS_GET,
     "{\"messages\":[{\"role\":\"user\",\"content\":{\"type\":\"resource\",\"resource\":{\"uri\":\"a:b\"}}}]"
     "}",
     "{\"messages\":[{\"role\":\"user\",\"content\":{\"type\":\"resource\",\"resource\":{\"uri\":"
     "\"a:b#mcpgate=fs\"}}}]}"},
    {MCP_TOOLS_CALL,
     "{\"resultType\":\"input_required\",\"inputRequests\":{\"k\":{\"method\":\"sampling/createMessage\","
     "\"params\":{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"tool_result\",\"content\":[{"
     "\"type\":\"resource_link\",\"uri\":\"a:b\"}]}]}]}},\"e\":{\"method\":\"elicitation/"
     "create\",\"params\":{"
     "\"url\":\"https://h\",\"messages\":[{\"content\":{\"type\":\"resource_link\",\"uri\":\"a:b\"}}]}}}}",
     "{\"resultType\":\"input_required\",\"inputRequests\":{\"k\":{\"method\":\"sampling/createMessage\","
     "\"params\":{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"tool_result\",\"content\":[{"
     "\"type\":\"resource_link\",\"uri\":\"a:b#mcpgate=fs\"}]}]}]}},\"e\":{\"method\":\"elicitation/"
     "create\",\"params\":{\"url\":\"https://"
     "h\",\"messages\":[{\"content\":{\"type\":\"resource_link\",\"uri\":"
     "\"a:b\"}}]}}}}"},
    {MCP_COMPLETE, "{\"completion\":{\"values\":[\"a:b\"]}}", NULL},
    {MCP_TOOLS_CALL, "[]", NULL},
    {MCP_TOOLS_CALL, "", NULL},
};

Test(merge_map, puts_the_mark_on_every_uri_of_a_result_and_on_nothing_else)
{
    for (size_t i = 0; i < sizeof result_cases / sizeof *result_cases; i++) {
        struct text result = at_guard(result_cases[i].own);
        struct merge_edits out = {edits, 0, 16, false};
        const char *want = result_cases[i].seen ? result_cases[i].seen : result_cases[i].own;

        if (result.len && *result.at == ' ')
            result.at++, result.len--, want++;
        merge_map_result(&merged_three, 0, result_cases[i].method, result, &out);
        cr_assert(!out.full);
        merge_expect(merge_edited(result, edits, out.count), want);
        out.count = 0;
        merge_map_result(&plain_one, 0, result_cases[i].method, result, &out);
        cr_assert_eq(out.count, 0);
    }
}

Test(merge_map, says_when_there_are_more_uris_than_room)
{
    struct text result = TEXT("{\"contents\":[{\"uri\":\"a\"},{\"uri\":\"b\"},{\"uri\":\"c\"}]}");
    struct merge_edits out = {edits, 0, 2, false};

    merge_map_result(&merged_three, 1, MCP_RESOURCES_READ, result, &out);
    cr_assert(out.full);
    cr_assert_eq(out.count, 2);
    out = (struct merge_edits){edits, 0, 3, false};
    merge_map_result(&merged_three, 1, MCP_RESOURCES_READ, result, &out);
    cr_assert(!out.full);
}

Test(merge_map, finds_the_uri_in_an_errors_data)
{
    struct text error = TEXT("{\"code\":-32602,\"message\":\"m\",\"data\":{\"uri\":\"a:b\"}}");
    struct merge_edits out = {edits, 0, 16, false};

    merge_map_error(&merged_three, 1, error, &out);
    merge_expect(merge_edited(error, edits, out.count),
                 "{\"code\":-32602,\"message\":\"m\",\"data\":{\"uri\":\"a:b#mcpgate=db-1\"}}");
}

Test(merge_map, maps_what_servers_say_by_themselves)
{
    static const struct {
        const char *method, *own, *seen;
    } cases[] = {
        {"notifications/resources/updated", "{\"uri\":\"a:b\"}", "{\"uri\":\"a:b#mcpgate=a_b\"}"},
        {"notifications/subscriptions/acknowledged",
         "{\"notifications\":{\"toolsListChanged\":true,\"resourceSubscriptions\":[\"a:b\",\"c:d\"]}}",
         "{\"notifications\":{\"toolsListChanged\":true,\"resourceSubscriptions\":[\"a:b#mcpgate=a_b\",\"c:d#"
         "mcpgate=a_b\"]}}"},
        {"sampling/createMessage",
         "{\"messages\":[{\"content\":{\"type\":\"resource_link\",\"uri\":\"a:b\"}}]}",
         "{\"messages\":[{\"content\":{\"type\":\"resource_link\",\"uri\":\"a:b#mcpgate=a_b\"}}]}"},
        {"notifications/message", "{\"data\":{\"uri\":\"a:b\"},\"uri\":\"a:b\"}",
         "{\"data\":{\"uri\":\"a:b\"},\"uri\":\"a:b\"}"},
        {"elicitation/create", "{\"url\":\"https://h\",\"uri\":\"a\"}",
         "{\"url\":\"https://h\",\"uri\":\"a\"}"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct merge_edits out = {edits, 0, 16, false};
        struct text params = at_guard(cases[i].own);

        merge_map_params(&merged_three, 2, text_of(cases[i].method), params, &out);
        merge_expect(merge_edited(params, edits, out.count), cases[i].seen);
    }
}

static const struct {
    enum mcp_method method;
    const char *params, *up;
    int upstream;
} request_cases[] = {
    {MCP_TOOLS_CALL, "{\"name\":\"fs__read\",\"arguments\":{\"name\":\"fs__x\"}}",
     "{\"name\":\"read\",\"arguments\":{\"name\":\"fs__x\"}}", 0},
    {MCP_TOOLS_CALL, "{\"name\":\"zz__read\"}", NULL, MERGE_NOBODY},
    {MCP_TOOLS_CALL, "{\"uri\":\"fs__read\"}", NULL, MERGE_BAD_PARAMS},
    {MCP_TOOLS_CALL, "{\"name\":7}", NULL, MERGE_BAD_PARAMS},
    {MCP_PROMPTS_GET, "{\"name\":\"db-1__p\"}", "{\"name\":\"p\"}", 1},
    {MCP_RESOURCES_READ, "{\"uri\":\"a:b#mcpgate=db-1\"}", "{\"uri\":\"a:b\"}", 1},
    {MCP_RESOURCES_SUBSCRIBE, "{\"uri\":\"a:b#c&mcpgate=fs\"}", "{\"uri\":\"a:b#c\"}", 0},
    {MCP_RESOURCES_UNSUBSCRIBE, "{\"uri\":\"a:b\"}", NULL, MERGE_NOBODY},
    {MCP_COMPLETE, "{\"ref\":{\"type\":\"ref/prompt\",\"name\":\"fs__p\"},\"argument\":{\"name\":\"x\"}}",
     "{\"ref\":{\"type\":\"ref/prompt\",\"name\":\"p\"},\"argument\":{\"name\":\"x\"}}", 0},
    {MCP_COMPLETE, "{\"ref\":{\"type\":\"ref/resource\",\"uri\":\"a:{b}#mcpgate=fs\"}}",
     "{\"ref\":{\"type\":\"ref/resource\",\"uri\":\"a:{b}\"}}", 0},
    {MCP_COMPLETE, "{\"ref\":{\"type\":\"ref/prompt\",\"name\":\"fs__p\",\"name\":\"db-1__p\"}}", NULL,
     MERGE_BAD_PARAMS},
    {MCP_COMPLETE, "{\"ref\":{\"type\":\"ref/prompt\",\"uri\":\"a\"}}", NULL, MERGE_BAD_PARAMS},
    {MCP_COMPLETE, "{\"ref\":[]}", NULL, MERGE_BAD_PARAMS},
    {MCP_COMPLETE, "{}", NULL, MERGE_BAD_PARAMS},
};

Test(merge_map, finds_whose_a_request_is_and_takes_the_mark_off)
{
    for (size_t i = 0; i < sizeof request_cases / sizeof *request_cases; i++) {
        struct jsonrpc_envelope env;
        struct merge_edits out = {edits, 0, 16, false};
        char message[1024];
        struct text text, key;

        snprintf(message, sizeof message, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"m\",\"params\":%s}",
                 request_cases[i].params);
        text = at_guard(message);
        cr_assert(merge_is_for_one(request_cases[i].method));
        cr_assert_eq(jsonrpc_scan(text, JSON_SCAN_STRICT, &env), JSONRPC_FAULT_FINE);
        cr_assert_eq(merge_map_request(&merged_three, request_cases[i].method, &env, &out, &key),
                     request_cases[i].upstream, "%s", request_cases[i].params);
        if (request_cases[i].up)
            merge_expect(merge_edited(env.params, edits, out.count), request_cases[i].up);
        else
            cr_assert_eq(out.count, 0);
    }
}

Test(merge_map, hands_each_upstream_its_part_of_a_listen_filter)
{
    static const char filter[] =
        "{\"toolsListChanged\":true,\"promptsListChanged\":false,"
        "\"resourcesListChanged\":true,\"resourceSubscriptions\":"
        "[\"a#mcpgate=fs\",\"b#mcpgate=db-1\",\"c\",\"d#x&mcpgate=fs\"],\"taskIds\":[\"t\"]}";
    static const struct {
        unsigned upstream;
        uint32_t can;
        const char *part;
    } cases[] = {
        {0, MERGE_CAP_TOOLS_CHANGED | MERGE_CAP_PROMPTS_CHANGED | MERGE_CAP_SUBSCRIBE,
         "{\"toolsListChanged\":true,\"resourceSubscriptions\":[\"a\",\"d#x\"]}"},
        {1, MERGE_CAP_SUBSCRIBE, "{\"resourceSubscriptions\":[\"b\"]}"},
        {1, MERGE_CAP_RESOURCES_CHANGED, "{\"resourcesListChanged\":true}"},
        {2, MERGE_CAP_SUBSCRIBE, NULL},
        {0, MERGE_CAP_TOOLS, NULL},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char out[256];
        struct json_writer w = {.at = out, .size = sizeof out};

        cr_assert_eq(merge_listen_part(&merged_three, cases[i].upstream, cases[i].can, at_guard(filter), &w),
                     cases[i].part != NULL);
        merge_expect(json_written(&w), cases[i].part ? cases[i].part : "");
    }
}
