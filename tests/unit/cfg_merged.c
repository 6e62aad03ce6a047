/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration of several servers as one: which names go together, and rules for tools. */
#include "cfg_helper.h"

static const char *
rule(const struct config *c, struct cfg_array list, uint32_t i)
{
    cr_assert_lt(i, list.count);
    return cfg_string(c, cfg_list(c, list)[i]);
}

Test(tool_rules, are_taken_from_flags_and_files_together)
{
    struct cfg_result r;

    write_file("c.json",
               "{\"mcpServers\": {\"fs\": {\"url\": \"http://a\", \"denyTools\": [\"rm_*\", \"x\"]},"
               "\"ps\": {\"command\": \"ps\", \"allowTools\": [\"list\"]}}}");
    MUST_LOAD(&r, "--config=c.json", "--mode=path", "--deny-tool=fs=write*", "--deny-tool=ps=kill");
    cr_assert_eq(r.config->allow_tool.count, 1);
    cr_assert_str_eq(rule(r.config, r.config->allow_tool, 0), "ps=list");
    cr_assert_eq(r.config->deny_tool.count, 3);
    cr_assert_str_eq(rule(r.config, r.config->deny_tool, 0), "fs=rm_*,x");
    cr_assert_str_eq(rule(r.config, r.config->deny_tool, 1), "fs=write*");
    cr_assert_str_eq(rule(r.config, r.config->deny_tool, 2), "ps=kill");
}

Test(tool_rules, that_are_none_are_refused)
{
    static const char *const bad[] = {"fs", "fs=", "=a", "fs=a,", "fs=,a", "fs=a,,b", "f s=a"};
    char want[256];

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        snprintf(want, sizeof want,
                 "mcpgate: --deny-tool: '%s' is not NAME=PATTERN[,PATTERN...]: use one such as "
                 "search=read_*,list_*",
                 bad[i]);
        MUST_FAIL(want, "--upstream=fs=http://a", "--deny-tool", bad[i]);
    }
    MUST_FAIL("mcpgate: --allow-tool: there is no upstream 'fz': did you mean fs?", "--upstream=fs=http://a",
              "--allow-tool=fz=a");
    MUST_FAIL("mcpgate: --deny-tool: not with --era-ttl 0, which passes messages as they are: leave one of "
              "the two out",
              "--upstream=fs=http://a", "--deny-tool=fs=a", "--era-ttl=0");
    write_file("c.json", "{\"mcpServers\": {\"fs\": {\"url\": \"http://a\", \"allowTools\": []}}}");
    MUST_FAIL("mcpgate: c.json:1:57: fs.allowTools: the list is empty: leave it out, or write \"denyTools\": "
              "[\"*\"]",
              "--config=c.json");
    write_file("d.json", "{\"mcpServers\": {\"fs\": {\"url\": \"http://a\", \"denyTools\": \"x\"}}}");
    MUST_FAIL(
        "mcpgate: d.json:1:56: fs.denyTools: a string stands where an array of patterns is expected: use "
        "[\"read_*\"]",
        "--config=d.json");
}

Test(merged_names, that_could_be_taken_for_one_another_are_refused)
{
    MUST_FAIL(
        "mcpgate: --upstream: a__... could be a tool of 'a' or of 'a__b': rename one, or set --mode path",
        "--upstream=a__b=http://a", "--upstream=a=http://b", "--mode=merged");
    MUST_FAIL("mcpgate: --upstream: a__... could be a tool of 'a' or of 'a_': rename one, or set --mode path",
              "--upstream=a=http://a", "--upstream=a_=http://b");
}

Test(merged_names, do_not_matter_in_path_mode)
{
    struct cfg_result r;

    MUST_LOAD(&r, "--upstream=a=http://a", "--upstream=a__b=http://b", "--mode=path");
}

Test(priorities, are_of_upstreams_and_routes_by_flag_and_file)
{
    struct cfg_result r;

    write_file("c.json", "{\"mcpServers\": {\"fs\": {\"url\": \"http://a\", \"priority\": \"low\"},"
                         "\"ps\": {\"command\": \"ps\"}}}");
    MUST_LOAD(&r, "--config=c.json", "--mode=path", "--route=/v1=http://b", "--priority=/v1=high");
    cr_assert_eq(cfg_upstream(r.config, 0)->priority, PRIORITY_LOW);
    cr_assert_eq(cfg_upstream(r.config, 1)->priority, PRIORITY_UNSAID);
    cr_assert_eq(cfg_upstream(r.config, 2)->priority, PRIORITY_HIGH);
}

Test(priorities, that_are_none_are_refused)
{
    static const char *const bad[] = {"fs", "fs=", "=low", "fs=critical", "fs=HIGH", "f s=low"};
    char want[256];

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        snprintf(want, sizeof want,
                 "mcpgate: --priority: '%s' is not NAME=high|normal|low: use one such as search=low", bad[i]);
        MUST_FAIL(want, "--upstream=fs=http://a", "--priority", bad[i]);
    }
    MUST_FAIL("mcpgate: --priority: there is no upstream 'fz': did you mean fs?", "--upstream=fs=http://a",
              "--priority=fz=low");
    MUST_FAIL("mcpgate: --priority: there is no route '/v2': did you mean /v1?", "--route=/v1=http://a",
              "--priority=/v2=low");
}
