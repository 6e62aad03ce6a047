/* SPDX-License-Identifier: Apache-2.0 */
/* SSE streams with heartbeats and --early-stream, replies that break, tunnels; on a whole worker in the
 * simulator. */
#include "base/log.h"
#include "gate/exchange.h"
#include "gate_world.h"
#include "net/batch.h"

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

/* --- heartbeats --- */

Test(stream, puts_heartbeats_between_events_only)
{
    struct message *m;

    world_open(1, UPSTREAM, "--heartbeat", "10s", NULL);
    call("", CALL(1));
    answer_stream(server, "");
    say_chunk(server, "data: 1\n\n");
    advance(10100);
    cr_assert_eq(counter(STAT_heartbeats), 1);
    say_chunk(server, "data: be");
    advance(30000);
    cr_assert_eq(counter(STAT_heartbeats), 1, "none inside an event");
    say_chunk(server, "gun\n\n");
    advance(20100);
    cr_assert_eq(counter(STAT_heartbeats), 3);
    say(server, "0\r\n\r\n");
    m = reply_of(client);
    cr_assert_str_eq(m->body, "data: 1\n\n:\n\ndata: begun\n\n:\n\n:\n\n");
    world_close();
}

Test(stream, puts_no_heartbeat_into_a_reply_with_an_encoding_or_a_length)
{
    world_open(1, UPSTREAM, "--heartbeat", "1s", "--reply-idle", "1h", NULL);
    call("", CALL(1));
    answer_stream(server, "Content-Encoding: gzip\r\n");
    say_chunk(server, "data: 1\n\n");
    advance(5000);
    cr_assert_eq(counter(STAT_heartbeats), 0);
    say(server, "0\r\n\r\n");
    cr_assert_str_eq(reply_of(client)->body, "data: 1\n\n");
    post(client, "", CALL(2));
    request_of(server);
    say(server,
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 18\r\n\r\ndata: 1\n\n");
    advance(5000);
    cr_assert_eq(counter(STAT_heartbeats), 0);
    say(server, "data: 2\n\n");
    cr_assert_str_eq(reply_of(client)->body, "data: 1\n\ndata: 2\n\n");
    world_close();
}

Test(stream, sends_no_heartbeat_to_a_client_that_is_not_reading)
{
    world_open(1, UPSTREAM, "--heartbeat", "1s", "--send-timeout", "1h", NULL);
    call("", CALL(1));
    sim_peer_set_window(client, 10);
    answer_stream(server, "");
    say_chunk(server, "data: 1\n\n");
    advance(60000);
    cr_assert_eq(counter(STAT_heartbeats), 0);
    world_close();
}

/* --- event ids --- */

static struct exchange *
the_exchange(void)
{
    struct list_node *node = list_first(&world.worker->exchanges);

    cr_assert_not_null(node);
    return container_of(node, struct exchange, node);
}

static const char events_with_ids[] = "data: 1\n\nid: a-7\ndata: 2\n\ndata: 3\n\nid: a-8\ndata: begun";

Test(stream, knows_the_id_of_its_last_whole_event_at_every_split)
{
    for (size_t split = 0; split < sizeof events_with_ids; split++) {
        size_t rest = sizeof events_with_ids - 1 - split;

        world_open(1, UPSTREAM, NULL);
        call("", CALL(1));
        answer_stream(server, "");
        if (split)
            say(server, "%zx\r\n%.*s\r\n", split, (int)split, events_with_ids);
        if (rest)
            say(server, "%zx\r\n%s\r\n", rest, events_with_ids + split);
        cr_assert(text_eq(exchange_last_event_id(the_exchange()), TEXT("a-7")), "split at %zu", split);
        say_chunk(server, "\n\n");
        cr_assert(text_eq(exchange_last_event_id(the_exchange()), TEXT("a-8")), "split at %zu", split);
        cr_assert_eq(the_exchange()->events, 4);
        sim_peer_reset(server);
        settle();
        cr_assert_eq(counter(STAT_streams_open), 0);
        cr_assert_eq(world.worker->event_id_pool.used, 0);
        world_close();
    }
}

Test(stream, keeps_no_memory_for_ids_while_it_has_none)
{
    world_open(1, UPSTREAM, NULL);
    call("", CALL(1));
    answer_stream(server, "");
    say_chunk(server, "event: id\ndata: id: 1\n\n:id: 2\n\n");
    cr_assert_eq(exchange_last_event_id(the_exchange()).len, 0);
    cr_assert_eq(world.worker->event_id_pool.used, 0);
    say_chunk(server, "id: 1\n\n");
    cr_assert_eq(world.worker->event_id_pool.used, 1);
    say(server, "0\r\n\r\n");
    cr_assert_eq(world.worker->event_id_pool.used, 0);
    reply_of(client);
    world_close();
}

static char logged[LOG_LINE_MAX + 1], accessed[LOG_LINE_MAX + 1];

static void
keep_line(const struct log_record *record)
{
    char *to = record->level == LOG_ACCESS ? accessed : logged;

    memcpy(to, record->text, record->len);
    to[record->len] = '\0';
}

Test(stream, says_in_the_log_where_it_broke)
{
    world_open(1, UPSTREAM, "--access-log", "on", NULL);
    log_open_sink(keep_line);
    log_set_level(LOG_INFO);
    call("", CALL(1));
    answer_stream(server, "");
    say_chunk(server, "id: \"7 8\ndata: 1\n\n");
    sim_peer_reset(server);
    settle();
    cr_assert_not_null(strstr(accessed, " events=1 last_id=_7_8 "), "%s", accessed);
    cr_assert_not_null(
        strstr(logged, "upstream up: a stream ended too early after event id _7_8 (1 events): "), "%s",
        logged);
    call("", CALL(2));
    answer(server, "", RESULT(2));
    reply_of(client);
    cr_assert_not_null(strstr(accessed, " events=0 last_id=- "), "%s", accessed);
    world_close();
}

/* --- --early-stream --- */

Test(stream, commits_a_stream_early_and_turns_a_json_reply_into_its_one_event)
{
    struct message *m;

    world_open(1, UPSTREAM, "--early-stream", "2s", "--heartbeat", "1s", NULL);
    call("", CALL(1));
    advance(1900);
    cr_assert_eq(sim_peer_received(client), 0);
    advance(200);
    cr_assert(has(client, "HTTP/1.1 200 OK\r\n"));
    cr_assert(has(client, "Content-Type: text/event-stream\r\n"));
    advance(1100);
    cr_assert_geq(counter(STAT_heartbeats), 1);
    say(server, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 19\r\n\r\n{\"a\":\n");
    advance(5000);
    say(server, "1,\n\"b\":\"23\"}\n");
    m = reply_of(client);
    char *event = strstr(m->body, "event: message\n");
    cr_assert_not_null(event);
    cr_assert_str_eq(event, "event: message\ndata: {\"a\":\ndata: 1,\ndata: \"b\":\"23\"}\ndata: \n\n");
    cr_assert_null(strstr(event, "\n:\n"), "no heartbeat inside the event");
    world_close();
}

Test(stream, beats_no_longer_than_its_upstream_may_take_to_answer)
{
    world_open(1, UPSTREAM, "--early-stream", "500ms", "--heartbeat", "1s", "--first-byte-timeout", "5s",
               NULL);
    call("", CALL(1));
    advance(4900);
    cr_assert_geq(counter(STAT_heartbeats), 4);
    advance(200);
    cr_assert(strstr(reply_of(client)->body, "\"id\":1,\"error\""));
    cr_assert_eq(closed_by(CLOSE_FIRST_BYTE_TIMEOUT), 1);
    world_close();
}

Test(stream, beats_no_longer_than_a_request_may_stand_still)
{
    world_open(1, UPSTREAM, "--early-stream", "500ms", "--heartbeat", "1s", "--body-timeout", "5s", NULL);
    client = client_new();
    say(client, "POST /mcp/up HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n" MCP_ACCEPT
                "Content-Length: 100\r\n\r\n{\"jsonrpc\":");
    advance(4900);
    cr_assert_geq(counter(STAT_heartbeats), 4);
    advance(200);
    cr_assert_eq(closed_by(CLOSE_BODY_TIMEOUT), 1);
    world_close();
}

Test(stream, turns_an_error_into_the_event_of_an_early_stream)
{
    struct message *m;

    world_open(1, UPSTREAM, "--early-stream", "1s", "--heartbeat", "0", NULL);
    call("", CALL(7));
    advance(1100);
    cr_assert(has(client, "text/event-stream"));
    sim_peer_reset(server);
    settle();
    m = reply_of(client);
    cr_assert_eq(strncmp(m->body, "event: message\ndata: {\"jsonrpc\":\"2.0\",\"id\":7,\"error\":", 53), 0,
                 "%s", m->body);
    cr_assert(strcmp(m->body + m->body_len - 2, "\n\n") == 0);
    cr_assert_eq(counter(STAT_streams_open), 0);
    world_close();
}

Test(stream, turns_an_upstreams_error_page_into_the_error_event_of_an_early_stream)
{
    struct message *m;

    world_open(1, UPSTREAM, "--early-stream", "1s", "--heartbeat", "0", NULL);
    call("", CALL(7));
    advance(1100);
    say(server, "HTTP/1.1 500 Oops\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>");
    m = reply_of(client);
    cr_assert_not_null(strstr(m->body, "data: {\"jsonrpc\":\"2.0\",\"id\":7,\"error\""));
    cr_assert_null(strstr(m->body, "html"));
    world_close();
}

Test(stream, ends_an_early_stream_without_an_event_when_the_reply_is_empty)
{
    world_open(1, UPSTREAM, "--early-stream", "1s", "--heartbeat", "0", NULL);
    call("", "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}");
    advance(1100);
    say(server, "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n");
    cr_assert_null(strstr(reply_of(client)->body, "data"));
    cr_assert_eq(up_counter(UPSTAT_up_idle), 1);
    world_close();
}

Test(stream, goes_on_with_an_event_stream_after_an_early_stream)
{
    world_open(1, UPSTREAM, "--early-stream", "1s", "--heartbeat", "0", NULL);
    call("", CALL(7));
    advance(1100);
    answer_stream(server, "");
    say_chunk(server, "data: 1\n\n");
    say(server, "0\r\n\r\n");
    cr_assert_str_eq(reply_of(client)->body, "data: 1\n\n");
    cr_assert_eq(counter(STAT_events), 1);
    cr_assert_eq(counter(STAT_streams_opened), 1);
    world_close();
}

Test(stream, commits_no_stream_to_a_client_that_does_not_accept_one)
{
    world_open(1, UPSTREAM, "--early-stream", "1s", NULL);
    client = client_new();
    say(client, "POST /mcp HTTP/1.1\r\nHost: g\r\nAccept: application/json\r\nContent-Length: 2\r\n\r\n{}");
    server = server_next();
    advance(5000);
    cr_assert_eq(sim_peer_received(client), 0);
    answer(server, "", "{}");
    cr_assert_str_eq(reply_of(client)->body, "{}");
    world_close();
}

/* --- what breaks on the upstream's side --- */

Test(stream, ends_a_broken_stream_with_an_error_event_between_two_events)
{
    world_open(1, UPSTREAM, NULL);
    call("", CALL(9));
    answer_stream(server, "");
    say_chunk(server, "data: 1\n\n");
    sim_peer_reset(server);
    settle();
    cr_assert_not_null(strstr(reply_of(client)->body, "\"id\":9,\"error\""));
    cr_assert_eq(closed_by(CLOSE_UPSTREAM_GONE), 1);
    world_close();
}

Test(stream, aborts_a_reply_that_broke_inside_an_event_or_a_body)
{
    world_open(1, UPSTREAM, NULL);
    call("", CALL(9));
    answer_stream(server, "");
    say_chunk(server, "data: hal");
    sim_peer_reset(server);
    settle();
    cr_assert_not(has(client, "0\r\n\r\n"), "a torn reply must not look whole");
    cr_assert(sim_peer_ended(client) || sim_peer_was_reset(client));

    call("", CALL(9));
    say(server, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
    sim_peer_half_close(server);
    settle();
    cr_assert(sim_peer_ended(client) || sim_peer_was_reset(client));
    cr_assert_eq(closed_by(CLOSE_UPSTREAM_GONE), 2);
    world_close();
}

/* A stream of events on a plain route has begun. */
static void
open_plain_stream(void)
{
    client = client_new();
    get(client, "/plain/events", "");
    server = server_next();
    request_of(server);
    answer_stream(server, "");
    sim_peer_discard(client);
}

Test(stream, passes_the_events_that_came_with_what_broke_it)
{
    static const char *const ends[] = {"data: 3", "data: 3\n\n"};

    for (unsigned i = 0; i < 4; i++) {
        world_open(1, "--route", "/plain=http://10.0.0.2:80", NULL);
        open_plain_stream();
        if (i < 2) /* a chunk of no size, */
            say(server, "9\r\ndata: 1\n\n\r\n9\r\ndata: 2\n\n\r\n%zx\r\n%s\r\nno size", strlen(ends[i]),
                ends[i]);
        else { /* or the end in the same turn */
            static char run[256];
            int n = snprintf(run, sizeof run, "9\r\ndata: 1\n\n\r\n9\r\ndata: 2\n\n\r\n%zx\r\n%s\r\n",
                             strlen(ends[i - 2]), ends[i - 2]);

            sim_peer_send(server, run, (size_t)n);
            sim_peer_half_close(server);
            settle();
        }
        cr_assert(has(client, "data: 1\n\n") && has(client, "data: 2\n\n") && has(client, "data: 3"), "%u",
                  i);
        cr_assert_not(has(client, "0\r\n\r\n"), "a torn reply must not look whole");
        cr_assert(sim_peer_ended(client));
        cr_assert_eq(counter(STAT_events), 2 + i % 2);
        cr_assert_eq(closed_by(i < 2 ? CLOSE_BAD_REPLY : CLOSE_UPSTREAM_GONE), 1);
        world_close();
    }
}

Test(stream, brings_a_slow_client_what_came_before_it_broke)
{
    static char event[9001];
    static char got[1 << 16];
    size_t n = 0, more;

    memset(event, 'x', sizeof event - 1);
    memcpy(event + sizeof event - 3, "\n\n", 2);
    world_open(1, "--route", "/plain=http://10.0.0.2:80", NULL);
    open_plain_stream();
    sim_peer_set_window(client, 1000);
    for (unsigned i = 0; i < 3; i++)
        say_chunk(server, event);
    sim_peer_reset(server);
    settle();
    cr_assert_not(sim_peer_ended(client));
    for (unsigned turn = 0; turn < 100 && !sim_peer_ended(client); turn++) {
        while ((more = sim_peer_read(client, got + n, sizeof got - n))) {
            n += more;
            settle();
        }
        advance(1);
    }
    cr_assert(sim_peer_ended(client));
    cr_assert_geq(n, 3 * (sizeof event - 1), "%zu", n);
    world_close();
}

Test(stream, resets_a_client_of_http_1_0_whose_reply_broke)
{
    world_open(1, UPSTREAM, NULL);
    client = client_new();
    say(client, "GET /mcp HTTP/1.0\r\nHost: g\r\n\r\n");
    server = server_next();
    say(server, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab");
    sim_peer_reset(server);
    settle();
    cr_assert(sim_peer_was_reset(client), "its end of file would look like the reply's end");
    world_close();
}

Test(stream, answers_502_to_a_reply_that_is_no_http)
{
    struct message *m;

    world_open(1, UPSTREAM, NULL);
    call("", CALL(3));
    say(server, "SSH-2.0-OpenSSH\r\n\r\n");
    m = reply_of(client);
    cr_assert_eq(m->status, 502);
    cr_assert_not_null(strstr(m->body, "\"id\":3,\"error\""));
    cr_assert_eq(closed_by(CLOSE_BAD_REPLY), 1);
    world_close();
}

Test(stream, drops_an_upstream_that_sends_more_than_its_reply)
{
    world_open(1, UPSTREAM, NULL);
    call("", CALL(1));
    say(server,
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
    cr_assert_str_eq(reply_of(client)->body, "{}");
    post(client, "", CALL(2));
    cr_assert_eq(try_reply(client), NULL, "the second reply belongs to nobody");
    server = server_next();
    cr_assert_str_eq(request_of(server)->body, CALL(2));
    answer(server, "", RESULT(2));
    cr_assert_str_eq(reply_of(client)->body, RESULT(2));
    world_close();
}

/* --- tunnels --- */

#define UPGRADE "Connection: Upgrade\r\nUpgrade: echo/1\r\n"

static void
open_tunnel(const char *early)
{
    client = client_new();
    say(client, "GET /ws HTTP/1.1\r\nHost: g\r\n" UPGRADE "\r\n%s", early);
    server = server_next();
    cr_assert_str_eq(field(request_of(server), "Upgrade"), "echo/1");
    say(server, "HTTP/1.1 101 Switching Protocols\r\n" UPGRADE "\r\nhello");
    cr_assert(has(client, "HTTP/1.1 101 "));
    cr_assert(has(client, "hello"));
    cr_assert_eq(counter(STAT_tunnels_open), 1);
    sim_peer_discard(client);
}

Test(tunnel, passes_a_tunnel_both_ways_and_bytes_that_came_early)
{
    world_open(1, "--route", "/ws=http://10.0.0.2:80/ws", NULL);
    open_tunnel("early ");
    say(client, "bytes");
    cr_assert_str_eq(sim_peer_peek(server, NULL), "early bytes");
    say(server, "back");
    cr_assert_str_eq(sim_peer_peek(client, NULL), "back");
    sim_peer_half_close(server);
    settle();
    cr_assert(sim_peer_ended(client));
    cr_assert_eq(counter(STAT_tunnels_open), 1, "the other direction goes on");
    say(client, " and more");
    cr_assert_str_eq(sim_peer_peek(server, NULL), "early bytes and more");
    sim_peer_half_close(client);
    settle();
    cr_assert_eq(counter(STAT_tunnels_open), 0);
    cr_assert_eq(closed_by(CLOSE_DONE), 1);
    world_close();
}

Test(tunnel, passes_the_last_bytes_and_the_end_of_its_client)
{
    world_open(1, "--route", "/ws=http://10.0.0.2:80/ws", NULL);
    open_tunnel("");
    say(client, "last");
    sim_peer_half_close(client);
    settle();
    cr_assert_str_eq(sim_peer_peek(server, NULL), "last");
    cr_assert(sim_peer_ended(server));
    say(server, "words");
    cr_assert_str_eq(sim_peer_peek(client, NULL), "words");
    sim_peer_half_close(server);
    settle();
    cr_assert(sim_peer_ended(client));
    cr_assert_eq(counter(STAT_tunnels_open), 0);
    world_close();
}

Test(tunnel, holds_back_a_tunnel_whose_other_end_is_slow)
{
    static char text[300000], got[sizeof text];
    size_t sent = 0, n = 0;

    memset(text, 'x', sizeof text);
    world_open(1, "--route", "/ws=http://10.0.0.2:80/ws", "--send-timeout", "1h", NULL);
    open_tunnel("");
    sim_peer_set_window(server, 1000);
    while (n < sizeof text) {
        sent += sim_peer_send(client, text + sent, sizeof text - sent);
        settle();
        n += sim_peer_read(server, got, sizeof got);
    }
    cr_assert_eq(n, sizeof text);
    cr_assert_gt(counter(STAT_pauses), 0);
    world_close();
}

Test(tunnel, refuses_an_upgrade_that_nobody_asked_for)
{
    world_open(1, UPSTREAM, NULL);
    call("", CALL(1));
    say(server, "HTTP/1.1 101 Switching Protocols\r\n" UPGRADE "\r\n");
    cr_assert_eq(reply_of(client)->status, 502);
    cr_assert_eq(closed_by(CLOSE_UPGRADE_REFUSED), 1);
    world_close();
}

Test(tunnel, refuses_an_upgrade_of_a_route_that_the_client_did_not_ask_for)
{
    world_open(1, "--route", "/ws=http://10.0.0.2:80/ws", NULL);
    client = client_new();
    get(client, "/ws", "");
    server = server_next();
    say(server, "HTTP/1.1 101 Switching Protocols\r\n" UPGRADE "\r\n");
    cr_assert_eq(reply_of(client)->status, 502);
    world_close();
}

/* --- acknowledgements --- */

static void
stream_events(unsigned count, unsigned at_once, unsigned load)
{
    for (unsigned i = 0; i < count; i++) {
        world.worker->load.at_ns = ring_now(world.worker->ring); /* it does not look itself */
        world.worker->load.percent = load;
        say_chunk(server, "data: 1\n\n");
        if (i % at_once == 0)
            advance(1);
    }
}

static void
open_stream(const char *window)
{
    world_open(1, UPSTREAM, "--batch-window", window, NULL);
    call("", CALL(1));
    answer_stream(server, "");
}

Test(stream, that_is_fast_is_not_acknowledged_event_by_event_by_a_busy_worker)
{
    open_stream("0");
    stream_events(255, 2, 100);
    cr_assert_eq(sim_ack_delays(world.sim), 0, "it may be a short one");
    stream_events(1, 2, 100);
    cr_assert_eq(sim_ack_delays(world.sim), 1);
    stream_events(255, 2, 100);
    cr_assert_eq(sim_ack_delays(world.sim), 1);
    stream_events(1, 2, 100);
    cr_assert_eq(sim_ack_delays(world.sim), 2);
    stream_events(1000, 2, 100);
    cr_assert_eq(sim_ack_delays(world.sim), 3);
    world_close();
}

Test(stream, that_may_rest_at_its_source_is_acknowledged_whenever_it_is_received)
{
    open_stream("5ms");
    stream_events(600, 2, 100);
    cr_assert_eq(sim_ack_delays(world.sim), 0);
    world_close();
}

Test(stream, that_is_slow_or_of_an_idle_worker_is_acknowledged_event_by_event)
{
    open_stream("0");
    stream_events(300, 2, 50);
    stream_events(1, 2, 100);
    advance(300);
    stream_events(600, 1, 100);
    cr_assert_eq(sim_ack_delays(world.sim), 0);
    world_close();
}

/* --- batching --- */

#define BATCHED "--route", "/r=http://10.0.0.2:80/r", "--batch-window", "5ms"

/* Until the worker looks at its load again. */
static void
be_busy(void)
{
    world.worker->load.at_ns = ring_now(world.worker->ring);
    batch_set_load(&world.worker->net, 100);
}

static void
call_busy(const char *body)
{
    call("", body);
    answer_stream(server, "");
    be_busy();
}

/* An event a millisecond, each of which leaves at once. */
static void
stream_on(void)
{
    for (unsigned i = 0; i < 3; i++) {
        advance(1);
        sim_peer_discard(client);
        say_chunk(server, "data: at once\n\n");
        cr_assert(has(client, "data: at once"), "event %u", i);
    }
    sim_peer_discard(client);
}

Test(stream, of_a_busy_worker_rests_at_its_source)
{
    world_open(1, UPSTREAM, BATCHED, NULL);
    call_busy(CALL(1));
    stream_on();
    say_chunk(server, "data: later\n\n");
    say_chunk(server, "data: with it\n\n");
    cr_assert_not(has(client, "data"));
    advance(5);
    cr_assert(has(client, "data: later"));
    cr_assert(has(client, "data: with it"));
    cr_assert_eq(world.worker->net.stats.batches, 1);
    cr_assert_eq(world.worker->net.stats.batched, 1);
    sim_peer_discard(client);
    advance(100);
    be_busy();
    say_chunk(server, "data: alone\n\n");
    cr_assert(has(client, "data: alone"));
    world_close();
}

Test(stream, that_ends_as_its_source_would_rest_leaves_the_connection_to_the_next_request)
{
    world_open(1, UPSTREAM, BATCHED, NULL);
    call_busy(CALL(1));
    stream_on();
    say(server, "b\r\ndata: end\n\n\r\nb\r\ndata: end\n\n\r\n0\r\n\r\n");
    cr_assert_not(has(client, "data: end"));
    advance(5);
    cr_assert(has(client, "\r\n0\r\n\r\n"));
    sim_peer_discard(client);
    be_busy();
    post(client, "", CALL(2));
    cr_assert_str_eq(request_of(server)->body, CALL(2));
    answer(server, "", RESULT(2));
    cr_assert_str_eq(reply_of(client)->body, RESULT(2), "at once");
    world_close();
}

Test(stream, of_what_is_critical_does_not_rest)
{
    world_open(1, UPSTREAM, BATCHED, NULL);
    call_busy("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"initialize\",\"params\":{\"protocolVersion\":"
              "\"2025-11-25\",\"capabilities\":{},\"clientInfo\":{\"name\":\"c\",\"version\":\"1\"}}}");
    stream_on();
    stream_on();
    world_close();
}

Test(stream, rests_only_on_the_transports_that_have_a_window)
{
    world_open(1, UPSTREAM, "--route", "/r=http://10.0.0.2:80/r", "--batch-window", "ws=5ms", NULL);
    call_busy(CALL(1));
    stream_on();
    stream_on();
    world_close();
}

Test(stream, may_lose_its_client_while_its_source_rests)
{
    world_open(1, UPSTREAM, BATCHED, NULL);
    client = client_new();
    get(client, "/r/stream", "");
    server = server_next();
    request_of(server);
    answer_stream(server, "");
    be_busy();
    stream_on();
    say_chunk(server, "data: later\n\n");
    sim_peer_close(client);
    settle();
    cr_assert_eq(counter(STAT_exchanges_open), 0);
    world_close();
}

Test(stream, whose_source_rests_does_not_go_on_for_a_client_that_does_not_read)
{
    enum { HIGH = 64 << 10, CHUNK = 1024, CHUNKS = 300 };
    static char text[CHUNKS * CHUNK + 1];
    size_t sent = 0;

    for (unsigned i = 0; i < CHUNKS; i++)
        snprintf(text + i * CHUNK, CHUNK + 1, "3f9\r\ndata: %01009d\n\n\r\n", (int)i);
    world_open(1, UPSTREAM, BATCHED, "--high-mark", "64k", "--low-mark", "16k", "--batch-bytes", "1m", NULL);
    call_busy(CALL(1));
    stream_on();
    sim_peer_set_window(client, 100);
    for (unsigned i = 0; i < CHUNKS; i++) {
        sent += sim_peer_send(server, text + sent,
                              sizeof text - 1 - sent < CHUNK ? sizeof text - 1 - sent : CHUNK);
        be_busy();
        advance(1);
    }
    cr_assert_leq(world.queued_max, HIGH);
    cr_assert_gt(world.queued_max, CHUNK);
    sim_peer_set_window(client, sizeof text);
    while (sent < sizeof text - 1) {
        sent += sim_peer_send(server, text + sent, sizeof text - 1 - sent);
        advance(10);
    }
    advance(100);
    cr_assert_eq(world.worker->net.stats.queued_bytes, 0);
    sim_peer_discard(client);
    be_busy();
    say_chunk(server, "data: goes on\n\n");
    cr_assert(has(client, "data: goes on"));
    world_close();
}
