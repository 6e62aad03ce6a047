/* SPDX-License-Identifier: Apache-2.0 */
#include "mcp/headers.h"

#include <stdarg.h>
#include <stdio.h>

/* Of a value in an error's text; the rest is cut off between two characters. */
enum { CLIP_MAX = 60 };

static bool __attribute__((format(printf, 4, 5)))
refuse(struct mcp_verdict *v, uint16_t status, int code, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(v->text, sizeof v->text, format, args);
    va_end(args);
    v->fine = false;
    v->status = status;
    v->code = code;
    return false;
}

static bool
mismatch(struct mcp_verdict *v, const char *field, const char *why)
{
    return refuse(v, 400, MCP_ERROR_HEADER, "HeaderMismatch: %s %s", field, why);
}

static enum mcp_revision
revision_of_raw(struct text raw)
{
    char name[16];
    int n = json_string_decode(raw, name, sizeof name);

    return n < 0 ? MCP_NO_REVISION : mcp_revision_of((struct text){name, (uint32_t)n});
}

/* 2026-07-28 claims itself in _meta; but initialize is the legacy method whatever else _meta may hold. */
bool
mcp_claims_modern(const struct jsonrpc_envelope *env)
{
    if (!env->meta_version.at)
        return false;
    return mcp_method_of(env->method) != MCP_INITIALIZE ||
           mcp_revision_is_modern(revision_of_raw(env->meta_version));
}

bool
mcp_verb_allowed(bool is_post, enum mcp_revision header, bool has_session)
{
    return is_post || has_session || !mcp_revision_is_modern(header);
}

bool
mcp_method_is_removed(enum mcp_method method, enum mcp_revision revision)
{
    if (!mcp_revision_is_modern(revision))
        return false;
    switch (method) {
    case MCP_INITIALIZE:
    case MCP_INITIALIZED:
    case MCP_PING:
    case MCP_SET_LEVEL:
    case MCP_RESOURCES_SUBSCRIBE:
    case MCP_RESOURCES_UNSUBSCRIBE:
    case MCP_ROOTS_CHANGED:
        return true;
    default:
        return false;
    }
}

struct text
mcp_name_of(const struct jsonrpc_envelope *env)
{
    struct text key = mcp_method_name_key(mcp_method_of(env->method));

    if (!key.len)
        return (struct text){NULL, 0};
    return text_eq(key, TEXT("uri")) ? env->uri : text_eq(key, TEXT("taskId")) ? env->task_id : env->name;
}

/* --- what contradicts --- */

static bool
check_name(const struct mcp_head *head, const struct jsonrpc_envelope *env, struct mcp_verdict *v)
{
    struct text raw = mcp_name_of(env);
    char name[8192];
    int n;

    if (!mcp_method_name_key(mcp_method_of(env->method)).len)
        return true;
    if (!head->name.at)
        return mismatch(v, "Mcp-Name", "is missing");
    n = mcp_header_decode(head->name, name, sizeof name);
    if (n < 0)
        return mismatch(v, "Mcp-Name", "is not a valid header value");
    /* Without a name in the body there is nothing to compare: the method will miss it. */
    if (raw.len && !json_string_is(raw, (struct text){name, (uint32_t)n}))
        return mismatch(v, "Mcp-Name", "differs from the name in the body");
    return true;
}

static bool
check_present(const struct mcp_head *head, const struct jsonrpc_envelope *env, struct mcp_verdict *v)
{
    if (!head->version.at)
        return mismatch(v, "MCP-Protocol-Version", "is missing");
    if (!head->method.at)
        return mismatch(v, "Mcp-Method", "is missing");
    return check_name(head, env, v);
}

static uint32_t
clip(struct text raw, char out[CLIP_MAX])
{
    char whole[1024];
    int n = json_string_decode(raw, whole, sizeof whole);
    uint32_t len = n < 0 ? 0 : (uint32_t)n;

    if (len > CLIP_MAX)
        len = CLIP_MAX;
    while (len && len < (uint32_t)n && ((uint8_t)whole[len] & 0xc0) == 0x80)
        len--;
    memcpy(out, whole, len);
    for (uint32_t i = 0; i < len; i++)
        if ((uint8_t)out[i] < 0x20 || out[i] == 0x7f)
            out[i] = '?';
    return len;
}

static bool
refuse_version(const struct jsonrpc_envelope *env, struct mcp_verdict *v)
{
    char requested[CLIP_MAX];
    struct text shown = {requested, clip(env->meta_version, requested)};
    struct json_writer w = {.at = v->data, .size = sizeof v->data - 1};

    json_put(&w, TEXT("{\"supported\":["));
    json_put_string(&w, mcp_revision_name(MCP_2026_07_28));
    json_put(&w, TEXT("],\"requested\":"));
    json_put_string(&w, shown);
    json_put(&w, TEXT("}"));
    v->data[w.full ? 0 : w.len] = '\0';
    return refuse(v, 400, MCP_ERROR_VERSION, "Unsupported protocol version: %.*s", (int)shown.len, shown.at);
}

/* --- 2026-07-28: each request says what it is --- */

static bool
check_modern(const struct mcp_head *head, const struct jsonrpc_envelope *env, struct mcp_verdict *v)
{
    if (json_kind_of(env->meta_version) != JSON_IS_STRING)
        return refuse(v, 400, MCP_ERROR_PARAMS,
                      "_meta lacks the string \"io.modelcontextprotocol/protocolVersion\"");
    if (head->http && head->version.at && !json_string_is(env->meta_version, head->version))
        return mismatch(v, "MCP-Protocol-Version", "differs from _meta of the body");
    if (head->http && head->method.at && !text_eq(env->method, head->method))
        return mismatch(v, "Mcp-Method", "differs from the method in the body");
    if (json_kind_of(env->meta_capabilities) != JSON_IS_OBJECT)
        return refuse(v, 400, MCP_ERROR_PARAMS,
                      "_meta lacks the object \"io.modelcontextprotocol/clientCapabilities\"");
    if (!mcp_revision_is_modern(revision_of_raw(env->meta_version)))
        return refuse_version(env, v);
    return !head->http || check_present(head, env, v);
}

/* --- legacy: the session says it --- */

static bool
check_legacy(const struct mcp_head *head, const struct jsonrpc_envelope *env, bool in_batch,
             struct mcp_verdict *v)
{
    if (mcp_method_of(env->method) != MCP_INITIALIZE)
        return true;
    if (in_batch)
        return refuse(v, 400, MCP_ERROR_INVALID_REQUEST,
                      "Invalid Request: initialize must not be part of a batch");
    if (head->session != MCP_NO_REVISION)
        return refuse(v, 400, MCP_ERROR_INVALID_REQUEST,
                      "Invalid Request: the session is initialized already");
    return true;
}

/* --- either --- */

static enum mcp_revision
header_revision(const struct mcp_head *head)
{
    return head->version.at ? mcp_revision_of(head->version) : MCP_NO_REVISION;
}

static bool
check_request(const struct mcp_head *head, const struct jsonrpc_envelope *env, bool in_batch,
              struct mcp_verdict *v)
{
    bool modern_header = mcp_revision_is_modern(header_revision(head));

    if (in_batch || !(mcp_claims_modern(env) || modern_header))
        return check_legacy(head, env, in_batch, v);
    v->revision = MCP_2026_07_28;
    if (mcp_method_of(env->method) == MCP_INITIALIZE && !mcp_claims_modern(env))
        return mismatch(v, "MCP-Protocol-Version", "names a revision that has no initialize");
    return check_modern(head, env, v);
}

static bool
refuse_fault(enum jsonrpc_fault fault, const struct jsonrpc_envelope *env, struct mcp_verdict *v)
{
    int code = jsonrpc_fault_code(fault);

    return refuse(v, 400, code, "%s: %s%s%s", code == -32700 ? "Parse error" : "Invalid Request",
                  jsonrpc_fault_text(fault), env->culprit ? ": " : "", env->culprit ? env->culprit : "");
}

bool
mcp_check(const struct mcp_head *head, enum jsonrpc_fault fault, const struct jsonrpc_envelope *env,
          bool in_batch, struct mcp_verdict *ret)
{
    enum mcp_revision header = header_revision(head);

    ret->fine = true;
    ret->status = 200;
    ret->code = 0;
    ret->text[0] = ret->data[0] = '\0';
    ret->revision =
        head->session != MCP_NO_REVISION && !mcp_revision_is_modern(header) ? head->session : header;
    if (ret->revision == MCP_NO_REVISION)
        ret->revision = MCP_2025_03_26; /* what the transport says when nothing is known */
    if (fault != JSONRPC_FAULT_FINE)
        return refuse_fault(fault, env, ret);
    if (head->version.at && header == MCP_NO_REVISION && !mcp_claims_modern(env))
        return refuse(ret, 400, MCP_ERROR_GENERIC,
                      "Bad Request: unsupported protocol version in MCP-Protocol-Version");
    switch ((enum jsonrpc_kind)env->kind) {
    case JSONRPC_BATCH:
        if (ret->revision > MCP_2025_03_26)
            return refuse(ret, 400, MCP_ERROR_INVALID_REQUEST,
                          "Invalid Request: this revision has no batches");
        return true;
    case JSONRPC_REQUEST:
        return check_request(head, env, in_batch, ret);
    case JSONRPC_RESPONSE:
    case JSONRPC_ERROR:
        if (!in_batch && mcp_revision_is_modern(header))
            return refuse(ret, 400, MCP_ERROR_INVALID_REQUEST,
                          "Invalid Request: replies are not sent to servers");
        return true;
    default:
        return true;
    }
}

/* --- the other direction --- */

static void
put_field(struct json_writer *w, struct text name, struct text value)
{
    json_put(w, name);
    json_put(w, TEXT(": "));
    json_put(w, value);
    json_put(w, TEXT("\r\n"));
}

/* Visible characters only: nothing that ends a line may get into a field. */
static bool
is_visible(struct text value)
{
    for (uint32_t i = 0; i < value.len; i++)
        if (value.at[i] <= 0x20 || value.at[i] > 0x7e)
            return false;
    return value.len > 0;
}

int
mcp_write_fields(const struct jsonrpc_envelope *env, char *out, uint32_t size)
{
    struct json_writer w = {.at = out, .size = size};
    struct text raw = mcp_name_of(env);
    char version[64], name[8192], encoded[11008];
    int n = json_string_decode(env->meta_version, version, sizeof version);

    if (n < 0 || !is_visible((struct text){version, (uint32_t)n}) || !is_visible(env->method))
        return -1;
    put_field(&w, TEXT("MCP-Protocol-Version"), (struct text){version, (uint32_t)n});
    put_field(&w, TEXT("Mcp-Method"), env->method);
    if (raw.len) {
        n = json_string_decode(raw, name, sizeof name);
        n = n < 0 ? -1 : mcp_header_encode((struct text){name, (uint32_t)n}, encoded, sizeof encoded);
        if (n < 0)
            return -1;
        put_field(&w, TEXT("Mcp-Name"), (struct text){encoded, (uint32_t)n});
    }
    return w.full ? -1 : (int)w.len;
}
