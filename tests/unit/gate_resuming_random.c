/* SPDX-License-Identifier: Apache-2.0 */
/* Clients that leave and come back at random, and workers that die meanwhile: each event of a stream comes once
 * and in its order, and each stream has one end. */
#include "gate_resuming.h"

TestSuite(resuming, .timeout = 60);

enum { ACTORS = 4, TEXT_BYTES = 1 << 20 };

/* A call, and what its client has seen of it on whatever connections. */
static struct actor {
    struct sim_peer *client, *server; /* client NULL: away */
    unsigned long long number;
    unsigned said, seen; /* progress */
    bool is_answered, has_response, has_error;
    char id[JOURNAL_ID_SIZE];
    size_t len, used; /* of the bytes of this connection, and of them those of whole events */
    char text[TEXT_BYTES];
} actors[ACTORS];

static uint32_t seed;
static bool is_rough; /* the worker dies with work in its hands: what it had not heard is not said */

static unsigned
any(unsigned n)
{
    seed = seed * 1664525 + 1013904223;
    return (seed >> 8) % n;
}

/* One event of a stream, without its framing. */
static void
see_event(struct actor *a, const char *event)
{
    const char *id = strstr(event, "id: "), *progress = strstr(event, "\"progress\":");
    unsigned index = (unsigned)(a - actors), n;
    char own[32];

    if (event[0] == ':')
        return;
    cr_assert(id == event, "%s", event);
    snprintf(a->id, sizeof a->id, "%.*s", (int)strcspn(id + 4, "\n"), id + 4);
    cr_assert_not(a->has_response || a->has_error, "something follows the end: %s", event);
    if (progress) {
        snprintf(own, sizeof own, "\"progressToken\":\"t%u\"", index);
        cr_assert(strstr(event, own), "another's event came to %u: %s", index, event);
        cr_assert_eq(sscanf(progress + 11, "%u", &n), 1);
        cr_assert_eq(n, a->seen + 1, "%u after %u", n, a->seen);
        a->seen = n;
        return;
    }
    if (strstr(event, "\"error\"")) {
        snprintf(own, sizeof own, "\"id\":%u,\"error\"", index);
        cr_assert(strstr(event, own), "%s", event);
        cr_assert_not(a->is_answered && !is_rough, "the response was lost: %s", event);
        a->has_error = true;
        return;
    }
    snprintf(own, sizeof own, "\"id\":%u,\"result\"", index);
    cr_assert(strstr(event, own), "%s", event);
    cr_assert_eq(a->seen, a->said, "the response overtakes");
    a->has_response = true;
}

/* The content of the chunks that are whole. */
static size_t
dechunk(const char *at, const char *end, char *out)
{
    size_t n = 0, size;
    char *data;

    while ((size = strtoul(at, &data, 16)) && strncmp(data, "\r\n", 2) == 0 && data + 2 + size + 2 <= end) {
        memcpy(out + n, data + 2, size);
        n += size;
        at = data + 2 + size + 2;
    }
    out[n] = '\0';
    return n;
}

static void
look(struct actor *a)
{
    static char plain[TEXT_BYTES];
    const char *body;
    size_t n;

    a->len += sim_peer_read(a->client, a->text + a->len, sizeof a->text - 1 - a->len);
    a->text[a->len] = '\0';
    body = strstr(a->text, "\r\n\r\n");
    if (!body)
        return;
    cr_assert(strstr(a->text, "HTTP/1.1 200") == a->text, "%.300s", a->text);
    n = dechunk(body + 4, a->text + a->len, plain);
    for (char *event = plain + a->used, *end; (end = strstr(event, "\n\n")); event = end + 2) {
        *end = '\0';
        see_event(a, event);
        a->used = (size_t)(end + 2 - plain);
    }
    cr_assert_leq(a->used, n);
}

static void
return_of(struct actor *a)
{
    come_back(a->id);
    a->client = client;
    a->len = a->used = 0;
}

static void
begin_actor(struct actor *a)
{
    char body[300];

    snprintf(
        body, sizeof body,
        "{\"jsonrpc\":\"2.0\",\"id\":%u,\"method\":\"tools/call\",\"params\":{\"name\":\"echo\",\"_meta\":{"
        "\"progressToken\":\"t%u\"}}}",
        (unsigned)(a - actors), (unsigned)(a - actors));
    a->number = begin_call(body);
    a->client = client;
    a->server = server;
    say_progress(a->server, a->number, ++a->said);
    look(a);
    cr_assert_eq(a->seen, 1);
}

static void
act(struct actor *a)
{
    switch (any(4)) {
    case 0:
        if (a->client) {
            look(a);
            sim_peer_close(a->client);
            a->client = NULL;
            settle();
        }
        break;
    case 1:
        if (a->has_response)
            break;
        if (a->client) /* the gateway has not heard that it left */
            look(a);
        if (!a->has_response)
            return_of(a);
        break;
    default:
        if (!a->is_answered && any(20) == 0) {
            say_result(a->server, a->number);
            a->is_answered = true;
        } else if (!a->is_answered) {
            say_progress(a->server, a->number, ++a->said);
        }
    }
}

static void
open_actors(uint64_t n)
{
    seed = (uint32_t)n;
    world_open(n, UPSTREAM, NULL);
    memset(actors, 0, sizeof actors);
    open_session("2025-06-18");
    for (unsigned i = 0; i < ACTORS; i++)
        begin_actor(&actors[i]);
    sim_faults_random(world.sim);
}

static void
run_at_random(uint64_t n)
{
    open_actors(n);
    for (unsigned step = 0; step < 300; step++)
        act(&actors[any(ACTORS)]);
    for (unsigned i = 0; i < ACTORS; i++) {
        struct actor *a = &actors[i];

        if (!a->is_answered)
            say_result(a->server, a->number);
        if (a->client)
            look(a);
        if (!a->has_response) {
            return_of(a);
            look(a);
        }
        cr_assert(a->has_response, "no response came to %u", i);
    }
    is_known = false;
    world_close();
}

Test(resuming, whatever_happens_each_event_comes_once_and_in_order)
{
    sim_for_seeds(1, 100, run_at_random);
}

/* At any step of what it does for them. */
static void
die_in_the_middle(void)
{
    sim_kill_at(world.sim, sim_steps(world.sim) + 1 + any(60));
    for (unsigned i = 0; i < 200 && !world.is_killed; i++) {
        struct actor *a = &actors[any(ACTORS)];

        if (!a->is_answered)
            say_progress(a->server, a->number, ++a->said);
    }
    for (unsigned i = 0; i < 100 && !world.is_killed; i++) {
        sim_connect_to(world.sim, world.listener, NULL);
        settle();
    }
    cr_assert(world.is_killed);
    sim_kill_at(world.sim, 0);
    world_next_life();
    world_mortal(false);
}

/* The worker dies after some steps; who comes back then gets all that it had written, and one end. */
static void
die_at_random(uint64_t n)
{
    unsigned steps;

    world_mortal(true);
    open_actors(n);
    steps = any(200);
    while (steps--)
        act(&actors[any(ACTORS)]);
    if (is_rough)
        die_in_the_middle();
    else
        die();
    for (unsigned i = 0; i < ACTORS; i++) {
        struct actor *a = &actors[i];

        if (a->client)
            look(a);
        if (a->has_response)
            continue;
        return_of(a);
        look(a);
        cr_assert(a->has_response || a->has_error, "no end came to %u", i);
        cr_assert(is_rough || a->has_response == a->is_answered);
        come_back(a->id);
        cr_assert_eq(reply_of(client)->status, 204);
    }
    is_known = false;
    world_close();
}

Test(resuming, a_worker_that_dies_loses_no_event_that_its_clients_could_have_had)
{
    sim_for_seeds(1, 100, die_at_random);
}

Test(resuming, a_worker_that_dies_at_any_step_leaves_streams_with_one_end)
{
    is_rough = true;
    sim_for_seeds(1, 200, die_at_random);
}
