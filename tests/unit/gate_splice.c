/* SPDX-License-Identifier: Apache-2.0 */
/* What passes between a client and an upstream, on a whole worker in the simulator. */
#include "gate_world.h"

#include <stdio.h>
#include <stdlib.h>

#define UPSTREAM "--upstream", "up=http://10.0.0.2:80/mcp"

static struct sim_peer *client, *server;

/* A client whose POST has reached the upstream. */
static void
call(const char *fields, const char *body)
{
    client = client_new();
    post(client, fields, body);
    server = server_next();
    cr_assert_str_eq(request_of(server)->body, body);
}

Test(splice, passes_a_call_and_its_reply)
{
    struct message *m;

    world_open(1, UPSTREAM, NULL);
    client = client_new();
    post(client, "Mcp-Session-Id: s1\r\nConnection: x-own\r\nX-Own: 1\r\n", CALL(1));
    server = server_next();
    m = request_of(server);
    cr_assert_str_eq(m->body, CALL(1));
    cr_assert_eq(strncmp(m->head, "POST /mcp HTTP/1.1\r\n", 20), 0);
    cr_assert_str_eq(field(m, "Host"), "10.0.0.2");
    cr_assert_str_eq(field(m, "Mcp-Session-Id"), "s1");
    cr_assert_null(field(m, "X-Own"));
    cr_assert_null(field(m, "Connection"));

    answer(server, "Mcp-Session-Id: s1\r\nKeep-Alive: timeout=5\r\n", RESULT(1));
    m = reply_of(client);
    cr_assert_eq(m->status, 200);
    cr_assert_str_eq(m->body, RESULT(1));
    cr_assert_str_eq(field(m, "Mcp-Session-Id"), "s1");
    cr_assert_null(field(m, "Keep-Alive"));
    cr_assert_eq(counter(STAT_exchanges_finished), 1);
    cr_assert_eq(closed_by(CLOSE_DONE), 1);
    world_close();
}

Test(splice, uses_a_connection_again)
{
    world_open(1, UPSTREAM, NULL);
    call("", CALL(1));
    for (unsigned i = 0; i < 10; i++) {
        answer(server, "", RESULT(1));
        cr_assert_str_eq(reply_of(client)->body, RESULT(1));
        post(client, "", CALL(1));
        cr_assert_null(server_next());
        request_of(server);
    }
    answer(server, "", RESULT(1));
    cr_assert_eq(up_counter(UPSTAT_up_connects), 1);
    cr_assert_eq(up_counter(UPSTAT_up_reused), 10);
    cr_assert_eq(up_counter(UPSTAT_up_idle), 1);
    world_close();
}

Test(splice, answers_pipelined_calls_in_order_one_at_a_time)
{
    world_open(1, UPSTREAM, NULL);
    client = client_new();
    for (unsigned i = 0; i < 5; i++)
        sim_peer_puts(client, "POST /mcp/up HTTP/1.1\r\nHost: g\r\nContent-Length: 1\r\n\r\n"),
            say(client, "%u", i);
    server = server_next();
    for (unsigned i = 0; i < 5; i++) {
        struct message *m = request_of(server);
        char body[2] = {(char)('0' + i), 0};

        cr_assert_str_eq(m->body, body);
        cr_assert_null(try_request(server), "one at a time");
        answer(server, "", body);
        cr_assert_str_eq(reply_of(client)->body, body);
    }
    cr_assert_null(server_next());
    world_close();
}

Test(splice, passes_a_stream_event_by_event)
{
    struct message *m;

    world_open(1, UPSTREAM, NULL);
    call("", CALL(1));
    answer_stream(server, "Cache-Control: public\r\n");
    cr_assert(has(client, "HTTP/1.1 200 OK\r\n"));
    cr_assert(has(client, "Cache-Control: no-cache, no-transform\r\n"));
    cr_assert(has(client, "X-Accel-Buffering: no\r\n"));
    cr_assert_not(has(client, "public"));
    cr_assert_eq(counter(STAT_streams_open), 1);
    say_chunk(server, "data: 1\n\n");
    cr_assert(has(client, "data: 1\n\n"));
    say_chunk(server, "data: 2\n\ndata: 3\n\n");
    cr_assert(has(client, "data: 3\n\n"));
    say(server, "0\r\n\r\n");
    m = reply_of(client);
    cr_assert_str_eq(m->body, "data: 1\n\ndata: 2\n\ndata: 3\n\n");
    cr_assert_eq(counter(STAT_events), 3);
    cr_assert_eq(counter(STAT_streams_open), 0);
    cr_assert_eq(up_counter(UPSTAT_up_idle), 1);
    world_close();
}

Test(splice, passes_a_get_stream_until_its_client_leaves)
{
    world_open(1, UPSTREAM, NULL);
    client = client_new();
    get(client, "/mcp", "Accept: text/event-stream\r\nLast-Event-ID: 7\r\n");
    server = server_next();
    cr_assert_str_eq(field(request_of(server), "Last-Event-ID"), "7");
    answer_stream(server, "");
    say_chunk(server, "id: 8\ndata: x\n\n");
    sim_peer_discard(client);
    sim_peer_reset(client);
    settle();
    cr_assert_eq(counter(STAT_exchanges_open), 0);
    cr_assert_eq(closed_by(CLOSE_CLIENT_GONE), 1);
    cr_assert(sim_peer_ended(server));
    world_close();
}

Test(splice, frames_a_close_delimited_reply_anew)
{
    struct message *m;

    world_open(1, UPSTREAM, NULL);
    call("", CALL(1));
    say(server, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n");
    say(server, "data: 2\n\n");
    sim_peer_half_close(server);
    settle();
    m = reply_of(client);
    cr_assert(m->is_chunked);
    cr_assert_str_eq(m->body, "data: 1\n\ndata: 2\n\n");
    cr_assert_eq(up_counter(UPSTAT_up_idle), 0);
    post(client, "", CALL(2));
    cr_assert_not_null(request_of(server_next()), "the client's connection stands");
    world_close();
}

Test(splice, ends_the_connection_to_an_http_1_0_client_with_a_body_of_unknown_length)
{
    world_open(1, UPSTREAM, NULL);
    client = client_new();
    say(client, "GET /mcp HTTP/1.0\r\nHost: g\r\n\r\n");
    server = server_next();
    request_of(server);
    say(server, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n");
    say_chunk(server, "abc");
    say(server, "0\r\n\r\n");
    cr_assert_not(has(client, "chunked"));
    cr_assert_str_eq(reply_of(client)->body, "abc");
    world_close();
}

Test(splice, passes_bodies_in_chunks_both_ways_with_trailers)
{
    struct message *m;

    world_open(1, UPSTREAM, NULL);
    client = client_new();
    say(client, "POST /mcp HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: chunked\r\n\r\n");
    say_chunk(client, "{\"id\":");
    say(client, "1;ext=1\r\n1\r\n");
    say_chunk(client, "}");
    say(client, "0\r\nX-Sum: 5\r\n\r\n");
    server = server_next();
    cr_assert(has(server, "\r\nX-Sum: 5\r\n\r\n"));
    cr_assert_not(has(server, "ext=1"), "chunk extensions are not forwarded");
    m = request_of(server);
    cr_assert_str_eq(m->body, "{\"id\":1}");
    say(server, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n");
    say_chunk(server, "{}");
    say(server, "0\r\nX-Sum: 6\r\n\r\n");
    cr_assert(has(client, "\r\nX-Sum: 6\r\n\r\n"));
    cr_assert_str_eq(reply_of(client)->body, "{}");
    cr_assert_eq(up_counter(UPSTAT_up_idle), 1);
    world_close();
}

Test(splice, answers_head_without_a_body)
{
    world_open(1, "--route", "/files=http://10.0.0.2:80/", NULL);
    client = client_new();
    say(client, "HEAD /files/a HTTP/1.1\r\nHost: g\r\n\r\n");
    server = server_next();
    request_of(server);
    say(server, "HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n");
    cr_assert_str_eq(field(reply_to_head_of(client), "Content-Length"), "5000");
    say(client, "GET /files/a HTTP/1.1\r\nHost: g\r\n\r\n");
    request_of(server);
    answer(server, "", "x");
    cr_assert_str_eq(reply_of(client)->body, "x");
    world_close();
}

Test(splice, passes_interim_replies_but_100)
{
    world_open(1, UPSTREAM, NULL);
    call("", CALL(1));
    say(server, "HTTP/1.1 100 Continue\r\n\r\n");
    cr_assert_eq(sim_peer_received(client), 0);
    say(server, "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n");
    cr_assert(has(client, "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"));
    sim_peer_discard(client);
    answer(server, "", RESULT(1));
    cr_assert_str_eq(reply_of(client)->body, RESULT(1));
    world_close();
}

Test(splice, answers_expect_100_continue_itself)
{
    world_open(1, UPSTREAM, NULL);
    client = client_new();
    say(client, "POST /mcp HTTP/1.1\r\nHost: g\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
    cr_assert_str_eq(sim_peer_peek(client, NULL), "HTTP/1.1 100 Continue\r\n\r\n");
    sim_peer_discard(client);
    say(client, "{}");
    server = server_next();
    cr_assert_null(field(request_of(server), "Expect"));
    answer(server, "", "{}");
    cr_assert_str_eq(reply_of(client)->body, "{}");
    world_close();
}

Test(splice, passes_a_reply_that_comes_before_the_request_is_whole)
{
    world_open(1, UPSTREAM, NULL);
    client = client_new();
    say(client, "POST /mcp HTTP/1.1\r\nHost: g\r\nContent-Length: 10\r\n\r\n12345");
    server = server_next();
    cr_assert(has(server, "12345"));
    answer(server, "", "early");
    cr_assert_str_eq(reply_of(client)->body, "early");
    cr_assert_eq(up_counter(UPSTAT_up_idle), 0, "a connection with half a request on it is no use");
    say(client, "67890POST /mcp HTTP/1.1\r\nHost: g\r\nContent-Length: 1\r\n\r\n1");
    server = server_next();
    cr_assert_str_eq(request_of(server)->body, "1", "the short rest was read and discarded");
    answer(server, "", "next");
    cr_assert_str_eq(reply_of(client)->body, "next");
    world_close();
}

Test(splice, closes_after_an_early_reply_to_a_request_with_much_left)
{
    world_open(1, UPSTREAM, NULL);
    client = client_new();
    say(client, "POST /mcp HTTP/1.1\r\nHost: g\r\nContent-Length: 10000000\r\n\r\n12345");
    server = server_next();
    answer(server, "", "early");
    cr_assert_str_eq(reply_of(client)->body, "early");
    cr_assert(sim_peer_eof(client));
    cr_assert_eq(counter(STAT_connections_open), 1, "it lingers, so that the reply is not lost");
    say(client, "more of it");
    sim_peer_half_close(client);
    settle();
    cr_assert_eq(counter(STAT_connections_open), 0);
    world_close();
}

/* --- large bodies and slow readers --- */

static char *
pattern(size_t count)
{
    char *text = malloc(count + 1);

    for (size_t i = 0; i < count; i++)
        text[i] = (char)('a' + (i * 7 + i / 1001) % 26);
    text[count] = '\0';
    return text;
}

Test(splice, streams_large_bodies_both_ways_in_bounded_memory)
{
    enum { SIZE = 1000000 };
    char *text = pattern(SIZE);
    static char got[SIZE + 1000];
    size_t sent = 0, n = 0;

    world_open(1, "--route", "/=http://10.0.0.2:80/", NULL);
    client = client_new();
    say(client, "PUT /big HTTP/1.1\r\nHost: g\r\nContent-Length: %d\r\n\r\n", SIZE);
    server = server_next();
    sim_peer_set_window(server, 10000);
    n = strlen(sim_peer_peek(server, NULL));
    sim_peer_discard(server);
    for (n = 0; n < SIZE;) {
        sent += sim_peer_send(client, text + sent, SIZE - sent);
        settle();
        n += sim_peer_read(server, got + n, sizeof got - n);
    }
    cr_assert_arr_eq(got, text, SIZE);
    say(server, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", SIZE);
    sim_peer_discard(client);
    sim_peer_set_window(client, 10000);
    for (n = sent = 0; n < SIZE;) {
        sent += sim_peer_send(server, text + sent, SIZE - sent);
        settle();
        n += sim_peer_read(client, got + n, sizeof got - n);
    }
    cr_assert_arr_eq(got, text, SIZE);
    cr_assert_gt(counter(STAT_pauses), 0);
    cr_assert_leq(world.queued_max, 4 * (64 << 10) + 64 * 16384, "high mark and one turn's receive buffers");
    free(text);
    world_close();
}

Test(splice, leaves_the_request_behind_a_large_body_alone)
{
    enum { SIZE = 1000000 };
    static const char next[] = "GET /next HTTP/1.1\r\nHost: g\r\n\r\n";
    char *text = pattern(SIZE);
    static char got[SIZE + 1000];
    size_t sent = 0, n = 0;

    world_open(1, "--route", "/=http://10.0.0.2:80/", NULL);
    client = client_new();
    say(client, "PUT /big HTTP/1.1\r\nHost: g\r\nContent-Length: %d\r\n\r\n", SIZE);
    server = server_next();
    sim_peer_discard(server);
    for (n = 0; n < SIZE;) {
        size_t more = sim_peer_send(client, text + sent, SIZE - sent);

        sent += more;
        if (more && sent == SIZE)
            say(client, "%s", next);
        settle();
        n += sim_peer_read(server, got + n, sizeof got - n);
    }
    cr_assert_eq(n, SIZE);
    cr_assert_arr_eq(got, text, SIZE);
    answer(server, "", "one");
    cr_assert_str_eq(reply_of(client)->body, "one");
    cr_assert(has(server, "GET /next "));
    answer(server, "", "two");
    cr_assert_str_eq(reply_of(client)->body, "two");
    free(text);
    world_close();
}

Test(splice, readers_that_stop_in_large_bodies_hold_the_high_mark_or_one_of_the_large_buffers)
{
    enum { CLIENTS = 3 * RING_LARGE_COUNT, SIZE = 1000000, HIGH_MARK = 64 << 10 };
    struct sim_peer *clients[CLIENTS];
    char *text = pattern(SIZE);
    uint64_t out;

    world_open(1, "--route", "/=http://10.0.0.2:80/", "--send-timeout", "1h", "--upstream-max", "100", NULL);
    for (unsigned i = 0; i < CLIENTS; i++) {
        clients[i] = client_new();
        say(clients[i], "GET / HTTP/1.1\r\nHost: g\r\n\r\n");
        server = server_next();
        sim_peer_set_window(clients[i], 100000 + 4000 * i);
        say(server, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", SIZE);
        for (size_t sent = 0, n = 1; n; sent += n, settle())
            n = sim_peer_send(server, text + sent, SIZE - sent);
    }
    out = counter(STAT_buffers_taken) - counter(STAT_buffers_returned);
    cr_assert_gt(out, 0);
    cr_assert_leq(out, RING_LARGE_COUNT);
    cr_assert_leq(counter(STAT_slab_bytes), CLIENTS * HIGH_MARK);
    for (unsigned i = 0; i < CLIENTS; i++) {
        sim_peer_set_window(clients[i], SIZE);
        settle();
        cr_assert_gt(sim_peer_received(clients[i]), 100000 + 4000 * i, "it goes on");
        sim_peer_reset(clients[i]);
    }
    settle();
    cr_assert_eq(counter(STAT_buffers_taken), counter(STAT_buffers_returned));
    free(text);
    world_close();
}

Test(splice, pauses_the_upstream_of_a_client_that_stops_reading)
{
    char *text = pattern(8000);
    size_t sent = 0, before;

    world_open(1, UPSTREAM, "--high-mark", "64k", "--low-mark", "16k", "--send-timeout", "1h", NULL);
    call("", CALL(1));
    sim_peer_set_window(client, 1000);
    answer_stream(server, "");
    do {
        char event[9000];
        size_t len = (size_t)snprintf(event, sizeof event, "%x\r\ndata: %s\n\n\r\n", 8008, text);

        before = sent;
        sent += sim_peer_send(server, event, len);
        settle();
        if (sent - before < len)
            break; /* the window is full: TCP pushes back */
    } while (sent < 10000000);
    cr_assert_lt(sent, 1000000);
    cr_assert_geq(counter(STAT_pauses), 1);
    cr_assert_gt(counter(STAT_queued_bytes), 0);
    cr_assert_leq(world.queued_max, 64 << 10, "the high mark");
    cr_assert_eq(counter(STAT_buffers_taken), counter(STAT_buffers_returned),
                 "a slow reader pins no receive buffer");
    sim_peer_set_window(client, 1 << 22);
    settle();
    cr_assert_eq(sim_peer_received(client) > sent, true);
    cr_assert_eq(counter(STAT_queued_bytes), 0);
    cr_assert_eq(counter(STAT_resumes), counter(STAT_pauses));
    free(text);
    world_close();
}

Test(splice, drops_a_client_that_takes_nothing_and_its_upstream_with_it)
{
    char *text = pattern(100000);

    world_open(1, UPSTREAM, "--send-timeout", "2s", NULL);
    call(MODERN, MODERN_CALL(1));
    sim_peer_set_window(client, 100);
    say(server, "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n%s", text);
    advance(2100);
    cr_assert_eq(counter(STAT_connections_open), 0);
    cr_assert_eq(counter(STAT_exchanges_open), 0);
    cr_assert_eq(closed_by(CLOSE_SEND_STALLED), 1);
    free(text);
    world_close();
}

/* --- a client that leaves --- */

Test(splice, closes_the_upstream_when_a_client_of_2026_07_28_leaves)
{
    world_open(1, UPSTREAM, NULL);
    call(MODERN, MODERN_CALL(1));
    sim_peer_reset(client);
    settle();
    cr_assert(sim_peer_ended(server));
    cr_assert_eq(counter(STAT_exchanges_open), 0);
    cr_assert_eq(closed_by(CLOSE_CLIENT_GONE), 1);
    world_close();
}

Test(splice, keeps_the_call_of_an_older_client_to_its_end)
{
    world_open(1, UPSTREAM, NULL);
    call("MCP-Protocol-Version: 2025-06-18\r\n", CALL(1));
    sim_peer_reset(client);
    settle();
    cr_assert_not(sim_peer_ended(server));
    cr_assert_eq(counter(STAT_exchanges_open), 1);
    answer(server, "", RESULT(1));
    cr_assert_eq(counter(STAT_exchanges_open), 0);
    cr_assert_eq(up_counter(UPSTAT_up_idle), 1, "and its connection is of use again");
    world_close();
}

Test(splice, gives_up_an_orphan_after_the_orphan_timeout)
{
    world_open(1, UPSTREAM, "--orphan-timeout", "3s", NULL);
    call("", CALL(1));
    answer_stream(server, "");
    say_chunk(server, "data: 1\n\n");
    sim_peer_reset(client);
    settle();
    cr_assert_eq(counter(STAT_exchanges_open), 1);
    advance(1500);
    say_chunk(server, "data: 2\n\n");
    advance(1400);
    cr_assert_eq(counter(STAT_exchanges_open), 1);
    advance(200);
    cr_assert_eq(counter(STAT_exchanges_open), 0);
    cr_assert_eq(counter(STAT_streams_open), 0);
    cr_assert(sim_peer_ended(server));
    world_close();
}

Test(splice, notices_a_client_that_closed_in_order_by_its_probe)
{
    world_open(1, UPSTREAM, NULL);
    call(MODERN, MODERN_CALL(1));
    sim_peer_close(client);
    settle();
    cr_assert_eq(counter(STAT_exchanges_open), 0, "102 Processing was answered with a reset");
    cr_assert(sim_peer_ended(server));
    world_close();
}

Test(splice, answers_a_client_that_only_half_closed)
{
    world_open(1, UPSTREAM, NULL);
    call(MODERN, MODERN_CALL(1));
    sim_peer_half_close(client);
    settle();
    cr_assert_eq(counter(STAT_exchanges_open), 1);
    sim_peer_discard(client);
    answer(server, "", RESULT(1));
    cr_assert_str_eq(reply_of(client)->body, RESULT(1));
    cr_assert(sim_peer_eof(client));
    world_close();
}

Test(splice, ends_with_a_client_that_leaves_in_the_middle_of_its_request)
{
    world_open(1, UPSTREAM, NULL);
    client = client_new();
    say(client, "POST /mcp HTTP/1.1\r\nHost: g\r\nContent-Length: 10\r\n\r\n12345");
    server = server_next();
    sim_peer_half_close(client);
    settle();
    cr_assert_eq(counter(STAT_exchanges_open), 0);
    cr_assert(sim_peer_ended(server));
    cr_assert_eq(closed_by(CLOSE_CLIENT_GONE), 1);
    world_close();
}
