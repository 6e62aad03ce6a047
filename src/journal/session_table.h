/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The session tables of all workers, in one file of the state directory that every process maps:
 *
 *      header   | format, size, the node's number | who serves which place | which slots are alive |
 *      place 0  | heads | tombstones | records, in the order in which they came |
 *      place 1  ...
 *
 * A *place* is a table: the home that a token names. Worker i of a generation makes its sessions in place i;
 * a place whose worker does not exist any more (fewer workers, a restart) is served by the one that the
 * supervisor assigns. Places are never dropped, so a home that was once given out stays one.
 *
 * Writers. The supervisor writes the header. A record is written by one process at a time, the one that has
 * *taken* it (its owner): it holds it while a request, call or stream of the session is open, and leaves it
 * when there is none. An owner whose process is dead counts as none. So an old generation that drains and the
 * one that serves share a place without a lock, and who looks for a session finds its one writer:
 * session_table_home().
 *
 * Each record has two copies, written in turn with a number and a checksum: whoever dies in the midst of
 * writing leaves the copy before it. Tombstones and heads are words that are stored whole. The file is in the
 * page cache and written back by the kernel: it outlives every process, and a crash of the machine but for
 * the last half minute. Nothing here blocks; no call reads or writes the file other than through memory.
 *
 * Whatever a file contains, nothing here crashes or hangs: what makes no sense counts as absent.
 */
#ifndef JOURNAL_SESSION_TABLE_H
#define JOURNAL_SESSION_TABLE_H

#include "journal/session_record.h"

enum {
    SESSION_PLACES_MAX = 128,
    SESSION_SLOTS_MAX = 512,
    SESSION_CAPACITY_MAX = 1000000,
    SESSION_NO_SLOT = UINT16_MAX,
};

#define SESSION_FILE_NAME "sessions"

struct session_table; /* a mapping of the file */

/* A process that may write: its slot, and which incarnation of it. */
struct session_writer {
    uint32_t slot, epoch;
};

/* Where a record lies. It stays there as long as the session lives. */
struct session_cell {
    uint32_t place, index;
};

/* --- the supervisor --- */

/* Opens the file in `dir`, or makes it, with at least `places` of `capacity` records each, and takes the lock
 * on `dir`. Records of a file with another capacity are moved to a new one; of a file that is not ours
 * nothing is taken. `note` becomes a line for the log, or "". No other process has the file open: owners and
 * assignments are forgotten. `node` becomes the node's number when the file is new. 0 or a negated errno:
 * -EBUSY when another gateway holds `dir`, -ENOSPC when the disk has no room for all of it. */
int session_table_open(const char *dir, uint32_t places, uint32_t capacity, uint32_t node,
                       struct session_table **ret, char *note, size_t note_size);
/* More places, for children that map the file later. 0 or a negated errno. */
int session_table_grow(struct session_table *t, uint32_t places);
/* The descriptor for the children; the table's. */
int session_table_fd(const struct session_table *t);
/* From now on `slot` serves `place`. */
void session_table_assign(struct session_table *t, uint32_t place, uint32_t slot);
/* The incarnation that runs in `slot`; 0: none. What it owned is free when it is gone. */
void session_table_set_alive(struct session_table *t, uint32_t slot, uint32_t epoch);

/* --- everybody --- */

/* Maps the file; the descriptor stays the caller's. -EPROTO: not such a file. */
int session_table_map(int fd, struct session_table **ret);
/* Unmaps, and for the supervisor closes. NULL is allowed. */
void session_table_close(struct session_table **t);

uint32_t session_table_node(const struct session_table *t);
/* The incarnation that runs in `slot`; 0: none at the moment. */
uint32_t session_table_alive(const struct session_table *t, uint32_t slot);
uint32_t session_table_capacity(const struct session_table *t);
/* As many as there are now: may be more than this process has mapped. */
uint32_t session_table_places(const struct session_table *t);
/* Those that it has. */
uint32_t session_table_mapped(const struct session_table *t);
/* Who serves the place; SESSION_NO_SLOT: nobody, or no such place. */
uint32_t session_table_server(const struct session_table *t, uint32_t place);

/* The slot that a request of this session must go to: the live owner of its record, else who serves the
 * place. SESSION_NO_SLOT: nobody. */
uint32_t session_table_home(const struct session_table *t, uint32_t place,
                            const uint8_t id[SESSION_ID_BYTES]);

/* False: there is no such record (or the place is not mapped here). */
bool session_table_find(const struct session_table *t, uint32_t place, const uint8_t id[SESSION_ID_BYTES],
                        struct session_cell *ret);

/* Reads the newest whole copy. Returns its version, which grows with each write; 0: there is none, or of
 * another session. Does not need the record to be taken. */
uint64_t session_table_read(const struct session_table *t, struct session_cell cell,
                            const uint8_t id[SESSION_ID_BYTES], struct session_record *ret);
/* The version alone, without a look at what the copy holds. */
uint64_t session_table_version(const struct session_table *t, struct session_cell cell);

/* Takes the record for `me`; true also when it has it. False: a live process has it, or the cell is now
 * another session's. */
bool session_table_take(struct session_table *t, struct session_cell cell, const uint8_t id[SESSION_ID_BYTES],
                        struct session_writer me);
/* The other way round; nothing when it is not `me` who has it. */
void session_table_leave(struct session_table *t, struct session_cell cell, struct session_writer me);

/* Makes a record and takes it for `me`, who serves the place. False: the cells where it could lie are all in
 * use. */
bool session_table_insert(struct session_table *t, uint32_t place, struct session_writer me,
                          const struct session_record *record, uint32_t now_s, struct session_cell *ret);

/* By who has taken it. */
void session_table_write(struct session_table *t, struct session_cell cell,
                         const struct session_record *record);
void session_table_touch(struct session_table *t, struct session_cell cell, uint32_t now_s);
void session_table_remove(struct session_table *t, struct session_cell cell, struct session_writer me);
uint32_t session_table_used_s(const struct session_table *t, struct session_cell cell);

/* The end of a session, by who has taken it: its tombstone, as session_table_bury(), then no record. Whoever
 * dies in between leaves it ended. */
bool session_table_end(struct session_table *t, struct session_cell cell, const uint8_t id[SESSION_ID_BYTES],
                       struct session_writer me, uint64_t expires_s, uint32_t now_s);
/* Whether that has begun: only then, or without a record, a session may have a tombstone. */
bool session_table_is_ending(const struct session_table *t, struct session_cell cell);

/* Tombstones of a place: the session is over, whatever its token says, until it expires. There is room for
 * SESSION_TOMBSTONES_PER_RECORD times the capacity; then the one that expires first gives way, and false is
 * returned: its session would live again if its client still had the token. */
enum { SESSION_TOMBSTONES_PER_RECORD = 16 };
bool session_table_bury(struct session_table *t, uint32_t place, const uint8_t id[SESSION_ID_BYTES],
                        uint64_t expires_s, uint32_t now_s);
bool session_table_is_buried(const struct session_table *t, uint32_t place,
                             const uint8_t id[SESSION_ID_BYTES]);

/* Looks at up to `count` cells of the place from *at on (0 at first; it is 0 again after the last), frees
 * those that have expired, or that nobody has used for `idle_s` (0: no limit) and nobody has taken, and
 * counts the others. Tombstones that have expired go too. */
struct session_sweep {
    uint32_t live, expired, idle;
};
void session_table_sweep(struct session_table *t, uint32_t place, struct session_writer me, uint32_t now_s,
                         uint32_t idle_s, uint32_t *at, uint32_t count, struct session_sweep *sum);

/* Frees the record of the place that nobody has taken and that was used the longest time ago. False: all are
 * taken. */
bool session_table_evict(struct session_table *t, uint32_t place, struct session_writer me);
/* The same among the cells where this id could lie: for an insert that found no cell. */
bool session_table_evict_near(struct session_table *t, uint32_t place, const uint8_t id[SESSION_ID_BYTES],
                              struct session_writer me);

#endif
