/* SPDX-License-Identifier: Apache-2.0 */
/* From parts to an exit status: the run itself (stage.h), then its report as a table and as JSON. */
#ifndef MCPLOAD_RUN_H
#define MCPLOAD_RUN_H

#include "stage.h"

/* A kind of load, and how its flags ask for it. */
struct run_kind {
    /* A part that does what `config` says; NULL with one line in why[] when that makes no sense. */
    struct part *(*make)(const void *config, char *why, size_t why_size);
    const void *config;
    double *rate; /* in the configuration */
    uint64_t burst;
};

/* 0, or -EINVAL with one line in why[]. */
int run_check(const struct stage_config *config, char *why, size_t why_size);

/* Where tables go: standard output, unless the JSON goes there. */
FILE *run_out(const struct stage_config *config);

/* The one load of a command: runs it, or looks for its highest rate, and reports. Returns the exit status. */
int run_one(const struct stage_config *config, const struct find_config *find, const struct run_kind *kind);

/* Runs the named parts side by side, reports each of them and frees them all. Returns the exit status. */
int run_mix(const struct stage_config *config, struct part **parts, unsigned count);

/* find.c: --find-rate. */
int find_run(const struct stage_config *config, const struct find_config *find, const struct run_kind *kind);

/* {"plan", "result"} of a part that ran. */
json_t *run_part_json(const struct part *part);

#endif
