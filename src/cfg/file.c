/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A configuration file, in the form that MCP clients use for their servers:
 *
 *     {"mcpServers": {"search": {"url": "http://127.0.0.1:3000/mcp",
 *                                "headers": {"Authorization": "Bearer ${SEARCH_TOKEN}"}},
 *                     "files": {"command": "npx", "args": ["-y", "server", "/data"],
 *                               "env": {"TOKEN": "${TOKEN}"}, "cwd": "/srv", "reserve": 2}},
 *      "mcpgate": {"listen": ["0.0.0.0:8080"], "heartbeat": "10s", "access-log": true}}
 *
 * In every string value ${NAME} is the environment's variable and ${NAME:-TEXT} has a default; $${ stands for
 * ${.
 */
#include "base/check.h"
#include "cfg/draft.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A walk down the tree: the origin names the value that is being looked at. */
static struct origin
below(const struct origin *origin, size_t member)
{
    struct origin down = *origin;

    ASSERT(down.path.depth < JSON_PATH_MAX);
    down.path.at[down.path.depth++] = (uint32_t)member;
    return down;
}

static const char *
type_name(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "an array";
    case JSON_STRING:
        return "a string";
    case JSON_INTEGER:
    case JSON_REAL:
        return "a number";
    case JSON_NULL:
        return "null";
    default:
        return "true or false";
    }
}

/* An unknown key; the origin is its value. */
static int
refuse_key(struct draft *d, const struct origin *origin, const char *key, const char *near,
           const char *way_out)
{
    struct origin here = *origin;

    here.label = "";
    here.path.of_key = true;
    if (near)
        return draft_fail(d, &here, "\"%.64s\" is not a known key: did you mean \"%s\"?", key, near);
    return draft_fail(d, &here, "\"%.64s\" is not a known key: %s", key, way_out);
}

/* ---- ${NAME} ---- */

static bool
is_variable_name(const char *name, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        char c = name[i];

        if (!(c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (i && c >= '0' && c <= '9')))
            return false;
    }
    return len > 0;
}

struct expansion {
    char *at;
    size_t len, room;
};

static void
expansion_add(struct draft *d, struct expansion *e, const char *s, size_t len)
{
    if (e->len + len + 1 > e->room) {
        size_t room = (e->len + len + 1) * 2;
        char *larger = arena_get(&d->arena, room);

        if (e->len)
            memcpy(larger, e->at, e->len);
        e->at = larger;
        e->room = room;
    }
    memcpy(e->at + e->len, s, len);
    e->len += len;
}

/* At "${"; moves *text behind the '}'. */
static int
expand_variable(struct draft *d, struct expansion *e, const char **text, const struct origin *origin)
{
    const char *name = *text + 2, *end = strchr(name, '}'), *fallback;
    const char *value;
    size_t len;

    if (!end)
        return draft_fail(d, origin,
                          "'${' without '}': close it, or write '$${' for the characters themselves");
    fallback = memmem(name, (size_t)(end - name), ":-", 2);
    len = (size_t)((fallback ? fallback : end) - name);
    if (!is_variable_name(name, len))
        return draft_fail(d, origin,
                          "'${' is not followed by a variable's name: use letters, digits and '_', or "
                          "write '$${' for the characters themselves");
    value = getenv(arena_copy(&d->arena, name, len));
    if (!value && !fallback)
        return draft_fail(d, origin,
                          "${%.*s} is not set in the environment: set it, or write ${%.*s:-DEFAULT}",
                          (int)(len > 64 ? 64 : len), name, (int)(len > 64 ? 64 : len), name);
    if (value)
        expansion_add(d, e, value, strlen(value));
    else
        expansion_add(d, e, fallback + 2, (size_t)(end - fallback - 2));
    *text = end + 1;
    return 0;
}

static int
expand(struct draft *d, const char *text, const struct origin *origin, const char **ret)
{
    struct expansion e = {0};

    while (*text) {
        if (strncmp(text, "$${", 3) == 0) {
            expansion_add(d, &e, "${", 2);
            text += 3;
        } else if (text[0] == '$' && text[1] == '{') {
            if (expand_variable(d, &e, &text, origin) < 0)
                return -EINVAL;
        } else {
            expansion_add(d, &e, text++, 1);
        }
    }
    expansion_add(d, &e, "", 1);
    *ret = e.at;
    return 0;
}

static int
expand_string(struct draft *d, const json_t *value, const struct origin *origin, const char **ret)
{
    if (!json_is_string(value))
        return draft_fail(d, origin, "%s stands where a string is expected", type_name(value));
    return expand(d, json_string_value(value), origin, ret);
}

/* ---- "mcpServers" ---- */

typedef int add_text(struct draft *d, struct server *server, const char *text, const struct origin *origin);
typedef int add_field(struct draft *d, struct server *server, const char *name, const char *text,
                      const struct origin *origin);

/* An array of strings. */
static int
read_texts(struct draft *d, struct server *server, json_t *texts, add_text *add, const struct origin *origin)
{
    const char *text;
    json_t *value;
    size_t i;

    if (!json_is_array(texts))
        return draft_fail(d, origin, "%s stands where an array of strings is expected", type_name(texts));
    json_array_foreach(texts, i, value)
    {
        struct origin here = below(origin, i);

        if (expand_string(d, value, &here, &text) < 0 || add(d, server, text, &here) < 0)
            return -EINVAL;
    }
    return 0;
}

/* An object of strings; `use` shows one. */
static int
read_fields(struct draft *d, struct server *server, json_t *fields, const char *use, add_field *add,
            const struct origin *origin)
{
    const char *name, *text;
    json_t *value;
    size_t i = 0;

    if (!json_is_object(fields))
        return draft_fail(d, origin, "%s stands where an object is expected: use %s", type_name(fields), use);
    json_object_foreach(fields, name, value)
    {
        struct origin here = below(origin, i++);

        if (expand_string(d, value, &here, &text) < 0 || add(d, server, name, text, &here) < 0)
            return -EINVAL;
    }
    return 0;
}

static int
add_header(struct draft *d, struct server *server, const char *name, const char *text,
           const struct origin *origin)
{
    return draft_add_header(d, server->name, name, text, origin);
}

static int
read_urls(struct draft *d, struct server *server, json_t *urls, const struct origin *origin)
{
    const char *text;

    if (json_is_array(urls))
        return read_texts(d, server, urls, draft_add_urls, origin);
    return expand_string(d, urls, origin, &text) < 0 ? -EINVAL : draft_add_urls(d, server, text, origin);
}

static int
read_transport(struct draft *d, struct server *server, json_t *value, const struct origin *origin)
{
    static const char *const named[] = {
        "http", "streamable-http", "streamableHttp", "streamable_http", "stdio",
        "ws",   "websocket"}; /* the URL tells */
    const char *text;

    if (expand_string(d, value, origin, &text) < 0)
        return -EINVAL;
    for (unsigned i = 0; i < sizeof named / sizeof *named; i++) {
        if (strcmp(text, named[i]) == 0)
            return 0;
    }
    if (strcmp(text, "sse") == 0 && !server->args.count) {
        server->is_sse = true;
        return 0;
    }
    return draft_fail(d, origin,
                      "'%.64s' is not a transport that mcpgate speaks to upstreams in this release: use "
                      "\"http\", \"sse\", \"websocket\" or \"stdio\"",
                      text);
}

/* A string, or a number where a flag of the same kind takes one. */
static int
scalar_text(struct draft *d, json_t *value, const struct origin *origin, const char **ret)
{
    if (!json_is_integer(value))
        return expand_string(d, value, origin, ret);
    *ret = arena_print(&d->arena, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    return 0;
}

/* The keys of a stdio server but "command", which was read already. */
static int
read_stdio_key(struct draft *d, struct server *server, const char *key, json_t *value,
               const struct origin *origin, bool *ret_known)
{
    const char *text;

    *ret_known = true;
    if (strcmp(key, "command") == 0)
        return 0;
    if (strcmp(key, "args") == 0)
        return read_texts(d, server, value, draft_add_arg, origin);
    if (strcmp(key, "env") == 0)
        return read_fields(d, server, value, "{\"NAME\": \"value\"}", draft_add_env, origin);
    if (strcmp(key, "cwd") == 0)
        return expand_string(d, value, origin, &server->cwd);
    for (unsigned i = 0; i < STDIO_KEYS; i++) {
        if (strcmp(key, stdio_key_names[i]) != 0)
            continue;
        if (scalar_text(d, value, origin, &text) < 0)
            return -EINVAL;
        return draft_set_own(d, server, key, text, origin, ret_known);
    }
    *ret_known = false;
    return 0;
}

/* "allowTools" and "denyTools": patterns, as one value of the flag of the same meaning. */
static int
read_tool_rule(struct draft *d, const char *server, const char *flag, json_t *patterns,
               const struct origin *origin)
{
    const struct cfg_option *option = cfg_option_find(flag, strlen(flag));
    char *rule = arena_print(&d->arena, "%s=", server);
    const char *text;
    json_t *pattern;
    size_t i;

    if (!json_is_array(patterns))
        return draft_fail(d, origin, "%s stands where an array of patterns is expected: use [\"read_*\"]",
                          type_name(patterns));
    json_array_foreach(patterns, i, pattern)
    {
        struct origin here = below(origin, i);

        if (expand_string(d, pattern, &here, &text) < 0)
            return -EINVAL;
        rule = arena_print(&d->arena, "%s%s%s", rule, i ? "," : "", text);
    }
    if (json_array_size(patterns) == 0)
        return draft_fail(d, origin, "the list is empty: leave it out, or write \"denyTools\": [\"*\"]");
    return draft_set(d, option, rule, origin);
}

/* "priority": a word, as a value of the flag of that name. */
static int
read_priority(struct draft *d, const char *server, json_t *value, const struct origin *origin)
{
    const char *text;

    if (expand_string(d, value, origin, &text) < 0)
        return -EINVAL;
    return draft_set(d, cfg_option_find("priority", 8), arena_print(&d->arena, "%s=%s", server, text),
                     origin);
}

/* "tls": {"ca": FILE, "cert": FILE, "key": FILE, "verify": BOOLEAN} */
static int
read_tls_key(struct draft *d, struct server *server, const char *key, json_t *value,
             const struct origin *origin)
{
    static const char *const known[] = {"ca", "cert", "key", "verify"};
    const char *text;

    if (strcmp(key, "verify") == 0) {
        if (!json_is_boolean(value))
            return draft_fail(d, origin, "%s stands where true or false is expected", type_name(value));
        server->has_verify = true;
        server->verify = json_is_true(value);
        return 0;
    }
    for (unsigned i = 0; i < TLS_FILES; i++) {
        if (strcmp(key, tls_file_keys[i]) != 0)
            continue;
        if (expand_string(d, value, origin, &text) < 0)
            return -EINVAL;
        server->tls[i] = (struct item){text, *origin};
        return 0;
    }
    return refuse_key(d, origin, key, cfg_nearest(key, strlen(key), known, sizeof known / sizeof *known),
                      "use \"ca\", \"cert\", \"key\" and \"verify\"");
}

static int
read_tls(struct draft *d, struct server *server, json_t *tls, const struct origin *origin)
{
    const char *key;
    json_t *value;
    size_t i = 0;

    if (!json_is_object(tls))
        return draft_fail(d, origin, "%s stands where an object is expected: use {\"ca\": \"FILE\"}",
                          type_name(tls));
    json_object_foreach(tls, key, value)
    {
        struct origin here = below(origin, i++);

        here.label = arena_print(&d->arena, "%.64s.tls.%.32s", server->name, key);
        if (read_tls_key(d, server, key, value, &here) < 0)
            return -EINVAL;
    }
    return 0;
}

static int
refuse_server_key(struct draft *d, const struct server *server, const char *key, const struct origin *origin)
{
    static const char *const http[] = {"url",        "headers",   "type",    "tls",
                                       "allowTools", "denyTools", "priority"};
    static const char *const stdio[] = {"command", "args",    "env",  "cwd",        "type",      "share",
                                        "max",     "reserve", "idle", "allowTools", "denyTools", "priority"};

    if (server->args.count)
        return refuse_key(
            d, origin, key, cfg_nearest(key, strlen(key), stdio, sizeof stdio / sizeof *stdio),
            "use \"command\", \"args\", \"env\", \"cwd\", \"share\", \"max\", \"reserve\" and \"idle\"");
    return refuse_key(d, origin, key, cfg_nearest(key, strlen(key), http, sizeof http / sizeof *http),
                      "use \"url\", \"headers\", \"tls\" and \"type\", or \"command\" and \"args\"");
}

static int
read_server_key(struct draft *d, struct server *server, const char *key, json_t *value,
                const struct origin *origin)
{
    bool known = false;

    if (strcmp(key, "type") == 0)
        return read_transport(d, server, value, origin);
    if (strcmp(key, "allowTools") == 0)
        return read_tool_rule(d, server->name, "allow-tool", value, origin);
    if (strcmp(key, "denyTools") == 0)
        return read_tool_rule(d, server->name, "deny-tool", value, origin);
    if (strcmp(key, "priority") == 0)
        return read_priority(d, server->name, value, origin);
    if (server->args.count) {
        if (read_stdio_key(d, server, key, value, origin, &known) < 0)
            return -EINVAL;
        if (known)
            return 0;
    } else if (strcmp(key, "url") == 0) {
        return read_urls(d, server, value, origin);
    } else if (strcmp(key, "headers") == 0) {
        return read_fields(d, server, value, "{\"Field\": \"value\"}", add_header, origin);
    } else if (strcmp(key, "tls") == 0) {
        return read_tls(d, server, value, origin);
    }
    return refuse_server_key(d, server, key, origin);
}

/* "command" comes first, wherever it stands: it says what the other keys mean. */
static int
read_command(struct draft *d, struct server *server, json_t *body, const struct origin *origin)
{
    const char *key, *text;
    json_t *value;
    size_t i = 0;

    json_object_foreach(body, key, value)
    {
        struct origin here = below(origin, i++);

        if (strcmp(key, "command") != 0)
            continue;
        here.label = arena_print(&d->arena, "%.64s.command", server->name);
        return expand_string(d, value, &here, &text) < 0 ? -EINVAL : draft_add_arg(d, server, text, &here);
    }
    return 0;
}

static int
read_server(struct draft *d, const char *name, json_t *body, const struct origin *origin)
{
    struct server *server;
    const char *key;
    json_t *value;
    size_t i = 0;

    if (!json_is_object(body))
        return draft_fail(d, origin, "%s stands where an object is expected: use {\"url\": \"http://...\"}",
                          type_name(body));
    if (draft_add_server(d, name, false, origin, &server) < 0 || read_command(d, server, body, origin) < 0)
        return -EINVAL;
    json_object_foreach(body, key, value)
    {
        struct origin here = below(origin, i++);

        here.label = arena_print(&d->arena, "%.64s.%.32s", name, key);
        if (read_server_key(d, server, key, value, &here) < 0)
            return -EINVAL;
    }
    if (server->urls.count + server->args.count == 0)
        return draft_fail(
            d, origin, "%.64s has no URL and no command: add \"url\": \"http://...\" or \"command\": \"...\"",
            name);
    return 0;
}

static int
read_servers(struct draft *d, json_t *servers, const struct origin *origin)
{
    const char *name;
    json_t *body;
    size_t i = 0;

    if (!json_is_object(servers))
        return draft_fail(d, origin, "%s stands where an object is expected: use {\"NAME\": {\"url\": ...}}",
                          type_name(servers));
    json_object_foreach(servers, name, body)
    {
        struct origin here = below(origin, i++);

        here.label = "";
        if (read_server(d, name, body, &here) < 0)
            return -EINVAL;
    }
    return 0;
}

/* ---- "mcpgate" ---- */

/* One value of an option, in the type that suits it or as a string. */
static int
read_scalar(struct draft *d, const struct cfg_option *option, json_t *value, const struct origin *origin)
{
    const char *text;

    if (json_is_string(value)) {
        if (expand_string(d, value, origin, &text) < 0)
            return -EINVAL;
        return draft_set(d, option, text, origin);
    }
    if (json_is_boolean(value) && option->type == CFG_TYPE_FLAG)
        return draft_set(d, option, json_is_true(value) ? "on" : "off", origin);
    if (json_is_integer(value) && cfg_value_is_number(option) && option->type != CFG_TYPE_FLAG &&
        option->type != CFG_TYPE_CHOICE)
        return draft_set(d, option,
                         arena_print(&d->arena, "%" JSON_INTEGER_FORMAT, json_integer_value(value)), origin);
    return draft_fail(d, origin, "%s does not fit: use %s", type_name(value), option->metavar);
}

static bool
is_repeatable(const struct cfg_option *option)
{
    return option->type == CFG_TYPE_LIST ||
           (option->type == CFG_TYPE_STRUCT && strcmp(option->flag, "admin") != 0);
}

static int
read_setting(struct draft *d, const struct cfg_option *option, json_t *value, const struct origin *origin)
{
    json_t *element;
    size_t i;

    if (!json_is_array(value) || !is_repeatable(option))
        return read_scalar(d, option, value, origin);
    if (json_array_size(value) == 0)
        draft_clear_list(d, option, origin);
    json_array_foreach(value, i, element)
    {
        struct origin here = below(origin, i);

        if (read_scalar(d, option, element, &here) < 0)
            return -EINVAL;
    }
    return 0;
}

static int
read_settings(struct draft *d, json_t *settings, const struct origin *origin)
{
    const char *key;
    json_t *value;
    size_t i = 0;

    if (!json_is_object(settings))
        return draft_fail(d, origin, "%s stands where an object is expected: use {\"heartbeat\": \"15s\"}",
                          type_name(settings));
    json_object_foreach(settings, key, value)
    {
        const struct cfg_option *option = cfg_option_find(key, strlen(key));
        struct origin here = below(origin, i++);

        if (!option)
            return refuse_key(d, &here, key, cfg_nearest_flag(key, strlen(key), 0),
                              "use the flags of mcpgate --help");
        here.label = option->flag;
        if (strcmp(key, "config") == 0)
            return draft_fail(d, &here, "a file cannot name another one: give --config twice");
        if (read_setting(d, option, value, &here) < 0)
            return -EINVAL;
    }
    return 0;
}

/* ---- the file ---- */

int
draft_read_whole(struct draft *d, const char *name, const struct origin *origin, uint32_t most,
                 const char *way_out, struct text *ret)
{
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    size_t len = 0;
    ssize_t n = 1;
    char *at;

    if (fd < 0)
        return draft_fail(d, origin, "%.200s: cannot be opened: %s: %s", name, strerror(errno), way_out);
    at = arena_get(&d->arena, most + 1);
    while (n > 0 && len <= most) {
        do
            n = read(fd, at + len, most + 1 - len);
        while (n < 0 && errno == EINTR);
        len += n > 0 ? (size_t)n : 0;
    }
    if (n < 0)
        draft_fail(d, origin, "%.200s: cannot be read: %s: %s", name, strerror(errno), way_out);
    close(fd);
    if (n < 0)
        return -EINVAL;
    if (len > most)
        return draft_fail(d, origin, "%.200s: is larger than %u KiB: %s", name, (unsigned)most >> 10,
                          way_out);
    *ret = (struct text){at, (uint32_t)len};
    return 0;
}

/* jansson quotes the text at a syntax error, which may be a secret: its place is enough. */
static int
fail_syntax(struct draft *d, const char *name, const json_error_t *error)
{
    int len = (int)strlen(error->text);
    const char *near = strstr(error->text, " near ");

    if (near)
        len = (int)(near - error->text);
    return draft_fail(d, NULL, "%.200s:%d:%d: is not JSON: %.*s", name, error->line, error->column, len,
                      error->text);
}

static int
read_root(struct draft *d, json_t *root, const struct origin *origin)
{
    static const char *const known[] = {"mcpServers", "mcpgate"};
    const char *key;
    json_t *value;
    size_t i = 0;

    json_object_foreach(root, key, value)
    {
        struct origin here = below(origin, i++);

        int result;

        if (strcmp(key, "mcpServers") == 0)
            result = read_servers(d, value, &here);
        else if (strcmp(key, "mcpgate") == 0)
            result = read_settings(d, value, &here);
        else
            result = refuse_key(d, &here, key, cfg_nearest(key, strlen(key), known, 2),
                                "use \"mcpServers\" and \"mcpgate\"");
        if (result < 0)
            return result;
    }
    return 0;
}

int
draft_read_text(struct draft *d, const char *name, struct text text, unsigned layer)
{
    struct source *source = arena_get(&d->arena, sizeof *source);
    struct origin origin = {.label = "", .source = source, .layer = layer};
    json_error_t error;

    source->name = arena_copy(&d->arena, name, strlen(name));
    source->text = text;
    source->root = json_loadb(text.at, text.len, JSON_REJECT_DUPLICATES, &error);
    if (!source->root)
        return fail_syntax(d, name, &error);
    source->next = d->sources;
    d->sources = source;
    if (!json_is_object(source->root))
        return draft_fail(d, &origin, "%s stands where an object is expected: use {\"mcpServers\": {...}}",
                          type_name(source->root));
    return read_root(d, source->root, &origin);
}

int
draft_read_file(struct draft *d, const char *name, unsigned layer)
{
    struct text text;

    if (draft_read_whole(d, name, NULL, SOURCE_MAX, "check --config", &text) < 0)
        return -EINVAL;
    return draft_read_text(d, name, text, layer);
}
