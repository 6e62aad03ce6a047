/* SPDX-License-Identifier: Apache-2.0 */
#include "http1_summary.h"
#include "http1_vectors.h"
#include "vectors.h"

#include <criterion/criterion.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

static const struct http1_limits limits = {.line = 8192, .head = 32768, .headers = 100};

static enum parse_result
parse(const struct head_vector *v, bool reply, const char *at, uint32_t len, uint32_t scanned,
      struct summary *ret)
{
    static struct http1_head head;
    enum close_reason why = CLOSE_NONE;
    uint32_t used = 0;
    enum parse_result r;

    memset(&head, 0xa5, sizeof head); /* nothing may depend on what was there */
    r = reply ? http1_parse_reply(at, len, scanned, v->method, &limits, &head, &used, &why)
              : http1_parse_request(at, len, scanned, &limits, &head, &used, &why);
    summarize_head(ret, r, &head, why, v->len - used);
    return r;
}

/* What a caller sees that has the first `first` bytes, then one more each time. A fault may show later than
 * in the whole, but never as a head that is fine. */
static void
check_arrival(const struct head_vector *v, bool reply, uint32_t first)
{
    struct summary got = {.text = "more"};
    enum parse_result r = PARSE_MORE;
    uint32_t scanned = 0;

    for (uint32_t n = first; r == PARSE_MORE && n <= v->len; n++) {
        r = parse(v, reply, vector_at_guard(v->bytes, n), n, scanned, &got);
        scanned = n;
    }
    if (r == PARSE_MORE && strcmp(v->want, "more") != 0) {
        cr_assert(!memmem(v->bytes, v->len, "\r\n\r\n", 4), "%s: from %u: undecided at its end", v->name,
                  first);
        return;
    }
    cr_assert_str_eq(got.text, v->want, "%s: from %u: got '%s', not '%s'", v->name, first, got.text, v->want);
}

static void
check_split(const struct head_vector *v, bool reply, uint32_t at)
{
    struct summary got;

    if (parse(v, reply, vector_at_guard(v->bytes, at), at, 0, &got) == PARSE_MORE)
        parse(v, reply, vector_at_guard(v->bytes, v->len), v->len, at, &got);
    if (strcmp(got.text, "more") == 0 && strcmp(v->want, "more") != 0) {
        cr_assert(!memmem(v->bytes, v->len, "\r\n\r\n", 4), "%s: split at %u: undecided", v->name, at);
        return;
    }
    cr_assert_str_eq(got.text, v->want, "%s: split at %u: got '%s', not '%s'", v->name, at, got.text,
                     v->want);
}

static void
check_heads(const struct head_vector *vectors, size_t count, bool reply)
{
    for (const struct head_vector *v = vectors; v < vectors + count; v++) {
        struct summary got;

        parse(v, reply, v->bytes, v->len, 0, &got);
        cr_assert_str_eq(got.text, v->want, "%s: got '%s', not '%s'", v->name, got.text, v->want);
        parse(v, reply, vector_at_guard(v->bytes, v->len), v->len, 0, &got);
        cr_assert_str_eq(got.text, v->want, "%s: at a guard page: got '%s'", v->name, got.text);
        for (uint32_t first = 0; first <= v->len; first++)
            check_split(v, reply, first);
        check_arrival(v, reply, 1);
        check_arrival(v, reply, 5);
    }
}

Test(http1, judges_every_request_vector_alike_in_any_pieces)
{
    check_heads(request_vectors, COUNT(request_vectors), false);
}

Test(http1, judges_every_reply_vector_alike_in_any_pieces)
{
    check_heads(reply_vectors, COUNT(reply_vectors), true);
}

Test(http1, finds_the_same_faults_wherever_they_lie_in_a_16_byte_step)
{
    static const char faults[] = {0, 1, '\n', '\v', 0x1f, 0x7f};

    for (uint32_t len = 1; len < 40; len++) {
        for (uint32_t at = 0; at < len; at++) {
            for (size_t f = 0; f < sizeof faults; f++) {
                char bytes[128], value[64];
                struct head_vector v = {.name = "fault", .bytes = bytes};
                struct summary got;
                int n;

                memset(value, 'a', sizeof value);
                value[len] = 0;
                n = snprintf(bytes, sizeof bytes, "GET / HTTP/1.1\r\nHost: a\r\nX: %s\r\n\r\n", value);
                v.len = (uint32_t)n;
                cr_assert_eq(parse(&v, false, bytes, v.len, 0, &got), PARSE_OK);
                bytes[n - 4 - (int)len + (int)at] = faults[f];
                cr_assert_eq(parse(&v, false, vector_at_guard(bytes, v.len), v.len, 0, &got), PARSE_BAD);

                n = snprintf(bytes, sizeof bytes, "GET /%s HTTP/1.1\r\nHost: a\r\n\r\n", value);
                v.len = (uint32_t)n;
                cr_assert_eq(parse(&v, false, bytes, v.len, 0, &got), PARSE_OK);
                bytes[5 + at] = faults[f];
                cr_assert_eq(parse(&v, false, vector_at_guard(bytes, v.len), v.len, 0, &got), PARSE_BAD);
            }
        }
    }
}

Test(http1, accepts_exactly_the_token_characters_in_names)
{
    static const char tchar[] =
        "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

    for (int c = 0; c < 256; c++) {
        const bool good = c != 0 && strchr(tchar, c) != NULL;
        char bytes[] = "GET / HTTP/1.1\r\nHost: a\r\nab?cd: e\r\n\r\n", one = (char)c;
        struct head_vector v = {.name = "name", .bytes = bytes, .len = sizeof bytes - 1};
        struct summary got;

        *strchr(bytes, '?') = (char)c;
        if (c != ':') /* ends the name */
            cr_assert_eq(parse(&v, false, bytes, v.len, 0, &got), good ? PARSE_OK : PARSE_BAD, "byte %d", c);
        cr_assert_eq(http_token((struct text){&one, 1}), good, "byte %d", c);
    }
    cr_assert(!http_token(TEXT("")));
}

Test(http1, gives_names_values_and_first_lines_as_they_came)
{
    static const char bytes[] = "POST http://h:1/p?q HTTP/1.1\r\nhOST: h:1\r\nX-A:  one two \r\nx-a:\r\n"
                                "Accept: a/b\r\nACCEPT: c/d\r\nContent-Length: 12\r\n\r\n";
    static struct http1_head head;
    enum close_reason why;
    uint32_t used;

    cr_assert_eq(http1_parse_request(bytes, sizeof bytes - 1, 0, &limits, &head, &used, &why), PARSE_OK);
    cr_assert_eq(used, sizeof bytes - 1);
    cr_assert(!head.is_reply);
    cr_assert_eq(head.method, METHOD_POST);
    cr_assert(text_eq(head.target, TEXT("http://h:1/p?q")));
    cr_assert(text_eq(head.path, TEXT("/p?q")));
    cr_assert_eq(head.count, 6);
    cr_assert(text_eq(http_name(&head.headers[0]), TEXT("hOST")));
    cr_assert(text_eq(http1_value(&head, HTTP_HOST), TEXT("h:1")));
    cr_assert(text_eq(http_name(&head.headers[1]), TEXT("X-A")));
    cr_assert(text_eq(http_value(&head.headers[1]), TEXT("one two")));
    cr_assert_eq(head.headers[1].id, HTTP_OTHER);
    cr_assert_eq(head.headers[2].value_len, 0);
    cr_assert_eq(http1_find(&head, HTTP_ACCEPT), &head.headers[3]);
    cr_assert_eq(head.length, 12);
    cr_assert_null(http1_find(&head, HTTP_ORIGIN));
    cr_assert_null(http1_value(&head, HTTP_ORIGIN).at);
}

Test(http1, knows_its_methods)
{
    static const struct {
        const char *text;
        enum http_method method;
    } rows[] = {{"GET", METHOD_GET},     {"HEAD", METHOD_HEAD},     {"POST", METHOD_POST},
                {"PUT", METHOD_PUT},     {"DELETE", METHOD_DELETE}, {"OPTIONS", METHOD_OPTIONS},
                {"PATCH", METHOD_PATCH}, {"GETS", METHOD_OTHER},    {"PROPFIND", METHOD_OTHER},
                {"G", METHOD_OTHER},     {"x-y", METHOD_OTHER}};

    for (size_t i = 0; i < COUNT(rows); i++) {
        static struct http1_head head;
        char bytes[64];
        int n = snprintf(bytes, sizeof bytes, "%s / HTTP/1.1\r\nHost: a\r\n\r\n", rows[i].text);
        enum close_reason why;
        uint32_t used;

        cr_assert_eq(http1_parse_request(bytes, (uint32_t)n, 0, &limits, &head, &used, &why), PARSE_OK);
        cr_assert_eq(head.method, rows[i].method, "%s", rows[i].text);
        cr_assert(text_eq(head.method_text, text_of(rows[i].text)));
    }
}

/* Parses with limits, whole and then byte by byte; both must give the same reason (CLOSE_NONE: it is fine or
 * more is wanted). *ret_at is how many bytes the second needed. */
static enum close_reason
reason_with(const char *bytes, size_t len, const struct http1_limits *with, bool reply, uint32_t *ret_at)
{
    static struct http1_head head;
    enum close_reason whole = CLOSE_NONE, parts = CLOSE_NONE;
    enum parse_result r = PARSE_MORE;
    uint32_t used, n;

    if (reply)
        http1_parse_reply(bytes, (uint32_t)len, 0, METHOD_GET, with, &head, &used, &whole);
    else
        http1_parse_request(bytes, (uint32_t)len, 0, with, &head, &used, &whole);
    for (n = 0; r == PARSE_MORE && n < len; n++)
        r = reply ? http1_parse_reply(bytes, n + 1, n, METHOD_GET, with, &head, &used, &parts)
                  : http1_parse_request(bytes, n + 1, n, with, &head, &used, &parts);
    cr_assert_eq(whole, parts, "whole %s, by bytes %s", close_reason_info(whole)->name,
                 close_reason_info(parts)->name);
    *ret_at = n;
    return whole;
}

Test(http1, allows_a_first_line_of_exactly_the_limit)
{
    static const char bytes[] = "GET /12345678 HTTP/1.1\r\nHost: a\r\n\r\n";
    uint32_t at;

    for (uint32_t line = 1; line < 40; line++) {
        const struct http1_limits with = {.line = line, .head = 1000, .headers = 10};

        cr_assert_eq(reason_with(bytes, sizeof bytes - 1, &with, false, &at),
                     line < 22 ? CLOSE_URI_TOO_LONG : CLOSE_NONE, "line %u", line);
        cr_assert(line >= 22 || at == line + 1, "line %u: certain at %u, reported at %u", line, line + 1, at);
    }
}

Test(http1, reports_a_target_without_end_as_soon_as_it_is_too_long)
{
    char bytes[4096];
    const struct http1_limits with = {.line = 1000, .head = 2000, .headers = 10};
    uint32_t at;

    memset(bytes, 'a', sizeof bytes);
    memcpy(bytes, "GET /", 5);
    cr_assert_eq(reason_with(bytes, sizeof bytes, &with, false, &at), CLOSE_URI_TOO_LONG);
    cr_assert_eq(at, 1001);
    cr_assert_eq(reason_with(bytes, sizeof bytes, &with, true, &at), CLOSE_BAD_REPLY);
}

Test(http1, allows_a_head_of_exactly_the_limit)
{
    static const char request[] = "GET / HTTP/1.1\r\nHost: abcdefg\r\n\r\nbody";
    static const char reply[] = "HTTP/1.1 200 OK\r\nServer: ab\r\n\r\nbody";
    const uint32_t request_len = sizeof request - 5, reply_len = sizeof reply - 5;
    uint32_t at;

    for (uint32_t head = 20; head < 50; head++) {
        const struct http1_limits with = {.line = 1000, .head = head, .headers = 10};

        cr_assert_eq(reason_with(request, sizeof request - 1, &with, false, &at),
                     head < request_len ? CLOSE_HEAD_TOO_LARGE : CLOSE_NONE, "head %u", head);
        cr_assert(head >= request_len || at == head, "head %u: certain at once, reported at %u", head, at);
        cr_assert_eq(reason_with(reply, sizeof reply - 1, &with, true, &at),
                     head < reply_len ? CLOSE_BAD_REPLY : CLOSE_NONE, "head %u", head);
    }
}

Test(http1, allows_as_many_fields_as_the_limit)
{
    char bytes[8192] = "GET / HTTP/1.1\r\nHost: a\r\n";
    uint32_t at;

    for (uint32_t fields = 2; fields < HTTP1_HEADERS_MAX + 10; fields++) {
        char *end = bytes + strlen(bytes);
        struct http1_limits with = {.line = 1000, .head = 8000, .headers = fields};

        strcpy(end, "X: y\r\n\r\n");
        if (fields <= HTTP1_HEADERS_MAX)
            cr_assert_eq(reason_with(bytes, strlen(bytes), &with, false, &at), CLOSE_NONE, "%u fields",
                         fields);
        with.headers = fields - 1 < HTTP1_HEADERS_MAX ? fields - 1 : HTTP1_HEADERS_MAX;
        if (fields - 1 <= HTTP1_HEADERS_MAX)
            cr_assert_eq(reason_with(bytes, strlen(bytes), &with, false, &at), CLOSE_HEAD_TOO_LARGE);
        end[6] = 0;
    }
}

Test(http1, reports_control_bytes_bare_line_ends_and_folds_before_the_end_of_a_slow_head)
{
    static const char *const faults[] = {"\001", "\177", "\n", "\ra", "\r\r", "\r\n ", "\r\n\t"};

    for (size_t i = 0; i < COUNT(faults); i++) {
        char bytes[128];
        const int n = snprintf(bytes, sizeof bytes, "GET / HTTP/1.1\r\nHost: a\r\nX: %s", faults[i]);
        const struct http1_limits with = {.line = 100, .head = 1000, .headers = 10};
        uint32_t at;

        cr_assert_eq(reason_with(bytes, (size_t)n, &with, false, &at), CLOSE_BAD_REQUEST, "fault %zu", i);
        cr_assert_eq(at, (uint32_t)n, "fault %zu: reported after %u of %d bytes", i, at, n);
    }
}

Test(http1, looks_at_the_new_bytes_of_a_slow_head_only)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const uint32_t len = (uint32_t)(8 * page);
    const struct http1_limits with = {.line = 100, .head = 65536, .headers = 10};
    static struct http1_head head;
    enum close_reason why;
    uint32_t used;
    char *bytes = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    cr_assert_neq(bytes, MAP_FAILED);
    memset(bytes, 'a', len);
    memcpy(bytes, "GET / HTTP/1.1\r\nHost: a\r\nX: ", 28);
    memcpy(bytes + len - 4, "\r\n\r\n", 4);
    cr_assert_eq(mprotect(bytes + page, 6 * page, PROT_NONE), 0);
    for (uint32_t n = len - (uint32_t)page + 4; n < len; n++)
        cr_assert_eq(http1_parse_request(bytes, n, n - 1, &with, &head, &used, &why), PARSE_MORE);
    cr_assert_eq(mprotect(bytes + page, 6 * page, PROT_READ), 0);
    cr_assert_eq(http1_parse_request(bytes, len, len - 1, &with, &head, &used, &why), PARSE_OK);
    munmap(bytes, len);
}

Test(http_field, finds_every_row_in_any_case_and_no_near_miss)
{
    static const char *const names[] = {
#define HTTP_FIELD(id, name, flags) [HTTP_##id] = name,
#include "proto/http_field.def"
#undef HTTP_FIELD
    };

    for (unsigned id = 1; id < HTTP_FIELDS; id++) {
        char name[64];
        const uint32_t len = (uint32_t)strlen(names[id]);

        for (unsigned form = 0; form < 3; form++) {
            for (uint32_t i = 0; i < len; i++) {
                const bool upper = form == 1 || (form == 2 && i % 2 == 0);

                cr_assert(!(names[id][i] >= 'A' && names[id][i] <= 'Z'), "%s is not in lower case",
                          names[id]);
                name[i] = (char)(upper && names[id][i] >= 'a' ? names[id][i] - 32 : names[id][i]);
            }
            cr_assert_eq(http_field_id((struct text){vector_at_guard(name, len), len}), id, "%s", names[id]);
        }
        for (uint32_t i = 0; i < len; i++) {
            for (unsigned bit = 0; bit < 8; bit++) {
                const char was = name[i];
                const bool same = bit == 5 && was != '-';

                name[i] = (char)(was ^ 1 << bit);
                cr_assert(http_field_id((struct text){name, len}) == (same ? id : HTTP_OTHER),
                          "%s: byte %u bit %u", names[id], i, bit);
                name[i] = was;
            }
        }
        name[len] = 'x';
        cr_assert_neq(http_field_id((struct text){name, len + 1}), id);
        cr_assert_neq(http_field_id((struct text){name, len - 1}), id);
    }
    cr_assert_eq(http_field_id(TEXT("")), HTTP_OTHER);
}

/* --- bodies --- */

static void
check_body(const struct body_vector *v, uint32_t first, uint32_t step)
{
    struct body_summary b = {.last = BODY_MORE};
    struct http1_body body;
    struct summary got;
    uint32_t off = 0;

    http1_body_init(&body, v->framing, v->length);
    for (uint32_t n = first; b.last == BODY_MORE; n = step) {
        if (n > v->len - off)
            n = v->len - off;
        summarize_piece(&b, &body, vector_at_guard(v->bytes + off, n), n);
        off += n;
        if (off == v->len)
            break;
    }
    summarize_body(&got, &b, &body, v->len);
    cr_assert_str_eq(got.text, v->want, "%s: first %u, then %u: got '%s', not '%s'", v->name, first, step,
                     got.text, v->want);
}

Test(http1_body, decodes_every_vector_alike_in_any_pieces)
{
    for (size_t i = 0; i < COUNT(body_vectors); i++) {
        const struct body_vector *v = &body_vectors[i];

        check_body(v, v->len, 1);
        check_body(v, 1, 1);
        check_body(v, 3, 2);
        for (uint32_t first = 0; first <= v->len; first++)
            check_body(v, first, v->len);
    }
}

Test(http1_body, repeats_its_last_word)
{
    struct http1_body body;
    struct http1_piece piece;

    http1_body_init(&body, FRAMING_CHUNKED, 0);
    cr_assert_eq(http1_body_next(&body, "0\r\n\r\nX", 6, &piece), BODY_END);
    cr_assert_eq(piece.used, 5);
    cr_assert_eq(http1_body_next(&body, "X", 1, &piece), BODY_END);
    cr_assert_eq(piece.used, 0);
    http1_body_init(&body, FRAMING_CHUNKED, 0);
    cr_assert_eq(http1_body_next(&body, "x", 1, &piece), BODY_BAD);
    cr_assert_eq(http1_body_next(&body, "0\r\n\r\n", 5, &piece), BODY_BAD);
}

Test(http1_body, is_at_a_boundary_exactly_between_chunks)
{
    static const char bytes[] = "2\r\nab\r\n1;x\r\nc\r\n0\r\n\r\n";
    static const char want[] = "10000001000000010000"; /* before each byte */
    struct http1_body body;

    http1_body_init(&body, FRAMING_CHUNKED, 0);
    for (uint32_t i = 0; i < sizeof bytes - 1; i++) {
        struct body_summary b = {.last = BODY_MORE};

        cr_assert_eq(http1_body_at_boundary(&body), want[i] == '1', "before byte %u", i);
        summarize_piece(&b, &body, bytes + i, 1);
    }
    cr_assert(http1_body_at_boundary(&body));
    http1_body_init(&body, FRAMING_LENGTH, 5);
    cr_assert(http1_body_at_boundary(&body));
}

Test(http1_body, bounds_size_lines_and_trailers)
{
    static char bytes[HTTP1_TRAILERS_MAX + 64];
    struct http1_piece piece;
    struct http1_body body;
    enum http1_body_event event;

    for (uint32_t extension = 250; extension < 255;
         extension++) { /* with its digit, ';' and CRLF: 255 at most */
        char *p = bytes;

        p += sprintf(p, "0;");
        memset(p, 'x', extension);
        strcpy(p + extension, "\r\n\r\n");
        http1_body_init(&body, FRAMING_CHUNKED, 0);
        event = http1_body_next(&body, bytes, (uint32_t)strlen(bytes), &piece);
        cr_assert_eq(event, 1 + 1 + extension + 2 <= 255 ? BODY_END : BODY_BAD, "%u", extension);
    }
    for (uint32_t len = HTTP1_TRAILERS_MAX - 2; len < HTTP1_TRAILERS_MAX + 3; len++) {
        char *p = bytes + sprintf(bytes, "0\r\nA:");

        memset(p, 'x', len - 6);
        strcpy(p + len - 6, "\r\n\r\n");
        http1_body_init(&body, FRAMING_CHUNKED, 0);
        event = http1_body_next(&body, bytes, len + 3, &piece);
        cr_assert_eq(event, len <= HTTP1_TRAILERS_MAX ? BODY_TRAILER : BODY_BAD, "%u", len);
        if (event == BODY_TRAILER)
            cr_assert_eq(piece.data.len, len);
    }
}

Test(http1_body, reads_back_every_chunk_header_it_writes)
{
    for (uint64_t n = 1; n <= UINT32_MAX; n = n * 7 / 3 + 1) {
        char line[16];
        const uint32_t len = http1_chunk_header((uint32_t)n, line);
        struct http1_piece piece;
        struct http1_body body;

        http1_body_init(&body, FRAMING_CHUNKED, 0);
        cr_assert_eq(http1_body_next(&body, line, len, &piece), BODY_MORE);
        cr_assert_eq(body.left, n);
        cr_assert(body.plain);
    }
    {
        char line[16];

        cr_assert_eq(http1_chunk_header(0, line), 3);
        cr_assert_arr_eq(line, "0\r\n", 3);
        cr_assert_eq(http1_chunk_header(UINT32_MAX, line), 10);
        cr_assert_arr_eq(line, "ffffffff\r\n", 10);
    }
}

Test(http1_trailers, drops_what_may_not_be_a_trailer)
{
    static const char bytes[] =
        "Content-Length: 5\r\nX-Checksum: a\r\nHost: b\r\nSet-Cookie: c\r\nMcp-Param-X: d\r\n"
        "Authorization: e\r\nServer-Timing: f\r\nTransfer-Encoding: chunked\r\n\r\n";
    static struct http1_head head;
    char kept[64] = "";

    cr_assert_eq(http1_parse_trailers(vector_at_guard(bytes, sizeof bytes - 1), sizeof bytes - 1, &head),
                 PARSE_OK);
    cr_assert_eq(head.count, 8);
    for (unsigned i = 0; i < head.count; i++)
        if (!head.headers[i].drop)
            strncat(strcat(kept, " "), head.headers[i].name, head.headers[i].name_len);
    cr_assert_str_eq(kept, " X-Checksum Server-Timing");
}

Test(http1_trailers, are_whole_or_wanting_or_bad)
{
    static struct http1_head head;
    static char big[HTTP1_TRAILERS_MAX + 1];

    cr_assert_eq(http1_parse_trailers("\r\n", 2, &head), PARSE_OK);
    cr_assert_eq(head.count, 0);
    cr_assert_eq(http1_parse_trailers("A: b\r\n", 6, &head), PARSE_MORE);
    cr_assert_eq(http1_parse_trailers("A: b\n\r\n", 7, &head), PARSE_BAD);
    cr_assert_eq(http1_parse_trailers("A : b\r\n\r\n", 9, &head), PARSE_BAD);
    memset(big, 'a', sizeof big);
    cr_assert_eq(http1_parse_trailers(big, sizeof big, &head), PARSE_BAD);
}

/* --- values --- */

Test(http_value, finds_list_elements_in_any_case)
{
    cr_assert(http_list_has(TEXT("close"), TEXT("close")));
    cr_assert(http_list_has(TEXT(" a ,\tUpGrade,b"), TEXT("upgrade")));
    cr_assert(!http_list_has(TEXT("upgraded, up grade"), TEXT("upgrade")));
    cr_assert(!http_list_has(TEXT(""), TEXT("upgrade")));
}

Test(http_value, weighs_what_accept_says_of_a_type)
{
    static const struct {
        const char *accept;
        enum http_accept want;
    } rows[] = {
        {NULL, ACCEPT_RANGE},
        {"", ACCEPT_NOT},
        {"text/event-stream", ACCEPT_NAMED},
        {"application/json, Text/Event-Stream", ACCEPT_NAMED},
        {"application/json", ACCEPT_NOT},
        {"text/event-streams", ACCEPT_NOT},
        {"*/*", ACCEPT_RANGE},
        {"application/json, */*;q=0.1", ACCEPT_RANGE},
        {"text/*", ACCEPT_RANGE},
        {"TEXT/*;q=0.5", ACCEPT_RANGE},
        {"image/*", ACCEPT_NOT},
        {"tex/*", ACCEPT_NOT},
        {"*", ACCEPT_NOT},
        {"*/event-stream", ACCEPT_NOT},
        {"text/event-stream;q=0", ACCEPT_NOT},
        {"text/event-stream;q=0.000", ACCEPT_NOT},
        {"text/event-stream; Q=0.", ACCEPT_NOT},
        {"text/event-stream;q=0.001", ACCEPT_NAMED},
        {"text/event-stream;charset=utf-8;q=0", ACCEPT_NOT},
        {"text/event-stream ; charset=utf-8 ; q=1", ACCEPT_NAMED},
        {"text/event-stream;q=0, */*", ACCEPT_NOT},
        {"*/*, text/event-stream;q=0", ACCEPT_NOT},
        {"*/*;q=0, text/event-stream", ACCEPT_NAMED},
        {"text/*;q=0, */*", ACCEPT_NOT},
        {"*/*, text/*;q=0", ACCEPT_NOT},
        {"text/event-stream;q=0, text/event-stream;q=1", ACCEPT_NAMED},
        {"text/event-stream;x=\"q=0\"", ACCEPT_NAMED},
        {"a/b\r\nAccept: text/event-stream", ACCEPT_NAMED},
    };

    for (size_t i = 0; i < COUNT(rows); i++) {
        static struct http1_head head;
        char bytes[256];
        enum close_reason why;
        uint32_t used;
        int n = snprintf(bytes, sizeof bytes, "GET / HTTP/1.1\r\nHost: a\r\n%s%s%s\r\n",
                         rows[i].accept ? "Accept: " : "", rows[i].accept ? rows[i].accept : "",
                         rows[i].accept ? "\r\n" : "");

        cr_assert_eq(http1_parse_request(bytes, (uint32_t)n, 0, &limits, &head, &used, &why), PARSE_OK);
        cr_assert_eq(http1_accepts(&head, TEXT("text/event-stream")), rows[i].want, "%s",
                     rows[i].accept ? rows[i].accept : "no Accept");
    }
}

Test(http_value, has_a_phrase_for_every_status_the_gateway_gives)
{
    for (unsigned reason = 0; reason < CLOSE_REASONS; reason++) {
        const int status = close_reason_info((enum close_reason)reason)->http_status;

        if (status)
            cr_assert_str_neq(http_reason_phrase(status), "Unknown", "%d", status);
    }
    cr_assert_str_eq(http_reason_phrase(404), "Not Found");
    cr_assert_str_eq(http_reason_phrase(599), "Unknown");
    cr_assert_str_eq(http_reason_phrase(-1), "Unknown");
}

Test(http1, knows_a_media_type_whatever_its_parameters)
{
    static const struct {
        const char *field;
        bool is_json;
    } vectors[] = {
        {"Content-Type: application/json\r\n", true},
        {"Content-Type: Application/JSON ; charset=utf-8\r\n", true},
        {"Content-Type: application/jsonp\r\n", false},
        {"Content-Type: text/plain; x=application/json\r\n", false},
        {"Content-Type: \r\n", false},
        {"", false},
    };

    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        static struct http1_head head;
        enum close_reason why;
        char text[256];
        uint32_t used;
        int n = snprintf(text, sizeof text, "GET / HTTP/1.1\r\nHost: x\r\n%s\r\n", vectors[i].field);

        cr_assert_eq(http1_parse_request(text, (uint32_t)n, 0, &limits, &head, &used, &why), PARSE_OK);
        cr_assert_eq(http1_content_is(&head, TEXT("application/json")), vectors[i].is_json, "%s",
                     vectors[i].field);
    }
}
