/* SPDX-License-Identifier: Apache-2.0 */
/* From parts to an exit status: the run itself (stage.h), then its report as a table and as JSON. */
#ifndef MCPLOAD_RUN_H
#define MCPLOAD_RUN_H

#include "stage.h"

/* Runs the parts side by side, reports each of them and frees them all. Returns the exit status. */
int run_parts(const struct stage_config *config, struct part **parts, unsigned count);

/* 0, or -EINVAL with one line in why[]. */
int run_check(const struct stage_config *config, char *why, size_t why_size);

#endif
