/* SPDX-License-Identifier: Apache-2.0 */
/* Batches of 2025-03-26 at an upstream of 2026-07-28, on a whole worker in the simulator. */
#include "gate_world.h"

#define UPSTREAM "--upstream", "up=http://10.0.0.2:80/mcp", "--era-ttl", "5m"
#define DISCOVERED                                                                                           \
    "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"resultType\":\"complete\",\"supportedVersions\":"           \
    "[\"2026-07-28\"],\"capabilities\":{\"tools\":{}},\"ttlMs\":0,\"cacheScope\":\"public\"}}"
#define NOTICE   "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}"
#define PING(id) "{\"jsonrpc\":\"2.0\",\"id\":" #id ",\"method\":\"ping\"}"

static struct sim_peer *client;
static char session[1024];

static void
open_session(const char *revision)
{
    struct sim_peer *server;
    char body[512];
    struct message *m;

    world_open(1, UPSTREAM, NULL);
    client = client_new();
    snprintf(body, sizeof body,
             "{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"initialize\",\"params\":{\"protocolVersion\":\"%s\","
             "\"capabilities\":{\"sampling\":{}},\"clientInfo\":{\"name\":\"c\",\"version\":\"1\"}}}",
             revision);
    post(client, MCP_ACCEPT, body);
    server = server_asked_for("server/discover", NULL);
    answer(server, "", DISCOVERED);
    cr_assert(strstr(request_of(server)->body, "\"initialize\"")); /* whether it speaks the older form, too */
    say(server, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
    m = reply_of(client);
    cr_assert_eq(m->status, 200);
    snprintf(session, sizeof session, MCP_ACCEPT "Mcp-Session-Id: %s\r\n", field(m, "Mcp-Session-Id"));
}

static void
answer_number(struct sim_peer *server, unsigned long long number)
{
    char body[256];

    snprintf(body, sizeof body,
             "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":{\"resultType\":\"complete\",\"content\":[]}}",
             number);
    answer(server, "", body);
}

#define RAW_CALL(id, name)                                                                                   \
    "{\"jsonrpc\":\"2.0\",\"id\":" id ",\"method\":\"tools/call\",\"params\":{\"name\":\"" name              \
    "\",\"_meta\":{\"progressToken\":\"t-" name "\"}}}"
#define NAMED_CALL(id, name) RAW_CALL(#id, name)

Test(batches, go_upstream_one_by_one_and_come_back_in_one_array)
{
    unsigned long long one, two;
    struct sim_peer *a, *b;
    struct message *m;

    open_session("2025-03-26");
    post(client, session, "[" NAMED_CALL(1, "one") "," NOTICE "," RAW_CALL("\"2\"", "two") "," PING(3) "]");
    a = server_asked_for("\"name\":\"one\"", &one);
    b = server_asked_for("\"name\":\"two\"", &two);
    answer_number(b, two);
    cr_assert_null(try_reply(client));
    answer_number(a, one);
    m = reply_of(client);
    cr_assert_eq(m->status, 200);
    cr_assert_str_eq(field(m, "Content-Type"), "application/json");
    cr_assert_str_eq(m->body, "[{\"jsonrpc\":\"2.0\",\"id\":3,\"result\":{}},"
                              "{\"jsonrpc\":\"2.0\",\"id\":\"2\",\"result\":{\"content\":[]}},"
                              "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"content\":[]}}]");
    cr_assert_eq(counter(STAT_batch_messages), 4);
    world_close();
}

Test(batches, without_requests_are_accepted)
{
    open_session("2025-03-26");
    post(client, session, "[" NOTICE "," NOTICE "]");
    cr_assert_eq(reply_of(client)->status, 202);
    world_close();
}

Test(batches, answer_what_is_no_message_with_an_error_of_its_own)
{
    struct message *m;

    open_session("2025-03-26");
    post(client, session, "[" PING(1) ",7,[]," PING(2) "]");
    m = reply_of(client);
    cr_assert_eq(m->status, 200);
    cr_assert(strstr(m->body, "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}"), "%s", m->body);
    cr_assert(strstr(m->body, "{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{}}"), "%s", m->body);
    cr_assert(strstr(m->body, "\"id\":null,\"error\":{\"code\":-32600"), "%s", m->body);
    world_close();
}

Test(batches, are_refused_whole_with_an_initialize_or_with_replies_among_requests)
{
    open_session("2025-03-26");
    post(client, session,
         "[" PING(1) ",{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"initialize\",\"params\":{}}]");
    cr_assert_eq(reply_of(client)->status, 400);
    post(client, session, "[" PING(1) "," RESULT(5) "]");
    cr_assert_eq(reply_of(client)->status, 400);
    cr_assert_eq(counter(STAT_batch_messages), 0);
    world_close();
}

Test(batches, are_refused_from_2025_06_18_on)
{
    struct message *m;

    open_session("2025-06-18");
    post(client, session, "[" PING(1) "]");
    m = reply_of(client);
    cr_assert_eq(m->status, 400);
    cr_assert(strstr(m->body, "-32600"), "%s", m->body);
    world_close();
}

Test(batches, become_a_stream_when_there_is_progress)
{
    struct sim_peer *server;
    char text[4096];
    unsigned long long number;
    size_t len;

    open_session("2025-03-26");
    post(client, session, "[" PING(1) "," NAMED_CALL(2, "slow") "]");
    server = server_asked_for("\"name\":\"slow\"", &number);
    answer_stream(server, "");
    snprintf(
        text, sizeof text,
        "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{\"progressToken\":%llu,"
        "\"progress\":1}}\n\n",
        number);
    say_chunk(server, text);
    cr_assert(has(client, "\"progressToken\":\"t-slow\""));
    snprintf(
        text, sizeof text,
        "data: {\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":{\"resultType\":\"complete\",\"content\":[]}}\n\n",
        number);
    say_chunk(server, text);
    say(server, "0\r\n\r\n");
    len = sim_peer_read(client, text, sizeof text - 1);
    text[len] = '\0';
    cr_assert(strstr(text, "[{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}},"
                           "{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{\"content\":[]}}]"),
              "%s", text);
    world_close();
}

Test(batches, say_which_of_their_calls_failed)
{
    struct sim_peer *a, *b;
    unsigned long long one, two;
    struct message *m;

    open_session("2025-03-26");
    post(client, session, "[" NAMED_CALL(1, "one") "," NAMED_CALL(2, "two") "]");
    a = server_asked_for("\"name\":\"one\"", &one);
    b = server_asked_for("\"name\":\"two\"", &two);
    sim_peer_close(a);
    settle();
    answer_number(b, two);
    m = reply_of(client);
    cr_assert(strstr(m->body, "{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{"), "%s", m->body);
    cr_assert(strstr(m->body, "{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{"), "%s", m->body);
    world_close();
}

Test(batches, leave_out_the_call_that_was_cancelled)
{
    struct sim_peer *b, *other;
    unsigned long long one, two;
    struct message *m;

    open_session("2025-03-26");
    post(client, session, "[" NAMED_CALL(1, "one") "," NAMED_CALL(2, "two") "]");
    server_asked_for("\"name\":\"one\"", &one);
    b = server_asked_for("\"name\":\"two\"", &two);
    other = client_new();
    post(other, session,
         "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":1}}");
    cr_assert_eq(reply_of(other)->status, 202);
    answer_number(b, two);
    m = reply_of(client);
    cr_assert_str_eq(m->body, "[{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{\"content\":[]}}]");
    world_close();
}

/* Behaviour 16: the client's end is no cancellation. */
Test(batches, go_on_when_their_client_has_left)
{
    struct sim_peer *a;
    unsigned long long one;

    open_session("2025-03-26");
    post(client, session, "[" NAMED_CALL(1, "one") "," PING(2) "]");
    a = server_asked_for("\"name\":\"one\"", &one);
    sim_peer_close(client);
    settle();
    answer_number(a, one);
    cr_assert_eq(closed_by(CLOSE_UPSTREAM_GONE), 0);
    cr_assert_eq(counter(STAT_exchanges_open), 0);
    world_close();
}

Test(batches, end_with_their_calls_when_the_drain_is_over)
{
    unsigned long long one;

    open_session("2025-03-26");
    post(client, session, "[" NAMED_CALL(1, "one") "," NAMED_CALL(2, "two") "]");
    server_asked_for("\"name\":\"one\"", &one);
    world_close_after(0);
}

static void
post_to_stream(const char *id, const char *body)
{
    say(client,
        "POST /messages?sessionId=%s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        "Content-Length: %zu\r\n\r\n%s",
        id, strlen(body), body);
}

Test(batches, of_an_http_sse_client_come_back_message_by_message_on_its_stream)
{
    char text[4096], id[1024];
    struct sim_peer *stream, *server;
    const char *at;
    size_t len;

    world_open(1, UPSTREAM, NULL);
    stream = client_new();
    get(stream, "/sse/up", "");
    len = sim_peer_read(stream, text, sizeof text - 1);
    text[len] = '\0';
    at = strstr(text, "sessionId=");
    cr_assert(at && sscanf(at, "sessionId=%1000[^\r\n]", id) == 1, "%s", text);
    client = client_new();
    post_to_stream(id,
                   "{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"initialize\",\"params\":{\"protocolVersion\":"
                   "\"2024-11-05\",\"capabilities\":{},\"clientInfo\":{\"name\":\"c\",\"version\":\"1\"}}}");
    server = server_next();
    request_of(server);
    answer(server, "", DISCOVERED);
    request_of(server); /* whether it speaks the older form, too */
    say(server, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
    cr_assert_eq(reply_of(client)->status, 202);
    post_to_stream(id, "[" PING(1) "," NOTICE "," PING(2) "]");
    cr_assert_eq(reply_of(client)->status, 202);
    cr_assert(has(stream, "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}"));
    cr_assert(has(stream, "{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{}}"));
    cr_assert_eq(counter(STAT_batch_messages), 3);
    sim_peer_close(stream);
    world_close();
}
