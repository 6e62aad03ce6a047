/* SPDX-License-Identifier: Apache-2.0 */
#include "gate/heads.h"

#include "gate/compress.h"
#include "gate/home.h"
#include "gate/leg.h"
#include "mcp/merge_list.h"
#include "proto/ws_deflate.h"

#include <arpa/inet.h>
#include <stdio.h>

/* A head leaves room for a body up to this size, which is then sent from the same buffer. */
enum { SMALL_BODY = 1024 };

/* Appends to a slab buffer; what does not fit makes it overflow, which the sizes below rule out. */
struct writer {
    struct buf *buf;
    char *at, *end;
};

static bool
writer_open(struct writer *w, struct slab *slab, size_t size)
{
    w->buf = slab_get(slab, size);
    if (!w->buf)
        return false;
    w->at = (char *)w->buf->data;
    w->end = w->at + w->buf->size;
    return true;
}

static inline void
put(struct writer *w, const void *bytes, size_t n)
{
    ASSERT((size_t)(w->end - w->at) >= n);
    if (!n) /* an absent text has no address, which memcpy must not see */
        return;
    memcpy(w->at, bytes, n);
    w->at += n;
}

static inline void
put_text(struct writer *w, struct text t)
{
    put(w, t.at, t.len);
}

#define put_literal(w, s) put(w, s, sizeof(s) - 1)

static void
put_number(struct writer *w, uint64_t n)
{
    char digits[20];
    unsigned i = sizeof digits;

    do
        digits[--i] = (char)('0' + n % 10);
    while (n /= 10);
    put(w, digits + i, sizeof digits - i);
}

/* The line as it came, from the name to the value's end. */
static void
put_field(struct writer *w, const struct http_header *h)
{
    put(w, h->name, (size_t)(h->value + h->value_len - h->name));
    put_literal(w, "\r\n");
}

static struct span
writer_close(struct writer *w)
{
    put_literal(w, "\r\n");
    return span_of(w->buf, 0, (uint32_t)(w->at - (char *)w->buf->data));
}

static size_t
fields_size(const struct http1_head *head)
{
    size_t n = 0;

    for (unsigned i = 0; i < head->count; i++)
        n += (size_t)(head->headers[i].value + head->headers[i].value_len - head->headers[i].name) + 2;
    return n;
}

/* --- towards the upstream --- */

static char *
put_octet(char *at, unsigned n)
{
    if (n >= 100)
        *at++ = (char)('0' + n / 100);
    if (n >= 10)
        *at++ = (char)('0' + n / 10 % 10);
    *at++ = (char)('0' + n % 10);
    return at;
}

uint32_t
heads_format_ip(const struct ring_peer *peer, char out[HEADS_IP_MAX])
{
    static const uint8_t v4_mapped[12] = {[10] = 0xff, [11] = 0xff};
    char *at = out;

    if (peer->is_unix) {
        strcpy(out, "unknown");
    } else if (memcmp(peer->ip, v4_mapped, 12) != 0) {
        inet_ntop(AF_INET6, peer->ip, out, HEADS_IP_MAX);
    } else { /* once a request, and inet_ntop is slow */
        for (unsigned i = 12; i < 16; i++) {
            at = put_octet(at, peer->ip[i]);
            *at++ = i < 15 ? '.' : '\0';
        }
    }
    return (uint32_t)strlen(out);
}

/* What a trusted proxy said in all fields of this id, to be extended; a field that comes in pieces is one
 * list (RFC 9110 5.3). */
static void
put_values_before(struct writer *w, const struct client *client, const struct http1_head *head,
                  enum http_field id)
{
    for (unsigned i = 0; client->is_trusted && i < head->count; i++) {
        if (head->headers[i].id != id)
            continue;
        put_text(w, http_value(&head->headers[i]));
        put_literal(w, ", ");
    }
}

/* What tells the upstream about the client. Fields of the kind that came in are believed and extended only
 * from a trusted proxy; else they are replaced. */
static void
put_forwarding(struct writer *w, struct exchange *ex, const struct http1_head *head)
{
    const struct client *client = client_of(ex->client);
    struct text host = http1_value(head, HTTP_HOST);
    struct text before;
    char ip[HEADS_IP_MAX];
    uint32_t ip_len = heads_format_ip(&client->peer, ip);

    switch ((enum cfg_forwarded)ex->worker->config->forwarded) {
    case FORWARDED_X:
        put_literal(w, "X-Forwarded-For: ");
        put_values_before(w, client, head, HTTP_X_FORWARDED_FOR);
        put(w, ip, ip_len);
        before = client->is_trusted ? http1_value(head, HTTP_X_FORWARDED_PROTO) : (struct text){0};
        put_literal(w, "\r\nX-Forwarded-Proto: ");
        put_text(w, before.len ? before : TEXT("http"));
        before = client->is_trusted ? http1_value(head, HTTP_X_FORWARDED_HOST) : (struct text){0};
        if (before.len || host.len) {
            put_literal(w, "\r\nX-Forwarded-Host: ");
            put_text(w, before.len ? before : host);
        }
        put_literal(w, "\r\n");
        break;
    case FORWARDED_RFC7239:
        put_literal(w, "Forwarded: ");
        put_values_before(w, client, head, HTTP_FORWARDED);
        put_literal(w, "for=");
        if (memchr(ip, ':', ip_len)) {
            put_literal(w, "\"[");
            put(w, ip, ip_len);
            put_literal(w, "]\"");
        } else {
            put(w, ip, ip_len);
        }
        put_literal(w, ";proto=http");
        if (host.len) {
            put_literal(w, ";host=\"");
            put_text(w, host);
            put_literal(w, "\"");
        }
        put_literal(w, "\r\n");
        break;
    default:
        break;
    }
}

/* To the home of the session: the client's fields as they are, and the sealed one that stands for the peer.
 */
static void
put_home_forwarding(struct writer *w, struct exchange *ex)
{
    put_literal(w, "Mcpgate-Forward: ");
    w->at += home_seal_peer(ex, w->at, (uint32_t)(w->end - w->at));
    put_literal(w, "\r\n");
}

static void
put_request_id(struct writer *w, const struct exchange *ex)
{
    char id[REQUEST_ID_BYTES];

    exchange_request_id(ex, id);
    put_literal(w, "X-Request-Id: ");
    put(w, id, sizeof id);
    put_literal(w, "\r\n");
}

/* Whether the configuration sets this field itself. */
static bool
is_static_field(const struct config *c, const struct cfg_upstream *up, struct text name)
{
    const struct cfg_field *fields = cfg_items(c, up->headers);

    for (uint32_t i = 0; i < up->headers.count; i++)
        if (text_eq_nocase(cfg_text(c, fields[i].name), name))
            return true;
    return false;
}

static bool
passes(struct exchange *ex, const struct http_header *h)
{
    const struct config *c = ex->worker->config;
    bool is_home = ex->upstream && ex->upstream->is_home;

    switch ((enum http_field)h->id) {
    case HTTP_HOST:
        return is_home;
    case HTTP_ORIGIN: /* of an MCP server's client it has been judged, and CORS answered for (add_cors()) */
        return is_home || !ex->is_mcp;
    case HTTP_EXPECT: /* the gateway answers 100 itself */
    case HTTP_MCPGATE_FORWARD:
        return false;
    case HTTP_X_FORWARDED_FOR:
    case HTTP_X_FORWARDED_PROTO:
    case HTTP_X_FORWARDED_HOST:
    case HTTP_FORWARDED:
        return is_home || (c->forwarded == FORWARDED_OFF && client_of(ex->client)->is_trusted);
    case HTTP_ACCEPT_ENCODING: /* heartbeats cannot go into an encoded stream */
        return !(ex->is_mcp && ex->accepts_sse);
    default:
        return !h->drop;
    }
}

uint32_t
heads_target(struct exchange *ex, struct text path, const struct endpoint *ep, char *out, uint32_t size)
{
    struct text prefix = ep->path, rest = {0};
    const char *query = memchr(path.at, '?', path.len);

    if (ex->upstream->cfg->is_route) {
        struct text route = ex->upstream->name;
        uint32_t skip = route.len == 1 ? 0 : route.len;

        rest = (struct text){path.at + skip, path.len - skip};
        if (prefix.len && prefix.at[prefix.len - 1] == '/' && rest.len && rest.at[0] == '/')
            prefix.len--;
    } else if (query) {
        rest = (struct text){query, path.len - (uint32_t)(query - path.at)};
    }
    if (prefix.len + rest.len > size)
        return 0;
    memcpy(out, prefix.at, prefix.len);
    if (rest.len)
        memcpy(out + prefix.len, rest.at, rest.len);
    return prefix.len + rest.len;
}

static void
put_static_fields(struct writer *w, const struct config *c, const struct cfg_upstream *up)
{
    const struct cfg_field *fields = cfg_items(c, up->headers);

    for (uint32_t i = 0; i < up->headers.count; i++) {
        put_text(w, cfg_text(c, fields[i].name));
        put_literal(w, ": ");
        put_text(w, cfg_text(c, fields[i].value));
        put_literal(w, "\r\n");
    }
}

static size_t
static_fields_size(const struct config *c, const struct cfg_upstream *up)
{
    const struct cfg_field *fields = cfg_items(c, up->headers);
    size_t n = 0;

    for (uint32_t i = 0; i < up->headers.count; i++)
        n += fields[i].name.len + fields[i].value.len + 4;
    return n;
}

struct span
heads_request(struct exchange *ex, const struct http1_head *head, const struct endpoint *ep)
{
    const struct config *c = ex->worker->config;
    const struct cfg_upstream *up = ex->upstream->cfg;
    struct writer w;
    size_t size = fields_size(head) + head->method_text.len + head->path.len + ep->path.len +
                  ep->authority.len + 2 * http1_value(head, HTTP_HOST).len + static_fields_size(c, up) +
                  (ex->upstream->is_home ? 640 : 320) +
                  (head->framing == FRAMING_LENGTH && head->length <= SMALL_BODY ? head->length : 0);

    if (!writer_open(&w, &ex->worker->slab, size))
        return (struct span){0};
    put_text(&w, head->method_text);
    put_literal(&w, " ");
    w.at += heads_target(ex, head->path, ep, w.at, (uint32_t)(w.end - w.at));
    put_literal(&w, " HTTP/1.1\r\n");
    if (!ex->upstream->is_home) {
        put_literal(&w, "Host: ");
        put_text(&w, ep->authority);
        put_literal(&w, "\r\n");
    }
    for (unsigned i = 0; i < head->count; i++) {
        const struct http_header *h = &head->headers[i];

        if (passes(ex, h) && !(up->headers.count && is_static_field(c, up, http_name(h))))
            put_field(&w, h);
    }
    if (ex->upstream->is_home)
        put_home_forwarding(&w, ex);
    else
        put_forwarding(&w, ex, head);
    if (!http1_find(head, HTTP_X_REQUEST_ID))
        put_request_id(&w, ex);
    if (up->headers.count)
        put_static_fields(&w, c, up);
    if (head->framing == FRAMING_CHUNKED)
        put_literal(&w, "Transfer-Encoding: chunked\r\n");
    if (head->upgrade && up->is_route) {
        put_literal(&w, "Connection: upgrade\r\n");
        put_field(&w, http1_find(head, HTTP_UPGRADE));
    }
    return writer_close(&w);
}

/* Of the message; legs have their own. */
static bool
is_about_body(const struct http_header *h)
{
    switch ((enum http_field)h->id) {
    case HTTP_ACCEPT:
    case HTTP_ACCEPT_ENCODING:
    case HTTP_CONTENT_TYPE:
    case HTTP_CONTENT_LENGTH:
    case HTTP_CONTENT_ENCODING:
    case HTTP_X_REQUEST_ID:
    case HTTP_HOST:
    case HTTP_SEC_WEBSOCKET_KEY:
    case HTTP_SEC_WEBSOCKET_VERSION:
    case HTTP_SEC_WEBSOCKET_PROTOCOL:
    case HTTP_SEC_WEBSOCKET_EXTENSIONS:
        return true;
    default:
        return h->name_len == 10 && (h->name[0] | 0x20) == 'u' && strncasecmp(h->name, "user-agent", 10) == 0;
    }
}

static bool
is_about_message(const struct http_header *h)
{
    return h->id == HTTP_LAST_EVENT_ID ||
           (h->name_len > 4 && (h->name[0] | 0x20) == 'm' && strncasecmp(h->name, "mcp-", 4) == 0);
}

bool
heads_keep(struct exchange *ex, const struct http1_head *head, struct held *held, uint32_t *ret_plain,
           struct text *ret_credentials)
{
    const struct cfg_upstream *up = ex->upstream ? ex->upstream->cfg : NULL; /* NULL: the merged server */
    uint32_t credentials_at = 0, credentials_len = 0;
    bool is_list = !up && mcp_revision_is_modern((enum mcp_revision)ex->revision) &&
                   merge_kind_of((enum mcp_method)ex->mcp) < MERGE_KINDS;
    struct writer w = {0};

    if (!held_reserve(ex->worker, held,
                      (uint32_t)fields_size(head) + 2 * http1_value(head, HTTP_HOST).len + 320))
        return false;
    w.at = held->at;
    w.end = held->at + held->size;
    *ret_plain = 0;
    /* A list of the merged server's is nobody's request to an upstream (mcp_check() holds the field against
     * the message). */
    for (unsigned pass = is_list; pass < 2; pass++) {
        for (unsigned i = 0; i < head->count; i++) {
            const struct http_header *h = &head->headers[i];

            if (is_about_message(h) != (pass == 1) || !passes(ex, h) || is_about_body(h) ||
                (up ? is_static_field(ex->worker->config, up, http_name(h)) : h->id == HTTP_AUTHORIZATION))
                continue;
            if (h->id == HTTP_AUTHORIZATION)
                credentials_at = (uint32_t)(w.at - held->at);
            put_field(&w, h);
            if (h->id == HTTP_AUTHORIZATION)
                credentials_len = (uint32_t)(w.at - held->at) - credentials_at;
        }
        if (pass == 0) {
            put_forwarding(&w, ex, head);
            *ret_plain = (uint32_t)(w.at - held->at);
        }
    }
    held->len = (uint32_t)(w.at - held->at);
    *ret_credentials = (struct text){held->at + credentials_at, credentials_len};
    return true;
}

struct span
heads_leg(struct exchange *ex, const struct leg_request *request, const struct endpoint *ep,
          struct text ws_key)
{
    static const char *const names[METHODS] = {
        [METHOD_GET] = "GET ", [METHOD_POST] = "POST ", [METHOD_DELETE] = "DELETE "};
    const struct config *c = ex->worker->config;
    const struct cfg_upstream *up = ex->upstream->cfg;
    struct writer w;

    if (!writer_open(&w, &ex->worker->slab,
                     ep->path.len + request->path.len + ep->authority.len + request->fields.len +
                         static_fields_size(c, up) + 576 +
                         (request->body.len <= SMALL_BODY ? request->body.len : 0)))
        return (struct span){0};
    put_text(&w, text_of(names[ws_key.at ? METHOD_GET : request->method]));
    put_text(&w, request->path.at ? request->path : ep->path);
    put_literal(&w, " HTTP/1.1\r\nHost: ");
    put_text(&w, ep->authority);
    put_literal(&w, "\r\nUser-Agent: mcpgate\r\n");
    if (ws_key.at) {
        put_literal(&w, "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                        "Sec-WebSocket-Protocol: mcp\r\nSec-WebSocket-Key: ");
        put_text(&w, ws_key);
        put_literal(&w, "\r\n");
        if (c->ws_deflate)
            put_literal(&w, "Sec-WebSocket-Extensions: " WS_DEFLATE_OFFER "\r\n");
    } else if (request->method == METHOD_POST) {
        put_literal(&w, "Content-Type: application/json\r\nContent-Length: ");
        put_number(&w, request->body.len);
        put_literal(&w, "\r\nAccept: application/json, text/event-stream\r\n");
    } else {
        put_literal(&w, "Accept: text/event-stream\r\n");
    }
    put_text(&w, request->fields);
    put_request_id(&w, ex);
    put_static_fields(&w, c, up);
    return writer_close(&w);
}

struct span
heads_readdress(struct exchange *ex, struct span request, const struct endpoint *from,
                const struct endpoint *to)
{
    static const struct text host = {"\r\nHost: ", 8};
    const char *at = (const char *)span_data(request), *end = at + request.len;
    const char *target = (const char *)memchr(at, ' ', request.len) + 1;
    const char *host_at = memmem(target, (size_t)(end - target), host.at, host.len);
    struct text prefix = to->path;
    uint32_t skip = from->path.len;
    struct writer w;

    ASSERT(host_at && host_at + host.len + from->authority.len <= end);
    /* heads_target() may have dropped the slash between prefix and rest; what it left begins with one */
    if (ex->upstream->cfg->is_route && from->path.at[skip - 1] == '/')
        skip--;
    if (ex->upstream->cfg->is_route && prefix.at[prefix.len - 1] == '/' && target[skip] == '/')
        prefix.len--;
    if (!writer_open(&w, &ex->worker->slab, request.len + prefix.len + to->authority.len))
        return (struct span){0};
    put(&w, at, (size_t)(target - at));
    put_text(&w, prefix);
    put(&w, target + skip, (size_t)(host_at - target) - skip);
    put_text(&w, host);
    put_text(&w, to->authority);
    at = host_at + host.len + from->authority.len;
    put(&w, at, (size_t)(end - at));
    return span_of(w.buf, 0, (uint32_t)(w.at - (char *)w.buf->data));
}

/* --- towards the client --- */

static void
put_status_line(struct writer *w, int status, struct text reason)
{
    put_literal(w, "HTTP/1.1 ");
    put_number(w, (uint64_t)status);
    put_literal(w, " ");
    put_text(w, reason);
    put_literal(w, "\r\n");
}

/* Chunked needs HTTP/1.1; to an older client a body without length ends with the connection. */
static enum http1_framing
unknown_length_framing(struct exchange *ex)
{
    if (!ex->client_minor_0)
        return FRAMING_CHUNKED;
    ex->client->keep_alive = false;
    return FRAMING_CLOSE;
}

static void
put_connection(struct writer *w, struct exchange *ex)
{
    if (ex->worker->draining)
        ex->client->keep_alive = false;
    if (!h1_will_keep_alive(ex->client))
        put_literal(w, "Connection: close\r\n");
    else if (ex->client_minor_0)
        put_literal(w, "Connection: keep-alive\r\n");
}

/* Only with an Origin that route.c has allowed. */
static void
put_cors(struct writer *w, struct exchange *ex)
{
    if (!ex->origin.buf)
        return;
    put_literal(w, "Access-Control-Allow-Origin: ");
    put(w, span_data(ex->origin), ex->origin.len);
    put_literal(w, "\r\nVary: Origin\r\n"
                   "Access-Control-Expose-Headers: Mcp-Session-Id, WWW-Authenticate\r\n");
}

/* A reply that another request would get in another coding says so (RFC 9110 12.5.5). */
static void
put_coding(struct writer *w, const struct exchange *ex)
{
    if (ex->coded == CODED_WHOLE || ex->coded == CODED_STREAM) {
        put_literal(w, "Content-Encoding: ");
        put_text(w, content_coding_name((enum content_coding)ex->coding));
        put_literal(w, "\r\n");
    }
    if (ex->coded != CODED_NOT)
        put_literal(w, "Vary: Accept-Encoding\r\n");
}

/* Who comes behind us shall pass each event on at once. A sibling writes these fields itself, and learns here
 * whether it may compress. */
static void
put_stream_fields(struct writer *w, const struct exchange *ex, bool may_transform)
{
    put_literal(w, "Cache-Control: no-cache");
    if (client_of(ex->client)->via != VIA_HOME || !may_transform)
        put_literal(w, ", no-transform");
    put_literal(w, "\r\nX-Accel-Buffering: no\r\n");
}

static bool
is_cors_field(const struct http_header *h)
{
    static const char prefix[] = "access-control-";

    return h->name_len >= sizeof prefix - 1 && strncasecmp(h->name, prefix, sizeof prefix - 1) == 0;
}

static bool
reply_passes(struct exchange *ex, const struct http_header *h)
{
    if (h->drop)
        return false;
    if (ex->is_stream && (h->id == HTTP_CACHE_CONTROL || h->id == HTTP_X_ACCEL_BUFFERING))
        return false;
    if (ex->coded == CODED_STREAM && h->id == HTTP_CONTENT_LENGTH)
        return false;
    return !(ex->origin.buf && is_cors_field(h));
}

struct span
heads_reply(struct exchange *ex, const struct http1_head *head, enum http1_framing *ret_framing)
{
    struct writer w;
    enum http1_framing framing = (enum http1_framing)head->framing;

    if (!writer_open(&w, &ex->worker->slab,
                     fields_size(head) + head->reason.len + ex->origin.len + 448 +
                         (framing == FRAMING_LENGTH && head->length <= SMALL_BODY ? head->length : 0)))
        return (struct span){0};
    if (compress_wants_reply(ex, head) || framing == FRAMING_CHUNKED || framing == FRAMING_CLOSE)
        framing = unknown_length_framing(ex);
    put_status_line(&w, head->status, head->reason);
    for (unsigned i = 0; i < head->count; i++)
        if (reply_passes(ex, &head->headers[i]))
            put_field(&w, &head->headers[i]);
    if (framing == FRAMING_CHUNKED)
        put_literal(&w, "Transfer-Encoding: chunked\r\n");
    if (ex->is_stream)
        put_stream_fields(&w, ex, !compress_forbidden(head));
    put_coding(&w, ex);
    put_cors(&w, ex);
    if (framing == FRAMING_TUNNEL) {
        const struct http_header *upgrade = http1_find(head, HTTP_UPGRADE);

        put_literal(&w, "Connection: upgrade\r\n");
        if (upgrade)
            put_field(&w, upgrade);
    } else if (head->status >= 200) {
        put_connection(&w, ex);
    }
    *ret_framing = framing;
    compress_begin(ex);
    return writer_close(&w);
}

struct span
heads_local(struct exchange *ex, int status, struct text content_type, int64_t length, struct text extra,
            enum http1_framing *ret_framing)
{
    const char *reason = http_reason_phrase(status);
    struct writer w;

    if (!writer_open(&w, &ex->worker->slab,
                     extra.len + content_type.len + ex->origin.len + 512 +
                         (length > 0 && length <= HEADS_JOIN_MAX ? (size_t)length : 0)))
        return (struct span){0};
    if (length < 0)
        compress_wants(ex, content_type, length);
    put_status_line(&w, status, text_of(reason));
    put_literal(&w, "Date: ");
    put_text(&w, worker_date(ex->worker));
    put_literal(&w, "\r\n");
    if (content_type.len) {
        put_literal(&w, "Content-Type: ");
        put_text(&w, content_type);
        put_literal(&w, "\r\n");
    }
    *ret_framing = FRAMING_LENGTH;
    if (status == 204 || status == 304) {
        *ret_framing = FRAMING_NONE;
    } else if (length >= 0) {
        put_literal(&w, "Content-Length: ");
        put_number(&w, (uint64_t)length);
        put_literal(&w, "\r\n");
    } else {
        *ret_framing = unknown_length_framing(ex);
        if (*ret_framing == FRAMING_CHUNKED)
            put_literal(&w, "Transfer-Encoding: chunked\r\n");
    }
    if (text_eq(content_type, TEXT("text/event-stream")))
        put_stream_fields(&w, ex, true);
    put_text(&w, extra);
    put_coding(&w, ex);
    put_cors(&w, ex);
    put_connection(&w, ex);
    compress_begin(ex);
    return writer_close(&w);
}
