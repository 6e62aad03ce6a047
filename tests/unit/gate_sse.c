/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP+SSE of 2024-11-05 on a whole worker in the simulator, at either end: what is posted and what is said
 * on the stream, and what happens when one of the two goes. */
#include "gate_one_upstream.h"

#define UPSTREAM  "--upstream", "up=http://10.0.0.2:80/mcp"
#define DETECTING "--era-ttl", "5m"
#define INITIALIZE                                                                                           \
    "{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"initialize\",\"params\":{\"protocolVersion\":\"2024-11-"     \
    "05\","                                                                                                  \
    "\"capabilities\":{},\"clientInfo\":{\"name\":\"c\",\"version\":\"1\"}}}"
#define INITIALIZED                                                                                          \
    "{\"protocolVersion\":\"2025-11-25\",\"capabilities\":{\"tools\":{}},\"serverInfo\":{\"name\":\"s\","    \
    "\"version\":\"1\"}}"
#define CANCEL(id)                                                                                           \
    "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":" #id "}}"

static struct sim_peer *stream;
static char endpoint[512];

/* --- the client --- */

static void
open_stream(const char *fields)
{
    const char *at, *end;

    stream = client_new();
    get(stream, "/sse/up", fields);
    at = strstr(sim_peer_peek(stream, NULL), "event: endpoint\ndata: ");
    cr_assert(at, "%s", sim_peer_peek(stream, NULL));
    at += strlen("event: endpoint\ndata: ");
    end = strchr(at, '\n');
    cr_assert(end && (size_t)(end - at) < sizeof endpoint);
    snprintf(endpoint, sizeof endpoint, "%.*s", (int)(end - at), at);
    cr_assert(strstr(endpoint, "/messages?sessionId=") == endpoint, "%s", endpoint);
}

static struct sim_peer *
post_message(const char *body)
{
    struct sim_peer *client = client_new();

    say(client,
        "POST %s HTTP/1.1\r\nHost: gate\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
        endpoint, strlen(body), body);
    return client;
}

/* The reply to a message that is posted to the endpoint. */
static struct message *
tell(const char *body)
{
    return reply_of(post_message(body));
}

static void
post_accepted(const char *body)
{
    struct message *m = tell(body);

    cr_assert_eq(m->status, 202, "%d %s", m->status, m->body);
    cr_assert_str_eq(m->body, "Accepted");
}

/* --- an upstream of streamable HTTP --- */

static void
accept_post(void)
{
    say(server, "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n");
}

/* The stream, greeted; the upstream offers no stream of its own. */
static void
open_session(void)
{
    struct message *m;

    struct sim_peer *client;

    open_stream("");
    client = post_message(INITIALIZE);
    m = next_request();
    cr_assert(strstr(m->body, "\"protocolVersion\":\"2024-11-05\""), "%s", m->body);
    answer_call(number_of(m), INITIALIZED);
    cr_assert(strstr(next_request()->body, "notifications/initialized"));
    accept_post();
    cr_assert_eq(reply_of(client)->status, 202);
    cr_assert(has(stream, "\"id\":0,\"result\""), "%s", sim_peer_peek(stream, NULL));
    cr_assert(strncmp(next_request()->head, "GET ", 4) == 0);
    say(server, "HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\n\r\n");
    sim_peer_discard(stream);
}

/* --- towards clients --- */

Test(sse_client, gets_its_answers_on_the_stream_and_not_from_the_post)
{
    world_open(1, UPSTREAM, NULL);
    open_session();
    post_accepted(CALL(5));
    answer_call(number_of(next_request()), "{\"content\":[]}");
    cr_assert(has(stream, "event: message\ndata: "));
    cr_assert(has(stream, "{\"jsonrpc\":\"2.0\",\"id\":5,\"result\":{\"content\":[]}}\n\n\r\n"),
              "an event is one chunk: %s", sim_peer_peek(stream, NULL));
    cr_assert_eq(counter(STAT_streams_open), 1);
    world_close();
}

Test(sse_client, posts_one_message_after_another_on_one_connection)
{
    struct sim_peer *client;

    world_open(1, UPSTREAM, NULL);
    open_session();
    client = client_new();
    for (unsigned i = 0; i < 3; i++) {
        say(client,
            "POST %s HTTP/1.1\r\nHost: gate\r\nContent-Type: application/json\r\nContent-Length: "
            "%zu\r\n\r\n%s",
            endpoint, strlen(CALL(5)), CALL(5));
        cr_assert_eq(reply_of(client)->status, 202);
        answer_call(number_of(next_request()), "{}");
    }
    world_close();
}

Test(sse_client, gets_a_result_of_many_lines_as_one)
{
    world_open(1, UPSTREAM, NULL);
    open_session();
    post_accepted(CALL(5));
    answer_call(number_of(next_request()), "{\n  \"content\": [\r\n  ]\n}");
    cr_assert(has(stream, "\"result\":{   \"content\": [    ] }}\n\n"), "%s", sim_peer_peek(stream, NULL));
    world_close();
}

Test(sse_client, hears_why_a_call_failed_under_the_id_of_the_call)
{
    world_open(1, UPSTREAM, NULL);
    open_session();
    post_accepted("{\"jsonrpc\":\"2.0\",\"id\":\"an id that is longer than what is kept of ids for errors\","
                  "\"method\":\"tools/call\",\"params\":{\"name\":\"x\"}}");
    next_request();
    sim_peer_reset(server);
    settle();
    cr_assert(has(stream, "\"id\":\"an id that is longer than what is kept of ids for errors\",\"error\":{"),
              "%s", sim_peer_peek(stream, NULL));
    cr_assert_eq(closed_by(CLOSE_UPSTREAM_GONE), 1);
    world_close();
}

Test(sse_client, hears_that_a_call_took_too_long)
{
    world_open(1, UPSTREAM, "--total-timeout", "2s", "--first-byte-timeout", "60s", NULL);
    open_session();
    post_accepted(CALL(5));
    next_request();
    advance(2100);
    cr_assert(has(stream, "\"id\":5,\"error\":{\"code\":-32000"), "%s", sim_peer_peek(stream, NULL));
    world_close();
}

Test(sse_client, ends_with_its_stream_all_that_is_open)
{
    struct message *m;
    unsigned long long n;
    char wanted[64];

    world_open(1, UPSTREAM, NULL);
    open_session();
    post_accepted(CALL(5));
    n = number_of(next_request());
    sim_peer_close(stream);
    settle();
    cr_assert_eq(closed_by(CLOSE_STREAM_GONE), 1);
    cr_assert_eq(counter(STAT_sessions_ended), 1);
    m = next_request();
    snprintf(wanted, sizeof wanted, "\"requestId\":%llu", n);
    cr_assert(strstr(m->body, "notifications/cancelled") && strstr(m->body, wanted), "%s", m->body);
    accept_post();
    cr_assert_eq(tell(CALL(6))->status, 404);
    world_close();
}

Test(sse_client, is_not_answered_what_it_cancelled)
{
    world_open(1, UPSTREAM, NULL);
    open_session();
    post_accepted(CALL(5));
    next_request();
    post_accepted(CANCEL(5));
    cr_assert(strstr(next_request()->body, "notifications/cancelled"));
    accept_post();
    cr_assert_not(has(stream, "\"id\":5"));
    cr_assert_eq(closed_by(CLOSE_CANCELLED), 1);
    world_close();
}

Test(sse_client, is_asked_to_wait_while_it_does_not_read)
{
    static char large[200000];
    struct sim_peer *callee[2];
    unsigned long long numbers[2];
    struct message *m;

    memset(large, 'x', sizeof large - 1);
    world_open(1, UPSTREAM, NULL);
    open_session();
    sim_peer_set_window(stream, 100);
    for (unsigned i = 0; i < 2; i++) {
        post_accepted(CALL(5));
        numbers[i] = number_of(next_request());
        callee[i] = server;
    }
    for (unsigned i = 0; i < 2; i++)
        say(callee[i],
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n"
            "{\"jsonrpc\":\"2.0\",\"id\":%20llu,\"result\":{\"x\":\"%s\"}}",
            strlen(large) + 61, numbers[i], large);
    m = tell(CALL(6));
    cr_assert_eq(m->status, 503, "%d", m->status);
    cr_assert(strstr(m->body, "fallen behind"), "%s", m->body);
    cr_assert_eq(closed_by(CLOSE_SESSION_BUSY), 1);
    cr_assert_eq(tell(CANCEL(9))->status, 202, "what needs no answer is taken");
    sim_peer_set_window(stream, 1 << 20);
    settle();
    cr_assert_gt(sim_peer_received(stream), 2 * sizeof large, "nothing was dropped");
    post_accepted(CALL(7));
    answer_call(number_of(next_request()), "{}");
    world_close();
}

Test(sse_client, has_a_bounded_number_of_calls)
{
    world_open(1, UPSTREAM, "--upstream-max", "1000", NULL);
    open_session();
    for (unsigned i = 0; i < 256; i++)
        post_accepted(CALL(5));
    cr_assert_eq(tell(CALL(5))->status, 503);
    world_close();
}

Test(sse_client, does_not_wait_long_for_the_202_of_an_initialize)
{
    struct sim_peer *client;
    struct message *m;

    world_open(1, UPSTREAM, NULL);
    open_stream("");
    client = post_message(INITIALIZE);
    advance(900);
    cr_assert_null(try_reply(client));
    advance(200);
    cr_assert_eq(reply_of(client)->status, 202);
    m = next_request();
    answer_call(number_of(m), INITIALIZED);
    cr_assert(strstr(next_request()->body, "notifications/initialized"));
    accept_post();
    cr_assert(has(stream, "\"id\":0,\"result\""), "%s", sim_peer_peek(stream, NULL));
    world_close();
}

Test(sse_client, hears_from_the_post_of_initialize_that_the_upstream_wants_credentials_and_may_try_again)
{
    struct sim_peer *client;
    struct message *m;

    world_open(1, UPSTREAM, NULL);
    open_stream("");
    client = post_message(INITIALIZE);
    next_request();
    say(server, "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Bearer\r\nContent-Length: 0\r\n\r\n");
    m = reply_of(client);
    cr_assert_eq(m->status, 401, "%d", m->status);
    cr_assert_str_eq(field(m, "WWW-Authenticate"), "Bearer");
    client = post_message(INITIALIZE);
    answer_call(number_of(next_request()), INITIALIZED);
    cr_assert(strstr(next_request()->body, "notifications/initialized"));
    accept_post();
    cr_assert_eq(reply_of(client)->status, 202);
    cr_assert(has(stream, "\"id\":0,\"result\""), "%s", sim_peer_peek(stream, NULL));
    world_close();
}

Test(sse_client, gets_heartbeats)
{
    world_open(1, UPSTREAM, "--heartbeat", "1s", NULL);
    open_session();
    advance(1100);
    cr_assert(has(stream, ":"), "%s", sim_peer_peek(stream, NULL));
    world_close();
}

Test(sse_client, gets_the_answer_that_it_waits_for_before_a_drain_ends_its_stream)
{
    unsigned long long n;

    world_open(1, UPSTREAM, NULL);
    open_session();
    post_accepted(CALL(5));
    n = number_of(next_request());
    worker_drain(world.worker, 5000);
    settle();
    cr_assert_not(has(stream, "\r\n0\r\n\r\n"));
    answer_call(n, "{}");
    cr_assert(has(stream, "\"id\":5,\"result\":{}"), "%s", sim_peer_peek(stream, NULL));
    advance(10);
    cr_assert(has(stream, "\r\n0\r\n\r\n"), "%s", sim_peer_peek(stream, NULL));
    advance(1100);
    cr_assert(sim_peer_ended(stream));
    world_close();
}

Test(sse_client, hears_of_each_call_that_a_drain_cuts_short)
{
    world_open(1, UPSTREAM, NULL);
    open_session();
    post_accepted(CALL(5));
    next_request();
    worker_drain(world.worker, 100);
    advance(200);
    cr_assert(has(stream, "\"id\":5,\"error\":{\"code\":-32000"), "%s", sim_peer_peek(stream, NULL));
    cr_assert(sim_peer_ended(stream));
    world_close();
}

/* --- towards upstreams --- */

static struct sim_peer *feed; /* the stream that the upstream holds */

static void
refuse_post(const char *method)
{
    struct message *m = next_request();

    cr_assert(strstr(m->body, method), "%s", m->body);
    say(server, "HTTP/1.1 405 Method Not Allowed\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\nno");
}

static void
accept_get(const char *reference)
{
    struct message *m = next_request();
    char event[600];

    cr_assert(strncmp(m->head, "GET /mcp ", 9) == 0, "%s", m->head);
    cr_assert_str_eq(field(m, "Accept"), "text/event-stream");
    feed = server;
    answer_stream(feed, "");
    snprintf(event, sizeof event, "event: endpoint\ndata: %s\n\n", reference);
    say_chunk(feed, event);
}

static void say_event(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void
say_event(const char *format, ...)
{
    char event[1024] = "event: message\ndata: ";
    size_t n = strlen(event);
    va_list args;

    va_start(args, format);
    n += (size_t)vsnprintf(event + n, sizeof event - n - 3, format, args);
    va_end(args);
    snprintf(event + n, sizeof event - n, "\n\n");
    say_chunk(feed, event);
}

/* What the bond says first. */
static void
greet(void)
{
    struct message *m = next_request();
    unsigned long long n;

    cr_assert(strncmp(m->head, "POST /messages?s=1 ", 19) == 0, "%s", m->head);
    cr_assert(strstr(m->body, "\"initialize\""), "%s", m->body);
    n = number_of(m);
    accept_post();
    say_event("{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":" INITIALIZED "}", n);
    m = next_request();
    cr_assert(strstr(m->body, "notifications/initialized"), "%s", m->body);
    cr_assert_null(field(m, "Mcp-Session-Id"));
    accept_post();
}

/* A call of a client of 2026-07-28 has come to the upstream; its number there. */
static struct sim_peer *
call_found_out(unsigned long long *ret_number)
{
    struct sim_peer *client = client_new();

    post(client, MCP_ACCEPT MODERN, MODERN_CALL(7));
    refuse_post("server/discover");
    refuse_post("\"initialize\"");
    accept_get("/messages?s=0");
    cr_assert(sim_peer_ended(feed), "it was asked to show itself only");
    accept_get("/messages?s=1");
    greet();
    *ret_number = number_of(next_request());
    accept_post();
    return client;
}

Test(sse_server, is_found_out_by_its_endpoint_event)
{
    struct sim_peer *client;
    struct message *m;
    unsigned long long n;

    world_open(1, UPSTREAM, DETECTING, NULL);
    client = call_found_out(&n);
    say_event("{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":{\"content\":[]}}", n);
    m = reply_of(client);
    cr_assert_eq(m->status, 200);
    cr_assert(strstr(m->body, "\"id\":7"), "%s", m->body);
    for (unsigned i = 0; i < 3; i++) { /* it is not asked again */
        post(client, MCP_ACCEPT MODERN, MODERN_CALL(8));
        n = number_of(next_request());
        accept_post();
        say_event("{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":{\"content\":[]}}", n);
        cr_assert(strstr(reply_of(client)->body, "\"id\":8"));
    }
    world_close();
}

Test(sse_server, is_not_what_answers_initialize)
{
    struct sim_peer *client;

    world_open(1, UPSTREAM, DETECTING, NULL);
    client = client_new();
    post(client, MCP_ACCEPT, CALL(5));
    refuse_post("server/discover");
    answer_call(number_of(next_request()), INITIALIZED);
    cr_assert_str_eq(next_request()->body, CALL(5));
    answer(server, "", RESULT(5));
    cr_assert_str_eq(reply_of(client)->body, RESULT(5));
    world_close();
}

Test(sse_server, is_not_what_has_no_stream_to_show)
{
    struct sim_peer *client;

    world_open(1, UPSTREAM, DETECTING, NULL);
    client = client_new();
    post(client, MCP_ACCEPT, CALL(5));
    refuse_post("server/discover");
    refuse_post("\"initialize\"");
    cr_assert(strncmp(next_request()->head, "GET ", 4) == 0);
    say(server, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    cr_assert_str_eq(next_request()->body, CALL(5), "as it is");
    answer(server, "", RESULT(5));
    reply_of(client);
    world_close();
}

Test(sse_server, may_answer_before_it_accepts)
{
    struct sim_peer *client;
    unsigned long long n, before;

    world_open(1, UPSTREAM, DETECTING, NULL);
    client = call_found_out(&n);
    say_event("{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":{\"content\":[]}}", n);
    reply_of(client);
    post(client, MCP_ACCEPT MODERN, MODERN_CALL(8));
    before = number_of(next_request());
    say_event("{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":{\"content\":[]}}", before);
    cr_assert(strstr(reply_of(client)->body, "\"id\":8"));
    cr_assert_not(sim_peer_ended(server), "the connection is worth keeping");
    accept_post();
    world_close();
}

Test(sse_server, posts_are_for_its_own_origin_only)
{
    static const struct {
        const char *reference, *path; /* NULL: refused */
    } cases[] = {
        {"/messages?s=1", "/messages?s=1"},
        {"messages", "/messages"},
        {"?s=1", "/mcp?s=1"},
        {"http://10.0.0.2/m", "/m"},
        {"HTTP://10.0.0.2:80/m?a=b:c", "/m?a=b:c"},
        {"//10.0.0.2/m#part", "/m"},
        {"http://10.0.0.3/m", NULL},
        {"http://10.0.0.2:81/m", NULL},
        {"http://10.0.0.2.evil.test/m", NULL},
        {"http://10.0.0.2@evil.test/m", NULL},
        {"https://10.0.0.2/m", NULL},
        {"//10.0.0.3/m", NULL},
        {"javascript:alert(1)", NULL},
        {"http:/m", NULL},
        {"http://10.0.0.2", NULL},
        {"/a/../admin", NULL},
        {"/a b", NULL},
        {"/a\x01", NULL},
        {"#part", NULL},
    };

    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sim_peer *client;
        struct message *m;
        char wanted[100];

        world_open(1, UPSTREAM, DETECTING, NULL);
        client = client_new();
        post(client, MCP_ACCEPT MODERN, MODERN_CALL(7));
        refuse_post("server/discover");
        refuse_post("\"initialize\"");
        accept_get("/x");
        accept_get(cases[i].reference);
        if (cases[i].path) {
            snprintf(wanted, sizeof wanted, "POST %s HTTP/1.1", cases[i].path);
            m = next_request();
            cr_assert(strstr(m->head, wanted) == m->head, "%s: %.100s", cases[i].reference, m->head);
            cr_assert_str_eq(field(m, "Host"), "10.0.0.2");
        } else {
            m = reply_of(client);
            cr_assert_eq(m->status, 502, "%s: %d", cases[i].reference, m->status);
            cr_assert(strstr(m->body, "own origin"), "%s", m->body);
        }
        world_close();
    }
}

Test(sse_server, whose_stream_breaks_fails_what_is_open_and_is_greeted_anew)
{
    struct sim_peer *client;
    struct message *m;
    unsigned long long n;

    world_open(1, UPSTREAM, DETECTING, NULL);
    client = call_found_out(&n);
    sim_peer_reset(feed);
    settle();
    m = reply_of(client);
    cr_assert_eq(m->status, 502, "%d", m->status);
    post(client, MCP_ACCEPT MODERN, MODERN_CALL(8));
    accept_get("/messages?s=1");
    greet();
    n = number_of(next_request());
    accept_post();
    say_event("{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":{\"content\":[]}}", n);
    cr_assert(strstr(reply_of(client)->body, "\"id\":8"));
    world_close();
}

Test(sse_server, that_forgot_the_session_gets_the_call_once_more)
{
    struct sim_peer *client, *old;
    unsigned long long n;

    world_open(1, UPSTREAM, DETECTING, NULL);
    client = call_found_out(&n);
    say_event("{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":{\"content\":[]}}", n);
    reply_of(client);
    post(client, MCP_ACCEPT MODERN, MODERN_CALL(8));
    next_request();
    old = feed;
    say(server, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    cr_assert(sim_peer_ended(old));
    accept_get("/messages?s=1");
    greet();
    n = number_of(next_request());
    accept_post();
    say_event("{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":{\"content\":[]}}", n);
    cr_assert(strstr(reply_of(client)->body, "\"id\":8"));
    cr_assert_eq(up_counter(UPSTAT_up_reinitialized), 1);
    world_close();
}

Test(sse_server, hears_that_its_modern_client_has_gone)
{
    struct sim_peer *client;
    struct message *m;
    unsigned long long n;

    world_open(1, UPSTREAM, DETECTING, NULL);
    client = call_found_out(&n);
    sim_peer_reset(client);
    settle();
    m = next_request();
    cr_assert(strstr(m->body, "notifications/cancelled"), "%s", m->body);
    accept_post();
    say_event("{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":{\"content\":[]}}", n); /* too late */
    world_close();
}

Test(sse_server, that_says_nothing_is_given_up_by_its_limits)
{
    struct sim_peer *client;
    unsigned long long n;

    world_open(1, UPSTREAM, DETECTING, "--first-byte-timeout", "3s", NULL);
    client = call_found_out(&n);
    advance(3200);
    cr_assert_eq(reply_of(client)->status, 504);
    cr_assert(strstr(next_request()->body, "notifications/cancelled"));
    accept_post();
    world_close();
}

Test(sse_server, that_is_quiet_is_asked_for_a_ping_before_its_stream_counts_as_dead)
{
    struct sim_peer *client;
    unsigned long long n;

    world_open(1, UPSTREAM, DETECTING, "--stream-idle", "10s", NULL);
    client = call_found_out(&n);
    say_event("{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":{\"content\":[]}}", n);
    reply_of(client);
    for (unsigned i = 0; i < 4; i++) {
        struct message *m;

        advance(5100);
        m = next_request();
        cr_assert(strstr(m->body, "\"method\":\"ping\""), "%s", m->body);
        n = number_of(m);
        accept_post();
        say_event("{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":{}}", n);
        cr_assert_not(sim_peer_ended(feed));
    }
    advance(10200);
    cr_assert(sim_peer_ended(feed), "it does not even answer pings");
    world_close();
}

Test(sse_server, leaves_connections_for_what_is_posted)
{
    struct sim_peer *client, *late;
    unsigned long long n;

    world_open(1, UPSTREAM, DETECTING, "--upstream-max", "2", NULL);
    client = call_found_out(&n);
    late = client_new();
    post(late, MCP_ACCEPT "Authorization: Bearer another\r\n" MODERN, MODERN_CALL(8));
    cr_assert_eq(reply_of(late)->status, 503);
    say_event("{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":{\"content\":[]}}", n);
    cr_assert_eq(reply_of(client)->status, 200);
    post(client, MCP_ACCEPT MODERN, MODERN_CALL(9));
    n = number_of(next_request());
    accept_post();
    say_event("{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":{\"content\":[]}}", n);
    cr_assert(strstr(reply_of(client)->body, "\"id\":9"));
    world_close();
}
