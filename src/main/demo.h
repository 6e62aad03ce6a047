/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `mcpgate demo --stdio [--revision R]`: the built-in demo server as a program on stdin and stdout.
 * `mcpgate demo --listen ADDR:PORT ...`: the gateway with the flags behind, in front of that server and nothing else.
 */
#ifndef MAIN_DEMO_H
#define MAIN_DEMO_H

#include <stdbool.h>

/* Whether the command line asks for it, on stdin and stdout. */
bool demo_is(int argc, char **argv);
/* Takes the word away where the gateway itself is asked for. */
void demo_take_word(int *argc, char ***argv);

/* Runs until stdin ends; returns the exit status: 0, 1 when stdout cannot be written, 2 for wrong arguments. */
int demo_main(int argc, char **argv);

#endif
