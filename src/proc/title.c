/* SPDX-License-Identifier: Apache-2.0 */
#include "proc/title.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

/* Where the kernel has put the arguments and, behind them, the environment. What ps reads ends with the
 * arguments, or, when their last byte is not 0, at the first 0 behind. */
struct area {
    char *at, *end;
};

static struct area
find(int argc, char **argv)
{
    struct area area = {argv[0], argv[argc - 1] + strlen(argv[argc - 1]) + 1};

    for (char **e = environ; e && *e; e++)
        if (*e == area.end) /* set since then, it lies elsewhere */
            area.end += strlen(*e) + 1;
    return area;
}

static void
move(char **texts, const struct area *from, char *to)
{
    for (; texts && *texts; texts++)
        if (*texts >= from->at && *texts < from->end)
            *texts = to + (*texts - from->at);
}

void
title_set(const char *name, const char *title, int argc, char **argv)
{
    static char *moved; /* for the rest of the process */
    struct area area = find(argc, argv);
    size_t size = (size_t)(area.end - area.at), len = strlen(title);

    prctl(PR_SET_NAME, name, 0, 0, 0);
    if (moved || !(moved = malloc(size)))
        return;
    memcpy(moved, area.at, size);
    move(argv, &area, moved);
    move(environ, &area, moved);
    memset(area.at, 0, size);
    snprintf(area.at, size, "%s", title);
    for (int i = 1; i < argc && len < size; i++)
        len += (size_t)snprintf(area.at + len, size - len, " %s", argv[i]);
}
