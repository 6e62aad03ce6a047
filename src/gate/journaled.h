/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Streams that their client may come back for. Clients of 2025-03-26 to 2025-11-25 whose messages are
 * translated get events with ids of ours; each event is written to the journal once, as it leaves. A GET with
 * Last-Event-ID gets what came behind that event in its stream, and goes on with the stream itself where that
 * is still open here. Where its worker died, the request that it answered gets an error at the end.
 *
 * A stream is *behind* while its client is sent from the journal what it has not had yet; what comes
 * meanwhile is only written there, so that nothing overtakes. For bridging*.c only.
 */
#ifndef GATE_JOURNALED_H
#define GATE_JOURNALED_H

#include "base/close_reason.h"
#include "base/list.h"
#include "journal/journal.h"

struct bridged;
struct worker;

struct journaled {            /* zero: nothing is in the journal */
    struct list_node node;    /* of its session's streams, from the first event on */
    struct list_node waiting; /* of the worker's, while its client is away and it answers no request */
    struct journal_stream stream;
    struct journal_event
        behind; /* the last event that its client has been sent; meaningful while is_behind */
    bool is_behind;
    bool is_over; /* the stream's last event is written */
};

int journaled_init(struct worker *w); /* 0 or a negated errno */
void journaled_done(struct worker *w);

/* Begins the client's stream of events; one of 2025-11-25 gets an id to come back with at once. False: no
 * memory. */
bool journaled_open(struct bridged *b, struct text extra);

/* A call of a client of 2025-11-25 that takes long gets its stream before there is anything to say, so that
 * its reply can be fetched should the connection break: from when the call is made, and from the plan's tick.
 */
void journaled_prime_later(struct bridged *b);
void journaled_tick(struct bridged *b);

/* Some event of the stream is in the journal, so that its client can come back for the rest. */
bool journaled_is_kept(const struct bridged *b);

/* The client of a standing stream has left and may come back: until then what is for it is only written. Each
 * keeps its session in use, so there are at most a quarter as many as --max-sessions; the one that waited for
 * longest gives way. False: it need not wait. */
bool journaled_wait(struct bridged *b);

/* A message for the client. A stream that has no client any more is written to the journal only. */
void journaled_send(struct bridged *b, struct text json, bool is_final);

/* The error that ends the client's stream. False: it is not kept, or not up to date. */
bool journaled_fail(struct bridged *b, enum close_reason reason);

/* The stream's end, when the exchange ends: what is owed becomes an error that says why. */
void journaled_end(struct bridged *b, enum close_reason reason);

/* Sends on from the journal, as much as the client takes. May finish. */
void journaled_catch_up(struct bridged *b);

/* The GET of a client that comes back, with the id of the last event that it has had. May finish. */
void journaled_resume(struct bridged *b, struct text id);

#endif
