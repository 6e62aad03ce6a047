/* SPDX-License-Identifier: Apache-2.0 */
/* Processor time of a process tree; see cpu.h. */
#include "cpu.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DEPTH_MAX = 8, NAME_MAX_BYTES = 16 /* the kernel's, with the line's end */ };

static uint64_t tree_ns(pid_t pid, const char *without, unsigned depth);

static bool
has_name(pid_t pid, const char *name)
{
    char path[64], line[NAME_MAX_BYTES + 1];
    bool same = false;
    FILE *f;

    snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
    f = fopen(path, "re");
    if (!f)
        return false;
    if (fgets(line, sizeof(line), f)) {
        line[strcspn(line, "\n")] = '\0';
        same = strcmp(line, name) == 0;
    }
    fclose(f);
    return same;
}

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
children_ns(pid_t pid, const char *tid, const char *without, unsigned depth)
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
        ns += tree_ns(child, without, depth + 1);
    fclose(f);
    return ns;
}

static uint64_t
tree_ns(pid_t pid, const char *without, unsigned depth)
{
    char path[64];
    struct dirent *entry;
    uint64_t ns = 0;
    DIR *tasks;

    if (depth > DEPTH_MAX || (without && has_name(pid, without)))
        return 0;
    snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
    tasks = opendir(path);
    if (!tasks)
        return 0;
    while ((entry = readdir(tasks)))
        if (entry->d_name[0] != '.')
            ns += task_ns(pid, entry->d_name) + children_ns(pid, entry->d_name, without, depth);
    closedir(tasks);
    return ns;
}

uint64_t
cpu_of_tree_ns(pid_t pid, const char *without)
{
    return tree_ns(pid, without, 0);
}
