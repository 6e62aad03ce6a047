/* SPDX-License-Identifier: Apache-2.0 */
#include "gate/origin.h"

static bool
origin_is_host(struct text origin, struct text host)
{
    struct text schemes[] = {TEXT("http://"), TEXT("https://")};

    for (unsigned i = 0; i < 2; i++)
        if (text_starts(origin, schemes[i]) &&
            text_eq_nocase((struct text){origin.at + schemes[i].len, origin.len - schemes[i].len}, host))
            return true;
    return false;
}

/* "[::1]" of "[::1]:8080", "localhost" of "localhost". */
static struct text
without_port(struct text host)
{
    const char *end, *colon;
    uint32_t from;

    if (!host.len) /* HTTP/1.0 names none */
        return host;
    end = host.at[0] == '[' ? memchr(host.at, ']', host.len) : NULL;
    from = end ? (uint32_t)(end - host.at) : 0;
    colon = memchr(host.at + from, ':', host.len - from);
    return colon ? (struct text){host.at, (uint32_t)(colon - host.at)} : host;
}

/* "localhost", "[::1]", "127.0.0.1", with a port or without. */
static bool
is_loopback_host(struct text host)
{
    uint32_t n;

    host = without_port(host);
    if (text_eq_nocase(host, TEXT("localhost")) || text_eq(host, TEXT("[::1]")))
        return true;
    for (n = host.len; n && (host.at[n - 1] == '.' || (host.at[n - 1] >= '0' && host.at[n - 1] <= '9')); n--)
        ;
    return !n && text_starts(host, TEXT("127."));
}

/* A page whose own name was made to lead to this machine (DNS rebinding) has an Origin that is the Host: on
 * a loopback address only this machine's own names count. A proxy in front is one of --trusted-proxy. */
static bool
origin_is_own(const struct client *client, const struct http1_head *head)
{
    struct text host = http1_value(head, HTTP_HOST);

    return origin_is_host(http1_value(head, HTTP_ORIGIN), host) &&
           (!client->is_local || client->is_trusted || is_loopback_host(host));
}

bool
origin_allowed(const struct client *client, const struct http1_head *head)
{
    const struct worker *w = client->worker;
    const struct config *c = w->config;
    const struct cfg_text *list = cfg_items(c, c->allow_origin);
    struct text origin = http1_value(head, HTTP_ORIGIN);

    if (!http1_find(head, HTTP_ORIGIN) || origin_is_own(client, head) ||
        (w->admin_origin.len && text_eq_nocase(origin, w->admin_origin)))
        return true;
    for (uint32_t i = 0; i < c->allow_origin.count; i++) {
        struct text allowed = cfg_text(c, list[i]);

        if (text_eq(allowed, TEXT("*")) || text_eq_nocase(allowed, origin))
            return true;
    }
    return false;
}

/* "http://gate.example:8081" lets in that Host, with whatever port: it is the name that an attacker lacks. */
static bool
names_host(struct text origin, struct text host)
{
    const char *name = memmem(origin.at, origin.len, "://", 3);

    if (!name)
        return text_eq(origin, TEXT("*"));
    name += 3;
    return text_eq_nocase(without_port((struct text){name, (uint32_t)(origin.at + origin.len - name)}), host);
}

bool
origin_host_allowed(const struct client *client, const struct http1_head *head)
{
    const struct config *c = client->worker->config;
    const struct cfg_text *list = cfg_items(c, c->allow_origin);
    struct text host = without_port(http1_value(head, HTTP_HOST));

    if (!host.len || !client->is_local || client->is_trusted || is_loopback_host(host))
        return true;
    for (uint32_t i = 0; i < c->allow_origin.count; i++)
        if (names_host(cfg_text(c, list[i]), host))
            return true;
    return false;
}
