/* SPDX-License-Identifier: Apache-2.0 */
/* Messages that come again: what is recalled is what a scan finds, and nothing else is recalled. */
#include "mcp/recall.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#define META                                                                                                 \
    "\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\","                                 \
    "\"io.modelcontextprotocol/clientCapabilities\":{}}"

static const struct mcp_head head = {
    .http = true, .version = {"2026-07-28", 10}, .method = {"tools/list", 10}, .session = MCP_NO_REVISION};
static struct recall recall;

static const char *
list(const char *id)
{
    static char text[4][2048];
    static unsigned next;
    char *at = text[next++ % 4];

    snprintf(at, sizeof *text,
             "{\"jsonrpc\":\"2.0\",\"id\":%s,\"method\":\"tools/list\",\"params\":{" META "}}", id);
    return at;
}

static void
note(const char *message)
{
    struct jsonrpc_envelope env;
    struct mcp_verdict verdict;
    enum jsonrpc_fault fault = jsonrpc_scan(text_of(message), JSON_SCAN_STRICT, &env);

    cr_assert(mcp_check(&head, fault, &env, false, &verdict), "%s", message);
    recall_note(&recall, text_of(message), &head, &env);
}

static bool
is_recalled(const char *message, const struct mcp_head *with)
{
    struct jsonrpc_envelope env;

    return recall_find(&recall, text_of(message), with, &env);
}

static void
assert_as_scanned(const char *message)
{
    struct jsonrpc_envelope env, scanned;

    cr_assert(recall_find(&recall, text_of(message), &head, &env), "%s", message);
    cr_assert_eq(jsonrpc_scan(text_of(message), JSON_SCAN_STRICT, &scanned), JSONRPC_FAULT_FINE);
    cr_assert_eq(env.kind, scanned.kind);
    cr_assert_eq(env.id_kind, scanned.id_kind);
#define JSONRPC_PLACE(id, level, key, field, child)                                                          \
    cr_assert_eq(env.field.at, scanned.field.at, "%s of %s", #field, message);                               \
    cr_assert_eq(env.field.len, scanned.field.len, "%s of %s", #field, message);
#include "proto/jsonrpc_place.def"
#undef JSONRPC_PLACE
}

Test(recall, finds_what_a_scan_finds_whatever_the_id)
{
    static const char *const ids[] = {"1",     "0",     "-7", "123456789012345678",         "\"\"", "\"a b\"",
                                      "\"~\"", "\"1\"", "42", "\"long enough to move all\""};

    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
        memset(&recall, 0, sizeof recall);
        note(list(ids[i]));
        for (size_t k = 0; k < sizeof ids / sizeof *ids; k++)
            assert_as_scanned(list(ids[k]));
    }
}

Test(recall, does_not_know_ids_that_are_not_plain_or_none)
{
    static const char *const ids[] = {
        "01",   "-",   "-01",     "-0",           "1.5",      "1e3", "null",
        "{}",   "\"",  "\"\\n\"", "\"\xc3\xa9\"", "\"\x01\"", "",    "1234567890123456789",
        "true", "1 2", " 1"};

    note(list("1"));
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++)
        cr_expect_not(is_recalled(list(ids[i]), &head), "%s", ids[i]);
}

Test(recall, does_not_know_a_message_that_differs_in_any_byte_or_is_cut)
{
    char message[2048];
    size_t len;

    note(list("7"));
    strcpy(message, list("7"));
    len = strlen(message);
    for (size_t i = 0; i < len; i++) {
        char was = message[i];

        if (was == '7')
            continue;
        message[i] = (char)(was ^ 1);
        cr_expect_not(is_recalled(message, &head), "%s", message);
        message[i] = was;
        cr_expect_not(
            recall_find(&recall, (struct text){message, (uint32_t)i}, &head, &(struct jsonrpc_envelope){0}));
    }
    cr_assert(is_recalled(message, &head));
    strcat(message, " ");
    cr_assert_not(is_recalled(message, &head));
}

Test(recall, goes_by_the_head_as_well)
{
    struct mcp_head other = head;

    note(list("7"));
    cr_assert(is_recalled(list("8"), &head));
    other.http = false;
    cr_assert_not(is_recalled(list("8"), &other));
    other = head;
    other.version = (struct text){"2025-11-25", 10};
    cr_assert_not(is_recalled(list("8"), &other));
    other = head;
    other.method = (struct text){NULL, 0};
    cr_assert_not(is_recalled(list("8"), &other));
    other = head;
    other.name = (struct text){"", 0};
    cr_assert_not(is_recalled(list("8"), &other));
    other = head;
    other.session = MCP_2025_06_18;
    cr_assert_not(is_recalled(list("8"), &other));
}

Test(recall, keeps_the_last_of_several_and_none_that_says_something_of_its_own)
{
    char message[2048];

    for (unsigned i = 0; i <= RECALL_SLOTS; i++) {
        snprintf(message, sizeof message, "%s%*s", list("1"), (int)i, "");
        note(message);
    }
    cr_assert_not(is_recalled(list("1"), &head), "the oldest has given way");
    cr_assert(is_recalled(message, &head));
    memset(&recall, 0, sizeof recall);
    note("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\",\"params\":{\"cursor\":\"x\"," META "}}");
    cr_assert_eq(recall.next, 0);
}
