/* SPDX-License-Identifier: Apache-2.0 */
/* The boundary scanner of sse.h: touches each byte of a line once, 16 at a time. */
#include "proto/sse.h"
#include "proto/sse_line.h"

#include <assert.h>

static_assert(sizeof(struct sse_scan) <= 8, "a spliced stream keeps one per direction");

enum { LINE_START, LINE_COMMENT, LINE_FIELD };

/* How much of the line is known to be "id". */
enum { ID_NONE, ID_I, ID_D, ID_COLON, ID_VALUE };

static void
id_value(struct sse_id *keep, const char *at, uint32_t len)
{
    if (memchr(at, 0, len))
        keep->line_bad = true;
    if (keep->line_overflow || len > SSE_ID_MAX - (uint32_t)keep->line_len) {
        keep->line_overflow = true;
        return;
    }
    memcpy(keep->line + keep->line_len, at, len);
    keep->line_len = (uint8_t)(keep->line_len + len);
}

/* Takes a piece of one line; `first` when it begins the line. */
static void
id_feed(struct sse_scan *scan, struct sse_id *keep, bool first, const char *at, uint32_t len)
{
    if (first) {
        scan->id = ID_NONE;
        keep->line_len = 0;
        keep->line_bad = keep->line_overflow = false;
        if (!len || *at != 'i')
            return;
        scan->id = ID_I;
        at++, len--;
    }
    for (; len && scan->id != ID_NONE && scan->id != ID_VALUE; at++, len--) {
        if (scan->id == ID_I) {
            scan->id = *at == 'd' ? ID_D : ID_NONE;
        } else if (scan->id == ID_D) {
            scan->id = *at == ':' ? ID_COLON : ID_NONE;
        } else {
            scan->id = ID_VALUE;
            if (*at != ' ') /* one space after the colon is no part of the value */
                break;
        }
    }
    if (len && scan->id == ID_VALUE)
        id_value(keep, at, len);
}

static void
id_line_end(struct sse_scan *scan, struct sse_id *keep)
{
    /* "id" without a colon is a field with an empty value; an id with a NUL counts for nothing. */
    if (scan->id >= ID_D && !keep->line_bad) {
        keep->next_set = true;
        keep->next_overflow = keep->line_overflow;
        keep->next_len = keep->line_overflow ? 0 : keep->line_len;
        memcpy(keep->next, keep->line, keep->next_len);
    }
    scan->id = ID_NONE;
}

static void
id_block_end(struct sse_id *keep)
{
    if (!keep->next_set)
        return;
    keep->next_set = false;
    keep->len = keep->next_len;
    keep->overflow = keep->next_overflow;
    memcpy(keep->id, keep->next, keep->next_len);
}

enum stop {
    STOP_NOT,
    STOP_ID,    /* in front of a line that may be an id */
    STOP_EVENT, /* behind the first event that ends */
};

/* *ret_end is where it has stopped. */
static uint32_t
scan_lines(struct sse_scan *scan, struct sse_id *keep, const char *at, uint32_t len, enum stop stop,
           const char **ret_end)
{
    const char *end = at + len, *start;
    uint32_t events = 0;

    while (at < end) {
        bool first = scan->line == LINE_START;

        if (first) {
            if (scan->cr) {
                scan->cr = false;
                if (*at == '\n') {
                    at++;
                    continue;
                }
            }
            switch (sse_bom_step(&scan->bom, *at)) {
            case SSE_BOM_TAKEN:
                at++;
                continue;
            case SSE_BOM_BROKEN:
                scan->line = LINE_FIELD;
                scan->event = true;
                scan->id = ID_NONE;
                first = false;
                break;
            case SSE_BOM_NONE:
                if (*at == '\n' || *at == '\r') {
                    events += scan->event;
                    scan->event = false;
                    scan->cr = *at++ == '\r';
                    if (keep)
                        id_block_end(keep);
                    if (stop == STOP_EVENT && events) {
                        *ret_end = at;
                        return events;
                    }
                    continue;
                }
                if (stop == STOP_ID && *at == 'i') {
                    *ret_end = at;
                    return events;
                }
                scan->line = *at == ':' ? LINE_COMMENT : LINE_FIELD;
                scan->event |= scan->line == LINE_FIELD;
            }
        }
        start = at;
        at = sse_line_end(at, end);
        if (keep && scan->line == LINE_FIELD)
            id_feed(scan, keep, first, start, (uint32_t)(at - start));
        if (at == end)
            break;
        scan->cr = *at++ == '\r';
        if (keep && scan->line == LINE_FIELD)
            id_line_end(scan, keep);
        scan->line = LINE_START;
    }
    *ret_end = end;
    return events;
}

uint32_t
sse_scan_ids(struct sse_scan *scan, struct sse_id *keep, const char *at, uint32_t len)
{
    const char *end;

    return scan_lines(scan, keep, at, len, STOP_NOT, &end);
}

uint32_t
sse_scan_until_id(struct sse_scan *scan, const char *at, uint32_t len, uint32_t *ret_used)
{
    const char *end;
    uint32_t events = scan_lines(scan, NULL, at, len, STOP_ID, &end);

    *ret_used = (uint32_t)(end - at);
    return events;
}

uint32_t
sse_scan_event(struct sse_scan *scan, const char *at, uint32_t len, uint32_t *ret_used)
{
    const char *end;
    uint32_t events = scan_lines(scan, NULL, at, len, STOP_EVENT, &end);

    *ret_used = (uint32_t)(end - at);
    return events;
}

uint32_t
sse_scan(struct sse_scan *scan, const char *at, uint32_t len)
{
    return sse_scan_ids(scan, NULL, at, len);
}

bool
sse_scan_at_boundary(const struct sse_scan *scan)
{
    /* A CR whose LF may still come is no obstacle: that LF then is one more blank line, which means nothing.
     */
    return scan->line == LINE_START && !scan->event && !sse_bom_inside(scan->bom);
}

uint32_t
sse_scan_bom(const struct sse_scan *scan, const char *at, uint32_t len)
{
    uint8_t bom = scan->bom;
    uint32_t n = 0;

    while (n < len && sse_bom_step(&bom, at[n]) == SSE_BOM_TAKEN)
        n++;
    return n;
}
