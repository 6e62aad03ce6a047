/* SPDX-License-Identifier: Apache-2.0 */
/* What is worked out from snapshots: differences and percentiles. */
#include "stats/read.h"

#include <stdlib.h>
#include <string.h>

/* The values of a bucket are taken to lie evenly in it. */
static uint64_t
within_bucket(const struct stats_metric *m, uint32_t bucket, uint64_t rank_within, uint64_t count)
{
    uint64_t floor = segment_bucket_floor(m->sub_bits, bucket);
    double width = (double)(segment_bucket_floor(m->sub_bits, bucket + 1) - floor);

    return floor + (uint64_t)(width * ((double)rank_within - 0.5) / (double)count);
}

uint64_t
stats_percentile(const struct stats_metric *m, const uint64_t *values, double p)
{
    const uint64_t *h = values + m->first;
    uint64_t total = 0, seen = 0, rank;

    /* not HISTOGRAM_COUNT: the copy was made while the writer went on, and the two may differ by a few */
    for (uint32_t i = 0; i < m->buckets; i++)
        total += h[HISTOGRAM_BUCKETS + i];
    if (total == 0)
        return 0;
    rank = (uint64_t)(p * (double)total); /* nearest rank: the first value with at least this many up to it */
    if (!rank || (double)rank < p * (double)total)
        rank++;
    for (uint32_t i = 0; i < m->buckets; i++) {
        uint64_t count = h[HISTOGRAM_BUCKETS + i];

        if (seen + count >= rank) {
            uint64_t value = within_bucket(m, i, rank - seen, count);

            return value < h[HISTOGRAM_MAX] ? value : h[HISTOGRAM_MAX];
        }
        seen += count;
    }
    return h[HISTOGRAM_MAX];
}

uint64_t
stats_count_below(const struct stats_metric *m, const uint64_t *values, uint64_t bound)
{
    uint64_t n = 0;

    for (uint32_t i = 0; i < m->buckets && segment_bucket_floor(m->sub_bits, i) < bound; i++)
        n += values[m->first + HISTOGRAM_BUCKETS + i];
    return n;
}

double
stats_mean(const struct stats_metric *m, const uint64_t *values)
{
    const uint64_t *h = values + m->first;

    return h[HISTOGRAM_COUNT] ? (double)h[HISTOGRAM_SUM] / (double)h[HISTOGRAM_COUNT] : 0;
}

const char *
stats_state_name(uint32_t state)
{
    static const char *const names[] = {"free", "starting", "ready", "draining", "ended", "died"};

    return state < sizeof names / sizeof *names ? names[state] : "?";
}

const char *
snapshot_stream_upstream(const struct snapshot *s, const struct snapshot_stream *stream)
{
    return stream->upstream < s->upstream_count ? s->upstreams[stream->upstream].name : "?";
}

const char *
snapshot_stream_method(const struct snapshot *s, const struct snapshot_stream *stream)
{
    const struct stats_metric *m = stats_find(s->schema, SEGMENT_PER_SLOT, "mcp_requests");

    return m && stats_is_family(m) && stream->method < m->dim[0].count ? m->dim[0].values[stream->method].text
                                                                       : "?";
}

double
snapshot_seconds_since(const struct snapshot *s, uint64_t stamp_ns)
{
    return s->mono_ns > stamp_ns ? (double)(s->mono_ns - stamp_ns) / 1e9 : 0;
}

/* values -= before, where that makes sense; a counter that went backwards started anew, and all of it is new.
 */
static void
subtract(const struct stats_schema *schema, enum segment_scope scope, uint64_t *values,
         const uint64_t *before)
{
    for (uint32_t i = 0; i < schema->metric_count; i++) {
        const struct stats_metric *m = &schema->metrics[i];

        if (m->scope != scope || m->kind == SEGMENT_GAUGE)
            continue;
        for (uint32_t k = m->first; k < m->first + m->count; k++) {
            if (stats_is_max(m, k - m->first))
                continue;
            values[k] -= values[k] >= before[k] ? before[k] : 0;
        }
    }
}

static void *
copy_of(const void *from, size_t size)
{
    void *to = malloc(size + 1);

    if (to && size)
        memcpy(to, from, size);
    return to;
}

/* A deep copy whose values are `now`'s. */
static struct snapshot *
duplicate(const struct snapshot *now)
{
    struct snapshot *s = copy_of(now, sizeof *now);
    size_t row = now->schema->upstream_values, slot = now->schema->slot_values;
    size_t n = row + slot + now->slot_count * slot + now->upstream_count * row;

    if (!s)
        return NULL;
    s->slots = copy_of(now->slots, now->slot_count * sizeof *now->slots);
    s->upstreams = copy_of(now->upstreams, now->upstream_count * sizeof *now->upstreams);
    s->streams = copy_of(now->streams, now->stream_count * sizeof *now->streams);
    s->block = copy_of(now->block, n * sizeof *now->block);
    if (!s->slots || !s->upstreams || !s->streams || !s->block) {
        snapshot_free(&s);
        return NULL;
    }
    s->total = s->block + (now->total - now->block);
    for (uint32_t i = 0; i < s->slot_count; i++)
        s->slots[i].values = s->block + (now->slots[i].values - now->block);
    for (uint32_t u = 0; u < s->upstream_count; u++)
        s->upstreams[u].values = s->block + (now->upstreams[u].values - now->block);
    return s;
}

static const struct snapshot_slot *
same_slot(const struct snapshot *s, uint32_t index)
{
    for (uint32_t i = 0; i < s->slot_count; i++) {
        if (s->slots[i].index == index)
            return &s->slots[i];
    }
    return NULL;
}

struct snapshot *
snapshot_difference(const struct snapshot *now, const struct snapshot *before)
{
    struct snapshot *s = duplicate(now);

    if (!s)
        return NULL;
    subtract(s->schema, SEGMENT_PER_SLOT, s->total, before->total);
    for (uint32_t i = 0; i < s->slot_count; i++) {
        const struct snapshot_slot *old = same_slot(before, s->slots[i].index);

        if (old)
            subtract(s->schema, SEGMENT_PER_SLOT, s->slots[i].values, old->values);
    }
    for (uint32_t u = 0; u < s->upstream_count && u < before->upstream_count; u++)
        subtract(s->schema, SEGMENT_PER_UPSTREAM, s->upstreams[u].values, before->upstreams[u].values);
    s->seconds = now->mono_ns > before->mono_ns ? (double)(now->mono_ns - before->mono_ns) / 1e9 : 0;
    return s;
}
