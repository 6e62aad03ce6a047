/* SPDX-License-Identifier: Apache-2.0 */
/* TLS towards a server: the far side of the relay speaks it, the near side is plain. */
#include "net_relay.h"
#include "tls_server.h"

#include <criterion/criterion.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>

static struct identity ca, own;
static SSL_CTX *served;
static struct tls_peer target;
static struct tls_server server;
static char got[STREAM_MAX];

enum { RECORDS_MOST = 80 << 10 }; /* in one send */

/* A server with the certificate `own` at the far end, which is not connected yet. */
static void
tls_open(uint64_t seed, int max_version)
{
    connect_world_open(seed);
    served = server_context(&own, NULL, max_version);
    target = (struct tls_peer){.context = client_context(&ca, NULL), .host = "search.example"};
}

/* The usual: a CA, and a certificate for search.example. */
static void
good_open(uint64_t seed, int max_version)
{
    identity_make(&ca, NULL, NULL, -1, 30);
    identity_make(&own, &ca, "DNS:search.example", -1, 30);
    tls_open(seed, max_version);
}

static void
tls_connect(void)
{
    link_set_filter(&far.link, tls_filter_new(&target));
    cr_assert_eq(connect_to(&far, 2), 0);
    sim_settle(sim);
    far_peer = sim_next_peer(sim);
    cr_assert(far_peer);
    server_open(&server, served, far_peer, got, sizeof got);
}

static void
tls_close(void)
{
    world_close();
    server_close(&server);
    SSL_CTX_free(served);
    tls_peer_done(&target);
    tls_context_free(&target.context);
    identity_done(&ca);
    identity_done(&own);
}

static void
assert_got(const void *want, size_t count)
{
    cr_assert_eq(server.got_len, count, "%zu of %zu", server.got_len, count);
    cr_assert_arr_eq(server.got, want, count);
    server.got_len = 0;
}

static void
exchange_words(void)
{
    sim_peer_puts(near_peer, "ping");
    server_settle(&server, sim);
    assert_got("ping", 4);
    server_write(&server, "pong", 4);
    server_settle(&server, sim);
    assert_reads(near_peer, "pong", 4);
}

/* --- the handshake --- */

static void
talk(int max_version, int version)
{
    const unsigned char *alpn;
    unsigned len;

    good_open(1, max_version);
    tls_connect();
    cr_assert_eq(far.connected, 0, "the handshake belongs to connecting");
    server_settle(&server, sim);
    cr_assert(server.accepted);
    cr_assert_eq(far.connected, 1);
    cr_assert_eq(far.connect_error, 0);
    cr_assert_eq(SSL_version(server.ssl), version);
    cr_assert_str_eq(SSL_get_servername(server.ssl, TLSEXT_NAMETYPE_host_name), "search.example");
    SSL_get0_alpn_selected(server.ssl, &alpn, &len);
    cr_assert(len == 8 && memcmp(alpn, "http/1.1", 8) == 0);
    exchange_words();
    cr_assert_eq(far.link.sent_bytes, 4, "of what was pushed");
    tls_close();
}

Test(tls, carries_bytes_both_ways_after_a_handshake_with_sni_and_alpn)
{
    talk(0, TLS1_3_VERSION);
}

Test(tls, speaks_1_2_with_who_knows_no_more)
{
    talk(TLS1_2_VERSION, TLS1_2_VERSION);
}

Test(tls, refuses_versions_before_1_2)
{
    good_open(1, TLS1_1_VERSION);
    tls_connect();
    server_settle(&server, sim);
    cr_assert_not(server.accepted);
    cr_assert_eq(far.broken_reason, CLOSE_TLS_FAILED);
    tls_close();
}

Test(tls, keeps_what_was_pushed_until_the_handshake_is_through)
{
    good_open(1, 0);
    sim_peer_puts(near_peer, "early");
    sim_settle(sim);
    tls_connect();
    cr_assert_eq(far.link.state, LINK_STARTING);
    cr_assert(link_is_unsent(&far.link, 0));
    server_settle(&server, sim);
    assert_got("early", 5);
    cr_assert_not(link_is_unsent(&far.link, 0));
    cr_assert_null(far.link.out);
    tls_close();
}

static void
shake_by_pieces(int max_version)
{
    good_open(1, max_version);
    tls_connect();
    server.most = 1;
    server_settle(&server, sim);
    exchange_words();
    tls_close();
}

Test(tls, shakes_hands_byte_by_byte)
{
    shake_by_pieces(0);
    shake_by_pieces(TLS1_2_VERSION);
}

/* All that the server sends until both have said a word, split at `at`; returns how many bytes there were. */
static size_t
shake_split(size_t at)
{
    size_t n;

    connect_world_open(1);
    near.connected = far.connected = 0;
    tls_connect();
    while (server.sent < at) {
        server.most = at - server.sent;
        if (!server_turn(&server))
            break;
        sim_settle(sim);
    }
    server.most = 0;
    server_settle(&server, sim);
    cr_assert_eq(far.connected, 1, "split at %zu", at);
    exchange_words();
    n = server.sent;
    world_close();
    server_close(&server);
    tls_peer_done(&target); /* each handshake is a whole one */
    return n;
}

Test(tls, shakes_hands_at_each_split)
{
    size_t count;

    good_open(1, 0);
    world_close();
    count = shake_split(0);
    cr_assert_gt(count, 500);
    for (size_t at = 1; at < count; at++)
        shake_split(at);
    SSL_CTX_free(served);
    tls_context_free(&target.context);
    identity_done(&ca);
    identity_done(&own);
}

/* --- certificates --- */

struct certificate {
    const char *name, *host, *san;
    int from_days, to_days;
    enum close_reason reason; /* CLOSE_NONE: it is good */
    const char *why;
    bool self_signed, other_ca;
};

static const struct certificate certificates[] = {
    {"good", "search.example", "DNS:search.example", -1, 30, CLOSE_NONE, NULL, false, false},
    {"a dot at the end", "search.example.", "DNS:search.example", -1, 30, CLOSE_NONE, NULL, false, false},
    {"wildcard", "search.gate.example", "DNS:*.gate.example", -1, 30, CLOSE_NONE, NULL, false, false},
    {"IPv4", "10.0.0.2", "IP:10.0.0.2", -1, 30, CLOSE_NONE, NULL, false, false},
    {"IPv6", "2001:db8::2", "IP:2001:db8::2", -1, 30, CLOSE_NONE, NULL, false, false},
    {"expired", "search.example", "DNS:search.example", -30, -1, CLOSE_CERT_EXPIRED,
     "certificate of search.example has expired", false, false},
    {"not yet", "search.example", "DNS:search.example", 1, 30, CLOSE_CERT_EXPIRED,
     "certificate of search.example is not valid yet", false, false},
    {"other name", "search.example", "DNS:other.example", -1, 30, CLOSE_CERT_NAME,
     "certificate of search.example is for another name", false, false},
    {"partial wildcard", "search.example", "DNS:s*.example", -1, 30, CLOSE_CERT_NAME,
     "certificate of search.example is for another name", false, false},
    {"other address", "10.0.0.2", "IP:10.0.0.3", -1, 30, CLOSE_CERT_NAME,
     "certificate of 10.0.0.2 is for another name", false, false},
    {"an address as a name", "10.0.0.2", "DNS:10.0.0.2", -1, 30, CLOSE_CERT_NAME,
     "certificate of 10.0.0.2 is for another name", false, false},
    {"self-signed", "search.example", "DNS:search.example", -1, 30, CLOSE_CERT_UNKNOWN_CA,
     "certificate of search.example is self-signed: name it with --upstream-ca", true, false},
    {"other CA", "search.example", "DNS:search.example", -1, 30, CLOSE_CERT_UNKNOWN_CA,
     "certificate of search.example is signed by an unknown CA: name it with --upstream-ca", false, true},
};

static void
meet(const struct certificate *c, int max_version)
{
    struct identity other;

    identity_make(&ca, NULL, NULL, -60, 60);
    identity_make(&other, NULL, NULL, -60, 60);
    identity_make(&own, c->self_signed ? NULL : c->other_ca ? &other : &ca, c->san, c->from_days, c->to_days);
    tls_open(1, max_version);
    target.host = c->host;
    tls_connect();
    server_settle(&server, sim);
    if (c->reason == CLOSE_NONE) {
        cr_assert_eq(far.connected, 1, "%s: %s", c->name, target.why);
        exchange_words();
    } else {
        cr_assert_eq(far.connected, 0, "%s", c->name);
        cr_assert_eq(far.broken, 1, "%s", c->name);
        cr_assert_eq(far.broken_reason, c->reason, "%s", c->name);
        cr_assert_str_eq(target.why, c->why, "%s", c->name);
        cr_assert_eq(far.closed, 1);
        cr_assert_eq(far.reason, c->reason);
        cr_assert(server.failed, "%s: the server was told by an alert", c->name);
    }
    identity_done(&other);
    tls_close();
}

Test(tls, says_in_words_why_it_does_not_trust_a_certificate)
{
    for (unsigned i = 0; i < sizeof certificates / sizeof *certificates; i++) {
        meet(&certificates[i], 0);
        meet(&certificates[i], TLS1_2_VERSION);
    }
}

Test(tls, trusts_any_certificate_only_when_told_to)
{
    identity_make(&ca, NULL, NULL, -1, 30);
    identity_make(&own, NULL, "DNS:other.example", -30, -1);
    tls_open(1, 0);
    tls_context_free(&target.context);
    target.context = client_context(NULL, NULL);
    tls_connect();
    server_settle(&server, sim);
    exchange_words();
    tls_close();
}

static void
ask_for_certificate(int max_version, bool has_one)
{
    struct identity client;

    good_open(1, max_version);
    identity_make(&client, &ca, "DNS:gate", -1, 30);
    SSL_CTX_free(served);
    served = server_context(&own, &ca, max_version);
    if (has_one) {
        tls_context_free(&target.context);
        target.context = client_context(&ca, &client);
    }
    tls_connect();
    server_settle(&server, sim);
    if (has_one) {
        exchange_words();
    } else {
        cr_assert_eq(far.broken_reason, CLOSE_TLS_FAILED);
        if (max_version == 0)
            cr_assert_str_eq(target.why, "search.example wants a client certificate: use --upstream-cert and "
                                         "--upstream-key");
    }
    identity_done(&client);
    tls_close();
}

Test(tls, shows_its_certificate_to_who_asks)
{
    ask_for_certificate(0, true);
    ask_for_certificate(TLS1_2_VERSION, true);
    ask_for_certificate(0, false);
    ask_for_certificate(TLS1_2_VERSION, false);
}

/* --- peers that are not what they should be --- */

Test(tls, refuses_what_is_no_server_hello)
{
    static const char *const garbage[] = {"HTTP/1.1 400 Bad Request\r\n\r\n", "220 mail.example ESMTP\r\n",
                                          "\x16\x03\x03\x00\x05\x02\x00\x00\x01\xff", "\x17\x03\x03\x00\x01x",
                                          "\x15\x03\x03\x00\x02\x02\x28"};
    static const size_t sizes[] = {28, 24, 10, 6, 7};

    for (unsigned i = 0; i < 5; i++) {
        good_open(1, 0);
        tls_connect();
        sim_peer_send(far_peer, garbage[i], sizes[i]);
        sim_settle(sim);
        cr_assert_eq(far.broken_reason, CLOSE_TLS_FAILED, "%u", i);
        cr_assert(strstr(target.why, "TLS handshake with search.example failed: ") == target.why, "%s",
                  target.why);
        cr_assert_eq(far.closed, 1);
        tls_close();
    }
}

/* The server ends the connection after its first `bytes`. */
static bool
leave_after(size_t bytes, bool reset)
{
    bool was_shaking;

    good_open(1, 0);
    sim_peer_puts(near_peer, "request");
    sim_settle(sim);
    tls_connect();
    server.most = bytes;
    if (bytes)
        server_turn(&server);
    sim_settle(sim);
    was_shaking = far.link.state == LINK_STARTING;
    if (was_shaking) {
        if (reset)
            sim_peer_reset(far_peer);
        else
            sim_peer_half_close(far_peer);
        sim_settle(sim);
        cr_assert_eq(far.broken, 1);
        cr_assert_eq(far.broken_reason, CLOSE_TLS_FAILED);
        cr_assert_str_eq(target.why, "search.example closed the connection during the TLS handshake");
        cr_assert_eq(far.closed, 1);
    }
    tls_close();
    return was_shaking;
}

Test(tls, breaks_when_the_peer_leaves_in_the_middle_of_the_handshake)
{
    size_t bytes = 0;

    while (leave_after(bytes, false)) {
        cr_assert(leave_after(bytes, true));
        bytes += 97;
    }
    cr_assert_gt(bytes, 300);
}

Test(tls, refuses_to_negotiate_again)
{
    good_open(1, TLS1_2_VERSION);
    tls_connect();
    server_settle(&server, sim);
    exchange_words();
    SSL_renegotiate(server.ssl);
    SSL_do_handshake(server.ssl);
    server_settle(&server, sim);
    cr_assert(server.failed, "who asks is told no, and OpenSSL takes that for an end");
    cr_assert_eq(far.broken_reason, CLOSE_TLS_FAILED);
    cr_assert_eq(far.closed, 1);
    tls_close();
}

Test(tls, answers_a_key_update)
{
    good_open(1, 0);
    tls_connect();
    server_settle(&server, sim);
    for (unsigned i = 0; i < 3; i++) {
        cr_assert_eq(SSL_key_update(server.ssl, SSL_KEY_UPDATE_REQUESTED), 1);
        exchange_words();
    }
    tls_close();
}

Test(tls, breaks_at_a_record_that_was_changed_on_its_way)
{
    char bytes[100];
    int n;

    good_open(1, 0);
    tls_connect();
    server_settle(&server, sim);
    server_write(&server, "pong", 4);
    n = BIO_read(server.out, bytes, sizeof bytes);
    bytes[n - 1] ^= 1;
    sim_peer_send(far_peer, bytes, (size_t)n);
    sim_settle(sim);
    cr_assert_eq(far.broken_reason, CLOSE_TLS_FAILED);
    cr_assert_eq(far.delivered, 0);
    tls_close();
}

/* --- ends --- */

Test(tls, says_goodbye_before_fin)
{
    good_open(1, 0);
    tls_connect();
    server_settle(&server, sim);
    sim_peer_puts(near_peer, "last words");
    sim_settle(sim);
    link_finish(&far.link, CLOSE_DONE);
    server_settle(&server, sim);
    assert_got("last words", 10);
    cr_assert(server.closed);
    cr_assert(sim_peer_eof(far_peer));
    tls_close();
}

Test(tls, says_goodbye_when_an_idle_link_is_aborted)
{
    good_open(1, 0);
    tls_connect();
    server_settle(&server, sim);
    link_abort(&far.link, CLOSE_DONE, false);
    server_settle(&server, sim);
    cr_assert(server.closed);
    cr_assert_eq(far.closed, 1);
    cr_assert_eq(far.broken, 0);
    cr_assert_eq(far.reason, CLOSE_DONE);
    tls_close();
}

Test(tls, does_not_wait_to_say_goodbye)
{
    good_open(1, 0);
    tls_connect();
    server_settle(&server, sim);
    sim_peer_set_window(far_peer, 0);
    link_abort(&far.link, CLOSE_DONE, false);
    sim_settle(sim);
    cr_assert_eq(far.closed, 1);
    cr_assert_eq(far.broken, 0);
    tls_close();
}

Test(tls, half_closes_and_still_receives)
{
    good_open(1, 0);
    tls_connect();
    server_settle(&server, sim);
    link_end_sending(&far.link);
    server_settle(&server, sim);
    cr_assert(server.closed);
    cr_assert(sim_peer_ended(far_peer));
    server.closed = false;
    server_write(&server, "still here", 10);
    server_settle(&server, sim);
    assert_reads(near_peer, "still here", 10);
    tls_close();
}

Test(tls, tells_an_end_from_a_cut)
{
    good_open(1, 0);
    tls_connect();
    server_settle(&server, sim);
    SSL_shutdown(server.ssl);
    server_settle(&server, sim);
    cr_assert_eq(far.ends, 1);
    sim_peer_half_close(far_peer);
    sim_settle(sim);
    cr_assert_eq(far.ends, 1, "close_notify and FIN are one end");
    cr_assert_not(link_truncated(&far.link));
    tls_close();

    good_open(1, 0);
    tls_connect();
    server_settle(&server, sim);
    sim_peer_half_close(far_peer);
    sim_settle(sim);
    cr_assert_eq(far.ends, 1);
    cr_assert(link_truncated(&far.link));
    tls_close();
}

/* --- sessions --- */

static bool
connect_again(void)
{
    bool resumed;

    connect_world_open(1);
    tls_connect();
    server_settle(&server, sim);
    exchange_words();
    resumed = tls_is_resumed(far.link.filter);
    cr_assert_eq(SSL_session_reused(server.ssl), resumed);
    world_close();
    server_close(&server);
    return resumed;
}

static void
resume(int max_version)
{
    good_open(1, max_version);
    world_close();
    cr_assert_not(connect_again());
    for (unsigned i = 0; i < 3; i++)
        cr_assert(connect_again(), "%u", i);
    SSL_CTX_free(served);
    served = server_context(&own, NULL, max_version);
    cr_assert_not(connect_again(), "another server knows nothing of it");
    SSL_CTX_free(served);
    tls_peer_done(&target);
    tls_context_free(&target.context);
    identity_done(&ca);
    identity_done(&own);
}

Test(tls, resumes_the_last_session)
{
    resume(0);
    resume(TLS1_2_VERSION);
}

Test(tls, resumes_a_session_again_when_the_server_gives_no_other)
{
    good_open(1, 0);
    world_close();
    cr_assert_not(connect_again());
    SSL_CTX_set_num_tickets(served, 0);
    for (unsigned i = 0; i < 3; i++)
        cr_assert(connect_again(), "%u", i);
    SSL_CTX_free(served);
    tls_peer_done(&target);
    tls_context_free(&target.context);
    identity_done(&ca);
    identity_done(&own);
}

Test(tls, resumes_a_session_on_several_connections_at_once)
{
    struct side *extra = calloc(1, sizeof *extra);
    static char second[1000];
    struct tls_server two;

    good_open(1, 0);
    world_close();
    cr_assert_not(connect_again());
    connect_world_open(1);
    tls_connect();
    link_init(&extra->link, &net, &relay_up, LINK_UPSTREAM);
    extra->other = &near;
    link_set_filter(&extra->link, tls_filter_new(&target));
    cr_assert_eq(connect_to(extra, 2), 0);
    sim_settle(sim);
    server_open(&two, served, sim_next_peer(sim), second, sizeof second);
    server_settle(&server, sim);
    server_settle(&two, sim);
    cr_assert(tls_is_resumed(far.link.filter) && tls_is_resumed(extra->link.filter));
    link_abort(&extra->link, CLOSE_DRAIN, false);
    sim_settle(sim);
    cr_assert_eq(extra->closed, 1);
    free(extra);
    server_close(&two);
    tls_close();
}

/* --- records --- */

Test(tls, puts_the_small_pieces_of_a_turn_into_one_record)
{
    static struct buf words = {.data = (uint8_t *)(uintptr_t) "abcdefgh", .size = 8, .kind = BUF_STATIC};

    good_open(1, 0);
    tls_connect();
    server_settle(&server, sim);
    for (unsigned i = 0; i < 8; i++)
        link_push(&far.link, PRIORITY_NORMAL, span_of(&words, i, 1));
    server_settle(&server, sim);
    assert_got("abcdefgh", 8);
    cr_assert_eq(server.records, 1);
    tls_close();
}

Test(tls, sends_lanes_in_the_order_of_their_importance)
{
    static struct buf words = {.data = (uint8_t *)(uintptr_t) "CHNL", .size = 4, .kind = BUF_STATIC};

    good_open(1, 0);
    tls_connect();
    for (int lane = PRIORITY_LOW; lane >= PRIORITY_CRITICAL; lane--) /* the handshake is not through */
        link_push(&far.link, (enum priority)lane, span_of(&words, (uint32_t)lane, 1));
    server_settle(&server, sim);
    assert_got("CHNL", 4);
    tls_close();
}

/* Bodies in both directions at once, through short sends, small windows and slow readers. */
static void
pass_bodies(uint64_t seed)
{
    static char text[100000], back[sizeof text];
    size_t sent = 0, written = 0, taken = 0;
    unsigned turns = 0;

    put_number_text(text, sizeof text);
    connect_world_open(seed);
    sim_faults_random(sim);
    sim_peer_set_window(near_peer, 1 + sim_random(sim, 5000));
    near.echo_end = far.echo_end = false;
    link_set_filter(&far.link, tls_filter_new(&target));
    cr_assert_eq(connect_to(&far, 2), 0);
    while (!(far_peer = sim_next_peer(sim)))
        sim_advance(sim, 1);
    server_open(&server, served, far_peer, got, sizeof got);
    sim_peer_set_window(far_peer, 2000 + sim_random(sim, 20000));
    while ((server.got_len < sizeof text || taken < sizeof text) && turns++ < 100000) {
        size_t n = sim_random(sim, 4000);

        sent += sim_peer_send(near_peer, text + sent, n < sizeof text - sent ? n : sizeof text - sent);
        if (server.accepted && written < sizeof text && BIO_ctrl_pending(server.out) < 30000) {
            n = 1 + sim_random(sim, 20000);
            n = n < sizeof text - written ? n : sizeof text - written;
            server_write(&server, text + written, n);
            written += n;
        }
        server.most = 1 + sim_random(sim, 8000);
        if (sim_random(sim, 2))
            server_turn(&server);
        taken += sim_peer_read(near_peer, back + taken, sim_random(sim, 4000));
        sim_advance(sim, 1);
        cr_assert_leq(slab.used_bytes, 4 * (HIGH + RECORDS_MOST), "bounded, whatever the readers do");
    }
    cr_assert_eq(taken, sizeof text, "seed %lu: %zu back, %zu there", (unsigned long)seed, taken,
                 server.got_len);
    cr_assert_arr_eq(back, text, sizeof text);
    assert_got(text, sizeof text);
    for (unsigned f = 0; f < SIM_FAULTS; f++)
        sim_set_fault(sim, f, 0);
    sim_settle(sim);
    assert_pool_is_whole();
    world_close();
    server_close(&server);
}

Test(tls, passes_bodies_both_ways_through_short_sends_and_slow_readers)
{
    good_open(1, 0);
    world_close();
    sim_for_seeds(1, 40, pass_bodies);
    SSL_CTX_free(served);
    tls_peer_done(&target);
    tls_context_free(&target.context);
    identity_done(&ca);
    identity_done(&own);
}

Test(tls, holds_no_more_than_the_marks_for_a_server_that_stops_reading)
{
    static char text[STREAM_MAX];
    size_t sent = 0;

    put_number_text(text, sizeof text);
    good_open(1, 0);
    tls_connect();
    server_settle(&server, sim);
    sim_peer_set_window(far_peer, 0);
    for (unsigned i = 0; i < 50; i++) {
        sent += sim_peer_send(near_peer, text + sent, sizeof text - sent);
        sim_settle(sim);
    }
    cr_assert(link_blocked(&far.link));
    cr_assert_leq(link_queued(&far.link), HIGH * 4 + 8 * BUF_BYTES);
    assert_pool_is_whole();
    sim_peer_set_window(far_peer, 1 << 20);
    while (server.got_len < sizeof text) {
        sent += sim_peer_send(near_peer, text + sent, sizeof text - sent);
        server_settle(&server, sim);
    }
    assert_got(text, sizeof text);
    tls_close();
}

/* --- memory --- */

/* With a limit at each place: the stream works or breaks, and all comes home. */
Test(tls, survives_without_memory_at_any_place)
{
    unsigned worked = 0;

    good_open(1, 0);
    world_close();
    for (uint64_t limit = 128; limit < 40000; limit += 500) {
        connect_world_open(1);
        slab.limit_bytes = limit;
        tls_connect();
        server_settle(&server, sim);
        sim_peer_puts(near_peer, "ping");
        server_settle(&server, sim);
        if (server.accepted && !server.failed) {
            server_write(&server, "pong", 4);
            server_settle(&server, sim);
        }
        worked += far.broken == 0 && far.closed == 0;
        cr_assert(far.broken == 0 || far.broken_reason == CLOSE_NO_MEMORY, "%lu: %s", (unsigned long)limit,
                  target.why);
        slab.limit_bytes = 0;
        world_close();
        server_close(&server);
        tls_peer_done(&target);
    }
    cr_assert(worked > 0 && worked < 80);
    SSL_CTX_free(served);
    tls_context_free(&target.context);
    identity_done(&ca);
    identity_done(&own);
}

/* --- files --- */

struct bad_files {
    struct tls_pem ca, cert, key;
    const char *why;
};

static void
refuse(const struct bad_files *files)
{
    struct tls_settings settings = {files->ca, files->cert, files->key, true};
    struct tls_context *context = NULL;
    char why[512];

    cr_assert_lt(tls_context_new(&settings, &context, why, sizeof why), 0, "%s", files->why);
    cr_assert_null(context);
    cr_assert_str_eq(why, files->why);
}

Test(tls, names_the_file_that_is_of_no_use_and_the_way_out)
{
    struct identity other;
    char cut[4096];
    struct tls_pem good_ca, good_cert, nonsense = {"x.pem", TEXT("nonsense\n")};

    identity_make(&ca, NULL, NULL, -1, 30);
    identity_make(&own, &ca, "DNS:a", -1, 30);
    identity_make(&other, &ca, "DNS:a", -1, 30);
    good_ca = (struct tls_pem){"ca.pem", text_of(ca.cert_pem)};
    good_cert = (struct tls_pem){"cert.pem", text_of(own.cert_pem)};
    snprintf(cut, sizeof cut, "%s%.100s", ca.cert_pem, ca.cert_pem);
    refuse(&(struct bad_files){
        .ca = nonsense, .why = "'x.pem' holds no certificate: name a file of certificates in PEM form"});
    refuse(&(struct bad_files){
        .ca = {"cut.pem", text_of(cut)},
        .why = "'cut.pem' holds a damaged certificate: name a file of certificates in PEM form"});
    refuse(&(struct bad_files){
        good_ca,
        nonsense,
        {"key.pem", text_of(own.key_pem)},
        "'x.pem' holds no client certificate that can be used (no start line): name a PEM file"});
    refuse(&(struct bad_files){good_ca, good_cert, nonsense,
                               "'x.pem' holds no private key: name a key in PEM form"});
    refuse(
        &(struct bad_files){good_ca,
                            good_cert,
                            {"other.pem", text_of(other.key_pem)},
                            "'other.pem' is not the key of 'cert.pem': name the two that belong together"});
    identity_done(&other);
    identity_done(&ca);
    identity_done(&own);
}

Test(tls, asks_nobody_for_a_passphrase)
{
    struct bad_files files;
    char locked[2048];
    BIO *bio = BIO_new(BIO_s_mem());
    int n;

    identity_make(&ca, NULL, NULL, -1, 30);
    identity_make(&own, &ca, "DNS:a", -1, 30);
    PEM_write_bio_PrivateKey(bio, own.key, EVP_aes_128_cbc(), (const unsigned char *)"secret", 6, NULL, NULL);
    n = BIO_read(bio, locked, sizeof locked - 1);
    locked[n] = 0;
    BIO_free(bio);
    files = (struct bad_files){{"ca.pem", text_of(ca.cert_pem)},
                               {"cert.pem", text_of(own.cert_pem)},
                               {"locked.pem", text_of(locked)},
                               "'locked.pem' is encrypted: name a key without a passphrase"};
    refuse(&files);
    identity_done(&ca);
    identity_done(&own);
}
