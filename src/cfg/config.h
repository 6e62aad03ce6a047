/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The configuration as every process sees it: one flat, sealed mapping without pointers, made by cfg_load() in the
 * supervisor and handed to the children as a memfd.
 *
 *      +---------------+------------------------------------------+
 *      | struct config | strings, each NUL-terminated, ... | lists |
 *      +---------------+------------------------------------------+
 *      0               sizeof(struct config)                 total
 *
 * A struct cfg_text is {offset from the start of the mapping, length}; cfg_text() gives its bytes.
 */
#ifndef CFG_CONFIG_H
#define CFG_CONFIG_H

#include "base/priority.h"
#include "base/text.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CFG_MAGIC = 0x67666367, CFG_LISTENERS_MAX = 32, CFG_ENDPOINTS_MAX = 16, CFG_HEADERS_MAX = 32, CFG_LIST_MAX = 64,
       CFG_UPSTREAMS_MAX = 1024, CFG_ARGS_MAX = 256, CFG_ENV_MAX = 256 };

enum cfg_mode { MODE_AUTO, MODE_PATH, MODE_MERGED };
enum cfg_forwarded { FORWARDED_X, FORWARDED_RFC7239, FORWARDED_OFF };
enum cfg_log_format { LOG_TEXT, LOG_JSON };
enum cfg_merge_prefix { MERGE_PREFIX_AUTO, MERGE_PREFIX_ALWAYS };
enum cfg_session_binding { BINDING_NONE, BINDING_AUTHORIZATION };
enum cfg_backpressure { BACKPRESSURE_THROTTLE, BACKPRESSURE_DROP, BACKPRESSURE_COMBINE };
enum cfg_stream { CFG_SSE, CFG_WS, CFG_STREAMS };
enum cfg_spin { SPIN_OFF, SPIN_AUTO, SPIN_ON };
enum cfg_share { SHARE_SESSION, SHARE_ALL };

struct cfg_text {
    uint32_t off, len;
};

/* An array in the mapping: `count` elements from byte `off`. */
struct cfg_array {
    uint32_t off, count;
};

struct cfg_listener {
    struct cfg_text text; /* as written: "127.0.0.1:8080", "unix:/run/x" */
    uint8_t is_unix, is_v6;
    uint16_t port;        /* host order; 0: the system picks one */
    uint8_t ip[16];       /* IPv4 as v4-mapped */
    struct cfg_text path; /* unix */
};

struct cfg_endpoint {
    struct cfg_text url;       /* as written */
    struct cfg_text host;      /* name or address, without brackets */
    struct cfg_text authority; /* for the Host field: "host:port", the port left out when it is the scheme's */
    struct cfg_text path;      /* "/mcp"; for a route the prefix that replaces /PREFIX; never empty */
    struct cfg_text unix_path; /* http+unix:/path/to/socket:/mcp; empty otherwise */
    uint16_t port;
    uint8_t is_tls;            /* https:// */
    uint8_t is_literal;        /* host is an IP address: ip holds it */
    uint8_t ip[16];
};

struct cfg_field {
    struct cfg_text name, value;
};

/* A server that the gateway starts and speaks to over its stdin and stdout. */
struct cfg_stdio {
    struct cfg_array args; /* struct cfg_text: the program and its arguments; count 0: no stdio server */
    struct cfg_array env;  /* struct cfg_text: "NAME=VALUE", on top of what every server gets; secrets */
    struct cfg_text cwd;   /* empty: the gateway's */
    uint64_t idle_ms;      /* these four: the upstream's own, or the flags' */
    uint32_t max, reserve;
    uint8_t share;         /* enum cfg_share */
};

/* A PEM file: its name, empty when there is none, and its bytes. */
struct cfg_pem {
    struct cfg_text name, text;
};

/* What the connections of an https:// upstream believe and show. */
struct cfg_tls {
    struct cfg_pem ca, cert, key; /* the key's bytes are a secret */
    bool verify;
    bool is_system_ca; /* nobody has chosen the CAs */
};

/* An MCP upstream or a plain route. */
struct cfg_upstream {
    struct cfg_text name;       /* upstream: NAME; route: "/PREFIX" */
    bool is_route;
    bool is_demo;               /* the built-in server: no endpoints */
    bool is_sse;                /* "type": "sse": HTTP+SSE of 2024-11-05, nobody need ask */
    bool is_ws;                 /* its endpoints are ws:// or wss:// */
    uint8_t priority;           /* enum priority: --priority; PRIORITY_UNSAID: none */
    struct cfg_array endpoints; /* struct cfg_endpoint; none for the demo and for stdio servers */
    struct cfg_array headers;   /* struct cfg_field; values are secrets */
    struct cfg_stdio stdio;
    uint32_t tls; /* index in config.tls, of use to its https:// endpoints */
};

struct config {
    uint32_t magic, total; /* bytes of the whole mapping */
    /* one field a row of options.def: DURATION, SIZE, COUNT, FLAG, CHOICE, STREAM_* as uint64_t; TEXT as cfg_text; LIST as
     * cfg_array of cfg_text */
#define CFG_FIELD_WORKERS(field)  uint64_t field;
#define CFG_FIELD_DURATION(field) uint64_t field;
#define CFG_FIELD_SIZE(field)     uint64_t field;
#define CFG_FIELD_COUNT(field)    uint64_t field;
#define CFG_FIELD_STREAM_DURATION(field) uint64_t field;
#define CFG_FIELD_STREAM_SIZE(field)     uint64_t field;
#define CFG_FIELD_STREAM_COUNT(field)    uint64_t field;
#define CFG_FIELD_FLAG(field)     uint64_t field;
#define CFG_FIELD_CHOICE(field)   uint64_t field;
#define CFG_FIELD_TEXT(field)     struct cfg_text field;
#define CFG_FIELD_LIST(field)     struct cfg_array field;
#define SECTION(title)
#define OPTION_LIST(flag, metavar, help)
#define OPTION(flag, field, TYPE, def, min, max, metavar, help) CFG_FIELD_##TYPE(field)
#include "cfg/options.def"
#undef OPTION
#undef OPTION_LIST
#undef SECTION
    struct cfg_array listen;    /* struct cfg_listener */
    struct cfg_listener admin;
    bool admin_off;
    struct cfg_array upstreams; /* struct cfg_upstream: upstreams first, then routes */
    struct cfg_array tls;       /* struct cfg_tls */
};

/* A value of one of the STREAM_ types is two numbers of 32 bits. */
static inline uint32_t
cfg_of_stream(uint64_t value, enum cfg_stream stream)
{
    return (uint32_t)(value >> 32 * (unsigned)stream);
}

static inline struct text
cfg_text(const struct config *c, struct cfg_text t)
{
    return (struct text){(const char *)c + t.off, t.len};
}

static inline const void *
cfg_items(const struct config *c, struct cfg_array a)
{
    return (const char *)c + a.off;
}

/* NUL-terminated. */
static inline const char *
cfg_string(const struct config *c, struct cfg_text t)
{
    return (const char *)c + t.off;
}

/* c->listen.count of them. */
static inline const struct cfg_listener *
cfg_listeners(const struct config *c)
{
    return (const struct cfg_listener *)cfg_items(c, c->listen);
}

/* Index below c->upstreams.count: upstreams first, then routes. */
static inline const struct cfg_upstream *
cfg_upstream(const struct config *c, uint32_t index)
{
    return (const struct cfg_upstream *)cfg_items(c, c->upstreams) + index;
}

/* u->endpoints.count of them; none for the demo and for stdio servers. */
static inline const struct cfg_endpoint *
cfg_endpoints(const struct config *c, const struct cfg_upstream *u)
{
    return (const struct cfg_endpoint *)cfg_items(c, u->endpoints);
}

/* Index below c->tls.count. */
static inline const struct cfg_tls *
cfg_tls(const struct config *c, uint32_t index)
{
    return (const struct cfg_tls *)cfg_items(c, c->tls) + index;
}

/* u->headers.count of them. */
static inline const struct cfg_field *
cfg_headers(const struct config *c, const struct cfg_upstream *u)
{
    return (const struct cfg_field *)cfg_items(c, u->headers);
}

static inline bool
cfg_is_stdio(const struct cfg_upstream *u)
{
    return u->stdio.args.count > 0;
}

/* The elements of a LIST option: `list.count` of them. */
static inline const struct cfg_text *
cfg_list(const struct config *c, struct cfg_array list)
{
    return (const struct cfg_text *)cfg_items(c, list);
}

#endif
