/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making and mapping the segment. The layout is computed once, from the tables and the numbers of slots and
 * rows; everything that a reader needs of it is written into the header and the descriptors.
 */
#include "stats/segment.h"

#include "stats/families.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

_Static_assert(sizeof(struct segment_stream) == 64, "a stream's row is one cache line");
_Static_assert(offsetof(struct segment_slot, turn) % 64 == 0, "the turn counter has a cache line of its own");
_Static_assert(sizeof(struct segment_histogram) % 64 == 0, "histograms keep the alignment of what follows");
_Static_assert(SEGMENT_BUCKETS == 592,
               "part of the ABI only through the descriptors; checked so that a change is seen");

struct segment {
    struct segment_header *header; /* the whole file, mapped */
    size_t size;
    struct segment_header
        layout; /* what it said when it was mapped: nothing written there later moves our slots */
};

static const struct segment_metric plain_metrics[] = {
#define SUB_BITS_COUNTER                   0
#define SUB_BITS_GAUGE                     0
#define SUB_BITS_HISTOGRAM                 SEGMENT_SUB_BITS
#define BUCKETS_COUNTER                    0
#define BUCKETS_GAUGE                      0
#define BUCKETS_HISTOGRAM                  SEGMENT_BUCKETS
#define AT_COUNTER(type, STAT, HIST, id)   offsetof(type, stats) + STAT##id * sizeof(uint64_t)
#define AT_GAUGE(type, STAT, HIST, id)     AT_COUNTER(type, STAT, HIST, id)
#define AT_HISTOGRAM(type, STAT, HIST, id) offsetof(type, hists) + HIST##id * sizeof(struct segment_histogram)
#define ROW(KIND, id, UNIT, text, where, at)                                                                 \
    {.name = #id,                                                                                            \
     .help = text,                                                                                           \
     .kind = SEGMENT_##KIND,                                                                                 \
     .unit = SEGMENT_##UNIT,                                                                                 \
     .scope = where,                                                                                         \
     .offset = (uint32_t)(at),                                                                               \
     .sub_bits = SUB_BITS_##KIND,                                                                            \
     .buckets = BUCKETS_##KIND},
#define METRIC(KIND, id, UNIT, text)                                                                         \
    ROW(KIND, id, UNIT, text, SEGMENT_PER_SLOT, AT_##KIND(struct slot, STAT_, HIST_, id))
#define METRIC_UPSTREAM(KIND, id, UNIT, text)                                                                \
    ROW(KIND, id, UNIT, text, SEGMENT_PER_UPSTREAM, AT_##KIND(struct slot_upstream, UPSTAT_, UPHIST_, id))
#include <mcpgate/metrics.def>
};

enum { PLAIN_METRICS = sizeof plain_metrics / sizeof *plain_metrics, PAGE = 4096 };

static uint64_t
round_up(uint64_t n, uint64_t unit)
{
    return (n + unit - 1) / unit * unit;
}

static uint64_t
clock_ns(clockid_t clock)
{
    struct timespec ts;

    clock_gettime(clock, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static uint32_t
labels_wanted(void)
{
    uint32_t n = 0;

    for (uint32_t f = 0; f < family_count; f++)
        for (int d = 0; d < 2; d++)
            n += families[f].dim[d].value ? families[f].dim[d].count : 0;
    return n;
}

static struct segment_header
layout_of(const struct segment_config *config)
{
    struct segment_header h = {
        .abi = SEGMENT_ABI,
        .header_size = sizeof h,
        .generation = config->generation,
        .node = config->node,
        .start_real_ns = clock_ns(CLOCK_REALTIME),
        .start_mono_ns = clock_ns(CLOCK_MONOTONIC),
        .supervisor_pid = config->supervisor_pid,
        .metric_count = PLAIN_METRICS + family_count,
        .metric_size = sizeof(struct segment_metric),
        .label_count = labels_wanted(),
        .label_size = sizeof(struct segment_label),
        .upstream_count = config->upstreams,
        .upstream_size = sizeof(struct segment_upstream),
        .slot_count = config->slots,
        .slot_head_size = sizeof(struct segment_slot),
        .upstream_row_offset = offsetof(struct slot, rows),
        .upstream_row_size = sizeof(struct slot_upstream),
        .stream_offset = offsetof(struct slot, streams),
        .stream_size = sizeof(struct segment_stream),
        .stream_count = STATS_STREAMS,
    };

    memcpy(h.magic, SEGMENT_MAGIC, sizeof h.magic);
    snprintf(h.version, sizeof h.version, "%s", config->version);
    h.slot_size = sizeof(struct slot) + (uint64_t)config->upstreams * sizeof(struct slot_upstream);
    h.log_size = round_up(LOG_RING_SIZE, PAGE);
    h.metrics_offset = round_up(sizeof h, 64);
    h.labels_offset = h.metrics_offset + (uint64_t)h.metric_count * h.metric_size;
    h.upstreams_offset = h.labels_offset + (uint64_t)h.label_count * h.label_size;
    h.slots_offset = round_up(h.upstreams_offset + (uint64_t)h.upstream_count * h.upstream_size, PAGE);
    h.logs_offset = h.slots_offset + h.slot_count * h.slot_size;
    h.file_size = h.logs_offset + h.slot_count * h.log_size;
    return h;
}

static void *
at(const struct segment *segment, uint64_t offset)
{
    return (char *)segment->header + offset;
}

static void
write_family(struct segment *segment, const struct family *family, struct segment_metric *metric,
             uint32_t *next_label)
{
    struct segment_label *labels = at(segment, segment->layout.labels_offset);

    snprintf(metric->name, sizeof metric->name, "%s", family->id);
    snprintf(metric->help, sizeof metric->help, "%s", family->help);
    metric->kind = family->kind;
    metric->unit = family->unit;
    metric->sub_bits = family->kind == SEGMENT_HISTOGRAM ? SEGMENT_SUB_BITS : 0;
    metric->buckets = family->kind == SEGMENT_HISTOGRAM ? SEGMENT_BUCKETS : 0;
    metric->scope = SEGMENT_PER_SLOT;
    metric->offset = (uint32_t)family->offset;
    for (int d = 0; d < 2; d++) {
        const struct family_dim *dim = &family->dim[d];

        snprintf(metric->dim[d].name, sizeof metric->dim[d].name, "%s", dim->label);
        metric->dim[d].first = *next_label;
        metric->dim[d].count = dim->count;
        for (uint32_t i = 0; dim->value && i < dim->count; i++)
            snprintf(labels[(*next_label)++].text, sizeof labels->text, "%s", dim->value(i));
    }
}

static void
write_tables(struct segment *segment)
{
    struct segment_metric *metrics = at(segment, segment->layout.metrics_offset);
    uint32_t next_label = 0;

    memcpy(metrics, plain_metrics, sizeof plain_metrics);
    for (uint32_t f = 0; f < family_count; f++)
        write_family(segment, &families[f], &metrics[PLAIN_METRICS + f], &next_label);
    ASSERT(next_label == segment->layout.label_count);
}

static int
map(int fd, uint64_t size, struct segment **ret)
{
    struct segment *segment = calloc(1, sizeof *segment);
    void *p;

    if (!segment)
        return -ENOMEM;
    p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
    if (p == MAP_FAILED) {
        int err = errno;

        free(segment);
        return -err;
    }
    madvise(p, size, MADV_RANDOM); /* where the run directory lies on a disk: no zeros are read ahead */
    segment->header = p;
    segment->size = size;
    *ret = segment;
    return 0;
}

/* Lays the segment out in the empty file. */
static int
fill(int fd, const struct segment_config *config, struct segment **ret)
{
    struct segment_header layout = layout_of(config);
    struct segment *segment = NULL;
    int err;

    if (flock(fd, LOCK_EX | LOCK_NB) < 0 || ftruncate(fd, (off_t)layout.file_size) < 0)
        return -errno;
    err = map(fd, layout.file_size, &segment);
    if (err < 0)
        return err;
    segment->layout = layout;
    *segment->header = layout;
    write_tables(segment);
    *ret = segment;
    return 0;
}

int
segment_create(const char *run_dir, const struct segment_config *config, struct segment **ret, int *ret_fd)
{
    char path[4096], temp[4096];
    struct segment *segment = NULL;
    int fd, err;

    ASSERT(config->slots > 0 && config->slots <= SEGMENT_SLOTS_MAX &&
           config->upstreams <= SEGMENT_UPSTREAMS_MAX);
    if ((size_t)snprintf(path, sizeof path, "%s/" SEGMENT_FILE_NAME, run_dir) >= sizeof path ||
        (size_t)snprintf(temp, sizeof temp, "%s/." SEGMENT_FILE_NAME ".%d", run_dir, getpid()) >= sizeof temp)
        return -ENAMETOOLONG;
    unlink(temp);
    fd = open(temp, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
    if (fd < 0)
        return -errno;
    err = fill(fd, config, &segment);
    if (err == 0 && rename(temp, path) < 0) {
        err = -errno;
        segment_unmap(&segment);
    }
    if (err < 0) {
        unlink(temp);
        close(fd);
        return err;
    }
    *ret = segment;
    *ret_fd = fd;
    return 0;
}

static bool
is_ours(const struct segment_header *h, uint64_t file_size)
{
    return memcmp(h->magic, SEGMENT_MAGIC, sizeof h->magic) == 0 && h->abi == SEGMENT_ABI &&
           h->header_size == sizeof *h && h->file_size == file_size &&
           h->metric_count == PLAIN_METRICS + family_count && h->slot_count <= SEGMENT_SLOTS_MAX &&
           h->upstream_count <= SEGMENT_UPSTREAMS_MAX &&
           h->slot_size == sizeof(struct slot) + (uint64_t)h->upstream_count * sizeof(struct slot_upstream) &&
           h->log_size >= LOG_RING_SIZE && h->slots_offset + h->slot_count * h->slot_size == h->logs_offset &&
           h->logs_offset + h->slot_count * h->log_size == file_size;
}

int
segment_map(int fd, struct segment **ret)
{
    struct segment *segment = NULL;
    struct stat st;
    int err;

    if (fstat(fd, &st) < 0)
        return -errno;
    if ((uint64_t)st.st_size < sizeof(struct segment_header))
        return -EPROTO;
    err = map(fd, (uint64_t)st.st_size, &segment);
    if (err < 0)
        return err;
    segment->layout = *segment->header;
    if (!is_ours(&segment->layout, (uint64_t)st.st_size)) {
        segment_unmap(&segment);
        return -EPROTO;
    }
    *ret = segment;
    return 0;
}

void
segment_unmap(struct segment **segment)
{
    if (!*segment)
        return;
    munmap((*segment)->header, (*segment)->size);
    free(*segment);
    *segment = NULL;
}

uint32_t
segment_slots(const struct segment *segment)
{
    return segment->layout.slot_count;
}

uint32_t
segment_upstreams(const struct segment *segment)
{
    return segment->layout.upstream_count;
}

struct slot *
segment_slot(const struct segment *segment, uint32_t i)
{
    ASSERT(i < segment->layout.slot_count);
    return at(segment, segment->layout.slots_offset + i * segment->layout.slot_size);
}

struct log_ring *
segment_log_ring(const struct segment *segment, uint32_t i)
{
    ASSERT(i < segment->layout.slot_count);
    return at(segment, segment->layout.logs_offset + i * segment->layout.log_size);
}

int
segment_name_upstream(struct segment *segment, uint32_t i, const char *name)
{
    struct segment_upstream *upstreams = at(segment, segment->layout.upstreams_offset);

    if (i >= segment->layout.upstream_count || i > segment->header->upstreams_named)
        return -ERANGE;
    snprintf(upstreams[i].name, sizeof upstreams[i].name, "%s", name);
    if (i == segment->header->upstreams_named)
        __atomic_store_n(&segment->header->upstreams_named, i + 1, __ATOMIC_RELEASE);
    return 0;
}

const char *
segment_upstream_name(const struct segment *segment, uint32_t i)
{
    const struct segment_upstream *upstreams = at(segment, segment->layout.upstreams_offset);

    return i < segment->header->upstreams_named ? upstreams[i].name : "";
}

int32_t
segment_find_upstream(const struct segment *segment, const char *name)
{
    for (uint32_t i = 0; i < segment->header->upstreams_named; i++)
        if (*name && strcmp(segment_upstream_name(segment, i), name) == 0)
            return (int32_t)i;
    return -1;
}

struct slot *
segment_assign_slot(struct segment *segment, uint32_t i, const char *role)
{
    struct slot *slot = segment_slot(segment, i);

    snprintf(slot->head.role, sizeof slot->head.role, "%s", role);
    slot->head.generation = segment->layout.generation;
    slot->upstreams = segment->header->upstreams_named;
    return slot;
}

void
segment_finish(struct segment *segment)
{
    stats_store(&segment->header->end_real_ns, clock_ns(CLOCK_REALTIME));
}
