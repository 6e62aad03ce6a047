/* SPDX-License-Identifier: Apache-2.0 */
#include "foreign_segment.h"
#include "stats/format.h"
#include "stats/read.h"

#include <errno.h>
#include <sys/mman.h>

static struct foreign foreign;

static void
setup(void)
{
    foreign_make(&foreign);
}

TestSuite(reader, .init = setup);

/* Without the file system's cost, for the tests that do it thousands of times. */
static int
open_memory(const void *bytes, size_t size, struct stats_reader **reader, const char **why)
{
    static int fd = -1;

    if (fd < 0)
        fd = memfd_create("segment", MFD_CLOEXEC);
    cr_assert(ftruncate(fd, 0) == 0 && pwrite(fd, bytes, size, 0) == (ssize_t)size);
    return stats_open_fd(fd, reader, why);
}

static int
open_bytes(const void *bytes, size_t size, struct stats_reader **reader, const char **why)
{
    const char *dir = foreign_write(bytes, size);
    int err = stats_open(dir, reader, why);

    foreign_remove(dir);
    return err;
}

static struct stats_reader *
reader_of_foreign(void)
{
    struct stats_reader *reader = NULL;
    const char *why = "";

    cr_assert_eq(open_bytes(&foreign, sizeof foreign, &reader, &why), 0, "%s", why);
    return reader;
}

static void
swallow(void *ctx, const char *bytes, size_t len)
{
    size_t *n = ctx;

    for (size_t i = 0; i < len; i++)
        *n += (unsigned char)bytes[i] != 0;
}

/* Opens what may be damaged; where that succeeds everything that readers do must be harmless. */
static int
use_bytes(const void *bytes, size_t size)
{
    struct stats_reader *reader;
    struct snapshot *s, *change;
    const char *why = NULL;
    size_t n = 0;
    struct writer w = {swallow, &n};
    int err = open_memory(bytes, size, &reader, &why);

    if (err < 0) {
        cr_assert(why && *why);
        return err;
    }
    s = stats_snapshot(reader);
    if (s) {
        change = snapshot_difference(s, s);
        cr_assert_not_null(change);
        stats_format_text(s, change, &w);
        stats_format_json(s, &w);
        stats_format_prom(s, &w);
        stats_format_list(s->schema, &w);
        cr_assert_gt(n, 0);
        snapshot_free(&change);
    }
    snapshot_free(&s);
    stats_close_reader(&reader);
    return 0;
}

Test(reader, reads_a_gateway_with_other_metrics_and_larger_structs)
{
    struct stats_reader *reader = reader_of_foreign();
    struct snapshot *s = stats_snapshot(reader);
    const struct stats_metric *m;

    cr_assert_not_null(s);
    cr_assert_str_eq(s->version, "9.9");
    cr_assert_eq(s->slot_count, 2);
    cr_assert_eq(s->slots[1].index, 2);
    cr_assert_eq(s->slots[1].deaths, 1);
    cr_assert_str_eq(s->slots[1].check, "check failed at pot.c:1: lid");
    m = stats_find(s->schema, SEGMENT_PER_SLOT, "teapots");
    cr_assert_eq(s->total[m->first], 601);
    m = stats_find(s->schema, SEGMENT_PER_SLOT, "kettle");
    cr_assert_eq(s->total[m->first], 3072);
    m = stats_find(s->schema, SEGMENT_PER_SLOT, "brews");
    cr_assert_eq(m->count, 6);
    cr_assert_eq(s->total[m->first], 10);
    cr_assert_eq(s->total[m->first + 4], 3);
    cr_assert_str_eq(m->dim[1].values[2].text, "huge");
    m = stats_find(s->schema, SEGMENT_PER_SLOT, "steeping");
    /* two buckets a power of two: 180 values in [2^20, 1.5 * 2^20), the others in [2^26, 1.5 * 2^26) */
    cr_assert_eq(stats_percentile(m, s->total, 0.5), (1u << 20) + (uint64_t)((1u << 19) * 99.5 / 180));
    cr_assert_eq(stats_percentile(m, s->total, 0.99), 70000000);
    cr_assert_eq(s->upstream_count, 1);
    cr_assert_eq(s->upstreams[0].values[0], 30);
    cr_assert_eq(s->stream_count, 1);
    cr_assert_eq(s->streams[0].events, 12);
    cr_assert_str_eq(snapshot_stream_method(s, &s->streams[0]), "?");
    cr_assert_null(stats_find(s->schema, SEGMENT_PER_SLOT, "requests_begun"));
    snapshot_free(&s);
    stats_close_reader(&reader);
}

Test(reader, tells_a_dead_gateway_and_when_it_was_last_alive)
{
    struct stats_reader *reader = reader_of_foreign();
    struct snapshot *s = stats_snapshot(reader);

    cr_assert(!s->running && !s->ended_well);
    cr_assert_eq(s->real_ns, 1700000100000000000u);
    cr_assert_float_eq(s->seconds, 100, 0.001);
    snapshot_free(&s);
    stats_close_reader(&reader);
}

Test(reader, says_what_is_wrong_with_a_file_that_is_no_segment)
{
    struct stats_reader *reader;
    const char *why;

    cr_assert_eq(stats_open("/nonexistent", &reader, &why), -ENOENT);
    cr_assert_str_eq(why, "No such file or directory");
    cr_assert_eq(open_bytes("", 0, &reader, &why), -EPROTO);
    cr_assert_str_eq(why, "not a statistics segment");
    foreign.header.abi++;
    cr_assert_eq(open_bytes(&foreign, sizeof foreign, &reader, &why), -EPROTO);
    cr_assert_str_eq(why, "a segment of another ABI: use the mcpstat that came with this gateway");
    foreign.header.abi = SEGMENT_ABI_FIRST - 1;
    cr_assert_eq(open_bytes(&foreign, sizeof foreign, &reader, &why), -EPROTO);
    foreign.header.abi = SEGMENT_ABI;
    cr_assert_eq(open_bytes(&foreign, sizeof foreign - 1, &reader, &why), -EBADMSG);
    cr_assert_str_eq(why, "the segment is cut short");
    foreign.header.slots_offset = UINT64_MAX - 8;
    cr_assert_eq(open_bytes(&foreign, sizeof foreign, &reader, &why), -EBADMSG);
    cr_assert_str_eq(why, "the segment's header is damaged");
}

Test(reader, survives_a_file_cut_at_every_length)
{
    for (size_t size = 0; size < sizeof foreign; size += size < 4096 ? 1 : 37)
        cr_assert_lt(use_bytes(&foreign, size), 0, "cut at %zu", size);
    cr_assert_eq(use_bytes(&foreign, sizeof foreign), 0);
}

/* Each number of the header and of the descriptors, at values where bounds checks go wrong. */
Test(reader, survives_every_field_of_header_and_descriptors_at_extreme_values)
{
    static const uint32_t extremes[] = {0, 1, 7, 0x7fffffff, 0x80000000, 0xffffffff, 0xfffffff8, 4096, 65537};
    size_t end = offsetof(struct foreign, labels);
    unsigned refused = 0;

    for (size_t at = 0; at + 4 <= end; at += 4) {
        for (unsigned k = 0; k < sizeof extremes / sizeof *extremes; k++) {
            foreign_make(&foreign);
            memcpy((char *)&foreign + at, &extremes[k], 4);
            refused += use_bytes(&foreign, sizeof foreign) < 0;
        }
    }
    cr_assert_gt(refused, 200);
}

Test(reader, reads_gateways_of_every_abi_since_the_first)
{
    for (uint32_t abi = SEGMENT_ABI_FIRST; abi <= SEGMENT_ABI; abi++) {
        foreign.header.abi = abi;
        cr_assert_eq(use_bytes(&foreign, sizeof foreign), 0, "abi %u", abi);
    }
}

/* The third value of the second label, in both slots. */
static void
count_sips(unsigned bucket, uint64_t n, uint64_t each)
{
    foreign_time(foreign.slots[0].sips[1 * 3 + 2], bucket, n, each);
    foreign_time(foreign.slots[2].sips[1 * 3 + 2], bucket, 2 * n, 2 * each);
}

Test(reader, sums_histograms_with_labels_each_by_itself)
{
    struct stats_reader *reader;
    struct snapshot *s, *change;
    const struct stats_metric *m;

    count_sips(40, 10, 1100000);
    reader = reader_of_foreign();
    s = stats_snapshot(reader);
    m = stats_find(s->schema, SEGMENT_PER_SLOT, "sips");
    cr_assert_eq(stats_cells(m), 6);
    for (uint32_t i = 0; i < 6; i++) {
        const uint64_t *values = stats_cell(m, s->total, i);

        cr_assert_eq(values[m->first + HISTOGRAM_COUNT], i == 5 ? 30 : 0, "value %u", i);
        cr_assert_eq(stats_cell_counts(m, s->total, i), i == 5);
        cr_assert_eq(values[m->first + HISTOGRAM_MAX], i == 5 ? 2200000 : 0, "the larger of the two");
        cr_assert_eq(stats_percentile(m, values, 0.5),
                     i == 5 ? (1u << 20) + (uint64_t)((1u << 19) * 14.5 / 30) : 0);
    }
    change = snapshot_difference(s, s);
    cr_assert_eq(stats_cell(m, change->total, 5)[m->first + HISTOGRAM_COUNT], 0);
    cr_assert_eq(stats_cell(m, change->total, 5)[m->first + HISTOGRAM_MAX], 2200000, "of its whole life");
    snapshot_free(&change);
    snapshot_free(&s);
    stats_close_reader(&reader);
}

/* A histogram that text shows as a column, of every shape. */
Test(reader, survives_transports_of_any_shape)
{
    static const uint32_t counts[] = {0, 1, 2, 3, 4, 5, 6, 16384, 0x7fffffff, 0xffffffff};
    enum { COUNTS = sizeof counts / sizeof *counts };
    unsigned used = 0;

    for (unsigned k = 0; k < COUNTS * COUNTS * 2; k++) {
        struct segment_metric *m = foreign_metric(&foreign, 5);

        foreign_make(&foreign);
        strcpy(m->name, "transport_jitter");
        strcpy(m->dim[0].name, "side");
        strcpy(m->dim[1].name, "transport");
        m->scope = k % 2 ? SEGMENT_PER_UPSTREAM : SEGMENT_PER_SLOT;
        m->dim[0].count = counts[k / 2 % COUNTS];
        m->dim[1].count = counts[k / 2 / COUNTS];
        count_sips(40, 1, 1100000);
        used += use_bytes(&foreign, sizeof foreign) == 0;
    }
    cr_assert_gt(used, 3, "%u", used);
}

Test(reader, refuses_descriptors_that_reach_out_of_their_slot)
{
    struct segment_metric *m = foreign_metric(&foreign, 3);
    struct stats_reader *reader;
    const char *why;

    m->offset = (uint32_t)offsetof(struct foreign_slot, rows) - 8;
    cr_assert_eq(open_bytes(&foreign, sizeof foreign, &reader, &why), -EBADMSG);
    cr_assert_str_eq(why, "a metric's descriptor in the segment is damaged");
    foreign_make(&foreign);
    foreign_metric(&foreign, 4)->offset = 8;
    cr_assert_eq(open_bytes(&foreign, sizeof foreign, &reader, &why), -EBADMSG);
    foreign_make(&foreign);
    foreign_metric(&foreign, 2)->dim[1].count = 4;
    cr_assert_eq(open_bytes(&foreign, sizeof foreign, &reader, &why), -EBADMSG);
    foreign_make(&foreign);
    foreign_metric(&foreign, 0)->name[0] = '\x1b';
    cr_assert_eq(open_bytes(&foreign, sizeof foreign, &reader, &why), -EBADMSG);
}

Test(reader, lets_no_control_byte_of_the_file_reach_the_terminal)
{
    struct stats_reader *reader;
    struct snapshot *s;

    strcpy(foreign.upstreams[0].name, "\x1b[31mred\n\xff");
    memset(foreign.labels[0].text, 'x', sizeof foreign.labels[0].text);
    reader = reader_of_foreign();
    s = stats_snapshot(reader);
    cr_assert_str_eq(s->upstreams[0].name, "?[31mred??");
    cr_assert_eq(strlen(s->schema->labels[0].text), SEGMENT_NAME_MAX);
    snapshot_free(&s);
    stats_close_reader(&reader);
}

Test(reader, notices_a_file_that_shrinks_while_it_is_read)
{
    const char *dir = foreign_write(&foreign, sizeof foreign), *why;
    struct stats_reader *reader;
    char path[96];

    snprintf(path, sizeof path, "%s/stats", dir);
    cr_assert_eq(stats_open(dir, &reader, &why), 0);
    cr_assert_eq(truncate(path, 3000), 0);
    cr_assert_null(stats_snapshot(reader));
    stats_close_reader(&reader);
    foreign_remove(dir);
}

Test(reader, subtracts_counters_and_histograms_and_leaves_gauges)
{
    const char *dir = foreign_write(&foreign, sizeof foreign), *why;
    struct stats_reader *reader;
    struct snapshot *before, *now, *change;
    const struct stats_metric *m;
    char path[96];
    int fd;

    cr_assert_eq(stats_open(dir, &reader, &why), 0);
    before = stats_snapshot(reader);
    foreign.slots[0].teapots += 50;
    foreign.slots[2].teapots = 1; /* went backwards: as if it started anew */
    foreign.slots[0].kettle = 5;
    foreign.slots[0].rows[0].pours += 4;
    foreign_time(foreign.slots[0].time, 60, 3, 1u << 30);
    foreign_head(&foreign, 0)->turn_ns += 2000000000u;
    snprintf(path, sizeof path, "%s/stats", dir);
    fd = open(path, O_WRONLY);
    cr_assert_eq(pwrite(fd, &foreign, sizeof foreign, 0), (ssize_t)sizeof foreign);
    close(fd);
    now = stats_snapshot(reader);
    change = snapshot_difference(now, before);
    m = stats_find(now->schema, SEGMENT_PER_SLOT, "teapots");
    cr_assert_eq(change->slots[0].values[m->first], 50);
    cr_assert_eq(change->slots[1].values[m->first], 1);
    m = stats_find(now->schema, SEGMENT_PER_SLOT, "kettle");
    cr_assert_eq(change->total[m->first], 2053);
    m = stats_find(now->schema, SEGMENT_PER_SLOT, "steeping");
    cr_assert_eq(change->total[m->first + HISTOGRAM_COUNT], 3);
    cr_assert_eq(stats_count_below(m, change->total, 1u << 30), 0);
    cr_assert_eq(stats_count_below(m, change->total, 1ull << 31), 3);
    cr_assert_eq(change->upstreams[0].values[0], 4);
    cr_assert_float_eq(change->seconds, 2, 0.001);
    snapshot_free(&before);
    snapshot_free(&now);
    snapshot_free(&change);
    stats_close_reader(&reader);
    foreign_remove(dir);
}
