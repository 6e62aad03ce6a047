/* SPDX-License-Identifier: Apache-2.0 */
#include "proc/log_out.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* The sink of log_write() has no argument to carry this. */
static struct {
    int fd;
    bool json, is_socket, is_file;
    uint64_t dropped; /* lines since the last report */
    unsigned lines;   /* in text */
    size_t len;
    char text[LOG_OUT_LINE_MAX];
} out = {.fd = STDERR_FILENO};

static void
put_own(const struct log_record *record)
{
    log_out_put(NULL, 0, record);
    log_out_flush();
}

/* O_NONBLOCK belongs to the open file that stderr shares with whoever started us, so a pipe or terminal is
 * opened once more instead; a file never blocks; a socket has a flag per call. */
void
log_out_open(void)
{
    struct stat st;

    if (fstat(STDERR_FILENO, &st) == 0) {
        out.is_socket = S_ISSOCK(st.st_mode);
        out.is_file = S_ISREG(st.st_mode);
        if (S_ISFIFO(st.st_mode) || S_ISCHR(st.st_mode)) {
            int fd = open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
            if (fd >= 0)
                out.fd = fd;
        }
    }
    log_open_sink(put_own);
}

void
log_out_set_json(bool json)
{
    out.json = json;
}

/* All of it or nothing. */
static bool
write_now(const char *text, size_t len)
{
    struct pollfd room = {out.fd, POLLOUT, 0};
    ssize_t n;

    if (out.is_socket) {
        n = send(out.fd, text, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    } else {
        if (!out.is_file && poll(&room, 1, 0) != 1)
            return false;
        n = write(out.fd, text, len);
    }
    return n > 0;
}

static void
report_dropped(void)
{
    struct log_record record = {.pid = (uint32_t)getpid(), .level = LOG_WARNING};
    struct timespec now;
    char line[LOG_OUT_LINE_MAX];

    clock_gettime(CLOCK_REALTIME, &now);
    record.time_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
    record.len = (uint16_t)snprintf(record.text, sizeof record.text,
                                    "%" PRIu64 " log lines dropped: stderr was not read", out.dropped);
    if (write_now(line, log_out_format(line, out.json, NULL, 0, &record)))
        out.dropped = 0;
}

void
log_out_flush(void)
{
    if (out.len && !write_now(out.text, out.len))
        out.dropped += out.lines;
    else if (out.dropped)
        report_dropped();
    out.len = 0;
    out.lines = 0;
}

static void
put_line(const char *line, size_t len)
{
    if (len > sizeof out.text - out.len)
        log_out_flush();
    memcpy(out.text + out.len, line, len);
    out.len += len;
    out.lines++;
}

void
log_out_put(const char *role, uint32_t slot, const struct log_record *record)
{
    char line[LOG_OUT_LINE_MAX];

    put_line(line, log_out_format(line, out.json, role, slot, record));
}

unsigned
log_out_drain(const char *role, uint32_t slot, struct log_ring *ring)
{
    struct log_record record;
    unsigned lines = 0;

    /* A child that logs faster than stderr takes must not keep the supervisor here. */
    while (lines < LOG_RING_BYTES / 32 && log_ring_take(ring, &record)) {
        log_out_put(role, slot, &record);
        lines++;
    }
    return lines;
}

void
log_out_say(const char *format, ...)
{
    char line[LOG_OUT_LINE_MAX] = "mcpgate: ";
    size_t len = strlen(line);
    va_list args;

    va_start(args, format);
    int n = vsnprintf(line + len, sizeof line - len - 1, format, args);
    va_end(args);
    len += n < (int)(sizeof line - len - 1) ? (size_t)n : sizeof line - len - 2;
    line[len++] = '\n';
    put_line(line, len);
    log_out_flush();
}
