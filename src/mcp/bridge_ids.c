/* SPDX-License-Identifier: Apache-2.0 */
#include "mcp/bridge_ids.h"

#include "base/check.h"

#include <stddef.h>

/* Free slots are a list in slots[].what, as index + 1. */

static void *
link_of(uint32_t next)
{
    return (void *)(uintptr_t)next;
}

void
bridge_ids_init(struct bridge_ids *ids, struct bridge_id *slots, uint32_t size)
{
    ASSERT(size);
    *ids = (struct bridge_ids){.slots = slots, .size = size, .free = 1};
    for (uint32_t i = 0; i < size; i++)
        slots[i] = (struct bridge_id){0, link_of(i + 1 < size ? i + 2 : 0)};
}

uint64_t
bridge_ids_mint(struct bridge_ids *ids, void *what)
{
    uint32_t index = ids->free - 1;
    struct bridge_id *slot;

    ASSERT(what);
    if (!ids->free)
        return 0;
    slot = &ids->slots[index];
    ids->free = (uint32_t)(uintptr_t)slot->what;
    slot->number = ids->turn++ * ids->size + index + 1;
    slot->what = what;
    ids->used++;
    return slot->number;
}

static struct bridge_id *
find(const struct bridge_ids *ids, uint64_t number)
{
    struct bridge_id *slot = number ? &ids->slots[(number - 1) % ids->size] : NULL;

    return slot && slot->number == number ? slot : NULL;
}

void *
bridge_ids_find(const struct bridge_ids *ids, uint64_t number)
{
    struct bridge_id *slot = find(ids, number);

    return slot ? slot->what : NULL;
}

void *
bridge_ids_drop(struct bridge_ids *ids, uint64_t number)
{
    struct bridge_id *slot = find(ids, number);
    void *what = slot ? slot->what : NULL;

    if (!slot)
        return NULL;
    *slot = (struct bridge_id){0, link_of(ids->free)};
    ids->free = (uint32_t)(slot - ids->slots) + 1;
    ids->used--;
    return what;
}
