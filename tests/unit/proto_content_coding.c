/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/content_coding.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <zlib.h>

/* --- Accept-Encoding --- */

static enum content_coding
accepted(const char *fields)
{
    static const struct http1_limits limits = {.line = 4096, .head = 8192, .headers = 16};
    static struct http1_head head;
    char text[1024];
    enum close_reason why;
    uint32_t used;
    int n = snprintf(text, sizeof text, "GET / HTTP/1.1\r\nHost: x\r\n%s\r\n", fields);

    cr_assert_eq(http1_parse_request(text, (uint32_t)n, 0, &limits, &head, &used, &why), PARSE_OK);
    return content_coding_accepted(&head);
}

static const struct {
    const char *list;
    enum content_coding want;
} lists[] = {
    {"gzip", CODING_GZIP},
    {"deflate", CODING_DEFLATE},
    {"gzip, deflate", CODING_GZIP},
    {"deflate, gzip", CODING_GZIP},
    {"gzip, deflate, br, zstd", CODING_GZIP},
    {"br;q=1.0, gzip;q=0.8, *;q=0.1", CODING_GZIP},
    {"GZip", CODING_GZIP},
    {"x-gzip", CODING_GZIP},
    {"gzip;q=0.5, deflate;q=0.8", CODING_DEFLATE},
    {"gzip;q=0.5,deflate;q=0.5", CODING_GZIP},
    {"gzip ; q=0.001", CODING_GZIP},
    {"gzip;Q=1.000", CODING_GZIP},
    {"gzip;q=1.", CODING_GZIP},
    {"*", CODING_GZIP},
    {"*;q=0.5", CODING_GZIP},
    {"gzip;q=0, *", CODING_DEFLATE},
    {"gzip;q=0, deflate;q=0, *", CODING_NONE},
    {"identity;q=0, gzip;q=0.1", CODING_GZIP},
    {"identity, gzip;q=0.5", CODING_NONE},
    {"identity;q=0.5, gzip;q=0.5", CODING_GZIP},
    {"gzip;q=0.1, *;q=0.5", CODING_DEFLATE},
    {"gzip;q=0.1, deflate;q=0, *;q=0.5", CODING_NONE},
    {"gzip;q=0", CODING_NONE},
    {"gzip;q=0.000", CODING_NONE},
    {"gzip;q=0, gzip;q=0.2", CODING_GZIP},
    {"identity", CODING_NONE},
    {"br", CODING_NONE},
    {"*;q=0", CODING_NONE},
    {"", CODING_NONE},
    {",, ,", CODING_NONE},
    {"gzipped", CODING_NONE},
    {"gzip/1", CODING_NONE},
    {"gzip;q=1.001", CODING_NONE},
    {"gzip;q=2", CODING_NONE},
    {"gzip;q=0.0001", CODING_NONE},
    {"gzip;q=-1", CODING_NONE},
    {"gzip;q=.5", CODING_NONE},
    {"gzip;q=", CODING_NONE},
    {"gzip;q=1,5", CODING_GZIP},
    {"gzip;level=9", CODING_NONE},
    {"gzip;", CODING_GZIP},
};

Test(content_coding, is_the_one_of_the_largest_weight)
{
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        char fields[256];

        snprintf(fields, sizeof fields, "Accept-Encoding: %s\r\n", lists[i].list);
        cr_assert_eq(accepted(fields), lists[i].want, "%s", lists[i].list);
    }
    cr_assert_eq(accepted(""), CODING_NONE);
}

/* RFC 9110 5.3. */
Test(content_coding, is_the_same_for_a_list_in_two_fields_at_each_comma)
{
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        for (const char *comma = lists[i].list; (comma = strchr(comma, ',')); comma++) {
            char fields[256];

            snprintf(fields, sizeof fields, "Accept-Encoding: %.*s\r\nX: y\r\nAccept-Encoding: %s\r\n",
                     (int)(comma - lists[i].list), lists[i].list, comma + 1);
            cr_assert_eq(accepted(fields), lists[i].want, "%s", lists[i].list);
        }
}

/* --- the encoder --- */

static struct encoder encoder;
static uint8_t packed[4 << 20];
static char plain[2 << 20], unpacked[2 << 20];
static uint32_t packed_len, plain_len;

static void
begin(enum content_coding coding)
{
    encoder_init(&encoder, coding);
    packed_len = plain_len = 0;
}

static void
write_in(struct deflater *d, const char *bytes, uint32_t len, enum encoder_step step, uint32_t room)
{
    struct text in = {bytes, len};
    uint32_t n;
    bool done;

    memcpy(plain + plain_len, bytes, len);
    plain_len += len;
    do {
        done = encoder_write(&encoder, d, &in, step, packed + packed_len, room, &n);
        cr_assert_leq(n, room);
        packed_len += n;
    } while (!done);
    cr_assert_eq(in.len, 0);
}

/* All that came out is all that went in: whole it is, and its checksums are right, or it can go on. */
static void
expect_decoded(int window_bits, bool whole, uint32_t step)
{
    z_stream z = {0};
    int status = Z_OK;

    cr_assert_eq(inflateInit2(&z, window_bits), Z_OK);
    z.next_out = (Bytef *)unpacked;
    z.avail_out = sizeof unpacked;
    for (uint32_t at = 0; at < packed_len; at += step) {
        z.next_in = packed + at;
        z.avail_in = packed_len - at < step ? packed_len - at : step;
        status = inflate(&z, Z_SYNC_FLUSH);
        cr_assert(status == Z_OK || status == Z_STREAM_END || status == Z_BUF_ERROR, "%d: %s", status, z.msg);
    }
    cr_assert_eq(z.total_out, plain_len, "%lu of %u", z.total_out, plain_len);
    cr_assert(memcmp(unpacked, plain, plain_len) == 0);
    cr_assert_eq(status == Z_STREAM_END, whole);
    inflateEnd(&z);
}

static const struct {
    enum content_coding coding;
    int window_bits; /* that inflate takes this form with */
} forms[] = {{CODING_GZIP, 15 + 16}, {CODING_DEFLATE, 15}};

Test(content_encoder, brings_each_flushed_event_through_at_once_and_ends_whole)
{
    for (unsigned f = 0; f < 2; f++) {
        struct deflater *d = deflater_new();
        uint32_t before = 0;

        begin(forms[f].coding);
        for (unsigned i = 0; i < 50; i++) {
            char event[128];
            int n =
                snprintf(event, sizeof event, "event: message\ndata: {\"jsonrpc\":\"2.0\",\"n\":%u}\n\n", i);

            before = packed_len;
            write_in(d, event, (uint32_t)n / 2, ENCODER_WRITE, 4096);
            write_in(d, event + n / 2, (uint32_t)n - (uint32_t)n / 2, ENCODER_FLUSH, 4096);
            expect_decoded(forms[f].window_bits, false, UINT32_MAX / 2);
        }
        cr_assert_lt(packed_len - before, 20, "%u bytes for an event like those before", packed_len - before);
        write_in(d, "", 0, ENCODER_END, 4096);
        expect_decoded(forms[f].window_bits, true, UINT32_MAX / 2);
        expect_decoded(forms[f].window_bits, true, 1);
        deflater_free(d);
    }
}

Test(content_encoder, goes_on_with_another_deflater_and_with_none)
{
    for (unsigned f = 0; f < 2; f++) {
        struct deflater *first = deflater_new(), *second = deflater_new();
        struct deflater *turns[] = {first, NULL, second, NULL, NULL, first, second};

        for (unsigned last = 0; last < 7; last++) { /* the stream ends with each of them */
            begin(forms[f].coding);
            for (unsigned i = 0; i <= last; i++) {
                if (turns[i])
                    deflater_reset(turns[i]);
                write_in(turns[i], "data: the same as before\n\n", 26, ENCODER_FLUSH, 4096);
                expect_decoded(forms[f].window_bits, false, UINT32_MAX / 2);
            }
            write_in(turns[last], "data: the last\n\n", 16, ENCODER_END, 4096);
            expect_decoded(forms[f].window_bits, true, UINT32_MAX / 2);
        }
        deflater_free(first);
        deflater_free(second);
    }
}

Test(content_encoder, ends_a_stream_of_nothing)
{
    for (unsigned f = 0; f < 2; f++)
        for (unsigned with = 0; with < 2; with++) {
            struct deflater *d = with ? deflater_new() : NULL;

            begin(forms[f].coding);
            write_in(d, "", 0, ENCODER_END, ENCODER_ROOM);
            expect_decoded(forms[f].window_bits, true, 1);
            deflater_free(d);
        }
}

Test(content_encoder, needs_no_more_room_than_it_says)
{
    static char bytes[300000];
    uint32_t rooms[] = {ENCODER_ROOM, ENCODER_ROOM + 1, 100, 4096, 200000};

    srand(3);
    for (uint32_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (char)(i % 5 ? 'a' + rand() % 4 : rand());
    for (unsigned r = 0; r < sizeof rooms / sizeof *rooms; r++)
        for (unsigned with = 0; with < 2; with++) {
            struct deflater *d = with ? deflater_new() : NULL;

            begin(CODING_GZIP);
            write_in(d, bytes, 1000, ENCODER_FLUSH, rooms[r]);
            write_in(d, bytes + 1000, sizeof bytes - 1001, ENCODER_WRITE, rooms[r]);
            write_in(d, bytes + sizeof bytes - 1, 1, ENCODER_END, rooms[r]);
            expect_decoded(15 + 16, true, UINT32_MAX / 2);
            deflater_free(d);
        }
}

Test(content_encoder, makes_the_same_of_a_text_written_in_two_at_each_place)
{
    static const char text[] = "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\"}\n\n";
    struct deflater *d = deflater_new();
    uint8_t whole[256];
    uint32_t whole_len;

    begin(CODING_GZIP);
    write_in(d, text, sizeof text - 1, ENCODER_END, 256);
    memcpy(whole, packed, whole_len = packed_len);
    for (uint32_t split = 0; split < sizeof text; split++) {
        deflater_reset(d);
        begin(CODING_GZIP);
        write_in(d, text, split, ENCODER_WRITE, 256);
        write_in(d, text + split, (uint32_t)sizeof text - 1 - split, ENCODER_END, 256);
        cr_assert(packed_len == whole_len && memcmp(packed, whole, whole_len) == 0, "split at %u", split);
    }
    deflater_free(d);
}
