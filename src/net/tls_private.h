/* SPDX-License-Identifier: Apache-2.0 */
/* What tls_context.c and tls.c share. Private to this layer. */
#ifndef NET_TLS_PRIVATE_H
#define NET_TLS_PRIVATE_H

#include "net/tls_context.h"

#include <openssl/ssl.h>
#include <stdint.h>

/* A record with its framing fits into one buffer of 16 KiB. */
enum { TLS_RECORD_MAX = (16 << 10) - 256 };

struct tls_context {
    SSL_CTX *ssl;
    BIO_METHOD *bio; /* made by tls.c with the first connection */
    bool verify;
    uint8_t staging[TLS_RECORD_MAX]; /* where small pieces become one record */
};

#endif
