/* SPDX-License-Identifier: Apache-2.0 */
/* Streams of events that pass as they came, to clients that do not keep up (--backpressure); on a whole
 * worker in the simulator. SIM_SEEDS=n runs n seeds of what is random, SIM_SEED=n that one. */
#include "gate_world.h"

#include "gate/splice_behind.h"

#include <stdlib.h>

#define UPSTREAM "--upstream", "up=http://10.0.0.2:80/mcp"

static struct sim_peer *client, *server;
static char events[1 << 18]; /* what the upstream says */

static void
event(const char *method, const char *token, unsigned value)
{
    size_t n = strlen(events);

    snprintf(events + n, sizeof events - n,
             "event: message\ndata: "
             "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/%s\",\"params\":{\"progressToken\":%s,"
             "\"progress\":%u}}\n\n",
             method, token, value);
}

static void
response(void)
{
    strcat(events, "data: " RESULT(1) "\n\n");
}

/* A call's stream, or with `is_get` the client's standing one, has begun. */
static void
open_stream(bool is_get)
{
    client = client_new();
    if (is_get)
        get(client, "/mcp/up", MCP_ACCEPT);
    else
        post(client, MCP_ACCEPT, CALL(1));
    server = server_next();
    request_of(server);
    answer_stream(server, "");
}

/* Its client stops reading behind the first event. */
static void
fall_behind(const char *policy, bool is_get)
{
    world_open(1, UPSTREAM, "--backpressure", policy, NULL);
    open_stream(is_get);
    events[0] = '\0';
    sim_peer_set_window(client, 0);
    say_chunk(server, "data: first\n\n");
}

/* The same, and the upstream says `events` in one piece, or cut at `split`. */
static void
say_events(size_t split)
{
    static char piece[sizeof events];

    if (split) {
        memcpy(piece, events, split);
        piece[split] = '\0';
        say_chunk(server, piece);
    }
    say_chunk(server, events + split);
}

/* What the client has been sent by the end, behind the first event. */
static const char *
caught_up(void)
{
    const char *body, first[] = "data: first\n\n";

    sim_peer_set_window(client, 1 << 20);
    settle();
    cr_assert_eq(world.worker->held_bytes, 0);
    say(server, "0\r\n\r\n");
    body = reply_of(client)->body;
    cr_assert_eq(strncmp(body, first, sizeof first - 1), 0, "%s", body);
    return body + sizeof first - 1;
}

static bool
source_is_paused(void)
{
    return container_of(list_first(&world.worker->exchanges), struct exchange, node)->server_paused;
}

static unsigned
times(const char *text, const char *what)
{
    unsigned n = 0;

    while ((text = strstr(text, what)))
        n++, text++;
    return n;
}

Test(behind, by_default_all_waits_at_its_source)
{
    fall_behind("throttle", false);
    for (unsigned i = 1; i <= 9; i++)
        event("message", "1", i);
    response();
    say_events(0);
    cr_assert(source_is_paused());
    cr_assert_str_eq(caught_up(), events);
    cr_assert_eq(counter(STAT_notices_dropped) + counter(STAT_notices_merged), 0);
    world_close();
}

Test(behind, log_lines_are_left_out_with_drop_wherever_their_events_are_cut)
{
    size_t len = 1;

    for (size_t split = 0; split < len; split++) {
        fall_behind("drop", false);
        for (unsigned i = 1; i <= 3; i++)
            event("message", "1", i);
        response();
        len = strlen(events);
        say_events(split);
        cr_assert_str_eq(caught_up(), "data: " RESULT(1) "\n\n", "split at %zu", split);
        cr_assert_eq(counter(STAT_notices_dropped), 3);
        cr_assert_eq(traffic(TRSTAT_transport_messages_received, LINK_UPSTREAM, TRANSPORT_SSE), 5);
        cr_assert_eq(traffic(TRSTAT_transport_messages_sent, LINK_CLIENT, TRANSPORT_SSE), 2);
        world_close();
    }
}

Test(behind, the_source_is_read_on_while_nothing_comes_that_must_pass)
{
    fall_behind("drop", false);
    for (unsigned i = 0; i < 1000; i++) {
        events[0] = '\0';
        event("message", "1", i);
        say_events(0);
    }
    cr_assert_eq(counter(STAT_notices_dropped), 1000);
    cr_assert_not(source_is_paused());
    events[0] = '\0';
    event("progress", "1", 1);
    say_events(0);
    cr_assert(source_is_paused());
    cr_assert_str_eq(caught_up(), events);
    world_close();
}

Test(behind, the_latest_progress_is_said_before_the_response_with_combine)
{
    const char *said;

    fall_behind("combine", false);
    for (unsigned i = 1; i <= 9; i++)
        event("progress", "1", i);
    response();
    say_events(0);
    said = caught_up();
    cr_assert_eq(times(said, "notifications/progress"), 1, "%s", said);
    cr_assert_not_null(strstr(said, "\"progress\":9}}\n\ndata: " RESULT(1)), "%s", said);
    cr_assert_eq(counter(STAT_notices_merged), 8);
    cr_assert_eq(counter(STAT_notices_dropped), 0);
    cr_assert_eq(traffic(TRSTAT_transport_messages_sent, LINK_CLIENT, TRANSPORT_SSE), 3);
    world_close();
}

Test(behind, what_was_combined_is_said_when_the_client_reads_again)
{
    fall_behind("combine", false);
    event("progress", "1", 1);
    event("progress", "1", 2);
    say_events(0);
    sim_peer_set_window(client, 1 << 20);
    settle();
    cr_assert(has(client, "\"progress\":2}}"));
    cr_assert_not(has(client, "\"progress\":1}}"));
    events[0] = '\0';
    event("progress", "1", 3);
    say_events(0);
    cr_assert(has(client, "\"progress\":3}}"), "and from then on as it comes");
    cr_assert_eq(counter(STAT_notices_merged), 1);
    say(server, "0\r\n\r\n");
    reply_of(client);
    world_close();
}

Test(behind, progress_of_one_call_does_not_take_the_place_of_that_of_another)
{
    const char *said;

    fall_behind("combine", false);
    event("progress", "1", 1);
    event("progress", "\"1\"", 2);
    event("progress", "\"1\"", 3);
    say_events(0);
    said = caught_up();
    cr_assert_eq(times(said, "notifications/progress"), 2 + (strstr(said, "\"progress\":2}}") != NULL), "%s",
                 said);
    cr_assert_not_null(strstr(said, "\"progress\":1}}"), "%s", said);
    cr_assert_not_null(strstr(said, "\"progress\":3}}"), "%s", said);
    world_close();
}

Test(behind, a_standing_stream_has_the_latest_change_of_each_list_and_all_progress)
{
    const char *said;

    fall_behind("combine", true);
    for (unsigned i = 1; i <= 3; i++) {
        event("tools/list_changed", "1", i);
        event("prompts/list_changed", "1", 10 + i);
    }
    event("progress", "1", 21);
    event("progress", "1", 22);
    say_events(0);
    said = caught_up();
    cr_assert_eq(times(said, "tools/list_changed"), 1, "%s", said);
    cr_assert_eq(times(said, "prompts/list_changed"), 1, "%s", said);
    cr_assert_eq(times(said, "notifications/progress"), 2, "%s", said);
    cr_assert_eq(counter(STAT_notices_merged), 4);
    world_close();
}

/* Everything that is no plain log line, with what a plain one would be at the end of it. */
#define LOG_LINE(more)                                                                                       \
    "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":{\"data\":\"x\"" more "}}\n\n"

static const char *const to_pass[] = {
    "retry: 5\ndata: " LOG_LINE(""),
    "event: other\ndata: " LOG_LINE(""),
    "id: 7\n\n",
    "data:\ndata: " LOG_LINE("") "data: x\n\n",
    "data: {\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"notifications/message\",\"params\":{}}\n\n",
    "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"method\":\"x\"}\n\n",
    "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{}}\n\n",
    "data: not JSON\n\n",
    ": only a comment\n\ndata: \n\n",
};

Test(behind, whatever_is_no_plain_notice_passes)
{
    for (size_t i = 0; i < sizeof to_pass / sizeof *to_pass; i++) {
        bool is_last_of_two = i == 3; /* data of two lines whose first is empty is JSON all the same */

        fall_behind("drop", false);
        strcpy(events, to_pass[i]);
        say_events(0);
        if (is_last_of_two)
            cr_assert_str_eq(caught_up(), "data: x\n\n");
        else
            cr_assert_str_eq(caught_up(), to_pass[i]);
        world_close();
    }
}

Test(behind, an_event_too_long_to_be_held_passes_and_stops_its_source)
{
    size_t n;

    fall_behind("drop", false);
    strcpy(events, "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":{\"data\":\"");
    n = strlen(events);
    memset(events + n, 'x', BEHIND_EVENT_BYTES);
    strcpy(events + n + BEHIND_EVENT_BYTES, "\"}}\n\n");
    say_events(100);
    cr_assert(source_is_paused());
    cr_assert_str_eq(caught_up(), events);
    cr_assert_eq(counter(STAT_notices_dropped), 0);
    world_close();
}

Test(behind, an_event_that_had_begun_to_pass_is_passed_to_its_end)
{
    world_open(1, UPSTREAM, "--backpressure", "drop", NULL);
    open_stream(false);
    sim_peer_set_window(client, 0);
    events[0] = '\0';
    event("message", "1", 1);
    event("message", "1", 2);
    say_events(30);
    cr_assert_not(source_is_paused());
    sim_peer_set_window(client, 1 << 20);
    settle();
    say(server, "0\r\n\r\n");
    *strstr(strstr(events, "\n\n") + 2, "event") = '\0';
    cr_assert_str_eq(reply_of(client)->body, events);
    cr_assert_eq(counter(STAT_notices_dropped), 1);
    world_close();
}

Test(behind, of_a_stream_that_breaks_what_is_kept_is_said_and_then_why)
{
    struct message *m;

    fall_behind("combine", false);
    event("progress", "1", 1);
    event("progress", "1", 2);
    strcat(events, "data: {\"begun");
    say_events(0);
    sim_peer_reset(server);
    sim_peer_set_window(client, 1 << 20);
    settle();
    m = reply_of(client);
    cr_assert_not_null(
        strstr(m->body, "\"progress\":2}}\n\nevent: message\ndata: {\"jsonrpc\":\"2.0\",\"id\":1,\"error\":"),
        "%s", m->body);
    cr_assert_null(strstr(m->body, "begun"), "%s", m->body);
    world_close();
}

Test(behind, nothing_is_kept_for_a_client_that_has_left)
{
    fall_behind("combine", false);
    event("progress", "1", 1);
    strcat(events, "data: {\"begun");
    say_events(0);
    sim_peer_reset(client);
    settle();
    cr_assert_eq(world.worker->held_bytes, 0);
    say_chunk(server, "\":1}\n\ndata: " RESULT(1) "\n\n");
    say(server, "0\r\n\r\n");
    cr_assert_eq(counter(STAT_exchanges_open), 0);
    world_close();
}

/* --- at random --- */

enum { ROUNDS = 60, PIECE_MAX = 255, LOG_LINES = 0, PROGRESS, CHANGES, CANCELS, KINDS };

static const char *const methods[KINDS] = {"message", "progress", "tools/list_changed", "cancelled"};
static unsigned number;                        /* of the last event that was said */
static unsigned said[KINDS], said_last[KINDS]; /* how many, and the number of the last */

static size_t
smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Some events, in pieces that are cut anywhere. The number of each is its progress. */
static void
say_some(void)
{
    char piece[PIECE_MAX + 1];

    events[0] = '\0';
    for (uint64_t i = sim_random(world.sim, 6); i > 0; i--) {
        unsigned kind = (unsigned)sim_random(world.sim, KINDS);

        event(methods[kind], "1", ++number);
        said[kind]++;
        said_last[kind] = number;
    }
    for (size_t at = 0, n; events[at]; at += n) {
        n = smaller(1 + sim_random(world.sim, PIECE_MAX), strlen(events + at));
        memcpy(piece, events + at, n);
        piece[n] = '\0';
        say_chunk(server, piece);
    }
}

/* Takes an event off; returns its kind, and its number. */
static unsigned
next_event(const char **at, unsigned *ret_number)
{
    static const char head[] = "event: message\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/";
    const char *value = strstr(*at, "\"progress\":"), *end = strstr(*at, "}}\n\n");
    unsigned kind = 0;

    cr_assert(strncmp(*at, head, sizeof head - 1) == 0 && value && end && value < end, "%.300s", *at);
    while (kind < KINDS && strncmp(*at + sizeof head - 1, methods[kind], strlen(methods[kind])))
        kind++;
    cr_assert(kind < KINDS && sscanf(value, "\"progress\":%u", ret_number) == 1, "%.300s", *at);
    *at = end + strlen("}}\n\n");
    return kind;
}

/* All is there but what may be left out, or has given way to a later one of its kind; nothing that is put off
 * is overtaken by what must pass. */
static void
check_heard(const char *body, bool drops)
{
    unsigned heard[KINDS] = {0}, last[KINDS] = {0}, passed = 0, newest = 0, n;

    while (*body) {
        unsigned kind = next_event(&body, &n);
        bool must_pass = drops || kind == LOG_LINES || kind == CANCELS;

        cr_assert_gt(n, last[kind]);
        cr_assert_gt(n, must_pass ? newest : passed);
        heard[kind]++;
        last[kind] = n;
        newest = n > newest ? n : newest;
        passed = must_pass ? n : passed;
    }
    for (unsigned kind = 0; kind < KINDS; kind++) {
        bool may_miss = drops ? kind == LOG_LINES : kind == PROGRESS || kind == CHANGES;

        cr_assert(may_miss || heard[kind] == said[kind], "%u of %u of kind %u", heard[kind], said[kind],
                  kind);
        cr_assert(drops || last[kind] == said_last[kind], "the last of kind %u is %u", kind, last[kind]);
    }
    cr_assert_eq(counter(drops ? STAT_notices_dropped : STAT_notices_merged),
                 number - heard[LOG_LINES] - heard[PROGRESS] - heard[CHANGES] - heard[CANCELS]);
    cr_assert_eq(counter(drops ? STAT_notices_merged : STAT_notices_dropped), 0);
}

static uint64_t left_out;

static void
run(uint64_t seed)
{
    bool drops = seed % 2;

    world_open(seed, UPSTREAM, "--backpressure", drops ? "drop" : "combine", "--high-mark", "4k",
               "--low-mark", "1k", NULL);
    sim_faults_random(world.sim);
    number = 0;
    memset(said, 0, sizeof said);
    memset(said_last, 0, sizeof said_last);
    open_stream(false);
    say_chunk(server, "data: first\n\n");
    for (unsigned i = 0; i < ROUNDS; i++) {
        sim_peer_set_window(client, sim_random(world.sim, 2) * sim_random(world.sim, 30000));
        say_some();
    }
    check_heard(caught_up(), drops);
    left_out += counter(STAT_notices_dropped) + counter(STAT_notices_merged);
    world_close();
}

Test(behind, nobody_misses_but_what_may_be_left_out_however_it_comes_and_is_read, .timeout = 3000)
{
    const char *count = getenv("SIM_SEEDS");

    sim_for_seeds(1, count ? (unsigned)strtoul(count, NULL, 10) : 200, run);
    cr_assert(left_out > 0 || getenv("SIM_SEED"));
}
