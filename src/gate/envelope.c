/* SPDX-License-Identifier: Apache-2.0 */
#include "gate/envelope.h"

#include "gate/local.h"
#include "mcp/headers.h"

/* The three values one behind the other, each after its length; ABSENT: not sent. */
enum { KEPT_FIELDS = 3, ABSENT = UINT16_MAX };

static uint8_t *
put_value(uint8_t *at, const struct http_header *h)
{
    uint16_t len = h ? (uint16_t)h->value_len : ABSENT;

    memcpy(at, &len, sizeof len);
    if (h)
        memcpy(at + sizeof len, h->value, len);
    return at + sizeof len + (h ? len : 0);
}

static uint8_t *
take_value(uint8_t *at, struct text *ret)
{
    uint16_t len;

    memcpy(&len, at, sizeof len);
    *ret = len == ABSENT ? (struct text){NULL, 0} : (struct text){(const char *)at + sizeof len, len};
    return at + sizeof len + (len == ABSENT ? 0 : len);
}

bool
envelope_keep_fields(struct exchange *ex, const struct http1_head *head)
{
    static const enum http_field ids[KEPT_FIELDS] = {HTTP_MCP_PROTOCOL_VERSION, HTTP_MCP_METHOD,
                                                     HTTP_MCP_NAME};
    const struct http_header *fields[KEPT_FIELDS];
    uint32_t size = 0;
    struct buf *b;
    uint8_t *at;

    for (unsigned i = 0; i < KEPT_FIELDS; i++) {
        fields[i] = http1_find(head, ids[i]);
        size += fields[i] ? fields[i]->value_len : 0;
        if (fields[i] && fields[i]->value_len >= ABSENT)
            return false;
    }
    if (!size)
        return true;
    b = slab_get(&ex->worker->slab, size + KEPT_FIELDS * sizeof(uint16_t));
    if (!b)
        return false;
    at = b->data;
    for (unsigned i = 0; i < KEPT_FIELDS; i++)
        at = put_value(at, fields[i]);
    ex->fields = b;
    return true;
}

static struct mcp_head
kept_head(const struct exchange *ex)
{
    struct mcp_head head = {.http = true, .session = MCP_NO_REVISION};
    uint8_t *at;

    if (!ex->fields)
        return head;
    at = take_value(ex->fields->data, &head.version);
    at = take_value(at, &head.method);
    take_value(at, &head.name);
    return head;
}

static bool
refuse(struct exchange *ex, const struct mcp_verdict *v)
{
    char json[1024];
    struct json_writer w = {.at = json, .size = sizeof json};
    bool header = v->code == MCP_ERROR_HEADER;

    json_put(&w, TEXT("{\"jsonrpc\":\"2.0\","));
    if (ex->id_len) {
        json_put(&w, TEXT("\"id\":"));
        json_put(&w, (struct text){ex->id, ex->id_len});
        json_put(&w, TEXT(","));
    }
    json_put(&w, TEXT("\"error\":{\"code\":"));
    json_put_integer(&w, v->code);
    json_put(&w, TEXT(",\"message\":"));
    json_put_string(&w, text_of(v->text));
    if (v->data[0]) {
        json_put(&w, TEXT(",\"data\":"));
        json_put(&w, text_of(v->data));
    }
    json_put(&w, TEXT("}}"));
    ASSERT(!w.full);
    local_reply(ex, v->status, TEXT("application/json"), (struct text){0}, json, w.len,
                header ? CLOSE_HEADER_MISMATCH : CLOSE_BAD_MESSAGE);
    return false;
}

/* Of what is not whole the id counts only when it does not end with the piece: it may go on. */
static void
keep_id(struct exchange *ex, const struct jsonrpc_envelope *env, enum jsonrpc_fault fault, struct text last)
{
    bool is_request = fault == JSONRPC_FAULT_FINE ? env->kind == JSONRPC_REQUEST : !env->result.at;

    if (!is_request || env->id_kind == JSON_IS_NULL || !env->id.len || env->id.len > EXCHANGE_ID_MAX ||
        env->id.at + env->id.len == last.at + last.len)
        return;
    memcpy(ex->id, env->id.at, env->id.len);
    ex->id_len = (uint8_t)env->id.len;
}

/* The run's content in one piece: where it lies, or put together. */
static struct text
content_of(const struct h1_body *body)
{
    static char joined[64 << 10];
    uint32_t n = 0;

    if (body->count == 1 || body->bytes > sizeof joined)
        return (struct text){(const char *)span_data(body->data[0]), body->data[0].len};
    for (uint32_t i = 0; i < body->count; i++) {
        memcpy(joined + n, span_data(body->data[i]), body->data[i].len);
        n += body->data[i].len;
    }
    return (struct text){joined, n};
}

bool
envelope_check(struct exchange *ex, const struct h1_body *body)
{
    struct mcp_head head = kept_head(ex);
    struct text message = content_of(body);
    struct jsonrpc_envelope env;
    enum jsonrpc_fault fault = jsonrpc_scan(message, JSON_SCAN_FAST, &env);
    bool whole = body->ends && ex->body_bytes == message.len;
    struct mcp_verdict v = {.fine = true};

    if (fault == JSONRPC_FAULT_FINE && env.method.len)
        ex->mcp = (uint8_t)mcp_method_of(env.method);
    exchange_prioritize(ex, fault == JSONRPC_FAULT_FINE ? &env : NULL);
    keep_id(ex, &env, fault, message);
    if (whole && ex->method == METHOD_POST &&
        (mcp_revision_is_modern((enum mcp_revision)ex->revision) || mcp_claims_modern(&env)))
        mcp_check(&head, fault, &env, false, &v);
    if (ex->fields)
        buf_unref(ex->fields);
    ex->fields = NULL;
    return v.fine || refuse(ex, &v);
}
