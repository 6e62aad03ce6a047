/* SPDX-License-Identifier: Apache-2.0 */
/* Writes the demo server's messages. A message that does not fit the room is replaced by an error. */
#include "base/check.h"
#include "mcp/demo_turn.h"

#include <stdarg.h>
#include <stdio.h>

/* How long clients may keep the lists, which never change while the program runs. */
#define DEMO_TTL_MS TEXT("3600000")

void
demo_item(struct demo_turn *t)
{
    char last = t->w.len > t->begin ? t->w.at[t->w.len - 1] : '{';

    if (last != '{' && last != '[' && last != ':')
        json_put(&t->w, TEXT(","));
}

void
demo_key(struct demo_turn *t, struct text key)
{
    demo_item(t);
    json_put_string(&t->w, key);
    json_put(&t->w, TEXT(":"));
}

void
demo_put(struct demo_turn *t, struct text key, struct text raw)
{
    demo_key(t, key);
    json_put(&t->w, raw);
}

void
demo_put_string(struct demo_turn *t, struct text key, struct text utf8)
{
    demo_key(t, key);
    json_put_string(&t->w, utf8);
}

void
demo_emit(struct demo_turn *t, bool final)
{
    ASSERT(!t->w.full);
    if (t->in_batch)
        return;
    t->out->message(t->out->context, json_written(&t->w), final);
    t->w.len = 0;
}

static void
message_begin(struct demo_turn *t)
{
    json_put(&t->w, TEXT("{\"jsonrpc\":\"2.0\""));
}

void
demo_result_begin(struct demo_turn *t)
{
    message_begin(t);
    demo_put(t, TEXT("id"), t->id);
    demo_key(t, TEXT("result"));
    json_put(&t->w, TEXT("{"));
    if (!demo_is_modern(t))
        return;
    demo_put_string(t, TEXT("resultType"), TEXT("complete"));
    demo_key(t, TEXT("_meta"));
    json_put(&t->w, TEXT("{"));
    if (t->call->kind == DEMO_LISTEN)
        demo_put(t, TEXT("io.modelcontextprotocol/subscriptionId"), t->id);
    demo_key(t, TEXT("io.modelcontextprotocol/serverInfo"));
    demo_put_server_info(t);
    json_put(&t->w, TEXT("}"));
}

void
demo_cacheable(struct demo_turn *t)
{
    if (!demo_is_modern(t))
        return;
    demo_put(t, TEXT("ttlMs"), DEMO_TTL_MS);
    demo_put_string(t, TEXT("cacheScope"), TEXT("public"));
}

void
demo_result_end(struct demo_turn *t)
{
    json_put(&t->w, TEXT("}}"));
    if (t->w.full) {
        t->w.full = false;
        t->w.len = t->begin;
        demo_error(t, 200, MCP_ERROR_INTERNAL, "The reply is longer than the server's buffer");
        return;
    }
    demo_emit(t, true);
}

void
demo_notification_begin(struct demo_turn *t, struct text method)
{
    message_begin(t);
    demo_put_string(t, TEXT("method"), method);
    demo_key(t, TEXT("params"));
    json_put(&t->w, TEXT("{"));
}

void
demo_notification_end(struct demo_turn *t)
{
    json_put(&t->w, TEXT("}}"));
    demo_emit(t, false);
}

static void __attribute__((format(printf, 3, 0)))
error_begin(struct demo_turn *t, int code, const char *format, va_list args)
{
    char text[400];

    vsnprintf(text, sizeof text, format, args);
    message_begin(t);
    /* An id that could not be read is null in JSON-RPC 2.0, and left out since 2026-07-28. */
    if (t->id.len)
        demo_put(t, TEXT("id"), t->id);
    else if (!demo_is_modern(t))
        demo_put(t, TEXT("id"), TEXT("null"));
    demo_key(t, TEXT("error"));
    json_put(&t->w, TEXT("{"));
    demo_key(t, TEXT("code"));
    json_put_integer(&t->w, code);
    demo_put_string(t, TEXT("message"), text_of(text));
}

void
demo_error_begin(struct demo_turn *t, int code, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    error_begin(t, code, format, args);
    va_end(args);
}

void
demo_error_end(struct demo_turn *t, uint16_t status)
{
    json_put(&t->w, TEXT("}}"));
    t->out->status = status;
    demo_emit(t, true);
}

void
demo_error(struct demo_turn *t, uint16_t status, int code, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    error_begin(t, code, format, args);
    va_end(args);
    demo_error_end(t, status);
}

const char *
demo_clip(struct text raw, char out[static 64])
{
    static const char more[] = "...";
    const uint32_t room = 64 - sizeof more;
    char decoded[1024];
    int n = json_string_decode(raw, decoded, sizeof decoded);
    struct text text = n >= 0 ? (struct text){decoded, (uint32_t)n} : raw;
    uint32_t len = text.len < room ? text.len : room;

    for (uint32_t i = 0; i < len; i++)
        out[i] = (uint8_t)text.at[i] < 0x20 || text.at[i] == 0x7f ? '?' : text.at[i];
    /* Not in the middle of a character. */
    while (len < text.len && len && ((uint8_t)text.at[len] & 0xc0) == 0x80)
        len--;
    memcpy(out + len, len < text.len ? more : "", len < text.len ? sizeof more : 1);
    return out;
}
