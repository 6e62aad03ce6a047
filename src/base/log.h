/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Log lines. A process never writes them itself: a line goes into the bounded ring of its slot in shared memory
 * (struct log_ring), which the supervisor drains to stderr or a file. A full ring drops the line and counts it. The
 * supervisor's own lines go to its sink at once.
 *
 *     log_info("upstream %s: endpoint %s is back", name, address);
 *
 * One event a line, lower case, no final period, names before values. Secrets never.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_ERROR, LOG_WARNING, LOG_INFO, LOG_DEBUG, LOG_ACCESS };

enum { LOG_LINE_MAX = 1024, LOG_RING_BYTES = 256 << 10 };

struct log_ring; /* in shared memory, one writer, one reader */

/* A line with its stamp (real-time ns) and level as it lies in the ring. */
struct log_record {
    uint64_t time_ns;
    uint32_t pid;
    uint16_t len;
    uint8_t level;
    char text[LOG_LINE_MAX];
};

/* Bytes of one ring in the segment; a zeroed area is a valid empty ring. */
#define LOG_RING_SIZE (LOG_RING_BYTES + 192)

/* Where this process's lines go from now on: a ring, or (when ring is NULL) the sink. */
void log_open_ring(struct log_ring *ring);
void log_open_sink(void (*sink)(const struct log_record *record));
void log_set_level(enum log_level level);
bool log_enabled(enum log_level level);

void log_write(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));
#define log_error(...) log_write(LOG_ERROR, __VA_ARGS__)
#define log_warning(...) log_write(LOG_WARNING, __VA_ARGS__)
#define log_info(...) log_write(LOG_INFO, __VA_ARGS__)
#define log_debug(...) (log_enabled(LOG_DEBUG) ? log_write(LOG_DEBUG, __VA_ARGS__) : (void)0)
/* A line that is formatted already (access log). */
void log_put(enum log_level level, const char *text, uint32_t len);

/* The reader: takes one record off the ring; false when it is empty. */
bool log_ring_take(struct log_ring *ring, struct log_record *ret_record);
uint64_t log_ring_dropped(const struct log_ring *ring); /* lines, ever */

#endif
