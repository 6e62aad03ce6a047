/* SPDX-License-Identifier: Apache-2.0 */
#include "gate/demo.h"

#include "gate/events.h"
#include "gate/heads.h"
#include "gate/held.h"
#include "gate/home.h"
#include "gate/local.h"
#include "gate/session.h"
#include "gate/sse_front.h"
#include "mcp/demo.h"
#include "proto/jsonrpc.h"

#include <stdlib.h>

enum { DEMO_BODY_MAX = 256 << 10, DRAIN_LOOK_MS = 50 };

/* What the plan keeps per request: ex->state. */
struct demo {
    struct worker *worker;
    struct demo_call call;
    struct exchange *ex;
    struct session *session;    /* held; NULL: none */
    struct session_call listed; /* with the session, while the call is open */
    enum close_reason failed;   /* initialize found no room for a session; CLOSE_NONE: it did */
    uint8_t principal[MCP_TOKEN_PRINCIPAL_BYTES];
    char *fields; /* copies of what version, method and name point at */
    struct text version, method, name;
    struct held body;
    uint64_t wake_ms; /* when the call wants to go on, by the ring's clock; 0: not by itself */
    bool open;        /* the call is */
    bool replied;     /* the one JSON reply was sent: the exchange is finished */
    bool is_posted;   /* to the session of an HTTP+SSE stream, which hears the answer */
    bool is_accepted; /* of that: answered with 202, and without client */
};

static uint64_t
now_ms(const struct exchange *ex)
{
    return ring_now(ex->worker->ring) / 1000000;
}

/* Whose client hears what is said of this; NULL: it has gone. */
static struct exchange *
hearer(const struct demo *d)
{
    struct exchange *ex = d->is_accepted ? d->session->stream : d->ex;

    return ex && ex->client ? ex : NULL;
}

static void
drop(struct demo *d)
{
    if (d->open)
        demo_cancel(&d->call);
    list_del(&d->listed.node);
    if (d->session && d->session->stream == d->ex) {
        d->session->stream = NULL;
        if (d->session->is_of_stream)
            session_end_with_stream(d->session);
    }
    session_release(d->session);
    held_free(d->worker, &d->body);
    free(d->fields);
    free(d);
}

static void
demo_free(struct exchange *ex)
{
    if (ex->state)
        drop(ex->state);
    ex->state = NULL;
}

/* A call that was accepted and comes to no end of its own: its caller hears why. */
static void
say_failure(struct exchange *ex, enum close_reason reason)
{
    struct demo *d = ex->state;
    struct exchange *stream = hearer(d);
    char error[1024];

    if (!stream || !d->is_accepted || !d->open || !ex->id_len || reason == CLOSE_DONE)
        return;
    events_send(stream, (struct text){error, local_error_json(ex, reason, error, sizeof error)});
}

static void
demo_release(struct exchange *ex, enum close_reason reason)
{
    if (ex->state)
        say_failure(ex, reason);
    demo_free(ex);
}

static void
refuse(struct exchange *ex, enum close_reason reason, struct text extra)
{
    demo_free(ex);
    local_error(ex, reason, extra);
}

static void
refuse_status(struct exchange *ex, int status, const char *json)
{
    demo_free(ex);
    local_reply(ex, status, TEXT("application/json"), (struct text){0}, json, (uint32_t)strlen(json),
                CLOSE_BAD_REQUEST);
}

/* --- what the machine says --- */

struct reply {
    struct exchange *ex;
    struct demo_effects *effects;
};

/* The field of the session that an initialize begins. False: there is no room for one. */
static bool
begin_session(struct exchange *ex, const struct demo_effects *effects, char extra[SESSION_FIELD_MAX],
              struct text *ret_field)
{
    struct demo *d = ex->state;
    struct session *s = session_create(ex->worker, effects->initialized, effects->client_capabilities,
                                       d->principal, &d->failed);

    if (!s)
        return false;
    d->failed = CLOSE_NONE;
    session_release(d->session);
    d->session = s;
    *ret_field = (struct text){extra, session_field(s, extra)};
    return true;
}

/* HTTP+SSE: the session is there already, and says now what its client can. */
static void
say_on_stream(struct demo *d, const struct demo_effects *effects, struct text json)
{
    struct session *s = d->session;
    struct exchange *stream = hearer(d);

    if (!stream)
        return;
    if (effects->initialized != MCP_NO_REVISION) {
        s->is_greeted = true;
        s->token.revision = effects->initialized;
        s->token.client_capabilities = effects->client_capabilities;
        sse_front_give_id(s);
    }
    events_send(stream, json);
}

/* One message of the machine: the one JSON reply, or an event of the stream. A client that takes no stream
 * gets the final message only. */
static void
on_message(void *context, struct text json, bool final)
{
    struct reply *reply = context;
    struct exchange *ex = reply->ex;
    struct demo *d = ex->state;
    char extra[SESSION_FIELD_MAX];
    struct text field = {0};

    if (d->is_accepted) {
        say_on_stream(d, reply->effects, json);
        return;
    }
    if (reply->effects->initialized != MCP_NO_REVISION && !begin_session(ex, reply->effects, extra, &field))
        return;
    if (!ex->reply_begun && !(reply->effects->wants_stream && ex->accepts_sse)) {
        if (!final)
            return;
        ex->reply_bytes += json.len;
        d->replied = true;
        ex->state = NULL; /* after_step() frees it */
        local_reply(ex, reply->effects->status, TEXT("application/json"), field, json.at, json.len,
                    CLOSE_DONE);
        return;
    }
    if (ex->reply_begun || events_open(ex, field))
        events_send(ex, json);
}

/* After each step of the machine. Finishes. */
static void
after_step(struct exchange *ex, struct demo *d, const struct demo_effects *effects)
{
    if (d->replied) { /* local_reply has finished the exchange; its state is ours still */
        drop(d);
        return;
    }
    if (d->failed != CLOSE_NONE) {
        refuse(ex, d->failed, (struct text){0});
        return;
    }
    if (d->open) {
        if (d->session && !list_linked(&d->listed.node)) {
            d->listed.id = demo_call_id(&d->call);
            list_add_tail(&d->session->calls, &d->listed.node);
        }
        d->wake_ms = effects->wake_ms ? now_ms(ex) + effects->wake_ms : 0;
        if (effects->wake_ms)
            exchange_wake_in(ex, effects->wake_ms);
        if (ex->is_stream && ex->worker->config->heartbeat)
            exchange_wake_in(ex, ex->worker->config->heartbeat);
        return;
    }
    if (d->is_accepted) {
        exchange_finish(ex, hearer(d) ? CLOSE_DONE : CLOSE_STREAM_GONE);
    } else if (ex->reply_begun) {
        exchange_end_reply(ex, CLOSE_DONE);
    } else { /* notifications and responses: accepted, nothing to say */
        int status = effects->status;

        demo_free(ex);
        local_reply(ex, status, (struct text){0}, (struct text){0}, "", 0, CLOSE_DONE);
    }
}

static struct demo_effects
effects_for(struct reply *reply, struct exchange *ex)
{
    static char room[DEMO_ROOM_MIN];

    return (struct demo_effects){.message = on_message,
                                 .context = reply,
                                 .room = room,
                                 .room_size = sizeof room,
                                 .initialized = MCP_NO_REVISION,
                                 .status = ex->status};
}

/* --- the plan --- */

static void
demo_body(struct exchange *ex, const struct h1_body *body)
{
    struct demo *d = ex->state;

    if (ex->method != METHOD_POST)
        return;
    ex->body_bytes += body->bytes;
    ex->asked_ns = ring_now(ex->worker->ring);
    if (d->body.len + body->bytes > DEMO_BODY_MAX) {
        refuse(ex, CLOSE_BODY_TOO_LARGE, (struct text){0});
        return;
    }
    for (uint32_t i = 0; i < body->count; i++)
        if (!held_append(ex->worker, &d->body, span_data(body->data[i]), body->data[i].len)) {
            refuse(ex, CLOSE_NO_MEMORY, (struct text){0});
            return;
        }
}

static void
demo_trailers(struct exchange *ex, struct text section)
{
    (void)ex, (void)section;
}

static const struct plan demo_plan;

/* notifications/cancelled, or the end of the session. */
static void
cancel_call(struct session_call *call)
{
    struct demo *d = container_of(call, struct demo, listed);
    struct exchange *ex = d->ex;
    struct h1 *client = ex->client;

    if (d->is_accepted) {
        list_del(&call->node);
        d->open = false;
        demo_cancel(&d->call);
        exchange_finish(ex, hearer(d) ? CLOSE_CANCELLED : CLOSE_STREAM_GONE);
    } else if (d->session->over) { /* nobody called it off: its client waits */
        exchange_fail(ex, CLOSE_SESSION_UNKNOWN);
    } else if (ex->reply_begun) {
        exchange_end_reply(ex, CLOSE_DONE);
    } else {
        exchange_finish(ex, CLOSE_DONE);
        h1_close(client, CLOSE_DONE);
    }
}

static void
cancel_named(struct demo *by, struct text id)
{
    struct session_call *call = by->session ? session_find_call(by->session, id) : NULL;

    if (call)
        call->cancel(call);
}

static enum mcp_revision
session_revision(const struct demo *d)
{
    return d->session && (!d->session->is_of_stream || d->session->is_greeted) ? d->session->token.revision
                                                                               : MCP_NO_REVISION;
}

/* All that older revisions say but initialize and ping belongs to a session. What is not well-formed is left
 * to the machine. */
static bool
needs_session(struct exchange *ex, const struct demo *d)
{
    struct jsonrpc_envelope env;
    bool modern = mcp_revision_is_modern((enum mcp_revision)ex->revision);

    if (jsonrpc_scan(held_text(&d->body), JSON_SCAN_FAST, &env) != JSONRPC_FAULT_FINE)
        return false;
    ex->mcp = (uint8_t)mcp_method_of(env.method);
    if (env.kind == JSONRPC_REQUEST && env.id.len <= EXCHANGE_ID_MAX) { /* for errors of our own */
        memcpy(ex->id, env.id.at, env.id.len);
        ex->id_len = (uint8_t)env.id.len;
    }
    return !modern && !d->session && !env.meta_version.len && ex->mcp != MCP_INITIALIZE &&
           ex->mcp != MCP_PING;
}

/* What is none is answered by its POST. */
static bool
is_message(const struct demo *d, bool *ret_is_request)
{
    struct jsonrpc_envelope env;
    bool is_fine = jsonrpc_scan(held_text(&d->body), JSON_SCAN_STRICT, &env) == JSONRPC_FAULT_FINE;

    *ret_is_request = is_fine && env.kind == JSONRPC_REQUEST;
    return is_fine;
}

static void
demo_end(struct exchange *ex)
{
    struct demo *d = ex->state;
    struct reply reply = {ex, NULL};
    struct demo_effects effects = effects_for(&reply, ex);
    struct demo_input in = {.message = held_text(&d->body),
                            .http = true,
                            .version = d->version,
                            .method = d->method,
                            .name = d->name,
                            .session = session_revision(d),
                            .now_ms = now_ms(ex)};

    bool is_request;

    ex->request_whole = true;
    reply.effects = &effects;
    if (ex->method != METHOD_POST)
        return;
    if (needs_session(ex, d)) {
        refuse(ex, CLOSE_SESSION_MISSING, (struct text){0});
        return;
    }
    if (d->is_posted && is_message(d, &is_request)) {
        if (!sse_front_accept(ex, d->session, is_request))
            return;
        d->is_accepted = true;
    }
    d->open = demo_begin(&d->call, &in, &effects);
    if (!d->replied && effects.cancel_id.at)
        cancel_named(d, effects.cancel_id);
    after_step(ex, d, &effects);
}

static void
go_on(struct exchange *ex)
{
    struct demo *d = ex->state;
    struct reply reply = {ex, NULL};
    struct demo_effects effects = effects_for(&reply, ex);

    reply.effects = &effects;
    effects.wants_stream = true;
    effects.status = 200;
    d->open = demo_wake(&d->call, now_ms(ex), &effects);
    after_step(ex, d, &effects);
}

static void
demo_writable(struct exchange *ex)
{
    struct demo *d = ex->state;

    if (d->open && d->wake_ms)
        go_on(ex);
}

static void
demo_client_gone(struct exchange *ex, enum close_reason reason)
{
    exchange_finish(ex, reason);
}

static void demo_stop(struct exchange *ex, bool at_once);

static void
demo_tick(struct exchange *ex)
{
    struct demo *d = ex->state;
    struct exchange *to = hearer(d);

    if (d->open && d->wake_ms && now_ms(ex) >= d->wake_ms && to && !link_congested(&to->client->link)) {
        go_on(ex);
        return;
    }
    if (exchange_check_limits(ex))
        return;
    if (ex->worker->draining && ex->is_stream && !d->wake_ms) { /* it came too late to stand for long */
        demo_stop(ex, !(d->session && d->session->is_of_stream));
        return;
    }
    events_tick(ex);
    if (d->open && d->wake_ms)
        exchange_wake_in(ex, d->wake_ms > now_ms(ex) ? d->wake_ms - now_ms(ex) : 1);
}

/* HTTP+SSE: calls that come to their end by themselves do so first. */
static void
stop_stream(struct exchange *ex, struct session *s, bool at_once)
{
    struct list_node *node;

    if (!at_once && !list_empty(&s->calls)) {
        exchange_wake_in(ex, DRAIN_LOOK_MS);
        return;
    }
    while ((node = list_first(&s->calls)))
        demo_stop(container_of(container_of(node, struct session_call, node), struct demo, listed)->ex, true);
    exchange_end_reply(ex, CLOSE_DRAIN);
}

/* The machine's last word, and the end. Calls that come to their end by themselves may do so until the time
 * is over. */
static void
demo_stop(struct exchange *ex, bool at_once)
{
    struct demo *d = ex->state;
    struct reply reply = {ex, NULL};
    struct demo_effects effects = effects_for(&reply, ex);

    if (!at_once && !(ex->is_stream && !d->wake_ms))
        return;
    if (ex->is_stream && d->session && d->session->is_of_stream && d->session->stream == ex) {
        stop_stream(ex, d->session, at_once);
        return;
    }
    reply.effects = &effects;
    effects.wants_stream = true;
    effects.status = 200;
    if (d->open)
        demo_finish(&d->call, &effects);
    d->open = false;
    if (d->replied || ex->reply_begun)
        after_step(ex, d, &effects);
    else
        refuse(ex, CLOSE_DRAIN, (struct text){0});
}

static const struct plan demo_plan = {
    .name = "demo",
    .body = demo_body,
    .trailers = demo_trailers,
    .end = demo_end,
    .writable = demo_writable,
    .client_gone = demo_client_gone,
    .tick = demo_tick,
    .stop = demo_stop,
    .release = demo_release,
};

/* --- the start --- */

static struct text
copy_field(char **at, struct text value)
{
    struct text copy = {*at, value.len};

    if (!value.at)
        return (struct text){0};
    memcpy(*at, value.at, value.len);
    *at += value.len + 1;
    return copy;
}

static bool
keep_fields(struct demo *d, const struct http1_head *head)
{
    struct text version = http1_value(head, HTTP_MCP_PROTOCOL_VERSION),
                method = http1_value(head, HTTP_MCP_METHOD), name = http1_value(head, HTTP_MCP_NAME);
    char *at = d->fields = calloc(1, (size_t)version.len + method.len + name.len + 3);

    if (!at)
        return false;
    d->version = copy_field(&at, version);
    d->method = copy_field(&at, method);
    d->name = copy_field(&at, name);
    return true;
}

/* GET of a session: at most one stream. */
static void
start_listening(struct exchange *ex)
{
    struct session *s = ((struct demo *)ex->state)->session;

    if (s->stream) {
        refuse_status(
            ex, 409,
            "{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32000,\"message\":\"Conflict: the session has a "
            "stream already\"}}");
        return;
    }
    if (!events_open(ex, (struct text){0})) {
        refuse(ex, CLOSE_NO_MEMORY, (struct text){0});
        return;
    }
    s->stream = ex;
    if (ex->worker->config->heartbeat)
        exchange_wake_in(ex, ex->worker->config->heartbeat);
}

/* The head of a POST. May finish. */
static void
await_body(struct exchange *ex, const struct http1_head *head)
{
    if (!http1_content_is(head, TEXT("application/json"))) {
        refuse(ex, CLOSE_MEDIA_TYPE, (struct text){0});
        return;
    }
    if (head->expect_continue)
        h1_send_continue(ex->client);
    ex->expects_100 = false;
    exchange_wake_in(ex, ex->worker->config->body_timeout);
}

/* The plan's state; the session passes to it. NULL: refused. */
static struct demo *
new_state(struct exchange *ex, const struct http1_head *head, struct session *session)
{
    struct demo *d = calloc(1, sizeof *d);

    ex->plan = &demo_plan;
    ex->state = d;
    if (d)
        *d = (struct demo){.worker = ex->worker, .ex = ex, .session = session, .listed.cancel = cancel_call};
    else
        session_release(session);
    if (d && keep_fields(d, head)) {
        session_principal(ex->worker, head, d->principal);
        return d;
    }
    refuse(ex, CLOSE_NO_MEMORY, (struct text){0});
    return NULL;
}

/* DELETE ends the session and all that it has open. */
static void
delete_session(struct exchange *ex)
{
    session_delete(((struct demo *)ex->state)->session);
    demo_free(ex);
    local_reply(ex, 200, (struct text){0}, (struct text){0}, "", 0, CLOSE_DONE);
}

void
demo_start(struct exchange *ex, const struct http1_head *head)
{
    struct worker *w = ex->worker;
    bool modern = mcp_revision_is_modern((enum mcp_revision)ex->revision);
    struct session *session = NULL;

    if (modern && head->method != METHOD_POST) {
        local_error(ex, CLOSE_METHOD, TEXT("Allow: POST\r\n"));
        return;
    }
    /* What a session has open lies with one worker. */
    if (!modern && !session_at_home(ex, head, &session))
        return;
    if (!session && head->method != METHOD_POST) {
        local_error(ex, CLOSE_SESSION_MISSING, (struct text){0});
        return;
    }
    stats_up_add(w->stats, ex->upstream->index, UPSTAT_up_requests, 1);
    if (!new_state(ex, head, session))
        return;
    if (head->method == METHOD_GET) {
        if (ex->accepts_sse)
            start_listening(ex);
        else
            refuse(ex, CLOSE_NOT_ACCEPTABLE, (struct text){0});
        return;
    }
    if (head->method == METHOD_DELETE) {
        delete_session(ex);
        return;
    }
    await_body(ex, head);
}

/* --- HTTP+SSE of 2024-11-05 --- */

void
demo_open_sse(struct exchange *ex, const struct http1_head *head)
{
    enum close_reason reason;
    struct session *s = sse_front_begin(ex, head, &reason);

    if (!s) {
        local_error(ex, reason, (struct text){0});
        return;
    }
    stats_up_add(ex->worker->stats, ex->upstream->index, UPSTAT_up_requests, 1);
    if (!new_state(ex, head, s))
        return;
    s->stream = ex;
    if (sse_front_open(ex, s) && ex->worker->config->heartbeat)
        exchange_wake_in(ex, ex->worker->config->heartbeat);
}

void
demo_take_posted(struct exchange *ex, const struct http1_head *head, struct session *session)
{
    struct demo *d;

    stats_up_add(ex->worker->stats, ex->upstream->index, UPSTAT_up_requests, 1);
    d = new_state(ex, head, session);
    if (!d)
        return;
    d->is_posted = true;
    await_body(ex, head);
}
