/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A session file with arbitrary bytes in it: nothing crashes or runs on, and the table stays usable. The
 * input is a list of patches {offset 4, length 1, bytes} over a file that has some sessions.
 */
#include "journal/session_layout.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { IDS = 8 };

static const struct session_writer me = {1, 1};

static struct session_record
record(uint8_t n)
{
    struct session_record r = {.id = {n, 1, 2, n}, .expires_s = 5000};

    session_record_set_upstream(&r, n, &(struct session_at_upstream){2, 9, TEXT("upstream")});
    session_record_subscribe(&r, n, TEXT("file:///x"));
    return r;
}

static struct session_table *
make_file(int fd)
{
    struct session_table *t, layout;
    struct session_header h = {.format = SESSION_FORMAT,
                               .record_size = SESSION_RECORD_BYTES,
                               .capacity = 4,
                               .places = 1,
                               .server = {2},
                               .alive = {[1] = 1}};

    memcpy(h.magic, SESSION_MAGIC, sizeof h.magic);
    session_layout(&layout, h.capacity);
    if (ftruncate(fd, (off_t)session_layout_size(&layout, 1)) || pwrite(fd, &h, sizeof h, 0) != sizeof h ||
        session_table_map(fd, &t) < 0)
        abort();
    return t;
}

static void
use(struct session_table *t)
{
    struct session_sweep sum = {0};
    struct session_cell cell;
    uint32_t at = 0, turns = 0;

    for (uint8_t n = 0; n < IDS; n++) {
        struct session_record r = record(n), got;
        struct session_at_upstream there;
        struct text text;

        session_table_home(t, 0, r.id);
        session_table_is_buried(t, 0, r.id);
        if (!session_table_find(t, 0, r.id, &cell))
            continue;
        if (session_table_read(t, cell, r.id, &got)) {
            uint32_t next = 0;

            session_record_upstream(&got, n, &there);
            while (session_record_next_subscription(&got, n, &next, &text))
                turns++;
        }
        if (session_table_take(t, cell, r.id, me)) {
            session_table_write(t, cell, &r);
            if (!session_table_read(t, cell, r.id, &got))
                abort(); /* what was written can be read */
            if (n & 1)
                session_table_remove(t, cell, me);
            else
                session_table_leave(t, cell, me);
        }
    }
    do
        session_table_sweep(t, 0, me, 1000, 10, &at, 5, &sum);
    while (at && turns++ < 1000);
    session_table_evict(t, 0, me);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int fd = -1;
    struct session_table *t, *again;

    if (fd < 0)
        fd = memfd_create("sessions", MFD_CLOEXEC);
    if (ftruncate(fd, 0))
        abort();
    t = make_file(fd);
    for (uint8_t n = 0; n < IDS; n++) {
        struct session_record r = record(n);
        struct session_cell cell;

        if (session_table_insert(t, 0, me, &r, 900, &cell) && n & 2)
            session_table_leave(t, cell, me);
        if (n & 4)
            session_table_bury(t, 0, r.id, 5000, 900);
    }
    while (size >= 5) {
        uint32_t off, len = data[4] < size - 5 ? data[4] : (uint32_t)size - 5;

        memcpy(&off, data, 4);
        off %= (uint32_t)t->size;
        len = len < t->size - off ? len : (uint32_t)(t->size - off);
        memcpy((uint8_t *)t->header + off, data + 5, len);
        data += 5 + len;
        size -= 5 + len;
    }
    use(t);
    if (session_table_map(fd, &again) == 0) {
        use(again);
        session_table_close(&again);
    }
    session_table_close(&t);
    return 0;
}
