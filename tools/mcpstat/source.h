/* SPDX-License-Identifier: Apache-2.0 */
/* The gateway that mcpstat looks at: finds its run directory, and follows it through reloads and restarts. */
#ifndef MCPSTAT_SOURCE_H
#define MCPSTAT_SOURCE_H

#include "stats/read.h"

struct source {
    char dir[4096];
    struct stats_reader *reader;
};

/* `dir` NULL: the places where a gateway keeps its run directory, the first with one that runs, else the
 * first with the figures of one that ran. 0, or a negative errno with a line for the user in `why`. */
int source_open(struct source *source, const char *dir, char *why, size_t why_size);
void source_close(struct source *source);

/* A snapshot of what is there now. *ret_fresh: the segment is another one than at the last call (a new
 * generation, a restarted gateway), and snapshots from before have nothing to do with it. NULL: out of memory
 * or unreadable. */
struct snapshot *source_take(struct source *source, bool *ret_fresh);

#endif
