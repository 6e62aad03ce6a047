/* SPDX-License-Identifier: Apache-2.0 */
/* Clients that speak MCP over WebSocket, with upstreams over HTTP, on a whole worker in the simulator. */
#include "gate_world.h"
#include "proto/ws.h"
#include "proto/ws_deflate.h"

#define UPSTREAM "--upstream", "up=http://10.0.0.2:80/mcp", "--era-ttl", "5m"
#define DISCOVERED                                                                                           \
    "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"resultType\":\"complete\",\"supportedVersions\":"           \
    "[\"2026-07-28\"],\"capabilities\":{\"tools\":{\"listChanged\":true}},\"ttlMs\":0,\"cacheScope\":"       \
    "\"public\"}}"
#define INITIALIZE                                                                                           \
    "{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"initialize\",\"params\":{\"protocolVersion\":\"2025-06-"     \
    "18\","                                                                                                  \
    "\"capabilities\":{},\"clientInfo\":{\"name\":\"c\",\"version\":\"1\"}}}"
#define HANDSHAKE                                                                                            \
    "Upgrade: websocket\r\nConnection: keep-alive, Upgrade\r\nSec-WebSocket-Version: 13\r\n"                 \
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" /* RFC 6455 section 1.3 */

static struct sim_peer *client;
static struct ws_parser replies;
static char arrived[1 << 16], said[1 << 16];
static size_t arrived_len;

/* --- the client --- */

static void
upgrade(const char *path, const char *fields)
{
    char *end;

    client = client_new();
    say(client, "GET %s HTTP/1.1\r\nHost: x\r\n%s%s\r\n", path, HANDSHAKE, fields);
    arrived_len = sim_peer_read(client, arrived, sizeof arrived - 1);
    arrived[arrived_len] = '\0';
    cr_assert(strncmp(arrived, "HTTP/1.1 101 ", 13) == 0, "%s", arrived);
    end = strstr(arrived, "\r\n\r\n");
    cr_assert(strstr(arrived, "\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
    cr_assert_eq((size_t)(end + 4 - arrived), arrived_len);
    arrived_len = 0;
    ws_parser_init(&replies, false, false, 0);
}

static size_t
make_frame(char *out, enum ws_opcode opcode, bool fin, const char *payload, size_t len)
{
    static const uint8_t mask[4] = {0x37, 0xfa, 0x21, 0x3d};
    uint32_t n = ws_write_head((uint8_t *)out, opcode, fin, false, len, mask);

    memcpy(out + n, payload, len);
    ws_mask(out + n, len, mask, 0);
    return n + len;
}

static void
send_frame(enum ws_opcode opcode, bool fin, const char *payload, size_t len)
{
    static char frame[1 << 16];

    sim_peer_send(client, frame, make_frame(frame, opcode, fin, payload, len));
    settle();
}

static void
send_text(const char *json)
{
    send_frame(WS_TEXT, true, json, strlen(json));
}

/* What the gateway says next: the payload, or NULL. Messages come in one frame each. */
static const char *
next_said(enum ws_opcode want, struct ws_event *ret)
{
    enum parse_result r;
    uint32_t used;

    arrived_len += sim_peer_read(client, arrived + arrived_len, sizeof arrived - arrived_len);
    r = ws_parser_next(&replies, arrived, (uint32_t)arrived_len, &used, ret);
    cr_assert_neq(r, PARSE_BAD);
    if (r == PARSE_MORE) {
        cr_assert_eq(arrived_len, 0, "part of a frame");
        return NULL;
    }
    cr_assert_eq(ret->opcode, want);
    memcpy(said, ret->payload.at, ret->payload.len);
    said[ret->payload.len] = '\0';
    memmove(arrived, arrived + used, arrived_len -= used);
    return said;
}

static const char *
next_text(void)
{
    struct ws_event e = {0};
    const char *text = next_said(WS_TEXT, &e);

    cr_assert(!text || (e.begins && e.ends));
    return text;
}

static void
expect_close(unsigned code)
{
    struct ws_event e = {0};

    cr_assert_not_null(next_said(WS_CLOSE, &e));
    cr_assert_eq(e.code, code, "%u: %s", e.code, said);
}

/* --- the upstream, of 2026-07-28 --- */

static void
answer_number(struct sim_peer *server, unsigned long long number)
{
    char body[256];

    snprintf(body, sizeof body,
             "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":{\"resultType\":\"complete\",\"content\":[]}}",
             number);
    answer(server, "", body);
}

static void
open_world(void)
{
    world_open(1, UPSTREAM, "--ws-max-message", "4k", "--ws-ping", "10s", NULL);
}

/* The first message asks for the upstream's era. */
static void
discover(bool asks_initialize)
{
    struct sim_peer *server = server_asked_for("server/discover", NULL);

    answer(server, "", DISCOVERED);
    if (!asks_initialize)
        return;
    cr_assert(strstr(request_of(server)->body, "\"initialize\""));
    say(server, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
}

#define TOOL(id, name)                                                                                       \
    "{\"jsonrpc\":\"2.0\",\"id\":" #id ",\"method\":\"tools/call\",\"params\":{\"name\":\"" name "\"}}"
#define TOOL_2026(id, name)                                                                                  \
    "{\"jsonrpc\":\"2.0\",\"id\":" #id ",\"method\":\"tools/call\",\"params\":{\"name\":\"" name             \
    "\"," MODERN_META "}}"

Test(ws, upgrades_and_serves_a_client_of_an_older_revision)
{
    struct sim_peer *server;
    unsigned long long n;

    open_world();
    upgrade("/ws/up", "Sec-WebSocket-Protocol: x, mcp\r\n");
    send_text(INITIALIZE);
    discover(true);
    cr_assert(strstr(next_text(), "\"protocolVersion\":\"2025-06-18\""));
    send_text("{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}");
    cr_assert_null(next_text());
    send_text(TOOL(7, "echo"));
    server = server_asked_for("\"name\":\"echo\"", &n);
    answer_number(server, n);
    cr_assert_str_eq(next_text(), "{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{\"content\":[]}}");
    send_text("{\"jsonrpc\":\"2.0\",\"id\":8,\"method\":\"ping\"}");
    cr_assert_str_eq(next_text(), "{\"jsonrpc\":\"2.0\",\"id\":8,\"result\":{}}");
    cr_assert_eq(counter(STAT_ws_messages), 4);
    world_close();
}

/* A call of 2026-07-28 that may be asked something; %s: more members of its params. */
#define ASKED_2026(id)                                                                                       \
    "{\"jsonrpc\":\"2.0\",\"id\":" #id ",\"method\":\"tools/call\",\"params\":{\"name\":\"ask\",%s"          \
    "\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\","                                 \
    "\"io.modelcontextprotocol/clientCapabilities\":{\"elicitation\":{}}}}}"

/* An upstream of an older revision, up to where it asks its client something in the middle of a call. */
static struct sim_peer *
be_asked_by_an_older_server(unsigned long long *ret_call)
{
    struct sim_peer *server = server_asked_for("server/discover", NULL);

    answer(server, "", "{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-32601,\"message\":\"no\"}}");
    cr_assert(strstr(request_of(server)->body, "\"initialize\""));
    answer(server, "Mcp-Session-Id: s\r\n",
           "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"protocolVersion\":\"2025-11-25\",\"capabilities\":"
           "{\"tools\":{}},\"serverInfo\":{\"name\":\"s\",\"version\":\"1\"}}}");
    cr_assert(strstr(request_of(server)->body, "notifications/initialized"));
    say(server, "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n");
    server = server_asked_for("\"tools/call\"", ret_call);
    answer_stream(server, "");
    say_chunk(server, "data: {\"jsonrpc\":\"2.0\",\"id\":\"q\",\"method\":\"elicitation/create\",\"params\":{"
                      "\"message\":\"who?\",\"requestedSchema\":{\"type\":\"object\"}}}\n\n");
    return server;
}

Test(ws, answers_a_retry_on_the_connection_of_the_call_that_waits_for_it)
{
    char call[2048], more[1024];
    struct sim_peer *server;
    unsigned long long n;
    const char *state;

    open_world();
    upgrade("/ws/up", "");
    snprintf(call, sizeof call, ASKED_2026(1), "");
    send_text(call);
    server = be_asked_by_an_older_server(&n);
    state = strstr(next_text(), "\"requestState\":\"");
    cr_assert_not_null(state, "%s", said);
    cr_assert_eq(counter(STAT_calls_parked), 1);
    snprintf(more, sizeof more,
             "\"inputResponses\":{\"1\":{\"action\":\"decline\"}},\"requestState\":\"%.*s\",",
             (int)strcspn(state + 16, "\""), state + 16);
    snprintf(call, sizeof call, ASKED_2026(2), more);
    send_text(call);
    say(server_asked_for("\"action\":\"decline\"", NULL),
        "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n");
    send_text(TOOL_2026(3, "other")); /* walks over all that is open here */
    snprintf(more, sizeof more, "data: {\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":{\"content\":[]}}\n\n", n);
    say_chunk(server, more);
    cr_assert(strstr(next_text(), "\"id\":2,\"result\""), "%s", said);
    sim_peer_reset(client);
    settle();
    world_close();
}

Test(ws, answers_requests_of_2026_07_28_in_any_order_without_header_fields)
{
    struct sim_peer *a, *b;
    unsigned long long one, two;

    open_world();
    upgrade("/ws/up", "");
    send_text(TOOL_2026(1, "one"));
    discover(true);
    a = server_asked_for("\"name\":\"one\"", &one);
    send_text(TOOL_2026("x", "two"));
    b = server_asked_for("\"name\":\"two\"", &two);
    answer_number(b, two);
    cr_assert(strstr(next_text(), "\"id\":\"x\",\"result\":{\"resultType\":\"complete\""));
    answer_number(a, one);
    cr_assert(strstr(next_text(), "\"id\":1,"));
    cr_assert_null(next_text());
    world_close();
}

Test(ws, reads_a_message_in_fragments_and_single_bytes_with_a_ping_between)
{
    static const char call[] = "{\"jsonrpc\":\"2.0\",\"id\":8,\"method\":\"ping\"}";
    struct ws_event e = {0};

    open_world();
    upgrade("/ws/up", "");
    send_text(INITIALIZE);
    discover(true);
    next_text();
    send_frame(WS_TEXT, false, call, 10);
    send_frame(WS_PING, true, "hi", 2);
    cr_assert_str_eq(next_said(WS_PONG, &e), "hi");
    for (size_t i = 10; i < sizeof call - 1; i++)
        send_frame(WS_CONTINUATION, i == sizeof call - 2, call + i, 1);
    cr_assert_str_eq(next_text(), "{\"jsonrpc\":\"2.0\",\"id\":8,\"result\":{}}");
    world_close();
}

Test(ws, cancels_by_notification_and_closes_the_upstreams_stream)
{
    struct sim_peer *server;
    unsigned long long n;

    open_world();
    upgrade("/ws/up", "");
    send_text(TOOL_2026(5, "slow"));
    discover(true);
    server = server_asked_for("\"name\":\"slow\"", &n);
    send_text("{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":5}}");
    cr_assert(sim_peer_ended(server));
    cr_assert_null(next_text());
    cr_assert_eq(closed_by(CLOSE_CANCELLED), 1);
    world_close();
}

Test(ws, brings_a_subscription_its_acknowledgement_changes_and_end)
{
    struct sim_peer *server;
    unsigned long long n;
    char event[512];

    open_world();
    upgrade("/ws/up", "");
    send_text(
        "{\"jsonrpc\":\"2.0\",\"id\":\"s\",\"method\":\"subscriptions/listen\",\"params\":{\"notifications\":"
        "{\"toolsListChanged\":true}," MODERN_META "}}");
    discover(true);
    server = server_asked_for("subscriptions/listen", &n);
    answer_stream(server, "");
    snprintf(event, sizeof event,
             "data: "
             "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/subscriptions/"
             "acknowledged\",\"params\":{\"notifications\":"
             "{\"toolsListChanged\":true},\"_meta\":{\"io.modelcontextprotocol/subscriptionId\":%llu}}}\n\n",
             n);
    say_chunk(server, event);
    cr_assert(strstr(next_text(), "notifications/subscriptions/acknowledged"));
    cr_assert(strstr(said, "\"io.modelcontextprotocol/subscriptionId\":\"s\""), "%s", said);
    snprintf(
        event, sizeof event,
        "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\",\"params\":{\"_meta\":"
        "{\"io.modelcontextprotocol/subscriptionId\":%llu}}}\n\n",
        n);
    say_chunk(server, event);
    cr_assert(strstr(next_text(), "notifications/tools/list_changed"));
    cr_assert(strstr(said, "\"io.modelcontextprotocol/subscriptionId\":\"s\""), "%s", said);
    world_close_after(1000);
}

Test(ws, ends_what_is_open_when_its_client_closes)
{
    struct sim_peer *server;
    unsigned long long n;

    open_world();
    upgrade("/ws/up", "");
    send_text(TOOL_2026(5, "slow"));
    discover(true);
    server = server_asked_for("\"name\":\"slow\"", &n);
    send_frame(WS_CLOSE, true, "\x03\xe8", 2);
    expect_close(1000);
    cr_assert(sim_peer_ended(server));
    cr_assert_eq(counter(STAT_exchanges_open), 0);
    cr_assert_eq(counter(STAT_sessions_live), 0);
    world_close();
}

Test(ws, ends_when_its_client_goes_without_a_word)
{
    for (int reset = 0; reset < 2; reset++) {
        struct sim_peer *server;
        unsigned long long n;

        open_world();
        upgrade("/ws/up", "");
        send_text(TOOL_2026(5, "slow"));
        discover(true);
        server = server_asked_for("\"name\":\"slow\"", &n);
        if (reset)
            sim_peer_reset(client);
        else
            sim_peer_close(client);
        settle();
        cr_assert(sim_peer_ended(server));
        cr_assert_eq(counter(STAT_exchanges_open), 0);
        world_close();
    }
}

Test(ws, takes_what_came_whole_before_what_breaks_the_rules)
{
    static const char notice[] = "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/roots/list_changed\"}",
                      ping[] = "{\"jsonrpc\":\"2.0\",\"id\":8,\"method\":\"ping\"}";
    static char run[512];
    struct sim_peer *server;
    size_t n;

    open_world();
    upgrade("/ws/up", "");
    send_text(INITIALIZE);
    server = server_asked_for("server/discover", NULL);
    answer(server, "", "{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-32601,\"message\":\"no\"}}");
    cr_assert(strstr(request_of(server)->body, "\"initialize\""));
    answer(server, "Mcp-Session-Id: s\r\n",
           "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"protocolVersion\":\"2025-06-18\",\"capabilities\":"
           "{\"tools\":{}},\"serverInfo\":{\"name\":\"s\",\"version\":\"1\"}}}");
    cr_assert(strstr(request_of(server)->body, "notifications/initialized"));
    say(server, "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n");
    next_text();
    n = make_frame(run, WS_TEXT, true, notice, sizeof notice - 1);
    n += make_frame(run + n, WS_TEXT, true, ping, sizeof ping - 1);
    n += make_frame(run + n, 3, true, "", 0);
    sim_peer_send(client, run, n);
    settle();
    server_asked_for("notifications/roots/list_changed", NULL);
    cr_assert_str_eq(next_text(), "{\"jsonrpc\":\"2.0\",\"id\":8,\"result\":{}}");
    expect_close(WS_CLOSE_PROTOCOL);
    world_close();
}

Test(ws, closes_with_the_code_that_says_what_was_wrong)
{
    static const struct {
        enum ws_opcode opcode;
        const char *payload;
        size_t len;
        unsigned code;
        enum close_reason reason;
    } faults[] = {
        {WS_CONTINUATION, "x", 1, 1002, CLOSE_WS_PROTOCOL},
        {WS_TEXT, "\xff", 1, 1007, CLOSE_WS_PROTOCOL},
        {WS_TEXT, "", 5000, 1009, CLOSE_WS_TOO_BIG},
        {WS_CLOSE, "\x03\xed", 2, 1002, CLOSE_WS_PROTOCOL},
        {3, "", 0, 1002, CLOSE_WS_PROTOCOL},
    };
    static char zeros[5000];

    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        open_world();
        upgrade("/ws/up", "");
        send_frame(faults[i].opcode, true, faults[i].len > 100 ? zeros : faults[i].payload, faults[i].len);
        expect_close(faults[i].code);
        cr_assert_geq(closed_by(faults[i].reason), 1, "%zu", i);
        world_close();
    }
}

Test(ws, says_what_is_no_message_and_goes_on)
{
    open_world();
    upgrade("/ws/up", "");
    send_text("nonsense");
    cr_assert(strstr(next_text(), "\"code\":-32700"), "%s", said);
    send_text("{\"jsonrpc\":\"2.0\",\"id\":1,\"id\":2,\"method\":\"ping\"}");
    cr_assert(strstr(next_text(), "\"code\":-32600"), "%s", said);
    send_text("{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"server/discover\",\"params\":{\"_meta\":{"
              "\"io.modelcontextprotocol/protocolVersion\":\"2030-01-01\","
              "\"io.modelcontextprotocol/clientCapabilities\":{}}}}");
    cr_assert(strstr(next_text(), "\"id\":3,\"error\":{\"code\":-32022"), "%s", said);
    cr_assert_not(sim_peer_ended(client));
    world_close();
}

Test(ws, pings_who_is_quiet_and_ends_who_does_not_answer)
{
    struct ws_event e = {0};

    open_world();
    upgrade("/ws/up", "");
    advance(10100);
    cr_assert_not_null(next_said(WS_PING, &e));
    send_frame(WS_PONG, true, "", 0);
    advance(10100);
    cr_assert_not_null(next_said(WS_PING, &e));
    advance(9000);
    cr_assert_not(sim_peer_ended(client));
    advance(1200);
    cr_assert_eq(counter(STAT_exchanges_open), 0);
    cr_assert_geq(closed_by(CLOSE_WS_SILENT), 1);
    world_close();
}

Test(ws, refuses_what_is_no_handshake_and_says_what_it_wants)
{
    static const char *const fields[] = {
        "",
        "Upgrade: h2c\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: "
        "dGhlIHNhbXBsZSBub25jZQ==\r\n",
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 8\r\nSec-WebSocket-Key: "
        "dGhlIHNhbXBsZSBub25jZQ==\r\n",
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: "
        "short\r\n",
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n",
    };

    open_world();
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        struct message *m;

        client = client_new();
        get(client, "/ws/up", fields[i]);
        m = reply_of(client);
        cr_assert_eq(m->status, 426, "%zu", i);
        cr_assert_str_eq(field(m, "Sec-WebSocket-Version"), "13");
        cr_assert_str_eq(field(m, "Upgrade"), "websocket");
    }
    client = client_new();
    get(client, "/ws/nobody", HANDSHAKE);
    cr_assert_eq(reply_of(client)->status, 404);
    client = client_new();
    get(client, "/ws/up", HANDSHAKE "Origin: https://evil.example\r\n");
    cr_assert_eq(reply_of(client)->status, 403);
    world_close();
}

Test(ws, says_goodbye_when_the_gateway_drains)
{
    open_world();
    upgrade("/ws/up", "");
    worker_drain(world.worker, 5000);
    settle();
    advance(100);
    expect_close(1001);
    world_close();
}

Test(ws, reads_no_more_from_who_does_not_read)
{
    unsigned sent = 0;

    open_world();
    upgrade("/ws/up", "");
    send_text(INITIALIZE);
    discover(true);
    next_text();
    sim_peer_set_window(client, 100);
    for (; sent < 2000; sent++)
        send_text("{\"jsonrpc\":\"2.0\",\"id\":8,\"method\":\"ping\"}");
    cr_assert_lt(counter(STAT_ws_messages), 100);
    cr_assert_lt(world.worker->net.stats.queued_bytes, 128 << 10);
    sim_peer_set_window(client, 1 << 20);
    settle();
    for (unsigned i = 0; i < sent; i++)
        cr_assert_str_eq(next_text(), "{\"jsonrpc\":\"2.0\",\"id\":8,\"result\":{}}", "%u of %u", i, sent);
    world_close();
}

/* The connection ends with calls on it in a drain, when the end of the last of them would wake it. */
Test(ws, may_leave_while_the_gateway_drains)
{
    open_world();
    upgrade("/ws/up", "");
    send_text(TOOL_2026(1, "one"));
    discover(true);
    server_asked_for("\"name\":\"one\"", NULL);
    send_text(TOOL_2026(2, "two"));
    server_asked_for("\"name\":\"two\"", NULL);
    worker_drain(world.worker, 5000);
    settle();
    sim_peer_reset(client);
    advance(100);
    world_close();
}

/* --- priorities --- */

#define TOOL_OF(id, name, priority)                                                                          \
    "{\"jsonrpc\":\"2.0\",\"id\":" #id ",\"method\":\"tools/call\",\"params\":{\"name\":\"" name             \
    "\",\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\","                              \
    "\"io.modelcontextprotocol/clientCapabilities\":{},\"mcpgate/priority\":" priority "}}}"

/* A reply of 300 bytes or so, which the gateway takes in the next turn. */
static void
answer_later(struct sim_peer *server, unsigned long long number)
{
    char reply[1024], body[512];

    snprintf(
        body, sizeof body,
        "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":{\"resultType\":\"complete\",\"content\":[{\"type\":"
        "\"text\",\"text\":\"%0200d\"}]}}",
        number, 0);
    snprintf(reply, sizeof reply,
             "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
             strlen(body), body);
    sim_peer_send(server, reply, strlen(reply));
}

/* Calls of three priorities, the first one the most or the least urgent, all answered in one turn. */
static void
answer_three(const char *extensions, bool first_is_high)
{
    static const char *const calls[2][3] = {
        {TOOL_OF(1, "one", "\"low\""), TOOL_OF(2, "two", "3"), TOOL_OF(3, "three", "\"high\"")},
        {TOOL_OF(1, "one", "\"high\""), TOOL_OF(2, "two", "3"), TOOL_OF(3, "three", "\"low\"")},
    };
    static const char *const names[] = {"\"name\":\"one\"", "\"name\":\"two\"", "\"name\":\"three\""};
    struct sim_peer *servers[3];
    unsigned long long numbers[3];

    world_open(1, UPSTREAM, "--ws-deflate", "on", NULL);
    upgrade("/ws/up", extensions);
    for (unsigned i = 0; i < 3; i++) {
        send_text(calls[first_is_high][i]);
        if (i == 0)
            discover(true);
        servers[i] = server_asked_for(names[i], &numbers[i]);
    }
    for (unsigned i = 0; i < 3; i++)
        answer_later(servers[i], numbers[i]);
    settle();
}

Test(ws, says_first_what_is_most_urgent)
{
    static const char *const order[2][3] = {{"\"id\":3,", "\"id\":2,", "\"id\":1,"},
                                            {"\"id\":1,", "\"id\":2,", "\"id\":3,"}};

    for (int first_is_high = 0; first_is_high < 2; first_is_high++) {
        answer_three("", first_is_high);
        for (unsigned i = 0; i < 3; i++)
            cr_assert(strstr(next_text(), order[first_is_high][i]), "%s", said);
        cr_assert_eq(stats_load(&world.stats->urgency[PRIORITY_HIGH]), 1);
        cr_assert_eq(stats_load(&world.stats->urgency[PRIORITY_LOW]), 1);
        world_close();
    }
}

static char inflated[4096];
static uint32_t inflated_len;

static bool
keep_inflated(struct ws_deflate_out *out, const void *bytes, uint32_t len)
{
    (void)out;
    cr_assert_lt(inflated_len + len, sizeof inflated);
    memcpy(inflated + inflated_len, bytes, len);
    inflated[inflated_len += len] = '\0';
    return true;
}

/* The first message that is said, inflated. */
static const char *
first_inflated(void)
{
    struct ws_deflate_out out = {keep_inflated};
    struct ws_inflater *inflater = ws_inflater_new();
    struct ws_event e = {0};

    ws_parser_init(&replies, false, true, 0);
    next_said(WS_TEXT, &e);
    cr_assert(e.is_compressed);
    inflated_len = 0;
    cr_assert_eq(ws_inflater_message(inflater, (struct text){said, e.payload.len}, sizeof inflated, &out),
                 WS_DEFLATE_FINE);
    ws_inflater_free(inflater);
    return inflated;
}

Test(ws, keeps_to_one_order_where_a_compressed_message_needs_those_before_it)
{
    char first[sizeof inflated];

    answer_three("Sec-WebSocket-Extensions: permessage-deflate\r\n", false);
    strcpy(first, first_inflated());
    world_close();
    answer_three("Sec-WebSocket-Extensions: permessage-deflate\r\n", true);
    cr_assert_str_eq(first_inflated(), first);
    world_close();
}

Test(ws, says_first_what_is_most_urgent_where_each_message_is_compressed_by_itself)
{
    for (int first_is_high = 0; first_is_high < 2; first_is_high++) {
        answer_three("Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover\r\n",
                     first_is_high);
        cr_assert(strstr(first_inflated(), first_is_high ? "\"id\":1,\"result\"" : "\"id\":3,\"result\""),
                  "%s", inflated);
        world_close();
    }
}

Test(ws, closes_behind_all_that_was_said)
{
    struct sim_peer *server;
    unsigned long long n;

    open_world();
    upgrade("/ws/up", "");
    send_text(TOOL_OF(1, "one", "\"low\""));
    discover(true);
    server = server_asked_for("\"name\":\"one\"", &n);
    answer_later(server, n);
    send_frame(WS_CLOSE, true, "\x03\xe8", 2); /* in the same turn */
    cr_assert(strstr(next_text(), "\"id\":1,\"result\""), "%s", said);
    expect_close(1000);
    world_close();
}

/* --- clients that do not keep up --- */

static void
notify(struct sim_peer *server, const char *method, unsigned long long token, unsigned value)
{
    char event[512];

    snprintf(
        event, sizeof event,
        "data: {\"jsonrpc\":\"2.0\",\"method\":\"%s\",\"params\":{\"progressToken\":%llu,\"progress\":%u,"
        "\"level\":\"info\",\"data\":%u}}\n\n",
        method, token, value, value);
    say_chunk(server, event);
}

#define WATCHED                                                                                              \
    "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"watched\",\"_meta\":{"   \
    "\"progressToken\":\"t\",\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\","                    \
    "\"io.modelcontextprotocol/logLevel\":\"debug\",\"io.modelcontextprotocol/clientCapabilities\":{}}}}"

/* A call whose client reads nothing while its upstream says `count` notices and then the response. */
static struct sim_peer *
fall_behind(const char *policy, const char *method, unsigned count)
{
    struct sim_peer *server;
    unsigned long long n;
    char event[256];

    world_open(1, UPSTREAM, "--backpressure", policy, NULL);
    upgrade("/ws/up", "");
    send_text(WATCHED);
    discover(true);
    server = server_asked_for("\"name\":\"watched\"", &n);
    answer_stream(server, "");
    sim_peer_set_window(client, 0);
    for (unsigned i = 1; i <= count; i++)
        notify(server, method, n, i);
    snprintf(
        event, sizeof event,
        "data: {\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":{\"resultType\":\"complete\",\"content\":[]}}\n\n",
        n);
    say_chunk(server, event);
    return server;
}

static void
catch_up(void)
{
    sim_peer_set_window(client, 1 << 20);
    settle();
}

Test(ws, a_client_that_does_not_keep_up_hears_all_by_default)
{
    fall_behind("throttle", "notifications/progress", 9);
    catch_up();
    for (unsigned i = 1; i <= 9; i++)
        cr_assert(strstr(next_text(), "\"progress\":"), "%s", said);
    cr_assert(strstr(next_text(), "\"id\":1,\"result\""), "%s", said);
    cr_assert_eq(counter(STAT_notices_dropped) + counter(STAT_notices_merged), 0);
    world_close();
}

Test(ws, a_client_that_does_not_keep_up_hears_the_latest_progress_with_combine)
{
    fall_behind("combine", "notifications/progress", 9);
    catch_up();
    cr_assert(strstr(next_text(), "\"progress\":1,"), "%s", said);
    cr_assert(strstr(next_text(), "\"progress\":9,"), "%s", said);
    cr_assert(strstr(next_text(), "\"id\":1,\"result\""), "%s", said);
    cr_assert_null(next_text());
    cr_assert_eq(counter(STAT_notices_merged), 7);
    cr_assert_eq(counter(STAT_notices_dropped), 0);
    world_close();
}

Test(ws, a_client_that_does_not_keep_up_is_spared_log_lines_with_drop)
{
    fall_behind("drop", "notifications/message", 9);
    catch_up();
    cr_assert(strstr(next_text(), "\"data\":1"), "%s", said);
    cr_assert(strstr(next_text(), "\"id\":1,\"result\""), "%s", said);
    cr_assert_null(next_text());
    cr_assert_eq(counter(STAT_notices_dropped), 8);
    world_close();
}

Test(ws, what_is_neither_dropped_nor_combined_waits_at_its_source)
{
    fall_behind("drop", "notifications/progress", 9);
    catch_up();
    for (unsigned i = 1; i <= 9; i++)
        cr_assert(strstr(next_text(), "\"progress\":"), "%s", said);
    cr_assert(strstr(next_text(), "\"id\":1,\"result\""), "%s", said);
    cr_assert_geq(counter(STAT_pauses), 1);
    world_close();
}
