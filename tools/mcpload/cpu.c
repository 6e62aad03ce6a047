/* SPDX-License-Identifier: Apache-2.0 */
/* Processor time of a process tree; see cpu.h. */
#include "cpu.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { DEPTH_MAX = 8 };

static uint64_t tree_ns(pid_t pid, unsigned depth);

static uint64_t
task_ns(pid_t pid, const char *tid)
{
    char path[320];
    uint64_t ns = 0;
    FILE *f;

    snprintf(path, sizeof(path), "/proc/%d/task/%s/schedstat", (int)pid, tid);
    f = fopen(path, "re");
    if (!f)
        return 0;
    if (fscanf(f, "%" SCNu64, &ns) != 1)
        ns = 0;
    fclose(f);
    return ns;
}

/* The processes that this thread started. */
static uint64_t
children_ns(pid_t pid, const char *tid, unsigned depth)
{
    char path[320];
    uint64_t ns = 0;
    int child;
    FILE *f;

    snprintf(path, sizeof(path), "/proc/%d/task/%s/children", (int)pid, tid);
    f = fopen(path, "re");
    if (!f)
        return 0;
    while (fscanf(f, "%d", &child) == 1)
        ns += tree_ns(child, depth + 1);
    fclose(f);
    return ns;
}

static uint64_t
tree_ns(pid_t pid, unsigned depth)
{
    char path[64];
    struct dirent *entry;
    uint64_t ns = 0;
    DIR *tasks;

    if (depth > DEPTH_MAX)
        return 0;
    snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
    tasks = opendir(path);
    if (!tasks)
        return 0;
    while ((entry = readdir(tasks)))
        if (entry->d_name[0] != '.')
            ns += task_ns(pid, entry->d_name) + children_ns(pid, entry->d_name, depth);
    closedir(tasks);
    return ns;
}

uint64_t
cpu_of_tree_ns(pid_t pid)
{
    return tree_ns(pid, 0);
}
