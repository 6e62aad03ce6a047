/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the mock upstream answers: plain replies, faults and streams. A reply whose body is small is composed
 * whole into conn->text and leaves in one send; a large one is generated piece by piece:
 *
 *     {"pad":"xxxxxxxxxxxxxxxxxxxxxxx...xxxx"}
 *     |<-  8 ->|<---- the filler, again --->|2|
 */
#include "serve.h"

#include "stamp.h"

#include <time.h>

enum { WHOLE_MAX = 16 << 10, FILLER_BYTES = 64 << 10, PIECE_MAX = 256 << 10, CHUNK_DEFAULT = 16 << 10 };

static const char opening[] = "{\"pad\":\"", closing[] = "\"}";

static const char *
filler(void)
{
    static char x[FILLER_BYTES];

    if (!x[0])
        memset(x, 'x', sizeof(x));
    return x;
}

static void
add_content(struct bytes *out, uint64_t n)
{
    size_t frame = sizeof(opening) - 1 + sizeof(closing) - 1;

    if (n < frame) {
        bytes_fill(out, 'x', n);
        return;
    }
    bytes_add(out, opening, sizeof(opening) - 1);
    bytes_fill(out, 'x', n - frame);
    bytes_add(out, closing, sizeof(closing) - 1);
}

/* --- heads --- */

static bool
is_chunked(const struct behaviour *how)
{
    return (how->chunked || how->trailers) && !how->close_delimited;
}

static void
add_head(struct serve_conn *conn, int status, const char *type, const char *fields, uint64_t length)
{
    struct bytes *out = &conn->text;
    const struct behaviour *how = &conn->how;

    out->len = 0;
    if (how->informational)
        bytes_print(out, "HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n");
    bytes_print(out, "HTTP/1.1 %d %s\r\n", status, http_reason_phrase(status));
    if (type)
        bytes_print(out, "Content-Type: %s\r\n", type);
    if (how->close_delimited || how->close)
        conn->keep_alive = false;
    if (status == 204 || status == 304)
        ;
    else if (is_chunked(how))
        bytes_print(out, "Transfer-Encoding: chunked\r\n%s", how->trailers ? "Trailer: X-Checksum\r\n" : "");
    else if (!how->close_delimited)
        bytes_print(out, "Content-Length: %llu\r\n", (unsigned long long)length);
    bytes_print(out, "%s%s\r\n", fields ? fields : "", conn->keep_alive ? "" : "Connection: close\r\n");
}

static bool
has_body(const struct serve_conn *conn, int status)
{
    return !conn->no_body && status != 204 && status != 304;
}

static void
add_last_chunk(struct serve_conn *conn)
{
    bytes_print(&conn->text, "0\r\n%s\r\n", conn->how.trailers ? "X-Checksum: 1\r\n" : "");
}

static void
send_text(struct serve_conn *conn, enum serve_output then)
{
    conn->iov[0] = (struct iovec){conn->text.at, conn->text.len};
    conn->iov_count = 1;
    conn->output = (uint8_t)then;
}

/* --- whole replies --- */

void
serve_reply_whole(struct serve_conn *conn, int status, const char *type, const char *fields, struct text body)
{
    size_t head;
    char size[16];

    add_head(conn, status, type, fields, body.len);
    head = conn->text.len;
    if (has_body(conn, status)) {
        if (is_chunked(&conn->how) && body.len) {
            bytes_add(&conn->text, size, http1_chunk_header(body.len, size));
            bytes_text(&conn->text, body);
            bytes_print(&conn->text, "\r\n");
        } else {
            bytes_text(&conn->text, body);
        }
        if (is_chunked(&conn->how))
            add_last_chunk(conn);
    }
    if (conn->how.close == CLOSE_POINT_AFTER_HEAD)
        conn->text.len = head;
    else if (conn->how.close == CLOSE_POINT_MID_BODY)
        conn->text.len = head + (conn->text.len - head) / 2;
    send_text(conn, OUTPUT_LAST);
}

void
serve_reply_refuse(struct serve_conn *conn, int status, const char *text)
{
    conn->how = conn->serve->defaults;
    conn->how.delay_ns = 0;
    conn->keep_alive = false;
    serve_reply_whole(conn, status, "text/plain", NULL, text_of(text));
}

/* --- generated bodies --- */

/* Content bytes [at, at + n) as iovecs; n is at most PIECE_MAX. */
static void
add_content_iov(struct serve_conn *conn, uint64_t at, uint64_t n)
{
    uint64_t end = at + n, fill_end = conn->content_bytes - (sizeof(closing) - 1);

    while (at < end) {
        struct iovec *iov = &conn->iov[conn->iov_count++];
        uint64_t part = end - at;

        ASSERT(conn->iov_count <= SERVE_IOV_MAX);
        if (at < sizeof(opening) - 1) {
            if (part > sizeof(opening) - 1 - at)
                part = sizeof(opening) - 1 - at;
            iov->iov_base = (char *)(uintptr_t)opening + at;
        } else if (at < fill_end) {
            if (part > fill_end - at)
                part = fill_end - at;
            if (part > FILLER_BYTES)
                part = FILLER_BYTES;
            iov->iov_base = (char *)(uintptr_t)filler();
        } else {
            iov->iov_base = (char *)(uintptr_t)closing + (at - fill_end);
        }
        iov->iov_len = (size_t)part;
        at += part;
    }
}

void
serve_reply_content(struct serve_conn *conn)
{
    static const char crlf[] = "\r\n";
    uint64_t n = conn->content_end - conn->content_at, most = PIECE_MAX;
    bool chunked = is_chunked(&conn->how);
    char size[16];

    if (chunked)
        most = conn->how.chunk_bytes && conn->how.chunk_bytes < PIECE_MAX ? conn->how.chunk_bytes
                                                                          : CHUNK_DEFAULT;
    if (n > most)
        n = most;
    conn->iov_count = 0;
    conn->text.len = 0;
    if (chunked) {
        bytes_add(&conn->text, size, http1_chunk_header((uint32_t)n, size));
        conn->iov[conn->iov_count++] = (struct iovec){conn->text.at, conn->text.len};
    }
    add_content_iov(conn, conn->content_at, n);
    conn->content_at += n;
    if (chunked) {
        struct iovec *end = &conn->iov[conn->iov_count++];

        ASSERT(conn->iov_count <= SERVE_IOV_MAX);
        *end = (struct iovec){(char *)(uintptr_t)crlf, 2};
        if (conn->content_at == conn->content_bytes) {
            size_t from = conn->text.len;

            bytes_print(&conn->text, "\r\n");
            add_last_chunk(conn);
            conn->iov[0].iov_base = conn->text.at; /* it may have moved */
            *end = (struct iovec){conn->text.at + from, conn->text.len - from};
        }
    }
    if (conn->content_at == conn->content_end)
        conn->output = OUTPUT_LAST;
}

static void
reply_generated(struct serve_conn *conn, int status)
{
    add_head(conn, status, "application/json", NULL, conn->how.bytes);
    conn->content_at = 0;
    conn->content_bytes = conn->content_end = conn->how.bytes;
    if (conn->how.close == CLOSE_POINT_MID_BODY)
        conn->content_end /= 2;
    send_text(conn, has_body(conn, status) && conn->how.close != CLOSE_POINT_AFTER_HEAD ? OUTPUT_CONTENT
                                                                                        : OUTPUT_LAST);
}

static void
reply_plain(struct serve_conn *conn)
{
    struct bytes body = {0};
    int status = conn->how.status;

    if (conn->how.bytes > WHOLE_MAX ||
        (is_chunked(&conn->how) && conn->how.chunk_bytes && conn->how.chunk_bytes < conn->how.bytes)) {
        reply_generated(conn, status);
        return;
    }
    add_content(&body, conn->how.bytes);
    serve_reply_whole(conn, status, "application/json", NULL, (struct text){body.at, (uint32_t)body.len});
    bytes_done(&body);
}

void
serve_reply_canned(struct serve *serve)
{
    struct serve_conn conn = {.serve = serve, .how = serve->defaults, .keep_alive = true};

    if (serve->defaults.bytes > WHOLE_MAX || serve->defaults.chunked)
        return;
    reply_plain(&conn);
    serve->canned = conn.text;
}

/* --- streams --- */

/* Behind what is in conn->text, framed as the stream is. */
static void
add_event(struct serve_conn *conn, struct text event)
{
    char size[16];

    if (!conn->how.close_delimited)
        bytes_add(&conn->text, size, http1_chunk_header(event.len, size));
    bytes_text(&conn->text, event);
    if (!conn->how.close_delimited)
        bytes_add(&conn->text, "\r\n", 2);
}

/* How an event begins, up to the digits of its stamp, and how it ends. */
static const char *
event_frame(const struct serve_conn *conn, struct bytes *end)
{
    if (conn->subscription.len) {
        bytes_print(end, "\",\"_meta\":{" SERVE_SUBSCRIPTION ":%.*s}}}\n\n", (int)conn->subscription.len,
                    conn->subscription.at);
        return "data: "
               "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\",\"params\":{\"ns\":\"";
    }
    bytes_print(end, "%s\n\n", conn->rpc_events ? "\"}}}" : "\"}");
    return conn->rpc_events ? "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\","
                              "\"params\":{\"level\":\"info\",\"data\":{\"ns\":\""
                            : "data: {\"ns\":\"";
}

/* The digits of the stamp and the number (stamp.h) are written into the composed event each time. */
static void
compose_event(struct serve_conn *conn)
{
    static const char digits[] = "00000000000000000\",\"n\":\"0000000000\",\"pad\":\"";
    struct bytes event = {0}, end = {0};
    const char *start = event_frame(conn, &end);
    size_t frame = strlen(start) + sizeof(digits) - 1 + end.len;

    bytes_add(&event, start, strlen(start));
    bytes_add(&event, digits, sizeof(digits) - 1);
    bytes_fill(&event, 'x', conn->how.event_bytes > frame ? conn->how.event_bytes - frame : 0);
    bytes_add(&event, end.at, end.len);
    conn->text.len = 0;
    add_event(conn, (struct text){event.at, (uint32_t)event.len});
    conn->stamp_at = (uint32_t)(conn->text.len - event.len + strlen(start));
    if (!conn->how.close_delimited)
        conn->stamp_at -= 2; /* the end of the chunk */
    conn->number_at = conn->stamp_at + 24;
    bytes_done(&event);
    bytes_done(&end);
}

static uint64_t
clock_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static void
compose_progress(struct serve_conn *conn)
{
    struct bytes event = {0};

    bytes_print(&event,
                "event: message\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":"
                "{\"progressToken\":%.*s,\"progress\":%llu,\"total\":%llu}}\n\n",
                (int)conn->progress_token.len, conn->progress_token.at,
                (unsigned long long)conn->event_number + 1, (unsigned long long)conn->how.events);
    conn->text.len = 0;
    add_event(conn, (struct text){event.at, (uint32_t)event.len});
    bytes_done(&event);
}

static void
end_stream(struct serve_conn *conn)
{
    conn->text.len = 0;
    conn->stamp_at = 0;
    if (conn->last_event.len) {
        add_event(conn, (struct text){conn->last_event.at, (uint32_t)conn->last_event.len});
        conn->serve->events++;
        conn->last_event.len = 0;
    }
    if (!conn->how.close_delimited)
        add_last_chunk(conn);
    else if (!conn->text.len)
        bytes_print(&conn->text, ":\n\n"); /* something must leave so that the end is reached */
    send_text(conn, OUTPUT_LAST);
}

void
serve_reply_event(struct serve_conn *conn)
{
    if (conn->how.events && conn->event_number == conn->how.events) {
        end_stream(conn);
        return;
    }
    if (conn->progress_token.len) {
        compose_progress(conn);
    } else {
        if (!conn->stamp_at)
            compose_event(conn);
        stamp_digits(conn->text.at + conn->stamp_at, STAMP_DIGITS, clock_ns());
        stamp_digits(conn->text.at + conn->number_at, STAMP_NUMBER_DIGITS, conn->event_number);
    }
    conn->event_number++;
    conn->serve->events++;
    send_text(conn, OUTPUT_STREAM);
}

void
serve_reply_stream(struct serve_conn *conn, const char *fields)
{
    struct behaviour how = conn->how;

    conn->how.chunked = true; /* unless it is close-delimited */
    add_head(conn, 200, "text/event-stream", fields, 0);
    conn->how.chunked = how.chunked;
    conn->event_number = 0;
    conn->stamp_at = 0;
    conn->progress_token.len = conn->last_event.len = conn->subscription.len = 0;
    conn->kind = SERVE_STREAM;
    conn->serve->streams++;
    if (conn->how.close == CLOSE_POINT_MID_BODY && !conn->how.events)
        conn->how.events = 3; /* half of an endless stream */
    send_text(conn, conn->no_body || conn->how.close == CLOSE_POINT_AFTER_HEAD ? OUTPUT_LAST : OUTPUT_STREAM);
}

void
serve_reply_first_event(struct serve_conn *conn, struct text event)
{
    add_event(conn, event);
    conn->serve->events++;
    send_text(conn, (enum serve_output)conn->output);
}

/* --- which one --- */

static void
reply_tunnel(struct serve_conn *conn, const struct http1_head *head)
{
    struct text protocol = http1_value(head, HTTP_UPGRADE);

    conn->text.len = 0;
    bytes_print(&conn->text,
                "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: %.*s\r\n\r\n",
                (int)protocol.len, protocol.at);
    conn->kind = SERVE_TUNNEL;
    conn->keep_alive = false;
    send_text(conn, OUTPUT_TUNNEL);
}

static void
reply_garbage(struct serve_conn *conn)
{
    conn->text.len = 0;
    bytes_print(&conn->text, "\x16\x03\x01 this is no HTTP reply\n\n{\"jsonrpc\":");
    conn->keep_alive = false;
    send_text(conn, OUTPUT_LAST);
}

static void
reply_stats(struct serve_conn *conn)
{
    json_t *stats = serve_stats(conn->serve);
    char *text = json_dumps(stats, JSON_INDENT(1));

    ASSERT(text);
    conn->kind = SERVE_STATS;
    serve_reply_whole(conn, 200, "application/json", NULL, text_of(text));
    free(text);
    json_decref(stats);
}

static bool
wants_stream(const struct serve_conn *conn, const struct http1_head *head, struct text path)
{
    struct text accept = http1_value(head, HTTP_ACCEPT);

    if (text_starts(path, TEXT("/sse")))
        return true;
    return conn->how.sse && (head->method == METHOD_GET || !accept.len) &&
           (!accept.len || memmem(accept.at, accept.len, "text/event-stream", 17));
}

bool
serve_path_is_mcp(struct text path)
{
    return text_starts(path, TEXT("/mcp"));
}

void
serve_reply(struct serve_conn *conn, const struct http1_head *head, struct text path, struct text body)
{
    const struct behaviour *how = &conn->how;
    bool mcp = conn->kind == SERVE_MCP;

    if (how->hang) {
        conn->output = OUTPUT_HANG;
    } else if (how->garbage) {
        reply_garbage(conn);
    } else if (how->upgrade && head->upgrade) {
        reply_tunnel(conn, head);
    } else if (text_eq(path, TEXT("/stats"))) {
        reply_stats(conn);
    } else if (how->status != 200) {
        reply_plain(conn);
    } else if (serve_ws_wanted(head)) {
        serve_ws_reply(conn, head);
    } else if (mcp && head->method == METHOD_POST && !how->early) {
        serve_mcp_reply(conn, head, body);
    } else if (mcp && head->method == METHOD_DELETE) {
        serve_reply_whole(conn, 200, NULL, NULL, (struct text){NULL, 0});
    } else if (mcp && head->method == METHOD_GET) {
        conn->rpc_events = true;
        serve_reply_stream(conn, NULL);
    } else if (wants_stream(conn, head, path)) {
        conn->rpc_events = false;
        serve_reply_stream(conn, NULL);
    } else if (path.len == head->target.len && conn->keep_alive && !conn->no_body &&
               conn->serve->canned.len) {
        conn->iov[0] = (struct iovec){conn->serve->canned.at, conn->serve->canned.len};
        conn->iov_count = 1;
        conn->output = OUTPUT_LAST;
    } else {
        reply_plain(conn);
    }
}
