/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages of WebSockets that are compressed (permessage-deflate, RFC 7692): what the connections of a worker
 * share. Nobody who sends to the gateway keeps a context, so one inflater serves all; nor does the gateway
 * towards servers, so one deflater serves these. Clients' connections may have one each: bridging_ws.c.
 */
#ifndef GATE_WS_CODING_H
#define GATE_WS_CODING_H

#include "gate/held.h"
#include "proto/ws_deflate.h"

struct ws_coding {
    struct ws_inflater *inflater; /* these two are made when they are needed; NULL: not yet */
    struct ws_deflater *deflater;
    struct held came, left; /* scratch: the client's message that was inflated, what was deflated last */
};

/* The worker's; NULL: no memory. */
struct ws_coding *ws_coding_of(struct worker *w);
void ws_coding_done(struct worker *w);

/* Where coded bytes are gathered. */
struct ws_to_held {
    struct ws_deflate_out out; /* first */
    struct worker *worker;
    struct held *held;
};

/* Empties `held` for them. */
struct ws_to_held ws_to_held(struct worker *w, struct held *held);

/* The message that a whole payload comes to, of at most `max` bytes, in the place of what is in *to. */
enum ws_deflate_result ws_inflate(struct worker *w, struct text payload, uint64_t max, struct held *to);

/* A message as it leaves to a server; valid until the next. at NULL: it leaves as it is, since it is short or
 * there is no memory. */
struct text ws_deflate_alone(struct worker *w, struct text message);

#endif
