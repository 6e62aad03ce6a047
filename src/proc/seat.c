/* SPDX-License-Identifier: Apache-2.0 */
#include "proc/seat.h"

#include "base/check.h"
#include "base/log.h"
#include "ipc/channel.h"
#include "proc/child.h"
#include "proc/generation.h"
#include "proc/log_out.h"
#include "stats/segment.h"
#include "stats/stats.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    TICK_MAX_MS = 200
}; /* a longer gap is our own sleep (SIGSTOP, a suspended machine), not the child's */

const char *const seat_state_names[SEAT_STATES] = {
    [SEAT_IDLE] = "idle",         [SEAT_STARTING] = "starting", [SEAT_SERVING] = "serving",
    [SEAT_DRAINING] = "draining", [SEAT_STOPPING] = "stopping", [SEAT_WAITING] = "waiting",
    [SEAT_ENDED] = "ended",
};

#define TO(state) (1u << SEAT_##state)
static const unsigned allowed[SEAT_STATES] = {
    [SEAT_IDLE] = TO(STARTING) | TO(ENDED),
    [SEAT_STARTING] = TO(SERVING) | TO(WAITING) | TO(STOPPING),
    [SEAT_SERVING] = TO(DRAINING) | TO(WAITING) | TO(STOPPING),
    [SEAT_DRAINING] = TO(STOPPING) | TO(ENDED),
    [SEAT_STOPPING] = TO(ENDED),
    [SEAT_WAITING] = TO(STARTING) | TO(ENDED),
    [SEAT_ENDED] = 0,
};
#undef TO

/* The only assignment to seat->state. */
static void
set_state(struct seat *seat, enum seat_state to)
{
    ASSERT(allowed[seat->state] & 1u << to);
    log_debug("%s %u: %s, was %s", role_names[seat->role], seat->number, seat_state_names[to],
              seat_state_names[seat->state]);
    seat->state = to;
}

static void
signal_child(const struct seat *seat, int signal)
{
    if (seat->child.pid)
        syscall(SYS_pidfd_send_signal, seat->child.pidfd, signal, NULL, 0);
}

/* Ends an incarnation that does not do its duty: SIGABRT leaves a core, SIGKILL follows. */
static void
shoot(struct seat *seat, const char *why, uint64_t now_ms)
{
    seat->shot = true;
    seat->shot_why = why;
    seat->due_ms = now_ms + STOP_GRACE_MS;
    signal_child(seat, SIGABRT);
}

static void
shoot_dead(struct seat *seat, const char *why)
{
    seat->shot = true;
    if (!seat->shot_why)
        seat->shot_why = why;
    seat->due_ms = UINT64_MAX;
    signal_child(seat, SIGKILL);
}

/* --- starting --- */

static int
send_handover(struct seat *seat, uint64_t now_ms)
{
    struct generation *g = seat->generation;
    struct gateway *gateway = g->gateway;
    int resolve_fd = seat->role == ROLE_WORKER ? generation_connect_resolve(g, seat, now_ms) : -1;
    int spawn_fd = seat->role == ROLE_WORKER ? generation_connect_spawn(g, seat, now_ms) : -1;
    bool has_keys = seat->role == ROLE_WORKER || seat->role == ROLE_ADMIN;
    const int available[HANDOVER_FDS] = {
        [FD_CONFIG] = g->cfg.fd,
        [FD_SEGMENT] = g->segment_fd,
        [FD_KEYS] = has_keys ? g->keys_fd : -1,
        [FD_RESOLVE] = resolve_fd,
        [FD_SPAWN] = spawn_fd,
        [FD_HOME] = seat->home_fd,
        [FD_SESSIONS] = seat->role == ROLE_WORKER ? session_table_fd(gateway->sessions) : -1,
        [FD_JOURNAL] = generation_journal_fd(g, seat),
    };
    struct handover h = {
        .magic = HANDOVER_MAGIC,
        .size = sizeof h,
        .role = (uint32_t)seat->role,
        .slot = seat->number,
        .generation = g->number,
        .epoch = seat->epoch,
        .node = gateway->node,
        .place = seat->index,
        .lane = seat->lane,
        .supervisor_pid = gateway->pid,
        .change_user = gateway->user.change,
        .uid = gateway->user.uid,
        .gid = gateway->user.gid,
    };
    int fds[HANDOVER_FDS + HANDOVER_LISTENERS_MAX];
    unsigned count = 0;

    for (unsigned i = 0; i < HANDOVER_FDS; i++) {
        if (available[i] < 0)
            continue;
        h.has_fd |= 1u << i;
        fds[count++] = available[i];
    }
    if (seat->role == ROLE_WORKER)
        h.listeners = listeners_of_worker(&gateway->listeners, g->config, seat->index, fds + count);
    else if (seat->role == ROLE_ADMIN)
        h.listeners = listeners_of_admin(&gateway->listeners, g->config, fds + count);
    if (seat->role == ROLE_ADMIN)
        listeners_client_urls(&gateway->listeners, g->config, h.client_urls, sizeof h.client_urls);
    if (!g->config->admin_off && !g->config->admin.is_unix)
        snprintf(h.admin_origin, sizeof h.admin_origin, "%s",
                 listeners_admin_url(&gateway->listeners, g->config));
    memcpy(h.run_dir, gateway->dir.path, sizeof h.run_dir);
    int r = channel_send(seat->child.control_fd, &h, sizeof h, fds, count + h.listeners);
    if (resolve_fd >= 0)
        close(resolve_fd);
    if (spawn_fd >= 0)
        close(spawn_fd);
    return r;
}

static void
wait_again(struct seat *seat, uint64_t now_ms, uint64_t delay_ms)
{
    seat->due_ms = now_ms + delay_ms;
    if (!seat->down_since_ms)
        seat->down_since_ms = now_ms;
    set_state(seat, SEAT_WAITING);
}

static void
close_control(struct seat *seat)
{
    if (seat->child.control_fd >= 0)
        close(seat->child.control_fd);
    seat->child.control_fd = -1;
}

void
seat_start(struct seat *seat, uint64_t now_ms)
{
    char title[32];
    int r;

    close_control(seat); /* of a dead incarnation whose ring has used up its time */
    if (seat->role == ROLE_WORKER)
        snprintf(title, sizeof title, "mcpgate: %s %u", role_names[seat->role], seat->number);
    else
        snprintf(title, sizeof title, "mcpgate: %s", role_names[seat->role]);
    set_state(seat, SEAT_STARTING);
    seat->born_ms = now_ms;
    seat->due_ms = now_ms + START_LIMIT_MS;
    seat->still_ms = 0;
    seat->failed_errno = 0;
    if ((r = spawn(title, &seat->child)) < 0) {
        log_error("%s %u: cannot start a process: %s", role_names[seat->role], seat->number, strerror(-r));
        wait_again(seat, now_ms, BACKOFF_MAX_MS);
        return;
    }
    seat->epoch = ++seat->generation->gateway->epochs[seat->number];
    session_table_set_alive(seat->generation->gateway->sessions, seat->number, seat->epoch);
    stats_slot_begin(seat->slot, seat->epoch, seat->child.pid);
    seat->turn = stats_turns(seat->slot);
    if ((r = send_handover(seat, now_ms)) < 0)
        shoot_dead(seat, strerror(-r));
    if (seat->role == ROLE_RESOLVE)
        generation_reconnect_resolve(seat->generation, now_ms);
    if (seat->role == ROLE_SPAWN)
        generation_reconnect_spawn(seat->generation, now_ms);
}

/* --- listening to the child --- */

static void
on_ready(struct seat *seat)
{
    if (seat->state != SEAT_STARTING) /* it crossed with our STOP */
        return;
    log_debug("%s %u (pid %d) is ready", role_names[seat->role], seat->number, (int)seat->child.pid);
    set_state(seat, SEAT_SERVING);
    if (seat->lent_to && seat->generation->state == GENERATION_SERVING)
        generation_assign_sessions(seat->generation); /* its own come back */
    seat->was_ready = true;
    seat->down_since_ms = 0;
    seat->turn = stats_turns(seat->slot);
    seat->still_ms = 0;
}

/* What the spawn process says of a server. */
static bool
take_server(struct seat *seat, const struct control *message, const int *fds, unsigned fd_count)
{
    struct kept_servers *kept = &seat->generation->kept;

    if (seat->role != ROLE_SPAWN)
        return false;
    if (message->kind == CONTROL_SERVER_GONE)
        kept_remove(kept, message->server.server);
    else if (fd_count == SPAWN_FDS && kept_add(kept, &message->server, fds))
        return true;
    else
        kept_update(kept, &message->server);
    return false;
}

void
seat_read_control(struct seat *seat, uint64_t now_ms)
{
    struct control message;
    unsigned fd_count = SPAWN_FDS;
    int fds[SPAWN_FDS], n = 0;

    while (seat->child.control_fd >= 0 &&
           (n = control_receive(seat->child.control_fd, &message, fds, &fd_count)) > 0) {
        bool took_fds = false;
        switch (message.kind) {
        case CONTROL_READY:
            on_ready(seat);
            break;
        case CONTROL_FAILED:
            seat->failed_errno = message.arg ? message.arg : EINVAL;
            memcpy(seat->failed, message.text, sizeof seat->failed);
            break;
        case CONTROL_DRAINED:
            log_debug("%s %u is drained", role_names[seat->role], seat->number);
            break;
        case CONTROL_SERVER:
        case CONTROL_SERVER_GONE:
            took_fds = take_server(seat, &message, fds, fd_count);
            break;
        default:
            shoot(seat, "it sent a message that nobody knows", now_ms);
            break;
        }
        while (fd_count && !took_fds)
            close(fds[--fd_count]);
        fd_count = SPAWN_FDS;
    }
    if (seat->child.control_fd >= 0 && n != -EAGAIN) {
        /* It has ended, or closed its end, which is the same promise broken. */
        close_control(seat);
        signal_child(seat, SIGKILL);
    }
}

/* --- the end of an incarnation --- */

/* "exit status 3", "signal 11 (Segmentation fault)", with what the child or we know about the cause. */
static void
describe_end(const struct seat *seat, const struct spawn_end *end, char *text, size_t size)
{
    char own_check[32];
    const char *check = seat->slot->head.check;
    int n;

    if (end->code == CLD_EXITED)
        n = snprintf(text, size, "exit status %d", end->status);
    else
        n = snprintf(text, size, "signal %d (%s)", end->status, strsignal(end->status));
    size_t len = (size_t)n < size ? (size_t)n : size - 1;
    int prefix = snprintf(own_check, sizeof own_check, "pid %d: ", (int)seat->child.pid);
    if (strncmp(check, own_check, (size_t)prefix) == 0)
        snprintf(text + len, size - len, ": %.*s", SEGMENT_CHECK_MAX - prefix, check + prefix);
    else if (seat->shot_why)
        snprintf(text + len, size - len, ": %s", seat->shot_why);
    else if (seat->failed_errno)
        snprintf(text + len, size - len, ": %s", seat->failed);
    else if (end->code == CLD_EXITED && end->status == 127)
        snprintf(text + len, size - len, ": cannot execute /proc/self/exe");
}

static uint64_t
backoff(struct seat *seat, uint64_t lived_ms)
{
    if (seat->failed_errno)
        return BACKOFF_MAX_MS;
    if (lived_ms >= SHORT_LIFE_MS) {
        seat->short_lives = 0;
        return 0;
    }
    unsigned n = ++seat->short_lives;
    if (n == 1)
        return 0;
    return n > 6 ? BACKOFF_MAX_MS : 50u << (n - 2); /* 50, 100, 200, 400, 800 ms */
}

/* The kernel ends a dead worker's ring some milliseconds later than the worker. Until then the ring's accept
 * may be the one that is woken for a connection, since waiting for one is exclusive, and the next incarnation
 * would not hear of it. The ring holds the control socket too, so the next one starts when that has ended. */
static void
close_child(struct seat *seat)
{
    seat->shot = false;
    seat->shot_why = NULL;
    close(seat->child.pidfd);
    seat->child.pid = 0;
    seat->child.pidfd = -1;
    if (seat->state == SEAT_ENDED)
        close_control(seat);
}

static bool
ring_may_live(const struct seat *seat, uint64_t now_ms)
{
    return seat->child.control_fd >= 0 && now_ms < seat->due_ms + RING_LIMIT_MS;
}

/* A child that told at the first start why it cannot run: the supervisor ends with that line and no other. */
static bool
is_told_already(const struct seat *seat)
{
    return seat->failed_errno && seat->generation->state != GENERATION_SERVING && !seat->was_ready;
}

/* It ended, as it was told to. */
static void
after_end(struct seat *seat, bool in_order, const char *how, uint64_t requests)
{
    if (in_order)
        log_debug("%s %u (pid %d) ended", role_names[seat->role], seat->number, (int)seat->child.pid);
    else
        log_write(is_told_already(seat) ? LOG_DEBUG : LOG_WARNING,
                  "%s %u (pid %d) was to end but died by %s; open requests: %" PRIu64, role_names[seat->role],
                  seat->number, (int)seat->child.pid, how, requests);
    set_state(seat, SEAT_ENDED);
}

/* It ended although nobody had asked it to. */
static void
after_death(struct seat *seat, const char *how, uint64_t requests, uint64_t now_ms)
{
    uint64_t lived_ms = now_ms - seat->born_ms, delay_ms = backoff(seat, lived_ms);

    log_write(is_told_already(seat) ? LOG_DEBUG : LOG_ERROR,
              "%s %u (pid %d) died after %" PRIu64 ".%03" PRIu64 " s by %s; open requests: %" PRIu64
              "; next start in %" PRIu64 " ms",
              role_names[seat->role], seat->number, (int)seat->child.pid, lived_ms / 1000, lived_ms % 1000,
              how, requests, delay_ms);
    if (!seat->was_ready)
        seat->first_deaths++;
    wait_again(seat, now_ms, delay_ms);
}

void
seat_reap(struct seat *seat, uint64_t now_ms)
{
    struct spawn_end end;
    char how[512];
    uint64_t requests = 0;

    if (!seat->child.pid || !spawn_reap(&seat->child, &end))
        return;
    seat_read_control(seat, now_ms); /* its last words */
    log_out_drain(role_names[seat->role], seat->number, seat->log);
    session_table_set_alive(seat->generation->gateway->sessions, seat->number, 0);
    bool in_order = end.code == CLD_EXITED && end.status == 0;
    bool asked = seat->state == SEAT_DRAINING || seat->state == SEAT_STOPPING;
    describe_end(seat, &end, how, sizeof how);
    if (in_order && asked)
        stats_slot_ended(seat->slot);
    else
        requests = stats_slot_died(seat->slot);
    if (asked)
        after_end(seat, in_order, how, requests);
    else
        after_death(seat, how, requests, now_ms);
    close_child(seat);
}

/* --- what is due --- */

static void
watch(struct seat *seat, uint64_t now_ms, uint64_t elapsed_ms)
{
    uint64_t turn = stats_turns(seat->slot), limit_ms = seat->generation->config->watchdog;

    if (limit_ms && limit_ms < WATCHDOG_LEAST_MS)
        limit_ms = WATCHDOG_LEAST_MS;

    if (turn != seat->turn) {
        seat->turn = turn;
        seat->still_ms = 0;
        return;
    }
    seat->still_ms += elapsed_ms < TICK_MAX_MS ? elapsed_ms : TICK_MAX_MS;
    if (limit_ms == 0 || seat->still_ms < limit_ms || seat->shot)
        return;
    log_error("%s %u (pid %d) has stood still for %" PRIu64 " ms: replacing it", role_names[seat->role],
              seat->number, (int)seat->child.pid, seat->still_ms);
    shoot(seat, "it stood still for longer than --watchdog", now_ms);
}

void
seat_tick(struct seat *seat, uint64_t now_ms, uint64_t elapsed_ms)
{
    if (seat->shot && now_ms >= seat->due_ms) {
        shoot_dead(seat, NULL);
        return;
    }
    switch (seat->state) {
    case SEAT_WAITING:
        if (now_ms >= seat->due_ms && !ring_may_live(seat, now_ms))
            seat_start(seat, now_ms);
        break;
    case SEAT_STARTING:
        if (!seat->shot && now_ms >= seat->due_ms)
            shoot(seat, "it was not ready within 10 s", now_ms);
        break;
    case SEAT_SERVING:
        watch(seat, now_ms, elapsed_ms);
        break;
    case SEAT_DRAINING:
        watch(seat, now_ms, elapsed_ms);
        if (!seat->shot && now_ms >= seat->due_ms)
            shoot_dead(seat, "it had not finished within --drain-timeout");
        break;
    case SEAT_STOPPING:
        if (!seat->shot && now_ms >= seat->due_ms)
            shoot_dead(seat, "it did not end when told to");
        break;
    case SEAT_IDLE:
    case SEAT_ENDED:
    case SEAT_STATES:
        break;
    }
}

/* --- orders --- */

void
seat_tell(struct seat *seat, enum control_kind kind, uint32_t arg, uint32_t ms, const int *fds,
          unsigned fd_count, uint64_t now_ms)
{
    if (!seat->child.pid || seat->child.control_fd < 0)
        return;
    if (control_send(seat->child.control_fd, kind, seat->epoch, arg, ms, NULL, fds, fd_count) == -EAGAIN &&
        !seat->shot)
        shoot(seat, "it did not read its control socket", now_ms);
}

void
seat_drain(struct seat *seat, uint64_t now_ms, uint32_t ms)
{
    if (seat->state != SEAT_SERVING) {
        seat_stop(seat, now_ms);
        return;
    }
    seat_tell(seat, CONTROL_DRAIN, 0, ms, NULL, 0, now_ms);
    set_state(seat, SEAT_DRAINING);
    if (!seat->shot)
        seat->due_ms = seat->role == ROLE_WORKER ? now_ms + ms + DRAIN_GRACE_MS : UINT64_MAX;
}

/* Spawn ends its servers first, each step of which may take --stdio-grace. */
static uint32_t
stop_grace(const struct seat *seat)
{
    uint32_t servers_ms = 2 * (uint32_t)seat->generation->config->stdio_grace;

    return STOP_GRACE_MS + (seat->role == ROLE_SPAWN ? servers_ms : 0);
}

void
seat_stop(struct seat *seat, uint64_t now_ms)
{
    switch (seat->state) {
    case SEAT_IDLE:
    case SEAT_WAITING:
        close_control(seat);
        set_state(seat, SEAT_ENDED);
        break;
    case SEAT_STARTING:
    case SEAT_SERVING:
    case SEAT_DRAINING:
        seat_tell(seat, CONTROL_STOP, 0, stop_grace(seat), NULL, 0, now_ms);
        set_state(seat, SEAT_STOPPING);
        if (!seat->shot)
            seat->due_ms = now_ms + stop_grace(seat);
        break;
    case SEAT_STOPPING:
    case SEAT_ENDED:
    case SEAT_STATES:
        break;
    }
}

void
seat_kill(struct seat *seat)
{
    shoot_dead(seat, "it was killed at the second request to end");
}

/* --- lending --- */

static struct seat *
find_sibling(struct generation *g, const struct seat *down)
{
    for (unsigned step = 1; step < g->workers; step++) { /* the next one round, so that two seldom meet */
        struct seat *sibling = &g->seats[(down->index + step) % g->workers];
        if (sibling->state == SEAT_SERVING && !sibling->shot)
            return sibling;
    }
    return NULL;
}

void
seat_lend_listeners(struct seat *seat, uint64_t now_ms)
{
    int fds[HANDOVER_LISTENERS_MAX];
    struct seat *sibling;
    unsigned count;

    if (!seat->down_since_ms || now_ms - seat->down_since_ms < LEND_AFTER_MS)
        return;
    if (seat->lent_to && seat->lent_to->state == SEAT_SERVING && seat->lent_to->epoch == seat->lent_epoch)
        return;
    if (!(sibling = find_sibling(seat->generation, seat)))
        return;
    count = listeners_own_sockets(&seat->generation->gateway->listeners, seat->generation->config,
                                  seat->index, fds);
    log_warning("worker %u is down: worker %u accepts for it", seat->number, sibling->number);
    seat->lent_to = sibling;
    seat->lent_epoch = sibling->epoch;
    generation_assign_sessions(seat->generation);
    if (count)
        seat_tell(sibling, CONTROL_ADOPT, seat->number, 0, fds, count, now_ms);
}
