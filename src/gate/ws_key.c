/* SPDX-License-Identifier: Apache-2.0 */
#include "gate/ws_key.h"

#include "proto/base64.h"

#include <openssl/sha.h>
#include <string.h>
#include <sys/random.h>

enum { NONCE_BYTES = 16 };

bool
ws_key_make(char out[WS_KEY_CHARS])
{
    uint8_t nonce[NONCE_BYTES];

    return getrandom(nonce, sizeof nonce, 0) == sizeof nonce &&
           base64_encode(BASE64_STANDARD, nonce, sizeof nonce, out) == WS_KEY_CHARS;
}

bool
ws_key_accept(struct text key, char out[WS_ACCEPT_CHARS])
{
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"; /* section 1.3 */
    uint8_t bytes[NONCE_BYTES + 2], hash[SHA_DIGEST_LENGTH];
    char text[BASE64_SIZE(BASE64_STANDARD, NONCE_BYTES) + sizeof guid];

    if (base64_decode(BASE64_STANDARD, key, bytes, sizeof bytes) != NONCE_BYTES)
        return false;
    memcpy(text, key.at, key.len);
    memcpy(text + key.len, guid, sizeof guid - 1);
    SHA1((const uint8_t *)text, key.len + sizeof guid - 1, hash);
    return base64_encode(BASE64_STANDARD, hash, sizeof hash, out) == WS_ACCEPT_CHARS;
}
