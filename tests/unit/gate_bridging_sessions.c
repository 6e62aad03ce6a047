/* SPDX-License-Identifier: Apache-2.0 */
/* Clients before 2026-07-28 in front of a modern upstream: the session is the gateway's own. */
#include "gate/session_impl.h"

#include "gate_bridging.h"

static void
open_session(void)
{
    struct message *m;

    client = client_new();
    post(client, MCP_ACCEPT, INITIALIZE);
    next_request();
    answer(server, "", DISCOVERED);
    refuse_initialize();
    m = reply_of(client);
    cr_assert_eq(m->status, 200);
    cr_assert(strstr(m->body, "\"protocolVersion\":\"2025-06-18\""), "%s", m->body);
    cr_assert_not_null(field(m, "Mcp-Session-Id"));
    snprintf(session, sizeof session, MCP_ACCEPT "Mcp-Session-Id: %s\r\n", field(m, "Mcp-Session-Id"));
}

Test(bridging, gives_an_older_client_a_session_of_its_own_with_a_modern_upstream)
{
    struct message *m;
    unsigned long long n;

    world_open(1, UPSTREAM, NULL);
    open_session();
    post(client, session, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}");
    cr_assert_eq(reply_of(client)->status, 202);
    post(client, session, CALL(7));
    m = next_request();
    n = number_of(m);
    cr_assert(strstr(m->body, "io.modelcontextprotocol/protocolVersion"), "%s", m->body);
    cr_assert_str_eq(field(m, "MCP-Protocol-Version"), "2026-07-28");
    cr_assert_str_eq(field(m, "Mcp-Method"), "tools/call");
    cr_assert_null(field(m, "Mcp-Session-Id"));
    answer_call(n, "{\"resultType\":\"complete\",\"content\":[]}");
    m = reply_of(client);
    cr_assert(strstr(m->body, "\"id\":7"), "%s", m->body);
    cr_assert_null(strstr(m->body, "resultType"), "%s", m->body);
    world_close();
}

Test(bridging, names_the_upstream_in_errors_of_a_home_that_is_gone)
{
    struct session_table *table;
    struct message *m;

    world_open(1, UPSTREAM, NULL);
    open_session();
    table = world.worker->sessions->table;
    session_table_assign(table, 0, 7);
    post(client, session, CALL(7));
    m = reply_of(client);
    cr_assert_eq(m->status, 502);
    cr_assert(strstr(m->body, "\"id\":7,"), "%s", m->body);
    cr_assert(strstr(m->body, "upstream up: "), "%s", m->body);
    session_table_assign(table, 0, 0);
    world_close();
}

Test(bridging, sends_each_message_with_the_fields_that_its_revision_wants)
{
    static const char *const methods[] = {"server/discover", "initialize", "tools/list", "tools/call",
                                          "resources/read"};
    static const char *const bodies[] = {
        NULL, NULL, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\"}",
        "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"tools/call\",\"params\":{\"name\":\"caf\xc3\xa9\"}}",
        "{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"resources/read\",\"params\":{\"uri\":\"file:///a\"}}"};
    static const char *const names[] = {NULL, NULL, NULL, "=?base64?Y2Fmw6k=?=", "file:///a"};

    world_open(1, UPSTREAM, NULL);
    client = client_new();
    post(client, MCP_ACCEPT, INITIALIZE);
    for (unsigned i = 0; i < sizeof methods / sizeof *methods; i++) {
        struct message *m;
        const char *version;

        if (bodies[i])
            post(client, session, bodies[i]);
        m = next_request();
        cr_assert(strstr(m->body, methods[i]), "%s", m->body);
        cr_assert_str_eq(field(m, "Accept"), "application/json, text/event-stream");
        cr_assert_str_eq(field(m, "Content-Type"), "application/json");
        version = field(m, "MCP-Protocol-Version");
        cr_assert(i == 1 ? !version : version && !strcmp(version, "2026-07-28"), "%s", methods[i]);
        cr_assert(i == 1 || !strcmp(field(m, "Mcp-Method"), methods[i]));
        cr_assert(names[i] ? !strcmp(field(m, "Mcp-Name"), names[i]) : !field(m, "Mcp-Name"), "%s",
                  methods[i]);
        if (i == 0) {
            answer(server, "", DISCOVERED);
        } else if (i == 1) {
            say(server, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
            m = reply_of(client);
            snprintf(session, sizeof session, MCP_ACCEPT "Mcp-Session-Id: %s\r\n",
                     field(m, "Mcp-Session-Id"));
        } else {
            answer_call(number_of(m), "{\"resultType\":\"complete\"}");
            reply_of(client);
        }
    }
    world_close();
}

/* What an upstream of 2026-07-28 says of itself to `who`. */
static void
answer_discover(const char *who, const char *scope)
{
    char body[512], fields[64];
    struct message *m = next_request();

    cr_assert(strstr(m->body, "\"server/discover\""), "%s", m->body);
    snprintf(fields, sizeof fields, "Bearer %s", who);
    cr_assert_str_eq(field(m, "Authorization"), fields);
    snprintf(body, sizeof body,
             "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":{\"resultType\":\"complete\","
             "\"supportedVersions\":[\"2026-07-28\"],\"capabilities\":{\"tools\":{}},\"ttlMs\":60000,"
             "\"cacheScope\":\"%s\",\"instructions\":\"for %s\"}}",
             number_of(m), scope, who);
    answer(server, "", body);
}

static void
post_initialize_as(const char *who)
{
    char fields[128];

    snprintf(fields, sizeof fields, MCP_ACCEPT "Authorization: Bearer %s\r\n", who);
    client = client_new();
    post(client, fields, INITIALIZE);
}

Test(bridging, shows_nobody_what_a_server_said_of_itself_to_another)
{
    world_open(1, UPSTREAM, NULL);
    post_initialize_as("ann");
    answer_discover("ann", "private");
    refuse_initialize();
    cr_assert(strstr(reply_of(client)->body, "for ann"));
    post_initialize_as("bob");
    answer_discover("bob", "private");
    cr_assert(strstr(reply_of(client)->body, "for bob"));
    post_initialize_as("ann");
    cr_assert(strstr(reply_of(client)->body, "for ann"), "it is known to her");
    world_close();
}

Test(bridging, shows_everybody_what_a_server_says_of_itself_in_public)
{
    world_open(1, UPSTREAM, NULL);
    post_initialize_as("ann");
    answer_discover("ann", "public");
    refuse_initialize();
    cr_assert(strstr(reply_of(client)->body, "for ann"));
    post_initialize_as("bob");
    cr_assert(strstr(reply_of(client)->body, "for ann"));
    world_close();
}

#define SUBSCRIBES                                                                                           \
    "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"resultType\":\"complete\",\"supportedVersions\":"           \
    "[\"2026-07-28\"],\"capabilities\":{\"tools\":{\"listChanged\":true},\"resources\":{\"subscribe\":true}" \
    "},"                                                                                                     \
    "\"ttlMs\":0,\"cacheScope\":\"public\"}}"

static void
change_subscription(const char *method, const char *uri)
{
    struct sim_peer *asking = client_new();
    char body[256];

    snprintf(body, sizeof body,
             "{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"resources/%s\",\"params\":{\"uri\":\"%s\"}}", method,
             uri);
    post(asking, session, body);
    cr_assert_eq(reply_of(asking)->status, 200);
    advance(5);
}

/* The gateway's listen, which becomes a stream. */
static struct sim_peer *
open_listen(const char *uris)
{
    struct message *m = next_request();
    char want[128];

    snprintf(want, sizeof want, uris[0] ? "\"resourceSubscriptions\":[%s]" : "\"notifications\":{%s", uris);
    cr_assert(strstr(m->body, "subscriptions/listen") && strstr(m->body, want), "%s", m->body);
    cr_assert(uris[0] || !strstr(m->body, "resourceSubscriptions"), "%s", m->body);
    answer_stream(server, "");
    return server;
}

static void
acknowledge(struct sim_peer *listen)
{
    say_chunk(listen, "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/subscriptions/acknowledged\","
                      "\"params\":{\"notifications\":{}}}\n\n");
}

Test(bridging, listens_for_what_an_older_client_subscribes_to_and_opens_the_next_before_it_closes_the_last)
{
    struct sim_peer *stream, *first, *second, *third;

    world_open(1, UPSTREAM, NULL);
    client = client_new();
    post(client, MCP_ACCEPT, INITIALIZE);
    next_request();
    answer(server, "", SUBSCRIBES);
    refuse_initialize();
    snprintf(session, sizeof session, MCP_ACCEPT "Mcp-Session-Id: %s\r\n",
             field(reply_of(client), "Mcp-Session-Id"));
    stream = client_new();
    get(stream, "/mcp/up", session);
    first = open_listen("");
    acknowledge(first);
    change_subscription("subscribe", "a:1");
    second = open_listen("\"a:1\"");
    cr_assert_not(sim_peer_ended(first), "it goes on until the next is acknowledged");
    acknowledge(second);
    cr_assert(sim_peer_ended(first));
    say_chunk(second, "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/resources/updated\",\"params\":{"
                      "\"uri\":\"a:1\"}}\n\n");
    cr_assert(has(stream, "\"uri\":\"a:1\""));
    change_subscription("unsubscribe", "a:1");
    third = open_listen("");
    acknowledge(third);
    cr_assert(sim_peer_ended(second));
    cr_assert_not(sim_peer_ended(third));
    world_close();
}

Test(bridging, answers_ping_itself)
{
    world_open(1, UPSTREAM, NULL);
    open_session();
    post(client, session, "{\"jsonrpc\":\"2.0\",\"id\":\"p\",\"method\":\"ping\"}");
    cr_assert_str_eq(reply_of(client)->body, "{\"jsonrpc\":\"2.0\",\"id\":\"p\",\"result\":{}}");
    world_close();
}

Test(bridging, turns_input_required_into_a_request_of_the_server_and_repeats_the_call_with_the_answer)
{
    struct sim_peer *other;
    struct message *m;
    char text[4096], answer_body[256];
    const char *id;
    unsigned long long asked = 0;
    unsigned long long n;
    size_t len;

    world_open(1, UPSTREAM, NULL);
    open_session();
    post(client, session, CALL(7));
    n = number_of(next_request());
    answer_call(
        n, "{\"resultType\":\"input_required\",\"inputRequests\":{\"k\":{\"method\":\"elicitation/create\","
           "\"params\":{\"mode\":\"form\",\"message\":\"who?\",\"requestedSchema\":{\"type\":\"object\","
           "\"properties\":{}}}}},\"requestState\":\"st\"}");
    cr_assert(has(client, "\"elicitation/create\""));
    len = sim_peer_read(client, text, sizeof text - 1);
    text[len] = '\0';
    id = strstr(strstr(text, "data: "), "\"id\":");
    cr_assert(id && sscanf(id + 5, "%llu", &asked) == 1, "%s", text);
    other = client_new();
    snprintf(answer_body, sizeof answer_body,
             "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":{\"action\":\"accept\",\"content\":{}}}", asked);
    post(other, session, answer_body);
    cr_assert_eq(reply_of(other)->status, 202);
    m = next_request();
    cr_assert(strstr(m->body, "\"requestState\":\"st\""), "%s", m->body);
    cr_assert(strstr(m->body, "\"inputResponses\":{\"k\":{\"action\":\"accept\""), "%s", m->body);
    cr_assert_neq(number_of(m), n);
    answer_call(number_of(m), "{\"resultType\":\"complete\",\"content\":[]}");
    cr_assert(has(client, "\"id\":7,"));
    world_close();
}

/* A client that has a whole reply may use the connection again before it can know of a close. */
Test(bridging, leaves_the_connection_open_when_the_stream_on_it_ends_with_the_session)
{
    struct sim_peer *other, *stream;

    world_open(1, UPSTREAM, NULL);
    open_session();
    stream = client_new();
    say(stream, "GET /mcp/up HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n%s\r\n", session);
    other = client_new();
    say(other, "DELETE /mcp/up HTTP/1.1\r\nHost: x\r\n%s\r\n", session);
    cr_assert_eq(reply_of(other)->status, 200);
    cr_assert_eq(reply_of(stream)->status, 200, "whole");
    cr_assert_not(sim_peer_ended(stream));
    post(stream, session, CALL(1));
    cr_assert_eq(reply_of(stream)->status, 404);
    cr_assert_not(sim_peer_ended(stream));
    world_close();
}

Test(bridging, tells_open_calls_that_their_session_was_deleted)
{
    struct sim_peer *other;
    struct message *m;

    world_open(1, UPSTREAM, NULL);
    open_session();
    post(client, session, CALL(7));
    next_request();
    other = client_new();
    say(other, "DELETE /mcp/up HTTP/1.1\r\nHost: x\r\n%s\r\n", session);
    cr_assert_eq(reply_of(other)->status, 200);
    m = reply_of(client);
    cr_assert_eq(m->status, 404);
    cr_assert(strstr(m->body, "\"id\":7,\"error\":{\"code\":-32001"), "%s", m->body);
    world_close_after(0);
}

Test(bridging, ends_the_session_with_delete)
{
    struct sim_peer *other;

    world_open(1, UPSTREAM, NULL);
    open_session();
    other = client_new();
    say(other, "DELETE /mcp/up HTTP/1.1\r\nHost: x\r\n%s\r\n", session);
    cr_assert_eq(reply_of(other)->status, 200);
    post(client, session, CALL(1));
    cr_assert_eq(reply_of(client)->status, 404);
    world_close();
}
