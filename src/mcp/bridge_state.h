/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The requestState that the gateway makes when a modern client is asked on behalf of a legacy upstream.
 * Clients send it back with the retry, to any worker of any node; it is sealed (mcp/seal.h), holds for one
 * principal, one request and a while, and names the place where the call is parked. That it is used once only
 * is up to that place.
 */
#ifndef MCP_BRIDGE_STATE_H
#define MCP_BRIDGE_STATE_H

#include "mcp/seal.h"
#include "proto/jsonrpc.h"

enum {
    BRIDGE_DIGEST_BYTES = 32,
    BRIDGE_STATE_PRINCIPAL_BYTES = 16,
    BRIDGE_STATE_BYTES = 1 + 4 * 4 + 8 + BRIDGE_STATE_PRINCIPAL_BYTES + BRIDGE_DIGEST_BYTES + 8,
    BRIDGE_STATE_SIZE = SEAL_TEXT_SIZE(BRIDGE_STATE_BYTES),
};

enum bridge_state_kind {
    BRIDGE_STATE_PARKED = 1, /* the call waits at its home for the answers */
    BRIDGE_STATE_RESEND = 2, /* it ended with pages to visit (-32042): the retry is the call once more */
};

struct bridge_state {
    enum bridge_state_kind kind;
    uint32_t node, slot, epoch;                      /* where it is parked */
    uint32_t upstream;                               /* the caller's number for it, the same in all workers */
    uint64_t call;                                   /* what it is found by there */
    uint8_t principal[BRIDGE_STATE_PRINCIPAL_BYTES]; /* zero: anonymous */
    uint8_t digest[BRIDGE_DIGEST_BYTES];             /* bridge_digest() */
    uint64_t expires_s;                              /* seconds since 1970; from then on it is not valid */
};

/* SHA-256 of what makes a request the same one: method and params without _meta, inputResponses, requestState
 * and white space. False: the library has no memory. */
bool bridge_digest(const struct jsonrpc_envelope *env, uint8_t ret[BRIDGE_DIGEST_BYTES]);

/* Writes the sealed text to out[BRIDGE_STATE_SIZE]. Returns its length, or 0 as seal_write() does. */
uint32_t bridge_state_seal(const struct bridge_state *state, struct seal_keys *keys, char *out);

enum bridge_state_fault {
    BRIDGE_STATE_FINE,
    BRIDGE_STATE_BAD, /* none of ours, changed, or its key is gone */
    BRIDGE_STATE_EXPIRED,
    BRIDGE_STATE_FOREIGN, /* of another principal */
    BRIDGE_STATE_OTHER,   /* of another request */
};

/* Opens a raw requestState. On a fault *ret is untouched. */
enum bridge_state_fault bridge_state_open(struct text raw, struct seal_keys *keys, uint64_t now_s,
                                          const uint8_t principal[BRIDGE_STATE_PRINCIPAL_BYTES],
                                          const uint8_t digest[BRIDGE_DIGEST_BYTES],
                                          struct bridge_state *ret);

/* One line for the error (-32602) that says so. */
const char *bridge_state_text(enum bridge_state_fault fault);

#endif
