/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls that wait for their client. A server of an older revision asks something in the middle of a call; a
 * client of 2026-07-28 cannot be asked, so it gets input_required with a sealed requestState, and the call is
 * parked here, in the worker that made it, until the retry brings the answers, from whichever worker it came
 * to. No retry, no worker any more: the call is over, and never made a second time.
 */
#include "gate/bridged.h"
#include "gate/home.h"
#include "gate/local.h"
#include "mcp/bridge_state.h"

#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

enum { PARKED_MAX = 1024 };

/* What the server has asked, until it is answered. */
struct parked {
    struct list_node node; /* of the worker's, while the client is away */
    struct bridged *b;
    struct timer timer;
    uint64_t id;      /* named by the requestState */
    struct held asks; /* the server's messages, one behind the other */
    uint32_t ends[BRIDGE_ASKS_MAX];
    unsigned count;
    struct held result;        /* what the server said meanwhile, if it did: its response */
    enum close_reason failure; /* or why there will be none; CLOSE_NONE */
};

static struct text
ask_of(const struct parked *p, unsigned i)
{
    uint32_t begin = i ? p->ends[i - 1] : 0;

    return (struct text){p->asks.at + begin, p->ends[i] - begin};
}

/* The id that the server gave its question, raw. */
static struct text
id_of(const struct parked *p, unsigned i)
{
    struct jsonrpc_envelope env;

    jsonrpc_scan(ask_of(p, i), JSON_SCAN_FAST, &env);
    return env.id;
}

void
bridged_parked_free(struct bridged *b)
{
    struct parked *p = b->parked;

    if (!p)
        return;
    b->parked = NULL;
    if (list_linked(&p->node)) {
        list_del(&p->node);
        b->worker->parked_count--;
        stats_sub(b->worker->stats, STAT_calls_parked, 1);
    }
    timer_stop(&p->timer);
    held_free(b->worker, &p->asks);
    held_free(b->worker, &p->result);
    free(p);
}

/* Nobody came back in time, or the worker ends: the server hears that it is over. */
static void
give_up(struct parked *p)
{
    struct bridged *b = p->b;

    stats_add(b->worker->stats, STAT_calls_given_up, 1);
    bridged_free(b);
}

static void
on_expired(struct ring *ring, struct timer *timer)
{
    (void)ring;
    give_up(container_of(timer, struct parked, timer));
}

void
bridged_parked_end_all(struct worker *w)
{
    list_for_each_safe(node, &w->parked)
        give_up(container_of(node, struct parked, node));
}

/* --- the client goes --- */

static bool
seal(struct bridged *b, enum bridge_state_kind kind, char *out, struct text *ret)
{
    const struct handover *h = &b->worker->child->h;
    struct bridge_state state = {.kind = kind,
                                 .node = h->node,
                                 .slot = h->slot,
                                 .epoch = h->epoch,
                                 .upstream = b->ex->upstream->index,
                                 .call = b->parked ? b->parked->id : 0,
                                 .expires_s = (uint64_t)time(NULL) + b->worker->config->park_timeout / 1000};

    memcpy(state.principal, b->principal, sizeof state.principal);
    if (!bridge_digest(b->env, state.digest))
        return false;
    *ret = (struct text){out, bridge_state_seal(&state, &b->worker->keys, out)};
    return ret->len != 0;
}

static void
leave_parked(struct bridged *b)
{
    struct worker *w = b->worker;

    list_add_tail(&w->parked, &b->parked->node);
    w->parked_count++;
    stats_add(w->stats, STAT_calls_parked, 1);
    timer_set(w->ring, &b->parked->timer, w->config->park_timeout, on_expired);
    b->is_leaving = true; /* bridge_release() keeps it */
}

static void
reply_input_required(struct bridged *b)
{
    struct parked *p = b->parked;
    struct text asks[BRIDGE_ASKS_MAX], state;
    char sealed[BRIDGE_STATE_SIZE];
    struct bridge_out out;

    for (unsigned i = 0; i < p->count; i++)
        asks[i] = ask_of(p, i);
    if (!seal(b, BRIDGE_STATE_PARKED, sealed, &state) ||
        !bridged_out(b->worker, p->asks.len + b->call.id.len + state.len, &out)) {
        exchange_fail(b->ex, CLOSE_NO_MEMORY);
        return;
    }
    bridge_put_input_required(&out.room, b->call.id, asks, p->count, state);
    leave_parked(b);
    bridged_reply(b, 200, json_written(&out.room), (struct text){0});
}

static bool
make(struct bridged *b)
{
    struct parked *p;

    if (b->parked)
        return true;
    if (b->worker->parked_count >= PARKED_MAX)
        return false;
    p = calloc(1, sizeof *p);
    if (!p || getrandom(&p->id, sizeof p->id, 0) != sizeof p->id) {
        free(p);
        return false;
    }
    p->b = b;
    b->parked = p;
    return true;
}

bool
bridged_park(struct bridged *b, struct text ask)
{
    struct parked *p;

    if (!make(b))
        return false;
    p = b->parked;
    if (p->count == BRIDGE_ASKS_MAX || !held_append(b->worker, &p->asks, ask.at, ask.len))
        return false;
    p->ends[p->count++] = p->asks.len;
    if (b->ex) /* else the client is away already, and hears of it when it comes back */
        reply_input_required(b);
    return true;
}

void
bridged_visit(struct bridged *b, struct text elicitations)
{
    char sealed[BRIDGE_STATE_SIZE];
    struct bridge_out out;
    struct text state;

    if (!seal(b, BRIDGE_STATE_RESEND, sealed, &state) ||
        !bridged_out(b->worker, elicitations.len + b->call.id.len + state.len, &out)) {
        exchange_fail(b->ex, CLOSE_NO_MEMORY);
        return;
    }
    if (bridge_put_visits(&out.room, b->call.id, elicitations, state))
        bridged_reply(b, 200, json_written(&out.room), (struct text){0});
    else
        exchange_fail(b->ex, CLOSE_BAD_REPLY);
}

/* --- while it is away --- */

void
bridged_parked_result(struct bridged *b, struct text message)
{
    if (!held_append(b->worker, &b->parked->result, message.at, message.len))
        b->parked->failure = CLOSE_NO_MEMORY;
}

void
bridged_parked_failed(struct bridged *b, enum close_reason reason)
{
    b->parked->failure = reason;
}

/* --- and comes back --- */

static struct parked *
find(struct worker *w, uint64_t id)
{
    list_for_each(node, &w->parked) {
        struct parked *p = container_of(node, struct parked, node);

        if (p->id == id)
            return p;
    }
    return NULL;
}

/* The parked call takes the place of the retry in its exchange, and on its WebSocket. */
static void
take_over(struct bridged *b, struct bridged *retry)
{
    struct exchange *ex = retry->ex;
    struct bridged *ws = retry->whole;
    struct held body = b->body;
    bool is_listed = list_linked(&retry->listed.node);

    list_del(&b->parked->node);
    b->worker->parked_count--;
    stats_sub(b->worker->stats, STAT_calls_parked, 1);
    timer_stop(&b->parked->timer);
    b->body = retry->body;
    retry->body = body;
    *b->env = *retry->env; /* points into the body, which has not moved */
    b->call = retry->call;
    b->is_leaving = false;
    b->ex = ex;
    ex->state = b;
    ex->upstream = b->upstream;
    retry->ex = NULL;
    list_del(&retry->part);
    if (ws)
        bridged_ws_adopt(ws, b);
    bridged_free(retry);
    if (is_listed)
        bridged_list(b);
}

/* The client's answer to one question, in the room of `out`. False: there is none. */
static bool
put_answer(struct bridged *b, unsigned i, struct bridge_out *out)
{
    return bridged_out(b->worker, b->env->input_responses.len, out) &&
           bridge_put_input_answer(&out->room, b->env->input_responses, i + 1, id_of(b->parked, i));
}

/* What lacks an answer is asked for again, all of it: a server is answered once. */
static void
answer(struct bridged *b)
{
    struct parked *p = b->parked;
    struct bridge_out out;

    for (unsigned i = 0; i < p->count; i++)
        if (!put_answer(b, i, &out)) {
            reply_input_required(b);
            return;
        }
    for (unsigned i = 0; i < p->count; i++) {
        put_answer(b, i, &out);
        bond_post(b->ask.bond, json_written(&out.room));
    }
    p->count = 0;
    p->asks.len = 0;
}

static void
resume(struct bridged *b)
{
    struct parked *p = b->parked;

    if (p->failure != CLOSE_NONE) {
        exchange_fail(b->ex, p->failure);
    } else if (p->result.len) {
        struct jsonrpc_envelope env;

        jsonrpc_scan(held_text(&p->result), JSON_SCAN_FAST, &env);
        bridged_take_result(b, held_text(&p->result), &env);
    } else {
        answer(b);
    }
}

void
bridged_retry(struct bridged *b, struct text raw_state)
{
    const struct handover *h = &b->worker->child->h;
    uint8_t digest[BRIDGE_DIGEST_BYTES];
    enum bridge_state_fault fault;
    struct bridge_state state;
    struct parked *p;

    if (!bridge_digest(b->env, digest)) {
        exchange_fail(b->ex, CLOSE_NO_MEMORY);
        return;
    }
    fault =
        bridge_state_open(raw_state, &b->worker->keys, (uint64_t)time(NULL), b->principal, digest, &state);
    if (fault != BRIDGE_STATE_FINE) {
        bridged_error(b, -32602, 400, bridge_state_text(fault));
    } else if (state.kind == BRIDGE_STATE_RESEND) {
        b->is_resent = true;
        b->ask.up->on_ready(&b->ask);
    } else if (state.slot != h->slot && state.node == h->node) {
        bridged_forward(b, state.slot);
    } else if (!(p = find(b->worker, state.call))) {
        bridged_error(b, -32602, 400,
                      "the call that requestState names has ended: its worker ended, or it waited too long");
    } else {
        struct bridged *parked = p->b;

        take_over(parked, b);
        resume(parked);
    }
}
