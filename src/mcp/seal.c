/* SPDX-License-Identifier: Apache-2.0 */
#include "mcp/seal.h"

#include "base/check.h"

#include <openssl/evp.h>
#include <openssl/rand.h>

enum {
    VERSION = 1,
    KEY_ID_AT = 1,
    NONCE_AT = 5,
    NONCE_BYTES = 12,
    BODY_AT = NONCE_AT + NONCE_BYTES,
    TAG_BYTES = 16
};

void
seal_keys_init(struct seal_keys *keys, const struct seal_key *from, unsigned count, unsigned current)
{
    ASSERT(count <= SEAL_KEYS_MAX && current < count && from[current].id);
    memset(keys, 0, sizeof *keys);
    memcpy(keys->keys, from, count * sizeof *from);
    keys->current = current;
}

bool
seal_keys_ready(struct seal_keys *keys)
{
    if (!keys->cipher)
        keys->cipher = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL); /* once: it costs more than a seal */
    if (!keys->context)
        keys->context = EVP_CIPHER_CTX_new();
    return keys->cipher && keys->context;
}

void
seal_keys_done(struct seal_keys *keys)
{
    EVP_CIPHER_CTX_free(keys->context);
    EVP_CIPHER_free(keys->cipher);
    memset(keys, 0, sizeof *keys);
}

static bool
start(struct seal_keys *keys, const uint8_t *key, const uint8_t *bytes, struct text label, int encrypt)
{
    int n;

    return seal_keys_ready(keys) &&
           EVP_CipherInit_ex2(keys->context, keys->cipher, key, bytes + NONCE_AT, encrypt, NULL) == 1 &&
           EVP_CipherUpdate(keys->context, NULL, &n, bytes, BODY_AT) == 1 &&
           EVP_CipherUpdate(keys->context, NULL, &n, (const uint8_t *)label.at, (int)label.len) == 1;
}

uint32_t
seal_write(struct seal_keys *keys, struct text label, const void *content, uint32_t n, char *out,
           uint32_t size)
{
    const struct seal_key *key = &keys->keys[keys->current];
    uint8_t bytes[SEAL_OVERHEAD + SEAL_CONTENT_MAX] = {VERSION, (uint8_t)(key->id >> 24),
                                                       (uint8_t)(key->id >> 16), (uint8_t)(key->id >> 8),
                                                       (uint8_t)key->id};
    int body, last;

    ASSERT(n <= SEAL_CONTENT_MAX);
    if (size < SEAL_TEXT_SIZE(n) || RAND_bytes(bytes + NONCE_AT, NONCE_BYTES) != 1 ||
        !start(keys, key->key, bytes, label, 1) ||
        EVP_CipherUpdate(keys->context, bytes + BODY_AT, &body, content, (int)n) != 1 ||
        EVP_CipherFinal_ex(keys->context, bytes + BODY_AT + body, &last) != 1 ||
        EVP_CIPHER_CTX_ctrl(keys->context, EVP_CTRL_AEAD_GET_TAG, TAG_BYTES, bytes + BODY_AT + n) != 1)
        return 0;
    return base64_encode(BASE64_URL, bytes, SEAL_OVERHEAD + n, out);
}

static const struct seal_key *
find_key(const struct seal_keys *keys, const uint8_t *bytes)
{
    uint32_t id = (uint32_t)bytes[KEY_ID_AT] << 24 | (uint32_t)bytes[KEY_ID_AT + 1] << 16 |
                  (uint32_t)bytes[KEY_ID_AT + 2] << 8 | bytes[KEY_ID_AT + 3];

    for (unsigned i = 0; id && i < SEAL_KEYS_MAX; i++)
        if (keys->keys[i].id == id)
            return &keys->keys[i];
    return NULL;
}

int
seal_open(struct seal_keys *keys, struct text label, struct text sealed, void *out, uint32_t size)
{
    uint8_t bytes[SEAL_OVERHEAD + SEAL_CONTENT_MAX], content[SEAL_CONTENT_MAX];
    int n = base64_decode(BASE64_URL, sealed, bytes, sizeof bytes) - SEAL_OVERHEAD, done, last;
    const struct seal_key *key;

    if (n < 0 || (uint32_t)n > size || bytes[0] != VERSION)
        return -1;
    key = find_key(keys, bytes);
    if (!key || !start(keys, key->key, bytes, label, 0) ||
        EVP_CipherUpdate(keys->context, content, &done, bytes + BODY_AT, n) != 1 ||
        EVP_CIPHER_CTX_ctrl(keys->context, EVP_CTRL_AEAD_SET_TAG, TAG_BYTES, bytes + BODY_AT + n) != 1 ||
        EVP_CipherFinal_ex(keys->context, content + done, &last) != 1)
        return -1;
    memcpy(out, content, (size_t)n);
    return n;
}
