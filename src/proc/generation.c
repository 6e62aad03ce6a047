/* SPDX-License-Identifier: Apache-2.0 */
#include "proc/generation.h"

#include "base/check.h"
#include "base/log.h"
#include "ipc/channel.h"
#include "proc/child.h"
#include "proc/cpus.h"
#include "proc/keys.h"
#include "proc/log_out.h"
#include "proc/startup_checks.h"
#include "stats/segment.h"
#include "stats/stats.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { OTHERS_AFTER_MS = 2 };

/* --- making one --- */

unsigned
generation_workers(const struct config *config)
{
    unsigned workers = config->workers ? (unsigned)config->workers : cpus_available();

    return workers < LISTENER_WORKERS_MAX ? workers : LISTENER_WORKERS_MAX;
}

/* The first free block of `count` numbers, from the place where the last block ended on, round the end.
 * Numbers are reused as late as possible: a number names a slot for clients' session tokens too. */
static int
claim_slots(struct gateway *gateway, unsigned count)
{
    for (unsigned tried = 0; tried < SLOTS_MAX; tried++) {
        unsigned first = (gateway->next_slot + tried) % SLOTS_MAX, n = 0;
        if (first + count > SLOTS_MAX)
            continue;
        while (n < count && !gateway->slot_used[first + n])
            n++;
        if (n < count)
            continue;
        memset(&gateway->slot_used[first], true, count);
        gateway->next_slot = (first + count) % SLOTS_MAX;
        return (int)first;
    }
    return -EBUSY;
}

/* "stats" of the generation before, under a second name until this one serves. */
static void
keep_path(const struct gateway *gateway, char path[300], const char *suffix)
{
    snprintf(path, 300, "%s/" SEGMENT_FILE_NAME "%s", gateway->dir.path, suffix);
}

static int
make_segment(struct generation *g)
{
    const struct cfg_upstream *upstreams = cfg_items(g->config, g->config->upstreams);
    const struct segment_config wanted = {
        .generation = g->number,
        .node = g->gateway->node,
        .slots = g->carry_slot + 1,
        .upstreams = (uint32_t)g->config->max_upstreams + 1,
        .supervisor_pid = g->gateway->pid,
        .version = MCPGATE_VERSION,
    };
    char path[300], kept[300];

    keep_path(g->gateway, path, "");
    keep_path(g->gateway, kept, ".before");
    unlink(kept);
    if (g->number > 1 && link(path, kept) && errno != ENOENT)
        return -errno;
    int r = segment_create(g->gateway->dir.path, &wanted, &g->segment, &g->segment_fd);
    for (uint32_t i = 0; i < g->config->upstreams.count && r == 0; i++)
        r = segment_name_upstream(g->segment, i, cfg_text(g->config, upstreams[i].name).at);
    /* The row behind them counts what workers forward to each other. */
    return r < 0 ? r : segment_name_upstream(g->segment, g->config->upstreams.count, "~home");
}

static int
make_seat(struct generation *g, struct seat *seat)
{
    const struct gateway *gateway = g->gateway;
    bool change = gateway->user.change;

    seat->slot = segment_assign_slot(g->segment, seat->number, role_names[seat->role]);
    seat->log = segment_log_ring(g->segment, seat->number);
    if (seat->role != ROLE_WORKER)
        return 0;
    seat->home_fd = listeners_open_home(gateway->dir.path, seat->number,
                                        change ? gateway->user.uid : (uid_t)-1, gateway->user.gid);
    return seat->home_fd < 0 ? seat->home_fd : 0;
}

static bool
has_stdio(const struct config *config)
{
    for (uint32_t i = 0; i < config->upstreams.count; i++)
        if (cfg_is_stdio(cfg_upstream(config, i)))
            return true;
    return false;
}

static void
number_seats(struct generation *g, unsigned first)
{
    for (unsigned i = 0; i < g->seat_count; i++) {
        struct seat *seat = &g->seats[i];
        seat->generation = g;
        seat->number = first + i;
        seat->child = (struct spawned){0, -1, -1};
        seat->home_fd = -1;
        if (i < g->workers) {
            seat->role = ROLE_WORKER;
            seat->index = i;
        } else {
            seat->role = i + 1 == g->seat_count                           ? ROLE_RESOLVE
                         : i + 2 == g->seat_count && has_stdio(g->config) ? ROLE_SPAWN
                                                                          : ROLE_ADMIN;
        }
    }
}

_Static_assert((int)SLOTS_MAX <= (int)SESSION_SLOTS_MAX && (int)SLOTS_MAX <= (int)JOURNAL_LANES_MAX &&
                   (int)LISTENER_WORKERS_MAX <= (int)SESSION_PLACES_MAX,
               "every slot and every worker is in the header of the session tables");

/* A place for each worker. */
static int
make_places(struct generation *g, char *why, size_t why_size)
{
    struct session_table *sessions = g->gateway->sessions;
    int r = session_table_grow(sessions, g->workers);

    if (r < 0)
        snprintf(why, why_size,
                 "no room for the sessions of %u workers in %s: %s: free some, or set --state-dir",
                 g->workers, cfg_text(g->config, g->config->state_dir).at, strerror(-r));
    if (session_table_capacity(sessions) != g->config->max_sessions)
        log_warning("--max-sessions stays %u until the next start", session_table_capacity(sessions));
    return r;
}

/* A lane of the journal for each worker that no other generation writes to: the first that is free, so that
 * there are never more than are needed at a time. */
static int
make_lanes(struct generation *g, char *why, size_t why_size)
{
    struct gateway *gateway = g->gateway;
    uint64_t size = g->config->journal_size;
    unsigned lane = 0;
    int r;

    for (unsigned i = 0; i < g->workers; i++, lane++) {
        while (gateway->lane_used[lane])
            lane++;
        ASSERT(lane < JOURNAL_LANES_MAX); /* as many as there are slots */
        g->seats[i].lane = lane;
    }
    if (!gateway->journal) {
        if (size && g->number > 1)
            log_warning("--journal-size stays 0 until the next start");
        return 0;
    }
    if (size && !journal_has_size(gateway->journal, size))
        log_warning("--journal-size stays as it was until the next start");
    r = journal_grow(gateway->journal, lane);
    if (r < 0) {
        snprintf(why, why_size,
                 "no room for the journal of %u workers in %s: %s: free some, lower --journal-size, or set "
                 "--state-dir",
                 g->workers, cfg_text(g->config, g->config->state_dir).at, strerror(-r));
        return r;
    }
    for (unsigned i = 0; i < g->workers; i++)
        gateway->lane_used[g->seats[i].lane] = g->has_lanes = true;
    return 0;
}

int
generation_journal_fd(const struct generation *g, const struct seat *seat)
{
    if (seat->role != ROLE_WORKER || !g->has_lanes || !g->config->journal_size)
        return -1;
    return journal_fd(g->gateway->journal);
}

static int
make_parts(struct generation *g, char *why, size_t why_size)
{
    int r = keys_open(cfg_text(g->config, g->config->key_file).at, &g->keys_fd, why, why_size);

    if (r < 0)
        return r;
    if ((r = make_places(g, why, why_size)) < 0)
        return r;
    if ((r = make_lanes(g, why, why_size)) < 0)
        return r;
    if ((r = make_segment(g)) < 0) {
        snprintf(why, why_size,
                 "cannot make the statistics file in %s: %s: choose another place with --run-dir",
                 g->gateway->dir.path, strerror(-r));
        return r;
    }
    for (unsigned i = 0; i < g->seat_count && r == 0; i++) {
        r = make_seat(g, &g->seats[i]);
        if (r < 0)
            snprintf(why, why_size, "cannot listen on " HOME_PATH_FORMAT ": %s", g->gateway->dir.path,
                     g->seats[i].number, strerror(-r));
    }
    return r;
}

int
generation_new(struct gateway *gateway, struct cfg_result *cfg, unsigned workers, struct generation **ret,
               char *why, size_t why_size)
{
    unsigned seats = workers + !cfg->config->admin_off + has_stdio(cfg->config) + 1;
    int r, first = claim_slots(gateway, seats + 1);

    if (first < 0) {
        snprintf(why, why_size, "no slot numbers are left until an older generation has drained");
        cfg_done(cfg);
        return first;
    }
    struct generation *g = calloc(1, sizeof *g + seats * sizeof *g->seats);
    ASSERT(g);
    g->gateway = gateway;
    g->number = ++gateway->generations;
    g->cfg = *cfg;
    g->config = g->cfg.config;
    g->segment_fd = g->keys_fd = -1;
    g->workers = workers;
    g->seat_count = seats;
    g->carry_slot = (unsigned)first + seats;
    number_seats(g, (unsigned)first);
    if ((r = make_parts(g, why, why_size)) < 0) {
        generation_give_up(g);
        generation_free(&g);
        return r;
    }
    *ret = g;
    return 0;
}

void
generation_free(struct generation **generation)
{
    struct generation *g = *generation;

    *generation = NULL;
    if (!g)
        return;
    for (unsigned i = 0; i < g->seat_count; i++) {
        struct seat *seat = &g->seats[i];
        ASSERT(seat->state == SEAT_IDLE || seat->state == SEAT_ENDED);
        if (seat->home_fd >= 0) {
            close(seat->home_fd);
            listeners_remove_home(g->gateway->dir.path, seat->number);
        }
        g->gateway->slot_used[seat->number] = false;
        if (g->has_lanes && seat->role == ROLE_WORKER)
            g->gateway->lane_used[seat->lane] = false;
    }
    g->gateway->slot_used[g->carry_slot] = false;
    kept_kill_all(&g->kept);
    segment_unmap(&g->segment);
    if (g->segment_fd >= 0)
        close(g->segment_fd);
    if (g->keys_fd >= 0)
        close(g->keys_fd);
    cfg_done(&g->cfg);
    free(g);
}

/* --- its life --- */

struct seat *
generation_seat(struct generation *g, enum role role)
{
    for (unsigned i = 0; i < g->seat_count; i++)
        if (g->seats[i].role == role)
            return &g->seats[i];
    return NULL;
}

static bool
has_names(const struct config *config)
{
    for (uint32_t i = 0; i < config->upstreams.count; i++) {
        const struct cfg_upstream *upstream = cfg_upstream(config, i);
        const struct cfg_endpoint *endpoints = cfg_endpoints(config, upstream);

        for (uint32_t k = 0; k < upstream->endpoints.count; k++)
            if (!endpoints[k].is_literal && !endpoints[k].unix_path.len)
                return true;
    }
    return false;
}

static bool
clients_wait_for(const struct generation *g, enum role role)
{
    return role == ROLE_WORKER || role == ROLE_SPAWN || (role == ROLE_RESOLVE && has_names(g->config));
}

/* Workers first. Their channels to the others follow (seat_start()). */
void
generation_start(struct generation *g, uint64_t now_ms)
{
    for (unsigned i = 0; i < g->seat_count; i++)
        if (clients_wait_for(g, g->seats[i].role))
            seat_start(&g->seats[i], now_ms);
}

/* The workers get the cores to themselves until they are ready, and for a moment more for the clients who
 * have come meanwhile. */
static void
start_others(struct generation *g, uint64_t now_ms)
{
    for (unsigned i = 0; i < g->workers && !g->others_due_ms; i++)
        if (!g->seats[i].was_ready)
            return;
    if (!g->others_due_ms)
        g->others_due_ms = now_ms + OTHERS_AFTER_MS;
    for (unsigned i = g->workers; i < g->seat_count && now_ms >= g->others_due_ms; i++)
        if (g->seats[i].state == SEAT_IDLE)
            seat_start(&g->seats[i], now_ms);
}

bool
generation_is_ready(const struct generation *g)
{
    for (unsigned i = 0; i < g->seat_count; i++)
        if (g->seats[i].state != SEAT_SERVING)
            return false;
    return true;
}

const char *
generation_failure(const struct generation *g, char *line, size_t size)
{
    for (unsigned i = 0; i < g->seat_count; i++) {
        const struct seat *seat = &g->seats[i];
        if (seat->was_ready)
            continue;
        if (seat->failed_errno && (seat->failed_errno != ENOMEM || seat->first_deaths >= MEMORY_STARTS_MAX)) {
            startup_explain_failure(g->workers, g->seat_count - 1, seat->failed_errno, seat->failed, line,
                                    size);
            return line;
        }
        if (seat->first_deaths >= FIRST_STARTS_MAX) {
            snprintf(line, size, "%s %u died %u times before it was ready: the log lines above say how",
                     role_names[seat->role], seat->number, seat->first_deaths);
            return line;
        }
    }
    return NULL;
}

void
generation_carry(struct generation *g)
{
    if (g->before && segment_carry(g->segment, g->carry_slot, g->before->segment) < 0)
        log_warning("not enough memory to carry the statistics of generation %u on", g->before->number);
}

void
generation_assign_sessions(struct generation *g)
{
    struct session_table *sessions = g->gateway->sessions;

    for (uint32_t place = 0; place < session_table_places(sessions); place++) {
        const struct seat *seat = &g->seats[place % g->workers];
        bool lent = seat->state != SEAT_SERVING && seat->lent_to && seat->lent_to->state == SEAT_SERVING;

        session_table_assign(sessions, place, lent ? seat->lent_to->number : seat->number);
    }
}

void
generation_serve(struct generation *g, struct generation *before)
{
    char kept[300];

    g->before = before;
    if (before) {
        struct slot *carried = segment_assign_slot(g->segment, g->carry_slot, role_names[ROLE_WORKER]);
        stats_slot_set_state(carried, SLOT_ENDED);
        generation_carry(g);
    }
    keep_path(g->gateway, kept, ".before");
    unlink(kept);
    g->state = GENERATION_SERVING;
    generation_assign_sessions(g);
}

void
generation_give_up(struct generation *g)
{
    char path[300], kept[300];

    keep_path(g->gateway, path, "");
    keep_path(g->gateway, kept, ".before");
    if (g->number > 1)
        rename(kept, path);
}

void
generation_set_unready(struct generation *g, uint64_t now_ms)
{
    struct seat *admin = generation_seat(g, ROLE_ADMIN);

    if (admin && admin->state == SEAT_SERVING)
        seat_drain(admin, now_ms, 0);
}

void
generation_drain(struct generation *g, uint64_t now_ms, uint32_t ms)
{
    g->state = GENERATION_ENDING;
    for (unsigned i = 0; i < g->workers; i++)
        seat_drain(&g->seats[i], now_ms, ms);
}

void
generation_stop(struct generation *g, uint64_t now_ms)
{
    g->state = GENERATION_ENDING;
    for (unsigned i = 0; i < g->seat_count; i++)
        seat_stop(&g->seats[i], now_ms);
}

static bool
workers_have_ended(const struct generation *g)
{
    for (unsigned i = 0; i < g->workers; i++)
        if (g->seats[i].state != SEAT_ENDED)
            return false;
    return true;
}

bool
generation_has_ended(const struct generation *g)
{
    for (unsigned i = 0; i < g->seat_count; i++)
        if (g->seats[i].state != SEAT_ENDED)
            return false;
    return true;
}

unsigned
generation_drain_logs(struct generation *g)
{
    unsigned lines = 0;

    for (unsigned i = 0; i < g->seat_count; i++)
        lines += log_out_drain(role_names[g->seats[i].role], g->seats[i].number, g->seats[i].log);
    return lines;
}

/* --- channels between children --- */

static int
connect_to(struct seat *helper, enum control_kind kind, const struct seat *worker, uint64_t now_ms)
{
    int pair[2], r = channel_pair(pair);

    if (r < 0)
        return r;
    seat_tell(helper, kind, worker->number, worker->epoch, &pair[1], 1, now_ms);
    close(pair[1]);
    return pair[0];
}

int
generation_connect_resolve(struct generation *g, const struct seat *worker, uint64_t now_ms)
{
    return connect_to(generation_seat(g, ROLE_RESOLVE), CONTROL_RESOLVE, worker, now_ms);
}

int
generation_connect_spawn(struct generation *g, const struct seat *worker, uint64_t now_ms)
{
    struct seat *spawn = generation_seat(g, ROLE_SPAWN);

    return spawn && !g->kept.handing ? connect_to(spawn, CONTROL_SPAWN, worker, now_ms) : -1;
}

static void
reconnect(struct generation *g, enum control_kind kind, uint64_t now_ms)
{
    for (unsigned i = 0; i < g->workers; i++) {
        struct seat *worker = &g->seats[i];
        if (!worker->child.pid || worker->child.control_fd < 0)
            continue;
        int fd = kind == CONTROL_SPAWN ? generation_connect_spawn(g, worker, now_ms)
                                       : generation_connect_resolve(g, worker, now_ms);
        if (fd < 0)
            continue;
        seat_tell(worker, kind, 0, 0, &fd, 1, now_ms);
        close(fd);
    }
}

void
generation_reconnect_resolve(struct generation *g, uint64_t now_ms)
{
    reconnect(g, CONTROL_RESOLVE, now_ms);
}

/* A new spawn process hears of all servers before it hears of any worker. */
static void
hand_over(struct generation *g, uint64_t now_ms)
{
    const struct seat *spawn = generation_seat(g, ROLE_SPAWN);

    if (spawn->child.pid && spawn->child.control_fd >= 0 &&
        kept_hand_over(&g->kept, spawn->child.control_fd, spawn->epoch))
        reconnect(g, CONTROL_SPAWN, now_ms);
}

void
generation_reconnect_spawn(struct generation *g, uint64_t now_ms)
{
    kept_begin(&g->kept);
    hand_over(g, now_ms);
}

void
generation_tick(struct generation *g, uint64_t now_ms, uint64_t elapsed_ms)
{
    for (unsigned i = 0; i < g->seat_count; i++)
        seat_tick(&g->seats[i], now_ms, elapsed_ms);
    if (g->state == GENERATION_STARTING)
        start_others(g, now_ms);
    if (g->kept.handing)
        hand_over(g, now_ms);
    if (g->state == GENERATION_SERVING)
        for (unsigned i = 0; i < g->workers; i++)
            seat_lend_listeners(&g->seats[i], now_ms);
    if (g->state == GENERATION_ENDING && workers_have_ended(g))
        generation_stop(g, now_ms);
}
