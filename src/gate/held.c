/* SPDX-License-Identifier: Apache-2.0 */
#include "gate/held.h"

#include "gate/worker.h"

#include <stdlib.h>

/* Those of HELD_MIN come from a pool: a request has one or two of them. */
static void
give_back(struct worker *w, const struct held *held)
{
    if (held->size == HELD_MIN)
        pool_put(&w->held_pool, held->at);
    else
        free(held->at);
}

/* The same bytes in another size; NULL: no memory, and nothing has changed. */
static char *
resize(struct worker *w, const struct held *held, uint64_t size)
{
    char *other;

    if (held->size != HELD_MIN && size != HELD_MIN)
        return realloc(held->at, size);
    other = size == HELD_MIN ? pool_take(&w->held_pool) : malloc(size);
    if (!other)
        return NULL;
    if (held->size)
        memcpy(other, held->at, held->size < size ? held->size : size);
    give_back(w, held);
    return other;
}

bool
held_reserve(struct worker *w, struct held *held, uint32_t size)
{
    uint64_t want = held->size > HELD_MIN ? held->size : HELD_MIN;
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
held_fit(struct worker *w, struct held *held)
{
    char *smaller;

    if (!held->len) {
        held_free(w, held);
        return;
    }
    if (held->len == held->size || !(smaller = resize(w, held, held->len)))
        return;
    w->held_bytes -= held->size - held->len;
    held->at = smaller;
    held->size = held->len;
}

void
held_free(struct worker *w, struct held *held)
{
    w->held_bytes -= held->size;
    give_back(w, held);
    *held = (struct held){0};
}
