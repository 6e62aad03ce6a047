/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The run directory: made when absent (0700), and held by one gateway at a time through a lock on its file
 * "pid", which says whose it is. When the children become another user, a directory that is made is theirs;
 * one that exists stays as it is, and they must be able to pass through it. The lock goes with the
 * supervisor, however that ends.
 */
#ifndef PROC_RUN_DIR_H
#define PROC_RUN_DIR_H

#include "proc/rights.h"

#include <stdbool.h>
#include <stddef.h>

struct run_dir {
    char path[256];
    int lock_fd;
    bool was_left; /* by a gateway that was killed */
};

/* 0, or a negated errno and in why[] one line with the way out. */
int run_dir_open(struct run_dir *dir, const char *path, const struct rights_user *user, char *why,
                 size_t why_size);
/* Empties the pid file and gives the lock back. */
void run_dir_close(struct run_dir *dir);

/* mkdir -p with mode 0700 for what is made. 1 when `path` is new, 0 when it was there, or a negated errno. */
int run_dir_make(const char *path);

#endif
