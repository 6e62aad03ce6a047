/* SPDX-License-Identifier: Apache-2.0 */
#include "gate/upstream.h"

#include "base/log.h"
#include "gate/exchange.h"
#include "gate/heads.h"
#include "gate/health.h"
#include "gate/resolver.h"
#include "gate/secure.h"
#include "gate/traffic.h"

#include <errno.h>
#include <stdlib.h>

enum { TRIES_MAX = 2, KEEP_ALIVE_MARGIN_MS = 500 };

static uint64_t
now_ms(const struct worker *w)
{
    return ring_now(w->ring) / 1000000;
}

/* --- set-up --- */

static void
endpoint_init(struct endpoint *ep, struct upstream *up, const struct cfg_endpoint *cfg)
{
    const struct config *c = up->worker->config;

    *ep = (struct endpoint){
        .upstream = up, .cfg = cfg, .authority = cfg_text(c, cfg->authority), .path = cfg_text(c, cfg->path)};
    list_init(&ep->idle);
    list_init(&ep->open);
    endpoint_set_fixed_address(ep);
    secure_endpoint_init(ep);
}

int
upstreams_init(struct worker *w)
{
    const struct config *c = w->config;
    const struct cfg_upstream *cfg = cfg_items(c, c->upstreams);
    struct upstreams *ups = &w->upstreams;

    ups->count = c->upstreams.count;
    ups->resolve_fd = ups->old_resolve_fd = -1;
    ups->items = calloc(ups->count ? ups->count : 1, sizeof *ups->items);
    if (!ups->items)
        return -ENOMEM;
    for (unsigned i = 0; i < ups->count; i++) {
        struct upstream *up = &ups->items[i];
        const struct cfg_endpoint *endpoints = cfg_items(c, cfg[i].endpoints);

        *up = (struct upstream){.worker = w,
                                .cfg = &cfg[i],
                                .name = cfg_text(c, cfg[i].name),
                                .index = i,
                                .endpoint_count = cfg[i].endpoints.count};
        list_init(&up->waiting);
        era_init(up);
        if (tool_filter_init(up) < 0)
            return -ENOMEM;
        up->endpoints = calloc(up->endpoint_count ? up->endpoint_count : 1, sizeof *up->endpoints);
        if (!up->endpoints)
            return -ENOMEM;
        for (unsigned k = 0; k < up->endpoint_count; k++)
            endpoint_init(&up->endpoints[k], up, &endpoints[k]);
        if (!w->is_admin) {
            stats_up_set(w->stats, i, UPSTAT_up_endpoints, up->endpoint_count);
            stats_up_set(w->stats, i, UPSTAT_up_endpoints_healthy, up->endpoint_count);
        }
    }
    return 0;
}

static void
close_all(struct list_node *list)
{
    list_for_each_safe(node, list)
        h1_abort(container_of(node, struct h1, node), CLOSE_DRAIN);
}

void
upstream_close_idle_of(struct endpoint *ep)
{
    close_all(&ep->idle);
}

static void
close_idle(struct upstream *up)
{
    for (unsigned i = 0; i < up->endpoint_count; i++) {
        struct endpoint *ep = &up->endpoints[i];

        if (!ep->upstream) /* a sibling that was never asked */
            continue;
        upstream_close_idle_of(ep);
        timer_stop(&ep->resolve_timer);
        timer_stop(&ep->check_timer);
        if (ep->check)
            h1_abort(ep->check, CLOSE_DRAIN);
    }
}

void
upstreams_close_idle(struct worker *w)
{
    for (unsigned i = 0; i < w->upstreams.count; i++)
        close_idle(&w->upstreams.items[i]);
    close_idle(&w->home);
}

bool
upstreams_are_closed(const struct worker *w)
{
    uint32_t n = w->home.connections;

    for (unsigned i = 0; i < w->upstreams.count; i++)
        n += w->upstreams.items[i].connections;
    return n == 0;
}

void
upstreams_abort(struct worker *w)
{
    for (unsigned i = 0; i < w->upstreams.count; i++)
        for (unsigned k = 0; k < w->upstreams.items[i].endpoint_count; k++)
            close_all(&w->upstreams.items[i].endpoints[k].open);
}

void
upstreams_done(struct worker *w)
{
    for (unsigned i = 0; i < w->upstreams.count; i++) {
        struct upstream *up = &w->upstreams.items[i];

        for (unsigned k = 0; up->endpoints && k < up->endpoint_count; k++)
            secure_endpoint_done(&up->endpoints[k]);
        era_done(up);
        tool_filter_done(up);
        tool_params_free(up);
        free(up->endpoints);
    }
    free(w->upstreams.items);
}

/* --- choosing --- */

static bool
is_healthy(const struct endpoint *ep)
{
    return !ep->check_failed && ep->ejected_until_ms <= now_ms(ep->upstream->worker);
}

/* Endpoints whose time out is over count as healthy again. */
static void
readmit(struct upstream *up)
{
    up->ejected = false;
    for (unsigned i = 0; i < up->endpoint_count; i++)
        up->ejected |= up->endpoints[i].ejected_until_ms > now_ms(up->worker);
    upstream_count_healthy(up);
}

/* Ejection and health only rank: when no endpoint is healthy, the least loaded is tried all the same. */
struct endpoint *
upstream_choose(struct upstream *up)
{
    struct endpoint *best = NULL;
    bool all_failed = true;

    if (up->ejected)
        readmit(up);
    if (up->endpoint_count == 1)
        return up->endpoints[0].address_count || !up->endpoints[0].resolve_error ? up->endpoints : NULL;
    for (unsigned i = 0; i < up->endpoint_count; i++) {
        struct endpoint *ep = &up->endpoints[(up->next_endpoint + i) % up->endpoint_count];
        bool better = !best || (is_healthy(ep) && !is_healthy(best)) ||
                      (is_healthy(ep) == is_healthy(best) && ep->in_use < best->in_use);

        if (!ep->resolve_error || ep->address_count)
            all_failed = false;
        if (better && (ep->address_count || !best))
            best = ep;
    }
    up->next_endpoint++;
    return all_failed ? NULL : best;
}

void
upstream_count_healthy(struct upstream *up)
{
    unsigned n = 0;

    for (unsigned i = 0; i < up->endpoint_count; i++)
        n += is_healthy(&up->endpoints[i]);
    stats_up_set(up->worker->stats, up->index, UPSTAT_up_endpoints_healthy, n);
}

static void
note_failure(struct endpoint *ep)
{
    struct worker *w = ep->upstream->worker;

    /* A sibling is the only place where its sessions are: there is nothing to choose instead, and a worker
     * that died is back at once. */
    if (ep->upstream->is_home)
        return;
    if (++ep->failures < w->config->eject_after || !is_healthy(ep))
        return;
    ep->ejected_until_ms = now_ms(w) + w->config->eject_time;
    ep->upstream->ejected = true;
    stats_up_add(w->stats, ep->upstream->index, UPSTAT_up_ejections, 1);
    log_warning("upstream %.*s: endpoint %.*s left out for %llu ms after %u failures in a row",
                (int)ep->upstream->name.len, ep->upstream->name.at, (int)ep->authority.len, ep->authority.at,
                (unsigned long long)w->config->eject_time, ep->failures);
    upstream_count_healthy(ep->upstream);
}

static void
note_success(struct endpoint *ep)
{
    bool was_out = ep->ejected_until_ms != 0;

    ep->failures = 0;
    if (!was_out)
        return;
    ep->ejected_until_ms = 0;
    log_info("upstream %.*s: endpoint %.*s is back", (int)ep->upstream->name.len, ep->upstream->name.at,
             (int)ep->authority.len, ep->authority.at);
    upstream_count_healthy(ep->upstream);
}

void
upstream_note_reply(struct endpoint *ep, const struct http1_head *head)
{
    struct text rest = http1_value(head, HTTP_KEEP_ALIVE), element;

    note_success(ep);
    while (rest.len && text_next_element(&rest, &element)) {
        unsigned seconds = 0;

        if (!text_starts(element, TEXT("timeout=")))
            continue;
        for (uint32_t i = 8;
             i < element.len && element.at[i] >= '0' && element.at[i] <= '9' && seconds < 100000; i++)
            seconds = seconds * 10 + (unsigned)(element.at[i] - '0');
        ep->keep_alive_ms = seconds * 1000 > KEEP_ALIVE_MARGIN_MS ? seconds * 1000 - KEEP_ALIVE_MARGIN_MS : 1;
    }
}

/* --- connections --- */

static void
count_connections(struct upstream *up, int open, int idle)
{
    struct slot *s = up->worker->stats;

    if (open > 0)
        stats_up_add(s, up->index, UPSTAT_up_connections, (uint64_t)open);
    else if (open < 0)
        stats_up_sub(s, up->index, UPSTAT_up_connections, (uint64_t)-open);
    if (idle > 0)
        stats_up_add(s, up->index, UPSTAT_up_idle, (uint64_t)idle);
    else if (idle < 0)
        stats_up_sub(s, up->index, UPSTAT_up_idle, (uint64_t)-idle);
}

static struct h1 *
conn_new(struct endpoint *ep)
{
    struct worker *w = ep->upstream->worker;
    struct h1 *h1 = pool_get(&w->conn_pool);

    h1_init(h1, &w->h1, H1_CLIENT, &server_up, LINK_UPSTREAM);
    h1->owner = ep;
    return h1;
}

/* Starts to connect to the endpoint's next address. */
static int
conn_open(struct h1 *h1)
{
    struct endpoint *ep = h1->owner;
    struct worker *w = ep->upstream->worker;
    struct address *a = &ep->addresses[ep->next_address % ep->address_count];
    int err = -ENOMEM;

    if (secure_prepare(ep, &h1->link))
        err = link_connect(&h1->link, (struct sockaddr *)&a->ss, a->len);
    if (err < 0) {
        stats_up_add(w->stats, ep->upstream->index, UPSTAT_up_connect_errors, 1);
        return err;
    }
    if (!list_linked(&h1->node)) {
        list_add_tail(&ep->open, &h1->node);
        ep->upstream->connections++;
        count_connections(ep->upstream, 1, 0);
    }
    stats_up_add(w->stats, ep->upstream->index, UPSTAT_up_connects, 1);
    return 0;
}

static void
attach(struct exchange *ex, struct h1 *h1)
{
    struct endpoint *ep = h1->owner;

    ex->server = h1;
    h1->user = ex;
    h1->link.urgency = ex->priority;
    ex->sent_bytes_before = h1->link.sent_bytes;
    link_set_transport(&h1->link, TRANSPORT_HTTP);
    ep->in_use++;
}

/* From the idle list to the open one. */
static void
leave_pool(struct endpoint *ep, struct h1 *h1)
{
    h1->pooled = false;
    list_del(&h1->node);
    list_add_tail(&ep->open, &h1->node);
    ep->idle_count--;
    ep->upstream->idle_count--;
    count_connections(ep->upstream, 0, -1);
}

static struct h1 *
take_idle(struct endpoint *ep)
{
    struct list_node *node;

    while ((node = list_first(&ep->idle))) {
        struct h1 *h1 = container_of(node, struct h1, node);

        leave_pool(ep, h1);
        if (h1->state == H1_IDLE && h1->link.state == LINK_OPEN) /* else it is closing */
            return h1;
    }
    return NULL;
}

/* The pool is full, and what is idle in it leads to other endpoints than the one that is wanted: one ends. */
static void
make_room(struct upstream *up)
{
    for (unsigned i = 0; i < up->endpoint_count; i++) {
        struct endpoint *ep = &up->endpoints[i];
        struct h1 *h1;

        if (!ep->idle_count)
            continue;
        h1 = container_of(ep->idle.prev, struct h1, node); /* the least recently used */
        leave_pool(ep, h1);
        h1_abort(h1, CLOSE_DONE);
        return;
    }
}

static void
enqueue(struct exchange *ex)
{
    struct upstream *up = ex->upstream;

    list_add_tail(&up->waiting, &ex->waiting);
    up->waiting_count++;
    ex->listed = true;
    stats_up_add(up->worker->stats, up->index, UPSTAT_up_waiting, 1);
    exchange_set_phase(ex, PHASE_QUEUED);
}

void
upstream_leave_queue(struct exchange *ex)
{
    if (!ex->listed)
        return;
    ex->listed = false;
    list_del(&ex->waiting);
    ex->upstream->waiting_count--;
    stats_up_sub(ex->worker->stats, ex->upstream->index, UPSTAT_up_waiting, 1);
}

enum close_reason
upstream_take(struct exchange *ex, struct endpoint *ep)
{
    struct upstream *up = ep->upstream;
    struct worker *w = up->worker;
    struct h1 *h1 = take_idle(ep);

    ex->tries++;
    stats_up_add(w->stats, up->index, UPSTAT_up_requests, 1);
    traffic_sent(w, LINK_UPSTREAM, TRANSPORT_HTTP, 1);
    if (h1) {
        stats_up_add(w->stats, up->index, UPSTAT_up_reused, 1);
        attach(ex, h1);
        exchange_set_phase(ex, PHASE_REPLY);
        return CLOSE_NONE;
    }
    h1 = conn_new(ep);
    attach(ex, h1);
    if (!ep->address_count || up->connections >= w->config->upstream_max) {
        if (ep->address_count)
            make_room(up);
        enqueue(ex);
        return CLOSE_NONE;
    }
    exchange_set_phase(ex, PHASE_CONNECT);
    if (conn_open(h1) < 0) { /* no descriptor: nothing is said about the endpoint */
        upstream_give(ex, false, false);
        return CLOSE_CONNECT_FAILED;
    }
    return CLOSE_NONE;
}

/* An exchange of the queue, whose server side is a placeholder so far, gets an idle connection or opens its
 * own. */
static void
serve(struct exchange *ex)
{
    struct h1 *placeholder = ex->server;
    struct endpoint *ep = placeholder->owner;
    struct h1 *h1 = take_idle(ep);

    upstream_leave_queue(ex);
    if (!h1) {
        exchange_set_phase(ex, PHASE_CONNECT);
        if (conn_open(placeholder) < 0)
            exchange_fail(ex, CLOSE_CONNECT_FAILED);
        return;
    }
    stats_up_add(ex->worker->stats, ep->upstream->index, UPSTAT_up_reused, 1);
    ep->in_use--;
    placeholder->user = NULL;
    h1_move_request(placeholder, h1);
    attach(ex, h1);
    exchange_set_phase(ex, PHASE_REPLY);
    h1_abort(placeholder, CLOSE_DONE);
}

/* First come first served, but one whose endpoint has no address yet does not hold up the others. */
static void
serve_waiting(struct upstream *up)
{
    struct worker *w = up->worker;

    list_for_each_safe(node, &up->waiting) {
        struct exchange *ex = container_of(node, struct exchange, waiting);
        struct endpoint *ep = ex->server->owner;
        bool has_room = up->connections < w->config->upstream_max;

        if (!has_room && !up->idle_count)
            return;
        if (ex->server->link.state != LINK_NEW) /* it found no memory: a part of the request is lost */
            exchange_fail(ex, CLOSE_NO_MEMORY);
        else if (!ep->address_count && ep->resolve_error)
            exchange_fail(ex, CLOSE_NO_ENDPOINT);
        else if (ep->address_count && (has_room || ep->idle_count))
            serve(ex);
        else if (ep->address_count)
            make_room(up);
    }
}

static void
on_idle_over(struct ring *ring, struct timer *timer)
{
    struct h1 *h1 = h1_of(container_of(timer, struct link, timer));

    (void)ring;
    if (h1->user)
        return;
    leave_pool(h1->owner, h1);
    h1_abort(h1, CLOSE_DONE); /* nothing is on its way in either direction: no reason to linger */
}

static void
put_idle(struct h1 *h1)
{
    struct endpoint *ep = h1->owner;
    struct worker *w = ep->upstream->worker;
    uint64_t keep_ms = w->config->upstream_idle;

    h1->pooled = true;
    list_del(&h1->node);
    list_add_head(&ep->idle, &h1->node);
    ep->idle_count++;
    ep->upstream->idle_count++;
    count_connections(ep->upstream, 0, 1);
    if (ep->keep_alive_ms && ep->keep_alive_ms < keep_ms)
        keep_ms = ep->keep_alive_ms;
    timer_set(w->ring, &h1->link.timer, keep_ms, on_idle_over);
}

void
upstream_give(struct exchange *ex, bool reusable, bool failed)
{
    struct h1 *h1 = ex->server;
    struct endpoint *ep = h1->owner;
    struct upstream *up = ep->upstream;
    struct worker *w = up->worker;

    ex->server = NULL;
    h1->user = NULL;
    ep->in_use--;
    upstream_leave_queue(ex);
    if (failed)
        note_failure(ep);
    if (reusable && h1->state == H1_IDLE && !w->draining && up->idle_count < w->config->upstream_idle_max) {
        if (h1->held)
            h1_resume(h1);
        put_idle(h1);
        serve_waiting(up);
        return;
    }
    if (h1->link.state < LINK_FINISHING) /* else it ends in order already */
        h1_abort(h1, CLOSE_DONE);
}

bool
upstream_warm(struct endpoint *ep)
{
    struct upstream *up = ep->upstream;
    struct worker *w = up->worker;
    struct h1 *h1;

    if (up->connections >= w->config->upstream_max || up->idle_count >= w->config->upstream_idle_max)
        return false;
    h1 = conn_new(ep);
    h1->warming = true;
    if (conn_open(h1) < 0) {
        h1_abort(h1, CLOSE_DONE);
        return false;
    }
    up->warming++;
    return true;
}

void
upstream_warmed(struct h1 *h1, int error)
{
    struct endpoint *ep = h1->owner;

    if (error) {
        stats_up_add(ep->upstream->worker->stats, ep->upstream->index, UPSTAT_up_connect_errors, 1);
        ep->next_address++;
    }
    if (error || ep->upstream->worker->draining) {
        h1_abort(h1, CLOSE_DONE);
        return;
    }
    h1->warming = false;
    ep->upstream->warming--;
    put_idle(h1);
    serve_waiting(ep->upstream);
}

/* Called by h1 when a connection of this side is gone for good (splice_reply.c routes it here). */
void
upstream_closed(struct h1 *h1)
{
    struct endpoint *ep = h1->owner;
    struct upstream *up = ep->upstream;
    struct worker *w = up->worker;

    ASSERT(!h1->user);
    if (h1->pooled)
        leave_pool(ep, h1);
    if (list_linked(&h1->node)) {
        up->warming -= h1->warming;
        list_del(&h1->node);
        up->connections--;
        count_connections(up, -1, 0);
    }
    pool_put(&w->conn_pool, h1);
    if (!w->ended)
        serve_waiting(up);
}

bool
upstream_error_is_ours(int error)
{
    return error == -ENOMEM || error == -ENOBUFS || error == -EMFILE || error == -ENFILE ||
           error == -EADDRNOTAVAIL;
}

bool
upstream_retry(struct exchange *ex, bool failed)
{
    struct h1 *old = ex->server, *h1;
    struct endpoint *from = old->owner, *to;
    struct upstream *up = ex->upstream;

    if (failed)
        note_failure(from);
    from->next_address++; /* whatever comes next shall not meet the same address */
    if (ex->tries >= TRIES_MAX || ex->worker->draining || !link_is_unsent(&old->link, ex->sent_bytes_before))
        return false;
    to = up->is_home ? from : upstream_choose(up);
    if (!to || !to->address_count)
        return false;
    h1 = conn_new(to);
    ex->tries++;
    stats_up_add(ex->worker->stats, up->index, UPSTAT_up_retries, 1);
    h1_move_request(old, h1);
    upstream_give(ex, false, false);
    attach(ex, h1);
    if (to != from) {
        struct span request = heads_readdress(ex, link_first(&h1->link), from, to);

        if (!request.buf)
            return false;
        link_replace_first(&h1->link, request);
    }
    exchange_set_phase(ex, PHASE_CONNECT);
    return h1->link.state == LINK_NEW && conn_open(h1) >= 0; /* else the caller gives up, and h1 back */
}

void
upstream_addresses_changed(struct endpoint *ep)
{
    serve_waiting(ep->upstream);
}
