/* SPDX-License-Identifier: Apache-2.0 */
/* The place of a value in a JSON text: jansson tells it for syntax errors only, and a person needs it for a
 * value out of range as well. */
#ifndef CFG_JSON_WHERE_H
#define CFG_JSON_WHERE_H

#include "base/text.h"

enum { JSON_PATH_MAX = 4 };

/* From the root down: the how-manieth member of each object, or element of each array, from 0. */
struct json_path {
    uint16_t depth;
    bool of_key; /* the key of the last member is meant, not its value */
    uint32_t at[JSON_PATH_MAX];
};

/* `json` is a text that a parser accepted. Finds what is at `path`; line and column count from 1, columns in
 * characters. When there is nothing, the nearest value above it. */
void json_where(struct text json, const struct json_path *path, unsigned *ret_line, unsigned *ret_column);

#endif
