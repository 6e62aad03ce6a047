/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A segment that this build's gateway would never write: other metrics, larger descriptors, a longer slot
 * head, another kind of histogram. What a reader of an older or newer gateway meets, and small enough to
 * write its output down.
 */
#ifndef TESTS_FOREIGN_SEGMENT_H
#define TESTS_FOREIGN_SEGMENT_H

#include <criterion/criterion.h>
#include <fcntl.h>
#include <mcpgate/segment.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    FOREIGN_SUB_BITS = 1,
    FOREIGN_BUCKETS = 72, /* up to 2^37 ns */
    FOREIGN_METRIC_SIZE = sizeof(struct segment_metric) + 24,
    FOREIGN_METRICS = 6,
    FOREIGN_SLOTS = 3,
    FOREIGN_HEAD_SIZE = sizeof(struct segment_slot) + 64,
};

struct foreign_slot {
    char head[FOREIGN_HEAD_SIZE] __attribute__((aligned(64))); /* struct segment_slot and something newer */
    uint64_t teapots, kettle;
    uint64_t brews[2 * 3];
    uint64_t time[8 + FOREIGN_BUCKETS];
    uint64_t sips[2 * 3][8 + FOREIGN_BUCKETS];
    struct segment_stream streams[2];
    struct {
        uint64_t pours;
    } rows[2];
};

struct foreign {
    struct segment_header header __attribute__((aligned(64)));
    char metrics[FOREIGN_METRICS][FOREIGN_METRIC_SIZE];
    struct segment_label labels[5];
    struct segment_upstream upstreams[2];
    struct foreign_slot slots[FOREIGN_SLOTS];
};

static inline struct segment_metric *
foreign_metric(struct foreign *f, unsigned i)
{
    return (struct segment_metric *)(void *)f->metrics[i];
}

static inline struct segment_slot *
foreign_head(struct foreign *f, unsigned i)
{
    return (struct segment_slot *)(void *)f->slots[i].head;
}

static inline void
foreign_describe(struct foreign *f)
{
    *foreign_metric(f, 0) = (struct segment_metric){.name = "teapots",
                                                    .help = "teapots \"made\" \\o/",
                                                    .kind = SEGMENT_COUNTER,
                                                    .offset = offsetof(struct foreign_slot, teapots)};
    *foreign_metric(f, 1) = (struct segment_metric){.name = "kettle",
                                                    .help = "water in the kettle",
                                                    .kind = SEGMENT_GAUGE,
                                                    .unit = SEGMENT_BYTES,
                                                    .offset = offsetof(struct foreign_slot, kettle)};
    *foreign_metric(f, 2) = (struct segment_metric){.name = "brews",
                                                    .help = "brews by leaf and cup",
                                                    .kind = SEGMENT_COUNTER,
                                                    .offset = offsetof(struct foreign_slot, brews),
                                                    .dim = {{"leaf", 0, 2}, {"cup", 2, 3}}};
    *foreign_metric(f, 3) = (struct segment_metric){.name = "steeping",
                                                    .help = "time in the pot",
                                                    .kind = SEGMENT_HISTOGRAM,
                                                    .unit = SEGMENT_SECONDS,
                                                    .offset = offsetof(struct foreign_slot, time),
                                                    .sub_bits = FOREIGN_SUB_BITS,
                                                    .buckets = FOREIGN_BUCKETS};
    *foreign_metric(f, 4) = (struct segment_metric){.name = "pours",
                                                    .help = "cups poured",
                                                    .kind = SEGMENT_COUNTER,
                                                    .scope = SEGMENT_PER_UPSTREAM,
                                                    .offset = 0};
    *foreign_metric(f, 5) = (struct segment_metric){.name = "sips",
                                                    .help = "time between sips, by leaf and cup",
                                                    .kind = SEGMENT_HISTOGRAM,
                                                    .unit = SEGMENT_SECONDS,
                                                    .offset = offsetof(struct foreign_slot, sips),
                                                    .sub_bits = FOREIGN_SUB_BITS,
                                                    .buckets = FOREIGN_BUCKETS,
                                                    .dim = {{"leaf", 0, 2}, {"cup", 2, 3}}};
    strcpy(f->labels[0].text, "green");
    strcpy(f->labels[1].text, "black");
    strcpy(f->labels[2].text, "small");
    strcpy(f->labels[3].text, "lar\"ge\\");
    strcpy(f->labels[4].text, "huge");
    strcpy(f->upstreams[0].name, "kitchen");
}

static inline void
foreign_lay_out(struct foreign *f)
{
    memcpy(f->header.magic, SEGMENT_MAGIC, 8);
    strcpy(f->header.version, "9.9");
    f->header.abi = SEGMENT_ABI;
    f->header.header_size = sizeof f->header;
    f->header.file_size = sizeof *f;
    f->header.generation = 7;
    f->header.node = 3;
    f->header.supervisor_pid = 4711;
    f->header.start_real_ns = 1700000000000000000u;
    f->header.start_mono_ns = 1000000000000u;
    f->header.metrics_offset = offsetof(struct foreign, metrics);
    f->header.metric_count = FOREIGN_METRICS;
    f->header.metric_size = FOREIGN_METRIC_SIZE;
    f->header.labels_offset = offsetof(struct foreign, labels);
    f->header.label_count = 5;
    f->header.label_size = sizeof(struct segment_label);
    f->header.upstreams_offset = offsetof(struct foreign, upstreams);
    f->header.upstream_count = 2;
    f->header.upstreams_named = 1;
    f->header.upstream_size = sizeof(struct segment_upstream);
    f->header.slots_offset = offsetof(struct foreign, slots);
    f->header.slot_count = FOREIGN_SLOTS;
    f->header.slot_size = sizeof(struct foreign_slot);
    f->header.slot_head_size = FOREIGN_HEAD_SIZE;
    f->header.upstream_row_offset = offsetof(struct foreign_slot, rows);
    f->header.upstream_row_size = sizeof(uint64_t);
    f->header.stream_offset = offsetof(struct foreign_slot, streams);
    f->header.stream_size = sizeof(struct segment_stream);
    f->header.stream_count = 2;
}

static inline void
foreign_time(uint64_t *time, unsigned bucket, uint64_t n, uint64_t each)
{
    time[0] += n;
    time[1] += n * each;
    time[2] = each > time[2] ? each : time[2];
    time[8 + bucket] += n;
}

/* Slot 0 a worker, slot 1 free, slot 2 a worker that died once. */
static inline void
foreign_count(struct foreign *f)
{
    static const unsigned used[] = {0, 2};

    for (unsigned i = 0; i < 2; i++) {
        struct foreign_slot *slot = &f->slots[used[i]];
        struct segment_slot *head = foreign_head(f, used[i]);

        strcpy(head->role, "worker");
        head->state = SLOT_READY;
        head->alive = 1;
        head->pid = 100 + (int)used[i];
        head->epoch = 1 + i;
        head->deaths = i;
        head->generation = 7;
        head->start_ns = f->header.start_mono_ns + 1000000000u;
        head->turn_ns = f->header.start_mono_ns + 100000000000u - 500000000u * i;
        slot->teapots = 300 + i;
        slot->kettle = 1024 * (i + 1);
        slot->brews[0] = 5;
        slot->brews[1 * 3 + 1] = 1 + i;
        foreign_time(slot->time, 40, 90, 1100000);  /* 2^20 ns.. */
        foreign_time(slot->time, 52, 10, 70000000); /* 2^26 ns.. */
        slot->rows[0].pours = 10 * (i + 1);
    }
    strcpy(foreign_head(f, 2)->check, "check failed at pot.c:1: lid");
    f->slots[0].streams[1] = (struct segment_stream){.used = 1,
                                                     .upstream = 0,
                                                     .method = 1,
                                                     .open_ns = f->header.start_mono_ns + 40000000000u,
                                                     .update_ns = f->header.start_mono_ns + 99000000000u,
                                                     .events = 12,
                                                     .bytes = 3456,
                                                     .queued_bytes = 78};
}

static inline void
foreign_make(struct foreign *f)
{
    memset(f, 0, sizeof *f);
    foreign_lay_out(f);
    foreign_describe(f);
    foreign_count(f);
}

/* Writes it as the segment of a fresh run directory, whose name is returned. */
static inline const char *
foreign_write(const void *bytes, size_t size)
{
    static char dir[64];
    char path[96];
    int fd;

    strcpy(dir, "/tmp/mcpgate-test-XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/stats", dir);
    fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
    cr_assert(fd >= 0 && write(fd, bytes, size) == (ssize_t)size);
    close(fd);
    return dir;
}

static inline void
foreign_remove(const char *dir)
{
    char path[96];

    snprintf(path, sizeof path, "%s/stats", dir);
    unlink(path);
    rmdir(dir);
}

#endif
