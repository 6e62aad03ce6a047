/* SPDX-License-Identifier: Apache-2.0 */
#include "stats/schema.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int
refuse(int err, const char *why, const char **ret_why)
{
    *ret_why = why;
    return err;
}

/* Whether count elements of this size from offset lie in [0, size). */
static bool
fits(uint64_t offset, uint64_t count, uint64_t element, uint64_t size)
{
    uint64_t bytes;

    return !__builtin_mul_overflow(count, element, &bytes) && offset <= size && bytes <= size - offset;
}

static bool
counts_are_sane(const struct segment_header *h)
{
    return h->metric_count <= READ_METRICS_MAX && h->label_count <= READ_LABELS_MAX &&
           h->upstream_count <= READ_UPSTREAMS_MAX && h->slot_count <= READ_SLOTS_MAX &&
           h->stream_count <= READ_STREAMS_MAX && h->upstreams_named <= h->upstream_count;
}

static bool
sizes_are_sane(const struct segment_header *h)
{
    return h->metric_size >= sizeof(struct segment_metric) && h->metric_size <= READ_ENTRY_MAX &&
           h->label_size >= sizeof(struct segment_label) && h->label_size <= READ_ENTRY_MAX &&
           h->upstream_size >= sizeof(struct segment_upstream) && h->upstream_size <= READ_ENTRY_MAX &&
           h->stream_size >= sizeof(struct segment_stream) && h->stream_size <= READ_ENTRY_MAX &&
           h->slot_head_size >= sizeof(struct segment_slot) &&
           h->upstream_row_offset <= READ_SLOT_FIXED_MAX && h->upstream_row_size <= READ_ROW_MAX;
}

static bool
areas_fit(const struct segment_header *h)
{
    uint64_t size = h->file_size;

    return fits(h->metrics_offset, h->metric_count, h->metric_size, size) &&
           fits(h->labels_offset, h->label_count, h->label_size, size) &&
           fits(h->upstreams_offset, h->upstream_count, h->upstream_size, size) &&
           fits(h->slots_offset, h->slot_count, h->slot_size, size) && size < INT64_MAX &&
           h->slot_head_size <= h->upstream_row_offset &&
           fits(h->upstream_row_offset, h->upstream_count, h->upstream_row_size, h->slot_size) &&
           fits(h->stream_offset, h->stream_count, h->stream_size, h->upstream_row_offset);
}

int
schema_check_header(const struct segment_header *h, uint64_t file_size, const char **ret_why)
{
    if (file_size < sizeof *h || memcmp(h->magic, SEGMENT_MAGIC, sizeof h->magic) != 0)
        return refuse(-EPROTO, "not a statistics segment", ret_why);
    if (h->abi < SEGMENT_ABI_FIRST || h->abi > SEGMENT_ABI)
        return refuse(-EPROTO, "a segment of another ABI: use the mcpstat that came with this gateway",
                      ret_why);
    if (h->header_size < sizeof *h || h->file_size > file_size)
        return refuse(-EBADMSG, "the segment is cut short", ret_why);
    if (!counts_are_sane(h) || !sizes_are_sane(h) || !areas_fit(h))
        return refuse(-EBADMSG, "the segment's header is damaged", ret_why);
    return 0;
}

void
schema_copy_text(char *to, const char *from, size_t size)
{
    size_t i = 0;

    for (; i < size && from[i]; i++)
        to[i] = from[i] >= 0x20 && from[i] < 0x7f ? from[i] : '?';
    to[i] = '\0';
}

/* What Prometheus allows in names, in lower case; "" is no name. */
static bool
is_name(const char *s)
{
    if (!*s || (*s >= '0' && *s <= '9'))
        return false;
    for (; *s; s++) {
        if (!(*s >= 'a' && *s <= 'z') && !(*s >= '0' && *s <= '9') && *s != '_')
            return false;
    }
    return true;
}

uint32_t
schema_cell_bytes(const struct stats_metric *m)
{
    if (m->kind == SEGMENT_HISTOGRAM)
        return (uint32_t)(offsetof(struct segment_histogram, buckets) + m->buckets * sizeof(uint64_t));
    return sizeof(uint64_t);
}

static bool
take_dims(struct stats_metric *m, const struct segment_metric *from, const struct stats_schema *schema)
{
    for (int d = 0; d < 2; d++) {
        schema_copy_text(m->dim[d].name, from->dim[d].name, sizeof from->dim[d].name);
        m->dim[d].count = from->dim[d].count;
        if (!m->dim[d].name[0])
            continue;
        if (!is_name(m->dim[d].name) || !fits(from->dim[d].first, from->dim[d].count, 1, schema->label_count))
            return false;
        m->dim[d].values = schema->labels + from->dim[d].first;
    }
    if (m->dim[0].count == 0)
        return m->dim[1].count == 0;
    /* a second label without a name is none, and has one value */
    return m->dim[0].values && m->dim[1].count >= 1 && (m->dim[1].values || m->dim[1].count == 1);
}

static bool
take_buckets(struct stats_metric *m, const struct segment_metric *from)
{
    m->sub_bits = from->sub_bits;
    m->buckets = from->buckets;
    /* the floor of the last bucket has to fit 64 bits */
    return m->sub_bits <= 16 && m->buckets > 0 && m->buckets <= READ_VALUES_MAX &&
           (m->buckets >> m->sub_bits) + m->sub_bits < 62;
}

static bool
take_shape(struct stats_metric *m, const struct segment_metric *from, const struct stats_schema *schema)
{
    uint64_t count;

    if (from->kind > SEGMENT_HISTOGRAM || from->unit > SEGMENT_SECONDS || from->scope > SEGMENT_PER_UPSTREAM)
        return false;
    m->kind = from->kind;
    m->unit = from->unit;
    m->scope = from->scope;
    m->offset = from->offset;
    if (!take_dims(m, from, schema))
        return false;
    if (m->kind == SEGMENT_HISTOGRAM && !take_buckets(m, from))
        return false;
    count = (uint64_t)stats_cells(m) * stats_cell_values(m);
    m->count = (uint32_t)count;
    return count <= READ_VALUES_MAX;
}

static bool
take_metric(struct stats_metric *m, const struct segment_metric *from, struct stats_schema *schema,
            const struct segment_header *h)
{
    bool per_slot = from->scope == SEGMENT_PER_SLOT;
    uint32_t *used = per_slot ? &schema->slot_values : &schema->upstream_values;
    uint64_t area = per_slot ? h->upstream_row_offset : h->upstream_row_size;

    schema_copy_text(m->name, from->name, sizeof from->name);
    schema_copy_text(m->help, from->help, sizeof from->help);
    if (!is_name(m->name) || !take_shape(m, from, schema))
        return false;
    if (m->count > READ_VALUES_MAX - *used || !fits(m->offset, stats_cells(m), schema_cell_bytes(m), area) ||
        m->offset % 8)
        return false;
    m->first = *used;
    *used += m->count;
    return true;
}

int
schema_build(struct stats_schema *schema, const struct segment_header *h, const char *metrics,
             const char *labels, const char **ret_why)
{
    memset(schema, 0, sizeof *schema);
    schema->metrics = calloc(h->metric_count + 1u, sizeof *schema->metrics);
    schema->labels = calloc(h->label_count + 1u, sizeof *schema->labels);
    if (!schema->metrics || !schema->labels)
        return refuse(-ENOMEM, "out of memory", ret_why);
    for (; schema->label_count < h->label_count; schema->label_count++)
        schema_copy_text(schema->labels[schema->label_count].text,
                         labels + (size_t)schema->label_count * h->label_size, SEGMENT_NAME_MAX);
    for (; schema->metric_count < h->metric_count; schema->metric_count++) {
        struct segment_metric from;

        memcpy(&from, metrics + (size_t)schema->metric_count * h->metric_size, sizeof from);
        if (!take_metric(&schema->metrics[schema->metric_count], &from, schema, h))
            return refuse(-EBADMSG, "a metric's descriptor in the segment is damaged", ret_why);
    }
    return 0;
}

void
schema_done(struct stats_schema *schema)
{
    free(schema->metrics);
    free(schema->labels);
    memset(schema, 0, sizeof *schema);
}

const struct stats_metric *
stats_find(const struct stats_schema *schema, enum segment_scope scope, const char *name)
{
    for (uint32_t i = 0; i < schema->metric_count; i++) {
        const struct stats_metric *m = &schema->metrics[i];

        if (m->scope == scope && strcmp(m->name, name) == 0)
            return m;
    }
    return NULL;
}
