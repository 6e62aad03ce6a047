/* SPDX-License-Identifier: Apache-2.0 */
/* The mock upstream's listener, counters, start and end; see serve.h. */
#include "serve.h"

#include "address.h"
#include "mcpload.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

const char *const serve_kind_names[SERVE_KINDS] = {"plain", "mcp", "stream", "tunnel", "ws", "stats"};

enum { STOPPED_NS = 1000000000 }; /* a send that made no progress for so long */

static void
help(void)
{
    printf("usage: mcpload serve [flags]\n\n"
           "A mock upstream: plain HTTP on every path, SSE streams below /sse, MCP below /mcp, counters at "
           "/stats.\n\n");
    flags_help(serve_flags, stdout);
    printf("\nThe query of a request changes how that one is answered, joined by &:\n");
    behaviour_print(behaviour_help_line, stdout);
}

json_t *
serve_stats(struct serve *serve)
{
    uint64_t now = ring_now(serve->ring), stopped = 0, stopped_bytes = 0;
    json_t *stats, *kinds = json_object();

    list_for_each(node, &serve->open) {
        struct serve_conn *conn = container_of(node, struct serve_conn, node);

        if (op_busy(&conn->send) && now - conn->progress_ns > STOPPED_NS) {
            stopped++;
            stopped_bytes += conn->sent_bytes;
        }
    }
    for (unsigned i = 0; i < SERVE_KINDS; i++)
        json_object_set_new(kinds, serve_kind_names[i],
                            json_pack("{s:I, s:I}", "requests", (json_int_t)serve->counts[i].requests,
                                      "sent_bytes", (json_int_t)serve->counts[i].bytes));
    stats = json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "connections_accepted",
                      (json_int_t)serve->accepted, "connections_open", (json_int_t)serve->open_count,
                      "bad_requests", (json_int_t)serve->bad_requests, "body_bytes",
                      (json_int_t)serve->body_bytes, "events", (json_int_t)serve->events, "streams",
                      (json_int_t)serve->streams, "sessions", (json_int_t)serve->sessions,
                      "stopped_connections", (json_int_t)stopped, "stopped_bytes", (json_int_t)stopped_bytes);
    json_object_set_new(stats, "replies", kinds);
    return stats;
}

static void
on_accept(struct op *op, int result, struct buf *buf, bool more)
{
    struct serve *serve = container_of(op, struct serve, accept);

    if (result >= 0)
        serve_conn_new(serve, result);
}

static void
on_signal(struct op *op, int result, struct buf *buf, bool more)
{
    container_of(op, struct serve, signals)->ending = true;
}

static int
serve_open(struct serve *serve, char *why, size_t why_size)
{
    const struct serve_config *c = &serve->config;
    struct ring_config rings = {.buf_count = {2048, 16}};
    char address[128];
    int err;

    serve->defaults = (struct behaviour){.delay_ns = c->delay_ns,
                                         .bytes = c->reply_bytes,
                                         .chunk_bytes = c->chunk_bytes,
                                         .events = c->events,
                                         .event_bytes = c->event_bytes,
                                         .progress = c->progress,
                                         .list_bytes = c->list_bytes,
                                         .rate = c->rate,
                                         .changes = c->changes,
                                         .burst = c->burst,
                                         .status = 200,
                                         .sse = c->sse,
                                         .chunked = c->chunked};
    if (!c->burst) {
        snprintf(why, why_size, "--burst 0: a burst has at least one event");
        return -EINVAL;
    }
    list_init(&serve->open);
    list_init(&serve->dead);
    pool_init(&serve->conns, sizeof(struct serve_conn));
    serve_reply_canned(serve);
    serve->listener = address_listen(c->listen, (int)c->sndbuf, (int)c->rcvbuf, address, why, why_size);
    if (serve->listener < 0)
        return serve->listener;
    err = ring_new(&rings, &serve->ring, why, why_size);
    if (err < 0)
        return err;
    err = pacer_init(&serve->pacer, serve->ring);
    if (err < 0) {
        snprintf(why, why_size, "timerfd: %s", strerror(-err));
        return err;
    }
    serve->signal_fd = mcpload_signals();
    ring_poll(serve->ring, &serve->signals, serve->signal_fd, POLLIN, on_signal);
    ring_accept(serve->ring, &serve->accept, serve->listener, on_accept);
    printf("mcpload: serving on http://%s\n", address);
    fflush(stdout);
    return 0;
}

static void
turn(struct serve *serve)
{
    pacer_arm(&serve->pacer);
    ring_wait(serve->ring, 1000);
    ring_reap(serve->ring);
    pacer_run(&serve->pacer, ring_now(serve->ring));
    serve_conn_free_dead(serve);
}

static void
serve_close(struct serve *serve)
{
    ring_cancel(serve->ring, &serve->accept);
    ring_cancel(serve->ring, &serve->signals);
    list_for_each_safe(node, &serve->open)
        serve_conn_close(container_of(node, struct serve_conn, node));
    while (op_busy(&serve->accept) || op_busy(&serve->signals) || serve->open_count)
        turn(serve);
    pacer_done(&serve->pacer);
    ring_free(&serve->ring);
    pool_done(&serve->conns);
    bytes_done(&serve->canned);
    close(serve->listener);
    close(serve->signal_fd);
}

int
serve_main(int argc, char **argv)
{
    struct serve serve = {0};
    json_t *stats;
    char why[256];
    int status;

    if (mcpload_wants_help(argc, argv)) {
        help();
        return 0;
    }
    if (flags_parse((struct flag_set[]){{serve_flags, &serve.config}, {0}}, argc, argv, NULL, why,
                    sizeof(why)) < 0 ||
        serve_open(&serve, why, sizeof(why)) < 0) {
        fprintf(stderr, "mcpload: %s\n", why);
        bytes_done(&serve.canned);
        return 2;
    }
    while (!serve.ending)
        turn(&serve);
    stats = serve_stats(&serve);
    fprintf(stderr, "mcpload: %" PRIu64 " connections", serve.accepted);
    for (unsigned i = 0; i < SERVE_KINDS; i++)
        fprintf(stderr, ", %s %" PRIu64 " replies %" PRIu64 " bytes", serve_kind_names[i],
                serve.counts[i].requests, serve.counts[i].bytes);
    fprintf(stderr, ", %" PRIu64 " events\n", serve.events);
    status = serve.config.json ? mcpload_write_json(stats, serve.config.json) : 0;
    json_decref(stats);
    serve_close(&serve);
    return status;
}
