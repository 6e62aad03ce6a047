/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A bond over HTTP+SSE of 2024-11-05: one GET brings all that the upstream says, beginning with the endpoint
 * that messages are posted to. The stream is the session: it begins and ends with it. What answers a request
 * is found by its id.
 *
 *      begin --GET--> event: endpoint --POST initialize--> event: message (its answer) --> READY
 *
 * A stream that is quiet for half of --stream-idle is asked for a ping: the session must not end for want of
 * something to say.
 */
#include "gate/bond_stream.h"
#include "gate/upstream.h"

enum { ENDPOINT_MAX = 2048 };

/* --- the endpoint --- */

/* Without the port that the scheme has anyway. */
static struct text
plain_authority(struct text authority, bool is_tls)
{
    struct text port = is_tls ? TEXT(":443") : TEXT(":80");

    if (authority.len > port.len && memcmp(authority.at + authority.len - port.len, port.at, port.len) == 0)
        authority.len -= port.len;
    return authority;
}

/* The path behind "scheme://authority" or "//authority" when they are those of `ep`, else at NULL; a
 * reference without either is all path. */
static struct text
path_of(const struct endpoint *ep, struct text reference)
{
    bool is_tls = ep->tls.context != NULL;
    struct text scheme = is_tls ? TEXT("https:") : TEXT("http:"), authority;
    const char *colon = memchr(reference.at, ':', reference.len),
               *slash = memchr(reference.at, '/', reference.len),
               *query = memchr(reference.at, '?', reference.len);

    if (colon && (!slash || colon < slash) && (!query || colon < query)) {
        if (reference.len < scheme.len || !text_eq_nocase((struct text){reference.at, scheme.len}, scheme))
            return (struct text){0};
        reference = (struct text){reference.at + scheme.len, reference.len - scheme.len};
        if (!text_starts(reference, TEXT("//")))
            return (struct text){0};
    }
    if (!text_starts(reference, TEXT("//")))
        return reference;
    authority = (struct text){reference.at + 2, 0};
    while (authority.len < reference.len - 2 && !strchr("/?", authority.at[authority.len]))
        authority.len++;
    if (authority.len == reference.len - 2 || authority.at[authority.len] != '/' ||
        !text_eq_nocase(plain_authority(authority, is_tls), ep->authority))
        return (struct text){0};
    return (struct text){authority.at + authority.len, reference.len - 2 - authority.len};
}

/* "." and ".." would have to be resolved, and no server needs them. */
static bool
has_dots(struct text path)
{
    for (uint32_t i = 0; i < path.len && path.at[i] != '?'; i++)
        if (path.at[i] == '.' && (!i || path.at[i - 1] == '/') &&
            (i + 1 == path.len || strchr("./?", path.at[i + 1])))
            return true;
    return false;
}

static bool
is_visible(struct text text)
{
    for (uint32_t i = 0; i < text.len; i++)
        if (text.at[i] <= ' ' || text.at[i] > '~')
            return false;
    return true;
}

/* What of the stream's own path a relative reference is put behind (RFC 3986 5.2.3). */
static struct text
base_of(const struct endpoint *ep, struct text path)
{
    const char *query = memchr(ep->path.at, '?', ep->path.len);
    struct text base = {ep->path.at, query ? (uint32_t)(query - ep->path.at) : ep->path.len};

    if (path.len && path.at[0] == '/')
        return (struct text){"", 0};
    if (!path.len || path.at[0] != '?')
        while (base.len && base.at[base.len - 1] != '/')
            base.len--;
    return base;
}

/* Takes the endpoint that the upstream names, which must be of its own origin. */
static bool
keep_endpoint(struct bond *bond, struct text data)
{
    const struct endpoint *ep = bond->endpoint;
    const char *fragment = memchr(data.at, '#', data.len);
    struct text path, base;

    if (fragment)
        data.len = (uint32_t)(fragment - data.at);
    if (!data.len || data.len > ENDPOINT_MAX || !is_visible(data))
        return false;
    path = path_of(ep, data);
    if (!path.at || has_dots(path))
        return false;
    base = base_of(ep, path);
    return held_append(bond->worker, &bond->post_path, base.at, base.len) &&
           held_append(bond->worker, &bond->post_path, path.at, path.len) && bond->post_path.at[0] == '/';
}

/* --- what is posted --- */

static struct leg *
post(struct bond *bond, struct text message, enum priority priority, struct text fields,
     const struct leg_up *up, void *owner, enum close_reason *ret_reason)
{
    return leg_open(bond->worker,
                    &(struct leg_request){.upstream = bond->up,
                                          .endpoint = bond->endpoint,
                                          .method = METHOD_POST,
                                          .path = held_text(&bond->post_path),
                                          .priority = priority,
                                          .body = message,
                                          .fields = fields},
                    up, owner, ret_reason);
}

static void
ignore_message(struct leg *leg, struct text message)
{
    (void)leg, (void)message;
}

/* The message of a call was taken, or was not. Its answer is the stream's, and may have been quicker. */
static void
on_call_posted(struct leg *leg, enum close_reason reason)
{
    struct bond_call *call = leg->owner;

    call->leg = NULL;
    if (reason == CLOSE_DONE && leg->status / 100 == 2)
        return;
    bond_stream_forget(call);
    bond_came_to_end(call, reason == CLOSE_DONE ? CLOSE_UPSTREAM_GONE : reason, leg->status,
                     leg->status == 404 && call->bond->state == BOND_READY);
}

static void
on_posted(struct leg *leg, enum close_reason reason)
{
    bond_posted(leg->owner, false, reason, leg->status);
}

static void
on_greeting_posted(struct leg *leg, enum close_reason reason)
{
    struct bond *bond = leg->owner;

    bond->greeting = NULL;
    bond_posted(bond, true, reason, leg->status);
}

static const struct leg_up call_up = {.on_message = ignore_message, .on_end = on_call_posted};
static const struct leg_up post_up = {.on_message = ignore_message, .on_end = on_posted};
static const struct leg_up greeting_up = {.on_message = ignore_message, .on_end = on_greeting_posted};

static enum close_reason
sse_send(struct bond_call *call, struct text message, const struct jsonrpc_envelope *env, struct text fields)
{
    struct bond *bond = call->bond;
    enum close_reason reason = CLOSE_NONE;

    (void)env;
    if (!bond->stream)
        return CLOSE_UPSTREAM_GONE;
    bond_stream_sent(call);
    if (!bond->post_path.len) /* initialize: on_event() posts it */
        return held_append(bond->worker, &bond->unposted, message.at, message.len) ? CLOSE_NONE
                                                                                   : CLOSE_NO_MEMORY;
    call->leg = post(bond, message, (enum priority)call->priority, fields, &call_up, call, &reason);
    return call->leg ? CLOSE_NONE : reason;
}

/* The POST may not have been answered yet, though its message was: its connection is worth keeping. */
static bool
sse_let_go(struct bond_call *call)
{
    struct bond *bond = call->bond;

    if (call->leg) {
        call->leg->up = &post_up;
        call->leg->owner = bond;
        bond->posts++;
    }
    call->leg = NULL;
    return bond_stream_forget(call);
}

static void
sse_post(struct bond *bond, const struct bond_message *m)
{
    enum close_reason reason = CLOSE_UPSTREAM_GONE;
    struct leg *leg = NULL;

    if (bond->post_path.len)
        leg = post(bond, m->text, m->priority, held_text(&bond->fields),
                   m->is_greeting ? &greeting_up : &post_up, bond, &reason);
    if (m->is_greeting)
        bond->greeting = leg;
    if (!leg)
        bond_posted(bond, m->is_greeting, reason, 0);
}

/* --- what the stream brings --- */

static void
end_stream(struct bond *bond)
{
    bond_stream_close(bond);
    if (bond->greeting) /* of a session that is over: what becomes of it says nothing of the next one */
        bond->greeting->up = &post_up;
    bond->greeting = NULL;
    bond->post_path.len = bond->unposted.len = 0;
}

static void
on_quiet(struct ring *ring, struct timer *timer)
{
    struct bond *bond = container_of(timer, struct bond, stream_timer);
    uint64_t half_ms = bond->worker->config->stream_idle / 2,
             quiet_ms = exchange_age_ms(bond->stream->ex, bond->stream->ex->active_ns);
    char body[96];
    struct json_writer w = {.at = body, .size = sizeof body};

    if (quiet_ms >= half_ms) {
        json_put(&w, TEXT("{\"jsonrpc\":\"2.0\",\"id\":"));
        json_put_integer(&w, (int64_t)++bond->last_number); /* its answer finds no call */
        json_put(&w, TEXT(",\"method\":\"ping\"}"));
        bond_post(bond, json_written(&w));
        quiet_ms = 0;
    }
    timer_set(ring, timer, half_ms - quiet_ms + 1, on_quiet);
}

static void
on_event(struct leg *leg, struct text name, struct text data)
{
    struct bond *bond = leg->owner;
    enum close_reason reason = CLOSE_BAD_ENDPOINT;

    if (bond->post_path.len || !bond->hello.bond || !text_eq(name, TEXT("endpoint")))
        return;
    if (keep_endpoint(bond, data))
        bond->hello.leg = post(bond, held_text(&bond->unposted), PRIORITY_CRITICAL, held_text(&bond->fields),
                               &call_up, &bond->hello, &reason);
    bond->unposted.len = 0;
    if (bond->hello.leg && bond->worker->config->stream_idle)
        timer_set(bond->worker->ring, &bond->stream_timer, bond->worker->config->stream_idle / 2, on_quiet);
    if (bond->hello.leg)
        return;
    end_stream(bond);
    bond_lost(bond, reason);
}

static void
on_end(struct leg *leg, enum close_reason reason)
{
    struct bond *bond = leg->owner;
    unsigned status = leg->status;
    bool is_refused = status && status != 200;

    end_stream(bond);
    bond_stream_ended(bond, reason, is_refused, status);
}

static const struct leg_up stream_up = {.on_head = bond_stream_on_head,
                                        .on_message = bond_stream_on_message,
                                        .on_event = on_event,
                                        .on_end = on_end};

/* --- the port --- */

static void
end_session(struct bond *bond)
{
    end_stream(bond);
    bond_stream_fail_sent(bond);
}

static enum close_reason
sse_begin(struct bond *bond, bool *ret_ready)
{
    *ret_ready = false;
    end_session(bond);
    return bond_stream_open(bond, &stream_up);
}

static void
sse_end(struct bond *bond, bool ended)
{
    (void)ended; /* the session is the stream's */
    end_session(bond);
}

const struct bond_port bond_sse = {
    .begin = sse_begin,
    .mint = bond_stream_mint,
    .send = sse_send,
    .let_go = sse_let_go,
    .post = sse_post,
    .listen = bond_stream_listen,
    .end = sse_end,
    .pause = bond_stream_pause,
    .resume = bond_stream_resume,
};
