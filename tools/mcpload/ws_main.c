/* SPDX-License-Identifier: Apache-2.0 */
/* `mcpload ws`: flags and the plan; see ws.h. */
#include "mcpload.h"
#include "run.h"
#include "ws.h"

#include <errno.h>
#include <inttypes.h>

static int
check_config(struct ws_load *load, char *why, size_t why_size)
{
    struct ws_config *c = &load->config;

    if (!c->url)
        snprintf(why, why_size, "--url is missing (try mcpload ws --help)");
    else if (strcmp(c->kind, "echo") != 0 && strcmp(c->kind, "mcp") != 0)
        snprintf(why, why_size, "--kind %s: write echo or mcp", c->kind);
    else if (!c->connections || c->connections > 100000 || !c->pipeline || c->pipeline > 1000000)
        snprintf(why, why_size, "--connections must be 1 to 100000, --pipeline 1 to 1000000");
    else if (c->slow_readers > 100000)
        snprintf(why, why_size, "--slow-readers must be at most 100000");
    else if (!c->burst)
        snprintf(why, why_size, "--burst 0: a burst has at least one message");
    else if (c->messages && c->rate > 0)
        snprintf(why, why_size, "--messages is for the closed loop: leave out --rate");
    else if (c->ping && (c->priority || strcmp(c->kind, "mcp") != 0))
        snprintf(why, why_size,
                 "--ping: a ping is MCP's and has no class to ask for: add --kind mcp, leave out --priority");
    else if (c->priority && priority_parse(c->priority, &load->priorities) < 0)
        snprintf(why, why_size, "--priority %s: write high, normal or low, or shares such as high=1,low=9",
                 c->priority);
    else
        return url_parse(c->url, &load->url, why, why_size);
    return -EINVAL;
}

/* One message for each class. */
static int
make_messages(struct ws_load *load, char *why, size_t why_size)
{
    uint64_t size = load->config.message_bytes, least = 0;

    load->is_mcp = strcmp(load->config.kind, "mcp") == 0;
    load->form = load->config.ping                       ? WS_FORM_PING
                 : load->is_mcp || load->config.priority ? WS_FORM_CALL
                                                         : WS_FORM_PLAIN;
    for (unsigned p = 0; p < PRIORITIES && size <= WS_MESSAGE_MAX; p++) {
        if (load->form != WS_FORM_CALL && p != PRIORITY_NONE)
            break;
        ws_message_build(load->form, (enum priority)p, size, &load->messages[p]);
        if (load->messages[p].text.len > size)
            least = load->messages[p].text.len > least ? load->messages[p].text.len : least;
    }
    if (!least && size <= WS_MESSAGE_MAX)
        return 0;
    if (least)
        snprintf(why, why_size, "--message-bytes %" PRIu64 ": such a message has at least %" PRIu64, size,
                 least);
    else
        snprintf(why, why_size, "--message-bytes %" PRIu64 ": at most %d", size, WS_MESSAGE_MAX);
    return -EINVAL;
}

void
ws_print_plan(const struct part *part, FILE *out)
{
    const struct ws_config *c = &container_of(part, const struct ws_load, part)->config;

    fprintf(out, "%s: ws %s, messages of %" PRIu64 " bytes; %" PRIu64 " connections, ", c->url, c->kind,
            c->message_bytes, c->connections);
    if (c->rate > 0)
        fprintf(out, "open loop at %g messages/s", c->rate);
    else
        fprintf(out, "closed loop with %" PRIu64 " messages under way on each", c->pipeline);
    if (c->rate > 0 && c->burst > 1)
        fprintf(out, " in bursts of %" PRIu64, c->burst);
    if (c->ping)
        fprintf(out, ", pings");
    if (c->priority)
        fprintf(out, ", priority %s", c->priority);
    if (c->slow_readers)
        fprintf(out, "; %" PRIu64 " slow readers", c->slow_readers);
    fprintf(out, "\n");
}

json_t *
ws_plan_json(const struct part *part)
{
    const struct ws_config *c = &container_of(part, const struct ws_load, part)->config;

    return json_pack("{s:s, s:s, s:s*, s:I, s:I, s:I, s:I, s:f, s:I}", "url", c->url, "kind", "ws",
                     "priority", c->priority, "connections", (json_int_t)c->connections, "slow_readers",
                     (json_int_t)c->slow_readers, "pipeline", (json_int_t)c->pipeline, "message_bytes",
                     (json_int_t)c->message_bytes, "rate", c->rate, "burst", (json_int_t)c->burst);
}

struct part *
ws_make(const void *config, char *why, size_t why_size)
{
    struct ws_load *load = calloc(1, sizeof *load); /* large: it holds the histograms */

    ASSERT(load);
    load->config = *(const struct ws_config *)config;
    load->part.type = &ws_part;
    if (check_config(load, why, why_size) < 0 || make_messages(load, why, why_size) < 0) {
        ws_part.free(&load->part);
        return NULL;
    }
    ws_open(load);
    return &load->part;
}

static void
help(void)
{
    printf("usage: mcpload ws --url URL [flags]\n\nSends messages over WebSocket to a server that sends each "
           "one back, such as mcpload serve,\nor calls of MCP, straight or through a gateway, and measures "
           "their "
           "way there and back.\n\n");
    flags_help(ws_flags, stdout);
    flags_help(stage_flags, stdout);
    flags_help(find_flags, stdout);
}

int
ws_main(int argc, char **argv)
{
    struct ws_config config = {0};
    struct stage_config stage = {0};
    struct find_config find = {0};
    struct run_kind kind = {ws_make, &config, &config.rate, 0};
    char why[512];

    if (argc == 0 || mcpload_wants_help(argc, argv)) {
        help();
        return argc == 0 ? 2 : 0;
    }
    if (flags_parse((struct flag_set[]){{ws_flags, &config}, {stage_flags, &stage}, {find_flags, &find}, {0}},
                    argc, argv, NULL, why, sizeof why) < 0) {
        fprintf(stderr, "mcpload: %s\n", why);
        return 2;
    }
    kind.burst = config.burst;
    return run_one(&stage, &find, &kind);
}
