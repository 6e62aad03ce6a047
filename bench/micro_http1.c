/* SPDX-License-Identifier: Apache-2.0 */
/* Prints the time that one typical head takes to parse: the gateway does it once for each request and each
 * reply. */
#include "proto/http1.h"

#include <stdio.h>
#include <time.h>

enum { ROUNDS = 15, PARSES = 200000 };

static const char request[] =
    "POST /mcp/everything HTTP/1.1\r\nHost: gateway.example:8080\r\n"
    "Content-Type: application/json\r\nAccept: application/json, text/event-stream\r\n"
    "Mcp-Session-Id: 0123456789abcdef0123456789abcdef\r\nUser-Agent: node\r\n"
    "Content-Length: 200\r\n\r\n";
static const char reply[] = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nMcp-Session-Id: "
                            "0123456789abcdef0123456789abcdef\r\nDate: Fri, 20 Nov 2026 10:00:00 GMT\r\n"
                            "Connection: keep-alive\r\nKeep-Alive: timeout=5\r\nContent-Length: 300\r\n\r\n";

static const struct http1_limits limits = {.line = 8192, .head = 32768, .headers = 100};
static struct http1_head head;

static enum parse_result
parse_request(uint32_t *ret_used)
{
    enum close_reason why;

    return http1_parse_request(request, sizeof request - 1, 0, &limits, &head, ret_used, &why);
}

static enum parse_result
parse_reply(uint32_t *ret_used)
{
    enum close_reason why;

    return http1_parse_reply(reply, sizeof reply - 1, 0, METHOD_POST, &limits, &head, ret_used, &why);
}

/* The best of several rounds: what else the machine does only adds. False when a parse fails. */
static bool
measure(const char *name, enum parse_result (*parse)(uint32_t *ret_used))
{
    double best = 1e9;
    uint32_t used = 0;

    for (unsigned round = 0; round < ROUNDS; round++) {
        struct timespec from, to;
        double ns;

        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from);
        for (unsigned i = 0; i < PARSES; i++)
            if (parse(&used) != PARSE_OK)
                return false;
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &to);
        ns = (double)(to.tv_sec - from.tv_sec) * 1e9 + (double)(to.tv_nsec - from.tv_nsec);
        best = ns / PARSES < best ? ns / PARSES : best;
    }
    printf("%s: %u bytes, %u fields, %.1f ns\n", name, used, head.count, best);
    return true;
}

int
main(void)
{
    return measure("request", parse_request) && measure("reply", parse_reply) ? 0 : 1;
}
