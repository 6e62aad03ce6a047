/* SPDX-License-Identifier: Apache-2.0 */
/* The scan of jsonrpc.h: picks the twin, and makes the envelope out of the places that it found. What a
 * member must be is looked at here, when the whole message is known to be JSON. */
#include "proto/jsonrpc_walk.h"

#include <stdatomic.h>
#ifdef __x86_64__
#include <sys/platform/x86.h>
#endif

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

/* --- the twins --- */

/* As libc has found it out for itself: to ask the processor once more costs 50 us of the start of each
 * process on a virtual machine. */
static bool
has_avx2(void)
{
#ifdef __x86_64__
    return CPU_FEATURE_ACTIVE(AVX2) && CPU_FEATURE_ACTIVE(PCLMULQDQ) && CPU_FEATURE_ACTIVE(BMI1);
#else
    return false;
#endif
}

static jsonrpc_walk_fn pick_and_walk;
static _Atomic(jsonrpc_walk_fn *) walk = pick_and_walk;

bool
jsonrpc_use_twin(enum jsonrpc_twin twin)
{
    jsonrpc_walk_fn *fn = jsonrpc_walk_portable;

    if (twin == JSONRPC_AVX2) {
        if (!has_avx2())
            return false;
#ifdef __x86_64__
        fn = jsonrpc_walk_avx2;
#endif
    }
    atomic_store_explicit(&walk, fn, memory_order_relaxed);
    return true;
}

static bool
pick_and_walk(struct jsonrpc_walk *w)
{
    if (!jsonrpc_use_twin(JSONRPC_AVX2))
        jsonrpc_use_twin(JSONRPC_PORTABLE);
    return atomic_load_explicit(&walk, memory_order_relaxed)(w);
}

/* --- members --- */

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
        return raw.at && json_check(raw, JSON_SCAN_STRICT) == JSON_FINE;
    case JSON_IS_NUMBER:
        return plain_integer(raw, &ignored);
    default:
        return text_eq(raw, TEXT("null"));
    }
}

static bool
found(const struct jsonrpc_places *places, enum jsonrpc_place place)
{
    return places->found >> place & 1;
}

static bool
is_object(const struct jsonrpc_places *places, enum jsonrpc_place place)
{
    return !found(places, place) || places->at[place].kind == JSON_IS_OBJECT;
}

/* A string's inside, when it has no escapes. */
static bool
plain_string(struct text *raw)
{
    if (!raw->at || json_kind_of(*raw) != JSON_IS_STRING || memchr(raw->at, '\\', raw->len))
        return false;
    *raw = (struct text){raw->at + 1, raw->len - 2};
    return true;
}

/* The id stays in the envelope only when it is one. */
static enum jsonrpc_fault
check_id(struct jsonrpc_envelope *env, const struct jsonrpc_places *places)
{
    if (!found(places, JSONRPC_AT_ID))
        return JSONRPC_FAULT_FINE;
    if (!env->id.at || !is_id(env->id)) {
        env->id = (struct text){NULL, 0};
        return JSONRPC_FAULT_ID;
    }
    env->id_kind = (uint8_t)json_kind_of(env->id);
    return JSONRPC_FAULT_FINE;
}

/* And so does the method. */
static void
check_method(struct jsonrpc_envelope *env)
{
    if (!plain_string(&env->method))
        env->method = (struct text){NULL, 0};
}

/* JSON-RPC 2.0 sections 4 and 5, with MCP's rules: params are an object, ids of requests are never null. */
static enum jsonrpc_fault
check_members(struct jsonrpc_envelope *env, const struct jsonrpc_places *places)
{
    struct text version = env->version;

    if (found(places, JSONRPC_AT_METHOD) && !env->method.at)
        return JSONRPC_FAULT_METHOD;
    if (!is_object(places, JSONRPC_AT_PARAMS))
        return JSONRPC_FAULT_PARAMS;
    if (!is_object(places, JSONRPC_AT_META))
        return JSONRPC_FAULT_META;
    if (found(places, JSONRPC_AT_ERROR) &&
        (!is_object(places, JSONRPC_AT_ERROR) || !plain_integer(env->error_number, &env->error_code)))
        return JSONRPC_FAULT_ERROR_OBJECT;
    if (!plain_string(&version) || !text_eq(version, TEXT("2.0")))
        return JSONRPC_FAULT_VERSION;
    return JSONRPC_FAULT_FINE;
}

static enum jsonrpc_fault
set_kind(struct jsonrpc_envelope *env, const struct jsonrpc_places *places)
{
    bool has_id = env->id_kind == JSON_IS_STRING || env->id_kind == JSON_IS_NUMBER;
    bool method = found(places, JSONRPC_AT_METHOD), error = found(places, JSONRPC_AT_ERROR);

    if (method + error + found(places, JSONRPC_AT_RESULT) != 1)
        return JSONRPC_FAULT_SHAPE;
    if (error) /* its id may be null or absent: the request's could not be read */
        env->kind = JSONRPC_ERROR;
    else if (method && env->id_kind == JSON_IS_ABSENT)
        env->kind = JSONRPC_NOTIFICATION;
    else if (has_id)
        env->kind = method ? JSONRPC_REQUEST : JSONRPC_RESPONSE;
    else
        return JSONRPC_FAULT_ID;
    return JSONRPC_FAULT_FINE;
}

/* --- the envelope --- */

static const uint16_t fields[JSONRPC_PLACES] = {
#define JSONRPC_PLACE(id, level, key, field, child)                                                          \
    [JSONRPC_AT_##id] = offsetof(struct jsonrpc_envelope, field),
#include "proto/jsonrpc_place.def"
#undef JSONRPC_PLACE
};

/* A member of a message in several pieces. *carried: bytes of carry in use. */
static struct text
piece_text(const struct jsonrpc_walk *w, const struct jsonrpc_spot *spot, char *carry, uint32_t *carried)
{
    uint32_t off = spot->value, len = spot->end - spot->value;
    bool fits =
        spot->kind != JSON_IS_OBJECT && spot->kind != JSON_IS_ARRAY && len <= JSONRPC_CARRY - *carried;

    for (unsigned i = 0; i < w->count; i++) {
        if (off < w->pieces[i].len) {
            if (w->pieces[i].len - off >= len)
                return (struct text){w->pieces[i].at + off, len};
            break;
        }
        off -= w->pieces[i].len;
    }
    if (!fits)
        return (struct text){NULL, 0};
    carry += *carried;
    *carried += len;
    return (struct text){jsonrpc_bytes(w->pieces, w->count, spot->value, len, carry), len};
}

static void
fill_envelope(const struct jsonrpc_walk *w, struct jsonrpc_envelope *ret, char *carry)
{
    uint32_t carried = 0;

    for (uint64_t rest = w->places->found; rest; rest &= rest - 1) {
        unsigned i = (unsigned)__builtin_ctzll(rest);
        struct jsonrpc_spot *spot = &w->places->at[i];
        struct text value = {w->pieces[0].at + spot->value, spot->end - spot->value};

        spot->kind = (uint8_t)json_kind_of((struct text){(const char *)&spot->kind, 1});

        if (w->count > 1)
            value = piece_text(w, spot, carry, &carried);
        memcpy((char *)ret + fields[i], &value, sizeof value);
    }
}

static enum jsonrpc_fault
read_envelope(struct jsonrpc_walk *w, bool whole, struct jsonrpc_envelope *ret, char *carry)
{
    enum jsonrpc_fault id;

    memset(ret, 0, sizeof *ret);
    ret->culprit = w->culprit;
    fill_envelope(w, ret, carry);
    id = check_id(ret, w->places);
    check_method(ret);
    if (!whole)
        return w->fault;
    if (w->top == '[') {
        ret->count = w->elements;
        ret->kind = JSONRPC_BATCH;
        return w->elements ? JSONRPC_FAULT_FINE : JSONRPC_FAULT_BATCH_EMPTY;
    }
    if (w->top != '{')
        return JSONRPC_FAULT_TOP_LEVEL;
    if (id != JSONRPC_FAULT_FINE)
        return id;
    id = check_members(ret, w->places);
    return id != JSONRPC_FAULT_FINE ? id : set_kind(ret, w->places);
}

enum jsonrpc_fault
jsonrpc_scan_pieces(const struct text *pieces, unsigned count, enum json_mode mode,
                    struct jsonrpc_envelope *ret, struct jsonrpc_places *ret_places,
                    char carry[JSONRPC_CARRY])
{
    static const struct text nothing = {"", 0};
    struct jsonrpc_places places;
    struct jsonrpc_walk w = {.pieces = count ? pieces : &nothing,
                             .count = count ? count : 1,
                             .mode = mode,
                             .places = ret_places ? ret_places : &places,
                             .checked = 1};
    enum jsonrpc_fault fault;
    bool whole;

    for (unsigned i = 0; i < w.count; i++)
        w.size += w.pieces[i].len;
    w.places->found = 0;
    w.places->size = w.size;
    memset(w.places->members, 0, sizeof w.places->members);
    whole = atomic_load_explicit(&walk, memory_order_relaxed)(&w);
    fault = read_envelope(&w, whole, ret, carry);
    if (fault != JSONRPC_FAULT_FINE)
        ret->kind = JSONRPC_NONE;
    return fault;
}

enum jsonrpc_fault
jsonrpc_scan(struct text message, enum json_mode mode, struct jsonrpc_envelope *ret)
{
    return jsonrpc_scan_pieces(&message, 1, mode, ret, NULL, NULL);
}

bool
jsonrpc_next_message(struct text *rest, struct text *ret_message)
{
    return json_next_element(rest, ret_message);
}
