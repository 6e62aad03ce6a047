/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Edits by member against jansson: the message after the edits, parsed, equals the tree of the message with
 * the same edits made on it. The first eight bytes say which members are set and removed, the rest is the
 * message.
 */
#include "base/check.h"
#include "proto/jsonrpc_patch.h"

#include <jansson.h>
#include <stdlib.h>

static const struct {
    enum jsonrpc_place place;
    const char *object, *inner, *key;
} members[] = {
    {JSONRPC_AT_ID, NULL, NULL, "id"},
    {JSONRPC_AT_NAME, "params", NULL, "name"},
    {JSONRPC_AT_URI, "params", NULL, "uri"},
    {JSONRPC_AT_META_PROGRESS_TOKEN, "params", "_meta", "progressToken"},
    {JSONRPC_AT_META_VERSION, "params", "_meta", "io.modelcontextprotocol/protocolVersion"},
    {JSONRPC_AT_META_LOG_LEVEL, "params", "_meta", "io.modelcontextprotocol/logLevel"},
    {JSONRPC_AT_RESULT_TYPE, "result", NULL, "resultType"},
    {JSONRPC_AT_RESULT_TTL, "result", NULL, "ttlMs"},
    {JSONRPC_AT_RESULT_SCOPE, "result", NULL, "cacheScope"},
    {JSONRPC_AT_RESULT_CURSOR, "result", NULL, "nextCursor"},
    {JSONRPC_AT_ERROR_MESSAGE, "error", NULL, "message"},
    {JSONRPC_AT_ERROR_DATA, "error", NULL, "data"},
};

enum { MEMBERS = sizeof members / sizeof *members };

static json_t *
object_of(json_t *root, unsigned i)
{
    json_t *object = members[i].object ? json_object_get(root, members[i].object) : root;

    return members[i].inner ? json_object_get(object, members[i].inner) : object;
}

/* The edit on both; 0: none, 1: set, 2: removed, 3: wrapped. */
static void
edit(struct jsonrpc_patch *p, json_t *root, unsigned i, unsigned how)
{
    json_t *object = object_of(root, i), *old = json_object_get(object, members[i].key);

    switch (how) {
    case 1:
        jsonrpc_patch_set(p, members[i].place, TEXT("[\"new\"]"));
        if (json_is_object(object))
            json_object_set_new(object, members[i].key, json_pack("[s]", "new"));
        break;
    case 2:
        jsonrpc_patch_remove(p, members[i].place);
        json_object_del(object, members[i].key);
        break;
    case 3:
        jsonrpc_patch_wrap(p, members[i].place, TEXT("{\"w\": "), TEXT("}"));
        if (old)
            json_object_set_new(object, members[i].key, json_pack("{s:O}", "w", old));
        break;
    default:
        break;
    }
}

/* What the edited message says. */
static json_t *
load_edited(struct text message, const struct jsonrpc_patch *p, unsigned count)
{
    uint32_t size = jsonrpc_edited_size(message, p->edits, count), n = 0;
    struct text pieces[2 * JSONRPC_PATCH_MAX + 1];
    unsigned piece_count = jsonrpc_edit_pieces(message, p->edits, count, pieces, 2 * JSONRPC_PATCH_MAX + 1);
    char *out = malloc(size), *joined = malloc(size);
    json_t *root;

    ASSERT(jsonrpc_edit_write(message, p->edits, count, out, size) == size);
    for (unsigned i = 0; i < piece_count; n += pieces[i++].len)
        memcpy(joined + n, pieces[i].at, pieces[i].len);
    ASSERT(n == size && memcmp(out, joined, size) == 0);
    root = json_loadb(out, size, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    free(out);
    free(joined);
    return root;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct jsonrpc_patch p;
    struct jsonrpc_envelope env;
    struct jsonrpc_places places;
    struct text message;
    json_t *root, *edited;
    uint64_t how;
    int count;
    bool missing = false;

    if (size <= sizeof how || size > 1 << 16)
        return 0;
    memcpy(&how, data, sizeof how);
    message = (struct text){(const char *)data + sizeof how, (uint32_t)(size - sizeof how)};
    if (jsonrpc_scan_pieces(&message, 1, JSON_SCAN_STRICT, &env, &places, NULL) != JSONRPC_FAULT_FINE ||
        env.kind == JSONRPC_BATCH)
        return 0;
    root = json_loadb(message.at, message.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    if (!root) /* numbers over jansson's range */
        return 0;
    jsonrpc_patch_begin(&p, message, &places);
    for (unsigned i = 0; i < MEMBERS; i++) {
        unsigned this = how >> 2 * i & 3;

        missing |= this == 1 && !json_is_object(object_of(root, i));
        edit(&p, root, i, this);
    }
    count = jsonrpc_patch_end(&p);
    ASSERT((count < 0) == missing);
    if (count >= 0) {
        edited = load_edited(message, &p, (unsigned)count);
        ASSERT(edited && json_equal(edited, root));
        json_decref(edited);
    }
    json_decref(root);
    return 0;
}
