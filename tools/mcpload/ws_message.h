/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What `mcpload ws` sends, and what comes back. A message tells when it was sent, so that what comes back
 * needs no table; where it is JSON-RPC, its id does. Pure.
 *
 *     {"ns":"01234567890123456","pad":"xxx..."}
 *
 *     {"jsonrpc":"2.0","id":"01234567890123456-0000000042-1","method":"tools/call","params":{"name":"echo",...
 *                            sent               number     class
 */
#ifndef MCPLOAD_WS_MESSAGE_H
#define MCPLOAD_WS_MESSAGE_H

#include "bytes.h"
#include "stamp.h"
#include "tally.h"

enum ws_form {
    WS_FORM_PLAIN, /* has no class */
    WS_FORM_CALL,  /* tools/call of the tool echo */
    WS_FORM_PING,  /* ping, which for a gateway is critical; its padding is in _meta */
    WS_FORMS
};

/* A message whose digits are written anew for each one that is sent. */
struct ws_message {
    struct bytes text;
    size_t stamp_at, number_at; /* number_at 0: it has none */
};

/* Where a message that came back stems from. */
struct ws_origin {
    uint64_t sent_ns;
    enum priority priority;
};

enum { WS_PLAIN_LOOK = 24 }; /* so much of a plain message is looked at */

/* Fills *ret, zeroed by the caller, whose it is: `size` bytes, or as many as the form needs at least. */
void ws_message_build(enum ws_form form, enum priority priority, uint64_t size, struct ws_message *ret);
void ws_message_stamp(struct ws_message *message, uint64_t sent_ns, uint32_t number);

/* Looks at what came: ERROR_NONE with *ret when it is the message itself or the result of its call;
 * ERROR_JSONRPC and ERROR_TOOL, with *ret too, when the call failed; else what is wrong. *ret_other: it is a
 * message of the server's own that answers nothing. */
enum error_kind ws_message_read(enum ws_form form, struct text message, struct ws_origin *ret,
                                bool *ret_other);

#endif
