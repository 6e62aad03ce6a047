/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as two fields of Accept-Encoding; and as a script of writes, flushes and changes of the deflater:
 * at each flush that is decoded which was written. */
#include "base/check.h"
#include "proto/content_coding.h"

#include <zlib.h>

enum { MAX = 1 << 14 };

struct stream {
    struct encoder encoder;
    struct deflater *deflaters[2], *in_use; /* NULL: stored blocks */
    z_stream inflate;
    uint8_t plain[MAX], unpacked[MAX];
    uint32_t plain_len;
    bool ended;
};

static void
fuzz_accepted(struct text list)
{
    static struct http1_head head;
    uint32_t half = list.len / 2;

    head.count = 2;
    head.first[HTTP_ACCEPT_ENCODING] = 1;
    head.headers[0] = (struct http_header){.id = HTTP_ACCEPT_ENCODING, .value = list.at, .value_len = half};
    head.headers[1] = (struct http_header){
        .id = HTTP_ACCEPT_ENCODING, .value = list.at + half, .value_len = list.len - half};
    ASSERT(content_coding_accepted(&head) <= CODING_DEFLATE);
}

static void
write_in(struct stream *s, struct text in, enum encoder_step step)
{
    uint8_t out[ENCODER_ROOM + 256];
    uint32_t n;
    bool done;

    memcpy(s->plain + s->plain_len, in.at, in.len);
    s->plain_len += in.len;
    do {
        done = encoder_write(&s->encoder, s->in_use, &in, step, out, ENCODER_ROOM + in.len % 257, &n);
        s->inflate.next_in = out;
        s->inflate.avail_in = n;
        while (s->inflate.avail_in && !s->ended) {
            int status = inflate(&s->inflate, Z_SYNC_FLUSH);

            ASSERT(status == Z_OK || status == Z_STREAM_END);
            s->ended = status == Z_STREAM_END;
        }
        ASSERT(!s->inflate.avail_in);
    } while (!done);
    ASSERT(s->ended == (step == ENCODER_END));
    if (step != ENCODER_WRITE)
        ASSERT(s->inflate.total_out == s->plain_len && !memcmp(s->plain, s->unpacked, s->plain_len));
}

/* A byte says how many that follow are written, and what then. */
static void
fuzz_stream(struct stream *s, struct text in)
{
    while (in.len) {
        uint8_t op = (uint8_t)*in.at++;
        uint32_t n = (op & 31u) * (op & 31u);

        in.len--;
        n = n < in.len ? n : in.len;
        write_in(s, (struct text){in.at, n}, op & 128 ? ENCODER_FLUSH : ENCODER_WRITE);
        in = (struct text){in.at + n, in.len - n};
        if (!(op & 128))
            continue;
        s->in_use = op & 64 ? NULL : s->deflaters[op >> 5 & 1];
        if (s->in_use)
            deflater_reset(s->in_use);
    }
    write_in(s, in, ENCODER_END);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct stream s;
    bool is_gzip = size && data[0] & 1;

    if (!size || size > MAX)
        return 0;
    fuzz_accepted((struct text){(const char *)data, (uint32_t)size});
    s = (struct stream){.deflaters = {deflater_new(), deflater_new()}};
    ASSERT(s.deflaters[0] && s.deflaters[1] && inflateInit2(&s.inflate, is_gzip ? 31 : 15) == Z_OK);
    s.in_use = s.deflaters[0];
    s.inflate.next_out = s.unpacked;
    s.inflate.avail_out = sizeof s.unpacked;
    encoder_init(&s.encoder, is_gzip ? CODING_GZIP : CODING_DEFLATE);
    fuzz_stream(&s, (struct text){(const char *)data + 1, (uint32_t)size - 1});
    inflateEnd(&s.inflate);
    deflater_free(s.deflaters[0]);
    deflater_free(s.deflaters[1]);
    return 0;
}
