/* SPDX-License-Identifier: Apache-2.0 */
/* What earlier generations counted, in one slot of a newer one's segment. */
#include "stats/gauges.h"
#include "stats/segment.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void
add(uint64_t *sum, const uint64_t *from, size_t count)
{
    for (size_t i = 0; i < count; i++)
        sum[i] += stats_load(&from[i]);
}

static void
add_histograms(struct segment_histogram *sum, const struct segment_histogram *from, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint64_t max = stats_load(&from[i].max);
        sum[i].count += stats_load(&from[i].count);
        sum[i].sum += stats_load(&from[i].sum);
        sum[i].max = max > sum[i].max ? max : sum[i].max;
        add(sum[i].buckets, from[i].buckets, SEGMENT_BUCKETS);
    }
}

static bool
is_used(const struct slot_upstream *row)
{
    for (unsigned id = 0; id < UPSTATS; id++)
        if (stats_load(&row->stats[id]))
            return true;
    return false;
}

/* `row_of[u]`: which row of the sum is from's row u; -1: none. */
static void
add_slot(struct slot *sum, const struct slot *from, const int32_t *row_of)
{
    add(sum->stats, from->stats, STATS);
    add(sum->closed, from->closed, CLOSE_REASONS);
    add(sum->mcp_requests, from->mcp_requests, MCP_METHODS);
    add(sum->urgency, from->urgency, PRIORITIES);
    add(sum->requests[0], from->requests[0], (size_t)STATS_HTTP_METHODS * STATUSES);
    add(sum->transports[0][0], from->transports[0][0], sizeof sum->transports / sizeof(uint64_t));
    add_histograms(sum->hists, from->hists, HISTS);
    add_histograms(sum->transport_hists[0][0], from->transport_hists[0][0],
                   (unsigned)TRHISTS * LINK_SIDES * TRANSPORTS);
    for (uint32_t u = 0; u < from->upstreams; u++) {
        if (row_of[u] < 0 || !is_used(&from->rows[u])) /* a row never used stays a hole */
            continue;
        add(sum->rows[row_of[u]].stats, from->rows[u].stats, UPSTATS);
        add_histograms(sum->rows[row_of[u]].hists, from->rows[u].hists, UPHISTS);
    }
}

static void
clear_gauges(struct slot *sum)
{
    for (unsigned id = 0; id < STATS; id++)
        if (stat_is_gauge[id])
            sum->stats[id] = 0;
    for (unsigned id = 0; id < TRSTATS; id++)
        if (trstat_is_gauge[id])
            memset(sum->transports[id], 0, sizeof sum->transports[id]);
    for (uint32_t u = 0; u < sum->upstreams; u++)
        for (unsigned id = 0; id < UPSTATS; id++)
            if (upstat_is_gauge[id])
                sum->rows[u].stats[id] = 0;
}

static void
publish(void *to, const void *sum, size_t size)
{
    uint64_t *at = to;
    const uint64_t *values = sum;

    for (size_t i = 0; i < size / sizeof *at; i++)
        if (values[i] && values[i] != at[i])
            stats_store(&at[i], values[i]);
}

static void
publish_slot(struct slot *to, const struct slot *sum)
{
    publish(to->stats, sum->stats, sizeof sum->stats);
    publish(to->closed, sum->closed, sizeof sum->closed);
    publish(to->mcp_requests, sum->mcp_requests, sizeof sum->mcp_requests);
    publish(to->urgency, sum->urgency, sizeof sum->urgency);
    publish(to->requests, sum->requests, sizeof sum->requests);
    publish(to->transports, sum->transports, sizeof sum->transports);
    publish(to->transport_hists, sum->transport_hists, sizeof sum->transport_hists);
    publish(to->hists, sum->hists, sizeof sum->hists);
    publish(to->rows, sum->rows, sum->upstreams * sizeof *sum->rows);
}

int
segment_carry(struct segment *segment, uint32_t i, const struct segment *from)
{
    struct slot *to = segment_slot(segment, i), *sum;
    uint32_t rows = segment_upstreams(from);
    size_t size = sizeof *to + to->upstreams * sizeof *to->rows;
    int32_t *row_of = malloc((rows + 1) * sizeof *row_of);

    sum = aligned_alloc(STATS_UPSTREAM_ALIGN, size);
    if (!sum || !row_of) {
        free(sum);
        free(row_of);
        return -ENOMEM;
    }
    memset(sum, 0, size);
    sum->upstreams = to->upstreams;
    for (uint32_t u = 0; u < rows; u++)
        row_of[u] = segment_find_upstream(segment, segment_upstream_name(from, u));
    for (uint32_t s = 0; s < segment_slots(from); s++) {
        const struct slot *slot = segment_slot(from, s);
        if (strcmp(slot->head.role, "worker") == 0)
            add_slot(sum, slot, row_of);
    }
    clear_gauges(sum);
    publish_slot(to, sum);
    free(sum);
    free(row_of);
    return 0;
}
