/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ring of log lines as it lies in shared memory: private to log_ring.c and its tests.
 *
 *      data        0          tail             head        LOG_RING_BYTES
 *                  |   free    |  records ...   |   free    |
 *
 * head and tail count bytes ever written and ever taken (their place is the remainder), so that zero is an
 * empty ring and full differs from empty. The writer copies a whole record first and publishes it by one
 * store of head: a writer that is killed at any point leaves either the whole record or nothing. It never
 * waits for the reader.
 */
#ifndef BASE_LOG_RING_H
#define BASE_LOG_RING_H

#include "base/log.h"

struct log_ring {
    uint64_t head __attribute__((aligned(64))); /* the writer's */
    uint64_t dropped;
    uint64_t tail __attribute__((aligned(64))); /* the reader's */
    uint64_t broken;                            /* times the reader found no record where one should be */
    uint8_t reserved[64] __attribute__((aligned(64)));
    uint8_t data[LOG_RING_BYTES];
};

/* In front of each text; records start at multiples of 8. */
struct log_ring_head {
    uint64_t time_ns;
    uint32_t pid;
    uint16_t len;
    uint8_t level;
    uint8_t reserved;
};

/* Puts a record at the end; false (counted) when there is no room. record->len < LOG_LINE_MAX. */
bool log_ring_put(struct log_ring *ring, const struct log_record *record);

#endif
