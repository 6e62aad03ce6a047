/* SPDX-License-Identifier: Apache-2.0 */
#include "mcpload/load.h"
#include "mcpload/reply.h"
#include "mcpload/request.h"

#include <criterion/criterion.h>

/* What the steps of a reply said, as text: H<status>, E<data>, T<body>, !. */
struct story {
    char text[512];
};

static void
tell(struct story *story, const char *what, struct text text)
{
    size_t len = strlen(story->text);

    snprintf(story->text + len, sizeof(story->text) - len, "%s%.*s;", what, (int)text.len, text.at);
}

static void
feed(struct reply *reply, struct story *story, const char *at, uint32_t len)
{
    uint32_t used;
    char status[16];

    for (;;) {
        enum reply_step step = reply_next(reply, at, len, &used);

        at += used;
        len -= used;
        switch (step) {
        case REPLY_MORE:
            return;
        case REPLY_HEAD:
            snprintf(status, sizeof status, "%d", reply->status);
            tell(story, "H", text_of(status));
            break;
        case REPLY_EVENT:
            tell(story, "E", reply->event.data);
            break;
        case REPLY_END:
            tell(story, "T", reply->text);
            if (!len)
                return;
            break;
        case REPLY_BAD:
            tell(story, "!", TEXT(""));
            return;
        }
    }
}

static const struct {
    const char *name, *bytes, *story;
} vectors[] = {
    {"length", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "H200;Thello;"},
    {"no body", "HTTP/1.1 204 No Content\r\n\r\n", "H204;T;"},
    {"chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n",
     "H200;Thello;"},
    {"interim first", "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
     "H200;Tok;"},
    {"events",
     "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n"
     "9\r\ndata: a\n\n\r\n11\r\ndata: b\ndata: c\n\n\r\n0\r\n\r\n",
     "H200;Ea;Eb\nc;T;"},
    {"not HTTP", "\x16\x03\x01 nonsense\r\n\r\n", "!;"},
    {"bad chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", "H200;!;"},
};

Test(mcpload_reply, tells_the_same_story_for_every_division_of_the_bytes)
{
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        uint32_t len = (uint32_t)strlen(vectors[i].bytes);

        for (uint32_t step = 1; step <= len; step++) {
            struct reply reply = {0};
            struct story story = {""};

            reply_start(&reply, METHOD_POST, true);
            for (uint32_t at = 0; at < len && !strchr(story.text, '!'); at += step)
                feed(&reply, &story, vectors[i].bytes + at, step < len - at ? step : len - at);
            cr_assert_str_eq(story.text, vectors[i].story, "%s in pieces of %u", vectors[i].name, step);
            reply_done(&reply);
        }
    }
}

Test(mcpload_reply, bytes_after_the_end_are_bad)
{
    static const char bytes[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok?";
    struct reply reply = {0};
    struct story story = {""};

    reply_start(&reply, METHOD_GET, true);
    feed(&reply, &story, bytes, sizeof bytes - 1);
    cr_assert_str_eq(story.text, "H200;Tok;!;");
    reply_done(&reply);
}

Test(mcpload_reply, the_end_of_the_connection_ends_only_a_body_that_has_no_other_end)
{
    static const char open[] = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabc";
    static const char cut[] = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc";
    struct reply reply = {0};
    struct story story = {""};

    reply_start(&reply, METHOD_GET, true);
    feed(&reply, &story, open, sizeof open - 1);
    cr_assert(reply_end_of_file(&reply));
    cr_assert(text_eq(reply.text, TEXT("abc")));
    reply_start(&reply, METHOD_GET, true);
    feed(&reply, &story, cut, sizeof cut - 1);
    cr_assert(!reply_end_of_file(&reply));
    reply_done(&reply);
}

Test(mcpload_check, tells_the_right_reply_from_wrong_ones)
{
    static const struct {
        const char *json;
        enum error_kind want;
    } cases[] = {
        {"{\"jsonrpc\":\"2.0\",\"id\":1000000007,\"result\":{\"content\":[{\"type\":\"text\",\"text\":\"hi\"}"
         "]}}",
         ERROR_NONE},
        {"{\"jsonrpc\":\"2.0\",\"id\":1000000007,\"result\":{\"content\":[{\"type\":\"text\",\"text\":\"Echo:"
         " h\\u0069\"}]}}",
         ERROR_NONE},
        {"{\"jsonrpc\":\"2.0\",\"id\":1000000008,\"result\":{\"content\":[{\"type\":\"text\",\"text\":\"hi\"}"
         "]}}",
         ERROR_ID},
        {"{\"jsonrpc\":\"2.0\",\"id\":\"1000000007\",\"result\":{}}", ERROR_ID},
        {"{\"jsonrpc\":\"2.0\",\"id\":1000000007,\"result\":{\"content\":[{\"type\":\"text\",\"text\":\"ho\"}"
         "]}}",
         ERROR_TEXT},
        {"{\"jsonrpc\":\"2.0\",\"id\":1000000007,\"result\":{}}", ERROR_TEXT},
        {"{\"jsonrpc\":\"2.0\",\"id\":1000000007,\"result\":{\"isError\":true,\"content\":[]}}", ERROR_TOOL},
        {"{\"jsonrpc\":\"2.0\",\"id\":1000000007,\"error\":{\"code\":-32603,\"message\":\"no\"}}",
         ERROR_JSONRPC},
        {"{\"jsonrpc\":\"2.0\",\"id\":1000000007", ERROR_REPLY},
        {"<html>", ERROR_REPLY},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        bool notification = false;

        cr_assert_eq(check_reply(text_of(cases[i].json), 1000000007, TEXT("hi"), &notification),
                     cases[i].want, "%s", cases[i].json);
        cr_assert(!notification);
    }
}

Test(mcpload_check, a_notification_is_no_answer)
{
    bool notification = false;

    check_reply(TEXT("{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{}}"), 1,
                TEXT("hi"), &notification);
    cr_assert(notification);
}

Test(mcpload_request, only_the_digits_of_the_id_change_between_requests)
{
    struct plan plan = {.kind = KIND_MCP,
                        .tool = "echo",
                        .args = "{\"text\":\"hi\"}",
                        .url = {.authority = "h", .path = "/mcp"}};
    struct bytes a = {0};
    size_t at = request_build(&plan, MESSAGE_WORK, "/mcp", TEXT("s1"), TEXT("2025-11-25"), &a).id_at;

    bytes_add(&a, "", 1);
    cr_assert(strstr(a.at, "Mcp-Session-Id: s1\r\n"));
    cr_assert(strstr(a.at, "MCP-Protocol-Version: 2025-11-25\r\n"));
    cr_assert_eq(strncmp(a.at + at, "1000000000,", 11), 0);
    request_set_id(&a, at, 4123456789u);
    cr_assert_eq(strncmp(a.at + at, "4123456789,", 11), 0);
    cr_assert_eq(strncmp(a.at + at - 5, "\"id\":", 5), 0);
    bytes_done(&a);
}

Test(mcpload_request, the_2026_form_says_version_method_and_name_in_head_and_body)
{
    struct plan plan = {
        .kind = KIND_MCP_2026, .tool = "d\xc3\xa9", .args = "{}", .url = {.authority = "h", .path = "/mcp"}};
    struct bytes a = {0};

    request_build(&plan, MESSAGE_WORK, "/mcp", (struct text){NULL, 0}, (struct text){NULL, 0}, &a);
    bytes_add(&a, "", 1);
    cr_assert(strstr(a.at, "MCP-Protocol-Version: 2026-07-28\r\n"));
    cr_assert(strstr(a.at, "Mcp-Method: tools/call\r\n"));
    cr_assert(strstr(a.at, "Mcp-Name: =?base64?ZMOp?=\r\n"));
    cr_assert(strstr(a.at, "\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\""));
    cr_assert(!strstr(a.at, "Mcp-Session-Id"));
    bytes_done(&a);
}
