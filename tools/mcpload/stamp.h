/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What `mcpload serve` writes into each event, so that its receiver knows when it left and whether one is
 * missing:
 *
 *     {"ns":"01234567890123456","n":"0000000042",...}
 *
 * 17 digits of nanoseconds last for three years of uptime. Pure.
 */
#ifndef MCPLOAD_STAMP_H
#define MCPLOAD_STAMP_H

#include "base/text.h"

enum { STAMP_DIGITS = 17, STAMP_NUMBER_DIGITS = 10 };

struct stamp {
    uint64_t ns, number;
};

/* Writes `value` as so many digits to at[]. */
void stamp_digits(char *at, unsigned digits, uint64_t value);
/* False when the text is no number of so many digits. */
bool stamp_digits_read(struct text text, unsigned digits, uint64_t *ret);
/* The stamp near the beginning of an event's data; false: it has none. */
bool stamp_read(struct text data, struct stamp *ret);

#endif
