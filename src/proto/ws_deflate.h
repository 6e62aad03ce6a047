/* SPDX-License-Identifier: Apache-2.0 */
/*
 * permessage-deflate (RFC 7692): what is agreed upon in the handshake, and messages made small and large
 * again.
 *
 * Who sends to us never keeps a context (client_no_context_takeover is always answered, and
 * server_no_context_takeover always asked for), so that what comes costs no memory between two messages: one
 * inflater serves any number of connections. As the server we keep one where the client allows it, in a
 * deflater that may be given back between any two messages: who inflates does not notice.
 */
#ifndef PROTO_WS_DEFLATE_H
#define PROTO_WS_DEFLATE_H

#include "base/text.h"

/* --- the handshake (section 7.1) --- */

struct ws_deflate_params {
    uint8_t window_bits; /* of what the server sends: 9 to WS_DEFLATE_WINDOW */
    bool no_takeover;    /* each of the server's messages begins afresh */
    bool names_window;   /* the client asked for a window of this size: the reply says so */
};

enum { WS_DEFLATE_WINDOW = 12, WS_DEFLATE_REPLY_MAX = 128 };

/* The first acceptable offer of Sec-WebSocket-Extensions. False: there is none. */
bool ws_deflate_negotiate(struct text offers, struct ws_deflate_params *ret);

/* The client's offer, and whether the server's reply to it is one that it may give: "" (it compresses
 * nothing, *ret_deflates is false) or the extension, with nothing that was not offered. */
#define WS_DEFLATE_OFFER "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
bool ws_deflate_agree(struct text reply, bool *ret_deflates);

/* The extension as the reply names it; returns its length. */
uint32_t ws_deflate_reply(const struct ws_deflate_params *params, char out[WS_DEFLATE_REPLY_MAX]);

/* --- messages (section 7.2) --- */

/* Where the bytes go. */
struct ws_deflate_out {
    /* Takes the next bytes; false: it has no room. */
    bool (*put)(struct ws_deflate_out *out, const void *bytes, uint32_t len);
};

enum ws_deflate_result {
    WS_DEFLATE_FINE,
    WS_DEFLATE_BAD,       /* no deflated message */
    WS_DEFLATE_TOO_LARGE, /* it would be larger than `max` */
    WS_DEFLATE_NO_ROOM,   /* put() said so, or there is no memory */
};

struct ws_deflater;
struct ws_inflater;

/* About 40 KiB (a window of 4 KiB). NULL: no memory. */
struct ws_deflater *ws_deflater_new(const struct ws_deflate_params *params);
void ws_deflater_free(struct ws_deflater *deflater);
/* One message, of several pieces. After WS_DEFLATE_NO_ROOM the deflater is of no use. */
enum ws_deflate_result ws_deflater_message(struct ws_deflater *deflater, const struct text *pieces,
                                           unsigned count, struct ws_deflate_out *out);

/* About 40 KiB; serves one message after another, of any connection. */
struct ws_inflater *ws_inflater_new(void);
void ws_inflater_free(struct ws_inflater *inflater);
/* The payload of one whole message. At most `max` bytes come out. */
enum ws_deflate_result ws_inflater_message(struct ws_inflater *inflater, struct text payload, uint64_t max,
                                           struct ws_deflate_out *out);

#endif
