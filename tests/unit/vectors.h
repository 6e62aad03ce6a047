/* SPDX-License-Identifier: Apache-2.0 */
/* A copy of test bytes that ends at a page nobody may touch, so that a parser which reads past its input
 * crashes. */
#ifndef TESTS_VECTORS_H
#define TESTS_VECTORS_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Valid until the next call. */
static inline const char *
vector_at_guard(const char *bytes, size_t len)
{
    static char *map;
    static size_t map_size;
    size_t page = (size_t)sysconf(_SC_PAGESIZE), size = (len + page - 1) / page * page + page;

    if (map)
        munmap(map, map_size);
    map_size = size;
    map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED || mprotect(map + size - page, page, PROT_NONE) < 0)
        abort();
    return memcpy(map + size - page - len, bytes, len);
}

#endif
