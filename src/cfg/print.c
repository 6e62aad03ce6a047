/* SPDX-License-Identifier: Apache-2.0 */
/* --check and --print-config. */
#include "base/check.h"
#include "cfg/address.h"
#include "cfg/cfg.h"
#include "cfg/options.h"
#include "cfg/value.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

/* A string as it stands in a file: "${" would be expanded there. */
static json_t *
file_string(const char *text)
{
    char *escaped = malloc(2 * strlen(text) + 1);
    json_t *string;
    size_t len = 0;

    ASSERT(escaped);
    for (; *text; text++) {
        if (text[0] == '$' && text[1] == '{')
            escaped[len++] = '$';
        escaped[len++] = *text;
    }
    string = json_stringn(escaped, len);
    ASSERT(string);
    free(escaped);
    return string;
}

static json_t *
number_value(const struct cfg_option *option, uint64_t value)
{
    char text[CFG_VALUE_MAX];

    if (option->type == CFG_TYPE_FLAG)
        return json_boolean(value);
    if (option->type == CFG_TYPE_COUNT || (option->type == CFG_TYPE_WORKERS && value))
        return json_integer((json_int_t)value);
    cfg_value_print(option, value, text);
    return json_string(text);
}

static json_t *
list_value(const struct config *c, struct cfg_array list)
{
    const struct cfg_text *texts = cfg_items(c, list);
    json_t *array = json_array();

    for (uint32_t i = 0; i < list.count; i++)
        json_array_append_new(array, file_string(cfg_string(c, texts[i])));
    return array;
}

static json_t *
listeners_value(const struct config *c)
{
    json_t *array = json_array();

    for (uint32_t i = 0; i < c->listen.count; i++)
        json_array_append_new(array, file_string(cfg_string(c, cfg_listeners(c)[i].text)));
    return array;
}

/* The routes in the form of their flag. */
static json_t *
routes_value(const struct config *c)
{
    json_t *array = json_array();

    for (uint32_t i = 0; i < c->upstreams.count; i++) {
        const struct cfg_upstream *u = cfg_upstream(c, i);
        const struct cfg_endpoint *endpoints = cfg_endpoints(c, u);
        char text[CFG_ENDPOINTS_MAX * (CFG_URL_MAX + 1) + 160];
        size_t len;

        if (!u->is_route)
            continue;
        len = (size_t)snprintf(text, sizeof text, "%s=", cfg_string(c, u->name));
        for (uint32_t k = 0; k < u->endpoints.count; k++) {
            len += (size_t)snprintf(text + len, sizeof text - len, "%s%s", k ? "," : "",
                                    cfg_string(c, endpoints[k].url));
            ASSERT(len < sizeof text);
        }
        json_array_append_new(array, file_string(text));
    }
    return array;
}

static json_t *
setting_value(const struct config *c, const struct cfg_option *option)
{
    const void *field = (const char *)c + option->offset;

    if (cfg_value_is_number(option))
        return number_value(option, *(const uint64_t *)field);
    if (option->type == CFG_TYPE_TEXT)
        return file_string(cfg_string(c, *(const struct cfg_text *)field));
    if (option->type == CFG_TYPE_LIST)
        return list_value(c, *(const struct cfg_array *)field);
    if (strcmp(option->flag, "listen") == 0)
        return listeners_value(c);
    if (strcmp(option->flag, "admin") == 0)
        return c->admin_off ? json_string("off") : file_string(cfg_string(c, c->admin.text));
    if (strcmp(option->flag, "route") == 0)
        return routes_value(c);
    return NULL; /* --upstream and --upstream-header stand in "mcpServers"; --config was read */
}

static json_t *
urls_value(const struct config *c, const struct cfg_upstream *u)
{
    const struct cfg_endpoint *endpoints = cfg_endpoints(c, u);
    json_t *array;

    if (u->endpoints.count == 1)
        return file_string(cfg_string(c, endpoints[0].url));
    array = json_array();
    for (uint32_t i = 0; i < u->endpoints.count; i++)
        json_array_append_new(array, file_string(cfg_string(c, endpoints[i].url)));
    return array;
}

/* The values of the environment are secrets. */
static json_t *
env_value(const struct config *c, struct cfg_array env)
{
    json_t *object = json_object();

    for (uint32_t i = 0; i < env.count; i++) {
        struct text pair = cfg_text(c, cfg_list(c, env)[i]);
        const char *equals = memchr(pair.at, '=', pair.len);

        ASSERT(equals);
        json_object_setn_new(object, pair.at, (size_t)(equals - pair.at), json_string("***"));
    }
    return object;
}

static void
add_command(json_t *server, const struct config *c, const struct cfg_upstream *u)
{
    const struct cfg_stdio *stdio = &u->stdio;
    const struct cfg_text *words = cfg_list(c, stdio->args);
    const struct cfg_option *share = cfg_option_find("stdio-share", 11),
                            *idle = cfg_option_find("stdio-idle", 10);
    json_t *args = json_array();
    char text[CFG_VALUE_MAX];

    for (uint32_t i = 1; i < stdio->args.count; i++)
        json_array_append_new(args, file_string(cfg_string(c, words[i])));
    json_object_set_new(server, "command", file_string(cfg_string(c, words[0])));
    json_object_set_new(server, "args", args);
    if (stdio->env.count)
        json_object_set_new(server, "env", env_value(c, stdio->env));
    if (stdio->cwd.len)
        json_object_set_new(server, "cwd", file_string(cfg_string(c, stdio->cwd)));
    cfg_value_print(share, stdio->share, text);
    json_object_set_new(server, "share", json_string(text));
    json_object_set_new(server, "max", json_integer(stdio->max));
    json_object_set_new(server, "reserve", json_integer(stdio->reserve));
    cfg_value_print(idle, stdio->idle_ms, text);
    json_object_set_new(server, "idle", json_string(text));
}

static void
add_tls_file(json_t *object, const struct config *c, const char *key, struct cfg_text name,
             struct cfg_text flag)
{
    if (name.len && !text_eq(cfg_text(c, name), cfg_text(c, flag)))
        json_object_set_new(object, key, file_string(cfg_string(c, name)));
}

/* What differs from the flags. */
static void
add_tls(json_t *server, const struct config *c, const struct cfg_tls *tls)
{
    json_t *object = json_object();

    if (!tls->is_system_ca)
        add_tls_file(object, c, "ca", tls->ca.name, c->upstream_ca);
    add_tls_file(object, c, "cert", tls->cert.name, c->upstream_cert);
    add_tls_file(object, c, "key", tls->key.name, c->upstream_key);
    if (tls->verify != (c->upstream_verify != 0))
        json_object_set_new(object, "verify", json_boolean(tls->verify));
    if (json_object_size(object))
        json_object_set(server, "tls", object);
    json_decref(object);
}

static bool
has_tls(const struct config *c, const struct cfg_upstream *u)
{
    for (uint32_t i = 0; i < u->endpoints.count; i++) {
        if (cfg_endpoints(c, u)[i].is_tls)
            return true;
    }
    return false;
}

static json_t *
server_value(const struct config *c, const struct cfg_upstream *u)
{
    const struct cfg_field *fields = cfg_headers(c, u);
    json_t *server = json_object(), *headers = json_object();

    for (uint32_t i = 0; i < u->headers.count; i++)
        json_object_set_new(headers, cfg_string(c, fields[i].name), json_string("***"));
    if (cfg_is_stdio(u))
        add_command(server, c, u);
    else
        json_object_set_new(server, "url", urls_value(c, u));
    if (has_tls(c, u))
        add_tls(server, c, cfg_tls(c, u->tls));
    if (u->headers.count)
        json_object_set_new(server, "headers", json_incref(headers));
    json_decref(headers);
    return server;
}

void
cfg_print_config(FILE *out, const struct config *c)
{
    json_t *servers = json_object(), *settings = json_object(), *root = json_object();

    for (uint32_t i = 0; i < c->upstreams.count; i++) {
        const struct cfg_upstream *u = cfg_upstream(c, i);

        if (!u->is_route && !u->is_demo)
            json_object_set_new(servers, cfg_string(c, u->name), server_value(c, u));
    }
    for (unsigned i = 0; i < cfg_options_count; i++) {
        json_t *value = cfg_options[i].flag ? setting_value(c, &cfg_options[i]) : NULL;

        if (value)
            json_object_set_new(settings, cfg_options[i].flag, value);
    }
    json_object_set_new(root, "mcpServers", servers);
    json_object_set_new(root, "mcpgate", settings);
    json_dumpf(root, out, JSON_INDENT(2));
    fputc('\n', out);
    json_decref(root);
}

void
cfg_print_check(FILE *out, const struct config *c)
{
    unsigned routes = 0, upstreams = 0;

    for (uint32_t i = 0; i < c->upstreams.count; i++) {
        if (cfg_upstream(c, i)->is_route)
            routes++;
        else if (!cfg_upstream(c, i)->is_demo)
            upstreams++;
    }
    fprintf(out, "configuration is good: %u upstream%s, %u route%s%s\n", upstreams, upstreams == 1 ? "" : "s",
            routes, routes == 1 ? "" : "s", upstreams + routes ? "" : ": serves the built-in demo");
}
