/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is sealed here opens to the same, once and for its own use only: a session token, and the field of a
 * request forwarded to its home. Whatever the input changes in the sealed text, it does not open.
 *
 *      content 60 | then mutations of 4: kind, place 2, value
 */
#include "base/check.h"
#include "gate/forward.h"
#include "mcp/token.h"

enum { CONTENT_BYTES = 60, TEXT_MAX = MCP_TOKEN_SIZE + 64, NOW_S = 1000 };
enum { CHANGE, CUT, INSERT, SWAP, KINDS };

static struct seal_keys keys;

static void
setup(void)
{
    static const uint8_t bytes[2][SEAL_KEY_BYTES] = {"a key that only this test knows.",
                                                     "another key, that opens as well."};
    static const struct seal_key from[] = {{1, bytes[1]}, {0x41414141, bytes[0]}};

    if (!keys.current)
        seal_keys_init(&keys, from, 2, 1);
}

/* Returns the new length. */
static uint32_t
mutate(char *text, uint32_t len, const uint8_t m[4])
{
    uint32_t at = len ? (uint32_t)(m[1] << 8 | m[2]) % len : 0;

    if (!len)
        return 0;
    switch (m[0] % KINDS) {
    case CHANGE:
        text[at] = (char)m[3];
        return len;
    case CUT:
        return at;
    case INSERT:
        if (len == TEXT_MAX)
            return len;
        memmove(text + at + 1, text + at, len - at);
        text[at] = (char)m[3];
        return len + 1;
    default: {
        char *other = text + m[3] % len, kept = text[at];

        text[at] = *other;
        *other = kept;
        return len;
    }
    }
}

/* `sealed` with the input's mutations; false when they left it as it was. */
static bool
mutated(struct text sealed, const uint8_t *data, size_t size, char *text, uint32_t *ret_len)
{
    uint32_t len = sealed.len;

    memcpy(text, sealed.at, len);
    for (; size >= 4; data += 4, size -= 4)
        len = mutate(text, len, data);
    *ret_len = len;
    return !text_eq((struct text){text, len}, sealed);
}

static void
check_token(const uint8_t *data, size_t size)
{
    char sealed[TEXT_MAX], text[TEXT_MAX];
    struct mcp_token token = {.node = data[32], .slot = (uint32_t)data[33] << 24, .epoch = data[34]}, back;
    struct forward other;
    uint32_t n;

    memcpy(token.id, data, sizeof token.id);
    memcpy(token.principal, data + 16, sizeof token.principal);
    memcpy(&token.client_capabilities, data + 36, 4);
    token.revision = data[35] % (MCP_LATEST_LEGACY + 1);
    token.expires_s = NOW_S + 1 + data[40];
    n = mcp_token_seal(&token, &keys, sealed, sizeof sealed);
    ASSERT(n == MCP_TOKEN_SIZE);
    ASSERT(mcp_token_open((struct text){sealed, n}, &keys, NOW_S, &back));
    ASSERT(memcmp(token.id, back.id, sizeof token.id) == 0 &&
           memcmp(token.principal, back.principal, sizeof token.principal) == 0);
    ASSERT(token.node == back.node && token.slot == back.slot && token.epoch == back.epoch);
    ASSERT(token.revision == back.revision && token.client_capabilities == back.client_capabilities &&
           token.expires_s == back.expires_s);
    ASSERT(!mcp_token_open((struct text){sealed, n}, &keys, token.expires_s, &back));
    ASSERT(!forward_open((struct text){sealed, n}, &keys, NOW_S, &other));
    if (mutated((struct text){sealed, n}, data + CONTENT_BYTES, size - CONTENT_BYTES, text, &n))
        ASSERT(!mcp_token_open((struct text){text, n}, &keys, NOW_S, &back));
}

static void
check_forward(const uint8_t *data, size_t size)
{
    char sealed[TEXT_MAX], text[TEXT_MAX];
    struct forward forward = {.peer = {.port = (uint16_t)(data[16] << 8 | data[17]),
                                       .is_unix = data[18] & 1,
                                       .uid = data[19]},
                              .is_trusted = data[18] & 2,
                              .from_slot = data[20],
                              .expires_s = NOW_S + data[21]},
                   back;
    struct mcp_token other;
    uint32_t n;

    memcpy(forward.peer.ip, data, 16);
    n = forward_seal(&forward, &keys, sealed, sizeof sealed);
    ASSERT(n > 0 && forward_seal(&forward, &keys, text, n - 1) == 0);
    ASSERT(forward_open((struct text){sealed, n}, &keys, NOW_S, &back));
    ASSERT(memcmp(forward.peer.ip, back.peer.ip, 16) == 0 && forward.peer.port == back.peer.port);
    ASSERT(forward.peer.is_unix == back.peer.is_unix && forward.peer.uid == back.peer.uid);
    ASSERT(forward.is_trusted == back.is_trusted && forward.from_slot == back.from_slot &&
           forward.expires_s == back.expires_s);
    ASSERT(!forward_open((struct text){sealed, n}, &keys, forward.expires_s + 1, &back));
    ASSERT(!mcp_token_open((struct text){sealed, n}, &keys, NOW_S, &other));
    if (mutated((struct text){sealed, n}, data + CONTENT_BYTES, size - CONTENT_BYTES, text, &n))
        ASSERT(!forward_open((struct text){text, n}, &keys, NOW_S, &back));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < CONTENT_BYTES || size > 1000)
        return 0;
    setup();
    check_token(data, size);
    check_forward(data, size);
    return 0;
}
