/* SPDX-License-Identifier: Apache-2.0 */
/* A bond over HTTP: each message is a POST of its own, and of a legacy upstream a GET brings what is said
 * unasked. */
#include "gate/bond_port.h"
#include "gate/bridging.h"
#include "mcp/headers.h"

#include <stdlib.h>

enum {
    FIELDS_BYTES = 32 << 10,
    STREAM_WAIT_MIN_MS = 500,
    STREAM_WAIT_MAX_MS = 30000,
    COMEBACK_WAIT_MS = 1000,
    COMEBACK_TRIES = 3
};

/* --- fields --- */

struct field_lines {
    char at[FIELDS_BYTES];
    uint32_t len;
    bool full;
};

static void
put(struct field_lines *l, const char *bytes, uint32_t n)
{
    if (n > sizeof l->at - l->len) {
        l->full = true;
        return;
    }
    memcpy(l->at + l->len, n ? bytes : "", n);
    l->len += n;
}

static void
put_line(struct field_lines *l, const char *name, struct text value)
{
    put(l, name, (uint32_t)strlen(name));
    put(l, value.at, value.len);
    put(l, "\r\n", 2);
}

/* The fields of 2026-07-28 that repeat parts of the message that is sent. */
static void
put_mirrors(struct field_lines *l, const struct jsonrpc_envelope *env)
{
    int n = mcp_write_fields(env, l->at + l->len, (uint32_t)sizeof l->at - l->len);

    if (n < 0)
        l->full = true;
    else
        l->len += (uint32_t)n;
}

/* Of a revision before 2026-07-28. */
static void
put_session(struct field_lines *l, struct text id, enum mcp_revision revision)
{
    if (id.len)
        put_line(l, "Mcp-Session-Id: ", id);
    if (revision >= MCP_2025_06_18 && revision < MCP_REVISIONS)
        put_line(l, "MCP-Protocol-Version: ", mcp_revision_name(revision));
}

static void
put_fields(struct bond *bond, struct field_lines *l, const struct jsonrpc_envelope *env, struct text passing)
{
    enum mcp_revision revision = bond->bridge.upstream;

    l->len = 0;
    l->full = false;
    if (mcp_revision_is_modern(revision)) {
        if (env && env->method.len)
            put_mirrors(l, env);
        else
            put_line(l, "MCP-Protocol-Version: ", mcp_revision_name(revision));
    } else {
        put_session(l, (struct text){bond->session_id, bond->session_id_len}, revision);
    }
    put(l, passing.at, passing.len);
}

static struct leg *
post(struct bond *bond, const struct bond_message *m, struct text passing, const struct leg_up *up,
     void *owner, enum close_reason *ret_reason)
{
    struct field_lines l;

    put_fields(bond, &l, m->env, passing);
    if (l.full) {
        *ret_reason = CLOSE_HEAD_TOO_LARGE;
        return NULL;
    }
    return leg_open(bond->worker,
                    &(struct leg_request){.upstream = bond->up,
                                          .endpoint = bond->endpoint,
                                          .method = METHOD_POST,
                                          .priority = m->priority,
                                          .body = m->text,
                                          .fields = {l.at, l.len}},
                    up, owner, ret_reason);
}

/* --- the record of the client's session --- */

static uint32_t
hash_of(const struct endpoint *ep)
{
    return ep ? (uint32_t)session_upstream_hash(ep->authority) : 0;
}

/* A bond greets its upstream also when nobody holds the session any more: then the next call notes it. */
static void
note_session(struct bond *bond)
{
    const struct session_at_upstream at = {.revision = (uint8_t)bond->bridge.upstream,
                                           .endpoint = hash_of(bond->endpoint),
                                           .id = {bond->session_id, bond->session_id_len}};
    struct session_record record;

    if (bond->is_noted || !bond->session || !bond->session->holds || bond->state != BOND_READY ||
        mcp_revision_is_modern(bond->bridge.upstream))
        return;
    bond->is_noted = true;
    session_record_get(bond->session, &record);
    if (!session_record_set_upstream(&record, session_upstream_hash(bond->up->name), &at))
        record.incomplete = true;
    session_record_put(bond->session, &record);
}

/* What the record says, in *record. False: nothing, or the endpoint is not there any more. */
static bool
read_noted(struct session *s, struct upstream *up, struct session_record *record,
           struct session_at_upstream *ret, struct endpoint **ret_endpoint)
{
    *ret_endpoint = NULL;
    if (!session_record_get(s, record) ||
        !session_record_upstream(record, session_upstream_hash(up->name), ret) ||
        ret->revision > MCP_LATEST_LEGACY)
        return false;
    for (unsigned i = 0; i < up->endpoint_count && ret->endpoint; i++)
        if (hash_of(&up->endpoints[i]) == ret->endpoint)
            *ret_endpoint = &up->endpoints[i];
    return !ret->endpoint || *ret_endpoint;
}

/* Goes on with what a dead worker has begun, or one that let the session go. */
static bool
resume_session(struct bond *bond)
{
    struct session_at_upstream at;
    struct session_record record;

    if (!bond->session || !read_noted(bond->session, bond->up, &record, &at, &bond->endpoint))
        return false;
    memcpy(bond->session_id, at.id.at, at.id.len);
    bond->session_id_len = at.id.len;
    bond->bridge.upstream = bond->server.revision = (enum mcp_revision)at.revision;
    bond->is_noted = true;
    return true;
}

/* --- a reply's stream that ended before the response --- */

/* The server may go on with it on another one (2025-03-26 and later, basic/transports, "Resumability"): the
 * gateway asks for it, as a client would. The call itself is never sent again. */
struct comeback {
    struct bond_call *call;
    struct timer timer;
    uint64_t quiet_since_ns; /* the last message */
    unsigned tries;          /* in a row that brought no event id */
    uint32_t id_len;
    char id[SSE_LAST_ID_MAX];
};

static void
forget_comeback(struct bond_call *call)
{
    if (!call->comeback)
        return;
    timer_stop(&call->comeback->timer);
    free(call->comeback);
    call->comeback = NULL;
}

static void on_comeback_due(struct ring *ring, struct timer *timer);
static const struct leg_up call_up;

static void
wait_for_comeback(struct comeback *c, int64_t retry_ms)
{
    uint64_t wait_ms = retry_ms >= 0 ? (uint64_t)retry_ms : (uint64_t)COMEBACK_WAIT_MS << c->tries;

    timer_set(c->call->bond->worker->ring, &c->timer,
              wait_ms < STREAM_WAIT_MAX_MS ? wait_ms : STREAM_WAIT_MAX_MS, on_comeback_due);
}

static void
give_comeback_up(struct bond_call *call)
{
    forget_comeback(call);
    bond_came_to_end(call, CLOSE_UPSTREAM_GONE, 0, false);
}

static void
on_comeback_due(struct ring *ring, struct timer *timer)
{
    struct comeback *c = container_of(timer, struct comeback, timer);
    struct bond_call *call = c->call;
    enum close_reason reason;
    struct field_lines l;

    (void)ring;
    put_fields(call->bond, &l, NULL, held_text(&call->bond->fields));
    put_line(&l, "Last-Event-ID: ", (struct text){c->id, c->id_len});
    if (!l.full)
        call->leg = leg_open(call->bond->worker,
                             &(struct leg_request){.upstream = call->bond->up,
                                                   .endpoint = call->bond->endpoint,
                                                   .method = METHOD_GET,
                                                   .fields = {l.at, l.len}},
                             &call_up, call, &reason);
    if (!call->leg)
        give_comeback_up(call);
}

static bool
is_field_value(const char *id, uint32_t len)
{
    for (uint32_t i = 0; i < len; i++)
        if (id[i] < ' ' || id[i] > '~')
            return false;
    return len != 0;
}

/* Whether the stream that has just ended is asked for again. */
static bool
come_back(struct bond_call *call, const struct leg *leg, enum close_reason reason)
{
    struct bond *bond = call->bond;
    const struct worker *w = bond->worker;
    struct comeback *c = call->comeback;
    bool brought_id = leg->is_stream && is_field_value(leg->parser.id, leg->parser.id_len);

    if (call->is_answered || bond->over || w->draining || reason == CLOSE_DRAIN ||
        mcp_revision_is_modern(bond->bridge.upstream) || !(c ? !leg->status || leg->is_stream : brought_id))
        return false;
    if (!c) {
        c = call->comeback = calloc(1, sizeof *c);
        if (!c)
            return false;
        c->call = call;
        c->quiet_since_ns = ring_now(w->ring);
    }
    c->tries = brought_id ? 0 : c->tries + 1;
    if (brought_id) {
        memcpy(c->id, leg->parser.id, leg->parser.id_len);
        c->id_len = leg->parser.id_len;
    }
    if (c->tries == COMEBACK_TRIES ||
        (w->config->stream_idle && ring_now(w->ring) - c->quiet_since_ns >= w->config->stream_idle * 1000000))
        return false;
    wait_for_comeback(c, leg->is_stream ? leg->parser.retry_ms : -1);
    return true;
}

/* --- calls --- */

static void
on_call_head(struct leg *leg, const struct http1_head *head)
{
    struct bond_call *call = leg->owner;
    struct bond *bond = call->bond;
    struct text id = http1_value(head, HTTP_MCP_SESSION_ID);

    call->status = head->status;
    if (!call->challenge.buf)
        call->challenge = exchange_keep(leg->ex, http1_value(head, HTTP_WWW_AUTHENTICATE));
    if (bond->state != BOND_INITIALIZING || head->status != 200 || !id.len ||
        id.len > sizeof bond->session_id)
        return;
    memcpy(bond->session_id, id.at, id.len);
    bond->session_id_len = id.len;
    bond->endpoint = leg_endpoint(leg);
}

static void
on_call_message(struct leg *leg, struct text message)
{
    struct bond_call *call = leg->owner;
    struct jsonrpc_envelope env;

    if (jsonrpc_scan(message, JSON_SCAN_STRICT, &env) != JSONRPC_FAULT_FINE)
        return; /* what is no message says nothing */
    if (call->status == 404 && call->bond->session_id_len)
        return; /* the session is gone: on_call_end() */
    if (call->comeback)
        call->comeback->quiet_since_ns = ring_now(call->bond->worker->ring);
    bond_came(call, message, &env);
}

static void
on_call_end(struct leg *leg, enum close_reason reason)
{
    struct bond_call *call = leg->owner;
    bool forgotten;

    /* What has begun is not begun anew, also when the session is forgotten meanwhile. */
    forgotten = call->status == 404 && call->bond->session_id_len && !call->comeback;
    call->leg = NULL;
    if (!come_back(call, leg, reason))
        bond_came_to_end(call, reason == CLOSE_DONE ? CLOSE_UPSTREAM_GONE : reason, leg->status, forgotten);
}

static const struct leg_up call_up = {
    .on_head = on_call_head, .on_message = on_call_message, .on_end = on_call_end};

static enum close_reason
http_begin(struct bond *bond, bool *ret_ready)
{
    if (bond->stream) /* of the session that was forgotten */
        leg_close(bond->stream);
    bond->stream = NULL;
    bond->session_id_len = 0;
    bond->endpoint = NULL;
    bond->is_noted = false;
    *ret_ready = bond->is_resumed = !bond->life && resume_session(bond);
    return CLOSE_NONE;
}

/* A session that goes on in another worker sees no id twice. */
static uint64_t
http_mint(struct bond *bond)
{
    return bond->session ? session_mint_id(bond->session) : ++bond->last_number;
}

static enum close_reason
http_send(struct bond_call *call, struct text message, const struct jsonrpc_envelope *env, struct text fields)
{
    enum close_reason reason = CLOSE_NONE;

    note_session(call->bond);
    call->leg = post(call->bond, &(struct bond_message){message, env, (enum priority)call->priority, false},
                     fields, &call_up, call, &reason);
    if (call->leg)
        call->leg->is_standing = call->is_standing;
    return call->leg ? CLOSE_NONE : reason;
}

/* For a modern upstream the closed stream says it (mcp-wire 4.6). */
static bool
http_let_go(struct bond_call *call)
{
    bool was_sent = call->leg || call->comeback;

    forget_comeback(call);
    if (call->leg)
        leg_close(call->leg);
    call->leg = NULL;
    return was_sent && !mcp_revision_is_modern(call->bond->bridge.upstream);
}

static void
http_pause(struct bond_call *call)
{
    if (call->leg)
        leg_pause(call->leg);
}

static void
http_resume(struct bond_call *call)
{
    if (call->leg)
        leg_resume(call->leg);
}

/* --- what needs no answer --- */

static void
ignore_message(struct leg *leg, struct text message)
{
    (void)leg, (void)message;
}

static void
on_post_end(struct leg *leg, enum close_reason reason)
{
    bond_posted(leg->owner, false, reason, leg->status);
}

static void
on_greeting_end(struct leg *leg, enum close_reason reason)
{
    bond_posted(leg->owner, true, reason, leg->status);
}

static const struct leg_up post_up = {.on_message = ignore_message, .on_end = on_post_end};
static const struct leg_up greeting_up = {.on_message = ignore_message, .on_end = on_greeting_end};

static void
http_post(struct bond *bond, const struct bond_message *m)
{
    enum close_reason reason;

    if (!post(bond, m, held_text(&bond->fields), m->is_greeting ? &greeting_up : &post_up, bond, &reason))
        bond_posted(bond, m->is_greeting, reason, 0);
}

/* --- what the upstream says unasked --- */

static void http_listen(struct bond *bond);

static void
on_stream_message(struct leg *leg, struct text message)
{
    struct bond *bond = leg->owner;
    struct jsonrpc_envelope env;

    bond->stream_wait_ms = 0;
    if (jsonrpc_scan(message, JSON_SCAN_STRICT, &env) == JSONRPC_FAULT_FINE)
        bridging_heard(bond, message, &env);
}

static void
on_stream_due(struct ring *ring, struct timer *timer)
{
    struct bond *bond = container_of(timer, struct bond, stream_timer);

    (void)ring;
    http_listen(bond);
}

static void
on_stream_end(struct leg *leg, enum close_reason reason)
{
    struct bond *bond = leg->owner;

    (void)reason;
    bond->stream = NULL;
    /* It offers none (405), or does not know us any more. */
    if (leg->status / 100 == 4 || bond->over || bond->worker->draining)
        return;
    bond->stream_wait_ms = bond->stream_wait_ms ? 2 * bond->stream_wait_ms : STREAM_WAIT_MIN_MS;
    if (bond->stream_wait_ms > STREAM_WAIT_MAX_MS)
        bond->stream_wait_ms = STREAM_WAIT_MAX_MS;
    timer_set(bond->worker->ring, &bond->stream_timer, bond->stream_wait_ms, on_stream_due);
}

static const struct leg_up stream_up = {.on_message = on_stream_message, .on_end = on_stream_end};

static void
http_listen(struct bond *bond)
{
    enum close_reason reason;
    struct field_lines l;

    if (bond->stream || bond->worker->draining || timer_running(&bond->stream_timer) ||
        mcp_revision_is_modern(bond->bridge.upstream))
        return;
    put_fields(bond, &l, NULL, held_text(&bond->fields));
    if (!l.full)
        bond->stream = leg_open(bond->worker,
                                &(struct leg_request){.upstream = bond->up,
                                                      .endpoint = bond->endpoint,
                                                      .method = METHOD_GET,
                                                      .fields = {l.at, l.len}},
                                &stream_up, bond, &reason);
    if (bond->stream)
        bond->stream->is_standing = true;
}

/* --- the end --- */

static void
http_end(struct bond *bond, bool ended)
{
    enum close_reason reason;
    struct field_lines l;

    timer_stop(&bond->stream_timer);
    if (bond->stream)
        leg_close(bond->stream);
    bond->stream = NULL;
    if (!ended || bond->state != BOND_READY || !bond->session_id_len)
        return;
    put_fields(bond, &l, NULL, held_text(&bond->fields));
    if (!l.full && leg_open(bond->worker,
                            &(struct leg_request){.upstream = bond->up,
                                                  .endpoint = bond->endpoint,
                                                  .method = METHOD_DELETE,
                                                  .fields = {l.at, l.len}},
                            &post_up, bond, &reason))
        bond->posts++;
}

static void
ignore_end(struct leg *leg, enum close_reason reason)
{
    (void)leg, (void)reason;
}

void
bond_http_end_left(struct session *s, struct upstream *up, struct text fields)
{
    static const struct leg_up nobody = {.on_message = ignore_message, .on_end = ignore_end};
    struct session_at_upstream at;
    struct session_record record;
    struct endpoint *endpoint;
    enum close_reason reason;
    struct field_lines l = {.len = 0};

    if (!read_noted(s, up, &record, &at, &endpoint) || !at.id.len)
        return;
    put_session(&l, at.id, (enum mcp_revision)at.revision);
    put(&l, fields.at, fields.len);
    if (l.full)
        return;
    (void)leg_open(
        s->worker,
        &(struct leg_request){
            .upstream = up, .endpoint = endpoint, .method = METHOD_DELETE, .fields = {l.at, l.len}},
        &nobody, NULL, &reason);
}

const struct bond_port bond_http = {
    .begin = http_begin,
    .mint = http_mint,
    .send = http_send,
    .let_go = http_let_go,
    .post = http_post,
    .greeted = note_session,
    .listen = http_listen,
    .end = http_end,
    .pause = http_pause,
    .resume = http_resume,
};
