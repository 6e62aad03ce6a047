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
                                " events=%u last_id=%s first_us=%" PRIu64 " total_us=%" PRIu64 " end=%s";
static const char json_form[] =
    "{\"client\":\"%s\",\"method\":\"%s\",\"target\":\"%s\",\"status\":%u,\"request_id\":\"%s\",\"upstream\":"
    "\"%.*s\","
    "\"mcp_method\":\"%.*s\",\"in\":%" PRIu64 ",\"out\":%" PRIu64 ",\"events\":%u,\"last_event_id\":\"%s\","
    "\"first_us\":%" PRIu64 ",\"total_us\":%" PRIu64 ",\"end\":\"%s\"}";

void
access_log_show(struct text from, char *out, size_t size)
{
    uint32_t n = from.len < size ? from.len : (uint32_t)size - 1;

    for (uint32_t i = 0; i < n; i++) {
        char c = from.at[i];

        out[i] = c <= 0x20 || c > 0x7e || c == '"' || c == '\\' ? '_' : c;
    }
    out[n] = '\0';
}

static void
show_path(const struct exchange *ex, char out[PATH_SHOWN + 1])
{
    uint32_t n = ex->path.len < PATH_SHOWN ? ex->path.len : PATH_SHOWN;

    access_log_show((struct text){n ? (const char *)span_data(ex->path) : NULL, n}, out, PATH_SHOWN + 1);
}

/* The client's own, else ours: what the upstream was told. */
static void
show_request_id(const struct exchange *ex, char out[REQUEST_ID_SHOWN + 1])
{
    char made[REQUEST_ID_BYTES];

    if (ex->given_id_len) {
        access_log_show((struct text){(const char *)span_data(ex->path) + ex->path.len, ex->given_id_len},
                        out, REQUEST_ID_SHOWN + 1);
        return;
    }
    exchange_request_id(ex, made);
    access_log_show((struct text){made, sizeof made}, out, REQUEST_ID_SHOWN + 1);
}

void
access_log(const struct exchange *ex, enum close_reason reason)
{
    uint64_t now = ring_now(ex->worker->ring);
    struct text asked = exchange_asked(ex), up = asked.len ? asked : TEXT("-");
    struct text mcp = ex->is_mcp ? mcp_method_name((enum mcp_method)ex->mcp) : TEXT("-");
    struct text last = exchange_last_event_id(ex);
    bool json = ex->worker->config->log_format == LOG_JSON;
    char last_id[SSE_ID_MAX + 1];
    char line[LOG_LINE_MAX], path[PATH_SHOWN + 1], id[REQUEST_ID_SHOWN + 1], ip[HEADS_IP_MAX] = "-";
    int n;

    show_path(ex, path);
    show_request_id(ex, id);
    access_log_show(last.len || json ? last : TEXT("-"), last_id, sizeof last_id);
    if (ex->client)
        heads_format_ip(&client_of(ex->client)->peer, ip);
    n = snprintf(line, sizeof line, json ? json_form : text_form, ip, method_names[ex->method], path,
                 ex->status, id, (int)up.len, up.at, (int)mcp.len, mcp.at, ex->body_bytes, ex->reply_bytes,
                 ex->events, last_id, ex->first_ns ? (ex->first_ns - ex->begun_ns) / 1000 : 0,
                 (now - ex->begun_ns) / 1000, close_reason_info(reason)->name);
    log_put(LOG_ACCESS, line, n < (int)sizeof line ? (uint32_t)n : sizeof line - 1);
}
