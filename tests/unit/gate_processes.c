/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Servers on stdin and stdout, on a whole worker in the simulator: the test plays spawn and the processes.
 * What outlives a worker, what is answered to whom, and random runs in which workers and processes die.
 *
 * SIM_SEEDS=n runs n seeds, SIM_SEED=n that one.
 */
#include "gate/stdio_pool.h"
#include "gate_world.h"
#include "ipc/channel.h"

#include <stdlib.h>
#include <unistd.h>

/* Of the leak sanitizer (sanitizer/lsan_interface.h); absent in other builds. What a killed life holds is
 * lost with it, as that of a process would be: no leak. */
void __lsan_disable(void) __attribute__((weak));
void __lsan_enable(void) __attribute__((weak));

enum { PROCESSES_MAX = 256, HELD_MAX = 32, TEXT_MAX = 16384 };

/* --- processes, and spawn --- */

struct process {
    uint64_t server; /* spawn's id */
    uint8_t label[SPAWN_LABEL_BYTES];
    struct sim_peer *peer;                                     /* its stdin and stdout; NULL: it has ended */
    unsigned greetings;                                        /* initialize */
    unsigned long long held[HELD_MAX], held_secrets[HELD_MAX]; /* calls that it has not answered */
    unsigned held_count;
    unsigned long long last_call;
    bool holds; /* calls: answered by answer_held() */
};

static struct process processes[PROCESSES_MAX];
static unsigned process_count, starts;
static int spawn_fds[2] = {-1, -1};
static bool is_modern;

static void
tell(enum spawn_event_kind kind, struct process *p, uint32_t sequence)
{
    struct spawn_event event = {.kind = kind,
                                .epoch = world.worker->child->h.epoch,
                                .sequence = sequence,
                                .server = p ? p->server : 0};
    int fd = -1;

    if (world.is_killed) /* there is nobody to tell */
        return;
    if (p)
        memcpy(event.label, p->label, sizeof event.label);
    if (kind == SPAWN_STARTED || kind == SPAWN_OWNED)
        fd = sim_pair(world.sim, &p->peer);
    stdio_take_event(world.worker, &event, fd);
}

static void
end_process(struct process *p)
{
    if (!p->peer)
        return;
    sim_peer_close(p->peer);
    p->peer = NULL;
    tell(SPAWN_EXITED, p, 0);
}

static struct process *
process_of(uint64_t server)
{
    for (unsigned i = 0; i < process_count; i++)
        if (processes[i].server == server)
            return &processes[i];
    return NULL;
}

/* What the worker asked of spawn. */
static void
serve_spawn(void)
{
    struct spawn_request request;
    unsigned no_fds = 0;
    struct process *p;

    while (!world.is_killed &&
           channel_receive(spawn_fds[1], &request, sizeof request, NULL, &no_fds) == sizeof request) {
        switch (request.kind) {
        case SPAWN_START:
            cr_assert_lt(process_count, PROCESSES_MAX);
            p = &processes[process_count++];
            *p = (struct process){.server = process_count};
            starts++;
            tell(SPAWN_STARTED, p, request.sequence);
            break;
        case SPAWN_STOP:
            if ((p = process_of(request.server)) && p->peer) {
                sim_peer_close(p->peer);
                p->peer = NULL;
            }
            break;
        default:
            if ((p = process_of(request.server)))
                memcpy(p->label, request.label, sizeof p->label);
        }
    }
}

static void
open_spawn(void)
{
    for (unsigned i = 0; i < 2; i++)
        if (spawn_fds[i] >= 0)
            close(spawn_fds[i]); /* [0] was a dead worker's */
    cr_assert_eq(channel_pair(spawn_fds), 0);
    stdio_set_channel(world.worker, spawn_fds[0]);
}

/* The next worker of the slot hears what the one before has left. */
static void
tell_owned(void)
{
    for (unsigned i = 0; i < process_count; i++)
        if (processes[i].peer)
            tell(SPAWN_OWNED, &processes[i], 0);
    tell(SPAWN_SYNC, NULL, 0);
    settle();
}

static void
answer_call(struct process *p, unsigned long long id, unsigned long long secret)
{
    if (p->peer)
        say(p->peer,
            "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":{\"content\":[{\"type\":\"text\",\"text\":\"secret-%"
            "llu\"}]}}\n",
            id, secret);
}

static void
answer_held(struct process *p)
{
    for (unsigned i = 0; i < p->held_count; i++)
        answer_call(p, p->held[i], p->held_secrets[i]);
    p->held_count = 0;
}

static void
take_line(struct process *p, const char *line)
{
    const char *at = strstr(line, "\"id\":"), *secret = strstr(line, "secret-");
    unsigned long long id = at ? strtoull(at + 5, NULL, 10) : 0;

    if (strstr(line, "\"server/discover\""))
        say(p->peer,
            is_modern
                ? "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":{\"resultType\":\"complete\","
                  "\"supportedVersions\":"
                  "[\"2026-07-28\"],\"capabilities\":{\"tools\":{}},\"ttlMs\":0,\"cacheScope\":\"public\"}}\n"
                : "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"error\":{\"code\":-32601,\"message\":\"no\"}}\n",
            id);
    else if (strstr(line, "\"initialize\"")) {
        p->greetings++;
        say(p->peer,
            "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":{\"protocolVersion\":\"2025-11-25\","
            "\"capabilities\":{"
            "\"tools\":{},\"logging\":{}}}}\n",
            id);
    } else if (strstr(line, "\"tools/call\"")) {
        p->last_call = id;
        if (!p->holds) {
            answer_call(p, id, secret ? strtoull(secret + 7, NULL, 10) : 0);
        } else if (p->held_count < HELD_MAX) {
            p->held[p->held_count] = id;
            p->held_secrets[p->held_count++] = secret ? strtoull(secret + 7, NULL, 10) : 0;
        }
    }
}

static void
read_process(struct process *p)
{
    static char text[TEXT_MAX];
    size_t len = sim_peer_read(p->peer, text, sizeof text - 1);

    text[len] = '\0';
    for (char *line = strtok(text, "\n"); line && p->peer; line = strtok(NULL, "\n"))
        take_line(p, line);
}

static void
serve_all(void)
{
    for (unsigned i = 0; i < 6; i++) {
        settle();
        serve_spawn();
        for (unsigned k = 0; k < process_count && !world.is_killed; k++)
            if (processes[k].peer)
                read_process(&processes[k]);
    }
    settle();
}

/* --- clients --- */

#define REVISION "MCP-Protocol-Version: 2025-06-18\r\n"
#define INITIALIZE                                                                                           \
    "{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"initialize\",\"params\":{\"protocolVersion\":\"2025-06-"     \
    "18\","                                                                                                  \
    "\"capabilities\":{},\"clientInfo\":{\"name\":\"c\",\"version\":\"1\"}}}"

static void
leaks_count(bool on)
{
    if (on ? __lsan_enable : __lsan_disable)
        (on ? __lsan_enable : __lsan_disable)();
}

/* Of a worker that will be killed. */
static void
open_processes(uint64_t seed, const char *flag, const char *value)
{
    leaks_count(false);
    process_count = starts = 0;
    spawn_fds[0] = -1; /* it was closed with its worker */
    memset(processes, 0, sizeof processes);
    world_open(seed, "--upstream", "up=stdio:server", "--era-ttl", "1h", flag, value, NULL);
    open_spawn();
    tell(SPAWN_SYNC, NULL, 0);
}

static void
open_session(char fields[1024])
{
    struct sim_peer *client = client_new();
    struct message *m;

    post(client, MCP_ACCEPT, INITIALIZE);
    serve_all();
    m = reply_of(client);
    cr_assert_eq(m->status, 200);
    snprintf(fields, 1024, MCP_ACCEPT REVISION "Mcp-Session-Id: %s\r\n", field(m, "Mcp-Session-Id"));
}

static struct sim_peer *
call(const char *fields, unsigned secret)
{
    struct sim_peer *client = client_new();
    char body[256];

    snprintf(body, sizeof body,
             "{\"jsonrpc\":\"2.0\",\"id\":%u,\"method\":\"tools/"
             "call\",\"params\":{\"name\":\"t\",\"arguments\":{\"s\":"
             "\"secret-%u\"}}}",
             secret, secret);
    post(client, fields, body);
    serve_all();
    return client;
}

static void
expect_secret(struct sim_peer *client, unsigned secret)
{
    struct message *m = reply_of(client);
    char text[32];

    snprintf(text, sizeof text, "\"secret-%u\"", secret);
    cr_assert(m->status == 200 && strstr(m->body, text), "%d %s", m->status, m->body);
}

/* The one that has a session: probes are other processes. */
static struct process *
greeted(unsigned n)
{
    for (unsigned i = 0; i < process_count; i++)
        if (processes[i].greetings && !n--)
            return &processes[i];
    return NULL;
}

static void
die(void)
{
    world_kill();
    leaks_count(true);
    open_spawn();
}

Test(processes, a_sessions_process_outlives_the_worker_and_is_greeted_once)
{
    char fields[1024];
    unsigned long long first;
    struct process *p;

    open_processes(1, "--stdio-max", "9");
    open_session(fields);
    expect_secret(call(fields, 1), 1);
    p = greeted(0);
    first = p->last_call;
    die();
    tell_owned();
    starts = 0;
    expect_secret(call(fields, 2), 2);
    cr_assert_eq(starts, 0, "its era is known by having been greeted");
    cr_assert_eq(p->greetings, 1);
    cr_assert_neq(p->last_call, first, "it sees no id twice");
    world_close();
}

Test(processes, nothing_is_started_before_it_is_known_what_a_dead_worker_left)
{
    char fields[1024];
    struct sim_peer *client;

    open_processes(1, "--stdio-max", "9");
    open_session(fields);
    die();
    starts = 0;
    client = call(fields, 3);
    cr_assert_eq(starts, 0);
    cr_assert_null(try_reply(client));
    tell_owned();
    serve_all();
    expect_secret(client, 3);
    cr_assert_eq(starts, 0);
    world_close();
}

Test(processes, a_delete_ends_the_process_that_a_dead_worker_left)
{
    char fields[1024];
    struct sim_peer *client;

    open_processes(1, "--stdio-max", "9");
    open_session(fields);
    die();
    tell_owned();
    client = client_new();
    say(client, "DELETE /mcp/up HTTP/1.1\r\nHost: x\r\n%s\r\n", fields);
    serve_all();
    cr_assert_eq(reply_of(client)->status, 200);
    cr_assert_null(greeted(0)->peer);
    world_close();
}

Test(processes, without_word_of_what_is_left_a_call_does_not_wait_for_ever)
{
    char fields[1024];
    struct sim_peer *client;

    open_processes(1, "--stdio-max", "9");
    open_session(fields);
    die();
    for (unsigned i = 0; i < process_count; i++) /* all is gone, and nobody says so */
        processes[i].peer = NULL;
    client = call(fields, 4);
    for (unsigned i = 0; i < 8; i++) {
        advance(1000);
        serve_all();
    }
    expect_secret(client, 4);
    world_close();
}

Test(processes, an_answer_to_a_call_of_the_dead_worker_is_dropped)
{
    char fields[1024];
    struct process *p;
    struct sim_peer *client;

    open_processes(1, "--stdio-max", "9");
    open_session(fields);
    p = greeted(0);
    p->holds = true;
    call(fields, 5);
    die();
    tell_owned();
    client = call(fields, 6);
    cr_assert_eq(p->held_count, 2, "the first is not asked again");
    p->held_count = 1;
    answer_held(p);
    cr_assert_null(try_reply(client));
    p->held[0] = p->last_call;
    p->held_secrets[0] = 6;
    p->held_count = 1;
    answer_held(p);
    expect_secret(client, 6);
    world_close();
}

Test(processes, a_log_message_of_a_shared_process_goes_to_the_one_call_or_to_nobody)
{
    static const char log[] =
        "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":{\"level\":"
        "\"info\",\"data\":\"log\"}}\n";
    char a[1024], b[1024];
    struct sim_peer *streams[2], *client, *other;
    struct process *p;

    open_processes(1, "--stdio-share", "shared");
    open_session(a);
    open_session(b);
    cr_assert_null(greeted(1), "there is one process for both");
    for (unsigned i = 0; i < 2; i++) {
        streams[i] = client_new();
        get(streams[i], "/mcp/up", i ? b : a);
        settle();
    }
    p = greeted(0);
    p->holds = true;
    say(p->peer, "%s", log);
    client = call(a, 7);
    say(p->peer, "%s", log);
    cr_assert(has(client, "\"log\""));
    other = call(b, 8);
    say(p->peer, "%s", log);
    answer_held(p);
    cr_assert(has(client, "secret-7") && has(other, "secret-8"));
    cr_assert_not(has(other, "\"log\""));
    cr_assert_not(has(streams[0], "\"log\"") || has(streams[1], "\"log\""));
    world_close();
}

/* --- at random --- */

enum { CLIENTS = 8, SESSIONS = 4, STEPS = 150 };

static struct {
    struct sim_peer *peer;
    unsigned secret;
} clients[CLIENTS];
static char sessions[SESSIONS][1024];
static unsigned secrets;

static uint64_t
any(uint64_t n)
{
    return sim_random(world.sim, n);
}

static void
read_client(unsigned i)
{
    char text[TEXT_MAX];
    size_t len = sim_peer_read(clients[i].peer, text, sizeof text - 1);
    const char *at, *end;

    text[len] = '\0';
    for (at = text; (at = strstr(at, "secret-")); at++)
        cr_assert_eq(strtoul(at + 7, NULL, 10), clients[i].secret, "%s", text);
    if ((at = strstr(text, "Mcp-Session-Id: ")) && (end = strchr(at, '\r')))
        snprintf(sessions[any(SESSIONS)], sizeof sessions[0], MCP_ACCEPT REVISION "%.*s\r\n", (int)(end - at),
                 at);
}

static void
client_step(unsigned i)
{
    const char *session = sessions[any(SESSIONS)];
    char body[256], fields[1100];

    if (clients[i].peer) {
        read_client(i);
        if (!any(3))
            sim_peer_reset(clients[i].peer);
    }
    clients[i].peer = client_new();
    clients[i].secret = ++secrets;
    snprintf(body, sizeof body,
             "{\"jsonrpc\":\"2.0\",\"id\":%u,\"method\":\"tools/"
             "call\",\"params\":{\"name\":\"t\",\"arguments\":{\"s\":"
             "\"secret-%u\"}%s}}",
             secrets, secrets, is_modern ? "," MODERN_META : "");
    snprintf(fields, sizeof fields,
             MCP_ACCEPT "MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\nMcp-Name: t\r\n");
    if (is_modern && any(2))
        post(clients[i].peer, fields, body);
    else if (!session[0] || !any(5))
        post(clients[i].peer, MCP_ACCEPT, INITIALIZE);
    else if (!any(12))
        say(clients[i].peer, "DELETE /mcp/up HTTP/1.1\r\nHost: x\r\n%s\r\n", session);
    else
        post(clients[i].peer, session, body);
}

static void
process_step(struct process *p)
{
    if (!p->peer)
        return;
    p->holds = any(2);
    switch (any(40)) {
    case 0:
        end_process(p);
        break;
    case 1:
        say(p->peer, "junk\n{\"jsonrpc\":\"2.0\",\"id\":4711,\"result\":{}}\n\n");
        break;
    case 2:
    case 3:
    case 4:
        answer_held(p);
        break;
    default:
        break;
    }
}

static void
meet_next_worker(void)
{
    sim_kill_at(world.sim, 0);
    world_next_life();
    memset(clients, 0, sizeof clients);
    open_spawn();
    if (any(2))
        advance((unsigned)any(300));
    tell_owned();
}

static void
run(uint64_t seed)
{
    static const char *const shares[] = {"session", "shared"};

    secrets = 0;
    is_modern = seed % 3 == 0;
    memset(clients, 0, sizeof clients);
    memset(sessions, 0, sizeof sessions);
    open_processes(seed, "--stdio-share", shares[seed % 2]);
    if (seed % 4 < 2)
        sim_faults_random(world.sim);
    for (unsigned i = 0; i < STEPS && process_count < PROCESSES_MAX - 16; i++) {
        if (!any(10))
            sim_kill_at(world.sim, sim_steps(world.sim) + 1 + any(60));
        client_step((unsigned)any(CLIENTS));
        serve_all();
        for (unsigned k = 0; k < process_count && !world.is_killed; k++)
            process_step(&processes[k]);
        if (!any(3))
            advance((unsigned)any(400));
        if (world.is_killed)
            meet_next_worker();
    }
    sim_kill_at(world.sim, 0);
    for (unsigned i = 0; i < process_count; i++)
        cr_assert_leq(processes[i].greetings, 1, "a process is greeted once");
    world_close_after((unsigned)any(3) * 1000);
    is_modern = false;
    leaks_count(true);
}

Test(processes, survive_random_deaths_of_workers_and_are_survived, .timeout = 280)
{
    const char *one = getenv("SIM_SEED"), *count = getenv("SIM_SEEDS");
    unsigned seeds = count ? (unsigned)atoi(count) : 60;

    for (unsigned i = 1; i <= seeds && !one; i++) {
        if (getenv("SIM_LOG"))
            fprintf(stderr, "seed %u\n", i);
        run(i);
    }
    if (one)
        run(strtoull(one, NULL, 10));
}
