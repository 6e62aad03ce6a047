/* SPDX-License-Identifier: Apache-2.0 */
#include "gate/exchange.h"

#include "base/log.h"
#include "gate/access_log.h"
#include "gate/compress.h"
#include "gate/local.h"
#include "gate/pace.h"
#include "gate/traffic.h"
#include "gate/ws_relay.h"
#include "net/batch.h"

#include <stdio.h>

struct span
exchange_keep(struct exchange *ex, struct text bytes)
{
    struct buf *b = bytes.len ? slab_get(&ex->worker->slab, bytes.len) : NULL;

    if (!b)
        return (struct span){0};
    memcpy(b->data, bytes.at, bytes.len);
    return span_of(b, 0, bytes.len);
}

static void
put_hex(char *out, uint64_t n, unsigned digits)
{
    while (digits--)
        *out++ = "0123456789abcdef"[n >> 4 * digits & 15];
}

void
exchange_request_id(const struct exchange *ex, char out[REQUEST_ID_BYTES])
{
    const struct handover *h = &ex->worker->child->h;

    put_hex(out, h->node, 8);
    put_hex(out + 8, h->slot << 8 ^ h->epoch, 4);
    put_hex(out + 12, ex->number, 8);
}

/* What the head says and the line of the access log shows. */
static void
keep_for_log(struct exchange *ex, const struct http1_head *head)
{
    struct text target = head->target, id = http1_value(head, HTTP_X_REQUEST_ID);
    struct buf *b;

    id.len = id.len < REQUEST_ID_SHOWN ? id.len : REQUEST_ID_SHOWN;
    b = slab_get(&ex->worker->slab, target.len + id.len);
    if (!b)
        return;
    memcpy(b->data, target.at, target.len);
    if (id.len)
        memcpy(b->data + target.len, id.at, id.len);
    ex->path = span_of(b, 0, target.len);
    ex->given_id_len = (uint8_t)id.len;
}

static void
on_timer(struct ring *ring, struct timer *timer)
{
    struct exchange *ex = container_of(timer, struct exchange, timer);

    (void)ring;
    ex->plan->tick(ex);
}

static struct exchange *
begin(struct worker *w, enum http_method method)
{
    struct exchange *ex = pool_get(&w->exchange_pool);

    ex->worker = w;
    ex->method = (uint8_t)method;
    ex->begun_ns = ex->phase_ns = ex->asked_ns = ex->client_ns = ring_now(w->ring);
    ex->stream_row = -1;
    ex->revision = MCP_NO_REVISION;
    ex->priority = PRIORITY_NORMAL;
    ex->timer.fire = on_timer;
    list_add_tail(&w->exchanges, &ex->node);
    w->exchange_count++;
    ex->number = (uint32_t)++w->request_count;
    return ex;
}

struct exchange *
exchange_new(struct worker *w, struct h1 *client, const struct http1_head *head)
{
    struct exchange *ex = begin(w, (enum http_method)head->method);

    ex->client = client;
    ex->asked_priority = (unsigned)priority_of_field(http1_value(head, HTTP_PRIORITY)) & 3u;
    ex->client_minor_0 = head->minor == 0;
    ex->expects_100 = head->expect_continue;
    if (w->config->access_log)
        keep_for_log(ex, head);
    compress_note_request(ex, head);
    client->user = ex;
    link_set_transport(&client->link, TRANSPORT_HTTP);
    traffic_received(w, LINK_CLIENT, TRANSPORT_HTTP, 1);
    stats_add(w->stats, STAT_requests_begun, 1);
    stats_add(w->stats, STAT_exchanges_open, 1);
    return ex;
}

static enum priority
asked_priority(const struct exchange *ex)
{
    if (ex->asked_priority != PRIORITY_UNSAID || !ex->upstream)
        return (enum priority)ex->asked_priority;
    return (enum priority)ex->upstream->cfg->priority;
}

void
exchange_prioritize(struct exchange *ex, const struct jsonrpc_envelope *env)
{
    enum priority asked = asked_priority(ex);

    ex->priority = 3u & (unsigned)(env ? priority_of_message(env, asked)
                                       : priority_of_method((enum mcp_method)ex->mcp, asked));
    if (ex->client && !ex->is_ws)
        ex->client->link.urgency = ex->priority;
    if (ex->server && !ex->is_leg)
        ex->server->link.urgency = ex->priority;
}

void
exchange_may_wait(struct exchange *ex, unsigned messages)
{
    batch_wait(&ex->client->link, messages);
}

void
exchange_may_rest(struct exchange *ex, unsigned messages)
{
    if (ex->priority != PRIORITY_CRITICAL)
        batch_rest(&ex->server->link, messages);
}

struct exchange *
exchange_new_leg(struct worker *w, struct upstream *up, enum http_method method)
{
    struct exchange *ex = begin(w, method);

    ex->upstream = up;
    ex->is_leg = ex->request_whole = true;
    stats_add(w->stats, STAT_legs_begun, 1);
    stats_add(w->stats, STAT_legs_open, 1);
    return ex;
}

struct exchange *
exchange_new_part(struct worker *w, struct upstream *up)
{
    struct exchange *ex = begin(w, METHOD_POST);

    ex->upstream = up;
    ex->is_leg = ex->is_part = ex->is_mcp = ex->request_whole = true;
    return ex;
}

static bool
is_failure(enum close_reason reason)
{
    return reason != CLOSE_DONE && reason != CLOSE_CLIENT_GONE;
}

/* Streams and WebSockets have been counted as they came. */
static void
count_client_traffic(struct exchange *ex, enum close_reason reason)
{
    if (is_failure(reason))
        traffic_failed(ex->worker, LINK_CLIENT, traffic_of_client(ex));
    if (!ex->first_ns || ex->is_stream || ex->is_tunnel)
        return;
    traffic_sent(ex->worker, LINK_CLIENT, TRANSPORT_HTTP, 1);
    traffic_first_byte(ex->worker, LINK_CLIENT, TRANSPORT_HTTP, ex->first_ns - ex->begun_ns);
}

static void
count_client_side(struct exchange *ex, enum close_reason reason, uint64_t now)
{
    struct slot *stats = ex->worker->stats;

    stats_sub(stats, STAT_exchanges_open, 1);
    stats_add(stats, STAT_exchanges_finished, 1);
    stats_request(stats, ex->method, ex->status);
    stats_close(stats, reason);
    if (ex->is_mcp)
        stats_mcp(stats, (enum mcp_method)ex->mcp);
    stats_urgency(stats, (enum priority)ex->priority);
    count_client_traffic(ex, reason);
    if (ex->first_ns) {
        stats_observe(stats, HIST_request_latency, now - ex->begun_ns);
        stats_observe(stats, HIST_first_byte, ex->first_ns - ex->begun_ns);
        stats_observe(stats, HIST_first_to_last, now - ex->first_ns);
    }
    if (ex->is_stream) {
        stats_sub(stats, STAT_streams_open, 1);
        stats_up_sub(stats, ex->upstream ? ex->upstream->index : ex->worker->home.index, UPSTAT_up_streams,
                     1);
        stats_stream_close(stats, ex->stream_row);
    }
    if (ex->is_tunnel)
        stats_sub(stats, STAT_tunnels_open, 1);
}

static void
count_upstream_side(struct exchange *ex, enum close_reason reason, uint64_t now)
{
    struct slot *stats = ex->worker->stats;
    unsigned up = ex->upstream->index;

    if (ex->phase == PHASE_BODY)
        stats_up_observe(stats, up, UPHIST_up_latency, now - ex->begun_ns);
    if (is_failure(reason)) {
        stats_up_add(stats, up, UPSTAT_up_failures, 1);
        traffic_failed(ex->worker, LINK_UPSTREAM, traffic_of_upstream(ex));
    }
    if (ex->upstream->cfg->is_demo) /* what comes over a connection is counted as it comes */
        stats_up_add(stats, up, UPSTAT_up_received, ex->reply_bytes);
    stats_up_add(stats, up, UPSTAT_up_sent, ex->body_bytes);
}

static void
count_end(struct exchange *ex, enum close_reason reason)
{
    uint64_t now = ring_now(ex->worker->ring);

    if (ex->is_part) {
        stats_mcp(ex->worker->stats, (enum mcp_method)ex->mcp);
        stats_urgency(ex->worker->stats, (enum priority)ex->priority);
        stats_close(ex->worker->stats, reason);
    } else if (ex->is_leg) {
        stats_sub(ex->worker->stats, STAT_legs_open, 1);
    } else {
        count_client_side(ex, reason, now);
    }
    if (ex->upstream && !ex->by_legs)
        count_upstream_side(ex, reason, now);
}

void
exchange_finish(struct exchange *ex, enum close_reason reason)
{
    struct worker *w = ex->worker;

    if (ex->plan->release)
        ex->plan->release(ex, reason);
    pace_end(ex);
    timer_stop(&ex->timer); /* what ends with it may just have wanted to wake it */
    upstream_leave_queue(ex);
    if (ex->server)
        upstream_give(ex, h1_withdraw_request(ex->server, ex->sent_bytes_before), false);
    if (ex->client && ex->client->user == ex)
        ex->client->user = NULL;
    count_end(ex, reason);
    if (w->config->access_log && !ex->is_leg)
        access_log(ex, reason);
    span_unref(ex->path);
    span_unref(ex->origin);
    if (ex->last_id)
        pool_put(&w->event_id_pool, ex->last_id);
    if (ex->fields)
        buf_unref(ex->fields);
    list_del(&ex->node);
    w->exchange_count--;
    pool_put(&w->exchange_pool, ex);
}

void
exchange_end_reply(struct exchange *ex, enum close_reason reason)
{
    h1_send_end(ex->client, NULL);
    exchange_finish(ex, reason);
}

uint32_t
exchange_scan_events(struct exchange *ex, struct span bytes)
{
    const char *at = (const char *)span_data(bytes);
    uint32_t used = 0, events = 0;

    if (!ex->last_id) {
        events = sse_scan_until_id(&ex->scan, at, bytes.len, &used);
        if (used == bytes.len)
            return events;
        ex->last_id = pool_get(&ex->worker->event_id_pool);
    }
    return events + sse_scan_ids(&ex->scan, ex->last_id, at + used, bytes.len - used);
}

struct text
exchange_last_event_id(const struct exchange *ex)
{
    return ex->last_id ? (struct text){ex->last_id->id, ex->last_id->len} : (struct text){0};
}

struct text
exchange_asked(const struct exchange *ex)
{
    const struct upstream *up = ex->upstream;

    if (up && up->is_home)
        up = ex->asked ? &ex->worker->upstreams.items[ex->asked - 1] : NULL;
    return up ? up->name : (struct text){0};
}

/* Where a stream of many events stopped is for the operator: its client may or may not come back for the
 * rest. */
static void
log_broken_stream(const struct exchange *ex, enum close_reason reason)
{
    struct text id = exchange_last_event_id(ex), up = exchange_asked(ex);
    char shown[SSE_ID_MAX + 1];

    if (!ex->is_stream || !id.len || !log_enabled(LOG_INFO))
        return;
    access_log_show(id, shown, sizeof shown);
    log_info("upstream %.*s: a stream ended too early after event id %s (%u events): %s", (int)up.len, up.at,
             shown, ex->events, close_reason_info(reason)->text);
}

/* A stream that is cut short ends with an error a client can read, when it is between two events and the
 * request's id is known. */
static bool
fail_stream(struct exchange *ex, enum close_reason reason)
{
    struct buf *b;
    uint32_t n;

    if (!ex->is_stream || !ex->is_mcp || !ex->id_len || !exchange_between_events(ex) ||
        !(b = slab_get(&ex->worker->slab, 1024)))
        return false;
    n = (uint32_t)snprintf((char *)b->data, b->size, "event: message\ndata: ");
    n += local_error_json(ex, reason, (char *)b->data + n, b->size - n - 2);
    memcpy(b->data + n, "\n\n", 2);
    h1_send_piece(ex->client, span_of(b, 0, n + 2));
    buf_unref(b);
    return true;
}

void
exchange_fail(struct exchange *ex, enum close_reason reason)
{
    struct h1 *client = ex->client;

    if (!client || client->link.state >= LINK_FINISHING) {
        exchange_finish(ex, reason);
        return;
    }
    if (!ex->reply_begun) {
        if (reason == CLOSE_BODY_TIMEOUT) /* RFC 9110 15.5.9: the rest is not waited for */
            client->keep_alive = false;
        local_error(ex, reason, (struct text){0});
        return;
    }
    log_broken_stream(ex, reason);
    if (is_ws_relay(ex)) {
        ws_relay_fail(ex, reason);
        return;
    }
    if ((ex->plan->fail_stream && ex->plan->fail_stream(ex, reason)) || fail_stream(ex, reason)) {
        exchange_end_reply(ex, reason);
        return;
    }
    h1_cut(client, reason);
    exchange_finish(ex, reason);
}

/* --- backpressure: while one side takes nothing, the other is not read, and its limits of time rest --- */

void
exchange_pause_client(struct exchange *ex)
{
    if (ex->client && !ex->client_paused) {
        ex->client_paused = true;
        h1_pause(ex->client);
    }
}

void
exchange_resume_client(struct exchange *ex)
{
    if (ex->client && ex->client_paused) {
        ex->client_paused = false;
        ex->asked_ns = ring_now(ex->worker->ring);
        h1_resume(ex->client);
        exchange_watch_limits(ex);
    }
}

void
exchange_pause_server(struct exchange *ex)
{
    if (ex->server && !ex->server_paused) {
        ex->server_paused = true;
        h1_pause(ex->server);
    }
}

void
exchange_resume_server(struct exchange *ex)
{
    if (ex->server && ex->server_paused) {
        ex->server_paused = false;
        ex->active_ns = ring_now(ex->worker->ring);
        h1_resume(ex->server);
        exchange_watch_limits(ex);
    }
}

/* --- limits --- */

struct limit {
    uint64_t limit_ms, since_ns;
    enum close_reason reason;
};

static unsigned
add_limit(struct limit *limits, unsigned n, uint64_t limit_ms, uint64_t since_ns, enum close_reason reason)
{
    if (!limit_ms)
        return n;
    limits[n] = (struct limit){limit_ms, since_ns, reason};
    return n + 1;
}

/* In the queue: not for a connection of a full pool, but for the name to be resolved. */
static bool
waits_for_address(const struct exchange *ex)
{
    return ex->server && !((const struct endpoint *)ex->server->owner)->address_count;
}

static bool
is_long_lived(const struct exchange *ex)
{
    return ex->is_stream || ex->is_tunnel || ex->leg_stream;
}

static uint64_t
phase_limit_ms(const struct exchange *ex)
{
    const struct config *c = ex->worker->config;

    switch ((enum phase)ex->phase) {
    case PHASE_QUEUED:
        if (waits_for_address(ex))
            return c->connect_timeout;
        return c->upstream_wait ? c->upstream_wait : 1;
    case PHASE_CONNECT:
        return c->connect_timeout;
    case PHASE_REPLY:
        return c->first_byte_timeout;
    case PHASE_BODY:
        return is_long_lived(ex) ? c->stream_idle : c->reply_idle;
    default:
        return 0;
    }
}

/* Which limits hold now. */
static unsigned
current_limits(const struct exchange *ex, struct limit *limits)
{
    const struct config *c = ex->worker->config;
    unsigned n = 0;

    n = add_limit(limits, n, is_long_lived(ex) ? c->stream_total : c->total_timeout, ex->begun_ns,
                  CLOSE_TOTAL_TIMEOUT);
    if (!ex->request_whole && !ex->client_paused && !ex->orphan && ex->phase != PHASE_BODY)
        n = add_limit(limits, n, c->body_timeout, ex->asked_ns, CLOSE_BODY_TIMEOUT);
    switch ((enum phase)ex->phase) {
    case PHASE_QUEUED:
        n = add_limit(limits, n, phase_limit_ms(ex), ex->phase_ns,
                      waits_for_address(ex) ? CLOSE_NO_ENDPOINT : CLOSE_POOL_FULL);
        break;
    case PHASE_CONNECT:
        n = add_limit(limits, n, phase_limit_ms(ex), ex->phase_ns, CLOSE_CONNECT_TIMEOUT);
        break;
    case PHASE_REPLY:
        if (ex->request_whole)
            n = add_limit(limits, n, phase_limit_ms(ex),
                          ex->phase_ns > ex->asked_ns ? ex->phase_ns : ex->asked_ns,
                          CLOSE_FIRST_BYTE_TIMEOUT);
        break;
    case PHASE_BODY:
        if (!ex->server_paused)
            n = add_limit(limits, n, phase_limit_ms(ex), ex->active_ns, CLOSE_UPSTREAM_IDLE);
        break;
    default:
        break;
    }
    if (ex->orphan)
        n = add_limit(limits, n, c->orphan_timeout, ex->asked_ns, CLOSE_CLIENT_GONE);
    return n;
}

void
exchange_wake_in(struct exchange *ex, uint64_t ms)
{
    struct timer *t = &ex->timer;

    if (!timer_running(t) || ring_now(ex->worker->ring) / 1000000 + ms < t->due_ms)
        timer_set(ex->worker->ring, t, ms, t->fire);
}

void
exchange_set_phase(struct exchange *ex, enum phase phase)
{
    uint64_t limit_ms;

    ex->phase = (unsigned)phase & 63u;
    ex->phase_ns = ring_now(ex->worker->ring);
    limit_ms = phase_limit_ms(ex);
    if (limit_ms)
        exchange_wake_in(ex, limit_ms);
}

void
exchange_watch_limits(struct exchange *ex)
{
    struct limit limits[6];
    unsigned n = current_limits(ex, limits);

    for (unsigned i = 0; i < n; i++) {
        uint64_t age = exchange_age_ms(ex, limits[i].since_ns);

        exchange_wake_in(ex, age < limits[i].limit_ms ? limits[i].limit_ms - age : 1);
    }
}

void
exchange_open_stream(struct exchange *ex)
{
    struct worker *w = ex->worker;
    unsigned row =
        ex->upstream ? ex->upstream->index : w->home.index; /* of the merged server: the gateway's */

    ex->is_stream = true;
    if (ex->client)
        link_set_transport(&ex->client->link, ex->is_ws ? TRANSPORT_WS : TRANSPORT_SSE);
    if (!ex->is_ws) /* else each of its requests has a first byte of its own */
        traffic_first_byte(w, LINK_CLIENT, TRANSPORT_SSE, ring_now(w->ring) - ex->begun_ns);
    stats_add(w->stats, STAT_streams_opened, 1);
    stats_add(w->stats, STAT_streams_open, 1);
    stats_up_add(w->stats, row, UPSTAT_up_streams, 1);
    ex->stream_row = (int16_t)stats_stream_open(w->stats, row, (enum mcp_method)ex->mcp, ring_now(w->ring));
    exchange_watch_limits(ex);
    if (w->config->heartbeat)
        exchange_wake_in(ex, w->config->heartbeat);
    if (w->draining) /* it came too late to stand for long */
        exchange_wake_in(ex, 1);
}

void
exchange_list_stream(struct exchange *ex)
{
    if (ex->stream_row >= 0 && ex->client)
        stats_stream_update(ex->worker->stats, ex->stream_row, ex->events, ex->reply_bytes,
                            link_queued(&ex->client->link), ring_now(ex->worker->ring));
}

static bool
has_other_address(const struct exchange *ex)
{
    return ex->upstream->endpoint_count > 1 ||
           ((const struct endpoint *)ex->server->owner)->address_count > 1;
}

bool
exchange_check_limits(struct exchange *ex)
{
    struct limit limits[6];
    unsigned n = current_limits(ex, limits);

    for (unsigned i = 0; i < n; i++) {
        uint64_t age = exchange_age_ms(ex, limits[i].since_ns);

        if (age >= limits[i].limit_ms) {
            if (limits[i].reason == CLOSE_CONNECT_TIMEOUT && has_other_address(ex) &&
                upstream_retry(ex, true))
                return exchange_check_limits(ex);
            if (limits[i].reason == CLOSE_POOL_FULL)
                stats_up_add(ex->worker->stats, ex->upstream->index, UPSTAT_up_exhausted, 1);
            exchange_fail(ex, limits[i].reason);
            return true;
        }
        exchange_wake_in(ex, limits[i].limit_ms - age);
    }
    return false;
}
