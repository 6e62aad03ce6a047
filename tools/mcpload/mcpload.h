/* SPDX-License-Identifier: Apache-2.0 */
/* What mcpload's subcommands share. Each *_main gets the words after its name and returns the exit status: 0;
 * 1 when something failed; 2 when it could not start. */
#ifndef MCPLOAD_MCPLOAD_H
#define MCPLOAD_MCPLOAD_H

#include <jansson.h>
#include <stdbool.h>

int load_main(int argc, char **argv);
int ws_main(int argc, char **argv);
int mix_main(int argc, char **argv);
int serve_main(int argc, char **argv);
int floor_main(int argc, char **argv);
int diff_main(int argc, char **argv);

bool mcpload_wants_help(int argc, char **argv);
/* Blocks SIGINT, SIGTERM and ignores SIGPIPE; a descriptor that is readable when one of the first two came.
 */
int mcpload_signals(void);
/* `file` is "-" for stdout. 0, or 1 after a line on stderr. */
int mcpload_write_json(const json_t *json, const char *file);
/* As many descriptors as the system allows; returns that limit. */
unsigned long mcpload_raise_descriptors(void);

#endif
