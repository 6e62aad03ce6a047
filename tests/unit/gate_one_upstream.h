/* SPDX-License-Identifier: Apache-2.0 */
/* An upstream over HTTP that the test plays by hand, one connection at a time. */
#ifndef GATE_ONE_UPSTREAM_H
#define GATE_ONE_UPSTREAM_H

#include "gate_world.h"

static struct sim_peer *server;

/* The next request that reached the upstream, whichever connection it came on: that is `server` then. */
static inline struct message *
next_request(void)
{
    struct sim_peer *fresh = server_next();

    if (fresh)
        server = fresh;
    return request_of(server);
}

/* The number that a request has at the upstream. */
static inline unsigned long long
number_of(const struct message *m)
{
    const char *id = strstr(m->body, "\"id\":");
    unsigned long long n = 0;

    cr_assert(id && sscanf(id + 5, "%llu", &n) == 1, "%s", m->body);
    return n;
}

static inline void
answer_call(unsigned long long number, const char *result)
{
    char body[2048];

    snprintf(body, sizeof body, "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":%s}", number, result);
    answer(server, "", body);
}

#endif
