/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/h1.h"

#include "net/batch.h"

/* Bytes that may wait behind an unfinished reply before the connection is no longer read. */
enum { STASH_MAX = SLAB_LARGEST, DISCARD_MAX = 64 << 10, CHUNK_MERGE_MAX = 1024 };

BUF_STATIC_TEXT(crlf, "\r\n");
BUF_STATIC_TEXT(continue_head, "HTTP/1.1 100 Continue\r\n\r\n");
BUF_STATIC_TEXT(last_chunk, "0\r\n\r\n");
BUF_STATIC_TEXT(last_chunk_open, "0\r\n");

static void h1_input(struct h1 *h1, struct span bytes);
static void input_ended(struct h1 *h1);

static void
h1_set_state(struct h1 *h1, enum h1_state state)
{
    static const uint8_t allowed[H1_STATES] = {
        [H1_IDLE] = 1 << H1_HEAD | 1 << H1_WAIT | 1 << H1_ENDED | 1 << H1_BODY,
        [H1_HEAD] = 1 << H1_BODY | 1 << H1_ENDED | 1 << H1_IDLE,
        [H1_BODY] = 1 << H1_WAIT | 1 << H1_TUNNEL | 1 << H1_ENDED | 1 << H1_IDLE,
        [H1_WAIT] = 1 << H1_IDLE | 1 << H1_TUNNEL | 1 << H1_ENDED,
        [H1_TUNNEL] = 1 << H1_ENDED,
        [H1_ENDED] = 0,
    };

    ASSERT(h1->state == state || (allowed[h1->state] & (1u << state)));
    h1->state = (uint8_t)state;
}

static void
h1_end(struct h1 *h1)
{
    if (h1->state != H1_ENDED)
        h1_set_state(h1, H1_ENDED);
}

static void
coder_done(struct h1 *h1)
{
    if (h1->coder)
        h1->coder->ops->done(h1->coder);
    h1->coder = NULL;
}

/* --- the stash: bytes that wait --- */

static void
stash_clear(struct h1 *h1)
{
    buf_unref(h1->stash);
    h1->stash = NULL;
    h1->stash_len = h1->stash_scanned = 0;
}

/* Appends a copy; false when `max` or the worker's memory is reached. */
static bool
stash_add(struct h1 *h1, struct span bytes, uint32_t max)
{
    uint32_t need = h1->stash_len + bytes.len;

    if (need > max)
        return false;
    if (!h1->stash || h1->stash->size < need) {
        struct buf *larger = slab_get(h1->shared->net->slab, need);

        if (!larger)
            return false;
        if (h1->stash)
            memcpy(larger->data, h1->stash->data, h1->stash_len);
        buf_unref(h1->stash);
        h1->stash = larger;
    }
    memcpy(h1->stash->data + h1->stash_len, span_data(bytes), bytes.len);
    h1->stash_len = need;
    return true;
}

/* Why stash_add() refused a part of a head. */
static enum close_reason
stash_refusal(const struct h1 *h1, struct span bytes)
{
    return h1->stash_len + bytes.len > STASH_MAX ? CLOSE_HEAD_TOO_LARGE : CLOSE_NO_MEMORY;
}

static void
bad(struct h1 *h1, enum close_reason reason)
{
    h1->keep_alive = false;
    h1_end(h1);
    h1->up->on_bad(h1, reason);
}

/* --- the end of a message --- */

/* Server: request and reply are both whole. */
static void
server_next(struct h1 *h1)
{
    bool keep = h1_will_keep_alive(h1) && h1->state == H1_WAIT;

    h1->user = NULL;
    if (!keep) {
        h1_close(h1, CLOSE_DONE);
        h1->up->on_idle(h1, false);
        return;
    }
    h1->head_sent = h1->tx_done = h1->rx_done = false;
    h1->held = false; /* a pause, or large buffers, were for the body that is through */
    link_set_large(&h1->link, false);
    link_set_bulk(&h1->link, false);
    h1_set_state(h1, H1_IDLE);
    h1->up->on_idle(h1, true);
}

static void
input_tunnel(struct h1 *h1, struct span bytes)
{
    struct h1_body *body = &h1->shared->body;

    body->raw = span_head(bytes, 0);
    body->data[0] = bytes;
    body->bytes = bytes.len;
    body->count = 1;
    h1->up->on_body(h1, body);
}

/* Goes on with bytes of the next request that came early. */
static void
read_on(struct h1 *h1)
{
    struct buf *stash = h1->stash;
    struct span bytes;

    if (h1->state == H1_TUNNEL && stash) { /* what the client sent before the tunnel stood */
        bytes = span_of(stash, 0, h1->stash_len);
        h1->stash = NULL;
        h1->stash_len = 0;
        input_tunnel(h1, bytes);
        buf_unref(stash);
        if (!h1->held)
            link_resume(&h1->link);
        return;
    }
    if (h1->state != H1_IDLE || h1->in_input || h1->link.state != LINK_OPEN)
        return;
    if (link_congested(&h1->link)) { /* the last replies are stuck: do not start another */
        h1->reading_on = true;
        return;
    }
    h1->reading_on = false;
    if (stash) {
        bytes = span_of(stash, 0, h1->stash_len);
        h1->stash = NULL;
        h1->stash_len = h1->stash_scanned = 0;
        h1_input(h1, bytes);
        buf_unref(stash);
        if (h1->peer_ended && h1->link.state == LINK_OPEN)
            input_ended(h1);
    }
    if (h1->state != H1_WAIT && !h1->held && !h1->reading_on)
        link_resume(&h1->link);
}

static void
client_done(struct h1 *h1)
{
    /* A server that has answered without taking the whole request may never take it. */
    bool reusable = h1->keep_alive && h1->tx_done && !h1->peer_ended && h1->link.state == LINK_OPEN &&
                    !link_blocked(&h1->link);

    h1->head_sent = h1->tx_done = h1->rx_done = false;
    batch_rouse(&h1->link); /* it rested for a stream that is through */
    h1_set_state(h1, reusable ? H1_IDLE : H1_ENDED);
    h1->up->on_idle(h1, reusable);
}

static void
message_read(struct h1 *h1)
{
    h1->rx_done = true;
    if (h1->role == H1_SERVER)
        h1_set_state(h1, H1_WAIT);
    if (h1->user)
        h1->up->on_end(h1);
    if (h1->role == H1_CLIENT) {
        if (h1->state == H1_BODY)
            client_done(h1);
    } else if (h1->tx_done && h1->state == H1_WAIT) {
        server_next(h1);
    }
}

/* --- reading --- */

static void
start_body(struct h1 *h1, const struct http1_head *head)
{
    h1_set_state(h1, H1_BODY);
    h1->rx_done = false;
    http1_body_init(&h1->rx, (enum http1_framing)head->framing, head->length);
    if (head->framing == FRAMING_TUNNEL)
        h1_set_state(h1, H1_TUNNEL);
}

static bool
is_interim(const struct http1_head *head)
{
    return head->is_reply && head->status < 200 && head->status != 101;
}

static enum parse_result
parse_head(struct h1 *h1, struct span bytes, uint32_t scanned, uint32_t *ret_used, enum close_reason *ret_why)
{
    struct h1_shared *shared = h1->shared;
    const char *at = (const char *)span_data(bytes);

    if (h1->role == H1_SERVER)
        return http1_parse_request(at, bytes.len, scanned, &shared->limits, &shared->head, ret_used, ret_why);
    return http1_parse_reply(at, bytes.len, scanned, (enum http_method)h1->request_method, &shared->limits,
                             &shared->head, ret_used, ret_why);
}

/* RFC 9112 2.2: a server ignores empty lines before a request line. */
static struct span
skip_empty_lines(struct span bytes)
{
    while (bytes.len && (*span_data(bytes) == '\r' || *span_data(bytes) == '\n'))
        bytes = span_skip(bytes, 1);
    return bytes;
}

static void
take_head(struct h1 *h1)
{
    const struct http1_head *head = &h1->shared->head;

    if (!is_interim(head)) {
        if (h1->role == H1_SERVER)
            h1->minor = head->minor;
        h1->keep_alive = head->keep_alive && (h1->role == H1_SERVER || h1->keep_alive);
        start_body(h1, head);
    } else {
        h1_set_state(h1, H1_IDLE);
    }
    h1->up->on_head(h1, head);
}

/* One step of reading a head; returns the bytes that are left. */
static struct span
input_head(struct h1 *h1, struct span bytes)
{
    enum close_reason why = CLOSE_BAD_REQUEST;
    struct span none = span_head(bytes, 0);
    uint32_t used = 0, before = h1->stash_len;
    enum parse_result result;

    if (h1->state == H1_IDLE) {
        if (h1->role == H1_SERVER)
            bytes = skip_empty_lines(bytes);
        if (!bytes.len)
            return bytes;
        h1_set_state(h1, H1_HEAD);
    }
    if (!before) {
        result = parse_head(h1, bytes, 0, &used, &why);
        if (result == PARSE_MORE && h1->role == H1_SERVER)
            h1->up->on_partial(h1);
        if (result == PARSE_MORE && !stash_add(h1, bytes, STASH_MAX))
            result = PARSE_BAD, why = stash_refusal(h1, bytes);
        h1->stash_scanned = h1->stash_len;
    } else {
        /* The head came in pieces: parse it where it is whole. Only what belongs to it is taken from `bytes`.
         */
        if (!stash_add(h1, bytes, STASH_MAX)) {
            bad(h1, stash_refusal(h1, bytes));
            return none;
        }
        result = parse_head(h1, span_of(h1->stash, 0, h1->stash_len), h1->stash_scanned, &used, &why);
        h1->stash_scanned = h1->stash_len;
    }
    if (result == PARSE_MORE)
        return none;
    if (result == PARSE_BAD) {
        bad(h1, why);
        return none;
    }
    if (before) {
        struct buf *held = h1->stash;

        h1->stash = NULL;
        h1->stash_len = h1->stash_scanned = 0;
        take_head(h1);
        buf_unref(held);
        return span_skip(bytes, used - before);
    }
    take_head(h1);
    return span_skip(bytes, used);
}

static void
end_trailers(struct h1 *h1)
{
    if (!h1->stash_len)
        return;
    if (h1->user && h1->stash_len > 2)
        h1->up->on_trailers(h1, (struct text){(const char *)h1->stash->data, h1->stash_len});
    stash_clear(h1);
}

/* One step of decoding `rest`, which starts at `off` in the run. */
static enum http1_body_event
take_piece(struct h1 *h1, struct span rest, struct http1_piece *piece, bool *ret_trailers)
{
    struct h1_body *body = &h1->shared->body;
    enum http1_body_event event = http1_body_next(&h1->rx, (const char *)span_data(rest), rest.len, piece);

    if (event == BODY_DATA && piece->data.len) {
        body->data[body->count++] = span_of(rest.buf, rest.off + piece->data.off, piece->data.len);
        body->bytes += piece->data.len;
    } else if (event == BODY_TRAILER) {
        *ret_trailers = true;
        if (!stash_add(h1, span_of(rest.buf, rest.off + piece->data.off, piece->data.len),
                       HTTP1_TRAILERS_MAX))
            return BODY_BAD;
    }
    return event;
}

/* Decodes what is here of the body into shared->body; *rest is what lies behind. */
static enum http1_body_event
decode_run(struct h1 *h1, struct span bytes, struct span *rest)
{
    struct h1_body *body = &h1->shared->body;
    bool chunked = h1->rx.framing == FRAMING_CHUNKED, trailers = false;
    /* The first and the last boundary between chunks in this run, as offsets; UINT32_MAX: none. */
    uint32_t first = chunked && http1_body_at_boundary(&h1->rx) ? 0 : UINT32_MAX, last = first;
    enum http1_body_event event = BODY_DATA;

    body->raw = span_head(bytes, 0); /* data[] is left as it is: this is done for every receive */
    body->raw_first = body->raw_end = body->bytes = body->count = 0;
    body->raw_last = false;
    while (event != BODY_MORE && event != BODY_END && event != BODY_BAD && body->count < H1_PIECES_MAX) {
        struct http1_piece piece = {0};
        uint32_t end;

        event = take_piece(h1, *rest, &piece, &trailers);
        *rest = span_skip(*rest, piece.used);
        end = bytes.len - rest->len + 2; /* behind the CRLF of the chunk that has just ended */
        if (chunked && event == BODY_DATA && h1->rx.left == 0 && end <= bytes.len) {
            last = end;
            body->raw_end = body->count;
            if (first == UINT32_MAX) {
                first = end;
                body->raw_first = body->count;
            }
        }
    }
    body->ends = event == BODY_END;
    if (chunked && h1->rx.plain && !trailers && first != UINT32_MAX && event != BODY_BAD) {
        body->raw_last = body->ends;
        body->raw = span_head(span_skip(bytes, first), (body->ends ? bytes.len - rest->len : last) - first);
    }
    return event;
}

/* Decodes what is here of the body and hands it on in one go; returns the bytes behind its end. What lies
 * before a fault is handed on, too: a stream's last events. But of a request nobody acts on a part. */
static struct span
input_body(struct h1 *h1, struct span bytes)
{
    struct span rest = bytes;
    enum http1_body_event event = decode_run(h1, bytes, &rest);
    bool is_bad = event == BODY_BAD;

    if (h1->shared->body.count && h1->user && (!is_bad || h1->role == H1_CLIENT))
        h1->up->on_body(h1, &h1->shared->body);
    if (is_bad) {
        if (h1->state != H1_ENDED)
            bad(h1, h1->role == H1_SERVER ? CLOSE_BAD_REQUEST : CLOSE_BAD_REPLY);
        return span_head(bytes, 0);
    }
    if (event == BODY_END && h1->state == H1_BODY) {
        if (rest.len && h1->role == H1_CLIENT) /* nobody asked for them: the next request must not get them */
            h1->keep_alive = false;
        end_trailers(h1);
        message_read(h1);
    }
    return rest;
}

/* Bytes of the next request, whose time has not come. More than fit may be on their way before the pause
 * takes effect: then the connection ends with the reply, and what was not answered the client sends again
 * (RFC 9112 9.3.2). */
static void
stash_early(struct h1 *h1, struct span bytes)
{
    link_pause(&h1->link);
    if (stash_add(h1, bytes, STASH_MAX))
        return;
    h1->keep_alive = false;
    if (h1->state == H1_IDLE)
        h1_close(h1, CLOSE_DONE);
}

static void
h1_input(struct h1 *h1, struct span bytes)
{
    ASSERT(!h1->in_input);
    h1->in_input = true;
    while (bytes.len || (h1->state == H1_BODY && h1->rx.framing != FRAMING_CHUNKED && h1->rx.left == 0 &&
                         h1->rx.framing != FRAMING_CLOSE)) {
        switch ((enum h1_state)h1->state) {
        case H1_IDLE:
            if (h1->role == H1_CLIENT && !h1->head_sent) { /* bytes nobody asked for */
                bad(h1, CLOSE_BAD_REPLY);
                break;
            }
            if (h1->role == H1_SERVER &&
                (link_congested(&h1->link) || h1->stash)) { /* read_on() takes it up */
                stash_early(h1, bytes);
                bytes = span_head(bytes, 0);
                break;
            }
            bytes = input_head(h1, bytes);
            break;
        case H1_HEAD:
            bytes = input_head(h1, bytes);
            break;
        case H1_BODY:
            bytes = input_body(h1, bytes);
            break;
        case H1_WAIT:
            if (h1->role == H1_CLIENT)
                bad(h1, CLOSE_BAD_REPLY);
            else
                stash_early(h1, bytes);
            bytes = span_head(bytes, 0);
            break;
        case H1_TUNNEL:
            input_tunnel(h1, bytes);
            bytes = span_head(bytes, 0);
            break;
        default:
            bytes = span_head(bytes, 0);
        }
    }
    h1->in_input = false;
    if ((h1->stash || h1->link.paused) && h1->state == H1_IDLE && h1->role == H1_SERVER)
        read_on(h1);
}

static void
on_bytes(struct link *link, struct span bytes)
{
    h1_input(h1_of(link), bytes);
}

/* --- link events --- */

/* All that the peer will ever send has been looked at. */
static void
input_ended(struct h1 *h1)
{
    switch ((enum h1_state)h1->state) {
    case H1_IDLE:
        if (h1->role == H1_CLIENT && h1->head_sent)
            bad(h1, CLOSE_UPSTREAM_GONE);
        else if (!h1->stash) /* else read_on() comes back to it */
            h1_close(h1, CLOSE_DONE);
        break;
    case H1_HEAD:
        bad(h1, h1->role == H1_SERVER ? CLOSE_CLIENT_GONE : CLOSE_UPSTREAM_GONE);
        break;
    case H1_BODY:
        if (h1->rx.framing == FRAMING_CLOSE && !link_truncated(&h1->link))
            message_read(h1);
        else if (h1->rx.framing == FRAMING_CLOSE)
            bad(h1, CLOSE_TLS_TRUNCATED);
        else
            bad(h1, h1->role == H1_SERVER ? CLOSE_CLIENT_GONE : CLOSE_UPSTREAM_GONE);
        break;
    case H1_WAIT:
    case H1_TUNNEL:
        h1->up->on_peer_end(h1);
        break;
    default:
        break;
    }
}

static void
on_end(struct link *link)
{
    struct h1 *h1 = h1_of(link);

    h1->peer_ended = true;
    input_ended(h1);
}

static void
on_connected(struct link *link, int error)
{
    struct h1 *h1 = h1_of(link);

    h1->up->on_connected(h1, error);
}

static void
on_congested(struct link *link)
{
    struct h1 *h1 = h1_of(link);

    if (h1->user && h1->up->on_congested)
        h1->up->on_congested(h1);
}

static void
on_writable(struct link *link)
{
    struct h1 *h1 = h1_of(link);
    bool reads_on = h1->reading_on && h1->state == H1_IDLE; /* else the next request has begun by itself */

    h1->reading_on = false;
    if (reads_on)
        read_on(h1);
    else if (h1->user && h1->up->on_writable)
        h1->up->on_writable(h1);
}

static void
on_woken(struct link *link)
{
    read_on(h1_of(link));
}

static void
on_broken(struct link *link, enum close_reason reason)
{
    struct h1 *h1 = h1_of(link);

    h1_end(h1);
    if (reason == CLOSE_SEND_STALLED && h1->role == H1_CLIENT)
        reason = CLOSE_UPSTREAM_STALLED;
    else if (reason == CLOSE_NONE || reason == CLOSE_SEND_FAILED)
        reason = h1->role == H1_SERVER ? CLOSE_CLIENT_GONE : CLOSE_UPSTREAM_GONE;
    link->reason = (uint8_t)reason;
    h1->up->on_broken(h1, reason);
}

static void
on_closed(struct link *link, enum close_reason reason)
{
    struct h1 *h1 = h1_of(link);

    stash_clear(h1);
    coder_done(h1);
    h1->up->on_closed(h1, reason);
}

static const struct link_up link_up = {
    .on_bytes = on_bytes,
    .on_end = on_end,
    .on_connected = on_connected,
    .on_congested = on_congested,
    .on_writable = on_writable,
    .on_woken = on_woken,
    .on_broken = on_broken,
    .on_closed = on_closed,
};

void
h1_init(struct h1 *h1, struct h1_shared *shared, enum h1_role role, const struct h1_up *up,
        enum link_side side)
{
    link_init(&h1->link, shared->net, &link_up, side);
    h1->shared = shared;
    h1->up = up;
    h1->role = (uint8_t)role;
    h1->lane = PRIORITY_NORMAL;
    h1->keep_alive = true;
}

/* --- writing --- */

static void
push(struct h1 *h1, struct span bytes)
{
    link_push(&h1->link, (enum priority)h1->lane, bytes);
    if (h1->link.state >= LINK_ABORTED) /* no memory; on_closed follows */
        h1_end(h1);
}

/* Server: the upstream agreed to switch; what the client sent early is the tunnel's. */
static void
open_tunnel(struct h1 *h1)
{
    h1_set_state(h1, H1_TUNNEL);
    if (h1->stash && !h1->keep_alive) /* some of the early bytes are lost */
        h1_abort(h1, CLOSE_BAD_REQUEST);
    else if (h1->stash)
        link_wake(&h1->link);
}

void
h1_send_head(struct h1 *h1, struct span head, enum http1_framing framing, uint64_t length,
             enum http_method method)
{
    ASSERT(!h1->head_sent);
    h1->head_sent = true;
    h1->tx = (uint8_t)framing;
    h1->tx_left = length;
    h1->tx_done = false;
    h1->request_method = (uint8_t)method;
    push(h1, head);
    if (framing == FRAMING_TUNNEL && h1->role == H1_SERVER && h1->state == H1_WAIT)
        open_tunnel(h1);
}

void
h1_send_interim(struct h1 *h1, struct span head)
{
    push(h1, head);
}

void
h1_send_continue(struct h1 *h1)
{
    push(h1, span_all(&continue_head));
}

/* One chunk of all pieces: "<size>CRLF pieces CRLF". A small one is put together in one buffer by
 * link_push(). */
static void
push_chunk(struct h1 *h1, const struct span *pieces, uint32_t count)
{
    char text[16];
    uint32_t bytes = 0, n;
    struct buf *b;

    for (uint32_t i = 0; i < count; i++)
        bytes += pieces[i].len;
    if (!bytes)
        return;
    n = http1_chunk_header(bytes, text);
    b = slab_get(h1->shared->net->slab, bytes <= CHUNK_MERGE_MAX ? n + bytes + 2 : n);
    if (!b) {
        h1_abort(h1, CLOSE_NO_MEMORY);
        return;
    }
    memcpy(b->data, text, n);
    link_push_own(&h1->link, PRIORITY_NORMAL, span_of(b, 0, n));
    for (uint32_t i = 0; i < count; i++)
        push(h1, pieces[i]);
    push(h1, span_all(&crlf));
}

static void
push_plain(struct h1 *h1, const struct span *pieces, uint32_t count, uint32_t bytes)
{
    if (h1->tx == FRAMING_LENGTH) {
        ASSERT(bytes <= h1->tx_left);
        h1->tx_left -= bytes;
    }
    for (uint32_t i = 0; i < count; i++)
        push(h1, pieces[i]);
}

void
h1_send_body(struct h1 *h1, const struct h1_body *body)
{
    if (h1->coder) {
        h1->coder->ops->write(h1->coder, body->data, body->count);
    } else if (h1->tx != FRAMING_CHUNKED) {
        push_plain(h1, body->data, body->count, body->bytes);
    } else if (!body->raw.len) {
        push_chunk(h1, body->data, body->count);
    } else {
        push_chunk(h1, body->data, body->raw_first);
        push(h1, body->raw);
        push_chunk(h1, body->data + body->raw_end, body->count - body->raw_end);
        if (body->raw_last)
            h1->tx = FRAMING_NONE;
    }
}

void
h1_read_large(struct h1 *from, const struct h1 *to)
{
    bool as_is = to->tx == FRAMING_LENGTH && !to->coder && !to->link.filter && !from->link.filter;

    /* Not the last of it: a request may lie behind. */
    link_set_large(&from->link,
                   as_is && from->rx.framing == FRAMING_LENGTH && from->rx.left >= RING_LARGE_BYTES);
}

void
h1_send_piece(struct h1 *h1, struct span piece)
{
    if (h1->coder)
        h1->coder->ops->write(h1->coder, &piece, 1);
    else
        h1_send_coded(h1, piece);
}

void
h1_set_coder(struct h1 *h1, struct h1_coder *coder)
{
    ASSERT(h1->role == H1_SERVER && !h1->coder);
    h1->coder = coder;
}

void
h1_send_coded(struct h1 *h1, struct span piece)
{
    if (!piece.len)
        return;
    if (h1->tx == FRAMING_CHUNKED)
        push_chunk(h1, &piece, 1);
    else
        push_plain(h1, &piece, 1, piece.len);
}

/* The reply is whole before the request is. What is left of a short body is read and discarded, so that the
 * connection can go on; otherwise it ends. True: message_read() will go on. */
static bool
early_reply(struct h1 *h1)
{
    bool is_short =
        h1->rx.framing == FRAMING_NONE || (h1->rx.framing == FRAMING_LENGTH && h1->rx.left <= DISCARD_MAX);

    if (h1->rx_done)
        return false;
    if (h1->state == H1_BODY && is_short && h1_will_keep_alive(h1)) {
        if (h1->held)
            h1_resume(h1);
        h1->up->on_partial(h1);
        return true;
    }
    h1->keep_alive = false;
    h1_end(h1);
    return false;
}

void
h1_send_end(struct h1 *h1, struct span *trailers)
{
    ASSERT(h1->head_sent && !h1->tx_done);
    if (h1->coder)
        h1->coder->ops->end(h1->coder);
    coder_done(h1);
    h1->tx_done = true;
    if (h1->tx == FRAMING_CHUNKED && trailers) {
        push(h1, span_all(&last_chunk_open));
        push(h1, *trailers);
        push(h1, span_all(&crlf));
    } else if (h1->tx == FRAMING_CHUNKED) {
        push(h1, span_all(&last_chunk));
    } else if (h1->tx == FRAMING_CLOSE || h1->tx == FRAMING_TUNNEL) {
        h1->keep_alive = false;
    }
    if (h1->role == H1_CLIENT)
        return;
    h1->user = NULL;
    batch_hurry(&h1->link);
    if (h1->link.state >= LINK_ABORTED) /* no memory; on_closed follows */
        h1_end(h1);
    if (early_reply(h1))
        return;
    server_next(h1);
    if (!h1->in_input) /* not here: the caller has an exchange to finish first */
        link_wake(&h1->link);
}

void
h1_pause(struct h1 *h1)
{
    h1->held = true;
    link_pause(&h1->link);
}

void
h1_resume(struct h1 *h1)
{
    h1->held = false;
    if (h1->state != H1_WAIT || !h1->stash)
        link_resume(&h1->link);
}

void
h1_move_request(struct h1 *from, struct h1 *to)
{
    to->head_sent = from->head_sent;
    to->tx = from->tx;
    to->tx_left = from->tx_left;
    to->tx_done = from->tx_done;
    to->request_method = from->request_method;
    link_move_queue(&from->link, &to->link);
}

bool
h1_withdraw_request(struct h1 *h1, uint64_t sent_bytes)
{
    if (h1->state != H1_IDLE || h1->peer_ended || !link_withdraw(&h1->link, sent_bytes))
        return false;
    h1->head_sent = h1->tx_done = false;
    return true;
}

void
h1_close(struct h1 *h1, enum close_reason reason)
{
    h1_end(h1);
    link_finish(&h1->link, reason);
}

void
h1_abort(struct h1 *h1, enum close_reason reason)
{
    bool reset = h1->head_sent && !h1->tx_done && (h1->tx == FRAMING_CLOSE || h1->tx == FRAMING_TUNNEL);

    h1_end(h1);
    link_abort(&h1->link, reason, reset);
}

void
h1_cut(struct h1 *h1, enum close_reason reason)
{
    if (h1->tx == FRAMING_CLOSE || h1->tx == FRAMING_TUNNEL) {
        h1_abort(h1, reason);
        return;
    }
    if (h1->coder)
        h1->coder->ops->flush(h1->coder);
    coder_done(h1);
    h1_close(h1, reason);
}
