/* SPDX-License-Identifier: Apache-2.0 */
/* The simulator's world: its seed, what goes wrong and when, its clock, and how a test runs it. */
#include "base/check.h"
#include "ring/ring_sim_impl.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { TURN_MS = 1000, SETTLE_TURNS_MAX = 1000000 };

struct sim *sim_current;

/* --- the seed --- */

/* splitmix64 (Steele, Lea, Flood 2014). */
static uint64_t
next_random(struct sim *sim)
{
    uint64_t z = sim->random += 0x9e3779b97f4a7c15;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

uint64_t
sim_random(struct sim *sim, uint64_t n)
{
    return n ? next_random(sim) % n : 0;
}

uint64_t
sim_seed(const struct sim *sim)
{
    return sim->seed;
}

static bool
seed_from_environment(uint64_t *ret_seed)
{
    const char *text = getenv("SIM_SEED");

    if (text)
        *ret_seed = strtoull(text, NULL, 10);
    return text != NULL;
}

void
sim_for_seeds(uint64_t first, unsigned count, void (*body)(uint64_t seed))
{
    uint64_t seed;

    if (seed_from_environment(&seed)) {
        body(seed);
        return;
    }
    for (unsigned i = 0; i < count; i++)
        body(first + i);
}

/* --- opening and closing --- */

static void
tell_seed(const char *text)
{
    const struct sim *sim = sim_current;

    fprintf(stderr, "%s\nsim: at step %" PRIu64 ", %" PRIu64 " ms; replay with SIM_SEED=%" PRIu64 "\n", text,
            sim->steps, sim_now_ms(sim), sim->seed);
}

/* A test that failed ends its process with the world open. */
static void
tell_seed_at_exit(void)
{
    if (sim_current)
        tell_seed("sim: the test ended inside a simulation");
}

struct sim *
sim_open(uint64_t seed, const struct ring_config *config)
{
    static bool at_exit;
    struct sim *sim = calloc(1, sizeof *sim);

    ASSERT(sim && !sim_current);
    if (!at_exit)
        atexit(tell_seed_at_exit);
    at_exit = true;
    seed_from_environment(&seed);
    sim->seed = sim->random = seed;
    sim->now_ns = (1000000 + sim_random(sim, 1 << 26)) * MS_NS; /* no test may rely on round times */
    sim->limit_ns = UINT64_MAX;
    list_init(&sim->dirty);
    list_init(&sim->peers);
    list_init(&sim->new_peers);
    list_init(&sim->routes);
    list_init(&sim->events);
    list_init(&sim->scripts);
    sim_current = sim;
    check_hook = tell_seed;
    if (config) {
        struct ring *ring;
        char why[100];

        ASSERT(ring_new(config, &ring, why, sizeof why) == 0);
    }
    return sim;
}

static void
check_files_closed(const struct sim *sim)
{
    for (unsigned i = 0; i < sim->file_slots; i++)
        ASSERT(!sim->files[i] || sim->files[i]->kind != SIM_FILE_STREAM); /* a connection was not closed */
}

void
sim_close(struct sim **sim_at)
{
    struct sim *sim = *sim_at;
    struct list_node *node;

    *sim_at = NULL;
    if (sim->ring) {
        ring_sim_submit(sim->ring);
        ring_sim_check_idle(sim->ring);
        ring_sim_abandon(sim->ring);
    }
    check_files_closed(sim);
    sim_net_done(sim);
    while ((node = list_pop(&sim->events)))
        free(container_of(node, struct sim_event, node));
    while ((node = list_pop(&sim->scripts)))
        free(container_of(node, struct sim_script, node));
    sim_current = NULL;
    check_hook = NULL;
    free(sim);
}

struct ring *
sim_ring(struct sim *sim)
{
    return sim->ring;
}

/* --- faults --- */

void
sim_set_fault(struct sim *sim, enum sim_fault fault, unsigned per_mille)
{
    sim->per_mille[fault] = per_mille;
}

void
sim_faults_random(struct sim *sim)
{
    static const unsigned choices[] = {0, 0, 0, 10, 100, 300};

    for (unsigned f = SIM_SHORT_SEND; f <= SIM_LATE_CANCEL; f++)
        sim->per_mille[f] = choices[sim_random(sim, sizeof choices / sizeof *choices)];
}

void
sim_fault_at(struct sim *sim, uint64_t step, enum sim_fault fault)
{
    struct sim_script *script = calloc(1, sizeof *script);

    ASSERT(script);
    script->step = step;
    script->fault = fault;
    list_add_tail(&sim->scripts, &script->node);
}

static bool
script_hits(struct sim *sim, enum sim_fault fault)
{
    list_for_each(node, &sim->scripts) {
        struct sim_script *script = container_of(node, struct sim_script, node);

        if (script->fault != fault || script->step > sim->steps)
            continue;
        list_del(node);
        free(script);
        return true;
    }
    return false;
}

bool
sim_hits(struct sim *sim, enum sim_fault fault)
{
    if (script_hits(sim, fault))
        return true;
    return sim->per_mille[fault] && sim_random(sim, 1000) < sim->per_mille[fault];
}

void
sim_kill_at(struct sim *sim, uint64_t step)
{
    sim->kill_step = step;
}

void
sim_step(struct sim *sim)
{
    sim->steps++;
    if (!sim->kill_step || sim->steps < sim->kill_step)
        return;
    sim->kill_step = 0;
    ASSERT(sim->killed);
    longjmp(*sim->killed, 1);
}

uint64_t
sim_ack_delays(const struct sim *sim)
{
    return sim->ack_delays;
}

void
sim_set_busy(struct sim *sim, unsigned percent)
{
    sim->busy_percent = percent;
}

uint64_t
sim_steps(const struct sim *sim)
{
    return sim->steps;
}

void
sim_set_fd_limit(struct sim *sim, unsigned count)
{
    sim->fd_limit = count;
}

unsigned
sim_fd_count(const struct sim *sim)
{
    return sim->file_count;
}

/* --- time --- */

uint64_t
sim_now_ms(const struct sim *sim)
{
    return sim->now_ns / MS_NS;
}

void
sim_after(struct sim *sim, unsigned ms, void (*fn)(void *arg), void *arg)
{
    struct sim_event *event = calloc(1, sizeof *event);
    struct list_node *after = sim->events.prev;

    ASSERT(event);
    *event = (struct sim_event){.at_ns = sim->now_ns + (uint64_t)ms * MS_NS, .fn = fn, .arg = arg};
    while (after != &sim->events && container_of(after, struct sim_event, node)->at_ns > event->at_ns)
        after = after->prev;
    list_add_head(after, &event->node);
}

uint64_t
sim_next_event_ns(const struct sim *sim)
{
    struct list_node *first = list_first(&sim->events);

    return first ? container_of(first, struct sim_event, node)->at_ns : UINT64_MAX;
}

void
sim_run_events(struct sim *sim)
{
    while (sim_next_event_ns(sim) <= sim->now_ns) {
        struct sim_event event = *container_of(list_first(&sim->events), struct sim_event, node);

        free(container_of(list_pop(&sim->events), struct sim_event, node));
        event.fn(event.arg);
    }
}

/* --- running --- */

void
sim_on_turn(struct sim *sim, void (*turn)(void *arg), void *arg)
{
    sim->turn = turn;
    sim->turn_arg = arg;
}

static void
run_turn(struct sim *sim)
{
    if (sim->turn) {
        sim->turn(sim->turn_arg);
        return;
    }
    ring_wait(sim->ring, TURN_MS);
    ring_reap(sim->ring);
}

/* What the kernel does when a process dies; the listeners are held by the supervisor too. */
static void
bury(struct sim *sim)
{
    ring_sim_abandon(sim->ring);
    for (unsigned i = 0; i < sim->file_slots; i++) {
        struct sim_file *file = sim->files[i];

        if (file && file->kind == SIM_FILE_LISTENER)
            file->closing = false;
        else if (file)
            sim_file_free(sim, file);
    }
}

static bool
run_until(struct sim *sim, bool (*until)(void *arg), void *arg, uint64_t limit_ns)
{
    for (;;) {
        sim->limit_ns = limit_ns;
        if (until && until(arg))
            return true;
        if (sim->now_ns >= limit_ns)
            return false;
        run_turn(sim);
    }
}

enum sim_stop
sim_run(struct sim *sim, bool (*until)(void *arg), void *arg, unsigned limit_ms)
{
    uint64_t limit_ns = sim->now_ns + (uint64_t)limit_ms * MS_NS;
    enum sim_stop stop;
    jmp_buf killed;

    ASSERT(sim->ring && !sim->killed);
    if (setjmp(killed)) {
        bury(sim);
        stop = SIM_KILLED;
    } else {
        sim->killed = &killed;
        stop = run_until(sim, until, arg, limit_ns) ? SIM_REACHED : SIM_TIME_UP;
    }
    sim->killed = NULL;
    sim->limit_ns = UINT64_MAX;
    return stop;
}

/* Two turns in a row in which nothing happened: the first may have given the code under test work to queue.
 */
static bool
is_settled(void *arg)
{
    struct sim *sim = arg;
    uint64_t pending_ns = ring_sim_pending_ns(sim->ring);

    if (pending_ns == UINT64_MAX)
        sim->limit_ns = sim->now_ns;
    else if (pending_ns < sim->limit_ns)
        sim->limit_ns = pending_ns;
    ASSERT(++sim->settle_turns < SETTLE_TURNS_MAX); /* else it never comes to rest */
    if (sim->settle_steps != sim->steps || pending_ns != UINT64_MAX)
        sim->quiet_turns = 0;
    sim->settle_steps = sim->steps;
    return sim->quiet_turns++ >= 2;
}

enum sim_stop
sim_settle(struct sim *sim)
{
    enum { LIMIT_MS = 3600000 }; /* far beyond what any completion is late */

    sim->quiet_turns = sim->settle_turns = 0;
    return sim_run(sim, is_settled, sim, LIMIT_MS);
}

enum sim_stop
sim_advance(struct sim *sim, unsigned ms)
{
    return sim_run(sim, NULL, NULL, ms);
}
