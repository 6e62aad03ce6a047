/* SPDX-License-Identifier: Apache-2.0 */
/* Log lines as they leave: text for people, JSON for machines, whatever bytes a client made a worker log. */
#include "proc/log_out.h"

#include <criterion/criterion.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

static struct log_record
record_of(enum log_level level, const char *text, size_t len)
{
    struct log_record record = {
        .time_ns = 1767225600250999999u, .pid = 812, .len = (uint16_t)len, .level = (uint8_t)level};

    memcpy(record.text, text, len);
    return record;
}

static const char *
format(bool json, const char *role, uint32_t slot, enum log_level level, const char *text)
{
    static char line[LOG_OUT_LINE_MAX + 1];
    const struct log_record record = record_of(level, text, strlen(text));

    line[log_out_format(line, json, role, slot, &record)] = '\0';
    return line;
}

Test(log_format, text_has_time_level_role_and_slot)
{
    cr_assert_str_eq(format(false, "worker", 3, LOG_WARNING, "upstream fs: gone"),
                     "2026-01-01T00:00:00.250Z warning worker 3: upstream fs: gone\n");
    cr_assert_str_eq(format(false, NULL, 0, LOG_INFO, "ended"),
                     "2026-01-01T00:00:00.250Z info supervisor: ended\n");
}

Test(log_format, text_shows_control_bytes_so_that_a_line_stays_a_line)
{
    cr_assert_str_eq(format(false, "worker", 0, LOG_INFO, "a\nb\x1b[31m\x7f"),
                     "2026-01-01T00:00:00.250Z info worker 0: a\\x0ab\\x1b[31m\\x7f\n");
}

Test(log_format, json_has_every_field)
{
    cr_assert_str_eq(
        format(true, "admin", 2, LOG_ERROR, "a \"b\" \\ \n"),
        "{\"time\":\"2026-01-01T00:00:00.250Z\",\"level\":\"error\",\"role\":\"admin\",\"slot\":2,"
        "\"pid\":812,\"message\":\"a \\\"b\\\" \\\\ \\u000a\"}\n");
    cr_assert_str_eq(
        format(true, NULL, 0, LOG_DEBUG, ""),
        "{\"time\":\"2026-01-01T00:00:00.250Z\",\"level\":\"debug\",\"role\":\"supervisor\",\"pid\":812,"
        "\"message\":\"\"}\n");
}

Test(log_format, json_takes_an_access_line_that_is_an_object_as_it_is)
{
    cr_assert_str_eq(
        format(true, "worker", 0, LOG_ACCESS, "{\"status\":200}"),
        "{\"time\":\"2026-01-01T00:00:00.250Z\",\"level\":\"access\",\"role\":\"worker\",\"slot\":0,"
        "\"pid\":812,\"access\":{\"status\":200}}\n");
    cr_assert(strstr(format(true, "worker", 0, LOG_ACCESS, "GET / 200"), "\"message\":\"GET / 200\"}"));
    cr_assert(strstr(format(true, "worker", 0, LOG_INFO, "{}"), "\"message\":\"{}\"}"));
}

Test(log_format, json_replaces_what_is_not_utf8)
{
    static const struct {
        const char *bytes, *wanted;
    } rows[] = {
        {"\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80", "\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80"},
        {"\xff", "\\ufffd"},
        {"a\x80", "a\\ufffd"},
        {"\xc3", "\\ufffd"},            /* cut short */
        {"\xc0\xaf", "\\ufffd\\ufffd"}, /* overlong */
        {"\xe0\x80\xaf", "\\ufffd\\ufffd\\ufffd"},
        {"\xed\xa0\x80", "\\ufffd\\ufffd\\ufffd"},            /* a surrogate */
        {"\xf4\x90\x80\x80", "\\ufffd\\ufffd\\ufffd\\ufffd"}, /* past U+10FFFF */
    };
    char wanted[64];

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        snprintf(wanted, sizeof wanted, "\"message\":\"%s\"}\n", rows[i].wanted);
        cr_assert(strstr(format(true, "worker", 0, LOG_INFO, rows[i].bytes), wanted), "row %zu: %s", i,
                  format(true, "worker", 0, LOG_INFO, rows[i].bytes));
    }
}

Test(log_format, every_line_of_any_bytes_fits_a_pipe_and_is_valid_json)
{
    char text[LOG_LINE_MAX], line[LOG_OUT_LINE_MAX];
    uint32_t seed = 1;

    for (unsigned round = 0; round < 2000; round++) {
        size_t len = round % (LOG_LINE_MAX - 1);
        for (size_t i = 0; i < len; i++) {
            seed = seed * 1664525 + 1013904223;
            text[i] = (char)(round % 3 ? seed >> 24 : 1 /* the longest escape there is */);
        }
        const struct log_record record = record_of(LOG_INFO, text, len);
        size_t n = log_out_format(line, true, "worker", 1, &record);
        json_error_t error;
        cr_assert_leq(n, (size_t)LOG_OUT_LINE_MAX);
        cr_assert_eq(line[n - 1], '\n');
        json_t *value = json_loadb(line, n, JSON_ALLOW_NUL, &error);
        cr_assert(value, "%s: %.*s", error.text, (int)n, line);
        json_decref(value);
        n = log_out_format(line, false, "worker", 1, &record);
        cr_assert(n <= LOG_OUT_LINE_MAX && memchr(line, '\n', n) == line + n - 1);
    }
}
