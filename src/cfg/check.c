/* SPDX-License-Identifier: Apache-2.0 */
/* The last look at a draft: the defaults that depend on the machine, and the checks of several values
 * together. */
#include "base/check.h"
#include "cfg/draft.h"
#include "cfg/paths.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* ---- checks ---- */

/* The later of the two that somebody set: the one to point at. */
static const struct origin *
later_of(const struct setting *a, const struct setting *b)
{
    return a->layer >= b->layer ? &a->origin : &b->origin;
}

static int
check_at_most(struct draft *d, const char *low, const char *high, bool equal_is_fine)
{
    const struct setting *a = draft_setting(d, low), *b = draft_setting(d, high);
    char text_a[CFG_VALUE_MAX], text_b[CFG_VALUE_MAX];

    if (a->number < b->number || (equal_is_fine && a->number == b->number))
        return 0;
    if (a->layer == 0) { /* only the other was chosen: this one follows */
        draft_setting(d, low)->number = equal_is_fine ? b->number : b->number / 4;
        return 0;
    }
    cfg_value_print(cfg_option_find(low, strlen(low)), a->number, text_a);
    cfg_value_print(cfg_option_find(high, strlen(high)), b->number, text_b);
    return draft_fail(d, later_of(a, b), "--%s %s is not %s --%s %s: change one of them", low, text_a,
                      equal_is_fine ? "at most" : "below", high, text_b);
}

static int
check_servers(struct draft *d)
{
    const struct setting *most = draft_setting(d, "max-upstreams");

    if (d->servers_count > most->number)
        return draft_fail(d, &d->servers[most->number].origin,
                          "%u upstreams and routes are more than --max-upstreams: raise it",
                          d->servers_count);
    return 0;
}

static int
check_stdio(struct draft *d)
{
    for (uint32_t i = 0; i < d->servers_count; i++) {
        const struct server *server = &d->servers[i];
        uint64_t reserve = draft_stdio_value(d, server, STDIO_RESERVE),
                 most = draft_stdio_value(d, server, STDIO_MAX);

        if (server->args.count && reserve >= most)
            return draft_fail(d, &server->origin,
                              "%.64s: a reserve of %u leaves none of its %u processes for sessions: lower "
                              "--stdio-reserve or raise --stdio-max",
                              server->name, (unsigned)reserve, (unsigned)most);
    }
    return 0;
}

/* That there is an upstream of this name, or a route of this prefix. */
static int
check_server_name(struct draft *d, const char *name, const struct origin *origin)
{
    const char *names[CFG_UPSTREAMS_MAX], *near;
    bool is_route = *name == '/';
    unsigned count = 0;

    for (uint32_t i = 0; i < d->servers_count && count < CFG_UPSTREAMS_MAX; i++) {
        if (d->servers[i].is_route != is_route)
            continue;
        if (strcmp(d->servers[i].name, name) == 0)
            return 0;
        names[count++] = d->servers[i].name;
    }
    near = cfg_nearest(name, strlen(name), names, count);
    return draft_fail(d, origin, "there is no %s '%.64s'%s%.64s%s", is_route ? "route" : "upstream", name,
                      near       ? ": did you mean "
                      : is_route ? ": name one of --route"
                                 : ": name one of --upstream",
                      near ? near : "", near ? "?" : "");
}

static int
check_headers(struct draft *d)
{
    for (uint32_t i = 0; i < d->headers_count; i++) {
        const struct header *h = &d->headers[i];
        unsigned of_server = 0;

        for (uint32_t k = 0; k < d->headers_count; k++)
            of_server += strcmp(d->headers[k].server, h->server) == 0;
        if (check_server_name(d, h->server, &h->origin) < 0)
            return -EINVAL;
        if (of_server > CFG_HEADERS_MAX)
            return draft_fail(d, &h->origin, "%.64s has more than %d headers: leave some out", h->server,
                              CFG_HEADERS_MAX);
    }
    return 0;
}

static int
check_tool_rules(struct draft *d)
{
    static const char *const flags[] = {"allow-tool", "deny-tool"};

    for (unsigned f = 0; f < 2; f++) {
        const struct items *rules = &draft_setting(d, flags[f])->list;

        for (uint32_t i = 0; i < rules->count; i++) {
            const char *rule = rules->at[i].text, *name = arena_copy(&d->arena, rule, strcspn(rule, "="));

            if (check_server_name(d, name, &rules->at[i].origin) < 0)
                return -EINVAL;
            if (!draft_setting(d, "era-ttl")->number)
                return draft_fail(
                    d, &rules->at[i].origin,
                    "not with --era-ttl 0, which passes messages as they are: leave one of the two out");
        }
    }
    return 0;
}

static int
check_priorities(struct draft *d)
{
    const struct items *rules = &draft_setting(d, "priority")->list;

    for (uint32_t i = 0; i < rules->count; i++) {
        const char *rule = rules->at[i].text, *name = arena_copy(&d->arena, rule, strcspn(rule, "="));

        if (check_server_name(d, name, &rules->at[i].origin) < 0)
            return -EINVAL;
    }
    return 0;
}

/* Whether a tool NAME__tool of one upstream could be taken for another's. */
static bool
names_clash(const char *name, const char *other)
{
    size_t len = strlen(name);

    return strncmp(name, other, len) == 0 && other[len] == '_' && (other[len + 1] == '_' || !other[len + 1]);
}

static int
check_merged_names(struct draft *d)
{
    if (draft_setting(d, "mode")->number == MODE_PATH)
        return 0;
    for (uint32_t i = 0; i < d->servers_count; i++) {
        for (uint32_t k = 0; k < d->servers_count; k++) {
            const struct server *a = &d->servers[i], *b = &d->servers[k];

            if (!a->is_route && !b->is_route && names_clash(a->name, b->name))
                return draft_fail(d, &b->origin,
                                  "%.64s__... could be a tool of '%.64s' or of '%.64s': rename one, or set "
                                  "--mode path",
                                  a->name, a->name, b->name);
        }
    }
    return 0;
}

static bool
is_same_place(const struct cfg_place *a, const struct cfg_place *b)
{
    if (a->is_unix != b->is_unix)
        return false;
    if (a->is_unix)
        return text_eq(a->path, b->path);
    return a->port && a->port == b->port && a->is_v6 == b->is_v6 && memcmp(a->ip, b->ip, sizeof a->ip) == 0;
}

/* Two listeners on one address, the admin one included. */
static int
check_listeners(struct draft *d)
{
    const struct items *listen = &draft_setting(d, "listen")->list;
    const struct setting *admin = draft_setting(d, "admin");
    bool has_admin = strcmp(admin->text.text, "off") != 0;

    for (uint32_t i = 0; i < listen->count; i++) {
        struct cfg_place place = draft_place(listen->at[i].text);

        for (uint32_t k = 0; k < i; k++) {
            struct cfg_place other = draft_place(listen->at[k].text);

            if (is_same_place(&place, &other))
                return draft_fail(d, &listen->at[i].origin,
                                  "'%.128s' and '%.128s' are one address: leave one out", listen->at[k].text,
                                  listen->at[i].text);
        }
        if (has_admin) {
            struct cfg_place other = draft_place(admin->text.text);

            if (is_same_place(&place, &other))
                return draft_fail(d, later_of(admin, draft_setting(d, "listen")),
                                  "'%.128s' is the clients' and the admin listener: use another --admin, or "
                                  "--admin off",
                                  listen->at[i].text);
        }
    }
    return 0;
}

/* ---- defaults of this machine ---- */

static void
set_default(struct draft *d, const char *flag, const char *text)
{
    draft_setting(d, flag)->text.text = arena_copy(&d->arena, text, strlen(text));
}

/* An explicit directory or file becomes absolute: children and later reloads may run elsewhere. */
static int
make_absolute(struct draft *d, const char *flag, size_t most)
{
    struct setting *setting = draft_setting(d, flag);
    char path[CFG_PATH_MAX];

    if (cfg_absolute_path(setting->text.text, path, sizeof path) < 0 || strlen(path) > most)
        return draft_fail(d, &setting->origin, "'%.128s' is too long: use a path of at most %zu bytes",
                          setting->text.text, most);
    set_default(d, flag, path);
    return 0;
}

static int
resolve_run_dir(struct draft *d)
{
    struct setting *setting = draft_setting(d, "run-dir");
    char path[CFG_PATH_MAX] = "";
    int result;

    if (setting->text.text[0])
        return make_absolute(d, "run-dir", CFG_RUN_DIR_MAX);
    result = cfg_default_run_dir(path, sizeof path);
    if (result == -EPERM)
        return draft_fail(d, &setting->origin,
                          "%.128s is not a directory of this user with mode 0700: remove it, or "
                          "name another directory with --run-dir",
                          path);
    if (result < 0 || strlen(path) > CFG_RUN_DIR_MAX)
        return draft_fail(d, &setting->origin,
                          "the default place is too long for unix sockets: name a directory "
                          "with --run-dir");
    set_default(d, "run-dir", path);
    return 0;
}

static int
resolve_state(struct draft *d)
{
    struct setting *state = draft_setting(d, "state-dir");
    char path[CFG_PATH_MAX];

    if (!state->text.text[0]) {
        if (cfg_default_state_dir(path, sizeof path) < 0)
            return draft_fail(d, &state->origin,
                              "there is no default place, as this user has no home directory: "
                              "name a directory with --state-dir");
        set_default(d, "state-dir", path);
    }
    if (make_absolute(d, "state-dir", CFG_PATH_MAX - 16) < 0)
        return -EINVAL;
    if (!draft_setting(d, "key-file")->text.text[0])
        set_default(d, "key-file", arena_print(&d->arena, "%s/keys", state->text.text));
    return make_absolute(d, "key-file", CFG_PATH_MAX - 1);
}

static int
resolve_defaults(struct draft *d)
{
    struct items *listen = &draft_setting(d, "listen")->list;
    const struct cfg_option *option = cfg_option_find("listen", strlen("listen"));
    const struct origin origin = {.label = "--listen"};

    if (listen->count == 0 && draft_set(d, option, CFG_DEFAULT_LISTEN, &origin) < 0)
        return -EINVAL;
    if (draft_setting(d, "admin")->text.text[0] == 0)
        set_default(d, "admin", CFG_DEFAULT_ADMIN);
    if (resolve_run_dir(d) < 0)
        return -EINVAL;
    return resolve_state(d);
}

int
draft_check(struct draft *d)
{
    if (resolve_defaults(d) < 0 || check_at_most(d, "low-mark", "high-mark", false) < 0 ||
        check_at_most(d, "high-mark", "max-memory", true) < 0 ||
        check_at_most(d, "max-line", "max-head", true) < 0 ||
        check_at_most(d, "upstream-idle-max", "upstream-max", true) < 0 || check_merged_names(d) < 0 ||
        check_servers(d) < 0 || check_stdio(d) < 0 || check_headers(d) < 0 || check_tool_rules(d) < 0 ||
        check_priorities(d) < 0 || check_listeners(d) < 0 || draft_load_tls(d) < 0)
        return -EINVAL;
    return 0;
}
