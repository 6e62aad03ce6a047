/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The envelope of a JSON-RPC 2.0 message as MCP uses it: one pass over the text finds the members that
 * routing, policy and bridging look at (jsonrpc_place.def), as spans into the caller's bytes. The message
 * must be here whole (an HTTP body, a line, an SSE event's data), in one piece or in several as they were
 * received; there is no tree and no copy.
 *
 *      {"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"echo","_meta":{"progressToken":7}}}
 *                            ^id       ^method                 ^name   raw  ^meta  ^progress_token  raw
 *
 * A message that two parsers could read differently is refused, so that what the gateway checked is what the
 * server acts on: the members below must not be repeated, and their names must be spelled without escapes.
 */
#ifndef PROTO_JSONRPC_H
#define PROTO_JSONRPC_H

#include "base/text.h"
#include "proto/json.h"

enum { JSONRPC_BATCH_MAX = 100 };

enum jsonrpc_kind {
    JSONRPC_NONE, /* refused */
    JSONRPC_REQUEST,
    JSONRPC_NOTIFICATION,
    JSONRPC_RESPONSE, /* has a result */
    JSONRPC_ERROR,    /* has an error */
    JSONRPC_BATCH,    /* an array: its elements with jsonrpc_next_message() */
};

/* JSONRPC_FAULT(ENUM, code, "text"): why a message is refused, and the code of the error that says so. */
#define JSONRPC_FAULTS(JSONRPC_FAULT)                                                                        \
    JSONRPC_FAULT(FINE, 0, "no fault")                                                                       \
    JSONRPC_FAULT(SYNTAX, -32700, "the message is not JSON")                                                 \
    JSONRPC_FAULT(TRUNCATED, -32700, "the message ends inside a JSON value")                                 \
    JSONRPC_FAULT(TRAILING, -32700, "bytes follow the message")                                              \
    JSONRPC_FAULT(DEEP, -32600, "the message is nested deeper than 64 levels")                               \
    JSONRPC_FAULT(TOP_LEVEL, -32600, "the message is neither a JSON object nor an array")                    \
    JSONRPC_FAULT(BATCH_EMPTY, -32600, "the batch is empty")                                                 \
    JSONRPC_FAULT(BATCH_SIZE, -32600, "the batch has more than 100 messages")                                \
    JSONRPC_FAULT(DUPLICATE, -32600, "a member of the message occurs twice")                                 \
    JSONRPC_FAULT(ESCAPED_KEY, -32600, "the name of a member is spelled with escapes")                       \
    JSONRPC_FAULT(VERSION, -32600, "\"jsonrpc\" is not \"2.0\"")                                             \
    JSONRPC_FAULT(METHOD, -32600, "\"method\" is not a string without escapes")                              \
    JSONRPC_FAULT(ID, -32600, "\"id\" is neither a string nor an integer")                                   \
    JSONRPC_FAULT(PARAMS, -32600, "\"params\" is not an object")                                             \
    JSONRPC_FAULT(META, -32600, "\"_meta\" is not an object")                                                \
    JSONRPC_FAULT(ERROR_OBJECT, -32600, "\"error\" is not an object with an integer \"code\"")               \
    JSONRPC_FAULT(SHAPE, -32600, "the message has neither a method nor a result nor an error, or several")

enum jsonrpc_fault {
#define JSONRPC_FAULT_ENUM(id, code, text) JSONRPC_FAULT_##id,
    JSONRPC_FAULTS(JSONRPC_FAULT_ENUM)
#undef JSONRPC_FAULT_ENUM
};

enum jsonrpc_place {
#define JSONRPC_PLACE(id, level, key, field, child) JSONRPC_AT_##id,
#include "proto/jsonrpc_place.def"
#undef JSONRPC_PLACE
    JSONRPC_PLACES
};

_Static_assert(JSONRPC_PLACES <= 64, "places are the bits of a word");

/* Raw spans are JSON text, strings with their quotes; an absent member has len 0 and at NULL. */
struct jsonrpc_envelope {
    uint8_t kind;        /* enum jsonrpc_kind */
    uint8_t id_kind;     /* JSON_IS_STRING, JSON_IS_NUMBER (an integer), JSON_IS_NULL or JSON_IS_ABSENT */
    uint16_t count;      /* JSONRPC_BATCH: elements */
    int32_t error_code;  /* JSONRPC_ERROR; clamped to 32 bits */
    const char *culprit; /* the key that a fault is about, when it is about one; else NULL */
    /* Each member of the table by its field: raw; but `method` is without its quotes. */
#define JSONRPC_PLACE(id, level, key, field, child) struct text field;
#include "proto/jsonrpc_place.def"
#undef JSONRPC_PLACE
};

/* Scans one message. JSON_SCAN_FAST is for messages that are passed on to somebody who parses them,
 * JSON_SCAN_STRICT wherever something is decided or answered by what is found. On a fault *ret has kind
 * JSONRPC_NONE and the id, when one was seen before the fault, so that an error can name it. Of two faults
 * the one that makes it no JSON is reported. */
enum jsonrpc_fault jsonrpc_scan(struct text message, enum json_mode mode, struct jsonrpc_envelope *ret);

/* Where a member lies, in bytes from the message's beginning. */
struct jsonrpc_spot {
    uint32_t key;    /* its key's opening quote */
    uint32_t value;  /* the first byte of its value */
    uint32_t end;    /* behind its value */
    uint32_t before; /* the comma before its key, or its object's opening brace */
    uint32_t next;   /* the next member's key; 0: it is the last one */
    uint8_t kind;    /* enum json_kind of the value, by its first byte */
};

/* What edits start from. */
struct jsonrpc_places {
    uint64_t found;      /* bit n: at[n] is set; the rest of at[] is not */
    uint32_t size;       /* of the message */
    uint16_t members[5]; /* of the objects that were looked into; private to the edits */
    struct jsonrpc_spot at[JSONRPC_PLACES];
};

enum { JSONRPC_CARRY = 4096 };

/* The same for a message in `count` pieces, cut anywhere, together less than 2^32 bytes; the result does not
 * depend on the cuts. A member that lies in one piece is a span of it. Of those that are cut, strings,
 * numbers and literals are put together in `carry`, which must live as long as *ret and may be NULL for one
 * piece; objects, arrays and what carry has no room for are left out of *ret as if absent: they are found by
 * *ret_places. ret_places may be NULL. */
enum jsonrpc_fault jsonrpc_scan_pieces(const struct text *pieces, unsigned count, enum json_mode mode,
                                       struct jsonrpc_envelope *ret, struct jsonrpc_places *ret_places,
                                       char carry[JSONRPC_CARRY]);

/* Takes the next message off a batch; *rest starts as the whole text that jsonrpc_scan() called
 * JSONRPC_BATCH. Each is scanned by itself; a fault is one message's. */
bool jsonrpc_next_message(struct text *rest, struct text *ret_message);

/* The scan has twins, of which the first one picks the fastest that the processor has. This picks another,
 * for tests and measurements; false: the processor does not have it. */
enum jsonrpc_twin { JSONRPC_PORTABLE, JSONRPC_AVX2, JSONRPC_TWINS };
bool jsonrpc_use_twin(enum jsonrpc_twin twin);

int jsonrpc_fault_code(enum jsonrpc_fault fault);         /* -32700 or -32600 */
const char *jsonrpc_fault_text(enum jsonrpc_fault fault); /* one line */

/* --- edits --- */

/* Puts `with` in the place of `old`, which lies within the message; old.len 0: inserts before old.at. */
struct jsonrpc_edit {
    struct text old, with;
};

/* The length of the message after the edits. */
uint32_t jsonrpc_edited_size(struct text message, const struct jsonrpc_edit *edits, unsigned count);

/* Writes the message with all edits made; they are in the order of their places and do not overlap. Returns
 * the length, or 0 when it does not fit out[size]. */
uint32_t jsonrpc_edit_write(struct text message, const struct jsonrpc_edit *edits, unsigned count, char *out,
                            uint32_t size);

/* The same without a copy: writes the pieces that the edited message consists of, in order and none of them
 * empty, to out[max]; at most 2 * count + 1. Returns their number, or 0 when they do not fit (or nothing is
 * left). They point into the message and the edits. */
unsigned jsonrpc_edit_pieces(struct text message, const struct jsonrpc_edit *edits, unsigned count,
                             struct text *out, unsigned max);

#endif
