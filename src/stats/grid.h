/* SPDX-License-Identifier: Apache-2.0 */
/* A table of short texts whose columns are as wide as their widest cell. */
#ifndef STATS_GRID_H
#define STATS_GRID_H

#include "stats/format.h"

enum { GRID_COLUMNS_MAX = 24, GRID_CELL_MAX = 164 };

struct grid {
    unsigned columns, rows, room; /* room: rows that `cells` can hold */
    bool left[GRID_COLUMNS_MAX];  /* aligned left; numbers stand right */
    char (*cells)[GRID_COLUMNS_MAX][GRID_CELL_MAX];
};

/* A grid is empty when zeroed. */
void grid_done(struct grid *g);
/* Starts another row of empty cells; the first is the headings. False: out of memory, and the cells that
 * follow are lost. */
bool grid_row(struct grid *g);
/* Fills the next cell of the last row. */
void grid_cell(struct grid *g, unsigned column, const char *text);
/* Each row as a line that starts with `indent`. Texts longer than a cell were cut. */
void grid_write(const struct grid *g, const char *indent, const struct writer *w);

#endif
