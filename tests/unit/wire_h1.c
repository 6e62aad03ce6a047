/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP/1.1 connections of clients: what they ask, what is replied, and how they end. */
#include "wire_world.h"

#include <stdio.h>

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

Test(h1_server, hands_on_no_part_that_came_with_a_bad_chunk)
{
    static const char request[] =
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\nx";

    server_open();
    say(request, sizeof request - 1);
    ASSERT_TOLD("head POST /\nbad bad_request\nidle 0\n");
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
