/* SPDX-License-Identifier: Apache-2.0 */
/* The command line as a whole: what wins, what is refused, what is printed, and the sealed mapping. */
#include "cfg/map.h"
#include "cfg/paths.h"
#include "cfg_helper.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>

static bool
is(const struct config *c, struct cfg_text t, const char *want)
{
    return text_eq(cfg_text(c, t), text_of(want));
}

Test(load, without_arguments_serves_the_demo_on_the_default_addresses)
{
    struct cfg_result r;
    const struct config *c;

    cr_assert_eq(load_args(&r, (const char *[]){"mcpgate", NULL}), 0, "%s", r.error);
    c = r.config;
    cr_assert_eq(r.action, CFG_RUN);
    cr_assert_eq(c->listen.count, 1);
    cr_assert(is(c, cfg_listeners(c)[0].text, "127.0.0.1:8080") && cfg_listeners(c)[0].port == 8080);
    cr_assert(!c->admin_off && c->admin.port == 8081);
    cr_assert_eq(c->upstreams.count, 1);
    cr_assert(cfg_upstream(c, 0)->is_demo && is(c, cfg_upstream(c, 0)->name, "demo"));
    cr_assert_eq(cfg_upstream(c, 0)->endpoints.count, 0);
    cr_assert(c->heartbeat == 15000 && c->high_mark == 65536 && c->low_mark == 16384 && c->workers == 0);
    cr_assert(c->max_upstreams == 64 && c->watchdog == 5000 && c->drain_timeout == 30000 &&
              c->drain_delay == 0);
    cr_assert(c->early_stream == 0 && c->spin == SPIN_OFF && !c->access_log);
    cfg_done(&r);
    cfg_done(&r);
}

Test(load, takes_values_attached_or_apart_and_leaves_argv_as_it_was)
{
    const char *argv[] = {"mcpgate", "--heartbeat", "1s",    "--watchdog=2s",
                          "-p9090",  "--log-level", "debug", NULL};
    const char *before[8];
    struct cfg_result r;

    memcpy(before, argv, sizeof argv);
    for (int round = 0; round < 2; round++) {
        cr_assert_eq(load_args(&r, argv), 0, "%s", r.error);
        cr_assert(r.config->heartbeat == 1000 && r.config->watchdog == 2000);
        cr_assert_eq(cfg_listeners(r.config)[0].port, 9090);
        cr_assert_eq(memcmp(before, argv, sizeof argv), 0);
        cfg_done(&r);
    }
    MUST_LOAD(&r, "-p", "0");
    cr_assert(is(r.config, cfg_listeners(r.config)[0].text, "127.0.0.1:0"));
    MUST_LOAD(&r, "--heartbeat=1s", "--heartbeat=3s");
    cr_assert_eq(r.config->heartbeat, 3000);
}

Test(load, tells_what_is_asked_for)
{
    struct cfg_result r;

    MUST_LOAD(&r, "--check");
    cr_assert(r.action == CFG_CHECK && r.config);
    MUST_LOAD(&r, "--print-config");
    cr_assert(r.action == CFG_PRINT_CONFIG && r.config);
    MUST_LOAD(&r, "--help", "--no-such-flag");
    cr_assert(r.action == CFG_HELP && !r.config && r.fd == -1);
    MUST_LOAD(&r, "-h");
    cr_assert_eq(r.action, CFG_HELP);
    MUST_LOAD(&r, "--version");
    cr_assert_eq(r.action, CFG_VERSION);
    cfg_done(&r);
}

Test(load, lays_out_upstreams_before_routes_with_endpoints_and_headers)
{
    struct cfg_result r;
    const struct config *c;
    const struct cfg_endpoint *e;

    MUST_LOAD(&r, "--mode=path", "--route", "/api/v2=http://10.0.0.9:99/base/", "--upstream",
              "a=http://one:3000/mcp, http://[::1]/mcp", "--upstream=b=http+unix:/run/b.sock:/x",
              "--upstream-header", "b=Authorization:  Bearer s3cret ", "--upstream-header", "b=X-Two: 2");
    c = r.config;
    cr_assert_eq(c->upstreams.count, 3);
    cr_assert(is(c, cfg_upstream(c, 0)->name, "a") && is(c, cfg_upstream(c, 1)->name, "b"));
    cr_assert(is(c, cfg_upstream(c, 2)->name, "/api/v2") && cfg_upstream(c, 2)->is_route);
    e = cfg_endpoints(c, cfg_upstream(c, 0));
    cr_assert_eq(cfg_upstream(c, 0)->endpoints.count, 2);
    cr_assert(is(c, e[0].host, "one") && is(c, e[0].authority, "one:3000") && is(c, e[0].path, "/mcp"));
    cr_assert(e[0].port == 3000 && !e[0].is_literal);
    cr_assert(is(c, e[1].host, "::1") && is(c, e[1].authority, "[::1]") && e[1].is_literal &&
              e[1].ip[15] == 1);
    e = cfg_endpoints(c, cfg_upstream(c, 1));
    cr_assert(is(c, e[0].unix_path, "/run/b.sock") && is(c, e[0].path, "/x") &&
              is(c, e[0].authority, "localhost"));
    cr_assert_eq(cfg_upstream(c, 1)->headers.count, 2);
    cr_assert(is(c, cfg_headers(c, cfg_upstream(c, 1))[0].value, "Bearer s3cret"));
    e = cfg_endpoints(c, cfg_upstream(c, 2));
    cr_assert(is(c, e[0].path, "/base") && is(c, e[0].authority, "10.0.0.9:99"));
    cfg_done(&r);
}

Test(load, takes_listeners_of_every_kind_and_an_admin_that_is_off)
{
    struct cfg_result r;
    const struct cfg_listener *l;

    MUST_LOAD(&r, "--listen=0.0.0.0:80", "--listen=[::]:80", "--listen", "unix:/run/x.sock",
              "--listen=127.0.0.1:0", "--admin=off");
    l = cfg_listeners(r.config);
    cr_assert_eq(r.config->listen.count, 4);
    cr_assert(!l[0].is_v6 && l[1].is_v6 && l[2].is_unix && is(r.config, l[2].path, "/run/x.sock") &&
              l[3].port == 0);
    cr_assert(r.config->admin_off);
    MUST_LOAD(&r, "--admin=unix:/run/admin.sock");
    cr_assert(r.config->admin.is_unix && !r.config->admin_off);
}

Test(load, refuses_flags_that_do_not_exist_and_names_the_nearest)
{
    MUST_FAIL("mcpgate: --hartbeat: no such flag: did you mean --heartbeat?", "--hartbeat=1s");
    MUST_FAIL("mcpgate: --heart: no such flag: see mcpgate --help", "--heart=1s");
    MUST_FAIL("mcpgate: --chekc: no such flag: did you mean --check?", "--chekc");
    MUST_FAIL("mcpgate: -x: no such flag: see mcpgate --help", "-x");
    MUST_FAIL("mcpgate: -hx: no such flag: see mcpgate --help", "-hx");
    MUST_FAIL("mcpgate: 'serve' is not a flag: see mcpgate --help", "serve");
    MUST_FAIL("mcpgate: '' is not a flag: see mcpgate --help", "");
    MUST_FAIL("mcpgate: '--' is not a flag: see mcpgate --help", "--");
    MUST_FAIL("mcpgate: --listen: needs a value: ADDR:PORT|[IPV6]:PORT|unix:PATH", "--listen");
    MUST_FAIL("mcpgate: -p: needs a value: PORT", "-p");
    MUST_FAIL("mcpgate: --check: takes no value: leave out what follows the '='", "--check=yes");
}

static const char *
word(const struct config *c, const struct cfg_upstream *u, uint32_t i)
{
    cr_assert_lt(i, u->stdio.args.count);
    return cfg_string(c, cfg_list(c, u->stdio.args)[i]);
}

Test(load, splits_a_command_into_words_as_a_shell_does)
{
    static const struct {
        const char *line, *words[6];
    } rows[] = {
        {"cat", {"cat"}},
        {"  npx -y\tpkg  ", {"npx", "-y", "pkg"}},
        {"a 'b c' \"d e\"", {"a", "b c", "d e"}},
        {"a '' \"\" x", {"a", "", "", "x"}},
        {"a b'c'\"d\"e", {"a", "bcde"}},
        {"a\\ b \\' \\\\", {"a b", "'", "\\"}},
        {"a '\\' \"\\\"\\x\\$\"", {"a", "\\", "\"\\x$"}},
        {"a $HOME * `b` c,d=e", {"a", "$HOME", "*", "`b`", "c,d=e"}},
    };

    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct cfg_result r;
        char flag[128];
        uint32_t n = 0;

        snprintf(flag, sizeof flag, "--upstream=a=stdio:%s", rows[i].line);
        MUST_LOAD(&r, flag);
        const struct cfg_upstream *u = cfg_upstream(r.config, 0);
        cr_assert(cfg_is_stdio(u) && u->endpoints.count == 0);
        for (; n < 6 && rows[i].words[n]; n++)
            cr_assert_str_eq(word(r.config, u, n), rows[i].words[n], "%s: word %u", rows[i].line, n);
        cr_assert_eq(u->stdio.args.count, n, "%s: %u words", rows[i].line, u->stdio.args.count);
        cfg_done(&r);
    }
}

Test(load, refuses_a_command_that_is_none)
{
    MUST_FAIL("mcpgate: --upstream: a has no program: write one behind stdio:, such as stdio:npx",
              "--upstream=a=stdio:  ");
    MUST_FAIL("mcpgate: --upstream: the command of a has a quote that is not closed: close it",
              "--upstream=a=stdio:x 'y");
    MUST_FAIL("mcpgate: --upstream: the command of a has a quote that is not closed: close it",
              "--upstream=a=stdio:x \"y\\\"");
    MUST_FAIL("mcpgate: --upstream: 'stdio:x' names a program: it stands alone, as --upstream "
              "NAME='stdio:COMMAND ARGS'",
              "--upstream=a=http://b,stdio:x");
    MUST_FAIL(
        "mcpgate: --route: 'stdio:x' names a program: it stands alone, as --upstream NAME='stdio:COMMAND "
        "ARGS'",
        "--route=/a=stdio:x");
    MUST_FAIL("mcpgate: --upstream: a: a reserve of 4 leaves none of its 4 processes for sessions: lower "
              "--stdio-reserve or raise --stdio-max",
              "--upstream=a=stdio:x", "--stdio-reserve=4", "--stdio-max=4");
}

Test(load, gives_a_stdio_server_the_values_of_the_flags)
{
    struct cfg_result r;

    MUST_LOAD(&r, "--upstream=a=stdio:x", "--stdio-reserve=2", "--stdio-max=9", "--stdio-share=shared",
              "--stdio-idle=3s");
    const struct cfg_stdio *s = &cfg_upstream(r.config, 0)->stdio;
    cr_assert(s->max == 9 && s->reserve == 2 && s->idle_ms == 3000 && s->share == SHARE_ALL);
    cr_assert_eq(r.config->stdio_line, 10u << 20);
    cr_assert_eq(r.config->stdio_grace, 2000);
    cfg_done(&r);
}

Test(load, takes_one_upstream_and_routes_in_mode_auto)
{
    struct cfg_result r;

    MUST_LOAD(&r, "--upstream=a=http://a", "--route=/b=http://b", "--route=/c=http://c");
    cr_assert_eq(r.config->upstreams.count, 3);
}

Test(load, lets_a_default_follow_the_value_that_bounds_it)
{
    struct cfg_result r;

    MUST_LOAD(&r, "--upstream-max=4", "--high-mark=8k");
    cr_assert_eq(r.config->upstream_idle_max, 4);
    cr_assert_eq(r.config->low_mark, 2048);
}

Test(load, refuses_what_contradicts_itself)
{
    MUST_FAIL("mcpgate: --low-mark: --low-mark 64k is not below --high-mark 64k: change one of them",
              "--low-mark=64k");
    MUST_FAIL("mcpgate: --low-mark: --low-mark 16k is not below --high-mark 8k: change one of them",
              "--low-mark=16k", "--high-mark=8k");
    MUST_FAIL("mcpgate: --high-mark: --high-mark 2m is not at most --max-memory 1m: change one of them",
              "--max-memory=1m", "--high-mark=2m");
    MUST_FAIL("mcpgate: --max-line: --max-line 33k is not at most --max-head 32k: change one of them",
              "--max-line=33k");
    MUST_FAIL(
        "mcpgate: --upstream-idle-max: --upstream-idle-max 5 is not at most --upstream-max 4: change one "
        "of them",
        "--upstream-idle-max=5", "--upstream-max=4");
    MUST_FAIL(
        "mcpgate: --listen: '127.0.0.1:8081' is the clients' and the admin listener: use another --admin, or "
        "--admin off",
        "--listen=127.0.0.1:8081");
    MUST_FAIL("mcpgate: --listen: '[::1]:80' and '[0:0::1]:80' are one address: leave one out",
              "--listen=[::1]:80", "--listen=[0:0::1]:80");
    MUST_FAIL("mcpgate: --listen: '1.2.3.4:5' is given twice: leave one out", "--listen=1.2.3.4:5",
              "--listen=1.2.3.4:5");
    MUST_FAIL("mcpgate: -p: '80' beside --listen or another -p: use one --listen for each address",
              "--listen=1.2.3.4:5", "-p80");
}

Test(load, refuses_upstreams_routes_and_headers_that_are_not_right)
{
    MUST_FAIL(
        "mcpgate: --upstream: 'a b' is not an upstream's name: use 1 to 64 letters, digits, '_' and '-'",
        "--upstream=a b=http://a");
    MUST_FAIL("mcpgate: --upstream: 'http://a' has no '=': use NAME=URL[,URL...], such as "
              "search=http://127.0.0.1:3000/mcp",
              "--upstream=http://a");
    MUST_FAIL("mcpgate: --upstream: a has no URL: use one such as http://127.0.0.1:3000/mcp",
              "--upstream=a=,");
    MUST_FAIL("mcpgate: --upstream: 'a' is given twice: use another name", "--upstream=a=http://a",
              "--upstream=a=http://b");
    MUST_FAIL("mcpgate: --upstream: 'http://a' is given twice: leave one out",
              "--upstream=a=http://a,http://a");
    MUST_FAIL("mcpgate: --route: '/a' is given twice: put its URLs into one, separated by commas",
              "--route=/a=http://a", "--route=/a=http://b");
    MUST_FAIL("mcpgate: --route: '/mcp/x' is taken by the MCP servers: use another prefix",
              "--route=/mcp/x=http://a");
    MUST_FAIL(
        "mcpgate: --route: 'api' is not a prefix: use a path without a '/' at its end, such as /api, of at "
        "most 128 bytes",
        "--route=api=http://a");
    MUST_FAIL("mcpgate: --upstream-header: there is no upstream 'serch': did you mean search?",
              "--upstream=search=http://a", "--upstream-header=serch=A: b");
    MUST_FAIL("mcpgate: --allow-origin: 'app.example' is not an origin: use scheme://host[:port] without a "
              "path, such "
              "as https://app.example, or '*'",
              "--allow-origin=app.example");
    MUST_FAIL(
        "mcpgate: --trusted-proxy: '10/8' is not an address block: use ADDR or ADDR/BITS, such as 10.0.0.0/8",
        "--trusted-proxy=10/8");
    MUST_FAIL("mcpgate: --health-path: 'x' is not a path: start with '/', such as /healthz",
              "--health-path=x");
    MUST_FAIL("mcpgate: --congestion: '../x' is not a congestion control: use a name of "
              "/proc/sys/net/ipv4/tcp_available_congestion_control",
              "--congestion=../x");
    MUST_FAIL("mcpgate: --run-dir: the value is not UTF-8: write it in UTF-8", "--run-dir=/tmp/\xff");
}

Test(load, bounds_the_number_of_everything)
{
    const char *argv[80] = {"mcpgate"};
    char text[80][64], urls[1024] = "a=";
    struct cfg_result r;

    for (int i = 0; i < 33; i++) {
        snprintf(text[i], sizeof text[i], "--listen=127.0.0.1:%d", 9000 + i);
        argv[1 + i] = text[i];
    }
    cr_assert(load_args(&r, argv) < 0);
    cr_assert_str_eq(r.error, "mcpgate: --listen: more than 32 values: leave some out");
    for (int i = 0; i < 65; i++) {
        snprintf(text[i], sizeof text[i], "--route=/r%d=http://a", i);
        argv[1 + i] = text[i];
    }
    cr_assert(load_args(&r, argv) < 0);
    cr_assert_str_eq(r.error,
                     "mcpgate: --route: 65 upstreams and routes are more than --max-upstreams: raise it");
    argv[66] = "--max-upstreams=65";
    cr_assert_eq(load_args(&r, argv), 0, "%s", r.error);
    cr_assert_eq(r.config->upstreams.count, 65);
    for (int i = 0; i < 17; i++)
        snprintf(urls + strlen(urls), sizeof urls - strlen(urls), "http://h%d,", i);
    cr_assert(LOAD(&r, "--upstream", urls) < 0);
    cr_assert_str_eq(r.error, "mcpgate: --upstream: a has more than 16 URLs: leave some out");
    memset(argv, 0, sizeof argv);
    argv[0] = "mcpgate";
    argv[1] = "--upstream=a=http://a";
    for (int i = 0; i < 33; i++) {
        snprintf(text[i], sizeof text[i], "--upstream-header=a=X-%d: y", i);
        argv[2 + i] = text[i];
    }
    cr_assert(load_args(&r, argv) < 0);
    cr_assert_str_eq(r.error, "mcpgate: --upstream-header: a has more than 32 headers: leave some out");
}

Test(load, never_shows_a_secret_in_an_error)
{
    static const char *const command_lines[][4] = {
        {"--upstream-header", "a=Authorization: Bearer SECRET"},
        {"--upstream-header", "a SECRET"},
        {"--upstream-header", "a=SECRET"},
        {"--upstream-header", "a=Host: SECRET"},
        {"--upstream-header", "a=X: SECRET\n"},
        {"--upstream-header", "a=Authorization:", "SECRET"},
        {"--upstream=a=http://u:SECRET@h/"},
        {"--upstream=a=https://u:SECRET@h/"},
        {"--upstream=http://u:SECRET@h/"},
        {"--upstream=a=http://h/?key=SECRET"},
        {"--upstream-headr=a=X: SECRET"},
    };

    for (unsigned i = 0; i < sizeof command_lines / sizeof *command_lines; i++) {
        const char *argv[6] = {"mcpgate"};
        struct cfg_result r;

        memcpy(argv + 1, command_lines[i], sizeof command_lines[i]);
        cr_assert(load_args(&r, argv) < 0, "case %u was accepted", i);
        cr_assert(!strstr(r.error, "SECRET"), "%s", r.error);
    }
}

Test(load, says_an_error_in_one_line_whatever_it_quotes)
{
    struct cfg_result r;
    char value[2000];

    cr_assert(LOAD(&r, "--heartbeat", "1\n2\r3\x1b[0m") < 0);
    cr_assert_str_eq(r.error,
                     "mcpgate: --heartbeat: '1?2?3?[0m' is not a duration: use a number with ms, s, m or h, "
                     "such as 15s");
    memset(value, 'x', sizeof value - 1);
    value[sizeof value - 1] = 0;
    cr_assert(LOAD(&r, "--heartbeat", value) < 0 && strlen(r.error) < CFG_ERROR_MAX);
    cr_assert(LOAD(&r, "--config", value) < 0 && strlen(r.error) < CFG_ERROR_MAX);
    cr_assert(LOAD(&r, value) < 0 && strlen(r.error) < CFG_ERROR_MAX);
    snprintf(value, 3, "--");
    value[2] = 'x';
    cr_assert(LOAD(&r, value) < 0 && strlen(r.error) < CFG_ERROR_MAX);
}

Test(print, of_a_configuration_loads_again_and_prints_the_same)
{
    struct cfg_result r;
    char *first, *second;

    MUST_LOAD(&r, "--mode=path", "--upstream=a=http://one:3000/mcp,http://[::1]/mcp",
              "--upstream=b=http+unix:/run/${x}.sock:/m", "--upstream-header=a=Authorization: Bearer SECRET",
              "--route=/api=http://c:1/,http://d", "--route=/=http://e", "--listen=[::]:80",
              "--listen=unix:/run/$${x", "--admin=off", "--allow-origin=*", "--trusted-proxy=10.0.0.0/8",
              "--trusted-proxy=::1", "--workers=3", "--heartbeat=1500ms", "--max-body=0",
              "--high-mark=100000", "--access-log=on", "--log-format=json", "--health-path=/up",
              "--run-dir=relative/\"quoted\"", "--spin=auto");
    first = printed(cfg_print_config, r.config);
    cr_assert(!strstr(first, "SECRET") && strstr(first, "\"Authorization\": \"***\""));
    write_file("again.json", first);
    cfg_done(&r);
    MUST_LOAD(&r, "--config", "again.json");
    second = printed(cfg_print_config, r.config);
    cr_assert_str_eq(second, first);
    cr_assert(is(r.config, cfg_listeners(r.config)[1].path, "/run/$${x"));
    cr_assert(is(r.config, cfg_endpoints(r.config, cfg_upstream(r.config, 1))->unix_path, "/run/${x}.sock"));
    cfg_done(&r);
    free(first);
    free(second);
}

static void
assert_check_prints(const struct config *c, const char *want)
{
    char *text = printed(cfg_print_check, c);

    cr_assert_str_eq(text, want);
    free(text);
}

Test(print, of_a_check_counts_upstreams_and_routes)
{
    struct cfg_result r;

    MUST_LOAD(&r, "--upstream=a=http://a", "--route=/b=http://b", "--route=/c=http://c", "--check");
    assert_check_prints(r.config, "configuration is good: 1 upstream, 2 routes\n");
    MUST_LOAD(&r, "--check");
    assert_check_prints(r.config, "configuration is good: 0 upstreams, 0 routes: serves the built-in demo\n");
}

Test(mapping, is_sealed_and_the_same_in_a_child)
{
    struct cfg_result r;
    const struct config *c;

    MUST_LOAD(&r, "--upstream=a=http://a");
    cr_assert(write(r.fd, "x", 1) < 0 && errno == EPERM);
    cr_assert(ftruncate(r.fd, 1) < 0 && errno == EPERM);
    cr_assert(fcntl(r.fd, F_GETFD) & FD_CLOEXEC);
    c = cfg_map(r.fd);
    cr_assert(c && c != r.config && c->total == r.config->total && memcmp(c, r.config, c->total) == 0);
}

/* A sealed memfd with these bytes. */
static int
sealed(const void *bytes, size_t len)
{
    int fd = memfd_create("test", MFD_ALLOW_SEALING);

    cr_assert_eq(write(fd, bytes, len), (ssize_t)len);
    cr_assert_eq(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL), 0);
    return fd;
}

Test(mapping, that_is_not_sealed_or_not_ours_is_refused)
{
    struct cfg_result r;
    char *copy;
    int fd;

    MUST_LOAD(&r, "--upstream=a=http://a");
    fd = memfd_create("test", MFD_ALLOW_SEALING);
    cr_assert_eq(write(fd, r.config, r.config->total), (ssize_t)r.config->total);
    cr_assert(!cfg_map(fd) && errno == EPERM);
    cr_assert(!cfg_map(-1) && errno == EPERM);
    cr_assert(!cfg_map(sealed("", 0)) && errno == EPROTO);
    cr_assert(!cfg_map(sealed(r.config, r.config->total - 1)) && errno == EPROTO);
    copy = malloc(r.config->total);
    memcpy(copy, r.config, r.config->total);
    cr_assert_not_null(cfg_map(sealed(copy, r.config->total)));
    copy[0] ^= 1;
    cr_assert(!cfg_map(sealed(copy, r.config->total)) && errno == EPROTO);
    free(copy);
}

/* Each word of the mapping in turn becomes an offset or count that leads outside. */
Test(mapping, with_any_word_damaged_is_refused_or_keeps_inside)
{
    struct cfg_result r;
    uint32_t total, refused = 0;
    char *copy;

    MUST_LOAD(&r, "--upstream=a=http://a,http://b", "--upstream-header=a=X: y", "--listen=unix:/x",
              "--trusted-proxy=::1");
    total = r.config->total;
    copy = malloc(total); /* the sanitizer watches its bounds */
    for (uint32_t at = 0; at + 4 <= total; at += 4) {
        static const uint32_t bad[] = {UINT32_MAX, 0x7fffffff, 0};

        for (unsigned i = 0; i < 4; i++) {
            uint32_t word = i < 3 ? bad[i] : total;

            memcpy(copy, r.config, total);
            memcpy(copy + at, &word, sizeof word);
            refused += !cfg_is_whole((const struct config *)(const void *)copy, total);
        }
    }
    cr_assert_gt(refused, 40);
    free(copy);
}

Test(paths, are_searched_in_the_order_that_is_documented)
{
    char path[CFG_PATH_MAX], want[CFG_PATH_MAX];

    setenv("XDG_RUNTIME_DIR", "/run/user/1", 1);
    cr_assert(cfg_run_dir_candidate(0, path, sizeof path) == 0 && strcmp(path, "/run/mcpgate") == 0);
    cr_assert(cfg_run_dir_candidate(1, path, sizeof path) == 0 && strcmp(path, "/run/user/1/mcpgate") == 0);
    snprintf(want, sizeof want, "/tmp/mcpgate-%u", (unsigned)geteuid());
    cr_assert(cfg_run_dir_candidate(2, path, sizeof path) == 0 && strcmp(path, want) == 0);
    cr_assert_eq(cfg_run_dir_candidate(3, path, sizeof path), -ENOENT);
    unsetenv("XDG_RUNTIME_DIR");
    cr_assert(cfg_run_dir_candidate(1, path, sizeof path) == 0 && strcmp(path, want) == 0);
    cr_assert_eq(cfg_run_dir_candidate(2, path, sizeof path), -ENOENT);
    setenv("XDG_RUNTIME_DIR", "relative", 1);
    cr_assert(cfg_run_dir_candidate(1, path, sizeof path) == 0 && strcmp(path, want) == 0);
    cr_assert_eq(cfg_run_dir_candidate(0, path, 5), -ENAMETOOLONG);
}

/* As an ordinary user: root may write anywhere. */
Test(paths, of_an_ordinary_user_fall_back_to_a_private_directory)
{
    enum { NOBODY = 61234 };
    char path[CFG_PATH_MAX], dir[] = "/tmp/mcpgate-test-XXXXXX", want[CFG_PATH_MAX], own[64];

    cr_assert_not_null(mkdtemp(dir));
    if (geteuid() == 0)
        cr_assert(chown(dir, NOBODY, NOBODY) == 0 && seteuid(NOBODY) == 0);
    snprintf(own, sizeof own, "/tmp/mcpgate-%u", (unsigned)geteuid());
    unsetenv("STATE_DIRECTORY");
    setenv("HOME", "/home/somebody", 1);
    cr_assert_eq(cfg_default_state_dir(path, sizeof path), 0);
    cr_assert_str_eq(path, "/home/somebody/.local/state/mcpgate");
    setenv("STATE_DIRECTORY", "/var/lib/one:/var/lib/two", 1);
    cr_assert(cfg_default_state_dir(path, sizeof path) == 0 && strcmp(path, "/var/lib/one") == 0);

    setenv("XDG_RUNTIME_DIR", dir, 1);
    snprintf(want, sizeof want, "%s/mcpgate", dir);
    cr_assert_eq(cfg_default_run_dir(path, sizeof path), 0);
    cr_assert_str_eq(path, want);
    unsetenv("XDG_RUNTIME_DIR");
    rmdir(own);
    cr_assert_eq(cfg_default_run_dir(path, sizeof path), 0);
    cr_assert_str_eq(path, own);
    cr_assert_eq(mkdir(own, 0755), 0);
    cr_assert_eq(cfg_default_run_dir(path, sizeof path), -EPERM);
    cr_assert_eq(chmod(own, 0700), 0);
    cr_assert_eq(cfg_default_run_dir(path, sizeof path), 0);
    cr_assert_eq(rmdir(own), 0);
    cr_assert_eq(symlink(dir, own), 0);
    cr_assert_eq(cfg_default_run_dir(path, sizeof path), -EPERM);
    MUST_FAIL((snprintf(want, sizeof want,
                        "mcpgate: --run-dir: %s is not a directory of this user with mode 0700: "
                        "remove it, or name another directory with --run-dir",
                        own),
               want),
              "--check");
    cr_assert_eq(unlink(own), 0);
    rmdir(dir);
    if (getuid() == 0) /* back to what the leak check at the end needs */
        cr_assert(seteuid(0) == 0 && prctl(PR_SET_DUMPABLE, 1) == 0);
}

Test(paths, given_by_flags_become_absolute_and_keep_their_bounds)
{
    char cwd[CFG_PATH_MAX], want[2 * CFG_PATH_MAX], longest[128];
    struct cfg_result r;

    write_file("here", "");
    cr_assert_not_null(getcwd(cwd, sizeof cwd));
    MUST_LOAD(&r, "--run-dir=run", "--state-dir=state");
    snprintf(want, sizeof want, "%s/run", cwd);
    cr_assert(is(r.config, r.config->run_dir, want));
    snprintf(want, sizeof want, "%s/state/keys", cwd);
    cr_assert(is(r.config, r.config->key_file, want));
    MUST_LOAD(&r, "--state-dir=/s", "--key-file=/k");
    cr_assert(is(r.config, r.config->state_dir, "/s") && is(r.config, r.config->key_file, "/k"));
    snprintf(longest, sizeof longest, "--run-dir=/%089d", 0);
    MUST_LOAD(&r, longest);
    snprintf(longest, sizeof longest, "--run-dir=/%090d", 0);
    cr_assert(LOAD(&r, longest) < 0 && strstr(r.error, "is too long: use a path of at most 90 bytes"));
}
