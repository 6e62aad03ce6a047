/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/ws_key.h"

#include "proto/base64.h"

#include <openssl/sha.h>
#include <string.h>

void
ws_key_make(const uint8_t nonce[WS_NONCE_BYTES], char out[WS_KEY_CHARS])
{
    base64_encode(BASE64_STANDARD, nonce, WS_NONCE_BYTES, out);
}

bool
ws_key_accept(struct text key, char out[WS_ACCEPT_CHARS])
{
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"; /* section 1.3 */
    uint8_t bytes[WS_NONCE_BYTES + 2], hash[SHA_DIGEST_LENGTH];
    char text[BASE64_SIZE(BASE64_STANDARD, WS_NONCE_BYTES) + sizeof guid];

    if (base64_decode(BASE64_STANDARD, key, bytes, sizeof bytes) != WS_NONCE_BYTES)
        return false;
    memcpy(text, key.at, key.len);
    memcpy(text + key.len, guid, sizeof guid - 1);
    SHA1((const uint8_t *)text, key.len + sizeof guid - 1, hash);
    return base64_encode(BASE64_STANDARD, hash, sizeof hash, out) == WS_ACCEPT_CHARS;
}
