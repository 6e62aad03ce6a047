/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Command lines of mcpload: each subcommand has one table of flags; the parser, the defaults and --help come
 * from it.
 *
 *     static const struct flag serve_flags[] = {
 *         {"reply-bytes", FLAG_BYTES, offsetof(struct serve_config, reply_bytes), "300", "N", "body of a
 * plain reply"}, {0},
 *     };
 */
#ifndef MCPLOAD_FLAGS_H
#define MCPLOAD_FLAGS_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum flag_kind {
    FLAG_TEXT,   /* const char *, points into argv */
    FLAG_COUNT,  /* uint64_t */
    FLAG_BYTES,  /* uint64_t; suffixes k, m, g of 1024 */
    FLAG_TIME,   /* uint64_t nanoseconds; suffixes us, ms, s, m, h; none means seconds */
    FLAG_RATE,   /* double, per second */
    FLAG_SWITCH, /* bool; takes no value */
    FLAG_LIST,   /* struct flag_list; may be repeated */
};

enum { FLAG_LIST_MAX = 32 };

struct flag_list {
    const char *items[FLAG_LIST_MAX];
    unsigned count;
};

struct flag {
    const char *name; /* without "--"; NULL ends the table */
    enum flag_kind kind;
    size_t offset;        /* of the field in the configuration struct */
    const char *fallback; /* as it would be written; NULL: zero */
    const char *argument; /* its name in --help; NULL for a switch */
    const char *help;
};

/* A table and the struct that it fills, zeroed by the caller. */
struct flag_set {
    const struct flag *flags; /* NULL ends an array of these */
    void *config;
};

/* Fills the configurations with the defaults, then with argv[0..argc). Takes --name VALUE and --name=VALUE.
 * Words that are no flags go to *ret_words when it is not NULL. 0, or -EINVAL with one line in why[]. */
int flags_parse(const struct flag_set *sets, int argc, char **argv, struct flag_list *ret_words, char *why,
                size_t why_size);

void flags_help(const struct flag *flags, FILE *out);

/* 0 or -EINVAL; *ret untouched then. */
int flags_bytes(const char *text, uint64_t *ret);
int flags_time(const char *text, uint64_t *ret_ns);

#endif
