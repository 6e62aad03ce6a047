/* SPDX-License-Identifier: Apache-2.0 */
/* What a session with an upstream before 2026-07-28 outlives, on a whole worker in the simulator: the worker,
 * and the upstream's own session. */
#include "gate_world.h"

#include <stdlib.h>

#define UPSTREAM                                                                                             \
    "--upstream", "up=http://10.0.0.2:80/mcp", "--upstream", "other=http://10.0.0.8:80/mcp", "--era-ttl", "5m"
#define REQUEST(id, method, params)                                                                          \
    "{\"jsonrpc\":\"2.0\",\"id\":" #id ",\"method\":\"" method "\",\"params\":{" params "}}"
#define INITIALIZE                                                                                           \
    REQUEST(0, "initialize",                                                                                 \
            "\"protocolVersion\":\"2025-06-18\",\"capabilities\":{},\"clientInfo\":{\"name\":\"c\","         \
            "\"version\":\"1\"}")
#define ECHO(id)       REQUEST(id, "tools/call", "\"name\":\"up__echo\",\"arguments\":{}")
#define SET_LEVEL(id)  REQUEST(id, "logging/setLevel", "\"level\":\"warning\"")
#define SUBSCRIBE(uri) REQUEST(9, "resources/subscribe", "\"uri\":\"" uri "\"")

/* --- an upstream that answers by itself --- */

enum { SEEN_MAX = 64, PEERS_MAX = 64 };

static struct {
    char what[48], session[16];
    uint64_t number;
} seen[SEEN_MAX];
static unsigned seen_count, sessions_made, peer_count;
static struct sim_peer *peers[PEERS_MAX];
static const char *lives_at = ""; /* the session that it knows; "": any */
static bool gives_no_session;

static void
note(const struct message *m)
{
    const char *at = strstr(m->body, "\"method\":\""), *id = strstr(m->body, "\"id\":"),
               *session = field(m, "Mcp-Session-Id"), *uri = strstr(m->body, "\"uri\":");

    cr_assert_lt(seen_count, SEEN_MAX);
    snprintf(seen[seen_count].what, sizeof seen[0].what, "%.*s%.*s", at ? (int)strcspn(at + 10, "\"") : 6,
             at ? at + 10 : m->head, uri ? (int)strcspn(uri + 7, "\"") + 1 : 0, uri ? uri + 6 : "");
    snprintf(seen[seen_count].session, sizeof seen[0].session, "%s", session ? session : "");
    seen[seen_count++].number = id ? strtoull(id + 5, NULL, 10) : 0;
}

static void
serve(struct sim_peer *s, const struct message *m)
{
    bool is_initialize = strstr(m->body, "\"initialize\"");
    char json[512], fields[64] = "";
    const struct {
        char what[48], session[16];
        uint64_t number;
    } *now = (const void *)&seen[seen_count];

    note(m);
    if (strstr(m->body, "server/discover")) {
        seen_count--; /* the probe is nobody's */
        say(s,
            "HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nContent-Length: 83\r\n\r\n%-83s",
            "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32000,\"message\":\"not initialized\"}}");
    } else if (strncmp(m->head, "GET ", 4) == 0) {
        seen_count--; /* opened whenever */
        say(s, "HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\n\r\n");
    } else if (!is_initialize && lives_at[0] && strcmp(lives_at, now->session) != 0) {
        say(s, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    } else if (!strstr(m->body, "\"id\":")) {
        say(s, "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n");
    } else {
        snprintf(json, sizeof json, "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":%s}",
                 (unsigned long long)now->number,
                 is_initialize
                     ? "{\"protocolVersion\":\"2025-11-25\",\"capabilities\":{\"tools\":{},\"logging\":"
                       "{},\"resources\":{\"subscribe\":true}}}"
                     : "{\"content\":[]}");
        if (is_initialize && !gives_no_session)
            snprintf(fields, sizeof fields, "Mcp-Session-Id: s%u\r\n", ++sessions_made);
        answer(s, fields, json);
    }
}

static void
serve_all(void)
{
    struct message *m;
    bool served = true;

    while (served) {
        served = false;
        for (struct sim_peer *fresh; (fresh = server_next());)
            peers[peer_count++ % PEERS_MAX] = fresh;
        for (unsigned i = 0; i < peer_count && i < PEERS_MAX; i++)
            if ((m = try_request(peers[i]))) {
                serve(peers[i], m);
                served = true;
            }
    }
}

/* What the upstream was asked since the last look, in its order, with the session of each. */
static const char *
asked(void)
{
    static char text[1024];
    size_t n = 0;

    text[0] = '\0';
    for (unsigned i = 0; i < seen_count; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "%s%s %s", i ? ", " : "", seen[i].what,
                              seen[i].session);
    seen_count = 0;
    return text;
}

/* --- a client --- */

static char session[1024];

static struct message *
ask(const char *body)
{
    struct sim_peer *client = client_new();
    struct message *m;

    say(client,
        "POST /mcp HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n" MCP_ACCEPT
        "%sContent-Length: %zu\r\n\r\n%s",
        session, strlen(body), body);
    serve_all();
    m = reply_of(client);
    sim_peer_reset(client);
    settle();
    return m;
}

static void
open_session(void)
{
    struct message *m = ask(INITIALIZE);

    cr_assert_eq(m->status, 200);
    snprintf(session, sizeof session, "MCP-Protocol-Version: 2025-06-18\r\nMcp-Session-Id: %s\r\n",
             field(m, "Mcp-Session-Id"));
    asked(); /* the gateway's own relationship with the upstream, which is not the session's */
}

static void
forget_peers(void)
{
    peer_count = 0;
}

TestSuite(lives, .timeout = 60);

Test(lives, the_next_worker_goes_on_with_the_upstreams_session)
{
    uint64_t first;

    world_mortal(true);
    world_open(1, UPSTREAM, NULL);
    open_session();
    cr_assert_eq(ask(ECHO(1))->status, 200);
    first = seen[seen_count - 1].number;
    cr_assert_str_eq(asked(), "initialize , notifications/initialized s2, tools/call s2");
    world_kill();
    world_mortal(false);
    forget_peers();
    cr_assert_eq(ask(ECHO(2))->status, 200);
    cr_assert_neq(seen[0].number, first, "its session sees no id twice");
    cr_assert_str_eq(asked(), "tools/call s2");
    world_close();
}

Test(lives, an_upstream_without_sessions_is_not_greeted_again_either)
{
    gives_no_session = true;
    world_mortal(true);
    world_open(1, UPSTREAM, NULL);
    open_session();
    cr_assert_eq(ask(ECHO(1))->status, 200);
    cr_assert_str_eq(asked(), "initialize , notifications/initialized , tools/call ");
    world_kill();
    world_mortal(false);
    forget_peers();
    cr_assert_eq(ask(ECHO(2))->status, 200);
    cr_assert_str_eq(asked(), "tools/call ");
    world_close();
}

Test(lives, an_upstream_that_lost_its_session_hears_level_and_subscriptions_before_the_call)
{
    world_open(1, UPSTREAM, NULL);
    open_session();
    cr_assert_eq(ask(SET_LEVEL(1))->status, 200);
    cr_assert_eq(ask(SUBSCRIBE("a:1#mcpgate=up"))->status, 200);
    cr_assert_str_eq(asked(),
                     "initialize , notifications/initialized s2, logging/setLevel s2, "
                     "resources/subscribe\"a:1 s2",
                     "the level was set before there was anybody to tell");
    cr_assert_eq(ask(SUBSCRIBE("b:2#mcpgate=up"))->status, 200);
    asked();
    lives_at = "s3";
    cr_assert_eq(ask(ECHO(2))->status, 200);
    cr_assert_str_eq(asked(),
                     "tools/call s2, initialize , notifications/initialized s3, logging/setLevel s3, "
                     "resources/subscribe\"a:1 s3, resources/subscribe\"b:2 s3, tools/call s3");
    cr_assert_eq(up_counter(UPSTAT_up_reinitialized), 1);
    world_close();
}

Test(lives, a_session_that_the_upstream_lost_while_no_worker_lived_is_made_anew_with_all_it_had)
{
    world_mortal(true);
    world_open(1, UPSTREAM, NULL);
    open_session();
    cr_assert_eq(ask(SET_LEVEL(1))->status, 200);
    cr_assert_eq(ask(SUBSCRIBE("a:1#mcpgate=up"))->status, 200);
    asked();
    world_kill();
    world_mortal(false);
    forget_peers();
    lives_at = "s3";
    cr_assert_eq(ask(ECHO(2))->status, 200);
    cr_assert_str_eq(asked(),
                     "tools/call s2, initialize , notifications/initialized s3, logging/setLevel s3, "
                     "resources/subscribe\"a:1 s3, tools/call s3");
    world_close();
}

Test(lives, a_delete_ends_what_a_dead_worker_left_at_the_upstream)
{
    struct sim_peer *client;

    world_mortal(true);
    world_open(1, UPSTREAM, NULL);
    open_session();
    cr_assert_eq(ask(ECHO(1))->status, 200);
    world_kill();
    world_mortal(false);
    forget_peers();
    asked();
    client = client_new();
    say(client, "DELETE /mcp HTTP/1.1\r\nHost: x\r\n%s\r\n", session);
    serve_all();
    cr_assert_eq(reply_of(client)->status, 200);
    cr_assert_str_eq(asked(), "DELETE s2");
    world_close();
}

/* --- subscriptions of modern clients, over the gateway's own bond --- */

#define META                                                                                                 \
    "\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\","                                 \
    "\"io.modelcontextprotocol/clientCapabilities\":{}}"

static struct sim_peer *
listen_for(const char *uris)
{
    struct sim_peer *client = client_new();
    char body[512];

    snprintf(body, sizeof body,
             "{\"jsonrpc\":\"2.0\",\"id\":\"l\",\"method\":\"subscriptions/listen\",\"params\":{"
             "\"notifications\":{\"resourceSubscriptions\":[%s]}," META "}}",
             uris);
    say(client,
        "POST /mcp HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n" MCP_ACCEPT
        "MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: subscriptions/listen\r\nContent-Length: "
        "%zu\r\n\r\n%s",
        strlen(body), body);
    serve_all();
    cr_assert(has(client, "notifications/subscriptions/acknowledged"));
    return client;
}

/* The gateway's own bond is used by a list. */
static void
ask_list(void)
{
    static const char body[] =
        "{\"jsonrpc\":\"2.0\",\"id\":\"l\",\"method\":\"tools/list\",\"params\":{" META "}}";

    say(client_new(),
        "POST /mcp HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n" MCP_ACCEPT
        "MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/list\r\nContent-Length: %zu\r\n\r\n%s",
        strlen(body), body);
    serve_all();
}

static void
leave(struct sim_peer *client)
{
    sim_peer_reset(client);
    settle();
    serve_all();
}

Test(lives, the_last_who_listens_for_a_resource_takes_the_subscription_back)
{
    struct sim_peer *first, *second;
    const char *last;

    world_open(1, UPSTREAM, NULL);
    first = listen_for("\"a:1#mcpgate=up\"");
    second = listen_for("\"a:1#mcpgate=up\",\"b:2#mcpgate=up\"");
    cr_assert(strstr(asked(), "resources/subscribe\"b:2 s1"));
    leave(first);
    cr_assert_str_eq(asked(), "");
    leave(second);
    cr_assert_eq(seen_count, 2);
    last = asked(); /* over two connections */
    cr_assert(strstr(last, "resources/unsubscribe\"a:1 s1"), "%s", last);
    cr_assert(strstr(last, "resources/unsubscribe\"b:2 s1"), "%s", last);
    world_close();
}

Test(lives, what_is_listened_for_is_subscribed_again_when_the_upstream_lost_its_session)
{
    world_open(1, UPSTREAM, "--list-ttl", "0", NULL);
    listen_for("\"a:1#mcpgate=up\"");
    asked();
    lives_at = "s2";
    ask_list();
    cr_assert_str_eq(asked(), "tools/list s1, initialize , notifications/initialized s2, "
                              "resources/subscribe\"a:1 s2, tools/list s2");
    world_close();
}
