/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A server on stdin and stdout as a connection: JSON-RPC messages, one a line, over a link that was given the
 * socket. It knows no processes and no ids of requests; who started the server sits behind `up`.
 *
 * A line that arrived in one piece is passed on where it lies; one that did not is put together in memory of
 * its own, which counts towards the slab's limit. Memory is the owner's; it is freed after on_closed().
 */
#ifndef WIRE_STDIO_CONN_H
#define WIRE_STDIO_CONN_H

#include "net/link.h"
#include "proto/lines.h"

struct stdio;

enum stdio_bad {
    STDIO_JUNK,      /* a line that is no JSON object or array */
    STDIO_LONG,      /* a line longer than the maximum; what follows it is read on */
    STDIO_NO_MEMORY, /* a line that found no memory; the same */
};

struct stdio_up {
    /* A message; `line` is contiguous, without its end, borrowed. */
    void (*on_line)(struct stdio *stdio, struct span line);
    /* `start` is where a line begins that is no message; empty but for STDIO_JUNK. */
    void (*on_bad)(struct stdio *stdio, enum stdio_bad bad, struct text start);
    /* The queue has fallen to the low mark after stdio_congested() was true. */
    void (*on_writable)(struct stdio *stdio);
    /* The server's end of the socket is gone for good. on_closed() follows. */
    void (*on_end)(struct stdio *stdio);
    void (*on_closed)(struct stdio *stdio, enum close_reason reason);
};

/* What the connections of one worker share. */
struct stdio_shared {
    struct net *net;
    struct buf_home home;
    uint64_t held_bytes; /* of stdio_buf() that are out */
    uint32_t line_max;
};

struct stdio {
    struct link link; /* first */
    struct stdio_shared *shared;
    const struct stdio_up *up;
    struct lines lines;
    struct buf *held; /* of the line that goes on: lines.kept bytes, unless it is passed over */
    bool may_be_cut;  /* taken over from a worker that died: the first line may be the end of one */
};

void stdio_shared_init(struct stdio_shared *shared, struct net *net, uint32_t line_max);
void stdio_shared_done(struct stdio_shared *shared); /* asserts that no buffer is out */

/* A buffer of any size with one reference, for a line to send; NULL: no memory is left. */
struct buf *stdio_buf(struct stdio_shared *shared, uint32_t size);

/* `stdio` is zeroed memory. What is sent before stdio_open() waits. */
void stdio_init(struct stdio *stdio, struct stdio_shared *shared, const struct stdio_up *up);
/* Takes the socket. `again`: another worker spoke over it before, and died, perhaps within a line in either
 * direction. */
void stdio_open(struct stdio *stdio, int fd, bool again);

/* Sends one message; the pieces hold no line end (lines_flatten()). Takes references of its own. */
void stdio_send(struct stdio *stdio, const struct span *pieces, unsigned count);
static inline bool
stdio_congested(struct stdio *stdio)
{
    return link_congested(&stdio->link);
}

/* Ends it at once. */
void stdio_abort(struct stdio *stdio, enum close_reason reason);

static inline struct stdio *
stdio_of(struct link *link)
{
    return (struct stdio *)(void *)link;
}

#endif
