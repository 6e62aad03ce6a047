/* SPDX-License-Identifier: Apache-2.0 */
#include "net/tls.h"

#include "net/tls_private.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* Pieces of at least this size become records from where they lie; smaller ones share one. */
enum { DIRECT_BYTES = 4096 };

struct tls_filter {
    struct filter base; /* first */
    struct tls_peer *peer;
    struct link *link;
    SSL *ssl;          /* NULL before the connection stands */
    struct span input; /* what of the span at hand OpenSSL has not read; borrowed */
    bool is_ready;     /* the handshake is through */
    bool has_failed;   /* OpenSSL must not be asked any more */
    bool no_memory;    /* the link refused what was transmitted */
};

static struct tls_filter *
tls_of(struct filter *filter)
{
    return (struct tls_filter *)(void *)filter;
}

/* --- OpenSSL's view of the stream --- */

static int
bio_read(BIO *bio, char *out, int size)
{
    struct tls_filter *tls = BIO_get_data(bio);
    uint32_t n = tls->input.len < (uint32_t)size ? tls->input.len : (uint32_t)size;

    BIO_clear_retry_flags(bio);
    if (n == 0) {
        BIO_set_retry_read(bio);
        return -1;
    }
    memcpy(out, span_data(tls->input), n);
    tls->input = span_skip(tls->input, n);
    return (int)n;
}

static int
bio_write(BIO *bio, const char *bytes, int len)
{
    struct tls_filter *tls = BIO_get_data(bio);

    BIO_clear_retry_flags(bio);
    if (link_transmit(tls->link, bytes, (size_t)len))
        return len;
    tls->no_memory = true;
    return -1;
}

static long
bio_ctrl(BIO *bio, int command, long number, void *pointer)
{
    (void)bio, (void)number, (void)pointer;
    return command == BIO_CTRL_FLUSH;
}

static BIO_METHOD *
bio_method(void)
{
    BIO_METHOD *method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "link");

    if (!method)
        return NULL;
    BIO_meth_set_read(method, bio_read);
    BIO_meth_set_write(method, bio_write);
    BIO_meth_set_ctrl(method, bio_ctrl);
    return method;
}

/* --- sessions --- */

/* The latest is kept and used by all connections until the next comes. (RFC 8446 C.4 would rather see each
 * ticket used once, against observers who link a client's visits: a gateway has the same address each time
 * anyway.) */
static int
on_session(SSL *ssl, SSL_SESSION *session)
{
    struct tls_filter *tls = SSL_get_app_data(ssl);

    SSL_SESSION_free(tls->peer->session);
    tls->peer->session = session;
    return 1; /* the reference is ours */
}

/* OpenSSL marks a session as used up; some servers give a new one only with a whole handshake. So it gets a
 * copy. */
static bool
offer_session(struct tls_filter *tls)
{
    SSL_SESSION *copy;
    bool ok;

    if (!tls->peer->session)
        return true;
    copy = SSL_SESSION_dup(tls->peer->session);
    ok = copy && SSL_set_session(tls->ssl, copy) == 1;
    SSL_SESSION_free(copy);
    return ok;
}

void
tls_peer_done(struct tls_peer *peer)
{
    SSL_SESSION_free(peer->session);
    peer->session = NULL;
}

/* --- failures --- */

__attribute__((format(printf, 3, 4))) static void
give_up(struct tls_filter *tls, enum close_reason reason, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(tls->peer->why, sizeof tls->peer->why, format, args);
    va_end(args);
    tls->has_failed = true;
    ERR_clear_error();
    link_fail(tls->link, reason);
}

static void
refuse_certificate(struct tls_filter *tls, long result)
{
    const char *host = tls->peer->host;

    switch (result) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
        give_up(tls, CLOSE_CERT_EXPIRED, "certificate of %.128s has expired", host);
        break;
    case X509_V_ERR_CERT_NOT_YET_VALID:
        give_up(tls, CLOSE_CERT_EXPIRED, "certificate of %.128s is not valid yet", host);
        break;
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
        give_up(tls, CLOSE_CERT_NAME, "certificate of %.128s is for another name", host);
        break;
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
        give_up(tls, CLOSE_CERT_UNKNOWN_CA,
                "certificate of %.128s is self-signed: name it with --upstream-ca", host);
        break;
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_CERT_SIGNATURE_FAILURE: /* by a CA of the same name */
        give_up(tls, CLOSE_CERT_UNKNOWN_CA,
                "certificate of %.128s is signed by an unknown CA: name it with --upstream-ca", host);
        break;
    default:
        give_up(tls, CLOSE_CERT_REFUSED, "certificate of %.128s is not acceptable: %.64s", host,
                X509_verify_cert_error_string(result));
    }
}

/* OpenSSL cannot go on. */
static void
fail_ssl(struct tls_filter *tls)
{
    long verified = SSL_get_verify_result(tls->ssl);
    unsigned long error = ERR_peek_error();
    const char *text = ERR_reason_error_string(error), *host = tls->peer->host;

    SSL_SESSION_free(tls->peer->session); /* whatever it was, the next connection begins afresh */
    tls->peer->session = NULL;
    if (tls->no_memory)
        give_up(tls, CLOSE_NO_MEMORY, "no memory for TLS records to %.128s", host);
    else if (tls->peer->context->verify && verified != X509_V_OK && !tls->is_ready)
        refuse_certificate(tls, verified);
    else if (ERR_GET_REASON(error) == SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED)
        give_up(tls, CLOSE_TLS_FAILED,
                "%.128s wants a client certificate: use --upstream-cert and --upstream-key", host);
    else
        give_up(tls, CLOSE_TLS_FAILED, "TLS %s %.128s failed: %.64s",
                tls->is_ready ? "with" : "handshake with", host, text ? text : "no reason given");
}

/* What a call of OpenSSL came to that was no success; false: nothing is left to do but wait. */
static bool
is_over(struct tls_filter *tls, int result)
{
    switch (SSL_get_error(tls->ssl, result)) {
    case SSL_ERROR_WANT_READ:
        return false;
    case SSL_ERROR_ZERO_RETURN:
        link_deliver_end(tls->link);
        return true;
    default:
        fail_ssl(tls);
        return true;
    }
}

/* --- the handshake --- */

static bool
is_ip(const char *host)
{
    struct in6_addr ip;

    return inet_pton(AF_INET, host, &ip) == 1 || inet_pton(AF_INET6, host, &ip) == 1;
}

/* A name may be written with a dot at its end; certificates and SNI (RFC 6066 3) have none. */
static bool
expect_name(SSL *ssl, const char *host)
{
    char name[256];
    size_t len = strlen(host);

    if (len && host[len - 1] == '.')
        len--;
    snprintf(name, sizeof name, "%.*s", (int)len, host);
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return SSL_set1_host(ssl, name) == 1 && SSL_set_tlsext_host_name(ssl, name) == 1;
}

static bool
expect_host(SSL *ssl, const char *host)
{
    if (is_ip(host))
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) == 1;
    return expect_name(ssl, host);
}

static bool
set_up(struct tls_filter *tls)
{
    struct tls_context *context = tls->peer->context;
    BIO *bio;

    if (!context->bio && !(context->bio = bio_method()))
        return false;
    SSL_CTX_sess_set_new_cb(context->ssl, on_session);
    tls->ssl = SSL_new(context->ssl);
    bio = tls->ssl ? BIO_new(context->bio) : NULL;
    if (!bio)
        return false;
    BIO_set_data(bio, tls);
    BIO_set_init(bio, 1);
    SSL_set_bio(tls->ssl, bio, bio);
    SSL_set_app_data(tls->ssl, tls);
    SSL_set_connect_state(tls->ssl);
    if (!offer_session(tls))
        return false;
    return expect_host(tls->ssl, tls->peer->host);
}

/* RFC 7301 3.2: a server takes one of what was offered, or does not speak of it at all. */
static bool
is_http1(SSL *ssl)
{
    const unsigned char *name;
    unsigned len;

    SSL_get0_alpn_selected(ssl, &name, &len);
    return len == 0 || (len == 8 && memcmp(name, "http/1.1", 8) == 0);
}

static void
shake(struct tls_filter *tls)
{
    int result;

    ERR_clear_error();
    result = SSL_do_handshake(tls->ssl);
    if (result != 1) {
        is_over(tls, result);
    } else if (!is_http1(tls->ssl)) {
        give_up(tls, CLOSE_TLS_FAILED, "%.128s chose a protocol by ALPN that was not offered",
                tls->peer->host);
    } else {
        tls->is_ready = true;
        link_ready(tls->link);
    }
}

static void
tls_start(struct filter *filter, struct link *link)
{
    struct tls_filter *tls = tls_of(filter);

    tls->link = link;
    if (set_up(tls))
        shake(tls);
    else
        give_up(tls, CLOSE_NO_MEMORY, "no memory for TLS with %.128s", tls->peer->host);
}

/* --- records --- */

/* Delivers the next record in a buffer of its size; false: there is no whole one, or the link is of no use.
 */
static bool
read_record(struct tls_filter *tls)
{
    struct link *link = tls->link;
    size_t pending, got = 0;
    struct buf *buf;
    char first;
    int result;

    ERR_clear_error();
    result = SSL_peek_ex(tls->ssl, &first, 1, &got);
    if (result != 1) {
        is_over(tls, result);
        return false;
    }
    pending = (size_t)SSL_pending(tls->ssl);
    buf = slab_get(link->net->slab, pending);
    if (!buf) {
        give_up(tls, CLOSE_NO_MEMORY, "no memory for what %.128s sends", tls->peer->host);
        return false;
    }
    result = SSL_read_ex(tls->ssl, buf->data, pending, &got);
    ASSERT(result == 1 && got == pending);
    link_deliver(link, span_of(buf, 0, (uint32_t)got));
    buf_unref(buf);
    return link->state == LINK_OPEN && !link->end_told;
}

static void
tls_in(struct filter *filter, struct link *link, struct span bytes)
{
    struct tls_filter *tls = tls_of(filter);

    if (tls->has_failed)
        return;
    if (!bytes.len) {
        give_up(tls, CLOSE_TLS_FAILED, "%.128s closed the connection during the TLS handshake",
                tls->peer->host);
        return;
    }
    tls->input = bytes;
    if (!tls->is_ready)
        shake(tls);
    while (tls->is_ready && link->state == LINK_OPEN && read_record(tls))
        ;
    tls->input = (struct span){0};
}

static bool
write_record(struct tls_filter *tls, const uint8_t *bytes, uint32_t len)
{
    size_t written;

    if (!len)
        return true;
    ERR_clear_error();
    if (SSL_write_ex(tls->ssl, bytes, len, &written) == 1)
        return true;
    fail_ssl(tls);
    return false;
}

static void
tls_out(struct filter *filter, struct link *link, const struct span *spans, unsigned count)
{
    struct tls_filter *tls = tls_of(filter);
    uint8_t *staging = tls->peer->context->staging;
    uint32_t staged = 0;
    bool ok = !tls->has_failed;

    (void)link;
    for (unsigned i = 0; i < count && ok; i++) {
        struct span rest = spans[i];

        while (rest.len && ok) {
            uint32_t room = TLS_RECORD_MAX - staged, n = rest.len < room ? rest.len : room;

            if (!staged && n >= DIRECT_BYTES) {
                ok = write_record(tls, span_data(rest), n);
            } else {
                memcpy(staging + staged, span_data(rest), n);
                staged += n;
            }
            rest = span_skip(rest, n);
            if (staged == TLS_RECORD_MAX) {
                ok = write_record(tls, staging, staged);
                staged = 0;
            }
        }
    }
    if (ok)
        write_record(tls, staging, staged);
}

static void
tls_end(struct filter *filter, struct link *link)
{
    struct tls_filter *tls = tls_of(filter);

    (void)link;
    ERR_clear_error();
    if (tls->is_ready && !tls->has_failed)
        SSL_shutdown(tls->ssl);
}

static void
tls_free(struct filter *filter)
{
    struct tls_filter *tls = tls_of(filter);

    /* However the stream ended, its session can be resumed. */
    if (tls->is_ready && !tls->has_failed)
        SSL_set_shutdown(tls->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(tls->ssl);
    free(tls);
}

static const struct filter_ops tls_ops = {
    .start = tls_start, .in = tls_in, .out = tls_out, .end = tls_end, .free = tls_free};

struct filter *
tls_filter_new(struct tls_peer *peer)
{
    struct tls_filter *tls = calloc(1, sizeof *tls);

    if (!tls)
        return NULL;
    tls->base.ops = &tls_ops;
    tls->peer = peer;
    return &tls->base;
}

bool
tls_is_resumed(const struct filter *filter)
{
    const struct tls_filter *tls = (const struct tls_filter *)(const void *)filter;

    return tls->is_ready && SSL_session_reused(tls->ssl);
}
