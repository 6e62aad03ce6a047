/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Edits of a message by its members: what is to become of each, made into the splices of jsonrpc.h. There is
 * no tree; commas are looked after.
 *
 *      jsonrpc_scan_pieces(&message, 1, JSON_SCAN_STRICT, &env, &places, NULL)
 *      jsonrpc_patch_begin(&p, message, &places);
 *      jsonrpc_patch_set(&p, JSONRPC_AT_ID, TEXT("17"));
 *      jsonrpc_patch_remove(&p, JSONRPC_AT_RESULT_TTL);
 *      count = jsonrpc_patch_end(&p);
 *      jsonrpc_edit_pieces(message, p.edits, count, out, max);
 *
 * The message and all new text are borrowed until the pieces are used. The message passed the strict scan.
 */
#ifndef PROTO_JSONRPC_PATCH_H
#define PROTO_JSONRPC_PATCH_H

#include "proto/jsonrpc.h"

enum { JSONRPC_PATCH_MAX = 64, JSONRPC_PATCH_ADDS_MAX = 12 };

/* In the place of an object's place: the message itself. */
#define JSONRPC_AT_MESSAGE JSONRPC_PLACES

struct jsonrpc_patch {
    struct text message;
    const struct jsonrpc_places *places;
    uint64_t removed;
    unsigned add_count, count;
    bool full; /* more edits than there is room for, or an object that is not there */
    struct jsonrpc_add {
        uint8_t object;
        struct text key, value;
    } adds[JSONRPC_PATCH_ADDS_MAX];
    struct jsonrpc_edit edits[JSONRPC_PATCH_MAX]; /* in order after jsonrpc_patch_end() */
};

void jsonrpc_patch_begin(struct jsonrpc_patch *p, struct text message, const struct jsonrpc_places *places);

/* A new value (raw JSON) for a member that the message has, or a new member of the object that the table puts
 * it in. That object must be there. */
void jsonrpc_patch_set(struct jsonrpc_patch *p, enum jsonrpc_place place, struct text value);

/* Takes the member away; nothing happens when there is none. A member is either set or removed, once. */
void jsonrpc_patch_remove(struct jsonrpc_patch *p, enum jsonrpc_place place);

/* A new member of one of the objects that are looked into: JSONRPC_AT_MESSAGE, PARAMS, META, RESULT, ERROR.
 * `key` needs no escapes and is not there yet (but for one that is removed). New members come first, in the
 * order of the calls. */
void jsonrpc_patch_add(struct jsonrpc_patch *p, unsigned object, struct text key, struct text value);

/* Puts text around a member's value: {"result": and } make an object of it. */
void jsonrpc_patch_wrap(struct jsonrpc_patch *p, enum jsonrpc_place place, struct text before,
                        struct text after);

/* Puts the edits in order; returns their number, or -1 when there were too many or an object was missing. */
int jsonrpc_patch_end(struct jsonrpc_patch *p);

#endif
