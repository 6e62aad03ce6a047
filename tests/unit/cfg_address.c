/* SPDX-License-Identifier: Apache-2.0 */
#include "cfg/address.h"
#include "vectors.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

/* The bytes end at a guard page, so that an over-read crashes. */
static struct text
guarded(const char *s)
{
    size_t len = strlen(s);

    return (struct text){vector_at_guard(s, len), (uint32_t)len};
}

static bool
is(struct text t, const char *want)
{
    return text_eq(t, text_of(want));
}

static void
ip_of(int family, const char *text, uint8_t ip[16])
{
    memset(ip, 0, 16);
    if (!text)
        return;
    if (family == AF_INET)
        memset(ip + 10, 0xff, 2);
    cr_assert_eq(inet_pton(family, text, family == AF_INET ? ip + 12 : ip), 1);
}

Test(url, of_every_good_form_is_taken_apart)
{
    static const struct {
        const char *url, *host, *path, *unix_path;
        unsigned port;
        const char *v4, *v6;
    } rows[] = {
        {"http://search.example", "search.example", "/", "", 80, NULL, NULL},
        {"http://search.example/", "search.example", "/", "", 80, NULL, NULL},
        {"http://search.example/mcp", "search.example", "/mcp", "", 80, NULL, NULL},
        {"ws://search.example/mcp", "search.example", "/mcp", "", 80, NULL, NULL},
        {"wss://search.example", "search.example", "/", "", 443, NULL, NULL},
        {"HTTP://Search:3000/mcp/", "Search", "/mcp/", "", 3000, NULL, NULL},
        {"http://my_service-1:1/a/b%20c;d=e,f", "my_service-1", "/a/b%20c;d=e,f", "", 1, NULL, NULL},
        {"http://a.b.c.:65535/x", "a.b.c.", "/x", "", 65535, NULL, NULL},
        {"http://127.0.0.1:3000/mcp", "127.0.0.1", "/mcp", "", 3000, "127.0.0.1", NULL},
        {"http://10.1.2.3", "10.1.2.3", "/", "", 80, "10.1.2.3", NULL},
        {"http://[::1]:3000/mcp", "::1", "/mcp", "", 3000, NULL, "::1"},
        {"http://[2001:db8::5]", "2001:db8::5", "/", "", 80, NULL, "2001:db8::5"},
        {"https://search.example/mcp", "search.example", "/mcp", "", 443, NULL, NULL},
        {"HTTPS://[::1]:8443", "::1", "/", "", 8443, NULL, "::1"},
        {"http+unix:/run/s.sock:/mcp", "localhost", "/mcp", "/run/s.sock", 0, NULL, NULL},
        {"http+unix:/run/s.sock", "localhost", "/", "/run/s.sock", 0, NULL, NULL},
        {"http://h/@user", "h", "/@user", "", 80, NULL, NULL},
        {"http://1a.2b", "1a.2b", "/", "", 80, NULL, NULL},
    };

    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct cfg_refusal refusal = {0};
        struct cfg_url url;
        uint8_t ip[16];

        memset(&url, 0xa5, sizeof url);
        cr_assert_eq(cfg_parse_url(guarded(rows[i].url), &url, &refusal), 0, "%s %s", rows[i].url,
                     refusal.reason);
        cr_assert(is(url.host, rows[i].host) && is(url.path, rows[i].path) &&
                      is(url.unix_path, rows[i].unix_path),
                  "%s", rows[i].url);
        cr_assert_eq(url.port, rows[i].port, "%s", rows[i].url);
        cr_assert_eq(url.is_literal, rows[i].v4 || rows[i].v6, "%s", rows[i].url);
        cr_assert_eq(url.is_v6, rows[i].v6 != NULL, "%s", rows[i].url);
        ip_of(rows[i].v6 ? AF_INET6 : AF_INET, rows[i].v6 ? rows[i].v6 : rows[i].v4, ip);
        cr_assert(!url.is_literal || memcmp(url.ip, ip, 16) == 0, "%s", rows[i].url);
    }
}

Test(url, of_a_bad_form_is_refused_with_the_reason_and_without_secrets)
{
    static const struct {
        const char *url, *reason; /* the beginning */
        bool is_secret;
    } rows[] = {
        {"", "is not a URL", false},
        {"search", "is not a URL", false},
        {"http:", "is not a URL", false},
        {"http:/x", "is not a URL", false},
        {"ftp://x", "is not a URL", false},
        {"http://", "has a bad host", false},
        {"http:///mcp", "has a bad host", false},
        {"http://:80/", "has a bad host", false},
        {"http://a b/", "has a bad host", false},
        {"http://a..b/", "has a bad host", false},
        {"http://.a/", "has a bad host", false},
        {"http://-a/", "has a bad host", false},
        {"http://1.2.3/", "has a bad host", false},
        {"http://256.1.1.1/", "has a bad host", false},
        {"http://1.2.3.4.5/", "has a bad host", false},
        {"http://a%20b/", "has a bad host", false},
        {"http://::1/", "has a bad host", false},
        {"http://[::1", "has a bad IPv6", false},
        {"http://[]/", "has a bad IPv6", false},
        {"http://[1.2.3.4]/", "has a bad IPv6", false},
        {"http://[fe80::1%eth0]/", "has a bad IPv6", false},
        {"http://[::1]80/", "has text between", false},
        {"http://a:/", "has a bad port", false},
        {"http://a:0/", "has a bad port", false},
        {"http://a:65536/", "has a bad port", false},
        {"http://a:+80/", "has a bad port", false},
        {"http://a:80x/", "has a bad port", false},
        {"http://a/b c", "has a character", false},
        {"http://a/\"", "has a character", false},
        {"http://a/%2", "has a character", false},
        {"http://a/%zz", "has a character", false},
        {"http://a/\r\nX: y", "has a character", false},
        {"http://a/\x7f", "has a character", false},
        {"http://user:secret@a/", "holds user information", true},
        {"http://a/?key=secret", "holds a query", true},
        {"http://a/#part", "holds a query or a fragment", false},
        {"https:a", "is not a URL", false},
        {"https://user:secret@a/", "holds user information", true},
        {"user:secret@a", "is not a URL", true},
        {"stdio:npx -y server", "names a program", false},
        {"http+unix:", "does not name a socket", false},
        {"http+unix:relative:/x", "does not name a socket", false},
        {"http+unix://run/s.sock:/x", "does not name a socket", false},
        {"http+unix:/:/x", "does not name a socket", false},
        {"http+unix:/run/s.sock:x", "has a bad path", false},
        {"http+unix:/run/s.sock:", "has a bad path", false},
    };

    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct cfg_refusal refusal = {0};
        struct cfg_url url;

        cr_assert_eq(cfg_parse_url(guarded(rows[i].url), &url, &refusal), -1, "'%s' was accepted",
                     rows[i].url);
        cr_assert_eq(strncmp(refusal.reason, rows[i].reason, strlen(rows[i].reason)), 0, "'%s' %s",
                     rows[i].url, refusal.reason);
        cr_assert_eq(refusal.is_secret, rows[i].is_secret, "'%s'", rows[i].url);
    }
}

Test(url, cut_short_anywhere_is_read_only_to_its_end)
{
    static const char *const urls[] = {"http://user@[2001:db8::5]:8080/a%20b?x#y",
                                       "http+unix:/run/s.sock:/mcp", "http://a.example:80/%41"};

    for (unsigned i = 0; i < sizeof urls / sizeof *urls; i++) {
        for (size_t len = 0; len <= strlen(urls[i]); len++) {
            struct text cut = {vector_at_guard(urls[i], len), (uint32_t)len};
            struct cfg_refusal refusal = {0};
            struct cfg_url url = {0};
            int result = cfg_parse_url(cut, &url, &refusal);

            cr_assert(result == 0 ? url.path.len > 0 && url.host.len > 0 : refusal.reason != NULL);
        }
    }
}

Test(url, with_a_name_or_socket_of_the_greatest_length_is_taken_and_one_more_is_not)
{
    char url[512], name[300] = "";
    struct cfg_refusal refusal;
    struct cfg_url parsed;

    for (int i = 0; i < 4; i++)
        snprintf(name + strlen(name), sizeof name - strlen(name), "%sa%062d", i ? "." : "", 0);
    snprintf(url, sizeof url, "http://%.253s/", name);
    cr_assert_eq(cfg_parse_url(guarded(url), &parsed, &refusal), 0);
    snprintf(url, sizeof url, "http://%s/", name);
    cr_assert_eq(cfg_parse_url(guarded(url), &parsed, &refusal), -1);
    snprintf(url, sizeof url, "http://a%063d/", 0);
    cr_assert_eq(cfg_parse_url(guarded(url), &parsed, &refusal), -1);
    snprintf(url, sizeof url, "http+unix:/%0106d:/x", 0);
    cr_assert_eq(cfg_parse_url(guarded(url), &parsed, &refusal), 0);
    snprintf(url, sizeof url, "http+unix:/%0107d:/x", 0);
    cr_assert_eq(cfg_parse_url(guarded(url), &parsed, &refusal), -1);
}

Test(listener, of_every_good_form_is_taken_apart)
{
    static const struct {
        const char *text, *v4, *v6, *path;
        unsigned port;
    } rows[] = {
        {"127.0.0.1:8080", "127.0.0.1", NULL, "", 8080},
        {"0.0.0.0:80", "0.0.0.0", NULL, "", 80},
        {"127.0.0.1:0", "127.0.0.1", NULL, "", 0},
        {"127.0.0.1:65535", "127.0.0.1", NULL, "", 65535},
        {"[::]:8080", NULL, "::", "", 8080},
        {"[::1]:0", NULL, "::1", "", 0},
        {"[2001:db8::5]:443", NULL, "2001:db8::5", "", 443},
        {"unix:/run/mcpgate/c.sock", NULL, NULL, "/run/mcpgate/c.sock", 0},
        {"unix:relative.sock", NULL, NULL, "relative.sock", 0},
        {"unix:/run/a:80", NULL, NULL, "/run/a:80", 0},
    };

    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct cfg_place place;
        const char *reason = "";
        uint8_t ip[16];

        memset(&place, 0xa5, sizeof place);
        cr_assert_eq(cfg_parse_listener(guarded(rows[i].text), &place, &reason), 0, "%s %s", rows[i].text,
                     reason);
        cr_assert_eq(place.port, rows[i].port, "%s", rows[i].text);
        cr_assert_eq(place.is_unix, !rows[i].v4 && !rows[i].v6, "%s", rows[i].text);
        cr_assert_eq(place.is_v6, rows[i].v6 != NULL, "%s", rows[i].text);
        cr_assert(is(place.path, rows[i].path), "%s", rows[i].text);
        ip_of(rows[i].v6 ? AF_INET6 : AF_INET, rows[i].v6 ? rows[i].v6 : rows[i].v4, ip);
        cr_assert_eq(memcmp(place.ip, ip, 16), 0, "%s", rows[i].text);
    }
}

Test(listener, of_a_bad_form_is_refused_with_the_reason)
{
    static const struct {
        const char *text, *reason;
    } rows[] = {
        {"", "is not an address"},
        {"8080", "is not an address"},
        {":8080", "is not an address"},
        {"localhost:80", "is not an address"},
        {"::1:80", "is not an address"},
        {"[::1]", "is not an address"},
        {"[::1:80", "is not an address"},
        {"::1]:80", "is not an address"},
        {"[127.0.0.1]:80", "is not an address"},
        {"[]:80", "is not an address"},
        {"127.0.0.1", "is not an address"},
        {"127.0.0.256:80", "is not an address"},
        {"127.1:80", "is not an address"},
        {" 127.0.0.1:80", "is not an address"},
        {"127.0.0.1:", "has a bad port"},
        {"127.0.0.1:65536", "has a bad port"},
        {"127.0.0.1:-1", "has a bad port"},
        {"127.0.0.1:http", "has a bad port"},
        {"127.0.0.1:123456", "has a bad port"},
        {"unix:", "does not name a socket"},
        {"unix:/run/a\nb", "does not name a socket"},
    };

    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct cfg_place place;
        const char *reason = "";

        cr_assert_eq(cfg_parse_listener(guarded(rows[i].text), &place, &reason), -1, "'%s' was accepted",
                     rows[i].text);
        cr_assert_eq(strncmp(reason, rows[i].reason, strlen(rows[i].reason)), 0, "'%s' %s", rows[i].text,
                     reason);
    }
}

Test(listener, takes_a_socket_path_of_107_bytes_and_no_more)
{
    char text[256];
    struct cfg_place place;
    const char *reason;

    snprintf(text, sizeof text, "unix:/%0106d", 0);
    cr_assert_eq(cfg_parse_listener(guarded(text), &place, &reason), 0);
    snprintf(text, sizeof text, "unix:/%0107d", 0);
    cr_assert_eq(cfg_parse_listener(guarded(text), &place, &reason), -1);
}

Test(cidr, holds_the_addresses_of_its_block_and_no_others)
{
    static const struct {
        const char *cidr;
        int family;
        const char *ip;
        bool inside;
    } rows[] = {
        {"10.0.0.0/8", AF_INET, "10.255.0.1", true},
        {"10.0.0.0/8", AF_INET, "11.0.0.0", false},
        {"10.1.2.3", AF_INET, "10.1.2.3", true},
        {"10.1.2.3", AF_INET, "10.1.2.2", false},
        {"10.1.2.3/31", AF_INET, "10.1.2.2", true},
        {"10.1.2.3/31", AF_INET, "10.1.2.4", false},
        {"0.0.0.0/0", AF_INET, "192.0.2.1", true},
        {"0.0.0.0/0", AF_INET6, "2001:db8::1", false},
        {"::/0", AF_INET6, "2001:db8::1", true},
        {"::/0", AF_INET, "192.0.2.1", true},
        {"fd00::/9", AF_INET6, "fd7f::1", true},
        {"fd00::/9", AF_INET6, "fd80::1", false},
        {"::1", AF_INET6, "::1", true},
        {"::1/128", AF_INET6, "::2", false},
    };

    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct cfg_cidr cidr;
        uint8_t ip[16];

        cr_assert_eq(cfg_parse_cidr(guarded(rows[i].cidr), &cidr), 0, "%s", rows[i].cidr);
        ip_of(rows[i].family, rows[i].ip, ip);
        cr_assert_eq(cfg_cidr_has(&cidr, ip), rows[i].inside, "%s in %s", rows[i].ip, rows[i].cidr);
    }
}

Test(cidr, of_a_bad_form_is_refused)
{
    static const char *const wrong[] = {"",   "10.0.0.0/", "10.0.0.0/33",  "10.0.0/8",    "::/129",
                                        "/8", "proxy/8",   "10.0.0.0/8/8", "10.0.0.0/-1", "[::1]/8"};
    struct cfg_cidr cidr;

    for (unsigned i = 0; i < sizeof wrong / sizeof *wrong; i++)
        cr_assert_eq(cfg_parse_cidr(guarded(wrong[i]), &cidr), -1, "'%s'", wrong[i]);
}

Test(origin, is_a_scheme_and_an_authority_without_path)
{
    static const char *const right[] = {"*",
                                        "https://app.example",
                                        "http://localhost:3000",
                                        "http://[::1]:5173",
                                        "vscode-webview://abc",
                                        "http://127.0.0.1"};
    static const char *const wrong[] = {
        "",         "null",        "app.example",       "https://app.example/", "https://",
        "://x",     "https://a b", "https://*.example", "https://a:99999",      "**",
        "ht tp://x"};

    for (unsigned i = 0; i < sizeof right / sizeof *right; i++)
        cr_assert(cfg_is_origin(guarded(right[i])), "'%s'", right[i]);
    for (unsigned i = 0; i < sizeof wrong / sizeof *wrong; i++)
        cr_assert(!cfg_is_origin(guarded(wrong[i])), "'%s'", wrong[i]);
}

Test(field, that_frames_or_routes_a_message_cannot_be_set)
{
    static const char *const right[] = {"Authorization", "X-Api-Key", "accept-language", "x"};
    static const char *const wrong[] = {"",           "Host",     "content-length", "Transfer-Encoding",
                                        "Connection", "TE",       "upgrade",        "a b",
                                        "a:",         "\xc3\xa9", "a\r\n"};

    for (unsigned i = 0; i < sizeof right / sizeof *right; i++)
        cr_assert(cfg_is_settable_field(guarded(right[i])), "'%s'", right[i]);
    for (unsigned i = 0; i < sizeof wrong / sizeof *wrong; i++)
        cr_assert(!cfg_is_settable_field(guarded(wrong[i])), "'%s'", wrong[i]);
    cr_assert(cfg_is_field_value(guarded("Bearer a b\tc")) && cfg_is_field_value(guarded("")));
    cr_assert(!cfg_is_field_value(guarded("a\r\nb")) && !cfg_is_field_value(guarded("a\x01")));
}
