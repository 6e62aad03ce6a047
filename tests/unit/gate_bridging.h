/* SPDX-License-Identifier: Apache-2.0 */
/* Clients and upstreams of different eras, an upstream played by hand. */
#ifndef GATE_BRIDGING_H
#define GATE_BRIDGING_H

#include "gate_one_upstream.h"

#define UPSTREAM "--upstream", "up=http://10.0.0.2:80/mcp", "--era-ttl", "5m"

#define MODERN_FIELDS MCP_ACCEPT "MCP-Protocol-Version: 2026-07-28\r\n"
#define META                                                                                                 \
    "\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\","                                 \
    "\"io.modelcontextprotocol/clientCapabilities\":{},\"progressToken\":\"t\"}"
#define ECHO_CALL                                                                                            \
    "{\"jsonrpc\":\"2.0\",\"id\":\"one\",\"method\":\"tools/call\",\"params\":{\"name\":\"echo\","           \
    "\"arguments\":{\"a\":1}," META "}}"
#define DISCOVERED                                                                                           \
    "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"resultType\":\"complete\",\"supportedVersions\":"           \
    "[\"2026-07-28\"],\"capabilities\":{\"tools\":{}},\"ttlMs\":0,\"cacheScope\":\"public\"}}"
#define INITIALIZE_LATEST                                                                                    \
    "{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"initialize\",\"params\":{\"protocolVersion\":\"2025-11-"     \
    "25\",\"capabilities\":{},\"clientInfo\":{\"name\":\"c\",\"version\":\"1\"}}}"
#define INITIALIZE                                                                                           \
    "{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"initialize\",\"params\":{\"protocolVersion\":\"2025-06-"     \
    "18\","                                                                                                  \
    "\"capabilities\":{\"elicitation\":{}},\"clientInfo\":{\"name\":\"c\",\"version\":\"1\"}}}"

static struct sim_peer *client;
static char session[1024]; /* fields of a client before 2026 */

static inline void
post_modern(const char *name, const char *body)
{
    char fields[512];

    snprintf(fields, sizeof fields, MODERN_FIELDS "Mcp-Method: tools/call\r\nMcp-Name: %s\r\n", name);
    client = client_new();
    post(client, fields, body);
}

/* The upstream turns the probe away as servers before 2026-07-28 do. */
static inline void
refuse_probe(void)
{
    struct message *m = next_request();

    cr_assert(strstr(m->body, "\"server/discover\""), "%s", m->body);
    cr_assert_str_eq(field(m, "Mcp-Method"), "server/discover");
    say(server,
        "HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nContent-Length: 83\r\n\r\n%-83s",
        "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32000,\"message\":\"not initialized\"}}");
}

/* A server that speaks 2026-07-28 is asked whether it speaks the older form, too. */
static inline void
refuse_initialize(void)
{
    struct message *m = next_request();

    cr_assert(strstr(m->body, "\"initialize\""), "%s", m->body);
    say(server, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
}

static inline void
initialize_upstream(const char *id)
{
    struct message *m = next_request();
    char fields[128];

    cr_assert(strstr(m->body, "\"initialize\""), "%s", m->body);
    cr_assert_null(field(m, "Mcp-Session-Id"));
    snprintf(fields, sizeof fields, "Mcp-Session-Id: %s\r\n", id);
    answer(server, fields,
           "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"protocolVersion\":\"2025-11-25\",\"capabilities\":"
           "{\"tools\":{}},\"serverInfo\":{\"name\":\"s\",\"version\":\"1\"}}}");
    m = next_request();
    cr_assert(strstr(m->body, "notifications/initialized"), "%s", m->body);
    cr_assert_str_eq(field(m, "Mcp-Session-Id"), id);
    cr_assert_str_eq(field(m, "MCP-Protocol-Version"), "2025-11-25");
    say(server, "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n");
}

/* The upstream is asked with which revision it answers the one of INITIALIZE. */
static inline void
settle_on(const char *revision)
{
    struct message *m = next_request();
    char body[256];

    cr_assert(strstr(m->body, "\"protocolVersion\":\"2025-06-18\",\"capabilities\":{},"), "%s", m->body);
    snprintf(body, sizeof body,
             "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"protocolVersion\":\"%s\",\"capabilities\":{}}}",
             revision);
    answer(server, "", body);
}

#endif
