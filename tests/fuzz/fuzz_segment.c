/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reader of the statistics segment on any bytes: it may refuse them or show odd figures, and nothing worse. The
 * input is the head of a file whose rest, up to 64 KiB, is a hole: the areas that a header names are then often there.
 */
#include "base/check.h"
#include "stats/format.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { FILE_SIZE = 64 << 10 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
count_bytes(void *ctx, const char *bytes, size_t len)
{
    size_t *n = ctx;

    for (size_t i = 0; i < len; i++) {
        /* what reaches a terminal holds no control characters but line ends */
        ASSERT(bytes[i] == '\n' || (bytes[i] >= 0x20 && bytes[i] < 0x7f));
        *n += 1;
    }
}

static void
use(struct stats_reader *reader)
{
    size_t n = 0;
    struct writer w = {count_bytes, &n};
    struct snapshot *s = stats_snapshot(reader), *change;

    if (!s)
        return;
    change = snapshot_difference(s, s);
    if (change) {
        stats_format_text(s, change, &w);
        snapshot_free(&change);
    }
    stats_format_json(s, &w);
    stats_format_prom(s, &w);
    stats_format_list(s->schema, &w);
    ASSERT(n > 0);
    snapshot_free(&s);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int fd = -1;
    struct stats_reader *reader;
    const char *why;

    if (fd < 0)
        fd = memfd_create("segment", MFD_CLOEXEC);
    ASSERT(fd >= 0);
    if (size > FILE_SIZE || ftruncate(fd, 0) < 0 || pwrite(fd, data, size, 0) != (ssize_t)size ||
        ftruncate(fd, FILE_SIZE) < 0)
        return 0;
    if (stats_open_fd(fd, &reader, &why) < 0)
        return 0;
    use(reader);
    stats_close_reader(&reader);
    return 0;
}
