/* SPDX-License-Identifier: Apache-2.0 */
/* Reading of field values: tokens, lists, Accept; and the reason phrases. */
#include "proto/http_syntax.h"

bool
http_token(struct text s)
{
    for (uint32_t i = 0; i < s.len; i++)
        if (!http_is(s.at[i], CLASS_TOKEN))
            return false;
    return s.len > 0;
}

bool
http_list_has(struct text list, struct text element)
{
    struct text e;

    while (text_next_element(&list, &e))
        if (text_eq_nocase(e, element))
            return true;
    return false;
}

/* Takes the part before the next ';' off *rest, trimmed. */
static struct text
next_part(struct text *rest)
{
    const char *semicolon = memchr(rest->at, ';', rest->len);
    const uint32_t n = semicolon ? (uint32_t)(semicolon - rest->at) : rest->len;
    const struct text part = {rest->at, n};

    rest->at += semicolon ? n + 1 : n;
    rest->len -= semicolon ? n + 1 : n;
    return text_trim(part);
}

/* Whether a weight (RFC 9110 12.4.2) is zero: "0", "0." and up to three zeros. */
static bool
weight_is_zero(struct text weight)
{
    for (uint32_t i = 0; i < weight.len; i++)
        if (weight.at[i] != (i == 1 ? '.' : '0'))
            return false;
    return weight.len > 0;
}

static bool
range_excludes(struct text parameters)
{
    while (parameters.len) {
        struct text part = next_part(&parameters);

        if (part.len >= 2 && (part.at[0] | 0x20) == 'q' && part.at[1] == '=')
            return weight_is_zero((struct text){part.at + 2, part.len - 2});
    }
    return false;
}

/* How closely a media range names the type: 0 not at all, 1 all types, 2 all subtypes, 3 the type itself. */
static unsigned
range_match(struct text range, struct text media_type)
{
    const char *slash = memchr(media_type.at, '/', media_type.len);
    const uint32_t type_len = slash ? (uint32_t)(slash - media_type.at) + 1 : media_type.len;

    if (text_eq(range, TEXT("*/*")))
        return 1;
    if (text_eq_nocase(range, media_type))
        return 3;
    if (range.len == type_len + 1 && range.at[type_len] == '*' &&
        strncasecmp(range.at, media_type.at, type_len) == 0)
        return 2;
    return 0;
}

enum http_accept
http1_accepts(const struct http1_head *head, struct text media_type)
{
    unsigned best = 0;
    bool accepted = false;

    if (!head->first[HTTP_ACCEPT])
        return ACCEPT_RANGE;
    for (unsigned i = head->first[HTTP_ACCEPT] - 1u; i < head->count; i++) {
        struct text list = http_value(&head->headers[i]), element;

        if (head->headers[i].id != HTTP_ACCEPT)
            continue;
        while (text_next_element(&list, &element)) {
            const unsigned match = range_match(next_part(&element), media_type);

            if (match == 0 || match < best)
                continue;
            accepted = !range_excludes(element) || (match == best && accepted);
            best = match;
        }
    }
    if (!accepted)
        return ACCEPT_NOT;
    return best == 3 ? ACCEPT_NAMED : ACCEPT_RANGE;
}

const char *
http_reason_phrase(int status)
{
    static const char *const phrases[512] = {
        [100] = "Continue",
        [101] = "Switching Protocols",
        [102] = "Processing",
        [103] = "Early Hints",
        [200] = "OK",
        [201] = "Created",
        [202] = "Accepted",
        [203] = "Non-Authoritative Information",
        [204] = "No Content",
        [205] = "Reset Content",
        [206] = "Partial Content",
        [300] = "Multiple Choices",
        [301] = "Moved Permanently",
        [302] = "Found",
        [303] = "See Other",
        [304] = "Not Modified",
        [307] = "Temporary Redirect",
        [308] = "Permanent Redirect",
        [400] = "Bad Request",
        [401] = "Unauthorized",
        [402] = "Payment Required",
        [403] = "Forbidden",
        [404] = "Not Found",
        [405] = "Method Not Allowed",
        [406] = "Not Acceptable",
        [407] = "Proxy Authentication Required",
        [408] = "Request Timeout",
        [409] = "Conflict",
        [410] = "Gone",
        [411] = "Length Required",
        [412] = "Precondition Failed",
        [413] = "Content Too Large",
        [414] = "URI Too Long",
        [415] = "Unsupported Media Type",
        [416] = "Range Not Satisfiable",
        [417] = "Expectation Failed",
        [421] = "Misdirected Request",
        [422] = "Unprocessable Content",
        [425] = "Too Early",
        [426] = "Upgrade Required",
        [428] = "Precondition Required",
        [429] = "Too Many Requests",
        [431] = "Request Header Fields Too Large",
        [451] = "Unavailable For Legal Reasons",
        [500] = "Internal Server Error",
        [501] = "Not Implemented",
        [502] = "Bad Gateway",
        [503] = "Service Unavailable",
        [504] = "Gateway Timeout",
        [505] = "HTTP Version Not Supported",
        [508] = "Loop Detected",
        [511] = "Network Authentication Required",
    };

    return status >= 0 && status < 512 && phrases[status] ? phrases[status] : "Unknown";
}

bool
http1_content_is(const struct http1_head *head, struct text media_type)
{
    struct text type = http1_value(head, HTTP_CONTENT_TYPE);
    const char *end = type.len ? memchr(type.at, ';', type.len) : NULL;

    if (end)
        type.len = (uint32_t)(end - type.at);
    return text_eq_nocase(text_trim(type), media_type);
}
