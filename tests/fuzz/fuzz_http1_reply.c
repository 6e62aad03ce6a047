/* SPDX-License-Identifier: Apache-2.0 */
/* The first byte picks where the rest, a reply head to GET and to HEAD, is split. */
#include "http1_arrival.h"

static enum http_method method;

static void
parse(const char *at, uint32_t len, uint32_t scanned, const struct http1_limits *limits, struct outcome *ret)
{
    ret->used = 0;
    ret->why = CLOSE_NONE;
    ret->result = http1_parse_reply(at, len, scanned, method, limits, &ret->head, &ret->used, &ret->why);
    ASSERT(ret->why == (ret->result == PARSE_BAD ? CLOSE_BAD_REPLY : CLOSE_NONE));
    if (ret->result == PARSE_OK) {
        ASSERT(ret->head.status >= 100 && ret->head.status <= 599);
        ASSERT(ret->head.framing != FRAMING_CLOSE || !ret->head.keep_alive);
        ASSERT(method != METHOD_HEAD || ret->head.framing == FRAMING_NONE || ret->head.status == 101);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    method = METHOD_GET;
    check_arrival(parse, data, size);
    method = METHOD_HEAD;
    check_arrival(parse, data, size);
    return 0;
}
