/* SPDX-License-Identifier: Apache-2.0 */
/* Clients that lose their connection in the middle of a stream and come back for the rest, on a whole worker
 * in the simulator: what they get is the rest of that stream, once, and nothing of another. */
#include "gate_world.h"

#include "journal/journal.h"

#include <stdlib.h>

#define UPSTREAM "--upstream", "up=http://10.0.0.2:80/mcp", "--era-ttl", "5m"

#define DISCOVERED                                                                                           \
    "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"resultType\":\"complete\",\"supportedVersions\":"           \
    "[\"2026-07-28\"],\"capabilities\":{\"tools\":{\"listChanged\":true}},\"ttlMs\":0,\"cacheScope\":"       \
    "\"public\"}}"
#define PROGRESS_CALL(id)                                                                                    \
    "{\"jsonrpc\":\"2.0\",\"id\":" #id ",\"method\":\"tools/call\",\"params\":{\"name\":\"echo\","           \
    "\"_meta\":{\"progressToken\":\"t" #id "\"}}}"

static struct sim_peer *client, *server;
static char session[1024];
static bool is_known; /* what the upstream speaks */
static const char *capabilities = "{}";

/* The next request that reached the upstream, whichever connection it came on. */
static struct message *
next_request(void)
{
    struct sim_peer *fresh = server_next();

    if (fresh)
        server = fresh;
    return request_of(server);
}

/* A session of a client of an older revision, in front of an upstream of 2026-07-28. */
static void
open_session(const char *revision)
{
    struct message *m;
    char body[300];

    snprintf(body, sizeof body,
             "{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"initialize\",\"params\":{\"protocolVersion\":\"%s\","
             "\"capabilities\":%s,\"clientInfo\":{\"name\":\"c\",\"version\":\"1\"}}}",
             revision, capabilities);
    client = client_new();
    post(client, MCP_ACCEPT, body);
    if (!is_known) {
        next_request();
        answer(server, "", DISCOVERED);
        cr_assert(strstr(next_request()->body, "\"initialize\""));
        say(server, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
    }
    is_known = true;
    m = reply_of(client);
    cr_assert_eq(m->status, 200);
    snprintf(session, sizeof session, MCP_ACCEPT "Mcp-Session-Id: %s\r\n", field(m, "Mcp-Session-Id"));
}

/* The request that has reached the upstream gets a stream. Returns its number. */
static unsigned long long
answer_with_stream(struct sim_peer *at)
{
    struct message *m = request_of(at);
    const char *id = strstr(m->body, "\"id\":");
    unsigned long long n = 0;

    cr_assert(id && sscanf(id + 5, "%llu", &n) == 1, "%s", m->body);
    answer_stream(at, "");
    return n;
}

/* A call whose reply is a stream. Returns its number at the upstream; `server` is its connection. */
static unsigned long long
begin_call(const char *body)
{
    struct sim_peer *fresh;

    client = client_new();
    post(client, session, body);
    fresh = server_next();
    if (fresh)
        server = fresh;
    return answer_with_stream(server);
}

static void
say_progress(struct sim_peer *to, unsigned long long number, unsigned progress)
{
    char event[256];

    snprintf(event, sizeof event,
             "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":"
             "{\"progressToken\":%llu,\"progress\":%u}}\n\n",
             number, progress);
    say_chunk(to, event);
}

static void
say_result(struct sim_peer *to, unsigned long long number)
{
    char event[256];

    snprintf(event, sizeof event,
             "data: {\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":{\"resultType\":\"complete\",\"content\":[]}}"
             "\n\n",
             number);
    say_chunk(to, event);
    say(to, "0\r\n\r\n");
}

/* What has arrived at a client, taken off. */
static const char *
received(struct sim_peer *peer)
{
    static char text[64 << 10];

    text[sim_peer_read(peer, text, sizeof text - 1)] = '\0';
    return text;
}

/* The id of the last event in the text. */
static void
last_id(const char *text, char id[JOURNAL_ID_SIZE])
{
    const char *found = NULL;

    for (const char *at = text; (at = strstr(at, "id: ")); at += 4)
        if (at == text || at[-1] == '\n')
            found = at + 4;
    cr_assert(found, "no event has an id: %s", text);
    snprintf(id, JOURNAL_ID_SIZE, "%.*s", (int)strcspn(found, "\n"), found);
}

static unsigned
count(const char *text, const char *what)
{
    unsigned n = 0;

    for (const char *at = text; (at = strstr(at, what)); at++)
        n++;
    return n;
}

/* The client leaves, and comes back on another connection with the last id that it has seen. */
static void
come_back(const char *id)
{
    char fields[2048];

    snprintf(fields, sizeof fields, "%sLast-Event-ID: %s\r\n", session, id);
    client = client_new();
    get(client, "/mcp/up", fields);
}

static void
leave(void)
{
    sim_peer_close(client);
    settle();
}

static void
die(void)
{
    sim_connect_to(world.sim, world.listener, NULL); /* something to do, in which it dies */
    world_kill();
    world_mortal(false);
}

TestSuite(resuming, .timeout = 60);

Test(resuming, a_client_that_comes_back_gets_the_rest_of_its_stream_once)
{
    char id[JOURNAL_ID_SIZE];
    struct message *m;
    unsigned long long n;

    world_open(1, UPSTREAM, NULL);
    open_session("2025-06-18");
    n = begin_call(PROGRESS_CALL(7));
    say_progress(server, n, 1);
    last_id(received(client), id);
    leave();
    say_progress(server, n, 2);
    say_progress(server, n, 3);
    come_back(id);
    cr_assert(has(client, "200 OK"));
    cr_assert(has(client, "\"progress\":3"));
    say_progress(server, n, 4);
    cr_assert(has(client, "\"progress\":4"));
    say_result(server, n);
    m = reply_of(client);
    cr_assert_eq(count(m->body, "data: "), 4, "%s", m->body);
    for (unsigned i = 2; i <= 4; i++) {
        char progress[32];

        snprintf(progress, sizeof progress, "\"progress\":%u", i);
        cr_assert_eq(count(m->body, progress), 1, "%s", m->body);
    }
    cr_assert_eq(count(m->body, "\"progressToken\":\"t7\""), 3, "%s", m->body);
    cr_assert_eq(count(m->body, "\"id\":7,"), 1, "%s", m->body);
    cr_assert_eq(count(m->body, "id: "), 4, "each has an id: %s", m->body);
    cr_assert_eq(counter(STAT_events_replayed), 2);
    cr_assert_eq(counter(STAT_streams_resumed), 1);
    world_close();
}

Test(resuming, a_client_that_comes_back_late_gets_the_response_and_the_end)
{
    char id[JOURNAL_ID_SIZE];
    struct message *m;
    unsigned long long n;

    world_open(1, UPSTREAM, NULL);
    open_session("2025-06-18");
    n = begin_call(PROGRESS_CALL(7));
    say_progress(server, n, 1);
    last_id(received(client), id);
    leave();
    say_result(server, n);
    cr_assert_eq(counter(STAT_exchanges_open), 0);
    for (unsigned i = 0; i < 2; i++) { /* as often as it wants */
        come_back(id);
        m = reply_of(client);
        cr_assert_eq(m->status, 200);
        cr_assert_eq(count(m->body, "data: "), 1, "%s", m->body);
        cr_assert_eq(count(m->body, "\"id\":7,"), 1, "%s", m->body);
    }
    world_close();
}

Test(resuming, two_streams_of_a_session_do_not_mix)
{
    char first_id[JOURNAL_ID_SIZE], second_id[JOURNAL_ID_SIZE];
    struct sim_peer *first_server;
    struct message *m;
    unsigned long long first, second;

    world_open(1, UPSTREAM, NULL);
    open_session("2025-06-18");
    first = begin_call(PROGRESS_CALL(1));
    first_server = server;
    say_progress(server, first, 1);
    last_id(received(client), first_id);
    leave();
    second = begin_call(PROGRESS_CALL(2));
    say_progress(server, second, 10);
    last_id(received(client), second_id);
    leave();
    say_progress(first_server, first, 2);
    say_progress(server, second, 20);
    say_result(server, second);
    say_result(first_server, first);
    come_back(first_id);
    m = reply_of(client);
    cr_assert_eq(count(m->body, "data: "), 2, "%s", m->body);
    cr_assert(strstr(m->body, "\"progress\":2}") && strstr(m->body, "\"id\":1,"), "%s", m->body);
    come_back(second_id);
    m = reply_of(client);
    cr_assert_eq(count(m->body, "data: "), 2, "%s", m->body);
    cr_assert(strstr(m->body, "\"progress\":20}") && strstr(m->body, "\"id\":2,"), "%s", m->body);
    world_close();
}

Test(resuming, another_sessions_events_and_unknown_ones_are_refused)
{
    static const char *const bad[] = {"0.0.0", "x", "0.7fffffffffffffff.0", "1ff.1000.0", "0.1.2", "0.8.0 0"};
    char id[JOURNAL_ID_SIZE];
    struct message *m;
    unsigned long long n;

    world_open(1, UPSTREAM, NULL);
    open_session("2025-06-18");
    n = begin_call(PROGRESS_CALL(7));
    say_progress(server, n, 1);
    last_id(received(client), id);
    say_result(server, n);
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
        come_back(bad[i]);
        m = reply_of(client);
        cr_assert_eq(m->status, 400, "%s", bad[i]);
        cr_assert(strstr(m->body, "Last-Event-ID"), "%s", m->body);
    }
    open_session("2025-06-18");
    come_back(id);
    m = reply_of(client);
    cr_assert_eq(m->status, 400);
    cr_assert(strstr(m->body, "\"code\":-32000"), "%s", m->body);
    cr_assert_eq(closed_by(CLOSE_EVENT_UNKNOWN), 1 + sizeof bad / sizeof *bad);
    world_close();
}

Test(resuming, only_clients_of_2025_11_25_are_primed)
{
    char id[JOURNAL_ID_SIZE];
    const char *text;
    unsigned long long n;

    world_open(1, UPSTREAM, NULL);
    open_session("2025-03-26");
    n = begin_call(PROGRESS_CALL(1));
    say_progress(server, n, 1);
    text = received(client);
    cr_assert_null(strstr(text, "retry:"), "%s", text);
    cr_assert_eq(count(text, "data: "), 1, "%s", text);
    say_result(server, n);
    open_session("2025-11-25");
    n = begin_call(PROGRESS_CALL(2));
    say_progress(server, n, 1);
    text = received(client);
    cr_assert(strstr(text, "\nretry: 1000\ndata: \n\n"), "%s", text);
    cr_assert_eq(count(text, "id: "), 2, "%s", text);
    last_id(text, id);
    leave();
    say_result(server, n);
    come_back(id);
    text = reply_of(client)->body;
    cr_assert_null(strstr(text, "data: \n"), "%s", text);
    world_close();
}

Test(resuming, a_stream_whose_worker_died_ends_with_an_error_for_its_request)
{
    char id[JOURNAL_ID_SIZE];
    struct message *m;
    unsigned long long n;

    world_mortal(true);
    world_open(1, UPSTREAM, NULL);
    open_session("2025-06-18");
    n = begin_call(PROGRESS_CALL(7));
    say_progress(server, n, 1);
    last_id(received(client), id);
    say_progress(server, n, 2);
    die();
    come_back(id);
    m = reply_of(client);
    cr_assert_eq(m->status, 200);
    cr_assert_eq(count(m->body, "data: "), 2, "%s", m->body);
    cr_assert(strstr(m->body, "\"progress\":2}"), "%s", m->body);
    cr_assert(strstr(m->body, "\"id\":7,\"error\":{\"code\":-32000"), "%s", m->body);
    last_id(m->body, id);
    come_back(id);
    cr_assert_eq(reply_of(client)->status, 204, "nothing follows the error");
    world_close();
}

Test(resuming, nothing_follows_a_response_or_a_cancelled_call)
{
    char id[JOURNAL_ID_SIZE];
    struct message *m;
    unsigned long long n;

    world_open(1, UPSTREAM, NULL);
    open_session("2025-06-18");
    n = begin_call(PROGRESS_CALL(7));
    say_progress(server, n, 1);
    say_result(server, n);
    m = reply_of(client);
    last_id(m->body, id);
    come_back(id);
    m = reply_of(client);
    cr_assert_eq(m->status, 204);
    n = begin_call(PROGRESS_CALL(8));
    say_progress(server, n, 1);
    last_id(received(client), id);
    leave();
    client = client_new();
    post(client, session,
         "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":8}}");
    cr_assert_eq(reply_of(client)->status, 202);
    come_back(id);
    cr_assert_eq(reply_of(client)->status, 204);
    world_close();
}

Test(resuming, a_client_that_the_gateway_thinks_is_still_there_gets_its_stream)
{
    char id[JOURNAL_ID_SIZE];
    struct sim_peer *old;
    unsigned long long n;

    world_open(1, UPSTREAM, NULL);
    open_session("2025-06-18");
    n = begin_call(PROGRESS_CALL(7));
    say_progress(server, n, 1);
    old = client;
    last_id(received(client), id);
    come_back(id);
    cr_assert(has(old, "0\r\n\r\n"), "the old one ends");
    say_progress(server, n, 2);
    cr_assert_not(has(old, "\"progress\":2"));
    cr_assert(has(client, "\"progress\":2"));
    say_result(server, n);
    cr_assert_eq(count(reply_of(client)->body, "data: "), 2);
    world_close();
}

Test(resuming, a_call_that_takes_long_becomes_a_stream_that_can_be_resumed)
{
    char id[JOURNAL_ID_SIZE];
    unsigned long long n;
    struct message *m;

    world_open(1, UPSTREAM, NULL);
    open_session("2025-11-25");
    client = client_new();
    post(client, session, CALL(3));
    m = next_request();
    cr_assert(sscanf(strstr(m->body, "\"id\":") + 5, "%llu", &n) == 1, "%s", m->body);
    advance(900);
    cr_assert_not(has(client, "HTTP/1.1"));
    advance(300);
    last_id(received(client), id);
    leave();
    {
        char body[200];

        snprintf(body, sizeof body,
                 "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":{\"resultType\":\"complete\",\"content\":[]}}",
                 n);
        answer(server, "", body);
    }
    come_back(id);
    m = reply_of(client);
    cr_assert_eq(count(m->body, "\"id\":3,"), 1, "%s", m->body);
    world_close();
}

Test(resuming, what_takes_too_long_fails_on_its_stream_as_it_would_have_without)
{
    char id[JOURNAL_ID_SIZE];
    struct message *m;

    world_open(1, UPSTREAM, "--first-byte-timeout", "5s", NULL);
    open_session("2025-11-25");
    client = client_new();
    post(client, session, CALL(3));
    next_request();
    advance(7000);
    m = reply_of(client);
    cr_assert_eq(m->status, 200);
    cr_assert(strstr(m->body, "\"id\":3,\"error\":"), "%s", m->body);
    cr_assert(strstr(m->body, "--first-byte-timeout"), "%s", m->body);
    last_id(m->body, id);
    cr_assert_eq(count(m->body, "id: "), 2, "the error has one too: %s", m->body);
    come_back(id);
    cr_assert_eq(reply_of(client)->status, 204);
    world_close();
}

Test(resuming, a_reader_that_is_slow_gets_all_of_it_from_the_journal)
{
    char id[JOURNAL_ID_SIZE], text[8192];
    static char all[4 << 20];
    size_t len = 0, got;
    unsigned long long n;

    world_open(1, UPSTREAM, "--high-mark", "8k", "--low-mark", "4k", NULL);
    open_session("2025-06-18");
    n = begin_call(PROGRESS_CALL(7));
    say_progress(server, n, 0);
    last_id(received(client), id);
    leave();
    memset(text, 'm', sizeof text);
    for (unsigned i = 1; i <= 100; i++) {
        static char event[9000];

        snprintf(
            event, sizeof event,
            "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{\"progressToken\":"
            "%llu,\"progress\":%u,\"message\":\"%.5000s\"}}\n\n",
            n, i, text);
        say_chunk(server, event);
    }
    {
        char fields[2048];

        snprintf(fields, sizeof fields, "%sLast-Event-ID: %s\r\n", session, id);
        client = client_new();
        sim_peer_set_window(client, 4096);
        get(client, "/mcp/up", fields);
    }
    cr_assert_lt(world.worker->net.stats.queued_bytes, 64 << 10, "the rest waits in the journal");
    say_progress(server, n, 101);
    say_result(server, n);
    while ((got = sim_peer_read(client, all + len, 4096))) {
        len += got;
        settle();
    }
    all[len] = '\0';
    for (unsigned i = 1; i <= 101; i++) {
        char progress[32];

        snprintf(progress, sizeof progress, "\"progress\":%u%c", i, i <= 100 ? ',' : '}');
        cr_assert_eq(count(all, progress), 1, "%s", progress);
    }
    cr_assert_eq(count(all, "\"id\":7,"), 1);
    world_close();
}

Test(resuming, what_gave_way_is_said_to_be_missing_and_the_response_comes)
{
    static char text[3000];
    char id[JOURNAL_ID_SIZE];
    struct message *m;
    unsigned long long n;

    world_open(1, UPSTREAM, "--journal-size", "64k", NULL);
    open_session("2025-06-18");
    n = begin_call(PROGRESS_CALL(7));
    say_progress(server, n, 0);
    last_id(received(client), id);
    leave();
    memset(text, 'm', sizeof text - 1);
    for (unsigned i = 1; i <= 40; i++) {
        static char event[4000];

        snprintf(
            event, sizeof event,
            "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{\"progressToken\":"
            "%llu,\"progress\":%u,\"message\":\"%s\"}}\n\n",
            n, i, text);
        say_chunk(server, event);
    }
    cr_assert_gt(counter(STAT_journal_overruns), 10);
    come_back(id);
    cr_assert(has(client, ": events are missing here"));
    say_progress(server, n, 41);
    say_result(server, n);
    m = reply_of(client);
    cr_assert_eq(count(m->body, "\"progress\":41}"), 1, "%s", m->body);
    cr_assert_eq(count(m->body, "\"id\":7,"), 1, "%s", m->body);
    come_back(id); /* and when all of it is over, it is not known any more */
    cr_assert_eq(reply_of(client)->status, 400);
    world_close();
}

Test(resuming, a_reply_that_was_too_large_to_keep_becomes_an_error)
{
    static char event[40 << 10];
    char id[JOURNAL_ID_SIZE];
    struct message *m;
    unsigned long long n;
    int at;

    world_open(1, UPSTREAM, "--journal-size", "64k", NULL);
    open_session("2025-06-18");
    n = begin_call(PROGRESS_CALL(7));
    say_progress(server, n, 0);
    last_id(received(client), id);
    leave();
    at = snprintf(
        event, sizeof event,
        "data: {\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":{\"resultType\":\"complete\",\"content\":[],"
        "\"x\":\"",
        n);
    memset(event + at, 'x', 30 << 10);
    strcpy(event + at + (30 << 10), "\"}}\n\n");
    say_chunk(server, event);
    say(server, "0\r\n\r\n");
    cr_assert_eq(counter(STAT_journal_gaps), 1);
    come_back(id);
    m = reply_of(client);
    cr_assert(strstr(m->body, "\"id\":7,\"error\":") && strstr(m->body, "too large to be kept"), "%s",
              m->body);
    last_id(m->body, id);
    come_back(id);
    cr_assert_eq(reply_of(client)->status, 204);
    world_close();
}

Test(resuming, a_question_in_the_middle_of_a_call_waits_for_its_client)
{
    char id[JOURNAL_ID_SIZE], answers[300];
    unsigned long long n, asked;
    struct sim_peer *stream;
    struct message *m;
    const char *text;

    world_open(1, UPSTREAM, NULL);
    capabilities = "{\"elicitation\":{}}";
    open_session("2025-06-18");
    n = begin_call(PROGRESS_CALL(7));
    say_progress(server, n, 1);
    last_id(received(client), id);
    leave();
    snprintf(answers, sizeof answers,
             "data: {\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":{\"resultType\":\"input_required\","
             "\"inputRequests\":{\"k\":{\"method\":\"elicitation/"
             "create\",\"params\":{\"mode\":\"form\",\"message\":"
             "\"who?\",\"requestedSchema\":{\"type\":\"object\",\"properties\":{}}}}}}}\n\n",
             n);
    say_chunk(server, answers);
    say(server, "0\r\n\r\n");
    come_back(id);
    stream = client;
    text = received(client);
    cr_assert_eq(count(text, "elicitation/create"), 1, "%s", text);
    cr_assert(sscanf(strstr(strstr(text, "data: "), "\"id\":") + 5, "%llu", &asked) == 1, "%s", text);
    snprintf(answers, sizeof answers,
             "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":{\"action\":\"accept\",\"content\":{}}}", asked);
    client = client_new();
    post(client, session, answers);
    cr_assert_eq(reply_of(client)->status, 202);
    m = next_request();
    cr_assert(strstr(m->body, "\"inputResponses\":{\"k\":"), "%s", m->body);
    cr_assert(sscanf(strstr(m->body, "\"id\":") + 5, "%llu", &n) == 1, "%s", m->body);
    answer_stream(server, "");
    say_result(server, n);
    cr_assert_eq(count(received(stream), "\"id\":7,\"result\""), 1);
    world_close();
}

Test(resuming, a_batch_is_resumed_as_a_whole)
{
    char id[JOURNAL_ID_SIZE];
    struct sim_peer *first_server;
    unsigned long long first, second;
    struct message *m;

    world_open(1, UPSTREAM, NULL);
    open_session("2025-03-26");
    first_server = server; /* of the probes, and free again */
    client = client_new();
    post(client, session, "[" PROGRESS_CALL(1) "," PROGRESS_CALL(2) "]");
    server = server_next();
    first = answer_with_stream(first_server);
    second = answer_with_stream(server);
    say_progress(first_server, first, 1);
    last_id(received(client), id);
    leave();
    say_progress(server, second, 5);
    say_result(first_server, first);
    come_back(id);
    say_progress(server, second, 6);
    say_result(server, second);
    m = reply_of(client);
    cr_assert_eq(count(m->body, "data: "), 3, "%s", m->body);
    cr_assert(strstr(m->body, "data: [{"), "%s", m->body);
    cr_assert(strstr(m->body, "\"id\":1,\"result\"") && strstr(m->body, "\"id\":2,\"result\""), "%s",
              m->body);
    world_close();
}

/* --- the stream of what comes unasked --- */

static unsigned long long listening;

/* Opens the client's GET stream; returns where the upstream says what has changed. */
static struct sim_peer *
open_stream(void)
{
    struct sim_peer *at;
    struct message *m;

    client = client_new();
    get(client, "/mcp/up", session);
    m = next_request();
    cr_assert(strstr(m->body, "\"subscriptions/listen\""), "%s", m->body);
    cr_assert(sscanf(strstr(m->body, "\"id\":") + 5, "%llu", &listening) == 1, "%s", m->body);
    at = server;
    answer_stream(at, "");
    say_chunk(at,
              "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/subscriptions/acknowledged\",\"params\":"
              "{\"notifications\":{\"toolsListChanged\":true}}}\n\n");
    return at;
}

static void
say_changed(struct sim_peer *to)
{
    char event[300];

    snprintf(
        event, sizeof event,
        "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\",\"params\":{\"_meta\":{"
        "\"io.modelcontextprotocol/subscriptionId\":%llu}}}\n\n",
        listening);
    say_chunk(to, event);
}

#define CHANGED "notifications/tools/list_changed"

Test(resuming, the_stream_of_a_session_waits_for_its_client)
{
    char id[JOURNAL_ID_SIZE];
    struct sim_peer *changes;

    world_open(1, UPSTREAM, NULL);
    open_session("2025-06-18");
    changes = open_stream();
    say_changed(changes);
    last_id(received(client), id);
    leave();
    cr_assert_eq(counter(STAT_streams_waiting), 1);
    say_changed(changes);
    come_back(id);
    cr_assert_eq(counter(STAT_streams_waiting), 0);
    cr_assert_eq(count(received(client), CHANGED), 1);
    say_changed(changes);
    cr_assert_eq(count(received(client), CHANGED), 1, "and it goes on");
    world_close();
}

Test(resuming, a_stream_waits_no_longer_than_a_call_would)
{
    char id[JOURNAL_ID_SIZE];

    world_open(1, UPSTREAM, "--orphan-timeout", "5s", NULL);
    open_session("2025-06-18");
    say_changed(open_stream());
    last_id(received(client), id);
    leave();
    advance(6000);
    cr_assert_eq(counter(STAT_streams_waiting), 0);
    cr_assert_eq(counter(STAT_streams_open), 0);
    come_back(id);
    cr_assert(has(client, "200 OK"), "it goes on all the same, without what came meanwhile");
    cr_assert_eq(counter(STAT_streams_open), 1);
    world_close();
}

Test(resuming, a_stream_that_waits_ends_with_its_session)
{
    world_open(1, UPSTREAM, NULL);
    open_session("2025-06-18");
    say_changed(open_stream());
    leave();
    cr_assert_eq(counter(STAT_streams_waiting), 1);
    client = client_new();
    say(client, "DELETE /mcp/up HTTP/1.1\r\nHost: x\r\n%s\r\n", session);
    cr_assert_eq(reply_of(client)->status, 200);
    cr_assert_eq(counter(STAT_streams_waiting), 0);
    cr_assert_eq(counter(STAT_streams_open), 0);
    world_close();
}

Test(resuming, waiting_streams_leave_room_for_other_sessions)
{
    world_open(1, UPSTREAM, "--max-sessions", "8", NULL);
    for (unsigned i = 0; i < 6; i++) {
        open_session("2025-06-18");
        say_changed(open_stream());
        leave();
    }
    cr_assert_eq(counter(STAT_streams_waiting), 2);
    world_close();
}

Test(resuming, another_stream_takes_the_place_of_one_that_waits)
{
    char id[JOURNAL_ID_SIZE];
    struct sim_peer *changes;

    world_open(1, UPSTREAM, NULL);
    open_session("2025-06-18");
    changes = open_stream();
    say_changed(changes);
    last_id(received(client), id);
    leave();
    say_changed(changes);
    client = client_new();
    get(client, "/mcp/up", session);
    cr_assert_eq(counter(STAT_streams_waiting), 0);
    say_changed(changes);
    cr_assert_eq(count(received(client), CHANGED), 1, "a message goes on one stream");
    come_back(id);
    cr_assert_eq(count(received(client), CHANGED), 1, "what was on the first is on no other");
    world_close();
}

Test(resuming, the_stream_of_a_session_goes_on_in_the_next_worker)
{
    char id[JOURNAL_ID_SIZE];
    struct sim_peer *changes;

    world_mortal(true);
    world_open(1, UPSTREAM, NULL);
    open_session("2025-11-25");
    changes = open_stream();
    say_changed(changes);
    last_id(received(client), id);
    say_changed(changes);
    die();
    come_back(id);
    cr_assert_eq(count(received(client), CHANGED), 1);
    cr_assert_eq(counter(STAT_streams_waiting), 0);
    world_close();
}

/* --- at random --- */

enum { ACTORS = 4, TEXT_BYTES = 1 << 20 };

/* A call, and what its client has seen of it on whatever connections. */
static struct actor {
    struct sim_peer *client, *server; /* client NULL: away */
    unsigned long long number;
    unsigned said, seen; /* progress */
    bool is_answered, has_response, has_error;
    char id[JOURNAL_ID_SIZE];
    size_t len, used; /* of the bytes of this connection, and of them those of whole events */
    char text[TEXT_BYTES];
} actors[ACTORS];

static uint32_t seed;
static bool is_rough; /* the worker dies with work in its hands: what it had not heard is not said */

static unsigned
any(unsigned n)
{
    seed = seed * 1664525 + 1013904223;
    return (seed >> 8) % n;
}

/* One event of a stream, without its framing. */
static void
see_event(struct actor *a, const char *event)
{
    const char *id = strstr(event, "id: "), *progress = strstr(event, "\"progress\":");
    unsigned index = (unsigned)(a - actors), n;
    char own[32];

    if (event[0] == ':')
        return;
    cr_assert(id == event, "%s", event);
    snprintf(a->id, sizeof a->id, "%.*s", (int)strcspn(id + 4, "\n"), id + 4);
    cr_assert_not(a->has_response || a->has_error, "something follows the end: %s", event);
    if (progress) {
        snprintf(own, sizeof own, "\"progressToken\":\"t%u\"", index);
        cr_assert(strstr(event, own), "another's event came to %u: %s", index, event);
        cr_assert_eq(sscanf(progress + 11, "%u", &n), 1);
        cr_assert_eq(n, a->seen + 1, "%u after %u", n, a->seen);
        a->seen = n;
        return;
    }
    if (strstr(event, "\"error\"")) {
        snprintf(own, sizeof own, "\"id\":%u,\"error\"", index);
        cr_assert(strstr(event, own), "%s", event);
        cr_assert_not(a->is_answered && !is_rough, "the response was lost: %s", event);
        a->has_error = true;
        return;
    }
    snprintf(own, sizeof own, "\"id\":%u,\"result\"", index);
    cr_assert(strstr(event, own), "%s", event);
    cr_assert_eq(a->seen, a->said, "the response overtakes");
    a->has_response = true;
}

/* The content of the chunks that are whole. */
static size_t
dechunk(const char *at, const char *end, char *out)
{
    size_t n = 0, size;
    char *data;

    while ((size = strtoul(at, &data, 16)) && strncmp(data, "\r\n", 2) == 0 && data + 2 + size + 2 <= end) {
        memcpy(out + n, data + 2, size);
        n += size;
        at = data + 2 + size + 2;
    }
    out[n] = '\0';
    return n;
}

static void
look(struct actor *a)
{
    static char plain[TEXT_BYTES];
    const char *body;
    size_t n;

    a->len += sim_peer_read(a->client, a->text + a->len, sizeof a->text - 1 - a->len);
    a->text[a->len] = '\0';
    body = strstr(a->text, "\r\n\r\n");
    if (!body)
        return;
    cr_assert(strstr(a->text, "HTTP/1.1 200") == a->text, "%.300s", a->text);
    n = dechunk(body + 4, a->text + a->len, plain);
    for (char *event = plain + a->used, *end; (end = strstr(event, "\n\n")); event = end + 2) {
        *end = '\0';
        see_event(a, event);
        a->used = (size_t)(end + 2 - plain);
    }
    cr_assert_leq(a->used, n);
}

static void
return_of(struct actor *a)
{
    come_back(a->id);
    a->client = client;
    a->len = a->used = 0;
}

static void
begin_actor(struct actor *a)
{
    char body[300];

    snprintf(
        body, sizeof body,
        "{\"jsonrpc\":\"2.0\",\"id\":%u,\"method\":\"tools/call\",\"params\":{\"name\":\"echo\",\"_meta\":{"
        "\"progressToken\":\"t%u\"}}}",
        (unsigned)(a - actors), (unsigned)(a - actors));
    a->number = begin_call(body);
    a->client = client;
    a->server = server;
    say_progress(a->server, a->number, ++a->said);
    look(a);
    cr_assert_eq(a->seen, 1);
}

static void
act(struct actor *a)
{
    switch (any(4)) {
    case 0:
        if (a->client) {
            look(a);
            sim_peer_close(a->client);
            a->client = NULL;
            settle();
        }
        break;
    case 1:
        if (a->has_response)
            break;
        if (a->client) /* the gateway has not heard that it left */
            look(a);
        if (!a->has_response)
            return_of(a);
        break;
    default:
        if (!a->is_answered && any(20) == 0) {
            say_result(a->server, a->number);
            a->is_answered = true;
        } else if (!a->is_answered) {
            say_progress(a->server, a->number, ++a->said);
        }
    }
}

static void
open_actors(uint64_t n)
{
    seed = (uint32_t)n;
    world_open(n, UPSTREAM, NULL);
    memset(actors, 0, sizeof actors);
    open_session("2025-06-18");
    for (unsigned i = 0; i < ACTORS; i++)
        begin_actor(&actors[i]);
    sim_faults_random(world.sim);
}

static void
run_at_random(uint64_t n)
{
    open_actors(n);
    for (unsigned step = 0; step < 300; step++)
        act(&actors[any(ACTORS)]);
    for (unsigned i = 0; i < ACTORS; i++) {
        struct actor *a = &actors[i];

        if (!a->is_answered)
            say_result(a->server, a->number);
        if (a->client)
            look(a);
        if (!a->has_response) {
            return_of(a);
            look(a);
        }
        cr_assert(a->has_response, "no response came to %u", i);
    }
    is_known = false;
    world_close();
}

Test(resuming, whatever_happens_each_event_comes_once_and_in_order)
{
    sim_for_seeds(1, 100, run_at_random);
}

/* At any step of what it does for them. */
static void
die_in_the_middle(void)
{
    sim_kill_at(world.sim, sim_steps(world.sim) + 1 + any(60));
    for (unsigned i = 0; i < 200 && !world.is_killed; i++) {
        struct actor *a = &actors[any(ACTORS)];

        if (!a->is_answered)
            say_progress(a->server, a->number, ++a->said);
    }
    for (unsigned i = 0; i < 100 && !world.is_killed; i++) {
        sim_connect_to(world.sim, world.listener, NULL);
        settle();
    }
    cr_assert(world.is_killed);
    sim_kill_at(world.sim, 0);
    world_next_life();
    world_mortal(false);
}

/* The worker dies after some steps; who comes back then gets all that it had written, and one end. */
static void
die_at_random(uint64_t n)
{
    unsigned steps;

    world_mortal(true);
    open_actors(n);
    steps = any(200);
    while (steps--)
        act(&actors[any(ACTORS)]);
    if (is_rough)
        die_in_the_middle();
    else
        die();
    for (unsigned i = 0; i < ACTORS; i++) {
        struct actor *a = &actors[i];

        if (a->client)
            look(a);
        if (a->has_response)
            continue;
        return_of(a);
        look(a);
        cr_assert(a->has_response || a->has_error, "no end came to %u", i);
        cr_assert(is_rough || a->has_response == a->is_answered);
        come_back(a->id);
        cr_assert_eq(reply_of(client)->status, 204);
    }
    is_known = false;
    world_close();
}

Test(resuming, a_worker_that_dies_loses_no_event_that_its_clients_could_have_had)
{
    sim_for_seeds(1, 100, die_at_random);
}

Test(resuming, a_worker_that_dies_at_any_step_leaves_streams_with_one_end)
{
    is_rough = true;
    sim_for_seeds(1, 200, die_at_random);
}

Test(resuming, without_a_journal_there_are_no_ids)
{
    unsigned long long n;
    struct message *m;

    world_open(1, UPSTREAM, "--journal-size", "0", NULL);
    open_session("2025-11-25");
    n = begin_call(PROGRESS_CALL(7));
    say_progress(server, n, 1);
    say_result(server, n);
    m = reply_of(client);
    cr_assert_eq(count(m->body, "id: "), 0, "%s", m->body);
    cr_assert_eq(count(m->body, "data: "), 2, "%s", m->body);
    world_close();
}
