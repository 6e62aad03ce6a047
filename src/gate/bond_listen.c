/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a bond's upstream says unasked. One before 2026-07-28 says it by itself (its port listens). A later
 * one is asked for it with subscriptions/listen: for all lists that it announces changes of, and for the
 * resources that are subscribed to. When these change, the next listen is open before the last one ends:
 *
 *      listening[0]  ====================|
 *      listening[1]                  ====|=========      | its acknowledgement
 */
#include "gate/bond_port.h"
#include "gate/bridging.h"
#include "gate/upstream.h"

enum { LISTEN_AGAIN_MS = 2000, RELISTEN_MS = 1 /* several changes are one */ };

static struct bond_call *
current(struct bond *bond)
{
    return &bond->listening[bond->listening_at];
}

static bool
is_listening(const struct bond *bond, const struct bond_call *call)
{
    return call == &bond->listening[0] || call == &bond->listening[1];
}

bool
bond_has_calls(const struct bond *bond)
{
    list_for_each(node, &bond->calls)
        if (!is_listening(bond, container_of(node, struct bond_call, node)))
            return true;
    return false;
}

void
bond_stop_listening(struct bond *bond)
{
    timer_stop(&bond->listening_timer);
    for (unsigned i = 0; i < 2; i++) {
        struct bond_call *call = &bond->listening[i];

        if (!call->bond)
            continue;
        list_del(&call->node);
        bond->port->let_go(call);
        call->bond = NULL;
        span_unref(call->challenge);
        call->challenge = (struct span){0};
    }
}

static void
on_due(struct ring *ring, struct timer *timer)
{
    (void)ring;
    bond_listen(container_of(timer, struct bond, listening_timer));
}

static void
listen_in(struct bond *bond, uint64_t ms)
{
    timer_set(bond->worker->ring, &bond->listening_timer, ms, on_due);
}

static void
on_message(struct bond_call *call, struct text message, const struct jsonrpc_envelope *env)
{
    struct bond *bond = call->bond;
    bool is_current = call == current(bond);

    if (env->kind == JSONRPC_NOTIFICATION && is_current)
        bond_call_done(&bond->listening[!bond->listening_at], true);
    if (env->kind == JSONRPC_NOTIFICATION)
        bridging_heard(bond, message, env);
    else if (is_current) /* its last word */
        listen_in(bond, LISTEN_AGAIN_MS);
}

static void
end(struct bond *bond, struct bond_call *call, unsigned status)
{
    bond_call_done(call, false);
    if (call == current(bond) && status / 100 != 4 && !bond->over && !bond->worker->draining)
        listen_in(bond, LISTEN_AGAIN_MS);
}

/* The call is off its bond by then. */
static void
on_first_end(struct bond_call *call, enum close_reason reason, unsigned status)
{
    (void)reason;
    end(container_of(call, struct bond, listening[0]), call, status);
}

static void
on_second_end(struct bond_call *call, enum close_reason reason, unsigned status)
{
    (void)reason;
    end(container_of(call, struct bond, listening[1]), call, status);
}

static const struct bond_call_up listening_up[2] = {{.on_message = on_message, .on_end = on_first_end},
                                                    {.on_message = on_message, .on_end = on_second_end}};

static void
subscribe(struct bond *bond)
{
    struct bond_call *call = current(bond);
    struct text request;
    uint64_t number;

    if (call->bond && !call->is_answered && !bond->listen_is_stale)
        return;
    bond->listen_is_stale = false;
    number = bond_mint(bond);
    if (!bond->about.len || !bridging_listen_request(bond, number, &request)) {
        bond_call_done(call, true);
        return;
    }
    bond->listening_at = !bond->listening_at;
    call = current(bond);
    bond_call_done(call, true); /* of the time before: never acknowledged */
    *call = (struct bond_call){
        .bond = bond, .up = &listening_up[bond->listening_at], .number = number, .is_standing = true};
    list_add_tail(&bond->calls, &call->node);
    if (bond_send(call, request, held_text(&bond->fields)) != CLOSE_NONE)
        bond_call_done(call, false);
}

void
bond_listen(struct bond *bond)
{
    bond->wants_stream = true;
    if (bond->over || bond->worker->draining || bond->state != BOND_READY ||
        timer_running(&bond->listening_timer))
        return;
    if (mcp_revision_is_modern(bond->bridge.upstream))
        subscribe(bond);
    else
        bond->port->listen(bond);
}

void
bond_listen_anew(struct bond *bond)
{
    if (!bond->wants_stream || !mcp_revision_is_modern(bond->bridge.upstream))
        return;
    bond->listen_is_stale = true;
    listen_in(bond, RELISTEN_MS);
}
