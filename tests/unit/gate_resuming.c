/* SPDX-License-Identifier: Apache-2.0 */
/* Clients that lose their connection in the middle of a stream and come back for the rest, on a whole worker
 * in the simulator: what they get is the rest of that stream, once, and nothing of another. */
#include "gate_resuming.h"

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
