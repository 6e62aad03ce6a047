/* SPDX-License-Identifier: Apache-2.0 */
#include "gate/held.h"

#include "gate/worker.h"

#include <stdlib.h>

enum { HELD_MIN = 4096 };

bool
held_reserve(struct worker *w, struct held *held, uint32_t size)
{
    uint64_t want = held->size ? held->size : HELD_MIN;
    char *larger;

    if (size <= held->size)
        return true;
    while (want < size)
        want *= 2;
    if (want > UINT32_MAX || w->slab.used_bytes + w->held_bytes + want - held->size > w->config->max_memory)
        return false;
    larger = realloc(held->at, want);
    if (!larger)
        return false;
    w->held_bytes += want - held->size;
    held->at = larger;
    held->size = (uint32_t)want;
    return true;
}

bool
held_append(struct worker *w, struct held *held, const void *bytes, uint32_t len)
{
    if (len > UINT32_MAX - held->len || !held_reserve(w, held, held->len + len))
        return false;
    if (len)
        memcpy(held->at + held->len, bytes, len);
    held->len += len;
    return true;
}

void
held_free(struct worker *w, struct held *held)
{
    w->held_bytes -= held->size;
    free(held->at);
    *held = (struct held){0};
}
