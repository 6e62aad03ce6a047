/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The strict mode must accept what jansson accepts, and find the method and the id that jansson finds. Where
 * they may differ: jansson refuses numbers that do not fit its types and keys with a NUL, and takes a NUL
 * behind the text for its end; we refuse nesting over 64 levels. What the strict mode accepts, the fast mode
 * accepts and reads the same. However the text is cut into pieces, and whichever twin scans it, the outcome
 * is the same.
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

static void
check_same_text(struct text whole, struct text cut)
{
    if (cut.at)
        ASSERT(text_eq(whole, cut));
    else /* absent, or it lies in several pieces */
        ASSERT(!cut.len);
}

static void
check_same(const struct jsonrpc_envelope *a, const struct jsonrpc_places *a_places,
           const struct jsonrpc_envelope *b, const struct jsonrpc_places *b_places)
{
    ASSERT(a->kind == b->kind && a->id_kind == b->id_kind && a->count == b->count);
    ASSERT(a->error_code == b->error_code && a->culprit == b->culprit);
    ASSERT(a_places->found == b_places->found && a_places->size == b_places->size);
    for (unsigned i = 0; i < JSONRPC_PLACES; i++) {
        const struct jsonrpc_spot *x = &a_places->at[i], *y = &b_places->at[i];

        if (a_places->found >> i & 1)
            ASSERT(x->key == y->key && x->value == y->value && x->end == y->end && x->before == y->before &&
                   x->next == y->next && x->kind == y->kind);
    }
#define JSONRPC_PLACE(id, level, key, field, child) check_same_text(a->field, b->field);
#include "proto/jsonrpc_place.def"
#undef JSONRPC_PLACE
}

/* `first` bytes, then pieces of `step`, each a copy of its own so that reading over its end shows. */
static void
check_cut(struct text message, enum json_mode mode, uint32_t first, uint32_t step)
{
    enum { PIECES = 64 };
    static char carry[JSONRPC_CARRY];
    struct jsonrpc_envelope whole, cut;
    struct jsonrpc_places whole_places, cut_places;
    struct text pieces[PIECES];
    unsigned count = 0;
    enum jsonrpc_fault fault;

    for (uint32_t off = 0; off < message.len;) {
        uint32_t n = count ? step : first, left = message.len - off;

        n = n > left || count == PIECES - 1 ? left : n;
        pieces[count].at = memcpy(malloc(n + !n), message.at + off, n);
        pieces[count++].len = n;
        off += n;
    }
    fault = jsonrpc_scan_pieces(&message, 1, mode, &whole, &whole_places, NULL);
    for (int twin = 0; twin < JSONRPC_TWINS; twin++) {
        if (!jsonrpc_use_twin((enum jsonrpc_twin)twin))
            continue;
        ASSERT(jsonrpc_scan_pieces(pieces, count, mode, &cut, &cut_places, carry) == fault);
        check_same(&whole, &whole_places, &cut, &cut_places);
    }
    while (count)
        free((void *)pieces[--count].at);
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
    for (int mode = JSON_SCAN_FAST; mode <= JSON_SCAN_STRICT; mode++) {
        check_cut(message, (enum json_mode)mode, message.len, 1);
        check_cut(message, (enum json_mode)mode, data[0] % 8, 1 + data[size - 1] % 90u);
    }
    return 0;
}
