/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The journal's file: making it, opening the one of an earlier run, mapping it. A new file is filled under
 * another name and renamed; all its blocks are allocated, so that no worker is killed by a full disk.
 */
#include "journal/journal_layout.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define NEW_NAME JOURNAL_FILE_NAME ".new"

static const uint64_t lane_max = (uint64_t)1 << 40;

/* --- the layout --- */

size_t
journal_layout_size(uint64_t lane_size, uint32_t lanes)
{
    return JOURNAL_PAGE + lanes * (JOURNAL_PAGE + lane_size);
}

bool
journal_layout_fits(const struct journal_header *h, uint64_t file_size)
{
    return memcmp(h->magic, JOURNAL_MAGIC, sizeof h->magic) == 0 && h->format == JOURNAL_FORMAT &&
           h->entry_size == sizeof(struct journal_entry) && h->lane_size >= JOURNAL_LANE_MIN &&
           h->lane_size <= lane_max && h->lane_size % JOURNAL_PAGE == 0 && h->lanes &&
           h->lanes <= JOURNAL_LANES_MAX && file_size >= journal_layout_size(h->lane_size, h->lanes);
}

int
journal_layout_map(struct journal *j, int fd, uint64_t lane_size, uint32_t lanes)
{
    size_t size = journal_layout_size(lane_size, lanes);
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    if (p == MAP_FAILED)
        return -errno;
    madvise(p, size, MADV_RANDOM); /* else the first touch of a new file's page brings two MiB of zeros */
    j->header = p;
    j->size = size;
    j->lanes = lanes;
    j->lane_size = lane_size;
    return 0;
}

struct journal_lane *
journal_lane_at(const struct journal *j, uint32_t lane)
{
    return (struct journal_lane *)(void *)((uint8_t *)j->header + journal_layout_size(j->lane_size, lane));
}

uint8_t *
journal_ring_at(const struct journal *j, uint32_t lane)
{
    return (uint8_t *)journal_lane_at(j, lane) + JOURNAL_PAGE;
}

/* --- the supervisor --- */

static uint64_t
whole_pages(uint64_t lane_size)
{
    if (lane_size < JOURNAL_LANE_MIN)
        return JOURNAL_LANE_MIN;
    return (lane_size + JOURNAL_PAGE - 1) / JOURNAL_PAGE * JOURNAL_PAGE;
}

static void
forget(struct journal *j)
{
    if (j->size)
        munmap(j->header, j->size);
    if (j->fd >= 0)
        close(j->fd);
    j->size = 0;
    j->fd = -1;
}

static int
make(struct journal *j, int dir_fd, uint32_t lanes, uint64_t lane_size)
{
    int err;

    unlinkat(dir_fd, NEW_NAME, 0);
    j->fd = openat(dir_fd, NEW_NAME, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (j->fd < 0)
        return -errno;
    err = -posix_fallocate(j->fd, 0, (off_t)journal_layout_size(lane_size, lanes));
    if (err == 0)
        err = journal_layout_map(j, j->fd, lane_size, lanes);
    if (err == 0) {
        *j->header = (struct journal_header){.format = JOURNAL_FORMAT,
                                             .entry_size = sizeof(struct journal_entry),
                                             .lane_size = lane_size,
                                             .lanes = lanes};
        memcpy(j->header->magic, JOURNAL_MAGIC, sizeof j->header->magic);
        err = renameat(dir_fd, NEW_NAME, dir_fd, JOURNAL_FILE_NAME) < 0 ? -errno : 0;
    }
    if (err < 0) {
        forget(j);
        unlinkat(dir_fd, NEW_NAME, 0);
    }
    return err;
}

/* -ENOENT: none is there; -EPROTO: it is not one of ours; -EXDEV: its lanes have another size. */
static int
open_old(struct journal *j, int dir_fd, uint64_t lane_size)
{
    struct journal_header h;
    struct stat st;
    int err = -EPROTO;

    j->fd = openat(dir_fd, JOURNAL_FILE_NAME, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (j->fd < 0)
        return errno == ELOOP ? -EPROTO : -errno;
    if (fstat(j->fd, &st) == 0 && pread(j->fd, &h, sizeof h, 0) == (ssize_t)sizeof h &&
        journal_layout_fits(&h, (uint64_t)st.st_size))
        err = h.lane_size == lane_size ? journal_layout_map(j, j->fd, lane_size, h.lanes) : -EXDEV;
    if (err < 0)
        forget(j);
    return err;
}

static int
open_or_make(struct journal *j, const char *dir, uint32_t lanes, uint64_t lane_size, char *note,
             size_t note_size)
{
    int err, dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (dir_fd < 0)
        return -errno;
    err = open_old(j, dir_fd, lane_size);
    if (err == -EPROTO || err == -EXDEV)
        snprintf(note, note_size, "%s/" JOURNAL_FILE_NAME " is %s: it is made anew, streams begin anew", dir,
                 err == -EPROTO ? "damaged or of another version" : "of another size");
    if (err == -EPROTO || err == -EXDEV || err == -ENOENT)
        err = make(j, dir_fd, lanes, lane_size);
    else if (err == 0)
        err = journal_grow(j, lanes);
    close(dir_fd);
    return err;
}

int
journal_open(const char *dir, uint32_t lanes, uint64_t lane_size, struct journal **ret, char *note,
             size_t note_size)
{
    struct journal *j = calloc(1, sizeof *j);
    int err;

    note[0] = '\0';
    if (!j)
        return -ENOMEM;
    j->fd = -1;
    err = open_or_make(j, dir, lanes, whole_pages(lane_size), note, note_size);
    if (err < 0)
        journal_close(&j);
    *ret = j;
    return err;
}

int
journal_remove(const char *dir)
{
    int err = 0, dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (dir_fd < 0)
        return -errno;
    if (unlinkat(dir_fd, JOURNAL_FILE_NAME, 0) < 0 && errno != ENOENT)
        err = -errno;
    close(dir_fd);
    return err;
}

int
journal_grow(struct journal *j, uint32_t lanes)
{
    int err;

    if (lanes <= j->header->lanes)
        return 0;
    if (lanes > JOURNAL_LANES_MAX)
        return -EINVAL;
    err = -posix_fallocate(j->fd, 0, (off_t)journal_layout_size(j->lane_size, lanes));
    if (err == 0)
        __atomic_store_n(&j->header->lanes, lanes, __ATOMIC_RELEASE);
    return err;
}

int
journal_fd(const struct journal *j)
{
    return j->fd;
}

bool
journal_has_size(const struct journal *j, uint64_t lane_size)
{
    return j->lane_size == whole_pages(lane_size);
}

/* --- everybody --- */

int
journal_map(int fd, struct journal **ret)
{
    struct journal_header h;
    struct journal *j;
    struct stat st;
    int err;

    if (fstat(fd, &st) < 0)
        return -errno;
    if (pread(fd, &h, sizeof h, 0) != (ssize_t)sizeof h || !journal_layout_fits(&h, (uint64_t)st.st_size))
        return -EPROTO;
    j = calloc(1, sizeof *j);
    if (!j)
        return -ENOMEM;
    j->fd = -1;
    err = journal_layout_map(j, fd, h.lane_size, h.lanes);
    if (err < 0) {
        free(j);
        return err;
    }
    *ret = j;
    return 0;
}

void
journal_close(struct journal **journal)
{
    struct journal *j = *journal;

    *journal = NULL;
    if (!j)
        return;
    forget(j);
    free(j);
}
