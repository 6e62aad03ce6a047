/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a JSON-RPC response is the right one: its id, no error, and the text that echo was given. */
#include "load.h"

#include "proto/jsonrpc.h"

/* Servers may wrap the text ("Echo: hi"). */
static bool
holds_text(struct text raw, struct text wanted)
{
    char small[1024], *out = raw.len <= sizeof(small) ? small : malloc(raw.len);
    bool holds = false;
    int len;

    ASSERT(out);
    len = json_string_decode(raw, out, raw.len);
    if (len >= 0)
        holds = memmem(out, (size_t)len, wanted.at, wanted.len) != NULL;
    if (out != small)
        free(out);
    return holds;
}

static enum error_kind
check_result(struct text result, struct text echo)
{
    struct text rest = json_find(result, TEXT("content")), element;

    if (json_kind_of(json_find(result, TEXT("isError"))) == JSON_IS_TRUE)
        return ERROR_TOOL;
    if (!echo.len)
        return ERROR_NONE;
    while (json_next_element(&rest, &element))
        if (holds_text(json_find(element, TEXT("text")), echo))
            return ERROR_NONE;
    return ERROR_TEXT;
}

enum error_kind
check_reply(struct text json, uint32_t id, struct text echo, bool *ret_notification)
{
    struct jsonrpc_envelope envelope;
    int64_t number;

    if (jsonrpc_scan(json, JSON_SCAN_FAST, &envelope) != JSONRPC_FAULT_FINE)
        return ERROR_REPLY;
    switch (envelope.kind) {
    case JSONRPC_REQUEST:
    case JSONRPC_NOTIFICATION:
        *ret_notification = true;
        return ERROR_NONE;
    case JSONRPC_RESPONSE:
    case JSONRPC_ERROR:
        break;
    default:
        return ERROR_REPLY;
    }
    if (!json_read_integer(envelope.id, &number) || number != id)
        return ERROR_ID;
    return envelope.kind == JSONRPC_ERROR ? ERROR_JSONRPC : check_result(envelope.result, echo);
}

void
check_version(struct text json, char *ret_version, size_t size)
{
    struct text result = json_find(json, TEXT("result"));
    int len = json_string_decode(json_find(result, TEXT("protocolVersion")), ret_version, (uint32_t)size - 1);

    if (len >= 0)
        ret_version[len] = '\0';
}

/* The echo tools in use call their argument "text" (the demo server) or "message" (server-everything). */
bool
check_expected_echo(const char *tool, struct text args, struct bytes *ret_text)
{
    static const struct text names[] = {TEXT("text"), TEXT("message")};

    for (unsigned i = 0; strcmp(tool, "echo") == 0 && i < 2; i++) {
        struct text raw = json_find(args, names[i]);
        int len = json_string_decode(raw, bytes_room(ret_text, raw.len + 1), raw.len);

        if (json_kind_of(raw) == JSON_IS_STRING && len > 0) {
            ret_text->len = (size_t)len;
            return true;
        }
    }
    return false;
}
