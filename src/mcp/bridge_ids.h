/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Minted ids: numbers that stand for a client's id or progress token at an upstream, or for an upstream's at
 * a client, so that those of several never meet. Found in one step, in memory of the caller; a number is not
 * used again for 2^53 / size mints, so late replies find nothing.
 *
 *      number = turn * size + index + 1     (< 2^53: what every JSON reader keeps exact)
 */
#ifndef MCP_BRIDGE_IDS_H
#define MCP_BRIDGE_IDS_H

#include <stdint.h>

struct bridge_id {
    uint64_t number; /* 0: free */
    void *what;      /* while free: private */
};

struct bridge_ids {
    struct bridge_id *slots;
    uint32_t size, used;
    uint32_t free; /* index of the first free one + 1; 0: none */
    uint64_t turn;
};

/* `slots` are the caller's, until it needs the ids no more. */
void bridge_ids_init(struct bridge_ids *ids, struct bridge_id *slots, uint32_t size);

/* A number for `what` (not NULL); 0: all are in use. */
uint64_t bridge_ids_mint(struct bridge_ids *ids, void *what);

/* What a number stands for; NULL: it was never minted, or was dropped. */
void *bridge_ids_find(const struct bridge_ids *ids, uint64_t number);

/* Forgets a number; what it stood for, or NULL. */
void *bridge_ids_drop(struct bridge_ids *ids, uint64_t number);

#endif
