/* SPDX-License-Identifier: Apache-2.0 */
#include "mcpload/priority.h"
#include "mcpload/request.h"

#include <criterion/criterion.h>
#include <string.h>

Test(mcpload_priority, one_name_is_the_class_of_all)
{
    struct priority_mix mix;

    cr_assert_eq(priority_parse("low", &mix), 0);
    for (int i = 0; i < 100; i++)
        cr_assert_eq(priority_next(&mix), PRIORITY_LOW);
}

Test(mcpload_priority, nothing_asked_for_is_no_class)
{
    struct priority_mix mix = {0};

    cr_assert_eq(priority_next(&mix), PRIORITY_NONE);
}

Test(mcpload_priority, each_class_comes_as_often_as_its_share_says_in_every_round)
{
    struct priority_mix mix;

    cr_assert_eq(priority_parse("high=1,normal=8,low=3", &mix), 0);
    for (int round = 0; round < 10; round++) {
        unsigned seen[PRIORITIES] = {0};

        for (int i = 0; i < 12; i++)
            seen[priority_next(&mix)]++;
        cr_assert_eq(seen[PRIORITY_HIGH], 1);
        cr_assert_eq(seen[PRIORITY_NORMAL], 8);
        cr_assert_eq(seen[PRIORITY_LOW], 3);
    }
}

Test(mcpload_priority, equal_shares_take_turns)
{
    struct priority_mix mix;
    enum priority last = PRIORITY_NONE;

    cr_assert_eq(priority_parse("high,low", &mix), 0);
    for (int i = 0; i < 10; i++) {
        enum priority next = priority_next(&mix);

        cr_assert_neq(next, last);
        last = next;
    }
}

Test(mcpload_priority, what_is_no_mix_is_refused_and_changes_nothing)
{
    static const char *const wrong[] = {"",       "urgent",  "high=",       "high=0",        "high=-1",
                                        "high=x", "high,",   "high=1,high", "high=1 ,low=2", "high=1000001",
                                        ",high",  "high=1.5"};
    struct priority_mix mix;

    for (unsigned i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        memset(&mix, 7, sizeof mix);
        cr_assert_lt(priority_parse(wrong[i], &mix), 0, "'%s' was taken", wrong[i]);
        cr_assert_eq(mix.sum, 0x07070707u, "'%s'", wrong[i]);
    }
}

static const struct url url = {.path = "/mcp", .authority = "h"};

Test(mcpload_request, the_urgency_of_a_request_is_one_digit_that_can_be_changed)
{
    static const struct {
        enum load_kind kind;
        enum message message;
    } cases[] = {{KIND_HTTP, MESSAGE_WORK},
                 {KIND_HTTP, MESSAGE_STREAM},
                 {KIND_MCP, MESSAGE_WORK},
                 {KIND_MCP, MESSAGE_STREAM},
                 {KIND_MCP_2026, MESSAGE_WORK}};

    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct plan plan = {.kind = cases[i].kind,
                            .url = url,
                            .method = "GET",
                            .tool = "echo",
                            .args = "{}",
                            .has_priority = true};
        struct text none = {NULL, 0};
        struct bytes out = {0};
        struct request_marks marks = request_build(&plan, cases[i].message, "/mcp", none, none, &out);

        cr_assert_gt(marks.urgency_at, 0);
        request_set_priority(&out, marks.urgency_at, PRIORITY_LOW);
        cr_assert(memmem(out.at, out.len, "\r\nPriority: u=6\r\n", 17), "case %u: %.*s", i, (int)out.len,
                  out.at);
        if (marks.id_at)
            cr_assert_eq(memcmp(out.at + marks.id_at, "1000000000", REQUEST_ID_DIGITS), 0);
        bytes_done(&out);
    }
}

Test(mcpload_request, what_opens_and_ends_a_session_and_plans_without_classes_have_no_priority)
{
    static const enum message messages[] = {MESSAGE_INITIALIZE, MESSAGE_INITIALIZED, MESSAGE_DELETE,
                                            MESSAGE_WORK};

    for (unsigned i = 0; i < sizeof messages / sizeof *messages; i++) {
        struct plan plan = {.kind = KIND_MCP,
                            .url = url,
                            .tool = "echo",
                            .args = "{}",
                            .has_priority = messages[i] != MESSAGE_WORK};
        struct text none = {NULL, 0};
        struct bytes out = {0};

        cr_assert_eq(request_build(&plan, messages[i], "/mcp", none, none, &out).urgency_at, 0);
        cr_assert(!memmem(out.at, out.len, "Priority", 8));
        bytes_done(&out);
    }
}
