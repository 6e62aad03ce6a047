/* SPDX-License-Identifier: Apache-2.0 */
/* One connection of `mcpload ws`: upgrade, messages out, messages in. Who sends when is ws.c's. */
#include "ws.h"

#include "proto/http1.h"

#include <errno.h>
#include <sys/random.h>

/* --- out --- */

static void on_sent(struct op *op, int result, struct buf *buf, bool more);

void
ws_conn_flush(struct ws_conn *conn)
{
    struct bytes gone = conn->sending;

    if (op_busy(&conn->send) || !conn->out.len || !conn->is_open)
        return;
    conn->sending = conn->out;
    conn->out = gone;
    conn->out.len = 0;
    conn->iov = (struct iovec){conn->sending.at, conn->sending.len};
    ring_send(conn->load->ring, &conn->send, conn->fd, &conn->iov, 1, RING_SEND_ALL, on_sent);
}

/* Masks need only differ here: xorshift64. */
static void
next_mask(struct ws_load *load, uint8_t mask[4])
{
    uint64_t x = load->mask_state;

    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    load->mask_state = x;
    memcpy(mask, &x, 4);
}

static void
add_frame(struct ws_conn *conn, enum ws_opcode opcode, struct text payload, uint64_t stamp_ns)
{
    uint8_t head[WS_HEAD_MAX], mask[4];
    char *at;

    next_mask(conn->load, mask);
    bytes_add(&conn->out, head, ws_write_head(head, opcode, true, false, payload.len, mask));
    at = bytes_room(&conn->out, payload.len);
    memcpy(at, payload.at, payload.len);
    if (stamp_ns)
        stamp_digits(at + WS_STAMP_AT, STAMP_DIGITS, stamp_ns);
    ws_mask(at, payload.len, mask, 0);
    conn->out.len += payload.len;
}

void
ws_conn_send(struct ws_conn *conn, uint64_t stamp_ns)
{
    const struct bytes *message = &conn->load->message;

    conn->under_way += !conn->is_slow;
    add_frame(conn, conn->load->config.binary ? WS_BINARY : WS_TEXT,
              (struct text){message->at, (uint32_t)message->len}, stamp_ns);
    if (conn->load->part.stage->phase == PHASE_MEASURE)
        conn->load->part.tally.sent_bytes += message->len;
}

bool
ws_conn_has_room(const struct ws_conn *conn)
{
    return conn->is_upgraded && !conn->is_over && conn->under_way < conn->load->config.pipeline;
}

/* --- the connection --- */

static void
released(struct ws_conn *conn)
{
    if (conn->fd < 0 || op_busy(&conn->recv) || op_busy(&conn->send))
        return;
    ring_close(conn->load->ring, conn->fd);
    conn->fd = -1;
    conn->load->part.open--;
}

void
ws_conn_close(struct ws_conn *conn)
{
    if (conn->is_over)
        return;
    conn->is_over = true;
    conn->is_open = false;
    if (conn->fd < 0)
        return;
    slow_reader_end(&conn->slow);
    ring_shutdown(conn->load->ring, conn->fd, SHUT_RDWR);
    ring_cancel(conn->load->ring, &conn->recv);
    ring_cancel(conn->load->ring, &conn->send);
    released(conn);
}

/* What was under way on it is lost, each of it. A slow reader may be given up. */
static void
fail(struct ws_conn *conn, enum error_kind kind)
{
    struct ws_load *load = conn->load;

    if (!conn->is_over && !conn->is_upgraded)
        load->lost++;
    if (!conn->is_over && load->part.stage->phase < PHASE_CLOSE && !(conn->is_slow && conn->is_upgraded))
        load->part.tally.errors[kind] += conn->under_way ? conn->under_way : 1;
    conn->under_way = 0;
    ws_conn_close(conn);
}

/* One message after the other until the server takes no more, since nobody reads what it sends back. */
static void
feed_slow(struct ws_conn *conn)
{
    if (conn->load->part.stage->phase < PHASE_DRAIN && !conn->out.len)
        ws_conn_send(conn, ring_now(conn->load->ring));
    ws_conn_flush(conn);
}

static void
on_sent(struct op *op, int result, struct buf *buf, bool more)
{
    struct ws_conn *conn = container_of(op, struct ws_conn, send);

    (void)buf, (void)more;
    if (conn->is_over)
        released(conn);
    else if (result <= 0)
        fail(conn, ERROR_RESET);
    else if (conn->is_slow && conn->is_upgraded)
        feed_slow(conn);
    else
        ws_conn_flush(conn);
}

/* --- in --- */

static void
measure(struct ws_conn *conn, uint64_t sent_ns)
{
    struct ws_load *load = conn->load;
    struct histogram *measures = load->part.tally.measures;
    uint64_t now = ring_now(load->ring), delay = now > sent_ns ? now - sent_ns : 0;

    load->part.requests_all++;
    if (stage_in_window(load->part.stage))
        load->part.tally.finished++;
    if (stage_is_within(load->part.stage, sent_ns)) {
        load->part.tally.requests++;
        histogram_add(&measures[MEASURE_LATENCY], delay);
        if (conn->last_ns) {
            histogram_add(&measures[MEASURE_EVENT_GAP], now - conn->last_ns);
            histogram_add(&measures[MEASURE_JITTER],
                          delay > conn->delay_ns ? delay - conn->delay_ns : conn->delay_ns - delay);
        }
    }
    conn->last_ns = now;
    conn->delay_ns = delay;
}

/* A message may come in pieces; only its beginning is looked at. */
static bool
take_piece(struct ws_conn *conn, const struct ws_event *e)
{
    uint32_t n = (uint32_t)sizeof conn->stamp - (e->begins ? 0 : conn->stamp_len);
    uint64_t sent = 0;

    if (e->begins)
        conn->stamp_len = 0;
    if (n > e->payload.len)
        n = e->payload.len;
    memcpy(conn->stamp + conn->stamp_len, e->payload.at, n);
    conn->stamp_len += n;
    if (conn->load->part.stage->phase == PHASE_MEASURE)
        conn->load->part.tally.received_bytes += e->payload.len;
    if (!e->ends)
        return true;
    if (conn->stamp_len < sizeof conn->stamp || memcmp(conn->stamp, "{\"ns\":\"", WS_STAMP_AT) != 0 ||
        !stamp_digits_read((struct text){conn->stamp + WS_STAMP_AT, STAMP_DIGITS}, STAMP_DIGITS, &sent) ||
        !conn->under_way)
        return false;
    conn->under_way--;
    measure(conn, sent);
    return true;
}

static void
take_frames(struct ws_conn *conn, char *at, uint32_t len)
{
    struct ws_event e;
    uint32_t used;

    while (len && !conn->is_over) {
        enum parse_result result = ws_parser_next(&conn->parser, at, len, &used, &e);

        if (result == PARSE_MORE)
            break;
        at += used;
        len -= used;
        if (result == PARSE_BAD)
            fail(conn, ERROR_REPLY);
        else if (e.opcode == WS_PING)
            add_frame(conn, WS_PONG, e.payload, 0);
        else if (e.opcode == WS_CLOSE)
            fail(conn, ERROR_CLOSED);
        else if (e.opcode != WS_PONG && !take_piece(conn, &e))
            fail(conn, ERROR_REPLY);
    }
    if (!conn->is_over) {
        ws_conn_flush(conn);
        ws_fill(conn);
    }
}

/* True: it is here whole and as it must be; *ret_rest is what came behind it. */
static bool
take_head(struct ws_conn *conn, struct text *ret_rest)
{
    static const struct http1_limits limits = {
        .line = 8 << 10, .head = 32 << 10, .headers = HTTP1_HEADERS_MAX};
    struct http1_head head;
    char accept[WS_ACCEPT_CHARS];
    enum close_reason why;
    uint32_t used;

    switch (http1_parse_reply(conn->head.at, (uint32_t)conn->head.len, 0, METHOD_GET, &limits, &head, &used,
                              &why)) {
    case PARSE_MORE:
        return false;
    case PARSE_BAD:
        fail(conn, ERROR_REPLY);
        return false;
    case PARSE_OK:
        break;
    }
    if (head.status / 100 < 6)
        conn->load->part.tally.statuses[head.status / 100]++;
    if (head.status != 101) {
        fail(conn, ERROR_STATUS);
        return false;
    }
    if (!ws_key_accept((struct text){conn->key, WS_KEY_CHARS}, accept) ||
        !text_eq(http1_value(&head, HTTP_SEC_WEBSOCKET_ACCEPT), (struct text){accept, WS_ACCEPT_CHARS})) {
        fail(conn, ERROR_REPLY);
        return false;
    }
    *ret_rest = (struct text){conn->head.at + used, (uint32_t)conn->head.len - used};
    return true;
}

static void on_recv(struct op *op, int result, struct buf *buf, bool more);

static void
on_bytes(struct ws_conn *conn, char *at, uint32_t len)
{
    struct text rest;

    if (conn->is_upgraded) {
        take_frames(conn, at, len);
        return;
    }
    bytes_add(&conn->head, at, len);
    if (!take_head(conn, &rest))
        return;
    conn->is_upgraded = true;
    conn->load->upgraded++;
    if (conn->is_slow) {
        slow_reader_begin(&conn->slow, conn->load->ring, &conn->recv, conn->fd, conn->load->config.slow_rate,
                          on_recv);
        feed_slow(conn);
        return;
    }
    ws_parser_init(&conn->parser, false, false, 0);
    take_frames(conn, (char *)(uintptr_t)rest.at, rest.len);
    ws_fill(conn);
}

static void
on_recv(struct op *op, int result, struct buf *buf, bool more)
{
    struct ws_conn *conn = container_of(op, struct ws_conn, recv);

    if (buf) {
        if (conn->is_slow && conn->is_upgraded)
            slow_reader_took(&conn->slow, (uint64_t)result);
        else if (!conn->is_over)
            on_bytes(conn, (char *)buf->data, (uint32_t)result);
        buf_unref(buf);
        return;
    }
    (void)more;
    if (conn->is_over)
        released(conn);
    else if (result != -ECANCELED)
        fail(conn, result == 0 ? ERROR_CLOSED : ERROR_RESET);
}

static void
send_upgrade(struct ws_conn *conn)
{
    const struct ws_load *load = conn->load;
    uint8_t nonce[WS_NONCE_BYTES];

    ASSERT(getrandom(nonce, sizeof nonce, 0) == sizeof nonce);
    ws_key_make(nonce, conn->key);
    bytes_print(&conn->out,
                "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %.*s\r\n",
                load->url.path, load->url.authority, WS_KEY_CHARS, conn->key);
    for (unsigned i = 0; i < load->config.headers.count; i++)
        bytes_print(&conn->out, "%s\r\n", load->config.headers.items[i]);
    bytes_print(&conn->out, "\r\n");
    ws_conn_flush(conn);
}

static void
on_connect(struct op *op, int result, struct buf *buf, bool more)
{
    struct ws_conn *conn = container_of(op, struct ws_conn, send);

    (void)buf, (void)more;
    if (conn->is_over) {
        released(conn);
    } else if (result < 0) {
        fail(conn, ERROR_CONNECT);
    } else {
        conn->load->part.tally.connects++;
        conn->is_open = true;
        ring_recv(conn->load->ring, &conn->recv, conn->fd, RING_SMALL, on_recv);
        send_upgrade(conn);
    }
}

void
ws_conn_connect(struct ws_conn *conn)
{
    const struct address *address = &conn->load->url.address;
    uint64_t rcvbuf = conn->load->config.rcvbuf;

    ring_set_connect_buffers(conn->load->ring,
                             (unsigned)(conn->is_slow && !rcvbuf ? SLOW_READER_RCVBUF : rcvbuf), 0);
    conn->fd = ring_connect(conn->load->ring, &conn->send, (const struct sockaddr *)&address->sa,
                            address->len, on_connect);
    if (conn->fd < 0)
        fail(conn, ERROR_CONNECT);
    else
        conn->load->part.open++;
}

void
ws_conn_done(struct ws_conn *conn)
{
    bytes_done(&conn->head);
    bytes_done(&conn->out);
    bytes_done(&conn->sending);
}
