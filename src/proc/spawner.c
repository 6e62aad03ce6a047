/* SPDX-License-Identifier: Apache-2.0 */
#include "proc/spawner.h"

#include "base/log.h"
#include "ipc/channel.h"
#include "proc/server.h"
#include "stats/stats.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    CHANNELS_MAX = 256,
    REQUESTS_A_TURN = 64, /* of one channel */
    LOOP_MS = 500,
    BUSY_MS = 20,         /* while a socket is full that somebody is to hear over */
    ORPHAN_GRACE_MS = 250 /* without a supervisor there is no time for more */
};

struct channel {
    int fd; /* -1: it has ended */
    uint32_t slot, epoch;
    bool sync_due; /* it has not heard of all that the slot owns */
};

struct spawner {
    struct child *child;
    uint64_t next_server;
    unsigned channel_count, server_count, server_room;
    struct channel channels[CHANNELS_MAX];
    struct server *servers;
    uint32_t grace_ms;
    bool stopping;   /* everything ends */
    bool supervised; /* the supervisor lives */
    int status;
};

static uint64_t
now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static uint64_t
now_ms(void)
{
    return now_ns() / 1000000;
}

/* --- telling --- */

static struct channel *
channel_of(struct spawner *s, const struct spawn_server *who)
{
    for (unsigned i = 0; i < s->channel_count; i++)
        if (s->channels[i].fd >= 0 && s->channels[i].slot == who->slot && s->channels[i].epoch == who->epoch)
            return &s->channels[i];
    return NULL;
}

/* STARTED and OWNED bring the worker's end. What does not go out now is tried again; a channel that has ended
 * needs no answer. */
static void
tell_worker(struct spawner *s, struct server *server)
{
    const struct spawn_server *who = &server->who;
    struct channel *channel = channel_of(s, who);
    struct spawn_event event = {.kind = server->to_tell,
                                .epoch = who->epoch,
                                .upstream = who->upstream,
                                .sequence = who->sequence,
                                .server = who->server,
                                .pid = who->pid};

    memcpy(event.label, who->label, sizeof event.label);
    if (channel && channel->sync_due && server->to_tell == SPAWN_STARTED)
        return; /* what it owns comes first */
    if (channel &&
        channel_send(channel->fd, &event, sizeof event, &server->fds[SPAWN_FD_STREAM], 1) == -EAGAIN)
        return;
    server->to_tell = 0;
}

static void
tell_supervisor(struct spawner *s, struct server *server, bool first)
{
    struct child *child = s->child;

    server->is_kept = control_send_server(child->control_fd, CONTROL_SERVER, child->h.epoch, &server->who,
                                          server->fds, first ? SPAWN_FDS : 0) == 0;
}

static void
tell_exit(struct spawner *s, const struct server *server)
{
    const struct spawn_server *who = &server->who;
    struct channel *channel = channel_of(s, who);
    const struct spawn_event event = {.kind = SPAWN_EXITED,
                                      .epoch = who->epoch,
                                      .upstream = who->upstream,
                                      .sequence = who->sequence,
                                      .server = who->server,
                                      .pid = who->pid};

    if (channel) /* a worker that does not read finds the end of the stream */
        (void)channel_send(channel->fd, &event, sizeof event, NULL, 0);
}

/* --- servers --- */

static struct server *
find_server(struct spawner *s, uint64_t id)
{
    for (unsigned i = 0; i < s->server_count; i++)
        if (s->servers[i].who.server == id)
            return &s->servers[i];
    return NULL;
}

static struct server *
room_for_server(struct spawner *s)
{
    if (s->server_count == SPAWN_SERVERS_MAX)
        return NULL;
    if (s->server_count == s->server_room) {
        unsigned room = s->server_room ? 2 * s->server_room : 16;
        struct server *larger = realloc(s->servers, room * sizeof *larger);
        if (!larger)
            return NULL;
        s->servers = larger;
        s->server_room = room;
    }
    return &s->servers[s->server_count];
}

static void
adopt(struct spawner *s, const struct spawn_server *who, const int *fds)
{
    struct server *server = room_for_server(s);

    if (!server || who->upstream >= s->child->config->upstreams.count) {
        for (unsigned i = 0; i < SPAWN_FDS; i++)
            close(fds[i]);
        return;
    }
    server_adopt(server, s->child->config, who, fds);
    s->server_count++;
}

/* It asked before, of a spawn process that died with the answer. */
static struct server *
find_start(struct spawner *s, const struct channel *channel, uint32_t sequence)
{
    for (unsigned i = 0; i < s->server_count; i++) {
        const struct spawn_server *who = &s->servers[i].who;
        if (who->slot == channel->slot && who->epoch == channel->epoch && who->sequence == sequence)
            return &s->servers[i];
    }
    return NULL;
}

static int
start(struct spawner *s, const struct channel *channel, const struct spawn_request *request)
{
    const struct config *c = s->child->config;
    struct server *server = find_start(s, channel, request->sequence);
    struct spawn_server who = {.server = s->next_server,
                               .upstream = request->upstream,
                               .slot = channel->slot,
                               .epoch = channel->epoch,
                               .sequence = request->sequence};
    int r;

    if (request->upstream >= c->upstreams.count || !cfg_is_stdio(cfg_upstream(c, request->upstream)))
        return -EINVAL;
    if (!server) {
        if (!(server = room_for_server(s)))
            return -ENFILE;
        if ((r = server_start(server, c, &who)) < 0)
            return r;
        s->next_server++;
        s->server_count++;
        tell_supervisor(s, server, true);
    }
    server->to_tell = SPAWN_STARTED;
    tell_worker(s, server);
    return 0;
}

static void
take_request(struct spawner *s, const struct channel *channel, const struct spawn_request *request)
{
    struct server *server = find_server(s, request->server);
    int r;

    if (request->epoch != channel->epoch)
        return;
    switch (request->kind) {
    case SPAWN_START:
        r = s->stopping ? -ESHUTDOWN : start(s, channel, request);
        if (r < 0) {
            const struct spawn_event event = {.kind = SPAWN_FAILED,
                                              .epoch = channel->epoch,
                                              .upstream = request->upstream,
                                              .sequence = request->sequence,
                                              .error = -r};
            (void)channel_send(channel->fd, &event, sizeof event, NULL, 0);
        }
        break;
    case SPAWN_STOP:
        if (server && server->who.slot == channel->slot)
            server_stop(server, now_ms(), s->grace_ms);
        break;
    case SPAWN_LABEL:
        if (!server || server->who.slot != channel->slot)
            break;
        memcpy(server->who.label, request->label, sizeof server->who.label);
        tell_supervisor(s, server, false);
        break;
    }
}

/* --- channels --- */

static void
read_channel(struct spawner *s, struct channel *channel)
{
    struct spawn_request request;
    unsigned no_fds = 0;

    for (unsigned i = 0; i < REQUESTS_A_TURN; i++) {
        int n = channel_receive(channel->fd, &request, sizeof request, NULL, &no_fds);
        if (n == -EAGAIN)
            return;
        if (n != sizeof request) {
            close(channel->fd);
            channel->fd = -1;
            return;
        }
        take_request(s, channel, &request);
    }
}

/* Behind the last of what the slot owns. False: its time has not come, or the socket is full. */
static bool
tell_sync(struct spawner *s, struct channel *channel)
{
    const struct spawn_event sync = {.kind = SPAWN_SYNC, .epoch = channel->epoch};

    for (unsigned i = 0; i < s->server_count; i++)
        if (s->servers[i].to_tell == SPAWN_OWNED && channel_of(s, &s->servers[i].who) == channel)
            return false;
    channel->sync_due = channel_send(channel->fd, &sync, sizeof sync, NULL, 0) == -EAGAIN;
    return !channel->sync_due;
}

/* A worker's first channel in a new life: what its slot owns is announced. What is about to end is not. */
static void
add_channel(struct spawner *s, int fd, uint32_t slot, uint32_t epoch)
{
    if (s->channel_count == CHANNELS_MAX) {
        log_warning("too many channels: worker %u can start no servers", slot);
        close(fd);
        return;
    }
    s->channels[s->channel_count++] = (struct channel){fd, slot, epoch, true};
    for (unsigned i = 0; i < s->server_count; i++) {
        struct server *server = &s->servers[i];
        if (server->who.slot != slot || server->who.epoch == epoch || server->state != SERVER_RUNS)
            continue;
        server->who.epoch = epoch;
        server->who.sequence = 0;
        server->to_tell = SPAWN_OWNED;
        tell_supervisor(s, server, false);
        tell_worker(s, server);
    }
    tell_sync(s, &s->channels[s->channel_count - 1]);
}

static void
stop_all(struct spawner *s)
{
    s->stopping = true;
    for (unsigned i = 0; i < s->server_count; i++)
        server_stop(&s->servers[i], now_ms(), s->grace_ms);
}

/* Nobody is left to be told, and nobody to wait for. */
static void
lose_supervisor(struct spawner *s)
{
    s->supervised = false;
    s->status = 1;
    s->grace_ms = ORPHAN_GRACE_MS;
    stop_all(s);
    for (unsigned i = 0; i < s->server_count; i++)
        if (s->servers[i].state == SERVER_CLOSED || s->servers[i].state == SERVER_TERMINATED)
            s->servers[i].due_ms = now_ms() + ORPHAN_GRACE_MS;
}

static void
read_control(struct spawner *s)
{
    struct control message;
    int fds[SPAWN_FDS], n;
    unsigned count = SPAWN_FDS;

    while ((n = control_receive(s->child->control_fd, &message, fds, &count)) > 0) {
        if (message.kind == CONTROL_SERVER && count == SPAWN_FDS) {
            adopt(s, &message.server, fds);
            count = 0;
        } else if (message.kind == CONTROL_SPAWN && count == 1) {
            add_channel(s, fds[0], message.arg, message.ms);
            count = 0;
        } else if (message.kind == CONTROL_STOP) {
            stop_all(s);
        } else if (message.kind == CONTROL_LOG_LEVEL) {
            log_set_level((enum log_level)message.arg);
        }
        while (count)
            close(fds[--count]);
        count = SPAWN_FDS;
    }
    if (n != -EAGAIN)
        lose_supervisor(s);
}

/* --- the loop --- */

/* Those that have ended and of which the supervisor was told leave the table. */
static void
remove_ended(struct spawner *s)
{
    struct child *child = s->child;

    for (unsigned i = s->server_count; i-- > 0;) {
        struct server *server = &s->servers[i];
        if (server->state == SERVER_ENDED &&
            (!s->supervised || control_send_server(child->control_fd, CONTROL_SERVER_GONE, child->h.epoch,
                                                   &server->who, NULL, 0) != -EAGAIN))
            *server = s->servers[--s->server_count];
    }
}

static void
drop_channels(struct spawner *s)
{
    for (unsigned i = s->channel_count; i-- > 0;)
        if (s->channels[i].fd < 0)
            s->channels[i] = s->channels[--s->channel_count];
}

/* True when nobody is left to be told. */
static bool
tell_all(struct spawner *s)
{
    bool done = true;

    for (unsigned i = 0; i < s->server_count; i++)
        if (s->servers[i].to_tell == SPAWN_OWNED)
            tell_worker(s, &s->servers[i]);
    for (unsigned i = 0; i < s->channel_count; i++)
        if (s->channels[i].fd >= 0 && s->channels[i].sync_due)
            done &= tell_sync(s, &s->channels[i]);
    for (unsigned i = 0; i < s->server_count; i++) {
        struct server *server = &s->servers[i];
        if (server->to_tell)
            tell_worker(s, server);
        if (!server->is_kept && server->state != SERVER_ENDED && s->supervised)
            tell_supervisor(s, server, true);
        done &= !server->to_tell && server->is_kept && server->state != SERVER_ENDED;
    }
    return done;
}

/* Until the next server is due for a harder word. */
static int
sleep_ms(const struct spawner *s, bool told)
{
    uint64_t now = now_ms(), least = told ? LOOP_MS : BUSY_MS;

    for (unsigned i = 0; i < s->server_count; i++) {
        uint64_t due = s->servers[i].due_ms;
        if (due < now + least)
            least = due > now ? due - now : 0;
    }
    return (int)least;
}

/* [0] the supervisor, then the channels, then two for each server. */
static unsigned
fill_poll(const struct spawner *s, struct pollfd *polled)
{
    unsigned n = 0;

    polled[n++] = (struct pollfd){s->supervised ? s->child->control_fd : -1, POLLIN, 0};
    for (unsigned i = 0; i < s->channel_count; i++)
        polled[n++] = (struct pollfd){s->channels[i].fd, POLLIN, 0};
    for (unsigned i = 0; i < s->server_count; i++) {
        polled[n++] = (struct pollfd){s->servers[i].fds[SPAWN_FD_PROCESS], POLLIN, 0};
        polled[n++] = (struct pollfd){s->servers[i].fds[SPAWN_FD_ERRORS], POLLIN, 0};
    }
    return n;
}

static void
turn(struct spawner *s)
{
    static struct pollfd polled[1 + CHANNELS_MAX + 2 * SPAWN_SERVERS_MAX];
    unsigned channels = s->channel_count, servers = s->server_count, first = 1 + channels;
    bool told = tell_all(s);

    poll(polled, fill_poll(s, polled), sleep_ms(s, told));
    stats_turn(s->child->slot, now_ns());
    for (unsigned i = 0; i < servers; i++) {
        if (polled[first + 2 * i + 1].revents)
            server_read_errors(&s->servers[i], now_ms());
        if (polled[first + 2 * i].revents && server_reap(&s->servers[i], now_ms()))
            tell_exit(s, &s->servers[i]);
    }
    for (unsigned i = 0; i < channels; i++)
        if (polled[1 + i].revents)
            read_channel(s, &s->channels[i]);
    if (polled[0].revents)
        read_control(s);
    for (unsigned i = 0; i < s->server_count; i++)
        server_tick(&s->servers[i], now_ms(), s->grace_ms);
    remove_ended(s);
    drop_channels(s);
}

int
spawner_main(struct child *child)
{
    static struct spawner spawner; /* large */
    struct spawner *s = &spawner;

    s->child = child;
    s->next_server = ((uint64_t)child->h.generation << 48) + ((uint64_t)child->h.epoch << 24) + 1;
    s->grace_ms = (uint32_t)child->config->stdio_grace;
    s->supervised = true;
    stats_slot_set_state(child->slot, SLOT_READY);
    control_send(child->control_fd, CONTROL_READY, child->h.epoch, 0, 0, NULL, NULL, 0);
    while (!s->stopping || s->server_count)
        turn(s);
    for (unsigned i = 0; i < s->channel_count; i++)
        close(s->channels[i].fd);
    free(s->servers);
    return s->status;
}
