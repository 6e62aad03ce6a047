/* SPDX-License-Identifier: Apache-2.0 */
#include "gate/home.h"

#include "gate/forward.h"
#include "gate/local.h"
#include "gate/session_impl.h"
#include "gate/splice.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { FORWARD_LIFE_S = 60 };

static const struct cfg_upstream home_cfg = {.is_route = true};

int
home_init(struct worker *w)
{
    struct upstream *up = &w->home;

    *up = (struct upstream){.worker = w,
                            .cfg = &home_cfg,
                            .name = TEXT("/"),
                            .index = w->config->upstreams.count,
                            .endpoint_count = SLOTS_MAX,
                            .is_home = true};
    list_init(&up->waiting);
    up->endpoints = calloc(up->endpoint_count, sizeof *up->endpoints);
    return up->endpoints ? 0 : -ENOMEM;
}

void
home_done(struct worker *w)
{
    free(w->home.endpoints);
}

/* The kernel closes a dead process's connections some milliseconds after its death: what is sent into them
 * until then is lost. The supervisor knows of it earlier. */
static void
leave_the_dead(struct endpoint *ep, uint32_t alive)
{
    if (ep->life != alive)
        upstream_close_idle_of(ep);
    ep->life = alive;
}

struct endpoint *
home_endpoint(struct worker *w, uint32_t slot)
{
    struct endpoint *ep = slot < w->home.endpoint_count ? &w->home.endpoints[slot] : NULL;
    struct sockaddr_un *un = (struct sockaddr_un *)&ep->addresses[0].ss;
    int n;

    if (!ep)
        return NULL;
    if (ep->upstream) {
        leave_the_dead(ep, session_table_alive(w->sessions->table, slot));
        return ep;
    }
    *ep = (struct endpoint){
        .upstream = &w->home, .authority = TEXT("home"), .path = TEXT("/"), .address_count = 1};
    ep->life = session_table_alive(w->sessions->table, slot);
    un->sun_family = AF_UNIX;
    n = snprintf(un->sun_path, sizeof un->sun_path, HOME_PATH_FORMAT, w->child->h.run_dir, slot);
    ASSERT(n > 0 && n < (int)sizeof un->sun_path); /* cfg bounds --run-dir */
    ep->addresses[0].len = sizeof *un;
    list_init(&ep->idle);
    list_init(&ep->open);
    return ep;
}

void
home_forward(struct exchange *ex, const struct http1_head *head, uint32_t slot)
{
    struct worker *w = ex->worker;

    ex->asked = ex->upstream ? (1 + ex->upstream->index) & 2047u : 0;
    ex->upstream = &w->home;
    stats_add(w->stats, STAT_requests_forwarded_home, 1);
    splice_start_at(ex, head, home_endpoint(w, slot));
}

uint32_t
home_seal_peer(struct exchange *ex, char *out, uint32_t size)
{
    const struct client *client = client_of(ex->client);
    const struct forward f = {.peer = client->peer,
                              .is_trusted = client->is_trusted,
                              .from_slot = ex->worker->child->h.slot,
                              .hops = (uint8_t)(client->hops + 1),
                              .expires_s = (uint64_t)time(NULL) + FORWARD_LIFE_S};

    return forward_seal(&f, &ex->worker->keys, out, size);
}

bool
home_peer_allowed(const struct ring_peer *peer)
{
    return peer->is_unix && peer->uid == geteuid();
}

bool
home_open_request(struct exchange *ex, const struct http1_head *head)
{
    struct client *client = client_of(ex->client);
    struct worker *w = ex->worker;
    struct forward f;

    if (!forward_open(http1_value(head, HTTP_MCPGATE_FORWARD), &w->keys, (uint64_t)time(NULL), &f))
        return false;
    client->peer = f.peer;
    client->is_trusted = f.is_trusted;
    client->hops = f.hops;
    stats_add(w->stats, STAT_requests_from_siblings, 1);
    return true;
}
