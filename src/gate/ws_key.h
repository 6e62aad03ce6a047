/* SPDX-License-Identifier: Apache-2.0 */
/* The keys of a WebSocket's handshake (RFC 6455 section 4), of both sides. */
#ifndef GATE_WS_KEY_H
#define GATE_WS_KEY_H

#include "base/text.h"

enum { WS_KEY_CHARS = 24, WS_ACCEPT_CHARS = 28 };

/* Sec-WebSocket-Key of a new connection (4.1, 7). False: there are no random bytes. */
bool ws_key_make(char out[WS_KEY_CHARS]);

/* Sec-WebSocket-Accept for this key. False: it is none (4.2.1, 5). */
bool ws_key_accept(struct text key, char out[WS_ACCEPT_CHARS]);

#endif
