/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/ws.h"

enum {
    HEAD_FIN = 0x80,
    HEAD_RSV1 = 0x40,
    HEAD_RSV = 0x70,
    HEAD_OPCODE = 0x0f,
    HEAD_MASK = 0x80,
    HEAD_LENGTH = 0x7f
};

static const struct {
    unsigned code;
    const char *text;
} faults[] = {
#define WS_FAULT(name, code, text) {code, text},
    WS_FAULTS
#undef WS_FAULT
};

unsigned
ws_fault_code(enum ws_fault fault)
{
    return faults[fault].code;
}

const char *
ws_fault_text(enum ws_fault fault)
{
    return faults[fault].text;
}

void
ws_parser_init(struct ws_parser *parser, bool from_client, bool may_compress, uint64_t max_bytes)
{
    memset(parser, 0, sizeof *parser);
    parser->from_client = from_client;
    parser->may_compress = may_compress;
    parser->max_bytes = max_bytes;
}

static bool
is_control(unsigned opcode)
{
    return opcode & 8;
}

/* --- heads --- */

/* How long the head is, as far as its first bytes tell. */
static unsigned
head_size(const struct ws_parser *p)
{
    unsigned length, size = 2;

    if (p->head_len < 2)
        return 2;
    length = p->head[1] & HEAD_LENGTH;
    size += length == 126 ? 2 : length == 127 ? 8 : 0;
    return size + (p->head[1] & HEAD_MASK ? 4 : 0);
}

/* The first two bytes are here: what is wrong with them need not wait for the rest. */
static enum ws_fault
judge_start(const struct ws_parser *p)
{
    unsigned opcode = p->head[0] & HEAD_OPCODE, length = p->head[1] & HEAD_LENGTH;
    unsigned reserved = p->head[0] & HEAD_RSV;

    if (opcode > WS_PONG || (opcode > WS_BINARY && opcode < WS_CLOSE))
        return WS_FAULT_OPCODE;
    /* RFC 7692 section 6: the bit is the first frame's of a message. */
    if (reserved && !(p->only_looks && p->may_compress) &&
        (reserved != HEAD_RSV1 || !p->may_compress || is_control(opcode) || opcode == WS_CONTINUATION))
        return WS_FAULT_RESERVED_BIT;
    if (!(p->head[1] & HEAD_MASK) == p->from_client)
        return p->from_client ? WS_FAULT_UNMASKED : WS_FAULT_MASKED;
    if (is_control(opcode) && !(p->head[0] & HEAD_FIN))
        return WS_FAULT_CONTROL_FRAGMENT;
    if (is_control(opcode) && length > WS_CONTROL_MAX)
        return WS_FAULT_CONTROL_LENGTH;
    if (opcode == WS_CONTINUATION && !p->message)
        return WS_FAULT_NO_MESSAGE;
    if (!is_control(opcode) && opcode != WS_CONTINUATION && p->message)
        return WS_FAULT_IN_MESSAGE;
    return WS_FAULT_FINE;
}

static enum ws_fault
read_length(struct ws_parser *p)
{
    unsigned length = p->head[1] & HEAD_LENGTH, bytes = length == 126 ? 2 : length == 127 ? 8 : 0;
    uint64_t n = bytes ? 0 : length;

    for (unsigned i = 0; i < bytes; i++)
        n = n << 8 | p->head[2 + i];
    if ((bytes == 2 && n < 126) || (bytes == 8 && n <= UINT16_MAX) || n >> 63)
        return WS_FAULT_LENGTH;
    p->frame_len = p->left = n;
    if (p->head[1] & HEAD_MASK)
        memcpy(p->mask, p->head + 2 + bytes, sizeof p->mask);
    return WS_FAULT_FINE;
}

/* The head is whole. */
static enum ws_fault
begin_frame(struct ws_parser *p)
{
    enum ws_fault fault = read_length(p);

    if (fault != WS_FAULT_FINE)
        return fault;
    p->opcode = p->head[0] & HEAD_OPCODE;
    p->fin = p->head[0] & HEAD_FIN;
    p->mask_at = 0;
    p->in_frame = true;
    p->head_len = 0;
    if (is_control(p->opcode)) {
        p->control_len = 0;
        return WS_FAULT_FINE;
    }
    p->frame_begins = true;
    if (p->opcode != WS_CONTINUATION) {
        p->message = p->opcode;
        p->compressed = p->head[0] & HEAD_RSV1;
        p->begins = true;
        p->message_bytes = 0;
        p->text = (struct utf8_check){0};
    }
    if (p->max_bytes && p->frame_len > p->max_bytes - p->message_bytes)
        return WS_FAULT_TOO_BIG;
    p->message_bytes += p->frame_len;
    return WS_FAULT_FINE;
}

/* Returns how many bytes it took. */
static uint32_t
read_head(struct ws_parser *p, const char *at, uint32_t len)
{
    uint32_t used = 0;

    while (used < len && !p->in_frame && p->fault == WS_FAULT_FINE) {
        p->head[p->head_len++] = (uint8_t)at[used++];
        if (p->head_len == 2)
            p->fault = (uint8_t)judge_start(p);
        if (p->fault == WS_FAULT_FINE && p->head_len >= 2 && p->head_len == head_size(p))
            p->fault = (uint8_t)begin_frame(p);
    }
    return used;
}

/* --- payload --- */

static void
unmask(struct ws_parser *p, char *at, uint32_t len)
{
    if (p->from_client)
        ws_mask(at, len, p->mask, p->mask_at);
    p->mask_at = (p->mask_at + len) & 3;
}

static enum ws_fault
read_close(struct ws_parser *p, struct ws_event *e)
{
    e->code = WS_CLOSE_NO_STATUS;
    p->closed = true;
    if (!p->control_len)
        return WS_FAULT_FINE;
    if (p->control_len == 1)
        return WS_FAULT_CLOSE_CODE;
    e->code = (uint16_t)((uint8_t)p->control[0] << 8 | (uint8_t)p->control[1]);
    if (!ws_close_code_is_valid(e->code))
        return WS_FAULT_CLOSE_CODE;
    e->payload = (struct text){p->control + 2, p->control_len - 2u};
    if (!utf8_is_text(e->payload.at, e->payload.len))
        return WS_FAULT_CLOSE_REASON;
    return WS_FAULT_FINE;
}

/* Gathers a control frame; *ret_whole: it is an event. */
static uint32_t
read_control(struct ws_parser *p, const char *at, uint32_t len, struct ws_event *e, bool *ret_whole)
{
    uint32_t n = p->left < len ? (uint32_t)p->left : len;

    if (n)
        memcpy(p->control + p->control_len, at, n);
    unmask(p, p->control + p->control_len, n);
    p->control_len = (uint8_t)(p->control_len + n);
    p->left -= n;
    *ret_whole = !p->left;
    if (p->left)
        return n;
    p->in_frame = false;
    *e = (struct ws_event){.opcode = p->opcode, .payload = {p->control, p->control_len}};
    if (p->opcode == WS_CLOSE)
        p->fault = (uint8_t)read_close(p, e);
    return n;
}

static uint32_t
read_data(struct ws_parser *p, char *at, uint32_t len, struct ws_event *e)
{
    uint32_t n = p->left < len ? (uint32_t)p->left : len;
    bool is_plain_text = p->message == WS_TEXT && !p->compressed && !p->only_looks;

    if (!p->only_looks)
        unmask(p, at, n);
    p->left -= n;
    *e = (struct ws_event){.opcode = p->message,
                           .begins = p->begins,
                           .frame_begins = p->frame_begins,
                           .frame_len = p->frame_len,
                           .is_compressed = p->compressed,
                           .ends = p->fin && !p->left,
                           .payload = {at, n}};
    p->begins = p->frame_begins = false;
    if (is_plain_text && (!utf8_check_piece(&p->text, at, n) || (e->ends && !utf8_check_is_whole(&p->text))))
        p->fault = WS_FAULT_TEXT;
    p->in_frame = p->left != 0;
    if (e->ends)
        p->message = 0;
    return n;
}

enum parse_result
ws_parser_next(struct ws_parser *p, char *at, uint32_t len, uint32_t *ret_used, struct ws_event *ret_event)
{
    uint32_t used = 0;
    bool whole = false;

    *ret_used = len;
    if (p->closed && p->fault == WS_FAULT_FINE)
        return PARSE_MORE;
    while (p->fault == WS_FAULT_FINE && !whole) {
        if (!p->in_frame)
            used += read_head(p, at + used, len - used);
        if (p->fault != WS_FAULT_FINE)
            break;
        /* An empty frame is an event without a byte of its own. */
        if (!p->in_frame || (used == len && p->left))
            return PARSE_MORE;
        if (is_control(p->opcode)) {
            used += read_control(p, at + used, len - used, ret_event, &whole);
        } else {
            used += read_data(p, at + used, len - used, ret_event);
            whole = true;
        }
    }
    *ret_used = used;
    return p->fault == WS_FAULT_FINE ? PARSE_OK : PARSE_BAD;
}
