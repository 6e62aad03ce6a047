/* SPDX-License-Identifier: Apache-2.0 */
#include "ring_contract.h"

#include "ring/ring_sim.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>

static struct sim *sim;
static int listener;

void
world_open(const struct ring_config *config)
{
    sim = sim_open(1, config);
    listener = sim_listen(sim, "127.0.0.1:80");
    sim_serve(sim, "127.0.0.1:1", SIM_ACCEPT);
    sim_serve(sim, "127.0.0.1:2", SIM_REFUSE);
    sim_serve(sim, "127.0.0.1:3", SIM_HANG);
}

void
world_close(void)
{
    sim_close(&sim);
}

struct ring *
world_ring(void)
{
    return sim_ring(sim);
}

int
world_listener(void)
{
    return listener;
}

socklen_t
world_address(enum world_place place, struct sockaddr_storage *ret_addr)
{
    struct sockaddr_in in = {.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                             .sin_port = htons((uint16_t)(1 + place))};

    memcpy(ret_addr, &in, sizeof in);
    return sizeof in;
}

static struct sim_peer *
peer_of(struct far *far)
{
    return (struct sim_peer *)(void *)far;
}

struct far *
far_connect(void)
{
    return (struct far *)(void *)sim_connect_to(sim, listener, NULL);
}

struct far *
far_accepted(void)
{
    return (struct far *)(void *)sim_next_peer(sim);
}

size_t
far_send(struct far *far, const void *bytes, size_t count)
{
    return sim_peer_send(peer_of(far), bytes, count);
}

size_t
far_read(struct far *far, void *ret_bytes, size_t size)
{
    return sim_peer_read(peer_of(far), ret_bytes, size);
}

bool
far_eof(struct far *far)
{
    return sim_peer_eof(peer_of(far));
}

void
far_half_close(struct far *far)
{
    sim_peer_half_close(peer_of(far));
}

void
far_close(struct far *far)
{
    sim_peer_discard(peer_of(far));
    sim_peer_close(peer_of(far));
}

void
far_reset(struct far *far)
{
    sim_peer_reset(peer_of(far));
}

int
world_pollable(void)
{
    return sim_pollable(sim);
}

void
world_signal(int fd)
{
    sim_signal(sim, fd, POLLIN);
}

void
world_limit_descriptors(bool on)
{
    sim_set_fd_limit(sim, on ? sim_fd_count(sim) : 0);
}
