/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How the session file lies in memory: for session_table.c, which works on it, and session_file.c, which
 * makes it:
 *
 *      heads | tombstones | first copies of all records | second copies |
 *
 * Sixteen heads, or tombstones, are a bucket; an id may lie in either of two buckets, so that a look-up is a
 * few cache lines and a table three quarters full practically never lacks a place. Records lie in *rooms*,
 * which are handed out in order: so many pages are in memory as there are sessions for, however they scatter
 * over the heads. A head that was given a room keeps it for all the sessions that it will be of.
 */
#ifndef JOURNAL_SESSION_LAYOUT_H
#define JOURNAL_SESSION_LAYOUT_H

#include "journal/session_table.h"

enum { SESSION_FORMAT = 2, SESSION_BUCKET = 16, SESSION_HEADER_SIZE = 4096 };

struct session_header {
    char magic[8];
    uint32_t format, record_size;
    uint32_t capacity, node;
    uint32_t places;                     /* grows */
    uint32_t server[SESSION_PLACES_MAX]; /* slot + 1; 0: nobody */
    uint32_t alive[SESSION_SLOTS_MAX];   /* epoch; 0: nobody */
    uint32_t rooms[SESSION_PLACES_MAX];  /* how many were handed out */
};

#define SESSION_MAGIC "mcpgsess"

struct session_head {
    uint64_t tag;    /* of the id; 0: free. Stored last at an insert, first at a removal */
    uint64_t owner;  /* slot + 1 and epoch; 0: nobody */
    uint32_t used_s; /* last used */
    uint32_t
        expires_s;    /* seconds since 1970 end in 2106 here; 0: it is being ended, look for its tombstone */
    uint32_t room;    /* + 1; 0: it has none yet */
    uint32_t has_two; /* the second copy was written once; before that its page is not touched */
};

struct session_tombstone {
    uint64_t tag;
    uint64_t expires_s; /* 0: free. Stored before the tag */
};

struct session_copy {
    uint64_t version; /* 0: being written, or never was */
    uint64_t sum;
    struct session_record record;
};

struct session_table {
    struct session_header *header;
    size_t size;     /* mapped */
    uint32_t places; /* mapped */
    uint32_t capacity, buckets, tombstone_buckets;
    size_t place_size;
    int fd, dir_fd; /* the supervisor's; -1 */
};

_Static_assert(sizeof(struct session_header) <= SESSION_HEADER_SIZE, "the header has a page");
_Static_assert(sizeof(struct session_copy) == 1024, "four copies are a page");
_Static_assert(sizeof(struct session_head) == 32 && sizeof(struct session_tombstone) == 16,
               "buckets are whole cache lines");

/* What follows from a capacity. */
void session_layout(struct session_table *t, uint32_t capacity);
/* Maps `places` of the file; t->size is 0 after a failure. 0 or a negated errno. */
int session_layout_map(struct session_table *t, int fd, uint32_t places);
/* The header says what this program writes, and the file is as long as that. */
bool session_layout_fits(const struct session_header *h, uint64_t file_size);
size_t session_layout_size(const struct session_table *t, uint32_t places);

struct session_head *session_head_at(const struct session_table *t, struct session_cell cell);
struct session_tombstone *session_tombstone_at(const struct session_table *t, uint32_t place, uint32_t index);

uint64_t session_tag(const uint8_t id[SESSION_ID_BYTES]);
/* The copies of a record; NULL for one that was never written. */
void session_copies(const struct session_table *t, struct session_cell cell, struct session_copy *ret[2]);
/* The newest whole copy, of whatever session. Returns its version, or 0. */
uint64_t session_copy_newest(const struct session_table *t, struct session_cell cell,
                             struct session_record *ret);
/* As session_table_bury(), by the tag. */
bool session_bury_tag(struct session_table *t, uint32_t place, uint64_t tag, uint64_t expires_s,
                      uint32_t now_s);

#endif
