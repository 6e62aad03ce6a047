/* SPDX-License-Identifier: Apache-2.0 */
#include "gate/held.h"

#include "gate/worker.h"

#include <stdlib.h>

/* The first ones come from a pool: a request has one or two of them. */
static char *
resize(struct worker *w, const struct held *held, uint64_t size)
{
    char *larger;

    if (!held->size && size == HELD_MIN)
        return pool_take(&w->held_pool);
    if (held->size != HELD_MIN)
        return realloc(held->at, size);
    larger = malloc(size);
    if (!larger)
        return NULL;
    memcpy(larger, held->at, HELD_MIN);
    pool_put(&w->held_pool, held->at);
    return larger;
}

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
    larger = resize(w, held, want);
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
    if (held->size == HELD_MIN)
        pool_put(&w->held_pool, held->at);
    else
        free(held->at);
    *held = (struct held){0};
}
