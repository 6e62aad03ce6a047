/* SPDX-License-Identifier: Apache-2.0 */
#include "mcp/remap.h"

unsigned
remap_request(const struct jsonrpc_envelope *env, struct text number,
              struct jsonrpc_edit edits[REMAP_EDITS_MAX])
{
    struct jsonrpc_edit id = {env->id, number}, token = {env->meta_progress_token, number};

    if (!token.old.len) {
        edits[0] = id;
        return 1;
    }
    edits[0] = id.old.at < token.old.at ? id : token;
    edits[1] = id.old.at < token.old.at ? token : id;
    return 2;
}

struct jsonrpc_edit
remap_cancelled(const struct jsonrpc_envelope *env, struct text number)
{
    return (struct jsonrpc_edit){env->request_id, number};
}

bool
remap_find(const struct jsonrpc_envelope *env, uint64_t *ret_number, struct text *ret_place)
{
    struct text place = env->id;
    int64_t number;

    if (env->kind == JSONRPC_NOTIFICATION) {
        place = env->progress_token;
        if (!place.len)
            place = json_find(env->meta, TEXT("io.modelcontextprotocol/subscriptionId"));
    } else if (env->kind != JSONRPC_RESPONSE && env->kind != JSONRPC_ERROR) {
        return false;
    }
    if (json_kind_of(place) != JSON_IS_NUMBER || !json_read_integer(place, &number) || number <= 0)
        return false;
    *ret_number = (uint64_t)number;
    *ret_place = place;
    return true;
}
