/* SPDX-License-Identifier: Apache-2.0 */
/* Path mode looks at a request of 2026-07-28 whose body is here whole before an upstream sees it. */
#include "gate_world.h"

#define UPSTREAM "--upstream", "up=http://10.0.0.2:80/mcp"
#define ASK(params)                                                                                          \
    "{\"jsonrpc\":\"2.0\",\"id\":\"c1\",\"method\":\"tools/call\",\"params\":{" params MODERN_META "}}"
#define FIELDS(name) "MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\nMcp-Name: " name "\r\n"

static struct sim_peer *client, *server;

static void
expect_refusal(const char *fields, const char *body, const char *code, enum close_reason reason)
{
    uint64_t before = closed_by(reason);
    struct message *m;

    client = client_new();
    post(client, fields, body);
    m = reply_of(client);
    cr_assert_eq(m->status, 400, "%s%s", fields, body);
    cr_assert_not_null(strstr(m->body, code), "%s", m->body);
    cr_assert_eq(closed_by(reason), before + 1);
    /* Nothing of it reaches the upstream, and the client may go on. */
    while ((server = server_next()))
        cr_assert(!has(server, "tools/call"));
    post(client, FIELDS("echo"), ASK("\"name\":\"echo\","));
    server = server_next();
    cr_assert_str_eq(request_of(server)->body, ASK("\"name\":\"echo\","));
    answer(server, "", "{\"jsonrpc\":\"2.0\",\"id\":\"c1\",\"result\":{}}");
    cr_assert_eq(reply_of(client)->status, 200);
    sim_peer_close(client);
    sim_peer_close(server);
    settle();
}

Test(envelope, a_call_whose_fields_lack_contradict_or_are_malformed_is_refused_before_it_is_forwarded)
{
    static const char call[] = ASK("\"name\":\"echo\",");

    world_open(1, UPSTREAM, NULL);
    expect_refusal("", call, "-32020", CLOSE_HEADER_MISMATCH);
    expect_refusal("MCP-Protocol-Version: 2026-07-28\r\n", call, "-32020", CLOSE_HEADER_MISMATCH);
    expect_refusal("MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\n", call, "-32020",
                   CLOSE_HEADER_MISMATCH);
    expect_refusal(FIELDS("other"), call, "-32020", CLOSE_HEADER_MISMATCH);
    expect_refusal(FIELDS("=?base64?ZWNobw?="), call, "-32020", CLOSE_HEADER_MISMATCH);
    expect_refusal("MCP-Protocol-Version: 2025-11-25\r\nMcp-Method: tools/call\r\nMcp-Name: echo\r\n", call,
                   "-32020", CLOSE_HEADER_MISMATCH);
    world_close();
}

Test(envelope, a_message_that_two_parsers_could_read_differently_is_refused)
{
    world_open(1, UPSTREAM, NULL);
    expect_refusal(FIELDS("echo"), ASK("\"name\":\"echo\",\"name\":\"rm\","), "-32600", CLOSE_BAD_MESSAGE);
    expect_refusal(FIELDS("echo"), ASK("\"name\":\"echo\",\"n\\u0061me\":\"rm\","), "-32600",
                   CLOSE_BAD_MESSAGE);
    expect_refusal(FIELDS("echo"), "[" ASK("\"name\":\"echo\",") "]", "-32600", CLOSE_BAD_MESSAGE);
    expect_refusal(FIELDS("echo"), "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\"}", "-32602",
                   CLOSE_BAD_MESSAGE);
    world_close();
}

Test(envelope, refusals_leave_the_upstreams_connection_as_it_is)
{
    static const char call[] = ASK("\"name\":\"echo\",");

    world_open(1, UPSTREAM, NULL);
    client = client_new();
    post(client, FIELDS("echo"), call);
    server = server_next();
    request_of(server);
    answer(server, "", "{\"jsonrpc\":\"2.0\",\"id\":\"c1\",\"result\":{}}");
    cr_assert_eq(reply_of(client)->status, 200);
    for (unsigned i = 0; i < 3; i++) {
        post(client, FIELDS("rm"), call);
        cr_assert_eq(reply_of(client)->status, 400);
        settle();
    }
    post(client, FIELDS("echo"), call);
    cr_assert_str_eq(request_of(server)->body, call);
    answer(server, "", "{\"jsonrpc\":\"2.0\",\"id\":\"c1\",\"result\":{}}");
    cr_assert_eq(reply_of(client)->status, 200);
    cr_assert_eq(up_counter(UPSTAT_up_connects), 1);
    world_close();
}

Test(envelope, a_repeated_field_is_a_bad_request)
{
    world_open(1, UPSTREAM, NULL);
    client = client_new();
    post(client, FIELDS("echo") "Mcp-Name: rm\r\n", ASK("\"name\":\"echo\","));
    cr_assert_eq(reply_of(client)->status, 400);
    cr_assert_eq(closed_by(CLOSE_BAD_REQUEST), 1);
    cr_assert_null(server_next());
    world_close();
}

Test(envelope, a_body_is_judged_whole_also_when_it_comes_behind_its_head_or_in_chunks)
{
    static const char call[] = ASK("\"name\":\"echo\",");

    world_open(1, UPSTREAM, NULL);
    client = client_new();
    say(client,
        "POST /mcp/up HTTP/1.1\r\nHost: gate\r\nContent-Type: application/json\r\nContent-Length: "
        "%zu\r\n%s\r\n",
        strlen(call), FIELDS("rm"));
    say(client, "%s", call);
    cr_assert_eq(reply_of(client)->status, 400);
    say(client,
        "POST /mcp/up HTTP/1.1\r\nHost: gate\r\nContent-Type: application/json\r\nTransfer-Encoding: "
        "chunked\r\n"
        "%s\r\n%zx\r\n%.20s\r\n%zx\r\n%s\r\n0\r\n\r\n",
        FIELDS("rm"), (size_t)20, call, strlen(call) - 20, call + 20);
    cr_assert_eq(reply_of(client)->status, 400);
    /* Extensions and trailers make no difference. (An early answer to a chunked request ends the connection.)
     */
    client = client_new();
    say(client,
        "POST /mcp/up HTTP/1.1\r\nHost: gate\r\nContent-Type: application/json\r\nTransfer-Encoding: "
        "chunked\r\n"
        "%s\r\n%zx;a=b\r\n%s\r\n0\r\nX-After: 1\r\n\r\n",
        FIELDS("rm"), strlen(call), call);
    cr_assert_eq(reply_of(client)->status, 400);
    cr_assert_eq(closed_by(CLOSE_HEADER_MISMATCH), 3);
    while ((server = server_next()))
        cr_assert(!has(server, "echo"));
    world_close();
}

Test(envelope, older_revisions_are_the_upstreams_to_judge)
{
    static const char *const bodies[] = {"{\"jsonrpc\":\"2.0\",\"id\":1,\"id\":2,\"method\":\"ping\"}",
                                         "nonsense", "[]"};

    world_open(1, UPSTREAM, NULL);
    client = client_new();
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        struct sim_peer *next;

        post(client, "MCP-Protocol-Version: 2025-11-25\r\n", bodies[i]);
        next = server_next();
        server = next ? next : server;
        cr_assert_str_eq(request_of(server)->body, bodies[i]);
        answer(server, "", "{}");
        cr_assert_eq(reply_of(client)->status, 200);
    }
    world_close();
}

Test(envelope, get_and_delete_of_2026_are_refused_unless_they_name_a_session)
{
    world_open(1, UPSTREAM, NULL);
    client = client_new();
    get(client, "/mcp/up", "MCP-Protocol-Version: 2026-07-28\r\nAccept: text/event-stream\r\n");
    {
        struct message *m = reply_of(client);

        cr_assert_eq(m->status, 405);
        cr_assert_str_eq(field(m, "Allow"), "POST");
    }
    cr_assert_null(server_next());
    get(client, "/mcp/up", "MCP-Protocol-Version: 2026-07-28\r\nMcp-Session-Id: s\r\n");
    server = server_next();
    cr_assert_not_null(server);
    request_of(server);
    answer(server, "", "{}");
    cr_assert_eq(reply_of(client)->status, 200);
    world_close();
}
