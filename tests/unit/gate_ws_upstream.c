/* SPDX-License-Identifier: Apache-2.0 */
/* Upstreams over WebSocket, with clients over HTTP, on a whole worker in the simulator. */
#include "gate_world.h"
#include "proto/ws.h"
#include "proto/ws_deflate.h"
#include "proto/ws_key.h"

#include <stdlib.h>

#define UPSTREAM "--upstream", "up=ws://10.0.0.2:80/mcp", "--era-ttl", "5m", "--ws-ping", "10s"
#define FRESH                                                                                                \
    "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":{\"resultType\":\"complete\",\"supportedVersions\":"        \
    "[\"2026-07-28\"],\"capabilities\":{\"tools\":{}},\"ttlMs\":0,\"cacheScope\":\"public\"}}"
#define REFUSED                                                                                              \
    "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"error\":{\"code\":-32601,\"message\":\"Method not found\"}}"
#define INITIALIZED                                                                                          \
    "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":{\"protocolVersion\":\"2025-06-18\",\"capabilities\":"      \
    "{\"tools\":{}},\"serverInfo\":{\"name\":\"s\",\"version\":\"1\"}}}"
#define DONE "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":{\"resultType\":\"complete\",\"content\":[]}}"
#define INITIALIZE                                                                                           \
    "{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"initialize\",\"params\":{\"protocolVersion\":\"2025-06-"     \
    "18\",\"capabilities\":{},\"clientInfo\":{\"name\":\"c\",\"version\":\"1\"}}}"

static struct sim_peer *client;

/* --- the upstream --- */

struct ws_end {
    struct sim_peer *peer;
    struct ws_parser parser;
    char arrived[1 << 17], said[1 << 17];
    size_t len;
};

static struct ws_end main_end, other;
static const char *offered; /* the extension that the gateway asks for; NULL: none */

/* The next connection asks for an upgrade, which is granted, with these fields besides. */
static void
accept_upgrade(struct ws_end *s, const char *fields)
{
    struct message *m;
    char accept[WS_ACCEPT_CHARS];
    const char *key;

    s->peer = server_next();
    cr_assert_not_null(s->peer);
    m = request_of(s->peer);
    cr_assert(strncmp(m->head, "GET /mcp HTTP/1.1\r\n", 19) == 0, "%s", m->head);
    cr_assert_str_eq(field(m, "Upgrade"), "websocket");
    cr_assert_str_eq(field(m, "Sec-WebSocket-Version"), "13");
    cr_assert_str_eq(field(m, "Sec-WebSocket-Protocol"), "mcp");
    if (offered)
        cr_assert_str_eq(field(m, "Sec-WebSocket-Extensions"), offered);
    else
        cr_assert_null(field(m, "Sec-WebSocket-Extensions"));
    key = field(m, "Sec-WebSocket-Key");
    cr_assert(ws_key_accept((struct text){key, (uint32_t)strlen(key)}, accept));
    ws_parser_init(&s->parser, true, offered, 0);
    s->len = 0;
    say(s->peer,
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Accept: %.*s\r\n%s\r\n",
        WS_ACCEPT_CHARS, accept, fields);
}

/* What the gateway says next, or NULL. */
static const char *
next_said(struct ws_end *s, enum ws_opcode want, struct ws_event *ret)
{
    enum parse_result r;
    uint32_t used;

    s->len += sim_peer_read(s->peer, s->arrived + s->len, sizeof s->arrived - s->len);
    r = ws_parser_next(&s->parser, s->arrived, (uint32_t)s->len, &used, ret);
    cr_assert_neq(r, PARSE_BAD, "%s", ws_fault_text((enum ws_fault)s->parser.fault));
    if (r == PARSE_MORE)
        return NULL;
    cr_assert_eq(ret->opcode, want, "%u", ret->opcode);
    memcpy(s->said, ret->payload.at, ret->payload.len);
    s->said[ret->payload.len] = '\0';
    memmove(s->arrived, s->arrived + used, s->len -= used);
    return s->said;
}

static const char *
next_text(struct ws_end *s)
{
    struct ws_event e = {0};
    const char *text = next_said(s, WS_TEXT, &e);

    cr_assert(!text || (e.begins && e.ends));
    return text;
}

static void
send_frame(struct ws_end *s, enum ws_opcode opcode, bool fin, const char *payload, size_t len)
{
    static char frame[1 << 17];
    uint32_t n = ws_write_head((uint8_t *)frame, opcode, fin, false, len, NULL);

    memcpy(frame + n, payload, len);
    sim_peer_send(s->peer, frame, n + len);
    settle();
}

/* The next message is a request of this method: its id. */
static unsigned long long
asked(struct ws_end *s, const char *method)
{
    const char *text = next_text(s), *id = text ? strstr(text, "\"id\":") : NULL;

    cr_assert(text && strstr(text, method), "%s instead of %s", text ? text : "nothing", method);
    cr_assert_not_null(id, "%s", text);
    return strtoull(id + 5, NULL, 10);
}

/* `format` has a place for the id. */
static void
say_of(struct ws_end *s, const char *format, unsigned long long id)
{
    char body[1024];

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    int n = snprintf(body, sizeof body, format, id);
#pragma GCC diagnostic pop
    send_frame(s, WS_TEXT, true, body, (size_t)n);
}

/* The probe, which has a connection of its own. */
static void
be_asked_for_era(const char *format)
{
    struct ws_event e = {0};

    accept_upgrade(&other, "");
    say_of(&other, format, asked(&other, "\"server/discover\""));
    cr_assert_not_null(next_said(&other, WS_CLOSE, &e));
    cr_assert_eq(e.code, WS_CLOSE_NORMAL);
    sim_peer_close(other.peer);
    settle();
}

/* --- clients --- */

static struct sim_peer *
modern_call(void)
{
    struct sim_peer *c = client_new();

    post(c, MCP_ACCEPT MODERN, MODERN_CALL(7));
    return c;
}

/* The first call of a client of 2026-07-28 has reached the upstream: its id there. */
static unsigned long long
begin_call(void)
{
    client = modern_call();
    be_asked_for_era(FRESH);
    accept_upgrade(&main_end, "");
    return asked(&main_end, "\"tools/call\"");
}

/* --- a server of 2026-07-28 --- */

Test(ws_upstream, of_2026_serves_all_calls_on_one_connection)
{
    struct sim_peer *clients[3];
    unsigned long long ids[3];

    world_open(1, UPSTREAM, NULL);
    clients[0] = modern_call();
    be_asked_for_era(FRESH);
    accept_upgrade(&main_end, "");
    ids[0] = asked(&main_end, "\"tools/call\"");
    for (unsigned i = 1; i < 3; i++) {
        clients[i] = modern_call();
        cr_assert_null(server_next(), "the connection is shared");
        ids[i] = asked(&main_end, "\"tools/call\"");
    }
    for (unsigned i = 3; i-- > 0;) {
        say_of(&main_end, DONE, ids[i]);
        cr_assert_not_null(strstr(reply_of(clients[i])->body, "\"id\":7,\"result\""));
    }
    world_close();
}

Test(ws_upstream, may_fragment_its_messages_and_put_pings_between)
{
    struct ws_event e = {0};
    unsigned long long id;
    char body[256];
    size_t n;

    world_open(1, UPSTREAM, NULL);
    client = modern_call();
    be_asked_for_era(FRESH);
    accept_upgrade(&main_end, "Sec-WebSocket-Protocol: mcp\r\n");
    id = asked(&main_end, "\"tools/call\"");
    n = (size_t)snprintf(body, sizeof body, DONE, id);
    send_frame(&main_end, WS_TEXT, false, body, 10);
    send_frame(&main_end, WS_PING, true, "there?", 6);
    cr_assert_str_eq(next_said(&main_end, WS_PONG, &e), "there?");
    send_frame(&main_end, WS_CONTINUATION, false, body + 10, 0);
    send_frame(&main_end, WS_CONTINUATION, true, body + 10, n - 10);
    cr_assert_not_null(strstr(reply_of(client)->body, "\"id\":7,\"result\""));
    world_close();
}

Test(ws_upstream, gets_a_large_message_whole)
{
    static char call[70000];
    struct sim_peer *c;
    char fields[512];
    const char *said;
    size_t n;

    world_open(1, UPSTREAM, NULL);
    say_of(&main_end, DONE, begin_call());
    reply_of(client);
    n = (size_t)snprintf(
        call, sizeof call,
        "{\"jsonrpc\":\"2.0\",\"id\":8,\"method\":\"tools/call\",\"params\":{\"name\":\"echo\"," MODERN_META
        ",\"arguments\":{\"a\":\"");
    memset(call + n, 'x', 60000);
    strcpy(call + n + 60000, "\"}}}");
    snprintf(fields, sizeof fields, MCP_ACCEPT MODERN);
    c = client_new();
    post(c, fields, call);
    said = next_text(&main_end);
    cr_assert_not_null(said);
    cr_assert_not_null(strstr(said, "xxx\"}}}"));
    cr_assert_gt(strlen(said), 60000);
    say_of(&main_end, DONE, strtoull(strstr(said, "\"id\":") + 5, NULL, 10));
    cr_assert_eq(reply_of(c)->status, 200);
    world_close();
}

/* --- a server before 2026-07-28 --- */

static char session[512];

static void
open_session(struct ws_end *s)
{
    client = client_new();
    post(client, MCP_ACCEPT, INITIALIZE);
    if (!session[0])
        be_asked_for_era(REFUSED);
    accept_upgrade(s, "");
    say_of(s, INITIALIZED, asked(s, "\"initialize\""));
    cr_assert_not_null(strstr(next_text(s), "notifications/initialized"));
    snprintf(session, sizeof session, MCP_ACCEPT "MCP-Protocol-Version: 2025-06-18\r\nMcp-Session-Id: %s\r\n",
             field(reply_of(client), "Mcp-Session-Id"));
}

Test(ws_upstream, of_an_older_revision_has_a_connection_for_each_session)
{
    struct ws_event e = {0};

    world_open(1, UPSTREAM, NULL);
    open_session(&main_end);
    post(client, session, CALL(3));
    say_of(&main_end, DONE, asked(&main_end, "\"tools/call\""));
    cr_assert_not_null(strstr(reply_of(client)->body, "\"id\":3,"));
    open_session(&other);
    post(client, session, CALL(4));
    cr_assert_null(next_text(&main_end));
    say_of(&other, DONE, asked(&other, "\"tools/call\""));
    cr_assert_not_null(strstr(reply_of(client)->body, "\"id\":4,"));
    say(client, "DELETE /mcp/up HTTP/1.1\r\nHost: x\r\n%s\r\n", session);
    cr_assert_eq(reply_of(client)->status, 200);
    cr_assert_not_null(next_said(&other, WS_CLOSE, &e));
    cr_assert_eq(e.code, WS_CLOSE_NORMAL);
    world_close();
}

Test(ws_upstream, that_lost_the_connection_is_greeted_anew_by_the_next_call)
{
    world_open(1, UPSTREAM, NULL);
    open_session(&main_end);
    post(client, session, CALL(3));
    asked(&main_end, "\"tools/call\"");
    sim_peer_reset(main_end.peer);
    settle();
    cr_assert_not_null(strstr(reply_of(client)->body, "\"error\""), "what was on its way may have been done");
    post(client, session, CALL(4));
    accept_upgrade(&main_end, "");
    say_of(&main_end, INITIALIZED, asked(&main_end, "\"initialize\""));
    cr_assert_not_null(strstr(next_text(&main_end), "notifications/initialized"));
    say_of(&main_end, DONE, asked(&main_end, "\"tools/call\""));
    cr_assert_not_null(strstr(reply_of(client)->body, "\"id\":4,\"result\""));
    world_close();
}

/* --- what goes wrong --- */

static void
refuse_upgrade(const char *reply)
{
    struct sim_peer *server = server_next();

    cr_assert_not_null(server);
    request_of(server);
    say(server, "%s", reply);
}

Test(ws_upstream, that_refuses_the_upgrade_fails_the_call)
{
    static const char *const replies[] = {
        "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno",
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 2\r\n\r\n\n\n",
        ("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
         "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"),
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n"};

    for (unsigned i = 0; i < sizeof replies / sizeof *replies; i++) {
        struct message *m;

        world_open(1, UPSTREAM, NULL);
        client = modern_call();
        refuse_upgrade(replies[i]);
        m = reply_of(client);
        cr_assert_geq(m->status, 400, "%u: %s%s", i, m->head, m->body);
        cr_assert_not_null(strstr(m->body, "\"error\""), "%s", m->body);
        world_close();
    }
}

Test(ws_upstream, that_breaks_the_rules_of_frames_is_told_and_fails_its_calls)
{
    static const struct {
        const char *bytes;
        size_t len;
        unsigned code;
    } rows[] = {{"\xc1\x01x", 3, WS_CLOSE_PROTOCOL},
                {"\x81\x81\x01\x02\x03\x04x", 7, WS_CLOSE_PROTOCOL},
                {"\x83\x01x", 3, WS_CLOSE_PROTOCOL},
                {"\x81\x01\xff", 3, WS_CLOSE_INVALID},
                {"\x80\x01x", 3, WS_CLOSE_PROTOCOL},
                {"\x09\x00", 2, WS_CLOSE_PROTOCOL},
                {"\x81\x7f\x00\x00\x00\x01\x00\x00\x00\x00", 10, WS_CLOSE_TOO_BIG}};

    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct ws_event e = {0};

        world_open(1, UPSTREAM, NULL);
        begin_call();
        sim_peer_send(main_end.peer, rows[i].bytes, rows[i].len);
        settle();
        cr_assert_not_null(next_said(&main_end, WS_CLOSE, &e), "%u", i);
        cr_assert_eq(e.code, rows[i].code, "%u: %u", i, e.code);
        cr_assert_not_null(strstr(reply_of(client)->body, "\"error\""));
        world_close();
    }
}

Test(ws_upstream, that_breaks_the_rules_behind_an_answer_has_answered)
{
    char run[256];
    int n;

    world_open(1, UPSTREAM, NULL);
    n = snprintf(run + 2, sizeof run - 2, DONE, begin_call());
    run[0] = (char)0x81;
    run[1] = (char)n;
    memcpy(run + 2 + n, "\x83\x00", 2);
    cr_assert_lt(n, 126);
    sim_peer_send(main_end.peer, run, (size_t)n + 4);
    settle();
    cr_assert_not_null(strstr(reply_of(client)->body, "\"result\""));
    world_close();
}

Test(ws_upstream, that_closes_gets_its_code_back)
{
    struct ws_event e = {0};

    world_open(1, UPSTREAM, NULL);
    begin_call();
    send_frame(&main_end, WS_CLOSE, true, "\x03\xf4why", 5);
    cr_assert_not_null(next_said(&main_end, WS_CLOSE, &e));
    cr_assert_eq(e.code, 1012);
    cr_assert_not_null(strstr(reply_of(client)->body, "\"error\""));
    client = modern_call();
    accept_upgrade(&main_end, "");
    say_of(&main_end, DONE, asked(&main_end, "\"tools/call\""));
    cr_assert_eq(reply_of(client)->status, 200, "and the next call finds a new connection");
    world_close();
}

Test(ws_upstream, that_is_quiet_is_pinged_and_given_up_without_an_answer)
{
    struct ws_event e = {0};

    world_open(1, UPSTREAM, "--first-byte-timeout", "1h", NULL);
    begin_call();
    for (unsigned i = 0; i < 3; i++) {
        advance(10100);
        cr_assert_not_null(next_said(&main_end, WS_PING, &e), "%u", i);
        send_frame(&main_end, WS_PONG, true, "", 0);
    }
    advance(10100);
    cr_assert_not_null(next_said(&main_end, WS_PING, &e));
    cr_assert_not(sim_peer_ended(main_end.peer));
    advance(10100);
    cr_assert_eq(closed_by(CLOSE_WS_SILENT), 1);
    cr_assert_not_null(strstr(reply_of(client)->body, "\"error\""));
    world_close();
}

Test(ws_upstream, hears_goodbye_when_the_gateway_drains)
{
    struct ws_event e = {0};

    world_open(1, UPSTREAM, NULL);
    say_of(&main_end, DONE, begin_call());
    reply_of(client);
    worker_drain(world.worker, 5000);
    advance(10);
    cr_assert_not_null(next_said(&main_end, WS_CLOSE, &e));
    cr_assert_eq(e.code, WS_CLOSE_GOING_AWAY);
    world_close();
}

Test(ws_upstream, may_ping_before_it_says_its_era)
{
    unsigned long long id;
    const char *text;

    world_open(1, UPSTREAM, NULL);
    client = modern_call();
    accept_upgrade(&other, "");
    id = asked(&other, "\"server/discover\"");
    say_of(&other, "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"method\":\"ping\"}", 77);
    text = next_text(&other);
    cr_assert(text && strstr(text, "\"id\":77,\"result\""), "%s", text ? text : "nothing");
    cr_assert_null(server_next(), "on the same connection");
    say_of(&other, FRESH, id);
    sim_peer_close(other.peer);
    settle();
    accept_upgrade(&main_end, "");
    say_of(&main_end, DONE, asked(&main_end, "\"tools/call\""));
    cr_assert_eq(reply_of(client)->status, 200);
    world_close();
}

Test(ws_upstream, that_pings_and_does_not_read_gets_no_more_pongs)
{
    static char pings[127 * 500];

    world_open(1, UPSTREAM, "--send-timeout", "30s", NULL);
    begin_call();
    sim_peer_set_window(main_end.peer, 100);
    for (unsigned i = 0; i < 500; i++)
        memcpy(pings + i * 127, "\x89\x7d", 2);
    for (unsigned i = 0; i < 100; i++) {
        sim_peer_send(main_end.peer, pings, sizeof pings);
        settle();
    }
    cr_assert_leq(world.queued_max, 200 << 10, "%llu", (unsigned long long)world.queued_max);
    advance(31000);
    cr_assert_eq(closed_by(CLOSE_UPSTREAM_STALLED), 1);
    cr_assert_not_null(strstr(reply_of(client)->body, "the upstream took no byte"));
    world_close();
}

Test(ws_upstream, passes_what_a_server_logs_within_a_call)
{
    unsigned long long id;

    world_open(1, UPSTREAM, NULL);
    client = client_new();
    post(client, MCP_ACCEPT MODERN,
         "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"tools/call\",\"params\":{\"name\":\"echo\",\"_meta\":{"
         "\"io.modelcontextprotocol/logLevel\":\"debug\",\"io.modelcontextprotocol/"
         "protocolVersion\":\"2026-07-28\","
         "\"io.modelcontextprotocol/clientCapabilities\":{}}}}");
    be_asked_for_era(FRESH);
    accept_upgrade(&main_end, "");
    id = asked(&main_end, "\"tools/call\"");
    say_of(
        &main_end,
        "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":{\"level\":\"info\",\"data\":"
        "\"hello %llu\"}}",
        id);
    cr_assert(has(client, "hello"));
    say_of(&main_end, DONE, id);
    cr_assert(has(client, "\"id\":7,\"result\""));
    world_close();
}

/* The frame that found no memory is not among those that leave with the 101. */
Test(ws_upstream, gets_whole_frames_only_when_memory_is_short)
{
    static char call[70000], got[1 << 20];
    struct ws_parser parser;
    unsigned frames = 0;
    struct ws_event e;
    uint32_t used;
    size_t n, len = 0, at = 0;
    struct message *m;
    char accept[WS_ACCEPT_CHARS];
    const char *key;

    world_open(1, UPSTREAM, "--max-memory", "1m", NULL);
    client = modern_call();
    be_asked_for_era(FRESH);
    main_end.peer = server_next();
    cr_assert_not_null(main_end.peer);
    n = (size_t)snprintf(
        call, sizeof call,
        "{\"jsonrpc\":\"2.0\",\"id\":8,\"method\":\"tools/call\",\"params\":{\"name\":\"echo\"," MODERN_META
        ",\"arguments\":{\"a\":\"");
    memset(call + n, 'x', 60000);
    strcpy(call + n + 60000, "\"}}}");
    for (unsigned i = 0; i < 20; i++) {
        struct sim_peer *c = client_new();

        post(c, MCP_ACCEPT MODERN, call);
        if (try_reply(c))
            break;
    }
    m = request_of(main_end.peer);
    key = field(m, "Sec-WebSocket-Key");
    cr_assert(ws_key_accept((struct text){key, (uint32_t)strlen(key)}, accept));
    say(main_end.peer,
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Accept: %.*s\r\n\r\n",
        WS_ACCEPT_CHARS, accept);
    for (unsigned i = 0; i < 20; i++) {
        len += sim_peer_read(main_end.peer, got + len, sizeof got - len);
        settle();
    }
    ws_parser_init(&parser, true, false, 0);
    while (ws_parser_next(&parser, got + at, (uint32_t)(len - at), &used, &e) == PARSE_OK) {
        cr_assert(e.begins && e.ends);
        at += used;
        frames++;
    }
    cr_assert_eq(parser.fault, WS_FAULT_FINE);
    cr_assert_eq(at, len);
    cr_assert_gt(frames, 0);
    world_close();
}

/* --- permessage-deflate --- */

#define AGREED "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover\r\n"

struct packed {
    struct ws_deflate_out out; /* first */
    char bytes[1 << 17];
    uint32_t len;
};

static bool
put_packed(struct ws_deflate_out *out, const void *bytes, uint32_t len)
{
    struct packed *to = (struct packed *)(void *)out;

    cr_assert_leq(to->len + len, sizeof to->bytes);
    memcpy(to->bytes + to->len, bytes, len);
    to->len += len;
    return true;
}

/* A world in which the upstream has agreed to this extension, and the id of a first call there. */
static unsigned long long
begin_deflated_call(const char *agreed)
{
    world_open(1, UPSTREAM, "--ws-deflate", "on", "--max-message", "100k", NULL);
    offered = WS_DEFLATE_OFFER;
    client = modern_call();
    be_asked_for_era(FRESH);
    accept_upgrade(&main_end, agreed);
    return asked(&main_end, "\"tools/call\"");
}

/* As one message, or with `cut` as two fragments. */
static void
send_deflated(struct text message, bool cut)
{
    static struct packed to = {.out = {put_packed}};
    static char frame[1 << 17];
    struct ws_deflater *d =
        ws_deflater_new(&(struct ws_deflate_params){.window_bits = 12, .no_takeover = true});
    uint32_t first, n;

    to.len = 0;
    cr_assert_eq(ws_deflater_message(d, &message, 1, &to.out), WS_DEFLATE_FINE);
    ws_deflater_free(d);
    first = cut ? to.len / 2 : to.len;
    n = ws_write_head((uint8_t *)frame, WS_TEXT, !cut, true, first, NULL);
    memcpy(frame + n, to.bytes, first);
    sim_peer_send(main_end.peer, frame, n + first);
    settle();
    if (cut)
        send_frame(&main_end, WS_CONTINUATION, true, to.bytes + first, to.len - first);
}

Test(ws_upstream, is_sent_long_messages_compressed_where_it_agrees)
{
    static char call[8192];
    static struct packed plain = {.out = {put_packed}};
    struct ws_inflater *inflater = ws_inflater_new();
    struct ws_event e = {0};
    const char *said;
    size_t n;

    say_of(&main_end, DONE, begin_deflated_call(AGREED)); /* short: as it is */
    reply_of(client);
    n = (size_t)snprintf(call, sizeof call,
                         "{\"jsonrpc\":\"2.0\",\"id\":8,\"method\":\"tools/call\",\"params\":{\"name\":"
                         "\"echo\"," MODERN_META ",\"arguments\":{\"a\":\"");
    memset(call + n, 'x', 4000);
    strcpy(call + n + 4000, "\"}}}");
    client = client_new();
    post(client, MCP_ACCEPT MODERN, call);
    said = next_said(&main_end, WS_TEXT, &e);
    cr_assert_not_null(said);
    cr_assert(e.is_compressed);
    cr_assert_lt(e.payload.len, 400);
    cr_assert_eq(
        ws_inflater_message(inflater, (struct text){said, e.payload.len}, sizeof plain.bytes, &plain.out),
        WS_DEFLATE_FINE);
    put_packed(&plain.out, "", 1);
    cr_assert_not_null(strstr(plain.bytes, "xxx\"}}}"));
    say_of(&main_end, DONE, strtoull(strstr(plain.bytes, "\"id\":") + 5, NULL, 10));
    cr_assert_eq(reply_of(client)->status, 200);
    cr_assert_gt(counter(STAT_compress_in), counter(STAT_compress_out));
    ws_inflater_free(inflater);
    world_close();
}

Test(ws_upstream, may_compress_its_messages_whole_or_in_fragments)
{
    for (int cut = 0; cut < 2; cut++) {
        char body[256];
        int n = snprintf(body, sizeof body, DONE, begin_deflated_call(AGREED));

        send_deflated((struct text){body, (uint32_t)n}, cut);
        cr_assert_not_null(strstr(reply_of(client)->body, "\"id\":7,\"result\""));
        world_close();
    }
}

Test(ws_upstream, may_decline_to_compress)
{
    say_of(&main_end, DONE, begin_deflated_call(""));
    cr_assert_eq(reply_of(client)->status, 200);
    world_close();
}

Test(ws_upstream, that_agrees_to_what_was_not_offered_fails_the_call)
{
    static const char *const rows[] = {
        "permessage-deflate", "permessage-deflate; server_no_context_takeover; client_max_window_bits=9",
        "x"};

    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        char agreed[128];

        snprintf(agreed, sizeof agreed, "Sec-WebSocket-Extensions: %s\r\n", rows[i]);
        world_open(1, UPSTREAM, "--ws-deflate", "on", NULL);
        offered = WS_DEFLATE_OFFER;
        client = modern_call();
        be_asked_for_era(FRESH);
        accept_upgrade(&main_end, agreed);
        cr_assert_not_null(strstr(reply_of(client)->body, "\"error\""), "%s", rows[i]);
        cr_assert_eq(closed_by(CLOSE_WS_HANDSHAKE), 1);
        world_close();
    }
}

Test(ws_upstream, that_compresses_nonsense_or_a_bomb_is_told_and_fails_its_calls)
{
    static char bomb[200000];
    struct ws_event e = {0};

    begin_deflated_call(AGREED);
    sim_peer_send(main_end.peer, "\xc1\x04\xff\xff\xff\xff", 6);
    settle();
    cr_assert_not_null(next_said(&main_end, WS_CLOSE, &e));
    cr_assert_eq(e.code, WS_CLOSE_INVALID);
    cr_assert_not_null(strstr(reply_of(client)->body, "\"error\""));
    world_close();

    begin_deflated_call(AGREED);
    memset(bomb, ' ', sizeof bomb);
    send_deflated((struct text){bomb, sizeof bomb}, false);
    cr_assert_not_null(next_said(&main_end, WS_CLOSE, &e));
    cr_assert_eq(e.code, WS_CLOSE_TOO_BIG);
    cr_assert_not_null(strstr(reply_of(client)->body, "\"error\""));
    world_close();

    begin_deflated_call(AGREED);
    send_deflated(TEXT("\xff"), false);
    cr_assert_not_null(next_said(&main_end, WS_CLOSE, &e));
    cr_assert_eq(e.code, WS_CLOSE_INVALID, "text is UTF-8, compressed or not");
    world_close();
}
