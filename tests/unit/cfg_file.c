/* SPDX-License-Identifier: Apache-2.0 */
#include "cfg/json_where.h"
#include "cfg_helper.h"
#include "vectors.h"

/* Loads `text` as mcp.json, with further arguments. */
#define LOAD_FILE(ret, text, ...)                                                                            \
    (write_file("mcp.json", text), LOAD(ret, "--config", "mcp.json" __VA_OPT__(, ) __VA_ARGS__))

static bool
is(const struct config *c, struct cfg_text t, const char *want)
{
    return text_eq(cfg_text(c, t), text_of(want));
}

static const struct cfg_upstream *
only_upstream(const struct cfg_result *r)
{
    cr_assert_eq(r->config->upstreams.count, 1);
    return cfg_upstream(r->config, 0);
}

Test(file, in_the_form_of_mcp_clients_is_taken)
{
    struct cfg_result r;
    const struct cfg_upstream *u;

    setenv("TOKEN", "s3cret", 1);
    cr_assert_eq(
        LOAD_FILE(&r, "{\"mcpServers\": {\"search\": {\"type\": \"http\",\n"
                      "  \"url\": \"http://search:3000/mcp\",\n"
                      "  \"headers\": {\"Authorization\": \"Bearer ${TOKEN}\"}}},\n"
                      " \"mcpgate\": {\"listen\": [\"0.0.0.0:80\", \"[::]:80\"], \"heartbeat\": \"10s\",\n"
                      "   \"watchdog\": 7, \"max-headers\": 50, \"access-log\": true, \"workers\": 2,\n"
                      "   \"high-mark\": 100000, \"route\": \"/api=http://x\", \"admin\": \"off\"}}"),
        0, "%s", r.error);
    cr_assert_eq(r.config->upstreams.count, 2);
    u = cfg_upstream(r.config, 0);
    cr_assert(is(r.config, u->name, "search") &&
              is(r.config, cfg_headers(r.config, u)->value, "Bearer s3cret"));
    cr_assert(is(r.config, cfg_upstream(r.config, 1)->name, "/api"));
    cr_assert(r.config->listen.count == 2 && r.config->admin_off);
    cr_assert(r.config->heartbeat == 10000 && r.config->watchdog == 7000 && r.config->max_headers == 50);
    cr_assert(r.config->access_log == 1 && r.config->workers == 2 && r.config->high_mark == 100000);
}

Test(file, gives_several_urls_as_a_list_or_with_commas)
{
    struct cfg_result r;

    cr_assert_eq(LOAD_FILE(&r, "{\"mcpServers\": {\"a\": {\"url\": [\"http://x\", \"http://y,http://z\"]}}}"),
                 0);
    cr_assert_eq(only_upstream(&r)->endpoints.count, 3);
    cr_assert_eq(LOAD_FILE(&r, "{\"mcpServers\": {\"a\": {\"url\": \"http://x,http://y\"}}}"), 0);
    cr_assert_eq(only_upstream(&r)->endpoints.count, 2);
}

Test(file, errors_name_the_place)
{
    static const struct {
        const char *text, *error;
    } rows[] = {
        {"{\"mcpgate\":\n  {\"heartbeat\": \"15x\"}}",
         "mcp.json:2:17: heartbeat: '15x' is not a duration: use a number with ms, s, m or h, such as 15s"},
        {"{\"mcpgate\": {\"hartbeat\": 1}}",
         "mcp.json:1:14: \"hartbeat\" is not a known key: did you mean \"heartbeat\"?"},
        {"{\"mcpgate\": {\"\": 1}}",
         "mcp.json:1:14: \"\" is not a known key: use the flags of mcpgate --help"},
        {"{\n\t\"mcpServer\": {}}",
         "mcp.json:2:2: \"mcpServer\" is not a known key: did you mean \"mcpServers\"?"},
        {"{\"servers\": {}}",
         "mcp.json:1:2: \"servers\" is not a known key: use \"mcpServers\" and \"mcpgate\""},
        {"{\"mcpServers\": {\"a\": {\"uri\": \"http://x\"}}}",
         "mcp.json:1:23: \"uri\" is not a known key: did you mean \"url\"?"},
        {"{\"mcpServers\": {\"a\": {\"url\": \"http://x\", \"timeout\": 1}}}",
         "mcp.json:1:42: \"timeout\" is not a known key: use \"url\", \"headers\", \"tls\" and \"type\", or "
         "\"command\" and \"args\""},
        {"{\"mcpServers\": {\"a\": {\"command\": \"npx\", \"url\": \"http://x\"}}}",
         "mcp.json:1:41: \"url\" is not a known key: use \"command\", \"args\", \"env\", \"cwd\", \"share\", "
         "\"max\", \"reserve\" and \"idle\""},
        {"{\"mcpServers\": {\"a\": {\"command\": \"\"}}}",
         "mcp.json:1:34: a.command: a has no program: write one behind stdio:, such as stdio:npx"},
        {"{\"mcpServers\": {\"a\": {\"command\": \"x\", \"args\": \"y\"}}}",
         "mcp.json:1:47: a.args: a string stands where an array of strings is expected"},
        {"{\"mcpServers\": {\"a\": {\"command\": \"x\", \"env\": {\"A=B\": \"y\"}}}}",
         "mcp.json:1:54: a.env: 'A=B' is not a variable's name: use one without '='"},
        {"{\"mcpServers\": {\"a\": {\"command\": \"x\", \"max\": 0}}}",
         "mcp.json:1:46: a.max: '0' is too small: use at least 1"},
        {"{\"mcpServers\": {\"a\": {\"command\": \"x\", \"share\": \"some\"}}}",
         "mcp.json:1:48: a.share: 'some' is not one of session|shared"},
        {"{\"mcpServers\": {\"a\": {\"url\": \"https://x\", \"tls\": []}}}",
         "mcp.json:1:50: a.tls: an array stands where an object is expected: use {\"ca\": \"FILE\"}"},
        {"{\"mcpServers\": {\"a\": {\"url\": \"https://x\", \"tls\": {\"cas\": \"f\"}}}}",
         "mcp.json:1:51: \"cas\" is not a known key: did you mean \"ca\"?"},
        {"{\"mcpServers\": {\"a\": {\"url\": \"https://x\", \"tls\": {\"verify\": \"no\"}}}}",
         "mcp.json:1:61: a.tls.verify: a string stands where true or false is expected"},
        {"{\"mcpServers\": {\"a\": {\"url\": [\"http://x\",\n\"ftp://y\"]}}}",
         "mcp.json:2:1: a.url: 'ftp://y' is not a URL: use http[s]://HOST[:PORT][/PATH], "
         "ws[s]://HOST[:PORT][/PATH], http+unix:/SOCKET:/PATH or stdio:COMMAND"},
        {"{\"mcpServers\": {\"a\": {\"type\": \"udp\"}}}",
         "mcp.json:1:31: a.type: 'udp' is not a transport that mcpgate speaks to upstreams in this release: "
         "use \"http\", \"sse\", \"websocket\" or \"stdio\""},
        {"{\"mcpServers\": {\"a\": {}}}",
         "mcp.json:1:22: a has no URL and no command: add \"url\": \"http://...\" or \"command\": \"...\""},
        {"{\"mcpServers\": {\"a\": {\"url\": []}}}",
         "mcp.json:1:22: a has no URL and no command: add \"url\": \"http://...\" or \"command\": \"...\""},
        {"{\"mcpServers\": {\"a/b\": {}}}",
         "mcp.json:1:24: 'a/b' is not an upstream's name: use 1 to 64 letters, digits, '_' and '-'"},
        {"{\"mcpServers\": []}",
         "mcp.json:1:16: an array stands where an object is expected: use {\"NAME\": {\"url\": ...}}"},
        {"{\"mcpServers\": {\"a\": 1}}",
         "mcp.json:1:22: a number stands where an object is expected: use {\"url\": \"http://...\"}"},
        {"{\"mcpgate\": {\"listen\": [\"127.0.0.1:1\", \"x\"]}}",
         "mcp.json:1:40: listen: 'x' is not an address to listen on: use ADDR:PORT such as 127.0.0.1:8080, "
         "[IPV6]:PORT or unix:PATH"},
        {"{\"mcpgate\": {\"heartbeat\": 1.5}}", "mcp.json:1:27: heartbeat: a number does not fit: use TIME"},
        {"{\"mcpgate\": {\"heartbeat\": [1]}}", "mcp.json:1:27: heartbeat: an array does not fit: use TIME"},
        {"{\"mcpgate\": {\"heartbeat\": -1}}",
         "mcp.json:1:27: heartbeat: '-1' is not a duration: use a number with ms, s, m or h, such as 15s"},
        {"{\"mcpgate\": {\"access-log\": 1}}",
         "mcp.json:1:28: access-log: a number does not fit: use on|off"},
        {"{\"mcpgate\": {\"heartbeat\": null}}", "mcp.json:1:27: heartbeat: null does not fit: use TIME"},
        {"{\"mcpgate\": {\"config\": \"x\"}}",
         "mcp.json:1:24: config: a file cannot name another one: give --config twice"},
        {"{\"mcpgate\": {\"low-mark\": \"1k\",\n \"high-mark\": \"1k\"}}",
         "mcp.json:2:15: high-mark: '1k' is too small: use at least 4k"},
        {"{\"mcpgate\": {\"low-mark\":\n  \"100k\"}}",
         "mcp.json:2:3: low-mark: --low-mark 100k is not below --high-mark 64k: change one of them"},
        {"{\"mcpServers\": {\"a\": {\"url\": \"http://x\", \"headers\": {\"Host\": \"y\"}}}}",
         "mcp.json:1:62: a.headers: 'Host' is not a header that can be set: use a field name that does not "
         "frame or "
         "route messages, such as Authorization"},
        {"[]", "mcp.json:1:1: an array stands where an object is expected: use {\"mcpServers\": {...}}"},
        {"{\"mcpgate\": {\"h\xc3\xa4\": \"\xc3\xa4\", \"x\": 1}}",
         "mcp.json:1:14: \"h\xc3\xa4\" is not a known key: use the flags of mcpgate --help"},
        {"{\"mcpgate\": {\"health-path\": \"/\", \"health-path\": \"/\"}}",
         "mcp.json:1:46: is not JSON: duplicate object key"},
    };

    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct cfg_result r;
        char want[CFG_ERROR_MAX];

        snprintf(want, sizeof want, "mcpgate: %s", rows[i].error);
        cr_assert(LOAD_FILE(&r, rows[i].text) < 0, "was accepted: %s", rows[i].text);
        cr_assert_str_eq(r.error, want);
    }
}

Test(file, that_is_no_json_is_refused_at_its_place_without_quoting_it)
{
    struct cfg_result r;

    cr_assert(LOAD_FILE(&r, "{\"mcpServers\": {\n  \"a\" \"SECRET\"}}") < 0);
    cr_assert(strncmp(r.error, "mcpgate: mcp.json:2:", 20) == 0 && strstr(r.error, "is not JSON: "), "%s",
              r.error);
    cr_assert(!strstr(r.error, "SECRET"), "%s", r.error);
    cr_assert(LOAD_FILE(&r, "") < 0 && strstr(r.error, "is not JSON"));
    cr_assert(LOAD_FILE(&r, "{} x") < 0 && strstr(r.error, "is not JSON"));
}

Test(file, that_cannot_be_read_is_named)
{
    MUST_FAIL("mcpgate: /nonexistent/mcp.json: cannot be opened: No such file or directory: check --config",
              "--config=/nonexistent/mcp.json");
    MUST_FAIL("mcpgate: /tmp: cannot be read: Is a directory: check --config", "--config=/tmp");
    MUST_FAIL("mcpgate: /dev/zero: is larger than 1024 KiB: check --config", "--config=/dev/zero");
}

Test(file, never_shows_a_header_in_an_error)
{
    static const char *const texts[] = {
        "{\"mcpServers\": {\"a\": {\"url\": \"http://x\", \"headers\": {\"A\": \"SECRET\\n\"}}}}",
        "{\"mcpServers\": {\"a\": {\"url\": \"http://x\", \"headers\": {\"A\": [\"SECRET\"]}}}}",
        "{\"mcpServers\": {\"a\": {\"url\": \"http://x\", \"headers\": \"SECRET\"}}}",
        "{\"mcpServers\": {\"a\": {\"url\": \"http://x\", \"headers\": {\"A\": \"SECRET\", \"a\": \"\"}}}}",
        "{\"mcpServers\": {\"a\": {\"url\": \"http://x\", \"headers\": {\"A\": \"SECRET ${\"}}}}",
        "{\"mcpgate\": {\"upstream-header\": [\"SECRET\"]}}",
        "{\"mcpgate\": {\"upstream-header\": \"b=X: SECRET\"}}",
    };

    for (unsigned i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct cfg_result r;

        cr_assert(LOAD_FILE(&r, texts[i]) < 0, "was accepted: %s", texts[i]);
        cr_assert(!strstr(r.error, "SECRET"), "%s", r.error);
    }
}

Test(environment, is_put_into_strings)
{
    static const struct {
        const char *text, *want;
    } rows[] = {
        {"${A}", "/one"},      {"/x${A}${A}y", "/x/one/oney"},
        {"/${NONE:-d}", "/d"}, {"/${A:-d}", "//one"},
        {"/${EMPTY}x", "/x"},  {"/$x", "/$x"},
        {"/$", "/$"},          {"/${NONE:-}", "/"},
        {"/$$", "/$$"},        {"/${NONE:-a:-b}", "/a:-b"},
    };

    setenv("A", "/one", 1);
    setenv("EMPTY", "", 1);
    unsetenv("NONE");
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct cfg_result r;
        char text[256];

        snprintf(text, sizeof text, "{\"mcpgate\": {\"health-path\": \"%s\"}}", rows[i].text);
        cr_assert_eq(LOAD_FILE(&r, text), 0, "%s", r.error);
        cr_assert(is(r.config, r.config->health_path, rows[i].want), "%s: %s", rows[i].text,
                  cfg_string(r.config, r.config->health_path));
    }
}

Test(environment, that_lacks_a_variable_is_an_error_that_names_it)
{
    struct cfg_result r;

    unsetenv("NONE");
    cr_assert(LOAD_FILE(&r, "{\"mcpServers\": {\"a\": {\"url\": \"http://${NONE}/\"}}}") < 0);
    cr_assert_str_eq(r.error,
                     "mcpgate: mcp.json:1:30: a.url: ${NONE} is not set in the environment: set it, or write "
                     "${NONE:-DEFAULT}");
    cr_assert(LOAD_FILE(&r, "{\"mcpgate\": {\"run-dir\": \"${NONE\"}}") < 0);
    cr_assert_str_eq(r.error,
                     "mcpgate: mcp.json:1:25: run-dir: '${' without '}': close it, or write '$${' for the "
                     "characters themselves");
    cr_assert(LOAD_FILE(&r, "{\"mcpgate\": {\"run-dir\": \"${a b}\"}}") < 0);
    cr_assert_str_eq(r.error,
                     "mcpgate: mcp.json:1:25: run-dir: '${' is not followed by a variable's name: use "
                     "letters, digits and '_', or write '$${' for the characters themselves");
}

Test(precedence, of_the_command_line_is_higher_than_that_of_files_wherever_it_stands)
{
    struct cfg_result r;

    write_file("mcp.json",
               "{\"mcpgate\": {\"heartbeat\": \"1s\", \"watchdog\": \"1s\", \"listen\": [\"1.1.1.1:1\", "
               "\"1.1.1.1:2\"], \"trusted-proxy\": [\"1.1.1.1\"]}}");
    MUST_LOAD(&r, "--heartbeat=9s", "--listen=9.9.9.9:9", "--config=mcp.json");
    cr_assert(r.config->heartbeat == 9000 && r.config->watchdog == 1000);
    cr_assert(r.config->listen.count == 1 && cfg_listeners(r.config)->port == 9);
    cr_assert_eq(r.config->trusted_proxy.count, 1);
    MUST_LOAD(&r, "--config=mcp.json", "-p7");
    cr_assert(r.config->listen.count == 1 && is(r.config, cfg_listeners(r.config)->text, "127.0.0.1:7"));
}

Test(precedence, of_a_later_file_is_higher_and_an_empty_list_empties)
{
    struct cfg_result r;

    write_file("1.json",
               "{\"mcpgate\": {\"heartbeat\": \"1s\", \"watchdog\": \"1s\", \"listen\": [\"1.1.1.1:1\"], "
               "\"trusted-proxy\": [\"1.1.1.1\"]}}");
    write_file("2.json",
               "{\"mcpgate\": {\"heartbeat\": \"2s\", \"listen\": [\"2.2.2.2:2\"], \"trusted-proxy\": []}}");
    MUST_LOAD(&r, "--config=1.json", "--config=2.json");
    cr_assert(r.config->heartbeat == 2000 && r.config->watchdog == 1000);
    cr_assert(r.config->listen.count == 1 && cfg_listeners(r.config)->port == 2);
    cr_assert_eq(r.config->trusted_proxy.count, 0);
}

Test(precedence, adds_upstreams_up_and_replaces_one_of_the_same_name_with_its_headers)
{
    struct cfg_result r;
    const struct cfg_upstream *u;

    write_file("mcp.json", "{\"mcpServers\": {\"a\": {\"url\": \"http://a\", \"headers\": {\"X\": \"1\"}},\n"
                           "  \"b\": {\"url\": \"http://b\", \"headers\": {\"X\": \"1\", \"Y\": \"2\"}}},\n"
                           " \"mcpgate\": {\"mode\": \"path\"}}");
    MUST_LOAD(&r, "--config=mcp.json", "--upstream-header=b=x: 9", "--upstream=a=http://other",
              "--upstream=c=http://c");
    cr_assert_eq(r.config->upstreams.count, 3);
    u = cfg_upstream(r.config, 0);
    cr_assert(is(r.config, u->name, "a") && is(r.config, cfg_endpoints(r.config, u)->host, "other"));
    cr_assert_eq(u->headers.count, 0);
    u = cfg_upstream(r.config, 1);
    cr_assert_eq(u->headers.count, 2);
    cr_assert(is(r.config, cfg_headers(r.config, u)[0].value, "9") &&
              is(r.config, cfg_headers(r.config, u)[1].value, "2"));
}

Test(json_where, finds_values_and_keys_at_any_depth_without_reading_past_the_end)
{
    static const char json[] =
        "{\"a\\\"}\": [1, {\"b\": \"]\"}, [[]], 4],\n \"\xc3\xa4\": {\"x\": null, \"y\" : true}}";
    static const struct {
        struct json_path path;
        unsigned line, column;
    } rows[] = {
        {{0, false, {0}}, 1, 1},     {{1, false, {0}}, 1, 10},    {{1, true, {0}}, 1, 2},
        {{2, false, {0, 0}}, 1, 11}, {{2, false, {0, 1}}, 1, 14}, {{3, false, {0, 1, 0}}, 1, 20},
        {{2, false, {0, 2}}, 1, 26}, {{2, false, {0, 3}}, 1, 32}, {{1, true, {1}}, 2, 2},
        {{1, false, {1}}, 2, 7},     {{2, false, {1, 1}}, 2, 25}, {{2, true, {1, 1}}, 2, 19},
        {{2, false, {1, 7}}, 2, 7},  {{1, false, {9}}, 1, 1},     {{3, false, {0, 0, 0}}, 1, 11},
    };
    size_t len = sizeof json - 1;

    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct text text = {vector_at_guard(json, len), (uint32_t)len};
        unsigned line = 0, column = 0;

        json_where(text, &rows[i].path, &line, &column);
        cr_assert(line == rows[i].line && column == rows[i].column, "row %u: %u:%u", i, line, column);
        for (size_t cut = 0; cut < len; cut++) {
            text = (struct text){vector_at_guard(json, cut), (uint32_t)cut};
            json_where(text, &rows[i].path, &line, &column);
            cr_assert(line >= 1 && column >= 1);
        }
    }
}

Test(file, reads_a_stdio_server_in_the_form_of_clients)
{
    struct cfg_result r;

    setenv("STDIO_KEY", "k3y", 1);
    write_file("mcp.json",
               "{\"mcpServers\": {\"fs\": {\"args\": [\"-y\", \"a ${STDIO_KEY}\"], \"command\": \"npx\", "
               "\"type\": \"stdio\", \"env\": {\"KEY\": \"${STDIO_KEY}\", \"B\": \"\"}, \"cwd\": \"/srv\", "
               "\"share\": \"shared\", \"max\": 7, \"reserve\": 2, \"idle\": \"5s\"}}}");
    MUST_LOAD(&r, "--config", "mcp.json");
    const struct cfg_stdio *s = &cfg_upstream(r.config, 0)->stdio;
    cr_assert_eq(s->args.count, 3);
    cr_assert_str_eq(cfg_string(r.config, cfg_list(r.config, s->args)[0]), "npx");
    cr_assert_str_eq(cfg_string(r.config, cfg_list(r.config, s->args)[2]), "a k3y");
    cr_assert_eq(s->env.count, 2);
    cr_assert_str_eq(cfg_string(r.config, cfg_list(r.config, s->env)[0]), "KEY=k3y");
    cr_assert_str_eq(cfg_string(r.config, cfg_list(r.config, s->env)[1]), "B=");
    cr_assert_str_eq(cfg_string(r.config, s->cwd), "/srv");
    cr_assert(s->max == 7 && s->reserve == 2 && s->idle_ms == 5000 && s->share == SHARE_ALL);
    char *shown = printed(cfg_print_config, r.config);
    cr_assert(!strstr(shown, "\"KEY\": \"k3y\"") && strstr(shown, "\"KEY\": \"***\""), "%s", shown);
    free(shown);
    cfg_done(&r);
}
