/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The upstream's side of an exchange: its connection comes and goes, what it brings is the plan's. It knows
 * of retries and tunnels, and nothing of what a reply means.
 */
#include "gate/exchange.h"
#include "gate/secure.h"
#include "gate/traffic.h"
#include "gate/ws_relay.h"

/* --- the reply --- */

/* A WebSocket of our own counts when its messages are answered (bond.c). */
static void
note_transport(struct exchange *ex, enum transport t)
{
    struct worker *w = ex->worker;
    uint64_t waited_ns = ex->active_ns - ex->phase_ns;

    link_set_transport(&ex->server->link, t);
    traffic_passes(ex->upstream);
    traffic_received(w, LINK_UPSTREAM, t, t == TRANSPORT_HTTP);
    if (t == TRANSPORT_WS && ex->is_leg)
        return;
    stats_up_observe(w->stats, ex->upstream->index, UPHIST_up_first_byte, waited_ns);
    traffic_first_byte(w, LINK_UPSTREAM, t, waited_ns);
}

static void
on_head(struct h1 *server, const struct http1_head *head)
{
    struct exchange *ex = server->user;
    struct worker *w = ex->worker;

    ex->active_ns = ring_now(w->ring);
    if (head->status >= 200 || head->status == 101) {
        upstream_note_reply(server->owner, head);
        note_transport(ex, traffic_of_reply(head));
        exchange_set_phase(ex, PHASE_BODY);
    }
    ex->plan->reply_head(ex, head);
}

static void
on_body(struct h1 *server, const struct h1_body *body)
{
    struct exchange *ex = server->user;

    ex->active_ns = ring_now(ex->worker->ring);
    ex->reply_bytes += body->bytes;
    stats_up_add(ex->worker->stats, ex->upstream->index, UPSTAT_up_received, body->bytes);
    traffic_passes(ex->upstream);
    ex->plan->reply_body(ex, body);
}

static void
on_trailers(struct h1 *server, struct text section)
{
    struct exchange *ex = server->user;

    ex->plan->reply_trailers(ex, section);
}

/* on_idle follows and tells whether the connection may be used again. */
static void
on_end(struct h1 *server)
{
    (void)server;
}

static void
on_idle(struct h1 *server, bool reusable)
{
    struct exchange *ex = server->user;

    if (!ex)
        return;
    upstream_give(ex, reusable, false); /* first: a pipelined request may want it */
    ex->plan->reply_end(ex);
}

/* --- the connection --- */

static enum close_reason
reason_here(const struct exchange *ex, enum close_reason reason)
{
    return ex->upstream->is_home ? CLOSE_HOME_GONE : reason;
}

static void
on_connected(struct h1 *server, int error)
{
    struct exchange *ex = server->user;
    struct worker *w;

    if (!ex && server->warming) {
        if (!error)
            secure_note_ready(server->owner, &server->link);
        upstream_warmed(server, error);
        return;
    }
    if (!ex) {
        h1_abort(server, CLOSE_DONE);
        return;
    }
    w = ex->worker;
    if (!error) {
        secure_note_ready(server->owner, &server->link);
        exchange_set_phase(ex, PHASE_REPLY);
        return;
    }
    stats_up_add(w->stats, ex->upstream->index, UPSTAT_up_connect_errors, 1);
    if (upstream_retry(ex, !upstream_error_is_ours(error)))
        return;
    upstream_give(ex, false, false);
    exchange_fail(ex, reason_here(ex, CLOSE_CONNECT_FAILED));
}

static void
server_failed(struct exchange *ex, enum close_reason reason)
{
    bool failed = ex->phase != PHASE_BODY && reason != CLOSE_NO_MEMORY;

    secure_note_failure(ex->server->owner, reason);
    if (is_ws_relay(ex)) {
        ws_relay_server_gone(ex);
        return;
    }
    if (ex->is_tunnel) {
        if (ex->client)
            h1_close(ex->client, CLOSE_DONE);
        exchange_finish(ex, CLOSE_DONE);
        return;
    }
    if (ex->phase == PHASE_REPLY || ex->phase == PHASE_CONNECT) {
        if (upstream_retry(ex, failed))
            return;
        failed = false; /* that is noted */
    }
    upstream_give(ex, false, failed);
    exchange_fail(ex, reason_here(ex, reason));
}

static void
on_bad(struct h1 *server, enum close_reason reason)
{
    struct exchange *ex = server->user;

    if (!ex) {
        h1_abort(server, reason);
        return;
    }
    if (reason != CLOSE_UPSTREAM_GONE && reason != CLOSE_NO_MEMORY && reason != CLOSE_TLS_TRUNCATED)
        reason = CLOSE_BAD_REPLY;
    server_failed(ex, reason);
}

static void
on_broken(struct h1 *server, enum close_reason reason)
{
    if (server->user)
        server_failed(server->user, reason);
}

static void
on_congested(struct h1 *server)
{
    struct exchange *ex = server->user;

    if (!ex->request_whole || ex->is_tunnel)
        exchange_pause_client(ex);
}

static void
on_writable(struct h1 *server)
{
    exchange_resume_client(server->user);
}

/* --- tunnels, whose ends are none of the plan's --- */

void
server_end_tunnel(struct exchange *ex, struct h1 *other)
{
    if (!ex->client->peer_ended || !ex->server->peer_ended) {
        link_end_sending(&other->link);
        return;
    }
    h1_close(ex->client, CLOSE_DONE);
    h1_close(ex->server, CLOSE_DONE);
    exchange_finish(ex, CLOSE_DONE);
}

/* Only a tunnel comes here. */
static void
on_peer_end(struct h1 *server)
{
    struct exchange *ex = server->user;

    if (ex && is_ws_relay(ex))
        ws_relay_server_gone(ex);
    else if (ex && ex->is_tunnel && ex->client)
        server_end_tunnel(ex, ex->client);
    else if (ex)
        server_failed(ex, CLOSE_UPSTREAM_GONE);
}

static void
on_closed(struct h1 *server, enum close_reason reason)
{
    if (server->user) /* aborted for lack of memory, which breaks no connection */
        server_failed(server->user, reason);
    upstream_closed(server);
}

const struct h1_up server_up = {
    .on_head = on_head,
    .on_body = on_body,
    .on_trailers = on_trailers,
    .on_end = on_end,
    .on_bad = on_bad,
    .on_congested = on_congested,
    .on_writable = on_writable,
    .on_connected = on_connected,
    .on_peer_end = on_peer_end,
    .on_broken = on_broken,
    .on_closed = on_closed,
    .on_idle = on_idle,
};
