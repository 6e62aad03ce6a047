/* SPDX-License-Identifier: Apache-2.0 */
#include "mcpload/behaviour.h"

#include <criterion/criterion.h>

static const struct behaviour defaults = {.bytes = 300, .status = 200, .rate = 1, .event_bytes = 100};

static int
parse(const char *target, struct behaviour *ret, struct text *path, struct text *bad)
{
    return behaviour_parse(text_of(target), &defaults, ret, path, bad);
}

Test(mcpload_behaviour, a_path_without_a_query_keeps_the_defaults)
{
    struct behaviour b;
    struct text path, bad;

    cr_assert_eq(parse("/mcp", &b, &path, &bad), 0);
    cr_assert(text_eq(path, TEXT("/mcp")));
    cr_assert_eq(b.bytes, 300);
    cr_assert_eq(b.status, 200);
}

Test(mcpload_behaviour, words_of_the_query_override_the_defaults)
{
    struct behaviour b;
    struct text path, bad;

    cr_assert_eq(
        parse("/x?delay=20&status=503&bytes=1k&chunked=1&close=mid-body&rate=2.5&hang", &b, &path, &bad), 0);
    cr_assert(text_eq(path, TEXT("/x")));
    cr_assert_eq(b.delay_ns, 20000000);
    cr_assert_eq(b.status, 503);
    cr_assert_eq(b.bytes, 1024);
    cr_assert(b.chunked);
    cr_assert_eq(b.close, CLOSE_POINT_MID_BODY);
    cr_assert_eq(b.rate, 2.5);
    cr_assert(b.hang);
    cr_assert_eq(b.event_bytes, 100);
}

Test(mcpload_behaviour, a_switch_can_be_turned_off_again)
{
    struct behaviour b, on = defaults;
    struct text path, bad;

    on.sse = true;
    cr_assert_eq(behaviour_parse(TEXT("/?sse=0"), &on, &b, &path, &bad), 0);
    cr_assert(!b.sse);
}

Test(mcpload_behaviour, unknown_words_and_bad_values_are_named)
{
    static const char *const targets[][2] = {
        {"/?nonsense=1", "nonsense=1"}, {"/?status=99", "status=99"},     {"/?status=600", "status=600"},
        {"/?bytes=x&hang", "bytes=x"},  {"/?close=later", "close=later"}, {"/?hang&rate=-1", "rate=-1"},
    };
    struct behaviour b;
    struct text path, bad;

    for (size_t i = 0; i < sizeof targets / sizeof targets[0]; i++) {
        cr_assert(parse(targets[i][0], &b, &path, &bad) < 0, "%s was taken", targets[i][0]);
        cr_assert(text_eq(bad, text_of(targets[i][1])), "%s: %.*s was named", targets[i][0], (int)bad.len,
                  bad.at);
    }
}

Test(mcpload_behaviour, a_burst_has_at_least_one_event)
{
    struct behaviour b;
    struct text path, bad;

    cr_assert_eq(parse("/sse?burst=50", &b, &path, &bad), 0);
    cr_assert_eq(b.burst, 50);
    cr_assert(parse("/sse?burst=0", &b, &path, &bad) < 0);
    cr_assert(text_eq(bad, TEXT("burst=0")));
}
