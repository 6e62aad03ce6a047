/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The program from its command line on, for any set of children: main.c gives it the gateway's, the
 * supervisor's tests give it theirs.
 */
#ifndef MAIN_PROGRAM_H
#define MAIN_PROGRAM_H

#include "proc/child.h"

/* Returns the exit status: 0; 1 when the gateway could not start; 2 when the configuration is not valid. */
int program_main(int argc, char **argv, const struct child_role *roles);

#endif
