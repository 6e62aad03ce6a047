/* SPDX-License-Identifier: Apache-2.0 */
/* Values that come in header fields: a name that decodes is encoded to what decodes to the same; base64 has
 * one spelling for each value; and no text opens that was not sealed here. */
#include "base/check.h"
#include "mcp/token.h"

#include <stdlib.h>

static void
check_base64(enum base64_form form, struct text value)
{
    uint8_t bytes[1024];
    char again[2048];
    int n = base64_decode(form, value, bytes, sizeof bytes);

    if (n >= 0)
        ASSERT(text_eq((struct text){again, base64_encode(form, bytes, (uint32_t)n, again)}, value));
}

static void
check_name(struct text value)
{
    char name[1024], header[2048], back[1024];
    int n = mcp_header_decode(value, name, sizeof name), m;

    if (n < 0)
        return;
    m = mcp_header_encode((struct text){name, (uint32_t)n}, header, sizeof header);
    ASSERT(m >= 0);
    m = mcp_header_decode((struct text){header, (uint32_t)m}, back, sizeof back);
    ASSERT(m == n && memcmp(name, back, (size_t)n) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t bytes[SEAL_KEY_BYTES] = "a key that only this test knows.";
    static const struct seal_key key = {0x41414141, bytes}; /* what "QUFBQQ" says in base64 */
    static struct seal_keys keys;
    struct text value = {(const char *)data, (uint32_t)size};
    struct mcp_token token;
    uint8_t out[SEAL_CONTENT_MAX];

    if (!keys.keys[0].id)
        seal_keys_init(&keys, &key, 1, 0);
    if (!size || size > 1000)
        return 0;
    check_base64(BASE64_STANDARD, value);
    check_base64(BASE64_URL, value);
    check_name(value);
    ASSERT(seal_open(&keys, TEXT("session"), value, out, sizeof out) < 0);
    ASSERT(!mcp_token_open(value, &keys, 0, &token));
    return 0;
}
