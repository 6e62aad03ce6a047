/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/ws_deflate.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <zlib.h>

struct sink {
    struct ws_deflate_out out; /* first */
    char bytes[1 << 20];
    uint32_t len, room;
};

static struct sink packed, unpacked;

static bool
put(struct ws_deflate_out *out, const void *bytes, uint32_t len)
{
    struct sink *s = (struct sink *)(void *)out;

    if (s->len + len > s->room)
        return false;
    memcpy(s->bytes + s->len, bytes, len);
    s->len += len;
    return true;
}

static struct ws_deflate_out *
fresh(struct sink *s)
{
    s->out.put = put;
    s->len = 0;
    s->room = sizeof s->bytes;
    return &s->out;
}

static struct text
text_in(const struct sink *s)
{
    return (struct text){s->bytes, s->len};
}

Test(ws_deflate, takes_the_first_offer_that_it_can_keep)
{
    static const struct {
        const char *offers, *reply; /* NULL: none is acceptable */
    } vectors[] = {
        {"permessage-deflate", "permessage-deflate; client_no_context_takeover"},
        {"permessage-deflate; client_max_window_bits", "permessage-deflate; client_no_context_takeover"},
        {" permessage-deflate ;client_max_window_bits = 10 ",
         "permessage-deflate; client_no_context_takeover"},
        {"permessage-deflate; server_no_context_takeover; client_no_context_takeover",
         "permessage-deflate; client_no_context_takeover; server_no_context_takeover"},
        {"permessage-deflate; server_max_window_bits=10",
         "permessage-deflate; client_no_context_takeover; server_max_window_bits=10"},
        {"permessage-deflate; server_max_window_bits=\"15\"",
         "permessage-deflate; client_no_context_takeover; server_max_window_bits=12"},
        {"permessage-deflate; server_max_window_bits=8", NULL},
        {"permessage-deflate; server_max_window_bits=8, permessage-deflate",
         "permessage-deflate; client_no_context_takeover"},
        {"permessage-bzip2, permessage-deflate", "permessage-deflate; client_no_context_takeover"},
        {"PerMessage-Deflate; Client_Max_Window_Bits=8", "permessage-deflate; client_no_context_takeover"},
        {"permessage-deflate; client_max_window_bits=\"15\"",
         "permessage-deflate; client_no_context_takeover"},
        {"permessage-deflate; server_max_window_bits=9",
         "permessage-deflate; client_no_context_takeover; server_max_window_bits=9"},
        {"permessage-deflate; what, permessage-deflate; server_max_window_bits=11, permessage-deflate",
         "permessage-deflate; client_no_context_takeover; server_max_window_bits=11"},
        {"permessage-deflate; server_max_window_bits", NULL},
        {"permessage-deflate; server_max_window_bits=7", NULL},
        {"permessage-deflate; server_max_window_bits=\"\"", NULL},
        {"permessage-deflate; server_max_window_bits=1e1", NULL},
        {"permessage-deflate; client_no_context_takeover=1", NULL},
        {"permessage-deflate; client_max_window_bits=16", NULL},
        {"permessage-deflate; client_max_window_bits=08", NULL},
        {"permessage-deflate; server_no_context_takeover; server_no_context_takeover", NULL},
        {"permessage-deflate; client_no_context_takeover; client_no_context_takeover", NULL},
        {"permessage-deflate; client_max_window_bits; client_max_window_bits=10", NULL},
        {"permessage-deflate; server_max_window_bits=16", NULL},
        {"permessage-deflate; server_max_window_bits=010", NULL},
        {"permessage-deflate; server_max_window_bits=10; server_max_window_bits=10", NULL},
        {"permessage-deflate; server_no_context_takeover=1", NULL},
        {"permessage-deflate; client_max_window_bits=7", NULL},
        {"permessage-deflate; what", NULL},
        {"x-webkit-deflate-frame", NULL},
        {"", NULL},
    };

    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        struct ws_deflate_params p;
        char reply[WS_DEFLATE_REPLY_MAX];
        bool fine = ws_deflate_negotiate(text_of(vectors[i].offers), &p);

        cr_assert_eq(fine, vectors[i].reply != NULL, "%s", vectors[i].offers);
        if (fine) {
            reply[ws_deflate_reply(&p, reply)] = '\0';
            cr_assert_str_eq(reply, vectors[i].reply, "%s", vectors[i].offers);
        }
    }
}

Test(ws_deflate, agrees_to_nothing_that_was_not_offered)
{
    static const struct {
        const char *reply;
        bool is_fine, deflates;
    } vectors[] = {
        {"", true, false},
        {WS_DEFLATE_OFFER, true, true},
        {"permessage-deflate; server_no_context_takeover", true, true},
        {"Permessage-Deflate;Server_No_Context_Takeover ; server_max_window_bits=\"8\"", true, true},
        {"permessage-deflate; server_no_context_takeover; server_max_window_bits=15", true, true},
        {"permessage-deflate", false, true},
        {"permessage-deflate; client_no_context_takeover", false, true},
        {"permessage-deflate; server_no_context_takeover; client_max_window_bits=10", false, true},
        {"permessage-deflate; server_no_context_takeover; server_no_context_takeover", false, true},
        {"permessage-deflate; server_no_context_takeover; server_max_window_bits=7", false, true},
        {"permessage-deflate; server_no_context_takeover; server_max_window_bits", false, true},
        {"permessage-deflate; server_no_context_takeover; what", false, true},
        {"permessage-deflate; server_no_context_takeover, x", false, true},
        {WS_DEFLATE_OFFER ", " WS_DEFLATE_OFFER, false, true},
        {"x-webkit-deflate-frame", false, true},
    };

    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        bool deflates;

        cr_assert_eq(ws_deflate_agree(text_of(vectors[i].reply), &deflates), vectors[i].is_fine, "%s",
                     vectors[i].reply);
        cr_assert_eq(deflates, vectors[i].deflates, "%s", vectors[i].reply);
    }
}

/* RFC 7692 section 7.2.3. */
Test(ws_deflate, inflates_the_examples_of_the_rfc)
{
    static const struct {
        const char *bytes;
        uint32_t len;
    } vectors[] = {
        {"\xf2\x48\xcd\xc9\xc9\x07\x00", 7},
        {"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00", 11},         /* a block that is not compressed */
        {"\xf3\x48\xcd\xc9\xc9\x07\x00\x00", 8},                      /* a block that says it is the last */
        {"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00", 13}, /* two blocks */
        {"\xf2\x48\xcd\xc9\xc9\x07\x00\x00\x00\xff\xff", 11},         /* with the tail that need not be */
    };
    struct ws_inflater *i = ws_inflater_new();

    for (size_t k = 0; k < sizeof vectors / sizeof *vectors; k++) {
        cr_assert_eq(
            ws_inflater_message(i, (struct text){vectors[k].bytes, vectors[k].len}, 5, fresh(&unpacked)),
            WS_DEFLATE_FINE, "%zu", k);
        cr_assert(text_eq(text_in(&unpacked), TEXT("Hello")), "%zu", k);
    }
    ws_inflater_free(i);
}

Test(ws_deflate, brings_back_what_it_packed_with_and_without_a_context)
{
    static char text[300000];
    struct ws_inflater *i = ws_inflater_new();

    for (unsigned bits = 9; bits <= 12; bits++) {
        struct ws_deflate_params p = {.window_bits = (uint8_t)bits, .no_takeover = true};
        struct ws_deflater *d = ws_deflater_new(&p);
        uint32_t lengths[] = {0, 1, 5, 300, 5000, 70000, sizeof text};

        for (size_t k = 0; k < sizeof lengths / sizeof *lengths; k++) {
            struct text pieces[2];

            srand(7);
            for (uint32_t n = 0; n < lengths[k]; n++)
                text[n] = (char)(n % 3 ? 'a' + rand() % 4 : rand());
            pieces[0] = (struct text){text, lengths[k] / 3};
            pieces[1] = (struct text){text + lengths[k] / 3, lengths[k] - lengths[k] / 3};
            cr_assert_eq(ws_deflater_message(d, pieces, 2, fresh(&packed)), WS_DEFLATE_FINE);
            cr_assert_eq(ws_inflater_message(i, text_in(&packed), lengths[k], fresh(&unpacked)),
                         WS_DEFLATE_FINE);
            cr_assert(text_eq(text_in(&unpacked), (struct text){text, lengths[k]}), "%u bits, %u bytes", bits,
                      lengths[k]);
        }
        ws_deflater_free(d);
    }
    ws_inflater_free(i);
}

/* Sections 7.2.1 and 7.1.2.1: the tail of a flush is not sent, and what is referred to lies within the
 * window. */
Test(ws_deflate, sends_no_tail_and_refers_to_nothing_outside_the_window)
{
    static char text[40000], back[sizeof text];

    for (unsigned bits = 9; bits <= WS_DEFLATE_WINDOW; bits++) {
        struct ws_deflater *d = ws_deflater_new(&(struct ws_deflate_params){.window_bits = (uint8_t)bits});
        struct text message = {text, sizeof text};
        z_stream z = {0};

        srand(3);
        for (size_t n = 0; n < sizeof text; n++) /* it repeats itself near and far */
            text[n] = n < 700 ? (char)rand() : text[n - (n / 1000 % 2 ? 700 : 300)];
        cr_assert_eq(inflateInit2(&z, -(int)bits), Z_OK);
        for (unsigned k = 0; k < 2; k++) { /* the second with the context of the first */
            cr_assert_eq(ws_deflater_message(d, &message, 1, fresh(&packed)), WS_DEFLATE_FINE);
            cr_assert_neq(memcmp(packed.bytes + packed.len - 4, "\0\0\xff\xff", 4), 0, "%u bits", bits);
            memcpy(packed.bytes + packed.len, "\0\0\xff\xff", 4);
            z.next_in = (Bytef *)packed.bytes;
            z.avail_in = packed.len + 4;
            z.next_out = (Bytef *)back;
            z.avail_out = sizeof back;
            cr_assert_eq(inflate(&z, Z_SYNC_FLUSH), Z_OK, "%u bits: %s", bits, z.msg);
            cr_assert_eq(z.avail_in, 0);
            cr_assert_eq(memcmp(back, text, sizeof text), 0, "%u bits", bits);
        }
        inflateEnd(&z);
        ws_deflater_free(d);
    }
}

/* Section 7.1.1.2: the client was told to begin each message afresh. */
Test(ws_deflate, refuses_a_message_that_refers_to_the_one_before_it)
{
    static const struct text hello = TEXT("\xf2\x48\xcd\xc9\xc9\x07\x00"),
                             again = {"\xf2\x00\x11\x00\x00", 5};
    struct ws_inflater *i = ws_inflater_new();

    cr_assert_eq(ws_inflater_message(i, hello, 5, fresh(&unpacked)), WS_DEFLATE_FINE);
    cr_assert_eq(ws_inflater_message(i, again, 5, fresh(&unpacked)), WS_DEFLATE_BAD);
    ws_inflater_free(i);
}

Test(ws_deflate, makes_like_messages_small_where_a_context_may_be_kept)
{
    static const struct text message =
        TEXT("{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{\"progress\":1}}");
    struct ws_deflater *d = ws_deflater_new(&(struct ws_deflate_params){.window_bits = 12});

    cr_assert_eq(ws_deflater_message(d, &message, 1, fresh(&packed)), WS_DEFLATE_FINE);
    cr_assert_gt(packed.len, 50);
    cr_assert_eq(ws_deflater_message(d, &message, 1, fresh(&packed)), WS_DEFLATE_FINE);
    cr_assert_lt(packed.len, 12);
    ws_deflater_free(d);
}

/* RFC 7692 section 7.2.3.6. */
Test(ws_deflate, packs_empty_messages_one_behind_the_other)
{
    struct ws_deflater *d = ws_deflater_new(&(struct ws_deflate_params){.window_bits = 12});
    struct ws_inflater *i = ws_inflater_new();

    for (unsigned k = 0; k < 3; k++) {
        cr_assert_eq(ws_deflater_message(d, NULL, 0, fresh(&packed)), WS_DEFLATE_FINE);
        cr_assert(text_eq(text_in(&packed), (struct text){"", 1}));
        cr_assert_eq(ws_inflater_message(i, text_in(&packed), 10, fresh(&unpacked)), WS_DEFLATE_FINE);
        cr_assert_eq(unpacked.len, 0);
    }
    ws_inflater_free(i);
    ws_deflater_free(d);
}

Test(ws_deflate, refuses_bombs_nonsense_and_what_finds_no_room)
{
    struct ws_inflater *i = ws_inflater_new();
    struct ws_deflater *d = ws_deflater_new(&(struct ws_deflate_params){.window_bits = 12});
    static char zeros[1 << 20];
    struct text message = {zeros, sizeof zeros};

    cr_assert_eq(ws_deflater_message(d, &message, 1, fresh(&packed)), WS_DEFLATE_FINE);
    cr_assert_eq(ws_inflater_message(i, text_in(&packed), sizeof zeros - 1, fresh(&unpacked)),
                 WS_DEFLATE_TOO_LARGE);
    fresh(&unpacked)->put = put;
    unpacked.room = 1000;
    cr_assert_eq(ws_inflater_message(i, text_in(&packed), sizeof zeros, &unpacked.out), WS_DEFLATE_NO_ROOM);
    cr_assert_eq(ws_inflater_message(i, TEXT("\xff\xff\xff"), 100, fresh(&unpacked)), WS_DEFLATE_BAD);
    cr_assert_eq(ws_inflater_message(i, TEXT("\xf2\x48\xcd\xc9\xc9\x07"), 100, fresh(&unpacked)),
                 WS_DEFLATE_FINE, "and the next one is not disturbed");
    ws_inflater_free(i);
    ws_deflater_free(d);
}
