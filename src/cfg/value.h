/* SPDX-License-Identifier: Apache-2.0 */
/* Values of plain options: from text and back. */
#ifndef CFG_VALUE_H
#define CFG_VALUE_H

#include "cfg/options.h"

#include <stdbool.h>

enum { CFG_VALUE_MAX = 32, CFG_WHY_MAX = 384 };

/* Whether the option's value is a number in struct config (every type but TEXT, LIST and STRUCT). */
bool cfg_value_is_number(const struct cfg_option *option);

/* Parses and checks the range. 0, or -1 with one clause in `why` (CFG_WHY_MAX bytes) that quotes the value
 * and names the way out: "'15x' is not a duration: use a number with ms, s, m or h, such as 15s". */
int cfg_value_parse(const struct cfg_option *option, const char *text, uint64_t *ret, char *why);

/* The shortest text that parses back to `value`; `ret` has CFG_VALUE_MAX bytes. */
void cfg_value_print(const struct cfg_option *option, uint64_t value, char *ret);

#endif
