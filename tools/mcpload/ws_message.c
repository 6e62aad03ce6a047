/* SPDX-License-Identifier: Apache-2.0 */
/* The messages of `mcpload ws`; see ws_message.h. */
#include "ws_message.h"

#include "proto/jsonrpc.h"

enum {
    NUMBER_AT = 1 + STAMP_DIGITS,
    CLASS_AT = NUMBER_AT + STAMP_NUMBER_DIGITS + 1,
    ID_CHARS = CLASS_AT + 1
};

static const struct text plain = TEXT("{\"ns\":\""), call = TEXT("{\"jsonrpc\":\"2.0\",\"id\":\"");

/* Up to where the padding begins; after it three brackets close. */
static const char *const methods[WS_FORMS] = {
    [WS_FORM_CALL] = "\"tools/call\",\"params\":{\"name\":\"echo\",\"arguments\":{\"text\":",
    [WS_FORM_PING] = "\"ping\",\"params\":{\"_meta\":{\"pad\":",
};

static void
pad(struct bytes *text, uint64_t size, const char *end)
{
    size_t len = text->len + strlen(end);

    bytes_fill(text, 'x', size > len ? size - len : 0);
    bytes_add(text, end, strlen(end));
}

void
ws_message_build(enum ws_form form, enum priority priority, uint64_t size, struct ws_message *ret)
{
    struct bytes *text = &ret->text;
    char end[64] = "\"}}}";

    if (form == WS_FORM_PLAIN) {
        ret->stamp_at = plain.len;
        bytes_print(text, "%s%0*d\",\"pad\":\"", plain.at, STAMP_DIGITS, 0);
        pad(text, size, "\"}");
        return;
    }
    ret->stamp_at = call.len;
    ret->number_at = call.len + NUMBER_AT;
    bytes_print(text, "%s%0*d-%0*d-%u\",\"method\":%s\"", call.at, STAMP_DIGITS, 0, STAMP_NUMBER_DIGITS, 0,
                (unsigned)priority, methods[form]);
    if (form == WS_FORM_CALL && priority != PRIORITY_NONE)
        snprintf(end, sizeof end, "\"},\"_meta\":{\"mcpgate/priority\":\"%s\"}}}", priority_names[priority]);
    pad(text, size, end);
}

void
ws_message_stamp(struct ws_message *message, uint64_t sent_ns, uint32_t number)
{
    stamp_digits(message->text.at + message->stamp_at, STAMP_DIGITS, sent_ns);
    if (message->number_at)
        stamp_digits(message->text.at + message->number_at, STAMP_NUMBER_DIGITS, number);
}

static bool
read_id(struct text raw, struct ws_origin *ret)
{
    unsigned priority;

    if (raw.len != ID_CHARS + 2 || raw.at[0] != '"')
        return false;
    raw = (struct text){raw.at + 1, ID_CHARS};
    priority = (unsigned)(raw.at[CLASS_AT] - '0');
    if (!stamp_digits_read(raw, STAMP_DIGITS, &ret->sent_ns) || priority >= PRIORITIES)
        return false;
    ret->priority = (enum priority)priority;
    return true;
}

static enum error_kind
read_call(struct text message, struct ws_origin *ret, bool *ret_other)
{
    struct jsonrpc_envelope envelope;

    if (jsonrpc_scan(message, JSON_SCAN_FAST, &envelope) != JSONRPC_FAULT_FINE)
        return ERROR_REPLY;
    if (envelope.kind == JSONRPC_NOTIFICATION ||
        (envelope.kind == JSONRPC_REQUEST && !read_id(envelope.id, ret))) {
        *ret_other = true;
        return ERROR_NONE;
    }
    if (!read_id(envelope.id, ret))
        return ERROR_ID;
    if (envelope.kind == JSONRPC_ERROR)
        return ERROR_JSONRPC;
    if (json_kind_of(json_find(envelope.result, TEXT("isError"))) == JSON_IS_TRUE)
        return ERROR_TOOL;
    return ERROR_NONE;
}

enum error_kind
ws_message_read(enum ws_form form, struct text message, struct ws_origin *ret, bool *ret_other)
{
    struct ws_origin origin = {0};
    enum error_kind error = ERROR_NONE;

    *ret_other = false;
    if (form != WS_FORM_PLAIN)
        error = read_call(message, &origin, ret_other);
    else if (!text_starts(message, plain) ||
             !stamp_digits_read((struct text){message.at + plain.len, message.len - plain.len}, STAMP_DIGITS,
                                &origin.sent_ns))
        error = ERROR_REPLY;
    *ret = origin;
    return error;
}
