/* SPDX-License-Identifier: Apache-2.0 */
#include "gate/health.h"

#include "base/log.h"
#include "gate/secure.h"
#include "gate/worker.h"

#include <errno.h>
#include <stdio.h>

static const struct h1_up check_up;

static void
set_result(struct endpoint *ep, bool failed)
{
    struct upstream *up = ep->upstream;

    if (ep->check_failed != failed)
        log_warning("upstream %.*s: endpoint %.*s %s its health check", (int)up->name.len, up->name.at,
                    (int)ep->authority.len, ep->authority.at, failed ? "failed" : "passed");
    ep->check_failed = failed;
    upstream_count_healthy(up);
}

enum verdict {
    CHECK_PASSED,
    CHECK_FAILED,
    CHECK_VOID, /* the fault was ours: what was known of the endpoint stays */
};

static void
end_check(struct h1 *h1, enum verdict verdict)
{
    struct endpoint *ep = h1->owner;

    if (ep->check != h1)
        return;
    ep->check = NULL;
    h1->user = NULL;
    if (verdict != CHECK_VOID)
        set_result(ep, verdict == CHECK_FAILED);
    h1_abort(h1, CLOSE_DONE);
}

static enum verdict
verdict_on_error(int error)
{
    return upstream_error_is_ours(error) ? CHECK_VOID : CHECK_FAILED;
}

static enum verdict
verdict_on_close(enum close_reason reason)
{
    return reason == CLOSE_NO_MEMORY ? CHECK_VOID : CHECK_FAILED;
}

/* False: no memory. */
static bool
send_check(struct h1 *h1)
{
    struct endpoint *ep = h1->owner;
    struct worker *w = ep->upstream->worker;
    struct text path = cfg_text(w->config, w->config->health_path);
    struct buf *b = slab_get(&w->slab, path.len + ep->authority.len + 64);
    int n;

    if (!b)
        return false;
    n = snprintf((char *)b->data, b->size, "GET %.*s HTTP/1.1\r\nHost: %.*s\r\nConnection: close\r\n\r\n",
                 (int)path.len, path.at, (int)ep->authority.len, ep->authority.at);
    h1_send_head(h1, span_of(b, 0, (uint32_t)n), FRAMING_NONE, 0, METHOD_GET);
    h1_send_end(h1, NULL);
    buf_unref(b);
    return true;
}

static void
on_connected(struct h1 *h1, int error)
{
    struct endpoint *ep = h1->owner;

    if (!error)
        secure_note_ready(ep, &h1->link);
    if (error)
        end_check(h1, verdict_on_error(error));
    else if (!ep->upstream->worker->config->health_path.len)
        end_check(h1, CHECK_PASSED);
}

static void
on_head(struct h1 *h1, const struct http1_head *head)
{
    if (head->status >= 200 || head->status == 101)
        end_check(h1, head->status / 100 == 2 ? CHECK_PASSED : CHECK_FAILED);
}

static void
on_body(struct h1 *h1, const struct h1_body *body)
{
    (void)h1, (void)body;
}

static void
on_end(struct h1 *h1)
{
    (void)h1;
}

static void
on_failed(struct h1 *h1, enum close_reason reason)
{
    secure_note_failure(h1->owner, reason);
    end_check(h1, verdict_on_close(reason));
}

static void
on_idle(struct h1 *h1, bool reusable)
{
    (void)h1, (void)reusable;
}

static void
on_closed(struct h1 *h1, enum close_reason reason)
{
    struct endpoint *ep = h1->owner;

    if (ep->check == h1) {
        ep->check = NULL;
        if (verdict_on_close(reason) == CHECK_FAILED)
            set_result(ep, true);
    }
    pool_put(&ep->upstream->worker->conn_pool, h1);
}

static const struct h1_up check_up = {
    .on_head = on_head,
    .on_body = on_body,
    .on_end = on_end,
    .on_bad = on_failed,
    .on_connected = on_connected,
    .on_broken = on_failed,
    .on_idle = on_idle,
    .on_closed = on_closed,
};

static void
start_check(struct ring *ring, struct timer *timer)
{
    struct endpoint *ep = container_of(timer, struct endpoint, check_timer);
    struct worker *w = ep->upstream->worker;
    struct address *a = &ep->addresses[0];
    struct h1 *h1;

    (void)ring;
    timer_set(w->ring, timer, w->config->health_interval, start_check);
    if (ep->check) { /* not answered within a whole interval */
        end_check(ep->check, CHECK_FAILED);
        return;
    }
    if (!ep->address_count)
        return;
    h1 = pool_get(&w->conn_pool);
    h1_init(h1, &w->h1, H1_CLIENT, &check_up, LINK_UPSTREAM);
    h1->owner = ep;
    h1->user = ep;
    ep->check = h1;
    int error = w->config->health_path.len && !send_check(h1) ? -ENOMEM : 0;
    if (error == 0 && !secure_prepare(ep, &h1->link))
        error = -ENOMEM;
    if (error == 0)
        error = link_connect(&h1->link, (struct sockaddr *)&a->ss, a->len);
    if (error < 0)
        end_check(h1, verdict_on_error(error));
}

void
health_start(struct worker *w)
{
    if (!w->config->health_interval)
        return;
    for (unsigned i = 0; i < w->upstreams.count; i++)
        for (unsigned k = 0; k < w->upstreams.items[i].endpoint_count; k++)
            timer_set(w->ring, &w->upstreams.items[i].endpoints[k].check_timer, 1 + k, start_check);
}
