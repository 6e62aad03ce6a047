/* SPDX-License-Identifier: Apache-2.0 */
#include "tls_server.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>

static void
pem_text(BIO *bio, char *out, size_t size)
{
    int n = BIO_read(bio, out, (int)size - 1);

    ASSERT(n > 0 && (size_t)n < size - 1);
    out[n] = 0;
    BIO_free(bio);
}

static void
add_extension(X509 *cert, const struct identity *issuer, int nid, const char *value)
{
    X509V3_CTX context;
    X509_EXTENSION *extension;

    X509V3_set_ctx(&context, issuer ? issuer->cert : cert, cert, NULL, NULL, 0);
    extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    ASSERT(extension);
    X509_add_ext(cert, extension, -1);
    X509_EXTENSION_free(extension);
}

void
identity_make(struct identity *id, const struct identity *issuer, const char *san, int from_days, int to_days)
{
    static long serial;
    X509_NAME *name;
    BIO *bio;

    id->key = EVP_EC_gen("P-256");
    id->cert = X509_new();
    X509_set_version(id->cert, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(id->cert), ++serial);
    X509_gmtime_adj(X509_getm_notBefore(id->cert), from_days * 86400L);
    X509_gmtime_adj(X509_getm_notAfter(id->cert), to_days * 86400L);
    X509_set_pubkey(id->cert, id->key);
    name = X509_get_subject_name(id->cert);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)(san ? "leaf" : "test CA"),
                               -1, -1, 0);
    X509_set_issuer_name(id->cert, issuer ? X509_get_subject_name(issuer->cert) : name);
    if (san)
        add_extension(id->cert, issuer, NID_subject_alt_name, san);
    else
        add_extension(id->cert, issuer, NID_basic_constraints, "critical,CA:TRUE");
    ASSERT(X509_sign(id->cert, issuer ? issuer->key : id->key, EVP_sha256()) > 0);
    PEM_write_bio_X509(bio = BIO_new(BIO_s_mem()), id->cert);
    pem_text(bio, id->cert_pem, sizeof id->cert_pem);
    PEM_write_bio_PrivateKey(bio = BIO_new(BIO_s_mem()), id->key, NULL, NULL, 0, NULL, NULL);
    pem_text(bio, id->key_pem, sizeof id->key_pem);
}

void
identity_done(struct identity *id)
{
    X509_free(id->cert);
    EVP_PKEY_free(id->key);
    *id = (struct identity){0};
}

static int
choose_http1(SSL *ssl, const unsigned char **out, unsigned char *out_len, const unsigned char *in,
             unsigned in_len, void *arg)
{
    (void)ssl, (void)arg;
    return SSL_select_next_proto((unsigned char **)(uintptr_t)out, out_len,
                                 (const unsigned char *)"\x08http/1.1", 9, in,
                                 in_len) == OPENSSL_NPN_NEGOTIATED
               ? SSL_TLSEXT_ERR_OK
               : SSL_TLSEXT_ERR_ALERT_FATAL;
}

SSL_CTX *
server_context(const struct identity *id, const struct identity *client_ca, int max_version)
{
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());

    ASSERT(context && SSL_CTX_use_certificate(context, id->cert) == 1 &&
           SSL_CTX_use_PrivateKey(context, id->key) == 1);
    SSL_CTX_set_security_level(context, 0);
    SSL_CTX_set_min_proto_version(context, TLS1_VERSION);
    SSL_CTX_set_max_proto_version(context, max_version);
    SSL_CTX_set_alpn_select_cb(context, choose_http1, NULL);
    SSL_CTX_set_session_id_context(context, (const unsigned char *)"t", 1);
    if (client_ca) {
        X509_STORE_add_cert(SSL_CTX_get_cert_store(context), client_ca->cert);
        SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    }
    return context;
}

struct tls_context *
client_context(const struct identity *ca, const struct identity *own)
{
    struct tls_settings settings = {.verify = ca != NULL};
    struct tls_context *context = NULL;
    char why[512];

    if (ca)
        settings.ca = (struct tls_pem){"ca.pem", text_of(ca->cert_pem)};
    if (own) {
        settings.cert = (struct tls_pem){"cert.pem", text_of(own->cert_pem)};
        settings.key = (struct tls_pem){"key.pem", text_of(own->key_pem)};
    }
    ASSERT(tls_context_new(&settings, &context, why, sizeof why) == 0);
    return context;
}

void
server_open(struct tls_server *s, SSL_CTX *context, struct sim_peer *peer, char *got, size_t got_room)
{
    *s = (struct tls_server){.ssl = SSL_new(context),
                             .peer = peer,
                             .in = BIO_new(BIO_s_mem()),
                             .out = BIO_new(BIO_s_mem()),
                             .got = got,
                             .got_room = got_room};
    SSL_set_bio(s->ssl, s->in, s->out);
    SSL_set_accept_state(s->ssl);
}

void
server_close(struct tls_server *s)
{
    SSL_free(s->ssl);
    s->ssl = NULL;
}

static void
take_in(struct tls_server *s)
{
    int n = 1;

    ERR_clear_error();
    if (!s->accepted) {
        n = SSL_do_handshake(s->ssl);
        s->accepted = n == 1;
    }
    while (s->accepted && n > 0) {
        n = SSL_read(s->ssl, s->got + s->got_len, (int)(s->got_room - s->got_len));
        if (n > 0) {
            s->got_len += (size_t)n;
            s->records++;
        }
    }
    if (n <= 0 && SSL_get_error(s->ssl, n) == SSL_ERROR_ZERO_RETURN)
        s->closed = true;
    else if (n <= 0 && SSL_get_error(s->ssl, n) != SSL_ERROR_WANT_READ)
        s->failed = SSL_get_error(s->ssl, n);
}

bool
server_take(struct tls_server *s)
{
    static char bytes[1 << 20];
    size_t n = sim_peer_read(s->peer, bytes, sizeof bytes);

    if (n)
        BIO_write(s->in, bytes, (int)n);
    if (!s->failed && !s->closed)
        take_in(s);
    return n > 0;
}

bool
server_turn(struct tls_server *s)
{
    static char bytes[1 << 20];
    bool moved = server_take(s);
    size_t n, due = BIO_ctrl_pending(s->out), took;

    if (s->most && due > s->most)
        due = s->most;
    if (due > sizeof bytes)
        due = sizeof bytes;
    if (due == 0)
        return moved;
    n = (size_t)BIO_read(s->out, bytes, (int)due);
    took = sim_peer_send(s->peer, bytes, n);
    s->sent += took;
    if (took < n) { /* the rest goes back to the front */
        size_t behind = BIO_ctrl_pending(s->out);
        char *rest = malloc(n - took + behind);

        memcpy(rest, bytes + took, n - took);
        if (behind)
            BIO_read(s->out, rest + (n - took), (int)behind);
        BIO_write(s->out, rest, (int)(n - took + behind));
        free(rest);
    }
    return moved || took > 0;
}

void
server_settle(struct tls_server *s, struct sim *sim)
{
    sim_settle(sim);
    while (server_turn(s))
        sim_settle(sim);
}

void
server_write(struct tls_server *s, const void *bytes, size_t len)
{
    size_t written;

    ERR_clear_error();
    ASSERT(SSL_write_ex(s->ssl, bytes, len, &written) == 1);
}
