/* SPDX-License-Identifier: Apache-2.0 */
/* Prints the time that the scan of one message takes, by size, mode and twin: the gateway does it for each
 * call whose body is in the first buffer, and for every one where policy or bridging looks into it. */
#include "proto/jsonrpc.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { ROUNDS = 15, BODY_MAX = 64 << 10 };

static char body[BODY_MAX + 1024];

/* A modern tools/call of about `size` bytes: one argument is text, the other a list of small objects. */
static struct text
make_body(uint32_t size)
{
    uint32_t n = (uint32_t)snprintf(
        body, sizeof body,
        "{\"jsonrpc\":\"2.0\",\"id\":17,\"method\":\"tools/call\",\"params\":{\"name\":\"echo\",\"_meta\":"
        "{\"io.modelcontextprotocol/"
        "protocolVersion\":\"2026-07-28\",\"progressToken\":3},\"arguments\":{\"text\":\"");

    while (n < size / 2)
        n += (uint32_t)snprintf(body + n, sizeof body - n, "lorem ipsum dolor sit amet, ");
    n += (uint32_t)snprintf(body + n, sizeof body - n, "\",\"rows\":[0");
    while (n + 30 < size)
        n += (uint32_t)snprintf(body + n, sizeof body - n, ",{\"key\":\"value %u\",\"n\":%u}", n, n);
    n += (uint32_t)snprintf(body + n, sizeof body - n, "]}}}");
    return (struct text){body, n};
}

/* The best of several rounds: what else the machine does only adds. */
static double
measure(struct text message, enum json_mode mode)
{
    unsigned scans = 20u * BODY_MAX / message.len;
    double best = 1e9;

    for (unsigned round = 0; round < ROUNDS; round++) {
        struct jsonrpc_envelope env;
        struct timespec from, to;
        double ns;

        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from);
        for (unsigned i = 0; i < scans; i++)
            if (jsonrpc_scan(message, mode, &env) != JSONRPC_FAULT_FINE)
                abort();
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &to);
        ns = (double)(to.tv_sec - from.tv_sec) * 1e9 + (double)(to.tv_nsec - from.tv_nsec);
        best = ns / scans < best ? ns / scans : best;
    }
    return best;
}

int
main(void)
{
    static const uint32_t sizes[] = {200, 2048, BODY_MAX};
    static const char *const twins[] = {[JSONRPC_PORTABLE] = "portable", [JSONRPC_AVX2] = "avx2"};

    for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct text message = make_body(sizes[i]);

        for (int twin = 0; twin < JSONRPC_TWINS; twin++) {
            if (!jsonrpc_use_twin((enum jsonrpc_twin)twin))
                continue;
            printf("%6u bytes, %-8s: strict %8.1f ns, fast %8.1f ns\n", message.len, twins[twin],
                   measure(message, JSON_SCAN_STRICT), measure(message, JSON_SCAN_FAST));
        }
    }
    return 0;
}
