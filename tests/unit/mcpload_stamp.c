/* SPDX-License-Identifier: Apache-2.0 */
#include "mcpload/schedule.h"
#include "mcpload/stamp.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char event[] = "{\"ns\":\"00000000012345678\",\"n\":\"0000000042\",\"pad\":\"xx\"}";

Test(mcpload_stamp, an_event_says_when_it_left_and_which_one_it_is)
{
    struct stamp stamp;

    cr_assert(stamp_read(text_of(event), &stamp));
    cr_assert_eq(stamp.ns, 12345678);
    cr_assert_eq(stamp.number, 42);
}

Test(mcpload_stamp, the_stamp_of_a_notification_is_found_behind_its_frame)
{
    char data[256];
    struct stamp stamp;

    snprintf(data, sizeof data,
             "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/"
             "message\",\"params\":{\"level\":\"info\",\"data\":%s}}",
             event);
    cr_assert(stamp_read(text_of(data), &stamp));
    cr_assert_eq(stamp.number, 42);
}

/* Each cut is in memory of its own, so that a sanitizer sees what is read beyond it. */
Test(mcpload_stamp, a_stamp_that_is_cut_or_has_other_characters_is_none)
{
    size_t whole = strlen(event) - strlen("\",\"pad\":\"xx\"}");
    struct stamp stamp;

    for (size_t len = 0; len < whole; len++) {
        char *copy = malloc(len + 1);

        memcpy(copy, event, len);
        cr_assert(!stamp_read((struct text){copy, (uint32_t)len}, &stamp), "of %zu bytes", len);
        free(copy);
    }
    for (size_t at = 1; at < whole; at++) {
        char copy[sizeof event];

        memcpy(copy, event, sizeof event);
        copy[at] = '#';
        cr_assert(!stamp_read(text_of(copy), &stamp), "%s", copy);
    }
}

Test(mcpload_stamp, digits_that_are_written_are_read_again)
{
    static const uint64_t values[] = {0, 1, 9, 10, 1234567890123456, 99999999999999999};
    char digits[STAMP_DIGITS];
    uint64_t value;

    for (unsigned i = 0; i < sizeof values / sizeof *values; i++) {
        stamp_digits(digits, STAMP_DIGITS, values[i]);
        cr_assert(stamp_digits_read((struct text){digits, STAMP_DIGITS}, STAMP_DIGITS, &value));
        cr_assert_eq(value, values[i]);
    }
}

Test(mcpload_schedule, a_burst_of_one_spreads_things_evenly)
{
    for (uint64_t n = 0; n < 1000; n++)
        cr_assert_eq(schedule_due_ns(5, 1000, 1, n), 5 + n * 1000000);
}

Test(mcpload_schedule, bursts_leave_at_once_and_keep_the_mean_rate)
{
    for (uint64_t n = 0; n < 1000; n++)
        cr_assert_eq(schedule_due_ns(0, 1000, 50, n), n / 50 * 50000000);
}

Test(mcpload_schedule, no_thing_is_due_before_the_one_in_front_of_it)
{
    for (uint64_t burst = 1; burst < 60; burst += 7)
        for (uint64_t n = 0; n < 10000; n++)
            cr_assert_leq(schedule_due_ns(0, 333.3, burst, n), schedule_due_ns(0, 333.3, burst, n + 1));
}
