/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One connection of the mock upstream: bytes in, requests out of them, and the reply sent piece by piece. It
 * knows when; serve_reply.c knows what.
 */
#include "serve.h"

#include <errno.h>
#include <sys/socket.h>

enum { INPUT_HELD_MAX = 256 << 10, MCP_BODY_MAX = 64 << 20, LINGER_NS = 1000000000 };

static const struct http1_limits limits = {.line = 32 << 10, .head = 64 << 10, .headers = HTTP1_HEADERS_MAX};

static void on_recv(struct op *op, int result, struct buf *buf, bool more);
static void send_piece(struct serve_conn *conn);
static void feed_held(struct serve_conn *conn);

/* --- the end --- */

/* A connection whose operations are over; it is freed at the end of the turn, because callers further up
 * still look at it. */
static void
conn_release(struct serve_conn *conn)
{
    if (op_busy(&conn->recv) || op_busy(&conn->send))
        return;
    list_del(&conn->node);
    list_add_tail(&conn->serve->dead, &conn->node);
}

void
serve_conn_free_dead(struct serve *serve)
{
    struct list_node *node;

    while ((node = list_pop(&serve->dead))) {
        struct serve_conn *conn = container_of(node, struct serve_conn, node);

        ring_close(serve->ring, conn->fd);
        serve->open_count--;
        bytes_done(&conn->in);
        bytes_done(&conn->memo);
        bytes_done(&conn->body);
        bytes_done(&conn->text);
        bytes_done(&conn->last_event);
        bytes_done(&conn->progress_token);
        bytes_done(&conn->subscription);
        serve_ws_done(conn);
        pool_put(&serve->conns, conn);
    }
}

void
serve_conn_close(struct serve_conn *conn)
{
    if (conn->closing)
        return;
    conn->closing = true;
    pacer_stop(&conn->serve->pacer, &conn->pace);
    ring_shutdown(conn->serve->ring, conn->fd, SHUT_RDWR);
    ring_cancel(conn->serve->ring, &conn->recv);
    ring_cancel(conn->serve->ring, &conn->send);
    conn_release(conn);
}

static void
on_linger_end(struct pacer_item *item, uint64_t now_ns)
{
    serve_conn_close(container_of(item, struct serve_conn, pace));
}

/* Ends our side and reads the peer's to its end: closing with unread bytes would reset the connection, and
 * the peer might lose the end of the reply. */
static void
finish_connection(struct serve_conn *conn)
{
    conn->input = INPUT_OVER;
    conn->in.len = 0;
    if (conn->peer_done || conn->how.close != CLOSE_POINT_NONE) {
        serve_conn_close(conn);
        return;
    }
    ring_shutdown(conn->serve->ring, conn->fd, SHUT_WR);
    pacer_set(&conn->serve->pacer, &conn->pace, ring_now(conn->serve->ring) + LINGER_NS, on_linger_end);
    if (!op_busy(&conn->recv))
        ring_recv(conn->serve->ring, &conn->recv, conn->fd, RING_SMALL, on_recv);
}

/* --- out --- */

static void
reply_finished(struct serve_conn *conn)
{
    conn->output = OUTPUT_NONE;
    if (!conn->keep_alive) {
        finish_connection(conn);
        return;
    }
    if (conn->input == INPUT_HELD) {
        conn->input = INPUT_HEAD;
        feed_held(conn);
    }
}

static void
next_event(struct serve_conn *conn)
{
    serve_reply_event(conn);
    send_piece(conn);
}

static void
on_event_due(struct pacer_item *item, uint64_t now_ns)
{
    struct serve_conn *conn = container_of(item, struct serve_conn, pace);

    next_event(conn);
}

/* After the head or an event has gone. An event that is late, because the one before it had to wait for a
 * slow reader, leaves at once and moves those after it. Those of a burst follow the first one at once. */
static void
pace_stream(struct serve_conn *conn)
{
    struct pacer *pacer = &conn->serve->pacer;
    uint64_t now = ring_now(conn->serve->ring), interval, due;

    if (conn->how.rate == 0 || conn->event_number % conn->how.burst) {
        next_event(conn);
        return;
    }
    interval = (uint64_t)((double)conn->how.burst * 1e9 / conn->how.rate);
    if (conn->event_number == 0 && conn->subscription.len) /* a change is one moment, for all */
        due = now + interval - now % interval;
    else if (conn->event_number == 0) /* spreads streams that begin together, in one turn too */
        due = now +
              (uint64_t)((double)interval * ((double)(conn->serve->paced++ * 618034 % 1000000) / 1000000));
    else
        due = conn->pace.due_ns + interval;
    if (due < now)
        due = now;
    pacer_set(pacer, &conn->pace, due, on_event_due);
}

/* Echoes what waits. */
static void
next_tunnel(struct serve_conn *conn)
{
    struct bytes gone = conn->text;

    if (!conn->in.len) {
        if (conn->peer_done)
            finish_connection(conn);
        else if (!op_busy(&conn->recv))
            ring_recv(conn->serve->ring, &conn->recv, conn->fd, RING_SMALL, on_recv);
        return;
    }
    conn->text = conn->in;
    conn->in = gone;
    conn->in.len = 0;
    conn->iov[0] = (struct iovec){conn->text.at, conn->text.len};
    conn->iov_count = 1;
    send_piece(conn);
    if (!op_busy(&conn->recv) && !conn->peer_done)
        ring_recv(conn->serve->ring, &conn->recv, conn->fd, RING_SMALL, on_recv);
}

static void
piece_sent(struct serve_conn *conn)
{
    switch ((enum serve_output)conn->output) {
    case OUTPUT_LAST:
        reply_finished(conn);
        break;
    case OUTPUT_CONTENT:
        serve_reply_content(conn);
        send_piece(conn);
        break;
    case OUTPUT_STREAM:
        pace_stream(conn);
        break;
    case OUTPUT_TUNNEL:
        next_tunnel(conn);
        break;
    case OUTPUT_NONE:
    case OUTPUT_HANG:
        UNREACHABLE();
    }
}

static void
on_send(struct op *op, int result, struct buf *buf, bool more)
{
    struct serve_conn *conn = container_of(op, struct serve_conn, send);
    struct serve *serve = conn->serve;

    if (result > 0) {
        conn->sent_bytes += (uint64_t)result;
        conn->progress_ns = ring_now(serve->ring);
        serve->counts[conn->kind].bytes += (uint64_t)result;
    }
    if (conn->closing) {
        conn_release(conn);
        return;
    }
    if (result <= 0) {
        serve_conn_close(conn);
        return;
    }
    for (size_t n = (size_t)result; n;) {
        struct iovec *iov = &conn->iov[conn->iov_at];
        size_t part = n < iov->iov_len ? n : iov->iov_len;

        iov->iov_base = (char *)iov->iov_base + part;
        iov->iov_len -= part;
        n -= part;
        if (!iov->iov_len)
            conn->iov_at++;
    }
    if (conn->iov_at < conn->iov_count) {
        ring_send(serve->ring, &conn->send, conn->fd, conn->iov + conn->iov_at,
                  conn->iov_count - conn->iov_at, 0, on_send);
        return;
    }
    piece_sent(conn);
}

/* Without RING_SEND_ALL: each part that the kernel takes is counted, so that the bytes sent to a reader that
 * has stopped are known exactly. */
static void
send_piece(struct serve_conn *conn)
{
    conn->iov_at = 0;
    conn->progress_ns = ring_now(conn->serve->ring);
    ring_send(conn->serve->ring, &conn->send, conn->fd, conn->iov, conn->iov_count, 0, on_send);
}

static void
on_delay_over(struct pacer_item *item, uint64_t now_ns)
{
    send_piece(container_of(item, struct serve_conn, pace));
}

/* The reply is composed. */
static void
start_reply(struct serve_conn *conn)
{
    conn->serve->counts[conn->kind].requests++;
    if (conn->how.close == CLOSE_POINT_BEFORE_HEAD)
        serve_conn_close(conn);
    else if (conn->output == OUTPUT_HANG)
        return;
    else if (conn->how.delay_ns)
        pacer_set(&conn->serve->pacer, &conn->pace, ring_now(conn->serve->ring) + conn->how.delay_ns,
                  on_delay_over);
    else
        send_piece(conn);
}

/* --- in --- */

static void
refuse(struct serve_conn *conn, int status, const char *text)
{
    conn->serve->bad_requests++;
    conn->input = INPUT_HELD;
    serve_reply_refuse(conn, status, text);
    start_reply(conn);
}

/* A request whose body is whole, or that is answered early. */
static void
answer(struct serve_conn *conn, const struct http1_head *head, struct text body)
{
    struct text path = head->target;
    const char *question = memchr(path.at, '?', path.len);

    if (question)
        path.len = (uint32_t)(question - path.at);
    serve_reply(conn, head, path, body);
    if (conn->output == OUTPUT_TUNNEL)
        conn->input = INPUT_TUNNEL;
    start_reply(conn);
}

static void
answer_memo(struct serve_conn *conn)
{
    struct http1_head head;
    enum close_reason why;
    uint32_t used;
    enum parse_result result =
        http1_parse_request(conn->memo.at, (uint32_t)conn->memo.len, 0, &limits, &head, &used, &why);

    ASSERT(result == PARSE_OK); /* it was when it came */
    answer(conn, &head, (struct text){conn->body.at, (uint32_t)conn->body.len});
    conn->memo.len = conn->body.len = 0;
}

static void
body_ended(struct serve_conn *conn)
{
    conn->input = INPUT_HELD;
    if (!conn->how.early)
        answer_memo(conn);
    else if (conn->output == OUTPUT_NONE)
        reply_finished(conn);
}

/* Returns how many bytes were used. */
static uint32_t
feed_body(struct serve_conn *conn, const char *at, uint32_t len)
{
    bool keep = conn->kind == SERVE_MCP && !conn->how.early;
    struct http1_piece piece;
    uint32_t used = 0;

    for (;;) {
        enum http1_body_event event = http1_body_next(&conn->decoder, at + used, len - used, &piece);

        if (event == BODY_DATA) {
            conn->serve->body_bytes += piece.data.len;
            if (keep)
                bytes_add(&conn->body, at + used + piece.data.off, piece.data.len);
        }
        if (event == BODY_BAD || conn->body.len > MCP_BODY_MAX) {
            refuse(conn, event == BODY_BAD ? 400 : 413, "the body is malformed or too long\n");
            return len;
        }
        used += piece.used;
        if (event == BODY_MORE)
            return len;
        if (event == BODY_END) {
            body_ended(conn);
            return used;
        }
    }
}

/* The usual case: a body with a length that came along with its head needs no copy. Returns true when that
 * was so. */
static bool
answer_at_once(struct serve_conn *conn, const struct http1_head *head, const char *body, uint32_t len,
               uint32_t *used)
{
    uint64_t need = head->framing == FRAMING_LENGTH ? head->length : 0;

    if (head->framing == FRAMING_CHUNKED || need > len)
        return false;
    conn->serve->body_bytes += need;
    *used += (uint32_t)need;
    conn->input = INPUT_HELD;
    answer(conn, head, (struct text){body, (uint32_t)need});
    return true;
}

static uint32_t
feed_head(struct serve_conn *conn, const char *at, uint32_t len)
{
    struct http1_head head;
    enum close_reason why;
    struct text path, bad;
    uint32_t used;

    switch (http1_parse_request(at, len, conn->scanned, &limits, &head, &used, &why)) {
    case PARSE_MORE:
        conn->scanned = len;
        return 0;
    case PARSE_BAD:
        refuse(conn, 400, close_reason_info(why)->text);
        return len;
    case PARSE_OK:
        break;
    }
    conn->scanned = 0;
    conn->no_body = head.method == METHOD_HEAD;
    conn->keep_alive = head.keep_alive;
    if (behaviour_parse(head.target, &conn->serve->defaults, &conn->how, &path, &bad) < 0) {
        refuse(conn, 400, "the query has a word that mcpload serve does not know, or a value out of range\n");
        return len;
    }
    conn->kind = serve_path_is_mcp(path) ? SERVE_MCP : SERVE_PLAIN;
    if (answer_at_once(conn, &head, at + used, len - used, &used))
        return used;
    if (head.expect_continue && len == used) {
        static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
        ssize_t n = send(conn->fd, go_on, sizeof(go_on) - 1, MSG_DONTWAIT | MSG_NOSIGNAL);

        (void)n; /* a peer that is gone shows at the next receive */
    }
    http1_body_init(&conn->decoder, head.framing, head.length);
    conn->input = INPUT_BODY;
    if (conn->how.early)
        answer(conn, &head, (struct text){NULL, 0});
    else
        bytes_add(&conn->memo, at, used);
    return used;
}

/* Takes what it can; returns how many bytes. */
static uint32_t
feed(struct serve_conn *conn, const char *at, uint32_t len)
{
    uint32_t used = 0, n;

    do {
        n = 0;
        if (conn->closing || conn->input == INPUT_OVER)
            return len;
        if (conn->input == INPUT_HEAD && used < len)
            n = feed_head(conn, at + used, len - used);
        else if (conn->input == INPUT_BODY)
            n = feed_body(conn, at + used, len - used);
        used += n;
    } while (n && used < len);
    return used;
}

static void
feed_held(struct serve_conn *conn)
{
    struct bytes held = conn->in;
    uint32_t used;

    if (held.len) {
        conn->in = (struct bytes){0};
        used = feed(conn, held.at, (uint32_t)held.len);
        bytes_add(&conn->in, held.at + used, held.len - used);
        bytes_done(&held);
    }
    if (conn->peer_done && conn->input == INPUT_HEAD)
        serve_conn_close(conn);
    else if (!op_busy(&conn->recv) && !conn->peer_done && !conn->closing)
        ring_recv(conn->serve->ring, &conn->recv, conn->fd, RING_SMALL, on_recv);
}

static void
on_bytes(struct serve_conn *conn, char *at, uint32_t len)
{
    uint32_t used;

    if (conn->input == INPUT_TUNNEL) {
        if (conn->ws)
            serve_ws_input(conn, at, len);
        else
            bytes_add(&conn->in, at, len);
        if (!op_busy(&conn->send))
            next_tunnel(conn);
    } else if (conn->in.len) {
        bytes_add(&conn->in, at, len);
        if (conn->input != INPUT_HELD)
            feed_held(conn);
    } else {
        used = feed(conn, at, len);
        bytes_add(&conn->in, at + used, len - used);
    }
    if (conn->in.len > INPUT_HELD_MAX && conn->input != INPUT_HEAD)
        ring_cancel(conn->serve->ring, &conn->recv);
}

/* End of file. A reply under way is finished for a peer that only ended its side; a stream is not. */
static void
on_peer_done(struct serve_conn *conn)
{
    conn->peer_done = true;
    if (conn->input == INPUT_OVER || conn->output == OUTPUT_NONE || conn->output == OUTPUT_STREAM ||
        conn->output == OUTPUT_HANG || !op_busy(&conn->send))
        serve_conn_close(conn);
}

static void
on_recv(struct op *op, int result, struct buf *buf, bool more)
{
    struct serve_conn *conn = container_of(op, struct serve_conn, recv);

    if (buf) {
        if (!conn->closing)
            on_bytes(conn, (char *)buf->data, (uint32_t)result);
        buf_unref(buf);
        return; /* the ring goes on by itself */
    }
    if (conn->closing)
        conn_release(conn);
    else if (result == 0)
        on_peer_done(conn);
    else if (result != -ECANCELED)
        serve_conn_close(conn);
    else if (conn->input == INPUT_HEAD || conn->input == INPUT_BODY)
        feed_held(conn); /* held back, and wanted again meanwhile */
    else if (conn->input == INPUT_TUNNEL && !op_busy(&conn->send))
        next_tunnel(conn);
}

void
serve_conn_new(struct serve *serve, int fd)
{
    struct serve_conn *conn = pool_get(&serve->conns);

    conn->serve = serve;
    conn->fd = fd;
    conn->input = INPUT_HEAD;
    list_add_tail(&serve->open, &conn->node);
    serve->accepted++;
    serve->open_count++;
    ring_recv(serve->ring, &conn->recv, fd, RING_SMALL, on_recv);
}
