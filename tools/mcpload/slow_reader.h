/* SPDX-License-Identifier: Apache-2.0 */
/* A connection that stops to read, or reads no faster than so many bytes a second. */
#ifndef MCPLOAD_SLOW_READER_H
#define MCPLOAD_SLOW_READER_H

#include "ring/ring.h"

enum {
    SLOW_READER_BUFFER = 64 << 10
}; /* of theirs, to receive unless --rcvbuf says otherwise, and to send */

/* Embedded in its connection; zeroed it is not begun. */
struct slow_reader {
    struct ring *ring;
    struct op *recv; /* the connection's */
    op_done *done;
    int fd;
    uint64_t bytes_per_s;
    int64_t budget;
    struct timer timer;
};

/* Stops the receive that is under way; with a rate it is started again, with done(), whenever some may be
 * read. bytes_per_s 0: never. */
void slow_reader_begin(struct slow_reader *reader, struct ring *ring, struct op *recv, int fd,
                       uint64_t bytes_per_s, op_done *done);
/* From done(): so many bytes were read. */
void slow_reader_took(struct slow_reader *reader, uint64_t bytes);
/* Before the connection closes. */
void slow_reader_end(struct slow_reader *reader);

#endif
