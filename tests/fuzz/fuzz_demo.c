/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first byte says which session, transport and header fields come with the message that is the rest.
 * Whatever the demo server is told, it says well-formed JSON, ends each call with exactly one final message
 * or takes it in silence, and a call that is woken often enough comes to its end.
 */
#include "base/check.h"
#include "mcp/demo.h"
#include "proto/json.h"

struct seen {
    struct demo_effects out;
    unsigned count;
    bool final;
};

static void
on_message(void *context, struct text json, bool final)
{
    struct seen *seen = context;

    ASSERT(!seen->final);
    ASSERT(json_check(json, JSON_SCAN_STRICT) == JSON_FINE);
    ASSERT(!memchr(json.at, '\n', json.len));
    ASSERT(final || seen->out.wants_stream);
    ASSERT(seen->out.status == 200 || (final && (seen->out.status == 400 || seen->out.status == 404)));
    seen->final = final;
    seen->count++;
}

static void
run_to_the_end(struct demo_call *call, struct seen *seen)
{
    uint64_t now_ms = 1000;

    for (unsigned steps = 0;; steps++) {
        unsigned before = seen->count;

        ASSERT(demo_call_id(call).len > 0 && steps <= 4100);
        if (!seen->out.wake_ms) { /* a subscription */
            demo_finish(call, &seen->out);
            ASSERT(seen->final);
            return;
        }
        now_ms += seen->out.wake_ms;
        if (!demo_wake(call, now_ms, &seen->out))
            break;
        ASSERT(!seen->final && seen->count - before <= 64);
    }
    ASSERT(seen->final);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char room[DEMO_ROOM_MIN];
    static const struct text versions[] = {{NULL, 0}, {"2026-07-28", 10}, {"2025-06-18", 10}, {"x", 1}};
    struct seen seen = {
        .out = {.message = on_message, .context = &seen, .room = room, .room_size = sizeof room}};
    struct demo_call call;
    struct demo_input in;
    bool open;

    if (size < 2)
        return 0;
    in = (struct demo_input){
        .message = {(const char *)data + 1, (uint32_t)size - 1},
        .http = data[0] & 0x80,
        .version = versions[data[0] >> 5 & 3],
        .method = data[0] & 0x10 ? TEXT("tools/call") : (struct text){NULL, 0},
        .name = data[0] & 0x08 ? TEXT("=?base64?ZWNobw==?=") : (struct text){NULL, 0},
        .session = (enum mcp_revision)((data[0] & 7) % (MCP_REVISIONS + 1)),
        .now_ms = 1000,
    };
    if (mcp_revision_is_modern(in.session)) /* no session has it */
        in.session = MCP_NO_REVISION;
    open = demo_begin(&call, &in, &seen.out);
    ASSERT(open || seen.final != (seen.out.status == 202));
    ASSERT(seen.out.initialized == MCP_NO_REVISION ||
           (seen.final && seen.out.initialized <= MCP_LATEST_LEGACY));
    if (open)
        run_to_the_end(&call, &seen);
    return 0;
}
