/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A bond over a process's stdin and stdout. What answers a request is found by its id, which is unique for
 * the process; what belongs to no request goes to the bonds that it serves.
 *
 *      legacy   a process of its own for each session, or one for all (--stdio-share)
 *      modern   one for all clients with the same capabilities
 */
#include "gate/bond_port.h"
#include "gate/bridging.h"
#include "gate/stdio_pool.h"
#include "gate/traffic.h"

enum { NOTE_GREETED, NOTE_REVISION, NOTE_CAPS }; /* bytes of a child's note */

static const struct stdio_user bond_child_events;

static struct bond_call *
find_call(struct stdio_child *child, uint64_t number)
{
    list_for_each(node, &child->calls) {
        struct bond_call *call = container_of(node, struct bond_call, of_child);

        if (call->number == number)
            return call;
    }
    return NULL;
}

/* One client that does not read stops the process for all, but only while it is there. */
static void
resume(struct bond_call *call)
{
    struct stdio_child *child = call->child;

    if (!call->is_paused)
        return;
    call->is_paused = false;
    list_for_each(node, &child->calls)
        if (container_of(node, struct bond_call, of_child)->is_paused)
            return;
    stdio_child_resume(child);
}

/* True: it was on the child. */
static bool
let_go(struct bond_call *call)
{
    struct stdio_child *child = call->child;

    if (!child)
        return false;
    resume(call);
    call->child = NULL;
    list_del(&call->of_child);
    stdio_child_release(child);
    return true;
}

/* --- what the process says --- */

static struct list_node *
only_one(struct list_node *list)
{
    struct list_node *first = list_first(list);

    return first && first->next == list ? first : NULL;
}

/* The call that a question or a log line of the process is about. NULL: nobody can tell. */
static struct bond_call *
call_about(struct list_node *calls, bool is_question)
{
    struct bond_call *asked = NULL, *only = NULL;
    unsigned count = 0;

    list_for_each(node, calls) {
        struct bond_call *call = container_of(node, struct bond_call, of_child);

        if (call->is_standing)
            continue;
        count++;
        only = call;
        if (!call->may_be_asked)
            continue;
        if (asked && is_question)
            return NULL;
        asked = call;
    }
    if (is_question && asked)
        return asked;
    return count == 1 ? only : NULL;
}

/* What a process says of a resource is for those of its sessions that subscribed to it. */
static bool
concerns(const struct bond *bond, const struct jsonrpc_envelope *env)
{
    uint64_t upstream = session_upstream_hash(bond->up->name);
    struct session_record record;
    struct text uri;
    uint32_t at = 0;

    if (!bond->session || !text_eq(env->method, TEXT("notifications/resources/updated")))
        return true;
    session_record_get(bond->session, &record);
    while (session_record_next_subscription(&record, upstream, &at, &uri))
        if (text_eq(uri, env->uri))
            return true;
    return record.incomplete;
}

/* Of several calls that share a process nobody can tell which one a question or a log message is about. */
static void
take_unasked(struct stdio_child *child, struct text message, const struct jsonrpc_envelope *env)
{
    bool is_log = text_eq(env->method, TEXT("notifications/message"));
    struct list_node *alone = only_one(&child->bonds);
    const struct bond *bond = alone ? container_of(alone, struct bond, of_child) : NULL;
    /* A modern server logs within a call only; an older one's log goes where its session hears it. */
    bool is_heard =
        bond && bond->session && bond->session->stream && !mcp_revision_is_modern(bond->bridge.upstream);
    struct bond_call *call = NULL;

    if (env->kind == JSONRPC_REQUEST || (is_log && !is_heard))
        call = call_about(&child->calls, !is_log);
    if (call) {
        bond_came(call, message, env);
        return;
    }
    if (is_log && !alone)
        return;
    list_for_each_safe(node, &child->bonds) {
        struct bond *other = container_of(node, struct bond, of_child);

        if (concerns(other, env))
            bridging_heard(other, message, env);
        if (env->kind == JSONRPC_REQUEST) /* it is answered once */
            return;
    }
}

static void
note_line(struct upstream *up, uint32_t bytes)
{
    stats_up_add(up->worker->stats, up->index, UPSTAT_up_events, 1);
    stats_up_add(up->worker->stats, up->index, UPSTAT_up_received, bytes);
    traffic_received(up->worker, LINK_UPSTREAM, TRANSPORT_STDIO, 1);
    traffic_passes(up);
}

static void
on_line(struct stdio_child *child, struct span line)
{
    struct text message = {(const char *)span_data(line), line.len};
    struct jsonrpc_envelope env;
    struct bond_call *call = NULL;

    note_line(child->pool->upstream, line.len);
    if (jsonrpc_scan(message, JSON_SCAN_STRICT, &env) != JSONRPC_FAULT_FINE) {
        stdio_child_junk(child, message);
        return;
    }
    if (env.kind == JSONRPC_RESPONSE || env.kind == JSONRPC_ERROR) {
        call = find_call(child, bridge_number(env.id));
        if (!call)
            return; /* it comes too late */
        let_go(call);
        bond_came(call, message, &env);
        return;
    }
    if (mcp_method_of(env.method) == MCP_PROGRESS) {
        call = find_call(child, bridge_number(env.progress_token));
        if (call)
            bond_came(call, message, &env);
        return;
    }
    take_unasked(child, message, &env);
}

/* Nobody can tell whose answer it was. */
static void
on_lost(struct stdio_child *child, enum close_reason reason)
{
    struct list_node ending;

    list_take(&ending, &child->calls);
    for (struct list_node *node; (node = list_first(&ending));) {
        struct bond_call *call = container_of(node, struct bond_call, of_child);

        let_go(call);
        stats_up_add(child->pool->worker->stats, child->pool->upstream->index, UPSTAT_up_failures, 1);
        traffic_failed(child->pool->worker, LINK_UPSTREAM, TRANSPORT_STDIO);
        bond_came_to_end(call, reason, 0, false);
    }
}

static void
on_writable(struct stdio_child *child)
{
    (void)child; /* what is sent is bounded by --max-exchanges and --max-body */
}

static void
on_gone(struct stdio_child *child, enum close_reason reason)
{
    on_lost(child,
            reason == CLOSE_DONE ? CLOSE_STDIO_EXITED : reason); /* those of sessions that are over, too */
    for (struct list_node *node; (node = list_first(&child->bonds));) {
        struct bond *bond = container_of(node, struct bond, of_child);

        list_del(node);
        bond->child = NULL;
        bond_lost(bond, reason == CLOSE_DONE ? CLOSE_STDIO_EXITED : reason);
    }
}

static const struct stdio_user bond_child_events = {
    .on_line = on_line, .on_lost = on_lost, .on_writable = on_writable, .on_gone = on_gone};

void
bond_stdio_init(struct worker *w)
{
    for (unsigned i = 0; i < w->upstreams.count; i++)
        if (w->upstreams.items[i].stdio)
            stdio_set_user(&w->upstreams.items[i], &bond_child_events);
}

/* --- the port --- */

static void
key_of(const struct bond *bond, uint8_t key[STDIO_KEY_BYTES])
{
    bool modern = bond->up->era.era == BRIDGE_ERA_MODERN;
    uint32_t caps = bond->bridge.client_caps;

    if (bond->session && !modern && bond->up->stdio->cfg->share == SHARE_SESSION) {
        memcpy(key, bond->session->token.id, STDIO_KEY_BYTES);
        return;
    }
    memcpy(key, stdio_shared_key(modern), STDIO_KEY_BYTES);
    for (unsigned i = 0; i < sizeof caps && !modern; i++)
        key[i] ^= (uint8_t)(caps >> 8 * i);
    if (!modern)
        key[sizeof caps] ^= bond->lane;
}

/* Another bond of the same process that is READY, or is about to be. */
static struct bond *
greeted_by(const struct stdio_child *child)
{
    list_for_each(node, &child->bonds) {
        struct bond *other = container_of(node, struct bond, of_child);

        if (other->state == BOND_READY || other->state == BOND_INITIALIZING)
            return other;
    }
    return NULL;
}

static bool
has_greeting(const struct stdio_child *child)
{
    return child->state != CHILD_ENDING && child->note[NOTE_GREETED] == 1 &&
           child->note[NOTE_REVISION] <= MCP_LATEST_LEGACY;
}

bool
bond_stdio_was_greeted(const struct upstream *up)
{
    list_for_each(node, &up->stdio->children)
        if (has_greeting(container_of(node, struct stdio_child, node)))
            return true;
    return false;
}

/* A process that was greeted in another worker's life. */
static bool
was_greeted(struct bond *bond, const struct stdio_child *child)
{
    if (!has_greeting(child))
        return false;
    bond->bridge.upstream = (enum mcp_revision)child->note[NOTE_REVISION];
    bond->server.revision = bond->bridge.upstream;
    memcpy(&bond->server.caps, child->note + NOTE_CAPS, sizeof bond->server.caps);
    return true;
}

static bool
share_greeting(struct bond *bond, const struct bond *other)
{
    if (other->state != BOND_READY)
        return false;
    bond->bridge.upstream = other->bridge.upstream;
    bond->about.len = 0;
    if (held_append(bond->worker, &bond->about, other->about.at, other->about.len) && other->about.len) {
        held_fit(bond->worker, &bond->about);
        bridge_read_initialize(held_text(&bond->about), &bond->server);
    }
    return true;
}

/* One whose greeting was perhaps begun by a dead worker cannot be greeted again, and knows of nothing yet. */
static struct stdio_child *
find_process(struct bond *bond, const uint8_t key[STDIO_KEY_BYTES])
{
    struct stdio_child *child = stdio_find(bond->up, key);

    if (!child || !child->is_left || has_greeting(child) || bond->up->era.era == BRIDGE_ERA_MODERN)
        return child;
    stdio_child_end(child, CLOSE_DONE);
    return NULL;
}

static enum close_reason
port_begin(struct bond *bond, bool *ret_ready)
{
    uint8_t key[STDIO_KEY_BYTES];
    enum close_reason reason = CLOSE_NONE;
    struct stdio_child *child;
    struct bond *other;

    key_of(bond, key);
    child = find_process(bond, key);
    if (!child)
        reason = stdio_take(bond->up, key, &bond_child_events, &child);
    if (reason != CLOSE_NONE)
        return reason;
    if (bond->child) /* it waited for another's greeting */
        list_del(&bond->of_child);
    other = greeted_by(child);
    bond->child = child;
    list_add_tail(&child->bonds, &bond->of_child);
    *ret_ready = other ? share_greeting(bond, other) : was_greeted(bond, child);
    bond->is_resumed = *ret_ready && !other;
    if (other && !*ret_ready) /* it is being greeted: port_post() of "initialized" goes on with this one */
        bond->state = BOND_NEW;
    return CLOSE_NONE;
}

void
bond_stdio_end_left(struct session *s, struct upstream *up)
{
    struct stdio_child *child = stdio_find(up, s->token.id);

    if (child)
        stdio_child_end(child, CLOSE_DONE);
}

static uint64_t
port_mint(struct bond *bond)
{
    return stdio_child_mint_id(bond->child);
}

/* One line: line ends between tokens become spaces. */
static bool
say(struct stdio_child *child, struct text message)
{
    struct buf *b = stdio_buf(&child->pool->worker->stdio.wire, message.len);

    if (!b)
        return false;
    memcpy(b->data, message.at, message.len);
    lines_flatten((char *)b->data, message.len);
    stdio_child_send(child, &(struct span){b, 0, message.len}, 1);
    stats_up_add(child->pool->worker->stats, child->pool->upstream->index, UPSTAT_up_sent, message.len);
    traffic_sent(child->pool->worker, LINK_UPSTREAM, TRANSPORT_STDIO, 1);
    buf_unref(b);
    return true;
}

static enum close_reason
port_send(struct bond_call *call, struct text message, const struct jsonrpc_envelope *env, struct text fields)
{
    struct stdio_child *child = call->bond->child;

    (void)env, (void)fields;
    if (!say(child, message))
        return CLOSE_NO_MEMORY;
    stats_up_add(call->bond->worker->stats, call->bond->up->index, UPSTAT_up_requests, 1);
    stdio_child_hold(child);
    list_add_tail(&child->calls, &call->of_child);
    call->child = child;
    return CLOSE_NONE;
}

/* Those that found the process being greeted by another bond. When that came to nothing, the first of them
 * greets it, and the rest wait for that one. */
static void
greet_others(struct stdio_child *child)
{
    struct list_node others;

    list_init(&others);
    list_for_each_safe(node, &child->bonds) {
        if (container_of(node, struct bond, of_child)->state != BOND_NEW)
            continue;
        list_del(node);
        list_add_tail(&others, node);
    }
    for (struct list_node *node; (node = list_pop(&others));) {
        struct bond *other = container_of(node, struct bond, of_child);

        other->child = NULL;
        other->is_begun = false;
        bond_greet(other);
    }
}

static void
port_greeted(struct bond *bond)
{
    if (bond->child)
        greet_others(bond->child);
}

static void
note_greeted(struct bond *bond)
{
    struct stdio_child *child = bond->child;
    uint8_t note[STDIO_NOTE_BYTES] = {[NOTE_GREETED] = 1, [NOTE_REVISION] = (uint8_t)bond->bridge.upstream};
    uint8_t key[STDIO_KEY_BYTES];

    memcpy(note + NOTE_CAPS, &bond->server.caps, sizeof bond->server.caps);
    memcpy(key, child->key, sizeof key);
    stdio_child_label(child, key, note);
}

static void
port_post(struct bond *bond, const struct bond_message *m)
{
    bool said = bond->child && say(bond->child, m->text);

    if (m->is_greeting && said)
        note_greeted(bond);
    bond_posted(bond, m->is_greeting, said ? CLOSE_DONE : CLOSE_NO_MEMORY, said ? 202 : 0);
}

static void
port_listen(struct bond *bond)
{
    (void)bond; /* it says what it says */
}

static void
port_end(struct bond *bond, bool ended)
{
    struct stdio_child *child = bond->child;

    (void)ended;
    if (!child)
        return;
    list_del(&bond->of_child);
    bond->child = NULL;
    if (ended && list_empty(&child->bonds) && bond->session &&
        memcmp(child->key, bond->session->token.id, STDIO_KEY_BYTES) == 0)
        stdio_child_end(child, CLOSE_DONE);
    else if (bond->state == BOND_INITIALIZING) /* nobody waits for it any more */
        greet_others(child);
}

static void
port_pause(struct bond_call *call)
{
    if (!call->child)
        return;
    call->is_paused = true;
    stdio_child_pause(call->child);
}

const struct bond_port bond_stdio = {
    .begin = port_begin,
    .mint = port_mint,
    .send = port_send,
    .let_go = let_go,
    .post = port_post,
    .greeted = port_greeted,
    .listen = port_listen,
    .end = port_end,
    .pause = port_pause,
    .resume = resume,
};
