/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How busy a thread is: the time that it has run, and that it could have run had it had a processor, so that
 * a thread that shares its core does not look idle. Linux: /proc/thread-self/schedstat; where that is
 * missing, what it has run alone counts.
 */
#ifndef BASE_BUSY_H
#define BASE_BUSY_H

#include <stdint.h>

struct busy {
    int fd; /* -1: there is no such file */
};

void busy_open(struct busy *busy); /* of the calling thread, which alone may ask */
void busy_close(struct busy *busy);
uint64_t busy_ns(const struct busy *busy); /* since the thread began; a system call */

#endif
