/* SPDX-License-Identifier: Apache-2.0 */
#include "gate/forward.h"

static const struct text label = {"forward", 7};

/* One layout for all workers of a gateway: they are of one program. */
struct content {
    uint8_t ip[16];
    uint64_t expires_s;
    uint32_t uid, from_slot;
    uint16_t port;
    uint8_t is_unix, is_trusted;
    uint8_t hops, zero[3]; /* no hole: what is sealed is what is named here */
};

_Static_assert(sizeof(struct content) == 40, "no hole");

uint32_t
forward_seal(const struct forward *forward, struct seal_keys *keys, char *out, uint32_t size)
{
    struct content c = {.expires_s = forward->expires_s,
                        .uid = forward->peer.uid,
                        .from_slot = forward->from_slot,
                        .port = forward->peer.port,
                        .is_unix = forward->peer.is_unix,
                        .is_trusted = forward->is_trusted,
                        .hops = forward->hops};

    memcpy(c.ip, forward->peer.ip, sizeof c.ip);
    return seal_write(keys, label, &c, sizeof c, out, size);
}

bool
forward_open(struct text sealed, struct seal_keys *keys, uint64_t now_s, struct forward *ret)
{
    struct content c;

    if (seal_open(keys, label, sealed, &c, sizeof c) != (int)sizeof c || c.expires_s < now_s)
        return false;
    *ret = (struct forward){
        .peer = {.port = c.port, .is_unix = c.is_unix, .uid = c.uid},
        .is_trusted = c.is_trusted,
        .from_slot = c.from_slot,
        .hops = c.hops,
        .expires_s = c.expires_s,
    };
    memcpy(ret->peer.ip, c.ip, sizeof c.ip);
    return true;
}
