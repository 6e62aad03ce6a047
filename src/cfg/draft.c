/* SPDX-License-Identifier: Apache-2.0 */
#include "cfg/draft.h"

#include "base/check.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

void
draft_init(struct draft *d, char *error)
{
    memset(d, 0, sizeof *d);
    d->error = error;
    for (unsigned i = 0; i < cfg_options_count; i++) {
        const struct cfg_option *option = &cfg_options[i];
        struct setting *setting = &d->settings[i];
        char why[CFG_WHY_MAX];

        if (!option->flag)
            continue;
        setting->origin.label = arena_print(&d->arena, "--%s", option->flag);
        setting->text.text = option->def;
        if (cfg_value_is_number(option))
            ASSERT(cfg_value_parse(option, option->def, &setting->number, why) == 0);
    }
}

void
draft_done(struct draft *d)
{
    for (struct source *source = d->sources; source; source = source->next)
        json_decref(source->root);
    d->sources = NULL;
    arena_done(&d->arena);
}

/* An error is one line, whatever the value it quotes. */
static void
blank_controls(char *s)
{
    for (; *s; s++) {
        if ((unsigned char)*s < 0x20 || *s == 0x7f)
            *s = '?';
    }
}

int
draft_fail(struct draft *d, const struct origin *origin, const char *format, ...)
{
    char place[232] = "", message[CFG_ERROR_MAX]; /* a name of 200 bytes, two numbers, punctuation */
    va_list args;

    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    if (origin && origin->source) {
        unsigned line, column;

        json_where(origin->source->text, &origin->path, &line, &column);
        snprintf(place, sizeof place, "%.200s:%u:%u: ", origin->source->name, line, column);
    }
    snprintf(d->error, CFG_ERROR_MAX, "mcpgate: %s%.128s%s%.400s", place, origin ? origin->label : "",
             origin && origin->label[0] ? ": " : "", message);
    blank_controls(d->error);
    return -EINVAL;
}

struct setting *
draft_setting(struct draft *d, const char *flag)
{
    const struct cfg_option *option = cfg_option_find(flag, strlen(flag));

    ASSERT(option);
    return &d->settings[cfg_option_index(option)];
}

struct cfg_place
draft_place(const char *text)
{
    struct cfg_place place;
    const char *reason;

    ASSERT(cfg_parse_listener(text_of(text), &place, &reason) == 0);
    return place;
}

/* Room for one more element of `size` bytes; returns the array, moved when it was full. */
static void *
grow(struct draft *d, void *array, uint32_t count, uint32_t *room, size_t size)
{
    void *larger;

    if (count < *room)
        return array;
    *room = *room ? *room * 2 : 8;
    larger = arena_get(&d->arena, *room * size);
    if (count)
        memcpy(larger, array, count * size);
    return larger;
}

/* What may be printed as JSON again. */
int
draft_check_utf8(struct draft *d, const char *text, const struct origin *origin)
{
    json_t *probe = json_string(text);

    if (!probe)
        return draft_fail(d, origin, "the value is not UTF-8: write it in UTF-8");
    json_decref(probe);
    return 0;
}

void
draft_add_item(struct draft *d, struct items *items, const char *text, const struct origin *origin)
{
    items->at = grow(d, items->at, items->count, &items->room, sizeof *items->at);
    items->at[items->count++] = (struct item){arena_copy(&d->arena, text, strlen(text)), *origin};
}

void
draft_clear_list(struct draft *d, const struct cfg_option *option, const struct origin *origin)
{
    struct setting *setting = &d->settings[cfg_option_index(option)];

    setting->list.count = 0;
    setting->layer = origin->layer;
    setting->origin = *origin;
}

static int
check_listener(struct draft *d, const char *text, const struct origin *origin)
{
    struct cfg_place place;
    const char *reason;

    if (cfg_parse_listener(text_of(text), &place, &reason) < 0)
        return draft_fail(d, origin, "'%.128s' %s", text, reason);
    return 0;
}

static bool
is_tool_option(const struct cfg_option *option)
{
    return strcmp(option->flag, "allow-tool") == 0 || strcmp(option->flag, "deny-tool") == 0;
}

/* Lists of rules about upstreams. */
static bool
adds_up(const struct cfg_option *option)
{
    return is_tool_option(option) || strcmp(option->flag, "priority") == 0;
}

/* An upstream's name, and patterns without an empty one among them. */
static bool
is_tool_rule(const char *text)
{
    size_t name = strcspn(text, "="), len = strlen(text);

    return cfg_is_upstream_name((struct text){text, (uint32_t)name}) && len > name + 1 &&
           text[name + 1] != ',' && text[len - 1] != ',' && !strstr(text + name, ",,");
}

static bool
is_priority_rule(const char *text)
{
    size_t name = strcspn(text, "=");

    return (*text == '/' || cfg_is_upstream_name((struct text){text, (uint32_t)name})) && text[name] &&
           strcmp(text + name + 1, "critical") != 0 &&
           priority_of_name(text_of(text + name + 1)) != PRIORITY_UNSAID;
}

static int
check_list_element(struct draft *d, const struct cfg_option *option, const char *text,
                   const struct origin *origin)
{
    struct cfg_cidr cidr;

    if (strcmp(option->flag, "listen") == 0)
        return check_listener(d, text, origin);
    if (strcmp(option->flag, "allow-origin") == 0 && !cfg_is_origin(text_of(text)))
        return draft_fail(d, origin,
                          "'%.128s' is not an origin: use scheme://host[:port] without a path, such as "
                          "https://app.example, or '*'",
                          text);
    if (is_tool_option(option) && !is_tool_rule(text))
        return draft_fail(d, origin, "'%.128s' is not %s: use one such as search=read_*,list_*", text,
                          option->metavar);
    if (strcmp(option->flag, "priority") == 0 && !is_priority_rule(text))
        return draft_fail(d, origin, "'%.128s' is not %s: use one such as search=low", text, option->metavar);
    if (strcmp(option->flag, "trusted-proxy") == 0 && cfg_parse_cidr(text_of(text), &cidr) < 0)
        return draft_fail(
            d, origin, "'%.128s' is not an address block: use ADDR or ADDR/BITS, such as 10.0.0.0/8", text);
    return 0;
}

static int
add_to_list(struct draft *d, const struct cfg_option *option, const char *text, const struct origin *origin)
{
    struct setting *setting = &d->settings[cfg_option_index(option)];
    unsigned most = strcmp(option->flag, "listen") == 0 ? CFG_LISTENERS_MAX : CFG_LIST_MAX;

    /* What one place says of an upstream, another does not take back by not saying it: rules add up. */
    if (setting->layer != origin->layer && !adds_up(option))
        draft_clear_list(d, option, origin);
    if (check_list_element(d, option, text, origin) < 0)
        return -EINVAL;
    for (uint32_t i = 0; i < setting->list.count; i++) {
        if (strcmp(setting->list.at[i].text, text) == 0)
            return draft_fail(d, origin, "'%.128s' is given twice: leave one out", text);
    }
    if (setting->list.count == most)
        return draft_fail(d, origin, "more than %u values: leave some out", most);
    draft_add_item(d, &setting->list, text, origin);
    return 0;
}

static bool
is_word(const char *text)
{
    return text[strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")] == 0;
}

static int
check_text(struct draft *d, const struct cfg_option *option, const char *text, const struct origin *origin)
{
    if (strcmp(option->flag, "admin") == 0)
        return strcmp(text, "off") == 0 ? 0 : check_listener(d, text, origin);
    if (strcmp(option->flag, "health-path") == 0 && *text && !cfg_is_path(text_of(text)))
        return draft_fail(d, origin, "'%.128s' is not a path: start with '/', such as /healthz", text);
    if (strcmp(option->flag, "congestion") == 0 && (!is_word(text) || strlen(text) > 15))
        return draft_fail(d, origin,
                          "'%.64s' is not a congestion control: use a name of "
                          "/proc/sys/net/ipv4/tcp_available_congestion_control",
                          text);
    return 0;
}

/* ---- upstreams, routes and headers ---- */

/* Drops the headers that layers below `layer` gave to a server. */
static void
drop_headers(struct draft *d, const char *server, unsigned layer)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < d->headers_count; i++) {
        if (d->headers[i].origin.layer >= layer || strcmp(d->headers[i].server, server) != 0)
            d->headers[kept++] = d->headers[i];
    }
    d->headers_count = kept;
}

static int
check_prefix(struct draft *d, const char *prefix, const struct origin *origin)
{
    size_t len = strlen(prefix);

    if (!cfg_is_path(text_of(prefix)) || len > 128 || (len > 1 && prefix[len - 1] == '/'))
        return draft_fail(
            d, origin,
            "'%.128s' is not a prefix: use a path without a '/' at its end, such as /api, of at most "
            "128 bytes",
            prefix);
    if (strncmp(prefix, "/mcp", 4) == 0 && (len == 4 || prefix[4] == '/'))
        return draft_fail(d, origin, "'%.128s' is taken by the MCP servers: use another prefix", prefix);
    return 0;
}

int
draft_add_server(struct draft *d, const char *name, bool is_route, const struct origin *origin,
                 struct server **ret_server)
{
    struct server *server = NULL;

    if (is_route && check_prefix(d, name, origin) < 0)
        return -EINVAL;
    if (!is_route && !cfg_is_upstream_name(text_of(name)))
        return draft_fail(
            d, origin, "'%.64s' is not an upstream's name: use 1 to 64 letters, digits, '_' and '-'", name);
    for (uint32_t i = 0; i < d->servers_count; i++) {
        if (strcmp(d->servers[i].name, name) == 0)
            server = &d->servers[i];
    }
    if (server && server->origin.layer == origin->layer)
        return draft_fail(d, origin, "'%.128s' is given twice: %s", name,
                          is_route ? "put its URLs into one, separated by commas" : "use another name");
    if (!server && d->servers_count == CFG_UPSTREAMS_MAX)
        return draft_fail(d, origin, "more than %d upstreams and routes: leave some out", CFG_UPSTREAMS_MAX);
    if (server) {
        drop_headers(d, name, origin->layer);
    } else {
        d->servers = grow(d, d->servers, d->servers_count, &d->servers_room, sizeof *d->servers);
        server = &d->servers[d->servers_count++];
    }
    *server = (struct server){
        .name = arena_copy(&d->arena, name, strlen(name)), .is_route = is_route, .origin = *origin};
    *ret_server = server;
    return 0;
}

static int
add_url(struct draft *d, struct server *server, struct text url, const struct origin *origin)
{
    struct cfg_refusal refusal;
    struct cfg_url parsed;
    char *text = arena_copy(&d->arena, url.at, url.len);

    if (draft_check_utf8(d, text, origin) < 0)
        return -EINVAL;
    if (cfg_parse_url(url, &parsed, &refusal) < 0 && refusal.is_secret)
        return draft_fail(d, origin, "the URL of %.128s %s", server->name, refusal.reason);
    if (cfg_parse_url(url, &parsed, &refusal) < 0)
        return draft_fail(d, origin, "'%.128s' %s", text, refusal.reason);
    if (server->urls.count && parsed.is_ws != server->is_ws)
        return draft_fail(
            d, origin,
            "'%.128s' stands beside a URL of %.128s that is %s WebSocket: use a name for each kind", text,
            server->name, server->is_ws ? "a" : "no");
    server->is_ws = parsed.is_ws;
    for (uint32_t i = 0; i < server->urls.count; i++) {
        if (strcmp(server->urls.at[i].text, text) == 0)
            return draft_fail(d, origin, "'%.128s' is given twice: leave one out", text);
    }
    if (server->urls.count == CFG_ENDPOINTS_MAX)
        return draft_fail(d, origin, "%.128s has more than %d URLs: leave some out", server->name,
                          CFG_ENDPOINTS_MAX);
    draft_add_item(d, &server->urls, text, origin);
    return 0;
}

int
draft_add_urls(struct draft *d, struct server *server, const char *urls, const struct origin *origin)
{
    struct text rest = text_of(urls), url;

    if (!server->is_route && strncmp(urls, "stdio:", 6) == 0 && server->urls.count == 0)
        return draft_add_command(d, server, urls + 6, origin);
    if (server->args.count)
        return draft_fail(d, origin, "%.128s is a command already: use one name for each server",
                          server->name);
    while (text_next_element(&rest, &url)) {
        if (add_url(d, server, url, origin) < 0)
            return -EINVAL;
    }
    if (server->urls.count == 0)
        return draft_fail(d, origin, "%.128s has no URL: use one such as http://127.0.0.1:3000/mcp",
                          server->name);
    return 0;
}

int
draft_add_header(struct draft *d, const char *server, const char *field, const char *value,
                 const struct origin *origin)
{
    struct header *header = NULL;
    struct text trimmed = text_trim(text_of(value));

    if (!cfg_is_settable_field(text_of(field)))
        return draft_fail(d, origin,
                          "'%.64s' is not a header that can be set: use a field name that does not frame "
                          "or route messages, such as Authorization",
                          field);
    if (!cfg_is_field_value(trimmed) || trimmed.len > 8192)
        return draft_fail(d, origin,
                          "the value of %.64s holds control characters or is longer than 8192 bytes", field);
    for (uint32_t i = 0; i < d->headers_count; i++) {
        if (strcmp(d->headers[i].server, server) == 0 && strcasecmp(d->headers[i].field, field) == 0)
            header = &d->headers[i];
    }
    if (header && header->origin.layer == origin->layer)
        return draft_fail(d, origin, "%.64s of %.64s is given twice: leave one out", field, server);
    if (!header && d->headers_count == DRAFT_HEADERS_MAX)
        return draft_fail(d, origin, "more than %d headers for upstreams: leave some out", DRAFT_HEADERS_MAX);
    if (!header) {
        d->headers = grow(d, d->headers, d->headers_count, &d->headers_room, sizeof *d->headers);
        header = &d->headers[d->headers_count++];
    }
    *header = (struct header){arena_copy(&d->arena, server, strlen(server)),
                              arena_copy(&d->arena, field, strlen(field)),
                              arena_copy(&d->arena, trimmed.at, trimmed.len), *origin};
    return 0;
}

/* "NAME=URLS" or "/PREFIX=URLS". */
static int
set_server(struct draft *d, const struct cfg_option *option, const char *text, const struct origin *origin)
{
    const bool is_route = strcmp(option->flag, "route") == 0;
    const char *equals = strchr(text, '=');
    const char *example = is_route ? "/api=http://127.0.0.1:3000" : "search=http://127.0.0.1:3000/mcp";
    struct server *server;

    if (!equals && strpbrk(text, "@?"))
        return draft_fail(d, origin, "the value has no '=': use %s, such as %s", option->metavar, example);
    if (!equals)
        return draft_fail(d, origin, "'%.128s' has no '=': use %s, such as %s", text, option->metavar,
                          example);
    if (draft_add_server(d, arena_copy(&d->arena, text, (size_t)(equals - text)), is_route, origin, &server) <
        0)
        return -EINVAL;
    return draft_add_urls(d, server, equals + 1, origin);
}

/* "NAME=FIELD: VALUE"; nothing of a value in the wrong form is shown. */
static int
set_header(struct draft *d, const char *text, const struct origin *origin)
{
    const char *equals = strchr(text, '=');
    const char *colon = equals ? strchr(equals, ':') : NULL;

    if (!colon)
        return draft_fail(d, origin,
                          "the value (not shown) is not of the form 'NAME=FIELD: VALUE': use one such as "
                          "'search=Authorization: Bearer ...'");
    return draft_add_header(d, arena_copy(&d->arena, text, (size_t)(equals - text)),
                            arena_copy(&d->arena, equals + 1, (size_t)(colon - equals - 1)), colon + 1,
                            origin);
}

int
draft_set(struct draft *d, const struct cfg_option *option, const char *text, const struct origin *origin)
{
    struct setting *setting = &d->settings[cfg_option_index(option)];
    char why[CFG_WHY_MAX];
    uint64_t number;

    if (strcmp(option->flag, "upstream-header") != 0 && draft_check_utf8(d, text, origin) < 0)
        return -EINVAL;
    if (strcmp(option->flag, "upstream") == 0 || strcmp(option->flag, "route") == 0)
        return set_server(d, option, text, origin);
    if (strcmp(option->flag, "upstream-header") == 0)
        return set_header(d, text, origin);
    if (option->type == CFG_TYPE_LIST || strcmp(option->flag, "listen") == 0)
        return add_to_list(d, option, text, origin);
    if (cfg_value_is_number(option)) {
        if (cfg_value_parse(option, text, &number, why) < 0)
            return draft_fail(d, origin, "%s", why);
        setting->number = number;
    } else {
        if (check_text(d, option, text, origin) < 0)
            return -EINVAL;
        setting->text = (struct item){arena_copy(&d->arena, text, strlen(text)), *origin};
    }
    setting->layer = origin->layer;
    setting->origin = *origin;
    return 0;
}
