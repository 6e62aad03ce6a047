/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The supervisor's side of the session file: making it, opening the one of an earlier run, moving its
 * sessions to one of another size. A new file is filled under another name and renamed, so that there is
 * never half of one; all its blocks are allocated, so that no worker is killed by a full disk.
 */
#include "journal/session_layout.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define NEW_NAME SESSION_FILE_NAME ".new"

/* 0 or a negated errno. */
static int
allocate(int fd, size_t size)
{
    return -posix_fallocate(fd, 0, (off_t)size);
}

static void
forget(struct session_table *t)
{
    if (t->size)
        munmap(t->header, t->size);
    if (t->fd >= 0)
        close(t->fd);
    t->size = 0;
    t->fd = -1;
}

/* An empty file under the other name. */
static int
make(struct session_table *t, uint32_t places, uint32_t capacity, uint32_t node)
{
    int err;

    session_layout(t, capacity);
    unlinkat(t->dir_fd, NEW_NAME, 0);
    t->fd = openat(t->dir_fd, NEW_NAME, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (t->fd < 0)
        return -errno;
    err = allocate(t->fd, session_layout_size(t, places));
    if (err == 0)
        err = session_layout_map(t, t->fd, places);
    if (err < 0) {
        forget(t);
        unlinkat(t->dir_fd, NEW_NAME, 0);
        return err;
    }
    *t->header = (struct session_header){.format = SESSION_FORMAT,
                                         .record_size = SESSION_RECORD_BYTES,
                                         .capacity = capacity,
                                         .node = node,
                                         .places = places};
    memcpy(t->header->magic, SESSION_MAGIC, sizeof t->header->magic);
    return 0;
}

static int
put_in_place(const struct session_table *t)
{
    return renameat(t->dir_fd, NEW_NAME, t->dir_fd, SESSION_FILE_NAME) < 0 ? -errno : 0;
}

/* Maps the file that is there. -ENOENT: none is; -EPROTO: it is not one of ours. */
static int
open_old(struct session_table *t)
{
    struct session_header h;
    struct stat st;
    int err = -EPROTO;

    t->fd = openat(t->dir_fd, SESSION_FILE_NAME, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (t->fd < 0)
        return errno == ELOOP ? -EPROTO : -errno;
    if (fstat(t->fd, &st) == 0 && pread(t->fd, &h, sizeof h, 0) == (ssize_t)sizeof h &&
        session_layout_fits(&h, (uint64_t)st.st_size)) {
        session_layout(t, h.capacity);
        err = session_layout_map(t, t->fd, h.places);
    }
    if (err < 0)
        forget(t);
    return err;
}

/* Nobody runs yet who could own or serve anything. Rooms that were handed out and that no head got are not
 * lost for ever. */
static void
forget_processes(struct session_table *t)
{
    uint32_t cells = t->buckets * SESSION_BUCKET;

    memset(t->header->server, 0, sizeof t->header->server);
    memset(t->header->alive, 0, sizeof t->header->alive);
    for (uint32_t place = 0; place < t->places; place++) {
        uint32_t rooms = 0;

        for (uint32_t i = 0; i < cells; i++) {
            struct session_head *head = session_head_at(t, (struct session_cell){place, i});

            if (head->owner) /* a page that is not touched stays clean */
                head->owner = 0;
            if (head->room > rooms && head->room <= cells)
                rooms = head->room;
        }
        t->header->rooms[place] = rooms;
    }
}

static void
copy_record(struct session_table *to, const struct session_table *from, struct session_cell cell)
{
    const struct session_writer me = {0, 1}; /* alive nowhere: what it owns is free */
    const struct session_head *head = session_head_at(from, cell);
    struct session_record r;
    struct session_cell at;

    if (!head->tag || !head->expires_s || !session_copy_newest(from, cell, &r) ||
        session_tag(r.id) != head->tag)
        return;
    if (!session_table_insert(to, cell.place, me, &r, head->used_s, &at) &&
        session_table_evict_near(to, cell.place, r.id, me))
        session_table_insert(to, cell.place, me, &r, head->used_s, &at);
}

static void
copy_all(struct session_table *to, const struct session_table *from)
{
    for (uint32_t place = 0; place < from->places; place++) {
        for (uint32_t i = 0; i < from->buckets * SESSION_BUCKET; i++)
            copy_record(to, from, (struct session_cell){place, i});
        for (uint32_t i = 0; i < from->tombstone_buckets * SESSION_BUCKET; i++) {
            const struct session_tombstone *old = session_tombstone_at(from, place, i);

            if (old->tag && old->expires_s)
                session_bury_tag(to, place, old->tag, old->expires_s, 0);
        }
    }
}

/* The sessions of a file of another capacity, in a new one. */
static int
convert(struct session_table *t, uint32_t places, uint32_t capacity)
{
    struct session_table old = *t;
    int err;

    t->size = 0;
    t->fd = -1;
    err = make(t, places > old.places ? places : old.places, capacity, old.header->node);
    if (err == 0)
        copy_all(t, &old);
    forget(&old);
    return err < 0 ? err : put_in_place(t);
}

static int
open_or_make(struct session_table *t, const char *dir, uint32_t places, uint32_t capacity, uint32_t node,
             char *note, size_t note_size)
{
    int err;

    t->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (t->dir_fd < 0)
        return -errno;
    if (flock(t->dir_fd, LOCK_EX | LOCK_NB) < 0)
        return errno == EWOULDBLOCK ? -EBUSY : -errno;
    err = open_old(t);
    if (err == -EPROTO)
        snprintf(note, note_size,
                 "%s/" SESSION_FILE_NAME " is damaged or of another version: it is made anew; sessions are "
                 "rebuilt as their clients come",
                 dir);
    if (err == -EPROTO || err == -ENOENT) {
        err = make(t, places, capacity, node);
        return err < 0 ? err : put_in_place(t);
    }
    if (err == 0 && t->capacity != capacity) {
        snprintf(note, note_size, "the sessions in %s/" SESSION_FILE_NAME " move to tables of %u", dir,
                 capacity);
        err = convert(t, places, capacity);
    } else if (err == 0) {
        err = session_table_grow(t, places);
    }
    if (err == 0)
        forget_processes(t);
    return err;
}

int
session_table_open(const char *dir, uint32_t places, uint32_t capacity, uint32_t node,
                   struct session_table **ret, char *note, size_t note_size)
{
    struct session_table *t = calloc(1, sizeof *t);
    int err;

    note[0] = '\0';
    if (!t)
        return -ENOMEM;
    t->fd = t->dir_fd = -1;
    err = open_or_make(t, dir, places, capacity, node, note, note_size);
    if (err < 0) {
        session_table_close(&t);
        return err;
    }
    *ret = t;
    return 0;
}

int
session_table_grow(struct session_table *t, uint32_t places)
{
    int err;

    if (places <= session_table_places(t))
        return 0;
    err = allocate(t->fd, session_layout_size(t, places));
    if (err == 0)
        __atomic_store_n(&t->header->places, places, __ATOMIC_RELEASE);
    return err;
}

int
session_table_fd(const struct session_table *t)
{
    return t->fd;
}
