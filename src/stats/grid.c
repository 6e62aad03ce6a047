/* SPDX-License-Identifier: Apache-2.0 */
#include "stats/grid.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void
grid_done(struct grid *g)
{
    free(g->cells);
    memset(g, 0, sizeof *g);
}

bool
grid_row(struct grid *g)
{
    if (g->rows == g->room) {
        unsigned room = g->room ? 2 * g->room : 16;
        void *cells = realloc(g->cells, room * sizeof *g->cells);

        if (!cells)
            return false;
        g->cells = cells;
        g->room = room;
    }
    memset(g->cells[g->rows++], 0, sizeof *g->cells);
    return true;
}

void
grid_cell(struct grid *g, unsigned column, const char *text)
{
    if (g->rows == 0 || column >= GRID_COLUMNS_MAX)
        return;
    snprintf(g->cells[g->rows - 1][column], GRID_CELL_MAX, "%s", text);
    if (column >= g->columns)
        g->columns = column + 1;
}

static int
width_of(const struct grid *g, unsigned column)
{
    size_t width = 0;

    for (unsigned row = 0; row < g->rows; row++) {
        size_t len = strlen(g->cells[row][column]);

        width = len > width ? len : width;
    }
    return (int)width;
}

/* How many cells of the row come before the empty ones at its end. */
static unsigned
used_columns(const struct grid *g, unsigned row)
{
    unsigned n = g->columns;

    while (n > 0 && !g->cells[row][n - 1][0])
        n--;
    return n;
}

void
grid_write(const struct grid *g, const char *indent, const struct writer *w)
{
    int widths[GRID_COLUMNS_MAX];

    for (unsigned c = 0; c < g->columns; c++)
        widths[c] = width_of(g, c);
    for (unsigned row = 0; g->columns > 0 && row < g->rows; row++) {
        unsigned used = used_columns(g, row);

        writer_text(w, indent);
        for (unsigned c = 0; c < used; c++) {
            const char *gap = c ? "  " : "";
            const char *text = g->cells[row][c];

            if (!g->left[c])
                writer_printf(w, "%s%*s", gap, widths[c], text);
            else if (c + 1 == used)
                writer_printf(w, "%s%s", gap, text);
            else
                writer_printf(w, "%s%-*s", gap, widths[c], text);
        }
        writer_text(w, "\n");
    }
}
