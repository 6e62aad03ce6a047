/* SPDX-License-Identifier: Apache-2.0 */
#include "base/busy.h"

#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

void
busy_open(struct busy *busy)
{
    busy->fd = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
}

void
busy_close(struct busy *busy)
{
    if (busy->fd >= 0)
        close(busy->fd);
    busy->fd = -1;
}

static uint64_t
ran_ns(void)
{
    struct timespec ts = {0};

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

uint64_t
busy_ns(const struct busy *busy)
{
    char text[64], *waited; /* nanoseconds run, up to the last tick; waited to run; and how often it ran */
    ssize_t n = busy->fd < 0 ? -1 : pread(busy->fd, text, sizeof text - 1, 0);

    if (n <= 0)
        return ran_ns();
    text[n] = '\0';
    (void)strtoull(text, &waited, 10);
    return ran_ns() + strtoull(waited, NULL, 10);
}
