/* SPDX-License-Identifier: Apache-2.0 */
#include "mcp/bridge_batch.h"

int
bridge_batch_requests(struct text message, const char **ret_why)
{
    int owed = 0, calls = 0, replies = 0;
    struct jsonrpc_envelope env;
    struct text element;

    while (jsonrpc_next_message(&message, &element)) {
        enum jsonrpc_fault fault = jsonrpc_scan(element, JSON_SCAN_STRICT, &env);
        bool is_reply = env.kind == JSONRPC_RESPONSE || env.kind == JSONRPC_ERROR;

        if (env.kind == JSONRPC_REQUEST && mcp_method_of(env.method) == MCP_INITIALIZE) {
            *ret_why = "Invalid Request: initialize must not be part of a batch";
            return -1;
        }
        replies += is_reply;
        calls += env.kind == JSONRPC_REQUEST || env.kind == JSONRPC_NOTIFICATION;
        owed += fault != JSONRPC_FAULT_FINE || env.kind == JSONRPC_REQUEST || env.kind == JSONRPC_BATCH;
    }
    if (calls && replies) {
        *ret_why = "Invalid Request: a batch has requests and notifications, or replies, not both";
        return -1;
    }
    return owed;
}
