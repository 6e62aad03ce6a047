/* SPDX-License-Identifier: Apache-2.0 */
/* `mcpload --url ...`: flags and the plan. */
#include "load.h"
#include "mcpload.h"
#include "run.h"

#include <errno.h>
#include <inttypes.h>

static void
help(void)
{
    printf(
        "usage: mcpload --url URL [flags]            load a server, measure its replies\n"
        "       mcpload ws --url URL [flags]         the same with WebSocket messages (mcpload ws --help)\n"
        "       mcpload serve [flags]                a mock upstream (mcpload serve --help)\n"
        "       mcpload floor [flags]                a minimal proxy to measure against (mcpload floor "
        "--help)\n"
        "       mcpload diff A.json B.json           two results side by side\n"
        "       mcpload --version\n\n");
    flags_help(load_flags, stdout);
    flags_help(stage_flags, stdout);
    flags_help(find_flags, stdout);
    printf("\nExit status: 0 when at least one request was answered and nothing failed; "
           "1 when\n"
           "something failed; 2 when it could not start. See mcpload(1).\n");
}

static const char *const kind_names[] = {"http", "mcp", "mcp-2026"};

static int
choose_kind(const char *name, const char *path, enum load_kind *ret)
{
    if (!name) {
        *ret = strncmp(path, "/mcp", 4) == 0 ? KIND_MCP : KIND_HTTP;
        return 0;
    }
    for (unsigned i = 0; i < 3; i++)
        if (strcmp(name, kind_names[i]) == 0) {
            *ret = (enum load_kind)i;
            return 0;
        }
    return -EINVAL;
}

static int
check_numbers(const struct load_config *c, char *why, size_t why_size)
{
    uint64_t sum = c->connections + c->streams + c->slow_readers + c->idle;
    unsigned long descriptors = mcpload_raise_descriptors();

    if (sum == 0 || c->connections > 1000000 || sum > 1000000)
        snprintf(why, why_size,
                 "--connections, --streams, --slow-readers and --idle must be 1 to 1000000 together");
    else if (sum + 16 > descriptors)
        snprintf(why, why_size,
                 "%" PRIu64 " connections need more than the %lu descriptors allowed (ulimit -Hn)", sum,
                 descriptors);
    else if (c->rate > 0 && !c->connections && !c->streams)
        snprintf(why, why_size, "--rate needs --connections, or --streams");
    else if (!c->burst)
        snprintf(why, why_size, "--burst 0: a burst has at least one request");
    else if (!c->timeout_ns)
        snprintf(why, why_size, "--timeout must be longer than nothing");
    else
        return 0;
    return -EINVAL;
}

static int
make_plan(struct load *load, char *why, size_t why_size)
{
    const struct load_config *c = &load->config;
    struct plan *plan = &load->plan;
    json_error_t error;
    json_t *args;
    int err;

    if (!c->url) {
        snprintf(why, why_size, "--url is missing (try --help)");
        return -EINVAL;
    }
    err = url_parse(c->url, &plan->url, why, why_size);
    if (err < 0)
        return err;
    if (choose_kind(c->kind, plan->url.path, &plan->kind) < 0) {
        snprintf(why, why_size, "--kind %s: write http, mcp or mcp-2026", c->kind);
        return -EINVAL;
    }
    args = json_loads(c->args, 0, &error);
    if (!json_is_object(args)) {
        snprintf(why, why_size, "--args %s: not a JSON object%s%s", c->args, args ? "" : ": ",
                 args ? "" : error.text);
        json_decref(args);
        return -EINVAL;
    }
    json_decref(args);
    if (c->priority && priority_parse(c->priority, &load->priorities) < 0) {
        snprintf(why, why_size, "--priority %s: write high, normal or low, or shares such as high=1,low=9",
                 c->priority);
        return -EINVAL;
    }
    plan->has_priority = c->priority != NULL;
    plan->method = c->method ? c->method : c->body_bytes ? "POST" : "GET";
    plan->body_bytes = c->body_bytes;
    plan->headers = &c->headers;
    plan->tool = c->tool;
    plan->args = c->args;
    plan->list = c->list;
    if (plan->kind == KIND_HTTP && c->body_bytes > REQUEST_BODY_INLINE)
        bytes_fill(&plan->filler, 'x', c->body_bytes);
    return check_numbers(c, why, why_size);
}

void
load_print_plan(const struct part *part, FILE *out)
{
    const struct load *load = container_of(part, const struct load, part);
    const struct load_config *c = &load->config;
    const struct plan *plan = &load->plan;

    fprintf(out, "%s: %s, ", c->url, kind_names[plan->kind]);
    if (plan->kind == KIND_HTTP)
        fprintf(out, "%s with a body of %" PRIu64 " bytes", plan->method, plan->body_bytes);
    else if (plan->list)
        fprintf(out, "tools/list");
    else
        fprintf(out, "tools/call %s %s", plan->tool, plan->args);
    fprintf(out, "; %" PRIu64 " connections", c->connections);
    if (c->rate > 0)
        fprintf(out, ", open loop at %g %s/s", c->rate, c->connections ? "requests" : "events");
    else
        fprintf(out, ", closed loop");
    if (c->rate > 0 && c->burst > 1)
        fprintf(out, " in bursts of %" PRIu64, c->burst);
    if (c->priority)
        fprintf(out, ", priority %s", c->priority);
    if (c->think_ns)
        fprintf(out, ", %g ms between requests", (double)c->think_ns / 1e6);
    if (c->streams)
        fprintf(out, "; %" PRIu64 " event streams", c->streams);
    if (c->slow_readers)
        fprintf(out, "; %" PRIu64 " slow readers", c->slow_readers);
    if (c->idle)
        fprintf(out, "; %" PRIu64 " idle connections", c->idle);
    fprintf(out, "\n");
}

json_t *
load_plan_json(const struct part *part)
{
    const struct load *load = container_of(part, const struct load, part);
    const struct load_config *c = &load->config;

    return json_pack("{s:s, s:s, s:s*, s:I, s:f, s:I, s:I, s:I, s:I, s:I}", "url", c->url, "kind",
                     kind_names[load->plan.kind], "priority", c->priority, "connections",
                     (json_int_t)c->connections, "rate", c->rate, "burst", (json_int_t)c->burst, "body_bytes",
                     (json_int_t)c->body_bytes, "streams", (json_int_t)c->streams, "slow_readers",
                     (json_int_t)c->slow_readers, "idle", (json_int_t)c->idle);
}

struct part *
load_make(const void *config, char *why, size_t why_size)
{
    struct load *load = calloc(1, sizeof(*load)); /* large: it holds the histograms */

    ASSERT(load);
    load->config = *(const struct load_config *)config;
    if (make_plan(load, why, why_size) < 0) {
        bytes_done(&load->plan.filler);
        free(load);
        return NULL;
    }
    if (load->plan.kind != KIND_HTTP && !load->plan.list &&
        check_expected_echo(load->plan.tool, text_of(load->plan.args), &load->echo_text))
        load->echo = (struct text){load->echo_text.at, (uint32_t)load->echo_text.len};
    load_open(load);
    return &load->part;
}

int
load_main(int argc, char **argv)
{
    struct load_config config = {0};
    struct stage_config stage = {0};
    struct find_config find = {0};
    struct run_kind kind = {load_make, &config, &config.rate, 0};
    char why[512];

    if (argc == 0 || mcpload_wants_help(argc, argv)) {
        help();
        return argc == 0 ? 2 : 0;
    }
    if (flags_parse(
            (struct flag_set[]){{load_flags, &config}, {stage_flags, &stage}, {find_flags, &find}, {0}}, argc,
            argv, NULL, why, sizeof why) < 0) {
        fprintf(stderr, "mcpload: %s\n", why);
        return 2;
    }
    kind.burst = config.burst;
    return run_one(&stage, &find, &kind);
}
