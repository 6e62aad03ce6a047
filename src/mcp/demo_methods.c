/* SPDX-License-Identifier: Apache-2.0 */
/* The demo server's methods other than its tools: one handler each, and a table of which revisions have it.
 */
#include "base/check.h"
#include "mcp/client_caps.h"
#include "mcp/demo_turn.h"

#define DEMO_URI "demo://greeting"
#define DEMO_GREETING                                                                                        \
    "Hello from mcpgate's demo server. It has four tools (echo, add, slow_count, generate_text), this "      \
    "resource and one prompt (explain)."
#define DEMO_INSTRUCTIONS                                                                                    \
    "A server to try a gateway or a client with: echo and add answer at once, slow_count and generate_text " \
    "take their time and report progress."

static bool
since(const struct demo_turn *t, enum mcp_revision revision)
{
    return t->revision >= revision;
}

void
demo_put_server_info(struct demo_turn *t)
{
    json_put(&t->w, TEXT("{"));
    demo_put_string(t, TEXT("name"), TEXT("mcpgate-demo"));
    if (since(t, MCP_2025_06_18))
        demo_put_string(t, TEXT("title"), TEXT("mcpgate demo server"));
    demo_put_string(t, TEXT("version"), TEXT(MCPGATE_VERSION));
    json_put(&t->w, TEXT("}"));
}

/* The lists never change; that a 2026-07-28 client may subscribe to changes shows it an open stream all the
 * same. */
static void
put_capabilities(struct demo_turn *t)
{
    bool modern = demo_is_modern(t);

    demo_key(t, TEXT("capabilities"));
    json_put(&t->w, TEXT("{"));
    demo_put(t, TEXT("tools"), modern ? TEXT("{\"listChanged\":true}") : TEXT("{}"));
    demo_put(t, TEXT("prompts"), modern ? TEXT("{\"listChanged\":true}") : TEXT("{}"));
    demo_put(t, TEXT("resources"),
             modern ? TEXT("{\"subscribe\":true,\"listChanged\":true}") : TEXT("{\"subscribe\":true}"));
    if (since(t, MCP_2025_03_26))
        demo_put(t, TEXT("completions"), TEXT("{}"));
    if (!modern)
        demo_put(t, TEXT("logging"), TEXT("{}"));
    json_put(&t->w, TEXT("}"));
}

static void
on_initialize(struct demo_turn *t)
{
    enum mcp_revision revision;
    char name[16];
    int n = json_string_decode(t->env.protocol_version, name, sizeof name);

    if (json_kind_of(t->env.protocol_version) != JSON_IS_STRING) {
        demo_error(t, 200, MCP_ERROR_PARAMS, "Invalid params: protocolVersion must be a string");
        return;
    }
    revision = n < 0 ? MCP_NO_REVISION : mcp_revision_of((struct text){name, (uint32_t)n});
    if (revision > MCP_LATEST_LEGACY)
        revision = MCP_LATEST_LEGACY; /* not served by initialize: offer what is */
    t->revision = revision;
    t->out->initialized = revision;
    t->out->client_capabilities = mcp_client_caps(json_find(t->env.params, TEXT("capabilities")));
    demo_result_begin(t);
    demo_put_string(t, TEXT("protocolVersion"), mcp_revision_name(revision));
    put_capabilities(t);
    demo_key(t, TEXT("serverInfo"));
    demo_put_server_info(t);
    demo_put_string(t, TEXT("instructions"), TEXT(DEMO_INSTRUCTIONS));
    demo_result_end(t);
}

static void
on_discover(struct demo_turn *t)
{
    demo_result_begin(t);
    demo_key(t, TEXT("supportedVersions"));
    json_put(&t->w, TEXT("["));
    json_put_string(&t->w, mcp_revision_name(MCP_2026_07_28));
    json_put(&t->w, TEXT("]"));
    put_capabilities(t);
    demo_put_string(t, TEXT("instructions"), TEXT(DEMO_INSTRUCTIONS));
    demo_cacheable(t);
    demo_result_end(t);
}

static void
empty_result(struct demo_turn *t)
{
    demo_result_begin(t);
    demo_result_end(t);
}

static void
on_resources_list(struct demo_turn *t)
{
    demo_result_begin(t);
    demo_key(t, TEXT("resources"));
    json_put(&t->w, TEXT("[{"));
    demo_put_string(t, TEXT("uri"), TEXT(DEMO_URI));
    demo_put_string(t, TEXT("name"), TEXT("greeting"));
    if (since(t, MCP_2025_06_18))
        demo_put_string(t, TEXT("title"), TEXT("Greeting"));
    demo_put_string(t, TEXT("description"), TEXT("A short text that says what this server is"));
    demo_put_string(t, TEXT("mimeType"), TEXT("text/plain"));
    json_put(&t->w, TEXT("}]"));
    demo_cacheable(t);
    demo_result_end(t);
}

static void
on_templates_list(struct demo_turn *t)
{
    demo_result_begin(t);
    demo_put(t, TEXT("resourceTemplates"), TEXT("[]"));
    demo_cacheable(t);
    demo_result_end(t);
}

/* Whether params.uri names the one resource; answers with an error if not. */
static bool
know_uri(struct demo_turn *t)
{
    char clip[64];
    const char *uri = demo_clip(t->env.uri, clip);

    if (json_kind_of(t->env.uri) != JSON_IS_STRING) {
        demo_error(t, 200, MCP_ERROR_PARAMS, "Invalid params: uri must be a string");
        return false;
    }
    if (json_string_is(t->env.uri, TEXT(DEMO_URI)))
        return true;
    demo_error_begin(t, demo_is_modern(t) ? MCP_ERROR_PARAMS : MCP_ERROR_RESOURCE,
                     "Resource not found: %s (there is " DEMO_URI ")", uri);
    demo_key(t, TEXT("data"));
    json_put(&t->w, TEXT("{"));
    demo_put_string(t, TEXT("uri"), text_of(uri));
    json_put(&t->w, TEXT("}"));
    demo_error_end(t, 200);
    return false;
}

static void
on_resources_read(struct demo_turn *t)
{
    if (!know_uri(t))
        return;
    demo_result_begin(t);
    demo_key(t, TEXT("contents"));
    json_put(&t->w, TEXT("[{"));
    demo_put_string(t, TEXT("uri"), TEXT(DEMO_URI));
    demo_put_string(t, TEXT("mimeType"), TEXT("text/plain"));
    demo_put_string(t, TEXT("text"), TEXT(DEMO_GREETING));
    json_put(&t->w, TEXT("}]"));
    demo_cacheable(t);
    demo_result_end(t);
}

static void
on_subscribe(struct demo_turn *t)
{
    if (know_uri(t))
        empty_result(t);
}

static void
on_prompts_list(struct demo_turn *t)
{
    demo_result_begin(t);
    demo_key(t, TEXT("prompts"));
    json_put(&t->w, TEXT("[{"));
    demo_put_string(t, TEXT("name"), TEXT("explain"));
    if (since(t, MCP_2025_06_18))
        demo_put_string(t, TEXT("title"), TEXT("Explain"));
    demo_put_string(t, TEXT("description"), TEXT("Asks for a short explanation of a topic"));
    demo_put(t, TEXT("arguments"),
             TEXT("[{\"name\":\"topic\",\"description\":\"What to explain\",\"required\":true}]"));
    json_put(&t->w, TEXT("}]"));
    demo_cacheable(t);
    demo_result_end(t);
}

static void
on_prompts_get(struct demo_turn *t)
{
    struct text topic = json_find(t->env.arguments, TEXT("topic"));
    char clip[64];

    if (json_kind_of(t->env.name) != JSON_IS_STRING) {
        demo_error(t, 200, MCP_ERROR_PARAMS, "Invalid params: name must be a string");
        return;
    }
    if (!json_string_is(t->env.name, TEXT("explain"))) {
        demo_error(t, 200, MCP_ERROR_PARAMS, "Unknown prompt: %s (there is explain)",
                   demo_clip(t->env.name, clip));
        return;
    }
    if (json_kind_of(topic) != JSON_IS_STRING) {
        demo_error(t, 200, MCP_ERROR_PARAMS,
                   "Invalid params: the prompt explain needs the string argument topic");
        return;
    }
    demo_result_begin(t);
    demo_put_string(t, TEXT("description"), TEXT("Asks for a short explanation of a topic"));
    demo_key(t, TEXT("messages"));
    json_put(
        &t->w,
        TEXT("[{\"role\":\"user\",\"content\":{\"type\":\"text\",\"text\":\"Explain in three sentences: "));
    json_put(&t->w, (struct text){topic.at + 1, topic.len - 1}); /* its own closing quote ends the string */
    json_put(&t->w, TEXT("}}]"));
    demo_result_end(t);
}

static void
on_complete(struct demo_turn *t)
{
    struct text ref = json_find(t->env.params, TEXT("ref")),
                argument = json_find(t->env.params, TEXT("argument"));

    if (json_kind_of(json_find(ref, TEXT("type"))) != JSON_IS_STRING ||
        json_kind_of(json_find(argument, TEXT("name"))) != JSON_IS_STRING ||
        json_kind_of(json_find(argument, TEXT("value"))) != JSON_IS_STRING) {
        demo_error(t, 200, MCP_ERROR_PARAMS,
                   "Invalid params: ref.type, argument.name and argument.value must be strings");
        return;
    }
    demo_result_begin(t);
    demo_put(t, TEXT("completion"), TEXT("{\"values\":[],\"total\":0,\"hasMore\":false}"));
    demo_result_end(t);
}

static void
on_set_level(struct demo_turn *t)
{
    static const struct text levels[] = {{"debug", 5}, {"info", 4},     {"notice", 6}, {"warning", 7},
                                         {"error", 5}, {"critical", 8}, {"alert", 5},  {"emergency", 9}};
    struct text level = json_find(t->env.params, TEXT("level"));
    char clip[64];

    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++) {
        if (json_string_is(level, levels[i])) {
            empty_result(t);
            return;
        }
    }
    demo_error(t, 200, MCP_ERROR_PARAMS, "Invalid params: \"%s\" is no log level (debug to emergency)",
               demo_clip(level, clip));
}

/* --- subscriptions (2026-07-28) --- */

static void
put_honoured_uris(struct demo_turn *t, struct text filter, unsigned *honoured)
{
    struct text uris = json_find(filter, TEXT("resourceSubscriptions")), uri;

    if (json_kind_of(uris) != JSON_IS_ARRAY)
        return;
    while (json_next_element(&uris, &uri)) {
        if (json_string_is(uri, TEXT(DEMO_URI))) {
            demo_put(t, TEXT("resourceSubscriptions"), TEXT("[\"" DEMO_URI "\"]"));
            ++*honoured;
            return;
        }
    }
}

/* The acknowledgement, with what of the filter is honoured; returns how much. */
static unsigned
acknowledge(struct demo_turn *t, struct text filter)
{
    static const struct text lists[] = {
        {"toolsListChanged", 16}, {"promptsListChanged", 18}, {"resourcesListChanged", 20}};
    unsigned honoured = 0;

    demo_notification_begin(t, TEXT("notifications/subscriptions/acknowledged"));
    demo_key(t, TEXT("_meta"));
    json_put(&t->w, TEXT("{"));
    demo_put(t, TEXT("io.modelcontextprotocol/subscriptionId"), t->id);
    json_put(&t->w, TEXT("}"));
    demo_key(t, TEXT("notifications"));
    json_put(&t->w, TEXT("{"));
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        if (json_kind_of(json_find(filter, lists[i])) == JSON_IS_TRUE) {
            demo_put(t, lists[i], TEXT("true"));
            honoured++;
        }
    }
    put_honoured_uris(t, filter, &honoured);
    json_put(&t->w, TEXT("}"));
    demo_notification_end(t);
    return honoured;
}

static void
on_listen(struct demo_turn *t)
{
    struct text filter = json_find(t->env.params, TEXT("notifications"));
    struct demo_call *call = t->call;

    if (json_kind_of(filter) != JSON_IS_OBJECT) {
        demo_error(t, 200, MCP_ERROR_PARAMS, "Invalid params: notifications must be an object");
        return;
    }
    call->kind = DEMO_LISTEN;
    call->revision = (uint8_t)t->revision;
    call->id_len = (uint8_t)t->id.len;
    memcpy(call->id, t->id.at, t->id.len);
    t->out->wants_stream = true;
    t->open = acknowledge(t, filter) > 0;
    if (!t->open) /* nothing will ever come */
        empty_result(t);
}

/* --- the table --- */

static const struct {
    void (*handle)(struct demo_turn *t);
    enum mcp_revision first, last;
    bool paged; /* takes a cursor */
} handlers[MCP_METHODS] = {
    [MCP_INITIALIZE] = {on_initialize, MCP_2024_11_05, MCP_LATEST_LEGACY, false},
    [MCP_PING] = {empty_result, MCP_2024_11_05, MCP_LATEST_LEGACY, false},
    [MCP_DISCOVER] = {on_discover, MCP_2026_07_28, MCP_2026_07_28, false},
    [MCP_TOOLS_LIST] = {demo_tools_list, MCP_2024_11_05, MCP_2026_07_28, true},
    [MCP_TOOLS_CALL] = {demo_tools_call, MCP_2024_11_05, MCP_2026_07_28, false},
    [MCP_PROMPTS_LIST] = {on_prompts_list, MCP_2024_11_05, MCP_2026_07_28, true},
    [MCP_PROMPTS_GET] = {on_prompts_get, MCP_2024_11_05, MCP_2026_07_28, false},
    [MCP_RESOURCES_LIST] = {on_resources_list, MCP_2024_11_05, MCP_2026_07_28, true},
    [MCP_RESOURCES_TEMPLATES_LIST] = {on_templates_list, MCP_2024_11_05, MCP_2026_07_28, true},
    [MCP_RESOURCES_READ] = {on_resources_read, MCP_2024_11_05, MCP_2026_07_28, false},
    [MCP_RESOURCES_SUBSCRIBE] = {on_subscribe, MCP_2024_11_05, MCP_LATEST_LEGACY, false},
    [MCP_RESOURCES_UNSUBSCRIBE] = {on_subscribe, MCP_2024_11_05, MCP_LATEST_LEGACY, false},
    [MCP_COMPLETE] = {on_complete, MCP_2024_11_05, MCP_2026_07_28, false},
    [MCP_SET_LEVEL] = {on_set_level, MCP_2024_11_05, MCP_LATEST_LEGACY, false},
    [MCP_LISTEN] = {on_listen, MCP_2026_07_28, MCP_2026_07_28, false},
};

void
demo_method(struct demo_turn *t)
{
    enum mcp_method method = mcp_method_of(t->env.method);
    struct text cursor = json_find(t->env.params, TEXT("cursor"));
    char name[64];

    if (!handlers[method].handle || t->revision < handlers[method].first ||
        t->revision > handlers[method].last) {
        struct text raw = {t->env.method.at - 1, t->env.method.len + 2};

        demo_error(t, demo_is_modern(t) ? 404 : 200, MCP_ERROR_METHOD, "Method not found: %s",
                   demo_clip(raw, name));
        return;
    }
    if (handlers[method].paged && cursor.len && json_kind_of(cursor) != JSON_IS_NULL) {
        demo_error(t, 200, MCP_ERROR_PARAMS, "Invalid cursor: %s (each list is one page)",
                   demo_clip(cursor, name));
        return;
    }
    handlers[method].handle(t);
}
