/* SPDX-License-Identifier: Apache-2.0 */
/* The client side: accepted connections, their requests, their ends. */
#include "cfg/address.h"
#include "gate/home.h"
#include "gate/local.h"
#include "gate/pace.h"
#include "gate/splice.h"

static void
set_idle(struct client *client, bool idle)
{
    if (client->is_idle == idle)
        return;
    client->is_idle = idle;
    if (idle)
        stats_add(client->worker->stats, STAT_connections_idle, 1);
    else
        stats_sub(client->worker->stats, STAT_connections_idle, 1);
}

/* Idle too long, or a head that does not get whole. */
static void
on_client_timer(struct ring *ring, struct timer *timer)
{
    struct h1 *h1 = h1_of(container_of(timer, struct link, timer));

    (void)ring;
    if (h1->user)
        return; /* a request is in progress; its end sets the timer again */
    if (h1->state == H1_HEAD) {
        client_up.on_bad(h1, CLOSE_HEAD_TIMEOUT);
    } else {
        struct worker *w = client_of(h1)->worker;
        enum close_reason idle = w->draining ? CLOSE_DRAIN : CLOSE_CLIENT_IDLE,
                          reason = h1->state == H1_BODY ? CLOSE_BODY_TIMEOUT : idle;

        stats_close(w->stats, reason);
        h1_close(h1, reason);
    }
}

static void
wait_for_request(struct client *client)
{
    struct worker *w = client->worker;

    set_idle(client, true);
    /* In a drain a request may be on its way: it gets its answer, which says that it is the last. */
    timer_set(w->ring, &client->h1.link.timer, w->draining ? DRAIN_IDLE_MS : w->config->client_idle,
              on_client_timer);
}

/* --trusted-proxy: its word about the client is believed. */
static bool
is_trusted(const struct worker *w, const struct ring_peer *peer)
{
    const struct config *c = w->config;
    const struct cfg_text *list = cfg_items(c, c->trusted_proxy);
    struct cfg_cidr cidr;

    for (uint32_t i = 0; i < c->trusted_proxy.count; i++)
        if (!peer->is_unix && cfg_parse_cidr(cfg_text(c, list[i]), &cidr) == 0 &&
            cfg_cidr_has(&cidr, peer->ip))
            return true;
    return false;
}

static void
turn_away(struct worker *w, int fd, enum close_reason reason)
{
    stats_add(w->stats, STAT_connections_closed, 1);
    stats_close(w->stats, reason);
    ring_reset_on_close(w->ring, fd);
    ring_close(w->ring, fd);
}

void
front_accepted(struct listener *listener, int fd)
{
    struct worker *w = listener->worker;
    struct client *client;
    struct ring_peer peer;

    stats_add(w->stats, STAT_connections_accepted, 1);
    if (ring_peer(w->ring, fd, &peer) < 0) { /* gone while it waited in the backlog */
        turn_away(w, fd, CLOSE_CLIENT_GONE);
        return;
    }
    if (w->client_count >= w->config->max_connections ||
        (listener->via == VIA_HOME && !home_peer_allowed(&peer))) {
        stats_add(w->stats, STAT_connections_refused, 1);
        turn_away(w, fd, CLOSE_TOO_MANY_CLIENTS);
        return;
    }
    client = pool_get(&w->client_pool);
    client->worker = w;
    client->peer = peer;
    client->via = listener->via;
    client->is_trusted = is_trusted(w, &peer);
    client->is_local = listener->is_loopback;
    h1_init(&client->h1, &w->h1, H1_SERVER, &client_up, LINK_CLIENT);
    list_add_tail(&w->clients, &client->h1.node);
    w->client_count++;
    stats_add(w->stats, STAT_connections_open, 1);
    link_open(&client->h1.link, fd);
    wait_for_request(client);
}

static void
on_partial(struct h1 *h1)
{
    struct worker *w = client_of(h1)->worker;

    timer_set(w->ring, &h1->link.timer, w->config->head_timeout, on_client_timer);
}

static void
on_head(struct h1 *h1, const struct http1_head *head)
{
    struct client *client = client_of(h1);
    struct worker *w = client->worker;
    struct exchange *ex;

    set_idle(client, false);
    client->has_asked = true;
    ex = exchange_new(w, h1, head);
    if (w->exchange_count <= w->config->max_exchanges) {
        route_request(ex, head);
    } else {
        ex->plan = &local_plan;
        local_error(ex, CLOSE_TOO_MANY_EXCHANGES, (struct text){0});
    }
}

static void
on_body(struct h1 *h1, const struct h1_body *body)
{
    struct exchange *ex = h1->user;

    ex->plan->body(ex, body);
}

static void
on_trailers(struct h1 *h1, struct text section)
{
    struct exchange *ex = h1->user;

    ex->plan->trailers(ex, section);
}

static void
on_end(struct h1 *h1)
{
    struct exchange *ex = h1->user;

    ex->plan->end(ex);
}

static void
on_congested(struct h1 *h1)
{
    struct exchange *ex = h1->user;

    if (ex->plan->congested)
        ex->plan->congested(ex);
}

static void
on_writable(struct h1 *h1)
{
    struct exchange *ex = h1->user;

    pace_went_on(ex);
    ex->plan->writable(ex);
}

/* Takes the exchange off its connection. */
static void
client_gone(struct h1 *h1, enum close_reason reason)
{
    struct exchange *ex = h1->user;

    if (!ex)
        return;
    h1->user = NULL;
    ex->client = NULL;
    ex->plan->client_gone(ex, reason);
}

/* An error before any exchange began: the smallest whole reply. */
static void
refuse(struct h1 *h1, enum close_reason reason)
{
    static const struct http1_head nothing = {.minor = 1, .method = METHOD_OTHER};
    struct worker *w = client_of(h1)->worker;
    struct exchange *ex = exchange_new(w, h1, &nothing);

    ex->plan = &local_plan;
    local_error(ex, reason, (struct text){0});
}

static void
on_bad(struct h1 *h1, enum close_reason reason)
{
    struct exchange *ex = h1->user;

    set_idle(client_of(h1), false);
    h1->keep_alive = false;
    if (reason == CLOSE_CLIENT_GONE) {
        if (h1->head_sent && !h1->tx_done)
            h1_abort(h1, reason);
        else
            h1_close(h1, reason); /* the reply to an earlier request may still be on its way */
        client_gone(h1, reason);
    } else if (ex && !ex->reply_begun) {
        exchange_fail(ex, reason);
    } else if (ex || h1->head_sent) {
        h1_abort(h1, reason);
        client_gone(h1, reason);
    } else {
        refuse(h1, reason);
    }
}

static void
on_peer_end(struct h1 *h1)
{
    struct exchange *ex = h1->user;

    if (ex && ex->plan->peer_end)
        ex->plan->peer_end(ex);
    else if (ex)
        splice_probe_client(ex);
}

static void
on_broken(struct h1 *h1, enum close_reason reason)
{
    client_gone(h1, reason);
}

static void
on_closed(struct h1 *h1, enum close_reason reason)
{
    struct client *client = client_of(h1);
    struct worker *w = client->worker;

    if (h1->user)
        client_gone(h1, reason);
    set_idle(client, false);
    list_del(&h1->node);
    w->client_count--;
    stats_sub(w->stats, STAT_connections_open, 1);
    stats_add(w->stats, STAT_connections_closed, 1);
    pool_put(&w->client_pool, client);
}

static void
on_idle(struct h1 *h1, bool reusable)
{
    struct client *client = client_of(h1);

    if (reusable)
        wait_for_request(client);
}

const struct h1_up client_up = {
    .on_partial = on_partial,
    .on_head = on_head,
    .on_body = on_body,
    .on_trailers = on_trailers,
    .on_end = on_end,
    .on_bad = on_bad,
    .on_congested = on_congested,
    .on_writable = on_writable,
    .on_peer_end = on_peer_end,
    .on_broken = on_broken,
    .on_closed = on_closed,
    .on_idle = on_idle,
};
