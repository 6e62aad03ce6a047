/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MCPLOAD_DIFF_H
#define MCPLOAD_DIFF_H

#include <jansson.h>
#include <stdio.h>

/* One line for each number that both objects have (those that are 0 in both are left out) and each text that
 * differs. Names of members below others are joined by dots after `prefix`. */
void diff_print(const char *prefix, json_t *a, json_t *b, FILE *out);

#endif
