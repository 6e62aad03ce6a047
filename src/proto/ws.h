/* SPDX-License-Identifier: Apache-2.0 */
/*
 * WebSocket frames (RFC 6455 section 5), both directions. Pure: bytes in, events out. Payload is unmasked
 * where it lies and never copied, but for control frames, which are gathered (at most 125 bytes).
 *
 *      bytes  --ws_parser_next()-->  a piece of a message | ping | pong | close
 *      ws_write_head() + payload (ws_mask()ed by clients)  -->  a frame
 *
 * A message may come in any number of frames, and a frame in any number of pieces: a message that is relayed
 * needs no room. Text is checked for UTF-8 as it comes (section 8.1), unless it is compressed: then who
 * inflates it checks it (utf8.h). The handshake is HTTP's.
 */
#ifndef PROTO_WS_H
#define PROTO_WS_H

#include "base/text.h"
#include "proto/parse.h"
#include "proto/utf8.h"

enum ws_opcode { WS_CONTINUATION, WS_TEXT, WS_BINARY, WS_CLOSE = 8, WS_PING, WS_PONG };

/* Close codes (section 7.4.1, and the registry that it founds). */
enum {
    WS_CLOSE_NORMAL = 1000,
    WS_CLOSE_GOING_AWAY = 1001,
    WS_CLOSE_PROTOCOL = 1002,
    WS_CLOSE_UNSUPPORTED = 1003,
    WS_CLOSE_NO_STATUS = 1005, /* never sent: the frame had no code */
    WS_CLOSE_ABNORMAL = 1006,  /* never sent: there was no frame */
    WS_CLOSE_INVALID = 1007,
    WS_CLOSE_POLICY = 1008,
    WS_CLOSE_TOO_BIG = 1009,
    WS_CLOSE_INTERNAL = 1011,
    WS_CLOSE_RESTART = 1012,
    WS_CLOSE_LATER = 1013,
    WS_CLOSE_BAD_GATEWAY = 1014,
};

enum { WS_HEAD_MAX = 14, WS_CONTROL_MAX = 125, WS_REASON_MAX = WS_CONTROL_MAX - 2 };

/* Name, close code, text. */
#define WS_FAULTS                                                                                            \
    WS_FAULT(FINE, 0, "no fault")                                                                            \
    WS_FAULT(RESERVED_BIT, WS_CLOSE_PROTOCOL, "a reserved bit is set that no extension gave a meaning")      \
    WS_FAULT(OPCODE, WS_CLOSE_PROTOCOL, "the opcode is not known")                                           \
    WS_FAULT(UNMASKED, WS_CLOSE_PROTOCOL, "a client's frame is not masked")                                  \
    WS_FAULT(MASKED, WS_CLOSE_PROTOCOL, "a server's frame is masked")                                        \
    WS_FAULT(LENGTH, WS_CLOSE_PROTOCOL,                                                                      \
             "the length is not in its shortest form, or has its highest bit set")                           \
    WS_FAULT(CONTROL_LENGTH, WS_CLOSE_PROTOCOL, "a control frame has more than 125 bytes")                   \
    WS_FAULT(CONTROL_FRAGMENT, WS_CLOSE_PROTOCOL, "a control frame is fragmented")                           \
    WS_FAULT(NO_MESSAGE, WS_CLOSE_PROTOCOL, "a continuation of no message")                                  \
    WS_FAULT(IN_MESSAGE, WS_CLOSE_PROTOCOL, "a message begins within another one")                           \
    WS_FAULT(CLOSE_CODE, WS_CLOSE_PROTOCOL, "the close code is cut short, or not one that may be sent")      \
    WS_FAULT(CLOSE_REASON, WS_CLOSE_INVALID, "the close reason is not UTF-8")                                \
    WS_FAULT(TEXT, WS_CLOSE_INVALID, "a text message is not UTF-8")                                          \
    WS_FAULT(TOO_BIG, WS_CLOSE_TOO_BIG, "the message is larger than it may be")

enum ws_fault {
#define WS_FAULT(name, code, text) WS_FAULT_##name,
    WS_FAULTS
#undef WS_FAULT
        WS_FAULT_COUNT
};

unsigned ws_fault_code(enum ws_fault fault); /* to close with */
const char *ws_fault_text(enum ws_fault fault);

struct ws_event {
    uint8_t opcode;     /* enum ws_opcode; never WS_CONTINUATION: that of its message */
    bool begins, ends;  /* of a message: it does with this piece */
    bool frame_begins;  /* of a message's frame; frame_len is its length then */
    bool is_compressed; /* of a message: RSV1 (RFC 7692 section 6) */
    uint16_t code;      /* of a close */
    uint64_t frame_len;
    struct text payload; /* unmasked; of a close: its reason. Valid until the next call, or as long as `at` */
};

struct ws_parser {
    bool from_client;   /* what comes must be masked; else it must not be */
    bool may_compress;  /* permessage-deflate was agreed upon */
    bool only_looks;    /* set after ws_parser_init(): payload stays masked and text unchecked, nothing is written; with
                           an extension, whichever, the reserved bits are the peers' */
    uint64_t max_bytes; /* of a message, as it is on the wire; 0: any */
    uint8_t fault;      /* enum ws_fault, after PARSE_BAD */
    /* private from here */
    uint8_t head_len, control_len, opcode, message; /* message: the opcode of the one in progress, or 0 */
    bool in_frame, fin, compressed, begins, frame_begins, closed;
    uint8_t head[WS_HEAD_MAX], mask[4];
    uint32_t mask_at;
    uint64_t frame_len, left, message_bytes;
    struct utf8_check text;
    char control[WS_CONTROL_MAX];
};

void ws_parser_init(struct ws_parser *parser, bool from_client, bool may_compress, uint64_t max_bytes);

/* Parses up to the end of one event. PARSE_OK: *ret_event is filled in; call again with what follows
 * *ret_used. PARSE_MORE: all bytes are used. PARSE_BAD: parser->fault says why; nothing more is parsed.
 * Behind a close frame nothing is: it is the last event, what follows is used and void (section 5.5.1).
 * Writes to at[], unless it only looks. */
enum parse_result ws_parser_next(struct ws_parser *parser, char *at, uint32_t len, uint32_t *ret_used,
                                 struct ws_event *ret_event);

/* Nothing of a frame has come that is not whole. */
static inline bool
ws_parser_is_between(const struct ws_parser *parser)
{
    return !parser->in_frame && !parser->head_len;
}

/* Writes the head of a frame with `len` bytes of payload. `mask`: 4 bytes, of a client; NULL: a server's. */
uint32_t ws_write_head(uint8_t out[WS_HEAD_MAX], enum ws_opcode opcode, bool fin, bool compressed,
                       uint64_t len, const uint8_t *mask);

/* Writes a whole control frame, unmasked: out has room for 2 + WS_CONTROL_MAX. `payload` is cut to fit. */
uint32_t ws_write_control(uint8_t *out, enum ws_opcode opcode, struct text payload);
/* The same of a close; a reason is cut between characters. WS_CLOSE_NO_STATUS: without a code. */
uint32_t ws_write_close(uint8_t *out, unsigned code, struct text reason);

/* Whether a close frame may carry this code. */
bool ws_close_code_is_valid(unsigned code);

/* Masks or unmasks: at[i] ^= mask[(from + i) % 4]. */
void ws_mask(char *at, size_t len, const uint8_t mask[4], uint32_t from);

#endif
