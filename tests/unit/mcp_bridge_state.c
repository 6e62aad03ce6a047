/* SPDX-License-Identifier: Apache-2.0 */
/* What outlives a message: sealed states, minted ids, batches. */
#include "mcp/bridge_state.h"

#include "mcp/bridge_batch.h"
#include "mcp/bridge_ids.h"
#include "mcp_bridge.h"

static const uint8_t key_bytes[2][SEAL_KEY_BYTES] = {{1}, {2}};
static const struct seal_key ring[2] = {{7, key_bytes[0]}, {9, key_bytes[1]}};
static struct seal_keys keys;

static void
set_up(void)
{
    seal_keys_init(&keys, ring, 2, 0);
}

static void
tear_down(void)
{
    seal_keys_done(&keys);
}

TestSuite(bridge_state, .init = set_up, .fini = tear_down);

static const struct bridge_state state = {.kind = BRIDGE_STATE_PARKED,
                                          .node = 1,
                                          .slot = 2,
                                          .epoch = 3,
                                          .upstream = 4,
                                          .call = 0x123456789abcdef0u,
                                          .principal = {5},
                                          .digest = {6},
                                          .expires_s = 1000};

static struct text
sealed(const struct bridge_state *s)
{
    static char raw[BRIDGE_STATE_SIZE + 2];

    cr_assert_eq(bridge_state_seal(s, &keys, raw + 1), BRIDGE_STATE_SIZE);
    raw[0] = raw[sizeof raw - 1] = '"';
    return (struct text){raw, sizeof raw};
}

Test(bridge_state, comes_back_as_it_was_sealed)
{
    struct bridge_state got;

    memset(&got, 0xff, sizeof got);
    cr_assert_eq(bridge_state_open(sealed(&state), &keys, 999, state.principal, state.digest, &got),
                 BRIDGE_STATE_FINE);
    cr_assert_eq(got.kind, state.kind);
    cr_assert(got.node == 1 && got.slot == 2 && got.epoch == 3 && got.upstream == 4);
    cr_assert_eq(got.call, state.call);
    cr_assert_arr_eq(got.principal, state.principal, sizeof got.principal);
    cr_assert_arr_eq(got.digest, state.digest, sizeof got.digest);
    cr_assert_eq(got.expires_s, 1000);
}

Test(bridge_state, holds_for_one_principal_one_request_and_a_while)
{
    static const uint8_t other[BRIDGE_DIGEST_BYTES] = {7};
    struct bridge_state got, odd = state;
    struct text raw = sealed(&state);

    cr_assert_eq(bridge_state_open(raw, &keys, 1000, state.principal, state.digest, &got),
                 BRIDGE_STATE_EXPIRED);
    cr_assert_eq(bridge_state_open(raw, &keys, 0, other, state.digest, &got), BRIDGE_STATE_FOREIGN);
    cr_assert_eq(bridge_state_open(raw, &keys, 0, state.principal, other, &got), BRIDGE_STATE_OTHER);
    cr_assert_eq(bridge_state_open(quoted("`abc`"), &keys, 0, state.principal, state.digest, &got),
                 BRIDGE_STATE_BAD);
    cr_assert_eq(bridge_state_open(TEXT("7"), &keys, 0, state.principal, state.digest, &got),
                 BRIDGE_STATE_BAD);
    odd.kind = (enum bridge_state_kind)3;
    cr_assert_eq(bridge_state_open(sealed(&odd), &keys, 0, state.principal, state.digest, &got),
                 BRIDGE_STATE_BAD);
}

Test(bridge_state, is_refused_when_any_byte_of_it_was_changed)
{
    struct text raw = sealed(&state);
    struct bridge_state got;
    char changed[BRIDGE_STATE_SIZE + 2];

    for (uint32_t i = 1; i + 1 < raw.len; i++) {
        memcpy(changed, raw.at, raw.len);
        changed[i] = changed[i] == 'A' ? 'B' : 'A';
        cr_assert_eq(
            bridge_state_open((struct text){changed, raw.len}, &keys, 0, state.principal, state.digest, &got),
            BRIDGE_STATE_BAD, "byte %u", i);
    }
}

Test(bridge_state, says_for_each_fault_what_to_do_about_it)
{
    for (int i = BRIDGE_STATE_BAD; i <= BRIDGE_STATE_OTHER; i++)
        cr_assert(strstr(bridge_state_text((enum bridge_state_fault)i), "Invalid params: requestState"));
    cr_assert_str_eq(bridge_state_text(BRIDGE_STATE_FOREIGN), bridge_state_text(BRIDGE_STATE_BAD),
                     "a foreign one is not confirmed to exist");
}

static const uint8_t *
digest(const char *message)
{
    static uint8_t digests[2][BRIDGE_DIGEST_BYTES];
    static unsigned next;
    struct jsonrpc_envelope env = scanned(quoted(message));
    uint8_t *to = digests[next++ % 2];

    cr_assert(bridge_digest(&env, to));
    return to;
}

#define CALL(params) "{`jsonrpc`:`2.0`,`id`:1,`method`:`tools/call`,`params`:" params "}"

Test(bridge_state, knows_the_same_request_by_all_but_what_a_retry_changes)
{
    static const char *const same[] = {
        CALL("{`name`:`t`,`arguments`:{`a`:[1,`x \\` y`]}}"),
        "{`id`:`other`,`jsonrpc`:`2.0`,`method`:`tools/call`,`params`:{`name`:`t`,`arguments`:{`a`:[1,`x \\` "
        "y`]}}}",
        CALL("{`_meta`:{`a`:1},`name`:`t`,`requestState`:`s`,`arguments`:{`a`:[1,`x \\` "
             "y`]},`inputResponses`:{}}"),
        CALL("{ `name` :\t`t` , `arguments` : { `a` : [ 1 , `x \\` y` ] } }"),
    };
    static const char *const others[] = {
        CALL("{`name`:`u`,`arguments`:{`a`:[1,`x \\` y`]}}"),
        CALL("{`name`:`t`,`arguments`:{`a`:[1,`x \\`  y`]}}"),
        CALL("{`name`:`t`,`arguments`:{`a`:[1,`x \\` y`],`b`:0}}"),
        CALL("{`name`:`t`}"),
        "{`jsonrpc`:`2.0`,`id`:1,`method`:`tools/call`}",
        ("{`jsonrpc`:`2.0`,`id`:1,`method`:`prompts/get`,`params`:{`name`:`t`,`arguments`:{`a`:[1,`x \\` "
         "y`]}}}"),
    };

    for (size_t i = 1; i < sizeof same / sizeof *same; i++)
        cr_assert_arr_eq(digest(same[0]), digest(same[i]), BRIDGE_DIGEST_BYTES, "%s", same[i]);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        cr_assert_neq(memcmp(digest(same[0]), digest(others[i]), BRIDGE_DIGEST_BYTES), 0, "%s", others[i]);
}

/* --- ids --- */

Test(bridge_ids, are_found_until_dropped_and_never_come_back)
{
    struct bridge_id slots[3];
    struct bridge_ids ids;
    uint64_t old[3], number;
    char things[4];

    bridge_ids_init(&ids, slots, 3);
    for (int i = 0; i < 3; i++) {
        old[i] = bridge_ids_mint(&ids, &things[i]);
        cr_assert(old[i]);
    }
    cr_assert_eq(bridge_ids_mint(&ids, &things[3]), 0, "full");
    cr_assert_eq(ids.used, 3);
    for (int i = 0; i < 3; i++)
        cr_assert_eq(bridge_ids_find(&ids, old[i]), &things[i]);
    cr_assert_eq(bridge_ids_drop(&ids, old[1]), &things[1]);
    cr_assert_null(bridge_ids_drop(&ids, old[1]));
    cr_assert_null(bridge_ids_find(&ids, old[1]));
    for (int i = 0; i < 1000; i++) {
        number = bridge_ids_mint(&ids, &things[3]);
        cr_assert(number > old[1] && number < 1ull << 53);
        cr_assert_null(bridge_ids_find(&ids, old[1]));
        cr_assert_eq(bridge_ids_drop(&ids, number), &things[3]);
        old[1] = number;
    }
    cr_assert_null(bridge_ids_find(&ids, 0));
    cr_assert_null(bridge_ids_find(&ids, UINT64_MAX));
    cr_assert_eq(bridge_ids_find(&ids, old[0]), &things[0]);
    cr_assert_eq(bridge_ids_find(&ids, old[2]), &things[2]);
    cr_assert_eq(ids.used, 2);
}

/* --- batches --- */

#define REQUEST(id) "{`jsonrpc`:`2.0`,`id`:" id ",`method`:`ping`}"

Test(bridge_batch, owes_a_reply_to_each_request_and_to_what_is_none)
{
    static const struct {
        const char *batch;
        int want;
    } batches[] = {
        {"[" REQUEST("1") "," REQUEST("2") "]", 2},
        {"[{`jsonrpc`:`2.0`,`method`:`x`}," REQUEST("2") "]", 1},
        {"[{`jsonrpc`:`2.0`,`method`:`x`}]", 0},
        {"[{`jsonrpc`:`2.0`,`id`:1,`result`:{}}]", 0},
        {"[1,[]," REQUEST("1") "]", 3},
        {"[" REQUEST("1") ",{`jsonrpc`:`2.0`,`id`:1,`result`:{}}]", -1},
        {"[{`jsonrpc`:`2.0`,`id`:1,`method`:`initialize`}]", -1},
    };
    const char *why = NULL;

    for (size_t i = 0; i < sizeof batches / sizeof *batches; i++)
        cr_assert_eq(bridge_batch_requests(quoted(batches[i].batch), &why), batches[i].want, "%s",
                     batches[i].batch);
    cr_assert_str_eq(why, "Invalid Request: initialize must not be part of a batch");
}
