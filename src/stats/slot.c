/* SPDX-License-Identifier: Apache-2.0 */
/* A slot's life and its table of streams: what is too rare or too long to be inline in stats.h. */
#include "stats/gauges.h"
#include "stats/stats.h"

#include <string.h>
#include <time.h>

const bool stat_is_gauge[STATS] = {
#define IS_GAUGE_COUNTER(id)
#define IS_GAUGE_HISTOGRAM(id)
#define IS_GAUGE_GAUGE(id)           [STAT_##id] = true,
#define METRIC(KIND, id, UNIT, help) IS_GAUGE_##KIND(id)
#include <mcpgate/metrics.def>
};

const bool trstat_is_gauge[TRSTATS] = {
#define IS_TRGAUGE_COUNTER(id)
#define IS_TRGAUGE_HISTOGRAM(id)
#define IS_TRGAUGE_GAUGE(id)                   [TRSTAT_##id] = true,
#define METRIC_TRANSPORT(KIND, id, UNIT, help) IS_TRGAUGE_##KIND(id)
#include <mcpgate/metrics.def>
};

const bool upstat_is_gauge[UPSTATS] = {
#define IS_UPGAUGE_COUNTER(id)
#define IS_UPGAUGE_HISTOGRAM(id)
#define IS_UPGAUGE_GAUGE(id)                  [UPSTAT_##id] = true,
#define METRIC_UPSTREAM(KIND, id, UNIT, help) IS_UPGAUGE_##KIND(id)
#include <mcpgate/metrics.def>
};

static uint64_t
clock_mono_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* Reads each named row, which makes its first page resident: not for a slot's first incarnation. */
static void
reset_gauges(struct slot *slot)
{
    for (unsigned id = 0; id < STATS; id++) {
        if (stat_is_gauge[id])
            stats_store(&slot->stats[id], 0);
    }
    for (unsigned id = 0; id < TRSTATS; id++) {
        uint64_t *cells = slot->transports[id][0];

        for (unsigned i = 0; trstat_is_gauge[id] && i < (unsigned)LINK_SIDES * TRANSPORTS; i++)
            stats_store(&cells[i], 0);
    }
    for (uint32_t u = 0; u < slot->upstreams; u++) {
        for (unsigned id = 0; id < UPSTATS; id++) {
            if (upstat_is_gauge[id] && slot->rows[u].stats[id])
                stats_store(&slot->rows[u].stats[id], 0);
        }
    }
}

static void
reset_streams(struct slot *slot)
{
    for (unsigned row = 0; row < STATS_STREAMS; row++) {
        /* the free list is a stack: low rows first, so that few streams touch few pages */
        slot->stream_free[row] = (uint16_t)(STATS_STREAMS - 1 - row);
        if (slot->head.state != SLOT_FREE)
            __atomic_store_n(&slot->streams[row].used, 0, __ATOMIC_RELAXED);
    }
    slot->stream_free_count = STATS_STREAMS;
}

void
stats_slot_begin(struct slot *slot, uint32_t epoch, int32_t pid)
{
    reset_streams(slot);
    if (slot->head.state != SLOT_FREE)
        reset_gauges(slot);
    for (unsigned id = 0; id < STATS; id++)
        slot->base[id] = slot->stats[id];
    slot->head.epoch = epoch;
    slot->head.pid = pid;
    slot->head.alive = 1;
    slot->head.start_ns = clock_mono_ns();
    stats_store(&slot->head.turn_ns, slot->head.start_ns);
    stats_slot_set_state(slot, SLOT_STARTING);
}

void
stats_slot_set_state(struct slot *slot, enum segment_slot_state state)
{
    __atomic_store_n(&slot->head.state, (uint32_t)state, __ATOMIC_RELEASE);
}

/* Brings `done` up to `begun`, and says by how much. From the two counters and not from a gauge: a process
 * may die between two of its counts. */
static uint64_t
settle(struct slot *slot, enum stat_id begun, enum stat_id done)
{
    uint64_t open = slot->stats[begun] > slot->stats[done] ? slot->stats[begun] - slot->stats[done] : 0;

    stats_add(slot, done, open);
    return open;
}

uint64_t
stats_slot_died(struct slot *slot)
{
    uint64_t open = settle(slot, STAT_requests_begun, STAT_exchanges_finished);

    stats_bump(&slot->closed[CLOSE_WORKER_DIED], open);
    settle(slot, STAT_connections_accepted, STAT_connections_closed);
    settle(slot, STAT_buffers_taken, STAT_buffers_returned);
    settle(slot, STAT_slab_taken, STAT_slab_returned);
    reset_gauges(slot);
    reset_streams(slot);
    slot->head.deaths++;
    slot->head.alive = 0;
    stats_slot_set_state(slot, SLOT_DIED);
    return open;
}

void
stats_slot_ended(struct slot *slot)
{
    reset_gauges(slot);
    reset_streams(slot);
    slot->head.alive = 0;
    stats_slot_set_state(slot, SLOT_ENDED);
}

void
stats_slot_set_check(struct slot *slot, const char *text)
{
    size_t i = 0;

    for (; text[i] && i < sizeof slot->head.check - 1; i++)
        slot->head.check[i] = text[i];
    slot->head.check[i] = '\0';
}

int
stats_stream_open(struct slot *slot, unsigned upstream, enum mcp_method method, uint64_t stamp_ns)
{
    struct segment_stream *stream;
    int row;

    if (slot->stream_free_count == 0) {
        stats_add(slot, STAT_streams_unlisted, 1);
        return -1;
    }
    row = slot->stream_free[--slot->stream_free_count];
    stream = &slot->streams[row];
    stream->upstream = (uint16_t)upstream;
    stream->method = (uint16_t)method;
    stats_store(&stream->open_ns, stamp_ns);
    stats_stream_update(slot, row, 0, 0, 0, stamp_ns);
    __atomic_store_n(&stream->used, 1, __ATOMIC_RELEASE);
    return row;
}

void
stats_stream_update(struct slot *slot, int row, uint64_t events, uint64_t bytes, uint64_t queued,
                    uint64_t stamp_ns)
{
    struct segment_stream *stream;

    if (row < 0)
        return;
    stream = &slot->streams[row];
    stats_store(&stream->events, events);
    stats_store(&stream->bytes, bytes);
    stats_store(&stream->queued_bytes, queued);
    stats_store(&stream->update_ns, stamp_ns);
}

void
stats_stream_close(struct slot *slot, int row)
{
    if (row < 0)
        return;
    ASSERT(slot->streams[row].used && slot->stream_free_count < STATS_STREAMS);
    __atomic_store_n(&slot->streams[row].used, 0, __ATOMIC_RELEASE);
    slot->stream_free[slot->stream_free_count++] = (uint16_t)row;
}
