/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sealed field Mcpgate-Forward, which a worker puts into a request that it forwards to a session's home:
 * who the client is, and that this was the one hop that is allowed. Pure: no worker, no clock. home.c uses
 * it.
 */
#ifndef GATE_FORWARD_H
#define GATE_FORWARD_H

#include "mcp/seal.h"
#include "ring/ring.h"

struct forward {
    struct ring_peer peer; /* the client's, in place of the forwarding worker's */
    bool is_trusted;       /* the peer is a trusted proxy */
    uint32_t from_slot;
    uint8_t hops;       /* this one included */
    uint64_t expires_s; /* seconds since 1970; valid through that second */
};

/* Writes the sealed field's value to out[size] and returns its length, or 0 as seal_write() does. */
uint32_t forward_seal(const struct forward *forward, struct seal_keys *keys, char *out, uint32_t size);

/* Opens one. False: none of ours, or expired; *ret is then untouched. */
bool forward_open(struct text sealed, struct seal_keys *keys, uint64_t now_s, struct forward *ret);

#endif
