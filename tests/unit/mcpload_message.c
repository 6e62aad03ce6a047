/* SPDX-License-Identifier: Apache-2.0 */
#include "mcpload/ws_message.h"

#include "proto/jsonrpc.h"

#include <criterion/criterion.h>
#include <string.h>

static struct text
whole(const struct ws_message *message)
{
    return (struct text){message->text.at, (uint32_t)message->text.len};
}

Test(mcpload_message, each_form_has_the_size_that_was_asked_for_and_comes_back_as_it_was_sent)
{
    for (enum ws_form form = WS_FORM_PLAIN; form < WS_FORMS; form++)
        for (unsigned p = PRIORITY_NONE; p < (form == WS_FORM_CALL ? PRIORITIES : 1); p++) {
            struct ws_message message = {0};
            struct ws_origin origin;
            bool other;

            ws_message_build(form, (enum priority)p, 300, &message);
            cr_assert_eq(message.text.len, 300);
            ws_message_stamp(&message, 12345678901234567, 42);
            cr_assert_eq(ws_message_read(form, whole(&message), &origin, &other), ERROR_NONE);
            cr_assert(!other);
            cr_assert_eq(origin.sent_ns, 12345678901234567);
            cr_assert_eq(origin.priority, p);
            bytes_done(&message.text);
        }
}

Test(mcpload_message, a_call_says_its_class_in_meta)
{
    struct ws_message message = {0};

    ws_message_build(WS_FORM_CALL, PRIORITY_LOW, 0, &message);
    bytes_add(&message.text, "", 1);
    cr_assert(strstr(message.text.at, "\"_meta\":{\"mcpgate/priority\":\"low\"}"), "%s", message.text.at);
    bytes_done(&message.text);
}

Test(mcpload_message, a_ping_is_a_request_without_a_class_of_its_own)
{
    struct ws_message message = {0};
    struct jsonrpc_envelope envelope;

    ws_message_build(WS_FORM_PING, PRIORITY_NONE, 200, &message);
    cr_assert_eq(jsonrpc_scan(whole(&message), JSON_SCAN_STRICT, &envelope), JSONRPC_FAULT_FINE);
    cr_assert_eq(envelope.kind, JSONRPC_REQUEST);
    cr_assert(text_eq(envelope.method, TEXT("ping")));
    bytes_done(&message.text);
}

Test(mcpload_message, a_size_that_is_too_small_gives_the_least)
{
    struct ws_message message = {0};

    ws_message_build(WS_FORM_PLAIN, PRIORITY_NONE, 1, &message);
    cr_assert_eq(message.text.len, strlen("{\"ns\":\"01234567890123456\",\"pad\":\"\"}"));
    bytes_done(&message.text);
}

Test(mcpload_message, what_comes_back_for_a_call_is_told_apart)
{
#define ID "\"01234567890123456-0000000042-3\""
    static const struct {
        const char *text;
        enum error_kind error;
        bool other;
    } cases[] = {
        {"{\"jsonrpc\":\"2.0\",\"id\":" ID ",\"result\":{\"content\":[]}}", ERROR_NONE, false},
        {"{\"result\":{\"content\":[]},\"jsonrpc\":\"2.0\",\"id\":" ID "}", ERROR_NONE, false},
        {"{\"jsonrpc\":\"2.0\",\"id\":" ID ",\"result\":{\"isError\":true}}", ERROR_TOOL, false},
        {"{\"jsonrpc\":\"2.0\",\"id\":" ID ",\"error\":{\"code\":-1,\"message\":\"\"}}", ERROR_JSONRPC,
         false},
        {"{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{}}", ERROR_ID, false},
        {"{\"jsonrpc\":\"2.0\",\"id\":\"01234567890123456-0000000042-4\",\"result\":{}}", ERROR_ID, false},
        {"{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"ping\"}", ERROR_NONE, true},
        {"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":{}}", ERROR_NONE, true},
        {"{\"ns\":\"01234567890123456\"}", ERROR_REPLY, false},
        {"", ERROR_REPLY, false},
    };
#undef ID

    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct ws_origin origin;
        bool other;

        cr_assert_eq(ws_message_read(WS_FORM_CALL, text_of(cases[i].text), &origin, &other), cases[i].error,
                     "%s", cases[i].text);
        cr_assert_eq(other, cases[i].other, "%s", cases[i].text);
        if (cases[i].error == ERROR_JSONRPC || cases[i].error == ERROR_TOOL)
            cr_assert_eq(origin.priority, PRIORITY_LOW);
    }
}

Test(mcpload_message, every_cut_of_a_message_is_none)
{
    for (enum ws_form form = WS_FORM_PLAIN; form < WS_FORMS; form++) {
        struct ws_message message = {0};
        struct ws_origin origin;
        bool other;

        ws_message_build(form, PRIORITY_NONE, 0, &message);
        for (uint32_t len = 0; len < (form == WS_FORM_PLAIN ? WS_PLAIN_LOOK : message.text.len); len++)
            cr_assert_eq(ws_message_read(form, (struct text){message.text.at, len}, &origin, &other),
                         ERROR_REPLY, "of %u bytes", len);
        bytes_done(&message.text);
    }
}
