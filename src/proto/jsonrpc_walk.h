/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of the scanner: what its twins share. A twin (jsonrpc_portable.c, jsonrpc_avx2.c) says how 64 bytes
 * are sorted into masks and compiles jsonrpc_blocks.h around that; jsonrpc_scan.c picks the twin and makes
 * the envelope out of the places that it found.
 */
#ifndef PROTO_JSONRPC_WALK_H
#define PROTO_JSONRPC_WALK_H

#include "proto/jsonrpc.h"

enum { JSONRPC_BLOCK = 64 };

/* Bit n is byte n of a block. */
struct jsonrpc_masks {
    uint64_t quote, backslash;
    uint64_t bracket;   /* {}[] */
    uint64_t separator; /* , and : */
    uint64_t space;
    uint64_t control; /* under 0x20 */
    uint64_t high;    /* over 0x7f */
};

enum jsonrpc_level {
    LEVEL_NONE,
    LEVEL_TOP,
    LEVEL_PARAMS,
    LEVEL_META,
    LEVEL_RESULT,
    LEVEL_ERROR,
    JSONRPC_LEVELS
};

/* Objects that are looked into stand in one another from the top: message, params, _meta. */
enum { JSONRPC_LOOKED_MAX = 3 };

struct jsonrpc_walk {
    const struct text *pieces;
    unsigned count;
    uint32_t size;
    enum json_mode mode;
    enum jsonrpc_fault fault;
    const char *culprit;
    struct jsonrpc_places *places;

    /* between blocks */
    uint64_t in_string;          /* all ones: the block begins inside a string */
    uint64_t after_scalar;       /* 1: the last byte was of a number, a literal or junk */
    bool after_backslash;        /* the first byte of the block is escaped */
    bool scalar_open;            /* a scalar that is checked goes on */
    uint8_t scalar;              /* its state */
    uint8_t utf8_left;           /* bytes that the character at the block's beginning still needs */
    uint8_t utf8_low, utf8_high; /* what the next one may be */
    uint8_t escape;              /* state of the escape at the block's beginning */
    uint16_t escape_value;
    uint32_t backslash_end; /* behind the last backslash seen */

    /* the grammar */
    uint8_t state;
    uint8_t top;       /* the first byte of the message */
    unsigned depth;    /* open brackets */
    unsigned looked;   /* of those, objects that are looked into: all the outermost ones */
    unsigned checked;  /* the fast mode looks at brackets only, deeper than this */
    uint64_t objects;  /* kinds of the open brackets, the innermost lowest; 1: an object */
    uint32_t key;      /* the current key's opening quote */
    uint16_t elements; /* of a batch */
    uint64_t seen;     /* places whose key has come */
    uint8_t level[JSONRPC_LOOKED_MAX + 1];  /* of the objects looked into, by depth */
    int8_t slot[JSONRPC_LOOKED_MAX + 1];    /* the place whose value is due or being read; -1: none */
    int8_t last[JSONRPC_LOOKED_MAX + 1];    /* the place before; -1: none */
    uint32_t comma[JSONRPC_LOOKED_MAX + 1]; /* before the current key */
};

/* Reads the message; sets fault and places. False at a fault. */
typedef bool jsonrpc_walk_fn(struct jsonrpc_walk *w);
jsonrpc_walk_fn jsonrpc_walk_portable, jsonrpc_walk_avx2;

/* --- jsonrpc_key.c --- */

/* `len` bytes from `off` on: where they lie when one piece holds them, else copied to out[]. */
const char *jsonrpc_bytes(const struct text *pieces, unsigned count, uint32_t off, uint32_t len, char *out);

/* The place that the key between its quotes at [w->key, end) names in the innermost object looked into, or
 * -1; -2: the key must not be there, and w->fault says why. */
int jsonrpc_key_place(struct jsonrpc_walk *w, uint32_t end, bool escaped);

struct text jsonrpc_place_key(enum jsonrpc_place place);
enum jsonrpc_level jsonrpc_place_level(enum jsonrpc_place place);
extern const uint8_t jsonrpc_children[JSONRPC_PLACES]; /* enum jsonrpc_level */

#endif
