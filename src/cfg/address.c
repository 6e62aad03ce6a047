/* SPDX-License-Identifier: Apache-2.0 */
#include "cfg/address.h"

#include <arpa/inet.h>
#include <string.h>

static bool
is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool
is_alnum(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool
is_hex(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* `c` is one of `set`; a NUL never is. */
static bool
is_one_of(char c, const char *set)
{
    return c && strchr(set, c);
}

static bool
text_starts_nocase(struct text t, struct text prefix)
{
    return t.len >= prefix.len && strncasecmp(t.at, prefix.at, prefix.len) == 0;
}

static struct text
after(struct text t, uint32_t n)
{
    return (struct text){t.at + n, t.len - n};
}

/* The index of `c`, or t.len. */
static uint32_t
index_of(struct text t, char c)
{
    const char *found = t.len ? memchr(t.at, c, t.len) : NULL;

    return found ? (uint32_t)(found - t.at) : t.len;
}

/* A decimal port without sign or leading blanks: 1 to 5 digits, at most 65535. */
static bool
parse_port(struct text t, uint16_t *ret)
{
    unsigned port = 0;

    if (t.len < 1 || t.len > 5)
        return false;
    for (uint32_t i = 0; i < t.len; i++) {
        if (!is_digit(t.at[i]))
            return false;
        port = port * 10 + (unsigned)(t.at[i] - '0');
    }
    if (port > 65535)
        return false;
    *ret = (uint16_t)port;
    return true;
}

static bool
parse_ip(struct text t, int family, uint8_t ip[16])
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    char z[INET6_ADDRSTRLEN];
    uint8_t bytes[16];

    if (t.len == 0 || t.len >= sizeof z || memchr(t.at, 0, t.len))
        return false;
    memcpy(z, t.at, t.len);
    z[t.len] = 0;
    if (inet_pton(family, z, bytes) != 1)
        return false;
    if (family == AF_INET6) {
        memcpy(ip, bytes, 16);
        return true;
    }
    memcpy(ip, mapped, sizeof mapped);
    memcpy(ip + 12, bytes, 4);
    return true;
}

/* A name for the resolver: labels of letters, digits, '-' and '_'. One whose last label is a number would be
 * read as an address by some resolvers (WHATWG URL, "ends in a number") and is none here. */
static bool
is_host_name(struct text t)
{
    uint32_t label = 0, start = 0;
    bool numeric = true;

    if (t.len && t.at[t.len - 1] == '.')
        t.len--;
    if (t.len == 0 || t.len > CFG_HOST_MAX)
        return false;
    for (uint32_t i = 0; i < t.len; i++) {
        char c = t.at[i];

        if (c == '.') {
            if (label == 0)
                return false;
            label = 0;
            start = i + 1;
            numeric = true;
            continue;
        }
        if (!is_alnum(c) && c != '_' && (c != '-' || i == start))
            return false;
        numeric = numeric && is_digit(c);
        if (++label > 63)
            return false;
    }
    return label && !numeric;
}

bool
cfg_is_path(struct text path)
{
    if (path.len == 0 || path.at[0] != '/')
        return false;
    for (uint32_t i = 0; i < path.len; i++) {
        char c = path.at[i];

        if (c == '%') {
            if (i + 2 >= path.len || !is_hex(path.at[i + 1]) || !is_hex(path.at[i + 2]))
                return false;
        } else if (!is_alnum(c) && !is_one_of(c, "/-._~!$&'()*+,;=:@")) {
            return false;
        }
    }
    return true;
}

static int
refuse(struct cfg_refusal *refusal, const char *reason)
{
    refusal->reason = reason;
    return -1;
}

static bool
is_socket_path(struct text path)
{
    if (path.len == 0 || path.len > CFG_SUN_PATH_MAX)
        return false;
    for (uint32_t i = 0; i < path.len; i++) {
        if ((unsigned char)path.at[i] < 0x20 || path.at[i] == 0x7f)
            return false;
    }
    return true;
}

/* What follows "http+unix:". The socket's path ends at the first ':'. */
static int
parse_unix_url(struct text rest, struct cfg_url *ret, struct cfg_refusal *refusal)
{
    struct text path = TEXT("/");
    uint32_t end = index_of(rest, ':');

    if (end < rest.len)
        path = after(rest, end + 1);
    rest.len = end;
    if (rest.len < 2 || rest.at[0] != '/' || rest.at[1] == '/' || !is_socket_path(rest))
        return refuse(refusal,
                      "does not name a socket: use http+unix:/path/to/socket:/mcp, the socket's path at "
                      "most 107 bytes and without ':'");
    if (!cfg_is_path(path))
        return refuse(refusal, "has a bad path: after the socket's path use ':' and a path such as /mcp");
    *ret = (struct cfg_url){.host = TEXT("localhost"), .path = path, .unix_path = rest};
    return 0;
}

/* "HOST", "HOST:PORT" or "[V6]:PORT". */
static int
parse_authority(struct text authority, struct cfg_url *ret, struct cfg_refusal *refusal)
{
    struct text port = {0};

    if (authority.len && authority.at[0] == '[') {
        uint32_t end = index_of(authority, ']');

        if (end == authority.len || !parse_ip((struct text){authority.at + 1, end - 1}, AF_INET6, ret->ip))
            return refuse(refusal,
                          "has a bad IPv6 address: write it in brackets, such as http://[::1]:3000/mcp");
        ret->host = (struct text){authority.at + 1, end - 1};
        ret->is_literal = ret->is_v6 = true;
        port = after(authority, end + 1);
        if (port.len && port.at[0] != ':')
            return refuse(refusal, "has text between ']' and the port: use http://[V6]:PORT/PATH");
    } else {
        uint32_t end = index_of(authority, ':');

        ret->host = (struct text){authority.at, end};
        port = after(authority, end);
        ret->is_literal = parse_ip(ret->host, AF_INET, ret->ip);
        if (!ret->is_literal && !is_host_name(ret->host))
            return refuse(refusal,
                          "has a bad host: use a name, an IPv4 address or an IPv6 address in brackets");
    }
    ret->port = ret->is_tls ? 443 : 80;
    if (port.len && (!parse_port(after(port, 1), &ret->port) || ret->port == 0))
        return refuse(refusal, "has a bad port: use a number from 1 to 65535");
    return 0;
}

static const struct scheme {
    struct text prefix;
    bool is_tls, is_ws;
} schemes[] = {{{"http://", 7}, false, false},
               {{"https://", 8}, true, false},
               {{"ws://", 5}, false, true},
               {{"wss://", 6}, true, true}};

/* What follows the scheme. */
static int
parse_http_url(struct text rest, const struct scheme *scheme, struct cfg_url *ret,
               struct cfg_refusal *refusal)
{
    uint32_t end = index_of(rest, '/');
    struct text authority = {rest.at, end};
    struct cfg_url parsed = {
        .path = TEXT("/"), .unix_path = TEXT(""), .is_tls = scheme->is_tls, .is_ws = scheme->is_ws};

    if (end < rest.len)
        parsed.path = after(rest, end);
    if (index_of(authority, '@') < authority.len)
        return refuse(refusal, "holds user information: leave it out and send it in a header, such as "
                               "--upstream-header 'NAME=Authorization: Basic ...'");
    if (parse_authority(authority, &parsed, refusal) < 0)
        return -1;
    if (!cfg_is_path(parsed.path))
        return refuse(refusal, "has a character in its path that must be written as %XX");
    *ret = parsed;
    return 0;
}

int
cfg_parse_url(struct text url, struct cfg_url *ret, struct cfg_refusal *refusal)
{
    refusal->is_secret = index_of(url, '@') < url.len || index_of(url, '?') < url.len;
    if (url.len > CFG_URL_MAX)
        return refuse(refusal, "is longer than 2048 bytes: use a shorter URL");
    if (index_of(url, '?') < url.len || index_of(url, '#') < url.len)
        return refuse(refusal, "holds a query or a fragment: leave it out, and send keys in a header "
                               "(--upstream-header)");
    if (text_starts_nocase(url, TEXT("stdio:")))
        return refuse(refusal, "names a program: it stands alone, as --upstream NAME='stdio:COMMAND ARGS'");
    if (text_starts_nocase(url, TEXT("http+unix:")))
        return parse_unix_url(after(url, 10), ret, refusal);
    for (unsigned i = 0; i < sizeof schemes / sizeof *schemes; i++)
        if (text_starts_nocase(url, schemes[i].prefix))
            return parse_http_url(after(url, schemes[i].prefix.len), &schemes[i], ret, refusal);
    return refuse(refusal, "is not a URL: use http[s]://HOST[:PORT][/PATH], ws[s]://HOST[:PORT][/PATH], "
                           "http+unix:/SOCKET:/PATH or stdio:COMMAND");
}

int
cfg_parse_listener(struct text listener, struct cfg_place *ret, const char **ret_reason)
{
    static const char *const forms = "is not an address to listen on: use ADDR:PORT such as 127.0.0.1:8080, "
                                     "[IPV6]:PORT or unix:PATH";
    struct cfg_place place = {.path = TEXT("")};
    struct text host;
    uint32_t colon = listener.len;

    if (text_starts(listener, TEXT("unix:"))) {
        place.is_unix = true;
        place.path = after(listener, 5);
        *ret_reason = "does not name a socket: use unix:PATH with a path of at most 107 bytes";
        if (!is_socket_path(place.path))
            return -1;
        *ret = place;
        return 0;
    }
    *ret_reason = forms;
    while (colon && listener.at[colon - 1] != ':')
        colon--;
    if (colon == 0)
        return -1;
    host = (struct text){listener.at, colon - 1};
    if (host.len >= 2 && host.at[0] == '[' && host.at[host.len - 1] == ']') {
        place.is_v6 = true;
        host = (struct text){host.at + 1, host.len - 2};
    }
    if (!parse_ip(host, place.is_v6 ? AF_INET6 : AF_INET, place.ip))
        return -1;
    *ret_reason = "has a bad port: use a number from 0 to 65535";
    if (!parse_port(after(listener, colon), &place.port))
        return -1;
    *ret = place;
    return 0;
}

int
cfg_parse_cidr(struct text cidr, struct cfg_cidr *ret)
{
    uint32_t slash = index_of(cidr, '/');
    struct text address = {cidr.at, slash};
    bool is_v4 = index_of(address, ':') == address.len;
    struct cfg_cidr parsed;
    uint16_t bits = is_v4 ? 32 : 128;

    if (!parse_ip(address, is_v4 ? AF_INET : AF_INET6, parsed.ip))
        return -1;
    if (slash < cidr.len) {
        uint16_t given;

        if (!parse_port(after(cidr, slash + 1), &given) || given > bits)
            return -1;
        bits = given;
    }
    parsed.bits = (uint8_t)(is_v4 ? bits + 96 : bits);
    *ret = parsed;
    return 0;
}

bool
cfg_cidr_has(const struct cfg_cidr *cidr, const uint8_t ip[16])
{
    unsigned whole = cidr->bits / 8, rest = cidr->bits % 8;

    if (memcmp(cidr->ip, ip, whole) != 0)
        return false;
    return rest == 0 || ((cidr->ip[whole] ^ ip[whole]) >> (8 - rest)) == 0;
}

bool
cfg_is_origin(struct text origin)
{
    struct cfg_url authority = {0};
    struct cfg_refusal refusal;
    uint32_t colon = index_of(origin, ':');

    if (text_eq(origin, TEXT("*")))
        return true;
    if (colon == 0 || !text_starts(after(origin, colon), TEXT("://")))
        return false;
    for (uint32_t i = 0; i < colon; i++) {
        if (!is_alnum(origin.at[i]) && !is_one_of(origin.at[i], "+-."))
            return false;
    }
    return parse_authority(after(origin, colon + 3), &authority, &refusal) == 0;
}

bool
cfg_is_upstream_name(struct text name)
{
    if (name.len < 1 || name.len > 64)
        return false;
    for (uint32_t i = 0; i < name.len; i++) {
        if (!is_alnum(name.at[i]) && name.at[i] != '_' && name.at[i] != '-')
            return false;
    }
    return true;
}

static bool
is_token(struct text name)
{
    for (uint32_t i = 0; i < name.len; i++) {
        if (!is_alnum(name.at[i]) && !is_one_of(name.at[i], "!#$%&'*+-.^_`|~"))
            return false;
    }
    return name.len > 0;
}

bool
cfg_is_settable_field(struct text name)
{
    static const char *const ours[] = {
        "Host",    "Content-Length", "Transfer-Encoding", "Connection", "Keep-Alive", "Upgrade", "TE",
        "Trailer", "Expect",         "Proxy-Connection"};

    for (unsigned i = 0; i < sizeof ours / sizeof *ours; i++) {
        if (text_eq_nocase(name, text_of(ours[i])))
            return false;
    }
    return is_token(name) && name.len <= 128;
}

bool
cfg_is_field_value(struct text value)
{
    for (uint32_t i = 0; i < value.len; i++) {
        unsigned char c = (unsigned char)value.at[i];

        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return false;
    }
    return true;
}
