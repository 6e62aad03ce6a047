/* SPDX-License-Identifier: Apache-2.0 */
/* What a generation counted lives on in the segment of the next. */
#include "stats/read.h"
#include "stats/segment.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CARRY = 5 };

static char old_dir[64], new_dir[64];
static struct segment *old_segment, *new_segment;
static int fds[2];

static void
make(char *dir, const char *const *upstreams, unsigned slots, struct segment **ret, int *ret_fd)
{
    struct segment_config config = {.generation = 1, .slots = slots, .upstreams = 8, .version = "0.0-test"};

    strcpy(dir, "/tmp/mcpgate-test-XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
    cr_assert_eq(segment_create(dir, &config, ret, ret_fd), 0);
    for (uint32_t i = 0; upstreams[i]; i++)
        cr_assert_eq(segment_name_upstream(*ret, i, upstreams[i]), 0);
}

static void
setup(void)
{
    make(old_dir, (const char *const[]){"a", "gone", "b", NULL}, 4, &old_segment, &fds[0]);
    make(new_dir, (const char *const[]){"b", "fresh", "a", NULL}, CARRY + 1, &new_segment, &fds[1]);
    segment_assign_slot(old_segment, 0, "worker");
    segment_assign_slot(old_segment, 1, "worker");
    segment_assign_slot(old_segment, 2, "admin");
    segment_assign_slot(new_segment, CARRY, "worker");
}

static void
teardown(void)
{
    char path[100];

    segment_unmap(&old_segment);
    segment_unmap(&new_segment);
    snprintf(path, sizeof path, "%s/stats", old_dir);
    unlink(path);
    rmdir(old_dir);
    snprintf(path, sizeof path, "%s/stats", new_dir);
    unlink(path);
    rmdir(new_dir);
}

Test(carry, sums_the_workers_counters_and_no_gauges, .init = setup, .fini = teardown)
{
    struct slot *one = segment_slot(old_segment, 0), *two = segment_slot(old_segment, 1);
    struct slot *carried = segment_slot(new_segment, CARRY);

    stats_add(one, STAT_requests_begun, 5);
    stats_add(two, STAT_requests_begun, 2);
    stats_add(segment_slot(old_segment, 2), STAT_requests_begun, 100); /* the admin's do not count */
    stats_add(one, STAT_connections_open, 3);
    stats_close(two, CLOSE_WORKER_DIED);
    stats_request(one, 1, 200);
    stats_request(two, 1, 200);
    stats_observe(one, HIST_request_latency, 100);
    stats_observe(two, HIST_request_latency, 5000);
    cr_assert_eq(segment_carry(new_segment, CARRY, old_segment), 0);
    cr_assert_eq(stats_get(carried, STAT_requests_begun), 7u);
    cr_assert_eq(stats_get(carried, STAT_connections_open), 0u);
    cr_assert_eq(carried->closed[CLOSE_WORKER_DIED], 1u);
    cr_assert_eq(carried->requests[1][stats_status_of(200)], 2u);
    cr_assert_eq(carried->hists[HIST_request_latency].count, 2u);
    cr_assert_eq(carried->hists[HIST_request_latency].sum, 5100u);
    cr_assert_eq(carried->hists[HIST_request_latency].max, 5000u);
    cr_assert_eq(carried->hists[HIST_request_latency].buckets[segment_bucket_of(100)], 1u);
}

Test(carry, matches_upstreams_by_name, .init = setup, .fini = teardown)
{
    struct slot *one = segment_slot(old_segment, 0), *carried = segment_slot(new_segment, CARRY);

    stats_up_add(one, 0, UPSTAT_up_requests, 1);
    stats_up_add(one, 1, UPSTAT_up_requests, 10);
    stats_up_add(one, 2, UPSTAT_up_requests, 100);
    stats_up_add(one, 2, UPSTAT_up_connections, 4);
    stats_up_observe(one, 2, UPHIST_up_latency, 70);
    cr_assert_eq(segment_carry(new_segment, CARRY, old_segment), 0);
    cr_assert_eq(carried->rows[2].stats[UPSTAT_up_requests], 1u, "a");
    cr_assert_eq(carried->rows[0].stats[UPSTAT_up_requests], 100u, "b");
    cr_assert_eq(carried->rows[1].stats[UPSTAT_up_requests], 0u, "fresh");
    cr_assert_eq(carried->rows[0].stats[UPSTAT_up_connections], 0u, "a gauge");
    cr_assert_eq(carried->rows[0].hists[UPHIST_up_latency].sum, 70u);
}

Test(carry, may_be_repeated_while_the_old_one_counts_on, .init = setup, .fini = teardown)
{
    struct slot *one = segment_slot(old_segment, 0), *carried = segment_slot(new_segment, CARRY);

    for (unsigned round = 1; round <= 3; round++) {
        stats_add(one, STAT_requests_begun, 1);
        stats_up_add(one, 0, UPSTAT_up_requests, 1);
        cr_assert_eq(segment_carry(new_segment, CARRY, old_segment), 0);
        cr_assert_eq(stats_get(carried, STAT_requests_begun), round);
        cr_assert_eq(carried->rows[2].stats[UPSTAT_up_requests], round);
    }
}

Test(carry, keeps_what_each_transport_counted_and_no_gauges, .init = setup, .fini = teardown)
{
    struct slot *one = segment_slot(old_segment, 0), *two = segment_slot(old_segment, 1);
    struct slot *carried = segment_slot(new_segment, CARRY);

    stats_transport_add(one, LINK_CLIENT, TRANSPORT_SSE, TRSTAT_transport_messages_sent, 5);
    stats_transport_add(two, LINK_CLIENT, TRANSPORT_SSE, TRSTAT_transport_messages_sent, 2);
    stats_transport_add(two, LINK_UPSTREAM, TRANSPORT_STDIO, TRSTAT_transport_messages_sent, 1);
    stats_transport_set(two, LINK_CLIENT, TRANSPORT_SSE, TRSTAT_transport_queued, 77);
    stats_transport_observe(one, LINK_UPSTREAM, TRANSPORT_WS, TRHIST_transport_jitter, 100, 3);
    stats_transport_observe(two, LINK_UPSTREAM, TRANSPORT_WS, TRHIST_transport_jitter, 5000, 1);
    cr_assert_eq(segment_carry(new_segment, CARRY, old_segment), 0);
    cr_assert_eq(carried->transports[TRSTAT_transport_messages_sent][LINK_CLIENT][TRANSPORT_SSE], 7u);
    cr_assert_eq(carried->transports[TRSTAT_transport_messages_sent][LINK_CLIENT][TRANSPORT_WS], 0u);
    cr_assert_eq(carried->transports[TRSTAT_transport_messages_sent][LINK_UPSTREAM][TRANSPORT_STDIO], 1u);
    cr_assert_eq(carried->transports[TRSTAT_transport_queued][LINK_CLIENT][TRANSPORT_SSE], 0u);
    cr_assert_eq(carried->transport_hists[TRHIST_transport_jitter][LINK_UPSTREAM][TRANSPORT_WS].count, 4u);
    cr_assert_eq(carried->transport_hists[TRHIST_transport_jitter][LINK_UPSTREAM][TRANSPORT_WS].sum, 5300u);
    cr_assert_eq(carried->transport_hists[TRHIST_transport_jitter][LINK_UPSTREAM][TRANSPORT_WS].max, 5000u);
    cr_assert_eq(carried->transport_hists[TRHIST_transport_jitter][LINK_CLIENT][TRANSPORT_WS].count, 0u);
}
