/* SPDX-License-Identifier: Apache-2.0 */
#include "base/check.h"
#include "cfg/draft.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct chunk {
    struct chunk *next;
    max_align_t data[];
};

void *
arena_get(struct arena *arena, size_t size)
{
    struct chunk *chunk = calloc(1, sizeof *chunk + size);

    ASSERT(chunk);
    chunk->next = arena->chunks;
    arena->chunks = chunk;
    return chunk->data;
}

char *
arena_copy(struct arena *arena, const char *s, size_t len)
{
    char *copy = arena_get(arena, len + 1);

    memcpy(copy, s, len);
    return copy;
}

char *
arena_print(struct arena *arena, const char *format, ...)
{
    va_list args;
    char *text, *copy;
    int n;

    va_start(args, format);
    n = vasprintf(&text, format, args);
    va_end(args);
    ASSERT(n >= 0);
    copy = arena_copy(arena, text, (size_t)n);
    free(text);
    return copy;
}

void
arena_done(struct arena *arena)
{
    for (struct chunk *chunk = arena->chunks, *next; chunk; chunk = next) {
        next = chunk->next;
        free(chunk);
    }
    arena->chunks = NULL;
}
