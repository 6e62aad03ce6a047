/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bridge and the merged server under random use, one run per seed: clients of both eras list, call,
 * listen, open and delete sessions, answer questions, retry and leave at any point; upstreams of both eras
 * answer rightly, late, twice, with foreign ids, with junk, with questions, with 401, 404 or 500, reset or
 * stay silent. Nothing may be touched after its end (the address sanitizer), nobody gets another one's
 * secret, and the books balance.
 *
 * SIM_SEEDS=n runs n seeds, SIM_SEED=n that one.
 */
#include "gate_world.h"

#include <stdlib.h>

enum { CLIENTS = 12, SERVERS_MAX = 2000, STEPS = 120, TEXT_MAX = 16384 };

struct asker {
    struct sim_peer *peer;
    unsigned secret; /* of what it asks with; its replies have no other */
};

static struct asker clients[CLIENTS];
static struct sim_peer *servers[SERVERS_MAX];
static unsigned server_count, peer_count, secrets;
static struct sim_peer *peers[STEPS]; /* of all clients there were */
static char sessions[4][900], state[2048];
static unsigned state_secret;
static unsigned long long question;

static uint64_t
any(uint64_t n)
{
    return sim_random(world.sim, n);
}

/* --- clients --- */

static void
note_between(const char *text, const char *before, char stop, char *ret, size_t size)
{
    const char *at = strstr(text, before), *end;

    if (!at || !(end = strchr(at += strlen(before), stop)) || (size_t)(end - at) >= size)
        return;
    memcpy(ret, at, (size_t)(end - at));
    ret[end - at] = '\0';
}

static void
read_client(struct asker *c)
{
    char text[TEXT_MAX];
    size_t len = sim_peer_read(c->peer, text, sizeof text - 1);
    const char *at;

    text[len] = '\0';
    note_between(text, "Mcp-Session-Id: ", '\r', sessions[any(4)], sizeof sessions[0]);
    if (strstr(text, "\"requestState\":\"")) {
        note_between(text, "\"requestState\":\"", '"', state, sizeof state);
        state_secret = c->secret;
    }
    if ((at = strstr(text, "\"elicitation/create\"")) && (at = strstr(text, "\"id\":")))
        question = strtoull(at + 5, NULL, 10);
    for (at = text; (at = strstr(at, "secret-")); at++)
        cr_assert_eq(strtoul(at + 7, NULL, 10), c->secret, "%s", text);
}

static void
send_request(struct asker *c, const char *line, const char *fields, const char *body)
{
    if (c->peer && any(2))
        sim_peer_reset(c->peer);
    c->peer = peers[peer_count++] = client_new();
    say(c->peer,
        "%s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n" MCP_ACCEPT
        "%sContent-Length: %zu\r\n\r\n%s",
        line, fields, strlen(body), body);
}

#define META                                                                                                 \
    "\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\","                                 \
    "\"io.modelcontextprotocol/clientCapabilities\":{\"elicitation\":{}}}"

static void
ask_modern(struct asker *c)
{
    static const char *const methods[] = {"tools/call",      "tools/call",           "tools/list",
                                          "server/discover", "subscriptions/listen", "prompts/list"};
    static const char *const paths[] = {"POST /mcp", "POST /mcp", "POST /mcp/a", "POST /mcp/b"};
    const char *method = methods[any(6)], *path = paths[any(4)];
    bool is_call = !strcmp(method, "tools/call"), is_retry = is_call && state[0] && !any(3);
    const char *name = strlen(path) > 9 ? "echo" : any(2) ? "a__echo" : "b__echo";
    char fields[512], body[4096], more[2200] = "";

    c->secret = is_retry ? state_secret : ++secrets;
    snprintf(fields, sizeof fields, "MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: %s\r\n%s%s%s%s", method,
             is_call ? "Mcp-Name: " : "", is_call ? name : "", is_call ? "\r\n" : "",
             any(3)   ? ""
             : any(2) ? "Authorization: Bearer x\r\n"
                      : "Authorization: Bearer y\r\n");
    if (is_retry)
        snprintf(more, sizeof more,
                 ",\"requestState\":\"%s\",\"inputResponses\":{\"1\":{\"action\":\"decline\"}}", state);
    snprintf(body, sizeof body,
             "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"%s\",\"params\":{%s%s%s%s%s" META "}}", method,
             is_call ? "\"name\":\"" : "", is_call ? name : "", is_call ? "\"" : "", more,
             is_call ? ",\"arguments\":{}," : "\"notifications\":{\"toolsListChanged\":true},");
    if (is_call && !is_retry) { /* what the upstream says back */
        char *at = strstr(body, "\"arguments\":{}");

        snprintf(more, sizeof more, "\"arguments\":{\"s\":\"secret-%u\"}%s", c->secret, at + 14);
        strcpy(at, more);
    }
    send_request(c, path, fields, body);
}

static void
ask_legacy(struct asker *c)
{
    static const char *const paths[] = {"/mcp", "/mcp", "/mcp/a", "/mcp/b"};
    const char *session = sessions[any(4)];
    char line[64], fields[1024], body[1024];

    c->secret = ++secrets;
    snprintf(line, sizeof line, "POST %s", paths[any(4)]);
    snprintf(fields, sizeof fields, session[0] ? "Mcp-Session-Id: %s\r\n" : "%s", session);
    switch (any(10)) {
    case 0:
    case 1:
        fields[0] = '\0';
        strcpy(body,
               "{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"initialize\",\"params\":{\"protocolVersion\":"
               "\"2025-06-18\",\"capabilities\":{\"elicitation\":{}},\"clientInfo\":{\"name\":\"c\","
               "\"version\":\"1\"}}}");
        break;
    case 2:
        line[0] = '\0';
        snprintf(line, sizeof line, "DELETE %s", paths[any(4)]);
        body[0] = '\0';
        break;
    case 3:
        snprintf(line, sizeof line, "GET %s", paths[any(4)]);
        body[0] = '\0';
        break;
    case 4:
        snprintf(body, sizeof body, "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":{\"action\":\"decline\"}}",
                 question);
        break;
    case 5:
        strcpy(body,
               "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":7}}");
        break;
    case 6:
        strcpy(body,
               any(2) ? "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/roots/list_changed\"}"
                      : "{\"jsonrpc\":\"2.0\",\"id\":8,\"method\":\"logging/setLevel\",\"params\":{\"level\":"
                        "\"info\"}}");
        break;
    default:
        snprintf(body, sizeof body,
                 "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"tools/call\",\"params\":{\"name\":\"%s\","
                 "\"arguments\":{\"s\":\"secret-%u\"}}}",
                 strlen(line) > 9 ? "echo"
                 : any(2)         ? "a__echo"
                                  : "b__echo",
                 c->secret);
    }
    send_request(c, line, fields, body);
}

static void
client_step(struct asker *c)
{
    if (c->peer)
        read_client(c);
    if (c->peer && !any(4))
        sim_peer_reset(c->peer);
    if (any(3))
        return;
    if (any(2))
        ask_modern(c);
    else
        ask_legacy(c);
}

/* --- upstreams --- */

static void
say_result(struct sim_peer *s, const char *id, const char *result, bool streamed)
{
    char json[4096], event[5000];

    snprintf(json, sizeof json, "{\"jsonrpc\":\"2.0\",\"id\":%s,\"result\":%s}", id, result);
    if (!streamed) {
        answer(s, any(2) ? "Mcp-Session-Id: s\r\n" : "", json);
        return;
    }
    answer_stream(s, any(2) ? "Mcp-Session-Id: s\r\n" : "");
    if (!any(3))
        say_chunk(s, "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\"}\n\n");
    if (!any(4))
        say_chunk(
            s,
            "data: {\"jsonrpc\":\"2.0\",\"id\":9,\"method\":\"elicitation/create\",\"params\":{\"message\":"
            "\"who?\",\"requestedSchema\":{\"type\":\"object\",\"properties\":{}}}}\n\n");
    if (!any(5))
        return; /* for ever */
    snprintf(event, sizeof event, "data: %s\n\n", json);
    say_chunk(s, event);
    if (!any(3))
        say_chunk(s, event);
    if (any(2))
        say(s, "0\r\n\r\n");
}

static void
serve_rightly(struct sim_peer *s, const struct message *m, bool is_modern)
{
    const char *at = strstr(m->body, "\"id\":"), *secret = strstr(m->body, "secret-");
    char id[32] = "1", result[512];

    if (at)
        snprintf(id, sizeof id, "%lu", strtoul(at + 5, NULL, 10));
    if (!any(12))
        strcpy(id, "4711");
    if (strstr(m->body, "server/discover") && is_modern)
        strcpy(result, "{\"resultType\":\"complete\",\"supportedVersions\":[\"2026-07-28\"],\"capabilities\":"
                       "{\"tools\":{\"listChanged\":true}},\"ttlMs\":0,\"cacheScope\":\"public\"}");
    else if (strstr(m->body, "\"initialize\"") && !is_modern)
        strcpy(result,
               "{\"protocolVersion\":\"2025-11-25\",\"capabilities\":{\"tools\":{\"listChanged\":true}},"
               "\"serverInfo\":{\"name\":\"s\",\"version\":\"1\"}}");
    else if (strstr(m->body, "tools/list"))
        strcpy(result,
               any(3) ? "{\"tools\":[{\"name\":\"echo\",\"inputSchema\":{\"type\":\"object\"}}]}"
                      : "{\"tools\":[{\"name\":\"e\",\"inputSchema\":{\"type\":\"object\"}}],\"nextCursor\":"
                        "\"c\"}");
    else if (strstr(m->body, "tools/call") && is_modern && !any(2))
        strcpy(result,
               "{\"resultType\":\"input_required\",\"inputRequests\":{\"k\":{\"method\":\"elicitation/"
               "create\",\"params\":{\"mode\":\"form\",\"message\":\"who?\",\"requestedSchema\":{\"type\":"
               "\"object\",\"properties\":{}}}}},\"requestState\":\"st\"}");
    else if (secret)
        snprintf(result, sizeof result,
                 "{\"resultType\":\"complete\",\"content\":[{\"type\":\"text\",\"text\":"
                 "\"secret-%lu\"}]}",
                 strtoul(secret + 7, NULL, 10));
    else
        strcpy(result, "{}");
    if (!strstr(m->body, "\"method\"") || (strstr(m->body, "notifications/") && !strstr(m->body, "\"id\":")))
        say(s, "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n");
    else if (is_modern ? strstr(m->body, "\"initialize\"") : strstr(m->body, "server/discover"))
        say(s, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
    else
        say_result(s, id, result, !any(3));
}

static void
serve(struct sim_peer *s, const struct message *m)
{
    if (strncmp(m->head, "DELETE ", 7) == 0) {
        say(s, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        return;
    }
    if (strncmp(m->head, "GET ", 4) == 0 && any(2)) {
        answer_stream(s, "");
        say_chunk(s, "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\"}\n\n");
        return;
    }
    switch (any(20)) {
    case 0:
    case 1:
        say(s, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
        break;
    case 2:
        say(s, "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Bearer\r\nContent-Length: 0\r\n\r\n");
        break;
    case 3:
        say(s, "HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n");
        break;
    case 4:
        sim_peer_reset(s);
        settle();
        break;
    case 5:
        answer(s, "", "{\"jsonrpc\":\"2.0\",\"id\":");
        break;
    case 6:
        break; /* never */
    case 7:
        answer_stream(s, "");
        sim_peer_reset(s);
        settle();
        break;
    default:
        serve_rightly(s, m, strstr(sim_peer_address(s), "10.0.0.3") != NULL);
    }
}

static void
serve_all(void)
{
    struct sim_peer *fresh;
    struct message *m;

    while ((fresh = server_next())) {
        cr_assert_lt(server_count, SERVERS_MAX);
        servers[server_count++] = fresh;
    }
    for (unsigned i = 0; i < server_count; i++)
        if (any(5) && (m = try_request(servers[i])))
            serve(servers[i], m);
}

/* --- the runs --- */

/* No client is there any more, and the upstreams stand still: nothing that was asked for stays open. */
static void
leave_all(void)
{
    for (unsigned i = 0; i < peer_count; i++)
        sim_peer_reset(peers[i]);
    advance(1200000);
    cr_assert_eq(counter(STAT_exchanges_open), 0, "open for ever");
    cr_assert_eq(counter(STAT_calls_parked), 0, "parked for ever");
}

static void
set_death(unsigned within)
{
    sim_kill_at(world.sim, within ? sim_steps(world.sim) + 1 + any(within) : 0);
}

/* Its connections are gone on both sides; sessions and request states outlive it, as far as they can. */
static void
meet_next_worker(unsigned within)
{
    set_death(0);
    world_next_life();
    server_count = peer_count = 0;
    memset(clients, 0, sizeof clients);
    set_death(within);
}

/* `within`: a worker dies about every so many steps of the simulator; 0: never. */
static void
run_with_deaths(uint64_t seed, unsigned within)
{
    server_count = peer_count = secrets = state_secret = 0;
    state[0] = '\0';
    memset(sessions, 0, sizeof sessions);
    memset(clients, 0, sizeof clients);
    world_open(seed, "--upstream", "a=http://10.0.0.2:80/mcp", "--upstream", "b=http://10.0.0.3:80/mcp",
               "--era-ttl", "10s", "--merge-deadline", "500ms", "--list-ttl", "1s", "--park-timeout", "3s",
               "--orphan-timeout", seed % 2 ? "0" : "2s", "--session-idle", "30s", NULL);
    if (seed % 2)
        sim_faults_random(world.sim);
    if (seed % 3 == 0) {
        sim_set_fault(world.sim, SIM_RESET, (unsigned)any(20));
        sim_set_fault(world.sim, SIM_EMFILE, (unsigned)any(20));
    }
    set_death(within);
    for (unsigned i = 0; i < STEPS; i++) {
        client_step(&clients[any(CLIENTS)]);
        serve_all();
        if (!any(3))
            advance((unsigned)any(400));
        if (world.is_killed)
            meet_next_worker(within);
    }
    set_death(0);
    if (!any(3))
        leave_all();
    world_close_after((unsigned)any(3) * 1000);
}

static void
run(uint64_t seed)
{
    run_with_deaths(seed, 0);
}

static void
run_killed(uint64_t seed)
{
    world_mortal(true);
    run_with_deaths(seed, seed % 3 ? 400 : 60);
    world_mortal(false);
}

static void
run_seeds(void (*run_one)(uint64_t seed))
{
    const char *one = getenv("SIM_SEED"), *count = getenv("SIM_SEEDS");
    unsigned seeds = count ? (unsigned)atoi(count) : 60;

    if (one) {
        run_one(strtoull(one, NULL, 10));
        return;
    }
    for (unsigned i = 1; i <= seeds; i++) {
        if (getenv("SIM_LOG"))
            fprintf(stderr, "seed %u\n", i);
        run_one(i);
    }
}

Test(bridging_random, survives_any_clients_and_upstreams, .timeout = 280)
{
    run_seeds(run);
}

Test(bridging_random, goes_on_after_workers_that_were_killed_at_any_step, .timeout = 280)
{
    run_seeds(run_killed);
}
