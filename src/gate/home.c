/* SPDX-License-Identifier: Apache-2.0 */
#include "gate/home.h"

#include "gate/local.h"
#include "gate/splice.h"
#include "mcp/seal.h"
#include "stats/segment.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { FORWARD_LIFE_S = 60 };

static const struct text forward_label = {"forward", 7};

/* What the sealed field says. One layout for all workers of a gateway: they are of one program. */
struct forward {
    uint8_t ip[16];
    uint16_t port;
    uint8_t is_unix, is_trusted;
    uint32_t uid;
    uint32_t from_slot;
    uint64_t expires_s;
};

static const struct cfg_upstream home_cfg = {.is_route = true};

int
home_init(struct worker *w)
{
    struct upstream *up = &w->home;

    *up = (struct upstream){.worker = w,
                            .cfg = &home_cfg,
                            .name = TEXT("/"),
                            .index = w->config->upstreams.count,
                            .endpoint_count = segment_slots(w->child->segment),
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

static struct endpoint *
endpoint_of_slot(struct worker *w, uint32_t slot)
{
    struct endpoint *ep = &w->home.endpoints[slot];
    struct sockaddr_un *un = (struct sockaddr_un *)&ep->addresses[0].ss;
    int n;

    if (ep->upstream)
        return ep;
    *ep = (struct endpoint){
        .upstream = &w->home, .authority = TEXT("home"), .path = TEXT("/"), .address_count = 1};
    un->sun_family = AF_UNIX;
    n = snprintf(un->sun_path, sizeof un->sun_path, HOME_PATH_FORMAT, w->child->h.run_dir, slot);
    ASSERT(n > 0 && n < (int)sizeof un->sun_path); /* cfg bounds --run-dir */
    ep->addresses[0].len = sizeof *un;
    list_init(&ep->idle);
    list_init(&ep->open);
    return ep;
}

bool
home_is_elsewhere(const struct exchange *ex, const struct session_claim *s)
{
    const struct worker *w = ex->worker;
    const struct slot *home;

    if (s->revision == MCP_NO_REVISION || client_of(ex->client)->via == VIA_HOME ||
        s->node != w->child->h.node || s->slot == w->child->h.slot ||
        s->slot >= segment_slots(w->child->segment))
        return false;
    home = segment_slot(w->child->segment, s->slot);
    return __atomic_load_n(&home->head.state, __ATOMIC_RELAXED) == SLOT_READY &&
           __atomic_load_n(&home->head.epoch, __ATOMIC_RELAXED) == s->epoch;
}

void
home_forward(struct exchange *ex, const struct http1_head *head, uint32_t slot)
{
    struct worker *w = ex->worker;

    ex->upstream = &w->home;
    stats_add(w->stats, STAT_requests_forwarded_home, 1);
    splice_start_at(ex, head, endpoint_of_slot(w, slot));
}

uint32_t
home_seal_peer(struct exchange *ex, char *out, uint32_t size)
{
    const struct client *client = client_of(ex->client);
    struct forward f = {.port = client->peer.port,
                        .is_unix = client->peer.is_unix,
                        .is_trusted = client->is_trusted,
                        .uid = client->peer.uid,
                        .from_slot = ex->worker->child->h.slot,
                        .expires_s = (uint64_t)time(NULL) + FORWARD_LIFE_S};

    memcpy(f.ip, client->peer.ip, sizeof f.ip);
    return seal_write(&ex->worker->keys, forward_label, &f, sizeof f, out, size);
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

    if (seal_open(&w->keys, forward_label, http1_value(head, HTTP_MCPGATE_FORWARD), &f, sizeof f) !=
            (int)sizeof f ||
        f.expires_s < (uint64_t)time(NULL))
        return false;
    memcpy(client->peer.ip, f.ip, sizeof f.ip);
    client->peer.port = f.port;
    client->peer.is_unix = f.is_unix;
    client->peer.uid = f.uid;
    client->is_trusted = f.is_trusted;
    stats_add(w->stats, STAT_requests_from_siblings, 1);
    return true;
}
