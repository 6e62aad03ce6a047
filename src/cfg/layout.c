/* SPDX-License-Identifier: Apache-2.0 */
/* From a checked draft to the flat bytes of struct config (the picture stands in cfg/config.h). */
#include "base/check.h"
#include "cfg/draft.h"

#include <string.h>

/* The mapping in the making: offsets are final, the bytes move as it grows. */
struct blob {
    struct arena *arena;
    char *at;
    uint32_t len, room;
};

static uint32_t
blob_add(struct blob *b, const void *bytes, size_t len, uint32_t align)
{
    uint32_t off = (b->len + align - 1) & ~(align - 1);

    ASSERT(len < UINT32_MAX / 4 && off < UINT32_MAX / 4);
    if (off + len > b->room) {
        uint32_t room = (uint32_t)(off + len) * 2;
        char *larger = arena_get(b->arena, room);

        if (b->len)
            memcpy(larger, b->at, b->len);
        b->at = larger;
        b->room = room;
    }
    if (len)
        memcpy(b->at + off, bytes, len);
    b->len = off + (uint32_t)len;
    return off;
}

static struct cfg_text
blob_text(struct blob *b, struct text t)
{
    struct cfg_text ret = {blob_add(b, t.at, t.len, 1), t.len};

    blob_add(b, "", 1, 1);
    return ret;
}

static struct cfg_array
blob_array(struct blob *b, const void *elements, uint32_t count, size_t size)
{
    return (struct cfg_array){blob_add(b, elements, count * size, 8), count};
}

static struct cfg_listener
lay_listener(struct blob *b, const char *text)
{
    struct cfg_place place = draft_place(text);
    struct cfg_listener ret = {.text = blob_text(b, text_of(text)),
                               .is_unix = place.is_unix,
                               .is_v6 = place.is_v6,
                               .port = place.port,
                               .path = blob_text(b, place.path)};

    memcpy(ret.ip, place.ip, sizeof ret.ip);
    return ret;
}

/* The Host field (RFC 9110 7.2): the port is left out when it is the scheme's. */
static struct cfg_text
lay_authority(struct blob *b, const struct cfg_url *url)
{
    const char *open = url->is_v6 ? "[" : "", *close = url->is_v6 ? "]" : "";
    bool has_port = url->unix_path.len == 0 && url->port != (url->is_tls ? 443 : 80);

    return blob_text(b, text_of(has_port ? arena_print(b->arena, "%s%.*s%s:%u", open, (int)url->host.len,
                                                       url->host.at, close, url->port)
                                         : arena_print(b->arena, "%s%.*s%s", open, (int)url->host.len,
                                                       url->host.at, close)));
}

static struct cfg_endpoint
lay_endpoint(struct blob *b, const char *text, bool is_route)
{
    struct cfg_refusal refusal;
    struct cfg_endpoint ret;
    struct cfg_url url;

    ASSERT(cfg_parse_url(text_of(text), &url, &refusal) == 0);
    if (is_route && url.path.len > 1 && url.path.at[url.path.len - 1] == '/')
        url.path.len--;
    ret = (struct cfg_endpoint){.url = blob_text(b, text_of(text)),
                                .host = blob_text(b, url.host),
                                .authority = lay_authority(b, &url),
                                .path = blob_text(b, url.path),
                                .unix_path = blob_text(b, url.unix_path),
                                .port = url.port,
                                .is_literal = url.is_literal,
                                .is_tls = url.is_tls};
    memcpy(ret.ip, url.ip, sizeof ret.ip);
    return ret;
}

static struct cfg_array
lay_endpoints(struct blob *b, const struct server *server)
{
    struct cfg_endpoint endpoints[CFG_ENDPOINTS_MAX];

    memset(endpoints, 0, sizeof endpoints);
    for (uint32_t i = 0; i < server->urls.count; i++)
        endpoints[i] = lay_endpoint(b, server->urls.at[i].text, server->is_route);
    return blob_array(b, endpoints, server->urls.count, sizeof *endpoints);
}

static struct cfg_array
lay_headers(struct blob *b, const struct draft *d, const char *server)
{
    struct cfg_field fields[CFG_HEADERS_MAX];
    uint32_t count = 0;

    for (uint32_t i = 0; i < d->headers_count; i++) {
        const struct header *h = &d->headers[i];

        if (strcmp(h->server, server) == 0) {
            ASSERT(count < CFG_HEADERS_MAX);
            fields[count].name = blob_text(b, text_of(h->field));
            fields[count++].value = blob_text(b, text_of(h->value));
        }
    }
    return blob_array(b, fields, count, sizeof *fields);
}

static struct cfg_array
lay_texts(struct blob *b, const struct items *items)
{
    struct cfg_text *texts = arena_get(b->arena, (items->count + 1) * sizeof *texts);

    for (uint32_t i = 0; i < items->count; i++)
        texts[i] = blob_text(b, text_of(items->at[i].text));
    return blob_array(b, texts, items->count, sizeof *texts);
}

static struct cfg_stdio
lay_stdio(struct blob *b, struct draft *d, const struct server *server)
{
    return (struct cfg_stdio){
        .args = lay_texts(b, &server->args),
        .env = lay_texts(b, &server->env),
        .cwd = blob_text(b, text_of(server->cwd ? server->cwd : "")),
        .idle_ms = draft_stdio_value(d, server, STDIO_IDLE),
        .max = (uint32_t)draft_stdio_value(d, server, STDIO_MAX),
        .reserve = (uint32_t)draft_stdio_value(d, server, STDIO_RESERVE),
        .share = (uint8_t)draft_stdio_value(d, server, STDIO_SHARE),
    };
}

/* What its own rule says; of several the last one counts. */
static enum priority
priority_of_server(struct draft *d, const struct server *server)
{
    const struct items *rules = &draft_setting(d, "priority")->list;
    size_t len = strlen(server->name);
    enum priority priority = PRIORITY_UNSAID;

    for (uint32_t i = 0; i < rules->count; i++) {
        const char *rule = rules->at[i].text;

        if (strncmp(rule, server->name, len) == 0 && rule[len] == '=')
            priority = priority_of_name(text_of(rule + len + 1));
    }
    return priority;
}

/* Upstreams first, then routes; the demo server when there is neither. */
static struct cfg_array
lay_servers(struct blob *b, struct draft *d)
{
    struct cfg_upstream *all = arena_get(b->arena, (d->servers_count + 1) * sizeof *all);
    uint32_t count = 0;

    for (int routes = 0; routes <= 1; routes++) {
        for (uint32_t i = 0; i < d->servers_count; i++) {
            const struct server *server = &d->servers[i];

            if (server->is_route != (routes == 1))
                continue;
            all[count].name = blob_text(b, text_of(server->name));
            all[count].is_route = server->is_route;
            all[count].is_sse = server->is_sse;
            all[count].is_ws = server->is_ws;
            all[count].priority = (uint8_t)priority_of_server(d, server);
            all[count].endpoints = lay_endpoints(b, server);
            all[count].headers = lay_headers(b, d, server->is_route ? "" : server->name);
            all[count].tls = server->tls_index;
            all[count++].stdio = lay_stdio(b, d, server);
        }
    }
    if (count == 0) {
        all[0].name = blob_text(b, TEXT("demo"));
        all[0].endpoints = blob_array(b, NULL, 0, 1);
        all[0].headers = blob_array(b, NULL, 0, 1);
        all[0].stdio = lay_stdio(b, d, &(const struct server){0});
        all[count++].is_demo = true;
    }
    return blob_array(b, all, count, sizeof *all);
}

/* The key is here for the workers, which cannot read its file. */
static struct cfg_array
lay_tls(struct blob *b, const struct draft *d)
{
    struct cfg_tls *all = arena_get(b->arena, (d->tls_count + 1) * sizeof *all);

    for (uint32_t i = 0; i < d->tls_count; i++) {
        const struct tls_choice *choice = &d->tls[i];

        all[i] = (struct cfg_tls){
            .ca = {blob_text(b, text_of(choice->files[TLS_CA].text)), blob_text(b, choice->pem[TLS_CA])},
            .cert = {blob_text(b, text_of(choice->files[TLS_CERT].text)),
                     blob_text(b, choice->pem[TLS_CERT])},
            .key = {blob_text(b, text_of(choice->files[TLS_KEY].text)), blob_text(b, choice->pem[TLS_KEY])},
            .verify = choice->verify,
            .is_system_ca = choice->is_system_ca};
    }
    return blob_array(b, all, d->tls_count, sizeof *all);
}

static struct cfg_array
lay_listeners(struct blob *b, const struct items *items)
{
    struct cfg_listener listeners[CFG_LISTENERS_MAX];

    memset(listeners, 0, sizeof listeners);
    for (uint32_t i = 0; i < items->count; i++)
        listeners[i] = lay_listener(b, items->at[i].text);
    return blob_array(b, listeners, items->count, sizeof *listeners);
}

/* The table's rows, each at its place in struct config. */
static void
lay_settings(struct blob *b, const struct draft *d, struct config *c)
{
    for (unsigned i = 0; i < cfg_options_count; i++) {
        const struct cfg_option *option = &cfg_options[i];
        const struct setting *setting = &d->settings[i];
        char *field = (char *)c + option->offset;

        if (cfg_value_is_number(option)) {
            memcpy(field, &setting->number, sizeof setting->number);
        } else if (option->type == CFG_TYPE_TEXT) {
            struct cfg_text text = blob_text(b, text_of(setting->text.text));

            memcpy(field, &text, sizeof text);
        } else if (option->type == CFG_TYPE_LIST) {
            struct cfg_array list = lay_texts(b, &setting->list);

            memcpy(field, &list, sizeof list);
        }
    }
}

struct config *
draft_lay_out(struct draft *d)
{
    struct blob b = {.arena = &d->arena};
    struct config c;
    const char *admin = draft_setting(d, "admin")->text.text;

    memset(&c, 0, sizeof c);
    blob_add(&b, &c, sizeof c, 8);
    lay_settings(&b, d, &c);
    c.listen = lay_listeners(&b, &draft_setting(d, "listen")->list);
    c.admin_off = strcmp(admin, "off") == 0;
    c.admin = lay_listener(&b, c.admin_off ? CFG_DEFAULT_ADMIN : admin);
    c.upstreams = lay_servers(&b, d);
    c.tls = lay_tls(&b, d);
    c.magic = CFG_MAGIC;
    c.total = b.len;
    memcpy(b.at, &c, sizeof c);
    return (struct config *)(void *)b.at;
}
