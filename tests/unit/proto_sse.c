/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/sse.h"
#include "vectors.h"

#include <criterion/criterion.h>
#include <stdio.h>

/* --- the boundary scanner --- */

struct scan_case {
    const char *bytes;
    uint32_t events;
    bool boundary;  /* at the end */
    const char *id; /* the last id at the end */
};

static const struct scan_case scan_cases[] = {
    {"", 0, true, ""},
    {"data: a\n\n", 1, true, ""},
    {"data: a\r\n\r\n", 1, true, ""},
    {"data: a\r\r", 1, true, ""},
    {"data: a\n", 0, false, ""},
    {"data: a\r\n", 0, false, ""},
    {"data: a", 0, false, ""},
    {"data: a\n\ndata: b\n\n", 2, true, ""},
    {"data: a\n\r\ndata: b\r\r\n", 2, true, ""},
    {":\n\n", 0, true, ""},
    {": comment\n", 0, true, ""},
    {": comm", 0, false, ""},
    {": c\n: d\n\n\n\n\n", 0, true, ""},
    {": c\ndata: a\n\n", 1, true, ""},
    {"data: a\n: c\n\n", 1, true, ""},
    {"data: a\n: c\n", 0, false, ""},
    {"retry: 5\n\n", 1, true, ""},
    {"\n\n\n", 0, true, ""},
    {"\xef\xbb\xbf", 0, true, ""},
    {"\xef\xbb", 0, false, ""},
    {"\xef\xbb\xbf\n", 0, true, ""},
    {"\xef\xbb\xbf: c\n\n", 0, true, ""},
    {"\xef\xbb\xbfid: 1\n\n", 1, true, "1"},
    {"\xef\xbbid: 1\n\n", 1, true, ""},
    {"\xef\xbb\n\n", 1, true, ""},
    {"\n\xef\xbb\xbf\n\n", 1, true, ""}, /* a BOM elsewhere is a field name */
    {"\xef\xbb\xbf\xef\xbb\xbf\n\n", 1, true, ""},
    {"id: 7\ndata: a\n\n", 1, true, "7"},
    {"id:7\r\ndata: a\r\n\r\n", 1, true, "7"},
    {"id:  7\n\n", 1, true, " 7"},
    {"id: 7\n\nid\n\n", 2, true, ""},
    {"id: 7\n\nid:\n\n", 2, true, ""},
    {"id: 7\n\nid: 8\n", 1, false, "7"}, /* not before its event ends */
    {"id: 7\nid: 8\n\n", 1, true, "8"},
    {"id: 7\n\nidx: 8\ni: 9\n: id: 3\n id: 4\n\n", 2, true, "7"},
    {"id: 12345678901234567890123456789012345678901234567890\ndata: "
     "{\"a\":\"0123456789012345678901234567890\"}\n\n",
     1, true, "12345678901234567890123456789012345678901234567890"},
};

static void
scan_check(const struct scan_case *c, struct sse_scan *scan, uint32_t events, const struct sse_id *id)
{
    cr_assert_eq(events, c->events, "%s: %u events", c->bytes, events);
    cr_assert_eq(sse_scan_at_boundary(scan), c->boundary, "%s", c->bytes);
    if (id)
        cr_assert(text_eq((struct text){id->id, id->len}, text_of(c->id)), "%s: id %.*s", c->bytes, id->len,
                  id->id);
}

Test(sse_scan, counts_events_the_same_whole_and_at_every_split)
{
    for (size_t i = 0; i < sizeof scan_cases / sizeof *scan_cases; i++) {
        const struct scan_case *c = &scan_cases[i];
        uint32_t len = (uint32_t)strlen(c->bytes);

        for (uint32_t split = 0; split <= len; split++) {
            struct sse_scan plain = {0}, with = {0};
            struct sse_id id = {0};
            uint32_t events = sse_scan(&plain, c->bytes, split);

            events += sse_scan(&plain, c->bytes + split, len - split);
            scan_check(c, &plain, events, NULL);
            events = sse_scan_ids(&with, &id, c->bytes, split);
            events += sse_scan_ids(&with, &id, c->bytes + split, len - split);
            scan_check(c, &with, events, &id);
        }
    }
}

/* As a spliced stream does it: no sse_id before the first line that may be an id. */
static uint32_t
scan_lazily(struct sse_scan *scan, struct sse_id *id, bool *keeps, const char *at, uint32_t len)
{
    uint32_t used = 0, events = 0;

    if (!*keeps)
        events = sse_scan_until_id(scan, at, len, &used);
    *keeps |= used < len;
    return used < len ? events + sse_scan_ids(scan, id, at + used, len - used) : events;
}

Test(sse_scan, stops_in_front_of_the_first_id_at_every_split)
{
    for (size_t i = 0; i < sizeof scan_cases / sizeof *scan_cases; i++) {
        const struct scan_case *c = &scan_cases[i];
        uint32_t len = (uint32_t)strlen(c->bytes);

        for (uint32_t split = 0; split <= len; split++) {
            struct sse_scan scan = {0};
            struct sse_id id = {0};
            bool keeps = false;
            uint32_t events = scan_lazily(&scan, &id, &keeps, c->bytes, split);

            events += scan_lazily(&scan, &id, &keeps, c->bytes + split, len - split);
            scan_check(c, &scan, events, &id);
            cr_assert(keeps || !*c->id, "%s", c->bytes);
        }
    }
}

Test(sse_scan, a_stream_without_ids_is_scanned_to_its_end)
{
    struct sse_scan scan = {0};
    uint32_t used;

    cr_assert_eq(sse_scan_until_id(&scan, "event: id\ndata: id: 1\n: id: 2\n\n", 32, &used), 1);
    cr_assert_eq(used, 32);
}

Test(sse_scan, stops_behind_each_event_at_every_split)
{
    for (size_t i = 0; i < sizeof scan_cases / sizeof *scan_cases; i++) {
        const struct scan_case *c = &scan_cases[i];
        uint32_t len = (uint32_t)strlen(c->bytes);

        for (uint32_t split = 0; split <= len; split++) {
            struct sse_scan scan = {0}, plain = {0};
            uint32_t at = 0, used, events = 0;

            while (at < len) {
                uint32_t n = at < split ? split - at : len - at, one;

                one = sse_scan_event(&scan, c->bytes + at, n, &used);
                cr_assert(one ? one == 1 && sse_scan_at_boundary(&scan) : used == n, "%s", c->bytes);
                cr_assert_eq(sse_scan(&plain, c->bytes + at, used), one, "%s", c->bytes);
                at += used;
                events += one;
            }
            scan_check(c, &scan, events, NULL);
        }
    }
}

Test(sse_scan, counts_events_the_same_byte_by_byte)
{
    for (size_t i = 0; i < sizeof scan_cases / sizeof *scan_cases; i++) {
        const struct scan_case *c = &scan_cases[i];
        struct sse_scan scan = {0};
        struct sse_id id = {0};
        uint32_t events = 0;

        for (const char *at = c->bytes; *at; at++)
            events += sse_scan_ids(&scan, &id, at, 1);
        scan_check(c, &scan, events, &id);
    }
}

Test(sse_scan, reads_no_byte_behind_its_input)
{
    for (size_t i = 0; i < sizeof scan_cases / sizeof *scan_cases; i++) {
        const struct scan_case *c = &scan_cases[i];
        uint32_t len = (uint32_t)strlen(c->bytes);
        struct sse_scan scan = {0};
        struct sse_id id = {0};
        uint32_t events = sse_scan_ids(&scan, &id, vector_at_guard(c->bytes, len), len);

        scan_check(c, &scan, events, &id);
    }
}

Test(sse_scan, ignores_an_id_with_a_nul)
{
    static const char bytes[] = "id: 1\n\nid: a\0b\n\n";
    struct sse_scan scan = {0};
    struct sse_id id = {0};

    cr_assert_eq(sse_scan_ids(&scan, &id, bytes, sizeof bytes - 1), 2);
    cr_assert(id.len == 1 && id.id[0] == '1');
}

Test(sse_scan, reports_an_id_that_is_too_long_to_keep_and_recovers)
{
    char bytes[400];
    int n = snprintf(bytes, sizeof bytes, "id: %0*d\n\n", SSE_ID_MAX + 1, 1);

    for (int split = 0; split <= n; split++) {
        struct sse_scan scan = {0};
        struct sse_id id = {0};

        sse_scan_ids(&scan, &id, bytes, (uint32_t)split);
        sse_scan_ids(&scan, &id, bytes + split, (uint32_t)(n - split));
        cr_assert(id.overflow && id.len == 0);
        sse_scan_ids(&scan, &id, "id: 2\n\n", 7);
        cr_assert(!id.overflow && id.len == 1);
    }
    n = snprintf(bytes, sizeof bytes, "id: %0*d\n\n", SSE_ID_MAX, 1);
    struct sse_scan scan = {0};
    struct sse_id id = {0};
    sse_scan_ids(&scan, &id, bytes, (uint32_t)n);
    cr_assert(!id.overflow && id.len == SSE_ID_MAX);
}

Test(sse_scan, says_how_much_of_the_input_is_a_bom)
{
    struct sse_scan scan = {0};

    cr_assert_eq(sse_scan_bom(&scan, "\xef\xbb\xbfx", 4), 3);
    cr_assert_eq(sse_scan_bom(&scan, "x\xef\xbb\xbf", 4), 0);
    cr_assert_eq(sse_scan_bom(&scan, "\xef", 1), 1);
    sse_scan(&scan, "\xef", 1);
    cr_assert_eq(sse_scan_bom(&scan, "\xbb\xbf:", 3), 2);
    sse_scan(&scan, "\xbb\xbf:", 3);
    cr_assert_eq(sse_scan_bom(&scan, "\xef", 1), 0);
}

/* --- the event parser --- */

static const struct {
    const char *bytes, *want; /* want: [event|data|id|retry] per event, '!' for a fault */
} parse_cases[] = {
    {"data: a\n\n", "[|a||-1]"},
    {"data:a\r\rdata:  b\r\n\r\n", "[|a||-1][| b||-1]"},
    {"data: a\ndata: b\ndata\ndata: \n\n", "[|a\nb\n\n||-1]"},
    {"data\n\n", "[|||-1]"},
    {"data:\n\n", "[|||-1]"},
    {"data\ndata\n\n", "[|\n||-1]"},
    {"event: ping\n\n", ""},
    {"event: ping\ndata: 1\n\ndata: 2\n\n", "[ping|1||-1][|2||-1]"},
    {"event: a\nevent: b\ndata: 1\n\n", "[b|1||-1]"},
    {"event: a\nevent\ndata: 1\n\n", "[|1||-1]"},
    {"id: 5\ndata: x\n\ndata: y\n\n", "[|x|5|-1][|y|5|-1]"},
    {"id: 5\n\ndata: y\n\n", "[|y|5|-1]"},
    {"id: 5\ndata: x\n\nid\ndata: y\n\n", "[|x|5|-1][|y||-1]"},
    {"retry: 1500\n\ndata: x\n\n", "[|x||1500]"},
    {"retry: 15x\nretry:\nretry: -1\ndata: x\n\n", "[|x||-1]"},
    {"retry: 99999999999999999999\ndata: x\n\n", "[|x||2147483647]"},
    {": hello\n:\n\ndata: x\n: y\n\n", "[|x||-1]"},
    {"\xef\xbb\xbf"
     "data: x\n\n",
     "[|x||-1]"},
    {"\xef\xbb"
     "data: x\n\n",
     ""},
    {"\xef\xbb\xbf\xef\xbb\xbf"
     "data: x\n\n",
     ""},
    {"DATA: x\ndatum: 1\n data: 2\nunknownfield: 3\ndata : 4\n\n", ""},
    {"unknownfield\ndata: 1\n\n", "[|1||-1]"},
    {"data: \xc3\xa9\xe2\x82\xac\n\n", "[|\xc3\xa9\xe2\x82\xac||-1]"},
    {"data: not ended\n", ""},
    {"data: a:b: c\n\n", "[|a:b: c||-1]"},
    {"event: 12345678901234567890123456789012345678901234567890123456789012345\n", "!"},
    {"data: 123456789012345678901234567890123456789\n\n", "[|123456789012345678901234567890123456789||-1]"},
    {"data: 1234567890123456789012345678901234567890\ndata: 1234567890123456789012345\n\n", "!"},
};

struct log {
    char text[512];
    int len;
};

static void
parse_feed(struct sse_parser *p, struct log *log, const char *at, uint32_t len)
{
    struct sse_event e;
    enum parse_result r;
    uint32_t used;

    while ((r = sse_parser_next(p, at, len, &used, &e)) == PARSE_OK) {
        log->len += snprintf(log->text + log->len, sizeof log->text - (size_t)log->len, "[%.*s|%.*s|%.*s|%d]",
                             (int)e.event.len, e.event.at, (int)e.data.len, e.data.at, (int)e.id.len, e.id.at,
                             (int)e.retry_ms);
        at += used;
        len -= used;
    }
    if (r == PARSE_MORE) {
        cr_assert_eq(used, len);
    } else if (!log->len || log->text[log->len - 1] != '!') {
        cr_assert_neq(p->fault, SSE_FINE);
        log->len += snprintf(log->text + log->len, sizeof log->text - (size_t)log->len, "!");
    }
}

static bool
never_grow(struct sse_buffer *buffer, uint32_t used, uint32_t need)
{
    cr_assert(need > buffer->size && used <= buffer->size);
    return false;
}

static void
parse_begin(struct sse_parser *p, struct sse_buffer *buffer, struct log *log)
{
    static char room[64];

    *buffer = (struct sse_buffer){room, sizeof room, never_grow};
    sse_parser_init(p, buffer);
    memset(log, 0, sizeof *log);
}

Test(sse_parser, gives_the_same_events_whole_at_every_split_and_byte_by_byte)
{
    for (size_t i = 0; i < sizeof parse_cases / sizeof *parse_cases; i++) {
        const char *bytes = parse_cases[i].bytes;
        uint32_t len = (uint32_t)strlen(bytes);
        struct sse_parser p;
        struct sse_buffer buffer;
        struct log log;

        for (uint32_t split = 0; split <= len; split++) {
            parse_begin(&p, &buffer, &log);
            parse_feed(&p, &log, bytes, split);
            parse_feed(&p, &log, bytes + split, len - split);
            cr_assert_str_eq(log.text, parse_cases[i].want, "%s at %u: %s", bytes, split, log.text);
        }
        parse_begin(&p, &buffer, &log);
        for (uint32_t k = 0; k < len; k++)
            parse_feed(&p, &log, bytes + k, 1);
        cr_assert_str_eq(log.text, parse_cases[i].want, "%s by bytes: %s", bytes, log.text);
        parse_begin(&p, &buffer, &log);
        parse_feed(&p, &log, vector_at_guard(bytes, len), len);
        cr_assert_str_eq(log.text, parse_cases[i].want, "%s at guard: %s", bytes, log.text);
    }
}

Test(sse_parser, ignores_an_id_with_a_nul)
{
    static const char bytes[] = "id: 1\nid: a\0b\ndata: x\n\n";
    struct sse_parser p;
    struct sse_buffer buffer;
    struct log log;

    parse_begin(&p, &buffer, &log);
    parse_feed(&p, &log, bytes, sizeof bytes - 1);
    cr_assert_str_eq(log.text, "[|x|1|-1]");
}

Test(sse_parser, stays_bad_after_a_fault_and_names_it)
{
    char bytes[400];
    int n = snprintf(bytes, sizeof bytes, "id: %0*d\n", SSE_LAST_ID_MAX + 1, 1);
    struct sse_parser p;
    struct sse_buffer buffer;
    struct log log;
    struct sse_event e;
    uint32_t used;

    parse_begin(&p, &buffer, &log);
    cr_assert_eq(sse_parser_next(&p, bytes, (uint32_t)n, &used, &e), PARSE_BAD);
    cr_assert_eq(p.fault, SSE_ID_TOO_LONG);
    cr_assert(strstr(sse_fault_text(p.fault), "id"));
    cr_assert_eq(sse_parser_next(&p, "data: x\n\n", 9, &used, &e), PARSE_BAD);
}

Test(sse_parser, takes_a_retry_line_of_any_length_for_no_number)
{
    char bytes[400];
    int n = snprintf(bytes, sizeof bytes, "retry: %0*d\ndata: x\n\n", SSE_LAST_ID_MAX + 1, 1);
    struct sse_parser p;
    struct sse_buffer buffer;
    struct log log;

    parse_begin(&p, &buffer, &log);
    parse_feed(&p, &log, bytes, (uint32_t)n);
    cr_assert_str_eq(log.text, "[|x||-1]");
}

static bool
grow_by_realloc(struct sse_buffer *buffer, uint32_t used, uint32_t need)
{
    char *at = realloc(buffer->at, need * 2);

    (void)used; /* realloc keeps all */
    cr_assert_not_null(at);
    buffer->at = at;
    buffer->size = need * 2;
    return true;
}

Test(sse_parser, lets_its_buffer_grow)
{
    struct sse_buffer buffer = {NULL, 0, grow_by_realloc};
    struct sse_parser p;
    struct sse_event e;
    uint32_t used, len = 100000;
    char *bytes = malloc(len + 8);

    memcpy(bytes, "data: ", 6);
    memset(bytes + 6, 'x', len);
    memcpy(bytes + 6 + len, "\n\n", 2);
    sse_parser_init(&p, &buffer);
    cr_assert_eq(sse_parser_next(&p, bytes, 1000, &used, &e), PARSE_MORE);
    cr_assert_eq(sse_parser_next(&p, bytes + 1000, len + 8 - 1000, &used, &e), PARSE_OK);
    cr_assert_eq(used, len + 8 - 1000);
    cr_assert(e.data.len == len && memcmp(e.data.at, bytes + 6, len) == 0);
    free(bytes);
    free(buffer.at);
}

/* --- writing --- */

static const struct {
    struct sse_event event;
    const char *want; /* NULL: refused */
} write_cases[] = {
    {{.data = {"{}", 2}, .retry_ms = -1}, "data: {}\n\n"},
    {{.data = {"", 0}, .retry_ms = -1}, "data: \n\n"},
    {{.event = {"message", 7}, .data = {"a", 1}, .id = {"9", 1}, .retry_ms = 20},
     "event: message\nid: 9\nretry: 20\ndata: a\n\n"},
    {{.data = {"a\nb\r\nc\rd\n", 9}, .retry_ms = -1}, "data: a\ndata: b\ndata: c\ndata: d\ndata: \n\n"},
    {{.data = {"a", 1}, .id = {"", 0}, .retry_ms = -1}, "id: \ndata: a\n\n"},
    {{.event = {"a\nb", 3}, .data = {"a", 1}, .retry_ms = -1}, NULL},
    {{.id = {"a\rb", 3}, .data = {"a", 1}, .retry_ms = -1}, NULL},
    {{.id = {"a\0b", 3}, .data = {"a", 1}, .retry_ms = -1}, NULL},
};

Test(sse_write, writes_events_that_cannot_break_out_of_their_fields)
{
    char out[128];

    for (size_t i = 0; i < sizeof write_cases / sizeof *write_cases; i++) {
        uint32_t n = sse_write_event(out, sizeof out, &write_cases[i].event);

        if (!write_cases[i].want) {
            cr_assert_eq(n, 0);
            cr_assert_eq(sse_write_head(out, sizeof out, &write_cases[i].event), 0);
            continue;
        }
        cr_assert(text_eq((struct text){out, n}, text_of(write_cases[i].want)), "%.*s", (int)n, out);
        cr_assert_eq(sse_write_event(out, n, &write_cases[i].event), n);
        cr_assert_eq(sse_write_event(out, n - 1, &write_cases[i].event), 0);
    }
}

Test(sse_write, writes_the_head_of_an_event_whose_data_lies_elsewhere)
{
    struct sse_event e = {.event = TEXT("message"), .retry_ms = -1};
    char out[64];
    uint32_t n = sse_write_head(out, sizeof out, &e);

    cr_assert(text_eq((struct text){out, n}, TEXT("event: message\ndata: ")));
}

Test(sse_write, has_a_heartbeat_that_is_no_event_for_any_client)
{
    struct sse_parser p;
    struct sse_buffer buffer;
    struct log log;
    struct sse_scan scan = {0};

    parse_begin(&p, &buffer, &log);
    parse_feed(&p, &log, SSE_HEARTBEAT "data: 1\r\n\r", sizeof SSE_HEARTBEAT + 9);
    parse_feed(&p, &log, SSE_HEARTBEAT, sizeof SSE_HEARTBEAT - 1);
    parse_feed(&p, &log, "\ndata: 2\n\n", 10);
    cr_assert_str_eq(log.text, "[|1||-1][|2||-1]");
    cr_assert_eq(sse_scan(&scan, SSE_HEARTBEAT, sizeof SSE_HEARTBEAT - 1), 0);
    cr_assert(sse_scan_at_boundary(&scan));
}
