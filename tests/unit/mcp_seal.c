/* SPDX-License-Identifier: Apache-2.0 */
#include "mcp/seal.h"
#include "mcp/token.h"

#include <criterion/criterion.h>

static const uint8_t key_bytes[3][SEAL_KEY_BYTES] = {{1}, {2}, {3}};
static const struct seal_key ring[3] = {{7, key_bytes[0]}, {0xfffffff1, key_bytes[1]}, {9, key_bytes[2]}};
static struct seal_keys keys;

static void
set_up(void)
{
    seal_keys_init(&keys, ring, 3, 1);
}

static void
tear_down(void)
{
    seal_keys_done(&keys);
}

static struct text
sealed(const char *label, const char *content)
{
    static char out[SEAL_TEXT_SIZE(SEAL_CONTENT_MAX)];
    uint32_t n = seal_write(&keys, text_of(label), content, (uint32_t)strlen(content), out, sizeof out);

    cr_assert_eq(n, SEAL_TEXT_SIZE(strlen(content)));
    return (struct text){out, n};
}

TestSuite(seal, .init = set_up, .fini = tear_down);
TestSuite(token, .init = set_up, .fini = tear_down);

Test(seal, opens_what_it_sealed_with_any_key_of_the_ring)
{
    char out[64];

    for (unsigned i = 0; i < 3; i++) {
        struct text text;

        keys.current = i;
        text = sealed("a", "hello");
        keys.current = (i + 1) % 3;
        cr_assert_eq(seal_open(&keys, TEXT("a"), text, out, sizeof out), 5);
        cr_assert_eq(memcmp(out, "hello", 5), 0);
        cr_assert_eq(seal_open(&keys, TEXT("a"), text, out, 5), 5);
        cr_assert_eq(seal_open(&keys, TEXT("a"), text, out, 4), -1);
    }
    cr_assert_eq(seal_open(&keys, TEXT("a"), sealed("a", ""), out, 0), 0);
}

Test(seal, is_visible_ascii_and_never_the_same_twice)
{
    char first[SEAL_TEXT_SIZE(5)];
    struct text text = sealed("a", "hello");

    memcpy(first, text.at, text.len);
    for (uint32_t i = 0; i < text.len; i++)
        cr_assert(text.at[i] >= 0x21 && text.at[i] <= 0x7e);
    text = sealed("a", "hello");
    cr_assert(!text_eq(text, (struct text){first, text.len}));
}

Test(seal, takes_content_up_to_its_limit_and_writes_no_more_than_fits)
{
    static char content[SEAL_CONTENT_MAX + 1], out[SEAL_CONTENT_MAX];
    char small[SEAL_TEXT_SIZE(5)];

    memset(content, 'x', SEAL_CONTENT_MAX);
    cr_assert_eq(seal_open(&keys, TEXT("a"), sealed("a", content), out, sizeof out), SEAL_CONTENT_MAX);
    cr_assert_eq(memcmp(out, content, sizeof out), 0);
    cr_assert_eq(seal_write(&keys, TEXT("a"), "hello", 5, small, sizeof small - 1), 0);
    cr_assert_eq(seal_write(&keys, TEXT("a"), "hello", 5, small, sizeof small), sizeof small);
}

Test(seal, refuses_another_use_another_key_and_unknown_keys)
{
    static const struct seal_key impostor = {0xfffffff1, key_bytes[0]}, stranger = {8, key_bytes[1]};
    struct text text = sealed("session", "hello");
    struct seal_keys other;
    char out[64];

    cr_assert_eq(seal_open(&keys, TEXT("forward"), text, out, sizeof out), -1);
    cr_assert_eq(seal_open(&keys, TEXT("sessio"), text, out, sizeof out), -1);
    cr_assert_eq(seal_open(&keys, TEXT(""), text, out, sizeof out), -1);
    seal_keys_init(&other, &impostor, 1, 0);
    cr_assert_eq(seal_open(&other, TEXT("session"), text, out, sizeof out), -1);
    seal_keys_done(&other);
    seal_keys_init(&other, &stranger, 1, 0);
    cr_assert_eq(seal_open(&other, TEXT("session"), text, out, sizeof out), -1);
    seal_keys_done(&other);
}

Test(seal, refuses_text_that_was_changed_in_any_character_or_cut)
{
    struct text text = sealed("a", "hello");
    char copy[128], out[64];

    for (uint32_t i = 0; i < text.len; i++) {
        memcpy(copy, text.at, text.len);
        copy[i] = copy[i] == 'A' ? 'B' : 'A';
        cr_assert_eq(seal_open(&keys, TEXT("a"), (struct text){copy, text.len}, out, sizeof out), -1, "%u",
                     i);
        copy[i] = '=';
        cr_assert_eq(seal_open(&keys, TEXT("a"), (struct text){copy, text.len}, out, sizeof out), -1, "%u",
                     i);
        cr_assert_eq(seal_open(&keys, TEXT("a"), (struct text){text.at, i}, out, sizeof out), -1, "%u", i);
    }
}

static const struct mcp_token example = {
    .id = {1, 2, 3, [15] = 4},
    .node = 0x01020304,
    .slot = 5,
    .epoch = 6,
    .principal = {9},
    .revision = MCP_2025_06_18,
    .client_capabilities = 0x80000001,
    .expires_s = 0x100000000,
};

Test(token, keeps_everything_it_was_made_of)
{
    struct mcp_token back;
    char text[MCP_TOKEN_SIZE];

    cr_assert_eq(mcp_token_seal(&example, &keys, text, sizeof text), MCP_TOKEN_SIZE);
    cr_assert(mcp_token_open((struct text){text, sizeof text}, &keys, 0xffffffff, &back));
    cr_assert_eq(memcmp(back.id, example.id, sizeof back.id), 0);
    cr_assert_eq(memcmp(back.principal, example.principal, sizeof back.principal), 0);
    cr_assert(back.node == example.node && back.slot == example.slot && back.epoch == example.epoch);
    cr_assert(back.revision == example.revision && back.expires_s == example.expires_s);
    cr_assert_eq(back.client_capabilities, example.client_capabilities);
    for (size_t i = 0; i < sizeof text; i++)
        cr_assert(text[i] >= 0x21 && text[i] <= 0x7e);
    cr_assert_eq(mcp_token_seal(&example, &keys, text, sizeof text - 1), 0);
}

Test(token, expires_at_its_second)
{
    struct mcp_token back;
    char text[MCP_TOKEN_SIZE];

    mcp_token_seal(&example, &keys, text, sizeof text);
    cr_assert(!mcp_token_open((struct text){text, sizeof text}, &keys, 0x100000000, &back));
    cr_assert(mcp_token_open((struct text){text, sizeof text}, &keys, 0xffffffff, &back));
}

Test(token, is_refused_when_it_is_something_else)
{
    struct mcp_token odd = example, back;
    char text[MCP_TOKEN_SIZE + 1], other[MCP_TOKEN_SIZE];
    uint8_t zero[MCP_TOKEN_BYTES] = {0};

    cr_assert_eq(mcp_token_seal(&example, &keys, text, sizeof text), MCP_TOKEN_SIZE);
    text[MCP_TOKEN_SIZE] = 'A';
    cr_assert(!mcp_token_open((struct text){text, sizeof text}, &keys, 0, &back));
    cr_assert(!mcp_token_open((struct text){text, sizeof text - 2}, &keys, 0, &back));
    cr_assert(!mcp_token_open(TEXT("0b0f0e5c-1868-4b3c-8a05-5f0f8d3b1b9e"), &keys, 0, &back));
    cr_assert(!mcp_token_open(TEXT(""), &keys, 0, &back));
    cr_assert_eq(seal_write(&keys, TEXT("forward"), zero, sizeof zero, other, sizeof other), sizeof other);
    cr_assert(!mcp_token_open((struct text){other, sizeof other}, &keys, 0, &back));
    odd.revision = MCP_2026_07_28;
    mcp_token_seal(&odd, &keys, text, sizeof text);
    cr_assert(!mcp_token_open((struct text){text, MCP_TOKEN_SIZE}, &keys, 0, &back));
}
