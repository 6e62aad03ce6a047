/* SPDX-License-Identifier: Apache-2.0 */
/* mcpstat's ways to show a source. Each returns the exit status. */
#ifndef MCPSTAT_MCPSTAT_H
#define MCPSTAT_MCPSTAT_H

#include "source.h"

enum { EXIT_OK = 0, EXIT_NO_GATEWAY = 1, EXIT_USAGE = 2 };

/* Full-screen, until q. */
int live_run(struct source *source);
/* A line each `seconds`, until killed or until nobody reads. */
int watch_run(struct source *source, double seconds);

#endif
