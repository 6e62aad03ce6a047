/* SPDX-License-Identifier: Apache-2.0 */
#include "gate/compress.h"

#include <libdeflate.h>
#include <stdlib.h>

enum {
    IDLE_MS = 5000,      /* a context that is unused for so long is given back */
    SPARES_MAX = 16,     /* contexts that are kept for the next stream */
    BEHIND = 98,         /* percent of its time that a worker works */
    WHOLE_MAX = 1 << 20, /* at once: a few milliseconds, in which the worker serves nobody else */
    WHOLE_LEVEL = 1,
    BLOCK_BYTES = 4 << 10
};

/* A stream on its way to one client. */
struct compressor {
    struct h1_coder coder; /* first */
    struct worker *worker;
    struct h1 *h1;
    struct list_node pending, lent;
    struct deflater *deflater; /* NULL: it was idle, or none was to be had */
    struct encoder encoder;
    uint32_t used_ms; /* of the ring's clock, wraps */
};

struct compress {
    struct pool compressors;
    struct list_node pending; /* those that hold what was not flushed */
    struct list_node lent;    /* those with a context, the longest unused first */
    struct timer idle;        /* runs while there are some */
    struct deflater *spares[SPARES_MAX];
    unsigned spare_count;
    uint32_t contexts;                   /* lent, to WebSockets too */
    struct libdeflate_compressor *whole; /* NULL: there was nothing to pack yet */
    struct held joined, packed;
};

/* --- contexts --- */

bool
compress_take_context(struct worker *w)
{
    if (w->compress->contexts == COMPRESS_CONTEXTS_MAX)
        return false;
    w->compress->contexts++;
    stats_add(w->stats, STAT_compress_contexts, 1);
    return true;
}

void
compress_give_context(struct worker *w)
{
    ASSERT(w->compress->contexts);
    w->compress->contexts--;
    stats_sub(w->stats, STAT_compress_contexts, 1);
}

static struct deflater *
take_deflater(struct worker *w)
{
    struct compress *s = w->compress;
    struct deflater *d;

    if (!compress_take_context(w))
        return NULL;
    if (s->spare_count) {
        d = s->spares[--s->spare_count];
        deflater_reset(d);
    } else {
        d = deflater_new();
    }
    if (!d)
        compress_give_context(w);
    return d;
}

static void
give_deflater(struct compressor *c)
{
    struct compress *s = c->worker->compress;

    if (!c->deflater)
        return;
    list_del(&c->lent);
    compress_give_context(c->worker);
    if (s->spare_count < SPARES_MAX)
        s->spares[s->spare_count++] = c->deflater;
    else
        deflater_free(c->deflater);
    c->deflater = NULL;
    if (list_empty(&s->lent))
        timer_stop(&s->idle);
}

static uint32_t
now_ms(const struct worker *w)
{
    return (uint32_t)(ring_now(w->ring) / 1000000);
}

static void
on_idle(struct ring *ring, struct timer *timer)
{
    struct compress *s = container_of(timer, struct compress, idle);
    struct list_node *node;

    while ((node = list_first(&s->lent))) {
        struct compressor *c = container_of(node, struct compressor, lent);
        uint32_t unused_ms = now_ms(c->worker) - c->used_ms;

        if (unused_ms < IDLE_MS) {
            timer_set(ring, timer, IDLE_MS - unused_ms, on_idle);
            return;
        }
        give_deflater(c);
    }
}

/* The stream writes: it has a context if one is to be had, and is the last to lose it. */
static void
use_deflater(struct compressor *c)
{
    struct compress *s = c->worker->compress;

    if (!c->deflater && !(c->deflater = take_deflater(c->worker)))
        return;
    list_del(&c->lent);
    list_add_tail(&s->lent, &c->lent);
    c->used_ms = now_ms(c->worker);
    if (!timer_running(&s->idle))
        timer_set(c->worker->ring, &s->idle, IDLE_MS, on_idle);
}

/* --- streams --- */

static void
encode(struct compressor *c, struct text in, enum encoder_step step)
{
    struct slot *stats = c->worker->stats;
    bool done = c->h1->link.state >= LINK_FINISHING; /* nobody takes it any more */

    stats_add(stats, STAT_compress_in, in.len);
    while (!done) {
        struct buf *b = slab_get(&c->worker->slab, BLOCK_BYTES);
        uint32_t n;

        if (!b) {
            h1_abort(c->h1, CLOSE_NO_MEMORY);
            return;
        }
        done = encoder_write(&c->encoder, c->deflater, &in, step, b->data, b->size, &n);
        stats_add(stats, STAT_compress_out, n);
        h1_send_coded(c->h1, span_of(b, 0, n));
        buf_unref(b);
    }
}

static void
write_pieces(struct h1_coder *coder, const struct span *pieces, uint32_t count)
{
    struct compressor *c = container_of(coder, struct compressor, coder);

    use_deflater(c);
    for (uint32_t i = 0; i < count; i++)
        if (pieces[i].len)
            encode(c, (struct text){(const char *)span_data(pieces[i]), pieces[i].len}, ENCODER_WRITE);
    if (!list_linked(&c->pending))
        list_add_tail(&c->worker->compress->pending, &c->pending);
}

static void
flush(struct compressor *c)
{
    list_del(&c->pending);
    encode(c, (struct text){"", 0}, ENCODER_FLUSH);
}

static void
flush_stream(struct h1_coder *coder)
{
    struct compressor *c = container_of(coder, struct compressor, coder);

    if (list_linked(&c->pending))
        flush(c);
}

static void
end_stream(struct h1_coder *coder)
{
    encode(container_of(coder, struct compressor, coder), (struct text){"", 0}, ENCODER_END);
}

static void
free_stream(struct h1_coder *coder)
{
    struct compressor *c = container_of(coder, struct compressor, coder);

    list_del(&c->pending);
    give_deflater(c);
    pool_put(&c->worker->compress->compressors, c);
}

static const struct h1_coder_ops stream_ops = {
    .write = write_pieces, .flush = flush_stream, .end = end_stream, .done = free_stream};

void
compress_begin(struct exchange *ex)
{
    struct worker *w = ex->worker;
    struct compressor *c;

    if (ex->coded != CODED_STREAM)
        return;
    c = pool_get(&w->compress->compressors);
    c->coder.ops = &stream_ops;
    c->worker = w;
    c->h1 = ex->client;
    encoder_init(&c->encoder, (enum content_coding)ex->coding);
    use_deflater(c);
    h1_set_coder(ex->client, &c->coder);
    stats_add(w->stats, STAT_compressed_replies, 1);
}

/* --- the turn --- */

void
compress_turn(struct worker *w)
{
    struct list_node *node;

    if (!w->config->compress)
        return;
    while ((node = list_first(&w->compress->pending)))
        flush(container_of(node, struct compressor, pending));
}

void
compress_trim(struct worker *w)
{
    pool_trim(&w->compress->compressors);
}

bool
compress_is_pending(const struct worker *w)
{
    return !list_empty(&w->compress->pending);
}

/* --- which replies --- */

bool
compress_forbidden(const struct http1_head *head)
{
    for (unsigned i = 0; head->first[HTTP_CACHE_CONTROL] && i < head->count; i++)
        if (head->headers[i].id == HTTP_CACHE_CONTROL &&
            http_list_has(http_value(&head->headers[i]), TEXT("no-transform")))
            return true;
    return false;
}

void
compress_note_request(struct exchange *ex, const struct http1_head *head)
{
    uint8_t via = client_of(ex->client)->via;

    ex->compresses =
        ex->worker->config->compress && (via == VIA_TCP || via == VIA_UNIX) && head->method != METHOD_HEAD;
    if (ex->compresses && !compress_forbidden(head))
        ex->coding = (unsigned)content_coding_accepted(head) & 3u;
}

/* A reply that could be compressed: is it? */
static bool
decide(struct exchange *ex, bool is_stream)
{
    const struct worker *w = ex->worker;

    ex->coded = CODED_COULD;
    if (ex->coding == CODING_NONE)
        return false;
    if (w->load.percent >= BEHIND || (is_stream && w->compress->contexts == COMPRESS_CONTEXTS_MAX)) {
        stats_add(w->stats, STAT_compress_spared, 1);
        return false;
    }
    ex->coded = is_stream ? CODED_STREAM : CODED_WHOLE;
    return true;
}

bool
compress_wants(struct exchange *ex, struct text content_type, int64_t length)
{
    ex->coded = CODED_NOT;
    if (!ex->compresses || (length >= 0 && (uint64_t)length < ex->worker->config->compress_min) ||
        !(text_eq(content_type, TEXT("application/json")) ||
          text_eq(content_type, TEXT("text/event-stream"))))
        return false;
    return decide(ex, length < 0);
}

/* The reply says of its very bytes what they are: an ETag that is strong, ranges, a digest. They cannot
 * change. */
static bool
is_of_fixed_bytes(const struct http1_head *head)
{
    static const struct text names[] = {
        TEXT("accept-ranges"),  TEXT("content-range"), TEXT("content-md5"),
        TEXT("content-digest"), TEXT("repr-digest"),   TEXT("digest"),
    };

    for (unsigned i = 0; i < head->count; i++) {
        struct text name = http_name(&head->headers[i]), value = http_value(&head->headers[i]);

        if (text_eq_nocase(name, TEXT("etag")) && !text_starts(value, TEXT("W/")))
            return true;
        for (unsigned k = 0; k < sizeof names / sizeof *names; k++)
            if (text_eq_nocase(name, names[k]))
                return true;
    }
    return false;
}

static bool
has_content(const struct http1_head *head, uint64_t min)
{
    if (head->status < 200 || head->status == 204 || head->status == 206 || head->status == 304)
        return false;
    return head->framing == FRAMING_CHUNKED || head->framing == FRAMING_CLOSE ||
           (head->framing == FRAMING_LENGTH && head->length >= min);
}

bool
compress_wants_reply(struct exchange *ex, const struct http1_head *head)
{
    ex->coded = CODED_NOT;
    if (!ex->compresses || !has_content(head, ex->worker->config->compress_min) ||
        !(http1_content_is(head, TEXT("application/json")) ||
          http1_content_is(head, TEXT("text/event-stream"))) ||
        http1_find(head, HTTP_CONTENT_ENCODING) || compress_forbidden(head) || is_of_fixed_bytes(head))
        return false;
    return decide(ex, true);
}

/* --- whole bodies --- */

/* One text: as it lies, or joined. at NULL: no memory. */
static struct text
join(struct worker *w, const struct text *pieces, unsigned count)
{
    struct held *joined = &w->compress->joined;

    if (count == 1)
        return pieces[0];
    joined->len = 0;
    for (unsigned i = 0; i < count; i++)
        if (!held_append(w, joined, pieces[i].at, pieces[i].len))
            return (struct text){NULL, 0};
    return held_text(joined);
}

static uint32_t
pack(struct libdeflate_compressor *c, enum content_coding coding, struct text in, struct held *out)
{
    return (uint32_t)(coding == CODING_GZIP ? libdeflate_gzip_compress(c, in.at, in.len, out->at, out->size)
                                            : libdeflate_zlib_compress(c, in.at, in.len, out->at, out->size));
}

struct text
compress_whole(struct exchange *ex, const struct text *pieces, unsigned count)
{
    struct worker *w = ex->worker;
    struct compress *s = w->compress;
    uint64_t length = 0;
    struct text in;

    ex->coded = CODED_COULD;
    for (unsigned i = 0; i < count; i++)
        length += pieces[i].len;
    if (!s->whole)
        s->whole = libdeflate_alloc_compressor(WHOLE_LEVEL);
    if (length > WHOLE_MAX || !s->whole || !held_reserve(w, &s->packed, (uint32_t)length) ||
        !(in = join(w, pieces, count)).at)
        return (struct text){NULL, 0};
    s->packed.len = pack(s->whole, (enum content_coding)ex->coding, in, &s->packed);
    if (!s->packed.len || s->packed.len >= in.len)
        return (struct text){NULL, 0};
    ex->coded = CODED_WHOLE;
    stats_add(w->stats, STAT_compressed_replies, 1);
    stats_add(w->stats, STAT_compress_in, in.len);
    stats_add(w->stats, STAT_compress_out, s->packed.len);
    return held_text(&s->packed);
}

/* --- the worker's life --- */

bool
compress_init(struct worker *w)
{
    w->compress = calloc(1, sizeof *w->compress);
    if (!w->compress)
        return false;
    pool_init(&w->compress->compressors, sizeof(struct compressor));
    list_init(&w->compress->pending);
    list_init(&w->compress->lent);
    return true;
}

void
compress_done(struct worker *w)
{
    struct compress *s = w->compress;

    ASSERT(list_empty(&s->pending) && list_empty(&s->lent) && !s->contexts);
    while (s->spare_count)
        deflater_free(s->spares[--s->spare_count]);
    if (s->whole)
        libdeflate_free_compressor(s->whole);
    held_free(w, &s->joined);
    held_free(w, &s->packed);
    pool_done(&s->compressors);
    free(s);
    w->compress = NULL;
}
