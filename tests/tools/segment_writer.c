/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes a segment as a gateway would, so that mcpstat can be looked at and tested without one.
 *
 *     segment_writer DIR [-w WORKERS] [-u UPSTREAMS] [-g GENERATION] [-s SECONDS] [-1]
 *
 * Counts made-up traffic for SECONDS (default: until killed); -1 counts a fixed amount once, prints "ready"
 * and waits for end of file on stdin. It holds the segment's lock as a gateway does, so its death makes a
 * dead gateway.
 */
#include "stats/segment.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { STREAMS_EACH = 5 };

struct settings {
    const char *dir;
    unsigned workers, upstreams, generation;
    double seconds;
    bool once;
};

struct stream {
    int row;
    uint64_t events;
};

static uint64_t
now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* A latency with a long tail, in nanoseconds. */
static uint64_t
latency(uint64_t typical)
{
    uint64_t n = typical / 2 + (uint64_t)(random() % (long)typical);

    return random() % 100 == 0 ? n * 20 : n;
}

static void
count_request(struct slot *slot, unsigned upstream)
{
    static const unsigned statuses[] = {200, 200, 200, 200, 200, 200, 202, 202, 404, 502};
    unsigned status = statuses[random() % 10];
    uint64_t total = latency(2000000);

    stats_add(slot, STAT_requests_begun, 1);
    stats_add(slot, STAT_exchanges_finished, 1);
    stats_add(slot, STAT_client_received, 400);
    stats_add(slot, STAT_client_sent, 900);
    stats_request(slot, 2, status);
    stats_close(slot, status == 502 ? CLOSE_UPSTREAM_GONE : status == 404 ? CLOSE_NOT_FOUND : CLOSE_DONE);
    stats_mcp(slot, random() % 3 ? MCP_TOOLS_CALL : MCP_TOOLS_LIST);
    stats_observe(slot, HIST_request_latency, total);
    stats_observe(slot, HIST_first_byte, total / 2);
    stats_observe(slot, HIST_in_gateway, latency(20000));
    stats_transport_add(slot, LINK_CLIENT, TRANSPORT_HTTP, TRSTAT_transport_messages_received, 1);
    stats_transport_observe(slot, LINK_CLIENT, TRANSPORT_HTTP, TRHIST_transport_first_byte, total / 2, 1);
    stats_up_add(slot, upstream, UPSTAT_up_requests, 1);
    stats_up_add(slot, upstream, UPSTAT_up_failures, status == 502);
    stats_up_add(slot, upstream, UPSTAT_up_received, 900);
    stats_up_observe(slot, upstream, UPHIST_up_latency, total);
    stats_up_observe(slot, upstream, UPHIST_up_first_byte, total / 2);
}

static void
begin(struct segment *segment, const struct settings *set, struct stream *streams)
{
    char name[32];

    for (unsigned u = 0; u < set->upstreams; u++) {
        snprintf(name, sizeof name, "server%u", u);
        segment_name_upstream(segment, u, name);
    }
    stats_slot_begin(segment_assign_slot(segment, set->workers, "admin"), 1, getpid());
    stats_slot_set_state(segment_slot(segment, set->workers), SLOT_READY);
    for (unsigned w = 0; w < set->workers; w++) {
        struct slot *slot = segment_assign_slot(segment, w, "worker");

        stats_slot_begin(slot, 1, getpid());
        stats_slot_set_state(slot, SLOT_READY);
        stats_set(slot, STAT_connections_open, 40 + w);
        stats_set(slot, STAT_streams_open, STREAMS_EACH);
        stats_add(slot, STAT_connections_accepted, 40 + w);
        for (unsigned u = 0; u < set->upstreams; u++) {
            stats_up_set(slot, u, UPSTAT_up_endpoints, 2);
            stats_up_set(slot, u, UPSTAT_up_endpoints_healthy, 1 + u % 2);
            stats_up_set(slot, u, UPSTAT_up_connections, 8);
        }
        for (unsigned i = 0; i < STREAMS_EACH; i++)
            streams[w * STREAMS_EACH + i] =
                (struct stream){stats_stream_open(slot, i % set->upstreams, MCP_TOOLS_CALL, now_ns()), 0};
    }
}

/* What a worker counts in one turn. */
static void
turn(struct slot *slot, const struct settings *set, struct stream *streams, unsigned requests)
{
    uint64_t now = now_ns();

    for (unsigned i = 0; i < requests; i++)
        count_request(slot, (unsigned)random() % set->upstreams);
    for (unsigned i = 0; i < STREAMS_EACH; i++) {
        struct stream *s = &streams[i];

        if (random() % 4)
            continue;
        s->events++;
        stats_add(slot, STAT_events, 1);
        stats_observe(slot, HIST_event_jitter, latency(500000));
        stats_transport_add(slot, LINK_CLIENT, TRANSPORT_SSE, TRSTAT_transport_messages_sent, 1);
        stats_transport_observe(slot, LINK_CLIENT, TRANSPORT_SSE, TRHIST_transport_jitter, latency(500000),
                                1);
        stats_stream_update(slot, s->row, s->events, s->events * 120, i * 1000, now);
    }
    stats_set(slot, STAT_exchanges_open, (uint64_t)random() % 20);
    stats_set(slot, STAT_queued_bytes, (uint64_t)random() % 100000);
    stats_add(slot, STAT_requests_begun, 0);
    stats_turn(slot, now);
}

static void
run(struct segment *segment, const struct settings *set, struct stream *streams)
{
    uint64_t end = set->seconds > 0 ? now_ns() + (uint64_t)(set->seconds * 1e9) : UINT64_MAX;

    while (now_ns() < end) {
        for (unsigned w = 0; w < set->workers; w++)
            turn(segment_slot(segment, w), set, streams + w * STREAMS_EACH, 10 + (unsigned)random() % 5);
        stats_turn(segment_slot(segment, set->workers), now_ns());
        usleep(10000);
    }
}

static void
run_once(struct segment *segment, const struct settings *set, struct stream *streams)
{
    char c;

    for (unsigned w = 0; w < set->workers; w++)
        turn(segment_slot(segment, w), set, streams + w * STREAMS_EACH, 1000);
    printf("ready\n");
    fflush(stdout);
    while (read(STDIN_FILENO, &c, 1) > 0)
        continue;
}

static int
usage(void)
{
    fprintf(stderr,
            "usage: segment_writer DIR [-w WORKERS] [-u UPSTREAMS] [-g GENERATION] [-s SECONDS] [-1]\n");
    return 2;
}

int
main(int argc, char **argv)
{
    struct settings set = {.workers = 2, .upstreams = 3, .generation = 1};
    struct stream *streams;
    struct segment *segment;
    int c, fd, err;

    while ((c = getopt(argc, argv, "w:u:g:s:1")) != -1) {
        switch (c) {
        case 'w':
            set.workers = (unsigned)atoi(optarg);
            break;
        case 'u':
            set.upstreams = (unsigned)atoi(optarg);
            break;
        case 'g':
            set.generation = (unsigned)atoi(optarg);
            break;
        case 's':
            set.seconds = atof(optarg);
            break;
        case '1':
            set.once = true;
            break;
        default:
            return usage();
        }
    }
    if (optind + 1 != argc || set.workers < 1 || set.workers > 200 || set.upstreams < 1 || set.upstreams > 64)
        return usage();
    set.dir = argv[optind];
    streams = calloc(set.workers * STREAMS_EACH, sizeof *streams);
    err = segment_create(set.dir,
                         &(struct segment_config){.generation = set.generation,
                                                  .slots = 256,
                                                  .upstreams = 64,
                                                  .supervisor_pid = getpid(),
                                                  .version = MCPGATE_VERSION},
                         &segment, &fd);
    if (err < 0 || !streams) {
        fprintf(stderr, "segment_writer: %s: %s\n", set.dir, strerror(-err));
        return 1;
    }
    begin(segment, &set, streams);
    if (set.once)
        run_once(segment, &set, streams);
    else
        run(segment, &set, streams);
    if (set.once || set.seconds > 0)
        segment_finish(segment);
    free(streams);
    segment_unmap(&segment);
    close(fd);
    return 0;
}
