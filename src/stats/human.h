/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers as people read them, short enough for a column of a table. */
#ifndef STATS_HUMAN_H
#define STATS_HUMAN_H

#include <stddef.h>
#include <stdint.h>

enum { HUMAN_MAX = 32 };

void human_count(char out[HUMAN_MAX], uint64_t n);       /* "1,234,567" */
void human_bytes(char out[HUMAN_MAX], double bytes);     /* "512 B", "1.2 MiB" */
void human_rate(char out[HUMAN_MAX], double per_second); /* "0", "0.35", "12.3", "45,678" */
void human_ns(char out[HUMAN_MAX],
              double ns); /* "850 ns", "12.3 us", "1.25 ms", "2.10 s"; "-" below 0: there is none */
void human_age(char out[HUMAN_MAX], double seconds);    /* "12.3s", "4m05s", "3h20m", "12d04h" */
void human_date(char out[HUMAN_MAX], uint64_t real_ns); /* "2026-11-20 10:15:02", local time */

#endif
