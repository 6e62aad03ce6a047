/* SPDX-License-Identifier: Apache-2.0 */
/* For the tests of bridging: messages written with ` in the place of ", and what became of them. */
#ifndef MCP_BRIDGE_TEST_H
#define MCP_BRIDGE_TEST_H

#include "mcp/bridge.h"

#include <criterion/criterion.h>

#define R24 MCP_2024_11_05
#define R03 MCP_2025_03_26
#define R06 MCP_2025_06_18
#define R11 MCP_2025_11_25
#define R26 MCP_2026_07_28

#define BRIDGED_META(caps, more)                                                                             \
    "`io.modelcontextprotocol/protocolVersion`:`2026-07-28`,`io.modelcontextprotocol/"                       \
    "clientCapabilities`:{" caps "},`io.modelcontextprotocol/clientInfo`:{`name`:`c`,`version`:`1`}" more
#define CLIENT_INFO TEXT("{\"name\":\"c\",\"version\":\"1\"}")

/* With " for each `; holds until 16 calls later. */
static inline struct text
quoted(const char *s)
{
    static char room[16][8192];
    static unsigned next;
    char *to = room[next++ % 16];
    size_t n = strlen(s);

    cr_assert_lt(n, sizeof room[0]);
    for (size_t i = 0; i <= n; i++)
        to[i] = s[i] == '`' ? '"' : s[i];
    return (struct text){to, (uint32_t)n};
}

static inline struct jsonrpc_envelope
scanned(struct text message)
{
    struct jsonrpc_envelope env;

    cr_assert_eq(jsonrpc_scan(message, JSON_SCAN_STRICT, &env), JSONRPC_FAULT_FINE, "%.*s", (int)message.len,
                 message.at);
    return env;
}

/* An out with room for any message of these tests. */
static inline struct bridge_out
fresh_out(void)
{
    static char room[64 * 1024];
    static struct jsonrpc_edit edits[256];

    return (struct bridge_out){.room = {.at = room, .size = sizeof room},
                               .edits = {.at = edits, .room = 256}};
}

/* The message that is to be sent; checked to be JSON. */
static inline struct text
sent(const struct bridge_out *out)
{
    static char text[64 * 1024];
    uint32_t n = jsonrpc_edit_write(out->text, out->edits.at, out->edits.count, text, sizeof text - 1);

    cr_assert_eq(n, jsonrpc_edited_size(out->text, out->edits.at, out->edits.count));
    cr_assert_eq(json_check((struct text){text, n}, JSON_SCAN_STRICT), JSON_FINE, "%.*s", (int)n, text);
    return (struct text){text, n};
}

static inline void
expect_text(struct text got, const char *want, const char *name)
{
    struct text w = quoted(want);

    cr_assert(text_eq(got, w), "%s:\n got  %.*s\n want %.*s", name, (int)got.len, got.at, (int)w.len, w.at);
}

#endif
