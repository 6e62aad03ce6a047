/* SPDX-License-Identifier: Apache-2.0 */
/* The scan of jsonrpc.h. Objects that are looked into (the message, params, _meta, error) are walked member
 * by member against a table of the names that matter; everything else is skipped by json_skip.c. */
#include "proto/jsonrpc.h"

#include <stddef.h>

/* A name that matters in one object, and where its raw value goes. */
struct slot {
    const char *name;
    uint8_t len;
    uint16_t offset; /* of a struct text in struct jsonrpc_envelope; 0: handled by the walker's caller */
};

#define SLOT(name, field)                                                                                    \
    {                                                                                                        \
        name, sizeof(name) - 1, offsetof(struct jsonrpc_envelope, field)                                     \
    }

enum { TOP_JSONRPC, TOP_ID, TOP_METHOD, TOP_PARAMS, TOP_RESULT, TOP_ERROR };

static const struct slot top_slots[] = {
    [TOP_JSONRPC] = {"jsonrpc", 7, 0},     [TOP_ID] = SLOT("id", id),
    [TOP_METHOD] = SLOT("method", method), [TOP_PARAMS] = SLOT("params", params),
    [TOP_RESULT] = SLOT("result", result), [TOP_ERROR] = SLOT("error", error),
};

enum { PARAMS_META };

static const struct slot params_slots[] = {
    [PARAMS_META] = SLOT("_meta", meta),
    SLOT("name", name),
    SLOT("uri", uri),
    SLOT("taskId", task_id),
    SLOT("arguments", arguments),
    SLOT("protocolVersion", protocol_version),
    SLOT("requestId", request_id),
    SLOT("progressToken", progress_token),
};

static const struct slot meta_slots[] = {
    SLOT("progressToken", meta_progress_token),
    SLOT("io.modelcontextprotocol/protocolVersion", meta_version),
    SLOT("io.modelcontextprotocol/clientCapabilities", meta_capabilities),
    SLOT("io.modelcontextprotocol/logLevel", meta_log_level),
};

static const struct slot error_slots[] = {{"code", 4, 0}};

enum level { LEVEL_TOP, LEVEL_PARAMS, LEVEL_META, LEVEL_ERROR };

static const struct {
    const struct slot *slots;
    unsigned count;
} levels[] = {
    [LEVEL_TOP] = {top_slots, sizeof top_slots / sizeof *top_slots},
    [LEVEL_PARAMS] = {params_slots, sizeof params_slots / sizeof *params_slots},
    [LEVEL_META] = {meta_slots, sizeof meta_slots / sizeof *meta_slots},
    [LEVEL_ERROR] = {error_slots, sizeof error_slots / sizeof *error_slots},
};

struct scan {
    const char *at, *end;
    enum json_mode mode;
    enum jsonrpc_fault fault;
    struct jsonrpc_envelope *env;
};

static const struct {
    const char *text;
    int code;
} faults[] = {
#define JSONRPC_FAULT_ROW(id, code, text) [JSONRPC_FAULT_##id] = {text, code},
    JSONRPC_FAULTS(JSONRPC_FAULT_ROW)
#undef JSONRPC_FAULT_ROW
};

int
jsonrpc_fault_code(enum jsonrpc_fault fault)
{
    return faults[fault].code;
}

const char *
jsonrpc_fault_text(enum jsonrpc_fault fault)
{
    return faults[fault].text;
}

static bool
bad(struct scan *s, enum jsonrpc_fault fault)
{
    s->fault = fault;
    return false;
}

static bool
bad_json(struct scan *s, enum json_fault fault)
{
    static const enum jsonrpc_fault map[] = {
        [JSON_FINE] = JSONRPC_FAULT_SYNTAX,
        [JSON_SYNTAX] = JSONRPC_FAULT_SYNTAX,
        [JSON_TRUNCATED] = JSONRPC_FAULT_TRUNCATED,
        [JSON_DEEP] = JSONRPC_FAULT_DEEP,
    };

    return bad(s, map[fault]);
}

/* Skips white space; false when nothing follows it. */
static bool
to_next(struct scan *s)
{
    s->at = json_skip_space(s->at, s->end);
    return s->at < s->end || bad(s, JSONRPC_FAULT_TRUNCATED);
}

static bool
take(struct scan *s, char c)
{
    if (!to_next(s))
        return false;
    if (*s->at != c)
        return bad(s, JSONRPC_FAULT_SYNTAX);
    s->at++;
    return true;
}

static bool
skip_value(struct scan *s, unsigned depth, struct text *ret)
{
    enum json_fault why = JSON_FINE;
    const char *begin;

    if (!to_next(s))
        return false;
    begin = s->at;
    s->at = json_skip_value(begin, s->end, s->mode, depth, &why);
    if (!s->at)
        return bad_json(s, why);
    *ret = (struct text){begin, (uint32_t)(s->at - begin)};
    return true;
}

/* Takes a key and its colon. *ret_slot is its index in the level's table, or -1. */
static bool
take_key(struct scan *s, enum level level, int *ret_slot)
{
    enum json_fault why = JSON_FINE;
    bool escaped;
    struct text raw;

    if (!take(s, '"'))
        return false;
    raw.at = s->at - 1;
    s->at = json_skip_string(s->at, s->end, s->mode, &escaped, &why);
    if (!s->at)
        return bad_json(s, why);
    raw.len = (uint32_t)(s->at - raw.at);
    *ret_slot = -1;
    for (unsigned i = 0; i < levels[level].count; i++) {
        const struct slot *slot = &levels[level].slots[i];

        if (!escaped) {
            if (raw.len != slot->len + 2u || memcmp(raw.at + 1, slot->name, slot->len) != 0)
                continue;
            *ret_slot = (int)i;
            break;
        }
        if (json_string_is(raw, (struct text){slot->name, slot->len}))
            return bad(s, JSONRPC_FAULT_ESCAPED_KEY);
    }
    return take(s, ':');
}

/* A string's inside, when it has no escapes. */
static bool
plain_string(struct text raw, struct text *ret)
{
    if (json_kind_of(raw) != JSON_IS_STRING || memchr(raw.at, '\\', raw.len))
        return false;
    *ret = (struct text){raw.at + 1, raw.len - 2};
    return true;
}

/* An integer as its digits: without fraction and exponent, within 64 bits. *ret is clamped to 32 bits. */
static bool
plain_integer(struct text raw, int32_t *ret)
{
    bool negative = raw.len && *raw.at == '-';
    uint64_t n = 0, limit = (uint64_t)INT64_MAX + negative;
    uint32_t i = negative;

    if (i == raw.len || raw.len - i > 19 || (raw.at[i] == '0' && raw.len - i > 1))
        return false;
    for (; i < raw.len; i++) {
        if (raw.at[i] < '0' || raw.at[i] > '9')
            return false;
        n = n * 10 + (uint64_t)(raw.at[i] - '0');
    }
    if (n > limit)
        return false;
    if (n > INT32_MAX)
        n = INT32_MAX;
    *ret = negative ? -(int32_t)n : (int32_t)n;
    return true;
}

/* Ids come back in the gateway's own messages, so they are always looked at strictly. */
static bool
is_id(struct text raw)
{
    int32_t ignored;

    switch (json_kind_of(raw)) {
    case JSON_IS_STRING:
        return json_check(raw, JSON_SCAN_STRICT) == JSON_FINE;
    case JSON_IS_NUMBER:
        return plain_integer(raw, &ignored);
    default:
        return text_eq(raw, TEXT("null"));
    }
}

static bool
set_id(struct scan *s, struct text raw)
{
    if (!is_id(raw)) {
        s->env->id = (struct text){NULL, 0};
        return bad(s, JSONRPC_FAULT_ID);
    }
    s->env->id_kind = (uint8_t)json_kind_of(raw);
    return true;
}

static bool walk(struct scan *s, enum level level, unsigned depth);

static bool
walk_object(struct scan *s, enum level level, unsigned depth, enum jsonrpc_fault otherwise, struct text *ret)
{
    const char *begin;

    if (!to_next(s))
        return false;
    begin = s->at;
    if (*begin != '{')
        return bad(s, otherwise);
    if (!walk(s, level, depth))
        return false;
    *ret = (struct text){begin, (uint32_t)(s->at - begin)};
    return true;
}

/* The value of a name that matters. */
static bool
take_value(struct scan *s, enum level level, int slot, unsigned depth)
{
    struct text raw, plain;

    if (level == LEVEL_TOP && slot == TOP_PARAMS)
        return walk_object(s, LEVEL_PARAMS, depth, JSONRPC_FAULT_PARAMS, &s->env->params);
    if (level == LEVEL_TOP && slot == TOP_ERROR)
        return walk_object(s, LEVEL_ERROR, depth, JSONRPC_FAULT_ERROR_OBJECT, &s->env->error);
    if (level == LEVEL_PARAMS && slot == PARAMS_META)
        return walk_object(s, LEVEL_META, depth, JSONRPC_FAULT_META, &s->env->meta);
    if (!skip_value(s, depth, &raw))
        return false;
    if (level == LEVEL_ERROR)
        return plain_integer(raw, &s->env->error_code) || bad(s, JSONRPC_FAULT_ERROR_OBJECT);
    if (level == LEVEL_TOP && slot == TOP_JSONRPC)
        return (plain_string(raw, &plain) && text_eq(plain, TEXT("2.0"))) || bad(s, JSONRPC_FAULT_VERSION);
    if (level == LEVEL_TOP && slot == TOP_METHOD)
        return plain_string(raw, &s->env->method) || bad(s, JSONRPC_FAULT_METHOD);
    memcpy((char *)s->env + levels[level].slots[slot].offset, &raw, sizeof raw);
    return level != LEVEL_TOP || slot != TOP_ID || set_id(s, raw);
}

/* What an object must have once it is whole. */
static bool
check_seen(struct scan *s, enum level level, unsigned seen)
{
    if (level == LEVEL_TOP && !(seen & 1u << TOP_JSONRPC))
        return bad(s, JSONRPC_FAULT_VERSION);
    if (level == LEVEL_ERROR && !seen)
        return bad(s, JSONRPC_FAULT_ERROR_OBJECT);
    return true;
}

/* From an object's opening brace to behind its closing one; the object stands `depth` levels deep. */
static bool
walk(struct scan *s, enum level level, unsigned depth)
{
    unsigned seen = 0;
    struct text ignored;

    s->at++;
    if (!to_next(s))
        return false;
    if (*s->at == '}') {
        s->at++;
        return check_seen(s, level, seen);
    }
    for (;;) {
        int slot;

        if (!take_key(s, level, &slot))
            return false;
        if (slot >= 0) {
            if (seen & 1u << slot)
                return bad(s, JSONRPC_FAULT_DUPLICATE);
            seen |= 1u << slot;
        }
        if (slot >= 0 ? !take_value(s, level, slot, depth + 1) : !skip_value(s, depth + 1, &ignored))
            return false;
        if (!to_next(s))
            return false;
        if (*s->at == '}') {
            s->at++;
            return check_seen(s, level, seen);
        }
        if (!take(s, ','))
            return false;
    }
}

static bool
scan_batch(struct scan *s)
{
    unsigned count = 0;
    struct text ignored;

    s->at++;
    if (!to_next(s))
        return false;
    if (*s->at == ']')
        return bad(s, JSONRPC_FAULT_BATCH_EMPTY);
    do {
        if (!skip_value(s, 1, &ignored) || !to_next(s))
            return false;
        if (count++ == JSONRPC_BATCH_MAX)
            return bad(s, JSONRPC_FAULT_BATCH_SIZE);
    } while (*s->at == ',' && s->at++);
    s->env->count = (uint16_t)count;
    return take(s, ']');
}

/* JSON-RPC 2.0 sections 4 and 5, with MCP's rule that ids are never null in requests. */
static enum jsonrpc_kind
kind_of(const struct jsonrpc_envelope *env, enum jsonrpc_fault *ret_fault)
{
    bool has_id = env->id_kind == JSON_IS_STRING || env->id_kind == JSON_IS_NUMBER;

    *ret_fault = JSONRPC_FAULT_SHAPE;
    if ((env->method.at != NULL) + (env->result.at != NULL) + (env->error.at != NULL) != 1)
        return JSONRPC_NONE;
    *ret_fault = JSONRPC_FAULT_FINE;
    if (env->error.at)
        return JSONRPC_ERROR; /* its id may be null or absent: the request's could not be read */
    if (env->method.at && env->id_kind == JSON_IS_ABSENT)
        return JSONRPC_NOTIFICATION;
    if (has_id)
        return env->method.at ? JSONRPC_REQUEST : JSONRPC_RESPONSE;
    *ret_fault = JSONRPC_FAULT_ID;
    return JSONRPC_NONE;
}

enum jsonrpc_fault
jsonrpc_scan(struct text message, enum json_mode mode, struct jsonrpc_envelope *ret)
{
    struct scan s = {.at = message.at, .end = message.at + message.len, .mode = mode, .env = ret};
    enum jsonrpc_kind kind = JSONRPC_BATCH;
    bool ok;

    memset(ret, 0, sizeof *ret);
    if (!to_next(&s))
        return s.fault;
    if (*s.at != '{' && *s.at != '[')
        return json_check(message, mode) == JSON_FINE ? JSONRPC_FAULT_TOP_LEVEL : JSONRPC_FAULT_SYNTAX;
    ok = *s.at == '{' ? walk(&s, LEVEL_TOP, 0) : scan_batch(&s);
    if (!ok)
        return s.fault;
    if (json_skip_space(s.at, s.end) != s.end)
        return JSONRPC_FAULT_TRAILING;
    if (!ret->count)
        kind = kind_of(ret, &s.fault);
    ret->kind = (uint8_t)kind;
    return s.fault;
}

bool
jsonrpc_next_message(struct text *rest, struct text *ret_message)
{
    return json_next_element(rest, ret_message);
}
