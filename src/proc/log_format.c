/* SPDX-License-Identifier: Apache-2.0 */
/* A log record as a line of text or JSON. No I/O. */
#include "proc/log_out.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static const char *const level_names[] = {
    [LOG_ERROR] = "error", [LOG_WARNING] = "warning", [LOG_INFO] = "info",
    [LOG_DEBUG] = "debug", [LOG_ACCESS] = "access",
};

static const char *
level_name(unsigned level)
{
    return level < sizeof level_names / sizeof *level_names ? level_names[level] : "unknown";
}

struct line {
    char *at;
    size_t len, room; /* room: without the tail that closes the line */
};

/* False, and nothing is written, when there is no room for all of it. */
static bool
line_put(struct line *line, const char *bytes, size_t len)
{
    if (len > line->room - line->len)
        return false;
    memcpy(line->at + line->len, bytes, len);
    line->len += len;
    return true;
}

__attribute__((format(printf, 2, 3))) static void
line_printf(struct line *line, const char *format, ...)
{
    char text[160];
    va_list args;

    va_start(args, format);
    int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    line_put(line, text, n < (int)sizeof text ? (size_t)n : sizeof text - 1);
}

/* RFC 3339 in UTC with milliseconds. */
static void
put_time(struct line *line, uint64_t time_ns)
{
    time_t seconds = (time_t)(time_ns / 1000000000u);
    struct tm tm;
    char text[32];

    gmtime_r(&seconds, &tm);
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm);
    line_printf(line, "%s.%03" PRIu64 "Z", text, time_ns / 1000000u % 1000);
}

static void
put_escaped_text(struct line *line, const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        char escaped[8];
        bool fits;

        if (c < 0x20 || c == 0x7f)
            fits = line_put(line, escaped, (size_t)snprintf(escaped, sizeof escaped, "\\x%02x", c));
        else
            fits = line_put(line, &text[i], 1);
        if (!fits)
            return;
    }
}

/* Length of the well-formed UTF-8 sequence at `s` (RFC 3629 section 4), 0 when there is none. */
static size_t
utf8_length(const unsigned char *s, size_t len)
{
    unsigned char c = s[0], low = 0x80, high = 0xbf;
    size_t need;

    if (c < 0x80)
        return 1;
    if (c < 0xc2 || c > 0xf4)
        return 0;
    need = c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
    if (need > len)
        return 0;
    if (c == 0xe0)
        low = 0xa0;
    else if (c == 0xed)
        high = 0x9f;
    else if (c == 0xf0)
        low = 0x90;
    else if (c == 0xf4)
        high = 0x8f;
    if (s[1] < low || s[1] > high)
        return 0;
    for (size_t i = 2; i < need; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    return need;
}

static void
put_escaped_json(struct line *line, const char *text, size_t len)
{
    const unsigned char *s = (const unsigned char *)text;
    size_t step;

    for (size_t i = 0; i < len; i += step) {
        char escaped[8];
        bool fits;

        step = utf8_length(s + i, len - i);
        if (step == 0) {
            step = 1;
            fits = line_put(line, "\\ufffd", 6);
        } else if (s[i] < 0x20 || s[i] == 0x7f) {
            fits = line_put(line, escaped, (size_t)snprintf(escaped, sizeof escaped, "\\u%04x", s[i]));
        } else if (s[i] == '"' || s[i] == '\\') {
            fits = line_put(line, (char[]){'\\', text[i]}, 2);
        } else {
            fits = line_put(line, text + i, step);
        }
        if (!fits)
            return;
    }
}

static void
format_text(struct line *line, const char *role, uint32_t slot, const struct log_record *record)
{
    put_time(line, record->time_ns);
    line_printf(line, " %s ", level_name(record->level));
    if (role)
        line_printf(line, "%s %" PRIu32 ": ", role, slot);
    else
        line_printf(line, "supervisor: ");
    put_escaped_text(line, record->text, record->len);
}

static void
format_json(struct line *line, const char *role, uint32_t slot, const struct log_record *record)
{
    bool object = record->level == LOG_ACCESS && record->len > 1 && record->text[0] == '{' &&
                  record->text[record->len - 1] == '}';

    line_printf(line, "{\"time\":\"");
    put_time(line, record->time_ns);
    line_printf(line, "\",\"level\":\"%s\",\"role\":\"%s\"", level_name(record->level),
                role ? role : "supervisor");
    if (role)
        line_printf(line, ",\"slot\":%" PRIu32, slot);
    line_printf(line, ",\"pid\":%" PRIu32, record->pid);
    if (object) {
        line_printf(line, ",\"access\":");
        line_put(line, record->text, record->len);
    } else {
        line_printf(line, ",\"message\":\"");
        put_escaped_json(line, record->text, record->len);
    }
    line->room += 2; /* the tail, for which room was kept */
    if (object)
        line_put(line, "}", 1);
    else
        line_put(line, "\"}", 2);
}

size_t
log_out_format(char out[LOG_OUT_LINE_MAX], bool json, const char *role, uint32_t slot,
               const struct log_record *record)
{
    struct line line = {.at = out, .room = LOG_OUT_LINE_MAX - 3};

    if (json)
        format_json(&line, role, slot, record);
    else
        format_text(&line, role, slot, record);
    out[line.len++] = '\n';
    return line.len;
}
