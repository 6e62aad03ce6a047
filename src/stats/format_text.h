/* SPDX-License-Identifier: Apache-2.0 */
/* The sections of the plain text, for mcpstat's views. Each line starts with `indent`; `change` is as in
 * stats_format_text(). */
#ifndef STATS_FORMAT_TEXT_H
#define STATS_FORMAT_TEXT_H

#include "stats/format.h"
#include "stats/table.h"

void text_headline(const struct snapshot *s, const struct writer *w);
/* One line: what the workers do now. */
void text_summary(const struct snapshot *s, const struct snapshot *change, const char *indent,
                  const struct writer *w);
void text_totals(const struct snapshot *s, const struct snapshot *change, const char *indent,
                 const struct writer *w);
void text_latencies(const struct snapshot *change, const char *indent, const struct writer *w);
/* Each family of counters with its heading, but those by side and transport: they are columns of the second.
 */
void text_families(const struct snapshot *s, const struct snapshot *change, const char *indent,
                   const struct writer *w);
void text_transports(const struct snapshot *s, const struct snapshot *change, const char *indent,
                     const struct writer *w);
/* `order`: indices of the rows in the order in which they are shown; NULL: as they are. */
void text_workers(const struct snapshot *s, const struct snapshot *change, const uint32_t *order,
                  const char *indent, const struct writer *w);
void text_upstreams(const struct snapshot *s, const struct snapshot *change, const uint32_t *order,
                    const char *indent, const struct writer *w);
void text_streams(const struct snapshot *s, const uint32_t *order, uint32_t limit, const char *indent,
                  const struct writer *w);

/* The values of that slot in `change`; NULL when it is not there. */
const uint64_t *text_change_of_slot(const struct snapshot *change, uint32_t index);

#endif
