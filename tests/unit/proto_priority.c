/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/priority.h"

#include "proto/mcp_names.h"

#include <criterion/criterion.h>

Test(priority, is_read_from_the_field_of_rfc_9218)
{
    static const struct {
        const char *value;
        enum priority want;
    } cases[] = {
        {"u=0", PRIORITY_HIGH},       {"u=1", PRIORITY_HIGH},     {"u=2", PRIORITY_NORMAL},
        {"u=3", PRIORITY_NORMAL},     {"u=4", PRIORITY_NORMAL},   {"u=5", PRIORITY_LOW},
        {"u=7", PRIORITY_LOW},        {"u=1, i", PRIORITY_HIGH},  {"i,u=6", PRIORITY_LOW},
        {"i , u=0 ", PRIORITY_HIGH},  {"u=1;x=2", PRIORITY_HIGH}, {"u=0, u=5", PRIORITY_LOW},
        {"", PRIORITY_UNSAID},        {"i", PRIORITY_UNSAID},     {"u", PRIORITY_UNSAID},
        {"u=", PRIORITY_UNSAID},      {"u=8", PRIORITY_UNSAID},   {"u=-1", PRIORITY_UNSAID},
        {"u=10", PRIORITY_UNSAID},    {"u=1.5", PRIORITY_UNSAID}, {"U=1", PRIORITY_UNSAID},
        {"u=\"1\"", PRIORITY_UNSAID}, {"v=1", PRIORITY_UNSAID},   {",,,", PRIORITY_UNSAID},
        {"u=1, u=x", PRIORITY_HIGH},  {"xu=1", PRIORITY_UNSAID},  {"u = 1", PRIORITY_UNSAID},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        cr_expect_eq(priority_of_field(text_of(cases[i].value)), cases[i].want, "%s", cases[i].value);
}

Test(priority, is_named_and_critical_cannot_be_claimed)
{
    cr_assert_eq(priority_of_name(TEXT("high")), PRIORITY_HIGH);
    cr_assert_eq(priority_of_name(TEXT("normal")), PRIORITY_NORMAL);
    cr_assert_eq(priority_of_name(TEXT("low")), PRIORITY_LOW);
    cr_assert_eq(priority_of_name(TEXT("critical")), PRIORITY_HIGH);
    cr_assert_eq(priority_of_name(TEXT("High")), PRIORITY_UNSAID);
    cr_assert_eq(priority_of_name(TEXT("")), PRIORITY_UNSAID);
    for (unsigned i = PRIORITY_HIGH; i < PRIORITIES; i++)
        cr_assert_eq(priority_of_name(text_of(priority_name((enum priority)i))), i);
}

static enum priority
of(const char *message, enum priority asked)
{
    struct jsonrpc_envelope env;

    cr_assert_eq(jsonrpc_scan(text_of(message), JSON_SCAN_STRICT, &env), JSONRPC_FAULT_FINE);
    return priority_of_message(&env, asked);
}

#define CALL(method, params)                                                                                 \
    "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"" method "\",\"params\":{" params "}}"
#define META(members) "\"_meta\":{" members "}"

Test(priority, of_a_message_is_what_it_says_or_what_was_asked_for_or_its_kind)
{
    cr_assert_eq(of(CALL("tools/call", ""), PRIORITY_UNSAID), PRIORITY_NORMAL);
    cr_assert_eq(of(CALL("tools/call", META("\"progressToken\":1")), PRIORITY_UNSAID), PRIORITY_HIGH);
    cr_assert_eq(of(CALL("completion/complete", ""), PRIORITY_UNSAID), PRIORITY_HIGH);
    cr_assert_eq(of(CALL("subscriptions/listen", ""), PRIORITY_UNSAID), PRIORITY_LOW);
    cr_assert_eq(of(CALL("of/our_own", ""), PRIORITY_UNSAID), PRIORITY_NORMAL);
    cr_assert_eq(of(CALL("tools/call", META("\"progressToken\":1")), PRIORITY_LOW), PRIORITY_LOW);
    cr_assert_eq(of(CALL("tools/call", META("\"mcpgate/priority\":\"high\"")), PRIORITY_LOW), PRIORITY_HIGH);
    cr_assert_eq(of(CALL("tools/call", META("\"mcpgate/priority\":7")), PRIORITY_HIGH), PRIORITY_LOW);
    cr_assert_eq(of(CALL("tools/call", META("\"mcpgate/priority\":3")), PRIORITY_HIGH), PRIORITY_NORMAL);
    cr_assert_eq(of(CALL("tools/call", META("\"mcpgate/priority\":{\"a\":1}")), PRIORITY_LOW), PRIORITY_LOW,
                 "what is not understood says nothing");
}

Test(priority, of_what_a_connection_cannot_go_on_without_is_always_critical)
{
    static const enum mcp_method methods[] = {MCP_INITIALIZE, MCP_INITIALIZED, MCP_PING, MCP_DISCOVER,
                                              MCP_CANCELLED};

    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
        cr_assert_eq(priority_of_method(methods[i], PRIORITY_LOW), PRIORITY_CRITICAL);
    cr_assert_eq(of(CALL("ping", META("\"mcpgate/priority\":\"low\"")), PRIORITY_LOW), PRIORITY_CRITICAL);
    cr_assert_eq(of(CALL("tools/call", META("\"mcpgate/priority\":\"critical\"")), PRIORITY_UNSAID),
                 PRIORITY_HIGH, "and nothing else is");
}
