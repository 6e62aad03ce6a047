/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A whole worker on the simulator: a configuration from a command line, a segment in a temporary directory,
 * one listener, no supervisor. The test plays the clients and the upstreams by hand, as bytes:
 *
 *     world_open(1, "--upstream", "up=http://10.0.0.2:80/mcp", NULL);
 *     struct sim_peer *client = client_new(), *server;
 *     post(client, "", "{...}");
 *     server = server_next();
 *     cr_assert_str_eq(request_of(server)->body, "{...}");
 *     answer(server, "", "{...}");
 *     cr_assert_eq(reply_of(client)->status, 200);
 *     world_close();
 *
 * 10.0.0.2 to .5 accept connections, .8 refuses them, .9 never answers. world_close() drains the worker and
 * checks the books: what began has ended, what was taken was given back.
 */
#ifndef GATE_WORLD_H
#define GATE_WORLD_H

#include "gate/worker.h"
#include "ring/ring_sim.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

struct world {
    struct sim *sim;
    struct worker *worker;
    struct slot *stats;
    int listener;
    bool drained;
    bool is_killed;      /* by sim_kill_at(): nothing turns until world_next_life() */
    uint64_t queued_max; /* of net.stats.queued_bytes, at the end of any turn */
};

extern struct world world;

/* The arguments end with NULL. --listen, --admin and the directories are set. */
void world_open(uint64_t seed, ...);
/* Drains with `ms` left for what is open, closes, checks. */
void world_close_after(unsigned ms);
void world_close(void);

/* After SIM_KILLED: closes the dead worker's books as the supervisor does, checks them, and opens the next
 * worker on the same slot and listener. */
void world_next_life(void);

/* Until false, nothing that is allocated counts as a leak: what a life holds that will be killed is lost with
 * it, as that of a process would be. */
void world_mortal(bool on);

/* Counters of the worker; of its first upstream. */
uint64_t counter(enum stat_id id);
uint64_t up_counter(enum upstat id);
uint64_t traffic(enum trstat id, enum link_side side, enum transport t);
uint64_t closed_by(enum close_reason reason);

void settle(void);
void advance(unsigned ms);
/* Kills the worker, and opens the next one. */
void world_kill(void);

/* --- messages --- */

enum { BODY_MAX = 1 << 20 };

struct message {
    bool is_chunked, is_length;
    int status;
    char head[8192]; /* with the first line and the final empty one */
    char body[BODY_MAX + 1];
    size_t body_len;
};

/* The next message at a peer, which must be whole (a close-delimited one: whole with the end of file); taken
 * off. Valid until the next call of either. */
struct message *request_of(struct sim_peer *server);
struct message *reply_of(struct sim_peer *client);
struct message *reply_to_head_of(struct sim_peer *client); /* without a body, whatever the fields say */
/* The same, or NULL when it is not whole (nothing is taken), and an abort of the test when it never will be.
 */
struct message *try_request(struct sim_peer *server);
struct message *try_reply(struct sim_peer *client);

/* The same on bytes that the test has read itself: NULL, or the message and how many bytes it took. `ended`:
 * no more will come. A malformed one aborts the test. */
struct message *parse_request(const char *at, size_t len, size_t *ret_used);
struct message *parse_reply(const char *at, size_t len, bool ended, size_t *ret_used);

/* The value of a field, NUL-terminated, or NULL; valid until the next call. */
const char *field(const struct message *m, const char *name);

bool has(struct sim_peer *peer, const char *text); /* among what arrived and was not taken */
void say(struct sim_peer *peer, const char *format, ...)
    __attribute__((format(printf, 2, 3))); /* and settles */
void say_chunk(struct sim_peer *peer, const char *text);

/* --- clients --- */

#define MCP_ACCEPT "Accept: application/json, text/event-stream\r\n"

struct sim_peer *client_new(void);
/* POST /mcp/up with a body; `fields` are whole lines. */
void post(struct sim_peer *client, const char *fields, const char *body);
void get(struct sim_peer *client, const char *path, const char *fields);

/* --- upstreams --- */

/* The next connection that the worker opened; NULL: none. */
struct sim_peer *server_next(void);
/* For tests with several: the one where a request with this text has arrived, which is taken off; its id
 * there, or NULL. None: the test has failed. Connections that server_next() has given are not among them. */
struct sim_peer *server_asked_for(const char *text, unsigned long long *ret_id);
/* Serves what has arrived and what comes of it, until nothing more does: for upstreams that answer by
 * themselves, on all of the same connections. */
void servers_serve(void (*serve)(struct sim_peer *server, const struct message *m));
/* 200 with a length. */
void answer(struct sim_peer *server, const char *fields, const char *body);
/* The head of an SSE stream, chunked. */
void answer_stream(struct sim_peer *server, const char *fields);

/* JSON-RPC calls with an id. */
#define CALL(id) "{\"jsonrpc\":\"2.0\",\"id\":" #id ",\"method\":\"tools/call\",\"params\":{}}"
/* The same of 2026-07-28, and the fields that it needs. */
#define MODERN_META                                                                                          \
    "\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\","                                 \
    "\"io.modelcontextprotocol/clientCapabilities\":{}}"
#define MODERN_CALL(id)                                                                                      \
    "{\"jsonrpc\":\"2.0\",\"id\":" #id                                                                       \
    ",\"method\":\"tools/call\",\"params\":{\"name\":\"echo\"," MODERN_META "}}"
#define MODERN     "MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\nMcp-Name: echo\r\n"
#define RESULT(id) "{\"jsonrpc\":\"2.0\",\"id\":" #id ",\"result\":{}}"

#endif
