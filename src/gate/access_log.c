/* SPDX-License-Identifier: Apache-2.0 */
#include "gate/access_log.h"

#include "base/log.h"

#include <stdio.h>

static const char *const method_names[METHODS] = {"GET",    "HEAD",    "POST",  "PUT",
                                                  "DELETE", "OPTIONS", "PATCH", "OTHER"};

void
access_log(const struct exchange *ex, enum close_reason reason)
{
    uint64_t now = ring_now(ex->worker->ring);
    struct text up = ex->upstream ? ex->upstream->name : TEXT("-");
    struct text mcp = ex->is_mcp ? mcp_method_name((enum mcp_method)ex->mcp) : TEXT("-");
    char line[512];
    int n =
        snprintf(line, sizeof line,
                 "%s %u upstream=%.*s mcp=%.*s in=%llu out=%llu events=%u first_us=%llu total_us=%llu end=%s",
                 method_names[ex->method], ex->status, (int)up.len, up.at, (int)mcp.len, mcp.at,
                 (unsigned long long)ex->body_bytes, (unsigned long long)ex->reply_bytes, ex->events,
                 (unsigned long long)(ex->first_ns ? (ex->first_ns - ex->begun_ns) / 1000 : 0),
                 (unsigned long long)((now - ex->begun_ns) / 1000), close_reason_info(reason)->name);

    log_put(LOG_ACCESS, line, n < (int)sizeof line ? (uint32_t)n : sizeof line - 1);
}
