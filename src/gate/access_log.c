/* SPDX-License-Identifier: Apache-2.0 */
#include "gate/access_log.h"

#include "base/log.h"
#include "gate/heads.h"
#include "proto/json.h"

#include <inttypes.h>
#include <stdio.h>

enum { PATH_SHOWN = 256 };

static const char *const method_names[METHODS] = {"GET",    "HEAD",    "POST",  "PUT",
                                                  "DELETE", "OPTIONS", "PATCH", "OTHER"};

/* The same values in both forms. The target holds no bytes outside 0x21..0x7e (proto/http1.h), a client's
 * X-Request-Id may; they, quotes and backslashes are shown as '_'. */
static const char text_form[] = "%s \"%s %s\" %u id=%s upstream=%.*s mcp=%.*s in=%" PRIu64 " out=%" PRIu64
                                " events=%u first_us=%" PRIu64 " total_us=%" PRIu64 " end=%s";
static const char json_form[] =
    "{\"client\":\"%s\",\"method\":\"%s\",\"target\":\"%s\",\"status\":%u,\"request_id\":\"%s\",\"upstream\":"
    "\"%.*s\","
    "\"mcp_method\":\"%.*s\",\"in\":%" PRIu64 ",\"out\":%" PRIu64 ",\"events\":%u,"
    "\"first_us\":%" PRIu64 ",\"total_us\":%" PRIu64 ",\"end\":\"%s\"}";

static void
show(struct text from, char *out)
{
    for (uint32_t i = 0; i < from.len; i++) {
        char c = from.at[i];

        out[i] = c <= 0x20 || c > 0x7e || c == '"' || c == '\\' ? '_' : c;
    }
    out[from.len] = '\0';
}

static void
show_path(const struct exchange *ex, char out[PATH_SHOWN + 1])
{
    uint32_t n = ex->path.len < PATH_SHOWN ? ex->path.len : PATH_SHOWN;

    show((struct text){n ? (const char *)span_data(ex->path) : NULL, n}, out);
}

/* The client's own, else ours: what the upstream was told. */
static void
show_request_id(const struct exchange *ex, char out[REQUEST_ID_SHOWN + 1])
{
    char made[REQUEST_ID_BYTES];

    if (ex->given_id_len) {
        show((struct text){(const char *)span_data(ex->path) + ex->path.len, ex->given_id_len}, out);
        return;
    }
    exchange_request_id(ex, made);
    show((struct text){made, sizeof made}, out);
}

void
access_log(const struct exchange *ex, enum close_reason reason)
{
    uint64_t now = ring_now(ex->worker->ring);
    struct text up = ex->upstream ? ex->upstream->name : TEXT("-");
    struct text mcp = ex->is_mcp ? mcp_method_name((enum mcp_method)ex->mcp) : TEXT("-");
    char line[LOG_LINE_MAX], path[PATH_SHOWN + 1], id[REQUEST_ID_SHOWN + 1], ip[HEADS_IP_MAX] = "-";
    int n;

    show_path(ex, path);
    show_request_id(ex, id);
    if (ex->client)
        heads_format_ip(&client_of(ex->client)->peer, ip);
    n = snprintf(line, sizeof line, ex->worker->config->log_format == LOG_JSON ? json_form : text_form, ip,
                 method_names[ex->method], path, ex->status, id, (int)up.len, up.at, (int)mcp.len, mcp.at,
                 ex->body_bytes, ex->reply_bytes, ex->events,
                 ex->first_ns ? (ex->first_ns - ex->begun_ns) / 1000 : 0, (now - ex->begun_ns) / 1000,
                 close_reason_info(reason)->name);
    log_put(LOG_ACCESS, line, n < (int)sizeof line ? (uint32_t)n : sizeof line - 1);
}
