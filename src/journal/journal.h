/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The journal of streams: the events that clients may ask for again, in one file of the state directory that
 * every worker maps:
 *
 *      header   | format, size of a lane |
 *      lane 0   | first, last |  ring of events, the oldest give way  |
 *      lane 1   ...
 *
 * A *lane* has one writer, the worker that the supervisor gave it to; all read it. An event is named by its
 * lane and its *position*, which only grows and is never used again, also not by the next writer of the lane.
 * Each event is whole in itself: it says which session and which request it is for, and leads to the next of
 * its stream, so a stream is read without an index and without a look at others.
 *
 *      write the event --> `last` names it --> the one before leads to it
 *
 * Whoever dies in between leaves an event that is there or is not. A checksum guards each. Nothing here
 * blocks; the file is in the page cache, and outlives every process. Whatever a file contains, nothing here
 * crashes or hangs: what makes no sense counts as absent.
 */
#ifndef JOURNAL_JOURNAL_H
#define JOURNAL_JOURNAL_H

#include "base/text.h"

enum {
    JOURNAL_LANES_MAX = 512,
    JOURNAL_LANE_MIN = 64 << 10, /* bytes */
    JOURNAL_SESSION_BYTES = 16,
    JOURNAL_REQUEST_MAX = 256, /* a longer id of a request is left out */
    JOURNAL_ID_SIZE = 48,      /* characters of an event id */
};

#define JOURNAL_FILE_NAME "journal"

struct journal; /* a mapping of the file */

/* --- the supervisor --- */

/* Opens the file in `dir`, whose lock is the caller's, or makes it, with at least `lanes` of `lane_size`
 * bytes each. A file with lanes of another size, or that is not ours, is made anew. `note` becomes a line for
 * the log, or "". 0 or a negated errno: -ENOSPC when the disk has no room for all of it. */
int journal_open(const char *dir, uint32_t lanes, uint64_t lane_size, struct journal **ret, char *note,
                 size_t note_size);
/* Removes the file of an earlier run. 0, also when there is none, or a negated errno. */
int journal_remove(const char *dir);
/* More lanes, for children that map the file later. 0 or a negated errno. */
int journal_grow(struct journal *j, uint32_t lanes);
/* The descriptor for the children; the journal's. */
int journal_fd(const struct journal *j);
/* Whether its lanes have the size that `lane_size` asks for. */
bool journal_has_size(const struct journal *j, uint64_t lane_size);

/* --- everybody --- */

/* Maps the file; the descriptor stays the caller's. -EPROTO: not such a file. */
int journal_map(int fd, struct journal **ret);
/* Unmaps, and for the supervisor closes. NULL is allowed. */
void journal_close(struct journal **j);

enum journal_kind {
    JOURNAL_MESSAGE = 1,
    JOURNAL_PRIMER, /* no message: gives its client an id to come back with */
    JOURNAL_END,    /* no message: the stream is over, and nothing is owed */
    JOURNAL_GAP,    /* a message that was too large to be kept */
};

struct journal_event {
    uint32_t lane;
    uint64_t position;
    uint64_t stream; /* position of its first event */
    uint32_t number; /* in its stream, from 0 */
    uint32_t time_s;
    enum journal_kind kind;
    bool is_final;    /* nothing follows in its stream */
    bool is_standing; /* its stream answers no request (GET) */
    uint8_t session[JOURNAL_SESSION_BYTES];
    uint32_t size;       /* of the texts, in all */
    struct text request; /* the JSON-RPC id of the request that the stream answers, raw; len 0: none */
    struct text message;
};

/* --- the writer --- */

/* A stream that is being written; zero before its first event. */
struct journal_stream {
    uint64_t first, last;
    uint32_t count;
};

struct journal_sums {
    uint64_t events, bytes;
    uint64_t overruns; /* events that gave way before `age_s` had passed */
    uint64_t gaps;     /* messages that were too large: more than a quarter of the lane */
};

/* Takes the lane; what an earlier writer left stays readable. False: there is no such lane. */
bool journal_take(struct journal *j, uint32_t lane, uint32_t age_s, uint32_t now_s);

/* Appends an event to a stream. Of *event the caller sets kind, is_final, is_standing, session, request and
 * message. */
void journal_write(struct journal *j, struct journal_stream *stream, const struct journal_event *event,
                   uint32_t now_s);

const struct journal_sums *journal_sums(const struct journal *j);

/* --- readers --- */

/* The event at a position, without its texts. False: it is not there (any more), or not whole. */
bool journal_find(const struct journal *j, uint32_t lane, uint64_t position, struct journal_event *ret);
/* Its texts, in out[event->size]. False: it has given way meanwhile. */
bool journal_copy(const struct journal *j, struct journal_event *event, char *out);
/* The event behind `event` in its stream, as journal_find(). False: there is none (yet), or it is not there
 * any more. */
bool journal_next(const struct journal *j, const struct journal_event *event, struct journal_event *ret);

/* --- ids --- */

/* "LANE.POSITION.DISTANCE" in hexadecimal, the distance being that from the first event of its stream: unique
 * among all events of this journal. Returns its length. */
uint32_t journal_id_write(char out[JOURNAL_ID_SIZE], uint32_t lane, uint64_t position, uint64_t stream);
/* False: not of this form. */
bool journal_id_read(struct text id, uint32_t *ret_lane, uint64_t *ret_position, uint64_t *ret_stream);

#endif
