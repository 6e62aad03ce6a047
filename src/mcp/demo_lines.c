/* SPDX-License-Identifier: Apache-2.0 */
#include "mcp/demo_lines.h"

#include "proto/jsonrpc.h"

#include <stdio.h>

enum { LINE_ROOM = 64 << 10 };

static void
on_message(void *context, struct text json, bool final)
{
    struct demo_lines *d = context;

    (void) final;
    d->say(d->context, json);
}

static struct demo_effects
effects_of(struct demo_lines *d)
{
    return (struct demo_effects){.message = on_message,
                                 .context = d,
                                 .room = d->room,
                                 .room_size = sizeof d->room,
                                 .initialized = MCP_NO_REVISION};
}

void
demo_lines_init(struct demo_lines *d, enum mcp_revision only, void (*say)(void *context, struct text json),
                void *context)
{
    memset(d, 0, sizeof *d);
    d->only = only;
    d->session = MCP_NO_REVISION;
    d->say = say;
    d->context = context;
}

/* What a server of the one revision has never heard of. */
static bool
is_unknown(const struct demo_lines *d, const struct jsonrpc_envelope *env)
{
    enum mcp_method method = mcp_method_of(env->method);

    if (d->only == MCP_NO_REVISION || env->kind != JSONRPC_REQUEST)
        return false;
    if (mcp_revision_is_modern(d->only))
        return method == MCP_INITIALIZE;
    return method == MCP_DISCOVER || env->meta_version.len;
}

static void
refuse_method(struct demo_lines *d, const struct jsonrpc_envelope *env)
{
    char json[DEMO_ID_MAX + 128];
    int n;

    if (env->id.len > DEMO_ID_MAX)
        return;
    n = snprintf(
        json, sizeof json,
        "{\"jsonrpc\":\"2.0\",\"id\":%.*s,\"error\":{\"code\":-32601,\"message\":\"Method not found\"}}",
        (int)env->id.len, env->id.at);
    d->say(d->context, (struct text){json, (uint32_t)n});
}

/* A legacy server of one revision offers that one, whatever it is asked for. The line with it, in room[]. */
static struct text
offer_only(const struct demo_lines *d, const struct jsonrpc_envelope *env, struct text line,
           char room[LINE_ROOM])
{
    struct text name;
    char quoted[32];
    struct jsonrpc_edit edit = {env->protocol_version, {quoted, 0}};

    if (d->only >= MCP_2026_07_28 || mcp_method_of(env->method) != MCP_INITIALIZE ||
        !env->protocol_version.len)
        return line;
    name = mcp_revision_name(d->only);
    edit.with.len = (uint32_t)snprintf(quoted, sizeof quoted, "\"%.*s\"", (int)name.len, name.at);
    uint32_t n = jsonrpc_edit_write(line, &edit, 1, room, LINE_ROOM);
    return n ? (struct text){room, n} : line;
}

static void
cancel(struct demo_lines *d, struct text id)
{
    for (unsigned i = 0; i < DEMO_LINES_CALLS; i++) {
        if (!d->open[i] || !text_eq(demo_call_id(&d->calls[i]), id))
            continue;
        demo_cancel(&d->calls[i]);
        d->open[i] = false;
        return;
    }
}

static unsigned
free_call(const struct demo_lines *d)
{
    unsigned i = 0;

    while (i < DEMO_LINES_CALLS && d->open[i])
        i++;
    return i;
}

void
demo_lines_take(struct demo_lines *d, struct text line, uint64_t now_ms)
{
    static char room[LINE_ROOM];
    struct demo_effects out = effects_of(d);
    struct jsonrpc_envelope env;
    unsigned i = free_call(d);

    if (i == DEMO_LINES_CALLS) { /* more than any test asks for: the oldest gives way */
        i = 0;
        demo_finish(&d->calls[i], &out);
        out = effects_of(d);
    }
    if (jsonrpc_scan(line, JSON_SCAN_STRICT, &env) == JSONRPC_FAULT_FINE) {
        if (is_unknown(d, &env)) {
            refuse_method(d, &env);
            return;
        }
        line = offer_only(d, &env, line, room);
    }
    struct demo_input in = {.message = line, .session = d->session, .now_ms = now_ms};
    d->open[i] = demo_begin(&d->calls[i], &in, &out);
    d->wake_ms[i] = out.wake_ms ? now_ms + out.wake_ms : 0;
    if (out.initialized != MCP_NO_REVISION)
        d->session = out.initialized;
    if (out.cancel_id.at)
        cancel(d, out.cancel_id);
}

int
demo_lines_wake(struct demo_lines *d, uint64_t now_ms)
{
    uint64_t next = UINT64_MAX;

    for (unsigned i = 0; i < DEMO_LINES_CALLS; i++) {
        if (d->open[i] && d->wake_ms[i] && d->wake_ms[i] <= now_ms) {
            struct demo_effects out = effects_of(d);

            d->open[i] = demo_wake(&d->calls[i], now_ms, &out);
            d->wake_ms[i] = out.wake_ms ? now_ms + out.wake_ms : 0;
        }
        if (d->open[i] && d->wake_ms[i] && d->wake_ms[i] < next)
            next = d->wake_ms[i];
    }
    return next == UINT64_MAX ? -1 : (int)(next > now_ms ? next - now_ms : 0);
}

void
demo_lines_finish(struct demo_lines *d)
{
    for (unsigned i = 0; i < DEMO_LINES_CALLS; i++) {
        struct demo_effects out = effects_of(d);

        if (d->open[i])
            demo_finish(&d->calls[i], &out);
        d->open[i] = false;
    }
}
