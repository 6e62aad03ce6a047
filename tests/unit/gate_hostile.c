/* SPDX-License-Identifier: Apache-2.0 */
/* Clients and upstreams that do what they should not: none of it costs more than their own requests. */
#include "gate_world.h"

#include <stdlib.h>

#define UPSTREAM "--upstream", "up=http://10.0.0.2:80/mcp"
#define ROUTE    "--route", "/r=http://10.0.0.2:80"

static struct sim_peer *client, *server;

/* `n` bytes of a body, and `rest` behind them. */
static const char *
bytes(size_t n, const char *rest)
{
    static char text[BODY_MAX];

    cr_assert_lt(n + strlen(rest), sizeof text);
    memset(text, 'x', n);
    snprintf(text + n, sizeof text - n, "%s", rest);
    return text;
}

/* --- pipelining --- */

Test(hostile, holds_back_a_client_that_pipelines_and_does_not_read)
{
    size_t taken = 0;
    unsigned replies = 0, asked = 0;
    char one[200];
    int len = snprintf(one, sizeof one, "GET /nowhere HTTP/1.1\r\nHost: g\r\nX-Fill: %.100s\r\n\r\n",
                       bytes(100, ""));

    world_open(1, UPSTREAM, NULL);
    client = client_new();
    sim_peer_set_window(client, 8192);
    /* Until nothing more is taken: the window of the worker is full. */
    for (unsigned i = 0; i < 20000; i++) {
        size_t n = sim_peer_send(client, one + taken, (size_t)len - taken);

        taken = (taken + n) % (size_t)len;
        asked += taken == 0 && n;
        settle();
        if (!n)
            break;
    }
    cr_assert_lt(asked, 20000, "reading never stops");
    cr_assert_gt(asked, 100);
    if (taken) {
        sim_peer_set_send_window(client, 1 << 20);
        say(client, "%s", one + taken);
        asked++;
    }
    sim_peer_set_window(client, 1 << 20);
    settle();
    while (try_reply(client))
        replies++;
    cr_assert_eq(replies, asked, "%u replies to %u requests", replies, asked);
    world_close();
}

/* The bytes of later requests come while earlier ones wait for a client that reads too slowly. */
static void
pipelines_with_a_slow_reader(uint64_t seed)
{
    unsigned asked = 0, replies = 0;

    world_open(seed, "--upstream", "up=http://10.0.0.2:80/mcp", "--low-mark", "4k", "--high-mark", "8k",
               NULL);
    sim_faults_random(world.sim);
    client = client_new();
    sim_peer_set_window(client, 2000);
    for (unsigned i = 0; i < 400; i++) {
        unsigned n = 1 + (unsigned)sim_random(world.sim, 4);

        for (unsigned k = 0; k < n && asked < 300; k++, asked++)
            sim_peer_puts(client, "GET /nowhere HTTP/1.1\r\nHost: g\r\n\r\n");
        if (sim_random(world.sim, 2))
            sim_advance(world.sim, 1 + (unsigned)sim_random(world.sim, 3));
        if (sim_random(world.sim, 2) && try_reply(client))
            replies++;
    }
    sim_peer_set_window(client, 1 << 20);
    for (unsigned i = 0; i < 1000; i++) {
        sim_advance(world.sim, 5);
        while (try_reply(client))
            replies++;
    }
    cr_assert_eq(replies, asked, "%u replies to %u requests (seed %llu)", replies, asked,
                 (unsigned long long)seed);
    world_close();
}

Test(hostile, answers_every_pipelined_request_of_a_slow_reader)
{
    sim_for_seeds(1, 60, pipelines_with_a_slow_reader);
}

Test(hostile, answers_pipelined_requests_whose_client_has_half_closed)
{
    world_open(1, UPSTREAM, NULL);
    client = client_new();
    for (unsigned i = 0; i < 3; i++)
        sim_peer_puts(client, "POST /mcp/up HTTP/1.1\r\nHost: g\r\nContent-Length: 1\r\n\r\n1");
    sim_peer_half_close(client);
    settle();
    server = server_next();
    for (unsigned i = 0; i < 3; i++) {
        request_of(server);
        answer(server, "", "{}");
    }
    for (unsigned i = 0; i < 3; i++) {
        struct message *m;

        while ((m = reply_of(client))->status == 102)
            ;
        cr_assert_eq(m->status, 200);
    }
    advance(10);
    cr_assert(sim_peer_ended(client));
    world_close();
}

/* --- connections that change hands --- */

Test(hostile, goes_on_with_a_large_body_that_waited_for_the_pool)
{
    struct sim_peer *first, *second;

    world_open(1, ROUTE, "--upstream-max", "1", "--upstream-idle-max", "1", "--upstream-wait", "1h", NULL);
    first = client_new();
    get(first, "/r/1", "");
    server = server_next();
    request_of(server);
    second = client_new();
    sim_peer_set_send_window(second, 1 << 20);
    say(second, "POST /r/2 HTTP/1.1\r\nHost: g\r\nContent-Length: 400000\r\n\r\n%s", bytes(400000, ""));
    answer(server, "", "one");
    sim_peer_set_window(server, 1 << 20);
    settle();
    cr_assert_eq(reply_of(first)->status, 200);
    cr_assert_eq(request_of(server)->body_len, 400000);
    answer(server, "", "two");
    cr_assert_eq(reply_of(second)->status, 200);
    world_close();
}

Test(hostile, goes_on_with_a_large_body_at_another_endpoint)
{
    world_open(1, "--route", "/r=http://10.0.0.8:80,http://10.0.0.2:80", NULL);
    client = client_new();
    sim_peer_set_send_window(client, 1 << 20);
    say(client, "POST /r/2 HTTP/1.1\r\nHost: g\r\nContent-Length: 400000\r\n\r\n%s", bytes(400000, ""));
    server = server_next();
    sim_peer_set_window(server, 1 << 20);
    settle();
    cr_assert_eq(request_of(server)->body_len, 400000);
    answer(server, "", "two");
    cr_assert_eq(reply_of(client)->status, 200);
    world_close();
}

Test(hostile, does_not_use_a_connection_again_on_which_a_request_is_stuck)
{
    struct sim_peer *second, *other;

    world_open(1, ROUTE, "--upstream-max", "1", "--upstream-idle-max", "1", "--upstream-wait", "1h", NULL);
    client = client_new();
    sim_peer_set_send_window(client, 1 << 20);
    get(client, "/r/0", "");
    server = server_next();
    request_of(server);
    answer(server, "", "zero");
    cr_assert_eq(reply_of(client)->status, 200);
    sim_peer_set_window(server, 10000);
    say(client, "POST /r/1 HTTP/1.1\r\nHost: g\r\nContent-Length: 60000\r\n\r\n%s", bytes(60000, ""));
    second = client_new();
    get(second, "/r/2", "");
    answer(server, "", "early"); /* has read 10,000 bytes of 60,000 */
    cr_assert_eq(reply_of(client)->status, 200);
    other = server_next();
    cr_assert(strstr(request_of(other)->head, "GET /2 "));
    answer(other, "", "two");
    cr_assert_eq(reply_of(second)->status, 200);
    world_close();
}

Test(hostile, reads_on_after_an_early_reply_to_an_upload_that_was_held_back)
{
    struct sim_peer *other;

    world_open(1, ROUTE, NULL);
    client = client_new();
    sim_peer_set_send_window(client, 1 << 20);
    get(client, "/r/0", "");
    server = server_next();
    request_of(server);
    answer(server, "", "zero");
    cr_assert_eq(reply_of(client)->status, 200);
    sim_peer_set_window(server, 100);
    say(client, "POST /r/1 HTTP/1.1\r\nHost: g\r\nContent-Length: 2000\r\n\r\n%s", bytes(2000, ""));
    answer(server, "", "early");
    cr_assert_eq(reply_of(client)->status, 200);
    get(client, "/r/2", "");
    other = server_next();
    cr_assert(strstr(request_of(other)->head, "GET /2 "));
    answer(other, "", "two");
    cr_assert_eq(reply_of(client)->status, 200);
    world_close();
}

Test(hostile, finds_room_in_the_pool_among_the_idle_connections_of_other_endpoints)
{
    struct sim_peer *clients[2], *servers[8];
    unsigned count = 0;

    world_open(1, "--route", "/r=http://10.0.0.2:80,http://10.0.0.3:80", "--upstream-max", "2",
               "--upstream-idle-max", "2", NULL);
    /* Both connections go to the first endpoint while the second refuses. */
    sim_serve(world.sim, "10.0.0.3:80", SIM_REFUSE);
    for (unsigned i = 0; i < 2; i++) {
        clients[i] = client_new();
        get(clients[i], "/r/", "");
        servers[count] = server_next();
        request_of(servers[count++]);
    }
    for (unsigned i = 0; i < 2; i++) {
        answer(servers[i], "", "x");
        cr_assert_eq(reply_of(clients[i])->status, 200);
    }
    sim_serve(world.sim, "10.0.0.3:80", SIM_ACCEPT);
    for (unsigned i = 0; i < 6; i++) {
        unsigned k = 0;

        get(clients[0], "/r/", "");
        while (count < 8 && (servers[count] = server_next()))
            count++;
        while (k < count && !try_request(servers[k]))
            k++;
        cr_assert_lt(k, count, "request %u waits", i);
        answer(servers[k], "", "x");
        cr_assert_eq(reply_of(clients[0])->status, 200);
    }
    cr_assert_geq(count, 3);
    cr_assert_eq(up_counter(UPSTAT_up_exhausted), 0);
    world_close();
}

Test(hostile, answers_502_when_there_is_no_descriptor_for_another_try)
{
    world_open(1, "--route", "/r=http://10.0.0.8:80,http://10.0.0.9:80", NULL);
    client = client_new();
    sim_set_fd_limit(world.sim, sim_fd_count(world.sim) + 1);
    /* The refused connection is still there when the other one is wanted. */
    get(client, "/r/", "");
    cr_assert_eq(reply_of(client)->status, 502);
    sim_set_fd_limit(world.sim, 0);
    world_close();
}

/* --- drains --- */

Test(hostile, answers_the_request_that_was_on_its_way_when_a_drain_began)
{
    struct sim_peer *idle;

    world_open(1, UPSTREAM, NULL);
    idle = client_new();
    get(idle, "/nowhere", "");
    cr_assert_eq(reply_of(idle)->status, 404);
    client = client_new();
    post(client, "", CALL(1));
    server = server_next();
    answer(server, "", RESULT(1));
    cr_assert_null(field(reply_of(client), "Connection"));
    worker_drain(world.worker, 30000);
    advance(500);
    cr_assert_not(sim_peer_ended(client));
    get(client, "/nowhere", "");
    cr_assert_str_eq(field(reply_of(client), "Connection"), "close");
    cr_assert(sim_peer_ended(client));
    cr_assert_not(sim_peer_ended(idle));
    advance(600);
    cr_assert(sim_peer_ended(idle), "who does not ask is not waited for");
    world_close();
}

/* --- memory --- */

/* How much an upstream gets rid of for a client that does not read. */
static uint64_t
taken_for_a_stopped_client(const char *buffer)
{
    uint64_t taken;

    world_open(1, UPSTREAM, "--upstream-buffer", buffer, "--send-timeout", "1h", NULL);
    client = client_new();
    sim_peer_set_window(client, 4096);
    post(client, "", CALL(1));
    server = server_next();
    request_of(server);
    answer_stream(server, "");
    for (size_t n = 1; n;) {
        n = sim_peer_puts(server, "8\r\ndata: 1\n\r\n");
        settle();
    }
    taken = sim_peer_sent(server);
    sim_peer_close(client);
    settle();
    world_close();
    return taken;
}

Test(hostile, an_upstream_of_a_stopped_reader_gets_rid_of_what_its_socket_buffer_holds)
{
    uint64_t little = taken_for_a_stopped_client("8k"), much = taken_for_a_stopped_client("80k");

    cr_assert_geq(much - little, 70 << 10, "%llu and %llu", (unsigned long long)little,
                  (unsigned long long)much);
    cr_assert_leq(much - little, 74 << 10, "%llu and %llu", (unsigned long long)little,
                  (unsigned long long)much);
}

Test(hostile, keeps_no_flood_of_interim_replies_for_a_client_that_does_not_read)
{
    world_open(1, UPSTREAM, NULL);
    client = client_new();
    sim_peer_set_window(client, 4096);
    post(client, "", CALL(1));
    server = server_next();
    request_of(server);
    for (unsigned i = 0; i < 4000; i++) {
        sim_peer_puts(server, "HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n");
        settle();
    }
    cr_assert_lt(world.queued_max, 3 * world.worker->config->high_mark, "%llu",
                 (unsigned long long)world.queued_max);
    sim_peer_set_window(client, 1 << 20);
    settle();
    sim_peer_discard(client);
    answer(server, "", RESULT(1));
    cr_assert(has(client, RESULT(1)));
    world_close();
}

Test(hostile, holds_back_the_json_reply_of_an_early_stream)
{
    world_open(1, UPSTREAM, "--early-stream", "1s", NULL);
    client = client_new();
    post(client, "", CALL(1));
    server = server_next();
    request_of(server);
    advance(1100);
    sim_peer_set_window(client, 4096);
    sim_peer_set_send_window(server, 16384);
    sim_peer_puts(server,
                  "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 800000\r\n\r\n");
    for (size_t sent = 0; sent < 800000;) {
        size_t n = sim_peer_send(server, bytes(8000, ""), 8000);

        settle();
        if (!n)
            break;
    }
    cr_assert_lt(world.queued_max, 3 * world.worker->config->high_mark, "%llu",
                 (unsigned long long)world.queued_max);
    sim_peer_close(client);
    settle();
    world_close();
}

/* A worker with as little memory as it may have, and clients and upstreams that fill it. */
static void
runs_out_of_memory(uint64_t seed)
{
    struct sim_peer *clients[40], *servers[400];
    unsigned server_count = 0;

    world_open(seed, UPSTREAM, "--route", "/r=http://10.0.0.3:80,http://10.0.0.8:80,http://10.0.0.4:80",
               "--max-memory", "1m", "--high-mark", "256k", "--low-mark", "16k", NULL);
    sim_faults_random(world.sim);
    for (unsigned i = 0; i < 40; i++) {
        clients[i] = client_new();
        sim_peer_set_window(clients[i], 1000);
    }
    for (unsigned n = 0; n < 60; n++) {
        for (unsigned i = 0; i < 40; i++) {
            struct sim_peer *c = clients[i];

            switch (sim_random(world.sim, 6)) {
            case 0:
                sim_peer_puts(c, "POST /r/x HTTP/1.1\r\nHost: g\r\nContent-Length: 30000\r\n\r\n");
                sim_peer_send(c, bytes(30000, ""), 30000);
                break;
            case 1:
                sim_peer_puts(c, "POST /mcp/up HTTP/1.1\r\nHost: g\r\n" MCP_ACCEPT
                                 "Transfer-Encoding: chunked\r\n\r\n4e20\r\n");
                sim_peer_send(c, bytes(20000, "\r\n0\r\n\r\n"), 20007);
                break;
            case 2:
                sim_peer_puts(c, "GET /r/y HTTP/1.1\r\nHost: g\r\n\r\n");
                break;
            default:
                break;
            }
        }
        settle();
        while (server_count < 400 && (servers[server_count] = server_next())) {
            sim_peer_set_window(servers[server_count], 1000);
            server_count++;
        }
        for (unsigned i = 0; i < server_count; i++)
            switch (sim_random(world.sim, 8)) {
            case 0:
                sim_peer_puts(servers[i], "HTTP/1.1 200 OK\r\nContent-Length: 50000\r\n\r\n");
                sim_peer_send(servers[i], bytes(50000, ""), 50000);
                break;
            case 1:
                sim_peer_puts(servers[i], "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
                for (unsigned k = 0; k < 100; k++)
                    sim_peer_puts(servers[i], "a\r\n0123456789\r\n3;x=y\r\nabc\r\n");
                break;
            case 2:
                sim_peer_discard(servers[i]);
                break;
            case 3:
                sim_peer_reset(servers[i]);
                servers[i--] = servers[--server_count];
                break;
            default:
                break;
            }
        advance(1 + (unsigned)sim_random(world.sim, 20));
    }
    for (unsigned i = 0; i < 40; i++)
        sim_peer_reset(clients[i]);
    world_close();
}

Test(hostile, survives_when_the_buffer_memory_is_used_up)
{
    sim_for_seeds(1, 30, runs_out_of_memory);
}

/* --- upgrades --- */

Test(hostile, tunnels_after_an_upgrade_request_with_a_body)
{
    world_open(1, ROUTE, NULL);
    client = client_new();
    say(client,
        "POST /r/ HTTP/1.1\r\nHost: g\r\nConnection: upgrade\r\nUpgrade: x\r\nContent-Length: 4\r\n\r\nbody");
    server = server_next();
    request_of(server);
    say(server, "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n");
    cr_assert(has(client, "HTTP/1.1 101 "));
    say(client, "ping");
    cr_assert(has(server, "ping"));
    say(server, "pong");
    cr_assert(has(client, "pong"));
    sim_peer_close(client);
    settle();
    world_close();
}

Test(hostile, tunnels_bytes_as_they_are_after_an_upgrade_request_in_chunks)
{
    size_t n;

    world_open(1, ROUTE, NULL);
    client = client_new();
    say(client, "POST /r/ HTTP/1.1\r\nHost: g\r\nConnection: upgrade\r\nUpgrade: x\r\nTransfer-Encoding: "
                "chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n");
    server = server_next();
    cr_assert_str_eq(request_of(server)->body, "body");
    say(server, "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n");
    cr_assert(has(client, "HTTP/1.1 101 "));
    say(client, "ping");
    cr_assert_str_eq(sim_peer_peek(server, &n), "ping");
    sim_peer_close(client);
    settle();
    world_close();
}

/* --- health checks --- */

Test(hostile, takes_a_health_check_answered_with_101_as_failed)
{
    world_open(1, UPSTREAM, "--health-interval", "1s", "--health-path", "/h", NULL);
    advance(10);
    server = server_next();
    request_of(server);
    say(server, "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n");
    say(server, "hello");
    sim_peer_half_close(server);
    advance(500);
    cr_assert_eq(up_counter(UPSTAT_up_endpoints_healthy), 0);
    world_close();
}

/* --- the demo server --- */

static const char *
demo_session(void)
{
    static const char init[] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"initialize\",\"params\":"
                               "{\"protocolVersion\":\"2025-06-18\",\"capabilities\":{},"
                               "\"clientInfo\":{\"name\":\"t\",\"version\":\"1\"}}}";
    static char fields[400];
    struct message *m;

    client = client_new();
    say(client,
        "POST /mcp HTTP/1.1\r\nHost: g\r\nContent-Type: application/json\r\n" MCP_ACCEPT
        "Content-Length: %zu\r\n\r\n%s",
        sizeof init - 1, init);
    m = reply_of(client);
    cr_assert_eq(m->status, 200, "%s%s", m->head, m->body);
    snprintf(fields, sizeof fields, "Mcp-Session-Id: %s\r\n", field(m, "Mcp-Session-Id"));
    return fields;
}

Test(hostile, survives_a_demo_stream_whose_request_has_a_body_without_end)
{
    const char *session;

    world_open(1, NULL);
    session = demo_session();
    say(client, "GET /mcp HTTP/1.1\r\nHost: g\r\n" MCP_ACCEPT "%sTransfer-Encoding: chunked\r\n\r\n",
        session);
    cr_assert(has(client, "HTTP/1.1 200 OK"));
    sim_peer_set_send_window(client, 1 << 20);
    for (unsigned i = 0; i < 60 && !sim_peer_ended(client); i++) {
        sim_peer_puts(client, "186a0\r\n");
        sim_peer_send(client, bytes(100000, ""), 100000);
        sim_peer_puts(client, "\r\n");
        settle();
    }
    sim_peer_close(client);
    settle();
    world_close();
}

Test(hostile, survives_a_demo_stream_whose_requests_body_stands_still)
{
    const char *session;

    world_open(1, "--heartbeat", "60s", NULL);
    session = demo_session();
    say(client, "GET /mcp HTTP/1.1\r\nHost: g\r\n" MCP_ACCEPT "%sContent-Length: 10\r\n\r\n", session);
    cr_assert(has(client, "HTTP/1.1 200 OK"));
    advance(100000);
    sim_peer_close(client);
    settle();
    world_close();
}

Test(hostile, frees_what_the_demo_kept_of_a_malformed_request)
{
    world_open(1, NULL);
    client = client_new();
    say(client, "POST /mcp HTTP/1.1\r\nHost: g\r\nContent-Type: application/json\r\n" MCP_ACCEPT
                "Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\nzz");
    cr_assert_eq(reply_of(client)->status, 400);
    world_close();
}
