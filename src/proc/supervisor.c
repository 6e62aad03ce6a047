/* SPDX-License-Identifier: Apache-2.0 */
#include "proc/supervisor.h"

#include "base/log.h"
#include "proc/child.h"
#include "proc/generation.h"
#include "proc/log_out.h"
#include "proc/notify.h"
#include "proc/startup_checks.h"
#include "proc/title.h"
#include "stats/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    TICK_MS = 100,     /* how often the seats are looked after when nothing happens */
    BUSY_TICK_MS = 10, /* while log lines come: a ring holds what a busy worker logs in some ten of these */
    START_TICK_MS = 2, /* while a generation is on its way */
    STRANGERS_A_TURN = 64,
    GENERATIONS_ENDING_MAX = 3, /* a reload waits while so many are still draining */
    DYING_MS = 1000,
    DYING_STEP_MS = 10,
    WHY_MAX = 700,
};

enum phase {
    PHASE_STARTING, /* the first generation is on its way; its failure is ours */
    PHASE_SERVING,  /* a generation serves; another may be starting */
    PHASE_DELAYING, /* SIGTERM: not ready, but still accepting until phase_due_ms (--drain-delay) */
    PHASE_DRAINING, /* nothing new is accepted; workers finish */
    PHASE_STOPPING, /* everybody was told to end at once */
    PHASE_ENDED,
};

struct supervisor {
    int argc;
    char **argv;
    struct gateway gateway;
    struct generation *serving, *starting; /* or NULL */
    struct list_node ending;               /* struct generation */
    unsigned ending_count;
    enum phase phase;
    uint64_t phase_due_ms;
    bool reload_wanted;
    bool reload_waits; /* until a generation has ended */
    int signal_fd;
    int exit_status;
};

static uint64_t
now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* --- telling people --- */

/* "listening on A, B (N workers, admin C)" */
static void
describe(struct supervisor *s, const struct generation *g, char *text, size_t size)
{
    struct listeners *set = &s->gateway.listeners;
    size_t len = 0;
    int n;

#define APPEND(...)                                                                                          \
    do {                                                                                                     \
        n = snprintf(text + len, size - len, __VA_ARGS__);                                                   \
        len += (size_t)n < size - len ? (size_t)n : size - len - 1;                                          \
    } while (0)
    for (uint32_t i = 0; i < g->config->listen.count; i++)
        APPEND("%s%s", i ? ", " : "listening on ", listeners_url(set, g->config, i));
    APPEND(" (%u worker%s", g->workers, g->workers == 1 ? "" : "s");
    if (!g->config->admin_off)
        APPEND(", admin %s", listeners_admin_url(set, g->config));
    APPEND(")");
#undef APPEND
}

static void
apply_log_options(const struct config *config)
{
    log_set_level((enum log_level)config->log_level);
    log_out_set_json(config->log_format == LOG_JSON);
}

/* --- generations come and go --- */

static void
move_to_ending(struct supervisor *s, struct generation **g)
{
    list_add_tail(&s->ending, &(*g)->node);
    s->ending_count++;
    *g = NULL;
}

static void
drop_starting(struct supervisor *s, uint64_t now)
{
    if (!s->starting)
        return;
    generation_give_up(s->starting);
    generation_stop(s->starting, now);
    move_to_ending(s, &s->starting);
}

/* Opens listeners and makes a generation of `cfg`, which is taken over. False with why[]. */
static bool
begin_generation(struct supervisor *s, struct cfg_result *cfg, char *why, size_t why_size)
{
    unsigned workers = generation_workers(cfg->config);
    int r = startup_check_descriptors(cfg->config, workers, why, why_size);

    if (r > 0)
        log_warning("%s", why);
    if (r < 0 || listeners_open(&s->gateway.listeners, cfg->config, workers, why, why_size) < 0) {
        cfg_done(cfg);
        return false;
    }
    r = generation_new(&s->gateway, cfg, workers, &s->starting, why, why_size);
    if (r < 0) {
        s->reload_waits = r == -EBUSY;
        return false;
    }
    generation_start(s->starting, now_ms());
    return true;
}

static void
abandon_reload(struct supervisor *s, const char *why)
{
    log_error("reload: %s; the configuration in use stays", why);
    drop_starting(s, now_ms());
    listeners_keep(&s->gateway.listeners, s->serving->config, s->serving->workers);
    notify_send("READY=1");
}

static void
reload(struct supervisor *s)
{
    struct cfg_result cfg;
    char why[WHY_MAX];

    s->reload_wanted = false;
    log_info("reload: reading the configuration");
    notify_reloading();
    if (cfg_load(s->argc, s->argv, &cfg) < 0) {
        const char *text = strncmp(cfg.error, "mcpgate: ", 9) == 0 ? cfg.error + 9 : cfg.error;
        abandon_reload(s, text);
    } else if (!begin_generation(s, &cfg, why, sizeof why)) {
        s->reload_wanted = s->reload_waits;
        abandon_reload(s, why);
    }
}

/* Without a user to become the children keep root's files, whatever rights they drop. */
static void
warn_of_root(const struct supervisor *s)
{
    if (geteuid() == 0 && !s->gateway.user.change)
        log_warning("started by root, and there is no user `mcpgate`: the workers stay root; make it with "
                    "`useradd --system mcpgate`, or start mcpgate as another user");
}

/* The starting generation serves. What only the old one listened on is closed here before the old one is told
 * to drain: a connection that came later would find nobody. */
static void
promote(struct supervisor *s, uint64_t now)
{
    struct generation *old = s->serving;
    char text[CFG_LISTENERS_MAX * 170 + 256];

    s->serving = s->starting;
    s->starting = NULL;
    generation_serve(s->serving, old);
    apply_log_options(s->serving->config);
    listeners_keep(&s->gateway.listeners, s->serving->config, s->serving->workers);
    describe(s, s->serving, text, sizeof text);
    if (old) {
        struct seat *admin = generation_seat(old, ROLE_ADMIN);
        if (admin)
            seat_stop(admin, now); /* its successor answers */
        generation_drain(old, now, (uint32_t)old->config->drain_timeout);
        move_to_ending(s, &old);
        log_info("reloaded: generation %u: %s", s->serving->number, text);
    } else {
        s->phase = PHASE_SERVING;
        warn_of_root(s);
        if (s->serving->config->log_format == LOG_JSON)
            log_info("ready: %s", text);
        else
            log_out_say("ready: %s", text);
    }
    notify_send("READY=1");
}

/* The generation that took over from `g`, or NULL. */
static struct generation *
successor_of(struct supervisor *s, const struct generation *g)
{
    if (s->serving && s->serving->before == g)
        return s->serving;
    list_for_each(node, &s->ending) {
        struct generation *other = container_of(node, struct generation, node);
        if (other->before == g)
            return other;
    }
    return NULL;
}

/* What `g` counted to its end goes to its successor, and from there to the one that serves. */
static void
pass_on(struct supervisor *s, const struct generation *g)
{
    struct generation *heir = successor_of(s, g);

    for (struct generation *next = heir; next; next = successor_of(s, next))
        generation_carry(next);
    if (heir)
        heir->before = NULL;
}

/* Oldest first, since each generation's figures hold those of the one before it. */
static void
free_ended(struct supervisor *s)
{
    list_for_each_safe(node, &s->ending) {
        struct generation *g = container_of(node, struct generation, node);
        if (g->before || !generation_has_ended(g))
            continue;
        generation_drain_logs(g);
        pass_on(s, g);
        list_del(node);
        s->ending_count--;
        s->reload_waits = false;
        if (s->phase >= PHASE_DRAINING)
            segment_finish(g->segment);
        log_debug("generation %u has ended", g->number);
        generation_free(&g);
    }
}

/* --- the end --- */

static void
begin_drain(struct supervisor *s, uint64_t now)
{
    uint32_t ms = (uint32_t)s->serving->config->drain_timeout;

    s->phase = PHASE_DRAINING;
    listeners_keep(&s->gateway.listeners, NULL, 0);
    generation_set_unready(s->serving, now);
    generation_drain(s->serving, now, ms);
    move_to_ending(s, &s->serving);
}

static void
begin_end(struct supervisor *s, uint64_t now)
{
    uint64_t delay = s->serving->config->drain_delay;

    notify_send("STOPPING=1");
    drop_starting(s, now);
    generation_set_unready(s->serving, now);
    s->phase = PHASE_DELAYING;
    s->phase_due_ms = now + delay;
    log_info("told to end: draining");
}

static void
stop_all(struct supervisor *s, uint64_t now)
{
    s->phase = PHASE_STOPPING;
    drop_starting(s, now);
    listeners_keep(&s->gateway.listeners, NULL, 0);
    if (s->serving)
        move_to_ending(s, &s->serving);
    list_for_each(node, &s->ending)
        generation_stop(container_of(node, struct generation, node), now);
}

static void
kill_all(struct supervisor *s)
{
    list_for_each(node, &s->ending) {
        struct generation *g = container_of(node, struct generation, node);
        for (unsigned i = 0; i < g->seat_count; i++)
            seat_kill(&g->seats[i]);
    }
}

static void
on_terminate(struct supervisor *s, uint64_t now)
{
    switch (s->phase) {
    case PHASE_SERVING:
        begin_end(s, now);
        break;
    case PHASE_STARTING:
    case PHASE_DELAYING:
    case PHASE_DRAINING:
        log_info("told to end at once");
        notify_send("STOPPING=1");
        stop_all(s, now);
        break;
    case PHASE_STOPPING:
        kill_all(s);
        break;
    case PHASE_ENDED:
        break;
    }
}

/* --- the loop --- */

static void
step_starting(struct supervisor *s, uint64_t now)
{
    char line[WHY_MAX];

    if (generation_failure(s->starting, line, sizeof line)) {
        generation_drain_logs(s->starting);
        if (s->phase == PHASE_SERVING) {
            abandon_reload(s, line);
            return;
        }
        log_out_say("%s", line);
        s->exit_status = 1;
        stop_all(s, now);
    } else if (generation_is_ready(s->starting)) {
        promote(s, now);
    }
}

/* Looks at where everything stands and takes the next step of the phase. */
static void
step(struct supervisor *s, uint64_t now)
{
    switch (s->phase) {
    case PHASE_STARTING:
        step_starting(s, now);
        break;
    case PHASE_SERVING:
        if (s->starting)
            step_starting(s, now);
        else if (s->reload_wanted && !s->reload_waits && s->ending_count < GENERATIONS_ENDING_MAX)
            reload(s);
        break;
    case PHASE_DELAYING:
        if (now >= s->phase_due_ms)
            begin_drain(s, now);
        break;
    case PHASE_DRAINING:
    case PHASE_STOPPING:
    case PHASE_ENDED:
        break;
    }
    free_ended(s);
    if (s->phase >= PHASE_DRAINING && list_empty(&s->ending))
        s->phase = PHASE_ENDED;
}

static void
read_signals(struct supervisor *s, uint64_t now)
{
    struct signalfd_siginfo info;

    while (read(s->signal_fd, &info, sizeof info) == (ssize_t)sizeof info) {
        if (info.ssi_signo == SIGHUP)
            s->reload_wanted = true;
        else
            on_terminate(s, now);
    }
}

struct poll_set {
    unsigned count;
    struct pollfd fds[1 + 2 * SLOTS_MAX];
};

static void
watch_generation(struct poll_set *set, const struct generation *g)
{
    for (unsigned i = 0; g && i < g->seat_count; i++) {
        const struct spawned *child = &g->seats[i].child;

        set->fds[set->count++] = (struct pollfd){child->pidfd, POLLIN, 0}; /* -1 is passed over */
        set->fds[set->count++] = (struct pollfd){child->control_fd, POLLIN, 0};
    }
}

static void
serve_generation(struct generation *g, uint64_t now, uint64_t elapsed)
{
    for (unsigned i = 0; g && i < g->seat_count; i++) {
        seat_read_control(&g->seats[i], now);
        seat_reap(&g->seats[i], now);
    }
    if (g)
        generation_tick(g, now, elapsed);
}

static bool
is_known(const struct generation *g, pid_t pid)
{
    for (unsigned i = 0; g && i < g->seat_count; i++)
        if (g->seats[i].child.pid == pid)
            return true;
    return g && kept_has(&g->kept, pid);
}

/* Servers whose spawn process died, and what they started, are ours as a subreaper. A server that is kept
 * stays a zombie until spawn has said that it is gone: its number is that of its group, which may not pass to
 * somebody else before. */
static void
reap_strangers(struct supervisor *s)
{
    siginfo_t info;

    for (unsigned n = 0; n < STRANGERS_A_TURN; n++) {
        info.si_pid = 0;
        if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) || !info.si_pid)
            return;
        bool known = is_known(s->serving, info.si_pid) || is_known(s->starting, info.si_pid);
        list_for_each(node, &s->ending)
            known |= is_known(container_of(node, struct generation, node), info.si_pid);
        if (known || waitid(P_PID, (id_t)info.si_pid, &info, WEXITED | WNOHANG))
            return;
    }
}

static unsigned
drain_logs(struct supervisor *s)
{
    unsigned lines = s->serving ? generation_drain_logs(s->serving) : 0;

    if (s->starting)
        lines += generation_drain_logs(s->starting);
    list_for_each(node, &s->ending)
        lines += generation_drain_logs(container_of(node, struct generation, node));
    log_out_flush();
    return lines;
}

static void
loop(struct supervisor *s)
{
    static struct poll_set set;
    uint64_t last = now_ms();
    unsigned lines = 0;

    while (s->phase != PHASE_ENDED) {
        set.count = 0;
        set.fds[set.count++] = (struct pollfd){s->signal_fd, POLLIN, 0};
        watch_generation(&set, s->serving);
        watch_generation(&set, s->starting);
        list_for_each(node, &s->ending)
            watch_generation(&set, container_of(node, struct generation, node));
        poll(set.fds, set.count, s->starting ? START_TICK_MS : lines ? BUSY_TICK_MS : TICK_MS);

        uint64_t now = now_ms(), elapsed = now - last;
        last = now;
        read_signals(s, now);
        serve_generation(s->serving, now, elapsed);
        serve_generation(s->starting, now, elapsed);
        list_for_each(node, &s->ending)
            serve_generation(container_of(node, struct generation, node), now, elapsed);
        reap_strangers(s);
        step(s, now);
        lines = drain_logs(s);
    }
}

/* --- setting up --- */

static void
open_standard_fds(void)
{
    int fd;

    while ((fd = open("/dev/null", O_RDWR | O_CLOEXEC)) >= 0 && fd <= STDERR_FILENO)
        ;
    if (fd >= 0)
        close(fd);
}

static int
open_signals(void)
{
    sigset_t set;

    signal(SIGCHLD, SIG_DFL); /* ignored, it would take the children's ends away from us */
    signal(SIGPIPE, SIG_IGN);
    sigemptyset(&set);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigprocmask(SIG_BLOCK, &set, NULL);
    return signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

/* The directory of the key file, when it is ours to make. */
static int
make_state_dir(const struct config *config, char *why, size_t why_size)
{
    const char *path = cfg_text(config, config->state_dir).at;
    int r = run_dir_make(path);

    if (r < 0)
        snprintf(why, why_size, "cannot use the state directory %s: %s: choose another with --state-dir",
                 path, strerror(-r));
    return r;
}

/* The session tables of all workers, with what an earlier run left in them. */
static int
open_sessions(struct gateway *gateway, const struct config *config, char *why, size_t why_size)
{
    const char *dir = cfg_text(config, config->state_dir).at;
    char note[WHY_MAX];
    int r = session_table_open(dir, generation_workers(config), (uint32_t)config->max_sessions, gateway->node,
                               &gateway->sessions, note, sizeof note);

    if (r == -EBUSY)
        snprintf(why, why_size,
                 "another gateway keeps its sessions in %s: choose another place with --state-dir", dir);
    else if (r < 0)
        snprintf(
            why, why_size,
            "cannot keep the sessions in %s: %s: make room, lower --max-sessions, or choose another place "
            "with --state-dir",
            dir, strerror(-r));
    else if (note[0])
        log_warning("%s", note);
    if (r == 0)
        gateway->node = session_table_node(gateway->sessions);
    return r;
}

/* The journal of all workers, with what an earlier run left in it. */
static int
open_journal(struct gateway *gateway, const struct config *config, char *why, size_t why_size)
{
    const char *dir = cfg_text(config, config->state_dir).at;
    char note[WHY_MAX];
    int r;

    if (!config->journal_size) {
        r = journal_remove(dir);
        if (r < 0)
            log_warning("cannot remove the journal of an earlier run in %s: %s", dir, strerror(-r));
        return 0;
    }
    r = journal_open(dir, generation_workers(config), config->journal_size, &gateway->journal, note,
                     sizeof note);
    if (r < 0)
        snprintf(
            why, why_size,
            "cannot keep the journal in %s: %s: make room, lower --journal-size, or choose another place "
            "with --state-dir",
            dir, strerror(-r));
    else if (note[0])
        log_warning("%s", note);
    return r;
}

/* The children of a gateway that was killed are killed with it, but some milliseconds pass until they have
 * ended; as long their listeners are in use. begin_generation() says what is in use for longer. */
static void
wait_for_the_dead(struct supervisor *s, const struct config *config)
{
    unsigned workers = generation_workers(config);
    char why[WHY_MAX];

    for (unsigned ms = 0; s->gateway.dir.was_left && ms < DYING_MS; ms += DYING_STEP_MS) {
        if (listeners_open(&s->gateway.listeners, config, workers, why, sizeof why) != -EADDRINUSE)
            return;
        poll(NULL, 0, DYING_STEP_MS);
    }
}

static bool
set_up(struct supervisor *s, struct cfg_result *cfg, char *why, size_t why_size)
{
    const char *run_dir = cfg_text(cfg->config, cfg->config->run_dir).at;

    if (getrandom(&s->gateway.node, sizeof s->gateway.node, 0) != (ssize_t)sizeof s->gateway.node ||
        (s->signal_fd = open_signals()) < 0) {
        snprintf(why, why_size, "cannot start: %s", strerror(errno));
        cfg_done(cfg);
        return false;
    }
    s->gateway.user = rights_child_user();
    if (run_dir_open(&s->gateway.dir, run_dir, &s->gateway.user, why, why_size) < 0 ||
        make_state_dir(cfg->config, why, why_size) < 0 ||
        open_sessions(&s->gateway, cfg->config, why, why_size) < 0 ||
        open_journal(&s->gateway, cfg->config, why, why_size) < 0) {
        cfg_done(cfg);
        return false;
    }
    wait_for_the_dead(s, cfg->config);
    return begin_generation(s, cfg, why, why_size);
}

int
supervisor_run(int argc, char **argv, struct cfg_result *cfg)
{
    static struct supervisor s; /* large: listeners and slot numbers */
    char why[WHY_MAX] = "";

    title_set("mcpgate", "mcpgate: supervisor", argc, argv);
    s.argc = argc;
    s.argv = argv;
    s.gateway.pid = getpid();
    s.gateway.dir.lock_fd = -1;
    list_init(&s.ending);
    open_standard_fds();
    child_cloexec_from(STDERR_FILENO + 1);
    notify_open();
    log_out_open();
    apply_log_options(cfg->config);
    rights_raise_limits();
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    if (set_up(&s, cfg, why, sizeof why)) {
        loop(&s);
    } else {
        log_out_say("%s", why);
        s.exit_status = 1;
    }
    listeners_keep(&s.gateway.listeners, NULL, 0);
    journal_close(&s.gateway.journal);
    session_table_close(&s.gateway.sessions);
    run_dir_close(&s.gateway.dir);
    if (s.exit_status == 0)
        log_info("ended");
    return s.exit_status;
}
