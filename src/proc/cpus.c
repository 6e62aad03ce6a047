/* SPDX-License-Identifier: Apache-2.0 */
#include "proc/cpus.h"

#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static bool
read_file(const char *path, char *text, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n;

    if (fd < 0)
        return false;
    n = read(fd, text, size - 1);
    close(fd);
    text[n > 0 ? n : 0] = '\0';
    return n > 0;
}

unsigned
cpus_parse_quota(const char *text)
{
    unsigned long long quota, period;

    if (sscanf(text, "%llu %llu", &quota, &period) != 2 || quota == 0 || period == 0)
        return 0; /* "max 100000" */
    unsigned long long cpus = quota / period + (quota % period != 0);
    return cpus < 1u << 16 ? (unsigned)cpus : 0;
}

/* The smallest quota on the way from our group to the root. */
static unsigned
cgroup_quota(void)
{
    char text[4096], path[4200], limit[64];
    unsigned least = 0;

    if (!read_file("/proc/self/cgroup", text, sizeof text))
        return 0;
    char *group = strstr(text, "0::/");
    if (!group)
        return 0;
    group += strlen("0::");
    group[strcspn(group, "\n")] = '\0';
    for (char *end = group + strlen(group); end; end = strrchr(group, '/')) {
        *end = '\0';
        snprintf(path, sizeof path, "/sys/fs/cgroup%s/cpu.max", group);
        unsigned quota = read_file(path, limit, sizeof limit) ? cpus_parse_quota(limit) : 0;
        if (quota && (!least || quota < least))
            least = quota;
    }
    return least;
}

unsigned
cpus_available(void)
{
    cpu_set_t set;
    unsigned quota = cgroup_quota();
    int count =
        sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : (int)sysconf(_SC_NPROCESSORS_ONLN);
    unsigned cpus = count > 0 ? (unsigned)count : 1;

    return quota && quota < cpus ? quota : cpus;
}
