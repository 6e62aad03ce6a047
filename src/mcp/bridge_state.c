/* SPDX-License-Identifier: Apache-2.0 */
#include "mcp/bridge_state.h"

#include "base/check.h"
#include "base/pack.h"

#include <openssl/evp.h>

#define LABEL TEXT("requestState")

/* --- the digest --- */

static bool
hash(EVP_MD_CTX *md, struct text text)
{
    return !text.len || EVP_DigestUpdate(md, text.at, text.len) == 1;
}

static bool
is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Raw JSON without the white space between its tokens, and a NUL behind it. */
static bool
hash_value(EVP_MD_CTX *md, struct text raw)
{
    const char *at = raw.at, *end = raw.at + raw.len, *from = at;
    bool ok = true, in_string = false;

    for (; at < end; at++) {
        if (in_string && *at == '\\') {
            at++; /* a strict scan has seen what follows */
        } else if (*at == '"') {
            in_string = !in_string;
        } else if (!in_string && is_space(*at)) {
            ok = ok && hash(md, (struct text){from, (uint32_t)(at - from)});
            from = at + 1;
        }
    }
    return ok && hash(md, (struct text){from, (uint32_t)(end - from)}) && hash(md, (struct text){"", 1});
}

static bool
hash_request(EVP_MD_CTX *md, const struct jsonrpc_envelope *env)
{
    struct text rest = env->params;
    struct json_member m;
    bool ok = hash(md, env->method) && hash(md, (struct text){"", 1});

    while (ok && rest.at && json_next_member(&rest, &m))
        if (!json_string_is(m.key, TEXT("_meta")) && !json_string_is(m.key, TEXT("inputResponses")) &&
            !json_string_is(m.key, TEXT("requestState")))
            ok = hash_value(md, m.key) && hash_value(md, m.value);
    return ok;
}

bool
bridge_digest(const struct jsonrpc_envelope *env, uint8_t ret[BRIDGE_DIGEST_BYTES])
{
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    unsigned n = 0;
    bool ok = md && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1 && hash_request(md, env) &&
              EVP_DigestFinal_ex(md, ret, &n) == 1;

    EVP_MD_CTX_free(md);
    return ok && n == BRIDGE_DIGEST_BYTES;
}

/* --- the sealed text --- */

uint32_t
bridge_state_seal(const struct bridge_state *s, struct seal_keys *keys, char *out)
{
    uint8_t bytes[BRIDGE_STATE_BYTES], *to = bytes;

    to = pack_number(to, s->kind, 1);
    to = pack_number(to, s->node, 4);
    to = pack_number(to, s->slot, 4);
    to = pack_number(to, s->epoch, 4);
    to = pack_number(to, s->upstream, 4);
    to = pack_number(to, s->call, 8);
    to = pack_bytes(to, s->principal, sizeof s->principal);
    to = pack_bytes(to, s->digest, sizeof s->digest);
    to = pack_number(to, s->expires_s, 8);
    ASSERT(to == bytes + sizeof bytes);
    return seal_write(keys, LABEL, bytes, sizeof bytes, out, BRIDGE_STATE_SIZE);
}

static bool
open_sealed(struct text raw, struct seal_keys *keys, uint8_t bytes[BRIDGE_STATE_BYTES])
{
    char sealed[BRIDGE_STATE_SIZE];

    return json_string_decode(raw, sealed, sizeof sealed) == BRIDGE_STATE_SIZE &&
           seal_open(keys, LABEL, (struct text){sealed, sizeof sealed}, bytes, BRIDGE_STATE_BYTES) ==
               BRIDGE_STATE_BYTES;
}

enum bridge_state_fault
bridge_state_open(struct text raw, struct seal_keys *keys, uint64_t now_s,
                  const uint8_t principal[BRIDGE_STATE_PRINCIPAL_BYTES],
                  const uint8_t digest[BRIDGE_DIGEST_BYTES], struct bridge_state *ret)
{
    uint8_t bytes[BRIDGE_STATE_BYTES];
    const uint8_t *at = bytes;
    struct bridge_state s;

    if (!open_sealed(raw, keys, bytes))
        return BRIDGE_STATE_BAD;
    s.kind = (enum bridge_state_kind)unpack_number(&at, 1);
    s.node = (uint32_t)unpack_number(&at, 4);
    s.slot = (uint32_t)unpack_number(&at, 4);
    s.epoch = (uint32_t)unpack_number(&at, 4);
    s.upstream = (uint32_t)unpack_number(&at, 4);
    s.call = unpack_number(&at, 8);
    unpack_bytes(&at, s.principal, sizeof s.principal);
    unpack_bytes(&at, s.digest, sizeof s.digest);
    s.expires_s = unpack_number(&at, 8);
    /* A gateway of another version may seal what this one does not know. */
    if (s.kind != BRIDGE_STATE_PARKED && s.kind != BRIDGE_STATE_RESEND)
        return BRIDGE_STATE_BAD;
    if (memcmp(s.principal, principal, sizeof s.principal) != 0)
        return BRIDGE_STATE_FOREIGN;
    if (memcmp(s.digest, digest, sizeof s.digest) != 0)
        return BRIDGE_STATE_OTHER;
    if (now_s >= s.expires_s)
        return BRIDGE_STATE_EXPIRED;
    *ret = s;
    return BRIDGE_STATE_FINE;
}

const char *
bridge_state_text(enum bridge_state_fault fault)
{
    switch (fault) {
    case BRIDGE_STATE_FINE:
        return "requestState is valid";
    case BRIDGE_STATE_EXPIRED:
        return "Invalid params: requestState has expired; make the call again without it";
    case BRIDGE_STATE_OTHER:
        return "Invalid params: requestState belongs to another request; send the same parameters again";
    case BRIDGE_STATE_FOREIGN: /* no more than for one that nobody made */
    case BRIDGE_STATE_BAD:
        break;
    }
    return "Invalid params: requestState is not valid; make the call again without it";
}
