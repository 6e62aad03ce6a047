/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/ws_deflate.h"

#include <stdio.h>
#include <stdlib.h>
#include <zlib.h>

enum { BLOCK_BYTES = 4 << 10, INFLATED_BYTES = 16 << 10, LEVEL = 1, MEM_LEVEL = 5, TAIL_BYTES = 4 };

/* What every flushed message ends with, and is not sent (section 7.2.1). */
static const uint8_t tail[TAIL_BYTES] = {0, 0, 0xff, 0xff};

/* --- the handshake --- */

/* Takes the part before the next ';' off *rest, trimmed; false when *rest is used up. */
static bool
next_param(struct text *rest, struct text *ret)
{
    const char *semicolon;
    uint32_t n;

    if (!rest->len)
        return false;
    semicolon = memchr(rest->at, ';', rest->len);
    n = semicolon ? (uint32_t)(semicolon - rest->at) : rest->len;
    *ret = text_trim((struct text){rest->at, n});
    rest->at += semicolon ? n + 1 : n;
    rest->len -= semicolon ? n + 1 : n;
    return true;
}

/* 8 to 15, without a leading zero (section 7.1.2.1), perhaps quoted; 0: it is none. */
static unsigned
window_of(struct text value)
{
    if (value.len >= 2 && value.at[0] == '"' && value.at[value.len - 1] == '"')
        value = (struct text){value.at + 1, value.len - 2};
    if (value.len == 1 && (value.at[0] == '8' || value.at[0] == '9'))
        return (unsigned)(value.at[0] - '0');
    if (value.len == 2 && value.at[0] == '1' && value.at[1] >= '0' && value.at[1] <= '5')
        return 10 + (unsigned)(value.at[1] - '0');
    return 0;
}

enum { SEEN_SERVER_TAKEOVER = 1, SEEN_CLIENT_TAKEOVER = 2, SEEN_SERVER_WINDOW = 4, SEEN_CLIENT_WINDOW = 8 };

/* One parameter of an offer. False: the offer is not acceptable. */
static bool
take_param(struct text param, unsigned *seen, struct ws_deflate_params *p)
{
    const char *equals = memchr(param.at, '=', param.len);
    struct text name = {param.at, equals ? (uint32_t)(equals - param.at) : param.len}, value = {NULL, 0};
    unsigned which = 0, bits;

    if (equals)
        value = text_trim((struct text){equals + 1, param.len - name.len - 1});
    name = text_trim(name);
    if (text_eq_nocase(name, TEXT("server_no_context_takeover")) && !equals) {
        which = SEEN_SERVER_TAKEOVER;
        p->no_takeover = true;
    } else if (text_eq_nocase(name, TEXT("client_no_context_takeover")) && !equals) {
        which = SEEN_CLIENT_TAKEOVER;
    } else if (text_eq_nocase(name, TEXT("server_max_window_bits")) && equals) {
        bits = window_of(value);
        if (!bits)
            return false;
        which = SEEN_SERVER_WINDOW;
        p->names_window = true;
        if (bits < p->window_bits)
            p->window_bits = (uint8_t)bits;
    } else if (text_eq_nocase(name, TEXT("client_max_window_bits")) && (!equals || window_of(value))) {
        which = SEEN_CLIENT_WINDOW;
    }
    if (!which || *seen & which) /* unknown, malformed, or said twice (section 7.1) */
        return false;
    *seen |= which;
    return true;
}

bool
ws_deflate_negotiate(struct text offers, struct ws_deflate_params *ret)
{
    struct text offer, param;

    while (text_next_element(&offers, &offer)) {
        struct ws_deflate_params p = {.window_bits = WS_DEFLATE_WINDOW};
        unsigned seen = 0;
        bool fine = next_param(&offer, &param) && text_eq_nocase(param, TEXT("permessage-deflate"));

        while (fine && next_param(&offer, &param))
            fine = take_param(param, &seen, &p);
        if (fine && p.window_bits > 8) { /* zlib deflates with no window of 8 bits */
            *ret = p;
            return true;
        }
    }
    return false;
}

bool
ws_deflate_agree(struct text reply, bool *ret_deflates)
{
    struct ws_deflate_params p = {.window_bits = WS_DEFLATE_WINDOW};
    struct text extension, another, param;
    unsigned seen = 0;

    *ret_deflates = text_next_element(&reply, &extension);
    if (!*ret_deflates)
        return true;
    if (text_next_element(&reply, &another) || !next_param(&extension, &param) ||
        !text_eq_nocase(param, TEXT("permessage-deflate")))
        return false;
    while (next_param(&extension, &param))
        if (!take_param(param, &seen, &p))
            return false;
    /* Section 7.1.1.1: it keeps no context, or declines; 7.1.2.2: our window was not offered to be limited.
     */
    return p.no_takeover && !(seen & SEEN_CLIENT_WINDOW);
}

uint32_t
ws_deflate_reply(const struct ws_deflate_params *params, char out[WS_DEFLATE_REPLY_MAX])
{
    int n = snprintf(out, WS_DEFLATE_REPLY_MAX, "permessage-deflate; client_no_context_takeover%s",
                     params->no_takeover ? "; server_no_context_takeover" : "");

    if (params->names_window)
        n += snprintf(out + n, WS_DEFLATE_REPLY_MAX - (size_t)n, "; server_max_window_bits=%u",
                      params->window_bits);
    return (uint32_t)n;
}

/* --- sending --- */

struct ws_deflater {
    z_stream z;
    bool no_takeover;
    uint8_t held[TAIL_BYTES]; /* the last bytes so far, which may be the tail */
    unsigned held_len;
    uint8_t block[BLOCK_BYTES];
};

struct ws_deflater *
ws_deflater_new(const struct ws_deflate_params *params)
{
    struct ws_deflater *d = calloc(1, sizeof *d);

    if (d &&
        deflateInit2(&d->z, LEVEL, Z_DEFLATED, -params->window_bits, MEM_LEVEL, Z_DEFAULT_STRATEGY) != Z_OK) {
        free(d);
        return NULL;
    }
    if (d)
        d->no_takeover = params->no_takeover;
    return d;
}

void
ws_deflater_free(struct ws_deflater *deflater)
{
    if (deflater)
        deflateEnd(&deflater->z);
    free(deflater);
}

/* Passes bytes on, but for the last four. */
static bool
put_but_tail(struct ws_deflater *d, const uint8_t *bytes, uint32_t len, struct ws_deflate_out *out)
{
    uint32_t all = d->held_len + len, from_held, from_bytes;

    if (all <= TAIL_BYTES) {
        memcpy(d->held + d->held_len, bytes, len);
        d->held_len = all;
        return true;
    }
    from_held = all - TAIL_BYTES < d->held_len ? all - TAIL_BYTES : d->held_len;
    from_bytes = all - TAIL_BYTES - from_held;
    if ((from_held && !out->put(out, d->held, from_held)) ||
        (from_bytes && !out->put(out, bytes, from_bytes)))
        return false;
    memmove(d->held, d->held + from_held, d->held_len - from_held);
    memcpy(d->held + d->held_len - from_held, bytes + from_bytes, len - from_bytes);
    d->held_len = TAIL_BYTES;
    return true;
}

static enum ws_deflate_result
deflate_piece(struct ws_deflater *d, struct text piece, int flush, struct ws_deflate_out *out)
{
    d->z.next_in = (Bytef *)piece.at;
    d->z.avail_in = piece.len;
    do {
        d->z.next_out = d->block;
        d->z.avail_out = sizeof d->block;
        if (deflate(&d->z, flush) == Z_STREAM_ERROR)
            return WS_DEFLATE_NO_ROOM;
        if (!put_but_tail(d, d->block, (uint32_t)sizeof d->block - d->z.avail_out, out))
            return WS_DEFLATE_NO_ROOM;
    } while (!d->z.avail_out);
    return WS_DEFLATE_FINE;
}

enum ws_deflate_result
ws_deflater_message(struct ws_deflater *d, const struct text *pieces, unsigned count,
                    struct ws_deflate_out *out)
{
    enum ws_deflate_result result = WS_DEFLATE_FINE;
    uint64_t bytes = 0;

    d->held_len = 0;
    for (unsigned i = 0; i < count && result == WS_DEFLATE_FINE; i++) {
        bytes += pieces[i].len;
        if (pieces[i].len)
            result = deflate_piece(d, pieces[i], Z_NO_FLUSH, out);
    }
    if (!bytes) /* zlib flushes nothing twice; section 7.2.3.6 has what an empty message is */
        return out->put(out, "", 1) ? WS_DEFLATE_FINE : WS_DEFLATE_NO_ROOM;
    if (result == WS_DEFLATE_FINE)
        result = deflate_piece(d, (struct text){"", 0}, Z_SYNC_FLUSH, out);
    if (result == WS_DEFLATE_FINE && (d->held_len != TAIL_BYTES || memcmp(d->held, tail, TAIL_BYTES) != 0))
        result = WS_DEFLATE_NO_ROOM;
    if (d->no_takeover)
        deflateReset(&d->z);
    return result;
}

/* --- receiving --- */

struct ws_inflater {
    z_stream z;
    uint8_t block[INFLATED_BYTES];
};

struct ws_inflater *
ws_inflater_new(void)
{
    struct ws_inflater *i = calloc(1, sizeof *i);

    if (i && inflateInit2(&i->z, -15) != Z_OK) {
        free(i);
        return NULL;
    }
    return i;
}

void
ws_inflater_free(struct ws_inflater *inflater)
{
    if (inflater)
        inflateEnd(&inflater->z);
    free(inflater);
}

/* Some bytes of the message. A block that says it is the last one is none: the next message's bytes follow it
 * (section 7.2.3.5). */
static enum ws_deflate_result
inflate_piece(struct ws_inflater *i, const void *bytes, uint32_t len, uint64_t *left,
              struct ws_deflate_out *out)
{
    i->z.next_in = (Bytef *)bytes;
    i->z.avail_in = len;
    do {
        uint32_t n;
        int status;

        i->z.next_out = i->block;
        i->z.avail_out = sizeof i->block;
        status = inflate(&i->z, Z_SYNC_FLUSH);
        n = (uint32_t)sizeof i->block - i->z.avail_out;
        if (n > *left)
            return WS_DEFLATE_TOO_LARGE;
        *left -= n;
        if (n && !out->put(out, i->block, n))
            return WS_DEFLATE_NO_ROOM;
        if (status == Z_STREAM_END)
            status = inflateReset(&i->z);
        if (status == Z_MEM_ERROR)
            return WS_DEFLATE_NO_ROOM;
        if (status != Z_OK && status != Z_BUF_ERROR)
            return WS_DEFLATE_BAD;
    } while (i->z.avail_in || !i->z.avail_out);
    return WS_DEFLATE_FINE;
}

enum ws_deflate_result
ws_inflater_message(struct ws_inflater *i, struct text payload, uint64_t max, struct ws_deflate_out *out)
{
    enum ws_deflate_result result;

    inflateReset(&i->z);
    result = inflate_piece(i, payload.at, payload.len, &max, out);
    if (result == WS_DEFLATE_FINE)
        result = inflate_piece(i, tail, sizeof tail, &max, out);
    return result;
}
