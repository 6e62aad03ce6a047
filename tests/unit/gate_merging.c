/* SPDX-License-Identifier: Apache-2.0 */
/* Several upstreams as one server, on a whole worker in the simulator. Both speak a revision before
 * 2026-07-28. */
#include "gate_world.h"

#include <stdlib.h>

#define UPSTREAMS                                                                                            \
    "--upstream", "a=http://10.0.0.2:80/mcp", "--upstream", "b=http://10.0.0.3:80/mcp", "--era-ttl", "1h"
#define META                                                                                                 \
    "\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\","                                 \
    "\"io.modelcontextprotocol/clientCapabilities\":{}}"
#define LIST "{\"jsonrpc\":\"2.0\",\"id\":\"l\",\"method\":\"tools/list\",\"params\":{" META "}}"

static struct sim_peer *client;

static void
ask(const char *method, const char *name, const char *body)
{
    client = client_new();
    say(client,
        "POST /mcp HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n" MCP_ACCEPT
        "MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: %s\r\n%s%s%sContent-Length: %zu\r\n\r\n%s",
        method, name ? "Mcp-Name: " : "", name ? name : "", name ? "\r\n" : "", strlen(body), body);
}

/* --- upstreams that answer by themselves, as far as they are told to --- */

struct upstream_peer {
    struct sim_peer *peer;
    bool is_b;
};

static struct upstream_peer peers[32];
static unsigned peer_count, lists_asked[2], calls[2];
static bool b_is_silent, a_has_pages;
static const char *a_asks = ""; /* "call" or "stream": where it puts a question */
static unsigned answers, changes_said;

#define QUESTION                                                                                             \
    "data: {\"jsonrpc\":\"2.0\",\"id\":\"q\",\"method\":\"elicitation/create\",\"params\":"                  \
    "{\"message\":\"who?\",\"requestedSchema\":{\"type\":\"object\",\"properties\":{}}}}\n\n"

static bool a_waits; /* for the answer */

/* Asks for a sign of life in the middle of what it was asked, whose answer comes behind it. */
static struct sim_peer *pinging;
static char held_back[1088];
static unsigned pongs;

static void
ping_first(struct upstream_peer *up, const char *fields, const char *json)
{
    snprintf(held_back, sizeof held_back, "data: %s\n\n", json);
    pinging = up->peer;
    answer_stream(up->peer, fields);
    say_chunk(up->peer, "data: {\"jsonrpc\":\"2.0\",\"id\":\"ping\",\"method\":\"ping\"}\n\n");
}

static void
serve_request(struct upstream_peer *up, const struct message *m)
{
    const char *id = strstr(m->body, "\"id\":");
    unsigned long n = id ? strtoul(id + 5, NULL, 10) : 0;
    char json[1024];

    if (!strcmp(a_asks, "401")) {
        say(up->peer, "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Bearer\r\nContent-Length: 0\r\n\r\n");
    } else if (!strcmp(a_asks, "secret") && strncmp(m->head, "GET ", 4) == 0 && field(m, "Authorization")) {
        answer_stream(up->peer, "");
        say_chunk(up->peer,
                  "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\"}\n\n");
        changes_said++;
    } else if (!strstr(m->body, "\"method\"") && strstr(m->body, "\"id\":\"ping\",\"result\":{}")) {
        pongs++;
        say(up->peer, "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n");
        say_chunk(pinging, held_back);
        say(pinging, "0\r\n\r\n");
    } else if (!strstr(m->body, "\"method\"") && m->body_len) {
        answers++;
        cr_assert(strstr(m->body, "\"id\":\"q\""), "%s", m->body);
        say(up->peer, "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n");
    } else if (!strcmp(a_asks, "stream") && !up->is_b && strncmp(m->head, "GET ", 4) == 0) {
        answer_stream(up->peer, "");
        say_chunk(up->peer, QUESTION);
    } else if (!strcmp(a_asks, "call") && !up->is_b && strstr(m->body, "tools/call")) {
        answer_stream(up->peer, "");
        say_chunk(up->peer, QUESTION);
        snprintf(json, sizeof json, "data: {\"jsonrpc\":\"2.0\",\"id\":%lu,\"result\":{\"content\":[]}}\n\n",
                 n);
        if (!a_waits)
            say_chunk(up->peer, json);
    } else if (strncmp(m->head, "GET ", 4) == 0) {
        say(up->peer, "HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\n\r\n");
    } else if (strncmp(m->head, "DELETE ", 7) == 0) { /* of a session that the era was asked in */
        say(up->peer, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    } else if (strstr(m->body, "server/discover")) {
        say(up->peer, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
    } else if (strstr(m->body, "\"initialize\"")) {
        snprintf(
            json, sizeof json,
            "{\"jsonrpc\":\"2.0\",\"id\":%lu,\"result\":{\"protocolVersion\":\"2025-11-25\",\"capabilities\":"
            "{\"tools\":{\"listChanged\":true}},\"serverInfo\":{\"name\":\"s\",\"version\":\"1\"}}}",
            n);
        if (!strcmp(a_asks, "ping") && !up->is_b)
            ping_first(up, "Mcp-Session-Id: s\r\n", json);
        else
            answer(up->peer, "Mcp-Session-Id: s\r\n", json);
    } else if (strstr(m->body, "notifications/")) {
        say(up->peer, "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n");
    } else if (strstr(m->body, "tools/list") && !strcmp(a_asks, "endless") && !up->is_b) {
        lists_asked[0]++;
        answer_stream(up->peer, "");
    } else if (strstr(m->body, "tools/list") && a_has_pages && !up->is_b && !strstr(m->body, "\"more\"")) {
        snprintf(json, sizeof json,
                 "{\"jsonrpc\":\"2.0\",\"id\":%lu,\"result\":{\"tools\":[{\"name\":\"first\",\"inputSchema\":"
                 "{\"type\":\"object\"}}],\"nextCursor\":\"more\"}}",
                 n);
        answer(up->peer, "", json);
    } else if (strstr(m->body, "tools/list")) {
        lists_asked[up->is_b]++;
        snprintf(json, sizeof json,
                 "{\"jsonrpc\":\"2.0\",\"id\":%lu,\"result\":{\"tools\":[{\"name\":\"%s\",\"inputSchema\":"
                 "{\"type\":\"object\"}}]}}",
                 n, up->is_b ? "write" : "read");
        if (!strcmp(a_asks, "ping") && !up->is_b)
            ping_first(up, "", json);
        else
            answer(up->peer, "", json);
    } else {
        calls[up->is_b]++;
        cr_assert(strstr(m->body, up->is_b ? "\"name\":\"write\"" : "\"name\":\"read\""), "%s", m->body);
        snprintf(json, sizeof json, "{\"jsonrpc\":\"2.0\",\"id\":%lu,\"result\":{\"content\":[]}}", n);
        answer(up->peer, "", json);
    }
}

/* Until nothing more is asked. */
static void
serve_all(void)
{
    bool more = true;

    while (more) {
        struct sim_peer *fresh;

        more = false;
        while ((fresh = server_next())) {
            cr_assert_lt(peer_count, 32);
            peers[peer_count++] =
                (struct upstream_peer){fresh, strstr(sim_peer_address(fresh), "10.0.0.3") != NULL};
        }
        for (unsigned i = 0; i < peer_count; i++) {
            struct message *m;

            if ((peers[i].is_b && b_is_silent) || !(m = try_request(peers[i].peer)))
                continue;
            serve_request(&peers[i], m);
            more = true;
        }
    }
}

static void
open_world(void)
{
    peer_count = lists_asked[0] = lists_asked[1] = calls[0] = calls[1] = 0;
    b_is_silent = a_has_pages = false;
    a_asks = "";
    answers = changes_said = 0;
    world_open(1, UPSTREAMS, "--merge-deadline", "2s", NULL);
}

Test(merging, lists_the_tools_of_all_upstreams_as_one)
{
    struct message *m;

    open_world();
    ask("tools/list", NULL, LIST);
    serve_all();
    m = reply_of(client);
    cr_assert_eq(m->status, 200);
    cr_assert(strstr(m->body, "\"id\":\"l\""), "%s", m->body);
    cr_assert(strstr(m->body, "\"name\":\"a__read\""), "%s", m->body);
    cr_assert(strstr(m->body, "\"name\":\"b__write\""), "%s", m->body);
    cr_assert(strstr(m->body, "\"resultType\":\"complete\""), "%s", m->body);
    world_close();
}

Test(merging, answers_a_ping_within_what_it_asks_itself)
{
    a_asks = "ping";
    world_open(1, UPSTREAMS, NULL);
    ask("tools/list", NULL, LIST);
    serve_all();
    cr_assert(strstr(reply_of(client)->body, "\"a__read\""));
    cr_assert_eq(pongs, 3,
                 "in both initialize, to learn of the server and to speak with it, and in tools/list");
    world_close();
}

Test(merging, has_its_lists_before_anybody_asks_with_prewarm)
{
    unsigned asked;

    peer_count = lists_asked[0] = lists_asked[1] = 0;
    b_is_silent = a_has_pages = false;
    a_asks = "";
    world_open(1, UPSTREAMS, "--prewarm", "1", "--list-ttl", "10s", NULL);
    for (unsigned i = 0; i < 20; i++) {
        advance(100);
        serve_all();
    }
    cr_assert_eq(lists_asked[0], 1);
    cr_assert_eq(lists_asked[1], 1);
    ask("tools/list", NULL, LIST);
    cr_assert(strstr(reply_of(client)->body, "\"a__read\""));
    cr_assert_eq(lists_asked[0], 1, "nobody had to be asked");
    asked = lists_asked[0];
    for (unsigned i = 0; i < 120; i++) {
        advance(100);
        serve_all();
    }
    cr_assert_gt(lists_asked[0], asked, "it has aged");
    world_close();
}

Test(merging, lists_all_pages_of_an_upstream)
{
    struct message *m;

    open_world();
    a_has_pages = true;
    ask("tools/list", NULL, LIST);
    serve_all();
    m = reply_of(client);
    cr_assert(strstr(m->body, "\"name\":\"a__first\""), "%s", m->body);
    cr_assert(strstr(m->body, "\"name\":\"a__read\""), "%s", m->body);
    cr_assert_eq(counter(STAT_lists_failed), 0);
    world_close();
}

Test(merging, answers_a_repeated_list_from_memory)
{
    open_world();
    ask("tools/list", NULL, LIST);
    serve_all();
    reply_of(client);
    for (unsigned i = 0; i < 3; i++) {
        ask("tools/list", NULL, LIST);
        cr_assert(strstr(reply_of(client)->body, "a__read"));
    }
    cr_assert_eq(lists_asked[0], 1);
    cr_assert_eq(lists_asked[1], 1);
    world_close();
}

Test(merging, asks_once_for_equal_lists_in_flight)
{
    struct sim_peer *clients[3];

    open_world();
    for (unsigned i = 0; i < 3; i++) {
        ask("tools/list", NULL, LIST);
        clients[i] = client;
    }
    serve_all();
    for (unsigned i = 0; i < 3; i++)
        cr_assert(strstr(reply_of(clients[i])->body, "b__write"));
    cr_assert_eq(lists_asked[0], 1);
    world_close();
}

Test(merging, brings_a_call_to_the_upstream_that_its_name_says)
{
    open_world();
    ask("tools/call", "b__write",
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/"
        "call\",\"params\":{\"name\":\"b__write\",\"arguments\":{}," META "}}");
    serve_all();
    cr_assert_eq(reply_of(client)->status, 200);
    cr_assert_eq(calls[0], 0);
    cr_assert_eq(calls[1], 1);
    world_close();
}

Test(merging, refuses_a_name_of_nobody)
{
    struct message *m;

    open_world();
    ask("tools/call", "c__x",
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"c__x\"," META "}}");
    m = reply_of(client);
    cr_assert(strstr(m->body, "-32602"), "%s", m->body);
    world_close();
}

Test(merging, waits_no_longer_than_the_deadline_for_one_upstream)
{
    struct message *m;

    open_world();
    b_is_silent = true;
    ask("tools/list", NULL, LIST);
    serve_all();
    cr_assert_null(try_reply(client));
    advance(2100);
    m = reply_of(client);
    cr_assert(strstr(m->body, "a__read"), "%s", m->body);
    cr_assert_null(strstr(m->body, "b__write"), "%s", m->body);
    cr_assert_eq(counter(STAT_merges_late), 1);
    world_close_after(0);
}

Test(merging, asks_again_when_a_list_never_came)
{
    peer_count = lists_asked[0] = 0;
    a_asks = "endless";
    world_open(1, UPSTREAMS, "--merge-deadline", "2s", "--first-byte-timeout", "10s", "--connect-timeout",
               "1s", "--upstream-wait", "1s", "--list-ttl", "1s", NULL);
    ask("tools/list", NULL, LIST);
    serve_all();
    advance(2100);
    cr_assert_null(strstr(reply_of(client)->body, "a__read"));
    advance(20000);
    a_asks = "";
    for (unsigned i = 0; i < 2; i++) {
        serve_all();
        advance(3000);
        ask("tools/list", NULL, LIST);
        serve_all();
    }
    cr_assert(strstr(reply_of(client)->body, "a__read"));
    cr_assert_geq(lists_asked[0], 2);
    world_close_after(0);
}

Test(merging, goes_without_an_upstream_that_refuses)
{
    struct message *m;

    peer_count = 0;
    b_is_silent = false;
    world_open(1, "--upstream", "a=http://10.0.0.2:80/mcp", "--upstream", "b=http://10.0.0.8:80/mcp",
               "--era-ttl", "1h", NULL);
    ask("tools/list", NULL, LIST);
    serve_all();
    m = reply_of(client);
    cr_assert(strstr(m->body, "a__read"), "%s", m->body);
    world_close();
}

/* --- a client with a session --- */

Test(merging, gives_an_older_client_one_session_for_all)
{
    struct message *m;
    char session[900];

    open_world();
    client = client_new();
    say(client,
        "POST /mcp HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n" MCP_ACCEPT
        "Content-Length: 147\r\n\r\n%-147s",
        "{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"initialize\",\"params\":{\"protocolVersion\":\"2025-06-"
        "18\","
        "\"capabilities\":{},\"clientInfo\":{\"name\":\"c\",\"version\":\"1\"}}}");
    serve_all();
    m = reply_of(client);
    cr_assert_eq(m->status, 200);
    cr_assert(strstr(m->body, "\"protocolVersion\":\"2025-06-18\""), "%s", m->body);
    cr_assert(strstr(m->body, "\"tools\""), "%s", m->body);
    cr_assert_not_null(field(m, "Mcp-Session-Id"));
    snprintf(session, sizeof session, "Mcp-Session-Id: %s\r\n", field(m, "Mcp-Session-Id"));
    for (unsigned i = 0; i < 2; i++) {
        say(client,
            "POST /mcp HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n" MCP_ACCEPT
            "%sContent-Length: 86\r\n\r\n%-86s",
            session,
            "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"a__read\"}}");
        serve_all();
        m = reply_of(client);
        cr_assert(strstr(m->body, "\"id\":1"), "%s", m->body);
    }
    cr_assert_eq(calls[0], 2);
    world_close();
}

/* --- questions of an older server to an older client --- */

static char session[900];

static void
say_of_session(const char *body)
{
    client = client_new();
    say(client,
        "POST /mcp HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n" MCP_ACCEPT
        "%sContent-Length: %zu\r\n\r\n%s",
        session, strlen(body), body);
    serve_all();
}

static const char *revision = "2025-06-18";

static void
open_asked_session(const char *where, bool waits)
{
    char body[300];
    struct message *m;

    open_world();
    a_asks = where;
    a_waits = waits;
    session[0] = '\0';
    snprintf(body, sizeof body,
             "{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"initialize\",\"params\":{\"protocolVersion\":\"%s\","
             "\"capabilities\":{\"elicitation\":{}},\"clientInfo\":{\"name\":\"c\",\"version\":\"1\"}}}",
             revision);
    say_of_session(body);
    m = reply_of(client);
    snprintf(session, sizeof session, "Mcp-Session-Id: %s\r\n", field(m, "Mcp-Session-Id"));
}

static void
answer_question(const char *arrived)
{
    const char *at = strstr(strstr(arrived, "data: "), "\"id\":");
    char body[200];

    cr_assert_not_null(at);
    snprintf(body, sizeof body, "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":{\"action\":\"decline\"}}",
             strtoull(at + 5, NULL, 10));
    say_of_session(body);
    cr_assert_eq(reply_of(client)->status, 202);
}

#define CALL_A "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"a__read\"}}"

Test(merging, brings_a_servers_question_to_an_older_client_and_the_answer_back)
{
    open_asked_session("call", true);
    say_of_session(CALL_A);
    cr_assert(has(client, "\"elicitation/create\""));
    answer_question(sim_peer_peek(client, NULL));
    cr_assert_eq(answers, 1);
    world_close_after(0);
}

Test(merging, forgets_a_question_that_was_not_answered_before_the_call_was)
{
    open_asked_session("call", false);
    say_of_session(CALL_A);
    cr_assert(strstr(reply_of(client)->body, "\"id\":1"));
    world_close(); /* the session is let go without it */
}

Test(merging, brings_a_question_of_the_servers_own_stream_to_the_clients)
{
    struct sim_peer *stream;

    open_asked_session("", false);
    say_of_session(CALL_A);
    reply_of(client);
    a_asks = "stream";
    stream = client_new();
    say(stream, "GET /mcp HTTP/1.1\r\nHost: x\r\n" MCP_ACCEPT "%s\r\n", session);
    serve_all();
    cr_assert(has(stream, "\"elicitation/create\""));
    answer_question(sim_peer_peek(stream, NULL));
    cr_assert_eq(answers, 1);
    world_close_after(0);
}

Test(merging, asks_a_client_that_comes_back_what_it_was_asked_meanwhile)
{
    struct sim_peer *stream;
    char id[64];

    revision = "2025-11-25";
    open_asked_session("", false);
    say_of_session(CALL_A);
    reply_of(client);
    a_asks = "stream";
    stream = client_new();
    say(stream, "GET /mcp HTTP/1.1\r\nHost: x\r\n" MCP_ACCEPT "%s\r\n", session);
    cr_assert_eq(sscanf(strstr(sim_peer_peek(stream, NULL), "id: "), "id: %63s", id), 1);
    sim_peer_close(stream);
    settle();
    cr_assert_eq(counter(STAT_streams_waiting), 1);
    serve_all();
    stream = client_new();
    say(stream, "GET /mcp HTTP/1.1\r\nHost: x\r\n" MCP_ACCEPT "%sLast-Event-ID: %s\r\n\r\n", session, id);
    cr_assert(has(stream, "\"elicitation/create\""), "%s", sim_peer_peek(stream, NULL));
    answer_question(sim_peer_peek(stream, NULL));
    cr_assert_eq(answers, 1);
    world_close_after(0);
}

/* The call goes on without its client, and there is nobody to challenge. */
Test(merging, challenges_no_client_that_has_left)
{
    open_asked_session("", false);
    a_asks = "401";
    say(client,
        "POST /mcp HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n" MCP_ACCEPT
        "%sContent-Length: %zu\r\n\r\n%s",
        session, strlen(CALL_A), CALL_A);
    sim_peer_reset(client);
    settle();
    cr_assert_eq(counter(STAT_exchanges_open), 1);
    serve_all();
    cr_assert_eq(counter(STAT_exchanges_open), 0);
    world_close();
}

Test(merging, takes_no_body_for_a_session_that_ended_since_its_head)
{
    struct sim_peer *late;

    open_asked_session("", false);
    late = client_new();
    say(late,
        "POST /mcp HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n" MCP_ACCEPT
        "%sContent-Length: %zu\r\n\r\n",
        session, strlen(CALL_A));
    client = client_new();
    say(client, "DELETE /mcp HTTP/1.1\r\nHost: x\r\n%s\r\n", session);
    cr_assert_eq(reply_of(client)->status, 200);
    say(late, "%s", CALL_A);
    cr_assert_eq(reply_of(late)->status, 404);
    serve_all();
    cr_assert_eq(calls[0], 0);
    world_close();
}

/* The answer to initialize finds nobody. */
Test(merging, drops_a_session_whose_upstream_is_being_initialised)
{
    open_asked_session("", false);
    say(client,
        "POST /mcp HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n" MCP_ACCEPT
        "%sContent-Length: %zu\r\n\r\n%s",
        session, strlen(CALL_A), CALL_A);
    client = client_new();
    say(client, "DELETE /mcp HTTP/1.1\r\nHost: x\r\n%s\r\n", session);
    cr_assert_eq(reply_of(client)->status, 200);
    serve_all();
    cr_assert_eq(calls[0], 0);
    world_close();
}

Test(merging, tells_no_client_of_the_merged_server_what_another_ones_credentials_hear)
{
    static const char listen[] =
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"subscriptions/listen\",\"params\":{\"notifications\":"
        "{\"toolsListChanged\":true}," META "}}";
    struct sim_peer *stream, *merged;

    open_asked_session("secret", false);
    stream = client_new();
    say(stream, "GET /mcp HTTP/1.1\r\nHost: x\r\n" MCP_ACCEPT "%s\r\n", session);
    ask("subscriptions/listen", NULL, listen);
    serve_all();
    merged = client;
    client = client_new();
    say(client,
        "POST /mcp/a HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n" MCP_ACCEPT
        "MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: subscriptions/listen\r\nAuthorization: Bearer x\r\n"
        "Content-Length: %zu\r\n\r\n%s",
        strlen(listen), listen);
    serve_all();
    cr_assert_eq(changes_said, 1);
    cr_assert(has(client, "tools/list_changed"));
    cr_assert(has(merged, "acknowledged"));
    cr_assert_not(has(merged, "tools/list_changed"));
    cr_assert_not(has(stream, "tools/list_changed"));
    world_close_after(0);
}
