/* SPDX-License-Identifier: Apache-2.0 */
/* The upstream's side of the bridge plan: what comes back for a call, questions in the middle of it, and what
 * is said unasked. */
#include "gate/bridged.h"
#include "gate/local.h"
#include "gate/merging.h"

#include <stdio.h>
#include <stdlib.h>

enum { LIST_REQUEST_BYTES = 4096 };

static const struct text gateway_info = TEXT("{\"name\":\"mcpgate\",\"version\":\"" MCPGATE_VERSION "\"}");

static void
out_of_memory(struct bridged *b)
{
    exchange_fail(b->ex, CLOSE_NO_MEMORY);
}

/* --- towards the upstream --- */

static void
send_call(struct bridged *b, const struct bridge_out *out)
{
    struct text made = bridged_made(b->worker, out), fields;
    enum close_reason reason = CLOSE_NO_MEMORY;

    if (made.at && !bridged_params(b, made, &fields))
        return;
    if (made.at)
        reason = bond_send(&b->ask, made, fields);
    if (reason != CLOSE_NONE)
        exchange_fail(b->ex, reason);
    else if (bond_waits_for_ever(b->ask.bond))
        exchange_set_phase(b->ex, PHASE_REPLY);
}

static void
reply_initialize(struct bridged *b)
{
    struct bond *bond = b->ask.bond;
    char field[SESSION_FIELD_MAX];
    struct bridge_out out;

    if (!bond->about.len) {
        exchange_fail(b->ex, CLOSE_NOT_INITIALIZED);
        return;
    }
    if (!bridged_out(b->worker, bond->about.len, &out)) {
        out_of_memory(b);
        return;
    }
    bridge_put_initialize(&out.room, &b->bridge, b->call.id, &bond->server, gateway_info);
    bridged_reply(b, 200, json_written(&out.room), (struct text){field, session_field(b->session, field)});
}

static void
reply_discover(struct bridged *b)
{
    struct bond *bond = b->ask.bond;
    struct bridge_out out;

    if (!bridged_out(b->worker, bond->about.len, &out)) {
        out_of_memory(b);
        return;
    }
    bridge_put_discover(&out.room, &b->bridge, b->call.id, &bond->server, gateway_info, 0, true);
    bridged_reply(b, 200, json_written(&out.room), (struct text){0});
}

/* A modern client's subscription, served by what a legacy upstream says on its GET stream. */
static void
open_subscription(struct bridged *b, struct text filter)
{
    struct bond *bond = b->ask.bond;
    struct bridge_out out;

    if (!bridge_filter_read(filter, &b->filter)) {
        bridged_error(b, -32602, 400, "notifications is no filter");
        return;
    }
    bridge_filter_limit(&b->filter, bond->server.caps);
    if (!bridged_out(b->worker, filter.len, &out)) {
        out_of_memory(b);
        return;
    }
    bridge_put_acknowledged(&out.room, b->call.id, &b->filter);
    if (!bridged_event(b, json_written(&out.room), (struct text){0})) {
        bridged_refuse(b, CLOSE_NOT_ACCEPTABLE);
        return;
    }
    b->is_standing = true;
    b->listens_to = bond;
    bond->listeners++;
    bridged_listen(b);
    bond_listen(bond);
}

static void
note_level(struct bridged *b, struct text level)
{
    struct session_record record;

    session_record_get(b->session, &record);
    record.log_level = (uint8_t)bridge_level_of(level);
    session_record_put(b->session, &record);
}

/* As the upstream knows the resource. */
static void
note_subscription(struct bridged *b, struct text uri, bool is_on)
{
    uint64_t upstream = session_upstream_hash(b->ex->upstream->name);
    struct session_record record;
    char theirs[SESSION_URI_MAX];
    struct text as_sent = {theirs, jsonrpc_edit_write(uri, b->more, b->more_count, theirs, sizeof theirs)};

    session_record_get(b->session, &record);
    if (!is_on)
        session_record_unsubscribe(&record, upstream, as_sent);
    else if (!as_sent.len || !session_record_subscribe(&record, upstream, as_sent))
        record.incomplete = true;
    session_record_put(b->session, &record);
    bond_listen_anew(b->ask.bond);
}

/* What there is to be done besides sending. True: that was all. */
static bool
act_on_request(struct bridged *b, const struct bridge_out *out)
{
    switch (out->act) {
    case BRIDGE_ACT_INITIALIZE:
        reply_initialize(b);
        return true;
    case BRIDGE_ACT_DISCOVER:
        reply_discover(b);
        return true;
    case BRIDGE_ACT_LISTEN:
        open_subscription(b, out->subject);
        return true;
    case BRIDGE_ACT_RETRY:
        bridged_retry(b, out->subject);
        return true;
    case BRIDGE_ACT_SET_LEVEL:
        if (b->session)
            note_level(b, out->subject);
        return false;
    case BRIDGE_ACT_SUBSCRIBE:
    case BRIDGE_ACT_UNSUBSCRIBE:
        if (b->session)
            note_subscription(b, out->subject, out->act == BRIDGE_ACT_SUBSCRIBE);
        return false;
    default:
        return false;
    }
}

static void
on_ready(struct bond_call *ask)
{
    struct bridged *b = container_of(ask, struct bridged, ask);
    struct bond *bond = ask->bond;
    struct text message = bridged_message(b);
    bool is_notification = b->env->kind == JSONRPC_NOTIFICATION;
    enum bridge_verdict verdict;
    struct bridge_out out;

    b->bridge.upstream = bond->bridge.upstream;
    b->bridge.upstream_by_http = upstream_takes_posts(bond->up);
    if (!b->is_merged && tool_filter_is_set(bond->up)) /* merged lists are made elsewhere */
        b->bridge.tools = &bond->up->tools;
    b->bridge.server_info = bond->about.len ? bond->server.info : (struct text){0};
    ask->number = bond_mint(bond);
    if (!bridged_out(b->worker, message.len, &out)) {
        out_of_memory(b);
        return;
    }
    verdict = bridge_request(&b->bridge, message, b->env, ask->number, b->is_resent, &out);
    if (verdict == BRIDGE_PASS)
        bridge_add_edits(&out, b->more, b->more_count);
    if (verdict != BRIDGE_FULL && act_on_request(b, &out))
        return;
    if (verdict == BRIDGE_FULL) {
        out_of_memory(b);
    } else if (verdict == BRIDGE_REPLY) {
        bridged_reply(b, out.status ? out.status : 200, bridged_made(b->worker, &out), (struct text){0});
    } else if (is_notification) {
        if (verdict == BRIDGE_PASS)
            bond_post(bond, bridged_made(b->worker, &out));
        bridged_accept(b);
    } else if (verdict == BRIDGE_PASS) {
        send_call(b, &out);
    } else {
        exchange_fail(b->ex, CLOSE_INTERNAL);
    }
}

/* --- questions of a modern upstream to a legacy client --- */

void
bridged_round_free(struct bridged *b)
{
    struct bridged_round *round = b->round;

    if (!round)
        return;
    for (unsigned i = 0; i < BRIDGE_ASKS_MAX; i++)
        list_del(&round->questions[i].ask.node);
    held_free(b->worker, &round->reply);
    held_free(b->worker, &round->answers);
    free(round);
    b->round = NULL;
}

static void
fail_call(struct bridged *b, struct text why)
{
    struct bridge_out out;

    if (!bridged_out(b->worker, why.len, &out)) {
        out_of_memory(b);
        return;
    }
    bridge_put_failure(&out.room, &b->bridge, &b->call, why);
    bridged_reply(b, 200, json_written(&out.room), (struct text){0});
}

/* All answers are here: the call goes once more, with them. */
static void
send_again(struct bridged *b)
{
    struct bridged_round *round = b->round;
    struct text message = bridged_message(b);
    struct bridge_out out;

    if (round->answered && !round->is_closed && !held_append(b->worker, &round->answers, "}", 1)) {
        out_of_memory(b);
        return;
    }
    round->is_closed = true;
    b->ask.number = bond_mint(b->ask.bond);
    b->ask.is_answered = false;
    if (!bridged_out(b->worker, message.len + round->answers.len + round->state.len, &out) ||
        bridge_retry(&b->bridge, message, b->env, b->ask.number, held_text(&round->answers), round->state,
                     &out) != BRIDGE_PASS) {
        out_of_memory(b);
        return;
    }
    bridge_add_edits(&out, b->more, b->more_count);
    send_call(b, &out);
}

void
bridged_send(struct bridged *b)
{
    b->ask.is_answered = false;
    if (b->round)
        send_again(b);
    else
        on_ready(&b->ask);
}

bool
bridged_ask_list(struct worker *w, struct bond_call *call, enum mcp_method method, struct text cursor,
                 struct text fields)
{
    struct bridge b = call->bond->bridge;
    char text[LIST_REQUEST_BYTES];
    struct json_writer request = {.at = text, .size = sizeof text};
    struct jsonrpc_envelope env;
    struct bridge_out out;
    struct text made;

    b.client = MCP_LATEST_LEGACY; /* as its client would write it */
    json_put(&request, TEXT("{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\""));
    json_put(&request, mcp_method_name(method));
    json_put(&request, cursor.len ? TEXT("\",\"params\":{\"cursor\":") : TEXT("\""));
    json_put(&request, cursor);
    json_put(&request, cursor.len ? TEXT("}}") : TEXT("}"));
    call->number = bond_mint(call->bond);
    call->is_answered = false;
    if (request.full || jsonrpc_scan(json_written(&request), JSON_SCAN_STRICT, &env) != JSONRPC_FAULT_FINE ||
        !bridged_out(w, request.len, &out) ||
        bridge_request(&b, json_written(&request), &env, call->number, false, &out) != BRIDGE_PASS)
        return false;
    made = bridged_made(w, &out);
    return made.at && bond_send(call, made, fields) == CLOSE_NONE;
}

static void
on_ask_dropped(struct session_ask *ask)
{
    list_del(&ask->node);
}

static void
on_answered(struct session_ask *ask, struct text message, const struct jsonrpc_envelope *env)
{
    struct bridged_question *q = container_of(ask, struct bridged_question, ask);
    struct bridged *b = q->of;
    struct bridged_round *round = b->round;
    struct json_writer w;

    (void)message;
    list_del(&ask->node);
    if (env->kind != JSONRPC_RESPONSE) {
        fail_call(b, TEXT("the client refused what the server asked of it"));
        return;
    }
    if (!held_reserve(b->worker, &round->answers, round->answers.len + q->key.len + env->result.len + 16)) {
        out_of_memory(b);
        return;
    }
    w = (struct json_writer){.at = round->answers.at, .size = round->answers.size, .len = round->answers.len};
    bridge_put_response(&w, q->key, env->result, !round->answered++);
    round->answers.len = w.len;
    if (!--round->open)
        send_again(b);
}

static bool
ask_client(struct bridged *b, struct bridged_question *q, const struct bridge_question *question)
{
    struct bridge_out out;
    const char *why;

    q->of = b;
    q->key = question->key;
    q->ask = (struct session_ask){
        .id = session_mint_id(b->session), .answered = on_answered, .drop = on_ask_dropped};
    if (!bridged_out(b->worker, question->params.len, &out)) {
        out_of_memory(b);
        return false;
    }
    if (!bridge_put_question(&b->bridge, question, q->ask.id, &out.room, &why)) {
        fail_call(b, text_of(why));
        return false;
    }
    list_add_tail(&b->session->asked, &q->ask.node);
    b->round->open++;
    if (bridged_event(b, json_written(&out.room), (struct text){0}))
        return true;
    fail_call(b, TEXT("the client takes no stream on which it could be asked"));
    return false;
}

/* The upstream wants to know something first: each question becomes a request of its own to the client. */
static void
ask_round(struct bridged *b, const struct jsonrpc_envelope *env)
{
    struct bridge_question questions[BRIDGE_ASKS_MAX];
    unsigned rounds = b->round ? b->round->rounds : 0;
    int count;

    bridged_round_free(b);
    exchange_set_phase(b->ex, PHASE_LOCAL);
    if (rounds == BRIDGE_ROUNDS_MAX || !b->session) {
        fail_call(b, TEXT("the server asks again and again"));
        return;
    }
    b->round = calloc(1, sizeof *b->round);
    if (!b->round || !held_append(b->worker, &b->round->reply, env->result.at, env->result.len)) {
        out_of_memory(b);
        return;
    }
    b->round->rounds = rounds + 1;
    count = bridge_questions(held_text(&b->round->reply), questions, &b->round->state);
    if (count < 0) {
        exchange_fail(b->ex, CLOSE_BAD_REPLY);
        return;
    }
    for (int i = 0; i < count; i++)
        if (!ask_client(b, &b->round->questions[i], &questions[i]))
            return;
    if (!count)
        send_again(b);
}

/* --- what comes back --- */

void
bridged_take_result(struct bridged *b, struct text message, const struct jsonrpc_envelope *env)
{
    struct bridge_out out;

    if (b->call.method == MCP_TOOLS_LIST)
        tool_params_learn(b->upstream, env->result,
                          b->bridge.upstream_by_http && mcp_revision_is_modern(b->bridge.upstream));
    if (!bridged_out(b->worker, message.len, &out)) {
        out_of_memory(b);
        return;
    }
    switch (bridge_result(&b->bridge, &b->call, message, env, &out)) {
    case BRIDGE_PASS:
        if (b->is_merged)
            merging_map_down(b->worker, b->upstream, b->call.method, message, env, &out);
        /* fall through */
    case BRIDGE_REPLY:
        bridged_reply(b, out.status ? out.status : 200, bridged_made(b->worker, &out), (struct text){0});
        break;
    case BRIDGE_FULL:
        out_of_memory(b);
        break;
    case BRIDGE_NOTHING:
        if (out.act == BRIDGE_ACT_ASK)
            ask_round(b, env);
        else if (out.act == BRIDGE_ACT_VISIT)
            bridged_visit(b, out.subject);
        else
            exchange_fail(b->ex, CLOSE_BAD_REPLY);
    }
}

/* True: the source is to be stopped. */
static bool
take_notice(struct bridged *b, struct text message, const struct jsonrpc_envelope *env)
{
    bool is_progress = mcp_method_of(env->method) == MCP_PROGRESS;
    struct bridge_out out;

    if (is_progress && bridge_number(env->progress_token) != b->ask.number)
        return false; /* of nobody that is known */
    if (bridged_out(b->worker, message.len, &out) &&
        bridge_notice(&b->bridge, &b->call, message, env, &out) == BRIDGE_PASS)
        return bridged_notice(b, env->method, bridged_made(b->worker, &out));
    if (out.act >= BRIDGE_ACT_TOOLS_CHANGED && out.act <= BRIDGE_ACT_UPDATED)
        bridging_heard(b->ask.bond, message, env);
    return bridged_is_congested(b);
}

/* --- questions of a legacy upstream to a legacy client --- */

enum { QUESTIONS_MAX = 64 /* open in one session */ };

struct forwarded {
    struct session_ask ask;
    struct bond *bond;
    struct held id; /* the upstream's, raw */
};

static void
free_forwarded(struct forwarded *f)
{
    list_del(&f->ask.node);
    held_free(f->bond->worker, &f->id);
    free(f);
}

static void
on_forwarded_dropped(struct session_ask *ask)
{
    free_forwarded(container_of(ask, struct forwarded, ask));
}

static void
on_forwarded_answered(struct session_ask *ask, struct text message, const struct jsonrpc_envelope *env)
{
    struct forwarded *f = container_of(ask, struct forwarded, ask);
    struct bridge_out out;

    if (bridged_out(f->bond->worker, message.len, &out) &&
        bridge_answer(message, env, held_text(&f->id), &out) == BRIDGE_PASS)
        bond_post(f->bond, bridged_made(f->bond->worker, &out));
    free_forwarded(f);
}

/* `asked` is the question with our number, `id` the upstream's own. */
static bool
forward_question(struct bridged *on, struct bond *bond, uint64_t number, struct text id, struct text asked)
{
    struct list_node *all = &bond->session->asked;
    struct forwarded *f = NULL;
    unsigned open = 0;

    list_for_each(node, all)
        open++;
    if (open < QUESTIONS_MAX)
        f = calloc(1, sizeof *f);
    if (!f)
        return false;
    f->bond = bond;
    f->ask =
        (struct session_ask){.id = number, .answered = on_forwarded_answered, .drop = on_forwarded_dropped};
    list_add_tail(all, &f->ask.node);
    if (held_append(bond->worker, &f->id, id.at, id.len) && bridged_event(on, asked, (struct text){0}))
        return true;
    free_forwarded(f);
    return false;
}

static void
refuse_question(struct bond *bond, const struct jsonrpc_envelope *env)
{
    struct bridge_out out;

    if (!bridged_out(bond->worker, env->id.len, &out))
        return;
    bridge_put_error(&out.room, MCP_LATEST_LEGACY, env->id, -32603,
                     TEXT("the client has no stream on which it could be asked, or too much to answer"),
                     (struct text){0});
    bond_post(bond, json_written(&out.room));
}

/* A legacy upstream's request: on the stream of `on`, or at NULL there is none. What is not the client's to
 * answer is answered here; BRIDGE_ASK_COLLECT is left to the caller. */
static enum bridge_ask
put_question(struct bridged *on, struct bond *bond, struct text message, const struct jsonrpc_envelope *env,
             bool in_call)
{
    struct session *s = bond->session;
    uint64_t number = s ? session_mint_id(s) : 1; /* without a session nothing is forwarded */
    enum bridge_ask verdict;
    struct bridge_out out;

    if (!bridged_out(bond->worker, message.len, &out))
        return BRIDGE_ASK_FULL;
    verdict = bridge_ask(&bond->bridge, message, env, in_call, number, &out);
    if (verdict == BRIDGE_ASK_REPLY)
        bond_post(bond, bridged_made(bond->worker, &out));
    else if (verdict == BRIDGE_ASK_FORWARD &&
             !(s && on && forward_question(on, bond, number, env->id, bridged_made(bond->worker, &out))))
        refuse_question(bond, env);
    return verdict;
}

static void
take_request(struct bridged *b, struct text message, const struct jsonrpc_envelope *env)
{
    uint32_t needs = bridge_question_needs(env->method, env->params);

    switch (put_question(b->ex ? b : NULL, b->ask.bond, message, env, true)) {
    case BRIDGE_ASK_REPLY: /* the server may make do without */
        if (needs != UINT32_MAX)
            b->call.lacking |= needs & ~b->bridge.client_caps;
        break;
    case BRIDGE_ASK_COLLECT:
        if (!bridged_park(b, message) && b->ex)
            exchange_fail(b->ex, CLOSE_PARKED_FULL);
        break;
    case BRIDGE_ASK_FULL:
        if (b->ex)
            out_of_memory(b);
        break;
    default:
        break;
    }
}

static void
on_message(struct bond_call *ask, struct text message, const struct jsonrpc_envelope *env)
{
    struct bridged *b = container_of(ask, struct bridged, ask);
    struct exchange *ex = b->ex;

    switch ((enum jsonrpc_kind)env->kind) {
    case JSONRPC_RESPONSE:
    case JSONRPC_ERROR:
        if (!ex) {
            bridged_parked_result(b, message);
            return;
        }
        if (env->kind == JSONRPC_ERROR && bridged_try_again(b, message, env))
            return;
        bridged_take_result(b, message, env);
        return;
    case JSONRPC_NOTIFICATION:
        if (!ex)
            return;
        exchange_set_phase(ex, PHASE_LOCAL);
        if (take_notice(b, message, env))
            bond_pause(ask);
        break;
    case JSONRPC_REQUEST:
        if (ex)
            exchange_set_phase(ex, PHASE_LOCAL);
        take_request(b, message, env);
        break;
    default:
        break;
    }
}

static void
on_end(struct bond_call *ask, enum close_reason reason, unsigned status)
{
    struct bridged *b = container_of(ask, struct bridged, ask);

    if (!b->ex) {
        bridged_parked_failed(b, reason);
        return;
    }
    if ((status == 401 || status == 403) && b->ex->client && !b->ex->reply_begun) {
        char extra[600];
        int n = 0;

        if (ask->challenge.buf && ask->challenge.len < 512)
            n = snprintf(extra, sizeof extra, "WWW-Authenticate: %.*s\r\n", (int)ask->challenge.len,
                         (const char *)span_data(ask->challenge));
        local_reply(b->ex, (int)status, (struct text){0}, (struct text){extra, (uint32_t)n}, "", 0,
                    CLOSE_DONE);
        return;
    }
    exchange_fail(b->ex, reason);
}

const struct bond_call_up bridged_call_up = {
    .on_ready = on_ready, .on_message = on_message, .on_end = on_end};

/* --- what is said unasked --- */

static void
tell(struct bridged *b, const struct bond *bond, struct text listen_id, struct text message,
     const struct jsonrpc_envelope *env)
{
    struct bridge_out out;

    if (!bridged_out(b->worker, message.len, &out) ||
        bridge_changed(b->bridge.client, message, env, listen_id, &out) != BRIDGE_PASS)
        return;
    if (b->is_merged)
        merging_map_down(b->worker, bond->up, MCP_OTHER, message, env, &out);
    bridged_notice(b, env->method, bridged_made(b->worker, &out));
}

/* The URI of a notification as the merged server's clients know it. */
static struct text
merged_uri(struct bond *bond, struct text message, const struct jsonrpc_envelope *env)
{
    struct jsonrpc_envelope mapped;
    struct bridge_out out;
    struct text made;

    if (!bridged_out(bond->worker, message.len, &out))
        return (struct text){0};
    out.text = message;
    merging_map_down(bond->worker, bond->up, MCP_OTHER, message, env, &out);
    made = bridged_made(bond->worker, &out);
    if (!made.at || jsonrpc_scan(made, JSON_SCAN_FAST, &mapped) != JSONRPC_FAULT_FINE)
        return (struct text){0};
    return json_find(mapped.params, TEXT("uri"));
}

/* Clients of the merged server hear what the gateway's own bonds do: of other shared ones, what they say is
 * for those who have their credentials. */
static bool
is_wanted(const struct bridged *b, struct bond *bond, enum bridge_act act, struct text uri,
          struct text message, const struct jsonrpc_envelope *env)
{
    if (b->is_merged ? !bond->stays : b->listens_to != bond)
        return false;
    if (b->ex->method == METHOD_GET) /* its own subscriptions are its session's bonds' */
        return act != BRIDGE_ACT_UPDATED;
    if (act == BRIDGE_ACT_UPDATED && b->is_merged)
        uri = merged_uri(bond, message, env);
    return bridge_filter_wants(&b->filter, act, uri);
}

static void
tell_listeners(struct bond *bond, const struct bridge_out *out, struct text message,
               const struct jsonrpc_envelope *env)
{
    enum bridge_act act = out->act;
    struct text subject = out->subject;

    list_for_each_safe(node, &bond->worker->listeners_of_changes) {
        struct bridged *b = container_of(node, struct bridged, listener);

        if (is_wanted(b, bond, act, subject, message, env))
            tell(b, bond, b->ex->method == METHOD_GET ? (struct text){0} : b->call.id, message, env);
    }
}

void
bridging_heard(struct bond *bond, struct text message, const struct jsonrpc_envelope *env)
{
    struct exchange *stream = bond->session ? bond->session->stream : NULL;
    struct bridge_out out;

    if (env->kind == JSONRPC_REQUEST)
        put_question(stream ? stream->state : NULL, bond, message, env, false);
    if (env->kind != JSONRPC_NOTIFICATION || !bridged_out(bond->worker, message.len, &out))
        return;
    switch (bridge_notice(&bond->bridge, NULL, message, env, &out)) {
    case BRIDGE_PASS:
        if (stream)
            bridged_notice(stream->state, env->method, bridged_made(bond->worker, &out));
        break;
    case BRIDGE_NOTHING:
        if (out.act < BRIDGE_ACT_TOOLS_CHANGED || out.act > BRIDGE_ACT_UPDATED)
            break;
        if (!bond->session && bond->worker->merging)
            merging_changed(bond, out.act, out.subject);
        if (!bond->session)
            tell_listeners(bond, &out, message, env);
        else if (stream)
            tell(stream->state, bond, (struct text){0}, message, env);
        break;
    default:
        break;
    }
}
