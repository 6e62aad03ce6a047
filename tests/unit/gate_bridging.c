/* SPDX-License-Identifier: Apache-2.0 */
/* Clients and upstreams of different eras, on a whole worker in the simulator: what is asked first, what is
 * translated, and what happens when one of them goes. */
#include "gate_bridging.h"

Test(bridging, brings_a_modern_call_to_a_server_before_2026)
{
    struct message *m;
    unsigned long long n;

    world_open(1, UPSTREAM, NULL);
    post_modern("echo", ECHO_CALL);
    refuse_probe();
    initialize_upstream("s1");
    m = next_request();
    cr_assert(strstr(m->body, "\"arguments\":{\"a\":1}"), "%s", m->body);
    cr_assert_null(strstr(m->body, "io.modelcontextprotocol"), "%s", m->body);
    cr_assert_null(strstr(m->body, "\"one\""), "the id is the gateway's: %s", m->body);
    cr_assert_str_eq(field(m, "Mcp-Session-Id"), "s1");
    cr_assert_null(field(m, "Mcp-Method"));
    n = number_of(m);
    answer_call(n, "{\"content\":[]}");
    m = reply_of(client);
    cr_assert_eq(m->status, 200);
    cr_assert(strstr(m->body, "\"id\":\"one\""), "%s", m->body);
    cr_assert(strstr(m->body, "\"resultType\":\"complete\""), "%s", m->body);
    cr_assert_null(field(m, "Mcp-Session-Id"));
    world_close();
}

Test(bridging, asks_an_upstream_once_and_initialises_it_once)
{
    struct message *m;

    world_open(1, UPSTREAM, NULL);
    post_modern("echo", ECHO_CALL);
    refuse_probe();
    initialize_upstream("s1");
    answer_call(number_of(next_request()), "{\"content\":[]}");
    reply_of(client);
    for (unsigned i = 0; i < 3; i++) {
        post_modern("echo", ECHO_CALL);
        m = next_request();
        cr_assert(strstr(m->body, "tools/call"), "%s", m->body);
        answer_call(number_of(m), "{\"content\":[]}");
        cr_assert_eq(reply_of(client)->status, 200);
    }
    world_close();
}

Test(bridging, relays_the_first_request_and_splices_the_next_where_both_are_modern)
{
    struct message *m;

    world_open(1, UPSTREAM, NULL);
    post_modern("echo", ECHO_CALL);
    next_request();
    answer(server, "", DISCOVERED);
    refuse_initialize();
    m = next_request();
    cr_assert_str_eq(m->body, ECHO_CALL);
    cr_assert_str_eq(field(m, "Mcp-Name"), "echo");
    answer(server, "", "{\"jsonrpc\":\"2.0\",\"id\":\"one\",\"result\":{\"resultType\":\"complete\"}}");
    m = reply_of(client);
    cr_assert_str_eq(m->body,
                     "{\"jsonrpc\":\"2.0\",\"id\":\"one\",\"result\":{\"resultType\":\"complete\"}}");
    cr_assert_eq(counter(STAT_legs_begun), 2, "the probes");
    post_modern("echo", ECHO_CALL);
    cr_assert_str_eq(next_request()->body, ECHO_CALL);
    cr_assert_eq(counter(STAT_legs_begun), 2, "spliced");
    answer(server, "", "{}");
    reply_of(client);
    world_close();
}

Test(bridging, relays_initialize_with_the_upstreams_own_session)
{
    struct message *m;

    world_open(1, UPSTREAM, NULL);
    client = client_new();
    post(client, MCP_ACCEPT, INITIALIZE);
    refuse_probe();
    settle_on("2025-06-18");
    m = next_request();
    cr_assert_str_eq(m->body, INITIALIZE);
    answer(server, "Mcp-Session-Id: theirs\r\n", RESULT(0));
    m = reply_of(client);
    cr_assert_str_eq(m->body, RESULT(0));
    cr_assert_str_eq(field(m, "Mcp-Session-Id"), "theirs");
    world_close();
}

/* The client of INITIALIZE with a server that speaks 2025-11-25 only; the fields of its session. */
static void
open_beside_another_revision(char fields[1024])
{
    struct message *m;

    client = client_new();
    post(client, MCP_ACCEPT, INITIALIZE);
    refuse_probe();
    settle_on("2025-11-25");
    initialize_upstream("s1");
    m = reply_of(client);
    cr_assert(strstr(m->body, "\"protocolVersion\":\"2025-06-18\""), "%s", m->body);
    cr_assert_str_neq(field(m, "Mcp-Session-Id"), "s1");
    snprintf(fields, 1024, MCP_ACCEPT "MCP-Protocol-Version: 2025-06-18\r\nMcp-Session-Id: %s\r\n",
             field(m, "Mcp-Session-Id"));
}

Test(bridging, negotiates_each_side_by_itself_where_the_server_settles_on_another_revision)
{
    struct message *m;
    char fields[1024];

    world_open(1, UPSTREAM, NULL);
    open_beside_another_revision(fields);
    post(client, fields, CALL(5));
    m = next_request();
    cr_assert_str_eq(field(m, "Mcp-Session-Id"), "s1");
    cr_assert_str_eq(field(m, "MCP-Protocol-Version"), "2025-11-25");
    answer_call(number_of(m), "{\"content\":[]}");
    cr_assert(strstr(reply_of(client)->body, "\"id\":5"));
    world_close();
}

Test(bridging, puts_a_servers_question_to_an_older_client_under_a_number_of_its_own)
{
    struct sim_peer *caller;
    struct message *m;
    char fields[1024], body[512];
    const char *id;
    unsigned long long number;
    unsigned long long asked = 0;

    world_open(1, UPSTREAM, NULL);
    open_beside_another_revision(fields);
    post(client, fields, CALL(5));
    number = number_of(next_request());
    caller = server;
    answer_stream(server, "");
    say_chunk(server,
              "data: {\"jsonrpc\":\"2.0\",\"id\":\"theirs\",\"method\":\"elicitation/create\",\"params\":"
              "{\"message\":\"Who?\",\"requestedSchema\":{}}}\n\n");
    cr_assert(has(client, "\"method\":\"elicitation/create\""));
    cr_assert_not(has(client, "\"theirs\""));
    id = strstr(sim_peer_peek(client, NULL), "\"jsonrpc\":\"2.0\",\"id\":");
    cr_assert(id && sscanf(id + strlen("\"jsonrpc\":\"2.0\",\"id\":"), "%llu", &asked) == 1);
    snprintf(body, sizeof body, "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":{\"action\":\"decline\"}}",
             asked);
    {
        struct sim_peer *answering = client_new();

        post(answering, fields, body);
        m = next_request();
        cr_assert_str_eq(m->body,
                         "{\"jsonrpc\":\"2.0\",\"id\":\"theirs\",\"result\":{\"action\":\"decline\"}}");
        say(server, "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n");
        cr_assert_eq(reply_of(answering)->status, 202);
    }
    snprintf(body, sizeof body, "data: {\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":{\"content\":[]}}\n\n",
             number);
    say_chunk(caller, body);
    say(caller, "0\r\n\r\n");
    cr_assert(strstr(reply_of(client)->body, "\"id\":5"));
    world_close();
}

Test(bridging, relays_a_streamed_reply_event_by_event)
{
    struct message *m;

    world_open(1, UPSTREAM, NULL);
    client = client_new();
    post(client, MCP_ACCEPT, CALL(5));
    refuse_probe();
    cr_assert_str_eq(next_request()->body, CALL(5));
    answer_stream(server, "");
    say_chunk(server, "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/x\"}\n\n");
    cr_assert(has(client, "notifications/x"));
    say_chunk(server, "data: " RESULT(5) "\n\n");
    say(server, "0\r\n\r\n");
    m = reply_of(client);
    cr_assert(strstr(m->body, "data: " RESULT(5) "\n\n"), "%s", m->body);
    world_close();
}

Test(bridging, brings_progress_back_with_the_clients_own_token)
{
    struct message *m;
    unsigned long long n;

    world_open(1, UPSTREAM, NULL);
    post_modern("echo", ECHO_CALL);
    refuse_probe();
    initialize_upstream("s1");
    n = number_of(next_request());
    answer_stream(server, "");
    {
        char event[256];

        snprintf(event, sizeof event,
                 "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":"
                 "{\"progressToken\":%llu,\"progress\":1}}\n\n",
                 n);
        say_chunk(server, event);
        cr_assert(has(client, "\"progressToken\":\"t\""));
        snprintf(event, sizeof event, "data: {\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":{\"content\":[]}}\n\n",
                 n);
        say_chunk(server, event);
    }
    m = reply_of(client);
    cr_assert(strstr(m->body, "\"id\":\"one\""), "%s", m->body);
    world_close();
}

/* The call is with the upstream, whose stream has an id and then ends. */
static unsigned long long
call_that_is_polled(void)
{
    unsigned long long n;

    world_open(1, UPSTREAM, NULL);
    post_modern("echo", ECHO_CALL);
    refuse_probe();
    initialize_upstream("s1");
    n = number_of(next_request());
    answer_stream(server, "");
    say_chunk(server, "retry: 200\nid: e/7\ndata:\n\n");
    say(server, "0\r\n\r\n");
    cr_assert_null(try_reply(client));
    return n;
}

static void
expect_comeback(const char *id)
{
    struct message *m = next_request();

    cr_assert(strncmp(m->head, "GET ", 4) == 0, "%s", m->head);
    cr_assert_str_eq(field(m, "Last-Event-ID"), id);
    cr_assert_str_eq(field(m, "Mcp-Session-Id"), "s1");
}

Test(bridging, asks_for_the_rest_of_a_reply_whose_stream_the_upstream_ended)
{
    unsigned long long n = call_that_is_polled();
    char event[256];

    advance(250);
    expect_comeback("e/7");
    answer_stream(server, "");
    say_chunk(server, "id: e/8\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/x\"}\n\n");
    say(server, "0\r\n\r\n");
    advance(1100);
    expect_comeback("e/8");
    answer_stream(server, "");
    snprintf(event, sizeof event, "data: {\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":{\"content\":[]}}\n\n", n);
    say_chunk(server, event);
    cr_assert(strstr(reply_of(client)->body, "\"id\":\"one\""));
    world_close();
}

Test(bridging, fails_a_call_whose_upstream_does_not_go_on_with_its_reply_and_never_repeats_it)
{
    for (int status = 404; status < 406; status++) {
        struct message *m;

        call_that_is_polled();
        advance(250);
        expect_comeback("e/7");
        say(server, "HTTP/1.1 %d No\r\nContent-Length: 0\r\n\r\n", status);
        m = reply_of(client);
        cr_assert_eq(m->status, 502);
        cr_assert(strstr(m->body, "\"id\":\"one\""), "%s", m->body);
        cr_assert(!has(server, "tools/call"));
        world_close();
    }
}

Test(bridging, gives_a_reply_up_that_brings_nothing_new_again_and_again)
{
    unsigned asked = 0;

    call_that_is_polled();
    for (unsigned i = 0; i < 20; i++) {
        struct sim_peer *fresh = server_next();
        struct message *m;

        if (fresh)
            server = fresh;
        m = try_request(server);
        if (m && strncmp(m->head, "GET ", 4) == 0) {
            asked++;
            sim_peer_close(server);
            settle();
        }
        advance(1000);
    }
    cr_assert_eq(asked, 3);
    cr_assert_eq(reply_of(client)->status, 502);
    world_close();
}

Test(bridging, tells_an_upstream_that_a_call_whose_stream_has_ended_is_cancelled)
{
    struct message *m;

    call_that_is_polled();
    sim_peer_close(client);
    settle();
    m = next_request();
    cr_assert(strstr(m->body, "notifications/cancelled"), "%s", m->body);
    say(server, "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n");
    advance(1000);
    cr_assert(!has(server, "Last-Event-ID"));
    world_close();
}

Test(bridging, tells_an_older_server_when_its_modern_client_has_gone)
{
    struct message *m;
    unsigned long long n;
    char wanted[64];

    world_open(1, UPSTREAM, NULL);
    post_modern("echo", ECHO_CALL);
    refuse_probe();
    initialize_upstream("s1");
    n = number_of(next_request());
    sim_peer_reset(client);
    settle();
    m = next_request();
    cr_assert(strstr(m->body, "notifications/cancelled"), "%s", m->body);
    snprintf(wanted, sizeof wanted, "\"requestId\":%llu", n);
    cr_assert(strstr(m->body, wanted), "%s", m->body);
    say(server, "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n");
    world_close();
}

Test(bridging, initialises_anew_and_repeats_the_call_when_the_upstream_forgot_its_session)
{
    struct message *m;

    world_open(1, UPSTREAM, NULL);
    post_modern("echo", ECHO_CALL);
    refuse_probe();
    initialize_upstream("s1");
    next_request();
    say(server, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    initialize_upstream("s2");
    m = next_request();
    cr_assert(strstr(m->body, "tools/call"), "%s", m->body);
    cr_assert_str_eq(field(m, "Mcp-Session-Id"), "s2");
    answer_call(number_of(m), "{\"content\":[]}");
    cr_assert_eq(reply_of(client)->status, 200);
    cr_assert_eq(up_counter(UPSTAT_up_reinitialized), 1);
    world_close();
}

Test(bridging, passes_a_challenge_on_to_the_client)
{
    struct message *m;

    world_open(1, UPSTREAM, NULL);
    post_modern("echo", ECHO_CALL);
    next_request();
    say(server, "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Bearer\r\nContent-Length: 0\r\n\r\n");
    m = next_request(); /* no evidence of an era: as it is */
    cr_assert_str_eq(m->body, ECHO_CALL);
    say(server,
        "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Bearer realm=\"x\"\r\nContent-Length: 0\r\n\r\n");
    m = reply_of(client);
    cr_assert_eq(m->status, 401);
    cr_assert_str_eq(field(m, "WWW-Authenticate"), "Bearer realm=\"x\"");
    world_close();
}

Test(bridging, passes_the_challenge_of_initialize_on_to_the_call_that_waits_for_it)
{
    struct message *m;

    world_open(1, UPSTREAM, NULL);
    for (unsigned i = 0; i < 3; i++) {
        post_modern("echo", ECHO_CALL);
        if (!i)
            refuse_probe();
        cr_assert(strstr(next_request()->body, "\"initialize\""));
        say(server,
            "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Bearer realm=\"%u\"\r\n"
            "Content-Length: 0\r\n\r\n",
            i);
        m = reply_of(client);
        cr_assert_eq(m->status, 401);
        cr_assert(strstr(field(m, "WWW-Authenticate"), "Bearer realm="));
    }
    world_close();
}

/* What was said in the session before is not what the new one is begun with. */
Test(bridging, takes_no_late_answer_for_the_end_of_a_greeting)
{
    struct sim_peer *late, *hello;
    struct message *m;

    world_open(1, UPSTREAM, NULL);
    post_modern("echo", ECHO_CALL);
    refuse_probe();
    initialize_upstream("s1");
    next_request();
    sim_peer_reset(client);
    settle();
    cr_assert(strstr(next_request()->body, "notifications/cancelled"));
    late = server;
    post_modern("echo", ECHO_CALL);
    next_request();
    say(server, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    cr_assert(strstr(next_request()->body, "\"initialize\""));
    hello = server;
    say(late, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    cr_assert_null(try_reply(client));
    answer(hello, "Mcp-Session-Id: s2\r\n",
           "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"protocolVersion\":\"2025-11-25\",\"capabilities\":"
           "{\"tools\":{}},\"serverInfo\":{\"name\":\"s\",\"version\":\"1\"}}}");
    for (;;) { /* on either connection */
        struct sim_peer *fresh = server_next();

        server = fresh ? fresh : server;
        if ((m = try_request(server)) || (server = hello, m = try_request(hello)) ||
            (server = late, m = try_request(late)))
            break;
    }
    cr_assert(strstr(m->body, "notifications/initialized"), "%s", m->body);
    cr_assert_str_eq(field(m, "Mcp-Session-Id"), "s2");
    say(server, "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n");
    if (!(m = try_request(server)) && !(server = hello, m = try_request(hello)))
        server = late, m = try_request(late);
    cr_assert(m && strstr(m->body, "tools/call"));
    answer_call(number_of(m), "{\"content\":[]}");
    cr_assert_eq(reply_of(client)->status, 200);
    world_close();
}

Test(bridging, gives_an_initialize_up_whose_stream_never_brings_the_answer)
{
    world_open(1, UPSTREAM, "--first-byte-timeout", "10s", "--connect-timeout", "1s", "--upstream-wait", "1s",
               NULL);
    post_modern("echo", ECHO_CALL);
    refuse_probe();
    next_request();
    answer_stream(server, "");
    for (unsigned i = 0; i < 13; i++) {
        say_chunk(server, "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/x\"}\n\n");
        advance(1000);
    }
    cr_assert_eq(reply_of(client)->status, 504);
    world_close();
}

Test(bridging, knows_no_session_and_no_last_event_of_a_modern_client)
{
    struct message *m;

    world_open(1, UPSTREAM, NULL);
    for (unsigned i = 0; i < 2; i++) {
        client = client_new();
        post(client,
             MODERN_FIELDS "Mcp-Method: tools/call\r\nMcp-Name: echo\r\nMcp-Session-Id: someone\r\n"
                           "Last-Event-ID: 17\r\n",
             ECHO_CALL);
        if (i == 0) {
            refuse_probe();
            initialize_upstream("s1");
        }
        m = next_request();
        cr_assert_str_eq(field(m, "Mcp-Session-Id"), "s1");
        cr_assert_null(field(m, "Last-Event-ID"));
        answer_call(number_of(m), "{\"content\":[]}");
        m = reply_of(client);
        cr_assert_eq(m->status, 200);
        cr_assert_null(field(m, "Mcp-Session-Id"));
    }
    world_close();
}

/* --- what is shared --- */

static void
post_as(unsigned who)
{
    char fields[256];

    snprintf(fields, sizeof fields,
             MODERN_FIELDS "Mcp-Method: tools/call\r\nMcp-Name: echo\r\nAuthorization: Bearer %u\r\n", who);
    client = client_new();
    post(client, fields, ECHO_CALL);
}

Test(bridging, ends_a_shared_session_that_nobody_has_used_for_five_minutes)
{
    struct message *m;

    world_open(1, UPSTREAM, NULL);
    post_as(1);
    refuse_probe();
    initialize_upstream("s1");
    answer_call(number_of(next_request()), "{\"content\":[]}");
    reply_of(client);
    advance(310000);
    m = next_request();
    cr_assert(strncmp(m->head, "DELETE ", 7) == 0, "%s", m->head);
    cr_assert_str_eq(field(m, "Mcp-Session-Id"), "s1");
    cr_assert_str_eq(field(m, "Authorization"), "Bearer 1");
    say(server, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    world_close();
}

Test(bridging, keeps_a_shared_session_while_a_call_is_open)
{
    unsigned long long n;

    world_open(1, UPSTREAM, "--first-byte-timeout", "20m", "--total-timeout", "20m", NULL);
    post_as(1);
    refuse_probe();
    initialize_upstream("s1");
    n = number_of(next_request());
    advance(310000);
    answer_call(n, "{\"content\":[]}");
    cr_assert_eq(reply_of(client)->status, 200);
    world_close();
}

Test(bridging, speaks_for_so_many_credentials_at_a_time_and_says_so)
{
    struct message *m;

    world_open(1, UPSTREAM, "--upstream-max", "4000", NULL);
    post_as(0);
    refuse_probe();
    initialize_upstream("s1");
    answer_call(number_of(next_request()), "{\"content\":[]}");
    reply_of(client);
    for (unsigned i = 1; i < 1024; i++)
        post_as(i); /* nobody answers initialize */
    post_as(1024);  /* in the place of the one that is not used */
    cr_assert_null(try_reply(client));
    post_as(1025);
    m = reply_of(client);
    cr_assert_eq(m->status, 503);
    cr_assert(strstr(m->body, "different credentials"), "%s", m->body);
    cr_assert_eq(closed_by(CLOSE_BONDS_FULL), 1);
    world_close_after(0);
}

/* --- questions of an older server to a modern client --- */

#define ELICITING_META                                                                                       \
    "\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\","                                 \
    "\"io.modelcontextprotocol/clientCapabilities\":{\"elicitation\":{}}}"
#define ASKING_CALL(id, more)                                                                                \
    "{\"jsonrpc\":\"2.0\",\"id\":" id ",\"method\":\"tools/call\",\"params\":{\"name\":\"echo\"" more        \
    ",\"arguments\":{}," ELICITING_META "}}"

/* Up to the input_required that the client gets; its requestState goes to state[]. */
static unsigned long long
call_and_be_asked(char *state, size_t size)
{
    struct message *m;
    unsigned long long n;
    char *begin, *end;

    post_modern("echo", ASKING_CALL("1", ""));
    refuse_probe();
    initialize_upstream("s1");
    n = number_of(next_request());
    answer_stream(server, "");
    say_chunk(server,
              "data: {\"jsonrpc\":\"2.0\",\"id\":\"q\",\"method\":\"elicitation/create\",\"params\":"
              "{\"message\":\"who?\",\"requestedSchema\":{\"type\":\"object\",\"properties\":{}}}}\n\n");
    m = reply_of(client);
    cr_assert(strstr(m->body, "\"resultType\":\"input_required\""), "%s", m->body);
    cr_assert(strstr(m->body, "\"elicitation/create\""), "%s", m->body);
    begin = strstr(m->body, "\"requestState\":\"");
    cr_assert_not_null(begin);
    begin += strlen("\"requestState\":\"");
    end = strchr(begin, '"');
    cr_assert(end && (size_t)(end - begin) < size);
    memcpy(state, begin, (size_t)(end - begin));
    state[end - begin] = '\0';
    cr_assert_eq(counter(STAT_calls_parked), 1);
    return n;
}

static void
retry(const char *state, const char *answers)
{
    char more[2048], body[4096];

    snprintf(more, sizeof more, ",\"requestState\":\"%s\",\"inputResponses\":%s", state, answers);
    snprintf(body, sizeof body,
             "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"tools/call\",\"params\":{\"name\":\"echo\"%s,"
             "\"arguments\":{}," ELICITING_META "}}",
             more);
    post_modern("echo", body);
}

Test(bridging, parks_a_call_whose_older_server_asks_and_goes_on_with_the_retry)
{
    struct sim_peer *call_server;
    struct message *m;
    char state[1024], event[256];
    unsigned long long n;

    world_open(1, UPSTREAM, NULL);
    n = call_and_be_asked(state, sizeof state);
    call_server = server;
    retry(state, "{\"1\":{\"action\":\"accept\",\"content\":{\"name\":\"x\"}}}");
    m = next_request();
    cr_assert(strstr(m->body, "\"id\":\"q\""), "%s", m->body);
    cr_assert(strstr(m->body, "\"action\":\"accept\""), "%s", m->body);
    say(server, "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n");
    snprintf(event, sizeof event, "data: {\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":{\"content\":[]}}\n\n", n);
    say_chunk(call_server, event);
    m = reply_of(client);
    cr_assert_eq(m->status, 200);
    cr_assert(strstr(m->body, "\"id\":2"), "%s", m->body);
    cr_assert(strstr(m->body, "\"complete\""), "%s", m->body);
    cr_assert_eq(counter(STAT_calls_parked), 0);
    world_close();
}

Test(bridging, asks_again_for_answers_that_are_missing)
{
    char state[1024];
    struct message *m;
    const char *begin;

    world_open(1, UPSTREAM, NULL);
    call_and_be_asked(state, sizeof state);
    for (unsigned i = 0; i < 2; i++) {
        struct sim_peer *caller = server;

        retry(state, "{\"of-nobody\":{\"action\":\"accept\",\"content\":{}}}");
        cr_assert_null(server_next(), "the server hears of none of it");
        server = caller;
        m = reply_of(client);
        cr_assert_eq(m->status, 200);
        cr_assert(strstr(m->body, "\"resultType\":\"input_required\""), "%s", m->body);
        begin = strstr(m->body, "\"requestState\":\"");
        cr_assert(begin && sscanf(begin, "\"requestState\":\"%1023[^\"]", state) == 1);
        cr_assert_eq(counter(STAT_calls_parked), 1);
    }
    world_close_after(0);
}

Test(bridging, takes_a_request_state_once_and_for_its_own_request_only)
{
    char state[1024], other[4096];
    struct message *m;

    world_open(1, UPSTREAM, NULL);
    call_and_be_asked(state, sizeof state);
    snprintf(other, sizeof other,
             "{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"tools/"
             "call\",\"params\":{\"name\":\"other\",\"requestState\":"
             "\"%s\",\"inputResponses\":{},\"arguments\":{}," ELICITING_META "}}",
             state);
    post_modern("other", other);
    m = reply_of(client);
    cr_assert_eq(m->status, 400);
    cr_assert(strstr(m->body, "-32602"), "%s", m->body);
    cr_assert_eq(counter(STAT_calls_parked), 1);
    retry(state, "{\"1\":{\"action\":\"decline\"}}");
    next_request();
    say(server, "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n");
    {
        struct sim_peer *first = client;

        retry(state, "{\"1\":{\"action\":\"decline\"}}");
        cr_assert(strstr(reply_of(client)->body, "-32602"));
        client = first;
    }
    world_close_after(0);
}

Test(bridging, gives_a_parked_call_up_when_its_client_does_not_come_back)
{
    char state[1024];

    world_open(1, UPSTREAM, "--park-timeout", "30s", NULL);
    call_and_be_asked(state, sizeof state);
    advance(31000);
    cr_assert_eq(counter(STAT_calls_parked), 0);
    cr_assert_eq(counter(STAT_calls_given_up), 1);
    cr_assert(strstr(next_request()->body, "notifications/cancelled"));
    say(server, "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n");
    world_close();
}

Test(bridging, splices_an_older_client_to_a_server_that_speaks_both)
{
    struct message *m;

    world_open(1, UPSTREAM, NULL);
    client = client_new();
    post(client, MCP_ACCEPT, INITIALIZE_LATEST);
    next_request();
    answer(server, "", DISCOVERED);
    cr_assert(strstr(next_request()->body, "\"initialize\""));
    answer(server, "Mcp-Session-Id: probe\r\n",
           "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"protocolVersion\":\"2025-11-25\",\"capabilities\":{},"
           "\"serverInfo\":{\"name\":\"s\",\"version\":\"1\"}}}");
    for (unsigned i = 0; i < 2; i++) { /* in any order, each on a connection of its own */
        struct sim_peer *peers[] = {server, server_next()};

        for (unsigned k = 0; k < 2; k++) {
            if (!peers[k] || !(m = try_request(peers[k])))
                continue;
            if (strncmp(m->head, "DELETE ", 7) == 0) {
                cr_assert_str_eq(field(m, "Mcp-Session-Id"), "probe");
                say(peers[k], "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
            } else {
                cr_assert_str_eq(m->body, INITIALIZE_LATEST);
                answer(peers[k], "Mcp-Session-Id: theirs\r\n", RESULT(0));
            }
        }
    }
    cr_assert_str_eq(field(reply_of(client), "Mcp-Session-Id"), "theirs");
    world_close_after(0);
}

/* --- tools that are not offered --- */

#define DENY UPSTREAM, "--deny-tool", "up=rm*", "--deny-tool", "up=drop"

Test(bridging, shows_no_tool_that_is_denied_and_calls_none_where_both_are_modern)
{
    struct sim_peer *first;
    struct message *m;
    unsigned long long n;

    world_open(1, DENY, NULL);
    client = client_new();
    post(client, MODERN_FIELDS "Mcp-Method: tools/list\r\n",
         "{\"jsonrpc\":\"2.0\",\"id\":\"l\",\"method\":\"tools/list\",\"params\":{" META "}}");
    next_request();
    first = server;
    answer(server, "", DISCOVERED);
    refuse_initialize();
    n = number_of(next_request());
    answer_call(
        n,
        "{\"resultType\":\"complete\",\"ttlMs\":0,\"cacheScope\":\"public\",\"tools\":[{\"name\":\"rmdir\","
        "\"inputSchema\":{}},{\"name\":\"echo\",\"inputSchema\":{}},{\"name\":\"r\\u006d\",\"inputSchema\":{}"
        "},"
        "{\"name\":\"arm\",\"inputSchema\":{}},{\"name\":\"drop\",\"inputSchema\":{}}]}");
    m = reply_of(client);
    cr_assert(
        strstr(m->body,
               "\"tools\":[{\"name\":\"echo\",\"inputSchema\":{}},{\"name\":\"arm\",\"inputSchema\":{}}]"),
        "%s", m->body);
    post_modern("rm",
                "{\"jsonrpc\":\"2.0\",\"id\":\"one\",\"method\":\"tools/call\",\"params\":{\"name\":\"rm\","
                "\"arguments\":{}," META "}}");
    m = reply_of(client);
    cr_assert(strstr(m->body, "\"id\":\"one\",\"error\":{\"code\":-32602"), "%s", m->body);
    cr_assert(!has(server, "tools/call") && !has(first, "tools/call"));
    post_modern("echo", ECHO_CALL);
    if (has(first, "tools/call")) /* whichever of the two is free */
        server = first;
    n = number_of(next_request());
    answer_call(n, "{\"resultType\":\"complete\",\"content\":[]}");
    cr_assert_eq(reply_of(client)->status, 200);
    world_close();
}

Test(bridging, calls_no_tool_that_is_denied_in_a_session_before_2026)
{
    world_open(1, DENY, NULL);
    client = client_new();
    post(client, MCP_ACCEPT, INITIALIZE);
    refuse_probe();
    initialize_upstream("s1");
    snprintf(session, sizeof session, MCP_ACCEPT "Mcp-Session-Id: %s\r\n",
             field(reply_of(client), "Mcp-Session-Id"));
    post(client, session,
         "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"drop\"}}");
    cr_assert(strstr(reply_of(client)->body, "\"id\":1,\"error\":{\"code\":-32602"));
    cr_assert(!has(server, "tools/call"));
    post(client, session,
         "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"tools/call\",\"params\":{\"name\":\"echo\"}}");
    answer_call(number_of(next_request()), "{\"content\":[]}");
    cr_assert_eq(reply_of(client)->status, 200);
    world_close();
}
