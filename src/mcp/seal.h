/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sealing: bytes that leave the gateway and come back are encrypted and authenticated, so that nobody else
 * can read, make or change them (AES-256-GCM, NIST SP 800-38D). Sealed text is base64url, fit for a header
 * field:
 *
 *      version 1 | key id 4, big endian | nonce 12 | ciphertext | tag 16
 *      '--------- authenticated --------'
 *
 * A label is authenticated too and not sent: what was sealed for one use does not open for another. Nonces
 * are random: one key seals up to 2^32 texts, after which its successor must be current.
 */
#ifndef MCP_SEAL_H
#define MCP_SEAL_H

#include "base/text.h"
#include "proto/base64.h"

enum {
    SEAL_KEYS_MAX = 3, /* previous, current, next */
    SEAL_KEY_BYTES = 32,
    SEAL_OVERHEAD = 1 + 4 + 12 + 16, /* bytes around the content */
    SEAL_CONTENT_MAX = 1024,
};

/* Characters of sealed text for n bytes of content. */
#define SEAL_TEXT_SIZE(n) BASE64_SIZE(BASE64_URL, SEAL_OVERHEAD + (n))

struct seal_key {
    uint32_t id;        /* sealed text names it; 0: no key */
    const uint8_t *key; /* SEAL_KEY_BYTES; stays the caller's, as long as it is used */
};

/* The keys of a process: `current` seals, all of them open. */
struct seal_keys {
    struct seal_key keys[SEAL_KEYS_MAX];
    unsigned current; /* index */
    void *cipher;     /* private, and context: the library's */
    void *context;
};

/* Takes up to SEAL_KEYS_MAX keys, of which keys[current] must be one. */
void seal_keys_init(struct seal_keys *keys, const struct seal_key *from, unsigned count, unsigned current);
/* Gets the cipher from the library, which takes it about 1 ms the first time; else the first seal does.
 * False: there is no memory, or the library's configuration has no such cipher. */
bool seal_keys_ready(struct seal_keys *keys);
void seal_keys_done(struct seal_keys *keys); /* also without (zeroed) an init */

/* Seals n <= SEAL_CONTENT_MAX bytes with the current key. Returns the length of the text in out[size], or 0
 * when it does not fit or the library has no cipher or random numbers. */
uint32_t seal_write(struct seal_keys *keys, struct text label, const void *content, uint32_t n, char *out,
                    uint32_t size);

/* Opens sealed text with the key it names. Returns the number of bytes in out[size], or -1: malformed, made
 * with a key that is not here or for another use, changed, or longer than `size`. On -1 out holds nothing of
 * it. */
int seal_open(struct seal_keys *keys, struct text label, struct text sealed, void *out, uint32_t size);

#endif
