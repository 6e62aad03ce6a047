/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loading the configuration: the supervisor turns its command line and the files that it names into one
 * sealed mapping (cfg/config.h); a child maps what it was handed. Nothing here forks, listens, creates a
 * directory or writes to a terminal unless a cfg_print_ function is called.
 *
 * What wins: defaults < the first --config < later ones < the command line. A plain option is replaced as a
 * whole, and so is a list (--listen, --allow-origin, --trusted-proxy). Upstreams and routes are added up; one
 * of the same name replaces the earlier one together with its headers, which may be secrets meant for another
 * server. A header given later replaces the earlier one of that name.
 */
#ifndef CFG_CFG_H
#define CFG_CFG_H

#include "cfg/config.h"

#include <stdio.h>

enum cfg_action {
    CFG_RUN,
    CFG_HELP,         /* cfg_print_help, end with 0; no configuration was made */
    CFG_VERSION,      /* cfg_print_version, end with 0; no configuration was made */
    CFG_CHECK,        /* cfg_print_check, end with 0 */
    CFG_PRINT_CONFIG, /* cfg_print_config, end with 0 */
};

enum { CFG_ERROR_MAX = 800 };

struct cfg_result {
    enum cfg_action action;
    const struct config *config; /* read-only mapping, NULL for CFG_HELP and CFG_VERSION */
    int fd;                      /* the sealed memfd (CLOEXEC) to hand to children, or -1 */
    char error[CFG_ERROR_MAX];   /* after a failure: one whole line, "mcpgate: ...", without the newline */
};

/* Reads the command line (argv[0] is not looked at, argv is not changed) and the files it names. 0, or a
 * negative errno with ret->error filled in and nothing else to release. May be called again at a reload. The
 * result's configuration lives until cfg_done(). */
int cfg_load(int argc, char **argv, struct cfg_result *ret);

/* Unmaps and closes; a result that failed or was released already is fine. */
void cfg_done(struct cfg_result *result);

/* Child: maps the sealed memfd `fd` for good. NULL with errno set when it is not a sealed configuration of
 * this program (EPERM: not sealed, EPROTO: another build's or damaged). The descriptor may be closed
 * afterwards. */
const struct config *cfg_map(int fd);

/* What the actions print. Help is wrapped to the terminal, or to 80 columns when `out` is none. */
void cfg_print_help(FILE *out);
void cfg_print_version(FILE *out);
void cfg_print_check(FILE *out, const struct config *c);
/* The effective configuration in the form of a --config file; values of upstream headers show as "***". */
void cfg_print_config(FILE *out, const struct config *c);

#endif
