/* SPDX-License-Identifier: Apache-2.0 */
/* The views of mcpstat as lines of text, without a terminal. */
#ifndef MCPSTAT_PAGE_H
#define MCPSTAT_PAGE_H

#include "stats/read.h"

enum view { VIEW_OVERVIEW, VIEW_WORKERS, VIEW_UPSTREAMS, VIEW_STREAMS, VIEW_TRANSPORTS, VIEWS };

struct sort {
    unsigned column; /* 0: as in the file */
    bool reverse;
};

/* Lines of a view. Empty when zeroed. */
struct page {
    char *text;
    size_t size, room;
    unsigned *starts; /* of the lines in text, each NUL-terminated */
    unsigned line_count, start_room;
};

void page_make(struct page *page, enum view view, const struct snapshot *now, const struct snapshot *change,
               const struct sort *sort);
void page_done(struct page *page);
/* The length of its longest line. */
int page_width(const struct page *page);
const char *page_line(const struct page *page, unsigned i);

const char *view_name(enum view view);
/* How many columns a view can be sorted by; 0 or 1: none. */
unsigned view_sorts(enum view view, const struct stats_schema *schema);
const char *view_sort_name(enum view view, const struct stats_schema *schema, unsigned column);

#endif
