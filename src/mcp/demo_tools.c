/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The demo server's tools. echo and add answer at once; slow_count and generate_text are steps that fall due
 * one after the other, the first at once: each is a progress message if the caller gave a token, and the last
 * is followed by the result. What an open call needs is in struct demo_call; generated text is made again
 * from its seed.
 */
#include "mcp/demo_turn.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

enum {
    TEXT_MAX = 64 * 1024,    /* bytes of a text argument as raw JSON */
    COUNT_MAX = 1000,        /* slow_count: to */
    INTERVAL_MAX_MS = 10000, /* slow_count: interval_ms */
    WORDS_MAX = 2000,        /* generate_text: words */
    RATE_MAX = 1000,         /* generate_text: tokens_per_second */
    BURST = 64,              /* messages of one call in one step, when it is late */
};

/* TEXT() in a form that a static table takes. */
#define ROW_TEXT(literal)                                                                                    \
    {                                                                                                        \
        literal, sizeof(literal) - 1                                                                         \
    }

#define OBJECT(properties, more) "{\"type\":\"object\",\"properties\":{" properties "}" more "}"

/* --- arguments --- */

/* A tool's argument is wrong. Since 2025-11-25 that is a result which the model can learn from, before it an
 * error. */
static void __attribute__((format(printf, 2, 3))) refuse(struct demo_turn *t, const char *format, ...)
{
    char text[300];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (t->revision < MCP_2025_11_25) {
        demo_error(t, 200, MCP_ERROR_PARAMS, "Invalid arguments: %s", text);
        return;
    }
    demo_result_begin(t);
    demo_key(t, TEXT("content"));
    json_put(&t->w, TEXT("[{\"type\":\"text\",\"text\":"));
    json_put_string(&t->w, text_of(text));
    json_put(&t->w, TEXT("}]"));
    demo_put(t, TEXT("isError"), TEXT("true"));
    demo_result_end(t);
}

static struct text
argument(const struct demo_turn *t, const char *name)
{
    return json_find(t->env.arguments, text_of(name));
}

/* A string argument as raw JSON. */
static bool
get_string(struct demo_turn *t, const char *name, struct text *ret_raw)
{
    *ret_raw = argument(t, name);
    if (json_kind_of(*ret_raw) != JSON_IS_STRING)
        refuse(t, "\"%s\" must be a string%s", name, ret_raw->len ? "" : ", and is missing");
    else if (ret_raw->len > TEXT_MAX)
        refuse(t, "\"%s\" is longer than %d bytes", name, TEXT_MAX);
    else
        return true;
    return false;
}

/* An optional integer argument; *ret is its default before. */
static bool
get_integer(struct demo_turn *t, const char *name, int64_t low, int64_t high, int64_t *ret)
{
    struct text raw = argument(t, name);
    int64_t n = *ret;
    char clip[64];

    if (raw.len && (!json_read_integer(raw, &n) || n < low || n > high)) {
        refuse(t, "\"%s\" must be an integer from %lld to %lld, not %s", name, (long long)low,
               (long long)high, demo_clip(raw, clip));
        return false;
    }
    *ret = n;
    return true;
}

/* --- results --- */

static void
put_text_begin(struct demo_turn *t)
{
    demo_result_begin(t);
    demo_key(t, TEXT("content"));
    json_put(&t->w, TEXT("[{\"type\":\"text\",\"text\":"));
}

static void
put_text_end(struct demo_turn *t)
{
    json_put(&t->w, TEXT("}]"));
    demo_result_end(t);
}

static void
call_echo(struct demo_turn *t)
{
    bool has_message = argument(t, "message").len || !argument(t, "text").len;
    struct text raw;

    if (!get_string(t, has_message ? "message" : "text", &raw))
        return;
    put_text_begin(t);
    json_put(&t->w, raw); /* as it was spelled: nothing to decode and nothing to escape */
    put_text_end(t);
}

/* Writes a + b to out as JSON: exact for integers within 2^53, else as doubles add. False when it is no
 * number. */
static bool
add(struct text a, struct text b, struct json_writer *out)
{
    int64_t i, j;
    double x, y;

    if (json_read_integer(a, &i) && json_read_integer(b, &j)) {
        json_put_integer(out, i + j);
        return true;
    }
    if (!json_read_double(a, &x) || !json_read_double(b, &y) || !isfinite(x + y))
        return false;
    json_put_double(out, x + y);
    return true;
}

static void
call_add(struct demo_turn *t)
{
    struct text a = argument(t, "a"), b = argument(t, "b");
    const char *wrong = json_kind_of(a) != JSON_IS_NUMBER   ? "a"
                        : json_kind_of(b) != JSON_IS_NUMBER ? "b"
                                                            : NULL;
    char sum[40];
    struct json_writer w = {.at = sum, .size = sizeof sum};

    if (wrong) {
        refuse(t, "\"%s\" must be a number%s", wrong, argument(t, wrong).len ? "" : ", and is missing");
        return;
    }
    if (!add(a, b, &w)) {
        refuse(t, "the sum of \"a\" and \"b\" is larger than a number can be");
        return;
    }
    put_text_begin(t);
    json_put_string(&t->w, json_written(&w));
    json_put(&t->w, TEXT("}]"));
    if (t->revision >= MCP_2025_06_18) {
        demo_key(t, TEXT("structuredContent"));
        json_put(&t->w, TEXT("{\"sum\":"));
        json_put(&t->w, json_written(&w));
        json_put(&t->w, TEXT("}"));
    }
    demo_result_end(t);
}

/* --- calls that take their time --- */

static void
open_call(struct demo_turn *t, enum demo_kind kind, int64_t total, int64_t interval_us)
{
    struct demo_call *call = t->call;
    enum json_kind token = json_kind_of(t->env.meta_progress_token);

    if (t->in_batch) {
        demo_error(t, 200, MCP_ERROR_INVALID_REQUEST,
                   "Invalid Request: a tool that takes its time can't be in a batch");
        return;
    }
    if (t->env.meta_progress_token.len > DEMO_TOKEN_MAX ||
        (token && token != JSON_IS_STRING && token != JSON_IS_NUMBER)) {
        demo_error(t, 200, MCP_ERROR_PARAMS,
                   "Invalid params: progressToken must be a string or an integer of at most %d bytes",
                   DEMO_TOKEN_MAX);
        return;
    }
    call->kind = (uint8_t)kind;
    call->revision = (uint8_t)t->revision;
    call->total = (uint32_t)total;
    call->interval_us = (uint32_t)interval_us;
    call->started_ms = t->now_ms;
    call->id_len = (uint8_t)t->id.len;
    memcpy(call->id, t->id.at, t->id.len);
    call->token_len = (uint8_t)t->env.meta_progress_token.len;
    if (call->token_len)
        memcpy(call->token, t->env.meta_progress_token.at, call->token_len);
    t->open = true;
    t->out->wants_stream = call->token_len > 0;
    demo_tools_step(t);
}

static void
call_slow_count(struct demo_turn *t)
{
    int64_t to = 5, interval_ms = 200;

    if (get_integer(t, "to", 1, COUNT_MAX, &to) &&
        get_integer(t, "interval_ms", 0, INTERVAL_MAX_MS, &interval_ms))
        open_call(t, DEMO_SLOW_COUNT, to, interval_ms * 1000);
}

static void
call_generate_text(struct demo_turn *t)
{
    int64_t words = 50, rate = 20;
    struct text prompt;
    uint64_t seed = 0xcbf29ce484222325;

    if (!get_string(t, "prompt", &prompt) || !get_integer(t, "words", 1, WORDS_MAX, &words) ||
        !get_integer(t, "tokens_per_second", 1, RATE_MAX, &rate))
        return;
    for (uint32_t i = 0; i < prompt.len; i++)
        seed = (seed ^ (uint8_t)prompt.at[i]) * 0x100000001b3;
    t->call->seed = seed;
    open_call(t, DEMO_GENERATE, words, 1000000 / rate);
}

/* The n-th word of a text, with what stands before and behind it. Equal prompts give equal texts. */
static struct text
word(const struct demo_call *call, uint32_t n, char out[32])
{
    static const char *const words[] = {
        "a",     "the",    "each",    "every",  "some",    "stream", "message", "server",  "client",
        "token", "answer", "request", "event",  "word",    "time",   "gate",    "line",    "tool",
        "text",  "sends",  "reads",   "waits",  "carries", "opens",  "closes",  "knows",   "keeps",
        "finds", "small",  "quick",   "quiet",  "long",    "open",   "next",    "first",   "and",
        "or",    "then",   "while",   "before", "after",   "with",   "for",     "between",
    };
    const uint32_t sentence = 11;
    uint64_t z = call->seed + (n + 1) * 0x9e3779b97f4a7c15;
    bool first = n % sentence == 0, last = n % sentence == sentence - 1 || n + 1 == call->total;
    int len;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    len = snprintf(out, 32, "%s%s%s", n ? " " : "", words[(z ^ z >> 31) % (sizeof words / sizeof *words)],
                   last ? "." : "");
    if (first)
        out[n ? 1 : 0] = (char)(out[n ? 1 : 0] - 'a' + 'A');
    return (struct text){out, (uint32_t)len};
}

static void
put_progress(struct demo_turn *t)
{
    const struct demo_call *call = t->call;
    char message[48];

    demo_notification_begin(t, TEXT("notifications/progress"));
    demo_put(t, TEXT("progressToken"), (struct text){call->token, call->token_len});
    demo_key(t, TEXT("progress"));
    json_put_integer(&t->w, call->step);
    demo_key(t, TEXT("total"));
    json_put_integer(&t->w, call->total);
    if (t->revision >= MCP_2025_03_26 && call->kind == DEMO_GENERATE) {
        demo_put_string(t, TEXT("message"), word(call, call->step - 1, message));
    } else if (t->revision >= MCP_2025_03_26) {
        snprintf(message, sizeof message, "%u of %u", call->step, call->total);
        demo_put_string(t, TEXT("message"), text_of(message));
    }
    demo_notification_end(t);
}

static void
put_last(struct demo_turn *t)
{
    const struct demo_call *call = t->call;
    char piece[48];

    put_text_begin(t);
    if (call->kind == DEMO_SLOW_COUNT) {
        snprintf(piece, sizeof piece, "Counted to %u.", call->total);
        json_put_string(&t->w, text_of(piece));
    } else {
        json_put(&t->w, TEXT("\""));
        for (uint32_t n = 0; n < call->total; n++)
            json_put(&t->w, word(call, n, piece)); /* letters, spaces and stops: no escapes */
        json_put(&t->w, TEXT("\""));
    }
    put_text_end(t);
    t->open = false;
}

/* When step 0, 1, ... is due: a progress message each, and behind them the result. */
static uint64_t
due_ms(const struct demo_call *call, uint32_t step)
{
    return call->started_ms + ((uint64_t)step * call->interval_us + 999) / 1000;
}

void
demo_tools_step(struct demo_turn *t)
{
    struct demo_call *call = t->call;
    uint32_t sent = 0;
    uint64_t due;

    if (!call->token_len)
        call->step = call->total; /* nothing is to be said before the result */
    while (call->step < call->total && due_ms(call, call->step) <= t->now_ms && sent < BURST) {
        call->step++;
        put_progress(t);
        sent++;
    }
    due = due_ms(call, call->step);
    /* The result has a step of its own: a client that reads it in one piece with progress may drop the
     * progress, because its handler ends with the request. */
    if (call->step == call->total && due <= t->now_ms && !sent)
        put_last(t);
    else
        t->out->wake_ms = due > t->now_ms ? (uint32_t)(due - t->now_ms) : 1;
}

/* --- the table --- */

static const struct {
    struct text name, title, description, input, output; /* schemas; output may be empty */
    void (*call)(struct demo_turn *t);
} tools[] = {
    {ROW_TEXT("echo"), ROW_TEXT("Echo"), ROW_TEXT("Returns the text it was given"),
     ROW_TEXT(OBJECT("\"message\":{\"type\":\"string\",\"description\":\"What to return\"},"
                     "\"text\":{\"type\":\"string\",\"description\":\"Another name for message\"}",
                     ",\"minProperties\":1")),
     ROW_TEXT(""), call_echo},
    {ROW_TEXT("add"), ROW_TEXT("Add"), ROW_TEXT("Adds two numbers"),
     ROW_TEXT(OBJECT("\"a\":{\"type\":\"number\",\"description\":\"The first number\"},"
                     "\"b\":{\"type\":\"number\",\"description\":\"The second number\"}",
                     ",\"required\":[\"a\",\"b\"]")),
     ROW_TEXT(OBJECT("\"sum\":{\"type\":\"number\",\"description\":\"a + b\"}", ",\"required\":[\"sum\"]")),
     call_add},
    {ROW_TEXT("slow_count"), ROW_TEXT("Slow count"),
     ROW_TEXT("Counts slowly and reports each number as progress"),
     ROW_TEXT(OBJECT("\"to\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":1000,\"default\":5,"
                     "\"description\":\"Where to stop\"},"
                     "\"interval_ms\":{\"type\":\"integer\",\"minimum\":0,\"maximum\":10000,\"default\":200,"
                     "\"description\":\"Time between two numbers\"}",
                     "")),
     ROW_TEXT(""), call_slow_count},
    {ROW_TEXT("generate_text"), ROW_TEXT("Generate text"),
     ROW_TEXT("Makes up a text, word by word as progress at a given rate, then as a whole"),
     ROW_TEXT(
         OBJECT("\"prompt\":{\"type\":\"string\",\"description\":\"Equal prompts give equal texts\"},"
                "\"words\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":2000,\"default\":50,"
                "\"description\":\"Length of the text\"},"
                "\"tokens_per_second\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":1000,\"default\":20,"
                "\"description\":\"Words per second\"}",
                ",\"required\":[\"prompt\"]")),
     ROW_TEXT(""), call_generate_text},
};

enum { TOOLS = sizeof tools / sizeof *tools };

void
demo_tools_list(struct demo_turn *t)
{
    demo_result_begin(t);
    demo_key(t, TEXT("tools"));
    json_put(&t->w, TEXT("["));
    for (int i = 0; i < TOOLS; i++) {
        demo_item(t);
        json_put(&t->w, TEXT("{"));
        demo_put_string(t, TEXT("name"), tools[i].name);
        if (t->revision >= MCP_2025_06_18)
            demo_put_string(t, TEXT("title"), tools[i].title);
        demo_put_string(t, TEXT("description"), tools[i].description);
        demo_put(t, TEXT("inputSchema"), tools[i].input);
        if (t->revision >= MCP_2025_06_18 && tools[i].output.len)
            demo_put(t, TEXT("outputSchema"), tools[i].output);
        if (t->revision >= MCP_2025_03_26)
            demo_put(t, TEXT("annotations"), TEXT("{\"readOnlyHint\":true,\"openWorldHint\":false}"));
        json_put(&t->w, TEXT("}"));
    }
    json_put(&t->w, TEXT("]"));
    demo_cacheable(t);
    demo_result_end(t);
}

void
demo_tools_call(struct demo_turn *t)
{
    char clip[64];

    if (json_kind_of(t->env.name) != JSON_IS_STRING) {
        demo_error(t, 200, MCP_ERROR_PARAMS, "Invalid params: name must be a string");
        return;
    }
    if (t->env.arguments.len && json_kind_of(t->env.arguments) != JSON_IS_OBJECT) {
        demo_error(t, 200, MCP_ERROR_PARAMS, "Invalid params: arguments must be an object");
        return;
    }
    for (int i = 0; i < TOOLS; i++) {
        if (json_string_is(t->env.name, tools[i].name)) {
            tools[i].call(t);
            return;
        }
    }
    demo_error(t, 200, MCP_ERROR_PARAMS, "Unknown tool: %s", demo_clip(t->env.name, clip));
}
