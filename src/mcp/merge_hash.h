/* SPDX-License-Identifier: Apache-2.0 */
/* FNV-1a of 64 bits. Who could choose its input to make two texts collide must not gain by it. */
#ifndef MCP_MERGE_HASH_H
#define MCP_MERGE_HASH_H

#include "base/text.h"

#define MERGE_HASH_START 0xcbf29ce484222325u

static inline uint64_t
merge_hash(uint64_t hash, struct text text)
{
    for (uint32_t i = 0; i < text.len; i++)
        hash = (hash ^ (uint8_t)text.at[i]) * 0x100000001b3u;
    return hash;
}

#endif
