/* SPDX-License-Identifier: Apache-2.0 */
#include "net/tls_private.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>

static const unsigned char alpn[] = "\x08http/1.1";

static BIO *
pem_open(const struct tls_pem *pem)
{
    return BIO_new_mem_buf(pem->text.at, (int)pem->text.len);
}

/* What OpenSSL says of its last failure. */
static const char *
last_error(void)
{
    const char *text = ERR_reason_error_string(ERR_peek_last_error());

    return text ? text : "no reason given";
}

/* An encrypted key is refused: nobody is there to be asked. */
static int
no_password(char *buf, int size, int for_writing, void *user)
{
    (void)buf, (void)size, (void)for_writing;
    *(bool *)user = true;
    return -1;
}

static int
add_cas(SSL_CTX *ssl, const struct tls_pem *pem, char *why, size_t why_size)
{
    X509_STORE *store = SSL_CTX_get_cert_store(ssl);
    BIO *bio = pem_open(pem);
    unsigned count = 0;
    X509 *cert;

    while (bio && (cert = PEM_read_bio_X509(bio, NULL, NULL, NULL))) {
        count += (unsigned)X509_STORE_add_cert(store, cert);
        X509_free(cert);
    }
    BIO_free(bio);
    if (count && ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE)
        return 0;
    snprintf(why, why_size, "'%.200s' %s: name a file of certificates in PEM form", pem->name,
             count ? "holds a damaged certificate" : "holds no certificate");
    return -EINVAL;
}

/* The first certificate is ours, those behind it lead to a CA. */
static int
use_cert(SSL_CTX *ssl, const struct tls_pem *pem, char *why, size_t why_size)
{
    BIO *bio = pem_open(pem);
    unsigned count = 0;
    bool ok = bio != NULL;
    X509 *cert;

    while (ok && (cert = PEM_read_bio_X509(bio, NULL, NULL, NULL))) {
        ok = count++ ? SSL_CTX_add1_chain_cert(ssl, cert) == 1 : SSL_CTX_use_certificate(ssl, cert) == 1;
        X509_free(cert);
    }
    BIO_free(bio);
    if (ok && count && ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE)
        return 0;
    snprintf(why, why_size, "'%.200s' holds no client certificate that can be used (%s): name a PEM file",
             pem->name, last_error());
    return -EINVAL;
}

static int
use_key(SSL_CTX *ssl, const struct tls_settings *s, char *why, size_t why_size)
{
    BIO *bio = pem_open(&s->key);
    bool is_encrypted = false;
    EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_password, &is_encrypted) : NULL;
    int result = -EINVAL;

    BIO_free(bio);
    if (is_encrypted)
        snprintf(why, why_size, "'%.200s' is encrypted: name a key without a passphrase", s->key.name);
    else if (!key)
        snprintf(why, why_size, "'%.200s' holds no private key: name a key in PEM form", s->key.name);
    else if (SSL_CTX_use_PrivateKey(ssl, key) != 1)
        snprintf(why, why_size, "'%.200s' is not the key of '%.200s': name the two that belong together",
                 s->key.name, s->cert.name);
    else
        result = 0;
    EVP_PKEY_free(key);
    return result;
}

static int
configure(SSL_CTX *ssl, const struct tls_settings *s, char *why, size_t why_size)
{
    if (SSL_CTX_set_min_proto_version(ssl, TLS1_2_VERSION) != 1 ||
        SSL_CTX_set_alpn_protos(ssl, alpn, sizeof alpn - 1) ||
        SSL_CTX_set_max_send_fragment(ssl, TLS_RECORD_MAX) != 1) {
        snprintf(why, why_size, "OpenSSL cannot be set up (%s): see its openssl.cnf", last_error());
        return -EINVAL;
    }
    SSL_CTX_set_options(ssl, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_mode(ssl, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_set_verify(ssl, s->verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
    ERR_clear_error();
    if (s->verify && add_cas(ssl, &s->ca, why, why_size) < 0)
        return -EINVAL;
    ERR_clear_error();
    if (s->cert.name && use_cert(ssl, &s->cert, why, why_size) < 0)
        return -EINVAL;
    ERR_clear_error();
    return s->cert.name ? use_key(ssl, s, why, why_size) : 0;
}

int
tls_context_new(const struct tls_settings *settings, struct tls_context **ret_context, char *why,
                size_t why_size)
{
    struct tls_context *context = calloc(1, sizeof *context);
    int result = -ENOMEM;

    snprintf(why, why_size, "not enough memory for TLS");
    if (context && (context->ssl = SSL_CTX_new(TLS_client_method()))) {
        context->verify = settings->verify;
        result = configure(context->ssl, settings, why, why_size);
    }
    ERR_clear_error();
    if (result < 0) {
        tls_context_free(&context);
        return result;
    }
    *ret_context = context;
    return 0;
}

void
tls_context_free(struct tls_context **context_at)
{
    struct tls_context *context = *context_at;

    *context_at = NULL;
    if (!context)
        return;
    SSL_CTX_free(context->ssl);
    BIO_meth_free(context->bio);
    free(context);
}
