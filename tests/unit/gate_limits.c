/* SPDX-License-Identifier: Apache-2.0 */
/* Limits of time, number and memory, and the drain. */
#include "gate_world.h"

#include <stdlib.h>

#define UPSTREAM "--upstream", "up=http://10.0.0.2:80/mcp"

static struct sim_peer *client, *server;

static void
call(void)
{
    struct sim_peer *fresh;

    client = client_new();
    post(client, "", CALL(1));
    fresh = server_next();
    if (fresh) /* else it came on the connection that is there */
        server = fresh;
    request_of(server);
}

static void
assert_refused(struct sim_peer *peer, int status)
{
    cr_assert_eq(reply_of(peer)->status, status);
    cr_assert(sim_peer_ended(peer), "and the connection is closed");
}

/* --- the client's times --- */

Test(limits, times_out_a_head_that_does_not_get_whole)
{
    world_open(1, UPSTREAM, "--head-timeout", "10s", "--client-idle", "75s", NULL);
    client = client_new();
    advance(60000);
    say(client, "POST /mcp HTTP/1.1\r\n");
    advance(5000);
    say(client, "Host: g\r\n");
    advance(4900);
    cr_assert_eq(sim_peer_received(client), 0);
    advance(200);
    assert_refused(client, 408);
    cr_assert_eq(closed_by(CLOSE_HEAD_TIMEOUT), 1);
    world_close();
}

Test(limits, times_out_the_head_of_a_second_request)
{
    world_open(1, UPSTREAM, "--head-timeout", "1s", NULL);
    call();
    answer(server, "", "ok");
    reply_of(client);
    say(client, "POST /m");
    advance(1100);
    assert_refused(client, 408);
    world_close();
}

Test(limits, times_out_a_head_whose_beginning_was_pipelined)
{
    world_open(1, UPSTREAM, "--head-timeout", "1s", NULL);
    client = client_new();
    say(client, "GET /mcp HTTP/1.1\r\nHost: g\r\n\r\nGET /mc");
    server = server_next();
    request_of(server);
    advance(3000);
    answer(server, "", "ok");
    cr_assert_eq(reply_of(client)->status, 200);
    advance(1100);
    assert_refused(client, 408);
    world_close();
}

Test(limits, times_out_a_body_that_stands_still)
{
    world_open(1, UPSTREAM, "--body-timeout", "3s", NULL);
    client = client_new();
    say(client, "POST /mcp HTTP/1.1\r\nHost: g\r\nContent-Length: 100\r\n\r\n1");
    server = server_next();
    for (unsigned i = 0; i < 5; i++) {
        advance(2500);
        say(client, "2");
    }
    cr_assert_eq(sim_peer_received(client), 0, "slow but alive");
    advance(3100);
    assert_refused(client, 408);
    cr_assert_eq(closed_by(CLOSE_BODY_TIMEOUT), 1);
    cr_assert(sim_peer_ended(server));
    world_close();
}

Test(limits, closes_an_idle_client)
{
    world_open(1, UPSTREAM, "--client-idle", "10s", NULL);
    call();
    advance(20000);
    answer(server, "", "ok");
    cr_assert_eq(reply_of(client)->status, 200, "a client that waits for its reply is not idle");
    advance(9900);
    cr_assert_not(sim_peer_ended(client));
    advance(200);
    cr_assert(sim_peer_eof(client));
    world_close();
}

Test(limits, closes_a_client_that_never_sends_the_rest_of_a_request_answered_early)
{
    world_open(1, UPSTREAM, "--client-idle", "10s", NULL);
    client = client_new();
    say(client, "POST /mcp HTTP/1.1\r\nHost: g\r\nContent-Length: 100\r\n\r\n1");
    server = server_next();
    advance(15000);
    answer(server, "", "early");
    cr_assert_eq(reply_of(client)->status, 200);
    advance(60000);
    cr_assert_eq(counter(STAT_connections_open), 0);
    world_close();
}

/* --- the upstream's times --- */

Test(limits, answers_504_when_no_reply_head_comes)
{
    struct message *m;

    world_open(1, UPSTREAM, "--first-byte-timeout", "2s", "--connect-timeout", "5s", NULL);
    call();
    advance(1900);
    cr_assert_eq(sim_peer_received(client), 0);
    advance(200);
    m = reply_of(client);
    cr_assert_eq(m->status, 504);
    cr_assert_not_null(strstr(m->body, "\"id\":1,\"error\""));
    cr_assert(sim_peer_ended(server));
    cr_assert_eq(closed_by(CLOSE_FIRST_BYTE_TIMEOUT), 1);
    world_close();
}

Test(limits, aborts_a_reply_that_stands_still)
{
    world_open(1, UPSTREAM, "--reply-idle", "3s", NULL);
    call();
    say(server, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n1");
    for (unsigned i = 0; i < 5; i++) {
        advance(2500);
        say(server, "2");
    }
    cr_assert_not(sim_peer_ended(client), "slow but alive");
    advance(3100);
    cr_assert(sim_peer_ended(client));
    cr_assert(sim_peer_ended(server));
    cr_assert_eq(closed_by(CLOSE_UPSTREAM_IDLE), 1);
    world_close();
}

Test(limits, ends_a_reply_that_takes_too_long_in_all)
{
    world_open(1, UPSTREAM, "--total-timeout", "4s", NULL);
    call();
    say(server, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n1");
    for (unsigned i = 0; i < 7; i++) {
        advance(500);
        say(server, "2");
    }
    cr_assert_not(sim_peer_ended(client));
    advance(600);
    cr_assert(sim_peer_ended(client));
    cr_assert_eq(closed_by(CLOSE_TOTAL_TIMEOUT), 1);
    world_close();
}

Test(limits, lets_a_stream_take_as_long_as_it_moves)
{
    world_open(1, UPSTREAM, "--total-timeout", "4s", "--reply-idle", "1s", "--stream-idle", "20s", NULL);
    call();
    answer_stream(server, "");
    for (unsigned i = 0; i < 20; i++) {
        advance(15000);
        say_chunk(server, "data: 1\n\n");
    }
    cr_assert_eq(counter(STAT_streams_open), 1);
    advance(20100);
    cr_assert_eq(counter(STAT_streams_open), 0);
    cr_assert_not_null(strstr(reply_of(client)->body, "\"id\":1,\"error\""));
    cr_assert_eq(closed_by(CLOSE_UPSTREAM_IDLE), 1);
    world_close();
}

Test(limits, ends_a_stream_after_its_total_time)
{
    world_open(1, UPSTREAM, "--stream-total", "30s", "--stream-idle", "0", NULL);
    call();
    answer_stream(server, "");
    advance(29000);
    cr_assert_eq(counter(STAT_streams_open), 1);
    advance(2000);
    cr_assert_eq(counter(STAT_streams_open), 0);
    cr_assert_eq(closed_by(CLOSE_TOTAL_TIMEOUT), 1);
    world_close();
}

Test(limits, does_not_blame_an_upstream_that_is_held_back_for_a_slow_client)
{
    static char text[900000];

    memset(text, 'x', sizeof text - 1);
    world_open(1, UPSTREAM, "--reply-idle", "2s", "--send-timeout", "1h", "--total-timeout", "1h", NULL);
    call();
    sim_peer_set_window(client, 100);
    say(server, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", sizeof text - 1);
    size_t sent = sim_peer_send(server, text, sizeof text - 1);
    advance(60000);
    cr_assert_eq(counter(STAT_exchanges_open), 1);
    sim_peer_set_window(client, 1 << 20);
    settle();
    while (sent < sizeof text - 1) {
        sent += sim_peer_send(server, text + sent, sizeof text - 1 - sent);
        settle();
    }
    cr_assert_eq(reply_of(client)->body_len, sizeof text - 1);
    world_close();
}

Test(limits, watches_an_upstream_again_that_was_held_back)
{
    static char text[900000];
    size_t sent;

    memset(text, 'x', sizeof text - 1);
    for (unsigned stream = 0; stream < 2; stream++) {
        world_open(1, UPSTREAM, "--reply-idle", "2s", "--stream-idle", "2s", "--send-timeout", "1h",
                   "--total-timeout", "1h", NULL);
        call();
        sim_peer_set_window(client, 100);
        say(server, "HTTP/1.1 200 OK\r\nContent-Type: %s\r\nTransfer-Encoding: chunked\r\n\r\n%zx\r\n",
            stream ? "text/event-stream" : "text/plain", sizeof text);
        sent = sim_peer_send(server, text, sizeof text - 1);
        advance(60000);
        sim_peer_set_window(client, 1 << 20);
        settle();
        sent += sim_peer_send(server, text + sent, sizeof text - 1 - sent);
        settle();
        cr_assert_eq(counter(STAT_exchanges_open), 1);
        advance(2100); /* and there it stands */
        cr_assert_eq(counter(STAT_exchanges_open), 0);
        cr_assert_eq(closed_by(CLOSE_UPSTREAM_IDLE), 1);
        world_close();
    }
}

Test(limits, watches_a_client_again_that_was_held_back)
{
    static char text[900000];
    size_t sent;

    memset(text, 'x', sizeof text - 1);
    world_open(1, UPSTREAM, "--body-timeout", "2s", "--send-timeout", "1h", "--total-timeout", "1h", NULL);
    client = client_new();
    say(client, "POST /mcp/up HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: "
                "900000\r\n\r\n{");
    server = server_next();
    sim_peer_set_window(server, 100);
    sent = sim_peer_send(client, text, sizeof text - 2);
    advance(60000);
    sim_peer_set_window(server, 1 << 20);
    settle();
    sent += sim_peer_send(client, text + sent, sizeof text - 2 - sent);
    settle();
    cr_assert_eq(counter(STAT_exchanges_open), 1);
    advance(2100);
    cr_assert_eq(closed_by(CLOSE_BODY_TIMEOUT), 1);
    world_close();
}

/* --- numbers --- */

Test(limits, refuses_clients_above_the_maximum)
{
    struct sim_peer *clients[3], *late;

    world_open(1, UPSTREAM, "--max-connections", "3", NULL);
    for (unsigned i = 0; i < 3; i++)
        clients[i] = client_new();
    late = client_new();
    cr_assert(sim_peer_was_reset(late) || sim_peer_ended(late));
    cr_assert_eq(counter(STAT_connections_refused), 1);
    sim_peer_reset(clients[0]);
    settle();
    late = client_new();
    post(late, "", CALL(1));
    request_of(server_next());
    world_close();
}

Test(limits, refuses_requests_above_the_maximum)
{
    struct sim_peer *first, *second;

    world_open(1, UPSTREAM, "--max-exchanges", "1", NULL);
    first = client_new();
    post(first, "", CALL(1));
    server = server_next();
    request_of(server);
    second = client_new();
    post(second, "", CALL(2));
    cr_assert(sim_peer_ended(second) || sim_peer_was_reset(second) || try_reply(second));
    cr_assert_null(server_next());
    answer(server, "", "ok");
    cr_assert_eq(reply_of(first)->status, 200);
    post(first, "", CALL(3));
    request_of(server);
    world_close();
}

Test(limits, refuses_heads_and_bodies_that_are_too_large)
{
    static char text[70000];

    memset(text, 'x', sizeof text - 1);
    world_open(1, UPSTREAM, "--max-body", "1000", "--max-line", "100", "--max-head", "2000", "--max-headers",
               "5", NULL);
    client = client_new();
    say(client, "GET /%.200s HTTP/1.1\r\nHost: g\r\n\r\n", text);
    assert_refused(client, 414);
    client = client_new();
    say(client, "GET / HTTP/1.1\r\nHost: g\r\nX: %.3000s\r\n\r\n", text);
    assert_refused(client, 431);
    client = client_new();
    say(client, "GET / HTTP/1.1\r\nHost: g\r\nA: 1\r\nB: 1\r\nC: 1\r\nD: 1\r\nE: 1\r\n\r\n");
    assert_refused(client, 431);
    client = client_new();
    post(client, "", text);
    assert_refused(client, 413);
    client = client_new();
    say(client, "POST /mcp HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: chunked\r\n\r\n7d0\r\n%.2000s\r\n",
        text);
    assert_refused(client, 413);
    world_close();
}

Test(limits, answers_503_when_the_buffer_memory_is_used_up)
{
    enum { CLIENTS = 40 };
    static char text[200000];
    struct sim_peer *clients[CLIENTS] = {0};
    unsigned refused = 0;

    memset(text, 'x', sizeof text - 1);
    world_open(1, UPSTREAM, "--max-memory", "1m", "--send-timeout", "1h", NULL);
    for (unsigned i = 0; i < CLIENTS; i++) {
        clients[i] = client_new();
        sim_peer_set_window(clients[i], 200);
        post(clients[i], MODERN, MODERN_CALL(1));
        server = server_next();
        if (!server || !try_request(server))
            break;
        say(server, "HTTP/1.1 200 OK\r\nContent-Length: 10000000\r\n\r\n%s", text);
    }
    refused = (unsigned)(closed_by(CLOSE_NO_MEMORY) + closed_by(CLOSE_CLIENT_GONE));
    cr_assert_gt(refused, 0, "someone was told so");
    cr_assert_leq(counter(STAT_slab_bytes), 1 << 20);
    cr_assert_leq(counter(STAT_buffers_taken) - counter(STAT_buffers_returned), RING_LARGE_COUNT);
    for (unsigned i = 0; i < CLIENTS; i++)
        if (clients[i])
            sim_peer_reset(clients[i]);
    settle();
    call();
    answer(server, "", "ok");
    cr_assert_eq(reply_of(client)->status, 200, "and then it goes on");
    world_close();
}

Test(limits, answers_503_when_request_bodies_use_up_the_memory)
{
    enum { CLIENTS = 40 };
    static char text[100000];
    struct sim_peer *clients[CLIENTS];

    memset(text, 'x', sizeof text - 1);
    world_open(1, UPSTREAM, "--max-memory", "1m", "--send-timeout", "10s", "--high-mark", "1m", "--low-mark",
               "1k", NULL);
    for (unsigned i = 0; i < CLIENTS; i++) {
        clients[i] = client_new();
        say(clients[i], "POST /mcp HTTP/1.1\r\nHost: g\r\nMCP-Protocol-Version: 2026-07-28\r\n"
                        "Transfer-Encoding: chunked\r\n\r\n");
        server = server_next();
        if (server)
            sim_peer_set_window(server, 10);
        say(clients[i], "%x\r\n%s\r\n", (unsigned)sizeof text - 1, text);
    }
    cr_assert_gt(closed_by(CLOSE_NO_MEMORY), 0);
    cr_assert_leq(counter(STAT_slab_bytes), 1 << 20);
    for (unsigned i = 0; i < CLIENTS; i++)
        sim_peer_reset(clients[i]);
    advance(11000); /* nobody reads from who is paused, so only the upstream that takes nothing ends some */
    cr_assert_eq(counter(STAT_exchanges_open), 0);
    call();
    answer(server, "", "ok");
    cr_assert_eq(reply_of(client)->status, 200, "and then it goes on");
    world_close();
}

/* --- the drain --- */

Test(limits, finishes_open_calls_and_streams_in_a_drain)
{
    struct sim_peer *idle;

    world_open(1, UPSTREAM, NULL);
    call();
    idle = client;
    answer(server, "", "ok");
    reply_of(idle);
    call();
    worker_drain(world.worker, 30000);
    advance(1100);
    cr_assert(sim_peer_ended(idle), "an idle client is closed soon");
    cr_assert_not(sim_peer_ended(client));
    advance(5000);
    answer(server, "", "ok");
    cr_assert_str_eq(field(reply_of(client), "Connection"), "close");
    cr_assert(sim_peer_ended(client));
    world_close_after(30000);
}

Test(limits, ends_streams_properly_when_the_drain_is_over)
{
    struct message *m;

    world_open(1, UPSTREAM, NULL);
    call();
    answer_stream(server, "");
    say_chunk(server, "data: 1\n\n");
    worker_drain(world.worker, 3000);
    advance(2900);
    cr_assert_eq(counter(STAT_streams_open), 1);
    advance(200);
    m = reply_of(client);
    cr_assert_not_null(strstr(m->body, "\"id\":1,\"error\""), "%s", m->body);
    cr_assert_eq(closed_by(CLOSE_DRAIN), 1);
    cr_assert(sim_peer_ended(server));
    world_close();
}

Test(limits, answers_what_a_client_sends_behind_a_stream_that_a_drain_ended)
{
    world_open(1, UPSTREAM, NULL);
    client = client_new();
    say(client, "GET /mcp HTTP/1.1\r\nHost: g\r\nAccept: text/event-stream\r\n\r\n");
    server = server_next();
    request_of(server);
    answer_stream(server, "");
    say_chunk(server, "data: 1\n\n");
    settle();
    worker_drain(world.worker, 3000);
    advance(10);
    cr_assert_eq(reply_of(client)->status, 200);
    cr_assert_not(sim_peer_ended(client));
    post(client, "", CALL(1));
    server = server_next();
    request_of(server);
    answer(server, "", "ok");
    cr_assert_str_eq(field(reply_of(client), "Connection"), "close");
    cr_assert(sim_peer_ended(client));
    world_close();
}

Test(limits, answers_503_to_calls_that_the_drain_cuts_off)
{
    world_open(1, UPSTREAM, NULL);
    call();
    worker_drain(world.worker, 3000);
    advance(3100);
    cr_assert_eq(reply_of(client)->status, 503);
    world_close();
}

Test(limits, answers_a_client_that_came_just_before_the_drain)
{
    world_open(1, UPSTREAM, "--head-timeout", "1s", NULL);
    struct sim_peer *silent = client_new();
    client = client_new();
    worker_drain(world.worker, 30000);
    advance(500);
    post(client, "", CALL(1));
    server = server_next();
    request_of(server);
    answer(server, "", "ok");
    cr_assert_str_eq(field(reply_of(client), "Connection"), "close");
    sim_peer_close(client);
    cr_assert_not(sim_peer_ended(silent));
    world_close();
    cr_assert(world.drained);
}

Test(limits, serves_who_waits_in_the_backlog_when_a_drain_begins)
{
    world_open(1, UPSTREAM, NULL);
    client = sim_connect_to(world.sim, world.listener, NULL);
    sim_peer_puts(client, "GET /mcp HTTP/1.1\r\nHost: g\r\n\r\n");
    worker_drain(world.worker, 3000);
    settle();
    server = server_next();
    request_of(server);
    answer(server, "", "ok");
    cr_assert_eq(reply_of(client)->status, 200);
    world_close();
}

/* A client that has more and more to ask, and reads, but never as much as it is told. */
Test(limits, what_a_client_that_pipelines_and_reads_slowly_is_told_is_bounded)
{
    static char requests[4096], sink[1 << 20];
    size_t n = 0;

    world_open(1, NULL);
    while (n + 64 < sizeof requests)
        n += (size_t)snprintf(requests + n, sizeof requests - n, "GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n");
    client = client_new();
    sim_peer_set_window(client, 4000);
    for (unsigned i = 0; i < 2000; i++) {
        sim_peer_send(client, requests, n);
        settle();
        sim_peer_read(client, sink, 1000);
    }
    cr_assert_leq(world.queued_max, 96 << 10, "%lu bytes", (unsigned long)world.queued_max);
    cr_assert_gt(counter(STAT_pauses), 0);
    sim_peer_set_window(client, 1 << 20);
    for (unsigned i = 0; i < 1000 && sim_peer_received(client); i++) {
        settle();
        if (!sim_peer_read(client, sink, sizeof sink))
            break;
    }
    sim_peer_close(client);
    settle();
    world_close();
}
