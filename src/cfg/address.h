/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pure parsers for the addresses that a configuration names: URLs of upstreams, listeners, CIDR blocks,
 * origins, header fields. Nothing is resolved, allocated or opened; what they return points into the caller's
 * bytes or at constants.
 */
#ifndef CFG_ADDRESS_H
#define CFG_ADDRESS_H

#include "base/text.h"

/* Why a URL was refused: `reason` is the clause that follows the quoted value, or "the URL" ("is not a URL:
 * use
 * ..."). With `is_secret` the value may hold a password or key, and must not be shown. */
struct cfg_refusal {
    const char *reason;
    bool is_secret;
};

enum { CFG_SUN_PATH_MAX = 107, CFG_HOST_MAX = 253, CFG_URL_MAX = 2048 };

struct cfg_url {
    struct text host;      /* without brackets; "localhost" for a unix socket */
    struct text path;      /* never empty: "/" when the URL has none */
    struct text unix_path; /* empty: TCP */
    uint16_t port;         /* 80 or 443 when the URL has none; 0 for a unix socket */
    bool is_literal, is_v6, is_tls, is_ws;
    uint8_t ip[16]; /* when is_literal; IPv4 as v4-mapped */
};

/* http[s]://HOST[:PORT][/PATH], http[s]://[V6][:PORT][/PATH], the same of ws[s]:// (RFC 6455 section 3),
 * http+unix:/SOCKET[:/PATH] (RFC 3986 without user
 * information, query and fragment). 0, or -1 with *ret_refusal. */
int cfg_parse_url(struct text url, struct cfg_url *ret, struct cfg_refusal *ret_refusal);

struct cfg_place {
    bool is_unix, is_v6;
    uint16_t port;
    uint8_t ip[16];
    struct text path;
};

/* A listener: A.B.C.D:PORT, [V6]:PORT or unix:PATH. Port 0 is allowed. 0, or -1 with *ret_reason. */
int cfg_parse_listener(struct text listener, struct cfg_place *ret, const char **ret_reason);

/* A block of addresses, both families in one: IPv4 counts as v4-mapped. */
struct cfg_cidr {
    uint8_t ip[16];
    uint8_t bits; /* 0-128 */
};

/* ADDR or ADDR/BITS; bits behind the prefix are ignored. 0 or -1. */
int cfg_parse_cidr(struct text cidr, struct cfg_cidr *ret);
bool cfg_cidr_has(const struct cfg_cidr *cidr, const uint8_t ip[16]);

/* "*" or a serialised origin, scheme://host[:port] without a path (RFC 6454 6.2). */
bool cfg_is_origin(struct text origin);
/* 1 to 64 of [A-Za-z0-9_-]. */
bool cfg_is_upstream_name(struct text name);
/* An absolute path of RFC 3986 characters, without query. */
bool cfg_is_path(struct text path);
/* A field name (token, RFC 9110 5.6.2) that an operator may set: not one that frames or routes the message.
 */
bool cfg_is_settable_field(struct text name);
/* A field value (RFC 9110 5.5) without control characters. */
bool cfg_is_field_value(struct text value);

#endif
