/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The grammar of message heads (RFC 9112 2 to 5): first lines and field lines, from contiguous bytes. It
 * decides where things begin and end; what they mean together is judged in http1_rules.c.
 *
 * Every step has three outcomes. `end` is the end of what may be read: the bytes given, or limits->head of
 * them.
 */
#include "proto/http1.h"

#include "base/check.h"
#include "proto/http1_rules.h"
#include "proto/http_syntax.h"

/* The rest of a head's bytes, and why it is bad. */
struct input {
    const char *at, *end;
    enum close_reason why;
};

static bool
is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static enum parse_result
bad(struct input *in, enum close_reason why)
{
    in->why = why;
    return PARSE_BAD;
}

/* The first line, begun at `start`, is not whole: that is bad as soon as it cannot fit the limit. */
static enum parse_result
more_of_line(struct input *in, const char *start, uint32_t line_max)
{
    ptrdiff_t len = in->end - start;

    if (len > 0 && in->end[-1] == '\r')
        len--;
    return len > line_max ? bad(in, CLOSE_URI_TOO_LONG) : PARSE_MORE;
}

static enum parse_result
parse_crlf(struct input *in)
{
    const ptrdiff_t n = in->end - in->at;

    if (n >= 2 && in->at[0] == '\r' && in->at[1] == '\n') {
        in->at += 2;
        return PARSE_OK;
    }
    if (n == 0 || (n == 1 && in->at[0] == '\r'))
        return PARSE_MORE;
    return bad(in, CLOSE_BAD_REQUEST);
}

/* "HTTP/1.0" or "HTTP/1.1"; any other pair of digits is VERSION (RFC 9112 2.3: one digit each). */
static enum parse_result
parse_version(struct input *in, struct http1_head *head)
{
    static const char form[8] = "HTTP/0.0";
    const char *p = in->at;

    if (in->end - p >= 8 && memcmp(p, "HTTP/1.1", 8) == 0) {
        head->minor = 1;
        in->at += 8;
        return PARSE_OK;
    }
    for (unsigned i = 0; i < sizeof form; i++) {
        if (p + i == in->end)
            return PARSE_MORE;
        if (form[i] == '0' ? p[i] < '0' || p[i] > '9' : p[i] != form[i])
            return bad(in, CLOSE_BAD_REQUEST);
    }
    if (memcmp(p, "HTTP/1.0", 8) != 0)
        return bad(in, CLOSE_VERSION);
    head->minor = 0;
    in->at += 8;
    return PARSE_OK;
}

/* The method (RFC 9110 9.1: case-sensitive). False for CONNECT, which asks for a tunnel to anywhere, and for
 * a known method in the wrong case: where the next server ignores case, "head" gets a reply whose length we
 * would misjudge. */
static bool
set_method(struct http1_head *head, struct text name)
{
    static const struct text known[] = {
        [METHOD_GET] = TEXT("GET"),     [METHOD_HEAD] = TEXT("HEAD"),     [METHOD_POST] = TEXT("POST"),
        [METHOD_PUT] = TEXT("PUT"),     [METHOD_DELETE] = TEXT("DELETE"), [METHOD_OPTIONS] = TEXT("OPTIONS"),
        [METHOD_PATCH] = TEXT("PATCH"), [METHOD_OTHER] = TEXT("CONNECT"),
    };

    head->method_text = name;
    if (name.len == 4 && memcmp(name.at, "POST", 4) == 0) {
        head->method = METHOD_POST;
        return true;
    }
    if (name.len == 3 && memcmp(name.at, "GET", 3) == 0) {
        head->method = METHOD_GET;
        return true;
    }
    head->method = METHOD_OTHER;
    for (unsigned i = 0; i < sizeof known / sizeof *known; i++) {
        if (!text_eq_nocase(name, known[i]))
            continue;
        head->method = (uint8_t)i;
        return i != METHOD_OTHER && text_eq(name, known[i]);
    }
    return true;
}

/* Each '%' is followed by two hexadecimal digits, not both zero (RFC 3986 2.1). */
static bool
escapes_are_whole(struct text target)
{
    for (uint32_t i = 0; i < target.len; i++) {
        if (target.at[i] != '%')
            continue;
        if (target.len - i < 3 || !http_is(target.at[i + 1], CLASS_HEX) ||
            !http_is(target.at[i + 2], CLASS_HEX))
            return false;
        if (target.at[i + 1] == '0' && target.at[i + 2] == '0')
            return false;
    }
    return true;
}

/* The bytes of "http://" or "https://" that the target starts with, or 0. */
static uint32_t
scheme_len(struct text target)
{
    if (target.len > 7 && strncasecmp(target.at, "http://", 7) == 0)
        return 7;
    if (target.len > 8 && strncasecmp(target.at, "https://", 8) == 0)
        return 8;
    return 0;
}

/* The three forms of a target (RFC 9112 3.2) that are not CONNECT's; sets target and path. The authority of
 * an absolute form is compared with Host later, when that is known. */
static bool
set_target(struct http1_head *head, struct text target)
{
    const uint32_t skip = scheme_len(target);
    const char *authority = target.at + skip, *slash;
    uint32_t authority_len = target.len - skip;

    head->target = head->path = target;
    if (target.at[0] == '/')
        return true;
    if (target.at[0] == '*')
        return target.len == 1 && head->method == METHOD_OPTIONS;
    if (skip == 0)
        return false;
    slash = memchr(authority, '/', authority_len);
    if (slash) {
        authority_len = (uint32_t)(slash - authority);
        head->path = (struct text){slash, target.len - skip - authority_len};
    } else {
        head->path = head->method == METHOD_OPTIONS ? TEXT("*") : TEXT("/"); /* RFC 9112 3.2.1, 3.2.4 */
    }
    return memchr(authority, '?', authority_len) == NULL;
}

static enum parse_result
parse_request_line(struct input *in, uint32_t line_max, struct http1_head *head)
{
    const char *start = in->at, *p = start, *target;
    enum parse_result r;
    bool percent = false;

    while (p < in->end && http_is(*p, CLASS_TOKEN))
        p++;
    if (p == in->end)
        return more_of_line(in, start, line_max);
    if (*p != ' ' || p == start || !set_method(head, (struct text){start, (uint32_t)(p - start)}))
        return bad(in, CLOSE_BAD_REQUEST);
    target = p + 1;
    p = http_scan_target(target, in->end, &percent);
    if (p == in->end)
        return more_of_line(in, start, line_max);
    if (*p != ' ' || p == target)
        return bad(in, CLOSE_BAD_REQUEST);
    in->at = p + 1;
    r = parse_version(in, head);
    if (r == PARSE_OK)
        r = parse_crlf(in);
    if (r == PARSE_MORE)
        return more_of_line(in, start, line_max);
    if (r == PARSE_BAD)
        return r;
    if (in->at - 2 - start > line_max)
        return bad(in, CLOSE_URI_TOO_LONG);
    if (!set_target(head, (struct text){target, (uint32_t)(p - target)}))
        return bad(in, CLOSE_BAD_REQUEST);
    return percent && !escapes_are_whole(head->target) ? bad(in, CLOSE_BAD_REQUEST) : PARSE_OK;
}

/* " 200", and then " reason" or nothing (RFC 9112 4 wants the space; too many servers leave it out). */
static enum parse_result
parse_status(struct input *in, struct http1_head *head)
{
    unsigned status = 0;

    for (unsigned i = 0; i < 4; i++, in->at++) {
        if (in->at == in->end)
            return PARSE_MORE;
        if (i == 0 ? *in->at != ' ' : *in->at < '0' || *in->at > '9')
            return bad(in, CLOSE_BAD_REPLY);
        status = i == 0 ? 0 : status * 10 + (unsigned)(*in->at - '0');
    }
    if (status < 100 || status > 599)
        return bad(in, CLOSE_BAD_REPLY);
    head->status = (uint16_t)status;
    head->reason = (struct text){in->at, 0};
    if (in->at < in->end && *in->at == ' ') {
        const char *reason = in->at + 1;

        in->at = http_scan_text(reason, in->end);
        head->reason = (struct text){reason, (uint32_t)(in->at - reason)};
    }
    return PARSE_OK;
}

static enum parse_result
parse_status_line(struct input *in, uint32_t line_max, struct http1_head *head)
{
    const char *start = in->at;
    enum parse_result r = parse_version(in, head);

    if (r == PARSE_OK)
        r = parse_status(in, head);
    if (r == PARSE_OK)
        r = parse_crlf(in);
    if (r == PARSE_MORE)
        return more_of_line(in, start, line_max);
    if (r == PARSE_OK && in->at - 2 - start > line_max)
        return bad(in, CLOSE_BAD_REPLY);
    return r;
}

/* The name that starts at in->at and its id. A name from the table needs no further look. What is read here
 * is shorter than 64 KiB and so is the name. */
static enum parse_result
parse_name(struct input *in, struct http_header *h)
{
    const char *colon = http_scan_colon(in->at, in->end);
    const struct text name = {in->at, (uint32_t)(colon - in->at)};
    const enum http_field id = http_field_id(name);

    if (colon == in->end)
        return http_token(name) ? PARSE_MORE : bad(in, CLOSE_BAD_REQUEST);
    if (id == HTTP_OTHER && !http_token(name))
        return bad(in, CLOSE_BAD_REQUEST);
    h->name = name.at;
    h->name_len = (uint16_t)name.len;
    h->id = (uint8_t)id;
    h->drop = http_field_flags[id] & HOP;
    in->at = colon + 1;
    return PARSE_OK;
}

/* The value after the ':' and its CRLF. A line folded by obs-fold fails as the next line, whose name is not
 * one. */
static enum parse_result
parse_value(struct input *in, struct http_header *h)
{
    const char *value = in->at, *stop;

    while (value < in->end && is_blank(*value))
        value++;
    stop = http_scan_text(value, in->end);
    in->at = stop;
    while (stop > value && is_blank(stop[-1]))
        stop--;
    h->value = value;
    h->value_len = (uint32_t)(stop - value);
    return parse_crlf(in);
}

static enum parse_result
parse_fields(struct input *in, uint32_t headers_max, struct http1_head *head)
{
    enum parse_result r;

    memset(head->first, 0, sizeof head->first);
    for (head->count = 0;; head->count++) {
        struct http_header *h = &head->headers[head->count];

        if (in->at == in->end)
            return PARSE_MORE;
        if (*in->at == '\r')
            return parse_crlf(in);
        if (head->count == headers_max)
            return bad(in, CLOSE_HEAD_TOO_LARGE);
        r = parse_name(in, h);
        if (r == PARSE_OK)
            r = parse_value(in, h);
        if (r != PARSE_OK)
            return r;
        if (head->first[h->id] == 0)
            head->first[h->id] = (uint8_t)(head->count + 1);
        else if (http_field_flags[h->id] & ONCE)
            return bad(in, CLOSE_BAD_REQUEST);
    }
}

/* Whether the bytes from `from` on hold the end of a head, or a control byte, bare line end or folded line
 * that makes it bad: only then is a head worth another parse whose first `from` bytes were seen before. */
static bool
may_be_decided(const char *at, const char *end, uint32_t from)
{
    const char *p = at + from;

    while ((p = http_scan_text(p, end)) < end) {
        if (*p == '\n' && p > at && p[-1] == '\r') {
            if (end - p >= 2 && is_blank(p[1]))
                return true;
            if (end - p >= 3 && p[1] == '\r' && p[2] == '\n')
                return true;
        } else if (*p != '\r' || (end - p >= 2 && p[1] != '\n')) {
            return true;
        }
        p++;
    }
    return false;
}

/* Sets up the input; false when a look at the new bytes shows that the head is not whole yet. */
static bool
open_input(struct input *in, const char *at, uint32_t len, uint32_t scanned,
           const struct http1_limits *limits)
{
    ASSERT(limits->head <= 65536 && limits->headers <= HTTP1_HEADERS_MAX && scanned <= len);
    *in = (struct input){at, at + (len < limits->head ? len : limits->head), CLOSE_BAD_REQUEST};
    if (scanned == 0)
        return true;
    scanned = scanned > limits->head ? limits->head : scanned;
    return may_be_decided(at, in->end, scanned > 3 ? scanned - 3 : 0);
}

/* A head whose new bytes decide nothing can still have become too long. */
static enum parse_result
undecided(struct input *in, const struct http1_limits *limits)
{
    const uint32_t n = (uint32_t)(in->end - in->at);

    if (n <= limits->line || memchr(in->at, '\n', limits->line + 2 < n ? limits->line + 2 : n))
        return PARSE_MORE;
    return more_of_line(in, in->at, limits->line);
}

/* PARSE_MORE with limits->head bytes at hand means that the head is larger than that. */
static enum parse_result
close_input(struct input *in, enum parse_result r, uint32_t len, const struct http1_limits *limits)
{
    return r == PARSE_MORE && len >= limits->head ? bad(in, CLOSE_HEAD_TOO_LARGE) : r;
}

enum parse_result
http1_parse_request(const char *at, uint32_t len, uint32_t scanned, const struct http1_limits *limits,
                    struct http1_head *ret_head, uint32_t *ret_used, enum close_reason *ret_why)
{
    struct input in;
    enum parse_result r;

    if (open_input(&in, at, len, scanned, limits)) {
        ret_head->is_reply = false;
        ret_head->status = 0;
        ret_head->reason = (struct text){NULL, 0};
        r = parse_request_line(&in, limits->line, ret_head);
        if (r == PARSE_OK)
            r = parse_fields(&in, limits->headers, ret_head);
        if (r == PARSE_OK && (in.why = http1_judge_request(ret_head)) != CLOSE_NONE)
            r = PARSE_BAD;
    } else {
        r = undecided(&in, limits);
    }
    r = close_input(&in, r, len, limits);
    if (r == PARSE_OK)
        *ret_used = (uint32_t)(in.at - at);
    else if (r == PARSE_BAD)
        *ret_why = in.why;
    return r;
}

enum parse_result
http1_parse_reply(const char *at, uint32_t len, uint32_t scanned, enum http_method method,
                  const struct http1_limits *limits, struct http1_head *ret_head, uint32_t *ret_used,
                  enum close_reason *ret_why)
{
    struct input in;
    enum parse_result r;

    if (open_input(&in, at, len, scanned, limits)) {
        ret_head->is_reply = true;
        ret_head->method = (uint8_t)method;
        ret_head->method_text = ret_head->target = ret_head->path = (struct text){NULL, 0};
        r = parse_status_line(&in, limits->line, ret_head);
        if (r == PARSE_OK)
            r = parse_fields(&in, limits->headers, ret_head);
        if (r == PARSE_OK && !http1_judge_reply(ret_head, method))
            r = PARSE_BAD;
    } else {
        r = undecided(&in, limits);
    }
    r = close_input(&in, r, len, limits);
    if (r == PARSE_OK)
        *ret_used = (uint32_t)(in.at - at);
    else if (r == PARSE_BAD)
        *ret_why = CLOSE_BAD_REPLY;
    return r;
}

enum parse_result
http1_parse_trailers(const char *at, uint32_t len, struct http1_head *ret_head)
{
    struct input in = {at, at + len, CLOSE_BAD_REQUEST};
    enum parse_result r;

    if (len > HTTP1_TRAILERS_MAX)
        return PARSE_BAD;
    r = parse_fields(&in, HTTP1_HEADERS_MAX, ret_head);
    if (r == PARSE_OK)
        http1_judge_trailers(ret_head);
    return r;
}
