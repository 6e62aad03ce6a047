/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The far end for tests of TLS: certificates made on the spot, and a server of OpenSSL's own that speaks to a
 * simulated peer in pieces of any size.
 */
#ifndef TLS_SERVER_H
#define TLS_SERVER_H

#include "net/tls.h"
#include "ring/ring_sim.h"

#include <openssl/ssl.h>

/* A certificate with its key, and both as PEM. */
struct identity {
    EVP_PKEY *key;
    X509 *cert;
    char cert_pem[2048], key_pem[1024];
};

/* `san`: "DNS:search.example", "IP:10.0.0.2"; NULL: a CA. `issuer` NULL: self-signed. Valid from `from_days`
 * to `to_days` from now. */
void identity_make(struct identity *id, const struct identity *issuer, const char *san, int from_days,
                   int to_days);
void identity_done(struct identity *id);

/* `client_ca`: clients need a certificate of it. `max_version` 0: the newest. */
SSL_CTX *server_context(const struct identity *id, const struct identity *client_ca, int max_version);
/* A client's context that believes `ca` (NULL: any certificate), with the certificate `own` (NULL: none). */
struct tls_context *client_context(const struct identity *ca, const struct identity *own);

struct tls_server {
    SSL *ssl;
    struct sim_peer *peer;
    BIO *in, *out;
    size_t most; /* bytes that server_turn() sends at once; 0: all */
    size_t sent; /* to the peer */
    char *got;   /* plain, `got_len` of `got_room` */
    size_t got_len, got_room;
    bool accepted;    /* the handshake is through */
    bool closed;      /* close_notify came */
    int failed;       /* SSL_get_error() of what failed */
    unsigned records; /* application data records that came: SSL_read() calls that brought bytes, at most */
};

void server_open(struct tls_server *s, SSL_CTX *context, struct sim_peer *peer, char *got, size_t got_room);
void server_close(struct tls_server *s);
/* Takes in what came; what is due waits in `out`. True: something came. */
bool server_take(struct tls_server *s);
/* Takes in what came, sends what is due; true: something moved. */
bool server_turn(struct tls_server *s);
/* server_turn() and sim_settle() until nothing moves. */
void server_settle(struct tls_server *s, struct sim *sim);
void server_write(struct tls_server *s, const void *bytes, size_t len);

#endif
