/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command line: `--flag value`, `--flag=value`, `-p PORT`, `-pPORT`, `-h`. Own code instead of
 * getopt_long(): it does not reorder argv or keep state, so that a reload can read the same command line
 * again; flags are never abbreviated; and an error can name the flag that was meant.
 */
#include "cfg/draft.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* One flag as given. */
struct given {
    const struct cfg_option *option; /* NULL: extra */
    const struct cfg_extra_flag *extra;
    const char *value;
    struct origin origin;
};

struct args {
    struct draft *d;
    char **argv;
    int argc, next;
    struct given *given;
    unsigned count;
    bool saw_header; /* a stray argument may be a part of a secret from here on */
};

static int
fail_unknown(struct args *a, const char *name, size_t len)
{
    const char *near = cfg_nearest_flag(name, len, 1);

    if (near)
        return draft_fail(a->d, NULL, "--%.*s: no such flag: did you mean --%s?", (int)(len > 64 ? 64 : len),
                          name, near);
    return draft_fail(a->d, NULL, "--%.*s: no such flag: see mcpgate --help", (int)(len > 64 ? 64 : len),
                      name);
}

static const struct cfg_extra_flag *
find_extra(const char *name, size_t len, char letter)
{
    for (unsigned i = 0; i < cfg_extra_flags_count; i++) {
        const struct cfg_extra_flag *extra = &cfg_extra_flags[i];

        if (letter ? extra->letter == letter
                   : extra->flag && strlen(extra->flag) == len && memcmp(extra->flag, name, len) == 0)
            return extra;
    }
    return NULL;
}

/* The value of a flag: what is attached to it, or the next argument. */
static int
take_value(struct args *a, const char *label, const char *metavar, const char *attached, const char **ret)
{
    const struct origin origin = {.label = label};

    if (attached) {
        *ret = attached;
        return 0;
    }
    if (a->next == a->argc)
        return draft_fail(a->d, &origin, "needs a value: %s", metavar);
    *ret = a->argv[a->next++];
    return 0;
}

static int
read_long(struct args *a, const char *name, struct given *ret)
{
    size_t len = strcspn(name, "=");
    const char *attached = name[len] ? name + len + 1 : NULL;

    ret->origin.label = arena_print(&a->d->arena, "--%.*s", (int)(len > 64 ? 64 : len), name);
    ret->option = cfg_option_find(name, len);
    if (ret->option) {
        a->saw_header = a->saw_header || strcmp(ret->option->flag, "upstream-header") == 0;
        return take_value(a, ret->origin.label, ret->option->metavar, attached, &ret->value);
    }
    ret->extra = find_extra(name, len, 0);
    if (!ret->extra)
        return fail_unknown(a, name, len);
    if (attached)
        return draft_fail(a->d, &ret->origin, "takes no value: leave out what follows the '='");
    return 0;
}

static int
read_short(struct args *a, const char *arg, struct given *ret)
{
    ret->origin.label = arena_print(&a->d->arena, "-%c", arg[1]);
    ret->extra = find_extra(NULL, 0, arg[1]);
    if (!ret->extra || (!ret->extra->metavar && arg[2]))
        return draft_fail(a->d, NULL, "%.32s: no such flag: see mcpgate --help", arg);
    if (!ret->extra->metavar)
        return 0;
    return take_value(a, ret->origin.label, ret->extra->metavar, arg[2] ? arg + 2 : NULL, &ret->value);
}

static int
read_one(struct args *a, struct given *ret)
{
    int index = a->next;
    const char *arg = a->argv[a->next++];

    if (arg[0] == '-' && arg[1] == '-' && arg[2])
        return read_long(a, arg + 2, ret);
    if (arg[0] == '-' && arg[1] && arg[1] != '-')
        return read_short(a, arg, ret);
    if (a->saw_header)
        return draft_fail(a->d, NULL, "argument %d is not a flag: put values that hold blanks in quotes",
                          index);
    return draft_fail(a->d, NULL, "'%.64s' is not a flag: see mcpgate --help", arg);
}

static enum cfg_action
action_of(const struct cfg_extra_flag *extra)
{
    static const struct {
        const char *flag;
        enum cfg_action action;
    } actions[] = {{"help", CFG_HELP},
                   {"version", CFG_VERSION},
                   {"check", CFG_CHECK},
                   {"print-config", CFG_PRINT_CONFIG}};

    for (unsigned i = 0; i < sizeof actions / sizeof *actions; i++) {
        if (extra->flag && strcmp(extra->flag, actions[i].flag) == 0)
            return actions[i].action;
    }
    return CFG_RUN;
}

/* Splits argv into flags; --help and --version end it, so that they work whatever else is wrong behind them.
 */
static int
split(struct args *a, enum cfg_action *ret_action)
{
    *ret_action = CFG_RUN;
    while (a->next < a->argc) {
        struct given *given = &a->given[a->count];
        enum cfg_action action;

        if (read_one(a, given) < 0)
            return -EINVAL;
        a->count++;
        action = given->extra ? action_of(given->extra) : CFG_RUN;
        if (action != CFG_RUN)
            *ret_action = action;
        if (action == CFG_HELP || action == CFG_VERSION)
            return 0;
    }
    return 0;
}

static int
apply_port(struct draft *d, const struct given *g)
{
    const struct cfg_option *listen = cfg_option_find("listen", strlen("listen"));
    struct setting *setting = &d->settings[cfg_option_index(listen)];
    struct cfg_place place;
    const char *reason;
    char *text = arena_print(&d->arena, "127.0.0.1:%s", g->value);

    if (setting->layer == g->origin.layer)
        return draft_fail(d, &g->origin,
                          "'%.16s' beside --listen or another -p: use one --listen for each address", g->value);
    if (cfg_parse_listener(text_of(text), &place, &reason) < 0)
        return draft_fail(d, &g->origin, "'%.64s' is not a port: use a number from 0 to 65535", g->value);
    return draft_set(d, listen, text, &g->origin);
}

static int
apply(struct draft *d, const struct given *g)
{
    if (g->extra)
        return g->extra->letter == 'p' ? apply_port(d, g) : 0;
    if (strcmp(g->option->flag, "config") == 0)
        return 0;
    return draft_set(d, g->option, g->value, &g->origin);
}

int
draft_read_args(struct draft *d, int argc, char **argv, enum cfg_action *ret_action)
{
    struct args a = {.d = d, .argv = argv, .argc = argc, .next = 1};
    unsigned layer = 1;

    if (argc > 1)
        a.given = arena_get(&d->arena, (size_t)argc * sizeof *a.given);
    if (split(&a, ret_action) < 0)
        return -EINVAL;
    if (*ret_action == CFG_HELP || *ret_action == CFG_VERSION)
        return 0;
    for (unsigned i = 0; i < a.count; i++) {
        const struct given *g = &a.given[i];

        if (g->option && strcmp(g->option->flag, "config") == 0 && draft_read_file(d, g->value, layer++) < 0)
            return -EINVAL;
    }
    for (unsigned i = 0; i < a.count; i++) {
        a.given[i].origin.layer = layer;
        if (apply(d, &a.given[i]) < 0)
            return -EINVAL;
    }
    return 0;
}
