/* SPDX-License-Identifier: Apache-2.0 */
#include "wire_world.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>

struct sim *sim;
struct slab slab;
struct net net;
struct h1_shared shared;
struct conn conn, out;
struct sim_peer *peer;
int listener;

static struct conn *
conn_of(struct h1 *h1)
{
    return (struct conn *)(void *)h1;
}

static void note(struct conn *c, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void
note(struct conn *c, const char *format, ...)
{
    va_list args;

    if (c->in_body)
        c->log[c->log_len++] = '\n';
    c->in_body = false;
    va_start(args, format);
    c->log_len += (size_t)vsnprintf(c->log + c->log_len, LOG_MAX - c->log_len, format, args);
    va_end(args);
    cr_assert_lt(c->log_len, LOG_MAX);
}

/* --- sending --- */

struct span
slab_text(const char *text)
{
    size_t len = strlen(text);
    struct buf *b = slab_get(&slab, len ? len : 1);

    memcpy(b->data, text, len);
    return span_of(b, 0, (uint32_t)len);
}

void
send_head(struct h1 *h1, const char *head, enum http1_framing framing, uint64_t length)
{
    struct span s = slab_text(head);

    h1_send_head(h1, s, framing, length, METHOD_GET);
    span_unref(s);
}

void
send_piece(struct h1 *h1, const char *text)
{
    struct span s = slab_text(text);

    h1_send_piece(h1, s);
    span_unref(s);
}

void
reply(struct h1 *h1, const char *body)
{
    char head[100];

    snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", strlen(body));
    send_head(h1, head, FRAMING_LENGTH, strlen(body));
    send_piece(h1, body);
    h1_send_end(h1, NULL);
}

/* --- what is told --- */

static void
on_partial(struct h1 *h1)
{
    conn_of(h1)->partial++;
}

static void
on_head(struct h1 *h1, const struct http1_head *head)
{
    struct conn *c = conn_of(h1);

    c->heads++;
    if (head->is_reply) {
        note(c, "head %u\n", head->status);
    } else {
        h1->user = c;
        note(c, "head %.*s %.*s\n", (int)head->method_text.len, head->method_text.at, (int)head->path.len,
             head->path.at);
    }
}

static void
on_body(struct h1 *h1, const struct h1_body *body)
{
    struct conn *c = conn_of(h1);

    if (!c->in_body)
        note(c, "body ");
    c->in_body = true;
    for (uint32_t i = 0; i < body->count; i++) {
        cr_assert_lt(c->log_len + body->data[i].len, LOG_MAX);
        memcpy(c->log + c->log_len, span_data(body->data[i]), body->data[i].len);
        c->log_len += body->data[i].len;
    }
    if (c->relay)
        h1_send_body(c->relay, body);
}

static void
on_trailers(struct h1 *h1, struct text section)
{
    note(conn_of(h1), "trailers %.*s\n", (int)strcspn(section.at, "\r"), section.at);
}

static void
on_end(struct h1 *h1)
{
    struct conn *c = conn_of(h1);

    note(c, "end\n");
    if (c->auto_reply)
        reply(h1, "ok");
}

static void
on_bad(struct h1 *h1, enum close_reason reason)
{
    note(conn_of(h1), "bad %s\n", close_reason_info(reason)->name);
    if (h1->role == H1_CLIENT || reason == CLOSE_CLIENT_GONE || h1->head_sent) {
        h1_abort(h1, reason);
    } else {
        send_head(h1, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
                  FRAMING_LENGTH, 0);
        h1_send_end(h1, NULL);
    }
}

static void
on_writable(struct h1 *h1)
{
    note(conn_of(h1), "writable\n");
}

static void
on_connected(struct h1 *h1, int error)
{
    cr_assert_eq(error, 0);
    (void)h1;
}

static void
on_peer_end(struct h1 *h1)
{
    note(conn_of(h1), "peer_end\n");
}

static void
on_broken(struct h1 *h1, enum close_reason reason)
{
    note(conn_of(h1), "broken %s\n", close_reason_info(reason)->name);
}

static void
on_closed(struct h1 *h1, enum close_reason reason)
{
    note(conn_of(h1), "closed %s\n", close_reason_info(reason)->name);
    cr_assert_not(conn_of(h1)->closed);
    conn_of(h1)->closed = true;
}

static void
on_idle(struct h1 *h1, bool reusable)
{
    note(conn_of(h1), "idle %d\n", reusable);
}

static const struct h1_up up = {
    .on_partial = on_partial,
    .on_head = on_head,
    .on_body = on_body,
    .on_trailers = on_trailers,
    .on_end = on_end,
    .on_bad = on_bad,
    .on_writable = on_writable,
    .on_connected = on_connected,
    .on_peer_end = on_peer_end,
    .on_broken = on_broken,
    .on_closed = on_closed,
    .on_idle = on_idle,
};

/* --- the world --- */

static void
turn(void *arg)
{
    (void)arg;
    ring_reap(net.ring);
    net_flush(&net);
    ring_wait(net.ring, 1000);
}

void
world_open(void)
{
    struct ring_config config = {.buf_count = {64, 8, 2}};

    sim = sim_open(1, &config);
    sim_on_turn(sim, turn, NULL);
    listener = sim_listen(sim, "10.0.0.1:80");
    sim_serve(sim, "10.0.0.2:80", SIM_ACCEPT);
    slab_init(&slab, 0);
    net_init(&net, sim_ring(sim), &slab, 65536, 16384);
    shared = (struct h1_shared){.net = &net, .limits = {.line = 200, .head = 4000, .headers = 20}};
    memset(&conn, 0, sizeof conn);
    memset(&out, 0, sizeof out);
    out.closed = true;
}

void
server_open(void)
{
    world_open();
    h1_init(&conn.h1, &shared, H1_SERVER, &up, LINK_CLIENT);
    peer = sim_connect_to(sim, listener, NULL);
    link_open(&conn.h1.link, ring_accept_now(net.ring, listener));
}

void
connect_client(struct conn *c)
{
    struct sockaddr_in in = {
        .sin_family = AF_INET, .sin_port = htons(80), .sin_addr.s_addr = htonl(0x0a000002)};

    h1_init(&c->h1, &shared, H1_CLIENT, &up, LINK_UPSTREAM);
    c->closed = false;
    cr_assert_eq(link_connect(&c->h1.link, (struct sockaddr *)&in, sizeof in), 0);
    sim_settle(sim);
    peer = sim_next_peer(sim);
}

void
ask(struct h1 *h1, enum http_method method)
{
    struct span s = slab_text(method == METHOD_HEAD ? "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"
                                                    : "GET / HTTP/1.1\r\nHost: a\r\n\r\n");

    h1->user = conn_of(h1);
    h1_send_head(h1, s, FRAMING_NONE, 0, method);
    h1_send_end(h1, NULL);
    span_unref(s);
    sim_settle(sim);
}

void
client_open(enum http_method method)
{
    world_open();
    connect_client(&conn);
    ask(&conn.h1, method);
    sim_peer_discard(peer);
}

void
world_close(void)
{
    h1_abort(&conn.h1, CLOSE_DRAIN);
    if (!out.closed)
        h1_abort(&out.h1, CLOSE_DRAIN);
    sim_settle(sim);
    cr_assert(conn.closed && out.closed);
    net_done(&net);
    slab_done(&slab);
    sim_close(&sim);
}

void
say(const char *text, size_t len)
{
    cr_assert_eq(sim_peer_send(peer, text, len), len);
    sim_settle(sim);
}

const char *
told(struct conn *c)
{
    c->log[c->log_len] = '\0';
    return c->log;
}

void
in_any_pieces(void (*open)(void), const char *bytes, const char *want)
{
    size_t len = strlen(bytes);

    for (size_t split = 0; split <= len + 1; split++) {
        open();
        if (split <= len) {
            say(bytes, split);
            say(bytes + split, len - split);
        } else {
            for (size_t i = 0; i < len; i++)
                say(bytes + i, 1);
        }
        cr_assert_str_eq(told(&conn), want, "split at %zu of %zu, told:\n%s", split, len, told(&conn));
        world_close();
    }
}
