/* SPDX-License-Identifier: Apache-2.0 */
/* Connections to upstreams: the pool, its queue, other endpoints, second tries, health. */
#include "gate_world.h"

#define UPSTREAM "--upstream", "up=http://10.0.0.2:80/mcp"

/* A client that posted call `id`. */
static struct sim_peer *
caller(unsigned id)
{
    struct sim_peer *client = client_new();
    char body[100];

    snprintf(body, sizeof body, "{\"jsonrpc\":\"2.0\",\"id\":%u,\"method\":\"tools/call\"}", id);
    post(client, "", body);
    return client;
}

static bool
asks(const struct message *request, unsigned id)
{
    char text[20];

    snprintf(text, sizeof text, "\"id\":%u,", id);
    return strstr(request->body, text) != NULL;
}

static void
assert_error(struct sim_peer *client, int status, unsigned id)
{
    struct message *m = reply_of(client);

    cr_assert_eq(m->status, status, "%s", m->head);
    cr_assert(asks(m, id), "%s", m->body);
    cr_assert_not_null(strstr(m->body, "\"error\":{\"code\":"));
    cr_assert_str_eq(field(m, "Content-Type"), "application/json");
}

/* --- the pool --- */

Test(upstreams, answers_503_when_the_pool_stays_full)
{
    struct sim_peer *first, *second, *server;

    world_open(1, UPSTREAM, "--upstream-max", "1", "--upstream-idle-max", "1", "--upstream-wait", "1s", NULL);
    first = caller(1);
    server = server_next();
    request_of(server);
    second = caller(2);
    cr_assert_null(server_next());
    cr_assert_eq(up_counter(UPSTAT_up_waiting), 1);
    advance(990);
    cr_assert_eq(sim_peer_received(second), 0);
    advance(20);
    cr_assert(has(second, "\r\nRetry-After: "));
    assert_error(second, 503, 2);
    cr_assert_eq(up_counter(UPSTAT_up_waiting), 0);
    cr_assert_eq(up_counter(UPSTAT_up_exhausted), 1);
    cr_assert_eq(closed_by(CLOSE_POOL_FULL), 1);
    answer(server, "", RESULT(1));
    cr_assert_eq(reply_of(first)->status, 200);
    world_close();
}

Test(upstreams, serves_those_who_wait_in_their_order)
{
    struct sim_peer *clients[5], *server;

    world_open(1, UPSTREAM, "--upstream-max", "1", "--upstream-idle-max", "1", "--upstream-wait", "1h", NULL);
    for (unsigned i = 0; i < 5; i++)
        clients[i] = caller(i);
    server = server_next();
    for (unsigned i = 0; i < 5; i++) {
        cr_assert(asks(request_of(server), i));
        answer(server, "", RESULT(1));
        cr_assert_eq(reply_of(clients[i])->status, 200);
    }
    cr_assert_eq(up_counter(UPSTAT_up_connects), 1);
    cr_assert_eq(up_counter(UPSTAT_up_reused), 4);
    world_close();
}

Test(upstreams, opens_a_connection_for_the_next_when_one_is_not_reusable)
{
    struct sim_peer *first, *second, *server;

    world_open(1, UPSTREAM, "--upstream-max", "1", "--upstream-idle-max", "1", "--upstream-wait", "1h", NULL);
    first = caller(1);
    second = caller(2);
    server = server_next();
    request_of(server);
    answer(server, "Connection: close\r\n", RESULT(1));
    cr_assert_eq(reply_of(first)->status, 200);
    server = server_next();
    cr_assert(asks(request_of(server), 2));
    answer(server, "", RESULT(2));
    cr_assert_eq(reply_of(second)->status, 200);
    world_close();
}

Test(upstreams, forgets_a_waiting_request_whose_client_left)
{
    struct sim_peer *first, *second, *third, *server;

    world_open(1, UPSTREAM, "--upstream-max", "1", "--upstream-idle-max", "1", "--upstream-wait", "1h", NULL);
    first = caller(1);
    second = client_new();
    post(second, MODERN, MODERN_CALL(2));
    third = caller(3);
    server = server_next();
    request_of(server);
    sim_peer_reset(second);
    settle();
    answer(server, "", RESULT(1));
    cr_assert_eq(reply_of(first)->status, 200);
    cr_assert(asks(request_of(server), 3));
    answer(server, "", RESULT(3));
    cr_assert_eq(reply_of(third)->status, 200);
    world_close();
}

Test(upstreams, gives_no_surplus_reply_to_the_request_that_waits)
{
    struct sim_peer *first, *second, *server;

    world_open(1, UPSTREAM, "--upstream-max", "1", "--upstream-idle-max", "1", "--upstream-wait", "1h", NULL);
    first = caller(1);
    second = caller(2);
    server = server_next();
    request_of(server);
    say(server,
        "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nmineHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
    cr_assert_str_eq(reply_of(first)->body, "mine");
    cr_assert_null(try_reply(second), "the surplus is nobody's reply");
    server = server_next();
    cr_assert(asks(request_of(server), 2));
    answer(server, "", "yours");
    cr_assert_str_eq(reply_of(second)->body, "yours");
    world_close();
}

Test(upstreams, keeps_a_body_that_arrived_while_its_request_waited)
{
    struct sim_peer *first, *second, *server;

    world_open(1, UPSTREAM, "--upstream-max", "1", "--upstream-idle-max", "1", "--upstream-wait", "1h", NULL);
    first = caller(1);
    server = server_next();
    request_of(server);
    second = client_new();
    say(second, "POST /mcp HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: chunked\r\n\r\n");
    say_chunk(second, "abc");
    cr_assert_eq(counter(STAT_buffers_taken), counter(STAT_buffers_returned),
                 "waiting pins no receive buffer");
    answer(server, "", RESULT(1));
    reply_of(first);
    say_chunk(second, "def");
    say(second, "0\r\n\r\n");
    cr_assert_str_eq(request_of(server)->body, "abcdef");
    answer(server, "", "ok");
    cr_assert_str_eq(reply_of(second)->body, "ok");
    world_close();
}

Test(upstreams, keeps_no_more_idle_connections_than_it_may)
{
    struct sim_peer *clients[4], *servers[4];

    world_open(1, UPSTREAM, "--upstream-idle-max", "2", NULL);
    for (unsigned i = 0; i < 4; i++) {
        clients[i] = caller(i);
        servers[i] = server_next();
        request_of(servers[i]);
    }
    for (unsigned i = 0; i < 4; i++) {
        answer(servers[i], "", "ok");
        reply_of(clients[i]);
    }
    cr_assert_eq(up_counter(UPSTAT_up_idle), 2);
    cr_assert_eq(up_counter(UPSTAT_up_connections), 2);
    world_close();
}

Test(upstreams, closes_an_idle_connection_in_time)
{
    struct sim_peer *client, *server;

    world_open(1, UPSTREAM, "--upstream-idle", "4s", NULL);
    client = caller(1);
    server = server_next();
    request_of(server);
    answer(server, "", "ok");
    reply_of(client);
    advance(3900);
    cr_assert_not(sim_peer_ended(server));
    advance(200);
    cr_assert(sim_peer_ended(server));
    cr_assert_eq(up_counter(UPSTAT_up_idle), 0, "a connection that is being closed is not idle");
    world_close();
}

Test(upstreams, closes_an_idle_connection_before_the_server_does)
{
    struct sim_peer *client, *server;

    world_open(1, UPSTREAM, "--upstream-idle", "4s", NULL);
    client = caller(1);
    server = server_next();
    request_of(server);
    answer(server, "Keep-Alive: max=5, timeout=2\r\n", "ok");
    reply_of(client);
    advance(1600);
    cr_assert(sim_peer_ended(server));
    world_close();
}

Test(upstreams, notices_that_an_idle_connection_was_closed)
{
    struct sim_peer *client, *server;

    world_open(1, UPSTREAM, NULL);
    client = caller(1);
    server = server_next();
    request_of(server);
    answer(server, "", "ok");
    reply_of(client);
    sim_peer_close(server);
    settle();
    cr_assert_eq(up_counter(UPSTAT_up_idle), 0);
    post(client, "", CALL(2));
    server = server_next();
    request_of(server);
    answer(server, "", "ok");
    cr_assert_eq(reply_of(client)->status, 200);
    world_close();
}

/* --- second tries --- */

Test(upstreams, tries_again_when_an_idle_connection_broke_before_a_byte_was_sent)
{
    struct sim_peer *client, *server;

    world_open(1, UPSTREAM, NULL);
    client = caller(1);
    server = server_next();
    request_of(server);
    answer(server, "", "ok");
    reply_of(client);
    sim_peer_puts(client, "POST /mcp HTTP/1.1\r\nHost: g\r\nContent-Length: 3\r\n\r\nabc");
    sim_peer_reset(server); /* seen in the turn in which the request came */
    settle();
    server = server_next();
    cr_assert_str_eq(request_of(server)->body, "abc");
    answer(server, "", "again");
    cr_assert_str_eq(reply_of(client)->body, "again");
    cr_assert_eq(up_counter(UPSTAT_up_retries), 1);
    world_close();
}

Test(upstreams, does_not_try_again_what_may_have_been_acted_on)
{
    struct sim_peer *client, *server;

    world_open(1, UPSTREAM, NULL);
    client = caller(4);
    server = server_next();
    request_of(server);
    sim_peer_reset(server);
    settle();
    assert_error(client, 502, 4);
    cr_assert_null(server_next());
    cr_assert_eq(up_counter(UPSTAT_up_retries), 0);
    cr_assert_eq(closed_by(CLOSE_UPSTREAM_GONE), 1);
    world_close();
}

Test(upstreams, answers_502_when_refused)
{
    struct sim_peer *client;

    world_open(1, "--upstream", "up=http://10.0.0.8:80/mcp", NULL);
    client = caller(5);
    assert_error(client, 502, 5);
    cr_assert_eq(closed_by(CLOSE_CONNECT_FAILED), 1);
    cr_assert_leq(up_counter(UPSTAT_up_connects), 2);
    world_close();
}

Test(upstreams, goes_to_another_endpoint_when_one_refuses)
{
    world_open(1, "--upstream", "up=http://10.0.0.8:80/mcp,http://10.0.0.2:80/mcp", "--eject-after", "1000",
               NULL);
    for (unsigned i = 0; i < 6; i++) {
        struct sim_peer *client = caller(i), *server = server_next();

        cr_assert(asks(request_of(server), i));
        answer(server, "Connection: close\r\n", "ok");
        cr_assert_eq(reply_of(client)->status, 200);
    }
    cr_assert_gt(up_counter(UPSTAT_up_retries), 0);
    world_close();
}

Test(upstreams, gives_up_when_every_endpoint_refuses)
{
    struct sim_peer *client;

    world_open(1, "--upstream", "up=http://10.0.0.8:80/a,http://10.0.0.8:80/b,http://10.0.0.8:80/c", NULL);
    client = caller(6);
    assert_error(client, 502, 6);
    cr_assert_leq(up_counter(UPSTAT_up_connects), 4);
    world_close();
}

Test(upstreams, answers_502_when_no_descriptor_is_left_for_a_second_try)
{
    struct sim_peer *client;

    world_open(1, "--upstream", "up=http://10.0.0.8:80/mcp,http://10.0.0.8:80/other", NULL);
    client = client_new();
    sim_set_fd_limit(world.sim, sim_fd_count(world.sim) + 1);
    post(client, "", CALL(1));
    cr_assert_eq(reply_of(client)->status, 502);
    world_close();
}

Test(upstreams, answers_502_when_no_descriptor_is_left)
{
    struct sim_peer *client;

    world_open(1, UPSTREAM, NULL);
    client = client_new();
    sim_set_fd_limit(world.sim, sim_fd_count(world.sim));
    for (unsigned i = 0; i < 5; i++) {
        post(client, "", CALL(1));
        cr_assert_eq(reply_of(client)->status, 502);
    }
    cr_assert_eq(up_counter(UPSTAT_up_ejections), 0, "it is not the endpoint's fault");
    sim_set_fd_limit(world.sim, 0);
    post(client, "", CALL(1));
    request_of(server_next());
    world_close();
}

Test(upstreams, answers_504_when_connecting_takes_too_long)
{
    struct sim_peer *client;

    world_open(1, "--upstream", "up=http://10.0.0.9:80/mcp", "--connect-timeout", "5s", NULL);
    client = caller(7);
    advance(4990);
    cr_assert_eq(sim_peer_received(client), 0);
    advance(20);
    assert_error(client, 504, 7);
    cr_assert_eq(closed_by(CLOSE_CONNECT_TIMEOUT), 1);
    cr_assert_eq(up_counter(UPSTAT_up_connections), 0);
    world_close();
}

Test(upstreams, counts_its_connections_towards_the_maximum_until_they_are_gone)
{
    world_open(1, "--upstream", "up=http://10.0.0.9:80/mcp", "--upstream-max", "2", "--upstream-idle-max",
               "2", "--upstream-wait", "0", "--connect-timeout", "1s", NULL);
    caller(1);
    caller(2);
    struct sim_peer *third = caller(3);
    advance(10);
    cr_assert_eq(reply_of(third)->status, 503);
    advance(1100);
    cr_assert_eq(up_counter(UPSTAT_up_connections), 0);
    world_close();
}

/* --- health --- */

Test(upstreams, leaves_out_an_endpoint_that_fails_and_takes_it_back)
{
    uint64_t errors;

    world_open(1, "--upstream", "up=http://10.0.0.8:80/mcp,http://10.0.0.2:80/mcp", "--eject-after", "2",
               "--eject-time", "5s", NULL);
    for (unsigned i = 0; i < 12; i++) {
        struct sim_peer *client = caller(i), *server = server_next();

        request_of(server);
        answer(server, "Connection: close\r\n", "ok");
        cr_assert_eq(reply_of(client)->status, 200);
    }
    cr_assert_eq(up_counter(UPSTAT_up_ejections), 1);
    errors = up_counter(UPSTAT_up_connect_errors);
    cr_assert_eq(errors, 2);
    cr_assert_eq(up_counter(UPSTAT_up_endpoints_healthy), 1);
    sim_serve(world.sim, "10.0.0.8:80", SIM_ACCEPT);
    advance(5100);
    unsigned served = 0;
    for (unsigned i = 0; i < 4; i++) {
        struct sim_peer *client = caller(i), *server = server_next();

        request_of(server);
        served += strcmp(sim_peer_address(server), "10.0.0.8:80") == 0;
        answer(server, "Connection: close\r\n", "ok");
        cr_assert_eq(reply_of(client)->status, 200);
    }
    cr_assert_gt(served, 0, "it is back");
    cr_assert_eq(up_counter(UPSTAT_up_endpoints_healthy), 2);
    world_close();
}

Test(upstreams, sends_requests_where_the_fewest_are)
{
    unsigned count[2] = {0};

    world_open(1, "--upstream", "up=http://10.0.0.2:80/mcp,http://10.0.0.3:80/mcp", NULL);
    for (unsigned i = 0; i < 10; i++) {
        struct sim_peer *server;

        caller(i);
        server = server_next();
        request_of(server);
        count[strcmp(sim_peer_address(server), "10.0.0.3:80") == 0]++;
    }
    cr_assert_eq(count[0], 5);
    cr_assert_eq(count[1], 5);
    world_close();
}

Test(upstreams, checks_health_by_a_path)
{
    struct sim_peer *checks[2];

    world_open(1, "--upstream", "up=http://10.0.0.2:80/mcp,http://10.0.0.3:80/mcp", "--health-interval", "1s",
               "--health-path", "/health", NULL);
    advance(100);
    for (unsigned i = 0; i < 2; i++) {
        checks[i] = server_next();
        cr_assert_eq(strncmp(request_of(checks[i])->head, "GET /health HTTP/1.1\r\n", 22), 0);
    }
    say(checks[0], "HTTP/1.1 204 No Content\r\n\r\n");
    say(checks[1], "HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n");
    cr_assert_eq(up_counter(UPSTAT_up_endpoints_healthy), 1);
    for (unsigned i = 0; i < 4; i++) {
        struct sim_peer *server;

        caller(i);
        server = server_next();
        request_of(server);
        cr_assert_str_eq(sim_peer_address(server), sim_peer_address(checks[0]));
    }
    world_close();
}

Test(upstreams, blames_only_the_endpoint_that_was_tried_when_no_descriptor_is_left_for_the_other)
{
    struct sim_peer *client;

    world_open(1, "--upstream", "up=http://10.0.0.8:80/mcp,http://10.0.0.2:80/mcp", "--eject-after", "1",
               NULL);
    client = client_new();
    sim_set_fd_limit(world.sim, sim_fd_count(world.sim) + 1);
    post(client, "", CALL(1));
    cr_assert_eq(reply_of(client)->status, 502);
    cr_assert_eq(up_counter(UPSTAT_up_ejections), 1);
    cr_assert_eq(up_counter(UPSTAT_up_endpoints_healthy), 1);
    sim_set_fd_limit(world.sim, 0);
    post(client, "", CALL(2));
    request_of(server_next());
    world_close();
}

Test(upstreams, counts_one_failure_for_one_refused_connection)
{
    struct sim_peer *client;

    world_open(1, "--upstream", "up=http://10.0.0.8:80/mcp", "--eject-after", "4", NULL);
    client = client_new();
    for (unsigned i = 0; i < 2; i++) { /* each with a second try */
        cr_assert_eq(up_counter(UPSTAT_up_ejections), 0);
        post(client, "", CALL(1));
        cr_assert_eq(reply_of(client)->status, 502);
    }
    cr_assert_eq(up_counter(UPSTAT_up_connect_errors), 4);
    cr_assert_eq(up_counter(UPSTAT_up_ejections), 1);
    world_close();
}

Test(upstreams, blames_no_endpoint_for_a_reply_that_finds_no_memory)
{
    struct sim_peer *client, *server;
    struct buf *all[64];
    unsigned count = 0;

    world_open(1, UPSTREAM, "--eject-after", "1", "--max-memory", "1m", NULL);
    client = client_new();
    post(client, "", CALL(1));
    server = server_next();
    request_of(server);
    for (uint32_t size = SLAB_LARGEST; size >= 64; size /= 2)
        while (count < 64 && (all[count] = slab_get(&world.worker->slab, size)))
            count++;
    say(server, "HTTP/1.1 200 OK\r\nContent-"); /* a part of a head has to be kept */
    cr_assert_eq(closed_by(CLOSE_NO_MEMORY), 1);
    cr_assert_eq(up_counter(UPSTAT_up_ejections), 0);
    while (count)
        buf_unref(all[--count]);
    sim_peer_discard(client);
    world_close();
}

Test(upstreams, keeps_the_health_of_an_endpoint_that_it_has_no_descriptor_to_check)
{
    world_open(1, UPSTREAM, "--health-interval", "1s", NULL);
    advance(100);
    sim_set_fd_limit(world.sim, sim_fd_count(world.sim));
    advance(3000);
    cr_assert_eq(up_counter(UPSTAT_up_endpoints_healthy), 1);
    sim_set_fd_limit(world.sim, 0);
    sim_serve(world.sim, "10.0.0.2:80", SIM_REFUSE);
    advance(1100);
    cr_assert_eq(up_counter(UPSTAT_up_endpoints_healthy), 0);
    world_close();
}

Test(upstreams, fails_a_health_check_that_is_not_answered)
{
    world_open(1, "--upstream", "up=http://10.0.0.2:80/mcp,http://10.0.0.9:80/mcp", "--health-interval", "1s",
               NULL);
    advance(900);
    cr_assert_eq(up_counter(UPSTAT_up_endpoints_healthy), 2);
    advance(200);
    cr_assert_eq(up_counter(UPSTAT_up_endpoints_healthy), 1);
    sim_serve(world.sim, "10.0.0.9:80", SIM_ACCEPT);
    advance(2500);
    cr_assert_eq(up_counter(UPSTAT_up_endpoints_healthy), 2);
    world_close();
}

/* --- --prewarm --- */

Test(prewarm, has_connections_open_before_anybody_asks_and_makes_good_what_is_taken)
{
    struct sim_peer *warm[2], *client;

    world_open(1, "--upstream", "up=http://10.0.0.2:80/mcp", "--prewarm", "2", "--upstream-idle", "1h", NULL);
    advance(100);
    for (unsigned i = 0; i < 2; i++) {
        warm[i] = server_next();
        cr_assert_not_null(warm[i]);
    }
    cr_assert_null(server_next());
    cr_assert_eq(up_counter(UPSTAT_up_idle), 2);
    client = client_new();
    post(client, "", CALL(1));
    cr_assert_null(server_next(), "the request finds one of them");
    cr_assert_eq(up_counter(UPSTAT_up_reused), 1);
    for (unsigned i = 0; i < 2; i++)
        if (try_request(warm[i]))
            answer(warm[i], "", RESULT(1));
    cr_assert_eq(reply_of(client)->status, 200);
    post(client, "", CALL(2));
    advance(300);
    cr_assert_not_null(server_next(), "the one that is in use is made good");
    for (unsigned i = 0; i < 2; i++)
        if (try_request(warm[i]))
            answer(warm[i], "", RESULT(2));
    cr_assert_eq(reply_of(client)->status, 200);
    world_close();
}

Test(prewarm, goes_on_while_nobody_is_there_and_lets_a_drain_end)
{
    world_open(1, "--upstream", "gone=http://10.0.0.8:80/mcp", "--upstream", "silent=http://10.0.0.9:80/mcp",
               "--prewarm", "3", NULL);
    advance(3000);
    cr_assert_eq(up_counter(UPSTAT_up_idle), 0);
    world_close();
}

/* A check has nobody to tell of room in the kernel. */
Test(health, bears_a_send_for_which_there_is_no_room_at_first)
{
    world_open(1, "--upstream", "up=http://10.0.0.2:80/mcp", "--health-interval", "1s", "--health-path",
               "/health", NULL);
    sim_set_fault(world.sim, SIM_FULL_SEND, 1000);
    advance(2500);
    cr_assert_str_eq(field(request_of(server_next()), "Host"), "10.0.0.2");
    sim_set_fault(world.sim, SIM_FULL_SEND, 0);
    world_close();
}
