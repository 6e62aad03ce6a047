/* SPDX-License-Identifier: Apache-2.0 */
/* One connection of a load run: connect, session, request, reply. Who starts what when is load.c's. */
#include "load.h"

#include "stamp.h"

#include <errno.h>
#include <sys/socket.h>

enum {
    CONNECTING_MAX = 128,
    RETRY_MS = 10,
    RETRY_BESIDE_MS = 500,
};

static void on_recv(struct op *op, int result, struct buf *buf, bool more);
static void send_request(struct load_conn *conn);

/* --- open and close --- */

static void
on_retry(struct ring *ring, struct timer *timer)
{
    struct load_conn *conn = container_of(timer, struct load_conn, timer);

    load_conn_is_closed(conn->load, conn);
}

/* Not at once: the peer may be down, or refuse what is asked. */
static void
retry_later(struct load_conn *conn)
{
    timer_set(conn->load->ring, &conn->timer, conn->role == ROLE_WORK ? RETRY_MS : RETRY_BESIDE_MS, on_retry);
}

static void
released(struct load_conn *conn)
{
    struct load *load = conn->load;

    if (op_busy(&conn->recv) || op_busy(&conn->send))
        return;
    ring_close(load->ring, conn->fd);
    load->part.open--;
    conn->state = CONN_CLOSED;
    if (conn->wanted && load->part.stage->phase < PHASE_DRAIN && conn->outcome == ERROR_NONE)
        load_conn_begin(conn, conn->start_ns);
    else if (conn->outcome != ERROR_NONE)
        retry_later(conn);
    else
        load_conn_is_closed(load, conn);
}

void
load_conn_close(struct load_conn *conn)
{
    struct load *load = conn->load;

    timer_stop(&conn->timer);
    slow_reader_end(&conn->slow);
    list_del(&conn->node);
    if (conn->state == CONN_QUEUED)
        conn->state = CONN_CLOSED;
    if (conn->state == CONN_CLOSED || conn->state == CONN_CLOSING)
        return;
    if (conn->state == CONN_CONNECTING)
        load->connecting--;
    if (conn->state == CONN_BUSY && conn->role == ROLE_WORK)
        load->busy--;
    conn->state = CONN_CLOSING;
    ring_shutdown(load->ring, conn->fd, SHUT_RDWR);
    ring_cancel(load->ring, &conn->recv);
    ring_cancel(load->ring, &conn->send);
    released(conn);
}

/* The request under way, or the attempt to connect for it, is lost. */
static void
fail(struct load_conn *conn, enum error_kind kind)
{
    if (conn->message != MESSAGE_DELETE)
        load_error(conn->load, kind);
    conn->outcome = (uint8_t)kind;
    conn->wanted = false;
    load_conn_close(conn);
}

static void
connect_next(struct load *load)
{
    struct list_node *node;

    while (load->connecting < CONNECTING_MAX && (node = list_pop(&load->queued))) {
        struct load_conn *conn = container_of(node, struct load_conn, node);

        conn->state = CONN_CLOSED;
        load_conn_begin(conn, conn->start_ns);
    }
}

static void
on_connect(struct op *op, int result, struct buf *buf, bool more)
{
    struct load_conn *conn = container_of(op, struct load_conn, send);
    struct load *load = conn->load;

    if (conn->state == CONN_CLOSING) {
        released(conn);
        return;
    }
    if (result < 0) {
        fail(conn, ERROR_CONNECT);
    } else {
        load->connecting--;
        load->part.tally.connects++;
        conn->state = CONN_READY;
        ring_recv(load->ring, &conn->recv, conn->fd, RING_SMALL, on_recv);
        send_request(conn);
    }
    connect_next(load);
}

static void
on_timeout(struct ring *ring, struct timer *timer)
{
    struct load_conn *conn = container_of(timer, struct load_conn, timer);
    uint64_t age = ring_now(ring) - conn->began_ns, limit = conn->load->config.timeout_ns;

    if (conn->state == CONN_CONNECTING)
        fail(conn, ERROR_CONNECT);
    else if (conn->state == CONN_BUSY && age < limit)
        timer_set(ring, timer, (limit - age) / 1000000, on_timeout);
    else if (conn->state == CONN_BUSY)
        fail(conn, ERROR_TIMEOUT);
}

static void
start_connect(struct load_conn *conn)
{
    struct load *load = conn->load;
    const struct address *address = &load->plan.url.address;
    uint64_t rcvbuf = load->config.rcvbuf;
    int fd;

    if (conn->role == ROLE_SLOW && !rcvbuf)
        rcvbuf = SLOW_READER_BUFFER;
    ring_set_connect_buffers(load->ring, (unsigned)rcvbuf, 0);
    conn->outcome = ERROR_NONE;
    fd = ring_connect(load->ring, &conn->send, (const struct sockaddr *)&address->sa, address->len,
                      on_connect);
    if (fd < 0) {
        load_error(load, ERROR_CONNECT);
        conn->outcome = ERROR_CONNECT;
        conn->wanted = false;
        retry_later(conn);
        return;
    }
    conn->fd = fd;
    conn->state = CONN_CONNECTING;
    load->connecting++;
    load->part.open++;
    timer_set(load->ring, &conn->timer, load->config.timeout_ns / 1000000, on_timeout);
}

/* --- out --- */

static enum message
first_message(const struct load *load, enum load_role role)
{
    if (load->plan.kind == KIND_MCP)
        return MESSAGE_INITIALIZE;
    return role == ROLE_STREAM ? MESSAGE_STREAM : MESSAGE_WORK;
}

static void
set_message(struct load_conn *conn, enum message message)
{
    conn->message = (uint8_t)message;
    conn->request.len = 0; /* composed anew */
}

static void
request_finished(struct load_conn *conn)
{
    struct load *load = conn->load;
    bool keep = conn->reply.keep_alive && !conn->reply.until_close;

    if (conn->role == ROLE_WORK)
        load->busy--;
    conn->state = CONN_READY;
    if (conn->outcome != ERROR_NONE) {
        load_error(load, conn->outcome);
        conn->wanted = false;
        if (conn->message != MESSAGE_WORK)
            set_message(conn, first_message(load, conn->role));
        if (!keep || conn->message != MESSAGE_WORK) {
            load_conn_close(conn);
            return;
        }
        conn->outcome = ERROR_NONE;
    }
    if (conn->wanted) { /* the session is a step further */
        if (keep)
            send_request(conn);
        else
            load_conn_close(conn);
        return;
    }
    if (conn->role != ROLE_WORK)
        load_settled(load, conn);
    if (!keep)
        load_conn_close(conn);
    else if (conn->role == ROLE_STREAM)
        retry_later(conn); /* the stream has ended: the next one */
    else
        load_conn_is_ready(load, conn);
}

static void
on_send(struct op *op, int result, struct buf *buf, bool more)
{
    struct load_conn *conn = container_of(op, struct load_conn, send);

    if (result > 0 && stage_in_window(conn->load->part.stage))
        conn->load->part.tally.sent_bytes += (uint64_t)result;
    if (conn->state == CONN_CLOSING)
        released(conn);
    else if (conn->state == CONN_BUSY && conn->replied)
        request_finished(conn);
    /* A send that failed shows again as the end of what is received; a reply may still come before that. */
}

static void
compose(struct load_conn *conn)
{
    conn->request.len = 0;
    conn->marks = request_build(&conn->load->plan, conn->message, conn->path,
                                (struct text){conn->session, conn->session_len}, text_of(conn->version),
                                &conn->request);
}

/* Which part of the window the request belongs to is decided when it starts; in open loop, when it should
 * have. */
static void
stamp(struct load_conn *conn)
{
    struct load *load = conn->load;

    conn->began_ns = ring_now(load->ring);
    if (conn->start_ns) {
        conn->measured = stage_is_within(load->part.stage, conn->start_ns);
        return;
    }
    conn->measured = stage_in_window(load->part.stage);
    if (!conn->stamp_wanted)
        load->fresh[load->fresh_count++] = conn;
    conn->stamp_wanted = true;
}

static bool
is_session(const struct load_conn *conn)
{
    return conn->message == MESSAGE_INITIALIZE || conn->message == MESSAGE_INITIALIZED ||
           conn->message == MESSAGE_DELETE;
}

static void
send_request(struct load_conn *conn)
{
    struct load *load = conn->load;
    const struct bytes *filler = &load->plan.filler;
    enum http_method method = METHOD_POST;

    if (!conn->request.len)
        compose(conn);
    if (conn->marks.id_at)
        request_set_id(&conn->request, conn->marks.id_at, conn->id = load->next_id++);
    if (conn->marks.urgency_at) {
        conn->priority = (uint8_t)priority_next(&load->priorities);
        request_set_priority(&conn->request, conn->marks.urgency_at, (enum priority)conn->priority);
    }
    if (load->plan.kind == KIND_HTTP && strcmp(load->plan.method, "HEAD") == 0)
        method = METHOD_HEAD;
    reply_start(&conn->reply, method, load->plan.kind != KIND_HTTP);
    conn->state = CONN_BUSY;
    if (conn->role == ROLE_WORK)
        load->busy++;
    conn->replied = conn->answered = false;
    conn->outcome = ERROR_NONE;
    conn->event_ns = conn->gap_ns = conn->event_next = 0;
    if (is_session(conn))
        conn->began_ns = ring_now(load->ring);
    else
        stamp(conn);
    conn->iov[0] = (struct iovec){conn->request.at, conn->request.len};
    conn->iov[1] = (struct iovec){filler->at, filler->len};
    conn->iov_count = filler->len && conn->message == MESSAGE_WORK ? 2 : 1;
    timer_set(load->ring, &conn->timer, load->config.timeout_ns / 1000000, on_timeout);
    ring_send(load->ring, &conn->send, conn->fd, conn->iov, conn->iov_count, RING_SEND_ALL, on_send);
}

void
load_conn_begin(struct load_conn *conn, uint64_t intended_ns)
{
    struct load *load = conn->load;

    conn->start_ns = intended_ns;
    conn->wanted = true;
    if (conn->state == CONN_READY) {
        send_request(conn);
    } else if (load->connecting < CONNECTING_MAX) {
        start_connect(conn);
    } else {
        conn->state = CONN_QUEUED;
        list_add_tail(&load->queued, &conn->node);
    }
}

/* --- in --- */

static uint64_t
difference(uint64_t a, uint64_t b)
{
    return a > b ? a - b : b - a;
}

/* An event of `mcpload serve`, which says when it left and how many went before. The gap between two of them
 * at arrival and at departure differ by as much as their delays do. */
static void
measure_stamp(struct load_conn *conn, const struct stamp *stamp, uint64_t now, bool in_window)
{
    struct tally *tally = &conn->load->part.tally;
    uint64_t delay = now > stamp->ns ? now - stamp->ns : 0;

    if (conn->event_next && stamp->number > conn->event_next)
        tally->errors[ERROR_LOST] += stamp->number - conn->event_next;
    if (in_window) {
        tally_add(tally, MEASURE_EVENT_DELAY, (enum priority)conn->priority, delay);
        if (conn->event_next)
            tally_add(tally, MEASURE_JITTER, (enum priority)conn->priority,
                      difference(delay, conn->delay_ns));
    }
    conn->event_next = stamp->number + 1;
    conn->delay_ns = delay;
}

static void
measure_event(struct load_conn *conn)
{
    struct load *load = conn->load;
    struct tally *tally = &load->part.tally;
    enum priority priority = (enum priority)conn->priority;
    uint64_t now = ring_now(load->ring), gap = now - conn->event_ns;
    bool first = !conn->event_ns, in_window = stage_in_window(load->part.stage);
    struct stamp stamp;

    load->part.events_all++;
    if (in_window) {
        tally->events++;
        if (first && conn->measured)
            tally_add(tally, MEASURE_FIRST_EVENT, priority, now - conn->start_ns);
        if (!first)
            tally_add(tally, MEASURE_EVENT_GAP, priority, gap);
    }
    if (stamp_read(conn->reply.event.data, &stamp))
        measure_stamp(conn, &stamp, now, in_window);
    else if (conn->gap_ns && in_window)
        tally_add(tally, MEASURE_JITTER, priority, difference(gap, conn->gap_ns));
    conn->gap_ns = first ? 0 : gap;
    conn->event_ns = now;
}

static void
check(struct load_conn *conn, struct text json)
{
    bool notification = false;
    struct text echo = conn->message == MESSAGE_WORK ? conn->load->echo : (struct text){NULL, 0};

    conn->outcome = (uint8_t)check_reply(json, conn->id, echo, &notification);
    if (notification)
        return;
    conn->answered = true;
    if (conn->message == MESSAGE_INITIALIZE && conn->outcome == ERROR_NONE)
        check_version(json, conn->version, sizeof(conn->version));
}

static void
on_head(struct load_conn *conn)
{
    struct load *load = conn->load;
    struct reply *reply = &conn->reply;
    bool good = reply->status / 100 == 2;

    if (reply->status / 100 < 6)
        load->part.tally.statuses[reply->status / 100]++;
    if (conn->measured && conn->role == ROLE_WORK && !is_session(conn) && good)
        tally_add(&load->part.tally, MEASURE_FIRST_BYTE, (enum priority)conn->priority,
                  ring_now(load->ring) - conn->start_ns);
    if (conn->message == MESSAGE_INITIALIZE && good && reply->session.len &&
        reply->session.len < REPLY_SESSION_MAX) {
        memcpy(conn->session, reply->session.at, reply->session.len);
        conn->session_len = reply->session.len;
    }
    if (conn->role == ROLE_STREAM && conn->message == MESSAGE_STREAM && good) {
        timer_stop(&conn->timer);
        load_settled(load, conn);
    }
    if (conn->role == ROLE_SLOW && conn->message == MESSAGE_WORK && good) {
        timer_stop(&conn->timer);
        conn->state = CONN_HELD;
        slow_reader_begin(&conn->slow, load->ring, &conn->recv, conn->fd, load->config.slow_rate, on_recv);
        load_settled(load, conn);
    }
}

/* What comes after this message: the session opens in two steps. */
static void
advance(struct load_conn *conn)
{
    if (conn->outcome != ERROR_NONE)
        return;
    if (conn->message == MESSAGE_INITIALIZE)
        set_message(conn, MESSAGE_INITIALIZED);
    else if (conn->message == MESSAGE_INITIALIZED)
        set_message(conn, conn->role == ROLE_STREAM ? MESSAGE_STREAM : MESSAGE_WORK);
    else
        conn->wanted = false;
}

static void
measure_reply(struct load_conn *conn)
{
    struct load *load = conn->load;

    load->part.requests_all++;
    if (conn->outcome != ERROR_NONE)
        return;
    if (stage_in_window(load->part.stage))
        load->part.tally.finished++;
    if (conn->measured && conn->role == ROLE_WORK) {
        load->part.tally.requests++;
        tally_add(&load->part.tally, MEASURE_LATENCY, (enum priority)conn->priority,
                  ring_now(load->ring) - conn->start_ns);
    }
}

static void
on_end(struct load_conn *conn)
{
    struct load *load = conn->load;
    struct reply *reply = &conn->reply;
    bool rpc = load->plan.kind != KIND_HTTP &&
               (conn->message == MESSAGE_INITIALIZE || conn->message == MESSAGE_WORK);

    if (conn->message == MESSAGE_DELETE) {
        conn->outcome = ERROR_NONE; /* a server need not allow it */
    } else if (reply->status / 100 != 2) {
        conn->outcome = ERROR_STATUS;
        if (reply->status == 404 && conn->session_len) { /* the session is gone: begin anew */
            conn->session_len = 0;
            set_message(conn, MESSAGE_INITIALIZE);
        }
    } else if (rpc && !reply->sse) {
        check(conn, reply->text);
    } else if (conn->message == MESSAGE_STREAM && !reply->sse) {
        conn->outcome = ERROR_REPLY;
    }
    if (rpc && conn->outcome == ERROR_NONE && !conn->answered)
        conn->outcome = ERROR_REPLY;
    if (!is_session(conn) && conn->message != MESSAGE_STREAM)
        measure_reply(conn);
    advance(conn);
    conn->replied = true;
    if (!op_busy(&conn->send))
        request_finished(conn);
}

static bool
is_answer_due(const struct load_conn *conn)
{
    return conn->load->plan.kind != KIND_HTTP && conn->message != MESSAGE_STREAM && !conn->answered;
}

static void
on_bytes(struct load_conn *conn, const char *at, uint32_t len)
{
    uint32_t used = 0, part;

    while (conn->state == CONN_BUSY || conn->state == CONN_READY) {
        switch (reply_next(&conn->reply, at + used, len - used, &part)) {
        case REPLY_MORE:
            return;
        case REPLY_HEAD:
            on_head(conn);
            break;
        case REPLY_EVENT:
            measure_event(conn);
            if (is_answer_due(conn) && conn->reply.event.data.len) /* an empty one only primes resumption */
                check(conn, conn->reply.event.data);
            break;
        case REPLY_END:
            if (used + part < len)
                fail(conn, ERROR_REPLY); /* more than was asked for */
            else
                on_end(conn);
            return;
        case REPLY_BAD:
            fail(conn, ERROR_REPLY);
            return;
        }
        used += part;
    }
}

/* End of file or an error of the connection. */
static void
on_lost(struct load_conn *conn, int result)
{
    struct load *load = conn->load;

    if (conn->state == CONN_BUSY && result == 0 && reply_end_of_file(&conn->reply)) {
        on_end(conn);
    } else if (conn->state == CONN_BUSY && load->part.stage->phase < PHASE_CLOSE) {
        fail(conn, result == 0 ? ERROR_CLOSED : ERROR_RESET);
    } else { /* between requests a server may close; a slow reader's connection may be given up */
        load_conn_close(conn);
    }
}

static void
on_recv(struct op *op, int result, struct buf *buf, bool more)
{
    struct load_conn *conn = container_of(op, struct load_conn, recv);

    if (buf) {
        if (stage_in_window(conn->load->part.stage))
            conn->load->part.tally.received_bytes += (uint64_t)result;
        if (conn->state == CONN_HELD)
            slow_reader_took(&conn->slow, (uint64_t)result);
        else if (conn->state != CONN_CLOSING)
            on_bytes(conn, (const char *)buf->data, (uint32_t)result);
        buf_unref(buf);
        return;
    }
    if (conn->state == CONN_CLOSING)
        released(conn);
    else if (result != -ECANCELED)
        on_lost(conn, result);
}

void
load_conn_init(struct load *load, struct load_conn *conn, enum load_role role, const char *path)
{
    conn->load = load;
    conn->path = path;
    conn->role = (uint8_t)role;
    set_message(conn, first_message(load, role));
}

void
load_conn_end_session(struct load_conn *conn)
{
    if (conn->state != CONN_READY || conn->role != ROLE_WORK || !conn->session_len)
        return;
    set_message(conn, MESSAGE_DELETE);
    conn->start_ns = 0;
    send_request(conn);
}

void
load_conn_done(struct load_conn *conn)
{
    reply_done(&conn->reply);
    bytes_done(&conn->request);
}
