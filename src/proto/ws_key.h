/* SPDX-License-Identifier: Apache-2.0 */
/* The keys of a WebSocket's handshake (RFC 6455 section 4), of both sides. */
#ifndef PROTO_WS_KEY_H
#define PROTO_WS_KEY_H

#include "base/text.h"

#include <stdint.h>

enum { WS_NONCE_BYTES = 16, WS_KEY_CHARS = 24, WS_ACCEPT_CHARS = 28 };

/* Sec-WebSocket-Key of a new connection, whose nonce is random (4.1, 7). */
void ws_key_make(const uint8_t nonce[WS_NONCE_BYTES], char out[WS_KEY_CHARS]);

/* Sec-WebSocket-Accept for this key. False: it is none (4.2.1, 5). */
bool ws_key_accept(struct text key, char out[WS_ACCEPT_CHARS]);

#endif
