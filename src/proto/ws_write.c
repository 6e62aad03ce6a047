/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/ws.h"

uint32_t
ws_write_head(uint8_t out[WS_HEAD_MAX], enum ws_opcode opcode, bool fin, bool compressed, uint64_t len,
              const uint8_t *mask)
{
    unsigned bytes = len < 126 ? 0 : len <= UINT16_MAX ? 2 : 8;
    uint32_t n = 2;

    out[0] = (uint8_t)((fin ? 0x80 : 0) | (compressed ? 0x40 : 0) | (unsigned)opcode);
    out[1] = (uint8_t)((mask ? 0x80 : 0) | (bytes == 0 ? len : bytes == 2 ? 126 : 127));
    while (bytes--)
        out[n++] = (uint8_t)(len >> 8 * bytes);
    if (mask)
        memcpy(out + n, mask, 4);
    return mask ? n + 4 : n;
}

uint32_t
ws_write_control(uint8_t *out, enum ws_opcode opcode, struct text payload)
{
    uint32_t n = payload.len < WS_CONTROL_MAX ? payload.len : WS_CONTROL_MAX, head;

    head = ws_write_head(out, opcode, true, false, n, NULL);
    if (n)
        memcpy(out + head, payload.at, n);
    return head + n;
}

uint32_t
ws_write_close(uint8_t *out, unsigned code, struct text reason)
{
    char payload[WS_CONTROL_MAX] = {(char)(code >> 8), (char)code};
    uint32_t n = 0;

    if (code == WS_CLOSE_NO_STATUS)
        return ws_write_control(out, WS_CLOSE, (struct text){NULL, 0});
    while (n < reason.len) {
        unsigned step = utf8_length(reason.at + n, reason.at + reason.len);

        if (!step || n + step > WS_REASON_MAX)
            break;
        memcpy(payload + 2 + n, reason.at + n, step);
        n += step;
    }
    return ws_write_control(out, WS_CLOSE, (struct text){payload, 2 + n});
}

bool
ws_close_code_is_valid(unsigned code)
{
    return (code >= WS_CLOSE_NORMAL && code <= WS_CLOSE_UNSUPPORTED) ||
           (code >= WS_CLOSE_INVALID && code <= WS_CLOSE_BAD_GATEWAY) || (code >= 3000 && code <= 4999);
}
