/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the gateway keeps its files when no flag says so. Nothing is created here: the supervisor makes the
 * directory that was chosen.
 */
#ifndef CFG_PATHS_H
#define CFG_PATHS_H

#include <stddef.h>

enum { CFG_PATH_MAX = 256, CFG_RUN_DIR_MAX = 90 /* "<run_dir>/home-<slot>.sock" must fit into sun_path */ };

/* The places of a run directory in order of preference, whether they exist or not: /run/mcpgate,
 * $XDG_RUNTIME_DIR/mcpgate, /tmp/mcpgate-UID. For readers (mcpstat) that look for a gateway. 0, or -ENOENT
 * when `index` is past the last, or -ENAMETOOLONG. A place that does not apply (no XDG_RUNTIME_DIR) is left
 * out. */
int cfg_run_dir_candidate(unsigned index, char *ret_path, size_t size);

/* The first of them that exists and is writable or can be created. -EPERM when only /tmp/mcpgate-UID is left
 * and it exists but is not a directory of ours with mode 0700 (ret_path then names it), -ENAMETOOLONG. */
int cfg_default_run_dir(char *ret_path, size_t size);

/* $STATE_DIRECTORY (its first element), else /var/lib/mcpgate when it is writable or can be created, else
 * ~/.local/state/mcpgate. -ENOENT when there is no home directory either, -ENAMETOOLONG. */
int cfg_default_state_dir(char *ret_path, size_t size);

/* `path` made absolute against the working directory. -ENAMETOOLONG, or what getcwd said. */
int cfg_absolute_path(const char *path, char *ret_path, size_t size);

#endif
