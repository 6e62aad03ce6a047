/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A whole worker under random load with random faults, one run per seed. Clients post bodies that exist once,
 * in any framing and any pieces, pipelined, slowly, or leave in the middle; upstreams echo them in any form.
 * In every other world replies are compressed for those who ask, in every third one streams are batched; in
 * most, events may be left out or combined, which these, being no notices, never are.
 * Whatever the kernel does: each reply is the echo of its own request, whole and in order; no request reaches
 * an upstream twice; the books balance. Only where connections are reset may a reply be an error or be cut
 * off.
 *
 * In the second half the worker is killed at any step, and a fresh one goes on over the same slot.
 *
 * SIM_SEEDS=n runs n seeds, SIM_SEED=n that one.
 */
#include "gate_world.h"
#include "net/batch.h"

#include <stdlib.h>
#include <zlib.h>

enum { CLIENTS = 10, REQUESTS = 6, SERVERS_MAX = 400, DEPTH = 3, BYTES_MAX = 12000, LIMIT_MS = 600000 };

struct bytes {
    char *at;
    size_t len, size;
};

struct actor {
    struct sim_peer *peer;
    struct bytes in, out;
    size_t rate; /* bytes in a tick, at most */
    bool gone, close_after_out;
    /* a client's */
    unsigned id, sent, answered, leave_after;
    bool half_closes, half_closed;
    struct bytes expected[DEPTH]; /* what the replies to come must echo, the oldest first */
    unsigned expected_count;
    /* a server's */
    unsigned wait_ticks;
};

static struct actor clients[CLIENTS], servers[SERVERS_MAX];
static unsigned server_count;
static unsigned unpacked;                            /* replies that came compressed */
static bool lossy;                                   /* connections may be reset */
static unsigned char arrived[2 * CLIENTS][REQUESTS]; /* by the clients of the first and the second worker */

static uint64_t
any(uint64_t n)
{
    return sim_random(world.sim, n);
}

/* --- bytes --- */

static void
add(struct bytes *b, const void *bytes, size_t len)
{
    if (b->len + len + 1 > b->size) {
        b->size = (b->len + len + 1) * 2;
        b->at = realloc(b->at, b->size);
    }
    if (len)
        memcpy(b->at + b->len, bytes, len);
    b->len += len;
    b->at[b->len] = '\0';
}

static void
add_text(struct bytes *b, const char *text)
{
    add(b, text, strlen(text));
}

static void
drop(struct bytes *b, size_t n)
{
    memmove(b->at, b->at + n, b->len - n);
    b->len -= n;
    b->at[b->len] = '\0';
}

static void
bytes_free(struct bytes *b)
{
    free(b->at);
    *b = (struct bytes){0};
}

static size_t
any_size(void)
{
    return any(4) ? 1 + any(300) : 1 + any(BYTES_MAX);
}

/* In chunks of any sizes. */
static void
add_chunked(struct bytes *out, const char *at, size_t len)
{
    char line[20];

    while (len) {
        size_t n = 1 + any(len < 2000 ? len : 2000);

        snprintf(line, sizeof line, "%zx\r\n", n);
        add_text(out, line);
        add(out, at, n);
        add_text(out, "\r\n");
        at += n;
        len -= n;
    }
    add_text(out, "0\r\n\r\n");
}

/* --- both sides --- */

static void
actor_open(struct actor *a, struct sim_peer *peer)
{
    *a = (struct actor){.peer = peer, .rate = any(3) ? 5000 : 50 + any(500)};
    sim_peer_set_window(peer, any(3) ? 200 + any(2000) : 100000);
}

static void
actor_leave(struct actor *a, bool reset)
{
    a->gone = true;
    if (reset)
        sim_peer_reset(a->peer);
    else
        sim_peer_close(a->peer);
}

static void
actor_move_bytes(struct actor *a)
{
    static char scratch[8000];
    size_t n = any(a->rate + 1);

    if (n > a->out.len)
        n = a->out.len;
    if (n)
        drop(&a->out, sim_peer_send(a->peer, a->out.at, n));
    add(&a->in, scratch, sim_peer_read(a->peer, scratch, any(a->rate + 1)));
}

static bool
actor_is_cut_off(const struct actor *a)
{
    return sim_peer_eof(a->peer) || sim_peer_was_reset(a->peer);
}

/* --- clients --- */

static void
client_ask(struct actor *c)
{
    struct bytes body = {0}, *echo = &c->expected[c->expected_count++];
    size_t len = any_size();
    bool modern = any(2);
    char line[300];

    if (modern)
        add_text(&body, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/"
                        "call\",\"params\":{\"name\":\"echo\"," MODERN_META ",\"text\":\"");
    snprintf(line, sizeof line, "c%u-r%u-", c->id, c->sent);
    add_text(&body, line);
    for (size_t i = 0; i < len; i++)
        add(&body, &"abcdefghijklmnopqrstuvwxyz"[any(26)], 1);
    if (modern)
        add_text(&body, "\"}}");
    snprintf(line, sizeof line, "POST %s HTTP/1.1\r\nHost: g\r\n%s%s%s", any(2) ? "/mcp/up" : "/route/x",
             any(2) ? MCP_ACCEPT : "", any(2) ? "Accept-Encoding: gzip\r\n" : "", modern ? MODERN : "");
    add_text(&c->out, line);
    if (any(2)) {
        snprintf(line, sizeof line, "Content-Length: %zu\r\n\r\n", body.len);
        add_text(&c->out, line);
        add(&c->out, body.at, body.len);
    } else {
        add_text(&c->out, "Transfer-Encoding: chunked\r\n\r\n");
        add_chunked(&c->out, body.at, body.len);
    }
    *echo = (struct bytes){0};
    add_text(echo, "echo:");
    add(echo, body.at, body.len);
    bytes_free(&body);
    c->sent++;
}

/* The data of a stream's events; nothing but whole events and whole comments may stand in it. */
static void
join_events(struct message *m)
{
    size_t n = 0;
    char *line = m->body;

    while (*line) {
        char *end = strchr(line, '\n');

        cr_assert(end, "a stream that ends within a line: %.200s", line);
        if (strncmp(line, "data: ", 6) == 0) {
            memmove(m->body + n, line + 6, (size_t)(end - line - 6));
            n += (size_t)(end - line - 6);
        } else {
            cr_assert(end == line || (end == line + 1 && *line == ':'), "a torn line: %.200s", line);
        }
        line = end + 1;
    }
    m->body[n] = '\0';
    m->body_len = n;
}

/* A reply that is whole holds a gzip stream that is whole. */
static void
unpack(struct message *m)
{
    static char plain[BODY_MAX];
    z_stream z = {.next_in = (Bytef *)m->body,
                  .avail_in = (uInt)m->body_len,
                  .next_out = (Bytef *)plain,
                  .avail_out = sizeof plain - 1};

    cr_assert_eq(inflateInit2(&z, 31), Z_OK);
    cr_assert_eq(inflate(&z, Z_FINISH), Z_STREAM_END, "%s", z.msg ? z.msg : "it does not end");
    cr_assert_eq(z.avail_in, 0);
    m->body_len = z.total_out;
    memcpy(m->body, plain, m->body_len);
    m->body[m->body_len] = '\0';
    inflateEnd(&z);
    unpacked++;
}

/* A stream whose upstream was lost between two events. */
static bool
tells_an_error(const struct message *m)
{
    return strstr(m->body, "event: message\ndata: {\"jsonrpc\":\"2.0\",\"id\":1,\"error\":") != NULL;
}

static void
client_check(struct actor *c, struct message *m)
{
    struct bytes *echo = &c->expected[0];

    cr_assert_gt(c->expected_count, 0, "client %u got a reply that it did not ask for: %s%.100s", c->id,
                 m->head, m->body);
    if (strstr(m->head, "Content-Encoding: gzip\r\n"))
        unpack(m);
    if (m->status == 200 && !(lossy && tells_an_error(m))) {
        if (strstr(m->head, "text/event-stream"))
            join_events(m);
        cr_assert(m->body_len == echo->len && memcmp(m->body, echo->at, echo->len) == 0,
                  "client %u, reply %u: %zu bytes \"%.60s...\" instead of %zu \"%.60s...\"", c->id,
                  c->answered, m->body_len, m->body, echo->len, echo->at);
    } else {
        cr_assert(lossy && (m->status == 200 || m->status >= 500), "client %u, reply %u: %s%.200s", c->id,
                  c->answered, m->head, m->body);
    }
    c->answered++;
    bytes_free(echo);
    memmove(c->expected, c->expected + 1, --c->expected_count * sizeof *echo);
}

static void
client_read(struct actor *c)
{
    struct message *m;
    size_t used;

    while (c->in.len && (m = parse_reply(c->in.at, c->in.len, sim_peer_eof(c->peer), &used))) {
        if (m->status >= 200)
            client_check(c, m);
        drop(&c->in, used);
    }
}

static void
client_tick(struct actor *c)
{
    if (c->gone)
        return;
    actor_move_bytes(c);
    client_read(c);
    while (c->sent < REQUESTS && c->expected_count < DEPTH && !c->half_closed && any(4) == 0)
        client_ask(c);
    if (c->half_closes && c->sent == REQUESTS && !c->out.len && !c->half_closed) {
        c->half_closed = true;
        sim_peer_half_close(c->peer);
    }
    if (c->sent > c->leave_after && any(10) == 0) {
        actor_leave(c, any(2));
    } else if (c->answered == REQUESTS) {
        actor_leave(c, false);
    } else if (actor_is_cut_off(c)) {
        cr_assert(lossy, "client %u was cut off after %u replies", c->id, c->answered);
        actor_leave(c, false);
    }
}

/* --- servers --- */

static void
on_server(struct sim_peer *peer, void *arg)
{
    (void)arg;
    cr_assert_lt(server_count, SERVERS_MAX);
    actor_open(&servers[server_count++], peer);
}

static void
add_reply_body(struct actor *s, const struct bytes *echo, unsigned form)
{
    char line[100];

    if (form == 0) {
        snprintf(line, sizeof line, "Content-Length: %zu\r\n\r\n", echo->len);
        add_text(&s->out, line);
        add(&s->out, echo->at, echo->len);
    } else if (form == 1) {
        add_text(&s->out, "Transfer-Encoding: chunked\r\n\r\n");
        add_chunked(&s->out, echo->at, echo->len);
    } else if (form == 2) {
        add_text(&s->out, "\r\n");
        add(&s->out, echo->at, echo->len);
        s->close_after_out = true;
    } else {
        struct bytes events = {0};

        for (size_t at = 0; at < echo->len;) {
            size_t n = 1 + any(echo->len - at < 200 ? echo->len - at : 200);

            add_text(&events, "data: ");
            add(&events, echo->at + at, n);
            add_text(&events, "\n\n");
            at += n;
        }
        add_text(&s->out, "Content-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n");
        add_chunked(&s->out, events.at, events.len);
        bytes_free(&events);
    }
}

static void
server_answer(struct actor *s, const struct message *m)
{
    struct bytes echo = {0};
    const char *line = strstr(m->body, "text\":\"");
    unsigned id, request, form;

    line = line ? line + strlen("text\":\"") : m->body;
    cr_assert_eq(sscanf(line, "c%u-r%u-", &id, &request), 2, "a torn request: %.100s", m->body);
    cr_assert_eq(arrived[id][request]++, 0, "request %u of client %u was sent twice", request, id);
    add_text(&echo, "echo:");
    add(&echo, m->body, m->body_len);
    if (any(8) == 0)
        add_text(&s->out, "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n");
    form = (unsigned)any(4);
    add_text(&s->out, "HTTP/1.1 200 OK\r\n");
    if (form < 3 && any(2))
        add_text(&s->out, "Content-Type: application/json\r\n");
    if (any(5) == 0) {
        add_text(&s->out, "Connection: close\r\n");
        s->close_after_out = true;
    }
    add_reply_body(s, &echo, form);
    bytes_free(&echo);
}

static void
server_tick(struct actor *s)
{
    struct message *m;
    size_t used;

    if (s->gone)
        return;
    actor_move_bytes(s);
    if (s->wait_ticks) {
        s->wait_ticks--;
    } else if (!s->out.len && !s->close_after_out && s->in.len &&
               (m = parse_request(s->in.at, s->in.len, &used))) {
        server_answer(s, m);
        drop(&s->in, used);
        s->wait_ticks = (unsigned)any(30);
    }
    if ((s->close_after_out && !s->out.len) || actor_is_cut_off(s))
        actor_leave(s, false);
}

/* --- the run --- */

static bool all_stand_still;

static void
tick(void *arg)
{
    (void)arg;
    if (all_stand_still)
        return;
    if (!world.is_killed)
        batch_set_load(&world.worker->net, 100);
    for (unsigned i = 0; i < CLIENTS; i++)
        client_tick(&clients[i]);
    for (unsigned i = 0; i < server_count; i++)
        server_tick(&servers[i]);
    sim_after(world.sim, 1 + (unsigned)any(4), tick, NULL);
}

static bool
all_clients_are_done(void *arg)
{
    (void)arg;
    for (unsigned i = 0; i < CLIENTS; i++)
        if (!clients[i].gone)
            return false;
    return true;
}

static void
free_actor(struct actor *a)
{
    bytes_free(&a->in);
    bytes_free(&a->out);
    for (unsigned i = 0; i < a->expected_count; i++)
        bytes_free(&a->expected[i]);
}

static void
open_random_world(uint64_t seed)
{
    static const char *const policies[] = {"drop", "combine", "throttle"};

    world_open(seed, "--upstream", "up=http://10.0.0.2:80/mcp,http://10.0.0.3:80/mcp", "--route",
               "/route=http://10.0.0.4:80/r", "--upstream-max", "4", "--upstream-idle-max", "2",
               "--upstream-wait", "1h", "--upstream-idle", "1h", "--high-mark", "4k", "--low-mark", "1k",
               "--heartbeat", "20ms", "--compress", seed % 2 ? "on" : "off", "--compress-min", "100",
               "--batch-window", seed % 3 ? "0" : "20ms", "--backpressure", policies[seed % 5 % 3], NULL);
    server_count = 0;
    memset(arrived, 0, sizeof arrived);
    sim_on_peer(world.sim, on_server, NULL);
    sim_faults_random(world.sim);
    lossy = any(3) == 0;
    if (lossy) {
        sim_set_fault(world.sim, SIM_RESET, (unsigned)any(20));
        sim_set_fault(world.sim, SIM_EMFILE, (unsigned)any(20));
    }
}

static void
open_clients(unsigned first_id)
{
    for (unsigned i = 0; i < CLIENTS; i++) {
        actor_open(&clients[i], sim_connect_to(world.sim, world.listener, NULL));
        clients[i].id = first_id + i;
        clients[i].leave_after = any(5) ? REQUESTS : (unsigned)any(REQUESTS);
        clients[i].half_closes = any(4) == 0;
    }
}

static void
free_actors(void)
{
    for (unsigned i = 0; i < CLIENTS; i++)
        free_actor(&clients[i]);
    for (unsigned i = 0; i < server_count; i++)
        free_actor(&servers[i]);
    server_count = 0;
}

/* False: the worker was killed. */
static bool
serve_clients(void)
{
    enum sim_stop stop = sim_run(world.sim, all_clients_are_done, NULL, LIMIT_MS);

    if (stop == SIM_TIME_UP)
        for (unsigned i = 0; i < CLIENTS; i++)
            cr_assert(clients[i].gone,
                      "client %u waits for ever: asked %u, answered %u, %zu bytes to send, \"%.300s\"", i,
                      clients[i].sent, clients[i].answered, clients[i].out.len, clients[i].in.at);
    return stop == SIM_REACHED;
}

static void
run(uint64_t seed)
{
    open_random_world(seed);
    open_clients(0);
    sim_after(world.sim, 1, tick, NULL);
    serve_clients();
    world_close();
    free_actors();
}

Test(worker, echoes_everything_to_its_own_client_whatever_happens, .timeout = 3000)
{
    const char *count = getenv("SIM_SEEDS");

    sim_for_seeds(1, count ? (unsigned)strtoul(count, NULL, 10) : 200, run);
    cr_assert(unpacked > 0 || getenv("SIM_SEED"));
}

/* --- peers that stand still --- */

/* Whatever has begun: clients and upstreams neither send nor read any more, nor do they close. Each wait has
 * a limit of its own; the total ones are off. */
static void
stand_still_somewhere(uint64_t seed)
{
    world_open(seed, "--upstream", "up=http://10.0.0.2:80/mcp,http://10.0.0.3:80/mcp", "--route",
               "/route=http://10.0.0.4:80/r", "--upstream-max", "4", "--upstream-wait", "40ms", "--high-mark",
               "4k", "--low-mark", "1k", "--heartbeat", "20ms", "--head-timeout", "40ms", "--body-timeout",
               "40ms", "--send-timeout", "40ms", "--first-byte-timeout", "40ms", "--reply-idle", "40ms",
               "--stream-idle", "40ms", "--orphan-timeout", "40ms", "--total-timeout", "1h", "--compress",
               seed % 2 ? "on" : "off", NULL);
    server_count = 0;
    memset(arrived, 0, sizeof arrived);
    sim_on_peer(world.sim, on_server, NULL);
    sim_faults_random(world.sim);
    lossy = true;
    all_stand_still = false;
    open_clients(0);
    sim_after(world.sim, 1, tick, NULL);
    advance(1 + (unsigned)any(300));
    all_stand_still = true;
    advance(30000);
    cr_assert_eq(counter(STAT_exchanges_open) + counter(STAT_legs_open), 0, "something is open for ever");
    world_close();
    free_actors();
    all_stand_still = false;
}

Test(worker, waits_for_ever_for_nobody_who_stands_still, .timeout = 3000)
{
    const char *count = getenv("SIM_SEEDS");

    sim_for_seeds(1, count ? (unsigned)strtoul(count, NULL, 10) : 200, stand_still_somewhere);
}

/* --- a worker that is killed --- */

/* What only grows: a counter that is set from the ring's or the net's own must go on where the dead one was.
 */
static const enum stat_id growing[] = {
    STAT_requests_begun,    STAT_exchanges_finished, STAT_connections_accepted, STAT_completions,
    STAT_buffers_taken,     STAT_buffers_returned,   STAT_client_received,      STAT_client_sent,
    STAT_upstream_received, STAT_upstream_sent};

enum { GROWING = sizeof growing / sizeof *growing };

static void
read_growing(uint64_t *ret)
{
    for (unsigned i = 0; i < GROWING; i++)
        ret[i] = counter(growing[i]);
}

/* The clients of the dead worker are gone, and what it asked is not answered any more. */
static void
meet_next_worker(uint64_t *ret_before)
{
    uint64_t after[GROWING];

    cr_assert_eq(sim_fd_count(world.sim), 1, "the listener is left");
    read_growing(ret_before);
    world_next_life();
    read_growing(after);
    for (unsigned i = 0; i < GROWING; i++)
        cr_assert_geq(after[i], ret_before[i], "counter %u", growing[i]);
    free_actors();
    open_clients(CLIENTS); /* what the dead one sent may still arrive */
}

static bool
serve_clients_of_one_who_may_die(void)
{
    bool served;

    world_mortal(true);
    served = serve_clients();
    world_mortal(false);
    return served;
}

/* Runs until the clients are served, with the worker killed at that step (0: not). Returns the steps there
 * were. */
static uint64_t
run_with_death(uint64_t seed, uint64_t step)
{
    uint64_t before[GROWING], after[GROWING], steps;

    open_random_world(seed);
    lossy = true; /* a dead worker resets connections */
    open_clients(0);
    sim_after(world.sim, 1, tick, NULL);
    sim_kill_at(world.sim, step ? sim_steps(world.sim) + step : 0);
    steps = sim_steps(world.sim);
    if (step ? !serve_clients_of_one_who_may_die() : !serve_clients()) {
        meet_next_worker(before);
        cr_assert(serve_clients());
        read_growing(after);
        for (unsigned i = 0; i < GROWING; i++)
            cr_assert_gt(after[i], before[i], "counter %u stands still", growing[i]);
        cr_assert_eq(world.stats->head.deaths, 1);
    }
    steps = sim_steps(world.sim) - steps;
    sim_kill_at(world.sim, 0);
    world_close();
    free_actors();
    return steps;
}

static void
kill_somewhere(uint64_t seed)
{
    uint64_t steps = run_with_death(seed, 0);

    for (uint64_t i = 0; i < 3; i++)
        run_with_death(seed, 1 + (seed * 2654435761u + i * steps / 3) % steps);
}

Test(worker, goes_on_where_the_one_that_was_killed_at_any_step_had_come_to, .timeout = 3000)
{
    const char *count = getenv("SIM_SEEDS");

    sim_for_seeds(1, count ? (unsigned)strtoul(count, NULL, 10) : 60, kill_somewhere);
}
