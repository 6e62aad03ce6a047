/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a URL, listener, CIDR block, origin or field: what is returned lies inside the input, keeps
 * its bounds, and means the same when it is put together again.
 */
#include "base/check.h"
#include "cfg/address.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool
is_inside(struct text part, struct text whole)
{
    return part.at >= whole.at && part.at + part.len <= whole.at + whole.len;
}

static void
check_url(struct text input)
{
    struct cfg_refusal refusal = {0};
    struct cfg_url url, again;
    char text[2 * CFG_URL_MAX + 64];
    int n;

    if (cfg_parse_url(input, &url, &refusal) < 0) {
        ASSERT(refusal.reason);
        return;
    }
    ASSERT(cfg_is_path(url.path) && url.host.len > 0);
    ASSERT(url.path.len == 1 || is_inside(url.path, input));
    if (url.unix_path.len) {
        ASSERT(is_inside(url.unix_path, input) && url.unix_path.len <= CFG_SUN_PATH_MAX && url.port == 0);
        n = snprintf(text, sizeof text, "http+unix:%.*s:%.*s", (int)url.unix_path.len, url.unix_path.at,
                     (int)url.path.len, url.path.at);
    } else {
        ASSERT(is_inside(url.host, input) && url.port > 0);
        n = snprintf(text, sizeof text, "http://%s%.*s%s:%u%.*s", url.is_v6 ? "[" : "", (int)url.host.len,
                     url.host.at, url.is_v6 ? "]" : "", url.port, (int)url.path.len, url.path.at);
    }
    if (n > CFG_URL_MAX) /* with what the input left out */
        return;
    ASSERT(cfg_parse_url((struct text){text, (uint32_t)n}, &again, &refusal) == 0);
    ASSERT(text_eq(url.host, again.host) && text_eq(url.path, again.path) &&
           text_eq(url.unix_path, again.unix_path));
    ASSERT(url.port == again.port && url.is_literal == again.is_literal && url.is_v6 == again.is_v6);
    ASSERT(memcmp(url.ip, again.ip, sizeof url.ip) == 0);
}

static void
check_listener(struct text input)
{
    struct cfg_place place;
    const char *reason = NULL;

    if (cfg_parse_listener(input, &place, &reason) < 0)
        ASSERT(reason);
    else
        ASSERT(!place.is_unix || (is_inside(place.path, input) && place.path.len <= CFG_SUN_PATH_MAX));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cfg_cidr cidr;
    struct text input;
    char *copy;

    if (size > 1 << 16)
        return 0;
    copy = malloc(size ? size : 1); /* of its own, so that the sanitizer sees the end */
    ASSERT(copy);
    memcpy(copy, data, size);
    input = (struct text){copy, (uint32_t)size};
    check_url(input);
    check_listener(input);
    if (cfg_parse_cidr(input, &cidr) == 0)
        ASSERT(cidr.bits <= 128 && cfg_cidr_has(&cidr, cidr.ip));
    if (cfg_is_settable_field(input))
        ASSERT(cfg_is_field_value(input));
    ASSERT(!cfg_is_upstream_name(input) || (input.len >= 1 && input.len <= 64));
    ASSERT(!cfg_is_origin(input) || !memchr(copy, '\n', size));
    free(copy);
    return 0;
}
