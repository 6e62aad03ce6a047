/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include "base/log_ring.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static void sink_stderr(const struct log_record *record);

static struct log_ring *log_to_ring;
static void (*log_to_sink)(const struct log_record *record) = sink_stderr;
static enum log_level log_level_max = LOG_INFO;

/* Before anything else is set: a program's own lines, without stamps. */
static void
sink_stderr(const struct log_record *record)
{
    struct iovec iov[2] = {{(void *)(uintptr_t)record->text, record->len}, {(void *)(uintptr_t) "\n", 1}};
    ssize_t ignored = writev(STDERR_FILENO, iov, 2);

    (void)ignored;
}

void
log_open_ring(struct log_ring *ring)
{
    log_to_ring = ring;
}

void
log_open_sink(void (*sink)(const struct log_record *record))
{
    log_to_sink = sink ? sink : sink_stderr;
}

void
log_set_level(enum log_level level)
{
    log_level_max = level;
}

bool
log_enabled(enum log_level level)
{
    return level == LOG_ACCESS || level <= log_level_max;
}

static uint64_t
clock_real_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_REALTIME, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* A record is one line whatever a peer put into it: a line break in a value must not look like another
 * record. */
static void
flatten(char *text, uint32_t len)
{
    for (uint32_t i = 0; i < len; i++) {
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
            text[i] = '?';
    }
}

static void
mark_cut(struct log_record *record)
{
    record->len = LOG_LINE_MAX - 1;
    memcpy(record->text + LOG_LINE_MAX - 4, "...", 4);
}

static void
emit(enum log_level level, struct log_record *record)
{
    record->time_ns = clock_real_ns();
    record->pid = (uint32_t)getpid();
    record->level = (uint8_t)level;
    flatten(record->text, record->len);
    if (log_to_ring)
        log_ring_put(log_to_ring, record);
    else
        log_to_sink(record);
}

void
log_write(enum log_level level, const char *format, ...)
{
    struct log_record record;
    va_list ap;
    int n;

    if (!log_enabled(level))
        return;
    va_start(ap, format);
    n = vsnprintf(record.text, sizeof record.text, format, ap);
    va_end(ap);
    if (n < 0)
        return;
    record.len = (uint16_t)n;
    if ((size_t)n >= sizeof record.text)
        mark_cut(&record);
    emit(level, &record);
}

void
log_put(enum log_level level, const char *text, uint32_t len)
{
    struct log_record record;

    if (!log_enabled(level))
        return;
    record.len = (uint16_t)(len < sizeof record.text ? len : sizeof record.text - 1);
    memcpy(record.text, text, record.len);
    record.text[record.len] = '\0';
    if (len >= sizeof record.text)
        mark_cut(&record);
    emit(level, &record);
}
