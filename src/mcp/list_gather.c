/* SPDX-License-Identifier: Apache-2.0 */
#include "mcp/list_gather.h"

#include "base/check.h"

#include <stdlib.h>

static void
begin_slot(struct list_gather *gather, struct list_slot *slot, const struct list_key *key, uint64_t now_ms)
{
    enum list_state state = list_cache_get(gather->cache, key, now_ms, NULL, &slot->entry, &slot->value);

    slot->gather = gather;
    slot->waiter = (struct list_node){NULL, NULL};
    slot->part.value = slot->value;
    slot->part.is_stale = state == LIST_STALE;
    slot->ask = state == LIST_ASK ? slot->entry : NULL;
    slot->pending = state == LIST_ASK || state == LIST_WAIT;
    if (!slot->pending)
        return;
    list_entry_wait(slot->entry, &slot->waiter);
    gather->pending++;
}

void
list_gather_begin(struct list_gather *gather, struct list_cache *cache, struct list_entry *merged,
                  const struct list_key *raw, struct list_slot *slots, unsigned count, uint64_t now_ms)
{
    struct list_key key = *raw;

    *gather = (struct list_gather){.cache = cache, .merged = merged, .slots = slots, .count = count};
    for (unsigned i = 0; i < count; i++) {
        key.upstream = slots[i].part.upstream;
        begin_slot(gather, &slots[i], &key, now_ms);
    }
}

void
list_slots_give(struct list_node *waiters, struct list_value *value, bool is_stale, struct list_node *ready)
{
    struct list_node *node;

    while ((node = list_pop(waiters))) {
        struct list_slot *slot = container_of(node, struct list_slot, waiter);

        ASSERT(slot->pending && slot->gather->pending > 0);
        slot->pending = false;
        slot->value = value ? list_value_ref(value) : NULL;
        slot->part.value = slot->value;
        slot->part.is_stale = value && is_stale;
        if (--slot->gather->pending == 0)
            list_add_tail(ready, &slot->gather->ready);
    }
}

void
list_gather_late(struct list_gather *gather, uint64_t now_ms, struct list_node *ready)
{
    for (unsigned i = 0; i < gather->count; i++) {
        struct list_slot *slot = &gather->slots[i];
        struct list_node waiters;
        struct list_value *older;

        if (!slot->pending)
            continue;
        older = list_cache_late(gather->cache, slot->entry, now_ms, &waiters);
        list_slots_give(&waiters, older, true, ready);
        list_value_unref(older);
    }
    ASSERT(gather->pending == 0);
}

struct list_value *
list_gather_finish(struct list_gather *gather, struct merge_build *build, uint64_t now_ms,
                   struct list_node *ret_waiters)
{
    struct list_part *parts = calloc(gather->count + 1, sizeof *parts);
    struct list_value *value;

    ASSERT(gather->pending == 0 && parts);
    for (unsigned i = 0; i < gather->count; i++)
        parts[i] = gather->slots[i].part;
    value = list_cache_merge(gather->cache, gather->merged, build, parts, gather->count, now_ms, ret_waiters);
    for (unsigned i = 0; i < gather->count; i++)
        list_value_unref(gather->slots[i].value);
    free(parts);
    return value;
}
