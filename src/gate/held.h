/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes that must be whole and in one piece before anything can be done with them: a message that is
 * translated. They are held beside the slab, whose buffers end at 64 KiB, and count towards --max-memory with
 * it.
 */
#ifndef GATE_HELD_H
#define GATE_HELD_H

#include "base/text.h"

struct worker;

enum { HELD_MIN = 4096 }; /* bytes */

struct held { /* zero: nothing */
    char *at;
    uint32_t len, size;
};

/* False: the worker's memory is used up; what is held stays. */
bool held_append(struct worker *w, struct held *held, const void *bytes, uint32_t len);
/* Room for `size` bytes in all. */
bool held_reserve(struct worker *w, struct held *held, uint32_t size);
/* Gives back what is beyond its bytes: for those that stay. */
void held_fit(struct worker *w, struct held *held);
/* Gives all of it back; *held is zero again. */
void held_free(struct worker *w, struct held *held);

static inline struct text
held_text(const struct held *held)
{
    return (struct text){held->at ? held->at : "", held->len};
}

#endif
