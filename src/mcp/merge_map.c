/* SPDX-License-Identifier: Apache-2.0 */
/* The walks of merge_map.h. Each visits what it maps in the order of the text, so edits come out sorted. */
#include "mcp/merge_map.h"

#include "mcp/merge_caps.h"

struct walk {
    const struct merge_names *names;
    unsigned upstream;
    struct merge_edits *out;
};

static void
add(struct merge_edits *out, const struct jsonrpc_edit *edit)
{
    if (!edit->old.len && !edit->with.len)
        return;
    if (out->count == out->room) {
        out->full = true;
        return;
    }
    out->at[out->count++] = *edit;
}

static void
map_uri(struct walk *w, struct text raw)
{
    struct jsonrpc_edit edit;

    if (merge_uri_down(w->names, w->upstream, raw, &edit))
        add(w->out, &edit);
}

static bool
is_object(struct text raw)
{
    return json_kind_of(raw) == JSON_IS_OBJECT;
}

static bool
is_array(struct text raw)
{
    return json_kind_of(raw) == JSON_IS_ARRAY;
}

/* The uri members of an object; how often one occurs is not our concern. */
static void
map_uri_member(struct walk *w, struct text object)
{
    struct json_member m;

    if (!is_object(object))
        return;
    while (json_next_member(&object, &m))
        if (json_string_is(m.key, TEXT("uri")))
            map_uri(w, m.value);
}

static void
map_uris_of(struct walk *w, struct text objects)
{
    struct text object;

    if (!is_array(objects))
        return;
    while (json_next_element(&objects, &object))
        map_uri_member(w, object);
}

static void map_content(struct walk *w, struct text content, bool is_outer);

/* A block of content. What its members mean, its type says, which may stand behind them. */
static void
map_block(struct walk *w, struct text block, bool is_outer)
{
    struct text type;
    struct json_member m;
    bool is_link, is_embedded, is_tool_result;

    if (!is_object(block))
        return;
    type = json_find(block, TEXT("type"));
    is_link = json_string_is(type, TEXT("resource_link"));
    is_embedded = json_string_is(type, TEXT("resource"));
    is_tool_result = is_outer && json_string_is(type, TEXT("tool_result"));
    if (!is_link && !is_embedded && !is_tool_result)
        return;
    while (json_next_member(&block, &m)) {
        if (is_link && json_string_is(m.key, TEXT("uri")))
            map_uri(w, m.value);
        else if (is_embedded && json_string_is(m.key, TEXT("resource")))
            map_uri_member(w, m.value);
        else if (is_tool_result && json_string_is(m.key, TEXT("content")))
            map_content(w, m.value, false);
    }
}

/* One block, or an array of them. Those of a tool's result within sampling are the deepest there are. */
static void
map_content(struct walk *w, struct text content, bool is_outer)
{
    struct text block;

    if (!is_array(content)) {
        map_block(w, content, is_outer);
        return;
    }
    while (json_next_element(&content, &block))
        map_block(w, block, is_outer);
}

static void
map_messages(struct walk *w, struct text messages)
{
    struct text message;
    struct json_member m;

    if (!is_array(messages))
        return;
    while (json_next_element(&messages, &message)) {
        if (!is_object(message))
            continue;
        while (json_next_member(&message, &m))
            if (json_string_is(m.key, TEXT("content")))
                map_content(w, m.value, true);
    }
}

/* The params of sampling/createMessage. */
static void
map_sampling(struct walk *w, struct text params)
{
    struct json_member m;

    if (!is_object(params))
        return;
    while (json_next_member(&params, &m))
        if (json_string_is(m.key, TEXT("messages")))
            map_messages(w, m.value);
}

/* {"key": {"method": ..., "params": ...}, ...} of an input_required result. */
static void
map_input_requests(struct walk *w, struct text requests)
{
    struct json_member request, m;

    if (!is_object(requests))
        return;
    while (json_next_member(&requests, &request)) {
        struct text rest = request.value;

        if (!is_object(rest) ||
            !json_string_is(json_find(rest, TEXT("method")), TEXT("sampling/createMessage")))
            continue;
        while (json_next_member(&rest, &m))
            if (json_string_is(m.key, TEXT("params")))
                map_sampling(w, m.value);
    }
}

static void
map_ui(struct walk *w, struct text ui)
{
    struct json_member m;

    if (!is_object(ui))
        return;
    while (json_next_member(&ui, &m))
        if (json_string_is(m.key, TEXT("resourceUri")))
            map_uri(w, m.value);
}

void
merge_map_meta(const struct merge_names *names, unsigned upstream, struct text meta, struct merge_edits *out)
{
    struct walk w = {names, upstream, out};
    struct json_member m;

    if (names->plain || !is_object(meta))
        return;
    while (json_next_member(&meta, &m)) {
        if (json_string_is(m.key, TEXT("ui")))
            map_ui(&w, m.value);
        else if (json_string_is(m.key, TEXT("ui/resourceUri"))) /* as the extension's drafts had it */
            map_uri(&w, m.value);
    }
}

void
merge_map_result(const struct merge_names *names, unsigned upstream, enum mcp_method method,
                 struct text result, struct merge_edits *out)
{
    struct walk w = {names, upstream, out};
    struct json_member m;

    if (names->plain || !is_object(result) ||
        (method != MCP_TOOLS_CALL && method != MCP_PROMPTS_GET && method != MCP_RESOURCES_READ))
        return;
    while (json_next_member(&result, &m)) {
        if (json_string_is(m.key, TEXT("inputRequests")))
            map_input_requests(&w, m.value);
        else if (json_string_is(m.key, TEXT("_meta")))
            merge_map_meta(names, upstream, m.value, out);
        else if (method == MCP_TOOLS_CALL && json_string_is(m.key, TEXT("content")))
            map_content(&w, m.value, false);
        else if (method == MCP_PROMPTS_GET && json_string_is(m.key, TEXT("messages")))
            map_messages(&w, m.value);
        else if (method == MCP_RESOURCES_READ && json_string_is(m.key, TEXT("contents")))
            map_uris_of(&w, m.value);
    }
}

void
merge_map_error(const struct merge_names *names, unsigned upstream, struct text error,
                struct merge_edits *out)
{
    struct walk w = {names, upstream, out};
    struct json_member m;

    if (names->plain || !is_object(error))
        return;
    while (json_next_member(&error, &m))
        if (json_string_is(m.key, TEXT("data")))
            map_uri_member(&w, m.value);
}

/* {"notifications": {"resourceSubscriptions": [uri, ...]}} */
static void
map_acknowledged(struct walk *w, struct text params)
{
    struct json_member m, inner;
    struct text uri;

    while (json_next_member(&params, &m)) {
        if (!json_string_is(m.key, TEXT("notifications")) || !is_object(m.value))
            continue;
        while (json_next_member(&m.value, &inner)) {
            if (!json_string_is(inner.key, TEXT("resourceSubscriptions")) || !is_array(inner.value))
                continue;
            while (json_next_element(&inner.value, &uri))
                map_uri(w, uri);
        }
    }
}

void
merge_map_params(const struct merge_names *names, unsigned upstream, struct text method, struct text params,
                 struct merge_edits *out)
{
    struct walk w = {names, upstream, out};

    if (names->plain || !is_object(params))
        return;
    if (text_eq(method, TEXT("notifications/resources/updated")))
        map_uri_member(&w, params);
    else if (text_eq(method, TEXT("notifications/subscriptions/acknowledged")))
        map_acknowledged(&w, params);
    else if (text_eq(method, TEXT("sampling/createMessage")))
        map_sampling(&w, params);
}

/* ---- up ---- */

bool
merge_is_for_one(enum mcp_method method)
{
    switch (method) {
    case MCP_TOOLS_CALL:
    case MCP_PROMPTS_GET:
    case MCP_RESOURCES_READ:
    case MCP_RESOURCES_SUBSCRIBE:
    case MCP_RESOURCES_UNSUBSCRIBE:
    case MCP_COMPLETE:
        return true;
    default:
        return false;
    }
}

/* The member of a completion's ref that says whose it is. At NULL when there is none, or when it is given
 * twice, which two readers may take differently. */
static struct text
ref_key(struct text params, bool *ret_is_name)
{
    struct text ref = json_find(params, TEXT("ref")), found = {NULL, 0}, key;
    struct json_member m;

    if (!is_object(ref))
        return found;
    *ret_is_name = json_string_is(json_find(ref, TEXT("type")), TEXT("ref/prompt"));
    key = *ret_is_name ? TEXT("name") : TEXT("uri");
    while (json_next_member(&ref, &m)) {
        if (!json_string_is(m.key, key))
            continue;
        if (found.at)
            return (struct text){NULL, 0};
        found = m.value;
    }
    return found;
}

int
merge_map_request(const struct merge_names *names, enum mcp_method method, const struct jsonrpc_envelope *env,
                  struct merge_edits *out, struct text *ret_key)
{
    bool is_name = method == MCP_TOOLS_CALL || method == MCP_PROMPTS_GET;
    struct text raw = is_name ? env->name : env->uri;
    struct jsonrpc_edit edit;
    int upstream;

    if (method == MCP_COMPLETE)
        raw = ref_key(env->params, &is_name);
    if (ret_key)
        *ret_key = raw;
    if (json_kind_of(raw) != JSON_IS_STRING)
        return MERGE_BAD_PARAMS;
    upstream = is_name ? merge_name_up(names, raw, &edit) : merge_uri_up(names, raw, &edit);
    if (upstream >= 0)
        add(out, &edit);
    return upstream;
}

static void
put_key(struct json_writer *w, uint32_t begin, const char *name)
{
    json_put(w, w->len == begin ? TEXT("{") : TEXT(","));
    json_put_string(w, text_of(name));
    json_put(w, TEXT(":"));
}

static void
put_edited(struct json_writer *w, struct text raw, const struct jsonrpc_edit *edit)
{
    const char *behind = edit->old.at + edit->old.len;

    json_put(w, (struct text){raw.at, (uint32_t)(edit->old.at - raw.at)});
    json_put(w, edit->with);
    json_put(w, (struct text){behind, (uint32_t)(raw.at + raw.len - behind)});
}

/* "resourceSubscriptions": those of this upstream, if any. */
static void
put_subscriptions(struct json_writer *w, uint32_t begin, const struct merge_names *names, unsigned upstream,
                  struct text uris)
{
    bool first = true;
    struct text uri;

    if (!is_array(uris))
        return;
    while (json_next_element(&uris, &uri)) {
        struct jsonrpc_edit edit;

        if (merge_uri_up(names, uri, &edit) != (int)upstream)
            continue;
        if (first)
            put_key(w, begin, "resourceSubscriptions");
        json_put(w, first ? TEXT("[") : TEXT(","));
        put_edited(w, uri, &edit);
        first = false;
    }
    if (!first)
        json_put(w, TEXT("]"));
}

bool
merge_listen_part(const struct merge_names *names, unsigned upstream, uint32_t can, struct text filter,
                  struct json_writer *w)
{
    static const struct {
        const char *key;
        uint32_t cap;
    } changes[] = {
        {"toolsListChanged", MERGE_CAP_TOOLS_CHANGED},
        {"promptsListChanged", MERGE_CAP_PROMPTS_CHANGED},
        {"resourcesListChanged", MERGE_CAP_RESOURCES_CHANGED},
    };
    uint32_t begin = w->len;

    if (!is_object(filter))
        return false;
    for (unsigned i = 0; i < sizeof changes / sizeof *changes; i++) {
        if (!(can & changes[i].cap) ||
            json_kind_of(json_find(filter, text_of(changes[i].key))) != JSON_IS_TRUE)
            continue;
        put_key(w, begin, changes[i].key);
        json_put(w, TEXT("true"));
    }
    if (can & MERGE_CAP_SUBSCRIBE)
        put_subscriptions(w, begin, names, upstream, json_find(filter, TEXT("resourceSubscriptions")));
    if (w->len == begin)
        return false;
    json_put(w, TEXT("}"));
    return true;
}
