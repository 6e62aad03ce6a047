/* SPDX-License-Identifier: Apache-2.0 */
/* WebSockets on plain routes, on a whole worker in the simulator. */
#include "gate_world.h"
#include "net/batch.h"
#include "proto/ws.h"

#include <stdlib.h>

#define ROUTE "--route", "/ws=ws://10.0.0.2:80/ws", "--ws-ping", "10s", "--ws-max-message", "4k"
#define UPGRADE                                                                                              \
    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"                             \
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define SWITCHED                                                                                             \
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"                      \
    "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"

static const uint8_t mask[4] = {0x37, 0xfa, 0x21, 0x3d};
static struct sim_peer *client, *server;

static void
open_socket(const char *fields)
{
    client = client_new();
    say(client, "GET /ws/chat HTTP/1.1\r\nHost: x\r\n" UPGRADE "\r\n");
    server = server_next();
    cr_assert(strncmp(request_of(server)->head, "GET /ws/chat HTTP/1.1\r\n", 23) == 0);
    say(server, SWITCHED "%s\r\n", fields);
    cr_assert(has(client, "101 Switching Protocols"));
    sim_peer_discard(client);
}

/* A frame of the client's (masked) or the server's. Gives its length. */
static size_t
make_frame(char *out, bool masked, enum ws_opcode opcode, bool fin, const char *payload, size_t len)
{
    uint32_t n = ws_write_head((uint8_t *)out, opcode, fin, false, len, masked ? mask : NULL);

    memcpy(out + n, payload, len);
    if (masked)
        ws_mask(out + n, len, mask, 0);
    return n + len;
}

static size_t
send_frame(struct sim_peer *from, enum ws_opcode opcode, bool fin, const char *payload, size_t len)
{
    static char frame[1 << 16];
    size_t n = make_frame(frame, from == client, opcode, fin, payload, len);

    sim_peer_send(from, frame, n);
    settle();
    return n;
}

/* Just this frame has come, byte for byte. */
static void
expect_passed(struct sim_peer *to, enum ws_opcode opcode, bool fin, const char *payload, size_t len)
{
    static char frame[1 << 16];
    size_t want = make_frame(frame, to == server, opcode, fin, payload, len), n;
    const char *got = sim_peer_peek(to, &n);

    cr_assert_eq(n, want, "%zu instead of %zu", n, want);
    cr_assert_eq(memcmp(got, frame, n), 0);
    sim_peer_discard(to);
}

/* Behind what passed, a frame of the gateway's own. */
static void
expect_own(struct sim_peer *to, enum ws_opcode opcode, unsigned code)
{
    static struct ws_parser parser;
    static char bytes[1 << 16];
    struct ws_event e;
    uint32_t used;
    size_t n = sim_peer_read(to, bytes, sizeof bytes);

    ws_parser_init(&parser, to == server, false, 0);
    cr_assert_eq(ws_parser_next(&parser, bytes, (uint32_t)n, &used, &e), PARSE_OK, "%zu bytes", n);
    cr_assert_eq(e.opcode, opcode);
    cr_assert_eq(e.code, code, "%u", e.code);
    cr_assert_eq(used, n);
}

static void
bye(struct sim_peer *peer)
{
    sim_peer_close(peer);
    settle();
}

Test(ws_relay, passes_frames_as_they_are_both_ways)
{
    world_open(1, ROUTE, NULL);
    open_socket("");
    send_frame(client, WS_TEXT, true, "hello", 5);
    expect_passed(server, WS_TEXT, true, "hello", 5);
    send_frame(server, WS_TEXT, false, "wor", 3);
    expect_passed(client, WS_TEXT, false, "wor", 3);
    send_frame(server, WS_PING, true, "p", 1);
    expect_passed(client, WS_PING, true, "p", 1);
    send_frame(server, WS_CONTINUATION, true, "ld", 2);
    expect_passed(client, WS_CONTINUATION, true, "ld", 2);
    cr_assert_eq(counter(STAT_ws_messages), 1, "the client's");
    send_frame(client, WS_CLOSE, true, "\x03\xe8", 2);
    expect_passed(server, WS_CLOSE, true, "\x03\xe8", 2);
    send_frame(server, WS_CLOSE, true, "\x03\xe8", 2);
    expect_passed(client, WS_CLOSE, true, "\x03\xe8", 2);
    bye(server);
    bye(client);
    cr_assert_eq(counter(STAT_tunnels_open), 0);
    world_close();
}

Test(ws_relay, passes_frames_in_any_pieces)
{
    static char frame[4000];
    char payload[3000];
    size_t n;

    memset(payload, 'x', sizeof payload);
    for (size_t step = 1; step < 1500; step = step * 3 + 1) {
        world_open(1, ROUTE, NULL);
        open_socket("");
        n = make_frame(frame, true, WS_BINARY, true, payload, sizeof payload);
        for (size_t at = 0; at < n; at += step) {
            sim_peer_send(client, frame + at, n - at < step ? n - at : step);
            settle();
        }
        expect_passed(server, WS_BINARY, true, payload, sizeof payload);
        bye(client);
        bye(server);
        world_close();
    }
}

Test(ws_relay, leaves_compression_to_the_peers)
{
    world_open(1, ROUTE, NULL);
    open_socket("Sec-WebSocket-Extensions: permessage-deflate\r\n");
    sim_peer_send(server, "\xc1\x03\xff\xfe\xfd", 5);
    settle();
    cr_assert_eq(sim_peer_received(client) > 5, true);
    cr_assert_not(sim_peer_ended(client));
    bye(client);
    bye(server);
    world_close();
}

Test(ws_relay, closes_with_the_right_code_what_breaks_the_rules)
{
    static const struct {
        const char *bytes;
        size_t len;
        bool of_client;
        unsigned to_client, to_server;
        enum close_reason reason;
    } rows[] = {
        {"\x81\x01x", 3, true, WS_CLOSE_PROTOCOL, WS_CLOSE_GOING_AWAY, CLOSE_WS_PROTOCOL},
        {"\xc1\x81\x01\x02\x03\x04x", 7, true, WS_CLOSE_PROTOCOL, WS_CLOSE_GOING_AWAY, CLOSE_WS_PROTOCOL},
        {"\x81\xfe\x20\x00", 4, true, WS_CLOSE_TOO_BIG, WS_CLOSE_GOING_AWAY, CLOSE_WS_TOO_BIG},
        {"\x81\x81\x01\x02\x03\x04x", 7, false, WS_CLOSE_BAD_GATEWAY, WS_CLOSE_PROTOCOL, CLOSE_BAD_REPLY},
        {"\x83\x00", 2, false, WS_CLOSE_BAD_GATEWAY, WS_CLOSE_PROTOCOL, CLOSE_BAD_REPLY}};

    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        bool needs_more = rows[i].to_client == WS_CLOSE_TOO_BIG;

        world_open(1, ROUTE, NULL);
        open_socket("");
        sim_peer_send(rows[i].of_client ? client : server, rows[i].bytes, rows[i].len);
        if (needs_more)
            sim_peer_send(client, "\x01\x02\x03\x04", 4);
        settle();
        expect_own(client, WS_CLOSE, rows[i].to_client);
        expect_own(server, WS_CLOSE, rows[i].to_server);
        cr_assert_eq(closed_by(rows[i].reason), 1, "%u", i);
        bye(client);
        bye(server);
        world_close();
    }
}

/* A frame of a sender's, whole. */
static size_t
put_frame(char *out, struct sim_peer *from, const char *text)
{
    return make_frame(out, from == client, WS_TEXT, true, text, strlen(text));
}

Test(ws_relay, passes_what_came_whole_before_what_breaks_the_rules)
{
    static const char *const bad[] = {"\x83\x80", "\x83\x00"};

    for (unsigned of_client = 0; of_client < 2; of_client++) {
        struct sim_peer *from, *to;
        char run[64];
        size_t n;

        world_open(1, ROUTE, NULL);
        open_socket("");
        from = of_client ? client : server;
        to = of_client ? server : client;
        n = put_frame(run, from, "one");
        n += put_frame(run + n, from, "two");
        memcpy(run + n, bad[!of_client], 2);
        sim_peer_send(from, run, n + 2);
        settle();
        cr_assert_eq(memcmp(sim_peer_peek(to, &(size_t){0}), run, n), 0);
        sim_peer_read(to, run, n);
        expect_own(to, WS_CLOSE, of_client ? WS_CLOSE_GOING_AWAY : WS_CLOSE_BAD_GATEWAY);
        expect_own(from, WS_CLOSE, WS_CLOSE_PROTOCOL);
        cr_assert_eq(traffic(TRSTAT_transport_messages_received, of_client ? LINK_CLIENT : LINK_UPSTREAM,
                             TRANSPORT_WS),
                     2);
        bye(client);
        bye(server);
        world_close();
    }
}

Test(ws_relay, passes_no_frame_that_breaks_the_rules_in_its_second_receive)
{
    world_open(1, ROUTE, NULL);
    open_socket("");
    sim_peer_send(server, "\x81\x03one\x89", 6); /* and a ping's first byte, */
    settle();
    sim_peer_send(server, "\x7e", 1); /* whose length no control frame may have */
    settle();
    cr_assert_eq(sim_peer_read(client, (char[16]){0}, 16), 6, "what had passed, and no frame within another");
    cr_assert(sim_peer_ended(client));
    expect_own(server, WS_CLOSE, WS_CLOSE_PROTOCOL);
    cr_assert_eq(closed_by(CLOSE_BAD_REPLY), 1);
    bye(client);
    bye(server);
    world_close();
}

Test(ws_relay, tells_each_side_when_the_other_has_gone)
{
    world_open(1, ROUTE, NULL);
    open_socket("");
    sim_peer_reset(server);
    settle();
    expect_own(client, WS_CLOSE, WS_CLOSE_BAD_GATEWAY);
    cr_assert_eq(closed_by(CLOSE_UPSTREAM_GONE), 1);
    bye(client);
    open_socket("");
    sim_peer_reset(client);
    settle();
    expect_own(server, WS_CLOSE, WS_CLOSE_GOING_AWAY);
    bye(server);
    open_socket("");
    bye(client);
    expect_own(server, WS_CLOSE, WS_CLOSE_GOING_AWAY);
    bye(server);
    world_close();
}

Test(ws_relay, breaks_off_where_it_cannot_say_why)
{
    world_open(1, ROUTE, NULL);
    open_socket("");
    sim_peer_send(server, "\x81\x10half of", 9);
    settle();
    sim_peer_discard(client);
    sim_peer_reset(server);
    settle();
    cr_assert_eq(sim_peer_read(client, (char[8]){0}, 8), 0);
    cr_assert(sim_peer_was_reset(client) || sim_peer_ended(client));
    bye(client);
    open_socket("");
    sim_peer_send(server, "\x81\x03one\x81\x10half of", 14);
    sim_peer_half_close(server);
    settle();
    cr_assert(has(client, "one"), "with the end in one turn");
    cr_assert(sim_peer_ended(client));
    bye(client);
    world_close();
}

Test(ws_relay, pings_both_sides_between_two_frames_and_gives_up_without_an_answer)
{
    world_open(1, ROUTE, NULL);
    open_socket("");
    advance(10100);
    expect_own(client, WS_PING, 0);
    expect_own(server, WS_PING, 0);
    send_frame(client, WS_PONG, true, "", 0);
    expect_passed(server, WS_PONG, true, "", 0);
    advance(10100);
    expect_own(client, WS_CLOSE, WS_CLOSE_BAD_GATEWAY);
    cr_assert_eq(closed_by(CLOSE_WS_SILENT), 1);
    bye(client);
    bye(server);
    world_close();
}

Test(ws_relay, ends_in_order_when_a_drain_is_over)
{
    world_open(1, ROUTE, NULL);
    open_socket("");
    worker_drain(world.worker, 1000);
    advance(500);
    send_frame(client, WS_TEXT, true, "still", 5);
    expect_passed(server, WS_TEXT, true, "still", 5);
    advance(600);
    expect_own(client, WS_CLOSE, WS_CLOSE_RESTART);
    expect_own(server, WS_CLOSE, WS_CLOSE_GOING_AWAY);
    bye(client);
    bye(server);
    world_close();
}

Test(ws_relay, wants_an_upgrade_where_the_url_is_a_websockets)
{
    world_open(1, ROUTE, NULL);
    client = client_new();
    get(client, "/ws/chat", "");
    cr_assert_eq(reply_of(client)->status, 426);
    cr_assert_null(server_next());
    world_close();
}

Test(ws_relay, bears_a_reader_that_is_slower_than_its_pings)
{
    static char big[30000], in[4096];

    world_open(1, ROUTE, NULL);
    open_socket("");
    sim_peer_set_window(client, 4000);
    for (unsigned i = 0; i < 4; i++)
        send_frame(server, WS_BINARY, true, big, sizeof big);
    for (unsigned s = 0; s < 60; s++) {
        sim_peer_read(client, in, 1000);
        advance(1000);
        send_frame(server, WS_PONG, true, "", 0);
    }
    cr_assert_eq(closed_by(CLOSE_WS_SILENT), 0);
    bye(client);
    bye(server);
    world_close();
}

Test(ws_relay, leaves_the_bits_of_an_extension_to_it)
{
    world_open(1, ROUTE, NULL);
    open_socket("Sec-WebSocket-Extensions: x-my-own\r\n");
    sim_peer_send(server, "\xa1\x01x", 3);
    settle();
    cr_assert(has(client, "\xa1\x01x"));
    cr_assert_eq(closed_by(CLOSE_BAD_REPLY), 0);
    bye(client);
    bye(server);
    world_close();
}

Test(ws_relay, closes_when_it_has_lasted_as_long_as_it_may)
{
    world_open(1, ROUTE, "--stream-total", "8s", NULL);
    open_socket("");
    advance(8100);
    expect_own(client, WS_CLOSE, WS_CLOSE_GOING_AWAY);
    expect_own(server, WS_CLOSE, WS_CLOSE_GOING_AWAY);
    cr_assert_eq(closed_by(CLOSE_TOTAL_TIMEOUT), 1);
    bye(client);
    bye(server);
    world_close();
}

Test(ws_relay, ends_the_connections_when_both_sides_have_closed_and_neither_does)
{
    world_open(1, ROUTE, NULL);
    open_socket("");
    send_frame(client, WS_CLOSE, true, "\x03\xe8", 2);
    send_frame(server, WS_CLOSE, true, "\x03\xe8", 2);
    advance(2100);
    cr_assert(sim_peer_ended(client));
    cr_assert(sim_peer_ended(server));
    cr_assert_eq(closed_by(CLOSE_DONE), 1);
    bye(client);
    bye(server);
    world_close();
}

Test(ws_relay, wants_a_101_to_be_one_of_websocket)
{
    world_open(1, ROUTE, NULL);
    client = client_new();
    say(client, "GET /ws/chat HTTP/1.1\r\nHost: x\r\n" UPGRADE "\r\n");
    server = server_next();
    request_of(server);
    say(server, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n");
    cr_assert_eq(reply_of(client)->status, 502);
    world_close();
}

/* --- whatever the kernel does --- */

enum { STREAM_MAX = 1 << 20 };

/* One direction: what was to be sent, and how far that has come. */
struct way {
    struct sim_peer *from, *to;
    bool masked;
    char bytes[STREAM_MAX];
    size_t made, sent, seen;
};

static struct way ways[2];

static void
make_more(struct way *way)
{
    static char payload[9000];
    size_t len = (size_t)rand() % (rand() % 8 ? 200 : 4000);

    if (way->made + sizeof payload > sizeof way->bytes)
        return;
    for (size_t i = 0; i < len; i++)
        payload[i] = (char)rand();
    way->made += make_frame(way->bytes + way->made, way->masked, rand() % 9 ? WS_BINARY : WS_PING, true,
                            payload, rand() % 9 ? len % 126 : 0);
    if (rand() % 4 == 0)
        way->made += make_frame(way->bytes + way->made, way->masked, WS_TEXT, true, payload, len);
}

static void
send_some(struct way *way)
{
    size_t n = way->made - way->sent, most = rand() % 3 ? 1 + (size_t)rand() % 50 : (size_t)rand() % 5000;

    way->sent += sim_peer_send(way->from, way->bytes + way->sent, n < most ? n : most);
}

static void
read_some(struct way *way)
{
    static char got[STREAM_MAX];
    size_t n = sim_peer_read(way->to, got, sizeof got);

    cr_assert_leq(way->seen + n, way->sent);
    cr_assert_eq(memcmp(got, way->bytes + way->seen, n), 0, "behind %zu bytes", way->seen);
    way->seen += n;
}

Test(ws_relay, passes_every_byte_both_ways_whatever_the_kernel_does, .timeout = 120)
{
    for (uint64_t seed = 1; seed <= 30; seed++) {
        srand((unsigned)seed);
        world_open(seed, "--route", "/ws=ws://10.0.0.2:80/ws", "--ws-ping", "0", "--send-timeout", "1h",
                   NULL);
        open_socket("");
        sim_faults_random(world.sim);
        for (unsigned i = 0; i < 2; i++) {
            ways[i].from = i ? server : client;
            ways[i].to = i ? client : server;
            ways[i].masked = !i;
            ways[i].made = ways[i].sent = ways[i].seen = 0;
        }
        for (unsigned step = 0; step < 300; step++) {
            struct way *way = &ways[rand() % 2];

            make_more(way);
            send_some(way);
            if (rand() % 10 == 0)
                sim_peer_set_window(way->to, (size_t)rand() % 3000);
            if (rand() % 5 == 0)
                read_some(way);
            advance((unsigned)rand() % 5);
        }
        for (unsigned i = 0; i < 2; i++)
            sim_peer_set_window(ways[i].to, 1 << 22);
        for (unsigned turn = 0; turn < 2000 && (ways[0].seen < ways[0].made || ways[1].seen < ways[1].made);
             turn++) {
            for (unsigned i = 0; i < 2; i++) {
                send_some(&ways[i]);
                read_some(&ways[i]);
            }
            advance(30);
        }
        cr_assert_gt(ways[0].made, 10000);
        cr_assert_eq(ways[0].seen, ways[0].made, "seed %llu", (unsigned long long)seed);
        cr_assert_eq(ways[1].seen, ways[1].made, "seed %llu", (unsigned long long)seed);
        bye(client);
        bye(server);
        world_close();
    }
}

Test(ws_relay, of_a_busy_worker_rests_at_the_upstream)
{
    world_open(1, ROUTE, "--batch-window", "5ms", NULL);
    open_socket("");
    world.worker->load.at_ns = ring_now(world.worker->ring);
    batch_set_load(&world.worker->net, 100);
    for (unsigned i = 0; i < 2; i++) {
        advance(1);
        send_frame(server, WS_TEXT, true, "at once", 7);
        expect_passed(client, WS_TEXT, true, "at once", 7);
    }
    send_frame(server, WS_TEXT, true, "later", 5);
    send_frame(client, WS_TEXT, true, "at once", 7);
    expect_passed(server, WS_TEXT, true, "at once", 7);
    cr_assert_not(has(client, "later"));
    advance(5);
    expect_passed(client, WS_TEXT, true, "later", 5);
    world_close();
}
