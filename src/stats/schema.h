/* SPDX-License-Identifier: Apache-2.0 */
/* From the header and the descriptors of a file to what its readers use. Private to the reader. */
#ifndef STATS_SCHEMA_H
#define STATS_SCHEMA_H

#include "stats/read.h"

/* What a reader is prepared to handle: far above what a gateway makes, and low enough that a hostile file
 * costs little. */
enum {
    READ_METRICS_MAX = 1024,
    READ_LABELS_MAX = 16384,
    READ_UPSTREAMS_MAX = 4096,
    READ_SLOTS_MAX = 1024,
    READ_STREAMS_MAX = 65536,
    READ_ENTRY_MAX = 4096,          /* bytes of a descriptor, label, upstream name, stream row */
    READ_SLOT_FIXED_MAX = 16 << 20, /* a slot without its upstream rows */
    READ_ROW_MAX = 4 << 20,
    READ_VALUES_MAX = 1 << 18, /* in one values array */
    READ_BLOCK_MAX = 1 << 25,  /* values of a snapshot */
};

/* 0, or -EPROTO or -EBADMSG with *ret_why. After 0 every area that the header names lies within file_size and
 * every count is within the limits above. */
int schema_check_header(const struct segment_header *h, uint64_t file_size, const char **ret_why);

/* Builds the schema from the tables' bytes: metric_count * metric_size and label_count * label_size of them.
 */
int schema_build(struct stats_schema *schema, const struct segment_header *h, const char *metrics,
                 const char *labels, const char **ret_why);
void schema_done(struct stats_schema *schema);

/* The bytes that one value of a metric takes in slot or row. */
uint32_t schema_cell_bytes(const struct stats_metric *m);

/* Copies a fixed-size field as a string of printable ASCII. `to` has size + 1 bytes. */
void schema_copy_text(char *to, const char *from, size_t size);

#endif
