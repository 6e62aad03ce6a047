/* SPDX-License-Identifier: Apache-2.0 */
/* Clients that lose their connection in the middle of a stream and come back for the rest, on a whole worker
 * in the simulator: what they get is the rest of that stream, once, and nothing of another. */
#include "gate_world.h"

#include "journal/journal.h"

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
    static bool is_known;
    struct message *m;
    char body[300];

    snprintf(body, sizeof body,
             "{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"initialize\",\"params\":{\"protocolVersion\":\"%s\","
             "\"capabilities\":{},\"clientInfo\":{\"name\":\"c\",\"version\":\"1\"}}}",
             revision);
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

/* A call whose reply is a stream. Returns its number at the upstream; `server` is its connection. */
static unsigned long long
begin_call(const char *body)
{
    struct message *m;
    const char *id;
    unsigned long long n = 0;

    client = client_new();
    post(client, session, body);
    m = next_request();
    id = strstr(m->body, "\"id\":");
    cr_assert(id && sscanf(id + 5, "%llu", &n) == 1, "%s", m->body);
    answer_stream(server, "");
    return n;
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

    world_open(1, UPSTREAM, NULL);
    open_session("2025-06-18");
    n = begin_call(PROGRESS_CALL(7));
    say_progress(server, n, 1);
    last_id(received(client), id);
    say_progress(server, n, 2);
    sim_connect_to(world.sim, world.listener, NULL); /* something to do, in which it dies */
    world_kill();
    come_back(id);
    m = reply_of(client);
    cr_assert_eq(m->status, 200);
    cr_assert_eq(count(m->body, "data: "), 2, "%s", m->body);
    cr_assert(strstr(m->body, "\"progress\":2}"), "%s", m->body);
    cr_assert(strstr(m->body, "\"id\":7,\"error\":{\"code\":-32000"), "%s", m->body);
    world_close();
}
