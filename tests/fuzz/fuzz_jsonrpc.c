/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The strict mode must accept what jansson accepts, and find the method and the id that jansson finds. Where
 * they may differ: jansson refuses numbers that do not fit its types and keys with a NUL, and takes a NUL
 * behind the text for its end; we refuse nesting over 64 levels. What the strict mode accepts, the fast mode
 * accepts and reads the same.
 */
#include "base/check.h"
#include "proto/jsonrpc.h"

#include <jansson.h>
#include <stdlib.h>

static bool
jansson_may_refuse(const json_error_t *error)
{
    switch (json_error_code(error)) {
    case json_error_numeric_overflow:
    case json_error_null_byte_in_key:
        return true;
    default:
        return false;
    }
}

static void
check_string(struct text raw, const json_t *want)
{
    char *out = malloc(raw.len + 1);
    int n = json_string_decode(raw, out, raw.len);

    ASSERT(n >= 0 && (size_t)n == json_string_length(want));
    ASSERT(memcmp(out, json_string_value(want), (size_t)n) == 0);
    free(out);
}

static void
check_against_jansson(const struct jsonrpc_envelope *env, const json_t *root)
{
    const json_t *method = json_object_get(root, "method"), *id = json_object_get(root, "id"), *params, *name;

    if (env->kind == JSONRPC_BATCH) {
        ASSERT(json_array_size(root) == env->count);
        return;
    }
    ASSERT((method != NULL) == (env->method.at != NULL));
    if (method)
        ASSERT(json_is_string(method) && env->method.len == json_string_length(method) &&
               memcmp(env->method.at, json_string_value(method), env->method.len) == 0);
    ASSERT((id != NULL) == (env->id_kind != JSON_IS_ABSENT));
    if (env->id_kind == JSON_IS_STRING)
        check_string(env->id, id);
    if (env->id_kind == JSON_IS_NUMBER)
        ASSERT(json_is_integer(id) && json_integer_value(id) == strtoll(env->id.at, NULL, 10));
    params = json_object_get(root, "params");
    ASSERT((params != NULL) == (env->params.at != NULL));
    name = json_object_get(params, "name");
    ASSERT((name != NULL) == (env->name.at != NULL));
    if (json_is_string(name))
        check_string(env->name, name);
}

static void
walk_members(struct text raw, unsigned depth)
{
    struct json_member m;
    struct text e;

    ASSERT(depth <= JSON_DEPTH_MAX + 1);
    if (json_kind_of(raw) == JSON_IS_OBJECT) {
        while (json_next_member(&raw, &m))
            walk_members(m.value, depth + 1);
        ASSERT(raw.len && *json_skip_space(raw.at, raw.at + raw.len) == (raw.at[0] == '{' ? '{' : '}'));
    } else if (json_kind_of(raw) == JSON_IS_ARRAY) {
        while (json_next_element(&raw, &e))
            walk_members(e, depth + 1);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct text message = {(const char *)data, (uint32_t)size};
    struct jsonrpc_envelope strict, fast;
    enum jsonrpc_fault fault;
    enum json_fault check;
    json_error_t error;
    json_t *root;

    if (!size || size > 1 << 16)
        return 0;
    root = json_loadb(message.at, size, JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
    check = json_check(message, JSON_SCAN_STRICT);
    if (check == JSON_FINE) {
        ASSERT(root || jansson_may_refuse(&error));
        ASSERT(json_check(message, JSON_SCAN_FAST) == JSON_FINE);
        walk_members(
            (struct text){json_skip_space(message.at, message.at + size),
                          (uint32_t)(message.at + size - json_skip_space(message.at, message.at + size))},
            0);
    } else {
        ASSERT(!root || check == JSON_DEEP || memchr(data, 0, size));
    }
    fault = jsonrpc_scan(message, JSON_SCAN_STRICT, &strict);
    ASSERT((fault == JSONRPC_FAULT_FINE) == (strict.kind != JSONRPC_NONE));
    if (fault == JSONRPC_FAULT_FINE) {
        ASSERT(check == JSON_FINE);
        ASSERT(jsonrpc_scan(message, JSON_SCAN_FAST, &fast) == JSONRPC_FAULT_FINE);
        ASSERT(memcmp(&strict, &fast, sizeof strict) == 0);
        if (root)
            check_against_jansson(&strict, root);
    } else if (jsonrpc_scan(message, JSON_SCAN_FAST, &fast) == JSONRPC_FAULT_FINE) {
        ASSERT(check != JSON_FINE);
    } else if (jsonrpc_fault_code(fault) == -32700) {
        ASSERT(check != JSON_FINE);
    }
    json_decref(root);
    return 0;
}
