/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Edits of a JSON-RPC message. Up to the first newline lies the text that replaces a value, behind it the
 * message. Putting each value in its own place changes no byte; a message whose id or name is replaced reads
 * as before but for that; and all is as a plain cut and paste from the end would have it.
 */
#include "base/check.h"
#include "proto/jsonrpc.h"

#include <stdlib.h>

enum { VALUES_MAX = 16, MESSAGE_MAX = 4096 };

/* The raw values of the envelope, in the order of their places; those that lie in another one are left out.
 */
static unsigned
values_of(const struct jsonrpc_envelope *env, struct text *values)
{
    const struct text all[] = {
        env->id,         env->name,           env->uri,  env->task_id, env->arguments, env->protocol_version,
        env->request_id, env->progress_token, env->meta, env->result,  env->error};
    unsigned count = 0;

    for (unsigned i = 0; i < sizeof all / sizeof *all; i++) {
        unsigned at = count;

        if (!all[i].len)
            continue;
        while (at > 0 && values[at - 1].at > all[i].at) {
            values[at] = values[at - 1];
            at--;
        }
        values[at] = all[i];
        count++;
    }
    return count;
}

/* The definition, the slow way: each value is cut out and replaced, the last one first. */
static uint32_t
cut_and_paste(struct text message, const struct jsonrpc_edit *edits, unsigned count, char *out)
{
    uint32_t len = message.len;

    memcpy(out, message.at, len);
    while (count-- > 0) {
        uint32_t at = (uint32_t)(edits[count].old.at - message.at), behind = at + edits[count].old.len;

        memmove(out + at + edits[count].with.len, out + behind, len - behind);
        memcpy(out + at, edits[count].with.at, edits[count].with.len);
        len += edits[count].with.len - edits[count].old.len;
    }
    return len;
}

static struct text
edit(struct text message, const struct jsonrpc_edit *edits, unsigned count)
{
    uint32_t size = jsonrpc_edited_size(message, edits, count);
    char *out = malloc(size + 1), *want = malloc(message.len + (size_t)VALUES_MAX * MESSAGE_MAX);

    ASSERT(out && want);
    ASSERT(size == 0 || jsonrpc_edit_write(message, edits, count, out, size - 1) == 0);
    ASSERT(jsonrpc_edit_write(message, edits, count, out, size) == size);
    ASSERT(cut_and_paste(message, edits, count, want) == size && memcmp(out, want, size) == 0);
    free(want);
    return (struct text){out, size};
}

static void
check_same(struct text message, const struct jsonrpc_edit *edits, unsigned count, struct text want)
{
    struct text out = edit(message, edits, count);

    ASSERT(text_eq(out, want));
    free((char *)(uintptr_t)out.at);
}

/* Only `id` differs after this. */
static void
check_new_id(struct text message, const struct jsonrpc_envelope *env, struct text id)
{
    const struct jsonrpc_edit one = {env->id, id};
    struct text out = edit(message, &one, 1);
    struct jsonrpc_envelope now;

    ASSERT(jsonrpc_scan(out, JSON_SCAN_STRICT, &now) == JSONRPC_FAULT_FINE);
    ASSERT(now.kind == env->kind && text_eq(now.id, id) && text_eq(now.method, env->method));
    ASSERT(text_eq(now.params, env->params) && text_eq(now.name, env->name) &&
           text_eq(now.result, env->result) && text_eq(now.error, env->error));
    free((char *)(uintptr_t)out.at);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *end = memchr(data, '\n', size);
    struct jsonrpc_edit edits[VALUES_MAX] = {0};
    struct text values[VALUES_MAX], with, message;
    struct jsonrpc_envelope env;
    unsigned count;

    if (!end || size > MESSAGE_MAX)
        return 0;
    with = (struct text){(const char *)data, (uint32_t)(end - (const char *)data)};
    message = (struct text){end + 1, (uint32_t)size - with.len - 1};
    check_same(message, edits, 0, message);
    if (!message.len || jsonrpc_scan(message, JSON_SCAN_STRICT, &env) != JSONRPC_FAULT_FINE)
        return 0;

    struct text before = {message.at, 0}, behind = {message.at + message.len, 0};
    edits[0] = (struct jsonrpc_edit){before, with};
    edits[1] = (struct jsonrpc_edit){behind, with};
    free((char *)(uintptr_t)edit(message, edits, 2).at);

    count = values_of(&env, values);
    for (unsigned i = 0; i < count; i++)
        edits[i] = (struct jsonrpc_edit){values[i], values[i]};
    check_same(message, edits, count, message);
    for (unsigned i = 0; i < count; i++)
        edits[i].with = with;
    free((char *)(uintptr_t)edit(message, edits, count).at);
    if (env.kind != JSONRPC_BATCH && env.id_kind != JSON_IS_ABSENT)
        check_new_id(message, &env, env.id_kind == JSON_IS_STRING ? TEXT("7") : TEXT("\"a-1\""));
    return 0;
}
