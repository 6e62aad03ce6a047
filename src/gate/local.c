/* SPDX-License-Identifier: Apache-2.0 */
#include "gate/local.h"

#include "gate/compress.h"
#include "gate/heads.h"
#include "gate/secure.h"

#include <stdio.h>

enum { PIECE_BYTES = 16 << 10 };

static void
ignore_body(struct exchange *ex, const struct h1_body *body)
{
    (void)ex, (void)body;
}

static void
ignore_trailers(struct exchange *ex, struct text section)
{
    (void)ex, (void)section;
}

static void
ignore(struct exchange *ex)
{
    (void)ex;
}

static void
client_gone(struct exchange *ex, enum close_reason reason)
{
    exchange_finish(ex, reason);
}

static void
tick(struct exchange *ex)
{
    exchange_check_limits(ex);
}

static void
stop(struct exchange *ex, bool at_once)
{
    if (at_once)
        exchange_fail(ex, CLOSE_DRAIN);
}

const struct plan local_plan = {
    .name = "local",
    .body = ignore_body,
    .trailers = ignore_trailers,
    .end = ignore,
    .writable = ignore,
    .client_gone = client_gone,
    .tick = tick,
    .stop = stop,
};

bool
local_send_copy(struct h1 *to, struct slab *slab, const char *body, uint32_t len)
{
    while (len) {
        uint32_t n = len < PIECE_BYTES ? len : PIECE_BYTES;
        struct buf *b = slab_get(slab, n);

        if (!b)
            return false;
        memcpy(b->data, body, n);
        h1_send_piece(to, span_of(b, 0, n));
        buf_unref(b);
        body += n;
        len -= n;
    }
    return true;
}

static bool
send_pieces(struct exchange *ex, const struct text *pieces, unsigned count)
{
    bool ok = true;

    for (unsigned i = 0; i < count && ok && ex->method != METHOD_HEAD; i++)
        ok = local_send_copy(ex->client, &ex->worker->slab, pieces[i].at, pieces[i].len);
    return ok;
}

void
local_reply_pieces(struct exchange *ex, int status, struct text content_type, struct text extra,
                   const struct text *pieces, unsigned count, enum close_reason reason)
{
    struct h1 *client = ex->client;
    enum http1_framing framing;
    struct text packed;
    uint32_t length = 0;
    struct span head;

    if (ex->expects_100) /* it was not told to go on, so what follows may or may not be the body */
        client->keep_alive = false;
    for (unsigned i = 0; i < count; i++)
        length += pieces[i].len;
    if (compress_wants(ex, content_type, length) && (packed = compress_whole(ex, pieces, count)).at) {
        pieces = &packed;
        count = 1;
        length = packed.len;
    }
    head = heads_local(ex, status, content_type, length, extra, &framing);
    if (!head.buf) {
        h1_abort(client, CLOSE_NO_MEMORY);
        exchange_finish(ex, CLOSE_NO_MEMORY);
        return;
    }
    ex->status = (uint16_t)status;
    ex->first_ns = ring_now(ex->worker->ring);
    ex->reply_begun = true;
    stats_add(ex->worker->stats, STAT_local_replies, 1);
    h1_send_head(client, head, framing, length, METHOD_GET);
    span_unref(head);
    if (!send_pieces(ex, pieces, count)) {
        h1_abort(client, CLOSE_NO_MEMORY);
        exchange_finish(ex, CLOSE_NO_MEMORY);
        return;
    }
    exchange_end_reply(ex, reason);
}

void
local_reply(struct exchange *ex, int status, struct text content_type, struct text extra, const void *body,
            uint32_t body_len, enum close_reason reason)
{
    struct text piece = {body, body_len};

    local_reply_pieces(ex, status, content_type, extra, &piece, 1, reason);
}

uint32_t
local_error_json(const struct exchange *ex, enum close_reason reason, char *out, uint32_t size)
{
    const struct close_reason_info *info = close_reason_info(reason);
    struct text up = exchange_asked(ex);
    int n = snprintf(out, size,
                     "{\"jsonrpc\":\"2.0\",%s%.*s%s\"error\":{\"code\":%d,\"message\":\"%s%.*s%s%s\"}}",
                     ex->id_len ? "\"id\":" : "", ex->id_len, ex->id, ex->id_len ? "," : "",
                     info->jsonrpc_code ? info->jsonrpc_code : -32603, up.len ? "upstream " : "", (int)up.len,
                     up.at, up.len ? ": " : "", secure_reason_text(ex->upstream, reason));

    ASSERT(n > 0 && (uint32_t)n < size);
    return (uint32_t)n;
}

/* After these the bytes that follow cannot be trusted to be a request, or are not wanted. */
static bool
ends_connection(enum close_reason reason)
{
    switch (reason) {
    case CLOSE_HEAD_TIMEOUT:
    case CLOSE_BODY_TIMEOUT:
    case CLOSE_BAD_REQUEST:
    case CLOSE_URI_TOO_LONG:
    case CLOSE_HEAD_TOO_LARGE:
    case CLOSE_BODY_TOO_LARGE:
    case CLOSE_VERSION:
    case CLOSE_EXPECTATION:
    case CLOSE_PROXY_PROTOCOL:
    case CLOSE_DRAIN:
        return true;
    default:
        return false;
    }
}

void
local_error(struct exchange *ex, enum close_reason reason, struct text extra)
{
    const struct close_reason_info *info = close_reason_info(reason);
    int status = info->http_status ? info->http_status : 500;
    char body[768];
    uint32_t n;

    if (status == 503 && !extra.len)
        extra = TEXT("Retry-After: 1\r\n");
    if (ends_connection(reason))
        ex->client->keep_alive = false;
    if (ex->is_mcp) {
        n = local_error_json(ex, reason, body, sizeof body);
        local_reply(ex, status, TEXT("application/json"), extra, body, n, reason);
        return;
    }
    n = (uint32_t)snprintf(body, sizeof body, "%d %s: %s\n", status, http_reason_phrase(status),
                           secure_reason_text(ex->upstream, reason));
    local_reply(ex, status, TEXT("text/plain; charset=utf-8"), extra, body, n, reason);
}
