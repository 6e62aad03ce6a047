/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A bond over WebSocket, with the rules of stdio: each message is a WebSocket message, and the connection is
 * the session. Of an upstream before 2026-07-28 each client session has its own; one of 2026-07-28 is shared,
 * as over HTTP.
 */
#include "gate/bond_stream.h"

static void
on_end(struct leg *leg, enum close_reason reason)
{
    struct bond *bond = leg->owner;
    unsigned status = leg->status;

    bond_stream_close(bond);
    bond_stream_ended(bond, reason, status && status != 101, status);
}

static const struct leg_up stream_up = {
    .on_head = bond_stream_on_head, .on_message = bond_stream_on_message, .on_end = on_end};

/* --- the port --- */

static void
end_session(struct bond *bond)
{
    bond_stream_close(bond);
    bond_stream_fail_sent(bond);
}

static enum close_reason
ws_begin(struct bond *bond, bool *ret_ready)
{
    *ret_ready = false;
    end_session(bond);
    return bond_stream_open(bond, &stream_up);
}

static enum close_reason
ws_send(struct bond_call *call, struct text message, const struct jsonrpc_envelope *env, struct text fields)
{
    struct bond *bond = call->bond;

    (void)env, (void)fields;
    if (!bond->stream)
        return CLOSE_UPSTREAM_GONE;
    bond_stream_sent(call);
    return leg_send(bond->stream, (enum priority)call->priority, message) ? CLOSE_NONE
                                                                          : CLOSE_UPSTREAM_BEHIND;
}

static void
ws_post(struct bond *bond, const struct bond_message *m)
{
    bool is_sent = bond->stream && leg_send(bond->stream, m->priority, m->text);

    bond_posted(bond, m->is_greeting, is_sent ? CLOSE_DONE : CLOSE_UPSTREAM_GONE, is_sent ? 202 : 0);
}

static void
ws_end(struct bond *bond, bool ended)
{
    (void)ended; /* the session is the connection's */
    end_session(bond);
}

const struct bond_port bond_ws = {
    .begin = ws_begin,
    .mint = bond_stream_mint,
    .send = ws_send,
    .let_go = bond_stream_forget,
    .post = ws_post,
    .listen = bond_stream_listen,
    .end = ws_end,
    .pause = bond_stream_pause,
    .resume = bond_stream_resume,
};
