/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/ws_key.h"
#include "ws_summary.h"

#include <criterion/criterion.h>

static struct ws_summary whole, pieces;

struct vector {
    const char *bytes;
    size_t len;
    const char *want;
};

#define V(bytes, want)                                                                                       \
    {                                                                                                        \
        bytes, sizeof(bytes) - 1, want                                                                       \
    }

/* Whole, at each split, and byte by byte. */
static void
check(const struct vector *v, bool from_client, bool may_compress, uint64_t max_bytes)
{
    uint32_t len = (uint32_t)v->len;

    ws_summary_init(&whole, from_client, may_compress, max_bytes);
    ws_summary_feed(&whole, v->bytes, len);
    cr_assert_str_eq(whole.text, v->want);
    for (uint32_t at = 0; at <= len; at++) {
        ws_summary_init(&pieces, from_client, may_compress, max_bytes);
        ws_summary_feed(&pieces, v->bytes, at);
        ws_summary_feed(&pieces, v->bytes + at, len - at);
        cr_assert_str_eq(pieces.text, v->want, "split at %u", at);
    }
    ws_summary_init(&pieces, from_client, may_compress, max_bytes);
    for (uint32_t at = 0; at < len; at++)
        ws_summary_feed(&pieces, v->bytes + at, 1);
    cr_assert_str_eq(pieces.text, v->want);
}

#define BAD(name) "bad:" name ";"

/* RFC 6455 section 5.7, and the rules of 5.2 to 5.6, 7.4 and 8.1, from a server. */
Test(ws_parser, reads_frames_of_a_server_as_the_rfc_has_them)
{
    static const struct vector vectors[] = {
        V("\x81\x05Hello", "text:Hello;"),
        V("\x01\x03Hel\x80\x02lo", "text:Hello;"),
        V("\x01\x03Hel\x89\x02hi\x80\x02lo\x8a\x00", "ping:hi;text:Hello;pong:;"),
        V("\x81\x00\x01\x00\x00\x00\x80\x00", "text:;text:;"),
        V("\x88\x00\x81\x01x", "close 1005:;"),
        V("\x88\x02\x03\xe8", "close 1000:;"),
        V("\x88\x05\x0f\xa0"
          "bye",
          "close 4000:bye;"),
        V("\x88\x01\x03", BAD("the close code is cut short, or not one that may be sent")),
        V("\x88\x02\x03\xed", BAD("the close code is cut short, or not one that may be sent")),
        V("\x88\x02\x03\xec", BAD("the close code is cut short, or not one that may be sent")),
        V("\x88\x02\x03\xe7", BAD("the close code is cut short, or not one that may be sent")),
        V("\x88\x02\x0b\xb7", BAD("the close code is cut short, or not one that may be sent")),
        V("\x88\x03\x03\xe8\xff", BAD("the close reason is not UTF-8")),
        V("\x88\x03\x03\xe8\xc3", BAD("the close reason is not UTF-8")),
        V("\x81\x85\x00\x00\x00\x00Hello", BAD("a server's frame is masked")),
        V("\x83\x00", BAD("the opcode is not known")),
        V("\x8b\x00", BAD("the opcode is not known")),
        V("\xc1\x00", BAD("a reserved bit is set that no extension gave a meaning")),
        V("\xa1\x00", BAD("a reserved bit is set that no extension gave a meaning")),
        V("\x91\x00", BAD("a reserved bit is set that no extension gave a meaning")),
        V("\xc9\x00", BAD("a reserved bit is set that no extension gave a meaning")),
        V("\x09\x00", BAD("a control frame is fragmented")),
        V("\x89\x7e\x00\x7e", BAD("a control frame has more than 125 bytes")),
        V("\x80\x00", BAD("a continuation of no message")),
        V("\x81\x01x\x80\x00", "text:x;" BAD("a continuation of no message")),
        V("\x01\x00\x81\x00", BAD("a message begins within another one")),
        V("\x82\x7e\x00\x7d", BAD("the length is not in its shortest form, or has its highest bit set")),
        V("\x82\x7f\x00\x00\x00\x00\x00\x00\xff\xff",
          BAD("the length is not in its shortest form, or has its highest bit set")),
        V("\x82\x7f\x80\x00\x00\x00\x00\x01\x00\x00",
          BAD("the length is not in its shortest form, or has its highest bit set")),
        V("\x81\x06"
          "a\xc3\xa9\xf0\x9f\x98"
          "\x80\x01\x80",
          BAD("a text message is not UTF-8")), /* the whole message would be */
        V("\x01\x06"
          "a\xc3\xa9\xf0\x9f\x98"
          "\x80\x01\x80",
          "text:a\xc3\xa9\xf0\x9f\x98\x80;"),
        V("\x01\x02"
          "a\xc3"
          "\x80\x01z",
          BAD("a text message is not UTF-8")),
        V("\x81\x02\xc0\xaf", BAD("a text message is not UTF-8")),
        V("\x81\x03\xed\xa0\x80", BAD("a text message is not UTF-8")),
        V("\x81\x04\xf4\x90\x80\x80", BAD("a text message is not UTF-8")),
        V("\x82\x02\xc0\xaf", "binary:\xc0\xaf;"),
    };

    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++)
        check(&vectors[i], false, false, 0);
}

/* RFC 6455 section 5.5, where the vectors above say nothing of it. */
Test(ws_parser, takes_control_frames_anywhere_and_none_that_breaks_their_rules)
{
    static const struct vector vectors[] = {
        V("\x01\x01\xc3\x89\x01!\x80\x01\xa9", "ping:!;text:\xc3\xa9;"), /* within a character */
        V("\x02\x01"
          "a\x88\x02\x03\xe8\x80\x01"
          "b",
          "close 1000:;"), /* within a message, of which nothing is read any more */
        V("\x08\x00", BAD("a control frame is fragmented")),
        V("\x0a\x00", BAD("a control frame is fragmented")),
        V("\x88\x7e\x00\x7e", BAD("a control frame has more than 125 bytes")),
        V("\x8a\x7f\x00\x00\x00\x00\x00\x01\x00\x00", BAD("a control frame has more than 125 bytes")),
        V("\x89\x7e\x00\x05Hello", BAD("a control frame has more than 125 bytes")), /* nor such a length */
        V("\x01\x00\x82\x00", BAD("a message begins within another one")),
        V("\x81\x01\xc3", BAD("a text message is not UTF-8")), /* it ends within a character */
        V("\x8a\x02\xff\xfe", "pong:\xff\xfe;"),               /* what they carry is no text */
    };

    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++)
        check(&vectors[i], false, false, 0);
}

/* What a parser makes of one frame with no payload, of a server, or within a message of one. */
static enum ws_fault
fault_of(uint8_t first, bool in_message, bool may_compress)
{
    char bytes[] = {0x01, 0x00, (char)first, 0x00};

    ws_summary_init(&whole, false, may_compress, 0);
    ws_summary_feed(&whole, bytes + (in_message ? 0 : 2), in_message ? 4 : 2);
    return whole.bad ? (enum ws_fault)whole.parser.fault : WS_FAULT_FINE;
}

/* Section 5.2. */
Test(ws_parser, knows_six_opcodes_and_no_reserved_bit)
{
    for (uint8_t opcode = 0; opcode < 16; opcode++) {
        bool known = opcode <= WS_BINARY || (opcode >= WS_CLOSE && opcode <= WS_PONG);
        bool continues = opcode == WS_CONTINUATION;

        cr_assert_eq(fault_of(0x80 | opcode, continues, false), known ? WS_FAULT_FINE : WS_FAULT_OPCODE, "%u",
                     opcode);
        for (uint8_t bit = 0x10; known && bit <= 0x40; bit = (uint8_t)(bit << 1)) {
            bool compresses = bit == 0x40 && (opcode == WS_TEXT || opcode == WS_BINARY);

            cr_assert_eq(fault_of(0x80 | bit | opcode, continues, false), WS_FAULT_RESERVED_BIT, "%u",
                         opcode);
            /* RFC 7692 section 6: RSV1 alone, and of a message's first frame only */
            cr_assert_eq(fault_of(0x80 | bit | opcode, continues, true),
                         compresses ? WS_FAULT_FINE : WS_FAULT_RESERVED_BIT, "%u", opcode);
        }
    }
}

/* Section 7.4, and the registry: 1004 to 1006 and 1015 stand for what is never sent. */
Test(ws_parser, takes_the_close_codes_that_may_be_sent_and_no_others)
{
    for (unsigned code = 0; code <= 0xffff; code++) {
        char bytes[] = {(char)0x88, 0x02, (char)(code >> 8), (char)code};
        bool registered = (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014);

        ws_summary_init(&whole, false, false, 0);
        ws_summary_feed(&whole, bytes, sizeof bytes);
        cr_assert_eq(!whole.bad, registered || (code >= 3000 && code <= 4999), "%u", code);
    }
}

/* Section 5.5: 125 bytes are not too many. */
Test(ws_parser, gives_a_control_frame_of_the_largest_size_whole)
{
    static char frame[2 + WS_CONTROL_MAX], want[WS_CONTROL_MAX + 8];
    static const enum ws_opcode opcodes[] = {WS_PING, WS_PONG};

    for (size_t i = 0; i < sizeof opcodes / sizeof *opcodes; i++) {
        frame[0] = (char)(0x80 | opcodes[i]);
        frame[1] = WS_CONTROL_MAX;
        memset(frame + 2, 'x', WS_CONTROL_MAX);
        sprintf(want, "%s:%.*s;", opcodes[i] == WS_PING ? "ping" : "pong", WS_CONTROL_MAX, frame + 2);
        check(&(struct vector){frame, sizeof frame, want}, false, false, 0);
    }
}

Test(ws_parser, unmasks_frames_of_a_client_and_takes_no_others)
{
    static const struct vector vectors[] = {
        V("\x81\x80\x01\x02\x03\x04\x8a\x80\xff\xff\xff\xff", "text:;pong:;"),
        V("\x88\x00", BAD("a client's frame is not masked")),
        V("\x01\x81\x00\x00\x00\x00x\x80\x01y", BAD("a client's frame is not masked")),
        V("\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", "text:Hello;"),
        V("\x01\x83\x37\xfa\x21\x3d\x7f\x9f\x4d\x80\x82\x01\x02\x03\x04\x6d\x6d", "text:Hello;"),
        V("\x89\x82\x01\x01\x01\x01ih", "ping:hi;"),
        V("\x88\x82\x01\x02\x03\x04\x02\xea", "close 1000:;"),
        V("\x81\x05Hello", BAD("a client's frame is not masked")),
        V("\x89\x00", BAD("a client's frame is not masked")),
    };

    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++)
        check(&vectors[i], true, false, 0);
}

/* RFC 7692 section 6. */
Test(ws_parser, knows_compressed_messages_where_they_were_agreed_upon)
{
    static const struct vector vectors[] = {
        V("\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x01", "compressed:\xf2\x48\xcd\xc9\xc9\x07\x01;"),
        V("\x41\x03\xf2\x48\xcd\x80\x04\xc9\xc9\x07\x01", "compressed:\xf2\x48\xcd\xc9\xc9\x07\x01;"),
        V("\xc1\x01\xff\x81\x01x", "compressed:\xff;text:x;"),
        V("\x41\x01x\xc0\x01y", BAD("a reserved bit is set that no extension gave a meaning")),
        V("\xc9\x00", BAD("a reserved bit is set that no extension gave a meaning")),
        V("\xe1\x00", BAD("a reserved bit is set that no extension gave a meaning")),
    };

    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++)
        check(&vectors[i], false, true, 0);
}

Test(ws_parser, refuses_what_is_larger_than_it_may_be_before_its_payload)
{
    static const struct vector vectors[] = {
        V("\x81\x04"
          "abcd",
          "text:abcd;"),
        V("\x81\x05", BAD("the message is larger than it may be")),
        V("\x01\x03"
          "abc\x80\x01"
          "d",
          "text:abcd;"),
        V("\x01\x03"
          "abc\x80\x02",
          BAD("the message is larger than it may be")),
        V("\x81\x04"
          "abcd\x81\x04"
          "efgh",
          "text:abcd;text:efgh;"),
        V("\x82\x7f\x7f\xff\xff\xff\xff\xff\xff\xff", BAD("the message is larger than it may be")),
        V("\x01\x01x\x80\x7f\x7f\xff\xff\xff\xff\xff\xff\xff", BAD("the message is larger than it may be")),
        V("\x89\x05Hello", "ping:Hello;"), /* control frames have a limit of their own */
    };

    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++)
        check(&vectors[i], false, false, 4);
}

Test(ws_parser, closes_with_a_code_that_fits_the_fault)
{
    cr_assert_eq(ws_fault_code(WS_FAULT_TEXT), 1007);
    cr_assert_eq(ws_fault_code(WS_FAULT_TOO_BIG), 1009);
    for (unsigned i = WS_FAULT_RESERVED_BIT; i <= WS_FAULT_CLOSE_CODE; i++)
        cr_assert_eq(ws_fault_code((enum ws_fault)i), 1002);
}

Test(ws_parser, gives_the_pieces_of_a_frame_as_they_come_with_its_length)
{
    static char bytes[] = "\x82\x7e\x01\x00"
                          "abc";
    struct ws_parser p;
    struct ws_event e;
    uint32_t used;

    ws_parser_init(&p, false, false, 0);
    cr_assert_eq(ws_parser_next(&p, bytes, 5, &used, &e), PARSE_OK);
    cr_assert(used == 5 && e.begins && e.frame_begins && !e.ends && e.frame_len == 256 && e.payload.len == 1);
    cr_assert_eq(e.payload.at, bytes + 4, "where it lies");
    cr_assert_eq(ws_parser_next(&p, bytes + 5, 0, &used, &e), PARSE_MORE);
    cr_assert_eq(ws_parser_next(&p, bytes + 5, 2, &used, &e), PARSE_OK);
    cr_assert(used == 2 && !e.begins && !e.frame_begins && !e.ends && e.payload.len == 2);
}

Test(ws_write, frames_of_each_length_are_read_as_they_were_written)
{
    static const uint64_t lengths[] = {0, 1, 125, 126, 127, 65535, 65536};
    static const uint8_t mask[4] = {1, 2, 3, 4};
    static char frame[WS_HEAD_MAX + 65536];

    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
        for (int masked = 0; masked < 2; masked++) {
            uint32_t head =
                ws_write_head((uint8_t *)frame, WS_TEXT, true, false, lengths[i], masked ? mask : NULL);

            memset(frame + head, 'x', lengths[i]);
            if (masked)
                ws_mask(frame + head, lengths[i], mask, 0);
            ws_summary_init(&whole, masked, false, 0);
            ws_summary_feed(&whole, frame, head + (uint32_t)lengths[i]);
            cr_assert(!whole.bad, "%s", whole.text);
            cr_assert_eq(whole.len, strlen("text:;") + lengths[i]);
            cr_assert_eq(strspn(whole.text + 5, "x"), lengths[i]);
        }
}

Test(ws_write, a_head_has_the_shortest_length_and_all_lengths_have_one)
{
    uint8_t out[WS_HEAD_MAX];

    cr_assert_eq(ws_write_head(out, WS_BINARY, false, true, UINT64_C(1) << 40, (const uint8_t *)"abcd"), 14);
    cr_assert_eq(memcmp(out,
                        "\x42\xff\x00\x00\x01\x00\x00\x00\x00\x00"
                        "abcd",
                        14),
                 0);
    cr_assert_eq(ws_write_head(out, WS_CONTINUATION, true, false, 126, NULL), 4);
    cr_assert_eq(memcmp(out, "\x80\x7e\x00\x7e", 4), 0);
}

Test(ws_write, a_reason_is_cut_between_characters)
{
    uint8_t out[2 + WS_CONTROL_MAX];
    char reason[200];
    uint32_t n;

    memset(reason, 'a', 122);
    memcpy(reason + 122, "\xc3\xa9more", 6);
    n = ws_write_close(out, 1011, (struct text){reason, 128});
    cr_assert_eq(n, 2 + 2 + 122);
    ws_summary_init(&whole, false, false, 0);
    ws_summary_feed(&whole, (const char *)out, n);
    cr_assert(strncmp(whole.text, "close 1011:aaa", 14) == 0, "%s", whole.text);
    cr_assert_eq(ws_write_close(out, WS_CLOSE_NO_STATUS, TEXT("x")), 2);
}

Test(ws_mask, does_every_length_from_every_place_as_one_byte_at_a_time_would)
{
    static const uint8_t mask[4] = {0x11, 0x80, 0xfe, 0x33};
    static char slow[300], fast[300];

    for (size_t len = 0; len <= 290; len++)
        for (uint32_t from = 0; from < 5; from++) {
            for (size_t i = 0; i < sizeof slow; i++)
                slow[i] = fast[i] = (char)(i * 7);
            for (size_t i = 0; i < len; i++)
                slow[3 + i] = (char)(slow[3 + i] ^ mask[(from + i) & 3]);
            ws_mask(fast + 3, len, mask, from);
            cr_assert_eq(memcmp(slow, fast, sizeof slow), 0, "%zu bytes from %u", len, from);
        }
}

Test(utf8_check, agrees_with_the_reader_of_whole_text)
{
    /* Each lead byte with second bytes around the limits, in text long enough for the quick path. */
    static const uint8_t seconds[] = {0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0};

    for (unsigned lead = 0x80; lead < 0x100; lead++)
        for (size_t k = 0; k < sizeof seconds; k++)
            for (unsigned tail = 0; tail < 3; tail++) {
                char text[40] = "abcdefghijklmnop";
                struct utf8_check check = {0};
                uint32_t len = 16;
                bool want = true;

                text[len++] = (char)lead;
                text[len++] = (char)seconds[k];
                for (unsigned i = 0; i < tail; i++)
                    text[len++] = (char)0x80;
                for (const char *at = text, *end = text + len; at < end && want;) {
                    unsigned n = utf8_length(at, end);

                    want = n != 0;
                    at += n;
                }
                cr_assert_eq(utf8_check_piece(&check, text, len) && utf8_check_is_whole(&check), want,
                             "%02x %02x and %u more", lead, seconds[k], tail);
            }
}

/* --- the handshake's keys --- */

Test(ws_key, is_accepted_as_in_rfc_6455_1_3)
{
    static const uint8_t nonce[WS_NONCE_BYTES] = "the sample nonce";
    char key[WS_KEY_CHARS], accept[WS_ACCEPT_CHARS];

    ws_key_make(nonce, key);
    cr_assert_eq(memcmp(key, "dGhlIHNhbXBsZSBub25jZQ==", sizeof key), 0);
    cr_assert(ws_key_accept((struct text){key, sizeof key}, accept));
    cr_assert_eq(memcmp(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", sizeof accept), 0);
    cr_assert_not(ws_key_accept(TEXT("dGhlIHNhbXBsZSBub25jZQ"), accept));
    cr_assert_not(ws_key_accept(TEXT("c2hvcnQ="), accept));
    cr_assert_not(ws_key_accept(TEXT(""), accept));
}

/* A copy of what passes is looked at: payload stays masked, a close is read all the same. */
Test(ws_parser, only_looks_at_what_passes)
{
    static const uint8_t mask[4] = {1, 2, 3, 4};
    char bytes[64], kept[64];
    struct ws_parser parser;
    struct ws_event e;
    uint32_t used, n = 0;

    n += ws_write_head((uint8_t *)bytes, WS_TEXT, true, true, 3, mask);
    memcpy(bytes + n, "\xff\xfe\xfd", 3);
    n += 3;
    n += ws_write_head((uint8_t *)bytes + n, WS_CLOSE, true, false, 2, mask);
    memcpy(bytes + n, "\x02\xea", 2); /* 1000, masked */
    n += 2;
    memcpy(kept, bytes, n);
    ws_parser_init(&parser, true, true, 0);
    parser.only_looks = true;
    cr_assert(ws_parser_is_between(&parser));
    cr_assert_eq(ws_parser_next(&parser, bytes, n, &used, &e), PARSE_OK);
    cr_assert(e.ends && e.is_compressed && e.payload.len == 3);
    cr_assert_eq(ws_parser_next(&parser, bytes + used, n - used, &used, &e), PARSE_OK);
    cr_assert_eq(e.opcode, WS_CLOSE);
    cr_assert_eq(e.code, 1000, "%u", e.code);
    cr_assert_eq(memcmp(bytes, kept, n), 0, "nothing is written");
}
