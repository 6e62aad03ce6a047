/* SPDX-License-Identifier: Apache-2.0 */
/* Opening a segment and taking snapshots of it. */
#include "stats/read.h"

#include "stats/schema.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct stats_reader {
    int fd;
    bool own_gateway; /* opened by descriptor: the lock is our own */
    dev_t dev;
    ino_t ino;
    char path[4096];
    struct segment_header header;
    struct stats_schema schema;
    char *scratch;               /* one slot without its upstream rows, or one such row */
    uint64_t hole_from, hole_to; /* a range known to be a hole, for one snapshot */
};

static uint64_t
clock_ns(clockid_t clock)
{
    struct timespec ts;

    clock_gettime(clock, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static int
read_at(const struct stats_reader *r, uint64_t offset, void *to, size_t size)
{
    size_t done = 0;

    while (done < size) {
        ssize_t n = pread(r->fd, (char *)to + done, size - done, (off_t)(offset + done));

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            return -EBADMSG;
        done += (size_t)n;
    }
    return 0;
}

/* Whether the range was never written. Most slots and rows are not; asking the file system once per hole
 * spares reading them. Where it knows no holes, everything is data. */
static bool
is_hole(struct stats_reader *r, uint64_t offset, uint64_t size)
{
    off_t data;

    if (offset >= r->hole_from && size <= r->hole_to - offset && offset <= r->hole_to)
        return true;
    data = lseek(r->fd, (off_t)offset, SEEK_DATA);
    if (data < 0 && errno != ENXIO)
        return false;
    r->hole_from = offset;
    r->hole_to = data < 0 ? r->header.file_size : (uint64_t)data;
    return offset <= r->hole_to && size <= r->hole_to - offset;
}

static char *
read_table(struct stats_reader *r, uint64_t offset, uint32_t count, uint32_t size)
{
    char *table = malloc((size_t)count * size + 1);

    if (table && read_at(r, offset, table, (size_t)count * size) < 0) {
        free(table);
        return NULL;
    }
    return table;
}

static int
load(struct stats_reader *r, const char **ret_why)
{
    const struct segment_header *h = &r->header;
    struct stat st;
    char *metrics, *labels;
    uint32_t scratch;
    int err;

    *ret_why = "not a statistics segment";
    if (fstat(r->fd, &st) < 0)
        return -errno;
    if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size < sizeof r->header)
        return -EPROTO;
    r->dev = st.st_dev;
    r->ino = st.st_ino;
    err = read_at(r, 0, &r->header, sizeof r->header);
    if (err < 0)
        return err;
    err = schema_check_header(h, (uint64_t)st.st_size, ret_why);
    if (err < 0)
        return err;
    scratch = h->upstream_row_offset > h->upstream_row_size ? h->upstream_row_offset : h->upstream_row_size;
    metrics = read_table(r, h->metrics_offset, h->metric_count, h->metric_size);
    labels = read_table(r, h->labels_offset, h->label_count, h->label_size);
    r->scratch = malloc(scratch + 1u);
    err = -ENOMEM;
    *ret_why = "out of memory";
    if (metrics && labels && r->scratch)
        err = schema_build(&r->schema, h, metrics, labels, ret_why);
    free(metrics);
    free(labels);
    return err;
}

static int
finish_open(struct stats_reader *r, struct stats_reader **ret, const char **ret_why)
{
    int err = load(r, ret_why);

    if (err < 0) {
        stats_close_reader(&r);
        return err;
    }
    *ret = r;
    return 0;
}

int
stats_open(const char *run_dir, struct stats_reader **ret, const char **ret_why)
{
    struct stats_reader *r = calloc(1, sizeof *r);
    int err;

    *ret_why = "out of memory";
    if (!r)
        return -ENOMEM;
    snprintf(r->path, sizeof r->path, "%s/" SEGMENT_FILE_NAME, run_dir);
    /* O_NONBLOCK: what lies there may be a FIFO */
    r->fd = open(r->path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (r->fd < 0) {
        err = -errno;
        *ret_why = strerror(errno);
        free(r);
        return err;
    }
    return finish_open(r, ret, ret_why);
}

int
stats_open_fd(int fd, struct stats_reader **ret, const char **ret_why)
{
    struct stats_reader *r = calloc(1, sizeof *r);
    int err;

    *ret_why = "out of memory";
    if (!r)
        return -ENOMEM;
    r->own_gateway = true;
    r->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (r->fd < 0) {
        err = -errno;
        *ret_why = strerror(errno);
        free(r);
        return err;
    }
    return finish_open(r, ret, ret_why);
}

void
stats_close_reader(struct stats_reader **reader)
{
    struct stats_reader *r = *reader;

    if (!r)
        return;
    close(r->fd);
    schema_done(&r->schema);
    free(r->scratch);
    free(r);
    *reader = NULL;
}

const struct stats_schema *
stats_schema(const struct stats_reader *reader)
{
    return &reader->schema;
}

bool
stats_was_replaced(const struct stats_reader *reader)
{
    struct stat st;

    return !reader->own_gateway && stat(reader->path, &st) == 0 &&
           (st.st_dev != reader->dev || st.st_ino != reader->ino);
}

bool
stats_is_running(const struct stats_reader *reader)
{
    if (reader->own_gateway)
        return true;
    if (flock(reader->fd, LOCK_SH | LOCK_NB) < 0)
        return errno == EWOULDBLOCK;
    flock(reader->fd, LOCK_UN);
    return false;
}

/* Copies a metric's values out of the bytes of its slot or row and adds them to `sum` where it is not NULL.
 */
static void
take_values(const struct stats_metric *m, const char *bytes, uint64_t *values, uint64_t *sum)
{
    uint32_t cells = stats_cells(m), each = stats_cell_values(m), stride = schema_cell_bytes(m);
    uint64_t *to = values + m->first;

    for (uint32_t c = 0; c < cells; c++) {
        const char *from = bytes + m->offset + (size_t)c * stride;
        uint64_t *cell = to + (size_t)c * each;

        if (m->kind != SEGMENT_HISTOGRAM) {
            memcpy(cell, from, sizeof *cell);
            continue;
        }
        memcpy(cell, from, HISTOGRAM_BUCKETS * sizeof *cell);
        memcpy(cell + HISTOGRAM_BUCKETS, from + offsetof(struct segment_histogram, buckets),
               m->buckets * sizeof *cell);
    }
    for (uint32_t i = 0; sum && i < m->count; i++) {
        uint64_t *total = sum + m->first + i;

        if (stats_is_max(m, i))
            *total = *total > to[i] ? *total : to[i];
        else
            *total += to[i];
    }
}

static void
take_all(const struct stats_schema *schema, enum segment_scope scope, const char *bytes, uint64_t *values,
         uint64_t *sum)
{
    for (uint32_t i = 0; i < schema->metric_count; i++) {
        if (schema->metrics[i].scope == scope)
            take_values(&schema->metrics[i], bytes, values, sum);
    }
}

static void
take_head(struct snapshot_slot *slot, uint32_t index, const struct segment_slot *head)
{
    slot->index = index;
    schema_copy_text(slot->role, head->role, sizeof head->role);
    slot->state = head->state;
    slot->pid = head->pid;
    slot->alive = head->alive;
    slot->epoch = head->epoch;
    slot->deaths = head->deaths;
    slot->generation = head->generation;
    slot->start_ns = head->start_ns;
    slot->turn_ns = head->turn_ns;
    schema_copy_text(slot->check, head->check, sizeof head->check);
}

static void
take_streams(struct snapshot *s, const struct segment_header *h, uint32_t index, const char *bytes)
{
    for (uint32_t row = 0; row < h->stream_count; row++) {
        struct segment_stream from;

        memcpy(&from, bytes + h->stream_offset + (size_t)row * h->stream_size, sizeof from);
        if (!from.used)
            continue;
        s->streams[s->stream_count++] = (struct snapshot_stream){
            .slot = index,
            .row = row,
            .upstream = from.upstream,
            .method = from.method,
            .open_ns = from.open_ns,
            .update_ns = from.update_ns,
            .events = from.events,
            .bytes = from.bytes,
            .queued_bytes = from.queued_bytes,
        };
    }
}

static int
take_slot(struct stats_reader *r, struct snapshot *s, struct snapshot_slot *slot)
{
    const struct segment_header *h = &r->header;
    uint64_t at = h->slots_offset + slot->index * h->slot_size;
    bool counts = strcmp(slot->role, "worker") == 0;
    struct snapshot_stream *streams;
    int err;

    err = read_at(r, at, r->scratch, h->upstream_row_offset);
    if (err < 0)
        return err;
    take_all(&r->schema, SEGMENT_PER_SLOT, r->scratch, slot->values, counts ? s->total : NULL);
    streams = realloc(s->streams, (s->stream_count + (size_t)h->stream_count + 1) * sizeof *streams);
    if (!streams)
        return -ENOMEM;
    s->streams = streams;
    if (slot->alive)
        take_streams(s, h, slot->index, r->scratch);
    for (uint32_t u = 0; u < s->upstream_count; u++) {
        uint64_t row = at + h->upstream_row_offset + (uint64_t)u * h->upstream_row_size;

        if (is_hole(r, row, h->upstream_row_size))
            continue;
        err = read_at(r, row, r->scratch, h->upstream_row_size);
        if (err < 0)
            return err;
        take_all(&r->schema, SEGMENT_PER_UPSTREAM, r->scratch, s->block, s->upstreams[u].values);
    }
    return 0;
}

/* Finds the slots in use. */
static int
take_heads(struct stats_reader *r, struct snapshot *s)
{
    const struct segment_header *h = &r->header;

    s->slots = calloc(h->slot_count + 1u, sizeof *s->slots);
    if (!s->slots)
        return -ENOMEM;
    for (uint32_t i = 0; i < h->slot_count; i++) {
        uint64_t at = h->slots_offset + i * h->slot_size;
        struct segment_slot head;
        int err;

        if (is_hole(r, at, sizeof head))
            continue;
        err = read_at(r, at, &head, sizeof head);
        if (err < 0)
            return err;
        if (head.state != SLOT_FREE)
            take_head(&s->slots[s->slot_count++], i, &head);
    }
    return 0;
}

static int
take_upstream_names(struct stats_reader *r, struct snapshot *s)
{
    const struct segment_header *h = &r->header;

    s->upstreams = calloc(h->upstreams_named + 1u, sizeof *s->upstreams);
    if (!s->upstreams)
        return -ENOMEM;
    for (; s->upstream_count < h->upstreams_named; s->upstream_count++) {
        struct segment_upstream from;
        int err = read_at(r, h->upstreams_offset + (uint64_t)s->upstream_count * h->upstream_size, &from,
                          sizeof from);

        if (err < 0)
            return err;
        schema_copy_text(s->upstreams[s->upstream_count].name, from.name, sizeof from.name);
    }
    return 0;
}

/* One block: a row to copy into, the total, the slots' values, the upstreams'. */
static int
give_values(struct snapshot *s)
{
    const struct stats_schema *schema = s->schema;
    size_t row = schema->upstream_values, slot = schema->slot_values;
    size_t n = row + slot + s->slot_count * slot + s->upstream_count * row;
    uint64_t *next;

    if (n > READ_BLOCK_MAX)
        return -EBADMSG;
    s->block = calloc(n + 1, sizeof *s->block);
    if (!s->block)
        return -ENOMEM;
    next = s->block + row;
    s->total = next;
    next += slot;
    for (uint32_t i = 0; i < s->slot_count; i++, next += slot)
        s->slots[i].values = next;
    for (uint32_t u = 0; u < s->upstream_count; u++, next += row)
        s->upstreams[u].values = next;
    return 0;
}

/* The moment of the figures: now, or the last turn that a dead gateway's processes made. */
static void
take_moment(const struct stats_reader *r, struct snapshot *s)
{
    const struct segment_header *h = &r->header;

    s->running = stats_is_running(r);
    s->ended_well = h->end_real_ns != 0;
    s->start_real_ns = h->start_real_ns;
    if (s->running) {
        s->mono_ns = clock_ns(CLOCK_MONOTONIC);
        s->real_ns = clock_ns(CLOCK_REALTIME);
    } else {
        s->mono_ns = h->start_mono_ns;
        for (uint32_t i = 0; i < s->slot_count; i++) {
            if (s->slots[i].turn_ns > s->mono_ns)
                s->mono_ns = s->slots[i].turn_ns;
        }
        s->real_ns = h->end_real_ns ? h->end_real_ns : h->start_real_ns + (s->mono_ns - h->start_mono_ns);
        if (h->end_real_ns)
            s->mono_ns = h->start_mono_ns + (h->end_real_ns - h->start_real_ns);
    }
    s->seconds = s->mono_ns > h->start_mono_ns ? (double)(s->mono_ns - h->start_mono_ns) / 1e9 : 0;
}

static int
fill(struct stats_reader *r, struct snapshot *s)
{
    struct segment_header fresh;
    int err;

    s->schema = &r->schema;
    r->hole_from = r->hole_to = 0;
    err = read_at(r, 0, &fresh, sizeof fresh);
    if (err < 0)
        return err;
    /* only what changes in a segment's life: the rest was checked once and stays as it was then */
    r->header.end_real_ns = fresh.end_real_ns;
    if (fresh.upstreams_named <= r->header.upstream_count)
        r->header.upstreams_named = fresh.upstreams_named;
    err = take_heads(r, s);
    if (err == 0)
        err = take_upstream_names(r, s);
    if (err == 0)
        err = give_values(s);
    for (uint32_t i = 0; err == 0 && i < s->slot_count; i++)
        err = take_slot(r, s, &s->slots[i]);
    if (err < 0)
        return err;
    take_moment(r, s);
    schema_copy_text(s->version, r->header.version, sizeof r->header.version);
    s->generation = r->header.generation;
    s->node = r->header.node;
    s->supervisor_pid = r->header.supervisor_pid;
    return 0;
}

struct snapshot *
stats_snapshot(struct stats_reader *reader)
{
    struct snapshot *s = calloc(1, sizeof *s);

    if (s && fill(reader, s) < 0)
        snapshot_free(&s);
    return s;
}

void
snapshot_free(struct snapshot **s)
{
    if (!*s)
        return;
    free((*s)->slots);
    free((*s)->upstreams);
    free((*s)->streams);
    free((*s)->block);
    free(*s);
    *s = NULL;
}
