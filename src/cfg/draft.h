/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What cfg_load() has collected so far, with the place that each value came from, so that an error found at
 * the end still names its line. Values are checked one by one as they come in; what depends on several of
 * them is checked in check.c. Private to this layer.
 */
#ifndef CFG_DRAFT_H
#define CFG_DRAFT_H

#include "cfg/address.h"
#include "cfg/cfg.h"
#include "cfg/json_where.h"
#include "cfg/options.h"
#include "cfg/value.h"

#include <jansson.h>

/* Memory of one cfg_load(), freed as a whole. */
struct arena {
    void *chunks;
};

void *arena_get(struct arena *arena, size_t size); /* zeroed, never NULL */
char *arena_copy(struct arena *arena, const char *s, size_t len);
char *arena_print(struct arena *arena, const char *format, ...) __attribute__((format(printf, 2, 3)));
void arena_done(struct arena *arena);

enum { SOURCE_MAX = 1 << 20 };

/* A configuration file; its text and tree live as long as the draft. */
struct source {
    const char *name;
    struct text text;
    json_t *root;
    struct source *next;
};

/* Where a value came from. Layers are 0 for defaults, 1... for files, the highest for the command line: a
 * value of a higher layer wins. */
struct origin {
    const char *label;           /* "--heartbeat", or in a file "heartbeat", "mcpServers.search.url" */
    const struct source *source; /* NULL: the command line or a default */
    struct json_path path;
    unsigned layer;
};

struct item {
    const char *text;
    struct origin origin;
};

/* A growing array of items in the arena. */
struct items {
    struct item *at;
    uint32_t count, room;
};

struct setting {
    uint64_t number;   /* WORKERS, DURATION, SIZE, COUNT, FLAG, CHOICE */
    struct item text;  /* TEXT and --admin */
    struct items list; /* LIST and --listen */
    unsigned layer;    /* that set it */
    struct origin origin;
};

/* What a stdio server may have of its own instead of the flag --stdio-KEY. */
enum stdio_key { STDIO_SHARE, STDIO_MAX, STDIO_RESERVE, STDIO_IDLE, STDIO_KEYS };

/* What https:// may need. */
enum tls_file { TLS_CA, TLS_CERT, TLS_KEY, TLS_FILES };

/* A set of them, which several servers may share. */
struct tls_choice {
    struct item files[TLS_FILES]; /* names; empty: none */
    struct text pem[TLS_FILES];   /* what is in them; the key's is a secret */
    bool verify, is_system_ca;
};

/* An upstream or a route. */
struct server {
    const char *name;
    bool is_route;
    bool is_sse; /* "type": "sse" */
    bool is_ws;  /* its URLs are ws:// or wss:// */
    struct items urls;
    struct origin origin;
    struct items args; /* a stdio server: the program and its arguments */
    struct items env;  /* "NAME=VALUE"; secrets: they never get into an error */
    const char *cwd;   /* NULL: the gateway's */
    bool has_own[STDIO_KEYS];
    uint64_t own[STDIO_KEYS];
    struct item tls[TLS_FILES]; /* its own instead of the flags'; text NULL: the flag's */
    bool has_verify, verify;
    uint32_t tls_index; /* of draft.tls, when one of its URLs is https:// */
};

enum { DRAFT_HEADERS_MAX = 4096 };

struct header {
    const char *server, *field, *value; /* the value is a secret: it never gets into an error */
    struct origin origin;
};

struct draft {
    struct arena arena;
    struct setting settings[CFG_OPTION_ROWS];
    struct server *servers;
    uint32_t servers_count, servers_room;
    struct header *headers;
    uint32_t headers_count, headers_room;
    struct source *sources;
    struct tls_choice *tls;
    uint32_t tls_count;
    char *error; /* CFG_ERROR_MAX bytes */
};

/* All defaults in place. */
void draft_init(struct draft *d, char *error);
void draft_done(struct draft *d);

/* Writes the error line; always -EINVAL, for `return draft_fail(...)`. A NULL origin leaves out the place. */
int draft_fail(struct draft *d, const struct origin *origin, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* One value of an option, as text. A list gets it as one more element; the first of a layer drops those of
 * the layers below. 0 or -EINVAL. */
int draft_set(struct draft *d, const struct cfg_option *option, const char *text,
              const struct origin *origin);
/* An empty list in a file: drops what lower layers gave. */
void draft_clear_list(struct draft *d, const struct cfg_option *option, const struct origin *origin);

/* One more element, copied; and a value that is not UTF-8 is an error. */
void draft_add_item(struct draft *d, struct items *items, const char *text, const struct origin *origin);
int draft_check_utf8(struct draft *d, const char *text, const struct origin *origin);

/* "NAME" and its URLs; the origin is the URL's. A server of the same name in a lower layer is replaced, in
 * the same layer it is an error. */
int draft_add_server(struct draft *d, const char *name, bool is_route, const struct origin *origin,
                     struct server **ret_server);
/* One or more URLs, separated by commas. */
int draft_add_urls(struct draft *d, struct server *server, const char *urls, const struct origin *origin);
/* stdio.c. One more word of a stdio server's command line; the first is the program. */
int draft_add_arg(struct draft *d, struct server *server, const char *arg, const struct origin *origin);
/* A whole command line, split into words as a shell does, quotes and all, but nothing is expanded. */
int draft_add_command(struct draft *d, struct server *server, const char *line, const struct origin *origin);
int draft_add_env(struct draft *d, struct server *server, const char *name, const char *value,
                  const struct origin *origin);
/* "share", "max", "reserve", "idle"; *ret_known is false for any other key. */
int draft_set_own(struct draft *d, struct server *server, const char *key, const char *value,
                  const struct origin *origin, bool *ret_known);
/* The server's own value or the flag's. */
uint64_t draft_stdio_value(struct draft *d, const struct server *server, enum stdio_key key);
extern const char *const stdio_key_names[STDIO_KEYS];

/* The value is not copied into any error. */
int draft_add_header(struct draft *d, const char *server, const char *field, const char *value,
                     const struct origin *origin);

/* A listener's text that was checked before. */
struct cfg_place draft_place(const char *text);
/* A setting by its flag, which must exist. */
struct setting *draft_setting(struct draft *d, const char *flag);

/* args.c: the command line. `*ret_action` says what it asks for; on CFG_HELP and CFG_VERSION the draft is of
 * no use. */
int draft_read_args(struct draft *d, int argc, char **argv, enum cfg_action *ret_action);
/* file.c: one file, as layer `layer`; and the same for a text in memory, which must outlive the draft. */
int draft_read_file(struct draft *d, const char *name, unsigned layer);
int draft_read_text(struct draft *d, const char *name, struct text text, unsigned layer);
/* All of the file `name`, at most `most` bytes; an error ends with `way_out`. */
int draft_read_whole(struct draft *d, const char *name, const struct origin *origin, uint32_t most,
                     const char *way_out, struct text *ret);
/* tls.c: reads the files that https:// servers need. 0 or -EINVAL. */
int draft_load_tls(struct draft *d);
extern const char *const tls_file_keys[TLS_FILES]; /* in a file: "ca", "cert", "key" */
/* check.c: fills in what has a default by circumstance and checks the whole. 0 or -EINVAL. */
int draft_check(struct draft *d);
/* layout.c: the flat configuration, in the arena's memory. */
struct config *draft_lay_out(struct draft *d);

#endif
