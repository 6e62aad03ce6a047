/* SPDX-License-Identifier: Apache-2.0 */
/* The first byte picks where the rest, a request head, is split. */
#include "http1_arrival.h"

static void
parse(const char *at, uint32_t len, uint32_t scanned, const struct http1_limits *limits, struct outcome *ret)
{
    ret->used = 0;
    ret->why = CLOSE_NONE;
    ret->result = http1_parse_request(at, len, scanned, limits, &ret->head, &ret->used, &ret->why);
    ASSERT((ret->result == PARSE_BAD) == (ret->why != CLOSE_NONE));
    if (ret->result == PARSE_OK) {
        ASSERT(ret->head.path.len && (ret->head.path.at[0] == '/' || text_eq(ret->head.path, TEXT("*"))));
        ASSERT(ret->head.framing <= FRAMING_CHUNKED);
        ASSERT(ret->head.minor == 0 || ret->head.first[HTTP_HOST]);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_arrival(parse, data, size);
    return 0;
}
