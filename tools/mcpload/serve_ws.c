/* SPDX-License-Identifier: Apache-2.0 */
/* The mock upstream as a WebSocket server: each message comes back as it is, or, below /mcp, is answered. */
#include "proto/ws.h"
#include "proto/ws_key.h"
#include "serve.h"

enum { MESSAGE_MAX = 64 << 20 };

struct serve_ws {
    struct ws_parser parser;
    struct bytes message; /* one in fragments */
    bool is_mcp;
    struct bytes answer;
};

bool
serve_ws_wanted(const struct http1_head *head)
{
    return head->upgrade && http_list_has(http1_value(head, HTTP_UPGRADE), TEXT("websocket")) &&
           http1_value(head, HTTP_SEC_WEBSOCKET_KEY).len;
}

void
serve_ws_reply(struct serve_conn *conn, const struct http1_head *head)
{
    bool wants_mcp = http_list_has(http1_value(head, HTTP_SEC_WEBSOCKET_PROTOCOL), TEXT("mcp"));
    char accept[WS_ACCEPT_CHARS];

    if (!ws_key_accept(http1_value(head, HTTP_SEC_WEBSOCKET_KEY), accept)) {
        serve_reply_refuse(conn, 400, "Sec-WebSocket-Key must be 16 bytes in base64\n");
        return;
    }
    conn->ws = calloc(1, sizeof(*conn->ws));
    ASSERT(conn->ws);
    ws_parser_init(&conn->ws->parser, true, false, MESSAGE_MAX);
    conn->ws->is_mcp = conn->kind == SERVE_MCP;
    conn->text.len = 0;
    bytes_print(&conn->text,
                "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                "Sec-WebSocket-Accept: %.*s\r\n%s\r\n",
                WS_ACCEPT_CHARS, accept, wants_mcp ? "Sec-WebSocket-Protocol: mcp\r\n" : "");
    conn->kind = SERVE_WS;
    conn->keep_alive = false;
    conn->iov[0] = (struct iovec){conn->text.at, conn->text.len};
    conn->iov_count = 1;
    conn->output = OUTPUT_TUNNEL;
}

static void
add_frame(struct serve_conn *conn, enum ws_opcode opcode, struct text payload)
{
    uint8_t head[WS_HEAD_MAX];

    bytes_add(&conn->in, head, ws_write_head(head, opcode, true, false, payload.len, NULL));
    bytes_text(&conn->in, payload);
}

static void
add_close(struct serve_conn *conn, unsigned code)
{
    uint8_t frame[2 + WS_CONTROL_MAX];

    bytes_add(&conn->in, frame, ws_write_close(frame, code, (struct text){"", 0}));
    conn->peer_done = true; /* next_tunnel() ends the connection when this has left */
}

static void
answer(struct serve_conn *conn, enum ws_opcode opcode, struct text message)
{
    struct bytes *text = &conn->ws->answer;

    if (conn->ws->is_mcp) {
        text->len = 0;
        serve_mcp_answer(conn, message, text);
        message = (struct text){text->at, (uint32_t)text->len};
    }
    if (message.len || !conn->ws->is_mcp)
        add_frame(conn, opcode, message);
}

static void
take(struct serve_conn *conn, const struct ws_event *e)
{
    struct bytes *message = &conn->ws->message;

    if (e->opcode == WS_PING)
        add_frame(conn, WS_PONG, e->payload);
    else if (e->opcode == WS_CLOSE)
        add_close(conn, e->code);
    if (e->opcode >= WS_CLOSE)
        return;
    conn->serve->counts[SERVE_WS].requests += e->ends;
    if (e->begins && e->ends) {
        answer(conn, (enum ws_opcode)e->opcode, e->payload);
        return;
    }
    bytes_text(message, e->payload);
    if (!e->ends)
        return;
    answer(conn, (enum ws_opcode)e->opcode, (struct text){message->at, (uint32_t)message->len});
    message->len = 0;
}

void
serve_ws_input(struct serve_conn *conn, char *at, uint32_t len)
{
    struct ws_event e;
    uint32_t used;

    while (len && !conn->peer_done) {
        enum parse_result result = ws_parser_next(&conn->ws->parser, at, len, &used, &e);

        if (result == PARSE_BAD) {
            conn->serve->bad_requests++;
            add_close(conn, ws_fault_code((enum ws_fault)conn->ws->parser.fault));
        }
        if (result != PARSE_OK)
            return;
        at += used;
        len -= used;
        take(conn, &e);
    }
}

void
serve_ws_done(struct serve_conn *conn)
{
    if (conn->ws) {
        bytes_done(&conn->ws->message);
        bytes_done(&conn->ws->answer);
    }
    free(conn->ws);
}
