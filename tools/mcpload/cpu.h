/* SPDX-License-Identifier: Apache-2.0 */
/* Processor time of a process and all below it, from /proc/PID/task/TID/schedstat: nanoseconds on a core,
 * which tick-based figures are not. */
#ifndef MCPLOAD_CPU_H
#define MCPLOAD_CPU_H

#include <stdint.h>
#include <sys/types.h>

/* 0 when there is no such process. What ended meanwhile is not in it, nor are processes of the name `without`
 * (as in /proc/PID/comm; NULL: none) and those below them. */
uint64_t cpu_of_tree_ns(pid_t pid, const char *without);

#endif
