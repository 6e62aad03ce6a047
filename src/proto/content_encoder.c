/* SPDX-License-Identifier: Apache-2.0 */
/* Content put into a coding as it comes. zlib makes bare blocks; header, checksum and length are made here,
 * since they outlive its contexts. */
#include "base/check.h"
#include "proto/content_coding.h"

#include <stdlib.h>
#include <zlib.h>

/* As small and as fast as streams of like messages need: a larger window or level packs them hardly better.
 */
enum { WINDOW_BITS = 12, LEVEL = 1, MEM_LEVEL = 5 };
enum { STORED_HEAD = 5, STORED_MAX = 65535, TAIL_MAX = 2 + 8 };

struct deflater {
    z_stream z;
};

struct deflater *
deflater_new(void)
{
    struct deflater *d = calloc(1, sizeof *d);

    if (d && deflateInit2(&d->z, LEVEL, Z_DEFLATED, -WINDOW_BITS, MEM_LEVEL, Z_DEFAULT_STRATEGY) != Z_OK) {
        free(d);
        return NULL;
    }
    return d;
}

void
deflater_free(struct deflater *deflater)
{
    if (deflater)
        deflateEnd(&deflater->z);
    free(deflater);
}

void
deflater_reset(struct deflater *deflater)
{
    deflateReset(&deflater->z);
}

/* --- the stream --- */

struct room {
    uint8_t *at;
    uint32_t left;
};

static void
put(struct room *out, const void *bytes, uint32_t len)
{
    ASSERT(len <= out->left);
    memcpy(out->at, bytes, len);
    out->at += len;
    out->left -= len;
}

static void
put_le32(struct room *out, uint32_t n)
{
    put(out, (uint8_t[]){(uint8_t)n, (uint8_t)(n >> 8), (uint8_t)(n >> 16), (uint8_t)(n >> 24)}, 4);
}

static void
put_be32(struct room *out, uint32_t n)
{
    put_le32(out, __builtin_bswap32(n));
}

void
encoder_init(struct encoder *encoder, enum content_coding coding)
{
    ASSERT(coding != CODING_NONE);
    *encoder = (struct encoder){.check = coding == CODING_GZIP ? 0 : 1, .coding = (uint8_t)coding};
}

static void
put_header(struct encoder *e, struct room *out)
{
    /* RFC 1952 2.3: no name, no time, of an unknown system. RFC 1950 2.2: the largest window is promised,
     * which every decoder has; 0x7801 is a multiple of 31. */
    static const uint8_t gzip[10] = {0x1f, 0x8b, 8, [9] = 0xff}, zlib[2] = {0x78, 0x01};

    if (e->coding == CODING_GZIP)
        put(out, gzip, sizeof gzip);
    else
        put(out, zlib, sizeof zlib);
    e->begun = true;
}

/* The next `n` bytes of *in have been encoded. */
static void
take(struct encoder *e, struct text *in, uint32_t n)
{
    const Bytef *at = (const Bytef *)in->at;

    if (!n)
        return;
    e->check = (uint32_t)(e->coding == CODING_GZIP ? crc32_z(e->check, at, n) : adler32_z(e->check, at, n));
    e->total += n;
    *in = (struct text){in->at + n, in->len - n};
}

static bool
deflate_some(struct encoder *e, struct deflater *d, struct text *in, enum encoder_step step, struct room *out)
{
    static const int flushes[] = {
        [ENCODER_WRITE] = Z_NO_FLUSH, [ENCODER_FLUSH] = Z_SYNC_FLUSH, [ENCODER_END] = Z_FINISH};
    int status;

    d->z.next_in = (Bytef *)(uintptr_t)in->at;
    d->z.avail_in = in->len;
    d->z.next_out = out->at;
    d->z.avail_out = out->left;
    status = deflate(&d->z, flushes[step]);
    ASSERT(status != Z_STREAM_ERROR);
    take(e, in, in->len - d->z.avail_in);
    *out = (struct room){d->z.next_out, d->z.avail_out};
    if (step == ENCODER_END)
        return status == Z_STREAM_END;
    return step == ENCODER_WRITE ? !in->len : out->left > 0;
}

/* Each block stands at a byte, since whatever came before was flushed. */
static bool
store_some(struct encoder *e, struct text *in, struct room *out)
{
    while (in->len && out->left > STORED_HEAD) {
        uint32_t n = out->left - STORED_HEAD;

        n = n < in->len ? n : in->len;
        n = n < STORED_MAX ? n : STORED_MAX;
        put(out, (uint8_t[]){0, (uint8_t)n, (uint8_t)(n >> 8), (uint8_t)~n, (uint8_t)(~n >> 8)}, STORED_HEAD);
        put(out, in->at, n);
        take(e, in, n);
    }
    return !in->len;
}

static bool
put_tail(struct encoder *e, const struct deflater *d, struct room *out)
{
    static const uint8_t last_block[2] = {0x03, 0x00}; /* RFC 1951 3.2.6: nothing but its end */

    if (out->left < TAIL_MAX)
        return false;
    if (!d)
        put(out, last_block, sizeof last_block);
    if (e->coding == CODING_GZIP) {
        put_le32(out, e->check);
        put_le32(out, e->total);
    } else {
        put_be32(out, e->check);
    }
    e->ended = true;
    return true;
}

bool
encoder_write(struct encoder *e, struct deflater *d, struct text *in, enum encoder_step step, uint8_t *out,
              uint32_t size, uint32_t *ret_len)
{
    struct room room = {out, size};
    bool done;

    ASSERT(size >= ENCODER_ROOM && !e->ended);
    if (!e->begun)
        put_header(e, &room);
    done = d ? deflate_some(e, d, in, step, &room) : store_some(e, in, &room);
    if (done && step == ENCODER_END)
        done = put_tail(e, d, &room);
    *ret_len = size - room.left;
    return done;
}
