/* SPDX-License-Identifier: Apache-2.0 */
/* Arguments that a tool of 2026-07-28 wants repeated in header fields, on a whole worker in the simulator:
 * what clients of either era are asked for, what the upstream is sent, and what happens when it refuses the
 * gateway's request. The upstream answers by itself, strictly. */
#include "gate_world.h"

#include <stdlib.h>

#define UPSTREAM "--upstream", "up=http://10.0.0.2:80/mcp", "--era-ttl", "5m"
#define INITIALIZE                                                                                           \
    "{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"initialize\",\"params\":{\"protocolVersion\":\"2025-06-"     \
    "18\","                                                                                                  \
    "\"capabilities\":{},\"clientInfo\":{\"name\":\"c\",\"version\":\"1\"}}}"
#define LIST "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"tools/list\"}"
#define CALL_PARAMS(more)                                                                                    \
    "{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"tools/call\",\"params\":{\"name\":\"region\","               \
    "\"arguments\":{\"region\":\"Zürich\",\"nested\":{\"n\":42},\"dry\":null}" more "}}"
#define CALL_REGION                  CALL_PARAMS("")
#define ZURICH                       "=?base64?WsO8cmljaA==?="
#define PROPERTY(name, type, header) "\"" name "\":{\"type\":\"" type "\",\"x-mcp-header\":\"" header "\"}"
#define TOOL(name, properties)                                                                               \
    "{\"name\":\"" name "\",\"inputSchema\":{\"type\":\"object\",\"properties\":{" properties "}}}"

static struct sim_peer *client;
static unsigned lists, calls, discovers;
static const char *tools;
static bool has_no_lists, forgot_revision, keeps_lists_back;
static char sent_region[128], sent_count[64], session[1024];
static bool sent_dry;

static void
reply_json(struct sim_peer *peer, int status, const char *json)
{
    say(peer, "HTTP/1.1 %d X\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s", status,
        strlen(json), json);
}

static void
serve_call(struct sim_peer *peer, const struct message *m, unsigned long id)
{
    const char *region = field(m, "Mcp-Param-Region");
    char json[512];

    snprintf(sent_region, sizeof sent_region, "%s", region ? region : "");
    snprintf(sent_count, sizeof sent_count, "%s",
             field(m, "Mcp-Param-Count") ? field(m, "Mcp-Param-Count") : "");
    sent_dry = field(m, "Mcp-Param-Dry") != NULL;
    calls++;
    snprintf(json, sizeof json,
             !strcmp(sent_region, ZURICH)
                 ? "{\"jsonrpc\":\"2.0\",\"id\":%lu,\"result\":{\"resultType\":\"complete\",\"content\":[]}}"
                 : "{\"jsonrpc\":\"2.0\",\"id\":%lu,\"error\":{\"code\":-32020,\"message\":\"no region\"}}",
             id);
    reply_json(peer, strcmp(sent_region, ZURICH) ? 400 : 200, json);
}

static void
serve_request(struct sim_peer *peer, const struct message *m)
{
    const char *at = strstr(m->body, "\"id\":");
    unsigned long id = at ? strtoul(at + 5, NULL, 10) : 0;
    char json[4096];

    if (strstr(m->body, "\"initialize\"")) {
        reply_json(peer, 400, "{}");
    } else if (strstr(m->body, "server/discover")) {
        discovers++;
        reply_json(
            peer, 200,
            "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"resultType\":\"complete\",\"supportedVersions\":"
            "[\"2026-07-28\"],\"capabilities\":{\"tools\":{}},\"ttlMs\":0,\"cacheScope\":\"public\"}}");
    } else if (strstr(m->body, "tools/list")) {
        lists++;
        if (keeps_lists_back)
            return;
        snprintf(
            json, sizeof json,
            has_no_lists
                ? "{\"jsonrpc\":\"2.0\",\"id\":%lu,\"error\":{\"code\":-32603,\"message\":\"%.3s\"}}"
                : "{\"jsonrpc\":\"2.0\",\"id\":%lu,\"result\":{\"resultType\":\"complete\",\"tools\":[%s],"
                  "\"ttlMs\":0,\"cacheScope\":\"public\"}}",
            id, tools);
        reply_json(peer, 200, json);
    } else if (forgot_revision) {
        forgot_revision = false;
        snprintf(json, sizeof json,
                 "{\"jsonrpc\":\"2.0\",\"id\":%lu,\"error\":{\"code\":-32022,\"message\":\"no\",\"data\":{"
                 "\"supported\":[\"2026-07-28\"],\"requested\":\"2026-07-28\"}}}",
                 id);
        reply_json(peer, 400, json);
    } else {
        cr_assert(strstr(m->body, "tools/call"), "%s", m->body);
        serve_call(peer, m, id);
    }
}

static struct message *
ask(const char *fields, const char *body)
{
    post(client, fields, body);
    servers_serve(serve_request);
    return reply_of(client);
}

/* A client before 2026 with the upstream that has `with`. */
static void
open_legacy(const char *with)
{
    struct message *m;

    tools = with;
    world_open(1, UPSTREAM, NULL);
    client = client_new();
    m = ask(MCP_ACCEPT, INITIALIZE);
    cr_assert_not_null(field(m, "Mcp-Session-Id"));
    snprintf(session, sizeof session, MCP_ACCEPT "Mcp-Session-Id: %s\r\n", field(m, "Mcp-Session-Id"));
}

#define REGION                                                                                               \
    TOOL(                                                                                                    \
        "region",                                                                                            \
        PROPERTY("region", "string", "Region") ",\"nested\":{\"type\":\"object\",\"properties\":{" PROPERTY( \
            "n", "integer", "Count") "}}," PROPERTY("dry", "boolean", "Dry"))

Test(params, are_written_for_an_upstream_whose_tools_were_listed)
{
    open_legacy(REGION);
    cr_assert(strstr(ask(session, LIST)->body, "\"region\""));
    cr_assert(strstr(ask(session, CALL_REGION)->body, "\"content\":[]"));
    cr_assert_str_eq(sent_region, ZURICH);
    cr_assert_str_eq(sent_count, "42");
    cr_assert_not(sent_dry, "null is no value");
    cr_assert_eq(calls, 1);
    world_close();
}

Test(params, that_an_upstream_misses_are_looked_up_and_the_call_is_made_once_more)
{
    open_legacy(REGION);
    for (unsigned i = 0; i < 3; i++)
        cr_assert(strstr(ask(session, CALL_REGION)->body, "\"id\":3,\"result\":{\"content\":[]}"));
    cr_assert_eq(lists, 1);
    cr_assert_eq(calls, 4, "only the first went without");
    world_close();
}

Test(params, that_stay_missing_are_the_gateways_fault_and_not_the_clients)
{
    struct message *m;

    open_legacy(TOOL("region", ""));
    m = ask(session, CALL_REGION);
    cr_assert(strstr(m->body, "\"code\":-32603"), "%s", m->body);
    cr_assert(strstr(m->body, "refused the gateway's request: no region"), "%s", m->body);
    cr_assert_eq(calls, 2);
    has_no_lists = true;
    cr_assert(strstr(ask(session, CALL_REGION)->body, "\"code\":-32603"));
    cr_assert_eq(calls, 3, "without a list nothing would be different");
    world_close();
}

Test(params, with_invalid_annotations_cost_their_tool_its_place_in_the_list)
{
    static const char bad[] = TOOL("bad", PROPERTY("x", "number", "X")), plain[] = TOOL("plain", "");
    static const struct {
        const char *first, *second, *third;
        const char *want;
    } cases[] = {
        {bad, plain, REGION, "\"tools\":[{\"name\":\"plain\""},
        {bad, bad, plain, "\"tools\":[{\"name\":\"plain\""},
        {plain, bad, bad, "\"properties\":{}}}]"},
        {plain, bad, plain, "\"properties\":{}}},{\"name\":\"plain\""},
        {bad, bad, bad, "\"tools\":[]"},
        {bad, plain, bad,
         "\"tools\":["
         "{\"name\":\"plain\",\"inputSchema\":{\"type\":\"object\",\"properties\":{}}}]"},
    };

    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        char with[2048];
        struct message *m;

        snprintf(with, sizeof with, "%s,%s,%s", cases[i].first, cases[i].second, cases[i].third);
        open_legacy(with);
        m = ask(session, LIST);
        cr_assert(strstr(m->body, cases[i].want), "%u: %s", i, m->body);
        cr_assert_null(strstr(m->body, "bad"), "%u: %s", i, m->body);
        world_close();
    }
}

Test(params, are_sent_again_when_the_upstream_forgot_its_revision)
{
    struct message *m;

    open_legacy(REGION);
    ask(session, LIST);
    cr_assert_eq(discovers, 1);
    forgot_revision = true;
    m = ask(session, CALL_REGION);
    cr_assert(strstr(m->body, "\"content\":[]"), "%s", m->body);
    cr_assert_eq(discovers, 2);
    cr_assert_eq(calls, 1);
    world_close();
}

Test(params, that_cannot_be_looked_up_in_time_leave_the_upstreams_refusal)
{
    open_legacy(REGION);
    keeps_lists_back = true;
    post(client, session, CALL_REGION);
    servers_serve(serve_request);
    cr_assert_eq(lists, 1);
    cr_assert_null(try_reply(client));
    advance(200000); /* --first-byte-timeout, and what a connection may take */
    cr_assert(strstr(reply_of(client)->body, "refused the gateway's request"));
    world_close();
}

/* --- a modern client of the merged server --- */

#define MODERN_FIELDS "MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\nMcp-Name: region\r\n"

static struct message *
call_merged(const char *fields)
{
    client = client_new();
    say(client,
        "POST /mcp HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n" MCP_ACCEPT MODERN_FIELDS "%s"
        "Content-Length: %zu\r\n\r\n%s",
        fields, strlen(CALL_PARAMS("," MODERN_META)), CALL_PARAMS("," MODERN_META));
    servers_serve(serve_request);
    return reply_of(client);
}

#define RIGHT "Mcp-Param-Region: " ZURICH "\r\nmcp-param-count:  42.0 \r\nMcp-Param-Other: x\r\n"

Test(params, of_a_client_of_the_merged_server_are_held_against_its_arguments)
{
    static const char *const wrong[] = {
        "",
        "Mcp-Param-Region: " ZURICH "\r\n",
        "Mcp-Param-Region: Zurich\r\nMcp-Param-Count: 42\r\n",
        "Mcp-Param-Region: =?base64?WsO8cmljaA=?=\r\nMcp-Param-Count: 42\r\n",
        "Mcp-Param-Region: " ZURICH "\r\nMcp-Param-Count: 43\r\n",
        "Mcp-Param-Region: " ZURICH "\r\nMcp-Param-Region: " ZURICH "\r\nMcp-Param-Count: 42\r\n",
    };
    struct message *m;

    tools = REGION;
    world_open(1, UPSTREAM, "--mode", "merged", NULL);
    m = call_merged(RIGHT);
    cr_assert(strstr(m->body, "\"content\":[]"), "as it came, while the tool is not known: %s", m->body);
    cr_assert_eq(lists, 0);
    for (unsigned i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        m = call_merged(wrong[i]);
        cr_assert_eq(m->status, 400, "%u: %s", i, m->body);
        cr_assert(strstr(m->body, "\"code\":-32020"), "%u: %s", i, m->body);
        cr_assert(strstr(m->body, "Mcp-Param-"), "%u: %s", i, m->body);
    }
    cr_assert_eq(lists, 1);
    cr_assert_eq(calls, 2, "the first of them was refused by the upstream, the rest here");
    m = call_merged(RIGHT);
    cr_assert(strstr(m->body, "\"content\":[]"), "%s", m->body);
    cr_assert_str_eq(sent_count, "42");
    world_close();
}

Test(params, that_are_being_looked_up_are_forgotten_with_their_client)
{
    tools = REGION;
    keeps_lists_back = true;
    world_open(1, UPSTREAM, "--mode", "merged", NULL);
    client = client_new();
    say(client,
        "POST /mcp HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n" MCP_ACCEPT MODERN_FIELDS
        "Content-Length: %zu\r\n\r\n%s",
        strlen(CALL_PARAMS("," MODERN_META)), CALL_PARAMS("," MODERN_META));
    servers_serve(serve_request);
    cr_assert_eq(lists, 1);
    sim_peer_reset(client);
    settle();
    cr_assert_eq(counter(STAT_exchanges_open), 0);
    world_close();
}

Test(params, of_an_old_list_are_asked_for_again_before_a_client_is_refused)
{
    struct message *m;

    tools = TOOL("region", PROPERTY("region", "string", "Old"));
    world_open(1, UPSTREAM, "--mode", "merged", NULL);
    cr_assert(strstr(call_merged("")->body, "-32020"), "%s", "learns the list");
    tools = REGION;
    m = call_merged(RIGHT);
    cr_assert_eq(m->status, 400, "it is young: %s", m->body);
    advance(6000);
    m = call_merged(RIGHT);
    cr_assert(strstr(m->body, "\"content\":[]"), "%s", m->body);
    cr_assert_eq(lists, 2);
    world_close();
}
