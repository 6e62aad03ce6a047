/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Content codings of replies (RFC 9110 8.4.1): which one a client takes, and content put into it as it comes.
 *
 * An encoder is what a stream is between two writes: a few bytes. The memory that deflate needs is a
 * deflater, of about 40 KiB, which may be taken away wherever the stream was flushed and given back later,
 * fresh or to another stream: a flush ends at a byte, and blocks that a fresh deflater makes refer to nothing
 * before them. Checksum and length are the encoder's own, so who decodes sees one stream. Where there is no
 * deflater, the content leaves in stored blocks (RFC 1951 3.2.4).
 *
 *      gzip     | header, 10 bytes | blocks ... | CRC-32, length: 8 bytes, little-endian |     RFC 1952
 *      deflate  | header,  2 bytes | blocks ... | Adler-32:       4 bytes, big-endian    |     RFC 1950
 */
#ifndef PROTO_CONTENT_CODING_H
#define PROTO_CONTENT_CODING_H

#include "proto/http1.h"

enum content_coding { CODING_NONE, CODING_GZIP, CODING_DEFLATE };

/* "gzip", "deflate". */
struct text content_coding_name(enum content_coding coding);

/* Which coding the Accept-Encoding fields (RFC 9110 12.5.3) ask for: the one of the largest weight, gzip
 * before deflate. CODING_NONE when neither is accepted, the content as it is is preferred, or there is no
 * such field. */
enum content_coding content_coding_accepted(const struct http1_head *head);

struct deflater;

/* NULL: no memory. */
struct deflater *deflater_new(void);
void deflater_free(struct deflater *deflater);
/* As new: for the next stream. */
void deflater_reset(struct deflater *deflater);

struct encoder {
    uint32_t check; /* of the content so far: CRC-32 or Adler-32 */
    uint32_t total; /* bytes of it, modulo 2^32 */
    uint8_t coding; /* enum content_coding */
    bool begun, ended;
};

/* `coding` is not CODING_NONE. */
void encoder_init(struct encoder *encoder, enum content_coding coding);

enum encoder_step {
    ENCODER_WRITE, /* some of what goes in may stay inside */
    ENCODER_FLUSH, /* all that went in can be decoded from what came out */
    ENCODER_END,   /* and nothing more follows */
};

/* Encodes: *in moves on behind what was taken, *ret_len of the `size` bytes at `out` are filled. True: the
 * step is done; false: `out` is full, call again with the same step and the rest. `size` is at least
 * ENCODER_ROOM. `deflater` may be NULL. It may be another one than in the call before, fresh, or none any
 * more, when that ended a flush or had none. After ENCODER_END no call may follow. */
enum { ENCODER_ROOM = 64 };
bool encoder_write(struct encoder *encoder, struct deflater *deflater, struct text *in,
                   enum encoder_step step, uint8_t *out, uint32_t size, uint32_t *ret_len);

#endif
