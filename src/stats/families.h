/* SPDX-License-Identifier: Apache-2.0 */
/* What the labels of the metric families can be. For the writer of the segment's tables, and nobody else:
 * readers find them in the file. */
#ifndef STATS_FAMILIES_H
#define STATS_FAMILIES_H

#include <mcpgate/segment.h>
#include <stddef.h>

struct family_dim {
    const char *label; /* "": the family has no second label */
    uint32_t count;
    const char *(*value)(uint32_t i);
};

struct family {
    const char *id;
    const char *help;
    enum segment_kind kind;
    enum segment_unit unit;
    size_t offset; /* of its values in struct slot */
    struct family_dim dim[2];
};

/* The rows of METRIC_FAMILY and METRIC_TRANSPORT in metrics.def. */
extern const struct family families[];
extern const uint32_t family_count;

#endif
