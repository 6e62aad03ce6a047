/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of a draft that belong to servers on stdin and stdout: command lines, environment, own limits. */
#include "base/check.h"
#include "cfg/draft.h"

#include <errno.h>
#include <string.h>

const char *const stdio_key_names[STDIO_KEYS] = {
    [STDIO_SHARE] = "share", [STDIO_MAX] = "max", [STDIO_RESERVE] = "reserve", [STDIO_IDLE] = "idle"};

int
draft_add_arg(struct draft *d, struct server *server, const char *arg, const struct origin *origin)
{
    if (draft_check_utf8(d, arg, origin) < 0)
        return -EINVAL;
    if (server->args.count == 0 && !arg[0])
        return draft_fail(d, origin, "%.64s has no program: write one behind stdio:, such as stdio:npx",
                          server->name);
    if (server->args.count == CFG_ARGS_MAX)
        return draft_fail(d, origin, "%.64s has more than %d arguments: leave some out", server->name,
                          CFG_ARGS_MAX);
    draft_add_item(d, &server->args, arg, origin);
    return 0;
}

/* The word at *line goes to `word`, without its quotes; moves *line behind it. False: a quote is not closed.
 * As in a shell (POSIX 2.2), but neither variables nor patterns mean anything. */
static bool
take_word(const char **line, char *word)
{
    const char *at = *line;
    char quote = 0;

    for (; *at && (quote || !strchr(" \t\n", *at)); at++) {
        if (quote == '\'' && *at != '\'') {
            *word++ = *at;
        } else if (quote && *at == quote) {
            quote = 0;
        } else if (!quote && (*at == '\'' || *at == '"')) {
            quote = *at;
        } else if (*at == '\\' && at[1] && (!quote || strchr("\"\\$`", at[1]))) {
            *word++ = *++at;
        } else {
            *word++ = *at;
        }
    }
    *word = '\0';
    *line = at;
    return !quote;
}

int
draft_add_command(struct draft *d, struct server *server, const char *line, const struct origin *origin)
{
    char *word = arena_get(&d->arena, strlen(line) + 1);

    for (;;) {
        line += strspn(line, " \t\n");
        if (!*line && server->args.count)
            return 0;
        if (!take_word(&line, word))
            return draft_fail(d, origin, "the command of %.64s has a quote that is not closed: close it",
                              server->name);
        if (draft_add_arg(d, server, word, origin) < 0)
            return -EINVAL;
    }
}

int
draft_add_env(struct draft *d, struct server *server, const char *name, const char *value,
              const struct origin *origin)
{
    if (!name[0] || strchr(name, '='))
        return draft_fail(d, origin, "'%.64s' is not a variable's name: use one without '='", name);
    if (server->env.count == CFG_ENV_MAX)
        return draft_fail(d, origin, "%.64s has more than %d variables: leave some out", server->name,
                          CFG_ENV_MAX);
    draft_add_item(d, &server->env, arena_print(&d->arena, "%s=%s", name, value), origin);
    return 0;
}

static const struct cfg_option *
option_of(enum stdio_key key)
{
    static const char *const flags[STDIO_KEYS] = {[STDIO_SHARE] = "stdio-share",
                                                  [STDIO_MAX] = "stdio-max",
                                                  [STDIO_RESERVE] = "stdio-reserve",
                                                  [STDIO_IDLE] = "stdio-idle"};
    const struct cfg_option *option = cfg_option_find(flags[key], strlen(flags[key]));

    ASSERT(option);
    return option;
}

int
draft_set_own(struct draft *d, struct server *server, const char *key, const char *value,
              const struct origin *origin, bool *ret_known)
{
    char why[CFG_WHY_MAX];

    *ret_known = false;
    for (unsigned i = 0; i < STDIO_KEYS; i++) {
        if (strcmp(key, stdio_key_names[i]) != 0)
            continue;
        *ret_known = server->has_own[i] = true;
        if (cfg_value_parse(option_of((enum stdio_key)i), value, &server->own[i], why) < 0)
            return draft_fail(d, origin, "%s", why);
    }
    return 0;
}

uint64_t
draft_stdio_value(struct draft *d, const struct server *server, enum stdio_key key)
{
    return server->has_own[key] ? server->own[key] : d->settings[cfg_option_index(option_of(key))].number;
}
