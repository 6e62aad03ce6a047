/* SPDX-License-Identifier: Apache-2.0 */
#include "gate/bond.h"

#include "base/log.h"
#include "gate/bond_port.h"
#include "gate/bridging.h"
#include "gate/traffic.h"
#include "gate/upstream.h"
#include "mcp/merge_caps.h"

#include <stdlib.h>

enum { GREETING_BYTES = 4096, SHARED_IDLE_MS = 300000 };

/* --- memory --- */

static void
free_if_over(struct bond *bond)
{
    struct worker *w = bond->worker;

    if (bond->holds)
        return;
    if (bond->over)
        bond_stop_listening(bond);
    if (!bond->over || !list_empty(&bond->waiting) || !list_empty(&bond->calls) || bond->hello.bond ||
        bond->posts)
        return;
    if (bond->is_begun)
        bond->port->end(bond, false);
    era_forget(&bond->era);
    timer_stop(&bond->hello_timer);
    timer_stop(&bond->stream_timer);
    list_del(&bond->node);
    held_free(w, &bond->post_path);
    held_free(w, &bond->unposted);
    held_free(w, &bond->about);
    held_free(w, &bond->fields);
    pool_put(&w->bond_pool, bond);
}

/* Around steps in which the last call may leave a bond that is over. */
static void
hold(struct bond *bond)
{
    bond->holds++;
}

static void
release(struct bond *bond)
{
    bond->holds--;
    free_if_over(bond);
}

static struct bond *
bond_new(struct worker *w, struct upstream *up, struct text fields)
{
    struct bond *bond = pool_get(&w->bond_pool);

    bond->worker = w;
    bond->up = up;
    bond->port = up->stdio ? &bond_stdio : &bond_http;
    list_init(&bond->waiting);
    list_init(&bond->calls);
    held_append(w, &bond->fields, fields.at, fields.len); /* without memory: its own messages go without */
    held_fit(w, &bond->fields);
    return bond;
}

uint64_t
bond_answer_limit_ms(const struct bond *bond)
{
    const struct config *c = bond->worker->config;

    return c->first_byte_timeout + (bond->up->stdio ? 0 : c->connect_timeout + c->upstream_wait);
}

bool
bond_waits_for_ever(const struct bond *bond)
{
    return bond->port != &bond_http; /* a leg for each answer has limits */
}

uint64_t
bond_mint(struct bond *bond)
{
    return bond->port->mint(bond);
}

/* --- what is said of a state --- */

static void
set_ready(struct bond *bond)
{
    struct list_node waiting;

    hold(bond);
    bond->state = BOND_READY;
    if (!bond->session)
        bridging_subscribe_again(bond);
    list_init(&waiting);
    if (!list_empty(&bond->waiting))
        list_take(&waiting, &bond->waiting);
    for (struct list_node *node; (node = list_first(&waiting));) {
        struct bond_call *call = container_of(node, struct bond_call, node);

        list_del(node);
        list_add_tail(&bond->calls, node);
        call->up->on_ready(call);
    }
    if (bond->wants_stream)
        bond_listen(bond);
    if (bond->port->greeted)
        bond->port->greeted(bond);
    release(bond);
}

static void
end_call(struct bond_call *call, enum close_reason reason, unsigned status)
{
    list_del(&call->node);
    call->bond->port->let_go(call);
    call->bond = NULL;
    call->up->on_end(call, reason, status);
}

/* All of `list` end; new ones that come meanwhile are none of these. */
static void
end_calls(struct list_node *list, enum close_reason reason, unsigned status)
{
    struct list_node ending;

    list_init(&ending);
    if (!list_empty(list))
        list_take(&ending, list);
    for (struct list_node *node; (node = list_first(&ending));)
        end_call(container_of(node, struct bond_call, node), reason, status);
}

static void
set_failed(struct bond *bond, enum close_reason reason, unsigned status)
{
    hold(bond);
    bond->state = BOND_FAILED;
    end_calls(&bond->waiting, reason, status);
    if (bond->port->greeted)
        bond->port->greeted(bond);
    release(bond);
}

/* --- getting acquainted --- */

/* What the upstream says of itself: initialize's result, or server/discover's. */
static void
take_about(struct bond *bond, struct text result)
{
    bool is_modern = mcp_revision_is_modern(bond->bridge.upstream);
    struct text about;

    bond->about.len = 0;
    if (!result.len || !held_append(bond->worker, &bond->about, result.at, result.len))
        return;
    held_fit(bond->worker, &bond->about);
    about = held_text(&bond->about);
    if (!(is_modern ? bridge_read_discover(about, &bond->server)
                    : bridge_read_initialize(about, &bond->server)))
        bond->about.len = 0;
}

static void post(struct bond *bond, struct text message, enum priority about, bool is_greeting);

/* The one thing that a server may ask before it is greeted. */
static void
answer_ping(struct bond *bond, const struct jsonrpc_envelope *env)
{
    char body[GREETING_BYTES];
    struct json_writer w = {.at = body, .size = sizeof body};

    json_put(&w, TEXT("{\"jsonrpc\":\"2.0\",\"id\":"));
    json_put(&w, env->id);
    json_put(&w, TEXT(",\"result\":{}}"));
    if (!w.full)
        post(bond, json_written(&w), PRIORITY_UNSAID, false);
}

/* The answer to initialize, or to server/discover. */
static void
on_hello_message(struct bond_call *hello, struct text message, const struct jsonrpc_envelope *env)
{
    (void)message;
    if (env->kind == JSONRPC_REQUEST && mcp_method_of(env->method) == MCP_PING)
        answer_ping(hello->bond, env);
    if (env->kind == JSONRPC_RESPONSE)
        take_about(hello->bond, env->result);
}

static void
share_challenge(struct bond_call *call, struct span challenge)
{
    span_unref(call->challenge);
    call->challenge = challenge;
    buf_ref(challenge.buf);
}

static void
on_hello_end(struct bond_call *hello, enum close_reason reason, unsigned status)
{
    struct bond *bond = container_of(hello, struct bond, hello);

    timer_stop(&bond->hello_timer);
    if (hello->challenge.buf)
        list_for_each(node, &bond->waiting) /* it is them who are to authorise themselves */
            share_challenge(container_of(node, struct bond_call, node), hello->challenge);
    bond_call_done(hello, false);
    set_failed(bond, reason, status);
}

static const struct bond_call_up hello_up = {.on_message = on_hello_message, .on_end = on_hello_end};

/* A process that says nothing, or a stream that says everything else. */
static void
on_hello_late(struct ring *ring, struct timer *timer)
{
    struct bond *bond = container_of(timer, struct bond, hello_timer);

    (void)ring;
    hold(bond);
    bond_call_done(&bond->hello, false);
    set_failed(bond, CLOSE_FIRST_BYTE_TIMEOUT, 0);
    release(bond);
}

/* `about`: the priority of the call that it is about, whose request it must not overtake; PRIORITY_UNSAID: it
 * is about none, and somebody may wait for it if it is an answer. */
static void
post(struct bond *bond, struct text message, enum priority about, bool is_greeting)
{
    struct jsonrpc_envelope env;
    struct bond_message m = {message, &env, about, is_greeting};

    jsonrpc_scan(message, JSON_SCAN_FAST, &env);
    if (about == PRIORITY_UNSAID && !is_greeting)
        m.priority = env.kind == JSONRPC_NOTIFICATION ? priority_of_message(&env, about) : PRIORITY_HIGH;
    hold(bond);
    bond->posts++;
    bond->port->post(bond, &m);
    release(bond);
}

/* The uri of the nth subscription of the session at this upstream. */
static bool
nth_subscription(const struct bond *bond, const struct session_record *record, uint32_t n, struct text *ret)
{
    uint64_t upstream = session_upstream_hash(bond->up->name);
    uint32_t at = 0;

    for (uint32_t i = 0; session_record_next_subscription(record, upstream, &at, ret); i++)
        if (i == n)
            return true;
    return false;
}

/* What the session has set is said again to an upstream that did not hear it: one message after the other, so
 * that all of it holds before the first call. False: nothing is left to be said. */
static bool
replay_next(struct bond *bond)
{
    char body[GREETING_BYTES];
    struct json_writer w = {.at = body, .size = sizeof body};
    struct session_record record;
    struct text uri;

    if (!bond->session || !session_record_get(bond->session, &record))
        return false;
    if (!bond->replayed && (!record.log_level || !(bond->server.caps & MERGE_CAP_LOGGING)))
        bond->replayed++;
    if (!bond->replayed)
        bridge_put_set_level(&w, bond_mint(bond), (enum bridge_level)record.log_level);
    else if (nth_subscription(bond, &record, bond->replayed - 1, &uri))
        bridge_put_subscribe(&w, bond_mint(bond), uri, true);
    else
        return false;
    bond->replayed++;
    post(bond, json_written(&w), PRIORITY_UNSAID, true);
    return true;
}

static void
settle(struct bond *bond)
{
    bond->state = BOND_INITIALIZING;
    if (!replay_next(bond))
        set_ready(bond);
}

/* READY comes when a legacy upstream has taken it: bond_posted(). A modern one need not have said anything.
 */
static void
take_hello(struct bond *bond)
{
    timer_stop(&bond->hello_timer);
    bond_call_done(&bond->hello, false);
    if (mcp_revision_is_modern(bond->bridge.upstream)) {
        set_ready(bond);
    } else if (!bond->about.len) {
        set_failed(bond, CLOSE_NOT_INITIALIZED, 0);
    } else {
        bond->bridge.upstream = bond->server.revision;
        post(bond, TEXT("{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}"), PRIORITY_UNSAID,
             true);
    }
}

static enum close_reason
send_call(struct bond_call *call, struct text message, const struct jsonrpc_envelope *env, struct text fields)
{
    call->sent_ns = ring_now(call->bond->worker->ring);
    call->has_come = false;
    return call->bond->port->send(call, message, env, fields);
}

/* bond->bridge.upstream is the revision of the fields that go with it. */
static void
say_hello(struct bond *bond, const struct json_writer *w)
{
    struct jsonrpc_envelope env;
    enum close_reason reason;

    jsonrpc_scan(json_written(w), JSON_SCAN_FAST, &env);
    reason =
        w->full ? CLOSE_INTERNAL : send_call(&bond->hello, json_written(w), &env, held_text(&bond->fields));
    if (reason == CLOSE_NONE) {
        timer_set(bond->worker->ring, &bond->hello_timer, bond_answer_limit_ms(bond), on_hello_late);
        return;
    }
    hold(bond);
    bond_call_done(&bond->hello, false);
    set_failed(bond, reason, 0);
    release(bond);
}

static void
begin_hello(struct bond *bond, enum mcp_revision revision)
{
    bond->state = BOND_INITIALIZING;
    bond->about.len = 0;
    bond->bridge.upstream = revision;
    bond->hello = (struct bond_call){.bond = bond, .up = &hello_up, .number = bond_mint(bond)};
    list_add_tail(&bond->calls, &bond->hello.node);
}

static void
initialize(struct bond *bond)
{
    char body[GREETING_BYTES];
    struct json_writer w = {.at = body, .size = sizeof body};
    struct bridge b = bond->bridge;

    /* What the client offered is offered, so that it is refused or agreed once. */
    b.upstream = mcp_revision_is_modern(b.client) ? MCP_LATEST_LEGACY : b.client;
    begin_hello(bond, MCP_NO_REVISION); /* initialize has no version field */
    bridge_put_initialize_request(&w, &b, bond->hello.number);
    say_hello(bond, &w);
}

/* A modern upstream needs no greeting. What it says of itself came with the probe, unless that was for
 * somebody else (mcp-wire 5, behaviour 24): then it is asked on behalf of those whose bond this is. */
static void
adopt_modern(struct bond *bond)
{
    char body[GREETING_BYTES];
    struct json_writer w = {.at = body, .size = sizeof body};

    bond->bridge.upstream = (enum mcp_revision)bond->up->era.revision;
    take_about(bond, era_result_for(bond->up, held_text(&bond->fields)));
    if (bond->about.len) {
        set_ready(bond);
        return;
    }
    begin_hello(bond, bond->bridge.upstream);
    bridge_put_discover_request(&w, &bond->bridge, bond->hello.number);
    say_hello(bond, &w);
}

/* Of the two over plain HTTP the era decides. */
static void
choose_port(struct bond *bond)
{
    const struct bond_port *port = bond->up->stdio          ? &bond_stdio
                                   : bond->up->cfg->is_demo ? &bond_demo
                                   : bond->up->cfg->is_ws   ? &bond_ws
                                   : bond->up->era.is_sse   ? &bond_sse
                                                            : &bond_http;

    if (port == bond->port)
        return;
    if (bond->is_begun)
        bond->port->end(bond, false);
    bond->is_begun = false;
    bond->port = port;
}

static void
begin(struct bond *bond)
{
    bool is_modern = bond->up->era.era == BRIDGE_ERA_MODERN, is_ready = false;
    enum close_reason reason;

    choose_port(bond);
    bond->is_resumed = false;
    reason = bond->port->begin(bond, &is_ready);
    if (reason != CLOSE_NONE) {
        set_failed(bond, reason, 0);
        return;
    }
    bond->life++;
    bond->is_begun = true;
    bond->replayed = 0;
    if (is_modern)
        adopt_modern(bond);
    else if (is_ready && bond->is_resumed)
        set_ready(bond);
    else if (is_ready)
        settle(bond);
    else if (bond->state == BOND_PROBING)
        initialize(bond);
}

/* Nobody asks, or what was asked was refused: an older client is the one to hear how its initialize is, a 401
 * with its challenge above all. */
static bool
may_greet_unknown(const struct bond *bond)
{
    return !bond->up->stdio &&
           (!bond->worker->config->era_ttl || !mcp_revision_is_modern(bond->bridge.client));
}

static void
on_era_known(struct era_wait *wait)
{
    struct bond *bond = container_of(wait, struct bond, era);
    const struct era *era = &bond->up->era;

    if (era->era == BRIDGE_ERA_MODERN && era->revision == MCP_NO_REVISION)
        set_failed(bond, CLOSE_NO_COMMON_REVISION, 0);
    else if (era->era != BRIDGE_ERA_UNKNOWN || may_greet_unknown(bond))
        begin(bond);
    else
        set_failed(bond, CLOSE_NO_ERA, 0);
}

void
bond_greet(struct bond *bond)
{
    if (bond->state != BOND_NEW && bond->state != BOND_FAILED)
        return;
    bond->state = BOND_PROBING;
    bond->era.known = on_era_known;
    if (era_ask(bond->up, held_text(&bond->fields), &bond->era))
        on_era_known(&bond->era);
}

/* --- calls --- */

void
bond_ask(struct bond *bond, struct bond_call *call, const struct bond_call_up *up)
{
    call->bond = bond;
    call->up = up;
    if (bond->state == BOND_READY) {
        list_add_tail(&bond->calls, &call->node);
        up->on_ready(call);
        return;
    }
    list_add_tail(&bond->waiting, &call->node);
    bond_greet(bond);
}

enum close_reason
bond_send(struct bond_call *call, struct text message, struct text fields)
{
    struct jsonrpc_envelope env;

    jsonrpc_scan(message, JSON_SCAN_FAST, &env);
    call->bond->port->let_go(call); /* of what was sent for it before, which has been answered */
    call->life = call->bond->life;
    call->priority = (uint8_t)priority_of_message(&env, (enum priority)call->priority);
    return send_call(call, message, &env, fields);
}

void
bond_call_done(struct bond_call *call, bool cancel)
{
    struct bond *bond = call->bond;
    char body[256];
    struct json_writer w = {.at = body, .size = sizeof body};
    bool must_tell;

    span_unref(call->challenge);
    call->challenge = (struct span){0};
    if (!bond)
        return;
    hold(bond);
    list_del(&call->node);
    must_tell = bond->port->let_go(call);
    call->bond = NULL;
    if (cancel && must_tell && !call->is_answered) {
        bridge_put_cancelled(&w, call->number, (struct text){0});
        post(bond, json_written(&w), (enum priority)call->priority, false);
    }
    release(bond);
}

void
bond_pause(struct bond_call *call)
{
    if (call->bond)
        call->bond->port->pause(call);
}

void
bond_resume(struct bond_call *call)
{
    if (call->bond)
        call->bond->port->resume(call);
}

/* Where calls share a connection; elsewhere each has a request of HTTP, whose times server.c notes. */
static void
note_times(struct bond_call *call, bool is_answer)
{
    const struct upstream *up = call->bond->up;
    struct worker *w = call->bond->worker;
    uint64_t ns = ring_now(w->ring) - call->sent_ns;

    if (!up->stdio && !up->cfg->is_ws)
        return;
    if (!call->has_come) {
        call->has_come = true;
        stats_up_observe(w->stats, up->index, UPHIST_up_first_byte, ns);
        traffic_first_byte(w, LINK_UPSTREAM, up->stdio ? TRANSPORT_STDIO : TRANSPORT_WS, ns);
    }
    if (is_answer)
        stats_up_observe(w->stats, up->index, UPHIST_up_latency, ns);
}

void
bond_came(struct bond_call *call, struct text message, const struct jsonrpc_envelope *env)
{
    struct bond *bond = call->bond;
    bool is_hello = call == &bond->hello;

    if (call->is_answered) /* nothing follows a response */
        return;
    note_times(call, env->kind == JSONRPC_RESPONSE || env->kind == JSONRPC_ERROR);
    if (env->kind == JSONRPC_RESPONSE || env->kind == JSONRPC_ERROR)
        call->is_answered = true;
    hold(bond);
    call->up->on_message(call, message, env);
    if (is_hello && call->is_answered && call->bond)
        take_hello(bond);
    release(bond);
}

/* The upstream forgot its session (mcp-wire 5, behaviour 33): everybody waits for a new one. */
static void
start_anew(struct bond_call *call)
{
    struct bond *bond = call->bond;

    call->is_resent = true;
    if (bond->state == BOND_READY && call->life != bond->life) { /* there is a new one already */
        call->up->on_ready(call);
        return;
    }
    list_del(&call->node);
    list_add_tail(&bond->waiting, &call->node);
    if (bond->state == BOND_READY) {
        bond->state = BOND_NEW;
        bond_greet(bond);
    }
}

void
bond_came_to_end(struct bond_call *call, enum close_reason reason, unsigned status, bool forgotten)
{
    struct bond *bond = call->bond;

    if (call->is_answered) /* who has the answer takes the call off when he likes */
        return;
    hold(bond);
    if (forgotten && !call->is_resent) {
        stats_up_add(bond->worker->stats, bond->up->index, UPSTAT_up_reinitialized,
                     bond->state != BOND_READY || call->life == bond->life);
        start_anew(call);
    } else {
        end_call(call, reason, status);
    }
    release(bond);
}

void
bond_doubt(struct bond_call *call)
{
    struct bond *bond = call->bond;

    hold(bond);
    bond->port->let_go(call);
    call->is_answered = false;
    era_doubt(bond->up);
    start_anew(call);
    release(bond);
}

void
bond_lost(struct bond *bond, enum close_reason reason)
{
    hold(bond);
    bond->state = BOND_NEW;
    bond->is_begun = false;
    end_calls(&bond->calls, reason, 0);
    end_calls(&bond->waiting, reason, 0);
    release(bond);
}

/* --- what needs no answer --- */

void
bond_post(struct bond *bond, struct text message)
{
    if (bond->state == BOND_READY) /* else nobody is there who would know what it is about */
        post(bond, message, PRIORITY_UNSAID, false);
}

void
bond_posted(struct bond *bond, bool is_greeting, enum close_reason reason, unsigned status)
{
    bond->posts--;
    if (!is_greeting || bond->state != BOND_INITIALIZING)
        free_if_over(bond);
    else if (bond->replayed || (reason == CLOSE_DONE && status / 100 == 2)) /* one not replayed is no end */
        settle(bond);
    else
        set_failed(bond, reason == CLOSE_DONE ? CLOSE_NOT_INITIALIZED : reason, status);
}

/* --- whose it is --- */

/* The session is over, or goes elsewhere. */
static void
on_drop(struct session_bond *tie, bool ended)
{
    struct bond *bond = container_of(tie, struct bond, tie);

    list_del(&tie->node);
    hold(bond);
    bond->over = true;
    if (bond->is_begun)
        bond->port->end(bond, ended);
    bond->is_begun = false;
    bond->session = NULL;
    release(bond);
}

struct bond *
bond_of_session(struct session *s, struct upstream *up, struct text fields)
{
    struct session_bond *tie = session_find_bond(s, up->index);
    struct bond *bond;

    if (tie)
        return container_of(tie, struct bond, tie);
    bond = bond_new(s->worker, up, fields);
    bond->session = s;
    bond->tie = (struct session_bond){.upstream = up->index, .drop = on_drop};
    bond->bridge.client = s->token.revision;
    bond->bridge.client_caps = s->token.client_capabilities;
    list_add_tail(&s->bonds, &bond->tie.node);
    bond->wants_stream = s->stream != NULL; /* its client listens already */
    return bond;
}

void
bonds_end_left(struct session *s, struct text fields)
{
    for (unsigned i = 0; i < s->worker->upstreams.count; i++) {
        struct upstream *up = &s->worker->upstreams.items[i];

        if (session_find_bond(s, i))
            continue;
        if (up->stdio)
            bond_stdio_end_left(s, up);
        else if (upstream_takes_posts(up))
            bond_http_end_left(s, up, fields);
    }
}

/* They lie in the order in which they were last wanted. */
static struct bond *
note_used(struct bond *bond)
{
    bond->used_ms = ring_now(bond->worker->ring) / 1000000;
    list_add_head(&bond->worker->bonds, &bond->node);
    return bond;
}

static bool
is_used(const struct bond *bond)
{
    return bond_has_calls(bond) || !list_empty(&bond->waiting) || bond->listeners || bond->posts ||
           bond->holds || bond->stays;
}

static struct bond *
unused_longest(struct worker *w)
{
    for (struct list_node *node = w->bonds.prev; node != &w->bonds; node = node->prev)
        if (!is_used(container_of(node, struct bond, node)))
            return container_of(node, struct bond, node);
    return NULL;
}

/* A shared one, with its session at the upstream. */
static void
let_go(struct bond *bond)
{
    hold(bond);
    list_del(&bond->node);
    bond->worker->bond_count--;
    bond->over = true;
    if (bond->is_begun)
        bond->port->end(bond, true);
    bond->is_begun = false;
    release(bond);
}

static bool
make_room(struct worker *w)
{
    struct bond *bond = unused_longest(w);

    if (bond)
        let_go(bond);
    return bond != NULL;
}

static struct bond *
find_shared(struct worker *w, struct upstream *up, uint32_t client_caps, struct text fields, uint8_t lane)
{
    list_for_each(node, &w->bonds) {
        struct bond *bond = container_of(node, struct bond, node);

        if (bond->up == up && bond->bridge.client_caps == client_caps && bond->lane == lane &&
            text_eq(held_text(&bond->fields), fields))
            return bond;
    }
    return NULL;
}

static struct bond *
shared_in_lane(struct worker *w, struct upstream *up, uint32_t client_caps, struct text fields, uint8_t lane)
{
    struct bond *bond = find_shared(w, up, client_caps, fields, lane);

    if (bond) {
        list_del(&bond->node);
        return note_used(bond);
    }
    if (w->bond_count >= BONDS_SHARED_MAX && fields.len && !make_room(w))
        return NULL;
    bond = bond_new(w, up, fields);
    bond->bridge.client = MCP_2026_07_28;
    bond->bridge.client_caps = client_caps;
    bond->lane = lane;
    w->bond_count++;
    return note_used(bond);
}

struct bond *
bond_shared(struct worker *w, struct upstream *up, uint32_t client_caps, struct text fields)
{
    return shared_in_lane(w, up, client_caps, fields, 0);
}

/* Whether it has a call in which something may be asked. */
static bool
may_be_asked(const struct bond *bond)
{
    list_for_each(node, &bond->waiting)
        if (container_of(node, struct bond_call, node)->may_be_asked)
            return true;
    list_for_each(node, &bond->calls)
        if (container_of(node, struct bond_call, node)->may_be_asked)
            return true;
    return false;
}

struct bond *
bond_for_call(struct worker *w, struct upstream *up, uint32_t client_caps, struct text fields)
{
    bool alone = client_caps && up->stdio && up->stdio->cfg->share == SHARE_SESSION &&
                 up->era.era != BRIDGE_ERA_MODERN;

    for (uint8_t lane = 0; alone && lane < BOND_LANES_MAX; lane++) {
        struct bond *bond = find_shared(w, up, client_caps, fields, lane);

        /* Half of the processes are left to those who cannot do with less. */
        if (bond ? !may_be_asked(bond) : !lane || up->stdio->count < up->stdio->cfg->max / 2)
            return shared_in_lane(w, up, client_caps, fields, lane);
    }
    return shared_in_lane(w, up, client_caps, fields, 0);
}

void
bonds_tick(struct worker *w)
{
    uint64_t now_ms = ring_now(w->ring) / 1000000;
    struct bond *bond;

    while ((bond = unused_longest(w)) && now_ms - bond->used_ms >= SHARED_IDLE_MS)
        let_go(bond);
}

void
bonds_init(struct worker *w)
{
    list_init(&w->bonds);
    pool_init(&w->bond_pool, sizeof(struct bond));
}

void
bonds_done(struct worker *w)
{
    list_for_each_safe(node, &w->bonds) {
        struct bond *bond = container_of(node, struct bond, node);

        w->bond_count--;
        bond->over = true;
        free_if_over(bond);
    }
    pool_done(&w->bond_pool);
}
