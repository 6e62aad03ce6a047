/* SPDX-License-Identifier: Apache-2.0 */
#include "mcp/recall.h"

enum { DIGITS_MAX = 18 };

/* The plain string or integer that the text begins with; 0: it begins with none. */
static uint32_t
id_length(const char *at, const char *end, uint8_t *ret_kind)
{
    const char *p = at, *digits;

    *ret_kind = p < end && *p == '"' ? JSON_IS_STRING : JSON_IS_NUMBER;
    if (*ret_kind == JSON_IS_STRING) {
        for (p++; p < end && *p >= ' ' && *p < 0x7f && *p != '"' && *p != '\\';)
            p++;
        return p < end && *p == '"' ? (uint32_t)(p + 1 - at) : 0;
    }
    if (p < end && *p == '-')
        p++;
    for (digits = p; p < end && *p >= '0' && *p <= '9';)
        p++;
    if (p == digits || p - digits > DIGITS_MAX || (*digits == '0' && p - at > 1))
        return 0;
    return (uint32_t)(p - at);
}

static bool
same_head(const struct mcp_head *a, const struct mcp_head *b)
{
    return a->http == b->http && a->session == b->session && !a->version.at == !b->version.at &&
           !a->method.at == !b->method.at && !a->name.at == !b->name.at && text_eq(a->version, b->version) &&
           text_eq(a->method, b->method) && text_eq(a->name, b->name);
}

/* Spans that pointed into one text, in another: what lay behind the id has moved by `by`. */
static void
move(struct jsonrpc_envelope *env, const char *from, const char *to, uint32_t id_at, int64_t by)
{
#define JSONRPC_PLACE(id, level, key, field, child)                                                          \
    if (env->field.at)                                                                                       \
        env->field.at = to + (env->field.at - from) + (env->field.at - from > id_at ? by : 0);
#include "proto/jsonrpc_place.def"
#undef JSONRPC_PLACE
}

static bool
is_like(const struct recall_slot *s, struct text message, uint32_t *ret_id_len, uint8_t *ret_kind)
{
    uint32_t behind = s->len - s->id_at - s->id_len, n;

    if (!s->len || message.len < s->id_at + behind + 1 || memcmp(message.at, s->text, s->id_at) != 0)
        return false;
    n = id_length(message.at + s->id_at, message.at + message.len, ret_kind);
    *ret_id_len = n;
    return n && message.len == s->id_at + n + behind &&
           memcmp(message.at + s->id_at + n, s->text + s->id_at + s->id_len, behind) == 0;
}

bool
recall_find(const struct recall *recall, struct text message, const struct mcp_head *head,
            struct jsonrpc_envelope *ret)
{
    for (unsigned i = 0; i < RECALL_SLOTS; i++) {
        const struct recall_slot *s = &recall->slots[i];
        uint32_t id_len;
        uint8_t kind;

        if (!is_like(s, message, &id_len, &kind) || !same_head(&s->head, head))
            continue;
        *ret = s->env;
        move(ret, s->text, message.at, s->id_at, (int64_t)id_len - s->id_len);
        ret->id = (struct text){message.at + s->id_at, id_len};
        ret->id_kind = kind;
        return true;
    }
    return false;
}

/* Copies a value behind the others; false: there is no room. */
static bool
keep(struct recall_slot *s, uint32_t *used, struct text *value)
{
    if (value->len > RECALL_HEAD - *used)
        return false;
    if (!value->at)
        return true;
    memcpy(s->fields + *used, value->at, value->len);
    value->at = s->fields + *used;
    *used += value->len;
    return true;
}

void
recall_note(struct recall *recall, struct text message, const struct mcp_head *head,
            const struct jsonrpc_envelope *env)
{
    struct recall_slot *s = &recall->slots[recall->next];
    uint32_t used = 0;
    uint8_t kind;

    if (env->kind != JSONRPC_REQUEST || message.len > RECALL_BYTES || env->name.len || env->uri.len ||
        env->task_id.len || env->arguments.len || env->cursor.len || env->ref.len ||
        id_length(env->id.at, message.at + message.len, &kind) != env->id.len || kind != env->id_kind)
        return;
    s->len = 0;
    s->head = *head;
    if (!keep(s, &used, &s->head.version) || !keep(s, &used, &s->head.method) ||
        !keep(s, &used, &s->head.name))
        return;
    memcpy(s->text, message.at, message.len);
    s->env = *env;
    move(&s->env, message.at, s->text, 0, 0);
    s->id_at = (uint32_t)(env->id.at - message.at);
    s->id_len = env->id.len;
    s->len = message.len;
    recall->next = (recall->next + 1) % RECALL_SLOTS;
}
