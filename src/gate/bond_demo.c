/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A bond with the built-in demo server, for clients that speak by messages (WebSocket): the machine of
 * `mcpgate demo
 * --stdio` in the worker itself. What it says waits until the step that made it say so is over.
 */
#include "gate/bond_stream.h"
#include "mcp/demo_lines.h"

#include <stdlib.h>

struct bond_demo {
    struct bond *bond;
    struct timer timer; /* something was said, or the machine wants to be called */
    struct held said;   /* messages, each behind its length */
    struct demo_lines machine;
};

static uint64_t
now_ms(const struct bond_demo *d)
{
    return ring_now(d->bond->worker->ring) / 1000000;
}

static void on_due(struct ring *ring, struct timer *timer);

static void
call_again(struct bond_demo *d)
{
    int wait_ms = demo_lines_wake(&d->machine, now_ms(d));

    if (d->said.len) /* perhaps by being woken */
        wait_ms = 0;
    if (wait_ms >= 0)
        timer_set(d->bond->worker->ring, &d->timer, (uint64_t)wait_ms, on_due);
}

static void
on_said(void *context, struct text json)
{
    struct bond_demo *d = context;
    struct worker *w = d->bond->worker;

    if (held_reserve(w, &d->said, d->said.len + (uint32_t)sizeof json.len + json.len)) {
        held_append(w, &d->said, &json.len, sizeof json.len);
        held_append(w, &d->said, json.at, json.len);
    }
}

/* The bond may end with any of the messages. */
static void
on_due(struct ring *ring, struct timer *timer)
{
    struct bond_demo *d = container_of(timer, struct bond_demo, timer);
    struct bond *bond = d->bond;
    struct worker *w = bond->worker;
    struct held said = d->said;

    (void)ring;
    d->said = (struct held){0};
    for (uint32_t at = 0, len; at < said.len && bond->demo == d; at += len) {
        memcpy(&len, said.at + at, sizeof len);
        at += (uint32_t)sizeof len;
        bond_stream_heard(bond, (struct text){said.at + at, len});
    }
    held_free(w, &said);
    if (bond->demo == d)
        call_again(d);
}

static void
take(struct bond_demo *d, struct text message)
{
    demo_lines_take(&d->machine, message, now_ms(d));
    call_again(d);
}

/* --- the port --- */

static void
end_machine(struct bond *bond)
{
    if (!bond->demo)
        return;
    timer_stop(&bond->demo->timer);
    held_free(bond->worker, &bond->demo->said);
    free(bond->demo);
    bond->demo = NULL;
}

static enum close_reason
port_begin(struct bond *bond, bool *ret_ready)
{
    *ret_ready = false;
    end_machine(bond);
    bond->demo = calloc(1, sizeof *bond->demo);
    if (!bond->demo)
        return CLOSE_NO_MEMORY;
    bond->demo->bond = bond;
    demo_lines_init(&bond->demo->machine, MCP_NO_REVISION, on_said, bond->demo);
    return CLOSE_NONE;
}

static enum close_reason
port_send(struct bond_call *call, struct text message, const struct jsonrpc_envelope *env, struct text fields)
{
    (void)env, (void)fields;
    bond_stream_sent(call);
    take(call->bond->demo, message);
    return CLOSE_NONE;
}

static void
port_post(struct bond *bond, const struct bond_message *m)
{
    if (bond->demo)
        take(bond->demo, m->text);
    bond_posted(bond, m->is_greeting, CLOSE_DONE, 202);
}

static void
port_end(struct bond *bond, bool ended)
{
    (void)ended;
    end_machine(bond);
}

const struct bond_port bond_demo = {
    .begin = port_begin,
    .mint = bond_stream_mint,
    .send = port_send,
    .let_go = bond_stream_forget,
    .post = port_post,
    .listen = bond_stream_listen,
    .end = port_end,
    .pause = bond_stream_pause,
    .resume = bond_stream_resume,
};
