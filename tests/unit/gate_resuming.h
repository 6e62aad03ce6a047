/* SPDX-License-Identifier: Apache-2.0 */
/* A client of an older revision in front of an upstream of 2026-07-28 that answers calls with streams, and
 * what it does to lose its connection and come back. */
#ifndef GATE_RESUMING_H
#define GATE_RESUMING_H

#include "gate_one_upstream.h"

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

static struct sim_peer *client;
static char session[1024];
static bool is_known; /* what the upstream speaks */
static const char *capabilities = "{}";

/* A session of a client of an older revision, in front of an upstream of 2026-07-28. */
static inline void
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
static inline unsigned long long
answer_with_stream(struct sim_peer *at)
{
    unsigned long long n = number_of(request_of(at));

    answer_stream(at, "");
    return n;
}

/* A call whose reply is a stream. Returns its number at the upstream; `server` is its connection. */
static inline unsigned long long
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

static inline void
say_progress(struct sim_peer *to, unsigned long long number, unsigned progress)
{
    char event[256];

    snprintf(event, sizeof event,
             "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":"
             "{\"progressToken\":%llu,\"progress\":%u}}\n\n",
             number, progress);
    say_chunk(to, event);
}

static inline void
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
static inline const char *
received(struct sim_peer *peer)
{
    static char text[64 << 10];

    text[sim_peer_read(peer, text, sizeof text - 1)] = '\0';
    return text;
}

/* The id of the last event in the text. */
static inline void
last_id(const char *text, char id[JOURNAL_ID_SIZE])
{
    const char *found = NULL;

    for (const char *at = text; (at = strstr(at, "id: ")); at += 4)
        if (at == text || at[-1] == '\n')
            found = at + 4;
    cr_assert(found, "no event has an id: %s", text);
    snprintf(id, JOURNAL_ID_SIZE, "%.*s", (int)strcspn(found, "\n"), found);
}

static inline unsigned
count(const char *text, const char *what)
{
    unsigned n = 0;

    for (const char *at = text; (at = strstr(at, what)); at++)
        n++;
    return n;
}

/* The client leaves, and comes back on another connection with the last id that it has seen. */
static inline void
come_back(const char *id)
{
    char fields[2048];

    snprintf(fields, sizeof fields, "%sLast-Event-ID: %s\r\n", session, id);
    client = client_new();
    get(client, "/mcp/up", fields);
}

static inline void
leave(void)
{
    sim_peer_close(client);
    settle();
}

static inline void
die(void)
{
    sim_connect_to(world.sim, world.listener, NULL); /* something to do, in which it dies */
    world_kill();
    world_mortal(false);
}

#endif
