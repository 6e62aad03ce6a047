/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP+SSE of 2024-11-05 at both ends under random use, one run per seed: clients open streams, post calls,
 * cancel, stop reading and leave at any point; of the upstreams one holds streams of its own and answers
 * late, twice, for others, with questions, or never, forgets sessions and resets what it likes. What holds:
 *
 *      nobody hears another one's secret, also when the worker is killed
 *      a request that was accepted is answered once, unless it was cancelled or its stream ended
 *      the books balance, and nothing stays open when all have left
 *
 * SIM_SEEDS=n runs n seeds, SIM_SEED=n that one.
 */
#include "gate_world.h"

#include <stdlib.h>

enum { STREAMS = 6, STREAMS_EVER = 200, CALLS = 4000, STEPS = 160, PEERS = 3000, TEXT_MAX = 1 << 16 };

/* A client's stream. */
struct stream {
    struct sim_peer *peer;
    char endpoint[600], raw[TEXT_MAX], text[TEXT_MAX];
    size_t raw_len, len; /* as it came; without chunks */
    bool has_head;
    unsigned number; /* of all streams there were */
    bool is_greeted;
};

/* A request that was posted; its id and its secret are its index. */
struct call {
    unsigned stream; /* number */
    bool is_accepted, is_cancelled, is_answered;
};

/* What an upstream owes. */
struct debt {
    unsigned feed;
    unsigned long long id;
    unsigned secret; /* 0: none */
};

static struct stream streams[STREAMS];
static struct call calls[CALLS];
static struct sim_peer *servers[PEERS], *feeds[PEERS], *posters[PEERS];
static struct debt debts[CALLS];
static unsigned stream_count, call_count, server_count, feed_count, debt_count, poster_count;
static unsigned long long question; /* that a client was asked last */

static uint64_t
any(uint64_t n)
{
    return sim_random(world.sim, n);
}

/* --- clients --- */

static void
take_message(struct stream *s, const char *json)
{
    const char *at = strstr(json, "\"id\":"), *secret = strstr(json, "secret-");
    bool is_answer = !strstr(json, "\"method\":");
    unsigned long id = at ? strtoul(at + 5, NULL, 10) : 0;

    if (secret) {
        unsigned long n = strtoul(secret + 7, NULL, 10);

        cr_assert_lt(n, call_count);
        cr_assert_eq(calls[n].stream, s->number, "another one's secret: %s", json);
    }
    if (!is_answer && at) {
        question = strtoull(at + 5, NULL, 10);
        return;
    }
    if (!is_answer)
        return;
    cr_assert(at && id < call_count, "%s", json);
    cr_assert_eq(calls[id].stream, s->number, "another one's answer: %s", json);
    cr_assert_not(calls[id].is_answered, "answered twice: %s", json);
    cr_assert_not(calls[id].is_cancelled, "cancelled, and answered all the same: %s", json);
    calls[id].is_answered = true;
}

static void
take_line(struct stream *s, const char *line)
{
    if (strncmp(line, "data: /messages", 15) == 0)
        snprintf(s->endpoint, sizeof s->endpoint, "%s", line + 6);
    else if (strncmp(line, "data: {", 7) == 0)
        take_message(s, line + 6);
}

/* How many bytes of what came are a whole head or chunk; what the chunk holds is put to the text. */
static size_t
take_chunk(struct stream *s)
{
    char *end = strstr(s->raw, s->has_head ? "\r\n" : "\r\n\r\n");
    size_t size, head;

    if (!end)
        return 0;
    if (!s->has_head) {
        s->has_head = true;
        return (size_t)(end + 4 - s->raw);
    }
    size = strtoul(s->raw, NULL, 16);
    head = (size_t)(end + 2 - s->raw);
    if (s->raw_len < head + size + 2)
        return 0;
    cr_assert_lt(s->len + size, sizeof s->text);
    memcpy(s->text + s->len, s->raw + head, size);
    s->len += size;
    s->text[s->len] = '\0';
    return head + size + 2;
}

static void
read_stream(struct stream *s)
{
    char *line = s->text, *end;
    size_t used;

    s->raw_len += sim_peer_read(s->peer, s->raw + s->raw_len, sizeof s->raw - 1 - s->raw_len);
    s->raw[s->raw_len] = '\0';
    while ((used = take_chunk(s))) {
        s->raw_len -= used;
        memmove(s->raw, s->raw + used, s->raw_len + 1);
    }
    for (; (end = strchr(line, '\n')); line = end + 1) {
        *end = '\0';
        take_line(s, line);
    }
    s->len = (size_t)(s->text + s->len - line);
    memmove(s->text, line, s->len + 1);
}

static bool
is_gone(const struct stream *s)
{
    return !s->peer || sim_peer_ended(s->peer) || sim_peer_was_reset(s->peer);
}

/* What of its calls is not answered never will be. */
static void
leave(struct stream *s)
{
    sim_peer_reset(s->peer);
    settle();
    s->peer = NULL;
}

static void
open_stream(struct stream *s)
{
    static const char *const paths[] = {"/sse", "/sse/a", "/sse/a", "/sse/b"};

    memset(s, 0, sizeof *s);
    cr_assert_lt(stream_count, STREAMS_EVER);
    s->number = ++stream_count;
    s->peer = client_new();
    get(s->peer, paths[any(4)], "");
    read_stream(s);
}

/* The status that a message is posted with; 0: nothing came. */
static int
post_to(struct stream *s, const char *body)
{
    struct sim_peer *peer = client_new();
    struct message *m;

    cr_assert_lt(poster_count, PEERS);
    posters[poster_count++] = peer;
    say(peer,
        "POST %s HTTP/1.1\r\nHost: gate\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
        s->endpoint, strlen(body), body);
    m = sim_peer_was_reset(peer) ? NULL : try_reply(peer);
    if (m)
        cr_assert(m->status == 202 || m->status == 404 || m->status >= 502, "%d %s", m->status, m->body);
    return m ? m->status : 0;
}

static void
post_request(struct stream *s, const char *method, const char *params)
{
    unsigned id = call_count++;
    char body[1024];

    cr_assert_lt(id, CALLS);
    calls[id] = (struct call){.stream = s->number};
    snprintf(body, sizeof body, "{\"jsonrpc\":\"2.0\",\"id\":%u,\"method\":\"%s\",\"params\":{%s%s%u\"}}}",
             id, method, params, "\"arguments\":{\"s\":\"secret-", id);
    calls[id].is_accepted = post_to(s, body) == 202;
}

static void
cancel_one(struct stream *s)
{
    unsigned id = (unsigned)any(call_count + 1);
    char body[200];

    if (id >= call_count || calls[id].stream != s->number)
        return;
    sim_peer_set_window(s->peer, 1 << 20); /* what was said before is here, then */
    settle();
    read_stream(s);
    if (calls[id].is_answered)
        return;
    snprintf(body, sizeof body,
             "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":%u}}",
             id);
    if (post_to(s, body) != 202)
        return;
    read_stream(s); /* it may have been on its way */
    calls[id].is_cancelled = !calls[id].is_answered;
}

static void
post_something(struct stream *s)
{
    static const char *const names[] = {"\"name\":\"echo\",", "\"name\":\"a__echo\",",
                                        "\"name\":\"b__echo\","};
    char body[200];

    switch (any(12)) {
    case 0:
        cancel_one(s);
        break;
    case 1:
        snprintf(body, sizeof body, "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":{\"action\":\"decline\"}}",
                 question);
        post_to(s, body);
        break;
    case 2:
        post_request(s, "tools/list", "");
        break;
    case 3:
        post_request(s, "ping", "");
        break;
    case 4:
        post_request(s, "logging/setLevel", "\"level\":\"info\",");
        break;
    case 5:
        if (!s->is_greeted)
            post_request(s, "initialize",
                         "\"protocolVersion\":\"2025-06-18\",\"capabilities\":{\"elicitation\":{}},"
                         "\"clientInfo\":{\"name\":\"c\",\"version\":\"1\"},");
        s->is_greeted = true;
        break;
    default:
        post_request(s, "tools/call", names[any(3)]);
    }
}

static void
client_step(struct stream *s)
{
    if (is_gone(s)) {
        open_stream(s);
        return;
    }
    if (!s->endpoint[0] || any(4)) /* else it does not read for now */
        read_stream(s);
    if (!any(30))
        leave(s);
    else if (!any(12))
        sim_peer_set_window(s->peer, any(2) ? 100 : 1 << 18);
    else if (s->endpoint[0])
        post_something(s);
}

/* --- upstreams --- */

static void
pay(unsigned i)
{
    struct debt d = debts[i];
    char event[1024];

    debts[i] = debts[--debt_count];
    if (!feeds[d.feed] || sim_peer_ended(feeds[d.feed]) || sim_peer_was_reset(feeds[d.feed]))
        return;
    if (!any(8))
        say_chunk(feeds[d.feed],
                  "event: message\ndata: {\"jsonrpc\":\"2.0\",\"id\":9,\"method\":\"elicitation/create\","
                  "\"params\":{\"message\":\"who?\",\"requestedSchema\":{\"type\":\"object\",\"properties\":"
                  "{}}}}\n\n");
    snprintf(event, sizeof event,
             "event: message\ndata: {\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":{\"content\":[{\"type\":"
             "\"text\",\"text\":\"secret-%u\"}]}}\n\n",
             any(15) ? d.id : 4711, d.secret);
    if (!d.secret)
        snprintf(
            event, sizeof event,
            "event: message\ndata: {\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":{\"protocolVersion\":"
            "\"2025-11-25\",\"capabilities\":{\"tools\":{},\"logging\":{}},\"tools\":[{\"name\":\"echo\","
            "\"inputSchema\":{\"type\":\"object\"}}],\"serverInfo\":{\"name\":\"s\",\"version\":"
            "\"1\"}}}\n\n",
            d.id);
    say_chunk(feeds[d.feed], event);
    if (!any(10) && !sim_peer_was_reset(feeds[d.feed]))
        say_chunk(feeds[d.feed], event);
}

static void
owe(unsigned feed, const struct message *m)
{
    const char *id = strstr(m->body, "\"id\":"), *secret = strstr(m->body, "secret-");

    if (!id || !strstr(m->body, "\"method\"") || !any(25))
        return; /* nothing to say, or never said */
    cr_assert_lt(debt_count, CALLS);
    debts[debt_count++] =
        (struct debt){feed, strtoull(id + 5, NULL, 10), secret ? (unsigned)strtoul(secret + 7, NULL, 10) : 0};
    if (strstr(m->body, "tools/list") || strstr(m->body, "\"initialize\""))
        debts[debt_count - 1].secret = 0;
    if (any(2))
        pay(debt_count - 1);
}

/* HTTP+SSE. */
static void
serve_stream(struct sim_peer *s, const struct message *m)
{
    char event[100];
    unsigned feed = 0;

    if (strncmp(m->head, "GET ", 4) == 0) {
        cr_assert_lt(feed_count, PEERS);
        feeds[feed_count] = s;
        answer_stream(s, "");
        snprintf(event, sizeof event, "event: endpoint\ndata: /m?s=%u\n\n", feed_count++);
        say_chunk(s, event);
        return;
    }
    if (sscanf(m->head, "POST /m?s=%u ", &feed) != 1) {
        say(s, "HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\n\r\n");
        return;
    }
    cr_assert_lt(feed, feed_count);
    if (any(2)) { /* the answer may come first */
        say(s, "HTTP/1.1 202 Accepted\r\nContent-Length: 8\r\n\r\nAccepted");
        owe(feed, m);
    } else {
        owe(feed, m);
        if (!sim_peer_was_reset(s) && !sim_peer_ended(s))
            say(s, "HTTP/1.1 202 Accepted\r\nContent-Length: 8\r\n\r\nAccepted");
    }
}

/* Streamable HTTP. */
static void
serve_http(struct sim_peer *s, const struct message *m)
{
    const char *at = strstr(m->body, "\"id\":"), *secret = strstr(m->body, "secret-");
    char body[1024];

    if (strncmp(m->head, "POST ", 5) != 0) {
        say(s, "HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\n\r\n");
    } else if (strstr(m->body, "server/discover")) {
        answer(s, "", "{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-32601,\"message\":\"no\"}}");
    } else if (!at || !strstr(m->body, "\"method\"")) {
        say(s, "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n");
    } else {
        snprintf(body, sizeof body,
                 "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":{\"protocolVersion\":\"2025-11-25\","
                 "\"capabilities\":{\"tools\":{}},\n\"tools\":[],\"serverInfo\":{\"name\":\"s\",\"version\":"
                 "\"1\"},\"content\":[{\"type\":\"text\",\"text\":\"%.*s\"}]}}",
                 strtoull(at + 5, NULL, 10), secret ? (int)strspn(secret, "secrt-0123456789") : 0,
                 secret ? secret : "");
        answer(s, "", body);
    }
}

static void
serve(struct sim_peer *s, const struct message *m)
{
    switch (any(40)) {
    case 0:
        say(s, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
        break;
    case 1:
        say(s, "HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n");
        break;
    case 2:
        sim_peer_reset(s);
        settle();
        break;
    case 3:
        break; /* never */
    default:
        if (strstr(sim_peer_address(s), "10.0.0.2"))
            serve_stream(s, m);
        else
            serve_http(s, m);
    }
}

static void
serve_all(void)
{
    struct sim_peer *fresh;
    struct message *m;

    while ((fresh = server_next())) {
        cr_assert_lt(server_count, PEERS);
        servers[server_count++] = fresh;
    }
    for (unsigned i = 0; i < server_count; i++)
        if (any(5) && !sim_peer_was_reset(servers[i]) && (m = try_request(servers[i])))
            serve(servers[i], m);
    if (debt_count && any(2))
        pay((unsigned)any(debt_count));
    if (feed_count && !any(20)) {
        struct sim_peer **feed = &feeds[any(feed_count)];

        if (*feed)
            sim_peer_reset(*feed);
        *feed = NULL;
        settle();
    }
}

/* --- the runs --- */

/* Time enough for every limit; whoever is there still has got all that it was owed. */
static void
wait_for_all(void)
{
    for (unsigned f = 0; f < SIM_FAULTS; f++)
        sim_set_fault(world.sim, f, 0);
    for (unsigned i = 0; i < STREAMS; i++)
        if (!is_gone(&streams[i]))
            sim_peer_set_window(streams[i].peer, 1 << 20);
    for (unsigned i = 0; i < 400; i++) {
        advance(1000);
        for (unsigned k = 0; k < STREAMS; k++)
            if (streams[k].peer)
                read_stream(&streams[k]);
    }
    for (unsigned i = 0; i < call_count; i++)
        for (unsigned k = 0; k < STREAMS; k++)
            if (!is_gone(&streams[k]) && calls[i].stream == streams[k].number && calls[i].is_accepted)
                cr_assert(calls[i].is_answered || calls[i].is_cancelled, "request %u was lost", i);
}

static void
leave_all(bool kills)
{
    for (unsigned k = 0; k < STREAMS; k++)
        if (streams[k].peer)
            leave(&streams[k]);
    for (unsigned i = 0; i < poster_count; i++)
        sim_peer_reset(posters[i]);
    advance(600000);
    cr_assert_eq(counter(STAT_exchanges_open), 0, "open for ever");
    if (!kills) /* the records that a dead worker leaves are swept when they have been idle for long enough */
        cr_assert_eq(counter(STAT_sessions_live), 0, "a session without its stream");
}

static void
run(uint64_t seed)
{
    bool kills = seed % 4 == 0;

    stream_count = server_count = feed_count = debt_count = poster_count = 0;
    call_count = 1; /* there is no secret 0 */
    memset(streams, 0, sizeof streams);
    if (kills)
        world_mortal(true);
    world_open(seed, "--upstream", "a=http://10.0.0.2:80/mcp", "--upstream", "b=http://10.0.0.3:80/mcp",
               "--era-ttl", seed % 3 ? "10m" : "10s", "--merge-deadline", "500ms", "--list-ttl", "1s",
               "--heartbeat", "5s", "--stream-idle", "20s", "--send-timeout", "20s", NULL);
    if (seed % 2)
        sim_faults_random(world.sim);
    if (seed % 3 == 0)
        sim_set_fault(world.sim, SIM_RESET, (unsigned)any(10));
    for (unsigned i = 0; i < STEPS; i++) {
        if (kills && !any(40))
            world_kill();
        client_step(&streams[any(STREAMS)]);
        serve_all();
        if (!any(3))
            advance((unsigned)any(400));
    }
    if (any(4))
        wait_for_all();
    if (any(3))
        leave_all(kills);
    world_close_after((unsigned)any(3) * 1000);
    if (kills)
        world_mortal(false);
}

Test(sse_random, survives_any_clients_and_upstreams, .timeout = 280)
{
    const char *one = getenv("SIM_SEED"), *count = getenv("SIM_SEEDS");
    unsigned seeds = count ? (unsigned)atoi(count) : 40;

    if (one) {
        run(strtoull(one, NULL, 10));
        return;
    }
    for (unsigned i = 1; i <= seeds; i++) {
        if (getenv("SIM_LOG"))
            fprintf(stderr, "seed %u\n", i);
        run(i);
    }
}
