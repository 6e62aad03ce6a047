/* SPDX-License-Identifier: Apache-2.0 */
/* One connection of `mcpload ws`: upgrade, messages out, messages in. Who sends when is ws.c's. */
#include "ws.h"

#include "proto/http1.h"
#include "proto/jsonrpc.h"

#include <errno.h>
#include <sys/random.h>

#define INITIALIZE                                                                                           \
    "{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"initialize\",\"params\":{\"protocolVersion\":\"2025-11-"     \
    "25\","                                                                                                  \
    "\"capabilities\":{},\"clientInfo\":{\"name\":\"mcpload\",\"version\":\"" MCPGATE_VERSION "\"}}}"

/* --- out --- */

static void on_sent(struct op *op, int result, struct buf *buf, bool more);
static void on_recv(struct op *op, int result, struct buf *buf, bool more);

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
add_frame(struct ws_conn *conn, enum ws_opcode opcode, struct text payload)
{
    uint8_t head[WS_HEAD_MAX], mask[4];
    char *at;

    next_mask(conn->load, mask);
    bytes_add(&conn->out, head, ws_write_head(head, opcode, true, false, payload.len, mask));
    at = bytes_room(&conn->out, payload.len);
    memcpy(at, payload.at, payload.len);
    ws_mask(at, payload.len, mask, 0);
    conn->out.len += payload.len;
}

static void
add_text(struct ws_conn *conn, struct text text)
{
    add_frame(conn, conn->load->config.binary ? WS_BINARY : WS_TEXT, text);
    if (stage_in_window(conn->load->part.stage))
        conn->load->part.tally.sent_bytes += text.len;
}

void
ws_conn_send(struct ws_conn *conn, uint64_t stamp_ns)
{
    struct ws_load *load = conn->load;
    struct ws_message *message = &load->messages[priority_next(&load->priorities)];

    conn->under_way += !conn->is_slow;
    conn->sent++;
    ws_message_stamp(message, stamp_ns, load->next_number++);
    add_text(conn, (struct text){message->text.at, (uint32_t)message->text.len});
}

bool
ws_conn_has_room(const struct ws_conn *conn)
{
    const struct ws_config *c = &conn->load->config;

    return conn->is_ready && !conn->is_over && conn->under_way < c->pipeline &&
           (!c->messages || conn->sent < c->messages);
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
    if (conn->comes_back && conn->load->part.stage->phase < PHASE_DRAIN)
        ws_conn_connect(conn);
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

    if (!conn->is_over && !conn->was_ready)
        load->lost++;
    if (!conn->is_over && load->part.stage->phase < PHASE_CLOSE && !(conn->is_slow && conn->is_ready))
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
    else if (conn->is_slow && conn->is_ready)
        feed_slow(conn);
    else
        ws_conn_flush(conn);
}

/* --- in --- */

/* A gap lies between messages of any class, so those are not kept by class. */
static void
measure(struct ws_conn *conn, const struct ws_origin *origin)
{
    struct ws_load *load = conn->load;
    struct tally *tally = &load->part.tally;
    uint64_t now = ring_now(load->ring), delay = now > origin->sent_ns ? now - origin->sent_ns : 0;

    load->part.requests_all++;
    tally->finished += stage_in_window(load->part.stage);
    if (stage_is_within(load->part.stage, origin->sent_ns)) {
        tally->requests++;
        tally_add(tally, MEASURE_LATENCY, origin->priority, delay);
        if (conn->last_ns) {
            histogram_add(&tally->measures[MEASURE_EVENT_GAP], now - conn->last_ns);
            histogram_add(&tally->measures[MEASURE_JITTER],
                          delay > conn->delay_ns ? delay - conn->delay_ns : conn->delay_ns - delay);
        } else if (stage_is_within(load->part.stage, conn->begin_ns)) {
            tally_add(tally, MEASURE_FIRST_EVENT, origin->priority, now - conn->begin_ns);
        }
    }
    conn->last_ns = now;
    conn->delay_ns = delay;
}

/* After --messages: a close and its answer (RFC 6455 section 7.1.2), then a new connection. */
static void
leave(struct ws_conn *conn)
{
    static const char normal[] = {WS_CLOSE_NORMAL >> 8, (char)(WS_CLOSE_NORMAL & 0xff)};

    conn->is_leaving = conn->comes_back = true;
    add_frame(conn, WS_CLOSE, (struct text){normal, sizeof normal});
}

static void
become_ready(struct ws_conn *conn)
{
    conn->load->ready += !conn->was_ready;
    conn->is_ready = conn->was_ready = true;
    if (!conn->is_slow)
        return;
    slow_reader_begin(&conn->slow, conn->load->ring, &conn->recv, conn->fd, conn->load->config.slow_rate,
                      on_recv);
    feed_slow(conn);
}

/* The answer to initialize; who sends the question back is no MCP server. */
static enum error_kind
take_greeting(struct ws_conn *conn, struct text message)
{
    struct jsonrpc_envelope envelope;

    if (jsonrpc_scan(message, JSON_SCAN_FAST, &envelope) != JSONRPC_FAULT_FINE)
        return ERROR_REPLY;
    if (envelope.kind == JSONRPC_REQUEST && text_eq(envelope.method, TEXT("initialize")))
        return ERROR_REPLY;
    if (envelope.kind == JSONRPC_NOTIFICATION || envelope.kind == JSONRPC_REQUEST)
        return ERROR_NONE;
    if (envelope.kind != JSONRPC_RESPONSE)
        return ERROR_JSONRPC;
    add_text(conn, TEXT("{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}"));
    become_ready(conn);
    return ERROR_NONE;
}

static enum error_kind
take_message(struct ws_conn *conn, struct text message)
{
    struct ws_load *load = conn->load;
    struct ws_origin origin;
    enum error_kind error;
    bool other;

    if (!conn->is_ready)
        return take_greeting(conn, message);
    error = ws_message_read(load->form, message, &origin, &other);
    if (other)
        return ERROR_NONE;
    if (error == ERROR_REPLY || error == ERROR_ID || !conn->under_way)
        return error == ERROR_NONE ? ERROR_ID : error;
    conn->under_way--;
    if (error == ERROR_NONE)
        measure(conn, &origin);
    else
        load->part.tally.errors[error]++;
    if (load->config.messages && conn->sent >= load->config.messages && !conn->under_way)
        leave(conn);
    return ERROR_NONE;
}

/* A message may come in pieces; of a plain one only the beginning is looked at. */
static enum error_kind
take_piece(struct ws_conn *conn, const struct ws_event *e)
{
    size_t look = conn->load->form == WS_FORM_PLAIN ? WS_PLAIN_LOOK : 2 * WS_MESSAGE_MAX, room;
    struct text message = e->payload;

    if (stage_in_window(conn->load->part.stage))
        conn->load->part.tally.received_bytes += e->payload.len;
    if (e->begins)
        conn->message.len = 0;
    if (!e->begins || !e->ends) {
        room = look - conn->message.len;
        bytes_add(&conn->message, e->payload.at, e->payload.len < room ? e->payload.len : room);
        message = (struct text){conn->message.at, (uint32_t)conn->message.len};
    }
    return e->ends ? take_message(conn, message) : ERROR_NONE;
}

static void
take_event(struct ws_conn *conn, const struct ws_event *e)
{
    enum error_kind error = ERROR_NONE;

    if (e->opcode == WS_PING)
        add_frame(conn, WS_PONG, e->payload);
    else if (e->opcode == WS_CLOSE && conn->is_leaving)
        ws_conn_close(conn);
    else if (e->opcode == WS_CLOSE)
        error = ERROR_CLOSED;
    else if (e->opcode != WS_PONG)
        error = take_piece(conn, e);
    if (error != ERROR_NONE)
        fail(conn, error);
}

static void
take_frames(struct ws_conn *conn, char *at, uint32_t len)
{
    struct ws_event e;
    uint32_t used;

    while (len && !conn->is_over && !(conn->is_slow && conn->is_ready)) {
        enum parse_result result = ws_parser_next(&conn->parser, at, len, &used, &e);

        if (result == PARSE_MORE)
            break;
        at += used;
        len -= used;
        if (result == PARSE_BAD)
            fail(conn, ERROR_REPLY);
        else
            take_event(conn, &e);
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
    ws_parser_init(&conn->parser, false, false, 0);
    if (stage_is_within(conn->load->part.stage, conn->begin_ns))
        tally_add(&conn->load->part.tally, MEASURE_FIRST_BYTE, PRIORITY_NONE,
                  ring_now(conn->load->ring) - conn->begin_ns);
    if (conn->load->is_mcp)
        add_text(conn, TEXT(INITIALIZE));
    else
        become_ready(conn);
    take_frames(conn, (char *)(uintptr_t)rest.at, rest.len);
}

static void
on_recv(struct op *op, int result, struct buf *buf, bool more)
{
    struct ws_conn *conn = container_of(op, struct ws_conn, recv);

    if (buf) {
        if (conn->is_slow && conn->is_ready)
            slow_reader_took(&conn->slow, (uint64_t)result);
        else if (!conn->is_over)
            on_bytes(conn, (char *)buf->data, (uint32_t)result);
        buf_unref(buf);
        return;
    }
    (void)more;
    if (conn->is_over)
        released(conn);
    else if (conn->is_leaving)
        ws_conn_close(conn);
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
                "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %.*s\r\n%s",
                load->url.path, load->url.authority, WS_KEY_CHARS, conn->key,
                load->is_mcp ? "Sec-WebSocket-Protocol: mcp\r\n" : "");
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
    unsigned slow = conn->is_slow ? SLOW_READER_BUFFER : 0, rcvbuf = (unsigned)conn->load->config.rcvbuf;

    conn->is_open = conn->is_upgraded = conn->is_ready = conn->is_leaving = conn->is_over = conn->comes_back =
        false;
    conn->head.len = conn->out.len = 0;
    conn->sent = conn->last_ns = 0;
    conn->begin_ns = ring_now(conn->load->ring);
    ring_set_connect_buffers(conn->load->ring, rcvbuf ? rcvbuf : slow, slow);
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
    bytes_done(&conn->message);
}
