/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compression of replies towards clients (--compress): JSON from --compress-min on, and streams of events.
 *
 *      local_reply()          a whole body, packed at once
 *      events_open() and      the client's connection gets a coder, through which all content passes: events,
 *      the splice plan        heartbeats, errors. What was written in a turn is flushed at its end, so that a
 *                             client decodes each event in the turn in which it left.
 *
 * A worker lends at most COMPRESS_CONTEXTS_MAX deflate contexts, to replies and to WebSockets. A stream that
 * writes nothing for a while gives its own back, which who decodes does not notice, and takes another one
 * when it writes again; when there is none it goes on in stored blocks. New replies are left as they are
 * while all contexts are lent, or the worker is behind: it has gone from turn to turn without a sleep for a
 * tenth of a second.
 *
 * Left alone: replies that come encoded, what a server gave no-transform, ranges, a strong ETag or a digest;
 * replies to siblings, whose worker faces the client.
 */
#ifndef GATE_COMPRESS_H
#define GATE_COMPRESS_H

#include "gate/exchange.h"

enum { COMPRESS_CONTEXTS_MAX = 256 };

/* False: no memory. compress_done() is for when no connection is left. */
bool compress_init(struct worker *w);
void compress_done(struct worker *w);

/* Once a turn, before net_flush(): what was written leaves. */
void compress_turn(struct worker *w);
/* Something was written since: the next turn is due. */
bool compress_is_pending(const struct worker *w);
/* Gives memory that was not needed since the last call back to the system. */
void compress_trim(struct worker *w);

/* The bound of all contexts: false when none is to be had, else one is the caller's to give back. */
bool compress_take_context(struct worker *w);
void compress_give_context(struct worker *w);

/* A request has come: notes what its client takes. */
void compress_note_request(struct exchange *ex, const struct http1_head *head);

/* Whether a reply of the gateway's own of this type and length (-1: a stream) is to be compressed. ex->coded
 * says from now on what the reply's head tells of it. */
bool compress_wants(struct exchange *ex, struct text content_type, int64_t length);
/* The same for an upstream's reply, which is compressed as it passes. */
bool compress_wants_reply(struct exchange *ex, const struct http1_head *head);
/* For heads.c, when the head is made: with CODED_STREAM the content passes through a coder from now on. */
void compress_begin(struct exchange *ex);

/* A whole body that compress_wants(): its pieces packed, valid until the next call. at NULL: it is to leave
 * as it is, since it gets no smaller, is too large to be packed at once, or there is no memory. */
struct text compress_whole(struct exchange *ex, const struct text *pieces, unsigned count);

/* Cache-Control: no-transform (RFC 9111 5.2.1.6 and 5.2.2.6). */
bool compress_forbidden(const struct http1_head *head);

#endif
