/* SPDX-License-Identifier: Apache-2.0 */
#include "mcp/bridge_edit.h"

#include "mcp/bridge_server.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

/* --- out --- */

void
bridge_start(struct bridge_out *out, struct text message)
{
    out->edits.count = 0;
    out->edits.full = false;
    out->text = message;
    out->act = BRIDGE_ACT_NONE;
    out->subject = (struct text){NULL, 0};
    out->code = 0;
    out->status = 200;
}

void
bridge_edit(struct bridge_out *out, struct text old, struct text with)
{
    struct bridge_edits *edits = &out->edits;

    if (edits->count == edits->room) {
        edits->full = true;
        return;
    }
    edits->at[edits->count++] = (struct jsonrpc_edit){old, with};
}

/* By insertion: they are nearly in order. Those of one place stay as they were made. */
static void
sort_edits(struct bridge_edits *edits)
{
    for (uint32_t i = 1; i < edits->count; i++) {
        struct jsonrpc_edit edit = edits->at[i];
        uint32_t k = i;

        for (; k && edits->at[k - 1].old.at > edit.old.at; k--)
            edits->at[k] = edits->at[k - 1];
        edits->at[k] = edit;
    }
}

enum bridge_verdict
bridge_finish(struct bridge_out *out, enum bridge_verdict verdict)
{
    if (out->room.full || out->edits.full)
        return BRIDGE_FULL;
    sort_edits(&out->edits);
    return verdict;
}

void
bridge_add_edits(struct bridge_out *out, const struct jsonrpc_edit *more, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        bridge_edit(out, more[i].old, more[i].with);
    sort_edits(&out->edits);
}

void
bridge_put_number(struct json_writer *w, uint64_t number)
{
    char digits[24];

    json_put(w, (struct text){digits, (uint32_t)snprintf(digits, sizeof digits, "%" PRIu64, number)});
}

struct text
bridge_room_number(struct bridge_out *out, uint64_t number)
{
    uint32_t begin = out->room.len;

    bridge_put_number(&out->room, number);
    return bridge_room_since(out, begin);
}

uint64_t
bridge_number(struct text raw)
{
    uint64_t n = 0;

    if (!raw.len || raw.len > 16 || raw.at[0] < '1' || raw.at[0] > '9')
        return 0;
    for (uint32_t i = 0; i < raw.len; i++) {
        if (raw.at[i] < '0' || raw.at[i] > '9')
            return 0;
        n = n * 10 + (uint64_t)(raw.at[i] - '0');
    }
    return n;
}

/* --- objects --- */

void
object_begin(struct object_walk *walk, struct text object)
{
    *walk = (struct object_walk){.object = object, .rest = object};
}

bool
object_next(struct object_walk *walk, struct json_member *ret)
{
    return json_next_member(&walk->rest, ret);
}

void
object_keep(struct object_walk *walk, const struct json_member *member, struct bridge_out *out)
{
    if (walk->drop_from)
        bridge_edit(out, (struct text){walk->drop_from, (uint32_t)(member->key.at - walk->drop_from)},
                    walk->kept_end ? TEXT(",") : TEXT(""));
    walk->drop_from = NULL;
    walk->kept_end = member->value.at + member->value.len;
}

void
object_drop(struct object_walk *walk, const struct json_member *member)
{
    if (!walk->drop_from)
        walk->drop_from = walk->kept_end ? walk->kept_end : member->key.at;
}

void
object_end(struct object_walk *walk, struct text added, struct bridge_out *out)
{
    const char *close = walk->object.at + walk->object.len - 1;

    if (walk->drop_from)
        bridge_edit(out, (struct text){walk->drop_from, (uint32_t)(close - walk->drop_from)}, TEXT(""));
    if (added.len && walk->kept_end)
        bridge_insert(out, close, TEXT(","));
    if (added.len)
        bridge_insert(out, close, added);
}

bool
key_is_one_of(struct text key, const struct text *list, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (json_string_is(key, list[i]))
            return true;
    return false;
}

void
object_change(struct text object, const struct object_change *change, struct bridge_out *out)
{
    struct object_walk walk;
    struct json_member m;

    object_begin(&walk, object);
    while (object_next(&walk, &m)) {
        if (key_is_one_of(m.key, change->drop, change->drops))
            object_drop(&walk, &m);
        else
            object_keep(&walk, &m, out);
    }
    object_end(&walk, change->add, out);
}

/* --- params --- */

/* `"_meta":{...}` of what is added, and what is added to params, in the room. */
static struct text
added_params(const struct params_change *change, bool has_meta, struct bridge_out *out)
{
    uint32_t begin = out->room.len;

    if (has_meta || !change->meta.add.len)
        return change->params.add;
    json_put(&out->room, TEXT("\"_meta\":{"));
    json_put(&out->room, change->meta.add);
    json_put(&out->room, TEXT("}"));
    if (change->params.add.len)
        json_put(&out->room, TEXT(","));
    json_put(&out->room, change->params.add);
    return bridge_room_since(out, begin);
}

static void
add_params(const struct jsonrpc_envelope *env, const struct params_change *change, struct bridge_out *out)
{
    struct text added = added_params(change, false, out);
    const char *at = env->method.at + env->method.len + 1; /* behind the method's closing quote */

    if (!added.len)
        return;
    bridge_insert(out, at, TEXT(",\"params\":{"));
    bridge_insert(out, at, added);
    bridge_insert(out, at, TEXT("}"));
}

void
params_change(const struct jsonrpc_envelope *env, const struct params_change *change, struct bridge_out *out)
{
    struct object_walk walk;
    struct json_member m;

    if (!env->params.at) {
        add_params(env, change, out);
        return;
    }
    object_begin(&walk, env->params);
    while (object_next(&walk, &m)) {
        if (key_is_one_of(m.key, change->params.drop, change->params.drops)) {
            object_drop(&walk, &m);
            continue;
        }
        object_keep(&walk, &m, out);
        if (m.value.at == env->meta.at)
            object_change(env->meta, &change->meta, out);
    }
    object_end(&walk, added_params(change, env->meta.at != NULL, out), out);
    if (env->meta_progress_token.at && change->token.len)
        bridge_edit(out, env->meta_progress_token, change->token);
}

/* --- messages --- */

void
bridge_put_reply_begin(struct json_writer *w, struct text id)
{
    json_put(w, TEXT("{\"jsonrpc\":\"2.0\",\"id\":"));
    json_put(w, id);
    json_put(w, TEXT(","));
}

void
bridge_put_request_begin(struct json_writer *w, uint64_t number, struct text method)
{
    json_put(w, TEXT("{\"jsonrpc\":\"2.0\",\"id\":"));
    bridge_put_number(w, number);
    json_put(w, TEXT(",\"method\":"));
    json_put_string(w, method);
}

void
bridge_edit_id(struct bridge_out *out, struct text message, const struct jsonrpc_envelope *env,
               struct text id)
{
    const char *end = message.at + message.len, *open = json_skip_space(message.at, end) + 1;

    if (env->id.at) {
        bridge_edit(out, env->id, id);
        return;
    }
    bridge_insert(out, open, TEXT("\"id\":"));
    bridge_insert(out, open, id);
    bridge_insert(out, open, TEXT(","));
}

uint16_t
bridge_error_status(enum mcp_revision client, int code)
{
    if (!mcp_revision_is_modern(client))
        return 200;
    switch (code) {
    case -32601:
        return 404;
    case -32700:
    case -32600:
    case -32020:
    case BRIDGE_ERROR_CAPABILITY:
    case -32022:
        return 400;
    default:
        return 200;
    }
}

void
bridge_put_error(struct json_writer *w, enum mcp_revision client, struct text id, int code, struct text text,
                 struct text data)
{
    json_put(w, TEXT("{\"jsonrpc\":\"2.0\""));
    /* An id that could not be read is null in JSON-RPC 2.0, and left out since 2026-07-28. */
    if (id.len || !mcp_revision_is_modern(client)) {
        json_put(w, TEXT(",\"id\":"));
        json_put(w, id.len ? id : TEXT("null"));
    }
    json_put(w, TEXT(",\"error\":{\"code\":"));
    json_put_integer(w, code);
    json_put(w, TEXT(",\"message\":"));
    json_put_string(w, text);
    if (data.len) {
        json_put(w, TEXT(",\"data\":"));
        json_put(w, data);
    }
    json_put(w, TEXT("}}"));
}

enum bridge_verdict
bridge_refuse(struct bridge_out *out, enum bridge_verdict verdict, enum mcp_revision client, struct text id,
              int code, struct text data, const char *format, ...)
{
    uint32_t begin = out->room.len;
    char text[300];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    bridge_put_error(&out->room, client, id, code, text_of(text), data);
    out->edits.count = 0;
    out->edits.full = false;
    out->text = bridge_room_since(out, begin);
    out->code = code;
    out->status = bridge_error_status(client, code);
    return bridge_finish(out, verdict);
}

struct text
bridge_room_required(struct bridge_out *out, uint32_t needs)
{
    uint32_t begin = out->room.len;

    json_put(&out->room, TEXT("{\"requiredCapabilities\":"));
    bridge_put_client_caps(&out->room, needs, MCP_2026_07_28);
    json_put(&out->room, TEXT("}"));
    return bridge_room_since(out, begin);
}

void
bridge_put_cancelled(struct json_writer *w, uint64_t number, struct text reason)
{
    json_put(w,
             TEXT("{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":"));
    bridge_put_number(w, number);
    if (json_kind_of(reason) == JSON_IS_STRING) {
        json_put(w, TEXT(",\"reason\":"));
        json_put(w, reason);
    }
    json_put(w, TEXT("}}"));
}

/* --- log levels --- */

static const struct text levels[BRIDGE_LEVELS] = {
    [BRIDGE_LEVEL_NONE] = ROW_TEXT(""),         [BRIDGE_DEBUG] = ROW_TEXT("debug"),
    [BRIDGE_INFO] = ROW_TEXT("info"),           [BRIDGE_NOTICE] = ROW_TEXT("notice"),
    [BRIDGE_WARNING] = ROW_TEXT("warning"),     [BRIDGE_ERROR] = ROW_TEXT("error"),
    [BRIDGE_CRITICAL] = ROW_TEXT("critical"),   [BRIDGE_ALERT] = ROW_TEXT("alert"),
    [BRIDGE_EMERGENCY] = ROW_TEXT("emergency"),
};

enum bridge_level
bridge_level_of(struct text raw)
{
    if (!raw.len)
        return BRIDGE_LEVEL_NONE;
    for (unsigned i = BRIDGE_DEBUG; i < BRIDGE_LEVELS; i++)
        if (json_string_is(raw, levels[i]))
            return (enum bridge_level)i;
    return BRIDGE_LEVEL_NONE;
}

struct text
bridge_level_name(enum bridge_level level)
{
    return level < BRIDGE_LEVELS ? levels[level] : levels[BRIDGE_LEVEL_NONE];
}
