/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP/1.1 connections to upstreams, and what passes from one connection to the other. */
#include "wire_world.h"

#include <stdlib.h>

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

Test(h1_client, hands_on_what_came_before_a_bad_chunk)
{
    static const char reply[] =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n3\r\ntwo\r\nx";

    client_open(METHOD_GET);
    say(reply, sizeof reply - 1);
    ASSERT_TOLD("head 200\nbody onetwo\nbad bad_reply\nclosed bad_reply\n");
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
