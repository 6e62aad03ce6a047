/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The record of a session: what changes while the session lives and must outlast the worker. It is a value of
 * fixed size; upstreams and subscriptions share its bounded room:
 *
 *      +--------------+----------+----------+-- - --+--------+
 *      | fixed fields | item     | item     |       | unused |      item: length, kind, value, upstream, text
 *      +--------------+----------+----------+-- - --+--------+
 *      0              items[0]                items[used]
 *
 * What finds no room is left out, and the function says so: the caller goes on with what it has in memory,
 * and sets `incomplete`. After the death of the worker such an upstream is initialised anew, and such a
 * subscription is not replayed. With ids of 36 characters and URIs of 60 there is room for ten of each.
 */
#ifndef JOURNAL_SESSION_RECORD_H
#define JOURNAL_SESSION_RECORD_H

#include "base/text.h"

enum {
    SESSION_ID_BYTES = 16,
    SESSION_RECORD_BYTES = 1008,
    SESSION_ITEMS_BYTES = SESSION_RECORD_BYTES - SESSION_ID_BYTES - 24,
    SESSION_UPSTREAM_ID_MAX = 256, /* characters of an upstream's session id */
    SESSION_URI_MAX = 512,         /* of a subscription's URI */
};

struct session_record {
    uint8_t id[SESSION_ID_BYTES]; /* random; from the token */
    uint64_t expires_s;           /* seconds since 1970; the token's */
    uint32_t client_capabilities; /* bits, the token's */
    uint32_t generation;          /* of the configuration under which it was written last */
    uint8_t revision;             /* of the client, the token's */
    uint8_t log_level;            /* what the client asked for; 0: nothing yet */
    uint8_t incomplete;           /* something found no room */
    uint8_t reserved[3];
    uint16_t used; /* bytes of items[] */
    uint8_t items[SESSION_ITEMS_BYTES];
};

_Static_assert(sizeof(struct session_record) == SESSION_RECORD_BYTES, "the record has no holes");

/* Names an upstream in a record: configurations may number them anew. */
uint64_t session_upstream_hash(struct text name);

/* The items are well-formed; nothing else may be asked of a record that came from a file. */
bool session_record_valid(const struct session_record *r);

/* What an upstream gave at its initialize. */
struct session_at_upstream {
    uint8_t revision;
    uint32_t endpoint; /* hash of the one that has the session; the caller's choice */
    struct text id;    /* its session id: visible ASCII (RFC 9110 field value); empty: it gave none */
};

/* Replaces what was there. False: no room, or not such an id; there is then no entry. */
bool session_record_set_upstream(struct session_record *r, uint64_t upstream,
                                 const struct session_at_upstream *at);
/* False: none is recorded. ret->id points into the record. */
bool session_record_upstream(const struct session_record *r, uint64_t upstream,
                             struct session_at_upstream *ret);
void session_record_drop_upstream(struct session_record *r, uint64_t upstream);

/* False: no room, or an URI longer than SESSION_URI_MAX. What is there already stays once. */
bool session_record_subscribe(struct session_record *r, uint64_t upstream, struct text uri);
/* False: it was not there. */
bool session_record_unsubscribe(struct session_record *r, uint64_t upstream, struct text uri);
/* The subscriptions of an upstream, one a call: *at is 0 before the first. False: no more. *ret_uri points
 * into the record, which must not change in between. */
bool session_record_next_subscription(const struct session_record *r, uint64_t upstream, uint32_t *at,
                                      struct text *ret_uri);

#endif
