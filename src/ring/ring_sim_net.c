/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The simulator's network: descriptors, listeners with their backlogs, connections, and the peers that the
 * test plays. What happens to an end puts it on the dirty list; sim_net_deliver() tells the operations in
 * flight and the peers' watchers.
 */
#include "base/check.h"
#include "ring/ring_sim_impl.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/un.h>

/* --- bytes --- */

/* One byte more than asked for is kept at the end, for sim_peer_peek(). */
static void
bytes_add(struct sim_bytes *b, const void *bytes, size_t count)
{
    if (b->start && b->start + b->count + count >= b->size) {
        memmove(b->at, b->at + b->start, b->count);
        b->start = 0;
    }
    if (b->count + count >= b->size) {
        b->size = (b->count + count + 1) * 2;
        b->at = realloc(b->at, b->size);
        ASSERT(b->at);
    }
    memcpy(b->at + b->start + b->count, bytes, count);
    b->count += count;
}

static size_t
bytes_take(struct sim_bytes *b, void *ret_bytes, size_t size)
{
    size_t n = size < b->count ? size : b->count;

    if (n)
        memcpy(ret_bytes, b->at + b->start, n);
    b->start += n;
    b->count -= n;
    return n;
}

/* --- addresses --- */

void
sim_address_of(const struct sockaddr *addr, char ret_text[SIM_ADDRESS_MAX])
{
    char ip[INET6_ADDRSTRLEN];

    if (addr->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)addr;

        inet_ntop(AF_INET, &in->sin_addr, ip, sizeof ip);
        snprintf(ret_text, SIM_ADDRESS_MAX, "%s:%u", ip, ntohs(in->sin_port));
    } else if (addr->sa_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)addr;

        inet_ntop(AF_INET6, &in6->sin6_addr, ip, sizeof ip);
        snprintf(ret_text, SIM_ADDRESS_MAX, "[%s]:%u", ip, ntohs(in6->sin6_port));
    } else {
        ASSERT(addr->sa_family == AF_UNIX);
        snprintf(ret_text, SIM_ADDRESS_MAX, "unix:%s",
                 ((const struct sockaddr_un *)(const void *)addr)->sun_path);
    }
}

void
sim_address_peer(const char *text, struct ring_peer *ret_peer)
{
    struct ring_peer peer = {0};
    const char *colon = strrchr(text, ':');
    char ip[SIM_ADDRESS_MAX];

    ASSERT(colon);
    if (strncmp(text, "unix:", 5) == 0) {
        peer.is_unix = true;
        peer.uid = (uint32_t)strtoul(colon + 1, NULL, 10);
    } else {
        bool v6 = *text == '[';

        snprintf(ip, sizeof ip, "%.*s", (int)(colon - text) - 2 * v6, text + v6);
        peer.port = (uint16_t)strtoul(colon + 1, NULL, 10);
        if (!v6)
            peer.ip[10] = peer.ip[11] = 0xff;
        ASSERT(inet_pton(v6 ? AF_INET6 : AF_INET, ip, peer.ip + (v6 ? 0 : 12)) == 1);
    }
    *ret_peer = peer;
}

static void
set_address(char field[SIM_ADDRESS_MAX], const char *text)
{
    ASSERT(strlen(text) < SIM_ADDRESS_MAX);
    snprintf(field, SIM_ADDRESS_MAX, "%s", text);
}

/* An address that nobody has yet, as the kernel picks local ports. */
static void
pick_address(struct sim *sim, char field[SIM_ADDRESS_MAX])
{
    snprintf(field, SIM_ADDRESS_MAX, "127.0.0.1:%u", 20000 + sim->next_port++ % 40000);
}

/* --- ends --- */

static void
end_touch(struct sim *sim, struct sim_end *end)
{
    if (end && !list_linked(&end->dirty))
        list_add_tail(&sim->dirty, &end->dirty);
}

static void
end_init(struct sim_end *end, size_t window)
{
    *end = (struct sim_end){.window = window ? window : SIM_WINDOW};
}

static struct sim_end *
end_new(size_t window)
{
    struct sim_end *end = malloc(sizeof *end);

    ASSERT(end);
    end_init(end, window);
    return end;
}

static void
end_join(struct sim_end *a, struct sim_end *b)
{
    a->other = b;
    b->other = a;
}

size_t
sim_end_room(const struct sim_end *end)
{
    const struct sim_end *other = end->other;

    if (!other)
        return SIZE_MAX;
    return other->arrived.count < other->window ? other->window - other->arrived.count : 0;
}

/* What is sent to an end that was closed is lost, and answered with a reset: later sends fail. */
void
sim_end_push(struct sim *sim, struct sim_end *end, const void *bytes, size_t count)
{
    end->sent += count;
    if (!end->other) {
        end->gone = true;
        end_touch(sim, end);
        return;
    }
    bytes_add(&end->other->arrived, bytes, count);
    end->other->received += count;
    end_touch(sim, end->other);
}

size_t
sim_end_pull(struct sim *sim, struct sim_end *end, void *ret_bytes, size_t size)
{
    size_t n = bytes_take(&end->arrived, ret_bytes, size);

    if (n)
        end_touch(sim, end->other);
    return n;
}

static void
end_take_reset(struct sim *sim, struct sim_end *end)
{
    end->error = ECONNRESET;
    end->fin_arrived = true;
    end->gone = true;
    end_touch(sim, end);
}

void
sim_end_reset(struct sim *sim, struct sim_end *end)
{
    struct sim_end *other = end->other;

    if (end->gone)
        return;
    end_take_reset(sim, end);
    if (other) {
        end_take_reset(sim, other);
        end->other = other->other = NULL;
    }
}

static void
end_finish_sending(struct sim *sim, struct sim_end *end)
{
    end->write_shut = true;
    if (end->other) {
        end->other->fin_arrived = true;
        end_touch(sim, end->other);
    }
}

static void
end_reset_other(struct sim *sim, struct sim_end *end)
{
    struct sim_end *other = end->other;

    if (!other)
        return;
    other->arrived.count = 0;
    end_take_reset(sim, other);
    end->other = other->other = NULL;
}

/* Closing with bytes unread is a reset, which may overtake what was sent: here it always does, the other end
 * loses what it has not read. Who wants it read must linger. */
static void
end_close(struct sim *sim, struct sim_end *end)
{
    struct sim_end *other = end->other;

    if (end->arrived.count)
        end_reset_other(sim, end);
    else
        end_finish_sending(sim, end);
    if (end->other)
        end->other = other->other = NULL;
    list_del(&end->dirty);
    list_del(&end->backlog);
}

static void
end_free(struct sim *sim, struct sim_end *end)
{
    end_close(sim, end);
    free(end->arrived.at);
    free(end);
}

/* --- descriptors --- */

struct sim_file *
sim_file_find(const struct sim *sim, int fd)
{
    unsigned slot = (unsigned)(fd - SIM_FD_BASE);

    return fd >= SIM_FD_BASE && slot < sim->file_slots ? sim->files[slot] : NULL;
}

/* The lowest free number, as the kernel gives it: a number that was closed comes back at once. */
static unsigned
free_slot(struct sim *sim)
{
    unsigned slot = 0, more = sim->file_slots ? 2 * sim->file_slots : 64;

    while (slot < sim->file_slots && sim->files[slot])
        slot++;
    if (slot == sim->file_slots) {
        sim->files = realloc(sim->files, more * sizeof(*sim->files));
        ASSERT(sim->files);
        memset(sim->files + slot, 0, (more - slot) * sizeof(*sim->files));
        sim->file_slots = more;
    }
    return slot;
}

struct sim_file *
sim_file_new(struct sim *sim, enum sim_file_kind kind)
{
    struct sim_file *file;
    unsigned slot;

    if ((sim->fd_limit && sim->file_count >= sim->fd_limit) ||
        (kind == SIM_FILE_STREAM && sim_hits(sim, SIM_EMFILE)))
        return NULL;
    slot = free_slot(sim);
    file = calloc(1, sizeof *file);
    ASSERT(file);
    file->fd = SIM_FD_BASE + (int)slot;
    file->kind = kind;
    list_init(&file->backlog);
    sim->files[slot] = file;
    sim->file_count++;
    return file;
}

void
sim_file_free(struct sim *sim, struct sim_file *file)
{
    struct list_node *node;

    while ((node = list_pop(&file->backlog))) {
        struct sim_end *end = container_of(node, struct sim_end, backlog);

        if (end->other)
            end_take_reset(sim, end->other);
        end_free(sim, end);
    }
    if (file->end && file->reset)
        end_reset_other(sim, file->end);
    if (file->end)
        end_free(sim, file->end);
    sim->files[file->fd - SIM_FD_BASE] = NULL;
    sim->file_count--;
    free(file);
}

void
sim_file_shutdown(struct sim *sim, struct sim_file *file, int how)
{
    if (!file->end)
        return;
    if (how != SHUT_WR)
        file->end->read_shut = true;
    if (how != SHUT_RD)
        end_finish_sending(sim, file->end);
    end_touch(sim, file->end);
}

static void
file_set_end(struct sim_file *file, struct sim_end *end)
{
    file->end = end;
    end->file = file;
}

int
sim_file_accept(struct sim *sim, struct sim_file *listener)
{
    struct list_node *node = list_first(&listener->backlog);
    struct sim_file *file;

    if (!node)
        return -EAGAIN;
    file = sim_file_new(sim, SIM_FILE_STREAM);
    if (!file)
        return -EMFILE;
    list_del(node);
    file_set_end(file, container_of(node, struct sim_end, backlog));
    return file->fd;
}

/* --- listening and connecting --- */

static struct sim_file *
listener_at(const struct sim *sim, const char *address)
{
    for (unsigned i = 0; i < sim->file_slots; i++) {
        struct sim_file *file = sim->files[i];

        if (file && file->kind == SIM_FILE_LISTENER && !file->closing && strcmp(file->address, address) == 0)
            return file;
    }
    return NULL;
}

int
sim_listen(struct sim *sim, const char *address)
{
    struct sim_file *file = sim_file_new(sim, SIM_FILE_LISTENER);

    ASSERT(file && !listener_at(sim, address));
    set_address(file->address, address);
    return file->fd;
}

/* Wakes the accept that may be in flight. */
static void
listener_add(struct sim *sim, struct sim_file *listener, struct sim_end *end)
{
    set_address(end->address, listener->address);
    list_add_tail(&listener->backlog, &end->backlog);
    end_touch(sim, end);
}

static struct sim_route *
route_find(struct sim *sim, const char *address)
{
    list_for_each(node, &sim->routes) {
        struct sim_route *route = container_of(node, struct sim_route, node);

        if (strcmp(route->address, address) == 0)
            return route;
    }
    return NULL;
}

void
sim_serve(struct sim *sim, const char *address, enum sim_serve behaviour)
{
    struct sim_route *route = route_find(sim, address);

    if (!route) {
        route = calloc(1, sizeof *route);
        ASSERT(route);
        set_address(route->address, address);
        list_add_tail(&sim->routes, &route->node);
    }
    route->behaviour = behaviour;
}

static struct sim_peer *
peer_new(struct sim *sim, size_t window)
{
    struct sim_peer *peer = calloc(1, sizeof *peer);

    ASSERT(peer);
    peer->sim = sim;
    end_init(&peer->end, window);
    peer->end.peer = peer;
    list_add_tail(&sim->peers, &peer->node);
    return peer;
}

static void
connect_to_test(struct sim *sim, struct sim_file *file)
{
    struct sim_peer *peer = peer_new(sim, file->send_window);

    file_set_end(file, end_new(file->receive_window));
    pick_address(sim, file->end->address);
    set_address(peer->end.address, file->address);
    end_join(&peer->end, file->end);
    if (sim->on_peer)
        sim->on_peer(peer, sim->on_peer_arg);
    else
        list_add_tail(&sim->new_peers, &peer->end.backlog);
}

static void
connect_to_own(struct sim *sim, struct sim_file *file, struct sim_file *listener)
{
    struct sim_end *server = end_new(file->send_window);

    file_set_end(file, end_new(file->receive_window));
    if (strncmp(listener->address, "unix:", 5) == 0)
        set_address(file->end->address, "unix:0");
    else
        pick_address(sim, file->end->address);
    end_join(server, file->end);
    listener_add(sim, listener, server);
}

int
sim_file_connect(struct sim *sim, struct sim_file *file)
{
    struct sim_file *listener = listener_at(sim, file->address);
    const struct sim_route *route = route_find(sim, file->address);

    if (listener) {
        connect_to_own(sim, file, listener);
        return 0;
    }
    if (route && route->behaviour == SIM_HANG)
        return -EINPROGRESS;
    if (!route || route->behaviour == SIM_REFUSE)
        return -ECONNREFUSED;
    connect_to_test(sim, file);
    return 0;
}

struct sim_peer *
sim_connect_to(struct sim *sim, int listener, const char *from)
{
    struct sim_file *file = sim_file_find(sim, listener);
    struct sim_peer *peer = peer_new(sim, 0);
    struct sim_end *server = end_new(0);

    ASSERT(file && file->kind == SIM_FILE_LISTENER);
    if (from)
        set_address(peer->end.address, from);
    else
        pick_address(sim, peer->end.address);
    end_join(server, &peer->end);
    listener_add(sim, file, server);
    return peer;
}

struct sim_peer *
sim_next_peer(struct sim *sim)
{
    struct list_node *node = list_pop(&sim->new_peers);

    return node ? container_of(node, struct sim_peer, end.backlog) : NULL;
}

void
sim_on_peer(struct sim *sim, void (*on_peer)(struct sim_peer *peer, void *arg), void *arg)
{
    sim->on_peer = on_peer;
    sim->on_peer_arg = arg;
}

int
sim_pair(struct sim *sim, struct sim_peer **ret)
{
    struct sim_file *file;

    do /* it exists already: no fault can prevent that */
        file = sim_file_new(sim, SIM_FILE_STREAM);
    while (!file);
    *ret = peer_new(sim, 0);
    file_set_end(file, end_new(0));
    pick_address(sim, file->end->address);
    end_join(&(*ret)->end, file->end);
    return file->fd;
}

int
sim_pollable(struct sim *sim)
{
    struct sim_file *file = sim_file_new(sim, SIM_FILE_POLLABLE);

    ASSERT(file);
    return file->fd;
}

void
sim_signal(struct sim *sim, int fd, unsigned revents)
{
    struct sim_file *file = sim_file_find(sim, fd);

    if (file)
        file->ready |= revents;
    if (sim->ring)
        ring_sim_signal(sim->ring, fd, revents);
}

/* --- delivery --- */

/* A backlog's end belongs to a listener that has an accept in flight or will have one. */
static void
wake_listeners(struct sim *sim)
{
    for (unsigned i = 0; i < sim->file_slots; i++)
        if (sim->files[i] && sim->files[i]->kind == SIM_FILE_LISTENER && !list_empty(&sim->files[i]->backlog))
            ring_sim_wake(sim->ring, sim->files[i]);
}

void
sim_net_deliver(struct sim *sim)
{
    struct list_node *node;

    while ((node = list_pop(&sim->dirty))) {
        struct sim_end *end = container_of(node, struct sim_end, dirty);

        if (end->file)
            ring_sim_wake(sim->ring, end->file);
        else if (!end->peer)
            wake_listeners(sim);
        else if (end->peer->on_event)
            end->peer->on_event(end->peer, end->peer->on_event_arg);
    }
}

void
sim_net_done(struct sim *sim)
{
    struct list_node *node;

    for (unsigned i = 0; i < sim->file_slots; i++)
        if (sim->files[i])
            sim_file_free(sim, sim->files[i]);
    free(sim->files);
    while ((node = list_pop(&sim->peers))) {
        struct sim_peer *peer = container_of(node, struct sim_peer, node);

        end_close(sim, &peer->end);
        free(peer->end.arrived.at);
        free(peer);
    }
    while ((node = list_pop(&sim->routes)))
        free(container_of(node, struct sim_route, node));
}

/* --- peers --- */

const char *
sim_peer_address(const struct sim_peer *peer)
{
    return peer->end.address;
}

size_t
sim_peer_send(struct sim_peer *peer, const void *bytes, size_t count)
{
    struct sim_end *end = &peer->end;
    size_t room = sim_end_room(end);

    ASSERT(!end->write_shut);
    if (count > room)
        count = room;
    if (!end->other && !end->gone)
        end_take_reset(peer->sim, end);
    else if (end->other)
        sim_end_push(peer->sim, end, bytes, count);
    return count;
}

size_t
sim_peer_puts(struct sim_peer *peer, const char *text)
{
    return sim_peer_send(peer, text, strlen(text));
}

size_t
sim_peer_read(struct sim_peer *peer, void *ret_bytes, size_t size)
{
    return sim_end_pull(peer->sim, &peer->end, ret_bytes, size);
}

const char *
sim_peer_peek(struct sim_peer *peer, size_t *ret_count)
{
    struct sim_bytes *b = &peer->end.arrived;

    if (ret_count)
        *ret_count = b->count;
    if (!b->count)
        return "";
    b->at[b->start + b->count] = '\0';
    return (const char *)b->at + b->start;
}

void
sim_peer_discard(struct sim_peer *peer)
{
    peer->end.arrived.start = peer->end.arrived.count = 0;
    end_touch(peer->sim, peer->end.other);
}

void
sim_peer_half_close(struct sim_peer *peer)
{
    end_finish_sending(peer->sim, &peer->end);
}

void
sim_peer_close(struct sim_peer *peer)
{
    end_close(peer->sim, &peer->end);
    peer->end.arrived.count = 0;
}

void
sim_peer_reset(struct sim_peer *peer)
{
    if (peer->end.other)
        end_take_reset(peer->sim, peer->end.other);
    sim_peer_close(peer);
}

bool
sim_peer_ended(const struct sim_peer *peer)
{
    return peer->end.fin_arrived && !peer->end.error;
}

bool
sim_peer_eof(const struct sim_peer *peer)
{
    return sim_peer_ended(peer) && !peer->end.arrived.count;
}

bool
sim_peer_was_reset(const struct sim_peer *peer)
{
    return peer->end.error != 0;
}

uint64_t
sim_peer_sent(const struct sim_peer *peer)
{
    return peer->end.sent;
}

uint64_t
sim_peer_received(const struct sim_peer *peer)
{
    return peer->end.received;
}

void
sim_peer_set_window(struct sim_peer *peer, size_t bytes)
{
    peer->end.window = bytes;
    end_touch(peer->sim, peer->end.other);
}

void
sim_peer_set_send_window(struct sim_peer *peer, size_t bytes)
{
    if (peer->end.other)
        peer->end.other->window = bytes;
}

void
sim_peer_watch(struct sim_peer *peer, void (*on_event)(struct sim_peer *peer, void *arg), void *arg)
{
    peer->on_event = on_event;
    peer->on_event_arg = arg;
    end_touch(peer->sim, &peer->end);
}
