/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a head's fields mean together (RFC 9112 3.2, 6, 9; RFC 9110 7.6.1, 10.1.1): the framing of its body,
 * whether the connection stands, which fields are dropped on the way. Every doubt is refused here: a message
 * that two servers could frame differently is how requests are smuggled.
 */
#include "proto/http1_rules.h"

#include "proto/http_syntax.h"

enum { CONNECTION_ELEMENTS_MAX = 32, LENGTH_DIGITS_MAX = 18 };

/* One host and at most one port (RFC 9110 7.2), "a.example:80" or "[::1]:80". The port may be empty. */
static bool
host_is_valid(struct text host)
{
    uint32_t i = 0, digits = 0;

    if (host.len && host.at[0] == '[') {
        for (i = 1; i < host.len && (http_is(host.at[i], CLASS_HEX) || strchr(":.", host.at[i])); i++)
            ;
        if (i < 3 || i == host.len || host.at[i] != ']')
            return false;
        i++;
    } else {
        while (i < host.len && http_is(host.at[i], CLASS_HOST))
            i++;
        if (i == 0)
            return false;
    }
    if (i == host.len)
        return true;
    if (host.at[i++] != ':')
        return false;
    for (; i < host.len && host.at[i] >= '0' && host.at[i] <= '9'; i++)
        digits++;
    return i == host.len && digits <= 5;
}

/* The authority of an absolute-form target must be Host's value: RFC 9112 3.2.2 would let it win, and the
 * next server may think otherwise. */
static bool
authority_is(struct text target, struct text host)
{
    const char *start = (const char *)memchr(target.at, ':', target.len) + 3; /* after "://" */
    const uint32_t rest = target.len - (uint32_t)(start - target.at);
    const char *slash = memchr(start, '/', rest);

    return text_eq_nocase((struct text){start, slash ? (uint32_t)(slash - start) : rest}, host);
}

static bool
judge_host(const struct http1_head *head)
{
    if (!head->first[HTTP_HOST])
        return head->minor == 0 && (head->target.at[0] == '/' || head->target.at[0] == '*');
    if (!host_is_valid(http1_value(head, HTTP_HOST)))
        return false;
    if (head->target.at[0] == '/' || head->target.at[0] == '*')
        return true;
    return authority_is(head->target, http1_value(head, HTTP_HOST));
}

/* Content-Length as one plain decimal number (RFC 9110 8.6). */
static bool
parse_length(struct text value, uint64_t *ret_length)
{
    uint64_t length = 0;

    if (value.len == 0 || value.len > LENGTH_DIGITS_MAX || (value.len > 1 && value.at[0] == '0'))
        return false;
    for (uint32_t i = 0; i < value.len; i++) {
        if (value.at[i] < '0' || value.at[i] > '9')
            return false;
        length = length * 10 + (uint64_t)(value.at[i] - '0');
    }
    *ret_length = length;
    return true;
}

/* The framing that the fields declare (RFC 9112 6.3), `otherwise` when they declare none. */
static bool
judge_framing(struct http1_head *head, enum http1_framing otherwise)
{
    head->length = 0;
    head->framing = (uint8_t)otherwise;
    if (head->first[HTTP_TRANSFER_ENCODING]) {
        head->framing = FRAMING_CHUNKED;
        return head->minor == 1 && !head->first[HTTP_CONTENT_LENGTH] &&
               text_eq_nocase(http1_value(head, HTTP_TRANSFER_ENCODING), TEXT("chunked"));
    }
    if (head->first[HTTP_CONTENT_LENGTH]) {
        head->framing = FRAMING_LENGTH;
        return parse_length(http1_value(head, HTTP_CONTENT_LENGTH), &head->length);
    }
    return true;
}

/* Drops the fields that the connection option names, but none that the gateway knows as end-to-end and no
 * Mcp-*: see the top of http1.h. Fields with HOP are dropped already. */
static void
drop_named(struct http1_head *head, struct text option)
{
    if (http_field_id(option) != HTTP_OTHER || !head->first[HTTP_OTHER])
        return;
    if (option.len >= 4 && strncasecmp(option.at, "mcp-", 4) == 0)
        return;
    for (unsigned i = head->first[HTTP_OTHER] - 1u; i < head->count; i++)
        if (head->headers[i].id == HTTP_OTHER && text_eq_nocase(http_name(&head->headers[i]), option))
            head->headers[i].drop = true;
}

/* Persistence (RFC 9112 9.3), Upgrade (RFC 9110 7.8: not in HTTP/1.0), and the fields that Connection names.
 */
static bool
judge_connection(struct http1_head *head)
{
    bool close = false, keep = false, upgrade = false;
    unsigned elements = 0;

    if (head->first[HTTP_CONNECTION]) {
        for (unsigned i = head->first[HTTP_CONNECTION] - 1u; i < head->count; i++) {
            struct text list = http_value(&head->headers[i]), option;

            if (head->headers[i].id != HTTP_CONNECTION)
                continue;
            while (text_next_element(&list, &option)) {
                if (++elements > CONNECTION_ELEMENTS_MAX || !http_token(option))
                    return false;
                if (text_eq_nocase(option, TEXT("close")))
                    close = true;
                else if (text_eq_nocase(option, TEXT("keep-alive")))
                    keep = true;
                else if (text_eq_nocase(option, TEXT("upgrade")))
                    upgrade = true;
                else
                    drop_named(head, option);
            }
        }
    }
    head->keep_alive = !close && (head->minor == 1 || keep);
    head->upgrade = upgrade && head->minor == 1 && head->first[HTTP_UPGRADE];
    return true;
}

/* Only 100-continue is known (RFC 9110 10.1.1); it means nothing in HTTP/1.0 and without a body. */
static bool
judge_expect(struct http1_head *head)
{
    head->expect_continue = false;
    if (!head->first[HTTP_EXPECT])
        return true;
    for (unsigned i = head->first[HTTP_EXPECT] - 1u; i < head->count; i++)
        if (head->headers[i].id == HTTP_EXPECT &&
            !text_eq_nocase(http_value(&head->headers[i]), TEXT("100-continue")))
            return false;
    head->expect_continue = head->minor == 1 && (head->framing == FRAMING_CHUNKED || head->length > 0);
    return true;
}

enum close_reason
http1_judge_request(struct http1_head *head)
{
    if (!judge_host(head) || !judge_framing(head, FRAMING_NONE) || !judge_connection(head))
        return CLOSE_BAD_REQUEST;
    return judge_expect(head) ? CLOSE_NONE : CLOSE_EXPECTATION;
}

bool
http1_judge_reply(struct http1_head *head, enum http_method method)
{
    const bool never = head->status < 200 || head->status == 204; /* have neither body nor its fields */

    if (!judge_framing(head, FRAMING_CLOSE) || !judge_connection(head))
        return false;
    head->expect_continue = false;
    if (never && head->first[HTTP_CONTENT_LENGTH])
        head->headers[head->first[HTTP_CONTENT_LENGTH] - 1].drop = true;
    if (head->status == 101)
        head->framing = FRAMING_TUNNEL;
    else if (never || head->status == 304 || method == METHOD_HEAD)
        head->framing = FRAMING_NONE;
    if (head->framing != FRAMING_LENGTH)
        head->length = 0;
    if (head->framing == FRAMING_CLOSE || head->framing == FRAMING_TUNNEL)
        head->keep_alive = false;
    return true;
}

/* Besides every field of the table: what frames, routes, authenticates or describes the content (RFC
 * 9110 6.5.1). */
static bool
not_in_trailers(struct text name)
{
    static const struct text names[] = {
        TEXT("age"),
        TEXT("authentication-info"),
        TEXT("content-location"),
        TEXT("content-range"),
        TEXT("cookie"),
        TEXT("expires"),
        TEXT("if-match"),
        TEXT("if-modified-since"),
        TEXT("if-none-match"),
        TEXT("if-range"),
        TEXT("if-unmodified-since"),
        TEXT("location"),
        TEXT("max-forwards"),
        TEXT("pragma"),
        TEXT("proxy-authenticate"),
        TEXT("proxy-authorization"),
        TEXT("range"),
        TEXT("set-cookie"),
        TEXT("vary"),
        TEXT("www-authenticate"),
    };

    if (name.len >= 4 && strncasecmp(name.at, "mcp-", 4) == 0)
        return true;
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
        if (text_eq_nocase(name, names[i]))
            return true;
    return false;
}

void
http1_judge_trailers(struct http1_head *head)
{
    for (unsigned i = 0; i < head->count; i++) {
        struct http_header *h = &head->headers[i];

        h->drop = h->id != HTTP_OTHER || not_in_trailers(http_name(h));
    }
}
