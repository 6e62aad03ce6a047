/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `mcpload ws`: messages over WebSocket to a server that sends each one back (`mcpload serve`), straight or
 * through a gateway. A message tells when it was sent, so that what comes back needs no table:
 *
 *     {"ns":"01234567890123456","pad":"xxx..."}
 *
 * Closed loop: --pipeline of them are under way on each connection. Open loop: they leave at --rate, whatever
 * comes back, in turn over the connections; one that finds its connection's --pipeline used up waits, and its
 * latency runs.
 */
#include "proto/ws.h"
#include "address.h"
#include "bytes.h"
#include "config.h"
#include "cpu.h"
#include "mcpload.h"
#include "pacer.h"
#include "proto/http1.h"
#include "proto/ws_key.h"
#include "ring/ring.h"
#include "tally.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <sys/random.h>
#include <unistd.h>

enum {
    MESSAGE_MIN = 64,
    MESSAGE_MAX = 16 << 20,
    STAMP_AT = 7,
    STAMP_DIGITS = 17,
    DRAIN_NS_PER_S = 1000000000
};

enum phase { WARMUP, MEASURE, DRAIN, CLOSED };

struct ws_conn {
    struct ws_load *load;
    struct op recv, send;
    int fd;
    bool is_open, is_upgraded, is_over; /* the socket stands; the 101 came; nothing more is wanted */
    uint32_t under_way;
    uint64_t last_ns, gap_ns; /* of what came back; 0: not yet */
    struct ws_parser parser;
    struct bytes head;         /* the reply to the upgrade, as far as it is here */
    struct bytes out, sending; /* frames: waiting, and with the kernel */
    struct iovec iov;
    char stamp[STAMP_AT + STAMP_DIGITS];
    uint32_t stamp_len; /* of the message that comes back in pieces */
    char key[WS_KEY_CHARS];
};

struct ws_load {
    struct ws_config config;
    struct url url;
    struct ring *ring;
    struct pacer pacer;
    struct pacer_item due_item;
    struct timer phase_timer, progress_timer;
    struct op signals;
    int signal_fd;
    enum phase phase;
    struct ws_conn *conns;
    uint32_t ready, open;
    struct bytes message; /* unmasked, the stamp's digits zero */
    uint64_t begin_ns, window_begin_ns, window_end_ns, drain_end_ns, cpu_begin_ns;
    uint64_t first_due_ns, due, started; /* open loop */
    uint64_t mask_state, progress_messages, messages_all;
    struct tally tally;
};

static uint64_t
sum_under_way(const struct ws_load *load)
{
    uint64_t n = 0;

    for (uint64_t i = 0; i < load->config.connections; i++)
        n += load->conns[i].under_way;
    return n;
}

/* --- out --- */

static void on_sent(struct op *op, int result, struct buf *buf, bool more);

static void
flush(struct ws_conn *conn)
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
    for (int i = STAMP_DIGITS - 1; i >= 0 && stamp_ns; i--, stamp_ns /= 10)
        at[STAMP_AT + i] = (char)('0' + stamp_ns % 10);
    ws_mask(at, payload.len, mask, 0);
    conn->out.len += payload.len;
}

static void
send_message(struct ws_conn *conn, uint64_t stamp_ns)
{
    const struct bytes *message = &conn->load->message;

    conn->under_way++;
    add_frame(conn, conn->load->config.binary ? WS_BINARY : WS_TEXT,
              (struct text){message->at, (uint32_t)message->len}, stamp_ns);
    if (conn->load->phase == MEASURE)
        conn->load->tally.sent_bytes += message->len;
}

static bool
has_room(const struct ws_conn *conn)
{
    return conn->is_upgraded && !conn->is_over && conn->under_way < conn->load->config.pipeline;
}

static uint64_t
intended_ns(const struct ws_load *load, uint64_t number)
{
    return load->first_due_ns + (uint64_t)((double)number * 1e9 / load->config.rate);
}

/* Open loop: what is due leaves in order. */
static void
start_due(struct ws_load *load)
{
    while (load->started < load->due) {
        struct ws_conn *conn = &load->conns[load->started % load->config.connections];

        if (!has_room(conn))
            break;
        send_message(conn, intended_ns(load, load->started++));
        flush(conn);
    }
    if (load->phase == MEASURE && load->due - load->started > load->tally.queued_max)
        load->tally.queued_max = load->due - load->started;
}

static void
on_due(struct pacer_item *item, uint64_t now_ns)
{
    struct ws_load *load = container_of(item, struct ws_load, due_item);

    while (intended_ns(load, load->due) <= now_ns)
        load->due++;
    start_due(load);
    pacer_set(&load->pacer, item, intended_ns(load, load->due), on_due);
}

static void
fill_pipeline(struct ws_conn *conn)
{
    struct ws_load *load = conn->load;

    if (load->phase >= DRAIN)
        return;
    if (load->config.rate > 0) {
        start_due(load);
        return;
    }
    while (has_room(conn))
        send_message(conn, ring_now(load->ring));
    flush(conn);
}

/* --- the connection --- */

static void
released(struct ws_conn *conn)
{
    if (conn->fd < 0 || op_busy(&conn->recv) || op_busy(&conn->send))
        return;
    ring_close(conn->load->ring, conn->fd);
    conn->fd = -1;
    conn->load->open--;
}

static void
close_conn(struct ws_conn *conn)
{
    if (conn->is_over)
        return;
    conn->is_over = true;
    conn->is_open = false;
    if (conn->fd < 0)
        return;
    ring_shutdown(conn->load->ring, conn->fd, SHUT_RDWR);
    ring_cancel(conn->load->ring, &conn->recv);
    ring_cancel(conn->load->ring, &conn->send);
    released(conn);
}

/* What was under way on it is lost, each of it. */
static void
fail(struct ws_conn *conn, enum error_kind kind)
{
    struct ws_load *load = conn->load;

    if (!conn->is_over && load->phase < CLOSED)
        load->tally.errors[kind] += conn->under_way ? conn->under_way : 1;
    conn->under_way = 0;
    close_conn(conn);
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
    else
        flush(conn);
}

/* --- in --- */

static void
measure(struct ws_conn *conn, uint64_t sent_ns)
{
    struct ws_load *load = conn->load;
    struct histogram *measures = load->tally.measures;
    uint64_t now = ring_now(load->ring), gap = conn->last_ns ? now - conn->last_ns : 0;

    load->messages_all++;
    if (load->phase == MEASURE)
        load->tally.finished++;
    if (sent_ns >= load->window_begin_ns && load->window_begin_ns &&
        (!load->window_end_ns || sent_ns < load->window_end_ns)) {
        load->tally.requests++;
        histogram_add(&measures[MEASURE_LATENCY], now > sent_ns ? now - sent_ns : 0);
        if (conn->gap_ns)
            histogram_add(&measures[MEASURE_JITTER],
                          gap > conn->gap_ns ? gap - conn->gap_ns : conn->gap_ns - gap);
        if (gap)
            histogram_add(&measures[MEASURE_EVENT_GAP], gap);
    }
    conn->gap_ns = gap;
    conn->last_ns = now;
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
    if (conn->load->phase == MEASURE)
        conn->load->tally.received_bytes += e->payload.len;
    if (!e->ends)
        return true;
    if (conn->stamp_len < sizeof conn->stamp || memcmp(conn->stamp, "{\"ns\":\"", STAMP_AT) != 0 ||
        !conn->under_way)
        return false;
    for (int i = 0; i < STAMP_DIGITS; i++)
        sent = sent * 10 + (uint64_t)(conn->stamp[STAMP_AT + i] - '0');
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
        flush(conn);
        fill_pipeline(conn);
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
        conn->load->tally.statuses[head.status / 100]++;
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
    conn->load->ready++;
    ws_parser_init(&conn->parser, false, false, 0);
    take_frames(conn, (char *)(uintptr_t)rest.at, rest.len);
    fill_pipeline(conn);
}

static void
on_recv(struct op *op, int result, struct buf *buf, bool more)
{
    struct ws_conn *conn = container_of(op, struct ws_conn, recv);

    if (buf) {
        if (!conn->is_over)
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
    flush(conn);
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
        conn->load->tally.connects++;
        conn->is_open = true;
        ring_recv(conn->load->ring, &conn->recv, conn->fd, RING_SMALL, on_recv);
        send_upgrade(conn);
    }
}

static void
start_connect(struct ws_conn *conn)
{
    const struct address *address = &conn->load->url.address;

    conn->fd = ring_connect(conn->load->ring, &conn->send, (const struct sockaddr *)&address->sa,
                            address->len, on_connect);
    if (conn->fd < 0)
        fail(conn, ERROR_CONNECT);
    else
        conn->load->open++;
}

/* --- the run --- */

static void
end_window(struct ws_load *load)
{
    if (load->phase >= DRAIN)
        return;
    load->window_end_ns = ring_now(load->ring);
    load->drain_end_ns = load->window_end_ns + load->config.timeout_ns;
    if (load->phase == MEASURE && load->config.cpu_of)
        load->tally.cpu_ns = cpu_of_tree_ns((pid_t)load->config.cpu_of) - load->cpu_begin_ns;
    if (load->phase == MEASURE)
        load->tally.seconds = (double)(load->window_end_ns - load->window_begin_ns) / 1e9;
    load->phase = DRAIN;
    load->tally.not_started = load->due - load->started;
    pacer_stop(&load->pacer, &load->due_item);
}

static void
on_window_end(struct ring *ring, struct timer *timer)
{
    (void)ring;
    end_window(container_of(timer, struct ws_load, phase_timer));
}

static void
on_window_begin(struct ring *ring, struct timer *timer)
{
    struct ws_load *load = container_of(timer, struct ws_load, phase_timer);

    if (load->config.cpu_of)
        load->cpu_begin_ns = cpu_of_tree_ns((pid_t)load->config.cpu_of);
    load->phase = MEASURE;
    load->window_begin_ns = ring_now(ring);
    timer_set(ring, timer, load->config.duration_ns / 1000000, on_window_end);
}

static void
on_signal(struct op *op, int result, struct buf *buf, bool more)
{
    (void)result, (void)buf, (void)more;
    end_window(container_of(op, struct ws_load, signals));
}

static void
on_progress(struct ring *ring, struct timer *timer)
{
    static const char *const phases[] = {"warm-up", "measuring", "draining", "closing"};
    struct ws_load *load = container_of(timer, struct ws_load, progress_timer);

    fprintf(stderr, "\r%4.0f s  %-9s %9" PRIu64 " messages/s  %u open  %" PRIu64 " errors   ",
            (double)(ring_now(ring) - load->begin_ns) / 1e9, phases[load->phase],
            load->messages_all - load->progress_messages, load->open, tally_errors(&load->tally));
    load->progress_messages = load->messages_all;
    timer_set(ring, timer, 999, on_progress);
}

static void
turn(struct ws_load *load)
{
    pacer_arm(&load->pacer);
    ring_wait(load->ring, 100);
    ring_reap(load->ring);
    pacer_run(&load->pacer, ring_now(load->ring));
}

/* Until all that was sent is back, or --timeout is over: the rest is lost. */
static void
drain(struct ws_load *load)
{
    while (sum_under_way(load) && ring_now(load->ring) < load->drain_end_ns)
        turn(load);
    load->tally.errors[ERROR_TIMEOUT] += sum_under_way(load);
    load->phase = CLOSED;
    for (uint64_t i = 0; i < load->config.connections; i++)
        close_conn(&load->conns[i]);
    timer_stop(&load->phase_timer);
    timer_stop(&load->progress_timer);
    ring_cancel(load->ring, &load->signals);
    while (load->open || op_busy(&load->signals))
        turn(load);
}

static void
make_message(struct ws_load *load)
{
    bytes_print(&load->message, "{\"ns\":\"%0*d\",\"pad\":\"", STAMP_DIGITS, 0);
    bytes_fill(&load->message, 'x', load->config.message_bytes - load->message.len - 2);
    bytes_print(&load->message, "\"}");
}

static int
run(struct ws_load *load, char *why, size_t why_size)
{
    struct ring_config rings = {.buf_count = {2048, 64}, .cq_entries = 32768};
    bool progress = !load->config.quiet && isatty(STDERR_FILENO);
    int err = ring_new(&rings, &load->ring, why, why_size);

    if (err < 0)
        return err;
    err = pacer_init(&load->pacer, load->ring);
    if (err < 0) {
        snprintf(why, why_size, "timerfd: %s", strerror(-err));
        return err;
    }
    load->signal_fd = mcpload_signals();
    ring_poll(load->ring, &load->signals, load->signal_fd, POLLIN, on_signal);
    ring_reap(load->ring); /* reads the clock */
    load->begin_ns = load->first_due_ns = ring_now(load->ring);
    load->mask_state = load->begin_ns | 1;
    for (uint64_t i = 0; i < load->config.connections; i++)
        start_connect(&load->conns[i]);
    if (progress)
        timer_set(load->ring, &load->progress_timer, 999, on_progress);
    timer_set(load->ring, &load->phase_timer, load->config.warmup_ns / 1000000 + 1, on_window_begin);
    if (load->config.rate > 0)
        on_due(&load->due_item, load->begin_ns);
    while (load->phase < DRAIN && load->open)
        turn(load);
    end_window(load);
    drain(load);
    pacer_done(&load->pacer);
    ring_free(&load->ring);
    close(load->signal_fd);
    if (progress)
        fprintf(stderr, "\r%80s\r", "");
    return 0;
}

static int
check_config(struct ws_load *load, char *why, size_t why_size)
{
    struct ws_config *c = &load->config;

    if (!c->url)
        snprintf(why, why_size, "--url is missing (try mcpload ws --help)");
    else if (!c->connections || c->connections > 100000 || !c->pipeline || c->pipeline > 1000000)
        snprintf(why, why_size, "--connections must be 1 to 100000, --pipeline 1 to 1000000");
    else if (c->message_bytes < MESSAGE_MIN || c->message_bytes > MESSAGE_MAX)
        snprintf(why, why_size, "--message-bytes must be %d to %d", MESSAGE_MIN, MESSAGE_MAX);
    else if (!c->duration_ns)
        snprintf(why, why_size, "--duration must be longer than nothing");
    else
        return url_parse(c->url, &load->url, why, why_size);
    return -EINVAL;
}

static int
report(const struct ws_load *load)
{
    const struct ws_config *c = &load->config;
    bool json_to_stdout = c->json && strcmp(c->json, "-") == 0;
    int status = 0;

    tally_print(&load->tally, json_to_stdout ? stderr : stdout);
    if (c->json) {
        json_t *plan =
            json_pack("{s:s, s:s, s:I, s:I, s:I, s:f, s:f, s:f}", "url", c->url, "kind", "ws", "connections",
                      (json_int_t)c->connections, "pipeline", (json_int_t)c->pipeline, "message_bytes",
                      (json_int_t)c->message_bytes, "rate", c->rate, "duration_s",
                      (double)c->duration_ns / 1e9, "warmup_s", (double)c->warmup_ns / 1e9);
        json_t *result = json_pack("{s:s, s:o, s:o}", "mcpload", MCPGATE_VERSION, "plan", plan, "result",
                                   tally_json(&load->tally));

        status = mcpload_write_json(result, c->json);
        json_decref(result);
    }
    return status || tally_errors(&load->tally) || !load->tally.requests;
}

static void
help(void)
{
    printf("usage: mcpload ws --url URL [flags]\n\nSends messages over WebSocket to a server that sends each "
           "one back, such as "
           "mcpload serve,\nstraight or through a gateway, and measures their way there and back.\n\n");
    flags_help(ws_flags, stdout);
}

int
ws_main(int argc, char **argv)
{
    struct ws_load *load;
    char why[512];
    int status = 2;

    if (argc == 0 || mcpload_wants_help(argc, argv)) {
        help();
        return argc == 0 ? 2 : 0;
    }
    load = calloc(1, sizeof *load); /* large: it holds the histograms */
    ASSERT(load);
    if (flags_parse(ws_flags, argc, argv, &load->config, NULL, why, sizeof why) < 0 ||
        check_config(load, why, sizeof why) < 0) {
        fprintf(stderr, "mcpload: %s\n", why);
        free(load);
        return 2;
    }
    load->conns = calloc(load->config.connections, sizeof *load->conns);
    ASSERT(load->conns);
    for (uint64_t i = 0; i < load->config.connections; i++)
        load->conns[i] = (struct ws_conn){.load = load, .fd = -1};
    make_message(load);
    if (run(load, why, sizeof why) == 0)
        status = report(load);
    else
        fprintf(stderr, "mcpload: %s\n", why);
    for (uint64_t i = 0; i < load->config.connections; i++) {
        bytes_done(&load->conns[i].head);
        bytes_done(&load->conns[i].out);
        bytes_done(&load->conns[i].sending);
    }
    free(load->conns);
    bytes_done(&load->message);
    free(load);
    return status;
}
