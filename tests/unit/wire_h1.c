/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/1.1 connections on the simulator, in both roles. What a connection tells its owner becomes a line of
 * text, body bytes that follow each other joined, so that a log does not depend on the pieces in which bytes
 * came.
 */
#include "ring/ring_sim.h"
#include "wire/h1.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>

enum { LOG_MAX = 400000 };

struct conn {
    struct h1 h1; /* first */
    char log[LOG_MAX];
    size_t log_len;
    bool in_body, closed, auto_reply;
    unsigned partial, heads;
    struct h1 *relay; /* gets the body */
};

static struct sim *sim;
static struct slab slab;
static struct net net;
static struct h1_shared shared;
static struct conn conn, out;
static struct sim_peer *peer;
static int listener;

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

static struct span
slab_text(const char *text)
{
    size_t len = strlen(text);
    struct buf *b = slab_get(&slab, len ? len : 1);

    memcpy(b->data, text, len);
    return span_of(b, 0, (uint32_t)len);
}

static void
send_head(struct h1 *h1, const char *head, enum http1_framing framing, uint64_t length)
{
    struct span s = slab_text(head);

    h1_send_head(h1, s, framing, length, METHOD_GET);
    span_unref(s);
}

static void
send_piece(struct h1 *h1, const char *text)
{
    struct span s = slab_text(text);

    h1_send_piece(h1, s);
    span_unref(s);
}

static void
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

static void
world_open(void)
{
    struct ring_config config = {.buf_count = {64, 8}};

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

static void
server_open(void)
{
    world_open();
    h1_init(&conn.h1, &shared, H1_SERVER, &up, LINK_CLIENT);
    peer = sim_connect_to(sim, listener, NULL);
    link_open(&conn.h1.link, ring_accept_now(net.ring, listener));
}

static void
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

static void
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

static void
client_open(enum http_method method)
{
    world_open();
    connect_client(&conn);
    ask(&conn.h1, method);
    sim_peer_discard(peer);
}

static void
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

static void
say(const char *text, size_t len)
{
    cr_assert_eq(sim_peer_send(peer, text, len), len);
    sim_settle(sim);
}

static const char *
told(struct conn *c)
{
    c->log[c->log_len] = '\0';
    return c->log;
}

#define ASSERT_TOLD(want) cr_assert_str_eq(told(&conn), want, "told:\n%s", told(&conn))

/* Whatever the pieces, the same is told. */
static void
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

/* --- server: requests --- */

static void
open_replying_server(void)
{
    server_open();
    conn.auto_reply = true;
}

Test(h1_server, reads_requests_in_any_pieces)
{
    static const struct {
        const char *bytes, *want;
    } rows[] = {
        {"GET /a HTTP/1.1\r\nHost: a\r\n\r\n", "head GET /a\nend\nidle 1\n"},
        {"\r\n\r\nGET /a HTTP/1.1\r\nHost: a\r\n\r\n", "head GET /a\nend\nidle 1\n"},
        {"POST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabcde",
         "head POST /b\nbody abcde\nend\nidle 1\n"},
        {"POST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", "head POST /b\nend\nidle 1\n"},
        {"POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: "
         "chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n",
         "head POST /c\nbody abcde\nend\nidle 1\n"},
        {"POST /d HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-Sum: 1\r\n\r\n",
         "head POST /d\nbody a\ntrailers X-Sum: 1\nend\nidle 1\n"},
        {"GET /a HTTP/1.1\r\nHost: a\r\n\r\nPOST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx"
         "GET /c HTTP/1.1\r\nHost: a\r\n\r\n",
         "head GET /a\nend\nidle 1\nhead POST /b\nbody x\nend\nidle 1\nhead GET /c\nend\nidle 1\n"},
        {"GET /a HTTP/1.1\r\nHost: a\r\nBad Field: 1\r\n\r\n", "bad bad_request\nidle 0\n"},
        {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
         "head POST /\nbad bad_request\nidle 0\n"},
        {"GET / HTTP/2.0\r\nHost: a\r\n\r\n", "bad version\nidle 0\n"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        in_any_pieces(open_replying_server, rows[i].bytes, rows[i].want);
}

Test(h1_server, tells_once_that_a_head_has_begun)
{
    server_open();
    say("GET / HT", 8);
    say("TP/1.1\r\n", 8);
    say("Host: a\r\n", 9);
    cr_assert_eq(conn.partial, 1);
    cr_assert_eq(conn.heads, 0);
    say("\r\n", 2);
    cr_assert_eq(conn.heads, 1);
    cr_assert_eq(conn.partial, 1);
    world_close();
}

Test(h1_server, refuses_what_is_over_a_limit)
{
    static char text[6000];

    snprintf(text, sizeof text, "GET /%0300d HTTP/1.1\r\n", 0);
    server_open();
    say(text, strlen(text));
    ASSERT_TOLD("bad uri_too_long\nidle 0\n");
    cr_assert(sim_peer_ended(peer));
    world_close();

    snprintf(text, sizeof text, "GET / HTTP/1.1\r\nX: %05000d", 0);
    server_open();
    say(text, strlen(text));
    ASSERT_TOLD("bad head_too_large\nidle 0\n");
    world_close();
}

/* --- server: replies --- */

Test(h1_server, keeps_the_connection_or_closes_it_as_the_request_says)
{
    static const struct {
        const char *bytes;
        bool keeps;
    } rows[] = {
        {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", true},
        {"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", false},
        {"GET / HTTP/1.0\r\n\r\n", false},
        {"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", true},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        open_replying_server();
        say(rows[i].bytes, strlen(rows[i].bytes));
        cr_assert_eq(sim_peer_ended(peer), !rows[i].keeps, "%s", rows[i].bytes);
        world_close();
    }
}

Test(h1_server, reads_the_next_request_only_when_the_reply_is_queued)
{
    static const char two[] = "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n";

    server_open();
    say(two, sizeof two - 1);
    ASSERT_TOLD("head GET /1\nend\n");
    reply(&conn.h1, "one");
    sim_settle(sim);
    ASSERT_TOLD("head GET /1\nend\nidle 1\nhead GET /2\nend\n");
    world_close();
}

Test(h1_server, starts_no_request_while_the_last_reply_is_stuck)
{
    static const char two[] = "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n";
    static char body[30001];

    memset(body, 'x', sizeof body - 1);
    server_open();
    sim_peer_set_window(peer, 1000);
    say(two, sizeof two - 1);
    send_head(&conn.h1, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", FRAMING_CHUNKED, 0);
    send_piece(&conn.h1, body);
    sim_settle(sim);
    h1_send_end(&conn.h1, NULL);
    sim_settle(sim);
    ASSERT_TOLD("head GET /1\nend\nidle 1\n");
    sim_peer_set_window(peer, 1 << 20);
    sim_settle(sim);
    ASSERT_TOLD("head GET /1\nend\nidle 1\nhead GET /2\nend\n");
    world_close();
}

/* It comes in the moment in which the last reply moves on, when nothing is stuck. */
Test(h1_server, starts_no_request_before_the_last_reply_has_left_but_for_the_low_mark)
{
    static char body[30001];

    memset(body, 'x', sizeof body - 1);
    server_open();
    sim_peer_set_window(peer, 1000);
    say("GET /1 HTTP/1.1\r\nHost: a\r\n\r\n", 28);
    send_head(&conn.h1, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", FRAMING_CHUNKED, 0);
    send_piece(&conn.h1, body);
    sim_settle(sim); /* on its way, and stuck */
    send_piece(&conn.h1, body);
    h1_send_end(&conn.h1, NULL);
    sim_settle(sim);
    sim_peer_set_window(peer, 31000); /* room for the first piece and not for the second */
    ring_wait(net.ring, 0);
    ring_reap(net.ring); /* what is seen next comes before the second piece is tried */
    sim_peer_puts(peer, "GET /2 HTTP/1.1\r\nHost: a\r\n\r\n");
    ring_wait(net.ring, 0);
    sim_settle(sim);
    ASSERT_TOLD("head GET /1\nend\nidle 1\n");
    cr_assert(link_congested(&conn.h1.link));
    sim_peer_set_window(peer, 1 << 20);
    sim_settle(sim);
    ASSERT_TOLD("head GET /1\nend\nidle 1\nhead GET /2\nend\n");
    world_close();
}

Test(h1_server, keeps_the_order_of_what_came_before_and_after_a_stuck_reply)
{
    static const char four[] = "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n"
                               "GET /3 HTTP/1.1\r\nHost: a\r\n\r\nGET /4 HTTP/1.1\r\nHost: a\r\n\r\n";
    size_t len = sizeof four - 1;

    for (size_t split = 28; split < len; split++) {
        open_replying_server();
        conn.auto_reply = false;
        sim_peer_set_window(peer, 10);
        say(four, 28);
        reply(&conn.h1, "stuck");
        conn.auto_reply = true;
        sim_settle(sim);
        say(four + 28, split - 28);
        sim_peer_set_window(peer, 1 << 20);
        sim_peer_send(peer, four + split, len - split); /* in the turn in which the reply leaves */
        sim_settle(sim);
        ASSERT_TOLD("head GET /1\nend\nidle 1\nhead GET /2\nend\nidle 1\nhead GET /3\nend\nidle 1\n"
                    "head GET /4\nend\nidle 1\n");
        world_close();
    }
}

Test(h1_server, stops_reading_from_a_client_that_pipelines_too_much)
{
    static char requests[300000];
    size_t sent, len = 0;

    while (len < sizeof requests - 100)
        len += (size_t)sprintf(requests + len, "GET /%06zu HTTP/1.1\r\nHost: a\r\n\r\n", len);
    server_open();
    sim_peer_set_send_window(peer, 20000);
    sent = sim_peer_send(peer, requests, len);
    for (unsigned i = 0; i < 20; i++) {
        sim_settle(sim);
        sent += sim_peer_send(peer, requests + sent, len - sent);
    }
    cr_assert_lt(sent, 100000);
    cr_assert_leq(conn.h1.stash_len, SLAB_LARGEST);
    cr_assert_eq(conn.heads, 1);
    conn.auto_reply = true;
    reply(&conn.h1, "ok");
    while (sent < len) {
        sim_settle(sim);
        sim_peer_discard(peer);
        sent += sim_peer_send(peer, requests + sent, len - sent);
    }
    sim_settle(sim);
    cr_assert_eq(conn.heads, len / strlen("GET /000000 HTTP/1.1\r\nHost: a\r\n\r\n"), "and none is lost");
    world_close();
}

Test(h1_server, answers_and_closes_when_too_much_was_pipelined_in_one_burst)
{
    static char requests[120000];
    size_t len = 0;

    while (len < sizeof requests - 100)
        len += (size_t)sprintf(requests + len, "GET /%06zu HTTP/1.1\r\nHost: a\r\n\r\n", len);
    server_open();
    sim_set_fault(sim, SIM_LONG_RUN, 1000);
    cr_assert_eq(sim_peer_send(peer, requests, len), len);
    sim_settle(sim);
    cr_assert_leq(conn.h1.stash_len, SLAB_LARGEST);
    reply(&conn.h1, "first");
    sim_settle(sim);
    ASSERT_TOLD("head GET /000000\nend\nidle 0\n");
    cr_assert_not_null(strstr(sim_peer_peek(peer, NULL), "first"));
    cr_assert(sim_peer_ended(peer));
    cr_assert_not(sim_peer_was_reset(peer), "it lingers, so that the reply is not lost");
    world_close();
}

Test(h1_server, discards_the_short_rest_of_a_request_answered_early)
{
    static const char head[] = "POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabc";
    static const char rest[] = "defGET /2 HTTP/1.1\r\nHost: a\r\n\r\n";

    server_open();
    say(head, sizeof head - 1);
    reply(&conn.h1, "early");
    sim_settle(sim);
    cr_assert_geq(conn.partial, 1, "the owner may set a limit of time for the rest");
    say(rest, sizeof rest - 1);
    ASSERT_TOLD("head POST /1\nbody abc\nidle 1\nhead GET /2\nend\n");
    world_close();
}

Test(h1_server, closes_after_an_early_reply_to_a_request_of_unknown_or_great_length)
{
    static const char *const heads[] = {
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nabc",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"};

    for (unsigned i = 0; i < 2; i++) {
        server_open();
        say(heads[i], strlen(heads[i]));
        reply(&conn.h1, "early");
        sim_settle(sim);
        ASSERT_TOLD("head POST /\nbody abc\nidle 0\n");
        cr_assert(sim_peer_ended(peer));
        say("more", 4);
        sim_peer_half_close(peer);
        sim_settle(sim);
        ASSERT_TOLD("head POST /\nbody abc\nidle 0\nclosed done\n");
        world_close();
    }
}

Test(h1_server, frames_pieces_as_its_head_says)
{
    server_open();
    say("GET / HTTP/1.1\r\nHost: a\r\n\r\n", 27);
    send_head(&conn.h1, "H\r\n\r\n", FRAMING_CHUNKED, 0);
    send_piece(&conn.h1, "hello");
    send_piece(&conn.h1, "");
    send_piece(&conn.h1, "twenty-six bytes of chunk.");
    h1_send_end(&conn.h1, NULL);
    sim_settle(sim);
    cr_assert_str_eq(sim_peer_peek(peer, NULL),
                     "H\r\n\r\n5\r\nhello\r\n1a\r\ntwenty-six bytes of chunk.\r\n0\r\n\r\n");
    world_close();
}

Test(h1_server, sends_trailers)
{
    struct span trailers;

    server_open();
    say("GET / HTTP/1.1\r\nHost: a\r\n\r\n", 27);
    trailers = slab_text("X-Sum: 1\r\n");
    send_head(&conn.h1, "H\r\n\r\n", FRAMING_CHUNKED, 0);
    send_piece(&conn.h1, "a");
    h1_send_end(&conn.h1, &trailers);
    span_unref(trailers);
    sim_settle(sim);
    cr_assert_str_eq(sim_peer_peek(peer, NULL), "H\r\n\r\n1\r\na\r\n0\r\nX-Sum: 1\r\n\r\n");
    world_close();
}

Test(h1_server, ends_a_reply_of_unknown_length_with_the_connection_and_a_cut_one_with_a_reset)
{
    server_open();
    say("GET / HTTP/1.0\r\n\r\n", 18);
    send_head(&conn.h1, "H\r\n\r\n", FRAMING_CLOSE, 0);
    send_piece(&conn.h1, "all");
    h1_send_end(&conn.h1, NULL);
    sim_settle(sim);
    cr_assert_str_eq(sim_peer_peek(peer, NULL), "H\r\n\r\nall");
    cr_assert(sim_peer_ended(peer));
    world_close();

    server_open();
    say("GET / HTTP/1.0\r\n\r\n", 18);
    send_head(&conn.h1, "H\r\n\r\n", FRAMING_CLOSE, 0);
    send_piece(&conn.h1, "half");
    sim_settle(sim);
    h1_abort(&conn.h1, CLOSE_UPSTREAM_GONE);
    sim_settle(sim);
    cr_assert(sim_peer_was_reset(peer));
    world_close();
}

/* Content as letters of a kind: each piece is announced, the end has a word of its own. */
static unsigned codings, coders_done;

static void
code(struct h1_coder *coder, const struct span *pieces, uint32_t count)
{
    (void)coder;
    for (uint32_t i = 0; i < count; i++) {
        struct span mark = slab_text("<");

        codings++;
        h1_send_coded(&conn.h1, mark);
        h1_send_coded(&conn.h1, pieces[i]);
        span_unref(mark);
    }
}

static void
code_end(struct h1_coder *coder)
{
    struct span mark = slab_text(">");

    (void)coder;
    h1_send_coded(&conn.h1, mark);
    span_unref(mark);
}

static void
code_done(struct h1_coder *coder)
{
    (void)coder;
    coders_done++;
}

static struct h1_coder *
coder_new(void)
{
    static const struct h1_coder_ops ops = {.write = code, .end = code_end, .done = code_done};
    static struct h1_coder coder = {&ops};

    return &coder;
}

Test(h1_server, passes_the_content_of_one_reply_through_its_coder)
{
    struct h1_body body = {.count = 2, .bytes = 4};
    struct span trailers = {0};

    server_open();
    say("GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 54);
    h1_set_coder(&conn.h1, coder_new());
    send_head(&conn.h1, "H\r\n\r\n", FRAMING_CHUNKED, 0);
    send_piece(&conn.h1, "a");
    body.data[0] = slab_text("bc");
    body.data[1] = slab_text("d");
    body.raw = slab_text("2\r\nbc\r\n1\r\nd\r\n0\r\n\r\n"); /* not as it came */
    body.raw_end = 2;
    body.raw_last = true;
    h1_send_body(&conn.h1, &body);
    cr_assert_eq(codings, 3);
    cr_assert_eq(coders_done, 0);
    trailers = slab_text("X: 1\r\n");
    h1_send_end(&conn.h1, &trailers);
    cr_assert_eq(coders_done, 1);
    sim_settle(sim);
    reply(&conn.h1, "plain"); /* the next one has none */
    sim_settle(sim);
    cr_assert_str_eq(
        sim_peer_peek(peer, NULL),
        "H\r\n\r\n1\r\n<\r\n1\r\na\r\n1\r\n<\r\n2\r\nbc\r\n1\r\n<\r\n1\r\nd\r\n1\r\n>\r\n0\r\nX: 1\r\n\r\n"
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nplain");
    span_unref(trailers);
    span_unref(body.data[0]);
    span_unref(body.data[1]);
    span_unref(body.raw);
    world_close();
    cr_assert_eq(coders_done, 1);
}

Test(h1_server, is_rid_of_the_coder_of_a_reply_that_was_cut_short)
{
    server_open();
    say("GET / HTTP/1.1\r\nHost: a\r\n\r\n", 27);
    h1_set_coder(&conn.h1, coder_new());
    send_head(&conn.h1, "H\r\n\r\n", FRAMING_CHUNKED, 0);
    send_piece(&conn.h1, "half");
    h1_abort(&conn.h1, CLOSE_UPSTREAM_GONE);
    sim_settle(sim);
    cr_assert_eq(coders_done, 1);
    world_close();
}

Test(h1_server, answers_100_continue_before_the_reply)
{
    static const char head[] =
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n";

    server_open();
    conn.auto_reply = true;
    say(head, sizeof head - 1);
    h1_send_continue(&conn.h1);
    sim_settle(sim);
    cr_assert_str_eq(sim_peer_peek(peer, NULL), "HTTP/1.1 100 Continue\r\n\r\n");
    say("ab", 2);
    ASSERT_TOLD("head POST /\nbody ab\nend\nidle 1\n");
    world_close();
}

/* --- server: ends --- */

static void
end_after(const char *bytes, const char *want)
{
    server_open();
    if (*bytes)
        say(bytes, strlen(bytes));
    sim_peer_half_close(peer);
    sim_settle(sim);
    cr_assert_str_eq(told(&conn), want, "after \"%s\":\n%s", bytes, told(&conn));
    world_close();
}

Test(h1_server, tells_the_clients_end_by_where_it_comes)
{
    end_after("", "closed done\n");
    end_after("GET / HT", "bad client_gone\nclosed client_gone\n");
    end_after("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc",
              "head POST /\nbody abc\nbad client_gone\nclosed client_gone\n");
    end_after("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
              "head POST /\nbody abc\nbad client_gone\nclosed client_gone\n");
    end_after("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "head GET /\nend\npeer_end\n");
}

Test(h1_server, answers_all_that_was_pipelined_before_a_half_close)
{
    static const char three[] = "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n"
                                "GET /3 HTTP/1.1\r\nHost: a\r\n\r\n";

    server_open();
    sim_peer_send(peer, three, sizeof three - 1);
    sim_peer_half_close(peer); /* in the same turn: the end is seen before reading can stop */
    sim_settle(sim);
    for (unsigned i = 1; i <= 3; i++) {
        cr_assert_eq(conn.heads, i);
        cr_assert_not(conn.closed);
        reply(&conn.h1, "ok");
        sim_settle(sim);
    }
    cr_assert(sim_peer_ended(peer));
    cr_assert(conn.closed);
    cr_assert_null(strstr(told(&conn), "bad"));
    world_close();
}

Test(h1_server, tells_a_reset_in_the_middle_of_a_reply)
{
    server_open();
    say("GET / HTTP/1.1\r\nHost: a\r\n\r\n", 27);
    send_head(&conn.h1, "H\r\n\r\n", FRAMING_CHUNKED, 0);
    sim_settle(sim);
    sim_peer_reset(peer);
    sim_settle(sim);
    ASSERT_TOLD("head GET /\nend\nbroken client_gone\nclosed client_gone\n");
    world_close();
}

/* --- client --- */

static void
open_getting_client(void)
{
    client_open(METHOD_GET);
}

static void
open_heading_client(void)
{
    client_open(METHOD_HEAD);
}

Test(h1_client, reads_replies_in_any_pieces)
{
    static const struct {
        const char *bytes, *want;
    } rows[] = {
        {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", "head 200\nbody abc\nend\nidle 1\n"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "head 200\nend\nidle 1\n"},
        {"HTTP/1.1 204 No Content\r\n\r\n", "head 204\nend\nidle 1\n"},
        {"HTTP/1.1 304 Not Modified\r\nContent-Length: 10\r\n\r\n", "head 304\nend\nidle 1\n"},
        {"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
         "head 103\nhead 200\nbody x\nend\nidle 1\n"},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n002\r\nde\r\n0\r\nX: 1\r\n\r\n",
         "head 200\nbody abcde\ntrailers X: 1\nend\nidle 1\n"},
        {"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx",
         "head 200\nbody x\nend\nidle 0\n"},
        {"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", "head 200\nbody x\nend\nidle 0\n"},
        {"HTTP/1.1 200 OK\r\n\r\nabc", "head 200\nbody abc"},
        {"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nabc",
         "head 101\nbody abc"},
        {"SMTP ready\r\n\r\n", "bad bad_reply\nclosed bad_reply\n"},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz",
         "head 200\nbad bad_reply\nclosed bad_reply\n"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        in_any_pieces(open_getting_client, rows[i].bytes, rows[i].want);
    in_any_pieces(open_heading_client, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n",
                  "head 200\nend\nidle 1\n");
    in_any_pieces(open_heading_client, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
                  "head 200\nend\nidle 1\n");
}

Test(h1_client, has_no_use_for_a_connection_with_bytes_behind_the_reply)
{
    static const char bytes[] = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nxHTTP/1.1 200 OK\r\n";

    client_open(METHOD_GET);
    say(bytes, sizeof bytes - 1);
    ASSERT_TOLD("head 200\nbody x\nend\nidle 0\n");
    world_close();
}

Test(h1_client, takes_bytes_that_nobody_asked_for_as_bad)
{
    client_open(METHOD_GET);
    say("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", 39);
    conn.log_len = 0;
    say("HTTP/1.1 200 OK\r\n", 17);
    ASSERT_TOLD("bad bad_reply\nclosed bad_reply\n");
    world_close();
}

Test(h1_client, carries_one_request_after_another)
{
    client_open(METHOD_GET);
    for (unsigned i = 0; i < 5; i++) {
        conn.log_len = 0;
        say("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", 39);
        ASSERT_TOLD("head 200\nbody x\nend\nidle 1\n");
        ask(&conn.h1, METHOD_GET);
        cr_assert_str_eq(sim_peer_peek(peer, NULL), "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        sim_peer_discard(peer);
    }
    world_close();
}

static void
server_ends_after(const char *bytes, const char *want)
{
    client_open(METHOD_GET);
    if (*bytes)
        say(bytes, strlen(bytes));
    sim_peer_half_close(peer);
    sim_settle(sim);
    cr_assert_str_eq(told(&conn), want, "after \"%s\":\n%s", bytes, told(&conn));
    world_close();
}

Test(h1_client, tells_the_servers_end_by_where_it_comes)
{
    server_ends_after("", "bad upstream_gone\nclosed upstream_gone\n");
    server_ends_after("HTTP/1.1 2", "bad upstream_gone\nclosed upstream_gone\n");
    server_ends_after("HTTP/1.1 103 Early Hints\r\n\r\n",
                      "head 103\nbad upstream_gone\nclosed upstream_gone\n");
    server_ends_after("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc",
                      "head 200\nbody abc\nbad upstream_gone\nclosed upstream_gone\n");
    server_ends_after("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
                      "head 200\nbody abc\nbad upstream_gone\nclosed upstream_gone\n");
    server_ends_after("HTTP/1.1 200 OK\r\n\r\nabc", "head 200\nbody abc\nend\nidle 0\n");
    server_ends_after("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
                      "head 200\nbody x\nend\nidle 1\nclosed done\n");
    server_ends_after("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
                      "head 101\npeer_end\n");
}

Test(h1_client, has_no_use_for_a_connection_whose_reply_came_before_the_request_was_sent_whole)
{
    world_open();
    connect_client(&conn);
    conn.h1.user = &conn;
    send_head(&conn.h1, "POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\n", FRAMING_LENGTH, 10);
    send_piece(&conn.h1, "12345");
    sim_settle(sim);
    say("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", 39);
    ASSERT_TOLD("head 200\nbody x\nend\nidle 0\n");
    world_close();
}

/* --- from one to the other --- */

/* A chunked body as the far end of `out` gets it. */
static void
relay_body(enum http1_framing framing, const char *body, size_t split, char *ret_got, size_t size)
{
    static const char head[] = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    struct sim_peer *from, *to;
    size_t len = strlen(body), n;

    server_open();
    from = peer;
    connect_client(&out);
    to = peer;
    peer = from;
    conn.relay = &out.h1;
    out.h1.user = &out;
    send_head(&out.h1, "H", framing, 10);
    say(head, sizeof head - 1);
    say(body, split);
    say(body + split, len - split);
    cr_assert_not_null(strstr(told(&conn), "end\n"));
    h1_send_end(&out.h1, NULL);
    sim_settle(sim);
    n = sim_peer_read(to, ret_got, size - 1);
    ret_got[n] = '\0';
    world_close();
}

/* The content of "H" and chunks. */
static void
unchunk(const char *at, char *ret_content)
{
    struct http1_body body;
    struct http1_piece piece;
    enum http1_body_event event;
    size_t len = strlen(at), n = 0;

    cr_assert_eq(*at, 'H');
    at++, len--;
    http1_body_init(&body, FRAMING_CHUNKED, 0);
    while ((event = http1_body_next(&body, at, (uint32_t)len, &piece)) == BODY_DATA) {
        memcpy(ret_content + n, at + piece.data.off, piece.data.len);
        n += piece.data.len;
        at += piece.used;
        len -= piece.used;
    }
    cr_assert_eq(event, BODY_END, "%s", at);
    cr_assert_eq(len, piece.used, "nothing behind the last chunk");
    ret_content[n] = '\0';
}

Test(h1, passes_chunked_bodies_on_in_any_pieces_and_either_framing)
{
    static const char *const bodies[] = {
        "a\r\n0123456789\r\n0\r\n\r\n",
        "3\r\n012\r\n4\r\n3456\r\n3\r\n789\r\n0\r\n\r\n",
        "3;ext=\"a\"\r\n012\r\n007\r\n3456789\r\n0\r\n\r\n",
        "5\r\n01234\r\n5\r\n56789\r\n0\r\nX: 1\r\n\r\n",
    };
    char got[500], content[500];

    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++)
        for (size_t split = 0; split <= strlen(bodies[i]); split++) {
            relay_body(FRAMING_CHUNKED, bodies[i], split, got, sizeof got);
            cr_assert_null(strstr(got, "ext"), "an extension was forwarded");
            unchunk(got, content);
            cr_assert_str_eq(content, "0123456789", "body %zu, split %zu: %s", i, split, got);
            relay_body(FRAMING_LENGTH, bodies[i], split, got, sizeof got);
            cr_assert_str_eq(got, "H0123456789", "body %zu, split %zu", i, split);
        }
}

Test(h1, passes_plain_chunks_as_they_are)
{
    static const char body[] = "3\r\n012\r\n7\r\n3456789\r\n0\r\n\r\n";
    char got[500];

    relay_body(FRAMING_CHUNKED, body, sizeof body - 1, got, sizeof got);
    cr_assert_str_eq(got + 1, body);
}

Test(h1, tunnels_both_ways_and_what_came_early)
{
    static const char early[] =
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nearly ";

    server_open();
    say(early, sizeof early - 1);
    ASSERT_TOLD("head GET /\nend\n");
    send_head(&conn.h1, "HTTP/1.1 101 Switching Protocols\r\n\r\n", FRAMING_TUNNEL, 0);
    say("bytes", 5);
    ASSERT_TOLD("head GET /\nend\nbody early bytes");
    send_piece(&conn.h1, "back");
    sim_settle(sim);
    cr_assert_not_null(strstr(sim_peer_peek(peer, NULL), "\r\n\r\nback"));
    sim_peer_half_close(peer);
    sim_settle(sim);
    cr_assert_not_null(strstr(told(&conn), "\npeer_end\n"));
    world_close();
}
