/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A TLS server that is out to do harm. The input's first byte chooses what it sends: bytes of its own, or
 * what a real server would, changed here and there. Its bytes come whole, and once more in pieces.
 *
 *      [kind] [piece] bytes...                  kind even: these are sent as they are
 *      [kind] [piece] ([offset:2] [xor:1])...   kind odd: changes to what a real server sends
 *
 * Property: the link stays open or breaks for a reason that TLS has; what it delivers is what the real server
 * said, or the beginning of it; whole and in pieces it comes to the same; and everything comes home.
 */
#include "../unit/tls_server.h"

#include <arpa/inet.h>

static const char words[] = "what the server says, which nobody may change on its way";

static struct identity ca, own;
static SSL_CTX *served;
static struct tls_context *context;

struct outcome {
    bool connected, broken, closed;
    enum close_reason reason;
    size_t delivered;
};

static struct {
    struct link link;
    struct net net;
    struct slab slab;
    struct sim *sim;
    struct outcome outcome;
    bool is_real; /* what is delivered must be `words` */
} world;

static void
on_bytes(struct link *link, struct span bytes)
{
    size_t at = world.outcome.delivered;

    ASSERT(world.is_real && at + bytes.len < sizeof words &&
           memcmp(words + at, span_data(bytes), bytes.len) == 0);
    world.outcome.delivered += bytes.len;
}

static void
on_event(struct link *link)
{
}

static void
on_connected(struct link *link, int error)
{
    ASSERT(error == 0);
    world.outcome.connected = true;
}

static void
on_broken(struct link *link, enum close_reason reason)
{
    ASSERT(reason >= CLOSE_CERT_EXPIRED && reason <= CLOSE_TLS_FAILED);
    world.outcome.broken = true;
    world.outcome.reason = reason;
}

static void
on_closed(struct link *link, enum close_reason reason)
{
    world.outcome.closed = true;
}

static const struct link_up up = {.on_bytes = on_bytes,
                                  .on_end = on_event,
                                  .on_connected = on_connected,
                                  .on_writable = on_event,
                                  .on_broken = on_broken,
                                  .on_closed = on_closed};

static void
turn(void *arg)
{
    ring_reap(world.net.ring);
    net_flush(&world.net);
    ring_wait(world.net.ring, 1000);
}

static struct sim_peer *
world_open(struct tls_peer *target)
{
    struct ring_config config = {.buf_count = {8, 4, 1}, .buf_size = {1024, 4096, 8192}};
    struct sockaddr_in in = {
        .sin_family = AF_INET, .sin_port = htons(80), .sin_addr.s_addr = htonl(0x0a000002)};

    memset(&world, 0, sizeof world);
    world.sim = sim_open(1, &config);
    sim_on_turn(world.sim, turn, NULL);
    sim_serve(world.sim, "10.0.0.2:80", SIM_ACCEPT);
    slab_init(&world.slab, 0);
    net_init(&world.net, sim_ring(world.sim), &world.slab, 8192, 2048);
    link_init(&world.link, &world.net, &up, LINK_UPSTREAM);
    link_set_filter(&world.link, tls_filter_new(target));
    ASSERT(link_connect(&world.link, (struct sockaddr *)&in, sizeof in) == 0);
    sim_settle(world.sim);
    return sim_next_peer(world.sim);
}

static void
world_close(void)
{
    link_abort(&world.link, CLOSE_DRAIN, false);
    sim_settle(world.sim);
    ASSERT(world.outcome.closed && world.net.stats.queued_bytes == 0);
    net_done(&world.net);
    slab_done(&world.slab);
    sim_close(&world.sim);
}

static void
send_pieces(struct sim_peer *peer, const uint8_t *bytes, size_t len, size_t piece)
{
    while (len) {
        size_t n = piece && piece < len ? piece : len;

        if (sim_peer_send(peer, bytes, n) == 0)
            return; /* our side is gone */
        sim_settle(world.sim);
        bytes += n;
        len -= n;
    }
}

static struct outcome
play_bytes(const uint8_t *bytes, size_t len, size_t piece)
{
    struct tls_peer target = {.context = context, .host = "search.example"};
    struct outcome outcome;
    struct sim_peer *peer = world_open(&target);

    send_pieces(peer, bytes, len, piece);
    outcome = world.outcome;
    world_close();
    tls_peer_done(&target);
    return outcome;
}

/* The bytes of the server that come from `at` on, with the changes that fall on them. */
static void
change(uint8_t *bytes, size_t at, size_t len, const uint8_t *changes, size_t count)
{
    for (size_t i = 0; i + 3 <= count; i += 3) {
        size_t offset = (size_t)(changes[i] << 8 | changes[i + 1]);

        if (offset >= at && offset < at + len)
            bytes[offset - at] ^= changes[i + 2];
    }
}

static void
play_server(const uint8_t *changes, size_t count, size_t piece)
{
    static uint8_t bytes[1 << 16];
    struct tls_peer target = {.context = context, .host = "search.example"};
    struct tls_server server;
    bool spoken = false;
    char got[64];
    size_t at = 0;

    struct sim_peer *peer = world_open(&target);

    world.is_real = true;
    server_open(&server, served, peer, got, sizeof got);
    for (unsigned round = 0; round < 20; round++) {
        int n;

        server_take(&server);
        if (server.accepted && !spoken && !server.failed) {
            spoken = true;
            server_write(&server, words, sizeof words - 1);
        }
        n = BIO_read(server.out, bytes, sizeof bytes);
        if (n <= 0)
            break;
        change(bytes, at, (size_t)n, changes, count);
        at += (size_t)n;
        send_pieces(peer, bytes, (size_t)n, piece);
    }
    if (count < 3)
        ASSERT(world.outcome.connected && world.outcome.delivered == sizeof words - 1);
    world_close();
    server_close(&server);
    tls_peer_done(&target);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!served) {
        identity_make(&ca, NULL, NULL, -1, 30);
        identity_make(&own, &ca, "DNS:search.example", -1, 30);
        served = server_context(&own, NULL, 0);
        context = client_context(&ca, NULL);
    }
    if (size < 2)
        return 0;
    if (data[0] & 1) {
        SSL_CTX_set_max_proto_version(served, data[0] & 2 ? TLS1_2_VERSION : 0);
        play_server(data + 2, size - 2, 0);
        play_server(data + 2, size - 2, 1u + data[1]);
        return 0;
    }
    struct outcome whole = play_bytes(data + 2, size - 2, 0),
                   pieces = play_bytes(data + 2, size - 2, 1u + data[1]);

    ASSERT(whole.broken == pieces.broken && whole.reason == pieces.reason && !whole.connected &&
           !pieces.connected);
    return 0;
}
