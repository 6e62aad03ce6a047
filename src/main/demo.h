/* SPDX-License-Identifier: Apache-2.0 */
/* `mcpgate demo --stdio [--revision R]`: the built-in demo server as a program on stdin and stdout. */
#ifndef MAIN_DEMO_H
#define MAIN_DEMO_H

#include <stdbool.h>

/* Whether the command line asks for it. */
bool demo_is(int argc, char **argv);

/* Runs until stdin ends; returns the exit status: 0, 1 when stdout cannot be written, 2 for wrong arguments. */
int demo_main(int argc, char **argv);

#endif
