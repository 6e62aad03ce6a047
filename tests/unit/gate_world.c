/* SPDX-License-Identifier: Apache-2.0 */
#include "gate_world.h"

#include "base/log.h"
#include "cfg/cfg.h"
#include "journal/journal.h"
#include "journal/session_table.h"
#include "stats/segment.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { ARGS_MAX = 48, UPSTREAM_ROWS = 8 };

struct world world;

/* server_asked_for(): those that it has seen. */
enum { SERVERS_MAX = 16 };
static struct sim_peer *servers[SERVERS_MAX];
static unsigned server_count;

static struct life {
    struct worker worker;
    struct life *before; /* one that was killed; what it had stays reachable, as its process would keep it */
} * life;
static struct child child;
static struct cfg_result cfg;
static const struct key_ring keys = {.keys = {{.id = 1, .key = "thirty-two bytes of no secrecy."}}};
static char dir[64];
static int segment_fd;
static struct session_table *sessions;
static struct journal *journal;

/* --- the world --- */

static void
turn(void *arg)
{
    (void)arg;
    if (!worker_turn(world.worker, 500))
        world.drained = true;
    if (world.worker->net.stats.queued_bytes > world.queued_max)
        world.queued_max = world.worker->net.stats.queued_bytes;
}

static void
load_config(va_list args)
{
    /* No probes: upstreams see what the test sends. */
    const char *argv[ARGS_MAX] = {
        "mcpgate", "--listen",  "10.0.0.1:80", "--admin",        "off", "--run-dir", dir, "--state-dir",
        dir,       "--era-ttl", "0",           "--journal-size", "1m"};
    int argc = 13;

    while ((argv[argc] = va_arg(args, const char *))) {
        argc++;
        cr_assert_lt(argc, ARGS_MAX);
    }
    cr_assert_eq(cfg_load(argc, (char **)(uintptr_t)argv, &cfg), 0, "%s", cfg.error);
}

static void
open_segment(void)
{
    struct segment_config sc = {.generation = 1,
                                .slots = 1,
                                .upstreams = UPSTREAM_ROWS,
                                .supervisor_pid = getpid(),
                                .version = "test"};
    const struct config *c = cfg.config;

    cr_assert_eq(segment_create(dir, &sc, &child.segment, &segment_fd), 0);
    for (uint32_t i = 0; i < c->upstreams.count; i++)
        segment_name_upstream(child.segment, i, cfg_string(c, cfg_upstream(c, i)->name));
    segment_name_upstream(child.segment, c->upstreams.count, "~home"); /* as the supervisor does */
    child.slot = segment_assign_slot(child.segment, 0, "worker");
    stats_slot_begin(child.slot, 1, getpid());
}

static void
open_sessions(void)
{
    char note[240];

    cr_assert_eq(
        session_table_open(dir, 1, (uint32_t)cfg.config->max_sessions, 1, &sessions, note, sizeof note), 0);
    session_table_set_alive(sessions, 0, 1);
    session_table_assign(sessions, 0, 0);
    child.fds[FD_SESSIONS] = session_table_fd(sessions);
    child.h.node = 1;
}

static void
open_journal(void)
{
    char note[240];

    if (!cfg.config->journal_size)
        return;
    cr_assert_eq(journal_open(dir, 1, cfg.config->journal_size, &journal, note, sizeof note), 0);
    child.fds[FD_JOURNAL] = journal_fd(journal);
}

static void
serve_addresses(void)
{
    for (unsigned i = 2; i < 6; i++) {
        char address[20];

        snprintf(address, sizeof address, "10.0.0.%u:80", i);
        sim_serve(world.sim, address, SIM_ACCEPT);
    }
    sim_serve(world.sim, "10.0.0.8:80", SIM_REFUSE);
    sim_serve(world.sim, "10.0.0.9:80", SIM_HANG);
}

static void
open_worker(void)
{
    char why[240] = "";
    struct life *next = calloc(1, sizeof *next);

    cr_assert_not_null(next);
    next->before = life;
    life = next;
    world.worker = &life->worker;
    cr_assert_eq(worker_open(world.worker, &child, false, why, sizeof why), 0, "%s", why);
}

void
world_open(uint64_t seed, ...)
{
    va_list args;

    server_count = 0;
    snprintf(dir, sizeof dir, "/tmp/mcpgate-test-XXXXXX");
    cr_assert(mkdtemp(dir));
    va_start(args, seed);
    load_config(args);
    va_end(args);
    log_set_level(LOG_ERROR);
    child = (struct child){.h = {.magic = HANDOVER_MAGIC, .role = ROLE_WORKER, .epoch = 1, .listeners = 1},
                           .control_fd = -1,
                           .config = cfg.config,
                           .keys = &keys};
    for (unsigned i = 0; i < HANDOVER_FDS; i++)
        child.fds[i] = -1;
    open_segment();
    open_sessions();
    open_journal();
    world = (struct world){.sim = sim_open(seed, NULL), .stats = child.slot};
    world.listener = child.listeners[0] = sim_listen(world.sim, "10.0.0.1:80");
    serve_addresses();
    sim_on_turn(world.sim, turn, NULL);
    open_worker();
}

/* --- the books --- */

uint64_t
counter(enum stat_id id)
{
    return stats_get(world.stats, id);
}

uint64_t
up_counter(enum upstat id)
{
    return stats_load(&stats_row(world.stats, 0)->stats[id]);
}

uint64_t
traffic(enum trstat id, enum link_side side, enum transport t)
{
    return world.stats->transports[id][side][t];
}

uint64_t
closed_by(enum close_reason reason)
{
    return stats_load(&world.stats->closed[reason]);
}

static uint64_t
requests_by_status(void)
{
    uint64_t n = 0;

    for (unsigned m = 0; m < STATS_HTTP_METHODS; m++)
        for (unsigned s = 0; s < STATUSES; s++)
            n += world.stats->requests[m][s];
    return n;
}

static void
check_upstream_gauges(void)
{
    static const enum upstat zero[] = {UPSTAT_up_connections, UPSTAT_up_idle, UPSTAT_up_waiting,
                                       UPSTAT_up_streams};

    for (uint32_t u = 0; u < cfg.config->upstreams.count; u++)
        for (unsigned i = 0; i < sizeof zero / sizeof *zero; i++)
            cr_assert_eq(world.stats->rows[u].stats[zero[i]], 0, "upstream %u, gauge %u", u, zero[i]);
}

/* Of a worker that lives and has nothing to do, and of one that the supervisor has buried. */
static void
check_books(void)
{
    static const enum stat_id zero[] = {STAT_connections_open, STAT_connections_idle, STAT_exchanges_open,
                                        STAT_streams_open,     STAT_tunnels_open,     STAT_queued_bytes,
                                        STAT_slab_bytes};

    for (unsigned i = 0; i < sizeof zero / sizeof *zero; i++)
        cr_assert_eq(counter(zero[i]), 0, "gauge %u is %llu", zero[i], (unsigned long long)counter(zero[i]));
    cr_assert_eq(counter(STAT_requests_begun), counter(STAT_exchanges_finished));
    cr_assert_eq(counter(STAT_requests_begun), requests_by_status() + closed_by(CLOSE_WORKER_DIED));
    cr_assert_eq(counter(STAT_connections_accepted), counter(STAT_connections_closed));
    cr_assert_eq(counter(STAT_buffers_taken), counter(STAT_buffers_returned));
    cr_assert_eq(counter(STAT_slab_taken), counter(STAT_slab_returned));
    cr_assert_eq(world.stats->stream_free_count, STATS_STREAMS);
    for (unsigned side = 0; side < LINK_SIDES; side++)
        for (unsigned t = 0; t < TRANSPORTS; t++)
            cr_assert_eq(traffic(TRSTAT_transport_queued, (enum link_side)side, (enum transport)t), 0,
                         "queued, side %u, transport %u", side, t);
    check_upstream_gauges();
}

void
world_next_life(void)
{
    stats_slot_died(child.slot);
    check_books();
    stats_slot_begin(child.slot, ++child.h.epoch, getpid());
    session_table_set_alive(sessions, 0, child.h.epoch);
    world.is_killed = false;
    open_worker();
}

/* Of the leak sanitizer (sanitizer/lsan_interface.h); absent in other builds. */
void __lsan_disable(void) __attribute__((weak));
void __lsan_enable(void) __attribute__((weak));

void
world_mortal(bool on)
{
    void (*act)(void) = on ? __lsan_disable : __lsan_enable;

    if (act)
        act();
}

static bool
is_drained(void *arg)
{
    (void)arg;
    return world.drained;
}

void
world_close_after(unsigned ms)
{
    struct life *ended = life;
    char command[100];

    worker_drain(world.worker, ms);
    cr_assert_eq(sim_run(world.sim, is_drained, NULL, ms + 10000), SIM_REACHED, "the worker does not drain");
    for (unsigned f = 0; f < SIM_FAULTS; f++)
        sim_set_fault(world.sim, f, 0);
    settle();
    check_books();
    worker_close(world.worker);
    life = ended->before;
    free(ended);
    journal_close(&journal);
    session_table_close(&sessions);
    segment_unmap(&child.segment);
    close(segment_fd);
    cfg_done(&cfg);
    snprintf(command, sizeof command, "rm -r %s", dir);
    cr_assert_eq(system(command), 0);
    sim_close(&world.sim);
}

void
world_close(void)
{
    world_close_after(100);
}

void
settle(void)
{
    if (!world.is_killed)
        world.is_killed = sim_settle(world.sim) == SIM_KILLED;
}

void
advance(unsigned ms)
{
    if (!world.is_killed)
        world.is_killed = sim_advance(world.sim, ms) == SIM_KILLED;
}

void
world_kill(void)
{
    sim_kill_at(world.sim, sim_steps(world.sim) + 1);
    client_new(); /* something to do, of which it dies */
    advance(1000);
    cr_assert(world.is_killed);
    sim_kill_at(world.sim, 0);
    world_next_life();
}

/* --- messages --- */

static struct message message;
static const struct http1_limits limits = {.line = 8192, .head = 32768, .headers = 100};

/* False: not whole. */
static bool
decode_body(const struct http1_head *head, const char *at, size_t len, bool eof, size_t *ret_used)
{
    struct http1_body body;
    struct http1_piece piece;
    enum http1_body_event event = BODY_DATA;
    size_t used = 0;

    message.body_len = 0;
    http1_body_init(&body, (enum http1_framing)head->framing, head->length);
    while (event != BODY_MORE && event != BODY_END) {
        event = http1_body_next(&body, at + used, (uint32_t)(len - used), &piece);
        cr_assert_neq(event, BODY_BAD, "a malformed body: %.200s", at);
        if (event == BODY_DATA) {
            cr_assert_leq(message.body_len + piece.data.len, BODY_MAX);
            memcpy(message.body + message.body_len, at + used + piece.data.off, piece.data.len);
            message.body_len += piece.data.len;
        }
        used += piece.used;
    }
    message.body[message.body_len] = '\0';
    *ret_used = used;
    return event == BODY_END || (eof && (head->framing == FRAMING_CLOSE)) || head->framing == FRAMING_TUNNEL;
}

static void
take(struct sim_peer *peer, size_t count)
{
    char scratch[4096];

    while (count) {
        size_t n = sim_peer_read(peer, scratch, count < sizeof scratch ? count : sizeof scratch);

        cr_assert_gt(n, 0);
        count -= n;
    }
}

static struct message *
parse_message(const char *at, size_t len, bool ended, bool is_reply, enum http_method method,
              size_t *ret_used)
{
    static struct http1_head head;
    size_t used_body;
    uint32_t used;
    enum close_reason why = CLOSE_NONE;
    enum parse_result r = is_reply
                              ? http1_parse_reply(at, (uint32_t)len, 0, method, &limits, &head, &used, &why)
                              : http1_parse_request(at, (uint32_t)len, 0, &limits, &head, &used, &why);

    cr_assert_neq(r, PARSE_BAD, "a malformed head: %.300s", at);
    if (r == PARSE_MORE || !decode_body(&head, at + used, len - used, ended, &used_body))
        return NULL;
    cr_assert_lt(used, sizeof message.head);
    memcpy(message.head, at, used);
    message.head[used] = '\0';
    message.status = head.status;
    message.is_chunked = head.framing == FRAMING_CHUNKED;
    message.is_length = head.framing == FRAMING_LENGTH;
    *ret_used = used + used_body;
    return &message;
}

struct message *
parse_request(const char *at, size_t len, size_t *ret_used)
{
    return parse_message(at, len, false, false, METHOD_POST, ret_used);
}

struct message *
parse_reply(const char *at, size_t len, bool ended, size_t *ret_used)
{
    return parse_message(at, len, ended, true, METHOD_POST, ret_used);
}

static struct message *
try_message(struct sim_peer *peer, bool is_reply, enum http_method method)
{
    size_t len, used;
    const char *at = sim_peer_peek(peer, &len);
    struct message *m = parse_message(at, len, sim_peer_ended(peer), is_reply, method, &used);

    if (m)
        take(peer, used);
    return m;
}

struct message *
try_request(struct sim_peer *server)
{
    return try_message(server, false, METHOD_GET);
}

struct message *
try_reply(struct sim_peer *client)
{
    return try_message(client, true, METHOD_GET);
}

static struct message *
must(struct message *m, struct sim_peer *peer)
{
    cr_assert(m, "no whole message has arrived, but: \"%.500s\"%s%s", sim_peer_peek(peer, NULL),
              sim_peer_ended(peer) ? " and the end" : "", sim_peer_was_reset(peer) ? " and a reset" : "");
    return m;
}

struct message *
request_of(struct sim_peer *server)
{
    cr_assert(server, "no connection has arrived");
    return must(try_request(server), server);
}

struct message *
reply_of(struct sim_peer *client)
{
    return must(try_reply(client), client);
}

struct message *
reply_to_head_of(struct sim_peer *client)
{
    return must(try_message(client, true, METHOD_HEAD), client);
}

const char *
field(const struct message *m, const char *name)
{
    static char value[1024];
    size_t n = strlen(name);

    for (const char *line = strstr(m->head, "\r\n"); line; line = strstr(line + 2, "\r\n")) {
        if (strncasecmp(line + 2, name, n) != 0 || line[2 + n] != ':')
            continue;
        line += 2 + n + 1;
        line += strspn(line, " ");
        snprintf(value, sizeof value, "%.*s", (int)strcspn(line, "\r"), line);
        return value;
    }
    return NULL;
}

bool
has(struct sim_peer *peer, const char *text)
{
    return strstr(sim_peer_peek(peer, NULL), text) != NULL;
}

void
say(struct sim_peer *peer, const char *format, ...)
{
    static char text[BODY_MAX + 4096];
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    cr_assert_lt((size_t)n, sizeof text);
    cr_assert_eq(sim_peer_send(peer, text, (size_t)n), (size_t)n, "the window is full");
    settle();
}

void
say_chunk(struct sim_peer *peer, const char *text)
{
    say(peer, "%zx\r\n%s\r\n", strlen(text), text);
}

/* --- clients and upstreams --- */

struct sim_peer *
client_new(void)
{
    struct sim_peer *client = sim_connect_to(world.sim, world.listener, NULL);

    settle();
    return client;
}

void
post(struct sim_peer *client, const char *fields, const char *body)
{
    say(client,
        "POST /mcp/up HTTP/1.1\r\nHost: gate\r\nContent-Type: application/json\r\n" MCP_ACCEPT
        "Content-Length: %zu\r\n%s\r\n%s",
        strlen(body), fields, body);
}

void
get(struct sim_peer *client, const char *path, const char *fields)
{
    say(client, "GET %s HTTP/1.1\r\nHost: gate\r\n%s\r\n", path, fields);
}

struct sim_peer *
server_next(void)
{
    return sim_next_peer(world.sim);
}

static void
list_fresh_servers(void)
{
    struct sim_peer *fresh;

    while ((fresh = server_next())) {
        cr_assert_lt(server_count, SERVERS_MAX);
        servers[server_count++] = fresh;
    }
}

struct sim_peer *
server_asked_for(const char *text, unsigned long long *ret_id)
{
    list_fresh_servers();
    for (unsigned i = 0; i < server_count; i++) {
        struct message *m;

        if (!has(servers[i], text))
            continue;
        m = request_of(servers[i]);
        if (ret_id)
            cr_assert(sscanf(strstr(m->body, "\"id\":") + 5, "%llu", ret_id) == 1, "%s", m->body);
        cr_assert_null(field(m, "Sec-WebSocket-Key"), "is the client's connection's");
        return servers[i];
    }
    cr_assert_fail("nobody was asked for %s", text);
    return NULL;
}

void
servers_serve(void (*serve)(struct sim_peer *server, const struct message *m))
{
    bool more = true;

    while (more) {
        more = false;
        list_fresh_servers();
        for (unsigned i = 0; i < server_count; i++) {
            struct message *m = try_request(servers[i]);

            if (!m)
                continue;
            serve(servers[i], m);
            more = true;
        }
    }
}

void
answer(struct sim_peer *server, const char *fields, const char *body)
{
    say(server, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n%s\r\n%s",
        strlen(body), fields, body);
}

void
answer_stream(struct sim_peer *server, const char *fields)
{
    say(server, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n%s\r\n",
        fields);
}
