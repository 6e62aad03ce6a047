/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The making of one merged list: a slot for each upstream, filled from the cache at once or when its asker is
 * done, and a deadline, at which the list is made of what is there.
 *
 *      merged entry (LIST_ASK) -> gather -> slot fs    value
 *                                        -> slot db    pending, on the waiters of db's entry
 *                                        -> slot web   pending; `ask`: nobody asks web yet, so you do
 *
 * Who asks an upstream is nobody's slot, because an answer may come after the gather's end. It ends with
 * list_cache_done() or list_cache_fail(), and hands the waiters it got to list_slots_give().
 */
#ifndef MCP_LIST_GATHER_H
#define MCP_LIST_GATHER_H

#include "mcp/list_cache.h"

struct list_slot {
    struct list_part part;  /* upstream, is_http and filter are set by the caller */
    struct list_entry *ask; /* not NULL after begin(): ask for this entry */
    /* private */
    struct list_node waiter;
    struct list_gather *gather;
    struct list_entry *entry;
    struct list_value *value;
    bool pending;
};

struct list_gather {
    struct list_node ready; /* for the list that give() puts complete ones on */
    struct list_cache *cache;
    struct list_entry *merged;
    struct list_slot *slots; /* in the order of the configuration; as long-lived as the gather */
    unsigned count;
    unsigned pending; /* slots; 0: complete */
};

/* Begins with the merged entry that list_cache_get() gave for `key`; slots[] of the upstreams that are to be
 * asked. `raw` is the key of the upstreams' own lists, but for the upstream. When `pending` is 0 afterwards,
 * it is complete. */
void list_gather_begin(struct list_gather *gather, struct list_cache *cache, struct list_entry *merged,
                       const struct list_key *raw, struct list_slot *slots, unsigned count, uint64_t now_ms);

/* Hands an upstream's value (NULL: none; nothing of it is taken) to the slots that wait for it. Gathers that
 * become complete are put on `ready`, a list. */
void list_slots_give(struct list_node *waiters, struct list_value *value, bool is_stale,
                     struct list_node *ready);

/* The deadline: what is pending goes without, also in other gathers that wait for the same upstreams. Those
 * that become complete are put on `ready`; this one is. */
void list_gather_late(struct list_gather *gather, uint64_t now_ms, struct list_node *ready);

/* Makes the list of a complete gather: as list_cache_merge(). The gather is over. */
struct list_value *list_gather_finish(struct list_gather *gather, struct merge_build *build, uint64_t now_ms,
                                      struct list_node *ret_waiters);

#endif
