/* SPDX-License-Identifier: Apache-2.0 */
/* The demo server for clients of 2024-11-05 to 2025-11-25. */
#include "mcp_demo.h"
#include "mcp/client_caps.h"

#define REQUEST(method, params)                                                                              \
    "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"" method "\",\"params\":" params "}"
#define CALL(name, arguments) REQUEST("tools/call", "{\"name\":\"" name "\",\"arguments\":" arguments "}")

/* --- lifecycle --- */

Test(demo_legacy, initialize_agrees_on_each_legacy_revision)
{
    for (int r = MCP_2024_11_05; r <= MCP_LATEST_LEGACY; r++) {
        char message[400], want[16];
        const char *m;
        struct driver *d;

        snprintf(want, sizeof want, "\"%.10s\"", mcp_revision_name((enum mcp_revision)r).at);
        snprintf(message, sizeof message,
                 REQUEST("initialize",
                         "{\"protocolVersion\":%s,\"capabilities\":{\"roots\":{\"listChanged\":true},"
                         "\"elicitation\":{}},\"clientInfo\":{\"name\":\"t\",\"version\":\"1\"}}"),
                 want);
        d = say(MCP_NO_REVISION, message);
        m = expect_result(d);
        cr_assert_at(m, "result.protocolVersion", want);
        cr_assert_at(m, "result.serverInfo.name", "\"mcpgate-demo\"");
        cr_assert_gt(at(m, "result.serverInfo.version").len, 2);
        cr_assert_eq(at(m, "result.serverInfo.title").len > 0, r >= MCP_2025_06_18);
        cr_assert_at(m, "result.capabilities.tools", "{}");
        cr_assert_at(m, "result.capabilities.prompts", "{}");
        cr_assert_at(m, "result.capabilities.logging", "{}");
        cr_assert_at(m, "result.capabilities.resources.subscribe", "true");
        cr_assert_eq(at(m, "result.capabilities.completions").len > 0, r >= MCP_2025_03_26);
        cr_assert_gt(at(m, "result.instructions").len, 20);
        cr_assert_absent(m, "result.resultType");
        cr_assert(d->out.initialized == (enum mcp_revision)r);
        cr_assert_eq(d->out.client_capabilities,
                     MCP_CLIENT_ROOTS | MCP_CLIENT_ROOTS_CHANGED | MCP_CLIENT_ELICIT_FORM);
    }
}

Test(demo_legacy, initialize_offers_the_latest_legacy_revision_for_one_it_does_not_serve)
{
    static const char *const asked[] = {"\"2026-07-28\"", "\"1999-01-01\"", "\"\"",
                                        "\"a very long name of a revision\""};

    for (size_t i = 0; i < sizeof asked / sizeof *asked; i++) {
        char message[200];
        struct driver *d;

        snprintf(message, sizeof message, REQUEST("initialize", "{\"protocolVersion\":%s}"), asked[i]);
        d = say(MCP_NO_REVISION, message);
        cr_assert_at(expect_result(d), "result.protocolVersion", "\"2025-11-25\"");
        cr_assert_eq(d->out.initialized, MCP_2025_11_25);
        cr_assert_eq(d->out.client_capabilities, 0);
    }
}

Test(demo_legacy, initialize_is_refused_without_a_version_twice_and_with_the_header_of_2026)
{
    struct driver *d = say(MCP_NO_REVISION, REQUEST("initialize", "{}"));

    expect_error(d, "-32602", 200);
    cr_assert_eq(d->out.initialized, MCP_NO_REVISION);
    expect_error(say(MCP_2025_06_18, REQUEST("initialize", "{\"protocolVersion\":\"2025-06-18\"}")), "-32600",
                 400);
    expect_error(post(MCP_NO_REVISION, "2026-07-28", "initialize", NULL,
                      REQUEST("initialize", "{\"protocolVersion\":\"2025-06-18\"}")),
                 "-32020", 400);
}

Test(demo_legacy, ping_answers_an_empty_result_with_the_id_in_its_own_spelling)
{
    struct driver *d = say(MCP_NO_REVISION, "{\"jsonrpc\":\"2.0\",\"id\":\"\\u0061\",\"method\":\"ping\"}");

    cr_assert_str_eq(d->said[0], "{\"jsonrpc\":\"2.0\",\"id\":\"\\u0061\",\"result\":{}}");
    cr_assert_eq(d->out.status, 200);
}

Test(demo_legacy, notifications_and_replies_are_taken_in_silence)
{
    static const char *const messages[] = {
        "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}",
        "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/unheard_of\"}",
        "{\"jsonrpc\":\"2.0\",\"id\":4,\"result\":{}}",
        "{\"jsonrpc\":\"2.0\",\"id\":4,\"error\":{\"code\":1,\"message\":\"\"}}",
    };

    for (size_t i = 0; i < sizeof messages / sizeof *messages; i++) {
        struct driver *d = say(MCP_2025_06_18, messages[i]);

        cr_assert(!d->open && d->count == 0);
        cr_assert_eq(d->out.status, 202);
        cr_assert_null(d->out.cancel_id.at);
    }
}

Test(demo_legacy, a_cancel_notification_names_the_request_that_it_means)
{
    struct driver *d =
        say(MCP_2025_06_18,
            "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":\"7\"}}");

    cr_assert(text_eq(d->out.cancel_id, TEXT("\"7\"")));
    d = say(MCP_2025_06_18,
            "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":{}}}");
    cr_assert_null(d->out.cancel_id.at);
}

Test(demo_legacy, methods_it_does_not_have_or_the_revision_does_not_know_are_not_found)
{
    static const char *const methods[] = {"server/discover", "subscriptions/listen", "tasks/get",
                                          "sampling/createMessage", ""};

    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
        char message[200];

        snprintf(message, sizeof message, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"%s\",\"params\":{}}",
                 methods[i]);
        expect_error(say(MCP_2025_11_25, message), "-32601", 200);
    }
}

Test(demo_legacy, a_version_header_that_is_not_served_is_a_bad_request)
{
    expect_error(post(MCP_2025_06_18, "2031-01-01", NULL, NULL, REQUEST("ping", "{}")), "-32000", 400);
    expect_result(post(MCP_2025_06_18, "2025-06-18", NULL, NULL, REQUEST("ping", "{}")));
    expect_result(post(MCP_2025_06_18, NULL, NULL, NULL, REQUEST("ping", "{}")));
    expect_result(post(MCP_NO_REVISION, "2025-11-25", NULL, NULL, REQUEST("ping", "{}")));
}

Test(demo_legacy, without_any_revision_it_follows_2025_03_26)
{
    const char *m = expect_result(post(MCP_NO_REVISION, NULL, NULL, NULL, REQUEST("tools/list", "{}")));

    cr_assert_gt(at(m, "result.tools.0.annotations").len, 2);
    cr_assert_absent(m, "result.tools.0.title");
}

/* --- messages that are none --- */

Test(demo_legacy, malformed_messages_get_an_error_with_the_id_where_it_was_seen)
{
    struct driver *d = say(MCP_2025_06_18, "{\"jsonrpc\":\"2.0\",\"id\":1,");

    expect_error(d, "-32700", 400);
    cr_assert_at(d->said[0], "id", "1");
    d = say(MCP_2025_06_18, "nonsense");
    expect_error(d, "-32700", 400);
    cr_assert_at(d->said[0], "id", "null");
    d = say(MCP_2025_06_18, "{\"jsonrpc\":\"2.0\",\"id\":\"x\",\"method\":5}");
    expect_error(d, "-32600", 400);
    cr_assert_at(d->said[0], "id", "\"x\"");
    d = say(MCP_2025_06_18, "{\"jsonrpc\":\"2.0\",\"id\":null,\"method\":\"ping\"}");
    expect_error(d, "-32600", 400);
    cr_assert_at(d->said[0], "id", "null");
    d = post(MCP_NO_REVISION, "2026-07-28", NULL, NULL, "nonsense");
    expect_error(d, "-32700", 400);
    cr_assert_absent(d->said[0], "id");
}

Test(demo_legacy, an_id_that_is_too_long_is_refused_and_not_repeated)
{
    char message[300];
    struct driver *d;

    snprintf(message, sizeof message, "{\"jsonrpc\":\"2.0\",\"id\":\"%0*d\",\"method\":\"ping\"}",
             DEMO_ID_MAX - 2, 0);
    cr_assert(!say(MCP_2025_06_18, message)->open);
    snprintf(message, sizeof message, "{\"jsonrpc\":\"2.0\",\"id\":\"%0*d\",\"method\":\"ping\"}",
             DEMO_ID_MAX - 1, 0);
    d = say(MCP_2025_06_18, message);
    expect_error(d, "-32600", 400);
    cr_assert_at(d->said[0], "id", "null");
}

/* --- batches --- */

Test(demo_batch, is_answered_with_an_array_for_revisions_that_have_batches)
{
    static const char batch[] =
        "[{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"},{\"jsonrpc\":\"2.0\",\"method\":\"notifications/"
        "x\"},"
        "7," CALL("add", "{\"a\":1,\"b\":2}") "," CALL("slow_count", "{}") "," REQUEST(
            "initialize", "{\"protocolVersion\":\"2025-03-26\"}") "]";

    for (int r = MCP_2024_11_05; r <= MCP_2025_03_26; r++) {
        struct driver *d = say((enum mcp_revision)r, batch);

        cr_assert(!d->open && d->final && d->count == 1);
        cr_assert_eq(d->out.status, 200);
        cr_assert_at(d->said[0], "0.result", "{}");
        cr_assert_at(d->said[0], "1.error.code", "-32600");
        cr_assert_at(d->said[0], "1.id", "null");
        cr_assert_at(d->said[0], "2.result.content.0.text", "\"3\"");
        cr_assert_at(d->said[0], "3.error.code", "-32600");
        cr_assert_at(d->said[0], "4.error.code", "-32600");
        cr_assert_absent(d->said[0], "5");
        cr_assert_eq(d->out.initialized, MCP_NO_REVISION);
    }
}

Test(demo_batch, of_notifications_only_is_taken_in_silence)
{
    struct driver *d = say(MCP_2025_03_26, "[{\"jsonrpc\":\"2.0\",\"method\":\"notifications/"
                                           "x\"},{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}]");

    cr_assert(!d->open && d->count == 0);
    cr_assert_eq(d->out.status, 202);
}

Test(demo_batch, is_refused_by_revisions_without_batches_and_above_100_messages)
{
    static const char one[] = "[{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}]";
    char batch[512] = "[1";

    expect_error(say(MCP_2025_06_18, one), "-32600", 400);
    expect_error(say(MCP_2025_11_25, one), "-32600", 400);
    expect_error(post(MCP_NO_REVISION, "2026-07-28", NULL, NULL, one), "-32600", 400);
    cr_assert_at(post(MCP_NO_REVISION, NULL, NULL, NULL, one)->said[0], "0.result", "{}");
    for (int i = 0; i < JSONRPC_BATCH_MAX; i++)
        strcat(batch, ",1");
    strcat(batch, "]");
    expect_error(say(MCP_2025_03_26, batch), "-32600", 400);
}

Test(demo_batch, that_outgrows_the_room_gets_errors_in_the_place_of_what_does_not_fit)
{
    size_t size = 200000;
    char *batch = calloc(1, size), *to = batch;
    struct driver *d;
    unsigned results = 0, errors = 0;

    *to++ = '[';
    for (int i = 0; i < JSONRPC_BATCH_MAX; i++)
        to += sprintf(to, "%s{\"jsonrpc\":\"2.0\",\"id\":%d,\"method\":\"tools/list\"}", i ? "," : "", i);
    strcpy(to, "]");
    d = say(MCP_2025_03_26, batch);
    cr_assert(d->final && d->count == 1);
    for (int i = 0; i < JSONRPC_BATCH_MAX; i++) {
        char path[32], id[8];

        snprintf(path, sizeof path, "%d.id", i);
        snprintf(id, sizeof id, "%d", i);
        cr_assert_at(d->said[0], path, id);
        snprintf(path, sizeof path, "%d.error.code", i);
        if (at(d->said[0], path).len)
            errors++;
        else
            results++;
    }
    cr_assert_gt(results, 5);
    cr_assert_gt(errors, 5);
    free(batch);
}

/* --- tools --- */

Test(demo_tools, are_listed_as_each_revision_describes_tools)
{
    for (int r = MCP_2024_11_05; r <= MCP_LATEST_LEGACY; r++) {
        const char *m = expect_result(say((enum mcp_revision)r, REQUEST("tools/list", "{}")));

        cr_assert_at(m, "result.tools.0.name", "\"echo\"");
        cr_assert_at(m, "result.tools.1.name", "\"add\"");
        cr_assert_at(m, "result.tools.2.name", "\"slow_count\"");
        cr_assert_at(m, "result.tools.3.name", "\"generate_text\"");
        cr_assert_absent(m, "result.tools.4");
        for (int i = 0; i < 4; i++) {
            char path[64];

            snprintf(path, sizeof path, "result.tools.%d.inputSchema.type", i);
            cr_assert_at(m, path, "\"object\"");
            snprintf(path, sizeof path, "result.tools.%d.annotations.readOnlyHint", i);
            cr_assert_eq(at(m, path).len > 0, r >= MCP_2025_03_26);
            snprintf(path, sizeof path, "result.tools.%d.title", i);
            cr_assert_eq(at(m, path).len > 0, r >= MCP_2025_06_18);
        }
        cr_assert_at(m, "result.tools.1.inputSchema.required", "[\"a\",\"b\"]");
        cr_assert_eq(at(m, "result.tools.1.outputSchema.properties.sum").len > 0, r >= MCP_2025_06_18);
        cr_assert_absent(m, "result.nextCursor");
        cr_assert_absent(m, "result.ttlMs");
    }
}

Test(demo_tools, echo_returns_its_text_in_either_spelling_of_the_argument)
{
    const char *m = expect_result(say(MCP_2025_06_18, CALL("echo", "{\"message\":\"a\\n\\u00e9\\\"\"}")));

    cr_assert_at(m, "result.content", "[{\"type\":\"text\",\"text\":\"a\\n\\u00e9\\\"\"}]");
    cr_assert_absent(m, "result.isError");
    m = expect_result(say(MCP_2025_06_18, CALL("ech\\u006f", "{\"text\":\"b\"}")));
    cr_assert_at(m, "result.content.0.text", "\"b\"");
}

Test(demo_tools, echo_takes_texts_up_to_its_limit)
{
    static char message[80000];
    int head = snprintf(message, sizeof message,
                        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/"
                        "call\",\"params\":{\"name\":\"echo\",\"arguments\":{\"message\":\"");

    memset(message + head, 'x', 65534);
    strcpy(message + head + 65534, "\"}}}");
    cr_assert_eq(at(expect_result(say(MCP_2025_06_18, message)), "result.content.0.text").len, 65536);
    strcpy(message + head + 65534, "x\"}}}");
    expect_error(say(MCP_2025_06_18, message), "-32602", 200);
}

Test(demo_tools, add_is_exact_for_integers_and_safe_for_everything_else)
{
    static const struct {
        const char *a, *b, *want; /* want NULL: refused */
    } cases[] = {
        {"1", "2", "3"},          {"-5", "5", "0"},
        {"1.0", "2e0", "3"},      {"0.1", "0.2", "0.30000000000000004"},
        {"0.5", "1", "1.5"},      {"9007199254740992", "9007199254740992", "18014398509481984"},
        {"1e300", "1", "1e+300"}, {"1e308", "1e308", NULL},
        {"1e999", "1", NULL},     {"\"1\"", "2", NULL},
        {"null", "2", NULL},      {"true", "2", NULL},
        {"1", "[2]", NULL},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char message[300], text[64];

        snprintf(message, sizeof message, CALL("add", "{\"a\":%s,\"b\":%s}"), cases[i].a, cases[i].b);
        if (!cases[i].want) {
            expect_error(say(MCP_2025_06_18, message), "-32602", 200);
            continue;
        }
        snprintf(text, sizeof text, "\"%s\"", cases[i].want);
        for (int r = MCP_2024_11_05; r <= MCP_LATEST_LEGACY; r++) {
            const char *m = expect_result(say((enum mcp_revision)r, message));

            cr_assert_at(m, "result.content.0.text", text);
            if (r >= MCP_2025_06_18)
                cr_assert_at(m, "result.structuredContent.sum", cases[i].want);
            else
                cr_assert_absent(m, "result.structuredContent");
        }
    }
}

Test(demo_tools, wrong_arguments_are_an_error_before_2025_11_25_and_a_result_since)
{
    static const char *const calls[] = {
        CALL("echo", "{}"),
        CALL("echo", "{\"message\":5}"),
        CALL("add", "{\"a\":1}"),
        CALL("slow_count", "{\"to\":0}"),
        CALL("slow_count", "{\"to\":1001}"),
        CALL("slow_count", "{\"to\":1.5}"),
        CALL("slow_count", "{\"to\":\"5\"}"),
        CALL("slow_count", "{\"interval_ms\":-1}"),
        CALL("slow_count", "{\"interval_ms\":10001}"),
        CALL("generate_text", "{}"),
        CALL("generate_text", "{\"prompt\":1}"),
        CALL("generate_text", "{\"prompt\":\"a\",\"words\":2001}"),
        CALL("generate_text", "{\"prompt\":\"a\",\"tokens_per_second\":0}"),
    };

    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        const char *m;

        expect_error(say(MCP_2024_11_05, calls[i]), "-32602", 200);
        expect_error(say(MCP_2025_06_18, calls[i]), "-32602", 200);
        m = expect_result(say(MCP_2025_11_25, calls[i]));
        cr_assert_at(m, "result.isError", "true");
        cr_assert_gt(at(m, "result.content.0.text").len, 10);
    }
}

Test(demo_tools, a_refusal_names_the_argument_the_value_and_the_range)
{
    struct driver *d = say(MCP_2025_06_18, CALL("slow_count", "{\"to\":5000}"));

    cr_assert_at(d->said[0], "error.message",
                 "\"Invalid arguments: \\\"to\\\" must be an integer from 1 to 1000, not 5000\"");
}

Test(demo_tools, unknown_tools_and_bad_calls_are_invalid_params)
{
    static const char *const calls[] = {
        CALL("nope", "{}"),
        CALL("", "{}"),
        REQUEST("tools/call", "{}"),
        REQUEST("tools/call", "{\"name\":5}"),
        REQUEST("tools/call", "{\"name\":\"echo\",\"arguments\":[]}"),
    };

    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
        for (int r = MCP_2024_11_05; r <= MCP_LATEST_LEGACY; r++)
            expect_error(say((enum mcp_revision)r, calls[i]), "-32602", 200);
}

/* --- tools that take their time --- */

Test(demo_slow, count_reports_each_step_when_it_is_due_and_then_answers)
{
    struct driver *d =
        say(MCP_2025_06_18,
            REQUEST("tools/call", "{\"name\":\"slow_count\",\"arguments\":{\"to\":3,\"interval_ms\":100},"
                                  "\"_meta\":{\"progressToken\":\"t\"}}"));

    cr_assert(d->open && d->out.wants_stream && d->count == 1);
    cr_assert_eq(d->out.wake_ms, 100);
    cr_assert(text_eq(demo_call_id(&d->call), TEXT("1")));
    cr_assert_at(d->said[0], "method", "\"notifications/progress\"");
    cr_assert_at(d->said[0], "params.progressToken", "\"t\"");
    cr_assert_at(d->said[0], "params.progress", "1");
    cr_assert_at(d->said[0], "params.total", "3");
    cr_assert_at(d->said[0], "params.message", "\"1 of 3\"");
    wake(d, 1050); /* early */
    cr_assert(d->open && d->count == 1);
    cr_assert_eq(d->out.wake_ms, 50);
    wake(d, 1199); /* late: the third is due at 1200 all the same */
    cr_assert_eq(d->count, 2);
    cr_assert_eq(d->out.wake_ms, 1);
    wake(d, 1200);
    cr_assert(d->open && d->count == 3);
    cr_assert_eq(d->out.wake_ms, 100);
    wake(d, 1300);
    cr_assert(!d->open && d->final && d->count == 4);
    cr_assert_at(d->said[2], "params.progress", "3");
    cr_assert_at(d->said[3], "id", "1");
    cr_assert_at(d->said[3], "result.content.0.text", "\"Counted to 3.\"");
}

Test(demo_slow, a_result_never_comes_in_the_same_step_as_progress)
{
    struct driver *d =
        say(MCP_2025_06_18,
            REQUEST("tools/call", "{\"name\":\"slow_count\",\"arguments\":{\"to\":3,\"interval_ms\":100},"
                                  "\"_meta\":{\"progressToken\":\"t\"}}"));

    wake(d, 100000);
    cr_assert(d->open && d->count == 3);
    cr_assert_eq(d->out.wake_ms, 1);
    wake(d, 100001);
    cr_assert(!d->open && d->final && d->count == 4);
}

Test(demo_slow, count_without_a_token_is_one_late_answer)
{
    struct driver *d = say(MCP_2025_06_18, CALL("slow_count", "{\"to\":3,\"interval_ms\":100}"));

    cr_assert(d->open && !d->out.wants_stream && d->count == 0);
    cr_assert_eq(d->out.wake_ms, 300);
    wake(d, 1300);
    cr_assert(!d->open && d->final && d->count == 1);
    cr_assert_at(d->said[0], "result.content.0.text", "\"Counted to 3.\"");
}

Test(demo_slow, progress_has_no_message_in_2024_11_05)
{
    struct driver *d =
        say(MCP_2024_11_05,
            REQUEST("tools/call", "{\"name\":\"slow_count\",\"arguments\":{\"to\":1,\"interval_ms\":0},"
                                  "\"_meta\":{\"progressToken\":9}}"));

    cr_assert(d->open && d->count == 1 && d->out.wants_stream);
    cr_assert_at(d->said[0], "params.progressToken", "9");
    cr_assert_absent(d->said[0], "params.message");
}

Test(demo_slow, a_count_that_is_due_at_once_comes_in_bounded_bursts)
{
    struct driver *d =
        say(MCP_2025_06_18,
            REQUEST("tools/call", "{\"name\":\"slow_count\",\"arguments\":{\"to\":1000,\"interval_ms\":0},"
                                  "\"_meta\":{\"progressToken\":1}}"));
    unsigned before = d->count;

    cr_assert(d->open && before == 64);
    while (d->open) {
        cr_assert_eq(d->out.wake_ms, 1);
        wake(d, 1000);
        cr_assert_leq(d->count - before, 64);
        before = d->count;
    }
    cr_assert_eq(d->count, 1001);
}

Test(demo_slow, text_comes_word_by_word_at_the_rate_and_then_as_a_whole)
{
    struct driver *d =
        say(MCP_2025_11_25,
            REQUEST("tools/call", "{\"name\":\"generate_text\",\"arguments\":{\"prompt\":\"hi\",\"words\":30,"
                                  "\"tokens_per_second\":50},\"_meta\":{\"progressToken\":1}}"));
    char whole[1024] = "\"";
    struct text text;

    cr_assert(d->open && d->out.wants_stream);
    cr_assert_eq(d->out.wake_ms, 20);
    for (unsigned i = 1; i <= 30; i++) {
        cr_assert_eq(d->count, i);
        wake(d, 1000 + i * 20);
    }
    cr_assert(!d->open && d->count == 31);
    for (unsigned i = 0; i < 30; i++) {
        struct text word = at(d->said[i], "params.message");

        cr_assert_gt(word.len, 2);
        strncat(whole, word.at + 1, word.len - 2);
    }
    strcat(whole, "\"");
    text = at(d->said[30], "result.content.0.text");
    cr_assert(text_eq(text, text_of(whole)), "%.*s", (int)text.len, text.at);
    cr_assert(whole[1] >= 'A' && whole[1] <= 'Z' && whole[text.len - 2] == '.');
}

Test(demo_slow, equal_prompts_give_equal_texts_and_others_do_not)
{
    static const char *const prompts[] = {"hi", "hi", "ho"};
    char *texts[3];

    for (int i = 0; i < 3; i++) {
        char message[200];
        struct driver *d;

        snprintf(message, sizeof message, CALL("generate_text", "{\"prompt\":\"%s\",\"words\":2000}"),
                 prompts[i]);
        d = say(MCP_2025_06_18, message);
        cr_assert_eq(d->out.wake_ms, 100000);
        wake(d, 101000);
        cr_assert(d->final);
        texts[i] = strdup(d->said[0]);
    }
    cr_assert_str_eq(texts[0], texts[1]);
    cr_assert_str_neq(texts[0], texts[2]);
    for (int i = 0; i < 3; i++)
        free(texts[i]);
}

Test(demo_slow, a_cancelled_call_says_nothing_more)
{
    struct driver *d = say(MCP_2025_06_18, CALL("slow_count", "{\"to\":3}"));

    demo_cancel(&d->call);
    cr_assert_eq(d->count, 0);
}

Test(demo_slow, a_call_that_the_server_cannot_finish_ends_with_an_error)
{
    struct driver *d = say(MCP_2025_06_18, CALL("slow_count", "{\"to\":3}"));

    demo_finish(&d->call, &d->out);
    cr_assert(d->final && d->count == 1);
    cr_assert_at(d->said[0], "id", "1");
    cr_assert_at(d->said[0], "error.code", "-32000");
}

Test(demo_slow, a_progress_token_must_be_a_short_string_or_number)
{
    char message[400];

    expect_error(say(MCP_2025_06_18,
                     REQUEST("tools/call", "{\"name\":\"slow_count\",\"_meta\":{\"progressToken\":{}}}")),
                 "-32602", 200);
    snprintf(message, sizeof message,
             REQUEST("tools/call", "{\"name\":\"slow_count\",\"_meta\":{\"progressToken\":\"%0*d\"}}"),
             DEMO_TOKEN_MAX, 0);
    expect_error(say(MCP_2025_06_18, message), "-32602", 200);
}

/* --- everything else --- */

Test(demo_legacy, resources_are_listed_and_read)
{
    for (int r = MCP_2024_11_05; r <= MCP_LATEST_LEGACY; r++) {
        const char *m = expect_result(say((enum mcp_revision)r, REQUEST("resources/list", "{}")));

        cr_assert_at(m, "result.resources.0.uri", "\"demo://greeting\"");
        cr_assert_at(m, "result.resources.0.mimeType", "\"text/plain\"");
        cr_assert_eq(at(m, "result.resources.0.title").len > 0, r >= MCP_2025_06_18);
        m = expect_result(say((enum mcp_revision)r, REQUEST("resources/templates/list", "{}")));
        cr_assert_at(m, "result.resourceTemplates", "[]");
        m = expect_result(
            say((enum mcp_revision)r, REQUEST("resources/read", "{\"uri\":\"demo://greeting\"}")));
        cr_assert_at(m, "result.contents.0.uri", "\"demo://greeting\"");
        cr_assert_gt(at(m, "result.contents.0.text").len, 20);
    }
}

Test(demo_legacy, unknown_resources_are_32002_with_their_uri)
{
    static const char *const methods[] = {"resources/read", "resources/subscribe", "resources/unsubscribe"};

    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
        char message[200];
        struct driver *d;

        snprintf(message, sizeof message,
                 "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"%s\",\"params\":{\"uri\":\"demo://x\"}}",
                 methods[i]);
        d = say(MCP_2025_11_25, message);
        expect_error(d, "-32002", 200);
        cr_assert_at(d->said[0], "error.data.uri", "\"demo://x\"");
        snprintf(message, sizeof message, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"%s\",\"params\":{}}",
                 methods[i]);
        expect_error(say(MCP_2025_11_25, message), "-32602", 200);
    }
}

Test(demo_legacy, resources_are_subscribed_to_and_unsubscribed_from)
{
    cr_assert_at(
        expect_result(say(MCP_2025_06_18, REQUEST("resources/subscribe", "{\"uri\":\"demo://greeting\"}"))),
        "result", "{}");
    cr_assert_at(
        expect_result(say(MCP_2025_06_18, REQUEST("resources/unsubscribe", "{\"uri\":\"demo://greeting\"}"))),
        "result", "{}");
}

Test(demo_legacy, the_prompt_is_listed_and_filled_in)
{
    const char *m = expect_result(say(MCP_2025_06_18, REQUEST("prompts/list", "{}")));

    cr_assert_at(m, "result.prompts.0.name", "\"explain\"");
    cr_assert_at(m, "result.prompts.0.arguments.0.name", "\"topic\"");
    cr_assert_at(m, "result.prompts.0.title", "\"Explain\"");
    m = expect_result(say(MCP_2024_11_05, REQUEST("prompts/list", "{}")));
    cr_assert_absent(m, "result.prompts.0.title");
    m = expect_result(
        say(MCP_2025_06_18,
            REQUEST("prompts/get", "{\"name\":\"explain\",\"arguments\":{\"topic\":\"a \\\"b\\\"\"}}")));
    cr_assert_at(m, "result.messages.0.role", "\"user\"");
    cr_assert_at(m, "result.messages.0.content.text", "\"Explain in three sentences: a \\\"b\\\"\"");
}

Test(demo_legacy, unknown_prompts_and_missing_arguments_are_invalid_params)
{
    expect_error(say(MCP_2025_06_18, REQUEST("prompts/get", "{\"name\":\"x\"}")), "-32602", 200);
    expect_error(say(MCP_2025_06_18, REQUEST("prompts/get", "{}")), "-32602", 200);
    expect_error(say(MCP_2025_06_18, REQUEST("prompts/get", "{\"name\":\"explain\"}")), "-32602", 200);
    expect_error(
        say(MCP_2025_06_18, REQUEST("prompts/get", "{\"name\":\"explain\",\"arguments\":{\"topic\":1}}")),
        "-32602", 200);
}

Test(demo_legacy, lists_have_one_page_so_every_cursor_is_bad)
{
    static const char *const methods[] = {"tools/list", "prompts/list", "resources/list",
                                          "resources/templates/list"};

    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
        char message[200];

        snprintf(message, sizeof message,
                 "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"%s\",\"params\":{\"cursor\":\"\"}}", methods[i]);
        expect_error(say(MCP_2025_06_18, message), "-32602", 200);
        snprintf(message, sizeof message, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"%s\"}", methods[i]);
        expect_result(say(MCP_2025_06_18, message));
    }
}

Test(demo_legacy, completion_has_no_values_but_checks_its_question)
{
    const char *m =
        expect_result(say(MCP_2025_06_18, REQUEST("completion/complete",
                                                  "{\"ref\":{\"type\":\"ref/prompt\",\"name\":\"explain\"},"
                                                  "\"argument\":{\"name\":\"topic\",\"value\":\"a\"}}")));

    cr_assert_at(m, "result.completion.values", "[]");
    cr_assert_at(m, "result.completion.hasMore", "false");
    expect_error(say(MCP_2025_06_18, REQUEST("completion/complete", "{}")), "-32602", 200);
}

Test(demo_legacy, set_level_takes_the_eight_levels)
{
    cr_assert_at(expect_result(say(MCP_2025_06_18, REQUEST("logging/setLevel", "{\"level\":\"debug\"}"))),
                 "result", "{}");
    cr_assert_at(expect_result(say(MCP_2025_06_18, REQUEST("logging/setLevel", "{\"level\":\"emergency\"}"))),
                 "result", "{}");
    expect_error(say(MCP_2025_06_18, REQUEST("logging/setLevel", "{\"level\":\"loud\"}")), "-32602", 200);
    expect_error(say(MCP_2025_06_18, REQUEST("logging/setLevel", "{}")), "-32602", 200);
}

Test(demo_legacy, names_in_errors_are_shortened_between_characters_and_cannot_break_the_message)
{
    struct driver *d = say(
        MCP_2025_06_18,
        CALL("\\u0000\\n\\\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\\u00e9\\u00e9\\u00e9",
             "{}"));

    expect_error(d, "-32602", 200);
    cr_assert(strstr(d->said[0], "??\\\"aaa"), "%s", d->said[0]);
    cr_assert(strstr(d->said[0], "..."));
}

Test(client_caps, reads_what_the_client_declared)
{
    cr_assert_eq(mcp_client_caps(TEXT("{}")), 0);
    cr_assert_eq(mcp_client_caps(TEXT("null")), 0);
    cr_assert_eq(mcp_client_caps(TEXT("{\"roots\":{},\"sampling\":{}}")),
                 MCP_CLIENT_ROOTS | MCP_CLIENT_SAMPLING);
    cr_assert_eq(mcp_client_caps(TEXT("{\"sampling\":{\"tools\":{},\"context\":{}}}")),
                 MCP_CLIENT_SAMPLING | MCP_CLIENT_SAMPLING_TOOLS | MCP_CLIENT_SAMPLING_CONTEXT);
    cr_assert_eq(mcp_client_caps(TEXT("{\"elicitation\":{}}")), MCP_CLIENT_ELICIT_FORM);
    cr_assert_eq(mcp_client_caps(TEXT("{\"elicitation\":{\"url\":{}}}")), MCP_CLIENT_ELICIT_URL);
    cr_assert_eq(mcp_client_caps(TEXT("{\"elicitation\":{\"url\":{},\"form\":{}}}")),
                 MCP_CLIENT_ELICIT_URL | MCP_CLIENT_ELICIT_FORM);
    cr_assert_eq(mcp_client_caps(TEXT("{\"roots\":true,\"sampling\":[],\"elicitation\":null}")), 0);
}
