/* SPDX-License-Identifier: Apache-2.0 */
/* What is counted by side, transport and upstream, and the rhythm of streams; on a whole worker in the
 * simulator, whose clock stands still within a turn. */
#include "gate_world.h"
#include "proto/ws.h"

#define UPSTREAM "--upstream", "up=http://10.0.0.2:80/mcp"
#define ROUTE    "--route", "/ws=ws://10.0.0.2:80/ws"
#define UPGRADE                                                                                              \
    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"                             \
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define SWITCHED                                                                                             \
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"                      \
    "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"

enum { MS = 1000000 };

static struct sim_peer *client, *server;

static uint64_t
received(enum link_side side, enum transport t)
{
    return traffic(TRSTAT_transport_messages_received, side, t);
}

static uint64_t
sent(enum link_side side, enum transport t)
{
    return traffic(TRSTAT_transport_messages_sent, side, t);
}

static const struct segment_histogram *
times(enum trhist id, enum link_side side, enum transport t)
{
    return &world.stats->transport_hists[id][side][t];
}

static const struct segment_histogram *
jitter(enum transport t)
{
    return times(TRHIST_transport_jitter, LINK_CLIENT, t);
}

/* A client whose POST has reached the upstream. */
static void
call(void)
{
    client = client_new();
    post(client, "", CALL(1));
    server = server_next();
    request_of(server);
}

/* One that the upstream answers with a stream. */
static void
open_stream(void)
{
    call();
    answer_stream(server, "");
}

Test(traffic, of_requests_and_their_replies_is_http)
{
    world_open(1, UPSTREAM, NULL);
    call();
    advance(50);
    answer(server, "", RESULT(1));
    cr_assert_eq(reply_of(client)->status, 200);
    get(client, "/nothing", "");
    cr_assert_eq(reply_of(client)->status, 404);
    cr_assert_eq(received(LINK_CLIENT, TRANSPORT_HTTP), 2);
    cr_assert_eq(sent(LINK_CLIENT, TRANSPORT_HTTP), 2);
    cr_assert_eq(sent(LINK_UPSTREAM, TRANSPORT_HTTP), 1);
    cr_assert_eq(received(LINK_UPSTREAM, TRANSPORT_HTTP), 1);
    cr_assert_eq(traffic(TRSTAT_transport_errors, LINK_CLIENT, TRANSPORT_HTTP), 1, "the 404");
    cr_assert_eq(traffic(TRSTAT_transport_errors, LINK_UPSTREAM, TRANSPORT_HTTP), 0);
    cr_assert_eq(times(TRHIST_transport_first_byte, LINK_CLIENT, TRANSPORT_HTTP)->count, 2);
    cr_assert_eq(times(TRHIST_transport_first_byte, LINK_UPSTREAM, TRANSPORT_HTTP)->count, 1);
    cr_assert_geq(times(TRHIST_transport_first_byte, LINK_UPSTREAM, TRANSPORT_HTTP)->max, 50 * MS);
    for (unsigned t = TRANSPORT_SSE; t < TRANSPORTS; t++)
        cr_assert(!sent(LINK_CLIENT, (enum transport)t) && !received(LINK_UPSTREAM, (enum transport)t));
    world_close();
}

Test(traffic, of_both_sides_is_counted_in_bytes_that_add_up_to_the_workers)
{
    uint64_t in = 0, out = 0;

    world_open(1, UPSTREAM, NULL);
    open_stream();
    say_chunk(server, "data: 1\n\n");
    settle();
    cr_assert_gt(traffic(TRSTAT_transport_sent, LINK_CLIENT, TRANSPORT_SSE), 9);
    cr_assert_gt(traffic(TRSTAT_transport_received, LINK_UPSTREAM, TRANSPORT_SSE), 9);
    cr_assert_gt(traffic(TRSTAT_transport_received, LINK_CLIENT, TRANSPORT_HTTP), 0, "the request");
    for (unsigned t = 0; t < TRANSPORTS; t++) {
        in += traffic(TRSTAT_transport_received, LINK_CLIENT, (enum transport)t);
        out += traffic(TRSTAT_transport_sent, LINK_CLIENT, (enum transport)t);
    }
    cr_assert_eq(in, counter(STAT_client_received));
    cr_assert_eq(out, counter(STAT_client_sent));
    world_close();
}

Test(traffic, what_waited_for_others_was_in_the_gateway_meanwhile)
{
    struct net_stats *n;

    world_open(1, UPSTREAM, NULL);
    n = &world.worker->net.stats;
    n->late[n->late_count++] = (struct net_late){5 * MS, 2, LINK_CLIENT, TRANSPORT_WS};
    call();
    cr_assert_eq(times(TRHIST_transport_in_gateway, LINK_CLIENT, TRANSPORT_WS)->sum, 2 * 5 * MS);
    cr_assert_eq(n->late_count, 0, "counted once");
    world_close();
}

Test(traffic, of_a_connection_is_http_again_with_the_next_request)
{
    uint64_t bytes;

    world_open(1, UPSTREAM, NULL);
    open_stream();
    say_chunk(server, "data: 1\n\n");
    say(server, "0\r\n\r\n");
    reply_of(client);
    bytes = traffic(TRSTAT_transport_sent, LINK_CLIENT, TRANSPORT_SSE);
    post(client, "", CALL(2));
    request_of(server);
    answer(server, "", RESULT(2));
    reply_of(client);
    cr_assert_eq(traffic(TRSTAT_transport_sent, LINK_CLIENT, TRANSPORT_SSE), bytes);
    cr_assert_eq(sent(LINK_CLIENT, TRANSPORT_HTTP), 1, "the stream was none of its replies");
    cr_assert_eq(times(TRHIST_transport_first_byte, LINK_CLIENT, TRANSPORT_SSE)->count, 1);
    world_close();
}

Test(traffic, of_a_spliced_stream_is_its_events)
{
    world_open(1, UPSTREAM, NULL);
    open_stream();
    say_chunk(server, "data: 1\n\n: comment\n\ndata: 2\n\nda");
    say_chunk(server, "ta: 3\n\n");
    cr_assert_eq(received(LINK_UPSTREAM, TRANSPORT_SSE), 3);
    cr_assert_eq(sent(LINK_CLIENT, TRANSPORT_SSE), 3);
    cr_assert_eq(up_counter(UPSTAT_up_events), 3);
    cr_assert_eq(up_counter(UPSTAT_up_received), 3 * 9 + 11, "while the stream goes on");
    sim_peer_reset(server);
    settle();
    cr_assert_eq(traffic(TRSTAT_transport_errors, LINK_CLIENT, TRANSPORT_SSE), 1);
    cr_assert_eq(traffic(TRSTAT_transport_errors, LINK_UPSTREAM, TRANSPORT_SSE), 1);
    world_close();
}

/* A short frame without a mask, of the server's. */
static void
server_says(const char *payload)
{
    uint8_t head[WS_HEAD_MAX];
    uint32_t n = ws_write_head(head, WS_TEXT, true, false, strlen(payload), NULL);

    say(server, "%.*s%s", (int)n, (const char *)head, payload);
}

Test(traffic, of_a_websocket_route_is_its_messages_each_way)
{
    world_open(1, ROUTE, NULL);
    client = client_new();
    say(client, "GET /ws/chat HTTP/1.1\r\nHost: x\r\n" UPGRADE "\r\n");
    server = server_next();
    request_of(server);
    say(server, SWITCHED);
    sim_peer_discard(client);
    say(client, "\x81\x81\x01\x01\x01\x01%c", 'a' ^ 1);
    for (unsigned i = 0; i < 3; i++) {
        advance(20);
        server_says("hello");
    }
    cr_assert_eq(received(LINK_CLIENT, TRANSPORT_WS), 1);
    cr_assert_eq(sent(LINK_UPSTREAM, TRANSPORT_WS), 1);
    cr_assert_eq(received(LINK_UPSTREAM, TRANSPORT_WS), 3);
    cr_assert_eq(sent(LINK_CLIENT, TRANSPORT_WS), 3);
    cr_assert_eq(jitter(TRANSPORT_WS)->count, 2);
    cr_assert_geq(traffic(TRSTAT_transport_sent, LINK_CLIENT, TRANSPORT_WS), 3 * 7, "frames");
    cr_assert_eq(traffic(TRSTAT_transport_received, LINK_CLIENT, TRANSPORT_WS), 7);
    sim_peer_close(client);
    settle();
    world_close();
}

/* --- rhythm --- */

Test(pace, of_events_that_leave_as_they_come_has_no_jitter_whatever_their_gaps)
{
    world_open(1, UPSTREAM, NULL);
    open_stream();
    for (unsigned i = 0; i < 20; i++) {
        say_chunk(server, "data: x\n\n");
        advance(10 + 30 * (i % 3));
    }
    cr_assert_eq(jitter(TRANSPORT_SSE)->count, 19, "the first has none before it");
    cr_assert_eq(jitter(TRANSPORT_SSE)->max, 0);
    cr_assert_eq(world.stats->hists[HIST_event_jitter].count, 19);
    cr_assert_eq(world.stats->rows[0].hists[UPHIST_up_jitter].count, 19);
    world_close();
}

Test(pace, of_events_of_one_turn_is_that_of_events_that_leave_together)
{
    world_open(1, UPSTREAM, NULL);
    open_stream();
    say_chunk(server, "data: 1\n\ndata: 2\n\ndata: 3\n\n");
    cr_assert_eq(jitter(TRANSPORT_SSE)->count, 2);
    cr_assert_eq(jitter(TRANSPORT_SSE)->max, 0);
    world_close();
}

/* Events every 100 ms, the client's window full for a second: the one that was taken in part waits for all
 * of it. Its source is not read meanwhile, so those behind it come late and leave as they come. */
Test(pace, of_events_that_wait_for_a_slow_reader_is_what_the_wait_did_to_their_gaps)
{
    world_open(1, UPSTREAM, "--send-timeout", "1h", NULL);
    open_stream();
    settle();
    say_chunk(server, "data: 1\n\n");
    sim_peer_set_window(client, sim_peer_received(client) + 4);
    advance(100);
    say_chunk(server, "data: 2\n\n"); /* is taken in part */
    cr_assert_eq(jitter(TRANSPORT_SSE)->max, 0);
    cr_assert_gt(traffic(TRSTAT_transport_queued, LINK_CLIENT, TRANSPORT_SSE), 0);
    cr_assert_eq(traffic(TRSTAT_transport_queued, LINK_CLIENT, TRANSPORT_SSE), counter(STAT_queued_bytes));
    for (unsigned i = 0; i < 10; i++) {
        advance(100);
        say_chunk(server, "data: x\n\n");
    }
    sim_peer_set_window(client, 1 << 20);
    settle();
    advance(100);
    cr_assert_eq(traffic(TRSTAT_transport_queued, LINK_CLIENT, TRANSPORT_SSE), 0);
    cr_assert_geq(jitter(TRANSPORT_SSE)->max, 1000 * MS, "%llu",
                  (unsigned long long)jitter(TRANSPORT_SSE)->max);
    cr_assert_leq(jitter(TRANSPORT_SSE)->max, 1100 * MS);
    world_close();
}

Test(pace, leaves_no_trace_of_streams_that_end)
{
    world_open(1, UPSTREAM, NULL);
    open_stream();
    say(server, "9\r\ndata: 1\n\n\r\n0\r\n\r\n"); /* ends in the turn of its event */
    reply_of(client);
    settle();
    cr_assert_eq(world.worker->paced_count, 0);
    post(client, "", CALL(2));
    request_of(server);
    answer_stream(server, "");
    say_chunk(server, "data: 1\n\n");
    say_chunk(server, "data: 2\n\n");
    sim_peer_reset(client);
    settle();
    cr_assert_eq(world.worker->paced_count, 0);
    world_close();
}
