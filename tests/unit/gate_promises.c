/* SPDX-License-Identifier: Apache-2.0 */
/* What every client is promised where messages are translated, with a server before 2026-07-28 that answers
 * by itself: each test is played at /mcp/up (path mode) and at /mcp (the merged server of that one upstream).
 */
#include "gate_world.h"

#include <stdlib.h>

#define EVIL   "Origin: https://evil.example\r\n"
#define PREFIX "io.modelcontextprotocol/"

static struct sim_peer *client, *stream, *talking;
static unsigned requests;
static unsigned long talk_id;
static const char *path;

/* --- the server --- */

static const char *
result_of(const char *body)
{
    static const struct {
        const char *method, *result;
    } results[] = {
        {"\"initialize\"", "{\"protocolVersion\":\"2025-11-25\",\"capabilities\":{\"tools\":{\"listChanged\":"
                           "true},\"prompts\":{},"
                           "\"resources\":{\"subscribe\":true},\"completions\":{},\"logging\":{}},"
                           "\"serverInfo\":{\"name\":\"s\",\"version\":\"1\"}}"},
        {"tools/list", "{\"tools\":[{\"name\":\"echo\",\"inputSchema\":{\"type\":\"object\"}}]}"},
        {"prompts/list", "{\"prompts\":[{\"name\":\"p\"}]}"},
        {"templates/list", "{\"resourceTemplates\":[{\"name\":\"t\",\"uriTemplate\":\"x:{y}\"}]}"},
        {"resources/list", "{\"resources\":[{\"name\":\"r\",\"uri\":\"x:r\"}]}"},
        {"resources/read", "{\"contents\":[{\"uri\":\"x:r\",\"text\":\"\"}]}"},
        {"prompts/get", "{\"messages\":[]}"},
        {"completion/complete", "{\"completion\":{\"values\":[]}}"},
        {"tools/call", "{\"content\":[]}"},
        {"\"method\"", "{}"},
    };
    unsigned i = 0;

    while (!strstr(body, results[i].method))
        i++;
    return results[i].result;
}

static void
talk(const char *method, const char *params)
{
    char event[512];

    snprintf(event, sizeof event,
             "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/%s\",\"params\":%s}\n\n", method, params);
    say_chunk(talking, event);
}

static void
end_talk(void)
{
    char event[256];

    snprintf(event, sizeof event, "data: {\"jsonrpc\":\"2.0\",\"id\":%lu,\"result\":{\"content\":[]}}\n\n",
             talk_id);
    say_chunk(talking, event);
}

static void
serve_request(struct sim_peer *peer, const struct message *m)
{
    const char *id = strstr(m->body, "\"id\":");
    unsigned long n = id ? strtoul(id + 5, NULL, 10) : 0;
    char json[1024];

    requests++;
    if (strncmp(m->head, "GET ", 4) == 0) {
        stream = peer;
        answer_stream(peer, "");
    } else if (strstr(m->body, "server/discover")) {
        say(peer, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
    } else if (!id || !strstr(m->body, "\"method\"")) {
        say(peer, "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n");
    } else if (strstr(m->body, "\"name\":\"talk\"")) {
        talking = peer;
        talk_id = n;
        answer_stream(peer, "");
    } else {
        snprintf(json, sizeof json, "{\"jsonrpc\":\"2.0\",\"id\":%lu,\"result\":%s}", n, result_of(m->body));
        answer(peer, strstr(m->body, "\"initialize\"") ? "Mcp-Session-Id: s\r\n" : "", json);
    }
}

/* --- clients --- */

static const char *const paths[] = {"/mcp/up", "/mcp"};

static void
open_at(const char *at)
{
    path = at;
    requests = 0;
    stream = talking = NULL;
    world_open(1, "--upstream", "up=http://10.0.0.2:80/mcp", "--era-ttl", "5m", "--mode",
               strcmp(at, "/mcp") ? "path" : "merged", NULL);
}

#define EVERYWHERE                                                                                           \
    for (unsigned at = 0; at < 2; at++, world_close())                                                       \
        for (bool once = (open_at(paths[at]), true); once; once = false)

static void
send_to(const char *fields, const char *body)
{
    client = client_new();
    say(client,
        "POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n" MCP_ACCEPT
        "%sContent-Length: %zu\r\n"
        "\r\n%s",
        path, fields, strlen(body), body);
    servers_serve(serve_request);
}

/* A request of 2026-07-28. `name`: of Mcp-Name, or NULL; `params`: raw members, each with a comma behind it;
 * `meta`: the same. */
static void
send_modern(const char *fields, const char *id, const char *method, const char *name, const char *params,
            const char *meta)
{
    char lines[1024], body[2048];

    snprintf(lines, sizeof lines, "MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: %s\r\n%s%s%s%s", method,
             name ? "Mcp-Name: " : "", name ? name : "", name ? "\r\n" : "", fields);
    snprintf(body, sizeof body,
             "{\"jsonrpc\":\"2.0\",\"id\":%s,\"method\":\"%s\",\"params\":{%s\"_meta\":{%s\"" PREFIX
             "protocolVersion\":\"2026-07-28\",\"" PREFIX "clientCapabilities\":{}}}}",
             id, method, params, meta);
    send_to(lines, body);
}

static struct message *
ask_modern(const char *id, const char *method, const char *name, const char *params)
{
    send_modern("", id, method, name, params, "");
    return reply_of(client);
}

#define INITIALIZE(version)                                                                                  \
    "{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"initialize\",\"params\":{\"protocolVersion\":\"" version     \
    "\","                                                                                                    \
    "\"capabilities\":{},\"clientInfo\":{\"name\":\"c\",\"version\":\"1\"}}}"

static char session[1024];

static void
open_session(const char *version)
{
    struct message *m;

    /* Where both speak one revision path mode translates nothing: 2024-11-05 is not the server's. */
    send_to("", strcmp(version, "2024-11-05") ? INITIALIZE("2025-03-26") : INITIALIZE("2024-11-05"));
    m = reply_of(client);
    cr_assert(strstr(m->body, version), "%s", m->body);
    snprintf(session, sizeof session, "Mcp-Session-Id: %s\r\n", field(m, "Mcp-Session-Id"));
}

/* --- the promises --- */

Test(promises, nobody_comes_from_elsewhere)
{
    static const char *const verbs[] = {"GET", "POST", "DELETE", "OPTIONS"};

    EVERYWHERE
    {
        for (unsigned i = 0; i < 4; i++) {
            client = client_new();
            say(client, "%s %s HTTP/1.1\r\nHost: x\r\n" EVIL "Content-Length: 0\r\n\r\n", verbs[i], path);
            cr_assert_eq(reply_of(client)->status, 403, "%s", verbs[i]);
        }
        send_modern(EVIL, "1", "tools/list", NULL, "", "");
        cr_assert_eq(reply_of(client)->status, 403);
        cr_assert_eq(requests, 0);
    }
}

Test(promises, a_modern_client_has_no_session)
{
    EVERYWHERE
    {
        send_modern("Mcp-Session-Id: of-nobody\r\nLast-Event-ID: 3\r\n", "1", "tools/list", NULL, "", "");
        struct message *m = reply_of(client);

        cr_assert_eq(m->status, 200, "%s", m->body);
        cr_assert_null(field(m, "Mcp-Session-Id"));
    }
}

Test(promises, a_modern_client_discovers_what_an_older_server_can)
{
    EVERYWHERE
    {
        struct message *m = ask_modern("\"d\"", "server/discover", NULL, "");

        cr_assert_eq(m->status, 200);
        cr_assert(strstr(m->body, "\"supportedVersions\":[\"2026-07-28\"]"), "%s", m->body);
        cr_assert(strstr(m->body, "\"tools\":{\"listChanged\":true}"), "%s", m->body);
        cr_assert(strstr(m->body, "\"ttlMs\":"), "%s", m->body);
        cr_assert(strstr(m->body, "\"cacheScope\":\"p"), "%s", m->body);
        cr_assert(strstr(m->body, "\"id\":\"d\""), "%s", m->body);
    }
}

Test(promises, results_for_a_modern_client_say_what_they_are_and_how_long_they_hold)
{
    static const struct {
        const char *method, *name, *params;
        bool holds;
    } cases[] = {
        {"tools/list", NULL, "", true},
        {"prompts/list", NULL, "", true},
        {"resources/list", NULL, "", true},
        {"resources/templates/list", NULL, "", true},
        {"resources/read", "x:r", "\"uri\":\"x:r\",", true},
        {"tools/call", "echo", "\"name\":\"echo\",", false},
        {"prompts/get", "p", "\"name\":\"p\",", false},
        {"completion/complete", NULL,
         "\"ref\":{\"type\":\"ref/prompt\",\"name\":\"p\"},\"argument\":{\"name\":\"a\",\"value\":\"\"},",
         false},
    };

    EVERYWHERE
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct message *m = ask_modern("5", cases[i].method, cases[i].name, cases[i].params);

        cr_assert(strstr(m->body, "\"resultType\":\"complete\""), "%s: %s", path, m->body);
        cr_assert_eq(strstr(m->body, "\"ttlMs\":") != NULL, cases[i].holds, "%s: %s", path, m->body);
        cr_assert_eq(strstr(m->body, "\"cacheScope\":\"p") != NULL, cases[i].holds, "%s: %s", path, m->body);
    }
}

Test(promises, an_answer_has_the_id_of_its_question_in_value_and_kind)
{
    static const char *const ids[] = {"0",    "\"0\"", "-7", "9007199254740991", "\"\\u00e9\\\"\"",
                                      "\"\""};

    EVERYWHERE
    for (unsigned i = 0; i < sizeof ids / sizeof *ids; i++) {
        char want[64];

        snprintf(want, sizeof want, "\"id\":%s,", ids[i]);
        cr_assert(strstr(ask_modern(ids[i], "tools/call", "echo", "\"name\":\"echo\",")->body, want), "%s",
                  want);
        cr_assert(strstr(ask_modern(ids[i], "tools/list", NULL, "")->body, want), "%s", want);
    }
}

Test(promises, progress_and_log_go_where_they_were_asked_for_until_the_answer)
{
    EVERYWHERE
    {
        struct sim_peer *caller, *other;
        char progress[128];

        send_modern("", "1", "tools/call", "talk", "\"name\":\"talk\",",
                    "\"progressToken\":\"t\",\"" PREFIX "logLevel\":\"warning\",");
        caller = client;
        send_modern("", "2", "subscriptions/listen", NULL, "\"notifications\":{\"toolsListChanged\":true},",
                    "");
        other = client;
        snprintf(progress, sizeof progress, "{\"progressToken\":%lu,\"progress\":1}", talk_id);
        talk("progress", progress);
        talk("progress", "{\"progressToken\":99,\"progress\":1}");
        talk("message", "{\"level\":\"info\",\"data\":\"low\"}");
        talk("message", "{\"level\":\"error\",\"data\":\"high\"}");
        cr_assert(has(caller, "\"progressToken\":\"t\""));
        cr_assert_not(has(caller, "99"));
        cr_assert_not(has(caller, "low"));
        cr_assert(has(caller, "high"));
        cr_assert_not(has(other, "notifications/progress"));
        cr_assert_not(has(other, "notifications/message"));
        end_talk();
        talk("message", "{\"level\":\"error\",\"data\":\"late\"}");
        cr_assert(has(caller, "\"id\":1,"));
        cr_assert_not(has(caller, "late"));
        sim_peer_reset(other);
        settle();
        servers_serve(serve_request);
    }
}

Test(promises, a_modern_client_that_names_no_level_gets_no_log)
{
    EVERYWHERE
    {
        send_modern("", "1", "tools/call", "talk", "\"name\":\"talk\",", "");
        talk("message", "{\"level\":\"emergency\",\"data\":\"x\"}");
        cr_assert_not(has(client, "notifications/message"));
        end_talk();
        cr_assert(strstr(reply_of(client)->body, "\"id\":1,"));
    }
}

Test(promises, a_subscription_is_acknowledged_first_and_hears_what_it_asked_for)
{
    EVERYWHERE
    {
        send_modern("", "\"l\"", "subscriptions/listen", NULL,
                    "\"notifications\":{\"toolsListChanged\":true,\"promptsListChanged\":true},", "");
        const char *ack = strstr(sim_peer_peek(client, NULL), "data: ");

        cr_assert(ack && strstr(ack, "notifications/subscriptions/acknowledged"), "%s", path);
        cr_assert(has(client, "\"toolsListChanged\":true"));
        cr_assert_not(has(client, "promptsListChanged"), "the server does not announce them");
        cr_assert(has(client, "\"" PREFIX "subscriptionId\":\"l\""));
        cr_assert_not_null(stream);
        say_chunk(stream,
                  "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/prompts/list_changed\"}\n\n");
        cr_assert_not(has(client, "prompts/list_changed"));
        say_chunk(stream, "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\"}\n\n");
        cr_assert(has(client, "notifications/tools/list_changed"));
        worker_drain(world.worker, 1000);
        settle();
        cr_assert(has(client, "\"id\":\"l\",\"result\":{\"resultType\":\"complete\""));
    }
}

Test(promises, who_cannot_answer_is_not_asked)
{
    EVERYWHERE
    {
        struct message *m;

        send_modern("", "1", "tools/call", "talk", "\"name\":\"talk\",", "");
        say_chunk(talking,
                  "data: {\"jsonrpc\":\"2.0\",\"id\":\"q\",\"method\":\"elicitation/create\",\"params\":"
                  "{\"message\":\"who?\",\"requestedSchema\":{\"type\":\"object\",\"properties\":{}}}}\n\n");
        servers_serve(serve_request);
        cr_assert_not(has(client, "input_required"));
        cr_assert_not(has(client, "elicitation/create"));
        end_talk();
        m = reply_of(client);
        cr_assert(strstr(m->body, "\"content\":[]"), "the server made do without: %s", m->body);
    }
}

Test(promises, what_modern_clients_must_not_see_is_put_in_their_words)
{
    EVERYWHERE
    {
        struct message *m;
        char event[256];

        send_modern("", "1", "tools/call", "talk", "\"name\":\"talk\",", "");
        snprintf(
            event, sizeof event,
            "data: {\"jsonrpc\":\"2.0\",\"id\":%lu,\"error\":{\"code\":-32002,\"message\":\"none\",\"data\":"
            "{\"uri\":\"x:n\"}}}\n\n",
            talk_id);
        say_chunk(talking, event);
        m = reply_of(client);
        cr_assert(strstr(m->body, "\"code\":-32602"), "%s", m->body);
        cr_assert(strstr(m->body, "\"uri\":\"x:n\""), "%s", m->body);
    }
}

Test(promises, an_older_client_may_leave_its_version_out_but_not_name_a_wrong_one)
{
    EVERYWHERE
    {
        char fields[1200];

        open_session("2024-11-05");
        send_to(session, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\"}");
        cr_assert(strstr(reply_of(client)->body, "\"echo\""));
        snprintf(fields, sizeof fields, "%sMCP-Protocol-Version: 1999-01-01\r\n", session);
        send_to(fields, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\"}");
        cr_assert_eq(reply_of(client)->status, 400);
    }
}

Test(promises, initialize_settles_on_an_older_revision_and_ping_asks_nobody)
{
    path = paths[1];
    open_at(path);
    send_to("", INITIALIZE("2031-01-01"));
    cr_assert(strstr(reply_of(client)->body, "\"protocolVersion\":\"2025-11-25\""));
    send_to("", INITIALIZE("2026-07-28"));
    cr_assert(strstr(reply_of(client)->body, "\"protocolVersion\":\"2025-11-25\""));
    open_session("2024-11-05");
    requests = 0;
    send_to(session, "{\"jsonrpc\":\"2.0\",\"id\":\"p\",\"method\":\"ping\"}");
    cr_assert_str_eq(reply_of(client)->body, "{\"jsonrpc\":\"2.0\",\"id\":\"p\",\"result\":{}}");
    cr_assert_eq(requests, 0);
    world_close();
}

Test(promises, streams_ask_proxies_not_to_hold_them_and_say_that_they_live)
{
    EVERYWHERE
    {
        send_modern("", "1", "tools/call", "talk", "\"name\":\"talk\",", "\"progressToken\":1,");
        char progress[128];

        snprintf(progress, sizeof progress, "{\"progressToken\":%lu,\"progress\":1}", talk_id);
        talk("progress", progress);
        cr_assert(has(client, "Content-Type: text/event-stream"));
        cr_assert(has(client, "X-Accel-Buffering: no"));
        cr_assert(has(client, "Cache-Control: no-cache, no-transform"));
        cr_assert_not(has(client, "Content-Encoding"));
        cr_assert(has(client, "\"progress\":1"), "at once");
        advance(16000);
        cr_assert(has(client, "\n:"), "a comment between two events");
        end_talk();
        cr_assert(has(client, "\"id\":1,"));
    }
}
