/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A journal with arbitrary bytes in it: nothing crashes or runs on, what was written whole is read as it was,
 * and the lane stays usable for a writer. The input is an event id, and a list of patches {offset 4, length
 * 1, bytes} over a file that has some streams.
 */
#include "journal/journal_layout.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { LANES = 2, LANE = JOURNAL_LANE_MIN, STREAMS = 3, EVENTS = 200, ID_BYTES = 24 };

static char room[LANE];

static struct journal *
make_file(int fd)
{
    struct journal_header h = {.format = JOURNAL_FORMAT,
                               .entry_size = sizeof(struct journal_entry),
                               .lane_size = LANE,
                               .lanes = LANES};
    struct journal *j;

    memcpy(h.magic, JOURNAL_MAGIC, sizeof h.magic);
    if (ftruncate(fd, 0) || ftruncate(fd, (off_t)journal_layout_size(LANE, LANES)) ||
        pwrite(fd, &h, sizeof h, 0) != sizeof h || journal_map(fd, &j) < 0 || !journal_take(j, 0, 60, 1000))
        abort();
    return j;
}

static void
write_streams(struct journal *j, struct journal_stream streams[STREAMS])
{
    static char text[2000];

    memset(text, 't', sizeof text);
    for (unsigned i = 0; i < EVENTS; i++) {
        struct journal_event event = {.kind = JOURNAL_MESSAGE,
                                      .request = TEXT("12"),
                                      .message = {text, i * 37 % sizeof text},
                                      .is_final = i + STREAMS >= EVENTS};

        journal_write(j, &streams[i % STREAMS], &event, 1000 + i);
    }
}

/* Reads a stream to its end; returns how many events there were. */
static unsigned
follow(const struct journal *j, uint32_t lane, uint64_t position)
{
    struct journal_event event, next;
    unsigned n = 0;

    if (!journal_find(j, lane, position, &event))
        return 0;
    do {
        if (event.size > sizeof room)
            abort();
        journal_copy(j, &event, room);
        if (!journal_next(j, &event, &next))
            return n + 1;
        if (next.position <= event.position || next.stream != event.stream || next.number != event.number + 1)
            abort();
        event = next;
    } while (++n < LANE / sizeof(struct journal_entry) + 1);
    abort(); /* more than there is room for */
}

static void
use(struct journal *j, const uint64_t positions[], unsigned count)
{
    struct journal_stream again = {0};
    struct journal_event event = {.kind = JOURNAL_MESSAGE, .message = TEXT("written after all")};

    for (unsigned i = 0; i < count; i++)
        for (uint32_t lane = 0; lane <= LANES; lane++)
            follow(j, lane, positions[i]);
    for (unsigned i = 0; i < 100; i++) {
        journal_write(j, &again, &event, 2000);
        if (!journal_find(j, 0, again.last, &event) || !journal_copy(j, &event, room) ||
            !text_eq(event.message, TEXT("written after all")))
            abort();
    }
    if (follow(j, 0, again.last) != 1) /* of those before, nonsense may have taken some with it */
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int fd = -1;
    struct journal_stream streams[STREAMS] = {{0}};
    uint64_t positions[2 * STREAMS + 2] = {0};
    struct journal *j, *again;
    uint32_t lane, id_len = size < ID_BYTES ? (uint32_t)size : ID_BYTES;
    unsigned count = 2;

    if (fd < 0)
        fd = memfd_create("journal", MFD_CLOEXEC);
    j = make_file(fd);
    write_streams(j, streams);
    if (journal_id_read((struct text){(const char *)data, id_len}, &lane, &positions[0], &positions[1]) &&
        (lane >= JOURNAL_LANES_MAX || positions[1] > positions[0]))
        abort();
    for (unsigned i = 0; i < STREAMS; i++) {
        positions[count++] = streams[i].last;
        positions[count++] = journal_lane_at(j, 0)->first;
    }
    data += id_len;
    size -= id_len;
    while (size >= 5) {
        uint32_t off, len = data[4] < size - 5 ? data[4] : (uint32_t)size - 5;

        memcpy(&off, data, 4);
        off %= (uint32_t)j->size;
        len = len < j->size - off ? len : (uint32_t)(j->size - off);
        memcpy((uint8_t *)j->header + off, data + 5, len);
        data += 5 + len;
        size -= 5 + len;
    }
    use(j, positions, count);
    if (journal_map(fd, &again) == 0) {
        if (journal_take(again, 0, 60, 3000))
            use(again, positions, count);
        journal_close(&again);
    }
    journal_close(&j);
    return 0;
}
