/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the machine must grant. Each finding is one line that names the thing, the value and the way out.
 * Whether io_uring works at all is not guessed here: the first worker tries, and says in CONTROL_FAILED why
 * not.
 */
#ifndef PROC_STARTUP_CHECKS_H
#define PROC_STARTUP_CHECKS_H

#include "cfg/config.h"

#include <stddef.h>
#include <stdint.h>

/* Descriptors against --max-connections, the number of workers and the listeners. 0; 1 with a warning in
 * why[]; or -EMFILE when a process would have hardly any left. */
int startup_check_descriptors(const struct config *config, unsigned workers, char *why, size_t why_size);

/* The line for a child that could not start, from what it said. `rings`: processes that need an io_uring. */
void startup_explain_failure(unsigned workers, unsigned rings, uint32_t error, const char *text, char *line,
                             size_t size);

#endif
