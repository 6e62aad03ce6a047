/* SPDX-License-Identifier: Apache-2.0 */
/* The first byte says where the rest is split. The scanner and the parser must answer the same for the whole
 * and for the pieces; what the parser calls an event, the scanner counts; a heartbeat at a boundary changes
 * no event. */
#include "base/check.h"
#include "proto/sse.h"

struct seen {
    struct sse_parser parser;
    struct sse_buffer buffer;
    char room[4096];
    uint64_t hash;
    uint32_t events;
    bool bad;
};

static void
seen_init(struct seen *seen)
{
    memset(seen, 0, sizeof *seen);
    seen->buffer = (struct sse_buffer){seen->room, sizeof seen->room, NULL};
    sse_parser_init(&seen->parser, &seen->buffer);
}

static uint64_t
mix(uint64_t hash, struct text text)
{
    for (uint32_t i = 0; i < text.len; i++)
        hash = (hash ^ (uint8_t)text.at[i]) * 0x100000001b3u;
    return (hash ^ text.len) * 0x100000001b3u;
}

static void
feed(struct seen *seen, const char *at, uint32_t len)
{
    struct sse_event e;
    enum parse_result r = PARSE_MORE;
    uint32_t used = 0;

    while (!seen->bad && (r = sse_parser_next(&seen->parser, at, len, &used, &e)) == PARSE_OK) {
        ASSERT(used > 0 && used <= len);
        at += used;
        len -= used;
        seen->events++;
        seen->hash = mix(mix(mix(seen->hash, e.event), e.data), e.id) ^ (uint64_t)e.retry_ms;
    }
    seen->bad |= r == PARSE_BAD;
}

static void
check_rewritten(const char *at, uint32_t len)
{
    char out[16384], room[4096];
    struct sse_buffer buffer = {room, sizeof room, NULL}, again_buffer;
    struct sse_parser parser, again;
    struct sse_event e, back;
    uint32_t used, n;

    sse_parser_init(&parser, &buffer);
    while (sse_parser_next(&parser, at, len, &used, &e) == PARSE_OK) {
        static char again_room[4096];

        at += used;
        len -= used;
        n = sse_write_event(out, sizeof out, &e);
        if (n) {
            again_buffer = (struct sse_buffer){again_room, sizeof again_room, NULL};
            sse_parser_init(&again, &again_buffer);
            ASSERT(sse_parser_next(&again, out, n, &used, &back) == PARSE_OK && used == n);
            ASSERT(text_eq(back.data, e.data) && text_eq(back.event, e.event) && text_eq(back.id, e.id));
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* As many events come one by one. */
static void
check_one_by_one(const char *at, uint32_t len, uint32_t events)
{
    struct sse_scan scan = {0};
    uint32_t used;

    for (; len; at += used, len -= used) {
        uint32_t ended = sse_scan_event(&scan, at, len, &used);

        ASSERT(used > 0 && used <= len && (used == len || ended == 1));
        ASSERT(!ended || sse_scan_at_boundary(&scan));
        events -= ended;
    }
    ASSERT(events == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct seen whole, parts, beaten;
    struct sse_scan a = {0}, b = {0}, c = {0};
    struct sse_id id_a = {0}, id_b = {0};
    const char *at = (const char *)data + 1;
    uint32_t len = (uint32_t)size - 1, split, events, split_events;

    if (size < 2 || size > 1 << 16)
        return 0;
    split = (uint32_t)(data[0] * (uint64_t)len / 255);
    seen_init(&whole);
    seen_init(&parts);
    seen_init(&beaten);
    feed(&whole, at, len);
    feed(&parts, at, split);
    feed(&parts, at + split, len - split);
    ASSERT(whole.bad == parts.bad && whole.events == parts.events && whole.hash == parts.hash);

    events = sse_scan_ids(&a, &id_a, at, len);
    split_events = sse_scan_ids(&b, &id_b, at, split);
    split_events += sse_scan_ids(&b, &id_b, at + split, len - split);
    ASSERT(split_events == events);
    split_events = sse_scan(&c, at, split);
    split_events += sse_scan(&c, at + split, len - split);
    ASSERT(split_events == events);
    {
        struct sse_scan d = {0};
        struct sse_id id_d = {0};
        uint32_t used;

        events -= sse_scan_until_id(&d, at, len, &used);
        events -= sse_scan_ids(&d, &id_d, at + used, len - used);
        ASSERT(events == 0 && id_d.len == id_a.len && !memcmp(id_d.id, id_a.id, id_a.len));
        ASSERT(sse_scan_at_boundary(&a) == sse_scan_at_boundary(&d));
        events = split_events;
    }
    ASSERT(id_a.len == id_b.len && id_a.overflow == id_b.overflow && !memcmp(id_a.id, id_b.id, id_a.len));
    ASSERT(sse_scan_at_boundary(&a) == sse_scan_at_boundary(&b));
    ASSERT(sse_scan_at_boundary(&a) == sse_scan_at_boundary(&c));
    ASSERT(whole.events <= events);
    check_one_by_one(at, len, events);
    if (!whole.bad && sse_scan_at_boundary(&a) && !id_a.overflow)
        ASSERT(
            text_eq((struct text){id_a.id, id_a.len}, (struct text){whole.parser.id, whole.parser.id_len}));

    memset(&c, 0, sizeof c);
    sse_scan(&c, at, split);
    if (sse_scan_at_boundary(&c)) {
        uint32_t bom = split == 0 ? sse_scan_bom(&c, at, len) : 0;

        feed(&beaten, at, split);
        feed(&beaten, SSE_HEARTBEAT, sizeof SSE_HEARTBEAT - 1);
        feed(&beaten, at + split + bom, len - split - bom);
        if (bom == 0 || bom == 3)
            ASSERT(beaten.bad == whole.bad && beaten.events == whole.events && beaten.hash == whole.hash);
    }
    check_rewritten(at, len);
    return 0;
}
