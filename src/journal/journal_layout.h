/* SPDX-License-Identifier: Apache-2.0 */
/* How the journal lies in memory: for journal.c, which works on it, and journal_file.c, which makes it. */
#ifndef JOURNAL_JOURNAL_LAYOUT_H
#define JOURNAL_JOURNAL_LAYOUT_H

#include "journal/journal.h"

enum { JOURNAL_FORMAT = 1, JOURNAL_PAGE = 4096 };

#define JOURNAL_MAGIC "mcpgjour"

struct journal_header {
    char magic[8];
    uint32_t format, entry_size;
    uint64_t lane_size; /* bytes of a ring: whole pages */
    uint32_t lanes;     /* grows */
};

/* The page before a ring. Readable are the entries from `first` to `last`. */
struct journal_lane {
    uint64_t first;
    uint64_t last; /* 0: there is none. Stored when the entry is whole */
};

/* An entry begins at an offset that is its position modulo the ring's size, and does not go over the ring's
 * end: what is left there is filled with an entry of kind FILLER, or is too short for one. */
struct journal_entry {
    uint64_t sum;  /* of what follows `next` */
    uint64_t next; /* of its stream; 0: none yet. Stored when that one is there */
    uint64_t position;
    uint64_t stream;
    uint8_t session[JOURNAL_SESSION_BYTES];
    uint32_t number;
    uint32_t time_s;
    uint32_t size; /* of the entry, with its texts and up to a multiple of 8 */
    uint32_t message_len;
    uint16_t request_len;
    uint8_t kind, flags;
    uint32_t reserved;
};

enum { JOURNAL_FILLER = 255, JOURNAL_IS_FINAL = 1, JOURNAL_IS_STANDING = 2 };

struct journal {
    struct journal_header *header;
    size_t size;        /* mapped */
    uint32_t lanes;     /* mapped */
    uint64_t lane_size; /* as the header said when it was looked at */
    int fd;             /* the supervisor's; -1 */
    /* the writer's */
    uint32_t lane, age_s;
    uint64_t head; /* the next entry's position */
    struct journal_sums sums;
};

_Static_assert(sizeof(struct journal_header) <= JOURNAL_PAGE, "the header has a page");
_Static_assert(sizeof(struct journal_entry) == 72, "no holes");

size_t journal_layout_size(uint64_t lane_size, uint32_t lanes);
/* The header says what this program writes, and the file is as long as that. */
bool journal_layout_fits(const struct journal_header *h, uint64_t file_size);
/* Maps `lanes` of the file; j->size is 0 after a failure. 0 or a negated errno. */
int journal_layout_map(struct journal *j, int fd, uint64_t lane_size, uint32_t lanes);

struct journal_lane *journal_lane_at(const struct journal *j, uint32_t lane);
uint8_t *journal_ring_at(const struct journal *j, uint32_t lane);

#endif
