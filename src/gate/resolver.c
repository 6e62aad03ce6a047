/* SPDX-License-Identifier: Apache-2.0 */
#include "gate/resolver.h"

#include "base/log.h"
#include "gate/worker.h"
#include "ipc/channel.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/un.h>
#include <unistd.h>

enum { RETRY_MS = 1000 };

static void
set_ip(struct address *a, const uint8_t ip[16], uint16_t port)
{
    static const uint8_t v4_mapped[12] = {[10] = 0xff, [11] = 0xff};

    *a = (struct address){0};
    if (memcmp(ip, v4_mapped, 12) == 0) {
        struct sockaddr_in *in = (struct sockaddr_in *)&a->ss;

        in->sin_family = AF_INET;
        in->sin_port = htons(port);
        memcpy(&in->sin_addr, ip + 12, 4);
        a->len = sizeof *in;
    } else {
        struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&a->ss;

        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons(port);
        memcpy(&in6->sin6_addr, ip, 16);
        a->len = sizeof *in6;
    }
}

void
endpoint_set_fixed_address(struct endpoint *ep)
{
    const struct config *c = ep->upstream->worker->config;
    struct text path = cfg_text(c, ep->cfg->unix_path);

    if (path.len) {
        struct sockaddr_un *un = (struct sockaddr_un *)&ep->addresses[0].ss;

        ASSERT(path.len < sizeof un->sun_path);
        un->sun_family = AF_UNIX;
        memcpy(un->sun_path, path.at, path.len);
        ep->addresses[0].len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + path.len + 1);
        ep->address_count = 1;
    } else if (ep->cfg->is_literal) {
        set_ip(&ep->addresses[0], ep->cfg->ip, ep->cfg->port);
        ep->address_count = 1;
    }
}

static bool
needs_resolving(const struct endpoint *ep)
{
    return !ep->cfg->is_literal && !ep->cfg->unix_path.len;
}

/* Question ids count the endpoints of all upstreams in order. */
static struct endpoint *
endpoint_of_id(struct upstreams *ups, uint32_t id)
{
    for (unsigned i = 0; i < ups->count; i++) {
        if (id < ups->items[i].endpoint_count)
            return &ups->items[i].endpoints[id];
        id -= ups->items[i].endpoint_count;
    }
    return NULL;
}

static uint32_t
id_of_endpoint(struct upstreams *ups, const struct endpoint *ep)
{
    uint32_t id = 0;

    for (unsigned i = 0; &ups->items[i] != ep->upstream; i++)
        id += ups->items[i].endpoint_count;
    return id + (uint32_t)(ep - ep->upstream->endpoints);
}

static void
ask(struct ring *ring, struct timer *timer)
{
    struct endpoint *ep = container_of(timer, struct endpoint, resolve_timer);
    struct worker *w = ep->upstream->worker;
    struct text host = cfg_text(w->config, ep->cfg->host);
    struct resolve_question q = {.id = id_of_endpoint(&w->upstreams, ep), .port = ep->cfg->port};

    (void)ring;
    ASSERT(host.len <= RESOLVE_NAME_MAX);
    memcpy(q.name, host.at, host.len);
    if (w->upstreams.resolve_fd >= 0)
        channel_send(w->upstreams.resolve_fd, &q, sizeof q, NULL, 0);
    /* A lost question or answer is asked again; an answer sets the timer anew. */
    timer_set(w->ring, timer, RETRY_MS * 10, ask);
}

static void
take_answer(struct worker *w, const struct resolve_answer *answer)
{
    struct endpoint *ep = endpoint_of_id(&w->upstreams, answer->id);

    if (!ep || !needs_resolving(ep))
        return;
    if (answer->error || !answer->count || answer->count > RESOLVE_ADDRESSES_MAX) {
        if (!ep->resolve_error || !ep->address_count)
            log_warning("upstream %.*s: the name of endpoint %.*s does not resolve: %.64s",
                        (int)ep->upstream->name.len, ep->upstream->name.at, (int)ep->authority.len,
                        ep->authority.at, answer->text);
        ep->resolve_error = answer->error ? answer->error : 1;
        timer_set(w->ring, &ep->resolve_timer, RETRY_MS, ask);
    } else {
        ep->resolve_error = 0;
        ep->address_count = answer->count;
        for (unsigned i = 0; i < answer->count; i++)
            set_ip(&ep->addresses[i], answer->addresses[i].ip, answer->addresses[i].port);
        timer_set(w->ring, &ep->resolve_timer, w->config->resolve_interval, ask);
    }
    upstream_addresses_changed(ep);
}

static void
on_answers(struct op *op, int result, struct buf *buf, bool more)
{
    struct upstreams *ups = container_of(op, struct upstreams, resolve_op);
    struct worker *w = container_of(ups, struct worker, upstreams);
    struct resolve_answer answer;
    unsigned no_fds = 0; /* answers carry none */
    int n;

    (void)buf, (void)result;
    if (!more) { /* cancelled; a fresh channel may be here already */
        if (ups->old_resolve_fd >= 0)
            close(ups->old_resolve_fd);
        ups->old_resolve_fd = -1;
        if (ups->resolve_fd >= 0)
            ring_poll(w->ring, op, ups->resolve_fd, POLLIN, on_answers);
        return;
    }
    if (ups->resolve_fd < 0)
        return;
    while ((n = channel_receive(ups->resolve_fd, &answer, sizeof answer, NULL, &no_fds)) ==
           (int)sizeof answer)
        take_answer(w, &answer);
    if (n == 0) /* the process died; the supervisor sends a fresh channel */
        upstreams_set_resolver(w, -1);
}

void
upstreams_set_resolver(struct worker *w, int fd)
{
    struct upstreams *ups = &w->upstreams;

    if (ups->resolve_fd >= 0 && ups->old_resolve_fd < 0 && op_busy(&ups->resolve_op)) {
        ups->old_resolve_fd = ups->resolve_fd; /* closed when its poll has come back */
        ring_cancel(w->ring, &ups->resolve_op);
    } else if (ups->resolve_fd >= 0) {
        close(ups->resolve_fd);
    }
    ups->resolve_fd = fd;
    if (fd < 0)
        return;
    if (!op_busy(&ups->resolve_op))
        ring_poll(w->ring, &ups->resolve_op, fd, POLLIN, on_answers);
    for (unsigned i = 0; i < ups->count; i++)
        for (unsigned k = 0; k < ups->items[i].endpoint_count; k++)
            if (needs_resolving(&ups->items[i].endpoints[k]))
                ask(w->ring, &ups->items[i].endpoints[k].resolve_timer);
}
