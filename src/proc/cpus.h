/* SPDX-License-Identifier: Apache-2.0 */
/* How many workers `--workers auto` means. */
#ifndef PROC_CPUS_H
#define PROC_CPUS_H

/* The processors that this process may run on, but no more than its cgroup's quota of processor time allows
 * (cgroup version 2, the process's own group and those above it; rounded up). At least 1. */
unsigned cpus_available(void);

/* The quota in a cpu.max file's text ("200000 100000" is 2), rounded up; 0: none, or not understood. */
unsigned cpus_parse_quota(const char *text);

#endif
