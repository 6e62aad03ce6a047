/* SPDX-License-Identifier: Apache-2.0 */
#include "stats/families.h"
#include "stats/read.h"
#include "stats/segment.h"

#include "proto/http1.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SLOTS = 8, UPSTREAMS = 64 };

static char dir[64];
static struct segment *segment;
static int fd = -1;

static void
setup(void)
{
    struct segment_config config = {.generation = 3,
                                    .node = 9,
                                    .slots = SLOTS,
                                    .upstreams = UPSTREAMS,
                                    .supervisor_pid = 77,
                                    .version = "0.0-test"};

    strcpy(dir, "/tmp/mcpgate-test-XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
    cr_assert_eq(segment_create(dir, &config, &segment, &fd), 0);
    cr_assert_eq(segment_name_upstream(segment, 0, "fs"), 0);
    cr_assert_eq(segment_name_upstream(segment, 1, "search"), 0);
}

static void
teardown(void)
{
    char path[96];

    segment_unmap(&segment);
    close(fd);
    snprintf(path, sizeof path, "%s/stats", dir);
    unlink(path);
    rmdir(dir);
}

TestSuite(segment, .init = setup, .fini = teardown);
TestSuite(slot, .init = setup, .fini = teardown);

static struct slot *
worker(uint32_t i)
{
    struct slot *slot = segment_assign_slot(segment, i, "worker");

    stats_slot_begin(slot, 1, getpid());
    return slot;
}

static struct snapshot *
take(struct stats_reader **reader)
{
    const char *why;
    struct snapshot *s;

    cr_assert_eq(stats_open(dir, reader, &why), 0, "%s", why);
    s = stats_snapshot(*reader);
    cr_assert_not_null(s);
    return s;
}

static uint64_t
total(const struct snapshot *s, const char *name)
{
    const struct stats_metric *m = stats_find(s->schema, SEGMENT_PER_SLOT, name);

    cr_assert_not_null(m, "%s", name);
    return s->total[m->first];
}

Test(segment, rows_for_methods_are_those_of_the_parser)
{
    cr_assert_eq((int)STATS_HTTP_METHODS, (int)METHODS);
}

Test(segment, describes_every_row_of_the_table_with_help)
{
    struct stats_reader *reader;
    struct snapshot *s = take(&reader);

#define METRIC(KIND, id, UNIT, text)                                                                         \
    {                                                                                                        \
        const struct stats_metric *m = stats_find(s->schema, SEGMENT_PER_SLOT, #id);                         \
        cr_assert(m && m->kind == SEGMENT_##KIND && m->unit == SEGMENT_##UNIT, #id);                         \
        cr_assert_str_eq(m->help, text);                                                                     \
        cr_assert_gt(strlen(m->help), 10, #id);                                                              \
    }
#define METRIC_UPSTREAM(KIND, id, UNIT, text)                                                                \
    {                                                                                                        \
        const struct stats_metric *m = stats_find(s->schema, SEGMENT_PER_UPSTREAM, #id);                     \
        cr_assert(m && m->kind == SEGMENT_##KIND && m->unit == SEGMENT_##UNIT, #id);                         \
        cr_assert_str_eq(m->help, text);                                                                     \
    }
#define METRIC_TRANSPORT(KIND, id, UNIT, text)                                                               \
    {                                                                                                        \
        const struct stats_metric *m = stats_find(s->schema, SEGMENT_PER_SLOT, #id);                         \
        cr_assert(m && m->kind == SEGMENT_##KIND && m->unit == SEGMENT_##UNIT, #id);                         \
        cr_assert_str_eq(m->help, text);                                                                     \
        cr_assert_eq(stats_cells(m), (uint32_t)LINK_SIDES *TRANSPORTS, #id);                                 \
    }
#include <mcpgate/metrics.def>
    for (uint32_t i = 0; i < family_count; i++)
        cr_assert_not_null(stats_find(s->schema, SEGMENT_PER_SLOT, families[i].id));
    cr_assert_eq(s->schema->metric_count, (uint32_t)STATS + HISTS + UPSTATS + UPHISTS + family_count);
    cr_assert_eq(s->generation, 3);
    cr_assert_eq(s->node, 9);
    cr_assert_eq(s->supervisor_pid, 77);
    cr_assert_str_eq(s->version, "0.0-test");
    snapshot_free(&s);
    stats_close_reader(&reader);
}

Test(segment, names_fit_their_fields)
{
    for (uint32_t i = 0; i < family_count; i++)
        for (int d = 0; d < 2; d++)
            for (uint32_t k = 0; families[i].dim[d].value && k < families[i].dim[d].count; k++)
                cr_assert_lt(strlen(families[i].dim[d].value(k)), SEGMENT_NAME_MAX);
#define METRIC(KIND, id, UNIT, text)                                                                         \
    cr_assert(sizeof #id <= SEGMENT_NAME_MAX && sizeof text <= SEGMENT_HELP_MAX, #id);
#define METRIC_UPSTREAM(KIND, id, UNIT, text)  METRIC(KIND, id, UNIT, text)
#define METRIC_TRANSPORT(KIND, id, UNIT, text) METRIC(KIND, id, UNIT, text)
#include <mcpgate/metrics.def>
}

Test(segment, shows_a_child_what_the_supervisor_made)
{
    struct segment *child;

    stats_add(worker(2), STAT_requests_begun, 5);
    cr_assert_eq(segment_map(fd, &child), 0);
    cr_assert_eq(segment_slots(child), SLOTS);
    cr_assert_eq(segment_upstreams(child), UPSTREAMS);
    cr_assert_eq(stats_get(segment_slot(child, 2), STAT_requests_begun), 5);
    cr_assert_eq((uintptr_t)segment_slot(child, 2) % 64, 0);
    cr_assert_eq((uintptr_t)segment_log_ring(child, 2) % 64, 0);
    segment_unmap(&child);
    cr_assert_null(child);
}

Test(segment, of_another_layout_is_not_mapped)
{
    int other = memfd_create("x", 0);
    uint32_t size;
    struct segment *child = NULL;

    cr_assert_eq(ftruncate(other, 100), 0);
    cr_assert_eq(segment_map(other, &child), -EPROTO);
    cr_assert_eq(ftruncate(other, 1 << 20), 0);
    cr_assert_eq(segment_map(other, &child), -EPROTO);
    size = sizeof(struct segment_header) + 8;
    cr_assert_eq(pwrite(fd, &size, sizeof size, offsetof(struct segment_header, header_size)),
                 (ssize_t)sizeof size);
    cr_assert_eq(segment_map(fd, &child), -EPROTO);
    cr_assert_null(child);
    close(other);
}

Test(segment, in_a_missing_directory_is_an_error_that_leaves_nothing)
{
    struct segment *s = NULL;
    int f = -1;

    cr_assert_eq(segment_create("/tmp/mcpgate-test-none/x",
                                &(struct segment_config){.slots = 1, .version = "1"}, &s, &f),
                 -ENOENT);
    cr_assert(s == NULL && f == -1);
}

Test(segment, takes_the_place_of_the_one_before_and_readers_notice)
{
    struct segment_config config = {.generation = 4, .slots = 1, .upstreams = 0, .version = "1"};
    struct stats_reader *reader;
    struct snapshot *s = take(&reader);
    struct segment *next;
    int next_fd;

    cr_assert_not(stats_was_replaced(reader));
    cr_assert(stats_is_running(reader));
    cr_assert_eq(segment_create(dir, &config, &next, &next_fd), 0);
    cr_assert(stats_was_replaced(reader));
    snapshot_free(&s);
    s = stats_snapshot(reader);
    cr_assert_eq(s->generation, 3);
    snapshot_free(&s);
    stats_close_reader(&reader);
    s = take(&reader);
    cr_assert_eq(s->generation, 4);
    segment_finish(next);
    segment_unmap(&next);
    close(next_fd);
    cr_assert_not(stats_is_running(reader));
    snapshot_free(&s);
    s = stats_snapshot(reader);
    cr_assert(!s->running && s->ended_well);
    snapshot_free(&s);
    stats_close_reader(&reader);
}

Test(segment, names_upstreams_in_order_and_only_where_there_are_rows)
{
    char name[200];

    memset(name, 'n', sizeof name);
    name[sizeof name - 1] = '\0';
    cr_assert_eq(segment_name_upstream(segment, 3, "gap"), -ERANGE);
    for (uint32_t u = 2; u < UPSTREAMS; u++)
        cr_assert_eq(segment_name_upstream(segment, u, name), 0);
    cr_assert_eq(segment_name_upstream(segment, UPSTREAMS, "more"), -ERANGE);
}

Test(segment, costs_no_memory_for_slots_and_rows_that_nobody_uses)
{
    struct stat st;
    struct stats_reader *reader;
    struct snapshot *s;

    stats_up_add(worker(0), 1, UPSTAT_up_requests, 1);
    s = take(&reader);
    cr_assert_eq(fstat(fd, &st), 0);
    cr_assert_gt(st.st_size, SLOTS * UPSTREAMS * 16000);
    cr_assert_lt(st.st_blocks * 512, 512 << 10, "%ld bytes resident", (long)st.st_blocks * 512);
    snapshot_free(&s);
    stats_close_reader(&reader);
}

Test(slot, is_summed_with_the_other_workers_and_by_upstream)
{
    struct slot *a = worker(0), *b = worker(5), *admin;
    struct stats_reader *reader;
    struct snapshot *s;
    const struct stats_metric *m;

    admin = segment_assign_slot(segment, 6, "admin");
    stats_slot_begin(admin, 1, 1);
    stats_add(a, STAT_events, 3);
    stats_add(b, STAT_events, 4);
    stats_add(admin, STAT_events, 100);
    stats_set(a, STAT_streams_open, 10);
    stats_sub(a, STAT_streams_open, 3);
    stats_observe(a, HIST_first_byte, 1000);
    stats_observe(b, HIST_first_byte, 3000);
    stats_up_add(a, 1, UPSTAT_up_requests, 7);
    stats_up_add(b, 1, UPSTAT_up_requests, 8);
    s = take(&reader);
    cr_assert_eq(s->slot_count, 3);
    cr_assert_eq(s->slots[1].index, 5);
    cr_assert_str_eq(s->slots[2].role, "admin");
    cr_assert_eq(total(s, "events"), 7);
    cr_assert_eq(total(s, "streams_open"), 7);
    m = stats_find(s->schema, SEGMENT_PER_SLOT, "first_byte");
    cr_assert_eq(s->total[m->first + HISTOGRAM_COUNT], 2);
    cr_assert_eq(s->total[m->first + HISTOGRAM_SUM], 4000);
    cr_assert_eq(s->total[m->first + HISTOGRAM_MAX], 3000);
    m = stats_find(s->schema, SEGMENT_PER_UPSTREAM, "up_requests");
    cr_assert_eq(s->upstream_count, 2);
    cr_assert_str_eq(s->upstreams[1].name, "search");
    cr_assert_eq(s->upstreams[1].values[m->first], 15);
    cr_assert_eq(s->upstreams[0].values[m->first], 0);
    snapshot_free(&s);
    stats_close_reader(&reader);
}

Test(slot, counts_requests_by_method_and_by_exact_status_or_class)
{
    static const struct {
        unsigned status;
        const char *label;
    } cases[] = {{200, "200"}, {299, "2xx"}, {404, "404"}, {418, "4xx"}, {508, "508"},  {599, "5xx"},
                 {101, "101"}, {103, "1xx"}, {399, "3xx"}, {0, "none"},  {600, "none"}, {99, "none"}};
    struct slot *slot = worker(0);
    struct stats_reader *reader;
    struct snapshot *s = take(&reader);
    const struct stats_metric *m = stats_find(s->schema, SEGMENT_PER_SLOT, "requests");

    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint32_t row = stats_status_of(cases[i].status);

        cr_assert_str_eq(m->dim[1].values[row].text, cases[i].label);
        memset(slot->requests, 0, sizeof slot->requests);
        stats_request(slot, METHOD_POST, cases[i].status);
        snapshot_free(&s);
        s = stats_snapshot(reader);
        cr_assert_eq(s->total[m->first + METHOD_POST * m->dim[1].count + row], 1, "status %u",
                     cases[i].status);
    }
    cr_assert_str_eq(m->dim[0].values[METHOD_POST].text, "POST");
    cr_assert_str_eq(m->dim[0].values[METHOD_DELETE].text, "DELETE");
    snapshot_free(&s);
    stats_close_reader(&reader);
}

Test(slot, goes_on_counting_after_a_restart_with_fresh_gauges)
{
    struct slot *slot = worker(0);

    stats_add(slot, STAT_events, 5);
    stats_set(slot, STAT_ring_overflows, 3);
    stats_set(slot, STAT_connections_open, 9);
    stats_up_add(slot, 0, UPSTAT_up_requests, 2);
    stats_up_set(slot, 0, UPSTAT_up_connections, 2);
    cr_assert_eq(stats_stream_open(slot, 0, MCP_TOOLS_CALL, 1), 0);
    stats_slot_died(slot);
    stats_slot_begin(slot, 2, 4321);
    cr_assert_eq(stats_get(slot, STAT_connections_open), 0);
    cr_assert_eq(slot->rows[0].stats[UPSTAT_up_connections], 0);
    cr_assert_eq(slot->rows[0].stats[UPSTAT_up_requests], 2);
    cr_assert_eq(slot->head.epoch, 2);
    cr_assert_eq(slot->head.deaths, 1);
    cr_assert_eq(slot->streams[0].used, 0);
    stats_add(slot, STAT_events, 1);
    cr_assert_eq(stats_get(slot, STAT_events), 6);
    /* mirrored from a ring that counts from zero again */
    stats_set(slot, STAT_ring_overflows, 2);
    cr_assert_eq(stats_get(slot, STAT_ring_overflows), 5);
}

Test(slot, books_balance_after_a_death)
{
    struct slot *slot = worker(0);

    stats_add(slot, STAT_requests_begun, 10);
    stats_add(slot, STAT_exchanges_finished, 7);
    stats_set(slot, STAT_exchanges_open, 3);
    stats_add(slot, STAT_connections_accepted, 6);
    stats_add(slot, STAT_connections_closed, 2);
    stats_set(slot, STAT_connections_open, 4);
    stats_set(slot, STAT_buffers_taken, 50);
    stats_set(slot, STAT_buffers_returned, 48);
    cr_assert_eq(stats_slot_died(slot), 3);
    cr_assert_eq(stats_get(slot, STAT_exchanges_finished) + stats_get(slot, STAT_exchanges_open),
                 stats_get(slot, STAT_requests_begun));
    cr_assert_eq(slot->closed[CLOSE_WORKER_DIED], 3);
    cr_assert_eq(stats_get(slot, STAT_connections_closed), 6);
    cr_assert_eq(stats_get(slot, STAT_connections_open), 0);
    cr_assert_eq(stats_get(slot, STAT_buffers_taken), stats_get(slot, STAT_buffers_returned));
    cr_assert(slot->head.state == SLOT_DIED && !slot->head.alive);
    cr_assert_eq(stats_slot_died(slot), 0);
}

Test(slot, lists_as_many_streams_as_it_has_rows_and_counts_the_others)
{
    struct slot *slot = worker(0);
    struct stats_reader *reader;
    struct snapshot *s;

    for (int i = 0; i < STATS_STREAMS; i++)
        cr_assert_eq(stats_stream_open(slot, 1, MCP_TOOLS_CALL, 5), i);
    cr_assert_eq(stats_stream_open(slot, 1, MCP_TOOLS_CALL, 5), -1);
    cr_assert_eq(stats_get(slot, STAT_streams_unlisted), 1);
    stats_stream_update(slot, -1, 1, 1, 1, 1);
    stats_stream_close(slot, -1);
    for (int i = 0; i < STATS_STREAMS; i++) {
        if (i != 17)
            stats_stream_close(slot, i);
    }
    stats_stream_update(slot, 17, 11, 22, 33, 44);
    s = take(&reader);
    cr_assert_eq(s->stream_count, 1);
    cr_assert_str_eq(snapshot_stream_upstream(s, &s->streams[0]), "search");
    cr_assert_str_eq(snapshot_stream_method(s, &s->streams[0]), "tools/call");
    cr_assert(s->streams[0].events == 11 && s->streams[0].bytes == 22 && s->streams[0].queued_bytes == 33);
    cr_assert(s->streams[0].open_ns == 5 && s->streams[0].update_ns == 44);
    snapshot_free(&s);
    stats_close_reader(&reader);
}

Test(slot, keeps_the_text_of_a_failed_check)
{
    struct slot *slot = worker(0);
    char text[2 * SEGMENT_CHECK_MAX];

    memset(text, 'c', sizeof text);
    text[sizeof text - 1] = '\0';
    stats_slot_set_check(slot, text);
    cr_assert_eq(strlen(slot->head.check), SEGMENT_CHECK_MAX - 1);
    stats_slot_set_check(slot, "short");
    cr_assert_str_eq(slot->head.check, "short");
}

Test(slot, shows_that_its_process_turns)
{
    struct slot *slot = worker(0);

    stats_turn(slot, 123);
    stats_turn(slot, 456);
    cr_assert_eq(stats_turns(slot), 2);
    cr_assert_eq(stats_get(slot, STAT_turns), 2);
    cr_assert_eq(slot->head.turn_ns, 456);
}
