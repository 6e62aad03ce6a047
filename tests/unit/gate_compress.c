/* SPDX-License-Identifier: Apache-2.0 */
/* Compressed replies, on a whole worker in the simulator; zlib decodes them. */
#include "gate/compress.h"
#include "gate_world.h"

#include <stdlib.h>
#include <zlib.h>

#define COMPRESS "--upstream", "up=http://10.0.0.2:80/mcp", "--compress", "on"
#define GZIP     "Accept-Encoding: gzip\r\n"

static struct sim_peer *client, *server;

static void
call(const char *fields, const char *body)
{
    client = client_new();
    post(client, fields, body);
    server = server_next();
    request_of(server);
}

/* --- what a client decodes as it comes --- */

struct reader {
    struct sim_peer *client;
    struct http1_body body; /* chunked */
    z_stream z;
    bool has_head, ended;
    char head[2048], text[1 << 16];
    size_t len;
};

static struct reader reader;

static void
reader_begin(struct reader *r, struct sim_peer *of, int window_bits)
{
    *r = (struct reader){.client = of};
    http1_body_init(&r->body, FRAMING_CHUNKED, 0);
    cr_assert_eq(inflateInit2(&r->z, window_bits), Z_OK);
}

static void
decode(struct reader *r, const char *at, uint32_t len)
{
    r->z.next_in = (Bytef *)(uintptr_t)at;
    r->z.avail_in = len;
    r->z.next_out = (Bytef *)r->text + r->len;
    r->z.avail_out = (uInt)(sizeof r->text - 1 - r->len);
    while (r->z.avail_in) {
        int status = inflate(&r->z, Z_SYNC_FLUSH);

        cr_assert(status == Z_OK || status == Z_STREAM_END, "%d: %s", status, r->z.msg);
        r->ended = status == Z_STREAM_END;
        cr_assert(!r->ended || !r->z.avail_in, "bytes behind the end");
    }
    r->len = sizeof r->text - 1 - r->z.avail_out;
}

/* All that has been decoded and not been taken with read_new(). */
static const char *
read_new(struct reader *r)
{
    size_t len;
    const char *at = sim_peer_peek(r->client, &len);
    struct http1_piece piece;
    enum http1_body_event event;

    r->len = 0;
    if (!r->has_head) {
        const char *end = strstr(at, "\r\n\r\n");

        cr_assert(end, "no head, but: %s", at);
        snprintf(r->head, sizeof r->head, "%.*s", (int)(end + 2 - at), at);
        len -= (size_t)(end + 4 - at);
        at = end + 4;
        r->has_head = true;
    }
    do {
        event = http1_body_next(&r->body, at, (uint32_t)len, &piece);
        cr_assert_neq(event, BODY_BAD);
        if (event == BODY_DATA)
            decode(r, at + piece.data.off, piece.data.len);
        at += piece.used;
        len -= piece.used;
    } while (event == BODY_DATA);
    cr_assert_eq(r->ended, event == BODY_END, "the content ends with the chunks");
    sim_peer_discard(r->client);
    r->text[r->len] = '\0';
    return r->text;
}

/* --- streams --- */

Test(compress, each_event_can_be_decoded_before_the_next_is_sent)
{
    static const struct {
        const char *accept, *name;
        int window_bits;
    } forms[] = {{"Accept-Encoding: gzip, deflate, br\r\n", "Content-Encoding: gzip\r\n", 31},
                 {"Accept-Encoding: deflate\r\n", "Content-Encoding: deflate\r\n", 15}};

    for (unsigned f = 0; f < 2; f++) {
        world_open(1, COMPRESS, "--heartbeat", "10s", NULL);
        call(forms[f].accept, CALL(1));
        reader_begin(&reader, client, forms[f].window_bits);
        answer_stream(server, "X-Other: y\r\n");
        for (unsigned i = 0; i < 20; i++) {
            say_chunk(server, "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\"}\n\n");
            cr_assert_str_eq(read_new(&reader),
                             "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\"}\n\n");
        }
        cr_assert(strstr(reader.head, forms[f].name), "%s", reader.head);
        cr_assert(strstr(reader.head, "Vary: Accept-Encoding\r\n"), "%s", reader.head);
        cr_assert(strstr(reader.head, "X-Other: y\r\n"), "%s", reader.head);
        advance(10100);
        cr_assert_str_eq(read_new(&reader), ":\n\n", "a heartbeat");
        say_chunk(server, "data: half");
        cr_assert_str_eq(read_new(&reader), "data: half");
        say(server, "3\r\n-1\n\r\n1\r\n\n\r\n0\r\n\r\n");
        cr_assert_str_eq(read_new(&reader), "-1\n\n");
        cr_assert(reader.ended);
        inflateEnd(&reader.z);
        cr_assert_eq(counter(STAT_compressed_replies), 1);
        cr_assert_eq(counter(STAT_compress_in), 20 * 59 + 3 + 10 + 4);
        cr_assert_lt(counter(STAT_compress_out), 400);
        cr_assert_eq(counter(STAT_compress_contexts), 0);
        world_close();
    }
}

#define EVENT "data: {\"n\":\"something to remember\"}\n\n"

Test(compress, what_comes_in_one_turn_is_flushed_once)
{
    uint64_t one;

    world_open(1, COMPRESS, NULL);
    call(GZIP, CALL(1));
    reader_begin(&reader, client, 31);
    answer_stream(server, "");
    say_chunk(server, EVENT);
    read_new(&reader);
    one = counter(STAT_compress_out);
    say(server, "%zx\r\n%s\r\n%zx\r\n%s\r\n", strlen(EVENT), EVENT, strlen(EVENT), EVENT);
    cr_assert_str_eq(read_new(&reader), EVENT EVENT);
    cr_assert_leq(counter(STAT_compress_out) - one, 5 + 2 * 4, "one empty block, and two references");
    inflateEnd(&reader.z);
    world_close();
}

Test(compress, a_quiet_stream_gives_its_context_back_and_goes_on)
{
    world_open(1, COMPRESS, "--heartbeat", "0", NULL);
    call(GZIP, CALL(1));
    reader_begin(&reader, client, 31);
    answer_stream(server, "");
    for (unsigned i = 0; i < 3; i++) {
        say_chunk(server, "data: the same each time\n\n");
        cr_assert_str_eq(read_new(&reader), "data: the same each time\n\n");
        cr_assert_eq(counter(STAT_compress_contexts), 1);
        advance(4000);
        cr_assert_eq(counter(STAT_compress_contexts), 1);
        advance(2000);
        cr_assert_eq(counter(STAT_compress_contexts), 0);
    }
    say(server, "0\r\n\r\n");
    cr_assert_str_eq(read_new(&reader), "");
    cr_assert(reader.ended, "it ends without one");
    inflateEnd(&reader.z);
    world_close();
}

Test(compress, with_all_contexts_in_use_new_streams_stay_plain_and_old_ones_go_on)
{
    static struct sim_peer *servers[COMPRESS_CONTEXTS_MAX + 1];
    struct message *m;

    world_open(1, COMPRESS, "--heartbeat", "0", NULL);
    call(GZIP, CALL(1));
    reader_begin(&reader, client, 31);
    answer_stream(server, "");
    say_chunk(server, "data: 1\n\n");
    read_new(&reader);
    servers[COMPRESS_CONTEXTS_MAX] = server;
    advance(6000);
    for (unsigned i = 0; i < COMPRESS_CONTEXTS_MAX; i++) {
        call(GZIP, CALL(2));
        answer_stream(server, "");
        servers[i] = server;
    }
    cr_assert_eq(counter(STAT_compress_contexts), COMPRESS_CONTEXTS_MAX);
    cr_assert_eq(counter(STAT_compress_spared), 0);
    call(GZIP, CALL(3));
    answer_stream(server, "");
    say_chunk(server, "data: 3\n\n");
    say(server, "0\r\n\r\n");
    m = reply_of(client);
    cr_assert_null(field(m, "Content-Encoding"));
    cr_assert_str_eq(field(m, "Vary"), "Accept-Encoding");
    cr_assert_str_eq(m->body, "data: 3\n\n");
    cr_assert_eq(counter(STAT_compress_spared), 1);
    say_chunk(servers[COMPRESS_CONTEXTS_MAX], "data: 1 again\n\n");
    cr_assert_str_eq(read_new(&reader), "data: 1 again\n\n");
    say(servers[0], "0\r\n\r\n"); /* one is free: the stream has it with its next event */
    say_chunk(servers[COMPRESS_CONTEXTS_MAX], "data: 1 again\n\n");
    cr_assert_str_eq(read_new(&reader), "data: 1 again\n\n");
    cr_assert_eq(counter(STAT_compress_contexts), COMPRESS_CONTEXTS_MAX);
    for (unsigned i = 1; i <= COMPRESS_CONTEXTS_MAX; i++)
        say(servers[i], "0\r\n\r\n");
    cr_assert_str_eq(read_new(&reader), "");
    cr_assert(reader.ended);
    inflateEnd(&reader.z);
    world_close();
}

Test(compress, a_stream_that_breaks_is_cut_short_or_ends_with_its_error)
{
    world_open(1, COMPRESS, NULL);
    call(GZIP, CALL(1));
    reader_begin(&reader, client, 31);
    answer_stream(server, "");
    say_chunk(server, "data: 1\n\n");
    sim_peer_reset(server);
    settle();
    cr_assert(strstr(read_new(&reader), "\"error\":"), "%s", reader.text);
    cr_assert(reader.ended);
    inflateEnd(&reader.z);
    call(GZIP, CALL(2));
    reader_begin(&reader, client, 31);
    answer_stream(server, "");
    say_chunk(server, "data: 1");
    read_new(&reader);
    sim_peer_reset(server);
    settle();
    cr_assert(sim_peer_ended(client) || sim_peer_was_reset(client));
    cr_assert_not(reader.ended);
    inflateEnd(&reader.z);
    call(GZIP, CALL(3));
    reader_begin(&reader, client, 31);
    answer_stream(server, "");
    read_new(&reader);
    say(server, "9\r\ndata: 1\n\n\r\n5\r\ndata:\r\nno size");
    cr_assert(strstr(read_new(&reader), "data: 1\n\n"), "what came with the fault: %s", reader.text);
    cr_assert_not(reader.ended);
    inflateEnd(&reader.z);
    cr_assert_eq(counter(STAT_compress_contexts), 0);
    world_close();
}

Test(compress, a_client_that_leaves_or_does_not_read_holds_no_context_for_ever)
{
    static char event[40000];

    memset(event, 'x', sizeof event - 1);
    world_open(1, COMPRESS, "--send-timeout", "20s", NULL);
    call(GZIP, CALL(1));
    answer_stream(server, "");
    say_chunk(server, "data: 1\n\n");
    sim_peer_reset(client);
    settle();
    cr_assert_eq(counter(STAT_compress_contexts), 0);
    call(GZIP, CALL(2));
    answer_stream(server, "");
    sim_peer_set_window(client, 10);
    say_chunk(server, event);
    cr_assert_eq(counter(STAT_compress_contexts), 1);
    advance(6000);
    cr_assert_eq(counter(STAT_compress_contexts), 0);
    advance(20000);
    cr_assert_eq(counter(STAT_connections_open), 0);
    world_close();
}

Test(compress, an_early_stream_is_compressed_with_the_json_that_comes_late)
{
    world_open(1, COMPRESS, "--early-stream", "1s", NULL);
    call(GZIP, CALL(1));
    reader_begin(&reader, client, 31);
    advance(1100);
    answer(server, "", RESULT(1));
    cr_assert_str_eq(read_new(&reader), "event: message\ndata: " RESULT(1) "\n\n");
    cr_assert(strstr(reader.head, "Content-Encoding: gzip\r\n"), "%s", reader.head);
    cr_assert(reader.ended);
    inflateEnd(&reader.z);
    world_close();
}

/* --- JSON --- */

static char large[20000];

static const char *
large_json(void)
{
    size_t n = (size_t)snprintf(large, sizeof large, "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"list\":[");

    while (n < sizeof large - 100)
        n += (size_t)snprintf(large + n, sizeof large - n, "\"entry %zu\",", n);
    strcpy(large + n, "0]}}");
    return large;
}

static void
expect_packed(const struct message *m, const char *want)
{
    static char text[1 << 16];
    uLong len = sizeof text - 1;
    z_stream z = {.next_in = (Bytef *)(uintptr_t)m->body,
                  .avail_in = (uInt)m->body_len,
                  .next_out = (Bytef *)text,
                  .avail_out = (uInt)len};

    cr_assert_eq(inflateInit2(&z, 31), Z_OK);
    cr_assert_eq(inflate(&z, Z_FINISH), Z_STREAM_END);
    text[z.total_out] = '\0';
    inflateEnd(&z);
    cr_assert_str_eq(text, want);
}

Test(compress, an_upstreams_json_is_compressed_as_it_passes)
{
    struct message *m;

    world_open(1, COMPRESS, NULL);
    call(GZIP, CALL(1));
    answer(server, "ETag: W/\"1\"\r\nVary: Origin\r\n", large_json());
    m = reply_of(client);
    cr_assert_str_eq(field(m, "Content-Encoding"), "gzip");
    cr_assert_null(field(m, "Content-Length"));
    cr_assert_str_eq(field(m, "ETag"), "W/\"1\"");
    cr_assert(strstr(m->head, "Vary: Accept-Encoding\r\n") && strstr(m->head, "Vary: Origin\r\n"));
    cr_assert_lt(m->body_len, strlen(large) / 2);
    expect_packed(m, large);
    post(client, GZIP, CALL(2)); /* the connection goes on */
    request_of(server);
    answer(server, "", RESULT(2));
    cr_assert_str_eq(reply_of(client)->body, RESULT(2));
    world_close();
}

Test(compress, a_client_of_http_1_0_reads_it_to_the_end)
{
    struct message *m;

    world_open(1, "--route", "/=http://10.0.0.2:80/", "--compress", "on", NULL);
    client = client_new();
    say(client, "GET / HTTP/1.0\r\n" GZIP "\r\n");
    server = server_next();
    request_of(server);
    answer(server, "", large_json());
    m = reply_of(client);
    cr_assert_not(m->is_chunked || m->is_length);
    expect_packed(m, large);
    world_close();
}

Test(compress, leaves_alone_what_must_not_or_need_not_change)
{
    static const struct {
        const char *request, *status, *fields;
        bool varies;
    } rows[] = {
        {"", "200 OK", "Content-Type: application/json\r\n", true},
        {"Accept-Encoding: br\r\n", "200 OK", "Content-Type: application/json\r\n", true},
        {"Accept-Encoding: gzip;q=0\r\n", "200 OK", "Content-Type: text/event-stream\r\n", true},
        {GZIP "Cache-Control: no-transform\r\n", "200 OK", "Content-Type: application/json\r\n", true},
        {GZIP, "200 OK", "Content-Type: application/json\r\nCache-Control: max-age=1, No-Transform\r\n",
         false},
        {GZIP, "200 OK", "Content-Type: text/event-stream\r\nCache-Control: no-transform\r\n", false},
        {GZIP, "200 OK", "Content-Type: application/json\r\nContent-Encoding: x\r\n", false},
        {GZIP, "200 OK", "Content-Type: application/json\r\nETag: \"1\"\r\n", false},
        {GZIP, "200 OK", "Content-Type: application/json\r\nAccept-Ranges: bytes\r\n", false},
        {GZIP, "200 OK", "Content-Type: application/json\r\nRepr-Digest: sha-256=:x:\r\n", false},
        {GZIP, "206 Partial Content", "Content-Type: application/json\r\nContent-Range: bytes 0-1/2\r\n",
         false},
        {GZIP, "200 OK", "Content-Type: application/jsonp\r\n", false},
        {GZIP, "200 OK", "Content-Type: text/plain\r\n", false},
        {GZIP, "200 OK", "", false},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct message *m;

        world_open(1, COMPRESS, "--compress-min", "0", NULL);
        call(rows[i].request, CALL(1));
        say(server, "HTTP/1.1 %s\r\n%sContent-Length: 4\r\n\r\nbody", rows[i].status, rows[i].fields);
        m = reply_of(client);
        cr_assert_str_eq(m->body, "body", "row %zu", i);
        cr_assert(m->is_length, "row %zu", i);
        cr_assert_eq(strstr(m->head, "Vary: Accept-Encoding\r\n") != NULL, rows[i].varies, "row %zu", i);
        cr_assert_eq(counter(STAT_compressed_replies), 0);
        world_close();
    }
}

Test(compress, leaves_heads_and_what_is_short_alone)
{
    world_open(1, "--route", "/=http://10.0.0.2:80/", "--compress", "on", NULL);
    client = client_new();
    say(client, "HEAD / HTTP/1.1\r\nHost: x\r\n" GZIP "\r\n");
    server = server_next();
    request_of(server);
    say(server, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 5000\r\n\r\n");
    cr_assert_str_eq(field(reply_to_head_of(client), "Content-Length"), "5000");
    get(client, "/", GZIP);
    request_of(server);
    answer(server, "", "{\"short\":1}");
    cr_assert_str_eq(reply_of(client)->body, "{\"short\":1}");
    get(client, "/", GZIP);
    request_of(server);
    say(server, "HTTP/1.1 204 No Content\r\nContent-Type: application/json\r\n\r\n");
    cr_assert_eq(reply_of(client)->status, 204);
    cr_assert_eq(counter(STAT_compressed_replies), 0);
    world_close();
}

Test(compress, is_off_unless_it_was_asked_for)
{
    world_open(1, "--upstream", "up=http://10.0.0.2:80/mcp", NULL);
    call(GZIP, CALL(1));
    answer(server, "", large_json());
    cr_assert_str_eq(reply_of(client)->body, large);
    world_close();
}

/* --- the gateway's own --- */

static void
ask_demo(const char *fields)
{
    static const char body[] =
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\",\"params\":{" MODERN_META "}}";

    client = client_new();
    say(client,
        "POST /mcp HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n" MCP_ACCEPT
        "MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/list\r\n%sContent-Length: %zu\r\n\r\n%s",
        fields, sizeof body - 1, body);
}

Test(compress, a_reply_of_the_gateways_own_is_packed_whole)
{
    static char plain[BODY_MAX];
    struct message *m;

    world_open(1, "--compress", "on", NULL);
    ask_demo("");
    m = reply_of(client);
    cr_assert_null(field(m, "Content-Encoding"));
    cr_assert_str_eq(field(m, "Vary"), "Accept-Encoding");
    strcpy(plain, m->body);
    ask_demo(GZIP);
    m = reply_of(client);
    cr_assert(m->is_length);
    cr_assert_str_eq(field(m, "Content-Encoding"), "gzip");
    expect_packed(m, plain);
    cr_assert_eq(counter(STAT_compress_in), strlen(plain));
    cr_assert_eq(counter(STAT_compress_out), m->body_len);
    world_close();
}

/* --- load --- */

Test(compress, a_worker_that_has_no_time_left_compresses_no_new_reply)
{
    struct message *m;

    world_open(1, COMPRESS, NULL);
    sim_set_busy(world.sim, 100);
    advance(1200);
    call(GZIP, CALL(1));
    answer(server, "", large_json());
    m = reply_of(client);
    cr_assert_null(field(m, "Content-Encoding"));
    cr_assert_str_eq(field(m, "Vary"), "Accept-Encoding");
    cr_assert_str_eq(m->body, large);
    cr_assert_eq(counter(STAT_compress_spared), 1);
    sim_set_busy(world.sim, 90);
    advance(1200);
    post(client, GZIP, CALL(2));
    request_of(server);
    answer(server, "", large);
    expect_packed(reply_of(client), large);
    cr_assert_eq(counter(STAT_compress_spared), 1);
    world_close();
}
